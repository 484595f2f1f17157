/* template_head.c - lines and words of a template file, and the lines above its first turn. */
#include "text/template_parts.h"

#include "base/alloc.h"
#include "base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPAIRS_MOST = 100 };
#define TOKENS_MOST 100000000L

sg_status sg_template_fail(const sg_template *t, int line, sg_error *err, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sg_fail(err, SG_ERR_FORMAT, "%s:%d: %s", t->file, line > 0 ? line : 1,
                   text); /* a file without a line */
}

bool sg_template_line(sg_template_parser *p)
{
    const char *newline;

    if (p->at == p->end)
        return false;
    newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
    p->text = (sg_bytes){p->at, (size_t)((newline ? newline : p->end) - p->at)};
    p->at = newline ? newline + 1 : p->end;
    if (p->text.size && p->text.data[p->text.size - 1] == '\r')
        p->text.size--;
    p->line++;
    p->word_at = 0;
    return true;
}

void sg_template_skip(sg_template_parser *p)
{
    while (p->word_at < p->text.size && (p->text.data[p->word_at] == ' ' || p->text.data[p->word_at] == '\t'))
        p->word_at++;
}

/* A text in quotes, from behind the first one: \n, \t, \" and \\ are read. */
static sg_status read_quoted(sg_template_parser *p)
{
    while (p->word_at < p->text.size && p->text.data[p->word_at] != '"') {
        char c = p->text.data[p->word_at++];

        if (c == '\\') {
            const char e = p->word_at < p->text.size ? p->text.data[p->word_at++] : 0;

            if (!e || !strchr("nt\"\\", e))
                return SG_TEMPLATE_FAIL(p, "expected \\n, \\t, \\\" or \\\\ in a text in quotes");
            c = e == 'n' ? '\n' : e == 't' ? '\t' : e;
        }
        sg_buf_putc(&p->value, c);
    }
    if (p->word_at == p->text.size)
        return SG_TEMPLATE_FAIL(p, "expected a quote that ends the text, found the end of the line");
    p->word_at++;
    return SG_OK;
}

/* The next word into p->value: up to a space, with texts in quotes as they read. Size 0 and not *found: there is none. */
sg_status sg_template_word(sg_template_parser *p, bool *found)
{
    sg_status st = SG_OK;

    p->value.size = 0;
    sg_template_skip(p);
    *found = p->word_at < p->text.size;
    while (!st && p->word_at < p->text.size && p->text.data[p->word_at] != ' ' &&
           p->text.data[p->word_at] != '\t') {
        const char c = p->text.data[p->word_at++];

        if (c == '"')
            st = read_quoted(p);
        else
            sg_buf_putc(&p->value, c);
    }
    sg_buf_add(&p->value, "", 0);
    if (!st && p->value.failed)
        st = sg_fail_memory(p->err, "template");
    return st;
}

static sg_status need_word(sg_template_parser *p, char **out, const char *what)
{
    bool found;
    const sg_status st = sg_template_word(p, &found);

    if (st)
        return st;
    if (!found || !p->value.size)
        return SG_TEMPLATE_FAIL(p, "expected %s, found nothing", what);
    sg_free(*out);
    *out = sg_strndup(p->value.data, p->value.size);
    return *out ? SG_OK : sg_fail_memory(p->err, "template");
}

/* What is left of the line, without the spaces around. */
static sg_bytes rest_of_line(sg_template_parser *p)
{
    sg_bytes rest;

    sg_template_skip(p);
    rest = (sg_bytes){p->text.data + p->word_at, p->text.size - p->word_at};
    while (rest.size && (rest.data[rest.size - 1] == ' ' || rest.data[rest.size - 1] == '\t'))
        rest.size--;
    p->word_at = p->text.size;
    return rest;
}

static sg_status need_end(sg_template_parser *p)
{
    bool found;
    const sg_status st = sg_template_word(p, &found);

    return st      ? st
           : found ? SG_TEMPLATE_FAIL(p, "expected the end of the line, found '%s'", p->value.data)
                   : SG_OK;
}

static sg_status read_number(const sg_template_parser *p, const char *text, long most, const char *what,
                             long *out)
{
    char *end;

    *out = strtol(text, &end, 10);
    if (end == text || *end || *out < 0 || *out > most)
        return SG_TEMPLATE_FAIL(p, "%s: expected a number up to %ld, found '%s'", what, most, text);
    return SG_OK;
}

static bool sg_template_name_is_good(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
              s[i] == '_' || s[i] == '-' || s[i] == '.'))
            return false;
    return size > 0;
}

sg_template_hole *sg_template_hole_find(sg_template *t, sg_bytes name)
{
    for (size_t i = 0; i < t->n_slots; i++)
        if (strlen(t->slot[i].name) == name.size && memcmp(t->slot[i].name, name.data, name.size) == 0)
            return &t->slot[i];
    return NULL;
}

