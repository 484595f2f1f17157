/* recgpt.c - a generative transformer that is told what it would have shown.   [Zhang et al., DASFAA 2024, arXiv:2404.08675]
 *
 *   x_t = E[item_t] + P[place_t] + U[user] + s where generated;  h = LN(blocks(x)), causal;  score(j | t) = h_t . E_j
 *
 * Pre-training, `pretrain` epochs: the next item at every position. Then the model is copied, and the copy says after each event of a
 * history which item it would have shown: its best one that is not in the history so far. Fine-tuning reads that item as a generated
 * token after the event, with the event's place, and learns the next item at both; an item that was guessed right is not
 * inserted, it would give the label away.
 * Scoring takes two steps: the history gives a first ranking, its best new item is appended as a generated token and gives a second
 * one. The best `depth` of both are merged, first, second, first, ..., without repeats; all others follow by the first.
 * The copy is saved with the model (shown.*), frozen: a training that goes on after a stop needs it. Where we differ: places count
 * from the end; loss=ce, the default, is the full softmax (the paper's is binary with a sampled negative, loss=bce); a user
 * unknown to training has no vector. */
#include "models/sequence.h"

#include "base/rng.h"
#include "math/gemm.h"
#include "math/math.h"
#include "nn/transformer.h"

#include <math.h>
#include <string.h>

#define RECGPT_OPTIONS(X)                                                                                    \
    X(int, dim, 64, 4, 4096, "width of item, user and position vectors")                                     \
    X(int, layers, 2, 0, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward part")                                       \
    X(int, length, 50, 1, 8192, "events of the history that are read, the latest")                           \
    X(float, dropout, 0.3, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.5, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(int, pretrain, 10, 0, 100000, "epochs without generated items, before those of training")              \
    X(bool, prompts, true, 0, 1, "generated items are read: in fine-tuning after events, then in scoring")   \
    X(float, prompt_share, 1, 0, 1, "fine-tuning: share of events with a generated item after them")         \
    X(int, depth, 200, 1, 1000000, "scoring: items of each of the two rankings that are merged")             \
    X(choice, loss, ce, 0, 0, "ce|bce|sampled: full softmax, binary, sampled softmax")                       \
    X(int, negatives, 1, 1, 65536, "loss bce, sampled: uniform negatives a position")                        \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the vectors at the start")

typedef struct recgpt_config {
    RECGPT_OPTIONS(SG_OPTION_FIELD)
} recgpt_config;
#define SG_OPTION_STRUCT recgpt_config
static const sg_option recgpt_options[] = {RECGPT_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { RNG_PROMPT = SG_RNG_USER }; /* which events get a generated item */
enum { SCORED = 128 };             /* rows of scores that are held at once */

typedef struct net {
    sg_param *item, *user, *position,
        *generated; /* (n_items, dim), (n_users, dim), (length, dim), (1, dim) */
    sg_tower tower;
} net;

typedef struct recgpt {
    net learns, shown; /* shown: the frozen copy */
    sg_param *copied;  /* (1) 1 when the copy was made, frozen */
    size_t n_learns;   /* weights of a net */
    sg_runs runs;      /* training */
} recgpt;

/* Sequences with what else a token is made of. */
typedef struct tokens {
    sg_sequences q;
    int32_t *place, *generated, *user; /* (q.tokens): from the end; 0 or -1: an event; a user number or -1 */
} tokens;

static sg_status declare_net(net *n, sg_model *m, uint64_t seed, const char *prefix, sg_error *err)
{
    const recgpt_config *c = m->config;
    sg_params *ps = &m->params;
    const float sd = (float)c->init_sd;
    const sg_block_spec spec = {
        .dim = c->dim, .heads = c->heads, .ffn = c->ffn, .bias = true, .eps = 1e-8f, .act = SG_GELU};

    n->item = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, strcmp(c->loss, "ce") ? SG_PARAM_SPARSE : 0,
                           m->n_items, c->dim, "%sitem.weight", prefix);
    n->user = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, SG_PARAM_SPARSE, m->n_users, c->dim, "%suser.weight",
                           prefix);
    n->position =
        sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->length, c->dim, "%sposition.weight", prefix);
    n->generated = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, 1, c->dim, "%sgenerated.weight", prefix);
    return sg_tower_declare(&n->tower, ps, seed, c->layers, &spec, prefix, err);
}

