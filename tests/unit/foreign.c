/* foreign.c - language models as others write them: what is read although it is odd, and what would make another model of it and is refused. */
#include "base/alloc.h"
#include "base/io.h"
#include "file/gguf_write.h"
#include "file/json.h"
#include "file/safetensors.h"
#include "lm/adapter.h"
#include "lm/bert.h"
#include "lm/llama.h"
#include "lm/sentence.h"
#include "lm/t5.h"
#include "text/template.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES TEST_SOURCE_DIR "/tests/parity/"

/* The tensors of a fixture, and one more of n zeros where `more` is no NULL. */
static void put_tensors(const char *from, const char *to, const char *more, uint64_t n)
{
    static const float zero[1024];
    sg_tensors *file;
    sg_error err;

    assert_int_equal(sg_tensors_open(&file, from, &err), SG_OK);
    const size_t count = sg_tensors_count(file);
    sg_tensor_desc *list = sg_alloc_zero(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const sg_file_tensor *t = sg_tensors_at(file, i);

        list[i] = (sg_tensor_desc){.name = t->name, .dtype = t->dtype, .rank = t->rank, .data = t->data};
        memcpy(list[i].dim, t->dim, sizeof t->dim);
    }
    list[count] = (sg_tensor_desc){more, SG_DT_F32, 1, {n}, zero};
    assert_int_equal(sg_tensors_write(to, list, count + (more != NULL), NULL, 0, &err), SG_OK);
    sg_free(list);
    sg_tensors_close(file);
}

/* A model's folder again, with a member of config.json (value NULL: without it) and a tensor more. */
static const char *make(const char *name, const char *key, json_t *value, const char *tensor, uint64_t n)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "modules.json",
                                        "1_Pooling", "sentence_bert_config.json"};
    const char *dir = in_folder("model");
    char from[300], to[300];
    json_t *config;
    sg_error err;

    if (sg_dir_exists(dir))
        assert_int_equal(sg_dir_remove(dir, &err), SG_OK);
    assert_int_equal(sg_dir_make(dir, &err), SG_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(from, sizeof from, FILES "%s/%s", name, names[i]);
        snprintf(to, sizeof to, "%s/%s", dir, names[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    snprintf(from, sizeof from, FILES "%s/config.json", name);
    snprintf(to, sizeof to, "%s/config.json", dir);
    assert_int_equal(sg_json_read(&config, from, 1 << 20, &err), SG_OK);
    if (key && value)
        json_object_set_new(config, key, value);
    else if (key)
        assert_int_equal(json_object_del(config, key), 0);
    assert_int_equal(sg_json_write(to, config, &err), SG_OK);
    json_decref(config);
    snprintf(from, sizeof from, FILES "%s/model.safetensors", name);
    snprintf(to, sizeof to, "%s/model.safetensors", dir);
    put_tensors(from, to, tensor, n);
    return dir;
}

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[300];
    sg_error err;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
    assert_int_equal(sg_file_write(path, text, strlen(text), &err), SG_OK);
}

static void opens(const char *dir)
{
    sg_llama *m;
    sg_error err;

    if (sg_llama_open(&m, dir, &err))
        fail_msg("%s", err.message);
    sg_llama_close(m);
}

static void says(const char *message, const char *found)
{
    if (!strstr(found, message))
        fail_msg("expected '%s' in '%s'", message, found);
}

static void refused(const char *dir, const char *message)
{
    sg_llama *m;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, dir, &err), SG_ERR_FORMAT);
    says(message, err.message);
}

/* int(1e30), which transformers writes for a tokenizer without an end, is more than 64 bits. */
static void numbers_of_any_size_are_read(void **state)
{
    (void)state;
    const char *dir = make("qwen3", NULL, NULL, NULL, 0);

    put_file(dir, "tokenizer_config.json",
             "{\"chat_template\": \"x\", \"model_max_length\": 1000000000000000019884624838656}");
    opens(dir);
    put_file(dir, "generation_config.json",
             "{\"eos_token_id\": [1], \"max_length\": 1000000000000000019884624838656}");
    opens(dir);
}

