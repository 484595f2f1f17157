/* slow.h - what is known of users beside their events, merged into their sequences.   [Zhai et al. 2024, section 2.2]
 *
 * The events are the main series. Of a series that changes slowly (a city) the first of each run of equal values is one token among
 * them: before the first event that is later, so that nobody knows it before it was so. What holds from the start stands in front,
 * the latest value of each series; an attribute (a year of birth) is a series of one value. */
#ifndef SG_MODELS_SLOW_H
#define SG_MODELS_SLOW_H

#include "models/sequence.h"

enum { SG_SLOW_MOST = 32 }; /* tokens of a sequence; the latest are kept */

/* value[i] stands before event before[i] (0 .. n - 1) of n events at these times (NULL: none, then only what always holds is known),
 * before never falling. user: -1 or unknown: nothing. Returns how many, at most SG_SLOW_MOST. */
int sg_slow_merge(int32_t value[SG_SLOW_MOST], int32_t before[SG_SLOW_MOST], const sg_series *s,
                  int32_t n_users, int32_t user, const int64_t *time, int n);

/* The series of the data as arrays of m: "series.offsets", "series.time", "series.value", "series.of"; and found again. */
sg_status sg_slow_put(sg_model *m, const sg_dataset *d, sg_error *err);
sg_status sg_slow_need(sg_series *out, const sg_model *m, sg_error *err);

/* q with the tokens of each sequence's user (users (n), NULL: all unknown) among its own: item -1, target -1, their value % rows in
 * *slow (tokens; -1: an event), at the time of the event they stand before. Sequences without events stay empty. */
bool sg_slow_add(sg_sequences *out, int32_t **slow, sg_graph *g, const sg_sequences *q, const sg_series *s,
                 int32_t n_users, const int32_t *users, int rows);

#endif
