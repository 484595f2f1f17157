/* to_gguf_t5.c - keys and tensors of a T5's .gguf file.   [llama.cpp, convert_hf_to_gguf] */
#include "lm/to_gguf.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/io.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

#define TOKENS SG_GGUF_TOKENS
enum { CONTEXT = 512, DISTANCE = 128 /* what llama.cpp takes for granted */ };

static sg_bytes text(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

/* ---- keys of a folder ------------------------------------------------------------------------------------------------------- */
static void put_sizes(sg_gguf_out *o, const sg_t5_config *c)
{
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"t5.context_length", CONTEXT},
                 {"t5.embedding_length", c->dim},
                 {"t5.feed_forward_length", c->ffn},
                 {"t5.block_count", c->layers},
                 {"t5.decoder_block_count", c->layers_decoder},
                 {"t5.attention.head_count", c->heads},
                 {"t5.attention.key_length", c->head_dim},
                 {"t5.attention.value_length", c->head_dim},
                 {"t5.attention.relative_buckets_count", c->buckets},
                 {"t5.decoder_start_token_id", c->start},
                 {"t5.vocab_size", c->vocab}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        sg_gguf_out_u32(o, sizes[i].key, (uint32_t)sizes[i].value);
    sg_gguf_out_f32(o, "t5.attention.layer_norm_epsilon", c->eps);
    sg_gguf_out_f32(o, "t5.attention.layer_norm_rms_epsilon", c->eps);
}

/* Scores of a Unigram's pieces; rows that no piece has: 0. */
static sg_status put_scores(sg_gguf_out *o, const json_t *vocab, int rows, const char *where, sg_error *err)
{
    float *score = sg_alloc_zero((size_t)rows, sizeof *score);
    sg_status st = score ? SG_OK : sg_fail_memory(err, "scores");

    for (size_t i = 0; i < json_array_size(vocab) && i < (size_t)rows && !st; i++) {
        const json_t *x = json_array_get(json_array_get(vocab, i), 1);

        if (json_is_number(x))
            score[i] = (float)json_number_value(x);
        else
            st = sg_fail(err, SG_ERR_FORMAT, "%s: piece %zu: expected a score", where, i);
    }
    if (!st)
        sg_gguf_out_f32s(o, TOKENS "scores", score, (size_t)rows);
    sg_free(score);
    return st;
}

typedef struct cutting {  /* what SentencePiece has as switches and tokenizer.json as steps */
    const char *charsmap; /* base64, or NULL */
    bool few_spaces, dummy_prefix;
} cutting;

static bool look_at(cutting *c, const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type")),
               *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
    const json_t *list =
        json_object_get(step, json_object_get(step, "normalizers") ? "normalizers" : "pretokenizers");
    bool known = true;

    if (!type)
        return json_is_null(step) || !step;
    if (strcmp(type, "Sequence") == 0) {
        for (size_t i = 0; i < json_array_size(list); i++)
            known = look_at(c, json_array_get(list, i)) && known;
        return known;
    }
    if (strcmp(type, "Precompiled") == 0)
        c->charsmap = json_string_value(json_object_get(step, "precompiled_charsmap"));
    else if (strcmp(type, "WhitespaceSplit") == 0)
        c->few_spaces = true;
    else if (strcmp(type, "Metaspace") == 0)
        c->dummy_prefix = (!scheme || strcmp(scheme, "never") != 0) &&
                          !json_is_false(json_object_get(step, "add_prefix_space"));
    else
        return false;
    return true;
}

static sg_status put_cutting(sg_gguf_out *o, const json_t *root, const char *where, sg_error *err)
{
    cutting c = {NULL, false, false};
    sg_buf map = {0};
    sg_status st = SG_OK;

    if (!look_at(&c, json_object_get(root, "normalizer")) ||
        !look_at(&c, json_object_get(root, "pre_tokenizer")))
        return sg_fail(
            err, SG_ERR_FORMAT,
            "%s: expected a tokenizer as SentencePiece has it (Precompiled, WhitespaceSplit, Metaspace)",
            where);
    sg_gguf_out_bool(o, TOKENS "add_space_prefix", c.dummy_prefix);
    sg_gguf_out_bool(o, TOKENS "remove_extra_whitespaces", c.few_spaces);
    if (c.charsmap && !sg_base64_decode(&map, text(c.charsmap)))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected base64 as precompiled_charsmap", where);
    else if (map.failed)
        st = sg_fail_memory(err, where);
    else if (c.charsmap)
        sg_gguf_out_u8s(o, TOKENS "precompiled_charsmap", (sg_bytes){map.data, map.size});
    sg_buf_free(&map);
    return st;
}

