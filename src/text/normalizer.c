/* normalizer.c - the steps. Each appends to an empty buffer what it makes of its text. */
#define _GNU_SOURCE /* memmem */
#include "text/token_parts.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <string.h>

static const char meta_space[] = "\xe2\x96\x81"; /* U+2581 */

sg_norm_step *sg_normalizer_add(sg_normalizer *n)
{
    if (!sg_grow(&n->step, &n->cap, n->n + 1, sizeof *n->step))
        return NULL;
    n->step[n->n] = (sg_norm_step){0};
    return &n->step[n->n++];
}

void sg_normalizer_free(sg_normalizer *n)
{
    for (size_t i = 0; i < n->n; i++) {
        sg_charsmap_free(&n->step[i].map);
        sg_trie_free(&n->step[i].keep);
        sg_pattern_free(n->step[i].pattern);
        sg_buf_free(&n->step[i].find);
        sg_buf_free(&n->step[i].put);
    }
    sg_free(n->step);
    *n = (sg_normalizer){0};
}

void sg_norm_scratch_free(sg_norm_scratch *s)
{
    sg_buf_free(&s->text[0]);
    sg_buf_free(&s->text[1]);
    sg_free(s->wide.code);
    s->wide = (sg_wide){0};
}

static void drop_marks(sg_buf *out, bool *moved, sg_bytes text, bool nonspacing_only)
{
    const char *s = text.data, *end = s + text.size;

    while (s < end) {
        const char *from = s;
        const uint32_t c = sg_utf8_next(&s);

        if (c < 0x300 || !(nonspacing_only ? sg_char_is_nonspacing(c) : sg_char_is_mark(c)))
            sg_buf_add(out, from, (size_t)(s - from));
        else if (from == text.data)
            *moved = true;
    }
}

static void strip(sg_buf *out, bool *moved, const sg_norm_step *step, sg_bytes text)
{
    const char *s = text.data, *end = s + text.size;

    while (step->left && s < end) {
        const char *next = s;

        if (!sg_char_is_space(sg_utf8_next(&next)))
            break;
        s = next;
        *moved = true;
    }
    while (step->right && end > s) {
        const size_t at = sg_utf8_before(s, (size_t)(end - s));
        const char *last = s + at;

        if (!sg_char_is_space(sg_utf8_next(&last)))
            break;
        end = s + at;
    }
    sg_buf_add(out, s, (size_t)(end - s));
}

static sg_status replace(sg_buf *out, bool *moved, const sg_norm_step *step, sg_matcher *matcher,
                         sg_bytes text, sg_error *err)
{
    size_t at = 0, from = 0; /* from: where the search goes on, past an empty match */

    while (at < text.size) {
        size_t start, end;
        bool found;
        sg_status st;

        if (step->pattern) {
            if ((st = sg_pattern_next(step->pattern, matcher, text, from, &start, &end, &found, err)))
                return st;
        } else {
            const char *hit = memmem(text.data + at, text.size - at, step->find.data, step->find.size);

            found = hit;
            start = hit ? (size_t)(hit - text.data) : 0;
            end = start + step->find.size;
        }
        if (!found)
            break;
        if (start == 0 && end > 0)
            *moved = *moved || !step->put.size || sg_utf8_bytes(*text.data) < end;
        sg_buf_add(out, text.data + at, start - at);
        sg_buf_add(out, step->put.data, step->put.size);
        at = from = end;
        if (start == end) {
            if (end >= text.size)
                break;
            from += sg_utf8_bytes(text.data[end]);
        }
    }
    if (at < text.size)
        sg_buf_add(out, text.data + at, text.size - at);
    return SG_OK;
}

/* ---- BERT -------------------------------------------------------------------------------------------------------------- */
static bool is_control(uint32_t c)
{
    return c != '\t' && c != '\n' && c != '\r' && sg_char_is_other(c);
}

static void bert_clean(sg_buf *out, const sg_norm_step *step, const char *s, const char *end)
{
    while (s < end) {
        const char *from = s;
        const uint32_t c = sg_utf8_next(&s);

        if (step->clean) {
            if (c == 0xfffd || is_control(c))
                continue;
            if (sg_char_is_space(c)) {
                sg_buf_putc(out, ' ');
                continue;
            }
        }
        if (step->han && sg_char_is_han(c)) {
            sg_buf_putc(out, ' ');
            sg_buf_add(out, from, (size_t)(s - from));
            sg_buf_putc(out, ' ');
        } else {
            sg_buf_add(out, from, (size_t)(s - from));
        }
    }
}

static void bert_ascii(sg_buf *out, const sg_norm_step *step, const char *s, const char *end)
{
    for (; s < end; s++) {
        unsigned char c = (unsigned char)*s;

        if (step->clean && (c == ' ' || (c >= '\t' && c <= '\r' && c != '\v' && c != '\f')))
            c = ' ';
        else if (step->clean && (c < ' ' || c == 0x7f))
            continue;
        else if (step->lower && c >= 'A' && c <= 'Z')
            c = (unsigned char)(c + 32);
        sg_buf_putc(out, (char)c);
    }
}

