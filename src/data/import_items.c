/* import_items.c - item files that are tables: CSV, TSV, RecBole .item, and MovieLens' movies.dat and u.item;
 * and which reader a file needs. Ids are matched to those of the events; a file that matches none is an
 * error. */
#include "data/item_text.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "data/scan.h"

#include <string.h>

/* The id column: as asked for, or a usual name, or "id". */
static sg_status id_column(const sg_item_text *x, const sg_bytes *name, size_t n, int *out, sg_error *err)
{
    static const char *const plain[] = {"id", NULL};
    const char *wanted = x->k->spec->column_item_id, *where = x->k->in->path;
    char room[SG_QUOTE_ROOM];

    if (wanted)
        return sg_column_named(out, wanted, name, n, where, err);
    if ((*out = sg_column_usual(sg_usual_item, name, n)) >= 0 ||
        (*out = sg_column_usual(plain, name, n)) >= 0)
        return SG_OK;
    return sg_fail(err, SG_ERR_USAGE,
                   "%s: cannot tell which column is the item's id: name it; the first column is %s", where,
                   n ? sg_quote(room, name[0]) : "missing");
}

static sg_status table_rows(sg_item_text *x, sg_table *t, int id, const int *column, size_t n, sg_error *err)
{
    sg_status st;
    bool got;

    for (;;) {
        st = sg_table_next(t, &got, err);
        if (!st && !got)
            return SG_OK;
        if (!st && t->n_fields != n) {
            st = sg_input_fail(x->k->in, t->line, err, "expected %zu columns, found %zu", n, t->n_fields);
        } else if (!st) {
            for (size_t i = 0; i < n; i++)
                sg_item_text_set(x, column[i], t->field[i]);
            st = sg_item_text_row(x, t->line, t->field[id], err);
        }
        if (st && (st = sg_intake_bad(x->k, st, err)))
            return st;
    }
}

sg_status sg_items_table(sg_item_text *x, char separator, bool quotes, bool recbole, sg_error *err)
{
    const char *path = x->k->in->path;
    int id = -1, *column = NULL;
    sg_table t;
    sg_status st;
    bool got;

    sg_table_init(&t, x->k->in, separator, false, quotes);
    if ((st = sg_table_next(&t, &got, err)))
        goto done;
    if (!got) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a header line, found an empty file", path);
        goto done;
    }
    const size_t n = t.n_fields;
    if ((recbole && (st = sg_recbole_header(t.field, n, path, err))) ||
        (st = id_column(x, t.field, n, &id, err)))
        goto done;
    if (!(column = sg_alloc_array(n, sizeof *column))) {
        st = sg_fail_memory(err, path);
        goto done;
    }
    for (size_t i = 0; !st && i < n; i++) {
        column[i] = -1;
        if (i != (size_t)id)
            st = sg_item_text_column(x, sg_trim(t.field[i]), &column[i], err);
        for (size_t k = 0; !st && k < i; k++)
            if (column[i] >= 0 && column[i] == column[k])
                st = sg_fail(err, SG_ERR_FORMAT, "%s: columns %zu and %zu are both called '%s'", path, k + 1,
                             i + 1, x->name[column[i]]);
    }
    if (!st)
        st = table_rows(x, &t, id, column, n, err);
done:
    sg_free(column);
    sg_table_fini(&t);
    return st;
}

/* ---- MovieLens: no header, Latin-1 in the originals, UTF-8 in some copies ---- */

static void set_latin1(sg_item_text *x, int column, sg_bytes text, sg_buf *room)
{
    if (!sg_utf8_valid(text.data, text.size)) {
        room->size = 0;
        sg_latin1_to_utf8(room, text);
        text = (sg_bytes){room->data, room->failed ? 0 : room->size};
    }
    sg_item_text_set(x, column, text);
}

/* "1::Toy Story (1995)::Animation|Children's|Comedy" */
static sg_status movies_dat_row(sg_item_text *x, const sg_table *t, const int column[2], sg_buf *room,
                                sg_error *err)
{
    if (t->n_fields != 3)
        return sg_input_fail(x->k->in, t->line, err, "expected 3 columns, found %zu", t->n_fields);
    set_latin1(x, column[0], t->field[1], room);
    set_latin1(x, column[1], t->field[2], room);
    return sg_item_text_row(x, t->line, t->field[0], err);
}

