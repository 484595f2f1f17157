/* template.c - a template file with its turns. */
#include "text/template_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/option.h"
#include "base/utf8.h"
#include "file/sha256.h"

#include <stdio.h>
#include <string.h>

enum { FILE_MOST = 1 << 20 };

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

static sg_template_piece *add_piece(sg_template_parser *p, int which)
{
    sg_template *t = p->t;

    if (!sg_grow(&t->piece, &t->cap_pieces, t->n_pieces + 1, sizeof *t->piece))
        return NULL;
    t->piece[t->n_pieces] = (sg_template_piece){.turn = t->n_turns - 1, .slot = which};
    return &t->piece[t->n_pieces++];
}

/* What p->value holds becomes a piece of text. */
static sg_status flush_text(sg_template_parser *p)
{
    sg_template_piece *one;

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

static sg_status use_slot(sg_template_parser *p, sg_bytes name)
{
    sg_template_hole *s = sg_template_hole_find(p->t, name);
    sg_status st;

    if ((st = flush_text(p)) || (!s && (st = sg_template_hole_add(p, name, &s))))
        return st;
    s->used = true;
    return add_piece(p, (int)(s - p->t->slot)) ? SG_OK : sg_fail_memory(p->err, "template");
}

static sg_status read_text(sg_template_parser *p)
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
                return SG_TEMPLATE_FAIL(
                    p, "expected a slot such as {title}, found '{' without '}' (a brace is written twice)");
            st = use_slot(p, (sg_bytes){s + 1, (size_t)(close - s - 1)});
            s = close + 1;
        } else if (*s == '}') {
            return SG_TEMPLATE_FAIL(p, "expected '{' before '}' (a brace is written twice)");
        } else {
            sg_buf_putc(&p->value, *s++);
        }
    }
    return st;
}

/* Line ends at the end of a turn are not its text. */
static void trim_turn(sg_template_parser *p)
{
    while (p->value.size && p->value.data[p->value.size - 1] == '\n')
        p->value.size--;
}

static sg_status end_turn(sg_template_parser *p)
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
               : SG_TEMPLATE_FAIL(p, "expected a text in the turn before, found nothing");
}

static sg_status begin_turn(sg_template_parser *p, const char *role)
{
    sg_template *t = p->t;
    const sg_status st = end_turn(p);

    if (st)
        return st;
    if (!t->name)
        return SG_TEMPLATE_FAIL(p, "expected 'template NAME VERSION', found [%s]", role);
    if (t->n_turns == SG_TEMPLATE_TURNS_MAX)
        return SG_TEMPLATE_FAIL(p, "expected at most %d turns", SG_TEMPLATE_TURNS_MAX);
    t->role[t->n_turns++] = role;
    p->value.size = 0;
    return SG_OK;
}

static sg_status read_line(sg_template_parser *p)
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
    sg_template_skip(p);
    if (p->word_at == p->text.size || p->text.data[p->word_at] == '#')
        return SG_OK;
    if ((st = sg_template_word(p, &found)))
        return st;
    char word[64];
    snprintf(word, sizeof word, "%s", p->value.data);
    return sg_template_directive(p, word);
}

static sg_status check_whole(const sg_template_parser *p)
{
    const sg_template *t = p->t;

    if (!t->n_turns)
        return SG_TEMPLATE_FAIL(p, "expected a turn such as [user], found the end of the file");
    if (strcmp(t->role[t->n_turns - 1], "user") != 0)
        return SG_TEMPLATE_FAIL(p, "expected the last turn to be [user], found [%s]",
                                t->role[t->n_turns - 1]);
    for (size_t i = 0; i < t->n_slots; i++)
        if (!t->slot[i].used)
            return sg_template_fail(t, t->slot[i].line, p->err, "slot '%s' is in no turn", t->slot[i].name);
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
    sg_template_parser p = {.at = text.data, .end = text.data + text.size, .err = err};
    sg_status st = SG_OK;

    *out = NULL;
    if (!(p.t = sg_alloc_zero(1, sizeof *p.t)) || !(p.t->file = sg_strdup(name)))
        st = sg_fail_memory(err, "template");
    else if (!sg_utf8_valid(text.data, text.size) || memchr(text.data ? text.data : "", 0, text.size))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected text in UTF-8", name);
    while (!st && sg_template_line(&p))
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

bool sg_template_whole(const sg_template *t)
{
    return t->whole;
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
        const sg_template_hole *s = &t->slot[i];
        const char *near;
        sg_buf all = {0};
        sg_status st;

        for (to[i] = 0; to[i] < n && strcmp(known[to[i]], s->name) != 0; to[i]++)
            ;
        if (to[i] < n)
            continue;
        if ((near = sg_nearest(s->name, known, n)))
            return sg_template_fail(t, s->line, err, "unknown slot '%s' (did you mean '%s'?)", s->name, near);
        for (size_t k = 0; k < n; k++)
            sg_buf_printf(&all, k ? ", %s" : "%s", known[k]);
        st = all.failed ? sg_fail_memory(err, "slots")
                        : sg_template_fail(t, s->line, err, "unknown slot '%s': expected one of %s", s->name,
                                           all.data ? all.data : "none");
        sg_buf_free(&all);
        return st;
    }
    return SG_OK;
}
