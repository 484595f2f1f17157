/* import.c - the way of an import: files to events, sorted, filtered, numbered; item text beside them; one
 * new folder. */
#include "data/import.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/checksum.h"
#include "data/filter.h"
#include "data/intake.h"
#include "data/item_text.h"
#include "data/scan.h"
#include "data/user_series.h"
#include "data/writer.h"

#include <math.h>
#include <string.h>

sg_import_spec sg_import_defaults(void)
{
    return (sg_import_spec){.rating_min = -INFINITY, .time_min = INT64_MIN, .time_max = INT64_MAX};
}

typedef struct import {
    const sg_import_spec *spec;
    const sg_progress *progress;
    const char *dir;
    char *scratch_dir; /* owned: the folder that will hold the new one */
    char *name;        /* owned */
    const sg_import_format *format;
    sg_intake in;
    sg_counts counts; /* by rank of user, by number of item */
    sg_item_text text;
    sg_user_series user_series;
    sg_series series;  /* borrows from it */
    int32_t *user_new; /* owned: by rank, number in the dataset or -1 */
    int32_t *user_old; /* owned: number in the vocabulary by rank */
    int32_t *item_new; /* owned: by number in the vocabulary */
    int32_t *item_old; /* owned: by rank */
    int32_t n_users, n_items;
    json_t *sources, *item_sources, *user_sources, *filters; /* owned; user_sources NULL: none */
    const char **path;                                       /* owned: of all sources, for the checksums */
    sg_checksums *checksums;                                 /* owned */
} import;

static void free_import(import *m)
{
    sg_checksums_end(m->checksums);
    sg_free(m->path);
    sg_item_text_fini(&m->text);
    sg_user_series_fini(&m->user_series);
    sg_intake_fini(&m->in);
    sg_counts_fini(&m->counts);
    sg_free(m->scratch_dir);
    sg_free(m->name);
    sg_free(m->user_new);
    sg_free(m->user_old);
    sg_free(m->item_new);
    sg_free(m->item_old);
    json_decref(m->sources);
    json_decref(m->item_sources);
    json_decref(m->user_sources);
    json_decref(m->filters);
}

/* ---- before any work ---- */

static sg_status check_spec(const sg_import_spec *s, sg_error *err)
{
    const struct {
        const char *what;
        int64_t value;
    } counts[] = {{"core_user", s->core_user},
                  {"core_item", s->core_item},
                  {"length_min", s->length_min},
                  {"length_max", s->length_max},
                  {"bad_rows_max", s->bad_rows_max}};

    if (s->n_path < 1)
        return sg_fail(err, SG_ERR_USAGE, "expected at least one file of events, found none");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value < 0)
            return sg_fail(err, SG_ERR_USAGE, "%s: expected 0 or more, found %lld", counts[i].what,
                           (long long)counts[i].value);
    if (s->length_max && s->length_min > s->length_max)
        return sg_fail(err, SG_ERR_USAGE, "length_min %d is above length_max %d", s->length_min,
                       s->length_max);
    if (s->time_min > s->time_max)
        return sg_fail(err, SG_ERR_USAGE, "time_min %lld is after time_max %lld", (long long)s->time_min,
                       (long long)s->time_max);
    if (isnan(s->rating_min))
        return sg_fail(err, SG_ERR_USAGE, "rating_min: expected a number, found NaN");
    if (s->separator == '"' || s->separator == '\n' || s->separator == '\r')
        return sg_fail(err, SG_ERR_USAGE, "a quote or a newline cannot separate columns");
    return SG_OK;
}

/* "dir/Beauty.txt.zst" is "Beauty". */
static char *name_of(const char *path)
{
    const char *base = sg_path_base(path);
    const size_t n = strcspn(base, ".");

    return n ? sg_strndup(base, n) : sg_strdup("dataset");
}

