/* gemm.h - matrix products, cut into tiles; each tile is one single-threaded call of math/onednn.h from our pool, so results
 * do not depend on the number of threads. All matrices row-major with explicit leading dimensions. */
#ifndef SG_MATH_GEMM_H
#define SG_MATH_GEMM_H

#include "math/graph.h"

/* c (m, n) = alpha op(a) op(b) + beta c; op(a) is (m, k), op(b) is (k, n). Cut over rows of c by the pool (NULL: caller). */
void sg_gemm(sg_pool *pool, sg_precision precision, bool ta, bool tb, int m, int n, int k, float alpha,
             const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
/* y (rows, out) = x (rows, in) w^T + bias, using (and refreshing, when p->version moved) the packed copy of p. */
void sg_gemm_linear(sg_pool *pool, sg_precision precision, int rows, const float *x, int ldx, sg_param *w,
                    const float *bias, float *y, int ldy);
/* The same without bias; then(ctx, ...) is called for every tile just made, while it is in cache, by the thread that made
 * it: rows row .. row + rows - 1 and columns col .. col + cols - 1 of y. */
typedef void sg_gemm_then(void *ctx, int row, int rows, int col, int cols);
void sg_gemm_linear_then(sg_pool *pool, sg_precision precision, int rows, const float *x, int ldx,
                         sg_param *w, float *y, int ldy, sg_gemm_then *then, void *ctx);
/* Columns first .. first + n - 1 of y (rows, n) alone, without bias, in f32. */
void sg_gemm_linear_range(sg_pool *pool, int rows, const float *x, int ldx, sg_param *w, int first, int n,
                          float *y, int ldy);
/* dx (rows, in) (+)= dy (rows, out) w */
void sg_gemm_linear_dx(sg_pool *pool, sg_precision precision, int rows, const float *dy, int lddy,
                       sg_param *w, float *dx, int lddx, bool add);
/* dw (out, in) += dy^T x, rows summed in fixed chunks joined in order. Scratch comes from the arena and goes back to it;
 * false when it is out of memory. */
bool sg_gemm_linear_dw(sg_pool *pool, sg_arena *arena, sg_precision precision, int rows, const float *dy,
                       int lddy, const float *x, int ldx, int out, int in, float *dw);
/* Large mapped tables are multiplied as they are until a copy that is quicker to read is worth its time and memory; results are
 * the same. This makes the copy now if it was asked for, beside products of other threads. */
void sg_gemm_settle(sg_param *w);
void sg_gemm_forget(sg_param *p); /* frees p->packed */
/* What SG auto precision means here: SG_BF16 where the CPU multiplies bf16 faster than f32 (AMX, AVX-512 BF16). */
sg_precision sg_precision_best(void);

#endif
