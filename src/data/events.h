/* events.h - all events of an import: added in source order, sorted by (user, time, row), filtered, read back
 * in order. What does not fit into memory_max goes to sorted runs in a temporary file that are merged; the
 * result is the same. */
#ifndef SG_DATA_EVENTS_H
#define SG_DATA_EVENTS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_event {
    int32_t user, item;
    int64_t time; /* microseconds; 0 when there are no times */
    uint64_t row; /* place in the source, over all files */
    float rating;
    int32_t action;
} sg_event; /* 32 bytes */

/* Where users stand among each other: *rank[user] for all *n users so far, or NULL for the order of their
 * numbers. Asked at every spill and at the end: users may be added in between, but two users never change
 * places. */
typedef sg_status sg_user_order(void *ctx, const int32_t **rank, size_t *n, sg_error *err);

typedef struct sg_events sg_events;
sg_status sg_events_new(sg_events **out, const char *scratch_dir, size_t memory_max, sg_user_order *order,
                        void *ctx, sg_error *err);
void sg_events_free(sg_events *e);

/* Room for the next event; NULL and err set when a spill failed. */
sg_event *sg_events_add(sg_events *e, sg_error *err);

/* After the last add. User numbers become ranks. */
sg_status sg_events_sort(sg_events *e, sg_error *err);
uint64_t sg_events_count(const sg_events *e);
int sg_events_runs(const sg_events *e); /* spilled runs; 0: all in memory */

/* One pass in order; false drops the event for good. */
typedef bool sg_event_keep(void *ctx, const sg_event *event);
sg_status sg_events_filter(sg_events *e, sg_event_keep *keep, void *ctx, sg_error *err);

/* Reading in order: *n 0 at the end. */
void sg_events_rewind(sg_events *e);
sg_status sg_events_next(sg_events *e, const sg_event **batch, size_t *n, sg_error *err);

#endif
