/* import_detect.c - the format of a file by its first lines: only what is certain is taken, else the message
 * asks. */
#include "data/intake.h"

#include "base/option.h"
#include "data/json_scan.h"
#include "data/scan.h"

#include <string.h>

enum { LOOK_BYTES = 1 << 16 };

static const sg_import_format formats[] = {
    {"s3rec", sg_import_s3rec, true},
    {"recbole", sg_import_recbole, false},
    {"movielens", sg_import_movielens, true},
    {"amazon", sg_import_amazon, false},
    {"csv", sg_import_csv, false},
    {"tsv", sg_import_tsv, false},
    {"jsonl", sg_import_jsonl, false},
    {"sequences-json", sg_import_sequences, true},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static const sg_import_format *by_name(const char *name)
{
    for (int i = 0; i < FORMATS; i++)
        if (strcmp(name, formats[i].name) == 0)
            return &formats[i];
    return NULL;
}

/* The beginning of the file in the window: at least LOOK_BYTES, or all of it. */
static sg_status look(sg_input *in, sg_bytes *head, sg_bytes *line, sg_error *err)
{
    const char *end;
    sg_status st;

    while (!in->ended && in->end - in->begin < LOOK_BYTES)
        if ((st = sg_input_more(in, err)))
            return st;
    *head = (sg_bytes){in->data + in->begin, in->end - in->begin};
    if (memchr(head->data, 0, head->size < LOOK_BYTES ? head->size : LOOK_BYTES))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected text, found a NUL byte near the beginning",
                       in->path);
    end = memchr(head->data, '\n', head->size);
    *line = (sg_bytes){head->data, end ? (size_t)(end - head->data) : head->size};
    if (line->size && line->data[line->size - 1] == '\r')
        line->size--;
    if (sg_trim(*line).size == 0 && head->size == 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: the file is empty", in->path);
    return SG_OK;
}

static char first_char(sg_bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!strchr(" \t\r\n", text.data[i]))
            return text.data[i];
    return 0;
}

/* What a text that begins with '{' is. */
typedef enum json_shape { JSON_LINES, JSON_OF_OBJECTS, JSON_OF_ARRAYS, JSON_OTHER } json_shape;

/* The first character of the first member's value. */
static char first_value(sg_bytes head)
{
    sg_json_value key;
    sg_json_scan s;

    sg_json_begin(&s, head, true);
    sg_json_enter(&s, '{');
    if (s.problem || !sg_json_take(&s, &key) || key.kind != SG_JSON_STRING)
        return 0;
    const char colon = first_char((sg_bytes){s.at, (size_t)(s.end - s.at)});
    if (colon != ':')
        return 0;
    s.at = (const char *)memchr(s.at, ':', (size_t)(s.end - s.at)) + 1;
    return first_char((sg_bytes){s.at, (size_t)(s.end - s.at)});
}

/* An object with a plain value is a row; {id: [...], ...} and {id: {...}, ...} hold nothing else. */
static bool has_plain_value(sg_bytes object)
{
    sg_json_value key, value;
    sg_json_scan s;

    sg_json_begin(&s, object, true);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value);)
        if (value.kind != SG_JSON_ARRAY && value.kind != SG_JSON_OBJECT)
            return true;
    return false;
}

static json_shape shape_of(sg_bytes head, sg_bytes line)
{
    const char *next = line.data + line.size, begin = first_value(head);
    sg_json_value value;
    sg_json_scan s;

    sg_json_begin(&s, line, true);
    if (sg_json_take(&s, &value) && sg_json_end(&s) &&
        (has_plain_value(line) ||
         first_char((sg_bytes){next, (size_t)(head.data + head.size - next)}) == '{'))
        return JSON_LINES;
    return begin == '{' ? JSON_OF_OBJECTS : begin == '[' ? JSON_OF_ARRAYS : JSON_OTHER;
}

/* Is this key one of the line's? Keys only: a value may hold anything. */
static bool has_key(sg_bytes line, const char *name)
{
    sg_json_value key, value;
    sg_json_scan s;

    sg_json_begin(&s, line, true);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value);)
        if (sg_bytes_equal(key.text, sg_bytes_of(name)))
            return true;
    return false;
}

/* Fields of the line between separators, up to the room there is; *n counts all. */
static void split(sg_bytes line, char separator, bool doubled, sg_bytes *field, size_t room, size_t *n)
{
    const char *begin = line.data, *end = line.data + line.size;

    *n = 0;
    for (const char *p = begin; p <= end; p++) {
        if (p < end && (*p != separator || (doubled && (p + 1 == end || p[1] != separator))))
            continue;
        if (*n < room)
            field[*n] = (sg_bytes){begin, (size_t)(p - begin)};
        ++*n;
        p += doubled && p < end;
        begin = p + 1;
    }
}

