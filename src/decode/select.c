/* select.c - radix selection from the highest differing bits down, and insertion or heap sort: no bad case,
 * no memory, the same on every machine. */
#include "decode/select.h"

enum { FEW = 24, MANY = 128, BITS = 6, BUCKETS = 1 << BITS };

/* Largest first, by insertion: the place is found by halving, without a branch to guess wrong. */
static void sort_few(uint64_t *key, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const uint64_t k = key[i];
        size_t at = 0;

        for (size_t left = i; left > 0; left /= 2) {
            const size_t half = (left + 1) / 2;

            at += key[at + half - 1] > k ? half : 0;
        }
        memmove(key + at + 1, key + at, (i - at) * sizeof *key);
        key[at] = k;
    }
}

uint64_t sg_key_nth(const uint64_t *key, size_t n, size_t k, uint64_t *spare)
{
    while (n > FEW) {
        uint32_t count[BUCKETS] = {0};
        uint64_t all = ~UINT64_C(0), any = 0;
        uint32_t bucket = BUCKETS - 1;
        size_t same = 0;
        int shift;

        for (size_t i = 0; i < n; i++) {
            all &= key[i];
            any |= key[i];
        }
        shift = 64 - BITS -
                __builtin_clzll(all ^ any); /* the highest bit that differs is the highest looked at */
        if (shift < 0)
            shift = 0;
        for (size_t i = 0; i < n; i++)
            count[key[i] >> shift & (BUCKETS - 1)]++;
        while (k > count[bucket])
            k -= count[bucket--];
        for (size_t i = 0; i < n; i++) {
            spare[same] = key[i]; /* in place from the second round on: same <= i */
            same += (key[i] >> shift & (BUCKETS - 1)) == bucket;
        }
        key = spare;
        n = same;
    }
    if (key != spare)
        memcpy(spare, key, n * sizeof *key);
    sort_few(spare, n);
    return spare[k - 1];
}

size_t sg_key_keep(uint64_t *key, size_t n, size_t k, uint64_t *spare, uint64_t *least)
{
    size_t kept = 0;

    *least = 0;
    if (n <= k)
        return n;
    *least = sg_key_nth(key, n, k, spare);
    for (size_t i = 0; i < n; i++) {
        key[kept] = key[i];
        kept += key[i] >= *least;
    }
    return kept;
}

/* Puts key into the heap (smallest on top) whose hole is at i. */
static void sift(uint64_t *heap, size_t n, size_t i, uint64_t key)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

void sg_key_sort(uint64_t *key, size_t n)
{
    if (n <= MANY) {
        sort_few(key, n);
        return;
    }
    for (size_t i = n / 2; i-- > 0;)
        sift(key, n, i, key[i]);
    for (size_t end = n - 1; end > 0; end--) {
        const uint64_t last = key[end];

        key[end] = key[0];
        sift(key, end, 0, last);
    }
}
