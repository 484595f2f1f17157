/* activate.c - the non-linearities and their derivatives, number by number. act is sg_act of math/graph.h. */
#include "math/graph.h"
#include "math/simd/simd.h"

#include <math.h>

static float value(int act, float x)
{
    switch (act) {
    case SG_RELU:
        return x > 0 ? x : 0;
    case SG_GELU:
        return 0.5f * x * (1 + erff(x * 0.70710678f));
    case SG_GELU_TANH:
        return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case SG_SILU:
        return x / (1 + expf(-x));
    case SG_TANH:
        return tanhf(x);
    default:
        return 1 / (1 + expf(-x));
    }
}

static float slope(int act, float x, float y)
{
    switch (act) {
    case SG_RELU:
        return x > 0 ? 1 : 0;
    case SG_GELU:
        return 0.5f * (1 + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
    case SG_GELU_TANH: {
        const float t = tanhf(0.79788456f * (x + 0.044715f * x * x * x));

        return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
    }
    case SG_SILU: {
        const float s = 1 / (1 + expf(-x));

        return s * (1 + x * (1 - s));
    }
    case SG_TANH:
        return 1 - y * y;
    default:
        return y * (1 - y);
    }
}

void SG_KERNEL(act)(int act, float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = value(act, x[i]);
}

void SG_KERNEL(act_grad)(int act, float *dx, const float *dy, const float *x, const float *y, size_t n, bool add)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * slope(act, x[i], y[i]) + (add ? dx[i] : 0);
}
