/* hash.h - 64-bit names of n-grams and cells. Two different n-grams share one with probability n^2 / 2^65: for a hundred
 * million of them 3e-4, and all that would happen is that the two count as one feature. */
#ifndef SG_TEXT_HASH_H
#define SG_TEXT_HASH_H

#include "base/rng.h"

#include <stddef.h>
#include <stdint.h>

static inline uint64_t sg_hash_step(uint64_t h, uint64_t c)
{
    h = (h ^ c) * 0x9fb21c651e98df25u;
    return h ^ (h >> 29);
}

static inline uint64_t sg_hash_end(uint64_t h, uint64_t kind)
{
    return sg_rng_mix(h + kind * 0x9e3779b97f4a7c15u);
}

static inline uint64_t sg_hash_bytes(const char *s, size_t n, uint64_t kind)
{
    uint64_t h = n;

    for (size_t i = 0; i < n; i++)
        h = sg_hash_step(h, (unsigned char)s[i]);
    return sg_hash_end(h, kind);
}

/* Ascending by the bits from `bit` (a multiple of 8) up, stable, in place; scratch (n). */
void sg_hash_sort(uint64_t *key, uint64_t *scratch, size_t n, int bit);

#endif
