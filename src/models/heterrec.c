/* heterrec.c - items as several tokens, one a feature.                     [HeterRec: Lazada, SIGIR 2025, arXiv:2503.01469]
 *
 *   features   an item's own vector; for each column of item text the mean of its values' vectors; a map of its item vector
 *   tokens     x_(t,f) = e_f(item_t) + type_f + P[place of t], T F of them, through a causal transformer
 *   items      z_t = blocks(W [h_(t,1) .. h_(t,F)]), causal
 *   target     i = e_1 + MLP [e_1 .. e_F]: the vector of an item that is guessed, from its features alone
 *   loss       listwise, multi-step: sum over s = 1 .. ahead of 1/s CE(g_s(z_t), i of item t + s), g_1 the identity, g_s z + MLP(z);
 *              and `token_loss` times the mean over f of CE(h_(t,f), W_f e_f of item t + 1)
 *
 * Both cross-entropies are over all items, or over the labels of the batch and `negatives` uniform ones. Where we differ: the item's own
 * vector goes straight into its target, so that with values=0, vectors=false, tokens=false, ahead=1 and token_loss=0 this is SASRec.
 * tokens=false is the ablation: the features side by side instead of one after the other. */
#include "models/sequence.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "models/attributes.h"
#include "models/content.h"
#include "nn/transformer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HETERREC_OPTIONS(X)                                                                                  \
    X(int, dim, 64, 4, 4096, "width of all vectors")                                                         \
    X(int, token_layers, 1, 0, 64, "transformer blocks over the tokens (with features)")                     \
    X(int, layers, 2, 0, 64, "transformer blocks over the items")                                            \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward parts and of the target's")                  \
    X(int, length, 50, 1, 8192, "events of the history that are read, the latest")                           \
    X(float, dropout, 0.3, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.3, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(text, columns, "", 0, 400, "columns of item text whose values are a feature each (empty: one of all)") \
    X(int, values, 1000, 0, 1000000, "values of a column that count, the most frequent (0: no columns)")     \
    X(bool, vectors, true, 0, 1, "item vectors are a feature")                                               \
    X(bool, tokens, true, 0, 1, "a token a feature; else features are put side by side")                     \
    X(int, ahead, 3, 1, 16, "how many of the next items are guessed")                                        \
    X(float, token_loss, 0.1, 0, 100, "weight of guessing the next item's features from those of this one")  \
    X(int, negatives, 0, 0, 1000000, "items beside the batch's labels that are compared (0: all items)")     \
    X(float, temperature, 1, 0.001, 100, "logits are divided by it")                                         \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the vectors at the start")                  \
    X(float, content, 0, 0, 100,                                                                             \
      "item vectors of this many times init_sd are added to the items' own at the start (0: none)")

typedef struct heterrec_config {
    HETERREC_OPTIONS(SG_OPTION_FIELD)
} heterrec_config;
#define SG_OPTION_STRUCT heterrec_config
static const sg_option heterrec_options[] = {HETERREC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { COLUMNS_MAX = 14, FEATURES_MAX = COLUMNS_MAX + 2, STEPS_MAX = 16 };

typedef struct mlp {
    sg_param *w1, *b1, *w2, *b2;
} mlp;

typedef struct bag { /* values of one column: rows of s->value, those of item i from offsets[i] on */
    const int64_t *offsets;
    const int32_t *id;
} bag;

typedef struct heterrec {
    int columns, features;         /* features: with the item's own vector */
    sg_param *item, *value;        /* (n_items, dim), (columns * values, dim) */
    sg_param *map, *map_bias;      /* of item vectors (dim, dim), (dim) */
    sg_param *type, *position;     /* (features, dim), (length, dim) */
    sg_param *join, *join_bias;    /* (dim, features dim), (dim) */
    sg_param *guess[FEATURES_MAX]; /* W_f */
    mlp target, step[STEPS_MAX];   /* step[0] is none */
    sg_tower token, whole;
    bag bag[COLUMNS_MAX];
    const float *vector; /* (n_items, dim) item vectors cut or filled to dim */
    sg_runs runs;        /* training */
} heterrec;

static int columns_of(const heterrec_config *c)
{
    int n = c->values > 0;

    for (const char *p = c->columns; n && *p; p++)
        n += *p == ',';
    return n;
}

static mlp declare_mlp(sg_params *ps, uint64_t seed, const char *name, int in, int inner, int out)
{
    return (mlp){sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, inner, in, "%s.w1.weight", name),
                 sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, inner, 0, "%s.w1.bias", name),
                 sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 0.1f, 0, out, inner, "%s.w2.weight",
                              name), /* next to nothing */
                 sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, out, 0, "%s.w2.bias", name)};
}

