/* split.h - which events teach and which are asked.
 *
 * Users with too few events for training, validation and test only train: fewer than 3 with loo, 2N + 1 with last:N. With a
 * time split every user is cut at the same moments, and a question needs at least one event before its targets. */
#ifndef SG_DATA_SPLIT_H
#define SG_DATA_SPLIT_H

#include "data/dataset.h"

typedef enum sg_split_kind { SG_SPLIT_LOO, SG_SPLIT_LAST_N, SG_SPLIT_RATIO, SG_SPLIT_TIME } sg_split_kind;

typedef struct sg_split_spec {
    sg_split_kind kind; /* default: leave-one-out */
    int n;              /* LAST_N: events per user in test, and as many before them in valid */
    double
        ratio; /* RATIO: share of each user's events in test (the last ones), as many in valid; at least one each */
    int64_t time_valid, time_test; /* TIME: events from here on are valid, test */
    const char *text; /* filled by parse: "loo", "last:3", "ratio:0.1", "time:881250949,886000000" */
} sg_split_spec;
/* text is borrowed; sg_split_new copies it. */
sg_status sg_split_parse(sg_split_spec *out, const char *text, sg_error *err);

/* One question: given events begin..end of this user, which come next? Targets are events target_begin..target_end. */
typedef struct sg_case {
    int32_t user;
    int64_t begin, end;               /* context: events of the dataset */
    int64_t target_begin, target_end; /* LOO: exactly one */
} sg_case;

typedef struct sg_split {
    sg_split_spec spec;
    int64_t *train_end; /* (n_users): the training events of u are user_offsets[u] .. train_end[u] */
    sg_case *valid, *test;
    size_t n_valid, n_test;
} sg_split;
sg_status sg_split_new(sg_split **out, const sg_dataset *d, const sg_split_spec *spec, sg_error *err);
void sg_split_free(sg_split *s);

#endif
