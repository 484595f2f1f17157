/* user_series.c - files about users to series of values in time. */
#include "data/user_series.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "data/scan.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 1000, LOOK_BYTES = 1 << 16 };

void sg_user_series_init(sg_user_series *x, sg_intake *k)
{
    *x = (sg_user_series){.k = k};
}

void sg_user_series_fini(sg_user_series *x)
{
    sg_vocab_free(x->names);
    sg_vocab_free(x->series);
    sg_free(x->of);
    sg_free(x->fact);
    sg_free(x->offsets);
    sg_free(x->time);
    sg_free(x->value);
    *x = (sg_user_series){0};
}

/* ---- a file ------------------------------------------------------------------------------------------------ */

typedef struct layout { /* of one file */
    int user, time;     /* columns; time -1: none */
    int32_t *series;    /* owned (n): of each column; -1: none */
    size_t n;
    uint64_t rows, without_events;
} layout;

static sg_status add_fact(sg_user_series *x, int32_t user, int32_t series, int64_t time, sg_bytes text,
                          sg_error *err)
{
    const sg_bytes name = sg_vocab_at(x->series, series);
    const int32_t known = sg_vocab_count(x->names);
    sg_buf full = {0};
    int32_t value;
    sg_status st;

    sg_utf8_repair(&full, name);
    sg_buf_add(&full, "=", 1);
    sg_utf8_repair(&full, text);
    st = full.failed ? sg_fail_memory(err, "values of users")
                     : sg_vocab_add(x->names, (sg_bytes){full.data, full.size}, &value, err);
    sg_buf_free(&full);
    if (st)
        return st;
    if (!sg_grow(&x->fact, &x->cap, x->n + 1, sizeof *x->fact) ||
        !sg_grow(&x->of, &x->cap_of, (size_t)value + 1, sizeof *x->of))
        return sg_fail_memory(err, "values of users");
    if (value == known)
        x->of[value] = series;
    x->fact[x->n] = (sg_user_fact){user, series, value, time, (int64_t)x->n};
    x->n++;
    return SG_OK;
}

static sg_status add_row(sg_user_series *x, layout *l, const sg_table *t, sg_error *err)
{
    const sg_bytes id = sg_trim(t->field[l->user]);
    int64_t time = INT64_MIN;
    char room[SG_QUOTE_ROOM];
    sg_status st = SG_OK;

    if (id.size == 0)
        return sg_input_fail(x->k->in, t->line, err, "expected the id of a user, found an empty column");
    if (l->time >= 0 && !sg_scan_time(t->field[l->time], &time))
        return sg_input_fail(x->k->in, t->line, err, "expected a time, found %s",
                             sg_quote(room, t->field[l->time]));
    if (l->time >= 0)
        time = time / 1000000 - (time % 1000000 < 0);
    const int32_t user = sg_vocab_find(x->k->users, id);
    l->rows++;
    l->without_events += user < 0;
    for (size_t c = 0; !st && user >= 0 && c < l->n; c++) {
        const sg_bytes text = sg_trim(t->field[c]);

        if (l->series[c] >= 0 && text.size)
            st = add_fact(x, user, l->series[c], time, text, err);
    }
    return st;
}

static sg_status name_columns(sg_user_series *x, layout *l, const sg_bytes *name, size_t n, const char *path,
                              sg_error *err)
{
    static const char *const usual_user[] = {"user", "userid", "uid", "id", NULL};
    static const char *const usual_time[] = {"timestamp", "time", "datetime", "date", "since", NULL};
    char room[SG_QUOTE_ROOM];
    sg_status st = SG_OK;

    if (n > COLUMNS_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d columns, found %zu", path, COLUMNS_MAX,
                       n);
    if ((l->user = sg_column_usual(usual_user, name, n)) < 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: cannot tell which column is the user's id; the first column is %s", path,
                       n ? sg_quote(room, name[0]) : "missing");
    l->time = sg_column_usual(usual_time, name, n);
    l->n = n;
    if (!(l->series = sg_alloc_array(n, sizeof *l->series)))
        return sg_fail_memory(err, path);
    for (size_t c = 0; !st && c < n; c++) {
        l->series[c] = -1;
        if ((int)c != l->user && (int)c != l->time)
            st = sg_vocab_add(x->series, sg_trim(name[c]), &l->series[c], err);
    }
    return st;
}

