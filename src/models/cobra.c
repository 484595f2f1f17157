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
 * gelu(W1 x). So an item that came after training has all it needs: while the model serves, IDs and items are those on offer.
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
#include "models/cobra_parts.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "models/content.h"

#include <math.h>
#include <string.h>

#define FRAME "text.frame"

#define SG_OPTION_STRUCT cobra_config
static const sg_option cobra_options[] = {COBRA_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

/* ---- IDs ----------------------------------------------------------------------------------------------- */
static void shelf_fini(cobra_shelf *s)
{
    sg_catalogue_free(s->ids);
    sg_free(s->id_of);
    sg_free(s->id_offsets);
    sg_free(s->id_items);
}

/* Items by ID: nodes of the catalogue at this depth, in order. After an error, too, s is to be given back. */
static sg_status shelf_init(cobra_shelf *s, const sg_catalogue *all, int levels, sg_error *err)
{
    const int32_t n = sg_catalogue_nodes(all, levels), n_items = sg_catalogue_items(all);
    int32_t size[SG_CATALOGUE_LEVELS_MAX], own[SG_CATALOGUE_LEVELS_MAX];
    int32_t *codes = sg_alloc_array((size_t)n * (size_t)levels, sizeof *codes);
    sg_status st = SG_OK;

    s->n_items = n_items;
    s->id_of = sg_alloc_array((size_t)n_items, sizeof *s->id_of);
    s->id_items = sg_alloc_array((size_t)n_items, sizeof *s->id_items);
    s->id_offsets = sg_alloc_zero((size_t)n + 2, sizeof *s->id_offsets);
    if (!codes || !s->id_of || !s->id_items || !s->id_offsets)
        st = sg_fail_memory(err, "IDs");
    for (int32_t i = 0; !st && i < n_items; i++)
        s->id_of[i] = -1;
    for (int32_t v = 0; !st && v < n; v++) {
        int32_t first, last;

        sg_catalogue_span(all, levels, v, &first, &last);
        for (int32_t leaf = first; leaf < last; leaf++)
            s->id_of[sg_catalogue_item(all, leaf)] = v;
        s->id_offsets[v + 2] = last - first;
        sg_catalogue_codes(all, sg_catalogue_item(all, first), own);
        memcpy(codes + (size_t)v * (size_t)levels, own, (size_t)levels * sizeof *codes);
    }
    for (int32_t v = 0; !st && v < n; v++)
        s->id_offsets[v + 2] += s->id_offsets[v + 1];
    for (int32_t i = 0; !st && i < n_items; i++)
        if (s->id_of[i] >= 0)
            s->id_items[s->id_offsets[s->id_of[i] + 1]++] = i;
    for (int l = 0; l < levels; l++)
        size[l] = sg_catalogue_size(all, l);
    if (!st)
        st = sg_catalogue_new(&s->ids, codes, n, levels, size, err);
    sg_free(codes);
    return st;
}

static sg_status find_ids(sg_model *m, sg_error *err)
{
    const cobra_config *c = m->config;
    cobra *s = m->state;
    const int deepest = sg_catalogue_levels(m->catalogue);
    const sg_status st = shelf_init(&s->shelf, m->catalogue, c->levels < deepest ? c->levels : deepest, err);

    if (st)
        return st;
    sg_names_init(&s->names, s->shelf.ids);
    return sg_names_number(&s->names, err);
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
    shelf_fini(&s->shelf);
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

/* How text vectors were centred and scaled, for those of items that come later. */
static sg_status keep_frame(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const cobra_config *c = m->config;
    double *frame;
    const sg_status st = sg_content_frame(&frame, t, c->text_dim, err);

    return st ? st
              : sg_model_array_put(m, FRAME, SG_DT_F64, 1, (uint64_t[]){(uint64_t)c->text_dim + 1}, frame,
                                   err);
}

static sg_status cobra_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const cobra_config *c = m->config;
    cobra *s = m->state;
    const double spread = c->content * c->init_sd;
    sg_status st;

    if (c->leave_unseen && strcmp(c->softmax, "legal") != 0)
        return sg_fail(err, SG_ERR_USAGE, "cobra: leave_unseen: expected softmax=legal, found %s",
                       c->softmax);
    if (c->content > 0 && !c->prefix_vectors && !c->item_vectors)
        return sg_fail(
            err, SG_ERR_USAGE,
            "cobra: content: expected prefix_vectors or item_vectors=true, which it is the start of");
    if ((st = sg_content_add(s->text, t, 1, err)) || (st = keep_frame(m, t, err)) ||
        (spread > 0 && s->item && (st = sg_content_add(s->item, t, spread, err))) ||
        (spread > 0 && s->names.prefix && (st = sg_names_content(&s->names, t, s->shelf.id_of, spread, err))))
        return st;
    if (c->star > 0 && !(st = sg_star_fit(m, c->star_text, t, err)))
        st = find_star(m, err); /* validation asks before training ends */
    return st;
}

/* ---- tokens -------------------------------------------------------------------------------------------- */
/* Of texts x (n, text_dim), before anything makes them unit vectors. */
static sg_tensor *read_texts(const sg_model *m, sg_graph *g, sg_tensor *x)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;

    return sg_plus(
        g, sg_linear(g, x, s->straight, NULL),
        sg_linear(g, sg_linear_act(g, x, s->up, s->up_b, SG_GELU, (float)c->dropout), s->down, NULL));
}

