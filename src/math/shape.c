/* shape.c - rows and columns picked, put together and averaged. x (rows, d) is any tensor seen as rows of its last
 * dimension; gradients go back the way the values came. */
#include "math/op.h"

#include <string.h>

/* ---- rows by number ------------------------------------------------------------------------------------------- */

typedef struct saved_rows {
    sg_tensor *x;
    int32_t *rows;
    size_t n;
} saved_rows;

typedef struct rows_work {
    float *y;
    const float *x;
    const int32_t *rows;
    size_t d;
} rows_work;

static void rows_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const rows_work *w = ctx;

    for (size_t i = begin; i < end; i++) {
        if (w->rows[i] < 0)
            memset(w->y + i * w->d, 0, w->d * sizeof *w->y);
        else
            memcpy(w->y + i * w->d, w->x + (size_t)w->rows[i] * w->d, w->d * sizeof *w->y);
    }
}

static void rows_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_rows *s = saved;
    float *dx = sg_grad(g, s->x);

    if (dx)
        sg_scatter_rows(g, dx, sg_width(s->x), s->rows, s->n, out->grad);
}

sg_tensor *sg_rows(sg_graph *g, sg_tensor *x, const int32_t *rows, int n)
{
    saved_rows *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    const size_t height = sg_height(x), d = sg_width(x);
    for (int i = 0; i < n; i++)
        if (rows[i] < -1 || (rows[i] >= 0 && (size_t)rows[i] >= height))
            return sg_graph_fail(g, SG_ERR_USAGE, "rows: expected a row number below %zu, found %d", height,
                                 rows[i]);
    if (!(y = sg_tensor_2d(g, n, (int)d)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_rows){x, NULL, (size_t)n};
    if (!(s->rows = sg_scratch(g, s->n, sizeof *s->rows)))
        return NULL;
    if (n)
        memcpy(s->rows, rows, s->n * sizeof *rows);
    sg_parallel_for(sg_graph_pool(g), s->n, sg_row_grain(d), rows_body,
                    &(rows_work){y->data, x->data, s->rows, d});
    if (sg_wants(g, x))
        sg_tape(g, y, rows_back, s);
    return y;
}

/* ---- another shape -------------------------------------------------------------------------------------------- */

static void reshape_back(sg_graph *g, sg_tensor *out, void *saved)
{
    sg_tensor *x = saved;
    bool fresh;
    float *dx;

    if (!sg_grad_give(x, out) && (dx = sg_grad_fresh(g, x, &fresh)))
        sg_add_to(g, dx, out->grad, x->count, fresh);
}

sg_tensor *sg_reshape(sg_graph *g, sg_tensor *x, int rank, const int *dim)
{
    sg_tensor *y;
    size_t count = 1;

    if (!x || !(y = sg_scratch(g, 1, sizeof *y)))
        return NULL;
    *y = (sg_tensor){.rank = rank, .data = x->data};
    for (int i = 0; i < rank; i++) {
        y->dim[i] = dim[i];
        count *= (size_t)dim[i];
    }
    y->count = count;
    if (count != x->count)
        return sg_graph_fail(g, SG_ERR_USAGE, "reshape: expected a shape of the %zu numbers of %s, found %s",
                             x->count, sg_shape_of(x).s, sg_shape_of(y).s);
    if (sg_wants(g, x))
        sg_tape(g, y, reshape_back, x);
    return y;
}

/* ---- blocks of columns ---------------------------------------------------------------------------------------- */

typedef struct block_work {
    float *to;
    const float *from;
    size_t width, to_stride, from_stride;
    bool add;
} block_work;

static void block_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const block_work *w = ctx;

    for (size_t r = begin; r < end; r++) {
        float *to = w->to + r * w->to_stride;
        const float *from = w->from + r * w->from_stride;

        if (w->add)
            sg_kernels_best()->add(to, to, from, w->width);
        else
            memcpy(to, from, w->width * sizeof *to);
    }
}

