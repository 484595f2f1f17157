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

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MOST = 64 << 20 };

/* ---- config.json --------------------------------------------------------------------------------------------------------- */
bool sg_t5_is(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));

    return type && strcmp(type, "t5") == 0;
}

/* otherwise -1: it has to be there */
static sg_status read_int(int *out, const json_t *config, const char *key, int otherwise, int64_t least,
                          int64_t most, const char *where, sg_error *err)
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
    return sg_fail(err, SG_ERR_FORMAT,
                   "%s: 'feed_forward_proj': expected relu, gated-gelu or gated-silu, found '%.100s'", where,
                   form);
}

static sg_status check_sizes(const sg_t5_config *c, const char *where, sg_error *err)
{
    if (!(c->eps >= 0 && c->eps < 1))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an epsilon of norms from 0 to 1, found %g", where,
                       (double)c->eps);
    if (c->buckets < 4 || c->buckets % 4 || c->distance <= c->buckets / 2)
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: expected a multiple of 4 buckets, and a distance above half of them, found %d and %d", where,
            c->buckets, c->distance);
    return SG_OK;
}

sg_status sg_t5_config_read(sg_t5_config *out, const json_t *config, const char *where, sg_error *err)
{
    const json_t *tied = json_object_get(config, "tie_word_embeddings"),
                 *scaled = json_object_get(config, "scale_decoder_outputs");
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
        (st = read_int(&c->distance, config, "relative_attention_max_distance", 128, 1, 1 << 20, where,
                       err)) ||
        (st = read_int(&c->start, config, "decoder_start_token_id", 0, 0, c->vocab - 1, where, err)) ||
        (st = read_int(&c->end, config, "eos_token_id", 1, 0, c->vocab - 1, where, err)))
        return st;
    if (json_object_get(config, "feed_forward_proj") &&
        (st = sg_json_need_string(&form, config, "feed_forward_proj", where, err)))
        return st;
    if (json_object_get(config, "layer_norm_epsilon") &&
        (st = sg_json_need_real(&eps, config, "layer_norm_epsilon", where, err)))
        return st;
    c->eps = (float)eps;
    if ((st = check_sizes(c, where, err)))
        return st;
    c->scaled = !json_is_false(tied) && !json_is_false(scaled); /* newer files say it by a name of its own */
    return read_form(c, form, where, err);
}

/* ---- key-values of a GGUF file ------------------------------------------------------------------------------------------- */
static const char *gguf_arch(const sg_gguf *file)
{
    static const char *const known[] = {"t5", "t5encoder"};
    const sg_bytes arch = sg_gguf_string(file, "general.architecture");

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (arch.size == strlen(known[i]) && memcmp(arch.data, known[i], arch.size) == 0)
            return known[i];
    return NULL;
}

static sg_status gguf_int(int *out, const sg_gguf *file, const char *arch, const char *key, double otherwise,
                          double least, double most, sg_error *err)
{
    char name[160];
    double x;

    snprintf(name, sizeof name, "%s%s%s", arch, *arch ? "." : "", key);
    x = sg_gguf_number_or(file, name, otherwise);
    if (!(x >= least && x <= most && x == floor(x)))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an integer from %.0f to %.0f, found %g",
                       sg_gguf_name(file), name, least, most, x);
    *out = (int)x;
    return SG_OK;
}

/* What llama.cpp takes for granted is not in the file: the distance of the last bucket, and that a gate is a GELU. An own output matrix
 * means, as in the models' makers' files, that states are not scaled. */
