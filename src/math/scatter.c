/* scatter.c - rows added into the gradient of a table, by row number.
 *
 * The numbers are radix-sorted together with their places (stable), so that all that goes to one row lies together in the
 * order of places: rows are then summed in parallel, each by one thread, always in the same order. A sparse table gets the
 * rows it did not know merged into its ascending list. */
#include "math/op.h"

#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

typedef struct item {
    uint32_t id, place;
} item;

/* One pass: `to` gets `from` ordered by the digit at `shift`, stable. */
static void sort_pass(item *to, const item *from, size_t n, unsigned shift)
{
    uint32_t start[DIGITS] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        start[from[i].id >> shift & (DIGITS - 1)]++;
    for (size_t i = 0; i < DIGITS; i++) {
        const uint32_t count = start[i];

        start[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[start[from[i].id >> shift & (DIGITS - 1)]++] = from[i];
}

static item *sort_items(item *a, item *b, size_t n, uint32_t id_max)
{
    for (unsigned shift = 0; shift < 32 && id_max >> shift; shift += DIGIT_BITS) {
        item *swap = a;

        sort_pass(b, a, n, shift);
        a = b;
        b = swap;
    }
    return a;
}

typedef struct work {
    float *grad;
    const item *items;
    const uint32_t *start; /* (rows + 1): the items of the i-th distinct row */
    size_t d, per;
    const float *src, *coef;
} work;

static void body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t row = begin; row < end; row++) {
        float *to = w->grad + w->items[w->start[row]].id * w->d;

        for (uint32_t i = w->start[row]; i < w->start[row + 1]; i++) {
            const size_t place = w->items[i].place;
            const float *from = w->src + place / w->per * w->d;

            if (w->coef)
                k->axpy(to, w->coef[place], from, w->d);
            else
                k->add(to, to, from, w->d);
        }
    }
}

/* Merges n ascending row numbers (those of the items at start[i]) into p->touched, from the back, in place. The flags
 * still tell old from new; the caller sets them afterwards. */
static void touch(sg_param *p, const item *items, const uint32_t *start, size_t n)
{
    size_t fresh = 0, old = (size_t)p->n_touched;

    for (size_t i = 0; i < n; i++)
        fresh += !p->is_touched[items[start[i]].id];
    p->n_touched += (int32_t)fresh;
    for (size_t to = old + fresh; fresh;) {
        const uint32_t id = items[start[n - 1]].id;

        if (p->is_touched[id]) {
            n--; /* an old one; it keeps its place in the list */
        } else if (old && (uint32_t)p->touched[old - 1] > id) {
            p->touched[--to] = p->touched[--old];
        } else {
            p->touched[--to] = (int32_t)id;
            fresh--;
            n--;
        }
    }
}

/* grad (n_rows, d) rows ids[i] += ...; records touched rows in p when it is not NULL and sparse */
static void scatter(sg_graph *g, sg_param *p, float *grad, size_t n_rows, size_t d, const int32_t *ids, size_t n, size_t per,
                    const float *src, const float *coef)
{
    size_t used = 0, rows = 0;
    uint32_t *start;
    item *a, *b;

    if (!(a = sg_scratch(g, n, sizeof *a)) || !(b = sg_scratch(g, n, sizeof *b)) ||
        !(start = sg_scratch(g, n + 1, sizeof *start)))
        return;
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0)
            a[used++] = (item){(uint32_t)ids[i], (uint32_t)i};
    a = sort_items(a, b, used, (uint32_t)n_rows - 1);
    for (size_t i = 0; i < used; i++)
        if (i == 0 || a[i].id != a[i - 1].id)
            start[rows++] = (uint32_t)i;
    start[rows] = (uint32_t)used;
    if (p && p->sparse) {
        touch(p, a, start, rows);
        for (size_t i = 0; i < rows; i++)
            p->is_touched[a[start[i]].id] = 1;
    }
    sg_parallel_for(sg_graph_pool(g), rows, sg_row_grain(d * (1 + used / (rows + 1))), body,
                    &(work){grad, a, start, d, per, src, coef});
}

void sg_scatter_rows(sg_graph *g, float *grad, size_t n_rows, size_t d, const int32_t *ids, size_t n, const float *src)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));

    scatter(g, NULL, grad, n_rows, d, ids, n, 1, src, NULL);
    sg_arena_back(sg_graph_arena(g), mark);
}

void sg_param_scatter(sg_graph *g, sg_param *p, const int32_t *ids, size_t n, size_t per, const float *src,
                      const float *coef)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));

    if (!sg_param_trains(g, p) || p->dim[0] == 0)
        return;
    scatter(g, p, p->grad, (size_t)p->dim[0], p->count / (size_t)p->dim[0], ids, n, per, src, coef);
    sg_arena_back(sg_graph_arena(g), mark);
}
