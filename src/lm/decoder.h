/* decoder.h - a decoder of the Llama family as a graph that learns: all of it, its last layers, adapters beside it, or vectors put
 * in front of the words. Computes what lm/llama.h computes; batches are packed, never padded. */
#ifndef SG_LM_DECODER_H
#define SG_LM_DECODER_H

#include "lm/llama.h"
#include "lm/rows.h"
#include "nn/lora.h"

/* The matrices of a layer, by their names in the files: q_proj ... down_proj. */
typedef enum sg_part {
    SG_PART_Q,
    SG_PART_K,
    SG_PART_V,
    SG_PART_O,
    SG_PART_GATE,
    SG_PART_UP,
    SG_PART_DOWN,
    SG_PARTS
} sg_part;
extern const char *const sg_part_names[SG_PARTS];
void sg_part_shape(int *out, int *in, const sg_llama_config *c, sg_part part);

typedef struct sg_decoder_layer {
    sg_param *norm_self, *norm_ffn, *q_norm, *k_norm; /* heads' norms: NULL without */
    sg_param *w[SG_PARTS], *bias[SG_PARTS];           /* biases: NULL without */
    sg_lora low[SG_PARTS];                            /* borrowed from an adapter */
} sg_decoder_layer;

typedef struct sg_decoder {
    sg_llama_config config;
    sg_params params;                /* names as in a folder: model.layers.0.self_attn.q_proj.weight, ... */
    sg_decoder_layer *layer;         /* owned */
    sg_param *words, *norm, *output; /* output: words when tied */
    sg_lora head;                    /* of output; borrowed from an adapter */
    const sg_row_set *words_rows,
        *output_rows;  /* of the tables, borrowed from an adapter: these learn, not the tables; NULL: none */
    double *frequency; /* owned: (head_dim / 2) */
} sg_decoder;

typedef struct sg_decoder_spec {
    int learn_from; /* layers from this one on learn, and the last norm; config.layers: none of them, nor the norm */
    bool learn_words; /* the word table and the output matrix, too */
    bool
        own_head; /* the output matrix alone learns, in a table of its own: the decoder is not tied any more */
    bool keep_bits; /* matrices that do not learn stay in the few bits of their file */
} sg_decoder_spec;

/* Over the weights of m, which must outlive it; with the tokens that m has (sg_llama_adapt). */
sg_status sg_decoder_new(sg_decoder **out, const sg_llama *m, const sg_decoder_spec *spec, sg_pool *pool,
                         sg_error *err);
void sg_decoder_free(sg_decoder *d);
/* The rows of an adapter into the tables, as they are now. */
void sg_decoder_put_rows(const sg_decoder *d);

typedef struct sg_decoder_batch {
    int n, batch;           /* tokens, sequences */
    const int32_t *id;      /* (n) */
    const int32_t *offsets; /* (batch + 1) */
    sg_tensor *soft;        /* (any, dim) vectors, or NULL */
    const int32_t
        *soft_at;   /* (n) row of soft that stands for the word's vector; -1: the word's. NULL: all words */
    bool both_ways; /* every token sees its whole sequence [LLM2Vec, BehnamGhader et al. 2024] */
    bool recompute; /* layers are made again on the way back */
} sg_decoder_batch;

/* States (n, dim) behind `layers` layers (0: the words' vectors); behind all of them after the last norm. */
sg_tensor *sg_decoder_states(sg_graph *g, const sg_decoder *d, const sg_decoder_batch *b, int layers);
/* Mean of -log p(target) over the rows of x (states) that have one (else -1), weighted (NULL: evenly); smooth: share of the target that
 * is spread over all tokens. */
sg_tensor *sg_decoder_loss(sg_graph *g, const sg_decoder *d, sg_tensor *x, const int32_t *target,
                           const float *weight, float smooth);

#endif
