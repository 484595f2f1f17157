/* coder.c - weights, encoder, decoder. */
#include "models/coder.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "decode/length.h"
#include "math/gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static sg_act act_named(const char *name)
{
    return !strcmp(name, "relu") ? SG_RELU : !strcmp(name, "gelu") ? SG_GELU : SG_SILU;
}

sg_status sg_coder_declare(sg_coder *s, sg_model *m, uint64_t seed, const sg_coder_spec *c, sg_error *err)
{
    sg_params *ps = &m->params;
    sg_block_spec spec = {.dim = c->dim,
                          .heads = c->heads,
                          .head_dim = c->head_dim,
                          .ffn = c->ffn,
                          .rms = true,
                          .gated = c->gated,
                          .t5_init = true,
                          .eps = 1e-6f,
                          .act = act_named(c->act)};
    sg_names *w = &s->names;
    char name[32];
    int32_t n;

    s->spec = *c;
    if (!m->catalogue)
        return sg_fail(err, SG_ERR_MISSING, "%s needs semantic IDs: run sedge tokenize first",
                       m->class->name);
    s->codes = m->codes;
    sg_names_init(w, m->catalogue);
    if (c->one_alphabet) {
        w->tokens = 0;
        for (int l = 0; l < w->levels; l++) {
            w->first[l] = 0;
            w->tokens = w->size[l] > w->tokens ? w->size[l] : w->tokens;
        }
    }
    w->learned -= c->shared;
    w->scale = 1 / (sqrtf((float)c->dim) * (float)c->init_sd);
    s->bos = n = w->tokens;
    s->user0 = n + 1;
    s->own0 = s->user0 + c->user_tokens;
    s->enc = sg_alloc_zero((size_t)c->layers, sizeof *s->enc);
    s->dec = sg_alloc_zero((size_t)c->layers, sizeof *s->dec);
    if (!s->enc || !s->dec)
        return sg_fail_memory(err, m->class->name);
    w->token = sg_param_add(ps, seed, SG_INIT_NORMAL, (float)c->init_sd, SG_PARAM_NO_DECAY,
                            s->own0 + c->own_tokens, c->dim, "token.weight");
    w->head = c->tied ? w->token
                      : sg_param_add(ps, seed, SG_INIT_NORMAL, (float)c->init_sd, SG_PARAM_NO_DECAY, n,
                                     c->dim, "head.weight");
    if (c->prefix_vectors && w->levels > 1) {
        if (sg_names_number(w, err))
            return SG_ERR_MEMORY;
        w->prefix = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY | SG_PARAM_SPARSE,
                                 w->first_prefix[w->levels + 1], c->dim, "prefix.weight");
    }
    s->bias_enc = sg_param_add(ps, seed, SG_INIT_NORMAL, 0.02f, SG_PARAM_NO_DECAY, c->buckets, c->heads,
                               "encoder.bias.weight");
    s->bias_dec = sg_param_add(ps, seed, SG_INIT_NORMAL, 0.02f, SG_PARAM_NO_DECAY, c->buckets, c->heads,
                               "decoder.bias.weight");
    if (c->cross_bias)
        s->bias_cross = sg_param_add(ps, seed, SG_INIT_NORMAL, 0.02f, SG_PARAM_NO_DECAY, c->buckets, c->heads,
                                     "cross.bias.weight");
    for (int i = 0; i < c->layers; i++) {
        snprintf(name, sizeof name, "encoder.%d", i);
        sg_block_declare(&s->enc[i], ps, seed, &spec, name);
    }
    spec.cross = true;
    spec.experts = c->experts;
    spec.top = c->top;
    for (int i = 0; i < c->layers; i++) {
        snprintf(name, sizeof name, "decoder.%d", i);
        sg_block_declare(&s->dec[i], ps, seed, &spec, name);
    }
    sg_norm_declare(&s->norm_enc, ps, c->dim, true, 1e-6f, "encoder.norm");
    sg_norm_declare(&s->norm_dec, ps, c->dim, true, 1e-6f, "decoder.norm");
    return SG_OK;
}

void sg_coder_free(sg_coder *s)
{
    sg_free(s->enc);
    sg_free(s->dec);
    sg_names_free(&s->names);
}

