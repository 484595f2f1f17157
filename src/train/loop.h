/* loop.h - inside src/train: what passes in shuffled order and passes in order of time share. */
#ifndef SG_TRAIN_LOOP_H
#define SG_TRAIN_LOOP_H

#include "train/checkpoint.h"

typedef struct sg_stream sg_stream;

typedef struct sg_loop {
    sg_model *m;
    const sg_train_data *data;
    const sg_train_spec *spec;
    sg_pool *pool;
    const sg_progress *progress;
    const char *dir;
    sg_graph *graph;
    sg_optim *optim;
    uint32_t *order;   /* (n_most): permutation of this pass */
    size_t n, n_most;  /* examples of this pass, and of the largest */
    int64_t per_epoch; /* steps */
    int64_t total;
    int64_t pretrain; /* steps before the first that may be validated */
    double seconds_before, started;
    int bad;
    sg_stream *stream;    /* owned; NULL: shuffled epochs */
    sg_train_state state; /* everything a checkpoint keeps */
} sg_loop;

/* One step of pass number `pass`, which began at step `first`. On SG_ERR_CANCEL the step is whole. */
sg_status sg_loop_step(sg_loop *l, int64_t pass, int64_t first, sg_error *err);
bool sg_loop_over(const sg_loop *l); /* no step is left, or no time */
sg_status sg_loop_checkpoint(sg_loop *l, sg_error *err);
sg_status sg_loop_stopped(sg_loop *l,
                          sg_status st); /* leaves a checkpoint after a cancelled step; returns st */
void sg_loop_remember(sg_loop *l, const double metric[2]);
typedef struct sg_loop_text {
    char text[32];
} sg_loop_text;

sg_loop_text sg_loop_number(double x, int digits,
                            const char *none); /* none: for NaN, what could not be measured */
double sg_loop_seconds(const sg_loop *l);
double sg_loop_rate(const sg_loop *l); /* learning rate of the next step */

/* stream.c. plan: the windows, and how many steps each takes, into l. report: what the windows showed, into `report`; without a
 * stream nothing. */
sg_status sg_stream_plan(sg_loop *l, sg_error *err);
sg_status sg_stream_run(sg_loop *l, sg_error *err);
sg_status sg_stream_report(const sg_loop *l, json_t *report, sg_error *err);
void sg_stream_free(sg_stream *s);

#endif