/* Can the folder be made here? Better known now than after an hour. */
static sg_status prepare(import *m, sg_error *err)
{
    sg_folder probe;
    size_t n = 0;
    sg_status st;

    if ((st = check_spec(m->spec, err)) || (st = sg_folder_begin(&probe, m->dir, SG_DATASET_JSON, err)))
        return st;
    m->scratch_dir = sg_path_dir(probe.dir);
    sg_folder_abort(&probe);
    m->name = m->spec->name ? sg_strdup(m->spec->name) : name_of(m->spec->path[0]);
    m->sources = json_array();
    m->item_sources = json_array();
    m->filters = json_array();
    m->path = sg_alloc_array((size_t)m->spec->n_path + (size_t)m->spec->n_item_text +
                                 (size_t)m->spec->n_user_series,
                             sizeof *m->path);
    if ((m->spec->n_user_series && !(m->user_sources = json_array())) || !m->scratch_dir || !m->name ||
        !m->sources || !m->item_sources || !m->filters || !m->path)
        return sg_fail_memory(err, "import");
    for (int i = 0; i < m->spec->n_path; i++)
        m->path[n++] = m->spec->path[i];
    for (int i = 0; i < m->spec->n_item_text; i++)
        m->path[n++] = m->spec->item_text[i];
    for (int i = 0; i < m->spec->n_user_series; i++)
        m->path[n++] = m->spec->user_series[i];
    return sg_checksums_begin(&m->checksums, m->path, n, err);
}

/* ---- events ---- */

static sg_status read_file(import *m, int i, sg_error *err)
{
    const char *path = m->spec->path[i];
    json_t *entry = NULL;
    sg_input in;
    sg_status st;

    if ((st = sg_input_open(&in, path, err)))
        return st;
    if (i == 0) {
        if ((st = sg_import_format_find(&m->format, m->spec->format, &in, err)) ||
            (st = sg_intake_init(&m->in, m->spec, m->progress, m->scratch_dir, m->format->by_number, err)))
            goto done;
    }
    m->in.in = &in;
    m->in.bytes_all = m->in.bytes_done + sg_reader_size(in.reader);
    const uint64_t rows = m->in.rows;
    if ((st = m->format->read(&m->in, err)) || (st = sg_intake_flush(&m->in, err)))
        goto done;
    m->in.bytes_done += sg_reader_size(in.reader);
    entry = json_pack("{s:s, s:I}", "path", path, "rows", (json_int_t)(m->in.rows - rows));
    if (!entry)
        st = sg_fail_memory(err, path);
    else if (json_array_append(m->sources, entry))
        st = sg_fail_memory(err, path);
done:
    json_decref(entry);
    m->in.in = NULL;
    sg_input_close(&in);
    return st;
}

static sg_status read_events(import *m, sg_error *err)
{
    sg_status st;

    for (int i = 0; i < m->spec->n_path; i++)
        if ((st = read_file(m, i, err)))
            return st;
    if (!m->in.rows)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected events, found none", m->spec->path[0]);
    return SG_OK;
}

/* ---- filters ---- */

/* Into the report, and said at once. */
static sg_status note_filter(import *m, json_t *entry, uint64_t dropped, uint64_t events, size_t users,
                             size_t items, sg_error *err)
{
    int failed = !entry;

    failed |= json_object_set_new(entry, "dropped", json_integer((json_int_t)dropped));
    failed |= json_object_set_new(entry, "events", json_integer((json_int_t)events));
    failed |= json_object_set_new(entry, "users", json_integer((json_int_t)users));
    failed |= json_object_set_new(entry, "items", json_integer((json_int_t)items));
    if (failed || json_array_append(m->filters, entry)) {
        json_decref(entry);
        return sg_fail_memory(err, "import");
    }
    const char *name = json_string_value(json_object_get(entry, "filter"));
    const sg_status st = sg_progress_say(
        m->progress, err, "import", "%s: dropped %llu events; left %llu of %zu users and %zu items", name,
        (unsigned long long)dropped, (unsigned long long)events, users, items);
    json_decref(entry);
    return st;
}

static size_t count_seen(const uint8_t *seen, size_t n, int bit)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        left += (seen[i] & bit) != 0;
    return left;
}

