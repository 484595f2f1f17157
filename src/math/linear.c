/* linear.c - y = x w^T + b, alone, with activation and dropout, or onto a residual r, and the product of two tensors.
 *
 * x (rows, in), w (out, in), b (out), y, r (rows, out). dx = dy w; dw += dy^T x; db += sum of the rows of dy; dr += dy. */
#include "math/blocks.h"
#include "math/gemm.h"
#include "math/op.h"

#include <string.h>

typedef struct saved_linear {
    sg_tensor *x, *onto; /* onto: NULL, or what is added; never with an activation */
    sg_param *w, *b;
    bool has_act;
    sg_act act;
    sg_drop drop; /* below 0: none */
    const float
        *kept; /* what the slope of act is worked out from: y where that is enough, else see keep_what */
} saved_linear;

/* ---- weights in few bits -------------------------------------------------------------------------------------- */

sg_param *sg_bits_of(sg_graph *g, sg_bits *room, sg_param *w)
{
    if (!w->blocks)
        return w;
    room->mark = sg_arena_here(sg_graph_arena(g));
    room->w = (sg_param){.rank = w->rank, .dim = {w->dim[0], w->dim[1]}, .count = w->count, .frozen = true};
    memcpy(room->w.name, w->name, sizeof w->name);
    if (!(room->w.value = sg_scratch(g, w->count, sizeof(float))))
        return NULL;
    sg_blocks_decode(sg_graph_pool(g), w->blocks, room->w.value);
    return &room->w;
}

void sg_bits_back(sg_graph *g, sg_bits *room, const sg_param *w)
{
    if (!w->blocks)
        return;
    if (room->w.packed)
        sg_gemm_forget(&room->w);
    sg_arena_back(sg_graph_arena(g), room->mark);
}

enum { STRIP = 4096 }; /* numbers handled while they stay in the first cache */

/* ---- forward: bias, activation and dropout while a tile is in cache ------------------------------------------- */

typedef struct tail_work {
    const saved_linear *s;
    float *z, *y; /* the product goes to z, the result to y; often the same array */
    size_t d;
    bool keep_value; /* z is to hold the activated values, before dropout */
} tail_work;

static void tail_strip(const tail_work *t, size_t row, size_t rows, size_t col, size_t cols)
{
    const saved_linear *s = t->s;
    const sg_kernels *k = sg_kernels_best();
    const size_t first = row * t->d + col, n = rows * cols; /* rows > 1 only when they are whole */
    float *z = t->z + first, *y = t->y + first;

    for (size_t r = 0; s->b && r < rows; r++)
        k->add(z + r * cols, z + r * cols, s->b->value + col, cols);
    for (size_t r = 0; s->onto && r < rows; r++)
        k->add(z + r * cols, z + r * cols, s->onto->data + first + r * cols, cols);
    if (s->has_act)
        k->act((int)s->act, t->keep_value ? z : y, z, n);
    if (s->drop.below)
        k->dropout(y, t->keep_value ? z : y, NULL, first, n, &s->drop);
}

static void tail(void *ctx, int row, int rows, int col, int cols)
{
    const tail_work *t = ctx;
    const size_t step = (size_t)cols == t->d && t->d < STRIP ? STRIP / t->d : 1, end = (size_t)(row + rows);

    for (size_t r = (size_t)row; r < end; r += step)
        tail_strip(t, r, r + step < end ? step : end - r, (size_t)col, (size_t)cols);
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

typedef struct slope_work {
    const saved_linear *s;
    float *dy;   /* becomes the gradient of the product */
    float *part; /* (pieces, d) sums for the bias; NULL: not wanted */
    size_t d;
} slope_work;

static void slope_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const slope_work *w = ctx;
    const saved_linear *s = w->s;
    const sg_kernels *k = sg_kernels_best();
    const size_t step = w->d < STRIP ? STRIP / w->d : 1;
    float *db = w->part ? w->part + piece * w->d : NULL;

    if (db)
        memset(db, 0, w->d * sizeof *db);
    for (size_t r = begin; r < end; r += step) {
        const size_t rows = r + step < end ? step : end - r, first = r * w->d, n = rows * w->d;
        float *dy = w->dy + first;

        if (s->drop.below && s->act == SG_RELU)
            k->scale(dy, s->drop.keep, dy, n); /* y > 0 says by itself which ones were kept */
        else if (s->drop.below)
            k->dropout(dy, dy, NULL, first, n, &s->drop);
        k->act_grad((int)s->act, dy, dy, s->kept + first, s->kept + first, n, false);
        for (size_t i = 0; db && i < rows; i++)
            k->add(db, db, dy + i * w->d, w->d);
    }
}

