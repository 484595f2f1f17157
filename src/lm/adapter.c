/* adapter.c - adapters and their files; rows of tables: adapter_rows.c.
 * [Hu et al. 2021; Lester et al. 2021; Houlsby et al. 2019; the layout is that of huggingface/peft] */
#include "lm/adapter_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BEFORE SG_ADAPTER_BEFORE
static const char prompt_name[] = "prompt_embeddings";
enum { CONFIG_MOST = 1 << 20, RANK_MOST = 1 << 12, TOKENS_MOST = 1 << 16 };

/* ---- options ---------------------------------------------------------------------------------------------------------------- */
static int part_of(const sg_adapter_host *host, const char *name, size_t size)
{
    int p = 0;

    while (p < host->n_parts && (strlen(host->part[p]) != size || memcmp(host->part[p], name, size) != 0))
        p++;
    return p < host->n_parts ? p : -1;
}

sg_status sg_adapter_targets(sg_adapter_config *c, const char *names, const sg_adapter_host *host,
                             sg_error *err)
{
    const unsigned head = 1u << (host->n_parts - 1),
                   all = c->kind == SG_ADAPTER_BOTTLENECK ? host->ends : head | (head - 1);

    c->targets = strcmp(names, "all") == 0 ? all & ~head : 0; /* as PEFT's all-linear */
    for (const char *at = c->targets ? "" : names; *at;) {
        const size_t n = strcspn(at, ",");
        const int p = part_of(host, at, n);

        if (p < 0 || !(all >> p & 1)) {
            char known[160] = "";

            for (int i = 0; i < host->n_parts; i++)
                if (all >> i & 1)
                    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "",
                             host->part[i]);
            return sg_fail(err, SG_ERR_USAGE, "targets: expected %s or all, found '%.*s'", known,
                           (int)(n < 100 ? n : 100), at);
        }
        c->targets |= 1u << p;
        at += n + (at[n] == ',');
    }
    return c->targets ? SG_OK
                      : sg_fail(err, SG_ERR_USAGE, "targets: expected names of matrices, found nothing");
}

/* A number from least to most at *at, which moves behind it. */
static bool number(int *out, const char **at, int least, int most)
{
    char *end;
    const long x = **at >= '0' && **at <= '9' ? strtol(*at, &end, 10) : -1;

    if (x < least || x > most)
        return false;
    *out = (int)x;
    *at = end;
    return true;
}

sg_status sg_adapter_layers(sg_adapter_config *c, const char *text, const sg_adapter_host *host,
                            sg_error *err)
{
    c->by_layer = strcmp(text, "all") != 0;
    for (const char *at = text; c->by_layer && (at == text || *at);) {
        int first, last, rank = c->rank;
        bool good = number(&first, &at, 0, host->layers - 1);

        last = first;
        if (good && *at == '-') {
            at++;
            good = number(&last, &at, first, host->layers - 1);
        }
        if (good && *at == ':') {
            at++;
            good = number(&rank, &at, 1, RANK_MOST);
        }
        if (!good || (*at && *at != ',') || (*at == ',' && !at[1]))
            return sg_fail(err, SG_ERR_USAGE,
                           "layers: expected all, or layers from 0 to %d such as 0-1 or 0:8,1:4 (their "
                           "ranks), found '%.100s'",
                           host->layers - 1, text);
        for (int i = first; i <= last; i++)
            c->rank_at[i] = (uint16_t)rank;
        at += *at == ',';
    }
    return SG_OK;
}

/* host.place, where the output matrix has rows of the adapter's, too. */
static bool place_at(const sg_adapter *a, char *name, int *layer, int *part, int *rows, int *in, int place)
{
    const bool has = a->host.place(name, layer, part, rows, in, a->host.config, place);

    if (place == a->host.n_places - 1)
        *rows = a->vocab;
    return has;
}

