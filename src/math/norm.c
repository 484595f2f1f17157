/* norm.c - rows brought to a common size. d = last dimension; w, b are (d).
 *
 * layernorm: y = w z + b, z = (x - mean) inv, inv = 1 / sqrt(mean (x - mean)^2 + eps).          [Ba et al. 2016]
 *     dx = inv (w dy - mean(w dy) - z mean(w dy z)); dw += dy z; db += dy
 * rmsnorm: the same with mean = 0 and no b: y = w x inv, inv = 1 / sqrt(mean x^2 + eps).        [Zhang & Sennrich 2019]
 * l2norm: y = x / max(|x|, eps); dx = (dy - y (y . dy)) / |x|, or dy / eps for shorter rows.
 *
 * mean and inv of each row are kept for the way back. dw and db are summed a piece at a time and joined in order. */
#include "math/op.h"

#include <math.h>
#include <string.h>

typedef struct saved_norm {
    sg_tensor *x;
    sg_param *w, *b;
    float *mean, *inv; /* (rows); mean is NULL in rmsnorm */
    bool centred;
} saved_norm;

typedef struct forward_work {
    const saved_norm *s;
    float *y;
    const float *w, *b;
    size_t d;
    float eps;
} forward_work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const forward_work *f = ctx;
    const saved_norm *s = f->s;
    const sg_kernels *k = sg_kernels_best();

    for (size_t r = begin; r < end; r++) {
        const float *x = s->x->data + r * f->d;

        if (s->centred)
            k->layernorm(f->y + r * f->d, s->mean + r, s->inv + r, x, f->w, f->b, f->d, f->eps);
        else
            k->rmsnorm(f->y + r * f->d, s->inv + r, x, f->w, f->d, f->eps);
    }
}

typedef struct backward_work {
    const saved_norm *s;
    float *dx, *dw, *db; /* dw, db: (pieces, d); each may be NULL */
    const float *dy, *w;
    size_t d;
    bool add;
} backward_work;

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const backward_work *b = ctx;
    const saved_norm *s = b->s;
    const sg_kernels *k = sg_kernels_best();
    float *dw = b->dw ? b->dw + piece * b->d : NULL;
    float *db = b->db ? b->db + piece * b->d : NULL;

    if (dw)
        memset(dw, 0, b->d * sizeof *dw);
    if (db)
        memset(db, 0, b->d * sizeof *db);
    for (size_t r = begin; r < end; r++) {
        float *dx = b->dx ? b->dx + r * b->d : NULL;
        const float *dy = b->dy + r * b->d, *x = s->x->data + r * b->d;

        if (s->centred)
            k->layernorm_grad(dx, dw, db, dy, x, b->w, s->mean[r], s->inv[r], b->d, b->add);
        else
            k->rmsnorm_grad(dx, dw, dy, x, b->w, s->inv[r], b->d, b->add);
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_norm *s = saved;
    const size_t d = sg_width(out), rows = sg_height(out), grain = sg_sum_grain(rows, d),
                 pieces = sg_pieces(rows, grain);
    float *dw = sg_param_grad(g, s->w), *db = sg_param_grad(g, s->b);
    backward_work b = {.s = s, .dy = out->grad, .w = s->w ? s->w->value : NULL, .d = d};
    bool fresh = true;

    if (sg_wants(g, s->x) && !(b.dx = sg_grad_fresh(g, s->x, &fresh)))
        return;
    b.add = !fresh;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    if ((dw && !(b.dw = sg_scratch(g, pieces * d, sizeof *dw))) ||
        (db && !(b.db = sg_scratch(g, pieces * d, sizeof *db))))
        return;
    sg_parallel_for(sg_graph_pool(g), rows, grain, backward_body, &b);
    if (dw)
        sg_join(dw, b.dw, pieces, d);
    if (db)
        sg_join(db, b.db, pieces, d);
    sg_arena_back(sg_graph_arena(g), mark);
}

static sg_tensor *norm(sg_graph *g, const char *name, sg_tensor *x, sg_param *w, sg_param *b, float eps,
                       bool centred)
{
    saved_norm *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    const size_t d = sg_width(x), rows = sg_height(x);
    if ((w && w->count != d) || (b && b->count != d))
        return sg_graph_fail(g, SG_ERR_USAGE, "%s: expected weights of %zu numbers, found %zu", name, d,
                             w && w->count != d ? w->count : b->count);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_norm){.x = x, .w = w, .b = b, .centred = centred};
    if (!(s->inv = sg_scratch(g, rows, sizeof *s->inv)) ||
        (centred && !(s->mean = sg_scratch(g, rows, sizeof *s->mean))))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(d), forward_body,
                    &(forward_work){s, y->data, w ? w->value : NULL, b ? b->value : NULL, d, eps});
    if (sg_wants(g, x) || sg_param_trains(g, w) || sg_param_trains(g, b))
        sg_tape(g, y, backward, s);
    return y;
}

sg_tensor *sg_layernorm(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b, float eps)
{
    return norm(g, "layernorm", x, w, b, eps, true);
}

sg_tensor *sg_rmsnorm(sg_graph *g, sg_tensor *x, sg_param *w, float eps)
{
    return norm(g, "rmsnorm", x, w, NULL, eps, false);
}

typedef struct saved_l2 {
    sg_tensor *x;
    float *inv; /* (rows): 1 / max(|x|, eps), negative where eps won */
} saved_l2;

typedef struct l2_work {
    const saved_l2 *s;
    float *y; /* forward: result; backward: dx */
    const float *value, *dy;
    size_t d;
    float eps;
    bool add;
} l2_work;

static void l2_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const l2_work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t r = begin; r < end; r++) {
        const float *x = w->s->x->data + r * w->d;
        const float length = sqrtf(k->dot(x, x, w->d));

        w->s->inv[r] = length > w->eps ? 1 / length : -1 / w->eps;
        k->scale(w->y + r * w->d, fabsf(w->s->inv[r]), x, w->d);
    }
}

static void l2_back_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const l2_work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t r = begin; r < end; r++) {
        const float *y = w->value + r * w->d, *dy = w->dy + r * w->d;
        const float inv = fabsf(w->s->inv[r]);
        float *dx = w->y + r * w->d;

        if (w->add)
            k->axpy(dx, inv, dy, w->d);
        else
            k->scale(dx, inv, dy, w->d);
        if (w->s->inv[r] > 0)
            k->axpy(dx, -inv * k->dot(y, dy, w->d), y, w->d);
    }
}

static void l2_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_l2 *s = saved;
    bool fresh;
    float *dx = sg_grad_fresh(g, s->x, &fresh);

    if (dx)
        sg_parallel_for(sg_graph_pool(g), sg_height(out), sg_row_grain(sg_width(out)), l2_back_body,
                        &(l2_work){s, dx, out->data, out->grad, sg_width(out), 0, !fresh});
}

sg_tensor *sg_l2norm(sg_graph *g, sg_tensor *x, float eps)
{
    saved_l2 *s;
    sg_tensor *y;

    if (!x || !(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_l2){.x = x};
    if (!(s->inv = sg_scratch(g, sg_height(x), sizeof *s->inv)))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), sg_height(x), sg_row_grain(sg_width(x)), l2_body,
                    &(l2_work){s, y->data, NULL, NULL, sg_width(x), eps, false});
    if (sg_wants(g, x))
        sg_tape(g, y, l2_back, s);
    return y;
}
