/* folder.c - files of a decoder. What sedge does not understand of a source's config.json stays as it was. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "lm/folder.h"

#include "base/alloc.h"
#include "base/half.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/llama_parts.h"
#include "math/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MOST = 64 << 20, PIECE = 1 << 16 /* numbers */ };

/* ---- config.json ------------------------------------------------------------------------------------------------------------ */
static sg_status config_from_gguf(json_t **out, const sg_llama *m, sg_error *err)
{
    const sg_llama_config *c = &m->config;
    const char *type = c->qk_norm ? "qwen3" : c->qkv_bias ? "qwen2" : "llama";
    const char *class = c->qk_norm ? "Qwen3ForCausalLM" : c->qkv_bias ? "Qwen2ForCausalLM" : "LlamaForCausalLM";
    const double bos = sg_gguf_number_or(sg_weights_gguf(m->weights), "tokenizer.ggml.bos_token_id", -1);
    json_t *o = json_pack("{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:s}", "architectures", class, "model_type",
                          type, "hidden_size", c->dim, "num_hidden_layers", c->layers, "num_attention_heads", c->heads,
                          "num_key_value_heads", c->kv_heads, "head_dim", c->head_dim, "intermediate_size", c->ffn, "vocab_size", c->vocab,
                          "max_position_embeddings", c->places, "rms_norm_eps", (double)c->eps, "rope_theta", (double)c->theta,
                          "tie_word_embeddings", c->tied, "hidden_act", "silu");

    *out = o;
    if (!o || (c->end >= 0 && json_object_set_new(o, "eos_token_id", json_integer(c->end))) ||
        (bos >= 0 && json_object_set_new(o, "bos_token_id", json_integer((json_int_t)bos))) ||
        (c->scaling.factor > 1 &&
         json_object_set_new(o, "rope_scaling", json_pack("{s:s, s:f}", "rope_type", "linear", "factor", c->scaling.factor))))
        return sg_fail_memory(err, "config.json");
    return SG_OK;
}

static sg_status write_config(const sg_llama *m, const char *model, const char *dir, sg_dtype dtype, sg_error *err)
{
    const char *name = dtype == SG_DT_BF16 ? "bfloat16" : dtype == SG_DT_F16 ? "float16" : "float32";
    char *from = sg_path_join(model, "config.json"), *to = sg_path_join(dir, "config.json");
    json_t *o = NULL;
    sg_status st;

    if (!from || !to)
        st = sg_fail_memory(err, "path");
    else
        st = sg_weights_gguf(m->weights) ? config_from_gguf(&o, m, err) : sg_json_read(&o, from, CONFIG_MOST, err);
    if (!st) {
        const char *key = json_object_get(o, "dtype") ? "dtype" : "torch_dtype";

        st = json_object_set_new(o, key, json_string(name)) ? sg_fail_memory(err, "config.json") : sg_json_write(to, o, err);
    }
    json_decref(o);
    sg_free(from);
    sg_free(to);
    return st;
}

/* ---- weights ---------------------------------------------------------------------------------------------------------------- */
static sg_status put_numbers(sg_tensors_stream *s, size_t i, const float *x, size_t n, sg_dtype dtype, void *room, sg_error *err)
{
    sg_status st = SG_OK;

    if (dtype == SG_DT_F32)
        return sg_tensors_stream_put(s, i, x, n * sizeof *x, err);
    for (size_t at = 0; at < n && !st; at += PIECE) {
        const size_t here = n - at < PIECE ? n - at : PIECE;
        uint16_t *half = room;

        if (dtype == SG_DT_BF16)
            sg_kernels_best()->to_bf16(half, x + at, here);
        for (size_t k = 0; dtype == SG_DT_F16 && k < here; k++)
            half[k] = sg_f32_to_f16(x[at + k]);
        st = sg_tensors_stream_put(s, i, half, here * sizeof *half, err);
    }
    return st;
}

static sg_status write_weights(const sg_decoder *d, const char *dir, sg_dtype dtype, sg_error *err)
{
    const sg_params *ps = &d->params;
    sg_tensor_desc *list = sg_alloc_zero(ps->n, sizeof *list);
    void *room = sg_alloc_array(PIECE, sizeof(uint16_t));
    char *path = sg_path_join(dir, "model.safetensors");
    sg_tensors_stream *s = NULL;
    float *decoded = NULL;
    sg_status st = list && room && path ? SG_OK : sg_fail_memory(err, "model.safetensors");

    for (size_t i = 0; i < ps->n && !st; i++) {
        const sg_param *p = ps->list[i];

        list[i] = (sg_tensor_desc){.name = p->name, .dtype = dtype, .rank = p->rank, .dim = {(uint64_t)p->dim[0], (uint64_t)p->dim[1]}};
    }
    if (!st)
        st = sg_tensors_stream_open(&s, path, list, ps->n, &(sg_meta){"format", "pt"}, 1, err);
    for (size_t i = 0; i < ps->n && !st; i++) {
        const sg_param *p = ps->list[i];

        if (p->blocks && !(decoded = sg_alloc_array(p->count, sizeof *decoded)))
            st = sg_fail_memory(err, p->name);
        else if (p->blocks)
            sg_blocks_decode(NULL, p->blocks, decoded);
        if (!st)
            st = put_numbers(s, i, p->blocks ? decoded : p->value, p->count, dtype, room, err);
        sg_free(decoded);
        decoded = NULL;
    }
    if (!st) {
        st = sg_tensors_stream_commit(s, err);
        s = NULL;
    }
    sg_tensors_stream_abort(s);
    sg_free(path);
    sg_free(room);
    sg_free(list);
    return st;
}

