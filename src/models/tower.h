/* tower.h - what a model folder keeps for texts and items that it has never seen: the encoder that made its items' vectors and
 * the codebooks that made their semantic IDs, so that an item can come without a training.
 *
 *   encoder.safetensors     the dataset's (text/encoder_file.h), when it belongs to the dataset's vectors
 *   codebooks.safetensors   the dataset's ids.safetensors, when these vectors lead to the semantic IDs */
#ifndef SG_MODELS_TOWER_H
#define SG_MODELS_TOWER_H

#include "models/model.h"

typedef struct sg_tower sg_tower; /* read-only once open: any number of threads may use it */

/* Puts both files into a model folder and its manifest; what the dataset does not have goes. */
sg_status sg_tower_save(const char *model_dir, const sg_train_data *t, sg_error *err);

/* language_model: folder of an encoder for texts, and for items when theirs was one; NULL: none. */
sg_status sg_tower_open(sg_tower **out, const char *model_dir, const char *language_model, sg_error *err);
void sg_tower_close(sg_tower *t);

/* Any texts. Their encoder's name ("lsa", or the name of the language model's folder), NULL: there is none. */
const char *sg_tower_name(const sg_tower *t);
int sg_tower_dim(const sg_tower *t); /* what texts have; of a language model: 0 before the first text */
/* *x (n, *dim): owned by the caller, unit length; *tokens: of all texts, of the built-in encoder its words. */
sg_status sg_tower_texts(float **x, int32_t *dim, size_t *tokens, const sg_tower *t, const sg_bytes *text,
                         size_t n, sg_error *err);

/* Items. SG_ERR_USAGE says why new ones cannot have a semantic ID here. */
sg_status sg_tower_takes_items(const sg_tower *t, sg_error *err);
int sg_tower_columns(const sg_tower *t);
const char *sg_tower_column(const sg_tower *t, int i);
int sg_tower_item_dim(const sg_tower *t);
/* Vector x (item_dim) of an item with these texts (columns), size 0 where it has none. SG_ERR_USAGE: they say nothing. */
sg_status sg_tower_item(float *x, const sg_tower *t, const sg_bytes *text, sg_error *err);
/* Its semantic ID codes (levels) among those of c; SG_ERR_USAGE when nothing behind its prefix is free. */
sg_status sg_tower_place(int32_t *codes, const sg_tower *t, const float *x, const sg_catalogue *c,
                         sg_error *err);
const char *sg_tower_sha256(const sg_tower *t); /* names encoder and codebooks: equal, equal IDs */

#endif