/* Copies, or adds, a block of rows x width numbers between arrays of different strides. */
static void move_block(sg_graph *g, size_t rows, block_work w)
{
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(w.width), block_body, &w);
}

typedef struct saved_parts {
    sg_tensor **part;
    int n;
} saved_parts;

static saved_parts *keep_parts(sg_graph *g, sg_tensor *const *parts, int n)
{
    saved_parts *s = sg_scratch(g, 1, sizeof *s);

    if (!s || !(s->part = sg_scratch(g, (size_t)n, sizeof(sg_tensor *))))
        return NULL;
    memcpy(s->part, parts, (size_t)n * sizeof(sg_tensor *));
    s->n = n;
    return s;
}

static bool wants_any(const sg_graph *g, const saved_parts *s)
{
    bool any = false;

    for (int i = 0; i < s->n; i++)
        any = any || sg_wants(g, s->part[i]);
    return any;
}

static void concat_rows_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_parts *s = saved;
    const float *dy = out->grad;

    for (int i = 0; i < s->n; i++) {
        bool fresh;
        float *dx = sg_wants(g, s->part[i]) ? sg_grad_fresh(g, s->part[i], &fresh) : NULL;

        if (dx)
            sg_add_to(g, dx, dy, s->part[i]->count, fresh);
        dy += s->part[i]->count;
    }
}

sg_tensor *sg_concat_rows(sg_graph *g, sg_tensor *const *parts, int n)
{
    size_t rows = 0, at = 0;
    saved_parts *s;
    sg_tensor *y;

    for (int i = 0; i < n; i++) {
        if (!parts[i])
            return NULL;
        if (sg_width(parts[i]) != sg_width(parts[0]))
            return sg_graph_fail(g, SG_ERR_USAGE, "concat_rows: expected rows of %zu numbers, found %zu",
                                 sg_width(parts[0]), sg_width(parts[i]));
        rows += sg_height(parts[i]);
    }
    if (n < 1 || rows > INT32_MAX)
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "concat_rows: expected at least one part and fewer than 2^31 rows");
    if (!(y = sg_tensor_2d(g, (int)rows, (int)sg_width(parts[0]))) || !(s = keep_parts(g, parts, n)))
        return NULL;
    for (int i = 0; i < n; i++) {
        sg_add_to(g, y->data + at, parts[i]->data, parts[i]->count, true);
        at += parts[i]->count;
    }
    if (wants_any(g, s))
        sg_tape(g, y, concat_rows_back, s);
    return y;
}

static void concat_cols_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_parts *s = saved;
    const float *dy = out->grad;

    for (int i = 0; i < s->n; i++) {
        const size_t d = sg_width(s->part[i]);
        bool fresh;
        float *dx = sg_wants(g, s->part[i]) ? sg_grad_fresh(g, s->part[i], &fresh) : NULL;

        if (dx)
            move_block(g, sg_height(out), (block_work){dx, dy, d, d, sg_width(out), !fresh});
        dy += d;
    }
}

sg_tensor *sg_concat_cols(sg_graph *g, sg_tensor *const *parts, int n)
{
    size_t cols = 0, at = 0;
    saved_parts *s;
    sg_tensor *y;

    for (int i = 0; i < n; i++) {
        if (!parts[i])
            return NULL;
        if (sg_height(parts[i]) != sg_height(parts[0]))
            return sg_graph_fail(g, SG_ERR_USAGE, "concat_cols: expected %zu rows, found %zu",
                                 sg_height(parts[0]), sg_height(parts[i]));
        cols += sg_width(parts[i]);
    }
    if (n < 1 || cols > INT32_MAX)
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "concat_cols: expected at least one part and fewer than 2^31 columns");
    if (!(y = sg_tensor_2d(g, (int)sg_height(parts[0]), (int)cols)) || !(s = keep_parts(g, parts, n)))
        return NULL;
    for (int i = 0; i < n; i++) {
        const size_t d = sg_width(parts[i]);

        move_block(g, sg_height(y), (block_work){y->data + at, parts[i]->data, d, cols, d, false});
        at += d;
    }
    if (wants_any(g, s))
        sg_tape(g, y, concat_cols_back, s);
    return y;
}

