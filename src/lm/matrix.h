/* matrix.h - one weight matrix of a decoder as its file has it: in few bits, in bf16, or in f32. */
#ifndef SG_LM_MATRIX_H
#define SG_LM_MATRIX_H

#include "lm/weights.h"
#include "math/blocks.h"
#include "nn/lora.h"

typedef struct sg_matrix {
    int out, in;
    sg_blocks blocks; /* owned; empty: dense */
    sg_param *dense;  /* borrowed from the set given to sg_matrix_open; NULL: blocks */
    sg_lora low;      /* borrowed: an adapter's part, beside or behind; empty: none */
} sg_matrix;

/* The tensor `name`, (rows, in). half > 0: each group of 2 half rows is stored with its two halves interleaved, as the converter to
 * GGUF leaves q and k of arch llama, and comes out in the usual order. ps holds what is dense. */
sg_status sg_matrix_open(sg_matrix *m, sg_params *ps, const sg_weights *w, const char *name, int rows, int in,
                         int half, sg_error *err);
void sg_matrix_close(sg_matrix *m);

/* Weights of a graph with the numbers of a model's, which must outlive them: what does not learn are those very numbers (or, with
 * keep_bits, those very blocks), what learns a copy. */
typedef struct sg_taking {
    sg_params *to; /* bare */
    bool learns, keep_bits;
    sg_pool *pool;
    int rows; /* tables: at least so many, those that the file lacks are zeros; above 0: always a copy */
} sg_taking;
sg_status sg_matrix_take(sg_param **out, const sg_matrix *from, const char *name, const sg_taking *how,
                         sg_error *err);
/* from NULL: *out NULL */
sg_status sg_vector_take(sg_param **out, const sg_param *from, const char *name, const sg_taking *how,
                         sg_error *err);
/* The table `name` of the files, all its numbers. */
sg_status sg_words_take(sg_param **out, const sg_weights *w, const char *from, int rows, int in,
                        const char *name, const sg_taking *how, sg_error *err);

/* y (rows, out) = x (rows, in) m^T + bias (NULL: none); scratch of sg_matrix_floats numbers. */
size_t sg_matrix_floats(const sg_matrix *m, int rows);
void sg_matrix_times(sg_pool *pool, const sg_matrix *m, int rows, const float *x, const float *bias, float *y,
                     float *scratch);

#endif
