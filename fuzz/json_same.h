/* json_same.h - one text, read by steps and by jansson: both refuse it, or both find the same values. */
#ifndef SG_FUZZ_JSON_SAME_H
#define SG_FUZZ_JSON_SAME_H

#include "file/json.h"
#include "file/json_reader.h"

#include <string.h>

static bool json_same_text(sg_bytes s, const char *text, size_t size)
{
    return s.size == size && (!size || memcmp(s.data, text, size) == 0);
}

/* The steps of a value that has just begun. */
static bool json_same_value(sg_json_reader *r, const json_t *v)
{
    static const sg_json_step plain[] = {
        [JSON_TRUE] = SG_JSON_STEP_TRUE, [JSON_FALSE] = SG_JSON_STEP_FALSE, [JSON_NULL] = SG_JSON_STEP_NULL};
    json_t *whole = (json_t *)(uintptr_t)v;

    switch (json_typeof(v)) {
    case JSON_OBJECT:
        if (r->step != SG_JSON_STEP_OBJECT)
            return false;
        for (void *it = json_object_iter(whole); it; it = json_object_iter_next(whole, it))
            if (sg_json_reader_next(r, NULL) ||
                !json_same_text(r->key, json_object_iter_key(it), json_object_iter_key_len(it)) ||
                !json_same_value(r, json_object_iter_value(it)))
                return false;
        return !sg_json_reader_next(r, NULL) && r->step == SG_JSON_STEP_CLOSE;
    case JSON_ARRAY:
        if (r->step != SG_JSON_STEP_ARRAY)
            return false;
        for (size_t i = 0; i < json_array_size(v); i++)
            if (sg_json_reader_next(r, NULL) || r->key.size || !json_same_value(r, json_array_get(v, i)))
                return false;
        return !sg_json_reader_next(r, NULL) && r->step == SG_JSON_STEP_CLOSE;
    case JSON_STRING:
        return r->step == SG_JSON_STEP_STRING &&
               json_same_text(r->string, json_string_value(v), json_string_length(v));
    case JSON_INTEGER:
        return r->step == SG_JSON_STEP_INTEGER && r->integer == json_integer_value(v);
    case JSON_REAL: {
        const double x = sg_json_reader_real(r), y = json_real_value(v);

        return r->step == SG_JSON_STEP_REAL && memcmp(&x, &y, sizeof x) == 0;
    }
    default:
        return r->step == plain[json_typeof(v)];
    }
}

/* All of it in one go: does the reader accept the text, and where did it stop. */
static sg_status json_read_through(sg_bytes text, sg_error *err)
{
    sg_json_reader r;
    sg_status st;

    sg_json_reader_init(&r, text, "same");
    do
        st = sg_json_reader_next(&r, err);
    while (!st && r.step != SG_JSON_STEP_END);
    sg_json_reader_fini(&r);
    return st;
}

/* NULL: they agree; otherwise in what they differ. */
static const char *json_same(sg_bytes text)
{
    sg_error err = {0}, err_jansson = {0};
    sg_json_reader r;
    json_t *v;
    const sg_status st = json_read_through(text, &err),
                    st_jansson = sg_json_parse(&v, text, "same", &err_jansson);
    bool same;

    if (text.size && memchr(text.data, 0, text.size)) { /* which jansson overlooks behind a number */
        json_decref(v);
        return st ? NULL : "a 0 byte is accepted";
    }
    if (st || st_jansson) {
        json_decref(v);
        return !st != !st_jansson                                              ? "one of them refuses it"
               : strncmp(err.message, "same:", 5) || strchr(err.message, '\n') ? "message"
                                                                               : NULL;
    }
    sg_json_reader_init(&r, text, "same");
    same = !sg_json_reader_next(&r, NULL) && json_same_value(&r, v) && !sg_json_reader_next(&r, NULL) &&
           r.step == SG_JSON_STEP_END;
    sg_json_reader_fini(&r);
    json_decref(v);
    return same ? NULL : "values";
}

#endif
