/* cobra.c - a sparse ID first, then a dense vector, one conditioned on the other.   [Yang et al. 2025, arXiv:2503.02453]
 *
 * A causal decoder reads two tokens an item, what its ID says and what its text says, and is asked for both of the next one:
 *
 *   tokens   e(ID_1) v_1 e(ID_2) v_2 ..        e(ID): sum of the vectors of its codes      v: from the item's text, unit length
 *   at v_t       -> ID_t+1, code by code       softmax over the codes that exist
 *   at e(ID_t+1) -> u_t+1                      unit length; softmax of u_t+1 . v_j / temperature over items j
 *
 * The IDs are frozen: the first `levels` codes of the dataset's. Items that share them are told apart by their vectors alone. v
 * is a tower over the vectors that `sedge embed` made, which is trained (the paper: a text encoder over tokens); v = W x + W2
 * gelu(W1 x). So an item that came after training has all it needs.
 *
 * Recommending is BeamFusion: the `beam` most probable IDs, for each the vector u that the decoder gives when it is told this
 * ID, for each of those its items a, ranked by
 *
 *   fuse=id    tau log p(ID) + psi u_ID . v_a - log sum over the items b of the ID of exp(psi u_ID . v_b)
 *   fuse=all   tau log p(ID) + psi (u_ID . v_a - 1)
 *
 * the logarithm of the paper's product, up to a constant of the request.
 *
 * Where we differ from the paper: the codes of an ID are one token, and a small network on top of the decoder's state writes
 * them one after the other; negatives=0 compares with all items instead of those of the batch. Beyond it, for catalogues of
 * which much is known: item_vectors gives each item a vector of its own beside that of its text; prefix_vectors and content as
 * in tiger; star adds STAR's scores. */
#include "models/sequence.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "math/math.h"
#include "models/content.h"
#include "models/names.h"
#include "models/star.h"
#include "nn/transformer.h"

#include <math.h>
#include <string.h>

