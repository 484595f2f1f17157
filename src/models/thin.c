/* thin.c - how much of a history is read, and which part of it.
 *
 * Drawing without replacement by weights w_i is keeping the largest u_i^(1/w_i).   [Efraimidis & Spirakis
 * 2006] */
#include "models/thin.h"

#include "base/rng.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

int sg_thin_length(int n, int longest, double alpha, double u)
{
    const double all = pow(longest, alpha), part = sqrt(all);

    return n <= part || u < all / ((double)n * n) ? n : (int)part;
}

static double age(const int64_t *time, int n, int i)
{
    return time ? (double)time[n - 1] - (double)time[i] : n - 1 - i;
}

void sg_thin_places(int32_t *place, int keep, const int64_t *time, int n, float *key, uint64_t seed,
                    uint64_t draw)
{
    float *most = key + n;
    double total = 0;
    int at = 0;

    for (int i = 0; i < n; i++)
        total += age(time, n, i);
    for (int i = 0; i < n; i++) {
        const double weight = total > 0 ? 1 - age(time, n, i) / total : 1;
        const double u = ((double)(sg_rng_u64(seed, SG_RNG_SAMPLE, draw, (uint64_t)i) >> 11) + 0.5) * 0x1p-53;

        key[i] = (float)(log(u) / fmax(weight, 1e-12));
    }
    sg_topk(place, most, (size_t)keep, key, (size_t)n);
    memset(key, 0, (size_t)n * sizeof *key); /* now: is it kept */
    for (int i = 0; i < keep; i++)
        key[place[i]] = 1;
    for (int i = 0; i < n; i++)
        if (key[i] > 0)
            place[at++] = i;
}
