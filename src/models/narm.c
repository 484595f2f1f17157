/* narm.c - a recurrent network whose states are also weighted by what the last one asks.   [Li et al., CIKM 2017]
 *
 *   h_t = GRU(E[item_t], h_{t-1});  a_tj = w . sigmoid(A1 h_t + A2 h_j), j <= t, not normalised
 *   y_t = B [h_t; sum_j a_tj h_j]                         score(j | t) = y_t . E_j
 *
 * The last state is the global view of the session, the weighted sum the local one. The loss is the full softmax. Where we
 * differ: every position is a label of one pass over a run, instead of every prefix an example of its own. */
#include "models/sequence.h"

#include "nn/recurrent.h"

#define NARM_OPTIONS(X)                                                                                      \
    X(int, dim, 64, 4, 4096, "width of item vectors")                                                        \
    X(int, hidden, 128, 4, 4096, "width of the state")                                                       \
    X(int, length, 50, 1, 8192, "events of the history that are read, the latest")                           \
    X(float, dropout, 0.5, 0, 0.9, "share of both views' numbers dropped while training")                    \
    X(float, dropout_input, 0.25, 0, 0.9, "share of the input vectors' numbers dropped while training")      \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all items")

typedef struct narm_config {
    NARM_OPTIONS(SG_OPTION_FIELD)
} narm_config;
#define SG_OPTION_STRUCT narm_config
static const sg_option narm_options[] = {NARM_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct narm {
    sg_param *item, *out; /* (n_items, dim), (dim, 2 hidden) */
    sg_recurrent layer;
    sg_param *query, *key, *weight; /* A1, A2 (hidden, hidden), w (hidden) */
    sg_runs runs;                   /* training */
} narm;

static sg_status narm_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const narm_config *c = m->config;
    narm *s = m->state;
    sg_params *ps = &m->params;

    s->item = sg_param_add(ps, seed, SG_INIT_XAVIER_NORMAL, 1, 0, m->n_items, c->dim, "item.weight");
    sg_recurrent_declare(&s->layer, ps, seed, c->hidden, c->dim, "layer");
    s->query = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->hidden, c->hidden, "query.weight");
    s->key = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->hidden, c->hidden, "key.weight");
    s->weight = sg_param_add(ps, seed, SG_INIT_NORMAL, 0.02f, 0, c->hidden, 0, "attention.weight");
    s->out = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, 2 * c->hidden, "out.weight");
    return SG_OK;
}

static void narm_fini(sg_model *m)
{
    narm *s = m->state;

    sg_runs_free(&s->runs);
}

static sg_status narm_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const narm_config *c = m->config;
    narm *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, c->length, false, 2, err);

    *n = s->runs.n;
    return st;
}

/* (rows, dim): of the tokens that `row` lists, offsets_q to each sequence; row NULL: of all. */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, const int32_t *row,
                         const int32_t *offsets_q)
{
    const narm_config *c = m->config;
    const narm *s = m->state;
    sg_tensor *x = sg_dropout(g, sg_embed(g, s->item, q->item, q->tokens), (float)c->dropout_input);
    sg_tensor *h = sg_recurrent_forward(g, &s->layer, x, q->offsets, q->n);
    sg_tensor *now = row ? sg_rows(g, h, row, offsets_q[q->n]) : h;
    sg_tensor *local =
        sg_additive_attention(g, sg_linear(g, now, s->query, NULL), sg_linear(g, h, s->key, NULL), h,
                              s->weight, offsets_q, q->offsets, q->n);

    return sg_linear(g, sg_dropout(g, sg_concat_cols(g, (sg_tensor *[]){now, local}, 2), (float)c->dropout),
                     s->out, NULL);
}

static sg_tensor *narm_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                            uint64_t step)
{
    const narm_config *c = m->config;
    const narm *s = m->state;
    sg_sequences q;

    if (!sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    return sg_softmax_ce(g, encode(m, g, &q, NULL, q.offsets), s->item, NULL, q.target, NULL, 1,
                         (float)c->label_smoothing);
}

static sg_status narm_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const narm_config *c = m->config;
    const narm *s = m->state;
    sg_graph *g = session->graph;
    int32_t *one;
    sg_sequences q;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_pack(&q, g, h, c->length) || !(one = sg_scratch(g, (size_t)h->n + 1, sizeof *one)))
        return sg_graph_status(g, err);
    for (int i = 0; i <= h->n; i++)
        one[i] = i; /* the last state of each is the only query */
    return sg_item_scores(session, encode(m, g, &q, q.last, one), s->item, NULL, false, scores, err);
}

const sg_model_class sg_model_narm = {
    .name = "narm",
    .summary = "a recurrent network with attention of its last state to the ones before",
    .paper = "Li et al., CIKM 2017, arXiv:1711.04725",
    .options = narm_options,
    .n_options = sizeof narm_options / sizeof *narm_options,
    .streams = true,
    .config_bytes = sizeof(narm_config),
    .state_bytes = sizeof(narm),
    .weights = narm_weights,
    .fini = narm_fini,
    .examples = narm_examples,
    .loss = narm_loss,
    .score = narm_score,
};
