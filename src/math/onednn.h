/* onednn.h - one tile of a matrix product, by oneDNN; math/onednn.c is the only file that names that library. */
#ifndef SG_MATH_ONEDNN_H
#define SG_MATH_ONEDNN_H

#include <stdbool.h>

/* c (m, n) = alpha op(a) op(b) + beta c, row-major, f32, on the calling thread alone. */
void sg_dnn_f32(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc);

#endif
