/* charsmap.c - nothing in the table is believed: every step stays inside the units, every string inside the text. */
#include "text/charsmap.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <string.h>

sg_status sg_charsmap_parse(sg_charsmap *out, sg_bytes file, sg_error *err)
{
    const unsigned char *p = (const unsigned char *)file.data;
    uint32_t bytes;
    size_t got;

    *out = (sg_charsmap){0};
    if (file.size < 4)
        return sg_fail(err, SG_ERR_FORMAT, "charsmap: expected at least 4 bytes, found %zu", file.size);
    bytes = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (bytes > file.size - 4 || bytes % 4 || bytes < 4)
        return sg_fail(err, SG_ERR_FORMAT, "charsmap: expected a trie of at most %zu bytes, found %u",
                       file.size - 4, (unsigned)bytes);
    out->n = bytes / 4;
    out->size = file.size - 4 - bytes;
    if (!sg_utf8_valid(file.data + 4 + bytes, out->size))
        return sg_fail(err, SG_ERR_FORMAT, "charsmap: expected replacements in UTF-8");
    out->unit = sg_alloc_array(out->n, sizeof *out->unit);
    out->text = sg_alloc(out->size + 1);
    if (!out->text || !out->unit) {
        sg_charsmap_free(out);
        return sg_fail_memory(err, "charsmap");
    }
    for (size_t i = 0; i < out->n; i++, p += 4)
        out->unit[i] = p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 24;
    memcpy(out->text, file.data + 4 + bytes, out->size);
    out->text[out->size] = 0;
    for (int c = 0; c < 128; c++) {
        const char s = (char)c;

        out->changes[c] = c == '\r' || sg_charsmap_find(out, &s, 1, false, &got);
    }
    return SG_OK;
}

void sg_charsmap_free(sg_charsmap *m)
{
    sg_free(m->unit);
    sg_free(m->text);
    *m = (sg_charsmap){0};
}

static uint32_t offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & 0x200) >> 6);
}

const char *sg_charsmap_find(const sg_charsmap *m, const char *s, size_t size, bool longest, size_t *bytes)
{
    const char *found = NULL;
    size_t at = offset(m->unit[0]);

    for (size_t i = 0; i < size && s[i]; i++) {
        at ^= (unsigned char)s[i];
        if (at >= m->n || (m->unit[at] & 0x800000ff) != (unsigned char)s[i])
            break;
        const uint32_t unit = m->unit[at];
        at ^= offset(unit);
        if (!(unit & 0x100))
            continue;
        if (at >= m->n)
            break;
        const uint32_t value = m->unit[at] & 0x7fffffff;
        if (value > m->size || ((unsigned char)m->text[value] & 0xc0) == 0x80)
            break;
        found = m->text + value;
        *bytes = i + 1;
        if (!longest)
            break;
    }
    return found;
}

static void apply_to(sg_buf *out, const sg_charsmap *m, const char *s, size_t size)
{
    size_t bytes;
    const char *found = size < 6 ? sg_charsmap_find(m, s, size, false, &bytes) : NULL;

    if (found) {
        sg_buf_puts(out, found);
        return;
    }
    for (size_t n; size; s += n, size -= n) {
        n = sg_utf8_bytes(*s);
        if ((found = sg_charsmap_find(m, s, n, false, &bytes)))
            sg_buf_puts(out, found);
        else
            sg_buf_add(out, s, n);
    }
}

void sg_charsmap_apply(sg_buf *out, const sg_charsmap *m, const char *s, size_t size)
{
    const char *end = s + size;

    while (s < end) {
        const char *p = s;

        while (p < end && (unsigned char)*p < 0x80 && !m->changes[(unsigned char)*p] &&
               (p + 1 == end || (unsigned char)p[1] < 0x80))
            p++;
        sg_buf_add(out, s, (size_t)(p - s));
        if ((s = p) == end)
            break;
        uint32_t before = sg_utf8_next(&p);
        int32_t state = 0;
        while (p < end) {
            const char *next = p;
            const uint32_t after = sg_utf8_next(&next);

            if (sg_char_begins_cluster(before, after, &state))
                break;
            before = after;
            p = next;
        }
        apply_to(out, m, s, (size_t)(p - s));
        s = p;
    }
}