#define COBRA_OPTIONS(X)                                                                                     \
    X(int, dim, 64, 4, 4096, "width of tokens and item vectors")                                             \
    X(int, layers, 2, 1, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward parts")                                      \
    X(int, history, 20, 1, 2048, "items of the history that are read, the latest")                           \
    X(float, dropout, 0.2, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(int, levels, 3, 1, 16,                                                                                 \
      "codes of an ID that are written; items that share them are told apart by vectors")                    \
    X(int, text_dim, 256, 1, 65536, "numbers of an item's text vector that the tower reads, the first")      \
    X(int, hidden, 128, 1, 16384, "inner width of the tower over text vectors")                              \
    X(bool, item_vectors, false, 0, 1, "each item also has a vector of its own")                             \
    X(bool, prefix_vectors, false, 0, 1, "a token also carries vectors of the prefixes of its ID")           \
    X(float, content, 0, 0, 100,                                                                             \
      "prefixes and item_vectors start from text vectors of this many times init_sd (0: from nothing)")      \
    X(choice, softmax, level, 0, 0,                                                                          \
      "level|legal: loss of an ID over all codes of a level (paper), or over codes that exist")              \
    X(bool, leave_unseen, false, 0, 1,                                                                       \
      "softmax=legal: codes that only items without a training event bear are not learned against, so that "\
      "these may be recommended")                                                                            \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all codes")                         \
    X(float, sparse, 1, 0, 1000, "weight of the loss of IDs, the mean over their codes")                     \
    X(float, dense, 1, 0, 1000, "weight of the loss of vectors")                                             \
    X(float, temperature, 0.07, 0.001, 100, "cosines are divided by it in the loss of vectors")              \
    X(int, negatives, 512, 0, 1000000,                                                                       \
      "items drawn to be compared with, beside those of the batch (paper: none drawn; 0: all items)")        \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the token vectors at the start")            \
    X(int, beam, 20, 1, 1000000, "IDs kept while decoding, unless the caller says otherwise")                \
    X(int, neighbours, 0, 0, 1000000, "items kept of each ID, the nearest (0: all)")                         \
    X(choice, fuse, id, 0, 0,                                                                                \
      "id|all: cosines are compared inside their ID first, or among all candidates at once")                 \
    X(float, tau, 0.9, 0, 1000, "weight of the log-probability of the ID")                                   \
    X(float, psi, 16, 0, 1000, "weight of the cosine")                                                       \
    X(float, star, 0, 0, 10000, "scores of STAR times this are added (0: none)")                             \
    X(float, star_text, 0.5, 0, 1, "star: share of item similarity by text; the rest is co-occurrence")

typedef struct cobra_config {
    COBRA_OPTIONS(SG_OPTION_FIELD)
} cobra_config;
#define SG_OPTION_STRUCT cobra_config
static const sg_option cobra_options[] = {COBRA_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct cobra {
    sg_catalogue *ids;   /* owned: IDs that exist; ID i is the i-th in order */
    int32_t *id_of;      /* owned (n_items) */
    int32_t *id_offsets; /* owned (ids + 1) and the items of each ID, ascending */
    int32_t *id_items;
    sg_names names;                        /* of ids */
    sg_param *position, *depth;            /* (history + 1, dim), (levels, dim) */
    sg_param *text, *item;                 /* (n_items, text_dim) frozen, (n_items, dim) or NULL */
    sg_param *straight, *up, *up_b, *down; /* tower */
    sg_param *in, *in_b, *out, *out_b;     /* item vector to token, state to item vector */
    sg_param *write_up, *write_up_b, *write_down, *write_down_b; /* network that writes codes */
    sg_norm norm_write, norm_code;
    sg_tower tower;
    sg_runs runs;   /* training */
    int32_t *known; /* owned (n_known): items with training events */
    int n_known;
    float *vectors; /* owned (n_items, dim) of a model that is done */
    sg_star star;
} cobra;

typedef struct cobra_session {
    float *vectors; /* owned: of a model that is being trained */
} cobra_session;

/* ---- IDs ----------------------------------------------------------------------------------------------- */
/* Items by ID: nodes of the catalogue at this depth, in order. */
static sg_status find_ids(sg_model *m, sg_error *err)
{
    const cobra_config *c = m->config;
    const sg_catalogue *all = m->catalogue;
    cobra *s = m->state;
    const int deepest = sg_catalogue_levels(all), levels = c->levels < deepest ? c->levels : deepest;
    const int32_t n = sg_catalogue_nodes(all, levels);
    int32_t size[SG_CATALOGUE_LEVELS_MAX], *codes = sg_alloc_array((size_t)n * (size_t)levels, sizeof *codes);
    sg_status st = SG_OK;

    s->id_of = sg_alloc_array((size_t)m->n_items, sizeof *s->id_of);
    s->id_items = sg_alloc_array((size_t)m->n_items, sizeof *s->id_items);
    s->id_offsets = sg_alloc_zero((size_t)n + 2, sizeof *s->id_offsets);
    if (!codes || !s->id_of || !s->id_items || !s->id_offsets)
        st = sg_fail_memory(err, "IDs");
    for (int32_t i = 0; !st && i < m->n_items; i++) {
        int32_t node = sg_catalogue_leaf(all, i);

        for (int l = deepest; l > levels; l--)
            node = sg_catalogue_parent(all, l, node);
        s->id_of[i] = node;
        s->id_offsets[node + 2]++;
        memcpy(codes + (size_t)node * (size_t)levels, m->codes + (size_t)i * (size_t)deepest,
               (size_t)levels * sizeof *codes);
    }
    for (int32_t v = 0; !st && v < n; v++)
        s->id_offsets[v + 2] += s->id_offsets[v + 1];
    for (int32_t i = 0; !st && i < m->n_items; i++)
        s->id_items[s->id_offsets[s->id_of[i] + 1]++] = i;
    for (int l = 0; l < levels; l++)
        size[l] = sg_catalogue_size(all, l);
    if (!st && !(st = sg_catalogue_new(&s->ids, codes, n, levels, size, err)))
        sg_names_init(&s->names, s->ids);
    sg_free(codes);
    return st ? st : sg_names_number(&s->names, err);
}

/* ---- weights ------------------------------------------------------------------------------------------- */
static sg_status cobra_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const cobra_config *c = m->config;
    cobra *s = m->state;
    sg_names *w = &s->names;
    sg_params *ps = &m->params;
    const sg_block_spec spec = {
        .dim = c->dim, .heads = c->heads, .ffn = c->ffn, .bias = true, .eps = 1e-8f, .act = SG_GELU};
    const float sd = (float)c->init_sd;
    sg_status st;

    if (!m->catalogue)
        return sg_fail(err, SG_ERR_MISSING, "cobra needs semantic IDs: run sedge tokenize first");
    if ((st = find_ids(m, err)))
        return st;
    w->token = w->head =
        sg_param_add(ps, seed, SG_INIT_NORMAL, sd, SG_PARAM_NO_DECAY, w->tokens, c->dim, "token.weight");
    if (c->prefix_vectors && w->levels > 1)
        w->prefix = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY | SG_PARAM_SPARSE,
                                 w->first_prefix[w->levels + 1], c->dim, "prefix.weight");
    s->position = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->history + 1, c->dim, "position.weight");
    s->depth = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, w->levels, c->dim, "depth.weight");
    s->text = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_FROZEN | SG_PARAM_NO_DECAY, m->n_items,
                           c->text_dim, "text.weight");
    s->straight =
        sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->text_dim, "tower.straight.weight");
    s->up = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->hidden, c->text_dim, "tower.up.weight");
    s->up_b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->hidden, 0, "tower.up.bias");
    s->down = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->hidden, "tower.down.weight");
    if (c->item_vectors)
        s->item = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, c->negatives ? SG_PARAM_SPARSE : 0, m->n_items,
                               c->dim, "item.weight");
    s->in = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "in.weight");
    s->in_b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "in.bias");
    s->out = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "out.weight");
    s->out_b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "out.bias");
    s->write_up = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->ffn, c->dim, "write.up.weight");
    s->write_up_b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->ffn, 0, "write.up.bias");
    s->write_down = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->ffn, "write.down.weight");
    s->write_down_b =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->dim, 0, "write.down.bias");
    sg_norm_declare(&s->norm_write, ps, c->dim, false, 1e-8f, "write.norm");
    sg_norm_declare(&s->norm_code, ps, c->dim, false, 1e-8f, "code.norm");
    return sg_tower_declare(&s->tower, ps, seed, c->layers, &spec, "", err);
}

static void cobra_fini(sg_model *m)
{
    cobra *s = m->state;

    sg_names_free(&s->names);
    sg_catalogue_free(s->ids);
    sg_free(s->id_of);
    sg_free(s->id_offsets);
    sg_free(s->id_items);
    sg_free(s->known);
    sg_free(s->vectors);
    sg_tower_free(&s->tower);
    sg_runs_free(&s->runs);
}

static sg_status find_star(sg_model *m, sg_error *err)
{
    const cobra_config *c = m->config;
    cobra *s = m->state;

    return c->star > 0 ? sg_star_need(&s->star, m, c->star, err) : SG_OK;
}

static sg_status cobra_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const cobra_config *c = m->config;
    cobra *s = m->state;
    const double spread = c->content * c->init_sd;
    sg_status st;

    if ((st = sg_content_add(s->text, t, 1, err)) ||
        (spread > 0 && s->item && (st = sg_content_add(s->item, t, spread, err))) ||
        (spread > 0 && s->names.prefix && (st = sg_names_content(&s->names, t, s->id_of, spread, err))))
        return st;
    if (c->star > 0 && !(st = sg_star_fit(m, c->star_text, t, err)))
        st = find_star(m, err); /* validation asks before training ends */
    return st;
}