sg_tensor *sg_cobra_items(const sg_model *m, sg_graph *g, const int32_t *item, int n)
{
    const cobra_config *c = m->config;
    const cobra *s = m->state;
    sg_tensor *v = read_texts(m, g, sg_embed(g, s->text, item, n));

    if (s->item)
        v = sg_plus(g, v, sg_scale(g, sg_embed(g, s->item, item, n), (float)(1 / c->init_sd)));
    return sg_l2norm(g, v, 1e-12f);
}

sg_tensor *sg_cobra_ids(const sg_model *m, sg_graph *g, const int32_t *id, const int32_t *upto, int n)
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

sg_tensor *sg_cobra_codes(const sg_model *m, sg_graph *g, const int32_t *codes, int n)
{
    const cobra_config *c = m->config;
    const sg_names *w = &((const cobra *)m->state)->names;
    const int levels = w->levels;
    int32_t *token = sg_scratch(g, (size_t)n * (size_t)levels + 1, sizeof *token);
    int32_t *prefix = sg_scratch(g, (size_t)n * (size_t)levels + 1, sizeof *prefix);

    if (!token || !prefix)
        return NULL;
    for (int i = 0; i < n; i++, codes += levels) {
        int32_t *to = token + (size_t)i * (size_t)levels, *row = prefix + (size_t)i * (size_t)levels;

        if (codes[0] >= 0 && w->prefix)
            sg_names_rows(row, w, codes);
        for (int l = 0; l < levels; l++) {
            to[l] = codes[0] < 0 ? -1 : w->first[l] + codes[l];
            row[l] = codes[0] < 0 ? -1 : row[l];
        }
    }
    sg_tensor *x = sg_embed_bag(g, w->token, token, n, levels);

    if (w->prefix)
        x = sg_plus(g, x, sg_embed_bag(g, w->prefix, prefix, n, levels));
    return sg_scale(g, x, sqrtf((float)c->dim));
}

sg_tensor *sg_cobra_interleave(const sg_model *m, sg_graph *g, sg_tensor *e, sg_tensor *v,
                               const int32_t *place, int n)
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

