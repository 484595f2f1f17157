/* filter.c - each filter is a question about one event and what was counted before. */
#include "data/filter.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <string.h>

sg_status sg_counts_init(sg_counts *c, size_t n_users, size_t n_items, sg_error *err)
{
    *c = (sg_counts){.n_users = n_users, .n_items = n_items};
    c->user = sg_alloc_zero(n_users, sizeof *c->user);
    c->item = sg_alloc_zero(n_items, sizeof *c->item);
    if (c->user && c->item)
        return SG_OK;
    sg_counts_fini(c);
    return sg_fail_memory(err, "counts of users and items");
}

void sg_counts_fini(sg_counts *c)
{
    sg_free(c->user);
    sg_free(c->item);
    *c = (sg_counts){0};
}

static inline void count_event(sg_counts *c, const sg_event *e)
{
    c->user[e->user]++;
    c->item[e->item]++;
}

static void clear(sg_counts *c)
{
    memset(c->user, 0, c->n_users * sizeof *c->user);
    memset(c->item, 0, c->n_items * sizeof *c->item);
}

sg_status sg_counts_take(sg_counts *c, sg_events *e, sg_error *err)
{
    const sg_event *batch;
    sg_status st;
    size_t n;

    clear(c);
    sg_events_rewind(e);
    while (!(st = sg_events_next(e, &batch, &n, err)) && n)
        for (size_t i = 0; i < n; i++)
            count_event(c, &batch[i]);
    sg_events_rewind(e);
    return st;
}

size_t sg_counts_left(const uint32_t *count, size_t n)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        left += count[i] > 0;
    return left;
}

/* Events of a user lie together, so that the last user of an item tells whether this one has had it. */
static bool keep_first(void *ctx, const sg_event *e)
{
    int32_t *last_user = ctx;
    const bool first = last_user[e->item] != e->user;

    last_user[e->item] = e->user;
    return first;
}

sg_status sg_filter_dedup(sg_events *e, size_t n_items, sg_error *err)
{
    int32_t *last_user = sg_alloc_array(n_items, sizeof *last_user);
    sg_status st;

    if (!last_user)
        return sg_fail_memory(err, "last user of each item");
    memset(last_user, 0xff, n_items * sizeof *last_user);
    st = sg_events_filter(e, keep_first, last_user, err);
    sg_free(last_user);
    return st;
}

struct core {
    uint32_t user_least, item_least;
    const sg_counts *before;
    sg_counts *left;
};

static bool keep_core(void *ctx, const sg_event *e)
{
    const struct core *c = ctx;

    if (c->before->user[e->user] < c->user_least || c->before->item[e->item] < c->item_least)
        return false;
    count_event(c->left, e);
    return true;
}

sg_status sg_filter_core(sg_events *e, sg_counts *c, int core_user, int core_item, bool once, int *passes,
                         sg_error *err)
{
    struct core core = {.user_least = core_user > 0 ? (uint32_t)core_user : 0,
                        .item_least = core_item > 0 ? (uint32_t)core_item : 0};
    sg_counts next;
    uint64_t before;
    sg_status st = sg_counts_init(&next, c->n_users, c->n_items, err);

    *passes = 0;
    if (st)
        return st;
    core.before = c;
    core.left = &next;
    do {
        before = sg_events_count(e);
        clear(&next);
        if ((st = sg_events_filter(e, keep_core, &core, err)))
            break;
        const sg_counts swap = *c;
        *c = next;
        next = swap;
        ++*passes;
    } while (!once && sg_events_count(e) < before);
    sg_counts_fini(&next);
    return st;
}

struct length {
    uint32_t least, most;
    sg_counts *counts;
    int32_t user;
    uint32_t at; /* place of the event in its user's sequence */
};

static bool keep_length(void *ctx, const sg_event *e)
{
    struct length *l = ctx;
    const uint32_t n = l->counts->user[e->user];

    l->at = e->user == l->user ? l->at + 1 : 0;
    l->user = e->user;
    return n >= l->least && (!l->most || n - l->at <= l->most);
}

sg_status sg_filter_length(sg_events *e, sg_counts *c, int least, int most, sg_error *err)
{
    struct length l = {.least = least > 0 ? (uint32_t)least : 0,
                       .most = most > 0 ? (uint32_t)most : 0,
                       .counts = c,
                       .user = -1};
    const sg_status st = sg_events_filter(e, keep_length, &l, err);

    return st ? st : sg_counts_take(c, e, err);
}

enum { CASE_LEAST = 3 }; /* events of a user of whom leave-one-out asks */

struct cold {
    double share;
    uint64_t seed;
    const sg_counts *before;
    uint32_t least; /* 0: all but the last events of users; else the last events of users with fewer */
    int32_t user;
    uint32_t at; /* place of the event in its user's sequence */
};

static bool keep_cold(void *ctx, const sg_event *e)
{
    struct cold *c = ctx;

    c->at = e->user == c->user ? c->at + 1 : 0;
    c->user = e->user;
    if (sg_rng_double(c->seed, SG_RNG_COLD, 0, (uint64_t)e->item) >= c->share)
        return true;
    return c->least ? c->before->user[e->user] >= c->least : c->at + 1 == c->before->user[e->user];
}

sg_status sg_filter_cold(sg_events *e, sg_counts *c, double share, uint64_t seed, sg_error *err)
{
    sg_status st = SG_OK;

    for (int pass = 0; pass < 2 && !st; pass++) {
        struct cold cold = {
            .share = share, .seed = seed, .before = c, .least = pass ? CASE_LEAST : 0, .user = -1};

        if (!(st = sg_events_filter(e, keep_cold, &cold, err)))
            st = sg_counts_take(c, e, err);
    }
    return st;
}
