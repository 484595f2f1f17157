/* transformer.c - pre-norm transformer block.   [Vaswani et al. 2017; T5: Raffel et al. 2020; gates: LiGR, Borisyuk et al. 2025]
 *
 *   x = x + drop(O attend(Q n(x), K n(x), V n(x)))
 *   x = x + drop(O attend(Q n(x), K m, V m))          with a memory m only
 *   x = x + drop(W2 drop(act(W1 n(x))))               gated: act(W1 n(x)) * (W3 n(x))
 *
 * With experts, the last line is a mixture of them (nn/moe.h). With gates, what is added to x is multiplied by s(Wg x + b) first, one gate for attention and one for feed-forward. */
#include "nn/transformer.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>

void sg_norm_declare(sg_norm *n, sg_params *ps, int dim, bool rms, float eps, const char *name)
{
    n->eps = eps;
    n->w = sg_param_add(ps, 0, SG_INIT_ONE, 0, SG_PARAM_NO_DECAY, dim, 0, "%s.weight", name);
    n->b = rms ? NULL : sg_param_add(ps, 0, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, dim, 0, "%s.bias", name);
}

sg_tensor *sg_norm_forward(sg_graph *g, const sg_norm *n, sg_tensor *x)
{
    return n->b ? sg_layernorm(g, x, n->w, n->b, n->eps) : sg_rmsnorm(g, x, n->w, n->eps);
}

typedef struct linear_spec {
    const char *prefix, *name;
    int out, in;
    bool bias;
    float sd; /* 0: Xavier uniform */
} linear_spec;

static void declare_linear(sg_param **w, sg_param **b, sg_params *ps, uint64_t seed, const linear_spec *l)
{
    *w = sg_param_add(ps, seed, l->sd > 0 ? SG_INIT_NORMAL : SG_INIT_XAVIER_UNIFORM, l->sd > 0 ? l->sd : 1, 0,
                      l->out, l->in, "%s.%s.weight", l->prefix, l->name);
    if (b)
        *b = l->bias ? sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, l->out, 0, "%s.%s.bias",
                                    l->prefix, l->name)
                     : NULL;
}

static void declare_heads(sg_heads *h, sg_params *ps, uint64_t seed, const sg_block_spec *s,
                          const char *prefix)
{
    const int inner = s->heads * s->head_dim;
    const float d = (float)s->dim;
    const float sd_q = s->t5_init ? 1 / sqrtf(d * (float)s->head_dim) : 0;
    const float sd_in = s->t5_init ? 1 / sqrtf(d) : 0;
    const float sd_out = s->t5_init ? 1 / sqrtf((float)inner) : 0;

    declare_linear(&h->q, &h->qb, ps, seed, &(linear_spec){prefix, "q", inner, s->dim, s->bias, sd_q});
    declare_linear(&h->k, &h->kb, ps, seed, &(linear_spec){prefix, "k", inner, s->dim, s->bias, sd_in});
    declare_linear(&h->v, &h->vb, ps, seed, &(linear_spec){prefix, "v", inner, s->dim, s->bias, sd_in});
    declare_linear(&h->o, &h->ob, ps, seed, &(linear_spec){prefix, "o", s->dim, inner, s->bias, sd_out});
    if (s->gate)
        declare_linear(&h->gate, &h->gateb, ps, seed,
                       &(linear_spec){prefix, "gate", s->dim, s->dim, true, 0});
}

