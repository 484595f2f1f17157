/* pairs.c - products of bf16 numbers summed in f32, two at a time, and what lays numbers out for them.
 *
 * A pair is 32 bits: the number of even place in the low half, the next one in the high half. Where the CPU multiplies pairs
 * itself, a product costs half of one in f32; elsewhere the same sums are worked out in f32. */
#include "math/simd/tile.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

enum { ROWS = 12, VECTORS = 2 };
#if defined(__AVX512F__)
enum { ROWS_MOST = 12 };
#else
enum { ROWS_MOST = 4 };
#endif

typedef sg_vi sg_vi_any __attribute__((aligned(4), may_alias));

TILE_INLINE sg_vi load_pairs(const uint32_t *p)
{
    return *(const sg_vi_any *)(const void *)p;
}

/* sum + x.low b.low + x.high b.high in every lane */
TILE_INLINE sg_vf pair_add(sg_vf sum, uint32_t x, sg_vi b)
{
#if defined(__AVX512BF16__)
    return (sg_vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)x), (__m512bh)b);
#else
    const uint32_t low = x << 16, high = x & 0xffff0000u;
    float l, h;

    memcpy(&l, &low, sizeof l);
    memcpy(&h, &high, sizeof h);
    sum += h * (sg_vf)(b & (int32_t)0xffff0000u);
    return sum + l * (sg_vf)(b << 16);
#endif
}

/* m rows and v vectors at row i, column j; m and v are constants where it is inlined. */
TILE_INLINE void pairs_of(const sg_pairs *t, int i, int j, int m, int v)
{
    const size_t row = t->a_row, step = t->a_pair, b_pair = t->b_pair;
    const uint32_t *a = t->a + (size_t)i * row, *b = t->b + j;
    const uint32_t *a3 = a + 3 * row, *a6 = a + 6 * row,
                   *a9 = a + 9 * row; /* few pointers: every address is one load */
    float *c = t->c + (size_t)i * t->c_row + j;
    sg_vf sum[ROWS][VECTORS];

#pragma GCC unroll 12
    for (int r = 0; r < m; r++)
#pragma GCC unroll 2
        for (int w = 0; w < v; w++)
            sum[r][w] = (sg_vf){0};
    for (int l = 0; l < t->k; l++, b += b_pair) {
        sg_vi bw[VECTORS];

#pragma GCC unroll 2
        for (int w = 0; w < v; w++)
            bw[w] = load_pairs(b + w * SG_LANES);
#pragma GCC unroll 12
        for (int r = 0; r < m; r++) {
            const uint32_t *ar = r < 3 ? a : r < 6 ? a3 : r < 9 ? a6 : a9;
            const uint32_t x = ar[(size_t)(r % 3) * row];

#pragma GCC unroll 2
            for (int w = 0; w < v; w++)
                sum[r][w] = pair_add(sum[r][w], x, bw[w]);
        }
        a += step;
        a3 += step;
        a6 += step;
        a9 += step;
    }
#pragma GCC unroll 12
    for (int r = 0; r < m; r++, c += t->c_row) {
        const float keep = t->keep ? t->keep[i + r] : 0;

#pragma GCC unroll 2
        for (int w = 0; w < v; w++) {
            sg_vf x = sum[r][w] * t->gain;

            if (t->keep)
                x += sg_load(c + w * SG_LANES) * keep;
            sg_store(c + w * SG_LANES, x);
        }
    }
}

#define PAIRS_FUNCTION(m, v)                                                                                 \
    static __attribute__((noinline)) void pairs_##m##x##v(const sg_pairs *t, int i, int j)                   \
    {                                                                                                        \
        pairs_of(t, i, j, m, v);                                                                             \
    }
#define PAIRS_FUNCTIONS(m) PAIRS_FUNCTION(m, 1) PAIRS_FUNCTION(m, 2)
#define PAIRS_NAMES(m)                                                                                       \
    {                                                                                                        \
        pairs_##m##x1, pairs_##m##x2                                                                         \
    }

PAIRS_FUNCTIONS(1)
PAIRS_FUNCTIONS(2)
PAIRS_FUNCTIONS(3)
PAIRS_FUNCTIONS(4)
#if defined(__AVX512F__)
PAIRS_FUNCTIONS(5)
PAIRS_FUNCTIONS(6)
PAIRS_FUNCTIONS(7)
PAIRS_FUNCTIONS(8)
PAIRS_FUNCTIONS(9)
PAIRS_FUNCTIONS(10)
PAIRS_FUNCTIONS(11)
PAIRS_FUNCTIONS(12)
#endif

static void (*const pairs_table[ROWS_MOST][VECTORS])(const sg_pairs *t, int i, int j) = {
    PAIRS_NAMES(1), PAIRS_NAMES(2),  PAIRS_NAMES(3),  PAIRS_NAMES(4),
#if defined(__AVX512F__)
    PAIRS_NAMES(5), PAIRS_NAMES(6),  PAIRS_NAMES(7),  PAIRS_NAMES(8),
    PAIRS_NAMES(9), PAIRS_NAMES(10), PAIRS_NAMES(11), PAIRS_NAMES(12),
#endif
};

/* Columns outside: a panel of b is used by all rows while it is near. */
void SG_KERNEL(product_pairs)(const sg_pairs *t)
{
    const int groups = (t->m + ROWS_MOST - 1) / ROWS_MOST;
    const int rows = groups ? (t->m + groups - 1) / groups : 0; /* even: 13 rows are 7 + 6, not 12 + 1 */

    for (int j = 0, v; j < t->n; j += v * SG_LANES) {
        v = t->n - j >= VECTORS * SG_LANES ? VECTORS : 1;
        for (int i = 0; i < t->m; i += rows)
            pairs_table[(t->m - i < rows ? t->m - i : rows) - 1][v - 1](t, i, j);
    }
}

static sg_vu rounded(sg_vf x)
{
    const sg_vu u = (sg_vu)x;

    return (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
}

/* y = pairs (even, odd); NaN stay NaN as long as their upper half says so. */
void SG_KERNEL(pair_rows)(uint32_t *y, const float *even, const float *odd, size_t n)
{
    for (size_t i = 0; i < n; i += SG_LANES) {
        const sg_vu pair = rounded(sg_load(even + i)) >> 16 | rounded(sg_load(odd + i));

        sg_store((float *)(void *)(y + i), (sg_vf)pair);
    }
}

/* y (pairs, rows rounded up to a multiple of 16) = x (rows, pairs) the other way round; pairs a multiple of 16. */
void SG_KERNEL(turn_pairs)(uint32_t *y, size_t y_row, const uint32_t *x, size_t x_row, int rows, int pairs)
{
    tile_transpose((float *)(void *)y, y_row, (const float *)(const void *)x, x_row, rows, pairs);
    if (SG_LANES < 16 && rows % 16)
        for (int p = 0; p < pairs; p++)
            memset(y + (size_t)p * y_row + (size_t)(rows + SG_LANES - 1) / SG_LANES * SG_LANES, 0,
                   (size_t)((rows + 15) / 16 * 16 - (rows + SG_LANES - 1) / SG_LANES * SG_LANES) * sizeof *y);
}

/* l = c e - even, e in bf16; n is a multiple of 16. */
void SG_KERNEL(ce_kept_bf16)(float *l, const uint16_t *e, size_t n, float c, float even)
{
    for (size_t j = 0; j < n; j++) {
        const uint32_t u = (uint32_t)e[j] << 16;
        float x;

        memcpy(&x, &u, sizeof x);
        l[j] = c * x - even;
    }
}
