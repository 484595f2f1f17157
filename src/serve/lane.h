/* lane.h - a bounded queue and the threads that empty it, several jobs at once where they are alike. */
#ifndef SG_SERVE_LANE_H
#define SG_SERVE_LANE_H

#include "base/status.h"

#include <stdbool.h>

typedef struct sg_lane sg_lane;

typedef struct sg_lane_spec {
    int threads, cap; /* cap: jobs that wait */
    int batch;        /* jobs handed over together, at most */
    double wait;      /* seconds that a batch waits to fill; 0: takes what is there */
    void *ctx;
    bool (*alike)(void *ctx, const void *a, const void *b); /* may be handed over together; NULL: all may */
    void (*run)(void *ctx, int thread, void **job, int n);
    void (*refresh)(void *ctx, int thread); /* by each thread after sg_lane_refresh; NULL: nothing */
} sg_lane_spec;

sg_status sg_lane_new(sg_lane **out, const sg_lane_spec *spec, sg_error *err);
bool sg_lane_put(sg_lane *l, void *job); /* false: full */
int sg_lane_length(sg_lane *l);          /* jobs that wait */
void sg_lane_refresh(sg_lane *l);        /* does not wait for it */
void sg_lane_free(sg_lane *l);           /* after every job that waits was run */

#endif
