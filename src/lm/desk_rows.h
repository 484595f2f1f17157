/* desk_rows.h - what desks share: pieces as one run of rows, and what was asked of each of them. */
#ifndef SG_LM_DESK_ROWS_H
#define SG_LM_DESK_ROWS_H

#include "lm/desk.h"

#include <stdbool.h>

enum { SG_DESK_LOGITS = 16 /* rows that go through the output matrix at once */ };

/* Where a walk over the tokens of pieces stands: token `at` of piece `piece`. */
typedef struct sg_desk_place {
    int piece, at;
} sg_desk_place;
/* The next token, in the order of the pieces; false: there is none. */
bool sg_desk_next(int *which, int *at, sg_desk_place *p, const sg_piece *piece, int n);

/* "expected at most 5 tokens more, ..." for a text of `length` tokens; "token 2: expected a number below ..." */
sg_status sg_desk_check(const sg_desk *d, const sg_piece *piece, int length, sg_error *err);

typedef struct sg_desk_output {
    void (*logits)(void *ctx, int n, const float *states, float *logits); /* (n, dim) to (n, vocab) */
    void *ctx;
    int dim, vocab;
    float *states, *made; /* scratch: SG_DESK_LOGITS rows of each */
} sg_desk_output;
/* Gives what the pieces ask of n rows of last states, the first of which is token p. */
void sg_desk_answer(const sg_desk_output *o, const sg_piece *piece, sg_desk_place p, const float *state,
                    int n);

#endif
