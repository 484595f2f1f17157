/* llama.c - decoder with rotary positions, grouped keys and values, RMSNorm and a gated feed-forward.   [Touvron et al. 2023]
 *
 *   a = x + O attend(turn(Q n), turn(K n), V n),  n = RMS(x)        query head h reads key head h / (heads / kv_heads)
 *   x = a + D (silu(G m) * (U m)),                m = RMS(a)
 *   logits = E RMS(x)
 *
 * turn: in each head, (x_i, x_{i + d/2}) by the angle position * theta^(-2 i / d); scale of attention d^-1/2, d = head_dim.
 * Qwen2 adds biases to q, k and v; Qwen3 normalises each head of q and k first. Keys and values of the past are kept in f32. */
#include "lm/llama_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "math/attention.h"
#include "math/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    CHUNK = 128 /* tokens that go through all layers at once */,
    LOGIT_ROWS = 16 /* of them through the output matrix */,
    CONFIG_MOST = 64 << 20,
    GRAIN = 1 << 14
};

typedef sg_llama_layer layer;

struct sg_reading {
    const sg_llama *m; /* borrowed */
    sg_pool *pool;     /* borrowed */
    int places, length;
    float *k, *v;      /* owned: (layers, places, kv_heads * head_dim) */
    double *frequency; /* owned: (head_dim / 2) */
    float *memory;     /* owned: all of the below, for CHUNK tokens */
    float *x, *n, *q, *a, *gate, *up, *turn, *sums, *logits, *work;
    int32_t *lo, *hi;   /* owned: (CHUNK) keys that a token sees */
    size_t work_floats; /* a thread */
    const float *last;  /* of logits: those after the last token; NULL: not worked out */
};

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

/* A number, or the first of a list of numbers. */
static int token_of(const json_t *value)
{
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
    const json_int_t id = json_is_integer(first) ? json_integer_value(first) : -1;

    return id >= 0 && id <= INT32_MAX ? (int)id : -1;
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
        (st = read_int(&c->vocab, config, "vocab_size", 1 << 24, where, err)) ||
        (st = read_int(&c->places, config, "max_position_embeddings", 1 << 28, where, err)))
        return st;
    c->kv_heads = c->heads;
    c->head_dim = c->dim / c->heads;
    if ((has(config, "num_key_value_heads") &&
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
    c->end = token_of(json_object_get(config, "eos_token_id"));
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
    const double end = sg_gguf_number_or(file, "tokenizer.ggml.eos_token_id", -1);
    c->end = end >= 0 && end < c->vocab ? (int)end : -1;
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
    return st;
}

sg_status sg_llama_over(sg_llama **out, const sg_llama_config *c, const sg_weights *w, const sg_tokenizer *t,
                        sg_error *err)
{
    sg_llama *m = sg_alloc_zero(1, sizeof *m);
    sg_status st;

    *out = NULL;
    if (!m)
        return sg_fail_memory(err, "model");
    *m = (sg_llama){.config = *c, .weights = w, .tokenizer = t, .params = {.bare = true}};
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
        sg_tokenizer_close((sg_tokenizer *)(uintptr_t)m->tokenizer);
        sg_weights_close((sg_weights *)(uintptr_t)m->weights);
    }
    sg_free(m->chat);
    sg_free(m->layer);
    sg_free(m);
}

/* The folder's config.json; what generation_config.json and tokenizer_config.json add: where to end, the chat template. */
static sg_status read_folder(sg_llama_config *c, char **chat, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config.json"), *more = sg_path_join(dir, "tokenizer_config.json");
    json_t *root = NULL, *extra = NULL;
    sg_status st = path && more ? sg_json_read(&root, path, CONFIG_MOST, err) : sg_fail_memory(err, "path");

    if (!st)
        st = sg_llama_config_read(c, root, path, err);
    if (!st && sg_file_exists(more) && !(st = sg_json_read(&extra, more, CONFIG_MOST, err))) {
        const char *text = json_string_value(json_object_get(extra, "chat_template"));

        if (text && !(*chat = sg_strdup(text)))
            st = sg_fail_memory(err, "chat template");
    }
    json_decref(root);
    json_decref(extra);
    sg_free(path);
    sg_free(more);
    return st;
}

static sg_status read_gguf(sg_llama_config *c, char **chat, const sg_gguf *file, sg_error *err)
{
    const sg_bytes text = sg_gguf_string(file, "tokenizer.chat_template");
    const sg_status st = sg_llama_config_gguf(c, file, err);

    if (!st && text.size && !(*chat = sg_strndup(text.data, text.size)))
        return sg_fail_memory(err, "chat template");
    return st;
}

