/* t5.c - encoders and decoders of the T5 family: their config and weights.   [Raffel et al. 2020; v1.1: Shazeer 2020] What they compute,
 * with relative positions, RMSNorm before every part and no biases, in lm/t5_rows.c and lm/t5_desk.c:
 *
 *   encoder:  x += O attend(Q n, K n, V n) + b,  n = RMS(x);   x += D f(RMS(x));   states: RMS(x)
 *   decoder:  the same over what is written so far;  then x += O' attend(Q' n, K' e, V' e),  e: the encoder's states;  then the same f
 *   f(m) = relu(U m),  or (v1.1)  gelu(G m) * (U m);   logits = E RMS(x) / sqrt(dim), E the word table; v1.1: H RMS(x)
 *
 * Attention has no scale; b is a number for each head and distance, by buckets that grow with the distance, those of the first layer for
 * all. Across to the encoder there is no b. */
#include "lm/t5_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

enum { CONFIG_MOST = 64 << 20 };

/* ---- config.json --------------------------------------------------------------------------------------------------------- */
bool sg_t5_is(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));

    return type && strcmp(type, "t5") == 0;
}

/* otherwise -1: it has to be there */
static sg_status read_int(int *out, const json_t *config, const char *key, int otherwise, int64_t least, int64_t most, const char *where,
                          sg_error *err)
{
    int64_t x = otherwise;
    const json_t *value = json_object_get(config, key);
    sg_status st = SG_OK;

    if (otherwise < 0 || (value && !json_is_null(value)))
        st = sg_json_need_int(&x, config, key, least, most, where, err);
    *out = (int)x;
    return st;
}

static sg_status read_form(sg_t5_config *c, const char *form, const char *where, sg_error *err)
{
    static const struct {
        const char *name;
        bool gated;
        sg_act act;
    } forms[] = {{"relu", false, SG_RELU}, {"gated-gelu", true, SG_GELU_TANH}, {"gated-silu", true, SG_SILU}};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(form, forms[i].name) == 0) {
            c->gated = forms[i].gated;
            c->act = forms[i].act;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: 'feed_forward_proj': expected relu, gated-gelu or gated-silu, found '%.100s'", where, form);
}

sg_status sg_t5_config_read(sg_t5_config *out, const json_t *config, const char *where, sg_error *err)
{
    const json_t *tied = json_object_get(config, "tie_word_embeddings"), *scaled = json_object_get(config, "scale_decoder_outputs");
    const char *form = "relu";
    double eps = 1e-6;
    sg_t5_config *c = out;
    sg_status st;

    *c = (sg_t5_config){0};
    if (!sg_t5_is(config))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'model_type': expected t5, found %s", where,
                       sg_json_describe(json_object_get(config, "model_type"), (char[64]){0}));
    if ((st = read_int(&c->dim, config, "d_model", -1, 1, 1 << 16, where, err)) ||
        (st = read_int(&c->head_dim, config, "d_kv", -1, 1, 1 << 12, where, err)) ||
        (st = read_int(&c->heads, config, "num_heads", -1, 1, 1 << 12, where, err)) ||
        (st = read_int(&c->layers, config, "num_layers", -1, 1, 1000, where, err)) ||
        (st = read_int(&c->ffn, config, "d_ff", -1, 1, 1 << 20, where, err)) ||
        (st = read_int(&c->vocab, config, "vocab_size", -1, 1, 1 << 24, where, err)) ||
        (st = read_int(&c->layers_decoder, config, "num_decoder_layers", c->layers, 1, 1000, where, err)) ||
        (st = read_int(&c->buckets, config, "relative_attention_num_buckets", 32, 1, 4096, where, err)) ||
        (st = read_int(&c->distance, config, "relative_attention_max_distance", 128, 1, 1 << 20, where, err)) ||
        (st = read_int(&c->start, config, "decoder_start_token_id", 0, 0, c->vocab - 1, where, err)) ||
        (st = read_int(&c->end, config, "eos_token_id", 1, 0, c->vocab - 1, where, err)))
        return st;
    if (json_object_get(config, "feed_forward_proj") && (st = sg_json_need_string(&form, config, "feed_forward_proj", where, err)))
        return st;
    if (json_object_get(config, "layer_norm_epsilon") && (st = sg_json_need_real(&eps, config, "layer_norm_epsilon", where, err)))
        return st;
    if (!(eps >= 0 && eps < 1))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an epsilon of norms from 0 to 1, found %g", where, eps);
    if (c->buckets < 4 || c->buckets % 4 || c->distance <= c->buckets / 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a multiple of 4 buckets, and a distance above half of them, found %d and %d", where,
                       c->buckets, c->distance);
    c->eps = (float)eps;
    c->scaled = !json_is_false(tied) && !json_is_false(scaled); /* newer files say it by a name of its own */
    return read_form(c, form, where, err);
}

/* ---- weights ------------------------------------------------------------------------------------------------------------- */
typedef struct loader {
    sg_t5 *m;
    const char *stack; /* "encoder" or "decoder" */
    int block, part;   /* layer.%d of block.%d */
    sg_error *err;
} loader;

static const char *full(const loader *l, char name[160], const char *rest)
{
    snprintf(name, 160, "%s.block.%d.layer.%d.%s.weight", l->stack, l->block, l->part, rest);
    return name;
}

static sg_status load_param(const loader *l, sg_param **out, const char *name, int rows, int cols)
{
    *out = sg_param_add(&l->m->params, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, rows, cols, "%s", name);
    return *out ? sg_weights_load(l->m->weights, *out, name, l->err) : sg_fail_memory(l->err, name);
}

