/* gguf.c - a file of every kind of value is read; each way to lie about sizes is one error that says where. */
#include "base/alloc.h"
#include "file/gguf.h"
#include "lm/bert.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(sg_buf *b, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sg_buf_putc(b, (char)(x >> (8 * i)));
}

static void put_string(sg_buf *b, const char *s)
{
    put(b, strlen(s), 8);
    sg_buf_puts(b, s);
}

static void begin(sg_buf *b, uint64_t tensors, uint64_t values)
{
    b->size = 0;
    sg_buf_puts(b, "GGUF");
    put(b, 3, 4);
    put(b, tensors, 8);
    put(b, values, 8);
}

static void put_tensor(sg_buf *b, const char *name, uint64_t columns, uint64_t rows, int type,
                       uint64_t offset)
{
    put_string(b, name);
    put(b, 2, 4);
    put(b, columns, 8);
    put(b, rows, 8);
    put(b, (uint64_t)type, 4);
    put(b, offset, 8);
}

static void pad(sg_buf *b, size_t alignment, size_t data)
{
    while (b->size % alignment)
        sg_buf_putc(b, 0);
    for (size_t i = 0; i < data; i++)
        sg_buf_putc(b, (char)i);
}

static void expect_error(const sg_buf *b, const char *message)
{
    sg_gguf *g;
    sg_error err;

    assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b->data, b->size}, "m.gguf", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, message);
    assert_null(g);
}

static void reads_every_kind_of_value(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int kind, bytes;
        uint64_t bits;
        double value;
    } cases[] = {
        {"u8", 0, 1, 200, 200},
        {"i8", 1, 1, 0xff, -1},
        {"u16", 2, 2, 60000, 60000},
        {"i16", 3, 2, 0xfffe, -2},
        {"u32", 4, 4, 4000000000, 4e9},
        {"i32", 5, 4, 0xfffffffd, -3},
        {"f32", 6, 4, 0x3fc00000, 1.5},
        {"bool", 7, 1, 1, 1},
        {"u64", 10, 8, 1ull << 40, 0x1p40},
        {"i64", 11, 8, UINT64_MAX, -1},
        {"f64", 12, 8, 0x4004000000000000, 2.5},
    };
    enum { N = sizeof cases / sizeof *cases };
    sg_buf b = {0};
    sg_gguf *g;

    begin(&b, 0, N + 2);
    for (int i = 0; i < N; i++) {
        put_string(&b, cases[i].key);
        put(&b, (uint64_t)cases[i].kind, 4);
        put(&b, cases[i].bits, cases[i].bytes);
    }
    put_string(&b, "text");
    put(&b, 8, 4);
    put_string(&b, "hello");
    put_string(&b, "nested"); /* [[1, 2], []] */
    put(&b, 9, 4);
    put(&b, 9, 4);
    put(&b, 2, 8);
    put(&b, 0, 4);
    put(&b, 2, 8);
    put(&b, 0x0201, 2);
    put(&b, 0, 4);
    put(&b, 0, 8);
    assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b.data, b.size}, "m.gguf", NULL), SG_OK);
    assert_int_equal(sg_gguf_values(g), N + 2);
    for (int i = 0; i < N; i++)
        assert_true(sg_gguf_number_or(g, cases[i].key, 99) == cases[i].value);
    assert_int_equal(sg_gguf_string(g, "text").size, 5);
    assert_true(sg_gguf_find(g, "nested")->array && sg_gguf_find(g, "nested")->kind == SG_GGUF_ARRAY);
    assert_int_equal(sg_gguf_find(g, "nested")->bytes, 26);
    sg_gguf_close(g);
    sg_buf_free(&b);
}

