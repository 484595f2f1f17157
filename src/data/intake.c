/* intake.c - one event from text to record: ids to numbers, values checked, what the filters drop at once not
 * kept. */
#include "data/intake.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "data/scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_ROWS = 1 << 16 };

/* ---- order of users ---- */

typedef struct numbered {
    uint64_t value;
    int32_t number;
} numbered;

static int by_value(const void *a, const void *b)
{
    const numbered *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

sg_status sg_number_order(int32_t **out, const sg_vocab *v, sg_error *err)
{
    const int32_t n = sg_vocab_count(v);
    numbered *all = sg_alloc_array((size_t)n, sizeof *all);
    int32_t *rank = sg_alloc_array((size_t)n, sizeof *rank);
    bool sorted = true;

    *out = NULL;
    if (!all || !rank) {
        sg_free(all);
        sg_free(rank);
        return sg_fail_memory(err, "order of ids");
    }
    for (int32_t i = 0; i < n; i++) {
        all[i].number = i;
        if (!sg_scan_natural(sg_vocab_at(v, i), &all[i].value))
            all[i].value = UINT64_MAX;
        sorted = sorted && (i == 0 || all[i - 1].value <= all[i].value);
    }
    if (!sorted)
        qsort(all, (size_t)n, sizeof *all, by_value);
    for (int32_t i = 0; i < n; i++)
        rank[all[i].number] = i;
    sg_free(all);
    *out = rank;
    return SG_OK;
}

static sg_status user_order(void *ctx, const int32_t **rank, size_t *n, sg_error *err)
{
    sg_intake *k = ctx;
    sg_status st = SG_OK;

    sg_free(k->rank);
    k->rank = NULL;
    if (k->by_number)
        st = sg_number_order(&k->rank, k->users, err);
    *rank = k->rank;
    *n = (size_t)sg_vocab_count(k->users);
    return st;
}

/* ---- life ---- */

sg_status sg_intake_init(sg_intake *k, const sg_import_spec *spec, const sg_progress *progress,
                         const char *scratch_dir, bool by_number, sg_error *err)
{
    const size_t memory_max = spec->memory_max ? spec->memory_max : (size_t)1 << 30;
    sg_status st;

    *k = (sg_intake){.spec = spec, .progress = progress, .by_number = by_number};
    k->time_begin = spec->time_min < -62135596800 ? INT64_MIN : spec->time_min * 1000000;
    k->time_end = spec->time_max >= 253402300800 ? INT64_MAX : (spec->time_max + 1) * 1000000;
    k->examples = json_array();
    k->warnings = json_array();
    k->waiting = sg_alloc_array(SG_WAITING_MAX, sizeof *k->waiting);
    k->room = sg_alloc(SG_WAITING_BYTES);
    if (!k->examples || !k->warnings || !k->waiting || !k->room)
        st = sg_fail_memory(err, "import");
    else if (!(st = sg_vocab_new(&k->users, err)) && !(st = sg_vocab_new(&k->items, err)) &&
             !(st = sg_vocab_new(&k->actions, err)))
        st = sg_events_new(&k->events, scratch_dir, memory_max, user_order, k, err);
    if (st)
        sg_intake_fini(k);
    return st;
}

void sg_intake_fini(sg_intake *k)
{
    sg_vocab_free(k->users);
    sg_vocab_free(k->items);
    sg_vocab_free(k->actions);
    sg_events_free(k->events);
    sg_free(k->user_seen);
    sg_free(k->item_seen);
    sg_free(k->rank);
    sg_free(k->waiting);
    sg_free(k->room);
    json_decref(k->examples);
    json_decref(k->warnings);
    *k = (sg_intake){0};
}

/* ---- messages ---- */

sg_status sg_intake_bad(sg_intake *k, sg_status st, sg_error *err)
{
    const uint64_t most = k->spec->bad_rows_max > 0 ? (uint64_t)k->spec->bad_rows_max : 0;
    char where[64];
    sg_error first; /* of the rows that wait: they stand before this one */
    const sg_status before = k->stopped ? SG_OK : sg_intake_flush(k, &first);

    if (before) {
        if (err)
            *err = first;
        return before;
    }
    if (st != SG_ERR_FORMAT || k->in->broken || k->stopped)
        return st;
    if (k->bad == most) {
        k->stopped = true;
        if (most == 0)
            return st;
        snprintf(where, sizeof where, "more than %llu bad rows, the last", (unsigned long long)most);
        return sg_error_prefix(err, where);
    }
    k->bad++;
    if (err && json_array_size(k->examples) < SG_EXAMPLES_MAX &&
        json_array_append_new(k->examples, json_string(err->message)))
        return sg_fail_memory(err, "import");
    return SG_OK;
}

sg_status sg_intake_warn(sg_intake *k, sg_error *err, const char *format, ...)
{
    char text[640];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return json_array_append_new(k->warnings, json_string(text)) ? sg_fail_memory(err, "import") : SG_OK;
}

sg_status sg_intake_columns(sg_intake *k, bool time, bool rating, bool action, sg_error *err)
{
    const struct {
        const char *what;
        bool here, before;
    } column[] = {
        {"time", time, k->has_time}, {"rating", rating, k->has_rating}, {"action", action, k->has_action}};

    for (int i = 0; i < 3 && k->n_files; i++)
        if (column[i].here != column[i].before)
            return sg_fail(err, SG_ERR_FORMAT, "%s: %s %s column, and the files before it %s", k->in->path,
                           column[i].here ? "has a" : "has no", column[i].what,
                           column[i].before ? "have one" : "have none");
    k->n_files++;
    k->has_time = time;
    k->has_rating = rating;
    k->has_action = action;
    if (!rating && k->spec->rating_min > -INFINITY)
        return sg_fail(err, SG_ERR_USAGE, "%s: the least rating is %g, but there is no rating column",
                       k->in->path, k->spec->rating_min);
    if (!time && (k->time_begin != INT64_MIN || k->time_end != INT64_MAX))
        return sg_fail(err, SG_ERR_USAGE, "%s: a time window is asked for, but there is no time column",
                       k->in->path);
    return SG_OK;
}

/* ---- one event ---- */

static sg_status fail_value(const sg_intake *k, uint64_t line, const char *what, const char *expected,
                            sg_bytes found, sg_error *err)
{
    char room[SG_QUOTE_ROOM];

    return sg_input_fail(k->in, line, err, "%s: expected %s, found %s", what, expected,
                         found.size ? sg_quote(room, found) : "nothing");
}

/* An id seen for the first time: is it one that can be shown? */
static sg_status check_id(const sg_intake *k, uint64_t line, const char *what, sg_bytes id, sg_error *err)
{
    if (!sg_utf8_valid(id.data, id.size))
        return fail_value(k, line, what, "UTF-8", id, err);
    for (size_t i = 0; i < id.size; i++)
        if ((unsigned char)id.data[i] < 0x20 || id.data[i] == 0x7f)
            return fail_value(k, line, what, "an id without control characters", id, err);
    return SG_OK;
}

/* Lengths are checked before, bytes only of ids that are new. */
static sg_status number_id(sg_intake *k, uint64_t line, const char *what, sg_vocab *v, sg_bytes id,
                           uint32_t hash, int32_t *number, sg_error *err)
{
    const int32_t n = sg_vocab_count(v);
    const sg_status st = sg_vocab_add_hashed(v, id, hash, number, err);

    return st || *number < n ? st : check_id(k, line, what, id, err);
}

static sg_status check_size(const sg_intake *k, uint64_t line, const char *what, sg_bytes id, sg_error *err)
{
    if (id.size == 0)
        return fail_value(k, line, what, "an id", id, err);
    return sg_input_fail(k->in, line, err, "%s: expected an id of at most %d bytes, found %zu", what,
                         SG_ID_BYTES_MAX, id.size);
}

static sg_status take_action(sg_intake *k, uint64_t line, sg_bytes text, int32_t *action, sg_error *err)
{
    int64_t value;
    const bool number = sg_scan_int(text, &value);

    if (!text.size)
        return fail_value(k, line, "action", "a name or an integer", text, err);
    if (k->rows + k->n_waiting == 0)
        k->action_words = !number;
    if (k->action_words && text.size > SG_ID_BYTES_MAX)
        return check_size(k, line, "action", text, err);
    if (k->action_words)
        return number_id(k, line, "action", k->actions, text, sg_vocab_hash(k->actions, text), action, err);
    if (!number || value < INT32_MIN || value > INT32_MAX)
        return fail_value(k, line, "action", "an integer, as in the first row", text, err);
    *action = (int32_t)value;
    return SG_OK;
}

static sg_status mark_seen(sg_intake *k, int32_t user, int32_t item, uint8_t bit, sg_error *err)
{
    const size_t cap_u = k->cap_user_seen, cap_i = k->cap_item_seen;

    if (!sg_grow(&k->user_seen, &k->cap_user_seen, (size_t)user + 1, 1) ||
        !sg_grow(&k->item_seen, &k->cap_item_seen, (size_t)item + 1, 1))
        return sg_fail_memory(err, "import");
    if (k->cap_user_seen > cap_u)
        memset(k->user_seen + cap_u, 0, k->cap_user_seen - cap_u);
    if (k->cap_item_seen > cap_i)
        memset(k->item_seen + cap_i, 0, k->cap_item_seen - cap_i);
    k->user_seen[user] |= bit;
    k->item_seen[item] |= bit;
    return SG_OK;
}

static sg_status tick(const sg_intake *k, sg_error *err)
{
    const double done = (double)k->bytes_done + (k->in->reader ? (double)sg_reader_offset(k->in->reader) : 0);
    const sg_progress_event e = {.stage = "import",
                                 .unit = "events",
                                 .done = (double)k->rows,
                                 .total = done > 0 ? (double)k->rows * ((double)k->bytes_all / done) : 0,
                                 .loss = NAN};

    return sg_progress_tick(k->progress, &e, err);
}

/* The event has its numbers: filters, then the store. */
static sg_status keep_event(sg_intake *k, const sg_event *e, sg_error *err)
{
    sg_status st;

    k->rows++;
    if (k->spec->rating_min > -INFINITY) {
        if (e->rating < (float)k->spec->rating_min) {
            k->dropped_rating++;
            return SG_OK;
        }
        if ((st = mark_seen(k, e->user, e->item, SG_SEEN_RATING, err)))
            return st;
    }
    if (k->time_begin != INT64_MIN || k->time_end != INT64_MAX) {
        if (e->time < k->time_begin || e->time >= k->time_end) {
            k->dropped_time++;
            return SG_OK;
        }
        if ((st = mark_seen(k, e->user, e->item, SG_SEEN_TIME, err)))
            return st;
    }
    sg_event *place = sg_events_add(k->events, err);
    if (!place)
        return err ? err->status : SG_ERR_IO;
    *place = *e;
    return SG_OK;
}

sg_status sg_intake_flush(sg_intake *k, sg_error *err)
{
    const size_t n = k->n_waiting;
    sg_status st = SG_OK;

    for (int stage = 0; stage < 3; stage++)
        for (size_t i = 0; i < n; i++) {
            sg_waiting *w = &k->waiting[i];

            sg_vocab_prefetch(k->users, w->user_hash, stage);
            sg_vocab_prefetch(k->items, w->item_hash, stage);
        }
    k->n_waiting = k->room_used = 0;
    for (size_t i = 0; i < n && !st; i++) {
        sg_waiting *w = &k->waiting[i];

        w->event.row = k->rows;
        if (k->rows % TICK_ROWS == 0 && k->rows && (st = tick(k, err)))
            break;
        if ((st = number_id(k, w->line, "user", k->users, w->user, w->user_hash, &w->event.user, err)) ||
            (st = number_id(k, w->line, "item", k->items, w->item, w->item_hash, &w->event.item, err)))
            st = sg_intake_bad(k, st, err);
        else
            st = keep_event(k, &w->event, err);
    }
    k->stopped = k->stopped || st;
    return st;
}

/* The values of an event, all but its ids. */
static sg_status read_values(sg_intake *k, uint64_t line, const sg_raw_event *raw, sg_event *e, sg_error *err)
{
    double rating = 0;

    if (raw->user.size - 1 >= SG_ID_BYTES_MAX)
        return check_size(k, line, "user", raw->user, err);
    if (raw->item.size - 1 >= SG_ID_BYTES_MAX)
        return check_size(k, line, "item", raw->item, err);
    if (k->has_time && !sg_scan_time(raw->time, &e->time))
        return fail_value(k, line, "time", "seconds, milliseconds or an ISO 8601 date", raw->time, err);
    if (k->has_rating && (!sg_scan_number(raw->rating, &rating) || fabs(rating) > 3.4e38))
        return fail_value(k, line, "rating", "a number", raw->rating, err);
    e->rating = (float)rating;
    return k->has_action ? take_action(k, line, raw->action, &e->action, err) : SG_OK;
}

static sg_bytes put_in_room(sg_intake *k, sg_bytes id)
{
    char *to = k->room + k->room_used;

    memcpy(to, id.data, id.size);
    k->room_used += id.size;
    return (sg_bytes){to, id.size};
}

sg_status sg_intake_event(sg_intake *k, uint64_t line, const sg_raw_event *raw, sg_error *err)
{
    sg_event e = {0};
    sg_status st;

    if ((st = read_values(k, line, raw, &e, err)))
        return st;
    if ((k->n_waiting == SG_WAITING_MAX ||
         k->room_used + raw->user.size + raw->item.size > SG_WAITING_BYTES) &&
        (st = sg_intake_flush(k, err)))
        return st;
    sg_waiting *w = &k->waiting[k->n_waiting++];
    *w = (sg_waiting){
        .event = e, .user = put_in_room(k, raw->user), .item = put_in_room(k, raw->item), .line = line};
    w->user_hash = sg_vocab_hash(k->users, w->user);
    w->item_hash = sg_vocab_hash(k->items, w->item);
    return SG_OK;
}
