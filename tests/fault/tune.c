/* tune.c - whichever allocation, read or write fails while texts are read, adapters opened and written, models written or tuned: a
 * clear error, no leak, nothing half-written in place. */
#include "faults.h"

#include "lm/adapter.h"
#include "lm/contrast.h"
#include "lm/folder.h"
#include "lm/lessons.h"
#include "lm/merge.h"
#include "lm/new_tokens.h"
#include "lm/to_gguf.h"
#include "lm/tune.h"
#include "folder.h"

#define MODEL TEST_SOURCE_DIR "/tests/parity/llama"
static char data[200], pairs[200], out[200];

typedef struct parts {
    sg_llama *m;
    sg_decoder *d;
    sg_adapter *a;
    sg_new_tokens tokens;
} parts;

static sg_status read_lessons(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_lessons l;
    const sg_status st = sg_lessons_read(&l, (sg_lessons_for[]){sg_lessons_for_llama(p->m)}, data,
                                         &(sg_lessons_how){.most = 20}, NULL, err);

    sg_lessons_free(&l);
    return st;
}

static sg_status make_decoder(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_decoder *d;
    const sg_status st =
        sg_decoder_new(&d, p->m, &(sg_decoder_spec){.learn_from = 1, .learn_words = true}, NULL, err);

    sg_decoder_free(d);
    return st;
}

static sg_status open_adapter(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_adapter *a;
    const sg_status st = sg_adapter_open(&a, TEST_SOURCE_DIR "/tests/parity/lora",
                                         (sg_adapter_host[]){sg_llama_host(p->m)}, err);

    sg_adapter_free(a);
    return st;
}

static sg_status open_rows(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_adapter *a;
    const sg_status st = sg_adapter_open(&a, TEST_SOURCE_DIR "/tests/parity/llamarows",
                                         (sg_adapter_host[]){sg_llama_host(p->m)}, err);

    sg_adapter_free(a);
    return st;
}

static sg_status read_tokens(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    char path[300];
    sg_new_tokens t;

    snprintf(path, sizeof path, "%s/tokens.txt", folder);
    const sg_status st = sg_new_tokens_read(&t, path, p->m, MODEL, err);
    if (!st)
        sg_new_tokens_free(&t);
    return st;
}

static sg_status give_tokens(void *ctx, sg_error *err)
{
    parts *p = ctx;
    const sg_adapter_host host = sg_llama_host(p->m);
    const sg_adapter_config config = {.kind = SG_ADAPTER_TOKENS, .vocab = p->tokens.vocab};
    sg_adapter *a;
    sg_status st = sg_adapter_new(&a, &config, &host, NULL, 1, err);

    if (st)
        return st;
    if (!(st = sg_new_tokens_give(&p->tokens, a, p->m, err))) {
        st = sg_adapter_save(a, out, err);
        p->tokens.with = a->tokenizer; /* for the next time */
        p->tokens.json = a->tokenizer_json;
        a->tokenizer = NULL;
        a->tokenizer_json = (sg_buf){0};
    }
    sg_adapter_free(a);
    return st;
}

static sg_status save_adapter(void *ctx, sg_error *err)
{
    const parts *p = ctx;

    return sg_adapter_save(p->a, out, err);
}

static sg_status save_folder(void *ctx, sg_error *err)
{
    const parts *p = ctx;

    return sg_decoder_save(p->d, p->m, MODEL, out, SG_DT_BF16, err);
}

static sg_status save_gguf(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    char path[300];

    snprintf(path, sizeof path, "%s/model.gguf", folder);
    return sg_decoder_to_gguf(p->d, p->m, MODEL, path, SG_GGUF_Q8_0_TYPE, err);
}

/* Closing and syncing may fail with the new file in place: then it is whole. */
static void no_half_file(void *ctx, bool done)
{
    char path[300];
    sg_gguf *g;
    sg_error err;

    (void)ctx;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    assert_true(sg_file_exists(path) || !done);
    if (sg_file_exists(path)) {
        assert_int_equal(sg_gguf_open(&g, path, &err), SG_OK);
        sg_gguf_close(g);
        remove(path);
    }
}

