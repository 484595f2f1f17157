/* safetensors_write.c - the header is known before the data, so every tensor's place is; pieces are collected in one small
 * buffer a tensor and written to their place. */
#include "file/safetensors.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "file/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 17, ALIGN = 64 };

typedef struct place {
    size_t i; /* in the caller's list */
    const sg_tensor_desc *desc;
    uint64_t bytes, begin; /* in the data */
} place;

typedef struct column {
    char *name;               /* owned */
    uint64_t at, done, bytes; /* in the file; bytes put so far, with those that wait; in all */
    char *wait;               /* owned, made at the first small put: PIECE_BYTES */
    size_t used;
} column;

struct sg_tensors_stream {
    sg_writer *writer; /* owned */
    char *path;        /* owned */
    column *list;      /* owned: in the caller's order */
    size_t n;
};

static int by_alignment(const void *a, const void *b)
{
    const place *x = a, *y = b;
    const size_t p = sg_dtype_bytes(x->desc->dtype), q = sg_dtype_bytes(y->desc->dtype);

    return p != q ? (p > q ? -1 : 1) : strcmp(x->desc->name, y->desc->name);
}

static sg_status lay_out(place *list, size_t n, const char *path, sg_error *err)
{
    size_t at = 0;

    qsort(list, n, sizeof *list, by_alignment);
    for (size_t k = 0; k < n; k++) {
        const sg_tensor_desc *d = list[k].desc;
        size_t bytes = sg_dtype_bytes(d->dtype);
        bool fits = true;

        for (int i = 0; i < d->rank; i++)
            fits = fits && sg_mul(&bytes, bytes, d->dim[i]);
        list[k].begin = at;
        list[k].bytes = bytes;
        if (!fits || !sg_add(&at, at, bytes) || at > INT64_MAX)
            return sg_fail(err, SG_ERR_MEMORY, "%s: tensor '%s' is too large", path, d->name);
        if (!sg_utf8_valid(d->name, strlen(d->name)))
            return sg_fail(err, SG_ERR_USAGE, "%s: the name of tensor %zu is not UTF-8", path, list[k].i);
        if (k && strcmp(d->name, list[k - 1].desc->name) == 0)
            return sg_fail(err, SG_ERR_USAGE, "%s: tensor '%s' is described twice", path, d->name);
    }
    return SG_OK;
}

static json_t *header_entry(const place *p)
{
    json_t *shape = json_array();
    int failed = !shape;

    for (int i = 0; i < p->desc->rank; i++)
        failed |= json_array_append_new(shape, json_integer((json_int_t)p->desc->dim[i]));
    if (failed) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", sg_dtype_name(p->desc->dtype), "shape", shape,
                     "data_offsets", (json_int_t)p->begin, (json_int_t)(p->begin + p->bytes));
}

/* Length, JSON, spaces up to a multiple of 64 bytes. */
static sg_status make_header(sg_buf *out, const place *list, size_t n, const sg_meta *meta, size_t n_meta,
                             const char *path, sg_error *err)
{
    json_t *all = json_object();
    unsigned char length[8] = {0};
    int failed = !all;

    for (size_t i = 0; i < n_meta; i++)
        if (!sg_utf8_valid(meta[i].key, strlen(meta[i].key)) ||
            !sg_utf8_valid(meta[i].value, strlen(meta[i].value))) {
            json_decref(all);
            return sg_fail(err, SG_ERR_USAGE, "%s: metadata %zu is not UTF-8", path, i);
        }
    if (n_meta) {
        json_t *m = json_object();

        for (size_t i = 0; i < n_meta; i++)
            failed |= json_object_set_new(m, meta[i].key, json_string(meta[i].value));
        failed |= json_object_set_new(all, "__metadata__", m);
    }
    for (size_t k = 0; k < n; k++)
        failed |= json_object_set_new(all, list[k].desc->name, header_entry(&list[k]));
    if (failed) {
        json_decref(all);
        return sg_fail_memory(err, path);
    }
    sg_buf_add(out, length, 8);
    sg_json_print_compact(out, all);
    json_decref(all);
    while (out->size % ALIGN && !out->failed)
        sg_buf_putc(out, ' ');
    if (out->failed)
        return sg_fail_memory(err, path);
    if (out->size - 8 > SG_SAFETENSORS_HEADER_MAX ||
        sg_json_weight((sg_bytes){out->data + 8, out->size - 8}) > SG_JSON_WEIGHT_SMALL)
        return sg_fail(err, SG_ERR_USAGE, "%s: the header is larger than %zu bytes", path,
                       SG_SAFETENSORS_HEADER_MAX);
    for (int i = 0; i < 8; i++)
        out->data[i] = (char)((uint64_t)(out->size - 8) >> (8 * i));
    return SG_OK;
}

