/* length.c - log-probabilities fall with every code: per code, long IDs are not behind.          [Wu et al. 2016, section 7, without
 * its constant] */
#include "decode/length.h"

#include <math.h>

float sg_score_by_length(float score, int32_t item, const sg_catalogue *c, float power)
{
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];

    sg_catalogue_codes(c, item, codes);
    return score / powf((float)sg_catalogue_length(c, codes), power);
}

/* The k best of n to the front. */
static void rank_block(int32_t *item, float *score, int n, int k, const sg_catalogue *c, float power)
{
    for (int i = 0; i < n && item[i] >= 0; i++) { /* insertion: lists are short, and nearly in order */
        const int32_t here = item[i];
        const float value = sg_score_by_length(score[i], here, c, power);
        int at = i < k ? i : k;

        if (at == k && value <= score[k - 1])
            continue;
        at -= at == k;
        for (; at > 0 && score[at - 1] < value; at--) {
            item[at] = item[at - 1];
            score[at] = score[at - 1];
        }
        item[at] = here;
        score[at] = value;
    }
}

void sg_rank_by_length(int32_t *item, float *score, int n, int k, int block, const sg_catalogue *c,
                       float power)
{
    for (int first = 0; first < k; first += block) {
        const int here = n - first < block ? n - first : block, want = k - first < here ? k - first : here;

        rank_block(item + first, score + first, here, want, c, power);
        if (!first || item[first] < 0)
            continue;
        const float last = score[first - 1], down = score[first] > last ? score[first] - last : 0;
        for (int i = first; i < first + want && item[i] >= 0; i++)
            score[i] = fminf(score[i] - down, last);
    }
}