static sg_status recgpt_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const recgpt_config *c = m->config;
    recgpt *s = m->state;
    sg_params *ps = &m->params;
    sg_status st;

    if ((st = declare_net(&s->learns, m, seed, "", err)) || !c->prompts)
        return st;
    s->n_learns = ps->n;
    if ((st = declare_net(&s->shown, m, seed, "shown.", err)))
        return st;
    for (size_t i = s->n_learns; i < ps->n; i++)
        ps->list[i]->frozen = true;
    s->copied = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, 1, 0, "shown.copied");
    return SG_OK;
}

static void recgpt_fini(sg_model *m)
{
    recgpt *s = m->state;

    sg_tower_free(&s->learns.tower);
    sg_tower_free(&s->shown.tower);
    sg_runs_free(&s->runs);
}

static int recgpt_pretrain(const sg_model *m)
{
    return ((const recgpt_config *)m->config)->pretrain;
}

static sg_status recgpt_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const recgpt_config *c = m->config;
    recgpt *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, c->length, false, 2, err);

    *n = s->runs.n;
    return st;
}

/* ---- the network -------------------------------------------------------------------------------------------------- */

static bool take_tokens(tokens *t, sg_graph *g, int n)
{
    int32_t *all = sg_scratch(g, 3 * (size_t)n, sizeof *all);

    t->place = all;
    t->generated = all ? all + n : NULL;
    t->user = all ? all + 2 * n : NULL;
    return all != NULL;
}

/* Events only. user: of each sequence. */
static bool tokens_of(tokens *t, sg_graph *g, const sg_sequences *q, const int32_t *user)
{
    int32_t *place = sg_places_from_end(g, q);

    *t = (tokens){.q = *q};
    if (!place || !take_tokens(t, g, q->tokens))
        return false;
    t->place = place;
    for (int b = 0; b < q->n; b++)
        for (int i = q->offsets[b]; i < q->offsets[b + 1]; i++) {
            t->generated[i] = -1;
            t->user[i] = user[b];
        }
    return true;
}

/* (tokens, dim) after all blocks and the final norm. learning: with dropout. */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const net *n, const tokens *t, bool learning)
{
    const recgpt_config *c = m->config;
    sg_tensor *x = sg_scale(g, sg_embed(g, n->item, t->q.item, t->q.tokens), sqrtf((float)c->dim));

    x = sg_plus(g, x, sg_embed(g, n->position, t->place, t->q.tokens));
    x = sg_plus(g, x, sg_embed(g, n->user, t->user, t->q.tokens));
    x = sg_plus(g, x, sg_embed(g, n->generated, t->generated, t->q.tokens));
    x = sg_dropout(g, x, learning ? (float)c->dropout_input : 0);
    return sg_tower_forward(g, &n->tower, x, t->q.offsets, t->q.n, SG_MASK_CAUSAL,
                            learning ? (float)c->dropout : 0);
}

/* ---- what would have been shown ------------------------------------------------------------------------------------ */

/* Best item that is none of seen (n). Changes scores. */
static int32_t best_new(float *scores, int32_t n_items, const int32_t *seen, int n)
{
    int32_t best;
    float score;

    for (int i = 0; i < n; i++)
        scores[seen[i]] = -INFINITY;
    sg_topk(&best, &score, 1, scores, (size_t)n_items);
    return best;
}

