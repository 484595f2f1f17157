/* template.c - the parser of template files, and prompts that fit. */
#include "text/template.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/option.h"
#include "base/utf8.h"
#include "file/json.h"
#include "file/sha256.h"
#include "text/pattern.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MOST = 1 << 20, GUARDS_MOST = 64, REPAIRS_MOST = 100, SHOWN_MOST = 80 };
#define TOKENS_MOST 100000000L

typedef struct slot {
    char *name; /* owned */
    int line;   /* that first names it */
    bool declared, used;
    bool keep_end, list, number, lines, json;
    size_t tokens;               /* at most; 0: any number */
    char *separator, *otherwise; /* owned; NULL: none */
} slot;

typedef struct piece {
    size_t turn;
    int slot;   /* -1: text */
    char *text; /* owned */
    size_t size;
} piece;

typedef enum answer_kind { ANSWER_TEXT, ANSWER_LINE, ANSWER_JSON, ANSWER_MATCH } answer_kind;

struct sg_template {
    char *file, *name, *version, *origin; /* owned */
    slot slot[SG_TEMPLATE_SLOTS_MAX];
    size_t n_slots;
    const char *role[SG_TEMPLATE_TURNS_MAX];
    size_t n_turns;
    piece *piece; /* owned */
    size_t n_pieces, cap_pieces;
    char *guard[GUARDS_MOST]; /* owned */
    size_t n_guards;
    size_t budget; /* 0: none */
    answer_kind answer;
    char *keys;          /* owned: ANSWER_JSON, separated by commas; NULL: any */
    char *regex;         /* owned */
    sg_pattern *pattern; /* owned */
    int repairs;
    char *fallback; /* owned; NULL: none */
};

/* ---- reading the head ------------------------------------------------------------------------------------------------------ */
typedef struct parser {
    sg_template *t;
    const char *at, *end; /* of the file */
    int line;
    sg_bytes text;  /* the line */
    size_t word_at; /* in it */
    sg_buf value;   /* of the word last read */
    sg_error *err;
} parser;

#define FAIL(p, ...) fail_at((p)->t, (p)->line, (p)->err, __VA_ARGS__)
static sg_status fail_at(const sg_template *t, int line, sg_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static sg_status fail_at(const sg_template *t, int line, sg_error *err, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sg_fail(err, SG_ERR_FORMAT, "%s:%d: %s", t->file, line, text);
}

static bool next_line(parser *p)
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

static void skip_spaces(parser *p)
{
    while (p->word_at < p->text.size && (p->text.data[p->word_at] == ' ' || p->text.data[p->word_at] == '\t'))
        p->word_at++;
}

/* A text in quotes, from behind the first one: \n, \t, \" and \\ are read. */
static sg_status read_quoted(parser *p)
{
    while (p->word_at < p->text.size && p->text.data[p->word_at] != '"') {
        char c = p->text.data[p->word_at++];

        if (c == '\\') {
            const char e = p->word_at < p->text.size ? p->text.data[p->word_at++] : 0;

            if (!e || !strchr("nt\"\\", e))
                return FAIL(p, "expected \\n, \\t, \\\" or \\\\ in a text in quotes");
            c = e == 'n' ? '\n' : e == 't' ? '\t' : e;
        }
        sg_buf_putc(&p->value, c);
    }
    if (p->word_at == p->text.size)
        return FAIL(p, "expected a quote that ends the text, found the end of the line");
    p->word_at++;
    return SG_OK;
}

/* The next word into p->value: up to a space, with texts in quotes as they read. Size 0 and not *found: there is none. */
static sg_status next_word(parser *p, bool *found)
{
    sg_status st = SG_OK;

    p->value.size = 0;
    skip_spaces(p);
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

static sg_status need_word(parser *p, char **out, const char *what)
{
    bool found;
    const sg_status st = next_word(p, &found);

    if (st)
        return st;
    if (!found || !p->value.size)
        return FAIL(p, "expected %s, found nothing", what);
    sg_free(*out);
    *out = sg_strndup(p->value.data, p->value.size);
    return *out ? SG_OK : sg_fail_memory(p->err, "template");
}

/* What is left of the line, without the spaces around. */
static sg_bytes rest_of_line(parser *p)
{
    sg_bytes rest;

    skip_spaces(p);
    rest = (sg_bytes){p->text.data + p->word_at, p->text.size - p->word_at};
    while (rest.size && (rest.data[rest.size - 1] == ' ' || rest.data[rest.size - 1] == '\t'))
        rest.size--;
    p->word_at = p->text.size;
    return rest;
}

static sg_status need_end(parser *p)
{
    bool found;
    const sg_status st = next_word(p, &found);

    return st ? st : found ? FAIL(p, "expected the end of the line, found '%s'", p->value.data) : SG_OK;
}

static sg_status read_number(const parser *p, const char *text, long most, const char *what, long *out)
{
    char *end;

    *out = strtol(text, &end, 10);
    if (end == text || *end || *out < 0 || *out > most)
        return FAIL(p, "%s: expected a number up to %ld, found '%s'", what, most, text);
    return SG_OK;
}

static bool name_is_good(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
              s[i] == '_' || s[i] == '-' || s[i] == '.'))
            return false;
    return size > 0;
}

