/* activate.c - y = f(x), number by number; dx = f'(x) dy, in place of dy where nobody else wants it.
 * relu; gelu = x Phi(x) and its tanh form [Hendrycks & Gimpel 2016]; silu = x s(x) [Elfwing et al. 2018]; tanh; s. */
#include "math/op.h"

typedef struct work {
    sg_act act;
    float *y;
    const float *dy, *x, *value;
    bool add;
} work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    sg_kernels_best()->act((int)w->act, w->y + begin, w->x + begin, end - begin);
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    sg_kernels_best()->act_grad((int)w->act, w->y + begin, w->dy + begin, w->x + begin, w->value + begin,
                                end - begin, w->add);
}

typedef struct saved_act {
    sg_tensor *x;
    sg_act act;
} saved_act;

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_act *s = saved;
    work w = {s->act, NULL, out->grad, s->x->data, out->data, false};

    w.add = !sg_grad_give(s->x, out);
    if ((w.y = sg_grad(g, s->x)))
        sg_parallel_for(sg_graph_pool(g), out->count, SG_GRAIN, backward_body, &w);
}

sg_tensor *sg_activate(sg_graph *g, sg_tensor *x, sg_act act)
{
    saved_act *s;
    sg_tensor *y;

    if (!x || !(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_act){x, act};
    sg_parallel_for(sg_graph_pool(g), x->count, SG_GRAIN, forward_body,
                    &(work){act, y->data, NULL, x->data, NULL, false});
    if (sg_wants(g, x))
        sg_tape(g, y, backward, s);
    return y;
}