sg_tensor *sg_coder_embed(sg_graph *g, const sg_coder *s, const int32_t *id, const int32_t *prefix, int n)
{
    sg_tensor *x = sg_embed(g, s->names.token, id, n);

    if (s->names.prefix && prefix)
        x = sg_plus(g, x, sg_embed(g, s->names.prefix, prefix, n));
    return s->spec.init_sd == 1 ? x : sg_scale(g, x, (float)(1 / s->spec.init_sd));
}

/* ---- the encoder --------------------------------------------------------------------------------------- */

sg_tensor *sg_coder_read(sg_graph *g, const sg_coder *s, const sg_read *r)
{
    const sg_coder_spec *c = &s->spec;
    sg_attention_spec spec = {.heads = c->heads,
                              .batch = r->batch,
                              .offsets_q = r->offsets,
                              .offsets_k = r->offsets,
                              .mask = r->limit ? SG_MASK_LIMIT : SG_MASK_NONE,
                              .limit_q = r->limit,
                              .scale = 1,
                              .dropout = c->dropout,
                              .bias = s->bias_enc,
                              .bias_bidirectional = true,
                              .bias_max_distance = c->bucket_distance};
    sg_tensor *x = sg_dropout(g, sg_coder_embed(g, s, r->id, r->prefix, r->offsets[r->batch]), c->dropout);

    for (int i = 0; i < c->layers; i++) {
        spec.kept = r->kept ? r->kept + (size_t)i * (size_t)r->batch : NULL;
        x = sg_block_forward(g, &s->enc[i], x, &spec, NULL, NULL, c->dropout);
    }
    return sg_dropout(g, sg_norm_forward(g, &s->norm_enc, x), c->dropout);
}

static uint32_t user_token(const sg_coder *s, int32_t user)
{
    return user < 0 ? 0 : (uint32_t)(sg_rng_mix((uint64_t)user + 1) % (uint64_t)s->spec.user_tokens);
}

/* Codes of an item, which may have come after the training; own (levels). */
static const int32_t *codes_of(const sg_coder *s, const sg_session *session, int32_t item, int32_t *own)
{
    if (!session || !session->offer || !session->offer->catalogue)
        return s->codes + (size_t)item * (size_t)s->names.levels;
    sg_session_codes(session, item, own);
    return own;
}

static int length_read(const sg_coder *s, const int32_t *codes)
{
    const int length = sg_catalogue_length(s->names.catalogue, codes);

    return length < s->names.learned ? length : s->names.learned;
}

int sg_coder_length(const sg_coder *s, int32_t item)
{
    return length_read(s, s->codes + (size_t)item * (size_t)s->names.levels);
}

sg_tensor *sg_coder_encode(sg_graph *g, const sg_coder *s, sg_coder_source *in)
{
    const sg_coder_spec *c = &s->spec;
    const sg_names *w = &s->names;
    const int extra = c->user_tokens ? 1 : 0;
    const int total = in->offsets[in->batch] * w->levels + extra * in->batch;
    int32_t *id = sg_scratch(g, (size_t)total + 1, sizeof *id);
    int32_t *limit = sg_scratch(g, (size_t)total + 1, sizeof *limit);
    int32_t *prefix = sg_scratch(g, (size_t)total + 1, sizeof *prefix);
    int n = 0;

    in->tokens = sg_scratch(g, (size_t)in->batch + 1, sizeof *in->tokens);
    if (!id || !limit || !prefix || !in->tokens)
        return NULL;
    for (int b = 0; b < in->batch; b++) {
        const int before = in->before ? in->before[b] : 0;
        int read = before ? before : extra;

        in->tokens[b] = n;
        if (extra && !before) {
            id[n] = s->user0 + (int32_t)user_token(s, in->user ? in->user[b] : -1);
            prefix[n] = -1;
            limit[n++] = 1;
        }
        for (int i = in->offsets[b]; i < in->offsets[b + 1]; i++) {
            int32_t own[SG_LEVELS_MAX], own_row[SG_LEVELS_MAX];
            const int32_t *code = codes_of(s, in->session, in->item[i], own), *row = own_row;
            const int length = length_read(s, code);

            if (code == own)
                sg_names_rows(own_row, w, own);
            else if (w->prefix)
                row = w->node + (size_t)in->item[i] * (size_t)w->levels;
            read += length;
            for (int l = 0; l < length; l++) {
                id[n] = w->first[l] + code[l];
                prefix[n] = w->prefix ? row[l] : -1;
                limit[n++] = read;
            }
        }
    }
    in->tokens[in->batch] = n;
    if (n == 0 && in->kept) /* nothing new */
        return NULL;
    return sg_coder_read(g, s,
                         &(sg_read){in->batch, in->tokens, id, prefix, c->causal ? limit : NULL, in->kept});
}