static sg_status heterrec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const heterrec_config *c = m->config;
    heterrec *s = m->state;
    sg_params *ps = &m->params;
    const sg_block_spec spec = {
        .dim = c->dim, .heads = c->heads, .ffn = c->ffn, .bias = true, .eps = 1e-8f, .act = SG_GELU};
    const float sd = (float)c->init_sd;
    sg_status st;

    s->columns = columns_of(c);
    s->features = 1 + s->columns + c->vectors;
    if (s->columns > COLUMNS_MAX)
        return sg_fail(err, SG_ERR_USAGE, "columns: expected at most %d names, found %d", COLUMNS_MAX,
                       s->columns);
    s->item = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, m->n_items, c->dim, "item.weight");
    s->position = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->length, c->dim, "position.weight");
    if (s->columns)
        s->value =
            sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, s->columns * c->values, c->dim, "value.weight");
    if (c->vectors) {
        s->map = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "vector.weight");
        s->map_bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "vector.bias");
    }
    if (s->features > 1) {
        s->type = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, s->features, c->dim, "type.weight");
        s->join =
            sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, s->features * c->dim, "join.weight");
        s->join_bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "join.bias");
        s->target = declare_mlp(ps, seed, "target", s->features * c->dim, c->ffn, c->dim);
        for (int f = 0; c->tokens && c->token_loss > 0 && f < s->features; f++)
            s->guess[f] =
                sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "guess.%d.weight", f);
        if (c->tokens && (st = sg_tower_declare(&s->token, ps, seed, c->token_layers, &spec, "token.", err)))
            return st;
    }
    for (int i = 1; i < c->ahead; i++) {
        char name[32];

        snprintf(name, sizeof name, "step.%d", i + 1);
        s->step[i] = declare_mlp(ps, seed, name, c->dim, c->ffn, c->dim);
    }
    return sg_tower_declare(&s->whole, ps, seed, c->layers, &spec, "", err);
}

/* ---- features of items, kept with the model ---------------------------------------------------------------------- */

static sg_status put_column(sg_model *m, const sg_dataset *d, int column, const char *names, sg_error *err)
{
    const heterrec_config *c = m->config;
    const uint64_t n = (uint64_t)m->n_items;
    sg_attributes a = {0};
    char name[64];
    sg_status st = sg_attributes_new(&a, d, names, c->values, err);

    if (st)
        return st;
    if (a.n == 0)
        st = sg_fail(
            err, SG_ERR_MISSING,
            "heterrec: column%s%s: expected values that items share, found none; values=0 goes without",
            names[0] ? " " : "s", names[0] ? names : "");
    for (int64_t i = 0; !st && i < a.offsets[n]; i++)
        a.id[i] += column * c->values;
    if (!st) {
        int32_t *id = a.id;
        int64_t *offsets = a.offsets;

        snprintf(name, sizeof name, "column.%d.id", column);
        a.id = NULL;
        if (!(st = sg_model_array_put(m, name, SG_DT_I32, 1, (uint64_t[]){(uint64_t)offsets[n]}, id, err))) {
            snprintf(name, sizeof name, "column.%d.offsets", column);
            a.offsets = NULL;
            st = sg_model_array_put(m, name, SG_DT_I64, 1, (uint64_t[]){n + 1}, offsets, err);
        }
    }
    sg_attributes_free(&a);
    return st;
}

