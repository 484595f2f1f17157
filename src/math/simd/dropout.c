/* dropout.c - y = (r or 0) + keep * x where the mask keeps x. The mask costs one 32-bit hash for two numbers.
 *
 * Numbers are taken in blocks of 32. In block b, word j (0..15) is a hash of (key, 16 b + j); its low half decides on
 * number j of the block, its high half on number 16 + j: the same mask for every vector width. The hash is two
 * multiply-xorshift rounds, with the second half of the key put in between so that keys do not merely permute words. */
#include "math/simd/simd.h"

enum { BLOCK = 32 };

static void draw(uint32_t *word, uint64_t key, uint64_t block)
{
    const uint32_t k0 = (uint32_t)key + (uint32_t)(block >> 28) * 0x9e3779b9u, k1 = (uint32_t)(key >> 32);
    const uint32_t first = (uint32_t)block * 16;

    for (uint32_t j = 0; j < 16; j++) {
        uint32_t h = (first + j) ^ k0;

        h = (h ^ (h >> 16)) * 0x7feb352du;
        h = ((h ^ (h >> 15)) + k1) * 0x846ca68bu;
        h = (h ^ (h >> 16)) * 0x9e3779b1u;
        word[j] = h ^ (h >> 15);
    }
}

static void apply(float *y, const float *x, const float *r, const uint32_t *word, size_t from, size_t to, const sg_drop *drop)
{
    for (size_t i = from; i < to; i++) {
        const uint32_t u = i < 16 ? word[i] & 0xffff : word[i - 16] >> 16;
        const float kept = u < drop->below ? 0.0f : drop->keep * x[i];

        y[i] = r ? r[i] + kept : kept;
    }
}

static void apply_block(float *y, const float *x, const uint32_t *word, uint32_t below, float keep)
{
    for (int i = 0; i < 16; i++)
        y[i] = (word[i] & 0xffff) < below ? 0.0f : keep * x[i];
    for (int i = 0; i < 16; i++)
        y[16 + i] = (word[i] >> 16) < below ? 0.0f : keep * x[16 + i];
}

static void add_block(float *y, const float *x, const float *r, const uint32_t *word, uint32_t below, float keep)
{
    for (int i = 0; i < 16; i++)
        y[i] = r[i] + ((word[i] & 0xffff) < below ? 0.0f : keep * x[i]);
    for (int i = 0; i < 16; i++)
        y[16 + i] = r[16 + i] + ((word[i] >> 16) < below ? 0.0f : keep * x[16 + i]);
}

/* Numbers first .. first + n - 1 of the mask; x, y, r point at number `first`. */
void SG_KERNEL(dropout)(float *y, const float *x, const float *r, size_t first, size_t n, const sg_drop *drop)
{
    uint32_t word[16];

    for (size_t i = 0; i < n;) {
        const size_t from = (first + i) % BLOCK;
        const size_t m = BLOCK - from < n - i ? BLOCK - from : n - i;

        draw(word, drop->key, (first + i) / BLOCK);
        if (m < BLOCK)
            apply(y + i - from, x + i - from, r ? r + i - from : r, word, from, from + m, drop);
        else if (r)
            add_block(y + i, x + i, r + i, word, drop->below, drop->keep);
        else
            apply_block(y + i, x + i, word, drop->below, drop->keep);
        i += m;
    }
}
