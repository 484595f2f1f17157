/* to_gguf.c - keys and tensors of a decoder's .gguf file.   [llama.cpp, convert_hf_to_gguf] */
#include "lm/to_gguf.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/llama_parts.h"

#include <stdio.h>
#include <string.h>

#define TOKENS "tokenizer.ggml."
enum { FILE_MOST = 256 << 20, TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

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
    } sizes[] = {{"context_length", c->places},          {"embedding_length", c->dim},        {"block_count", c->layers},
                 {"feed_forward_length", c->ffn},        {"attention.head_count", c->heads},  {"attention.head_count_kv", c->kv_heads},
                 {"attention.key_length", c->head_dim},  {"attention.value_length", c->head_dim},
                 {"rope.dimension_count", c->head_dim},  {"vocab_size", c->vocab}};
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
        const json_t *one = json_array_get(merges, i), *a = json_is_array(one) ? json_array_get(one, 0) : one, *b = json_array_get(one, 1);

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

/* Tokens and their kinds. Numbers that the tokenizer does not use get a name of their own: every row of the word table needs one. */
static sg_status put_tokens(sg_gguf_out *o, const sg_llama *m, const json_t *root, sg_error *err)
{
    const size_t n = (size_t)m->config.vocab, known = (size_t)sg_tokenizer_size(m->tokenizer);
    sg_bytes *token = sg_alloc_array(n, sizeof *token);
    int32_t *kind = sg_alloc_array(n, sizeof *kind);
    char(*name)[32] = sg_alloc_array(n, sizeof *name);
    const json_t *added = json_object_get(root, "added_tokens");
    sg_status st = token && kind && name ? SG_OK : sg_fail_memory(err, "tokens");

    for (size_t i = 0; i < n && !st; i++) {
        token[i] = i < known ? sg_tokenizer_token(m->tokenizer, (int32_t)i) : (sg_bytes){NULL, 0};
        kind[i] = token[i].size ? TOKEN_NORMAL : TOKEN_UNUSED;
        if (!token[i].size) {
            snprintf(name[i], sizeof name[i], "[PAD%zu]", i);
            token[i] = text(name[i]);
        }
    }
    for (size_t i = 0; i < json_array_size(added) && !st; i++) {
        const json_t *one = json_array_get(added, i);
        const json_int_t id = json_integer_value(json_object_get(one, "id"));

        if (id >= 0 && id < (json_int_t)n)
            kind[id] = json_is_true(json_object_get(one, "special")) ? TOKEN_CONTROL : TOKEN_USER;
    }
    if (!st) {
        sg_gguf_out_strings(o, TOKENS "tokens", token, n);
        sg_gguf_out_i32s(o, TOKENS "token_type", kind, n);
    }
    sg_free(token);
    sg_free(kind);
    sg_free(name);
    return st;
}

static sg_status put_folder(sg_gguf_out *o, const sg_llama *m, const char *model, const char *arch, sg_error *err)
{
    char *path = sg_path_join(model, "tokenizer.json"), *config_path = sg_path_join(model, "config.json");
    const char *family = NULL;
    json_t *root = NULL, *config = NULL, *part = NULL, *merges = NULL;
    sg_status st = path && config_path ? SG_OK : sg_fail_memory(err, "path");

    if (st || (st = sg_json_read(&root, path, FILE_MOST, err)) || (st = sg_json_read(&config, config_path, FILE_MOST, err)) ||
        (st = sg_tokenizer_gguf_family(&family, root, path, err)) || (st = sg_json_need_object(&part, root, "model", path, err)) ||
        (st = sg_json_need_array(&merges, part, "merges", path, err)))
        goto done;
    sg_gguf_out_string(o, "general.architecture", text(arch));
    sg_gguf_out_string(o, "general.name", text(sg_path_base(model)));
    put_sizes(o, &m->config, arch);
    sg_gguf_out_string(o, TOKENS "model", text("gpt2"));
    sg_gguf_out_string(o, TOKENS "pre", text(family));
    if ((st = put_tokens(o, m, root, err)) || (st = put_merges(o, merges, path, err)))
        goto done;
    const json_t *bos = json_object_get(config, "bos_token_id");
    if (json_is_integer(bos) && json_integer_value(bos) >= 0 && json_integer_value(bos) < m->config.vocab)
        sg_gguf_out_u32(o, TOKENS "bos_token_id", (uint32_t)json_integer_value(bos));
    if (m->config.end >= 0)
        sg_gguf_out_u32(o, TOKENS "eos_token_id", (uint32_t)m->config.end);
    sg_gguf_out_bool(o, TOKENS "add_bos_token", strcmp(family, "llama-bpe") == 0);
    if (m->chat)
        sg_gguf_out_string(o, "tokenizer.chat_template", text(m->chat));
done:
    json_decref(root);
    json_decref(config);
    sg_free(path);
    sg_free(config_path);
    return st;
}

