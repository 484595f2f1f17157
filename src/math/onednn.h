/* onednn.h - one tile of a matrix product, by oneDNN; math/onednn.c is the only file that names that library.
 *
 * bf16 products read and write f32 and round their operands on the way in; sums are f32. They come in fixed sizes, so that
 * few primitives exist (making one takes up to a few ms). A function that returns false did nothing: the library has no good
 * kernel here or memory ran out, and the caller takes f32. */
#ifndef SG_MATH_ONEDNN_H
#define SG_MATH_ONEDNN_H

#include <stdbool.h>
#include <stdint.h>

/* c (m, n) = alpha op(a) op(b) + beta c, row-major, f32, on the calling thread alone. */
void sg_dnn_f32(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                int ldb, float beta, float *c, int ldc);

bool sg_dnn_bf16_fast(void); /* the CPU multiplies bf16 faster than f32 */

enum {
    SG_DNN_ROWS = 128,   /* rows of a bf16 tile, at most */
    SG_DNN_COLS = 1024,  /* columns of a block of packed weights, at most */
    SG_DNN_DEPTH = 1024, /* rows of a block of packed weights, at most */
    SG_DNN_SUM = 256,    /* rows summed by one call of sg_dnn_sum_bf16 */
};

/* A matrix b (k, n), b_ij = value[i * stride_k + j * stride_n], rounded to bf16 and laid out in blocks. */
typedef struct sg_dnn_weights sg_dnn_weights;
/* Packs into *w, made when NULL. */
bool sg_dnn_pack(sg_dnn_weights **w, const float *value, int k, int n, int stride_k, int stride_n);
void sg_dnn_weights_free(sg_dnn_weights *w);
/* c (m, columns of the block) (+)= a (m, k) b[:, block]; m <= SG_DNN_ROWS; the block begins at column block * SG_DNN_COLS. */
bool sg_dnn_tile_bf16(const sg_dnn_weights *w, int block, int m, const float *a, int lda, bool add, float *c,
                      int ldc);

/* c (m, n) (+)= a^T b, a (k, m), b (k, n), k <= SG_DNN_SUM. scratch: SG_DNN_SUM * (m + n) numbers. */
bool sg_dnn_sum_bf16(int m, int n, int k, const float *a, int lda, const float *b, int ldb, bool add,
                     float *c, int ldc, uint16_t *scratch);

#endif
