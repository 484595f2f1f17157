/* model_files.c - folders of language models that are not what they should be: every error names the file, what was expected and
 * what was found. */
#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/bert.h"
#include "lm/llama.h"
#include "lm/sentence.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* owned by the caller */
static char *scratch_path(const char *name)
{
    return sg_path_join(folder, name);
}

#define CONFIG                                                                                               \
    "{\"model_type\": \"bert\", \"hidden_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, " \
    "\"intermediate_size\": 40, "                                                                            \
    "\"vocab_size\": 15, \"max_position_embeddings\": 16, \"type_vocab_size\": 2"

static void config_says(const char *text, const char *message)
{
    json_t *root;
    sg_bert_config c;
    sg_error err;

    assert_int_equal(sg_json_parse(&root, (sg_bytes){text, strlen(text)}, "c", &err), SG_OK);
    if (message) {
        assert_int_equal(sg_bert_config_read(&c, root, "c", &err), SG_ERR_FORMAT);
        assert_string_equal(err.message, message);
    } else {
        assert_int_equal(sg_bert_config_read(&c, root, "c", &err), SG_OK);
    }
    json_decref(root);
}

static void configs(void **state)
{
    (void)state;
    config_says(CONFIG "}", NULL);
    config_says("{}", "c: 'model_type': expected a string, found nothing");
    config_says("[]", "c: 'model_type': expected a string, found nothing");
    config_says(CONFIG ", \"hidden_act\": \"swish2\"}",
                "c: 'hidden_act': expected gelu, gelu_new, relu or silu, found \"swish2\"");
    config_says(CONFIG ", \"hidden_act\": 3}",
                "c: 'hidden_act': expected gelu, gelu_new, relu or silu, found 3");
    config_says(CONFIG ", \"layer_norm_eps\": -1}",
                "c: 'layer_norm_eps': expected a number from 0 to 1, found -1");
    config_says(CONFIG ", \"position_embedding_type\": \"relative_key\"}",
                "c: 'position_embedding_type': expected absolute, found \"relative_key\"");
    config_says("{\"model_type\": \"bert\", \"hidden_size\": 25, \"num_hidden_layers\": 2, "
                "\"num_attention_heads\": 3, "
                "\"intermediate_size\": 40, \"vocab_size\": 15, \"max_position_embeddings\": 16, "
                "\"type_vocab_size\": 2}",
                "c: 'hidden_size': expected a multiple of 3 heads, found 25");
    config_says("{\"model_type\": \"roberta\", \"hidden_size\": 24, \"num_hidden_layers\": 2, "
                "\"num_attention_heads\": 3, "
                "\"intermediate_size\": 40, \"vocab_size\": 15, \"max_position_embeddings\": 2, "
                "\"type_vocab_size\": 2, \"pad_token_id\": 1}",
                "c: 'max_position_embeddings': expected more than 2, found 2");
}

#define DECODER                                                                                              \
    "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": "   \
    "4, "                                                                                                    \
    "\"intermediate_size\": 64, \"vocab_size\": 40, \"max_position_embeddings\": 64"

static void decoder_says(const char *text, const char *message)
{
    json_t *root;
    sg_llama_config c;
    sg_error err;

    assert_int_equal(sg_json_parse(&root, (sg_bytes){text, strlen(text)}, "c", &err), SG_OK);
    if (sg_llama_config_read(&c, root, "c", &err) == SG_OK)
        assert_null(message);
    else
        assert_string_equal(err.message, message ? message : "");
    json_decref(root);
}

static void decoder_configs(void **state)
{
    (void)state;
    decoder_says(DECODER "}", NULL);
    decoder_says(DECODER ", \"rope_scaling\": null, \"num_key_value_heads\": null, \"head_dim\": null}",
                 NULL);
    decoder_says(DECODER ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}", NULL);
    decoder_says("{\"model_type\": \"gpt2\"}",
                 "c: 'model_type': expected llama, qwen2 or qwen3, found 'gpt2'");
    decoder_says(DECODER ", \"num_key_value_heads\": 3}",
                 "c: expected heads that share keys and values evenly, found 4 heads for 3");
    decoder_says(DECODER ", \"head_dim\": 5}", "c: expected heads of an even width, found 5");
    decoder_says(DECODER ", \"hidden_act\": \"gelu\"}", "c: 'hidden_act': expected silu, found 'gelu'");
    decoder_says(DECODER ", \"mlp_bias\": true}", "c: 'mlp_bias': true is not supported");
    decoder_says(DECODER ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}}",
                 "c: 'rope_scaling': expected the type default, linear or llama3, found \"yarn\"");
    decoder_says(DECODER ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}",
                 "c: 'rope_scaling': expected factor >= 1 and 0 < low_freq_factor < high_freq_factor");
    decoder_says(DECODER
                 ", \"eos_token_id\": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 99, 0, null]}",
                 NULL);
    decoder_says(DECODER ", \"eos_token_id\": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]}",
                 "c: 'eos_token_id': expected at most 16 tokens");
    decoder_says(DECODER ", \"rope_theta\": 0}", "c: expected a base of rotation from 1 to 1e12, found 0");
}