static slot *find_slot(sg_template *t, sg_bytes name)
{
    for (size_t i = 0; i < t->n_slots; i++)
        if (strlen(t->slot[i].name) == name.size && memcmp(t->slot[i].name, name.data, name.size) == 0)
            return &t->slot[i];
    return NULL;
}

static sg_status add_slot(parser *p, sg_bytes name, slot **out)
{
    sg_template *t = p->t;
    slot *s = &t->slot[t->n_slots];

    if (!name_is_good(name.data, name.size))
        return FAIL(p, "expected the name of a slot (letters, digits, '_', '-', '.'), found '%.*s'",
                    (int)(name.size < 60 ? name.size : 60), name.data);
    if (t->n_slots == SG_TEMPLATE_SLOTS_MAX)
        return FAIL(p, "expected at most %d slots", SG_TEMPLATE_SLOTS_MAX);
    if (!(s->name = sg_strndup(name.data, name.size)))
        return sg_fail_memory(p->err, "template");
    s->line = p->line;
    t->n_slots++;
    *out = s;
    return SG_OK;
}

static sg_status set_attribute(parser *p, slot *s, const char *word)
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
            return FAIL(p, "keep: expected start or end, found '%s'", value);
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
        return FAIL(p,
                    near && strcmp(near, name) != 0 ? "unknown attribute '%s' (did you mean '%s'?)"
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

static sg_status read_slot(parser *p)
{
    slot *s;
    bool found;
    sg_status st;

    if ((st = next_word(p, &found)))
        return st;
    if (find_slot(p->t, (sg_bytes){p->value.data, p->value.size}))
        return FAIL(p, "slot '%s' is declared twice", p->value.data);
    if ((st = add_slot(p, (sg_bytes){p->value.data, p->value.size}, &s)))
        return st;
    s->declared = true;
    while (!(st = next_word(p, &found)) && found)
        if ((st = set_attribute(p, s, p->value.data)))
            return st;
    if (!st && s->number && !s->list)
        return FAIL(p, "number: expected a list, found a text");
    return st;
}

static sg_status read_guard(parser *p)
{
    sg_template *t = p->t;
    sg_status st;

    if (t->n_guards == GUARDS_MOST)
        return FAIL(p, "expected at most %d guards", GUARDS_MOST);
    t->n_guards++; /* an empty place is freed, too */
    if ((st = need_word(p, &t->guard[t->n_guards - 1], "a text that no value may spell")))
        return st;
    if (strpbrk(t->guard[t->n_guards - 1], " \t\r\n")) /* a space is what breaks a guard, see put_guarded */
        return FAIL(p, "guard: expected a text without spaces, found '%s'", t->guard[t->n_guards - 1]);
    return need_end(p);
}

static sg_status read_answer_kind(parser *p)
{
    static const char *const kinds[] = {"text", "line", "json", "match"};
    sg_template *t = p->t;
    sg_bytes rest;
    sg_error err;
    bool found;
    int kind = -1;
    sg_status st;

    if ((st = next_word(p, &found)))
        return st;
    for (int i = 0; i < 4 && found; i++)
        if (strcmp(p->value.data, kinds[i]) == 0)
            kind = i;
    if (kind < 0)
        return FAIL(p, "answer: expected text, line, json or match, found '%s'", found ? p->value.data : "");
    t->answer = (answer_kind)kind;
    rest = rest_of_line(p);
    if (t->answer == ANSWER_JSON && rest.size) {
        sg_free(t->keys);
        t->keys = sg_strndup(rest.data, rest.size);
        return t->keys ? SG_OK : sg_fail_memory(p->err, "template");
    }
    if (t->answer != ANSWER_MATCH)
        return rest.size ? FAIL(p, "expected the end of the line, found '%.*s'",
                                (int)(rest.size < 60 ? rest.size : 60), rest.data)
                         : SG_OK;
    if (!rest.size)
        return FAIL(p, "answer match: expected a regular expression, found nothing");
    sg_free(t->regex);
    sg_pattern_free(t->pattern);
    t->pattern = NULL;
    if (!(t->regex = sg_strndup(rest.data, rest.size)))
        return sg_fail_memory(p->err, "template");
    if ((st = sg_pattern_new(&t->pattern, rest, &err)))
        return st == SG_ERR_MEMORY ? sg_fail_memory(p->err, "template")
                                   : FAIL(p, "answer match: %s", err.message);
    return SG_OK;
}

static sg_status read_count(parser *p, const char *what, long most, long *out)
{
    bool found;
    sg_status st;

    if ((st = next_word(p, &found)) || (st = read_number(p, found ? p->value.data : "", most, what, out)))
        return st;
    return need_end(p);
}

static sg_status read_fallback(parser *p)
{
    const sg_status st = need_word(p, &p->t->fallback, "a text");

    return st ? st : need_end(p);
}

static sg_status read_directive(parser *p, const char *word)
{
    static const char *const known[] = {"template", "slot",    "guard",   "budget",
                                        "answer",   "repairs", "fallback"};
    sg_template *t = p->t;
    const char *near;
    long n = 0;
    sg_status st;

    if (strcmp(word, "template") == 0) {
        if (t->name)
            return FAIL(p, "the template is named twice");
        if ((st = need_word(p, &t->name, "the name of the template")) ||
            (st = need_word(p, &t->version, "a version")))
            return st;
        return need_end(p);
    }
    if (!t->name)
        return FAIL(p, "expected 'template NAME VERSION', found '%s'", word);
    if (strcmp(word, "slot") == 0)
        return read_slot(p);
    if (strcmp(word, "guard") == 0)
        return read_guard(p);
    if (strcmp(word, "answer") == 0)
        return read_answer_kind(p);
    if (strcmp(word, "fallback") == 0)
        return read_fallback(p);
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
    return near ? FAIL(p, "unknown word '%s' (did you mean '%s'?)", word, near)
                : FAIL(p,
                       "unknown word '%s': expected slot, guard, budget, answer, repairs, fallback or a turn "
                       "such as [user]",
                       word);
}

/* ---- reading the turns ------------------------------------------------------------------------------------------------------ */
static const char *role_of(sg_bytes line)
{
    static const char *const roles[] = {"system", "user", "assistant"};

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (line.size == strlen(roles[i]) + 2 && line.data[0] == '[' && line.data[line.size - 1] == ']' &&
            memcmp(line.data + 1, roles[i], line.size - 2) == 0)
            return roles[i];
    return NULL;
}

static piece *add_piece(parser *p, int which)
{
    sg_template *t = p->t;

    if (!sg_grow(&t->piece, &t->cap_pieces, t->n_pieces + 1, sizeof *t->piece))
        return NULL;
    t->piece[t->n_pieces] = (piece){.turn = t->n_turns - 1, .slot = which};
    return &t->piece[t->n_pieces++];
}

/* What p->value holds becomes a piece of text. */
static sg_status flush_text(parser *p)
{
    piece *one;

    if (p->value.failed)
        return sg_fail_memory(p->err, "template");
    if (!p->value.size)
        return SG_OK;
    if (!(one = add_piece(p, -1)) || !(one->text = sg_strndup(p->value.data, p->value.size)))
        return sg_fail_memory(p->err, "template");
    one->size = p->value.size;
    p->value.size = 0;
    return SG_OK;
}

static sg_status use_slot(parser *p, sg_bytes name)
{
    slot *s = find_slot(p->t, name);
    sg_status st;

    if ((st = flush_text(p)) || (!s && (st = add_slot(p, name, &s))))
        return st;
    s->used = true;
    return add_piece(p, (int)(s - p->t->slot)) ? SG_OK : sg_fail_memory(p->err, "template");
}

static sg_status read_text(parser *p)
{
    const char *s = p->text.data, *const end = s + p->text.size;
    sg_status st = SG_OK;

    while (s < end && !st) {
        if ((*s == '{' || *s == '}') && s + 1 < end && s[1] == *s) {
            sg_buf_putc(&p->value, *s);
            s += 2;
        } else if (*s == '{') {
            const char *close = memchr(s, '}', (size_t)(end - s));

            if (!close)
                return FAIL(
                    p, "expected a slot such as {title}, found '{' without '}' (a brace is written twice)");
            st = use_slot(p, (sg_bytes){s + 1, (size_t)(close - s - 1)});
            s = close + 1;
        } else if (*s == '}') {
            return FAIL(p, "expected '{' before '}' (a brace is written twice)");
        } else {
            sg_buf_putc(&p->value, *s++);
        }
    }
    return st;
}

/* Line ends at the end of a turn are not its text. */
static void trim_turn(parser *p)
{
    while (p->value.size && p->value.data[p->value.size - 1] == '\n')
        p->value.size--;
}

static sg_status end_turn(parser *p)
{
    sg_template *t = p->t;
    sg_status st;

    if (!t->n_turns)
        return SG_OK;
    trim_turn(p);
    if ((st = flush_text(p)))
        return st;
    return t->n_pieces && t->piece[t->n_pieces - 1].turn == t->n_turns - 1
               ? SG_OK
               : FAIL(p, "expected a text in the turn before, found nothing");
}

static sg_status begin_turn(parser *p, const char *role)
{
    sg_template *t = p->t;
    const sg_status st = end_turn(p);

    if (st)
        return st;
    if (!t->name)
        return FAIL(p, "expected 'template NAME VERSION', found [%s]", role);
    if (t->n_turns == SG_TEMPLATE_TURNS_MAX)
        return FAIL(p, "expected at most %d turns", SG_TEMPLATE_TURNS_MAX);
    t->role[t->n_turns++] = role;
    p->value.size = 0;
    return SG_OK;
}

static sg_status read_line(parser *p)
{
    const char *role = role_of(p->text);
    bool found;
    sg_status st;

    if (role)
        return begin_turn(p, role);
    if (p->t->n_turns) {
        if ((st = read_text(p)))
            return st;
        sg_buf_putc(&p->value, '\n');
        return SG_OK;
    }
    skip_spaces(p);
    if (p->word_at == p->text.size || p->text.data[p->word_at] == '#')
        return SG_OK;
    if ((st = next_word(p, &found)))
        return st;
    char word[64];
    snprintf(word, sizeof word, "%s", p->value.data);
    return read_directive(p, word);
}

static sg_status check_whole(const parser *p)
{
    const sg_template *t = p->t;

    if (!t->n_turns)
        return FAIL(p, "expected a turn such as [user], found the end of the file");
    if (strcmp(t->role[t->n_turns - 1], "user") != 0)
        return FAIL(p, "expected the last turn to be [user], found [%s]", t->role[t->n_turns - 1]);
    for (size_t i = 0; i < t->n_slots; i++)
        if (!t->slot[i].used)
            return fail_at(t, t->slot[i].line, p->err, "slot '%s' is in no turn", t->slot[i].name);
    return SG_OK;
}

static sg_status name_origin(sg_template *t, sg_bytes text, sg_error *err)
{
    sg_sha256 h;
    char hex[65];
    sg_buf b = {0};

    sg_sha256_init(&h);
    sg_sha256_add(&h, text.data, text.size);
    sg_sha256_hex(&h, hex);
    sg_buf_printf(&b, "%s %s %.16s", t->name, t->version, hex);
    t->origin = sg_buf_take(&b);
    return t->origin ? SG_OK : sg_fail_memory(err, "template");
}

sg_status sg_template_parse(sg_template **out, sg_bytes text, const char *name, sg_error *err)
{
    parser p = {.at = text.data, .end = text.data + text.size, .err = err};
    sg_status st = SG_OK;

    *out = NULL;
    if (!(p.t = sg_alloc_zero(1, sizeof *p.t)) || !(p.t->file = sg_strdup(name)))
        st = sg_fail_memory(err, "template");
    else if (!sg_utf8_valid(text.data, text.size) || memchr(text.data ? text.data : "", 0, text.size))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected text in UTF-8", name);
    while (!st && next_line(&p))
        st = read_line(&p);
    if (!st && !(st = end_turn(&p)) && !(st = check_whole(&p)))
        st = name_origin(p.t, text, err);
    sg_buf_free(&p.value);
    if (st)
        sg_template_close(p.t);
    else
        *out = p.t;
    return st;
}

sg_status sg_template_open(sg_template **out, const char *path, sg_error *err)
{
    sg_buf text = {0};
    sg_status st;

    *out = NULL;
    if (!(st = sg_file_read(&text, path, FILE_MOST, err)))
        st = sg_template_parse(out, (sg_bytes){text.data ? text.data : "", text.size}, path, err);
    sg_buf_free(&text);
    return st;
}

void sg_template_close(sg_template *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_slots; i++) {
        sg_free(t->slot[i].name);
        sg_free(t->slot[i].separator);
        sg_free(t->slot[i].otherwise);
    }
    for (size_t i = 0; i < t->n_pieces; i++)
        sg_free(t->piece[i].text);
    for (size_t i = 0; i < t->n_guards; i++)
        sg_free(t->guard[i]);
    sg_free(t->piece);
    sg_free(t->file);
    sg_free(t->name);
    sg_free(t->version);
    sg_free(t->origin);
    sg_free(t->keys);
    sg_free(t->regex);
    sg_free(t->fallback);
    sg_pattern_free(t->pattern);
    sg_free(t);
}

