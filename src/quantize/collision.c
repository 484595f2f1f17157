/* collision.c - items with equal codes become different: one more code that counts them, or the nearest free last code.
 *
 * append (TIGER): the k-th item with these codes, by item number, gets k; an item alone gets 0. The size of the new level
 * is the largest number of items that share one tuple, and `spare` more, so that as many new items find a place there. Without a
 * clash and without spare digits there is no new level. Where IDs end, an item alone gets the end instead.
 * next: inside one prefix (all codes but the last) pairs of item and last code are taken in order of distance, so an item
 * that lies best keeps its code and the others go to the nearest code nobody has. A prefix with more items than codes
 * leaves some over: these keep their code, and append tells them apart.
 * Both depend on the items alone, not on threads.     [Rajput et al. 2023, sec. 3.1] */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "math/math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Counting sort by each level, the last level first: stable, so equal rows stay in order of their numbers. */
sg_status sg_codes_order(uint32_t *order, const int32_t *codes, int32_t n, int levels, const int32_t *size,
                         sg_error *err)
{
    int32_t most = 1;
    uint32_t *scratch = sg_alloc_array((size_t)n, sizeof *scratch), *at;

    for (int l = 0; l < levels; l++)
        most = size[l] > most ? size[l] : most;
    at = sg_alloc_array((size_t)most + 1, sizeof *at);
    if (!scratch || !at) {
        sg_free(scratch);
        sg_free(at);
        return sg_fail_memory(err, "order of semantic IDs");
    }
    for (int32_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (int l = levels - 1; l >= 0; l--) {
        memset(at, 0, ((size_t)size[l] + 1) * sizeof *at);
        for (int32_t i = 0; i < n; i++)
            at[codes[(size_t)i * (size_t)levels + (size_t)l] + 1]++;
        for (int32_t k = 0; k < size[l]; k++)
            at[k + 1] += at[k];
        for (int32_t i = 0; i < n; i++)
            scratch[at[codes[(size_t)order[i] * (size_t)levels + (size_t)l]]++] = order[i];
        memcpy(order, scratch, (size_t)n * sizeof *order);
    }
    sg_free(scratch);
    sg_free(at);
    return SG_OK;
}

static bool same_prefix(const sg_codes *c, uint32_t a, uint32_t b, int levels)
{
    const size_t width = (size_t)c->levels;

    return memcmp(c->codes + a * width, c->codes + b * width, (size_t)levels * sizeof *c->codes) == 0;
}

/* Digits of items item[0 .. n - 1], which share their codes; taken: zeros, and zeros again afterwards. */
static void count_group(int32_t *digit, const uint32_t *item, size_t n, const int32_t *wanted, uint8_t *taken)
{
    int32_t next = 0;

    for (size_t i = 0; wanted && i < n; i++)
        if (wanted[item[i]] >= 0)
            taken[wanted[item[i]]] = 1;
    for (size_t i = 0; i < n; i++) {
        if (wanted && wanted[item[i]] >= 0) {
            digit[item[i]] = wanted[item[i]];
            continue;
        }
        while (wanted && taken[next])
            next++;
        digit[item[i]] = next++;
    }
    for (size_t i = 0; wanted && i < n; i++)
        if (wanted[item[i]] >= 0)
            taken[wanted[item[i]]] = 0;
}

/* One level more: the digits. */
static sg_status put_digits(sg_codes *c, const int32_t *digit, int32_t size, sg_error *err)
{
    const size_t old = (size_t)c->levels, wide = old + 1;
    int32_t *codes;

    if (c->levels == SG_LEVELS_MAX)
        return sg_fail(err, SG_ERR_USAGE, "%d levels leave no room for a collision digit", SG_LEVELS_MAX);
    if (!(codes = sg_alloc_array((size_t)c->n, wide * sizeof *codes)))
        return sg_fail_memory(err, "collision digit");
    for (size_t i = 0; i < (size_t)c->n; i++) {
        memcpy(codes + i * wide, c->codes + i * old, old * sizeof *codes);
        codes[i * wide + old] = digit[i];
    }
    sg_free(c->codes);
    c->codes = codes;
    c->size[c->levels] = size;
    c->error[c->levels] = NAN;
    c->levels++;
    c->digit = true;
    return SG_OK;
}

/* size 0: as many as are needed and the spare ones, and no level where that is one. */
static sg_status number_equals(sg_codes *c, const int32_t *wanted, int32_t size, int32_t spare, sg_error *err)
{
    enum { DIGITS = 65536 };
    uint32_t *order = sg_alloc_array((size_t)c->n, sizeof *order);
    int32_t *digit = sg_alloc_array((size_t)c->n, sizeof *digit), most = 0;
    uint8_t *taken = sg_alloc_zero((size_t)c->n + DIGITS, 1);
    int64_t codes;
    sg_status st;

    if (!order || !digit || !taken) {
        st = sg_fail_memory(err, "collision digit");
        goto done;
    }
    if ((st = sg_codes_order(order, c->codes, c->n, c->levels, c->size, err)))
        goto done;
    for (int32_t i = 0, end; i < c->n; i = end) {
        for (end = i + 1; end < c->n && same_prefix(c, order[i], order[end], c->levels);)
            end++;
        count_group(digit, order + i, (size_t)(end - i), wanted, taken);
        for (int32_t k = i; k < end; k++)
            most = digit[order[k]] > most ? digit[order[k]] : most;
    }
    if (most == 0 && size == 0 && spare == 0)
        goto done;
    codes = (int64_t)most + 1 + spare + c->ends;
    codes = codes > size ? codes : size;
    if (codes > DIGITS) {
        st = spare ? sg_fail(err, SG_ERR_USAGE,
                             "%d items share one tuple of codes and %d digits are to be spare: expected at "
                             "most 65536 together",
                             (int)most + 1, (int)spare)
                   : sg_fail(
                         err, SG_ERR_USAGE,
                         "%d items share one tuple of codes: expected at most 65536 (are all vectors alike?)",
                         (int)most + 1);
        goto done;
    }
    for (int32_t i = 0; c->ends && i < c->n; i++)
        if (digit[order[i]] == 0 && (i + 1 == c->n || digit[order[i + 1]] == 0))
            digit[order[i]] = (int32_t)codes - 1;
    st = put_digits(c, digit, (int32_t)codes, err);
done:
    sg_free(order);
    sg_free(digit);
    sg_free(taken);
    return st;
}

sg_status sg_collisions_append(sg_codes *c, int32_t spare, sg_error *err)
{
    return number_equals(c, NULL, 0, spare, err);
}

sg_status sg_collisions_keep(sg_codes *c, const int32_t *wanted, int32_t size, int32_t spare, sg_error *err)
{
    return number_equals(c, wanted, size, spare, err);
}

/* Codes of the last level, without the one that ends an ID. */
static size_t last_codes(const sg_codes *c)
{
    return (size_t)c->size[c->levels - 1] - (c->ends && c->levels > 1);
}

typedef struct pair {
    float distance;
    uint32_t item;
    int32_t code;
} pair;

static int by_distance(const void *a, const void *b)
{
    const pair *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

typedef struct reassigning {
    pair *pairs; /* owned */
    size_t cap;
    uint8_t *taken;  /* owned: (codes of the last level) */
    uint8_t *placed; /* owned: (n) */
} reassigning;

/* Items item[0 .. n-1] share a prefix. */
static sg_status reassign(sg_codes *c, reassigning *w, const uint32_t *item, size_t n, const float *left,
                          const float *book, int dim, sg_error *err)
{
    const size_t width = (size_t)c->levels, codes = last_codes(c);
    size_t pairs, used = 0;

    if (!sg_mul(&pairs, n, codes) || !sg_grow(&w->pairs, &w->cap, pairs, sizeof *w->pairs))
        return sg_fail_memory(err, "free codes");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < codes; k++)
            w->pairs[i * codes + k] =
                (pair){sg_dist2(left + item[i] * (size_t)dim, book + k * (size_t)dim, (size_t)dim), item[i],
                       (int32_t)k};
    qsort(w->pairs, pairs, sizeof *w->pairs, by_distance);
    memset(w->taken, 0, codes);
    for (size_t p = 0; p < pairs && used < n && used < codes; p++) {
        const pair *x = &w->pairs[p];

        if (w->taken[x->code] || w->placed[x->item])
            continue;
        w->taken[x->code] = w->placed[x->item] = 1;
        c->codes[x->item * width + width - 1] = x->code;
        used++;
    }
    return SG_OK;
}

sg_status sg_collisions_next(sg_codes *c, const float *left, const float *book, int dim, int32_t spare,
                             sg_error *err)
{
    uint32_t *order = sg_alloc_array((size_t)c->n, sizeof *order);
    reassigning w = {.taken = sg_alloc_array(last_codes(c), 1), .placed = sg_alloc_zero((size_t)c->n, 1)};
    sg_status st = SG_OK;

    if (!order || !w.taken || !w.placed)
        st = sg_fail_memory(err, "free codes");
    else
        st = sg_codes_order(order, c->codes, c->n, c->levels, c->size, err);
    for (int32_t i = 0, end; st == SG_OK && i < c->n; i = end) {
        bool clash = false;

        for (end = i + 1; end < c->n && same_prefix(c, order[i], order[end], c->levels - 1); end++)
            clash |= same_prefix(c, order[end - 1], order[end], c->levels);
        if (clash)
            st = reassign(c, &w, order + i, (size_t)(end - i), left, book, dim, err);
    }
    sg_free(order);
    sg_free(w.pairs);
    sg_free(w.taken);
    sg_free(w.placed);
    return st ? st : sg_collisions_append(c, spare, err);
}
