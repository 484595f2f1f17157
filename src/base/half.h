/* half.h - bits of smaller floats to f32, exact, and back, rounded. */
#ifndef SG_BASE_HALF_H
#define SG_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float sg_bf16_to_f32(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;

    memcpy(&x, &wide, sizeof x);
    return x;
}

static inline float sg_f16_to_f32(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    uint32_t wide;
    float x;

    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact in f32 */
        x = (float)fraction * 0x1p-24f;
        return sign ? -x : x;
    }
    wide = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    memcpy(&x, &wide, sizeof x);
    return x;
}

/* To the nearest, ties to even; beyond the largest: infinity. */
static inline uint16_t sg_f32_to_f16(float x)
{
    uint32_t bits, sign, low, shift = 13;

    memcpy(&bits, &x, sizeof bits);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (bits >= 0x47800000)
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) { /* below 2^-14: subnormal */
        const uint32_t exponent = bits >> 23;

        if (exponent < 102)
            return (uint16_t)sign;
        shift = 126 - exponent;
        bits = (bits & 0x7fffff) | 0x800000;
    } else {
        bits -= (uint32_t)112 << 23;
    }
    low = bits & (((uint32_t)1 << shift) - 1);
    bits >>= shift;
    bits += low > (uint32_t)1 << (shift - 1) || (low == (uint32_t)1 << (shift - 1) && (bits & 1));
    return (uint16_t)(sign | bits);
}

#endif
