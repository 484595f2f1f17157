/* bert.c - whole folders of encoders give the vectors of transformers and sentence-transformers (bert.py wrote them). */
#include "base/alloc.h"
#include "file/safetensors.h"
#include "lm/chat.h"
#include "lm/sentence.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS = 7 };
static const char *const texts[TEXTS] = {
    "a b c", "", "c", "d e f g h i j k a b c d e f g h i j k", "unknown words a", "b a", "k k k k k k k"};

static sg_bytes bytes_of(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

static sg_sentence *open_model(const char *name)
{
    char path[300];
    sg_sentence *s;
    sg_error err;

    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s", name);
    if (sg_sentence_open(&s, path, &err))
        fail_msg("%s", err.message);
    return s;
}

static float *encode(const sg_sentence *s, const sg_bytes *text, size_t n, int threads, const char *precision,
                     int32_t *dim, json_t **report)
{
    sg_sentence_config c;
    sg_pool *pool;
    float *v;
    sg_error err;

    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    snprintf(c.precision, sizeof c.precision, "%s", precision);
    assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
    if (sg_sentence_encode(&v, dim, s, text, n, &c, pool, NULL, report, &err))
        fail_msg("%s", err.message);
    sg_pool_free(pool);
    return v;
}

static void check(const char *name, int width, int cut)
{
    char path[300];
    sg_sentence *s = open_model(name);
    const sg_file_tensor *want;
    sg_bytes text[TEXTS];
    sg_tensors *file;
    json_t *report;
    int32_t dim;
    sg_error err;

    for (int i = 0; i < TEXTS; i++)
        text[i] = bytes_of(texts[i]);
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s/expected.safetensors", name);
    assert_int_equal(sg_tensors_open(&file, path, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&want, file, "vectors", SG_DT_F32, 2, (int64_t[]){TEXTS, width}, &err),
                     SG_OK);
    float *v = encode(s, text, TEXTS, 1, "f32", &dim, &report);

    assert_int_equal(dim, width);
    assert_int_equal(json_integer_value(json_object_get(report, "texts_cut")), cut);
    assert_int_equal(json_integer_value(json_object_get(report, "empty")), 1);
    for (size_t i = 0; i < want->count;
         i++) /* f32 against double through two layers: sums of up to 144 numbers of size about 1 */
        if (!(fabsf(v[i] - ((const float *)want->data)[i]) <= 1e-5f))
            fail_msg("%s: text %zu, number %zu: expected %g, found %g", name, i / (size_t)width,
                     i % (size_t)width, (double)((const float *)want->data)[i], (double)v[i]);
    json_decref(report);

    float *two = encode(s, text, TEXTS, 2, "f32", &dim, &report);
    json_decref(report);
    assert_memory_equal(v, two, want->bytes);
    for (int i = 0; i < TEXTS; i++) { /* whatever stands beside it */
        float *alone = encode(s, &text[i], 1, 1, "f32", &dim, &report);

        json_decref(report);
        assert_memory_equal(v + (size_t)i * (size_t)width, alone, (size_t)width * sizeof *v);
        sg_free(alone);
    }
    sg_free(two);
    sg_free(v);
    sg_tensors_close(file);
    sg_sentence_close(s);
}

static void bert_mean(void **state)
{
    (void)state;
    check("bert", 24, 1);
}

static void roberta_every_pooler_and_a_dense_layer(void **state)
{
    (void)state;
    check("roberta", 5, 1);
}

/* Under llama.cpp's names: the same weights, the pooler that the file names; of unit length it says nothing. */
static void bert_in_a_gguf_file(void **state)
{
    (void)state;
    sg_sentence *folder = open_model("bert"), *file = open_model("bert.gguf");
    sg_bytes text[TEXTS];
    json_t *report;
    int32_t dim;

    for (int i = 0; i < TEXTS; i++)
        text[i] = bytes_of(texts[i]);
    text[3] = bytes_of("d e f g h i j k"); /* the file knows 16 places, of which the folder reads 10 */
    float *want = encode(folder, text, TEXTS, 1, "f32", &dim, &report);
    json_decref(report);
    float *got = encode(file, text, TEXTS, 2, "f32", &dim, &report);
    assert_int_equal(dim, 24);
    assert_string_equal(json_string_value(json_object_get(report, "pooling")), "mean");
    assert_null(json_object_get(report, "warning"));
    json_decref(report);
    for (int i = 0; i < TEXTS; i++) {
        double sum = 0;

        for (int k = 0; k < dim; k++)
            sum += (double)got[i * dim + k] * (double)got[i * dim + k];
        for (int k = 0; k < dim; k++)
            assert_true(fabs((double)got[i * dim + k] / sqrt(sum) - (double)want[i * dim + k]) < 1e-6);
    }
    sg_free(want);
    sg_free(got);
    sg_sentence_close(folder);
    sg_sentence_close(file);
}

static void prefix_width_and_tokens(void **state)
{
    (void)state;
    sg_sentence *s = open_model("bert");
    const sg_bytes whole = bytes_of("a b c"), rest = bytes_of("b c"), longer = bytes_of("a b c d");
    sg_sentence_config c;
    sg_error err;
    float *a, *b;
    json_t *report;
    int32_t dim;

    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    snprintf(c.precision, sizeof c.precision, "f32");
    a = encode(s, &whole, 1, 1, "f32", &dim, &report);
    json_decref(report);
    snprintf(c.prefix, sizeof c.prefix, "a ");
    c.tokens = 5;
    assert_int_equal(sg_sentence_encode(&b, &dim, s, &rest, 1, &c, NULL, NULL, &report, &err), SG_OK);
    assert_memory_equal(a, b, 24 * sizeof *a);
    json_decref(report);
    sg_free(b);
    c.prefix[0] = 0;
    assert_int_equal(sg_sentence_encode(&b, &dim, s, &longer, 1, &c, NULL, NULL, &report, &err), SG_OK);
    assert_memory_equal(a, b, 24 * sizeof *a); /* the fourth word is one too many */
    json_decref(report);
    sg_free(b);
    c.width = 4;
    assert_int_equal(sg_sentence_encode(&b, &dim, s, &whole, 1, &c, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(dim, 4);
    assert_true(fabsf(b[0] * b[0] + b[1] * b[1] + b[2] * b[2] + b[3] * b[3] - 1) < 1e-6f);
    assert_true(fabsf(b[0] * a[1] - b[1] * a[0]) < 1e-6f);
    json_decref(report);
    sg_free(b);
    c.width = 25;
    assert_int_equal(sg_sentence_encode(&b, &dim, s, &whole, 1, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "width: expected at most 24, found 25");
    sg_free(a);
    sg_sentence_close(s);
}

/* A decoder's last states, pooled: the mean when nothing is said, or the last one. */
static void decoders_embed_too(void **state)
{
    (void)state;
    enum { DIM = 32 };
    const sg_bytes text[2] = {bytes_of("the cat"), bytes_of("a")};
    sg_sentence *s = open_model("qwen3");
    sg_token_list ids = {0};
    sg_sentence_config c;
    sg_reading *r;
    sg_llama *m;
    float states[16 * DIM], *v;
    json_t *report;
    int32_t dim;
    sg_error err;

    assert_int_equal(sg_llama_open(&m, TEST_SOURCE_DIR "/tests/parity/qwen3", &err), SG_OK);
    assert_int_equal(sg_reading_new(&r, m, 16, NULL, &err), SG_OK);
    assert_int_equal(sg_text_tokens(&ids, sg_llama_tokenizer(m), text[0], true, &err), SG_OK);
    assert_int_equal(ids.n, 6);
    assert_int_equal(sg_reading_states(r, ids.id, 6, states, &err), SG_OK);
    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    for (int last = 0; last < 2; last++) {
        snprintf(c.pooling, sizeof c.pooling, last ? "last" : "auto");
        assert_int_equal(sg_sentence_encode(&v, &dim, s, text, 2, &c, NULL, NULL, &report, &err), SG_OK);
        assert_int_equal(dim, DIM);
        for (int k = 0; k < DIM; k++) {
            double mean = 0;

            for (int t = 0; t < 6; t++)
                mean += (double)states[t * DIM + k] / 6;
            assert_true(fabs((double)v[k] - (last ? (double)states[5 * DIM + k] : mean)) <= 1e-6);
        }
        json_decref(report);
        sg_free(v);
    }
    sg_free(ids.id);
    sg_reading_free(r);
    sg_llama_close(m);
    sg_sentence_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_mean),
        cmocka_unit_test(bert_in_a_gguf_file),
        cmocka_unit_test(roberta_every_pooler_and_a_dense_layer),
        cmocka_unit_test(prefix_width_and_tokens),
        cmocka_unit_test(decoders_embed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
