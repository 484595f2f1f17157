/* jinja_lex.c - a template as tokens: text outside of tags with the white space that tags take along, and what stands in them. */
#include "text/jinja_parts.h"

#include "base/alloc.h"

#include <string.h>

#define SPACES " \t\n\v\f\r"

typedef struct lexer {
    sg_jinja *j;
    const char *s; /* (size), lines end in \n */
    size_t size, at;
    int line;
    bool line_begins; /* the text at hand begins a line */
} lexer;

static sg_jinja_token *add(lexer *x, sg_jinja_type type, const char *s, size_t size)
{
    sg_jinja *j = x->j;

    if (j->st || !sg_grow(&j->token, &j->cap_tokens, j->n_tokens + 1, sizeof *j->token)) {
        j->st = j->st ? j->st : sg_fail_memory(j->err, "chat template");
        return NULL;
    }
    j->token[j->n_tokens] = (sg_jinja_token){.type = type, .line = x->line, .s = {s, size}};
    return &j->token[j->n_tokens++];
}

static void fail(lexer *x, const char *what)
{
    if (!x->j->st)
        x->j->st = sg_fail(x->j->err, SG_ERR_FORMAT, "chat template, line %d: %s", x->line, what);
}

static bool is_space(char c)
{
    return c && strchr(SPACES, c);
}

static void count_lines(lexer *x, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        x->line += x->s[i] == '\n';
}

static bool starts(const lexer *x, size_t at, const char *word)
{
    const size_t n = strlen(word);

    return x->size - at >= n && memcmp(x->s + at, word, n) == 0;
}

/* ---- in tags ---------------------------------------------------------------------------------------------------------------- */
static size_t put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

