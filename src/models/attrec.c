/* attrec.c - what a user likes and what the last items ask for, as distances.   [Zhang et al., AAAI 2019, arXiv:1808.06414]
 *
 *   Q = K = ReLU((X + T) W) of the last `length` items, T sinusoids of the place; row i of S = softmax(Q K^T / sqrt(d)) leaves
 *   item i itself out; m = mean of the rows of S X
 *   y_j = w |U_u - V_j|^2 + (1 - w) |m - X_j|^2                           score(j) = -y_j
 *
 * An example is a window before an event; the next `targets` events are its positives, each against one uniform negative:
 * max(0, margin + y_pos - y_neg). Rows of X, U and V stay within the unit ball. Where we differ: places count from the end;
 * windows are shorter at the start of a history; an item alone in its window attends to itself. A user that training did not
 * know is ranked by the second term alone. */
#include "models/sequence.h"

#include "base/rng.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

#define ATTREC_OPTIONS(X)                                                                                    \
    X(int, dim, 100, 4, 4096, "width of item and user vectors")                                              \
    X(int, length, 5, 1, 200, "events of the history that are read, the latest")                             \
    X(int, targets, 3, 1, 100, "events after the window that are its positives")                             \
    X(float, weight, 0.5, 0, 1, "weight w of the user's own distance; the rest is the window's")             \
    X(float, margin, 0.5, 0, 10, "by how much a negative has to be farther than a positive")                 \
    X(float, dropout, 0, 0, 0.9, "share of the numbers of queries and keys dropped while training")          \
    X(float, init_sd, 0.01, 0.000001, 10, "standard deviation of the vectors at the start")

typedef struct attrec_config {
    ATTREC_OPTIONS(SG_OPTION_FIELD)
} attrec_config;
#define SG_OPTION_STRUCT attrec_config
static const sg_option attrec_options[] = {ATTREC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct attrec {
    sg_param *item, *likes, *user; /* X, V (n_items, dim), U (n_users, dim) */
    sg_param *query;               /* W (dim, dim) */
    const sg_split *split;         /* borrowed: training */
    sg_runs runs;                  /* runs of two events: one for each event but a user's first */
} attrec;

static sg_status attrec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const attrec_config *c = m->config;
    attrec *s = m->state;
    sg_params *ps = &m->params;
    const int flags = SG_PARAM_SPARSE | SG_PARAM_BALL;
    const float sd = (float)c->init_sd;

    s->item = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, flags, m->n_items, c->dim, "item.weight");
    s->likes = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, flags, m->n_items, c->dim, "likes.weight");
    s->user = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, flags, m->n_users, c->dim, "user.weight");
    s->query = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "query.weight");
    return SG_OK;
}

static void attrec_fini(sg_model *m)
{
    attrec *s = m->state;

    sg_runs_free(&s->runs);
}

static sg_status attrec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    attrec *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, 1, false, 2, err);

    s->split = t->split;
    *n = s->runs.n;
    return st;
}

/* ---- the window ------------------------------------------------------------------------------------------------- */

/* Sinusoids of the places: sin and cos of place / 10000^(2i / dim), side by side. */
static sg_tensor *places(sg_graph *g, const sg_sequences *q, int dim)
{
    const int32_t *place = sg_places_from_end(g, q);
    float *wave = sg_scratch(g, (size_t)q->tokens * (size_t)dim, sizeof *wave);

    if (!place || !wave)
        return NULL;
    for (int t = 0; t < q->tokens; t++)
        for (int i = 0; i < dim; i++) {
            const double angle = place[t] * pow(10000, -(double)(i & ~1) / dim);

            wave[(size_t)t * (size_t)dim + (size_t)i] = (float)(i & 1 ? cos(angle) : sin(angle));
        }
    return sg_input(g, wave, 2, (int[]){q->tokens, dim});
}

