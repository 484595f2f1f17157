/* utf8.h - is it UTF-8, and making it so: text from outside is checked or cleaned once, at the door. */
#ifndef SG_BASE_UTF8_H
#define SG_BASE_UTF8_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes before the first one that is not UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
size_t sg_utf8_valid_bytes(const char *s, size_t size);
bool sg_utf8_valid(const char *s, size_t size);
/* Appends s with every maximal broken piece replaced by U+FFFD. */
void sg_utf8_clean(sg_buf *out, const char *s, size_t size);

#endif