/* A run of ASCII needs none of the tables; but its last letter may take the accent that follows, in NFD it does not matter. */
static bool bert(sg_buf *out, const sg_norm_step *step, sg_wide *wide, sg_bytes text)
{
    const char *s = text.data, *end = s + text.size;
    sg_buf one = {0}, two = {0};

    while (s < end) {
        const char *p = s;

        while (p < end && (unsigned char)*p < 0x80)
            p++;
        bert_ascii(out, step, s, p);
        for (s = p; p < end && (unsigned char)*p >= 0x80;)
            p++;
        one.size = two.size = 0;
        bert_clean(&one, step, s, p);
        if (step->accents && one.size) {
            if (one.failed || !sg_normal_form(&two, wide, one.data, one.size, SG_FORM_NFD))
                break;
            one.size = 0;
            drop_marks(&one, &(bool){false}, (sg_bytes){two.data, two.size}, true);
        }
        if (one.size && step->lower)
            sg_lower(out, one.data, one.size);
        else if (one.size)
            sg_buf_add(out, one.data, one.size);
        s = p;
    }
    const bool done = s == end && !one.failed && !two.failed;
    sg_buf_free(&one);
    sg_buf_free(&two);
    return done;
}

/* ---- SentencePiece ------------------------------------------------------------------------------------------------------- */
/* What the text begins with becomes *to; returns how much of the text that is. */
static size_t spiece_prefix(sg_bytes *to, const sg_norm_step *step, const char *s, size_t size)
{
    size_t bytes = 0;
    const char *put;

    if (step->keep.nodes && sg_trie_longest(&step->keep, s, size, &bytes) >= 0) {
        *to = (sg_bytes){s, bytes};
        return bytes;
    }
    if (step->has_map && (put = sg_charsmap_find(&step->map, s, size, true, &bytes))) {
        *to = (sg_bytes){put, strlen(put)};
        return bytes;
    }
    *to = (sg_bytes){s, sg_utf8_bytes(*s)};
    return to->size;
}

static void spiece(sg_buf *out, const sg_norm_step *step, sg_bytes text)
{
    const sg_bytes space = step->escape ? (sg_bytes){meta_space, 3} : (sg_bytes){" ", 1};
    const char *s = text.data, *end = s + text.size;
    bool after_space = step->few_spaces;
    sg_bytes put;

    while (step->few_spaces && s < end) {
        const size_t n = spiece_prefix(&put, step, s, (size_t)(end - s));

        if (put.size != 1 || *put.data != ' ')
            break;
        s += n;
    }
    if (s == end)
        return;
    if (step->dummy_prefix)
        sg_buf_add(out, space.data, space.size);
    while (s < end) {
        s += spiece_prefix(&put, step, s, (size_t)(end - s));
        while (after_space && put.size && *put.data == ' ') {
            put.data++;
            put.size--;
        }
        for (size_t i = 0; i < put.size; i++)
            if (put.data[i] == ' ')
                sg_buf_add(out, space.data, space.size);
            else
                sg_buf_putc(out, put.data[i]);
        if (put.size)
            after_space = step->few_spaces && put.data[put.size - 1] == ' ';
    }
    while (step->few_spaces && out->size >= space.size &&
           memcmp(out->data + out->size - space.size, space.data, space.size) == 0)
        out->size -= space.size;
}

sg_status sg_normalizer_run(sg_bytes *out, bool *moved, const sg_normalizer *n, sg_norm_scratch *scratch,
                            sg_bytes text, sg_error *err)
{
    sg_status st = SG_OK;

    *out = text;
    *moved = false;
    for (size_t i = 0; i < n->n && out->size && !st; i++) {
        const sg_norm_step *step = &n->step[i];
        sg_buf *b = &scratch->text[i % 2];

        b->size = 0;
        b->failed = false; /* by a text before this one */
        switch (step->kind) {
        case SG_NORM_FORM:
            if (!sg_normal_form(b, &scratch->wide, out->data, out->size, step->form))
                st = sg_fail_memory(err, "text");
            break;
        case SG_NORM_LOWER:
            sg_lower(b, out->data, out->size);
            break;
        case SG_NORM_MARKS:
            drop_marks(b, moved, *out, false);
            break;
        case SG_NORM_STRIP:
            strip(b, moved, step, *out);
            break;
        case SG_NORM_REPLACE:
            st = replace(b, moved, step, scratch->matcher, *out, err);
            break;
        case SG_NORM_PREPEND:
            sg_buf_add(b, step->put.data, step->put.size);
            sg_buf_add(b, out->data, out->size);
            break;
        case SG_NORM_BERT:
            if (!bert(b, step, &scratch->wide, *out))
                st = sg_fail_memory(err, "text");
            break;
        case SG_NORM_CHARSMAP:
            sg_charsmap_apply(b, &step->map, out->data, out->size);
            break;
        case SG_NORM_BYTES:
            sg_byte_letters_write(b, out->data, out->size);
            break;
        case SG_NORM_SPIECE:
            spiece(b, step, *out);
            break;
        }
        if (b->failed)
            st = b->most && b->cap >= b->most
                     ? sg_fail(err, SG_ERR_FORMAT,
                               "expected a normalized text of at most %zu bytes, found more", b->most)
                     : sg_fail_memory(err, "text");
        *out = (sg_bytes){b->data, b->size};
    }
    return st;
}
