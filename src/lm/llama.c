/* llama.c - decoders of the Llama family: their config and weights. What they compute, in lm/desk.c:   [Touvron et al. 2023]
 *
 *   a = x + O attend(turn(Q n), turn(K n), V n),  n = RMS(x)        query head h reads key head h / (heads / kv_heads)
 *   x = a + D (silu(G m) * (U m)),                m = RMS(a)
 *   logits = E RMS(x)
 *
 * turn: in each head, (x_i, x_{i + d/2}) by the angle position * theta^(-2 i / d); scale of attention d^-1/2, d = head_dim.
 * Qwen2 adds biases to q, k and v; Qwen3 normalises each head of q and k first. */
#include "lm/llama_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MOST = 64 << 20, TEMPLATE_MOST = 1 << 20 };

/* ---- config.json --------------------------------------------------------------------------------------------------------- */
static sg_status read_int(int *out, const json_t *config, const char *key, int64_t most, const char *where,
                          sg_error *err)
{
    int64_t x = 0;
    const sg_status st = sg_json_need_int(&x, config, key, 1, most, where, err);

    *out = (int)x;
    return st;
}

static bool has(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);

    return value && !json_is_null(value);
}

static sg_status check_sizes(const sg_llama_config *c, const char *where, sg_error *err)
{
    if (c->heads % c->kv_heads)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected heads that share keys and values evenly, found %d heads for %d", where,
                       c->heads, c->kv_heads);
    if (c->head_dim % 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected heads of an even width, found %d", where,
                       c->head_dim);
    if (!(c->eps >= 0 && c->eps < 1))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an epsilon of norms from 0 to 1, found %g", where,
                       (double)c->eps);
    if (!(c->theta >= 1 && c->theta <= 1e12f))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a base of rotation from 1 to 1e12, found %g", where,
                       (double)c->theta);
    return SG_OK;
}

/* eos_token_id: a number, or a list of numbers; what else stands there says nothing. */
static sg_status read_ends(sg_llama_config *c, const json_t *ids, const char *where, sg_error *err)
{
    const size_t n = json_is_array(ids) ? json_array_size(ids) : 1;

    c->ends.n = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(ids) ? json_array_get(ids, i) : ids;

        if (json_is_integer(id) && !sg_ends_add(&c->ends, json_integer_value(id), c->vocab))
            return sg_fail(err, SG_ERR_FORMAT, "%s: 'eos_token_id': expected at most %d tokens", where,
                           SG_ENDS_MOST);
    }
    return SG_OK;
}

static sg_status read_scaling(sg_rope_scaling *out, const json_t *o, const char *key, const char *where,
                              sg_error *err)
{
    const json_t *type = json_object_get(o, json_object_get(o, "rope_type") ? "rope_type" : "type");
    const char *name = type ? json_string_value(type) : "default";
    sg_status st;

    if (name && strcmp(name, "default") == 0)
        return SG_OK;
    out->by_wavelength = name && strcmp(name, "llama3") == 0;
    if (!out->by_wavelength && (!name || strcmp(name, "linear") != 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected the type default, linear or llama3, found %s",
                       where, key, sg_json_describe(type, (char[64]){0}));
    if ((st = sg_json_need_real(&out->factor, o, "factor", where, err)) ||
        (out->by_wavelength &&
         ((st = sg_json_need_real(&out->low, o, "low_freq_factor", where, err)) ||
          (st = sg_json_need_real(&out->high, o, "high_freq_factor", where, err)) ||
          (st = sg_json_need_real(&out->original, o, "original_max_position_embeddings", where, err)))))
        return st;
    if (!(out->factor >= 1 && out->factor <= 1e6) ||
        (out->by_wavelength &&
         !(out->low > 0 && out->high > out->low && out->high <= 1e6 && out->original >= 1)))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: '%s': expected factor >= 1 and 0 < low_freq_factor < high_freq_factor", where,
                       key);
    return SG_OK;
}

