/* product.c - codes of item vectors as arrays of a model. */
#include "models/product.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "quantize/quantize.h"

#include <string.h>

static sg_status check_groups(const sg_vectors *v, int groups, sg_error *err)
{
    return v->dim % groups == 0
               ? SG_OK
               : sg_fail(err, SG_ERR_USAGE,
                         "groups: expected a number that divides the %d numbers of an item vector, found %d",
                         (int)v->dim, groups);
}

static sg_status put_numbers(sg_model *m, const char *name, const float *x, int rank, const uint64_t *dim,
                             sg_error *err)
{
    size_t n = 1;
    float *copy;

    for (int i = 0; i < rank; i++)
        n *= (size_t)dim[i];
    if ((copy = sg_alloc_array(n, sizeof *copy)))
        memcpy(copy, x, n * sizeof *copy);
    return sg_model_array_put(m, name, SG_DT_F32, rank, dim, copy, err);
}

/* code becomes the model's, also on failure; book and rotation are copied. */
static sg_status keep(sg_model *m, int32_t *code, const float *book, const float *rotation, int dim,
                      int groups, int codes, sg_error *err)
{
    const uint64_t parts = (uint64_t)groups, width = (uint64_t)dim;
    sg_status st;

    if ((st = sg_model_array_put(m, "codes", SG_DT_I32, 2, (uint64_t[]){(uint64_t)m->n_items, parts}, code,
                                 err)) ||
        (st = put_numbers(m, "codebooks", book, 3, (uint64_t[]){parts, (uint64_t)codes, width / parts}, err)))
        return st;
    return put_numbers(m, "rotation", rotation, 2, (uint64_t[]){width, width}, err);
}

sg_status sg_product_fit(sg_model *m, const sg_vectors *v, int groups, int codes, sg_error *err)
{
    const sg_quantize_data data = {.x = v->data, .n = v->n, .dim = v->dim};
    sg_tokenize_config how;
    sg_codes out = {0};
    sg_status st = check_groups(v, groups, err);

    sg_options_init(&how, sg_tokenize_options, sg_n_tokenize_options);
    how.levels = groups;
    how.codes = codes;
    if (!st && !(st = sg_codes_init(&out, v->n, groups, codes, err)) &&
        !(st = sg_opq(&out, &data, &how, NULL, NULL, err))) {
        int32_t *code = out.codes;

        out.codes = NULL;
        st = keep(m, code, out.book, out.rotation, v->dim, groups, codes, err);
    }
    sg_codes_fini(&out);
    return st;
}

sg_status sg_product_take(sg_model *m, const sg_model *from, const sg_vectors *v, int groups, int codes,
                          sg_error *err)
{
    const sg_model_array *book, *rotation;
    const int dim = v->dim;
    float *turned;
    int32_t *code;
    sg_status st = check_groups(v, groups, err);

    if (st || (st = sg_model_array_need(&rotation, from, "rotation", SG_DT_F32, 2, (int64_t[]){-1, -1}, err)))
        return st;
    if (rotation->dim[0] != (uint64_t)dim)
        return sg_fail(err, SG_ERR_USAGE, "%s: its codebooks take vectors of %d numbers, found %d", from->dir,
                       (int)rotation->dim[0], dim);
    if ((st = sg_model_array_need(&rotation, from, "rotation", SG_DT_F32, 2, (int64_t[]){dim, dim}, err)) ||
        (st = sg_model_array_need(&book, from, "codebooks", SG_DT_F32, 3,
                                  (int64_t[]){groups, codes, dim / groups}, err)))
        return st;
    turned = sg_alloc_array((size_t)v->n, (size_t)dim * sizeof *turned);
    code = sg_alloc_array((size_t)v->n, (size_t)groups * sizeof *code);
    if (!turned || !code) {
        st = sg_fail_memory(err, "codes");
    } else {
        sg_gemm(NULL, SG_F32, false, false, v->n, dim, dim, 1, v->data, dim, rotation->data, dim, 0, turned,
                dim);
        st = sg_product_codes(code, turned, (size_t)v->n, dim / groups, book->data, groups, codes, NULL, err);
    }
    sg_free(turned);
    if (!st)
        return keep(m, code, book->data, rotation->data, dim, groups, codes, err);
    sg_free(code);
    return st;
}

sg_status sg_product_rows(int32_t **row, const sg_model *m, int groups, int codes, sg_error *err)
{
    const size_t n = (size_t)m->n_items * (size_t)groups;
    const sg_model_array *a;
    const int32_t *code;
    sg_status st = sg_model_array_need(&a, m, "codes", SG_DT_I32, 2, (int64_t[]){m->n_items, groups}, err);

    if (st)
        return st;
    if (!*row && !(*row = sg_alloc_array(n, sizeof **row)))
        return sg_fail_memory(err, "codes");
    code = a->data;
    for (size_t i = 0; i < n; i++) {
        if (code[i] < 0 || code[i] >= codes)
            return sg_fail(err, SG_ERR_FORMAT, "%s: array 'codes': expected codes from 0 to %d, found %d",
                           m->class->name, codes - 1, (int)code[i]);
        (*row)[i] = (int32_t)(i % (size_t)groups) * codes + code[i];
    }
    return SG_OK;
}