static sg_status put_vectors(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const heterrec_config *c = m->config;
    const uint64_t dim[] = {(uint64_t)m->n_items, (uint64_t)c->dim};
    int32_t *row = sg_alloc_array((size_t)m->n_items, sizeof *row);
    float *x = NULL;
    sg_status st = row ? SG_OK : sg_fail_memory(err, "item vectors");

    for (int32_t i = 0; !st && i < m->n_items; i++)
        row[i] = i;
    if (!st)
        st = sg_content_rows(&x, t, row, 1, m->n_items, c->dim, 1, err);
    sg_free(row);
    return st ? st : sg_model_array_put(m, "vector", SG_DT_F32, 2, dim, x, err);
}

static sg_status find_features(sg_model *m, sg_error *err)
{
    const heterrec_config *c = m->config;
    heterrec *s = m->state;
    const sg_model_array *a;
    sg_status st;

    if (c->vectors) {
        if ((st = sg_model_array_need(&a, m, "vector", SG_DT_F32, 2, (int64_t[]){m->n_items, c->dim}, err)))
            return st;
        s->vector = a->data;
    }
    for (int k = 0; k < s->columns; k++) {
        char name[64];
        size_t count;

        snprintf(name, sizeof name, "column.%d.id", k);
        if ((st = sg_model_array_need(&a, m, name, SG_DT_I32, 1, (int64_t[]){-1}, err)))
            return st;
        s->bag[k].id = a->data;
        count = a->count;
        for (size_t i = 0; i < count; i++)
            if (s->bag[k].id[i] < 0 || s->bag[k].id[i] >= s->columns * c->values)
                return sg_fail(err, SG_ERR_FORMAT, "heterrec: array '%s': expected rows below %d, found %d",
                               name, s->columns * c->values, (int)s->bag[k].id[i]);
        snprintf(name, sizeof name, "column.%d.offsets", k);
        if ((st = sg_model_array_need(&a, m, name, SG_DT_I64, 1, (int64_t[]){m->n_items + 1}, err)))
            return st;
        s->bag[k].offsets = a->data;
        for (int32_t i = 0; i <= m->n_items; i++)
            if (s->bag[k].offsets[i] < (i ? s->bag[k].offsets[i - 1] : 0) ||
                s->bag[k].offsets[i] > (int64_t)count)
                return sg_fail(err, SG_ERR_FORMAT,
                               "heterrec: array '%s': expected ascending numbers up to %zu, found %lld", name,
                               count, (long long)s->bag[k].offsets[i]);
    }
    return SG_OK;
}

static sg_status heterrec_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const heterrec_config *c = m->config;
    const heterrec *s = m->state;
    const char *at = c->columns;
    sg_status st = SG_OK;

    for (int k = 0; !st && k < s->columns; k++) {
        char names[sizeof c->columns];
        const size_t n = strcspn(at, ",");

        snprintf(names, sizeof names, "%.*s", (int)n, at);
        at += n + (at[n] == ',');
        st = put_column(m, t->data, k, names, err);
    }
    if (!st && c->vectors)
        st = put_vectors(m, t, err);
    if (!st && c->content > 0)
        st = sg_content_add(s->item, t, c->content * c->init_sd, err);
    return st ? st : find_features(m, err);
}

static void heterrec_fini(sg_model *m)
{
    heterrec *s = m->state;

    sg_tower_free(&s->token);
    sg_tower_free(&s->whole);
    sg_runs_free(&s->runs);
}

static sg_status heterrec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const heterrec_config *c = m->config;
    heterrec *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, c->length, false, 2, err);

    *n = s->runs.n;
    return st;
}

/* ---- forward ------------------------------------------------------------------------------------------------------ */

static sg_tensor *mlp_forward(sg_graph *g, const mlp *p, sg_tensor *x, float dropout)
{
    return sg_linear(g, sg_linear_act(g, x, p->w1, p->b1, SG_GELU, dropout), p->w2, p->b2);
}

