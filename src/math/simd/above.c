/* above.c - which numbers reach a floor: the places i with x[i] + shift >= floor, ascending. NaN never does.
 *
 * index has room for n + 16: vectors are stored whole. The sum is rounded once, so that a caller who computes
 * x[i] + shift sees the same value that was compared. */
#include "math/simd/simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

size_t SG_KERNEL(above)(uint32_t *index, const float *x, size_t n, float shift, float floor)
{
    size_t i = 0, found = 0;

#if defined(__AVX512F__)
    __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 add = _mm512_set1_ps(shift), least = _mm512_set1_ps(floor);

    for (; i < n; i += 16) {
        const __mmask16 there = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : (__mmask16)0xffff;
        const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(there, x + i), add);
        const __mmask16 reach = _mm512_mask_cmp_ps_mask(there, sum, least, _CMP_GE_OQ);

        if (reach) {
            _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(reach, place));
            found += (unsigned)__builtin_popcount(reach);
        }
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
    }
#else
#if defined(__AVX2__)
    const __m256 add = _mm256_set1_ps(shift), least = _mm256_set1_ps(floor);

    for (; i + 8 <= n; i += 8) {
        const __m256 sum = _mm256_add_ps(_mm256_loadu_ps(x + i), add);
        unsigned reach = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(sum, least, _CMP_GE_OQ));

        for (; reach; reach &= reach - 1)
            index[found++] = (uint32_t)i + (unsigned)__builtin_ctz(reach);
    }
#endif
    for (; i < n; i++) {
        index[found] = (uint32_t)i;
        found += x[i] + shift >= floor;
    }
#endif
    return found;
}
