/* user_series.h - what is known of users beside their events, as files tell it: attributes, and what changes slowly. */
#ifndef SG_DATA_USER_SERIES_H
#define SG_DATA_USER_SERIES_H

#include "data/intake.h"

typedef struct sg_user_fact { /* of one cell */
    int32_t user;             /* number in the vocabulary of the import */
    int32_t series, value;
    int64_t time, row;
} sg_user_fact;

typedef struct sg_user_series {
    sg_intake *k;             /* borrowed: vocabulary of users, bad rows, warnings */
    sg_vocab *names, *series; /* owned: "age=24", "age" */
    int32_t *of;              /* owned: series of each name */
    sg_user_fact *fact;       /* owned (n) */
    size_t n, cap, cap_of;
    int64_t *offsets, *time; /* owned: what sg_user_series_end made */
    int32_t *value;
} sg_user_series;

void sg_user_series_init(sg_user_series *x, sg_intake *k);
void sg_user_series_fini(sg_user_series *x);
/* A whole file: CSV or TSV with a header, RecBole .user, MovieLens' u.user or users.dat. A column named like a time says from when on the
 * others hold; without one they always do. Users without events are counted and left out. *report: owned by the caller. */
sg_status sg_user_series_file(sg_user_series *x, const char *path, json_t **report, sg_error *err);
sg_status sg_user_series_read(sg_user_series *x, uint64_t *rows, uint64_t *without_events,
                              sg_error *err); /* the rows of k->in */
/* By user of the dataset (number: of each in the vocabulary, -1: not in it), then time, then row; of a run of equal values of a series
 * the first. *out borrows from x. */
sg_status sg_user_series_end(sg_series *out, sg_user_series *x, const int32_t *number, int32_t n_users,
                             sg_error *err);

#endif