/* ---- tokens -------------------------------------------------------------------------------------------- */
/* Unit vectors (n, dim) of these items. */
static sg_tensor *item_vectors(const sg_model *m, sg_graph *g, const int32_t *item, int n)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    sg_tensor *x = sg_embed(g, s->text, item, n);
    sg_tensor *v =
        sg_plus(g, sg_linear(g, x, s->straight, NULL),
                sg_linear(g, sg_linear_act(g, x, s->up, s->up_b, SG_GELU, (float)c->dropout), s->down, NULL));

    if (s->item)
        v = sg_plus(g, v, sg_scale(g, sg_embed(g, s->item, item, n), (float)(1 / c->init_sd)));
    return sg_l2norm(g, v, 1e-12f);
}

/* Sums (n, dim) of the vectors of the first `upto[i]` codes of these IDs and of their prefixes; ID -1: zeros. */
static sg_tensor *id_tokens(const sg_model *m, sg_graph *g, const int32_t *id, const int32_t *upto, int n)
{
    const cobra_config *c = m->config;
    const sg_names *w = &((const cobra *)m->state)->names;
    const int levels = w->levels;
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    int32_t *token = sg_scratch(g, (size_t)n * (size_t)levels + 1, sizeof *token);
    int32_t *prefix = sg_scratch(g, (size_t)n * (size_t)levels + 1, sizeof *prefix);

    if (!token || !prefix)
        return NULL;
    for (int i = 0; i < n; i++) {
        const int have = id[i] < 0 ? 0 : upto ? upto[i] : levels;

        if (have)
            sg_catalogue_codes(w->catalogue, id[i], codes);
        for (int l = 0; l < levels; l++) {
            const size_t at = (size_t)i * (size_t)levels + (size_t)l;

            token[at] = l < have ? w->first[l] + codes[l] : -1;
            prefix[at] = l < have ? w->node[(size_t)id[i] * (size_t)levels + (size_t)l] : -1;
        }
    }
    sg_tensor *x = sg_embed_bag(g, w->token, token, n, levels);

    if (w->prefix)
        x = sg_plus(g, x, sg_embed_bag(g, w->prefix, prefix, n, levels));
    return sg_scale(g, x, sqrtf((float)c->dim));
}

/* e and v (n, dim) of n items one after the other, (2 n, dim): what the decoder reads. place (n): of each item. */
static sg_tensor *interleave(const sg_model *m, sg_graph *g, sg_tensor *e, sg_tensor *v, const int32_t *place,
                             int n)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    int32_t *row = sg_scratch(g, 2 * (size_t)n + 1, sizeof *row);

    if (!row)
        return NULL;
    for (int i = 0; i < n; i++) {
        row[2 * i] = i;
        row[2 * i + 1] = n + i;
    }
    sg_tensor *p = sg_embed(g, s->position, place, n);
    sg_tensor *t = sg_linear(g, sg_scale(g, v, sqrtf((float)c->dim)), s->in, s->in_b);

    sg_tensor *x =
        sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){sg_plus(g, e, p), sg_plus(g, t, p)}, 2), row, 2 * n);
    return sg_dropout(g, x, (float)c->dropout_input);
}

/* What writes a code, from the decoder's state and the sum of the codes before it, (n, dim) each; depth (n): which code. */
static sg_tensor *code_states(const sg_model *m, sg_graph *g, sg_tensor *state, sg_tensor *before,
                              const int32_t *depth, int n)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    sg_tensor *x = sg_plus(g, sg_plus(g, state, before), sg_embed(g, s->depth, depth, n));
    sg_tensor *y = sg_linear_act(g, sg_norm_forward(g, &s->norm_write, x), s->write_up, s->write_up_b,
                                 SG_GELU, (float)c->dropout);

    x = sg_add_dropout(g, x, sg_linear(g, y, s->write_down, s->write_down_b), (float)c->dropout);
    return sg_norm_forward(g, &s->norm_code, x);
}

/* The vector that a state at e(ID) gives. */
static sg_tensor *dense_vectors(const sg_model *m, sg_graph *g, sg_tensor *state)
{
    const cobra *s = m->state;

    return sg_l2norm(g, sg_linear(g, state, s->out, s->out_b), 1e-12f);
}

/* ---- training ------------------------------------------------------------------------------------------ */
static sg_status cobra_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const cobra_config *c = m->config;
    cobra *s = m->state;
    int64_t *count;
    sg_status st;

    if ((c->leave_unseen && (st = sg_names_known(&s->names, t, s->id_of, err))) ||
        (st = sg_runs_new(&s->runs, t, c->history, false, 2, err)) ||
        (st = sg_count_items(&count, t, false, err)))
        return st;
    sg_free(s->known);
    s->n_known = 0;
    if ((s->known = sg_alloc_array((size_t)m->n_items, sizeof *s->known)))
        for (int32_t i = 0; i < m->n_items; i++)
            if (count[i])
                s->known[s->n_known++] = i;
    sg_free(count);
    *n = s->runs.n;
    return s->known ? SG_OK : sg_fail_memory(err, "items");
}

/* The items that are compared with: *item (*n), each once; slot (n_items): the place of each among them. */
static bool take_candidates(const sg_model *m, sg_graph *g, const sg_sequences *q, int32_t **item, int *n,
                            int32_t **slot, uint64_t seed, uint64_t step)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    const int drawn = c->negatives < s->n_known ? c->negatives : s->n_known;
    const int more = c->negatives ? drawn : s->n_known;

    *item = sg_scratch(g, (size_t)q->tokens + (size_t)more, sizeof **item);
    *slot = sg_scratch(g, (size_t)m->n_items, sizeof **slot);
    if (!*item || !*slot)
        return false;
    memset(*slot, 0xff, (size_t)m->n_items * sizeof **slot);
    *n = 0;
    for (int i = 0; i < q->tokens + more; i++) {
        const int k = i - q->tokens;
        const int32_t one =
            k < 0 ? q->item[i]
            : c->negatives
                ? s->known[sg_rng_below((uint64_t)s->n_known, seed, SG_RNG_SAMPLE, step, (uint64_t)k)]
                : s->known[k];

        if ((*slot)[one] < 0) {
            (*slot)[one] = *n;
            (*item)[(*n)++] = one;
        }
    }
    return true;
}

