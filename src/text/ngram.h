/* ngram.h - the features of one item: word n-grams, character n-grams inside words, paths and categories, with counts. */
#ifndef SG_TEXT_NGRAM_H
#define SG_TEXT_NGRAM_H

#include "text/columns.h"
#include "text/normalise.h"

typedef struct sg_ngram_spec {
    int words; /* word n-grams of 1 .. words; 0: none */
    int chars_least,
        chars_most; /* character n-grams of a word between two spaces: " ab", "ab "; chars_most 0: none */
} sg_ngram_spec;

typedef struct sg_gram {
    uint64_t hash;
    uint32_t count;
} sg_gram;

typedef struct sg_grams { /* of one item; reused for the next */
    sg_gram *list;        /* owned: each hash once, in order of first appearance */
    size_t n, cap;
    sg_words words; /* owned scratch */
    uint64_t *raw;  /* owned scratch: hashes with repeats */
    size_t n_raw, cap_raw;
    uint32_t *table; /* owned scratch: hash -> position in list + 1 */
    size_t cap_table;
} sg_grams;

sg_status sg_grams_of_item(sg_grams *g, const sg_text_plan *plan, const sg_ngram_spec *spec, size_t item,
                           sg_error *err);
void sg_grams_free(sg_grams *g);

#endif
