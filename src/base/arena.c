/* arena.c - a chain of blocks; reset merges them into one as large as the largest step so far. */
#include "base/arena.h"

#include "base/alloc.h"

#include <stdint.h>
#include <string.h>

typedef struct block {
    struct block *older;
    size_t bytes;
    size_t used;
    char *data;
} block;

struct sg_arena {
    block *newest;
    size_t total; /* taken since the reset */
    size_t peak;
};

static block *block_new(size_t bytes)
{
    size_t all;
    block *b;

    if (!sg_add(&all, bytes, 64) || !(b = sg_alloc(all)))
        return NULL;
    *b = (block){.bytes = bytes, .data = (char *)b + 64};
    return b;
}

sg_arena *sg_arena_new(size_t first_bytes)
{
    sg_arena *a = sg_alloc_zero(1, sizeof *a);

    if (a && first_bytes && !(a->newest = block_new(first_bytes))) {
        sg_free(a);
        return NULL;
    }
    return a;
}

static void drop_blocks(block *b, const block *keep)
{
    while (b != keep) {
        block *older = b->older;

        sg_free(b);
        b = older;
    }
}

void sg_arena_free(sg_arena *a)
{
    if (!a)
        return;
    drop_blocks(a->newest, NULL);
    sg_free(a);
}

void *sg_arena_take(sg_arena *a, size_t bytes)
{
    block *b = a->newest;
    void *p;

    if (bytes > SIZE_MAX / 4)
        return NULL;
    bytes = (bytes + 63) & ~(size_t)63;
    if (!b || b->bytes - b->used < bytes) {
        size_t want = b ? 2 * b->bytes : (size_t)1 << 16;

        if (want < bytes)
            want = bytes;
        if (!(b = block_new(want)) && !(b = block_new(bytes)))
            return NULL;
        b->older = a->newest;
        a->newest = b;
    }
    p = b->data + b->used;
    b->used += bytes;
    a->total += bytes;
    if (a->total > a->peak)
        a->peak = a->total;
    return p;
}

void *sg_arena_take_array(sg_arena *a, size_t count, size_t each)
{
    size_t bytes;

    return sg_mul(&bytes, count, each) ? sg_arena_take(a, bytes) : NULL;
}

void *sg_arena_take_zero(sg_arena *a, size_t count, size_t each)
{
    void *p = sg_arena_take_array(a, count, each);

    if (p)
        memset(p, 0, count * each);
    return p;
}

void sg_arena_reset(sg_arena *a)
{
    /* a block that a mark gave back has left only its trace in the peak */
    if (a->newest && (a->newest->older || a->newest->bytes < a->peak)) {
        block *one;

        drop_blocks(a->newest, NULL);
        one = block_new(a->peak + a->peak / 8);
        a->newest = one; /* NULL is fine: the next take tries again */
    } else if (a->newest) {
        a->newest->used = 0;
    }
    a->total = 0;
}

size_t sg_arena_used(const sg_arena *a)
{
    return a->total;
}

size_t sg_arena_peak(const sg_arena *a)
{
    return a->peak;
}

sg_arena_mark sg_arena_here(const sg_arena *a)
{
    return (sg_arena_mark){a->newest, a->newest ? a->newest->used : 0, a->total};
}

void sg_arena_back(sg_arena *a, sg_arena_mark mark)
{
    drop_blocks(a->newest, mark.block);
    a->newest = mark.block;
    if (a->newest)
        a->newest->used = mark.used;
    a->total = mark.total;
}
