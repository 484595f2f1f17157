/* dataset.c - opening a dataset folder: nothing of it is believed before it was checked, because every later loop indexes by
 * these numbers. Vectors and semantic IDs beside it are opened in dataset_extra.c. */
#include "data/dataset.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "data/vocab.h"
#include "file/json.h"
#include "file/manifest.h"
#include "file/sha256.h"

#include <string.h>

enum { JSON_BYTES_MAX = 64 << 20 };

void sg_dataset_close(sg_dataset *d)
{
    if (!d)
        return;
    sg_vocab_free(d->user_index);
    sg_vocab_free(d->item_index);
    sg_tensors_close(d->events);
    sg_tensors_close(d->items);
    sg_tensors_close(d->users);
    sg_free(d->columns);
    json_decref(d->about);
    sg_free(d->name);
    sg_free(d->dir);
    sg_free(d);
}

sg_status sg_dataset_sha256(char hex[65], const json_t *files, const char *where, sg_error *err)
{
    static const char *const names[] = {SG_DATASET_EVENTS, SG_DATASET_ITEMS, SG_DATASET_COLLECTION};
    const int n = json_object_get(files, SG_DATASET_COLLECTION) ? 3 : 2;
    sg_sha256 h;
    sg_status st;

    sg_sha256_init(&h);
    for (int i = 0; i < n; i++) {
        json_t *entry;
        const char *one;

        if ((st = sg_json_need_object(&entry, files, names[i], where, err)) ||
            (st = sg_json_need_string(&one, entry, "sha256", where, err)))
            return st;
        sg_sha256_add(&h, one, strlen(one));
        sg_sha256_add(&h, "\n", 1);
    }
    sg_sha256_hex(&h, hex);
    return SG_OK;
}

/* 0 = first <= ... <= last = end? Returns the first place that breaks this, or n. */
static size_t check_offsets(const int64_t *offset, size_t n, int64_t end)
{
    if (offset[0] != 0)
        return 0;
    for (size_t i = 1; i < n; i++)
        if (offset[i] < offset[i - 1])
            return i;
    return offset[n - 1] == end ? n : n - 1;
}

sg_status sg_strings_need(sg_strings *out, const sg_tensors *t, const char *name, int64_t n, sg_error *err)
{
    const int64_t any = -1, n_offsets = n < 0 ? -1 : n + 1;
    const sg_file_tensor *offsets = NULL, *bytes = NULL;
    sg_buf o = {0}, b = {0};
    sg_status st;

    *out = (sg_strings){0};
    sg_buf_printf(&o, "%s.offsets", name);
    sg_buf_printf(&b, "%s.bytes", name);
    if (o.failed || b.failed) {
        st = sg_fail_memory(err, name);
        goto done;
    }
    if ((st = sg_tensors_need(&offsets, t, o.data, SG_DT_I64, 1, &n_offsets, err)) ||
        (st = sg_tensors_need(&bytes, t, b.data, SG_DT_U8, 1, &any, err)))
        goto done;
    if (offsets->count == 0 ||
        check_offsets(offsets->data, offsets->count, (int64_t)bytes->count) != offsets->count) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%s': expected ascending numbers from 0 to %zu",
                     sg_tensors_name(t), o.data, bytes->count);
        goto done;
    }
    *out = (sg_strings){offsets->count - 1, bytes->data, offsets->data};
    /* One pass over all bytes; cutting them at the offsets must not split a character either. */
    st = sg_utf8_valid(out->bytes, bytes->count) ? SG_OK : SG_ERR_FORMAT;
    for (size_t i = 0; !st && i < out->n; i++)
        if ((size_t)out->offsets[i] < bytes->count &&
            ((unsigned char)out->bytes[out->offsets[i]] & 0xc0) == 0x80)
            st = SG_ERR_FORMAT;
    if (st)
        sg_fail(err, st, "%s: tensor '%s': expected UTF-8", sg_tensors_name(t), b.data);
