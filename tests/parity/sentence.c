/* sentence.c - prompts, lower case, poolers and layers give the vectors of sentence-transformers and transformers (sentence.py wrote
 * those). */
#include "base/alloc.h"
#include "file/safetensors.h"
#include "lm/desk.h"
#include "lm/llama.h"
#include "lm/sentence.h"
#include "lm/t5.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS = 5, DIM = 24, WIDTH = 5 * DIM };
static const char *const texts[TEXTS] = {"a b c", "", "C", "d e F g h i j k a b c d e f g h", "A \xc3\x89 a"};
static sg_sentence *model;
static sg_tensors *expected;

static int set_up(void **state)
{
    return sg_sentence_open(&model, TEST_SOURCE_DIR "/tests/parity/prompts", NULL) ||
           sg_tensors_open(&expected, TEST_SOURCE_DIR "/tests/parity/prompts/expected.safetensors", NULL);
}

static int tear_down(void **state)
{
    sg_sentence_close(model);
    sg_tensors_close(expected);
    return 0;
}

static sg_sentence_config plain(void)
{
    sg_sentence_config c;

    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    snprintf(c.precision, sizeof c.precision, "f32");
    return c;
}

static const float *wanted(const char *name, size_t count)
{
    const sg_file_tensor *t = sg_tensors_find(expected, name);

    assert_non_null(t);
    assert_int_equal(t->count, count);
    return (const float *)t->data;
}

static void assert_near(const char *name, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) /* f32 against double */
        if (!(fabsf(got[i] - want[i]) <= 2e-5f))
            fail_msg("%s: number %zu: expected %g, found %g", name, i, (double)want[i], (double)got[i]);
}

