/* writer.c - three streamed files, then dataset.json with their checksums, then the folder is put in place. */
#include "data/writer.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "file/manifest.h"
#include "file/safetensors.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 1024 };

/* Strings of one kind: two tensors of a stream, offsets and bytes. */
typedef struct strings_out {
    size_t offsets, bytes; /* places in the stream's list */
    int64_t at;
} strings_out;

struct sg_dataset_writer {
    char *dir;  /* owned: as given, for messages */
    char *name; /* owned */
    sg_folder folder;
    sg_dataset_spec spec;                      /* its strings are copied or borrowed no longer than open */
    json_t *about;                             /* owned: what dataset.json says about the columns */
    sg_tensors_stream *events, *items, *users; /* owned */
    int item_at, timestamp_at, rating_at, action_at, row_at; /* tensors of events; -1: not kept */
    strings_out item_id, user_id, *cell;                     /* cell: owned (n_columns) */
    int64_t n_events;
    int32_t n_users, n_items; /* strings put so far */
    int32_t user;             /* of the last event */
    int32_t n_offsets;        /* user_offsets put so far */
    int64_t time;
};

void sg_dataset_writer_abort(sg_dataset_writer *w)
{
    if (!w)
        return;
    sg_tensors_stream_abort(w->events);
    sg_tensors_stream_abort(w->items);
    sg_tensors_stream_abort(w->users);
    sg_folder_abort(&w->folder);
    json_decref(w->about);
    sg_free(w->cell);
    sg_free(w->name);
    sg_free(w->dir);
    sg_free(w);
}

static sg_status open_stream(sg_tensors_stream **out, const sg_dataset_writer *w, const char *name,
                             const sg_tensor_desc *list, size_t n, sg_error *err)
{
    char *path = sg_path_join(w->folder.tmp, name);
    const sg_meta meta = {"format", "sedge-dataset"};
    const sg_status st =
        path ? sg_tensors_stream_open(out, path, list, n, &meta, 1, err) : sg_fail_memory(err, name);

    sg_free(path);
    return st;
}

static sg_status open_events(sg_dataset_writer *w, sg_error *err)
{
    const sg_dataset_spec *s = &w->spec;
    const uint64_t n = (uint64_t)s->n_events;
    sg_tensor_desc list[6];
    int k = 0;

    list[k++] = (sg_tensor_desc){
        .name = "user_offsets", .dtype = SG_DT_I64, .rank = 1, .dim = {(uint64_t)s->n_users + 1}};
    list[w->item_at = k++] = (sg_tensor_desc){.name = "item", .dtype = SG_DT_I32, .rank = 1, .dim = {n}};
    w->timestamp_at = w->rating_at = w->action_at = w->row_at = -1;
    if (s->timestamp)
        list[w->timestamp_at = k++] =
            (sg_tensor_desc){.name = "timestamp", .dtype = SG_DT_I64, .rank = 1, .dim = {n}};
    if (s->rating)
        list[w->rating_at = k++] =
            (sg_tensor_desc){.name = "rating", .dtype = SG_DT_F32, .rank = 1, .dim = {n}};
    if (s->action)
        list[w->action_at = k++] =
            (sg_tensor_desc){.name = "action", .dtype = SG_DT_I32, .rank = 1, .dim = {n}};
    if (s->row)
        list[w->row_at = k++] = (sg_tensor_desc){.name = "row", .dtype = SG_DT_I64, .rank = 1, .dim = {n}};
    return open_stream(&w->events, w, SG_DATASET_EVENTS, list, (size_t)k, err);
}

static strings_out describe_strings(sg_tensor_desc *list, size_t *k, const char *offsets, const char *bytes,
                                    int32_t n, int64_t size)
{
    const strings_out s = {.offsets = *k, .bytes = *k + 1};

    list[(*k)++] = (sg_tensor_desc){.name = offsets, .dtype = SG_DT_I64, .rank = 1, .dim = {(uint64_t)n + 1}};
    list[(*k)++] = (sg_tensor_desc){.name = bytes, .dtype = SG_DT_U8, .rank = 1, .dim = {(uint64_t)size}};
    return s;
}

