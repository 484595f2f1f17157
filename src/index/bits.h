/* bits.h - rank, select and packed integers over 64-bit words, for the prefix index. */
#ifndef SG_INDEX_BITS_H
#define SG_INDEX_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_BYTE_ONES UINT64_C(0x0101010101010101)

/* Byte i of the result: set bits in bytes 0 .. i. Works without a popcount instruction. */
static inline uint64_t sg_bits_byte_sums(uint64_t w)
{
    w -= (w >> 1) & UINT64_C(0x5555555555555555);
    w = (w & UINT64_C(0x3333333333333333)) + ((w >> 2) & UINT64_C(0x3333333333333333));
    w = (w + (w >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return w * SG_BYTE_ONES;
}

static inline uint32_t sg_bits_count(uint64_t w)
{
    return (uint32_t)(sg_bits_byte_sums(w) >> 56);
}

static inline bool sg_bits_get(const uint64_t *bits, size_t i)
{
    return bits[i >> 6] >> (i & 63) & 1;
}

static inline void sg_bits_set(uint64_t *bits, size_t i)
{
    bits[i >> 6] |= UINT64_C(1) << (i & 63);
}

/* Place of set bit number r (from 0) of w; w has more than r. */
static inline uint32_t sg_bits_select_word(uint64_t w, uint32_t r)
{
    const uint64_t sums = sg_bits_byte_sums(w);
    const uint64_t reached = ((sums | SG_BYTE_ONES << 7) - SG_BYTE_ONES * (r + 1)) & SG_BYTE_ONES << 7;
    const uint32_t shift = (uint32_t)__builtin_ctzll(reached) & ~7u;
    uint64_t byte = w >> shift;

    for (r -= (uint32_t)(sums << 8 >> shift) & 0xff; r > 0; r--)
        byte &= byte - 1;
    return shift + (uint32_t)__builtin_ctzll(byte);
}

/* Place of the r-th (from 0) set bit at or after bit `from`; the words hold that many. */
static inline size_t sg_bits_select(const uint64_t *bits, size_t from, uint32_t r)
{
    size_t i = from >> 6;
    uint64_t w = bits[i] & ~UINT64_C(0) << (from & 63);

    for (uint32_t here; r >= (here = sg_bits_count(w)); w = bits[++i])
        r -= here;
    return (i << 6) + sg_bits_select_word(w, r);
}

/* Set bits in begin .. end-1. */
static inline uint32_t sg_bits_rank(const uint64_t *bits, size_t begin, size_t end)
{
    uint32_t n = 0;

    for (size_t i = begin >> 6; i << 6 < end; i++) {
        uint64_t w = bits[i];

        if (i == begin >> 6)
            w &= ~UINT64_C(0) << (begin & 63);
        if (end - (i << 6) < 64)
            w &= (UINT64_C(1) << (end & 63)) - 1;
        n += sg_bits_count(w);
    }
    return n;
}

static inline bool sg_bits_any(const uint64_t *bits, size_t begin, size_t end)
{
    for (size_t i = begin >> 6; i << 6 < end; i++) {
        uint64_t w = bits[i];

        if (i == begin >> 6)
            w &= ~UINT64_C(0) << (begin & 63);
        if (end - (i << 6) < 64)
            w &= (UINT64_C(1) << (end & 63)) - 1;
        if (w)
            return true;
    }
    return false;
}

/* Integers of `width` (1 .. 32) bits, one after the other; one word more than needed lies at the end, so that a number
 * is always read from two neighbours. */
static inline size_t sg_packed_words(size_t n, int width)
{
    return n * (size_t)width / 64 + 2;
}

static inline uint32_t sg_packed_get(const uint64_t *words, int width, size_t i)
{
    const size_t bit = i * (size_t)width;
    const uint64_t *w = words + (bit >> 6);
    const int shift = (int)(bit & 63);
    const uint64_t v = w[0] >> shift | w[1] << 1 << (63 - shift);

    return (uint32_t)(v & ((UINT64_C(1) << width) - 1));
}

/* Into zeroed words, each place once. */
static inline void sg_packed_put(uint64_t *words, int width, size_t i, uint32_t value)
{
    const size_t bit = i * (size_t)width;
    uint64_t *w = words + (bit >> 6);
    const int shift = (int)(bit & 63);

    w[0] |= (uint64_t)value << shift;
    w[1] |= (uint64_t)value >> 1 >> (63 - shift);
}

#endif
