/* transformer.h - one transformer block for every model that has one: pre-norm attention and feed-forward, with the
 * choices of the families (LayerNorm or RMSNorm, biases or none, ReLU, GELU or gated, cross-attention). */
#ifndef SG_NN_TRANSFORMER_H
#define SG_NN_TRANSFORMER_H

#include "nn/lora.h"
#include "nn/moe.h"

typedef struct sg_block_spec {
    int dim, heads, head_dim, ffn; /* inner width of attention = heads * head_dim */
    sg_act act;
    bool rms;   /* RMSNorm without bias (T5); else LayerNorm */
    bool bias;  /* linear layers have biases */
    bool gated; /* feed-forward act(x w1) * (x w3) w2 */
    bool gate;  /* what attention and feed-forward add to x is multiplied by s(x wg + b) first (LiGR) */
    bool cross; /* a second attention, over a memory */
    int experts; /* above 0: the feed-forward part is that many experts, of which a row asks `top` (nn/moe.h); no biases */
    int top;
    bool
        t5_init; /* q: N(0, (dim head_dim)^-1/2), k, v, wi: N(0, dim^-1/2), o, wo by their fan-in; no attention scale */
    float eps;
} sg_block_spec;

typedef struct sg_norm {
    sg_param *w, *b; /* b NULL: RMSNorm */
    float eps;
} sg_norm;

typedef struct sg_heads { /* weights of one attention; biases NULL when the spec has none */
    sg_param *q, *k, *v, *o, *qb, *kb, *vb, *ob;
    sg_param *gate, *gateb;
    sg_lora q_low, k_low, v_low, o_low; /* beside them; empty: none */
} sg_heads;

typedef struct sg_block {
    sg_block_spec spec;
    sg_norm norm_self, norm_cross, norm_ffn;
    sg_heads self, cross;
    sg_param *w1, *b1, *w2, *b2, *w3, *gate, *gateb;
    sg_lora w1_low, w2_low, w3_low;
    sg_moe moe; /* instead of w1 .. w3 */
} sg_block;

/* Names: PREFIX.self.q.weight, PREFIX.norm_self.weight, PREFIX.ffn.w1.weight, ... */
void sg_norm_declare(sg_norm *n, sg_params *ps, int dim, bool rms, float eps, const char *name);
sg_tensor *sg_norm_forward(sg_graph *g, const sg_norm *n, sg_tensor *x);
void sg_block_declare(sg_block *b, sg_params *ps, uint64_t seed, const sg_block_spec *spec,
                      const char *prefix);

/* x (tokens, dim) -> (tokens, dim). memory and cross: NULL unless the spec has cross-attention. */
sg_tensor *sg_block_forward(sg_graph *g, const sg_block *b, sg_tensor *x, const sg_attention_spec *self,
                            sg_tensor *memory, const sg_attention_spec *cross, float dropout);
/* The same of a block with experts, and what they were asked (nn/moe.h); load may be NULL. */
sg_tensor *sg_block_forward_counted(sg_graph *g, const sg_block *b, sg_tensor *x,
                                    const sg_attention_spec *self, sg_tensor *memory,
                                    const sg_attention_spec *cross, float dropout, sg_moe_load *load);

/* Blocks one after the other and a norm at the end: the encoder of models that read one packed batch of sequences. */
typedef struct sg_tower {
    sg_block *block; /* owned (n) */
    int n;
    sg_norm norm;
} sg_tower;

/* spec->head_dim is dim / heads; SG_ERR_USAGE when heads is no divisor. Names: PREFIXblock.0.(...), PREFIXnorm.weight. */
sg_status sg_tower_declare(sg_tower *s, sg_params *ps, uint64_t seed, int layers, const sg_block_spec *spec,
                           const char *prefix, sg_error *err);
void sg_tower_free(sg_tower *s);
/* Self-attention of each sequence, rows offsets[i] .. offsets[i + 1] - 1 of x, under the mask. */
sg_tensor *sg_tower_forward(sg_graph *g, const sg_tower *s, sg_tensor *x, const int32_t *offsets, int batch,
                            sg_mask mask, float dropout);
/* Inference: rows offsets[i] .. of x come after what is kept of sequence i, (blocks, batch), and are kept themselves. */
sg_tensor *sg_tower_continue(sg_graph *g, const sg_tower *s, sg_tensor *x, const int32_t *offsets, int batch,
                             sg_kept *const *kept);

/* The three parts, for decoders that keep K and V: q of normalised x; attention output back onto x; feed-forward. */
sg_tensor *sg_heads_attend(sg_graph *g, const sg_heads *h, sg_tensor *x, sg_tensor *normed, sg_tensor *k,
                           sg_tensor *v, const sg_attention_spec *spec, float dropout);
sg_tensor *sg_block_ffn(sg_graph *g, const sg_block *b, sg_tensor *x, float dropout);

#endif
