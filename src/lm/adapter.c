/* adapter.c - adapters and their files.   [Hu et al. 2021; Lester et al. 2021; the layout is that of huggingface/peft] */
#include "lm/adapter.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/json.h"
#include "lm/llama_parts.h"
#include "math/gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BEFORE "base_model.model." /* of every name of a low-rank part in a file */
static const char prompt_name[] = "prompt_embeddings";
enum { CONFIG_MOST = 1 << 20, RANK_MOST = 1 << 12, TOKENS_MOST = 1 << 16 };

sg_status sg_adapter_targets(unsigned *out, const char *names, sg_error *err)
{
    *out = 0;
    if (strcmp(names, "all") == 0) {
        *out = (1u << SG_PARTS) - 1;
        return SG_OK;
    }
    for (const char *at = names; *at;) {
        const size_t n = strcspn(at, ",");
        int p = 0;

        while (p < SG_PARTS && (strlen(sg_part_names[p]) != n || memcmp(sg_part_names[p], at, n) != 0))
            p++;
        if (p == SG_PARTS)
            return sg_fail(err, SG_ERR_USAGE,
                           "targets: expected q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj or all, found '%.*s'",
                           (int)(n < 100 ? n : 100), at);
        *out |= 1u << p;
        at += n + (at[n] == ',');
    }
    return *out ? SG_OK : sg_fail(err, SG_ERR_USAGE, "targets: expected names of matrices, found nothing");
}

/* ---- making ----------------------------------------------------------------------------------------------------------------- */
static sg_status adapter_new(sg_adapter **out, const sg_adapter_config *config, const sg_llama_config *of, sg_error *err)
{
    sg_adapter *a = sg_alloc_zero(1, sizeof *a);

    if (a && !(a->low = sg_alloc_zero((size_t)of->layers * SG_PARTS, sizeof *a->low))) {
        sg_free(a);
        a = NULL;
    }
    *out = a;
    if (!a)
        return sg_fail_memory(err, "adapter");
    a->config = *config;
    a->of = *of;
    return SG_OK;
}

static float scale_of(const sg_adapter_config *c)
{
    return (float)(c->alpha / (c->rslora ? sqrt((double)c->rank) : (double)c->rank));
}

static void part_name(char name[96], int layer, int part)
{
    snprintf(name, 96, "model.layers.%d.%s.%s", layer, part < SG_PART_GATE ? "self_attn" : "mlp", sg_part_names[part]);
}

static sg_status declare(sg_adapter *a, int layer, int part, uint64_t seed, sg_error *err)
{
    sg_lora *l = &a->low[layer * SG_PARTS + part];
    char name[96];
    int rows, in;

    part_name(name, layer, part);
    sg_part_shape(&rows, &in, &a->of, (sg_part)part);
    sg_lora_declare(l, &a->params, seed, rows, in, a->config.rank, name);
    l->scale = scale_of(&a->config);
    l->dropout = (float)a->config.dropout;
    return l->a && l->b ? SG_OK : sg_fail_memory(err, name);
}

static sg_status declare_prompt(sg_adapter *a, sg_error *err)
{
    a->soft = sg_param_add(&a->params, 0, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, a->config.tokens, a->of.dim, "%s", prompt_name);
    return a->soft ? SG_OK : sg_fail_memory(err, prompt_name);
}

sg_status sg_adapter_new(sg_adapter **out, const sg_adapter_config *config, const sg_decoder *d, uint64_t seed, sg_error *err)
{
    sg_adapter *a;
    sg_status st = adapter_new(&a, config, &d->config, err);

    *out = NULL;
    if (st)
        return st;
    if (config->kind == SG_ADAPTER_PROMPT && !(st = declare_prompt(a, err)))
        for (int i = 0; i < config->tokens; i++) {
            const size_t word = (size_t)sg_rng_below((uint64_t)d->config.vocab, seed, SG_RNG_INIT, 0, (uint64_t)i), dim = (size_t)d->config.dim;

            memcpy(a->soft->value + (size_t)i * dim, d->words->value + word * dim, dim * sizeof(float));
        }
    for (int i = 0; i < d->config.layers && config->kind == SG_ADAPTER_LORA && !st; i++)
        for (int p = 0; p < SG_PARTS && !st; p++)
            if (config->targets >> p & 1)
                st = declare(a, i, p, seed, err);
    if (st) {
        sg_adapter_free(a);
        return st;
    }
    *out = a;
    return SG_OK;
}