done:
    sg_buf_free(&o);
    sg_buf_free(&b);
    return st;
}

/* An optional column of events. */
static sg_status column(const void **out, const sg_dataset *d, const char *name, sg_dtype dtype,
                        sg_error *err)
{
    const int64_t dim = d->n_events;
    const sg_file_tensor *t;
    sg_status st;

    *out = NULL;
    if (!sg_tensors_find(d->events, name))
        return SG_OK;
    if (!(st = sg_tensors_need(&t, d->events, name, dtype, 1, &dim, err)))
        *out = t->data;
    return st;
}

static sg_status check_events(const sg_dataset *d, sg_error *err)
{
    const char *file = sg_tensors_name(d->events);
    const size_t n = (size_t)d->n_users + 1, bad = check_offsets(d->user_offsets, n, d->n_events);

    if (bad != n)
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: tensor 'user_offsets': expected ascending numbers from 0 to %lld, found %lld at %zu", file,
            (long long)d->n_events, (long long)d->user_offsets[bad], bad);
    for (int64_t i = 0; i < d->n_events; i++)
        if (d->item[i] < 0 || d->item[i] >= d->n_items)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor 'item': expected numbers from 0 to %d, found %d at %lld", file,
                           (int)d->n_items - 1, (int)d->item[i], (long long)i);
    for (int32_t u = 0; d->timestamp && u < d->n_users; u++)
        for (int64_t i = d->user_offsets[u] + 1; i < d->user_offsets[u + 1]; i++)
            if (d->timestamp[i] < d->timestamp[i - 1])
                return sg_fail(
                    err, SG_ERR_FORMAT,
                    "%s: tensor 'timestamp': expected ascending numbers for user %d, found %lld after %lld",
                    file, (int)u, (long long)d->timestamp[i], (long long)d->timestamp[i - 1]);
    return SG_OK;
}

static sg_status open_part(sg_tensors **out, const char *dir, const char *name, sg_error *err)
{
    char *path = sg_path_join(dir, name);
    const sg_status st = path ? sg_tensors_open(out, path, err) : sg_fail_memory(err, dir);

    sg_free(path);
    return st;
}

static sg_status open_events(sg_dataset *d, sg_error *err)
{
    const int64_t n_offsets = (int64_t)d->n_users + 1, n_events = d->n_events;
    const sg_file_tensor *offsets, *item;
    const void *timestamp, *rating, *action, *row;
    sg_status st;

    if ((st = open_part(&d->events, d->dir, SG_DATASET_EVENTS, err)) ||
        (st = sg_tensors_need(&offsets, d->events, "user_offsets", SG_DT_I64, 1, &n_offsets, err)) ||
        (st = sg_tensors_need(&item, d->events, "item", SG_DT_I32, 1, &n_events, err)) ||
        (st = column(&timestamp, d, "timestamp", SG_DT_I64, err)) ||
        (st = column(&rating, d, "rating", SG_DT_F32, err)) ||
        (st = column(&action, d, "action", SG_DT_I32, err)) || (st = column(&row, d, "row", SG_DT_I64, err)))
        return st;
    d->user_offsets = offsets->data;
    d->item = item->data;
    d->timestamp = timestamp;
    d->rating = rating;
    d->action = action;
    d->row = row;
    return check_events(d, err);
}

/* Text columns in the order of dataset.json. */
static sg_status open_items(sg_dataset *d, const char *where, sg_error *err)
{
    json_t *names, *name;
    size_t i;
    sg_status st;

    if ((st = open_part(&d->items, d->dir, SG_DATASET_ITEMS, err)) ||
        (st = sg_strings_need(&d->item_ids, d->items, "id", d->n_items, err)) ||
        (st = sg_json_need_array(&names, d->about, "text", where, err)))
        return st;
    if (!(d->columns = sg_alloc_zero(json_array_size(names), sizeof *d->columns)))
        return sg_fail_memory(err, d->dir);
    json_array_foreach(names, i, name)
    {
        sg_text_column *c = &d->columns[i];
        sg_buf tensor = {0};

        if (!(c->name = json_string_value(name)) || sg_dataset_column(d, c->name))
            return sg_fail(err, SG_ERR_FORMAT, "%s: 'text': expected different names of columns", where);
        sg_buf_printf(&tensor, "text.%s", c->name);
        st = tensor.failed ? sg_fail_memory(err, d->dir)
                           : sg_strings_need(&c->text, d->items, tensor.data, d->n_items, err);
        sg_buf_free(&tensor);
        if (st)
            return st;
        d->n_columns++;
    }
    return SG_OK;
}

