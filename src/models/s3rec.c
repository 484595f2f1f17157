/* s3rec.c - self-supervised tasks first, then next items.   [Zhou et al., CIKM 2020, arXiv:2008.07873]
 *
 *   x = blocks(dropout(LN(E[item] + P[place]))), places counted from the end; h = LN(x); F_k linear maps, A vectors of attributes
 *
 * Pre-training, `pretrain` epochs: every token sees every token; the last event of a sequence and others with probability
 * mask_prob are replaced by a mask vector.
 *   AAP  events that are not masked:   F_1 h_t . A tells the attributes of item t from all others         binary cross-entropy
 *   MIP  masked events:                F_2 h_t . E prefers the item to a uniform one                      -log s(difference)
 *   MAP  masked events:                F_3 h_t . A tells the attributes of the item                       binary cross-entropy
 *   SP   a segment of up to half of the sequence: F_4 (last h of the sequence without it) prefers the last h of the segment
 *        alone to that of a foreign segment in its place                                                  -log s(difference)
 * loss = (weight_aap AAP + weight_mip MIP + weight_map MAP + weight_sp SP) / events, sums over rows and attributes.
 * Then fine-tuning, the epochs of training: attention is causal and every position is a label, as in SASRec. Attributes are the
 * categories of item text (models/attributes.h). Where we differ from the paper's code: pre-norm blocks; the optimizer goes on
 * from pre-training to fine-tuning; loss=ce, the default, is the full softmax (theirs: loss=bce). */
#include "models/sequence.h"

#include "base/rng.h"
#include "models/attributes.h"
#include "nn/transformer.h"

#include <string.h>

#define S3REC_OPTIONS(X)                                                                                     \
    X(int, dim, 64, 4, 4096, "width of item and position vectors")                                           \
    X(int, layers, 2, 0, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward part")                                       \
    X(int, length, 50, 2, 8192, "events of the history that are read, the latest")                           \
    X(float, dropout, 0.5, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.5, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(int, pretrain, 100, 0, 100000, "epochs of the self-supervised tasks, before those of training")        \
    X(float, mask_prob, 0.2, 0, 1, "pre-training: share of events that are masked")                          \
    X(int, attributes, 1000, 0, 1000000,                                                                     \
      "attributes that are told, the most frequent (0: without AAP, MAP)")                                   \
    X(text, attribute_columns, "", 0, 255,                                                                   \
      "columns of item text they come from, comma separated (empty: all)")                                   \
    X(float, weight_aap, 0.2, 0, 100, "pre-training: weight of attributes of events that are seen")          \
    X(float, weight_mip, 1, 0, 100, "pre-training: weight of masked items")                                  \
    X(float, weight_map, 1, 0, 100, "pre-training: weight of attributes of masked items")                    \
    X(float, weight_sp, 0.5, 0, 100, "pre-training: weight of segments")                                     \
    X(choice, loss, ce, 0, 0, "ce|bce: fine-tuning, full softmax or binary")                                 \
    X(int, negatives, 1, 1, 65536, "loss=bce: uniform negatives a position")                                 \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the vectors at the start")

typedef struct s3rec_config {
    S3REC_OPTIONS(SG_OPTION_FIELD)
} s3rec_config;
#define SG_OPTION_STRUCT s3rec_config
static const sg_option s3rec_options[] = {S3REC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { AAP, MIP, MAP, SP, TASKS };
enum { RNG_MASK = SG_RNG_USER, RNG_SEGMENT }; /* which events are masked; which segments are taken */
static const float EPS = 1e-8f;

typedef struct s3rec {
    sg_param *item, *mask, *position;   /* (n_items, dim), (1, dim), (length + 1, dim) */
    sg_param *attribute;                /* (attributes, dim), NULL: none */
    sg_param *map[TASKS], *bias[TASKS]; /* (dim, dim), (dim) */
    sg_norm norm_input;
    sg_tower tower;
    sg_runs runs;     /* training */
    sg_attributes of; /* of the items; training */
} s3rec;

static sg_status s3rec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    static const char *const tasks[TASKS] = {"aap", "mip", "map", "sp"};
    const s3rec_config *c = m->config;
    s3rec *s = m->state;
    sg_params *ps = &m->params;
    const float sd = (float)c->init_sd;
    const sg_block_spec spec = {
        .dim = c->dim, .heads = c->heads, .ffn = c->ffn, .bias = true, .eps = EPS, .act = SG_GELU};
    sg_status st;

    s->item = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, strcmp(c->loss, "ce") ? SG_PARAM_SPARSE : 0,
                           m->n_items, c->dim, "item.weight");
    /* pre-training reads a run with the event that is only a label later */
    s->position = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->length + 1, c->dim, "position.weight");
    sg_norm_declare(&s->norm_input, ps, c->dim, false, EPS, "norm_input");
    if ((st = sg_tower_declare(&s->tower, ps, seed, c->layers, &spec, "", err)) || !c->pretrain)
        return st;
    s->mask = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, 1, c->dim, "mask.weight");
    if (c->attributes)
        s->attribute =
            sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->attributes, c->dim, "attribute.weight");
    for (int i = 0; i < TASKS; i++) {
        s->map[i] = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->dim, c->dim, "task.%s.weight", tasks[i]);
        s->bias[i] =
            sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "task.%s.bias", tasks[i]);
    }
    return SG_OK;
}