void sg_adapter_free(sg_adapter *a)
{
    if (!a)
        return;
    sg_params_free(&a->params);
    sg_free(a->low);
    sg_free(a);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */
static bool nothing(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return !v || json_is_null(v) || json_is_false(v) || (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) || (json_is_string(v) && strcmp(json_string_value(v), "none") == 0);
}

static sg_status read_lora(sg_adapter_config *c, const json_t *o, const char *path, sg_error *err)
{
    static const char *const unknown[] = {"use_dora", "bias", "modules_to_save", "rank_pattern", "alpha_pattern",
                                          "fan_in_fan_out", "layer_replication", "lora_bias"};
    int64_t rank;
    sg_status st;

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (!nothing(o, unknown[i]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected nothing, found %s", path, unknown[i],
                           sg_json_describe(json_object_get(o, unknown[i]), (char[64]){0}));
    if ((st = sg_json_need_int(&rank, o, "r", 1, RANK_MOST, path, err)) ||
        (st = sg_json_need_real(&c->alpha, o, "lora_alpha", path, err)) ||
        (!nothing(o, "lora_dropout") && (st = sg_json_need_real(&c->dropout, o, "lora_dropout", path, err))))
        return st;
    if (!(c->dropout >= 0 && c->dropout < 1) || !isfinite(c->alpha))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a 'lora_dropout' from 0 to 1 and a finite 'lora_alpha'", path);
    c->rank = (int)rank;
    c->rslora = json_is_true(json_object_get(o, "use_rslora"));
    return SG_OK;
}

static sg_status read_config(sg_adapter_config *c, const char *path, const sg_llama_config *of, sg_error *err)
{
    const char *type = NULL, *base;
    int64_t n = 0, dim = 0;
    json_t *o = NULL;
    sg_status st;

    *c = (sg_adapter_config){0};
    if ((st = sg_json_read(&o, path, CONFIG_MOST, err)) || (st = sg_json_need_string(&type, o, "peft_type", path, err)))
        goto done;
    if ((base = json_string_value(json_object_get(o, "base_model_name_or_path"))))
        snprintf(c->base, sizeof c->base, "%s", base);
    if (strcmp(type, "LORA") == 0) {
        c->kind = SG_ADAPTER_LORA;
        st = read_lora(c, o, path, err);
    } else if (strcmp(type, "PROMPT_TUNING") == 0) {
        c->kind = SG_ADAPTER_PROMPT;
        if (!(st = sg_json_need_int(&n, o, "num_virtual_tokens", 1, of->places - 1 < TOKENS_MOST ? of->places - 1 : TOKENS_MOST, path, err)))
            st = sg_json_need_int(&dim, o, "token_dim", of->dim, of->dim, path, err);
        c->tokens = (int)n;
    } else {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: 'peft_type': expected LORA or PROMPT_TUNING, found '%.100s'", path, type);
    }
done:
    json_decref(o);
    return st;
}

/* Layer and part of a tensor's name "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight"; false: another one. */
static bool parse_name(int *layer, int *part, const sg_llama_config *of, const char *name)
{
    char want[160], stem[96];
    int i = 0;

    if (sscanf(name, BEFORE "model.layers.%d.", &i) != 1 || i < 0 || i >= of->layers)
        return false;
    for (int p = 0; p < SG_PARTS; p++)
        for (int b = 0; b < 2; b++) {
            part_name(stem, i, p);
            snprintf(want, sizeof want, BEFORE "%s.lora_%c.weight", stem, b ? 'B' : 'A');
            if (strcmp(want, name) == 0) {
                *layer = i;
                *part = p;
                return true;
            }
        }
    return false;
}

static sg_status load_lora(sg_adapter *a, const sg_weights *w, const sg_tensors *file, sg_error *err)
{
    char name[160];
    sg_status st = SG_OK;

    for (size_t i = 0; i < sg_tensors_count(file) && !st; i++) {
        const char *found = sg_tensors_at(file, i)->name;
        int layer, part;

        if (!parse_name(&layer, &part, &a->of, found))
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': expected low-rank parts of a decoder of %d layers",
                           sg_tensors_name(file), found, a->of.layers);
        if (!a->low[layer * SG_PARTS + part].a && !(st = declare(a, layer, part, 0, err)))
            a->config.targets |= 1u << part;
    }
    for (size_t i = 0; i < a->params.n && !st; i++) {
        snprintf(name, sizeof name, BEFORE "%s", a->params.list[i]->name);
        st = sg_weights_load(w, a->params.list[i], name, err);
    }
    if (!st && a->params.n == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected low-rank parts, found no tensor", sg_tensors_name(file));
    return st;
}

sg_status sg_adapter_open(sg_adapter **out, const char *dir, const sg_llama_config *of, sg_error *err)
{
    char *config_path = sg_path_join(dir, "adapter_config.json"), *path = sg_path_join(dir, "adapter_model.safetensors");
    sg_adapter_config c;
    sg_adapter *a = NULL;
    sg_tensors *file = NULL;
    sg_weights *w = NULL;
    sg_status st = config_path && path ? SG_OK : sg_fail_memory(err, "path");

    *out = NULL;
    if (st || (st = read_config(&c, config_path, of, err)) || (st = sg_tensors_open(&file, path, err)) ||
        (st = sg_weights_over(&w, file, NULL, err)) || (st = adapter_new(&a, &c, of, err)))
        goto done;
    a->params.bare = true; /* values come from the file, into memory of their own: they may learn on */
    if (c.kind == SG_ADAPTER_LORA)
        st = load_lora(a, w, file, err);
    else if (!(st = declare_prompt(a, err)))
        st = sg_weights_load(w, a->soft, prompt_name, err);
    for (size_t i = 0; i < a->params.n && !st; i++) {
        sg_param *p = a->params.list[i];
        const float *mapped = p->value;

        if (!p->mapped)
            continue;
        p->mapped = false;
        if (!(p->value = sg_alloc_array(p->count, sizeof *p->value)))
            st = sg_fail_memory(err, p->name);
        else
            memcpy(p->value, mapped, p->count * sizeof *p->value);
    }
    if (!st) {
        *out = a;
        a = NULL;
    }
done:
    sg_adapter_free(a);
    sg_weights_close(w);
    sg_tensors_close(file);
    sg_free(config_path);
    sg_free(path);
    return st;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */
static json_t *config_json(const sg_adapter *a)
{
    const sg_adapter_config *c = &a->config;
    json_t *targets, *o;

    if (c->kind == SG_ADAPTER_PROMPT)
        return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:b}", "peft_type", "PROMPT_TUNING", "task_type", "CAUSAL_LM",
                         "base_model_name_or_path", c->base, "num_virtual_tokens", c->tokens, "token_dim", a->of.dim,
                         "num_transformer_submodules", 1, "num_attention_heads", a->of.heads, "num_layers", a->of.layers,
                         "prompt_tuning_init", "RANDOM", "inference_mode", 1);
    targets = json_array();
    for (int p = 0; p < SG_PARTS; p++)
        if (c->targets >> p & 1)
            json_array_append_new(targets, json_string(sg_part_names[p]));
    o = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:b, s:o, s:s, s:b, s:b, s:b}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                  "base_model_name_or_path", c->base, "r", c->rank, "lora_alpha", c->alpha, "lora_dropout", c->dropout, "use_rslora",
                  c->rslora, "target_modules", targets, "bias", "none", "fan_in_fan_out", 0, "use_dora", 0, "inference_mode", 1);
    return o;
}

