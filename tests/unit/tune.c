/* tune.c - tuning a small decoder: the loss falls; the same bytes on 1 and 2 threads and after a stop; what is frozen stays; saved and
 * read again an adapter is itself; files of adapters that are wrong. */
#include "base/alloc.h"
#include "base/io.h"
#include "lm/adapter.h"
#include "lm/llm.h"
#include "lm/merge.h"
#include "lm/tune.h"
#include "tuned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL TEST_SOURCE_DIR "/tests/parity/llama"

static int setup(void **state)
{
    sg_buf text = {0};
    sg_error err;

    if (folder_make(state))
        return -1;
    for (int i = 0; i < 40; i++)
        sg_buf_printf(&text, "{\"prompt\": \"%.*s\", \"completion\": \" the cat\"}\n", i % 9 + 1,
                      "abcdefghij");
    snprintf(data, sizeof data, "%s/data.jsonl", folder);
    const sg_status st = sg_file_write(data, text.data, text.size, &err);
    sg_buf_free(&text);
    return st != SG_OK;
}

static void configure(sg_tune_config *c, const char *method)
{
    sg_error err;

    sg_options_init(c, sg_tune_options, sg_n_tune_options);
    assert_int_equal(sg_options_set(c, sg_tune_options, sg_n_tune_options, "method", method, &err), SG_OK);
    assert_int_equal(sg_options_set(c, sg_tune_options, sg_n_tune_options, "precision", "f32", &err), SG_OK);
    c->rank = 4;
    c->soft = 5;
    c->last = 1;
    c->tokens = 100;
    c->lr = 0.01;
    c->epochs = 4;
    c->valid = 0.1;
    c->dropout = 0.1;
    c->checkpoint_every = 1;
}

static void every_method_learns_the_same_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *model, *method, *targets;
    } cases[] = {{"llama", "lora", "all"},       {"llama", "prompt", "all"},     {"llama", "last", "all"},
                 {"llama", "full", "all"},       {"t5", "lora", "all"},          {"t5v11", "full", "all"},
                 {"llama", "bottleneck", "all"}, {"t5v11", "bottleneck", "all"}, {"qwen2", "lora", "lm_head"},
                 {"t5v11", "lora", "q,lm_head"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bool adapter = strcmp(cases[i].method, "full") != 0 && strcmp(cases[i].method, "last") != 0;
        const char *file = adapter ? "adapter_model.safetensors" : "model.safetensors";
        char one[100], two[100], three[100], checkpoint[300], a[200], b[200], model[300];
        sg_tune_config c;
        json_t *report = NULL;
        sg_error err;

        configure(&c, cases[i].method);
        snprintf(c.targets, sizeof c.targets, "%s", cases[i].targets);
        snprintf(model, sizeof model, TEST_SOURCE_DIR "/tests/parity/%s", cases[i].model);
        snprintf(one, sizeof one, "%s%s-1", i < 4 ? "" : cases[i].model, cases[i].method);
        snprintf(two, sizeof two, "%s%s-2", i < 4 ? "" : cases[i].model, cases[i].method);
        snprintf(three, sizeof three, "%s%s-3", i < 4 ? "" : cases[i].model, cases[i].method);
        if (tune(model, one, &c, 1, 0, false, &report, &err))
            fail_msg("%s: %s", one, err.message);
        assert_true(json_number_value(json_object_get(report, "loss_valid")) <
                    0.8 * json_number_value(json_object_get(report, "loss_valid_before")));
        json_decref(report);
        assert_int_equal(tune(model, two, &c, 2, 0, false, &report, &err), SG_OK);
        json_decref(report);
        snprintf(a, sizeof a, "%s/%s", one, file);
        snprintf(b, sizeof b, "%s/%s", two, file);
        check_same(a, b);

        /* stopped in the middle of the second epoch, once before a checkpoint of its own was due */
        assert_int_equal(tune(model, three, &c, 1, 6, false, &report, &err), SG_ERR_CANCEL);
        assert_int_equal(tune(model, three, &c, 1, 0, false, &report, &err), SG_ERR_USAGE);
        assert_non_null(strstr(err.message, "holds an unfinished run"));
        c.lr = 0.02;
        assert_int_equal(tune(model, three, &c, 1, 0, true, &report, &err), SG_ERR_USAGE);
        assert_non_null(strstr(
            err.message, "cannot resume with other options: checkpoint has lr=0.01, now asked lr=0.02"));
        c.lr = 0.01;
        assert_int_equal(tune(model, three, &c, 1, 0, true, &report, &err), SG_OK);
        json_decref(report);
        snprintf(b, sizeof b, "%s/%s", three, file);
        check_same(a, b);
        snprintf(b, sizeof b, "%s/checkpoint", three);
        assert_false(sg_dir_exists(in_dir(b, checkpoint)));
    }
}

