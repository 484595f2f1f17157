/* suffix.h - the suffix array of a text over integers. */
#ifndef SG_INDEX_SUFFIX_H
#define SG_INDEX_SUFFIX_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* order (n): the places of text (n) by their suffixes, ascending. Symbols are below `symbols`; the last one is 0 and stands
 * nowhere else. n >= 1, at most INT32_MAX. */
sg_status sg_suffix_array(int32_t *order, const uint32_t *text, int32_t n, uint32_t symbols, sg_error *err);

#endif