sg_tensor *sg_cobra_states(const sg_model *m, sg_graph *g, sg_tensor *state, sg_tensor *before,
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

sg_tensor *sg_cobra_dense(const sg_model *m, sg_graph *g, sg_tensor *state)
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

    if ((c->leave_unseen && (st = sg_names_known(&s->names, t, s->shelf.id_of, err))) ||
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
            a->id[t] = s->shelf.id_of[q->item[i]];
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
        id[i] = s->shelf.id_of[q.item[i]];
    }
    for (int b = 0; b <= n; b++)
        offsets[b] = 2 * q.offsets[b];

    sg_tensor *v = sg_cobra_items(m, g, candidate, n_candidate);
    sg_tensor *x = sg_cobra_interleave(m, g, sg_cobra_ids(m, g, id, NULL, q.tokens),
                                       sg_rows(g, v, own, q.tokens), place, q.tokens);
    sg_tensor *h = sg_tower_forward(g, &s->tower, x, offsets, n, SG_MASK_CAUSAL, (float)c->dropout);
    const int rows = a.n * s->names.levels;
    sg_tensor *codes = sg_cobra_states(m, g, sg_rows(g, h, a.sparse_row, rows),
                                       sg_cobra_ids(m, g, a.code_id, a.upto, rows), a.depth, rows);
    sg_tensor *sparse = sparse_loss(m, g, codes, &a);
    sg_tensor *u = sg_cobra_dense(m, g, sg_rows(g, h, a.dense_row, a.n));
    sg_tensor *dense =
        sg_softmax_ce(g, u, sg_table(g, v), NULL, a.vector, NULL, (float)(1 / c->temperature), 0);

    return sg_plus(g, sg_scale(g, sparse, (float)c->sparse), sg_scale(g, dense, (float)c->dense));
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
    st = sg_cobra_all_items(&s->vectors, m, g, err);
    sg_graph_free(g);
    return st;
}

/* ---- items that come and go ------------------------------------------------------------------------------ */
static const double *frame_of(const sg_model *m)
{
    const cobra_config *c = m->config;
    const sg_model_array *a;

    return sg_model_array_need(&a, m, FRAME, SG_DT_F64, 1, (int64_t[]){c->text_dim + 1}, NULL) ? NULL
                                                                                               : a->data;
}

/* STAR and vectors of items' own are of the items of the training alone. */
static bool cobra_living(const sg_model *m)
{
    const cobra_config *c = m->config;

    return c->star == 0 && !c->item_vectors && frame_of(m);
}

static int cobra_take_numbers(const sg_model *m)
{
    return ((const cobra_config *)m->config)->dim;
}

static sg_status cobra_take(float *out, const sg_model *m, const float *x, int dim, sg_error *err)
{
    const cobra_config *c = m->config;
    sg_graph *g;
    sg_status st = sg_graph_new(&g, NULL, SG_F32, err);

    if (st)
        return st;
    sg_graph_begin(g, SG_INFER, 0, 0);
    sg_tensor *text = sg_tensor_2d(g, 1, c->text_dim);
    if (text)
        sg_content_row(text->data, frame_of(m), x, dim, c->text_dim, 1);
    const sg_tensor *v = sg_l2norm(g, read_texts(m, g, text), 1e-12f);
    if (!(st = sg_graph_status(g, err)))
        memcpy(out, v->data, (size_t)c->dim * sizeof *out);
    sg_graph_free(g);
    return st;
}

static void cobra_offer_free(void *own)
{
    if (own)
        shelf_fini(own);
    sg_free(own);
}

static sg_status cobra_offer(void **out, const sg_model *m, const sg_offer *o, sg_error *err)
{
    cobra_shelf *s = sg_alloc_zero(1, sizeof *s);
    const sg_status st = s ? shelf_init(s, o->catalogue, ((const cobra *)m->state)->names.levels, err)
                           : sg_fail_memory(err, "IDs");

    if (st) {
        cobra_offer_free(s);
        s = NULL;
    }
    *out = s;
    return st;
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
    .living = cobra_living,
    .take_numbers = cobra_take_numbers,
    .take = cobra_take,
    .offer = cobra_offer,
    .offer_free = cobra_offer_free,
    .weights = cobra_weights,
    .init = cobra_init,
    .ready = cobra_ready,
    .fini = cobra_fini,
    .examples = cobra_examples,
    .loss = cobra_loss,
    .recommend = sg_cobra_recommend,
    .path = sg_cobra_path,
    .session_bytes = sizeof(cobra_session),
    .session_fini = sg_cobra_session_fini,
};