/* A T5 tuned and merged into a file. */
static sg_status tune_t5(void *ctx, sg_error *err)
{
    static const char model[] = TEST_SOURCE_DIR "/tests/parity/t5";
    char path[300], file[300];
    sg_tune_config c;
    sg_merge_config m;
    json_t *report;
    sg_status st;
    sg_error other;

    (void)ctx;
    sg_options_init(&c, sg_tune_options, sg_n_tune_options);
    sg_options_init(&m, sg_merge_options, sg_n_merge_options);
    c.epochs = 1;
    c.tokens = 60;
    c.valid = 0.3;
    c.rank = 2;
    snprintf(c.precision, sizeof c.precision, "f32");
    snprintf(path, sizeof path, "%s/prompts.jsonl", folder);
    snprintf(file, sizeof file, "%s/model.gguf", out);
    if (sg_dir_remove(out, &other)) /* counted, too: the fault was in it */
        return sg_fail(err, SG_ERR_IO, "%s", other.message);
    st = sg_tune(&(sg_tune_job){model, path, out, false}, &c, NULL, NULL, &report, err);
    json_decref(report);
    if (!st) {
        st = sg_merge(model, out, file, &m, NULL, &report, err);
        json_decref(report);
    }
    return st;
}

static sg_status tune(void *ctx, sg_error *err)
{
    sg_tune_config c;
    json_t *report;
    sg_status st;
    sg_error other;

    (void)ctx;
    sg_options_init(&c, sg_tune_options, sg_n_tune_options);
    c.epochs = 1;
    c.tokens = 60;
    c.valid = 0.3;
    c.rank = 2;
    snprintf(c.precision, sizeof c.precision, "f32");
    if (sg_dir_remove(out, &other)) /* counted, too: the fault was in it */
        return sg_fail(err, SG_ERR_IO, "%s", other.message);
    st = sg_tune(&(sg_tune_job){MODEL, data, out, false}, &c, NULL, NULL, &report, err);
    json_decref(report);
    return st;
}

/* ctx: the model */
static sg_status tune_on_pairs(void *ctx, sg_error *err)
{
    sg_contrast_config c;
    json_t *report;
    sg_status st;
    sg_error other;

    sg_options_init(&c, sg_contrast_options, sg_n_contrast_options);
    c.length = 16;
    c.batch = 2;
    c.tokens = 10;
    c.valid = 0.3;
    snprintf(c.precision, sizeof c.precision, "f32");
    if (sg_dir_remove(out, &other)) /* counted, too: the fault was in it */
        return sg_fail(err, SG_ERR_IO, "%s", other.message);
    st = sg_contrast(ctx, pairs, out, &c, NULL, NULL, &report, err);
    json_decref(report);
    return st;
}

