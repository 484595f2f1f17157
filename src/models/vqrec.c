/* vqrec.c - items known by the codes of their text alone, so that a model can be carried to another catalogue.
 *                                                                                      [VQ-Rec: Hou et al., WWW 2023, arXiv:2210.12316]
 *
 *   codes   optimised product quantisation of the item's vector: c_1 .. c_m, `codes` values each
 *   item    v = mean over g of E[g, c_g]                                E (m codes, dim)
 *   user    h = blocks(LN(v_t + P[place of t])), causal;                score(j | t) = cos(h_t, v_j) / temperature
 *
 * stage=pretrain  log-softmax of the next item among the items that are next in the batch, of which those of the same user do not
 *                 count, and `fake` of them with a share of the codes drawn anew: semi-synthetic negatives.
 * stage=tune      softmax over the catalogue; from init, a model of stage pretrain or align, or from nothing.
 * stage=align     the same loss, but all that came from init stands still, and what is learned is which code of there a code of here
 *                 means: E[g] becomes P_g E[g], P_g = Sinkhorn(`sharp` X_g) a soft permutation (math/balance.c).
 *
 * No weight depends on the catalogue. The codes, their codebooks and the rotation are kept with the model (codes, codebooks, rotation);
 * codebooks=init encodes the items of here with the codebooks of there, which needs vectors of the same text encoder. Where we differ:
 * pre-norm blocks, places count from the end, every position is a label, and of align nothing but X is trained. */
#include "models/sequence.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "math/math.h"
#include "models/product.h"
#include "nn/transformer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define VQREC_OPTIONS(X)                                                                                     \
    X(choice, stage, tune, 0, 0,                                                                             \
      "pretrain|align|tune: next items against those of the batch; which codes of init those of here are; "  \
      "all items")                                                                                           \
    X(text, init, "", 0, 255, "folder of a vqrec model, of any catalogue, to start from")                    \
    X(choice, codebooks, own, 0, 0,                                                                          \
      "own|init: codes are fitted to the vectors of these items, or those of init's")                        \
    X(bool, fix_enc, false, 0, 1, "stage=tune: all but the vectors of codes stands still")                   \
    X(int, groups, 32, 1, 64, "codes of an item; they divide the numbers of an item vector")                 \
    X(int, codes, 256, 2, 65536, "values of a code")                                                         \
    X(int, dim, 64, 4, 4096, "width of code and position vectors")                                           \
    X(int, layers, 2, 0, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward part")                                       \
    X(int, length, 50, 1, 8192, "events of the history that are read, the latest")                           \
    X(float, dropout, 0.2, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(float, temperature, 0.07, 0.001, 100, "cosines are divided by it")                                     \
    X(float, fake, 0.75, 0, 1,                                                                               \
      "stage=pretrain: share of the codes of semi-synthetic negatives that are drawn anew (0: no such "      \
      "negatives)")                                                                                          \
    X(float, sharp, 5, 0.001, 1000, "stage=align: what X is multiplied by")                                  \
    X(int, rounds, 20, 1, 1000, "stage=align: rounds of Sinkhorn")                                           \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of item and position vectors at the start")

typedef struct vqrec_config {
    VQREC_OPTIONS(SG_OPTION_FIELD)
} vqrec_config;
#define SG_OPTION_STRUCT vqrec_config
static const sg_option vqrec_options[] = {VQREC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { RNG_FAKE = SG_RNG_USER };

typedef struct vqrec {
    sg_param *code, *position,
        *permute; /* (groups codes, dim), (length, dim), (groups codes, codes): of align, else NULL */
    sg_norm input;
    sg_tower tower;
    int32_t *row; /* owned (n_items, groups): rows of `code` */
    sg_runs runs; /* training */
} vqrec;

static sg_status vqrec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const vqrec_config *c = m->config;
    vqrec *s = m->state;
    sg_params *ps = &m->params;
    const sg_block_spec spec = {
        .dim = c->dim, .heads = c->heads, .ffn = c->ffn, .bias = true, .eps = 1e-8f, .act = SG_GELU};
    const float sd = (float)c->init_sd;
    const bool align = !strcmp(c->stage, "align");
    sg_status st;

    s->code = sg_param_add(ps, seed, SG_INIT_NORMAL, sd * sqrtf((float)c->groups), 0, c->groups * c->codes,
                           c->dim, "code.weight");
    const size_t first = ps->n;
    s->position = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->length, c->dim, "position.weight");
    sg_norm_declare(&s->input, ps, c->dim, false, 1e-8f, "input");
    if ((st = sg_tower_declare(&s->tower, ps, seed, c->layers, &spec, "", err)))
        return st;
    for (size_t i = align ? 0 : first; (align || c->fix_enc) && i < ps->n; i++)
        ps->list[i]->frozen = true;
    if (align)
        s->permute = sg_param_add(ps, seed, SG_INIT_NORMAL, 1, SG_PARAM_NO_DECAY, c->groups * c->codes,
                                  c->codes, "permute.weight");
    return SG_OK;
}

