/* lessons.h - what a language model is tuned on: token sequences, and which of their tokens count in the loss. */
#ifndef SG_LM_LESSONS_H
#define SG_LM_LESSONS_H

#include "base/progress.h"
#include "lm/chat.h"

typedef struct sg_lessons {
    size_t n;
    size_t *begin;   /* owned: (n + 1) first token of each */
    int32_t *id;     /* owned */
    uint8_t *counts; /* owned: 1: a token to be learned; the first of a lesson never is */
    size_t counted;  /* of them */
    size_t cut;      /* lessons that were longer than asked */
} sg_lessons;

typedef struct sg_lessons_for { /* the model */
    const sg_tokenizer *tokenizer;
    int32_t end;          /* ends a text; -1: none */
    const sg_llama *chat; /* whose template conversations follow; NULL: none */
    bool
        encoder; /* prompts are read by an encoder: a lesson is a prompt, all of it, and then what counts, all of it, each with what
                             the tokenizer puts around a text */
} sg_lessons_for;
sg_lessons_for sg_lessons_for_llama(const sg_llama *m);

typedef struct sg_lessons_how {
    int most; /* tokens of a lesson: what is too long loses its front, but no token that counts; then its end */
    bool chat;          /* prompts are a user's turn, completions the assistant's */
    bool prompt_counts; /* every token but the first is learned */
} sg_lessons_how;

/* FILE.jsonl (or .json, .gz, .zst): an object a line, of one of these forms. Only what is to be answered counts:
 *   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}   the assistant's turns
 *   {"prompt": "...", "completion": "..."}
 *   {"instruction": "...", "input": "...", "output": "..."}        input may be missing; a line end goes between the parts
 *   {"text": "..."}                                                all of it
 * An encoder takes the forms that have a prompt, and no conversations.
 * Any other file: plain text, cut into pieces of `most` tokens, all of which count. Texts end with the token that ends them, where the
 * model has one. Errors name the line. */
sg_status sg_lessons_read(sg_lessons *out, const sg_lessons_for *of, const char *path,
                          const sg_lessons_how *how, const sg_progress *progress, sg_error *err);
void sg_lessons_free(sg_lessons *l);

#endif