/* Mean of the values of column k of n items: (n, dim). */
static sg_tensor *values_of(sg_graph *g, const heterrec *s, int k, const int32_t *item, int n)
{
    const bag *b = &s->bag[k];
    int32_t *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets), *id;
    int total = 0;

    if (!offsets)
        return NULL;
    for (int i = 0; i < n; i++) {
        offsets[i] = total;
        total += (int)(b->offsets[item[i] + 1] - b->offsets[item[i]]);
    }
    offsets[n] = total;
    if (!(id = sg_scratch(g, (size_t)total + 1, sizeof *id)))
        return NULL;
    for (int i = 0; i < n; i++)
        memcpy(id + offsets[i], b->id + b->offsets[item[i]],
               (size_t)(offsets[i + 1] - offsets[i]) * sizeof *id);
    return sg_segment_mean(g, sg_embed(g, s->value, id, total), offsets, n);
}

static sg_tensor *mapped_vectors(sg_graph *g, const heterrec *s, const int32_t *item, int n)
{
    const size_t dim = (size_t)s->map->dim[1];
    float *x = sg_scratch(g, (size_t)n * dim, sizeof *x);

    if (!x)
        return NULL;
    for (int i = 0; i < n; i++)
        memcpy(x + (size_t)i * dim, s->vector + (size_t)item[i] * dim, dim * sizeof *x);
    return sg_linear(g, sg_input(g, x, 2, (int[]){n, (int)dim}), s->map, s->map_bias);
}

/* e_f of n items: features x (n, dim) */
static void features_of(sg_tensor **e, sg_graph *g, const heterrec *s, const int32_t *item, int n)
{
    e[0] = sg_embed(g, s->item, item, n);
    for (int k = 0; k < s->columns; k++)
        e[1 + k] = values_of(g, s, k, item, n);
    if (s->map)
        e[1 + s->columns] = mapped_vectors(g, s, item, n);
}

/* The vectors that items are guessed by: (n, dim). */
static sg_tensor *targets_of(sg_graph *g, const heterrec *s, sg_tensor *const *e, float dropout)
{
    return s->features == 1
               ? e[0]
               : sg_plus(g, e[0], mlp_forward(g, &s->target, sg_concat_cols(g, e, s->features), dropout));
}

/* Tokens of all items, item by item: (tokens * features, dim), through their blocks. h: where token f of all items is, for each f. */
static bool token_states(sg_tensor **h, sg_graph *g, const sg_model *m, sg_tensor *const *e,
                         const sg_sequences *q)
{
    const heterrec_config *c = m->config;
    const heterrec *s = m->state;
    const int n = q->tokens, f = s->features;
    int32_t *row = sg_scratch(g, (size_t)n * (size_t)f, sizeof *row),
            *type = sg_scratch(g, (size_t)n * (size_t)f, sizeof *type);
    int32_t *offsets = sg_scratch(g, (size_t)q->n + 1, sizeof *offsets);
    sg_tensor *x;

    if (!row || !type || !offsets)
        return false;
    for (int t = 0; t < n; t++)
        for (int k = 0; k < f; k++) {
            row[t * f + k] = k * n + t;
            type[t * f + k] = k;
        }
    for (int b = 0; b <= q->n; b++)
        offsets[b] = q->offsets[b] * f;
    x = sg_plus(g, sg_rows(g, sg_concat_rows(g, e, f), row, n * f), sg_embed(g, s->type, type, n * f));
    x = sg_tower_forward(g, &s->token, x, offsets, q->n, SG_MASK_CAUSAL, (float)c->dropout);
    for (int k = 0; k < f; k++) {
        for (int t = 0; t < n; t++)
            row[t] = t * f + k;
        h[k] = sg_rows(g, x, row, n);
    }
    return true;
}

