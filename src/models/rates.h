/* rates.h - how much each item is liked apart from who answers, as a logit that may stand beside a label: learned from earlier events
 * alone.
 *
 *   p(yes) = sigmoid(m + a_user + b_item), b ~ N(0, variance), a ~ N(0, 1), m the logit of the share of yes so far
 *
 * filtered in order of time, one update an event [extended Kalman filter of the logistic model, effects taken as independent]. A plain share of
 * yes says as much of who found the item as of the item. */
#ifndef SG_MODELS_RATES_H
#define SG_MODELS_RATES_H

#include "models/model.h"

enum { SG_RATE = 2 }; /* numbers of one: the logit m + b, and the variance of b that is left */

typedef struct sg_rates {
    int tasks;
    float *
        before; /* owned (n_events, tasks, SG_RATE): of the item of each training event, just before it; of others 0 */
    float *after; /* owned (n_items, tasks, SG_RATE): of each item after all training events */
} sg_rates;

/* Events come in the order of their times; without times, and at the same time, in that of the dataset. */
sg_status sg_rates_filter(sg_rates *out, const sg_model *m, const sg_train_data *t, double variance,
                          sg_error *err);
void sg_rates_free(sg_rates *r);

#endif