/* A copy of the small encoder of tests/parity with one file changed (NULL: removed) does not open, for this reason. */
static void folder_says(const char *file, const char *text, const char *message)
{
    static const char *const files[] = {"config.json",
                                        "tokenizer.json",
                                        "model.safetensors",
                                        "modules.json",
                                        "1_Pooling/config.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json"};
    char *dir = scratch_path("model"), to[400], from[400];
    sg_sentence *s;
    sg_error err;

    assert_int_equal(sg_dir_remove(dir, &err), SG_OK);
    snprintf(to, sizeof to, "%s/1_Pooling", dir);
    assert_int_equal(sg_dir_make(to, &err), SG_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        sg_buf b = {0};

        snprintf(to, sizeof to, "%s/%s", dir, files[i]);
        snprintf(from, sizeof from, TEST_SOURCE_DIR "/tests/parity/bert/%s", files[i]);
        if (strcmp(file, files[i]) != 0) {
            if (!sg_file_exists(from))
                continue;
            assert_int_equal(sg_file_read(&b, from, 1 << 20, &err), SG_OK);
            assert_int_equal(sg_file_write(to, b.data, b.size, &err), SG_OK);
        } else if (text) {
            assert_int_equal(sg_file_write(to, text, strlen(text), &err), SG_OK);
        }
        sg_buf_free(&b);
    }
    if (!message) {
        assert_int_equal(sg_sentence_open(&s, dir, &err), SG_OK);
        sg_sentence_close(s);
    } else {
        assert_int_not_equal(sg_sentence_open(&s, dir, &err), SG_OK);
        assert_null(s);
        if (!strstr(err.message, message))
            fail_msg("expected '%s', found '%s'", message, err.message);
    }
    sg_free(dir);
}

#define MODULE(type, path) "{\"type\": \"sentence_transformers.models." type "\", \"path\": \"" path "\"}"

static void folders(void **state)
{
    (void)state;
    const int64_t live = sg_alloc_live();

    folder_says("-", NULL, NULL);
    folder_says("modules.json", NULL, NULL); /* the mean, then */
    folder_says("sentence_bert_config.json", NULL, NULL);
    folder_says("config_sentence_transformers.json",
                "{\"prompts\": {\"a\": \"b\"}, \"default_prompt_name\": null}", NULL);
    folder_says(
        "config_sentence_transformers.json", "{\"prompts\": null, \"default_prompt_name\": \"a\"}",
        "config_sentence_transformers.json: 'default_prompt_name': expected one of 'prompts', found 'a'");
    folder_says("config_sentence_transformers.json", "{\"prompts\": [1]}",
                "config_sentence_transformers.json: 'prompts': expected an object, found an array");
    folder_says("config_sentence_transformers.json", "{\"prompts\": {\"q\": 1}}",
                "config_sentence_transformers.json: prompt 'q': expected a string, found 1");
    folder_says("config.json", NULL, "config.json: cannot open");
    folder_says("tokenizer.json", NULL, "expected tokenizer.json, vocab.json with merges.txt");
    folder_says("model.safetensors", NULL,
                "expected a file model.safetensors or model.safetensors.index.json");
    folder_says("config.json", CONFIG ", \"x\": 1", "config.json:1:");
    folder_says("config.json",
                "{\"model_type\": \"bert\", \"hidden_size\": 24, \"num_hidden_layers\": 3, "
                "\"num_attention_heads\": 3, \"intermediate_size\": 40,"
                "\"vocab_size\": 15, \"max_position_embeddings\": 16, \"type_vocab_size\": 2}",
                "expected a tensor 'encoder.layer.2.attention.self.query.weight', found none");
    folder_says("config.json",
                "{\"model_type\": \"bert\", \"hidden_size\": 24, \"num_hidden_layers\": 2, "
                "\"num_attention_heads\": 3, \"intermediate_size\": 48,"
                "\"vocab_size\": 15, \"max_position_embeddings\": 16, \"type_vocab_size\": 2}",
                "tensor 'encoder.layer.0.intermediate.dense.weight': expected (48, 24), found (40, 24)");
    folder_says("modules.json", "{}", "modules.json: expected an array, found an object");
    folder_says("modules.json", "[" MODULE("Transformer", "") "]",
                "modules.json: expected a module Pooling, found none");
    folder_says("modules.json", "[" MODULE("Transformer", "") ", " MODULE("CNN", "1_CNN") "]",
                "a module 'sentence_transformers.models.CNN'");
    folder_says("modules.json", "[" MODULE("Transformer", "") ", " MODULE("Pooling", "../1_Pooling") "]",
                "expected a folder inside this one");
    folder_says("modules.json", "[" MODULE("Transformer", "0_Transformer") "]",
                "expected the encoder in the folder itself");
    folder_says("modules.json", "[3]", "'type': expected a string, found nothing");
    folder_says("1_Pooling/config.json", "[]", "config.json: expected an object, found an array");
    folder_says("1_Pooling/config.json", "{\"pooling_mode\": \"average\"}",
                "expected a pooling mode that is known here");
    folder_says("1_Pooling/config.json", "{\"pooling_mode\": \"mean\"}", NULL);
    folder_says("sentence_bert_config.json", "{\"max_seq_length\": 0}",
                "'max_seq_length': expected an integer from 1");
    assert_int_equal(sg_alloc_live(), live);
}