/* Rows of the training step: which state is asked for which item. */
typedef struct questions {
    int n;                           /* targets */
    int32_t *sparse_row;             /* (n * levels) token v_t of each code of the next item */
    int32_t *dense_row;              /* (n) token e_t+1 */
    int32_t *id, *vector;            /* (n) ID and candidate that are right */
    int32_t *code_id, *upto, *depth; /* (n * levels) ID, codes of it that are known, and which one is asked */
} questions;

static bool ask(questions *a, const sg_model *m, sg_graph *g, const sg_sequences *q, const int32_t *slot)
{
    const cobra *s = m->state;
    const int levels = s->names.levels;
    const size_t most = (size_t)q->tokens + 1, rows = most * (size_t)levels;

    *a = (questions){.sparse_row = sg_scratch(g, rows, sizeof(int32_t)),
                     .dense_row = sg_scratch(g, most, sizeof(int32_t)),
                     .id = sg_scratch(g, most, sizeof(int32_t)),
                     .vector = sg_scratch(g, most, sizeof(int32_t)),
                     .code_id = sg_scratch(g, rows, sizeof(int32_t)),
                     .upto = sg_scratch(g, rows, sizeof(int32_t)),
                     .depth = sg_scratch(g, rows, sizeof(int32_t))};
    if (!a->sparse_row || !a->dense_row || !a->id || !a->vector || !a->code_id || !a->upto || !a->depth)
        return false;
    for (int b = 0; b < q->n; b++)
        for (int i = q->offsets[b] + 1; i < q->offsets[b + 1]; i++) {
            const int t = a->n++;

            a->dense_row[t] = 2 * i;
            a->id[t] = s->id_of[q->item[i]];
            a->vector[t] = slot[q->item[i]];
            for (int l = 0; l < levels; l++) {
                const int r = t * levels + l;

                a->sparse_row[r] = 2 * i - 1;
                a->code_id[r] = a->id[t];
                a->upto[r] = a->depth[r] = l;
            }
        }
    return true;
}

/* Cross-entropy of the codes, from states that write them (n * levels, dim). */
static sg_tensor *sparse_loss(const sg_model *m, sg_graph *g, sg_tensor *x, const questions *a)
{
    const cobra_config *c = m->config;
    const sg_names *w = &((const cobra *)m->state)->names;
    const size_t rows = (size_t)a->n * (size_t)w->levels;
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    int32_t *begin = sg_scratch(g, rows + 1, sizeof *begin), *size = sg_scratch(g, rows + 1, sizeof *size),
            *target = sg_scratch(g, rows + 1, sizeof *target);

    if (!strcmp(c->softmax, "legal"))
        return sg_names_loss_legal(g, w, x, a->id, a->n, (float)c->label_smoothing);
    if (!begin || !size || !target)
        return NULL;
    for (size_t r = 0; r < rows; r++) {
        const int l = a->depth[r];

        sg_catalogue_codes(w->catalogue, a->code_id[r], codes);
        begin[r] = w->first[l];
        size[r] = w->size[l];
        target[r] = w->first[l] + codes[l];
    }
    return sg_softmax_ce_range(g, x, w->head, begin, size, target, NULL, 1, (float)c->label_smoothing);
}

static sg_tensor *cobra_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                             uint64_t step)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    int32_t *candidate, *slot, *own, *id, *offsets;
    const int32_t *place;
    int n_candidate;
    questions a;
    sg_sequences q;

    if (!sg_runs_pack_whole(&q, g, &s->runs, example, n) || !(place = sg_places_from_end(g, &q)) ||
        !take_candidates(m, g, &q, &candidate, &n_candidate, &slot, seed, step) || !ask(&a, m, g, &q, slot) ||
        !(own = sg_scratch(g, (size_t)q.tokens, sizeof *own)) ||
        !(id = sg_scratch(g, (size_t)q.tokens, sizeof *id)) ||
        !(offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets)))
        return NULL;
    for (int i = 0; i < q.tokens; i++) {
        own[i] = slot[q.item[i]];
        id[i] = s->id_of[q.item[i]];
    }
    for (int b = 0; b <= n; b++)
        offsets[b] = 2 * q.offsets[b];

    sg_tensor *v = item_vectors(m, g, candidate, n_candidate);
    sg_tensor *x =
        interleave(m, g, id_tokens(m, g, id, NULL, q.tokens), sg_rows(g, v, own, q.tokens), place, q.tokens);
    sg_tensor *h = sg_tower_forward(g, &s->tower, x, offsets, n, SG_MASK_CAUSAL, (float)c->dropout);
    const int rows = a.n * s->names.levels;
    sg_tensor *codes = code_states(m, g, sg_rows(g, h, a.sparse_row, rows),
                                   id_tokens(m, g, a.code_id, a.upto, rows), a.depth, rows);
    sg_tensor *sparse = sparse_loss(m, g, codes, &a);
    sg_tensor *u = dense_vectors(m, g, sg_rows(g, h, a.dense_row, a.n));
    sg_tensor *dense =
        sg_softmax_ce(g, u, sg_table(g, v), NULL, a.vector, NULL, (float)(1 / c->temperature), 0);

    return sg_plus(g, sg_scale(g, sparse, (float)c->sparse), sg_scale(g, dense, (float)c->dense));
}

/* ---- item vectors, all of them -------------------------------------------------------------------------- */
static sg_status all_vectors(float **out, const sg_model *m, sg_graph *g, sg_error *err)
{
    enum { RUN = 4096 };
    const cobra_config *c = m->config;
    const size_t dim = (size_t)c->dim;
    float *v = sg_alloc_array((size_t)m->n_items, dim * sizeof *v);
    int32_t item[RUN];
    sg_status st = v ? SG_OK : sg_fail_memory(err, "item vectors");

    for (int32_t first = 0; !st && first < m->n_items; first += RUN) {
        const int n = m->n_items - first < RUN ? m->n_items - first : RUN;

        for (int i = 0; i < n; i++)
            item[i] = first + i;
        sg_graph_begin(g, SG_INFER, 0, 0);
        const sg_tensor *part = item_vectors(m, g, item, n);
        if (!(st = sg_graph_status(g, err)) && part)
            memcpy(v + (size_t)first * dim, part->data, part->count * sizeof *v);
    }
    if (st)
        sg_free(v);
    else
        *out = v;
    return st;
}

