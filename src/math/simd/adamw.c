/* adamw.c - one AdamW update of n numbers, each array read and written once.   [Loshchilov & Hutter 2019, alg. 2]
 * m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w = w decay - lr m / (sqrt(v) + eps), with the bias corrections inside
 * lr and eps. */
#include "math/simd/simd.h"

#include <math.h>

void SG_KERNEL(adamw)(float *w, float *m, float *v, const float *g, size_t n, const sg_adamw *a)
{
    const float b1 = a->beta1, b2 = a->beta2, c1 = 1 - b1, c2 = 1 - b2, lr = a->lr, eps = a->eps, decay = a->decay;

    for (size_t i = 0; i < n; i++) {
        const float x = g[i] * a->grad_scale;

        m[i] = b1 * m[i] + c1 * x;
        v[i] = b2 * v[i] + c2 * (x * x);
        w[i] = w[i] * decay - lr * m[i] / (sqrtf(v[i]) + eps);
    }
}