/* What the intake has dropped at once. */
static sg_status note_intake(import *m, sg_error *err)
{
    const sg_intake *k = &m->in;
    const sg_import_spec *s = m->spec;
    uint64_t events = k->rows - k->dropped_rating;
    sg_status st = SG_OK;

    if (s->rating_min > -INFINITY)
        st =
            note_filter(m, json_pack("{s:s, s:f}", "filter", "rating_min", "value", s->rating_min),
                        k->dropped_rating, events, count_seen(k->user_seen, k->cap_user_seen, SG_SEEN_RATING),
                        count_seen(k->item_seen, k->cap_item_seen, SG_SEEN_RATING), err);
    if (!st && (k->time_begin != INT64_MIN || k->time_end != INT64_MAX)) {
        events -= k->dropped_time;
        json_t *entry = json_pack("{s:s}", "filter", "time");
        if (entry && s->time_min != INT64_MIN)
            json_object_set_new(entry, "from", json_integer(s->time_min));
        if (entry && s->time_max != INT64_MAX)
            json_object_set_new(entry, "to", json_integer(s->time_max));
        st = note_filter(m, entry, k->dropped_time, events,
                         count_seen(k->user_seen, k->cap_user_seen, SG_SEEN_TIME),
                         count_seen(k->item_seen, k->cap_item_seen, SG_SEEN_TIME), err);
    }
    return st;
}

/* After a filter over the sorted events: counts are those of what is left. */
static sg_status note_pass(import *m, json_t *entry, uint64_t before, sg_error *err)
{
    const uint64_t events = sg_events_count(m->in.events);

    return note_filter(m, entry, before - events, events, sg_counts_left(m->counts.user, m->counts.n_users),
                       sg_counts_left(m->counts.item, m->counts.n_items), err);
}

static sg_status filter_events(import *m, sg_error *err)
{
    const sg_import_spec *s = m->spec;
    sg_events *e = m->in.events;
    uint64_t before = sg_events_count(e);
    int passes;
    sg_status st;

    if ((st = note_intake(m, err)) ||
        (st = sg_counts_init(&m->counts, (size_t)sg_vocab_count(m->in.users),
                             (size_t)sg_vocab_count(m->in.items), err)) ||
        (s->dedup && (st = sg_filter_dedup(e, m->counts.n_items, err))) ||
        (st = sg_counts_take(&m->counts, e, err)) ||
        (s->dedup && (st = note_pass(m, json_pack("{s:s}", "filter", "dedup"), before, err))))
        return st;
    if (s->core_user || s->core_item) {
        before = sg_events_count(e);
        if ((st = sg_filter_core(e, &m->counts, s->core_user, s->core_item, s->core_once, &passes, err)) ||
            (st = note_pass(m,
                            json_pack("{s:s, s:i, s:i, s:b, s:i}", "filter", "core", "user", s->core_user,
                                      "item", s->core_item, "once", (int)s->core_once, "passes", passes),
                            before, err)))
            return st;
    }
    if (s->length_min || s->length_max) {
        before = sg_events_count(e);
        if ((st = sg_filter_length(e, &m->counts, s->length_min, s->length_max, err)) ||
            (st = note_pass(m,
                            json_pack("{s:s, s:i, s:i}", "filter", "length", "least", s->length_min, "most",
                                      s->length_max),
                            before, err)))
            return st;
    }
    if (s->cold > 0) {
        before = sg_events_count(e);
        if ((st = sg_filter_cold(e, &m->counts, s->cold, s->cold_seed, err)) ||
            (st = note_pass(m,
                            json_pack("{s:s, s:f, s:I}", "filter", "cold", "share", s->cold, "seed",
                                      (json_int_t)s->cold_seed),
                            before, err)))
            return st;
    }
    return SG_OK;
}

/* "no events are left of 10: rating_min dropped 4, core dropped 6" */
static sg_status fail_nothing_left(const import *m, sg_error *err)
{
    sg_buf text = {0};
    const json_t *entry;
    size_t i;
    sg_status st;

    sg_buf_printf(&text, "no events are left of %llu", (unsigned long long)m->in.rows);
    json_array_foreach(m->filters, i, entry) sg_buf_printf(
        &text, "%s %s dropped %lld", i ? "," : ":", json_string_value(json_object_get(entry, "filter")),
        (long long)json_integer_value(json_object_get(entry, "dropped")));
    st = text.failed ? sg_fail_memory(err, "import") : sg_fail(err, SG_ERR_FORMAT, "%s", text.data);
    sg_buf_free(&text);
    return st;
}

