/* matrix.c - reading a weight matrix into the form it is multiplied in. */
#include "lm/matrix.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "math/kernels.h"

#include <string.h>

enum { BF16_BLOCK = 32 };

/* Where row r of the matrix stands in the file. */
static size_t stored_row(int r, int half)
{
    if (half <= 0)
        return (size_t)r;
    const int group = r / (2 * half), in_group = r % (2 * half);

    return (size_t)(group * 2 * half + in_group % half * 2 + in_group / half);
}

static sg_status open_gguf_blocks(sg_matrix *m, const sg_weights *w, const sg_gguf_tensor *t, int bits,
                                  int block, int half, sg_error *err)
{
    const size_t in = (size_t)m->in, n = in / (size_t)block;
    uint16_t *q = sg_alloc_array(in, sizeof *q);
    float *scale = sg_alloc_array(n, sizeof *scale), *least = sg_alloc_array(n, sizeof *least);
    sg_status st = q && scale && least ? sg_blocks_new(&m->blocks, m->out, m->in, bits, block, err)
                                       : sg_fail_memory(err, t->name);

    for (int r = 0; r < m->out && !st; r++)
        if (!(st = sg_gguf_split(q, scale, least, sg_weights_gguf(w), t, stored_row(r, half) * in, in, err)))
            sg_blocks_set(&m->blocks, r, q, scale, least);
    if (!st)
        st = sg_blocks_narrow(&m->blocks, err);
    sg_free(q);
    sg_free(scale);
    sg_free(least);
    return st;
}

static sg_status open_bf16(sg_matrix *m, const sg_file_tensor *t, sg_error *err)
{
    const size_t in = (size_t)m->in;
    uint16_t *q = sg_alloc_array(in, sizeof *q);
    const sg_status st =
        q ? sg_blocks_new(&m->blocks, m->out, m->in, 16, BF16_BLOCK, err) : sg_fail_memory(err, t->name);

    for (int r = 0; r < m->out && !st; r++) {
        memcpy(q, (const char *)t->data + 2 * in * (size_t)r, 2 * in);
        sg_blocks_set(&m->blocks, r, q, NULL, NULL);
    }
    sg_free(q);
    return st;
}

static sg_status open_dense(sg_matrix *m, sg_params *ps, const sg_weights *w, const char *name, int half,
                            sg_error *err)
{
    const size_t in = (size_t)m->in;
    sg_param *p = m->dense = sg_param_add(ps, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, m->out, m->in, "%s", name);
    sg_status st;

    if (!p)
        return sg_fail_memory(err, name);
    if ((st = sg_weights_load(w, p, name, err)) || half <= 0)
        return st;
    for (int r = 0; r < m->out && !st; r++)
        st = sg_weights_read(p->value + (size_t)r * in, w, name, stored_row(r, half) * in, in, err);
    return st;
}

/* The shape, before anything is taken for it: sizes of the config are claims, the file is what there is. */
static sg_status check(const sg_weights *w, const char *name, int rows, int in, sg_error *err)
{
    const sg_gguf *gguf = sg_weights_gguf(w);
    const sg_gguf_tensor *packed = gguf ? sg_gguf_tensor_find(gguf, name) : NULL;
    const sg_file_tensor *t = sg_weights_find(w, name);
    const int rank = packed ? packed->rank : t ? t->rank : 0;
    const uint64_t found_rows = rank != 2 ? 0 : packed ? packed->dim[1] : t->dim[0];
    const uint64_t found_in = rank != 2 ? 0 : packed ? packed->dim[0] : t->dim[1];

    if (!packed && !t)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a tensor '%s', found none", sg_weights_name(w),
                       name);
    if (rank != 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%s': expected (%d, %d), found %d dimensions",
                       sg_weights_name(w), name, rows, in, rank);
    if (found_rows != (uint64_t)rows || found_in != (uint64_t)in)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%s': expected (%d, %d), found (%llu, %llu)",
                       sg_weights_name(w), name, rows, in, (unsigned long long)found_rows,
                       (unsigned long long)found_in);
    return SG_OK;
}

sg_status sg_matrix_open(sg_matrix *m, sg_params *ps, const sg_weights *w, const char *name, int rows, int in,
                         int half, sg_error *err)
{
    const sg_gguf *gguf = sg_weights_gguf(w);
    const sg_file_tensor *t = sg_weights_find(w, name);
    int bits = 0, block = 0;
    sg_status st;

    *m = (sg_matrix){.out = rows, .in = in};
    if ((st = check(w, name, rows, in, err)))
        return st;
    if (gguf && sg_gguf_split_form(&bits, &block, sg_gguf_tensor_find(gguf, name)->type))
        return open_gguf_blocks(m, w, sg_gguf_tensor_find(gguf, name), bits, block, half, err);
    if (t && t->dtype == SG_DT_BF16 && in % BF16_BLOCK == 0)
        return open_bf16(m, t, err);
    return open_dense(m, ps, w, name, half, err);
}

