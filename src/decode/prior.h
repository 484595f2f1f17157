/* prior.h - what is known of items beside the model that decodes, for a beam search that adds it to their scores. */
#ifndef SG_DECODE_PRIOR_H
#define SG_DECODE_PRIOR_H

#include "base/arena.h"
#include "base/pool.h"
#include "index/catalogue.h"

typedef struct sg_prior {
    const float *node[SG_CATALOGUE_LEVELS_MAX +
                      1]; /* by level (batch, nodes): the largest prior of an item below the node */
} sg_prior;

/* items (batch, n_items), finite; everything lies in the arena. */
sg_status sg_prior_init(sg_prior *p, const sg_catalogue *c, int batch, const float *items, sg_pool *pool,
                        sg_arena *arena, sg_error *err);

#endif