static sg_status read_rows(sg_user_series *x, layout *l, sg_table *t, bool held, sg_error *err)
{
    bool got = true;
    sg_status st = SG_OK;

    while (got) {
        if (!held)
            st = sg_table_next(t, &got, err);
        held = false;
        if (!st && got)
            st = t->n_fields == l->n ? add_row(x, l, t, err)
                                     : sg_input_fail(x->k->in, t->line, err,
                                                     "expected %zu columns, found %zu", l->n, t->n_fields);
        if (st && (st = sg_intake_bad(x->k, st, err)))
            return st;
    }
    return SG_OK;
}

/* The first line says what the file is. */
typedef enum kind { MOVIELENS_BARS, MOVIELENS_COLONS, RECBOLE, TABS, COMMAS } kind;

static size_t count_of(sg_bytes line, const char *text)
{
    const size_t step = strlen(text);
    size_t n = 0;

    for (size_t i = 0; i + step <= line.size;)
        if (memcmp(line.data + i, text, step) == 0) {
            n++;
            i += step;
        } else {
            i++;
        }
    return n;
}

static kind kind_of(sg_bytes line)
{
    const bool number = line.size && line.data[0] >= '0' && line.data[0] <= '9';

    if (number && count_of(line, "|") == 4)
        return MOVIELENS_BARS;
    if (number && count_of(line, "::") == 4)
        return MOVIELENS_COLONS;
    if (count_of(line, "\t"))
        return count_of(line, ":") == count_of(line, "\t") + 1 ? RECBOLE : TABS;
    return COMMAS;
}

static sg_status read_table(sg_user_series *x, layout *l, kind k, sg_error *err)
{
    static const char *const bars[] = {"user_id", "age", "gender", "occupation", "zip_code"};
    static const char *const colons[] = {"user_id", "gender", "age", "occupation", "zip_code"};
    const bool movielens = k == MOVIELENS_BARS || k == MOVIELENS_COLONS;
    sg_bytes name[5];
    sg_table t;
    sg_status st;
    bool got;

    sg_table_init(&t, x->k->in,
                  k == MOVIELENS_BARS     ? '|'
                  : k == MOVIELENS_COLONS ? ':'
                  : k == COMMAS           ? ','
                                          : '\t',
                  k == MOVIELENS_COLONS, k == COMMAS);
    for (int i = 0; i < 5; i++)
        name[i] = sg_bytes_of(k == MOVIELENS_BARS ? bars[i] : colons[i]);
    if ((st = sg_table_next(&t, &got, err)))
        goto done;
    if (!got) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a header line, found an empty file", x->k->in->path);
        goto done;
    }
    if ((k == RECBOLE && (st = sg_recbole_header(t.field, t.n_fields, x->k->in->path, err))) ||
        (st =
             name_columns(x, l, movielens ? name : t.field, movielens ? 5 : t.n_fields, x->k->in->path, err)))
        goto done;
    st = read_rows(x, l, &t, movielens, err);
done:
    sg_table_fini(&t);
    return st;
}

/* The first line, without taking it. */
static sg_status first_line(sg_bytes *line, sg_input *in, sg_error *err)
{
    const char *end = NULL;
    sg_status st;

    while (!(end = in->end > in->begin ? memchr(in->data + in->begin, '\n', in->end - in->begin) : NULL) &&
           !in->ended && in->end - in->begin < LOOK_BYTES)
        if ((st = sg_input_more(in, err)))
            return st;
    *line =
        (sg_bytes){in->data + in->begin, end ? (size_t)(end - in->data) - in->begin : in->end - in->begin};
    return SG_OK;
}

