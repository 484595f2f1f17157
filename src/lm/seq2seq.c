/* seq2seq.c - the equations of lm/t5.c on a tape. */
#include "lm/seq2seq.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- weights ---------------------------------------------------------------------------------------------------------------- */
sg_param *sg_seq2seq_matrix(sg_seq2seq *d, bool decoder, int block, sg_t5_part part, sg_lora **low)
{
    sg_block *b = &(decoder ? &d->decoder : &d->encoder)->block[block];
    sg_heads *h = part < SG_T5_CROSS_Q ? &b->self : &b->cross;
    const bool gated = d->config.gated; /* act(w1 x) * (w3 x), or act(w1 x) */
    sg_param *w = NULL;

    *low = NULL;
    switch (part) {
    case SG_T5_Q:
    case SG_T5_CROSS_Q:
        w = h->q;
        *low = &h->q_low;
        break;
    case SG_T5_K:
    case SG_T5_CROSS_K:
        w = h->k;
        *low = &h->k_low;
        break;
    case SG_T5_V:
    case SG_T5_CROSS_V:
        w = h->v;
        *low = &h->v_low;
        break;
    case SG_T5_O:
    case SG_T5_CROSS_O:
        w = h->o;
        *low = &h->o_low;
        break;
    case SG_T5_GATE:
        w = b->w1;
        *low = &b->w1_low;
        break;
    case SG_T5_UP:
        w = gated ? b->w3 : b->w1;
        *low = gated ? &b->w3_low : &b->w1_low;
        break;
    case SG_T5_DOWN:
        w = b->w2;
        *low = &b->w2_low;
        break;
    default:
        break;
    }
    return w;
}

typedef struct maker {
    sg_seq2seq *d;
    sg_taking how;
    bool own_head;
    sg_error *err;
} maker;

static sg_status make_block(const maker *k, const sg_t5_stack *from, int i, bool decoder)
{
    sg_seq2seq_stack *s = decoder ? &k->d->decoder : &k->d->encoder;
    const sg_t5_config *c = &k->d->config;
    const sg_t5_block *b = &from->block[i];
    sg_block *to = &s->block[i];
    sg_param **const matrix[SG_T5_MATRICES] = {
        &to->self.q,  &to->self.k,  &to->self.v,  &to->self.o, &to->cross.q,
        &to->cross.k, &to->cross.v, &to->cross.o, &to->w1,     c->gated ? &to->w3 : &to->w1,
        &to->w2};
    sg_param **const vector[] = {&to->norm_self.w, &to->norm_cross.w, &to->norm_ffn.w, &s->bias};
    const sg_param *const vector_from[] = {b->norm_self, b->norm_cross, b->norm_ffn, from->bias};
    char name[96 + 8];
    sg_status st = SG_OK;

    to->spec = (sg_block_spec){.dim = c->dim,
                               .heads = c->heads,
                               .head_dim = c->head_dim,
                               .ffn = c->ffn,
                               .act = c->act,
                               .rms = true,
                               .gated = c->gated,
                               .cross = decoder,
                               .eps = c->eps};
    to->norm_self.eps = to->norm_cross.eps = to->norm_ffn.eps = c->eps;
    for (int p = 0; p < SG_T5_PARTS && !st; p++) {
        if (!sg_t5_has(c, decoder, i, (sg_t5_part)p))
            continue;
        sg_t5_name(name, c, false, decoder, i, (sg_t5_part)p);
        strcat(name, ".weight");
        st = p < SG_T5_MATRICES ? sg_matrix_take(matrix[p], &b->w[p], name, &k->how, k->err)
                                : sg_vector_take(vector[p - SG_T5_NORM_SELF],
                                                 vector_from[p - SG_T5_NORM_SELF], name, &k->how, k->err);
    }
    return st;
}

static sg_status make_stack(const maker *k, const sg_t5_stack *from, bool decoder)
{
    sg_seq2seq_stack *s = decoder ? &k->d->decoder : &k->d->encoder;
    sg_status st = SG_OK;

    if (!(s->block = sg_alloc_zero((size_t)from->layers, sizeof *s->block)))
        return sg_fail_memory(k->err, "layers");
    s->layers = from->layers;
    for (int i = 0; i < from->layers && !st; i++)
        st = make_block(k, from, i, decoder);
    return st ? st : sg_vector_take(&s->norm, from->norm, sg_t5_norm_name(false, decoder), &k->how, k->err);
}

/* The word table, of which reading takes a row at a time from the file, as numbers: the loss reads it so. */
static sg_status make_words(maker *k, const sg_t5 *m)
{
    static const char name[] = "shared.weight";
    sg_seq2seq *d = k->d;
    sg_taking how = k->how;
    sg_status st;

    how.keep_bits = false;
    if (m->tied && k->own_head) {
        if ((st = sg_matrix_take(&d->words, &m->output, name, &how, k->err)))
            return st;
        return sg_matrix_take(&d->output, &m->output, "lm_head.weight", &how, k->err);
    }
    if (m->tied) {
        st = sg_matrix_take(&d->output, &m->output, name, &how, k->err);
        d->words = d->output;
        return st;
    }
    if ((st = sg_words_take(&d->words, m->weights, m->words, d->config.vocab, d->config.dim, name, &how,
                            k->err)))
        return st;
    return sg_matrix_take(&d->output, &m->output, "lm_head.weight", &how, k->err);
}