const char *sg_template_origin(const sg_template *t)
{
    return t->origin;
}

size_t sg_template_slots(const sg_template *t)
{
    return t->n_slots;
}

const char *sg_template_slot(const sg_template *t, size_t i)
{
    return t->slot[i].name;
}

int sg_template_repairs(const sg_template *t)
{
    return t->repairs;
}

const char *sg_template_fallback(const sg_template *t)
{
    return t->fallback;
}

sg_status sg_template_bind(size_t *to, const sg_template *t, const char *const *known, size_t n,
                           sg_error *err)
{
    for (size_t i = 0; i < t->n_slots; i++) {
        const slot *s = &t->slot[i];
        const char *near;
        sg_buf all = {0};
        sg_status st;

        for (to[i] = 0; to[i] < n && strcmp(known[to[i]], s->name) != 0; to[i]++)
            ;
        if (to[i] < n)
            continue;
        if ((near = sg_nearest(s->name, known, n)))
            return fail_at(t, s->line, err, "unknown slot '%s' (did you mean '%s'?)", s->name, near);
        for (size_t k = 0; k < n; k++)
            sg_buf_printf(&all, k ? ", %s" : "%s", known[k]);
        st = all.failed ? sg_fail_memory(err, "slots")
                        : fail_at(t, s->line, err, "unknown slot '%s': expected one of %s", s->name,
                                  all.data ? all.data : "none");
        sg_buf_free(&all);
        return st;
    }
    return SG_OK;
}

