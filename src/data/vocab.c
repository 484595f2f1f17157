/* vocab.c - open addressing with linear probing; a slot keeps 32 bits of the hash beside the number, so that a string is
 * compared about once per look-up and the table grows without hashing again. */
#include "data/vocab.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <assert.h>
#include <string.h>
#include <time.h>

typedef struct slot {
    uint32_t tag;   /* low half of the hash: also the place in tables of up to 2^32 slots */
    int32_t number; /* -1: free */
} slot;

struct sg_vocab {
    slot *slots; /* owned: size is a power of two, at least 4/3 of the count */
    size_t size;
    uint64_t
        seed; /* drawn anew every time, so that no file can be made to collide; numbers do not depend on it */
    sg_strings strings;
    bool borrowed;
    char *bytes; /* owned unless borrowed; strings.bytes and offsets look at these */
    int64_t *offsets;
    size_t bytes_cap, offsets_cap;
};

static uint64_t fold(uint64_t a, uint64_t b)
{
    const sg_u128 m = (sg_u128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t load(const char *p, size_t n)
{
    uint64_t x = 0;

    memcpy(&x, p, n);
    return x;
}

static uint32_t hash(sg_bytes s, uint64_t seed)
{
    const char *p = s.data;
    size_t n = s.size;
    uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15u);

    for (; n > 16; n -= 16, p += 16)
        h = fold(h ^ load(p, 8), load(p + 8, 8) ^ 0xa0761d6478bd642fu);
    if (n >= 8)
        h = fold(h ^ load(p, 8), load(p + n - 8, 8) ^ 0xe7037ed1a0b428dbu);
    else if (n >= 4)
        h = fold(h ^ load(p, 4), load(p + n - 4, 4) ^ 0x8ebc6af09c88c6e3u);
    else if (n)
        h = fold(h ^ (load(p, 1) | load(p + n / 2, 1) << 8 | load(p + n - 1, 1) << 16), 0x589965cc75374cc3u);
    return (uint32_t)(sg_rng_mix(h) >> 32);
}

static bool same(sg_bytes a, sg_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The slot of the string or the free one where it belongs. */
static size_t probe(const sg_vocab *v, sg_bytes s, uint32_t tag)
{
    size_t i = tag & (v->size - 1);

    while (v->slots[i].number >= 0 &&
           (v->slots[i].tag != tag || !same(sg_strings_at(&v->strings, (size_t)v->slots[i].number), s)))
        i = (i + 1) & (v->size - 1);
    return i;
}

static bool resize(sg_vocab *v, size_t size)
{
    slot *slots = sg_alloc_array(size, sizeof *slots);

    if (!slots)
        return false;
    memset(slots, 0xff, size * sizeof *slots);
    for (size_t k = 0; k < v->size; k++) {
        size_t i = v->slots[k].tag & (size - 1);

        if (v->slots[k].number < 0)
            continue;
        while (slots[i].number >= 0)
            i = (i + 1) & (size - 1);
        slots[i] = v->slots[k];
    }
    sg_free(v->slots);
    v->slots = slots;
    v->size = size;
    return true;
}

static sg_vocab *vocab_new(size_t size)
{
    sg_vocab *v = sg_alloc_zero(1, sizeof *v);
    struct timespec t = {0};

    if (!v)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, &t);
    v->seed = sg_rng_mix((uint64_t)(uintptr_t)v ^
                         sg_rng_mix((uint64_t)t.tv_nsec + (uint64_t)t.tv_sec * 1000000007u));
    if (!resize(v, size)) {
        sg_free(v);
        return NULL;
    }
    return v;
}

sg_status sg_vocab_new(sg_vocab **out, sg_error *err)
{
    sg_vocab *v = vocab_new(1024);

    *out = NULL;
    if (!v || !sg_grow(&v->offsets, &v->offsets_cap, 1024, sizeof *v->offsets) ||
        !sg_grow(&v->bytes, &v->bytes_cap, 16384, 1)) {
        sg_vocab_free(v);
        return sg_fail_memory(err, "vocabulary");
    }
    v->offsets[0] = 0;
    v->strings = (sg_strings){0, v->bytes, v->offsets};
    *out = v;
    return SG_OK;
}

sg_status sg_vocab_over(sg_vocab **out, const sg_strings *strings, sg_error *err)
{
    size_t size = 16;
    sg_vocab *v;

    *out = NULL;
    if (strings->n > INT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "more than %d strings in a vocabulary", INT32_MAX);
    while (size < strings->n + strings->n / 3 + 1)
        size *= 2;
    if (!(v = vocab_new(size)))
        return sg_fail_memory(err, "vocabulary");
    v->borrowed = true;
    v->strings = *strings;
    for (size_t n = 0; n < strings->n; n++) {
        const sg_bytes s = sg_strings_at(strings, n);
        const uint32_t tag = hash(s, v->seed);
        const size_t i = probe(v, s, tag);

        if (v->slots[i].number < 0)
            v->slots[i] = (slot){tag, (int32_t)n};
    }
    *out = v;
    return SG_OK;
}

void sg_vocab_free(sg_vocab *v)
{
    if (!v)
        return;
    sg_free(v->slots);
    sg_free(v->bytes);
    sg_free(v->offsets);
    sg_free(v);
}

uint32_t sg_vocab_hash(const sg_vocab *v, sg_bytes s)
{
    return hash(s, v->seed);
}

void sg_vocab_prefetch(const sg_vocab *v, uint32_t tag, int stage)
{
    const slot *first = &v->slots[tag & (v->size - 1)];

    if (stage == 0)
        __builtin_prefetch(first);
    else if (first->number >= 0 && stage == 1)
        __builtin_prefetch(&v->strings.offsets[first->number]);
    else if (first->number >= 0)
        __builtin_prefetch(v->strings.bytes + v->strings.offsets[first->number]);
}

sg_status sg_vocab_add(sg_vocab *v, sg_bytes s, int32_t *number, sg_error *err)
{
    return sg_vocab_add_hashed(v, s, hash(s, v->seed), number, err);
}

sg_status sg_vocab_add_hashed(sg_vocab *v, sg_bytes s, uint32_t tag, int32_t *number, sg_error *err)
{
    size_t i = probe(v, s, tag), end, n = v->strings.n;

    assert(!v->borrowed);
    if (v->slots[i].number >= 0) {
        *number = v->slots[i].number;
        return SG_OK;
    }
    if (n == INT32_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "more than %d different ids", INT32_MAX);
    if (n + n / 3 + 1 >= v->size) {
        if (!resize(v, 2 * v->size))
            return sg_fail_memory(err, "vocabulary");
        i = probe(v, s, tag);
    }
    if (!sg_add(&end, (size_t)v->offsets[n], s.size) || !sg_grow(&v->bytes, &v->bytes_cap, end, 1) ||
        !sg_grow(&v->offsets, &v->offsets_cap, n + 2, sizeof *v->offsets))
        return sg_fail_memory(err, "vocabulary");
    if (s.size)
        memcpy(v->bytes + v->offsets[n], s.data, s.size);
    v->offsets[n + 1] = (int64_t)end;
    v->strings = (sg_strings){n + 1, v->bytes, v->offsets};
    v->slots[i] = (slot){tag, (int32_t)n};
    *number = (int32_t)n;
    return SG_OK;
}

int32_t sg_vocab_find(const sg_vocab *v, sg_bytes s)
{
    return v->slots[probe(v, s, hash(s, v->seed))].number;
}

int32_t sg_vocab_count(const sg_vocab *v)
{
    return (int32_t)v->strings.n;
}

sg_bytes sg_vocab_at(const sg_vocab *v, int32_t number)
{
    return sg_strings_at(&v->strings, (size_t)number);
}

sg_strings sg_vocab_strings(const sg_vocab *v)
{
    return v->strings;
}
