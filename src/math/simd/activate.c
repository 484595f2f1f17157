/* activate.c - the non-linearities and their derivatives. act is sg_act of math/graph.h.
 *
 * s(x) = 1 / (1 + exp(-x)); tanh x = e / (e + 2) with e = exp(2|x|) - 1, and the sign of x;
 * gelu = x Phi(x), Phi(-t) = exp(-t^2 / 2) R(t), R fitted in u = 1 / (1 + 0.35 t) for 0 <= t <= 14 (relative error 3e-8);
 * gelu_tanh = x s(2 c (x + 0.044715 x^3)), c = sqrt(2 / pi), the same as its form with tanh. */
#include "math/graph.h"
#include "math/simd/simd.h"

static inline sg_vf sigmoid(sg_vf x)
{
    return 1.0f / (1.0f + sg_vexp(-x));
}

/* s(x) and, without cancellation, its slope s(x) s(-x) */
static inline sg_vf sigmoid_slope(sg_vf x, sg_vf *slope)
{
    const sg_vf e = sg_vexp(-sg_vabs(x)), s = 1.0f / (1.0f + e);

    *slope = e * s * s;
    return sg_pick(x < 0.0f, e * s, s);
}

static inline sg_vf tangent(sg_vf x)
{
    const sg_vf e = sg_vexpm1(2.0f * sg_vmin(sg_splat(10.0f), sg_vabs(x))); /* a NaN stays one */

    return sg_vsign(e / (e + 2.0f), x);
}

/* Phi(x), and the density at x times sqrt(2 pi) */
static inline sg_vf normal(sg_vf x, sg_vf *bell)
{
    const sg_vf t = sg_vabs(x), u = 1.0f / (1.0f + 0.35f * t);
    sg_vf p;

    p = u * -0x1.dd88a4p-6f + 0x1.26dbaep-3f;
    p = p * u - 0x1.05db06p-2f;
    p = p * u + 0x1.45ff7ep-3f;
    p = p * u - 0x1.7aae92p-6f;
    p = p * u + 0x1.b02a7ep-4f;
    p = p * u + 0x1.ead58ap-4f;
    p = p * u + 0x1.1e6fecp-3f;
    p = p * u + 0x1.1df1d4p-3f;
    *bell = sg_vexp(-0.5f * t * t);
    p = p * u * *bell;
    return sg_pick(x < 0.0f, p, 1.0f - p);
}

/* The argument of the sigmoid of gelu_tanh, and x where it still matters: beyond 20 the sigmoid is 0 or 1. */
static inline sg_vf cubic(sg_vf *x)
{
    *x = sg_vmax(sg_splat(-20.0f), sg_vmin(sg_splat(20.0f), *x));
    return *x * (1.5957691216f + 0.0713548162726f * *x * *x);
}

static inline sg_vf value(int act, sg_vf x)
{
    sg_vf t = x;

    switch (act) {
    case SG_RELU:
        return sg_pick(x <= 0.0f, (sg_vf){0}, x); /* a NaN stays one */
    case SG_GELU:
        return x * normal(x, &t);
    case SG_GELU_TANH:
        return x * sigmoid(cubic(&t));
    case SG_SILU:
        return x * sigmoid(x);
    case SG_TANH:
        return tangent(x);
    default:
        return sigmoid(x);
    }
}

static inline sg_vf slope(int act, sg_vf x, sg_vf y)
{
    sg_vf s, t = x;

    switch (act) {
    case SG_RELU:
        return sg_pick(x > 0.0f, sg_splat(1), (sg_vf){0});
    case SG_GELU:
        s = normal(x, &t);
        return s + 0.3989422804f * x * t;
    case SG_GELU_TANH:
        s = sigmoid_slope(cubic(&x), &t);
        return s + x * t * (1.5957691216f + 0.2140644488178f * x * x);
    case SG_SILU:
        s = sigmoid_slope(x, &t);
        return s + x * t;
    case SG_TANH:
        return 1.0f - y * y;
    default:
        return y * (1.0f - y);
    }
}

/* Constant act in each call, so that the switch above is gone from the loops. */
static inline void act_loop(int act, float *y, const float *x, size_t n)
{
    size_t i = 0;

    for (; i + SG_LANES <= n; i += SG_LANES)
        sg_store(y + i, value(act, sg_load(x + i)));
    if (i < n)
        sg_store_n(y + i, value(act, sg_load_n(x + i, n - i)), n - i);
}

static inline void grad_loop(int act, float *dx, const float *dy, const float *x, const float *y, size_t n,
                             bool add)
{
    size_t i = 0;

    for (; i + SG_LANES <= n; i += SG_LANES) {
        const sg_vf d = sg_load(dy + i) * slope(act, sg_load(x + i), sg_load(y + i));

        sg_store(dx + i, add ? sg_load(dx + i) + d : d);
    }
    if (i < n) {
        const size_t m = n - i;
        const sg_vf d = sg_load_n(dy + i, m) * slope(act, sg_load_n(x + i, m), sg_load_n(y + i, m));

        sg_store_n(dx + i, add ? sg_load_n(dx + i, m) + d : d, m);
    }
}

#define EACH_ACT(X) X(SG_RELU) X(SG_GELU) X(SG_GELU_TANH) X(SG_SILU) X(SG_TANH) X(SG_SIGMOID)

void SG_KERNEL(act)(int act, float *y, const float *x, size_t n)
{
#define ACT_CASE(a)                                                                                          \
    case a:                                                                                                  \
        act_loop(a, y, x, n);                                                                                \
        break;
    switch (act) {
        EACH_ACT(ACT_CASE)
    }
}

void SG_KERNEL(act_grad)(int act, float *dx, const float *dy, const float *x, const float *y, size_t n,
                         bool add)
{
#define GRAD_CASE(a)                                                                                         \
    case a:                                                                                                  \
        grad_loop(a, dx, dy, x, y, n, add);                                                                  \
        break;
    switch (act) {
        EACH_ACT(GRAD_CASE)
    }
}
