/* bert4rec.c - masked items guessed from both sides.   [Sun et al., CIKM 2019, arXiv:1904.06690]
 *
 *   x_t = E[item_t] or m where masked, + P[n - t]        positions count from the end of the sequence
 *   x   = blocks(LN(x)), every token sees every token
 *   h   = LN(GELU(x W + b))                              score(j) = h . E_j + c_j
 *
 * In training each event is masked with probability mask_prob (at least one of a sequence); a share mask_last of
 * the sequences has its last event masked instead, which is what scoring asks: a mask after the history. The loss
 * is the full softmax at the masks. The mask is no item: it is a vector of its own and is never scored.
 * Where we differ from the paper's code: pre-norm blocks; positions are aligned to the end; a masked event is always
 * replaced by the mask (theirs keeps a tenth and swaps a tenth for random items); masks are drawn anew for every epoch
 * instead of ten times before training. */
#include "models/sequence.h"

#include "base/rng.h"
#include "models/content.h"
#include "nn/transformer.h"

#include <string.h>

#define BERT4REC_OPTIONS(X)                                                                                  \
    X(int, dim, 64, 4, 4096, "width of item and position vectors")                                           \
    X(int, layers, 2, 0, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward part")                                       \
    X(int, length, 50, 2, 8192, "tokens that are read: the latest events and the mask after them")           \
    X(float, dropout, 0.2, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(float, mask_prob, 0.2, 0, 1, "share of events that are masked and have to be guessed")                 \
    X(float, mask_last, 0.5, 0, 1, "share of sequences whose last event is masked, and only that")           \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all items")                         \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the vectors at the start")                  \
    X(float, content, 0, 0, 100,                                                                             \
      "item vectors of this many times init_sd are added to the vectors at the start (0: none)")

typedef struct bert4rec_config {
    BERT4REC_OPTIONS(SG_OPTION_FIELD)
} bert4rec_config;
#define SG_OPTION_STRUCT bert4rec_config
static const sg_option bert4rec_options[] = {BERT4REC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { RNG_EVENT = SG_RNG_USER, RNG_SEQUENCE }; /* which events of a step are masked; which sequences how */
static const float EPS = 1e-8f;

typedef struct bert4rec {
    sg_param *item, *item_bias, *mask, *position; /* (n_items, dim), (n_items), (1, dim), (length, dim) */
    sg_param *head, *head_bias;                   /* (dim, dim), (dim) */
    sg_norm norm_input, norm_head;
    sg_tower tower;
    sg_runs runs; /* training */
} bert4rec;

static sg_status bert4rec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const bert4rec_config *c = m->config;
    bert4rec *s = m->state;
    sg_params *ps = &m->params;
    const float sd = (float)c->init_sd;
    const sg_block_spec spec = {
        .dim = c->dim, .heads = c->heads, .ffn = c->ffn, .bias = true, .eps = EPS, .act = SG_GELU};
    sg_status st;

    s->item = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, m->n_items, c->dim, "item.weight");
    s->item_bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, m->n_items, 0, "item.bias");
    s->mask = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, 1, c->dim, "mask.weight");
    s->position = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->length, c->dim, "position.weight");
    sg_norm_declare(&s->norm_input, ps, c->dim, false, EPS, "norm_input");
    if ((st = sg_tower_declare(&s->tower, ps, seed, c->layers, &spec, "", err)))
        return st;
    s->head = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "head.weight");
    s->head_bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "head.bias");
    sg_norm_declare(&s->norm_head, ps, c->dim, false, EPS, "norm_head");
    return SG_OK;
}

static sg_status bert4rec_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const bert4rec_config *c = m->config;
    const bert4rec *s = m->state;

    return c->content > 0 ? sg_content_add(s->item, t, c->content * c->init_sd, err) : SG_OK;
}

static void bert4rec_fini(sg_model *m)
{
    bert4rec *s = m->state;

    sg_tower_free(&s->tower);
    sg_runs_free(&s->runs);
}

static sg_status bert4rec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const bert4rec_config *c = m->config;
    bert4rec *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, c->length - 1, false, 2, err);

    *n = s->runs.n;
    return st;
}