/* ---- the decoder --------------------------------------------------------------------------------------- */

sg_tensor *sg_coder_write(sg_graph *g, const sg_coder *s, sg_tensor *x, sg_tensor *memory,
                          const sg_coder_written *w)
{
    const sg_coder_spec *c = &s->spec;
    const int n = w->rows[w->batch];
    int32_t *place = w->limit ? sg_scratch(g, (size_t)n + 1, sizeof *place) : NULL;

    if (w->limit && !place)
        return NULL;
    for (int r = 0; place && r < n; r++)
        place[r] = w->limit[r] - 1;
    const sg_attention_spec self = {.heads = c->heads,
                                    .batch = w->targets,
                                    .offsets_q = w->own,
                                    .offsets_k = w->own,
                                    .mask = SG_MASK_CAUSAL,
                                    .scale = 1,
                                    .dropout = c->dropout,
                                    .bias = s->bias_dec,
                                    .bias_max_distance = c->bucket_distance};
    const sg_attention_spec cross = {.heads = c->heads,
                                     .batch = w->batch,
                                     .offsets_q = w->rows,
                                     .offsets_k = w->tokens,
                                     .mask = w->limit ? SG_MASK_LIMIT : SG_MASK_NONE,
                                     .limit_q = w->limit,
                                     .place_q = place,
                                     .scale = 1,
                                     .dropout = c->dropout,
                                     .bias = s->bias_cross,
                                     .bias_max_distance = c->bucket_distance};
    x = sg_dropout(g, x, c->dropout);
    for (int i = 0; i < c->layers; i++)
        x = sg_block_forward_counted(g, &s->dec[i], x, &self, memory, &cross, c->dropout,
                                     c->experts ? w->load : NULL);
    return sg_dropout(g, sg_norm_forward(g, &s->norm_dec, x), c->dropout);
}

/* ---- decoding ------------------------------------------------------------------------------------------ */

/* The last code of each prefix as the decoder reads it; notes the prefixes' nodes. */
static sg_tensor *embed_prefixes(sg_coder_decoder *d, const sg_beam_rows *rows)
{
    const sg_coder *s = d->coder;
    const int level = rows->level, n = rows->n;
    sg_graph *g = d->stack.graph;
    int32_t *id = sg_scratch(g, (size_t)n, sizeof *id), *prefix = sg_scratch(g, (size_t)n, sizeof *prefix);
    int32_t *node = d->node[level & 1];
    const int32_t *above = d->node[(level + 1) & 1];

    if (!id || !prefix)
        return NULL;
    for (int r = 0; r < n; r++) {
        id[r] = level ? s->names.first[level - 1] + rows->code[r] : s->bos;
        node[r] = !level                       ? 0
                  : above[rows->parent[r]] < 0 ? -1
                                               : sg_catalogue_child(s->names.catalogue, level - 1,
                                                                    above[rows->parent[r]], rows->code[r]);
        prefix[r] =
            s->names.prefix && level > 1 && node[r] >= 0 ? s->names.first_prefix[level] + node[r] : -1;
    }
    return sg_coder_embed(g, s, id, prefix, n);
}

/* Notes where the prefixes stand among the items on offer. */
static void follow(sg_coder_decoder *d, const sg_beam_rows *rows)
{
    int32_t *here = d->here[rows->level & 1];
    const int32_t *above = d->here[(rows->level + 1) & 1];

    for (int r = 0; r < rows->n; r++)
        here[r] = rows->level
                      ? sg_catalogue_child(d->offered, rows->level - 1, above[rows->parent[r]], rows->code[r])
                      : 0;
}

/* The items of the leaves by their weights. */
static void weigh_leaves(const sg_coder_decoder *d, const sg_beam_rows *rows)
{
    const float none = -1e4f; /* no item has this code: nothing against those that are there */
    const sg_coder *s = d->coder;
    const int32_t size = s->names.size[rows->level], known = sg_catalogue_items(s->names.catalogue);

    for (int r = 0; r < rows->n; r++) {
        const sg_children kids = sg_catalogue_children(d->offered, rows->level, d->here[rows->level & 1][r]);
        float *logits = rows->logits + (size_t)r * (size_t)rows->ld;

        for (int32_t i = 0; i < size; i++)
            logits[i] = none;
        for (int32_t i = 0; i < kids.n; i++) {
            const int32_t item = sg_catalogue_item(d->offered, kids.first + i);

            logits[sg_child_code(&kids, i)] = item < known ? s->leaf[item] : 0;
        }
    }
}

