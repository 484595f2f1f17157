/* sasrec.c - self-attentive sequential recommendation.   [Kang & McAuley, ICDM 2018, arXiv:1808.09781]
 *
 *   x_t = sqrt(d) E[item_t] + P[n - t]      positions count from the end of the sequence, so that a window can slide;
 *                                           positions=start: P[t], so that what was read stays good when events come
 *   x   = blocks(x), causal; h = LN(x)      score(j | t) = h_t . E_j / temperature
 *
 * Every position is a label (the next item). The paper trains with one uniform negative and binary cross-entropy
 * (loss=bce, negatives=1); full softmax (loss=ce), the default, is what most of its reported defeats were missing.
 * gBCE: Petrov & Macdonald, RecSys 2023. Its strongest kin, eSASRec (Tikhonovich et al., RecSys 2025), is this model with the
 * blocks of LiGR (Borisyuk et al. 2025: gate=true, gated=true, act=silu) and loss=sampled. Where we differ from the
 * paper's code: pre-norm blocks throughout (theirs normalises the query only), position vectors are aligned to the end of
 * the sequence. Beyond it, `star`: what few numbers an item cannot keep, which items come together, is looked up. */
#include "models/sequence.h"

#include "models/content.h"
#include "models/star.h"
#include "nn/transformer.h"

#include <math.h>
#include <string.h>

#define SASREC_OPTIONS(X)                                                                                    \
    X(int, dim, 64, 4, 4096, "width of item and position vectors")                                           \
    X(int, layers, 2, 0, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward part")                                       \
    X(int, length, 50, 1, 8192, "events of the history that are read, the latest")                           \
    X(choice, positions, end, 0, 0,                                                                          \
      "end|start: from where they count; start: a server that keeps what it read reads new events alone")    \
    X(int, step, 1, 1, 8192,                                                                                 \
      "events by which the window moves when a history is longer; with positions=start, above 1, a server "  \
      "reads such a history anew that much more seldom")                                                     \
    X(float, dropout, 0.3, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.3, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(choice, act, gelu, 0, 0, "relu|gelu|silu: activation of the feed-forward part")                        \
    X(bool, gated, false, 0, 1, "feed-forward part act(x w1) * (x w3) w2; with act=silu: SwiGLU")            \
    X(bool, gate, false, 0, 1, "what a block adds to its input passes a gate, sigmoid(x w + b) (LiGR)")      \
    X(choice, loss, ce, 0, 0,                                                                                \
      "ce|bce|gbce|sampled: full softmax, binary, calibrated binary, sampled softmax")                       \
    X(int, negatives, 128, 1, 65536, "loss bce, gbce, sampled: negatives drawn")                             \
    SG_NEGATIVE_OPTIONS(X)                                                                                   \
    X(float, gbce_t, 0.75, 0, 1, "gbce: calibration t")                                                      \
    X(float, temperature, 1, 0.001, 100, "logits are divided by it")                                         \
    X(float, label_smoothing, 0, 0, 0.9, "loss=ce: share of the label spread over all items")                \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the vectors at the start")                  \
    X(float, content, 0, 0, 100,                                                                             \
      "item vectors of this many times init_sd are added to the vectors at the start (0: none)")             \
    X(float, star, 0, 0, 10000,                                                                              \
      "scores of STAR times this are added to the logits when items are recommended (0: none)")              \
    X(float, star_text, 0.5, 0, 1, "star: share of item similarity by text; the rest is co-occurrence")      \
    X(bool, cosine, false, 0, 1, "loss=sampled: both sides to unit length")                                  \
    X(bool, tied, true, 0, 1, "output table = input table")                                                  \
    X(bool, scale_input, true, 0, 1, "item vectors times sqrt(dim) at the input")

typedef struct sasrec_config {
    SASREC_OPTIONS(SG_OPTION_FIELD)
} sasrec_config;
#define SG_OPTION_STRUCT sasrec_config
static const sg_option sasrec_options[] = {SASREC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct sasrec {
    sg_param *item, *position, *out; /* (n_items, dim), (length, dim), (n_items, dim): out = item when tied */
    sg_tower tower;
    sg_act act;
    sg_runs runs; /* training */
    sg_sampler from;
    sg_star star;
} sasrec;

static sg_status sasrec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const sasrec_config *c = m->config;
    sasrec *s = m->state;
    const sg_block_spec spec = {.dim = c->dim,
                                .heads = c->heads,
                                .ffn = c->ffn,
                                .bias = true,
                                .gated = c->gated,
                                .gate = c->gate,
                                .eps = 1e-8f,
                                .act = !strcmp(c->act, "relu")   ? SG_RELU
                                       : !strcmp(c->act, "gelu") ? SG_GELU
                                                                 : SG_SILU};

    if (c->negatives_batch && !c->negatives_shared)
        return sg_fail(err, SG_ERR_USAGE, "negatives_batch: expected negatives_shared=true beside it");
    const int sparse = !strcmp(c->loss, "ce") && c->tied ? 0 : SG_PARAM_SPARSE;
    s->item = sg_param_add(&m->params, seed, SG_INIT_NORMAL, (float)c->init_sd, sparse, m->n_items, c->dim,
                           "item.weight");
    s->out = c->tied ? s->item
                     : sg_param_add(&m->params, seed, SG_INIT_NORMAL, (float)c->init_sd,
                                    !strcmp(c->loss, "ce") ? 0 : SG_PARAM_SPARSE, m->n_items, c->dim,
                                    "out.weight");
    s->position = sg_param_add(&m->params, seed, SG_INIT_NORMAL, (float)c->init_sd, 0, c->length, c->dim,
                               "position.weight");
    return sg_tower_declare(&s->tower, &m->params, seed, c->layers, &spec, "", err);
}

