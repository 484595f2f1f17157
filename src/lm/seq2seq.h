/* seq2seq.h - an encoder and decoder of the T5 family as a graph that learns: all of it, or adapters beside it. The blocks are those of
 * nn/transformer.h; computes what lm/t5.h computes. Batches are packed, never padded. */
#ifndef SG_LM_SEQ2SEQ_H
#define SG_LM_SEQ2SEQ_H

#include "lm/t5_parts.h"
#include "nn/transformer.h"

typedef struct sg_seq2seq_stack {
    sg_block *block; /* owned: (layers) */
    int layers;
    sg_param *norm, *bias; /* bias (buckets, heads): of all layers */
} sg_seq2seq_stack;

typedef struct sg_seq2seq {
    sg_t5_config config;
    sg_params params; /* names as in a folder: encoder.block.0.layer.0.SelfAttention.q.weight, ... */
    sg_seq2seq_stack encoder, decoder;
    sg_param *words, *output; /* output: words when the model has one table for both */
    sg_lora head;             /* of output; borrowed from an adapter */
} sg_seq2seq;

typedef struct sg_seq2seq_spec {
    bool learns;    /* all of it; else nothing */
    bool own_head;  /* the output matrix is a table of its own, even where the model has one for both */
    bool keep_bits; /* matrices that do not learn stay in the few bits of their file */
} sg_seq2seq_spec;

/* Over the weights of m, which must outlive it and have a decoder. */
sg_status sg_seq2seq_new(sg_seq2seq **out, const sg_t5 *m, const sg_seq2seq_spec *spec, sg_pool *pool,
                         sg_error *err);
void sg_seq2seq_free(sg_seq2seq *d);
/* Puts the scale of the states before the output matrix, which must be a table of its own, into that: files of T5s with such a matrix
 * know no scale. */
void sg_seq2seq_unscale(sg_seq2seq *d);
/* The matrix `part` of a block, and where an adapter's part goes beside it; the model must have it (sg_t5_has). */
sg_param *sg_seq2seq_matrix(sg_seq2seq *d, bool decoder, int block, sg_t5_part part, sg_lora **low);

typedef struct sg_seq2seq_batch {
    int batch;                          /* pairs of texts */
    int n_read, n_write;                /* tokens of all that is read, and of all that is written */
    const int32_t *read, *read_offsets; /* (n_read), (batch + 1) */
    const int32_t *write,
        *write_offsets; /* (n_write), (batch + 1): what the decoder has before it, from its first token on */
    bool recompute;     /* layers are made again on the way back */
} sg_seq2seq_batch;

/* States (n_read, dim) of the encoder; (n_write, dim) of the decoder. Both after their last norms. */
sg_tensor *sg_seq2seq_encode(sg_graph *g, const sg_seq2seq *d, const sg_seq2seq_batch *b);
sg_tensor *sg_seq2seq_states(sg_graph *g, const sg_seq2seq *d, const sg_seq2seq_batch *b);
/* Mean of -log p(target) over the rows of x (states of the decoder) that have one (else -1). */
sg_tensor *sg_seq2seq_loss(sg_graph *g, const sg_seq2seq *d, sg_tensor *x, const int32_t *target,
                           float smooth);

#endif