void sg_tensors_stream_abort(sg_tensors_stream *s)
{
    if (!s)
        return;
    sg_writer_abort(s->writer);
    for (size_t i = 0; s->list && i < s->n; i++) {
        sg_free(s->list[i].name);
        sg_free(s->list[i].wait);
    }
    sg_free(s->list);
    sg_free(s->path);
    sg_free(s);
}

sg_status sg_tensors_stream_open(sg_tensors_stream **out, const char *path, const sg_tensor_desc *list,
                                 size_t n, const sg_meta *meta, size_t n_meta, sg_error *err)
{
    sg_tensors_stream *s = sg_alloc_zero(1, sizeof *s);
    place *places = sg_alloc_array(n, sizeof *places);
    sg_buf header = {0};
    sg_status st = SG_OK;

    *out = NULL;
    if (!s || !places || !(s->path = sg_strdup(path)) || !(s->list = sg_alloc_zero(n, sizeof *s->list))) {
        st = sg_fail_memory(err, path);
        goto done;
    }
    s->n = n;
    for (size_t i = 0; i < n; i++)
        places[i] = (place){.i = i, .desc = &list[i]};
    if ((st = lay_out(places, n, path, err)) ||
        (st = make_header(&header, places, n, meta, n_meta, path, err)) ||
        (st = sg_writer_open(&s->writer, path, err)) ||
        (st = sg_writer_put(s->writer, header.data, header.size, err)))
        goto done;
    for (size_t k = 0; k < n; k++) {
        column *c = &s->list[places[k].i];

        c->at = header.size + places[k].begin;
        c->bytes = places[k].bytes;
        if (!(c->name = sg_strdup(places[k].desc->name))) {
            st = sg_fail_memory(err, path);
            goto done;
        }
    }
    *out = s;
    s = NULL;
done:
    sg_buf_free(&header);
    sg_free(places);
    sg_tensors_stream_abort(s);
    return st;
}

static sg_status flush(sg_tensors_stream *s, column *c, sg_error *err)
{
    const sg_status st =
        c->used ? sg_writer_put_at(s->writer, c->at + c->done - c->used, c->wait, c->used, err) : SG_OK;

    c->used = 0;
    return st;
}

sg_status sg_tensors_stream_put(sg_tensors_stream *s, size_t i, const void *data, size_t bytes, sg_error *err)
{
    column *c = &s->list[i];
    sg_status st;

    if (bytes > c->bytes - c->done)
        return sg_fail(err, SG_ERR_USAGE, "%s: tensor '%s': expected %llu bytes, found more", s->path,
                       c->name, (unsigned long long)c->bytes);
    if (bytes > PIECE_BYTES - c->used && (st = flush(s, c, err)))
        return st;
    if (bytes > PIECE_BYTES) {
        if ((st = sg_writer_put_at(s->writer, c->at + c->done, data, bytes, err)))
            return st;
    } else if (bytes) {
        if (!c->wait && !(c->wait = sg_alloc(PIECE_BYTES)))
            return sg_fail_memory(err, s->path);
        memcpy(c->wait + c->used, data, bytes);
        c->used += bytes;
    }
    c->done += bytes;
    return SG_OK;
}

sg_status sg_tensors_stream_commit(sg_tensors_stream *s, sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; !st && i < s->n; i++) {
        const column *c = &s->list[i];

        if (c->done != c->bytes)
            st = sg_fail(err, SG_ERR_USAGE, "%s: tensor '%s': expected %llu bytes, found %llu", s->path,
                         c->name, (unsigned long long)c->bytes, (unsigned long long)c->done);
        else
            st = flush(s, &s->list[i], err);
    }
    if (!st) {
        st = sg_writer_commit(s->writer, err);
        s->writer = NULL;
    }
    sg_tensors_stream_abort(s);
    return st;
}

sg_status sg_tensors_write(const char *path, const sg_tensor_desc *list, size_t n, const sg_meta *meta,
                           size_t n_meta, sg_error *err)
{
    sg_tensors_stream *s = NULL;
    sg_status st = sg_tensors_stream_open(&s, path, list, n, meta, n_meta, err);

    for (size_t i = 0; !st && i < n; i++)
        st = sg_tensors_stream_put(s, i, list[i].data, (size_t)s->list[i].bytes, err);
    if (!st)
        return sg_tensors_stream_commit(s, err);
    sg_tensors_stream_abort(s);
    return st;
}
