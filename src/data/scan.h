/* scan.h - text of a field to a value: integers, decimal numbers, times, ids. No locale, no allocation, no
 * terminator. */
#ifndef SG_DATA_SCAN_H
#define SG_DATA_SCAN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole field must be the value; spaces around it are allowed. False: it is not one, or it is out of
 * range. */
bool sg_scan_int(sg_bytes text, int64_t *out);
bool sg_scan_number(sg_bytes text, double *out); /* finite, correctly rounded: "4", "-0.5", "8.8e8" */

/* A moment in microseconds since 1970-01-01 UTC, years 1 to 9999. A number counts seconds below 1e11 (year
 * 5138), milliseconds below 1e14, microseconds below 1e17, else nanoseconds, by its magnitude. Or ISO 8601:
 * 2014-05-26, 2014-05-26T20:09:40, with a space for T, fractions of a second, Z or +02:00 (none: UTC).
 * Sub-microseconds are cut off. */
bool sg_scan_time(sg_bytes text, int64_t *out);
bool sg_time_of_number(double value, int64_t *out); /* the rule for numbers alone */

/* A natural number as one would print it: digits, no sign, no leading zero, below 2^63. */
bool sg_scan_natural(sg_bytes text, uint64_t *out);

sg_bytes sg_trim(sg_bytes text); /* without spaces and tabs around it */
/* Appends text as UTF-8; returns the number of places where it was not (each became U+FFFD). */
size_t sg_utf8_repair(sg_buf *out, sg_bytes text);
void sg_latin1_to_utf8(sg_buf *out, sg_bytes text);

/* "'text'" cut to a length that suits a message, for "found %s": quotes included, in `room`. */
enum { SG_QUOTE_ROOM = 64 };
const char *sg_quote(char room[SG_QUOTE_ROOM], sg_bytes text);

static inline sg_bytes sg_bytes_of(const char *s)
{
    return (sg_bytes){s, __builtin_strlen(s)};
}
static inline bool sg_bytes_equal(sg_bytes a, sg_bytes b)
{
    return a.size == b.size && (a.size == 0 || __builtin_memcmp(a.data, b.data, a.size) == 0);
}

#endif
