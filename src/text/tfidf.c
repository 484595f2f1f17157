/* tfidf.c - sparse item rows:  value = (1 + ln tf) * (1 + ln((1 + n) / (1 + df))), rows to unit length.
 *
 * Two passes over the text: the first counts in how many items each n-gram occurs, one table a thread (sums of integers
 * do not depend on who counted); the second looks the kept ones up. Features are numbered by falling document frequency,
 * ties by hash; inside a row they ascend. An item without any kept n-gram has an empty row.
 *   [Salton & Buckley 1988; the smoothed form is scikit-learn's TfidfVectorizer(sublinear_tf=True)] */
#include "text/lsa.h"

#include "base/alloc.h"
#include "text/hash.h"
#include "text/ngram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRAIN = 256 }; /* items in a piece */

typedef struct entry {
    uint64_t hash; /* 0: empty; an n-gram that hashes to 0 is counted as 1 */
    uint32_t df;   /* first pass: items; second pass: feature number */
    uint32_t unused;
} entry;

typedef struct table {
    entry *list; /* owned */
    size_t size; /* a power of two */
    size_t n;
} table;

typedef struct rows { /* what one piece of the second pass found */
    int32_t *index;   /* owned */
    float *value;     /* owned */
    size_t n, cap_index, cap_value;
} rows;

typedef struct worker { /* per thread */
    sg_grams grams;
    table df;
    uint64_t *sort; /* owned scratch: feature << 32 | count, twice */
    size_t cap_sort;
    sg_status status;
    sg_error err;
} worker;

typedef struct job {
    const sg_text_plan *plan;
    sg_ngram_spec spec;
    worker *workers; /* (threads) */
    table kept;
    const float *idf; /* (features) */
    rows *pieces;
    int64_t *offsets; /* (n + 1): first the row sizes at 1 .. n */
} job;

/* ---- tables -------------------------------------------------------------------------------------------------- */

static bool table_reserve(table *t, size_t n)
{
    table grown = {.size = t->size ? t->size : 1024, .n = t->n};

    if (t->size && 3 * n <= 2 * t->size)
        return true;
    while (3 * n > 2 * grown.size)
        grown.size *= 2;
    if (!(grown.list = sg_alloc_zero(grown.size, sizeof *grown.list)))
        return false;
    for (size_t i = 0; i < t->size; i++) {
        size_t at = t->list[i].hash & (grown.size - 1);

        if (!t->list[i].hash)
            continue;
        while (grown.list[at].hash)
            at = (at + 1) & (grown.size - 1);
        grown.list[at] = t->list[i];
    }
    sg_free(t->list);
    *t = grown;
    return true;
}

/* The entry of this hash, or the empty one where it belongs. */
static entry *table_at(const table *t, uint64_t hash)
{
    size_t at;

    hash += !hash;
    for (at = hash & (t->size - 1); t->list[at].hash && t->list[at].hash != hash;)
        at = (at + 1) & (t->size - 1);
    return &t->list[at];
}

static bool table_add(table *t, uint64_t hash, uint32_t df)
{
    entry *e;

    if (!table_reserve(t, t->n + 1))
        return false;
    e = table_at(t, hash);
    if (!e->hash) {
        e->hash = hash + !hash;
        t->n++;
    }
    e->df += df;
    return true;
}

/* ---- first pass: document frequencies ------------------------------------------------------------------------ */

static void count_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    worker *w = &j->workers[thread];

    for (size_t item = begin; item < end && w->status == SG_OK; item++) {
        w->status = sg_grams_of_item(&w->grams, j->plan, &j->spec, item, &w->err);
        if (w->status == SG_OK && !table_reserve(&w->df, w->df.n + w->grams.n))
            w->status = sg_fail_memory(&w->err, "n-gram counts");
        for (size_t i = 0; i < w->grams.n && w->status == SG_OK; i++)
            table_add(&w->df, w->grams.list[i].hash, 1);
    }
}

static int by_frequency(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->df != y->df)
        return x->df > y->df ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Joins the threads' tables, cuts by document frequency and numbers what stays. */