sg_status sg_t5_config_gguf(sg_t5_config *out, const sg_gguf *file, sg_error *err)
{
    const sg_gguf_value *tokens = sg_gguf_find(file, "tokenizer.ggml.tokens");
    const char *a = gguf_arch(file);
    sg_t5_config *c = out;
    char key[100];
    sg_status st;

    *c = (sg_t5_config){.distance = 128};
    if (!a)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: 'general.architecture': expected t5 or t5encoder, found another one",
                       sg_gguf_name(file));
    if ((st = gguf_int(&c->dim, file, a, "embedding_length", 0, 1, 1 << 16, err)) ||
        (st = gguf_int(&c->heads, file, a, "attention.head_count", 0, 1, 1 << 12, err)) ||
        (st = gguf_int(&c->head_dim, file, a, "attention.key_length", c->dim / c->heads, 1, 1 << 12, err)) ||
        (st = gguf_int(&c->layers, file, a, "block_count", 0, 1, 1000, err)) ||
        (st = gguf_int(&c->layers_decoder, file, a, "decoder_block_count", c->layers, 1, 1000, err)) ||
        (st = gguf_int(&c->ffn, file, a, "feed_forward_length", 0, 1, 1 << 20, err)) ||
        (st = gguf_int(&c->vocab, file, a, "vocab_size", tokens ? (double)tokens->count : 0, 1, 1 << 24,
                       err)) ||
        (st = gguf_int(&c->buckets, file, a, "attention.relative_buckets_count", 32, 1, 4096, err)) ||
        (st = gguf_int(&c->start, file, a, "decoder_start_token_id", 0, 0, c->vocab - 1, err)) ||
        (st = gguf_int(&c->end, file, "", "tokenizer.ggml.eos_token_id", 1, 0, c->vocab - 1, err)))
        return st;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", a);
    c->eps = (float)sg_gguf_number_or(file, key, 1e-6);
    c->gated = sg_gguf_tensor_find(file, "enc.blk.0.ffn_gate.weight") != NULL;
    c->act = c->gated ? SG_GELU_TANH : SG_RELU;
    c->scaled = !sg_gguf_tensor_find(file, "output.weight");
    return check_sizes(c, sg_gguf_name(file), err);
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */
bool sg_t5_has(const sg_t5_config *c, bool decoder, int block, sg_t5_part part)
{
    if ((part >= SG_T5_CROSS_Q && part <= SG_T5_CROSS_O) || part == SG_T5_NORM_CROSS)
        return decoder;
    return part == SG_T5_GATE ? c->gated : part == SG_T5_BIAS ? block == 0 : true;
}

void sg_t5_name(char name[96], const sg_t5_config *c, bool gguf, bool decoder, int block, sg_t5_part part)
{
    static const struct {
        const char *folder, *gguf;
        int layer; /* of the folder's; 2: that of the feed-forward, which an encoder has as 1 */
    } names[SG_T5_PARTS] = {[SG_T5_Q] = {"SelfAttention.q", "attn_q", 0},
                            [SG_T5_K] = {"SelfAttention.k", "attn_k", 0},
                            [SG_T5_V] = {"SelfAttention.v", "attn_v", 0},
                            [SG_T5_O] = {"SelfAttention.o", "attn_o", 0},
                            [SG_T5_CROSS_Q] = {"EncDecAttention.q", "cross_attn_q", 1},
                            [SG_T5_CROSS_K] = {"EncDecAttention.k", "cross_attn_k", 1},
                            [SG_T5_CROSS_V] = {"EncDecAttention.v", "cross_attn_v", 1},
                            [SG_T5_CROSS_O] = {"EncDecAttention.o", "cross_attn_o", 1},
                            [SG_T5_GATE] = {"DenseReluDense.wi_0", "ffn_gate", 2},
                            [SG_T5_UP] = {"DenseReluDense.wi_1", "ffn_up", 2},
                            [SG_T5_DOWN] = {"DenseReluDense.wo", "ffn_down", 2},
                            [SG_T5_NORM_SELF] = {"layer_norm", "attn_norm", 0},
                            [SG_T5_NORM_CROSS] = {"layer_norm", "cross_attn_norm", 1},
                            [SG_T5_NORM_FFN] = {"layer_norm", "ffn_norm", 2},
                            [SG_T5_BIAS] = {"SelfAttention.relative_attention_bias", "attn_rel_b", 0}};
    const int layer = names[part].layer - (names[part].layer == 2 && !decoder);

    if (gguf)
        snprintf(name, 96, "%s.blk.%d.%s", decoder ? "dec" : "enc", block, names[part].gguf);
    else
        snprintf(name, 96, "%s.block.%d.layer.%d.%s", decoder ? "decoder" : "encoder", block, layer,
                 part == SG_T5_UP && !c->gated ? "DenseReluDense.wi" : names[part].folder);
}

