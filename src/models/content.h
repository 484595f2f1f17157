/* content.h - weights that start from item vectors, so that a model knows what an item is like before its first event. */
#ifndef SG_MODELS_CONTENT_H
#define SG_MODELS_CONTENT_H

#include "models/model.h"

/* Row r of *out (n_rows, dim) is the mean vector of the items that name it, less the mean of all items, cut after `dim` numbers
 * (the strongest directions, when the vectors come from an SVD) or filled up with zeros; a row that nobody names is zero. All
 * are scaled by one factor to the root mean square `spread`. row (n_items, per): the rows an item names, -1: none.
 * SG_ERR_MISSING without vectors. *out is owned by the caller (sg_free). */
sg_status sg_content_rows(float **out, const sg_train_data *t, const int32_t *row, int per, int32_t n_rows,
                          int dim, double spread, sg_error *err);
/* What makes such a row of one item's vector x: frame (dim + 1), row j is (x_j - frame[j]) spread / frame[dim], where x has j. */
sg_status sg_content_frame(double **frame, const sg_train_data *t, int dim, sg_error *err);
void sg_content_row(float *row, const double *frame, const float *x, int have, int dim, double spread);
/* The vectors of all items, as above, are added to the rows of an item table (n_items, dim). */
sg_status sg_content_add(sg_param *table, const sg_train_data *t, double spread, sg_error *err);

#endif
