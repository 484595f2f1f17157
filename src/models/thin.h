/* thin.h - stochastic length: a training step reads long histories in part.   [Zhai et al., ICML 2024,
 * section 3.3]
 *
 * Of n events, at most N, all are read when n <= N^(alpha/2), else with probability N^alpha / n^2, else
 * floor(N^(alpha/2)) of them: attention over a history costs N^alpha at most on average (2 N^alpha counting
 * both cases). */
#ifndef SG_MODELS_THIN_H
#define SG_MODELS_THIN_H

#include <stdint.h>

/* How many of n events are read; u uniform in [0, 1). */
int sg_thin_length(int n, int longest, double alpha, double u);
/* Picks `keep` of n events without replacement and writes their places, ascending. Event i is drawn with
 * weight 1 - f_i / sum f, f_i its age seen from the last event (time NULL: in events), so that recent ones
 * are favoured. key: (2 n) scratch; the random numbers are those of (seed, draw). */
void sg_thin_places(int32_t *place, int keep, const int64_t *time, int n, float *key, uint64_t seed,
                    uint64_t draw);

#endif
