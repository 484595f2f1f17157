/* lora.h - a linear layer with an adapter: two small matrices beside a frozen large one. The op is sg_linear_lora. */
#ifndef SG_NN_LORA_H
#define SG_NN_LORA_H

#include "nn/param.h"

typedef struct sg_lora {
    sg_param *a, *b; /* (r, in), (out, r); NULL: no adapter */
    float scale;     /* alpha / r, or alpha / sqrt(r) */
    float dropout;
} sg_lora;

/* PREFIX.lora_A.weight, uniform up to in^-1/2, and PREFIX.lora_B.weight, zeros: at first the layer is as it was. */
void sg_lora_declare(sg_lora *l, sg_params *ps, uint64_t seed, int out, int in, int r, const char *prefix);
/* x w^T + bias, and what the adapter adds. */
sg_tensor *sg_lora_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *bias, const sg_lora *l);

#endif
