/* retrieval.c - lists of documents against graded judgements. */
#include "eval/retrieval.h"

#include "file/receipt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int falling(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x < y) - (x > y);
}

static int32_t grade_of(const sg_judgements *j, int32_t query, int32_t doc)
{
    int64_t begin = j->offsets[query], end = j->offsets[query + 1];

    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;

        if (j->doc[middle] == doc)
            return j->grade[middle];
        if (j->doc[middle] < doc)
            begin = middle + 1;
        else
            end = middle;
    }
    return 0;
}

/* Best possible sum at k: the grades in falling order. How often each grade occurs is counted, nothing is allocated. */
static double ideal(const sg_judgements *j, int32_t query, int k)
{
    int32_t top[64]; /* the usual case: few places, few judgements */
    int64_t n = 0;
    double sum = 0;

    if (j->offsets[query + 1] - j->offsets[query] <= 64) {
        for (int64_t i = j->offsets[query]; i < j->offsets[query + 1]; i++)
            if (j->grade[i] > 0)
                top[n++] = j->grade[i];
        qsort(top, (size_t)n, sizeof *top, falling);
        for (int i = 0; i < n && i < k; i++)
            sum += top[i] / log2(i + 2.0);
        return sum;
    }
    for (int32_t g = SG_GRADE_MAX; g > 0 && n < k; g--)
        for (int64_t i = j->offsets[query]; i < j->offsets[query + 1] && n < k; i++)
            if (j->grade[i] == g)
                sum += g / log2((double)n++ + 2);
    return sum;
}

sg_retrieval_values sg_run_query(const sg_run *r, const sg_collection *c, sg_collection_split split,
                                 int32_t query, int k)
{
    const sg_judgements *j = &c->split[split];
    const int64_t begin = r->offsets[query], n = r->offsets[query + 1] - begin;
    const int32_t relevant = sg_collection_relevant(c, split, query);
    sg_retrieval_values v = {0};
    int32_t found = 0;

    if (relevant == 0)
        return v;
    for (int i = 0; i < k && i < n; i++) {
        const int32_t grade = grade_of(j, query, r->doc[begin + i]);

        if (grade <= 0)
            continue;
        v.ndcg += grade / log2(i + 2.0);
        if (found++ == 0) {
            v.mrr = 1.0 / (i + 1);
            v.hits = 1;
        }
    }
    v.ndcg /= ideal(j, query, k);
    v.recall = (double)found / relevant;
    return v;
}

static sg_status put(json_t *out, const char *name, int k, double value, sg_error *err)
{
    char key[48];

    snprintf(key, sizeof key, "%s@%d", name, k);
    return sg_receipt_put(out, key, json_real(value), err);
}

static sg_retrieval_values mean_at(const sg_run *r, const sg_collection *c, sg_collection_split split, int k,
                                   bool listed)
{
    sg_retrieval_values sum = {0};
    int32_t n = 0;

    for (int32_t q = 0; q < c->n_queries; q++) {
        if (!sg_collection_relevant(c, split, q) || (listed && r->offsets[q] == r->offsets[q + 1]))
            continue;
        const sg_retrieval_values v = sg_run_query(r, c, split, q, k);

        sum.ndcg += v.ndcg;
        sum.recall += v.recall;
        sum.mrr += v.mrr;
        sum.hits += v.hits;
        n++;
    }
    if (n)
        sum = (sg_retrieval_values){sum.ndcg / n, sum.recall / n, sum.mrr / n, sum.hits / n};
    return sum;
}

sg_status sg_run_measure(json_t **out, const sg_run *r, const sg_collection *c, sg_collection_split split,
                         const int *k, int n_k, sg_error *err)
{
    json_t *j = json_object();
    sg_status st = SG_OK;

    for (int i = 0; !st && i < n_k; i++) {
        const sg_retrieval_values v = mean_at(r, c, split, k[i], false);

        if ((st = put(j, "ndcg", k[i], v.ndcg, err)) || (st = put(j, "recall", k[i], v.recall, err)) ||
            (st = put(j, "mrr", k[i], v.mrr, err)))
            break;
        st = put(j, "hits", k[i], v.hits, err);
    }
    if (st) {
        json_decref(j);
        j = NULL;
    }
    *out = j;
    return st;
}

