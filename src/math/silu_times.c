/* silu_times.c - y = silu(x) u, number by number: the gate of SwiGLU.   [Shazeer 2020]
 *
 *   du += dy silu(x);  dx += dy u silu'(x)
 *
 * silu(x) is worked out again on the way back: it costs less than reading it. */
#include "math/op.h"

enum { STRIP = 2048 }; /* numbers that stay in the first cache */

typedef struct saved_gate {
    sg_tensor *x, *u;
} saved_gate;

typedef struct work {
    const saved_gate *s;
    float *y;        /* forward */
    const float *dy; /* backward */
    float *dx, *du;  /* NULL: not wanted */
    bool new_dx, new_du;
} work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t i = begin; i < end; i += STRIP) {
        const size_t n = i + STRIP < end ? STRIP : end - i;

        k->act(SG_SILU, w->y + i, w->s->x->data + i, n);
        k->mul(w->y + i, w->y + i, w->s->u->data + i, n);
    }
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();
    float part[STRIP];

    for (size_t i = begin; i < end; i += STRIP) {
        const size_t n = i + STRIP < end ? STRIP : end - i;
        const float *x = w->s->x->data + i, *dy = w->dy + i;

        if (w->du) {
            k->act(SG_SILU, part, x, n);
            if (w->new_du)
                k->mul(w->du + i, part, dy, n);
            else
                k->mul_add(w->du + i, part, dy, n);
        }
        if (w->dx) {
            k->mul(part, dy, w->s->u->data + i, n);
            k->act_grad(SG_SILU, w->dx + i, part, x, x, n, !w->new_dx);
        }
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_gate *s = saved;
    work w = {.s = s, .dy = out->grad};

    if (s->x == s->u) { /* one array takes both */
        w.dx = w.du = sg_grad(g, s->x);
    } else {
        w.dx = sg_wants(g, s->x) ? sg_grad_fresh(g, s->x, &w.new_dx) : NULL;
        w.du = sg_wants(g, s->u) ? sg_grad_fresh(g, s->u, &w.new_du) : NULL;
    }
    if (w.dx || w.du)
        sg_parallel_for(sg_graph_pool(g), out->count, SG_GRAIN, backward_body, &w);
}

sg_tensor *sg_silu_times(sg_graph *g, sg_tensor *x, sg_tensor *u)
{
    saved_gate *s;
    sg_tensor *y;

    if (!x || !u)
        return NULL;
    if (!sg_same_shape(x, u))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "silu_times: expected two tensors of one shape, found %s and %s",
                             sg_shape_of(x).s, sg_shape_of(u).s);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_gate){x, u};
    sg_parallel_for(sg_graph_pool(g), x->count, SG_GRAIN, forward_body, &(work){.s = s, .y = y->data});
    if (sg_wants(g, x) || sg_wants(g, u))
        sg_tape(g, y, backward, s);
    return y;
}
