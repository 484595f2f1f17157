/* t5.c - encoders and decoders of the T5 family give the states, logits and texts of transformers (t5.py wrote them), read at once or
 * token by token, on one thread or two. */
#include "base/alloc.h"
#include "file/safetensors.h"
#include "lm/generate.h"
#include "lm/t5.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 150, LENGTH = 40, DIM = 32, VOCAB = 40 };

typedef struct expected {
    sg_tensors *file;
    const float *states, *logits;
    const int32_t *ids, *words, *greedy;
    int n_greedy;
} expected;

static const void *need(const sg_tensors *file, const char *name, sg_dtype type, int rank, const int64_t *dim,
                        int *n)
{
    const sg_file_tensor *t;
    sg_error err;

    if (sg_tensors_need(&t, file, name, type, rank, dim, &err))
        fail_msg("%s", err.message);
    if (n)
        *n = (int)t->dim[0];
    return t->data;
}

static sg_t5 *open_model(expected *x, const char *name)
{
    char path[300];
    sg_t5 *m;
    sg_error err;

    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s", name);
    if (sg_t5_open(&m, path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(sg_t5_config_of(m)->vocab, VOCAB);
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s/expected.safetensors", name);
    assert_int_equal(sg_tensors_open(&x->file, path, &err), SG_OK);
    x->states = need(x->file, "states", SG_DT_F32, 2, (int64_t[]){N, DIM}, NULL);
    x->logits = need(x->file, "logits", SG_DT_F32, 2, (int64_t[]){LENGTH, VOCAB}, NULL);
    x->ids = need(x->file, "ids", SG_DT_I32, 1, (int64_t[]){N}, NULL);
    x->words = need(x->file, "words", SG_DT_I32, 1, (int64_t[]){LENGTH}, NULL);
    x->greedy = need(x->file, "greedy", SG_DT_I32, 1, (int64_t[]){-1}, &x->n_greedy);
    return m;
}

/* f32 against double: states and logits of size 5, sums of up to 150 terms, weights of attention that are far from even */
static void close_enough(const char *what, const float *want, const float *found, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(want[i] - found[i]) <= 5e-5f))
            fail_msg("%s: number %d: expected %g, found %g", what, i, (double)want[i], (double)found[i]);
}

