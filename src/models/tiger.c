/* tiger.c - generative retrieval over semantic IDs.   [Rajput et al., NeurIPS 2023, arXiv:2305.05065]
 *
 * A T5-style encoder-decoder reads the codes of the latest items and writes the codes of the next one:
 *
 *   encoder  [user] a1 .. aL b1 .. bL ...         relative position bias, shared by the layers of a stack
 *   decoder  BOS d1 .. d(L-1)  ->  d1 .. dL       cross-entropy over the codes of the level, mean over L tokens
 *
 * Token of code c at level l: first(l) + c; then BOS; then the hashed user tokens.
 *
 * prefix_vectors=true adds to the vector of code c at level l > 1 one of the prefix it ends, as prefix n-grams
 * do for ranking models [Zheng et al. 2025, arXiv:2504.02137]: what the model reads then tells items apart as
 * an item table would, what it writes are still codes. Prefixes start at zero, so an item that was never
 * trained on is read by its codes alone; with content > 0 they start at what their items' vectors say.
 *
 * softmax=legal trains on the question that constrained decoding asks: which of the codes that exist after
 * this prefix? The model need not learn which tuples are items, and with prefix_vectors the answers are told
 * apart by their whole prefix too.
 *
 * cross_bias=true gives the decoder's look at the history a relative position bias, counted back from its end.
 * T5 has none: a bidirectional encoder can mark the last item itself. One that is causal by item cannot, since
 * it does not know where a target's history ends.
 *
 * IDs that end early (sedge tokenize --method alit) are read to their last code. The decoder writes the end too, unless softmax=legal,
 * where it is the only code that exists; what fills the ID up after its end costs nothing.
 *
 * star=W adds W times the scores of STAR, what is looked up of items that come together and of their texts, to what the decoder
 * says of an item. The search goes by the sum: a prefix counts the best score of STAR below it.
 *
 * augment=prefix is the paper's training: every prefix of a history is an example of its own, the encoder is
 * bidirectional. augment=user, the default, asks all targets of a user at once: the encoder is causal by item
 * (an item sees itself whole and all before it), so one encoder pass serves every prefix: a target at position
 * t reads the first t items of it. */
#include "models/past.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "decode/length.h"
#include "decode/stack.h"
#include "math/gemm.h"
#include "math/math.h"
#include "models/names.h"
#include "models/star.h"
#include "nn/transformer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TIGER_OPTIONS(X)                                                                                     \
    X(int, dim, 128, 4, 4096, "width of token vectors")                                                      \
    X(int, layers, 4, 1, 64, "encoder blocks, and as many decoder blocks")                                   \
    X(int, heads, 6, 1, 64, "attention heads")                                                               \
    X(int, head_dim, 64, 4, 512, "width of an attention head")                                               \
    X(int, ffn, 1024, 4, 16384, "inner width of the feed-forward part")                                      \
    X(choice, act, relu, 0, 0, "relu|gelu|silu: activation of the feed-forward part")                        \
    X(bool, gated, false, 0, 1, "gated feed-forward (T5 1.1)")                                               \
    X(float, dropout, 0.1, 0, 0.9, "share of activations dropped while training")                            \
    X(int, history, 20, 1, 2048, "items of the history that are read, the latest")                           \
    X(int, step, 1, 1, 2048,                                                                                 \
      "events by which the window moves when a history is longer; with augment=user, above 1, a server reads "\
      "it anew that much more seldom")                                                                       \
    X(choice, augment, user, 0, 0,                                                                           \
      "user|prefix: all targets of a user in one pass, or every prefix an example (paper)")                  \
    X(int, user_tokens, 0, 0, 1000000, "hashed user tokens before the history (paper: 2000; 0: none)")       \
    X(bool, prefix_vectors, false, 0, 1,                                                                     \
      "a token also carries a vector of its whole prefix, not its code alone")                               \
    X(float, content, 0, 0, 10,                                                                              \
      "prefix_vectors: prefixes start from item vectors of this spread (0: from nothing)")                   \
    X(bool, cross_bias, true, 0, 1, "the decoder knows how far back a history token is (T5: it does not)")   \
    X(int, buckets, 32, 4, 512, "relative position buckets")                                                 \
    X(int, bucket_distance, 128, 8, 65536, "distance from which all positions share a bucket")               \
    X(bool, tied, true, 0, 1, "output table = input table")                                                  \
    X(float, init_sd, 1, 0.0001, 10,                                                                         \
      "spread of the stored token vectors; read as vector / init_sd: below 1 they learn faster")             \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all codes of the level")            \
    X(int, beam, 20, 1, 1000000, "prefixes kept while decoding, unless the caller says otherwise")           \
    X(choice, softmax, level, 0, 0,                                                                          \
      "level|legal: loss over all codes of the level (paper), or over codes that exist")                     \
    X(bool, leave_unseen, false, 0, 1,                                                                       \
      "softmax=legal: codes that only items without a training event bear are not learned against, so that "\
      "these may be recommended")                                                                            \
    X(bool, renormalise, false, 0, 1, "softmax=level, decoding: probabilities over codes that exist")        \
    X(float, length_norm, 0, 0, 1,                                                                           \
      "IDs of several lengths: scores of a beam's items are divided by their codes to this power (0: sums)") \
    X(float, star, 0, 0, 10000, "scores of STAR times this are added to items' log-probabilities (0: none)") \
    X(float, star_text, 0.5, 0, 1, "star: share of item similarity by text; the rest is co-occurrence")

