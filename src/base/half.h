/* half.h - bits of smaller floats to f32, exact, and to f16, to the nearest (ties to even). */
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
    uint32_t wide;

    memcpy(&wide, &x, sizeof wide);
    const uint32_t sign = wide >> 16 & 0x8000, rest = wide & 0x7fffffff;
    if (rest > 0x7f800000) /* NaN */
        return (uint16_t)(sign | 0x7e00);
    if (rest >= 0x477ff000) /* from halfway between the largest and 65536 on: infinity */
        return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) { /* below 2^-14: a multiple of 2^-24, rounded by an addition */
        float y;

        memcpy(&y, &rest, sizeof y);
        y += 0.5f; /* the step of numbers from 0.5 on is 2^-24 */
        memcpy(&wide, &y, sizeof wide);
        return (uint16_t)(sign | (wide - 0x3f000000));
    }
    return (uint16_t)(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
}

/* The finite f16 number that is x; 0: there is none. */
static inline int sg_f16_is(uint16_t *bits, float x)
{
    float back;

    *bits = sg_f32_to_f16(x);
    back = sg_f16_to_f32(*bits);
    return (*bits & 0x7c00) != 0x7c00 && memcmp(&back, &x, sizeof x) == 0;
}

#endif
