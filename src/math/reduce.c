/* reduce.c - tensors to one number: sum, mean, squared distances, binary cross-entropy on logits.
 *
 * mse = mean (x - y)^2; sum_sq_rows = sum (x - y)^2 / rows;
 * bce = sum w (max(z, 0) - z y + log(1 + exp(-|z|))) / sum w, dz = w (s(z) - y) / sum w.
 * Pieces are summed in double and joined in order. An empty tensor gives 0. */
#include "math/op.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *part; /* a piece each */
    float *dx;
    const float *x, *y, *weight;
    float *slope; /* binary cross-entropy: s(x) */
    float c;
    bool add;
} work;

/* Runs body over n numbers and joins its pieces. */
static double join(sg_graph *g, size_t n, sg_body *body, work *w)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    double total = 0;

    if (!(w->part = sg_scratch(g, sg_pieces(n, SG_GRAIN), sizeof *w->part)))
        return 0;
    sg_parallel_for(sg_graph_pool(g), n, SG_GRAIN, body, w);
    for (size_t p = 0; p < sg_pieces(n, SG_GRAIN); p++)
        total += w->part[p];
    sg_arena_back(sg_graph_arena(g), mark);
    return total;
}

static sg_tensor *scalar(sg_graph *g, double value)
{
    sg_tensor *y = sg_tensor_new(g, 0, NULL);

    if (y)
        y->data[0] = (float)value;
    return y;
}

static void sum_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    w->part[piece] = sg_kernels_best()->sum(w->x + begin, end - begin);
}

typedef struct saved_sum {
    sg_tensor *x;
    float c;
} saved_sum;

static void fill_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    for (size_t i = begin; i < end; i++)
        w->dx[i] = w->c + (w->add ? w->dx[i] : 0);
}

static void sum_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_sum *s = saved;
    bool fresh;
    work w = {.dx = sg_grad_fresh(g, s->x, &fresh), .c = s->c * out->grad[0]};

    w.add = !fresh;
    if (w.dx)
        sg_parallel_for(sg_graph_pool(g), s->x->count, SG_GRAIN, fill_body, &w);
}

static sg_tensor *sum_times(sg_graph *g, sg_tensor *x, double c)
{
    work w = {.x = x->data};
    sg_tensor *y = scalar(g, c * join(g, x->count, sum_body, &w));
    saved_sum *s;

    if (!y || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_sum){x, (float)c};
    if (sg_wants(g, x))
        sg_tape(g, y, sum_back, s);
    return y;
}

sg_tensor *sg_sum(sg_graph *g, sg_tensor *x)
{
    return x ? sum_times(g, x, 1) : NULL;
}

sg_tensor *sg_mean(sg_graph *g, sg_tensor *x)
{
    return x ? sum_times(g, x, x->count ? 1 / (double)x->count : 0) : NULL;
}

static void diff_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    w->part[piece] = sg_kernels_best()->sum_sq_diff(w->x + begin, w->y + begin, end - begin);
}

typedef struct saved_diff {
    sg_tensor *x, *y;
    float c;
} saved_diff;

static void diff_back_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    for (size_t i = begin; i < end; i++)
        w->dx[i] = w->c * (w->x[i] - w->y[i]) + (w->add ? w->dx[i] : 0);
}

static void diff_grad(sg_graph *g, sg_tensor *x, const sg_tensor *y, float c)
{
    bool fresh;
    work w = {.dx = sg_grad_fresh(g, x, &fresh), .x = x->data, .y = y->data, .c = c};

    w.add = !fresh;
    if (w.dx)
        sg_parallel_for(sg_graph_pool(g), x->count, SG_GRAIN, diff_back_body, &w);
}

static void diff_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_diff *s = saved;

    if (sg_wants(g, s->x))
        diff_grad(g, s->x, s->y, s->c * out->grad[0]);
    if (sg_wants(g, s->y))
        diff_grad(g, s->y, s->x, s->c * out->grad[0]);
}

