/* json_scan.c - a recursive descent that only moves a pointer. */
#include "data/json_scan.h"

#include "data/scan.h"

#include <string.h>

enum { DEPTH_MAX = 64 };

static bool fail(sg_json_scan *s, const char *expected)
{
    if (!s->problem)
        s->problem = expected;
    return false;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline void skip_space(sg_json_scan *s)
{
    while (s->at < s->end && is_space(*s->at))
        s->at++;
}

void sg_json_begin(sg_json_scan *s, sg_bytes text, bool loose)
{
    *s = (sg_json_scan){.at = text.data, .end = text.data + text.size, .loose = loose};
}

static bool take_string(sg_json_scan *s, sg_json_value *out)
{
    const char quote = *s->at, *begin = s->at + 1, *p = begin, *close;

    out->kind = SG_JSON_STRING;
    out->escaped = false;
    while ((close = p < s->end ? memchr(p, quote, (size_t)(s->end - p)) : NULL)) {
        const char *slash = memchr(p, '\\', (size_t)(close - p));

        if (!slash)
            break;
        out->escaped = true;
        p = slash + 2; /* what follows a backslash never closes */
    }
    if (!close) {
        s->at = s->end;
        return fail(s, "the string's closing quote");
    }
    out->text = (sg_bytes){begin, (size_t)(close - begin)};
    s->at = close + 1;
    return true;
}

static bool take_number(sg_json_scan *s, sg_json_value *out)
{
    const char *p = s->at, *first;

    if (p < s->end && *p == '-')
        p++;
    for (first = p; p < s->end && *p >= '0' && *p <= '9'; p++)
        continue;
    bool good = p > first && (p == first + 1 || *first != '0');
    if (good && p < s->end && *p == '.') {
        for (first = ++p; p < s->end && *p >= '0' && *p <= '9'; p++)
            continue;
        good = p > first;
    }
    if (good && p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < s->end && (*p == '-' || *p == '+'))
            p++;
        for (first = p; p < s->end && *p >= '0' && *p <= '9'; p++)
            continue;
        good = p > first;
    }
    if (!good) {
        s->at = p == s->end ? p : s->at; /* cut off: more input may complete it */
        return fail(s, "a number");
    }
    out->kind = SG_JSON_NUMBER;
    out->text = (sg_bytes){s->at, (size_t)(p - s->at)};
    s->at = p;
    return true;
}

static bool take_word(sg_json_scan *s, sg_json_value *out)
{
    static const struct {
        const char *word;
        sg_json_kind kind;
        bool loose;
    } words[] = {{"null", SG_JSON_NULL, false},   {"true", SG_JSON_TRUE, false},
                 {"false", SG_JSON_FALSE, false}, {"None", SG_JSON_NULL, true},
                 {"True", SG_JSON_TRUE, true},    {"False", SG_JSON_FALSE, true}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t n = strlen(words[i].word), left = (size_t)(s->end - s->at);

        if ((words[i].loose && !s->loose) || memcmp(s->at, words[i].word, left < n ? left : n) != 0)
            continue;
        if (left < n) { /* cut off: more input may complete it */
            s->at = s->end;
            break;
        }
        out->kind = words[i].kind;
        out->text = (sg_bytes){s->at, n};
        s->at += n;
        return true;
    }
    return fail(s, "a JSON value");
}

static bool take_value(sg_json_scan *s, sg_json_value *out, int depth);

/* An object or array at s->at: everything inside is walked over. */
static bool take_nested(sg_json_scan *s, sg_json_value *out, int depth)
{
    const char open = *s->at, close = open == '{' ? '}' : ']', *begin = s->at;
    sg_json_value inner;

    if (depth >= DEPTH_MAX)
        return fail(s, "at most 64 levels of nesting");
    s->at++;
    for (bool first = true;; first = false) {
        skip_space(s);
        if (s->at < s->end && *s->at == close && first)
            break;
        if (!first) {
            if (s->at < s->end && *s->at == close)
                break;
            if (s->at == s->end || *s->at != ',')
                return fail(s, open == '{' ? "',' or '}'" : "',' or ']'");
            s->at++;
        }
        if (open == '{') {
            skip_space(s);
            if (s->at == s->end || !(*s->at == '"' || (s->loose && *s->at == '\'')))
                return fail(s, "a key in quotes");
            if (!take_string(s, &inner))
                return false;
            skip_space(s);
            if (s->at == s->end || *s->at != ':')
                return fail(s, "':'");
            s->at++;
        }
        if (!take_value(s, &inner, depth + 1))
            return false;
    }
    s->at++;
    out->kind = open == '{' ? SG_JSON_OBJECT : SG_JSON_ARRAY;
    out->text = (sg_bytes){begin, (size_t)(s->at - begin)};
    return true;
}