/* ---- making ----------------------------------------------------------------------------------------------------------------- */
static sg_status adapter_new(sg_adapter **out, const sg_adapter_config *config, const sg_adapter_host *host,
                             sg_error *err)
{
    sg_adapter *a = sg_alloc_zero(1, sizeof *a);

    if (a && !(a->low = sg_alloc_zero((size_t)host->n_places, sizeof *a->low))) {
        sg_free(a);
        a = NULL;
    }
    *out = a;
    if (!a)
        return sg_fail_memory(err, "adapter");
    a->config = *config;
    a->host = *host;
    a->vocab = config->vocab > host->rows ? config->vocab : host->rows;
    return SG_OK;
}

static int rank_of(const sg_adapter_config *c, int layer)
{
    return c->by_layer && layer >= 0 ? c->rank_at[layer] : c->rank;
}

static sg_status declare(sg_adapter *a, int place, int rank, uint64_t seed, sg_error *err)
{
    const sg_adapter_config *c = &a->config;
    sg_lora *l = &a->low[place];
    int layer, part, rows, in;
    char name[96];

    place_at(a, name, &layer, &part, &rows, &in, place);
    if (c->kind == SG_ADAPTER_BOTTLENECK) {
        sg_bottleneck_declare(l, &a->params, seed, rows, rank, c->act, name);
        return l->a && l->a_bias && l->b && l->b_bias ? SG_OK : sg_fail_memory(err, name);
    }
    sg_lora_declare(l, &a->params, seed, rows, in, rank, name);
    l->scale = (float)(c->alpha / (c->rslora ? sqrt((double)rank) : (double)rank));
    l->dropout = (float)c->dropout;
    return l->a && l->b ? SG_OK : sg_fail_memory(err, name);
}

static sg_status declare_prompt(sg_adapter *a, sg_error *err)
{
    a->soft = sg_param_add(&a->params, 0, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, a->config.tokens, a->host.dim,
                           "%s", prompt_name);
    return a->soft ? SG_OK : sg_fail_memory(err, prompt_name);
}

sg_status sg_adapter_new(sg_adapter **out, const sg_adapter_config *config, const sg_adapter_host *host,
                         const sg_param *words, uint64_t seed, sg_error *err)
{
    sg_adapter *a;
    sg_status st = adapter_new(&a, config, host, err);

    *out = NULL;
    if (st)
        return st;
    if (config->kind == SG_ADAPTER_PROMPT && !(st = declare_prompt(a, err)))
        for (int i = 0; i < config->tokens; i++) {
            const size_t word =
                             (size_t)sg_rng_below((uint64_t)words->dim[0], seed, SG_RNG_INIT, 0, (uint64_t)i),
                         dim = (size_t)host->dim;

            memcpy(a->soft->value + (size_t)i * dim, words->value + word * dim, dim * sizeof(float));
        }
    for (int i = 0; i < host->n_places && config->kind != SG_ADAPTER_PROMPT && !st; i++) {
        int layer, part, rows, in;
        char name[96];

        if (place_at(a, name, &layer, &part, &rows, &in, i) && config->targets >> part & 1 &&
            rank_of(config, layer))
            st = declare(a, i, rank_of(config, layer), seed, err);
    }
    if (st) {
        sg_adapter_free(a);
        return st;
    }
    *out = a;
    return SG_OK;
}

sg_lora sg_adapter_head(const sg_adapter *a)
{
    return a ? a->low[a->host.n_places - 1] : (sg_lora){0};
}

void sg_adapter_free(sg_adapter *a)
{
    if (!a)
        return;
    sg_params_free(&a->params);
    sg_tokenizer_close(a->tokenizer);
    sg_buf_free(&a->tokenizer_json);
    sg_free(a->words.id);
    sg_free(a->output.id);
    sg_free(a->low);
    sg_free(a);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */
static bool nothing(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return !v || json_is_null(v) || json_is_false(v) || (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_string(v) && strcmp(json_string_value(v), "none") == 0);
}

/* PEFT (0.21) takes out of the model's weights, when it loads such an adapter, what these put into the parts at first: without that the
 * numbers would be wrong. true, false, gaussian, orthogonal, eva and mica leave the weights alone. */
static sg_status check_start(const json_t *o, const char *path, sg_error *err)
{
    static const char *const changes[] = {"pissa", "corda", "olora", "loftq", "lora_ga", "kasa"};
    const char *name = json_string_value(json_object_get(o, "init_lora_weights"));

    for (size_t i = 0; name && i < sizeof changes / sizeof *changes; i++)
        if (strncasecmp(name, changes[i], strlen(changes[i])) == 0)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: 'init_lora_weights': %.40s changes the model's own weights, which is not "
                           "read; expected an adapter saved with "
                           "path_initial_model_for_weight_conversion",
                           path, name);
    return SG_OK;
}