enum { FIELDS = 64 };

static bool recbole_header(const sg_bytes *field, size_t n)
{
    sg_bytes copy[FIELDS];

    if (n > FIELDS)
        n = FIELDS;
    memcpy(copy, field, n * sizeof *copy);
    return sg_recbole_header(copy, n, "", NULL) == SG_OK;
}

static bool all_natural(const sg_bytes *field, size_t n)
{
    uint64_t value;

    for (size_t i = 0; i < n && i < FIELDS; i++)
        if (!sg_scan_natural(field[i], &value))
            return false;
    return true;
}

static const char *detect(sg_bytes head, sg_bytes line)
{
    sg_bytes field[FIELDS];
    size_t n;

    if (first_char(head) == '{') {
        switch (shape_of(head, line)) {
        case JSON_LINES:
            return (has_key(line, "reviewerID") && has_key(line, "asin")) ||
                           (has_key(line, "user_id") && has_key(line, "parent_asin"))
                       ? "amazon"
                       : "jsonl";
        case JSON_OF_ARRAYS:
            return "sequences-json";
        default:
            return NULL;
        }
    }
    split(line, '\t', false, field, FIELDS, &n);
    if (recbole_header(field, n))
        return "recbole";
    if (n > 1)
        return n == 4 && all_natural(field, n) ? "movielens" : "tsv";
    split(line, ':', true, field, FIELDS, &n);
    if (n == 4 && all_natural(field, 2))
        return "movielens";
    split(sg_trim(line), ' ', false, field, FIELDS, &n);
    if (n > 1 && all_natural(field, n))
        return "s3rec";
    return memchr(line.data, ',', line.size) ? "csv" : NULL;
}

sg_status sg_import_format_find(const sg_import_format **out, const char *name, sg_input *in, sg_error *err)
{
    const char *known[FORMATS], *near;
    char room[SG_QUOTE_ROOM];
    sg_bytes head, line;
    sg_status st;

    *out = NULL;
    if (name && strcmp(name, "auto") != 0) {
        if ((*out = by_name(name)))
            return SG_OK;
        for (int i = 0; i < FORMATS; i++)
            known[i] = formats[i].name;
        near = sg_nearest(name, known, FORMATS);
        return sg_fail(err, SG_ERR_USAGE,
                       "no format '%s'%s%s%s expected auto, s3rec, recbole, movielens, amazon, csv, tsv, "
                       "jsonl or sequences-json",
                       name, near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "");
    }
    if ((st = look(in, &head, &line, err)))
        return st;
    if ((name = detect(head, line))) {
        *out = by_name(name);
        return SG_OK;
    }
    return sg_fail(err, SG_ERR_FORMAT,
                   "%s: cannot tell the format by the first line %s: name it: s3rec, recbole, movielens, "
                   "amazon, csv, tsv, jsonl "
                   "or sequences-json",
                   in->path, sg_quote(room, line));
}

sg_status sg_item_format_find(sg_item_format *out, sg_input *in, sg_error *err)
{
    char room[SG_QUOTE_ROOM];
    sg_bytes field[FIELDS], head, line;
    size_t n;
    sg_status st;

    if ((st = look(in, &head, &line, err)))
        return st;
    const char c = first_char(head);
    if (c == '{' || c == '[') {
        sg_json_value value;
        sg_json_scan s;

        sg_json_begin(&s, line, false);
        const bool strict = sg_json_take(&s, &value);
        *out = c == '[' || shape_of(head, line) != JSON_LINES ? SG_ITEMS_JSON
               : strict                                       ? SG_ITEMS_JSON_LINES
                                                              : SG_ITEMS_PYTHON_LINES;
        return SG_OK;
    }
    split(line, '\t', false, field, FIELDS, &n);
    if (recbole_header(field, n)) {
        *out = SG_ITEMS_RECBOLE;
        return SG_OK;
    }
    if (n > 1) {
        *out = SG_ITEMS_TSV;
        return SG_OK;
    }
    split(line, ':', true, field, FIELDS, &n);
    if (n == 3 && all_natural(field, 1)) {
        *out = SG_ITEMS_MOVIES_DAT;
        return SG_OK;
    }
    split(line, '|', false, field, FIELDS, &n);
    if (n == 24 && all_natural(field, 1)) {
        *out = SG_ITEMS_U_ITEM;
        return SG_OK;
    }
    if (memchr(line.data, ',', line.size)) {
        *out = SG_ITEMS_CSV;
        return SG_OK;
    }
    return sg_fail(err, SG_ERR_FORMAT,
                   "%s: cannot tell what item file this is by the first line %s: expected CSV or TSV with a "
                   "header, JSON, JSON lines, "
                   "RecBole .item, movies.dat or u.item",
                   in->path, sg_quote(room, line));
}