static void copy_net(sg_model *m)
{
    const recgpt *s = m->state;

    for (size_t i = 0; i < s->n_learns; i++) {
        sg_param *to = m->params.list[s->n_learns + i];

        memcpy(to->value, m->params.list[i]->value, to->count * sizeof(float));
        to->version++;
    }
    s->copied->value[0] = 1;
}

/* show[t]: what the copy would have shown after token t. */
static bool generate(const sg_model *m, sg_graph *g, const tokens *t, int32_t *show)
{
    const recgpt *s = m->state;
    const sg_tensor *h = encode(m, g, &s->shown, t, false);
    const int dim = s->shown.item->dim[1], n_items = m->n_items;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    float *scores = sg_scratch(g, (size_t)SCORED * (size_t)n_items, sizeof *scores);

    if (!h || !scores)
        return false;
    for (int b = 0, ready = 0; b < t->q.n; b++)
        for (int i = t->q.offsets[b]; i < t->q.offsets[b + 1]; i++) {
            if (i == ready) {
                const int rows = t->q.tokens - i < SCORED ? t->q.tokens - i : SCORED;

                sg_gemm_linear(sg_graph_pool(g), sg_graph_precision(g), rows,
                               h->data + (size_t)i * (size_t)dim, dim, s->shown.item, NULL, scores, n_items);
                ready += rows;
            }
            show[i] = best_new(scores + (size_t)(i % SCORED) * (size_t)n_items, n_items,
                               t->q.item + t->q.offsets[b], i + 1 - t->q.offsets[b]);
        }
    sg_arena_back(sg_graph_arena(g), mark);
    return true;
}

/* The sequences with generated items after events; both are asked for the next item. */
static bool insert_generated(tokens *out, sg_graph *g, const tokens *t, const int32_t *show, double share,
                             uint64_t seed, uint64_t step)
{
    const size_t most = 2 * (size_t)t->q.tokens;
    int n = 0;

    *out = (tokens){.q = {.n = t->q.n,
                          .offsets = sg_scratch(g, (size_t)t->q.n + 1, sizeof *out->q.offsets),
                          .item = sg_scratch(g, most, sizeof *out->q.item),
                          .target = sg_scratch(g, most, sizeof *out->q.target)}};
    if (!out->q.offsets || !out->q.item || !out->q.target || !take_tokens(out, g, (int)most))
        return false;
    for (int b = 0; b < t->q.n; b++) {
        out->q.offsets[b] = n;
        for (int i = t->q.offsets[b]; i < t->q.offsets[b + 1]; i++) {
            const bool insert =
                show[i] != t->q.target[i] && sg_rng_double(seed, RNG_PROMPT, step, (uint64_t)i) < share;

            for (int k = 0; k <= insert; k++, n++) {
                out->q.item[n] = k ? show[i] : t->q.item[i];
                out->q.target[n] = t->q.target[i];
                out->place[n] = t->place[i];
                out->user[n] = t->user[i];
                out->generated[n] = k - 1;
            }
        }
    }
    out->q.offsets[t->q.n] = out->q.tokens = n;
    return true;
}

