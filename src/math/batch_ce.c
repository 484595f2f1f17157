/* batch_ce.c - softmax cross-entropy of every query over the candidates of the batch: the own one is of the same number.   [van den Oord
 * et al. 2018; in-batch negatives: Karpukhin et al. 2020]
 *
 *   l_rj = scale q_r.c_j     loss = mean_r (log sum_j exp l_rj - l_rr)
 *   dq_r += k sum_j (p_rj - [j = r]) c_j     dc_j += k sum_r (p_rj - [j = r]) q_r     k = scale / rows
 *
 * q (rows, d), c (n, d) with n >= rows: what comes after the first `rows` is nobody's own. The probabilities (rows, n) are kept. */
#include "math/gemm.h"
#include "math/op.h"

#include <math.h>

typedef struct saved_batch {
    sg_tensor *q, *c;
    float *p;     /* (rows, n) probabilities */
    double *loss; /* (rows) */
    float scale;
} saved_batch;

static void row_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const saved_batch *s = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t n = sg_height(s->c);

    for (size_t r = begin; r < end; r++) {
        float *p = s->p + r * n, sum;
        const float most = k->max(p, n), own = p[r];

        k->exp_rows(p, p, n, most, &sum);
        s->loss[r] = (double)most + log((double)sum) - (double)own;
        k->scale(p, 1 / sum, p, n);
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_batch *s = saved;
    const int rows = (int)sg_height(s->q), n = (int)sg_height(s->c), d = (int)sg_width(s->q);
    const float k = *out->grad * s->scale / (float)rows;
    float *grad;

    for (int r = 0; r < rows; r++)
        s->p[(size_t)r * (size_t)n + (size_t)r] -= 1;
    if (sg_wants(g, s->q) && (grad = sg_grad(g, s->q)))
        sg_gemm(sg_graph_pool(g), SG_F32, false, false, rows, d, n, k, s->p, n, s->c->data, d, 1, grad, d);
    if (sg_wants(g, s->c) && (grad = sg_grad(g, s->c)))
        sg_gemm(sg_graph_pool(g), SG_F32, true, false, n, d, rows, k, s->p, n, s->q->data, d, 1, grad, d);
}

sg_tensor *sg_batch_ce(sg_graph *g, sg_tensor *q, sg_tensor *c, float scale)
{
    saved_batch *s;
    double sum = 0;
    sg_tensor *y;

    if (!q || !c)
        return NULL;
    const size_t rows = sg_height(q), n = sg_height(c), d = sg_width(q);
    if (rows == 0 || n < rows || sg_width(c) != d)
        return sg_graph_fail(g, SG_ERR_USAGE, "batch_ce: expected at least as many candidates as queries, of one width, found %s and %s",
                             sg_shape_of(q).s, sg_shape_of(c).s);
    if (!(y = sg_tensor_new(g, 0, NULL)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_batch){.q = q, .c = c, .scale = scale};
    if (!(s->p = sg_scratch(g, rows * n, sizeof *s->p)) || !(s->loss = sg_scratch(g, rows, sizeof *s->loss)))
        return NULL;
    sg_gemm(sg_graph_pool(g), SG_F32, false, true, (int)rows, (int)n, (int)d, scale, q->data, (int)d, c->data, (int)d, 0, s->p, (int)n);
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(n), row_body, s);
    for (size_t r = 0; r < rows; r++)
        sum += s->loss[r];
    *y->data = (float)(sum / (double)rows);
    if (sg_wants(g, q) || sg_wants(g, c))
        sg_tape(g, y, backward, s);
    return y;
}