typedef struct tiger_config {
    TIGER_OPTIONS(SG_OPTION_FIELD)
} tiger_config;
#define SG_OPTION_STRUCT tiger_config
static const sg_option tiger_options[] = {TIGER_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct example {
    int32_t user;
    int64_t begin;       /* first event the encoder reads */
    int64_t first, last; /* events that are targets; the encoder reads up to last - 1 */
} example;

typedef struct tiger {
    sg_names names;
    int32_t bos, user0;
    sg_param *bias_enc, *bias_dec, *bias_cross; /* (buckets, heads) */
    sg_block *enc, *dec;                        /* owned (layers) */
    sg_norm norm_enc, norm_dec;
    const sg_dataset *data; /* training: borrowed */
    example *examples;      /* owned */
    sg_star star;
} tiger;

/* ---- weights ------------------------------------------------------------------------------------------- */
static sg_status tiger_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;
    sg_params *ps = &m->params;
    sg_block_spec spec = {.dim = c->dim,
                          .heads = c->heads,
                          .head_dim = c->head_dim,
                          .ffn = c->ffn,
                          .rms = true,
                          .gated = c->gated,
                          .t5_init = true,
                          .eps = 1e-6f,
                          .act = !strcmp(c->act, "relu")   ? SG_RELU
                                 : !strcmp(c->act, "gelu") ? SG_GELU
                                                           : SG_SILU};
    sg_names *w = &s->names;
    char name[32];
    int32_t n;

    if (!m->catalogue)
        return sg_fail(err, SG_ERR_MISSING, "tiger needs semantic IDs: run sedge tokenize first");
    sg_names_init(w, m->catalogue);
    w->scale = 1 / (sqrtf((float)c->dim) * (float)c->init_sd);
    s->bos = n = w->tokens;
    s->user0 = n + 1;
    s->enc = sg_alloc_zero((size_t)c->layers, sizeof *s->enc);
    s->dec = sg_alloc_zero((size_t)c->layers, sizeof *s->dec);
    if (!s->enc || !s->dec)
        return sg_fail_memory(err, "tiger");
    w->token = sg_param_add(ps, seed, SG_INIT_NORMAL, (float)c->init_sd, SG_PARAM_NO_DECAY,
                            n + 1 + c->user_tokens, c->dim, "token.weight");
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
    for (int i = 0; i < c->layers; i++) {
        snprintf(name, sizeof name, "decoder.%d", i);
        sg_block_declare(&s->dec[i], ps, seed, &spec, name);
    }
    sg_norm_declare(&s->norm_enc, ps, c->dim, true, 1e-6f, "encoder.norm");
    sg_norm_declare(&s->norm_dec, ps, c->dim, true, 1e-6f, "decoder.norm");
    return SG_OK;
}

static sg_status tiger_ready(sg_model *m, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;

    return c->star > 0 ? sg_star_need(&s->star, m, c->star, err) : SG_OK;
}