const char *sg_t5_norm_name(bool gguf, bool decoder)
{
    if (gguf)
        return decoder ? "dec.output_norm.weight" : "enc.output_norm.weight";
    return decoder ? "decoder.final_layer_norm.weight" : "encoder.final_layer_norm.weight";
}

void sg_t5_shape(int *rows, int *in, const sg_t5_config *c, sg_t5_part part)
{
    const int inner = c->heads * c->head_dim;
    const bool out = part == SG_T5_O || part == SG_T5_CROSS_O, ffn = part == SG_T5_GATE || part == SG_T5_UP;

    *rows = part >= SG_T5_NORM_SELF || out || part == SG_T5_DOWN ? c->dim : ffn ? c->ffn : inner;
    *in = part >= SG_T5_NORM_SELF ? 0 : out ? inner : part == SG_T5_DOWN ? c->ffn : c->dim;
    if (part == SG_T5_BIAS) {
        *rows = c->buckets;
        *in = c->heads;
    }
}

/* ---- weights ------------------------------------------------------------------------------------------------------------- */
static sg_status load_param(sg_t5 *m, sg_param **out, const char *name, int rows, int in, sg_error *err)
{
    *out = sg_param_add(&m->params, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, rows, in, "%s", name);
    return *out ? sg_weights_load(m->weights, *out, name, err) : sg_fail_memory(err, name);
}

static sg_status load_part(sg_t5 *m, bool decoder, int block, sg_t5_part part, sg_error *err)
{
    sg_t5_stack *s = decoder ? &m->decoder : &m->encoder;
    sg_t5_block *b = &s->block[block];
    sg_param **const vector[] = {&b->norm_self, &b->norm_cross, &b->norm_ffn, &s->bias};
    char name[96 + 8];
    int rows, in;

    sg_t5_name(name, &m->config, sg_weights_gguf(m->weights) != NULL, decoder, block, part);
    strcat(name, ".weight");
    sg_t5_shape(&rows, &in, &m->config, part);
    if (part < SG_T5_MATRICES)
        return sg_matrix_open(&b->w[part], &m->params, m->weights, name, rows, in, 0, err);
    return load_param(m, vector[part - SG_T5_NORM_SELF], name, rows, in, err);
}

static sg_status load_stack(sg_t5 *m, bool decoder, sg_error *err)
{
    sg_t5_stack *s = decoder ? &m->decoder : &m->encoder;
    const int layers = decoder ? m->config.layers_decoder : m->config.layers;
    sg_status st = SG_OK;

    if (!(s->block = sg_alloc_zero((size_t)layers, sizeof *s->block)))
        return sg_fail_memory(err, "layers");
    s->layers = layers;
    for (int i = 0; i < layers && !st; i++)
        for (int p = 0; p < SG_T5_PARTS && !st; p++)
            if (sg_t5_has(&m->config, decoder, i, (sg_t5_part)p))
                st = load_part(m, decoder, i, (sg_t5_part)p, err);
    return st ? st
              : load_param(m, &s->norm, sg_t5_norm_name(sg_weights_gguf(m->weights) != NULL, decoder),
                           m->config.dim, 0, err);
}

/* Whether a tensor of a block is one that load_stack reads, or the bias of places that old files have in front of cross-attention, unused. */
static bool is_known(const void *ctx, const char *tensor)
{
    static const char *const stacks[2][2] = {{"encoder.block.", "decoder.block."}, {"enc.blk.", "dec.blk."}};
    const sg_t5 *m = ctx;
    const bool gguf = sg_weights_gguf(m->weights) != NULL;
    char name[96 + 8];

    for (int decoder = 0; decoder < 2; decoder++) {
        const char *before = stacks[gguf][decoder];
        const int layers = decoder ? m->decoder.layers : m->encoder.layers;

        if (strncmp(tensor, before, strlen(before)) != 0)
            continue;
        const long block = strtol(tensor + strlen(before), NULL, 10);
        for (int p = 0; p < SG_T5_PARTS && block >= 0 && block < layers; p++) {
            if (!sg_t5_has(&m->config, decoder, (int)block, (sg_t5_part)p))
                continue;
            sg_t5_name(name, &m->config, gguf, decoder, (int)block, (sg_t5_part)p);
            strcat(name, ".weight");
            if (strcmp(name, tensor) == 0)
                return true;
        }
        return strstr(tensor, gguf ? "cross_attn_rel_b" : "EncDecAttention.relative_attention_bias") != NULL;
    }
    return true;
}

