/* trie.c - built from the sorted keys: a node is a range of them that share a prefix. */
#include "text/trie.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    sg_bytes key;
    int32_t value;
} entry;

typedef struct range { /* keys lo .. hi share their first `depth` bytes */
    uint32_t lo, hi, depth;
} range;

static int by_bytes(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const size_t n = x->key.size < y->key.size ? x->key.size : y->key.size;
    const int order = n ? memcmp(x->key.data, y->key.data, n) : 0;

    if (order)
        return order;
    if (x->key.size != y->key.size)
        return x->key.size < y->key.size ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

typedef struct growth {
    range *node;
    uint8_t *label;
    size_t n, cap_node, cap_label;
} growth;

static bool add_node(growth *g, range r, uint8_t label)
{
    if (!sg_grow(&g->node, &g->cap_node, g->n + 1, sizeof *g->node) || !sg_grow(&g->label, &g->cap_label, g->n + 1, 1))
        return false;
    g->node[g->n] = r;
    g->label[g->n++] = label;
    return true;
}

sg_status sg_trie_build(sg_trie *out, const sg_bytes *key, size_t n, sg_error *err)
{
    return sg_trie_build_within(out, key, n, UINT32_MAX, err);
}

sg_status sg_trie_build_within(sg_trie *out, const sg_bytes *key, size_t n, size_t nodes_max, sg_error *err)
{
    entry *list = sg_alloc_array(n, sizeof *list);
    growth g = {0};
    sg_status st = SG_OK;
    size_t bytes = 1, m = 0;

    *out = (sg_trie){0};
    for (size_t i = 0; list && i < n; i++)
        if (key[i].size) {
            list[m++] = (entry){key[i], (int32_t)i};
            bytes += key[i].size;
        }
    if (list && (bytes >= UINT32_MAX || n >= INT32_MAX)) {
        st = sg_fail(err, SG_ERR_FORMAT, "expected at most 4294967294 bytes of pieces, found %zu", bytes);
        goto done;
    }
    /* room for a node a byte: what is not written to is not there, and nothing is copied from a smaller place */
    const size_t room = bytes < nodes_max ? bytes : nodes_max;
    size_t cap_first = 0, cap_value = 0;
    if (!list || !sg_grow(&g.node, &g.cap_node, room, sizeof *g.node) || !sg_grow(&g.label, &g.cap_label, room, 1) ||
        !sg_grow(&out->first, &cap_first, room + 1, sizeof *out->first) || !sg_grow(&out->value, &cap_value, room, sizeof *out->value) ||
        !add_node(&g, (range){0, (uint32_t)m, 0}, 0)) {
        st = sg_fail_memory(err, "pieces");
        goto done;
    }
    if (m)
        qsort(list, m, sizeof *list, by_bytes);
    for (size_t i = 0; i < g.n; i++) {
        range r = g.node[i];

        out->first[i] = (uint32_t)g.n;
        out->value[i] = -1;
        for (; r.lo < r.hi && list[r.lo].key.size == r.depth; r.lo++)
            if (out->value[i] < 0)
                out->value[i] = list[r.lo].value;
        while (r.lo < r.hi) {
            const uint8_t byte = (uint8_t)list[r.lo].key.data[r.depth];
            uint32_t end = r.lo + 1;

            while (end < r.hi && (uint8_t)list[end].key.data[r.depth] == byte)
                end++;
            if (g.n == nodes_max) {
                st = sg_fail(err, SG_ERR_FORMAT, "expected tokens with at most %zu different beginnings, found more", nodes_max);
                goto done;
            }
            if (!add_node(&g, (range){r.lo, end, r.depth + 1}, byte)) {
                st = sg_fail_memory(err, "pieces");
                goto done;
            }
            if (i == 0)
                out->root[byte] = (uint32_t)(g.n - 1);
            r.lo = end;
        }
        out->first[i + 1] = (uint32_t)g.n;
    }
    out->label = g.label;
    g.label = NULL;
    out->nodes = (uint32_t)g.n;
done:
    sg_free(g.node);
    sg_free(g.label);
    sg_free(list);
    if (st)
        sg_trie_free(out);
    return st;
}

void sg_trie_free(sg_trie *t)
{
    sg_free(t->first);
    sg_free(t->label);
    sg_free(t->value);
    *t = (sg_trie){0};
}

int32_t sg_trie_find(const sg_trie *t, const char *key, size_t size)
{
    uint32_t node = 0;

    for (size_t i = 0; i < size; i++)
        if (!(node = sg_trie_step(t, node, (uint8_t)key[i])))
            return -1;
    return size ? t->value[node] : -1;
}

int32_t sg_trie_longest(const sg_trie *t, const char *s, size_t size, size_t *bytes)
{
    int32_t found = -1;
    uint32_t node = 0;

    *bytes = 0;
    for (size_t i = 0; i < size && (node = sg_trie_step(t, node, (uint8_t)s[i]));)
        if (i++, t->value[node] >= 0) {
            found = t->value[node];
            *bytes = i;
        }
    return found;
}
