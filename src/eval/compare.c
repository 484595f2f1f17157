/* compare.c - the ranks of a run as a file, and paired tests of two of them.
 *
 * p of the paired bootstrap: twice the smaller share of resampled mean differences on either side of 0. p
 * of the randomisation test: the share of random sign flips, the observed one included, whose mean
 * difference is at least as large.
 *   [Efron & Tibshirani 1993, ch. 16; Smucker, Allan & Carterette, CIKM 2007] */
#include "eval/ranks.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "file/receipt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "sedge-ranks-1"

static const int cutoffs[] = {5, 10, 20};
enum { N_CUTOFFS = sizeof cutoffs / sizeof *cutoffs, COLUMNS_MAX = 2 * 2 * N_CUTOFFS };

sg_status sg_ranks_save(const sg_ranks *r, const char *path, const char *model, const char *data_sha256,
                        const char *split, int length, sg_error *err)
{
    int32_t *user = sg_alloc_array(r->n, sizeof *user);
    sg_tensor_desc list[5];
    char text[16];
    size_t n = 0;
    sg_status st;

    if (!user)
        return sg_fail_memory(err, "ranks");
    for (size_t i = 0; i < r->n; i++)
        user[i] = r->cases[i]->user;
    snprintf(text, sizeof text, "%d", length);
    list[n++] = (sg_tensor_desc){
        .name = "offsets", .dtype = SG_DT_I64, .rank = 1, .dim = {r->n + 1}, .data = r->offsets};
    list[n++] = (sg_tensor_desc){.name = "user", .dtype = SG_DT_I32, .rank = 1, .dim = {r->n}, .data = user};
    list[n++] = (sg_tensor_desc){
        .name = "item", .dtype = SG_DT_I32, .rank = 1, .dim = {r->n_target}, .data = r->item};
    for (int f = 0; f < 2; f++)
        if (r->rank[f])
            list[n++] = (sg_tensor_desc){.name = f ? "rank.filtered" : "rank.unfiltered",
                                         .dtype = SG_DT_I32,
                                         .rank = 1,
                                         .dim = {r->n_target},
                                         .data = r->rank[f]};
    st = sg_tensors_write(
        path, list, n,
        (const sg_meta[]){
            {"data", data_sha256}, {"format", FORMAT}, {"length", text}, {"model", model}, {"split", split}},
        5, err);
    sg_free(user);
    return st;
}

typedef struct run {
    const char *path;
    sg_tensors *file; /* owned */
    sg_ranks r;       /* borrowed from the file */
    const int32_t *user;
    int length;
} run;

static sg_status open_run(run *a, const char *path, sg_error *err)
{
    const sg_file_tensor *offsets, *user, *item, *rank;
    const char *format, *length;
    sg_status st;

    a->path = path;
    if ((st = sg_tensors_open(&a->file, path, err)))
        return st;
    format = sg_tensors_meta(a->file, "format");
    length = sg_tensors_meta(a->file, "length");
    if (!format || strcmp(format, FORMAT) != 0 || !length)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected ranks written by `sedge eval --per-user`", path);
    a->length = atoi(length);
    if ((st = sg_tensors_need(&user, a->file, "user", SG_DT_I32, 1, (const int64_t[]){-1}, err)) ||
        (st = sg_tensors_need(&item, a->file, "item", SG_DT_I32, 1, (const int64_t[]){-1}, err)) ||
        (st = sg_tensors_need(&offsets, a->file, "offsets", SG_DT_I64, 1,
                              (const int64_t[]){(int64_t)user->count + 1}, err)))
        return st;
    a->user = user->data;
    a->r = (sg_ranks){.n = user->count,
                      .n_target = item->count,
                      .offsets = (int64_t *)(uintptr_t)offsets->data, /* read only */
                      .item = (int32_t *)(uintptr_t)item->data};
    if (a->r.n < 2 || a->r.offsets[0] != 0 || a->r.offsets[a->r.n] != (int64_t)item->count)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at least 2 cases whose targets fill the file", path);
    for (size_t i = 0; i < a->r.n; i++)
        if (a->r.offsets[i] >= a->r.offsets[i + 1] || a->r.offsets[i + 1] - a->r.offsets[i] > INT32_MAX)
            return sg_fail(err, SG_ERR_FORMAT, "%s: case %zu: expected at least one target", path, i);
    for (int f = 0; f < 2; f++)
        if (sg_tensors_find(a->file, f ? "rank.filtered" : "rank.unfiltered")) {
            if ((st = sg_tensors_need(&rank, a->file, f ? "rank.filtered" : "rank.unfiltered", SG_DT_I32, 1,
                                      (const int64_t[]){(int64_t)item->count}, err)))
                return st;
            a->r.rank[f] = (int32_t *)(uintptr_t)rank->data;
        }
    return SG_OK;
}

