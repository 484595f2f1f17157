/* simd.h - vectors of the instruction set this file is being compiled for, by the compilers' vector extensions.
 *
 * A kernel is written once, for SG_LANES floats; its name gets the set's suffix by SG_KERNEL(name). */
#ifndef SG_MATH_SIMD_H
#define SG_MATH_SIMD_H

#include "math/kernels.h"

#include <stdint.h>
#include <string.h>

#define SG_PASTE_(a, b, c) a##b##_##c
#define SG_PASTE(a, b, c)  SG_PASTE_(a, b, c)
#define SG_KERNEL(name)    SG_PASTE(sg_k_, name, SG_ISA)

#define SG_KERNEL_DECLARE(type, name, args) type SG_KERNEL(name) args;
SG_KERNELS(SG_KERNEL_DECLARE)

#if defined(__AVX512F__)
enum { SG_LANES = 16 };
#elif defined(__AVX2__)
enum { SG_LANES = 8 };
#else
enum { SG_LANES = 4 };
#endif

typedef float sg_vf __attribute__((vector_size(4 * SG_LANES)));
typedef int32_t sg_vi __attribute__((vector_size(4 * SG_LANES)));
typedef uint32_t sg_vu __attribute__((vector_size(4 * SG_LANES)));
typedef double sg_vd __attribute__((vector_size(4 * SG_LANES))); /* half as many */
typedef float sg_vf_any __attribute__((vector_size(4 * SG_LANES), aligned(4), may_alias));
typedef float sg_vh_any __attribute__((vector_size(2 * SG_LANES), aligned(4), may_alias));

static inline sg_vf sg_load(const float *p)
{
    return *(const sg_vf_any *)(const void *)p;
}

static inline void sg_store(float *p, sg_vf v)
{
    *(sg_vf_any *)(void *)p = v;
}

static inline sg_vf sg_splat(float x)
{
    return x - (sg_vf){0};
}

/* The first n < SG_LANES numbers; the rest are 0. */
static inline sg_vf sg_load_n(const float *p, size_t n)
{
    float t[SG_LANES] = {0};

    memcpy(t, p, n * sizeof *p);
    return sg_load(t);
}

static inline void sg_store_n(float *p, sg_vf v, size_t n)
{
    float t[SG_LANES];

    sg_store(t, v);
    memcpy(p, t, n * sizeof *p);
}

/* m ? a : b, m being all ones or all zeros in each lane, as comparisons give it */
static inline sg_vf sg_pick(sg_vi m, sg_vf a, sg_vf b)
{
    return (sg_vf)((m & (sg_vi)a) | (~m & (sg_vi)b));
}

static inline sg_vf sg_vmin(sg_vf a, sg_vf b) /* b when either is NaN */
{
    return sg_pick(a < b, a, b);
}

static inline sg_vf sg_vmax(sg_vf a, sg_vf b)
{
    return sg_pick(a > b, a, b);
}

/* x with its upper half (of n lanes) moved down; what is above n / 2 does not matter. */
#if defined(__AVX512F__)
#define SG_UPPER8(x) __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)
#define SG_UPPER4(x) __builtin_shufflevector(x, x, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7)
#define SG_UPPER2(x) __builtin_shufflevector(x, x, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3)
#elif defined(__AVX2__)
#define SG_UPPER4(x) __builtin_shufflevector(x, x, 4, 5, 6, 7, 4, 5, 6, 7)
#define SG_UPPER2(x) __builtin_shufflevector(x, x, 2, 3, 2, 3, 2, 3, 2, 3)
#else
#define SG_UPPER2(x) __builtin_shufflevector(x, x, 2, 3, 2, 3)
#endif

/* Lanes in a fixed tree. */
static inline float sg_hsum(sg_vf v)
{
#if defined(__AVX512F__)
    v += SG_UPPER8(v);
#endif
#if defined(__AVX2__)
    v += SG_UPPER4(v);
#endif
    v += SG_UPPER2(v);
    return v[0] + v[1];
}

static inline float sg_hmax(sg_vf v) /* NaN are passed over when they can be */
{
#if defined(__AVX512F__)
    v = sg_vmax(SG_UPPER8(v), v);
#endif
#if defined(__AVX2__)
    v = sg_vmax(SG_UPPER4(v), v);
#endif
    v = sg_vmax(SG_UPPER2(v), v);
    return v[0] > v[1] ? v[0] : v[1];
}

/* x = k ln 2 + r with |r| <= ln 2 / 2; returns r, and k as a float. */
static inline sg_vf sg_reduce_exp(sg_vf x, sg_vf *k)
{
    const float magic = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */

    *k = (x * 0x1.715476p0f + magic) - magic;
    x -= *k * 0x1.62e400p-1f;        /* ln 2, high part: k times it is exact */
    return x - *k * 0x1.7f7d1cp-20f; /* the rest */
}

static inline sg_vf sg_power2(sg_vi k) /* 2^k, k in -126..127 */
{
    return (sg_vf)((k + 127) << 23);
}

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2: near-minimax, 3e-9 of exp(r) */
static inline sg_vf sg_exp_tail(sg_vf r)
{
    sg_vf p = r * 0x1.6a2430p-10f + 0x1.1239e4p-7f;

    p = p * r + 0x1.5558f2p-5f;
    p = p * r + 0x1.555492p-3f;
    return p * r + 0x1.fffffcp-2f;
}

/* exp(x), within 1 ulp; 0 below -104, infinite above 88.73, NaN stays NaN. 2^k goes in as two factors, so that results
 * down to the smallest denormal come out right. */
static inline sg_vf sg_vexp(sg_vf x)
{
    sg_vf k, r;
    sg_vi n, half;

    x = sg_vmax(sg_splat(-104.0f), sg_vmin(sg_splat(89.0f), x));
    r = sg_reduce_exp(x, &k);
    n = __builtin_convertvector(k, sg_vi);
    half = n >> 1;
    return (sg_exp_tail(r) * r * r + r + 1.0f) * sg_power2(half) * sg_power2(n - half);
}

/* exp(x) - 1 for 0 <= x <= 40, small x with full relative precision */
static inline sg_vf sg_vexpm1(sg_vf x)
{
    sg_vf k, r, p, scale;

    r = sg_reduce_exp(x, &k);
    p = sg_exp_tail(r) * r * r + r;
    scale = sg_power2(__builtin_convertvector(k, sg_vi));
    return p * scale + (scale - 1.0f);
}

static inline sg_vf sg_vabs(sg_vf x)
{
    return (sg_vf)((sg_vi)x & 0x7fffffff);
}

static inline sg_vf sg_vsign(sg_vf size, sg_vf like) /* size >= 0 with the sign of like */
{
    return (sg_vf)((sg_vi)size | ((sg_vi)like & INT32_MIN));
}

#endif