static int stop_at(void *user, const sg_progress_event *e)
{
    int *events = user;

    (void)e;
    return --*events == 0;
}

/* Stopped at any word or tick that the run gives, between a step and the validation that is due and inside that too, and gone on with. */
static void a_run_stopped_anywhere_is_the_same(void **state)
{
    (void)state;
    int kept = 0, at = 1;
    sg_tune_config c;
    json_t *report = NULL;
    sg_error err;

    configure(&c, "lora");
    c.epochs = 2;
    c.valid = 0.2;
    c.tokens = 60;
    c.valid_every = 0.3;
    assert_int_equal(tune(MODEL, "whole", &c, 1, 0, false, &report, &err), SG_OK);
    json_decref(report);
    for (;; at++) {
        char out[300], path[300];
        int events = at;
        const sg_tune_job job = {MODEL, data, in_dir("parts", out), at > 1};
        const sg_progress progress = {stop_at, &events};
        const sg_status st = sg_tune(&job, &c, NULL, &progress, &report, &err);

        if (!st)
            break;
        assert_int_equal(st, SG_ERR_CANCEL);
        kept += sg_file_exists(in_dir("parts/checkpoint/state.safetensors", path));
        assert_int_equal(tune(MODEL, "parts", &c, 1, 0, true, &report, &err), SG_OK);
        json_decref(report);
        check_same("whole/adapter_model.safetensors", "parts/adapter_model.safetensors");
        check_same("whole/training.jsonl", "parts/training.jsonl");
    }
    json_decref(report);
    check_same("whole/training.jsonl", "parts/training.jsonl");
    assert_true(at > 20 &&
                kept == at - 2); /* all but a stop before the first validation, and the run that ended */
}

/* A model of the same sizes is another one. */
static void a_run_goes_on_with_its_own_model_only(void **state)
{
    (void)state;
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "model.safetensors"};
    char model[300], path[400], from[400];
    sg_tune_config c;
    json_t *report = NULL;
    sg_error err;

    configure(&c, "lora");
    assert_int_equal(sg_dir_make(in_dir("twin", model), &err), SG_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        sg_buf file = {0};

        snprintf(from, sizeof from, MODEL "/%s", files[i]);
        snprintf(path, sizeof path, "%s/%s", model, files[i]);
        if (sg_file_exists(from)) {
            assert_int_equal(sg_file_read(&file, from, 1 << 24, &err), SG_OK);
            assert_int_equal(sg_file_write(path, file.data, file.size, &err), SG_OK);
        }
        sg_buf_free(&file);
    }
    assert_int_equal(tune(model, "own", &c, 1, 3, false, &report, &err), SG_ERR_CANCEL);
    sg_buf file = {0};
    assert_int_equal(sg_file_read(&file, path, 1 << 24, &err), SG_OK);
    file.data[file.size - 2] ^= 1; /* of a weight */
    assert_int_equal(sg_file_write(path, file.data, file.size, &err), SG_OK);
    assert_int_equal(tune(model, "own", &c, 1, 0, true, &report, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "cannot resume with other options: checkpoint has model="));
    file.data[file.size - 2] ^= 1;
    assert_int_equal(sg_file_write(path, file.data, file.size, &err), SG_OK);
    sg_buf_free(&file);
    assert_int_equal(tune(model, "own", &c, 1, 0, true, &report, &err), SG_OK);
    json_decref(report);
}

