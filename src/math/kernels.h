/* kernels.h - the table of vector kernels behind the ops: one line each here, its code in math/simd/, compiled once per
 * instruction set. n counts numbers; pointers need no alignment; y may be the same array as an input, not overlap it. */
#ifndef SG_MATH_KERNELS_H
#define SG_MATH_KERNELS_H

#include "math/math.h"

/* A dropout mask is a function: number i is dropped when 16 bits drawn from (key, i) are below `below`. */
typedef struct sg_drop {
    uint64_t key;
    uint32_t below; /* 0..65536 */
    float keep;     /* what kept values are multiplied by: 65536 / (65536 - below) */
} sg_drop;

struct sg_attend;    /* math/attention.h */
struct sg_hstu_head; /* math/hstu_attention.h */
struct sg_gru_group; /* math/gru.h */
struct sg_blocks;    /* math/blocks.h */
struct sg_paged;     /* math/paged.h */

enum {
    SG_PANEL = 16, /* columns that gather_sum works on at once */
    SG_PANEL_COLS =
        64, /* of a panel of weights; the last is as wide as what is left, rounded up to SG_PANEL */
};

/* c (m, n) = keep c + gain a b over k pairs of bf16 numbers (math/simd/pairs.c); n is a multiple of 16. */
typedef struct sg_pairs {
    int m, n, k;
    const uint32_t *a, *b;
    size_t a_row, a_pair, b_pair, c_row; /* steps from row to row and from pair to pair */
    float *c;
    const float *keep; /* (m) or NULL: c is not read */
    float gain;
} sg_pairs;

/* c (m, n) = (add ? c : 0) + gain a b in f32 for one side of a few numbers (math/simd/product.c); n is a multiple of 16. */
typedef struct sg_product {
    int m, n, k;
    const float *a, *b;
    size_t a_row, b_row, c_row; /* numbers from row to row */
    float *c;
    bool turned; /* a is stored (k, m) */
    bool add;
    float gain;
} sg_product;

