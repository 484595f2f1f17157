/* to_gguf.c - keys and tensors of a decoder's .gguf file.   [llama.cpp, convert_hf_to_gguf] */
#include "lm/to_gguf.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/llama_parts.h"

#include <stdio.h>
#include <string.h>

#define TOKENS SG_GGUF_TOKENS

static sg_bytes text(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

/* ---- keys of a folder ------------------------------------------------------------------------------------------------------- */
static void put_sizes(sg_gguf_out *o, const sg_llama_config *c, const char *arch)
{
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"context_length", c->places},
                 {"embedding_length", c->dim},
                 {"block_count", c->layers},
                 {"feed_forward_length", c->ffn},
                 {"attention.head_count", c->heads},
                 {"attention.head_count_kv", c->kv_heads},
                 {"attention.key_length", c->head_dim},
                 {"attention.value_length", c->head_dim},
                 {"rope.dimension_count", c->head_dim},
                 {"vocab_size", c->vocab}};
    char key[100];

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, sizes[i].key);
        sg_gguf_out_u32(o, key, (uint32_t)sizes[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    sg_gguf_out_f32(o, key, c->eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    sg_gguf_out_f32(o, key, c->theta);
    if (c->scaling.factor > 1 && !c->scaling.by_wavelength) {
        snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
        sg_gguf_out_string(o, key, text("linear"));
        snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
        sg_gguf_out_f32(o, key, (float)c->scaling.factor);
    }
}

/* The merges of tokenizer.json: "a b", or ["a", "b"]. */
static sg_status put_merges(sg_gguf_out *o, const json_t *merges, const char *where, sg_error *err)
{
    const size_t n = json_array_size(merges);
    sg_bytes *list = sg_alloc_array(n + 1, sizeof *list);
    size_t *end = sg_alloc_array(n + 1, sizeof *end);
    sg_buf all = {0};
    sg_status st = list && end ? SG_OK : sg_fail_memory(err, where);

    for (size_t i = 0; i < n && !st; i++) {
        const json_t *one = json_array_get(merges, i), *a = json_is_array(one) ? json_array_get(one, 0) : one,
                     *b = json_array_get(one, 1);

        if (!json_is_string(a) || (json_is_array(one) && !json_is_string(b)))
            st = sg_fail(err, SG_ERR_FORMAT, "%s: merge %zu: expected two tokens", where, i);
        else {
            sg_buf_add(&all, json_string_value(a), json_string_length(a));
            if (b) {
                sg_buf_putc(&all, ' ');
                sg_buf_add(&all, json_string_value(b), json_string_length(b));
            }
            end[i] = all.size;
        }
    }
    if (!st && all.failed)
        st = sg_fail_memory(err, where);
    for (size_t i = 0; i < n && !st; i++)
        list[i] = (sg_bytes){all.data + (i ? end[i - 1] : 0), end[i] - (i ? end[i - 1] : 0)};
    if (!st)
        sg_gguf_out_strings(o, TOKENS "merges", list, n);
    sg_buf_free(&all);
    sg_free(list);
    sg_free(end);
    return st;
}

/* tokenizer.json: the model's own, or an adapter's. */
static sg_status read_tokenizer(json_t **out, const sg_llama *m, const char *path, sg_error *err)
{
    return m->tokenizer_json.size ? sg_json_parse(out, m->tokenizer_json, path, err)
                                  : sg_json_read(out, path, SG_GGUF_SOURCE_MOST, err);
}

static sg_status put_folder(sg_gguf_out *o, const sg_llama *m, const char *model, const char *arch,
                            sg_error *err)
{
    char *path = sg_path_join(model, "tokenizer.json"), *config_path = sg_path_join(model, "config.json");
    const char *family = NULL;
    json_t *root = NULL, *config = NULL, *part = NULL, *merges = NULL;
    sg_status st = path && config_path ? SG_OK : sg_fail_memory(err, "path");

    if (st || (st = read_tokenizer(&root, m, path, err)) ||
        (st = sg_json_read(&config, config_path, SG_GGUF_SOURCE_MOST, err)) ||
        (st = sg_tokenizer_gguf_family(&family, root, path, err)) ||
        (st = sg_json_need_object(&part, root, "model", path, err)) ||
        (st = sg_json_need_array(&merges, part, "merges", path, err)))
        goto done;
    sg_gguf_out_string(o, "general.architecture", text(arch));
    sg_gguf_out_string(o, "general.name", text(sg_path_base(model)));
    put_sizes(o, &m->config, arch);
    sg_gguf_out_string(o, TOKENS "model", text("gpt2"));
    sg_gguf_out_string(o, TOKENS "pre", text(family));
    if ((st = sg_gguf_put_tokens(o, m->tokenizer, m->config.vocab, json_object_get(root, "added_tokens"), -1,
                                 err)) ||
        (st = put_merges(o, merges, path, err)))
        goto done;
    const json_t *bos = json_object_get(config, "bos_token_id");
    if (json_is_integer(bos) && json_integer_value(bos) >= 0 && json_integer_value(bos) < m->config.vocab)
        sg_gguf_out_u32(o, TOKENS "bos_token_id", (uint32_t)json_integer_value(bos));
    if (m->config.end >= 0)
        sg_gguf_out_u32(o, TOKENS "eos_token_id", (uint32_t)m->config.end);
    for (int i = 0, n = 0; i < m->config.ends.n && n < 2; i++) /* others: of a turn, of a message */
        if (m->config.ends.id[i] != m->config.end)
            sg_gguf_out_u32(o, n++ ? TOKENS "eom_token_id" : TOKENS "eot_token_id",
                            (uint32_t)m->config.ends.id[i]);
    sg_gguf_out_bool(o, TOKENS "add_bos_token", strcmp(family, "llama-bpe") == 0);
    if (m->chat.template)
        sg_gguf_out_string(o, "tokenizer.chat_template", text(m->chat.template));
done:
    json_decref(root);
    json_decref(config);
    sg_free(path);
    sg_free(config_path);
    return st;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------------- */
static void gguf_name(char out[96], const char *name)
{
    static const char *const parts[][2] = {{"self_attn.q_proj", "attn_q"},
                                           {"self_attn.k_proj", "attn_k"},
                                           {"self_attn.v_proj", "attn_v"},
                                           {"self_attn.o_proj", "attn_output"},
                                           {"mlp.gate_proj", "ffn_gate"},
                                           {"mlp.up_proj", "ffn_up"},
                                           {"mlp.down_proj", "ffn_down"},
                                           {"input_layernorm", "attn_norm"},
                                           {"post_attention_layernorm", "ffn_norm"},
                                           {"self_attn.q_norm", "attn_q_norm"},
                                           {"self_attn.k_norm", "attn_k_norm"}};
    static const char *const whole[][2] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                           {"model.norm.weight", "output_norm.weight"},
                                           {"lm_head.weight", "output.weight"}};
    int layer = 0, at = 0;

    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(name, whole[i][0]) == 0)
            snprintf(out, 96, "%s", whole[i][1]);
    if (sscanf(name, "model.layers.%d.%n", &layer, &at) != 1 || at == 0)
        return;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t n = strlen(parts[i][0]);

        if (strncmp(name + at, parts[i][0], n) == 0 && name[at + (int)n] == '.')
            snprintf(out, 96, "blk.%d.%s%s", layer, parts[i][1], name + at + n);
    }
}