static void s3rec_fini(sg_model *m)
{
    s3rec *s = m->state;

    sg_tower_free(&s->tower);
    sg_runs_free(&s->runs);
    sg_attributes_free(&s->of);
}

static int s3rec_pretrain(const sg_model *m)
{
    return ((const s3rec_config *)m->config)->pretrain;
}

static sg_status s3rec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const s3rec_config *c = m->config;
    s3rec *s = m->state;
    sg_status st = sg_runs_new(&s->runs, t, c->length, false, 2, err);

    *n = s->runs.n;
    if (st || !c->pretrain || !c->attributes)
        return st;
    if ((st = sg_attributes_new(&s->of, t->data, c->attribute_columns, c->attributes, err)))
        return st;
    return s->of.n
               ? SG_OK
               : sg_fail(
                     err, SG_ERR_MISSING,
                     "s3rec: no column of %s's item text holds categories; attributes=0 goes without them",
                     t->data->name);
}

/* (tokens, dim) after all blocks and the final norm; item -1: a mask. */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, sg_mask mask)
{
    const s3rec_config *c = m->config;
    const s3rec *s = m->state;
    const int32_t *place = sg_places_from_end(g, q);
    int32_t *hidden = sg_scratch(g, (size_t)q->tokens, sizeof *hidden);
    sg_tensor *x;

    if (!place || !hidden)
        return NULL;
    x = sg_plus(g, sg_embed(g, s->item, q->item, q->tokens), sg_embed(g, s->position, place, q->tokens));
    for (int t = 0; t < q->tokens; t++)
        hidden[t] = q->item[t] < 0 ? 0 : -1;
    if (mask == SG_MASK_NONE)
        x = sg_plus(g, x, sg_embed(g, s->mask, hidden, q->tokens));
    x = sg_dropout(g, sg_norm_forward(g, &s->norm_input, x), (float)c->dropout_input);
    return sg_tower_forward(g, &s->tower, x, q->offsets, q->n, mask, (float)c->dropout);
}

/* ---- pre-training ------------------------------------------------------------------------------------------------ */

typedef struct lesson {
    sg_sequences
        q; /* the sequences four times: masked; without a segment; the segment alone; a foreign segment in its place */
    int n, n_seen, n_masked;
    int32_t *seen, *seen_item, *masked, *masked_item; /* rows of the first quarter, and what stood there */
    int32_t *last[4];                                 /* (n): last rows of the sequences of each quarter */
} lesson;

static bool take_lesson(lesson *l, sg_graph *g, const sg_sequences *whole)
{
    const size_t tokens = (size_t)whole->tokens, n = (size_t)whole->n;
    int32_t *rows = sg_scratch(g, 4 * tokens + 4 * n, sizeof *rows);

    *l = (lesson){.n = whole->n,
                  .q = {.n = 4 * whole->n,
                        .tokens = 4 * whole->tokens,
                        .offsets = sg_scratch(g, 4 * n + 1, sizeof *l->q.offsets),
                        .item = sg_scratch(g, 4 * tokens, sizeof *l->q.item)}};
    if (!rows || !l->q.offsets || !l->q.item)
        return false;
    l->seen = rows;
    l->seen_item = rows + tokens;
    l->masked = rows + 2 * tokens;
    l->masked_item = rows + 3 * tokens;
    for (int k = 0; k < 4; k++) {
        l->last[k] = rows + 4 * tokens + (size_t)k * n;
        for (int b = 0; b < whole->n; b++) {
            l->q.offsets[k * whole->n + b] = k * whole->tokens + whole->offsets[b];
            l->last[k][b] = k * whole->tokens + whole->offsets[b + 1] - 1;
        }
    }
    l->q.offsets[4 * n] = l->q.tokens;
    return true;
}

