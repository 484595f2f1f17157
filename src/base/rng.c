/* rng.c - the draws that are too long to be inline. */
#include "base/rng.h"

#include <math.h>

double sg_rng_normal(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    const double u = 1.0 - sg_rng_double(seed, stream, a, 2 * b); /* (0, 1] */
    const double v = sg_rng_double(seed, stream, a, 2 * b + 1);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

void sg_rng_permutation(uint32_t *index, uint32_t n, uint64_t seed, uint32_t stream, uint64_t a)
{
    for (uint32_t i = 0; i < n; i++)
        index[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        const uint32_t j = (uint32_t)sg_rng_below(i, seed, stream, a, i);
        const uint32_t swap = index[i - 1];

        index[i - 1] = index[j];
        index[j] = swap;
    }
}
