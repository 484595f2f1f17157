/* dropout.c - y = (r or 0) + keep * x where the mask keeps x. The mask costs one 32-bit hash for two numbers.
 *
 * Numbers are taken in blocks of 32. In block b, word j (0..15) is a hash of (key, 16 b + j); its low half decides on
 * number j of the block, its high half on number 16 + j: the same mask for every vector width. The hash is two
 * xorshift-multiply rounds with the second half of the key put in between, so that keys do not merely permute words. */
#include "math/simd/simd.h"

enum { BLOCK = 32 };

/* Words first .. first + SG_LANES - 1 of a block. */
static inline sg_vu draw(const sg_drop *drop, uint64_t block, uint32_t first)
{
    static const uint32_t steps[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint32_t k0 = (uint32_t)drop->key + (uint32_t)(block >> 28) * 0x9e3779b9u,
                   k1 = (uint32_t)(drop->key >> 32);
    sg_vu h;

    memcpy(&h, steps, sizeof h);
    h = (h + ((uint32_t)block * 16 + first)) ^ k0;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = ((h ^ (h >> 15)) + k1) * 0x846ca68bu;
    return h ^ (h >> 16);
}

static inline sg_vf kept(sg_vu u, const sg_drop *drop, sg_vf x)
{
    const sg_vi keep = (sg_vi)(u >= drop->below);

    return (sg_vf)(keep & (sg_vi)(x * drop->keep));
}

/* One whole block. add: r is there. */
static inline void whole(float *y, const float *x, const float *r, uint64_t block, const sg_drop *drop,
                         bool add)
{
    for (uint32_t j = 0; j < 16; j += SG_LANES) {
        const sg_vu h = draw(drop, block, j);
        const sg_vf low = kept(h & 0xffff, drop, sg_load(x + j)),
                    high = kept(h >> 16, drop, sg_load(x + 16 + j));

        sg_store(y + j, add ? sg_load(r + j) + low : low);
        sg_store(y + 16 + j, add ? sg_load(r + 16 + j) + high : high);
    }
}

/* Numbers from .. to of a block; x, y, r point at number `from`. */
static void part(float *y, const float *x, const float *r, uint64_t block, size_t from, size_t to,
                 const sg_drop *drop)
{
    float in[BLOCK] = {0}, add[BLOCK] = {0}, out[BLOCK];

    memcpy(in + from, x, (to - from) * sizeof *x);
    if (r)
        memcpy(add + from, r, (to - from) * sizeof *r);
    whole(out, in, add, block, drop, r != NULL);
    memcpy(y, out + from, (to - from) * sizeof *y);
}

/* Numbers first .. first + n - 1 of the mask; x, y, r point at number `first`. */
void SG_KERNEL(dropout)(float *y, const float *x, const float *r, size_t first, size_t n, const sg_drop *drop)
{
    for (size_t i = 0; i < n;) {
        const size_t from = (first + i) % BLOCK, m = BLOCK - from < n - i ? BLOCK - from : n - i;
        const uint64_t block = (first + i) / BLOCK;

        if (m < BLOCK)
            part(y + i, x + i, r ? r + i : NULL, block, from, from + m, drop);
        else if (r)
            whole(y + i, x + i, r + i, block, drop, true);
        else
            whole(y + i, x + i, NULL, block, drop, false);
        i += m;
    }
}