/* theta stands in the config itself, or in what newer files call rope_parameters. */
static sg_status read_rotation(sg_llama_config *out, const json_t *config, const char *where, sg_error *err)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    const json_t *from = config;
    double theta = 10000;
    sg_status st;

    for (size_t i = 0; i < 2; i++) {
        const json_t *o = json_object_get(config, keys[i]);

        if ((st = read_scaling(&out->scaling, o, keys[i], where, err)))
            return st;
        if (has(o, "rope_theta"))
            from = o;
    }
    if (has(from, "rope_theta") && (st = sg_json_need_real(&theta, from, "rope_theta", where, err)))
        return st;
    out->theta = (float)theta;
    return SG_OK;
}

sg_status sg_llama_config_read(sg_llama_config *out, const json_t *config, const char *where, sg_error *err)
{
    static const char *const unknown_flags[] = {"mlp_bias", "use_sliding_window"};
    sg_llama_config *c = out;
    const char *type = NULL, *act = "silu";
    double eps = 1e-6;
    sg_status st;

    *c = (sg_llama_config){.end = -1, .scaling = {.factor = 1}};
    if ((st = sg_json_need_string(&type, config, "model_type", where, err)))
        return st;
    const bool qwen2 = strcmp(type, "qwen2") == 0, qwen3 = strcmp(type, "qwen3") == 0;
    if (!qwen2 && !qwen3 && strcmp(type, "llama") != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'model_type': expected llama, qwen2 or qwen3, found '%.100s'",
                       where, type);
    if ((st = read_int(&c->dim, config, "hidden_size", 1 << 16, where, err)) ||
        (st = read_int(&c->layers, config, "num_hidden_layers", 1000, where, err)) ||
        (st = read_int(&c->heads, config, "num_attention_heads", 1 << 12, where, err)) ||
        (st = read_int(&c->ffn, config, "intermediate_size", 1 << 20, where, err)) ||
        (st = read_int(&c->vocab, config, "vocab_size", 1 << 24, where, err)))
        return st;
    c->places = qwen2 || qwen3 ? 32768 : 2048; /* what transformers takes where a config says nothing */
    c->kv_heads = c->heads;
    c->head_dim = c->dim / c->heads;
    if ((has(config, "max_position_embeddings") &&
         (st = read_int(&c->places, config, "max_position_embeddings", 1 << 28, where, err))) ||
        (has(config, "num_key_value_heads") &&
         (st = read_int(&c->kv_heads, config, "num_key_value_heads", c->heads, where, err))) ||
        (has(config, "head_dim") && (st = read_int(&c->head_dim, config, "head_dim", 1 << 12, where, err))) ||
        (has(config, "rms_norm_eps") && (st = sg_json_need_real(&eps, config, "rms_norm_eps", where, err))) ||
        (has(config, "hidden_act") && (st = sg_json_need_string(&act, config, "hidden_act", where, err))) ||
        (st = read_rotation(c, config, where, err)))
        return st;
    if (!has(config, "head_dim") && c->dim % c->heads)
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'hidden_size': expected a multiple of %d heads, found %d",
                       where, c->heads, c->dim);
    if (strcmp(act, "silu") != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'hidden_act': expected silu, found '%.100s'", where, act);
    for (size_t i = 0; i < sizeof unknown_flags / sizeof *unknown_flags; i++)
        if (json_is_true(json_object_get(config, unknown_flags[i])))
            return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': true is not supported", where, unknown_flags[i]);
    if (json_is_true(json_object_get(config, "attention_bias")))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'attention_bias': true is not supported", where);
    c->eps = (float)eps;
    c->qkv_bias = qwen2;
    c->qk_norm = qwen3;
    c->tied = json_is_true(json_object_get(config, "tie_word_embeddings"));
    if ((st = read_ends(c, json_object_get(config, "eos_token_id"), where, err)))
        return st;
    c->end = c->ends.n ? c->ends.id[0] : -1;
    return check_sizes(c, where, err);
}

/* ---- key-values of a GGUF file --------------------------------------------------------------------------------------------- */
static sg_status gguf_int(int *out, const sg_gguf *file, const char *arch, const char *key, double otherwise,
                          double most, sg_error *err)
{
    char name[160];
    double x;

    snprintf(name, sizeof name, "%s.%s", arch, key);
    x = sg_gguf_number_or(file, name, otherwise);
    if (!(x >= 1 && x <= most && x == floor(x)))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an integer from 1 to %.0f, found %g",
                       sg_gguf_name(file), name, most, x);
    *out = (int)x;
    return SG_OK;
}

