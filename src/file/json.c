/* json.c - jansson parses; printing is ours, for short numbers and short lines. */
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2 };

/* What jansson 2.14 takes on a machine of 64 bits, rounded up as malloc does; the first places of an array and an object are in it. */
enum {
    WEIGHT_OBJECT = 256,
    WEIGHT_ARRAY = 144,
    WEIGHT_STRING = 96, /* beside its bytes; a key takes no more */
    WEIGHT_NUMBER = 32,
    WEIGHT_PLACE = 24,  /* in an array that has just grown, with the old places */
    WEIGHT_MEMBER = 48, /* likewise in an object */
};

/* The character after a string that begins at `at`, behind its quotation mark. */
static size_t string_end(sg_bytes text, size_t at)
{
    for (; at < text.size && text.data[at] != '"'; at++)
        at += text.data[at] == '\\';
    return at < text.size ? at + 1 : text.size;
}

size_t sg_json_weight(sg_bytes text)
{
    size_t weight = 0, longest = 0;
    bool apart = true; /* what comes may be a number's beginning */

    for (size_t i = 0; i < text.size;) {
        const char c = text.data[i];
        const size_t begin = i++;

        weight += c == '{'   ? WEIGHT_OBJECT
                  : c == '[' ? WEIGHT_ARRAY
                  : c == ',' ? WEIGHT_PLACE
                  : c == ':' ? WEIGHT_MEMBER
                             : 0;
        if (c == '"') {
            i = string_end(text, i);
            weight += WEIGHT_STRING + (i - begin);
            longest = i - begin > longest ? i - begin : longest;
        } else if (apart && (c == '-' || (c >= '0' && c <= '9'))) {
            weight += WEIGHT_NUMBER;
        }
        apart = strchr(" \t\r\n[{,:", c) != NULL && c;
    }
    return weight + 3 * longest; /* a string is put together in a buffer that doubles, then copied */
}

sg_status sg_json_parse_light(json_t **out, sg_bytes text, size_t weight_max, const char *name, sg_error *err)
{
    const size_t weight = sg_json_weight(text);

    *out = NULL;
    if (weight > weight_max)
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: expected JSON that takes at most %zu MiB of memory, found %zu bytes that may take %zu MiB",
            name, weight_max >> 20, text.size, weight >> 20);
    return sg_json_parse(out, text, name, err);
}

/* Whether a number is an integer beyond int64_t. */
static bool is_too_big(const char *s, size_t n)
{
    static const char most[] = "9223372036854775807";
    const size_t digits = sizeof most - 1;

    if (n && *s == '-') {
        s++;
        n--;
    }
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > digits || (n == digits && memcmp(s, most, n) > 0);
}

/* The text with ".0" behind integers beyond int64_t, which jansson refuses: reals then. */
static void put_reals(sg_buf *out, sg_bytes text)
{
    size_t from = 0;

    for (size_t i = 0; i < text.size;) {
        const size_t begin = i++;

        if (text.data[begin] == '"') {
            i = string_end(text, i);
            continue;
        }
        while (i < text.size && memchr("+-.eE0123456789", text.data[i - 1], 15) &&
               memchr("+-.eE0123456789", text.data[i], 15))
            i++;
        if (!is_too_big(text.data + begin, i - begin))
            continue;
        sg_buf_add(out, text.data + from, i - from);
        sg_buf_puts(out, ".0");
        from = i;
    }
    sg_buf_add(out, text.data + from, text.size - from);
}

/* What int64_t does not hold is a real: others write 1000000000000000019884624838656 for "no end". */
static json_t *load(sg_bytes text, size_t flags, json_error_t *e)
{
    json_t *out = json_loadb(text.data, text.size, flags, e);
    sg_buf reals = {0};

    if (out || json_error_code(e) != json_error_numeric_overflow)
        return out;
    put_reals(&reals, text);
    if (!reals.failed)
        out = json_loadb(reals.data, reals.size, flags, e);
    sg_buf_free(&reals);
    return out;
}

