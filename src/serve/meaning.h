/* meaning.h - what a set of items has in common, in words of their texts. */
#ifndef SG_SERVE_MEANING_H
#define SG_SERVE_MEANING_H

#include "data/dataset.h"
#include "index/catalogue.h"

#include <jansson.h>

typedef struct sg_meaning sg_meaning;

sg_status sg_meaning_new(sg_meaning **out, const sg_dataset *d, sg_error *err); /* d borrowed */
void sg_meaning_free(sg_meaning *m);
/* At most n words that the items of leaves first .. last - 1 have more often than the catalogue; NULL: out of memory. Items of
 * the catalogue are numbered as in the dataset; those that came later are left out. */
json_t *sg_meaning_words(sg_meaning *m, const sg_catalogue *c, int32_t first, int32_t last, int n);

#endif