static sg_status tiger_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;
    sg_status st = SG_OK;

    if (s->names.prefix && c->content > 0 &&
        (st = sg_names_content(&s->names, t, NULL, c->content * c->init_sd, err)))
        return st;
    if (c->star > 0 && !(st = sg_star_fit(m, c->star_text, t, err)))
        st = tiger_ready(m, err); /* validation asks before training ends */
    return st;
}

static void tiger_fini(sg_model *m)
{
    tiger *s = m->state;

    sg_free(s->enc);
    sg_free(s->dec);
    sg_free(s->examples);
    sg_names_free(&s->names);
}

/* Vectors of n tokens; prefix: their rows in the prefix table (-1: none), used when there is one. */
static sg_tensor *embed(sg_graph *g, const tiger *s, const int32_t *id, const int32_t *prefix, int n,
                        double init_sd)
{
    sg_tensor *x = sg_embed(g, s->names.token, id, n);

    if (s->names.prefix)
        x = sg_plus(g, x, sg_embed(g, s->names.prefix, prefix, n));
    return init_sd == 1 ? x : sg_scale(g, x, (float)(1 / init_sd));
}

/* ---- the encoder --------------------------------------------------------------------------------------- */
/* Items to encoder tokens. Sequence i owns item[offsets[i]] .. item[offsets[i + 1]]. */
typedef struct source {
    int batch;
    const int32_t *user; /* (batch), -1: unknown */
    const int32_t *item;
    const int32_t *offsets; /* (batch + 1), items */
    const int32_t *before;  /* (batch) tokens that were read earlier; NULL: none */
    sg_kept *const *kept;   /* (layers, batch) of them; NULL: none */
    int32_t *tokens;        /* (batch + 1), token offsets: filled by encode */
    const sg_session *session; /* its items may have come after the training; NULL: training */
} source;

static uint32_t user_token(const tiger_config *c, int32_t user)
{
    return user < 0 ? 0 : (uint32_t)(sg_rng_mix((uint64_t)user + 1) % (uint64_t)c->user_tokens);
}

static bool renormalises(const tiger_config *c)
{
    return c->renormalise || !strcmp(c->softmax, "legal");
}

/* Codes of an item, which may have come after the training; own (levels). */
static const int32_t *codes_of(const sg_model *m, const sg_session *session, int32_t item, int32_t *own)
{
    if (!session || !session->offer || !session->offer->catalogue)
        return m->codes + (size_t)item * (size_t)sg_catalogue_levels(m->catalogue);
    sg_session_codes(session, item, own);
    return own;
}

static sg_tensor *encode(const sg_model *m, sg_graph *g, source *in)
{
    const tiger_config *c = m->config;
    const tiger *s = m->state;
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
            id[n] = s->user0 + (int32_t)user_token(c, in->user ? in->user[b] : -1);
            prefix[n] = -1;
            limit[n++] = 1;
        }
        for (int i = in->offsets[b]; i < in->offsets[b + 1]; i++) {
            int32_t own[SG_LEVELS_MAX], own_row[SG_LEVELS_MAX];
            const int32_t *code = codes_of(m, in->session, in->item[i], own), *row = own_row;
            const int length = sg_catalogue_length(w->catalogue, code);

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

    sg_attention_spec spec = {.heads = c->heads,
                              .batch = in->batch,
                              .offsets_q = in->tokens,
                              .offsets_k = in->tokens,
                              .mask = !strcmp(c->augment, "user") ? SG_MASK_LIMIT : SG_MASK_NONE,
                              .limit_q = limit,
                              .scale = 1,
                              .dropout = (float)c->dropout,
                              .bias = s->bias_enc,
                              .bias_bidirectional = true,
                              .bias_max_distance = c->bucket_distance};
    sg_tensor *x = sg_dropout(g, embed(g, s, id, prefix, n, c->init_sd), (float)c->dropout);
    for (int i = 0; i < c->layers; i++) {
        spec.kept = in->kept ? in->kept + (size_t)i * (size_t)in->batch : NULL;
        x = sg_block_forward(g, &s->enc[i], x, &spec, NULL, NULL, (float)c->dropout);
    }
    return sg_dropout(g, sg_norm_forward(g, &s->norm_enc, x), (float)c->dropout);
}

