/* optim.h - how weights move: AdamW (dense, and row-wise sparse for tables), Adagrad, SGD; schedules; clipping. */
#ifndef SG_NN_OPTIM_H
#define SG_NN_OPTIM_H

#include "nn/param.h"

typedef enum sg_optim_kind { SG_OPTIM_ADAMW, SG_OPTIM_ADAGRAD, SG_OPTIM_SGD } sg_optim_kind;
typedef enum sg_schedule {
    SG_SCHEDULE_CONSTANT,
    SG_SCHEDULE_LINEAR,
    SG_SCHEDULE_COSINE,
    SG_SCHEDULE_INVSQRT
} sg_schedule;

typedef struct sg_optim_spec {
    sg_optim_kind kind;
    double lr, beta1, beta2, eps, weight_decay; /* decoupled decay; SGD: beta1 is momentum */
    double clip;                                /* global gradient norm; 0: none */
    sg_schedule schedule;
    int64_t warmup;  /* steps of linear rise */
    int64_t hold;    /* steps at the full rate after the rise, before the fall */
    int64_t total;   /* LINEAR, COSINE: steps until the floor, rise and hold included */
    double lr_floor; /* LINEAR, COSINE: share of lr at the end */
    bool row_wise; /* sparse tables: one second moment per row (mean of squares) instead of one per number */
    double accumulator; /* ADAGRAD: second moment before the first step */
} sg_optim_spec;

typedef struct sg_optim sg_optim;
/* ps borrowed; gradients are allocated here when they are not there yet. */
sg_status sg_optim_new(sg_optim **out, sg_params *ps, const sg_optim_spec *spec, sg_error *err);
void sg_optim_free(sg_optim *o);
/* One update from the gradients; bumps param->version and zeroes the gradients. *norm (may be NULL): gradient norm
 * before clipping. A NaN or infinite norm changes nothing, gradients included, and returns SG_ERR_NUMERIC naming the
 * weight; a loop that skips such a step calls sg_params_zero_grads. Sparse tables: rows not touched stay bit-equal
 * (lazy: their moments wait; the bias correction uses the global step). Threads do not change the result. */
sg_status sg_optim_step(sg_optim *o, sg_pool *pool, double *norm, sg_error *err);
double sg_schedule_lr(const sg_optim_spec *spec, int64_t step); /* lr of the step-th update, from 1 */
int64_t sg_optim_steps(const sg_optim *o);
/* The moments as named arrays, to be saved with a checkpoint and put back bit for bit. */
typedef struct sg_optim_slot {
    char name[120]; /* "m.NAME", "v.NAME" */
    float *data;
    size_t count;
} sg_optim_slot;
size_t sg_optim_slots(const sg_optim *o, sg_optim_slot *out, size_t cap); /* returns how many there are */
void sg_optim_set_steps(sg_optim *o, int64_t steps);

#endif