static sg_status put_string(sg_tensors_stream *t, strings_out *s, sg_bytes text, sg_error *err)
{
    sg_status st;

    s->at += (int64_t)text.size;
    if ((st = sg_tensors_stream_put(t, s->bytes, text.data, text.size, err)))
        return st;
    return sg_tensors_stream_put(t, s->offsets, &s->at, sizeof s->at, err);
}

static sg_status put_zero(sg_tensors_stream *t, size_t i, sg_error *err)
{
    return sg_tensors_stream_put(t, i, &(int64_t){0}, sizeof(int64_t), err);
}

static int64_t bytes_of(const sg_strings *s)
{
    return s->offsets[s->n] - s->offsets[0];
}

/* The tensors number `at` and the five after it. */
static sg_status put_series(sg_dataset_writer *w, size_t at, sg_error *err)
{
    const sg_series *s = w->spec.series;
    const size_t n = (size_t)s->n, names = s->names.n;
    sg_status st;

    if ((st = sg_tensors_stream_put(w->users, at, s->offsets,
                                    ((size_t)w->spec.n_users + 1) * sizeof *s->offsets, err)) ||
        (st = sg_tensors_stream_put(w->users, at + 1, s->time, n * sizeof *s->time, err)) ||
        (st = sg_tensors_stream_put(w->users, at + 2, s->value, n * sizeof *s->value, err)) ||
        (st = sg_tensors_stream_put(w->users, at + 3, s->of, names * sizeof *s->of, err)))
        return st;
    for (size_t i = 0; !st && i <= names; i++) {
        const int64_t end = s->names.offsets[i] - s->names.offsets[0];

        st = sg_tensors_stream_put(w->users, at + 4, &end, sizeof end, err);
    }
    return st ? st
              : sg_tensors_stream_put(w->users, at + 5, s->names.bytes + s->names.offsets[0],
                                      (size_t)bytes_of(&s->names), err);
}

static sg_status open_users(sg_dataset_writer *w, sg_error *err)
{
    const sg_series *s = w->spec.series;
    sg_tensor_desc list[8];
    size_t k = 0, at;
    sg_status st;

    w->user_id = describe_strings(list, &k, "id.offsets", "id.bytes", w->spec.n_users, w->spec.user_id_bytes);
    at = k;
    if (s) {
        list[k++] = (sg_tensor_desc){
            .name = "series.offsets", .dtype = SG_DT_I64, .rank = 1, .dim = {(uint64_t)w->spec.n_users + 1}};
        list[k++] =
            (sg_tensor_desc){.name = "series.time", .dtype = SG_DT_I64, .rank = 1, .dim = {(uint64_t)s->n}};
        list[k++] =
            (sg_tensor_desc){.name = "series.value", .dtype = SG_DT_I32, .rank = 1, .dim = {(uint64_t)s->n}};
        list[k++] = (sg_tensor_desc){.name = "series.of", .dtype = SG_DT_I32, .rank = 1, .dim = {s->names.n}};
        describe_strings(list, &k, "series.name.offsets", "series.name.bytes", (int32_t)s->names.n,
                         bytes_of(&s->names));
    }
    if ((st = open_stream(&w->users, w, SG_DATASET_USERS, list, k, err)) ||
        (st = put_zero(w->users, w->user_id.offsets, err)))
        return st;
    return s ? put_series(w, at, err) : SG_OK;
}

static sg_status open_items(sg_dataset_writer *w, sg_error *err)
{
    const int n = w->spec.n_columns;
    sg_tensor_desc *list = sg_alloc_array(2 * ((size_t)n + 1), sizeof *list);
    sg_buf *name = sg_alloc_zero(2 * (size_t)n, sizeof *name);
    size_t k = 0;
    sg_status st = SG_OK;

    if (!list || !name || !(w->cell = sg_alloc_array((size_t)n, sizeof *w->cell))) {
        st = sg_fail_memory(err, w->dir);
        goto done;
    }
    w->item_id = describe_strings(list, &k, "id.offsets", "id.bytes", w->spec.n_items, w->spec.item_id_bytes);
    for (int c = 0; c < n; c++) {
        sg_buf *o = &name[2 * c], *b = o + 1;

        sg_buf_printf(o, "text.%s.offsets", w->spec.column[c]);
        sg_buf_printf(b, "text.%s.bytes", w->spec.column[c]);
        if (o->failed || b->failed) {
            st = sg_fail_memory(err, w->dir);
            goto done;
        }
        w->cell[c] = describe_strings(list, &k, o->data, b->data, w->spec.n_items, w->spec.column_bytes[c]);
    }
    if ((st = open_stream(&w->items, w, SG_DATASET_ITEMS, list, k, err)) ||
        (st = put_zero(w->items, w->item_id.offsets, err)))
        goto done;
    for (int c = 0; !st && c < n; c++)
        st = put_zero(w->items, w->cell[c].offsets, err);
done:
    for (int i = 0; name && i < 2 * n; i++)
        sg_buf_free(&name[i]);
    sg_free(name);
    sg_free(list);
    return st;
}

