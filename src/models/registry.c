/* registry.c - every model this build knows; a new one is its file and a line here. */
#include "models/model.h"

extern const sg_model_class sg_model_pop, sg_model_markov1, sg_model_itemknn, sg_model_star, sg_model_gru4rec,
    sg_model_narm, sg_model_attrec, sg_model_sasrec, sg_model_bert4rec, sg_model_s3rec, sg_model_recgpt,
    sg_model_hstu, sg_model_tiger;

const sg_model_class *const sg_model_classes[] = {
    &sg_model_pop,      &sg_model_markov1,
    &sg_model_itemknn,  &sg_model_star,
    &sg_model_gru4rec,  &sg_model_narm,
    &sg_model_attrec,   &sg_model_sasrec,
    &sg_model_bert4rec, &sg_model_s3rec,
    &sg_model_recgpt,   &sg_model_hstu,
    &sg_model_tiger,    NULL,
};
