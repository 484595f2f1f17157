/* trie.h - byte strings to numbers, one byte at a time: every prefix of a text that is a piece, in one walk.
 *
 * Nodes lie in breadth-first order, so the children of a node are neighbours, sorted by byte, and nine bytes hold a node. */
#ifndef SG_TEXT_TRIE_H
#define SG_TEXT_TRIE_H

#include "base/buf.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { SG_TRIE_NODE = 9, SG_TRIE_KEY = 4 }; /* bytes: of a node; of a key while a trie is built */

typedef struct sg_trie {
    uint32_t *first;    /* (nodes + 1), owned: children of node i are first[i] .. first[i + 1] */
    uint8_t *label;     /* (nodes), owned: the byte that leads here */
    int32_t *value;     /* (nodes), owned: of the key that ends here, or -1 */
    uint32_t root[256]; /* child of node 0, which has most of them; 0: none */
    uint32_t nodes;
} sg_trie;

/* Key i has value i; keys without a byte are left out, of equal keys the first counts. */
sg_status sg_trie_build(sg_trie *out, const sg_bytes *key, size_t n, sg_error *err);
sg_status sg_trie_build_within(sg_trie *out, const sg_bytes *key, size_t n, size_t nodes_max,
                               sg_error *err); /* more: SG_ERR_FORMAT */
void sg_trie_free(sg_trie *t);

/* The child of `node` by `byte`, 0: none. Node 0 is the root. */
static inline uint32_t sg_trie_step(const sg_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t lo, hi;

    if (node == 0)
        return t->root[byte];
    lo = t->first[node];
    hi = t->first[node + 1];
    while (hi - lo > 8) {
        const uint32_t mid = lo + (hi - lo) / 2;

        if (t->label[mid] <= byte)
            lo = mid;
        else
            hi = mid;
    }
    for (; lo < hi; lo++)
        if (t->label[lo] == byte)
            return lo;
    return 0;
}

/* The value of a whole key, -1: not there. */
int32_t sg_trie_find(const sg_trie *t, const char *key, size_t size);
/* The longest key that s starts with: its value, and its length in *bytes; -1: none. */
int32_t sg_trie_longest(const sg_trie *t, const char *s, size_t size, size_t *bytes);

#endif
