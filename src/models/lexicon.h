/* lexicon.h - the words that a model reads: the most frequent ones of a collection have a number each, all others share a few by
 * their hash, or are unknown. Kept in the model folder as lexicon.bytes and lexicon.offsets. */
#ifndef SG_MODELS_LEXICON_H
#define SG_MODELS_LEXICON_H

#include "data/vocab.h"
#include "models/model.h"
#include "text/normalise.h"
#include "text/stem.h"

typedef struct sg_word_form { /* which words are taken, and how; zeroed, or NULL: all, as they are */
    bool drop_stop;           /* those that say nothing of what a text is about ("the", "of") are left out */
    const char *stemmer;      /* borrowed: algorithm of text/stem.h; NULL: none */
} sg_word_form;

typedef struct sg_lexicon {
    sg_word_form form;
    sg_strings words;     /* borrowed from the model's arrays */
    sg_vocab *index;      /* owned */
    uint8_t *stop;        /* owned (words.n): says nothing */
    int32_t most, hashed; /* numbers are below most + hashed; hashed 0: other words are -1 */
} sg_lexicon;

typedef struct sg_lexicon_room { /* one thread's scratch */
    sg_words split;
    sg_buf word;
    sg_stemmer *stemmer; /* owned; made with the first word */
    int32_t *id;         /* owned: of the last text that was read to its end */
    size_t cap_id;
} sg_lexicon_room;
void sg_lexicon_room_free(sg_lexicon_room *r);

/* From texts number 0 .. n - 1, which text(ctx, i, out) appends: words by the number of texts that hold them, at most `most`. */
typedef void sg_lexicon_text(void *ctx, size_t i, sg_buf *out);
sg_status sg_lexicon_fit(sg_model *m, int32_t most, const sg_word_form *form, sg_lexicon_text *text,
                         void *ctx, size_t n, sg_error *err);
/* From the arrays of the model, checked. form: that of sg_lexicon_fit. */
sg_status sg_lexicon_need(sg_lexicon *x, const sg_model *m, int32_t most, int32_t hashed,
                          const sg_word_form *form, sg_error *err);
void sg_lexicon_free(sg_lexicon *x); /* a zeroed one is fine */

/* All columns of a document, for a lexicon. */
sg_status sg_lexicon_document(sg_buf *out, const sg_dataset *d, size_t doc);

/* The first `most` words of a text. *n: how many. */
sg_status sg_lexicon_read(int32_t *id, size_t *n, const sg_lexicon *x, sg_lexicon_room *r, sg_bytes text,
                          size_t most, sg_error *err);
/* All of them, into r->id. */
sg_status sg_lexicon_read_all(size_t *n, const sg_lexicon *x, sg_lexicon_room *r, sg_bytes text,
                              sg_error *err);
static inline bool sg_lexicon_stop(const sg_lexicon *x, int32_t id)
{
    return id >= 0 && (size_t)id < x->words.n && x->stop[id];
}

#endif
