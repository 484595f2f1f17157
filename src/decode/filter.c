/* filter.c - the allow mask from the leaves up, and the paths of denied items.
 *
 * A prefix is dead when no item below it may be returned. For the mask that is one bit a node, made once a
 * batch. A user's denied items are few: a node above m of them is dead when it has exactly m allowed items,
 * and all other nodes need no look. */
#include "decode/filter.h"

#include "decode/select.h"
#include "index/bits.h"

#include <string.h>

enum { BLOCK = 512 };

typedef struct lift_job {
    const sg_catalogue *c;
    const sg_allowed *a;
    int level;
} lift_job;

static void lift_nodes(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const lift_job *j = ctx;

    sg_catalogue_lift(j->c, j->level, j->a->alive[j->level + 1], j->a->alive[j->level], (int32_t)begin,
                      (int32_t)end);
}

/* In order of items, whose leaves are read one after the other; runs of 8 that are not allowed are
 * skipped. */
static void mark_leaves(uint64_t *leaves, const sg_catalogue *c, const uint8_t *allow, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint64_t eight;

        if (n - i >= sizeof eight) {
            memcpy(&eight, allow + i, sizeof eight);
            if (eight == 0) {
                i += sizeof eight;
                continue;
            }
        }
        for (const size_t end = n - i < 8 ? n : i + 8; i < end; i++)
            if (allow[i]) {
                const int32_t leaf = sg_catalogue_leaf(c, (int32_t)i);

                if (leaf >= 0) /* a snapshot has free numbers */
                    sg_bits_set(leaves, (size_t)leaf);
            }
    }
}

sg_status sg_allowed_init(sg_allowed *a, const sg_catalogue *c, const uint8_t *allow, sg_pool *pool,
                          sg_arena *arena, sg_error *err)
{
    const int levels = sg_catalogue_levels(c);
    const size_t n = (size_t)sg_catalogue_nodes(c, levels);
    lift_job job = {c, a, 0};
    uint32_t sum = 0;

    *a = (sg_allowed){.any_mask = allow != NULL};
    if (!allow)
        return SG_OK;
    if (!(a->before = sg_arena_take_array(arena, n / BLOCK + 1, sizeof *a->before)))
        return sg_fail_memory(err, "allowed items");
    for (int l = levels; l >= 0; l--) {
        const size_t nodes = (size_t)sg_catalogue_nodes(c, l);

        if (!(a->alive[l] = sg_arena_take_zero(arena, nodes / 64 + 1, sizeof *a->alive[l])))
            return sg_fail_memory(err, "allowed items");
        job.level = l;
        if (l == levels)
            mark_leaves(a->alive[l], c, allow, (size_t)sg_catalogue_items(c));
        else
            sg_parallel_for(pool, nodes, 1 << 14, lift_nodes, &job); /* pieces own whole words */
    }
    for (size_t i = 0; i * BLOCK <= n; i++) {
        a->before[i] = sum;
        sum += sg_bits_rank(a->alive[levels], i * BLOCK, (i + 1) * BLOCK < n ? (i + 1) * BLOCK : n);
    }
    return SG_OK;
}

static uint32_t allowed_before(const sg_allowed *a, const uint64_t *leaves, int32_t leaf)
{
    const size_t block = (size_t)leaf / BLOCK;

    return a->before[block] + sg_bits_rank(leaves, block * BLOCK, (size_t)leaf);
}

int32_t sg_allowed_count(const sg_allowed *a, const sg_catalogue *c, int level, int32_t node)
{
    const uint64_t *leaves = a->alive[sg_catalogue_levels(c)];
    int32_t first, last;

    sg_catalogue_span(c, level, node, &first, &last);
    if (!a->any_mask)
        return last - first;
    return (int32_t)(allowed_before(a, leaves, last) - allowed_before(a, leaves, first));
}

void sg_denied_init(sg_denied *d, const sg_catalogue *c, const sg_allowed *a, const int32_t *item, int32_t n,
                    int32_t *node, uint64_t *spare)
{
    const int levels = sg_catalogue_levels(c);
    const int32_t n_items = sg_catalogue_items(c);
    size_t kept = 0;

    *d = (sg_denied){0, node};
    for (int32_t i = 0; i < n; i++) {
        const int32_t leaf = item[i] >= 0 && item[i] < n_items ? sg_catalogue_leaf(c, item[i]) : -1;

        if (leaf >= 0)
            spare[kept++] = UINT64_MAX - (uint64_t)leaf;
    }
    sg_key_sort(spare, kept); /* ascending leaves */
    for (size_t i = 0; i < kept; i++) {
        const int32_t leaf = (int32_t)(UINT64_MAX - spare[i]);

        if ((i > 0 && spare[i] == spare[i - 1]) ||
            (a->any_mask && !sg_bits_get(a->alive[levels], (size_t)leaf)))
            continue;
        node[levels] = leaf;
        for (int l = levels; l > 0; l--)
            node[l - 1] = sg_catalogue_parent(c, l, node[l]);
        node += levels + 1;
        d->n++;
    }
}