static sg_status put_tokenizer(sg_gguf_out *o, const sg_t5 *m, const char *path, sg_error *err)
{
    json_t *root = NULL, *part = NULL, *vocab = NULL;
    const char *type = NULL;
    int64_t unknown = -1;
    sg_status st = sg_json_read(&root, path, SG_GGUF_SOURCE_MOST, err);

    if (st || (st = sg_json_need_object(&part, root, "model", path, err)) ||
        (st = sg_json_need_string(&type, part, "type", path, err)))
        goto done;
    if (strcmp(type, "Unigram") != 0) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: 'model': expected a Unigram, found '%.60s'", path, type);
        goto done;
    }
    if ((st = sg_json_need_array(&vocab, part, "vocab", path, err)))
        goto done;
    if (json_is_integer(json_object_get(part, "unk_id")))
        unknown = json_integer_value(json_object_get(part, "unk_id"));
    sg_gguf_out_string(o, TOKENS "model", text("t5"));
    sg_gguf_out_string(o, TOKENS "pre", text("default"));
    if ((st = sg_gguf_put_tokens(o, m->tokenizer, m->config.vocab, json_object_get(root, "added_tokens"),
                                 unknown >= 0 && unknown < m->config.vocab ? (int)unknown : -1, err)) ||
        (st = put_scores(o, vocab, m->config.vocab, path, err)) || (st = put_cutting(o, root, path, err)))
        goto done;
    sg_gguf_out_u32(o, TOKENS "eos_token_id", (uint32_t)m->config.end);
    sg_gguf_out_u32(o, TOKENS "padding_token_id", (uint32_t)m->config.start);
    if (unknown >= 0)
        sg_gguf_out_u32(o, TOKENS "unknown_token_id", (uint32_t)unknown);
    sg_gguf_out_bool(o, TOKENS "add_bos_token", false);
    sg_gguf_out_bool(o, TOKENS "add_eos_token", true);
done:
    json_decref(root);
    return st;
}

static sg_status put_folder(sg_gguf_out *o, const sg_t5 *m, const char *model, sg_error *err)
{
    const sg_t5_config *c = &m->config;
    char *path = sg_path_join(model, "tokenizer.json");
    sg_status st;

    if (c->distance != DISTANCE || (c->gated && c->act != SG_GELU_TANH)) {
        sg_free(path);
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected what a .gguf file of a T5 can say: a distance of %d, gates by GELU",
                       model, DISTANCE);
    }
    sg_gguf_out_string(o, "general.architecture", text("t5"));
    sg_gguf_out_string(o, "general.name", text(sg_path_base(model)));
    put_sizes(o, c);
    st = path ? put_tokenizer(o, m, path, err) : sg_fail_memory(err, "path");
    sg_free(path);
    return st;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------------- */
/* The name in the file of a weight by its name in a folder. */
static void gguf_name(char out[96 + 8], const sg_t5_config *c, const char *name)
{
    static const char *const whole[][2] = {{"shared.weight", "token_embd.weight"},
                                           {"lm_head.weight", "output.weight"}};
    const bool decoder = strncmp(name, "decoder.", 8) == 0;
    int block = 0;

    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(name, whole[i][0]) == 0)
            snprintf(out, 96, "%s", whole[i][1]);
    if (strcmp(name, sg_t5_norm_name(false, decoder)) == 0)
        snprintf(out, 96, "%s", sg_t5_norm_name(true, decoder));
    if (sscanf(name + 8, "block.%d.", &block) != 1)
        return;
    for (int p = 0; p < SG_T5_PARTS; p++) {
        char folder[96];

        if (!sg_t5_has(c, decoder, block, (sg_t5_part)p))
            continue;
        sg_t5_name(folder, c, false, decoder, block, (sg_t5_part)p);
        if (strncmp(name, folder, strlen(folder)) != 0 || strcmp(name + strlen(folder), ".weight") != 0)
            continue;
        sg_t5_name(out, c, true, decoder, block, (sg_t5_part)p);
        strcat(out, ".weight");
    }
}

/* A table for both words and output that is not scaled has to be there twice: without an own output a reader scales. */
static bool needs_output(const sg_seq2seq *d)
{
    return d->output == d->words && !d->config.scaled;
}

sg_status sg_seq2seq_to_gguf(const sg_seq2seq *d, const sg_t5 *m, const char *model, const char *path,
                             int type, sg_error *err)
{
    const sg_gguf *from = sg_weights_gguf(m->weights);
    sg_gguf_out *o;
    sg_status st = sg_gguf_out_new(&o, err);

    if (st)
        return st;
    if (from)
        sg_gguf_put_file(o, from);
    else if ((st = put_folder(o, m, model, err)))
        goto done;
    sg_gguf_put_type(o, type);
    for (size_t i = 0; i < d->params.n; i++) {
        char name[96 + 8] = "";

        gguf_name(name, &m->config, d->params.list[i]->name);
        /* of biases by distance llama.cpp takes numbers, no blocks */
        sg_gguf_describe(o, name, d->params.list[i], strstr(name, "attn_rel_b") ? SG_GGUF_F32_TYPE : type);
    }
    if (needs_output(d))
        sg_gguf_describe(o, "output.weight", d->output, type);
    st = sg_gguf_out_begin(o, path, err);
    for (size_t i = 0; i < d->params.n && !st; i++)
        st = sg_gguf_put_numbers(o, d->params.list[i], NULL, NULL, err);
    if (needs_output(d) && !st)
        st = sg_gguf_put_numbers(o, d->output, NULL, NULL, err);
    if (!st)
        st = sg_gguf_out_commit(o, err);
done:
    sg_gguf_out_free(o);
    return st;
}