sg_status sg_series_check(const sg_series *s, int32_t n_users, const char *where, sg_error *err)
{
    const size_t n = (size_t)n_users + 1, bad = check_offsets(s->offsets, n, s->n);

    if (bad != n)
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: tensor 'series.offsets': expected ascending numbers from 0 to %lld, found %lld at %zu",
            where, (long long)s->n, (long long)s->offsets[bad], bad);
    for (int64_t i = 0; i < s->n; i++)
        if (s->value[i] < 0 || (size_t)s->value[i] >= s->names.n)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor 'series.value': expected numbers below %zu, found %d at %lld", where,
                           s->names.n, (int)s->value[i], (long long)i);
    for (size_t i = 0; i < s->names.n; i++)
        if (s->of[i] < 0) /* they are only compared with each other */
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor 'series.of': expected numbers from 0, found %d at %zu", where,
                           (int)s->of[i], i);
    for (int32_t u = 0; u < n_users; u++)
        for (int64_t i = s->offsets[u] + 1; i < s->offsets[u + 1]; i++)
            if (s->time[i] < s->time[i - 1])
                return sg_fail(
                    err, SG_ERR_FORMAT,
                    "%s: tensor 'series.time': expected ascending numbers for user %d, found %lld after %lld",
                    where, (int)u, (long long)s->time[i], (long long)s->time[i - 1]);
    return SG_OK;
}

static sg_status open_series(sg_dataset *d, sg_error *err)
{
    const sg_file_tensor *offsets, *time, *value, *of;
    sg_series *s = &d->series;
    sg_status st;

    if (!sg_tensors_find(d->users, "series.offsets"))
        return SG_OK;
    if ((st = sg_tensors_need(&offsets, d->users, "series.offsets", SG_DT_I64, 1,
                              &(int64_t){(int64_t)d->n_users + 1}, err)) ||
        (st = sg_tensors_need(&time, d->users, "series.time", SG_DT_I64, 1, &(int64_t){-1}, err)) ||
        (st = sg_tensors_need(&value, d->users, "series.value", SG_DT_I32, 1,
                              &(int64_t){(int64_t)time->count}, err)) ||
        (st = sg_strings_need(&s->names, d->users, "series.name", -1, err)) ||
        (st =
             sg_tensors_need(&of, d->users, "series.of", SG_DT_I32, 1, &(int64_t){(int64_t)s->names.n}, err)))
        return st;
    s->n = (int64_t)time->count;
    s->offsets = offsets->data;
    s->time = time->data;
    s->value = value->data;
    s->of = of->data;
    return sg_series_check(s, d->n_users, sg_tensors_name(d->users), err);
}