/* ---- keys of a file --------------------------------------------------------------------------------------------------------- */
static void put_file(sg_gguf_out *o, const sg_gguf *from)
{
    static const char *const own[] = {"general.alignment", "general.file_type", "general.quantization_version"};

    for (size_t i = 0; i < sg_gguf_values(from); i++) {
        const sg_gguf_value *v = sg_gguf_value_at(from, i);
        bool ours = strncmp(v->key, "split.", 6) == 0;

        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            ours = ours || strcmp(v->key, own[k]) == 0;
        if (!ours)
            sg_gguf_out_copy(o, v);
    }
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------------- */
static void gguf_name(char out[96], const char *name)
{
    static const char *const parts[][2] = {
        {"self_attn.q_proj", "attn_q"},   {"self_attn.k_proj", "attn_k"},       {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
        {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},            {"mlp.down_proj", "ffn_down"},  {"input_layernorm", "attn_norm"},
        {"post_attention_layernorm", "ffn_norm"}, {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"}};
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

static int type_of(const sg_param *p, int type)
{
    if (p->rank == 1)
        return SG_GGUF_F32_TYPE;
    return (size_t)p->dim[1] % sg_gguf_block(type) == 0 ? type : SG_GGUF_F16_TYPE;
}

/* Row of p that comes s-th: llama.cpp turns neighbouring numbers of a head in q and k of arch llama, so the halves are interleaved. */
static int row_at(const sg_param *p, const sg_llama_config *c, bool interleaved, int s)
{
    const int two = c->head_dim;

    if (!interleaved || (!strstr(p->name, ".q_proj.") && !strstr(p->name, ".k_proj.")))
        return s;
    return s / two * two + s % two % 2 * (two / 2) + s % two / 2;
}

static sg_status put_tensor(sg_gguf_out *o, const sg_param *p, const sg_llama_config *c, bool interleaved, sg_error *err)
{
    const size_t in = p->rank == 2 ? (size_t)p->dim[1] : p->count;
    const int rows = p->rank == 2 ? p->dim[0] : 1;
    float *decoded = NULL;
    const float *x = p->value;
    sg_status st = SG_OK;

    if (p->blocks) {
        if (!(decoded = sg_alloc_array(p->count, sizeof *decoded)))
            return sg_fail_memory(err, p->name);
        sg_blocks_decode(NULL, p->blocks, decoded);
        x = decoded;
    }
    for (int r = 0; r < rows && !st; r++)
        st = sg_gguf_out_put(o, x + (size_t)(p->rank == 2 ? row_at(p, c, interleaved, r) : 0) * in, in, err);
    sg_free(decoded);
    return st;
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

sg_status sg_decoder_to_gguf(const sg_decoder *d, const sg_llama *m, const char *model, const char *path, int type, sg_error *err)
{
    const sg_llama_config *c = &m->config;
    const sg_gguf *from = sg_weights_gguf(m->weights);
    const char *arch = c->qk_norm ? "qwen3" : c->qkv_bias ? "qwen2" : "llama";
    const bool interleaved = strcmp(arch, "llama") == 0, slower = m->slower || c->scaling.by_wavelength;
    static const struct {
        int type;
        uint32_t file;
    } file_types[] = {{SG_GGUF_F32_TYPE, 0}, {SG_GGUF_F16_TYPE, 1}, {SG_GGUF_Q4_0_TYPE, 2}, {SG_GGUF_Q8_0_TYPE, 7}, {SG_GGUF_BF16_TYPE, 32}};
    sg_gguf_out *o;
    sg_status st = sg_gguf_out_new(&o, err);

    if (st)
        return st;
    if (from)
        put_file(o, from);
    else if ((st = put_folder(o, m, model, arch, err)))
        goto done;
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++)
        if (file_types[i].type == type)
            sg_gguf_out_u32(o, "general.file_type", file_types[i].file);
    sg_gguf_out_u32(o, "general.quantization_version", 2);
    for (size_t i = 0; i < d->params.n; i++) {
        const sg_param *p = d->params.list[i];
        char name[96] = "";

        gguf_name(name, p->name);
        sg_gguf_out_tensor(o, name, type_of(p, type), p->rank,
                           p->rank == 2 ? (const uint64_t[]){(uint64_t)p->dim[1], (uint64_t)p->dim[0]} : (const uint64_t[]){p->count});
    }
    if (slower)
        sg_gguf_out_tensor(o, "rope_freqs.weight", SG_GGUF_F32_TYPE, 1, (const uint64_t[]){(uint64_t)c->head_dim / 2});
    st = sg_gguf_out_begin(o, path, err);
    for (size_t i = 0; i < d->params.n && !st; i++)
        st = put_tensor(o, d->params.list[i], c, interleaved, err);
    if (!st && slower)
        st = put_slower(o, m, err);
    if (!st)
        st = sg_gguf_out_commit(o, err);
done:
    sg_gguf_out_free(o);
    return st;
}
