/* pattern.h - the regular expressions of tokenizer files. The only door to PCRE2.
 *
 * Files are written for Oniguruma; where the two read a class differently (\s, \w) the class is spelled out. A pattern from
 * outside can make a matcher search for ever: each match has a budget, and past it is an error. */
#ifndef SG_TEXT_PATTERN_H
#define SG_TEXT_PATTERN_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct sg_pattern sg_pattern;
sg_status sg_pattern_new(sg_pattern **out, sg_bytes regex, sg_error *err);
void sg_pattern_free(sg_pattern *p);
size_t sg_pattern_bytes(const sg_pattern *p); /* that it takes */

typedef struct sg_matcher sg_matcher; /* one thread's scratch, for any pattern */
sg_matcher *sg_matcher_new(void);     /* NULL: out of memory */
void sg_matcher_free(sg_matcher *m);

/* The next match at or after `at` of valid UTF-8; *found false: none. It may be empty. */
sg_status sg_pattern_next(const sg_pattern *p, sg_matcher *m, sg_bytes text, size_t at, size_t *start,
                          size_t *end, bool *found, sg_error *err);

#endif
