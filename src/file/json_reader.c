/* json_reader.c - RFC 8259, with the limits of json.c: 2,048 deep, integers beyond 64 bits as reals, reals that are finite, no \u0000. */
#include "file/json_reader.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "file/json.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 2048,
    NUMBER_MAX = 1 << 16,
    SHORT = 300 /* characters of a number without an exponent that cannot be too large */
};

typedef struct sg_json_level {
    bool object;
    uint32_t seen; /* where its keys begin */
} level;

typedef struct sg_json_key {
    uint32_t at, hash; /* behind the quotation mark */
} key;

void sg_json_reader_init(sg_json_reader *r, sg_bytes text, const char *name)
{
    *r = (sg_json_reader){.text = text, .name = name, .seed = (uint64_t)(uintptr_t)r * 0x9e3779b97f4a7c15u};
}

void sg_json_reader_fini(sg_json_reader *r)
{
    sg_free(r->level);
    sg_free(r->seen);
    sg_free(r->slot);
    sg_buf_free(&r->key_text);
    sg_buf_free(&r->string_text);
    sg_buf_free(&r->twin_text);
    *r = (sg_json_reader){0};
}

/* Columns are characters, from 1; that of the character at `at`, behind the text that of its last. */
static sg_status fail(const sg_json_reader *r, size_t at, const char *what, sg_error *err)
{
    size_t line = 1, column = 0;

    for (size_t i = 0; i < r->text.size && i <= at; i++) {
        const char c = r->text.data[i];

        column += ((unsigned char)c & 0xc0) != 0x80;
        if (c == '\n' && i < at) {
            line++;
            column = 0;
        }
    }
    return sg_fail(err, SG_ERR_FORMAT, "%s:%zu:%zu: %s", r->name, line, column ? column : 1, what);
}

/* The character at `at`; behind the text 0, which no JSON has. */
static char peek(const sg_json_reader *r, size_t at)
{
    return at < r->text.size ? r->text.data[at] : 0;
}

