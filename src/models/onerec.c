/* onerec.c - one encoder-decoder that writes what a user is shown next, several items at a time, and is aligned with what users
 * like.   [Deng et al. 2025, arXiv:2502.18965]
 *
 *   encoder  a1 .. aL b1 .. bL ...              as TIGER's, causal by item (models/coder.h)
 *   decoder  [BOS d1 .. dL][BOS e1 .. eL] ...   all items of a slate (the paper: session), each code from all before it; the
 *                                               feed-forward parts are experts, two of which each token asks (nn/moe.h)
 *   loss     cross-entropy of each code over the codes of its level
 *   spread   + balance (Switch's), the mean over the decoder's blocks, so that all experts are asked (nn/moe.h)
 *   aligned  + lambda DPO: the model's own best slate against its worst, by a reward model (models/align.h)
 *
 * A slate is `items` events in a row, fewer where the history ends; items=1 is TIGER with experts. Rounds of alignment are trainings
 * that start from a model (init) and have a reward: what they start from is the reference.
 *
 * Lists: by the log-probability that an item comes first, as TIGER's (list=next); or, of the slates that beam search finds, by the log
 * of the share, by probability, of those that have it (list=slates).
 * Where we differ: sessions are runs of events, not visits; the paper asks 24 experts of a decoder 10 times as deep, and does not say what
 * keeps them in use. */
#include "models/align.h"

#include "base/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONEREC_OPTIONS(X)                                                                                    \
    X(int, dim, 128, 4, 4096, "width of token vectors")                                                      \
    X(int, layers, 4, 1, 64, "encoder blocks, and as many decoder blocks")                                   \
    X(int, heads, 4, 1, 64, "attention heads")                                                               \
    X(int, head_dim, 32, 4, 512, "width of an attention head")                                               \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward part, of each expert")                       \
    X(choice, act, relu, 0, 0, "relu|gelu|silu: activation of the feed-forward part")                        \
    X(bool, gated, false, 0, 1, "gated feed-forward (T5 1.1)")                                               \
    X(int, experts, 8, 0, 64, "experts of a decoder block (paper: 24; 0: one feed-forward part)")            \
    X(int, top, 2, 1, 64, "experts that a token asks")                                                       \
    X(float, balance, 0, 0, 100, "weight of the loss that lets experts be asked alike (0: none)")            \
    X(float, dropout, 0.1, 0, 0.9, "share of activations dropped while training")                            \
    X(int, history, 20, 1, 2048, "items of the history that are read, the latest (paper: 256)")              \
    X(int, items, 5, 1, 16, "items of a slate")                                                              \
    X(bool, prefix_vectors, false, 0, 1,                                                                     \
      "a token also carries a vector of its whole prefix, not its code alone")                               \
    X(float, content, 0, 0, 10,                                                                              \
      "prefix_vectors: prefixes start from item vectors of this spread (0: from nothing)")                   \
    X(bool, cross_bias, true, 0, 1, "the decoder knows how far back a history token is")                     \
    X(int, buckets, 32, 4, 512, "relative position buckets")                                                 \
    X(int, bucket_distance, 128, 8, 65536, "distance from which all positions share a bucket")               \
    X(bool, tied, true, 0, 1, "output table = input table")                                                  \
    X(float, init_sd, 1, 0.0001, 10, "spread of the stored token vectors; read as vector / init_sd")         \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all codes of the level")            \
    X(choice, list, next, 0, 0, "next|slates: a list goes by what comes next, or by the slates found")       \
    X(int, beam, 20, 1, 100000, "prefixes (list=slates: slates) kept while decoding")                        \
    X(int, branch, 4, 1, 1000, "items that a slate is continued by before the best are kept")                \
    X(text, init, , 0, 255, "folder of a onerec model whose weights are the start")                          \
    X(text, reward, , 0, 255, "alignment: folder of the onerec-reward that judges (empty: none)")            \
    X(float, reward_least, 0.6, 0, 1,                                                                        \
      "alignment: the judge must be right about this share of held-out pairs (0: any)")                      \
    X(float, beta, 1, 0, 100,                                                                                \
      "alignment: how soon a pair counts as told apart: the scale of DPO's log-ratios")                      \
    X(float, lambda, 0.05, 0, 100, "alignment: weight of its loss")                                          \
    X(float, share, 0.01, 0, 1, "alignment: share of the examples that it writes slates for")                \
    X(int, responses, 32, 2, 100000, "alignment: slates written for each (paper: 128)")                      \
    X(float, gap, 0.001, 0, 1, "alignment: rewards of the best and the worst must be further apart")         \
    X(choice, pairs, reward, 0, 0, "reward|random: best against worst, or any two: a control")