/* ---- numbers of the dataset ---- */

/* *order: numbers of the vocabulary in the order in which they get new ones. */
static sg_status order_of(int32_t **order, const int32_t *rank, int32_t n, sg_error *err)
{
    if (!(*order = sg_alloc_array((size_t)n, sizeof **order)))
        return sg_fail_memory(err, "order of ids");
    for (int32_t i = 0; i < n; i++)
        (*order)[rank ? rank[i] : i] = i;
    return SG_OK;
}

static sg_status number_users(import *m, sg_error *err)
{
    const int32_t n = sg_vocab_count(m->in.users);
    sg_status st;

    if ((st = order_of(&m->user_old, m->in.rank, n, err)))
        return st;
    if (!(m->user_new = sg_alloc_array((size_t)n, sizeof *m->user_new)))
        return sg_fail_memory(err, "order of ids");
    for (int32_t rank = 0; rank < n; rank++)
        m->user_new[rank] = m->counts.user[rank] ? m->n_users++ : -1;
    return SG_OK;
}

static sg_status number_items(import *m, sg_error *err)
{
    const int32_t n = sg_vocab_count(m->in.items);
    int32_t *rank = NULL;
    sg_status st = SG_OK;

    if (m->format->by_number)
        st = sg_number_order(&rank, m->in.items, err);
    if (!st)
        st = order_of(&m->item_old, rank, n, err);
    sg_free(rank);
    if (!st && !(m->item_new = sg_alloc_array((size_t)n, sizeof *m->item_new)))
        st = sg_fail_memory(err, "order of ids");
    for (int32_t r = 0; !st && r < n; r++) {
        const int32_t i = m->item_old[r];
        const bool has_events = (size_t)i < m->counts.n_items && m->counts.item[i];

        m->item_new[i] =
            has_events || (m->spec->items_all && sg_item_text_has(&m->text, i)) ? m->n_items++ : -1;
    }
    return st;
}

/* ---- item text ---- */

static sg_status read_item_text(import *m, sg_error *err)
{
    json_t *entry;
    sg_status st;

    if ((st = sg_item_text_init(&m->text, &m->in, m->counts.item, m->counts.n_items, m->scratch_dir, err)))
        return st;
    for (int i = 0; i < m->spec->n_item_text; i++) {
        if ((st = sg_item_text_file(&m->text, m->spec->item_text[i], &entry, err)))
            return st;
        if (json_array_append_new(m->item_sources, entry))
            return sg_fail_memory(err, "import");
        if ((st = sg_progress_say(m->progress, err, "import",
                                  "%s: %llu texts of items, %llu of items without events",
                                  sg_path_base(m->spec->item_text[i]), (unsigned long long)m->text.matched,
                                  (unsigned long long)m->text.without_events)))
            return st;
    }
    return sg_item_text_end(&m->text, err);
}

/* ---- what is known of users ---- */

static sg_status read_user_series(import *m, sg_error *err)
{
    const int32_t n = sg_vocab_count(m->in.users);
    int32_t *number = sg_alloc_array((size_t)n, sizeof *number);
    json_t *entry;
    sg_status st = number ? SG_OK : sg_fail_memory(err, "import");

    sg_user_series_init(&m->user_series, &m->in);
    for (int32_t rank = 0; !st && rank < n; rank++)
        number[m->user_old[rank]] = m->user_new[rank];
    for (int i = 0; !st && i < m->spec->n_user_series; i++)
        if (!(st = sg_user_series_file(&m->user_series, m->spec->user_series[i], &entry, err)) &&
            json_array_append_new(m->user_sources, entry))
            st = sg_fail_memory(err, "import");
    if (!st)
        st = sg_user_series_end(&m->series, &m->user_series, number, m->n_users, err);
    sg_free(number);
    return st;
}

/* ---- the folder ---- */

static int64_t floor_seconds(int64_t us)
{
    return us / 1000000 - (us % 1000000 < 0);
}

static sg_status tick_write(const import *m, uint64_t done, sg_error *err)
{
    const sg_progress_event e = {.stage = "write",
                                 .unit = "events",
                                 .done = (double)done,
                                 .total = (double)sg_events_count(m->in.events),
                                 .loss = (double)NAN};

    return sg_progress_tick(m->progress, &e, err);
}