/* z (tokens, dim); h: token states of each feature, NULL without token blocks. */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, sg_tensor **h)
{
    const heterrec_config *c = m->config;
    const heterrec *s = m->state;
    const int32_t *place = sg_places_from_end(g, q);
    sg_tensor *e[FEATURES_MAX], *p, *x;

    if (!place)
        return NULL;
    features_of(e, g, s, q->item, q->tokens);
    p = sg_embed(g, s->position, place, q->tokens);
    for (int f = 0; f < s->features; f++)
        e[f] = sg_dropout(g, sg_plus(g, sg_scale(g, e[f], f == 0 ? sqrtf((float)c->dim) : 1), p),
                          (float)c->dropout_input);
    if (s->features == 1)
        x = e[0];
    else if (!c->tokens)
        x = sg_plus(g, e[0], sg_linear(g, sg_concat_cols(g, e, s->features), s->join, s->join_bias));
    else if (token_states(h, g, m, e, q))
        x = sg_plus(g, e[0], sg_linear(g, sg_concat_cols(g, h, s->features), s->join, s->join_bias));
    else
        return NULL;
    return sg_tower_forward(g, &s->whole, x, q->offsets, q->n, SG_MASK_CAUSAL, (float)c->dropout);
}

/* ---- training ------------------------------------------------------------------------------------------------------- */

/* Items that are compared, and where each stands among them (slot, -1: nowhere). */
static bool take_candidates(int32_t **item, int *n, int32_t **slot, sg_graph *g, const sg_model *m,
                            const sg_sequences *q, uint64_t seed, uint64_t step)
{
    const heterrec_config *c = m->config;
    const int32_t all = m->n_items;
    const size_t most = c->negatives ? (size_t)q->tokens + (size_t)c->negatives : (size_t)all;

    *slot = sg_scratch(g, (size_t)all, sizeof **slot);
    *item = sg_scratch(g, most, sizeof **item);
    *n = 0;
    if (!*slot || !*item)
        return false;
    memset(*slot, 0xff, (size_t)all * sizeof **slot);
    for (size_t i = 0; i < most; i++) {
        const int32_t one = !c->negatives ? (int32_t)i
                            : i < (size_t)q->tokens
                                ? q->target[i]
                                : (int32_t)sg_rng_below((uint64_t)all, seed, SG_RNG_NEGATIVE, step, i);

        if (one >= 0 && (*slot)[one] < 0) {
            (*slot)[one] = *n;
            (*item)[(*n)++] = one;
        }
    }
    return true;
}

/* Where item t + ahead of each token stands among the candidates; -1: past the end. */
static const int32_t *ahead(sg_graph *g, const sg_sequences *q, const int32_t *slot, int far)
{
    int32_t *to = sg_scratch(g, (size_t)q->tokens, sizeof *to);

    for (int b = 0; to && b < q->n; b++)
        for (int t = q->offsets[b]; t < q->offsets[b + 1]; t++) {
            const int at = t + far - 1;

            to[t] = at < q->offsets[b + 1] && q->target[at] >= 0 ? slot[q->target[at]] : -1;
        }
    return to;
}

static sg_tensor *heterrec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                                uint64_t step)
{
    const heterrec_config *c = m->config;
    const heterrec *s = m->state;
    const float scale = (float)(1 / c->temperature);
    sg_tensor *e[FEATURES_MAX], *h[FEATURES_MAX], *z, *loss = NULL;
    int32_t *item, *slot;
    sg_param *table;
    sg_sequences q;
    float total = 0;
    int n_items;

    if (!sg_runs_pack(&q, g, &s->runs, example, n, seed, step) ||
        !take_candidates(&item, &n_items, &slot, g, m, &q, seed, step))
        return NULL;
    z = encode(m, g, &q, h);
    features_of(e, g, s, item, n_items);
    if (!z || !(table = sg_table(g, targets_of(g, s, e, (float)c->dropout))))
        return NULL;
    for (int i = 0; i < c->ahead; i++) {
        const int32_t *to = ahead(g, &q, slot, i + 1);
        const float weight = 1 / (float)(i + 1);
        sg_tensor *guess = i ? sg_plus(g, z, mlp_forward(g, &s->step[i], z, (float)c->dropout)) : z, *part;

        if (!to)
            return NULL;
        part = sg_scale(g, sg_softmax_ce(g, guess, table, NULL, to, NULL, scale, 0), weight);
        loss = loss ? sg_plus(g, loss, part) : part;
        total += weight;
    }
    loss = sg_scale(g, loss, 1 / total);
    for (int f = 0; f < s->features && s->guess[0]; f++) {
        const int32_t *to = ahead(g, &q, slot, 1);
        sg_param *of = sg_table(g, sg_linear(g, e[f], s->guess[f], NULL));

        if (!to || !of)
            return NULL;
        loss = sg_plus(g, loss,
                       sg_scale(g, sg_softmax_ce(g, h[f], of, NULL, to, NULL, scale, 0),
                                (float)c->token_loss / (float)s->features));
    }
    return loss;
}

