/* progress.h - how long work says where it is. The library never prints: it calls the caller's function. */
#ifndef SG_BASE_PROGRESS_H
#define SG_BASE_PROGRESS_H

#include "base/status.h"

#include <stdint.h>

typedef struct sg_progress_event {
    const char *stage;  /* "import", "train", "evaluate" */
    const char *note;   /* free text, one line, or NULL: "epoch 3 loss 5.12 valid ndcg@10 0.0412" */
    const char *unit;   /* "events", "steps", "users" */
    double done, total; /* total 0: unknown */
    double loss;        /* NaN: none */
    int message;        /* 1: a line worth keeping (not redrawn), 0: a tick */
} sg_progress_event;

typedef struct sg_progress {
    int (*call)(void *user, const sg_progress_event *e); /* non-zero asks to stop */
    void *user;
} sg_progress;

/* SG_ERR_CANCEL with "cancelled" when the caller asked to stop; p may be NULL. */
sg_status sg_progress_tick(const sg_progress *p, const sg_progress_event *e, sg_error *err);
sg_status sg_progress_say(const sg_progress *p, sg_error *err, const char *stage, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

double sg_now(void); /* seconds, monotonic */

#endif
