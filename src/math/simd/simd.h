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

/* Lanes in a fixed tree. */
static inline float sg_hsum(sg_vf v)
{
    float t[SG_LANES];

    sg_store(t, v);
    for (int n = SG_LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            t[i] += t[i + n];
    return t[0];
}

/* exp(x), within 1 ulp; 0 below -104, infinite above 88.73, NaN stays NaN.
 * x = k ln 2 + r, |r| <= ln 2 / 2: exp(r) by its series to r^7, then times 2^k in two factors so that results down to the
 * smallest denormal come out right. */
static inline sg_vf sg_vexp(sg_vf x)
{
    const float magic = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */
    sg_vf k, r, p;
    sg_vi n, half;

    x = sg_vmax(sg_splat(-104.0f), sg_vmin(sg_splat(89.0f), x));
    k = x * 0x1.715476p0f + magic;
    n = (sg_vi)k - (sg_vi)sg_splat(magic);
    k -= magic;
    r = x - k * 0x1.62e400p-1f;  /* ln 2, high part: k times it is exact */
    r = r - k * 0x1.7f7d1cp-20f; /* the rest */
    p = r * 0x1.a01a02p-13f + 0x1.6c16c2p-10f;
    p = p * r + 0x1.111112p-7f;
    p = p * r + 0x1.555556p-5f;
    p = p * r + 0x1.555556p-3f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    half = n >> 1;
    return p * (sg_vf)((half + 127) << 23) * (sg_vf)((n - half + 127) << 23);
}

#endif