/* Layers with ranks of their own: the files say so as PEFT does, and come back as they were. */
static void layers_have_ranks_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *layers;
        int rank[2]; /* of the parts of layers 0 and 1; 0: none */
        const char *config;
    } cases[] = {{"all", {4, 4}, "\"rank_pattern\": {}"},
                 {"1", {0, 4}, "\"layers_to_transform\": [1], \"layers_pattern\": \"layers\""},
                 {"1:2,0",
                  {4, 2},
                  "\"rank_pattern\": {\"model.layers.1.self_attn.q_proj\": 2, "
                  "\"model.layers.1.self_attn.v_proj\": 2}"},
                 {"0-1:3", {3, 3}, "\"model.layers.0.self_attn.q_proj\": 3"}};
    char path[300];
    sg_llama *m;
    sg_decoder *d;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, MODEL, &err), SG_OK);
    assert_int_equal(sg_decoder_new(&d, m, &(sg_decoder_spec){.learn_from = 2}, NULL, &err), SG_OK);
    const sg_adapter_host host = sg_llama_host(m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_adapter_config c = {.kind = SG_ADAPTER_LORA, .rank = 4, .alpha = 8, .base = "x"};
        sg_adapter *a, *again;
        json_t *config;
        char *text;

        assert_int_equal(sg_adapter_targets(&c, "v_proj,q_proj", &host, &err), SG_OK);
        assert_int_equal(sg_adapter_layers(&c, cases[i].layers, &host, &err), SG_OK);
        assert_int_equal(sg_adapter_new(&a, &c, &host, NULL, 1, &err), SG_OK);
        assert_int_equal(sg_adapter_save(a, in_dir("ranks", path), &err), SG_OK);
        assert_int_equal(sg_adapter_open(&again, path, &host, &err), SG_OK);
        for (int p = 0; p < host.n_places - 1; p++) {
            const int part = p % SG_PARTS,
                      rank = part == SG_PART_Q || part == SG_PART_V ? cases[i].rank[p / SG_PARTS] : 0;

            assert_int_equal(a->low[p].a ? a->low[p].a->dim[0] : 0, rank);
            assert_int_equal(again->low[p].a ? again->low[p].a->dim[0] : 0, rank);
            assert_true(!rank ||
                        (a->low[p].scale == 8.f / (float)rank && again->low[p].scale == a->low[p].scale));
        }
        config = json_load_file(in_dir("ranks/adapter_config.json", path), 0, NULL);
        text = json_dumps(config, 0);
        if (!text || !strstr(text, cases[i].config))
            fail_msg("expected %s in %s", cases[i].config, text);
        free(text);
        json_decref(config);
        sg_adapter_free(a);
        sg_adapter_free(again);
    }
    sg_decoder_free(d);
    sg_llama_close(m);
}

static void last_layers_leave_the_first_alone(void **state)
{
    (void)state;
    char path[300];
    sg_tensors *was, *is;
    sg_error err;

    assert_int_equal(sg_tensors_open(&was, MODEL "/model.safetensors", &err), SG_OK);
    assert_int_equal(sg_tensors_open(&is, in_dir("last-1/model.safetensors", path), &err), SG_OK);
    assert_int_equal(sg_tensors_count(was), sg_tensors_count(is));
    for (size_t i = 0; i < sg_tensors_count(was); i++) {
        const sg_file_tensor *a = sg_tensors_at(was, i), *b = sg_tensors_find(is, a->name);
        const bool learned =
            strncmp(a->name, "model.layers.1.", 15) == 0 || strcmp(a->name, "model.norm.weight") == 0;

        assert_true(b && a->bytes == b->bytes && (memcmp(a->data, b->data, a->bytes) != 0) == learned);
    }
    sg_tensors_close(was);
    sg_tensors_close(is);
}

static void an_adapter_written_again_is_itself(void **state)
{
    (void)state;
    static const char *const adapters[] = {"lora", "prompt", "bottleneck", "llamahead"};
    char path[300];
    sg_llama *m;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, MODEL, &err), SG_OK);
    for (int i = 0; i < 4; i++) {
        sg_adapter *a, *b;
        char from[300];

        snprintf(from, sizeof from, TEST_SOURCE_DIR "/tests/parity/%s", adapters[i]);
        assert_int_equal(sg_adapter_open(&a, from, (sg_adapter_host[]){sg_llama_host(m)}, &err), SG_OK);
        assert_int_equal(sg_adapter_save(a, in_dir("again", path), &err), SG_OK);
        assert_int_equal(sg_adapter_open(&b, path, (sg_adapter_host[]){sg_llama_host(m)}, &err), SG_OK);
        assert_int_equal(a->params.n, b->params.n);
        assert_int_equal(a->config.targets, b->config.targets);
        assert_int_equal(a->config.rank, b->config.rank);
        assert_true(a->config.alpha == b->config.alpha && a->config.tokens == b->config.tokens);
        for (size_t k = 0; k < a->params.n; k++)
            assert_memory_equal(a->params.list[k]->value, b->params.list[k]->value,
                                a->params.list[k]->count * sizeof(float));
        sg_adapter_free(a);
        sg_adapter_free(b);
    }
    sg_llama_close(m);
}

