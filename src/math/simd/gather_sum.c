/* gather_sum.c - one row of a sparse matrix times a panel of SG_PANEL columns: y = sum over k of value[k] * x[index[k]].
 *
 * x is (rows, SG_PANEL), y is (SG_PANEL). A panel row is one cache line; four running sums hide the latency of the
 * multiply-add, and are joined in a fixed order. */
#include "math/simd/simd.h"

enum { VECTORS = SG_PANEL / SG_LANES };

void SG_KERNEL(gather_sum)(float *y, const float *x, const int32_t *index, const float *value, size_t n)
{
    sg_vf sum[4][VECTORS] = {0};
    size_t k = 0;

    for (; k + 4 <= n; k += 4)
        for (size_t j = 0; j < 4; j++)
            for (int v = 0; v < VECTORS; v++)
                sum[j][v] += value[k + j] * sg_load(x + (size_t)index[k + j] * SG_PANEL + v * SG_LANES);
    for (size_t j = 0; k < n; k++, j++)
        for (int v = 0; v < VECTORS; v++)
            sum[j][v] += value[k] * sg_load(x + (size_t)index[k] * SG_PANEL + v * SG_LANES);
    for (int v = 0; v < VECTORS; v++)
        sg_store(y + v * SG_LANES, (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]));
}
