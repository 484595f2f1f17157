/* retrieve.h - documents for queries by what a language model writes: their titles (GENRE), or any strings that stand in them (SEAL).
 *
 *   title      the model writes titles and nothing else, held to their trie; a title scores its log-probability by length, and stands
 *              for every document that has it   [De Cao et al., ICLR 2021, arXiv:2010.00904]
 *   substring  the model writes strings that occur in the documents, held to an FM-index; lm/evidence.h adds them up */
#ifndef SG_LM_RETRIEVE_H
#define SG_LM_RETRIEVE_H

#include "base/option.h"
#include "base/progress.h"
#include "lm/desk.h"
#include "lm/evidence.h"
#include "lm/generate.h"

#define SG_RETRIEVE_OPTIONS(X)                                                                               \
    X(int, k, 100, 1, 10000, "retrieve: documents of a query, at most")                                      \
    X(int, beam, 0, 0, 1024, "retrieve: texts kept beside each other (0: 10 titles, 15 strings)")            \
    X(int, length, 10, 1, 100, "retrieve, substring: tokens of a string, at most")                           \
    X(int, unigrams, 200, 0, 100000,                                                                         \
      "retrieve, substring: single tokens that count, too, the likeliest so many after the query")           \
    X(float, alpha, 2, 0, 10, "retrieve, substring: power of a string's weight")                             \
    X(float, beta, 0.3, 0, 1,                                                                                \
      "retrieve, substring: what tokens that heavier strings have cost a string (0: nothing)")               \
    X(int, frequent, 1500, 0, 2147483647,                                                                    \
      "retrieve, substring: strings with more places count for documents alone that others found (0: for "   \
      "all)")                                                                                                \
    X(int, query_tokens, 256, 1, 100000,                                                                     \
      "retrieve: tokens of a query and what stands around it, at most: a longer one loses its end")          \
    X(int, batch, 64, 1, 1024, "retrieve: texts that the model reads and writes together")

typedef struct sg_retrieve_config {
    SG_RETRIEVE_OPTIONS(SG_OPTION_FIELD)
} sg_retrieve_config;
extern const sg_option sg_retrieve_options[];
extern const size_t sg_n_retrieve_options;

typedef enum sg_retrieve_by { SG_BY_TITLE, SG_BY_SUBSTRING } sg_retrieve_by;

/* What stands before the text that the model is to write, and that text, as lessons and retrieval both have them: words with one space
 * before each, so that a word is the same tokens wherever a string begins. */
void sg_retrieve_prompt(sg_buf *out, sg_retrieve_by by, sg_bytes query);
void sg_retrieve_completion(sg_buf *out, sg_bytes text);

typedef struct sg_documents { /* (n) each; borrowed; empty texts and titles are fine */
    const sg_bytes *title, *text;
    int32_t n;
    const uint8_t *allow; /* (n) 1 = may be found; NULL: all; borrowed for as long as the retriever */
} sg_documents;

typedef struct sg_retriever sg_retriever; /* one thread's; the model is not part of it */
/* t borrowed. No document with a title, or none with a text: an error. */
sg_status sg_retriever_new(sg_retriever **out, const sg_documents *d, sg_retrieve_by by,
                           const sg_tokenizer *t, const sg_progress *progress, sg_error *err);
void sg_retriever_free(sg_retriever *r);

/* Tokens that a text has at most, its end included: a desk has to have room for them. */
int sg_retrieve_length(const sg_retriever *r, const sg_retrieve_config *c);

typedef struct sg_found {
    sg_hit *hit; /* owned: best first; those that score alike in the order of their numbers */
    int n;
} sg_found;

typedef struct sg_retrieve_report {
    sg_generate_report generate;
    double texts;        /* titles or strings written */
    double seconds_rank; /* spent on documents, not on writing */
} sg_retrieve_report;

/* out (n, zeroed): freed by the caller, also after an error. What a query finds does not depend on the others. */
sg_status sg_retrieve(sg_found *out, sg_retrieve_report *report, sg_retriever *r, sg_desk *desk,
                      const sg_bytes *query, int n, const sg_retrieve_config *c, const sg_progress *progress,
                      sg_error *err);

#endif