/* Turns dy into the gradient of x w^T, in place, and sums the bias's on the way. */
static void slope(sg_graph *g, const saved_linear *s, sg_tensor *out, float *db)
{
    const size_t rows = sg_height(out), d = sg_width(out), grain = sg_sum_grain(rows, d);
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    slope_work w = {s, out->grad, NULL, d};

    if (db && !(w.part = sg_scratch(g, sg_pieces(rows, grain) * d, sizeof *w.part)))
        return;
    sg_parallel_for(sg_graph_pool(g), rows, grain, slope_body, &w);
    if (db)
        sg_join(db, w.part, sg_pieces(rows, grain), d);
    sg_arena_back(sg_graph_arena(g), mark);
}

static void linear_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_linear *s = saved;
    const int d_out = s->w->dim[0], d_in = s->w->dim[1], rows = (int)sg_height(s->x);
    float *grad = sg_param_grad(g, s->b);
    bool fresh;

    if (s->has_act)
        slope(g, s, out, grad);
    else if (grad)
        sg_sum_rows(g, grad, out->grad, (size_t)rows, (size_t)d_out);
    if ((grad = sg_param_grad(g, s->w)) &&
        !sg_gemm_linear_dw(sg_graph_pool(g), sg_graph_arena(g), sg_graph_precision(g), rows, out->grad, d_out,
                           s->x->data, d_in, d_out, d_in, grad))
        sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: gradient of '%s'", s->w->name);
    if (sg_wants(g, s->x) && (grad = sg_grad_fresh(g, s->x, &fresh))) {
        sg_bits room;
        sg_param *w = sg_bits_of(g, &room, s->w);

        if (w)
            sg_gemm_linear_dx(sg_graph_pool(g), sg_graph_precision(g), rows, out->grad, d_out, w, grad, d_in,
                              !fresh);
        sg_bits_back(g, &room, s->w);
    }
    if (sg_wants(g, s->onto) && !sg_grad_give(s->onto, out) &&
        (grad = sg_grad_fresh(g, s->onto, &fresh))) /* out->grad is read no more */
        sg_add_to(g, grad, out->grad, out->count, fresh);
}

/* What the way back needs, and where the product goes: into y itself when the slope follows from y alone (relu, even after
 * dropout; tanh and sigmoid without it), else into an array of its own, which then keeps the activated values of tanh and
 * sigmoid, and the argument of the others. False when out of memory. */
static bool keep_what(sg_graph *g, saved_linear *s, tail_work *t, sg_tensor *y)
{
    const bool from_value = s->act == SG_TANH || s->act == SG_SIGMOID;

    s->kept = t->z = t->y = y->data;
    if (!s->has_act || !sg_graph_training(g) || s->act == SG_RELU || (from_value && !s->drop.below))
        return true;
    t->keep_value = from_value;
    s->kept = t->z = sg_scratch(g, y->count, sizeof *t->z);
    return t->z != NULL;
}