static char skip_space(sg_json_reader *r)
{
    char c;

    while ((c = peek(r, r->at)) == ' ' || c == '\n' || c == '\t' || c == '\r')
        r->at++;
    return c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- strings --------------------------------------------------------------------------------------------------------------- */
static int hex4(const sg_json_reader *r, size_t at)
{
    int code = 0;

    for (size_t i = at; i < at + 4; i++) {
        const char c = peek(r, i), low = (char)(c | 0x20);

        if (!is_digit(c) && (low < 'a' || low > 'f'))
            return -1;
        code = code * 16 + (is_digit(c) ? c - '0' : low - 'a' + 10);
    }
    return code;
}

/* What follows the backslash before *at, which moves behind it. */
static sg_status unescape(sg_buf *out, const sg_json_reader *r, size_t *at, sg_error *err)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char c = peek(r, *at), *simple = c ? strchr(letters, c) : NULL;
    int code, low;

    if (simple) {
        sg_buf_putc(out, meant[simple - letters]);
        ++*at;
        return SG_OK;
    }
    if (c != 'u')
        return fail(r, *at, "expected a known escape", err);
    if ((code = hex4(r, *at + 1)) < 0)
        return fail(r, *at, "expected four hexadecimal digits behind \\u", err);
    *at += 5;
    if (code >= 0xd800 && code < 0xdc00) {
        low = peek(r, *at) == '\\' && peek(r, *at + 1) == 'u' ? hex4(r, *at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(r, *at - 1, "expected the second half of a surrogate pair", err);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *at += 6;
    } else if (code >= 0xdc00 && code < 0xe000) {
        return fail(r, *at - 1, "expected the first half of a surrogate pair", err);
    }
    if (!code)
        return fail(r, *at - 1, "\\u0000 is not allowed", err);
    sg_utf8_put(out, (uint32_t)code);
    return SG_OK;
}

/* The string that begins behind the quotation mark at *at - 1; *at moves behind the last one. *out: in the text, or in b. */
static sg_status read_string(sg_bytes *out, sg_buf *b, const sg_json_reader *r, size_t *at, sg_error *err)
{
    size_t plain = *at;
    sg_status st;

    b->size = 0;
    for (size_t i = plain;; i++) {
        const unsigned char c = (unsigned char)peek(r, i);

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        const size_t good = sg_utf8_valid_bytes(r->text.data + plain, i - plain);
        if (good < i - plain)
            return fail(r, plain + good, "expected UTF-8", err);
        if (c == '"' && plain == *at) {
            *out = (sg_bytes){r->text.data + plain, i - plain};
            *at = i + 1;
            return SG_OK;
        }
        if (b->size + (i - plain) > SG_JSON_ESCAPED_MAX)
            return fail(r, i, "expected a string with escapes of at most 8 MiB", err);
        sg_buf_add(b, r->text.data + plain, i - plain);
        if (c == '"') {
            *out = (sg_bytes){b->data, b->size};
            *at = i + 1;
            return b->failed ? sg_fail_memory(err, r->name) : SG_OK;
        }
        if (c != '\\')
            return fail(r, i,
                        i < r->text.size ? "expected no control character in a string"
                                         : "expected the end of a string",
                        err);
        plain = i + 1;
        if ((st = unescape(b, r, &plain, err)))
            return st;
        i = plain - 1;
    }
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */
/* FNV-1a, from another beginning in every process: nobody can make a file whose keys all meet. */
static uint32_t hash_of(sg_bytes s, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ seed;

    for (size_t i = 0; i < s.size; i++)
        h = (h ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    return (uint32_t)(h >> 32 ^ h);
}

/* Where key k is, or belongs. Keys go in the reverse order in which they came, so none that came later is ever lost. */
static size_t slot_of(const sg_json_reader *r, size_t k)
{
    size_t i = r->seen[k].hash & (r->n_slot - 1);

    while (r->slot[i] && r->slot[i] != k + 1)
        i = (i + 1) & (r->n_slot - 1);
    return i;
}

static bool make_slots(sg_json_reader *r)
{
    if (2 * r->n_seen <= r->n_slot)
        return true;
    r->n_slot = r->n_slot ? 2 * r->n_slot : 64;
    sg_free(r->slot);
    if (!(r->slot = sg_alloc_zero(r->n_slot, sizeof *r->slot)))
        return false;
    for (size_t k = 0; k + 1 < r->n_seen; k++)
        r->slot[slot_of(r, k)] = (uint32_t)(k + 1);
    return true;
}

static bool has_twin(sg_json_reader *r, size_t first, uint32_t hash)
{
    for (size_t i = hash & (r->n_slot - 1); r->slot[i]; i = (i + 1) & (r->n_slot - 1)) {
        const key *other = &r->seen[r->slot[i] - 1];
        size_t at = other->at;
        sg_bytes s;

        if (r->slot[i] - 1 < first || other->hash != hash)
            continue;
        if (!read_string(&s, &r->twin_text, r, &at, NULL) && s.size == r->key.size &&
            (!s.size || memcmp(s.data, r->key.data, s.size) == 0))
            return true;
    }
    return false;
}

/* The key just read began at `at`. */
static sg_status remember_key(sg_json_reader *r, size_t at, sg_error *err)
{
    const uint32_t hash = hash_of(r->key, r->seed);

    if (r->n_seen == SG_JSON_KEYS_MAX)
        return fail(r, r->at - 1, "expected objects of at most 2097152 keys", err);
    if (!sg_grow(&r->seen, &r->cap_seen, r->n_seen + 1, sizeof *r->seen))
        return sg_fail_memory(err, r->name);
    r->seen[r->n_seen++] = (key){(uint32_t)at, hash};
    if (!make_slots(r))
        return sg_fail_memory(err, r->name);
    if (has_twin(r, r->level[r->depth - 1].seen, hash))
        return fail(r, r->at - 1, "duplicate object key", err);
    if (r->twin_text.failed)
        return sg_fail_memory(err, r->name);
    r->slot[slot_of(r, r->n_seen - 1)] = (uint32_t)r->n_seen;
    return SG_OK;
}

static void forget_keys(sg_json_reader *r, size_t first)
{
    for (; r->n_seen > first; r->n_seen--)
        r->slot[slot_of(r, r->n_seen - 1)] = 0;
}

static sg_status read_key(sg_json_reader *r, sg_error *err)
{
    sg_status st;

    if (skip_space(r) != '"')
        return fail(r, r->at, "expected a key", err);
    const size_t begin = ++r->at;
    if ((st = read_string(&r->key, &r->key_text, r, &r->at, err)) ||
        (!r->known && (st = remember_key(r, begin, err))))
        return st;
    if (skip_space(r) != ':')
        return fail(r, r->at, "expected ':'", err);
    r->at++;
    return SG_OK;
}

/* ---- values ---------------------------------------------------------------------------------------------------------------- */
static size_t skip_digits(const sg_json_reader *r, size_t at)
{
    while (is_digit(peek(r, at)))
        at++;
    return at;
}

/* The double, as jansson gets it; infinite: too large. */
static double real_of(sg_bytes s)
{
    const char *point = localeconv()->decimal_point;
    sg_buf b = {0};

    sg_buf_add(&b, s.data, s.size);
    if (b.failed)
        return NAN;
    for (char *p = b.data; *p; p++)
        *p = *p == '.' ? *point : *p;
    const double x = strtod(b.data, NULL);
    sg_buf_free(&b);
    return x;
}

static bool integer_of(int64_t *out, sg_bytes s)
{
    const bool negative = *s.data == '-';
    int64_t x = 0;

    for (size_t i = negative; i < s.size; i++) {
        const int digit = s.data[i] - '0';

        if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, negative ? -digit : digit, &x))
            return false;
    }
    *out = x;
    return true;
}

static sg_status read_number(sg_json_reader *r, sg_error *err)
{
    size_t i = r->at + (peek(r, r->at) == '-'), from;
    bool real = false, power = false;

    from = i;
    i = skip_digits(r, i);
    if (i == from || (i > from + 1 && r->text.data[from] == '0'))
        return i == from ? fail(r, i, "expected a digit", err)
                         : fail(r, from + 1, "expected no digit behind a 0 in front", err);
    if (peek(r, i) == '.') {
        real = true;
        from = i + 1;
        if ((i = skip_digits(r, from)) == from)
            return fail(r, i, "expected a digit", err);
    }
    if ((peek(r, i) | 0x20) == 'e') {
        real = power = true;
        from = i + 1 + (peek(r, i + 1) == '+' || peek(r, i + 1) == '-');
        if ((i = skip_digits(r, from)) == from)
            return fail(r, i, "expected a digit", err);
    }
    r->string = (sg_bytes){r->text.data + r->at, i - r->at};
    r->at = i;
    r->step = SG_JSON_STEP_INTEGER;
    if (!real && integer_of(&r->integer, r->string))
        return SG_OK;
    r->step = SG_JSON_STEP_REAL; /* as sg_json_parse has integers of more than 64 bits */
    if (!power && r->string.size < SHORT)
        return SG_OK;
    if (r->string.size > NUMBER_MAX)
        return fail(r, i - 1, "expected a number of at most 65536 characters", err);
    const double x = real_of(r->string);
    return isnan(x)   ? sg_fail_memory(err, r->name)
           : isinf(x) ? fail(r, i - 1, "expected a finite number", err)
                      : SG_OK;
}

static sg_status read_word(sg_json_reader *r, const char *word, sg_json_step step, sg_error *err)
{
    const size_t size = strlen(word);

    if (r->text.size - r->at < size || memcmp(r->text.data + r->at, word, size) != 0)
        return fail(r, r->at, "expected a value", err);
    r->at += size;
    r->step = step;
    return SG_OK;
}

static sg_status open_level(sg_json_reader *r, bool object, sg_error *err)
{
    if (!sg_grow(&r->level, &r->cap_level, r->depth + 1, sizeof *r->level))
        return sg_fail_memory(err, r->name);
    r->level[r->depth++] = (level){object, (uint32_t)r->n_seen};
    r->step = object ? SG_JSON_STEP_OBJECT : SG_JSON_STEP_ARRAY;
    r->at++;
    return SG_OK;
}

static sg_status read_value(sg_json_reader *r, sg_error *err)
{
    const char c = skip_space(r);

    r->begin = r->at;
    if (r->depth >= DEPTH_MAX)
        return fail(r, r->at, "expected values nested at most 2048 deep", err);
    switch (c) {
    case '{':
    case '[':
        return open_level(r, c == '{', err);
    case '"':
        r->at++;
        r->step = SG_JSON_STEP_STRING;
        return read_string(&r->string, &r->string_text, r, &r->at, err);
    case 't':
        return read_word(r, "true", SG_JSON_STEP_TRUE, err);
    case 'f':
        return read_word(r, "false", SG_JSON_STEP_FALSE, err);
    case 'n':
        return read_word(r, "null", SG_JSON_STEP_NULL, err);
    default:
        return c == '-' || is_digit(c) ? read_number(r, err) : fail(r, r->at, "expected a value", err);
    }
}

sg_status sg_json_reader_next(sg_json_reader *r, sg_error *err)
{
    const bool opened = r->step == SG_JSON_STEP_OBJECT || r->step == SG_JSON_STEP_ARRAY;
    sg_status st;

    r->key = r->string = (sg_bytes){"", 0};
    if (!r->depth) {
        if (!r->at)
            return r->text.size < UINT32_MAX ? read_value(r, err)
                                             : fail(r, 0, "expected less than 4 GiB", err);
        skip_space(r);
        r->step = SG_JSON_STEP_END;
        return r->at == r->text.size ? SG_OK : fail(r, r->at, "end of file expected", err);
    }
    const bool object = r->level[r->depth - 1].object;
    const char c = skip_space(r);
    if (c == (object ? '}' : ']')) {
        r->at++;
        r->step = SG_JSON_STEP_CLOSE;
        forget_keys(r, r->level[--r->depth].seen);
        return SG_OK;
    }
    if (!opened) {
        if (c != ',')
            return fail(r, r->at, object ? "expected ',' or '}'" : "expected ',' or ']'", err);
        r->at++;
    }
    if (object && (st = read_key(r, err)))
        return st;
    return read_value(r, err);
}

sg_status sg_json_reader_skip(sg_json_reader *r, size_t *n, sg_error *err)
{
    const size_t depth = r->depth, begin = r->begin;
    size_t members = 0;
    sg_status st = SG_OK;

    if (r->step == SG_JSON_STEP_OBJECT || r->step == SG_JSON_STEP_ARRAY)
        while (!(st = sg_json_reader_next(r, err)) && r->depth >= depth)
            members +=
                r->depth == depth + (r->step == SG_JSON_STEP_OBJECT || r->step == SG_JSON_STEP_ARRAY) &&
                r->step != SG_JSON_STEP_CLOSE;
    r->begin = begin;
    if (n)
        *n = members;
    return st;
}

double sg_json_reader_real(const sg_json_reader *r)
{
    return real_of(r->string);
}

const char *sg_json_reader_describe(const sg_json_reader *r, char text[64])
{
    const size_t size =
        r->string.size < 60 ? r->string.size : 60; /* more than is shown: it may end within a character */
    json_t *v;

    switch (r->step) {
    case SG_JSON_STEP_OBJECT:
        return "an object";
    case SG_JSON_STEP_ARRAY:
        return "an array";
    case SG_JSON_STEP_STRING:
        v = json_stringn_nocheck(r->string.data, size);
        break;
    case SG_JSON_STEP_INTEGER:
        v = json_integer(r->integer);
        break;
    case SG_JSON_STEP_REAL:
        v = json_real(real_of(r->string));
        break;
    case SG_JSON_STEP_NULL:
        v = json_null();
        break;
    default:
        v = json_boolean(r->step == SG_JSON_STEP_TRUE);
        break;
    }
    const char *said = sg_json_describe(v, text);
    json_decref(v);
    return said;
}