static json_t *string_array(const char *const *list, int n)
{
    json_t *a = json_array();
    int failed = !a;

    for (int i = 0; i < n; i++)
        failed |= json_array_append_new(a, json_string(list[i]));
    if (failed) {
        json_decref(a);
        return NULL;
    }
    return a;
}

/* The part of dataset.json that is known at open. */
static json_t *describe(const sg_dataset_spec *s)
{
    const char *column[4];
    int n = 0;

    if (s->timestamp)
        column[n++] = "timestamp";
    if (s->rating)
        column[n++] = "rating";
    if (s->action)
        column[n++] = "action";
    if (s->row)
        column[n++] = "row";
    json_t *about = json_pack("{s:s, s:i, s:s, s:i, s:i, s:I}", "format", SG_DATASET_FORMAT, "version",
                              SG_DATASET_VERSION, "name", s->name, "users", (int)s->n_users, "items",
                              (int)s->n_items, "events", (json_int_t)s->n_events);
    int failed = !about;
    failed |= json_object_set_new(about, "columns", string_array(column, n));
    failed |= json_object_set_new(about, "text", string_array(s->column, s->n_columns));
    if (s->n_actions)
        failed |= json_object_set_new(about, "actions", string_array(s->action_name, s->n_actions));
    if (failed) {
        json_decref(about);
        return NULL;
    }
    return about;
}

static sg_status check_spec(const sg_dataset_spec *s, const char *dir, sg_error *err)
{
    if (s->n_items < 1 || (!s->collection && (s->n_users < 1 || s->n_events < 1)))
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected at least one user, item and event, found %d, %d, %lld", dir,
                       (int)s->n_users, (int)s->n_items, (long long)s->n_events);
    if (!sg_utf8_valid(s->name, strlen(s->name)))
        return sg_fail(err, SG_ERR_USAGE, "%s: the name is not UTF-8", dir);
    for (int c = 0; c < s->n_columns; c++) {
        const char *name = s->column[c];

        if (!*name || strlen(name) > 200 || !sg_utf8_valid(name, strlen(name)))
            return sg_fail(err, SG_ERR_USAGE, "%s: text column %d has no usable name", dir, c + 1);
        for (int d = 0; d < c; d++)
            if (strcmp(name, s->column[d]) == 0)
                return sg_fail(err, SG_ERR_USAGE, "%s: text column '%s' is given twice", dir, name);
    }
    return SG_OK;
}

sg_status sg_dataset_writer_open(sg_dataset_writer **out, const char *dir, const sg_dataset_spec *spec,
                                 sg_error *err)
{
    sg_dataset_writer *w = NULL;
    sg_status st;

    *out = NULL;
    if ((st = check_spec(spec, dir, err)))
        return st;
    if (!(w = sg_alloc_zero(1, sizeof *w)) || !(w->dir = sg_strdup(dir)) ||
        !(w->name = sg_strdup(spec->name)) || !(w->about = describe(spec))) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    w->spec = *spec;
    w->user = -1;
    w->time = INT64_MIN;
    if ((st = sg_folder_begin(&w->folder, dir, SG_DATASET_JSON, err)) || (st = open_events(w, err)) ||
        (st = open_items(w, err)) || (st = open_users(w, err)))
        goto done;
    *out = w;
    w = NULL;
done:
    sg_dataset_writer_abort(w);
    return st;
}

const char *sg_dataset_writer_dir(const sg_dataset_writer *w)
{
    return w->folder.tmp;
}

