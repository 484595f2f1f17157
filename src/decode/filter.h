/* filter.h - which prefixes still lead to an item that may be returned. */
#ifndef SG_DECODE_FILTER_H
#define SG_DECODE_FILTER_H

#include "base/arena.h"
#include "base/pool.h"
#include "index/catalogue.h"

/* One for a batch: the allow mask, as one bit a prefix of each level. */
typedef struct sg_allowed {
    bool any_mask; /* false: everything is allowed and the rest is unset */
    uint64_t
        *alive[SG_CATALOGUE_LEVELS_MAX + 1]; /* by level: bit v set when an allowed item is below node v */
    uint32_t *before;                        /* allowed leaves before each block of 512 */
} sg_allowed;
sg_status sg_allowed_init(sg_allowed *a, const sg_catalogue *c, const uint8_t *allow, sg_pool *pool,
                          sg_arena *arena, sg_error *err);
int32_t sg_allowed_count(const sg_allowed *a, const sg_catalogue *c, int level,
                         int32_t node); /* allowed items below it */

/* One a user: the denied items that are otherwise allowed, by ascending leaf, with the node each lies under. */
typedef struct sg_denied {
    int32_t n;
    int32_t *node; /* (n, levels + 1): the node of each level */
} sg_denied;
/* node has room for (n, levels + 1); items out of range and repeats are left out. spare (n). */
void sg_denied_init(sg_denied *d, const sg_catalogue *c, const sg_allowed *a, const int32_t *item, int32_t n,
                    int32_t *node, uint64_t *spare);

#endif
