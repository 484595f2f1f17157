/* refresh.h - inside src/quantize: codebooks and IDs of before, as the start of new ones. */
#ifndef SG_QUANTIZE_REFRESH_H
#define SG_QUANTIZE_REFRESH_H

#include "quantize/quantize.h"

typedef struct sg_former {
    sg_ids ids;          /* owned */
    const float *book;   /* (levels, codes, dim) */
    bool digit;          /* its last level is a collision digit */
    int32_t n;           /* items now */
    const int32_t **was; /* owned (n): the old ID of each, NULL: it is new */
    int32_t known, gone; /* items of both, items of before alone */
} sg_former;

/* IDs of the dataset dir, which have to be of rkmeans in the shape that c asks; dim: of the item vectors. */
sg_status sg_former_open(sg_former *f, const char *dir, const sg_dataset *d, const sg_tokenize_config *c,
                         int dim, sg_error *err);
void sg_former_close(sg_former *f); /* a zeroed one is fine */

/* Codes before the digit. */
sg_status sg_refresh(sg_codes *out, const sg_former *f, const sg_quantize_data *d,
                     const sg_tokenize_config *c, sg_pool *pool, const sg_progress *progress, sg_error *err);
/* The digit that an item had behind the codes that it still has; -1: they are others. */
int32_t sg_former_digit(const sg_former *f, const sg_codes *c, size_t item);
/* {from, items, new, gone, kept, kept_prefixes}: shares of the items of both whose ID, or first codes, stayed; NULL: out of memory. */
json_t *sg_former_report(const sg_former *f, const sg_codes *c, const char *dir);

#endif