/* ---- the tokenizer ---------------------------------------------------------------------------------------------------------- */
sg_status sg_model_file_copy(const char *model, const char *dir, const char *name, sg_error *err)
{
    char *from = sg_path_join(model, name), *to = sg_path_join(dir, name);
    sg_map map = {0};
    sg_status st = from && to ? SG_OK : sg_fail_memory(err, "path");

    if (!st && sg_file_exists(from) && !(st = sg_map_open(&map, from, err))) {
        st = sg_file_write(to, map.data, map.size, err);
        sg_map_close(&map);
    }
    sg_free(from);
    sg_free(to);
    return st;
}

static json_t *token_json(const sg_tokenizer *t, int32_t id)
{
    const sg_bytes s = sg_tokenizer_token(t, id);

    return json_stringn(s.data, s.size);
}

static sg_status write_tokenizer(const sg_llama *m, const char *dir, sg_error *err)
{
    const sg_gguf *file = sg_weights_gguf(m->weights);
    char *path = sg_path_join(dir, "tokenizer.json"), *config_path = sg_path_join(dir, "tokenizer_config.json");
    json_t *o = NULL, *config = json_pack("{s:s, s:i}", "tokenizer_class", "PreTrainedTokenizerFast", "model_max_length", m->config.places);
    const double bos = sg_gguf_number_or(file, "tokenizer.ggml.bos_token_id", -1);
    sg_status st = path && config_path && config ? SG_OK : sg_fail_memory(err, "tokenizer.json");

    if (!st && ((m->config.end >= 0 && json_object_set_new(config, "eos_token", token_json(m->tokenizer, m->config.end))) ||
                (bos >= 0 && bos < m->config.vocab && json_object_set_new(config, "bos_token", token_json(m->tokenizer, (int32_t)bos))) ||
                (m->chat && json_object_set_new(config, "chat_template", json_string(m->chat)))))
        st = sg_fail_memory(err, "tokenizer_config.json");
    if (!st && !(st = sg_tokenizer_gguf_json(&o, file, err)) && !(st = sg_json_write(path, o, err)))
        st = sg_json_write(config_path, config, err);
    json_decref(o);
    json_decref(config);
    sg_free(path);
    sg_free(config_path);
    return st;
}

static sg_status write_tokenizer_files(const sg_llama *m, const char *model, const char *dir, sg_error *err)
{
    static const char *const names[] = {"tokenizer.json",          "tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.model",
                                        "special_tokens_map.json", "added_tokens.json",     "chat_template.jinja", "generation_config.json"};
    sg_status st = SG_OK;

    if (sg_weights_gguf(m->weights))
        return write_tokenizer(m, dir, err);
    for (size_t i = 0; i < sizeof names / sizeof *names && !st; i++)
        st = sg_model_file_copy(model, dir, names[i], err);
    return st;
}

bool sg_same_folder(const char *a, const char *b)
{
    char *x = realpath(a, NULL), *y = realpath(b, NULL);
    const bool same = x && y && strcmp(x, y) == 0;

    free(x);
    free(y);
    return same;
}

sg_status sg_decoder_save_check(const sg_llama *m, const char *model, const char *dir, sg_error *err)
{
    json_t *o = NULL;
    sg_status st = SG_OK;

    if (sg_same_folder(model, dir))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected another folder than the model's own", dir);
    if (sg_weights_gguf(m->weights) && m->slower)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a model without 'rope_freqs.weight', which config.json has no place for",
                       sg_weights_name(m->weights));
    if (sg_weights_gguf(m->weights))
        st = sg_tokenizer_gguf_json(&o, sg_weights_gguf(m->weights), err);
    json_decref(o);
    return st;
}

sg_status sg_decoder_save(const sg_decoder *d, const sg_llama *m, const char *model, const char *dir, sg_dtype dtype, sg_error *err)
{
    sg_status st;

    if ((st = sg_decoder_save_check(m, model, dir, err)) || (st = sg_dir_make(dir, err)) ||
        (st = write_tokenizer_files(m, model, dir, err)) || (st = write_config(m, model, dir, dtype, err)))
        return st;
    return write_weights(d, dir, dtype, err);
}
