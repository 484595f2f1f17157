/* cobra_fuse.c - BeamFusion: IDs by beam search, the vector after each, the items of each by both (cobra.c). */
#include "models/cobra_parts.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

/* ---- item vectors, all of them -------------------------------------------------------------------------- */
sg_status sg_cobra_all_items(float **out, const sg_model *m, sg_graph *g, sg_error *err)
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
        const sg_tensor *part = sg_cobra_items(m, g, item, n);
        if (!(st = sg_graph_status(g, err)) && part)
            memcpy(v + (size_t)first * dim, part->data, part->count * sizeof *v);
    }
    if (st)
        sg_free(v);
    else
        *out = v;
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
        st = sg_cobra_all_items(&own->vectors, session->model, session->graph, err);
    *out = own->vectors;
    return st;
}

void sg_cobra_session_fini(sg_session *session)
{
    sg_free(((cobra_session *)session->state)->vectors);
}

/* ---- recommending -------------------------------------------------------------------------------------- */
typedef struct decoder {
    const sg_model *m;
    sg_session *session;
    const cobra_shelf *shelf; /* what is on offer */
    const float *vectors;     /* (the model's items, dim) */
    int batch, cap;           /* users; IDs a level may have */
    int32_t *tokens;          /* (batch + 1) of each user's history */
    sg_tensor **k, **v;       /* (layers) of the history */
    sg_tensor *state;         /* (batch, dim) after the last v */
    int32_t *node[2];         /* (cap) node of each prefix, of this level and the one before */
    float *before[2];         /* (cap, dim) sum of the vectors of its codes */
} decoder;

static const cobra_shelf *shelf_of(const sg_session *session)
{
    return session->offer && session->offer->own ? session->offer->own
                                                 : &((const cobra *)session->model->state)->shelf;
}

/* Of any item: one that came, or came back with other texts, has what was taken of these. */
static const float *vector_of(const decoder *d, int32_t item)
{
    const sg_offer *o = d->session->offer;
    const cobra_config *c = d->m->config;

    return o && o->taken && o->taken[item] ? o->taken[item] : d->vectors + (size_t)item * (size_t)c->dim;
}

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

    *d = (decoder){.m = m, .session = session, .shelf = shelf_of(session), .batch = h->n, .cap = cap};
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
    const size_t levels = (size_t)s->names.levels;
    int32_t own[SG_CATALOGUE_LEVELS_MAX],
        *codes = sg_scratch(g, (size_t)q.tokens + 1, levels * sizeof *codes);
    int32_t *place = sg_places_from_end(g, &q), *last = sg_scratch(g, (size_t)h->n, sizeof *last);
    sg_tensor *v = sg_tensor_2d(g, q.tokens, c->dim);

    if (!place || !codes || !last || !v)
        return sg_graph_status(g, err);
    for (int i = 0; i < q.tokens; i++) {
        place[i]++; /* the item to come is at 0 */
        sg_session_codes(session, q.item[i], own);
        memcpy(codes + (size_t)i * levels, own, levels * sizeof *codes);
        memcpy(v->data + (size_t)i * (size_t)c->dim, vector_of(d, q.item[i]), (size_t)c->dim * sizeof(float));
    }
    for (int b = 0; b <= h->n; b++)
        d->tokens[b] = 2 * q.offsets[b];
    for (int b = 0; b < h->n; b++)
        last[b] = q.last[b] < 0 ? -1 : 2 * q.last[b] + 1;

    sg_tensor *x = sg_cobra_interleave(m, g, sg_cobra_codes(m, g, codes, q.tokens), v, place, q.tokens);
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

