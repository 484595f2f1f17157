/* blocks.c - one panel of a matrix in few bits times some rows (math/blocks.h).
 *
 * Integers become floats in registers; a block's sum of q x is scaled once: scale * sum q x + least * sum x. A row's sums run in
 * order of the inputs, whatever the number of rows. */
#include "math/simd/simd.h"

#include "math/blocks.h"

#include "base/half.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
enum { ROWS = SG_LANES == 16 ? 6 : 2, VECTORS = SG_LANES == 4 ? 2 : 4 }; /* of a register tile */

/* SG_LANES bytes, or halves of two bytes, as integers; by intrinsics where compilers make a conversion element by element. */
#if defined(__AVX512F__)
INLINE sg_vi bytes_at(const unsigned char *p)
{
    return (sg_vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i_u *)(const void *)p));
}

INLINE sg_vi halves_at(const unsigned char *p)
{
    return (sg_vi)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)(const void *)p));
}
#elif defined(__AVX2__)
INLINE sg_vi bytes_at(const unsigned char *p)
{
    return (sg_vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i_u *)(const void *)p));
}

INLINE sg_vi halves_at(const unsigned char *p)
{
    return (sg_vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)(const void *)p));
}
#else
INLINE sg_vi bytes_at(const unsigned char *p)
{
    return (sg_vi){p[0], p[1], p[2], p[3]};
}

INLINE sg_vi halves_at(const unsigned char *p)
{
    uint16_t h[4];

    memcpy(h, p, sizeof h);
    return (sg_vi){h[0], h[1], h[2], h[3]};
}
#endif

/* SG_LANES f16 numbers. */
#if defined(__AVX512F__)
INLINE sg_vf f16_at(const uint16_t *p)
{
    return (sg_vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)p));
}
#elif defined(__F16C__)
INLINE sg_vf f16_at(const uint16_t *p)
{
    return (sg_vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)p));
}
#else
INLINE sg_vf f16_at(const uint16_t *p)
{
    return (sg_vf){sg_f16_to_f32(p[0]), sg_f16_to_f32(p[1]), sg_f16_to_f32(p[2]), sg_f16_to_f32(p[3])};
}
#endif

INLINE sg_vf bf16_at(const unsigned char *p)
{
    return (sg_vf)(halves_at(p) << 16);
}

/* rows x vectors numbers of y; q, scale, least: of the panel, from column `col` on. bits, rows, vectors are constants where this is
 * inlined. */
