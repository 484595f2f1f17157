/* sample.c - the most likely token, or one drawn from softmax(logits / temperature) cut by top-k, top-p [Holtzman et al. 2020] and
 * min-p, in this order. Equal logits: the lower number first. */
#include "lm/sample.h"

#include "base/rng.h"
#include "math/math.h"

#include <math.h>

/* Tokens that stay: index and value (descending probabilities, not normalised); returns how many. */
static size_t keep(int32_t *index, float *value, const float *logits, size_t n, const sg_sampling *s)
{
    const size_t most = s->top_k > 0 && (size_t)s->top_k < n ? (size_t)s->top_k : n;
    size_t kept = sg_topk(index, value, most, logits, n), enough = kept;
    double sum = 0, part = 0;

    for (size_t i = kept; i-- > 0;) { /* value[0] last: it is subtracted */
        value[i] = (float)exp(((double)value[i] - (double)value[0]) / s->temperature);
        sum += (double)value[i];
    }
    for (size_t i = 0; i < kept && s->top_p < 1; i++) {
        part += (double)value[i];
        if (part >= s->top_p * sum) {
            enough = i + 1;
            break;
        }
    }
    while (enough > 1 && (double)value[enough - 1] < s->min_p * (double)value[0])
        enough--;
    return enough;
}

/* Without a cut by rank nothing need be sorted: the same values in the order of the tokens. */
static size_t keep_all(int32_t *index, float *value, const float *logits, size_t n, const sg_sampling *s)
{
    const float top = sg_max(logits, n);
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        const float p = (float)exp(((double)logits[i] - (double)top) / s->temperature);

        if (p > 0 && (double)p >= s->min_p) { /* NaN: no */
            index[kept] = (int32_t)i;
            value[kept++] = p;
        }
    }
    return kept;
}

int32_t sg_sample(const float *logits, size_t n, const sg_sampling *s, uint64_t text, uint64_t step,
                  int32_t *index, float *value)
{
    double sum = 0, at;
    size_t kept;

    if (s->temperature <= 0)
        return sg_topk(index, value, 1, logits, n) ? index[0] : 0;
    kept = s->top_k > 0 || s->top_p < 1 ? keep(index, value, logits, n, s)
                                        : keep_all(index, value, logits, n, s);
    if (!kept)
        return 0;
    for (size_t i = 0; i < kept; i++)
        sum += (double)value[i];
    at = sum * sg_rng_double(s->seed, SG_RNG_SAMPLE, text, step);
    for (size_t i = 0; i + 1 < kept; i++)
        if ((at -= (double)value[i]) < 0)
            return index[i];
    return index[kept - 1];
}
