/* triplet.c - metric learning: a row closer to its positive than to its negative, by a margin.   [hinge of CML: Hsieh et al. 2017]
 *
 *   loss = mean over rows of max(0, margin + |a - p|^2 - |a - n|^2)       a, p, n (rows, d)
 *
 * Rows inside the margin give da = 2 (n - p), dp = 2 (p - a), dn = 2 (a - n), over rows; others nothing. */
#include "math/op.h"

typedef struct triplet {
    sg_tensor *a, *p, *n;
    bool *close; /* (rows) inside the margin */
    double *loss;
    float margin, up;
    float *da, *dp, *dn;
} triplet;

static void forward_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const triplet *t = ctx;
    const size_t d = sg_width(t->a);

    for (size_t r = begin; r < end; r++) {
        const float *a = t->a->data + r * d;

        t->loss[r] = (double)t->margin + sg_kernels_best()->sum_sq_diff(a, t->p->data + r * d, d) -
                     sg_kernels_best()->sum_sq_diff(a, t->n->data + r * d, d);
        t->close[r] = t->loss[r] > 0;
    }
}

static void backward_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const triplet *t = ctx;
    const size_t d = sg_width(t->a);

    for (size_t r = begin; r < end; r++) {
        if (!t->close[r])
            continue;
        for (size_t i = r * d; i < (r + 1) * d; i++) {
            const float a = t->a->data[i], p = t->p->data[i], n = t->n->data[i];

            if (t->da)
                t->da[i] += t->up * (n - p);
            if (t->dp)
                t->dp[i] += t->up * (p - a);
            if (t->dn)
                t->dn[i] += t->up * (a - n);
        }
    }
}

static void triplet_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    triplet *t = saved;

    t->da = sg_wants(g, t->a) ? sg_grad(g, t->a) : NULL;
    t->dp = sg_wants(g, t->p) ? sg_grad(g, t->p) : NULL;
    t->dn = sg_wants(g, t->n) ? sg_grad(g, t->n) : NULL;
    t->up = 2 * out->grad[0] / (float)sg_height(t->a);
    sg_parallel_for(sg_graph_pool(g), sg_height(t->a), sg_row_grain(sg_width(t->a)), backward_rows, t);
}

sg_tensor *sg_triplet(sg_graph *g, sg_tensor *a, sg_tensor *p, sg_tensor *n, float margin)
{
    double sum = 0;
    triplet *t;
    sg_tensor *out;

    if (!a || !p || !n || !(t = sg_scratch(g, 1, sizeof *t)))
        return NULL;
    if (!sg_same_shape(a, p) || !sg_same_shape(a, n))
        return sg_graph_fail(g, SG_ERR_USAGE, "triplet: %s, %s and %s are not of one shape", sg_shape_of(a).s,
                             sg_shape_of(p).s, sg_shape_of(n).s);
    const size_t rows = sg_height(a);
    *t = (triplet){.a = a, .p = p, .n = n, .margin = margin};
    t->close = sg_scratch(g, rows, sizeof *t->close);
    t->loss = sg_scratch(g, rows, sizeof *t->loss);
    out = sg_tensor_new(g, 0, NULL);
    if (!t->close || !t->loss || !out)
        return NULL;
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(sg_width(a)), forward_rows, t);
    for (size_t r = 0; r < rows; r++)
        sum += t->close[r] ? t->loss[r] : 0;
    out->data[0] = rows ? (float)(sum / (double)rows) : 0;
    if (rows && (sg_wants(g, a) || sg_wants(g, p) || sg_wants(g, n)))
        sg_tape(g, out, triplet_backward, t);
    return out;
}