sg_status sg_json_parse_by(json_t **out, sg_bytes text, size_t flags, const char *name, sg_error *err)
{
    json_error_t e;

    *out = load(text, flags | JSON_DECODE_ANY, &e);
    if (*out)
        return SG_OK;
    if (json_error_code(&e) == json_error_out_of_memory || !*e.text) /* jansson often says nothing then */
        return sg_fail_memory(err, name);
    return sg_fail(err, SG_ERR_FORMAT, "%s:%d:%d: %s", name, e.line > 0 ? e.line : 1,
                   e.column > 0 ? e.column : 1, e.text);
}

sg_status sg_json_parse(json_t **out, sg_bytes text, const char *name, sg_error *err)
{
    return sg_json_parse_by(out, text, JSON_REJECT_DUPLICATES, name, err);
}

sg_status sg_json_read(json_t **out, const char *path, size_t bytes_max, sg_error *err)
{
    sg_buf text = {0};
    sg_status st;

    *out = NULL;
    if (!(st = sg_file_read_any(&text, path, bytes_max, err)))
        st = sg_json_parse_light(out, (sg_bytes){text.data, text.size},
                                 bytes_max <= SG_JSON_SMALL ? SG_JSON_WEIGHT_SMALL : SIZE_MAX, path, err);
    sg_buf_free(&text);
    return st;
}

sg_status sg_json_line(json_t **out, char where[SG_JSON_WHERE], sg_reader *r, sg_error *err)
{
    const char *line;
    size_t size;
    sg_status st;

    *out = NULL;
    do {
        if ((st = sg_reader_line(r, &line, &size, err)) || !line)
            return st;
    } while (size == 0);
    snprintf(where, SG_JSON_WHERE, "%.500s:%llu", sg_reader_path(r),
             (unsigned long long)sg_reader_line_number(r));
    return sg_json_parse(out, (sg_bytes){line, size}, where, err);
}

