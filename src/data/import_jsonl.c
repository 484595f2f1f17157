/* import_jsonl.c - one JSON object a line; the keys of the first line are the columns. */
#include "data/intake.h"

#include "base/alloc.h"
#include "data/json_scan.h"
#include "data/scan.h"

#include <string.h>

enum { USER, ITEM, TIME, RATING, ACTION, ROLES, KEYS_MAX = 1000 };

typedef struct mapping {
    char *key[ROLES]; /* owned; NULL: no such column */
    size_t size[ROLES];
    sg_buf room[ROLES]; /* decoded values */
} mapping;

static void free_mapping(mapping *m)
{
    for (int i = 0; i < ROLES; i++) {
        sg_free(m->key[i]);
        sg_buf_free(&m->room[i]);
    }
}

/* Keys are compared as they are written: an escaped one is never a column. */
static sg_status find_columns(sg_intake *k, mapping *m, sg_bytes line, const char *needed, sg_error *err)
{
    sg_json_value key, value;
    sg_bytes *name = sg_alloc_array(KEYS_MAX, sizeof *name);
    sg_json_scan s;
    sg_columns c = {0};
    size_t n = 0;
    sg_status st;

    if (!name)
        return sg_fail_memory(err, k->in->path);
    sg_json_begin(&s, line, false);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value) && n < KEYS_MAX;)
        name[n++] = key.text;
    if (s.problem)
        st = sg_json_fail(&s, k->in, line, k->in->line, err);
    else if ((st = sg_columns_find(&c, k->spec, name, n, k->in->path, err)) == SG_ERR_USAGE && needed)
        st = sg_fail(err, SG_ERR_FORMAT, "%s:%llu: %s", k->in->path, (unsigned long long)k->in->line, needed);
    if (!st) {
        const int index[ROLES] = {c.user, c.item, c.time, c.rating, c.action};

        for (int i = 0; !st && i < ROLES; i++) {
            if (index[i] < 0)
                continue;
            m->size[i] = name[index[i]].size;
            if (!(m->key[i] = sg_strndup(name[index[i]].data, m->size[i])))
                st = sg_fail_memory(err, k->in->path);
        }
        if (!st)
            st = sg_intake_columns(k, c.time >= 0, c.rating >= 0, c.action >= 0, err);
    }
    sg_free(name);
    return st;
}

static sg_status read_value(sg_intake *k, const mapping *m, int role, const sg_json_value *v, sg_buf *room,
                            sg_bytes *out, sg_error *err)
{
    if (out->data)
        return sg_input_fail(k->in, k->in->line, err, "key '%s' stands twice", m->key[role]);
    if (v->kind == SG_JSON_ARRAY || v->kind == SG_JSON_OBJECT)
        return sg_input_fail(k->in, k->in->line, err, "'%s': expected text or a number, found an %s",
                             m->key[role], v->kind == SG_JSON_ARRAY ? "array" : "object");
    if (v->kind == SG_JSON_NULL)
        *out = (sg_bytes){"", 0};
    else if (v->kind != SG_JSON_STRING)
        *out = v->text;
    else if (!sg_json_string(out, v, room))
        return sg_fail_memory(err, k->in->path);
    return SG_OK;
}

static sg_status read_object(sg_intake *k, mapping *m, sg_bytes line, sg_error *err)
{
    sg_bytes field[ROLES] = {{0}};
    sg_json_value key, value;
    sg_json_scan s;
    sg_status st;

    sg_json_begin(&s, line, false);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value);)
        for (int i = 0; i < ROLES; i++)
            if (m->key[i] && key.text.size == m->size[i] &&
                memcmp(key.text.data, m->key[i], m->size[i]) == 0 &&
                (st = read_value(k, m, i, &value, &m->room[i], &field[i], err)))
                return st;
    if (s.problem || !sg_json_end(&s))
        return sg_json_fail(&s, k->in, line, k->in->line, err);
    const sg_raw_event raw = {field[USER], field[ITEM], field[TIME], field[RATING], field[ACTION]};
    return sg_intake_event(k, k->in->line, &raw, err);
}

sg_status sg_json_lines(sg_intake *k, const char *needed, sg_error *err)
{
    mapping m = {.key = {NULL}};
    uint64_t blank = 0;
    bool got, known = false;
    sg_bytes line;
    sg_status st;

    for (;;) {
        st = sg_input_line(k->in, &line, &got, err);
        if (!st && !got)
            break;
        if (!st && sg_trim(line).size == 0) {
            blank = blank ? blank : k->in->line;
            continue;
        }
        if (blank) {
            const sg_status empty =
                sg_input_fail(k->in, blank, err, "expected an object, found an empty line");

            if ((st = sg_intake_bad(k, empty, err)))
                break;
            blank = 0;
        }
        if (!st && !known) {
            if ((st = find_columns(k, &m, line, needed, err)))
                break;
            known = true;
        }
        if (!st)
            st = read_object(k, &m, line, err);
        if (st && (st = sg_intake_bad(k, st, err)))
            break;
    }
    if (!st && !known)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected JSON lines, found an empty file", k->in->path);
    free_mapping(&m);
    return st;
}

sg_status sg_import_jsonl(sg_intake *k, sg_error *err)
{
    return sg_json_lines(k, NULL, err);
}
