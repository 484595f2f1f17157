/* new_tokens.c - rows of new tokens: where they begin, that they learn and nothing else does, the same bytes on 1 and 2 threads and after a
 * stop; written and read again; merged; files of adapters and of tokens that are wrong. */
#include "base/alloc.h"
#include "base/io.h"
#include "lm/adapter.h"
#include "lm/merge.h"
#include "lm/new_tokens.h"
#include "lm/tune.h"
#include "tuned.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 32, BASE = 40 };
#define PARITY TEST_SOURCE_DIR "/tests/parity/"
static char tokens[200];

static void put(const char *name, const char *text)
{
    char path[300];
    sg_error err;

    assert_int_equal(sg_file_write(in_dir(name, path), text, strlen(text), &err), SG_OK);
}

static int setup(void **state)
{
    sg_buf text = {0};

    if (folder_make(state))
        return -1;
    for (int i = 0; i < 40; i++)
        sg_buf_printf(&text, "{\"prompt\": \"%.*s<a_1>\", \"completion\": \"the <a_0>[EMB]\"}\n", i % 9 + 1,
                      "abcdefghij");
    put("data.jsonl", text.data);
    put("tokens.txt", "<a_0>\tthe cat\r\n<a_1>\n[EMB]\ta");
    snprintf(data, sizeof data, "%s/data.jsonl", folder);
    snprintf(tokens, sizeof tokens, "%s/tokens.txt", folder);
    sg_buf_free(&text);
    return 0;
}

static void configure(sg_tune_config *c, const char *method, const char *targets)
{
    sg_error err;

    sg_options_init(c, sg_tune_options, sg_n_tune_options);
    assert_int_equal(sg_options_set(c, sg_tune_options, sg_n_tune_options, "method", method, &err), SG_OK);
    assert_int_equal(sg_options_set(c, sg_tune_options, sg_n_tune_options, "precision", "f32", &err), SG_OK);
    snprintf(c->targets, sizeof c->targets, "%s", targets);
    snprintf(c->new_tokens, sizeof c->new_tokens, "%s", tokens);
    c->rank = 4;
    c->tokens = 100;
    c->lr = 0.02;
    c->epochs = 4;
    c->valid = 0.1;
    c->checkpoint_every = 1;
}

static void check_files(const char *a, const char *b, const char *file)
{
    char left[100], right[100];

    snprintf(left, sizeof left, "%s/%s", a, file);
    snprintf(right, sizeof right, "%s/%s", b, file);
    check_same(left, right);
}

static const struct {
    const char *model, *method, *targets;
} runs[] = {{"llama", "lora", "q_proj"},
            {"qwen2", "lora", "v_proj,lm_head"},
            {"llama", "tokens", "all"},
            {"qwen2", "tokens", "all"},
            {"llama.gguf", "tokens", "all"}};
enum { RUNS = sizeof runs / sizeof *runs };

static void rows_learn_the_same_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        char one[20], two[20], three[20], model[300];
        sg_tune_config c;
        json_t *report;
        sg_error err;

        configure(&c, runs[i].method, runs[i].targets);
        snprintf(model, sizeof model, PARITY "%s", runs[i].model);
        snprintf(one, sizeof one, "run%d", i);
        snprintf(two, sizeof two, "two%d", i);
        snprintf(three, sizeof three, "three%d", i);
        if (tune(model, one, &c, 1, 0, false, &report, &err))
            fail_msg("%s %s: %s", runs[i].model, runs[i].method, err.message);
        assert_true(json_number_value(json_object_get(report, "loss_valid")) <
                    0.8 * json_number_value(json_object_get(report, "loss_valid_before")));
        if (strcmp(runs[i].method, "tokens") == 0) /* nothing but the rows */
            assert_int_equal(json_integer_value(json_object_get(report, "weights")),
                             3 * DIM * (runs[i].model[0] == 'q' ? 1 : 2));
        json_decref(report);
        assert_int_equal(tune(model, two, &c, 2, 0, false, &report, &err), SG_OK);
        json_decref(report);
        check_files(one, two, "adapter_model.safetensors");
        assert_int_equal(tune(model, three, &c, 1, 6, false, &report, &err), SG_ERR_CANCEL);
        assert_int_equal(tune(model, three, &c, 1, 0, true, &report, &err), SG_OK);
        json_decref(report);
        check_files(one, three, "adapter_model.safetensors");
        check_files(one, three, "adapter_config.json");
        check_files(one, three, "tokenizer.json");
    }
}

