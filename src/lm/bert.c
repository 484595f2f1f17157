/* bert.c - post-norm transformer encoder with learned positions.   [Devlin et al. 2019; Liu et al. 2019]
 *
 *   x = LN(word + type + position)
 *   x = LN(x + O attend(Q x, K x, V x))          each layer, with biases, all tokens of a text see each other
 *   x = LN(x + W2 act(W1 x))
 *
 * Tensors are named as in the Hugging Face files, with or without the prefix of the model's class; in a GGUF file as llama.cpp does. */
#include "lm/bert.h"

#include "base/alloc.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct sg_bert_layer {
    sg_heads heads;
    sg_norm norm_self, norm_ffn;
    sg_param *w1, *b1, *w2, *b2;
};

/* ---- config.json --------------------------------------------------------------------------------------------------------- */
static sg_status read_act(sg_act *out, const json_t *config, const char *where, sg_error *err)
{
    static const struct {
        const char *name;
        sg_act act;
    } known[] = {{"gelu", SG_GELU},
                 {"gelu_new", SG_GELU_TANH},
                 {"gelu_pytorch_tanh", SG_GELU_TANH},
                 {"relu", SG_RELU},
                 {"silu", SG_SILU}};
    const json_t *value = json_object_get(config, "hidden_act");
    const char *name = value ? json_string_value(value) : "gelu";

    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].act;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: 'hidden_act': expected gelu, gelu_new, relu or silu, found %s",
                   where, sg_json_describe(value, (char[64]){0}));
}

static sg_status read_size(int *out, const json_t *config, const char *key, int64_t most, const char *where,
                           sg_error *err)
{
    int64_t x = 0;
    const sg_status st = sg_json_need_int(&x, config, key, 1, most, where, err);

    *out = (int)x;
    return st;
}

sg_status sg_bert_config_read(sg_bert_config *out, const json_t *config, const char *where, sg_error *err)
{
    const json_t *places = json_object_get(config, "position_embedding_type");
    const char *type = NULL;
    double eps = 1e-12;
    int64_t pad = 0;
    sg_status st;

    *out = (sg_bert_config){.places = 512}; /* as transformers has it where a config says nothing */
    if ((st = sg_json_need_string(&type, config, "model_type", where, err)))
        return st;
    if (strcmp(type, "bert") != 0 && strcmp(type, "roberta") != 0 && strcmp(type, "xlm-roberta") != 0)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: 'model_type': expected bert, roberta or xlm-roberta, found '%.100s'", where,
                       type);
    if ((st = read_size(&out->dim, config, "hidden_size", 1 << 16, where, err)) ||
        (st = read_size(&out->layers, config, "num_hidden_layers", 1000, where, err)) ||
        (st = read_size(&out->heads, config, "num_attention_heads", 1 << 12, where, err)) ||
        (st = read_size(&out->ffn, config, "intermediate_size", 1 << 20, where, err)) ||
        (st = read_size(&out->vocab, config, "vocab_size", 1 << 24, where, err)) ||
        (json_object_get(config, "max_position_embeddings") &&
         (st = read_size(&out->places, config, "max_position_embeddings", 1 << 20, where, err))) ||
        (st = read_size(&out->types, config, "type_vocab_size", 1 << 10, where, err)) ||
        (st = read_act(&out->act, config, where, err)) ||
        (json_object_get(config, "layer_norm_eps") &&
         (st = sg_json_need_real(&eps, config, "layer_norm_eps", where, err))))
        return st;
    if (json_is_true(json_object_get(config, "is_decoder")))
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: 'is_decoder': expected false, an encoder in which all tokens see each other, found true",
            where);
    if (out->dim % out->heads)
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'hidden_size': expected a multiple of %d heads, found %d",
                       where, out->heads, out->dim);
    if (!(eps >= 0 && eps < 1))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'layer_norm_eps': expected a number from 0 to 1, found %g",
                       where, eps);
    if (places && (!json_is_string(places) || strcmp(json_string_value(places), "absolute") != 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'position_embedding_type': expected absolute, found %s",
                       where, sg_json_describe(places, (char[64]){0}));
    out->eps = (float)eps;
    if (strcmp(type, "bert") != 0) {
        if ((st = sg_json_need_int(&pad, config, "pad_token_id", 0, out->places, where, err)))
            return st;
        out->place_first = (int)pad + 1;
    }
    if (out->place_first >= out->places)
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'max_position_embeddings': expected more than %d, found %d",
                       where, out->place_first, out->places);
    return SG_OK;
}