/* (n, dim): m of each window. An item attends to the others, so that each is a sequence of one query: key_row lists their keys. */
static sg_tensor *windows(const sg_model *m, sg_graph *g, const sg_sequences *q)
{
    const attrec_config *c = m->config;
    const attrec *s = m->state;
    int32_t *offsets_q = sg_scratch(g, (size_t)q->tokens + 1, sizeof *offsets_q),
            *offsets_k = sg_scratch(g, (size_t)q->tokens + 1, sizeof *offsets_k),
            *key_row = sg_scratch(g, (size_t)q->tokens * (size_t)c->length, sizeof *key_row);
    const sg_attention_spec spec = {.heads = 1,
                                    .batch = q->tokens,
                                    .offsets_q = offsets_q,
                                    .offsets_k = offsets_k,
                                    .mask = SG_MASK_NONE,
                                    .scale = 1 / sqrtf((float)c->dim)};
    sg_tensor *x, *query;
    int n = 0;

    if (!offsets_q || !offsets_k || !key_row)
        return NULL;
    offsets_q[0] = offsets_k[0] = 0;
    for (int b = 0; b < q->n; b++)
        for (int i = q->offsets[b]; i < q->offsets[b + 1]; i++) {
            const bool alone = q->offsets[b + 1] - q->offsets[b] == 1;

            for (int j = q->offsets[b]; j < q->offsets[b + 1]; j++)
                if (j != i || alone)
                    key_row[n++] = j;
            offsets_q[i + 1] = i + 1;
            offsets_k[i + 1] = n;
        }
    x = sg_embed(g, s->item, q->item, q->tokens);
    query = sg_linear_act(g, sg_plus(g, x, places(g, q, c->dim)), s->query, NULL, SG_RELU, (float)c->dropout);
    return sg_segment_mean(
        g, sg_attention(g, query, sg_rows(g, query, key_row, n), sg_rows(g, x, key_row, n), &spec),
        q->offsets, q->n);
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

/* The events before those that the examples name. */
static bool pack_windows(sg_sequences *q, sg_graph *g, const sg_runs *r, const uint32_t *example, int n,
                         int length)
{
    *q = (sg_sequences){.n = n,
                        .offsets = sg_scratch(g, (size_t)n + 1, sizeof *q->offsets),
                        .item = sg_scratch(g, (size_t)n * (size_t)length, sizeof *q->item)};
    if (!q->offsets || !q->item)
        return false;
    for (int b = 0; b < n; b++) {
        const int64_t event = r->end[example[b]] - 1,
                      have = event - r->data->user_offsets[r->user[example[b]]];
        const int keep = (int)(have < length ? have : length);

        q->offsets[b] = q->tokens;
        memcpy(q->item + q->tokens, r->data->item + event - keep, (size_t)keep * sizeof *q->item);
        q->tokens += keep;
    }
    q->offsets[n] = q->tokens;
    return true;
}

/* [sqrt(w) of one, sqrt(1 - w) of the other]: the squared distance of two such rows is y. */
static sg_tensor *both(sg_graph *g, double weight, sg_tensor *likes, sg_tensor *window)
{
    return sg_concat_cols(g,
                          (sg_tensor *[]){sg_scale(g, likes, (float)sqrt(weight)),
                                          sg_scale(g, window, (float)sqrt(1 - weight))},
                          2);
}

static sg_tensor *attrec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                              uint64_t step)
{
    const attrec_config *c = m->config;
    const attrec *s = m->state;
    const sg_runs *r = &s->runs;
    const size_t most = (size_t)n * (size_t)c->targets;
    int32_t *row = sg_scratch(g, most, sizeof *row), *user = sg_scratch(g, most, sizeof *user),
            *positive = sg_scratch(g, most, sizeof *positive),
            *negative = sg_scratch(g, most, sizeof *negative);
    sg_sequences q;
    int k = 0;

    if (!row || !user || !positive || !negative || !pack_windows(&q, g, r, example, n, c->length))
        return NULL;
    for (int b = 0; b < n; b++) {
        const int32_t u = r->user[example[b]];
        const int64_t event = r->end[example[b]] - 1;

        for (int64_t e = event; e < event + c->targets && e < s->split->train_end[u]; e++, k++) {
            row[k] = b;
            user[k] = u;
            positive[k] = r->data->item[e];
            negative[k] =
                (int32_t)sg_rng_below((uint64_t)m->n_items, seed, SG_RNG_NEGATIVE, step, (uint64_t)k);
        }
    }
    return sg_triplet(
        g, both(g, c->weight, sg_embed(g, s->user, user, k), sg_rows(g, windows(m, g, &q), row, k)),
        both(g, c->weight, sg_embed(g, s->likes, positive, k), sg_embed(g, s->item, positive, k)),
        both(g, c->weight, sg_embed(g, s->likes, negative, k), sg_embed(g, s->item, negative, k)),
        (float)c->margin);
}