sg_status sg_seq2seq_new(sg_seq2seq **out, const sg_t5 *m, const sg_seq2seq_spec *spec, sg_pool *pool,
                         sg_error *err)
{
    sg_seq2seq *d = sg_alloc_zero(1, sizeof *d);
    maker k = {.d = d, .own_head = spec->own_head, .err = err};
    sg_status st;

    *out = NULL;
    if (!d)
        return sg_fail_memory(err, "model");
    k.how = (sg_taking){&d->params, spec->learns, spec->keep_bits, pool, 0};
    d->config = m->config;
    d->params.bare = true;
    if (!m->decoder.layers)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a decoder, found an encoder alone",
                     sg_weights_name(m->weights));
    else if (!(st = make_words(&k, m)) && !(st = make_stack(&k, &m->encoder, false)))
        st = make_stack(&k, &m->decoder, true);
    if (st) {
        sg_seq2seq_free(d);
        return st;
    }
    *out = d;
    return SG_OK;
}

void sg_seq2seq_free(sg_seq2seq *d)
{
    if (!d)
        return;
    sg_params_free(&d->params);
    sg_free(d->encoder.block);
    sg_free(d->decoder.block);
    sg_free(d);
}

void sg_seq2seq_unscale(sg_seq2seq *d)
{
    const float scale = d->config.scaled ? 1 / sqrtf((float)d->config.dim) : 1;

    for (size_t i = 0; i < d->output->count && scale != 1; i++)
        d->output->value[i] *= scale;
    d->output->version++;
    d->config.scaled = false;
}

/* ---- forward ---------------------------------------------------------------------------------------------------------------- */
static sg_tensor *words(sg_graph *g, const sg_seq2seq *d, const int32_t *id, int n)
{
    for (int t = 0; t < n; t++)
        if (id[t] < 0 || id[t] >= d->config.vocab)
            return sg_graph_fail(g, SG_ERR_USAGE, "token %d: expected a number below %d, found %d", t,
                                 d->config.vocab, (int)id[t]);
    return sg_embed(g, d->words, id, n);
}

static sg_attention_spec attention(const sg_seq2seq *d, int batch, const int32_t *offsets_q,
                                   const int32_t *offsets_k, sg_param *bias, bool causal)
{
    return (sg_attention_spec){.heads = d->config.heads,
                               .batch = batch,
                               .offsets_q = offsets_q,
                               .offsets_k = offsets_k,
                               .mask = causal ? SG_MASK_CAUSAL : SG_MASK_NONE,
                               .scale = 1,
                               .bias = bias,
                               .bias_bidirectional = !causal,
                               .bias_max_distance = d->config.distance};
}

typedef struct step { /* what the layers of a stack share; in step memory */
    sg_attention_spec self, cross;
} step;

typedef struct part_of_step {
    const step *s;
    const sg_block *block;
} part_of_step;

static sg_tensor *layer_forward(sg_graph *g, sg_tensor *x, sg_tensor *memory, const void *ctx)
{
    const part_of_step *part = ctx;

    return sg_block_forward(g, part->block, x, &part->s->self, memory, &part->s->cross, 0);
}

/* memory: what the encoder read; NULL: this is the encoder. */
static sg_tensor *stack_forward(sg_graph *g, const sg_seq2seq *d, const sg_seq2seq_stack *stack, sg_tensor *x,
                                sg_tensor *memory, const step *shared, bool recompute)
{
    step *s = sg_scratch(g, 1, sizeof *s);
    part_of_step *part = sg_scratch(g, (size_t)stack->layers, sizeof *part);

    if (!x || !s || !part)
        return NULL;
    *s = *shared;
    for (int i = 0; i < stack->layers; i++) {
        part[i] = (part_of_step){s, &stack->block[i]};
        x = recompute ? sg_recompute(g, x, memory, layer_forward, &part[i])
                      : layer_forward(g, x, memory, &part[i]);
    }
    return sg_rmsnorm(g, x, stack->norm, d->config.eps);
}

sg_tensor *sg_seq2seq_encode(sg_graph *g, const sg_seq2seq *d, const sg_seq2seq_batch *b)
{
    const step s = {.self = attention(d, b->batch, b->read_offsets, b->read_offsets, d->encoder.bias, false)};

    return stack_forward(g, d, &d->encoder, words(g, d, b->read, b->n_read), NULL, &s, b->recompute);
}

sg_tensor *sg_seq2seq_states(sg_graph *g, const sg_seq2seq *d, const sg_seq2seq_batch *b)
{
    const step s = {.self = attention(d, b->batch, b->write_offsets, b->write_offsets, d->decoder.bias, true),
                    .cross = attention(d, b->batch, b->write_offsets, b->read_offsets, NULL, false)};
    sg_tensor *memory = sg_seq2seq_encode(g, d, b);

    return stack_forward(g, d, &d->decoder, words(g, d, b->write, b->n_write), memory, &s, b->recompute);
}

sg_tensor *sg_seq2seq_loss(sg_graph *g, const sg_seq2seq *d, sg_tensor *x, const int32_t *target,
                           float smooth)
{
    if (d->config.scaled)
        x = sg_scale(g, x, 1 / sqrtf((float)d->config.dim));
    return sg_lora_ce(g, x, d->output, &d->head, NULL, NULL, target, NULL, smooth);
}
