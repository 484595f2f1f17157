/* rank.c - the rank of a few items among all scores, by counting: no sort, one pass a target. */
#include "eval/eval.h"

#include "base/rng.h"

#include <math.h>

/* Counts scores above and equal to the target's; false when a score is not a number. */
static bool count_against(sg_rank_target *t, const float *score, int32_t n)
{
    const float x = t->score;
    int32_t greater = 0, equal = 0, bad = 0;

    for (int32_t i = 0; i < n; i++) {
        greater += score[i] > x;
        equal += score[i] == x;
        bad |= score[i] != score[i];
    }
    t->greater = greater;
    t->equal = equal;
    return !bad;
}

/* Other targets with the same score are no strangers: they stand in a row, in the order in which they were
 * given. */
static void place(sg_rank_target *t, int n_target, const sg_rank_spec *spec)
{
    for (int i = 0; i < n_target; i++) {
        int32_t strangers = t[i].equal - 1, before = 0;

        if (t[i].score == -INFINITY) {
            t[i].rank = 0;
            continue;
        }
        for (int j = 0; j < n_target; j++)
            if (j != i && t[j].score == t[i].score) {
                strangers--;
                before += j < i;
            }
        if (spec->ties == SG_TIES_OPTIMISTIC)
            strangers = 0;
        else if (spec->ties == SG_TIES_RANDOM)
            strangers = (int32_t)sg_rng_below((uint64_t)strangers + 1, spec->seed, SG_RNG_SAMPLE, spec->place,
                                              (uint64_t)i);
        t[i].rank = 1 + t[i].greater + strangers + before;
    }
}

bool sg_rank_all(sg_rank_target *t, int n_target, const float *score, int32_t n, const sg_rank_spec *spec)
{
    for (int i = 0; i < n_target; i++) {
        t[i].score = score[t[i].item];
        if (!count_against(&t[i], score, n))
            return false;
    }
    place(t, n_target, spec);
    return true;
}

void sg_rank_unseen(sg_rank_target *t, int n_target, float *score, const int32_t *seen, int64_t n_seen,
                    const sg_rank_spec *spec)
{
    for (int64_t s = 0; s < n_seen; s++) {
        const float x = score[seen[s]];

        if (x == -INFINITY) /* never a candidate, or taken out before */
            continue;
        for (int i = 0; i < n_target; i++) {
            t[i].greater -= x > t[i].score;
            t[i].equal -= x == t[i].score;
        }
        score[seen[s]] = -INFINITY;
    }
    for (int i = 0; i < n_target; i++)
        t[i].score = score[t[i].item];
    place(t, n_target, spec);
}
