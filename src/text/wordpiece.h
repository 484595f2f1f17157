/* wordpiece.h - the longest token that a word begins with, then the longest that goes on, until the word ends; a word for
 * which this fails is one unknown token.   [Wu et al. 2016, as in BERT] */
#ifndef SG_TEXT_WORDPIECE_H
#define SG_TEXT_WORDPIECE_H

#include "text/token_ids.h"
#include "text/trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_wordpiece {
    const sg_trie *token; /* borrowed; value: id */
    int32_t unknown;
    size_t most;     /* characters of a word that is tried at all */
    bool whole;      /* word level: the word is a token or it is unknown */
    bool goes_on;    /* tokens that go on exist: */
    uint32_t inside; /* where in the trie their common prefix ("##") ends */
} sg_wordpiece;

/* Appends the tokens of a word, those that sg_token_may_be; false: out of memory. */
bool sg_wordpiece_encode(sg_token_ids *out, const sg_wordpiece *w, const char *s, size_t size,
                         const uint8_t *kind);

#endif
