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
 * leaf=shared leaves the digit out that tells items with equal codes apart: it is not read, nor learned, nor written. Items that share a
 * leaf are ranked in it by how often training saw them: log p(item) = log p(codes) + log (events + 1) / sum over the leaf.
 *
 * star=W adds W times the scores of STAR, what is looked up of items that come together and of their texts, to what the decoder
 * says of an item. The search goes by the sum: a prefix counts the best score of STAR below it.
 *
 * augment=prefix is the paper's training: every prefix of a history is an example of its own, the encoder is
 * bidirectional. augment=user, the default, asks all targets of a user at once: the encoder is causal by item
 * (an item sees itself whole and all before it), so one encoder pass serves every prefix: a target at position
 * t reads the first t items of it. */
#include "models/coder.h"

#include "base/alloc.h"
#include "models/counts.h"
#include "models/star.h"

#include <math.h>
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
      "events by which the window moves when a history is longer; with augment=user, above 1, a server "     \
      "reads "                                                                                               \
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
      "softmax=legal: codes that only items without a training event bear are not learned against, so that " \
      "these may be recommended")                                                                            \
    X(bool, renormalise, false, 0, 1, "softmax=level, decoding: probabilities over codes that exist")        \
    X(choice, leaf, own, 0, 0,                                                                               \
      "own|shared: items with equal codes have a digit that is written like a code; or they share a leaf, "  \
      "in which they are ranked by their training events")                                                   \
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
    sg_coder coder;
    const sg_dataset *data; /* training: borrowed */
    example *examples;      /* owned */
    sg_star star;
} tiger;

/* ---- weights ------------------------------------------------------------------------------------------- */
static sg_status tiger_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;

    if (!strcmp(c->leaf, "shared") && m->catalogue &&
        (sg_catalogue_ends(m->catalogue) || sg_catalogue_levels(m->catalogue) < 2))
        return sg_fail(err, SG_ERR_USAGE,
                       "tiger: leaf=shared: expected IDs of one length with a digit behind their codes");
    return sg_coder_declare(&s->coder, m, seed,
                            &(sg_coder_spec){.dim = c->dim,
                                             .layers = c->layers,
                                             .heads = c->heads,
                                             .head_dim = c->head_dim,
                                             .ffn = c->ffn,
                                             .act = c->act,
                                             .gated = c->gated,
                                             .dropout = (float)c->dropout,
                                             .history = c->history,
                                             .step = c->step,
                                             .causal = !strcmp(c->augment, "user"),
                                             .user_tokens = c->user_tokens,
                                             .prefix_vectors = c->prefix_vectors,
                                             .cross_bias = c->cross_bias,
                                             .buckets = c->buckets,
                                             .bucket_distance = c->bucket_distance,
                                             .tied = c->tied,
                                             .init_sd = c->init_sd,
                                             .legal = !strcmp(c->softmax, "legal"),
                                             .renormalise = c->renormalise,
                                             .shared = !strcmp(c->leaf, "shared"),
                                             .length_norm = (float)c->length_norm},
                            err);
}

/* log (events + 1) of each item, for leaves that items share. */
static sg_status count_events(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const char *digit = t->ids && t->ids->file ? sg_tensors_meta(t->ids->file, "collision_digit") : "true";
    float *weight;
    int64_t *count;
    sg_status st;

    if (!digit || strcmp(digit, "true") != 0)
        return sg_fail(
            err, SG_ERR_USAGE,
            "tiger: leaf=shared: expected IDs with a digit behind their codes, found IDs without one");
    if ((st = sg_count_items(&count, t, false, err)))
        return st;
    if ((weight = sg_alloc_array((size_t)m->n_items, sizeof *weight)))
        for (int32_t i = 0; i < m->n_items; i++)
            weight[i] = logf((float)count[i] + 1);
    sg_free(count);
    return weight ? sg_model_array_put(m, "leaf.weight", SG_DT_F32, 1, (uint64_t[]){(uint64_t)m->n_items},
                                       weight, err)
                  : sg_fail_memory(err, "events of items");
}

static sg_status need_leaves(sg_model *m, sg_error *err)
{
    const sg_model_array *a;
    tiger *s = m->state;
    const sg_status st =
        sg_model_array_need(&a, m, "leaf.weight", SG_DT_F32, 1, (int64_t[]){m->n_items}, err);

    if (st)
        return st;
    s->coder.leaf = a->data;
    for (int32_t i = 0; i < m->n_items; i++)
        if (!(s->coder.leaf[i] >= 0 && s->coder.leaf[i] < 100))
            return sg_fail(err, SG_ERR_FORMAT,
                           "array 'leaf.weight': expected the logarithms of numbers of events");
    return SG_OK;
}

static sg_status tiger_ready(sg_model *m, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;
    const sg_status st = s->coder.spec.shared ? need_leaves(m, err) : SG_OK;

    if (st)
        return st;
    return c->star > 0 ? sg_star_need(&s->star, m, c->star, err) : SG_OK;
}

static sg_status tiger_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;
    sg_status st = SG_OK;

    if (c->leave_unseen && !s->coder.spec.legal)
        return sg_fail(err, SG_ERR_USAGE, "tiger: leave_unseen: expected softmax=legal, found %s",
                       c->softmax);
    if (c->content > 0 && !c->prefix_vectors)
        return sg_fail(err, SG_ERR_USAGE,
                       "tiger: content: expected prefix_vectors=true, which it is the start of");
    if (s->coder.names.prefix && c->content > 0 &&
        (st = sg_names_content(&s->coder.names, t, NULL, c->content * c->init_sd, err)))
        return st;
    if ((s->coder.spec.shared && (st = count_events(m, t, err))) ||
        (c->star > 0 && (st = sg_star_fit(m, c->star_text, t, err))))
        return st;
    return tiger_ready(m, err); /* validation asks before training ends */
}

