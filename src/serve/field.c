/* field.c - bodies against their table. Every id and list is limited before anything is done with it. */
#include "serve/field.h"

#include "base/utf8.h"
#include "file/json.h"
#include "serve/reply.h"

#include <stdio.h>
#include <string.h>

enum { KNOWN_MAX = 32, PARAM_MAX = 96 };

static int option_at(const sg_serve_config *c, size_t place)
{
    int value;

    memcpy(&value, (const char *)c + place, sizeof value);
    return value;
}

static int limit(const sg_field *f, const sg_serve_config *c)
{
    return option_at(c, f->most);
}

static int bytes_max(const sg_field *f, const sg_serve_config *c)
{
    return f->longest ? option_at(c, f->longest) : c->id_max;
}

/* Nesting of brackets outside strings; what is no JSON is found by the parser. */
static int depth_of(const char *s, size_t size)
{
    int depth = 0, most = 0;
    bool string = false;

    for (size_t i = 0; i < size; i++) {
        if (string) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                string = false;
        } else if (s[i] == '"') {
            string = true;
        } else if (s[i] == '[' || s[i] == '{') {
            most = ++depth > most ? depth : most;
        } else if (s[i] == ']' || s[i] == '}') {
            depth--;
        }
    }
    return most;
}

static bool wrong_type(sg_exchange *x, const char *param, const char *wanted, const json_t *found)
{
    char text[64];

    sg_reply_error(x, 400, "invalid_type", param, "'%s': expected %s, found %s", param, wanted,
                   sg_json_describe(found, text));
    return false;
}

/* One of "a|b|c"? */
static bool is_choice(const char *choices, const char *text)
{
    const size_t n = strlen(text);

    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, text, n) == 0 && (at[n] == '|' || !at[n]))
            return true;
    return false;
}

static bool check_text(sg_exchange *x, const char *param, const sg_field *f, const json_t *v,
                       const sg_serve_config *c)
{
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return wrong_type(x, param, "a string", v);
    if (json_string_length(v) == 0 || json_string_length(v) > (size_t)bytes_max(f, c)) {
        sg_reply_error(x, 400, "out_of_range", param, "'%s': expected 1 to %d bytes, found %zu", param,
                       bytes_max(f, c), json_string_length(v));
        return false;
    }
    if (f->choices && !is_choice(f->choices, json_string_value(v))) {
        sg_reply_error(x, 400, "out_of_range", param, "'%s': expected %s, found '%.40s'", param, f->choices,
                       json_string_value(v));
        return false;
    }
    return true;
}

static bool check_map(sg_exchange *x, const char *param, const sg_field *f, const json_t *v,
                      const sg_serve_config *c)
{
    char name[PARAM_MAX];
    const char *key;
    json_t *one;

    if (!json_is_object(v))
        return wrong_type(x, param, "an object of strings", v);
    json_object_foreach((json_t *)(uintptr_t)v, key, one)
    {
        snprintf(name, sizeof name, "%.50s.%.40s", param, key);
        while (!sg_utf8_valid(name, strlen(name)))
            name[strlen(name) - 1] = 0;
        if (!check_text(x, name, f, one, c))
            return false;
    }
    return true;
}

static bool check_object(sg_exchange *x, const char *where, const sg_field *table, const json_t *object,
                         const sg_serve_config *c);

static bool check_list(sg_exchange *x, const char *param, const sg_field *f, const json_t *v,
                       const sg_serve_config *c)
{
    char name[PARAM_MAX];
    json_t *one;
    size_t i;

    if (!json_is_array(v))
        return wrong_type(x, param, f->type == SG_FIELD_OBJECTS ? "a list of objects" : "a list of strings",
                          v);
    if (json_array_size(v) > (size_t)limit(f, c)) {
        sg_reply_error(x, 400, "out_of_range", param, "'%s': expected at most %d, found %zu", param,
                       limit(f, c), json_array_size(v));
        return false;
    }
    json_array_foreach(v, i, one)
    {
        snprintf(name, sizeof name, "%.60s[%zu]", param, i);
        if (f->type == SG_FIELD_OBJECTS ? !check_object(x, name, f->inner, one, c)
                                        : !check_text(x, name, f, one, c))
            return false;
    }
    return true;
}