static json_t *encode(float *out, int width, const sg_sentence_config *c, const char *const *text, size_t n)
{
    sg_bytes t[TEXTS];
    json_t *report;
    int32_t dim;
    float *v;
    sg_error err;

    for (size_t i = 0; i < n; i++)
        t[i] = (sg_bytes){text[i], strlen(text[i])};
    if (sg_sentence_encode(&v, &dim, model, t, n, c, NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
    assert_int_equal(dim, width);
    memcpy(out, v, n * (size_t)width * sizeof *out);
    sg_free(v);
    return report;
}

static void fails(const sg_sentence_config *c, const char *message)
{
    const sg_bytes text = {"a", 1};
    json_t *report;
    int32_t dim;
    float *v;
    sg_error err;

    assert_int_equal(sg_sentence_encode(&v, &dim, model, &text, 1, c, NULL, NULL, &report, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, message);
}

static void prompts_are_those_of_the_folder(void **state)
{
    static const struct {
        const char *want, *name, *prefix, *told;
    } cases[] = {
        {"default", "", "", "a B "},
        {"query", "query", "", "a B "},
        {"document", "document", "", NULL},
        {"document", "none", "", NULL},
        {"long", "long", "",
         "a b c d e f g h i j k a b c "}, /* more than fits: of it only the first tokens are left out */
        {"own", "", "k b ", "k b "}};
    sg_sentence_config c;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float got[TEXTS * WIDTH];
        json_t *report;

        c = plain();
        snprintf(c.prompt_name, sizeof c.prompt_name, "%s", cases[i].name);
        snprintf(c.prefix, sizeof c.prefix, "%s", cases[i].prefix);
        report = encode(got, WIDTH, &c, texts, TEXTS);
        assert_near(cases[i].want, got, wanted(cases[i].want, TEXTS * WIDTH), TEXTS * WIDTH);
        const char *told = json_string_value(json_object_get(report, "prompt"));
        assert_true(cases[i].told ? told && strcmp(told, cases[i].told) == 0 : !told);
        assert_null(json_object_get(report, "warning"));
        json_decref(report);
    }
    c = plain();
    snprintf(c.prompt_name, sizeof c.prompt_name, "passage");
    fails(&c, "prompt_name: expected none or one of query, document, long, found passage");
    snprintf(c.prefix, sizeof c.prefix, "x");
    fails(&c, "prompt_name: expected this or a prefix, found both");
}

static void poolers_and_layers_can_be_chosen(void **state)
{
    static const char *const poolers[] = {"cls_tanh", "avg_first_last", "avg_top2", "weightedmean",
                                          "mean_sqrt"};
    const char *const text = "a b c";
    sg_sentence_config c = plain();
    float got[DIM];

    snprintf(c.prompt_name, sizeof c.prompt_name, "none");
    for (size_t i = 0; i < sizeof poolers / sizeof *poolers; i++) {
        snprintf(c.pooling, sizeof c.pooling, "%s", poolers[i]);
        json_decref(encode(got, DIM, &c, &text, 1));
        assert_near(poolers[i], got, wanted(poolers[i], DIM), DIM);
    }
    snprintf(c.pooling, sizeof c.pooling, "mean");
    for (int layer = -4; layer <= 3; layer++) {
        c.layer = layer;
        json_decref(encode(got, DIM, &c, &text, 1));
        assert_near("mean", got, wanted("layers", 4 * DIM) + (layer < 0 ? 4 + layer : layer) * DIM, DIM);
    }
    c.layer = 4;
    fails(&c, "layer: expected at most 3, the layers of the model, or at least -4, found 4");
    c.layer = -5;
    fails(&c, "layer: expected at most 3, the layers of the model, or at least -4, found -5");
    c.layer = 1;
    snprintf(c.pooling, sizeof c.pooling, "avg_top2");
    fails(&c, "layer: avg_top2 is that of certain layers");
    c = plain();
    c.tokens = 2; /* [CLS] and [SEP] */
    fails(&c, "tokens: expected more than the 2 that the tokenizer puts around a text, found 2");
}

/* Decoders and T5s: each layer, and the mean of two. */
static void every_layer_has_its_states(void **state)
{
    static const char *const names[] = {"llama", "qwen3", "t5"};

    for (size_t k = 0; k < 3; k++) {
        char path[300], key[40];
        const sg_file_tensor *ids, *layers;
        sg_llama *llama = NULL;
        sg_t5 *t5 = NULL;
        sg_t5_work *work = NULL;
        sg_reading *r = NULL;
        sg_error err;

        snprintf(key, sizeof key, "%s.ids", names[k]);
        assert_non_null(ids = sg_tensors_find(expected, key));
        snprintf(key, sizeof key, "%s.layers", names[k]);
        assert_non_null(layers = sg_tensors_find(expected, key));
        snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s", names[k]);
        if (k < 2) {
            assert_int_equal(sg_llama_open(&llama, path, &err), SG_OK);
            assert_int_equal(sg_reading_new(&r, llama, 64, NULL, &err), SG_OK);
        } else {
            assert_int_equal(sg_t5_open(&t5, path, &err), SG_OK);
            assert_int_equal(sg_t5_work_new(&work, t5, NULL, &err), SG_OK);
        }
        const int n = (int)ids->count, last = (int)layers->dim[0] - 1;
        const size_t each = layers->count / (size_t)(last + 1);
        float *got = sg_alloc_array(each, sizeof *got), *want = sg_alloc_array(each, sizeof *want);
        const float *all = (const float *)layers->data;
        for (int a = 0; a <= last; a++)
            for (int b = 0; b <= last; b++) {
                const sg_depth depth = {a, b > a ? b : 0};

                for (size_t i = 0; i < each; i++) {
                    const float x = all[(size_t)a * each + i];

                    want[i] = b > a ? (x + all[(size_t)b * each + i]) / 2 : x;
                }
                if (r) {
                    sg_reading_cut(r, 0);
                    assert_int_equal(sg_reading_depth(r, depth, &err), SG_OK);
                    assert_int_equal(sg_reading_states(r, (const int32_t *)ids->data, n, got, &err), SG_OK);
                } else {
                    assert_int_equal(sg_t5_hidden(got, work, (const int32_t *)ids->data, n, depth, &err),
                                     SG_OK);
                }
                assert_near(names[k], got, want, each);
            }
        sg_free(got);
        sg_free(want);
        sg_reading_free(r);
        sg_llama_close(llama);
        sg_t5_work_free(work);
        sg_t5_close(t5);
    }
}

/* Tokens that see those behind them: each layer, and one text beside others. */
static void decoders_may_look_both_ways(void **state)
{
    static const char *const names[] = {"llama", "qwen3"};
    const sg_bytes text[3] = {{"a", 1}, {"dpbb\n", 5}, {"the the the", 11}};

    for (size_t k = 0; k < 2; k++) {
        char path[300], key[40];
        sg_sentence_config c = plain();
        const sg_file_tensor *want;
        sg_sentence *s;
        sg_error err;

        snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s", names[k]);
        assert_int_equal(sg_sentence_open(&s, path, &err), SG_OK);
        snprintf(key, sizeof key, "%s.both", names[k]);
        assert_non_null(want = sg_tensors_find(expected, key));
        const size_t dim = (size_t)want->dim[1];
        c.both_ways = true;
        for (c.layer = 0; c.layer < (int)want->dim[0]; c.layer++) {
            json_t *report;
            int32_t width;
            float *v;

            if (sg_sentence_encode(&v, &width, s, text, 3, &c, NULL, NULL, &report, &err))
                fail_msg("%s", err.message);
            assert_int_equal(width, dim);
            assert_near(key, v + dim, (const float *)want->data + (size_t)c.layer * dim, dim);
            json_decref(report);
            sg_free(v);
        }
        sg_sentence_close(s);
    }
    sg_sentence_config c = plain();
    c.both_ways = true;
    fails(&c, "both_ways: expected a decoder");
}

static void a_folder_without_poolers_is_told(void **state)
{
    const sg_bytes text = {"ab", 2};
    sg_sentence_config c = plain();
    sg_sentence *s;
    json_t *report;
    int32_t dim;
    float *v;
    sg_error err;

    assert_int_equal(sg_sentence_open(&s, TEST_SOURCE_DIR "/tests/parity/llama", &err), SG_OK);
    for (int own = 0; own < 2; own++) {
        assert_int_equal(sg_sentence_encode(&v, &dim, s, &text, 1, &c, NULL, NULL, &report, &err), SG_OK);
        const char *told = json_string_value(json_object_get(report, "warning"));
        assert_true(
            own ? !told
                : told && strcmp(told, "the model's files say nothing of poolers: the mean is taken") == 0);
        json_decref(report);
        sg_free(v);
        snprintf(c.pooling, sizeof c.pooling, "last");
    }
    snprintf(c.pooling, sizeof c.pooling, "cls_tanh");
    assert_int_equal(sg_sentence_encode(&v, &dim, s, &text, 1, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "pooling: cls_tanh needs an encoder with a pooler behind its first token, and this one has none");
    sg_sentence_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_are_those_of_the_folder),
        cmocka_unit_test(poolers_and_layers_can_be_chosen),
        cmocka_unit_test(every_layer_has_its_states),
        cmocka_unit_test(decoders_may_look_both_ways),
        cmocka_unit_test(a_folder_without_poolers_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
