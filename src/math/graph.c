/* graph.c - the tape: which op made which tensor, and the way back. Ops live one per file beside this one. */
#include "math/graph.h"
#undef sg_graph_fail /* what the analyzer is told */

#include "base/alloc.h"
#include "math/op.h"
#include "math/touch.h"

#include <stdio.h>
#include <string.h>

typedef struct entry {
    sg_tensor *out;
    sg_backward_fn *fn;
    void *saved;
} entry;

struct sg_graph {
    sg_pool *pool; /* borrowed */
    sg_arena *arena;
    sg_precision precision;
    sg_mode mode;
    uint64_t seed, step, ops;
    entry *tape; /* owned: kept between steps */
    size_t n_tape, cap_tape;
    sg_error err;
};

sg_status sg_graph_new(sg_graph **out, sg_pool *pool, sg_precision precision, sg_error *err)
{
    sg_graph *g = sg_alloc_zero(1, sizeof *g);

    *out = NULL;
    if (!g || !(g->arena = sg_arena_new(0))) {
        sg_free(g);
        return sg_fail_memory(err, "graph");
    }
    g->pool = pool;
    g->precision = precision;
    *out = g;
    return SG_OK;
}

void sg_graph_free(sg_graph *g)
{
    if (!g)
        return;
    sg_arena_free(g->arena);
    sg_free(g->tape);
    sg_free(g);
}

void sg_graph_begin(sg_graph *g, sg_mode mode, uint64_t seed, uint64_t step)
{
    sg_arena_reset(g->arena);
    g->mode = mode;
    g->seed = seed;
    g->step = step;
    g->ops = 0;
    g->n_tape = 0;
    g->err = (sg_error){0};
}

sg_status sg_graph_status(const sg_graph *g, sg_error *err)
{
    if (g->err.status != SG_OK && err)
        *err = g->err;
    return g->err.status;
}

sg_pool *sg_graph_pool(const sg_graph *g)
{
    return g->pool;
}

sg_arena *sg_graph_arena(const sg_graph *g)
{
    return g->arena;
}

sg_precision sg_graph_precision(const sg_graph *g)
{
    return g->precision;
}

bool sg_graph_training(const sg_graph *g)
{
    return g->mode == SG_TRAIN;
}

uint64_t sg_graph_seed(const sg_graph *g)
{
    return g->seed;
}

uint64_t sg_graph_step(const sg_graph *g)
{
    return g->step;
}

uint64_t sg_graph_next_op(sg_graph *g)
{
    return ++g->ops;
}

void *sg_graph_fail(sg_graph *g, sg_status status, const char *format, ...)
{
    char text[512];
    va_list args;

    if (g->err.status != SG_OK)
        return NULL;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sg_fail(&g->err, status, "%s", text);
    return NULL;
}

void *sg_scratch(sg_graph *g, size_t count, size_t each)
{
    void *p = sg_arena_take_array(g->arena, count, each);

    return p ? p
             : sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: step arena, %zu x %zu bytes more", count,
                             each);
}

sg_tensor *sg_tensor_new(sg_graph *g, int rank, const int *dim)
{
    sg_tensor *t = sg_scratch(g, 1, sizeof *t);
    size_t count = 1;

    if (!t)
        return NULL;
    *t = (sg_tensor){.rank = rank};
    for (int i = 0; i < rank; i++) {
        t->dim[i] = dim[i];
        if (dim[i] < 0 || !sg_mul(&count, count, (size_t)dim[i]))
            return sg_graph_fail(g, SG_ERR_MEMORY, "tensor size overflows");
    }
    t->count = count;
    t->data = sg_scratch(g, count, sizeof(float));
    return t->data ? t : NULL;
}

sg_tensor *sg_tensor_2d(sg_graph *g, int rows, int cols)
{
    return sg_tensor_new(g, 2, (int[]){rows, cols});
}

bool sg_param_trains(const sg_graph *g, const sg_param *p)
{
    return g->mode == SG_TRAIN && p && p->grad && !p->frozen;
}

float *sg_param_grad(sg_graph *g, sg_param *p)
{
    if (!sg_param_trains(g, p))
        return NULL;
    return sg_param_touch_range(g, p, 0, p->dim[0]) ? p->grad : NULL;
}

float *sg_grad(sg_graph *g, sg_tensor *t)
{
    bool fresh;
    float *grad = sg_grad_fresh(g, t, &fresh);

    if (grad && fresh)
        memset(grad, 0, t->count * sizeof(float));
    return grad;
}

float *sg_grad_fresh(sg_graph *g, sg_tensor *t, bool *fresh)
{
    *fresh = false;
    if (t->param)
        return sg_param_grad(g, t->param);
    if (!t->grad) {
        *fresh = true;
        t->grad = sg_scratch(g, t->count, sizeof(float));
    }
    return t->grad;
}

