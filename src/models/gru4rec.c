/* gru4rec.c - a recurrent network over the item sequence.   [Hidasi et al., ICLR 2016; Hidasi & Karatzoglou, CIKM 2018]
 *
 *   x_t = E[item_t];  h_t = GRU(x_t, h_{t-1}), layer upon layer;  y_t = W_o h_t + b_o;  score(j | t) = y_t . E_j
 *
 * Every position is a label (the next item). loss=ce is the full softmax. The losses of the papers are sampled, bpr_max and
 * top1_max, over the labels of the batch (negatives_batch=true) and drawn items (negatives_alpha=0.5, logq=1 in their best
 * settings). Their code takes each negative's own odds off its logit; here it is the log of how often an item is expected in
 * the mixture of both. Where we differ: whole runs of events are read and learned
 * through (no state is carried from batch to batch), the output table is the input table, and r gates the
 * state before it is multiplied, as in the original code. */
#include "models/sequence.h"

#include "base/alloc.h"
#include "nn/recurrent.h"

#include <stdio.h>
#include <string.h>

#define GRU4REC_OPTIONS(X)                                                                                   \
    X(int, dim, 64, 4, 4096, "width of item vectors")                                                        \
    X(int, hidden, 128, 4, 4096, "width of the state")                                                       \
    X(int, layers, 1, 1, 16, "recurrent layers")                                                             \
    X(int, length, 50, 1, 8192, "events of the history that are read, the latest")                           \
    X(int, step, 1, 1, 8192,                                                                                 \
      "events by which the window moves when a history is longer; above 1, a server reads it anew that "     \
      "much "                                                                                                \
      "more seldom")                                                                                         \
    X(float, dropout, 0.3, 0, 0.9, "share of the states' numbers dropped while training")                    \
    X(float, dropout_input, 0.3, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(choice, loss, ce, 0, 0,                                                                                \
      "ce|bce|sampled|bpr_max|top1_max: full softmax, binary, sampled softmax, ranking losses")              \
    X(int, negatives, 2048, 1, 65536, "all losses but ce: negatives drawn")                                  \
    SG_NEGATIVE_OPTIONS(X)                                                                                   \
    X(float, bpr_reg, 1, 0, 1000, "loss=bpr_max: weight of the squared scores of negatives")

typedef struct gru4rec_config {
    GRU4REC_OPTIONS(SG_OPTION_FIELD)
} gru4rec_config;
#define SG_OPTION_STRUCT gru4rec_config
static const sg_option gru4rec_options[] = {GRU4REC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct gru4rec {
    sg_param *item, *out, *out_bias; /* (n_items, dim), (dim, hidden), (dim) */
    sg_recurrent *layer;             /* owned (layers) */
    sg_runs runs;                    /* training */
    sg_sampler from;
} gru4rec;

static sg_status gru4rec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const gru4rec_config *c = m->config;
    gru4rec *s = m->state;
    sg_params *ps = &m->params;

    if (c->negatives_batch && !c->negatives_shared)
        return sg_fail(err, SG_ERR_USAGE, "negatives_batch: expected negatives_shared=true beside it");
    if (!(s->layer = sg_alloc_zero((size_t)c->layers, sizeof *s->layer)))
        return sg_fail_memory(err, "gru4rec");
    s->item = sg_param_add(ps, seed, SG_INIT_XAVIER_NORMAL, 1, strcmp(c->loss, "ce") ? SG_PARAM_SPARSE : 0,
                           m->n_items, c->dim, "item.weight");
    for (int i = 0; i < c->layers; i++) {
        char name[32];

        snprintf(name, sizeof name, "layer.%d", i);
        sg_recurrent_declare(&s->layer[i], ps, seed, c->hidden, i ? c->hidden : c->dim, name);
    }
    s->out = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->hidden, "out.weight");
    s->out_bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "out.bias");
    return SG_OK;
}

static void gru4rec_fini(sg_model *m)
{
    gru4rec *s = m->state;

    sg_free(s->layer);
    sg_runs_free(&s->runs);
    sg_sampler_free(&s->from);
}

static sg_status gru4rec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const gru4rec_config *c = m->config;
    gru4rec *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, c->length, false, 2, err);

    *n = s->runs.n;
    return st ? st : sg_sampler_new(&s->from, t, c->negatives_alpha, err);
}

/* (tokens, dim) */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q)
{
    const gru4rec_config *c = m->config;
    const gru4rec *s = m->state;
    sg_tensor *x = sg_dropout(g, sg_embed(g, s->item, q->item, q->tokens), (float)c->dropout_input);

    for (int i = 0; i < c->layers; i++) {
        x = sg_recurrent_forward(g, &s->layer[i], x, q->offsets, q->n);
        x = sg_dropout(g, x, (float)c->dropout);
    }
    return sg_linear(g, x, s->out, s->out_bias);
}