/* ---- key-values of a GGUF file --------------------------------------------------------------------------------------------- */
bool sg_bert_is_gguf(const sg_gguf *file)
{
    const sg_bytes arch = sg_gguf_string(file, "general.architecture");

    return arch.size == 4 && memcmp(arch.data, "bert", 4) == 0;
}

static sg_status gguf_size(int *out, const sg_gguf *file, const char *key, double otherwise, double most,
                           sg_error *err)
{
    const double x = sg_gguf_number_or(file, key, otherwise);

    if (!(x >= 1 && x <= most && x == floor(x)))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an integer from 1 to %.0f, found %g",
                       sg_gguf_name(file), key, most, x);
    *out = (int)x;
    return SG_OK;
}

/* The converter cuts the rows of places away that a RoBERTa does not use, so all count from 0; activations are GELUs. */
sg_status sg_bert_config_gguf(sg_bert_config *out, const sg_gguf *file, sg_error *err)
{
    const sg_gguf_value *tokens = sg_gguf_find(file, "tokenizer.ggml.tokens");
    const double eps = sg_gguf_number_or(file, "bert.attention.layer_norm_epsilon", 1e-12);
    sg_bert_config *c = out;
    sg_status st;

    *c = (sg_bert_config){.act = SG_GELU, .eps = (float)eps};
    if (!sg_bert_is_gguf(file))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'general.architecture': expected bert, found another one",
                       sg_gguf_name(file));
    if ((st = gguf_size(&c->dim, file, "bert.embedding_length", 0, 1 << 16, err)) ||
        (st = gguf_size(&c->layers, file, "bert.block_count", 0, 1000, err)) ||
        (st = gguf_size(&c->heads, file, "bert.attention.head_count", 0, 1 << 12, err)) ||
        (st = gguf_size(&c->ffn, file, "bert.feed_forward_length", 0, 1 << 20, err)) ||
        (st = gguf_size(&c->vocab, file, "bert.vocab_size", tokens ? (double)tokens->count : 0, 1 << 24,
                        err)) ||
        (st = gguf_size(&c->places, file, "bert.context_length", 0, 1 << 20, err)) ||
        (st = gguf_size(&c->types, file, "tokenizer.ggml.token_type_count", 1, 1 << 10, err)))
        return st;
    if (c->dim % c->heads)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: 'bert.embedding_length': expected a multiple of %d heads, found %d",
                       sg_gguf_name(file), c->heads, c->dim);
    if (!(eps >= 0 && eps < 1))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: 'bert.attention.layer_norm_epsilon': expected a number from 0 to 1, found %g",
                       sg_gguf_name(file), eps);
    return SG_OK;
}

/* ---- weights ------------------------------------------------------------------------------------------------------------- */
static void declare_linear(sg_param **w, sg_param **b, sg_params *ps, int out, int in, const char *name)
{
    *w = sg_param_add(ps, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, out, in, "%s.weight", name);
    *b = sg_param_add(ps, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, out, 0, "%s.bias", name);
}

static sg_param *declare_table(sg_params *ps, int rows, int dim, const char *name)
{
    return sg_param_add(ps, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, rows, dim, "embeddings.%s.weight", name);
}

static void declare_layer(sg_bert_layer *l, sg_params *ps, const sg_bert_config *c, int i)
{
    char name[80];
#define NAMED(part) (snprintf(name, sizeof name, "encoder.layer.%d." part, i), name)

    declare_linear(&l->heads.q, &l->heads.qb, ps, c->dim, c->dim, NAMED("attention.self.query"));
    declare_linear(&l->heads.k, &l->heads.kb, ps, c->dim, c->dim, NAMED("attention.self.key"));
    declare_linear(&l->heads.v, &l->heads.vb, ps, c->dim, c->dim, NAMED("attention.self.value"));
    declare_linear(&l->heads.o, &l->heads.ob, ps, c->dim, c->dim, NAMED("attention.output.dense"));
    sg_norm_declare(&l->norm_self, ps, c->dim, false, c->eps, NAMED("attention.output.LayerNorm"));
    declare_linear(&l->w1, &l->b1, ps, c->ffn, c->dim, NAMED("intermediate.dense"));
    declare_linear(&l->w2, &l->b2, ps, c->dim, c->ffn, NAMED("output.dense"));
    sg_norm_declare(&l->norm_ffn, ps, c->dim, false, c->eps, NAMED("output.LayerNorm"));
#undef NAMED
}