static void vqrec_fini(sg_model *m)
{
    vqrec *s = m->state;

    sg_tower_free(&s->tower);
    sg_runs_free(&s->runs);
    sg_free(s->row);
}

/* ---- what comes from another catalogue -------------------------------------------------------------------------- */

/* E, or P E: the rows that codes of here stand for. */
static sg_tensor *code_table(sg_graph *g, const sg_model *m)
{
    const vqrec_config *c = m->config;
    const vqrec *s = m->state;
    sg_tensor *e = sg_leaf(g, s->code);

    if (!s->permute)
        return e;
    return sg_squares_times(g, sg_balance(g, sg_scale(g, sg_leaf(g, s->permute), (float)c->sharp), c->rounds),
                            e);
}

static sg_status open_init(sg_model **out, const sg_model *m, sg_error *err)
{
    static const char *const same[] = {"groups", "codes", "dim", "layers", "heads", "ffn", "length"};
    const vqrec_config *c = m->config;
    sg_status st = sg_model_open(out, c->init, err);

    if (st)
        return st;
    if ((*out)->class != m->class)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a model of class vqrec, found %s", c->init,
                       (*out)->class->name);
    for (size_t i = 0; !st && i < sizeof same / sizeof *same; i++) {
        const sg_option *o =
            sg_options_find(vqrec_options, sizeof vqrec_options / sizeof *vqrec_options, same[i]);
        sg_buf there = {0}, here = {0};

        sg_options_print(&there, (*out)->config, o);
        sg_options_print(&here, c, o);
        if (there.failed || here.failed)
            st = sg_fail_memory(err, "options");
        else if (strcmp(there.data, here.data) != 0)
            st = sg_fail(err, SG_ERR_USAGE, "%s: has %s=%s, expected %s as here", c->init, same[i],
                         there.data, here.data);
        sg_buf_free(&there);
        sg_buf_free(&here);
    }
    return st;
}

/* Weights by name; a permutation that was learned is in its table from now on. */
static sg_status take_weights(sg_model *m, const sg_model *from, sg_error *err)
{
    vqrec *s = m->state;
    sg_graph *g;
    const sg_tensor *e;
    sg_status st = sg_graph_new(&g, NULL, SG_F32, err);

    if (st)
        return st;
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];
        const sg_param *old = sg_params_find(&from->params, p->name);

        if (p == s->permute)
            continue;
        assert(old && old->count == p->count);
        memcpy(p->value, old->value, p->count * sizeof *p->value);
        p->version++;
    }
    sg_graph_begin(g, SG_INFER, 0, 0);
    e = code_table(g, from);
    if (!(st = sg_graph_status(g, err)))
        memcpy(s->code->value, e->data, s->code->count * sizeof *e->data);
    sg_graph_free(g);
    return st;
}

/* Codes of the same codebooks mean themselves to begin with: .99 of each, by the default of sharp. */
static void start_at_identity(sg_param *permute)
{
    const size_t n = (size_t)permute->dim[1];

    for (size_t i = 0; i < permute->count; i++)
        permute->value[i] = 0.01f * permute->value[i] + (i % n == i / n % n ? 2 : 0);
    permute->version++;
}

static sg_status vqrec_ready(sg_model *m, sg_error *err)
{
    const vqrec_config *c = m->config;
    vqrec *s = m->state;

    return sg_product_rows(&s->row, m, c->groups, c->codes, err);
}

