/* recurrent.h - a layer of gated recurrent units with the weights of its input. */
#ifndef SG_NN_RECURRENT_H
#define SG_NN_RECURRENT_H

#include "nn/param.h"

typedef struct sg_recurrent {
    sg_param *input, *bias,
        *state; /* (3 hidden, in), (3 hidden), (3 hidden, hidden): gates z, r and candidate c */
} sg_recurrent;

/* Names: PREFIX.input.weight, PREFIX.input.bias, PREFIX.state.weight */
void sg_recurrent_declare(sg_recurrent *l, sg_params *ps, uint64_t seed, int hidden, int in,
                          const char *prefix);
/* x (tokens, in) -> states (tokens, hidden); each of the `batch` sequences starts at zero. */
sg_tensor *sg_recurrent_forward(sg_graph *g, const sg_recurrent *l, sg_tensor *x, const int32_t *offsets,
                                int batch);
/* Inference: sequence i goes on from the state start[i]. */
sg_tensor *sg_recurrent_continue(sg_graph *g, const sg_recurrent *l, sg_tensor *x, const int32_t *offsets,
                                 int batch, const float *const *start);

#endif