/* As llama.cpp calls it, into name. */
static void gguf_name(char name[160], const char *p)
{
    static const char *const parts[][2] = {{"embeddings.word_embeddings", "token_embd"},
                                           {"embeddings.position_embeddings", "position_embd"},
                                           {"embeddings.token_type_embeddings", "token_types"},
                                           {"embeddings.LayerNorm", "token_embd_norm"},
                                           {"attention.self.query", "attn_q"},
                                           {"attention.self.key", "attn_k"},
                                           {"attention.self.value", "attn_v"},
                                           {"attention.output.dense", "attn_output"},
                                           {"attention.output.LayerNorm", "attn_output_norm"},
                                           {"intermediate.dense", "ffn_up"},
                                           {"output.dense", "ffn_down"},
                                           {"output.LayerNorm", "layer_output_norm"}};
    const char *dot = strrchr(p, '.');
    int layer = -1, skip = 0;

    (void)sscanf(p, "encoder.layer.%d.%n", &layer, &skip);
    const size_t size = (size_t)(dot - p - skip);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i][0]) == size && strncmp(p + skip, parts[i][0], size) == 0) {
            if (layer >= 0)
                snprintf(name, 160, "blk.%d.%s%s", layer, parts[i][1], dot);
            else
                snprintf(name, 160, "%s%s", parts[i][1], dot);
            return;
        }
    snprintf(name, 160, "%s", p);
}

/* p's name as it is, with the prefix of a class before it, or with the old spelling of a norm's two weights. */
const char *sg_bert_file_name(char name[160], const sg_weights *w, const sg_param *p)
{
    static const char *const prefix[] = {"", "bert.", "roberta."};
    static const char *const old[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                         {"LayerNorm.bias", "LayerNorm.beta"}};

    if (sg_weights_gguf(w)) {
        gguf_name(name, p->name);
        return name;
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, 160, "%s%s", prefix[i], p->name);
        if (sg_weights_has(w, name))
            return name;
        for (size_t k = 0; k < 2; k++) {
            const char *at = strstr(p->name, old[k][0]);

            if (!at)
                continue;
            snprintf(name, 160, "%s%.*s%s", prefix[i], (int)(at - p->name), p->name, old[k][1]);
            if (sg_weights_has(w, name))
                return name;
        }
    }
    snprintf(name, 160, "%s", p->name);
    return name;
}

static sg_status load(const sg_weights *w, sg_param *p, sg_error *err)
{
    char name[160];

    return sg_weights_load(w, p, sg_bert_file_name(name, w, p), err);
}

sg_status sg_bert_learn(sg_bert *b, sg_error *err)
{
    for (size_t i = 0; i < b->params.n; i++) {
        sg_param *p = b->params.list[i];

        if (p->mapped) {
            float *own = sg_alloc_array(p->count, sizeof *own);

            if (!own)
                return sg_fail_memory(err, p->name);
            memcpy(own, p->value, p->count * sizeof *own);
            p->value = own;
            p->mapped = false;
        }
        p->frozen = false;
        p->decay = p->rank == 2;
    }
    return sg_params_need_grads(&b->params, err);
}

typedef struct names { /* of the tensors that were read */
    char (*list)[160]; /* owned */
    size_t n;
    bool gguf;
} names;

/* A layer's tensors are all read; pooler and heads stand outside of layers. */
static bool is_known(const void *ctx, const char *tensor)
{
    const names *k = ctx;

    if (k->gguf ? strncmp(tensor, "blk.", 4) != 0 : !strstr(tensor, "encoder.layer."))
        return true;
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->list[i], tensor) == 0)
            return true;
    return false;
}

static sg_status check_all_used(const sg_bert *b, const sg_weights *w, sg_error *err)
{
    names k = {sg_alloc_zero(b->params.n, sizeof *k.list), b->params.n, sg_weights_gguf(w) != NULL};
    sg_status st;

    if (!k.list)
        return sg_fail_memory(err, "names of weights");
    for (size_t i = 0; i < k.n; i++)
        sg_bert_file_name(k.list[i], w, b->params.list[i]);
    st = sg_weights_check(w, is_known, &k, err);
    sg_free(k.list);
    return st;
}

