/* score.h - how likely texts are behind a prompt, many at once. */
#ifndef SG_LM_SCORE_H
#define SG_LM_SCORE_H

#include "base/progress.h"
#include "lm/chat.h"
#include "lm/t5.h"

typedef struct sg_score_job {
    sg_desk *desk; /* borrowed, as all here */
    const sg_tokenizer *tokenizer;
    const sg_token_list *prompt;
    const sg_bytes *text; /* (n) */
    size_t n;
    const size_t *place; /* (n) of texts, in errors; NULL: as they stand here */
    void *ctx;
    sg_status (*done)(void *ctx, size_t i,
                      sg_error *err); /* logp[i] and tokens[i] are there; NULL: nobody is told */
    sg_status (*give_up)(void *ctx, size_t i,
                         const sg_error *why); /* text i is too long; SG_OK: go on. NULL: an error */
} sg_score_job;

/* logp[i], tokens[i]: sum over the tokens of text i behind the prompt, and how many they are. Of a decoder the prompt may be empty: then
 * the first token of a text does not count, since nothing says how likely it is. Where an encoder reads prompts (the desk has a token to
 * begin with) there must be one, and a text's end counts. */
sg_status sg_score_texts(double *logp, int *tokens, const sg_score_job *job, const sg_progress *progress,
                         sg_error *err);

/* A desk of a T5 with room for the longest of the texts, and no more: it takes the pasts of its texts whole. */
sg_status sg_score_t5_desk(sg_desk **out, const sg_t5 *m, const sg_bytes *text, size_t n, sg_pool *pool,
                           sg_error *err);

#endif
