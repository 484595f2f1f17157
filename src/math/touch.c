/* touch.c - grouping of row ids by counting or by a stable radix sort, and the marks of sparse gradients. */
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

typedef struct grouping {
    const int32_t *ids;
    size_t count;
    uint32_t most; /* of the ids */
    size_t n;      /* groups so far */
    int32_t *id;
    uint32_t *begin, *place, *group; /* as in sg_group_ids */
} grouping;

static bool no_room(sg_graph *g, size_t count)
{
    return sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: grouping %zu ids", count) != NULL;
}

/* By counting, for ids that are small beside the length of the list. */
static bool group_counted(sg_graph *g, grouping *w)
{
    uint32_t *next = sg_scratch(g, (size_t)w->most + 1, sizeof *next); /* place of an id, to be filled */
    uint32_t *number = sg_scratch(g, (size_t)w->most + 1, sizeof *number);
    uint32_t sum = 0;

    if (!next || !number)
        return no_room(g, w->count);
    memset(next, 0, ((size_t)w->most + 1) * sizeof *next);
    for (size_t i = 0; i < w->count; i++)
        if (w->ids[i] >= 0)
            next[w->ids[i]]++;
    for (uint32_t v = 0; v <= w->most; v++) {
        const uint32_t here = next[v];

        if (here == 0)
            continue;
        next[v] = w->begin[w->n] = sum;
        number[v] = (uint32_t)w->n;
        w->id[w->n++] = (int32_t)v;
        sum += here;
    }
    w->begin[w->n] = sum;
    for (size_t i = 0; i < w->count; i++) {
        if (w->ids[i] >= 0)
            w->place[next[w->ids[i]]++] = (uint32_t)i;
        if (w->group)
            w->group[i] = w->ids[i] < 0 ? UINT32_MAX : number[w->ids[i]];
    }
    return true;
}

/* By sorting pairs: id in the high half, place in the low one. */
static bool group_sorted(sg_graph *g, grouping *w)
{
    uint64_t *a = sg_scratch(g, w->count, sizeof *a);
    uint64_t *b = sg_scratch(g, w->count, sizeof *b);
    size_t n = 0;

    if (!a || !b)
        return no_room(g, w->count);
    for (size_t i = 0; i < w->count; i++) {
        if (w->ids[i] >= 0)
            a[n++] = (uint64_t)(uint32_t)w->ids[i] << 32 | i;
        else if (w->group)
            w->group[i] = UINT32_MAX;
    }
    for (int shift = 0; shift < 32 && w->most >> shift; shift += DIGIT) {
        uint64_t *swap = a;

        radix_pass(a, b, n, 32 + shift);
        a = b;
        b = swap;
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t here = (int32_t)(a[i] >> 32);

        if (i == 0 || here != w->id[w->n - 1]) {
            w->id[w->n] = here;
            w->begin[w->n++] = (uint32_t)i;
        }
        w->place[i] = (uint32_t)a[i];
        if (w->group)
            w->group[w->place[i]] = (uint32_t)(w->n - 1);
    }
    w->begin[w->n] = (uint32_t)n;
    return true;
}

bool sg_group_ids(sg_graph *g, sg_id_groups *out, const int32_t *ids, size_t count, uint32_t *group)
{
    grouping w = {.ids = ids, .count = count, .group = group};

    w.begin = sg_scratch(g, count + 1, sizeof *w.begin);
    w.place = sg_scratch(g, count, sizeof *w.place);
    w.id = sg_scratch(g, count, sizeof *w.id);
    if (!w.begin || !w.place || !w.id || count > UINT32_MAX)
        return no_room(g, count);
    for (size_t i = 0; i < count; i++)
        w.most = ids[i] > 0 && (uint32_t)ids[i] > w.most ? (uint32_t)ids[i] : w.most;
    if (!(w.most < count ? group_counted(g, &w) : group_sorted(g, &w)))
        return false;
    *out = (sg_id_groups){.n = w.n, .id = w.id, .begin = w.begin, .place = w.place};
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
