/* unigram.h - the cut of a piece into tokens whose log-probabilities have the greatest sum (Viterbi over the trie).
 *
 * A character that no one-character token covers costs `unknown_score`; neighbouring unknown characters are one token. */
#ifndef SG_TEXT_UNIGRAM_H
#define SG_TEXT_UNIGRAM_H

#include "base/status.h"
#include "text/token_ids.h"
#include "text/trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_unigram {
    const sg_trie *token; /* borrowed; value: id */
    double *score;        /* owned: by id */
    double unknown_score;
    int32_t unknown;
    int32_t byte_id[256]; /* of <0xXX>; -1: none */
    bool fall_back;       /* an unknown stretch becomes its bytes' tokens, where all exist */
    bool single;          /* sums are rounded to float, as SentencePiece keeps them */
    bool *fixed;          /* owned: by id, tokens that always win, by `fixed_score` a byte; NULL: none */
    double fixed_score;
} sg_unigram;

typedef struct sg_unigram_scratch {
    struct sg_best *best; /* owned */
    size_t cap;
    sg_token_ids back; /* tokens from the end to the beginning */
} sg_unigram_scratch;

/* Appends the tokens of a piece of valid UTF-8, those that sg_token_may_be; false: out of memory. */
bool sg_unigram_encode(sg_token_ids *out, const sg_unigram *u, sg_unigram_scratch *scratch, const char *s,
                       size_t size, const uint8_t *kind);
void sg_unigram_free(sg_unigram *u);
void sg_unigram_scratch_free(sg_unigram_scratch *s);

#endif