static sg_status read_lora(sg_adapter_config *c, const json_t *o, const char *path, sg_error *err)
{
    static const char *const unknown[] = {
        "use_dora",          "bias",      "modules_to_save", "alpha_pattern", "fan_in_fan_out",
        "layer_replication", "lora_bias", "kasa_config",     "use_qalora",    "alora_invocation_tokens",
        "arrow_config",      "use_bdlora"};
    int64_t rank;
    sg_status st;

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (!nothing(o, unknown[i]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected nothing, found %s", path, unknown[i],
                           sg_json_describe(json_object_get(o, unknown[i]), (char[64]){0}));
    if ((st = check_start(o, path, err)) || (st = sg_json_need_int(&rank, o, "r", 1, RANK_MOST, path, err)) ||
        (st = sg_json_need_real(&c->alpha, o, "lora_alpha", path, err)) ||
        (!nothing(o, "lora_dropout") && (st = sg_json_need_real(&c->dropout, o, "lora_dropout", path, err))))
        return st;
    if (!(c->dropout >= 0 && c->dropout < 1) || !isfinite(c->alpha))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected a 'lora_dropout' from 0 to 1 and a finite 'lora_alpha'", path);
    c->rank = (int)rank;
    c->rslora = json_is_true(json_object_get(o, "use_rslora"));
    c->by_layer = !nothing(o, "rank_pattern"); /* its patterns say what the shapes of the parts say as well */
    return SG_OK;
}

static const struct {
    const char *name;
    sg_act act;
} acts[] = {
    {"gelu", SG_GELU}, {"relu", SG_RELU}, {"silu", SG_SILU}, {"gelu_new", SG_GELU_TANH}, {"tanh", SG_TANH}};

static sg_status read_bottleneck(sg_adapter_config *c, const json_t *o, const char *path, sg_error *err)
{
    const char *name = NULL;
    int64_t width;
    size_t i = 0;
    sg_status st;

    if ((st = sg_json_need_int(&width, o, "r", 1, RANK_MOST, path, err)) ||
        (st = sg_json_need_string(&name, o, "non_linearity", path, err)))
        return st;
    while (i < sizeof acts / sizeof *acts && strcmp(acts[i].name, name) != 0)
        i++;
    if (i == sizeof acts / sizeof *acts)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: 'non_linearity': expected gelu, relu, silu, gelu_new or tanh, found '%.100s'",
                       path, name);
    c->rank = (int)width;
    c->act = acts[i].act;
    c->by_layer = !nothing(o, "rank_pattern");
    return SG_OK;
}