static void places_tensors_by_the_files_alignment(void **state)
{
    (void)state;
    sg_buf b = {0};
    sg_gguf *g;
    float x[4];

    begin(&b, 2, 1);
    put_string(&b, "general.alignment");
    put(&b, 4, 4);
    put(&b, 64, 4);
    put_tensor(&b, "b", 4, 1, 0, 64);
    put_tensor(&b, "a", 2, 2, 30, 0);
    pad(&b, 64, 80);
    assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b.data, b.size}, "m.gguf", NULL), SG_OK);
    assert_string_equal(sg_gguf_at(g, 0)->name, "a");
    assert_ptr_equal(sg_gguf_at(g, 0)->data, b.data + b.size - 80);
    assert_ptr_equal(sg_gguf_tensor_find(g, "b")->data, b.data + b.size - 16);
    assert_int_equal(sg_gguf_decode(x, g, sg_gguf_at(g, 0), 0, 4, NULL), SG_OK);
    assert_null(sg_gguf_tensor_find(g, "c"));
    sg_gguf_close(g);
    sg_buf_free(&b);
}

static void a_type_not_known_is_an_error_only_when_used(void **state)
{
    (void)state;
    sg_buf b = {0};
    sg_gguf *g;
    sg_error err;
    float x;

    begin(&b, 1, 0);
    put_tensor(&b, "w", 256, 1, 16, 0);
    pad(&b, 32, 0);
    assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b.data, b.size}, "m.gguf", NULL), SG_OK);
    assert_int_equal(sg_gguf_decode(&x, g, sg_gguf_at(g, 0), 0, 256, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "m.gguf: tensor 'w': type IQ2_XXS is not supported");
    sg_gguf_close(g);
    sg_buf_free(&b);
}

/* A score that is no number has no form in JSON, and no place in a search for the best cut. */
static void scores_of_tokens_are_finite(void **state)
{
    (void)state;
    static const uint32_t scores[] = {0x7fc00000, 0x7f800000, 0xff800000, 0xbf800000};
    sg_buf b = {0};
    sg_gguf *g;
    sg_tokenizer *t;
    sg_error err;
    json_t *form;

    for (int i = 0; i < 4; i++) {
        begin(&b, 0, 4);
        put_string(&b, "tokenizer.ggml.model");
        put(&b, 8, 4);
        put_string(&b, "t5");
        put_string(&b, "tokenizer.ggml.tokens");
        put(&b, 9, 4);
        put(&b, 8, 4);
        put(&b, 2, 8);
        put_string(&b, "<unk>");
        put_string(&b, "a");
        put_string(&b, "tokenizer.ggml.scores");
        put(&b, 9, 4);
        put(&b, 6, 4);
        put(&b, 2, 8);
        put(&b, 0, 4);
        put(&b, scores[i], 4);
        put_string(&b, "tokenizer.ggml.token_type");
        put(&b, 9, 4);
        put(&b, 5, 4);
        put(&b, 2, 8);
        put(&b, 2, 4);
        put(&b, 1, 4);
        assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b.data, b.size}, "m.gguf", NULL), SG_OK);
        assert_int_equal(sg_tokenizer_gguf_json(&form, g, &err), i < 3 ? SG_ERR_FORMAT : SG_OK);
        if (i < 3)
            assert_string_equal(err.message,
                                "m.gguf: 'tokenizer.ggml.scores': token 1: expected a finite number");
        json_decref(form);
        assert_int_equal(sg_tokenizer_from_gguf(&t, g, &err), i < 3 ? SG_ERR_FORMAT : SG_OK);
        sg_tokenizer_close(t);
        sg_gguf_close(g);
    }
    sg_buf_free(&b);
}

static void put_strings(sg_buf *b, const char *key, const char *const *text, uint64_t n)
{
    put_string(b, key);
    put(b, 9, 4);
    put(b, 8, 4);
    put(b, n, 8);
    for (uint64_t i = 0; i < n; i++)
        put_string(b, text[i]);
}

static void put_text(sg_buf *b, const char *key, const char *text)
{
    put_string(b, key);
    put(b, 8, 4);
    put_string(b, text);
}