static void check(const char *name, int threads)
{
    static float states[N * DIM], logits[LENGTH * VOCAB], last[VOCAB];
    static double logp[LENGTH];
    expected x;
    sg_t5 *m = open_model(&x, name);
    sg_t5_work *w;
    sg_desk *d;
    sg_pool *pool;
    int text, other, known;
    sg_error err;

    assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
    assert_int_equal(sg_t5_work_new(&w, m, pool, &err), SG_OK);
    assert_int_equal(sg_t5_encode(states, w, x.ids, 3, &err), SG_OK); /* and then with more room */
    assert_int_equal(sg_t5_encode(states, w, x.ids, N, &err), SG_OK);
    close_enough("states", x.states, states, N * DIM);
    sg_t5_work_free(w);

    assert_int_equal(sg_t5_desk(&d, m, LENGTH, pool, &err), SG_OK);
    assert_int_equal(sg_desk_begin(d, &text, &known, x.ids, N, &err), SG_OK);
    for (int i = 0; i < LENGTH; i++) { /* token by token, a fork on the way */
        if (i == 20) {
            assert_int_equal(sg_desk_fork(d, &other, text, &err), SG_OK);
            sg_desk_close(d, text);
            text = other;
        }
        assert_int_equal(
            sg_desk_read(d,
                         &(sg_piece){.text = text, .id = x.words + i, .n = 1, .logits = logits + i * VOCAB},
                         1, &err),
            SG_OK);
    }
    close_enough("logits", x.logits, logits, LENGTH * VOCAB);
    assert_int_equal(sg_desk_read(d, &(sg_piece){.text = text, .id = x.words, .n = 1}, 1, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, "expected at most 0 tokens more, room was made for 40, found 1");
    sg_desk_cut(d, text, 5);
    const sg_piece rest = {.text = text, .id = x.words + 5, .n = LENGTH - 5, .logits = last, .logp = logp};
    assert_int_equal(sg_desk_read(d, &rest, 1, &err), SG_OK);
    close_enough("last logits", x.logits + (LENGTH - 1) * VOCAB, last, VOCAB);
    for (int i = 1; i < LENGTH - 5; i++)
        assert_true(fabs(logp[i] - sg_token_logp(x.logits + (i + 4) * VOCAB, VOCAB, x.words[i + 5])) <= 1e-4);
    sg_desk_free(d);
    sg_pool_free(pool);
    sg_tensors_close(x.file);
    sg_t5_close(m);
}

static void relu_and_shared_table(void **state)
{
    (void)state;
    check("t5", 1);
    check("t5", 2);
}

static void gated_gelu_and_its_own_output(void **state)
{
    (void)state;
    check("t5v11", 1);
    check("t5v11", 2);
}

/* Greedy texts of transformers; together with others the same; the likeliest of a beam is no less likely. */
static void writes_as_transformers_do(void **state)
{
    (void)state;
    static const char *const models[] = {"t5", "t5v11"};

    for (size_t i = 0; i < 2; i++) {
        expected x;
        sg_t5 *m = open_model(&x, models[i]);
        sg_token_list prompt[3] = {{(int32_t *)(uintptr_t)x.ids, N, N},
                                   {(int32_t *)(uintptr_t)x.ids + 20, 30, 30},
                                   {(int32_t *)(uintptr_t)x.ids, N, N}};
        sg_answer out[3] = {{0}}, beams[3] = {{0}};
        sg_generate_config c;
        sg_generate_report report;
        sg_desk *d;
        sg_error err;

        sg_options_init(&c, sg_generate_options, sg_n_generate_options);
        c.length = LENGTH;
        assert_int_equal(sg_t5_desk(&d, m, LENGTH + 1, NULL, &err), SG_OK);
        assert_int_equal(
            sg_generate(out, &report, &(sg_generate_job){d, prompt, 3, -1, NULL, NULL}, &c, NULL, &err),
            SG_OK);
        for (int k = 0; k < 3; k += 2) {
            const sg_written *w = &out[k].text[0];

            assert_int_equal((int)w->tokens.n + w->ended, x.n_greedy);
            assert_memory_equal(w->tokens.id, x.greedy, w->tokens.n * sizeof(int32_t));
            assert_true(w->logp == out[0].text[0].logp);
        }
        c.beam = 4;
        assert_int_equal(
            sg_generate(beams, &report, &(sg_generate_job){d, prompt, 3, -1, NULL, NULL}, &c, NULL, &err),
            SG_OK);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(beams[k].n, 4);
            assert_true(beams[k].text[0].logp >= out[k].text[0].logp - 1e-4 ||
                        beams[k].text[0].tokens.n > out[k].text[0].tokens.n);
            sg_answer_free(&beams[k]);
            sg_answer_free(&out[k]);
        }
        sg_desk_free(d);
        sg_tensors_close(x.file);
        sg_t5_close(m);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *more, *want;
    } rows[] = {
        {"\"model_type\": \"bert\"", "x: 'model_type': expected t5, found \"bert\""},
        {"\"feed_forward_proj\": \"gated-relu\"",
         "x: 'feed_forward_proj': expected relu, gated-gelu or gated-silu, found 'gated-relu'"},
        {"\"d_kv\": 0", "x: 'd_kv': expected an integer from 1 to 4096, found 0"},
        {"\"layer_norm_epsilon\": 2", "x: expected an epsilon of norms from 0 to 1, found 2"},
        {"\"relative_attention_num_buckets\": 6",
         "x: expected a multiple of 4 buckets, and a distance above half of them, found 6 and 128"},
        {"\"eos_token_id\": 40", "x: 'eos_token_id': expected an integer from 0 to 39, found 40"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[400];
        json_t *root, *more;
        sg_t5_config c;
        sg_error err;

        root = json_loads("{\"model_type\": \"t5\", \"d_model\": 32, \"d_kv\": 8, \"num_heads\": 4, "
                          "\"num_layers\": 2, \"d_ff\": 48, "
                          "\"vocab_size\": 40}",
                          0, NULL);
        assert_int_equal(sg_t5_config_read(&c, root, "x", &err), SG_OK);
        snprintf(text, sizeof text, "{%s}", rows[i].more);
        more = json_loads(text, 0, NULL);
        json_object_update(root, more);
        assert_int_equal(sg_t5_config_read(&c, root, "x", &err), SG_ERR_FORMAT);
        assert_string_equal(err.message, rows[i].want);
        json_decref(more);
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu_and_shared_table),
        cmocka_unit_test(gated_gelu_and_its_own_output),
        cmocka_unit_test(writes_as_transformers_do),
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
