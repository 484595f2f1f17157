/* stats.h - what a dataset is like before anything learns from it. */
#ifndef SG_DATA_STATS_H
#define SG_DATA_STATS_H

#include "data/dataset.h"

#include <jansson.h>

/* *report, owned by the caller; shares are parts of 1:
 *   name, sha256, users, items, events, density (share of the user-item pairs that occur)
 *   user_events, item_events: mean, median, least, p5, p25, p75, p90, p99, most; item_events also gini, top_percent,
 *     top_ten_percent (shares of the most popular items), never (items without an event)
 *   repeats: share of events whose user had the item before; repeats_adjacent: had it just before; repeats_users: users with one
 *   time: first, last, days, ties (share of events with the same user and second as the one before), ties_users; only with timestamps
 *   leave_one_out: train, cases, users_train_only, targets_seen_before, targets_without_training_event,
 *     targets_before_training_ends (shares of the test cases; the last one is what a global view of time would call a leak),
 *     items_only_test, items_only_valid (items that appear there alone)
 *   k_core: for k = 2 .. 10 the users, items and events that are left
 *   text: for each text column filled (share of items), bytes (mean of the filled), different
 *   notes: sentences about what deserves care */
sg_status sg_dataset_stats(json_t **report, const sg_dataset *d, sg_error *err);

#endif