bool sg_grad_give(sg_tensor *t, sg_tensor *out)
{
    if (t->param || t->grad || t->count != out->count)
        return false;
    t->grad = out->grad;
    return true;
}

void sg_tape(sg_graph *g, sg_tensor *out, sg_backward_fn *fn, void *saved)
{
    out->needs_grad = true;
    if (g->mode != SG_TRAIN)
        return;
    if (!sg_grow(&g->tape, &g->cap_tape, g->n_tape + 1, sizeof *g->tape)) {
        sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: tape");
        return;
    }
    g->tape[g->n_tape++] = (entry){out, fn, saved};
}

/* Backward steps from the end of the tape down to entry `from`. */
static void walk(sg_graph *g, size_t from)
{
    for (size_t i = g->n_tape; i-- > from && g->err.status == SG_OK;)
        if (g->tape[i].out->grad) /* else nothing below it reached the loss */
            g->tape[i].fn(g, g->tape[i].out, g->tape[i].saved);
}

sg_status sg_backward(sg_graph *g, sg_tensor *loss, sg_error *err)
{
    float *one;

    if (g->err.status == SG_OK && loss && loss->count != 1)
        sg_graph_fail(g, SG_ERR_USAGE, "backward starts from a scalar, found %zu numbers", loss->count);
    if (g->err.status == SG_OK && loss && (one = sg_grad(g, loss))) {
        *one = 1;
        walk(g, 0);
    }
    return sg_graph_status(g, err);
}

/* ---- forgetting what a part of the graph kept ----------------------------------------------------------------- */

typedef struct saved_part {
    sg_tensor *x, *beside;
    sg_part_fn *fn;
    const void *ctx;
    uint64_t ops; /* before the part: its dropout masks are named from there */
} saved_part;

/* Once more with a tape of its own, above what is left of the outer one; then that tape's way back, then all of it goes. */
static void recompute_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_part *s = saved;
    const uint64_t ops = g->ops;
    const size_t n_tape = g->n_tape;
    sg_tensor *y;

    if ((s->x->needs_grad && !sg_grad(g, s->x)) || /* taken before the mark: they stay */
        (s->beside && s->beside->needs_grad && !sg_grad(g, s->beside)))
        return;
    const sg_arena_mark mark = sg_arena_here(g->arena);
    g->ops = s->ops;
    if ((y = s->fn(g, s->x, s->beside, s->ctx))) {
        y->grad = out->grad;
        walk(g, n_tape);
    }
    g->n_tape = n_tape;
    g->ops = ops;
    sg_arena_back(g->arena, mark);
}

sg_tensor *sg_recompute(sg_graph *g, sg_tensor *x, sg_tensor *beside, sg_part_fn *fn, const void *ctx)
{
    const size_t n_tape = g->n_tape;
    saved_part *s;
    sg_tensor *out, *y;

    if (!x || g->mode != SG_TRAIN)
        return x ? fn(g, x, beside, ctx) : NULL;
    if (!(out = sg_tensor_new(g, x->rank, x->dim)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_part){x, beside, fn, ctx, g->ops};
    const sg_arena_mark mark = sg_arena_here(g->arena);
    if (!(y = fn(g, x, beside, ctx)))
        return NULL;
    if (y->count != out->count)
        return sg_graph_fail(g, SG_ERR_USAGE, "recompute: expected a part that keeps the shape %s, found %s",
                             sg_shape_of(x).s, sg_shape_of(y).s);
    if (y->count)
        memcpy(out->data, y->data, y->count * sizeof *y->data);
    const bool learns = y->needs_grad;
    g->n_tape = n_tape;
    sg_arena_back(g->arena, mark);
    if (learns)
        sg_tape(g, out, recompute_back, s);
    return out;
}

sg_shape_text sg_shape_of(const sg_tensor *x)
{
    sg_shape_text t = {"("};

    for (int i = 0; i < x->rank; i++) {
        const size_t n = strlen(t.s);

        snprintf(t.s + n, sizeof t.s - n, "%s%d", i ? ", " : "", x->dim[i]);
    }
    const size_t n = strlen(t.s);
    snprintf(t.s + n, sizeof t.s - n, ")");
    return t;
}

sg_tensor *sg_input(sg_graph *g, const float *data, int rank, const int *dim)
{
    sg_tensor *t = sg_tensor_new(g, rank, dim);

    if (t && t->count)
        memcpy(t->data, data, t->count * sizeof(float));
    return t;
}

sg_tensor *sg_leaf(sg_graph *g, sg_param *p)
{
    sg_tensor *t = sg_scratch(g, 1, sizeof *t);

    if (!t)
        return NULL;
    *t = (sg_tensor){.rank = p->rank, .count = p->count, .data = p->value, .param = p};
    memcpy(t->dim, p->dim, sizeof t->dim);
    t->needs_grad = sg_param_trains(g, p);
    return t;
}
