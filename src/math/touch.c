/* touch.c - grouping of row ids by a stable radix sort, and the marks of sparse gradients. */
#include "math/touch.h"

#include <assert.h>
#include <string.h>

enum { DIGIT = 11, BINS = 1 << DIGIT };

/* One stable pass over `shift`: (id, place) pairs from a to b. */
static void radix_pass(const uint64_t *a, uint64_t *b, size_t n, int shift)
{
    uint32_t at[BINS] = {0};
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        at[a[i] >> shift & (BINS - 1)]++;
    for (int d = 0; d < BINS; d++) {
        const uint32_t here = at[d];

        at[d] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++)
        b[at[a[i] >> shift & (BINS - 1)]++] = a[i];
}

bool sg_group_ids(sg_graph *g, sg_id_groups *out, const int32_t *ids, size_t count)
{
    uint64_t *a = sg_scratch(g, count, sizeof *a); /* id in the high half, place in the low one */
    uint64_t *b = sg_scratch(g, count, sizeof *b);
    uint32_t *begin = sg_scratch(g, count + 1, sizeof *begin);
    uint32_t *place = sg_scratch(g, count, sizeof *place);
    int32_t *id = sg_scratch(g, count, sizeof *id);
    size_t n = 0, groups = 0;
    uint32_t most = 0;

    if (!a || !b || !begin || !place || !id || count > UINT32_MAX)
        return sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: grouping %zu ids", count) != NULL;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0)
            continue;
        a[n++] = (uint64_t)(uint32_t)ids[i] << 32 | i;
        most = (uint32_t)ids[i] > most ? (uint32_t)ids[i] : most;
    }
    for (int shift = 0; shift < 32 && most >> shift; shift += DIGIT) {
        uint64_t *swap = a;

        radix_pass(a, b, n, 32 + shift);
        a = b;
        b = swap;
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t here = (int32_t)(a[i] >> 32);

        if (i == 0 || here != id[groups - 1]) {
            id[groups] = here;
            begin[groups++] = (uint32_t)i;
        }
        place[i] = (uint32_t)a[i];
    }
    begin[groups] = (uint32_t)n;
    *out = (sg_id_groups){.n = groups, .id = id, .begin = begin, .place = place};
    return true;
}

static void start_row(sg_param *p, int32_t row)
{
    const size_t dim = p->count / (size_t)p->dim[0];

    assert(row >= 0 && row < p->dim[0]);
    p->is_touched[row] = 1;
    memset(p->grad + (size_t)row * dim, 0, dim * sizeof(float));
}

bool sg_param_touch(sg_graph *g, sg_param *p, const int32_t *ids, size_t n)
{
    size_t have = (size_t)p->n_touched, fresh = 0, to;
    int32_t *add;

    if (!p->sparse || !sg_param_learns(p) || n == 0)
        return true;
    if (!(add = sg_scratch(g, n, sizeof *add)))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p->is_touched[ids[i]])
            continue;
        start_row(p, ids[i]);
        add[fresh++] = ids[i];
    }
    /* both lists ascend: merge from the back, in place */
    to = have + fresh;
    p->n_touched = (int32_t)to;
    while (fresh > 0) {
        const bool old = have > 0 && p->touched[have - 1] > add[fresh - 1];

        p->touched[--to] = old ? p->touched[--have] : add[--fresh];
    }
    return true;
}

bool sg_param_touch_range(sg_graph *g, sg_param *p, int32_t begin, int32_t end)
{
    int32_t *ids;
    size_t n = 0;

    if (!p->sparse || !sg_param_learns(p) || begin >= end)
        return true;
    if (!(ids = sg_scratch(g, (size_t)(end - begin), sizeof *ids)))
        return false;
    for (int32_t i = begin; i < end; i++)
        if (!p->is_touched[i])
            ids[n++] = i;
    return sg_param_touch(g, p, ids, n);
}
