/* mmr.h - maximal marginal relevance: of a list of candidates the few that are both good and unlike each other.
 *                                                                        [Carbonell & Goldstein, SIGIR 1998]
 *   next = argmax over what is left of (1 - apart) r_i - apart max over what is taken of sim(i, j)
 *
 * r: scores of the candidates stretched over 0 (the last) .. 1 (the best); sim: the share of their codes, from the first on, that
 * two items have in common. */
#ifndef SG_DECODE_MMR_H
#define SG_DECODE_MMR_H

#include <stdint.h>

/* Brings the k items that are taken to the front of item and score (n), in the order they are taken; the others follow in theirs.
 * Best first on entry; item -1 (with what follows it) counts as not there. codes: (items, levels). apart: 0 .. 1; 0 changes nothing.
 * near: (n) scratch. */
void sg_mmr(int32_t *item, float *score, float *near, int n, int k, const int32_t *codes, int levels,
            float apart);

#endif
