/* lora.h - a linear layer with an adapter: two small matrices beside a frozen large one, or behind it. The first op is sg_linear_lora. */
#ifndef SG_NN_LORA_H
#define SG_NN_LORA_H

#include "nn/param.h"

typedef struct sg_lora {
    sg_param *a, *b; /* (r, in), (out, r); NULL: no adapter */
    float scale;     /* alpha / r, or alpha / sqrt(r) */
    float dropout;
    /* behind the layer, whose output is y: y + B act(A y + a_bias) + b_bias, A (r, out); scale and dropout do not count */
    bool behind;
    sg_act act;
    sg_param *a_bias, *b_bias;
} sg_lora;

/* PREFIX.lora_A.weight, uniform up to in^-1/2, and PREFIX.lora_B.weight, zeros: at first the layer is as it was. */
void sg_lora_declare(sg_lora *l, sg_params *ps, uint64_t seed, int out, int in, int r, const char *prefix);
/* Behind the layer: PREFIX.adapter_down.weight, uniform up to out^-1/2, PREFIX.adapter_up.weight, zeros, and biases of both, zeros. */
void sg_bottleneck_declare(sg_lora *l, sg_params *ps, uint64_t seed, int out, int r, sg_act act,
                           const char *prefix);
/* x w^T + bias, and what the adapter adds. */
sg_tensor *sg_lora_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *bias, const sg_lora *l);
/* sg_softmax_ce against the rows of w, an output matrix, and what the adapter adds to them (never one that is behind); of w the rows id
 * learn, if it does not, in a table of their own (NULL: none), as sg_softmax_ce_beside says. */
sg_tensor *sg_lora_ce(sg_graph *g, sg_tensor *x, sg_param *w, const sg_lora *l, sg_param *rows,
                      const int32_t *id, const int32_t *target, const float *weight, float smooth);

#endif