sg_status sg_llama_config_gguf(sg_llama_config *out, const sg_gguf *file, sg_error *err)
{
    static const char *const known[] = {"llama", "qwen2", "qwen3"};
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const sg_bytes arch = sg_gguf_string(file, "general.architecture");
    const sg_gguf_value *tokens = sg_gguf_find(file, "tokenizer.ggml.tokens");
    const char *name = NULL, *where = sg_gguf_name(file);
    sg_llama_config *c = out;
    char key[160];
    sg_status st;

    *c = (sg_llama_config){.end = -1, .scaling = {.factor = 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (arch.size == strlen(known[i]) && memcmp(arch.data, known[i], arch.size) == 0)
            name = known[i];
    if (!name)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: 'general.architecture': expected llama, qwen2 or qwen3, found '%.*s'", where,
                       (int)(arch.size < 100 ? arch.size : 100), arch.data ? arch.data : "");
    if ((st = gguf_int(&c->dim, file, name, "embedding_length", 0, 1 << 16, err)) ||
        (st = gguf_int(&c->layers, file, name, "block_count", 0, 1000, err)) ||
        (st = gguf_int(&c->heads, file, name, "attention.head_count", 0, 1 << 12, err)) ||
        (st = gguf_int(&c->kv_heads, file, name, "attention.head_count_kv", c->heads, c->heads, err)) ||
        (st = gguf_int(&c->head_dim, file, name, "attention.key_length", c->dim / c->heads, 1 << 12, err)) ||
        (st = gguf_int(&c->ffn, file, name, "feed_forward_length", 0, 1 << 20, err)) ||
        (st = gguf_int(&c->vocab, file, name, "vocab_size", tokens ? (double)tokens->count : 0, 1 << 24,
                       err)) ||
        (st = gguf_int(&c->places, file, name, "context_length", 0, 1 << 28, err)))
        return st;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", name);
    c->eps = (float)sg_gguf_number_or(file, key, 1e-5);
    snprintf(key, sizeof key, "%s.rope.freq_base", name);
    c->theta = (float)sg_gguf_number_or(file, key, 10000);
    snprintf(key, sizeof key, "%s.rope.scaling.type", name);
    const sg_bytes scaling = sg_gguf_string(file, key);
    const bool linear = scaling.size == 6 && memcmp(scaling.data, "linear", 6) == 0;
    if (scaling.size && !linear && !(scaling.size == 4 && memcmp(scaling.data, "none", 4) == 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected none or linear, found '%.*s'", where, key,
                       (int)(scaling.size < 100 ? scaling.size : 100), scaling.data);
    if (linear) {
        snprintf(key, sizeof key, "%s.rope.scaling.factor", name);
        c->scaling.factor = sg_gguf_number_or(file, key, 1);
        if (!(c->scaling.factor >= 1 && c->scaling.factor <= 1e6))
            return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected a number from 1 to 1e6, found %g", where,
                           key, c->scaling.factor);
    }
    snprintf(key, sizeof key, "%s.rope.dimension_count", name);
    if (sg_gguf_number_or(file, key, c->head_dim) != c->head_dim)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected %d, the width of a head, found %g", where, key,
                       c->head_dim, sg_gguf_number_or(file, key, 0));
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const double id = sg_gguf_number_or(file, ends[i], -1);

        if (id >= 0 && id < c->vocab)
            (void)sg_ends_add(&c->ends, (int64_t)id, c->vocab);
        c->end = i == 0 && c->ends.n ? c->ends.id[0] : c->end;
    }
    c->permuted = strcmp(name, "llama") == 0;
    c->qkv_bias = strcmp(name, "qwen2") == 0;
    c->qk_norm = strcmp(name, "qwen3") == 0;
    c->tied = !sg_gguf_tensor_find(file, "output.weight");
    return check_sizes(c, where, err);
}

