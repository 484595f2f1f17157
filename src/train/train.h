/* train.h - the loop: shuffled batches, validation, early stop, best on validation, checkpoints, bit-exact resume. */
#ifndef SG_TRAIN_TRAIN_H
#define SG_TRAIN_TRAIN_H

#include "models/model.h"
#include "nn/optim.h"

#include <jansson.h>

#define SG_TRAIN_OPTIONS(X)                                                                                  \
    X(int, epochs, 100, 1, 1000000, "passes over the training examples, at most")                            \
    X(int, steps, 0, 0, 2000000000, "optimizer steps, at most (0: by epochs alone)")                         \
    X(float, minutes, 0, 0, 1000000,                                                                         \
      "training time, at most (0: no limit; makes the result depend on the machine)")                        \
    X(int, batch, 256, 1, 1000000, "examples a step")                                                        \
    X(choice, optimizer, adamw, 0, 0, "adamw|adagrad|sgd: how weights move")                                 \
    X(float, lr, 0.001, 0, 10, "learning rate")                                                              \
    X(float, beta1, 0.9, 0, 0.9999, "first moment decay (SGD: momentum)")                                    \
    X(float, beta2, 0.98, 0, 0.99999, "second moment decay")                                                 \
    X(float, eps, 1e-8, 0, 1, "added to the root of the second moment")                                      \
    X(float, weight_decay, 0, 0, 10, "decoupled weight decay")                                               \
    X(float, clip, 1, 0, 1000000, "gradient norm, at most (0: no clipping)")                                 \
    X(choice, schedule, constant, 0, 0, "constant|linear|cosine|invsqrt: learning rate over time")           \
    X(int, warmup, 0, 0, 1000000000, "steps of linear rise of the learning rate")                            \
    X(float, lr_floor, 0, 0, 1, "linear, cosine: share of lr left at the end")                               \
    X(bool, row_wise, false, 0, 1, "one second moment per table row instead of per number")                  \
    X(float, valid_every, 1, 0.0001, 1000000, "epochs between validations")                                  \
    X(int, valid_users, 0, 0, 1000000000,                                                                    \
      "users of the validation split asked each time (0: all; same ones each time)")                         \
    X(int, patience, 10, 0, 1000000,                                                                         \
      "validations without a better NDCG@10 (AUC) before stopping (0: never)")                               \
    X(float, checkpoint_every, 1, 0.0001, 1000000, "epochs between checkpoints")                             \
    X(int, stream, 0, 0, 100000,                                                                             \
      "one pass in order of time, in so many windows of as many events: each is predicted, then learned "    \
      "from (0: off)")                                                                                       \
    X(float, ema, 0, 0, 0.99999, "decay of an average of the weights, used for validation and kept (0: off)")

typedef struct sg_train_config {
    SG_TRAIN_OPTIONS(SG_OPTION_FIELD)
} sg_train_config;
extern const sg_option sg_train_options[];
extern const size_t sg_n_train_options;

typedef struct sg_train_spec {
    sg_train_config config;
    uint64_t seed;
    bool resume; /* go on from DIR/checkpoint when there is one */
    sg_precision precision;
} sg_train_spec;

/* Trains a built model and leaves the best-on-validation model in dir, with dir/training.jsonl (one object a validation:
 * step, epoch, loss, lr, valid metrics, seconds). dir/checkpoint exists while unfinished. *report: owned by the caller. */
sg_status sg_train(sg_model *m, const sg_train_data *t, const char *dir, const sg_train_spec *spec,
                   sg_pool *pool, const sg_progress *progress, json_t **report, sg_error *err);

#endif
