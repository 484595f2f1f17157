/* arena.h - step memory: take as you go, reset at once. After the first steps it holds what a step needs and calls
 * no malloc any more: blocks are chained while growing and merged into one at the next reset. Not thread-safe. */
#ifndef SG_BASE_ARENA_H
#define SG_BASE_ARENA_H

#include <stddef.h>

typedef struct sg_arena sg_arena;

sg_arena *sg_arena_new(size_t first_bytes); /* NULL when out of memory */
void sg_arena_free(sg_arena *a);
void *sg_arena_take(sg_arena *a, size_t bytes); /* 64-byte aligned, uninitialised; NULL when out of memory */
void *sg_arena_take_array(sg_arena *a, size_t count, size_t each); /* NULL on overflow too */
void *sg_arena_take_zero(sg_arena *a, size_t count, size_t each);
void sg_arena_reset(sg_arena *a);        /* everything taken is gone */
size_t sg_arena_used(const sg_arena *a); /* bytes taken since the reset */
size_t sg_arena_peak(const sg_arena *a); /* most bytes ever taken between two resets */

/* A mark gives back what was taken after it: scratch inside a step. */
typedef struct sg_arena_mark {
    void *block;
    size_t used;
    size_t total;
} sg_arena_mark;
sg_arena_mark sg_arena_here(const sg_arena *a);
void sg_arena_back(sg_arena *a, sg_arena_mark mark);

#endif