typedef struct onerec_config {
    ONEREC_OPTIONS(SG_OPTION_FIELD)
} onerec_config;
#define SG_OPTION_STRUCT onerec_config
static const sg_option onerec_options[] = {ONEREC_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { WATCHED = 64 }; /* examples whose loss is watched beside the alignment */

typedef struct onerec {
    sg_coder coder;
    const sg_train_data *train; /* training: borrowed */
    sg_align_example *examples; /* owned */
    size_t n;
    uint64_t
        draws; /* seed of a round: the training's and the weights it begins with, so that the next round asks others */
    sg_align align;
} onerec;

/* ---- weights ------------------------------------------------------------------------------------------- */

static sg_status onerec_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const onerec_config *c = m->config;
    onerec *s = m->state;

    s->draws = seed;
    if (c->experts && c->top > c->experts)
        return sg_fail(err, SG_ERR_USAGE, "onerec: top: expected at most experts=%d, found %d", c->experts,
                       c->top);
    if (m->catalogue && sg_catalogue_ends(m->catalogue))
        return sg_fail(err, SG_ERR_USAGE,
                       "onerec: expected IDs of one length, found IDs that end early (alit)");
    return sg_coder_declare(&s->coder, m, seed,
                            &(sg_coder_spec){.dim = c->dim,
                                             .layers = c->layers,
                                             .heads = c->heads,
                                             .head_dim = c->head_dim,
                                             .ffn = c->ffn,
                                             .act = c->act,
                                             .gated = c->gated,
                                             .experts = c->experts,
                                             .top = c->top,
                                             .dropout = (float)c->dropout,
                                             .history = c->history,
                                             .step = 1,
                                             .causal = true,
                                             .prefix_vectors = c->prefix_vectors,
                                             .cross_bias = c->cross_bias,
                                             .buckets = c->buckets,
                                             .bucket_distance = c->bucket_distance,
                                             .tied = c->tied,
                                             .init_sd = c->init_sd},
                            err);
}

static const sg_option *option_of(const char *name)
{
    return sg_options_find(onerec_options, sizeof onerec_options / sizeof *onerec_options, name);
}

/* What an alignment needs, and what nothing but an alignment reads. */
static sg_status check_alignment(const onerec_config *c, sg_error *err)
{
    static const char *const of[] = {"reward_least", "beta", "lambda", "share", "responses", "gap", "pairs"};

    if (c->reward[0] && !c->init[0])
        return sg_fail(err, SG_ERR_USAGE,
                       "onerec: reward: expected init=DIR beside it, the model that is aligned");
    for (size_t i = 0; !c->reward[0] && i < sizeof of / sizeof *of; i++)
        if (!sg_option_is_initial(c, option_of(of[i])))
            return sg_fail(err, SG_ERR_USAGE,
                           "onerec: %s: expected reward=DIR beside it, the judge of an alignment", of[i]);
    return SG_OK;
}

/* Options that say what the weights are and what they were trained to write; those of training and of lists may differ. */
static sg_status check_options(const onerec_config *here, const onerec_config *there, const char *dir,
                               sg_error *err)
{
    static const char *const same[] = {"dim",   "layers",         "heads",      "head_dim", "ffn",
                                       "act",   "gated",          "experts",    "top",      "history",
                                       "items", "prefix_vectors", "cross_bias", "buckets",  "bucket_distance",
                                       "tied",  "init_sd"};
    sg_status st = SG_OK;

    for (size_t i = 0; !st && i < sizeof same / sizeof *same; i++) {
        sg_buf own = {0}, start = {0};

        sg_options_print(&own, here, option_of(same[i]));
        sg_options_print(&start, there, option_of(same[i]));
        if (own.failed || start.failed)
            st = sg_fail_memory(err, "options");
        else if (strcmp(own.data, start.data) != 0)
            st = sg_fail(err, SG_ERR_USAGE, "onerec: %s=%s: expected %s as init=%s has it", same[i], own.data,
                         start.data, dir);
        sg_buf_free(&own);
        sg_buf_free(&start);
    }
    return st;
}

