/* vectors.c - DATA/vectors.safetensors: written from an encoder's result, or from vectors made elsewhere. */
#include "text/lsa.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/vocab.h"
#include "file/json.h"
#include "text/npy.h"

#include <math.h>
#include <string.h>

sg_status sg_vectors_save(const sg_dataset *d, const float *vectors, int32_t n, int32_t dim,
                          const char *encoder, const char *options_json, sg_error *err)
{
    const sg_tensor_desc tensor = {"vectors", SG_DT_F32, 2, {(uint64_t)n, (uint64_t)dim}, vectors};
    const sg_meta meta[] = {
        {"dataset", d->sha256}, {"encoder", encoder}, {"options", options_json ? options_json : "{}"}};
    char *path = sg_path_join(d->dir, SG_DATASET_VECTORS);
    const sg_status st =
        path ? sg_tensors_write(path, &tensor, 1, meta, 3, err) : sg_fail_memory(err, "path");

    sg_free(path);
    return st;
}

/* A matrix in a file, whatever its kind. */
typedef struct source {
    sg_map map;
    sg_tensors *file;
    const sg_file_tensor *tensor; /* NULL: npy */
    sg_npy npy;
    uint64_t rows, cols;
} source;

static float tensor_at(const sg_file_tensor *t, size_t i)
{
    const char *p = (const char *)t->data + i * sg_dtype_bytes(t->dtype);
    uint16_t half;
    double wide;
    float x;

    if (t->dtype == SG_DT_F32) {
        memcpy(&x, p, sizeof x);
        return x;
    }
    if (t->dtype == SG_DT_F64) {
        memcpy(&wide, p, sizeof wide);
        return (float)wide;
    }
    memcpy(&half, p, sizeof half);
    return t->dtype == SG_DT_F16 ? sg_f16_to_f32(half) : sg_bf16_to_f32(half);
}

static bool is_float(sg_dtype t)
{
    return t == SG_DT_F32 || t == SG_DT_F64 || t == SG_DT_F16 || t == SG_DT_BF16;
}

static sg_status open_tensor(source *s, const char *path, const char *name, sg_error *err)
{
    const sg_file_tensor *t = NULL;
    const sg_status st = sg_tensors_open(&s->file, path, err);

    if (st)
        return st;
    if (name && *name) {
        if (!(t = sg_tensors_find(s->file, name)))
            return sg_fail(err, SG_ERR_MISSING, "%s: no tensor '%s'", path, name);
        if (!is_float(t->dtype) || t->rank != 2)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%s': expected floats (items, dim), found %s with %d dimensions", path,
                           name, sg_dtype_name(t->dtype), t->rank);
    }
    for (size_t i = 0; !t && i < sg_tensors_count(s->file); i++) {
        const sg_file_tensor *x = sg_tensors_at(s->file, i);

        if (is_float(x->dtype) && x->rank == 2)
            t = x;
    }
    if (!t)
        return sg_fail(err, SG_ERR_MISSING, "%s: expected a tensor of floats (items, dim), found none", path);
    s->tensor = t;
    s->rows = t->dim[0];
    s->cols = t->dim[1];
    return SG_OK;
}

static sg_status open_source(source *s, const char *path, const char *tensor, sg_error *err)
{
    const size_t n = strlen(path);
    sg_status st;

    *s = (source){0};
    if (n > 12 && strcmp(path + n - 12, ".safetensors") == 0)
        return open_tensor(s, path, tensor, err);
    if (n < 4 || strcmp(path + n - 4, ".npy") != 0)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a file named *.npy or *.safetensors", path);
    if ((st = sg_map_open(&s->map, path, err)) ||
        (st = sg_npy_parse(&s->npy, (sg_bytes){s->map.data, s->map.size}, path, err)))
        return st;
    s->rows = s->npy.rows;
    s->cols = s->npy.cols;
    return SG_OK;
}

static void close_source(source *s)
{
    sg_tensors_close(s->file);
    if (s->map.data)
        sg_map_close(&s->map);
}

/* ---- which row is which item --------------------------------------------------------------------------------- */

static sg_status read_lines(int64_t *row_of_item, const sg_vocab *ids, uint64_t rows, const char *path,
                            sg_reader *r, sg_error *err)
{
    uint64_t row = 0;

    for (;; row++) {
        const char *line;
        size_t size;
        const sg_status st = sg_reader_line(r, &line, &size, err);

        if (st)
            return st;
        if (!line)
            break;
        const int32_t item = sg_vocab_find(ids, (sg_bytes){line, size});
        if (item < 0)
            continue;
        if (row_of_item[item] >= 0)
            return sg_fail(err, SG_ERR_FORMAT, "%s:%llu: item '%.*s' stands on line %lld already", path,
                           (unsigned long long)row + 1, (int)(size < 200 ? size : 200), line,
                           (long long)row_of_item[item] + 1);
        row_of_item[item] = (int64_t)row;
    }
    if (row != rows)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected %llu lines, one id for each row, found %llu", path,
                       (unsigned long long)rows, (unsigned long long)row);
    return SG_OK;
}

