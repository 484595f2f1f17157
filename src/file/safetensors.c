/* safetensors.c - reading: the header is checked completely before any byte of data is believed. Writing is in
 * safetensors_write.c. */
#include "file/safetensors.h"

#include "base/alloc.h"
#include "file/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [SG_DT_F32] = {"F32", 4},   [SG_DT_F64] = {"F64", 8}, [SG_DT_F16] = {"F16", 2},
    [SG_DT_BF16] = {"BF16", 2}, [SG_DT_I8] = {"I8", 1},   [SG_DT_U8] = {"U8", 1},
    [SG_DT_I16] = {"I16", 2},   [SG_DT_U16] = {"U16", 2}, [SG_DT_I32] = {"I32", 4},
    [SG_DT_U32] = {"U32", 4},   [SG_DT_I64] = {"I64", 8}, [SG_DT_U64] = {"U64", 8},
    [SG_DT_BOOL] = {"BOOL", 1},
};

enum { N_DTYPES = sizeof dtypes / sizeof *dtypes, NAME_SHOWN = 200, COPY_BYTES = 4 << 20 };

size_t sg_dtype_bytes(sg_dtype t)
{
    return dtypes[t].bytes;
}

const char *sg_dtype_name(sg_dtype t)
{
    return dtypes[t].name;
}

typedef struct entry {
    sg_file_tensor t;
    uint64_t begin, end; /* in the data */
    void *copy;          /* owned: aligned copy, or NULL */
} entry;

struct sg_tensors {
    char *name;     /* owned: of the file, for messages */
    sg_map map;     /* of a file opened here */
    json_t *header; /* owned: names and metadata live in it */
    entry *list;    /* owned: by name, ascending */
    size_t n, cap;
};

void sg_tensors_close(sg_tensors *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        sg_free(t->list[i].copy);
    sg_free(t->list);
    json_decref(t->header);
    sg_map_close(&t->map);
    sg_free(t->name);
    sg_free(t);
}

static bool read_u64(uint64_t *out, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static sg_status read_dtype(sg_file_tensor *t, const json_t *v, const char *file, sg_error *err)
{
    const char *name = json_string_value(v);
    char text[64];

    for (size_t i = 0; name && i < N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            t->dtype = (sg_dtype)i;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': expected a known dtype, found %s", file,
                   NAME_SHOWN, t->name, sg_json_describe(v, text));
}

static sg_status read_shape(sg_file_tensor *t, const json_t *v, const char *file, sg_error *err)
{
    const size_t rank = json_array_size(v);
    char text[64];

    if (!json_is_array(v))
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': expected an array as shape, found %s", file,
                       NAME_SHOWN, t->name, sg_json_describe(v, text));
    if (rank > SG_TENSOR_RANK_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': expected at most %d dimensions, found %zu",
                       file, NAME_SHOWN, t->name, SG_TENSOR_RANK_MAX, rank);
    t->rank = (int)rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        if (!read_u64(&t->dim[i], json_array_get(v, i)))
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%.*s': expected a size as dimension %zu, found %s", file, NAME_SHOWN,
                           t->name, i, sg_json_describe(json_array_get(v, i), text));
        if (!sg_mul(&t->count, t->count, t->dim[i]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': shape is too large", file, NAME_SHOWN,
                           t->name);
    }
    if (!sg_mul(&t->bytes, t->count, dtypes[t->dtype].bytes))
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': shape is too large", file, NAME_SHOWN,
                       t->name);
    return SG_OK;
}

static sg_status read_entry(entry *e, const char *name, const json_t *v, const char *file, sg_error *err)
{
    const json_t *offsets = json_object_get(v, "data_offsets");
    char text[64];
    sg_status st;

    e->t.name = name;
    if (!json_is_object(v))
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': expected an object, found %s", file,
                       NAME_SHOWN, name, sg_json_describe(v, text));
    if ((st = read_dtype(&e->t, json_object_get(v, "dtype"), file, err)) ||
        (st = read_shape(&e->t, json_object_get(v, "shape"), file, err)))
        return st;
    if (json_array_size(offsets) != 2 || !read_u64(&e->begin, json_array_get(offsets, 0)) ||
        !read_u64(&e->end, json_array_get(offsets, 1)) || e->begin > e->end)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': expected data_offsets [begin, end], found %s",
                       file, NAME_SHOWN, name, sg_json_describe(offsets, text));
    if (e->end - e->begin != e->t.bytes)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: tensor '%.*s': expected %zu bytes for its shape, found %" PRIu64, file,
                       NAME_SHOWN, name, e->t.bytes, e->end - e->begin);
    return SG_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->t.name, ((const entry *)b)->t.name);
}

