/* norm.c - one row of LayerNorm and RMSNorm and of their gradients. Formulas: math/norm.c. */
#include "math/simd/simd.h"

#include <math.h>

typedef struct sums {
    float a, b;
} sums;

static float total(const float *x, size_t d)
{
    sg_vf s = {0}, t = {0};
    size_t i = 0;

    for (; i + 2 * SG_LANES <= d; i += 2 * SG_LANES) {
        s += sg_load(x + i);
        t += sg_load(x + i + SG_LANES);
    }
    for (; i + SG_LANES <= d; i += SG_LANES)
        s += sg_load(x + i);
    if (i < d)
        t += sg_load_n(x + i, d - i);
    return sg_hsum(s + t);
}

static float squares(const float *x, float mean, size_t d)
{
    sg_vf s = {0}, t = {0};
    size_t i = 0;
    float sum;

    for (; i + 2 * SG_LANES <= d; i += 2 * SG_LANES) {
        const sg_vf a = sg_load(x + i) - mean, b = sg_load(x + i + SG_LANES) - mean;

        s += a * a;
        t += b * b;
    }
    for (; i + SG_LANES <= d; i += SG_LANES) {
        const sg_vf a = sg_load(x + i) - mean;

        s += a * a;
    }
    sum = sg_hsum(s + t);
    for (; i < d; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

void SG_KERNEL(layernorm)(float *y, float *mean, float *inv, const float *x, const float *w, const float *b,
                          size_t d, float eps)
{
    const float m = total(x, d) / (float)d;
    const float k = 1 / sqrtf(squares(x, m, d) / (float)d + eps);

    *mean = m;
    *inv = k;
    if (w && b)
        for (size_t i = 0; i < d; i++)
            y[i] = (x[i] - m) * k * w[i] + b[i];
    else
        for (size_t i = 0; i < d; i++)
            y[i] = (x[i] - m) * k * (w ? w[i] : 1) + (b ? b[i] : 0);
}

/* sum of w dy and of w dy (x - mean) inv, adding dy and dy (x - mean) inv to db and dw on the way */
static sums layernorm_sums(float *dw, float *db, const float *dy, const float *x, const float *w, float mean,
                           float inv, size_t d)
{
    sg_vf sa = {0}, sb = {0};
    size_t i = 0;

    for (; i + SG_LANES <= d; i += SG_LANES) {
        const sg_vf g = sg_load(dy + i), z = (sg_load(x + i) - mean) * inv;
        const sg_vf wg = w ? g * sg_load(w + i) : g;

        sa += wg;
        sb += wg * z;
        if (db)
            sg_store(db + i, sg_load(db + i) + g);
        if (dw)
            sg_store(dw + i, sg_load(dw + i) + g * z);
    }
    sums s = {sg_hsum(sa), sg_hsum(sb)};
    for (; i < d; i++) {
        const float z = (x[i] - mean) * inv, wg = w ? dy[i] * w[i] : dy[i];

        s.a += wg;
        s.b += wg * z;
        if (db)
            db[i] += dy[i];
        if (dw)
            dw[i] += dy[i] * z;
    }
    return s;
}

void SG_KERNEL(layernorm_grad)(float *dx, float *dw, float *db, const float *dy, const float *x,
                               const float *w, float mean, float inv, size_t d, bool add)
{
    const sums s = layernorm_sums(dw, db, dy, x, w, mean, inv, d);
    const float a = s.a / (float)d, b = s.b / (float)d;

    if (!dx)
        return;
    if (w && !add)
        for (size_t i = 0; i < d; i++)
            dx[i] = inv * (w[i] * dy[i] - a - (x[i] - mean) * inv * b);
    else
        for (size_t i = 0; i < d; i++)
            dx[i] = inv * ((w ? w[i] : 1) * dy[i] - a - (x[i] - mean) * inv * b) + (add ? dx[i] : 0);
}

void SG_KERNEL(rmsnorm)(float *y, float *inv, const float *x, const float *w, size_t d, float eps)
{
    const float k = 1 / sqrtf(squares(x, 0, d) / (float)d + eps);

    *inv = k;
    if (w)
        for (size_t i = 0; i < d; i++)
            y[i] = x[i] * k * w[i];
    else
        for (size_t i = 0; i < d; i++)
            y[i] = x[i] * k;
}

void SG_KERNEL(rmsnorm_grad)(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv,
                             size_t d, bool add)
{
    const float b = layernorm_sums(dw, NULL, dy, x, w, 0, inv, d).b / (float)d;

    if (!dx)
        return;
    if (w && !add)
        for (size_t i = 0; i < d; i++)
            dx[i] = inv * (w[i] * dy[i] - x[i] * inv * b);
    else
        for (size_t i = 0; i < d; i++)
            dx[i] = inv * ((w ? w[i] : 1) * dy[i] - x[i] * inv * b) + (add ? dx[i] : 0);
}