static sg_status map_rows(int64_t *row_of_item, const sg_dataset *d, uint64_t rows, const char *path,
                          sg_error *err)
{
    sg_vocab *ids = NULL;
    sg_reader *r = NULL;
    int32_t missing = 0, first = -1;
    sg_status st;

    for (int32_t i = 0; i < d->n_items; i++)
        row_of_item[i] = -1;
    if ((st = sg_vocab_over(&ids, &d->item_ids, err)) == SG_OK &&
        (st = sg_reader_open(&r, path, err)) == SG_OK)
        st = read_lines(row_of_item, ids, rows, path, r, err);
    sg_reader_close(r);
    sg_vocab_free(ids);
    for (int32_t i = 0; st == SG_OK && i < d->n_items; i++)
        if (row_of_item[i] < 0 && missing++ == 0)
            first = i;
    if (missing) {
        const sg_bytes id = sg_strings_at(&d->item_ids, (size_t)first);

        return sg_fail(err, SG_ERR_MISSING, "%s: item '%.*s' has no row (%d of %d items have none)", path,
                       (int)(id.size < 200 ? id.size : 200), id.data, (int)missing, (int)d->n_items);
    }
    return st;
}

static sg_status copy_rows(float *to, const source *s, const int64_t *row_of_item, int32_t n,
                           const char *path, sg_error *err)
{
    for (int32_t i = 0; i < n; i++) {
        const uint64_t row = row_of_item ? (uint64_t)row_of_item[i] : (uint64_t)i;

        for (uint64_t k = 0; k < s->cols; k++) {
            const float x =
                s->tensor ? tensor_at(s->tensor, (size_t)(row * s->cols + k)) : sg_npy_at(&s->npy, row, k);

            if (!isfinite(x))
                return sg_fail(err, SG_ERR_NUMERIC,
                               "%s: row %llu, column %llu: expected a finite number, found %g", path,
                               (unsigned long long)row, (unsigned long long)k, (double)x);
            to[(size_t)i * s->cols + k] = x;
        }
    }
    return SG_OK;
}

static sg_status check_shape(const source *s, const sg_dataset *d, const char *path, const char *ids,
                             sg_error *err)
{
    if (s->cols < 1 || s->cols > 65536)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected vectors of 1 to 65536 numbers, found %llu", path,
                       (unsigned long long)s->cols);
    if (!ids && s->rows != (uint64_t)d->n_items)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected %d rows, one for each item, found %llu: a file with one item id a "
                       "line can say which row is which",
                       path, (int)d->n_items, (unsigned long long)s->rows);
    return SG_OK;
}

sg_status sg_vectors_import(const sg_dataset *d, const char *path, const char *tensor, const char *ids,
                            sg_error *err)
{
    json_t *options = json_pack("{s:s, s:s}", "file", sg_path_base(path), "tensor", tensor ? tensor : "");
    sg_buf text = {0};
    int64_t *row_of_item = NULL;
    float *vectors = NULL;
    source s = {0};
    sg_status st;

    ids = ids && *ids ? ids : NULL;
    sg_json_print_compact(&text, options);
    if ((st = open_source(&s, path, tensor, err)) || (st = check_shape(&s, d, path, ids, err)))
        goto done;
    if (ids) {
        if (!(row_of_item = sg_alloc_array((size_t)d->n_items, sizeof *row_of_item))) {
            st = sg_fail_memory(err, "item ids");
            goto done;
        }
        if ((st = map_rows(row_of_item, d, s.rows, ids, err)))
            goto done;
    }
    if (!(vectors = sg_alloc_array((size_t)d->n_items * s.cols, sizeof *vectors))) {
        st = sg_fail_memory(err, "item vectors");
        goto done;
    }
    if ((st = copy_rows(vectors, &s, row_of_item, d->n_items, path, err)) == SG_OK)
        st = sg_vectors_save(d, vectors, d->n_items, (int32_t)s.cols, "import", text.data, err);
done:
    close_source(&s);
    sg_free(row_of_item);
    sg_free(vectors);
    json_decref(options);
    sg_buf_free(&text);
    return st;
}