static void wrong_adapters_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *config, *tensor, *message;
    } cases[] = {
        {"{\"peft_type\": \"IA3\"}", "x",
         "adapter_config.json: 'peft_type': expected LORA, PROMPT_TUNING, TRAINABLE_TOKENS or BOTTLENECK, "
         "found 'IA3'"},
        {"{\"peft_type\": \"LORA\", \"r\": 0, \"lora_alpha\": 1}", "x",
         "adapter_config.json: 'r': expected an integer from 1 to 4096, found 0"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1, \"use_dora\": true}", "x",
         "adapter_config.json: 'use_dora': expected nothing, found true"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1}",
         "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
         "adapter_model.safetensors: tensor "
         "'base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight': expected low-rank parts of a "
         "model of 2 layers"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1}",
         "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight",
         "adapter_model.safetensors: tensor "
         "'base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight': expected (2, 32), found (1, 1)"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1}", "base_model.model.lm_head.lora_A.weight",
         "adapter_model.safetensors: tensor 'base_model.model.lm_head.lora_A.weight': expected (2, 32), "
         "found (1, 1)"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1}",
         "base_model.model.lm_head.base_layer.weight",
         "adapter_model.safetensors: tensor 'base_model.model.lm_head.base_layer.weight': expected (40, 32) "
         "like the model's own, or more rows"},
        {"{\"peft_type\": \"BOTTLENECK\", \"r\": 2, \"non_linearity\": \"swish\"}", "x",
         "adapter_config.json: 'non_linearity': expected gelu, relu, silu, gelu_new or tanh, found 'swish'"},
        {"{\"peft_type\": \"BOTTLENECK\", \"r\": 2, \"non_linearity\": \"gelu\"}",
         "base_model.model.model.layers.1.self_attn.q_proj.adapter_up.weight",
         "adapter_model.safetensors: tensor "
         "'base_model.model.model.layers.1.self_attn.q_proj.adapter_up.weight': expected layers behind "
         "attention "
         "and feed-forward of a model of 2 layers"},
        {"{\"peft_type\": \"PROMPT_TUNING\", \"num_virtual_tokens\": 3, \"token_dim\": 16}", "x",
         "adapter_config.json: 'token_dim': expected an integer from 32 to 32, found 16"},
        {"{\"peft_type\": \"PROMPT_TUNING\", \"num_virtual_tokens\": 3, \"token_dim\": 32}",
         "prompt_embeddings",
         "adapter_model.safetensors: tensor 'prompt_embeddings': expected (3, 32), found (1, 1)"},
    };
    char path[300], wrong[300];
    const float one = 1;
    sg_llama *m;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, MODEL, &err), SG_OK);
    assert_int_equal(sg_dir_make(in_dir("wrong", wrong), &err), SG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_adapter *a;

        assert_int_equal(sg_file_write(in_dir("wrong/adapter_config.json", path), cases[i].config,
                                       strlen(cases[i].config), &err),
                         SG_OK);
        assert_int_equal(sg_tensors_write(in_dir("wrong/adapter_model.safetensors", path),
                                          &(sg_tensor_desc){cases[i].tensor, SG_DT_F32, 2, {1, 1}, &one}, 1,
                                          NULL, 0, &err),
                         SG_OK);
        assert_int_equal(sg_adapter_open(&a, wrong, (sg_adapter_host[]){sg_llama_host(m)}, &err),
                         SG_ERR_FORMAT);
        assert_string_equal(err.message + strlen(wrong) + 1, cases[i].message);
        assert_null(a);
    }
    sg_llama_close(m);
}

