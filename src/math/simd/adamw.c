/* adamw.c - one AdamW update of n numbers, each array read and written once.   [Loshchilov & Hutter 2019, alg. 2] */
#include "math/simd/simd.h"

#include <float.h>
#include <math.h>

/* A moment without gradients shrinks into the subnormal numbers and stays there, a hundred times slower to handle. */
static inline float flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0 : x;
}

void SG_KERNEL(adamw)(float *restrict w, float *restrict m, float *restrict v, float *restrict g, size_t n,
                      const sg_adamw *given)
{
    const sg_adamw a = *given;

    for (size_t i = 0; i < n; i++) {
        const float x = g[i] * a.clip;

        m[i] = flush(a.beta1 * m[i] + a.rest1 * x);
        v[i] = flush(a.beta2 * v[i] + a.rest2 * (x * x));
        w[i] = w[i] * a.keep - a.step * m[i] / (sqrtf(v[i]) * a.root + a.eps);
        g[i] = 0;
    }
}
