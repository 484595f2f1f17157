/* stats.c - a few passes over the columns; memory is a few numbers per user and item. */
#include "data/stats.h"

#include "base/alloc.h"
#include "data/split.h"
#include "data/vocab.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 1 << 16, CORE_LEAST = 2, CORE_MOST = 10 };

/* Counts in ascending order without sorting the many small ones. */
typedef struct tally {
    uint64_t *small; /* owned (SMALL): how often each value below SMALL occurs */
    int64_t *large;  /* owned: the others, ascending */
    size_t n_large;
    uint64_t n;
    double sum;
} tally;

typedef struct stats {
    const sg_dataset *d;
    sg_split *s; /* owned: leave-one-out */
    int64_t *item_count, *item_train, *item_valid,
        *item_test;                 /* owned (n_items): events in all, in each part */
    int32_t *stamp;                 /* owned (n_items): last user that had the item, + 1 */
    uint8_t *dead_user, *dead_item; /* owned */
    json_t *out, *notes;            /* owned */
} stats;

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void tally_free(tally *t)
{
    sg_free(t->small);
    sg_free(t->large);
    *t = (tally){0};
}

/* Of value[i], or of the differences value[i + 1] - value[i]. */
static bool tally_make(tally *t, const int64_t *value, size_t n, bool differences)
{
    size_t n_large = 0;

    *t = (tally){.small = sg_alloc_zero(SMALL, sizeof *t->small), .n = n};
    if (!t->small)
        return false;
    for (size_t i = 0; i < n; i++) {
        const int64_t v = differences ? value[i + 1] - value[i] : value[i];

        t->sum += (double)v;
        if (v < SMALL)
            t->small[v]++;
        else
            n_large++;
    }
    if (!(t->large = sg_alloc_array(n_large, sizeof *t->large)))
        return false;
    for (size_t i = 0; n_large && i < n; i++) {
        const int64_t v = differences ? value[i + 1] - value[i] : value[i];

        if (v >= SMALL)
            t->large[t->n_large++] = v;
    }
    if (n_large)
        qsort(t->large, n_large, sizeof *t->large, ascending);
    return true;
}

/* The value of rank r (from 0). */
static int64_t tally_at(const tally *t, uint64_t r)
{
    uint64_t before = 0;

    for (int64_t v = 0; v < SMALL; v++)
        if ((before += t->small[v]) > r)
            return v;
    return t->large[r - before];
}

/* The value of rank floor(q n), from 0: the upper one of two middle ones. */
static int64_t quantile(const tally *t, double q)
{
    const uint64_t r = (uint64_t)(q * (double)t->n);

    return tally_at(t, r < t->n ? r : t->n - 1);
}

static json_t *spread(const tally *t)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mean", t->sum / (double)t->n, "median",
                     (json_int_t)quantile(t, 0.5), "least", (json_int_t)tally_at(t, 0), "p5",
                     (json_int_t)quantile(t, 0.05), "p25", (json_int_t)quantile(t, 0.25), "p75",
                     (json_int_t)quantile(t, 0.75), "p90", (json_int_t)quantile(t, 0.9), "p99",
                     (json_int_t)quantile(t, 0.99), "most", (json_int_t)tally_at(t, t->n - 1));
}

/* Gini = sum_i (2 i - n - 1) x_i / (n sum x), x ascending, i from 1; shares of the largest n / 100 and n / 10, rounded up. */
static int put_popularity(json_t *o, const tally *t)
{
    const double n = (double)t->n;
    const uint64_t top1 = (t->n + 99) / 100, top10 = (t->n + 9) / 10;
    double gini = 0, share1 = 0, share10 = 0;
    uint64_t rank = 0;
    int failed = 0;

    for (size_t k = 0; k < SMALL + t->n_large; k++) {
        const double v = k < SMALL ? (double)k : (double)t->large[k - SMALL];
        const uint64_t many = k < SMALL ? t->small[k] : 1, end = rank + many;

        if (!many)
            continue;
        /* ranks rank + 1 .. end: the sum of (2 i - n - 1) over them */
        gini += v * (double)many * ((double)(rank + 1) + (double)end - n - 1);
        share1 += v * (double)(end > t->n - top1 ? end - (rank > t->n - top1 ? rank : t->n - top1) : 0);
        share10 += v * (double)(end > t->n - top10 ? end - (rank > t->n - top10 ? rank : t->n - top10) : 0);
        rank = end;
    }
    failed |= json_object_set_new(o, "gini", json_real(gini / (n * t->sum)));
    failed |= json_object_set_new(o, "top_percent", json_real(share1 / t->sum));
    failed |= json_object_set_new(o, "top_ten_percent", json_real(share10 / t->sum));
    failed |= json_object_set_new(o, "never", json_integer((json_int_t)t->small[0]));
    return failed;
}