/* Options of another stage would change nothing. */
static sg_status check_stage(const vqrec_config *c, sg_error *err)
{
    static const struct {
        const char *option, *stage;
    } of[] = {{"fix_enc", "tune"}, {"fake", "pretrain"}, {"sharp", "align"}, {"rounds", "align"}};

    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (strcmp(c->stage, of[i].stage) != 0 &&
            !sg_option_is_initial(
                c,
                sg_options_find(vqrec_options, sizeof vqrec_options / sizeof *vqrec_options, of[i].option)))
            return sg_fail(err, SG_ERR_USAGE, "vqrec: %s: expected stage=%s, found stage=%s", of[i].option,
                           of[i].stage, c->stage);
    return SG_OK;
}

static sg_status vqrec_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const vqrec_config *c = m->config;
    vqrec *s = m->state;
    const bool init = c->init[0] != 0, take = !strcmp(c->codebooks, "init");
    sg_model *from = NULL;
    sg_status st = check_stage(c, err);

    if (st)
        return st;
    if (!init && (s->permute || take))
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected init=DIR beside it, a vqrec model of another catalogue",
                       s->permute ? "stage=align" : "codebooks=init");
    if (init && ((st = open_init(&from, m, err)) || (st = take_weights(m, from, err))))
        goto done;
    if (s->permute && take)
        start_at_identity(s->permute);
    if (!(st = take ? sg_product_take(m, from, t->vectors, c->groups, c->codes, err)
                    : sg_product_fit(m, t->vectors, c->groups, c->codes, err)))
        st = vqrec_ready(m, err);
done:
    sg_model_free(from);
    return st;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* v of n items, by their rows of the table (n, groups): (n, dim) */
static sg_tensor *items_of(sg_graph *g, const sg_model *m, sg_param *table, const int32_t *row, int n)
{
    const int groups = ((const vqrec_config *)m->config)->groups;

    return sg_scale(g, sg_embed_bag(g, table, row, n, groups), 1 / (float)groups);
}

/* h (tokens, dim) of unit length; v: the items that are read */
static sg_tensor *encode(const sg_model *m, sg_graph *g, const sg_sequences *q, sg_tensor *v)
{
    const vqrec_config *c = m->config;
    const vqrec *s = m->state;
    const int32_t *place = sg_places_from_end(g, q);
    sg_tensor *x;

    if (!place)
        return NULL;
    x = sg_norm_forward(g, &s->input, sg_plus(g, v, sg_embed(g, s->position, place, q->tokens)));
    x = sg_dropout(g, x, (float)c->dropout_input);
    return sg_l2norm(
        g, sg_tower_forward(g, &s->tower, x, q->offsets, q->n, SG_MASK_CAUSAL, (float)c->dropout), 1e-12f);
}

/* ---- training --------------------------------------------------------------------------------------------------- */

static sg_status vqrec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const vqrec_config *c = m->config;
    vqrec *s = m->state;
    const sg_status st = sg_runs_new(&s->runs, t, c->length, false, 2, err);

    *n = s->runs.n;
    return st;
}

static int32_t *rows_of(sg_graph *g, const sg_model *m, const int32_t *item, int n, int room)
{
    const vqrec *s = m->state;
    const size_t groups = (size_t)((const vqrec_config *)m->config)->groups;
    int32_t *row = sg_scratch(g, (size_t)(n + room) * groups + 1, sizeof *row);

    for (size_t i = 0; row && i < (size_t)n; i++)
        memcpy(row + i * groups, s->row + (size_t)item[i] * groups, groups * sizeof *row);
    return row;
}

/* Semi-synthetic: a share of the codes of an item, one at least, replaced by others. */
static void make_fake(int32_t *fake, const int32_t *real, const vqrec_config *c, uint64_t seed, uint64_t step,
                      uint64_t number)
{
    const uint64_t first = number * (uint64_t)c->groups;
    int changed = 0;

    for (int k = 0; k < c->groups; k++) {
        const uint64_t at = first + (uint64_t)k;
        const bool draw = sg_rng_double(seed, RNG_FAKE, step, 2 * at) < c->fake;
        const int32_t code = draw
                                 ? (int32_t)sg_rng_below((uint64_t)c->codes, seed, RNG_FAKE, step, 2 * at + 1)
                                 : real[k] % c->codes;

        fake[k] = k * c->codes + code;
        changed += fake[k] != real[k];
    }
    if (!changed) {
        const int k = (int)sg_rng_below((uint64_t)c->groups, seed, RNG_FAKE, step, 2 * first + 1);

        fake[k] = k * c->codes + (real[k] + 1) % c->codes;
    }
}