static sg_status write_events(import *m, sg_dataset_writer *w, sg_error *err)
{
    enum { BLOCK = 1024 };
    sg_dataset_event block[BLOCK];
    const sg_event *batch;
    uint64_t done = 0;
    size_t n;
    sg_status st;

    sg_events_rewind(m->in.events);
    while (!(st = sg_events_next(m->in.events, &batch, &n, err)) && n) {
        if ((st = tick_write(m, done, err)))
            return st;
        done += n;
        for (size_t i = 0; i < n;) {
            size_t k = 0;

            for (; k < BLOCK && i < n; i++, k++)
                block[k] = (sg_dataset_event){.user = m->user_new[batch[i].user],
                                              .item = m->item_new[batch[i].item],
                                              .timestamp = floor_seconds(batch[i].time),
                                              .row = (int64_t)batch[i].row,
                                              .rating = batch[i].rating,
                                              .action = batch[i].action};
            if ((st = sg_dataset_writer_events(w, block, k, err)))
                return st;
        }
    }
    return st;
}

static sg_status write_ids(import *m, sg_dataset_writer *w, size_t *n_with_text, sg_error *err)
{
    const int32_t n_users = sg_vocab_count(m->in.users), n_items = sg_vocab_count(m->in.items);
    const sg_bytes *cell;
    sg_status st = SG_OK;

    for (int32_t rank = 0; !st && rank < n_users; rank++)
        if (m->user_new[rank] >= 0)
            st = sg_dataset_writer_user(w, sg_vocab_at(m->in.users, m->user_old[rank]), err);
    *n_with_text = 0;
    for (int32_t rank = 0; !st && rank < n_items; rank++) {
        const int32_t i = m->item_old[rank];

        if (m->item_new[i] < 0)
            continue;
        *n_with_text += sg_item_text_has(&m->text, i);
        if (!(st = sg_item_text_get(&m->text, i, &cell, err)))
            st = sg_dataset_writer_item(w, sg_vocab_at(m->in.items, i), cell, err);
    }
    return st;
}

static int64_t id_bytes(const sg_vocab *v, const int32_t *old, const int32_t *new_number, bool by_rank,
                        int32_t n)
{
    int64_t bytes = 0;

    for (int32_t rank = 0; rank < n; rank++)
        if (new_number[by_rank ? rank : old[rank]] >= 0)
            bytes += (int64_t)sg_vocab_at(v, old[rank]).size;
    return bytes;
}

/* Size and checksum of every source into what is said about it. */
static sg_status add_checksums(import *m, sg_error *err)
{
    const sg_checksum *c;
    sg_status st = sg_checksums_wait(m->checksums, &c, err);

    const int items = m->spec->n_path, users = items + m->spec->n_item_text,
              end = users + m->spec->n_user_series;

    for (int i = 0; !st && i < end; i++, c++) {
        json_t *entry = i < items   ? json_array_get(m->sources, (size_t)i)
                        : i < users ? json_array_get(m->item_sources, (size_t)(i - items))
                                    : json_array_get(m->user_sources, (size_t)(i - users));

        if (c->hex[0] && (json_object_set_new(entry, "bytes", json_integer((json_int_t)c->bytes)) ||
                          json_object_set_new(entry, "sha256", json_string(c->hex))))
            st = sg_fail_memory(err, "import");
    }
    return st;
}

/* The report without what differs from run to run: it becomes the provenance. */
static json_t *describe(const import *m, size_t n_with_text)
{
    const sg_intake *k = &m->in;
    json_t *columns = json_array(), *report = NULL;
    int failed = !columns;

    for (size_t i = 0; i < m->text.n_columns; i++)
        failed |= json_array_append_new(columns, json_string(m->text.name[i]));
    if (!failed)
        report = json_pack("{s:s, s:s, s:O, s:I, s:I, s:O, s:O, s:I, s:I, s:I, s:O, s:O*, s:O, s:I, s:O}",
                           "name", m->name, "format", m->format->name, "sources", m->sources, "rows",
                           (json_int_t)k->rows, "bad_rows", (json_int_t)k->bad, "bad_row_examples",
                           k->examples, "filters", m->filters, "users", (json_int_t)m->n_users, "items",
                           (json_int_t)m->n_items, "events", (json_int_t)sg_events_count(k->events),
                           "item_sources", m->item_sources, "user_sources", m->user_sources, "text_columns",
                           columns, "items_with_text", (json_int_t)n_with_text, "warnings", k->warnings);
    json_decref(columns);
    return report;
}