static sg_status note(stats *s, sg_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static sg_status note(stats *s, sg_error *err, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return json_array_append_new(s->notes, json_string(text)) ? sg_fail_memory(err, "statistics") : SG_OK;
}

static sg_status put(stats *s, const char *key, json_t *value, sg_error *err)
{
    return json_object_set_new(s->out, key, value) ? sg_fail_memory(err, "statistics") : SG_OK;
}

static sg_status put_spreads(stats *s, sg_error *err)
{
    const sg_dataset *d = s->d;
    tally users = {0}, items = {0};
    sg_status st = SG_OK;

    for (int64_t e = 0; e < d->n_events; e++)
        s->item_count[d->item[e]]++;
    if (!tally_make(&users, d->user_offsets, (size_t)d->n_users, true) ||
        !tally_make(&items, s->item_count, (size_t)d->n_items, false))
        st = sg_fail_memory(err, "statistics");
    if (!st && !(st = put(s, "user_events", spread(&users), err)) &&
        !(st = put(s, "item_events", spread(&items), err)) &&
        put_popularity(json_object_get(s->out, "item_events"), &items))
        st = sg_fail_memory(err, "statistics");
    tally_free(&users);
    tally_free(&items);
    return st;
}

static sg_status put_time(stats *s, sg_error *err)
{
    const sg_dataset *d = s->d;
    int64_t ties = 0, users = 0, first = INT64_MAX, last = INT64_MIN;
    sg_status st;

    if (!d->timestamp)
        return note(
            s, err,
            "there are no timestamps: events are in the order of the source, and a time split is impossible");
    for (int32_t u = 0; u < d->n_users; u++) {
        const int64_t begin = d->user_offsets[u], end = d->user_offsets[u + 1], before = ties;

        if (begin == end)
            continue;
        first = d->timestamp[begin] < first ? d->timestamp[begin] : first;
        last = d->timestamp[end - 1] > last ? d->timestamp[end - 1] : last;
        for (int64_t e = begin + 1; e < end; e++)
            ties += d->timestamp[e] == d->timestamp[e - 1];
        users += ties > before;
    }
    const double share = (double)ties / (double)d->n_events, days = ((double)last - (double)first) / 86400;
    if ((st = put(s, "time",
                  json_pack("{s:I, s:I, s:f, s:f, s:I}", "first", (json_int_t)first, "last", (json_int_t)last,
                            "days", days, "ties", share, "ties_users", (json_int_t)users),
                  err)))
        return st;
    if (share > 0.01)
        return note(s, err,
                    "%.1f %% of the events have the same time as the one before: there the order is that of "
                    "the source, and "
                    "results depend on it",
                    100 * share);
    return SG_OK;
}

static sg_status put_repeats(stats *s, sg_error *err)
{
    const sg_dataset *d = s->d;
    int64_t repeats = 0, adjacent = 0, users = 0;

    for (int32_t u = 0; u < d->n_users; u++) {
        const int64_t before = repeats;

        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++) {
            repeats += s->stamp[d->item[e]] == u + 1;
            adjacent += e > d->user_offsets[u] && d->item[e] == d->item[e - 1];
            s->stamp[d->item[e]] = u + 1;
        }
        users += repeats > before;
    }
    sg_status st;
    if ((st = put(s, "repeats", json_real((double)repeats / (double)d->n_events), err)) ||
        (st = put(s, "repeats_adjacent", json_real((double)adjacent / (double)d->n_events), err)) ||
        (st = put(s, "repeats_users", json_integer((json_int_t)users), err)))
        return st;
    return put(s, "density",
               json_real((double)(d->n_events - repeats) / ((double)d->n_users * (double)d->n_items)), err);
}

