/* hstu.c - hierarchical sequential transduction units for retrieval.   [Zhai et al., ICML 2024]
 *
 *   x_t = sqrt(d) E[item_t] + P[t]                        positions count from the start of what is read
 *   U, V, Q, K = SiLU(LN(x) W_uvqk)                       each block; LN without weights
 *   a_ij = SiLU(q_i.k_j + p[j - i] + w[bucket(time of event i + 1 - time of event j)]) / length, j <= i
 *   x = x + W_o dropout(LN(a V) * U)                      score(j | t) = cosine(x_t, E_j)
 *
 * As in the paper's research code, loss=sampled: softmax of score / temperature among uniform negatives. The
 * time of the event to be guessed is known: it is when somebody asks. Where we differ: the divisor is the
 * option `length`, not the padded length of the batch; runs of older events teach too (latest=true: as
 * published, only the last of each user); series: what is known of a user stands among the events (models/slow.h), tokens
 * x_t = V[value] + P[t] whose own outputs mean nothing; like: what comes next is a label only where it was liked; time biases start at zero, so that they stay out on data without
 * timestamps. loss=ce: softmax over all items of inner products with LN(x_t). */
#include "models/slow.h"
#include "nn/hstu.h"

#include <math.h>
#include <string.h>

#define HSTU_OPTIONS(X)                                                                                      \
    X(int, dim, 50, 4, 4096, "width of item and position vectors")                                           \
    X(int, blocks, 2, 1, 64, "layers")                                                                       \
    X(int, heads, 1, 1, 64, "attention heads")                                                               \
    X(int, dqk, 50, 1, 1024, "width of queries and keys of a head")                                          \
    X(int, dv, 50, 1, 1024, "width of values of a head")                                                     \
    X(int, length, 200, 1, 32768, "events of the history that are read, the latest")                         \
    X(int, step, 1, 1, 32768,                                                                                \
      "events by which the window moves when a history is longer; above 1, a server reads it anew that "     \
      "much "                                                                                                \
      "more seldom")                                                                                         \
    X(choice, bias, both, 0, 0,                                                                              \
      "both|position|time|none: what attention knows of distance; times where there are any")                \
    X(bool, softmax, false, 0, 1, "weights of attention by softmax instead of SiLU")                         \
    X(float, dropout, 0.2, 0, 0.9, "share of each block's result dropped while training")                    \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(choice, loss, sampled, 0, 0,                                                                           \
      "sampled|ce: softmax among sampled items, by cosine, or among all, by product")                        \
    X(int, negatives, 128, 1, 65536, "loss=sampled: uniform negatives")                                      \
    X(bool, negatives_shared, false, 0, 1,                                                                   \
      "one set of negatives for the whole batch instead of one a position")                                  \
    X(float, temperature, 0.05, 0.001, 100, "loss=sampled: cosines are divided by it")                       \
    X(float, position_sd, 0, 0, 10,                                                                          \
      "standard deviation of position vectors at the start (0: 1 / sqrt(dim), as published)")                \
    X(bool, latest, false, 0, 1, "learn only from the last run of `length` events of each user")             \
    X(int, series, 0, 0, 16777216,                                                                           \
      "rows of the table for what is known of users (import --user-series), which then stands among the "    \
      "events (0: it is not read)")                                                                          \
    X(float, like, 0, 0, 1000000, "above 0: only events rated at least so are labels; all are read")         \
    X(float, alpha, 2, 1, 2,                                                                                 \
      "stochastic length: attention over runs costs length^alpha at most, the rest is left out (2: "         \
      "nothing)")

typedef struct hstu_config {
    HSTU_OPTIONS(SG_OPTION_FIELD)
} hstu_config;
#define SG_OPTION_STRUCT hstu_config
static const sg_option hstu_options[] = {HSTU_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct hstu {
    sg_param *item, *position; /* (n_items, dim), (tokens of a sequence, dim) */
    sg_param *value;           /* (series, dim) or NULL */
    sg_series series;          /* in the model's arrays */
    sg_hstu stack;
    sg_runs runs; /* training */
} hstu;

static sg_status hstu_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const hstu_config *c = m->config;
    hstu *s = m->state;
    sg_params *ps = &m->params;
    const bool both = !strcmp(c->bias, "both");
    const int tokens = c->length + (c->series ? SG_SLOW_MOST : 0);
    const float sd = c->position_sd > 0 ? (float)c->position_sd : 1 / sqrtf((float)c->dim);
    const sg_hstu_shape shape = {.dim = c->dim,
                                 .blocks = c->blocks,
                                 .heads = c->heads,
                                 .d_qk = c->dqk,
                                 .d_v = c->dv,
                                 .length = tokens,
                                 .divisor = (float)c->length,
                                 .position = both || !strcmp(c->bias, "position"),
                                 .time = both || !strcmp(c->bias, "time"),
                                 .softmax = c->softmax,
                                 .dropout = (float)c->dropout};

    s->item = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, 0.02f, strcmp(c->loss, "ce") ? SG_PARAM_SPARSE : 0,
                           m->n_items, c->dim, "item.weight");
    s->position = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, sd, 0, tokens, c->dim, "position.weight");
    if (c->series)
        s->value = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, 1 / sqrtf((float)c->dim), 0, c->series,
                                c->dim, "series.weight");
    return sg_hstu_declare(&s->stack, ps, seed, &shape, err);
}

