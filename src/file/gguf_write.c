/* gguf_write.c - writing GGUF. Blocks are rounded as ggml's reference does. [ggml, gguf.md; ggml-quants] */
#include "file/gguf_write.h"

#include "base/alloc.h"
#include "base/half.h"
#include "base/io.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { ALIGN = 32, BLOCK = 32, PIECE = 1 << 16 /* numbers */ };

typedef struct tensor {
    int type;
    size_t count, bytes, at; /* at: offset in the data */
} tensor;

struct sg_gguf_out {
    sg_buf values, infos;
    uint64_t n_values;
    tensor *list; /* owned */
    size_t n, cap;
    bool failed;
    sg_writer *file;     /* owned, from begin to commit */
    size_t now, given;   /* tensor at hand, numbers of it so far */
    unsigned char *room; /* owned: bytes of PIECE numbers */
};

sg_status sg_gguf_out_new(sg_gguf_out **out, sg_error *err)
{
    sg_gguf_out *o = sg_alloc_zero(1, sizeof *o);

    *out = o;
    if (!o || !(o->room = sg_alloc_array(PIECE, sizeof(float)))) {
        *out = NULL;
        sg_free(o);
        return sg_fail_memory(err, "GGUF file");
    }
    return SG_OK;
}

void sg_gguf_out_free(sg_gguf_out *o)
{
    if (!o)
        return;
    sg_writer_abort(o->file);
    sg_buf_free(&o->values);
    sg_buf_free(&o->infos);
    sg_free(o->list);
    sg_free(o->room);
    sg_free(o);
}

/* ---- describing ------------------------------------------------------------------------------------------------------------- */
static void little(sg_buf *b, uint64_t x, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++, x >>= 8)
        sg_buf_putc(b, (char)(x & 255));
}

static void put_string(sg_buf *b, sg_bytes s)
{
    little(b, s.size, 8);
    sg_buf_add(b, s.data ? s.data : "", s.size);
}

static void put_key(sg_gguf_out *o, const char *key, bool array, sg_gguf_kind kind, size_t count)
{
    put_string(&o->values, (sg_bytes){key, strlen(key)});
    little(&o->values, array ? SG_GGUF_ARRAY : kind, 4);
    if (array) {
        little(&o->values, kind, 4);
        little(&o->values, count, 8);
    }
    o->n_values++;
}

void sg_gguf_out_string(sg_gguf_out *o, const char *key, sg_bytes value)
{
    put_key(o, key, false, SG_GGUF_STRING, 1);
    put_string(&o->values, value);
}

void sg_gguf_out_u32(sg_gguf_out *o, const char *key, uint32_t value)
{
    put_key(o, key, false, SG_GGUF_U32, 1);
    little(&o->values, value, 4);
}

void sg_gguf_out_f32(sg_gguf_out *o, const char *key, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_key(o, key, false, SG_GGUF_F32, 1);
    little(&o->values, bits, 4);
}

void sg_gguf_out_bool(sg_gguf_out *o, const char *key, bool value)
{
    put_key(o, key, false, SG_GGUF_BOOL, 1);
    little(&o->values, value, 1);
}