/* What h says of rows `row` (n) of the tokens: (n, dim), to be held against the item table. Item -1: a mask. */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, const int32_t *row, int n)
{
    const bert4rec_config *c = m->config;
    const bert4rec *s = m->state;
    const int32_t *position = sg_places_from_end(g, q);
    int32_t *mask = sg_scratch(g, (size_t)q->tokens, sizeof *mask);
    sg_tensor *x;

    if (!position || !mask)
        return NULL;
    for (int t = 0; t < q->tokens; t++)
        mask[t] = q->item[t] < 0 ? 0 : -1;
    x = sg_plus(g, sg_embed(g, s->item, q->item, q->tokens), sg_embed(g, s->mask, mask, q->tokens));
    x = sg_plus(g, x, sg_embed(g, s->position, position, q->tokens));
    x = sg_dropout(g, sg_norm_forward(g, &s->norm_input, x), (float)c->dropout_input);
    x = sg_rows(g, sg_tower_forward(g, &s->tower, x, q->offsets, q->n, SG_MASK_NONE, (float)c->dropout), row,
                n);
    return sg_norm_forward(g, &s->norm_head, sg_linear_act(g, x, s->head, s->head_bias, SG_GELU, 0));
}

/* Takes events away from the sequences and lists them: tokens in row, items in target. Returns how many. */
static int mask_events(const bert4rec_config *c, sg_sequences *q, int32_t *row, int32_t *target,
                       uint64_t seed, uint64_t step)
{
    int n = 0;

    for (int b = 0; b < q->n; b++) {
        const int begin = q->offsets[b], end = q->offsets[b + 1], first = n;

        if (sg_rng_double(seed, RNG_SEQUENCE, step, 2 * (uint64_t)b) < c->mask_last)
            row[n++] = end - 1;
        else
            for (int t = begin; t < end; t++)
                if (sg_rng_double(seed, RNG_EVENT, step, (uint64_t)t) < c->mask_prob)
                    row[n++] = t;
        if (n == first)
            row[n++] = begin + (int)sg_rng_below((uint64_t)(end - begin), seed, RNG_SEQUENCE, step,
                                                 2 * (uint64_t)b + 1);
    }
    for (int i = 0; i < n; i++) {
        target[i] = q->item[row[i]];
        q->item[row[i]] = -1;
    }
    return n;
}

static sg_tensor *bert4rec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                                uint64_t step)
{
    const bert4rec_config *c = m->config;
    const bert4rec *s = m->state;
    int32_t *row, *target;
    sg_sequences q;

    if (!sg_runs_pack_whole(&q, g, &s->runs, example, n) ||
        !(row = sg_scratch(g, (size_t)q.tokens, sizeof *row)) ||
        !(target = sg_scratch(g, (size_t)q.tokens, sizeof *target)))
        return NULL;
    const int masked = mask_events(c, &q, row, target, seed, step);
    return sg_softmax_ce(g, encode(m, g, &q, row, masked), s->item, s->item_bias, target, NULL, 1,
                         (float)c->label_smoothing);
}

static sg_status bert4rec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const bert4rec_config *c = m->config;
    const bert4rec *s = m->state;
    sg_graph *g = session->graph;
    sg_sequences read, q;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_pack(&read, g, h, c->length - 1) || !sg_sequences_append(&q, g, &read))
        return sg_graph_status(g, err);
    return sg_item_scores(session, encode(m, g, &q, q.last, q.n), s->item, s->item_bias, false, scores, err);
}

const sg_model_class sg_model_bert4rec = {
    .name = "bert4rec",
    .summary = "masked items guessed by attention over both sides of the sequence",
    .paper = "Sun et al., CIKM 2019, arXiv:1904.06690",
    .options = bert4rec_options,
    .n_options = sizeof bert4rec_options / sizeof *bert4rec_options,
    .config_bytes = sizeof(bert4rec_config),
    .state_bytes = sizeof(bert4rec),
    .weights = bert4rec_weights,
    .init = bert4rec_init,
    .fini = bert4rec_fini,
    .examples = bert4rec_examples,
    .loss = bert4rec_loss,
    .score = bert4rec_score,
};