static sg_status hstu_ready(sg_model *m, sg_error *err)
{
    const hstu_config *c = m->config;
    hstu *s = m->state;

    return c->series ? sg_slow_need(&s->series, m, err) : SG_OK;
}

static sg_status hstu_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const hstu_config *c = m->config;
    sg_status st;

    if (!c->series)
        return SG_OK;
    if (!t->data->series.offsets)
        return sg_fail(err, SG_ERR_USAGE,
                       "hstu: series=%d: nothing is known of the users of %s beside their events; import "
                       "with --user-series",
                       c->series, t->data->name);
    st = sg_slow_put(m, t->data, err);
    return st ? st : hstu_ready(m, err); /* validation asks before training ends */
}

static void hstu_fini(sg_model *m)
{
    hstu *s = m->state;

    sg_hstu_fini(&s->stack);
    sg_runs_free(&s->runs);
}

static sg_status hstu_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const hstu_config *c = m->config;
    hstu *s = m->state;
    sg_status st;

    if (!strcmp(c->bias, "time") && !t->data->timestamp)
        return sg_fail(err, SG_ERR_USAGE, "hstu: bias=time needs timestamps, %s has none", t->data->name);
    if (c->like > 0 && !t->data->rating)
        return sg_fail(err, SG_ERR_USAGE, "hstu: like=%g needs ratings, %s has none", c->like, t->data->name);
    st = sg_runs_new(&s->runs, t, c->length, c->latest, c->alpha, err);
    s->runs.like = c->like;
    *n = s->runs.n;
    return st;
}

/* q with what is known of the users among its tokens: *slow (tokens), NULL when nothing is. */
static bool add_series(sg_sequences *q, int32_t **slow, const sg_model *m, sg_graph *g, const int32_t *users)
{
    const hstu_config *c = m->config;
    const hstu *s = m->state;
    sg_sequences merged;

    *slow = NULL;
    if (!c->series)
        return true;
    if (!sg_slow_add(&merged, slow, g, q, &s->series, m->n_users, users, c->series))
        return false;
    *q = merged;
    return true;
}

/* (n, dim) what goes into the blocks for tokens first .. first + n - 1; slow: rows of series (tokens), or NULL */
static sg_tensor *embed(const sg_model *m, sg_graph *g, const sg_sequences *q, const int32_t *slow, int first,
                        int n)
{
    const hstu_config *c = m->config;
    const hstu *s = m->state;
    const int32_t *position = sg_places_from_start(g, q);
    sg_tensor *x;

    if (!position)
        return NULL;
    x = sg_scale(g, sg_embed(g, s->item, q->item + first, n), sqrtf((float)c->dim));
    if (slow)
        x = sg_plus(g, x, sg_embed(g, s->value, slow + first, n));
    return sg_dropout(g, sg_plus(g, x, sg_embed(g, s->position, position + first, n)),
                      (float)c->dropout_input);
}

static sg_tensor *finish(const sg_model *m, sg_graph *g, sg_tensor *x)
{
    const hstu_config *c = m->config;

    return strcmp(c->loss, "ce") ? x : sg_layernorm(g, x, NULL, NULL, 1e-6f);
}

/* (tokens, dim) after all blocks */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, const int32_t *slow)
{
    const hstu *s = m->state;
    const sg_hstu_tokens t = {.n = q->n, .offsets = q->offsets, .time_q = q->next, .time_k = q->time};

    return finish(m, g, sg_hstu_forward(g, &s->stack, embed(m, g, q, slow, 0, q->tokens), &t));
}

