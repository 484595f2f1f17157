/* lsa.h - item vectors from text with nothing to download: tf-idf over word and character n-grams, randomised SVD. */
#ifndef SG_TEXT_LSA_H
#define SG_TEXT_LSA_H

#include "base/option.h"
#include "base/pool.h"
#include "base/progress.h"
#include "data/dataset.h"

#include <jansson.h>

#define SG_LSA_OPTIONS(X)                                                                                    \
    X(int, dim, 256, 1, 4096, "width of the vectors (less when the text has lower rank)")                    \
    X(int, words, 2, 0, 3, "word n-grams up to this length (0: none)")                                       \
    X(int, chars_least, 3, 1, 8, "shortest character n-gram")                                                \
    X(int, chars_most, 5, 0, 8, "longest character n-gram inside words (0: none)")                           \
    X(int, df_least, 2, 1, 1000000, "n-grams in fewer items are dropped")                                    \
    X(float, df_most, 0.5, 0, 1, "n-grams in a larger share of items are dropped")                           \
    X(int, features, 200000, 16, 16777216, "n-grams kept, by document frequency")                            \
    X(float, power, 1, 0, 1, "vectors are scaled by singular values to this power (0: whitened)")            \
    X(int, iterations, 4, 0, 20, "power iterations of the randomised SVD")                                   \
    X(int, fit_items, 200000, 16, 2147483647, "items the SVD is fitted on, at most; all are projected")      \
    X(bool, normalise, true, 0, 1, "rows to unit length")                                                    \
    X(text, columns, "", 0, 255, "text columns, comma separated (empty: all)")                               \
    X(int, seed, 1, 0, 2147483647, "random seed")

typedef struct sg_lsa_config {
    SG_LSA_OPTIONS(SG_OPTION_FIELD)
} sg_lsa_config;
extern const sg_option sg_lsa_options[];
extern const size_t sg_n_lsa_options;

/* What makes a vector of a text that comes later (text/encoder_file.h writes it down). */
typedef struct sg_lsa_fit {
    int32_t features, dim;
    uint64_t *hash; /* owned (features) */
    float *idf;     /* owned (features) */
    float *right;   /* owned (features, dim) */
    float *scale;   /* owned (dim): what the singular values make of each direction */
} sg_lsa_fit;
void sg_lsa_fit_free(sg_lsa_fit *f);

/* (n_items, *dim), owned by the caller (sg_free). report: vocabulary, energy kept, seconds. fit may be NULL. */
sg_status sg_lsa_encode(float **vectors, int32_t *dim, sg_lsa_fit *fit, const sg_dataset *d,
                        const sg_lsa_config *c, sg_pool *pool, const sg_progress *progress, json_t **report,
                        sg_error *err);
/* Writes DATA/vectors.safetensors. metadata is kept in the file. */
sg_status sg_vectors_save(const sg_dataset *d, const float *vectors, int32_t n, int32_t dim,
                          const char *encoder, const char *options_json, sg_error *err);
/* Vectors made elsewhere: .npy (f2, f4, f8; (n, dim)) or .safetensors (first or named 2-d float tensor); n must equal n_items, or
 * ids (a file with one item id per line) says which row is which. */
sg_status sg_vectors_import(const sg_dataset *d, const char *path, const char *tensor, const char *ids,
                            sg_error *err);

/* Sparse tf-idf rows, unit length, for STAR's exact text similarity: CSR over items. */
typedef struct sg_tfidf {
    int32_t n, features;
    int64_t *offsets; /* owned (n + 1) */
    int32_t *index;   /* owned */
    float *value;     /* owned */
    uint64_t *hash;   /* owned (features): what each feature counts, with ... */
    float *idf;       /* owned (features): ... its weight; NULL, both, in a part of the rows */
} sg_tfidf;
sg_status sg_tfidf_new(sg_tfidf *out, const sg_dataset *d, const sg_lsa_config *c, sg_pool *pool,
                       sg_error *err);
void sg_tfidf_free(sg_tfidf *t);

#endif