sg_status sg_template_hole_add(sg_template_parser *p, sg_bytes name, sg_template_hole **out)
{
    sg_template *t = p->t;
    sg_template_hole *s = &t->slot[t->n_slots];

    if (!sg_template_name_is_good(name.data, name.size))
        return SG_TEMPLATE_FAIL(p,
                                "expected the name of a slot (letters, digits, '_', '-', '.'), found '%.*s'",
                                (int)(name.size < 60 ? name.size : 60), name.data);
    if (t->n_slots == SG_TEMPLATE_SLOTS_MAX)
        return SG_TEMPLATE_FAIL(p, "expected at most %d slots", SG_TEMPLATE_SLOTS_MAX);
    if (!(s->name = sg_strndup(name.data, name.size)))
        return sg_fail_memory(p->err, "template");
    s->line = p->line;
    t->n_slots++;
    *out = s;
    return SG_OK;
}

static sg_status set_attribute(sg_template_parser *p, sg_template_hole *s, const char *word)
{
    static const char *const known[] = {"tokens", "keep", "list", "number", "lines", "json", "else"};
    const char *equals = strchr(word, '='), *value = equals ? equals + 1 : "", *near;
    const size_t size = equals ? (size_t)(equals - word) : strlen(word);
    char name[32] = "", **text = NULL;
    long n;
    sg_status st;

    snprintf(name, sizeof name, "%.*s", (int)(size < 31 ? size : 31), word);
    if (strcmp(name, "tokens") == 0) {
        if ((st = read_number(p, value, TOKENS_MOST, "tokens", &n)))
            return st;
        s->tokens = (size_t)n;
    } else if (strcmp(name, "keep") == 0) {
        s->keep_end = strcmp(value, "end") == 0;
        if (!s->keep_end && strcmp(value, "start") != 0)
            return SG_TEMPLATE_FAIL(p, "keep: expected start or end, found '%s'", value);
    } else if (strcmp(name, "list") == 0) {
        s->list = true;
        text = &s->separator;
        value = equals ? value : ", ";
    } else if (strcmp(name, "else") == 0 && equals) {
        text = &s->otherwise;
    } else if (!equals && strcmp(name, "number") == 0) {
        s->number = true;
    } else if (!equals && strcmp(name, "lines") == 0) {
        s->lines = true;
    } else if (!equals && strcmp(name, "json") == 0) {
        s->json = true;
    } else {
        near = sg_nearest(name, known, sizeof known / sizeof *known);
        return SG_TEMPLATE_FAIL(p,
                                near && strcmp(near, name) != 0
                                    ? "unknown attribute '%s' (did you mean '%s'?)"
                                    : "unknown attribute '%s'",
                                word, near);
    }
    if (text) {
        sg_free(*text);
        if (!(*text = sg_strdup(value)))
            return sg_fail_memory(p->err, "template");
    }
    return SG_OK;
}

static sg_status read_slot(sg_template_parser *p)
{
    sg_template_hole *s;
    bool found;
    sg_status st;

    if ((st = sg_template_word(p, &found)))
        return st;
    if (sg_template_hole_find(p->t, (sg_bytes){p->value.data, p->value.size}))
        return SG_TEMPLATE_FAIL(p, "slot '%s' is declared twice", p->value.data);
    if ((st = sg_template_hole_add(p, (sg_bytes){p->value.data, p->value.size}, &s)))
        return st;
    s->declared = true;
    while (!(st = sg_template_word(p, &found)) && found)
        if ((st = set_attribute(p, s, p->value.data)))
            return st;
    if (!st && s->number && !s->list)
        return SG_TEMPLATE_FAIL(p, "number: expected a list, found a text");
    return st;
}

static sg_status read_guard(sg_template_parser *p)
{
    sg_template *t = p->t;
    sg_status st;

    if (t->n_guards == SG_TEMPLATE_GUARDS_MAX)
        return SG_TEMPLATE_FAIL(p, "expected at most %d guards", SG_TEMPLATE_GUARDS_MAX);
    t->n_guards++; /* an empty place is freed, too */
    if ((st = need_word(p, &t->guard[t->n_guards - 1], "a text that no value may spell")))
        return st;
    if (strpbrk(t->guard[t->n_guards - 1], " \t\r\n")) /* a space is what breaks a guard, see put_guarded */
        return SG_TEMPLATE_FAIL(p, "guard: expected a text without spaces, found '%s'",
                                t->guard[t->n_guards - 1]);
    return need_end(p);
}