/* ---- scoring ---------------------------------------------------------------------------------------------------------- */

typedef struct scorer { /* of one session: the targets of all items, at this state of the weights */
    float *target;      /* owned (n_items, dim) */
    uint64_t version;
} scorer;

static void heterrec_session_fini(sg_session *session)
{
    scorer *r = session->state;

    sg_free(r->target);
    *r = (scorer){0};
}

static sg_status know_targets(sg_session *session, sg_error *err)
{
    enum { RUN = 4096 };
    const sg_model *m = session->model;
    const heterrec *s = m->state;
    const size_t dim = (size_t)s->item->dim[1];
    scorer *r = session->state;
    int32_t item[RUN];

    if (r->version == sg_params_version(&m->params))
        return SG_OK;
    if (!r->target && !(r->target = sg_alloc_array((size_t)m->n_items, dim * sizeof *r->target)))
        return sg_fail_memory(err, "item vectors");
    for (int32_t first = 0; first < m->n_items; first += RUN) {
        const int n = m->n_items - first < RUN ? m->n_items - first : RUN;
        sg_tensor *e[FEATURES_MAX];
        const sg_tensor *x;
        sg_status st;

        for (int i = 0; i < n; i++)
            item[i] = first + i;
        sg_graph_begin(session->graph, SG_INFER, 0, 0);
        features_of(e, session->graph, s, item, n);
        x = targets_of(session->graph, s, e, 0);
        if ((st = sg_graph_status(session->graph, err)))
            return st;
        memcpy(r->target + (size_t)first * dim, x->data, x->count * sizeof *r->target);
    }
    r->version = sg_params_version(&m->params);
    return SG_OK;
}

static sg_status heterrec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const heterrec_config *c = m->config;
    const scorer *r = session->state;
    sg_graph *g = session->graph;
    sg_tensor *state[FEATURES_MAX];
    const sg_tensor *z;
    sg_sequences q;
    sg_status st = know_targets(session, err);

    if (st)
        return st;
    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_pack(&q, g, h, c->length))
        return sg_graph_status(g, err);
    z = sg_rows(g, encode(m, g, &q, state), q.last, h->n);
    if ((st = sg_graph_status(g, err)))
        return st;
    sg_gemm(session->pool, sg_graph_precision(g), false, true, h->n, m->n_items, c->dim, 1, z->data, c->dim,
            r->target, c->dim, 0, scores, m->n_items);
    return SG_OK;
}

const sg_model_class sg_model_heterrec = {
    .name = "heterrec",
    .summary = "items as several tokens, one a feature, read token by token and then item by item",
    .paper = "HeterRec, SIGIR 2025, arXiv:2503.01469",
    .options = heterrec_options,
    .n_options = sizeof heterrec_options / sizeof *heterrec_options,
    .config_bytes = sizeof(heterrec_config),
    .state_bytes = sizeof(heterrec),
    .weights = heterrec_weights,
    .init = heterrec_init,
    .ready = find_features,
    .fini = heterrec_fini,
    .examples = heterrec_examples,
    .loss = heterrec_loss,
    .score = heterrec_score,
    .session_bytes = sizeof(scorer),
    .session_fini = heterrec_session_fini,
};