static void print_string(sg_buf *b, const char *s, size_t size)
{
    sg_buf_putc(b, '"');
    for (size_t i = 0, plain = 0; i <= size; i++) {
        const unsigned char c = i < size ? (unsigned char)s[i] : 0;

        if (i < size && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        sg_buf_add(b, s + plain, i - plain);
        plain = i + 1;
        if (i == size)
            break;
        if (c == '"' || c == '\\')
            sg_buf_printf(b, "\\%c", c);
        else if (c == '\n')
            sg_buf_puts(b, "\\n");
        else if (c == '\t')
            sg_buf_puts(b, "\\t");
        else
            sg_buf_printf(b, "\\u%04x", c);
    }
    sg_buf_putc(b, '"');
}

static void print_real(sg_buf *b, double x)
{
    char s[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    for (char *p = s; *p; p++)
        if (*p == ',') /* the decimal point of some locales */
            *p = '.';
    sg_buf_puts(b, s);
    if (!strpbrk(s, ".e"))
        sg_buf_puts(b, ".0"); /* stays a real when read again */
}

static void new_line(sg_buf *b, int depth)
{
    sg_buf_putc(b, '\n');
    for (int i = 0; i < depth * INDENT; i++)
        sg_buf_putc(b, ' ');
}

static bool all_plain(const json_t *array)
{
    const json_t *item;
    size_t i;

    json_array_foreach(array, i, item) if (json_is_object(item) || json_is_array(item)) return false;
    return true;
}

/* depth -1: everything on one line */
static void print(sg_buf *b, const json_t *v, int depth)
{
    const int deeper = depth < 0 ? -1 : depth + 1;
    const char *key;
    json_t *member;
    size_t i;

    switch (json_typeof(v)) {
    case JSON_NULL:
        sg_buf_puts(b, "null");
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        sg_buf_puts(b, json_is_true(v) ? "true" : "false");
        break;
    case JSON_INTEGER:
        sg_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        print_real(b, json_real_value(v));
        break;
    case JSON_STRING:
        print_string(b, json_string_value(v), json_string_length(v));
        break;
    case JSON_ARRAY: {
        const bool lines = depth >= 0 && !all_plain(v);

        sg_buf_putc(b, '[');
        json_array_foreach(v, i, member)
        {
            if (i)
                sg_buf_puts(b, lines ? "," : ", ");
            if (lines)
                new_line(b, deeper);
            print(b, member, lines ? deeper : -1);
        }
        if (lines)
            new_line(b, depth);
        sg_buf_putc(b, ']');
        break;
    }
    case JSON_OBJECT: {
        bool first = true;

        sg_buf_putc(b, '{');
        for (void *it = json_object_iter((json_t *)(uintptr_t)v); it;
             it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
            key = json_object_iter_key(it);
            if (!first)
                sg_buf_puts(b, depth < 0 ? ", " : ",");
            first = false;
            if (depth >= 0)
                new_line(b, deeper);
            print_string(b, key, strlen(key));
            sg_buf_puts(b, ": ");
            print(b, json_object_iter_value(it), deeper);
        }
        if (depth >= 0 && !first)
            new_line(b, depth);
        sg_buf_putc(b, '}');
        break;
    }
    }
}

void sg_json_print(sg_buf *out, const json_t *value)
{
    print(out, value, 0);
}

void sg_json_print_compact(sg_buf *out, const json_t *value)
{
    print(out, value, -1);
}

sg_status sg_json_write(const char *path, const json_t *value, sg_error *err)
{
    sg_buf text = {0};
    sg_status st;

    if (!value) /* building it ran out of memory */
        return sg_fail_memory(err, path);
    sg_json_print(&text, value);
    sg_buf_putc(&text, '\n');
    st = text.failed ? sg_fail_memory(err, path) : sg_file_write(path, text.data, text.size, err);
    sg_buf_free(&text);
    return st;
}

const char *sg_json_describe(const json_t *v, char text[64])
{
    sg_buf b = {0};

    if (!v)
        return "nothing";
    if (json_is_object(v))
        return "an object";
    if (json_is_array(v))
        return "an array";
    print(&b, v, -1);
    snprintf(text, 64, "%.40s%s", b.failed ? "?" : b.data, b.size > 40 ? "..." : "");
    sg_buf_free(&b);
    return text;
}

static sg_status fail_member(const json_t *found, const char *key, const char *wanted, const char *where,
                             sg_error *err)
{
    char text[64];

    return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected %s, found %s", where, key, wanted,
                   sg_json_describe(found, text));
}

sg_status sg_json_need_string(const char **out, const json_t *object, const char *key, const char *where,
                              sg_error *err)
{
    const json_t *v = json_object_get(object, key);

    *out = json_string_value(v);
    return *out ? SG_OK : fail_member(v, key, "a string", where, err);
}

sg_status sg_json_need_int(int64_t *out, const json_t *object, const char *key, int64_t least, int64_t most,
                           const char *where, sg_error *err)
{
    const json_t *v = json_object_get(object, key);
    char wanted[80];

    *out = json_integer_value(v);
    if (json_is_integer(v) && *out >= least && *out <= most)
        return SG_OK;
    snprintf(wanted, sizeof wanted, "an integer from %lld to %lld", (long long)least, (long long)most);
    *out = least;
    return fail_member(v, key, wanted, where, err);
}

sg_status sg_json_need_real(double *out, const json_t *object, const char *key, const char *where,
                            sg_error *err)
{
    const json_t *v = json_object_get(object, key);

    *out = json_number_value(v);
    return json_is_number(v) ? SG_OK : fail_member(v, key, "a number", where, err);
}

sg_status sg_json_need_object(json_t **out, const json_t *object, const char *key, const char *where,
                              sg_error *err)
{
    *out = json_object_get(object, key);
    return json_is_object(*out) ? SG_OK : fail_member(*out, key, "an object", where, err);
}

sg_status sg_json_need_array(json_t **out, const json_t *object, const char *key, const char *where,
                             sg_error *err)
{
    *out = json_object_get(object, key);
    return json_is_array(*out) ? SG_OK : fail_member(*out, key, "an array", where, err);
}
