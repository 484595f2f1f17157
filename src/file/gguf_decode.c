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

static int sixth(const byte *p, int i) /* of Q6_K, 0 .. 63 */
{
    const int h = i / 128, quarter = i / 32 % 4, l = i % 32; /* 128 values share 64 bytes of ql, 32 of qh */
    const byte low = p[64 * h + 32 * (quarter & 1) + l];

    return (quarter < 2 ? low & 15 : low >> 4) | (p[128 + 32 * h + l] >> (2 * quarter) & 3) << 4;
}

static void q6_k(float *x, const byte *p)
{
    const float d = half_at(p + 208);

    for (int i = 0; i < 256; i++)
        x[i] = d * (float)(signed char)p[192 + i / 16] * (float)(sixth(p, i) - 32);
}

/* ---- the same, taken apart ------------------------------------------------------------------------------------------------ */
typedef struct parts {
    uint16_t *q;
    float *scale, *least;
} parts;

static void split_nibbles(uint16_t *q, const byte *p)
{
    for (int j = 0; j < 16; j++) {
        q[j] = p[j] & 15;
        q[j + 16] = p[j] >> 4;
    }
}

static void split_fifths(uint16_t *q, const byte *p, uint32_t qh)
{
    split_nibbles(q, p);
    for (int j = 0; j < 32; j++)
        q[j] = (uint16_t)(q[j] | fifth(qh, j));
}

static void split_q4_0(parts x, const byte *p)
{
    *x.scale = half_at(p);
    *x.least = -8 * *x.scale;
    split_nibbles(x.q, p + 2);
}

static void split_q4_1(parts x, const byte *p)
{
    *x.scale = half_at(p);
    *x.least = half_at(p + 2);
    split_nibbles(x.q, p + 4);
}

static void split_q5_0(parts x, const byte *p)
{
    *x.scale = half_at(p);
    *x.least = -16 * *x.scale;
    split_fifths(x.q, p + 6, word_at(p + 2));
}

static void split_q5_1(parts x, const byte *p)
{
    *x.scale = half_at(p);
    *x.least = half_at(p + 2);
    split_fifths(x.q, p + 8, word_at(p + 4));
}

static void split_q8_0(parts x, const byte *p)
{
    *x.scale = half_at(p);
    *x.least = -128 * *x.scale;
    for (int j = 0; j < 32; j++)
        x.q[j] = (uint16_t)(p[2 + j] ^ 128); /* -128 .. 127 becomes 0 .. 255 */
}

static void split_q45_k(parts x, const byte *p, const byte *qh, const byte *q)
{
    for (int k = 0; k < 8; k++) {
        int scale, least;

        scale_and_least(&scale, &least, p + 4, k);
        x.scale[k] = half_at(p) * (float)scale;
        x.least[k] = -(half_at(p + 2) * (float)least);
        for (int l = 0; l < 32; l++) {
            const byte both = q[k / 2 * 32 + l];

            x.q[32 * k + l] = (uint16_t)((k % 2 ? both >> 4 : both & 15) | (qh ? (qh[l] >> k & 1) << 4 : 0));
        }
    }
}

static void split_q4_k(parts x, const byte *p)
{
    split_q45_k(x, p, NULL, p + 16);
}

static void split_q5_k(parts x, const byte *p)
{
    split_q45_k(x, p, p + 16, p + 48);
}

static void split_q6_k(parts x, const byte *p)
{
    for (int i = 0; i < 256; i++) {
        x.q[i] = (uint16_t)sixth(p, i);
        if (i % 16 == 0) {
            x.scale[i / 16] = half_at(p + 208) * (float)(signed char)p[192 + i / 16];
            x.least[i / 16] = -32 * x.scale[i / 16];
        }
    }
}

static const struct {
    void (*split)(parts, const byte *);
    int bits, block;
} forms[] = {
    [2] = {split_q4_0, 4, 32},  [3] = {split_q4_1, 4, 32},  [6] = {split_q5_0, 8, 32},
    [7] = {split_q5_1, 8, 32},  [8] = {split_q8_0, 8, 32},  [12] = {split_q4_k, 4, 32},
    [13] = {split_q5_k, 8, 32}, [14] = {split_q6_k, 8, 16},
};

bool sg_gguf_split_form(int *bits, int *block, int type)
{
    if (type < 0 || (size_t)type >= sizeof forms / sizeof *forms || !forms[type].split)
        return false;
    *bits = forms[type].bits;
    *block = forms[type].block;
    return true;
}

/* ---- a range of a tensor -------------------------------------------------------------------------------------------------- */
/* The bytes of values first .. first + n, and of each block. */
static sg_status range(const byte **p, size_t *each, const sg_gguf *g, const sg_gguf_tensor *t, size_t first,
                       size_t n, sg_error *err)
{
    const size_t block = sg_gguf_block(t->type);

    if (!block)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': type %s is not supported", sg_gguf_name(g),
                       t->name, sg_gguf_type_name(t->type));
    if (first % block || n % block || first > t->count || n > t->count - first)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: tensor '%.200s': expected whole blocks of %zu of its %zu values", sg_gguf_name(g),
                       t->name, block, t->count);
    *each = t->count ? t->bytes / (t->count / block) : 0;
    *p = (const byte *)t->data + first / block * *each;
    return SG_OK;
}

sg_status sg_gguf_split(uint16_t *q, float *scale, float *least, const sg_gguf *g, const sg_gguf_tensor *t,
                        size_t first, size_t n, sg_error *err)
{
    const size_t block = sg_gguf_block(t->type);
    const byte *p = NULL;
    size_t each = 0;
    const sg_status st = range(&p, &each, g, t, first, n, err);
    int bits, part;

    if (st)
        return st;
    if (!sg_gguf_split_form(&bits, &part, t->type))
        return sg_fail(err, SG_ERR_USAGE, "%s: tensor '%.200s': type %s has no blocks", sg_gguf_name(g),
                       t->name, sg_gguf_type_name(t->type));
    for (size_t i = 0; i < n; i += block, p += each)
        forms[t->type].split((parts){q + i, scale + i / (size_t)part, least + i / (size_t)part}, p);
    return SG_OK;
}

sg_status sg_gguf_decode(float *out, const sg_gguf *g, const sg_gguf_tensor *t, size_t first, size_t n,
                         sg_error *err)
{
    static void (*const decode[])(float *, const byte *) = {
        [0] = f32,  [1] = f16,   [2] = q4_0,  [3] = q4_1,  [6] = q5_0,  [7] = q5_1,
        [8] = q8_0, [12] = q4_k, [13] = q5_k, [14] = q6_k, [30] = bf16,
    };
    const size_t block = sg_gguf_block(t->type);
    const byte *p = NULL;
    size_t each = 0;
    const sg_status st = range(&p, &each, g, t, first, n, err);

    if (st)
        return st;
    for (size_t i = 0; i < n; i += block, p += each)
        decode[t->type](out + i, p);
    return SG_OK;
}