/* ---- weights ------------------------------------------------------------------------------------------------------------- */
typedef struct naming { /* of a container; %d is the layer */
    const char *words, *norm, *output, *norm_self, *norm_ffn, *q, *k, *v, *o, *gate, *up, *down, *q_norm,
        *k_norm;
} naming;

static const naming names_gguf = {
    "token_embd.weight", "output_norm.weight", "output.weight",      "blk.%d.attn_norm",   "blk.%d.ffn_norm",
    "blk.%d.attn_q",     "blk.%d.attn_k",      "blk.%d.attn_v",      "blk.%d.attn_output", "blk.%d.ffn_gate",
    "blk.%d.ffn_up",     "blk.%d.ffn_down",    "blk.%d.attn_q_norm", "blk.%d.attn_k_norm"};
#define AT "model.layers.%d."
static const naming names_folder = {
    "model.embed_tokens.weight",   "model.norm.weight",   "lm_head.weight",      AT "input_layernorm",
    AT "post_attention_layernorm", AT "self_attn.q_proj", AT "self_attn.k_proj", AT "self_attn.v_proj",
    AT "self_attn.o_proj",         AT "mlp.gate_proj",    AT "mlp.up_proj",      AT "mlp.down_proj",
    AT "self_attn.q_norm",         AT "self_attn.k_norm"};
#undef AT

typedef struct loader {
    sg_llama *m;
    const naming *names;
    size_t skip; /* bytes of "model." that this folder leaves away */
    int i;       /* layer */
    sg_error *err;
} loader;

/* The full name of a part of layer l->i. */
static const char *full(const loader *l, char name[128], const char *format, const char *ending)
{
    int n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    n = snprintf(name, 128, format + l->skip, l->i);
#pragma GCC diagnostic pop
    snprintf(name + n, 128 - (size_t)n, "%s", ending);
    return name;
}

static sg_status load_vector(const loader *l, sg_param **out, const char *name, int n)
{
    *out = sg_param_add(&l->m->params, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, n, 0, "%s", name);
    return *out ? sg_weights_load(l->m->weights, *out, name, l->err) : sg_fail_memory(l->err, name);
}

static sg_status load_matrix(const loader *l, sg_matrix *out, const char *format, int rows, int in, int half)
{
    char name[128];

    return sg_matrix_open(out, &l->m->params, l->m->weights, full(l, name, format, ".weight"), rows, in, half,
                          l->err);
}

static sg_status load_layer(const loader *l, sg_llama_layer *y)
{
    const sg_llama_config *c = &l->m->config;
    const naming *n = l->names;
    const int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim,
              half = c->permuted ? c->head_dim / 2 : 0;
    char name[128];
    sg_status st;

    if ((st = load_vector(l, &y->norm_self, full(l, name, n->norm_self, ".weight"), c->dim)) ||
        (st = load_vector(l, &y->norm_ffn, full(l, name, n->norm_ffn, ".weight"), c->dim)) ||
        (st = load_matrix(l, &y->q, n->q, q, c->dim, half)) ||
        (st = load_matrix(l, &y->k, n->k, kv, c->dim, half)) ||
        (st = load_matrix(l, &y->v, n->v, kv, c->dim, 0)) ||
        (st = load_matrix(l, &y->o, n->o, c->dim, q, 0)) ||
        (st = load_matrix(l, &y->gate, n->gate, c->ffn, c->dim, 0)) ||
        (st = load_matrix(l, &y->up, n->up, c->ffn, c->dim, 0)) ||
        (st = load_matrix(l, &y->down, n->down, c->dim, c->ffn, 0)))
        return st;
    if (c->qkv_bias && ((st = load_vector(l, &y->q_bias, full(l, name, n->q, ".bias"), q)) ||
                        (st = load_vector(l, &y->k_bias, full(l, name, n->k, ".bias"), kv)) ||
                        (st = load_vector(l, &y->v_bias, full(l, name, n->v, ".bias"), kv))))
        return st;
    if (c->qk_norm && ((st = load_vector(l, &y->q_norm, full(l, name, n->q_norm, ".weight"), c->head_dim)) ||
                       (st = load_vector(l, &y->k_norm, full(l, name, n->k_norm, ".weight"), c->head_dim))))
        return st;
    return SG_OK;
}