/* Log-probabilities of a text with new tokens in it. */
static void score(double logp[10], const char *model, const char *adapter)
{
    static const int32_t ids[] = {5, 40, 3, 42, 41, 11, 0, 41, 8, 21};
    sg_adapter *a = NULL;
    sg_reading *r;
    sg_llama *m;
    sg_error err;

    if (sg_llama_open(&m, model, &err) ||
        (adapter && sg_adapter_open(&a, adapter, (sg_adapter_host[]){sg_llama_host(m)}, &err)))
        fail_msg("%s", err.message);
    sg_llama_adapt(m, a);
    assert_int_equal(sg_llama_config_of(m)->vocab, BASE + 3);
    assert_int_equal(sg_tokenizer_find(sg_llama_tokenizer(m), (sg_bytes){"[EMB]", 5}), BASE + 2);
    assert_int_equal(sg_reading_new(&r, m, 16, NULL, &err), SG_OK);
    if (sg_reading_score(r, ids, 10, logp, &err))
        fail_msg("%s", err.message);
    sg_reading_free(r);
    sg_llama_close(m);
    sg_adapter_free(a);
}

/* With everything else: OUT is a model of more tokens, in the tables and in the tokenizer. */
static void a_whole_model_learns_new_tokens(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "qwen2", "llama.gguf"};
    double logp[10];

    for (int i = 0; i < 3; i++) {
        char one[20], three[20], model[300], path[300];
        sg_tune_config c;
        json_t *report;
        sg_error err;

        configure(&c, "full", "all");
        c.lr = 0.003;
        snprintf(model, sizeof model, PARITY "%s", models[i]);
        snprintf(one, sizeof one, "full%d", i);
        snprintf(three, sizeof three, "fully%d", i);
        if (tune(model, one, &c, 1, 0, false, &report, &err))
            fail_msg("%s: %s", models[i], err.message);
        assert_true(json_number_value(json_object_get(report, "loss_valid")) <
                    0.8 * json_number_value(json_object_get(report, "loss_valid_before")));
        json_decref(report);
        score(logp, in_dir(one, path), NULL);
        assert_int_equal(tune(model, three, &c, 2, 6, false, &report, &err), SG_ERR_CANCEL);
        assert_int_equal(tune(model, three, &c, 1, 0, true, &report, &err), SG_OK);
        json_decref(report);
        check_files(one, three, "model.safetensors");
    }
}

/* Of llama (an output matrix of its own): the mean of all 40 rows, or of those of the phrase's tokens. */
static void rows_begin_as_means(void **state)
{
    (void)state;
    sg_adapter_config config = {.kind = SG_ADAPTER_TOKENS};
    const int32_t *id;
    sg_new_tokens t;
    sg_encoder *e;
    sg_adapter *a;
    sg_llama *m;
    sg_error err;
    size_t n;

    assert_int_equal(sg_llama_open(&m, PARITY "llama", &err), SG_OK);
    if (sg_new_tokens_read(&t, tokens, m, PARITY "llama", &err))
        fail_msg("%s", err.message);
    assert_int_equal(t.n, 3);
    assert_int_equal(t.first, BASE);
    assert_int_equal(t.phrase[0].size, 7);
    const sg_adapter_host host = sg_llama_host(m);
    config.vocab = t.vocab;
    assert_int_equal(sg_adapter_new(&a, &config, &host, NULL, 1, &err), SG_OK);
    assert_int_equal(sg_new_tokens_give(&t, a, m, &err), SG_OK);
    sg_new_tokens_free(&t);
    assert_int_equal(sg_encoder_new(&e, sg_llama_tokenizer(m), &err), SG_OK);
    assert_int_equal(
        sg_encoder_run(&id, &n, e, (sg_bytes){"the cat", 7}, &(sg_encode_how){.bare = true}, &err), SG_OK);
    assert_true(n > 1);
    for (int table = 0; table < 2; table++) {
        const sg_row_set *s = table ? &a->output : &a->words;
        const char *name = table ? host.output : host.words;
        double all[DIM] = {0}, phrase[DIM] = {0};
        float row[DIM];

        for (size_t i = 0; i < BASE + n; i++) {
            assert_int_equal(sg_weights_read(row, host.weights, name,
                                             (i < BASE ? i : (size_t)id[i - BASE]) * DIM, DIM, &err),
                             SG_OK);
            for (int k = 0; k < DIM; k++)
                *(i < BASE ? &all[k] : &phrase[k]) += (double)row[k] / (i < BASE ? BASE : (double)n);
        }
        assert_int_equal(s->n, 3);
        for (int k = 0; k < DIM; k++) {
            assert_true(fabs((double)s->rows->value[k] - phrase[k]) < 1e-6); /* f32 of numbers near 1 */
            assert_true(fabs((double)s->rows->value[DIM + k] - all[k]) < 1e-6);
        }
    }
    sg_encoder_free(e);
    sg_adapter_free(a);
    sg_llama_close(m);
}

