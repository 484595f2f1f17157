/* lm_documents.h - a retrieval collection as language models see it: titles, texts, queries. */
#ifndef SG_API_LM_DOCUMENTS_H
#define SG_API_LM_DOCUMENTS_H

#include "api/api.h"
#include "data/collection.h"
#include "lm/retrieve.h"

#define API_LESSONS_OPTIONS(X)                                                                               \
    X(int, judged, 5, 0, 1000000,                                                                            \
      "lessons: documents of a query, drawn from those judged to answer it (0: all)")                        \
    X(int, ngrams, 5, 0, 100,                                                                                \
      "lessons, ngrams: strings of a document's text for a query, beside one of its title")                  \
    X(int, words, 6, 1, 100, "lessons, ngrams: words of a string (about ten tokens)")                        \
    X(float, sharpness, 1.5, 0, 100,                                                                         \
      "lessons, ngrams: a string is e^sharpness times as likely for every word shared with the query")       \
    X(float, spans, 1, 0, 100,                                                                               \
      "lessons, titles and ngrams: of every document by itself, some of its words standing for a query "     \
      "(0.5: of every second)")                                                                              \
    X(int, document, 100, 1, 100000, "lessons, queries: words of a document that are shown")                 \
    X(int, seed, 1, 0, 2147483647, "lessons: random seed")
typedef struct api_lessons_config {
    API_LESSONS_OPTIONS(SG_OPTION_FIELD)
} api_lessons_config;
extern const sg_option api_lessons_options[];
extern const size_t api_n_lessons_options;

#define API_QUERIES_OPTIONS(X)                                                                               \
    X(int, queries, 0, 0, 2147483647, "lessons, retrieve: only so many queries, drawn (0: all)")             \
    X(int, history, 5, 1, 1000,                                                                              \
      "lessons, retrieve, of data with users: the titles of so many of a user's latest items are a query")   \
    X(int, draw, 1, 0, 2147483647, "lessons, retrieve, queries: seed of the draw")
typedef struct api_queries_config {
    API_QUERIES_OPTIONS(SG_OPTION_FIELD)
} api_queries_config;
extern const sg_option api_queries_options[];
extern const size_t api_n_queries_options;

typedef struct api_documents {
    sg_dataset *set;                 /* owned */
    struct api_documents_made *made; /* owned: memory of what follows */
    sg_strings title, text;          /* of its items */
    sg_collection_split split;
    sg_collection asked; /* queries that have an answer in this split, and no other split's judgements */
} api_documents;

/* The queries of a collection's split; or, where there is none, of users: the titles of their items before the one that is to be found, which
 * is the last one (test), the last but one (dev), or each earlier one (train). split NULL: `usual`.
 * "DIR: expected queries and judgements, or users and titles of items, found neither"; "split: expected train, dev or test, found 'x'";
 * "DIR: expected judgements in split dev, found none". */
sg_status api_documents_open(api_documents *d, const char *dir, const char *split, const char *usual,
                             const api_queries_config *q, sg_error *err);
void api_documents_close(api_documents *d); /* a zeroed one is fine */

/* What stands before a query that a model is to write for a document: its title and the first words of its text. */
void api_document_prompt(sg_buf *out, sg_bytes title, sg_bytes text, int words);

#endif