static sg_status load_matrix(const loader *l, sg_matrix *out, const char *rest, int rows, int in)
{
    char name[160];

    return sg_matrix_open(out, &l->m->params, l->m->weights, full(l, name, rest), rows, in, 0, l->err);
}

static sg_status load_attention(const loader *l, sg_t5_attention *a, const char *kind)
{
    const sg_t5_config *c = &l->m->config;
    const int inner = c->heads * c->head_dim;
    char name[160], rest[64];
    sg_matrix *to[] = {&a->q, &a->k, &a->v};
    sg_status st = SG_OK;

    for (int i = 0; i < 3 && !st; i++) {
        snprintf(rest, sizeof rest, "%s.%c", kind, "qkv"[i]);
        st = load_matrix(l, to[i], rest, inner, c->dim);
    }
    snprintf(rest, sizeof rest, "%s.o", kind);
    if (st || (st = load_matrix(l, &a->o, rest, c->dim, inner)))
        return st;
    return load_param(l, &a->norm, full(l, name, "layer_norm"), c->dim, 0);
}

static sg_status load_block(loader *l, sg_t5_block *b, bool decoder)
{
    const sg_t5_config *c = &l->m->config;
    char name[160];
    sg_status st;

    l->part = 0;
    if ((st = load_attention(l, &b->self, "SelfAttention")))
        return st;
    l->part++;
    if (decoder && (st = load_attention(l, &b->cross, "EncDecAttention")))
        return st;
    l->part += decoder;
    if ((c->gated && (st = load_matrix(l, &b->gate, "DenseReluDense.wi_0", c->ffn, c->dim))) ||
        (st = load_matrix(l, &b->up, c->gated ? "DenseReluDense.wi_1" : "DenseReluDense.wi", c->ffn, c->dim)) ||
        (st = load_matrix(l, &b->down, "DenseReluDense.wo", c->dim, c->ffn)))
        return st;
    return load_param(l, &b->norm_ffn, full(l, name, "layer_norm"), c->dim, 0);
}

static sg_status load_stack(loader *l, sg_t5_stack *s, const char *name, int layers)
{
    const sg_t5_config *c = &l->m->config;
    char long_name[160];
    sg_status st;

    l->stack = name;
    if (!(s->block = sg_alloc_zero((size_t)layers, sizeof *s->block)))
        return sg_fail_memory(l->err, "layers");
    s->layers = layers;
    for (l->block = 0; l->block < layers; l->block++)
        if ((st = load_block(l, &s->block[l->block], s == &l->m->decoder)))
            return st;
    l->block = l->part = 0;
    if ((st = load_param(l, &s->bias, full(l, long_name, "SelfAttention.relative_attention_bias"), c->buckets, c->heads)))
        return st;
    snprintf(long_name, sizeof long_name, "%s.final_layer_norm.weight", name);
    return load_param(l, &s->norm, long_name, c->dim, 0);
}

static sg_status load_all(sg_t5 *m, sg_error *err)
{
    const sg_t5_config *c = &m->config;
    loader l = {.m = m, .err = err};
    sg_status st;

    m->words = sg_weights_has(m->weights, "shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
    if ((st = load_stack(&l, &m->encoder, "encoder", c->layers)) || !sg_weights_has(m->weights, "decoder.final_layer_norm.weight"))
        return st;
    if ((st = load_stack(&l, &m->decoder, "decoder", c->layers_decoder)))
        return st;
    return sg_matrix_open(&m->output, &m->params, m->weights, sg_weights_has(m->weights, "lm_head.weight") ? "lm_head.weight" : m->words, c->vocab, c->dim, 0, err);
}

static void close_stack(sg_t5_stack *s)
{
    for (int i = 0; i < s->layers; i++) {
        sg_t5_block *b = &s->block[i];
        sg_matrix *all[] = {&b->self.q, &b->self.k, &b->self.v, &b->self.o, &b->cross.q, &b->cross.k, &b->cross.v, &b->cross.o,
                            &b->gate,   &b->up,     &b->down};

        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            sg_matrix_close(all[k]);
    }
    sg_free(s->block);
}

void sg_t5_close(sg_t5 *m)
{
    if (!m)
        return;
    close_stack(&m->encoder);
    close_stack(&m->decoder);
    sg_matrix_close(&m->output);
    sg_params_free(&m->params);
    sg_tokenizer_close(m->tokenizer);
    sg_weights_close(m->weights);
    sg_free(m);
}

sg_status sg_t5_open(sg_t5 **out, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config.json");
    sg_t5 *m = sg_alloc_zero(1, sizeof *m);
    json_t *root = NULL;
    sg_status st = path && m ? sg_json_read(&root, path, CONFIG_MOST, err) : sg_fail_memory(err, "model");

    *out = NULL;
    if (!st) {
        m->params.bare = true;
        st = sg_t5_config_read(&m->config, root, path, err);
    }
    if (!st && !(st = sg_weights_open(&m->weights, dir, err)) && !(st = sg_tokenizer_open(&m->tokenizer, dir, err))) {
        if (sg_tokenizer_size(m->tokenizer) > m->config.vocab)
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d tokens, the rows of the word table, found a tokenizer of %d", dir,
                         m->config.vocab, (int)sg_tokenizer_size(m->tokenizer));
        else
            st = load_all(m, err);
    }
    json_decref(root);
    sg_free(path);
    if (st) {
        sg_t5_close(m);
        return st;
    }
    *out = m;
    return SG_OK;
}

const sg_t5_config *sg_t5_config_of(const sg_t5 *m)
{
    return &m->config;
}

const sg_tokenizer *sg_t5_tokenizer(const sg_t5 *m)
{
    return m->tokenizer;
}
