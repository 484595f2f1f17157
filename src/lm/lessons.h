/* lessons.h - what a decoder is tuned on: token sequences, and which of their tokens count in the loss. */
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

typedef struct sg_lessons_how {
    int most;          /* tokens of a lesson: what is too long loses its front, but no token that counts; then its end */
    bool chat;         /* prompts are a user's turn, completions the assistant's */
    bool prompt_counts; /* every token but the first is learned */
} sg_lessons_how;

/* FILE.jsonl (or .json, .gz, .zst): an object a line, of one of these forms. Only what is to be answered counts:
 *   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}   the assistant's turns
 *   {"prompt": "...", "completion": "..."}
 *   {"instruction": "...", "input": "...", "output": "..."}        input may be missing; a line end goes between the parts
 *   {"text": "..."}                                                all of it
 * Any other file: plain text, cut into pieces of `most` tokens, all of which count. Texts end with the token that ends them, where the
 * model has one. Errors name the line. */
sg_status sg_lessons_read(sg_lessons *out, const sg_llama *m, const char *path, const sg_lessons_how *how, const sg_progress *progress,
                          sg_error *err);
void sg_lessons_free(sg_lessons *l);

#endif