/* ---- values ---------------------------------------------------------------------------------------------------------------- */
typedef struct filled {
    sg_buf *entry;   /* owned: (n): each as it will be written */
    size_t n;        /* that are not empty */
    size_t from, to; /* of them those that are in the prompt */
    bool cut;
    sg_buf joined; /* owned: what stands in the prompt */
} filled;

typedef struct render {
    const sg_template *t;
    const sg_token_counter *counter;
    filled *value; /* owned: (n_slots) */
    sg_prompt *out;
    const char *who;
    sg_error *err;
} render;

static bool is_space(unsigned char c)
{
    return c <= ' ' || c == 0x7f;
}

/* Spaces around are left away, and those between are one; kept line ends are, too, at most two in a row. */
static void put_spaced(sg_buf *out, sg_bytes text, bool lines)
{
    size_t newlines = 0;
    bool space = false;

    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];

        if (is_space((unsigned char)c)) {
            space = true;
            newlines += c == '\n';
            continue;
        }
        if (space && out->size) {
            if (lines && newlines)
                sg_buf_puts(out, newlines > 1 ? "\n\n" : "\n");
            else
                sg_buf_putc(out, ' ');
        }
        space = false;
        newlines = 0;
        sg_buf_putc(out, c);
    }
}

static size_t guard_at(const sg_template *t, const char *s, size_t size)
{
    for (size_t i = 0; i < t->n_guards; i++) {
        const size_t n = strlen(t->guard[i]);

        if (n <= size && memcmp(t->guard[i], s, n) == 0)
            return n;
    }
    return 0;
}

