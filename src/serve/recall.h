/* recall.h - pasts of histories between requests, the latest used, within a budget of bytes.
 *
 * A request takes the past of its history, which is then nobody else's, continues it and puts it back. Whether a past fits a
 * history is not decided here: it says which events it holds (models/past.h), so an event that another server wrote, or one
 * that came late, cannot make an answer wrong. Pasts hang on the model that made them and go with it. Any thread. */
#ifndef SG_SERVE_RECALL_H
#define SG_SERVE_RECALL_H

#include "base/buf.h"
#include "models/model.h"

typedef struct sg_recall sg_recall;

typedef struct sg_recall_counts {
    uint64_t hits, misses;         /* a past was there for a history; it had to be read from the beginning */
    uint64_t evictions, forgotten; /* for want of room; not asked for so long, erased, or left by an error */
    size_t bytes, pasts;           /* kept now */
} sg_recall_counts;

/* bytes: of all pasts that nobody works with; seconds: that one is kept without being asked for. NULL *out: the model keeps no
 * pasts, or bytes is 0. */
sg_status sg_recall_new(sg_recall **out, const sg_model *m, size_t bytes, double seconds, sg_error *err);
void sg_recall_free(sg_recall *r); /* NULL is fine, in all functions */

/* What a past is found by. A user's is one; a history's is that of all its events. */
uint64_t sg_recall_user(sg_bytes user);
/* A ticket is drawn before histories are looked up: what somebody erased since is not kept. */
uint64_t sg_recall_ticket(sg_recall *r);
/* The past of a user, or one that holds this history or the greater part of it; else a new one. NULL: none are kept, or out
 * of memory. user 0: nobody's. *key: to put it back under. */
sg_past *sg_recall_take(sg_recall *r, uint64_t user, const int32_t *item, size_t n, uint64_t *key);
void sg_recall_put(sg_recall *r, sg_past *p, uint64_t key, uint64_t ticket);
void sg_recall_drop(sg_recall *r, sg_past *p); /* an error has left it of no use */
void sg_recall_forget(sg_recall *r, uint64_t user);
void sg_recall_sweep(sg_recall *r, double now); /* lets go of those not asked for so long */
void sg_recall_close(sg_recall *r);             /* frees all and keeps nothing more */
sg_recall_counts sg_recall_count(sg_recall *r);

#endif
