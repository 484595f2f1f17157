/* weights.c - tensors of safetensors files and of GGUF files behind one door. */
#include "lm/weights.h"

#include "base/alloc.h"
#include "base/half.h"
#include "base/io.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 10000, INDEX_BYTES_MAX = 64 << 20 };

struct sg_weights {
    char *path;              /* owned */
    const sg_tensors **file; /* owned array, (n_files) */
    size_t n_files, cap_file;
    const sg_gguf *gguf; /* NULL: safetensors */
    bool borrowed;       /* the files are the caller's */
};

/* ---- opening ------------------------------------------------------------------------------------------------------------- */
static sg_status add_file(sg_weights *w, const char *dir, const char *name, sg_error *err)
{
    char *path = sg_path_join(dir, name);
    sg_tensors *file = NULL;
    sg_status st = path ? sg_tensors_open(&file, path, err) : sg_fail_memory(err, "path");

    if (!st && !sg_grow(&w->file, &w->cap_file, w->n_files + 1, sizeof(sg_tensors *))) {
        sg_tensors_close(file);
        st = sg_fail_memory(err, "model files");
    } else if (!st) {
        w->file[w->n_files++] = file;
    }
    sg_free(path);
    return st;
}

/* The index names the file of each tensor; names come from outside, so none may leave the folder. */
static sg_status add_listed(sg_weights *w, const char *dir, const char *path, sg_error *err)
{
    json_t *root = NULL, *map = NULL, *seen = json_object(), *value;
    const char *key;
    sg_status st;

    if (!seen)
        return sg_fail_memory(err, path);
    if ((st = sg_json_read(&root, path, INDEX_BYTES_MAX, err)) ||
        (st = sg_json_need_object(&map, root, "weight_map", path, err)))
        goto done;
    json_object_foreach(map, key, value)
    {
        const char *name = json_string_value(value);

        if (!name || !*name || strchr(name, '/') || json_string_length(value) != strlen(name)) {
            st = sg_fail(err, SG_ERR_FORMAT,
                         "%s: tensor '%.200s': expected the name of a file in the same folder", path, key);
            goto done;
        }
        if (json_object_get(seen, name))
            continue;
        if (w->n_files >= FILES_MAX)
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d files", path, FILES_MAX);
        else if (json_object_set_new(seen, name, json_true()))
            st = sg_fail_memory(err, path);
        if (st || (st = add_file(w, dir, name, err)))
            goto done;
    }
done:
    json_decref(seen);
    json_decref(root);
    return st;
}

static sg_status open_folder(sg_weights *w, const char *dir, sg_error *err)
{
    static const char one[] = "model.safetensors";
    char *single = sg_path_join(dir, one), *index = sg_path_join(dir, "model.safetensors.index.json");
    sg_status st;

    if (!single || !index)
        st = sg_fail_memory(err, "path");
    else if (sg_file_exists(single))
        st = add_file(w, dir, one, err);
    else if (sg_file_exists(index))
        st = add_listed(w, dir, index, err);
    else
        st = sg_fail(err, SG_ERR_MISSING, "%s: expected a file %s or %s.index.json", dir, one, one);
    sg_free(single);
    sg_free(index);
    return st;
}

static sg_weights *weights_new(const char *path)
{
    sg_weights *w = sg_alloc_zero(1, sizeof *w);

    if (w && !(w->path = sg_strdup(path))) {
        sg_free(w);
        return NULL;
    }
    return w;
}

sg_status sg_weights_open(sg_weights **out, const char *path, sg_error *err)
{
    sg_weights *w = weights_new(path);
    sg_gguf *gguf = NULL;
    sg_status st;

    *out = NULL;
    if (!w)
        return sg_fail_memory(err, path);
    if (sg_dir_exists(path))
        st = open_folder(w, path, err);
    else if (!(st = sg_gguf_open(&gguf, path, err)))
        w->gguf = gguf;
    if (st) {
        sg_weights_close(w);
        return st;
    }
    *out = w;
    return SG_OK;
}

sg_status sg_weights_over(sg_weights **out, const sg_tensors *file, const sg_gguf *gguf, sg_error *err)
{
    sg_weights *w = weights_new(file ? sg_tensors_name(file) : sg_gguf_name(gguf));

    *out = NULL;
    if (w)
        w->borrowed = true;
    if (!w || (file && !sg_grow(&w->file, &w->cap_file, 1, sizeof(sg_tensors *)))) {
        sg_weights_close(w);
        return sg_fail_memory(err, "model files");
    }
    if (file)
        w->file[w->n_files++] = file;
    w->gguf = gguf;
    *out = w;
    return SG_OK;
}

void sg_weights_close(sg_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_files && !w->borrowed; i++)
        sg_tensors_close((sg_tensors *)(uintptr_t)w->file[i]);
    if (!w->borrowed)
        sg_gguf_close((sg_gguf *)(uintptr_t)w->gguf);
    sg_free(w->file);
    sg_free(w->path);
    sg_free(w);
}

const char *sg_weights_name(const sg_weights *w)
{
    return w->path;
}