sg_status sg_coder_decoder_step(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    sg_coder_decoder *d = ctx;
    const sg_coder *s = d->coder;
    const int level = rows->level, n = rows->n;
    sg_graph *g = d->stack.graph;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    sg_tensor *x;
    sg_status st;

    if (n > d->stack.cap)
        return sg_fail(err, SG_ERR_USAGE, "decoder holds %d prefixes, %d asked", d->stack.cap, n);
    if (s->spec.shared)
        follow(d, rows);
    if (level == s->names.learned) {
        weigh_leaves(d, rows);
        return SG_OK;
    }
    x = sg_stack_step(&d->stack, rows, embed_prefixes(d, rows));
    x = sg_scale(g, sg_norm_forward(g, &s->norm_dec, x), s->names.scale);
    if ((st = sg_graph_status(g, err)))
        return st;
    sg_names_logits(g, &s->names, x->data, d->node[level & 1], s->spec.legal, rows);
    sg_arena_back(sg_graph_arena(g), mark);
    return SG_OK;
}

sg_status sg_coder_decoder_write(sg_coder_decoder *d, const int32_t *item, sg_error *err)
{
    const sg_coder *s = d->coder;
    const sg_names *w = &s->names;
    sg_graph *g = d->stack.graph;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    const int n = d->stack.first[d->stack.batch];
    int32_t *id = sg_scratch(g, (size_t)n + 1, sizeof *id),
            *prefix = sg_scratch(g, (size_t)n + 1, sizeof *prefix);

    for (int t = 0; id && prefix && t <= w->levels; t++) {
        for (int i = 0; i < n; i++) {
            const size_t at = (size_t)item[i] * (size_t)w->levels + (size_t)t;

            id[i] = t ? w->first[t - 1] + s->codes[at - 1] : s->bos;
            prefix[i] = w->prefix && t ? w->node[at - 1] : -1;
        }
        if (!sg_stack_write(&d->stack, sg_coder_embed(g, s, id, prefix, n)))
            break;
    }
    const sg_status st = sg_graph_status(g, err);
    if (!st)
        sg_arena_back(sg_graph_arena(g), mark);
    return st;
}

/* The latest items of the histories, those that were not read before, into step memory. */
static bool take_items(sg_coder_source *in, const sg_coder *s, const sg_session *session, sg_graph *g,
                       const sg_histories *h)
{
    const sg_coder_spec *c = &s->spec;
    const size_t n = (size_t)h->n;
    int32_t *offsets = sg_scratch(g, n + 1, sizeof *offsets), *before = sg_scratch(g, n, sizeof *before);
    int32_t *item = sg_scratch(g, n, (size_t)c->history * sizeof *item);
    int total = 0;

    if (!offsets || !before || !item)
        return false;
    for (int i = 0; i < h->n; i++) {
        const int64_t begin = sg_window_begin(h, i, c->history, c->step);
        const int len = (int)(h->offsets[i + 1] - begin),
                  read = h->past ? sg_past_agree(h, i, begin, 0, len) : 0;
        int32_t own[SG_LEVELS_MAX];

        before[i] = read && c->user_tokens ? 1 : 0;
        for (int e = 0; e < read; e++)
            before[i] += length_read(s, codes_of(s, session, h->item[begin + e], own));
        offsets[i] = total;
        if (len > read)
            memcpy(item + total, h->item + begin + read, (size_t)(len - read) * sizeof *item);
        total += len - read;
    }
    offsets[h->n] = total;
    *in = (sg_coder_source){.batch = h->n,
                            .user = h->user,
                            .item = item,
                            .offsets = offsets,
                            .before = before,
                            .session = session};
    return true;
}

sg_status sg_coder_decoder_begin(sg_coder_decoder *d, const sg_coder *s, sg_graph *g, sg_tensor *memory,
                                 const int32_t *tokens, sg_kept *const *kept, int n, int cap, int items,
                                 sg_error *err)
{
    const sg_stack_spec spec = {.block = s->dec,
                                .layers = s->spec.layers,
                                .levels = s->names.levels,
                                .written = (items - 1) * (s->names.levels + 1),
                                .scale = 1,
                                .bias_self = s->bias_dec,
                                .bias_cross = s->bias_cross,
                                .bias_max_distance = s->spec.bucket_distance,
                                .kept = kept};

    *d = (sg_coder_decoder){.coder = s};
    for (int i = 0; i < 2; i++)
        d->node[i] = sg_scratch(g, (size_t)cap, sizeof *d->node[i]);
    return sg_stack_open(&d->stack, g, &spec, memory, tokens, n, cap, err);
}

