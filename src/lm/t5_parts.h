/* t5_parts.h - the weights of a T5, and rows on their way through its layers, for the files that compute with them. */
#ifndef SG_LM_T5_PARTS_H
#define SG_LM_T5_PARTS_H

#include "lm/matrix.h"
#include "lm/t5.h"

/* The tensors of a block. */
typedef enum sg_t5_part {
    SG_T5_Q,
    SG_T5_K,
    SG_T5_V,
    SG_T5_O,
    SG_T5_CROSS_Q,
    SG_T5_CROSS_K,
    SG_T5_CROSS_V,
    SG_T5_CROSS_O, /* of a decoder */
    SG_T5_GATE,
    SG_T5_UP,
    SG_T5_DOWN, /* gate: v1.1 */
    SG_T5_MATRICES,
    SG_T5_NORM_SELF = SG_T5_MATRICES,
    SG_T5_NORM_CROSS,
    SG_T5_NORM_FFN,
    SG_T5_BIAS, /* of the first block: (buckets, heads) */
    SG_T5_PARTS
} sg_t5_part;
/* Whether block `block` of the encoder or the decoder has it; then its name without ".weight" in a folder or a GGUF file, and its shape
 * (in 0: a vector). */
bool sg_t5_has(const sg_t5_config *c, bool decoder, int block, sg_t5_part part);
void sg_t5_name(char name[96], const sg_t5_config *c, bool gguf, bool decoder, int block, sg_t5_part part);
void sg_t5_shape(int *rows, int *in, const sg_t5_config *c, sg_t5_part part);
const char *sg_t5_norm_name(bool gguf, bool decoder); /* of the last norm, with ".weight" */

typedef struct sg_t5_block {
    sg_matrix w[SG_T5_MATRICES]; /* in 0: there is none */
    sg_param *norm_self, *norm_cross, *norm_ffn;
} sg_t5_block;

typedef struct sg_t5_stack {
    sg_t5_block *block; /* owned: (layers) */
    int layers;
    sg_param *norm, *bias; /* bias (buckets, heads) */
} sg_t5_stack;

struct sg_t5 {
    sg_t5_config config;
    sg_weights *weights;     /* owned */
    sg_tokenizer *tokenizer; /* owned */
    sg_params params;
    sg_t5_stack encoder, decoder; /* decoder.layers 0: the files have none */
    sg_matrix output;
    bool tied; /* the word table is the output matrix */
    const char *words;
};

/* Rows on their way through the layers: of the encoder those of one text, of the decoder those of many. */
struct sg_t5_work {
    const sg_t5 *m; /* borrowed */
    sg_pool *pool;  /* borrowed */
    int n;          /* rows */
    size_t memory_floats, bias_floats, scratch_floats;
    float *memory; /* owned: all of the below for so many rows */
    float *x, *n_x, *q, *k, *v, *a, *gate, *up, *sums;
    float *bias;    /* owned: (heads, 2 bias_room + 1 and some): by distance */
    int bias_room;  /* the middle */
    float *scratch; /* owned: of attention, scratch_floats a thread */
};

static inline size_t sg_t5_inner(const sg_t5 *m)
{
    return (size_t)m->config.heads * (size_t)m->config.head_dim;
}

/* Room for n rows of a stack that look at up to `keys` keys, and its biases of distances up to `reach`. */
sg_status sg_t5_rows_room(sg_t5_work *w, const sg_t5_stack *s, int n, int keys, int reach, bool both,
                          sg_error *err);
sg_status sg_t5_rows_words(sg_t5_work *w, const int32_t *id, int n,
                           sg_error *err);                    /* x: vectors of n words */
void sg_t5_rows_norm(const sg_t5_work *w, const sg_param *p); /* n_x = norm of x */
void sg_t5_rows_times(const sg_t5_work *w, const sg_matrix *m, const float *x, float *y); /* y = x m^T */
void sg_t5_rows_add(const sg_t5_work *w);                                                 /* x += n_x */
void sg_t5_rows_ffn(sg_t5_work *w, const sg_t5_block *b);
const float *sg_t5_rows_bias(const sg_t5_work *w,
                             int head); /* its bias[distance], for negative distances as well */

#endif