static sg_status check_event(const sg_dataset_writer *w, const sg_dataset_event *e, sg_error *err)
{
    if (w->n_events == w->spec.n_events)
        return sg_fail(err, SG_ERR_USAGE, "%s: more events than the %lld announced", w->dir,
                       (long long)w->spec.n_events);
    if (e->user < 0 || e->user >= w->spec.n_users || e->item < 0 || e->item >= w->spec.n_items)
        return sg_fail(err, SG_ERR_USAGE, "%s: event %lld: user %d or item %d does not exist", w->dir,
                       (long long)w->n_events, (int)e->user, (int)e->item);
    if (e->user < w->user || (e->user == w->user && w->spec.timestamp && e->timestamp < w->time))
        return sg_fail(err, SG_ERR_USAGE, "%s: event %lld: not sorted by user and time", w->dir,
                       (long long)w->n_events);
    return SG_OK;
}

static sg_status put_column(sg_dataset_writer *w, int at, const void *data, size_t bytes, sg_error *err)
{
    return at < 0 ? SG_OK : sg_tensors_stream_put(w->events, (size_t)at, data, bytes, err);
}

/* Offsets of all users up to `user`: their events begin here. */
static sg_status put_offsets(sg_dataset_writer *w, int32_t user, sg_error *err)
{
    sg_status st = SG_OK;

    for (; !st && w->n_offsets <= user; w->n_offsets++)
        st = sg_tensors_stream_put(w->events, 0, &w->n_events, sizeof w->n_events, err);
    return st;
}

static sg_status put_block(sg_dataset_writer *w, const sg_dataset_event *e, size_t n, sg_error *err)
{
    int32_t item[BLOCK], action[BLOCK];
    int64_t timestamp[BLOCK], row[BLOCK];
    float rating[BLOCK];
    sg_status st;

    for (size_t i = 0; i < n; i++) {
        if ((st = check_event(w, &e[i], err)))
            return st;
        if (e[i].user != w->user && (st = put_offsets(w, e[i].user, err)))
            return st;
        w->user = e[i].user;
        w->time = e[i].timestamp;
        w->n_events++;
        item[i] = e[i].item;
        action[i] = e[i].action;
        timestamp[i] = e[i].timestamp;
        row[i] = e[i].row;
        rating[i] = e[i].rating;
    }
    if ((st = put_column(w, w->item_at, item, n * sizeof *item, err)) ||
        (st = put_column(w, w->timestamp_at, timestamp, n * sizeof *timestamp, err)) ||
        (st = put_column(w, w->rating_at, rating, n * sizeof *rating, err)) ||
        (st = put_column(w, w->action_at, action, n * sizeof *action, err)) ||
        (st = put_column(w, w->row_at, row, n * sizeof *row, err)))
        return st;
    return SG_OK;
}

sg_status sg_dataset_writer_events(sg_dataset_writer *w, const sg_dataset_event *e, size_t n, sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; !st && i < n; i += BLOCK)
        st = put_block(w, e + i, n - i < BLOCK ? n - i : BLOCK, err);
    return st;
}

static sg_status check_text(const sg_dataset_writer *w, const char *kind, int32_t n, sg_bytes text,
                            sg_error *err)
{
    if (sg_utf8_valid(text.data, text.size))
        return SG_OK;
    return sg_fail(err, SG_ERR_USAGE, "%s: %s %d: text is not UTF-8", w->dir, kind, (int)n);
}

sg_status sg_dataset_writer_user(sg_dataset_writer *w, sg_bytes id, sg_error *err)
{
    sg_status st;

    if ((st = check_text(w, "user", w->n_users, id, err)) ||
        (st = put_string(w->users, &w->user_id, id, err)))
        return st;
    w->n_users++;
    return SG_OK;
}

sg_status sg_dataset_writer_item(sg_dataset_writer *w, sg_bytes id, const sg_bytes *cell, sg_error *err)
{
    sg_status st;

    if ((st = check_text(w, "item", w->n_items, id, err)) ||
        (st = put_string(w->items, &w->item_id, id, err)))
        return st;
    for (int c = 0; c < w->spec.n_columns; c++)
        if ((st = check_text(w, "item", w->n_items, cell[c], err)) ||
            (st = put_string(w->items, &w->cell[c], cell[c], err)))
            return st;
    w->n_items++;
    return SG_OK;
}