static int places(const char *dir)
{
    sg_llama *m;
    sg_error err;

    if (sg_llama_open(&m, dir, &err))
        fail_msg("%s", err.message);
    const int n = sg_llama_places(m);
    sg_llama_close(m);
    return n;
}

static void places_that_are_not_said_are_those_of_the_type(void **state)
{
    (void)state;
    sg_bert_config bert;
    json_t *config;
    sg_error err;

    assert_int_equal(places(make("llama", "max_position_embeddings", NULL, NULL, 0)), 2048);
    assert_int_equal(places(make("qwen2", "max_position_embeddings", NULL, NULL, 0)), 32768);
    assert_int_equal(places(make("qwen3", "max_position_embeddings", NULL, NULL, 0)), 32768);
    assert_int_equal(sg_json_read(&config, FILES "bert/config.json", 1 << 20, &err), SG_OK);
    json_object_del(config, "max_position_embeddings");
    assert_int_equal(sg_bert_config_read(&bert, config, "x", &err), SG_OK);
    assert_int_equal(bert.places, 512);
    json_decref(config);
}

static void a_bert_that_reads_one_way_is_refused(void **state)
{
    (void)state;
    sg_sentence *s;
    sg_error err;

    assert_int_equal(sg_sentence_open(&s, make("bert", "is_decoder", json_true(), NULL, 0), &err),
                     SG_ERR_FORMAT);
    says("config.json: 'is_decoder': expected false, an encoder in which all tokens see each other, found "
         "true",
         err.message);
}

static void weights_that_would_be_left_out_are_named(void **state)
{
    (void)state;
    static const char end[] =
        "': expected no such weight in a model of this kind and size, which would leave it out";
    static const struct {
        const char *model, *tensor;
        uint64_t n;
    } rows[] = {{"qwen3", "model.layers.0.self_attn.q_proj.bias", 64},
                {"llama", "model.layers.1.self_attn.o_proj.bias", 32},
                {"qwen2", "model.layers.0.mlp.down_proj.weight_scale", 1},
                {"llama", "model.layers.2.input_layernorm.weight", 32},
                {"llama", "lm_head.bias", 40}};
    char want[200];
    sg_sentence *s;
    sg_t5 *t5;
    sg_error err;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(want, sizeof want, "tensor '%s%s", rows[i].tensor, end);
        refused(make(rows[i].model, NULL, NULL, rows[i].tensor, rows[i].n), want);
    }
    opens(make("llama", NULL, NULL, "model.layers.0.self_attn.rotary_emb.inv_freq",
               8)); /* follows from the config */
    assert_int_equal(
        sg_sentence_open(&s, make("bert", NULL, NULL, "encoder.layer.0.crossattention.self.query.bias", 32),
                         &err),
        SG_ERR_FORMAT);
    says("tensor 'encoder.layer.0.crossattention.self.query.bias': expected no such weight", err.message);
    assert_int_equal(sg_sentence_open(&s, make("bert", NULL, NULL, "pooler.dense.extra", 32), &err), SG_OK);
    sg_sentence_close(s);
    assert_int_equal(
        sg_t5_open(&t5, make("t5", NULL, NULL, "decoder.block.1.layer.0.SelfAttention.q.bias", 8), &err),
        SG_ERR_FORMAT);
    says("tensor 'decoder.block.1.layer.0.SelfAttention.q.bias': expected no such weight", err.message);
    assert_int_equal(
        sg_t5_open(&t5,
                   make("t5", NULL, NULL,
                        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", 8),
                   &err),
        SG_OK);
    sg_t5_close(t5);
}

