/* retrieve_parts.h - what the two ways to retrieve share: retrieve.c reads documents and queries, each way has a file of its own. */
#ifndef SG_LM_RETRIEVE_PARTS_H
#define SG_LM_RETRIEVE_PARTS_H

#include "lm/retrieve.h"

typedef struct sg_token_lists { /* strings of tokens, one behind the other */
    int32_t *id;                /* owned */
    int64_t *offsets;           /* owned: (n + 1) */
    int32_t n;
} sg_token_lists;

typedef struct sg_titles { /* by title */
    sg_token_lists list;   /* one of each document that has a title */
    int32_t *document;     /* owned: (list.n) whose it is */
    int32_t *order;        /* owned: (list.n) by tokens, then document */
    int longest;           /* tokens of a title */
} sg_titles;

typedef struct sg_strings_of { /* by substring */
    sg_token_lists list;       /* title and text of each document */
    sg_fm *fm;                 /* owned */
    sg_evidence *evidence;     /* owned */
    sg_fm_next *single;        /* owned: (n_single) tokens that occur, and where */
    int32_t n_single;
} sg_strings_of;

struct sg_retriever {
    sg_retrieve_by by;
    const sg_tokenizer *tokenizer; /* borrowed */
    int32_t n;                     /* documents */
    const uint8_t *allow;          /* borrowed: (n) those that may be found; NULL: all */
    sg_guide *guide;               /* owned */
    sg_titles titles;
    sg_strings_of strings;
};

/* Queries that are answered together. */
typedef struct sg_retrieve_job {
    sg_retriever *r;
    sg_desk *desk;
    const sg_token_list *prompt; /* (n) */
    int n;
    const sg_retrieve_config *config;
    sg_retrieve_report *report;
} sg_retrieve_job;

sg_status sg_titles_new(sg_retriever *r, const sg_documents *d, const sg_progress *progress, sg_error *err);
void sg_titles_free(sg_titles *t);
sg_status sg_titles_retrieve(sg_found *out, const sg_retrieve_job *job, sg_error *err);

sg_status sg_strings_new(sg_retriever *r, const sg_documents *d, const sg_progress *progress, sg_error *err);
void sg_strings_free(sg_strings_of *s);
sg_status sg_strings_retrieve(sg_found *out, const sg_retrieve_job *job, sg_error *err);

/* The tokens of a text as a model goes on with it: text (n) one after the other into `out`, `most` of each (0: all). */
sg_status sg_read_texts(sg_token_lists *out, const sg_tokenizer *t, const sg_bytes *text, int32_t n,
                        size_t most, const sg_progress *progress, sg_error *err);
void sg_token_lists_free(sg_token_lists *l);

/* sg_generate on the job's prompts with beams; adds to the report. answer (job->n), zeroed: freed by the caller, also after an error. */
sg_status sg_retrieve_write(sg_answer *answer, const sg_retrieve_job *job, int beam, int length,
                            double length_penalty, const sg_generate_watch *watch, sg_error *err);

#endif
