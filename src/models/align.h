/* align.h - preference alignment of a model that writes slates.   [OneRec: Deng et al. 2025, section 3.4; DPO: Rafailov et al. 2023]
 *
 * One round: for a share of the examples the model writes slates by beam search; a judge (models/reward.h) says which is best, y_w, and
 * which worst, y_l; the loss
 *
 *   -log s(beta (log p(y_w) - log p_0(y_w)) - beta (log p(y_l) - log p_0(y_l)))
 *
 * moves the weights from p_0, those that the round began with, which stay as they were. */
#ifndef SG_MODELS_ALIGN_H
#define SG_MODELS_ALIGN_H

#include "models/slate.h"

#include <jansson.h>

enum { SG_SLATE_MOST = 16 };

typedef struct sg_align_spec {
    const char *reward; /* folder of the judge */
    double least;       /* pairwise accuracy of the judge below which nothing is aligned */
    double share;       /* of examples that get a pair */
    int responses, branch, items;
    double gap;  /* best and worst must be further apart */
    bool random; /* pairs at random instead of best and worst: a control */
    double beta;
    uint64_t seed; /* of what is drawn: which examples, which of their events, the pairs of the control */
} sg_align_spec;

typedef struct
    sg_align_example { /* of the model: events first .. last may be what comes next, begin the first that is read */
    int32_t user;
    int64_t begin, first, last;
} sg_align_example;

typedef struct sg_pair {
    uint32_t example;
    int64_t end;                    /* the history is events begin of the example .. end - 1 */
    int32_t item[2][SG_SLATE_MOST]; /* y_w, y_l */
    float reward[2];
} sg_pair;

typedef struct sg_align {
    sg_align_spec spec;
    sg_model *model; /* borrowed */
    sg_coder coder;  /* the model's without dropout; borrows all */
    const sg_dataset *data;
    const sg_align_example *examples; /* borrowed */
    sg_pair *pairs;                   /* owned (n), ascending by example */
    size_t n;
    int32_t *pair_of; /* owned (examples): -1: none */
    float **before;   /* owned: a copy of each weight at the start, until `reference` is filled */
    float *reference; /* owned (n, 2): log p_0 of y_w and y_l */
    float *opening;   /* owned (n, codes of the first level): log p_0 of the first code */
    double accuracy, reward_best, reward_worst; /* of the judge; means over the pairs */
    int64_t asked;                              /* examples that slates were written for */
} sg_align;

/* Writes and judges slates with the weights as they are, in one thread: the same pairs whenever it is asked again. */
sg_status sg_align_start(sg_align *a, sg_model *m, const sg_coder *coder, const sg_train_data *t,
                         const sg_align_example *examples, size_t n, const sg_align_spec *spec,
                         sg_error *err);
void sg_align_free(sg_align *a);
/* DPO loss, the mean over the pairs of the batch's examples; NULL without an error when they have none. */
sg_tensor *sg_align_loss(sg_graph *g, sg_align *a, const uint32_t *example, int n);
/* What the round has done so far, on the first pairs: loss, share of pairs in order, KL of the first code from p_0. */
sg_status sg_align_notes(sg_align *a, sg_pool *pool, json_t *notes, sg_error *err);

#endif