const sg_gguf *sg_weights_gguf(const sg_weights *w)
{
    return w->gguf;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------- */
const sg_file_tensor *sg_weights_find(const sg_weights *w, const char *name)
{
    for (size_t i = 0; i < w->n_files; i++) {
        const sg_file_tensor *t = sg_tensors_find(w->file[i], name);

        if (t)
            return t;
    }
    return NULL;
}

bool sg_weights_has(const sg_weights *w, const char *name)
{
    return w->gguf ? sg_gguf_tensor_find(w->gguf, name) != NULL : sg_weights_find(w, name) != NULL;
}

sg_status sg_weights_check(const sg_weights *w, sg_weights_known *known, const void *ctx, sg_error *err)
{
    const size_t files = w->gguf ? 1 : w->n_files;

    for (size_t f = 0; f < files; f++)
        for (size_t i = 0; i < (w->gguf ? sg_gguf_count(w->gguf) : sg_tensors_count(w->file[f])); i++) {
            const char *name = w->gguf ? sg_gguf_at(w->gguf, i)->name : sg_tensors_at(w->file[f], i)->name;

            if (!known(ctx, name))
                return sg_fail(err, SG_ERR_FORMAT,
                               "%s: tensor '%.200s': expected no such weight in a model of this kind and "
                               "size, which would leave "
                               "it out",
                               w->path, name);
        }
    return SG_OK;
}

/* rank and dims of p against those found, slowest first */
static sg_status check_shape(const sg_weights *w, const sg_param *p, const char *name, int rank,
                             const uint64_t *dim, sg_error *err)
{
    bool same = rank == p->rank;
    char found[160] = "(";

    for (int i = 0; i < rank; i++) {
        const size_t n = strlen(found);

        same = same && dim[i] == (uint64_t)p->dim[i];
        snprintf(found + n, sizeof found - n, i ? ", %llu" : "%llu", (unsigned long long)dim[i]);
    }
    if (same)
        return SG_OK;
    if (p->rank == 1)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': expected (%d), found %s)", w->path, name,
                       p->dim[0], found);
    return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': expected (%d, %d), found %s)", w->path, name,
                   p->dim[0], p->dim[1], found);
}

static bool take(sg_param *p)
{
    if (!p->value && (p->value = sg_alloc_array(p->count, sizeof *p->value)))
        p->version++;
    return p->value != NULL;
}

static sg_status load_gguf(const sg_weights *w, sg_param *p, const char *name, sg_error *err)
{
    const sg_gguf_tensor *t = sg_gguf_tensor_find(w->gguf, name);
    uint64_t dim[SG_GGUF_RANK_MAX] = {0};
    sg_status st;

    if (!t)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a tensor '%s', found none", w->path, name);
    for (int i = 0; i < t->rank; i++)
        dim[i] = t->dim[t->rank - 1 - i];
    if ((st = check_shape(w, p, name, t->rank, dim, err)))
        return st;
    if (!take(p))
        return sg_fail_memory(err, name);
    return sg_gguf_decode(p->value, w->gguf, t, 0, t->count, err);
}

static sg_status read_tensor(float *out, const sg_weights *w, const sg_file_tensor *t, size_t first, size_t n,
                             sg_error *err)
{
    if (t->dtype != SG_DT_F32 && t->dtype != SG_DT_F16 && t->dtype != SG_DT_BF16)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': expected F32, F16 or BF16, found %s",
                       w->path, t->name, sg_dtype_name(t->dtype));
    if (first > t->count || n > t->count - first)
        return sg_fail(err, SG_ERR_USAGE, "%s: tensor '%.200s' has %zu numbers", w->path, t->name, t->count);
    if (t->dtype == SG_DT_F32)
        memcpy(out, (const char *)t->data + 4 * first, 4 * n);
    for (size_t i = 0; i < n && t->dtype != SG_DT_F32; i++) {
        uint16_t half;

        memcpy(&half, (const char *)t->data + 2 * (first + i), sizeof half);
        out[i] = t->dtype == SG_DT_F16 ? sg_f16_to_f32(half) : sg_bf16_to_f32(half);
    }
    return SG_OK;
}

sg_status sg_weights_read(float *out, const sg_weights *w, const char *name, size_t first, size_t n,
                          sg_error *err)
{
    const sg_gguf_tensor *packed = w->gguf ? sg_gguf_tensor_find(w->gguf, name) : NULL;
    const sg_file_tensor *t = w->gguf ? NULL : sg_weights_find(w, name);

    if (packed)
        return sg_gguf_decode(out, w->gguf, packed, first, n, err);
    return t ? read_tensor(out, w, t, first, n, err)
             : sg_fail(err, SG_ERR_FORMAT, "%s: expected a tensor '%s', found none", w->path, name);
}

static sg_status load_tensors(const sg_weights *w, sg_param *p, const char *name, sg_error *err)
{
    const sg_file_tensor *t = sg_weights_find(w, name);
    sg_status st;

    if (!t)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a tensor '%s', found none", w->path, name);
    if ((st = check_shape(w, p, name, t->rank, t->dim, err)))
        return st;
    if (t->dtype == SG_DT_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
        sg_param_map(p, t->data);
        return SG_OK;
    }
    if (!take(p))
        return sg_fail_memory(err, name);
    return read_tensor(p->value, w, t, 0, t->count, err);
}

sg_status sg_weights_load(const sg_weights *w, sg_param *p, const char *name, sg_error *err)
{
    return w->gguf ? load_gguf(w, p, name, err) : load_tensors(w, p, name, err);
}
