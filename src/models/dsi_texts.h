/* dsi_texts.h - what a differentiable search index is taught with: documents in the form that the options say, queries of the
 * training split, and queries that somebody made for the documents. */
#ifndef SG_MODELS_DSI_TEXTS_H
#define SG_MODELS_DSI_TEXTS_H

#include "models/lexicon.h"

typedef enum sg_dsi_form { SG_DSI_DIRECT, SG_DSI_SET, SG_DSI_INVERTED, SG_DSI_NONE } sg_dsi_form;

#define SG_DSI_SENTENCES "sentences" /* in the place of a file of made queries: those of the documents */

typedef struct sg_dsi_made { /* queries read from a file, and what became of them */
    int64_t read, repeated, strange, conflicting, kept;
} sg_dsi_made;

typedef struct sg_dsi_texts {
    const sg_collection *collection; /* borrowed */
    const sg_lexicon *words;         /* borrowed */
    int length;                      /* words of a text that are read */
    int32_t n_docs, n_asked;
    int32_t *word;    /* owned: words of documents, then of all queries, then of made ones */
    int64_t *offsets; /* owned: (documents + queries + made + 1) */
    int32_t *asked;   /* owned (n_asked): queries of the training split that have an answer */
    int64_t
        *made; /* owned (n_docs + 1): numbers of the made queries of each document; NULL: there are none */
    sg_dsi_made counts;
} sg_dsi_texts;

/* path: made queries, {"id": DOCUMENT, "answer": "one query a line"} lines as `sedge know` leaves them, or SG_DSI_SENTENCES; "": none. A query is left out
 * when its document has it already, when less than `overlap` of its words that say something stand in the document, or when
 * another document has the same words: what it then teaches contradicts itself. */
sg_status sg_dsi_texts_new(sg_dsi_texts *out, const sg_train_data *t, const sg_lexicon *words, int length,
                           const char *path, double overlap, sg_error *err);
void sg_dsi_texts_free(sg_dsi_texts *t); /* a zeroed one is fine */

/* One text of a document into word (length), how many. `draw` numbers the draw: of the chunk of inverted, of the made query. */
int sg_dsi_draw(int32_t *word, const sg_dsi_texts *t, int32_t doc, sg_dsi_form form, uint64_t seed,
                uint64_t draw, bool *query);
/* Words of a training query, and one of its relevant documents. */
int sg_dsi_draw_query(int32_t *word, int32_t *doc, const sg_dsi_texts *t, uint64_t seed, uint64_t draw);

#endif