void sg_block_declare(sg_block *b, sg_params *ps, uint64_t seed, const sg_block_spec *s, const char *prefix)
{
    const float sd_in = s->t5_init ? 1 / sqrtf((float)s->dim) : 0;
    const float sd_out = s->t5_init ? 1 / sqrtf((float)s->ffn) : 0;
    char name[80];

    *b = (sg_block){.spec = *s};
    snprintf(name, sizeof name, "%s.norm_self", prefix);
    sg_norm_declare(&b->norm_self, ps, s->dim, s->rms, s->eps, name);
    snprintf(name, sizeof name, "%s.self", prefix);
    declare_heads(&b->self, ps, seed, s, name);
    if (s->cross) {
        snprintf(name, sizeof name, "%s.norm_cross", prefix);
        sg_norm_declare(&b->norm_cross, ps, s->dim, s->rms, s->eps, name);
        snprintf(name, sizeof name, "%s.cross", prefix);
        declare_heads(&b->cross, ps, seed, s, name);
    }
    snprintf(name, sizeof name, "%s.norm_ffn", prefix);
    sg_norm_declare(&b->norm_ffn, ps, s->dim, s->rms, s->eps, name);
    snprintf(name, sizeof name, "%s.ffn", prefix);
    if (s->experts) {
        sg_moe_declare(&b->moe, ps, seed,
                       &(sg_moe_spec){.dim = s->dim,
                                      .ffn = s->ffn,
                                      .experts = s->experts,
                                      .top = s->top,
                                      .act = s->act,
                                      .gated = s->gated,
                                      .sd_in = 1 / sqrtf((float)s->dim),
                                      .sd_out = 1 / sqrtf((float)s->ffn)},
                       name);
        return;
    }
    declare_linear(&b->w1, &b->b1, ps, seed, &(linear_spec){name, "w1", s->ffn, s->dim, s->bias, sd_in});
    if (s->gated)
        declare_linear(&b->w3, NULL, ps, seed, &(linear_spec){name, "w3", s->ffn, s->dim, false, sd_in});
    declare_linear(&b->w2, &b->b2, ps, seed, &(linear_spec){name, "w2", s->dim, s->ffn, s->bias, sd_out});
    if (s->gate)
        declare_linear(&b->gate, &b->gateb, ps, seed, &(linear_spec){name, "gate", s->dim, s->dim, true, 0});
}

/* x + drop(y), y through the gate when there is one */
static sg_tensor *add_to(sg_graph *g, sg_tensor *x, sg_tensor *y, sg_param *gate, sg_param *gateb,
                         float dropout)
{
    if (gate)
        y = sg_times(g, y, sg_linear_act(g, x, gate, gateb, SG_SIGMOID, 0));
    return sg_add_dropout(g, x, y, dropout);
}

static sg_tensor *key_of(sg_graph *g, const sg_heads *h, sg_tensor *x)
{
    return sg_lora_linear(g, x, h->k, h->kb, &h->k_low);
}

static sg_tensor *value_of(sg_graph *g, const sg_heads *h, sg_tensor *x)
{
    return sg_lora_linear(g, x, h->v, h->vb, &h->v_low);
}

sg_tensor *sg_heads_attend(sg_graph *g, const sg_heads *h, sg_tensor *x, sg_tensor *normed, sg_tensor *k,
                           sg_tensor *v, const sg_attention_spec *spec, float dropout)
{
    sg_tensor *q = sg_lora_linear(g, normed, h->q, h->qb, &h->q_low);

    return add_to(g, x, sg_lora_linear(g, sg_attention(g, q, k, v, spec), h->o, h->ob, &h->o_low), h->gate,
                  h->gateb, dropout);
}

static sg_tensor *feed_forward(sg_graph *g, const sg_block *b, sg_tensor *x, float dropout, sg_moe_load *load)
{
    sg_tensor *n = sg_norm_forward(g, &b->norm_ffn, x);

    if (b->spec.experts)
        return sg_add_dropout(g, x, sg_moe_forward_counted(g, &b->moe, n, dropout, load), dropout);
    sg_tensor *inner = sg_activate(g, sg_lora_linear(g, n, b->w1, b->b1, &b->w1_low), b->spec.act);

    if (b->w3)
        inner = sg_times(g, inner, sg_lora_linear(g, n, b->w3, NULL, &b->w3_low));
    inner = sg_dropout(g, inner, dropout);
    return add_to(g, x, sg_lora_linear(g, inner, b->w2, b->b2, &b->w2_low), b->gate, b->gateb, dropout);
}

