/* trie.c - built from the sorted keys, level by level: a node is a range of them that share a prefix. */
#include "text/trie.h"

#include "base/alloc.h"

#include <string.h>

/* The byte of a key, -1 behind its end: shorter keys come first. */
static int byte_at(sg_bytes key, size_t depth)
{
    return depth < key.size ? (unsigned char)key.data[depth] : -1;
}

static void swap(uint32_t *a, uint32_t *b)
{
    const uint32_t x = *a;

    *a = *b;
    *b = x;
}

/* Three-way radix quicksort of n numbers of keys that share their first `depth` bytes. What is left for the loop is the largest of three
 * parts, so calls nest at most log2(n) deep.   [Bentley & Sedgewick 1997] */
static void sort(uint32_t *list, size_t n, const sg_bytes *key, size_t depth)
{
    while (n > 1) {
        const int middle = byte_at(key[list[n / 2]], depth);
        size_t less = 0, i = 0, more = n;

        while (i < more) {
            const int c = byte_at(key[list[i]], depth);

            if (c < middle)
                swap(&list[less++], &list[i++]);
            else if (c > middle)
                swap(&list[i], &list[--more]);
            else
                i++;
        }
        struct {
            uint32_t *list;
            size_t n, depth;
        } part[] = {{list, less, depth},
                    {list + less, middle < 0 ? 0 : more - less, depth + 1},
                    {list + more, n - more, depth}};
        size_t most = 0;

        for (size_t k = 1; k < 3; k++)
            most = part[k].n > part[most].n ? k : most;
        for (size_t k = 0; k < 3; k++)
            if (k != most)
                sort(part[k].list, part[k].n, key, part[k].depth);
        list = part[most].list;
        n = part[most].n;
        depth = part[most].depth;
    }
}

sg_status sg_trie_build(sg_trie *out, const sg_bytes *key, size_t n, sg_error *err)
{
    return sg_trie_build_within(out, key, n, UINT32_MAX, err);
}

/* The numbers of keys that are not empty, in order; *bytes: those of all, and one. */
static uint32_t *sorted(size_t *m, size_t *bytes, const sg_bytes *key, size_t n)
{
    uint32_t *list = sg_alloc_array(n, sizeof *list);

    *m = 0;
    *bytes = 1;
    for (size_t i = 0; list && i < n; i++)
        if (key[i].size) {
            list[(*m)++] = (uint32_t)i;
            *bytes += key[i].size;
        }
    if (list)
        sort(list, *m, key, 0);
    return list;
}

/* Until its turn comes a node has its keys, list[lo] .. list[hi - 1], in `first` and `value`: no other place is needed. */
static void put_node(sg_trie *t, uint32_t lo, uint32_t hi, uint8_t label)
{
    t->first[t->nodes] = lo;
    t->value[t->nodes] = (int32_t)hi;
    t->label[t->nodes++] = label;
}

static sg_status grow_all(sg_trie *t, const sg_bytes *key, const uint32_t *list, size_t nodes_max,
                          sg_error *err)
{
    uint32_t level_end = 1; /* first node of the next depth */

    for (uint32_t i = 0, depth = 0; i < t->nodes; i++) {
        if (i == level_end) {
            level_end = t->nodes;
            depth++;
        }
        uint32_t lo = t->first[i];
        const uint32_t hi = (uint32_t)t->value[i];

        t->first[i] = t->nodes;
        t->value[i] = -1;
        for (; lo < hi && key[list[lo]].size == depth; lo++)
            if (t->value[i] < 0 || list[lo] < (uint32_t)t->value[i])
                t->value[i] = (int32_t)list[lo];
        while (lo < hi) {
            const int byte = byte_at(key[list[lo]], depth);
            uint32_t end = lo + 1;

            while (end < hi && byte_at(key[list[end]], depth) == byte)
                end++;
            if (t->nodes == nodes_max)
                return sg_fail(err, SG_ERR_FORMAT,
                               "expected tokens with at most %zu different beginnings, found more",
                               nodes_max);
            if (i == 0)
                t->root[byte] = t->nodes;
            put_node(t, lo, end, (uint8_t)byte);
            lo = end;
        }
    }
    t->first[t->nodes] = t->nodes;
    return SG_OK;
}

sg_status sg_trie_build_within(sg_trie *out, const sg_bytes *key, size_t n, size_t nodes_max, sg_error *err)
{
    size_t m, bytes, room;
    uint32_t *list = NULL;
    sg_status st;

    *out = (sg_trie){0};
    if (n >= INT32_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "expected at most 2147483646 pieces, found %zu", n);
    list = sorted(&m, &bytes, key, n);
    room = bytes < nodes_max
               ? bytes
               : nodes_max; /* a node a byte: what is not written to is not there, and nothing is copied */
    if (list && bytes >= UINT32_MAX) {
        st = sg_fail(err, SG_ERR_FORMAT, "expected at most 4294967294 bytes of pieces, found %zu", bytes);
    } else if (!list || !(out->first = sg_alloc_array(room + 1, sizeof *out->first)) ||
               !(out->label = sg_alloc(room)) || !(out->value = sg_alloc_array(room, sizeof *out->value))) {
        st = sg_fail_memory(err, "pieces");
    } else {
        put_node(out, 0, (uint32_t)m, 0);
        st = grow_all(out, key, list, nodes_max, err);
    }
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