/* The weights of another model of this shape, over the same IDs. */
static sg_status copy_weights(sg_model *m, const sg_model *from, const char *dir, sg_error *err)
{
    const size_t codes = (size_t)m->n_items * (size_t)sg_catalogue_levels(m->catalogue);
    sg_status st;

    if (from->class != m->class)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a onerec model to start from, found %s", dir,
                       from->class->name);
    if ((st = check_options(m->config, from->config, dir, err)))
        return st;
    if (from->n_items != m->n_items ||
        sg_catalogue_levels(from->catalogue) != sg_catalogue_levels(m->catalogue) ||
        memcmp(from->codes, m->codes, codes * sizeof *m->codes) != 0)
        return sg_fail(err, SG_ERR_USAGE, "%s: its semantic IDs are not those of the data", dir);
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];
        const sg_param *q = sg_params_find(&from->params, p->name);

        assert(q && q->count == p->count); /* the same options and IDs */
        memcpy(p->value, q->value, p->count * sizeof *p->value);
        p->version++;
    }
    return SG_OK;
}

static sg_status onerec_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const onerec_config *c = m->config;
    onerec *s = m->state;
    sg_model *from = NULL;
    sg_status st = check_alignment(c, err);

    if (st)
        return st;
    if (c->content > 0 && !c->prefix_vectors)
        return sg_fail(err, SG_ERR_USAGE,
                       "onerec: content: expected prefix_vectors=true, which it is the start of");
    if (!c->init[0])
        return s->coder.names.prefix && c->content > 0
                   ? sg_names_content(&s->coder.names, t, NULL, c->content * c->init_sd, err)
                   : SG_OK;
    if (!(st = sg_model_open(&from, c->init, err)))
        st = copy_weights(m, from, c->init, err);
    if (!st) {
        char digits[17];

        snprintf(digits, sizeof digits, "%.16s", from->sha256);
        s->draws ^= strtoull(digits, NULL, 16);
    }
    sg_model_free(from);
    return st;
}

static void onerec_fini(sg_model *m)
{
    onerec *s = m->state;

    sg_align_free(&s->align);
    sg_coder_free(&s->coder);
    sg_free(s->examples);
}

/* ---- training ------------------------------------------------------------------------------------------ */

/* Runs of history + 1 events as TIGER's with augment=user; a slate begins at each event of the later half, of all in the first run. */
static sg_status onerec_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const onerec_config *c = m->config;
    onerec *s = m->state;
    const int64_t step = c->history > 1 ? c->history / 2 : 1;
    size_t cap = 0;

    s->train = t;
    s->n = 0;
    for (int32_t u = 0; u < t->data->n_users; u++) {
        const int64_t begin = t->data->user_offsets[u], end = t->split->train_end[u];

        for (int64_t first = begin + 1; first < end;) {
            int64_t last = first == begin + 1 ? begin + c->history : first + step - 1;

            last = last < end ? last : end - 1;
            if (!sg_grow(&s->examples, &cap, s->n + 1, sizeof *s->examples))
                return sg_fail_memory(err, "onerec examples");
            s->examples[s->n++] =
                (sg_align_example){u, last - begin > c->history ? last - c->history : begin, first, last};
            first = last + 1;
        }
    }
    *n = s->n;
    return c->reward[0] && s->n ? sg_align_start(&s->align, m, &s->coder, t, s->examples, s->n,
                                                 &(sg_align_spec){.reward = c->reward,
                                                                  .least = c->reward_least,
                                                                  .share = c->share,
                                                                  .responses = c->responses,
                                                                  .branch = c->branch,
                                                                  .items = c->items,
                                                                  .gap = c->gap,
                                                                  .random = !strcmp(c->pairs, "random"),
                                                                  .beta = c->beta,
                                                                  .seed = s->draws},
                                                 err)
                                : SG_OK;
}