static bool check_int(sg_exchange *x, const char *param, const sg_field *f, const json_t *v,
                      const sg_serve_config *c)
{
    if (!json_is_integer(v))
        return wrong_type(x, param, "an integer", v);
    if (json_integer_value(v) < f->least) {
        sg_reply_error(x, 400, "out_of_range", param, "'%s': expected at least %lld, found %lld", param,
                       (long long)f->least, (long long)json_integer_value(v));
        return false;
    }
    if (f->most && json_integer_value(v) > limit(f, c)) {
        sg_reply_error(x, 400, "out_of_range", param, "'%s': expected at most %d, found %lld", param,
                       limit(f, c), (long long)json_integer_value(v));
        return false;
    }
    return true;
}

static bool check_ints(sg_exchange *x, const char *param, const sg_field *f, const json_t *v,
                       const sg_serve_config *c)
{
    const sg_field each = {.least = f->least};
    char name[PARAM_MAX];
    json_t *one;
    size_t i;

    if (!json_is_array(v))
        return wrong_type(x, param, "a list of integers", v);
    if (json_array_size(v) > (size_t)limit(f, c)) {
        sg_reply_error(x, 400, "out_of_range", param, "'%s': expected at most %d, found %zu", param,
                       limit(f, c), json_array_size(v));
        return false;
    }
    json_array_foreach(v, i, one)
    {
        snprintf(name, sizeof name, "%.60s[%zu]", param, i);
        if (!check_int(x, name, &each, one, c))
            return false;
    }
    return true;
}

static bool check_value(sg_exchange *x, const char *param, const sg_field *f, const json_t *v,
                        const sg_serve_config *c)
{
    switch (f->type) {
    case SG_FIELD_TEXT:
        return check_text(x, param, f, v, c);
    case SG_FIELD_MAP:
        return check_map(x, param, f, v, c);
    case SG_FIELD_INPUTS:
        return json_is_array(v)    ? check_list(x, param, f, v, c)
               : json_is_string(v) ? check_text(x, param, f, v, c)
                                   : wrong_type(x, param, "a string or a list of strings", v);
    case SG_FIELD_TEXTS:
    case SG_FIELD_OBJECTS:
        return check_list(x, param, f, v, c);
    case SG_FIELD_INT:
        return check_int(x, param, f, v, c);
    case SG_FIELD_INTS:
        return check_ints(x, param, f, v, c);
    case SG_FIELD_BOOL:
        break;
    }
    return json_is_boolean(v) || wrong_type(x, param, "true or false", v);
}

static bool unknown_key(sg_exchange *x, const char *where, const char *key, const sg_field *table)
{
    const char *known[KNOWN_MAX], *near;
    char param[PARAM_MAX];
    size_t n = 0;

    for (; table[n].name && n < KNOWN_MAX; n++)
        known[n] = table[n].name;
    near = sg_nearest(key, known, n);
    snprintf(param, sizeof param, *where ? "%s.%.30s" : "%s%.90s", where, key);
    while (!sg_utf8_valid(param, strlen(param))) /* a long key is cut, but not within a character */
        param[strlen(param) - 1] = 0;
    if (near)
        sg_reply_error(x, 400, "unknown_parameter", param, "unknown parameter '%s' (did you mean '%s'?)",
                       param, near);
    else
        sg_reply_error(x, 400, "unknown_parameter", param, "unknown parameter '%s'", param);
    return false;
}