/* Tokens of "ab", t freed. */
static size_t first_of(int32_t *id, sg_tokenizer *t)
{
    const int32_t *got;
    sg_encoder *e;
    size_t n;
    sg_error err;

    assert_int_equal(sg_encoder_new(&e, t, &err), SG_OK);
    assert_int_equal(sg_encoder_run(&got, &n, e, (sg_bytes){"ab", 2}, NULL, &err), SG_OK);
    *id = n ? got[0] : -1;
    sg_encoder_free(e);
    sg_tokenizer_close(t);
    return n;
}

/* Llama 3's family has a token in front of texts where the file does not say, as llama.cpp has it; what a file says counts. */
static void families_know_whether_texts_have_a_token_in_front(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<s>", "a", "b", "ab"}, *const merges[] = {"a b"},
                             *const families[] = {"llama-bpe", "gpt-2"};
    sg_buf b = {0};

    for (int family = 0; family < 2; family++)
        for (int says = -1; says <= 1; says++) {
            const bool begins = says >= 0 ? says : family == 0;
            sg_gguf *g;
            sg_tokenizer *t;
            json_t *form;
            int32_t id;
            sg_error err;

            begin(&b, 0, says < 0 ? 6 : 7);
            put_text(&b, "tokenizer.ggml.model", "gpt2");
            put_text(&b, "tokenizer.ggml.pre", families[family]);
            put_strings(&b, "tokenizer.ggml.tokens", tokens, 4);
            put_strings(&b, "tokenizer.ggml.merges", merges, 1);
            put_string(&b, "tokenizer.ggml.token_type");
            put(&b, 9, 4);
            put(&b, 5, 4);
            put(&b, 4, 8);
            for (int i = 0; i < 4; i++)
                put(&b, i ? 1 : 3, 4);
            put_string(&b, "tokenizer.ggml.bos_token_id");
            put(&b, 4, 4);
            put(&b, 0, 4);
            if (says >= 0) {
                put_string(&b, "tokenizer.ggml.add_bos_token");
                put(&b, 7, 4);
                put(&b, (uint64_t)says, 1);
            }
            assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b.data, b.size}, "m.gguf", &err), SG_OK);
            assert_int_equal(sg_tokenizer_from_gguf(&t, g, &err), SG_OK);
            assert_int_equal(first_of(&id, t), begins ? 2 : 1);
            assert_int_equal(id, begins ? 0 : 3);
            assert_int_equal(sg_tokenizer_gguf_json(&form, g, &err), SG_OK);
            char *text = json_dumps(form, 0);
            assert_int_equal(sg_tokenizer_from_json(&t, (sg_bytes){text, strlen(text)}, "form", &err), SG_OK);
            assert_int_equal(first_of(&id, t), begins ? 2 : 1);
            assert_int_equal(id, begins ? 0 : 3);
            free(text);
            json_decref(form);
            sg_gguf_close(g);
        }
    sg_buf_free(&b);
}

/* The sizes of a BERT, of which one is wrong. */
static void sizes_of_an_encoder_are_checked(void **state)
{
    (void)state;
    static const char *const key[] = {"bert.embedding_length",     "bert.block_count",
                                      "bert.attention.head_count", "bert.feed_forward_length",
                                      "bert.vocab_size",           "bert.context_length"};
    static const struct {
        int which;
        uint32_t value;
        const char *message;
    } cases[] = {
        {-1, 0, NULL},
        {0, 25, "m.gguf: 'bert.embedding_length': expected a multiple of 3 heads, found 25"},
        {1, 0, "m.gguf: 'bert.block_count': expected an integer from 1 to 1000, found 0"},
        {4, 1u << 30, "m.gguf: 'bert.vocab_size': expected an integer from 1 to 16777216, found 1.07374e+09"},
        {5, 0, "m.gguf: 'bert.context_length': expected an integer from 1 to 1048576, found 0"}};
    static const uint32_t fine[] = {24, 2, 3, 40, 15, 16};
    sg_buf b = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_bert_config c;
        sg_gguf *g;
        sg_error err;

        begin(&b, 0, 7);
        put_text(&b, "general.architecture", "bert");
        for (int k = 0; k < 6; k++) {
            put_string(&b, key[k]);
            put(&b, 4, 4);
            put(&b, k == cases[i].which ? cases[i].value : fine[k], 4);
        }
        assert_int_equal(sg_gguf_parse(&g, (sg_bytes){b.data, b.size}, "m.gguf", &err), SG_OK);
        assert_int_equal(sg_bert_config_gguf(&c, g, &err), cases[i].message ? SG_ERR_FORMAT : SG_OK);
        if (cases[i].message)
            assert_string_equal(err.message, cases[i].message);
        else
            assert_true(c.dim == 24 && c.layers == 2 && c.heads == 3 && c.ffn == 40 && c.vocab == 15 &&
                        c.places == 16 && c.types == 1);
        sg_gguf_close(g);
    }
    sg_buf_free(&b);
}