static sg_tensor *gru4rec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                               uint64_t step)
{
    const gru4rec_config *c = m->config;
    const gru4rec *s = m->state;
    const sg_item_loss loss = {.kind = c->loss,
                               .negatives = c->negatives,
                               .shared = c->negatives_shared,
                               .batch = c->negatives_batch,
                               .from = &s->from,
                               .logq = c->logq,
                               .bpr_reg = c->bpr_reg,
                               .temperature = 1};
    sg_sequences q;

    if (!sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    return sg_item_loss_of(g, encode(m, g, &q), s->item, q.target, &loss, seed, step);
}

/* ---- scoring ------------------------------------------------------------------------------------------- */

/* What a past keeps: the states after its last event, and those before it, so that the same history can be asked again. */
typedef struct states {
    float *last, *before; /* owned, one block: (layers, hidden) each; before counts when `two` */
    size_t n;
    bool two;
} states;

static bool take_states(sg_graph *g, const sg_model *m, const sg_histories *h)
{
    const gru4rec_config *c = m->config;
    const size_t n = (size_t)c->layers * (size_t)c->hidden;

    for (int i = 0; i < h->n; i++) {
        states *s = h->past[i]->state;

        if (s->last)
            continue;
        if (!(s->last = sg_alloc_zero(2 * n, sizeof *s->last))) {
            sg_graph_fail(g, SG_ERR_MEMORY, "past of a history: out of memory");
            return false;
        }
        s->before = s->last + n;
        s->n = n;
    }
    return true;
}

/* Keeps the states of layer `layer` after the tokens of each sequence. */
static void keep_states(const sg_histories *h, const sg_sequences *q, const sg_tensor *x, size_t layer)
{
    const size_t d = (size_t)x->dim[1], at = layer * d;

    for (int i = 0; i < h->n; i++) {
        states *s = h->past[i]->state;
        const int n = q->offsets[i + 1] - q->offsets[i];
        const float *end = x->data + (size_t)q->offsets[i + 1] * d;

        if (n == 0)
            continue;
        memcpy(s->before + at, n > 1 ? end - 2 * d : s->last + at, d * sizeof *end);
        memcpy(s->last + at, end - d, d * sizeof *end);
        s->two = true;
    }
}

/* (tokens, dim) of what is new; the pasts go on to their ends. */
static sg_tensor *resume(const sg_model *m, sg_graph *g, const sg_sequences *q, const sg_histories *h)
{
    const gru4rec_config *c = m->config;
    const gru4rec *s = m->state;
    const float **start = sg_scratch(g, (size_t)h->n, sizeof *start);
    sg_tensor *x = sg_embed(g, s->item, q->item, q->tokens);

    if (!start || !take_states(g, m, h))
        return NULL;
    for (int l = 0; l < c->layers; l++) {
        for (int i = 0; i < h->n; i++)
            start[i] = ((states *)h->past[i]->state)->last + (size_t)l * (size_t)c->hidden;
        if (!(x = sg_recurrent_continue(g, &s->layer[l], x, q->offsets, q->n, start)))
            return NULL;
        keep_states(h, q, x, (size_t)l);
    }
    return sg_linear(g, x, s->out, s->out_bias);
}

static int gru4rec_past_cut(sg_past *p, int n)
{
    states *s = p->state;

    if (s->two && n > 0 && n == p->n - 1) {
        memcpy(s->last, s->before, s->n * sizeof *s->last);
        s->two = false;
        return n;
    }
    if (s->last)
        memset(s->last, 0, s->n * sizeof *s->last);
    s->two = false;
    return 0;
}

static bool gru4rec_keeps(const sg_model *m)
{
    (void)m;
    return true;
}

static size_t gru4rec_past_size(const sg_past *p)
{
    const states *s = p->state;

    return 2 * s->n * sizeof *s->last;
}

static void gru4rec_past_fini(sg_past *p)
{
    const states *s = p->state;

    sg_free(s->last);
}

static sg_status gru4rec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const gru4rec_config *c = m->config;
    const gru4rec *s = m->state;
    sg_graph *g = session->graph;
    sg_sequences q;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_resume(&q, g, h, c->length, c->step, false))
        return sg_graph_status(g, err);
    sg_tensor *x = h->past ? resume(m, g, &q, h) : encode(m, g, &q);
    const sg_status st =
        sg_item_scores(session, sg_rows(g, x, q.last, h->n), s->item, NULL, false, scores, err);

    return (st || sg_histories_note(g, h, c->length, c->step)) ? st : sg_graph_status(g, err);
}

const sg_model_class sg_model_gru4rec = {
    .name = "gru4rec",
    .summary = "a recurrent network over the item sequence",
    .paper = "Hidasi et al., ICLR 2016, arXiv:1511.06939; Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847",
    .options = gru4rec_options,
    .n_options = sizeof gru4rec_options / sizeof *gru4rec_options,
    .streams = true,
    .config_bytes = sizeof(gru4rec_config),
    .state_bytes = sizeof(gru4rec),
    .weights = gru4rec_weights,
    .fini = gru4rec_fini,
    .examples = gru4rec_examples,
    .loss = gru4rec_loss,
    .score = gru4rec_score,
    .past_bytes = sizeof(states),
    .keeps = gru4rec_keeps,
    .past_cut = gru4rec_past_cut,
    .past_size = gru4rec_past_size,
    .past_fini = gru4rec_past_fini,
};
