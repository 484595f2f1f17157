/* lm_documents.h - a retrieval collection as language models see it: titles, texts, queries. */
#ifndef SG_API_LM_DOCUMENTS_H
#define SG_API_LM_DOCUMENTS_H

#include "api/api.h"
#include "data/collection.h"
#include "lm/retrieve.h"

#define API_LESSONS_OPTIONS(X)                                                                                                       \
    X(int, judged, 5, 0, 1000000, "lessons: documents of a query, drawn from those judged to answer it (0: all)")                    \
    X(int, ngrams, 5, 0, 100, "lessons, ngrams: strings of a document's text for a query, beside one of its title")                  \
    X(int, words, 6, 1, 100, "lessons, ngrams: words of a string (about ten tokens)")                                                \
    X(float, sharpness, 1.5, 0, 100, "lessons, ngrams: a string is e^sharpness times as likely for every word shared with the query") \
    X(float, spans, 1, 0, 100,                                                                                                       \
      "lessons, titles and ngrams: of every document by itself, some of its words standing for a query (0.5: of every second)")      \
    X(int, document, 100, 1, 100000, "lessons, queries: words of a document that are shown")                                         \
    X(int, seed, 1, 0, 2147483647, "lessons: random seed")
typedef struct api_lessons_config {
    API_LESSONS_OPTIONS(SG_OPTION_FIELD)
} api_lessons_config;
extern const sg_option api_lessons_options[];
extern const size_t api_n_lessons_options;

typedef struct api_documents {
    sg_dataset *set;           /* owned */
    sg_collection *collection; /* owned */
    sg_strings title, text;    /* of its items; a column that is not there is empty */
    int64_t *none;             /* owned: offsets of such a column */
} api_documents;

/* "DIR: expected queries and judgements, as sedge import beir makes them, found none". */
sg_status api_documents_open(api_documents *d, const char *dir, sg_error *err);
void api_documents_close(api_documents *d); /* a zeroed one is fine */
/* "split: expected train, dev or test, found 'x'", and it has to ask something. */
sg_status api_documents_split(sg_collection_split *out, const api_documents *d, const char *name, sg_error *err);

/* What stands before a query that a model is to write for a document: its title and the first words of its text. */
void api_document_prompt(sg_buf *out, sg_bytes title, sg_bytes text, int words);

#endif
