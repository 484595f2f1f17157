/* token_parts.h - what a tokenizer is made of; for the files that read one, and for those that run it. */
#ifndef SG_TEXT_TOKEN_PARTS_H
#define SG_TEXT_TOKEN_PARTS_H

#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

#include <jansson.h>

typedef struct sg_added { /* a token that is looked for in the text before anything else */
    int32_t id;
    bool special, normalized, single_word, left, right; /* left, right: takes white space beside it along */
    sg_bytes text;                                      /* in the token's block */
} sg_added;

typedef struct sg_added_trie { /* those looked for in raw text, or in normalised text */
    sg_trie trie;              /* value: index in `added` */
    bool starts[256];          /* some begins with this byte */
} sg_added_trie;

typedef struct sg_template_item {
    int what; /* 0, 1: the first, second text; 2: a token */
    int32_t id;
    uint8_t type;
} sg_template_item;

typedef struct sg_template {
    sg_template_item *item; /* owned; NULL: the texts, one after the other */
    size_t n, cap;
} sg_template;

typedef enum sg_decode_kind {
    SG_DECODE_BYTES, /* GPT-2's letters for bytes */
    SG_DECODE_WORDPIECE,
    SG_DECODE_META,
    SG_DECODE_FALLBACK, /* <0xXX> */
    SG_DECODE_FUSE,
    SG_DECODE_STRIP,
    SG_DECODE_REPLACE,
    SG_DECODE_SUFFIX, /* BPEDecoder */
    SG_DECODE_SPIECE,
} sg_decode_kind;

typedef struct sg_decode_step {
    sg_decode_kind kind;
    bool cleanup, keep_first;  /* WORDPIECE; META: the first token keeps its space */
    bool strip_one, strip_all; /* SPIECE: the space in front of the text */
    size_t start, stop;        /* STRIP */
    sg_buf find, put;
    sg_pattern *pattern; /* REPLACE, owned; NULL: the string `find` */
} sg_decode_step;

struct sg_tokenizer {
    char *name;      /* owned: for messages */
    sg_buf block;    /* spellings of all tokens */
    sg_bytes *token; /* owned: (n), in the block */
    uint8_t *kind;   /* owned: (n) */
    size_t n;
    sg_trie trie; /* what the model may produce from text; value: id */
    size_t room;  /* bytes that what is read may still take; SIZE_MAX: any number */
    size_t
        nodes_max; /* of it, and ways in which a SentencePiece BPE puts its tokens together; 0: any number */
    sg_added *added; /* owned */
    size_t n_added;
    sg_added_trie raw, normal;
    sg_normalizer normalizer;
    sg_pretokenizer pre;
    enum { SG_MODEL_BPE, SG_MODEL_WORDPIECE, SG_MODEL_UNIGRAM } model;
    sg_bpe bpe;
    sg_wordpiece wordpiece;
    sg_unigram unigram;
    sg_template single, pair;
    sg_decode_step *decode; /* owned; none: tokens with spaces between */
    size_t n_decode, cap_decode;
};

/* A tokenizer.json, or what says the same. Its long lists stay text: they are read into the tokenizer's tables without a json_t. */
typedef struct sg_token_list {
    sg_bytes text; /* borrowed: an object or array, known to be JSON; empty: there is none */
    size_t n;      /* members */
} sg_token_list;

typedef struct sg_token_source {
    json_t *root;                       /* owned: all else; the lists are there, and empty */
    sg_token_list vocab, merges, added; /* vocab: object, or array of Unigram's pieces */
    bool lines;                         /* merges are those of merges.txt */
    size_t taken;                       /* bytes that root takes, and what of the lists is no file */
} sg_token_source;

sg_status sg_token_source_read(sg_token_source *s, sg_bytes file, const char *name,
                               sg_error *err); /* file must outlive it */
void sg_token_source_free(sg_token_source *s);
sg_status sg_token_list_read(sg_token_list *list, sg_bytes text, const char *name,
                             sg_error *err); /* of a text that is nothing else */
sg_status sg_tokenizer_from_source(sg_tokenizer **out, const sg_token_source *s, const char *name,
                                   sg_error *err);
