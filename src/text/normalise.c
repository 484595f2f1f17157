/* normalise.c - text without a byte over 127 takes a table; the rest goes through utf8proc.   [UAX #15, UAX #29 in spirit]
 *
 * Word boundaries are the simple ones normalise.h states, not the full rules of UAX #29. */
#include "text/normalise.h"

#include "base/alloc.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

enum { OTHER = 0, LETTER, DIGIT, SINGLE, POINT, APOSTROPHE };

static bool is_single(int32_t c)
{
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x31f0 && c <= 0x31ff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x323af);
}

static int class_of(int32_t c)
{
    if (c < 128) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
            return LETTER;
        if (c >= '0' && c <= '9')
            return DIGIT;
        return c == '.' || c == ',' ? POINT : c == '\'' ? APOSTROPHE : OTHER;
    }
    if (c == 0x2019)
        return APOSTROPHE;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return is_single(c) ? SINGLE : LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return DIGIT;
    default:
        return OTHER;
    }
}

static bool all_ascii(sg_bytes text)
{
    unsigned char any = 0;

    for (size_t i = 0; i < text.size; i++)
        any |= (unsigned char)text.data[i];
    return any < 128;
}

/* Copy with every byte that is no valid UTF-8 replaced by a space. */
static sg_status clean_utf8(sg_words *w, sg_bytes text, sg_error *err)
{
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)text.data;

    if (!sg_grow(&w->clean, &w->cap_clean, text.size, 1))
        return sg_fail_memory(err, "text");
    for (size_t i = 0; i < text.size;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n = utf8proc_iterate(s + i, (utf8proc_ssize_t)(text.size - i), &c);

        if (n <= 0) {
            w->clean[i++] = ' ';
            continue;
        }
        memcpy(w->clean + i, text.data + i, (size_t)n);
        i += (size_t)n;
    }
    return SG_OK;
}

/* Code points in NFKC, case folded, into w->wide. */
static sg_status fold_unicode(sg_words *w, size_t *n, sg_bytes text, sg_error *err)
{
    const utf8proc_option_t how =
        UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;
    utf8proc_ssize_t got;
    sg_status st;

    if ((st = clean_utf8(w, text, err)))
        return st;
    for (;;) {
        got = utf8proc_decompose((const utf8proc_uint8_t *)w->clean, (utf8proc_ssize_t)text.size, w->wide,
                                 (utf8proc_ssize_t)w->cap_wide, how);
        if (got < 0)
            return sg_fail(err, SG_ERR_FORMAT, "text cannot be normalised: %s", utf8proc_errmsg(got));
        if ((size_t)got <= w->cap_wide)
            break;
        if (!sg_grow(&w->wide, &w->cap_wide, (size_t)got, sizeof *w->wide))
            return sg_fail_memory(err, "text");
    }
    got = utf8proc_normalize_utf32(w->wide, got, how);
    if (got < 0)
        return sg_fail(err, SG_ERR_FORMAT, "text cannot be normalised: %s", utf8proc_errmsg(got));
    *n = (size_t)got;
    return SG_OK;
}

static sg_status widen_ascii(sg_words *w, sg_bytes text, sg_error *err)
{
    if (!sg_grow(&w->wide, &w->cap_wide, text.size, sizeof *w->wide))
        return sg_fail_memory(err, "text");
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];

        w->wide[i] = c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
    }
    return SG_OK;
}

sg_status sg_words_split(sg_words *w, sg_bytes text, sg_error *err)
{
    size_t n = text.size, n_code = 0, begin = 0;
    int before = OTHER; /* class of the last character that is part of the open word, or OTHER */
    sg_status st = all_ascii(text) ? widen_ascii(w, text, err) : fold_unicode(w, &n, text, err);

    w->n = 0;
    if (st)
        return st;
    if (!sg_grow(&w->code, &w->cap_code, n, sizeof *w->code) ||
        !sg_grow(&w->start, &w->cap_start, n + 1, sizeof *w->start))
        return sg_fail_memory(err, "text");
    w->start[0] = 0;
    for (size_t i = 0; i < n; i++) {
        const int class = class_of(w->wide[i]);
        const int next = i + 1 < n ? class_of(w->wide[i + 1]) : OTHER;

        if (class == APOSTROPHE && before == LETTER && next == LETTER)
            continue;
        if (class == LETTER || class == DIGIT || (class == POINT && before == DIGIT && next == DIGIT)) {
            w->code[n_code++] = (uint32_t)w->wide[i];
            before = class;
            continue;
        }
        if (n_code > begin)
            w->start[++w->n] = begin = n_code;
        before = OTHER;
        if (class == SINGLE) {
            w->code[n_code++] = (uint32_t)w->wide[i];
            w->start[++w->n] = begin = n_code;
        }
    }
    if (n_code > begin)
        w->start[++w->n] = n_code;
    return SG_OK;
}

void sg_words_print(sg_buf *out, const sg_words *w, size_t i)
{
    for (size_t k = w->start[i]; k < w->start[i + 1]; k++) {
        utf8proc_uint8_t bytes[4];

        sg_buf_add(out, bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)w->code[k], bytes));
    }
}

void sg_words_free(sg_words *w)
{
    sg_free(w->code);
    sg_free(w->start);
    sg_free(w->clean);
    sg_free(w->wide);
    *w = (sg_words){0};
}