static sg_status load_all(sg_t5 *m, sg_error *err)
{
    const sg_t5_config *c = &m->config;
    const bool gguf = sg_weights_gguf(m->weights) != NULL;
    const char *output = gguf ? "output.weight" : "lm_head.weight";
    sg_status st;

    m->words = gguf                                          ? "token_embd.weight"
               : sg_weights_has(m->weights, "shared.weight") ? "shared.weight"
                                                             : "encoder.embed_tokens.weight";
    if ((st = load_stack(m, false, err)) ||
        (sg_weights_has(m->weights, sg_t5_norm_name(gguf, true)) && (st = load_stack(m, true, err))) ||
        (st = sg_weights_check(m->weights, is_known, m, err)) || !m->decoder.layers)
        return st;
    m->tied =
        c->scaled || !sg_weights_has(m->weights, output); /* files of v1.0 may hold the same table twice */
    return sg_matrix_open(&m->output, &m->params, m->weights, m->tied ? m->words : output, c->vocab, c->dim,
                          0, err);
}

static void close_stack(sg_t5_stack *s)
{
    for (int i = 0; i < s->layers; i++)
        for (int p = 0; p < SG_T5_MATRICES; p++)
            sg_matrix_close(&s->block[i].w[p]);
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

static sg_status read_folder(sg_t5 *m, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config.json");
    json_t *root = NULL;
    sg_status st = path ? sg_json_read(&root, path, CONFIG_MOST, err) : sg_fail_memory(err, "path");

    if (!st && !(st = sg_t5_config_read(&m->config, root, path, err)) &&
        !(st = sg_weights_open(&m->weights, dir, err)))
        st = sg_tokenizer_open(&m->tokenizer, dir, err);
    json_decref(root);
    sg_free(path);
    return st;
}

static sg_status read_gguf(sg_t5 *m, const char *path, sg_error *err)
{
    sg_status st = sg_weights_open(&m->weights, path, err);

    if (!st && !(st = sg_t5_config_gguf(&m->config, sg_weights_gguf(m->weights), err)))
        st = sg_tokenizer_from_gguf(&m->tokenizer, sg_weights_gguf(m->weights), err);
    return st;
}

sg_status sg_t5_open(sg_t5 **out, const char *path, sg_error *err)
{
    sg_t5 *m = sg_alloc_zero(1, sizeof *m);
    sg_status st;

    *out = NULL;
    if (!m)
        return sg_fail_memory(err, "model");
    m->params.bare = true;
    if (!(st = sg_dir_exists(path) ? read_folder(m, path, err) : read_gguf(m, path, err))) {
        if (sg_tokenizer_size(m->tokenizer) > m->config.vocab)
            st =
                sg_fail(err, SG_ERR_FORMAT,
                        "%s: expected at most %d tokens, the rows of the word table, found a tokenizer of %d",
                        path, m->config.vocab, (int)sg_tokenizer_size(m->tokenizer));
        else
            st = load_all(m, err);
    }
    if (st) {
        sg_t5_close(m);
        return st;
    }
    *out = m;
    return SG_OK;
}

sg_status sg_t5_is_at(bool *is, const char *path, sg_error *err)
{
    char *config = sg_path_join(path, "config.json");
    json_t *root = NULL;
    sg_gguf *file = NULL;
    sg_status st = config ? SG_OK : sg_fail_memory(err, "path");

    *is = false;
    if (!st && sg_dir_exists(path)) {
        if (!(st = sg_json_read(&root, config, CONFIG_MOST, err)))
            *is = sg_t5_is(root);
    } else if (!st && !(st = sg_gguf_open(&file, path, err))) {
        *is = gguf_arch(file) != NULL;
    }
    sg_gguf_close(file);
    json_decref(root);
    sg_free(config);
    return st;
}

const sg_t5_config *sg_t5_config_of(const sg_t5 *m)
{
    return &m->config;
}

const sg_tokenizer *sg_t5_tokenizer(const sg_t5 *m)
{
    return m->tokenizer;
}

bool sg_t5_writes(const sg_t5 *m)
{
    return m->decoder.layers > 0;
}
