/* new_tokens.h - words that a model's tokenizer does not have become tokens of it, with rows of an adapter for each. */
#ifndef SG_LM_NEW_TOKENS_H
#define SG_LM_NEW_TOKENS_H

#include "lm/adapter.h"

typedef struct sg_new_tokens {
    int n;
    int32_t first;            /* they are first .. first + n - 1 */
    int vocab;                /* tokens of the model with them */
    sg_bytes *token, *phrase; /* owned: (n); empty phrases: none */
    sg_buf text;              /* of the file, which these lie in */
    sg_buf json;              /* tokenizer.json with them ... */
    sg_tokenizer *with;       /* owned: ... opened */
} sg_new_tokens;

/* A file of one token a line, perhaps with a tab and a phrase behind it; m and `model` (its path) for the tokenizer, which must be a
 * tokenizer.json, or in a .gguf file a byte-level BPE. Tokens are found in any text as they are spelled. Errors name the line. */
sg_status sg_new_tokens_read(sg_new_tokens *out, const char *path, const sg_llama *m, const char *model,
                             sg_error *err);
/* Rows for them in a, which was made for that many tokens (config.vocab) and takes over the tokenizer: the mean of the rows of the
 * phrase's tokens, or of all that the model has [NoteLLM, RecLM]. */
sg_status sg_new_tokens_give(sg_new_tokens *t, sg_adapter *a, const sg_llama *m, sg_error *err);
void sg_new_tokens_free(sg_new_tokens *t);

#endif