sg_status sg_user_series_read(sg_user_series *x, uint64_t *rows, uint64_t *without_events, sg_error *err)
{
    layout l = {0};
    sg_bytes line;
    sg_status st;

    if ((!x->names && (st = sg_vocab_new(&x->names, err))) ||
        (!x->series && (st = sg_vocab_new(&x->series, err))) || (st = first_line(&line, x->k->in, err)))
        return st;
    st = read_table(x, &l, kind_of(line), err);
    *rows = l.rows;
    *without_events = l.without_events;
    sg_free(l.series);
    return st;
}

sg_status sg_user_series_file(sg_user_series *x, const char *path, json_t **report, sg_error *err)
{
    uint64_t rows = 0, without_events = 0;
    sg_input in;
    sg_status st;

    *report = NULL;
    if ((st = sg_input_open(&in, path, err)))
        return st;
    x->k->in = &in;
    st = sg_user_series_read(x, &rows, &without_events, err);
    x->k->in = NULL;
    sg_input_close(&in);
    if (st)
        return st;
    if (rows == without_events)
        return sg_fail(err, SG_ERR_FORMAT, "%s: none of its %llu rows is of a user of the events", path,
                       (unsigned long long)rows);
    *report = json_pack("{s:s, s:I, s:I}", "path", path, "rows", (json_int_t)rows, "without_events",
                        (json_int_t)without_events);
    return *report ? SG_OK : sg_fail_memory(err, path);
}

/* ---- all files --------------------------------------------------------------------------------------------- */

static int in_order(const void *a, const void *b)
{
    const sg_user_fact *x = a, *y = b;

    return x->user != y->user   ? (x->user > y->user) - (x->user < y->user)
           : x->time != y->time ? (x->time > y->time) - (x->time < y->time)
                                : (x->row > y->row) - (x->row < y->row);
}

/* Facts of users of the dataset, renumbered, sorted. */
static void renumber(sg_user_series *x, const int32_t *number)
{
    size_t n = 0;

    for (size_t i = 0; i < x->n; i++)
        if (number[x->fact[i].user] >= 0) {
            x->fact[n] = x->fact[i];
            x->fact[n].user = number[x->fact[i].user];
            n++;
        }
    x->n = n;
    if (n)
        qsort(x->fact, n, sizeof *x->fact, in_order);
}

sg_status sg_user_series_end(sg_series *out, sg_user_series *x, const int32_t *number, int32_t n_users,
                             sg_error *err)
{
    const size_t n_series = x->series ? (size_t)sg_vocab_count(x->series) : 0;
    int32_t *last = sg_alloc_array(n_series, 2 * sizeof *last), *of_user = last ? last + n_series : NULL;
    int64_t n = 0;

    *out = (sg_series){0};
    renumber(x, number);
    x->offsets = sg_alloc_zero((size_t)n_users + 1, sizeof *x->offsets);
    x->time = sg_alloc_array(x->n, sizeof *x->time);
    x->value = sg_alloc_array(x->n, sizeof *x->value);
    if (!last || !x->offsets || !x->time || !x->value) {
        sg_free(last);
        return sg_fail_memory(err, "values of users");
    }
    for (size_t s = 0; s < n_series; s++)
        of_user[s] = -1;
    for (size_t i = 0; i < x->n; i++) {
        const sg_user_fact *f = &x->fact[i];

        if (of_user[f->series] == f->user && last[f->series] == f->value)
            continue; /* as before */
        of_user[f->series] = f->user;
        last[f->series] = f->value;
        x->time[n] = f->time;
        x->value[n++] = f->value;
        x->offsets[f->user + 1]++;
    }
    for (int32_t u = 0; u < n_users; u++)
        x->offsets[u + 1] += x->offsets[u];
    sg_free(last);
    if (n)
        *out = (sg_series){.n = n,
                           .offsets = x->offsets,
                           .time = x->time,
                           .value = x->value,
                           .of = x->of,
                           .names = sg_vocab_strings(x->names)};
    return SG_OK;
}
