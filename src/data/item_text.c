/* item_text.c - one record an item: size, file, number of cells, their sizes, their bytes; all u32 but the
 * bytes. Records are appended to a buffer that is emptied into a temporary file when it is full; an item that
 * comes again gets a new one. */
#include "data/item_text.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "data/scan.h"

#include <stdio.h>
#include <string.h>

enum { HEADER = 3 * sizeof(uint32_t), READ_AHEAD = 4096, NAME_BYTES_MAX = 200 };

sg_status sg_item_text_init(sg_item_text *x, sg_intake *k, const uint32_t *count, size_t n_count,
                            const char *dir, sg_error *err)
{
    const size_t memory_max = k->spec->memory_max ? k->spec->memory_max : (size_t)1 << 30;

    *x = (sg_item_text){
        .k = k, .count = count, .n_count = n_count, .tail_max = memory_max / 4, .dir = sg_strdup(dir)};
    return x->dir ? SG_OK : sg_fail_memory(err, "item text");
}

void sg_item_text_fini(sg_item_text *x)
{
    for (size_t i = 0; i < x->n_columns; i++) {
        sg_free(x->name[i]);
        sg_buf_free(&x->cell[i]);
    }
    sg_free(x->name);
    sg_free(x->bytes);
    sg_free(x->cell);
    sg_free(x->found);
    sg_free(x->at);
    sg_free(x->dir);
    sg_buf_free(&x->tail);
    sg_buf_free(&x->record);
    sg_buf_free(&x->old);
    sg_scratch_close(&x->file);
    *x = (sg_item_text){0};
}

/* ---- columns ---- */

/* Is the name in "title,categories,brand"? */
static bool in_list(const char *list, sg_bytes name)
{
    for (const char *p = list, *end;; p = end + 1) {
        end = p + strcspn(p, ",");
        if (sg_bytes_equal(sg_trim((sg_bytes){p, (size_t)(end - p)}), name))
            return true;
        if (!*end)
            return false;
    }
}

sg_status sg_item_text_column(sg_item_text *x, sg_bytes name, int *column, sg_error *err)
{
    const size_t n = x->n_columns;
    char room[SG_QUOTE_ROOM];

    *column = -1;
    if (!name.size || (x->k->spec->item_columns && !in_list(x->k->spec->item_columns, name)))
        return SG_OK;
    for (size_t i = 0; i < n; i++)
        if (sg_bytes_equal(sg_bytes_of(x->name[i]), name)) {
            *column = (int)i;
            return SG_OK;
        }
    if (name.size > NAME_BYTES_MAX || !sg_utf8_valid(name.data, name.size) || memchr(name.data, 0, name.size))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected column names of at most %d bytes of UTF-8, found %s",
                       x->k->in->path, NAME_BYTES_MAX, sg_quote(room, name));
    if (n == SG_TEXT_COLUMNS_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: more than %d text columns: name those to keep",
                       x->k->in->path, SG_TEXT_COLUMNS_MAX);
    if (!sg_grow(&x->name, &x->cap_name, n + 1, sizeof *x->name) ||
        !sg_grow(&x->bytes, &x->cap_bytes, n + 1, sizeof *x->bytes) ||
        !sg_grow(&x->cell, &x->cap_cell, n + 1, sizeof *x->cell) ||
        !sg_grow(&x->found, &x->cap_found, n + 1, sizeof *x->found) ||
        !(x->name[n] = sg_strndup(name.data, name.size)))
        return sg_fail_memory(err, "text columns");
    x->bytes[n] = 0;
    x->cell[n] = (sg_buf){0};
    *column = (int)x->n_columns++;
    return SG_OK;
}

sg_status sg_item_text_end(sg_item_text *x, sg_error *err)
{
    sg_status st = SG_OK;

    for (const char *p = x->k->spec->item_columns, *end; !st && p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, ",");
        const sg_bytes wanted = sg_trim((sg_bytes){p, (size_t)(end - p)});
        bool here = wanted.size == 0;
        char room[SG_QUOTE_ROOM];

        for (size_t i = 0; i < x->n_columns; i++)
            here = here || sg_bytes_equal(sg_bytes_of(x->name[i]), wanted);
        if (!here)
            st = sg_fail(err, SG_ERR_USAGE, "no item file has a column %s", sg_quote(room, wanted));
    }
    return st;
}