sg_status sg_retrieval_select(double value[2], const sg_model *m, const sg_train_data *t, int64_t queries_max,
                              sg_pool *pool, sg_error *err)
{
    sg_run r;
    sg_status st = sg_run_make(&r, m, t->collection, SG_COLLECTION_DEV,
                               &(sg_eval_spec){.users_max = queries_max}, 10, pool, NULL, err);

    if (st)
        return st;
    const sg_retrieval_values v = mean_at(&r, t->collection, SG_COLLECTION_DEV, 10, true);
    value[0] = v.ndcg;
    value[1] = v.recall;
    sg_run_free(&r);
    return SG_OK;
}

static sg_status put_receipt(json_t *out, const sg_model *m, const char *path, const sg_run *r,
                             const sg_train_data *t, const sg_eval_spec *e, sg_collection_split split,
                             sg_error *err)
{
    json_t *receipt, *data, *model;
    sg_status st;

    if ((st = sg_receipt_object(&receipt, out, "receipt", err)) ||
        (st = sg_receipt_object(&data, receipt, "data", err)) ||
        (st = sg_receipt_text(data, "name", t->data->name, err)) ||
        (st = sg_receipt_text(data, "sha256", t->data->sha256, err)) ||
        (st = sg_receipt_text(receipt, "asked", sg_collection_split_names[split], err)) ||
        (st = sg_receipt_put(receipt, "queries", json_integer(sg_collection_asked(t->collection, split)),
                             err)) ||
        (st = sg_receipt_put(receipt, "documents", json_integer(t->data->n_items), err)) ||
        (st = sg_receipt_text(receipt, "sedge", SEDGE_VERSION, err)))
        return st;
    if (path)
        return sg_receipt_text(receipt, "run", path, err);
    if ((st = sg_receipt_put(receipt, "beam", json_integer(e->beam), err)) ||
        (st = sg_receipt_put(receipt, "free", json_boolean(e->free), err)) ||
        (st = sg_receipt_put(receipt, "places",
                             json_integer((json_int_t)(r->offsets[r->n_queries] + r->n_invalid)), err)) ||
        (st = sg_receipt_put(receipt, "places_empty", json_integer((json_int_t)r->n_invalid), err)) ||
        (st = sg_receipt_object(&model, receipt, "model", err)) ||
        (st = sg_receipt_text(model, "class", m->class->name, err)) ||
        (st = sg_receipt_text(model, "sha256", m->sha256[0] ? m->sha256 : NULL, err)) ||
        (st = sg_receipt_put(model, "options",
                             sg_receipt_options(m->config, m->class->options, m->class->n_options), err)))
        return st;
    return sg_receipt_put(model, "trained", json_incref(m->receipt), err);
}

sg_status sg_eval_retrieval(json_t **out, const sg_model *m, const char *path, const sg_train_data *t,
                            const sg_eval_spec *spec, sg_pool *pool, const sg_progress *progress,
                            sg_error *err)
{
    static const int usual[] = {1, 10, 100};
    const sg_collection_split split = spec->test ? SG_COLLECTION_TEST : SG_COLLECTION_DEV;
    const int *k = spec->k ? spec->k : usual;
    const int n_k = spec->k ? spec->n_k : 3;
    json_t *result = json_object(), *measured = NULL;
    sg_run r = {0};
    sg_status st = SG_OK;

    *out = NULL;
    if (!result)
        return sg_fail_memory(err, "result");
    if (spec->exact || spec->cold || spec->candidates_cold)
        st = sg_fail(err, SG_ERR_USAGE,
                     "exact, cold, candidates: expected histories, found queries for documents");
    else if (path && spec->free)
        st = sg_fail(err, SG_ERR_USAGE, "free: expected a model that writes IDs, found lists");
    else if (sg_collection_asked(t->collection, split) == 0)
        st = sg_fail(err, SG_ERR_USAGE, "%s split: expected queries with a relevant document, found none",
                     sg_collection_split_names[split]);
    else if (path)
        st = sg_run_read(&r, (sg_dataset *)(uintptr_t)t->data, t->collection, path, err);
    else
        st = sg_run_make(&r, m, t->collection, split, spec, k[n_k - 1], pool, progress, err);
    if (!st && spec->run_path)
        st = sg_run_write(&r, t->data, t->collection, spec->run_path, path ? "run" : m->class->name, err);
    if (!st && !(st = sg_run_measure(&measured, &r, t->collection, split, k, n_k, err)) &&
        !(st = sg_receipt_put(result, "retrieval", json_incref(measured), err)) &&
        !(st = put_receipt(result, m, path, &r, t, spec, split, err))) {
        *out = result;
        result = NULL;
    }
    json_decref(measured);
    json_decref(result);
    sg_run_free(&r);
    return st;
}