static sg_tensor *squared_distance(sg_graph *g, const char *name, sg_tensor *x, sg_tensor *y, double c)
{
    saved_diff *s;
    sg_tensor *z;

    if (!sg_same_shape(x, y))
        return sg_graph_fail(g, SG_ERR_USAGE, "%s: expected equal shapes, found %s and %s", name,
                             sg_shape_of(x).s, sg_shape_of(y).s);
    work w = {.x = x->data, .y = y->data};
    if (!(z = scalar(g, c * join(g, x->count, diff_body, &w))) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_diff){x, y, (float)(2 * c)};
    if (sg_wants(g, x) || sg_wants(g, y))
        sg_tape(g, z, diff_back, s);
    return z;
}

sg_tensor *sg_mse(sg_graph *g, sg_tensor *x, sg_tensor *y)
{
    return x && y ? squared_distance(g, "mse", x, y, x->count ? 1 / (double)x->count : 0) : NULL;
}

sg_tensor *sg_sum_sq_rows(sg_graph *g, sg_tensor *x, sg_tensor *y)
{
    return x && y ? squared_distance(g, "sum_sq_rows", x, y, x->count ? 1 / (double)sg_height(x) : 0) : NULL;
}

/* ---- binary cross-entropy ------------------------------------------------------------------------------------- */

typedef struct saved_bce {
    sg_tensor *x;
    float *y, *weight; /* weight: NULL when all are 1 */
    float *slope;      /* s(x), when all weights are 1 */
    float c;           /* 1 / sum of weights */
} saved_bce;

enum { BCE_ROW = 64 }; /* numbers summed in f32 */

static void bce_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    double sum = 0;

    for (size_t i = begin; i < end && w->slope; i += BCE_ROW) {
        const size_t n = end - i < BCE_ROW ? end - i : BCE_ROW;

        memcpy(w->slope + i, w->x + i, n * sizeof *w->slope);
        sum += (double)sg_kernels_best()->softplus_row(w->slope + i, n) -
               (double)sg_kernels_best()->dot(w->x + i, w->y + i, n);
    }
    for (size_t i = begin; i < end && !w->slope; i++) {
        const double z = w->x[i];

        sum += w->weight[i] * (fmax(z, 0) - z * w->y[i] + log1p(exp(-fabs(z))));
    }
    w->part[piece] = sum;
}

static void bce_back_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;

    for (size_t i = begin; i < end && w->slope; i++)
        w->dx[i] = w->c * (w->slope[i] - w->y[i]) + (w->add ? w->dx[i] : 0);
    for (size_t i = begin; i < end && !w->slope; i++) {
        const float c = w->c * w->weight[i];

        w->dx[i] = c * (1 / (1 + expf(-w->x[i])) - w->y[i]) + (w->add ? w->dx[i] : 0);
    }
}

static void bce_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_bce *s = saved;
    bool fresh;
    work w = {.dx = sg_grad_fresh(g, s->x, &fresh),
              .x = s->x->data,
              .y = s->y,
              .weight = s->weight,
              .slope = s->slope};

    w.c = s->c * out->grad[0];
    w.add = !fresh;
    if (w.dx)
        sg_parallel_for(sg_graph_pool(g), s->x->count, SG_GRAIN, bce_back_body, &w);
}

static float *keep(sg_graph *g, const float *x, size_t n)
{
    float *copy = sg_scratch(g, n, sizeof *copy);

    if (copy && n)
        memcpy(copy, x, n * sizeof *copy);
    return copy;
}

sg_tensor *sg_bce_logits(sg_graph *g, sg_tensor *x, const float *y, const float *weight)
{
    saved_bce *s;
    sg_tensor *z;

    if (!x || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_bce){.x = x};
    if (!(s->y = keep(g, y, x->count)) || (weight && !(s->weight = keep(g, weight, x->count))) ||
        (!weight && !(s->slope = sg_scratch(g, x->count, sizeof *s->slope))))
        return NULL;
    const double total = weight ? sg_kernels_best()->sum(weight, x->count) : (double)x->count;
    const double c = total > 0 ? 1 / total : 0;
    work w = {.x = x->data, .y = s->y, .weight = s->weight, .slope = s->slope};
    s->c = (float)c;
    if (!(z = scalar(g, c * join(g, x->count, bce_body, &w))))
        return NULL;
    if (sg_wants(g, x))
        sg_tape(g, z, bce_back, s);
    return z;
}