static sg_status sasrec_ready(sg_model *m, sg_error *err)
{
    const sasrec_config *c = m->config;
    sasrec *s = m->state;

    return c->star > 0 ? sg_star_need(&s->star, m, c->star, err) : SG_OK;
}

static sg_status sasrec_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const sasrec_config *c = m->config;
    const sasrec *s = m->state;
    const double spread = c->content * c->init_sd;
    sg_status st = SG_OK;

    if (spread > 0 && !(st = sg_content_add(s->item, t, spread, err)) && s->out != s->item)
        st = sg_content_add(s->out, t, spread, err);
    if (!st && c->star > 0 && !(st = sg_star_fit(m, c->star_text, t, err)))
        st = sasrec_ready(m, err); /* validation asks before training ends */
    return st;
}

static void sasrec_fini(sg_model *m)
{
    sasrec *s = m->state;

    sg_tower_free(&s->tower);
    sg_runs_free(&s->runs);
    sg_sampler_free(&s->from);
}

static sg_status sasrec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const sasrec_config *c = m->config;
    sasrec *s = m->state;
    sg_status st;

    if (t->learned && c->star > 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "sasrec: star counts all events beforehand, which a stream must not know");
    st = sg_runs_new(&s->runs, t, c->length, false, 2, err);
    *n = s->runs.n;
    return st ? st : sg_sampler_new(&s->from, t, c->negatives_alpha, err);
}

/* (tokens, dim) after all blocks and the final norm; kept (blocks, sequences): what came before, or NULL */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, sg_kept *const *kept)
{
    const sasrec_config *c = m->config;
    const sasrec *s = m->state;
    const bool start = !strcmp(c->positions, "start");
    const int32_t *position = start ? sg_places_from_start(g, q) : sg_places_from_end(g, q);
    sg_tensor *x;

    if (!position)
        return NULL;
    x = sg_embed(g, s->item, q->item, q->tokens);
    if (c->scale_input)
        x = sg_scale(g, x, sqrtf((float)c->dim));
    x = sg_dropout(g, sg_plus(g, x, sg_embed(g, s->position, position, q->tokens)), (float)c->dropout_input);
    if (kept)
        return sg_tower_continue(g, &s->tower, x, q->offsets, q->n, kept);
    return sg_tower_forward(g, &s->tower, x, q->offsets, q->n, SG_MASK_CAUSAL, (float)c->dropout);
}

static sg_tensor *sasrec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                              uint64_t step)
{
    const sasrec_config *c = m->config;
    const sasrec *s = m->state;
    const sg_item_loss loss = {.kind = c->loss,
                               .negatives = c->negatives,
                               .shared = c->negatives_shared,
                               .batch = c->negatives_batch,
                               .from = &s->from,
                               .logq = c->logq,
                               .gbce_t = c->gbce_t,
                               .temperature = c->temperature,
                               .label_smoothing = c->label_smoothing,
                               .cosine = c->cosine};
    sg_sequences q;

    if (!sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    return sg_item_loss_of(g, encode(m, g, &q, NULL), s->out, q.target, &loss, seed, step);
}

static sg_status sasrec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const sasrec_config *c = m->config;
    const sasrec *s = m->state;
    sg_graph *g = session->graph;
    sg_kept *const *kept = NULL;
    sg_sequences q;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_resume(&q, g, h, c->length, c->step, false) ||
        (h->past && !(kept = sg_pasts_kept(g, h, s->tower.n))))
        return sg_graph_status(g, err);
    const sg_status st = sg_item_scores(session, sg_rows(g, encode(m, g, &q, kept), q.last, h->n), s->out,
                                        NULL, c->cosine, scores, err);
    if (!st && !sg_histories_note(g, h, c->length, c->step))
        return sg_graph_status(g, err);
    return st || c->star == 0 ? st : sg_sparse_score(session, h, &s->star.vote, scores);
}

/* Positions from the end change with every event, and with them all that was read. */
static bool sasrec_keeps(const sg_model *m)
{
    const sasrec_config *c = m->config;

    return !strcmp(c->positions, "start");
}

static int sasrec_past_cut(sg_past *p, int n)
{
    return sg_kept_past_cut(p, n, n);
}

const sg_model_class sg_model_sasrec = {
    .name = "sasrec",
    .summary = "causal self-attention over the item sequence",
    .paper = "Kang & McAuley, ICDM 2018, arXiv:1808.09781",
    .options = sasrec_options,
    .n_options = sizeof sasrec_options / sizeof *sasrec_options,
    .streams = true,
    .config_bytes = sizeof(sasrec_config),
    .state_bytes = sizeof(sasrec),
    .weights = sasrec_weights,
    .init = sasrec_init,
    .ready = sasrec_ready,
    .fini = sasrec_fini,
    .examples = sasrec_examples,
    .loss = sasrec_loss,
    .score = sasrec_score,
    .past_bytes = sizeof(sg_kept_past),
    .keeps = sasrec_keeps,
    .past_cut = sasrec_past_cut,
    .past_size = sg_kept_past_size,
    .past_fini = sg_kept_past_fini,
};
