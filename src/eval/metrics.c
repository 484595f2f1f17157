/* metrics.c - what a ranked list is worth.   [definitions in eval.h; checked against those of RecBole,
 * RecTools, Cornac, gorse] */
#include "eval/eval.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double gain(int32_t rank)
{
    return 1 / log2((double)rank + 1);
}

sg_metric_values sg_metrics_ranks(const int32_t *rank, int n, int k)
{
    sg_metric_values v = {0};
    const int best = n < k ? n : k;
    double dcg = 0, ideal = 0, full = 0, precisions = 0;
    int hits = 0;
    int32_t first = 0;

    if (n < 1 || k < 1)
        return v;
    for (int i = 0; i < n; i++) {
        int before = 1; /* relevant items up to this one */

        if (rank[i] < 1 || rank[i] > k)
            continue;
        for (int j = 0; j < n; j++)
            before += rank[j] >= 1 && rank[j] < rank[i];
        hits++;
        dcg += gain(rank[i]);
        precisions += (double)before / (double)rank[i];
        if (!first || rank[i] < first)
            first = rank[i];
    }
    for (int i = 1; i <= best; i++)
        ideal += gain(i);
    full = ideal;
    for (int i = best + 1; i <= k; i++)
        full += gain(i);
    v.recall = (double)hits / (double)n;
    v.hit = hits > 0;
    v.precision = (double)hits / (double)k;
    v.ndcg = dcg / ideal;
    v.mrr = first ? 1 / (double)first : 0;
    v.map = precisions / (double)best;
    v.f1 = 2 * (double)hits / (double)(n + k);
    v.ndcg_full = dcg / full;
    v.map_all = precisions / (double)n;
    return v;
}

sg_metric_values sg_metrics_list(const int32_t *list, int n, const int32_t *relevant, int n_relevant, int k)
{
    sg_metric_values v = {0};
    int32_t *rank = sg_alloc_array((size_t)n_relevant, sizeof *rank);
    int n_rank = 0;

    for (int i = 0; rank && i < n_relevant; i++) {
        bool again = false;

        for (int j = 0; j < i && !again; j++)
            again = relevant[j] == relevant[i];
        if (again)
            continue;
        rank[n_rank] = 0;
        for (int p = 0; p < n && !rank[n_rank]; p++)
            if (list[p] == relevant[i])
                rank[n_rank] = p + 1;
        n_rank++;
    }
    if (rank)
        v = sg_metrics_ranks(rank, n_rank, k);
    sg_free(rank);
    return v;
}

/* ---- exposure ---- */

sg_status sg_exposure_init(sg_exposure *e, int32_t n_items, const int *k, int n_k, sg_error *err)
{
    *e = (sg_exposure){.n_items = n_items, .n_k = n_k, .k = k};
    e->shown = sg_alloc_zero((size_t)n_items, (size_t)n_k * sizeof *e->shown);
    e->popularity = sg_alloc_zero((size_t)n_k, sizeof *e->popularity);
    e->novelty = sg_alloc_zero((size_t)n_k, sizeof *e->novelty);
    e->lists = sg_alloc_zero((size_t)n_k, sizeof *e->lists);
    if (e->shown && e->popularity && e->novelty && e->lists)
        return SG_OK;
    sg_exposure_fini(e);
    return sg_fail_memory(err, "exposure");
}

void sg_exposure_fini(sg_exposure *e)
{
    sg_free(e->shown);
    sg_free(e->popularity);
    sg_free(e->novelty);
    sg_free(e->lists);
    *e = (sg_exposure){0};
}

void sg_exposure_add(sg_exposure *e, const int32_t *list, int n)
{
    double popularity = 0, novelty = 0;
    int found = 0, p = 0;

    for (int i = 0; i < e->n_k; i++) {
        for (; p < n && p < e->k[i]; p++) {
            const int32_t item = list[p];

            if (item < 0)
                continue;
            for (int j = i; j < e->n_k; j++)
                e->shown[(size_t)j * (size_t)e->n_items + (size_t)item]++;
            if (e->events) {
                const double users = e->users[item] > 1 ? (double)e->users[item] : 1;

                popularity += (double)e->events[item];
                novelty -= log2(users / (double)e->n_users);
            }
            found++;
        }
        if (!found)
            continue;
        e->popularity[i] += popularity / found;
        e->novelty[i] += novelty / found;
        e->lists[i]++;
    }
}

static int by_count(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Gini: sum over items in order of ascending count of (2 i - n - 1) count_i, over n times all counts, i
 * from 1. */
sg_status sg_exposure_at(sg_exposure_values *out, const sg_exposure *e, int i_k, sg_error *err)
{
    const size_t n = (size_t)e->n_items;
    int64_t *count = sg_alloc_array(n, sizeof *count);
    double sum = 0, total = 0;
    size_t shown = 0;

    if (!count)
        return sg_fail_memory(err, "exposure");
    memcpy(count, e->shown + (size_t)i_k * n, n * sizeof *count);
    qsort(count, n, sizeof *count, by_count);
    for (size_t i = 0; i < n; i++) {
        sum += (2 * (double)(i + 1) - (double)n - 1) * (double)count[i];
        total += (double)count[i];
        shown += count[i] > 0;
    }
    sg_free(count);
    *out = (sg_exposure_values){.coverage = (double)shown / (double)n,
                                .gini = total > 0 ? sum / ((double)n * total) : 0};
    if (e->lists[i_k]) {
        out->popularity = e->popularity[i_k] / (double)e->lists[i_k];
        out->novelty = e->novelty[i_k] / (double)e->lists[i_k];
    }
    return SG_OK;
}