sg_status sg_coder_decoder_open(sg_coder_decoder *d, const sg_coder *s, sg_session *session,
                                const sg_histories *all, int first, int n, int cap, int items, sg_error *err)
{
    const sg_coder_spec *c = &s->spec;
    const sg_histories h = sg_histories_rows(all, first, n);
    sg_graph *g = session->graph;
    sg_status st;
    sg_coder_source in;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!take_items(&in, s, session, g, &h) || (h.past && !(in.kept = sg_pasts_kept(g, &h, 2 * c->layers))))
        return sg_graph_status(g, err);
    sg_tensor *memory = sg_coder_encode(g, s, &in);

    if ((st = sg_coder_decoder_begin(d, s, g, memory, in.tokens,
                                     in.kept ? in.kept + (size_t)c->layers * (size_t)n : NULL, n, cap, items,
                                     err)))
        return st;
    d->offered = sg_session_catalogue(session);
    for (int i = 0; i < 2 && s->spec.shared; i++)
        d->here[i] = sg_scratch(g, (size_t)cap, sizeof *d->here[i]);
    if ((st = sg_graph_status(g, err)))
        return st;
    for (int i = 0; h.past && i < n; i++)
        if (!sg_past_note(&h, i, sg_window_begin(&h, i, c->history, c->step)))
            return sg_fail_memory(err, "past of a history");
    return SG_OK;
}

sg_status sg_coder_recommend(const sg_coder *s, sg_session *session, const sg_histories *h,
                             const sg_filter *f, int k, int beam_own, sg_coder_prior *prior_of, int32_t *item,
                             float *score, sg_error *err)
{
    enum {
        ROWS = 256
    }; /* prefixes that a thread decodes together: what lies between two layers stays in its cache */
    enum {
        WIDER = 8
    }; /* the second search, against the first: on Beauty 99 of 100 users need 4 times 50 beams */
    enum {
        APART = 4
    }; /* groups, which nothing completes: on Beauty as probable, with the least diversity, as lists that are exact */
    const int items = sg_session_items(session),
              groups = session->groups > 1 && session->diversity > 0 ? session->groups : 1;
    const bool drawn = session->temperature > 0;
    const bool cold =
        session->offer && session->offer->cold && groups == 1 && sg_cold_quota(session->cold_share, k) > 0;
    const bool by_length =
        s->spec.length_norm > 0 && !drawn && !cold; /* what is drawn keeps its order, the mix ranks itself */
    const int beam_asked = session->beam ? session->beam : beam_own;
    const int block = groups > 1 || (session->as_wide && k > beam_asked)
                          ? k
                          : beam_asked; /* of items that are compared by length */
    const int wanted = by_length ? (k + block - 1) / block * block : k;
    const int least = beam_asked > wanted ? beam_asked : wanted;
    const int beam = groups > 1 && !session->plain && least < items
                         ? (least < items / APART ? APART * least : items)
                         : least;
    const int rows = ROWS * sg_pool_threads(session->pool), users = beam < rows ? rows / beam : 1;
    const bool again = !session->plain && groups == 1 && !drawn && !(cold && s->spec.length_norm > 0);
    const int wide = !again ? beam : beam < items / WIDER ? WIDER * beam : items;
    const int most = wide < items ? wide : items; /* prefixes of a user at a level */
    const float diversity[SG_CATALOGUE_LEVELS_MAX] = {
        session->diversity}; /* first codes keep apart, the others need not */
    float temperature[SG_CATALOGUE_LEVELS_MAX];
    sg_beam_spec spec = {.beam = beam,
                         .k = wanted,
                         .groups = groups,
                         .diversity = diversity,
                         .temperature = drawn ? temperature : NULL,
                         .seed = session->seed,
                         .complete = again ? most : 0,
                         .renormalise = s->spec.legal || s->spec.renormalise,
                         .allow = f ? f->allow : NULL,
                         .cold = cold ? session->offer->cold : NULL,
                         .cold_share = session->cold_share,
                         .cold_prefix = session->cold_prefix < sg_catalogue_levels(session->model->catalogue)
                                            ? session->cold_prefix
                                            : 0,
                         .cold_length = s->spec.length_norm};
    sg_prior prior;
    sg_status st;
    sg_coder_decoder d;

    for (int l = 0; l < SG_CATALOGUE_LEVELS_MAX; l++)
        temperature[l] = session->temperature;
    for (int first = 0; first < h->n; first += users) {
        const int n = h->n - first < users ? h->n - first : users;

        if ((st = sg_coder_decoder_open(&d, s, session, h, first, n, n * most, 1, err)))
            return st;
        if (f && f->seen) {
            spec.deny_offsets = h->offsets + first;
            spec.deny = h->item;
        }
        if (prior_of) {
            const sg_histories part = sg_histories_rows(h, first, n);

            spec.prior = &prior;
            if ((st = prior_of(&prior, session, &part, f && f->seen, err)))
                return st;
        }
        if (spec.temperature) { /* a user's draw does not depend on how users are put together */
            uint64_t *draw = sg_arena_take_array(sg_graph_arena(session->graph), (size_t)n, sizeof *draw);

            if (!draw)
                return sg_fail_memory(err, "draws");
            for (int i = 0; i < n; i++)
                draw[i] = (uint64_t)(first + i);
            spec.draw = draw;
        }

        const size_t here = (size_t)first * (size_t)k, all = (size_t)n * (size_t)wanted;
        int32_t *found = by_length ? sg_scratch(session->graph, all, sizeof *found) : item + here;
        float *value = by_length ? sg_scratch(session->graph, all, sizeof *value) : score + here;

        if (!found || !value)
            return sg_graph_status(session->graph, err);
        if ((st = sg_beam_search(found, value, sg_session_catalogue(session), n, &spec, sg_coder_decoder_step,
                                 &d, session->pool, sg_graph_arena(session->graph), err)))
            return st;
        for (size_t i = 0; by_length && i < (size_t)n; i++) {
            sg_rank_by_length(found + i * (size_t)wanted, value + i * (size_t)wanted, wanted, k, block,
                              sg_session_catalogue(session), s->spec.length_norm);
            memcpy(item + here + i * (size_t)k, found + i * (size_t)wanted, (size_t)k * sizeof *item);
            memcpy(score + here + i * (size_t)k, value + i * (size_t)wanted, (size_t)k * sizeof *score);
        }
        for (size_t i = here; drawn && !cold && s->spec.length_norm > 0 && i < here + (size_t)n * (size_t)k;
             i++)
            if (item[i] >= 0)
                score[i] =
                    sg_score_by_length(score[i], item[i], sg_session_catalogue(session), s->spec.length_norm);
    }
    return SG_OK;
}

