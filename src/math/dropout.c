/* dropout.c - y = mask x / (1 - p), and y = x + mask z / (1 - p).   [Srivastava et al. 2014]
 *
 * The mask is a function of (seed, step, number of the op, number of the element), so it is never stored: the way back
 * draws it again. p is rounded to 1/65536 and the scale follows the rounded value, so the expectation is exact. */
#include "math/op.h"

#include "base/rng.h"

typedef struct work {
    float *y;
    const float *x, *residual;
    const sg_drop *drop;
} work;

static void body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    sg_kernels_best()->dropout(w->y + begin, w->x + begin, w->residual ? w->residual + begin : NULL, begin,
                               end - begin, w->drop);
}

static void run(sg_graph *g, float *y, const float *x, const float *residual, size_t n, const sg_drop *drop)
{
    sg_parallel_for(sg_graph_pool(g), n, SG_GRAIN, body, &(work){y, x, residual, drop});
}

sg_drop sg_drop_new(sg_graph *g, float p)
{
    sg_drop d = {.below = (uint32_t)(p * 65536.0f + 0.5f)};

    d.key = sg_rng_u64(sg_graph_seed(g), SG_RNG_DROPOUT, sg_graph_step(g), sg_graph_next_op(g));
    d.keep = d.below < 65536 ? 65536.0f / (float)(65536 - d.below) : 0;
    return d;
}

bool sg_drop_make(sg_graph *g, sg_drop *drop, const char *op, float p)
{
    *drop = (sg_drop){.keep = 1};
    if (!(p >= 0 && p <= 1)) {
        sg_graph_fail(g, SG_ERR_USAGE, "%s: expected a share from 0 to 1, found %g", op, (double)p);
        return false;
    }
    if (sg_graph_training(g) && p > 0)
        *drop = sg_drop_new(g, p);
    return true;
}

typedef struct saved_drop {
    sg_tensor *x, *z;
    sg_drop drop;
} saved_drop;

static void dropout_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_drop *s = saved;
    const bool given = sg_grad_give(s->z, out);
    float *dz = sg_grad(g, s->z);

    if (dz)
        run(g, dz, out->grad, given ? NULL : dz, out->count, &s->drop);
}

sg_tensor *sg_dropout(sg_graph *g, sg_tensor *x, float p)
{
    saved_drop *s;
    sg_tensor *y;
    sg_drop drop;

    if (!x || !sg_drop_make(g, &drop, "dropout", p))
        return NULL;
    if (!drop.below)
        return x;
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_drop){NULL, x, drop};
    run(g, y->data, x->data, NULL, x->count, &s->drop);
    if (sg_wants(g, x))
        sg_tape(g, y, dropout_back, s);
    return y;
}

static void add_dropout_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_drop *s = saved;
    float *grad;
    bool fresh;

    if (sg_wants(g, s->z) && (grad = sg_grad_fresh(g, s->z, &fresh)))
        run(g, grad, out->grad, fresh ? NULL : grad, out->count, &s->drop);
    if (sg_wants(g, s->x) && !sg_grad_give(s->x, out) && (grad = sg_grad_fresh(g, s->x, &fresh)))
        sg_add_to(g, grad, out->grad, out->count, fresh);
}

sg_tensor *sg_add_dropout(sg_graph *g, sg_tensor *x, sg_tensor *z, float p)
{
    saved_drop *s;
    sg_tensor *y;
    sg_drop drop;

    if (!x || !z || !sg_drop_make(g, &drop, "add_dropout", p))
        return NULL;
    if (!sg_same_shape(x, z))
        return sg_graph_fail(g, SG_ERR_USAGE, "add_dropout: expected equal shapes, found %s and %s",
                             sg_shape_of(x).s, sg_shape_of(z).s);
    if (!drop.below)
        return sg_plus(g, x, z);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_drop){x, z, drop};
    run(g, y->data, z->data, x->data, x->count, &s->drop);
    if (sg_wants(g, x) || sg_wants(g, z))
        sg_tape(g, y, add_dropout_back, s);
    return y;
}