sg_status sg_llama_open(sg_llama **out, const char *path, sg_error *err)
{
    sg_llama_config c = {0};
    sg_weights *w = NULL;
    sg_tokenizer *t = NULL;
    char *chat = NULL;
    sg_status st;

    *out = NULL;
    if (!(st = sg_weights_open(&w, path, err)) &&
        !(st = sg_weights_gguf(w) ? read_gguf(&c, &chat, sg_weights_gguf(w), err)
                                  : read_folder(&c, &chat, path, err)) &&
        !(st = sg_weights_gguf(w) ? sg_tokenizer_from_gguf(&t, sg_weights_gguf(w), err)
                                  : sg_tokenizer_open(&t, path, err)))
        st = sg_llama_over(out, &c, w, t, err);
    if (st) {
        sg_tokenizer_close(t);
        sg_weights_close(w);
        sg_free(chat);
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

const char *sg_llama_chat_template(const sg_llama *m)
{
    return m->chat ? m->chat : "";
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

/* ---- a session ------------------------------------------------------------------------------------------------------------ */
static size_t most_sums(const sg_llama *m)
{
    size_t most = sg_matrix_floats(&m->output, CHUNK);

    for (int i = 0; i < m->config.layers; i++) {
        const layer *y = &m->layer[i];
        const sg_matrix *all[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};

        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            const size_t here = sg_matrix_floats(all[k], CHUNK);

            most = here > most ? here : most;
        }
    }
    return most;
}

sg_status sg_reading_new(sg_reading **out, const sg_llama *m, int places, sg_pool *pool, sg_error *err)
{
    const sg_llama_config *c = &m->config;
    const size_t q = (size_t)c->heads * (size_t)c->head_dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim,
                 dim = (size_t)c->dim;
    const size_t sums = most_sums(m),
                 work = (sg_attend_head_floats(CHUNK, (size_t)places + CHUNK, (size_t)c->head_dim) + 15) /
                        16 * 16;
    const size_t parts[] = {CHUNK * dim,
                            CHUNK * dim,
                            CHUNK * q,
                            CHUNK * q,
                            CHUNK * (size_t)c->ffn,
                            CHUNK * (size_t)c->ffn,
                            CHUNK * (size_t)c->head_dim,
                            sums,
                            LOGIT_ROWS * (size_t)c->vocab,
                            work * (size_t)sg_pool_threads(pool)};
    sg_reading *r;
    size_t n = 0, cache;

    *out = NULL;
    if (places < 1 || places > c->places)
        return sg_fail(err, SG_ERR_USAGE,
                       "expected room for 1 to %d tokens, as many as the model knows, found %d", c->places,
                       places);
    if (!(r = sg_alloc_zero(1, sizeof *r)))
        return sg_fail_memory(err, "session");
    *r = (sg_reading){.m = m, .pool = pool, .places = places, .work_floats = work};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        n += (parts[i] + 15) / 16 * 16;
    r->memory = sg_alloc_array(n, sizeof *r->memory);
    r->lo = sg_alloc_zero(CHUNK, sizeof *r->lo);
    r->hi = sg_alloc_zero(CHUNK, sizeof *r->hi);
    r->frequency = sg_alloc_array((size_t)c->head_dim / 2, sizeof *r->frequency);
    if (sg_mul(&cache, (size_t)c->layers * (size_t)places, kv)) {
        r->k = sg_alloc_array(cache, sizeof *r->k);
        r->v = sg_alloc_array(cache, sizeof *r->v);
    }
    if (!r->memory || !r->lo || !r->hi || !r->frequency || !r->k || !r->v) {
        sg_reading_free(r);
        return sg_fail_memory(err, "session");
    }
    float **const to[] = {&r->x,  &r->n,    &r->q,    &r->a,      &r->gate,
                          &r->up, &r->turn, &r->sums, &r->logits, &r->work};
    float *at = r->memory;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *to[i] = at;
        at += (parts[i] + 15) / 16 * 16;
    }
    for (int i = 0; i < c->head_dim / 2; i++)
        r->frequency[i] = sg_llama_frequency(m, i);
    *out = r;
    return SG_OK;
}

void sg_reading_free(sg_reading *r)
{
    if (!r)
        return;
    sg_free(r->memory);
    sg_free(r->lo);
    sg_free(r->hi);
    sg_free(r->frequency);
    sg_free(r->k);
    sg_free(r->v);
    sg_free(r);
}

int sg_reading_length(const sg_reading *r)
{
    return r->length;
}

void sg_reading_cut(sg_reading *r, int length)
{
    if (length < r->length) {
        r->length = length < 0 ? 0 : length;
        r->last = NULL;
    }
}

/* ---- forward -------------------------------------------------------------------------------------------------------------- */
static void rms_rows(float *y, const float *x, const sg_param *w, size_t rows, size_t dim, float eps)
{
    float inv;

    for (size_t r = 0; r < rows; r++)
        sg_kernels_best()->rmsnorm(y + r * dim, &inv, x + r * dim, w->value, dim, eps);
}

static void angles(sg_reading *r, int n)
{
    const size_t half = (size_t)r->m->config.head_dim / 2;

    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t i = 0; i < half;
             i++) { /* in double: positions times slow frequencies lose digits in float */
            const double angle = (double)((size_t)r->length + t) * r->frequency[i];

            r->turn[t * 2 * half + i] = (float)cos(angle);
            r->turn[t * 2 * half + half + i] = (float)sin(angle);
        }
}

