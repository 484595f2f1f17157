/* filter.h - filters over sorted events, in passes: memory is a few bytes a user and an item, whatever the
 * number of events. */
#ifndef SG_DATA_FILTER_H
#define SG_DATA_FILTER_H

#include "data/events.h"

typedef struct sg_counts {
    size_t n_users, n_items;
    uint32_t *user, *item; /* owned: events of each */
} sg_counts;

sg_status sg_counts_init(sg_counts *c, size_t n_users, size_t n_items, sg_error *err);
void sg_counts_fini(sg_counts *c);
sg_status sg_counts_take(sg_counts *c, sg_events *e, sg_error *err); /* afresh, in one pass */
size_t sg_counts_left(const uint32_t *count, size_t n);              /* how many have events */

/* Only the first event of each (user, item). */
sg_status sg_filter_dedup(sg_events *e, size_t n_items, sg_error *err);

/* Events whose user has at least core_user and whose item at least core_item of them, counted again until
 * that holds for all that is left (the k-core), or counted only once. 0: no bound. c: counts before;
 * afterwards those of what is left. */
sg_status sg_filter_core(sg_events *e, sg_counts *c, int core_user, int core_item, bool once, int *passes,
                         sg_error *err);

/* Users with at least least events; of each only the last `most`. 0: no bound. c as above. */
sg_status sg_filter_length(sg_events *e, sg_counts *c, int least, int most, sg_error *err);

/* Items held out: a share of them, drawn by number from `seed`, is taken out of all events but the last of each user, so that
 * leave-one-out tests on them and neither trains nor validates. A user whom that leaves fewer than the three events of a case
 * loses a last event of such an item, too. c as above. */
sg_status sg_filter_cold(sg_events *e, sg_counts *c, double share, uint64_t seed, sg_error *err);

#endif