/* ---- scoring ---------------------------------------------------------------------------------------------------- */

/* scores += weight (2 x . row - |row|^2), in which -weight |x - row|^2 orders them; rows of x whose `known` is below 0: nothing. */
static sg_status add_closeness(sg_session *session, float *scores, sg_tensor *x, sg_param *table,
                               double weight, const int32_t *known, sg_error *err)
{
    sg_graph *g = session->graph;
    const size_t n = (size_t)table->dim[0], dim = (size_t)table->dim[1];
    float *length = sg_scratch(g, n, sizeof *length), *dot;
    sg_status st;

    if ((st = sg_graph_status(g, err)))
        return st;
    const size_t rows = (size_t)x->dim[0];
    if (!(dot = sg_scratch(g, rows * n, sizeof *dot)))
        return sg_graph_status(g, err);
    if ((st = sg_item_scores(session, x, table, NULL, false, dot, err)))
        return st;
    for (size_t j = 0; j < n; j++)
        length[j] = sg_dot(table->value + j * dim, table->value + j * dim, dim);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; known[i] >= 0 && j < n; j++)
            scores[i * n + j] += (float)weight * (2 * dot[i * n + j] - length[j]);
    return SG_OK;
}

static sg_status attrec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const attrec_config *c = m->config;
    const attrec *s = m->state;
    sg_graph *g = session->graph;
    int32_t *user, *all;
    sg_sequences q;
    sg_status st;

    sg_graph_begin(g, SG_INFER, 0, 0);
    user = sg_scratch(g, (size_t)h->n, sizeof *user);
    all = sg_scratch(g, (size_t)h->n, sizeof *all);
    if (!user || !all || !sg_histories_pack(&q, g, h, c->length))
        return sg_graph_status(g, err);
    for (int i = 0; i < h->n; i++) {
        user[i] = h->user && h->user[i] < m->n_users ? h->user[i] : -1;
        all[i] = 0;
    }
    memset(scores, 0, (size_t)h->n * (size_t)m->n_items * sizeof *scores);
    if ((st = add_closeness(session, scores, windows(m, g, &q), s->item, 1 - c->weight, all, err)))
        return st;
    return add_closeness(session, scores, sg_embed(g, s->user, user, h->n), s->likes, c->weight, user, err);
}

const sg_model_class sg_model_attrec = {
    .name = "attrec",
    .summary = "distances to a user's vector and to a self-attentive mean of the last items",
    .paper = "Zhang et al., AAAI 2019, arXiv:1808.06414",
    .options = attrec_options,
    .n_options = sizeof attrec_options / sizeof *attrec_options,
    .config_bytes = sizeof(attrec_config),
    .state_bytes = sizeof(attrec),
    .weights = attrec_weights,
    .fini = attrec_fini,
    .examples = attrec_examples,
    .loss = attrec_loss,
    .score = attrec_score,
};
