/* suffix.c - suffix sorting by induction, in linear time for any alphabet.      [SA-IS: Nong, Zhang, Chan 2009]
 *
 * A suffix is S when it is less than the next one, else L. Sorting the leftmost S suffixes of each run (LMS) sorts all
 * others by two scans. LMS suffixes are sorted by naming the substrings between them, which the same scans sort, and
 * by recursion over the names, a text of at most half the length that lies in the spare half of `order`. */
#include "index/suffix.h"

#include "base/alloc.h"
#include "index/bits.h"

#include <string.h>

typedef struct level {
    const uint32_t *text;
    int32_t *order;
    int32_t n;
    uint32_t symbols;
    uint64_t *s;     /* bit i: suffix i is S */
    int32_t *bucket; /* (symbols) where the next suffix of each first symbol goes */
} level;

static bool is_lms(const level *v, int32_t i)
{
    return i > 0 && sg_bits_get(v->s, (size_t)i) && !sg_bits_get(v->s, (size_t)i - 1);
}

/* The first place of each bucket, or the one past its last. */
static void find_buckets(level *v, bool ends)
{
    int32_t sum = 0;

    memset(v->bucket, 0, (size_t)v->symbols * sizeof *v->bucket);
    for (int32_t i = 0; i < v->n; i++)
        v->bucket[v->text[i]]++;
    for (uint32_t c = 0; c < v->symbols; c++) {
        const int32_t here = v->bucket[c];

        v->bucket[c] = ends ? sum + here : sum;
        sum += here;
    }
}

/* From LMS suffixes at the ends of their buckets to the order of all: L from the left, then S from the right. */
static void induce(level *v)
{
    find_buckets(v, false);
    for (int32_t i = 0; i < v->n; i++) {
        const int32_t j = v->order[i] - 1;

        if (j >= 0 && !sg_bits_get(v->s, (size_t)j))
            v->order[v->bucket[v->text[j]]++] = j;
    }
    find_buckets(v, true);
    for (int32_t i = v->n - 1; i >= 0; i--) {
        const int32_t j = v->order[i] - 1;

        if (j >= 0 && sg_bits_get(v->s, (size_t)j))
            v->order[--v->bucket[v->text[j]]] = j;
    }
}

static bool same_substring(const level *v, int32_t a, int32_t b)
{
    for (int32_t d = 0;; d++) {
        if (v->text[a + d] != v->text[b + d] ||
            sg_bits_get(v->s, (size_t)(a + d)) != sg_bits_get(v->s, (size_t)(b + d)))
            return false;
        if (d > 0 && (is_lms(v, a + d) || is_lms(v, b + d)))
            return is_lms(v, a + d) && is_lms(v, b + d);
    }
}

/* order[0 .. n_lms - 1] holds the LMS places by their substrings: names go, in order of the text, to the end of order.
 * Returns how many different ones there are. */
static uint32_t name_substrings(level *v, int32_t n_lms)
{
    int32_t last = -1, at = v->n - 1;
    uint32_t names = 0;

    for (int32_t i = n_lms; i < v->n; i++)
        v->order[i] = -1;
    for (int32_t i = 0; i < n_lms; i++) {
        const int32_t place = v->order[i];

        if (last < 0 || !same_substring(v, place, last))
            names++;
        last = place;
        v->order[n_lms + place / 2] = (int32_t)names - 1; /* LMS places lie at least 2 apart */
    }
    for (int32_t i = v->n - 1; i >= n_lms; i--)
        if (v->order[i] >= 0)
            v->order[at--] = v->order[i];
    return names;
}

static sg_status sort(int32_t *order, const uint32_t *text, int32_t n, uint32_t symbols, sg_error *err)
{
    level v = {text,
               order,
               n,
               symbols,
               sg_alloc_zero((size_t)n / 64 + 1, sizeof *v.s),
               sg_alloc_array(symbols, sizeof *v.bucket)};
    uint32_t *names, n_names;
    int32_t n_lms = 0;
    sg_status st = SG_OK;

    if (!v.s || !v.bucket) {
        st = sg_fail_memory(err, "suffix array");
        goto done;
    }
    sg_bits_set(v.s, (size_t)n - 1);
    for (int32_t i = n - 2; i >= 0; i--)
        if (text[i] < text[i + 1] || (text[i] == text[i + 1] && sg_bits_get(v.s, (size_t)i + 1)))
            sg_bits_set(v.s, (size_t)i);
    find_buckets(&v, true);
    for (int32_t i = 0; i < n; i++)
        order[i] = -1;
    for (int32_t i = 1; i < n; i++)
        if (is_lms(&v, i))
            order[--v.bucket[text[i]]] = i;
    induce(&v);
    for (int32_t i = 0; i < n; i++)
        if (is_lms(&v, order[i]))
            order[n_lms++] = order[i];
    n_names = name_substrings(&v, n_lms);
    names = (uint32_t *)order + n - n_lms;
    if (n_names < (uint32_t)n_lms) {
        if ((st = sort(order, names, n_lms, n_names, err)))
            goto done;
    } else {
        for (int32_t i = 0; i < n_lms; i++)
            order[names[i]] = i;
    }
    for (int32_t i = 1, k = 0; i < n; i++) /* numbers of LMS places back to the places */
        if (is_lms(&v, i))
            names[k++] = (uint32_t)i;
    for (int32_t i = 0; i < n_lms; i++)
        order[i] = (int32_t)names[order[i]];
    find_buckets(&v, true);
    for (int32_t i = n_lms; i < n; i++)
        order[i] = -1;
    for (int32_t i = n_lms - 1; i >= 0; i--) {
        const int32_t place = order[i];

        order[i] = -1;
        order[--v.bucket[text[place]]] = place;
    }
    induce(&v);
done:
    sg_free(v.s);
    sg_free(v.bucket);
    return st;
}

sg_status sg_suffix_array(int32_t *order, const uint32_t *text, int32_t n, uint32_t symbols, sg_error *err)
{
    if (n > 1)
        return sort(order, text, n, symbols, err);
    order[0] = 0;
    return SG_OK;
}