static sg_status cobra_ready(sg_model *m, sg_error *err)
{
    cobra *s = m->state;
    sg_graph *g;
    sg_status st;

    if ((st = find_star(m, err)) || (st = sg_graph_new(&g, NULL, SG_F32, err)))
        return st;
    sg_free(s->vectors);
    s->vectors = NULL;
    st = all_vectors(&s->vectors, m, g, err);
    sg_graph_free(g);
    return st;
}

/* Those of a model that is done, or, while it learns, the session's own. */
static sg_status need_vectors(const float **out, sg_session *session, sg_error *err)
{
    const cobra *s = session->model->state;
    cobra_session *own = session->state;
    sg_status st = SG_OK;

    if (s->vectors && !s->runs.data) {
        *out = s->vectors;
        return SG_OK;
    }
    if (!own->vectors)
        st = all_vectors(&own->vectors, session->model, session->graph, err);
    *out = own->vectors;
    return st;
}

static void cobra_session_fini(sg_session *session)
{
    sg_free(((cobra_session *)session->state)->vectors);
}

/* ---- recommending -------------------------------------------------------------------------------------- */
typedef struct decoder {
    const sg_model *m;
    sg_session *session;
    const float *vectors; /* (n_items, dim) */
    int batch, cap;       /* users; IDs a level may have */
    int32_t *tokens;      /* (batch + 1) of each user's history */
    sg_tensor **k, **v;   /* (layers) of the history */
    sg_tensor *state;     /* (batch, dim) after the last v */
    int32_t *node[2];     /* (cap) node of each prefix, of this level and the one before */
    float *before[2];     /* (cap, dim) sum of the vectors of its codes */
} decoder;

/* One block over new tokens x (n, dim), one sequence each row or the history as it is; keys and values are those of spec. */
static sg_tensor *run_block(const sg_block *b, sg_graph *g, sg_tensor *x, sg_tensor *normed, sg_tensor *k,
                            sg_tensor *v, int batch, const int32_t *offsets_q, const int32_t *offsets_k)
{
    const sg_attention_spec spec = {.heads = b->spec.heads,
                                    .batch = batch,
                                    .offsets_q = offsets_q,
                                    .offsets_k = offsets_k,
                                    .mask = SG_MASK_CAUSAL,
                                    .scale = 1 / sqrtf((float)b->spec.head_dim)};

    return sg_block_ffn(g, b, sg_heads_attend(g, &b->self, x, normed, k, v, &spec, 0), 0);
}

/* Reads the histories, keeps keys, values and the last states. */
static sg_status decoder_open(decoder *d, sg_session *session, const sg_histories *h, int cap, sg_error *err)
{
    const sg_model *m = session->model;
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    sg_graph *g = session->graph;
    sg_sequences q;
    sg_status st;

    *d = (decoder){.m = m, .session = session, .batch = h->n, .cap = cap};
    if ((st = need_vectors(&d->vectors, session, err)))
        return st;
    sg_graph_begin(g, SG_INFER, 0, 0);
    d->tokens = sg_scratch(g, (size_t)h->n + 1, sizeof *d->tokens);
    d->k = sg_scratch(g, (size_t)s->tower.n, sizeof *d->k);
    d->v = sg_scratch(g, (size_t)s->tower.n, sizeof *d->v);
    for (int i = 0; i < 2; i++) {
        d->node[i] = sg_scratch(g, (size_t)cap, sizeof *d->node[i]);
        d->before[i] = sg_scratch(g, (size_t)cap, (size_t)c->dim * sizeof *d->before[i]);
    }
    if (sg_graph_status(g, err) || !sg_histories_pack(&q, g, h, c->history))
        return sg_graph_status(g, err);
    int32_t *place = sg_places_from_end(g, &q), *id = sg_scratch(g, (size_t)q.tokens + 1, sizeof *id),
            *last = sg_scratch(g, (size_t)h->n, sizeof *last);
    sg_tensor *v = sg_tensor_2d(g, q.tokens, c->dim);

    if (!place || !id || !last || !v)
        return sg_graph_status(g, err);
    for (int i = 0; i < q.tokens; i++) {
        place[i]++; /* the item to come is at 0 */
        id[i] = s->id_of[q.item[i]];
        memcpy(v->data + (size_t)i * (size_t)c->dim, d->vectors + (size_t)q.item[i] * (size_t)c->dim,
               (size_t)c->dim * sizeof(float));
    }
    for (int b = 0; b <= h->n; b++)
        d->tokens[b] = 2 * q.offsets[b];
    for (int b = 0; b < h->n; b++)
        last[b] = q.last[b] < 0 ? -1 : 2 * q.last[b] + 1;

    sg_tensor *x = interleave(m, g, id_tokens(m, g, id, NULL, q.tokens), v, place, q.tokens);
    for (int i = 0; i < s->tower.n; i++) {
        const sg_block *b = &s->tower.block[i];
        sg_tensor *normed = sg_norm_forward(g, &b->norm_self, x);

        d->k[i] = sg_linear(g, normed, b->self.k, b->self.kb);
        d->v[i] = sg_linear(g, normed, b->self.v, b->self.vb);
        x = run_block(b, g, x, normed, d->k[i], d->v[i], h->n, d->tokens, d->tokens);
    }
    d->state = sg_rows(g, sg_norm_forward(g, &s->tower.norm, x), last, h->n);
    return sg_graph_status(g, err);
}