/* Cross-entropy of all slates of the examples. load: NULL, or what the experts were asked. */
static sg_tensor *next_codes(sg_model *m, sg_graph *g, const uint32_t *example, int n, sg_moe_load *load)
{
    const onerec_config *c = m->config;
    const onerec *s = m->state;
    const sg_names *w = &s->coder.names;
    const sg_dataset *d = s->train->data;
    size_t items = 0, slates = 0;
    sg_slate_rows b;

    for (int i = 0; i < n; i++) {
        const sg_align_example *e = &s->examples[example[i]];

        items += (size_t)(e->last - e->begin);
        slates += (size_t)(e->last - e->first) + 1;
    }
    if (!sg_slate_rows_take(&b, g, &s->coder, n, items, slates, slates * (size_t)c->items))
        return NULL;
    b.load = load;
    for (int i = 0; i < n; i++) {
        const sg_align_example *e = &s->examples[example[i]];
        const int64_t end = s->train->split->train_end[e->user];

        sg_slate_rows_example(&b, e->user, d->item + e->begin, (int)(e->last - e->begin));
        for (int64_t t = e->first; t <= e->last; t++)
            sg_slate_rows_add(&b, &s->coder, (int)(t - e->begin), d->item + t,
                              (int)(end - t < c->items ? end - t : c->items));
    }
    return sg_softmax_ce_range(g, sg_slate_rows_forward(g, &s->coder, &b), w->head, b.begin, b.size, b.target,
                               NULL, w->scale, (float)c->label_smoothing);
}

static sg_tensor *onerec_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                              uint64_t step)
{
    const onerec_config *c = m->config;
    onerec *s = m->state;
    sg_moe_load load = {0};
    sg_tensor *loss = next_codes(m, g, example, n, c->balance > 0 ? &load : NULL);

    if (load.blocks)
        loss = sg_plus(g, loss, sg_scale(g, load.balance, (float)(c->balance / load.blocks)));
    sg_tensor *dpo = s->align.n && c->lambda > 0 ? sg_align_loss(g, &s->align, example, n) : NULL;

    return dpo ? sg_plus(g, loss, sg_scale(g, dpo, (float)c->lambda)) : loss;
}

/* For each decoder block, by number, the share of what was asked that each expert was asked; NULL: out of memory. */
static json_t *shares(const int64_t *asked, int blocks, int experts)
{
    json_t *all_blocks = json_object();
    bool bad = !all_blocks;
    char name[16];

    for (int b = 0; b < blocks; b++, asked += experts) {
        json_t *block = json_array();
        int64_t all = 0;

        for (int e = 0; e < experts; e++)
            all += asked[e];
        for (int e = 0; e < experts; e++)
            bad = json_array_append_new(block, json_real(all ? (double)asked[e] / (double)all : 0)) || bad;
        snprintf(name, sizeof name, "%d", b);
        bad = json_object_set_new(all_blocks, name, block) || bad;
    }
    if (!bad)
        return all_blocks;
    json_decref(all_blocks);
    return NULL;
}

/* What the first examples ask of which expert; of an alignment its own figures, and the loss of the codes, which it must not raise. */
static sg_status onerec_notes(sg_model *m, const sg_train_data *t, sg_pool *pool, json_t *notes,
                              sg_error *err)
{
    onerec *s = m->state;
    const int n = (int)(s->n < WATCHED ? s->n : WATCHED);
    uint32_t example[WATCHED];
    const onerec_config *c = m->config;
    sg_moe_load load = {0};
    sg_graph *g;
    sg_status st;

    if ((!s->align.n && !c->experts) || n == 0)
        return SG_OK;
    if (s->align.n && (st = sg_align_notes(&s->align, pool, notes, err)))
        return st;
    if (c->experts &&
        !(load.asked = sg_alloc_zero((size_t)c->layers * (size_t)c->experts, sizeof *load.asked)))
        return sg_fail_memory(err, "training notes");
    if ((st = sg_graph_new(&g, pool, SG_F32, err))) {
        sg_free(load.asked);
        return st;
    }
    for (int i = 0; i < n; i++)
        example[i] = (uint32_t)i;
    sg_graph_begin(g, SG_INFER, 0, 0);
    const sg_tensor *loss = next_codes(m, g, example, n, c->experts ? &load : NULL);
    if (!(st = sg_graph_status(g, err)) &&
        ((s->align.n && json_object_set_new(notes, "ntp_loss", json_real((double)loss->data[0]))) ||
         (c->experts && json_object_set_new(notes, "experts", shares(load.asked, load.blocks, c->experts)))))
        st = sg_fail_memory(err, "training notes");
    sg_graph_free(g);
    sg_free(load.asked);
    return st;
}

