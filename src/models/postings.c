/* postings.c - runs of documents are read side by side, each into lists of its own, and dealt out to the words in the documents' order. */
#include "models/postings.h"

#include "base/alloc.h"

#include <string.h>

enum { RUN = 256, COUNT_MAX = UINT16_MAX };

/* ---- counting ---- */

typedef struct piece { /* what RUN documents hold, one document after the other */
    int32_t *word;     /* owned */
    uint16_t *count;   /* owned */
    size_t n, cap_word, cap_count;
    int32_t size[RUN]; /* different words of each document */
} piece;

typedef struct worker { /* one a thread */
    sg_lexicon_room room;
    sg_buf text;
    uint16_t *times; /* owned (words): of the document at hand, 0 between documents */
    sg_error err;
} worker;

typedef struct job {
    const sg_dataset *data;
    const sg_lexicon *words;
    int32_t *length;
    worker *worker;
    piece *piece;
} job;

static sg_status read_document(const job *j, worker *w, piece *p, size_t doc, int32_t *size)
{
    const size_t first = p->n;
    size_t n;
    sg_status st;

    w->text.size = 0;
    if (sg_lexicon_document(&w->text, j->data, doc))
        return sg_fail_memory(&w->err, "documents");
    if ((st = sg_lexicon_read_all(&n, j->words, &w->room,
                                  (sg_bytes){w->text.data ? w->text.data : "", w->text.size}, &w->err)))
        return st;
    if (!sg_grow(&p->word, &p->cap_word, p->n + n, sizeof *p->word) ||
        !sg_grow(&p->count, &p->cap_count, p->n + n, sizeof *p->count))
        return sg_fail_memory(&w->err, "documents");
    for (size_t i = 0; i < n; i++) {
        const int32_t id = w->room.id[i]; /* the lexicon has every word */

        if (w->times[id] == 0)
            p->word[p->n++] = id;
        w->times[id] += w->times[id] < COUNT_MAX;
    }
    for (size_t i = first; i < p->n; i++) {
        p->count[i] = w->times[p->word[i]];
        w->times[p->word[i]] = 0;
    }
    *size = (int32_t)(p->n - first);
    j->length[doc] = n < INT32_MAX ? (int32_t)n : INT32_MAX;
    return SG_OK;
}

static void read_run(void *ctx, size_t number, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    worker *w = &j->worker[thread];

    for (size_t doc = begin; doc < end && !w->err.status; doc++)
        read_document(j, w, &j->piece[number], doc, &j->piece[number].size[doc - begin]);
}

static sg_status first_failure(const job *j, int threads, sg_error *err)
{
    for (int t = 0; t < threads; t++)
        if (j->worker[t].err.status) {
            if (err)
                *err = j->worker[t].err;
            return j->worker[t].err.status;
        }
    return SG_OK;
}

/* ---- lists ---- */

/* Where each word's list ends; *n: numbers in all of them. */
static int64_t *count_lists(const job *j, size_t words, size_t pieces, size_t *n)
{
    int64_t *offsets = sg_alloc_zero(words + 2, sizeof *offsets);

    *n = 0;
    if (!offsets)
        return NULL;
    for (size_t p = 0; p < pieces; *n += j->piece[p++].n)
        for (size_t i = 0; i < j->piece[p].n; i++)
            offsets[j->piece[p].word[i] + 2]++;
    for (size_t i = 0; i < words; i++)
        offsets[i + 2] += offsets[i + 1];
    return offsets;
}

/* Each piece is freed once it is dealt out. offsets stand one place ahead, and have moved to where they belong at the end. */
static void deal(const job *j, size_t n_docs, int64_t *offsets, int32_t *doc, uint16_t *count)
{
    for (size_t d = 0, i = 0; d < n_docs; d++) {
        piece *p = &j->piece[d / RUN];
        const int32_t size = p->size[d % RUN];

        for (int32_t k = 0; k < size; k++, i++) {
            const int64_t at = offsets[p->word[i] + 1]++;

            doc[at] = (int32_t)d;
            count[at] = p->count[i];
        }
        if (d % RUN == RUN - 1 || d + 1 == n_docs) {
            sg_free(p->word);
            sg_free(p->count);
            p->word = NULL;
            p->count = NULL;
            i = 0;
        }
    }
}

static sg_status put_lists(sg_model *m, const job *j, size_t words, size_t pieces, sg_error *err)
{
    size_t n;
    int64_t *offsets = count_lists(j, words, pieces, &n);
    int32_t *doc = sg_alloc_array(n, sizeof *doc);
    uint16_t *count = sg_alloc_array(n, sizeof *count);
    sg_status st;

    if (!offsets || !doc || !count) {
        sg_free(offsets);
        sg_free(doc);
        sg_free(count);
        return sg_fail_memory(err, "postings");
    }
    deal(j, (size_t)m->n_items, offsets, doc, count);
    st = sg_model_array_put(m, "postings.offsets", SG_DT_I64, 1, &(uint64_t){words + 1}, offsets, err);
    if (st)
        sg_free(doc);
    else
        st = sg_model_array_put(m, "postings.doc", SG_DT_I32, 1, &(uint64_t){n}, doc, err);
    if (st)
        sg_free(count);
    else
        st = sg_model_array_put(m, "postings.count", SG_DT_U16, 1, &(uint64_t){n}, count, err);
    return st;
}

