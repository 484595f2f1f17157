/* softmax_ce.c - the rows of a block of logits in softmax cross-entropy. Formulas: math/softmax_ce.c.
 * A row has room for whole vectors: what is behind its n numbers is overwritten. */
#include "math/simd/tile.h"

#include <math.h>

/* Adds scale * bias and makes the numbers behind the row -inf. */
static void finish_row(float *l, size_t n, const float *bias, float scale)
{
    const size_t whole = n / SG_LANES * SG_LANES;

    for (size_t j = 0; j < whole && bias; j += SG_LANES)
        sg_store(l + j, sg_load(l + j) + scale * sg_load(bias + j));
    for (size_t j = whole; j < n && bias; j++)
        l[j] += scale * bias[j];
    for (size_t j = n; j % SG_LANES; j++)
        l[j] = -INFINITY;
}

/* l becomes exp(l - max), *most and *sum (of exp(. - most)) take the block in; returns what older sums of exp are to be
 * multiplied by, now that the maximum has moved. */
float SG_KERNEL(ce_row)(float *l, size_t n, const float *bias, float scale, float *most, double *sum)
{
    sg_vf top, part = {0};
    float now, down;

    finish_row(l, n, bias, scale);
    top = sg_load(l);
    for (size_t j = SG_LANES; j < n; j += SG_LANES)
        top = sg_vmax(sg_load(l + j), top);
    now = sg_hmax(top);
    now = now > *most ? now : *most;
    for (size_t j = 0; j < n; j += SG_LANES) {
        const sg_vf e = tile_exp(sg_load(l + j) - now);

        part += e;
        sg_store(l + j, e);
    }
    down = now > *most ? expf(*most - now) : 1;
    *sum = *sum * down + sg_hsum(part);
    *most = now;
    return down;
}

/* l becomes c (exp(l - lse) - even) */
void SG_KERNEL(ce_grad_row)(float *l, size_t n, const float *bias, float scale, float lse, float c,
                            float even)
{
    finish_row(l, n, bias, scale);
    for (size_t j = 0; j < n; j += SG_LANES)
        sg_store(l + j, c * tile_exp(sg_load(l + j) - lse) - c * even);
}

/* The same from e = exp(l - most) kept by the way there: l = c e - even, with exp(most - lse) inside c. */
void SG_KERNEL(ce_kept_row)(float *l, const float *e, size_t n, float c, float even)
{
    for (size_t j = 0; j < n; j += SG_LANES)
        sg_store(l + j, c * sg_load(e + j) - even);
}
