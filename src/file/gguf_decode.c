/* gguf_decode.c - blocks of few bits to f32: a scale (and a least value) a block, in f16, and small integers.
 *
 * [ggml ggml-quants.c, gguf-py quants.py] d, m: scale and least value; q: the integers; qh: their upper bits. The K kinds cut 256
 * values into sub-blocks with scales of their own. Products are f32 in the order of the Python reference: same bits. */
#include "file/gguf.h"

#include "base/half.h"

#include <string.h>

typedef unsigned char byte;

static float half_at(const byte *p)
{
    return sg_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static uint32_t word_at(const byte *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void f32(float *x, const byte *p)
{
    const uint32_t bits = word_at(p);

    memcpy(x, &bits, 4);
}

static void f16(float *x, const byte *p)
{
    *x = half_at(p);
}

static void bf16(float *x, const byte *p)
{
    *x = sg_bf16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static void q4_0(float *x, const byte *p)
{
    const float d = half_at(p);

    for (int j = 0; j < 16; j++) {
        x[j] = d * (float)((p[2 + j] & 15) - 8);
        x[j + 16] = d * (float)((p[2 + j] >> 4) - 8);
    }
}

static void q4_1(float *x, const byte *p)
{
    const float d = half_at(p), m = half_at(p + 2);

    for (int j = 0; j < 16; j++) {
        x[j] = d * (float)(p[4 + j] & 15) + m;
        x[j + 16] = d * (float)(p[4 + j] >> 4) + m;
    }
}

static int fifth(uint32_t qh, int j)
{
    return (int)(qh >> j & 1) << 4;
}

static void q5_0(float *x, const byte *p)
{
    const float d = half_at(p);
    const uint32_t qh = word_at(p + 2);

    for (int j = 0; j < 16; j++) {
        x[j] = d * (float)(((p[6 + j] & 15) | fifth(qh, j)) - 16);
        x[j + 16] = d * (float)(((p[6 + j] >> 4) | fifth(qh, j + 16)) - 16);
    }
}

static void q5_1(float *x, const byte *p)
{
    const float d = half_at(p), m = half_at(p + 2);
    const uint32_t qh = word_at(p + 4);

    for (int j = 0; j < 16; j++) {
        x[j] = d * (float)((p[8 + j] & 15) | fifth(qh, j)) + m;
        x[j + 16] = d * (float)((p[8 + j] >> 4) | fifth(qh, j + 16)) + m;
    }
}

static void q8_0(float *x, const byte *p)
{
    const float d = half_at(p);

    for (int j = 0; j < 32; j++)
        x[j] = d * (float)(signed char)p[2 + j];
}

/* Six-bit scale and least value of sub-block k (0..7), packed in 12 bytes. */
static void scale_and_least(int *scale, int *least, const byte *s, int k)
{
    if (k < 4) {
        *scale = s[k] & 63;
        *least = s[k + 4] & 63;
    } else {
        *scale = (s[k + 4] & 15) | (s[k - 4] >> 6) << 4;
        *least = (s[k + 4] >> 4) | (s[k] >> 6) << 4;
    }
}

/* qh NULL: four bits a value (Q4_K), otherwise five. */
static void q45_k(float *x, const byte *p, const byte *qh, const byte *q)
{
    const float d = half_at(p), m = half_at(p + 2);

    for (int k = 0; k < 8; k++, x += 32) {
        const byte *group = q + k / 2 * 32;
        int scale, least;

        scale_and_least(&scale, &least, p + 4, k);
        const float dk = d * (float)scale, mk = m * (float)least;
        for (int l = 0; l < 32; l++) {
            const int low = k % 2 ? group[l] >> 4 : group[l] & 15;

            x[l] = dk * (float)(qh ? low | (qh[l] >> k & 1) << 4 : low) - mk;
        }
    }
}

static void q4_k(float *x, const byte *p)
{
    q45_k(x, p, NULL, p + 16);
}

static void q5_k(float *x, const byte *p)
{
    q45_k(x, p, p + 16, p + 48);
}

static void q6_k(float *x, const byte *p)
{
    const byte *ql = p, *qh = p + 128, *scales = p + 192;
    const float d = half_at(p + 208);

    for (int i = 0; i < 256; i++) {
        const int h = i / 128, quarter = i / 32 % 4, l = i % 32; /* 128 values share 64 bytes of ql, 32 of qh */
        const byte low = ql[64 * h + 32 * (quarter & 1) + l];
        const int q = (quarter < 2 ? low & 15 : low >> 4) | (qh[32 * h + l] >> (2 * quarter) & 3) << 4;

        x[i] = d * (float)(signed char)scales[i / 16] * (float)(q - 32);
    }
}

sg_status sg_gguf_decode(float *out, const sg_gguf *g, const sg_gguf_tensor *t, size_t first, size_t n, sg_error *err)
{
    static void (*const decode[])(float *, const byte *) = {
        [0] = f32,   [1] = f16,   [2] = q4_0,  [3] = q4_1,  [6] = q5_0,  [7] = q5_1,
        [8] = q8_0, [12] = q4_k, [13] = q5_k, [14] = q6_k, [30] = bf16,
    };
    const size_t block = sg_gguf_block(t->type);

    if (!block)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': type %s is not supported", sg_gguf_name(g), t->name,
                       sg_gguf_type_name(t->type));
    if (first % block || n % block || first > t->count || n > t->count - first)
        return sg_fail(err, SG_ERR_USAGE, "%s: tensor '%.200s': expected whole blocks of %zu of its %zu values", sg_gguf_name(g), t->name,
                       block, t->count);
    if (!n)
        return SG_OK;
    const size_t each = t->bytes / (t->count / block);
    const byte *p = (const byte *)t->data + first / block * each;
    for (size_t i = 0; i < n; i += block, p += each)
        decode[t->type](out + i, p);
    return SG_OK;
}
