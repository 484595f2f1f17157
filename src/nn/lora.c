/* lora.c - declaring and using an adapter.   [Hu et al. 2021; behind a layer: Houlsby et al. 2019] */
#include "nn/lora.h"

#include <math.h>

/* XAVIER_UNIFORM is +-gain sqrt(6 / (r + in)): for numbers up to in^-1/2 */
static float gain_of(int r, int in)
{
    return sqrtf((float)(r + in) / (6 * (float)in));
}

void sg_lora_declare(sg_lora *l, sg_params *ps, uint64_t seed, int out, int in, int r, const char *prefix)
{
    l->a =
        sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, gain_of(r, in), 0, r, in, "%s.lora_A.weight", prefix);
    l->b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, 0, out, r, "%s.lora_B.weight", prefix);
}

void sg_bottleneck_declare(sg_lora *l, sg_params *ps, uint64_t seed, int out, int r, sg_act act,
                           const char *prefix)
{
    l->behind = true;
    l->act = act;
    l->a = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, gain_of(r, out), 0, r, out,
                        "%s.adapter_down.weight", prefix);
    l->a_bias =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, r, 0, "%s.adapter_down.bias", prefix);
    l->b = sg_param_add(ps, seed, SG_INIT_ZERO, 0, 0, out, r, "%s.adapter_up.weight", prefix);
    l->b_bias =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, out, 0, "%s.adapter_up.bias", prefix);
}

sg_tensor *sg_lora_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *bias, const sg_lora *l)
{
    if (l->a && !l->behind)
        return sg_linear_lora(g, x, w, bias, l->a, l->b, l->scale, l->dropout);
    x = sg_linear(g, x, w, bias);
    return l->a
               ? sg_plus(g, x, sg_linear(g, sg_linear_act(g, x, l->a, l->a_bias, l->act, 0), l->b, l->b_bias))
               : x;
}

sg_tensor *sg_lora_ce(sg_graph *g, sg_tensor *x, sg_param *w, const sg_lora *l, sg_param *rows,
                      const int32_t *id, const int32_t *target, const float *weight, float smooth)
{
    sg_ce_beside beside = {.b = l->b, .rows = rows, .id = id};

    if (l->a)
        beside.z = sg_scale(g, sg_linear(g, sg_dropout(g, x, l->dropout), l->a, NULL), l->scale);
    return sg_softmax_ce_beside(g, x, w, &beside, target, weight, 1, smooth);
}
