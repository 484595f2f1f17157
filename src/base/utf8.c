/* utf8.c - eight ASCII bytes at a time, everything else by the table of well-formed sequences. [Unicode 15, table 3-7] */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the well-formed character at s, or 0; *bad: how many bytes of it were still possible (at least 1). */
static size_t character(const unsigned char *s, size_t left, size_t *bad)
{
    const unsigned char a = s[0];
    unsigned char least = 0x80, most = 0xbf; /* of the second byte */
    size_t n;

    *bad = 1;
    if (a < 0x80)
        return 1;
    if (a < 0xc2 || a > 0xf4)
        return 0;
    n = a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
    if (a == 0xe0)
        least = 0xa0;
    else if (a == 0xed)
        most = 0x9f;
    else if (a == 0xf0)
        least = 0x90;
    else if (a == 0xf4)
        most = 0x8f;
    for (size_t i = 1; i < n; i++, least = 0x80, most = 0xbf) {
        if (i == left || s[i] < least || s[i] > most)
            return 0;
        *bad = i + 1;
    }
    return n;
}

size_t sg_utf8_valid_bytes(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0, bad;

    while (i < size) {
        uint64_t eight;

        if (size - i >= 8) {
            memcpy(&eight, s + i, 8);
            if (!(eight & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        const size_t n = character(s + i, size - i, &bad);
        if (!n)
            break;
        i += n;
    }
    return i;
}

bool sg_utf8_valid(const char *s, size_t size)
{
    return sg_utf8_valid_bytes(s, size) == size;
}

void sg_utf8_clean(sg_buf *out, const char *s, size_t size)
{
    while (size) {
        const size_t good = sg_utf8_valid_bytes(s, size);
        size_t bad;

        sg_buf_add(out, s, good);
        s += good;
        size -= good;
        if (!size)
            break;
        character((const unsigned char *)s, size, &bad);
        sg_buf_puts(out, "\xef\xbf\xbd");
        s += bad;
        size -= bad;
    }
}

void sg_utf8_put(sg_buf *out, uint32_t code)
{
    char c[4];
    size_t n = 0;

    if (code < 0x80) {
        c[n++] = (char)code;
    } else if (code < 0x800) {
        c[n++] = (char)(0xc0 | code >> 6);
        c[n++] = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        c[n++] = (char)(0xe0 | code >> 12);
        c[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        c[n++] = (char)(0x80 | (code & 0x3f));
    } else {
        c[n++] = (char)(0xf0 | code >> 18);
        c[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        c[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        c[n++] = (char)(0x80 | (code & 0x3f));
    }
    sg_buf_add(out, c, n);
}
