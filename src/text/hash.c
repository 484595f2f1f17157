/* hash.c - radix sort, least significant byte first; bytes that are equal everywhere cost one look. */
#include "text/hash.h"

#include <string.h>

void sg_hash_sort(uint64_t *key, uint64_t *scratch, size_t n, int bit)
{
    uint64_t *from = key, *to = scratch;
    uint64_t ones = 0, zeros = 0;

    for (size_t i = 0; i < n; i++) {
        ones |= key[i];
        zeros |= ~key[i];
    }
    for (int shift = bit; shift < 64; shift += 8) {
        size_t at[256] = {0}, sum = 0;

        if (!((ones & zeros) >> shift & 255))
            continue;
        for (size_t i = 0; i < n; i++)
            at[from[i] >> shift & 255]++;
        for (int b = 0; b < 256; b++) {
            const size_t count = at[b];

            at[b] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            to[at[from[i] >> shift & 255]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != key)
        memcpy(key, from, n * sizeof *key);
}
