/* bm25.c - documents by the words that they share with a query.   [Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework"]
 *
 *   score(q, d) = sum over the words w of q of  idf(w) * c(w, d) / (c(w, d) + k1 (1 - b + b |d| / mean |d|))
 *   idf(w)      = log(1 + (N - n(w) + 1/2) / (n(w) + 1/2))
 *
 * c(w, d): places of w in d; |d|: words of d; n(w): documents that hold w, of N. A word that stands twice in the query counts twice.
 * idf is Lucene's, which is above 0 for every word; the factor k1 + 1 that others put in front of c(w, d) orders nothing. Nothing is
 * learned but by counting, and k1 and b may be others when a folder is opened than they were in training. Their defaults are
 * Lucene's, which are a little ahead of Anserini's .9 and .4 on the training queries of SciFact and the dev queries of NFCorpus.
 *
 * Only documents that share a word are touched, a word's list at a time, the word that can give most first. Once the k-th best sum so
 * far is out of reach of a document that has none yet, the other words only add to what was found; once it is out of reach of a found
 * one, that is dropped. A document's sum is added up in the same order whether or not anything was left out, so lists are exact to
 * the last bit. Equal scores stand by falling id, as trec_eval has them. */
#include "base/alloc.h"
#include "models/postings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BM25_OPTIONS(X)                                                                                      \
    X(float, k1, 1.2, 0, 1000, "how much further places of a word in a document add (0: nothing)")           \
    X(float, b, 0.75, 0, 1, "how much less a word of a longer document says (0: no less)")                   \
    X(bool, stop_words, false, 0, 1, "English words that say nothing ('the', 'of') count, too")              \
    X(text, stemmer, "", 0, 31,                                                                              \
      "words without their endings, as libstemmer cuts them: english, porter, german ... (empty: as they "   \
      "are)")

typedef struct bm25_config {
    BM25_OPTIONS(SG_OPTION_FIELD)
} bm25_config;
#define SG_OPTION_STRUCT bm25_config
static const sg_option bm25_options[] = {BM25_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct bm25 {
    sg_lexicon lexicon;
    sg_postings lists;
    float *norm; /* owned (n_items): k1 (1 - b + b |d| / mean |d|) */
    float *idf;  /* owned (words) */
    float *most; /* owned (words): of all documents the largest c / (c + norm) */
} bm25;

typedef struct term { /* a word of the query */
    int32_t word;
    float weight, most; /* idf, as often as it stands there; what a document can get by it */
    double rest;        /* what it can get by this one and all after it */
} term;

typedef struct desk { /* one thread's */
    sg_lexicon_room room;
    float *sum;     /* owned (n_items): 0 but at those found, and at all between queries */
    int32_t *found; /* owned (n_items) */
    size_t n_found;
    term *term; /* owned */
    size_t n_terms, cap_terms;
    sg_error err;
} desk;

typedef struct bm25_session {
    desk *desk; /* owned */
    int n;
} bm25_session;

static sg_word_form form_of(const bm25_config *c)
{
    return (sg_word_form){.drop_stop = !c->stop_words, .stemmer = *c->stemmer ? c->stemmer : NULL};
}

/* ---- counting ---- */

static void document_text(void *ctx, size_t i, sg_buf *out)
{
    sg_lexicon_document(out, ctx, i);
}

static sg_status bm25_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                          sg_error *err)
{
    const sg_word_form form = form_of(m->config);
    sg_lexicon *x = &((bm25 *)m->state)->lexicon;
    sg_status st;

    if ((st = sg_lexicon_fit(m, INT32_MAX, &form, document_text, (void *)(uintptr_t)t->data,
                             (size_t)t->data->n_items, err)) ||
        (st = sg_lexicon_need(x, m, INT32_MAX, 0, &form, err)))
        return st;
    return sg_postings_fit(m, t->data, x, pool, err);
}

static void bm25_fini(sg_model *m)
{
    bm25 *s = m->state;

    sg_lexicon_free(&s->lexicon);
    sg_free(s->norm);
    sg_free(s->idf);
    sg_free(s->most);
    *s = (bm25){0};
}

static inline float share(float count, float norm)
{
    return count / (count + norm);
}

