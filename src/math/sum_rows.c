/* sum_rows.c - out (d) += sum over rows of x (rows, d): the gradient of everything that is added to every row.
 *
 * Rows are cut into at most 64 pieces; each sums into its own row of scratch, and the pieces are joined in order. */
#include "math/op.h"

#include <string.h>

typedef struct work {
    float *part;
    const float *x;
    size_t d;
} work;

static void body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    float *sum = w->part + piece * w->d;

    memset(sum, 0, w->d * sizeof *sum);
    for (size_t r = begin; r < end; r++)
        sg_kernels_best()->add(sum, sum, w->x + r * w->d, w->d);
}

void sg_join(float *out, const float *part, size_t pieces, size_t d)
{
    for (size_t p = 0; p < pieces; p++)
        sg_kernels_best()->add(out, out, part + p * d, d);
}

void sg_sum_rows(sg_graph *g, float *out, const float *x, size_t rows, size_t d)
{
    const size_t grain = sg_sum_grain(rows, d);
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    float *part = sg_scratch(g, sg_pieces(rows, grain) * d, sizeof *part);

    if (!part)
        return;
    sg_parallel_for(sg_graph_pool(g), rows, grain, body, &(work){part, x, d});
    sg_join(out, part, sg_pieces(rows, grain), d);
    sg_arena_back(sg_graph_arena(g), mark);
}
