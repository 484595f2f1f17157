/* tile.h - small matrix products whose result stays in registers, for kernels that fuse them with other work.
 *
 *   c (m, n) = keep c + gain a b      a (m, k) with any two strides, so that its transpose is free; b (k, n), rows contiguous
 *
 * n is a multiple of SG_LANES. Sums run over k in order, in one fused chain per number. */
#ifndef SG_MATH_SIMD_TILE_H
#define SG_MATH_SIMD_TILE_H

#include "math/simd/simd.h"

#if defined(__AVX512F__) /* 32 registers: 24 hold the result */
enum { TILE_ROWS = 12, TILE_VECTORS = 4, TILE_NUMBERS = 24 };
#else /* 16 registers (SSE2, AVX2) */
enum { TILE_ROWS = 6, TILE_VECTORS = 2, TILE_NUMBERS = 12 };
#endif

#define TILE_INLINE static inline __attribute__((always_inline))

typedef struct tile_job {
    int k;
    const float *a, *b;
    size_t a_ld, b_ld, c_ld; /* numbers from row to row */
    bool transposed;         /* a is stored (k, m) */
    float *c;
    const float *keep, *gain; /* (m) or NULL: c is not read; gain 1 */
} tile_job;

/* One register tile of m rows and v vectors at row i, column j; m, v and transposed are constants where it is inlined. */
TILE_INLINE void tile_of(const tile_job *t, int i, int j, int m, int v, bool transposed)
{
    const size_t ld = t->a_ld, b_ld = t->b_ld;
    const float *a = t->a + (size_t)i * (transposed ? 1 : ld), *b = t->b + j;
    const float *a3 = a + 3 * ld, *a6 = a + 6 * ld,
                *a9 = a + 9 * ld; /* few pointers: every address is one load */
    float *c = t->c + (size_t)i * t->c_ld + j;
    sg_vf sum[TILE_ROWS][TILE_VECTORS];

#pragma GCC unroll 12
    for (int r = 0; r < m; r++)
#pragma GCC unroll 4
        for (int w = 0; w < v; w++)
            sum[r][w] = (sg_vf){0};
    for (int l = 0; l < t->k; l++, b += b_ld) {
        sg_vf bw[TILE_VECTORS];

#pragma GCC unroll 4
        for (int w = 0; w < v; w++)
            bw[w] = sg_load(b + w * SG_LANES);
#pragma GCC unroll 12
        for (int r = 0; r < m; r++) {
            const float *ar = r < 3 ? a : r < 6 ? a3 : r < 9 ? a6 : a9;
            const sg_vf x = sg_splat(transposed ? a[r] : ar[(size_t)(r % 3) * ld]);

#pragma GCC unroll 4
            for (int w = 0; w < v; w++)
                sum[r][w] += x * bw[w];
        }
        a += transposed ? ld : 1;
        a3++;
        a6++;
        a9++;
    }
#pragma GCC unroll 12
    for (int r = 0; r < m; r++, c += t->c_ld) {
        const float keep = t->keep ? t->keep[i + r] : 0, gain = t->gain ? t->gain[i + r] : 1;

#pragma GCC unroll 4
        for (int w = 0; w < v; w++) {
            sg_vf x = sum[r][w] * gain;

            if (t->keep)
                x += sg_load(c + w * SG_LANES) * keep;
            sg_store(c + w * SG_LANES, x);
        }
    }
}

/* The functions one needs: tile_3x4 is 3 rows of 4 vectors. Not inlined, so that each exists once. */
#define TILE_FUNCTION(m, v)                                                                                  \
    static __attribute__((noinline)) void tile_##m##x##v(const tile_job *t, int i, int j)                    \
    {                                                                                                        \
        tile_of(t, i, j, m, v, false);                                                                       \
    }                                                                                                        \
    static __attribute__((noinline)) void tile_t##m##x##v(const tile_job *t, int i, int j)                   \
    {                                                                                                        \
        tile_of(t, i, j, m, v, true);                                                                        \
    }
#define TILE_ROW_OF(v)                                                                                       \
    TILE_FUNCTION(1, v)                                                                                      \
    TILE_FUNCTION(2, v) TILE_FUNCTION(3, v) TILE_FUNCTION(4, v) TILE_FUNCTION(5, v) TILE_FUNCTION(6, v)
#define TILE_MORE_OF(v)                                                                                      \
    TILE_FUNCTION(7, v)                                                                                      \
    TILE_FUNCTION(8, v) TILE_FUNCTION(9, v) TILE_FUNCTION(10, v) TILE_FUNCTION(11, v) TILE_FUNCTION(12, v)
#define TILE_NAMES(t, v)                                                                                     \
    tile_##t##1x##v, tile_##t##2x##v, tile_##t##3x##v, tile_##t##4x##v, tile_##t##5x##v, tile_##t##6x##v
#define TILE_MORE_NAMES(t, v)                                                                                \
    tile_##t##7x##v, tile_##t##8x##v, tile_##t##9x##v, tile_##t##10x##v, tile_##t##11x##v, tile_##t##12x##v

TILE_ROW_OF(1)
TILE_ROW_OF(2)
#if defined(__AVX512F__)
TILE_MORE_OF(1)
TILE_MORE_OF(2)
TILE_ROW_OF(3)
TILE_ROW_OF(4)
TILE_FUNCTION(7, 3)
TILE_FUNCTION(8, 3)
#endif