static bool is_part(const loader *l, const char *tensor, const char *format, const char *ending)
{
    char name[128];

    return format && strcmp(tensor, full(l, name, format, ending)) == 0;
}

/* Whether a tensor of a layer, or a bias, is one that load_layer reads, or a table that follows from the config. */
static bool is_known(const void *ctx, const char *tensor)
{
    loader l = *(const loader *)ctx;
    const sg_llama_config *c = &l.m->config;
    const naming *n = l.names;
    const bool gguf = n == &names_gguf;
    const char *const always[] = {n->norm_self,
                                  n->norm_ffn,
                                  n->q,
                                  n->k,
                                  n->v,
                                  n->o,
                                  n->gate,
                                  n->up,
                                  n->down,
                                  c->qk_norm ? n->q_norm : NULL,
                                  c->qk_norm ? n->k_norm : NULL,
                                  gguf ? "blk.%d.attn_rot_embd" : NULL};
    const char *const biased[] = {n->q, n->k, n->v};
    const char *layers = gguf ? "blk." : &"model.layers."[l.skip], *dot = strrchr(tensor, '.');
    const size_t before = strlen(layers);

    if (strncmp(tensor, layers, before) != 0)
        return !dot || strcmp(dot, ".bias") != 0;
    l.i = (int)strtol(tensor + before, NULL, 10);
    if (l.i < 0 || l.i >= c->layers)
        return false;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (is_part(&l, tensor, always[i], ".weight"))
            return true;
    for (size_t i = 0; c->qkv_bias && i < sizeof biased / sizeof *biased; i++)
        if (is_part(&l, tensor, biased[i], ".bias"))
            return true;
    return !gguf && is_part(&l, tensor, "model.layers.%d.self_attn.rotary_emb", ".inv_freq");
}

static sg_status load_all(sg_llama *m, sg_error *err)
{
    const sg_llama_config *c = &m->config;
    loader l = {.m = m, .names = sg_weights_gguf(m->weights) ? &names_gguf : &names_folder, .err = err};
    sg_status st;

    if (l.names == &names_folder && !sg_weights_has(m->weights, l.names->words) &&
        sg_weights_has(m->weights, l.names->words + 6))
        l.skip = 6;
    m->words = l.names->words + l.skip;
    if (!(m->layer = sg_alloc_zero((size_t)c->layers, sizeof *m->layer)))
        return sg_fail_memory(err, "layers");
    if ((st = sg_matrix_open(&m->output, &m->params, m->weights, c->tied ? m->words : l.names->output,
                             c->vocab, c->dim, 0, err)) ||
        (st = load_vector(&l, &m->norm, l.names->norm + l.skip, c->dim)))
        return st;
    if (l.names == &names_gguf && sg_weights_has(m->weights, "rope_freqs.weight") &&
        (st = load_vector(&l, &m->slower, "rope_freqs.weight", c->head_dim / 2)))
        return st;
    for (int i = 0; m->slower && i < c->head_dim / 2; i++)
        if (!(m->slower->value[i] > 0))
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor 'rope_freqs.weight': expected numbers above 0",
                           sg_weights_name(m->weights));
    for (l.i = 0; l.i < c->layers && !st; l.i++)
        st = load_layer(&l, &m->layer[l.i]);
    return st ? st : sg_weights_check(m->weights, is_known, &l, err);
}

sg_status sg_llama_over(sg_llama **out, const sg_llama_config *c, const sg_weights *w, const sg_tokenizer *t,
                        sg_error *err)
{
    sg_llama *m = sg_alloc_zero(1, sizeof *m);
    sg_status st;

    *out = NULL;
    if (!m)
        return sg_fail_memory(err, "model");
    *m = (sg_llama){.config = *c, .weights = w, .tokenizer = t, .own_tokenizer = t, .params = {.bare = true}};
    if (t && sg_tokenizer_size(t) > c->vocab)
        st = sg_fail(err, SG_ERR_FORMAT,
                     "%s: expected at most %d tokens, the rows of the word table, found a tokenizer of %d",
                     sg_weights_name(w), c->vocab, (int)sg_tokenizer_size(t));
    else
        st = load_all(m, err);
    if (st) {
        sg_llama_close(m);
        return st;
    }
    *out = m;
    return SG_OK;
}

