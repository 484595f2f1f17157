/* tokenizer.h - text to token numbers and back, as the files of a language model say.
 *
 * Reads Hugging Face's tokenizer.json (BPE, WordPiece, Unigram, WordLevel), GPT-2's pair vocab.json and merges.txt,
 * SentencePiece's .model (Unigram, BPE) and what a GGUF file holds. docs/text.md says which parts of each. Numbers are those
 * of the library a file was made for. Bytes that are no UTF-8 are read as U+FFFD. */
#ifndef SG_TEXT_TOKENIZER_H
#define SG_TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/status.h"
#include "file/gguf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_TOKENIZER_BYTES_MAX ((size_t)256 << 20) /* of a tokenizer's file */
#define SG_TOKENIZER_ROOM      ((size_t)60 << 20)  /* that a tokenizer.json may ask for, beside its text */
#define SG_TOKENIZER_REST_MAX  ((size_t)8 << 20)   /* of that, JSON (sg_json_weight) beside its long lists */

typedef struct sg_tokenizer sg_tokenizer; /* read-only once open: any number of threads may use it */

/* A folder (tokenizer.json; else vocab.json and merges.txt; else *.model), or one of these files, or a .gguf file. Files may
 * be compressed and then end in .gz or .zst. */
sg_status sg_tokenizer_open(sg_tokenizer **out, const char *path, sg_error *err);
void sg_tokenizer_close(sg_tokenizer *t);

/* The same from bytes; `name` begins what errors say. */
sg_status sg_tokenizer_from_json(sg_tokenizer **out, sg_bytes file, const char *name, sg_error *err);
sg_status sg_tokenizer_from_spiece(sg_tokenizer **out, sg_bytes file, const char *name, sg_error *err);
sg_status sg_tokenizer_from_gguf(sg_tokenizer **out, const sg_gguf *file, sg_error *err);
/* What that file holds as tokenizer.json would say it; byte-level BPE alone has that form here. */
sg_status sg_tokenizer_gguf_json(json_t **out, const sg_gguf *file, sg_error *err);
/* What such a file calls the cutting of a tokenizer.json ("smollm"); an error where it has no name. `where` begins it. */
sg_status sg_tokenizer_gguf_family(const char **out, const json_t *root, const char *where, sg_error *err);
/* config: tokenizer_config.json, NULL: none. Its class says how to cut: Qwen2Tokenizer, otherwise as GPT-2 does. */
sg_status sg_tokenizer_from_pair(sg_tokenizer **out, sg_bytes vocab, sg_bytes merges, sg_bytes config,
                                 const char *name, sg_error *err);

int32_t sg_tokenizer_size(const sg_tokenizer *t); /* numbers are below it; not all need be in use */
sg_bytes sg_tokenizer_token(const sg_tokenizer *t, int32_t id); /* as the file spells it; empty: not in use */
int32_t sg_tokenizer_find(const sg_tokenizer *t, sg_bytes token); /* by that spelling; -1: none */
bool sg_tokenizer_is_special(const sg_tokenizer *t, int32_t id);

typedef struct sg_encode_how {
    bool bare;    /* without the tokens that the tokenizer puts around a text ([CLS], </s>) */
    bool literal; /* special tokens that the text spells are text: for what users wrote */
    const uint8_t *
        said; /* for each byte of one text in UTF-8, or NULL: what has a byte that is not 0 is literal, the rest is as the file says */
    size_t most;   /* at most this many tokens, those around included; 0: all */
    bool keep_end; /* what is too long loses its beginning */
} sg_encode_how;

typedef struct sg_encoder sg_encoder;                                             /* one thread's scratch */
sg_status sg_encoder_new(sg_encoder **out, const sg_tokenizer *t, sg_error *err); /* t must outlive it */
void sg_encoder_free(sg_encoder *e);
/* *id: (*n), valid until the next call. how NULL: as the file says. */
sg_status sg_encoder_run(const int32_t **id, size_t *n, sg_encoder *e, sg_bytes text,
                         const sg_encode_how *how, sg_error *err);
/* Two texts, as the tokenizer's template joins them; *type: (*n), the segment of each token. What is too long is taken from
 * the longer one. */
sg_status sg_encoder_pair(const int32_t **id, const uint8_t **type, size_t *n, sg_encoder *e, sg_bytes a,
                          sg_bytes b, const sg_encode_how *how, sg_error *err);

/* Appends the text of tokens. Numbers that are not in use have none. */
sg_status sg_tokenizer_decode(sg_buf *out, const sg_tokenizer *t, const int32_t *id, size_t n,
                              bool skip_special, sg_error *err);

/* A token that stands for bytes, of a part of a character perhaps: appends them; false: it stands for characters. */
bool sg_tokenizer_raw(sg_buf *out, const sg_tokenizer *t, int32_t id);

/* Tokens of a text for a model whose tokenizer is not at hand, about: four bytes of ASCII each, any other character one. */
double sg_tokens_about(sg_bytes text);

#endif
