/* twig.h - the changed nodes of a living catalogue, over the image that it began with.
 *
 * A twig is a node that an edit copied out of the image, or made: its children in order of their codes, each one a twig
 * or still a node of the image. An edit copies the nodes on its path and shares all others, so a root is a snapshot.
 * `before` makes the numbers of nodes what a rebuild would give them: for each child and each level further below, how
 * many nodes of that level stand before the child inside this twig. A node is found by its number from the root down.
 *
 * A published twig never changes; `next` and `since` belong to the editor. */
#ifndef SG_INDEX_TWIG_H
#define SG_INDEX_TWIG_H

#include "index/image.h"

#include <stdatomic.h>

typedef struct sg_twig sg_twig;
struct sg_twig {
    uint32_t n, cap; /* children; room for them */
    int level;
    uint64_t edit;    /* that made it: as long as it lasts, the twig may change in place */
    sg_twig *next;    /* among those to be freed ... */
    uint64_t since;   /* ... once nobody reads a version before this one */
    uint64_t *ref;    /* (cap) address of a twig, or node of the image << 1 | 1; above the last level */
    uint32_t *item;   /* (cap) in the last level */
    uint32_t *before; /* (levels - level - 1, cap + 1): for levels level + 2 .. levels */
    uint8_t *code8;   /* (cap) NULL: code16 */
    uint16_t *code16;
};

static inline uint32_t *sg_twig_before(const sg_twig *t, int level, int below)
{
    return t->before + (size_t)(below - level - 2) * (t->cap + 1);
}

static inline uint32_t sg_twig_code(const sg_twig *t, uint32_t i)
{
    return t->code8 ? t->code8[i] : t->code16[i];
}

/* The first child whose code is not below `code`. */
static inline uint32_t sg_twig_find(const sg_twig *t, uint32_t code)
{
    uint32_t low = 0, high = t->n;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (sg_twig_code(t, middle) < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The tuples that an item was ever put with, newest first; which one it has in a snapshot, the snapshot's tree tells. */
typedef struct sg_hint sg_hint;
struct sg_hint {
    const sg_hint *older;
    uint16_t code[]; /* (levels) */
};
enum { SG_HINT_CHUNK = 1 << 15 };
typedef _Atomic(const sg_hint *) sg_hint_slot;
typedef struct sg_hints {
    _Atomic(sg_hint_slot *) chunk[(INT32_MAX >> 15) + 1]; /* SG_HINT_CHUNK slots each, or NULL */
} sg_hints;

/* What catalogue.c answers from for snapshots. */
sg_children sg_twig_children(const sg_catalogue *c, int level, uint32_t node);
int32_t sg_twig_parent(const sg_catalogue *c, int level, uint32_t node);
int32_t sg_twig_item(const sg_catalogue *c, uint32_t leaf);
/* -1: none; codes (levels) of the item; *choice as below */
int32_t sg_twig_leaf(const sg_catalogue *c, int32_t item, int32_t *codes, int *choice);
void sg_twig_span(const sg_catalogue *c, int level, uint32_t node, int32_t *first, int32_t *last);
void sg_twig_lift(const sg_catalogue *c, int level, const uint64_t *below, uint64_t *above, uint32_t begin,
                  uint32_t end);

/* How many leading codes lead to a node, and the leaf when all do; *choice: the deepest of these nodes, the root at
 * level 0, that has another child than the next code (-1: none). codes (levels), each below its level's size. */
int sg_twig_shared(const sg_catalogue *c, const int32_t *codes, int32_t *leaf, int *choice);

#endif