/* The i-th event after the start of run `run`, which goes on into the runs that follow. */
static int32_t foreign_item(const sg_runs *r, size_t run, int64_t i)
{
    for (;; run = (run + 1) % r->n) {
        const int64_t begin = r->data->user_offsets[r->user[run]], have = r->end[run] - begin;
        const int64_t n = have < r->length + 1 ? have : r->length + 1;

        if (i < n)
            return r->data->item[r->end[run] - n + i];
        i -= n;
    }
}

static void prepare_sequence(lesson *l, const sg_runs *r, const sg_sequences *whole, int b, double mask_prob,
                             uint64_t seed, uint64_t step)
{
    const int begin = whole->offsets[b], end = whole->offsets[b + 1], len = end - begin,
              tokens = whole->tokens;
    const uint64_t place = 4 * (uint64_t)b;
    const int segment = 1 + (int)sg_rng_below((uint64_t)(len / 2), seed, RNG_SEGMENT, step, place);
    const int from =
        begin + (int)sg_rng_below((uint64_t)(len - segment + 1), seed, RNG_SEGMENT, step, place + 1);
    const size_t run = (size_t)sg_rng_below(r->n, seed, RNG_SEGMENT, step, place + 2);
    const int64_t skip = (int64_t)sg_rng_below((uint64_t)r->length, seed, RNG_SEGMENT, step, place + 3);

    for (int t = begin; t < end; t++) {
        const int32_t item = whole->item[t];
        const bool hide = t == end - 1 || sg_rng_double(seed, RNG_MASK, step, (uint64_t)t) < mask_prob;
        const bool inside = t >= from && t < from + segment;

        l->q.item[t] = hide ? -1 : item;
        l->q.item[tokens + t] = inside ? -1 : item;
        l->q.item[2 * tokens + t] = inside ? item : -1;
        l->q.item[3 * tokens + t] = inside ? foreign_item(r, run, skip + t - from) : -1;
        if (hide) {
            l->masked[l->n_masked] = t;
            l->masked_item[l->n_masked++] = item;
        } else {
            l->seen[l->n_seen] = t;
            l->seen_item[l->n_seen++] = item;
        }
    }
}

/* Sum over rows and attributes, as a scalar: which of all attributes has each item? */
static sg_tensor *tell_attributes(const sg_model *m, sg_graph *g, int task, sg_tensor *h, const int32_t *row,
                                  const int32_t *item, int n)
{
    const s3rec *s = m->state;
    const size_t width = (size_t)s->attribute->dim[0];
    float *label = sg_scratch(g, (size_t)n * width, sizeof *label);

    if (!label)
        return NULL;
    memset(label, 0, (size_t)n * width * sizeof *label);
    for (int i = 0; i < n; i++)
        for (int64_t k = s->of.offsets[item[i]]; k < s->of.offsets[item[i] + 1]; k++)
            label[(size_t)i * width + (size_t)s->of.id[k]] = 1;
    h = sg_linear(g, sg_rows(g, h, row, n), s->map[task], s->bias[task]);
    return sg_scale(g, sg_bce_logits(g, sg_linear(g, h, s->attribute, NULL), label, NULL),
                    (float)n * (float)width);
}

static sg_tensor *tell_items(const sg_model *m, sg_graph *g, sg_tensor *h, const lesson *l, uint64_t seed,
                             uint64_t step)
{
    const s3rec *s = m->state;
    int32_t *negative = sg_scratch(g, (size_t)l->n_masked, sizeof *negative);
    const sg_sampled_spec spec = {.target = l->masked_item, .negatives = negative, .n_neg = 1, .scale = 1};

    if (!negative)
        return NULL;
    for (int i = 0; i < l->n_masked; i++)
        negative[i] = (int32_t)sg_rng_below((uint64_t)m->n_items, seed, SG_RNG_NEGATIVE, step, (uint64_t)i);
    h = sg_linear(g, sg_rows(g, h, l->masked, l->n_masked), s->map[MIP], s->bias[MIP]);
    return sg_scale(g, sg_sampled_ce(g, h, s->item, &spec),
                    (float)l->n_masked); /* of two: -log s(difference) */
}