sg_tensor *sg_block_ffn(sg_graph *g, const sg_block *b, sg_tensor *x, float dropout)
{
    return feed_forward(g, b, x, dropout, NULL);
}

sg_tensor *sg_block_forward_counted(sg_graph *g, const sg_block *b, sg_tensor *x,
                                    const sg_attention_spec *self, sg_tensor *memory,
                                    const sg_attention_spec *cross, float dropout, sg_moe_load *load)
{
    sg_tensor *n = sg_norm_forward(g, &b->norm_self, x);

    x = sg_heads_attend(g, &b->self, x, n, key_of(g, &b->self, n), value_of(g, &b->self, n), self, dropout);
    if (b->spec.cross) {
        n = sg_norm_forward(g, &b->norm_cross, x);
        x = sg_heads_attend(g, &b->cross, x, n, key_of(g, &b->cross, memory), value_of(g, &b->cross, memory),
                            cross, dropout);
    }
    return feed_forward(g, b, x, dropout, load);
}

sg_tensor *sg_block_forward(sg_graph *g, const sg_block *b, sg_tensor *x, const sg_attention_spec *self,
                            sg_tensor *memory, const sg_attention_spec *cross, float dropout)
{
    return sg_block_forward_counted(g, b, x, self, memory, cross, dropout, NULL);
}

sg_status sg_tower_declare(sg_tower *s, sg_params *ps, uint64_t seed, int layers, const sg_block_spec *spec,
                           const char *prefix, sg_error *err)
{
    sg_block_spec each = *spec;
    char name[64];

    if (spec->dim % spec->heads)
        return sg_fail(err, SG_ERR_USAGE, "heads: expected a divisor of dim %d, found %d", spec->dim,
                       spec->heads);
    each.head_dim = spec->dim / spec->heads;
    if (layers && !(s->block = sg_alloc_zero((size_t)layers, sizeof *s->block)))
        return sg_fail_memory(err, "transformer blocks");
    s->n = layers;
    for (int i = 0; i < layers; i++) {
        snprintf(name, sizeof name, "%sblock.%d", prefix, i);
        sg_block_declare(&s->block[i], ps, seed, &each, name);
    }
    snprintf(name, sizeof name, "%snorm", prefix);
    sg_norm_declare(&s->norm, ps, spec->dim, spec->rms, spec->eps, name);
    return SG_OK;
}

void sg_tower_free(sg_tower *s)
{
    sg_free(s->block);
    *s = (sg_tower){0};
}

static sg_tensor *run(sg_graph *g, const sg_tower *s, sg_tensor *x, const int32_t *offsets, int batch,
                      sg_mask mask, float dropout, sg_kept *const *kept)
{
    for (int i = 0; i < s->n; i++) {
        const sg_block_spec *b = &s->block[i].spec;
        const sg_attention_spec self = {.heads = b->heads,
                                        .batch = batch,
                                        .offsets_q = offsets,
                                        .offsets_k = offsets,
                                        .mask = mask,
                                        .scale = 1 / sqrtf((float)b->head_dim),
                                        .dropout = dropout,
                                        .kept = kept ? kept + (size_t)i * (size_t)batch : NULL};

        x = sg_block_forward(g, &s->block[i], x, &self, NULL, NULL, dropout);
    }
    return sg_norm_forward(g, &s->norm, x);
}

sg_tensor *sg_tower_forward(sg_graph *g, const sg_tower *s, sg_tensor *x, const int32_t *offsets, int batch,
                            sg_mask mask, float dropout)
{
    return run(g, s, x, offsets, batch, mask, dropout, NULL);
}

sg_tensor *sg_tower_continue(sg_graph *g, const sg_tower *s, sg_tensor *x, const int32_t *offsets, int batch,
                             sg_kept *const *kept)
{
    return run(g, s, x, offsets, batch, SG_MASK_CAUSAL, 0, kept);
}
