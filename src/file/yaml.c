/* yaml.c - libyaml's events, turned into jansson values by one function that calls itself. */
#include "file/yaml.h"

#include "base/io.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { DEPTH_MAX = 64 };

typedef struct reader {
    yaml_parser_t parser;
    const char *name;
    json_t *places; /* borrowed; NULL: not wanted */
    sg_buf path;    /* of the value being read: "train.lr" */
    sg_error *err;
} reader;

static sg_status fail_at(const reader *r, yaml_mark_t mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sg_status fail_at(const reader *r, yaml_mark_t mark, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sg_fail(r->err, SG_ERR_FORMAT, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1, text);
}

static sg_status next(reader *r, yaml_event_t *e)
{
    if (yaml_parser_parse(&r->parser, e))
        return SG_OK;
    if (r->parser.error == YAML_MEMORY_ERROR)
        return sg_fail_memory(r->err, r->name);
    if (r->parser.error == YAML_READER_ERROR)
        return sg_fail(r->err, SG_ERR_FORMAT, "%s: byte %zu: %s", r->name, r->parser.problem_offset,
                       r->parser.problem);
    return fail_at(r, r->parser.problem_mark, "%s", r->parser.problem ? r->parser.problem : "broken YAML");
}

static bool all_digits(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n && !s[n];
}

/* [-+]? ( . digits | digits ( . digits* )? ) ( [eE] [-+]? digits )? */
static bool looks_real(const char *s)
{
    size_t whole, part = 0;

    s += *s == '-' || *s == '+';
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        part = strspn(++s, "0123456789");
        s += part;
    }
    if (whole + part == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        return all_digits(s);
    }
    return !*s;
}

static sg_status read_scalar(reader *r, json_t **out, const yaml_event_t *e)
{
    const char *s = (const char *)e->data.scalar.value;
    const size_t size = e->data.scalar.length;
    const bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (plain && (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0)) {
        *out = json_null();
    } else if (plain && (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)) {
        *out = json_boolean(*s == 't');
    } else if (plain && all_digits(s + (*s == '-' || *s == '+'))) {
        errno = 0;
        const long long i = strtoll(s, NULL, 10);
        if (errno)
            return fail_at(r, e->start_mark, "expected an integer of at most 64 bits, found %.100s", s);
        *out = json_integer(i);
    } else if (plain && looks_real(s)) {
        const double x = strtod(s, NULL);
        if (!isfinite(x))
            return fail_at(r, e->start_mark, "expected a finite number, found %.100s", s);
        *out = json_real(x);
    } else if (strlen(s) != size) {
        return fail_at(r, e->start_mark, "expected text without zero bytes");
    } else {
        *out = json_stringn(s, size);
    }
    return *out ? SG_OK : sg_fail_memory(r->err, r->name);
}

static sg_status note_place(reader *r, yaml_mark_t mark)
{
    char text[48];

    if (!r->places)
        return SG_OK;
    snprintf(text, sizeof text, "%zu:%zu", mark.line + 1, mark.column + 1);
    if (r->path.failed || json_object_set_new(r->places, r->path.data ? r->path.data : "", json_string(text)))
        return sg_fail_memory(r->err, r->name);
    return SG_OK;
}

static size_t enter(reader *r, const char *name)
{
    const size_t before = r->path.size;

    if (before)
        sg_buf_putc(&r->path, '.');
    sg_buf_puts(&r->path, name);
    return before;
}

static void leave(reader *r, size_t before)
{
    r->path.size = before;
    if (r->path.data)
        r->path.data[before] = 0;
}

static sg_status read_value(reader *r, json_t **out, const yaml_event_t *e, int depth);

static sg_status read_sequence(reader *r, json_t *array, int depth)
{
    for (size_t i = 0;; i++) {
        yaml_event_t e;
        json_t *v = NULL;
        char number[24];
        sg_status st;

        if ((st = next(r, &e)))
            return st;
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            return SG_OK;
        }
        snprintf(number, sizeof number, "%zu", i);
        const size_t before = enter(r, number);
        if (!(st = read_value(r, &v, &e, depth)) && json_array_append_new(array, v))
            st = sg_fail_memory(r->err, r->name);
        leave(r, before);
        yaml_event_delete(&e);
        if (st)
            return st;
    }
}

