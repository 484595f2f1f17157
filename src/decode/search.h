/* search.h - what the parts of one beam search share; for the files of this folder. */
#ifndef SG_DECODE_SEARCH_H
#define SG_DECODE_SEARCH_H

#include "decode/beam.h"
#include "decode/filter.h"
#include "decode/select.h"

typedef struct sg_prefix { /* a live prefix of one user */
    sg_children kids;
    int32_t node, parent, code; /* parent: row of the previous call */
    int32_t row;                /* row of this call; -1: one item left, its probability is known to be 1 */
    int32_t denied, denied_end; /* the user's denied items below it */
    float score;                /* sum of log-probabilities */
    float lse;                  /* sampling: log-normaliser of the children at temperature 1 */
    double phi, gumbel;         /* sampling: log-probability at the temperatures; its perturbed value */
    double lse_hot, highest;    /* sampling: normaliser of the children; their largest perturbed value */
} sg_prefix;

typedef struct sg_picks {  /* best children of one user so far */
    uint64_t *key, *spare; /* (cap) */
    size_t n, cap, keep;
    float floor; /* scores below it cannot get in any more; -inf: fewer than `keep` are held */
} sg_picks;
void sg_picks_trim(sg_picks *p); /* down to the best `keep` */

static inline void sg_picks_put(sg_picks *p, float score, int32_t node)
{
    if (score < p->floor)
        return;
    if (p->n == p->cap)
        sg_picks_trim(p);
    p->key[p->n++] = sg_key(score, (uint32_t)node);
}

typedef struct sg_found { /* an item reached */
    int32_t leaf;
    float score;
} sg_found;

/* Sampling. Puts the children of p that are alive (x: logits, NaN where dead) into picks by their perturbed value. h: scratch, as
 * long as x. */
void sg_draw_children(sg_prefix *p, sg_picks *picks, const float *x, double *h, double temperature,
                      uint64_t seed, uint64_t draw, int level);
/* phi and gumbel of the child (node of level + 1, logit x) of p, into child. */
void sg_draw_child(sg_prefix *child, const sg_prefix *p, float x, double temperature, uint64_t seed,
                   uint64_t draw, int level, int32_t node);

/* Cold start: from the items found (n, best first) to the list, at most k; k whenever n >= k. seen (n) is scratch. */
int sg_cold_mix(int32_t *item, float *score, const sg_catalogue *c, const sg_beam_spec *spec,
                const sg_allowed *a, const sg_denied *d, const sg_found *found, int n, int32_t *seen);

/* spec->groups > 1, some diversity above 0, checked; the same promises as sg_beam_search. */
sg_status sg_diverse_search(int32_t *item, float *score, const sg_catalogue *c, int batch,
                            const sg_beam_spec *spec, sg_beam_step *step, void *ctx, sg_pool *pool,
                            sg_arena *arena, sg_error *err);

#endif
