/* t5_parts.h - the weights of a T5, and rows on their way through its layers, for the files that compute with them. */
#ifndef SG_LM_T5_PARTS_H
#define SG_LM_T5_PARTS_H

#include "lm/matrix.h"
#include "lm/t5.h"

typedef struct sg_t5_attention {
    sg_matrix q, k, v, o;
    sg_param *norm;
} sg_t5_attention;

typedef struct sg_t5_block {
    sg_t5_attention self, cross; /* cross: of a decoder */
    sg_matrix gate, up, down;    /* gate: v1.1 */
    sg_param *norm_ffn;
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
    sg_t5_stack encoder, decoder; /* decoder.layers 0: the folder has none */
    sg_matrix output;
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
sg_status sg_t5_rows_room(sg_t5_work *w, const sg_t5_stack *s, int n, int keys, int reach, bool both, sg_error *err);
sg_status sg_t5_rows_words(sg_t5_work *w, const int32_t *id, int n, sg_error *err);       /* x: vectors of n words */
void sg_t5_rows_norm(const sg_t5_work *w, const sg_param *p);                             /* n_x = norm of x */
void sg_t5_rows_times(const sg_t5_work *w, const sg_matrix *m, const float *x, float *y); /* y = x m^T */
void sg_t5_rows_add(const sg_t5_work *w);                                                 /* x += n_x */
void sg_t5_rows_ffn(sg_t5_work *w, const sg_t5_block *b);
const float *sg_t5_rows_bias(const sg_t5_work *w, int head); /* its bias[distance], for negative distances as well */

#endif
