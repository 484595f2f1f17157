/* mmr.c - maximal marginal relevance, one item after the other. */
#include "decode/mmr.h"

#include <string.h>

static float alike(const int32_t *a, const int32_t *b, int levels)
{
    int same = 0;

    while (same < levels && a[same] == b[same])
        same++;
    return (float)same / (float)levels;
}

/* item at moves to place, those between move one back */
static void move_up(int32_t *item, float *score, float *near, int at, int place)
{
    const int32_t i = item[at];
    const float s = score[at], close = near[at];
    const size_t n = (size_t)(at - place);

    memmove(item + place + 1, item + place, n * sizeof *item);
    memmove(score + place + 1, score + place, n * sizeof *score);
    memmove(near + place + 1, near + place, n * sizeof *near);
    item[place] = i;
    score[place] = s;
    near[place] = close;
}

void sg_mmr(int32_t *item, float *score, float *near, int n, int k, const int32_t *codes, int levels,
            float apart)
{
    float best, range;

    for (int i = 0; i < n; i++)
        n = item[i] < 0 ? i : n;
    if (n == 0)
        return;
    best = score[0];
    range = best > score[n - 1] ? best - score[n - 1] : 1;
    memset(near, 0, (size_t)n * sizeof *near);
    for (int place = 0; place < n && place < k; place++) {
        int next = place;
        float most = 0;

        for (int i = place; i < n; i++) {
            const float worth = (1 - apart) * (1 - (best - score[i]) / range) - apart * near[i];

            if (i == place || worth > most) {
                next = i;
                most = worth;
            }
        }
        move_up(item, score, near, next, place);
        for (int i = place + 1; i < n; i++) {
            const float a = alike(codes + (size_t)item[place] * (size_t)levels,
                                  codes + (size_t)item[i] * (size_t)levels, levels);

            near[i] = a > near[i] ? a : near[i];
        }
    }
}
