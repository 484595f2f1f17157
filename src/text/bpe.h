/* bpe.h - byte pair encoding: the adjacent pair of least rank is merged, the leftmost of equal ones, until none is left.
 *
 * Symbols are the characters of a piece, or its bytes. Covers GPT-2's and SentencePiece's form (there the rank comes from the
 * score of the result). O(n log n) in the piece, by a heap.   [Sennrich et al. 2016; Kudo & Richardson 2018] */
#ifndef SG_TEXT_BPE_H
#define SG_TEXT_BPE_H

#include "base/buf.h"
#include "base/status.h"
#include "text/token_ids.h"
#include "text/trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_merge {
    uint64_t pair; /* left << 32 | right; UINT64_MAX: nothing here */
    uint32_t rank;
    int32_t id; /* of the result */
} sg_merge;

typedef struct sg_bpe {
    bool bytes;            /* symbols are bytes */
    bool whole_first;      /* a piece that is a token is not taken apart */
    bool fuse_unknown;     /* neighbouring unknown characters are one token */
    bool fall_back;        /* an unknown character becomes its bytes' tokens, where all exist */
    int32_t unknown;       /* -1: unknown characters are left out */
    int32_t byte_id[256];  /* of one-byte tokens (bytes) or of <0xXX>; -1: none */
    const sg_trie *token;  /* borrowed: all tokens; value: id */
    sg_trie fixed;         /* owned: tokens cut out first, which nothing merges with; without nodes: none */
    sg_buf prefix, suffix; /* owned: in front of symbols but the first; behind the last */
    sg_merge *merge;       /* owned: open addressing */
    size_t size;           /* a power of two */
} sg_bpe;

typedef struct sg_bpe_scratch {
    struct sg_symbol *symbol;  /* owned */
    struct sg_candidate *heap; /* owned */
    size_t cap_symbol, cap_heap;
    sg_buf key;
} sg_bpe_scratch;

size_t sg_bpe_slots(size_t n); /* of the table of n merges */
/* Room for n merges, then the merges: of equal pairs the last counts. */
sg_status sg_bpe_reserve(sg_bpe *b, size_t n, sg_error *err);
void sg_bpe_add(sg_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id);
void sg_bpe_free(sg_bpe *b);
/* Appends the tokens of a piece of valid UTF-8 that is not empty; false: out of memory. */
bool sg_bpe_encode(sg_token_ids *out, const sg_bpe *b, sg_bpe_scratch *scratch, const char *s, size_t size);
void sg_bpe_scratch_free(sg_bpe_scratch *s);

#endif
