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

/* The f16 number that is x; false: there is none. */
static inline int sg_f16_is(uint16_t *bits, float x)
{
    uint32_t wide;
    float back;

    memcpy(&wide, &x, sizeof wide);
    const uint32_t sign = wide >> 16 & 0x8000, exponent = wide >> 23 & 255;

    if (exponent >= 255 - 112)
        return 0;
    if (exponent > 112)
        *bits = (uint16_t)(sign | (exponent - 112) << 10 | (wide >> 13 & 1023));
    else
        *bits = (uint16_t)(sign | (uint32_t)((x < 0 ? -x : x) * 0x1p24f)); /* below 2^-14: at most 1023 units */
    back = sg_f16_to_f32(*bits);
    return memcmp(&back, &x, sizeof x) == 0;
}

#endif