static sg_status bm25_ready(sg_model *m, sg_error *err)
{
    const bm25_config *c = m->config;
    bm25 *s = m->state;
    const sg_postings *p = &s->lists;
    const sg_word_form form = form_of(c);
    int64_t words;
    sg_status st;

    bm25_fini(m);
    if ((st = sg_lexicon_need(&s->lexicon, m, INT32_MAX, 0, &form, err)) ||
        (st = sg_postings_need(&s->lists, &words, m, &s->lexicon, err)))
        return st;
    s->norm = sg_alloc_array((size_t)m->n_items, sizeof *s->norm);
    s->idf = sg_alloc_array(s->lexicon.words.n, sizeof *s->idf);
    s->most = sg_alloc_zero(s->lexicon.words.n, sizeof *s->most);
    if (!s->norm || !s->idf || !s->most)
        return sg_fail_memory(err, "bm25");
    for (int32_t d = 0; d < m->n_items; d++)
        s->norm[d] = (float)(c->k1 * (1 - c->b + c->b * p->length[d] * m->n_items / (double)words));
    for (size_t w = 0; w < s->lexicon.words.n; w++) {
        const double n = (double)(p->offsets[w + 1] - p->offsets[w]);

        s->idf[w] = (float)log1p((m->n_items - n + 0.5) / (n + 0.5));
        for (int64_t i = p->offsets[w]; i < p->offsets[w + 1]; i++) {
            const float x = share(p->count[i], s->norm[p->doc[i]]);

            s->most[w] = x > s->most[w] ? x : s->most[w];
        }
    }
    return SG_OK;
}

/* ---- the query ---- */

static int by_word(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static int by_most(const void *a, const void *b)
{
    const term *x = a, *y = b;

    if (x->most != y->most)
        return x->most < y->most ? 1 : -1;
    return (x->word > y->word) - (x->word < y->word);
}

/* Its words that some document holds, each once, those that can give most first. */
static sg_status read_query(desk *d, const bm25 *s, sg_bytes query, sg_error *err)
{
    size_t n;
    sg_status st;

    d->n_terms = 0;
    if ((st = sg_lexicon_read_all(&n, &s->lexicon, &d->room, query, err)))
        return st;
    if (!sg_grow(&d->term, &d->cap_terms, n, sizeof *d->term))
        return sg_fail_memory(err, "query");
    if (n)
        qsort(d->room.id, n, sizeof *d->room.id, by_word);
    for (size_t i = 0, end; i < n; i = end) {
        const int32_t word = d->room.id[i];

        for (end = i + 1; end < n && d->room.id[end] == word;)
            end++;
        if (word < 0 || s->lists.offsets[word] == s->lists.offsets[word + 1])
            continue;
        const float weight = (float)(end - i) * s->idf[word];
        d->term[d->n_terms++] = (term){word, weight, weight * s->most[word], 0};
    }
    if (d->n_terms)
        qsort(d->term, d->n_terms, sizeof *d->term, by_most);
    double rest = 0;
    for (size_t i = d->n_terms; i-- > 0;)
        d->term[i].rest = rest += (double)d->term[i].most;
    return SG_OK;
}

/* ---- the best k: a heap whose root is the worst one kept ---- */

static bool worse(const sg_strings *ids, float va, int32_t a, float vb, int32_t b)
{
    if (va != vb)
        return va < vb;
    const sg_bytes x = sg_strings_at(ids, (size_t)a), y = sg_strings_at(ids, (size_t)b);
    const int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);

    if (order)
        return order < 0;
    return x.size != y.size ? x.size < y.size : a < b;
}

/* (v, i) sinks from the root of a heap of n. */
static void sink(const sg_strings *ids, int32_t *item, float *score, size_t n, float v, int32_t i)
{
    size_t at = 0, child;

    while ((child = 2 * at + 1) < n) {
        if (child + 1 < n && worse(ids, score[child + 1], item[child + 1], score[child], item[child]))
            child++;
        if (!worse(ids, score[child], item[child], v, i))
            break;
        score[at] = score[child];
        item[at] = item[child];
        at = child;
    }
    score[at] = v;
    item[at] = i;
}

