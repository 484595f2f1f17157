/* stats.c - counts over the events of a dataset: a few passes, memory by users and items only. */
#include "data/stats.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

typedef struct counter {
    const sg_dataset *data;
    int64_t *item_events; /* owned (n_items) */
    int64_t *user_events; /* owned (n_users) */
    int32_t *last_user;   /* owned (n_items): 1 + the user that had the item last, while walking user by user */
} counter;

static int rising(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Sorts the counts. */
static json_t *spread(int64_t *count, int32_t n)
{
    double sum = 0;

    qsort(count, (size_t)n, sizeof *count, rising);
    for (int32_t i = 0; i < n; i++)
        sum += (double)count[i];
    return json_pack("{s:f, s:I, s:I, s:I, s:I}", "mean", n ? sum / n : 0, "median", n ? count[n / 2] : 0, "p90",
                     n ? count[(int64_t)n * 9 / 10] : 0, "least", n ? count[0] : 0, "most", n ? count[n - 1] : 0);
}

/* Over sorted counts: 0 all equal, 1 one item has everything. */
static double gini(const int64_t *count, int32_t n)
{
    double sum = 0, weighted = 0;

    for (int32_t i = 0; i < n; i++) {
        sum += (double)count[i];
        weighted += (double)(i + 1) * (double)count[i];
    }
    return sum > 0 ? 2 * weighted / (n * sum) - (n + 1.0) / n : 0;
}

static double top_share(const int64_t *count, int32_t n, double share)
{
    const int32_t top = (int32_t)(n * share) + 1;
    double sum = 0, best = 0;

    for (int32_t i = 0; i < n; i++) {
        sum += (double)count[i];
        best += i >= n - top ? (double)count[i] : 0;
    }
    return sum > 0 ? best / sum : 0;
}

/* ---- events one by one -------------------------------------------------------------------------------------------------- */
typedef struct walk {
    int64_t pairs, repeats, ties;
    int64_t cases, seen, cold, early;
    int64_t first, last, training_ends; /* seconds */
} walk;

/* Leave-one-out: users with three events or more have a test target, and all but their last two events train. */
static bool has_case(const sg_dataset *d, int32_t u)
{
    return d->user_offsets[u + 1] - d->user_offsets[u] >= 3;
}

static void walk_events(walk *w, counter *c)
{
    const sg_dataset *d = c->data;

    *w = (walk){.first = INT64_MAX, .last = INT64_MIN, .training_ends = INT64_MIN};
    for (int32_t u = 0; u < d->n_users; u++) {
        const int64_t begin = d->user_offsets[u], end = d->user_offsets[u + 1];
        const int64_t train_end = has_case(d, u) ? end - 2 : end;
        bool seen = false;

        c->user_events[u] = end - begin;
        for (int64_t e = begin; e < end; e++) {
            const int32_t item = d->item[e];

            seen = c->last_user[item] == u + 1;
            w->repeats += seen;
            w->pairs += !seen;
            c->last_user[item] = u + 1;
            c->item_events[item]++;
            if (!d->timestamp)
                continue;
            w->ties += e > begin && d->timestamp[e] == d->timestamp[e - 1];
            w->first = d->timestamp[e] < w->first ? d->timestamp[e] : w->first;
            w->last = d->timestamp[e] > w->last ? d->timestamp[e] : w->last;
            if (e < train_end && d->timestamp[e] > w->training_ends)
                w->training_ends = d->timestamp[e];
        }
        if (has_case(d, u)) {
            w->cases++;
            w->seen += seen; /* of the last event */
        }
    }
}

/* What needs to know all of training first. trained (n_items) is scratch. */
static void walk_targets(walk *w, const sg_dataset *d, uint8_t *trained)
{
    memset(trained, 0, (size_t)d->n_items);
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1] - (has_case(d, u) ? 2 : 0); e++)
            trained[d->item[e]] = 1;
    for (int32_t u = 0; u < d->n_users; u++)
        if (has_case(d, u)) {
            const int64_t target = d->user_offsets[u + 1] - 1;

            w->cold += !trained[d->item[target]];
            w->early += d->timestamp && d->timestamp[target] < w->training_ends;
        }
}

