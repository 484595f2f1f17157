/* encode.h - an ID for a new item from what `tokenize` left in DATA/ids.safetensors; nothing is fitted again, so the IDs
 * that exist stay as they are. */
#ifndef SG_QUANTIZE_ENCODE_H
#define SG_QUANTIZE_ENCODE_H

#include "base/pool.h"
#include "index/catalogue.h"

typedef struct sg_encoder sg_encoder;

sg_status sg_encoder_open(sg_encoder **out, const char *path, sg_error *err); /* methods with codebooks */
void sg_encoder_close(sg_encoder *e);
int sg_encoder_dim(const sg_encoder *e);    /* of an item's vector */
int sg_encoder_levels(const sg_encoder *e); /* codes before the collision digit */

/* Codes of vectors x (n, dim) before anything makes them unique: (n, levels). */
sg_status sg_encoder_codes(const sg_encoder *e, int32_t *codes, const float *x, size_t n, sg_pool *pool,
                           sg_error *err);
/* The ID of one new item in c: its codes with the least collision digit that is free; with the policy `next`, or where no
 * digit is left, the nearest last code that is. codes (levels of c). SG_ERR_USAGE when nothing behind its prefix is free. */
sg_status sg_encoder_place(const sg_encoder *e, int32_t *codes, const float *x, const sg_catalogue *c,
                           sg_error *err);

#endif