/* A guard that a value spells gets a space behind its first character; one of a single character becomes a space. Guards hold no
 * spaces, so no new one comes about. */
static void put_guarded(sg_buf *out, const sg_template *t, sg_bytes text)
{
    for (size_t i = 0; i < text.size;) {
        const size_t guard = guard_at(t, text.data + i, text.size - i), first = sg_utf8_bytes(text.data[i]);

        if (!guard || guard > first)
            sg_buf_add(out, text.data + i, first);
        if (guard)
            sg_buf_putc(out, ' ');
        i += first;
    }
}

static sg_status put_json(sg_buf *out, sg_bytes text, sg_error *err)
{
    json_t *s = json_stringn(text.data ? text.data : "", text.size);
    sg_buf quoted = {0};
    sg_status st = SG_OK;

    if (s)
        sg_json_print_compact(&quoted, s);
    if (quoted.failed || quoted.size < 2)
        st = sg_fail_memory(err, "slot");
    else
        sg_buf_add(out, quoted.data + 1, quoted.size - 2);
    sg_buf_free(&quoted);
    json_decref(s);
    return st;
}

static sg_status write_entry(sg_buf *out, const render *r, const slot *s, sg_bytes text)
{
    sg_buf clean = {0}, spaced = {0}, quoted = {0};
    sg_status st = SG_OK;

    sg_utf8_clean(&clean, text.data, text.size);
    put_spaced(&spaced, (sg_bytes){clean.data, clean.size}, s->lines);
    if (s->json && spaced.size)
        st = put_json(&quoted, (sg_bytes){spaced.data, spaced.size}, r->err);
    if (!st) {
        const sg_buf *from = s->json ? &quoted : &spaced;

        put_guarded(out, r->t, (sg_bytes){from->data, from->size});
        if (clean.failed || spaced.failed || out->failed)
            st = sg_fail_memory(r->err, "slot");
    }
    sg_buf_free(&clean);
    sg_buf_free(&spaced);
    sg_buf_free(&quoted);
    return st;
}

static void join(filled *v, const slot *s)
{
    v->joined.size = 0;
    for (size_t i = v->from; i < v->to; i++) {
        if (i > v->from)
            sg_buf_puts(&v->joined, s->separator ? s->separator : " ");
        if (s->number)
            sg_buf_printf(&v->joined, "%zu. ", i - v->from + 1);
        sg_buf_add(&v->joined, v->entry[i].data, v->entry[i].size);
    }
}

