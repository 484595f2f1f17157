/* catalogue.h - which semantic IDs exist: a compact prefix index, memory-mapped, and the map from ID to item.
 *
 * Tuples are sorted; node of level l = a distinct prefix of l codes, numbered in sorted order within its level. Level 0
 * has one node, the root. The children of a node are consecutive nodes of the next level, with ascending codes. Every
 * prefix leads to at least one item. A catalogue never changes: any number of threads may read one. One that takes in
 * new items is a living catalogue (living.h): each of its snapshots is read like any other catalogue.
 *
 * IDs may be of different lengths (ends): then the last code of every level but the first says that the ID has ended, and what
 * follows is that code again. So all tuples are equally long, and no ID is the beginning of another. */
#ifndef SG_INDEX_CATALOGUE_H
#define SG_INDEX_CATALOGUE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SG_CATALOGUE_LEVELS_MAX = 16, SG_CATALOGUE_SIZE_MAX = 65536 };

typedef struct sg_catalogue sg_catalogue;

/* codes (n, levels) with unique tuples, n >= 1; item i has tuple i. size (levels): codes per level (1 .. 65536).
 * A tuple that two items share or a code out of range is SG_ERR_USAGE with the items named. */
sg_status sg_catalogue_new(sg_catalogue **out, const int32_t *codes, int32_t n, int levels,
                           const int32_t *size, sg_error *err);
/* Of one just made, from now on: IDs end. SG_ERR_USAGE when something else follows an end. */
sg_status sg_catalogue_let_end(sg_catalogue *c, sg_error *err);
sg_status sg_catalogue_open(sg_catalogue **out, const char *path,
                            sg_error *err); /* mapped; every link checked */
/* The same from bytes in memory: borrowed when they are 8-byte aligned, else copied. name stands in errors. */
sg_status sg_catalogue_parse(sg_catalogue **out, sg_bytes file, const char *name, sg_error *err);
sg_status sg_catalogue_save(const sg_catalogue *c, const char *path,
                            sg_error *err); /* atomic; same tuples, same bytes */
void sg_catalogue_free(sg_catalogue *c);

int sg_catalogue_levels(const sg_catalogue *c);
int32_t
sg_catalogue_items(const sg_catalogue *c); /* item numbers are below it; in a snapshot some may be free */
int32_t sg_catalogue_size(const sg_catalogue *c, int level);  /* codes of this level */
int32_t sg_catalogue_nodes(const sg_catalogue *c, int level); /* prefixes of this length, 0 .. levels */
bool sg_catalogue_ends(const sg_catalogue *c);
/* Has a prefix of `level` codes (0 .. levels), the last of them `code`, ended? */
bool sg_catalogue_ended(const sg_catalogue *c, int level, int32_t code);
int sg_catalogue_length(const sg_catalogue *c, const int32_t *codes); /* codes (levels) before the end */
size_t sg_catalogue_bytes(const sg_catalogue *c);                     /* in memory and as a file */

/* Children of a node of `level` (0 .. levels-1): nodes first .. first + n - 1 of level + 1, their codes ascending. */
typedef struct sg_children {
    int32_t first, n;
    const void *code; /* (n) borrowed: uint8_t, or uint16_t when the level has more than 256 codes */
    bool wide;        /* uint16_t */
} sg_children;
sg_children sg_catalogue_children(const sg_catalogue *c, int level, int32_t node);
static inline int32_t sg_child_code(const sg_children *c, int32_t i)
{
    return c->wide ? ((const uint16_t *)c->code)[i] : ((const uint8_t *)c->code)[i];
}
void sg_catalogue_prefetch(const sg_catalogue *c, int level, int32_t node); /* asks for children soon */
int32_t sg_catalogue_child(const sg_catalogue *c, int level, int32_t node, int32_t code); /* -1: none */
int32_t sg_catalogue_parent(const sg_catalogue *c, int level,
                            int32_t node);                      /* node of level - 1; level 1 .. levels */
int32_t sg_catalogue_item(const sg_catalogue *c, int32_t leaf); /* node of the last level -> item */
int32_t sg_catalogue_leaf(const sg_catalogue *c, int32_t item); /* -1: not in this snapshot */
void sg_catalogue_codes(const sg_catalogue *c, int32_t item,
                        int32_t *codes); /* (levels), of an item that has a leaf */
/* Items below a node: leaves *first .. *last (exclusive) of the last level. */
void sg_catalogue_span(const sg_catalogue *c, int level, int32_t node, int32_t *first, int32_t *last);
/* Bit sets over nodes: sets bit v of above (nodes of level) for v in begin .. end-1 when a bit of below (nodes of level + 1) is set
 * for one of its children. begin and end are multiples of 64 or the number of nodes, so that threads can share above. */
void sg_catalogue_lift(const sg_catalogue *c, int level, const uint64_t *below, uint64_t *above,
                       int32_t begin, int32_t end);

#endif