/* Sums of the vectors of the codes of each prefix: its parent's and its last code's. Notes the nodes. */
static void sum_prefixes(decoder *d, const sg_beam_rows *rows)
{
    const sg_names *w = &((const cobra *)d->m->state)->names;
    const int level = rows->level;
    const size_t dim = (size_t)w->token->dim[1];
    const float scale = sqrtf((float)dim);

    for (int r = 0; r < rows->n; r++) {
        float *sum = d->before[level & 1] + (size_t)r * dim;
        int32_t *node = &d->node[level & 1][r];

        *node = 0;
        if (!level) {
            memset(sum, 0, dim * sizeof *sum);
            continue;
        }
        const size_t parent = (size_t)rows->parent[r];
        *node = sg_catalogue_child(w->catalogue, level - 1, d->node[(level + 1) & 1][parent], rows->code[r]);
        memcpy(sum, d->before[(level + 1) & 1] + parent * dim, dim * sizeof *sum);
        sg_axpy(sum, scale, w->token->value + (size_t)(w->first[level - 1] + rows->code[r]) * dim, dim);
        if (w->prefix && level > 1)
            sg_axpy(sum, scale, w->prefix->value + (size_t)(w->first_prefix[level] + *node) * dim, dim);
    }
}

static sg_status write_code(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    decoder *d = ctx;
    const cobra_config *c = d->m->config;
    const cobra *s = d->m->state;
    const int level = rows->level, n = rows->n;
    sg_graph *g = d->session->graph;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    int32_t *user = sg_scratch(g, (size_t)n, sizeof *user), *depth = sg_scratch(g, (size_t)n, sizeof *depth);
    sg_status st;

    if (n > d->cap)
        return sg_fail(err, SG_ERR_USAGE, "decoder holds %d prefixes, %d asked", d->cap, n);
    if (!user || !depth)
        return sg_graph_status(g, err);
    sum_prefixes(d, rows);
    for (int b = 0; b < rows->batch; b++)
        for (int r = rows->offsets[b]; r < rows->offsets[b + 1]; r++) {
            user[r] = b;
            depth[r] = level;
        }
    sg_tensor *before = sg_input(g, d->before[level & 1], 2, (int[]){n, c->dim});
    sg_tensor *x = code_states(d->m, g, sg_rows(g, d->state, user, n), before, depth, n);
    if ((st = sg_graph_status(g, err)))
        return st;
    sg_names_logits(g, &s->names, x->data, d->node[level & 1], !strcmp(c->softmax, "legal"), rows);
    sg_arena_back(sg_graph_arena(g), mark);
    return SG_OK;
}

/* u (batch * each, dim): the vector after each ID; -1: none was found, the row means nothing. */
static sg_tensor *vectors_after(const decoder *d, const int32_t *id, int each)
{
    const sg_model *m = d->m;
    const cobra *s = m->state;
    const int n = d->batch * each, history = d->tokens[d->batch];
    sg_graph *g = d->session->graph;
    int32_t *place = sg_scratch(g, (size_t)n, sizeof *place),
            *one = sg_scratch(g, (size_t)n + 1, sizeof *one),
            *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets);
    int32_t *row = sg_scratch(g, (size_t)history * (size_t)each + (size_t)n, sizeof *row);
    int at = 0;

    if (!place || !one || !offsets || !row)
        return NULL;
    for (int i = 0; i < n; i++) { /* a sequence each: the user's history, and the ID */
        const int b = i / each;

        place[i] = 0;
        one[i] = i;
        offsets[i] = at;
        for (int t = d->tokens[b]; t < d->tokens[b + 1]; t++)
            row[at++] = t;
        row[at++] = history + i;
    }
    one[n] = n;
    offsets[n] = at;
    sg_tensor *x = sg_plus(g, id_tokens(m, g, id, NULL, n), sg_embed(g, s->position, place, n));
    for (int i = 0; i < s->tower.n; i++) {
        const sg_block *b = &s->tower.block[i];
        sg_tensor *normed = sg_norm_forward(g, &b->norm_self, x);
        sg_tensor *k = sg_linear(g, normed, b->self.k, b->self.kb),
                  *v = sg_linear(g, normed, b->self.v, b->self.vb);

        k = sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){d->k[i], k}, 2), row, at);
        v = sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){d->v[i], v}, 2), row, at);
        x = run_block(b, g, x, normed, k, v, n, one, offsets);
    }
    return dense_vectors(m, g, sg_norm_forward(g, &s->tower.norm, x));
}

/* What one request may be shown. */
typedef struct wanted {
    const sg_filter *f;
    const int32_t *seen; /* items of the history */
    int64_t n_seen;
} wanted;

static bool may_show(const wanted *w, int32_t item)
{
    if (w->f && w->f->allow && !w->f->allow[item])
        return false;
    for (int64_t i = 0; w->f && w->f->seen && i < w->n_seen; i++)
        if (w->seen[i] == item)
            return false;
    return true;
}

/* IDs of which nothing may be shown, for the search: allowed (ids) for all users, or NULL; for each user, after *deny. */
static sg_status bar_ids(sg_beam_spec *spec, const sg_model *m, sg_graph *g, const sg_histories *h,
                         const sg_filter *f, sg_error *err)
{
    const cobra *s = m->state;
    const int32_t n_ids = sg_catalogue_items(s->ids);
    uint8_t *allow = NULL;
    int64_t *offsets, n = 0;
    int32_t *deny;

    if (f && f->allow) {
        if (!(allow = sg_scratch(g, (size_t)n_ids, 1)))
            return sg_graph_status(g, err);
        memset(allow, 0, (size_t)n_ids);
        for (int32_t i = 0; i < m->n_items; i++)
            if (f->allow[i])
                allow[s->id_of[i]] = 1;
        spec->allow = allow;
    }
    if (!f || !f->seen)
        return SG_OK;
    offsets = sg_scratch(g, (size_t)h->n + 1, sizeof *offsets);
    deny = sg_scratch(g, (size_t)(h->offsets[h->n] - h->offsets[0]) + 1, sizeof *deny);
    if (!offsets || !deny)
        return sg_graph_status(g, err);
    for (int b = 0; b < h->n; b++) {
        const wanted w = {f, h->item + h->offsets[b], h->offsets[b + 1] - h->offsets[b]};

        offsets[b] = n;
        for (int64_t e = 0; e < w.n_seen; e++) {
            const int32_t id = s->id_of[w.seen[e]];
            bool any = false;

            for (int32_t i = s->id_offsets[id]; i < s->id_offsets[id + 1] && !any; i++)
                any = may_show(&w, s->id_items[i]);
            if (!any)
                deny[n++] = id;
        }
    }
    offsets[h->n] = n;
    spec->deny_offsets = offsets;
    spec->deny = deny;
    return SG_OK;
}

