/* attend_rows.c - attention of each row to a few rows of a cache named by number (math/attention.h: sg_attend_rows). */
#include "math/simd/tile.h"

#include "math/attention.h"

#include <assert.h>
#include <math.h>

static float dot_n(const float *x, const float *y, size_t n)
{
    sg_vf sum = {0};
    size_t i = 0;

    for (; i + SG_LANES <= n; i += SG_LANES)
        sum += sg_load(x + i) * sg_load(y + i);
    if (i < n)
        sum += sg_load_n(x + i, n - i) * sg_load_n(y + i, n - i);
    return sg_hsum(sum);
}

/* s (len, room for whole vectors) becomes the softmax of itself */
static void softmax_n(float *s, size_t len)
{
    sg_vf top, sum = {0};
    float most;

    for (size_t t = len; t % SG_LANES; t++)
        s[t] = -INFINITY;
    top = sg_load(s);
    for (size_t t = SG_LANES; t < len; t += SG_LANES)
        top = sg_vmax(sg_load(s + t), top);
    most = sg_hmax(top);
    for (size_t t = 0; t < len; t += SG_LANES) {
        const sg_vf e = tile_exp(sg_load(s + t) - most);

        sum += e;
        sg_store(s + t, e);
    }
    most = 1 / sg_hsum(sum);
    for (size_t t = 0; t < len; t += SG_LANES)
        sg_store(s + t, sg_load(s + t) * most);
}

void SG_KERNEL(attend_rows)(float *out, const float *q, int n, int heads, int dh, float scale, const float *k,
                            const float *v, const int32_t *row, int len, const float *bias)
{
    const size_t width = (size_t)dh, ld = (size_t)heads * width, keys = (size_t)len;
    float s[SG_ATTEND_ROWS_MOST];

    assert(len > 0 && len <= SG_ATTEND_ROWS_MOST);
    for (int r = 0; r < n; r++, q += ld, out += ld, row += len)
        for (size_t h = 0; h < (size_t)heads; h++) {
            const float *kh = k + h * width, *vh = v + h * width;
            float *to = out + h * width;
            size_t d = 0;

            for (size_t t = 0; t < keys; t++)
                s[t] = scale * dot_n(q + h * width, kh + (size_t)row[t] * ld, width) +
                       (bias ? bias[h * keys + t] : 0);
            softmax_n(s, keys);
            for (; d + SG_LANES <= width; d += SG_LANES) {
                sg_vf sum = {0};

                for (size_t t = 0; t < keys; t++)
                    sum += s[t] * sg_load(vh + (size_t)row[t] * ld + d);
                sg_store(to + d, sum);
            }
            for (; d < width; d++) {
                float sum = 0;

                for (size_t t = 0; t < keys; t++)
                    sum += s[t] * vh[(size_t)row[t] * ld + d];
                to[d] = sum;
            }
        }
}
