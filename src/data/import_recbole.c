/* import_recbole.c - RecBole's atomic .inter files: tabs, no quoting, a header of name:type with the types
 * token, token_seq, float, float_seq. Usual names: user_id, item_id, rating, timestamp. */
#include "data/intake.h"

#include "base/alloc.h"
#include "data/scan.h"

#include <string.h>

sg_status sg_recbole_header(sg_bytes *name, size_t n, const char *where, sg_error *err)
{
    char room[SG_QUOTE_ROOM];

    for (size_t i = 0; i < n; i++) {
        const char *colon = name[i].size ? memchr(name[i].data, ':', name[i].size) : NULL;
        const sg_bytes type = colon ? (sg_bytes){colon + 1, (size_t)(name[i].data + name[i].size - colon - 1)}
                                    : (sg_bytes){"", 0};

        if (!sg_bytes_equal(type, sg_bytes_of("token")) && !sg_bytes_equal(type, sg_bytes_of("token_seq")) &&
            !sg_bytes_equal(type, sg_bytes_of("float")) && !sg_bytes_equal(type, sg_bytes_of("float_seq")))
            return sg_fail(
                err, SG_ERR_FORMAT,
                "%s:1: column %zu: expected name:type with token, token_seq, float or float_seq, found %s",
                where, i + 1, sg_quote(room, name[i]));
        name[i].size = (size_t)(colon - name[i].data);
    }
    return SG_OK;
}

sg_status sg_import_recbole(sg_intake *k, sg_error *err)
{
    sg_columns c;
    sg_table t;
    sg_status st;
    bool got;

    sg_table_init(&t, k->in, '\t', false, false);
    if ((st = sg_table_next(&t, &got, err)))
        goto done;
    if (!got)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a header of name:type columns, found an empty file",
                     k->in->path);
    else if (!(st = sg_recbole_header(t.field, t.n_fields, k->in->path, err)) &&
             !(st = sg_columns_find(&c, k->spec, t.field, t.n_fields, k->in->path, err)))
        st = sg_table_events(k, &t, &c, t.n_fields, false, err);
done:
    sg_table_fini(&t);
    return st;
}
