/* query.h - a request in the numbers of the model, and its hits. */
#ifndef SG_SERVE_QUERY_H
#define SG_SERVE_QUERY_H

#include "serve/source.h"

typedef struct sg_query {
    /* asked */
    int k, beam;      /* beam 0: the model's default */
    bool keep_seen;   /* items of the history may come back */
    int32_t *history; /* owned (n_history): numbers of the model, oldest first */
    int64_t *time;    /* owned (n_history); valid when has_time */
    size_t n_history, cap_history, cap_time;
    bool has_time;
    const int32_t *
        action; /* (n_history) borrowed from the dataset, for models that rank by what was done; NULL: unknown */
    const float *rating; /* the same */
    int32_t user;        /* number of the model's user, -1: unknown */
    sg_past *past;       /* borrowed: of this history, to be continued; NULL: it is read from the beginning */
    size_t n_unknown;    /* items of the history that the model does not know: left out */
    uint8_t *allow;      /* owned (n_items); valid when has_allow */
    size_t cap_allow;
    bool has_allow;
    /* found, best first */
    int32_t *item; /* owned (n) */
    float *score;  /* owned (n) */
    size_t n, cap_item, cap_score;
} sg_query;

void sg_query_start(sg_query *q, int k, int beam, bool keep_seen); /* empties it and keeps its memory */
void sg_query_free(sg_query *q);

/* Adds an item to the history; one the model does not know is counted and left out. */
sg_status sg_query_add(sg_query *q, const sg_source *s, sg_bytes item, int64_t time, sg_error *err);
/* The history that the dataset holds of this user. SG_ERR_MISSING: it does not know the user. */
sg_status sg_query_add_user(sg_query *q, const sg_source *s, sg_bytes user, sg_error *err);
/* Room for the filter; nothing, or everything, is allowed so far. Afterwards single items are switched. */
sg_status sg_query_filter(sg_query *q, const sg_source *s, bool allowed, sg_error *err);
void sg_query_switch(sg_query *q, const sg_source *s, sg_bytes item,
                     bool allowed); /* an unknown item: nothing */

/* The history as models take it: borrows from q, and offsets (2) is the caller's. */
sg_histories sg_query_histories(const sg_query *q, int64_t offsets[2]);
sg_status sg_query_run(sg_query *q, sg_session *session, sg_error *err);

/* Scratch of requests that run together; zeroed at first, kept from batch to batch. */
typedef struct sg_batch {
    int64_t *offsets, *time;
    int32_t *history, *user, *item;
    float *score;
    sg_past **past;
    size_t cap_offsets, cap_time, cap_history, cap_user, cap_item, cap_score, cap_past;
} sg_batch;
void sg_batch_free(sg_batch *b);
/* May the two run together? The hits are those that each would find alone. All have pasts, or none. */
bool sg_query_alike(const sg_query *a, const sg_query *b);
sg_status sg_query_run_batch(sg_query *const *q, int n, sg_batch *b, sg_session *session, sg_error *err);

#endif
