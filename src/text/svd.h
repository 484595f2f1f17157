/* svd.h - the right singular vectors of a sparse matrix, for projecting its rows. */
#ifndef SG_TEXT_SVD_H
#define SG_TEXT_SVD_H

#include "base/pool.h"
#include "base/progress.h"
#include "text/lsa.h"

typedef struct sg_svd {
    int dim; /* <= what was asked for: singular values that vanish are dropped */
    int features;
    float *right;  /* owned: (features, dim), orthonormal columns */
    double *value; /* owned: (dim), descending */
    double energy; /* sum of value^2 */
    double total;  /* squared Frobenius norm of the matrix */
} sg_svd;

/* The rows of a (a->n, a->features) that it was fitted on are all of a. */
sg_status sg_svd_new(sg_svd *out, const sg_tfidf *a, int dim, int iterations, uint64_t seed, sg_pool *pool,
                     const sg_progress *progress, sg_error *err);
void sg_svd_free(sg_svd *s);
/* y (a->n, dim) = a right diag(value)^(power - 1): power 1 gives the rows of U S, 0 those of U. */
sg_status sg_svd_project(float *y, const sg_svd *s, const sg_tfidf *a, double power, sg_pool *pool,
                         sg_error *err);

#endif
