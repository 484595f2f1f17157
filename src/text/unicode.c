/* unicode.c - kinds of characters from tables, normal forms through utf8proc, with a way around it for what is common. */
#include "text/unicode.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <utf8proc.h>

#include "text/unicode_table.h"

#define IN(table, c) is_in(table, sizeof table / sizeof *table, c)

static bool is_in(const uint32_t (*range)[2], size_t n, uint32_t c)
{
    size_t lo = 0;

    while (n > 1) { /* the last range that begins at or before c is in lo .. lo + n */
        const size_t half = n / 2;

        if (range[lo + half][0] <= c) {
            lo += half;
            n -= half;
        } else {
            n = half;
        }
    }
    return c >= range[lo][0] && c <= range[lo][1];
}

bool sg_char_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool sg_char_is_numeric(uint32_t c)
{
    return c < 0x80 ? c >= '0' && c <= '9' : IN(numeric_ranges, c);
}

bool sg_char_is_punct(uint32_t c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    return IN(punct_ranges, c);
}

bool sg_char_is_other(uint32_t c)
{
    return c < 0x80 ? c < ' ' || c == 0x7f : IN(other_ranges, c);
}

bool sg_char_is_mark(uint32_t c)
{
    return c >= 0x80 && IN(mark_ranges, c);
}

bool sg_char_is_nonspacing(uint32_t c)
{
    return c >= 0x80 && IN(nonspacing_ranges, c);
}

bool sg_char_is_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    return IN(word_ranges, c);
}

bool sg_char_is_han(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) ||
           (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool sg_char_begins_cluster(uint32_t before, uint32_t c, int32_t *state)
{
    /* those that utf8proc does not know count as one it knows */
    return utf8proc_grapheme_break_stateful((int32_t)before, IN(joining_ranges, c) ? 0x300 : (int32_t)c,
                                            state);
}

/* True for characters that NFC never touches, whatever stands beside them: Latin, ideographs, kana, signs, emoji. */
static bool never_changes(uint32_t c)
{
    return c < 0x300 || (c >= 0x4e00 && c <= 0x9fff) ||
           (c >= 0x3000 && c <= 0x30ff && c != 0x3099 && c != 0x309a && !(c >= 0x302a && c <= 0x302f)) ||
           (c >= 0x2002 && c <= 0x20cf) || (c >= 0xff00 && c <= 0xffef) || (c >= 0x1f300 && c <= 0x1faff);
}

static bool is_plain(const char *s, size_t size, sg_form form)
{
    const char *end = s + size;

    while (s < end)
        if ((unsigned char)*s < 0x80)
            s++;
        else if (form != SG_FORM_NFC || !never_changes(sg_utf8_next(&s)))
            return false;
    return true;
}

/* A stretch without foreign characters. */
static bool normalise(sg_buf *out, sg_wide *w, const char *s, size_t size, sg_form form)
{
    static const utf8proc_option_t option[] = {
        [SG_FORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [SG_FORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [SG_FORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [SG_FORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };

    for (;;) {
        utf8proc_ssize_t n = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)size, w->code,
                                                (utf8proc_ssize_t)w->cap, option[form]);

        if (n < 0)
            return false;
        if ((size_t)n < w->cap) { /* reencoding wants room for one code point more */
            if ((n = utf8proc_reencode(w->code, n, option[form])) < 0)
                return false;
            sg_buf_add(out, w->code, (size_t)n);
            return !out->failed;
        }
        if (!sg_grow(&w->code, &w->cap, (size_t)n + 1, sizeof *w->code))
            return false;
    }
}

bool sg_normal_form(sg_buf *out, sg_wide *w, const char *s, size_t size, sg_form form)
{
    const char *end = s + size, *from = s;

    if (is_plain(s, size, form)) {
        sg_buf_add(out, s, size);
        return !out->failed;
    }
    while (s < end) {
        const char *at = s;

        if (!IN(foreign_ranges, sg_utf8_next(&s)))
            continue;
        if (at > from && !normalise(out, w, from, (size_t)(at - from), form))
            return false;
        sg_buf_add(out, at, (size_t)(s - at));
        from = s;
    }
    return from == end ? !out->failed : normalise(out, w, from, (size_t)(end - from), form);
}

static uint32_t lower_of(uint32_t c)
{
    const uint32_t low = (uint32_t)utf8proc_tolower((int32_t)c);
    size_t lo = 0, hi = sizeof lower_pairs / sizeof *lower_pairs;

    while (low == c && lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;

        if (lower_pairs[mid][0] == c)
            return lower_pairs[mid][1];
        if (lower_pairs[mid][0] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return low;
}

void sg_lower(sg_buf *out, const char *s, size_t size)
{
    const char *end = s + size;

    while (s < end) {
        const uint32_t c = sg_utf8_next(&s);

        if (c < 0x80) {
            sg_buf_putc(out, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
        } else if (c == 0x130) { /* the one character whose lower case is two: i and a dot */
            sg_buf_puts(out, "i\xcc\x87");
        } else {
            sg_utf8_put(out, lower_of(c));
        }
    }
}