static int by_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->t.name, y->t.name);
}

/* The tensors must cover the data exactly: hidden bytes would escape every check, shared ones would alias. */
static sg_status check_places(sg_tensors *f, uint64_t size, sg_error *err)
{
    uint64_t at = 0;

    if (f->n)
        qsort(f->list, f->n, sizeof *f->list, by_place);
    for (size_t i = 0; i < f->n; i++) {
        const entry *e = &f->list[i];

        if (e->end > size)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%.*s': bytes %" PRIu64 "..%" PRIu64
                           " are past the end of the data, %" PRIu64 " bytes",
                           f->name, NAME_SHOWN, e->t.name, e->begin, e->end, size);
        if (e->begin < at)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%.*s': bytes %" PRIu64 "..%" PRIu64 " overlap tensor '%.*s'", f->name,
                           NAME_SHOWN, e->t.name, e->begin, e->end, NAME_SHOWN, f->list[i - 1].t.name);
        if (e->begin > at)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: bytes %" PRIu64 "..%" PRIu64 " of the data belong to no tensor", f->name, at,
                           e->begin);
        at = e->end;
    }
    if (at != size)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: bytes %" PRIu64 "..%" PRIu64 " of the data belong to no tensor", f->name, at,
                       size);
    return SG_OK;
}

/* Where the data is mapped, what has been copied of it leaves memory again: a file takes its size, however its tensors lie. */
static void copy_data(entry *e, const sg_map *map)
{
    const char *from = e->t.data;

    for (size_t at = 0, n; at < e->t.bytes; at += n) {
        n = e->t.bytes - at < COPY_BYTES ? e->t.bytes - at : COPY_BYTES;
        memcpy((char *)e->copy + at, from + at, n);
        if (map->size)
            sg_map_forget(map, (size_t)(from - map->data) + at, n);
    }
}

static sg_status place_data(sg_tensors *f, const char *data, sg_error *err)
{
    for (size_t i = 0; i < f->n; i++) {
        entry *e = &f->list[i];

        e->t.data = data + e->begin;
        if ((uintptr_t)e->t.data % dtypes[e->t.dtype].bytes == 0)
            continue;
        if (!(e->copy = sg_alloc(e->t.bytes)))
            return sg_fail_memory(err, f->name);
        copy_data(e, &f->map);
        e->t.data = e->copy;
    }
    return SG_OK;
}

static sg_status read_header(sg_tensors *f, sg_bytes text, sg_error *err)
{
    sg_buf where = {0};
    const char *key;
    json_t *v;
    void *it;
    sg_status st;

    sg_buf_printf(&where, "%s: header", f->name);
    st = where.failed ? sg_fail_memory(err, f->name)
                      : sg_json_parse_light(&f->header, text, SG_JSON_WEIGHT_SMALL, where.data, err);
    sg_buf_free(&where);
    if (st)
        return st;
    if (text.data[0] != '{' || !json_is_object(f->header))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a header that is a JSON object", f->name);
    for (it = json_object_iter(f->header); it; it = json_object_iter_next(f->header, it)) {
        key = json_object_iter_key(it);
        v = json_object_iter_value(it);
        if (strcmp(key, "__metadata__") != 0) {
            if (!sg_grow(&f->list, &f->cap, f->n + 1, sizeof *f->list))
                return sg_fail_memory(err, f->name);
            f->list[f->n] = (entry){0};
            if ((st = read_entry(&f->list[f->n], key, v, f->name, err)))
                return st;
            f->n++;
            continue;
        }
        if (!json_is_object(v))
            return sg_fail(err, SG_ERR_FORMAT, "%s: expected an object as __metadata__", f->name);
        for (void *m = json_object_iter(v); m; m = json_object_iter_next(v, m))
            if (!json_is_string(json_object_iter_value(m)))
                return sg_fail(err, SG_ERR_FORMAT, "%s: metadata '%.*s': expected a string", f->name,
                               NAME_SHOWN, json_object_iter_key(m));
    }
    return SG_OK;
}