/* ---- training ------------------------------------------------------------------------------------------ */
static sg_status tiger_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;
    size_t cap = 0;

    const sg_status st = c->leave_unseen ? sg_names_known(&s->names, t, NULL, err) : SG_OK;

    if (st)
        return st;
    s->data = t->data;
    *n = 0;
    for (int32_t u = 0; u < t->data->n_users; u++) {
        const int64_t begin = t->data->user_offsets[u], end = t->split->train_end[u];
        int64_t step = 1;

        /* augment=user: runs of history + 1 events whose targets are the later half, the first run's all, so that no target
         * of a long history sees less than half of what it will see when asked */
        if (!strcmp(c->augment, "user"))
            step = c->history > 1 ? c->history / 2 : 1;
        for (int64_t first = begin + 1; first < end;) {
            int64_t last = first + step - 1;

            if (step > 1 && first == begin + 1)
                last = begin + c->history;
            if (last >= end)
                last = end - 1;
            if (!sg_grow(&s->examples, &cap, *n + 1, sizeof *s->examples))
                return sg_fail_memory(err, "tiger examples");
            s->examples[(*n)++] =
                (example){u, last - begin > c->history ? last - c->history : begin, first, last};
            first = last + 1;
        }
    }
    return SG_OK;
}

/* Codes of an item that the decoder writes: with the end of its ID, when there are others in its place. */
static int written(const sg_model *m, int32_t item, bool legal)
{
    const int levels = sg_catalogue_levels(m->catalogue);
    const int length = sg_catalogue_length(m->catalogue, m->codes + (size_t)item * (size_t)levels);

    return length < levels && !legal ? length + 1 : length;
}

static sg_tensor *tiger_loss(sg_model *m, sg_graph *g, const uint32_t *example_no, int n, uint64_t seed,
                             uint64_t step)
{
    const tiger_config *c = m->config;
    const tiger *s = m->state;
    const sg_names *w = &s->names;
    const int L = w->levels, extra = c->user_tokens ? 1 : 0;
    const bool legal = !strcmp(c->softmax, "legal");
    int32_t *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets);
    int32_t *user = sg_scratch(g, (size_t)n, sizeof *user);
    int32_t *rows = sg_scratch(g, (size_t)n + 1, sizeof *rows); /* decoder rows of each example */
    int items = 0, targets = 0, R = 0;

    if (!offsets || !user || !rows)
        return NULL;
    for (int i = 0; i < n; i++) {
        const example *e = &s->examples[example_no[i]];

        offsets[i] = items;
        rows[i] = R;
        user[i] = e->user;
        items += (int)(e->last - e->begin);
        targets += (int)(e->last - e->first + 1);
        for (int64_t ev = e->first; ev <= e->last; ev++)
            R += written(m, s->data->item[ev], legal);
    }
    offsets[n] = items;
    rows[n] = R;

    int32_t *item = sg_scratch(g, (size_t)items + 1, sizeof *item);
    int32_t *own = sg_scratch(g, (size_t)targets + 1, sizeof *own); /* rows of each target */
    int32_t *target_item = sg_scratch(g, (size_t)targets + 1, sizeof *target_item);
    int32_t *arrays = sg_scratch(g, 7 * (size_t)R, sizeof *arrays);
    if (!item || !own || !target_item || !arrays)
        return NULL;
    int32_t *id = arrays, *limit = arrays + R, *begin = arrays + 2 * R, *size = arrays + 3 * R,
            *target = arrays + 4 * R;
    int32_t *prefix = arrays + 5 * R, *place = arrays + 6 * R;
    int r = 0, t = 0;
    for (int i = 0; i < n; i++) {
        const example *e = &s->examples[example_no[i]];

        int read = extra;

        memcpy(item + offsets[i], s->data->item + e->begin, (size_t)(e->last - e->begin) * sizeof *item);
        for (int64_t ev = e->begin; ev < e->first; ev++)
            read += sg_catalogue_length(m->catalogue, m->codes + (size_t)s->data->item[ev] * (size_t)L);
        for (int64_t ev = e->first; ev <= e->last; ev++) {
            const int32_t *code = m->codes + (size_t)s->data->item[ev] * (size_t)L;
            const int length = written(m, s->data->item[ev], legal);

            target_item[t] = s->data->item[ev];
            own[t++] = r;
            for (int l = 0; l < length; l++, r++) {
                id[r] = l ? w->first[l - 1] + code[l - 1] : s->bos;
                prefix[r] =
                    w->prefix && l ? w->node[(size_t)s->data->item[ev] * (size_t)L + (size_t)l - 1] : -1;
                limit[r] = read;
                place[r] = limit[r] - 1;
                begin[r] = w->first[l];
                size[r] = w->size[l];
                target[r] = w->first[l] + code[l];
            }
            read += sg_catalogue_length(m->catalogue, code);
        }
    }
    own[targets] = R;

    source in = {.batch = n, .user = user, .item = item, .offsets = offsets};
    sg_tensor *memory = encode(m, g, &in);
    const sg_attention_spec self = {.heads = c->heads,
                                    .batch = targets,
                                    .offsets_q = own,
                                    .offsets_k = own,
                                    .mask = SG_MASK_CAUSAL,
                                    .scale = 1,
                                    .dropout = (float)c->dropout,
                                    .bias = s->bias_dec,
                                    .bias_max_distance = c->bucket_distance};
    const sg_attention_spec cross = {.heads = c->heads,
                                     .batch = n,
                                     .offsets_q = rows,
                                     .offsets_k = in.tokens,
                                     .mask = SG_MASK_LIMIT,
                                     .limit_q = limit,
                                     .place_q = place,
                                     .scale = 1,
                                     .dropout = (float)c->dropout,
                                     .bias = s->bias_cross,
                                     .bias_max_distance = c->bucket_distance};
    sg_tensor *x = sg_dropout(g, embed(g, s, id, prefix, R, c->init_sd), (float)c->dropout);
    for (int i = 0; i < c->layers; i++)
        x = sg_block_forward(g, &s->dec[i], x, &self, memory, &cross, (float)c->dropout);
    x = sg_dropout(g, sg_norm_forward(g, &s->norm_dec, x), (float)c->dropout);
    if (legal)
        return sg_names_loss_legal(g, w, x, target_item, targets, (float)c->label_smoothing);
    return sg_softmax_ce_range(g, x, w->head, begin, size, target, NULL, w->scale, (float)c->label_smoothing);
}

