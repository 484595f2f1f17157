/* embed.c - rows of a table by number, one or the sum of several an output row; number -1 stands for nothing.
 *
 * ids (n, k), table (rows, d), y (n, d): y_i = sum_j table[ids_ij]. The gradient is scattered into the rows that were
 * read (math/scatter.c). */
#include "math/op.h"

#include <string.h>

typedef struct saved_embed {
    sg_param *table;
    int32_t *ids;
    size_t n, k;
} saved_embed;

typedef struct work {
    const saved_embed *s;
    float *y;
    size_t d;
} work;

static void body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const saved_embed *s = w->s;
    const sg_kernels *kernels = sg_kernels_best();

    for (size_t i = begin; i < end; i++) {
        float *y = w->y + i * w->d;
        bool empty = true;

        for (size_t j = 0; j < s->k; j++) {
            const int32_t id = s->ids[i * s->k + j];
            const float *row = s->table->value + (id < 0 ? 0 : (size_t)id) * w->d;

            if (id < 0)
                continue;
            if (empty)
                memcpy(y, row, w->d * sizeof *y);
            else
                kernels->add(y, y, row, w->d);
            empty = false;
        }
        if (empty)
            memset(y, 0, w->d * sizeof *y);
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_embed *s = saved;

    sg_param_scatter(g, s->table, s->ids, s->n * s->k, s->k, out->grad, NULL);
}

sg_tensor *sg_embed_bag(sg_graph *g, sg_param *table, const int32_t *ids, int n, int k)
{
    const size_t n_ids = (size_t)n * (size_t)k;
    saved_embed *s;
    sg_tensor *y;

    if (!table || table->rank < 2)
        return table ? sg_graph_fail(g, SG_ERR_USAGE, "embed '%s': expected a table, found a vector",
                                     table->name)
                     : NULL;
    const size_t d = table->count / (size_t)(table->dim[0] ? table->dim[0] : 1);
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < -1 || ids[i] >= table->dim[0])
            return sg_graph_fail(g, SG_ERR_USAGE, "embed '%s': expected a row number from -1 to %d, found %d",
                                 table->name, table->dim[0] - 1, ids[i]);
    if (!(y = sg_tensor_2d(g, n, (int)d)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_embed){table, NULL, (size_t)n, (size_t)k};
    if (!(s->ids = sg_scratch(g, n_ids, sizeof *s->ids)))
        return NULL;
    if (n_ids)
        memcpy(s->ids, ids, n_ids * sizeof *ids);
    sg_parallel_for(sg_graph_pool(g), (size_t)n, sg_row_grain(d * s->k), body, &(work){s, y->data, d});
    if (sg_param_trains(g, table))
        sg_tape(g, y, backward, s);
    return y;
}

sg_tensor *sg_embed(sg_graph *g, sg_param *table, const int32_t *ids, int n)
{
    return sg_embed_bag(g, table, ids, n, 1);
}