INLINE void tile(float *y, size_t ldy, const float *x, const float *sums, const sg_blocks *b, size_t panel,
                 int col, int bits, bool half, int rows, int vectors)
{
    const size_t in = (size_t)b->in, block = (size_t)b->block, n = in / block;
    const unsigned char *q = b->q + (panel * in * SG_BLOCK_COLS + (size_t)col) * (size_t)bits / 8;
    const size_t first = panel * n * SG_BLOCK_COLS + (size_t)col;
    const float *scale = bits < 16 && !half ? b->scale + first : NULL,
                *least = bits < 16 && !half ? b->least + first : NULL;
    const uint16_t *scale16 = half ? b->scale16 + first : NULL, *least16 = half ? b->least16 + first : NULL;
    sg_vf all[ROWS][VECTORS];

    if (bits == 4)
        q = b->q + panel * in * SG_BLOCK_COLS / 2 + col; /* a byte is two inputs of one column */
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            all[r][v] = (sg_vf){0};
    for (size_t k = 0; k < n; k++) {
        sg_vf sum[ROWS][VECTORS];

#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[r][v] = (sg_vf){0};
        for (size_t i = 0; i < block; i += 2) {
            const float *xi = x + k * block + i;
            sg_vf even[VECTORS], odd[VECTORS];

#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                if (bits == 4) {
                    const sg_vi both = bytes_at(q + v * SG_LANES);

                    even[v] = __builtin_convertvector(both & 15, sg_vf);
                    odd[v] = __builtin_convertvector(both >> 4, sg_vf);
                } else if (bits == 8) {
                    even[v] = __builtin_convertvector(bytes_at(q + v * SG_LANES), sg_vf);
                    odd[v] = __builtin_convertvector(bytes_at(q + SG_BLOCK_COLS + v * SG_LANES), sg_vf);
                } else {
                    even[v] = bf16_at(q + 2 * v * SG_LANES);
                    odd[v] = bf16_at(q + 2 * (SG_BLOCK_COLS + v * SG_LANES));
                }
            }
            q += (size_t)bits * SG_BLOCK_COLS / 4;
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                const sg_vf x0 = sg_splat(xi[(size_t)r * in]), x1 = sg_splat(xi[(size_t)r * in + 1]);

#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) {
                    sum[r][v] += even[v] * x0;
                    sum[r][v] += odd[v] * x1;
                }
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                if (bits == 16)
                    all[r][v] += sum[r][v];
                else
                    all[r][v] +=
                        sum[r][v] * (half ? f16_at(scale16 + v * SG_LANES) : sg_load(scale + v * SG_LANES)) +
                        (half ? f16_at(least16 + v * SG_LANES) : sg_load(least + v * SG_LANES)) *
                            sums[(size_t)r * n + k];
            }
        if (half) {
            scale16 += SG_BLOCK_COLS;
            least16 += SG_BLOCK_COLS;
        } else if (bits < 16) {
            scale += SG_BLOCK_COLS;
            least += SG_BLOCK_COLS;
        }
    }
    const size_t left = (size_t)b->out - panel * SG_BLOCK_COLS; /* columns that there are */
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const size_t at = (size_t)(col + v * SG_LANES);

            if (at + SG_LANES <= left)
                sg_store(y + (size_t)r * ldy + at, all[r][v]);
            else if (at < left)
                sg_store_n(y + (size_t)r * ldy + at, all[r][v], left - at);
        }
}

#define TILE(bits, half, rows)                                                                               \
    static void tile_##bits##_##half##_##rows(float *y, size_t ldy, const float *x, const float *sums,       \
                                              const sg_blocks *b, size_t panel, int col)                     \
    {                                                                                                        \
        tile(y, ldy, x, sums, b, panel, col, bits, half, rows, VECTORS);                                     \
    }
#define TILES(rows) TILE(4, 0, rows) TILE(4, 1, rows) TILE(8, 0, rows) TILE(8, 1, rows) TILE(16, 0, rows)
TILES(1)
TILES(2)
#if defined(__AVX512F__)
TILES(5)
TILES(6)
#endif

typedef void tile_fn(float *, size_t, const float *, const float *, const sg_blocks *, size_t, int);
#define ROW(rows)                                                                                            \
    {                                                                                                        \
        tile_4_0_##rows, tile_4_1_##rows, tile_8_0_##rows, tile_8_1_##rows, tile_16_0_##rows                 \
    }

void SG_KERNEL(blocks)(float *y, const float *x, const float *sums, int rows, const sg_blocks *b, int panel)
{
#if defined(__AVX512F__)
    static tile_fn *const table[][5] = {ROW(6), ROW(5), ROW(2), ROW(1)};
    static const int heights[] = {6, 5, 2, 1};
#else
    static tile_fn *const table[][5] = {ROW(2), ROW(1)};
    static const int heights[] = {2, 1};
#endif
    const size_t in = (size_t)b->in, ldy = (size_t)b->out, n = in / (size_t)b->block;
    const int kind = b->bits == 16 ? 4 : (b->bits == 4 ? 0 : 2) + (b->scale16 != NULL);

    for (int col = 0; col < SG_BLOCK_COLS; col += VECTORS * SG_LANES)
        for (int r = 0, h = 0; r < rows; r += heights[h]) {
            while (heights[h] > rows - r ||
                   (rows - r == 10 && heights[h] == 6)) /* 5 and 5 read weights less often than 6, 2, 2 */
                h++;
            table[h][kind](y + (size_t)r * ldy, ldy, x + (size_t)r * in, sums ? sums + (size_t)r * n : NULL,
                           b, (size_t)panel, col);
        }
}
