/* sum_exp.c - sum of exp(x - max x) over a row, and the maximum: a log-sum-exp that stores nothing.
 *
 * exp(r + k ln 2) with |r| <= ln 2 / 2 by the polynomial of sg_vexp. x - max <= 0, so nothing overflows; -inf
 * counts as 0, NaN or a maximum that is not finite gives NaN. */
#include "math/simd/simd.h"

#include <math.h>

#if defined(__AVX512F__)
#include <immintrin.h>

static inline __m512 exp_of(__m512 x)
{
    const __m512 k =
        _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p0f)), 8); /* nearest, quietly */
    __m512 r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0x1.62e400p-1f), x);

    r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    return _mm512_scalef_ps((__m512)(sg_exp_tail((sg_vf)r) * (sg_vf)r * (sg_vf)r + (sg_vf)r + 1.0f), k);
}

static inline __mmask16 first_lanes(size_t n)
{
    return n < 16 ? (__mmask16)((1u << n) - 1) : (__mmask16)0xffff;
}

float SG_KERNEL(sum_exp)(float *top, const float *x, size_t n)
{
    const __m512 nothing = _mm512_set1_ps(-INFINITY);
    __m512 most = nothing, most2 = nothing, sum = _mm512_setzero_ps(), sum2 = sum, shift;
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        most = _mm512_max_ps(_mm512_loadu_ps(x + i), most);
        most2 = _mm512_max_ps(_mm512_loadu_ps(x + i + 16), most2);
    }
    for (; i < n; i += 16)
        most = _mm512_max_ps(_mm512_mask_loadu_ps(nothing, first_lanes(n - i), x + i), most);
    *top = _mm512_reduce_max_ps(_mm512_max_ps(most, most2));
    shift = _mm512_set1_ps(*top);
    for (i = 0; i + 32 <= n; i += 32) {
        sum = _mm512_add_ps(sum, exp_of(_mm512_sub_ps(_mm512_loadu_ps(x + i), shift)));
        sum2 = _mm512_add_ps(sum2, exp_of(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), shift)));
    }
    for (; i < n; i += 16) {
        const __mmask16 there = first_lanes(n - i);

        sum = _mm512_mask_add_ps(sum, there, sum,
                                 exp_of(_mm512_sub_ps(_mm512_maskz_loadu_ps(there, x + i), shift)));
    }
    return sg_hsum((sg_vf)_mm512_add_ps(sum, sum2));
}

#else

float SG_KERNEL(sum_exp)(float *top, const float *x, size_t n)
{
    float last[SG_LANES];
    sg_vf sum = {0};
    size_t i = 0;

    *top = SG_KERNEL(max)(x, n);
    for (; i + SG_LANES <= n; i += SG_LANES)
        sum += sg_vexp(sg_load(x + i) - *top);
    for (size_t j = 0; j < SG_LANES; j++)
        last[j] = i + j < n ? x[i + j] : -INFINITY;
    if (i < n)
        sum += sg_vexp(sg_load(last) - *top);
    return sg_hsum(sum);
}

#endif