/* Sums of the vectors of the codes of each prefix: its parent's and its last code's. Notes the nodes, -1: training knew no such. */
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
        const int32_t above = d->node[(level + 1) & 1][parent];
        *node = above < 0 ? -1 : sg_catalogue_child(w->catalogue, level - 1, above, rows->code[r]);
        memcpy(sum, d->before[(level + 1) & 1] + parent * dim, dim * sizeof *sum);
        sg_axpy(sum, scale, w->token->value + (size_t)(w->first[level - 1] + rows->code[r]) * dim, dim);
        if (w->prefix && level > 1 && *node >= 0)
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
    sg_tensor *x = sg_cobra_states(d->m, g, sg_rows(g, d->state, user, n), before, depth, n);
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
    const size_t levels = (size_t)s->names.levels;
    sg_graph *g = d->session->graph;
    int32_t *codes = sg_scratch(g, (size_t)n + 1, levels * sizeof *codes);
    int32_t *place = sg_scratch(g, (size_t)n, sizeof *place),
            *one = sg_scratch(g, (size_t)n + 1, sizeof *one),
            *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets);
    int32_t *row = sg_scratch(g, (size_t)history * (size_t)each + (size_t)n, sizeof *row);
    int at = 0;

    if (!codes || !place || !one || !offsets || !row)
        return NULL;
    for (int i = 0; i < n; i++) { /* a sequence each: the user's history, and the ID */
        const int b = i / each;

        if (id[i] >= 0)
            sg_catalogue_codes(d->shelf->ids, id[i], codes + (size_t)i * levels);
        else
            codes[(size_t)i * levels] = -1;
        place[i] = 0;
        one[i] = i;
        offsets[i] = at;
        for (int t = d->tokens[b]; t < d->tokens[b + 1]; t++)
            row[at++] = t;
        row[at++] = history + i;
    }
    one[n] = n;
    offsets[n] = at;
    sg_tensor *x = sg_plus(g, sg_cobra_codes(m, g, codes, n), sg_embed(g, s->position, place, n));
    for (int i = 0; i < s->tower.n; i++) {
        const sg_block *b = &s->tower.block[i];
        sg_tensor *normed = sg_norm_forward(g, &b->norm_self, x);
        sg_tensor *k = sg_linear(g, normed, b->self.k, b->self.kb),
                  *v = sg_linear(g, normed, b->self.v, b->self.vb);

        k = sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){d->k[i], k}, 2), row, at);
        v = sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){d->v[i], v}, 2), row, at);
        x = run_block(b, g, x, normed, k, v, n, one, offsets);
    }
    return sg_cobra_dense(m, g, sg_norm_forward(g, &s->tower.norm, x));
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
static sg_status bar_ids(sg_beam_spec *spec, const cobra_shelf *s, sg_graph *g, const sg_histories *h,
                         const sg_filter *f, sg_error *err)
{
    const int32_t n_ids = sg_catalogue_items(s->ids);
    uint8_t *allow = NULL;
    int64_t *offsets, n = 0;
    int32_t *deny;

    if (f && f->allow) {
        if (!(allow = sg_scratch(g, (size_t)n_ids, 1)))
            return sg_graph_status(g, err);
        memset(allow, 0, (size_t)n_ids);
        for (int32_t i = 0; i < s->n_items; i++)
            if (f->allow[i] && s->id_of[i] >= 0)
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
            const int32_t id = w.seen[e] < s->n_items ? s->id_of[w.seen[e]] : -1;
            bool any = false;

            if (id < 0)
                continue;
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
    int32_t *item; /* (batch, k) what the searches before have found, then -1; their scores */
    float *score;
    float **value; /* by thread (n_items): of the candidates of one user */
    int32_t **candidate, **place;
    float **best;
} fusion;

/* log sum exp(psi (v - top)) over the n cosines v of an ID, and the largest of them: at least 0, however large psi is. */
static float log_total(float *top, const float *v, int32_t n, float psi)
{
    double total = 0;

    *top = v[0];
    for (int32_t i = 1; i < n; i++)
        *top = v[i] > *top ? v[i] : *top;
    for (int32_t i = 0; i < n; i++)
        total += exp((double)(psi * (v[i] - *top)));
    return (float)log(total);
}

/* Scores of the items of one ID, into value; items into candidate; returns how many. */
static int score_items(const fusion *w, size_t user, int r, int32_t *candidate, float *value,
                       int32_t *nearest, float *cosine)
{
    const sg_model *m = w->d->m;
    const cobra_config *c = m->config;
    const cobra_shelf *s = w->d->shelf;
    const size_t dim = (size_t)c->dim, row = user * (size_t)w->each + (size_t)r;
    const int32_t id = w->id[row], first = s->id_offsets[id], n = s->id_offsets[id + 1] - first;
    const float *prior = w->prior ? w->prior + user * (size_t)m->n_items : NULL, *u = w->u + row * dim;
    const wanted want = {w->f, w->h->item + w->h->offsets[user],
                         w->h->offsets[user + 1] - w->h->offsets[user]};
    const float psi = (float)c->psi;
    float known = w->logp[row], top = 1, total = 0; /* fuse=all: against a cosine of 1 */
    int kept = 0;

    for (int32_t i = 0; i < n; i++)
        value[i] = sg_dot(u, vector_of(w->d, s->id_items[first + i]), dim);
    if (prior) { /* back to the ID's own log-probability */
        float most = prior[s->id_items[first]];

        for (int32_t i = 1; i < n; i++)
            most = prior[s->id_items[first + i]] > most ? prior[s->id_items[first + i]] : most;
        known -= most;
    }
    if (!strcmp(c->fuse, "id"))
        total = log_total(&top, value, n, psi);
    for (int32_t i = 0; i < n; i++) /* takes no place, but its part of the ID's probability */
        if (!may_show(&want, s->id_items[first + i]))
            value[i] = -INFINITY;
    const float shift = (float)c->tau * known - total;
    const size_t most = c->neighbours && c->neighbours < n ? (size_t)c->neighbours : (size_t)n;
    const size_t found = sg_topk(nearest, cosine, most, value, (size_t)n);
    for (size_t j = 0; j < found; j++) {
        const int32_t item = s->id_items[first + nearest[j]];

        candidate[kept] = item;
        cosine[kept++] = shift + psi * (cosine[j] - top) + (prior ? prior[item] : 0);
    }
    memcpy(value, cosine, (size_t)kept * sizeof *value);
    return kept;
}

static bool is_listed(const int32_t *item, size_t n, int32_t one)
{
    size_t i = 0;

    while (i < n && item[i] != one)
        i++;
    return i < n;
}

/* Takes out what the list (have) holds; returns how many candidates are left. */
static int drop_listed(int32_t *candidate, float *value, int n, const int32_t *item, size_t have)
{
    int left = 0;

    for (int i = 0; i < n; i++)
        if (!is_listed(item, have, candidate[i])) {
            candidate[left] = candidate[i];
            value[left++] = value[i];
        }
    return left;
}

/* The items of the IDs of this search stand behind those of the searches before, however they score: their scores are moved down below
 * the last of these. */
static void fuse_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const fusion *w = ctx;
    const size_t k = (size_t)w->k;

    for (size_t user = begin; user < end; user++) {
        int32_t *candidate = w->candidate[thread], *place = w->place[thread], *item = w->item + user * k;
        float *value = w->value[thread], *best = w->best[thread], *score = w->score + user * k;
        size_t have = 0;
        int n = 0;

        while (have < k && item[have] >= 0)
            have++;
        for (int r = 0; r < w->each; r++)
            if (w->id[user * (size_t)w->each + (size_t)r] >= 0)
                n += score_items(w, user, r, candidate + n, value + n, place, best);
        n = drop_listed(candidate, value, n, item, have);
        const size_t found = sg_topk(place, best, k - have, value, (size_t)n);
        const float down = found && have && best[0] > score[have - 1] ? best[0] - score[have - 1] : 0;
        for (size_t i = 0; i < found; i++) {
            item[have + i] = candidate[place[i]];
            score[have + i] = have ? fminf(best[i] - down, score[have - 1]) : best[i];
        }
    }
}

