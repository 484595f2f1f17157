/* blocks.c - matrices in few bits: packing them, and products cut over panels. The kernel is math/simd/blocks.c. */
#include "math/blocks.h"

#include "base/alloc.h"
#include "base/half.h"
#include "math/kernels.h"

#include <assert.h>
#include <string.h>

enum { GRAIN_WORK = 1 << 17 }; /* products a piece, about: a few microseconds */

static size_t panels(const sg_blocks *b)
{
    return sg_pieces((size_t)b->out, SG_BLOCK_COLS);
}

sg_status sg_blocks_new(sg_blocks *out, int rows, int in, int bits, int block, sg_error *err)
{
    size_t n, bytes;

    assert((bits == 4 || bits == 8 || bits == 16) && block > 0 && block % 2 == 0 && in % block == 0);
    *out = (sg_blocks){.out = rows, .in = in, .bits = bits, .block = block};
    if (!sg_mul(&n, panels(out) * SG_BLOCK_COLS, (size_t)in) || !sg_mul(&bytes, n, (size_t)bits))
        return sg_fail_memory(err, "weights");
    out->q = sg_alloc_zero(bytes / 8, 1);
    if (bits < 16) {
        out->scale = sg_alloc_zero(n / (size_t)block, sizeof *out->scale);
        out->least = sg_alloc_zero(n / (size_t)block, sizeof *out->least);
    }
    if (!out->q || (bits < 16 && (!out->scale || !out->least))) {
        sg_blocks_free(out);
        return sg_fail_memory(err, "weights");
    }
    return SG_OK;
}

void sg_blocks_free(sg_blocks *b)
{
    sg_free(b->q);
    sg_free(b->scale);
    sg_free(b->least);
    sg_free(b->scale16);
    sg_free(b->least16);
    *b = (sg_blocks){0};
}

void sg_blocks_set(sg_blocks *b, int row, const uint16_t *q, const float *scale, const float *least)
{
    const size_t in = (size_t)b->in, first = (size_t)row / SG_BLOCK_COLS * SG_BLOCK_COLS * in,
                 col = (size_t)row % SG_BLOCK_COLS;
    unsigned char *to = b->q + first * (size_t)b->bits / 8;

    for (size_t i = 0; i < in; i++) {
        const size_t at = i * SG_BLOCK_COLS + col;

        if (b->bits == 8)
            to[at] = (unsigned char)q[i];
        else if (b->bits == 16)
            memcpy(to + 2 * at, &q[i], 2);
        else
            to[i / 2 * SG_BLOCK_COLS + col] |= (unsigned char)(i % 2 ? q[i] << 4 : q[i]);
    }
    for (size_t k = 0; k < in / (size_t)b->block && b->bits < 16; k++) {
        b->scale[first / (size_t)b->block + k * SG_BLOCK_COLS + col] = scale[k];
        b->least[first / (size_t)b->block + k * SG_BLOCK_COLS + col] = least[k];
    }
}

sg_status sg_blocks_narrow(sg_blocks *b, sg_error *err)
{
    const size_t n = b->bits < 16 ? panels(b) * SG_BLOCK_COLS * (size_t)(b->in / b->block) : 0;
    uint16_t *scale = sg_alloc_array(n, sizeof *scale), *least = sg_alloc_array(n, sizeof *least);
    size_t i = 0;

    while (scale && least && i < n && sg_f16_is(&scale[i], b->scale[i]) && sg_f16_is(&least[i], b->least[i]))
        i++;
    if (!scale || !least || n == 0 || i < n) {
        const bool memory = scale && least;

        sg_free(scale);
        sg_free(least);
        return memory ? SG_OK : sg_fail_memory(err, "weights");
    }
    sg_free(b->scale);
    sg_free(b->least);
    b->scale = b->least = NULL;
    b->scale16 = scale;
    b->least16 = least;
    return SG_OK;
}

/* ---- as numbers ----------------------------------------------------------------------------------------------- */

typedef struct decode_work {
    const sg_blocks *b;
    float *w;
} decode_work;

static void decode_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const decode_work *d = ctx;

    for (size_t p = begin; p < end; p++)
        sg_kernels_best()->decode_blocks(d->w, d->b, (int)p);
}

void sg_blocks_decode(sg_pool *pool, const sg_blocks *b, float *w)
{
    sg_parallel_for(pool, panels(b), 1, decode_body, &(decode_work){b, w});
}

/* ---- products ------------------------------------------------------------------------------------------------- */

typedef struct work {
    const sg_blocks *b;
    int rows;
    const float *x, *bias;
    float *y, *sums;
} work;

static void sums_of(const work *w)
{
    const size_t block = (size_t)w->b->block, n = (size_t)w->rows * (size_t)w->b->in / block;

    for (size_t k = 0; k < n; k++) { /* two lanes: short, and the order is fixed */
        const float *x = w->x + k * block;
        float even = 0, odd = 0;

        for (size_t i = 0; i < block; i += 2) {
            even += x[i];
            odd += x[i + 1];
        }
        w->sums[k] = even + odd;
    }
}

static void panel_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t out = (size_t)w->b->out;

    for (size_t p = begin; p < end; p++) {
        const size_t col = p * SG_BLOCK_COLS, n = out - col < SG_BLOCK_COLS ? out - col : SG_BLOCK_COLS;

        k->blocks(w->y + col, w->x, w->sums, w->rows, w->b, (int)p);
        for (int r = 0; r < w->rows && w->bias; r++)
            k->add(w->y + (size_t)r * out + col, w->y + (size_t)r * out + col, w->bias + col, n);
    }
}

size_t sg_blocks_sums(const sg_blocks *b, int rows)
{
    return b->bits < 16 ? (size_t)rows * (size_t)(b->in / b->block) : 0;
}

void sg_blocks_times(sg_pool *pool, const sg_blocks *b, int rows, const float *x, const float *bias, float *y,
                     float *sums)
{
    work w = {b, rows, x, bias, y, sums};
    const size_t each = (size_t)rows * (size_t)b->in * SG_BLOCK_COLS;

    if (b->bits < 16)
        sums_of(&w);
    sg_parallel_for(pool, panels(b), each < GRAIN_WORK ? GRAIN_WORK / (each + 1) + 1 : 1, panel_body, &w);
}
