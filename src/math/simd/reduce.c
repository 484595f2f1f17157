/* reduce.c - an array to one number. Four vectors of partial sums hide the latency of the addition; the order is fixed
 * by n alone. */
#include "math/simd/simd.h"

#include <math.h>

float SG_KERNEL(dot)(const float *x, const float *y, size_t n)
{
    sg_vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    size_t i = 0;

    for (; i + 4 * SG_LANES <= n; i += 4 * SG_LANES) {
        s0 += sg_load(x + i) * sg_load(y + i);
        s1 += sg_load(x + i + SG_LANES) * sg_load(y + i + SG_LANES);
        s2 += sg_load(x + i + 2 * SG_LANES) * sg_load(y + i + 2 * SG_LANES);
        s3 += sg_load(x + i + 3 * SG_LANES) * sg_load(y + i + 3 * SG_LANES);
    }
    for (; i + SG_LANES <= n; i += SG_LANES)
        s0 += sg_load(x + i) * sg_load(y + i);
    if (i < n)
        s1 += sg_load_n(x + i, n - i) * sg_load_n(y + i, n - i);
    return sg_hsum((s0 + s1) + (s2 + s3));
}

float SG_KERNEL(dist2)(const float *x, const float *y, size_t n)
{
    sg_vf s0 = {0}, s1 = {0};
    size_t i = 0;

    for (; i + 2 * SG_LANES <= n; i += 2 * SG_LANES) {
        const sg_vf a = sg_load(x + i) - sg_load(y + i);
        const sg_vf b = sg_load(x + i + SG_LANES) - sg_load(y + i + SG_LANES);

        s0 += a * a;
        s1 += b * b;
    }
    for (; i < n; i += SG_LANES) {
        const size_t m = n - i < SG_LANES ? n - i : SG_LANES;
        const sg_vf a = sg_load_n(x + i, m) - sg_load_n(y + i, m);

        s0 += a * a;
    }
    return sg_hsum(s0 + s1);
}

float SG_KERNEL(max)(const float *x, size_t n)
{
    sg_vf best = sg_splat(-INFINITY);
    float t[SG_LANES], m;
    size_t i = 0;

    for (; i + SG_LANES <= n; i += SG_LANES)
        best = sg_vmax(sg_load(x + i), best);
    sg_store(t, best);
    m = t[0];
    for (int j = 1; j < SG_LANES; j++)
        m = t[j] > m ? t[j] : m;
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

double SG_KERNEL(sum)(const float *x, size_t n)
{
    double s[8] = {0}, t = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            s[j] += (double)x[i + (size_t)j];
    for (int j = 0; j < 8; j++)
        t += s[j];
    for (; i < n; i++)
        t += (double)x[i];
    return t;
}

double SG_KERNEL(sum_sq)(const float *x, size_t n)
{
    double s[8] = {0}, t = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            s[j] += (double)x[i + (size_t)j] * x[i + (size_t)j];
    for (int j = 0; j < 8; j++)
        t += s[j];
    for (; i < n; i++)
        t += (double)x[i] * x[i];
    return t;
}

double SG_KERNEL(sum_sq_diff)(const float *x, const float *y, size_t n)
{
    double s[8] = {0}, t = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            const double e = (double)x[i + (size_t)j] - (double)y[i + (size_t)j];

            s[j] += e * e;
        }
    for (int j = 0; j < 8; j++)
        t += s[j];
    for (; i < n; i++)
        t += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return t;
}

void SG_KERNEL(exp_rows)(float *y, const float *x, size_t n, float shift, float *sum)
{
    sg_vf s = {0};
    size_t i = 0;
    float total;

    for (; i + SG_LANES <= n; i += SG_LANES) {
        const sg_vf e = sg_vexp(sg_load(x + i) - shift);

        sg_store(y + i, e);
        s += e;
    }
    total = sg_hsum(s);
    if (i < n) {
        sg_store_n(y + i, sg_vexp(sg_load_n(x + i, n - i) - shift), n - i);
        for (; i < n; i++)
            total += y[i];
    }
    *sum = total;
}
