/* stats.h - what a dataset is like before anything learns from it. */
#ifndef SG_DATA_STATS_H
#define SG_DATA_STATS_H

#include "data/dataset.h"

#include <jansson.h>

/* *report, owned by the caller:
 *   users, items, events, density (share of the user-item pairs that occur)
 *   user_events, item_events: mean, median, p90, least, most; item_events also gini and top_percent (share of the 1 % most
 *     popular items)
 *   repeats: share of events whose user had the item before
 *   time: first, last, days, ties (share of events with the same user and second as the one before); only with timestamps
 *   leave_one_out: cases, targets_seen_before, targets_without_training_event, targets_before_training_ends (shares of the test
 *     cases; the last one is what a global view of time would call a leak)
 *   k_core: for k = 2, 3, 5, 10 the users, items and events that are left */
sg_status sg_dataset_stats(json_t **report, const sg_dataset *d, sg_error *err);

#endif