static sg_status choose_features(job *j, int threads, size_t n_items, const char *dir, const sg_lsa_config *c,
                                 sg_tfidf *out, sg_error *err)
{
    table *all = &j->workers[0].df;
    const double most = c->df_most * (double)n_items;
    entry *list;
    size_t n = 0;
    bool often = false;

    for (int t = 1; t < threads; t++)
        for (size_t i = 0; i < j->workers[t].df.size; i++)
            if (j->workers[t].df.list[i].hash &&
                !table_add(all, j->workers[t].df.list[i].hash, j->workers[t].df.list[i].df))
                return sg_fail_memory(err, "n-gram counts");
    if (!(list = sg_alloc_array(all->n, sizeof *list)))
        return sg_fail_memory(err, "n-gram counts");
    for (size_t i = 0; i < all->size; i++) {
        if (!all->list[i].hash || all->list[i].df < (uint32_t)c->df_least)
            continue;
        often = true;
        if ((double)all->list[i].df <= most)
            list[n++] = all->list[i];
    }
    if (n == 0) {
        sg_free(list);
        return often ? sg_fail(err, SG_ERR_MISSING,
                               "%s: every n-gram of the item text that occurs in %d items or more (df_least) "
                               "occurs in a "
                               "larger share of them than %g (df_most), and is dropped: try a larger df_most",
                               dir, c->df_least, c->df_most)
                     : sg_fail(err, SG_ERR_MISSING,
                               "%s: no n-gram of the item text occurs in %d items or more (df_least)", dir,
                               c->df_least);
    }
    qsort(list, n, sizeof *list, by_frequency);
    if (n > (size_t)c->features)
        n = (size_t)c->features;
    out->idf = sg_alloc_array(n, sizeof *out->idf);
    out->hash = sg_alloc_array(n, sizeof *out->hash);
    if (!out->idf || !out->hash || !table_reserve(&j->kept, n)) {
        sg_free(list);
        return sg_fail_memory(err, "n-gram features");
    }
    for (size_t i = 0; i < n; i++) {
        out->idf[i] = (float)(1 + log((1 + (double)n_items) / (1 + (double)list[i].df)));
        out->hash[i] = list[i].hash;
        table_add(&j->kept, list[i].hash, (uint32_t)i);
    }
    out->features = (int32_t)n;
    sg_free(list);
    return SG_OK;
}

/* ---- second pass: rows --------------------------------------------------------------------------------------- */

static bool reserve_row(worker *w, rows *r)
{
    return sg_grow(&w->sort, &w->cap_sort, 2 * w->grams.n, sizeof *w->sort) &&
           sg_grow(&r->index, &r->cap_index, r->n + w->grams.n, sizeof *r->index) &&
           sg_grow(&r->value, &r->cap_value, r->n + w->grams.n, sizeof *r->value);
}

/* Appends one row; returns its size. */
static size_t add_row(worker *w, rows *r, const job *j)
{
    const size_t first = r->n;
    size_t n = 0;
    double sum = 0;

    for (size_t i = 0; i < w->grams.n; i++) {
        const entry *e = table_at(&j->kept, w->grams.list[i].hash);

        if (e->hash)
            w->sort[n++] = (uint64_t)e->df << 32 | w->grams.list[i].count;
    }
    sg_hash_sort(w->sort, w->sort + n, n, 32);
    for (size_t i = 0; i < n; i++) {
        const int32_t feature = (int32_t)(w->sort[i] >> 32);
        const uint32_t tf = (uint32_t)w->sort[i];
        const float x = (tf == 1 ? 1 : (float)(1 + log((double)tf))) * j->idf[feature];

        r->index[r->n] = feature;
        r->value[r->n++] = x;
        sum += (double)x * (double)x;
    }
    for (size_t i = first; i < r->n; i++)
        r->value[i] = (float)((double)r->value[i] / sqrt(sum));
    return n;
}

static void row_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    worker *w = &j->workers[thread];
    rows *r = &j->pieces[piece];

    for (size_t item = begin; item < end && w->status == SG_OK; item++) {
        w->status = sg_grams_of_item(&w->grams, j->plan, &j->spec, item, &w->err);
        if (w->status == SG_OK && !reserve_row(w, r))
            w->status = sg_fail_memory(&w->err, "tf-idf rows");
        if (w->status == SG_OK)
            j->offsets[item + 1] = (int64_t)add_row(w, r, j);
    }
}

