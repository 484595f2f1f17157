/* mix.c - y_i = sum over j of w_{i, col(i, j)} x_{row(i, j)}: each row a mixture of a few rows of x.
 *
 *   x (slots, d), w (rows, n), y (rows, d), row and col (rows, k)
 *   dx_row = w dy_i,  dw_{i, col} = x_row . dy_i
 *
 * No row of x goes into two rows of y, so that pieces of rows never write to the same place. Sums run in double, in the order of j. */
#include "math/op.h"

#include "math/math.h"

typedef struct saved_mix {
    sg_tensor *x, *w;
    const int32_t *row, *col;
    int k;
} saved_mix;

typedef struct work {
    const saved_mix *s;
    float *y;        /* forward */
    const float *dy; /* backward */
    float *dx, *dw;  /* NULL: not wanted */
} work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_mix *s = w->s;
    const size_t d = (size_t)s->x->dim[1], n = (size_t)s->w->dim[1], k = (size_t)s->k;

    for (size_t i = begin; i < end; i++)
        for (size_t c = 0; c < d; c++) {
            double sum = 0;

            for (size_t j = 0; j < k; j++)
                sum += (double)s->w->data[i * n + (size_t)s->col[i * k + j]] *
                       (double)s->x->data[(size_t)s->row[i * k + j] * d + c];
            w->y[i * d + c] = (float)sum;
        }
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_mix *s = w->s;
    const size_t d = (size_t)s->x->dim[1], n = (size_t)s->w->dim[1], k = (size_t)s->k;

    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < k; j++) {
            const size_t from = (size_t)s->row[i * k + j] * d, at = i * n + (size_t)s->col[i * k + j];

            if (w->dx)
                sg_axpy(w->dx + from, s->w->data[at], w->dy + i * d, d);
            if (w->dw)
                w->dw[at] += sg_dot(s->x->data + from, w->dy + i * d, d);
        }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_mix *s = saved;
    const work w = {.s = s,
                    .dy = out->grad,
                    .dx = sg_wants(g, s->x) ? sg_grad(g, s->x) : NULL,
                    .dw = sg_wants(g, s->w) ? sg_grad(g, s->w) : NULL};

    if (w.dx || w.dw)
        sg_parallel_for(sg_graph_pool(g), (size_t)out->dim[0], 64, backward_body, (void *)&w);
}

sg_tensor *sg_mix_rows(sg_graph *g, sg_tensor *x, sg_tensor *w, const int32_t *row, const int32_t *col, int k)
{
    saved_mix *s;
    sg_tensor *y;

    if (!x || !w)
        return NULL;
    if (!(y = sg_tensor_2d(g, w->dim[0], x->dim[1])) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_mix){x, w, row, col, k};
    sg_parallel_for(sg_graph_pool(g), (size_t)y->dim[0], 64, forward_body, &(work){.s = s, .y = y->data});
    if (sg_wants(g, x) || sg_wants(g, w))
        sg_tape(g, y, backward, s);
    return y;
}