#define SG_KERNELS(X)                                                                                                       \
    X(void, add, (float *y, const float *a, const float *b, size_t n))                                                      \
    X(void, sub, (float *y, const float *a, const float *b, size_t n))                                                      \
    X(void, mul, (float *y, const float *a, const float *b, size_t n))                                                      \
    X(void, mul_add, (float *y, const float *a, const float *b, size_t n)) /* y += a b */                                   \
    X(void, scale, (float *y, float c, const float *x, size_t n))                                                           \
    X(void, axpy, (float *y, float c, const float *x, size_t n))                                                            \
    X(float, dot, (const float *x, const float *y, size_t n))                                                               \
    X(float, dist2, (const float *x, const float *y, size_t n))                                                             \
    X(float, max, (const float *x, size_t n))                                                                               \
    X(double, sum, (const float *x, size_t n))                                                                              \
    X(double, sum_sq, (const float *x, size_t n))                                                                           \
    X(double, sum_sq_diff, (const float *x, const float *y, size_t n))                                                      \
    X(float, sum_exp, (float *top, const float *x, size_t n))                                                               \
    X(size_t, above, (uint32_t * index, const float *x, size_t n, float shift, float floor))                                \
    X(void, to_bf16,                                                                                                        \
      (uint16_t * y, const float *x,                                                                                        \
       size_t n)) /* to nearest, ties to even; NaN stays NaN; subnormal: may be 0 */                                        \
    X(void, exp_rows, (float *y, const float *x, size_t n, float shift, float *sum))                                        \
    X(void, act, (int act, float *y, const float *x, size_t n))                                                             \
    X(void, act_grad,                                                                                                       \
      (int act, float *dx, const float *dy, const float *x, const float *y, size_t n, bool add))                            \
    X(void, dropout,                                                                                                        \
      (float *y, const float *x, const float *r, size_t first, size_t n, const sg_drop *drop))                              \
    X(void, layernorm,                                                                                                      \
      (float *y, float *mean, float *inv, const float *x, const float *w, const float *b, size_t d,                         \
       float eps))                                                                                                          \
    X(void, layernorm_grad,                                                                                                 \
      (float *dx, float *dw, float *db, const float *dy, const float *x, const float *w, float mean,                        \
       float inv, size_t d, bool add))                                                                                      \
    X(void, rmsnorm, (float *y, float *inv, const float *x, const float *w, size_t d, float eps))                           \
    X(void, rmsnorm_grad,                                                                                                   \
      (float *dx, float *dw, const float *dy, const float *x, const float *w, float inv, size_t d,                          \
       bool add))                                                                                                           \
    X(float, ce_row, (float *l, size_t n, const float *bias, float scale, float *most, double *sum))                        \
    X(void, ce_grad_row,                                                                                                    \
      (float *l, size_t n, const float *bias, float scale, float lse, float c, float even))                                 \
    X(void, ce_kept_row, (float *l, const float *e, size_t n, float c, float even))                                         \
    X(void, product, (const sg_product *p))                                                                                 \
    X(void, product_pairs, (const sg_pairs *p))                                                                             \
    X(void, pair_rows,                                                                                                      \
      (uint32_t * y, const float *even, const float *odd, size_t n)) /* n: a multiple of 16 */                              \
    X(void, turn_pairs, (uint32_t * y, size_t y_row, const uint32_t *x, size_t x_row, int rows, int pairs))                 \
    X(void, ce_kept_bf16, (float *l, const uint16_t *e, size_t n, float c, float even))                                     \
    X(void, gather_dot,                                                                                                     \
      (float *l, const float *x, const float *w, const uint32_t *at, size_t n, size_t d, float scale))                      \
    X(void, gather_axpy, (float *y, const float *c, const float *w, const uint32_t *at, size_t n, size_t d))                \
    X(float, softplus_row, (float *l, size_t n))                                                                            \
    X(void, attend_rows,                                                                                                    \
      (float *out, const float *q, int n, int heads, int dh, float scale, const float *k, const float *v,                   \
       const int32_t *row, int len, const float *bias))                                                                     \
    X(void, attend_pages, (const struct sg_paged *a, float *work))                                                          \
    X(void, attend, (const struct sg_attend *a, float *work))                                                               \
    X(void, attend_grad, (const struct sg_attend *a, float *work))                                                          \
    X(void, hstu, (const struct sg_hstu_head *a, float *work))                                                              \
    X(void, hstu_grad, (const struct sg_hstu_head *a, float *work))                                                         \
    X(void, gru, (const struct sg_gru_group *g, float *work))                                                               \
    X(void, gru_grad, (const struct sg_gru_group *g, float *work))                                                          \
    X(void, gather_sum, (float *y, const float *x, const int32_t *index, const float *value, size_t n))                     \
    X(size_t, nearest, (const float *dot, const float *norm, size_t n, float *least))                                       \
    /* y (rows, n) = x (rows, in) w[:, first .. first + n - 1]; w (in, out) in panels, SG_PANEL more numbers behind them */ \
    X(void, panels,                                                                                                         \
      (float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *w, int in, int out,                         \
       int first, int n))                                                                                                   \
    X(void, decode_blocks,                                                                                                  \
      (float *w, const struct sg_blocks *b, int panel)) /* rows of the panel, of w (out, in) */                             \
    X(void, blocks,                                                                                                         \
      (float *y, const float *x, const float *sums, int rows, const struct sg_blocks *b, int panel))                        \
    X(void, adamw, (float *w, float *m, float *v, float *g, size_t n, const sg_adamw *a))

#define SG_KERNEL_FIELD(type, name, args) type(*name) args;
typedef struct sg_kernels {
    SG_KERNELS(SG_KERNEL_FIELD)
} sg_kernels;

const sg_kernels *sg_kernels_best(void); /* for sg_isa_best() */
const sg_kernels *
sg_kernels_for(sg_isa isa); /* NULL when this build or CPU lacks it; for tests and benches */

#endif
