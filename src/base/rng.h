/* rng.h - random numbers as a function of (seed, stream, a, b): same place, same number, in any order, on any thread.
 *
 * The mixer is two rounds of the splitmix64 finaliser over the four words. Good enough to pass the frequency and
 * serial tests in tests/unit/rng.c; not for cryptography. */
#ifndef SG_BASE_RNG_H
#define SG_BASE_RNG_H

#include <stdint.h>

typedef enum sg_rng_stream {
    SG_RNG_INIT = 1,
    SG_RNG_DROPOUT,
    SG_RNG_SHUFFLE,
    SG_RNG_NEGATIVE,
    SG_RNG_KMEANS,
    SG_RNG_SVD,
    SG_RNG_SYNTH,
    SG_RNG_BOOTSTRAP,
    SG_RNG_SAMPLE,
    SG_RNG_TEST,
    SG_RNG_COLD,
    SG_RNG_USER = 1000, /* first free number for models */
} sg_rng_stream;

__extension__ typedef unsigned __int128 sg_u128;

static inline uint64_t sg_rng_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t sg_rng_u64(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    const uint64_t key = sg_rng_mix(seed + 0x9e3779b97f4a7c15u * (stream + 1)) + a * 0xd1342543de82ef95u;

    return sg_rng_mix(sg_rng_mix(key + 0x9e3779b97f4a7c15u) ^
                      (b * 0xaf251af3b0f025b5u + 0x9e3779b97f4a7c15u));
}

/* uniform in [0, 1), 24 bits */
static inline float sg_rng_float(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    return (float)(sg_rng_u64(seed, stream, a, b) >> 40) * 0x1p-24f;
}

/* uniform in [0, 1), 53 bits */
static inline double sg_rng_double(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    return (double)(sg_rng_u64(seed, stream, a, b) >> 11) * 0x1p-53;
}

/* uniform in 0 .. n-1, n >= 1 (multiply-high; bias below n / 2^64) */
static inline uint64_t sg_rng_below(uint64_t n, uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    return (uint64_t)(((sg_u128)sg_rng_u64(seed, stream, a, b) * n) >> 64);
}

double sg_rng_normal(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b); /* N(0, 1), Box-Muller */

/* Fisher-Yates over 0 .. n-1 in index, reproducible from (seed, stream, a). */
void sg_rng_permutation(uint32_t *index, uint32_t n, uint64_t seed, uint32_t stream, uint64_t a);

#endif
