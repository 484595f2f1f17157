/* free.h - beam search over codes that need not be the ID of anything: what the prefix tree spares a model shows beside it. */
#ifndef SG_DECODE_FREE_H
#define SG_DECODE_FREE_H

#include "decode/beam.h"

/* As sg_beam_search, over all codes of every level. item, score (batch, k): of the best tuples, -1 where one is no item's. A user
 * never has more than max(beam, k) prefixes. */
sg_status sg_free_search(int32_t *item, float *score, const sg_catalogue *c, int batch, int beam, int k,
                         sg_beam_step *step, void *ctx, sg_arena *arena, sg_error *err);

#endif
