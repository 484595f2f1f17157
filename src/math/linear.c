/* linear.c - y = x w^T + b, and the product of two tensors.
 *
 * x (rows, in), w (out, in), b (out), y (rows, out). dx = dy w; dw += dy^T x; db += sum of the rows of dy. */
#include "math/gemm.h"
#include "math/op.h"

typedef struct saved_linear {
    sg_tensor *x;
    sg_param *w, *b;
} saved_linear;

static void linear_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_linear *s = saved;
    const int d_out = s->w->dim[0], d_in = s->w->dim[1], rows = (int)sg_height(s->x);
    float *grad;
    bool fresh;

    if (s->b && (grad = sg_param_grad(g, s->b)))
        sg_sum_rows(g, grad, out->grad, (size_t)rows, (size_t)d_out);
    if ((grad = sg_param_grad(g, s->w)))
        sg_gemm_linear_dw(sg_graph_pool(g), sg_graph_precision(g), rows, out->grad, d_out, s->x->data, d_in, d_out, d_in, grad);
    if (sg_wants(g, s->x) && (grad = sg_grad_fresh(g, s->x, &fresh)))
        sg_gemm_linear_dx(sg_graph_pool(g), sg_graph_precision(g), rows, out->grad, d_out, s->w, grad, d_in, !fresh);
}

sg_tensor *sg_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b)
{
    int dim[4];
    saved_linear *s;
    sg_tensor *y;

    if (!x || !w)
        return NULL;
    if (w->rank != 2 || x->rank < 1 || x->dim[x->rank - 1] != w->dim[1])
        return sg_graph_fail(g, SG_ERR_USAGE, "linear '%s': expected rows of %d numbers, found %zu", w->name,
                             w->rank == 2 ? w->dim[1] : 0, sg_width(x));
    if (b && b->count != (size_t)w->dim[0])
        return sg_graph_fail(g, SG_ERR_USAGE, "linear '%s': expected a bias of %d numbers, found %zu", w->name, w->dim[0],
                             b->count);
    for (int i = 0; i < x->rank; i++)
        dim[i] = x->dim[i];
    dim[x->rank - 1] = w->dim[0];
    if (!(y = sg_tensor_new(g, x->rank, dim)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_linear){x, w, b};
    sg_gemm_linear(sg_graph_pool(g), sg_graph_precision(g), (int)sg_height(x), x->data, w->dim[1], w, b ? b->value : NULL,
                   y->data, w->dim[0]);
    if (sg_wants(g, x) || sg_param_trains(g, w) || sg_param_trains(g, b))
        sg_tape(g, y, linear_back, s);
    return y;
}

typedef struct saved_matmul {
    sg_tensor *a, *b;
    bool transpose_b;
} saved_matmul;

static void matmul_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_matmul *s = saved;
    const int m = out->dim[0], n = out->dim[1], k = s->a->dim[1];
    sg_pool *pool = sg_graph_pool(g);
    const sg_precision precision = sg_graph_precision(g);
    float *grad;
    bool fresh;

    /* y = a b: da = dy b^T, db = a^T dy; y = a b^T: da = dy b, db = dy^T a */
    if (sg_wants(g, s->a) && (grad = sg_grad_fresh(g, s->a, &fresh)))
        sg_gemm(pool, precision, false, !s->transpose_b, m, k, n, 1, out->grad, n, s->b->data, s->b->dim[1], fresh ? 0 : 1,
                grad, k);
    if (sg_wants(g, s->b) && (grad = sg_grad_fresh(g, s->b, &fresh))) {
        if (s->transpose_b)
            sg_gemm(pool, precision, true, false, n, k, m, 1, out->grad, n, s->a->data, k, fresh ? 0 : 1, grad, k);
        else
            sg_gemm(pool, precision, true, false, k, n, m, 1, s->a->data, k, out->grad, n, fresh ? 0 : 1, grad, n);
    }
}

sg_tensor *sg_matmul(sg_graph *g, sg_tensor *a, sg_tensor *b, bool transpose_b)
{
    saved_matmul *s;
    sg_tensor *y;

    if (!a || !b)
        return NULL;
    if (a->rank != 2 || b->rank != 2 || a->dim[1] != b->dim[transpose_b ? 1 : 0])
        return sg_graph_fail(g, SG_ERR_USAGE, "matmul: expected matrices that fit, found (%d, %d) and %s(%d, %d)", a->dim[0],
                             a->dim[1], transpose_b ? "transposed " : "", b->dim[0], b->dim[1]);
    if (!(y = sg_tensor_2d(g, a->dim[0], b->dim[transpose_b ? 0 : 1])) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_matmul){a, b, transpose_b};
    sg_gemm(sg_graph_pool(g), sg_graph_precision(g), false, transpose_b, y->dim[0], y->dim[1], a->dim[1], 1, a->data,
            a->dim[1], b->data, b->dim[1], 0, y->data, y->dim[1]);
    if (sg_wants(g, a) || sg_wants(g, b))
        sg_tape(g, y, matmul_back, s);
    return y;
}
