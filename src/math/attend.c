/* attend.c - attention without a graph: one head of any width, and the cache of decoding. */
#include "math/attention.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

enum { PAD = 16 };

bool sg_kept_add(sg_kept *kept, int width, const float *k, const float *v, int n)
{
    const size_t row = (size_t)width * sizeof *k, at = (size_t)kept->n * (size_t)width;

    assert(!kept->cap || kept->width == width);
    kept->width = width;
    if (n >
        kept->cap - kept->n) { /* an eighth more than is needed now: a history grows by one event at a time */
        const int cap = kept->n + n + (kept->n + n) / 8 + 1;
        float *more_k = sg_realloc(kept->k, (size_t)cap * row), *more_v;

        if (more_k)
            kept->k = more_k;
        if (!more_k || !(more_v = sg_realloc(kept->v, (size_t)cap * row)))
            return false;
        kept->v = more_v;
        kept->cap = cap;
    }
    if (n > 0) {
        memcpy(kept->k + at, k, (size_t)n * row);
        memcpy(kept->v + at, v, (size_t)n * row);
    }
    kept->n += n;
    return true;
}

void sg_kept_free(sg_kept *kept)
{
    sg_free(kept->k);
    sg_free(kept->v);
    *kept = (sg_kept){0};
}

/* Kernels want a head width that is a multiple of 16: others are copied into padded arrays and back. */
static void copy_rows(float *to, size_t ld_to, const float *from, size_t ld_from, int rows, int dh, int width)
{
    for (int r = 0; r < rows; r++, to += ld_to, from += ld_from) {
        memcpy(to, from, (size_t)dh * sizeof *to);
        memset(to + dh, 0, (size_t)(width - dh) * sizeof *to);
    }
}

static void add_rows(float *to, size_t ld_to, const float *from, size_t ld_from, int rows, int dh)
{
    for (int r = 0; r < rows; r++, to += ld_to, from += ld_from)
        for (int d = 0; d < dh; d++)
            to[d] += from[d];
}

size_t sg_attend_head_floats(size_t n_q, size_t n_k, size_t dh)
{
    const size_t width = (dh + PAD - 1) / PAD * PAD;

    return sg_attend_floats(n_q, width) + (dh == width ? 0 : 4 * (n_q + n_k) * width);
}

void sg_attend_head(const sg_attend *a, bool forward, float *work)
{
    const sg_kernels *kernels = sg_kernels_best();
    const size_t width = ((size_t)a->dh + PAD - 1) / PAD * PAD, q = (size_t)a->n_q * width,
                 k = (size_t)a->n_k * width;
    sg_attend wide = *a;
    float *p = work;

    if (a->dh % PAD == 0) {
        (forward ? kernels->attend : kernels->attend_grad)(a, work);
        return;
    }
    wide.dh = (int)width;
    wide.ld_q = wide.ld_k = wide.ld_v = wide.ld_out = width;
    copy_rows(p, width, a->q, a->ld_q, a->n_q, a->dh, wide.dh);
    wide.q = p;
    copy_rows(p += q, width, a->k, a->ld_k, a->n_k, a->dh, wide.dh);
    wide.k = p;
    copy_rows(p += k, width, a->v, a->ld_v, a->n_k, a->dh, wide.dh);
    wide.v = p;
    wide.out = p += k;
    p += q;
    if (forward) {
        kernels->attend(&wide, p);
        for (int r = 0; r < a->n_q; r++)
            memcpy(a->out + (size_t)r * a->ld_out, wide.out + (size_t)r * width,
                   (size_t)a->dh * sizeof *a->out);
        return;
    }
    copy_rows(wide.out, width, a->out, a->ld_out, a->n_q, a->dh, wide.dh);
    copy_rows(p, width, a->dout, a->ld_out, a->n_q, a->dh, wide.dh);
    wide.dout = p;
    wide.dq = p += q;
    wide.dk = p += q;
    wide.dv = p += k;
    p += k;
    memset(wide.dq, 0, (q + 2 * k) * sizeof *p);
    kernels->attend_grad(&wide, p);
    if (a->dq)
        add_rows(a->dq, a->ld_q, wide.dq, width, a->n_q, a->dh);
    if (a->dk)
        add_rows(a->dk, a->ld_k, wide.dk, width, a->n_k, a->dh);
    if (a->dv)
        add_rows(a->dv, a->ld_v, wide.dv, width, a->n_k, a->dh);
}

void sg_attend_rows(float *out, const float *q, int n, int heads, int dh, float scale, const float *k,
                    const float *v, const int32_t *row, int len, const float *bias)
{
    sg_kernels_best()->attend_rows(out, q, n, heads, dh, scale, k, v, row, len, bias);
}
