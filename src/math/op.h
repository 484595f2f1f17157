/* op.h - what op files share: row shapes, grains, and the question "is a gradient wanted here". */
#ifndef SG_MATH_OP_H
#define SG_MATH_OP_H

#include "math/graph.h"
#include "math/kernels.h"

enum {
    SG_GRAIN = 16384
}; /* numbers a piece of row work: 64 KiB a stream, well above the cost of handing it out */

static inline size_t sg_width(const sg_tensor *x)
{
    return x->rank ? (size_t)x->dim[x->rank - 1] : 1;
}

static inline size_t sg_height(const sg_tensor *x) /* rows; 0 for an empty tensor */
{
    const size_t d = sg_width(x);

    return d ? x->count / d : 0;
}

static inline size_t sg_row_grain(size_t d)
{
    return d < SG_GRAIN ? SG_GRAIN / (d ? d : 1) : 1;
}

/* At most 64 pieces, for row work that keeps one partial sum of d numbers a piece. */
static inline size_t sg_sum_grain(size_t rows, size_t d)
{
    const size_t least = (rows + 63) / 64;
    const size_t grain = sg_row_grain(d);

    return grain > least ? grain : least;
}

static inline sg_tensor *sg_like(sg_graph *g, const sg_tensor *x)
{
    return sg_tensor_new(g, x->rank, x->dim);
}

static inline bool sg_wants(const sg_graph *g, const sg_tensor *x)
{
    return x && x->needs_grad && sg_graph_training(g);
}

/* "(3, 5)": for messages */
typedef struct sg_shape_text {
    char s[64];
} sg_shape_text;
sg_shape_text sg_shape_of(const sg_tensor *x);

static inline bool sg_same_shape(const sg_tensor *a, const sg_tensor *b)
{
    bool same = a->rank == b->rank;

    for (int i = 0; same && i < a->rank; i++)
        same = a->dim[i] == b->dim[i];
    return same;
}

/* What w is multiplied by: w itself, or where it is kept in few bits its numbers in step memory, until sg_bits_back. NULL (sticky)
 * when out of memory. */
typedef struct sg_bits {
    sg_param w;
    sg_arena_mark mark;
} sg_bits;
sg_param *sg_bits_of(sg_graph *g, sg_bits *room, sg_param *w);
void sg_bits_back(sg_graph *g, sg_bits *room, const sg_param *w); /* w as given to sg_bits_of */

/* out (d) += sum of the rows of x (rows, d), on any number of threads the same (math/sum_rows.c) */
void sg_sum_rows(sg_graph *g, float *out, const float *x, size_t rows, size_t d);
/* out (d) += part (pieces, d), in order */
void sg_join(float *out, const float *part, size_t pieces, size_t d);

/* y = x or y += x (math/elementwise.c) */
void sg_add_to(sg_graph *g, float *y, const float *x, size_t n, bool fresh);
/* The mask of the next dropout op of this step, for a share p in [0, 1] (math/dropout.c). */
sg_drop sg_drop_new(sg_graph *g, float p);
/* The same for any p: nothing is dropped (below 0) in inference; false, and the graph's error, outside [0, 1]. */
bool sg_drop_make(sg_graph *g, sg_drop *drop, const char *op, float p);

/* Row ids[i] of grad (rows, d) += row i of src; as sg_param_scatter, for any array (math/scatter.c) */
void sg_scatter_rows(sg_graph *g, float *grad, size_t d, const int32_t *ids, size_t n, const float *src);

#endif