static void everything_survives_every_fault(void **state)
{
    (void)state;
    static const char lines[] = "{\"prompt\": \"ab\", \"completion\": \" c\"}\n{\"text\": "
                                "\"abc\"}\n{\"messages\": [{\"role\": \"user\", "
                                "\"content\": \"a\"}, {\"role\": \"assistant\", \"content\": "
                                "\"b\"}]}\n{\"instruction\": \"a\", \"output\": \"c\"}\n";
    static const char several[] =
        "{\"query\": \"a\", \"pos\": \"b\"}\n{\"query\": \"c\", \"pos\": [\"d\"], \"neg\": [\"e\"]}\n"
        "{\"query\": \"f\", \"pos\": \"g\"}\n{\"query\": \"h\", \"pos\": \"i\"}\n";
    static const char asked[] =
        "{\"prompt\": \"ab\", \"completion\": \"c\"}\n{\"instruction\": \"a\", \"output\": \"c\"}\n"
        "{\"prompt\": \"b\", \"completion\": \"cat\"}\n{\"prompt\": \"c\", \"completion\": \"the\"}\n";
    sg_error err;
    parts p;

    snprintf(data, sizeof data, "%s/data.jsonl", folder);
    snprintf(pairs, sizeof pairs, "%s/pairs.jsonl", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    assert_int_equal(sg_file_write(data, lines, sizeof lines - 1, &err), SG_OK);
    char prompts[300];
    snprintf(prompts, sizeof prompts, "%s/prompts.jsonl", folder);
    char tokens[300];
    snprintf(tokens, sizeof tokens, "%s/tokens.txt", folder);
    assert_int_equal(sg_file_write(tokens, "<x>\tab\n<y>\n", 11, &err), SG_OK);
    assert_int_equal(sg_file_write(prompts, asked, sizeof asked - 1, &err), SG_OK);
    assert_int_equal(sg_file_write(pairs, several, sizeof several - 1, &err), SG_OK);
    assert_int_equal(sg_llama_open(&p.m, MODEL, &err), SG_OK);
    assert_int_equal(sg_decoder_new(&p.d, p.m, &(sg_decoder_spec){.learn_from = 2}, NULL, &err), SG_OK);
    assert_int_equal(sg_adapter_open(&p.a, TEST_SOURCE_DIR "/tests/parity/lora",
                                     (sg_adapter_host[]){sg_llama_host(p.m)}, &err),
                     SG_OK);
    /* ends where PCRE2 goes without memory of its own */
    assert_true(faults_walk(FAULTS_ALLOC, read_lessons, NULL, &p) >= 10);
    assert_true(faults_walk(FAULTS_IO, read_lessons, NULL, &p) >= 2);
    assert_true(faults_walk(FAULTS_ALLOC, make_decoder, NULL, &p) >= 30);
    assert_true(faults_walk(FAULTS_ALLOC, open_adapter, NULL, &p) >= 20);
    assert_true(faults_walk(FAULTS_IO, open_adapter, NULL, &p) >= 2);
    assert_true(faults_walk(FAULTS_ALLOC, open_rows, NULL, &p) >= 40);
    assert_true(faults_walk(FAULTS_IO, open_rows, NULL, &p) >= 3);
    assert_true(faults_walk(FAULTS_ALLOC, read_tokens, NULL, &p) >= 10);
    assert_true(faults_walk(FAULTS_IO, read_tokens, NULL, &p) >= 2);
    assert_int_equal(sg_new_tokens_read(&p.tokens, tokens, p.m, MODEL, &err), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, give_tokens, NULL, &p) >= 10);
    assert_true(faults_walk(FAULTS_IO, give_tokens, NULL, &p) >= 8);
    sg_new_tokens_free(&p.tokens);
    assert_true(faults_walk(FAULTS_ALLOC, save_adapter, NULL, &p) >= 8);
    assert_true(faults_walk(FAULTS_IO, save_adapter, NULL, &p) >= 8);
    assert_true(faults_walk(FAULTS_ALLOC, save_folder, NULL, &p) >= 10);
    assert_true(faults_walk(FAULTS_IO, save_folder, NULL, &p) >= 12);
    assert_true(faults_walk(FAULTS_ALLOC, save_gguf, no_half_file, &p) >= 15);
    assert_true(faults_walk(FAULTS_IO, save_gguf, no_half_file, &p) >= 5);
    assert_true(faults_walk(FAULTS_IO, tune, NULL, NULL) >= 15);
    assert_true(faults_walk(FAULTS_IO, tune_t5, NULL, NULL) >= 25);
    assert_true(faults_walk(FAULTS_IO, tune_on_pairs, NULL,
                            (void *)(uintptr_t)(TEST_SOURCE_DIR "/tests/parity/bert")) >= 15);
    assert_true(faults_walk(FAULTS_IO, tune_on_pairs, NULL, (void *)(uintptr_t)MODEL) >= 15);
    sg_adapter_free(p.a);
    sg_decoder_free(p.d);
    sg_llama_close(p.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_survives_every_fault),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
