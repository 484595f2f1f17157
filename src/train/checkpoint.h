/* checkpoint.h - one file that a killed run continues from with the same bytes. */
#ifndef SG_TRAIN_CHECKPOINT_H
#define SG_TRAIN_CHECKPOINT_H

#include "base/buf.h"
#include "train/train.h"

typedef struct sg_train_state {
    int64_t step;          /* optimizer steps tried */
    int64_t resumed_at;    /* not saved */
    int64_t best_step;     /* -1: none yet */
    int64_t since_best;    /* validations */
    int64_t skipped;       /* steps without a finite gradient */
    double best_metric[2]; /* as sg_eval_select gave them */
    double loss_sum;       /* since the last validation */
    int64_t loss_n;
    double seconds;
    float **best;    /* owned: a copy of each weight at best_step */
    float **average; /* owned: moving average of each weight, or NULL */
    sg_buf log;      /* training.jsonl so far */
} sg_train_state;

sg_status sg_train_state_init(sg_train_state *s, const sg_params *ps, bool average, sg_error *err);
void sg_train_state_fini(sg_train_state *s, const sg_params *ps);

/* DIR/checkpoint/state.safetensors, replaced atomically. Load: nothing there leaves everything as it is; a checkpoint of another
 * model, data or options is refused with what differs. */
sg_status sg_checkpoint_save(const char *dir, const sg_model *m, const sg_optim *o, const sg_train_state *s,
                             const sg_train_spec *spec, sg_error *err);
sg_status sg_checkpoint_load(const char *dir, sg_model *m, sg_optim *o, sg_train_state *s,
                             const sg_train_spec *spec, sg_error *err);

#endif
