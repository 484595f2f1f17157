/* elementwise.c - y = a + b, a - b, a b, c x, x + row; stop and straight_through.
 *
 * Gradients: plus and scale hand dy itself on to the first input that has none yet, so the way back through a residual
 * stream copies nothing. */
#include "math/op.h"

#include <string.h>

typedef void binary_kernel(float *y, const float *a, const float *b, size_t n);

typedef struct binary_work {
    binary_kernel *kernel;
    float *y;
    const float *a, *b;
} binary_work;

static void binary_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const binary_work *w = ctx;

    w->kernel(w->y + begin, w->a + begin, w->b + begin, end - begin);
}

static void run_binary(sg_graph *g, binary_kernel *kernel, float *y, const float *a, const float *b, size_t n)
{
    sg_parallel_for(sg_graph_pool(g), n, SG_GRAIN, binary_body, &(binary_work){kernel, y, a, b});
}

typedef struct scale_work {
    float *y;
    float c;
    const float *x;
    bool add;
} scale_work;

static void scale_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const scale_work *w = ctx;

    if (w->add)
        sg_kernels_best()->axpy(w->y + begin, w->c, w->x + begin, end - begin);
    else
        sg_kernels_best()->scale(w->y + begin, w->c, w->x + begin, end - begin);
}

/* y = c x, or y += c x */
static void run_scale(sg_graph *g, float *y, float c, const float *x, size_t n, bool add)
{
    sg_parallel_for(sg_graph_pool(g), n, SG_GRAIN, scale_body, &(scale_work){y, c, x, add});
}

/* grad of t gets c dy */
static void pass_on(sg_graph *g, sg_tensor *t, const float *dy, float c)
{
    bool fresh;
    float *grad = sg_grad_fresh(g, t, &fresh);

    if (grad)
        run_scale(g, grad, c, dy, t->count, !fresh);
}

void sg_add_to(sg_graph *g, float *y, const float *x, size_t n, bool fresh)
{
    run_scale(g, y, 1, x, n, !fresh);
}

typedef struct pair {
    sg_tensor *a, *b;
} pair;

/* The checks every op of two equal shapes begins with, and its output and saved inputs. */
static sg_tensor *pair_new(sg_graph *g, const char *name, sg_tensor *a, sg_tensor *b, pair **saved)
{
    sg_tensor *y;

    if (!a || !b)
        return NULL;
    if (!sg_same_shape(a, b))
        return sg_graph_fail(g, SG_ERR_USAGE, "%s: expected equal shapes, found %s and %s", name,
                             sg_shape_of(a).s, sg_shape_of(b).s);
    if (!(y = sg_like(g, a)) || !(*saved = sg_scratch(g, 1, sizeof **saved)))
        return NULL;
    **saved = (pair){a, b};
    return y;
}

static void plus_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const pair *s = saved;
    const bool give_a = sg_wants(g, s->a) && !s->a->grad && !s->a->param;

    if (sg_wants(g, s->b) && (give_a || !sg_grad_give(s->b, out)))
        pass_on(g, s->b, out->grad, 1);
    if (sg_wants(g, s->a) && !sg_grad_give(s->a, out))
        pass_on(g, s->a, out->grad, 1);
}

sg_tensor *sg_plus(sg_graph *g, sg_tensor *a, sg_tensor *b)
{
    pair *s;
    sg_tensor *y = pair_new(g, "plus", a, b, &s);

    if (!y)
        return NULL;
    run_binary(g, sg_kernels_best()->add, y->data, a->data, b->data, y->count);
    if (sg_wants(g, a) || sg_wants(g, b))
        sg_tape(g, y, plus_back, s);
    return y;
}

static void minus_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const pair *s = saved;

    if (sg_wants(g, s->b))
        pass_on(g, s->b, out->grad, -1);
    if (sg_wants(g, s->a) && !sg_grad_give(s->a, out))
        pass_on(g, s->a, out->grad, 1);
}

sg_tensor *sg_minus(sg_graph *g, sg_tensor *a, sg_tensor *b)
{
    pair *s;
    sg_tensor *y = pair_new(g, "minus", a, b, &s);

    if (!y)
        return NULL;
    run_binary(g, sg_kernels_best()->sub, y->data, a->data, b->data, y->count);
    if (sg_wants(g, a) || sg_wants(g, b))
        sg_tape(g, y, minus_back, s);
    return y;
}