sg_status sg_postings_fit(sg_model *m, const sg_dataset *d, const sg_lexicon *x, sg_pool *pool, sg_error *err)
{
    const size_t n = (size_t)d->n_items, pieces = sg_pieces(n, RUN);
    const int threads = sg_pool_threads(pool);
    job j = {.data = d, .words = x};
    sg_status st = SG_OK;
    bool failed;

    j.length = sg_alloc_zero(n, sizeof *j.length);
    j.worker = sg_alloc_zero((size_t)threads, sizeof *j.worker);
    j.piece = sg_alloc_zero(pieces, sizeof *j.piece);
    failed = !j.length || !j.worker || !j.piece;
    for (int t = 0; t < threads && !failed; t++)
        failed = !(j.worker[t].times = sg_alloc_zero(x->words.n, sizeof *j.worker[t].times));
    if (failed)
        st = sg_fail_memory(err, "postings");
    if (!st) {
        sg_parallel_for(pool, n, RUN, read_run, &j);
        st = first_failure(&j, threads, err);
    }
    if (!st && !(st = put_lists(m, &j, x->words.n, pieces, err))) {
        st = sg_model_array_put(m, "lengths", SG_DT_I32, 1, &(uint64_t){n}, j.length, err);
        j.length = NULL;
    }
    for (int t = 0; j.worker && t < threads; t++) {
        sg_lexicon_room_free(&j.worker[t].room);
        sg_buf_free(&j.worker[t].text);
        sg_free(j.worker[t].times);
    }
    for (size_t p = 0; j.piece && p < pieces; p++) {
        sg_free(j.piece[p].word);
        sg_free(j.piece[p].count);
    }
    sg_free(j.length);
    sg_free(j.worker);
    sg_free(j.piece);
    return st;
}

/* ---- reading ---- */

static sg_status check_lengths(const int32_t *length, int32_t n, int64_t *words, sg_error *err)
{
    *words = 0;
    for (int32_t i = 0; i < n; *words += length[i++])
        if (length[i] < 0)
            return sg_fail(err, SG_ERR_FORMAT, "array 'lengths': expected numbers from 0, found %d at %d",
                           (int)length[i], (int)i);
    return *words ? SG_OK
                  : sg_fail(err, SG_ERR_FORMAT, "array 'lengths': expected documents with words, found none");
}

static sg_status check_list(const sg_postings *p, size_t word, int32_t n_items, sg_error *err)
{
    int32_t last = -1;

    for (int64_t i = p->offsets[word]; i < p->offsets[word + 1]; last = p->doc[i++]) {
        if (p->doc[i] <= last || p->doc[i] >= n_items)
            return sg_fail(err, SG_ERR_FORMAT,
                           "array 'postings.doc': expected ascending numbers below %d for word %zu, found %d",
                           (int)n_items, word, (int)p->doc[i]);
        if (p->count[i] == 0)
            return sg_fail(err, SG_ERR_FORMAT,
                           "array 'postings.count': expected numbers from 1, found 0 at %lld", (long long)i);
    }
    return SG_OK;
}

sg_status sg_postings_need(sg_postings *out, int64_t *words, const sg_model *m, const sg_lexicon *x,
                           sg_error *err)
{
    const sg_model_array *length, *offsets, *doc, *count;
    sg_status st;

    if ((st = sg_model_array_need(&length, m, "lengths", SG_DT_I32, 1, &(int64_t){m->n_items}, err)) ||
        (st = sg_model_array_need(&offsets, m, "postings.offsets", SG_DT_I64, 1,
                                  &(int64_t){(int64_t)x->words.n + 1}, err)) ||
        (st = sg_model_array_need(&doc, m, "postings.doc", SG_DT_I32, 1, &(int64_t){-1}, err)) ||
        (st = sg_model_array_need(&count, m, "postings.count", SG_DT_U16, 1, &(int64_t){(int64_t)doc->count},
                                  err)))
        return st;
    *out = (sg_postings){length->data, offsets->data, doc->data, count->data};
    if ((st = check_lengths(out->length, m->n_items, words, err)))
        return st;
    if (out->offsets[0] != 0 || out->offsets[x->words.n] != (int64_t)doc->count)
        return sg_fail(err, SG_ERR_FORMAT, "array 'postings.offsets': expected 0 to %zu, found %lld to %lld",
                       doc->count, (long long)out->offsets[0], (long long)out->offsets[x->words.n]);
    for (size_t w = 0; w < x->words.n; w++)
        if (out->offsets[w] > out->offsets[w + 1])
            return sg_fail(err, SG_ERR_FORMAT,
                           "array 'postings.offsets': expected ascending numbers, found a step back at %zu",
                           w);
    for (size_t w = 0; !st && w < x->words.n; w++)
        st = check_list(out, w, m->n_items, err);
    return st;
}