static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    sg_buf b = {0};

    sg_buf_puts(&b, "GGML");
    expect_error(&b, "m.gguf: expected a GGUF file");
    begin(&b, 0, 0);
    b.data[4] = 1;
    expect_error(&b, "m.gguf: expected GGUF version 2 or 3, found 1");
    b.data[4] = 0;
    b.data[7] = 3;
    expect_error(&b, "m.gguf: big-endian GGUF files are not supported");
    begin(&b, 0, UINT64_MAX);
    expect_error(&b, "m.gguf: the header counts more than the file can hold");
    begin(&b, 0, 1);
    put(&b, 1ull << 60, 8);
    put(&b, 0, 8);
    expect_error(&b, "m.gguf: key-value 0: the key is cut short or too long");
    begin(&b, 0, 1);
    put_string(&b, "key");
    put(&b, 13, 4);
    expect_error(&b, "m.gguf: 'key': expected a known type of value");
    begin(&b, 0, 1);
    put_string(&b, "key");
    put(&b, 9, 4);
    put(&b, 12, 4);
    put(&b, 1ull << 61, 8); /* times 8 is 0 */
    expect_error(&b, "m.gguf: 'key': the value is cut short");
    begin(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_string(&b, "key");
        put(&b, 0, 4);
        put(&b, 0, 1);
    }
    expect_error(&b, "m.gguf: key 'key' occurs twice");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 33, 1, 2, 0);
    expect_error(&b, "m.gguf: tensor 'w': expected rows of a multiple of 32 values for Q4_0");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 1ull << 33, 1ull << 33, 0, 0);
    expect_error(&b, "m.gguf: tensor 'w': the shape is cut short or too large");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 4, 1, 0, 32);
    pad(&b, 32, 47);
    expect_error(&b, "m.gguf: tensor 'w': its 16 bytes reach past the end of the file");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 4, 1, 0, 8);
    pad(&b, 32, 64);
    expect_error(&b, "m.gguf: tensor 'w': expected a place that is a multiple of 32");
    begin(&b, 2, 0);
    put_tensor(&b, "w", 4, 1, 0, 0);
    put_tensor(&b, "w", 4, 1, 0, 0);
    pad(&b, 32, 64);
    expect_error(&b, "m.gguf: tensor 'w' occurs twice");
    begin(&b, 0, 1);
    put_string(&b, "general.alignment");
    put(&b, 4, 4);
    put(&b, 12, 4);
    expect_error(&b, "m.gguf: expected an alignment that is a multiple of 8, found 12");
    sg_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_value),
        cmocka_unit_test(places_tensors_by_the_files_alignment),
        cmocka_unit_test(a_type_not_known_is_an_error_only_when_used),
        cmocka_unit_test(scores_of_tokens_are_finite),
        cmocka_unit_test(sizes_of_an_encoder_are_checked),
        cmocka_unit_test(families_know_whether_texts_have_a_token_in_front),
        cmocka_unit_test(says_what_is_wrong_with_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