static sg_tensor *tell_segments(const sg_model *m, sg_graph *g, sg_tensor *h, const lesson *l)
{
    const s3rec *s = m->state;
    const int dim = s->item->dim[1];
    float *one = sg_scratch(g, (size_t)(l->n > dim ? l->n : dim), sizeof *one);
    sg_tensor *around = sg_linear(g, sg_rows(g, h, l->last[1], l->n), s->map[SP], s->bias[SP]);
    sg_tensor *more = sg_minus(g, sg_rows(g, h, l->last[2], l->n), sg_rows(g, h, l->last[3], l->n));

    if (!one)
        return NULL;
    for (int i = 0; i < l->n || i < dim; i++)
        one[i] = 1;
    more = sg_matmul(g, sg_times(g, around, more), sg_input(g, one, 2, (int[]){dim, 1}),
                     false); /* sums of rows */
    return sg_scale(g, sg_bce_logits(g, more, one, NULL), (float)l->n);
}

static sg_tensor *plus_weighted(sg_graph *g, sg_tensor *sum, sg_tensor *x, double weight)
{
    x = sg_scale(g, x, (float)weight);
    return sum ? sg_plus(g, sum, x) : x;
}

static sg_tensor *pretrain_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                                uint64_t step)
{
    const s3rec_config *c = m->config;
    const s3rec *s = m->state;
    sg_sequences whole;
    sg_tensor *h, *sum;
    lesson l;

    if (!sg_runs_pack_whole(&whole, g, &s->runs, example, n) || !take_lesson(&l, g, &whole))
        return NULL;
    for (int b = 0; b < n; b++)
        prepare_sequence(&l, &s->runs, &whole, b, c->mask_prob, seed, step);
    h = encode(m, g, &l.q, SG_MASK_NONE);
    sum = plus_weighted(g, NULL, tell_items(m, g, h, &l, seed, step), c->weight_mip);
    sum = plus_weighted(g, sum, tell_segments(m, g, h, &l), c->weight_sp);
    if (s->attribute) {
        sum = plus_weighted(g, sum, tell_attributes(m, g, MAP, h, l.masked, l.masked_item, l.n_masked),
                            c->weight_map);
        if (l.n_seen)
            sum = plus_weighted(g, sum, tell_attributes(m, g, AAP, h, l.seen, l.seen_item, l.n_seen),
                                c->weight_aap);
    }
    return sg_scale(g, sum, 1 / (float)whole.tokens);
}

/* ---- fine-tuning and scoring -------------------------------------------------------------------------------------- */

static sg_tensor *s3rec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                             uint64_t step)
{
    const s3rec_config *c = m->config;
    const s3rec *s = m->state;
    const sg_item_loss loss = {.kind = c->loss, .negatives = c->negatives, .temperature = 1};
    sg_sequences q;

    if (m->epoch < c->pretrain)
        return pretrain_loss(m, g, example, n, seed, step);
    if (!sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    return sg_item_loss_of(g, encode(m, g, &q, SG_MASK_CAUSAL), s->item, q.target, &loss, seed, step);
}

static sg_status s3rec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const s3rec_config *c = m->config;
    const s3rec *s = m->state;
    sg_graph *g = session->graph;
    sg_sequences q;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_pack(&q, g, h, c->length))
        return sg_graph_status(g, err);
    return sg_item_scores(session, sg_rows(g, encode(m, g, &q, SG_MASK_CAUSAL), q.last, h->n), s->item, NULL,
                          false, scores, err);
}

const sg_model_class sg_model_s3rec = {
    .name = "s3rec",
    .summary = "self-supervised tasks over items, attributes and segments, then causal self-attention",
    .paper = "Zhou et al., CIKM 2020, arXiv:2008.07873",
    .options = s3rec_options,
    .n_options = sizeof s3rec_options / sizeof *s3rec_options,
    .config_bytes = sizeof(s3rec_config),
    .state_bytes = sizeof(s3rec),
    .weights = s3rec_weights,
    .fini = s3rec_fini,
    .pretrain = s3rec_pretrain,
    .examples = s3rec_examples,
    .loss = s3rec_loss,
    .score = s3rec_score,
};
