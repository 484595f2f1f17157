/* rope.c - rotary position embedding: in every head, the pair of columns (2k, 2k + 1) is turned by the angle
 * position * theta^(-2k / dh).   [Su et al. 2021, eq. 34]   Language models pair columns k and k + dh / 2.
 *
 * x (rows, heads * dh), dh even. The way back turns by the opposite angle. Angles are worked out once a row in double, as
 * positions times slow frequencies lose digits in float. */
#include "math/op.h"

#include <math.h>
#include <string.h>

typedef struct saved_rope {
    sg_tensor *x;
    float *turn; /* (rows, dh): cos, sin of each pair */
    size_t heads, dh;
} saved_rope;

typedef struct work {
    const saved_rope *s;
    float *to;
    const float *from;
    const int32_t *positions;
    const double *frequency; /* (dh / 2) */
    float side;              /* 1 forward, -1 back */
    bool add;
} work;

static void angle_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const size_t dh = w->s->dh;

    for (size_t r = begin; r < end; r++) {
        for (size_t k = 0; k < dh / 2; k++) {
            const double angle = w->positions[r] * w->frequency[k];

            w->s->turn[r * dh + 2 * k] = (float)cos(angle);
            w->s->turn[r * dh + 2 * k + 1] = (float)sin(angle);
        }
    }
}

static void turn_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const size_t dh = w->s->dh, d = w->s->heads * dh;

    for (size_t r = begin; r < end; r++) {
        const float *turn = w->s->turn + r * dh;

        for (size_t h = 0; h < w->s->heads; h++) {
            const float *from = w->from + r * d + h * dh;
            float *to = w->to + r * d + h * dh;

            for (size_t k = 0; k < dh; k += 2) {
                const float c = turn[k], s = w->side * turn[k + 1];
                const float a = from[k] * c - from[k + 1] * s, b = from[k] * s + from[k + 1] * c;

                to[k] = a + (w->add ? to[k] : 0);
                to[k + 1] = b + (w->add ? to[k + 1] : 0);
            }
        }
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_rope *s = saved;
    work w = {.s = s, .from = out->grad, .side = -1};

    w.add = !sg_grad_give(s->x, out);
    if ((w.to = sg_grad(g, s->x)))
        sg_parallel_for(sg_graph_pool(g), sg_height(out), sg_row_grain(sg_width(out)), turn_body, &w);
}

sg_tensor *sg_rope(sg_graph *g, sg_tensor *x, int heads, const int32_t *positions, float theta)
{
    const size_t d = x ? sg_width(x) : 0, rows = x ? sg_height(x) : 0;
    double *frequency;
    saved_rope *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    if (heads < 1 || d % (2 * (size_t)heads))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "rope: expected heads of an even width, found %zu numbers for %d heads", d,
                             heads);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_rope){.x = x, .heads = (size_t)heads, .dh = d / (size_t)heads};
    if (!(s->turn = sg_scratch(g, rows * s->dh, sizeof *s->turn)) ||
        !(frequency = sg_scratch(g, s->dh / 2, sizeof *frequency)))
        return NULL;
    for (size_t k = 0; k < s->dh / 2; k++)
        frequency[k] = pow((double)theta, -2.0 * (double)k / (double)s->dh);
    work w = {s, y->data, x->data, positions, frequency, 1, false};
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(16 * s->dh), angle_body, &w);
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(d), turn_body, &w);
    if (sg_wants(g, x))
        sg_tape(g, y, backward, s);
    return y;
}

/* ---- pairs (k, k + dh / 2) ------------------------------------------------------------------------------------ */

typedef struct halves_work {
    size_t heads, dh;
    const float *turn, *from;
    float *to;
    float side; /* 1 forward, -1 back */
    bool add;
} halves_work;

static void halves_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const halves_work *w = ctx;
    const size_t half = w->dh / 2;

    for (size_t r = begin; r < end; r++) {
        const float *c = w->turn + r * w->dh, *s = c + half;

        for (size_t h = 0; h < w->heads; h++) {
            const float *from = w->from + (r * w->heads + h) * w->dh;
            float *to = w->to + (r * w->heads + h) * w->dh;

            for (size_t k = 0; k < half; k++) {
                const float a = from[k] * c[k] - w->side * s[k] * from[k + half];
                const float b = from[k + half] * c[k] + w->side * s[k] * from[k];

                to[k] = a + (w->add ? to[k] : 0);
                to[k + half] = b + (w->add ? to[k + half] : 0);
            }
        }
    }
}

typedef struct saved_halves {
    sg_tensor *x;
    size_t heads;
    const float *turn;
} saved_halves;

static void halves_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_halves *s = saved;
    halves_work w = {s->heads, sg_width(out) / s->heads, s->turn, out->grad, NULL, -1, false};

    w.add = !sg_grad_give(s->x, out);
    if ((w.to = sg_grad(g, s->x)))
        sg_parallel_for(sg_graph_pool(g), sg_height(out), sg_row_grain(sg_width(out)), halves_body, &w);
}

sg_tensor *sg_rope_halves(sg_graph *g, sg_tensor *x, int heads, const float *turn)
{
    const size_t d = x ? sg_width(x) : 0;
    saved_halves *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    if (heads < 1 || d % (2 * (size_t)heads))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "rope: expected heads of an even width, found %zu numbers for %d heads", d,
                             heads);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_halves){x, (size_t)heads, turn};
    sg_parallel_for(sg_graph_pool(g), sg_height(x), sg_row_grain(d), halves_body,
                    &(halves_work){s->heads, d / s->heads, turn, x->data, y->data, 1, false});
    if (sg_wants(g, x))
        sg_tape(g, y, halves_back, s);
    return y;
}
