/* postings.h - inverted lists: for each word of a lexicon the documents that hold it, and how often.
 *
 * In the model folder as lengths I32 (n_items), words of each document; postings.offsets I64 (words + 1), postings.doc I32,
 * ascending for a word, postings.count U16: 6 bytes a word of a document. More than 65,535 places of a word count as so many. */
#ifndef SG_MODELS_POSTINGS_H
#define SG_MODELS_POSTINGS_H

#include "models/lexicon.h"

typedef struct sg_postings {
    const int32_t *length;  /* (n_items) */
    const int64_t *offsets; /* (words + 1) */
    const int32_t *doc;
    const uint16_t *count;
} sg_postings;

/* Of all columns of all documents; words that the lexicon leaves out are none of the lengths either. Same bytes for any number of
 * threads. */
sg_status sg_postings_fit(sg_model *m, const sg_dataset *d, const sg_lexicon *x, sg_pool *pool,
                          sg_error *err);
/* From the arrays of the model, every number checked; *words: of all documents together, at least 1. */
sg_status sg_postings_need(sg_postings *out, int64_t *words, const sg_model *m, const sg_lexicon *x,
                           sg_error *err);

#endif