void sg_item_text_set(sg_item_text *x, int column, sg_bytes text)
{
    if (column < 0)
        return;
    x->cell[column].size = 0;
    if (sg_utf8_valid(text.data, text.size))
        sg_buf_add(&x->cell[column], text.data, text.size);
    else
        x->repaired += sg_utf8_repair(&x->cell[column], text);
}

/* ---- records ---- */

static uint32_t get_u32(const char *p, size_t i)
{
    uint32_t v;

    memcpy(&v, p + i * sizeof v, sizeof v);
    return v;
}

static void put_u32(sg_buf *b, size_t v)
{
    const uint32_t x = (uint32_t)v;

    sg_buf_add(b, &x, sizeof x);
}

/* Makes x->old the record at this place. */
static sg_status read_record(sg_item_text *x, uint64_t at, sg_error *err)
{
    size_t n;
    sg_status st;

    x->old.size = 0;
    if (at >= x->file.size) {
        const char *p = x->tail.data + (at - x->file.size);

        sg_buf_add(&x->old, p, get_u32(p, 0));
        return x->old.failed ? sg_fail_memory(err, "item text") : SG_OK;
    }
    n = x->file.size - at < READ_AHEAD ? (size_t)(x->file.size - at) : READ_AHEAD;
    if (!sg_grow(&x->old.data, &x->old.cap, READ_AHEAD, 1))
        return sg_fail_memory(err, "item text");
    if ((st = sg_scratch_read(&x->file, at, x->old.data, n, err)))
        return st;
    const size_t size = get_u32(x->old.data, 0);
    if (size > n) {
        if (!sg_grow(&x->old.data, &x->old.cap, size, 1))
            return sg_fail_memory(err, "item text");
        if ((st = sg_scratch_read(&x->file, at + n, x->old.data + n, size - n, err)))
            return st;
    }
    x->old.size = size;
    return SG_OK;
}

/* Cells of the record in x->old, into x->found. */
static void open_record(sg_item_text *x)
{
    const char *p = x->old.data;
    const size_t n = get_u32(p, 2);
    size_t at = HEADER + n * sizeof(uint32_t);

    for (size_t i = 0; i < x->n_columns; i++) {
        x->found[i] = (sg_bytes){"", 0};
        if (i < n) {
            x->found[i] = (sg_bytes){p + at, get_u32(p, 3 + i)};
            at += x->found[i].size;
        }
    }
}

static sg_status append_record(sg_item_text *x, int32_t item, sg_error *err)
{
    size_t size = HEADER;
    sg_status st;

    for (size_t i = 0; i < x->n_columns; i++)
        if (!sg_add(&size, size, sizeof(uint32_t) + x->cell[i].size))
            size = SIZE_MAX;
    if (size > SG_ROW_BYTES_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: more than %zu bytes of text for one item", x->k->in->path,
                       SG_ROW_BYTES_MAX);
    if (x->tail.size && size > x->tail_max - (x->tail.size < x->tail_max ? x->tail.size : x->tail_max)) {
        if ((!x->file.dir && (st = sg_scratch_open(&x->file, x->dir, err))) ||
            (st = sg_scratch_append(&x->file, x->tail.data, x->tail.size, err)))
            return st;
        x->tail.size = 0;
    }
    x->at[item] = 1 + x->file.size + x->tail.size;
    put_u32(&x->tail, size);
    put_u32(&x->tail, x->n_file);
    put_u32(&x->tail, x->n_columns);
    for (size_t i = 0; i < x->n_columns; i++)
        put_u32(&x->tail, x->cell[i].size);
    for (size_t i = 0; i < x->n_columns; i++)
        sg_buf_add(&x->tail, x->cell[i].data, x->cell[i].size);
    return x->tail.failed ? sg_fail_memory(err, "item text") : SG_OK;
}