/* A copy of tests/parity/llama.gguf with a tensor more. */
static void biases_in_a_gguf_file_are_not_passed_over(void **state)
{
    (void)state;
    const char *path = in_folder("m.gguf");
    static float x[1 << 16];
    sg_gguf_out *o;
    sg_gguf *file;
    sg_error err;

    assert_int_equal(sg_gguf_open(&file, FILES "llama.gguf", &err), SG_OK);
    assert_int_equal(sg_gguf_out_new(&o, &err), SG_OK);
    for (size_t i = 0; i < sg_gguf_values(file); i++)
        sg_gguf_out_copy(o, sg_gguf_value_at(file, i));
    for (size_t i = 0; i < sg_gguf_count(file); i++)
        sg_gguf_out_tensor(o, sg_gguf_at(file, i)->name, SG_GGUF_F32_TYPE, sg_gguf_at(file, i)->rank,
                           sg_gguf_at(file, i)->dim);
    sg_gguf_out_tensor(o, "blk.0.attn_q.bias", SG_GGUF_F32_TYPE, 1, (uint64_t[]){32});
    assert_int_equal(sg_gguf_out_begin(o, path, &err), SG_OK);
    for (size_t i = 0; i < sg_gguf_count(file); i++) {
        const sg_gguf_tensor *t = sg_gguf_at(file, i);

        assert_true(t->count <= sizeof x / sizeof *x);
        assert_int_equal(sg_gguf_decode(x, file, t, 0, t->count, &err), SG_OK);
        assert_int_equal(sg_gguf_out_put(o, x, t->count, &err), SG_OK);
    }
    assert_int_equal(sg_gguf_out_put(o, x, 32, &err), SG_OK);
    assert_int_equal(sg_gguf_out_commit(o, &err), SG_OK);
    sg_gguf_out_free(o);
    sg_gguf_close(file);
    refused(path, "tensor 'blk.0.attn_q.bias': expected no such weight");
}

/* What PEFT takes out of the model's weights when it loads an adapter is in no file. */
static void adapters_that_change_the_model_are_refused(void **state)
{
    (void)state;
    static const char *const changes[] = {"pissa", "pissa_niter_16", "olora",  "OLoRA",
                                          "corda", "loftq",          "lora_ga"},
                             *const leaves[] = {"gaussian", "eva", "orthogonal"};
    const char *dir = in_folder("adapter");
    char path[300];
    json_t *config;
    sg_adapter *a;
    sg_llama *m;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, FILES "llama", &err), SG_OK);
    const sg_adapter_host host = sg_llama_host(m);
    assert_int_equal(sg_dir_make(dir, &err), SG_OK);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    assert_int_equal(symlink(FILES "lora/adapter_model.safetensors", path), 0);
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    assert_int_equal(sg_json_read(&config, FILES "lora/adapter_config.json", 1 << 20, &err), SG_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char want[100];

        json_object_set_new(config, "init_lora_weights", json_string(changes[i]));
        assert_int_equal(sg_json_write(path, config, &err), SG_OK);
        assert_int_equal(sg_adapter_open(&a, dir, &host, &err), SG_ERR_FORMAT);
        snprintf(want, sizeof want,
                 "adapter_config.json: 'init_lora_weights': %s changes the model's own weights", changes[i]);
        says(want, err.message);
    }
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        json_object_set_new(config, "init_lora_weights", json_string(leaves[i]));
        assert_int_equal(sg_json_write(path, config, &err), SG_OK);
        assert_int_equal(sg_adapter_open(&a, dir, &host, &err), SG_OK);
        sg_adapter_free(a);
    }
    json_object_set_new(config, "kasa_config", json_pack("{s:i}", "beta", 1));
    assert_int_equal(sg_json_write(path, config, &err), SG_OK);
    assert_int_equal(sg_adapter_open(&a, dir, &host, &err), SG_ERR_FORMAT);
    says("'kasa_config': expected nothing", err.message);
    json_decref(config);
    sg_llama_close(m);
}

static void an_empty_template_is_wrong_in_its_first_line(void **state)
{
    (void)state;
    sg_template *t;
    sg_error err;

    assert_int_equal(sg_template_parse(&t, (sg_bytes){"", 0}, "tt.txt", &err), SG_ERR_FORMAT);
    assert_memory_equal(err.message, "tt.txt:1: ", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_any_size_are_read),
        cmocka_unit_test(places_that_are_not_said_are_those_of_the_type),
        cmocka_unit_test(a_bert_that_reads_one_way_is_refused),
        cmocka_unit_test(weights_that_would_be_left_out_are_named),
        cmocka_unit_test(biases_in_a_gguf_file_are_not_passed_over),
        cmocka_unit_test(adapters_that_change_the_model_are_refused),
        cmocka_unit_test(an_empty_template_is_wrong_in_its_first_line),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