static void rise(const sg_strings *ids, int32_t *item, float *score, size_t at, float v, int32_t i)
{
    while (at > 0 && worse(ids, v, i, score[(at - 1) / 2], item[(at - 1) / 2])) {
        score[at] = score[(at - 1) / 2];
        item[at] = item[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    score[at] = v;
    item[at] = i;
}

/* The best of those found, at most k, as a heap. */
static size_t keep_best(const desk *d, const sg_strings *ids, int32_t *item, float *score, size_t k)
{
    size_t kept = 0, i = 0;

    for (; i < d->n_found && kept < k; i++)
        rise(ids, item, score, kept++, d->sum[d->found[i]], d->found[i]);
    for (; i < d->n_found; i++) {
        const float v = d->sum[d->found[i]];

        if (v >= score[0] && worse(ids, score[0], item[0], v, d->found[i]))
            sink(ids, item, score, kept, v, d->found[i]);
    }
    return kept;
}

/* ---- the lists ---- */

static int64_t list_size(const bm25 *s, const term *t)
{
    return s->lists.offsets[t->word + 1] - s->lists.offsets[t->word];
}

static void add_list(desk *d, const bm25 *s, const term *t)
{
    const sg_postings *p = &s->lists;

    for (int64_t i = p->offsets[t->word]; i < p->offsets[t->word + 1]; i++) {
        const int32_t doc = p->doc[i];

        d->found[d->n_found] = doc;
        d->n_found += d->sum[doc] == 0;
        d->sum[doc] += t->weight * share(p->count[i], s->norm[doc]);
    }
}

/* The same for those alone that are found: by looking each up, where they are few beside the list. */
static void add_to_found(desk *d, const bm25 *s, const term *t)
{
    enum { LOOKUP = 64 }; /* steps through a list that cost what a look-up does */
    const sg_postings *p = &s->lists;
    const int64_t begin = p->offsets[t->word], end = p->offsets[t->word + 1];

    if ((int64_t)d->n_found < (end - begin) / LOOKUP) {
        for (size_t f = 0; f < d->n_found; f++) {
            const int32_t doc = d->found[f];
            int64_t from = begin;

            for (int64_t n = end - begin; n > 1; n -= n / 2)
                from += p->doc[from + n / 2] <= doc ? n / 2 : 0;
            if (p->doc[from] == doc)
                d->sum[doc] += t->weight * share(p->count[from], s->norm[doc]);
        }
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int32_t doc = p->doc[i];

        if (d->sum[doc] != 0)
            d->sum[doc] += t->weight * share(p->count[i], s->norm[doc]);
    }
}

/* Drops those that cannot reach `least` any more. */
static void narrow(desk *d, double rest, float least, double slack)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n_found; i++) {
        const int32_t doc = d->found[i];

        if (((double)d->sum[doc] + rest) * slack < (double)least)
            d->sum[doc] = 0;
        else
            d->found[kept++] = doc;
    }
    d->n_found = kept;
}

/* item, score (k) serve as room for the best sums so far. To look at those pays where more than its cost is left, and once the rest
 * may have come within reach: it has to fall below a sum, and from one look to the next it loses half of what it lacked. */
static void add_lists(desk *d, const bm25 *s, const sg_strings *ids, int32_t *item, float *score, size_t k)
{
    enum { KEPT = 256 }; /* steps through a list that cost what one more document of the heap does */
    const double slack = 1 + 1.2e-7 * (double)(d->n_terms + 1); /* of f32 sums of so many terms: 6e-8 each */
    double below = d->n_terms ? d->term[0].rest / 2 : 0;
    int64_t left = 0;
    bool closed = false; /* no other document can come into the list */

    for (size_t i = 0; i < d->n_terms; i++)
        left += list_size(s, &d->term[i]);
    for (size_t i = 0; i < d->n_terms; i++) {
        if (closed)
            add_to_found(d, s, &d->term[i]);
        else
            add_list(d, s, &d->term[i]);
        left -= list_size(s, &d->term[i]);
        if (i + 1 == d->n_terms || d->n_found < k || left < (int64_t)(d->n_found + KEPT * k))
            continue;
        const double rest = d->term[i + 1].rest;
        if (!closed && rest > below)
            continue;
        keep_best(d, ids, item, score, k);
        closed = closed || rest * slack < (double)score[0];
        if (closed)
            narrow(d, rest, score[0], slack);
        else
            below = (rest + (double)score[0]) / 2;
    }
}

