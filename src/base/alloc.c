/* alloc.c - heap with a 64-byte header that keeps the size, so that realloc and the byte count work. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 64 };

static _Atomic uint64_t calls;
static _Atomic uint64_t fail_at;
static _Atomic int64_t live;

bool sg_mul(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool sg_add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

void *sg_alloc(size_t bytes)
{
    const uint64_t call = atomic_fetch_add(&calls, 1) + 1;
    const uint64_t fail = atomic_load(&fail_at);
    size_t total;
    char *p;

    if (fail && call == fail)
        return NULL;
    if (!sg_add(&total, bytes, 2 * HEADER - 1))
        return NULL;
    total &= ~(size_t)(HEADER - 1);
    p = aligned_alloc(HEADER, total);
    if (!p)
        return NULL;
    *(size_t *)(void *)p = bytes;
    atomic_fetch_add(&live, 1);
    return p + HEADER;
}

void *sg_alloc_array(size_t count, size_t each)
{
    size_t bytes;

    return sg_mul(&bytes, count, each) ? sg_alloc(bytes) : NULL;
}

void *sg_alloc_zero(size_t count, size_t each)
{
    void *p = sg_alloc_array(count, each);

    if (p)
        memset(p, 0, count * each);
    return p;
}

void *sg_realloc(void *p, size_t bytes)
{
    void *q = sg_alloc(bytes);

    if (!q || !p)
        return q;
    const size_t old = *(size_t *)(void *)((char *)p - HEADER);
    memcpy(q, p, old < bytes ? old : bytes);
    sg_free(p);
    return q;
}

void sg_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub(&live, 1);
    free((char *)p - HEADER);
}

char *sg_strndup(const char *s, size_t n)
{
    char *copy = sg_alloc(n + 1);

    if (copy) {
        memcpy(copy, s, n);
        copy[n] = 0;
    }
    return copy;
}

char *sg_strdup(const char *s)
{
    return sg_strndup(s, strlen(s));
}

bool sg_grow(void *array_ptr, size_t *cap, size_t need, size_t each)
{
    void *old, *grown;
    size_t want, bytes;

    if (need <= *cap)
        return true;
    want = *cap + *cap / 2 > need ? *cap + *cap / 2 : need;
    if (want < 16)
        want = 16;
    if (!sg_mul(&bytes, want, each))
        return false;
    memcpy(&old, array_ptr, sizeof old);
    grown = sg_realloc(old, bytes);
    if (!grown)
        return false;
    memcpy(array_ptr, &grown, sizeof grown);
    *cap = want;
    return true;
}

void sg_alloc_fail_at(uint64_t n)
{
    atomic_store(&fail_at, n ? atomic_load(&calls) + n : 0);
}

uint64_t sg_alloc_calls(void)
{
    return atomic_load(&calls);
}

int64_t sg_alloc_live(void)
{
    return atomic_load(&live);
}
