/* import_sequences.c - {"user": [item, item, ...], ...}: one JSON object, each user's items in order of time.
 */
#include "data/intake.h"

#include "data/json_scan.h"
#include "data/scan.h"

static sg_status read_user(sg_intake *k, const sg_json_file *f, const sg_json_value *key,
                           const sg_json_value *items, sg_buf room[2], sg_error *err)
{
    sg_raw_event raw = {.user = {NULL, 0}};
    sg_json_value value;
    char quoted[SG_QUOTE_ROOM];
    sg_json_scan s;
    uint64_t n = 0;
    sg_status st = SG_OK;

    if (!sg_json_string(&raw.user, key, &room[0]))
        return sg_fail_memory(err, k->in->path);
    if (items->kind != SG_JSON_ARRAY)
        return sg_input_fail(k->in, f->line, err, "user %s: expected an array of items",
                             sg_quote(quoted, raw.user));
    if ((st = sg_intake_flush(k, err)))
        return st;
    if (sg_vocab_find(k->users, raw.user) >= 0)
        return sg_input_fail(k->in, f->line, err, "user %s stands twice", sg_quote(quoted, raw.user));
    sg_json_begin(&s, items->text, false);
    for (sg_json_enter(&s, '['); sg_json_element(&s, &value); n++)
        if (value.kind != SG_JSON_STRING && value.kind != SG_JSON_NUMBER)
            return sg_input_fail(k->in, f->line, err, "user %s: item %llu: expected text or a number",
                                 sg_quote(quoted, raw.user), (unsigned long long)n + 1);
    if (!n)
        return sg_input_fail(k->in, f->line, err, "user %s: expected at least one item, found none",
                             sg_quote(quoted, raw.user));
    sg_json_begin(&s, items->text, false);
    for (sg_json_enter(&s, '['); !st && sg_json_element(&s, &value);) {
        raw.item = value.text;
        if (value.kind == SG_JSON_STRING && !sg_json_string(&raw.item, &value, &room[1]))
            st = sg_fail_memory(err, k->in->path);
        else
            st = sg_intake_event(k, f->line, &raw, err);
    }
    return st;
}

sg_status sg_import_sequences(sg_intake *k, sg_error *err)
{
    sg_buf room[2] = {{0}};
    sg_json_value key, items;
    sg_json_file f;
    sg_status st;
    bool got;

    if ((st = sg_intake_columns(k, false, false, false, err)) || (st = sg_json_file_begin(&f, k->in, err)))
        return st;
    if (f.kind != SG_JSON_OBJECT)
        return sg_fail(err, SG_ERR_FORMAT, "%s:%llu: expected an object {user: [items]}, found an array",
                       k->in->path, (unsigned long long)k->in->line + 1);
    for (;;) {
        st = sg_json_file_next(&f, &key, &items, &got, err);
        if (!st && !got)
            break;
        if (!st)
            st = read_user(k, &f, &key, &items, room, err);
        if (st && (st = sg_intake_bad(k, st, err)))
            break;
    }
    sg_buf_free(&room[0]);
    sg_buf_free(&room[1]);
    return st;
}
