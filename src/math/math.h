/* math.h - vector kernels chosen at run time (math/dispatch.c): one source file each, written with vector extensions
 * and compiled once per instruction set (baseline, AVX2+FMA, AVX-512, AVX-512 with bf16). For code that needs numbers without a graph. */
#ifndef SG_MATH_MATH_H
#define SG_MATH_MATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sg_isa {
    SG_ISA_BASE = 0,
    SG_ISA_AVX2,
    SG_ISA_AVX512,
    SG_ISA_AVX512BF16,
    SG_ISA_MOST = SG_ISA_AVX512BF16
} sg_isa;
sg_isa sg_isa_best(void); /* what this CPU has; SEDGE_ISA=base|avx2|avx512|avx512bf16 lowers it */
const char *sg_isa_name(sg_isa isa);
const char *sg_cpu_name(void); /* model name of the CPU, for receipts */

float sg_dot(const float *x, const float *y, size_t n);
float sg_dist2(const float *x, const float *y, size_t n);  /* |x - y|^2 */
void sg_axpy(float *y, float a, const float *x, size_t n); /* y += a x */
void sg_exp_rows(float *y, const float *x, size_t n, float shift,
                 float *sum);                           /* y = exp(x - shift), *sum = total */
float sg_max(const float *x, size_t n);                 /* -inf for n = 0; NaN are passed over */
float sg_sum_exp(float *top, const float *x, size_t n); /* sum of exp(x - *top), *top = the maximum */
/* The i with x[i] + shift >= floor, ascending; returns how many. index has room for n + 16. */
size_t sg_above(uint32_t *index, const float *x, size_t n, float shift, float floor);
double sg_total(const float *x, size_t n); /* in double, in a fixed order */
double sg_total_sq(const float *x, size_t n);
void sg_log_softmax(float *x, size_t n); /* in place */

/* One AdamW update of n numbers with g' = clip g:  m = beta1 m + (1 - beta1) g',  v = beta2 v + (1 - beta2) g'^2,
 * w = keep w - step m / (root sqrt(v) + eps),  g = 0. The caller folds the bias corrections into step and root. */
typedef struct sg_adamw {
    float clip, beta1, rest1, beta2, rest2, step, root, eps, keep; /* rest = 1 - beta, taken in double */
} sg_adamw;

/* The k largest of score (n) in descending order, ties by lower index; returns how many (min(k, n) less -inf and NaN). */
size_t sg_topk(int32_t *index, float *value, size_t k, const float *score, size_t n);

#endif
