/* tokenizer.c - whichever allocation of reading a tokenizer, encoding or decoding fails: a clear error, no leak, and an encoder
 * that works again afterwards. */
#include "faults.h"

#include "text/tokenizer.h"

static const char *const files[] = {"bytes.json",          "wordpiece.json", "words.json",
                                    "unigram.json",        "fallback.json",  "spiece_bpe.model",
                                    "spiece_unigram.model"};
static const char text[] = "It's the <|im_end|> caf\xc3\xa9 e\xcc\x81 \xe6\x9d\xb1\xe4\xba\xac \xff 123 "
                           "word, tokenizer internationalisation";
static char path[300];

static sg_status open_one(void *ctx, sg_error *err)
{
    sg_tokenizer *t;
    const sg_status st = sg_tokenizer_open(&t, path, err);

    (void)ctx;
    sg_tokenizer_close(t);
    return st;
}

typedef struct both {
    const sg_tokenizer *t;
    sg_encoder *e;
} both;

static sg_status make_and_run(void *ctx, sg_error *err)
{
    const both *b = ctx;
    sg_encoder *e;
    sg_buf back = {0};
    const int32_t *id;
    size_t n;
    sg_status st;

    if ((st = sg_encoder_new(&e, b->t, err)))
        return st;
    if (!(st = sg_encoder_run(&id, &n, e, (sg_bytes){text, sizeof text - 1}, NULL, err)))
        st = sg_tokenizer_decode(&back, b->t, id, n, false, err);
    sg_buf_free(&back);
    sg_encoder_free(e);
    return st;
}

static void reading_survives_every_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/tests/parity/tokenizers/%s", TEST_SOURCE_DIR, files[i]);
        assert_true(faults_walk(FAULTS_ALLOC, open_one, NULL, NULL) >= 10);
        assert_true(faults_walk(FAULTS_IO, open_one, NULL, NULL) >= 2);
    }
}

static void encoding_survives_every_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        both b = {0};
        sg_tokenizer *t;

        snprintf(path, sizeof path, "%s/tests/parity/tokenizers/%s", TEST_SOURCE_DIR, files[i]);
        assert_int_equal(sg_tokenizer_open(&t, path, NULL), SG_OK);
        b.t = t;
        assert_true(faults_walk(FAULTS_ALLOC, make_and_run, NULL, &b) >= 5);
        sg_tokenizer_close(t);
    }
}

/* One encoder through all the faults gives what a new one gives. */
static void an_encoder_works_again_after_a_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const int32_t *id, *wanted;
        sg_tokenizer *t;
        sg_encoder *e, *fresh;
        size_t n, n_wanted;
        sg_status st = SG_ERR_MEMORY;

        snprintf(path, sizeof path, "%s/tests/parity/tokenizers/%s", TEST_SOURCE_DIR, files[i]);
        assert_int_equal(sg_tokenizer_open(&t, path, NULL), SG_OK);
        assert_int_equal(sg_encoder_new(&e, t, NULL), SG_OK);
        assert_int_equal(sg_encoder_new(&fresh, t, NULL), SG_OK);
        for (unsigned k = 1; st; k++) {
            sg_alloc_fail_at(k);
            st = sg_encoder_run(&id, &n, e, (sg_bytes){text, sizeof text - 1}, NULL, NULL);
            sg_alloc_fail_at(0);
            assert_true(k < 10000);
            if (st)
                assert_int_equal(sg_encoder_run(&id, &n, e, (sg_bytes){"a", 1}, NULL, NULL), SG_OK);
        }
        assert_int_equal(
            sg_encoder_run(&wanted, &n_wanted, fresh, (sg_bytes){text, sizeof text - 1}, NULL, NULL), SG_OK);
        assert_int_equal(n, n_wanted);
        assert_memory_equal(id, wanted, n * sizeof *id);
        sg_encoder_free(e);
        sg_encoder_free(fresh);
        sg_tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_survives_every_fault),
        cmocka_unit_test(encoding_survives_every_fault),
        cmocka_unit_test(an_encoder_works_again_after_a_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