/* "a, b" becomes "a,b": no space around a comma belongs to a key. */
static sg_status read_keys(sg_template_parser *p, sg_bytes list)
{
    sg_template *t = p->t;
    sg_buf keys = {0};

    for (size_t at = 0; at <= list.size;) {
        size_t end = at, next;

        while (end < list.size && list.data[end] != ',')
            end++;
        next = end + 1;
        while (at < end && sg_template_space((unsigned char)list.data[at]))
            at++;
        while (end > at && sg_template_space((unsigned char)list.data[end - 1]))
            end--;
        if (end == at || end - at > SG_TEMPLATE_KEY_MOST) {
            sg_buf_free(&keys);
            return SG_TEMPLATE_FAIL(
                p, "answer json: expected keys of 1 to %d bytes with commas between, found one of %zu",
                SG_TEMPLATE_KEY_MOST, end - at);
        }
        if (keys.size)
            sg_buf_putc(&keys, ',');
        sg_buf_add(&keys, list.data + at, end - at);
        at = next;
    }
    if (keys.failed)
        return sg_fail_memory(p->err, "template");
    sg_free(t->keys);
    t->keys = sg_buf_take(&keys);
    return t->keys ? SG_OK : sg_fail_memory(p->err, "template");
}

static sg_status read_answer_kind(sg_template_parser *p)
{
    static const char *const kinds[] = {"text", "line", "json", "match"};
    sg_template *t = p->t;
    sg_bytes rest;
    sg_error err;
    bool found;
    int kind = -1;
    sg_status st;

    if ((st = sg_template_word(p, &found)))
        return st;
    for (int i = 0; i < 4 && found; i++)
        if (strcmp(p->value.data, kinds[i]) == 0)
            kind = i;
    if (kind < 0)
        return SG_TEMPLATE_FAIL(p, "answer: expected text, line, json or match, found '%s'",
                                found ? p->value.data : "");
    t->answer = (sg_answer_kind)kind;
    rest = rest_of_line(p);
    if (t->answer == SG_ANSWER_JSON && rest.size) {
        return read_keys(p, rest);
    }
    if (t->answer != SG_ANSWER_MATCH)
        return rest.size ? SG_TEMPLATE_FAIL(p, "expected the end of the line, found '%.*s'",
                                            (int)(rest.size < 60 ? rest.size : 60), rest.data)
                         : SG_OK;
    if (!rest.size)
        return SG_TEMPLATE_FAIL(p, "answer match: expected a regular expression, found nothing");
    sg_free(t->regex);
    sg_pattern_free(t->pattern);
    t->pattern = NULL;
    if (!(t->regex = sg_strndup(rest.data, rest.size)))
        return sg_fail_memory(p->err, "template");
    if ((st = sg_pattern_new(&t->pattern, rest, &err)))
        return st == SG_ERR_MEMORY ? sg_fail_memory(p->err, "template")
                                   : SG_TEMPLATE_FAIL(p, "answer match: %s", err.message);
    return SG_OK;
}

static sg_status read_count(sg_template_parser *p, const char *what, long most, long *out)
{
    bool found;
    sg_status st;

    if ((st = sg_template_word(p, &found)) ||
        (st = read_number(p, found ? p->value.data : "", most, what, out)))
        return st;
    return need_end(p);
}

static sg_status read_fallback(sg_template_parser *p)
{
    const sg_status st = need_word(p, &p->t->fallback, "a text");

    return st ? st : need_end(p);
}

sg_status sg_template_directive(sg_template_parser *p, const char *word)
{
    static const char *const known[] = {"template", "slot",  "guard",   "budget",
                                        "answer",   "whole", "repairs", "fallback"};
    sg_template *t = p->t;
    const char *near;
    long n = 0;
    sg_status st;

    if (strcmp(word, "template") == 0) {
        if (t->name)
            return SG_TEMPLATE_FAIL(p, "the template is named twice");
        if ((st = need_word(p, &t->name, "the name of the template")) ||
            (st = need_word(p, &t->version, "a version")))
            return st;
        return need_end(p);
    }
    if (!t->name)
        return SG_TEMPLATE_FAIL(p, "expected 'template NAME VERSION', found '%s'", word);
    if (strcmp(word, "slot") == 0)
        return read_slot(p);
    if (strcmp(word, "guard") == 0)
        return read_guard(p);
    if (strcmp(word, "answer") == 0)
        return read_answer_kind(p);
    if (strcmp(word, "fallback") == 0)
        return read_fallback(p);
    if (strcmp(word, "whole") == 0) {
        t->whole = true;
        return need_end(p);
    }
    if (strcmp(word, "budget") == 0) {
        st = read_count(p, "budget", TOKENS_MOST, &n);
        t->budget = (size_t)n;
        return st;
    }
    if (strcmp(word, "repairs") == 0) {
        st = read_count(p, "repairs", REPAIRS_MOST, &n);
        t->repairs = (int)n;
        return st;
    }
    near = sg_nearest(word, known, sizeof known / sizeof *known);
    return near ? SG_TEMPLATE_FAIL(p, "unknown word '%s' (did you mean '%s'?)", word, near)
                : SG_TEMPLATE_FAIL(p,
                                   "unknown word '%s': expected slot, guard, budget, answer, whole, repairs, "
                                   "fallback or a turn "
                                   "such as [user]",
                                   word);
}