/* ---- decoding
 * ------------------------------------------------------------------------------------------------ */
typedef struct decoder {
    const sg_model *m;
    sg_stack stack;
    int32_t *node[2]; /* (cap) node of each prefix in the catalogue of the training, whose prefixes have vectors, -1: it is not
                         there; of this level and the one before */
} decoder;

/* The last code of each prefix as the decoder reads it; notes the prefixes' nodes. */
static sg_tensor *embed_prefixes(decoder *d, const sg_beam_rows *rows)
{
    const tiger_config *c = d->m->config;
    const tiger *s = d->m->state;
    const int level = rows->level, n = rows->n;
    sg_graph *g = d->stack.graph;
    int32_t *id = sg_scratch(g, (size_t)n, sizeof *id), *prefix = sg_scratch(g, (size_t)n, sizeof *prefix);
    int32_t *node = d->node[level & 1];
    const int32_t *above = d->node[(level + 1) & 1];

    if (!id || !prefix)
        return NULL;
    for (int r = 0; r < n; r++) {
        id[r] = level ? s->names.first[level - 1] + rows->code[r] : s->bos;
        node[r] = !level                         ? 0
                  : above[rows->parent[r]] < 0 ? -1
                                               : sg_catalogue_child(d->m->catalogue, level - 1, above[rows->parent[r]], rows->code[r]);
        prefix[r] = s->names.prefix && level > 1 && node[r] >= 0 ? s->names.first_prefix[level] + node[r] : -1;
    }
    return embed(g, s, id, prefix, n, c->init_sd);
}

static sg_status decoder_step(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    decoder *d = ctx;
    const tiger_config *c = d->m->config;
    const tiger *s = d->m->state;
    const int level = rows->level, n = rows->n;
    sg_graph *g = d->stack.graph;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    sg_tensor *x;
    sg_status st;

    if (n > d->stack.cap)
        return sg_fail(err, SG_ERR_USAGE, "decoder holds %d prefixes, %d asked", d->stack.cap, n);
    x = sg_stack_step(&d->stack, rows, embed_prefixes(d, rows));
    x = sg_scale(g, sg_norm_forward(g, &s->norm_dec, x), s->names.scale);
    if ((st = sg_graph_status(g, err)))
        return st;
    sg_names_logits(g, &s->names, x->data, d->node[level & 1], !strcmp(c->softmax, "legal"), rows);
    sg_arena_back(sg_graph_arena(g), mark);
    return SG_OK;
}

