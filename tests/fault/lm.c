/* lm.c - whichever allocation, open or read of a language model's files fails, in opening, embedding or writing: a clear error, no
 * leak. */
#include "faults.h"

#include "lm/generate.h"
#include "lm/sentence.h"

static const char *path;

static sg_status open_encoder(void *ctx, sg_error *err)
{
    sg_sentence *s;
    const sg_status st = sg_sentence_open(&s, path, err);

    (void)ctx;
    sg_sentence_close(s);
    return st;
}

static sg_status open_decoder(void *ctx, sg_error *err)
{
    sg_llama *m;
    const sg_status st = sg_llama_open(&m, path, err);

    (void)ctx;
    sg_llama_close(m);
    return st;
}

typedef struct parts {
    sg_llama_config config;
    sg_weights *weights;
} parts;

static sg_status load_decoder(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_llama *m;
    const sg_status st = sg_llama_over(&m, &p->config, p->weights, NULL, err);

    sg_llama_close(m);
    return st;
}

static sg_status embed(void *ctx, sg_error *err)
{
    const sg_bytes text[3] = {{"a b c", 5}, {"", 0}, {"d", 1}};
    sg_sentence_config c;
    float *vectors = NULL;
    json_t *report = NULL;
    int32_t dim;
    sg_status st;

    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    snprintf(c.prefix, sizeof c.prefix, "b ");
    snprintf(c.precision, sizeof c.precision, "f32");
    st = sg_sentence_encode(&vectors, &dim, ctx, text, 3, &c, NULL, NULL, &report, err);
    if (!st)
        sg_free(vectors);
    json_decref(report);
    return st;
}

static sg_status chat(void *ctx, sg_error *err)
{
    const sg_turn turn = {"user", {"the", 3}};
    sg_token_list prompt = {0}, out = {0};
    sg_generate_config c;
    sg_reading *r = NULL;
    double seconds[2];
    bool ended;
    sg_status st;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = 5;
    if (!(st = sg_chat_tokens(&prompt, ctx, &turn, 1, err)) && !(st = sg_reading_new(&r, ctx, 40, NULL, err)))
        st = sg_generate(&out, &ended, seconds, r, ctx, &prompt, -1, &c, NULL, err);
    sg_reading_free(r);
    sg_free(prompt.id);
    sg_free(out.id);
    return st;
}

static void opening_survives_every_fault(void **state)
{
    (void)state;
    static const char *const encoders[] = {TEST_SOURCE_DIR "/tests/parity/bert",
                                           TEST_SOURCE_DIR "/tests/parity/roberta"};
    static const char *const decoders[] = {TEST_SOURCE_DIR "/tests/parity/qwen2",
                                           TEST_SOURCE_DIR "/tests/parity/llama.gguf"};

    for (size_t i = 0; i < 2; i++) {
        path = encoders[i];
        assert_true(faults_walk(FAULTS_ALLOC, open_encoder, NULL, NULL) >= 50);
        assert_true(faults_walk(FAULTS_IO, open_encoder, NULL, NULL) >= 10);
        path = decoders[i];
        /* ends where PCRE2 makes no machine code and the pattern is interpreted: the weights have a walk of their own */
        assert_true(faults_walk(FAULTS_ALLOC, open_decoder, NULL, NULL) >= 40);
        assert_true(faults_walk(FAULTS_IO, open_decoder, NULL, NULL) >= 2);
    }
}

static void loading_weights_survives_every_fault(void **state)
{
    (void)state;
    static const char *const decoders[] = {TEST_SOURCE_DIR "/tests/parity/qwen2",
                                           TEST_SOURCE_DIR "/tests/parity/llama",
                                           TEST_SOURCE_DIR "/tests/parity/llama.gguf"};
    sg_error err;

    for (size_t i = 0; i < 3; i++) {
        sg_llama *m;
        parts p;

        assert_int_equal(sg_llama_open(&m, decoders[i], &err), SG_OK);
        p.config = *sg_llama_config_of(m);
        sg_llama_close(m);
        assert_int_equal(sg_weights_open(&p.weights, decoders[i], &err), SG_OK);
        assert_true(faults_walk(FAULTS_ALLOC, load_decoder, NULL, &p) >= 20);
        sg_weights_close(p.weights);
    }
}

static void work_survives_every_fault(void **state)
{
    (void)state;
    sg_sentence *s;
    sg_llama *m;
    sg_error err;

    path = TEST_SOURCE_DIR "/tests/parity/bert";
    assert_int_equal(sg_sentence_open(&s, path, &err), SG_OK);
    assert_int_equal(embed(s, &err), SG_OK); /* packs the weights once */
    assert_true(faults_walk(FAULTS_ALLOC, embed, NULL, s) >= 8);
    sg_sentence_close(s);
    path = TEST_SOURCE_DIR "/tests/parity/llama.gguf";
    assert_int_equal(sg_llama_open(&m, path, &err), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, chat, NULL, m) >= 8);
    sg_llama_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_survives_every_fault),
        cmocka_unit_test(loading_weights_survives_every_fault),
        cmocka_unit_test(work_survives_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