static sg_status join_rows(sg_tfidf *out, job *j, sg_error *err)
{
    const size_t n_pieces = sg_pieces((size_t)out->n, GRAIN);
    size_t at = 0;

    for (int32_t i = 0; i < out->n; i++)
        out->offsets[i + 1] += out->offsets[i];
    out->index = sg_alloc_array((size_t)out->offsets[out->n], sizeof *out->index);
    out->value = sg_alloc_array((size_t)out->offsets[out->n], sizeof *out->value);
    if (!out->index || !out->value)
        return sg_fail_memory(err, "tf-idf rows");
    for (size_t p = 0; p < n_pieces; p++) {
        rows *r = &j->pieces[p];

        if (r->n) {
            memcpy(out->index + at, r->index, r->n * sizeof *r->index);
            memcpy(out->value + at, r->value, r->n * sizeof *r->value);
        }
        at += r->n;
        sg_free(r->index);
        sg_free(r->value);
        *r = (rows){0};
    }
    return SG_OK;
}

static sg_status first_failure(const job *j, int threads, sg_error *err)
{
    for (int t = 0; t < threads; t++)
        if (j->workers[t].status) {
            if (err)
                *err = j->workers[t].err;
            return j->workers[t].status;
        }
    return SG_OK;
}

static void job_free(job *j, int threads, size_t n_pieces)
{
    for (int t = 0; j->workers && t < threads; t++) {
        sg_grams_free(&j->workers[t].grams);
        sg_free(j->workers[t].df.list);
        sg_free(j->workers[t].sort);
    }
    for (size_t p = 0; j->pieces && p < n_pieces; p++) {
        sg_free(j->pieces[p].index);
        sg_free(j->pieces[p].value);
    }
    sg_free(j->workers);
    sg_free(j->pieces);
    sg_free(j->kept.list);
}

static sg_status check_config(const sg_dataset *d, const sg_lsa_config *c, sg_error *err)
{
    if (!d->n_columns)
        return sg_fail(err, SG_ERR_MISSING,
                       "%s: the items have no text columns: import with --item-text FILE", d->dir);
    if (c->chars_most && c->chars_most < c->chars_least)
        return sg_fail(err, SG_ERR_USAGE, "chars_most: expected at least chars_least = %d, found %d",
                       c->chars_least, c->chars_most);
    if (!c->words && !c->chars_most)
        return sg_fail(err, SG_ERR_USAGE, "words and chars_most are both 0: no n-grams are left");
    return SG_OK;
}

sg_status sg_tfidf_new(sg_tfidf *out, const sg_dataset *d, const sg_lsa_config *c, sg_pool *pool,
                       sg_error *err)
{
    const int threads = sg_pool_threads(pool);
    const size_t n_pieces = sg_pieces((size_t)d->n_items, GRAIN);
    sg_text_plan plan = {0};
    job j = {.plan = &plan, .spec = {c->words, c->chars_least, c->chars_most}};
    sg_status st;

    *out = (sg_tfidf){.n = d->n_items};
    if ((st = check_config(d, c, err)) || (st = sg_text_plan_new(&plan, d, c->columns, err)))
        goto done;
    j.workers = sg_alloc_zero((size_t)threads, sizeof *j.workers);
    j.pieces = sg_alloc_zero(n_pieces, sizeof *j.pieces);
    j.offsets = out->offsets = sg_alloc_zero((size_t)d->n_items + 1, sizeof *out->offsets);
    if (!j.workers || !j.pieces || !j.offsets) {
        st = sg_fail_memory(err, "tf-idf");
        goto done;
    }
    sg_parallel_for(pool, (size_t)d->n_items, GRAIN, count_body, &j);
    if ((st = first_failure(&j, threads, err)) ||
        (st = choose_features(&j, threads, (size_t)d->n_items, d->dir, c, out, err)))
        goto done;
    j.idf = out->idf;
    sg_parallel_for(pool, (size_t)d->n_items, GRAIN, row_body, &j);
    if ((st = first_failure(&j, threads, err)))
        goto done;
    st = join_rows(out, &j, err);
done:
    job_free(&j, threads, n_pieces);
    sg_text_plan_free(&plan);
    if (st)
        sg_tfidf_free(out);
    return st;
}

void sg_tfidf_free(sg_tfidf *t)
{
    sg_free(t->offsets);
    sg_free(t->index);
    sg_free(t->value);
    sg_free(t->hash);
    sg_free(t->idf);
    *t = (sg_tfidf){0};
}
