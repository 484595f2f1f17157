/* reward.h - what a slate (the items of one visit, in order) is worth to the user it is shown to: the judge of preference
 * alignment. The class is `onerec-reward`. */
#ifndef SG_MODELS_REWARD_H
#define SG_MODELS_REWARD_H

#include "models/model.h"

typedef struct sg_slates {
    int n;
    const int32_t *of; /* (n) row of the history that each comes after */
    const int32_t *
        offsets; /* (n + 1): the items of slate i are item[offsets[i]] .. item[offsets[i + 1] - 1], at least one */
    const int32_t *item;
} sg_slates;

extern const sg_model_class sg_model_onerec_reward;

/* p (n, tasks of the model): what it expects of each slate. The session's model is an onerec-reward. */
sg_status sg_reward_slates(sg_session *s, const sg_histories *h, const sg_slates *slates, float *p,
                           sg_error *err);
/* How often it is right which of two held-out slates was the better one by its goal, of all pairs of slates that differ; their
 * users were left out of its training. */
typedef struct sg_reward_trust {
    double accuracy; /* NaN: no pairs */
    int64_t slates, pairs;
} sg_reward_trust;
bool sg_reward_held(const sg_model *m, int32_t user);
sg_status sg_reward_check(sg_reward_trust *out, const sg_model *m, const sg_train_data *t, sg_pool *pool,
                          sg_error *err);

#endif