static sg_status commit_stream(sg_tensors_stream **s, sg_error *err)
{
    const sg_status st = sg_tensors_stream_commit(*s, err);

    *s = NULL;
    return st;
}

/* dataset.json is written last: a folder without it is no dataset. */
static sg_status write_json(sg_dataset_writer *w, const json_t *provenance, sg_error *err)
{
    static const char *const names[] = {SG_DATASET_EVENTS, SG_DATASET_ITEMS, SG_DATASET_USERS,
                                        SG_DATASET_COLLECTION};
    json_t *files = NULL;
    char *path = sg_path_join(w->folder.tmp, SG_DATASET_JSON);
    char hex[65];
    int failed = 0;
    sg_status st = path ? SG_OK : sg_fail_memory(err, w->dir);

    if (!st && !(st = sg_manifest_files(&files, w->folder.tmp, names, w->spec.collection ? 4 : 3, err)) &&
        !(st = sg_dataset_sha256(hex, files, path, err))) {
        failed |= json_object_set_new(w->about, "sha256", json_string(hex));
        if (provenance)
            failed |= json_object_set(w->about, "provenance", (json_t *)(uintptr_t)provenance);
        failed |= json_object_set(w->about, "files", files);
        st = failed ? sg_fail_memory(err, w->dir) : sg_json_write(path, w->about, err);
    }
    json_decref(files);
    sg_free(path);
    return st;
}

sg_status sg_dataset_writer_commit(sg_dataset_writer *w, const json_t *provenance, sg_error *err)
{
    sg_status st;

    if ((st = put_offsets(w, w->spec.n_users, err)) || (st = commit_stream(&w->events, err)) ||
        (st = commit_stream(&w->items, err)) || (st = commit_stream(&w->users, err)) ||
        (st = write_json(w, provenance, err)))
        goto done;
    st = sg_folder_commit(&w->folder, err);
done:
    sg_dataset_writer_abort(w);
    return st;
}

static sg_bytes decimal(char text[16], int32_t i)
{
    return (sg_bytes){text, (size_t)snprintf(text, 16, "%d", (int)i)};
}

static int64_t decimal_bytes(int32_t n)
{
    char text[16];
    int64_t bytes = 0;

    for (int32_t i = 0; i < n; i++)
        bytes += (int64_t)decimal(text, i).size;
    return bytes;
}

sg_status sg_dataset_write(const char *dir, const sg_dataset_spec *spec, const sg_dataset_event *events,
                           const sg_strings *user_ids, const sg_strings *item_ids, const sg_strings *cells,
                           sg_error *err)
{
    sg_dataset_spec s = *spec;
    sg_dataset_writer *w = NULL;
    int64_t *bytes = sg_alloc_array((size_t)s.n_columns, sizeof *bytes);
    sg_bytes *cell = sg_alloc_array((size_t)s.n_columns, sizeof *cell);
    char text[16];
    sg_status st;

    if (!bytes || !cell) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    for (int c = 0; c < s.n_columns; c++)
        bytes[c] = bytes_of(&cells[c]);
    s.column_bytes = bytes;
    s.user_id_bytes = user_ids ? bytes_of(user_ids) : decimal_bytes(s.n_users);
    s.item_id_bytes = item_ids ? bytes_of(item_ids) : decimal_bytes(s.n_items);
    if ((st = sg_dataset_writer_open(&w, dir, &s, err)) ||
        (st = sg_dataset_writer_events(w, events, (size_t)s.n_events, err)))
        goto done;
    for (int32_t u = 0; !st && u < s.n_users; u++)
        st = sg_dataset_writer_user(w, user_ids ? sg_strings_at(user_ids, (size_t)u) : decimal(text, u), err);
    for (int32_t i = 0; !st && i < s.n_items; i++) {
        for (int c = 0; c < s.n_columns; c++)
            cell[c] = sg_strings_at(&cells[c], (size_t)i);
        st = sg_dataset_writer_item(w, item_ids ? sg_strings_at(item_ids, (size_t)i) : decimal(text, i), cell,
                                    err);
    }
    if (!st) {
        st = sg_dataset_writer_commit(w, NULL, err);
        w = NULL;
    }
done:
    sg_dataset_writer_abort(w);
    sg_free(cell);
    sg_free(bytes);
    return st;
}
