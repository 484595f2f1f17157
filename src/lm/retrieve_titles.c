/* retrieve_titles.c - a beam search over titles; what it finds are their documents. */
#include "lm/retrieve_parts.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BEAM = 10, TITLE_MOST = 256 /* tokens of a title; the rest of it says little */ };

static sg_status no_titles(sg_error *err)
{
    return sg_fail(err, SG_ERR_FORMAT, "expected documents with titles, found none with one");
}

/* ---- titles by their tokens --------------------------------------------------------------------------------------------------- */
typedef struct string {
    const int32_t *id;
    size_t n;
} string;

static string title_of(const sg_titles *t, int32_t i)
{
    return (string){t->list.id + t->list.offsets[i], (size_t)(t->list.offsets[i + 1] - t->list.offsets[i])};
}

static int compare(string a, string b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++)
        if (a.id[i] != b.id[i])
            return a.id[i] < b.id[i] ? -1 : 1;
    return (a.n > b.n) - (a.n < b.n);
}

typedef struct row { /* to be sorted */
    string title;
    int32_t number;
} row;

static int by_title(const void *x, const void *y)
{
    const row *a = x, *b = y;
    const int c = compare(a->title, b->title);

    return c ? c : (a->number > b->number) - (a->number < b->number);
}

static sg_status sort_titles(sg_titles *t, sg_error *err)
{
    row *all = sg_alloc_array((size_t)t->list.n, sizeof *all);

    if (!all)
        return sg_fail_memory(err, "titles");
    for (int32_t i = 0; i < t->list.n; i++)
        all[i] = (row){title_of(t, i), i};
    qsort(all, (size_t)t->list.n, sizeof *all, by_title);
    for (int32_t i = 0; i < t->list.n; i++)
        t->order[i] = all[i].number;
    sg_free(all);
    return SG_OK;
}

/* The first of t->order whose title is not before s. */
static int32_t find(const sg_titles *t, string s)
{
    int32_t low = 0, high = t->list.n;

    while (low < high) {
        const int32_t middle = low + (high - low) / 2;

        if (compare(title_of(t, t->order[middle]), s) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Titles that say nothing, in letters or in tokens, and those of documents that may not be found are left out: nobody writes them. */
static void drop_titles(sg_titles *t, const uint8_t *allow)
{
    int32_t kept = 0;
    int64_t end = 0;

    for (int32_t i = 0; i < t->list.n; i++) {
        const string s = title_of(t, i);

        if (!s.n || (allow && !allow[i]))
            continue;
        t->longest = (int)s.n > t->longest ? (int)s.n : t->longest;
        memmove(t->list.id + end, s.id, s.n * sizeof *s.id);
        t->list.offsets[kept] = end;
        t->document[kept++] = i;
        end += (int64_t)s.n;
    }
    t->list.offsets[kept] = end;
    t->list.n = kept;
}

sg_status sg_titles_new(sg_retriever *r, const sg_documents *d, const sg_progress *progress, sg_error *err)
{
    sg_titles *t = &r->titles;
    sg_status st;

    if (d->n < 1)
        return no_titles(err);
    if ((st = sg_read_texts(&t->list, r->tokenizer, d->title, d->n, TITLE_MOST, progress, err)))
        return st;
    t->document = sg_alloc_array((size_t)d->n, sizeof *t->document);
    t->order = sg_alloc_array((size_t)d->n, sizeof *t->order);
    if (!t->document || !t->order)
        return sg_fail_memory(err, "titles");
    drop_titles(t, d->allow);
    if (!t->list.n)
        return no_titles(err);
    if ((st = sort_titles(t, err)))
        return st;
    return sg_guide_choices(&r->guide, t->list.id, t->list.offsets, t->list.n, err);
}

void sg_titles_free(sg_titles *t)
{
    sg_token_lists_free(&t->list);
    sg_free(t->document);
    sg_free(t->order);
}

/* ---- queries ---------------------------------------------------------------------------------------------------------------- */
static int by_score(const void *x, const void *y)
{
    const sg_hit *a = x, *b = y;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

static sg_status find_documents(sg_found *out, const sg_retrieve_job *job, const sg_answer *a, sg_error *err)
{
    const sg_titles *t = &job->r->titles;
    size_t cap = 0;

    for (int i = 0; i < a->n; i++) {
        const string s = {a->text[i].tokens.id, a->text[i].tokens.n};

        job->report->texts++;
        for (int32_t at = find(t, s); at < t->list.n && compare(title_of(t, t->order[at]), s) == 0; at++) {
            if (!sg_grow(&out->hit, &cap, (size_t)out->n + 1, sizeof *out->hit))
                return sg_fail_memory(err, "documents");
            out->hit[out->n++] = (sg_hit){t->document[t->order[at]], a->text[i].logp / (double)s.n};
        }
    }
    if (out->n)
        qsort(out->hit, (size_t)out->n, sizeof *out->hit, by_score);
    out->n = out->n < job->config->k ? out->n : job->config->k;
    return SG_OK;
}

sg_status sg_titles_retrieve(sg_found *out, const sg_retrieve_job *job, sg_error *err)
{
    sg_answer *answer = sg_alloc_zero((size_t)job->n, sizeof *answer);
    sg_status st = answer ? SG_OK : sg_fail_memory(err, "answers");

    if (!st)
        st = sg_retrieve_write(answer, job, job->config->beam ? job->config->beam : BEAM,
                               sg_retrieve_length(job->r, job->config), 1, NULL, err);
    const double start = sg_now();
    for (int i = 0; i < job->n && !st; i++)
        st = find_documents(&out[i], job, &answer[i], err);
    job->report->seconds_rank += sg_now() - start;
    for (int i = 0; i < job->n && answer; i++)
        sg_answer_free(&answer[i]);
    sg_free(answer);
    return st;
}