typedef struct fusion {
    const decoder *d;
    const sg_histories *h;
    const sg_filter *f;
    const int32_t *id;  /* (batch, each) */
    const float *logp;  /* (batch, each), with the largest prior of the ID */
    const float *prior; /* (batch, n_items) or NULL */
    const float *u;     /* (batch * each, dim) */
    int each, k;
    int32_t *item;
    float *score;
    float **value; /* by thread (n_items): of the candidates of one user */
    int32_t **candidate, **place;
    float **best;
} fusion;

/* Scores of the items of one ID, into value; items into candidate; returns how many. */
static int score_items(const fusion *w, size_t user, int r, int32_t *candidate, float *value,
                       int32_t *nearest, float *cosine)
{
    const sg_model *m = w->d->m;
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    const size_t dim = (size_t)c->dim, row = user * (size_t)w->each + (size_t)r;
    const int32_t id = w->id[row], first = s->id_offsets[id], n = s->id_offsets[id + 1] - first;
    const float *prior = w->prior ? w->prior + user * (size_t)m->n_items : NULL, *u = w->u + row * dim;
    const wanted want = {w->f, w->h->item + w->h->offsets[user],
                         w->h->offsets[user + 1] - w->h->offsets[user]};
    float known = w->logp[row], total = 0;
    int kept = 0;

    for (int32_t i = 0; i < n; i++)
        value[i] = sg_dot(u, w->d->vectors + (size_t)s->id_items[first + i] * dim, dim);
    if (prior) { /* back to the ID's own log-probability */
        float most = prior[s->id_items[first]];

        for (int32_t i = 1; i < n; i++)
            most = prior[s->id_items[first + i]] > most ? prior[s->id_items[first + i]] : most;
        known -= most;
    }
    for (int32_t i = 0; i < n; i++)
        total += expf((float)c->psi * (value[i] - 1));
    const float shift = (float)c->tau * known - (float)c->psi - (!strcmp(c->fuse, "id") ? logf(total) : 0);
    const size_t most = c->neighbours && c->neighbours < n ? (size_t)c->neighbours : (size_t)n;
    const size_t found = sg_topk(nearest, cosine, most, value, (size_t)n);
    for (size_t j = 0; j < found; j++) {
        const int32_t item = s->id_items[first + nearest[j]];

        if (!may_show(&want, item))
            continue;
        candidate[kept] = item;
        cosine[kept++] = shift + (float)c->psi * cosine[j] + (prior ? prior[item] : 0);
    }
    memcpy(value, cosine, (size_t)kept * sizeof *value);
    return kept;
}

static void fuse_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const fusion *w = ctx;
    const size_t k = (size_t)w->k;

    for (size_t user = begin; user < end; user++) {
        int32_t *candidate = w->candidate[thread], *place = w->place[thread];
        float *value = w->value[thread], *best = w->best[thread];
        int n = 0;
        size_t found;

        for (int r = 0; r < w->each; r++)
            if (w->id[user * (size_t)w->each + (size_t)r] >= 0)
                n += score_items(w, user, r, candidate + n, value + n, place, best);
        found = sg_topk(place, best, k, value, (size_t)n);
        for (size_t i = 0; i < k; i++) {
            w->item[user * k + i] = i < found ? candidate[place[i]] : -1;
            w->score[user * k + i] = i < found ? best[i] : -INFINITY;
        }
    }
}

static sg_status fuse(fusion *w, sg_error *err)
{
    const size_t n = (size_t)w->d->m->n_items + (size_t)w->k;
    sg_pool *pool = w->d->session->pool;
    sg_graph *g = w->d->session->graph;
    const int threads = sg_pool_threads(pool);

    w->value = sg_scratch(g, (size_t)threads, sizeof *w->value);
    w->best = sg_scratch(g, (size_t)threads, sizeof *w->best);
    w->candidate = sg_scratch(g, (size_t)threads, sizeof *w->candidate);
    w->place = sg_scratch(g, (size_t)threads, sizeof *w->place);
    if (sg_graph_status(g, err))
        return sg_graph_status(g, err);
    for (int t = 0; t < threads; t++) {
        w->value[t] = sg_scratch(g, n, sizeof **w->value);
        w->best[t] = sg_scratch(g, n, sizeof **w->best);
        w->candidate[t] = sg_scratch(g, n, sizeof **w->candidate);
        w->place[t] = sg_scratch(g, n, sizeof **w->place);
    }
    if (sg_graph_status(g, err))
        return sg_graph_status(g, err);
    sg_parallel_for(pool, (size_t)w->d->batch, 1, fuse_users, w);
    return SG_OK;
}

/* STAR's scores of all items, and the best of each ID for the search. */
static sg_status star_prior(fusion *w, sg_prior *ids, sg_session *session, sg_error *err)
{
    const sg_model *m = session->model;
    const cobra *s = m->state;
    const size_t n = (size_t)m->n_items, n_ids = (size_t)sg_catalogue_items(s->ids), batch = (size_t)w->h->n;
    sg_graph *g = session->graph;
    float *score = sg_scratch(g, batch, n * sizeof *score),
          *best = sg_scratch(g, batch, n_ids * sizeof *best);
    sg_status st;

    if (!score || !best)
        return sg_graph_status(g, err);
    memset(score, 0, batch * n * sizeof *score);
    if ((st = sg_sparse_score(session, w->h, &s->star.vote, score)))
        return st;
    w->prior = score;
    for (size_t b = 0; b < batch; b++) {
        for (int64_t e = w->h->offsets[b]; w->f && w->f->seen && e < w->h->offsets[b + 1]; e++)
            score[b * n + (size_t)w->h->item[e]] = 0; /* will not be shown */
        for (size_t i = 0; i < n_ids; i++)
            best[b * n_ids + i] = -INFINITY;
        for (size_t i = 0; i < n; i++)
            best[b * n_ids + (size_t)s->id_of[i]] =
                fmaxf(best[b * n_ids + (size_t)s->id_of[i]], score[b * n + i]);
    }
    return sg_prior_init(ids, s->ids, w->h->n, best, session->pool, sg_graph_arena(g), err);
}

