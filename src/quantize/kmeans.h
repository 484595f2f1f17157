/* kmeans.h - vectors to the nearest of K centres, and the centres themselves. */
#ifndef SG_QUANTIZE_KMEANS_H
#define SG_QUANTIZE_KMEANS_H

#include "base/pool.h"
#include "base/progress.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_kmeans_spec {
    int codes;
    int iterations;     /* at most; it stops when no vector changes its centre */
    int restarts;       /* runs with other seeds, the best is kept; at least 1 */
    const float *start; /* (codes, dim) where centres start; NULL: at vectors, as the next line says */
    bool random_init;   /* centres start on random vectors instead of k-means++ */
    bool balanced;      /* every centre gets floor(n / codes) or ceil(n / codes) vectors */
    int sample; /* vectors a centre that all iterations but the last look at, when there are twice as many or more (0: all) */
    uint64_t seed;
} sg_kmeans_spec;

typedef struct sg_kmeans_stats {
    int iterations;   /* of the run that was kept */
    double objective; /* mean of |x - centre|^2 */
    int moved;        /* empty centres that were put on far vectors, all iterations together */
} sg_kmeans_stats;

/* x (n, dim); centre (codes, dim) and code (n) are filled. n >= 1; with fewer different vectors than codes, the codes left
 * over stay unused. The result does not depend on the number of threads. */
sg_status sg_kmeans(float *centre, int32_t *code, sg_kmeans_stats *stats, const float *x, size_t n, int dim,
                    const sg_kmeans_spec *spec, sg_pool *pool, const sg_progress *progress, sg_error *err);

/* The nearest centre of every vector, ties by lower number; distance (n) or NULL: |x - centre|^2, >= 0. */
sg_status sg_assign(int32_t *code, float *distance, const float *x, size_t n, int dim, const float *centre,
                    int codes, sg_pool *pool, sg_error *err);

#endif
