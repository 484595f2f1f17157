/* rates.h - how often each item was answered with yes, as a logit that may stand beside a label: counted from earlier events alone. */
#ifndef SG_MODELS_RATES_H
#define SG_MODELS_RATES_H

#include "models/model.h"

typedef struct sg_rates {
    int tasks;
    float *before; /* owned (n_events, tasks): of the item of each training event, from the training events before it; else 0 */
    float *after;  /* owned (n_items, tasks): of each item, from all training events */
} sg_rates;

/* log((yes + weight b) / (no + weight (1 - b))), b the share of yes of all items so far. Events come in the order of their times;
 * without times, and at the same time, in that of the dataset. */
sg_status sg_rates_count(sg_rates *out, const sg_model *m, const sg_train_data *t, double weight, sg_error *err);
void sg_rates_free(sg_rates *r);

#endif