static sg_status read_member(reader *r, json_t *object, const yaml_event_t *key, int depth)
{
    const char *name = (const char *)key->data.scalar.value;
    yaml_event_t e;
    json_t *v = NULL;
    sg_status st;

    if (key->type != YAML_SCALAR_EVENT || key->data.scalar.anchor || key->data.scalar.tag)
        return fail_at(r, key->start_mark, "expected a plain key");
    if (strlen(name) != key->data.scalar.length)
        return fail_at(r, key->start_mark, "key '%.100s' holds a zero byte", name);
    if (json_object_get(object, name))
        return fail_at(r, key->start_mark, "key '%.100s' is given twice", name);
    if ((st = next(r, &e)))
        return st;
    const size_t before = enter(r, name);
    if (!(st = read_value(r, &v, &e, depth)) && json_object_set_new(object, name, v))
        st = sg_fail_memory(r->err, r->name);
    leave(r, before);
    yaml_event_delete(&e);
    return st;
}

static sg_status read_mapping(reader *r, json_t *object, int depth)
{
    for (;;) {
        yaml_event_t key;
        sg_status st;

        if ((st = next(r, &key)))
            return st;
        const bool end = key.type == YAML_MAPPING_END_EVENT;
        if (!end)
            st = read_member(r, object, &key, depth);
        yaml_event_delete(&key);
        if (end || st)
            return st;
    }
}

static sg_status read_value(reader *r, json_t **out, const yaml_event_t *e, int depth)
{
    const bool mapping = e->type == YAML_MAPPING_START_EVENT, sequence = e->type == YAML_SEQUENCE_START_EVENT;
    json_t *v = NULL;
    sg_status st;

    *out = NULL;
    if (e->type == YAML_ALIAS_EVENT)
        return fail_at(r, e->start_mark, "aliases are not allowed");
    if ((mapping && e->data.mapping_start.anchor) || (sequence && e->data.sequence_start.anchor) ||
        (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor))
        return fail_at(r, e->start_mark, "anchors are not allowed");
    if ((mapping && e->data.mapping_start.tag) || (sequence && e->data.sequence_start.tag) ||
        (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag))
        return fail_at(r, e->start_mark, "tags are not allowed");
    if (depth == DEPTH_MAX)
        return fail_at(r, e->start_mark, "nested too deeply");
    if ((st = note_place(r, e->start_mark)))
        return st;
    if (e->type == YAML_SCALAR_EVENT)
        return read_scalar(r, out, e);
    if (!(v = mapping ? json_object() : json_array()))
        return sg_fail_memory(r->err, r->name);
    st = mapping ? read_mapping(r, v, depth + 1) : read_sequence(r, v, depth + 1);
    if (st) {
        json_decref(v);
        v = NULL;
    }
    *out = v;
    return st;
}

/* One document: stream start, document start, value, document end, stream end. An empty one is null. */
static sg_status read_document(reader *r, json_t **out)
{
    sg_status st = SG_OK;
    bool any = false;

    for (bool end = false; !st && !end;) {
        yaml_event_t e;

        if ((st = next(r, &e)))
            break;
        switch (e.type) {
        case YAML_STREAM_END_EVENT:
            end = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (any)
                st = fail_at(r, e.start_mark, "expected one document, found another");
            any = true;
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        default:
            st = read_value(r, out, &e, 0);
        }
        yaml_event_delete(&e);
    }
    if (!st && !*out)
        *out = json_null();
    return st;
}

sg_status sg_yaml_parse(json_t **out, json_t **places, sg_bytes text, const char *name, sg_error *err)
{
    reader r = {.name = name, .err = err};
    sg_status st;

    *out = NULL;
    if (places)
        *places = NULL;
    if (text.size > SG_YAML_BYTES_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %zu bytes, found %zu", name,
                       SG_YAML_BYTES_MAX, text.size);
    if ((places && !(r.places = json_object())) || !yaml_parser_initialize(&r.parser)) {
        json_decref(r.places);
        return sg_fail_memory(err, name);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.data, text.size);
    st = read_document(&r, out);
    yaml_parser_delete(&r.parser);
    sg_buf_free(&r.path);
    if (st) {
        json_decref(*out);
        json_decref(r.places);
        *out = NULL;
        return st;
    }
    if (places)
        *places = r.places;
    return SG_OK;
}

sg_status sg_yaml_read(json_t **out, json_t **places, const char *path, sg_error *err)
{
    sg_buf text = {0};
    sg_status st;

    *out = NULL;
    if (places)
        *places = NULL;
    if (!(st = sg_file_read(&text, path, SG_YAML_BYTES_MAX, err)))
        st = sg_yaml_parse(out, places, (sg_bytes){text.data, text.size}, path, err);
    sg_buf_free(&text);
    return st;
}
