/* pretokenizer.c - each step cuts the spans of the step before into smaller ones, or rewrites the text under them. */
#define _GNU_SOURCE /* memmem */
#include "text/pretokenizer.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <string.h>

sg_pre_step *sg_pretokenizer_add(sg_pretokenizer *p)
{
    if (!sg_grow(&p->step, &p->cap, p->n + 1, sizeof *p->step))
        return NULL;
    p->step[p->n] = (sg_pre_step){0};
    return &p->step[p->n++];
}

void sg_pretokenizer_free(sg_pretokenizer *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sg_pattern_free(p->step[i].pattern);
        sg_buf_free(&p->step[i].text);
    }
    sg_free(p->step);
    *p = (sg_pretokenizer){0};
}

void sg_pieces_free(sg_pieces *p)
{
    for (int i = 0; i < 2; i++) {
        sg_free(p->list[i]);
        sg_buf_free(&p->buffer[i]);
    }
    *p = (sg_pieces){0};
}

/* Where spans go: parts come in from the left, matches and what lies between, and leave as `cut` says. */
typedef struct sink {
    sg_span **list;
    size_t *cap, n;
    size_t from; /* spans before this one belong to an earlier piece and are not joined to */
    sg_cut cut;
    bool before; /* the part before was a match */
    bool failed;
} sink;

static void push(sink *s, size_t start, size_t end)
{
    if (s->n == *s->cap && !sg_grow(s->list, s->cap, s->n + 1, sizeof **s->list)) {
        s->failed = true;
        return;
    }
    (*s->list)[s->n++] = (sg_span){(uint32_t)start, (uint32_t)end};
}

static void add_part(sink *s, size_t start, size_t end, bool match)
{
    bool join = false;

    switch (s->cut) {
    case SG_CUT_REMOVED:
        if (match)
            return;
        break;
    case SG_CUT_ISOLATED:
        break;
    case SG_CUT_PREVIOUS:
        join = match && !s->before;
        break;
    case SG_CUT_NEXT:
        join = !match && s->before;
        break;
    case SG_CUT_CONTIGUOUS:
        join = match == s->before;
        break;
    }
    s->before = match;
    if (join && s->n > s->from)
        (*s->list)[s->n - 1].end = (uint32_t)end;
    else
        push(s, start, end);
}

static void add_between(sink *s, size_t start, size_t end, bool match)
{
    if (start < end)
        add_part(s, start, end, match);
}

static sg_status cut_pattern(sink *out, const sg_pre_step *step, sg_matcher *matcher, sg_bytes text,
                             sg_span span, sg_error *err)
{
    /* the piece is all the pattern may see: what is around it is another piece */
    const sg_bytes piece = {text.data + span.start, span.end - span.start};
    size_t at = 0, from = 0;

    while (from <= piece.size) {
        size_t start, end;
        bool found;
        sg_status st;

        if (step->pattern) {
            if ((st = sg_pattern_next(step->pattern, matcher, piece, from, &start, &end, &found, err)))
                return st;
        } else {
            const char *hit = memmem(piece.data + from, piece.size - from, step->text.data, step->text.size);

            found = hit;
            start = hit ? (size_t)(hit - piece.data) : 0;
            end = start + step->text.size;
        }
        if (!found)
            break;
        add_between(out, span.start + at, span.start + start, step->invert);
        add_between(out, span.start + start, span.start + end, !step->invert);
        at = from = end;
        if (start == end)
            from += end < piece.size ? sg_utf8_bytes(piece.data[end]) : 1;
    }
    add_between(out, span.start + at, span.end, step->invert);
    return SG_OK;
}

static bool is_digit(uint32_t c)
{
    return sg_char_is_numeric(c);
}

/* Every character of the class is a match of its own. */
static void cut_class(sink *out, bool is_in(uint32_t c), const char *text, sg_span span)
{
    const char *s = text + span.start, *end = text + span.end, *from = s;

    while (s < end) {
        const char *at = s;

        if (!is_in(sg_utf8_next(&s)))
            continue;
        add_between(out, (size_t)(from - text), (size_t)(at - text), false);
        add_part(out, (size_t)(at - text), (size_t)(s - text), true);
        from = s;
    }
    add_between(out, (size_t)(from - text), span.end, false);
}

static int word_class(uint32_t c)
{
    return sg_char_is_word(c) ? 1 : sg_char_is_space(c) ? 0 : 2;
}