/* ---- answers ---- */

static void find(desk *d, const sg_model *m, int32_t *item, float *score, size_t k)
{
    const sg_strings *ids = &m->item_ids;
    size_t n;

    add_lists(d, m->state, ids, item, score, k);
    n = keep_best(d, ids, item, score, k);
    for (size_t left = n; left-- > 1;) { /* the worst goes to the end, again and again */
        const float v = score[left];
        const int32_t i = item[left];

        score[left] = score[0];
        item[left] = item[0];
        sink(ids, item, score, left, v, i);
    }
    for (; n < k; n++) {
        item[n] = -1;
        score[n] = -INFINITY;
    }
    for (size_t i = 0; i < d->n_found; i++)
        d->sum[d->found[i]] = 0;
    d->n_found = 0;
}

typedef struct job {
    const sg_model *m;
    desk *desk;
    const sg_bytes *query;
    int32_t *item;
    float *score;
    size_t k;
} job;

static void answer(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    desk *d = &j->desk[thread];

    for (size_t q = begin; q < end && !d->err.status; q++)
        if (!read_query(d, j->m->state, j->query[q], &d->err))
            find(d, j->m, j->item + q * j->k, j->score + q * j->k, j->k);
}

static void bm25_session_fini(sg_session *session)
{
    bm25_session *s = session->state;

    for (int t = 0; s->desk && t < s->n; t++) {
        sg_lexicon_room_free(&s->desk[t].room);
        sg_free(s->desk[t].sum);
        sg_free(s->desk[t].found);
        sg_free(s->desk[t].term);
    }
    sg_free(s->desk);
    *s = (bm25_session){0};
}

static sg_status open_desks(sg_session *session, int threads, sg_error *err)
{
    const size_t n = (size_t)session->model->n_items;
    bm25_session *s = session->state;

    if (s->desk)
        return SG_OK;
    s->n = threads;
    if (!(s->desk = sg_alloc_zero((size_t)threads, sizeof *s->desk)))
        return sg_fail_memory(err, "session");
    for (int t = 0; t < threads; t++) {
        s->desk[t].sum = sg_alloc_zero(n, sizeof *s->desk[t].sum);
        s->desk[t].found =
            sg_alloc_array(n + 1, sizeof *s->desk[t].found); /* one more is written, not kept */
        if (!s->desk[t].sum || !s->desk[t].found) {
            bm25_session_fini(session);
            return sg_fail_memory(err, "session");
        }
    }
    return SG_OK;
}

static sg_status bm25_retrieve(sg_session *session, const sg_bytes *query, int n, int k, int32_t *item,
                               float *score, sg_error *err)
{
    const int threads = sg_pool_threads(session->pool);
    bm25_session *s = session->state;
    job j = {session->model, NULL, query, item, score, (size_t)k};
    sg_status st = open_desks(session, threads, err);

    if (st || k < 1)
        return st;
    j.desk = s->desk;
    sg_parallel_for(session->pool, (size_t)n, 1, answer, &j);
    for (int t = 0; t < s->n; t++)
        if (s->desk[t].err.status) {
            st = s->desk[t].err.status;
            if (err)
                *err = s->desk[t].err;
            s->desk[t].err = (sg_error){0};
        }
    return st;
}

const sg_model_class sg_model_bm25 = {
    .name = "bm25",
    .summary = "documents by the words that they share with a query",
    .paper = "Robertson & Zaragoza, FnTIR 2009",
    .options = bm25_options,
    .n_options = sizeof bm25_options / sizeof *bm25_options,
    .config_bytes = sizeof(bm25_config),
    .state_bytes = sizeof(bm25),
    .session_bytes = sizeof(bm25_session),
    .fit = bm25_fit,
    .ready = bm25_ready,
    .fini = bm25_fini,
    .session_fini = bm25_session_fini,
    .retrieve = bm25_retrieve,
};
