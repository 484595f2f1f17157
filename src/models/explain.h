/* explain.h - why an item is recommended: the events of the history that speak for it, and the way down its semantic ID.
 *
 * For any model: the items are scored again with one event of the history left out at a time,
 *   effect of event e on item i = score(i | history) - score(i | history without e),
 * so a positive effect is an event without which the item's score would fall. For models over semantic IDs also the
 * log-probability of each code. */
#ifndef SG_MODELS_EXPLAIN_H
#define SG_MODELS_EXPLAIN_H

#include "models/model.h"

typedef struct sg_explanation {
    int n, n_events, levels; /* items; events left out; levels 0: no semantic IDs */
    int64_t
        first_event; /* events first_event .. first_event + n_events - 1 of the history were left out, the latest */
    float *score;  /* owned (n): with the whole history; -inf: never recommended */
    float *effect; /* owned (n, n_events); NaN: unknown, because one of the two scores is -inf */
    int32_t *
        order; /* owned (n, n_events): 0 .. n_events - 1 by falling effect, ties latest first, unknown last */
    int32_t *codes; /* owned (n, levels) */
    int32_t *below; /* owned (n, levels): items that share codes 0 .. l */
    float *logp;    /* owned (n, levels): of each code after the ones before; NULL: the model cannot say */
} sg_explanation;

/* h: one history, not empty. item (n): numbers of the model, each once. events_max 0: 32. Costs about events_max + 1
 * recommendations. */
sg_status sg_explain(sg_explanation *out, sg_session *s, const sg_histories *h, const int32_t *item, int n,
                     int events_max, sg_error *err);
void sg_explanation_free(sg_explanation *x);

#endif