/* PEFT saves an output matrix beside its parts; another model's is no base for them. */
static void parts_of_another_output_matrix_are_refused(void **state)
{
    (void)state;
    sg_adapter *a;
    sg_llama *m;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, TEST_SOURCE_DIR "/tests/parity/qwen2", &err), SG_OK);
    assert_int_equal(sg_adapter_open(&a, TEST_SOURCE_DIR "/tests/parity/llamahead",
                                     (sg_adapter_host[]){sg_llama_host(m)}, &err),
                     SG_ERR_FORMAT);
    assert_string_equal(
        strrchr(err.message, '/') + 1,
        "adapter_model.safetensors: tensor 'base_model.model.lm_head.base_layer.weight': expected the "
        "model's own table, found one that has learned");
    sg_llama_close(m);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    sg_tune_config c;
    json_t *report;
    sg_error err;

    configure(&c, "lora");
    snprintf(c.targets, sizeof c.targets, "q_proj,w_proj");
    assert_int_equal(tune(MODEL, "bad", &c, 1, 0, false, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "targets: expected q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
                                     "down_proj, lm_head or all, found 'w_proj'");
    configure(&c, "bottleneck");
    snprintf(c.targets, sizeof c.targets, "q_proj");
    assert_int_equal(tune(MODEL, "bad", &c, 1, 0, false, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "targets: expected o_proj, down_proj or all, found 'q_proj'");
    configure(&c, "last");
    c.last = 3;
    assert_int_equal(tune(MODEL, "bad", &c, 1, 0, false, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "last: expected at most 2, the layers of the model, found 3");
    configure(&c, "prompt");
    c.soft = 63;
    assert_int_equal(tune(MODEL, "bad", &c, 1, 0, false, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "soft: expected at most 62, the model knows 64 places, found 63");
    configure(&c, "full");
    assert_int_equal(sg_tune(&(sg_tune_job){MODEL, data, MODEL, false}, &c, NULL, NULL, &report, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, MODEL ": expected another folder than the model's own");
}

static void score(const char *model, const char *adapter, double *logp)
{
    static const int32_t ids[] = {5, 17, 3, 3, 29, 11, 0, 36, 8, 21};
    sg_adapter *a = NULL;
    sg_reading *r;
    sg_llama *m;
    sg_error err;

    if (sg_llama_open(&m, model, &err) ||
        (adapter && sg_adapter_open(&a, adapter, (sg_adapter_host[]){sg_llama_host(m)}, &err)))
        fail_msg("%s", err.message);
    sg_llama_adapt(m, a);
    assert_int_equal(sg_reading_new(&r, m, 16, NULL, &err), SG_OK);
    assert_int_equal(sg_reading_score(r, ids, 10, logp, &err), SG_OK);
    sg_reading_free(r);
    sg_llama_close(m);
    sg_adapter_free(a);
}

/* tolerance: of a log-probability near 4. f16 and bf16 round weights of 0.2 to 11 and 8 bits, blocks of 8 bits to 1 / 254 of their
 * largest, of 4 bits to 1 / 16 */
static void merged_models_say_what_the_adapter_says(void **state)
{
    (void)state;
    static const struct {
        const char *model, *out, *type;
        double tolerance;
        const char *adapter;
    } cases[] = {{"llama", "m1", "f32", 1e-4, "lora"},
                 {"llama", "m2", "f16", 1e-2, "lora"},
                 {"llama", "m3", "bf16", 8e-2, "lora"},
                 {"llama", "m1.gguf", "f32", 1e-4, "lora"},
                 {"llama", "m2.gguf", "f16", 1e-2, "lora"},
                 {"llama", "m3.gguf", "bf16", 8e-2, "lora"},
                 {"llama", "m4.gguf", "q8_0", 8e-2, "lora"},
                 {"llama", "m5.gguf", "q4_0", 1.5, "lora"},
                 {"llama.gguf", "m6", "f32", 1e-4, "lora"},
                 {"llama.gguf", "m6.gguf", "f32", 1e-4, "lora"},
                 {"llama.gguf", "m8.gguf", "q8_0", 1e-4, NULL}, /* its blocks come out as they were */
                 {"llama3", "m9.gguf", "f32", 1e-4, NULL},
                 {"qwen2", "m10.gguf", "f32", 1e-4, NULL},
                 {"qwen2", "m11", "bf16", 1e-4, NULL},
                 {"qwen3", "m12.gguf", "f16", 1e-4, NULL},
                 {"qwen3", "m13", "f16", 1e-4, NULL},
                 {"llama", "h1", "f32", 1e-4, "llamahead"},
                 {"llama.gguf", "h2.gguf", "f32", 1e-4, "llamahead"},
                 {"qwen2", "h3", "f32", 1e-4, "qwen2head"},
                 {"qwen2", "h4.gguf", "f32", 1e-4, "qwen2head"}};
    char out[300], model[300], adapter[300];
    sg_error err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double want[10], found[10];
        sg_merge_config c;
        json_t *report;

        sg_options_init(&c, sg_merge_options, sg_n_merge_options);
        assert_int_equal(
            sg_options_set(&c, sg_merge_options, sg_n_merge_options, "type", cases[i].type, &err), SG_OK);
        snprintf(model, sizeof model, TEST_SOURCE_DIR "/tests/parity/%s", cases[i].model);
        snprintf(adapter, sizeof adapter, TEST_SOURCE_DIR "/tests/parity/%s",
                 cases[i].adapter ? cases[i].adapter : "");
        if (sg_merge(model, cases[i].adapter ? adapter : NULL, in_dir(cases[i].out, out), &c, NULL, &report,
                     &err))
            fail_msg("%s: %s", cases[i].out, err.message);
        json_decref(report);
        score(model, cases[i].adapter ? adapter : NULL, want);
        score(out, NULL, found);
        for (int t = 0; t < 10; t++)
            if (!(want[t] - found[t] <= cases[i].tolerance && found[t] - want[t] <= cases[i].tolerance))
                fail_msg("%s %s: token %d: expected %g, found %g", cases[i].out, cases[i].type, t, want[t],
                         found[t]);
    }
    sg_merge_config c;
    json_t *report;
    sg_options_init(&c, sg_merge_options, sg_n_merge_options);
    snprintf(c.type, sizeof c.type, "q8_0");
    assert_int_equal(sg_merge(MODEL, NULL, in_dir("m", out), &c, NULL, &report, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "type: expected f32, f16 or bf16 for a folder, found q8_0 (a file that ends in .gguf takes it)");
}

static void score_t5(const char *model, double *logp, int *tokens)
{
    static const sg_bytes text[] = {{"the cat", 7}, {"in a cab.", 9}, {"", 0}};
    sg_llm_config o;
    sg_llm *l;
    size_t cached;
    sg_error err;

    sg_llm_config_init(&o);
    if (sg_llm_open(&l, model, &o, &err) ||
        sg_llm_score(logp, tokens, &cached, l,
                     &(sg_llm_scores){.prompt = {"a  cat is", 9}, .text = text, .n = 3}, NULL, NULL, NULL,
                     &err))
        fail_msg("%s", err.message);
    sg_llm_close(l);
}

/* Weights, sizes and tokenizer of a T5 in a .gguf file are those of its folder, and of a file made from that file. */
static void a_t5_written_as_one_file_is_itself(void **state)
{
    (void)state;
    static const struct {
        const char *model, *type;
        double tolerance; /* of a log-probability near 30: 8 bits of weights near 0.2 */
    } cases[] = {{"t5", "f32", 1e-4}, {"t5", "q8_0", 1}, {"t5v11", "f16", 2e-2}, {"t5v11", "f32", 1e-4}};
    double want[3], found[3];
    int want_tokens[3], tokens[3];
    sg_merge_config c;
    json_t *report;
    sg_error err;

    sg_options_init(&c, sg_merge_options, sg_n_merge_options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[300], once[300], twice[300], thrice[300];

        snprintf(model, sizeof model, TEST_SOURCE_DIR "/tests/parity/%s", cases[i].model);
        assert_int_equal(
            sg_options_set(&c, sg_merge_options, sg_n_merge_options, "type", cases[i].type, &err), SG_OK);
        if (sg_merge(model, NULL, in_dir("once.gguf", once), &c, NULL, &report, &err))
            fail_msg("%s", err.message);
        json_decref(report);
        if (sg_merge(once, NULL, in_dir("twice.gguf", twice), &c, NULL, &report, &err))
            fail_msg("%s", err.message);
        json_decref(report);
        snprintf(c.type, sizeof c.type, "f32");
        if (sg_merge(once, NULL, in_dir("thrice", thrice), &c, NULL, &report, &err)) /* and a folder again */
            fail_msg("%s", err.message);
        json_decref(report);
        score_t5(model, want, want_tokens);
        for (int k = 0; k < 3; k++) {
            score_t5(k == 0 ? once : k == 1 ? twice : thrice, found, tokens);
            assert_memory_equal(tokens, want_tokens, sizeof tokens);
            for (int t = 0; t < 3; t++)
                if (!(want[t] - found[t] <= cases[i].tolerance && found[t] - want[t] <= cases[i].tolerance))
                    fail_msg("%s %s: text %d: expected %g, found %g", cases[i].model, cases[i].type, t,
                             want[t], found[t]);
        }
    }
}

/* What a .gguf file of a T5 has no words for. */
static void a_t5_that_fits_no_file_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } cases[] = {{"\"relative_attention_max_distance\": 128", "\"relative_attention_max_distance\": 100"},
                 {"\"feed_forward_proj\": \"gated-gelu\"", "\"feed_forward_proj\": \"gated-silu\""}};
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json"};
    char odd[300], path[400], out[300];
    sg_merge_config c;
    json_t *report;
    sg_error err;

    sg_options_init(&c, sg_merge_options, sg_n_merge_options);
    assert_int_equal(sg_dir_make(in_dir("odd", odd), &err), SG_OK);
    for (size_t i = 0; i < 2; i++) {
        sg_buf config = {0}, changed = {0};

        for (size_t k = 0; k < 3; k++) {
            snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/t5v11/%s", files[k]);
            config.size = 0;
            assert_int_equal(sg_file_read(&config, path, 1 << 24, &err), SG_OK);
            snprintf(path, sizeof path, "%s/%s", odd, files[k]);
            const char *at = k ? NULL : strstr(config.data, cases[i].key);
            assert_true(k || at);
            if (at) {
                sg_buf_add(&changed, config.data, (size_t)(at - config.data));
                sg_buf_puts(&changed, cases[i].value);
                sg_buf_puts(&changed, at + strlen(cases[i].key));
                assert_int_equal(sg_file_write(path, changed.data, changed.size, &err), SG_OK);
            } else {
                assert_int_equal(sg_file_write(path, config.data, config.size, &err), SG_OK);
            }
        }
        sg_buf_free(&config);
        sg_buf_free(&changed);
        assert_int_equal(sg_merge(odd, NULL, in_dir("odd.gguf", out), &c, NULL, &report, &err), SG_ERR_USAGE);
        assert_string_equal(err.message + strlen(odd),
                            ": expected what a .gguf file of a T5 can say: a distance of 128, gates by GELU");
    }
}

/* With a share e of every target spread over the 40 tokens, the best a model can say of what always comes is 1 - e + e / 40; validation
 * counts what it says without smoothing. */
static void smoothed_targets_keep_a_model_from_being_sure(void **state)
{
    (void)state;
    /* -log(1 - 0.1 + 0.1 / 40) = 0.103; on the way there it may have been a little surer */
    static const double least[] = {0, 0.07}, most[] = {0.02, 0.13};

    for (int i = 0; i < 2; i++) {
        sg_tune_config c;
        json_t *report = NULL;
        sg_error err;

        configure(&c, "full");
        c.dropout = 0;
        c.epochs = 30;
        c.smoothing = i ? 0.1 : 0;
        if (tune(MODEL, i ? "smooth" : "sharp", &c, 1, 0, false, &report, &err))
            fail_msg("%s", err.message);
        const double loss = json_real_value(json_object_get(report, "loss_valid"));
        if (!(loss > least[i] && loss < most[i]))
            fail_msg("smoothing %g: expected a loss in %g .. %g, found %g", c.smoothing, least[i], most[i],
                     loss);
        json_decref(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_learns_the_same_bytes),
        cmocka_unit_test(a_run_stopped_anywhere_is_the_same),
        cmocka_unit_test(a_run_goes_on_with_its_own_model_only),
        cmocka_unit_test(smoothed_targets_keep_a_model_from_being_sure),
        cmocka_unit_test(layers_have_ranks_of_their_own),
        cmocka_unit_test(last_layers_leave_the_first_alone),
        cmocka_unit_test(an_adapter_written_again_is_itself),
        cmocka_unit_test(wrong_adapters_are_refused),
        cmocka_unit_test(parts_of_another_output_matrix_are_refused),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(merged_models_say_what_the_adapter_says),
        cmocka_unit_test(a_t5_written_as_one_file_is_itself),
        cmocka_unit_test(a_t5_that_fits_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, folder_drop);
}
