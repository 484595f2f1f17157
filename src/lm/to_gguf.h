/* to_gguf.h - a language model written as one .gguf file, in the layout that llama.cpp reads. */
#ifndef SG_LM_TO_GGUF_H
#define SG_LM_TO_GGUF_H

#include "file/gguf_write.h"
#include "lm/decoder.h"
#include "lm/seq2seq.h"

/* type: of matrices (those whose rows are no whole blocks become F16); vectors are F32. Keys come from m's own .gguf file, or from its
 * config and tokenizer.json (of a decoder a byte-level BPE, of a T5 a Unigram). */
sg_status sg_decoder_to_gguf(const sg_decoder *d, const sg_llama *m, const char *model, const char *path,
                             int type, sg_error *err);
sg_status sg_seq2seq_to_gguf(const sg_seq2seq *d, const sg_t5 *m, const char *model, const char *path,
                             int type, sg_error *err);

/* ---- for the files of both ---- */
#define SG_GGUF_TOKENS "tokenizer.ggml."
enum { SG_GGUF_SOURCE_MOST = 256 << 20 /* bytes of a tokenizer.json */ };

/* The key-values of another file, but those that each file has of its own. */
void sg_gguf_put_file(sg_gguf_out *o, const sg_gguf *from);
void sg_gguf_put_type(sg_gguf_out *o, int type); /* of the file, for people */
/* Tokens and their kinds, for `rows` rows of a word table; added: `added_tokens` of tokenizer.json; unknown: its number, -1: none. */
sg_status sg_gguf_put_tokens(sg_gguf_out *o, const sg_tokenizer *t, int rows, const json_t *added,
                             int unknown, sg_error *err);
void sg_gguf_describe(sg_gguf_out *o, const char *name, const sg_param *p,
                      int type); /* a tensor, before begin */
/* Its numbers, after begin; row (of p, r): which row comes r-th; NULL: as they are. */
sg_status sg_gguf_put_numbers(sg_gguf_out *o, const sg_param *p,
                              int (*row)(const void *ctx, const sg_param *p, int r), const void *ctx,
                              sg_error *err);

#endif
