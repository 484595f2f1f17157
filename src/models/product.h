/* product.h - items of a model by codes of their vectors: fitted to them (optimised product quantisation), or by another model's codebooks.
 * What is kept with the model: codes I32 (n_items, groups), codebooks F32 (groups, codes, dim / groups), rotation F32 (dim, dim). */
#ifndef SG_MODELS_PRODUCT_H
#define SG_MODELS_PRODUCT_H

#include "models/model.h"

sg_status sg_product_fit(sg_model *m, const sg_vectors *v, int groups, int codes, sg_error *err);
/* By the codebooks that `from` keeps. */
sg_status sg_product_take(sg_model *m, const sg_model *from, const sg_vectors *v, int groups, int codes,
                          sg_error *err);
/* *row (n_items, groups), owned by the caller (sg_free), NULL before the first call: g codes + code, rows of a table of all codes. Refuses
 * what a folder may not hold. */
sg_status sg_product_rows(int32_t **row, const sg_model *m, int groups, int codes, sg_error *err);

#endif
