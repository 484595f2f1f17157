/* log_prob.c - log-probability of one column of each row: y_r = x_rt - log sum_j exp x_rj, j and t in the row's range.
 *
 *   dx_rj += dy_r ([j = t] - exp(x_rj - lse_r))
 *
 * x (rows, n), y (rows, 1). A row whose target is -1 gives 0. Unlike the fused cross-entropies it keeps each row apart, for losses of
 * whole sequences; sums run in double. */
#include "math/op.h"

#include "math/math.h"

#include <math.h>

typedef struct saved_prob {
    sg_tensor *x;
    const int32_t *begin, *size, *target;
    float *lse; /* (rows) */
} saved_prob;

typedef struct work {
    const saved_prob *s;
    float *y;        /* forward */
    const float *dy; /* backward */
    float *dx;
} work;

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_prob *s = w->s;

    for (size_t r = begin; r < end; r++) {
        const float *x = s->x->data + r * (size_t)s->x->dim[1];
        const size_t n = (size_t)s->size[r];

        w->y[r] = 0;
        if (s->target[r] < 0)
            continue;
        const float most = sg_max(x + s->begin[r], n);
        double sum = 0;

        for (size_t j = 0; j < n; j++)
            sum += exp((double)x[(size_t)s->begin[r] + j] - (double)most);
        s->lse[r] = most + (float)log(sum);
        w->y[r] = (float)((double)x[s->target[r]] - (double)most - log(sum));
    }
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_prob *s = w->s;

    for (size_t r = begin; r < end; r++) {
        const size_t at = r * (size_t)s->x->dim[1];

        if (s->target[r] < 0)
            continue;
        for (size_t j = 0, k = at + (size_t)s->begin[r]; j < (size_t)s->size[r]; j++, k++)
            w->dx[k] -= w->dy[r] * expf(s->x->data[k] - s->lse[r]);
        w->dx[at + (size_t)s->target[r]] += w->dy[r];
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_prob *s = saved;

    sg_parallel_for(sg_graph_pool(g), (size_t)out->dim[0], 16, backward_body,
                    &(work){.s = s, .dy = out->grad, .dx = sg_grad(g, s->x)});
}

sg_tensor *sg_log_prob(sg_graph *g, sg_tensor *x, const int32_t *begin, const int32_t *size,
                       const int32_t *target)
{
    saved_prob *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    for (int r = 0; r < x->dim[0]; r++)
        if (target[r] >= 0 && (begin[r] < 0 || size[r] < 1 || size[r] > x->dim[1] - begin[r] ||
                               target[r] < begin[r] || target[r] >= begin[r] + size[r]))
            return sg_graph_fail(g, SG_ERR_USAGE, "log_prob: row %d: target %d outside columns %d..%d of %d",
                                 r, target[r], begin[r], begin[r] + size[r] - 1, x->dim[1]);
    if (!(y = sg_tensor_2d(g, x->dim[0], 1)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_prob){x, begin, size, target, sg_scratch(g, (size_t)x->dim[0] + 1, sizeof(float))};
    if (!s->lse)
        return NULL;
    sg_parallel_for(sg_graph_pool(g), (size_t)y->dim[0], 16, forward_body, &(work){.s = s, .y = y->data});
    if (sg_wants(g, x))
        sg_tape(g, y, backward, s);
    return y;
}
