/* table.c - the rows of a tensor as a table for ops that take one: item vectors that are computed in the step. The op writes its
 * gradient where the tensor's lies, so that it goes on from there. */
#include "math/op.h"

#include <string.h>

sg_param *sg_table(sg_graph *g, sg_tensor *x)
{
    sg_param *p;

    if (!x)
        return NULL;
    if (x->rank != 2)
        return sg_graph_fail(g, SG_ERR_USAGE, "table: expected 2 dimensions, found %s", sg_shape_of(x).s);
    if (x->param)
        return x->param;
    if (!(p = sg_scratch(g, 1, sizeof *p)))
        return NULL;
    *p = (sg_param){.name = "table",
                    .rank = 2,
                    .dim = {x->dim[0], x->dim[1]},
                    .count = x->count,
                    .value = x->data,
                    .mapped = true};
    if (sg_wants(g, x) && !(p->grad = sg_grad(g, x)))
        return NULL;
    return p;
}