/* \n and the like; *i: behind what was read. */
static size_t put_escape(lexer *x, char *to, size_t *i)
{
    static const char from[] = "ntr\\'\"", into[] = "\n\t\r\\'\"";
    const char c = x->s[*i];
    const char *known = c ? strchr(from, c) : NULL;
    unsigned code = 0;

    (*i)++;
    if (known) {
        *to = into[known - from];
        return 1;
    }
    if (c != 'u' && c != 'x') {
        fail(x, "expected \\n, \\t, \\r, \\\\, \\', \\\", \\x or \\u in a string");
        return 0;
    }
    for (int k = c == 'u' ? 4 : 2; k > 0; k--, (*i)++) {
        static const char hex[] = "0123456789abcdef";
        const char h = *i < x->size ? (char)(x->s[*i] | 0x20) : 'z';
        const char *digit = memchr(hex, h, 16);

        if (!digit) {
            fail(x, "expected hexadecimal digits behind \\x and \\u");
            return 0;
        }
        code = code << 4 | (unsigned)(digit - hex);
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        fail(x, "expected a character of one \\u, and none of number 0");
    return put_utf8(to, code);
}

static void read_string(lexer *x)
{
    const char quote = x->s[x->at];
    size_t i = x->at + 1, n = 0, end = i;
    char *to;

    while (end < x->size && x->s[end] != quote)
        end += x->s[end] == '\\' ? 2 : 1;
    to = sg_jinja_take(x->j, (end < x->size ? end : x->size) - i + 4,
                       1); /* no escape is shorter than what it stands for */
    while (to && !x->j->st && i < x->size && x->s[i] != quote) {
        if (x->s[i] == '\\' && i + 1 < x->size) {
            i++;
            n += put_escape(x, to + n, &i);
        } else {
            to[n++] = x->s[i++];
        }
    }
    if (i >= x->size)
        fail(x, "expected a quote that ends the string");
    add(x, SG_J_STRING, to, n);
    count_lines(x, x->at, i < x->size ? i : x->size);
    x->at = i + 1;
}

static void read_number(lexer *x)
{
    const size_t begin = x->at;
    int64_t n = 0;
    sg_jinja_token *t;

    for (; x->at < x->size && x->s[x->at] >= '0' && x->s[x->at] <= '9'; x->at++)
        n = n < 1000000000000000 ? n * 10 + (x->s[x->at] - '0') : n;
    if (x->at + 1 < x->size && x->s[x->at] == '.' && x->s[x->at + 1] >= '0' && x->s[x->at + 1] <= '9')
        fail(x, "numbers with a point are not known");
    if ((t = add(x, SG_J_INT, x->s + begin, x->at - begin)))
        t->n = n;
}

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void read_word(lexer *x)
{
    static const char *const pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
    const char c = x->s[x->at];
    size_t n = 1;

    if (c == '"' || c == '\'') {
        read_string(x);
        return;
    }
    if (c >= '0' && c <= '9') {
        read_number(x);
        return;
    }
    if (in_name(c)) {
        while (x->at + n < x->size && in_name(x->s[x->at + n]))
            n++;
        add(x, SG_J_NAME, x->s + x->at, n);
    } else if (!c || !strchr("+-*/%~<>=!.,:|()[]{}", c)) {
        fail(x, "a character that is not known in a tag");
    } else {
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            n = starts(x, x->at, pairs[i]) ? 2 : n;
        add(x, SG_J_OP, x->s + x->at, n);
    }
    x->at += n;
}

/* Up to the end of a tag and the white space that it takes along. */
static void read_tag(lexer *x, bool block)
{
    const char *const end = block ? "%}" : "}}";
    int open = 0;

    while (!x->j->st) {
        while (x->at < x->size && is_space(x->s[x->at]))
            x->line += x->s[x->at++] == '\n';
        if (x->at >= x->size) {
            fail(x, "expected the end of a tag");
            return;
        }
        const char c = x->s[x->at];
        const bool marked = c == '-' || (block && c == '+');

        if (open == 0 && starts(x, x->at + marked, end)) {
            add(x, block ? SG_J_CLOSE_BLOCK : SG_J_CLOSE_VAR, end, 2);
            x->at += marked + 2u;
            const size_t begin = x->at;
            if (marked && c == '-')
                while (x->at < x->size && is_space(x->s[x->at]))
                    x->at++;
            else if (block && !marked && x->at < x->size && x->s[x->at] == '\n')
                x->at++;
            count_lines(x, begin, x->at);
            x->line_begins = x->at > begin && x->s[x->at - 1] == '\n';
            return;
        }
        open += (strchr("([{", c) != NULL) - (strchr(")]}", c) != NULL);
        read_word(x);
    }
}

static void skip_comment(lexer *x)
{
    while (x->at < x->size && !starts(x, x->at, "#}"))
        x->line += x->s[x->at++] == '\n';
    if (x->at >= x->size) {
        fail(x, "expected the end of a comment");
        return;
    }
    const char before = x->s[x->at - 1];
    const size_t begin = x->at += 2;
    if (before == '-')
        while (x->at < x->size && is_space(x->s[x->at]))
            x->at++;
    else if (before != '+' && x->at < x->size && x->s[x->at] == '\n')
        x->at++;
    count_lines(x, begin, x->at);
    x->line_begins = x->at > begin && x->s[x->at - 1] == '\n';
}

/* ---- outside of tags -------------------------------------------------------------------------------------------------------- */
/* Text from x->at to a tag, or the end of all, as that tag leaves it. */
static void add_text(lexer *x, size_t to)
{
    const bool tag = to < x->size, block = tag && x->s[to + 1] != '{';
    const char mark = tag && to + 2 < x->size ? x->s[to + 2] : 0;
    size_t end = to;

    if (mark == '-') {
        while (end > x->at && is_space(x->s[end - 1]))
            end--;
    } else if (block && mark != '+') { /* a tag that stands first in its line */
        while (end > x->at && (x->s[end - 1] == ' ' || x->s[end - 1] == '\t'))
            end--;
        if (end > x->at ? x->s[end - 1] != '\n' : !x->line_begins)
            end = to;
    }
    if (end > x->at)
        add(x, SG_J_TEXT, x->s + x->at, end - x->at);
    count_lines(x, x->at, to);
    x->at = to;
}

static void read_all(lexer *x)
{
    while (!x->j->st && x->at < x->size) {
        size_t to = x->at;

        while (to < x->size &&
               !(x->s[to] == '{' && to + 1 < x->size && x->s[to + 1] && strchr("{%#", x->s[to + 1])))
            to++;
        add_text(x, to);
        if (to >= x->size)
            break;
        const char kind = x->s[to + 1];
        x->at = to + 2;
        if (x->at < x->size && (x->s[x->at] == '-' || (kind != '{' && x->s[x->at] == '+')))
            x->at++;
        if (kind == '#') {
            skip_comment(x);
            continue;
        }
        add(x, kind == '%' ? SG_J_OPEN_BLOCK : SG_J_OPEN_VAR, x->s + to, 2);
        read_tag(x, kind == '%');
    }
    add(x, SG_J_END, "", 0);
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------------- */
/* {% set x %} ... {% endset %}, not {% set x = 1 %}. */
static bool has_body(const sg_jinja *j, size_t i)
{
    if (!sg_jinja_is(j->token[i + 1].s, "set"))
        return true;
    for (; j->token[i].type != SG_J_CLOSE_BLOCK; i++)
        if (j->token[i].type == SG_J_OP && sg_jinja_is(j->token[i].s, "="))
            return false;
    return true;
}

/* Where the clauses of a block go on, and where it ends. */
static void link_blocks(lexer *x)
{
    static const char *const opens[] = {"if", "for", "macro", "set"}, *const closes[] = {"endif", "endfor",
                                                                                         "endmacro",
                                                                                         "endset"};
    sg_jinja *j = x->j;
    struct {
        size_t first, last;
        int kind;
    } stack[SG_JINJA_DEPTH];
    int depth = 0;

    for (size_t i = 0; i + 1 < j->n_tokens && !j->st; i++) {
        const sg_bytes name = j->token[i + 1].s;

        if (j->token[i].type != SG_J_OPEN_BLOCK || j->token[i + 1].type != SG_J_NAME)
            continue;
        x->line = j->token[i].line;
        for (int k = 0; k < 4; k++) {
            if (sg_jinja_is(name, opens[k]) && has_body(j, i)) {
                if (depth == SG_JINJA_DEPTH) {
                    fail(x, "blocks lie too deep in each other");
                    return;
                }
                stack[depth].first = stack[depth].last = i;
                stack[depth++].kind = k;
            } else if (sg_jinja_is(name, closes[k])) {
                if (!depth || stack[depth - 1].kind != k || j->token[i + 2].type != SG_J_CLOSE_BLOCK) {
                    fail(x, "the end of a block that was not begun");
                    return;
                }
                depth--;
                j->token[stack[depth].last].next = j->token[stack[depth].first].close = (uint32_t)i;
            }
        }
        if (sg_jinja_is(name, "elif") || sg_jinja_is(name, "else")) {
            if (!depth || stack[depth - 1].kind > (name.data[2] == 's' ? 1 : 0)) {
                fail(x, "expected elif and else in a block of if or for");
                return;
            }
            j->token[stack[depth - 1].last].next = (uint32_t)i;
            stack[depth - 1].last = i;
        }
    }
    if (depth) {
        x->line = j->token[stack[depth - 1].first].line;
        fail(x, "a block that does not end");
    }
}

void sg_jinja_cut(sg_jinja *j, sg_bytes source)
{
    lexer x = {.j = j, .line = 1, .line_begins = true};
    char *s = sg_jinja_take(j, source.size + 1, 1);

    if (!s)
        return;
    for (size_t i = 0; i < source.size; i++) {
        if (source.data[i] == '\r' && i + 1 < source.size && source.data[i + 1] == '\n')
            continue;
        s[x.size++] = source.data[i] == '\r' ? '\n' : source.data[i];
    }
    x.size -= x.size && s[x.size - 1] == '\n';
    x.s = s;
    read_all(&x);
    if (!j->st)
        link_blocks(&x);
}