static sg_status write_dataset(import *m, json_t **report, sg_error *err)
{
    const int n_actions = m->in.has_action && m->in.action_words ? (int)sg_vocab_count(m->in.actions) : 0;
    sg_dataset_spec spec = {
        .name = m->name,
        .n_users = m->n_users,
        .n_items = m->n_items,
        .n_events = (int64_t)sg_events_count(m->in.events),
        .timestamp = m->in.has_time,
        .rating = m->in.has_rating,
        .action = m->in.has_action,
        .user_id_bytes = id_bytes(m->in.users, m->user_old, m->user_new, true, sg_vocab_count(m->in.users)),
        .item_id_bytes = id_bytes(m->in.items, m->item_old, m->item_new, false, sg_vocab_count(m->in.items)),
        .column = (const char *const *)m->text.name,
        .column_bytes = m->text.bytes,
        .n_columns = (int)m->text.n_columns,
        .n_actions = n_actions,
        .series = m->series.offsets ? &m->series : NULL,
    };
    char **action_name = sg_alloc_zero((size_t)n_actions, sizeof *action_name);
    sg_dataset_writer *w = NULL;
    size_t n_with_text;
    sg_status st = action_name ? SG_OK : sg_fail_memory(err, "import");

    for (int i = 0; !st && i < n_actions; i++) {
        const sg_bytes s = sg_vocab_at(m->in.actions, i);

        if (!(action_name[i] = sg_strndup(s.data, s.size)))
            st = sg_fail_memory(err, "import");
    }
    spec.action_name = (const char *const *)action_name;
    if (st || (st = sg_dataset_writer_open(&w, m->dir, &spec, err)) || (st = write_events(m, w, err)) ||
        (st = write_ids(m, w, &n_with_text, err)) || (st = add_checksums(m, err)))
        goto done;
    if (!(*report = describe(m, n_with_text))) {
        st = sg_fail_memory(err, "import");
        goto done;
    }
    st = sg_dataset_writer_commit(w, *report, err);
    w = NULL;
done:
    sg_dataset_writer_abort(w);
    for (int i = 0; action_name && i < n_actions; i++)
        sg_free(action_name[i]);
    sg_free(action_name);
    return st;
}

static sg_status finish_report(const import *m, json_t *report, double seconds, sg_error *err)
{
    const double rate = seconds > 0 ? (double)m->in.rows / seconds : 0;
    int failed = json_object_set_new(report, "seconds", json_real(seconds));

    failed |= json_object_set_new(report, "events_per_second", json_real(rate));
    failed |= json_object_set_new(report, "spilled_runs", json_integer(sg_events_runs(m->in.events)));
    return failed ? sg_fail_memory(err, "import") : SG_OK;
}

sg_status sg_import(const char *dir, const sg_import_spec *spec, const sg_progress *progress, json_t **report,
                    sg_error *err)
{
    const double begin = sg_now();
import m = {.spec = spec, .progress = progress, .dir = dir };
    json_t *made = NULL;
    sg_status st;

    if (report)
        *report = NULL;
    if ((st = prepare(&m, err)) || (st = read_events(&m, err)) || (st = sg_events_sort(m.in.events, err)) ||
        (st = filter_events(&m, err)))
        goto done;
    if (!sg_events_count(m.in.events)) {
        st = fail_nothing_left(&m, err);
        goto done;
    }
    if ((st = read_item_text(&m, err)) || (st = number_users(&m, err)) || (st = number_items(&m, err)) ||
        (spec->n_user_series && (st = read_user_series(&m, err))) || (st = write_dataset(&m, &made, err)) ||
        (st = finish_report(&m, made, sg_now() - begin, err)))
        goto done;
    if (report) {
        *report = made;
        made = NULL;
    }
done:
    json_decref(made);
    free_import(&m);
    return st;
}
