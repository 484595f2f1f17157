/* attributes.h - what item text says of an item in so many words: its categories and other values shared with other items. */
#ifndef SG_MODELS_ATTRIBUTES_H
#define SG_MODELS_ATTRIBUTES_H

#include "data/dataset.h"

typedef struct sg_attributes {
    int n;            /* different ones, numbered from the most frequent */
    int64_t *offsets; /* owned (n_items + 1) */
    int32_t *
        id; /* owned: those of item i are id[offsets[i]] .. id[offsets[i + 1] - 1], each once, in order of the text */
} sg_attributes;

/* Of the columns that text/columns.h calls paths, every path from its root ("A", "A > B"); of those it calls categories, the cell.
 * names: which columns, comma separated ("": all). The `most` most frequent are kept. */
sg_status sg_attributes_new(sg_attributes *out, const sg_dataset *d, const char *names, int most,
                            sg_error *err);
void sg_attributes_free(sg_attributes *a);

#endif