static sg_tensor *linear(sg_graph *g, sg_tensor *x, saved_linear spec)
{
    const sg_param *b = spec.b;
    sg_param *w = spec.w;
    tail_work t = {.d = (size_t)w->dim[0]};
    int dim[4];
    saved_linear *s;
    sg_tensor *y;

    if (w->rank != 2 || x->rank < 1 || x->dim[x->rank - 1] != w->dim[1])
        return sg_graph_fail(g, SG_ERR_USAGE, "linear '%s': expected rows of %d numbers, found %zu", w->name,
                             w->rank == 2 ? w->dim[1] : 0, sg_width(x));
    if (b && b->count != t.d)
        return sg_graph_fail(g, SG_ERR_USAGE, "linear '%s': expected a bias of %zu numbers, found %zu",
                             w->name, t.d, b->count);
    memcpy(dim, x->dim, sizeof dim);
    dim[x->rank - 1] = w->dim[0];
    if (!(y = sg_tensor_new(g, x->rank, dim)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = spec;
    t.s = s;
    if (!keep_what(g, s, &t, y))
        return NULL;
    sg_bits room;
    sg_param *numbers = sg_bits_of(g, &room, w);
    if (numbers)
        sg_gemm_linear_then(sg_graph_pool(g), sg_graph_precision(g), (int)sg_height(x), x->data, w->dim[1],
                            numbers, t.z, w->dim[0], b || s->has_act || s->onto ? tail : NULL, &t);
    sg_bits_back(g, &room, w);
    if (!numbers)
        return NULL;
    if (sg_wants(g, x) || sg_wants(g, s->onto) || sg_param_trains(g, w) || sg_param_trains(g, b))
        sg_tape(g, y, linear_back, s);
    return y;
}

sg_tensor *sg_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b)
{
    return x && w ? linear(g, x, (saved_linear){.x = x, .w = w, .b = b}) : NULL;
}

sg_tensor *sg_linear_onto(sg_graph *g, sg_tensor *r, sg_tensor *x, sg_param *w, sg_param *b)
{
    if (!r || !x || !w)
        return NULL;
    if (w->rank != 2 || sg_width(r) != (size_t)w->dim[0] || sg_height(r) != sg_height(x))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "linear '%s': expected a residual of %zu rows of %d numbers, found %s", w->name,
                             sg_height(x), w->rank == 2 ? w->dim[0] : 0, sg_shape_of(r).s);
    return linear(g, x, (saved_linear){.x = x, .onto = r, .w = w, .b = b});
}

sg_tensor *sg_linear_act(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b, sg_act act, float dropout)
{
    saved_linear s = {.x = x, .w = w, .b = b, .has_act = true, .act = act};

    if (!x || !w || !sg_drop_make(g, &s.drop, "linear_act", dropout))
        return NULL;
    return linear(g, x, s);
}

typedef struct saved_matmul {
    sg_tensor *a, *b;
    bool transpose_b;
} saved_matmul;

static void matmul_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_matmul *s = saved;
    const int m = out->dim[0], n = out->dim[1], k = s->a->dim[1];
    sg_pool *pool = sg_graph_pool(g);
    const sg_precision precision = sg_graph_precision(g);
    float *grad;
    bool fresh;

    /* y = a b: da = dy b^T, db = a^T dy; y = a b^T: da = dy b, db = dy^T a */
    if (sg_wants(g, s->a) && (grad = sg_grad_fresh(g, s->a, &fresh)))
        sg_gemm(pool, precision, false, !s->transpose_b, m, k, n, 1, out->grad, n, s->b->data, s->b->dim[1],
                fresh ? 0 : 1, grad, k);
    if (sg_wants(g, s->b) && (grad = sg_grad_fresh(g, s->b, &fresh))) {
        if (s->transpose_b)
            sg_gemm(pool, precision, true, false, n, k, m, 1, out->grad, n, s->a->data, k, fresh ? 0 : 1,
                    grad, k);
        else
            sg_gemm(pool, precision, true, false, k, n, m, 1, s->a->data, k, out->grad, n, fresh ? 0 : 1,
                    grad, n);
    }
}

sg_tensor *sg_matmul(sg_graph *g, sg_tensor *a, sg_tensor *b, bool transpose_b)
{
    saved_matmul *s;
    sg_tensor *y;

    if (!a || !b)
        return NULL;
    if (a->rank != 2 || b->rank != 2 || a->dim[1] != b->dim[transpose_b ? 1 : 0])
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "matmul: expected matrices that fit, found (%d, %d) and %s(%d, %d)", a->dim[0],
                             a->dim[1], transpose_b ? "transposed " : "", b->dim[0], b->dim[1]);
    if (!(y = sg_tensor_2d(g, a->dim[0], b->dim[transpose_b ? 0 : 1])) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_matmul){a, b, transpose_b};
    sg_gemm(sg_graph_pool(g), sg_graph_precision(g), false, transpose_b, y->dim[0], y->dim[1], a->dim[1], 1,
            a->data, a->dim[1], b->data, b->dim[1], 0, y->data, y->dim[1]);
    if (sg_wants(g, a) || sg_wants(g, b))
        sg_tape(g, y, matmul_back, s);
    return y;
}
