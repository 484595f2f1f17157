/* moe.h - a feed-forward part of many experts, of which each row asks a few.   [Shazeer et al. 2017; OneRec: Deng et al. 2025]
 *
 *   y = sum over i in top-k(p) of p_i E_i(x),  p = softmax(x Wg),  E_i(x) = W2_i drop(act(W1_i x))    gated: act(W1_i x) * (W3_i x)
 *
 * p is over all experts; what is not chosen counts nothing and costs nothing. renormalise: p over the chosen ones alone.
 *
 * So that not all rows ask the same few, a loss can be added to the model's.   [Switch: Fedus et al. 2022, eq. 4; GShard]
 *
 *   balance = E sum over e of f_e P_e,  f_e: share of all that was asked that e was asked,  P_e: mean of p_e over the rows
 *
 * It is 1 when experts are asked alike, and up to E; f counts and has no gradient. */
#ifndef SG_NN_MOE_H
#define SG_NN_MOE_H

#include "nn/param.h"

enum { SG_EXPERTS_MOST = 64 };

typedef struct sg_moe_spec {
    int dim, ffn, experts, top; /* 1 <= top <= experts <= SG_EXPERTS_MOST */
    sg_act act;
    bool gated, renormalise;
    float sd_in, sd_out; /* of the experts' weights at the start; the gate's is sd_in */
} sg_moe_spec;

typedef struct sg_moe {
    sg_moe_spec spec; /* experts 0: none */
    sg_param *gate;   /* (experts, dim) */
    struct {
        sg_param *w1, *w2, *w3;
    } expert[SG_EXPERTS_MOST];
} sg_moe;

/* Who asks whom, in step memory. Rows that expert e is asked by: row[first[e]] .. row[first[e + 1] - 1], ascending. */
typedef struct sg_moe_route {
    int32_t *expert; /* (rows, top) most probable first, ties by lower number */
    int32_t *slot;   /* (rows, top) places in `row` */
    int32_t *row;    /* (rows * top) */
    int32_t first[SG_EXPERTS_MOST + 1];
    sg_tensor *balance; /* scalar */
} sg_moe_route;

/* What the experts of several blocks were asked in one pass. */
typedef struct sg_moe_load {
    sg_tensor *balance; /* sum over the blocks so far; NULL without any */
    int blocks;
    int64_t *asked; /* borrowed (blocks, experts): rows by expert, added to; NULL: not wanted */
} sg_moe_load;

/* Names: PREFIX.gate.weight, PREFIX.0.w1.weight, ... */
void sg_moe_declare(sg_moe *m, sg_params *ps, uint64_t seed, const sg_moe_spec *spec, const char *prefix);
/* x (rows, dim) -> (rows, dim), without residual. route: NULL, or who was asked. */
sg_tensor *sg_moe_forward(sg_graph *g, const sg_moe *m, sg_tensor *x, float dropout, sg_moe_route *route);
/* Counts the next block. load: NULL, or what its experts were asked is added to it. */
sg_tensor *sg_moe_forward_counted(sg_graph *g, const sg_moe *m, sg_tensor *x, float dropout,
                                  sg_moe_load *load);

#endif
