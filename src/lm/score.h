/* score.h - how likely texts are behind a prompt, many at once. */
#ifndef SG_LM_SCORE_H
#define SG_LM_SCORE_H

#include "base/progress.h"
#include "lm/chat.h"
#include "lm/t5.h"

/* logp[i], tokens[i]: sum over the tokens of text i behind the prompt, and how many they are. Of a decoder the prompt may be empty: then
 * the first token of a text does not count, since nothing says how likely it is. Where an encoder reads prompts (the desk has a token to
 * begin with) there must be one, and a text's end counts. */
sg_status sg_score_texts(double *logp, int *tokens, sg_desk *desk, const sg_tokenizer *t, const sg_token_list *prompt, const sg_bytes *text,
                         size_t n, const sg_progress *progress, sg_error *err);

/* A desk of a T5 with room for the longest of the texts, and no more: it takes the pasts of its texts whole. */
sg_status sg_score_t5_desk(sg_desk **out, const sg_t5 *m, const sg_bytes *text, size_t n, sg_pool *pool, sg_error *err);

#endif