/* ---- k-core --------------------------------------------------------------------------------------------------------------- */
/* Drops users and items with fewer than k events until nothing changes. */
static json_t *core(counter *c, int k)
{
    const sg_dataset *d = c->data;
    int32_t users = 0, items = 0;
    int64_t events = 0;

    memset(c->item_events, 0, (size_t)d->n_items * sizeof *c->item_events);
    for (int32_t u = 0; u < d->n_users; u++) {
        c->user_events[u] = d->user_offsets[u + 1] - d->user_offsets[u];
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++)
            c->item_events[d->item[e]]++;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t u = 0; u < d->n_users; u++) {
            int64_t left = 0;

            if (c->user_events[u] == 0)
                continue;
            for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++)
                left += c->item_events[d->item[e]] >= k;
            if (left >= k) {
                c->user_events[u] = left;
                continue;
            }
            for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++) {
                changed |= c->item_events[d->item[e]] == k; /* this item falls below k now */
                c->item_events[d->item[e]]--;
            }
            c->user_events[u] = 0;
            changed = true;
        }
    }
    for (int32_t u = 0; u < d->n_users; u++) {
        int64_t left = 0;

        for (int64_t e = d->user_offsets[u]; c->user_events[u] && e < d->user_offsets[u + 1]; e++)
            left += c->item_events[d->item[e]] >= k;
        users += left > 0;
        events += left;
    }
    for (int32_t i = 0; i < d->n_items; i++)
        items += c->item_events[i] >= k;
    return json_pack("{s:i, s:i, s:i, s:I}", "k", k, "users", (int)users, "items", (int)items, "events", (json_int_t)events);
}

static json_t *share(int64_t part, int64_t all)
{
    return json_real(all ? (double)part / (double)all : 0);
}

sg_status sg_dataset_stats(json_t **report, const sg_dataset *d, sg_error *err)
{
    static const int cores[] = {2, 3, 5, 10};
    counter c = {.data = d,
                 .item_events = sg_alloc_zero((size_t)d->n_items, sizeof(int64_t)),
                 .user_events = sg_alloc_zero((size_t)d->n_users, sizeof(int64_t)),
                 .last_user = sg_alloc_zero((size_t)d->n_items, sizeof(int32_t))};
    uint8_t *trained = sg_alloc_zero((size_t)d->n_items, 1);
    json_t *out = json_object(), *items, *list = json_array();
    int bad = 0;
    walk w;

    *report = NULL;
    if (!c.item_events || !c.user_events || !c.last_user || !trained || !out || !list) {
        json_decref(out);
        out = NULL;
        goto done;
    }
    walk_events(&w, &c);
    walk_targets(&w, d, trained);
    bad |= json_object_set_new(out, "name", json_string(d->name));
    bad |= json_object_set_new(out, "users", json_integer(d->n_users));
    bad |= json_object_set_new(out, "items", json_integer(d->n_items));
    bad |= json_object_set_new(out, "events", json_integer((json_int_t)d->n_events));
    bad |= json_object_set_new(
        out, "density", json_real(d->n_users && d->n_items ? (double)w.pairs / ((double)d->n_users * (double)d->n_items) : 0));
    bad |= json_object_set_new(out, "user_events", spread(c.user_events, d->n_users));
    bad |= json_object_set_new(out, "item_events", items = spread(c.item_events, d->n_items));
    bad |= json_object_set_new(items, "gini", json_real(gini(c.item_events, d->n_items)));
    bad |= json_object_set_new(items, "top_percent", json_real(top_share(c.item_events, d->n_items, 0.01)));
    bad |= json_object_set_new(out, "repeats", share(w.repeats, d->n_events));
    if (d->timestamp && d->n_events)
        bad |= json_object_set_new(out, "time",
                                   json_pack("{s:I, s:I, s:f, s:o}", "first", (json_int_t)w.first, "last", (json_int_t)w.last, "days",
                                             ((double)w.last - (double)w.first) / 86400, "ties", share(w.ties, d->n_events)));
    bad |= json_object_set_new(out, "leave_one_out",
                               json_pack("{s:I, s:o, s:o, s:o*}", "cases", (json_int_t)w.cases, "targets_seen_before",
                                         share(w.seen, w.cases), "targets_without_training_event", share(w.cold, w.cases),
                                         "targets_before_training_ends", d->timestamp ? share(w.early, w.cases) : NULL));
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        bad |= json_array_append_new(list, core(&c, cores[i]));
    bad |= json_object_set(out, "k_core", list);
    if (bad) {
        json_decref(out);
        out = NULL;
    }
done:
    json_decref(list);
    sg_free(c.item_events);
    sg_free(c.user_events);
    sg_free(c.last_user);
    sg_free(trained);
    *report = out;
    return out ? SG_OK : sg_fail_memory(err, "statistics");
}