static void tiger_fini(sg_model *m)
{
    tiger *s = m->state;

    sg_coder_free(&s->coder);
    sg_free(s->examples);
}

/* ---- training ------------------------------------------------------------------------------------------ */
static sg_status tiger_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const tiger_config *c = m->config;
    tiger *s = m->state;
    size_t cap = 0;

    const sg_status st = c->leave_unseen ? sg_names_known(&s->coder.names, t, NULL, err) : SG_OK;

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
static int written(const tiger *s, int32_t item)
{
    const int length = sg_coder_length(&s->coder, item);

    return length < s->coder.names.learned && !s->coder.spec.legal ? length + 1 : length;
}

static sg_tensor *tiger_loss(sg_model *m, sg_graph *g, const uint32_t *example_no, int n, uint64_t seed,
                             uint64_t step)
{
    const tiger_config *c = m->config;
    const tiger *s = m->state;
    const sg_names *w = &s->coder.names;
    const int L = w->levels;
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
            R += written(s, s->data->item[ev]);
    }
    offsets[n] = items;
    rows[n] = R;

    int32_t *item = sg_scratch(g, (size_t)items + 1, sizeof *item);
    int32_t *own = sg_scratch(g, (size_t)targets + 1, sizeof *own); /* rows of each target */
    int32_t *target_item = sg_scratch(g, (size_t)targets + 1, sizeof *target_item);
    int32_t *arrays = sg_scratch(g, 6 * (size_t)R, sizeof *arrays);
    if (!item || !own || !target_item || !arrays)
        return NULL;
    int32_t *id = arrays, *limit = arrays + R, *begin = arrays + 2 * R, *size = arrays + 3 * R,
            *target = arrays + 4 * R;
    int32_t *prefix = arrays + 5 * R;
    int r = 0, t = 0;
    for (int i = 0; i < n; i++) {
        const example *e = &s->examples[example_no[i]];
        int read = c->user_tokens ? 1 : 0;

        memcpy(item + offsets[i], s->data->item + e->begin, (size_t)(e->last - e->begin) * sizeof *item);
        for (int64_t ev = e->begin; ev < e->first; ev++)
            read += sg_coder_length(&s->coder, s->data->item[ev]);
        for (int64_t ev = e->first; ev <= e->last; ev++) {
            const int32_t *code = m->codes + (size_t)s->data->item[ev] * (size_t)L;
            const int length = written(s, s->data->item[ev]);

            target_item[t] = s->data->item[ev];
            own[t++] = r;
            for (int l = 0; l < length; l++, r++) {
                id[r] = l ? w->first[l - 1] + code[l - 1] : s->coder.bos;
                prefix[r] =
                    w->prefix && l ? w->node[(size_t)s->data->item[ev] * (size_t)L + (size_t)l - 1] : -1;
                limit[r] = read;
                begin[r] = w->first[l];
                size[r] = w->size[l];
                target[r] = w->first[l] + code[l];
            }
            read += sg_coder_length(&s->coder, s->data->item[ev]);
        }
    }
    own[targets] = R;

    sg_coder_source in = {.batch = n, .user = user, .item = item, .offsets = offsets};
    sg_tensor *memory = sg_coder_encode(g, &s->coder, &in);
    sg_tensor *x = sg_coder_write(
        g, &s->coder, sg_coder_embed(g, &s->coder, id, prefix, R), memory,
        &(sg_coder_written){
            .targets = targets, .batch = n, .own = own, .rows = rows, .limit = limit, .tokens = in.tokens});
    if (!strcmp(c->softmax, "legal"))
        return sg_names_loss_legal(g, w, x, target_item, targets, (float)c->label_smoothing);
    return sg_softmax_ce_range(g, x, w->head, begin, size, target, NULL, w->scale, (float)c->label_smoothing);
}

/* ---- decoding ------------------------------------------------------------------------------------------ */
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
    const tiger_config *c = session->model->config;
    const tiger *s = session->model->state;

    if (c->star > 0 && (session->groups > 1 || session->temperature > 0))
        return sg_fail(err, SG_ERR_USAGE,
                       "tiger: lists with STAR's scores cannot be spread (groups) or drawn (temperature)");
    if (c->star > 0 && c->length_norm > 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "tiger: scores with STAR's are not per code: length_norm or star has to be 0");
    return sg_coder_recommend(&s->coder, session, h, f, k, c->beam, c->star > 0 ? star_prior : NULL, item,
                              score, err);
}

/* Scores (n, items) by the number of codes. */
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
    const tiger_config *c = session->model->config;
    const tiger *s = session->model->state;
    const sg_status st = sg_coder_score(&s->coder, session, h, scores, err);

    if (!st && c->length_norm > 0)
        divide_by_lengths(scores, h->n, sg_session_catalogue(session), (float)c->length_norm);
    return !st && c->star > 0 ? sg_sparse_score(session, h, &s->star.vote, scores) : st;
}

static sg_status tiger_path(sg_session *session, const sg_histories *h, const int32_t *item, int n,
                            float *logp, sg_error *err)
{
    const tiger *s = session->model->state;

    return sg_coder_path(&s->coder, session, h, item, n, logp, err);
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
    const tiger *s = p->model->state;

    return sg_coder_past_cut(&s->coder, p, n);
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
