/* dataset_extra.c - item vectors and semantic IDs that lie beside a dataset. */
#include "data/dataset.h"

#include "base/alloc.h"
#include "base/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static sg_status open_extra(sg_tensors **out, const sg_dataset *d, const char *name, const char *what,
                            const char *command, sg_error *err)
{
    char *path = sg_path_join(d->dir, name);
    const char *made_for;
    sg_status st;

    *out = NULL;
    if (!path)
        return sg_fail_memory(err, d->dir);
    if (!sg_file_exists(path))
        st = sg_fail(err, SG_ERR_MISSING, "%s: no %s here: `sedge %s %s` makes them", d->dir, what, command,
                     d->dir);
    else if (!(st = sg_tensors_open(out, path, err)) && (made_for = sg_tensors_meta(*out, "dataset")) &&
             strcmp(made_for, d->sha256) != 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: made for other data (%.12s...): `sedge %s %s` makes them anew",
                     path, made_for, command, d->dir);
    if (st) {
        sg_tensors_close(*out);
        *out = NULL;
    }
    sg_free(path);
    return st;
}

sg_status sg_vectors_open(sg_vectors *out, const sg_dataset *d, sg_error *err)
{
    const int64_t dim[2] = {d->n_items, -1};
    const sg_file_tensor *t;
    sg_vectors v = {0};
    sg_status st;

    *out = (sg_vectors){0};
    if ((st = open_extra(&v.file, d, SG_DATASET_VECTORS, "item vectors", "embed", err)) ||
        (st = sg_tensors_need(&t, v.file, "vectors", SG_DT_F32, 2, dim, err)))
        goto done;
    if (t->dim[1] < 1 || t->dim[1] > INT32_MAX) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: tensor 'vectors': expected at least one dimension",
                     sg_tensors_name(v.file));
        goto done;
    }
    v.n = d->n_items;
    v.dim = (int32_t)t->dim[1];
    v.data = t->data;
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite(v.data[i])) {
            st = sg_fail(err, SG_ERR_NUMERIC,
                         "%s: tensor 'vectors': expected finite numbers, found %g in row %zu",
                         sg_tensors_name(v.file), (double)v.data[i], i / (size_t)v.dim);
            goto done;
        }
    *out = v;
    v.file = NULL;
done:
    sg_tensors_close(v.file);
    return st;
}

void sg_vectors_close(sg_vectors *v)
{
    sg_tensors_close(v->file);
    *v = (sg_vectors){0};
}

/* Rows of codes, sorted by merging runs bottom up: equal rows are then neighbours. qsort cannot see the width. */
static void sort_rows(int32_t *order, int32_t *scratch, int32_t n, const int32_t *codes, int levels)
{
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * run) {
            const int64_t middle = begin + run < n ? begin + run : n,
                          end = begin + 2 * run < n ? begin + 2 * run : n;
            int64_t i = begin, j = middle;

            for (int64_t k = begin; k < end; k++) {
                bool right = i == middle;

                if (i < middle && j < end) {
                    const int32_t *a = codes + (size_t)order[i] * (size_t)levels,
                                  *b = codes + (size_t)order[j] * (size_t)levels;
                    int l = 0;

                    while (l < levels && a[l] == b[l])
                        l++;
                    right = l < levels && b[l] < a[l];
                }
                scratch[k] = right ? order[j++] : order[i++];
            }
        }
        memcpy(order, scratch, (size_t)n * sizeof *order);
    }
}

static sg_status check_unique(const sg_ids *ids, sg_error *err)
{
    const size_t row = (size_t)ids->levels * sizeof *ids->codes;
    int32_t *order = sg_alloc_array((size_t)ids->n, sizeof *order);
    int32_t *scratch = sg_alloc_array((size_t)ids->n, sizeof *scratch);
    sg_status st = SG_OK;

    if (!order || !scratch) {
        st = sg_fail_memory(err, "semantic IDs");
        goto done;
    }
    for (int32_t i = 0; i < ids->n; i++)
        order[i] = i;
    sort_rows(order, scratch, ids->n, ids->codes, ids->levels);
    for (int32_t i = 1; !st && i < ids->n; i++)
        if (memcmp(ids->codes + (size_t)order[i] * (size_t)ids->levels,
                   ids->codes + (size_t)order[i - 1] * (size_t)ids->levels, row) == 0)
            st = sg_fail(err, SG_ERR_FORMAT,
                         "%s: tensor 'codes': expected different rows, found items %d and %d alike",
                         sg_tensors_name(ids->file), (int)order[i - 1], (int)order[i]);
done:
    sg_free(order);
    sg_free(scratch);
    return st;
}

sg_status sg_ids_open(sg_ids *out, const sg_dataset *d, sg_error *err)
{
    const int64_t dim[2] = {d->n_items, -1};
    const sg_file_tensor *codes, *size;
    sg_ids ids = {0};
    sg_status st;

    *out = (sg_ids){0};
    if ((st = open_extra(&ids.file, d, SG_DATASET_IDS, "semantic IDs", "tokenize", err)) ||
        (st = sg_tensors_need(&codes, ids.file, "codes", SG_DT_I32, 2, dim, err)) ||
        (st = sg_tensors_need(&size, ids.file, "sizes", SG_DT_I32, 1,
                              (const int64_t[]){(int64_t)codes->dim[1]}, err)))
        goto done;
    if (codes->dim[1] < 1 || codes->dim[1] > SG_LEVELS_MAX) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: tensor 'codes': expected 1 to %d levels, found %llu",
                     sg_tensors_name(ids.file), SG_LEVELS_MAX, (unsigned long long)codes->dim[1]);
        goto done;
    }
    ids.n = d->n_items;
    ids.levels = (int)codes->dim[1];
    ids.ends = sg_tensors_meta(ids.file, "ends") && strcmp(sg_tensors_meta(ids.file, "ends"), "true") == 0;
    ids.codes = codes->data;
    memcpy(ids.size, size->data, size->bytes);
    for (int l = 0; l < ids.levels; l++)
        if (ids.size[l] < 1 || ids.size[l] > 65536) {
            st = sg_fail(err, SG_ERR_FORMAT, "%s: tensor 'sizes': expected 1 to 65536, found %d",
                         sg_tensors_name(ids.file), (int)ids.size[l]);
            goto done;
        }
    for (size_t i = 0; i < codes->count; i++) {
        const int l = (int)(i % (size_t)ids.levels);

        if (ids.codes[i] < 0 || ids.codes[i] >= ids.size[l]) {
            st = sg_fail(err, SG_ERR_FORMAT,
                         "%s: tensor 'codes': expected 0 to %d at level %d, found %d for item %zu",
                         sg_tensors_name(ids.file), (int)ids.size[l] - 1, l, (int)ids.codes[i],
                         i / (size_t)ids.levels);
            goto done;
        }
    }
    if ((st = check_unique(&ids, err)))
        goto done;
    *out = ids;
    ids.file = NULL;
done:
    sg_tensors_close(ids.file);
    return st;
}

void sg_ids_close(sg_ids *ids)
{
    sg_tensors_close(ids->file);
    *ids = (sg_ids){0};
}