/* The latest items of the histories, those that were not read before, into step memory. */
static bool take_items(source *in, const sg_session *session, sg_graph *g, const sg_histories *h)
{
    const sg_model *m = session->model;
    const tiger_config *c = m->config;
    const size_t n = (size_t)h->n;
    int32_t *offsets = sg_scratch(g, n + 1, sizeof *offsets), *before = sg_scratch(g, n, sizeof *before);
    int32_t *item = sg_scratch(g, n, (size_t)c->history * sizeof *item);
    int total = 0;

    if (!offsets || !before || !item)
        return false;
    for (int i = 0; i < h->n; i++) {
        const int64_t begin = sg_window_begin(h, i, c->history, c->step);
        const int len = (int)(h->offsets[i + 1] - begin), read = h->past ? sg_past_agree(h, i, begin, 0, len) : 0;
        int32_t own[SG_LEVELS_MAX];

        before[i] = read && c->user_tokens ? 1 : 0;
        for (int e = 0; e < read; e++)
            before[i] += sg_catalogue_length(m->catalogue, codes_of(m, session, h->item[begin + e], own));
        offsets[i] = total;
        if (len > read)
            memcpy(item + total, h->item + begin + read, (size_t)(len - read) * sizeof *item);
        total += len - read;
    }
    offsets[h->n] = total;
    *in = (source){.batch = h->n, .user = h->user, .item = item, .offsets = offsets, .before = before, .session = session};
    return true;
}

/* Encodes the histories and prepares a decoder for at most cap prefixes a level. Pasts keep, of each encoder block, keys and
 * values of the tokens, and after these, of each decoder block, those of the memory. */
static sg_status decoder_open(decoder *d, sg_session *session, const sg_histories *all, int first, int n,
                              int cap, sg_error *err)
{
    const sg_model *m = session->model;
    const tiger_config *c = m->config;
    const tiger *s = m->state;
    const sg_histories h = sg_histories_rows(all, first, n);
    sg_graph *g = session->graph;
    sg_stack_spec spec = {.block = s->dec,
                          .layers = c->layers,
                          .levels = s->names.levels,
                          .scale = 1,
                          .bias_self = s->bias_dec,
                          .bias_cross = s->bias_cross,
                          .bias_max_distance = c->bucket_distance};
    sg_status st;
    source in;

    sg_graph_begin(g, SG_INFER, 0, 0);
    *d = (decoder){.m = m};
    for (int i = 0; i < 2; i++)
        d->node[i] = sg_scratch(g, (size_t)cap, sizeof *d->node[i]);
    if (!take_items(&in, session, g, &h) || (h.past && !(in.kept = sg_pasts_kept(g, &h, 2 * c->layers))))
        return sg_graph_status(g, err);
    spec.kept = in.kept ? in.kept + (size_t)c->layers * (size_t)n : NULL;
    sg_tensor *memory = encode(m, g, &in);

    if ((st = sg_stack_open(&d->stack, g, &spec, memory, in.tokens, n, cap, err)))
        return st;
    for (int i = 0; h.past && i < n; i++)
        if (!sg_past_note(&h, i, sg_window_begin(&h, i, c->history, c->step)))
            return sg_fail_memory(err, "past of a history");
    return SG_OK;
}

/* STAR's scores of all items for these histories, those of the history at 0 when they will not be asked for. */
static sg_status star_prior(sg_prior *out, sg_session *session, const sg_histories *h, bool seen,
                            sg_error *err)
{
    const sg_model *m = session->model;
    const tiger *s = m->state;
    const size_t n = (size_t)m->n_items;
    sg_graph *g = session->graph;
    float *score = sg_scratch(g, (size_t)h->n, n * sizeof *score);

    if (!score)
        return sg_graph_status(g, err);
    memset(score, 0, (size_t)h->n * n * sizeof *score);
    const sg_status st = sg_sparse_score(session, h, &s->star.vote, score);
    for (int i = 0; seen && i < h->n; i++)
        for (int64_t e = h->offsets[i]; e < h->offsets[i + 1]; e++)
            score[(size_t)i * n + (size_t)h->item[e]] = 0;
    return st ? st : sg_prior_init(out, m->catalogue, h->n, score, session->pool, sg_graph_arena(g), err);
}

