/* touch.h - which rows of a table an op reads, and the marks of a sparse gradient.
 *
 * A scatter of row gradients is made deterministic and parallel by grouping: every table row is owned by one piece,
 * which adds the contributions of that row in the order they stand in the batch. */
#ifndef SG_MATH_TOUCH_H
#define SG_MATH_TOUCH_H

#include "math/graph.h"

/* The places of a list of ids, gathered by id. */
typedef struct sg_id_groups {
    size_t n;              /* different ids */
    const int32_t *id;     /* (n), ascending */
    const uint32_t *begin; /* (n + 1): group i is place[begin[i]] .. place[begin[i + 1]] */
    const uint32_t *place; /* positions in the list, ascending inside a group */
} sg_id_groups;

/* Groups `count` ids (-1 skipped) in step memory; group, unless NULL, gets (count): which group each one is in, UINT32_MAX
 * for -1. False when out of memory (sticky). */
bool sg_group_ids(sg_graph *g, sg_id_groups *out, const int32_t *ids, size_t count, uint32_t *group);

/* Marks table rows `ids` (ascending, each once) as having a gradient in this step; rows marked for the first time start
 * at zero. Nothing to do for dense tables. Call it before adding to p->grad; grad rows of a sparse table are garbage
 * before they are touched. False when out of memory (sticky). */
bool sg_param_touch(sg_graph *g, sg_param *p, const int32_t *ids, size_t n);
bool sg_param_touch_range(sg_graph *g, sg_param *p, int32_t begin, int32_t end);

/* Whether backward owes this parameter a gradient. */
static inline bool sg_param_learns(const sg_param *p)
{
    return p && p->grad && !p->frozen;
}

#endif