/* The item has a record: what it lacks is filled in; a text that differs stays as it was. */
static sg_status merge_row(sg_item_text *x, uint64_t line, int32_t item, sg_bytes id, sg_error *err)
{
    bool differs = false, adds = false, same_file;
    char room[SG_QUOTE_ROOM];
    sg_status st;

    if ((st = read_record(x, x->at[item] - 1, err)))
        return st;
    open_record(x);
    same_file = get_u32(x->old.data, 1) == x->n_file;
    for (size_t i = 0; i < x->n_columns; i++) {
        sg_buf *c = &x->cell[i];

        adds = adds || (x->found[i].size == 0 && c->size);
        differs = differs ||
                  (x->found[i].size && c->size && !sg_bytes_equal(x->found[i], (sg_bytes){c->data, c->size}));
        if (same_file)
            differs = differs || (x->found[i].size == 0) != (c->size == 0);
    }
    if (same_file) {
        x->repeated++;
        return differs ? sg_input_fail(x->k->in, line, err, "item %s stands twice, with different texts",
                                       sg_quote(room, id))
                       : SG_OK;
    }
    x->differing += differs;
    for (size_t i = 0; i < x->n_columns; i++) {
        if (x->found[i].size) {
            x->cell[i].size = 0;
            sg_buf_add(&x->cell[i], x->found[i].data, x->found[i].size);
        } else {
            x->bytes[i] += (int64_t)x->cell[i].size;
        }
        if (x->cell[i].failed)
            return sg_fail_memory(err, "item text");
    }
    x->matched++;
    return adds ? append_record(x, item, err) : SG_OK;
}

/* The id with item_id_base added, when there is one. */
static sg_status shift_id(const sg_item_text *x, uint64_t line, sg_bytes *id, char room[32], sg_error *err)
{
    const int64_t base = x->k->spec->item_id_base;
    char quoted[SG_QUOTE_ROOM];
    int64_t value;

    if (!base)
        return SG_OK;
    if (!sg_scan_int(*id, &value) || __builtin_add_overflow(value, base, &value))
        return sg_input_fail(x->k->in, line, err, "item id: expected a number to add %lld to, found %s",
                             (long long)base, sg_quote(quoted, *id));
    *id = (sg_bytes){room, (size_t)snprintf(room, 32, "%lld", (long long)value)};
    return SG_OK;
}

static sg_status find_item(sg_item_text *x, uint64_t line, sg_bytes id, int32_t *item, sg_error *err)
{
    char quoted[SG_QUOTE_ROOM];
    sg_status st;

    *item = sg_vocab_find(x->k->items, id);
    if (*item >= 0 && ((size_t)*item >= x->n_count || x->count[*item] || x->k->spec->items_all))
        return SG_OK;
    if (!x->k->spec->items_all) {
        *item = -1;
        return SG_OK;
    }
    if (id.size > SG_ID_BYTES_MAX || !sg_utf8_valid(id.data, id.size))
        return sg_input_fail(x->k->in, line, err, "item id: expected UTF-8 of at most %d bytes, found %s",
                             SG_ID_BYTES_MAX, sg_quote(quoted, id));
    if ((st = sg_vocab_add(x->k->items, id, item, err)))
        return st;
    return SG_OK;
}

sg_status sg_item_text_row(sg_item_text *x, uint64_t line, sg_bytes id, sg_error *err)
{
    char room[32];
    int32_t item = -1;
    sg_status st = SG_OK;

    x->rows++;
    for (size_t i = 0; i < x->n_columns; i++)
        if (x->cell[i].failed)
            return sg_fail_memory(err, "item text");
    if (id.size == 0)
        st = sg_input_fail(x->k->in, line, err, "item id: expected an id, found nothing");
    if (!st && !(st = shift_id(x, line, &id, room, err)))
        st = find_item(x, line, id, &item, err);
    if (!st && item < 0) {
        x->without_events++;
    } else if (!st) {
        const size_t n = (size_t)sg_vocab_count(x->k->items);

        if (!sg_grow(&x->at, &x->cap_at, n, sizeof *x->at))
            return sg_fail_memory(err, "item text");
        for (; x->n_at < n; x->n_at++)
            x->at[x->n_at] = 0;
        if (x->at[item]) {
            st = merge_row(x, line, item, id, err);
        } else if (!(st = append_record(x, item, err))) {
            x->matched++;
            for (size_t i = 0; i < x->n_columns; i++)
                x->bytes[i] += (int64_t)x->cell[i].size;
        }
    }
    for (size_t i = 0; i < x->n_columns; i++)
        x->cell[i].size = 0;
    return st;
}

bool sg_item_text_has(const sg_item_text *x, int32_t item)
{
    return (size_t)item < x->n_at && x->at[item];
}

sg_status sg_item_text_get(sg_item_text *x, int32_t item, const sg_bytes **cell, sg_error *err)
{
    sg_status st;

    *cell = x->found;
    if (!sg_item_text_has(x, item)) {
        for (size_t i = 0; i < x->n_columns; i++)
            x->found[i] = (sg_bytes){"", 0};
        return SG_OK;
    }
    if ((st = read_record(x, x->at[item] - 1, err)))
        return st;
    open_record(x);
    return SG_OK;
}