/* Norm of each head (NULL: none), then the rotation, in place. x: (n, heads * head_dim). */
static void place_heads(const sg_reading *r, float *x, int heads, const sg_param *norm, int n)
{
    const size_t d = (size_t)r->m->config.head_dim, half = d / 2;

    if (norm)
        rms_rows(x, x, norm, (size_t)n * (size_t)heads, d, r->m->config.eps);
    for (size_t t = 0; t < (size_t)n; t++) {
        const float *c = r->turn + t * d, *s = c + half;

        for (size_t h = 0; h < (size_t)heads; h++, x += d)
            for (size_t i = 0; i < half; i++) {
                const float a = x[i], b = x[i + half];

                x[i] = a * c[i] - b * s[i];
                x[i + half] = b * c[i] + a * s[i];
            }
    }
}

typedef struct attend_work {
    const sg_reading *r;
    int n;
    const float *k, *v; /* of this layer */
} attend_work;

static void attend_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const attend_work *w = ctx;
    const sg_llama_config *c = &w->r->m->config;
    const size_t d = (size_t)c->head_dim, share = (size_t)(c->heads / c->kv_heads);

    for (size_t h = begin; h < end; h++) {
        const size_t from = h / share * d;

        sg_attend_head(&(sg_attend){.n_q = w->n,
                                    .n_k = w->r->length + w->n,
                                    .dh = c->head_dim,
                                    .q = w->r->q + h * d,
                                    .k = w->k + from,
                                    .v = w->v + from,
                                    .ld_q = (size_t)c->heads * d,
                                    .ld_k = (size_t)c->kv_heads * d,
                                    .ld_v = (size_t)c->kv_heads * d,
                                    .out = w->r->a + h * d,
                                    .ld_out = (size_t)c->heads * d,
                                    .lo = w->r->lo,
                                    .hi = w->r->hi,
                                    .scale = 1 / sqrtf((float)c->head_dim)},
                       true, w->r->work + (size_t)thread * w->r->work_floats);
    }
}

static void gate_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_reading *r = ctx;
    const sg_kernels *k = sg_kernels_best();

    k->act(SG_SILU, r->gate + begin, r->gate + begin, end - begin);
    k->mul(r->gate + begin, r->gate + begin, r->up + begin, end - begin);
}

static const float *value_of(const sg_param *p)
{
    return p ? p->value : NULL;
}

static void run_layer(sg_reading *r, int i, int n)
{
    const sg_llama_config *c = &r->m->config;
    const layer *y = &r->m->layer[i];
    const size_t dim = (size_t)c->dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim, rows = (size_t)n;
    float *k = r->k + (size_t)i * (size_t)r->places * kv, *v = r->v + (size_t)i * (size_t)r->places * kv;
    float *k_new = k + (size_t)r->length * kv, *v_new = v + (size_t)r->length * kv;

    rms_rows(r->n, r->x, y->norm_self, rows, dim, c->eps);
    sg_matrix_times(r->pool, &y->q, n, r->n, value_of(y->q_bias), r->q, r->sums);
    sg_matrix_times(r->pool, &y->k, n, r->n, value_of(y->k_bias), k_new, r->sums);
    sg_matrix_times(r->pool, &y->v, n, r->n, value_of(y->v_bias), v_new, r->sums);
    place_heads(r, r->q, c->heads, y->q_norm, n);
    place_heads(r, k_new, c->kv_heads, y->k_norm, n);
    sg_parallel_for(r->pool, (size_t)c->heads, 1, attend_body, &(attend_work){r, n, k, v});
    sg_matrix_times(r->pool, &y->o, n, r->a, NULL, r->n, r->sums);
    sg_kernels_best()->add(r->x, r->x, r->n, rows * dim);

    rms_rows(r->n, r->x, y->norm_ffn, rows, dim, c->eps);
    sg_matrix_times(r->pool, &y->gate, n, r->n, NULL, r->gate, r->sums);
    sg_matrix_times(r->pool, &y->up, n, r->n, NULL, r->up, r->sums);
    sg_parallel_for(r->pool, rows * (size_t)c->ffn, GRAIN, gate_body, r);
    sg_matrix_times(r->pool, &y->down, n, r->gate, NULL, r->n, r->sums);
    sg_kernels_best()->add(r->x, r->x, r->n, rows * dim);
}