/* The different items that are next somewhere in the batch, where each stands (slot, -1: nowhere), and for every token its own and those
 * that its user has, which do not count. */
typedef struct among {
    int32_t *item, *slot;
    int n;
    int32_t *own, *offsets, *out;
} among;

static bool take_among(among *a, sg_graph *g, int32_t n_items, const sg_sequences *q)
{
    size_t most = 0;
    int32_t at = 0;

    for (int b = 0; b < q->n; b++) {
        const size_t len = (size_t)(q->offsets[b + 1] - q->offsets[b]);

        most += len * (len + 1);
    }
    *a = (among){.item = sg_scratch(g, (size_t)q->tokens + 1, sizeof *a->item),
                 .slot = sg_scratch(g, (size_t)n_items, sizeof *a->slot),
                 .own = sg_scratch(g, (size_t)q->tokens + 1, sizeof *a->own),
                 .offsets = sg_scratch(g, (size_t)q->tokens + 1, sizeof *a->offsets),
                 .out = sg_scratch(g, most + 1, sizeof *a->out)};
    if (!a->item || !a->slot || !a->own || !a->offsets || !a->out)
        return false;
    memset(a->slot, 0xff, (size_t)n_items * sizeof *a->slot);
    for (int t = 0; t < q->tokens; t++) {
        const int32_t next = q->target[t];

        if (next >= 0 && a->slot[next] < 0) {
            a->slot[next] = a->n;
            a->item[a->n++] = next;
        }
        a->own[t] = next < 0 ? -1 : a->slot[next];
    }
    for (int b = 0; b < q->n; b++)
        for (int t = q->offsets[b]; t < q->offsets[b + 1]; t++) {
            a->offsets[t] = at;
            for (int e = q->offsets[b]; e <= q->offsets[b + 1]; e++) {
                const int32_t item = e < q->offsets[b + 1] ? q->item[e] : q->target[e - 1];

                if (item >= 0 && a->slot[item] >= 0)
                    a->out[at++] = a->slot[item];
            }
        }
    a->offsets[q->tokens] = at;
    return true;
}

static sg_tensor *pretrain_loss(sg_model *m, sg_graph *g, const sg_sequences *q, uint64_t seed, uint64_t step)
{
    const vqrec_config *c = m->config;
    const vqrec *s = m->state;
    sg_param *table = sg_table(g, code_table(g, m));
    int32_t *read, *row;
    among a;

    if (!table || !take_among(&a, g, m->n_items, q))
        return NULL;
    const int fakes = c->fake > 0 ? a.n : 0;

    if (!(read = rows_of(g, m, q->item, q->tokens, 0)) || !(row = rows_of(g, m, a.item, a.n, fakes)))
        return NULL;
    for (int i = 0; i < fakes; i++)
        make_fake(row + (size_t)(a.n + i) * (size_t)c->groups, s->row + (size_t)a.item[i] * (size_t)c->groups,
                  c, seed, step, (uint64_t)i);
    return sg_batch_ce_among(
        g, encode(m, g, q, items_of(g, m, table, read, q->tokens)),
        sg_l2norm(g, items_of(g, m, table, row, a.n + fakes), 1e-12f),
        &(sg_among_spec){
            .own = a.own, .offsets = a.offsets, .out = a.out, .scale = (float)(1 / c->temperature)});
}

static sg_tensor *vqrec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                             uint64_t step)
{
    const vqrec_config *c = m->config;
    const vqrec *s = m->state;
    sg_tensor *v, *h;
    sg_param *table;
    sg_sequences q;

    if (!sg_runs_pack(&q, g, &s->runs, example, n, seed, step))
        return NULL;
    if (!strcmp(c->stage, "pretrain"))
        return pretrain_loss(m, g, &q, seed, step);
    if (!(table = sg_table(g, code_table(g, m))))
        return NULL;
    v = items_of(g, m, table, s->row, m->n_items);
    h = encode(m, g, &q, sg_rows(g, v, q.item, q.tokens));
    return sg_softmax_ce(g, h, sg_table(g, sg_l2norm(g, v, 1e-12f)), NULL, q.target, NULL,
                         (float)(1 / c->temperature), 0);
}

