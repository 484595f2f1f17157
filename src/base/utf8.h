/* utf8.h - is it UTF-8, and making it so: text from outside is checked or cleaned once, at the door. */
#ifndef SG_BASE_UTF8_H
#define SG_BASE_UTF8_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes before the first one that is not UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
size_t sg_utf8_valid_bytes(const char *s, size_t size);
bool sg_utf8_valid(const char *s, size_t size);
/* Appends s with every maximal broken piece replaced by U+FFFD. */
void sg_utf8_clean(sg_buf *out, const char *s, size_t size);

/* One character of valid UTF-8 at *s, which moves past it. */
static inline uint32_t sg_utf8_next(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;

    if (p[0] < 0x80) {
        *s += 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *s += 2;
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] < 0xf0) {
        *s += 3;
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    }
    *s += 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

/* Bytes of the character that begins with this byte of valid UTF-8. */
static inline size_t sg_utf8_bytes(char first)
{
    const unsigned char c = (unsigned char)first;

    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Where the character before `at` begins; at > 0. */
static inline size_t sg_utf8_before(const char *s, size_t at)
{
    do
        at--;
    while (at && ((unsigned char)s[at] & 0xc0) == 0x80);
    return at;
}

void sg_utf8_put(sg_buf *out, uint32_t code); /* a scalar value */

#endif