void sg_matrix_close(sg_matrix *m)
{
    sg_blocks_free(&m->blocks);
    *m = (sg_matrix){0};
}

/* ---- weights of a graph ----------------------------------------------------------------------------------------------------- */
static sg_status take_values(sg_param *p, sg_error *err)
{
    return (p->value = sg_alloc_zero(p->count, sizeof *p->value)) ? SG_OK : sg_fail_memory(err, p->name);
}

static sg_param *declare(const sg_taking *how, int flags, int rows, int in, const char *name)
{
    return sg_param_add(how->to, 0, SG_INIT_ZERO, 0, flags | (how->learns ? 0 : SG_PARAM_FROZEN), rows, in,
                        "%s", name);
}

sg_status sg_vector_take(sg_param **out, const sg_param *from, const char *name, const sg_taking *how,
                         sg_error *err)
{
    sg_status st;

    *out = NULL;
    if (!from)
        return SG_OK;
    if (!(*out = declare(how, SG_PARAM_NO_DECAY, from->dim[0], from->rank == 2 ? from->dim[1] : 0, name)))
        return sg_fail_memory(err, name);
    if (!how->learns) {
        sg_param_map(*out, from->value);
        return SG_OK;
    }
    if (!(st = take_values(*out, err)))
        memcpy((*out)->value, from->value, from->count * sizeof *from->value);
    return st;
}

sg_status sg_matrix_take(sg_param **out, const sg_matrix *from, const char *name, const sg_taking *how,
                         sg_error *err)
{
    sg_param *p = *out = declare(how, 0, how->rows > from->out ? how->rows : from->out, from->in, name);
    const bool copy = how->learns || how->rows > 0;
    sg_status st;

    if (!p)
        return sg_fail_memory(err, name);
    if (!copy && from->dense) {
        sg_param_map(p, from->dense->value);
        return SG_OK;
    }
    if (!copy && how->keep_bits && from->blocks.bits < 16) {
        p->blocks = &from->blocks;
        return SG_OK;
    }
    if ((st = take_values(p, err)))
        return st;
    if (from->dense)
        memcpy(p->value, from->dense->value, from->dense->count * sizeof *p->value);
    else
        sg_blocks_decode(how->pool, &from->blocks, p->value);
    return SG_OK;
}

sg_status sg_words_take(sg_param **out, const sg_weights *w, const char *from, int rows, int in,
                        const char *name, const sg_taking *how, sg_error *err)
{
    sg_status st;

    if (!(*out = declare(how, 0, how->rows > rows ? how->rows : rows, in, name)))
        return sg_fail_memory(err, name);
    return (st = take_values(*out, err))
               ? st
               : sg_weights_read((*out)->value, w, from, 0, (size_t)rows * (size_t)in, err);
}

/* ---- products --------------------------------------------------------------------------------------------------------------- */
size_t sg_matrix_floats(const sg_matrix *m, int rows)
{
    const size_t sums = m->dense ? 0 : sg_blocks_sums(&m->blocks, rows),
                 low = m->low.a ? (size_t)rows * (size_t)m->low.a->dim[0] : 0;

    return sums > low ? sums : low;
}

/* y += B act(A y + a_bias) + b_bias */
static void add_behind(sg_pool *pool, const sg_lora *l, int rows, float *y, int out, float *scratch)
{
    const sg_kernels *k = sg_kernels_best();
    const int r = l->a->dim[0];

    sg_gemm_linear(pool, SG_F32, rows, y, out, l->a, l->a_bias->value, scratch, r);
    k->act((int)l->act, scratch, scratch, (size_t)rows * (size_t)r);
    sg_gemm(pool, SG_F32, false, true, rows, out, r, 1, scratch, r, l->b->value, r, 1, y, out);
    for (int i = 0; i < rows; i++)
        k->add(y + (size_t)i * (size_t)out, y + (size_t)i * (size_t)out, l->b_bias->value, (size_t)out);
}

void sg_matrix_times(sg_pool *pool, const sg_matrix *m, int rows, const float *x, const float *bias, float *y,
                     float *scratch)
{
    if (m->dense)
        sg_gemm_linear(pool, SG_F32, rows, x, m->in, m->dense, bias, y, m->out);
    else
        sg_blocks_times(pool, &m->blocks, rows, x, bias, y, scratch);
    if (m->low.a && m->low.behind)
        add_behind(pool, &m->low, rows, y, m->out, scratch);
    else if (m->low.a) {
        const int r = m->low.a->dim[0];

        sg_gemm_linear(pool, SG_F32, rows, x, m->in, m->low.a, NULL, scratch, r);
        sg_gemm(pool, SG_F32, false, true, rows, m->out, r, m->low.scale, scratch, r, m->low.b->value, r, 1,
                y, m->out);
    }
}