/* where: "" for the body itself, else the name of the object */
static bool check_object(sg_exchange *x, const char *where, const sg_field *table, const json_t *object,
                         const sg_serve_config *c)
{
    char param[PARAM_MAX];
    const char *key;
    json_t *v;

    if (!json_is_object(object))
        return wrong_type(x, *where ? where : "body", "an object", object);
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        const sg_field *f = table;

        while (f->name && strcmp(f->name, key) != 0)
            f++;
        if (!f->name)
            return unknown_key(x, where, key, table);
        snprintf(param, sizeof param, *where ? "%s.%s" : "%s%s", where, f->name);
        if (!json_is_null(v) && !check_value(x, param, f, v, c))
            return false;
    }
    for (const sg_field *f = table; f->name; f++)
        if (f->needed &&
            (!json_object_get(object, f->name) || json_is_null(json_object_get(object, f->name)))) {
            snprintf(param, sizeof param, *where ? "%s.%s" : "%s%s", where, f->name);
            sg_reply_error(x, 400, "missing_parameter", param, "'%s': expected, found nothing", param);
            return false;
        }
    return true;
}

json_t *sg_fields_read(sg_exchange *x, const sg_field *table, const sg_serve_config *c)
{
    json_t *body = NULL;
    sg_error e;

    if (depth_of(x->body.data ? x->body.data : "", x->body.size) > c->depth_max) {
        sg_reply_error(x, 400, "out_of_range", NULL, "body: expected JSON of at most %d levels",
                       c->depth_max);
        return NULL;
    }
    if (sg_json_parse(&body, (sg_bytes){x->body.data ? x->body.data : "", x->body.size}, "body", &e)) {
        sg_reply_error(x, 400, "invalid_json", NULL, "%s", e.message);
        return NULL;
    }
    if (check_object(x, "", table, body, c))
        return body;
    json_decref(body);
    return NULL;
}

static json_t *text_schema(const sg_field *f, const sg_serve_config *c)
{
    json_t *o = json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", 1, "maxLength", bytes_max(f, c));
    json_t *list = f->choices ? json_array() : NULL;

    for (const char *at = f->choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        json_array_append_new(list, json_stringn(at, strcspn(at, "|")));
    if (list)
        json_object_set_new(o, "enum", list);
    return o;
}

static json_t *schema_of(const sg_field *f, const sg_serve_config *c)
{
    switch (f->type) {
    case SG_FIELD_TEXT:
        return text_schema(f, c);
    case SG_FIELD_MAP:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", text_schema(f, c));
    case SG_FIELD_INPUTS:
        return json_pack("{s:[o, {s:s, s:i, s:i, s:o}]}", "oneOf", text_schema(f, c), "type", "array",
                         "minItems", 1, "maxItems", limit(f, c), "items", text_schema(f, c));
    case SG_FIELD_TEXTS:
        return json_pack("{s:s, s:i, s:o}", "type", "array", "maxItems", limit(f, c), "items",
                         text_schema(f, c));
    case SG_FIELD_INTS:
        return json_pack("{s:s, s:i, s:{s:s, s:I}}", "type", "array", "maxItems", limit(f, c), "items",
                         "type", "integer", "minimum", f->least);
    case SG_FIELD_OBJECTS:
        return json_pack("{s:s, s:i, s:o}", "type", "array", "maxItems", limit(f, c), "items",
                         sg_fields_schema(f->inner, c));
    case SG_FIELD_INT:
        return f->most ? json_pack("{s:s, s:I, s:i}", "type", "integer", "minimum", f->least, "maximum",
                                   limit(f, c))
                       : json_pack("{s:s, s:I}", "type", "integer", "minimum", f->least);
    case SG_FIELD_BOOL:
        break;
    }
    return json_pack("{s:s}", "type", "boolean");
}

json_t *sg_fields_schema(const sg_field *table, const sg_serve_config *c)
{
    json_t *properties = json_object(), *needed = json_array();
    json_t *o = json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0, "properties",
                          properties, "required", needed);

    for (const sg_field *f = table; o && f->name; f++) {
        json_t *schema = schema_of(f, c);

        if (json_object_set_new(schema, "description", json_string(f->meaning)) ||
            json_object_set_new(properties, f->name, schema) ||
            (f->needed && json_array_append_new(needed, json_string(f->name)))) {
            json_decref(o);
            return NULL;
        }
    }
    return o;
}
