/* assign.h - the nearest centre of every vector, again and again while the centres move. */
#ifndef SG_QUANTIZE_ASSIGN_H
#define SG_QUANTIZE_ASSIGN_H

#include "base/pool.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sg_assigner sg_assigner;

/* For about n vectors a run, which says which way is fastest; the pool's threads, or fewer, will run it. */
sg_status sg_assigner_new(sg_assigner **out, size_t n, size_t dim, size_t codes, sg_pool *pool,
                          sg_error *err);
void sg_assigner_free(sg_assigner *a);
/* code (n), ties by lower number; distance (n) or NULL: |x - centre|^2, >= 0. x_norm (n): |x|^2, or NULL. */
void sg_assigner_run(sg_assigner *a, int32_t *code, float *distance, const float *x, const float *x_norm,
                     size_t n, const float *centre, sg_pool *pool);
/* |x|^2 of rows. */
void sg_norms(float *norm, const float *x, size_t n, size_t dim, sg_pool *pool);

#endif
