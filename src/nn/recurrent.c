/* recurrent.c - see math/gru.c for the formulas. */
#include "nn/recurrent.h"

void sg_recurrent_declare(sg_recurrent *l, sg_params *ps, uint64_t seed, int hidden, int in,
                          const char *prefix)
{
    l->input =
        sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, 3 * hidden, in, "%s.input.weight", prefix);
    l->bias =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, 3 * hidden, 0, "%s.input.bias", prefix);
    l->state =
        sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, 3 * hidden, hidden, "%s.state.weight", prefix);
}

sg_tensor *sg_recurrent_forward(sg_graph *g, const sg_recurrent *l, sg_tensor *x, const int32_t *offsets,
                                int batch)
{
    return sg_gru(g, sg_linear(g, x, l->input, l->bias), l->state, offsets, batch);
}

sg_tensor *sg_recurrent_continue(sg_graph *g, const sg_recurrent *l, sg_tensor *x, const int32_t *offsets,
                                 int batch, const float *const *start)
{
    return sg_gru_from(g, sg_linear(g, x, l->input, l->bias), l->state, offsets, batch, start);
}