static sg_status fuse(fusion *w, sg_error *err)
{
    const size_t n = (size_t)w->d->shelf->n_items + (size_t)w->k;
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
    const cobra_shelf *shelf = &s->shelf; /* with STAR there is no other */
    const size_t n = (size_t)m->n_items, n_ids = (size_t)sg_catalogue_items(shelf->ids),
                 batch = (size_t)w->h->n;
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
            best[b * n_ids + (size_t)shelf->id_of[i]] =
                fmaxf(best[b * n_ids + (size_t)shelf->id_of[i]], score[b * n + i]);
    }
    return sg_prior_init(ids, shelf->ids, w->h->n, best, session->pool, sg_graph_arena(g), err);
}

/* One search of `each` IDs a user, whose items go behind those that the lists have. more (n): might a wider one find others? */
static sg_status recommend_some(sg_session *session, const sg_histories *h, const sg_filter *f, int each,
                                int k, int32_t *item, float *score, bool *more, sg_error *err)
{
    const sg_model *m = session->model;
    const cobra_config *c = m->config;
    sg_graph *g = session->graph;
    sg_beam_spec spec = {.beam = each, .k = each, .renormalise = !strcmp(c->softmax, "legal")};
    fusion w = {.h = h, .f = f, .each = each, .k = k, .item = item, .score = score};
    sg_prior prior;
    int32_t *id;
    float *logp;
    decoder d;
    sg_status st;

    if ((st = decoder_open(&d, session, h, h->n * each, err)) || (st = bar_ids(&spec, d.shelf, g, h, f, err)))
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
    if ((st = sg_beam_search(id, logp, d.shelf->ids, h->n, &spec, write_code, &d, session->pool,
                             sg_graph_arena(g), err)))
        return st;
    const sg_tensor *u = vectors_after(&d, id, each);
    if ((st = sg_graph_status(g, err)))
        return st;
    w.d = &d;
    w.id = id;
    w.logp = logp;
    w.u = u->data;
    if ((st = fuse(&w, err)))
        return st;
    for (int b = 0; b < h->n; b++)
        more[b] = id[(b + 1) * each - 1] >= 0 && item[(size_t)(b + 1) * (size_t)k - 1] < 0;
    return SG_OK;
}

