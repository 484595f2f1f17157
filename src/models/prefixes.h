/* prefixes.h - what the prefixes of semantic IDs mean, kept in the model folder as ids.json, so that an explanation needs no
 * dataset: {"17": {"items": 80, "words": ["mascara", "lash"], "categories": "Beauty > Makeup > Eyes"}, "17,203": ...}. */
#ifndef SG_MODELS_PREFIXES_H
#define SG_MODELS_PREFIXES_H

#include "base/status.h"

#include <jansson.h>
#include <stdint.h>

/* Writes DIR/ids.json from the report of sg_ids_report: prefixes of at least two items, their typical words, and of each other
 * column the most specific value that half of the items share. */
sg_status sg_prefixes_save(const char *dir, const json_t *report, sg_error *err);
/* *out: owned by the caller; NULL when the folder has none. */
sg_status sg_prefixes_open(json_t **out, const char *dir, sg_error *err);
/* The entry of a prefix of `depth` codes, borrowed; NULL: there is none. */
json_t *sg_prefixes_find(const json_t *prefixes, const int32_t *codes, int depth);

#endif
