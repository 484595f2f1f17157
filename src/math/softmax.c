/* softmax.c - y = exp(x - max x) / sum over the last dimension; dx = y (dy - y . dy).
 * A row of -inf alone gives zeros. */
#include "math/op.h"

#include <math.h>
#include <string.h>

typedef struct work {
    float *y; /* forward: result; backward: dx */
    const float *x, *value, *dy;
    size_t d;
    bool add;
} work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t r = begin; r < end; r++) {
        const float *x = w->x + r * w->d;
        float *y = w->y + r * w->d;
        const float top = k->max(x, w->d);
        float sum;

        if (top == -INFINITY) {
            memset(y, 0, w->d * sizeof *y);
            continue;
        }
        k->exp_rows(y, x, w->d, top, &sum);
        k->scale(y, 1 / sum, y, w->d);
    }
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t r = begin; r < end; r++) {
        const float *y = w->value + r * w->d, *dy = w->dy + r * w->d;
        float *dx = w->y + r * w->d;
        const float dot = k->dot(y, dy, w->d);

        for (size_t i = 0; i < w->d; i++)
            dx[i] = y[i] * (dy[i] - dot) + (w->add ? dx[i] : 0);
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    sg_tensor *x = saved;
    work w = {NULL, NULL, out->data, out->grad, sg_width(out), false};

    w.add = !sg_grad_give(x, out);
    if ((w.y = sg_grad(g, x)))
        sg_parallel_for(sg_graph_pool(g), sg_height(out), sg_row_grain(w.d), backward_body, &w);
}

sg_tensor *sg_softmax(sg_graph *g, sg_tensor *x)
{
    sg_tensor *y;

    if (!x || !(y = sg_like(g, x)))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), sg_height(x), sg_row_grain(sg_width(x)), forward_body,
                    &(work){y->data, x->data, NULL, NULL, sg_width(x), false});
    if (sg_wants(g, x))
        sg_tape(g, y, backward, x);
    return y;
}
