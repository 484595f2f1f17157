/* import_csv.c - CSV [RFC 4180] and TSV (no quoting: a quote is a character), with or without a header line.
 */
#include "data/intake.h"

#include "data/scan.h"

sg_status sg_table_events(sg_intake *k, sg_table *t, const sg_columns *c, size_t n, bool held, sg_error *err)
{
    sg_status st;
    bool got = held;

    if ((st = sg_intake_columns(k, c->time >= 0, c->rating >= 0, c->action >= 0, err)))
        return st;
    for (;; held = false) {
        if (!held)
            st = sg_table_next(t, &got, err);
        if (!st && !got)
            return SG_OK;
        if (!st && t->n_fields != n) {
            st = sg_input_fail(k->in, t->line, err, "expected %zu columns, found %zu", n, t->n_fields);
        } else if (!st) {
            const sg_bytes none = {0}, *f = t->field;
            const sg_raw_event raw = {f[c->user], f[c->item], c->time < 0 ? none : f[c->time],
                                      c->rating < 0 ? none : f[c->rating],
                                      c->action < 0 ? none : f[c->action]};

            st = sg_intake_event(k, t->line, &raw, err);
        }
        if (st && (st = sg_intake_bad(k, st, err)))
            return st;
    }
}

/* Two columns of one name cannot be told apart when the name is asked for. */
static sg_status check_twins(const sg_table *t, const sg_columns *c, const char *where, sg_error *err)
{
    const int used[] = {c->user, c->item, c->time, c->rating, c->action};
    char room[SG_QUOTE_ROOM];

    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        for (size_t k = 0; used[i] >= 0 && k < t->n_fields; k++)
            if (k != (size_t)used[i] && sg_bytes_equal(t->field[k], t->field[used[i]]))
                return sg_fail(err, SG_ERR_FORMAT, "%s: columns %d and %zu are both called %s", where,
                               used[i] + 1, k + 1, sg_quote(room, t->field[k]));
    return SG_OK;
}

static sg_status read_table(sg_intake *k, sg_table *t, sg_error *err)
{
    const bool header = !k->spec->no_header;
    sg_columns c;
    sg_status st;
    bool got;

    if ((st = sg_table_next(t, &got, err)))
        return st;
    if (!got)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected rows, found an empty file", k->in->path);
    if ((st = sg_columns_find(&c, k->spec, header ? t->field : NULL, t->n_fields, k->in->path, err)) ||
        (header && (st = check_twins(t, &c, k->in->path, err))))
        return st;
    const int used = 2 + (c.time >= 0) + (c.rating >= 0) + (c.action >= 0);
    if (!header && (size_t)used < t->n_fields &&
        (st = sg_intake_warn(k, err,
                             "%s: %d of its %zu columns are read; without a header the others must be named",
                             k->in->path, used, t->n_fields)))
        return st;
    return sg_table_events(k, t, &c, t->n_fields, !header, err);
}

sg_status sg_import_csv(sg_intake *k, sg_error *err)
{
    sg_table t;
    sg_status st;

    sg_table_init(&t, k->in, k->spec->separator ? k->spec->separator : ',', false, true);
    st = read_table(k, &t, err);
    sg_table_fini(&t);
    return st;
}

sg_status sg_import_tsv(sg_intake *k, sg_error *err)
{
    sg_table t;
    sg_status st;

    sg_table_init(&t, k->in, k->spec->separator ? k->spec->separator : '\t', false, false);
    st = read_table(k, &t, err);
    sg_table_fini(&t);
    return st;
}