static void near_scores(const char *what, const double *found, const double *want)
{
    for (int t = 0; t < 10; t++)
        if (!(fabs(found[t] - want[t]) < 1e-4)) /* f32 through two layers */
            fail_msg("%s: token %d: expected %g, found %g", what, t, want[t], found[t]);
}

/* The adapters that PEFT wrote and those that learned here: written again they are themselves, merged they say the same. */
static void written_and_merged_they_are_themselves(void **state)
{
    (void)state;
    static const char *const peft[][2] = {{"llama", "llamarows"},
                                          {"qwen2", "qwen2rows"},
                                          {"llama", "llamatokens"},
                                          {"qwen2", "qwen2tokens"},
                                          {"qwen2", "qwen2rowshead"}};
    sg_merge_config c;
    sg_error err;

    sg_options_init(&c, sg_merge_options, sg_n_merge_options);
    assert_int_equal(sg_options_set(&c, sg_merge_options, sg_n_merge_options, "type", "f32", &err), SG_OK);
    for (int i = 0; i < 5 + RUNS; i++) {
        char model[300], adapter[300], again[300], out[300], name[20];
        double want[10], found[10];
        json_t *report;
        sg_adapter *a;
        sg_llama *m;

        snprintf(model, sizeof model, PARITY "%s", i < 5 ? peft[i][0] : runs[i - 5].model);
        snprintf(name, sizeof name, "run%d", i - 5);
        snprintf(adapter, sizeof adapter, PARITY "%s", i < 5 ? peft[i][1] : "");
        score(want, model, i < 5 ? adapter : in_dir(name, adapter));
        assert_int_equal(sg_llama_open(&m, model, &err), SG_OK);
        assert_int_equal(sg_adapter_open(&a, adapter, (sg_adapter_host[]){sg_llama_host(m)}, &err), SG_OK);
        assert_int_equal(sg_adapter_save(a, in_dir("again", again), &err), SG_OK);
        score(found, model, again);
        assert_memory_equal(found, want, sizeof want);
        sg_adapter_free(a);
        sg_llama_close(m);
        for (int gguf = 0; gguf < 2; gguf++) {
            const bool from_gguf = strstr(model, ".gguf") != NULL;

            const sg_status st = sg_merge(model, adapter, in_dir(gguf ? "merged.gguf" : "merged", out), &c,
                                          NULL, &report, &err);
            if (gguf && from_gguf) {
                assert_int_equal(st, SG_ERR_USAGE);
                assert_non_null(strstr(err.message, "expected a model's folder, or one to write"));
                continue;
            }
            if (st)
                fail_msg("%s", err.message);
            json_decref(report);
            score(found, out, NULL);
            near_scores(out, found, want);
        }
    }
}