static sg_status parse(sg_tensors *f, sg_bytes file, sg_error *err)
{
    const unsigned char *p = (const unsigned char *)file.data;
    uint64_t n = 0;
    sg_status st;

    if (file.size < 8)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a safetensors file, found %zu bytes", f->name,
                       file.size);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    if (n > SG_SAFETENSORS_HEADER_MAX)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected a safetensors header of at most %zu bytes, found %" PRIu64, f->name,
                       SG_SAFETENSORS_HEADER_MAX, n);
    if (n > file.size - 8)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a header of %" PRIu64 " bytes, found a file of %zu",
                       f->name, n, file.size);
    if (n < 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a header that is a JSON object", f->name);
    if ((st = read_header(f, (sg_bytes){file.data + 8, (size_t)n}, err)) ||
        (st = check_places(f, file.size - 8 - n, err)) || (st = place_data(f, file.data + 8 + n, err)))
        return st;
    if (f->n)
        qsort(f->list, f->n, sizeof *f->list, by_name);
    return SG_OK;
}

static sg_status tensors_new(sg_tensors **out, const char *name, sg_error *err)
{
    sg_tensors *f = sg_alloc_zero(1, sizeof *f);

    *out = NULL;
    if (!f || !(f->name = sg_strdup(name))) {
        sg_free(f);
        return sg_fail_memory(err, name);
    }
    *out = f;
    return SG_OK;
}

sg_status sg_tensors_parse(sg_tensors **out, sg_bytes file, const char *name, sg_error *err)
{
    sg_tensors *f = NULL;
    sg_status st;

    *out = NULL;
    if ((st = tensors_new(&f, name, err)) || (st = parse(f, file, err))) {
        sg_tensors_close(f);
        return st;
    }
    *out = f;
    return SG_OK;
}

sg_status sg_tensors_open(sg_tensors **out, const char *path, sg_error *err)
{
    sg_tensors *f = NULL;
    sg_status st;

    *out = NULL;
    if ((st = tensors_new(&f, path, err)) || (st = sg_map_open(&f->map, path, err)) ||
        (st = parse(f, (sg_bytes){f->map.data, f->map.size}, err))) {
        sg_tensors_close(f);
        return st;
    }
    *out = f;
    return SG_OK;
}

const char *sg_tensors_name(const sg_tensors *t)
{
    return t->name;
}

size_t sg_tensors_count(const sg_tensors *t)
{
    return t->n;
}

const sg_file_tensor *sg_tensors_at(const sg_tensors *t, size_t i)
{
    return &t->list[i].t;
}

static int name_of(const void *name, const void *e)
{
    return strcmp(name, ((const entry *)e)->t.name);
}

const sg_file_tensor *sg_tensors_find(const sg_tensors *t, const char *name)
{
    const entry *e = t->n ? bsearch(name, t->list, t->n, sizeof *t->list, name_of) : NULL;

    return e ? &e->t : NULL;
}

const char *sg_tensors_meta(const sg_tensors *t, const char *key)
{
    return json_string_value(json_object_get(json_object_get(t->header, "__metadata__"), key));
}

static void print_shape(sg_buf *b, sg_dtype dtype, int rank, const uint64_t *found, const int64_t *wanted)
{
    sg_buf_printf(b, "%s (", sg_dtype_name(dtype));
    for (int i = 0; i < rank; i++) {
        if (i)
            sg_buf_puts(b, ", ");
        if (found)
            sg_buf_printf(b, "%" PRIu64, found[i]);
        else if (wanted && wanted[i] >= 0)
            sg_buf_printf(b, "%" PRId64, wanted[i]);
        else
            sg_buf_puts(b, "any");
    }
    sg_buf_puts(b, ")");
}

sg_status sg_tensors_need(const sg_file_tensor **out, const sg_tensors *t, const char *name, sg_dtype dtype,
                          int rank, const int64_t *dim, sg_error *err)
{
    const sg_file_tensor *x = sg_tensors_find(t, name);
    bool fits = x && x->dtype == dtype && x->rank == rank;
    sg_buf b = {0};

    for (int i = 0; fits && dim && i < rank; i++)
        fits = dim[i] < 0 || (uint64_t)dim[i] == x->dim[i];
    *out = fits ? x : NULL;
    if (fits)
        return SG_OK;
    sg_buf_puts(&b, "expected ");
    print_shape(&b, dtype, rank, NULL, dim);
    sg_buf_puts(&b, ", found ");
    if (x)
        print_shape(&b, x->dtype, x->rank, x->dim, NULL);
    else
        sg_buf_puts(&b, "none");
    const sg_status st = sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': %s", t->name, NAME_SHOWN, name,
                                 b.failed ? "?" : b.data);
    sg_buf_free(&b);
    return st;
}
