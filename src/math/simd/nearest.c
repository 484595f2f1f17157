/* nearest.c - which centre is nearest: the least of norm[i] - 2 dot[i] over i < n, ties by lower index; n >= 1.
 *
 * With norm = |c|^2 and dot = x . c this is |x - c|^2 - |x|^2. NaN never wins; when all are NaN the result is 0. */
#include "math/simd/simd.h"

#include <math.h>

size_t SG_KERNEL(nearest)(const float *dot, const float *norm, size_t n, float *least)
{
    sg_vf best = sg_splat(INFINITY);
    sg_vi at = {0}, index = {0};
    float value[SG_LANES], result = INFINITY;
    int32_t where[SG_LANES];
    size_t i = 0, chosen = 0;

    for (int j = 0; j < SG_LANES; j++)
        index[j] = j;
    for (; i + SG_LANES <= n; i += SG_LANES) {
        const sg_vf x = sg_load(norm + i) - 2 * sg_load(dot + i);
        const sg_vi less = x < best;

        best = sg_pick(less, x, best);
        at = (less & index) | (~less & at);
        index += SG_LANES;
    }
    sg_store(value, best);
    memcpy(where, &at, sizeof where);
    for (int j = 0; j < SG_LANES; j++)
        if (value[j] < result || (value[j] == result && (size_t)where[j] < chosen)) {
            result = value[j];
            chosen = (size_t)where[j];
        }
    for (; i < n; i++) {
        const float x = norm[i] - 2 * dot[i];

        if (x < result) {
            result = x;
            chosen = i;
        }
    }
    *least = result;
    return chosen;
}