sg_status sg_adapter_save(const sg_adapter *a, const char *dir, sg_error *err)
{
    char *config_path = sg_path_join(dir, "adapter_config.json"), *path = sg_path_join(dir, "adapter_model.safetensors");
    sg_tensor_desc *list = sg_alloc_zero(a->params.n, sizeof *list);
    char(*name)[160] = sg_alloc_zero(a->params.n, sizeof *name);
    json_t *config = config_json(a);
    sg_status st = SG_OK;

    if (!config_path || !path || !list || !name || !config) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    for (size_t i = 0; i < a->params.n; i++) {
        const sg_param *p = a->params.list[i];

        snprintf(name[i], sizeof name[i], "%s%s", a->soft ? "" : BEFORE, p->name);
        list[i] = (sg_tensor_desc){name[i], SG_DT_F32, 2, {(uint64_t)p->dim[0], (uint64_t)p->dim[1]}, p->value};
    }
    if (!(st = sg_dir_make(dir, err)) && !(st = sg_tensors_write(path, list, a->params.n, &(sg_meta){"format", "pt"}, 1, err)))
        st = sg_json_write(config_path, config, err);
done:
    json_decref(config);
    sg_free(name);
    sg_free(list);
    sg_free(config_path);
    sg_free(path);
    return st;
}

/* ---- using ------------------------------------------------------------------------------------------------------------------ */
void sg_decoder_adapt(sg_decoder *d, const sg_adapter *a)
{
    for (int i = 0; i < d->config.layers; i++)
        for (int p = 0; p < SG_PARTS; p++)
            d->layer[i].low[p] = a ? a->low[i * SG_PARTS + p] : (sg_lora){0};
}

void sg_llama_adapt(sg_llama *m, const sg_adapter *a)
{
    m->soft = a ? a->soft : NULL;
    for (int i = 0; i < m->config.layers; i++) {
        sg_llama_layer *y = &m->layer[i];
        sg_matrix *const w[SG_PARTS] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};

        for (int p = 0; p < SG_PARTS; p++)
            w[p]->low = a ? a->low[i * SG_PARTS + p] : (sg_lora){0};
    }
}

sg_status sg_decoder_merge(sg_decoder *d, const sg_adapter *a, sg_pool *pool, sg_error *err)
{
    if (a->soft)
        return sg_fail(err, SG_ERR_USAGE, "expected an adapter of low-rank parts: vectors in front of a text are no weights of a model");
    for (int i = 0; i < d->config.layers; i++)
        for (int p = 0; p < SG_PARTS; p++) {
            const sg_lora *l = &a->low[i * SG_PARTS + p];
            sg_param *w = d->layer[i].w[p];

            if (!l->a)
                continue;
            if (w->mapped || !w->value)
                return sg_fail(err, SG_ERR_USAGE, "tensor '%s': expected a copy of its own to merge into", w->name);
            sg_gemm(pool, SG_F32, false, false, w->dim[0], w->dim[1], l->a->dim[0], l->scale, l->b->value, l->a->dim[0], l->a->value,
                    w->dim[1], 1, w->value, w->dim[1]);
            w->version++;
        }
    return SG_OK;
}