void sg_gguf_out_strings(sg_gguf_out *o, const char *key, const sg_bytes *list, size_t n)
{
    put_key(o, key, true, SG_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        put_string(&o->values, list[i]);
}

void sg_gguf_out_i32s(sg_gguf_out *o, const char *key, const int32_t *list, size_t n)
{
    put_key(o, key, true, SG_GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        little(&o->values, (uint32_t)list[i], 4);
}

void sg_gguf_out_f32s(sg_gguf_out *o, const char *key, const float *list, size_t n)
{
    put_key(o, key, true, SG_GGUF_F32, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, list + i, sizeof bits);
        little(&o->values, bits, 4);
    }
}

void sg_gguf_out_u8s(sg_gguf_out *o, const char *key, sg_bytes list)
{
    put_key(o, key, true, SG_GGUF_U8, list.size);
    sg_buf_add(&o->values, list.data, list.size);
}

void sg_gguf_out_copy(sg_gguf_out *o, const sg_gguf_value *v)
{
    put_key(o, v->key, v->array, v->kind, v->count);
    sg_buf_add(&o->values, v->data, v->bytes);
}

static size_t bytes_of(int type, size_t n)
{
    switch (type) {
    case SG_GGUF_F32_TYPE:
        return 4 * n;
    case SG_GGUF_Q8_0_TYPE:
        return n / BLOCK * 34;
    case SG_GGUF_Q4_0_TYPE:
        return n / BLOCK * 18;
    default:
        return 2 * n;
    }
}

void sg_gguf_out_tensor(sg_gguf_out *o, const char *name, int type, int rank, const uint64_t *dim)
{
    const tensor *last = o->n ? &o->list[o->n - 1] : NULL;
    size_t count = 1;

    assert(rank > 0 && dim[0] % sg_gguf_block(type) == 0);
    if (!sg_grow(&o->list, &o->cap, o->n + 1, sizeof *o->list)) {
        o->failed = true;
        return;
    }
    last = o->n ? &o->list[o->n - 1] : NULL;
    put_string(&o->infos, (sg_bytes){name, strlen(name)});
    little(&o->infos, (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++) {
        little(&o->infos, dim[i], 8);
        count *= (size_t)dim[i];
    }
    little(&o->infos, (uint64_t)type, 4);
    const size_t at = last ? (last->at + last->bytes + ALIGN - 1) / ALIGN * ALIGN : 0;
    little(&o->infos, at, 8);
    o->list[o->n++] = (tensor){type, count, bytes_of(type, count), at};
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */
static sg_status pad(sg_gguf_out *o, size_t written, sg_error *err)
{
    static const char zeros[ALIGN] = {0};
    const size_t n = (ALIGN - written % ALIGN) % ALIGN;

    return n ? sg_writer_put(o->file, zeros, n, err) : SG_OK;
}

/* Past tensors that need no (more) numbers. */
static sg_status next_tensor(sg_gguf_out *o, sg_error *err)
{
    sg_status st = SG_OK;

    while (!st && o->now < o->n && o->given == o->list[o->now].count) {
        st = pad(o, o->list[o->now].bytes, err);
        o->now++;
        o->given = 0;
    }
    return st;
}

sg_status sg_gguf_out_begin(sg_gguf_out *o, const char *path, sg_error *err)
{
    sg_buf head = {0};
    sg_status st;

    sg_buf_puts(&head, "GGUF");
    little(&head, 3, 4);
    little(&head, o->n, 8);
    little(&head, o->n_values, 8);
    if (o->failed || o->values.failed || o->infos.failed || head.failed)
        st = sg_fail_memory(err, path);
    else if (!(st = sg_writer_open(&o->file, path, err)) &&
             !(st = sg_writer_put(o->file, head.data, head.size, err)) &&
             (!o->values.size || !(st = sg_writer_put(o->file, o->values.data, o->values.size, err))) &&
             (!o->infos.size || !(st = sg_writer_put(o->file, o->infos.data, o->infos.size, err))) &&
             !(st = pad(o, head.size + o->values.size + o->infos.size, err)))
        st = next_tensor(o, err);
    sg_buf_free(&head);
    return st;
}

static void half_to(unsigned char *to, uint16_t half)
{
    to[0] = (unsigned char)(half & 255);
    to[1] = (unsigned char)(half >> 8);
}

static void q8_0(unsigned char *to, const float *x)
{
    float top = 0;

    for (int i = 0; i < BLOCK; i++)
        top = fmaxf(top, fabsf(x[i]));
    const float d = top / 127, inv = d > 0 ? 1 / d : 0;
    half_to(to, sg_f32_to_f16(d));
    for (int i = 0; i < BLOCK; i++)
        to[2 + i] = (unsigned char)(signed char)roundf(x[i] * inv);
}

/* The number farthest from zero becomes -8 exactly. */
static void q4_0(unsigned char *to, const float *x)
{
    float far = 0;

    for (int i = 0; i < BLOCK; i++)
        far = fabsf(x[i]) > fabsf(far) ? x[i] : far;
    const float d = far / -8, inv = d != 0 ? 1 / d : 0;
    half_to(to, sg_f32_to_f16(d));
    for (int i = 0; i < BLOCK / 2; i++) {
        const int low = (int)(x[i] * inv + 8.5f), high = (int)(x[i + BLOCK / 2] * inv + 8.5f);

        to[2 + i] = (unsigned char)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
    }
}

static void encode(unsigned char *to, int type, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += type == SG_GGUF_Q8_0_TYPE || type == SG_GGUF_Q4_0_TYPE ? BLOCK : 1) {
        uint32_t bits;

        memcpy(&bits, x + i, sizeof bits);
        switch (type) {
        case SG_GGUF_Q8_0_TYPE:
            q8_0(to + i / BLOCK * 34, x + i);
            break;
        case SG_GGUF_Q4_0_TYPE:
            q4_0(to + i / BLOCK * 18, x + i);
            break;
        case SG_GGUF_F16_TYPE:
            half_to(to + 2 * i, sg_f32_to_f16(x[i]));
            break;
        case SG_GGUF_BF16_TYPE: /* to nearest, ties to even; a NaN keeps a bit */
            half_to(to + 2 * i,
                    (uint16_t)(x[i] != x[i] ? bits >> 16 | 64 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16));
            break;
        default:
            half_to(to + 4 * i, (uint16_t)bits);
            half_to(to + 4 * i + 2, (uint16_t)(bits >> 16));
        }
    }
}

sg_status sg_gguf_out_put(sg_gguf_out *o, const float *x, size_t n, sg_error *err)
{
    sg_status st = SG_OK;

    while (n && !st) {
        const tensor *t = &o->list[o->now];
        size_t here = n < PIECE ? n : PIECE;

        assert(o->now < o->n);
        here = here < t->count - o->given ? here : t->count - o->given;
        assert(here % sg_gguf_block(t->type) == 0);
        encode(o->room, t->type, x, here);
        st = sg_writer_put(o->file, o->room, bytes_of(t->type, here), err);
        o->given += here;
        x += here;
        n -= here;
        if (!st)
            st = next_tensor(o, err);
    }
    return st;
}

sg_status sg_gguf_out_commit(sg_gguf_out *o, sg_error *err)
{
    sg_writer *file = o->file;

    assert(o->now == o->n);
    o->file = NULL;
    return sg_writer_commit(file, err);
}