typedef void tile_function(const tile_job *t, int i, int j);
static tile_function *const tile_table[2][TILE_VECTORS][TILE_ROWS] = {
#if defined(__AVX512F__)
    {{TILE_NAMES(, 1), TILE_MORE_NAMES(, 1)},
     {TILE_NAMES(, 2), TILE_MORE_NAMES(, 2)},
     {TILE_NAMES(, 3), tile_7x3, tile_8x3},
     {TILE_NAMES(, 4)}},
    {{TILE_NAMES(t, 1), TILE_MORE_NAMES(t, 1)},
     {TILE_NAMES(t, 2), TILE_MORE_NAMES(t, 2)},
     {TILE_NAMES(t, 3), tile_t7x3, tile_t8x3},
     {TILE_NAMES(t, 4)}},
#else
    {{TILE_NAMES(, 1)}, {TILE_NAMES(, 2)}},
    {{TILE_NAMES(t, 1)}, {TILE_NAMES(t, 2)}},
#endif
};

/* All of c: m rows, n columns. Columns outside: a panel of b is used by all rows while it is near. */
static inline void tile_product(const tile_job *t, int m, int n)
{
    const int groups = (m + TILE_ROWS - 1) / TILE_ROWS;
    const int rows = groups ? (m + groups - 1) / groups : 0; /* even: 13 rows are 7 + 6, not 12 + 1 */
    const int most = rows * TILE_VECTORS <= TILE_NUMBERS ? TILE_VECTORS : TILE_NUMBERS / rows;
    const int vectors = n / SG_LANES, panels = (vectors + most - 1) / most;

    for (int p = 0, at = 0; p < panels; p++) {
        const int v = (vectors - at + panels - p - 1) / (panels - p);

        for (int i = 0; i < m; i += rows)
            tile_table[t->transposed][v - 1][(m - i < rows ? m - i : rows) - 1](t, i, at * SG_LANES);
        at += v;
    }
}

/* to (cols, rows rounded up to SG_LANES) = from (rows, cols)^T, the added columns zero; cols a multiple of SG_LANES. */
#if defined(__AVX512F__)
#define TILE_SHUFFLE(x, y, f, s)                                                                             \
    __builtin_shufflevector(x, y, f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s),    \
                            f(8, s), f(9, s), f(10, s), f(11, s), f(12, s), f(13, s), f(14, s), f(15, s))
#elif defined(__AVX2__)
#define TILE_SHUFFLE(x, y, f, s)                                                                             \
    __builtin_shufflevector(x, y, f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s))
#else
#define TILE_SHUFFLE(x, y, f, s) __builtin_shufflevector(x, y, f(0, s), f(1, s), f(2, s), f(3, s))
#endif
#define TILE_UPPER(l, s) ((l) & (s) ? SG_LANES + (l) - (s) : (l))
#define TILE_LOWER(l, s) ((l) & (s) ? SG_LANES + (l) : (l) + (s))
/* Swaps the off-diagonal s x s blocks of every 2s x 2s block. */
#define TILE_SWAP(x, s)                                                                                      \
    for (int i = 0; i < SG_LANES; i++)                                                                       \
        if (!(i & (s))) {                                                                                    \
            const sg_vf up = x[i], down = x[i + (s)];                                                        \
                                                                                                             \
            x[i] = TILE_SHUFFLE(up, down, TILE_UPPER, s);                                                    \
            x[i + (s)] = TILE_SHUFFLE(up, down, TILE_LOWER, s);                                              \
        }

static inline void tile_transpose(float *to, size_t to_row, const float *from, size_t from_row, int rows,
                                  int cols)
{
    for (int r = 0; r < rows; r += SG_LANES)
        for (int c = 0; c < cols; c += SG_LANES) {
            const float *f = from + (size_t)r * from_row + c;
            float *t = to + (size_t)c * to_row + r;
            sg_vf x[SG_LANES];

            if (rows - r >= SG_LANES) {
#pragma GCC unroll 16
                for (int i = 0; i < SG_LANES; i++)
                    x[i] = sg_load(f + (size_t)i * from_row);
            } else {
#pragma GCC unroll 16
                for (int i = 0; i < SG_LANES; i++)
                    x[i] = i < rows - r ? sg_load(f + (size_t)i * from_row) : (sg_vf){0};
            }
#if defined(__AVX512F__)
#pragma GCC unroll 16
            TILE_SWAP(x, 8)
#endif
#if defined(__AVX2__)
#pragma GCC unroll 16
            TILE_SWAP(x, 4)
#endif
#pragma GCC unroll 16
            TILE_SWAP(x, 2)
#pragma GCC unroll 16
            TILE_SWAP(x, 1)
#pragma GCC unroll 16
            for (int i = 0; i < SG_LANES; i++)
                sg_store(t + (size_t)i * to_row, x[i]);
        }
}

/* exp(x) for x below 88, within 1 ulp; exactly 0 below -87 (no denormals: they are slow, and masked numbers are -inf);
 * NaN stays NaN. x = k ln 2 + r: 1 + r + r^2 q(r) with q minimax of degree 4 on |r| <= ln 2 / 2, off by 3e-9. */
static inline sg_vf tile_exp(sg_vf x)
{
    const float magic = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */
    sg_vf k = x * 0x1.715476p0f + magic, r, p;
    const sg_vi n = (sg_vi)k << 23; /* the bits of magic above go out */

    k -= magic;
    r = x - k * 0x1.62e400p-1f; /* ln 2, high part: k times it is exact */
    r = r - k * 0x1.7f7d1cp-20f;
    p = r * 0x1.6a241ap-10f + 0x1.1239f2p-7f;
    p = p * r + 0x1.5558f2p-5f;
    p = p * r + 0x1.555492p-3f;
    p = p * r + 0x1.fffffcp-2f;
    p = p * (r * r) + r + 1.0f;
    return sg_pick(x < -87.0f, (sg_vf){0}, (sg_vf)((sg_vi)p + n));
}

#endif