typedef struct saved_slice {
    sg_tensor *x;
    int begin;
} saved_slice;

static void slice_cols_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_slice *s = saved;
    const size_t d = sg_width(out);
    float *dx = sg_grad(g, s->x);

    if (dx)
        move_block(g, sg_height(out), (block_work){dx + s->begin, out->grad, d, sg_width(s->x), d, true});
}

sg_tensor *sg_slice_cols(sg_graph *g, sg_tensor *x, int begin, int end)
{
    saved_slice *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    const size_t d = sg_width(x);
    if (begin < 0 || end < begin || (size_t)end > d)
        return sg_graph_fail(g, SG_ERR_USAGE, "slice_cols: expected a range within %zu columns, found %d..%d",
                             d, begin, end);
    if (!(y = sg_tensor_2d(g, (int)sg_height(x), end - begin)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_slice){x, begin};
    move_block(g, sg_height(x), (block_work){y->data, x->data + begin, sg_width(y), sg_width(y), d, false});
    if (sg_wants(g, x))
        sg_tape(g, y, slice_cols_back, s);
    return y;
}

/* ---- mean over segments --------------------------------------------------------------------------------------- */

typedef struct saved_segments {
    sg_tensor *x;
    int32_t *offsets; /* (n + 1) */
} saved_segments;

typedef struct segment_work {
    float *to;
    const float *from;
    const int32_t *offsets;
    size_t d;
} segment_work;

static void mean_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const segment_work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t i = begin; i < end; i++) {
        const int32_t from = w->offsets[i], to = w->offsets[i + 1];
        float *y = w->to + i * w->d;

        memset(y, 0, w->d * sizeof *y);
        for (int32_t r = from; r < to; r++)
            k->add(y, y, w->from + (size_t)r * w->d, w->d);
        if (to - from > 1)
            k->scale(y, 1.0f / (float)(to - from), y, w->d);
    }
}

static void spread_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const segment_work *w = ctx;

    for (size_t i = begin; i < end; i++) {
        const int32_t from = w->offsets[i], to = w->offsets[i + 1];

        for (int32_t r = from; r < to; r++)
            sg_kernels_best()->axpy(w->to + (size_t)r * w->d, 1.0f / (float)(to - from), w->from + i * w->d,
                                    w->d);
    }
}

static void segment_mean_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_segments *s = saved;
    float *dx = sg_grad(g, s->x);

    if (dx)
        sg_parallel_for(sg_graph_pool(g), sg_height(out), 16, spread_body,
                        &(segment_work){dx, out->grad, s->offsets, sg_width(out)});
}

sg_tensor *sg_segment_mean(sg_graph *g, sg_tensor *x, const int32_t *offsets, int n)
{
    saved_segments *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    for (int i = 0; i < n; i++)
        if (offsets[i] < 0 || offsets[i + 1] < offsets[i] || (size_t)offsets[i + 1] > sg_height(x))
            return sg_graph_fail(g, SG_ERR_USAGE,
                                 "segment_mean: segment %d: expected rows within %zu, found %d..%d", i,
                                 sg_height(x), offsets[i], offsets[i + 1]);
    if (!(y = sg_tensor_2d(g, n, (int)sg_width(x))) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_segments){.x = x};
    if (!(s->offsets = sg_scratch(g, (size_t)n + 1, sizeof *s->offsets)))
        return NULL;
    memcpy(s->offsets, offsets, ((size_t)n + 1) * sizeof *offsets);
    sg_parallel_for(sg_graph_pool(g), (size_t)n, 16, mean_body,
                    &(segment_work){y->data, x->data, s->offsets, sg_width(x)});
    if (sg_wants(g, x))
        sg_tape(g, y, segment_mean_back, s);
    return y;
}
