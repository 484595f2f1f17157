/* beam.h - constrained beam search over the catalogue: only prefixes that exist are ever extended. */
#ifndef SG_DECODE_BEAM_H
#define SG_DECODE_BEAM_H

#include "decode/prior.h"

/* The model's side: given the live prefixes after choosing codes at the previous level, the logits of the next level.
 * Rows of user u are offsets[u] .. offsets[u + 1]. parent[r]: row of the previous call that r continues (-1 at level 0),
 * code[r]: the code of level-1 it took (-1 at level 0). logits (n, ld): fill columns 0 .. size(level)-1 of every row.
 * A call for level 0 starts anew: what was kept of earlier calls is not asked for again. Calls go level by level, but with
 * `renormalise` a prefix with one item left needs no logits and is no longer among the rows, and the deepest levels may
 * not be asked for at all. */
typedef struct sg_beam_rows {
    int level, batch, n;
    const int32_t *offsets, *parent, *code;
    float *logits;
    int ld;
} sg_beam_rows;
typedef sg_status sg_beam_step(void *ctx, const sg_beam_rows *rows, sg_error *err);

typedef struct sg_beam_spec {
    int beam; /* prefixes kept per user and level; below k it counts as k */
    int k;
    bool
        renormalise; /* softmax over the codes that exist after the prefix; else over all codes of the level */
    int complete; /* > 0: users whose search may have missed one of the k best are searched again, keeping up to this many
                             prefixes that can still beat the k-th item found; a search that needed no more is exact */
    const uint8_t *allow; /* (n_items) 1 = may be returned; NULL: all */
    const int64_t
        *deny_offsets; /* (batch + 1) and items per user that may not be returned (the history); NULL: none */
    const int32_t *deny;

    /* Added to the scores of items, which then are no log-probabilities any more; NULL: none. A prefix counts the largest prior
     * below it, so that it still bounds what lies there. Not with groups, temperature or cold. */
    const sg_prior *prior;

    /* Diverse beam search (diverse.c): beams are chosen in groups > 1 of beam / groups each, the k items in groups of k / groups; each
     * code of a prefix counts diversity[its level] less for each beam of an earlier group that has it. Where no diversity is above
     * 0 it is the plain search. Not with complete, temperature or cold. */
    int groups;
    const float *diversity; /* (levels) each >= 0; with groups > 1 */

    /* Sampling without replacement instead of the most probable (Gumbel top-k over the tree, Kool et al. 2019): the k items
     * come in the order they were drawn, item by item from softmax(logits / temperature[level]) over what is allowed. The
     * score stays the sum of log-probabilities at temperature 1. */
    const float *temperature; /* (levels) each > 0; NULL: off */
    uint64_t seed;
    const uint64_t
        *draw; /* (batch) names each user's draws, so that they do not depend on the batch; NULL: its place */

    /* Cold start (TIGER 4.2): items the model was not trained on whose first cold_prefix codes are those of a found item stand behind
     * that item, with its score: at most sg_cold_quota of a list. The other places are those of the items found, seen or not: the
     * first k - quota of them are always there, in their order. With `complete` these are exact, unless cold_length ranks them. */
    const uint8_t *cold; /* (n_items) 1 = unseen while training; NULL: off */
    float cold_share;
    int cold_prefix; /* 0: all codes but the last */
    float
        cold_length; /* above 0: found items are ranked, and scored, by score / codes of the ID to this power (decode/length.h) */
} sg_beam_spec;

/* Places of a list of k that items may be lifted to: floor(share * k). */
int sg_cold_quota(float share, int k);

/* item, score (batch, k): score = sum of log-probabilities; best first; ties by lower leaf; item -1 (score -inf) past the
 * end. Probabilities do not depend on allow and deny: these only remove. Whenever at least k items are allowed, k are
 * returned. beam >= the number of items makes it exact enumeration. Scratch from arena (reset by the caller). */
sg_status sg_beam_search(int32_t *item, float *score, const sg_catalogue *c, int batch,
                         const sg_beam_spec *spec, sg_beam_step *step, void *ctx, sg_pool *pool,
                         sg_arena *arena, sg_error *err);

/* Log-probability of every item, (batch, n_items), -inf where a snapshot has none, by the same step function: the catalogue is walked in runs of neighbouring
 * prefixes so that no call has more than max(rows_max, batch) rows (rows_max 0: 4096). */
sg_status sg_exact_scores(float *scores, const sg_catalogue *c, int batch, bool renormalise, int rows_max,
                          sg_beam_step *step, void *ctx, sg_pool *pool, sg_arena *arena, sg_error *err);

/* Log-probability of each code of n items for one user, (n, levels): the model is led along their codes. No call has more than
 * n rows. */
sg_status sg_path_scores(float *logp, const sg_catalogue *c, const int32_t *item, int n, bool renormalise,
                         sg_beam_step *step, void *ctx, sg_arena *arena, sg_error *err);

#endif