static sg_status tiger_recommend(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                                 int32_t *item, float *score, sg_error *err)
{
    enum {
        ROWS = 256
    }; /* prefixes that a thread decodes together: what lies between two layers stays in its cache */
    enum {
        WIDER = 8
    }; /* the second search, against the first: on Beauty 99 of 100 users need 4 times 50 beams */
    const tiger_config *c = session->model->config;
    const int beam_asked = session->beam ? session->beam : c->beam;
    const int beam = beam_asked > k ? beam_asked : k;
    const int rows = ROWS * sg_pool_threads(session->pool), users = beam < rows ? rows / beam : 1;
    const int items = sg_session_items(session);
    const int groups = session->groups > 1 ? session->groups : 1;
    const bool cold = session->cold_share > 0 && session->offer && session->offer->cold && groups == 1;
    const bool by_length = c->length_norm > 0 && groups == 1 && !(session->temperature > 0) && !cold;
    const bool again = !session->plain && groups == 1 && !(session->temperature > 0) && !cold;
    const int wide = !again ? beam : beam < items / WIDER ? WIDER * beam : items;
    const int most = groups > 1     ? (beam + groups - 1) / groups * groups
                     : wide < items ? wide
                                    : items; /* prefixes of a user at a level */
    const float diversity[SG_CATALOGUE_LEVELS_MAX] = {
        session->diversity}; /* first codes keep apart, the others need not */
    float temperature[SG_CATALOGUE_LEVELS_MAX];
    sg_beam_spec spec = {.beam = beam,
                         .k = by_length ? beam : k,
                         .groups = groups,
                         .diversity = diversity,
                         .temperature = session->temperature > 0 ? temperature : NULL,
                         .seed = session->seed,
                         .complete = again ? most : 0,
                         .renormalise = renormalises(c),
                         .allow = f ? f->allow : NULL,
                         .cold = cold ? session->offer->cold : NULL,
                         .cold_share = session->cold_share,
                         .cold_prefix = session->cold_prefix < sg_catalogue_levels(session->model->catalogue) ? session->cold_prefix : 0};
    sg_prior prior;
    sg_status st;
    decoder d;

    if (by_length && c->star > 0)
        return sg_fail(err, SG_ERR_USAGE, "tiger: scores with STAR's are not per code: length_norm or star has to be 0");
    if (c->star > 0 && (groups > 1 || session->temperature > 0))
        return sg_fail(err, SG_ERR_USAGE,
                       "tiger: lists with STAR's scores cannot be spread (groups) or drawn (temperature)");
    for (int l = 0; l < SG_CATALOGUE_LEVELS_MAX; l++)
        temperature[l] = session->temperature;
    for (int first = 0; first < h->n; first += users) {
        const int n = h->n - first < users ? h->n - first : users;

        if ((st = decoder_open(&d, session, h, first, n, n * most, err)))
            return st;
        if (f && f->seen) {
            spec.deny_offsets = h->offsets + first;
            spec.deny = h->item;
        }
        if (c->star > 0) {
            const sg_histories part = sg_histories_rows(h, first, n);

            spec.prior = &prior;
            if ((st = star_prior(&prior, session, &part, f && f->seen, err)))
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

        const size_t here = (size_t)first * (size_t)k, all = (size_t)n * (size_t)beam;
        int32_t *found = by_length ? sg_scratch(session->graph, all, sizeof *found) : item + here;
        float *value = by_length ? sg_scratch(session->graph, all, sizeof *value) : score + here;

        if (!found || !value)
            return sg_graph_status(session->graph, err);
        if ((st = sg_beam_search(found, value, sg_session_catalogue(session), n, &spec, decoder_step, &d, session->pool,
                                 sg_graph_arena(session->graph), err)))
            return st;
        for (size_t i = 0; by_length && i < (size_t)n; i++) {
            sg_rank_by_length(found + i * (size_t)beam, value + i * (size_t)beam, beam, k, sg_session_catalogue(session),
                              (float)c->length_norm);
            memcpy(item + here + i * (size_t)k, found + i * (size_t)beam, (size_t)k * sizeof *item);
            memcpy(score + here + i * (size_t)k, value + i * (size_t)beam, (size_t)k * sizeof *score);
        }
    }
    return SG_OK;
}

static void divide_by_lengths(float *scores, int n, const sg_catalogue *ids, float power)
{
    const int32_t items = sg_catalogue_items(ids);
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];

    for (int32_t i = 0; i < items; i++) {
        if (sg_catalogue_leaf(ids, i) < 0)
            continue;
        sg_catalogue_codes(ids, i, codes);
        for (size_t u = 0; u < (size_t)n; u++)
            scores[u * (size_t)items + (size_t)i] /= powf((float)sg_catalogue_length(ids, codes), power);
    }
}

