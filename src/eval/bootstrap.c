/* bootstrap.c - how sure a mean is: the percentile bootstrap over cases.   [Efron & Tibshirani 1993, ch.
 * 13]
 *
 * A resample draws n cases with replacement. Cases whose values are all 0, nine in ten as a rule, are only
 * drawn, not added. */
#include "eval/ranks.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

typedef struct resample_job {
    const float *row;       /* (rows, m): rows that are not all 0 */
    const uint32_t *number; /* (n): row of a case; UINT32_MAX: all 0 */
    size_t n;
    int m;
    uint64_t seed;
    double *mean; /* (resamples, m) */
} resample_job;

static void resample(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const resample_job *j = ctx;
    const size_t m = (size_t)j->m;

    for (size_t r = begin; r < end; r++) {
        double *mean = j->mean + r * m;
        uint64_t bits = 0;

        for (size_t c = 0; c < m; c++)
            mean[c] = 0;
        for (size_t i = 0; i < j->n; i++) { /* two draws of 32 bits from one number; bias below n / 2^32 */
            bits = i % 2 ? bits >> 32 : sg_rng_u64(j->seed, SG_RNG_BOOTSTRAP, r, i / 2);
            const uint32_t row = j->number[(bits & 0xffffffffu) * j->n >> 32];

            if (row == UINT32_MAX)
                continue;
            for (size_t c = 0; c < m; c++)
                mean[c] += (double)j->row[row * m + c];
        }
        for (size_t c = 0; c < m; c++)
            mean[c] /= (double)j->n;
    }
}

sg_status sg_bootstrap_means(double **mean, const float *value, size_t n, int m, int resamples, uint64_t seed,
                             sg_pool *pool, sg_error *err)
{
    uint32_t *number = sg_alloc_array(n, sizeof *number);
    float *row = sg_alloc_array(n, (size_t)m * sizeof *row);
    size_t rows = 0;

    *mean = sg_alloc_array((size_t)resamples, (size_t)m * sizeof **mean);
    if (!number || !row || !*mean) {
        sg_free(number);
        sg_free(row);
        sg_free(*mean);
        *mean = NULL;
        return sg_fail_memory(err, "bootstrap");
    }
    for (size_t i = 0; i < n; i++) {
        bool any = false;

        for (int c = 0; c < m; c++)
            any |= value[i * (size_t)m + (size_t)c] != 0;
        number[i] = any ? (uint32_t)rows : UINT32_MAX;
        if (any)
            memcpy(row + rows++ * (size_t)m, value + i * (size_t)m, (size_t)m * sizeof *row);
    }
    sg_parallel_for(pool, (size_t)resamples, 8, resample, &(resample_job){row, number, n, m, seed, *mean});
    sg_free(number);
    sg_free(row);
    return SG_OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Linear between the two nearest. */
static double percentile(const double *sorted, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;

    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

sg_status sg_bootstrap_interval(double *low, double *high, const double *mean, int resamples, int m,
                                int column, sg_error *err)
{
    double *sorted = sg_alloc_array((size_t)resamples, sizeof *sorted);

    if (!sorted)
        return sg_fail_memory(err, "bootstrap");
    for (int r = 0; r < resamples; r++)
        sorted[r] = mean[(size_t)r * (size_t)m + (size_t)column];
    qsort(sorted, (size_t)resamples, sizeof *sorted, by_value);
    *low = percentile(sorted, (size_t)resamples, 0.025);
    *high = percentile(sorted, (size_t)resamples, 0.975);
    sg_free(sorted);
    return SG_OK;
}