static sg_status read_config(sg_adapter_config *c, const json_t *o, const char *path,
                             const sg_adapter_host *host, sg_error *err)
{
    const char *type = NULL, *base;
    int64_t n = 0, dim = 0;
    sg_status st;

    *c = (sg_adapter_config){0};
    if ((st = sg_json_need_string(&type, o, "peft_type", path, err)))
        return st;
    if ((base = json_string_value(json_object_get(o, "base_model_name_or_path"))))
        snprintf(c->base, sizeof c->base, "%s", base);
    if (strcmp(type, "LORA") == 0) {
        c->kind = SG_ADAPTER_LORA;
        st = read_lora(c, o, path, err);
    } else if (strcmp(type, "BOTTLENECK") == 0) {
        c->kind = SG_ADAPTER_BOTTLENECK;
        st = read_bottleneck(c, o, path, err);
    } else if (strcmp(type, "TRAINABLE_TOKENS") == 0) {
        c->kind = SG_ADAPTER_TOKENS;
    } else if (strcmp(type, "PROMPT_TUNING") == 0 && host->places == 0) {
        st = sg_fail(err, SG_ERR_FORMAT,
                     "%s: 'peft_type': expected LORA or BOTTLENECK beside a T5, found PROMPT_TUNING", path);
    } else if (strcmp(type, "PROMPT_TUNING") == 0) {
        c->kind = SG_ADAPTER_PROMPT;
        if (!(st = sg_json_need_int(&n, o, "num_virtual_tokens", 1,
                                    host->places - 1 < TOKENS_MOST ? host->places - 1 : TOKENS_MOST, path,
                                    err)))
            st = sg_json_need_int(&dim, o, "token_dim", host->dim, host->dim, path, err);
        c->tokens = (int)n;
    } else {
        st = sg_fail(
            err, SG_ERR_FORMAT,
            "%s: 'peft_type': expected LORA, PROMPT_TUNING, TRAINABLE_TOKENS or BOTTLENECK, found '%.100s'",
            path, type);
    }
    return st;
}

/* Behind the name of a matrix; NULL at the end, the first one with as many rows as the rank. */
static const char *const *endings(const sg_adapter_config *c)
{
    static const char *const lora[] = {".lora_A.weight", ".lora_B.weight", NULL};
    static const char *const bottleneck[] = {".adapter_down.weight", ".adapter_down.bias",
                                             ".adapter_up.weight", ".adapter_up.bias", NULL};

    return c->kind == SG_ADAPTER_LORA ? lora : bottleneck;
}

/* The place of a tensor "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", by its name; -1: another one. */
static int find_place(const sg_adapter *a, const char *tensor)
{
    const size_t before = sizeof BEFORE - 1;
    int layer, part, rows, in;
    char name[96];

    for (int i = 0; i < a->host.n_places && strncmp(tensor, BEFORE, before) == 0; i++) {
        if (!place_at(a, name, &layer, &part, &rows, &in, i) ||
            strncmp(tensor + before, name, strlen(name)) != 0)
            continue;
        for (const char *const *end = endings(&a->config); *end; end++)
            if (strcmp(tensor + before + strlen(name), *end) == 0)
                return a->config.kind == SG_ADAPTER_LORA || a->host.ends >> part & 1 ? i : -1;
    }
    return -1;
}

/* Where layers have ranks of their own: that of a part, by its shape. */
static sg_status rank_at(int *out, const sg_adapter *a, const sg_weights *w, int place, sg_error *err)
{
    const sg_file_tensor *t;
    int layer, part, rows, in;
    char name[160] = BEFORE;

    *out = a->config.rank;
    if (!a->config.by_layer)
        return SG_OK;
    place_at(a, name + sizeof BEFORE - 1, &layer, &part, &rows, &in, place);
    strcat(name, endings(&a->config)[0]);
    if (!(t = sg_weights_find(w, name)))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a tensor '%s', found none", sg_weights_name(w),
                       name);
    if (t->rank != 2 || t->dim[0] < 1 || t->dim[0] > RANK_MOST)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%s': expected a matrix of 1 to %d rows",
                       sg_weights_name(w), name, RANK_MOST);
    *out = (int)t->dim[0];
    return SG_OK;
}

static sg_status load_parts(sg_adapter *a, const sg_weights *w, const sg_tensors *file, sg_error *err)
{
    char name[160];
    sg_status st = SG_OK;

    for (size_t i = 0; i < sg_tensors_count(file) && !st; i++) {
        const char *found = sg_tensors_at(file, i)->name;
        const int place = find_place(a, found);
        int layer, part, rows, in, rank;

        if (sg_adapter_rows_have(a, found))
            continue;
        if (a->config.kind == SG_ADAPTER_TOKENS)
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': expected rows of tokens alone",
                           sg_tensors_name(file), found);
        if (place < 0)
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.200s': expected %s of a model of %d layers",
                           sg_tensors_name(file), found,
                           a->config.kind == SG_ADAPTER_LORA ? "low-rank parts"
                                                             : "layers behind attention and feed-forward",
                           a->host.layers);
        if (a->low[place].a)
            continue;
        place_at(a, name, &layer, &part, &rows, &in, place);
        if (!(st = rank_at(&rank, a, w, place, err)) && !(st = declare(a, place, rank, 0, err)))
            a->config.targets |= 1u << part;
    }
    for (size_t i = 0; i < a->params.n && !st; i++) {
        if (a->params.list[i] == a->words.rows || a->params.list[i] == a->output.rows)
            continue;
        snprintf(name, sizeof name, BEFORE "%s", a->params.list[i]->name);
        st = sg_weights_load(w, a->params.list[i], name, err);
    }
    if (!st && a->params.n == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected parts of an adapter, found no tensor",
                     sg_tensors_name(file));
    return st;
}

