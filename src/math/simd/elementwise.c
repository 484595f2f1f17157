/* elementwise.c - sums, products and scalings of arrays; memory-bound, so plain loops the compiler turns into vectors. */
#include "math/simd/simd.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

void SG_KERNEL(add)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void SG_KERNEL(sub)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] - b[i];
}

void SG_KERNEL(mul)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

void SG_KERNEL(mul_add)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

void SG_KERNEL(scale)(float *y, float c, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = c * x[i];
}

void SG_KERNEL(axpy)(float *y, float c, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += c * x[i];
}

void SG_KERNEL(to_bf16)(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;

#if defined(__AVX512BF16__)
    for (; i + SG_LANES <= n; i += SG_LANES)
        _mm256_storeu_si256((__m256i *)(void *)(y + i), (__m256i)_mm512_cvtneps_pbh((__m512)sg_load(x + i)));
#endif
    for (; i < n; i++) {
        uint32_t u;

        memcpy(&u, x + i, sizeof u);
        y[i] =
            (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? (u >> 16) | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}