static sg_status recommend_some(sg_session *session, const sg_histories *h, const sg_filter *f, int each,
                                int k, int32_t *item, float *score, sg_error *err)
{
    const sg_model *m = session->model;
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    sg_graph *g = session->graph;
    sg_beam_spec spec = {.beam = each, .k = each, .renormalise = !strcmp(c->softmax, "legal")};
    fusion w = {.h = h, .f = f, .each = each, .k = k, .item = item, .score = score};
    sg_prior prior;
    int32_t *id;
    float *logp;
    decoder d;
    sg_status st;

    if ((st = decoder_open(&d, session, h, h->n * each, err)) || (st = bar_ids(&spec, m, g, h, f, err)))
        return st;
    if (c->star > 0) {
        spec.prior = &prior;
        if ((st = star_prior(&w, &prior, session, err)))
            return st;
    }
    id = sg_scratch(g, (size_t)h->n * (size_t)each, sizeof *id);
    logp = sg_scratch(g, (size_t)h->n * (size_t)each, sizeof *logp);
    if (!id || !logp)
        return sg_graph_status(g, err);
    if ((st = sg_beam_search(id, logp, s->ids, h->n, &spec, write_code, &d, session->pool, sg_graph_arena(g),
                             err)))
        return st;
    const sg_tensor *u = vectors_after(&d, id, each);
    if ((st = sg_graph_status(g, err)))
        return st;
    w.d = &d;
    w.id = id;
    w.logp = logp;
    w.u = u->data;
    return fuse(&w, err);
}

static sg_status cobra_recommend(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                                 int32_t *item, float *score, sg_error *err)
{
    enum { ROWS = 512 }; /* IDs that are asked for their vectors together */
    const sg_model *m = session->model;
    const cobra_config *c = m->config;
    const int ids = sg_catalogue_items(((const cobra *)m->state)->ids),
              beam = session->beam ? session->beam : c->beam;
    const int each = (beam > k ? beam : k) < ids ? (beam > k ? beam : k) : ids,
              users = each < ROWS ? ROWS / each : 1;
    sg_status st;

    if (session->groups > 1 || session->temperature > 0)
        return sg_fail(err, SG_ERR_USAGE, "cobra: lists cannot be spread (groups) or drawn (temperature)");
    for (int first = 0; first < h->n; first += users) {
        const sg_histories part = sg_histories_rows(h, first, h->n - first < users ? h->n - first : users);

        if ((st = recommend_some(session, &part, f, each, k, item + (size_t)first * (size_t)k,
                                 score + (size_t)first * (size_t)k, err)))
            return st;
    }
    return SG_OK;
}

/* The codes of the ID; then, at the code that follows, which of the items of the ID by their vectors. */
static sg_status cobra_path(sg_session *session, const sg_histories *h, const int32_t *item, int n,
                            float *logp, sg_error *err)
{
    const sg_model *m = session->model;
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    const size_t levels = (size_t)s->names.levels, all = (size_t)sg_catalogue_levels(m->catalogue),
                 dim = (size_t)c->dim;
    sg_graph *g = session->graph;
    decoder d;
    sg_status st;

    if ((st = decoder_open(&d, session, h, n, err)))
        return st;
    int32_t *id = sg_scratch(g, (size_t)n, sizeof *id);
    float *known = sg_scratch(g, (size_t)n, levels * sizeof *known);
    if (!id || !known)
        return sg_graph_status(g, err);
    for (int i = 0; i < n; i++)
        id[i] = s->id_of[item[i]];
    if ((st = sg_path_scores(known, s->ids, id, n, !strcmp(c->softmax, "legal"), write_code, &d,
                             sg_graph_arena(g), err)))
        return st;
    const sg_tensor *u = vectors_after(&d, id, n);
    if ((st = sg_graph_status(g, err)))
        return st;
    for (int i = 0; i < n; i++) {
        const float *ui = u->data + (size_t)i * dim;
        float total = 0;

        for (int32_t k = s->id_offsets[id[i]]; k < s->id_offsets[id[i] + 1]; k++)
            total += expf((float)c->psi * (sg_dot(ui, d.vectors + (size_t)s->id_items[k] * dim, dim) - 1));
        for (size_t l = 0; l < all; l++)
            logp[(size_t)i * all + l] = l < levels ? known[(size_t)i * levels + l] : 0;
        if (levels < all)
            logp[(size_t)i * all + levels] =
                (float)c->psi * (sg_dot(ui, d.vectors + (size_t)item[i] * dim, dim) - 1) - logf(total);
    }
    return SG_OK;
}

const sg_model_class sg_model_cobra = {
    .name = "cobra",
    .summary = "decoder that writes the ID of the next item, then the vector that tells which of its items",
    .paper = "Yang et al. 2025, arXiv:2503.02453",
    .options = cobra_options,
    .n_options = sizeof cobra_options / sizeof *cobra_options,
    .config_bytes = sizeof(cobra_config),
    .state_bytes = sizeof(cobra),
    .needs_vectors = true,
    .needs_ids = true,
    .weights = cobra_weights,
    .init = cobra_init,
    .ready = cobra_ready,
    .fini = cobra_fini,
    .examples = cobra_examples,
    .loss = cobra_loss,
    .recommend = cobra_recommend,
    .path = cobra_path,
    .session_bytes = sizeof(cobra_session),
    .session_fini = cobra_session_fini,
};
