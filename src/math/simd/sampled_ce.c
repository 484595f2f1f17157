/* sampled_ce.c - a row against rows of a table picked by number, and the logistic loss of its logits. */
#include "math/simd/tile.h"

/* l_j = scale x.w_at[j], four at a time; at[j] UINT32_MAX: no row, l_j is not meant to be used */
void SG_KERNEL(gather_dot)(float *l, const float *x, const float *w, const uint32_t *at, size_t n, size_t d,
                           float scale)
{
    for (size_t j = 0; j < n; j += 4) {
        const size_t m = n - j < 4 ? n - j : 4;
        const float *row[4];
        sg_vf sum[4] = {{0}};
        size_t i = 0;

        for (size_t r = 0; r < 4; r++) {
            const uint32_t which = at[j + (r < m ? r : 0)];

            row[r] = w + (which == UINT32_MAX ? 0 : which) * d;
        }
        for (; i + SG_LANES <= d; i += SG_LANES) {
            const sg_vf v = sg_load(x + i);

#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                sum[r] += v * sg_load(row[r] + i);
        }
        if (i < d) {
            const sg_vf v = sg_load_n(x + i, d - i);

#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                sum[r] += v * sg_load_n(row[r] + i, d - i);
        }
        for (size_t r = 0; r < m; r++)
            l[j + r] = scale * sg_hsum(sum[r]);
    }
}

/* y += sum_j c_j w_at[j], a few vectors of y at a time in registers; at[j] UINT32_MAX: nothing */
void SG_KERNEL(gather_axpy)(float *y, const float *c, const float *w, const uint32_t *at, size_t n, size_t d)
{
    size_t i = 0;

    for (; i + 4 * SG_LANES <= d; i += 4 * SG_LANES) {
        sg_vf sum[4];

#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            sum[k] = sg_load(y + i + (size_t)k * SG_LANES);
        for (size_t j = 0; j < n; j++) {
            const float *row = w + at[j] * d + i;

            if (at[j] == UINT32_MAX)
                continue;
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++)
                sum[k] += c[j] * sg_load(row + (size_t)k * SG_LANES);
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            sg_store(y + i + (size_t)k * SG_LANES, sum[k]);
    }
    for (; i < d; i += SG_LANES) {
        const size_t m = d - i < SG_LANES ? d - i : SG_LANES;
        sg_vf sum = sg_load_n(y + i, m);

        for (size_t j = 0; j < n; j++)
            if (at[j] != UINT32_MAX)
                sum += c[j] * sg_load_n(w + at[j] * d + i, m);
        sg_store_n(y + i, sum, m);
    }
}

/* Of logits x: log(1 + e^x), and *s = 1 / (1 + e^-x), both by u = e^-|x|. log(1 + u) = 2 atanh(z), z = u / (2 + u) <= 1/3:
 * the series to z^15 is off by less than 1e-9. */
static sg_vf softplus(sg_vf x, sg_vf *s)
{
    const sg_vf size = sg_vabs(x), u = tile_exp(-size), z = u / (2.0f + u), z2 = z * z;
    sg_vf p = z2 * (1 / 15.0f) + 1 / 13.0f;

    p = p * z2 + 1 / 11.0f;
    p = p * z2 + 1 / 9.0f;
    p = p * z2 + 1 / 7.0f;
    p = p * z2 + 1 / 5.0f;
    p = p * z2 + 1 / 3.0f;
    p = (p * z2 * z + z) * 2.0f;
    *s = sg_pick(x < 0.0f, u, sg_splat(1)) / (1.0f + u);
    return sg_vmax(x, (sg_vf){0}) + p;
}

/* Sum of log(1 + e^l); l becomes its derivative. -inf gives 0 and 0. */
float SG_KERNEL(softplus_row)(float *l, size_t n)
{
    sg_vf sum = {0}, s;

    for (size_t j = 0; j + SG_LANES <= n; j += SG_LANES) {
        sum += softplus(sg_load(l + j), &s);
        sg_store(l + j, s);
    }
    if (n % SG_LANES) {
        const size_t j = n / SG_LANES * SG_LANES;
        float rest[SG_LANES];

        sg_store(rest, sg_splat(-__builtin_inff()));
        memcpy(rest, l + j, (n - j) * sizeof *l);
        sum += softplus(sg_load(rest), &s);
        sg_store_n(l + j, s, n - j);
    }
    return sg_hsum(sum);
}