static sg_status check_same_cases(const run *a, const run *b, sg_error *err)
{
    if (a->r.n != b->r.n || a->r.n_target != b->r.n_target)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s has %zu cases and %s has %zu: a paired test needs the same ones", a->path, a->r.n,
                       b->path, b->r.n);
    for (size_t i = 0; i < a->r.n; i++) {
        bool same = a->user[i] == b->user[i] && a->r.offsets[i + 1] == b->r.offsets[i + 1];

        for (int64_t t = a->r.offsets[i]; same && t < a->r.offsets[i + 1]; t++)
            same = a->r.item[t] == b->r.item[t];
        if (!same)
            return sg_fail(err, SG_ERR_USAGE,
                           "case %zu differs between %s and %s: a paired test needs the same ones", i,
                           a->path, b->path);
    }
    return SG_OK;
}

typedef struct column {
    int filter, k;
    bool ndcg;
} column;

static double case_value(const sg_ranks *r, size_t i, const column *c)
{
    const sg_metric_values v =
        sg_metrics_ranks(r->rank[c->filter] + r->offsets[i], (int)(r->offsets[i + 1] - r->offsets[i]), c->k);

    return c->ndcg ? v.ndcg : v.recall;
}

/* Flips the sign of each case's differences at random; counts how often a column's mean is as far from 0
 * as the observed one. */
static void randomise(int64_t *as_large, const float *difference, size_t n, int m, const double *observed,
                      int rounds, uint64_t seed)
{
    for (int c = 0; c < m; c++)
        as_large[c] = 0;
    for (int r = 0; r < rounds; r++) {
        double sum[COLUMNS_MAX] = {0};
        uint64_t bits = 0;

        for (size_t i = 0; i < n; i++) {
            if (i % 64 == 0)
                bits = sg_rng_u64(seed, SG_RNG_BOOTSTRAP, (uint64_t)r + ((uint64_t)1 << 40), i / 64);
            const double sign = bits >> (i % 64) & 1 ? 1 : -1;
            for (int c = 0; c < m; c++)
                sum[c] += sign * (double)difference[i * (size_t)m + (size_t)c];
        }
        for (int c = 0; c < m;
             c++) /* a sum in another order may differ in its last bits: that is equal, too */
            as_large[c] += fabs(sum[c]) >= fabs(observed[c]) * (double)n * (1 - 1e-9);
    }
}

static sg_status add_column(json_t *out, const column *c, double a, double b, double low, double high,
                            double p_bootstrap, double p_random, sg_error *err)
{
    json_t *filter = json_object_get(out, sg_filter_names[c->filter]);
    char name[32];

    if (!filter) {
        const sg_status st = sg_receipt_object(&filter, out, sg_filter_names[c->filter], err);

        if (st)
            return st;
    }
    snprintf(name, sizeof name, "%s@%d", c->ndcg ? "ndcg" : "recall", c->k);
    return sg_receipt_put(filter, name,
                          json_pack("{s:f, s:f, s:f, s:[f, f], s:f, s:f}", "a", a, "b", b, "difference",
                                    a - b, "interval", low, high, "p_bootstrap", p_bootstrap,
                                    "p_randomisation", p_random),
                          err);
}