sg_status sg_coder_score(const sg_coder *s, sg_session *session, const sg_histories *h, float *scores,
                         sg_error *err)
{
    enum { USERS = 4, ROWS = 2048 };
    sg_status st;
    sg_coder_decoder d;

    for (int first = 0; first < h->n; first += USERS) {
        const int n = h->n - first < USERS ? h->n - first : USERS;

        if ((st = sg_coder_decoder_open(&d, s, session, h, first, n, ROWS, 1, err)) ||
            (st = sg_exact_scores(scores + (size_t)first * (size_t)sg_session_items(session),
                                  sg_session_catalogue(session), n, s->spec.legal || s->spec.renormalise,
                                  ROWS, sg_coder_decoder_step, &d, session->pool,
                                  sg_graph_arena(session->graph), err)))
            return st;
    }
    return SG_OK;
}

sg_status sg_coder_path(const sg_coder *s, sg_session *session, const sg_histories *h, const int32_t *item,
                        int n, float *logp, sg_error *err)
{
    sg_status st;
    sg_coder_decoder d;

    if ((st = sg_coder_decoder_open(&d, s, session, h, 0, 1, n, 1, err)))
        return st;
    return sg_path_scores(logp, sg_session_catalogue(session), item, n, s->spec.legal || s->spec.renormalise,
                          sg_coder_decoder_step, &d, sg_graph_arena(session->graph), err);
}

int sg_coder_past_cut(const sg_coder *s, sg_past *p, int n)
{
    if (sg_catalogue_ends(
            s->names
                .catalogue)) /* how many tokens n events are is not known here: an item may have come later */
        n = 0;
    return sg_kept_past_cut(p, n, n ? (s->spec.user_tokens ? 1 : 0) + n * s->names.learned : 0);
}