static void times_grad(sg_graph *g, sg_tensor *t, const float *dy, const float *other)
{
    bool fresh;
    float *grad = sg_grad_fresh(g, t, &fresh);

    if (grad)
        run_binary(g, fresh ? sg_kernels_best()->mul : sg_kernels_best()->mul_add, grad, dy, other, t->count);
}

static void times_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const pair *s = saved;

    if (sg_wants(g, s->a))
        times_grad(g, s->a, out->grad, s->b->data);
    if (sg_wants(g, s->b))
        times_grad(g, s->b, out->grad, s->a->data);
}

sg_tensor *sg_times(sg_graph *g, sg_tensor *a, sg_tensor *b)
{
    pair *s;
    sg_tensor *y = pair_new(g, "times", a, b, &s);

    if (!y)
        return NULL;
    run_binary(g, sg_kernels_best()->mul, y->data, a->data, b->data, y->count);
    if (sg_wants(g, a) || sg_wants(g, b))
        sg_tape(g, y, times_back, s);
    return y;
}

typedef struct scale_saved {
    sg_tensor *x;
    float c;
} scale_saved;

static void scale_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const scale_saved *s = saved;

    if (sg_grad_give(s->x, out))
        run_scale(g, out->grad, s->c, out->grad, out->count, false);
    else
        pass_on(g, s->x, out->grad, s->c);
}

sg_tensor *sg_scale(sg_graph *g, sg_tensor *x, float c)
{
    scale_saved *s;
    sg_tensor *y;

    if (!x || !(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (scale_saved){x, c};
    run_scale(g, y->data, c, x->data, x->count, false);
    if (sg_wants(g, x))
        sg_tape(g, y, scale_back, s);
    return y;
}

typedef struct row_work {
    float *y;
    const float *x, *row;
    size_t d;
} row_work;

static void add_row_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const row_work *w = ctx;

    for (size_t r = begin; r < end; r++)
        sg_kernels_best()->add(w->y + r * w->d, w->x + r * w->d, w->row, w->d);
}

static void add_row_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const pair *s = saved;
    float *drow;

    if (sg_wants(g, s->b) && (drow = sg_grad(g, s->b)))
        sg_sum_rows(g, drow, out->grad, sg_height(out), sg_width(out));
    if (sg_wants(g, s->a) && !sg_grad_give(s->a, out))
        pass_on(g, s->a, out->grad, 1);
}

sg_tensor *sg_add_row(sg_graph *g, sg_tensor *x, sg_tensor *row)
{
    pair *s;
    sg_tensor *y;

    if (!x || !row)
        return NULL;
    const size_t d = sg_width(x);
    if (row->count != d)
        return sg_graph_fail(g, SG_ERR_USAGE, "add_row: expected a row of %zu numbers, found %zu", d,
                             row->count);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (pair){x, row};
    sg_parallel_for(sg_graph_pool(g), sg_height(x), sg_row_grain(d), add_row_body,
                    &(row_work){y->data, x->data, row->data, d});
    if (sg_wants(g, x) || sg_wants(g, row))
        sg_tape(g, y, add_row_back, s);
    return y;
}

sg_tensor *sg_stop(sg_graph *g, sg_tensor *x)
{
    sg_tensor *y;

    if (!x || !(y = sg_scratch(g, 1, sizeof *y)))
        return NULL;
    *y = *x;
    y->grad = NULL;
    y->param = NULL;
    y->needs_grad = false;
    return y;
}

static void straight_through_back(sg_graph *g, sg_tensor *out, void *saved)
{
    if (!sg_grad_give(saved, out))
        pass_on(g, saved, out->grad, 1);
}

sg_tensor *sg_straight_through(sg_graph *g, sg_tensor *value, sg_tensor *grad_to)
{
    sg_tensor *y = grad_to ? sg_stop(g, value) : NULL;

    if (!y)
        return NULL;
    if (!sg_same_shape(value, grad_to))
        return sg_graph_fail(g, SG_ERR_USAGE, "straight_through: expected equal shapes, found %s and %s",
                             sg_shape_of(value).s, sg_shape_of(grad_to).s);
    if (sg_wants(g, grad_to))
        sg_tape(g, y, straight_through_back, grad_to);
    return y;
}