/* "1|Toy Story (1995)|01-Jan-1995||http://...|0|0|0|1|...": 19 flags, one a genre */
static sg_status u_item_row(sg_item_text *x, const sg_table *t, const int column[2], sg_buf *room,
                            sg_error *err)
{
    static const char *const genre[] = {"unknown",   "Action",   "Adventure",   "Animation", "Children's",
                                        "Comedy",    "Crime",    "Documentary", "Drama",     "Fantasy",
                                        "Film-Noir", "Horror",   "Musical",     "Mystery",   "Romance",
                                        "Sci-Fi",    "Thriller", "War",         "Western"};
    enum { FLAGS = sizeof genre / sizeof *genre, FIRST = 5 };
    char genres[FLAGS * 16] = "";
    size_t n = 0;

    if (t->n_fields != FIRST + FLAGS)
        return sg_input_fail(x->k->in, t->line, err, "expected %d columns, found %zu", FIRST + FLAGS,
                             t->n_fields);
    for (int i = 0; i < FLAGS; i++) {
        const sg_bytes flag = t->field[FIRST + i];

        if (flag.size != 1 || (flag.data[0] != '0' && flag.data[0] != '1'))
            return sg_input_fail(x->k->in, t->line, err, "column %d: expected 0 or 1", FIRST + i + 1);
        if (flag.data[0] == '1') {
            if (n)
                genres[n++] = '|';
            memcpy(genres + n, genre[i], strlen(genre[i]));
            n += strlen(genre[i]);
        }
    }
    set_latin1(x, column[0], t->field[1], room);
    sg_item_text_set(x, column[1], (sg_bytes){genres, n});
    return sg_item_text_row(x, t->line, t->field[0], err);
}

typedef sg_status movie_row(sg_item_text *x, const sg_table *t, const int column[2], sg_buf *room,
                            sg_error *err);

static sg_status movies(sg_item_text *x, char separator, bool doubled, movie_row *row, sg_error *err)
{
    sg_buf room = {0};
    int column[2];
    sg_table t;
    sg_status st;
    bool got;

    sg_table_init(&t, x->k->in, separator, doubled, false);
    if (!(st = sg_item_text_column(x, sg_bytes_of("title"), &column[0], err)))
        st = sg_item_text_column(x, sg_bytes_of("genres"), &column[1], err);
    while (!st) {
        st = sg_table_next(&t, &got, err);
        if (!st && !got)
            break;
        if (!st)
            st = row(x, &t, column, &room, err);
        if (!st && room.failed)
            st = sg_fail_memory(err, x->k->in->path);
        if (st)
            st = sg_intake_bad(x->k, st, err);
    }
    sg_table_fini(&t);
    sg_buf_free(&room);
    return st;
}

sg_status sg_items_movies_dat(sg_item_text *x, sg_error *err)
{
    return movies(x, ':', true, movies_dat_row, err);
}

sg_status sg_items_u_item(sg_item_text *x, sg_error *err)
{
    return movies(x, '|', false, u_item_row, err);
}

/* ---- any item file ---- */

sg_status sg_item_text_read(sg_item_text *x, sg_item_format format, sg_error *err)
{
    switch (format) {
    case SG_ITEMS_CSV:
        return sg_items_table(x, ',', true, false, err);
    case SG_ITEMS_TSV:
        return sg_items_table(x, '\t', false, false, err);
    case SG_ITEMS_RECBOLE:
        return sg_items_table(x, '\t', false, true, err);
    case SG_ITEMS_MOVIES_DAT:
        return sg_items_movies_dat(x, err);
    case SG_ITEMS_U_ITEM:
        return sg_items_u_item(x, err);
    case SG_ITEMS_JSON_LINES:
        return sg_items_json_lines(x, false, err);
    case SG_ITEMS_PYTHON_LINES:
        return sg_items_json_lines(x, true, err);
    case SG_ITEMS_JSON:
        return sg_items_json(x, err);
    }
    return SG_OK;
}

static sg_status judge(sg_item_text *x, sg_error *err)
{
    const char *path = x->k->in->path;
    sg_status st;

    if (!x->rows)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected items, found none", path);
    if (!x->matched && !x->repeated)
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: none of its %llu ids is an item of the events: another id column, or another base?", path,
            (unsigned long long)x->rows);
    if (x->repaired && (st = sg_intake_warn(x->k, err, "%s: %llu invalid UTF-8 bytes replaced by U+FFFD",
                                            path, (unsigned long long)x->repaired)))
        return st;
    if (x->differing &&
        (st = sg_intake_warn(x->k, err,
                             "%s: %llu items have other texts than in the files before, which are kept", path,
                             (unsigned long long)x->differing)))
        return st;
    return SG_OK;
}

sg_status sg_item_text_file(sg_item_text *x, const char *path, json_t **report, sg_error *err)
{
    sg_item_format format;
    sg_input in;
    sg_status st;

    *report = NULL;
    if ((st = sg_input_open(&in, path, err)))
        return st;
    x->k->in = &in;
    x->n_file++;
    x->rows = x->matched = x->without_events = x->repeated = x->repaired = x->differing = 0;
    if ((st = sg_item_format_find(&format, &in, err)) || (st = sg_item_text_read(x, format, err)) ||
        (st = judge(x, err)))
        goto done;
    *report = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "path", path, "rows", (json_int_t)x->rows,
                        "matched", (json_int_t)x->matched, "without_events", (json_int_t)x->without_events,
                        "repeated", (json_int_t)x->repeated, "repaired_bytes", (json_int_t)x->repaired);
    if (!*report)
        st = sg_fail_memory(err, path);
done:
    sg_input_close(&in);
    x->k->in = NULL;
    return st;
}