static sg_tensor *recgpt_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                              uint64_t step)
{
    const recgpt_config *c = m->config;
    const recgpt *s = m->state;
    const sg_item_loss loss = {.kind = c->loss, .negatives = c->negatives, .temperature = 1};
    int32_t *user = sg_scratch(g, (size_t)n, sizeof *user), *show;
    tokens t, prompted;
    sg_sequences q;

    if (!user || !sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    for (int i = 0; i < n; i++)
        user[i] = s->runs.user[example[i]];
    if (!tokens_of(&t, g, &q, user))
        return NULL;
    if (c->prompts && m->epoch >= c->pretrain) {
        if (s->copied->value[0] == 0)
            copy_net(m);
        if (!(show = sg_scratch(g, (size_t)q.tokens, sizeof *show)) || !generate(m, g, &t, show) ||
            !insert_generated(&prompted, g, &t, show, c->prompt_share, seed, step))
            return NULL;
        t = prompted;
    }
    return sg_item_loss_of(g, encode(m, g, &s->learns, &t, true), s->learns.item, t.q.target, &loss, seed,
                           step);
}

/* ---- scoring ------------------------------------------------------------------------------------------------------ */

/* From two rows of scores to one, in `first`: the best `depth` of both in turn, then the rest by the first. */
static bool merge(sg_graph *g, float *first, float *second, int32_t n_items, int depth)
{
    const size_t k = (size_t)(depth < n_items ? depth : n_items);
    int32_t *list = sg_scratch(g, 2 * k, sizeof *list);
    float *score = sg_scratch(g, k, sizeof *score);

    if (!list || !score)
        return false;
    sg_topk(list, score, k, first, (size_t)n_items);
    sg_topk(list + k, score, k, second, (size_t)n_items);
    const float most = first[list[0]];
    for (int32_t j = 0; j < n_items; j++)
        first[j] -= most + 1;      /* all below the merged ones */
    for (size_t r = k; r-- > 0;) { /* earlier places overwrite later ones */
        first[list[k + r]] = (float)(2 * (k - r)) - 1;
        first[list[r]] = (float)(2 * (k - r));
    }
    return true;
}

static sg_status recgpt_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const recgpt_config *c = m->config;
    const recgpt *s = m->state;
    const size_t n_items = (size_t)m->n_items;
    sg_graph *g = session->graph;
    int32_t *user;
    float *second;
    sg_sequences q, longer;
    tokens t;
    sg_status st;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!(user = sg_scratch(g, (size_t)h->n, sizeof *user)) || !sg_histories_pack(&q, g, h, c->length))
        return sg_graph_status(g, err);
    for (int i = 0; i < h->n; i++)
        user[i] = h->user && h->user[i] < m->n_users ? h->user[i] : -1;
    if (!tokens_of(&t, g, &q, user))
        return sg_graph_status(g, err);
    if ((st = sg_item_scores(session, sg_rows(g, encode(m, g, &s->learns, &t, false), q.last, h->n),
                             s->learns.item, NULL, false, scores, err)) ||
        !c->prompts)
        return st;
    second = sg_scratch(g, (size_t)h->n * n_items, sizeof *second);
    if (!second || !sg_sequences_append(&longer, g, &q) || !tokens_of(&t, g, &longer, user))
        return sg_graph_status(g, err);
    memcpy(second, scores, (size_t)h->n * n_items * sizeof *second);
    for (int i = 0; i < h->n; i++) {
        const int begin = t.q.offsets[i], last = t.q.last[i];

        t.q.item[last] = best_new(second + (size_t)i * n_items, m->n_items, t.q.item + begin, last - begin);
        t.generated[last] = 0;
        for (int k = begin; k < last; k++)
            t.place[k]--; /* the generated item has the place of the event before it */
    }
    if ((st = sg_item_scores(session, sg_rows(g, encode(m, g, &s->learns, &t, false), t.q.last, h->n),
                             s->learns.item, NULL, false, second, err)))
        return st;
    for (int i = 0; i < h->n; i++)
        if (q.last[i] >= 0 &&
            !merge(g, scores + (size_t)i * n_items, second + (size_t)i * n_items, m->n_items, c->depth))
            return sg_graph_status(g, err);
    return SG_OK;
}

const sg_model_class sg_model_recgpt = {
    .name = "recgpt",
    .summary = "causal self-attention with user vectors that reads what it would have shown, in two steps",
    .paper = "Zhang et al., DASFAA 2024, arXiv:2404.08675",
    .options = recgpt_options,
    .n_options = sizeof recgpt_options / sizeof *recgpt_options,
    .config_bytes = sizeof(recgpt_config),
    .state_bytes = sizeof(recgpt),
    .weights = recgpt_weights,
    .fini = recgpt_fini,
    .pretrain = recgpt_pretrain,
    .examples = recgpt_examples,
    .loss = recgpt_loss,
    .score = recgpt_score,
};
