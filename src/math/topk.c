/* topk.c - the k largest of a row of scores: one pass with a heap whose root is the worst one kept. */
#include "math/math.h"

/* Whether (va, ia) ranks below (vb, ib). */
static int worse(float va, int32_t ia, float vb, int32_t ib)
{
    return va < vb || (va == vb && ia > ib);
}

/* Puts (v, i) at the root of a heap of n and lets it sink. */
static void sink(int32_t *index, float *value, size_t n, float v, int32_t i)
{
    size_t at = 0, child;

    while ((child = 2 * at + 1) < n) {
        if (child + 1 < n && worse(value[child + 1], index[child + 1], value[child], index[child]))
            child++;
        if (!worse(value[child], index[child], v, i))
            break;
        value[at] = value[child];
        index[at] = index[child];
        at = child;
    }
    value[at] = v;
    index[at] = i;
}

static void rise(int32_t *index, float *value, size_t at, float v, int32_t i)
{
    while (at > 0 && worse(v, i, value[(at - 1) / 2], index[(at - 1) / 2])) {
        value[at] = value[(at - 1) / 2];
        index[at] = index[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    value[at] = v;
    index[at] = i;
}

size_t sg_topk(int32_t *index, float *value, size_t k, const float *score, size_t n)
{
    size_t kept = 0, i = 0;

    if (k == 0)
        return 0;
    for (; i < n && kept < k; i++)
        if (score[i] > -__builtin_inff())
            rise(index, value, kept++, score[i], (int32_t)i);
    /* An equal score further on has a higher index and loses, NaN compares false: one test does for all. Runs of 32 are
     * tested together because nearly all of them fail. */
    while (i < n) {
        const size_t end = n - i < 32 ? n : i + 32;
        const float least = value[0];
        int any = 0;

        for (size_t j = i; j < end; j++)
            any |= score[j] > least;
        for (; any && i < end; i++)
            if (score[i] > value[0])
                sink(index, value, kept, score[i], (int32_t)i);
        i = end;
    }
    for (size_t left = kept; left-- > 1;) { /* the worst goes to the end, again and again */
        const float v = value[left];
        const int32_t at = index[left];

        value[left] = value[0];
        index[left] = index[0];
        sink(index, value, left, v, at);
    }
    return kept;
}
