/* select.c - radix selection from the top byte down, and heap sort: no worst case, no memory, the same on every machine. */
#include "decode/select.h"

uint64_t sg_key_nth(const uint64_t *key, size_t n, size_t k, uint64_t *spare)
{
    uint64_t prefix = 0;

    for (int shift = 56; shift >= 0; shift -= 8) {
        uint32_t count[256] = {0};
        size_t same = 0;
        uint32_t byte = 255;

        for (size_t i = 0; i < n; i++)
            count[key[i] >> shift & 255]++;
        while (k > count[byte])
            k -= count[byte--];
        prefix |= (uint64_t)byte << shift;
        if (count[byte] == n && shift > 0)
            continue; /* nothing to drop: all share this byte */
        for (size_t i = 0; i < n; i++) {
            spare[same] = key[i]; /* in place from the second round on: same <= i */
            same += (key[i] >> shift & 255) == byte;
        }
        key = spare;
        n = same;
        if (n == 1)
            return key[0];
    }
    return prefix;
}

size_t sg_key_keep(uint64_t *key, size_t n, size_t k, uint64_t *spare)
{
    uint64_t least;
    size_t kept = 0;

    if (n <= k)
        return n;
    if (k == 0)
        return 0;
    least = sg_key_nth(key, n, k, spare);
    for (size_t i = 0; i < n; i++) {
        key[kept] = key[i];
        kept += key[i] >= least;
    }
    return kept;
}

/* Puts key into the heap (smallest on top) whose hole is at i. */
static void sift(uint64_t *heap, size_t n, size_t i, uint64_t key)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

void sg_key_sort(uint64_t *key, size_t n)
{
    if (n < 2)
        return;
    for (size_t i = n / 2; i-- > 0;)
        sift(key, n, i, key[i]);
    for (size_t end = n - 1; end > 0; end--) {
        const uint64_t last = key[end];

        key[end] = key[0];
        sift(key, end, 0, last);
    }
}