/* What the model had stays as it was: rows of a merged folder, byte for byte. */
static void old_rows_keep_their_bytes(void **state)
{
    (void)state;
    static const char *const tables[] = {"model.embed_tokens.weight", "lm_head.weight",
                                         "model.layers.1.mlp.down_proj.weight"};
    char out[300], path[300], adapter[300];
    sg_tensors *was, *is;
    sg_merge_config c;
    json_t *report;
    sg_error err;

    sg_options_init(&c, sg_merge_options, sg_n_merge_options);
    assert_int_equal(sg_options_set(&c, sg_merge_options, sg_n_merge_options, "type", "f32", &err), SG_OK);
    assert_int_equal(
        sg_merge(PARITY "llama", in_dir("run2", adapter), in_dir("kept", out), &c, NULL, &report, &err),
        SG_OK);
    json_decref(report);
    assert_int_equal(sg_tensors_open(&was, PARITY "llama/model.safetensors", &err), SG_OK);
    assert_int_equal(sg_tensors_open(&is, in_dir("kept/model.safetensors", path), &err), SG_OK);
    for (int i = 0; i < 3; i++) {
        const sg_file_tensor *a = sg_tensors_find(was, tables[i]), *b = sg_tensors_find(is, tables[i]);

        assert_int_equal(b->dim[0], a->dim[0] + (i < 2 ? 3 : 0));
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    sg_tensors_close(was);
    sg_tensors_close(is);
}

/* ---- what is wrong ---------------------------------------------------------------------------------------------------------------- */
#define EMBED "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
#define HEAD  "base_model.model.lm_head.token_adapter.trainable_tokens_delta"
#define WHOLE "base_model.model.model.embed_tokens.token_adapter.base_layer.weight"
#define LORA  "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1, \"trainable_token_indices\": "
#define ALONE "{\"peft_type\": \"TRAINABLE_TOKENS\", \"token_indices\": "

typedef struct wrong {
    const char *config, *name[2];
    int rows[2], width;
    const char *message; /* the end of it */
} wrong;

static void check_wrong(const sg_llama *m, const sg_t5 *t5, const wrong *w)
{
    static const float zeros[64 * DIM];
    sg_tensor_desc list[2];
    char dir[300], path[300];
    sg_adapter *a;
    sg_error err;
    size_t n = 0;

    assert_int_equal(sg_dir_make(in_dir("wrong", dir), &err), SG_OK);
    put("wrong/adapter_config.json", w->config);
    for (; n < 2 && w->name[n]; n++)
        list[n] =
            (sg_tensor_desc){w->name[n], SG_DT_F32, 2, {(uint64_t)w->rows[n], (uint64_t)w->width}, zeros};
    assert_int_equal(
        sg_tensors_write(in_dir("wrong/adapter_model.safetensors", path), list, n, NULL, 0, &err), SG_OK);
    const sg_adapter_host host = m ? sg_llama_host(m) : sg_t5_host(t5);
    if (sg_adapter_open(&a, dir, &host, &err) != SG_ERR_FORMAT)
        fail_msg("%s: expected an error", w->config);
    const size_t have = strlen(err.message), want = strlen(w->message);
    if (have < want || strcmp(err.message + have - want, w->message) != 0)
        fail_msg("expected '%s', found '%s'", w->message, err.message);
}

static void wrong_rows_are_refused(void **state)
{
    (void)state;
    static const wrong cases[] = {
        {LORA "[40, 41]}",
         {NULL},
         {0},
         DIM,
         "adapter_model.safetensors: expected the rows of 2 tokens, found none"},
        {LORA "[40, 41]}", {EMBED}, {3}, DIM, "': expected (2, 32), the tokens of adapter_config.json"},
        {LORA "[40, 41]}", {EMBED}, {2}, DIM - 1, "': expected (2, 32), the tokens of adapter_config.json"},
        {LORA "null}", {EMBED}, {2}, DIM, "': expected (0, 32), the tokens of adapter_config.json"},
        {LORA "[40, 40]}",
         {EMBED},
         {2},
         DIM,
         "adapter_config.json: token indices: expected each once, found 40 twice"},
        {LORA "[40, -1]}",
         {EMBED},
         {2},
         DIM,
         "adapter_config.json: token indices: expected numbers of tokens, found -1"},
        {LORA "[40, 99999999999]}",
         {EMBED},
         {2},
         DIM,
         "adapter_config.json: token indices: expected numbers of tokens, found 99999999999"},
        {LORA "{\"wte\": [40]}}",
         {EMBED},
         {1},
         DIM,
         "expected lists of tokens for embed_tokens and lm_head, found 'wte'"},
        {LORA "7}", {EMBED}, {1}, DIM, "'trainable_token_indices': expected lists of tokens, found 7"},
        {LORA "{\"embed_tokens\": [40, 42], \"lm_head\": [40, 42]}}",
         {EMBED, HEAD},
         {2, 2},
         DIM,
         "token 41: expected a row of 'model.embed_tokens', as of all tokens behind the model's 40, found "
         "none"},
        {LORA "[40]}",
         {EMBED},
         {1},
         DIM,
         "token 40: expected a row of 'lm_head', as of all tokens behind the model's 40, found none"},
        {LORA "{\"embed_tokens\": [40], \"lm_head\": [40]}}",
         {EMBED, HEAD},
         {1, 1},
         DIM,
         "wrong/tokenizer.json: expected a tokenizer with the new tokens, found none"},
        {LORA "[3]}",
         {EMBED, WHOLE},
         {1, 39},
         DIM,
         "': expected (40, 32) like the model's own, or more rows"},
        {LORA "[3]}",
         {EMBED, WHOLE},
         {1, 40},
         DIM,
         "': expected the model's own table, found one that has learned"},
        {ALONE "[]}",
         {EMBED},
         {1},
         DIM,
         "adapter_config.json: 'token_indices': expected numbers of tokens, found an array"},
        {ALONE "[3], \"target_modules\": [\"q_proj\"]}",
         {EMBED},
         {1},
         DIM,
         "adapter_config.json: 'target_modules': expected embed_tokens and lm_head, found \"q_proj\""},
        {ALONE "[3]}",
         {EMBED, "base_model.model.lm_head.lora_A.weight"},
         {1, 2},
         DIM,
         "tensor 'base_model.model.lm_head.lora_A.weight': expected rows of tokens alone"},
    };
    static const wrong t5_case = {LORA "[40]}",
                                  {EMBED},
                                  {1},
                                  DIM,
                                  "adapter_config.json: expected no rows of tokens beside a T5, found some"};
    char path[300];
    sg_adapter *a;
    sg_llama *m;
    sg_t5 *t5;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, PARITY "llama", &err), SG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_wrong(m, NULL, &cases[i]);
    /* a tokenizer of more tokens than there are rows */
    put("wrong/adapter_config.json", LORA "[3]}");
    assert_int_equal(sg_tensors_write(in_dir("wrong/adapter_model.safetensors", path),
                                      &(sg_tensor_desc){EMBED, SG_DT_F32, 2, {1, DIM}, (float[DIM]){0}}, 1,
                                      NULL, 0, &err),
                     SG_OK);
    sg_buf text = {0};
    assert_int_equal(sg_file_read(&text, PARITY "llamarows/tokenizer.json", 1 << 20, &err), SG_OK);
    put("wrong/tokenizer.json", text.data);
    sg_buf_free(&text);
    const sg_adapter_host host = sg_llama_host(m);
    assert_int_equal(sg_adapter_open(&a, in_dir("wrong", path), &host, &err), SG_ERR_FORMAT);
    assert_non_null(
        strstr(err.message, "tokenizer.json: expected at most 40 tokens, the rows of the tables, found 43"));
    sg_llama_close(m);
    assert_int_equal(sg_t5_open(&t5, PARITY "t5", &err), SG_OK);
    check_wrong(NULL, t5, &t5_case);
    sg_t5_close(t5);
}

