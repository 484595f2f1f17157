/* codes.c - codes in memory, and as DATA/ids.safetensors. */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"

#include <assert.h>
#include <math.h>
#include <string.h>

sg_status sg_codes_init(sg_codes *c, int32_t n, int levels, int32_t codes, sg_error *err)
{
    *c = (sg_codes){.n = n, .levels = levels, .reconstruction = NAN};
    for (int l = 0; l < SG_PARTS_MAX; l++)
        c->error[l] = NAN;
    for (int l = 0; l < levels; l++)
        c->size[l] = codes;
    c->codes = sg_alloc_zero((size_t)n, (size_t)levels * sizeof *c->codes);
    return c->codes ? SG_OK : sg_fail_memory(err, "semantic IDs");
}

int sg_codes_length(const sg_codes *c, size_t item)
{
    const int levels = c->levels - c->digit;

    for (int l = 1; c->ends && l < levels; l++)
        if (c->codes[item * (size_t)c->levels + (size_t)l] == c->size[l] - 1)
            return l;
    return levels;
}

void sg_codes_fini(sg_codes *c)
{
    sg_free(c->codes);
    sg_free(c->book);
    sg_free(c->rotation);
    sg_free(c->shift);
    sg_free(c->scale);
    sg_free(c->latent);
    sg_params_free(&c->network);
    *c = (sg_codes){0};
}

static void add_tensor(sg_tensor_desc *list, size_t *n, const char *name, sg_dtype dtype, int rank,
                       const int64_t *dim, const void *data)
{
    if (!data)
        return;
    list[*n] = (sg_tensor_desc){.name = name, .dtype = dtype, .rank = rank, .data = data};
    for (int i = 0; i < rank; i++)
        list[*n].dim[i] = (uint64_t)dim[i];
    ++*n;
}

sg_status sg_codes_save(const sg_dataset *d, const sg_codes *c, int dim, const char *method,
                        const char *options, const json_t *report, sg_error *err)
{
    sg_tensor_desc *list = sg_alloc_array(c->network.n + 6, sizeof *list);
    char *path = sg_path_join(d->dir, SG_DATASET_IDS);
    sg_buf text = {0};
    sg_status st;
    size_t n = 0;

    sg_json_print_compact(&text, report);
    if (!list || !path || text.failed) {
        st = sg_fail_memory(err, "semantic IDs");
        goto done;
    }
    const sg_meta meta[] = {{"dataset", d->sha256},
                            {"method", method},
                            {"options", options},
                            {"report", text.data},
                            {"collision_digit", c->digit ? "true" : "false"},
                            {"ends", "true"}};
    add_tensor(list, &n, "codes", SG_DT_I32, 2, (int64_t[]){c->n, c->levels}, c->codes);
    add_tensor(list, &n, "sizes", SG_DT_I32, 1, (int64_t[]){c->levels}, c->size);
    add_tensor(list, &n, "codebooks", SG_DT_F32, 3, (int64_t[]){c->book_levels, c->book_codes, c->book_dim},
               c->book);
    add_tensor(list, &n, "rotation", SG_DT_F32, 2, (int64_t[]){dim, dim}, c->rotation);
    add_tensor(list, &n, "shift", SG_DT_F32, 1, (int64_t[]){dim}, c->shift);
    add_tensor(list, &n, "scale", SG_DT_F32, 1, (int64_t[]){dim}, c->scale);
    for (size_t i = 0; i < c->network.n; i++) {
        const sg_param *p = c->network.list[i];

        assert(p->rank <= 2);
        if (strncmp(p->name, "codebook.", 9) != 0) /* these are in codebooks */
            add_tensor(list, &n, p->name, SG_DT_F32, p->rank, (int64_t[]){p->dim[0], p->dim[1]}, p->value);
    }
    st = sg_tensors_write(path, list, n, meta, sizeof meta / sizeof *meta - !c->ends, err);
done:
    sg_buf_free(&text);
    sg_free(list);
    sg_free(path);
    return st;
}