static void free_texts(sg_chat_texts *chat)
{
    sg_free(chat->template);
    sg_free(chat->bos);
    sg_free(chat->eos);
    *chat = (sg_chat_texts){0};
}

void sg_llama_close(sg_llama *m)
{
    if (!m)
        return;
    for (int i = 0; m->layer && i < m->config.layers; i++) {
        sg_llama_layer *y = &m->layer[i];
        sg_matrix *all[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};

        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            sg_matrix_close(all[k]);
    }
    sg_matrix_close(&m->output);
    sg_params_free(&m->params);
    if (m->owned) {
        sg_tokenizer_close((sg_tokenizer *)(uintptr_t)m->own_tokenizer);
        sg_weights_close((sg_weights *)(uintptr_t)m->weights);
    }
    free_texts(&m->chat);
    sg_free(m->layer);
    sg_free(m);
}

/* *out NULL: the folder has no such file. */
static sg_status read_optional(json_t **out, const char *dir, const char *name, sg_error *err)
{
    char *path = sg_path_join(dir, name);
    sg_status st = SG_OK;

    *out = NULL;
    if (!path)
        return sg_fail_memory(err, "path");
    if (sg_file_exists(path))
        st = sg_json_read(out, path, CONFIG_MOST, err);
    sg_free(path);
    return st;
}

/* A token of a tokenizer's config: its text, or an object that has it. */
static sg_status read_token(char **out, const json_t *config, const char *key, sg_error *err)
{
    const json_t *value = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);

    if (!*out && text && !(*out = sg_strdup(text)))
        return sg_fail_memory(err, key);
    return SG_OK;
}

/* In tokenizer_config.json: a text, or a list of which one is called "default". */
static sg_status read_default(char **out, const json_t *config, sg_error *err)
{
    const json_t *template = json_object_get(config, "chat_template"), *one;
    size_t i;

    json_array_foreach(template, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));

        if (name && strcmp(name, "default") == 0)
            template = json_object_get(one, "template");
    }
    if (json_is_string(template) && !(*out = sg_strdup(json_string_value(template))))
        return sg_fail_memory(err, "chat template");
    return SG_OK;
}

/* The template stands in a file of its own, or beside the tokens. */
static sg_status read_texts(sg_chat_texts *chat, const char *dir, sg_error *err)
{
    static const char *const files[] = {"tokenizer_config.json", "special_tokens_map.json"};
    char *path = sg_path_join(dir, "chat_template.jinja");
    sg_buf file = {0};
    sg_status st = path ? SG_OK : sg_fail_memory(err, "path");

    if (!st && sg_file_exists(path) && !(st = sg_file_read(&file, path, TEMPLATE_MOST, err)) &&
        !(chat->template = sg_strndup(file.data ? file.data : "", file.size)))
        st = sg_fail_memory(err, "chat template");
    for (size_t i = 0; i < sizeof files / sizeof *files && !st; i++) {
        json_t *config;

        if ((st = read_optional(&config, dir, files[i], err)) ||
            (st = read_token(&chat->bos, config, "bos_token", err)) ||
            (st = read_token(&chat->eos, config, "eos_token", err)) || chat->template || i > 0) {
            json_decref(config);
            continue;
        }
        st = read_default(&chat->template, config, err);
        json_decref(config);
    }
    sg_buf_free(&file);
    sg_free(path);
    return st;
}