/* All items, not only those a beam reaches: for exact evaluation. */
static sg_status tiger_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    enum { USERS = 4, ROWS = 2048 };
    const tiger_config *c = session->model->config;
    sg_status st;
    decoder d;

    for (int first = 0; first < h->n; first += USERS) {
        const int n = h->n - first < USERS ? h->n - first : USERS;

        if ((st = decoder_open(&d, session, h, first, n, ROWS, err)) ||
            (st = sg_exact_scores(scores + (size_t)first * (size_t)sg_session_items(session),
                                  sg_session_catalogue(session), n, renormalises(c), ROWS, decoder_step, &d,
                                  session->pool, sg_graph_arena(session->graph), err)))
            return st;
    }
    if (c->length_norm > 0)
        divide_by_lengths(scores, h->n, sg_session_catalogue(session), (float)c->length_norm);
    return c->star > 0
               ? sg_sparse_score(session, h, &((const tiger *)session->model->state)->star.vote, scores)
               : SG_OK;
}

static sg_status tiger_path(sg_session *session, const sg_histories *h, const int32_t *item, int n,
                            float *logp, sg_error *err)
{
    const tiger_config *c = session->model->config;
    sg_status st;
    decoder d;

    if ((st = decoder_open(&d, session, h, 0, 1, n, err)))
        return st;
    return sg_path_scores(logp, sg_session_catalogue(session), item, n, renormalises(c), decoder_step, &d,
                          sg_graph_arena(session->graph), err);
}

/* STAR knows the items of the training alone. */
static bool tiger_living(const sg_model *m)
{
    const tiger_config *c = m->config;

    return c->star == 0;
}

/* An encoder that looks both ways reads everything anew. */
static bool tiger_keeps(const sg_model *m)
{
    const tiger_config *c = m->config;

    return !strcmp(c->augment, "user");
}

static int tiger_past_cut(sg_past *p, int n)
{
    const tiger_config *c = p->model->config;
    const sg_catalogue *ids = p->model->catalogue;

    if (sg_catalogue_ends(ids)) /* how many tokens n events are is not known here: an item may have come later */
        n = 0;
    return sg_kept_past_cut(p, n, n ? (c->user_tokens ? 1 : 0) + n * sg_catalogue_levels(ids) : 0);
}

const sg_model_class sg_model_tiger = {
    .name = "tiger",
    .summary = "encoder-decoder that writes the semantic ID of the next item",
    .paper = "Rajput et al., NeurIPS 2023, arXiv:2305.05065",
    .options = tiger_options,
    .n_options = sizeof tiger_options / sizeof *tiger_options,
    .config_bytes = sizeof(tiger_config),
    .state_bytes = sizeof(tiger),
    .needs_ids = true,
    .living = tiger_living,
    .weights = tiger_weights,
    .init = tiger_init,
    .ready = tiger_ready,
    .fini = tiger_fini,
    .examples = tiger_examples,
    .loss = tiger_loss,
    .recommend = tiger_recommend,
    .score = tiger_score,
    .path = tiger_path,
    .past_bytes = sizeof(sg_kept_past),
    .keeps = tiger_keeps,
    .past_cut = tiger_past_cut,
    .past_size = sg_kept_past_size,
    .past_fini = sg_kept_past_fini,
};