/* A list does not depend on how long it is asked to be: the beam is as wide as was said, and only where its IDs hold fewer than k
 * items, wider ones are searched, twice as wide each time, for what goes behind. */
sg_status sg_cobra_recommend(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                             int32_t *item, float *score, sg_error *err)
{
    enum { ROWS = 512 }; /* IDs that are asked for their vectors together */
    const cobra_config *c = session->model->config;
    const int ids = sg_catalogue_items(shelf_of(session)->ids), own = session->beam ? session->beam : c->beam;
    const int beam = session->as_wide && k > own ? k : own;
    bool *more, any = true;
    sg_status st = SG_OK;

    if (session->groups > 1 || session->temperature > 0)
        return sg_fail(err, SG_ERR_USAGE, "cobra: lists cannot be spread (groups) or drawn (temperature)");
    if (!(more = sg_alloc_array((size_t)h->n, sizeof *more)))
        return sg_fail_memory(err, "lists");
    memset(more, 1, (size_t)h->n * sizeof *more);
    for (size_t i = 0; i < (size_t)h->n * (size_t)k; i++) {
        item[i] = -1;
        score[i] = -INFINITY;
    }
    for (int each = beam < ids ? beam : ids; !st && any; each = each < ids / 2 ? 2 * each : ids) {
        const int most = each < ROWS ? ROWS / each : 1;

        any = false;
        for (int first = 0, n; !st && first < h->n; first += n ? n : 1) {
            for (n = 0; first + n < h->n && n < most && more[first + n];)
                n++;
            if (!n)
                continue;
            const sg_histories part = sg_histories_rows(h, first, n);
            const size_t at = (size_t)first * (size_t)k;

            st = recommend_some(session, &part, f, each, k, item + at, score + at, more + first, err);
            for (int i = first; i < first + n; i++)
                any = (more[i] = more[i] && each < ids) || any;
        }
    }
    sg_free(more);
    return st;
}

/* The codes of the ID; then, at the code that follows, which of the items of the ID by their vectors. */
sg_status sg_cobra_path(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *logp,
                        sg_error *err)
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
    float *known = sg_scratch(g, (size_t)n, levels * sizeof *known),
          *cosine = sg_scratch(g, (size_t)d.shelf->n_items, sizeof *cosine);
    if (!id || !known || !cosine)
        return sg_graph_status(g, err);
    for (int i = 0; i < n; i++)
        id[i] = d.shelf->id_of[item[i]];
    if ((st = sg_path_scores(known, d.shelf->ids, id, n, !strcmp(c->softmax, "legal"), write_code, &d,
                             sg_graph_arena(g), err)))
        return st;
    const sg_tensor *u = vectors_after(&d, id, n);
    if ((st = sg_graph_status(g, err)))
        return st;
    for (int i = 0; i < n; i++) {
        const float *ui = u->data + (size_t)i * dim;
        const int32_t first = d.shelf->id_offsets[id[i]], same = d.shelf->id_offsets[id[i] + 1] - first;
        float top;

        for (int32_t j = 0; j < same; j++)
            cosine[j] = sg_dot(ui, vector_of(&d, d.shelf->id_items[first + j]), dim);
        const float total = log_total(&top, cosine, same, (float)c->psi);
        for (size_t l = 0; l < all; l++)
            logp[(size_t)i * all + l] = l < levels ? known[(size_t)i * levels + l] : 0;
        if (levels < all)
            logp[(size_t)i * all + levels] =
                (float)c->psi * (sg_dot(ui, vector_of(&d, item[i]), dim) - top) - total;
    }
    return SG_OK;
}
