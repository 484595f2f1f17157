/* dispatch.c - which kernels this CPU runs, found out once. */
#include "math/kernels.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE_DECLARE(type, name, args)       type sg_k_##name##_base args;
#define AVX2_DECLARE(type, name, args)       type sg_k_##name##_avx2 args;
#define AVX512_DECLARE(type, name, args)     type sg_k_##name##_avx512 args;
#define AVX512BF16_DECLARE(type, name, args) type sg_k_##name##_avx512bf16 args;
#define BASE_ENTRY(type, name, args)         .name = sg_k_##name##_base,
#define AVX2_ENTRY(type, name, args)         .name = sg_k_##name##_avx2,
#define AVX512_ENTRY(type, name, args)       .name = sg_k_##name##_avx512,
#define AVX512BF16_ENTRY(type, name, args)   .name = sg_k_##name##_avx512bf16,

SG_KERNELS(BASE_DECLARE)
static const sg_kernels base_kernels = {SG_KERNELS(BASE_ENTRY)};
#if defined(__x86_64__)
SG_KERNELS(AVX2_DECLARE)
SG_KERNELS(AVX512_DECLARE)
SG_KERNELS(AVX512BF16_DECLARE)
static const sg_kernels avx2_kernels = {SG_KERNELS(AVX2_ENTRY)};
static const sg_kernels avx512_kernels = {SG_KERNELS(AVX512_ENTRY)};
static const sg_kernels avx512bf16_kernels = {SG_KERNELS(AVX512BF16_ENTRY)};
#endif

static const char *const isa_names[] = {"base", "avx2", "avx512", "avx512bf16"};

static sg_isa isa_of_cpu(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return __builtin_cpu_supports("avx512bf16") ? SG_ISA_AVX512BF16 : SG_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return SG_ISA_AVX2;
#endif
    return SG_ISA_BASE;
}

sg_isa sg_isa_best(void)
{
    static _Atomic int known = -1; /* the answer never changes: a race writes the same value */
    int isa = atomic_load_explicit(&known, memory_order_relaxed);

    if (isa < 0) {
        const char *wish = getenv("SEDGE_ISA");

        isa = (int)isa_of_cpu();
        for (int i = 0; wish && i < isa; i++)
            if (strcmp(wish, isa_names[i]) == 0)
                isa = i;
        atomic_store_explicit(&known, isa, memory_order_relaxed);
    }
    return (sg_isa)isa;
}

const char *sg_isa_name(sg_isa isa)
{
    return isa_names[isa];
}

const sg_kernels *sg_kernels_for(sg_isa isa)
{
    if (isa > isa_of_cpu())
        return NULL;
#if defined(__x86_64__)
    if (isa == SG_ISA_AVX512BF16)
        return &avx512bf16_kernels;
    if (isa == SG_ISA_AVX512)
        return &avx512_kernels;
    if (isa == SG_ISA_AVX2)
        return &avx2_kernels;
#endif
    return &base_kernels;
}

const sg_kernels *sg_kernels_best(void)
{
#if defined(__x86_64__)
    switch (sg_isa_best()) {
    case SG_ISA_AVX512BF16:
        return &avx512bf16_kernels;
    case SG_ISA_AVX512:
        return &avx512_kernels;
    case SG_ISA_AVX2:
        return &avx2_kernels;
    default:
        break;
    }
#endif
    return &base_kernels;
}

static void read_cpu_name(char *name, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(name, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon) {
            snprintf(name, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
            name[strcspn(name, "\n")] = 0;
            break;
        }
    }
    if (f)
        fclose(f);
}

const char *sg_cpu_name(void)
{
    static _Thread_local char name[128]; /* one a thread: no lock, and the pointer stays good */

    if (!name[0])
        read_cpu_name(name, sizeof name);
    return name;
}

float sg_dot(const float *x, const float *y, size_t n)
{
    return sg_kernels_best()->dot(x, y, n);
}

float sg_dist2(const float *x, const float *y, size_t n)
{
    return sg_kernels_best()->dist2(x, y, n);
}

void sg_axpy(float *y, float a, const float *x, size_t n)
{
    sg_kernels_best()->axpy(y, a, x, n);
}

void sg_exp_rows(float *y, const float *x, size_t n, float shift, float *sum)
{
    sg_kernels_best()->exp_rows(y, x, n, shift, sum);
}

float sg_max(const float *x, size_t n)
{
    return sg_kernels_best()->max(x, n);
}

float sg_sum_exp(float *top, const float *x, size_t n)
{
    return sg_kernels_best()->sum_exp(top, x, n);
}

size_t sg_above(uint32_t *index, const float *x, size_t n, float shift, float floor)
{
    return sg_kernels_best()->above(index, x, n, shift, floor);
}

double sg_total(const float *x, size_t n)
{
    return sg_kernels_best()->sum(x, n);
}

double sg_total_sq(const float *x, size_t n)
{
    return sg_kernels_best()->sum_sq(x, n);
}