/* Reads dataset.json and compares the sizes (deep: hashes) of the files. */
static sg_status read_about(json_t **out, char hex[65], const char *dir, const char *path, bool deep,
                            sg_error *err)
{
    json_t *about = NULL, *files;
    const char *format, *want;
    int64_t version;
    sg_status st;

    *out = NULL;
    if (!sg_file_exists(path))
        return sg_fail(
            err, SG_ERR_MISSING,
            "%s: no dataset here (no " SG_DATASET_JSON "): `sedge import` or `sedge synth` makes one", dir);
    if ((st = sg_json_read(&about, path, JSON_BYTES_MAX, err)) ||
        (st = sg_json_need_string(&format, about, "format", path, err)))
        goto done;
    if (strcmp(format, SG_DATASET_FORMAT) != 0) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: 'format': expected \"" SG_DATASET_FORMAT "\", found \"%.40s\"",
                     path, format);
        goto done;
    }
    if ((st = sg_json_need_int(&version, about, "version", SG_DATASET_VERSION, SG_DATASET_VERSION, path,
                               err)) ||
        (st = sg_json_need_object(&files, about, "files", path, err)) ||
        (st = sg_dataset_sha256(hex, files, path, err)) ||
        (st = sg_json_need_string(&want, about, "sha256", path, err)))
        goto done;
    if (strcmp(hex, want) != 0) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: 'sha256': expected %s, found %.64s", path, hex, want);
        goto done;
    }
    if ((st = sg_manifest_check_files(files, dir, path, deep, err)))
        goto done;
    *out = about;
    about = NULL;
done:
    json_decref(about);
    return st;
}

sg_status sg_dataset_open(sg_dataset **out, const char *dir, sg_error *err)
{
    sg_dataset *d = sg_alloc_zero(1, sizeof *d);
    char *path = sg_path_join(dir, SG_DATASET_JSON);
    int64_t n_users, n_items;
    const char *name;
    sg_status st = SG_OK;

    *out = NULL;
    if (!d || !path || !(d->dir = sg_strdup(dir))) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    if ((st = read_about(&d->about, d->sha256, dir, path, false, err)) ||
        (st = sg_json_need_string(&name, d->about, "name", path, err)))
        goto done;
    d->collection = json_object_get(json_object_get(d->about, "files"), SG_DATASET_COLLECTION) != NULL;
    if ((st = sg_json_need_int(&n_users, d->about, "users", !d->collection, INT32_MAX, path, err)) ||
        (st = sg_json_need_int(&n_items, d->about, "items", 1, INT32_MAX, path, err)) ||
        (st = sg_json_need_int(&d->n_events, d->about, "events", !d->collection, INT64_MAX / 8, path, err)))
        goto done;
    d->n_users = (int32_t)n_users;
    d->n_items = (int32_t)n_items;
    if (!(d->name = sg_strdup(name))) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    if ((st = open_events(d, err)) || (st = open_items(d, path, err)) ||
        (st = open_part(&d->users, dir, SG_DATASET_USERS, err)) ||
        (st = sg_strings_need(&d->user_ids, d->users, "id", d->n_users, err)) || (st = open_series(d, err)))
        goto done;
    *out = d;
    d = NULL;
done:
    sg_dataset_close(d);
    sg_free(path);
    return st;
}

sg_status sg_dataset_verify(const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, SG_DATASET_JSON);
    json_t *about = NULL;
    char hex[65];
    const sg_status st = path ? read_about(&about, hex, dir, path, true, err) : sg_fail_memory(err, dir);

    json_decref(about);
    sg_free(path);
    return st;
}

const sg_text_column *sg_dataset_column(const sg_dataset *d, const char *name)
{
    for (int c = 0; c < d->n_columns; c++)
        if (strcmp(d->columns[c].name, name) == 0)
            return &d->columns[c];
    return NULL;
}

static int32_t find_string(struct sg_vocab **index, const sg_strings *strings, sg_bytes id)
{
    if (!*index && sg_vocab_over(index, strings, NULL)) {
        for (size_t i = 0; i < strings->n; i++) {
            const sg_bytes s = sg_strings_at(strings, i);

            if (s.size == id.size && (s.size == 0 || memcmp(s.data, id.data, s.size) == 0))
                return (int32_t)i;
        }
        return -1;
    }
    return sg_vocab_find(*index, id);
}

int32_t sg_dataset_item(sg_dataset *d, sg_bytes id)
{
    return find_string(&d->item_index, &d->item_ids, id);
}

int32_t sg_dataset_user(sg_dataset *d, sg_bytes id)
{
    return find_string(&d->user_index, &d->user_ids, id);
}