/* The folder's config.json; generation_config.json, which says instead of it where to end what is written; the chat template. */
static sg_status read_folder(sg_llama_config *c, sg_chat_texts *chat, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config.json");
    json_t *root = NULL, *writing = NULL;
    sg_status st = path ? sg_json_read(&root, path, CONFIG_MOST, err) : sg_fail_memory(err, "path");

    if (!st && !(st = sg_llama_config_read(c, root, path, err)) &&
        !(st = read_optional(&writing, dir, "generation_config.json", err)) && has(writing, "eos_token_id") &&
        !(st = read_ends(c, json_object_get(writing, "eos_token_id"), "generation_config.json", err)) &&
        c->end < 0 && c->ends.n)
        c->end = c->ends.id[0];
    if (!st)
        st = read_texts(chat, dir, err);
    json_decref(root);
    json_decref(writing);
    sg_free(path);
    return st;
}

/* The token that a GGUF file has by its number. */
static sg_status gguf_token(char **out, const sg_gguf *file, const sg_tokenizer *t, const char *key,
                            sg_error *err)
{
    const double id = sg_gguf_number_or(file, key, -1);
    sg_bytes s;

    if (!(id >= 0 && id < sg_tokenizer_size(t)))
        return SG_OK;
    s = sg_tokenizer_token(t, (int32_t)id);
    return (*out = sg_strndup(s.size ? s.data : "", s.size)) ? SG_OK : sg_fail_memory(err, key);
}

static sg_status read_gguf(sg_llama_config *c, sg_chat_texts *chat, sg_tokenizer **t, const sg_gguf *file,
                           sg_error *err)
{
    const sg_bytes text = sg_gguf_string(file, "tokenizer.chat_template");
    sg_status st;

    if ((st = sg_llama_config_gguf(c, file, err)) || (st = sg_tokenizer_from_gguf(t, file, err)) ||
        (st = gguf_token(&chat->bos, file, *t, "tokenizer.ggml.bos_token_id", err)) ||
        (st = gguf_token(&chat->eos, file, *t, "tokenizer.ggml.eos_token_id", err)))
        return st;
    if (text.size && !(chat->template = sg_strndup(text.data, text.size)))
        return sg_fail_memory(err, "chat template");
    return SG_OK;
}

sg_status sg_llama_open(sg_llama **out, const char *path, sg_error *err)
{
    sg_llama_config c = {0};
    sg_weights *w = NULL;
    sg_tokenizer *t = NULL;
    sg_chat_texts chat = {0};
    sg_status st;

    *out = NULL;
    if (!(st = sg_weights_open(&w, path, err)) && sg_weights_gguf(w))
        st = read_gguf(&c, &chat, &t, sg_weights_gguf(w), err);
    else if (!st && !(st = read_folder(&c, &chat, path, err)))
        st = sg_tokenizer_open(&t, path, err);
    if (!st)
        st = sg_llama_over(out, &c, w, t, err);
    if (st) {
        sg_tokenizer_close(t);
        sg_weights_close(w);
        free_texts(&chat);
        return st;
    }
    (*out)->owned = true;
    (*out)->chat = chat;
    return SG_OK;
}

const sg_llama_config *sg_llama_config_of(const sg_llama *m)
{
    return &m->config;
}

const sg_tokenizer *sg_llama_tokenizer(const sg_llama *m)
{
    return m->tokenizer;
}

int sg_llama_places(const sg_llama *m)
{
    return m->config.places - (m->soft ? m->soft->dim[0] : 0);
}

const char *sg_llama_chat_template(const sg_llama *m)
{
    return m->chat.template ? m->chat.template : "";
}

const char *sg_llama_bos(const sg_llama *m)
{
    return m->chat.bos;
}

const char *sg_llama_eos(const sg_llama *m)
{
    return m->chat.eos;
}

/* [Llama 3.1, "llama3"] with t turns in `original` tokens: below `low` divided by factor, above `high` as it is. */
double sg_llama_frequency(const sg_llama *m, int i)
{
    const sg_rope_scaling *s = &m->config.scaling;
    const double f = pow((double)m->config.theta, -2.0 * i / m->config.head_dim);
    const double turns = s->original * f / (2 * 3.14159265358979323846);

    if (m->slower)
        return f / (double)m->slower->value[i];
    if (!s->by_wavelength || turns < s->low)
        return f / s->factor;
    if (turns > s->high)
        return f;
    const double fast = (turns - s->low) / (s->high - s->low);
    return (1 - fast) * f / s->factor + fast * f;
}
