/* folder.c - files of a model. What sedge does not understand of a source's config.json stays as it was. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "lm/folder.h"

#include "base/alloc.h"
#include "base/half.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/llama_parts.h"
#include "lm/t5_parts.h"
#include "math/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MOST = 64 << 20, PIECE = 1 << 16 /* numbers */ };

/* ---- config.json ------------------------------------------------------------------------------------------------------------ */
typedef struct source {  /* what a folder is made from */
    const char *model;   /* path */
    const sg_gguf *gguf; /* NULL: a folder */
    const sg_tokenizer *tokenizer;
    sg_bytes tokenizer_json; /* in place of the model's own; empty: that */
    const char *chat;        /* template, or NULL */
    int end, places;         /* -1: none; 0: not known */
} source;

static source source_of_llama(const sg_llama *m, const char *model)
{
    return (source){model,
                    sg_weights_gguf(m->weights),
                    m->tokenizer,
                    m->tokenizer_json,
                    m->chat.template,
                    m->config.end,
                    m->config.places};
}

static source source_of_t5(const sg_t5 *m, const char *model)
{
    return (source){model, sg_weights_gguf(m->weights), m->tokenizer, {0}, NULL, m->config.end, 0};
}

/* eos_token_id: a number, or all of several; NULL: out of memory */
static json_t *ends_json(const sg_llama_config *c)
{
    json_t *list;

    if (c->ends.n < 2)
        return json_integer(c->end);
    list = json_array();
    for (int i = 0; list && i < c->ends.n; i++)
        if (json_array_append_new(list, json_integer(c->ends.id[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* NULL: out of memory */
static json_t *llama_config(const sg_llama_config *c, const sg_llama *m)
{
    const char *type = c->qk_norm ? "qwen3" : c->qkv_bias ? "qwen2" : "llama";
    const char *class = c->qk_norm    ? "Qwen3ForCausalLM"
                        : c->qkv_bias ? "Qwen2ForCausalLM"
                                      : "LlamaForCausalLM";
    const double bos = sg_gguf_number_or(sg_weights_gguf(m->weights), "tokenizer.ggml.bos_token_id", -1);
    json_t *o = json_pack(
        "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:s}", "architectures", class,
        "model_type", type, "hidden_size", c->dim, "num_hidden_layers", c->layers, "num_attention_heads",
        c->heads, "num_key_value_heads", c->kv_heads, "head_dim", c->head_dim, "intermediate_size", c->ffn,
        "vocab_size", c->vocab, "max_position_embeddings", c->places, "rms_norm_eps", (double)c->eps,
        "rope_theta", (double)c->theta, "tie_word_embeddings", c->tied, "hidden_act", "silu");

    if (o && ((c->end >= 0 && json_object_set_new(o, "eos_token_id", ends_json(c))) ||
              (bos >= 0 && json_object_set_new(o, "bos_token_id", json_integer((json_int_t)bos))) ||
              (c->scaling.factor > 1 && json_object_set_new(o, "rope_scaling",
                                                            json_pack("{s:s, s:f}", "rope_type", "linear",
                                                                      "factor", c->scaling.factor))))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *t5_config(const sg_t5_config *c, bool tied)
{
    return json_pack(
        "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:b, s:b, s:i, s:i, s:i, s:b}",
        "architectures", "T5ForConditionalGeneration", "model_type", "t5", "d_model", c->dim, "d_kv",
        c->head_dim, "d_ff", c->ffn, "num_heads", c->heads, "num_layers", c->layers, "num_decoder_layers",
        c->layers_decoder, "vocab_size", c->vocab, "relative_attention_num_buckets", c->buckets,
        "relative_attention_max_distance", c->distance, "layer_norm_epsilon", (double)c->eps,
        "feed_forward_proj",
        !c->gated           ? "relu"
        : c->act == SG_SILU ? "gated-silu"
                            : "gated-gelu",
        "tie_word_embeddings", tied, "scale_decoder_outputs", c->scaled, "decoder_start_token_id", c->start,
        "eos_token_id", c->end, "pad_token_id", c->start, "is_encoder_decoder", 1);
}

/* own (taken over): what a .gguf file says; a folder's config stays as it was, but for what stands there. */
static sg_status write_config(json_t *own, const source *from, const char *dir, sg_dtype dtype, sg_error *err)
{
    const char *name = dtype == SG_DT_BF16 ? "bfloat16" : dtype == SG_DT_F16 ? "float16" : "float32";
    char *old = sg_path_join(from->model, "config.json"), *to = sg_path_join(dir, "config.json");
    json_t *o = NULL;
    sg_status st = SG_OK;

    if (!old || !to || !own)
        st = sg_fail_memory(err, "config.json");
    else if (from->gguf)
        o = json_incref(own);
    else if (!(st = sg_json_read(&o, old, CONFIG_MOST, err)) && json_object_update(o, own))
        st = sg_fail_memory(err, "config.json");
    if (!st) {
        const char *key = json_object_get(o, "dtype") ? "dtype" : "torch_dtype";

        st = json_object_set_new(o, key, json_string(name)) ? sg_fail_memory(err, "config.json")
                                                            : sg_json_write(to, o, err);
    }
    json_decref(o);
    json_decref(own);
    sg_free(old);
    sg_free(to);
    return st;
}

/* ---- weights ---------------------------------------------------------------------------------------------------------------- */
static sg_status put_numbers(sg_tensors_stream *s, size_t i, const float *x, size_t n, sg_dtype dtype,
                             void *room, sg_error *err)
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

static sg_status write_weights(const sg_params *ps, const char *dir, sg_dtype dtype, sg_error *err)
{
    sg_tensor_desc *list = sg_alloc_zero(ps->n, sizeof *list);
    void *room = sg_alloc_array(PIECE, sizeof(uint16_t));
    char *path = sg_path_join(dir, "model.safetensors");
    sg_tensors_stream *s = NULL;
    float *decoded = NULL;
    sg_status st = list && room && path ? SG_OK : sg_fail_memory(err, "model.safetensors");

    for (size_t i = 0; i < ps->n && !st; i++) {
        const sg_param *p = ps->list[i];

        list[i] = (sg_tensor_desc){.name = p->name,
                                   .dtype = dtype,
                                   .rank = p->rank,
                                   .dim = {(uint64_t)p->dim[0], (uint64_t)p->dim[1]}};
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

static sg_status write_tokenizer(const source *from, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "tokenizer.json"),
         *config_path = sg_path_join(dir, "tokenizer_config.json");
    json_t *o = NULL, *config = json_pack("{s:s}", "tokenizer_class", "PreTrainedTokenizerFast");
    const double bos = sg_gguf_number_or(from->gguf, "tokenizer.ggml.bos_token_id", -1);
    sg_status st = path && config_path && config ? SG_OK : sg_fail_memory(err, "tokenizer.json");

    if (!st &&
        ((from->places && json_object_set_new(config, "model_max_length", json_integer(from->places))) ||
         (from->end >= 0 &&
          json_object_set_new(config, "eos_token", token_json(from->tokenizer, from->end))) ||
         (bos >= 0 && bos < sg_tokenizer_size(from->tokenizer) &&
          json_object_set_new(config, "bos_token", token_json(from->tokenizer, (int32_t)bos))) ||
         (from->chat && json_object_set_new(config, "chat_template", json_string(from->chat)))))
        st = sg_fail_memory(err, "tokenizer_config.json");
    if (!st && !(st = sg_tokenizer_gguf_json(&o, from->gguf, err)) && !(st = sg_json_write(path, o, err)))
        st = sg_json_write(config_path, config, err);
    json_decref(o);
    json_decref(config);
    sg_free(path);
    sg_free(config_path);
    return st;
}

static sg_status write_tokenizer_files(const source *from, const char *dir, sg_error *err)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "tokenizer.model",
                                        "spiece.model",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "generation_config.json"};
    sg_status st = from->gguf ? write_tokenizer(from, dir, err) : SG_OK;
    char *path;

    for (size_t i = 0; i < sizeof names / sizeof *names && !from->gguf && !st; i++)
        st = sg_model_file_copy(from->model, dir, names[i], err);
    if (st || !from->tokenizer_json.size)
        return st;
    path = sg_path_join(dir, names[0]);
    st = path ? sg_file_write(path, from->tokenizer_json.data, from->tokenizer_json.size, err)
              : sg_fail_memory(err, "path");
    sg_free(path);
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

/* ---- models ----------------------------------------------------------------------------------------------------------------- */
static sg_status check(const source *from, const char *dir, sg_error *err)
{
    json_t *o = NULL;
    sg_status st = SG_OK;

    if (sg_same_folder(from->model, dir))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected another folder than the model's own", dir);
    if (from->gguf)
        st = sg_tokenizer_gguf_json(&o, from->gguf, err);
    json_decref(o);
    return st;
}

sg_status sg_decoder_save_check(const sg_llama *m, const char *model, const char *dir, sg_error *err)
{
    const source from = source_of_llama(m, model);

    if (from.gguf && m->slower)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected a model without 'rope_freqs.weight', which config.json has no place for",
                       sg_weights_name(m->weights));
    return check(&from, dir, err);
}

sg_status sg_seq2seq_save_check(const sg_t5 *m, const char *model, const char *dir, sg_error *err)
{
    const source from = source_of_t5(m, model);

    return check(&from, dir, err);
}

sg_status sg_llama_tokenizer_save(const sg_llama *m, const char *model, const char *dir, sg_error *err)
{
    const source from = source_of_llama(m, model);

    return write_tokenizer_files(&from, dir, err);
}

static sg_status save(const sg_params *ps, json_t *own, const source *from, const char *dir, sg_dtype dtype,
                      sg_error *err)
{
    sg_status st;

    if ((st = sg_dir_make(dir, err)) || (st = write_tokenizer_files(from, dir, err))) {
        json_decref(own);
        return st;
    }
    return (st = write_config(own, from, dir, dtype, err)) ? st : write_weights(ps, dir, dtype, err);
}

sg_status sg_decoder_save(const sg_decoder *d, const sg_llama *m, const char *model, const char *dir,
                          sg_dtype dtype, sg_error *err)
{
    const source from = source_of_llama(m, model);
    const sg_status st = sg_decoder_save_check(m, model, dir, err);

    if (st)
        return st;
    json_t *config = from.gguf ? llama_config(&d->config, m) : json_object();
    if (config && ((d->config.tied != m->config.tied &&
                    json_object_set_new(config, "tie_word_embeddings", json_boolean(d->config.tied))) ||
                   (d->config.vocab != m->output.out &&
                    json_object_set_new(config, "vocab_size", json_integer(d->config.vocab))))) {
        json_decref(config);
        config = NULL;
    }
    return save(&d->params, config, &from, dir, dtype, err);
}

sg_status sg_seq2seq_save(const sg_seq2seq *d, const sg_t5 *m, const char *model, const char *dir,
                          sg_dtype dtype, sg_error *err)
{
    const source from = source_of_t5(m, model);
    const sg_status st = sg_seq2seq_save_check(m, model, dir, err);

    if (st)
        return st;
    const bool tied = d->output == d->words;
    json_t *config = from.gguf         ? t5_config(&d->config, tied)
                     : tied == m->tied ? json_object()
                                       : json_pack("{s:b, s:b}", "tie_word_embeddings", tied,
                                                   "scale_decoder_outputs", d->config.scaled);
    return save(&d->params, config, &from, dir, dtype, err);
}
