/* learner.h - what learns when a language model is tuned: a decoder or a T5, itself or an adapter beside it, behind one interface. */
#ifndef SG_LM_LEARNER_H
#define SG_LM_LEARNER_H

#include "lm/adapter.h"
#include "lm/lessons.h"
#include "lm/tune.h"

typedef struct sg_learner sg_learner;
typedef struct sg_learner_ops {
    sg_tensor *(*loss)(sg_learner *l, sg_graph *g, const sg_lessons *from, const uint32_t *lesson, size_t n,
                       float smooth);
    sg_status (*save)(const sg_learner *l, const char *model, const char *dir, sg_error *err);
    sg_status (*save_tokenizer)(const sg_learner *l, const char *model, const char *dir,
                                sg_error *err); /* one with new tokens */
    void (*free)(sg_learner *l);
} sg_learner_ops;

struct sg_learner {
    const sg_learner_ops *ops;
    sg_params *weights;     /* borrowed: of the model */
    sg_adapter *adapter;    /* owned; NULL: the model itself learns */
    sg_lessons_for lessons; /* how texts become its lessons */
    int layers, dim, vocab;
    int places; /* tokens of a lesson, at most */
    int beside; /* tokens that a step reads for each lesson beside the lesson's own */
    bool recompute;
};

/* The model of a job with what learns as the options say. */
sg_status sg_learner_open(sg_learner **out, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                          sg_error *err);

/* The mean loss of a token that counts, over n lessons; smooth: share of each target that is spread over all tokens; NULL: the graph's
 * error. */
static inline sg_tensor *sg_learner_loss(sg_learner *l, sg_graph *g, const sg_lessons *from,
                                         const uint32_t *lesson, size_t n, float smooth)
{
    return l->ops->loss(l, g, from, lesson, n, smooth);
}

/* The adapter, or the model, into a folder; `model` is where it was read from. */
static inline sg_status sg_learner_save(const sg_learner *l, const char *model, const char *dir,
                                        sg_error *err)
{
    sg_status st;

    if (!l->adapter)
        return l->ops->save(l, model, dir, err);
    if ((st = sg_adapter_save(l->adapter, dir, err)) || !l->adapter->tokenizer)
        return st;
    return l->ops->save_tokenizer(l, model, dir, err);
}

static inline void sg_learner_free(sg_learner *l)
{
    if (l)
        l->ops->free(l);
}

/* For the files of learners: hands l over, or frees it where opening its model failed. */
static inline sg_status sg_learner_made(sg_learner **out, sg_learner *l, sg_status opened)
{
    *out = opened ? NULL : l;
    if (opened)
        sg_learner_free(l);
    return opened;
}

/* For the files of learners: an adapter as the options say; words: the table that a prompt's vectors are drawn from; vocab: tokens with
 * new ones, 0: none are new. */
sg_status sg_learner_adapter(sg_adapter **out, const sg_tune_job *job, const sg_tune_config *c,
                             const sg_adapter_host *host, const sg_param *words, int vocab, sg_error *err);
sg_status sg_learner_llama(sg_learner **out, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                           sg_error *err);
sg_status sg_learner_t5(sg_learner **out, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                        sg_error *err);

#endif