/* llama.cpp turns neighbouring numbers of a head in q and k of arch llama, so their halves are interleaved. */
static int interleaved_row(const void *ctx, const sg_param *p, int r)
{
    const int two = ((const sg_llama_config *)ctx)->head_dim;

    if (!strstr(p->name, ".q_proj.") && !strstr(p->name, ".k_proj."))
        return r;
    return r / two * two + r % two % 2 * (two / 2) + r % two / 2;
}

static sg_status put_slower(sg_gguf_out *o, const sg_llama *m, sg_error *err)
{
    float *x = sg_alloc_array((size_t)m->config.head_dim / 2, sizeof *x);
    sg_status st = x ? SG_OK : sg_fail_memory(err, "rope_freqs.weight");
    sg_llama plain = *m;

    plain.slower = NULL;
    plain.config.scaling = (sg_rope_scaling){.factor = 1};
    for (int i = 0; !st && i < m->config.head_dim / 2; i++)
        x[i] = (float)(sg_llama_frequency(&plain, i) / sg_llama_frequency(m, i));
    if (!st)
        st = sg_gguf_out_put(o, x, (size_t)m->config.head_dim / 2, err);
    sg_free(x);
    return st;
}

sg_status sg_decoder_to_gguf(const sg_decoder *d, const sg_llama *m, const char *model, const char *path,
                             int type, sg_error *err)
{
    const sg_llama_config *c = &m->config;
    const sg_gguf *from = sg_weights_gguf(m->weights);
    const char *arch = c->qk_norm ? "qwen3" : c->qkv_bias ? "qwen2" : "llama";
    const bool interleaved = strcmp(arch, "llama") == 0, slower = m->slower || c->scaling.by_wavelength;
    sg_gguf_out *o;
    sg_status st = sg_gguf_out_new(&o, err);

    if (st)
        return st;
    if (from && m->tokenizer_json.size)
        st = sg_fail(
            err, SG_ERR_USAGE,
            "%s: expected a model's folder, or one to write: a .gguf file's tokens are taken as they are",
            model);
    if (st)
        goto done;
    if (from)
        sg_gguf_put_file(o, from);
    else if ((st = put_folder(o, m, model, arch, err)))
        goto done;
    sg_gguf_put_type(o, type);
    for (size_t i = 0; i < d->params.n; i++) {
        const sg_param *p = d->params.list[i];
        char name[96] = "";

        gguf_name(name, p->name);
        sg_gguf_describe(o, name, p, type);
    }
    if (slower)
        sg_gguf_out_tensor(o, "rope_freqs.weight", SG_GGUF_F32_TYPE, 1,
                           (const uint64_t[]){(uint64_t)c->head_dim / 2});
    st = sg_gguf_out_begin(o, path, err);
    for (size_t i = 0; i < d->params.n && !st; i++)
        st = sg_gguf_put_numbers(o, d->params.list[i], interleaved ? interleaved_row : NULL, c, err);
    if (!st && slower)
        st = put_slower(o, m, err);
    if (!st)
        st = sg_gguf_out_commit(o, err);
done:
    sg_gguf_out_free(o);
    return st;
}