static sg_status fill(render *r, size_t i, const sg_slot_value *given)
{
    const slot *s = &r->t->slot[i];
    filled *v = &r->value[i];
    sg_status st = SG_OK;

    if (!(v->entry = sg_alloc_zero(given->n + 1, sizeof *v->entry)))
        return sg_fail_memory(r->err, "slot");
    for (size_t k = 0; k < given->n && !st; k++)
        if (!(st = write_entry(&v->entry[v->n], r, s, given->part[k])))
            v->n += v->entry[v->n].size > 0;
    if (st)
        return st;
    if (v->n == 0) {
        if (!s->otherwise)
            return fail_at(
                r->t, s->line, r->err,
                "slot '%s': expected a text of %s, found nothing (else=TEXT says what stands there)", s->name,
                r->who);
        sg_buf_puts(&v->entry[v->n], s->otherwise);
        if (v->entry[v->n++].failed)
            return sg_fail_memory(r->err, "slot");
    }
    v->to = v->n;
    join(v, s);
    return v->joined.failed ? sg_fail_memory(r->err, "slot") : SG_OK;
}

/* ---- fitting ---------------------------------------------------------------------------------------------------------------- */
static sg_status count(const render *r, const sg_buf *text, size_t *n)
{
    const sg_bytes b = {text->data ? text->data : "", text->size};

    if (r->counter && r->counter->count)
        return r->counter->count(r->counter->ctx, b, n, r->err);
    *n = (size_t)sg_tokens_about(b);
    return SG_OK;
}

static void compose(const render *r)
{
    const sg_template *t = r->t;

    for (size_t i = 0; i < t->n_turns; i++)
        r->out->text[i].size = 0;
    for (size_t i = 0; i < t->n_pieces; i++) {
        const piece *p = &t->piece[i];
        sg_buf *to = &r->out->text[p->turn];

        if (p->slot < 0)
            sg_buf_add(to, p->text, p->size);
        else
            sg_buf_add(to, r->value[p->slot].joined.data, r->value[p->slot].joined.size);
        to->failed = to->failed || (p->slot >= 0 && r->value[p->slot].joined.failed);
    }
}

/* Tokens of the slot alone, or (slot < 0 or the whole is meant) of the prompt. */
static sg_status measure(const render *r, size_t i, bool whole, size_t *n)
{
    sg_status st = SG_OK;

    if (!whole && r->value[i].joined.failed)
        return sg_fail_memory(r->err, "slot");
    if (!whole)
        return count(r, &r->value[i].joined, n);
    compose(r);
    *n = 0;
    for (size_t k = 0; k < r->t->n_turns && !st; k++) {
        size_t one = 0;

        if (r->out->text[k].failed)
            return sg_fail_memory(r->err, "prompt");
        st = count(r, &r->out->text[k], &one);
        *n += one;
    }
    return st;
}

/* Leaves `keep` entries, at the end that counts. */
static void keep_entries(const render *r, size_t i, size_t keep)
{
    const slot *s = &r->t->slot[i];
    filled *v = &r->value[i];

    v->from = s->keep_end ? v->n - keep : 0;
    v->to = v->from + keep;
    join(v, s);
}

/* The most entries of a list with which `most` is kept, at least one. */
static sg_status drop_entries(const render *r, size_t i, bool whole, size_t most)
{
    size_t least = 1, high = r->value[i].to - r->value[i].from,
           n = 0; /* `least` need not fit; `high` entries do not */
    sg_status st;

    keep_entries(r, i, high);
    if ((st = measure(r, i, whole, &n)) || n <= most)
        return st;
    while (least + 1 < high) {
        const size_t mid = least + (high - least) / 2;

        keep_entries(r, i, mid);
        if ((st = measure(r, i, whole, &n)))
            return st;
        if (n <= most)
            least = mid;
        else
            high = mid;
    }
    keep_entries(r, i, least);
    return SG_OK;
}

/* A part of the text of about `size` bytes that ends between characters, and between words where one ends in its last half. */
static sg_bytes part_of(sg_bytes text, size_t size, bool keep_end)
{
    size_t at = keep_end ? text.size - size : size;

    while (at > 0 && at < text.size && ((unsigned char)text.data[at] & 0xc0) == 0x80)
        at = keep_end ? at + 1 : at - 1;
    if (keep_end) {
        for (size_t k = at; k < at + (text.size - at) / 2 && k > 0; k++)
            if (text.data[k - 1] == ' ')
                return (sg_bytes){text.data + k, text.size - k};
        return (sg_bytes){text.data + at, text.size - at};
    }
    for (size_t k = at; k > at / 2 && k < text.size; k--)
        if (text.data[k] == ' ')
            return (sg_bytes){text.data, k};
    return (sg_bytes){text.data, at};
}

