/* registry.c - every model this build knows, in the order of `sedge models`; a new one is its file and a line here. */
#include "models/model.h"

#define MODELS(X)                                                                                            \
    X(pop)                                                                                                   \
    X(markov1)                                                                                               \
    X(itemknn)                                                                                               \
    X(star)                                                                                                  \
    X(gru4rec)                                                                                               \
    X(narm)                                                                                                  \
    X(attrec)                                                                                                \
    X(sasrec)                                                                                                \
    X(vqrec)                                                                                                 \
    X(heterrec)                                                                                              \
    X(bert4rec)                                                                                              \
    X(s3rec)                                                                                                 \
    X(recgpt)                                                                                                \
    X(hstu)                                                                                                  \
    X(hstu_rank)                                                                                             \
    X(sid_rank)                                                                                              \
    X(tiger)                                                                                                 \
    X(cobra)                                                                                                 \
    X(bm25)                                                                                                  \
    X(dsi)                                                                                                   \
    X(onerec)                                                                                                \
    X(onerec_reward)

#define DECLARED(name) extern const sg_model_class sg_model_##name;
MODELS(DECLARED)

#define LISTED(name) &sg_model_##name,
const sg_model_class *const sg_model_classes[] = {MODELS(LISTED) NULL};