/* model.safetensors.index.json names files: only those beside it are read. */
static void sharded(void **state)
{
    (void)state;
    char *dir = scratch_path("shards"), path[400];
    const float one[2] = {1, 2}, two[3] = {3, 4, 5};
    static const char *const bad[][2] = {
        {"{\"weight_map\": {\"a\": \"../one.safetensors\"}}",
         "tensor 'a': expected the name of a file in the same folder"},
        {"{\"weight_map\": {\"a\": 3}}", "tensor 'a': expected the name of a file in the same folder"},
        {"{\"weight_map\": {\"a\": \"three.safetensors\"}}", "three.safetensors: cannot open"},
        {"{}", "'weight_map': expected an object, found nothing"},
    };
    sg_params ps = {.bare = true};
    sg_weights *w;
    sg_error err;

    assert_int_equal(sg_dir_make(dir, &err), SG_OK);
    snprintf(path, sizeof path, "%s/one.safetensors", dir);
    assert_int_equal(sg_tensors_write(path, &(sg_tensor_desc){"a", SG_DT_F32, 1, {2}, one}, 1, NULL, 0, &err),
                     SG_OK);
    snprintf(path, sizeof path, "%s/two.safetensors", dir);
    assert_int_equal(sg_tensors_write(path, &(sg_tensor_desc){"b", SG_DT_F32, 1, {3}, two}, 1, NULL, 0, &err),
                     SG_OK);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sg_file_write(path, bad[i][0], strlen(bad[i][0]), &err), SG_OK);
        assert_int_not_equal(sg_weights_open(&w, dir, &err), SG_OK);
        if (!strstr(err.message, bad[i][1]))
            fail_msg("expected '%s', found '%s'", bad[i][1], err.message);
    }
    static const char good[] =
        "{\"metadata\": {}, \"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}";
    assert_int_equal(sg_file_write(path, good, strlen(good), &err), SG_OK);
    assert_int_equal(sg_weights_open(&w, dir, &err), SG_OK);
    sg_param *b = sg_param_add(&ps, 0, SG_INIT_ZERO, 0, 0, 3, 0, "b"),
             *a = sg_param_add(&ps, 0, SG_INIT_ZERO, 0, 0, 3, 0, "a");
    assert_int_equal(sg_weights_load(w, b, "b", &err), SG_OK);
    assert_memory_equal(b->value, two, sizeof two);
    assert_int_equal(sg_weights_load(w, a, "a", &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "tensor 'a': expected (3), found (2)"));
    sg_params_free(&ps);
    sg_weights_close(w);
    sg_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs),
        cmocka_unit_test(decoder_configs),
        cmocka_unit_test(folders),
        cmocka_unit_test(sharded),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