/* ---- lists --------------------------------------------------------------------------------------------- */

typedef struct entry {
    int32_t item, place; /* where it was found first */
    double mass;
} entry;

static int by_item(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    return x->item != y->item ? (x->item > y->item) - (x->item < y->item)
                              : (x->place > y->place) - (x->place < y->place);
}

static int by_mass(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    return x->mass != y->mass ? (x->mass < y->mass ? 1 : -1) : (x->place > y->place) - (x->place < y->place);
}

/* k items of the slates (beams, items) and, behind them, of the likeliest first ones, n_lead, however long the list; -1 where they have
 * no more. all: scratch. */
static void list_items(int32_t *out, float *score, int k, const onerec_config *c, int beams,
                       const int32_t *item, const float *logp, const int32_t *lead, const float *lead_logp,
                       int n_lead, entry *all)
{
    const double behind = 1e-6; /* less than what any slate that was kept counts, but for order */
    double sum = 0;
    int n = 0, distinct = 0;

    for (int b = 0; b < beams; b++)
        sum += isfinite(logp[b]) ? exp((double)logp[b] - (double)logp[0]) : 0;
    for (int b = 0; b < beams; b++)
        for (int i = 0; i < c->items && isfinite(logp[b]) && item[b * c->items + i] >= 0; i++, n++)
            all[n] = (entry){item[b * c->items + i], n, exp((double)logp[b] - (double)logp[0]) / sum};
    for (int i = 0; i < n_lead && lead[i] >= 0; i++, n++)
        all[n] = (entry){lead[i], n, behind * exp((double)lead_logp[i])};
    qsort(all, (size_t)n, sizeof *all, by_item);
    for (int i = 0; i < n; i++)
        if (distinct && all[distinct - 1].item == all[i].item)
            all[distinct - 1].mass += all[i].mass;
        else
            all[distinct++] = all[i];
    qsort(all, (size_t)distinct, sizeof *all, by_mass);
    for (int i = 0; i < k; i++) {
        out[i] = i < distinct ? all[i].item : -1;
        score[i] = i < distinct ? (float)log(fmax(all[i].mass, 1e-300)) : -INFINITY;
    }
}

/* Behind what a list (k) has, by what comes next: their scores are moved down below the last of the list. */
static void append_next(int32_t *item, float *score, int k, const int32_t *next, const float *logp)
{
    float down = 0;
    int n = 0, have;

    while (n < k && item[n] >= 0)
        n++;
    have = n;
    for (int i = 0; i < k && n < k && next[i] >= 0; i++) {
        int at = 0;

        while (at < have && item[at] != next[i])
            at++;
        if (at < have)
            continue;
        if (n == have)
            down = have && logp[i] > score[have - 1] ? logp[i] - score[have - 1] : 0;
        item[n] = next[i];
        score[n++] = have ? fminf(logp[i] - down, score[have - 1]) : logp[i];
    }
}

/* Lists that the slates do not fill: the rest as list=next has it, whose lists do not depend on their length either. */
static sg_status fill_up(sg_session *session, const sg_histories *h, const sg_filter *f, int k, int32_t *item,
                         float *score, sg_error *err)
{
    const onerec_config *c = session->model->config;
    const onerec *s = session->model->state;
    const size_t length = (size_t)k, all = (size_t)h->n * length;
    int32_t *next;
    float *logp;
    size_t full = 0;
    sg_status st;

    while (full < all && item[full + length - 1] >= 0)
        full += length;
    if (full == all)
        return SG_OK;
    next = sg_alloc_array(all, sizeof *next);
    logp = sg_alloc_array(all, sizeof *logp);
    st = next && logp ? sg_coder_recommend(&s->coder, session, h, f, k, c->beam, NULL, next, logp, err)
                      : sg_fail_memory(err, "lists");
    for (size_t at = 0; !st && at < all; at += length)
        append_next(item + at, score + at, k, next + at, logp + at);
    sg_free(next);
    sg_free(logp);
    return st;
}

