/* beam.h - constrained beam search over the catalogue: only prefixes that exist are ever extended. */
#ifndef SG_DECODE_BEAM_H
#define SG_DECODE_BEAM_H

#include "base/arena.h"
#include "base/pool.h"
#include "index/catalogue.h"

/* The model's side: given the live prefixes after choosing codes at the previous level, the logits of the next level.
 * Rows of user u are offsets[u] .. offsets[u + 1]. parent[r]: row of the previous call that r continues (-1 at level 0),
 * code[r]: the code of level-1 it took (-1 at level 0). logits (n, ld): fill columns 0 .. size(level)-1 of every row. */
typedef struct sg_beam_rows {
    int level, batch, n;
    const int32_t *offsets, *parent, *code;
    float *logits;
    int ld;
} sg_beam_rows;
typedef sg_status sg_beam_step(void *ctx, const sg_beam_rows *rows, sg_error *err);

typedef struct sg_beam_spec {
    int beam;             /* prefixes kept per user and level; >= k */
    int k;
    bool renormalise;     /* softmax over legal codes only; else over all codes of the level */
    const uint8_t *allow; /* (n_items) 1 = may be returned; NULL: all */
    const int64_t *deny_offsets; /* (batch + 1) and items per user that may not be returned (the history); NULL: none */
    const int32_t *deny;
} sg_beam_spec;

/* item, score (batch, k): score = sum of log-probabilities; best first; ties by lower leaf; item -1 past the end.
 * beam >= the number of items makes it exact enumeration. Scratch from arena (reset by the caller). */
sg_status sg_beam_search(int32_t *item, float *score, const sg_catalogue *c, int batch, const sg_beam_spec *spec,
                         sg_beam_step *step, void *ctx, sg_pool *pool, sg_arena *arena, sg_error *err);

#endif
