/* batch_ce.c - softmax cross-entropy of every query over the candidates of the batch.   [van den Oord et al. 2018; in-batch negatives:
 * Karpukhin et al. 2020]
 *
 *   l_rj = scale q_r.c_j     loss = mean_r (log sum_j exp l_rj - l_r,own(r)), over the j that count for r
 *   dq_r += k sum_j (p_rj - [j = own(r)]) c_j     dc_j += k sum_r (p_rj - [j = own(r)]) q_r     k = scale / rows with a loss
 *
 * q (rows, d), c (n, d). sg_batch_ce: the own candidate is that of the same number, what comes after the first `rows` is nobody's own.
 * sg_batch_ce_among: any candidate, and each query leaves some out. The probabilities (rows, n) are kept. */
#include "math/gemm.h"
#include "math/op.h"

#include <math.h>
#include <string.h>

typedef struct saved_batch {
    sg_tensor *q, *c;
    float *p;           /* (rows, n) probabilities */
    double *loss;       /* (rows) */
    const int32_t *own; /* (rows), -1: no loss; NULL: the row's number */
    const int32_t *offsets,
        *out;      /* candidates that do not count for row r: out[offsets[r]] .. ; NULL: all do */
    size_t n_loss; /* rows with one */
    float scale;
} saved_batch;

static int32_t own_of(const saved_batch *s, size_t r)
{
    return s->own ? s->own[r] : (int32_t)r;
}

static void row_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const saved_batch *s = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t n = sg_height(s->c);

    for (size_t r = begin; r < end; r++) {
        const int32_t own = own_of(s, r);
        float *p = s->p + r * n, sum;

        s->loss[r] = 0;
        if (own < 0) {
            memset(p, 0, n * sizeof *p);
            continue;
        }
        const float at_own = p[own];
        for (int32_t i = s->offsets ? s->offsets[r] : 0; s->offsets && i < s->offsets[r + 1]; i++)
            p[s->out[i]] = s->out[i] == own ? at_own : -INFINITY;
        const float most = k->max(p, n);
        k->exp_rows(p, p, n, most, &sum);
        s->loss[r] = (double)most + log((double)sum) - (double)at_own;
        k->scale(p, 1 / sum, p, n);
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_batch *s = saved;
    const int rows = (int)sg_height(s->q), n = (int)sg_height(s->c), d = (int)sg_width(s->q);
    const float k = *out->grad * s->scale / (float)s->n_loss;
    float *grad;

    for (int r = 0; r < rows; r++)
        if (own_of(s, (size_t)r) >= 0)
            s->p[(size_t)r * (size_t)n + (size_t)own_of(s, (size_t)r)] -= 1;
    if (sg_wants(g, s->q) && (grad = sg_grad(g, s->q)))
        sg_gemm(sg_graph_pool(g), SG_F32, false, false, rows, d, n, k, s->p, n, s->c->data, d, 1, grad, d);
    if (sg_wants(g, s->c) && (grad = sg_grad(g, s->c)))
        sg_gemm(sg_graph_pool(g), SG_F32, true, false, n, d, rows, k, s->p, n, s->q->data, d, 1, grad, d);
}

/* s->own, offsets and out: as given, copied here. */
static sg_tensor *batch_ce(sg_graph *g, saved_batch *s)
{
    const size_t rows = sg_height(s->q), n = sg_height(s->c), d = sg_width(s->q);
    double sum = 0;
    sg_tensor *y;

    if (!(y = sg_tensor_new(g, 0, NULL)) || !(s->p = sg_scratch(g, rows * n, sizeof *s->p)) ||
        !(s->loss = sg_scratch(g, rows, sizeof *s->loss)))
        return NULL;
    for (size_t r = 0; r < rows; r++)
        s->n_loss += own_of(s, r) >= 0;
    *y->data = 0;
    if (s->n_loss == 0)
        return y;
    sg_gemm(sg_graph_pool(g), SG_F32, false, true, (int)rows, (int)n, (int)d, s->scale, s->q->data, (int)d,
            s->c->data, (int)d, 0, s->p, (int)n);
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(n), row_body, s);
    for (size_t r = 0; r < rows; r++)
        sum += s->loss[r];
    *y->data = (float)(sum / (double)s->n_loss);
    if (sg_wants(g, s->q) || sg_wants(g, s->c))
        sg_tape(g, y, backward, s);
    return y;
}

sg_tensor *sg_batch_ce(sg_graph *g, sg_tensor *q, sg_tensor *c, float scale)
{
    saved_batch *s;

    if (!q || !c)
        return NULL;
    const size_t rows = sg_height(q);
    if (rows == 0 || sg_height(c) < rows || sg_width(c) != sg_width(q))
        return sg_graph_fail(
            g, SG_ERR_USAGE,
            "batch_ce: expected at least as many candidates as queries, of one width, found %s and %s",
            sg_shape_of(q).s, sg_shape_of(c).s);
    if (!(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_batch){.q = q, .c = c, .scale = scale};
    return batch_ce(g, s);
}

static const int32_t *copied(sg_graph *g, const int32_t *x, size_t n)
{
    int32_t *y = sg_scratch(g, n + 1, sizeof *y);

    if (y && n)
        memcpy(y, x, n * sizeof *y);
    return y;
}

sg_tensor *sg_batch_ce_among(sg_graph *g, sg_tensor *q, sg_tensor *c, const sg_among_spec *spec)
{
    saved_batch *s;

    if (!q || !c)
        return NULL;
    const size_t rows = sg_height(q), n = sg_height(c);
    if (n == 0 || sg_width(c) != sg_width(q))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "batch_ce: expected queries and candidates of one width, found %s and %s",
                             sg_shape_of(q).s, sg_shape_of(c).s);
    for (size_t r = 0; r < rows; r++)
        if (spec->own[r] < -1 || spec->own[r] >= (int32_t)n)
            return sg_graph_fail(g, SG_ERR_USAGE,
                                 "batch_ce: expected an own candidate from -1 to %d, found %d", (int)n - 1,
                                 (int)spec->own[r]);
    if (!(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_batch){.q = q, .c = c, .scale = spec->scale};
    if (!(s->own = copied(g, spec->own, rows)))
        return NULL;
    if (spec->offsets && (!(s->offsets = copied(g, spec->offsets, rows + 1)) ||
                          !(s->out = copied(g, spec->out, (size_t)spec->offsets[rows]))))
        return NULL;
    for (int32_t i = 0; spec->offsets && i < spec->offsets[rows]; i++)
        if (s->out[i] < 0 || s->out[i] >= (int32_t)n)
            return sg_graph_fail(g, SG_ERR_USAGE, "batch_ce: expected candidates from 0 to %d, found %d",
                                 (int)n - 1, (int)s->out[i]);
    return batch_ce(g, s);
}