static sg_status list_slates(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                             int32_t *item, float *score, sg_error *err)
{
    enum { ROWS = 2048 }; /* prefixes that are decoded together */
    const onerec_config *c = session->model->config;
    const onerec *s = session->model->state;
    const sg_slate_spec spec = {.items = c->items,
                                .beams = session->beam ? session->beam : c->beam,
                                .branch = c->branch,
                                .seen = f && f->seen,
                                .allow = f ? f->allow : NULL};
    const int n_lead = spec.beams, wide = spec.beams * 2 * spec.branch;
    const int users = wide < ROWS ? ROWS / wide : 1;
    const size_t slates = (size_t)users * (size_t)spec.beams, leads = (size_t)users * (size_t)n_lead;
    int32_t *found = sg_alloc_array(slates * (size_t)c->items, sizeof *found),
            *lead = sg_alloc_array(leads, sizeof *lead);
    float *logp = sg_alloc_array(slates, sizeof *logp), *lead_logp = sg_alloc_array(leads, sizeof *lead_logp);
    entry *all = sg_alloc_array((size_t)spec.beams * (size_t)c->items + (size_t)n_lead, sizeof *all);
    sg_status st = found && lead && logp && lead_logp && all ? SG_OK : sg_fail_memory(err, "slates");

    for (int first = 0; !st && first < h->n; first += users) {
        const int n = h->n - first < users ? h->n - first : users;

        if ((st = sg_slates_find(found, logp, lead, lead_logp, n_lead, &s->coder, session, h, first, n, &spec,
                                 err)))
            break;
        for (int u = 0; u < n; u++) {
            const size_t at = (size_t)(first + u) * (size_t)k, b = (size_t)u * (size_t)spec.beams;

            list_items(item + at, score + at, k, c, spec.beams, found + b * (size_t)c->items, logp + b,
                       lead + (size_t)u * (size_t)n_lead, lead_logp + (size_t)u * (size_t)n_lead, n_lead,
                       all);
        }
    }
    sg_free(found);
    sg_free(lead);
    sg_free(logp);
    sg_free(lead_logp);
    sg_free(all);
    return st ? st : fill_up(session, h, f, k, item, score, err);
}

static bool lists_slates(const sg_session *session)
{
    return !strcmp(((const onerec_config *)session->model->config)->list, "slates");
}

static sg_status onerec_recommend(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                                  int32_t *item, float *score, sg_error *err)
{
    const onerec_config *c = session->model->config;
    const onerec *s = session->model->state;

    if (!lists_slates(session))
        return sg_coder_recommend(&s->coder, session, h, f, k, c->beam, NULL, item, score, err);
    if (session->groups > 1 || session->temperature > 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "onerec: list=slates: lists cannot be spread (groups) or drawn (temperature); "
                       "expected list=next");
    return list_slates(session, h, f, k, item, score, err);
}

static sg_status onerec_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const onerec *s = session->model->state;

    if (lists_slates(session))
        return sg_fail(
            err, SG_ERR_USAGE,
            "onerec: list=slates: items have no score but that of a list's slates; expected list=next");
    return sg_coder_score(&s->coder, session, h, scores, err);
}

static sg_status onerec_path(sg_session *session, const sg_histories *h, const int32_t *item, int n,
                             float *logp, sg_error *err)
{
    const onerec *s = session->model->state;

    if (lists_slates(session))
        return sg_fail(err, SG_ERR_USAGE,
                       "onerec: list=slates: slates give an item its score, no path of codes does: expected "
                       "list=next to explain");
    return sg_coder_path(&s->coder, session, h, item, n, logp, err);
}

const sg_model_class sg_model_onerec = {
    .name = "onerec",
    .summary = "encoder-decoder with experts that writes the semantic IDs of several items; can be aligned "
               "with a reward",
    .paper = "Deng et al. 2025, arXiv:2502.18965",
    .options = onerec_options,
    .n_options = sizeof onerec_options / sizeof *onerec_options,
    .config_bytes = sizeof(onerec_config),
    .state_bytes = sizeof(onerec),
    .needs_ids = true,
    .weights = onerec_weights,
    .init = onerec_init,
    .fini = onerec_fini,
    .examples = onerec_examples,
    .loss = onerec_loss,
    .notes = onerec_notes,
    .recommend = onerec_recommend,
    .score = onerec_score,
    .path = onerec_path,
};
