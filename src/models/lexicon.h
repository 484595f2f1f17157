/* lexicon.h - the words that a model reads: the most frequent ones of a collection have a number each, all others share a few by
 * their hash. Kept in the model folder as lexicon.bytes and lexicon.offsets. */
#ifndef SG_MODELS_LEXICON_H
#define SG_MODELS_LEXICON_H

#include "data/vocab.h"
#include "models/model.h"
#include "text/normalise.h"

typedef struct sg_lexicon {
    sg_strings words;     /* borrowed from the model's arrays */
    sg_vocab *index;      /* owned */
    uint8_t *stop;        /* owned (words.n): says nothing of what a text is about ("the", "of") */
    int32_t most, hashed; /* numbers are below most + hashed */
} sg_lexicon;

typedef struct sg_lexicon_room { /* one thread's scratch */
    sg_words split;
    sg_buf word;
} sg_lexicon_room;
void sg_lexicon_room_free(sg_lexicon_room *r);

/* From texts number 0 .. n - 1, which text(ctx, i, out) appends: words by the number of texts that hold them, at most `most`. */
typedef void sg_lexicon_text(void *ctx, size_t i, sg_buf *out);
sg_status sg_lexicon_fit(sg_model *m, int32_t most, sg_lexicon_text *text, void *ctx, size_t n,
                         sg_error *err);
/* From the arrays of the model, checked. */
sg_status sg_lexicon_need(sg_lexicon *x, const sg_model *m, int32_t most, int32_t hashed, sg_error *err);
void sg_lexicon_free(sg_lexicon *x); /* a zeroed one is fine */

/* The first `most` words of a text. *n: how many. */
sg_status sg_lexicon_read(int32_t *id, size_t *n, const sg_lexicon *x, sg_lexicon_room *r, sg_bytes text,
                          size_t most, sg_error *err);
static inline bool sg_lexicon_stop(const sg_lexicon *x, int32_t id)
{
    return (size_t)id < x->words.n && x->stop[id];
}

#endif
