/* catalogue.h - which semantic IDs exist: a compact prefix index, memory-mapped, and the map from ID to item.
 *
 * Tuples are sorted; node of level l = a distinct prefix of l codes, numbered in sorted order within its level. Level 0
 * has one node, the root. The children of a node are consecutive nodes of the next level, with ascending codes. */
#ifndef SG_INDEX_CATALOGUE_H
#define SG_INDEX_CATALOGUE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_catalogue sg_catalogue;

/* codes (n, levels) with unique tuples; item i has tuple i. size (levels): codes per level (1 .. 65536). */
sg_status sg_catalogue_new(sg_catalogue **out, const int32_t *codes, int32_t n, int levels, const int32_t *size, sg_error *err);
sg_status sg_catalogue_open(sg_catalogue **out, const char *path, sg_error *err); /* mapped; every link checked */
sg_status sg_catalogue_save(const sg_catalogue *c, const char *path, sg_error *err);
void sg_catalogue_free(sg_catalogue *c);

int sg_catalogue_levels(const sg_catalogue *c);
int32_t sg_catalogue_items(const sg_catalogue *c);
int32_t sg_catalogue_size(const sg_catalogue *c, int level);      /* codes of this level */
int32_t sg_catalogue_nodes(const sg_catalogue *c, int level);     /* prefixes of this length, 0 .. levels */
size_t sg_catalogue_bytes(const sg_catalogue *c);

/* Children of a node of `level` (0 .. levels-1): nodes *first .. *first + *n - 1 of level + 1, their codes in code[]. */
typedef struct sg_children {
    int32_t first, n;
    const uint16_t *code; /* (n) ascending, borrowed */
} sg_children;
sg_children sg_catalogue_children(const sg_catalogue *c, int level, int32_t node);
int32_t sg_catalogue_child(const sg_catalogue *c, int level, int32_t node, int32_t code); /* -1: none */
int32_t sg_catalogue_item(const sg_catalogue *c, int32_t leaf);  /* node of the last level -> item */
int32_t sg_catalogue_leaf(const sg_catalogue *c, int32_t item);
void sg_catalogue_codes(const sg_catalogue *c, int32_t item, int32_t *codes); /* (levels) */
/* Items below a node: leaves *first .. *last (exclusive) of the last level. */
void sg_catalogue_span(const sg_catalogue *c, int level, int32_t node, int32_t *first, int32_t *last);

#endif
