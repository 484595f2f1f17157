/* lora.c - declaring and using an adapter.   [Hu et al. 2021] */
#include "nn/lora.h"

#include <math.h>

void sg_lora_declare(sg_lora *l, sg_params *ps, uint64_t seed, int out, int in, int r, const char *prefix)
{
    /* XAVIER_UNIFORM is +-gain sqrt(6 / (r + in)) */
    const float gain = sqrtf((float)(r + in) / (6 * (float)in));

    l->a = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, gain, 0, r, in, "%s.lora_A.weight", prefix);
    l->b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, 0, out, r, "%s.lora_B.weight", prefix);
}

sg_tensor *sg_lora_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *bias, const sg_lora *l)
{
    return l->a ? sg_linear_lora(g, x, w, bias, l->a, l->b, l->scale, l->dropout) : sg_linear(g, x, w, bias);
}