/* Test targets that lie in their own context. */
static int64_t count_seen(stats *s)
{
    const sg_dataset *d = s->d;
    int64_t seen = 0;

    memset(s->stamp, 0, (size_t)d->n_items * sizeof *s->stamp);
    for (size_t i = 0; i < s->s->n_test; i++) {
        const sg_case *c = &s->s->test[i];

        for (int64_t e = c->begin; e < c->end; e++)
            s->stamp[d->item[e]] = c->user + 1;
        seen += s->stamp[d->item[c->target_begin]] == c->user + 1;
    }
    return seen;
}

static json_t *share(int64_t part, size_t all)
{
    return json_real(all ? (double)part / (double)all : 0);
}

static sg_status put_split(stats *s, sg_error *err)
{
    const sg_dataset *d = s->d;
    const sg_split *sp = s->s;
    int64_t train = 0, latest = INT64_MIN, early = 0, unknown = 0, only_test = 0, only_valid = 0, alone = 0;
    sg_status st;

    for (size_t i = 0; i < sp->n_valid; i++)
        s->item_valid[d->item[sp->valid[i].target_begin]]++;
    for (size_t i = 0; i < sp->n_test; i++)
        s->item_test[d->item[sp->test[i].target_begin]]++;
    for (int32_t u = 0; u < d->n_users; u++) {
        for (int64_t e = d->user_offsets[u]; e < sp->train_end[u]; e++) {
            s->item_train[d->item[e]]++;
            if (d->timestamp && d->timestamp[e] > latest)
                latest = d->timestamp[e];
        }
        train += sp->train_end[u] - d->user_offsets[u];
        alone += sp->train_end[u] == d->user_offsets[u + 1];
    }
    for (size_t i = 0; d->timestamp && i < sp->n_test; i++)
        early += d->timestamp[sp->test[i].target_begin] < latest;
    for (int32_t i = 0; i < d->n_items; i++) {
        unknown += s->item_train[i] ? 0 : s->item_test[i];
        only_test += !s->item_train[i] && s->item_test[i] && !s->item_valid[i];
        only_valid += !s->item_train[i] && s->item_valid[i] && !s->item_test[i];
    }
    const int64_t seen = count_seen(s);
    if ((st = put(s, "leave_one_out",
                  json_pack("{s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:o*}", "train", (json_int_t)train, "cases",
                            (json_int_t)sp->n_test, "users_train_only", (json_int_t)alone,
                            "targets_seen_before", share(seen, sp->n_test), "targets_without_training_event",
                            share(unknown, sp->n_test), "items_only_test", (json_int_t)only_test,
                            "items_only_valid", (json_int_t)only_valid, "targets_before_training_ends",
                            d->timestamp ? share(early, sp->n_test) : NULL),
                  err)))
        return st;
    if (sp->n_test == 0)
        return note(s, err, "nobody has three events: there is nothing to evaluate by leave-one-out");
    if (seen &&
        (st = note(
             s, err,
             "%lld of %zu test targets were in the user's history before: with the history filter no model "
             "can recommend them",
             (long long)seen, sp->n_test)))
        return st;
    if (unknown &&
        (st = note(s, err,
                   "%lld of %zu test targets have no training event: only models that read item content can "
                   "recommend them",
                   (long long)unknown, sp->n_test)))
        return st;
    return SG_OK;
}

/* One round of the k-core: kills users with fewer than k living events, then items. True when somebody died. */
static bool core_round(stats *s, int k, int64_t *users, int64_t *items, int64_t *events)
{
    const sg_dataset *d = s->d;
    bool changed = false;

    memset(s->item_count, 0, (size_t)d->n_items * sizeof *s->item_count);
    *users = *items = *events = 0;
    for (int32_t u = 0; u < d->n_users; u++) {
        int64_t living = 0;

        if (s->dead_user[u])
            continue;
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++)
            living += !s->dead_item[d->item[e]];
        if (living < k) {
            s->dead_user[u] = 1;
            changed = true;
            continue;
        }
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++)
            s->item_count[d->item[e]] += !s->dead_item[d->item[e]];
        *users += 1;
        *events += living;
    }
    for (int32_t i = 0; i < d->n_items; i++) {
        if (s->dead_item[i])
            continue;
        if (s->item_count[i] < k) {
            s->dead_item[i] = 1;
            changed = true;
        } else {
            *items += 1;
        }
    }
    return changed;
}

