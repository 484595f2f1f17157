/* chat.h - a conversation as the tokens that a chat model was trained on. What people wrote is text: a special token spelled in it
 * stays text, and nobody can forge a turn. */
#ifndef SG_LM_CHAT_H
#define SG_LM_CHAT_H

#include "lm/llama.h"

typedef struct sg_turn {
    const char *role; /* system, user, assistant */
    sg_bytes text;
} sg_turn;

typedef struct sg_token_list {
    int32_t *id; /* owned */
    size_t n, cap;
} sg_token_list;

/* Appends what the model's chat template writes of the turns and the head of the assistant's answer, as `apply_chat_template` of transformers.
 * think false: a model that thinks first (Qwen3) answers at once; a template without thoughts: an error. No template, one that text/jinja.h
 * does not know how to run, or that leaves out what a system or a user says, and texts that spell a turn's name where that is no token: errors. */
sg_status sg_chat_tokens(sg_token_list *out, const sg_llama *m, const sg_turn *turn, size_t n, bool think,
                         sg_error *err);
/* Appends turns 0 .. at as the template writes them, the last one the assistant's, up to its end; tokens from *asked on are what it answers
 * with: what stands behind the head that sg_chat_tokens gives a model (the empty thoughts of Qwen3, too). */
sg_status sg_chat_lesson(sg_token_list *out, size_t *asked, const sg_llama *m, const sg_turn *turn, size_t at,
                         sg_error *err);
/* The token that ends a turn; -1: none. */
int32_t sg_chat_end(const sg_llama *m);

/* Appends the tokens of a text, with those that the tokenizer puts around. literal: as in sg_encode_how. */
sg_status sg_text_tokens(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, bool literal,
                         sg_error *err);
/* The same without those around, and special tokens spelled in it are text: what goes on behind something else. */
sg_status sg_bare_tokens(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, sg_error *err);

#endif
