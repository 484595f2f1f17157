/* star.h - STAR's rows of item similarity and co-occurrence beside another model. */
#ifndef SG_MODELS_STAR_H
#define SG_MODELS_STAR_H

#include "models/counts.h"

typedef struct sg_star {
    sg_sparse near;
    sg_sparse_vote vote; /* borrows near: a sg_star stays where it is */
} sg_star;

/* The rows as model `star` makes them with its default options, but with this share of text similarity, into arrays of m. */
sg_status sg_star_fit(sg_model *m, double a, const sg_train_data *t, sg_error *err);
/* Finds them again; sg_sparse_score with out->vote adds `weight` times STAR's scores to what `scores` holds. */
sg_status sg_star_need(sg_star *out, const sg_model *m, double weight, sg_error *err);

#endif