static sg_tensor *hstu_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                            uint64_t step)
{
    const hstu_config *c = m->config;
    const hstu *s = m->state;
    const bool ce = !strcmp(c->loss, "ce");
    const sg_item_loss loss = {.kind = c->loss,
                               .negatives = c->negatives,
                               .shared = c->negatives_shared,
                               .temperature = ce ? 1 : c->temperature,
                               .cosine = !ce};
    int32_t *users = sg_scratch(g, (size_t)n, sizeof *users), *slow;
    sg_sequences q;

    if (!users || !sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    for (int i = 0; i < n; i++)
        users[i] = s->runs.user[example[i]];
    if (!add_series(&q, &slow, m, g, users))
        return NULL;
    return sg_item_loss_of(g, encode(m, g, &q, slow), s->item, q.target, &loss, seed, step);
}

/* ---- scoring ------------------------------------------------------------------------------------------- */

/* The state of the last token of history i, whose past takes all new ones. */
static sg_tensor *append(const sg_model *m, sg_graph *g, const sg_sequences *q, int i, sg_hstu_cache *cache)
{
    const hstu *s = m->state;
    const int first = q->offsets[i], n = q->offsets[i + 1] - first, need = q->before[i] + n;
    const int32_t last = n - 1;
    sg_error err;

    if (cache->stack ? sg_hstu_cache_room(cache, need + (need > cache->cap ? need / 8 + 1 : 0), &err)
                     : sg_hstu_cache_new(cache, &s->stack, need, &err))
        return sg_graph_fail(g, SG_ERR_MEMORY, "%s", err.message);
    return sg_rows(g,
                   sg_hstu_cache_append(g, cache, embed(m, g, q, NULL, first, n),
                                        q->time ? q->time + first : NULL, q->next ? q->next + first : NULL),
                   &last, 1);
}

/* (n, dim) of the last tokens */
static sg_tensor *resume(const sg_model *m, sg_graph *g, const sg_sequences *q, const sg_histories *h)
{
    sg_tensor **part = sg_scratch(g, (size_t)h->n, sizeof *part);
    int32_t *row = sg_scratch(g, (size_t)h->n, sizeof *row);
    int n = 0;

    for (int i = 0; part && row && i < h->n; i++) {
        row[i] = q->last[i] < 0 ? -1 : n;
        if (row[i] >= 0)
            part[n++] = append(m, g, q, i, h->past[i]->state);
    }
    return part && row ? finish(m, g, sg_rows(g, sg_concat_rows(g, part, n), row, h->n)) : NULL;
}

static int hstu_past_cut(sg_past *p, int n)
{
    sg_hstu_cache *c = p->state;

    if (c->stack)
        sg_hstu_cache_cut(c, n);
    return n;
}

static sg_status hstu_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const hstu_config *c = m->config;
    const hstu *s = m->state;
    sg_graph *g = session->graph;
    int32_t *slow;
    sg_sequences q;
    sg_tensor *x;
    sg_status st;

    if (!h->timestamp && sg_hstu_knows_time(&s->stack))
        return sg_fail(err, SG_ERR_USAGE,
                       "hstu: this model learned from times: expected histories with timestamps");
    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_resume(&q, g, h, c->length, c->step, true) || !add_series(&q, &slow, m, g, h->user))
        return sg_graph_status(g, err);
    x = h->past ? resume(m, g, &q, h) : sg_rows(g, encode(m, g, &q, slow), q.last, h->n);
    if ((st = sg_item_scores(session, x, s->item, NULL, strcmp(c->loss, "ce") != 0, scores, err)))
        return st;
    return sg_histories_note(g, h, c->length, c->step) ? SG_OK : sg_graph_status(g, err);
}

/* What is known of users stands among the events, at places that later events may move. */
static bool hstu_keeps(const sg_model *m)
{
    return ((const hstu_config *)m->config)->series == 0;
}

static size_t hstu_past_size(const sg_past *p)
{
    return sg_hstu_cache_bytes(p->state);
}

static void hstu_past_fini(sg_past *p)
{
    sg_hstu_cache *c = p->state;

    if (c->stack)
        sg_hstu_cache_free(c);
}

const sg_model_class sg_model_hstu = {
    .name = "hstu",
    .summary = "gated pointwise attention over the item sequence, with biases of position and time",
    .paper = "Zhai et al., ICML 2024, arXiv:2402.17152",
    .options = hstu_options,
    .n_options = sizeof hstu_options / sizeof *hstu_options,
    .streams = true,
    .config_bytes = sizeof(hstu_config),
    .state_bytes = sizeof(hstu),
    .weights = hstu_weights,
    .init = hstu_init,
    .ready = hstu_ready,
    .fini = hstu_fini,
    .examples = hstu_examples,
    .loss = hstu_loss,
    .score = hstu_score,
    .past_bytes = sizeof(sg_hstu_cache),
    .keeps = hstu_keeps,
    .past_cut = hstu_past_cut,
    .past_size = hstu_past_size,
    .past_fini = hstu_past_fini,
};
