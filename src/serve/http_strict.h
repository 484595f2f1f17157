/* http_strict.h - is a request written as RFC 9112 says, byte for byte? What the HTTP library forgives (a line that goes on in the
 * next, a lone line feed, a 0 byte, a blank before the colon) another server on the way may read as something else. */
#ifndef SG_SERVE_HTTP_STRICT_H
#define SG_SERVE_HTTP_STRICT_H

#include <stdbool.h>
#include <stddef.h>

/* The library parses in place: its texts are pieces of what came, ended by a 0 byte each. So where the next one begins tells what
 * stood between. In place: this holds for the library that was built with; otherwise only the pieces themselves are looked at. */
typedef struct sg_strict {
    const char *begin, *next; /* of what came; where the next header has to begin */
    bool in_place, good;
} sg_strict;

bool sg_strict_target(const char *target); /* of the request line: has it nothing but visible characters? */
void sg_strict_start(sg_strict *s, bool in_place, bool target_good, const char *method, const char *target,
                     size_t target_size, const char *version);
void sg_strict_header(sg_strict *s, const char *name, size_t name_size, const char *value, size_t value_size);
/* size: bytes from the method to the empty line, this one included. */
bool sg_strict_end(const sg_strict *s, size_t size);

#endif