/* Tokens: those of the vocabulary, below *n_vocab, then the added ones (*added is owned by the caller, also after an error). A Unigram's
 * scores are set, too. */
sg_status sg_tokenizer_read_tokens(sg_tokenizer *t, size_t *n_vocab, sg_added **added, size_t *n_added,
                                   const sg_token_source *s, sg_error *err);
sg_status sg_tokenizer_read_merges(sg_tokenizer *t, const sg_token_source *s, sg_error *err);
/* The sides of the next merge of merges.txt, both empty: it has none; *text moves behind it. False: there is no other. */
bool sg_merge_line(sg_bytes side[2], sg_bytes *text, size_t *line);
/* Count things of so many bytes each are to be kept: an error when they do not fit into the tokenizer's room. */
sg_status sg_tokenizer_take(sg_tokenizer *t, size_t count, size_t each, const char *what, sg_error *err);
sg_status sg_tokenizer_new(sg_tokenizer **out, const char *name, sg_error *err);
/* Copies the spellings; those that are empty are not in use. kind NULL: all normal. */
sg_status sg_tokenizer_set_tokens(sg_tokenizer *t, const sg_bytes *token, const uint8_t *kind, size_t n,
                                  sg_error *err);
/* Copies the list, whose texts may lie anywhere; the normalizer must be complete. */
sg_status sg_tokenizer_set_added(sg_tokenizer *t, const sg_added *added, size_t n, sg_error *err);
/* The tries of what the model produces: raw[id], empty: not from text. NULL: the spellings of all tokens below n. */
sg_status sg_tokenizer_set_trie(sg_tokenizer *t, const sg_bytes *raw, size_t n, sg_error *err);
int sg_byte_token(sg_bytes spelling); /* the byte of <0xXX>, -1: not of that form */
void sg_tokenizer_byte_tokens(int32_t byte_id[256],
                              const sg_tokenizer *t); /* their numbers; -1 where there is none */
bool sg_template_add(sg_template *t, int what, int32_t id, int type); /* false: out of memory */
sg_decode_step *sg_tokenizer_add_decode(sg_tokenizer *t);             /* zeroed; NULL: out of memory */

/* GPT-2's way to write bytes as letters: the byte that one stands for, -1: none; bytes of a token's spelling, appended; false: some letter
 * stands for none. */
int sg_letter_byte(uint32_t code);
bool sg_byte_letters_read(sg_buf *out, sg_bytes spelling);
void sg_byte_letters_write(sg_buf *out, const char *s, size_t size); /* the letters of bytes, appended */
/* Byte-level BPE over t->token, whose spellings are in those letters, up to n: trie and bytes. */
sg_status sg_tokenizer_set_byte_bpe(sg_tokenizer *t, size_t n, sg_error *err);
/* The merge of two tokens by spelling, ranks in the order of calls. */
sg_status sg_tokenizer_add_merge(sg_tokenizer *t, sg_bytes left, sg_bytes right, uint32_t rank,
                                 sg_error *err);

/* All of a tokenizer as SentencePiece describes one. */
typedef struct sg_spiece {
    const sg_bytes *token; /* (n), with kind and score */
    const uint8_t *kind;
    const float *score;
    size_t n;
    bool bpe; /* otherwise Unigram */
    bool fall_back, dummy_prefix, few_spaces, escape;
    sg_bytes charsmap; /* empty: none */
} sg_spiece;
sg_status sg_tokenizer_set_spiece(sg_tokenizer *t, const sg_spiece *s, sg_error *err);
/* For BPE without a pre-tokenizer: if no token holds a U+2581 behind another character, nothing is merged across the beginning of
 * a word, and words can be cut apart first, which is faster and changes no number. */
sg_status sg_tokenizer_cut_words(sg_tokenizer *t, sg_error *err);
/* A step that cuts at matches of a pattern. */
sg_status sg_tokenizer_cut_at(sg_tokenizer *t, const char *regex, sg_cut cut, sg_error *err);

/* *out, which is the tokenizer's, also after an error. */
sg_status sg_tokenizer_set_pattern(sg_tokenizer *t, sg_pattern **out, sg_bytes regex, sg_error *err);

extern const char sg_gpt2_regex[], sg_qwen2_regex[], sg_llama3_regex[];

#endif