static void wrong_files_and_options_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *method, *targets, *text, *message;
    } cases[] = {
        {"llama", "lora", "q_proj", "", "tokens.wrong: expected tokens, one a line, found none"},
        {"llama", "lora", "q_proj", "<x>\n\n<y>",
         "tokens.wrong:2: expected a token of 1 to 1000 bytes of UTF-8, perhaps a tab and a phrase"},
        {"llama", "lora", "q_proj", "<x>\n\tphrase",
         "tokens.wrong:2: expected a token of 1 to 1000 bytes of UTF-8, perhaps a tab and a phrase"},
        {"llama", "lora", "q_proj", "\xff",
         "tokens.wrong:1: expected a token of 1 to 1000 bytes of UTF-8, perhaps a tab and a phrase"},
        {"llama", "lora", "q_proj", "<x>\n<y>\n<x>",
         "tokens.wrong:3: expected each token once, found '<x>' again"},
        {"llama", "lora", "q_proj", "<x>\na",
         "tokens.wrong:2: expected a token that the tokenizer does not have, found 'a'"},
        {"llama", "lora", "lm_head", "<x>", "PEFT has no files for both, but where that is the word table"},
        {"llama", "last", "all", "<x>",
         "new_tokens: expected a decoder and method lora, tokens or full, found last"},
        {"t5", "lora", "q", "<x>",
         "new_tokens: expected a decoder and method lora, tokens or full, found a T5"},
        {"llama", "tokens", "all", NULL, "new_tokens: expected a file for method tokens, found none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[300], model[300];
        sg_tune_config c;
        json_t *report;
        sg_error err;

        configure(&c, cases[i].method, cases[i].targets);
        snprintf(model, sizeof model, PARITY "%s", cases[i].model);
        if (cases[i].text)
            put("tokens.wrong", cases[i].text);
        snprintf(c.new_tokens, sizeof c.new_tokens, "%.250s",
                 cases[i].text ? in_dir("tokens.wrong", path) : "");
        assert_int_not_equal(tune(model, "bad", &c, 1, 0, false, &report, &err), SG_OK);
        const size_t have = strlen(err.message), want = strlen(cases[i].message);
        if (have < want || strcmp(err.message + have - want, cases[i].message) != 0)
            fail_msg("expected '%s', found '%s'", cases[i].message, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_begin_as_means),
        cmocka_unit_test(rows_learn_the_same_bytes),
        cmocka_unit_test(a_whole_model_learns_new_tokens),
        cmocka_unit_test(written_and_merged_they_are_themselves),
        cmocka_unit_test(old_rows_keep_their_bytes),
        cmocka_unit_test(wrong_rows_are_refused),
        cmocka_unit_test(wrong_files_and_options_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, folder_drop);
}
