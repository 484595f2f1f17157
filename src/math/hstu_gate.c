/* hstu_gate.c - y = dropout(LN(x) * SiLU(z)), LN without weights: how a block of HSTU gates what it attended to.
 *   [Zhai et al. 2024, arXiv:2402.17152, eq. 3]
 *
 * x, y (rows, d); z: columns at .. at + d - 1 of a wider tensor. The norm, the activation and the mask are worked out again on the
 * way back, so nothing is kept but y, which the product behind it needs. A row at a time, each part while it is in cache. */
#include "math/op.h"

typedef struct saved_gate {
    sg_tensor *x, *z;
    size_t at;
    float eps;
    sg_drop drop; /* below 0: none */
} saved_gate;

typedef struct work {
    const saved_gate *s;
    float *y;        /* forward */
    const float *dy; /* backward */
    float *dx, *dz;  /* NULL: not wanted */
    bool add;        /* to dx */
    float *row;      /* per thread: 3 rows */
    size_t d;
} work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_gate *s = w->s;
    const sg_kernels *k = sg_kernels_best();
    const size_t d = w->d, wide = sg_width(s->z);
    float *open = w->row + 3 * (size_t)thread * d, mean, inv;

    for (size_t r = begin; r < end; r++) {
        float *y = w->y + r * d;

        k->layernorm(y, &mean, &inv, s->x->data + r * d, NULL, NULL, d, s->eps);
        k->act(SG_SILU, open, s->z->data + r * wide + s->at, d);
        k->mul(y, y, open, d);
        if (s->drop.below)
            k->dropout(y, y, NULL, r * d, d, &s->drop);
    }
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_gate *s = w->s;
    const sg_kernels *k = sg_kernels_best();
    const size_t d = w->d, wide = sg_width(s->z);
    float *open = w->row + 3 * (size_t)thread * d, *normal = open + d, *back = normal + d, mean, inv;

    for (size_t r = begin; r < end; r++) {
        const float *x = s->x->data + r * d, *z = s->z->data + r * wide + s->at, *dy = w->dy + r * d;

        if (s->drop.below) {
            k->dropout(back, dy, NULL, r * d, d, &s->drop);
            dy = back;
        }
        k->layernorm(normal, &mean, &inv, x, NULL, NULL, d, s->eps);
        if (w->dz) {
            k->mul(normal, normal, dy, d);
            k->act_grad(SG_SILU, w->dz + r * wide + s->at, normal, z, z, d, true);
        }
        if (w->dx) {
            k->act(SG_SILU, open, z, d);
            k->mul(open, open, dy, d);
            k->layernorm_grad(w->dx + r * d, NULL, NULL, open, x, NULL, mean, inv, d, w->add);
        }
    }
}

static bool take_rows(sg_graph *g, work *w)
{
    w->row = sg_scratch(g, 3 * w->d * (size_t)sg_pool_threads(sg_graph_pool(g)), sizeof *w->row);
    return w->row != NULL;
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_gate *s = saved;
    work w = {.s = s, .dy = out->grad, .d = sg_width(s->x)};
    bool fresh = true;

    if ((sg_wants(g, s->x) && !(w.dx = sg_grad_fresh(g, s->x, &fresh))) ||
        (sg_wants(g, s->z) && !(w.dz = sg_grad(g, s->z))))
        return;
    w.add = !fresh;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    if (!take_rows(g, &w))
        return;
    sg_parallel_for(sg_graph_pool(g), sg_height(s->x), sg_row_grain(w.d), backward_body, &w);
    sg_arena_back(sg_graph_arena(g), mark);
}

sg_tensor *sg_hstu_gate(sg_graph *g, sg_tensor *x, sg_tensor *z, int at, float eps, float dropout)
{
    saved_gate *s;
    sg_tensor *y;
    sg_drop drop;

    if (!x || !z || !sg_drop_make(g, &drop, "hstu_gate", dropout))
        return NULL;
    if (x->rank != 2 || z->rank != 2 || x->dim[0] != z->dim[0] || at < 0 || at > z->dim[1] - x->dim[1])
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "hstu_gate: expected as many rows and columns from %d on as in %s, found %s", at,
                             sg_shape_of(x).s, sg_shape_of(z).s);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_gate){.x = x, .z = z, .at = (size_t)at, .eps = eps, .drop = drop};
    work w = {.s = s, .y = y->data, .d = sg_width(x)};
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    if (!take_rows(g, &w))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), sg_height(x), sg_row_grain(w.d), forward_body, &w);
    sg_arena_back(sg_graph_arena(g), mark);
    if (sg_wants(g, x) || sg_wants(g, z))
        sg_tape(g, y, backward, s);
    return y;
}