static void cut_words(sink *out, const char *text, sg_span span)
{
    const char *s = text + span.start, *end = text + span.end, *from = s;
    int class = 0;

    while (s < end) {
        const char *at = s;
        const int now = word_class(sg_utf8_next(&s));

        if (now == class)
            continue;
        if (class)
            push(out, (size_t)(from - text), (size_t)(at - text));
        from = at;
        class = now;
    }
    if (class)
        push(out, (size_t)(from - text), span.end);
}

static bool begins_with(const char *text, sg_span span, const sg_buf *with)
{
    return span.end - span.start >= with->size && memcmp(text + span.start, with->data, with->size) == 0;
}

/* The text of every span anew, into `to`. */
static void rewrite(sink *out, sg_buf *to, const sg_pre_step *step, const char *text, sg_span span,
                    bool first)
{
    const bool meta = step->kind == SG_PRE_META;
    const size_t start = to->size;
    sg_span now;

    if (!meta) {
        if (text[span.start] != ' ')
            sg_buf_putc(to, ' ');
        sg_buf_add(to, text + span.start, span.end - span.start);
        push(out, start, to->size);
        return;
    }
    if ((step->prefix == SG_META_ALWAYS || (step->prefix == SG_META_FIRST && first)) &&
        text[span.start] != ' ' && !begins_with(text, span, &step->text))
        sg_buf_add(to, step->text.data, step->text.size);
    for (size_t i = span.start, from = i; i <= span.end; i++)
        if (i == span.end || text[i] == ' ') {
            sg_buf_add(to, text + from, i - from);
            if (i < span.end)
                sg_buf_add(to, step->text.data, step->text.size);
            from = i + 1;
        }
    now = (sg_span){(uint32_t)start, (uint32_t)to->size};
    if (to->failed || to->size > UINT32_MAX)
        return;
    if (step->split) {
        out->cut = SG_CUT_NEXT;
        cut_pattern(out, step, NULL, (sg_bytes){to->data, to->size}, now, NULL);
    } else {
        push(out, start, to->size);
    }
}

static sg_status run_step(sink *out, sg_buf *to, const sg_pre_step *step, const sg_pieces *in, bool first,
                          sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; i < in->n && !st; i++) {
        const sg_span span = in->span[i];

        out->from = out->n;
        out->before = false;
        out->cut = step->cut;
        switch (step->kind) {
        case SG_PRE_PATTERN:
            st = cut_pattern(out, step, in->matcher, (sg_bytes){in->text, span.end}, span, err);
            break;
        case SG_PRE_DIGITS:
            cut_class(out, is_digit, in->text, span);
            break;
        case SG_PRE_SPACES:
            cut_class(out, sg_char_is_space, in->text, span);
            break;
        case SG_PRE_PUNCT:
            cut_class(out, sg_char_is_punct, in->text, span);
            break;
        case SG_PRE_WORDS:
            cut_words(out, in->text, span);
            break;
        case SG_PRE_PREFIX:
        case SG_PRE_META:
            rewrite(out, to, step, in->text, span, first && i == 0 && span.start == 0);
            break;
        }
    }
    return st;
}

sg_status sg_pretokenizer_run(sg_pieces *out, const sg_pretokenizer *p, sg_bytes text, bool first,
                              sg_error *err)
{
    int which = 0;

    out->text = text.data;
    out->n = text.size > 0;
    if (!sg_grow(&out->list[0], &out->cap[0], 1, sizeof *out->list[0]))
        return sg_fail_memory(err, "text");
    out->span = out->list[0];
    out->span[0] = (sg_span){0, (uint32_t)text.size};
    for (size_t i = 0; i < p->n; i++) {
        const sg_pre_step *step = &p->step[i];
        const bool rewrites = step->kind == SG_PRE_PREFIX || step->kind == SG_PRE_META;
        sg_buf *to =
            &out->buffer[out->text == out->buffer[0].data]; /* the one that the text does not lie in */

        which ^= 1;
        sink s = {.list = &out->list[which], .cap = &out->cap[which]};
        sg_status st;

        to->size = 0;
        to->failed = false; /* by a text before this one */
        if (out->n && out->span[0].start > 0)
            first = false; /* what was removed stood in front */
        if ((st = run_step(&s, to, step, out, first, err)))
            return st;
        if (s.failed || to->failed)
            return sg_fail_memory(err, "text");
        if (to->size > UINT32_MAX)
            return sg_fail(err, SG_ERR_USAGE, "expected a text that stays below 4 GiB");
        out->span = out->list[which];
        out->n = s.n;
        if (rewrites)
            out->text = to->data;
    }
    return SG_OK;
}