static bool take_value(sg_json_scan *s, sg_json_value *out, int depth)
{
    skip_space(s);
    if (s->at == s->end)
        return fail(s, "a JSON value");
    if (s->loose && *s->at == 'u' && s->end - s->at > 1 && (s->at[1] == '\'' || s->at[1] == '"'))
        s->at++; /* u'text' */
    out->escaped = false;
    switch (*s->at) {
    case '"':
        return take_string(s, out);
    case '\'':
        return s->loose ? take_string(s, out) : fail(s, "a JSON value");
    case '{':
    case '[':
        return take_nested(s, out, depth);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return take_number(s, out);
    default:
        return take_word(s, out);
    }
}

bool sg_json_take(sg_json_scan *s, sg_json_value *out)
{
    return take_value(s, out, 0);
}

bool sg_json_end(sg_json_scan *s)
{
    skip_space(s);
    return s->at == s->end || fail(s, "the end of the line");
}

void sg_json_enter(sg_json_scan *s, char bracket)
{
    skip_space(s);
    s->first = true;
    if (s->at == s->end || *s->at != bracket)
        fail(s, bracket == '{' ? "an object" : "an array");
    else
        s->at++;
}

/* To the next member; false at the closing bracket or at a problem. */
static bool step(sg_json_scan *s, char close)
{
    if (s->problem)
        return false;
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return false;
    }
    if (!s->first) {
        if (s->at == s->end || *s->at != ',')
            return fail(s, close == '}' ? "',' or '}'" : "',' or ']'");
        s->at++;
        skip_space(s);
    }
    s->first = false;
    return true;
}

static bool take_key(sg_json_scan *s, sg_json_value *key)
{
    if (s->at == s->end || !(*s->at == '"' || (s->loose && *s->at == '\'')))
        return fail(s, "a key in quotes");
    if (!take_string(s, key))
        return false;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return fail(s, "':'");
    s->at++;
    return true;
}

bool sg_json_member(sg_json_scan *s, sg_json_value *key, sg_json_value *value)
{
    return step(s, '}') && take_key(s, key) && take_value(s, value, 1);
}

bool sg_json_element(sg_json_scan *s, sg_json_value *value)
{
    return step(s, ']') && take_value(s, value, 1);
}

/* ---- strings ---- */

static int hex_digits(const char *p, const char *end, int n)
{
    int value = 0;

    if (end - p < n)
        return -1;
    for (int i = 0; i < n; i++) {
        const char c = p[i];
        const int d = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;

        if (d < 0)
            return -1;
        value = value * 16 + d;
    }
    return value;
}

static void add_utf8(sg_buf *out, int c)
{
    if (c < 0x80) {
        sg_buf_putc(out, (char)c);
        return;
    }
    if (c < 0x800) {
        sg_buf_putc(out, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            sg_buf_putc(out, (char)(0xe0 | c >> 12));
        } else {
            sg_buf_putc(out, (char)(0xf0 | c >> 18));
            sg_buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        sg_buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    sg_buf_putc(out, (char)(0x80 | (c & 0x3f)));
}

/* \uXXXX, with its second half when it is a surrogate; half a pair becomes U+FFFD. Returns the characters
 * behind "\u". */
static size_t add_unicode(sg_buf *out, const char *p, const char *end)
{
    int c = hex_digits(p, end, 4), low;
    size_t used = 4;

    if (c < 0) {
        add_utf8(out, 0xfffd);
        return 0;
    }
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 10 && p[4] == '\\' && p[5] == 'u' &&
        (low = hex_digits(p + 6, end, 4)) >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
        used = 10;
    } else if (c >= 0xd800 && c < 0xe000) {
        c = 0xfffd;
    }
    add_utf8(out, c);
    return used;
}

bool sg_json_string(sg_bytes *out, const sg_json_value *v, sg_buf *room)
{
    static const char plain[] = "\"\\/bfnrt'", meant[] = "\"\\/\b\f\n\r\t'";
    const char *p = v->text.data, *end = p + v->text.size;

    *out = v->text;
    if (!v->escaped)
        return true;
    room->size = 0;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p)), *known;

        sg_buf_add(room, p, (size_t)((slash ? slash : end) - p));
        if (!slash)
            break;
        p = slash + 1;
        if (p == end)
            break;
        if (*p == 'u') {
            p++;
            p += add_unicode(room, p, end);
        } else if (*p == 'x' && hex_digits(p + 1, end, 2) >= 0) { /* Python's */
            add_utf8(room, hex_digits(p + 1, end, 2));
            p += 3;
        } else if (*p && (known = strchr(plain, *p))) {
            sg_buf_putc(room, meant[known - plain]);
            p++;
        } else {
            sg_buf_putc(room, '\\');
            sg_buf_putc(room, *p++);
        }
    }
    sg_buf_add(room, "", 0);
    *out = (sg_bytes){room->data, room->size};
    return !room->failed;
}