static sg_status put_cores(stats *s, sg_error *err)
{
    json_t *list = json_array();
    int failed = !list;

    for (int k = CORE_LEAST; k <= CORE_MOST; k++) {
        int64_t users, items, events;

        while (core_round(s, k, &users, &items, &events))
            continue;
        failed |=
            json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:I}", "k", k, "users", (json_int_t)users,
                                                  "items", (json_int_t)items, "events", (json_int_t)events));
    }
    if (failed) {
        json_decref(list);
        list = NULL;
    }
    return put(s, "k_core", list, err);
}

static sg_status text_column(json_t *list, stats *s, const sg_text_column *c, sg_error *err)
{
    const size_t n = c->text.n;
    size_t filled = 0, different = 0;
    sg_vocab *v;
    sg_status st;

    if ((st = sg_vocab_over(&v, &c->text, err)))
        return st;
    for (size_t i = 0; i < n; i++) {
        const sg_bytes text = sg_strings_at(&c->text, i);

        filled += text.size > 0;
        different += text.size > 0 && sg_vocab_find(v, text) == (int32_t)i;
    }
    sg_vocab_free(v);
    if (json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:I}", "column", c->name, "filled",
                                              (double)filled / (double)n, "bytes",
                                              filled ? (double)c->text.offsets[n] / (double)filled : 0.0,
                                              "different", (json_int_t)different)))
        return sg_fail_memory(err, "statistics");
    if (2 * filled < n)
        return note(s, err, "text column '%s' is empty for %.1f %% of the items", c->name,
                    100 - 100 * (double)filled / (double)n);
    return SG_OK;
}

static sg_status put_text(stats *s, sg_error *err)
{
    json_t *list = json_array();
    sg_status st = list ? SG_OK : sg_fail_memory(err, "statistics");

    for (int c = 0; !st && c < s->d->n_columns; c++)
        st = text_column(list, s, &s->d->columns[c], err);
    if (st) {
        json_decref(list);
        return st;
    }
    if ((st = put(s, "text", list, err)) || s->d->n_columns)
        return st;
    return note(
        s, err,
        "items have no text: `sedge embed --encoder lsa` cannot work; import the data with --item-text");
}

static void stats_fini(stats *s)
{
    sg_split_free(s->s);
    sg_free(s->item_count);
    sg_free(s->item_train);
    sg_free(s->item_valid);
    sg_free(s->item_test);
    sg_free(s->stamp);
    sg_free(s->dead_user);
    sg_free(s->dead_item);
    json_decref(s->out);
    json_decref(s->notes);
}

sg_status sg_dataset_stats(json_t **report, const sg_dataset *d, sg_error *err)
{
    const sg_split_spec loo = {.kind = SG_SPLIT_LOO};
    const size_t n = (size_t)d->n_items;
    stats s = {.d = d, .notes = json_array()};
    sg_status st;

    *report = NULL;
    s.out =
        json_pack("{s:s, s:s, s:i, s:i, s:I, s:n}", "name", d->name, "sha256", d->sha256, "users",
                  (int)d->n_users, "items", (int)d->n_items, "events", (json_int_t)d->n_events, "density");
    if (!s.notes || !s.out || !(s.item_count = sg_alloc_zero(n, sizeof *s.item_count)) ||
        !(s.item_train = sg_alloc_zero(n, sizeof *s.item_train)) ||
        !(s.item_valid = sg_alloc_zero(n, sizeof *s.item_valid)) ||
        !(s.item_test = sg_alloc_zero(n, sizeof *s.item_test)) ||
        !(s.stamp = sg_alloc_zero(n, sizeof *s.stamp)) ||
        !(s.dead_user = sg_alloc_zero((size_t)d->n_users, 1)) || !(s.dead_item = sg_alloc_zero(n, 1))) {
        st = sg_fail_memory(err, "statistics");
        goto done;
    }
    if ((st = sg_split_new(&s.s, d, &loo, err)) || (st = put_spreads(&s, err)) ||
        (st = put_repeats(&s, err)) || (st = put_time(&s, err)) || (st = put_split(&s, err)) ||
        (st = put_cores(&s, err)) || (st = put_text(&s, err)) ||
        (st = put(&s, "notes", json_incref(s.notes), err)))
        goto done;
    *report = s.out;
    s.out = NULL;
done:
    stats_fini(&s);
    return st;
}
