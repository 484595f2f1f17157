/* token_ids.h - a list of token numbers that grows. */
#ifndef SG_TEXT_TOKEN_IDS_H
#define SG_TEXT_TOKEN_IDS_H

#include "base/alloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_token_ids {
    int32_t *id; /* owned */
    size_t n, cap;
} sg_token_ids;

/* False: out of memory. */
static inline bool sg_token_ids_add(sg_token_ids *l, int32_t id)
{
    if (l->n == l->cap && !sg_grow(&l->id, &l->cap, l->n + 1, sizeof *l->id))
        return false;
    l->id[l->n++] = id;
    return true;
}

#endif