/* Cuts the value to the longest part with which `most` is kept; a value that cannot be cut so far keeps a character. */
static sg_status cut_value(const render *r, size_t i, bool whole, size_t most)
{
    filled *v = &r->value[i];
    const bool keep_end = r->t->slot[i].keep_end;
    sg_buf full = v->joined;
    size_t fits = 0, high = full.size, n = 0;
    sg_status st = SG_OK;

    v->joined = (sg_buf){0};
    while (fits + 1 < high && !st) {
        const size_t mid = fits + (high - fits) / 2;
        const sg_bytes part = part_of((sg_bytes){full.data, full.size}, mid, keep_end);

        v->joined.size = 0;
        sg_buf_add(&v->joined, part.data, part.size);
        if (v->joined.failed)
            st = sg_fail_memory(r->err, "slot");
        else if (!(st = measure(r, i, whole, &n)) && n <= most)
            fits = mid;
        else
            high = mid;
    }
    if (!st) {
        sg_bytes part = part_of((sg_bytes){full.data, full.size}, fits, keep_end);

        if (!part.size)
            part = keep_end ? (sg_bytes){full.data + sg_utf8_before(full.data, full.size),
                                         full.size - sg_utf8_before(full.data, full.size)}
                            : (sg_bytes){full.data, sg_utf8_bytes(full.data[0])};
        v->joined.size = 0;
        sg_buf_add(&v->joined, part.data, part.size);
        v->cut = v->cut || part.size < full.size;
        st = v->joined.failed ? sg_fail_memory(r->err, "slot") : SG_OK;
    }
    sg_buf_free(&full);
    return st;
}

static sg_status fit_slot(const render *r, size_t i)
{
    const slot *s = &r->t->slot[i];
    size_t n = 0;
    sg_status st;

    if (!s->tokens || (st = measure(r, i, false, &n)) || n <= s->tokens)
        return s->tokens ? st : SG_OK;
    if (s->list &&
        ((st = drop_entries(r, i, false, s->tokens)) || (st = measure(r, i, false, &n)) || n <= s->tokens))
        return st;
    return cut_value(r, i, false, s->tokens);
}

/* The slot whose value is longest and was not `done`; n_slots: none that could be cut. */
static size_t longest(const render *r, const bool *done)
{
    size_t best = r->t->n_slots;

    for (size_t i = 0; i < r->t->n_slots; i++)
        if (!done[i] && r->value[i].joined.size > 1 &&
            (best == r->t->n_slots || r->value[i].joined.size > r->value[best].joined.size))
            best = i;
    return best;
}

static sg_status fit_budget(const render *r)
{
    const sg_template *t = r->t;
    bool done[SG_TEMPLATE_SLOTS_MAX] = {false};
    size_t n = 0;
    sg_status st = measure(r, 0, true, &n);

    for (size_t i = 0; i < t->n_slots && !st && n > t->budget; i++)
        if (t->slot[i].list && !r->value[i].cut && r->value[i].to - r->value[i].from > 1 &&
            !(st = drop_entries(r, i, true, t->budget)))
            st = measure(r, 0, true, &n);
    while (!st && n > t->budget) {
        const size_t i = longest(r, done);

        if (i == t->n_slots)
            return sg_fail(
                r->err, SG_ERR_FORMAT,
                "%s: budget: expected a prompt of at most %zu tokens, found %zu with every slot of %s cut",
                t->file, t->budget, n, r->who);
        done[i] = true;
        if (!(st = cut_value(r, i, true, t->budget)))
            st = measure(r, 0, true, &n);
    }
    r->out->tokens = n;
    return st;
}

/* No text of a slot may form a guard together with what stands around it. */
static sg_status check_guards(const render *r)
{
    const sg_template *t = r->t;
    size_t written = 0, found = 0;

    for (size_t i = 0; i < t->n_pieces && t->n_guards; i++)
        for (size_t k = 0; t->piece[i].slot < 0 && k < t->piece[i].size; k++)
            written += guard_at(t, t->piece[i].text + k, t->piece[i].size - k) > 0;
    for (size_t i = 0; i < t->n_turns && t->n_guards; i++)
        for (size_t k = 0; k < r->out->text[i].size; k++)
            found += guard_at(t, r->out->text[i].data + k, r->out->text[i].size - k) > 0;
    return found == written
               ? SG_OK
               : sg_fail(r->err, SG_ERR_FORMAT,
                         "%s: guard: a value of %s forms one with the text around its slot", t->file, r->who);
}

void sg_prompt_free(sg_prompt *p)
{
    for (size_t i = 0; i < SG_TEMPLATE_TURNS_MAX; i++)
        sg_buf_free(&p->text[i]);
    p->n = 0;
}

