/* select.h - the best of many (score, number) pairs as 64-bit keys: a larger key is a better pair. */
#ifndef SG_DECODE_SELECT_H
#define SG_DECODE_SELECT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Orders by score, then by lower number. score is not NaN; both zeros are one. */
static inline uint64_t sg_key(float score, uint32_t number)
{
    uint32_t u;

    score += 0.0f;
    memcpy(&u, &score, sizeof u);
    u ^= u >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t)u << 32 | (0xffffffffu - number);
}

static inline uint32_t sg_key_number(uint64_t key)
{
    return 0xffffffffu - (uint32_t)key;
}

static inline float sg_key_score(uint64_t key)
{
    uint32_t u = (uint32_t)(key >> 32);
    float score;

    u ^= u >> 31 ? 0x80000000u : 0xffffffffu;
    memcpy(&score, &u, sizeof score);
    return score;
}

/* The k-th largest of n different keys, 1 <= k <= n; spare (n) is scratch. Time n at worst 8 times, whatever the order. */
uint64_t sg_key_nth(const uint64_t *key, size_t n, size_t k, uint64_t *spare);
/* Keeps the k >= 1 largest, in the order they stand, and returns how many are left; *least: the smallest kept (0 when nothing
 * was dropped). spare (n). */
size_t sg_key_keep(uint64_t *key, size_t n, size_t k, uint64_t *spare, uint64_t *least);
void sg_key_sort(uint64_t *key, size_t n); /* largest first */

#endif