/* ---- scoring ---------------------------------------------------------------------------------------------------- */

typedef struct scorer { /* of one session: all items, at this state of the weights */
    float *v;           /* owned (n_items, dim) */
    sg_param unit;      /* value owned (n_items, dim): the same at unit length */
    uint64_t version;
} scorer;

static void vqrec_session_fini(sg_session *session)
{
    scorer *r = session->state;

    sg_gemm_forget(&r->unit);
    sg_free(r->unit.value);
    sg_free(r->v);
    *r = (scorer){0};
}

typedef struct averages {
    scorer *r;
    const float *table;
    const int32_t *row;
    size_t groups, dim;
} averages;

static void average_items(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const averages *w = ctx;
    const size_t dim = w->dim;

    for (size_t i = begin; i < end; i++) {
        float *v = w->r->v + i * dim, *unit = w->r->unit.value + i * dim;

        memset(v, 0, dim * sizeof *v);
        for (size_t k = 0; k < w->groups; k++)
            sg_axpy(v, 1, w->table + (size_t)w->row[i * w->groups + k] * dim, dim);
        for (size_t j = 0; j < dim; j++)
            v[j] *= 1 / (float)w->groups;
        const float length = sqrtf(sg_dot(v, v, dim));
        for (size_t j = 0; j < dim; j++)
            unit[j] = v[j] / fmaxf(length, 1e-12f);
    }
}

static sg_status know_items(sg_session *session, sg_error *err)
{
    const sg_model *m = session->model;
    const vqrec_config *c = m->config;
    const vqrec *s = m->state;
    const size_t n = (size_t)m->n_items, bytes = (size_t)c->dim * sizeof(float);
    const uint64_t version = sg_params_version(&m->params);
    scorer *r = session->state;
    const sg_tensor *table;
    sg_status st;

    if (r->version == version)
        return SG_OK;
    if ((!r->v && !(r->v = sg_alloc_array(n, bytes))) ||
        (!r->unit.value && !(r->unit.value = sg_alloc_array(n, bytes))))
        return sg_fail_memory(err, "item vectors");
    sg_graph_begin(session->graph, SG_INFER, 0, 0);
    table = code_table(session->graph, m);
    if ((st = sg_graph_status(session->graph, err)))
        return st;
    sg_parallel_for(session->pool, n, 256, average_items,
                    &(averages){r, table->data, s->row, (size_t)c->groups, (size_t)c->dim});
    r->unit.rank = 2;
    r->unit.dim[0] = m->n_items;
    r->unit.dim[1] = c->dim;
    r->unit.count = n * (size_t)c->dim;
    r->unit.version = r->version = version;
    return SG_OK;
}

static sg_status vqrec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const vqrec_config *c = m->config;
    const size_t dim = (size_t)c->dim;
    scorer *r = session->state;
    sg_graph *g = session->graph;
    sg_tensor *v;
    sg_sequences q;
    sg_status st = know_items(session, err);

    if (st)
        return st;
    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!sg_histories_pack(&q, g, h, c->length) || !(v = sg_tensor_2d(g, q.tokens, c->dim)))
        return sg_graph_status(g, err);
    for (int t = 0; t < q.tokens; t++)
        memcpy(v->data + (size_t)t * dim, r->v + (size_t)q.item[t] * dim, dim * sizeof *v->data);
    v = sg_scale(g, sg_rows(g, encode(m, g, &q, v), q.last, h->n), (float)(1 / c->temperature));
    return sg_item_scores(session, v, &r->unit, NULL, false, scores, err);
}

const sg_model_class sg_model_vqrec = {
    .name = "vqrec",
    .summary = "items by the codes of their text alone; learned on one catalogue, carried to another",
    .paper = "Hou et al., WWW 2023, arXiv:2210.12316",
    .options = vqrec_options,
    .n_options = sizeof vqrec_options / sizeof *vqrec_options,
    .config_bytes = sizeof(vqrec_config),
    .state_bytes = sizeof(vqrec),
    .needs_vectors = true,
    .weights = vqrec_weights,
    .init = vqrec_init,
    .ready = vqrec_ready,
    .fini = vqrec_fini,
    .examples = vqrec_examples,
    .loss = vqrec_loss,
    .score = vqrec_score,
    .session_bytes = sizeof(scorer),
    .session_fini = vqrec_session_fini,
};