static int list_columns(column *out, const run *a, const run *b)
{
    int m = 0;

    for (int f = 0; f < 2; f++)
        for (int k = 0; k < N_CUTOFFS && a->r.rank[f] && b->r.rank[f]; k++) {
            if ((a->length && cutoffs[k] > a->length) || (b->length && cutoffs[k] > b->length))
                continue;
            out[m++] = (column){f, cutoffs[k], false};
            out[m++] = (column){f, cutoffs[k], true};
        }
    return m;
}

static sg_status test_columns(json_t *out, const run *a, const run *b, int resamples, uint64_t seed,
                              sg_error *err)
{
    column columns[COLUMNS_MAX];
    double mean_a[COLUMNS_MAX] = {0}, mean_b[COLUMNS_MAX] = {0}, observed[COLUMNS_MAX];
    int64_t as_large[COLUMNS_MAX];
    const int m = list_columns(columns, a, b);
    const size_t n = a->r.n;
    float *difference;
    double *mean = NULL;
    sg_status st;

    if (!m)
        return sg_fail(err, SG_ERR_USAGE, "%s and %s have no metric in common", a->path, b->path);
    if (!(difference = sg_alloc_array(n, (size_t)m * sizeof *difference)))
        return sg_fail_memory(err, "differences");
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < m; c++) {
            const double x = case_value(&a->r, i, &columns[c]), y = case_value(&b->r, i, &columns[c]);

            mean_a[c] += x;
            mean_b[c] += y;
            difference[i * (size_t)m + (size_t)c] = (float)(x - y);
        }
    for (int c = 0; c < m; c++) {
        mean_a[c] /= (double)n;
        mean_b[c] /= (double)n;
        observed[c] = mean_a[c] - mean_b[c];
    }
    randomise(as_large, difference, n, m, observed, resamples, seed);
    st = sg_bootstrap_means(&mean, difference, n, m, resamples, seed, NULL, err);
    for (int c = 0; !st && c < m; c++) {
        int64_t below = 0, above = 0;
        double low, high, p;

        for (int r = 0; r < resamples; r++) {
            below += mean[(size_t)r * (size_t)m + (size_t)c] <= 0;
            above += mean[(size_t)r * (size_t)m + (size_t)c] >= 0;
        }
        p = 2 * (double)((below < above ? below : above) + 1) / (double)(resamples + 1);
        if (!(st = sg_bootstrap_interval(&low, &high, mean, resamples, m, c, err)))
            st = add_column(out, &columns[c], mean_a[c], mean_b[c], low, high, p < 1 ? p : 1,
                            (double)(as_large[c] + 1) / (double)(resamples + 1), err);
    }
    sg_free(difference);
    sg_free(mean);
    return st;
}

sg_status sg_eval_compare(json_t **out, const char *path_a, const char *path_b, int resamples, uint64_t seed,
                          sg_error *err)
{
    run a = {0}, b = {0};
    json_t *j = json_object();
    sg_status st;

    *out = NULL;
    if (resamples < 1)
        st = sg_fail(err, SG_ERR_USAGE, "resamples: expected at least 1, found %d", resamples);
    else if (!(st = open_run(&a, path_a, err)) && !(st = open_run(&b, path_b, err)) &&
             !(st = check_same_cases(&a, &b, err)) &&
             !(st = sg_receipt_text(j, "a", sg_tensors_meta(a.file, "model"), err)) &&
             !(st = sg_receipt_text(j, "b", sg_tensors_meta(b.file, "model"), err)) &&
             !(st = sg_receipt_put(j, "cases", json_integer((json_int_t)a.r.n), err)) &&
             !(st = sg_receipt_put(j, "resamples", json_integer(resamples), err)) &&
             !(st = sg_receipt_put(j, "seed", json_integer((json_int_t)seed), err)))
        st = test_columns(j, &a, &b, resamples, seed, err);
    sg_tensors_close(a.file);
    sg_tensors_close(b.file);
    if (st)
        json_decref(j);
    else
        *out = j;
    return st;
}
