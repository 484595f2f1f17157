/* decode_blocks.c - one panel of a matrix in few bits as numbers (math/blocks.h). LANES inputs of all rows are made side by side, as the
 * panel has them, then turned, so that whole lines of the rows are written. */
#include "math/simd/tile.h"

#include "base/half.h"
#include "math/blocks.h"

enum { GROUP = 16 /* inputs */, COLS = SG_BLOCK_COLS };

/* The integers (or bf16 numbers) of input i of all rows of the panel at q. */
static inline void input(float x[COLS], const sg_blocks *b, const unsigned char *q, size_t i)
{
    if (b->bits == 8) {
        for (int c = 0; c < COLS; c++)
            x[c] = q[i * COLS + (size_t)c];
    } else if (b->bits == 4) {
        const unsigned char *both = q + i / 2 * COLS;
        const int shift = i % 2 ? 4 : 0;

        for (int c = 0; c < COLS; c++)
            x[c] = (float)(both[c] >> shift & 15);
    } else {
        uint16_t half[COLS];
        uint32_t wide[COLS];

        memcpy(half, q + 2 * i * COLS, sizeof half);
        for (int c = 0; c < COLS; c++)
            wide[c] = (uint32_t)half[c] << 16;
        memcpy(x, wide, sizeof wide);
    }
}

/* Scales, or least values, of all rows from `at` on. */
static inline void factors(float x[COLS], const float *wide, const uint16_t *half, size_t at)
{
    if (half)
        for (int c = 0; c < COLS; c++)
            x[c] = sg_f16_to_f32(half[at + (size_t)c]);
    else
        memcpy(x, wide + at, COLS * sizeof *x);
}

void SG_KERNEL(decode_blocks)(float *w, const struct sg_blocks *b, int panel)
{
    const size_t in = (size_t)b->in, block = (size_t)b->block, first = (size_t)panel * COLS;
    const int rows = b->out - (int)first < COLS ? b->out - (int)first : COLS;
    const unsigned char *q = b->q + first * in * (size_t)b->bits / 8;
    float made[GROUP * COLS], turned[COLS * GROUP], scale[COLS], least[COLS];

    w += first * in;
    for (size_t i = 0; i < in; i += GROUP) {
        const size_t n = in - i < GROUP ? in - i : GROUP;

        for (size_t k = 0; k < n; k++) {
            const size_t at = first * (in / block) + (i + k) / block * COLS;
            float *x = made + k * COLS;

            if ((i + k) % block == 0 && b->bits < 16) {
                factors(scale, b->scale, b->scale16, at);
                factors(least, b->least, b->least16, at);
            }
            input(x, b, q, i + k);
            for (int c = 0; c < COLS && b->bits < 16; c++)
                x[c] = scale[c] * x[c] + least[c];
        }
        tile_transpose(turned, GROUP, made, COLS, (int)n, COLS);
        for (int c = 0; c < rows; c++)
            memcpy(w + (size_t)c * in + i, turned + c * GROUP, n * sizeof *w);
    }
}