/* New tokens stand in a tokenizer.json beside their rows. Without one the rows are of tokens that the model's own tokenizer has. */
static sg_status read_tokenizer(sg_adapter *a, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "tokenizer.json");
    sg_status st = path ? SG_OK : sg_fail_memory(err, "path");

    if (!st && !sg_file_exists(path)) {
        if (a->vocab > a->host.rows)
            st =
                sg_fail(err, SG_ERR_FORMAT, "%s: expected a tokenizer with the new tokens, found none", path);
    } else if (!st && !(st = sg_file_read(&a->tokenizer_json, path, SG_TOKENIZER_BYTES_MAX, err)) &&
               !(st = sg_tokenizer_from_json(
                     &a->tokenizer, (sg_bytes){a->tokenizer_json.data, a->tokenizer_json.size}, path, err)) &&
               sg_tokenizer_size(a->tokenizer) > a->vocab) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d tokens, the rows of the tables, found %d",
                     path, a->vocab, (int)sg_tokenizer_size(a->tokenizer));
    }
    sg_free(path);
    return st;
}

sg_status sg_adapter_open(sg_adapter **out, const char *dir, const sg_adapter_host *host, sg_error *err)
{
    char *config_path = sg_path_join(dir, "adapter_config.json"),
         *path = sg_path_join(dir, "adapter_model.safetensors");
    sg_adapter_config c;
    sg_adapter *a = NULL;
    sg_tensors *file = NULL;
    sg_weights *w = NULL;
    json_t *o = NULL;
    sg_status st = config_path && path ? SG_OK : sg_fail_memory(err, "path");

    *out = NULL;
    if (st || (st = sg_json_read(&o, config_path, CONFIG_MOST, err)) ||
        (st = read_config(&c, o, config_path, host, err)) || (st = sg_tensors_open(&file, path, err)) ||
        (st = sg_weights_over(&w, file, NULL, err)) || (st = adapter_new(&a, &c, host, err)))
        goto done;
    a->params.bare = true; /* values come from the file, into memory of their own: they may learn on */
    if (c.kind == SG_ADAPTER_LORA || c.kind == SG_ADAPTER_TOKENS)
        st = sg_adapter_rows_load(a, o, config_path, w, file, err);
    if (!st && (a->words.n || a->output.n))
        st = read_tokenizer(a, dir, err);
    if (st)
        goto done;
    if (c.kind != SG_ADAPTER_PROMPT)
        st = load_parts(a, w, file, err);
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
    json_decref(o);
    sg_free(config_path);
    sg_free(path);
    return st;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */
/* Ranks that are not that of the whole, by the names of the matrices, and the layers that have parts where not all have. */
static bool put_layers(json_t *o, const sg_adapter *a)
{
    json_t *pattern = json_object(), *layers = json_array();
    bool has[SG_ADAPTER_LAYERS] = {false}, all = true, some = false, good = true;
    int layer, part, rows, in;
    char name[96];

    for (int i = 0; i < a->host.n_places; i++)
        if (a->low[i].a && place_at(a, name, &layer, &part, &rows, &in, i)) {
            if (layer >= 0)
                has[layer] = true;
            if (a->low[i].a->dim[0] != a->config.rank)
                good = good && json_object_set_new(pattern, name, json_integer(a->low[i].a->dim[0])) == 0;
        }
    for (int i = 0; i < a->host.layers; i++) {
        all = all && has[i];
        some = some || has[i];
        if (has[i])
            good = good && json_array_append_new(layers, json_integer(i)) == 0;
    }
    good = good && json_object_set(o, "rank_pattern", pattern) == 0;
    if (!all && some)
        good = good && json_object_set(o, "layers_to_transform", layers) == 0 &&
               json_object_set_new(o, "layers_pattern", json_string(a->host.layer_word)) == 0;
    json_decref(pattern);
    json_decref(layers);
    return good;
}

static json_t *config_json(const sg_adapter *a)
{
    const sg_adapter_config *c = &a->config;
    json_t *targets, *o;

    if (c->kind == SG_ADAPTER_PROMPT)
        return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:b}", "peft_type", "PROMPT_TUNING",
                         "task_type", a->host.task, "base_model_name_or_path", c->base, "num_virtual_tokens",
                         c->tokens, "token_dim", a->host.dim, "num_transformer_submodules", 1,
                         "num_attention_heads", a->host.heads, "num_layers", a->host.layers,
                         "prompt_tuning_init", "RANDOM", "inference_mode", 1);
    if (c->kind == SG_ADAPTER_TOKENS) {
        o = json_pack("{s:s, s:s, s:s, s:b, s:b}", "peft_type", "TRAINABLE_TOKENS", "task_type", a->host.task,
                      "base_model_name_or_path", c->base, "init_weights", 1, "inference_mode", 1);
        if (o && !sg_adapter_rows_tell(o, a)) {
            json_decref(o);
            return NULL;
        }
        return o;
    }
    targets = json_array();
    for (int p = 0; p < a->host.n_parts; p++)
        if (c->targets >> p & 1)
            json_array_append_new(targets, json_string(a->host.part[p]));
    if (c->kind == SG_ADAPTER_BOTTLENECK) {
        size_t i = 0;

        while (acts[i].act != c->act)
            i++;
        o = json_pack("{s:s, s:s, s:s, s:i, s:s, s:o}", "peft_type", "BOTTLENECK", "task_type", a->host.task,
                      "base_model_name_or_path", c->base, "r", c->rank, "non_linearity", acts[i].name,
                      "target_modules", targets);
    } else {
        o = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:b, s:o, s:s, s:b, s:b, s:b}", "peft_type", "LORA",
                      "task_type", a->host.task, "base_model_name_or_path", c->base, "r", c->rank,
                      "lora_alpha", c->alpha, "lora_dropout", c->dropout, "use_rslora", c->rslora,
                      "target_modules", targets, "bias", "none", "fan_in_fan_out", 0, "use_dora", 0,
                      "inference_mode", 1);
    }
    if (o && (!put_layers(o, a) || !sg_adapter_rows_tell(o, a))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static sg_status write_tokenizer(const sg_adapter *a, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "tokenizer.json");
    const sg_status st = path ? sg_file_write(path, a->tokenizer_json.data, a->tokenizer_json.size, err)
                              : sg_fail_memory(err, "tokenizer.json");

    sg_free(path);
    return st;
}

sg_status sg_adapter_save(const sg_adapter *a, const char *dir, sg_error *err)
{
    char *config_path = sg_path_join(dir, "adapter_config.json"),
         *path = sg_path_join(dir, "adapter_model.safetensors");
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
        list[i] = (sg_tensor_desc){name[i],
                                   SG_DT_F32,
                                   p->rank,
                                   {(uint64_t)p->dim[0], p->rank == 2 ? (uint64_t)p->dim[1] : 0},
                                   p->value};
    }
    if (!(st = sg_dir_make(dir, err)) &&
        !(st = sg_tensors_write(path, list, a->params.n, &(sg_meta){"format", "pt"}, 1, err)))
        st = sg_json_write(config_path, config, err);
    if (!st && a->tokenizer)
        st = write_tokenizer(a, dir, err);
done:
    json_decref(config);
    sg_free(name);
    sg_free(list);
    sg_free(config_path);
    sg_free(path);
    return st;
}