static sg_status check_tokens(const sg_reading *r, const int32_t *id, int n, sg_error *err)
{
    if (n < 0 || n > r->places - r->length)
        return sg_fail(err, SG_ERR_USAGE, "expected at most %d tokens more, room was made for %d, found %d",
                       r->places - r->length, r->places, n);
    for (int i = 0; i < n; i++)
        if (id[i] < 0 || id[i] >= r->m->config.vocab)
            return sg_fail(err, SG_ERR_USAGE, "token %d: expected a number below %d, found %d", i,
                           r->m->config.vocab, (int)id[i]);
    return SG_OK;
}

/* At most CHUNK tokens through all layers; then r->n holds their states after the last norm. */
static sg_status run_chunk(sg_reading *r, const int32_t *id, int n, sg_error *err)
{
    const size_t dim = (size_t)r->m->config.dim;
    sg_status st = SG_OK;

    for (int t = 0; t < n && !st; t++)
        st = sg_weights_read(r->x + (size_t)t * dim, r->m->weights, r->m->words, (size_t)id[t] * dim, dim,
                             err);
    if (st)
        return st;
    for (int t = 0; t < n; t++)
        r->hi[t] = r->length + t + 1;
    angles(r, n);
    for (int i = 0; i < r->m->config.layers; i++)
        run_layer(r, i, n);
    rms_rows(r->n, r->x, r->m->norm, (size_t)n, dim, r->m->config.eps);
    r->length += n;
    r->last = NULL;
    return SG_OK;
}

/* Logits after `rows` states. */
static void make_logits(sg_reading *r, const float *states, int rows)
{
    sg_matrix_times(r->pool, &r->m->output, rows, states, NULL, r->logits, r->sums);
    r->last = r->logits + (size_t)(rows - 1) * (size_t)r->m->config.vocab;
}

sg_status sg_reading_feed(sg_reading *r, const int32_t *id, int n, float *logits, sg_error *err)
{
    const size_t dim = (size_t)r->m->config.dim;
    sg_status st = check_tokens(r, id, n, err);

    for (int at = 0, here; at < n && !st; at += here) {
        here = n - at < CHUNK ? n - at : CHUNK;
        if (!(st = run_chunk(r, id + at, here, err)) && at + here == n && logits)
            make_logits(r, r->n + (size_t)(here - 1) * dim, 1);
    }
    if (!st && logits && !r->last)
        return sg_fail(err, SG_ERR_USAGE, "expected a token to read, found none");
    if (!st && logits)
        memcpy(logits, r->last, (size_t)r->m->config.vocab * sizeof *logits);
    return st;
}

static double log_probability(const float *logits, size_t n, int32_t id)
{
    float top;
    const float sum = sg_sum_exp(&top, logits, n);

    return (double)logits[id] - (double)top - log((double)sum);
}

sg_status sg_reading_score(sg_reading *r, const int32_t *id, int n, double *logp, sg_error *err)
{
    const size_t dim = (size_t)r->m->config.dim, vocab = (size_t)r->m->config.vocab;
    sg_status st = check_tokens(r, id, n, err);

    if (!st && n)
        logp[0] = r->last ? log_probability(r->last, vocab, id[0]) : 0;
    for (int at = 0, here; at < n && !st; at += here) {
        here = n - at < CHUNK ? n - at : CHUNK;
        st = run_chunk(r, id + at, here, err);
        for (int t = 0, rows; t < here && !st;
             t += rows) { /* the last ones are kept: what comes next may be scored, too */
            rows = here - t < LOGIT_ROWS ? here - t : LOGIT_ROWS;
            make_logits(r, r->n + (size_t)t * dim, rows);
            for (int i = 0; i < rows && at + t + i + 1 < n; i++)
                logp[at + t + i + 1] =
                    log_probability(r->logits + (size_t)i * vocab, vocab, id[at + t + i + 1]);
        }
    }
    return st;
}

sg_status sg_reading_states(sg_reading *r, const int32_t *id, int n, float *states, sg_error *err)
{
    const size_t dim = (size_t)r->m->config.dim;
    sg_status st = check_tokens(r, id, n, err);

    for (int at = 0, here; at < n && !st; at += here) {
        here = n - at < CHUNK ? n - at : CHUNK;
        if (!(st = run_chunk(r, id + at, here, err)))
            memcpy(states + (size_t)at * dim, r->n, (size_t)here * dim * sizeof *states);
    }
    return st;
}