/* ---- messages ---- */

sg_status sg_json_fail(const sg_json_scan *s, const sg_input *in, sg_bytes text, uint64_t line, sg_error *err)
{
    const char *begin = text.data, *p = text.data;
    char room[SG_QUOTE_ROOM];

    while ((p = p < s->at ? memchr(p, '\n', (size_t)(s->at - p)) : NULL)) {
        line++;
        begin = ++p;
    }
    size_t n = (size_t)(s->end - s->at);
    for (size_t i = 0; i < n; i++)
        if (is_space(s->at[i]))
            n = i;
    if (s->at == s->end)
        return sg_input_fail(in, line, err, "column %zu: expected %s, found the end",
                             (size_t)(s->at - begin) + 1, s->problem);
    return sg_input_fail(in, line, err, "column %zu: expected %s, found %s", (size_t)(s->at - begin) + 1,
                         s->problem, sg_quote(room, (sg_bytes){s->at, n < 16 ? n : 16}));
}

/* ---- a file that is one value ---- */

/* Moves over white space, counting lines; reads on as needed. */
static sg_status skip_lines(sg_input *in, sg_error *err)
{
    sg_status st;

    for (;;) {
        while (in->begin < in->end && is_space(in->data[in->begin]))
            in->line += in->data[in->begin++] == '\n';
        if (in->begin < in->end || in->ended)
            return SG_OK;
        if ((st = sg_input_more(in, err)))
            return st;
    }
}

static sg_status fail_here(sg_input *in, const char *expected, sg_error *err)
{
    char room[SG_QUOTE_ROOM];

    in->broken = true;
    if (in->begin == in->end)
        return sg_input_fail(in, in->line + 1, err, "expected %s, found the end of the file", expected);
    return sg_input_fail(in, in->line + 1, err, "expected %s, found %s", expected,
                         sg_quote(room, (sg_bytes){in->data + in->begin, 1}));
}

sg_status sg_json_file_begin(sg_json_file *f, sg_input *in, sg_error *err)
{
    const sg_status st = skip_lines(in, err);

    *f = (sg_json_file){.in = in, .first = true};
    if (st)
        return st;
    if (in->begin == in->end || (in->data[in->begin] != '{' && in->data[in->begin] != '['))
        return fail_here(in, "a JSON object or array", err);
    f->kind = in->data[in->begin++] == '{' ? SG_JSON_OBJECT : SG_JSON_ARRAY;
    return SG_OK;
}

/* To the begin of the next member. */
static sg_status next_begin(sg_json_file *f, bool *got, sg_error *err)
{
    const char close = f->kind == SG_JSON_OBJECT ? '}' : ']';
    sg_input *in = f->in;
    sg_status st;

    *got = false;
    if (f->done)
        return SG_OK;
    if ((st = skip_lines(in, err)))
        return st;
    if (in->begin < in->end && in->data[in->begin] == close) {
        in->begin++;
        f->done = true;
        if (!(st = skip_lines(in, err)) && in->begin < in->end)
            st = fail_here(in, "the end of the file", err);
        return st;
    }
    if (!f->first) {
        if (in->begin == in->end || in->data[in->begin] != ',')
            return fail_here(in, f->kind == SG_JSON_OBJECT ? "',' or '}'" : "',' or ']'", err);
        in->begin++;
        if ((st = skip_lines(in, err)))
            return st;
    }
    f->first = false;
    *got = true;
    return SG_OK;
}

sg_status sg_json_file_next(sg_json_file *f, sg_json_value *key, sg_json_value *value, bool *got,
                            sg_error *err)
{
    sg_input *in = f->in;
    sg_status st;

    if ((st = next_begin(f, got, err)) || !*got)
        return st;
    f->line = in->line + 1;
    for (;;) {
        sg_json_scan s;
        bool taken;

        f->text = (sg_bytes){in->data + in->begin, in->end - in->begin};
        sg_json_begin(&s, f->text, false);
        taken = (f->kind == SG_JSON_ARRAY || take_key(&s, key)) && take_value(&s, value, 1);
        /* A value that touches the end of the window may go on behind it. */
        if (s.at == s.end && !in->ended) {
            if ((st = sg_input_more(in, err)))
                return st;
            continue;
        }
        if (!taken) {
            in->broken = true;
            return sg_json_fail(&s, in, f->text, f->line, err);
        }
        f->text.size = (size_t)(s.at - f->text.data);
        in->begin += f->text.size;
        for (const char *p = f->text.data; (p = memchr(p, '\n', (size_t)(s.at - p))); p++)
            in->line++;
        if (in->nul && memchr(f->text.data, 0, f->text.size))
            return sg_input_fail(in, f->line, err, "expected text, found a NUL byte");
        return SG_OK;
    }
}
