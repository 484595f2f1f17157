/* scatter.c - rows added into the gradient of a table, by row number.
 *
 * The numbers are grouped (math/touch.h), so that every row of the table is written by one thread, which adds in the order
 * of the batch. */
#include "math/op.h"
#include "math/touch.h"

typedef struct work {
    float *grad;
    const sg_id_groups *groups;
    size_t d, per;
    const float *src, *coef;
} work;

static void body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_kernels *k = sg_kernels_best();

    for (size_t i = begin; i < end; i++) {
        float *to = w->grad + (size_t)w->groups->id[i] * w->d;

        for (uint32_t j = w->groups->begin[i]; j < w->groups->begin[i + 1]; j++) {
            const size_t place = w->groups->place[j];
            const float *from = w->src + place / w->per * w->d;

            if (w->coef)
                k->axpy(to, w->coef[place], from, w->d);
            else
                k->add(to, to, from, w->d);
        }
    }
}

static void run(sg_graph *g, const work *w, size_t n)
{
    const size_t each = w->groups->n ? 1 + n / w->groups->n : 1; /* places a row, about */

    sg_parallel_for(sg_graph_pool(g), w->groups->n, sg_row_grain(w->d * each), body, (void *)w);
}

void sg_scatter_rows(sg_graph *g, float *grad, size_t d, const int32_t *ids, size_t n, const float *src)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    sg_id_groups groups;

    if (!sg_group_ids(g, &groups, ids, n, NULL))
        return;
    run(g, &(work){grad, &groups, d, 1, src, NULL}, n);
    sg_arena_back(sg_graph_arena(g), mark);
}

void sg_param_scatter(sg_graph *g, sg_param *p, const int32_t *ids, size_t n, size_t per, const float *src,
                      const float *coef)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    sg_id_groups groups;

    if (!sg_param_trains(g, p) || p->dim[0] == 0 || !sg_group_ids(g, &groups, ids, n, NULL) ||
        !sg_param_touch(g, p, groups.id, groups.n))
        return;
    run(g, &(work){p->grad, &groups, p->count / (size_t)p->dim[0], per, src, coef}, n);
    sg_arena_back(sg_graph_arena(g), mark);
}
