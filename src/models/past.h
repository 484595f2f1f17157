/* past.h - what reading a history leaves behind: keys and values, or a state, of the events read. A later request of the
 * same history with more events reads those alone, and gets what it would get from the beginning, to the last digit.
 *
 * A past says which events it holds; what a request does not have in common with them is cut off first. So a past never
 * has to be told that something changed: an event that came late, an erased user, another user altogether only make it
 * shorter. It belongs to one thread at a time, and to one model. */
#ifndef SG_MODELS_PAST_H
#define SG_MODELS_PAST_H

#include "models/model.h"

struct sg_past {
    const sg_model *model; /* borrowed: must outlive the past */
    int n, cap;            /* events read */
    int32_t *item;         /* owned (cap): of each */
    int64_t *time;         /* owned (cap); 0 where histories have none */
    bool timed;            /* they had times */
    int32_t user;          /* as models that know users read it; -1: unknown */
    void *state;           /* owned: the class's past_bytes */
};

/* The first event of history i that is read: the latest `length`, where the window moves by `step` events at a time, so that
 * what was read stays good until it moves. */
int64_t sg_window_begin(const sg_histories *h, int i, int length, int step);
/* Cuts the past of history i down to what it has in common with the events from `begin`, less the last `ahead` of them,
 * whose reading depended on so many events that follow, and to `most` at most. Returns how many those are. */
int sg_past_agree(const sg_histories *h, int i, int64_t begin, int ahead, int most);
/* Notes that the events from `begin` are read. False: out of memory. */
bool sg_past_note(const sg_histories *h, int i, int64_t begin);

/* The state of a past of models whose blocks keep keys and values. */
typedef struct sg_kept_past {
    sg_kept *kept; /* owned (n) */
    int n;
} sg_kept_past;
/* (blocks, h->n): what the pasts of h keep of each block, in step memory. NULL: out of memory, the graph says so. */
sg_kept *const *sg_pasts_kept(sg_graph *g, const sg_histories *h, int blocks);
int sg_kept_past_cut(sg_past *p, int n, int tokens); /* n events are so many tokens */
size_t sg_kept_past_size(const sg_past *p);
void sg_kept_past_fini(sg_past *p);

#endif
