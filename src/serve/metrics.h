/* metrics.h - counters and histograms, and their text for Prometheus (exposition format 0.0.4). */
#ifndef SG_SERVE_METRICS_H
#define SG_SERVE_METRICS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdint.h>

enum { SG_LATENCY_BOUNDS = 16, SG_BATCH_BOUNDS = 11, SG_STATUS_MAX = 24 };

typedef struct sg_route_metrics { /* of one route; the HTTP thread's */
    struct {
        int status;
        uint64_t n;
    } answers[SG_STATUS_MAX];
    uint64_t bucket[SG_LATENCY_BOUNDS + 1]; /* not summed up; the last: beyond every bound */
    double seconds;
    uint64_t n;
} sg_route_metrics;

typedef struct sg_metrics {
    sg_route_metrics *route; /* owned (n_routes + 1): the last for paths that are none */
    int n_routes;
    atomic_uint_fast64_t batch[SG_BATCH_BOUNDS + 1], n_batched; /* the workers' */
    atomic_uint_fast64_t reloads_good, reloads_bad, events;
    atomic_uint_fast64_t items_added, items_removed, items_expired, embeddings;
} sg_metrics;

sg_status sg_metrics_init(sg_metrics *m, int n_routes, sg_error *err);
void sg_metrics_fini(sg_metrics *m);
void sg_metrics_answer(sg_metrics *m, int route, int status, double seconds); /* route -1: none */
void sg_metrics_batch(sg_metrics *m, int n);                                  /* any thread */

/* Appends HELP, TYPE and samples; the caller adds its gauges with the two below. */
typedef struct sg_route_name {
    const char *method, *path;
} sg_route_name;
void sg_metrics_print(sg_buf *out, const sg_metrics *m, const sg_route_name *name);
void sg_metrics_family(sg_buf *out, const char *name, const char *type, const char *help);
void sg_metrics_label(sg_buf *out, const char *value); /* escaped, in quotes */

#endif
