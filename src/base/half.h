/* half.h - bits of smaller floats to f32, exact. */
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

#endif