sg_status sg_template_render(sg_prompt *out, const sg_template *t, const sg_slot_value *value,
                             const sg_token_counter *counter, const char *who, sg_error *err)
{
    render r = {.t = t, .counter = counter, .out = out, .who = who, .err = err};
    sg_status st = SG_OK;

    if (!(r.value = sg_alloc_zero(t->n_slots + 1, sizeof *r.value)))
        return sg_fail_memory(err, "prompt");
    out->n = t->n_turns;
    out->tokens = out->dropped = out->cut = 0;
    for (size_t i = 0; i < t->n_turns; i++) {
        out->role[i] = t->role[i];
        if (out->text[i].failed) /* in an earlier render */
            sg_buf_free(&out->text[i]);
    }
    for (size_t i = 0; i < t->n_slots && !st; i++)
        if (!(st = fill(&r, i, &value[i])))
            st = fit_slot(&r, i);
    if (!st && t->budget)
        st = fit_budget(&r);
    if (!st) {
        compose(&r);
        for (size_t i = 0; i < t->n_turns && !st; i++)
            if (out->text[i].failed)
                st = sg_fail_memory(err, "prompt");
    }
    if (!st)
        st = check_guards(&r);
    for (size_t i = 0; i < t->n_slots; i++) {
        filled *v = &r.value[i];

        out->dropped += v->n - (v->to - v->from);
        out->cut += v->cut;
        for (size_t k = 0; v->entry && k <= value[i].n; k++)
            sg_buf_free(&v->entry[k]);
        sg_free(v->entry);
        sg_buf_free(&v->joined);
    }
    sg_free(r.value);
    return st;
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */
static sg_bytes trimmed(sg_bytes s)
{
    while (s.size && is_space((unsigned char)s.data[0])) {
        s.data++;
        s.size--;
    }
    while (s.size && is_space((unsigned char)s.data[s.size - 1]))
        s.size--;
    return s;
}

static sg_status fail_answer(const char *expected, sg_bytes answer, sg_error *err)
{
    const sg_bytes shown = trimmed(answer);
    sg_buf clean = {0};
    sg_status st;

    sg_utf8_clean(&clean, shown.data, shown.size < SHOWN_MOST ? shown.size : SHOWN_MOST);
    st = clean.failed      ? sg_fail_memory(err, "answer")
         : shown.size == 0 ? sg_fail(err, SG_ERR_FORMAT, "answer: expected %s, found nothing", expected)
                           : sg_fail(err, SG_ERR_FORMAT, "answer: expected %s, found '%s'%s", expected,
                                     clean.data, shown.size > SHOWN_MOST ? " and more" : "");
    sg_buf_free(&clean);
    return st;
}

static bool has_keys(const json_t *value, const char *keys)
{
    for (const char *p = keys ? keys : ""; *p;) {
        const size_t size = strcspn(p, ",");
        char key[128];

        snprintf(key, sizeof key, "%.*s", (int)(size < 127 ? size : 127), p);
        if (!json_object_get(value, key))
            return false;
        p += size + (p[size] == ',');
    }
    return true;
}

/* The first object or array in the answer that is whole: models like to talk before and after it, and put it into fences. */
static sg_status answer_json(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err)
{
    char expected[256];

    for (size_t i = 0, tries = 0; i < answer.size && tries < 16; i++)
        if (answer.data[i] == '{' || answer.data[i] == '[') {
            json_t *value = json_loadb(answer.data + i, answer.size - i,
                                       JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, NULL);
            const bool good = value && has_keys(value, t->keys);

            tries++;
            if (good)
                sg_json_print_compact(out, value);
            json_decref(value);
            if (good)
                return out->failed ? sg_fail_memory(err, "answer") : SG_OK;
        }
    snprintf(expected, sizeof expected, t->keys ? "JSON with %s" : "JSON", t->keys);
    return fail_answer(expected, answer, err);
}

static sg_status answer_match(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err)
{
    sg_matcher *m = sg_matcher_new();
    sg_buf clean = {0};
    size_t start = 0, end = 0;
    bool found = false;
    char expected[256];
    sg_status st;

    sg_utf8_clean(&clean, answer.data, answer.size);
    sg_buf_add(&clean, "", 0);
    st = m && !clean.failed
             ? sg_pattern_next(t->pattern, m, (sg_bytes){clean.data ? clean.data : "", clean.size}, 0, &start,
                               &end, &found, err)
             : sg_fail_memory(err, "answer");
    if (!st && found)
        sg_buf_add(out, clean.data + start, end - start);
    sg_buf_free(&clean);
    sg_matcher_free(m);
    if (st)
        return st;
    snprintf(expected, sizeof expected, "a match of %s", t->regex);
    return !found ? fail_answer(expected, answer, err) : out->failed ? sg_fail_memory(err, "answer") : SG_OK;
}

sg_status sg_template_answer(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err)
{
    sg_bytes text = trimmed(answer);

    if (t->answer == ANSWER_JSON)
        return answer_json(out, t, answer, err);
    if (t->answer == ANSWER_MATCH)
        return answer_match(out, t, answer, err);
    if (t->answer == ANSWER_LINE) {
        const char *newline = text.size ? memchr(text.data, '\n', text.size) : NULL;

        if (newline)
            text.size = (size_t)(newline - text.data);
        text = trimmed(text);
    }
    if (!text.size)
        return fail_answer("a text", answer, err);
    sg_utf8_clean(out, text.data, text.size);
    return out->failed ? sg_fail_memory(err, "answer") : SG_OK;
}