sg_status sg_bert_open(sg_bert *out, const sg_bert_config *c, const sg_weights *w, sg_error *err)
{
    sg_bert *b = out;
    sg_status st = SG_OK;

    *b = (sg_bert){.config = *c, .params = {.bare = true}};
    if (!(b->layer = sg_alloc_zero((size_t)c->layers, sizeof *b->layer)))
        return sg_fail_memory(err, "layers");
    b->word = declare_table(&b->params, c->vocab, c->dim, "word_embeddings");
    b->place = declare_table(&b->params, c->places, c->dim, "position_embeddings");
    b->type = declare_table(&b->params, c->types, c->dim, "token_type_embeddings");
    sg_norm_declare(&b->norm, &b->params, c->dim, false, c->eps, "embeddings.LayerNorm");
    for (int i = 0; i < c->layers; i++)
        declare_layer(&b->layer[i], &b->params, c, i);
    if (b->params.failed)
        st = sg_fail_memory(err, "weights");
    for (size_t i = 0; !st && i < b->params.n; i++)
        st = load(w, b->params.list[i], err);
    if (!st)
        st = check_all_used(b, w, err);
    if (st)
        sg_bert_close(b);
    return st;
}

void sg_bert_close(sg_bert *b)
{
    sg_params_free(&b->params);
    sg_free(b->layer);
    *b = (sg_bert){0};
}

int sg_bert_tokens_max(const sg_bert *b)
{
    return b->config.places - b->config.place_first;
}

/* ---- forward ------------------------------------------------------------------------------------------------------------- */
static sg_tensor *embed(sg_graph *g, const sg_bert *b, const int32_t *id, const int32_t *type,
                        const int32_t *offsets, int batch)
{
    const int n = offsets[batch];
    int32_t *place = sg_scratch(g, (size_t)n, sizeof *place),
            *zero = type ? NULL : sg_scratch(g, (size_t)n, sizeof *zero);

    if (!place || (!type && !zero))
        return NULL;
    for (int i = 0; i < batch; i++) {
        if (offsets[i + 1] - offsets[i] > sg_bert_tokens_max(b))
            return sg_graph_fail(g, SG_ERR_USAGE, "expected texts of at most %d tokens, found %d",
                                 sg_bert_tokens_max(b), offsets[i + 1] - offsets[i]);
        for (int t = offsets[i]; t < offsets[i + 1]; t++)
            place[t] = b->config.place_first + t - offsets[i];
    }
    if (zero)
        memset(zero, 0, (size_t)n * sizeof *zero);
    sg_tensor *x = sg_plus(g, sg_embed(g, b->word, id, n), sg_embed(g, b->type, type ? type : zero, n));
    return sg_norm_forward(g, &b->norm, sg_plus(g, x, sg_embed(g, b->place, place, n)));
}

sg_tensor *sg_bert_forward(sg_graph *g, const sg_bert *b, const int32_t *id, const int32_t *type,
                           const int32_t *offsets, int batch)
{
    return sg_bert_hidden(g, b, id, type, offsets, batch, (sg_depth){b->config.layers, 0});
}

sg_tensor *sg_bert_hidden(sg_graph *g, const sg_bert *b, const int32_t *id, const int32_t *type,
                          const int32_t *offsets, int batch, sg_depth depth)
{
    const sg_bert_config *c = &b->config;
    const sg_attention_spec spec = {.heads = c->heads,
                                    .batch = batch,
                                    .offsets_q = offsets,
                                    .offsets_k = offsets,
                                    .mask = SG_MASK_NONE,
                                    .scale = 1 / sqrtf((float)(c->dim / c->heads))};
    sg_tensor *x = embed(g, b, id, type, offsets, batch), *first = x;

    for (int i = 0; i < sg_depth_last(depth) && x; i++) {
        const sg_bert_layer *l = &b->layer[i];
        sg_tensor *k = sg_linear(g, x, l->heads.k, l->heads.kb),
                  *v = sg_linear(g, x, l->heads.v, l->heads.vb);

        x = sg_norm_forward(g, &l->norm_self, sg_heads_attend(g, &l->heads, x, x, k, v, &spec, 0));
        sg_tensor *inner = sg_linear_act(g, x, l->w1, l->b1, c->act, 0);
        x = sg_norm_forward(g, &l->norm_ffn, sg_plus(g, x, sg_linear(g, inner, l->w2, l->b2)));
        first = i + 1 == depth.layer ? x : first;
    }
    return depth.other && x ? sg_scale(g, sg_plus(g, first, x), 0.5f) : x;
}
