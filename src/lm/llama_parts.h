/* llama_parts.h - the weights of a decoder, for the files that compute with them. */
#ifndef SG_LM_LLAMA_PARTS_H
#define SG_LM_LLAMA_PARTS_H

#include "lm/llama.h"
#include "lm/matrix.h"
#include "lm/rows.h"

typedef struct sg_llama_layer {
    sg_param *norm_self, *norm_ffn, *q_bias, *k_bias, *v_bias, *q_norm,
        *k_norm; /* NULL: the model has none */
    sg_matrix q, k, v, o, gate, up, down;
} sg_llama_layer;

typedef struct sg_chat_texts { /* owned, or NULL: not in the files */
    char *template;            /* in Jinja */
    char *bos, *eos;           /* tokens as they are spelled */
} sg_chat_texts;

struct sg_llama {
    sg_llama_config config;
    const sg_weights *weights;
    const sg_tokenizer *tokenizer; /* its own, or an adapter's; NULL: none */
    const sg_tokenizer *own_tokenizer;
    sg_bytes tokenizer_json; /* of an adapter's */
    bool owned;              /* weights and own_tokenizer are ours */
    sg_chat_texts chat;
    sg_params params;      /* norms, biases, dense matrices */
    sg_llama_layer *layer; /* owned */
    sg_param *norm;
    sg_param *slower; /* (head_dim / 2) divisors of frequencies; NULL: none in the file */
    sg_matrix output;
    const char *words; /* name of the word table */
    /* Borrowed from an adapter: rows that stand for those of the tables, and behind these (output.out is what the files have); NULL: none. */
    const sg_row_set *words_rows, *output_rows;
    const sg_param
        *soft; /* borrowed from an adapter: (any, dim) vectors in front of every text; NULL: none */
};

#endif
