/* blocks.h - a frozen weight matrix in few bits, as the blocks of GGUF have it, and products with it.
 *
 *   w[o][i] = scale[o][i / block] * q[o][i] + least[o][i / block]        bits 4, 8: q is an integer of that many bits
 *   w[o][i] = the bf16 number q[o][i]                                    bits 16: no scale
 *
 * Weights are turned into f32 in registers, activations stay f32: results are those of the decoded matrix up to the order of sums.
 * Kept in panels of SG_BLOCK_COLS rows of w: (panels, in / block, ...), so that a product reads everything once, in order:
 * for an input i, the q of a panel's rows lie side by side; at 4 bits inputs 2 j and 2 j + 1 share a byte (the first is low). */
#ifndef SG_MATH_BLOCKS_H
#define SG_MATH_BLOCKS_H

#include "base/pool.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { SG_BLOCK_COLS = 64 };

typedef struct sg_blocks {
    int out, in, bits, block;    /* block is even and divides in */
    unsigned char *q;            /* owned: (panels, in, SG_BLOCK_COLS) of `bits` bits */
    float *scale, *least;        /* owned: (panels, in / block, SG_BLOCK_COLS); NULL at 16 bits, and ... */
    uint16_t *scale16, *least16; /* ... where they are these f16 numbers: owned, the same shape; else NULL */
} sg_blocks;

sg_status sg_blocks_new(sg_blocks *out, int rows, int in, int bits, int block, sg_error *err);
void sg_blocks_free(sg_blocks *b);
/* Row `row` of w: q (in), one number each whatever the bits; scale, least (in / block). Rows not set are zeros. */
void sg_blocks_set(sg_blocks *b, int row, const uint16_t *q, const float *scale, const float *least);
/* Once all rows are set: keeps scales in half the bytes where each of them is an f16 number, as in Q4_0, Q4_1 and Q8_0. */
sg_status sg_blocks_narrow(sg_blocks *b, sg_error *err);

/* w (out, in) as numbers. */
void sg_blocks_decode(sg_pool *pool, const sg_blocks *b, float *w);

/* y (rows, out) = x (rows, in) w^T + bias (NULL: none). sums: scratch of sg_blocks_sums numbers. */
size_t sg_blocks_sums(const sg_blocks *b, int rows);
void sg_blocks_times(sg_pool *pool, const sg_blocks *b, int rows, const float *x, const float *bias, float *y,
                     float *sums);

#endif
