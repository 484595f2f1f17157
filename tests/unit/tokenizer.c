/* tokenizer.c - the promises of tokenizers beyond the numbers themselves (tests/parity/tokenizer.c has those): merging and Viterbi
 * against slow versions, lengths, pairs, special tokens in text, and errors that say where. */
#include "base/alloc.h"
#include "base/rng.h"
#include "text/bpe.h"
#include "text/token_parts.h"
#include "text/trie.h"
#include "text/unigram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static sg_tokenizer *read_json(const char *json)
{
    sg_tokenizer *t;
    sg_error err;

    if (sg_tokenizer_from_json(&t, (sg_bytes){json, strlen(json)}, "t.json", &err))
        fail_msg("%s", err.message);
    return t;
}

static void expect_ids(const sg_tokenizer *t, const char *text, const sg_encode_how *how,
                       const int32_t *wanted, size_t n_wanted)
{
    sg_encoder *e;
    const int32_t *id;
    size_t n;

    assert_int_equal(sg_encoder_new(&e, t, NULL), SG_OK);
    assert_int_equal(sg_encoder_run(&id, &n, e, (sg_bytes){text, strlen(text)}, how, NULL), SG_OK);
    assert_int_equal(n, n_wanted);
    if (n)
        assert_memory_equal(id, wanted, n * sizeof *id);
    sg_encoder_free(e);
}

#define EXPECT(t, text, how, ...)                                                                            \
    expect_ids(t, text, how, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4)

/* ---- trie -------------------------------------------------------------------------------------------------------------------- */
static void finds_every_key_and_no_other(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "ab", "abc", "b", "", "abd", "ab", "\xff\x01", "zzzzzzzz"};
    enum { N = sizeof words / sizeof *words };
    sg_bytes key[N];
    sg_trie t;
    size_t n;

    for (int i = 0; i < N; i++)
        key[i] = (sg_bytes){words[i], strlen(words[i])};
    assert_int_equal(sg_trie_build(&t, key, N, NULL), SG_OK);
    assert_int_equal(sg_trie_find(&t, "ab", 2), 1); /* of equal keys the first */
    assert_int_equal(sg_trie_find(&t, "abd", 3), 5);
    assert_int_equal(sg_trie_find(&t, "\xff\x01", 2), 7);
    assert_int_equal(sg_trie_find(&t, "\xff", 1), -1);
    assert_int_equal(sg_trie_find(&t, "", 0), -1);
    assert_int_equal(sg_trie_find(&t, "zzzzzzzzz", 9), -1);
    assert_int_equal(sg_trie_longest(&t, "abcd", 4, &n), 2);
    assert_int_equal(n, 3);
    assert_int_equal(sg_trie_longest(&t, "zzz", 3, &n), -1);
    sg_trie_free(&t);
}

/* ---- merging against the definition ---------------------------------------------------------------------------------------------- */
enum { LETTERS = 4, MERGES = 40, TOKENS = LETTERS + MERGES, LONGEST = 64 };

typedef struct toy { /* random merges over the letters a..d */
    char text[TOKENS][LONGEST * 2];
    int left[MERGES], right[MERGES];
} toy;

static void make_toy(toy *t, uint64_t seed)
{
    for (int i = 0; i < LETTERS; i++)
        snprintf(t->text[i], sizeof t->text[i], "%c", 'a' + i);
    for (int m = 0, at = 0; m < MERGES; at++) {
        const int a = (int)(sg_rng_u64(seed, 1, (uint64_t)at, 0) % (uint64_t)(LETTERS + m));
        const int b = (int)(sg_rng_u64(seed, 1, (uint64_t)at, 1) % (uint64_t)(LETTERS + m));
        bool known = strlen(t->text[a]) + strlen(t->text[b]) > 12;
        char both[LONGEST * 4];

        snprintf(both, sizeof both, "%s%s", t->text[a], t->text[b]);
        for (int i = 0; i < LETTERS + m; i++)
            known = known || strcmp(t->text[i], both) == 0;
        if (known)
            continue;
        strcpy(t->text[LETTERS + m], both);
        t->left[m] = a;
        t->right[m++] = b;
    }
}

static int merge_slowly(int *id, const toy *t, const char *s)
{
    int n = 0;

    for (; *s; s++)
        id[n++] = *s - 'a';
    for (;;) {
        int best = MERGES, at = -1;

        for (int i = 0; i + 1 < n; i++)
            for (int m = 0; m < best; m++)
                if (t->left[m] == id[i] && t->right[m] == id[i + 1]) {
                    best = m;
                    at = i;
                }
        if (at < 0)
            return n;
        id[at] = LETTERS + best;
        memmove(id + at + 1, id + at + 2, (size_t)(n - at - 2) * sizeof *id);
        n--;
    }
}

static void merges_as_the_definition_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        toy t;
        sg_bpe b = {.unknown = -1};
        sg_bpe_scratch scratch = {0};
        sg_token_ids ids = {0};
        sg_bytes key[TOKENS];
        sg_trie trie;

        make_toy(&t, seed);
        for (int i = 0; i < TOKENS; i++)
            key[i] = (sg_bytes){t.text[i], strlen(t.text[i])};
        assert_int_equal(sg_trie_build(&trie, key, TOKENS, NULL), SG_OK);
        b.token = &trie;
        assert_int_equal(sg_bpe_reserve(&b, MERGES, NULL), SG_OK);
        for (int m = 0; m < MERGES; m++)
            sg_bpe_add(&b, t.left[m], t.right[m], (uint32_t)m, LETTERS + m);
        for (uint64_t k = 0; k < 500; k++) {
            char s[LONGEST + 1] = "";
            int wanted[LONGEST];
            const size_t size = 1 + sg_rng_u64(seed, 2, k, 0) % LONGEST;

            for (size_t i = 0; i < size; i++)
                s[i] = (char)('a' + sg_rng_u64(seed, 3, k, i) % LETTERS);
            const int n = merge_slowly(wanted, &t, s);
            ids.n = 0;
            assert_true(sg_bpe_encode(&ids, &b, &scratch, s, size));
            assert_int_equal(ids.n, n);
            for (int i = 0; i < n; i++)
                assert_int_equal(ids.id[i], wanted[i]);
        }
        sg_bpe_free(&b);
        sg_bpe_scratch_free(&scratch);
        sg_free(ids.id);
        sg_trie_free(&trie);
    }
}

/* ---- Viterbi against every cut ------------------------------------------------------------------------------------------------------ */
static double best_of_all(const sg_trie *t, const double *score, const char *s, size_t size)
{
    double best = size ? -1e9 : 0;

    for (size_t n = 1; n <= size; n++) {
        const int32_t id = sg_trie_find(t, s, n);
        const double sum = id < 0 ? -1e9 : score[id] + best_of_all(t, score, s + n, size - n);

        best = sum > best ? sum : best;
    }
    return best;
}

static void finds_the_best_cut(void **state)
{
    (void)state;
    double score[TOKENS];
    toy t;
    sg_bytes key[TOKENS];
    sg_trie trie;

    make_toy(&t, 7);
    for (int i = 0; i < TOKENS; i++) {
        key[i] = (sg_bytes){t.text[i], strlen(t.text[i])};
        score[i] = -1 - (double)(sg_rng_u64(7, 4, (uint64_t)i, 0) % 1000) / 100;
    }
    assert_int_equal(sg_trie_build(&trie, key, TOKENS, NULL), SG_OK);
    const sg_unigram u = {.token = &trie, .score = score, .unknown = -1, .unknown_score = -100};
    sg_unigram_scratch scratch = {0};
    sg_token_ids ids = {0};
    for (uint64_t k = 0; k < 300; k++) {
        char s[13] = "";
        const size_t size = 1 + sg_rng_u64(8, 2, k, 0) % 12;
        double sum = 0;

        for (size_t i = 0; i < size; i++)
            s[i] = (char)('a' + sg_rng_u64(8, 3, k, i) % LETTERS);
        ids.n = 0;
        assert_true(sg_unigram_encode(&ids, &u, &scratch, s, size, NULL));
        for (size_t i = 0; i < ids.n; i++)
            sum += score[ids.id[i]];
        assert_true(sum > best_of_all(&trie, score, s, size) - 1e-9); /* twelve sums of doubles below 200 */
    }
    sg_unigram_scratch_free(&scratch);
    sg_free(ids.id);
    sg_trie_free(&trie);
}

/* ---- around the text ------------------------------------------------------------------------------------------------------------------ */
static const char bert[] = "{\"added_tokens\":[{\"id\":2,\"content\":\"[CLS]\",\"special\":true,"
                           "\"normalized\":false},{\"id\":3,\"content\":\"[SEP]\",\"special\":true,"
                           "\"normalized\":false}],\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_"
                           "tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":"
                           "{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]},"
                           "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":"
                           "true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{\"["
                           "UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"cat\":4,\"##s\":5,\"the\":"
                           "6,\".\":7,\"[\":8,\"]\":9,\"sep\":10}}}";

static void cuts_to_a_length_and_keeps_what_is_around(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json(bert);

    EXPECT(t, "The CATS.", NULL, 2, 6, 4, 5, 7, 3);
    EXPECT(t, "The dog", NULL, 2, 6, 1, 3);
    EXPECT(t, "the cats.", (&(sg_encode_how){.most = 4}), 2, 6, 4, 3);
    EXPECT(t, "the cats.", (&(sg_encode_how){.most = 4, .keep_end = true}), 2, 5, 7, 3);
    EXPECT(t, "the cats.", (&(sg_encode_how){.most = 1}), 2, 3);
    EXPECT(t, "the cats.", (&(sg_encode_how){.bare = true, .most = 3}), 6, 4, 5);
    EXPECT(t, "", NULL, 2, 3);
    sg_tokenizer_close(t);
}

static void special_tokens_in_text_can_be_text(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json(bert);

    EXPECT(t, "[SEP]", (&(sg_encode_how){.bare = true}), 3);
    EXPECT(t, "[SEP]", (&(sg_encode_how){.bare = true, .literal = true}), 8, 10, 9);
    sg_tokenizer_close(t);
}

/* A Unigram's list holds control tokens, too; the piece is asked for in turns, so that what is kept of it cannot be mistaken. */
static void a_unigram_spells_no_end(void **state)
{
    (void)state;
    sg_encoder *e;
    sg_tokenizer *t;
    sg_error err;

    assert_int_equal(sg_tokenizer_open(&t, TEST_SOURCE_DIR "/tests/parity/t5", &err), SG_OK);
    assert_int_equal(sg_encoder_new(&e, t, &err), SG_OK);
    for (int turn = 0; turn < 4; turn++) {
        const sg_encode_how how = {.bare = true, .literal = turn % 2};
        const int32_t *id;
        bool ends = false;
        size_t n;

        assert_int_equal(sg_encoder_run(&id, &n, e, (sg_bytes){"a</s>", 5}, &how, &err), SG_OK);
        for (size_t i = 0; i < n; i++)
            ends |= id[i] == 1;
        assert_int_equal(ends, turn % 2 == 0);
    }
    sg_encoder_free(e);
    sg_tokenizer_close(t);
}

static void a_pair_shares_what_room_there_is(void **state)
{
    (void)state;
    static const struct {
        size_t most, a, b;
    } cases[] = {{0, 4, 2}, {9, 4, 2}, {8, 3, 2}, {7, 2, 2}, {6, 2, 1},
                 {5, 1, 1}, {4, 1, 0}, {3, 0, 0}, {1, 0, 0}};
    sg_tokenizer *t = read_json(bert);
    sg_encoder *e;
    const int32_t *id;
    const uint8_t *type;
    size_t n;

    assert_int_equal(sg_encoder_new(&e, t, NULL), SG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t a = cases[i].a, b = cases[i].b;

        assert_int_equal(sg_encoder_pair(&id, &type, &n, e, (sg_bytes){"the the the the", 15},
                                         (sg_bytes){"cat cat", 7}, &(sg_encode_how){.most = cases[i].most},
                                         NULL),
                         SG_OK);
        assert_int_equal(n, a + b + 3);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(id[k], k == 0 ? 2 : k <= a ? 6 : k == a + 1 ? 3 : k <= a + 1 + b ? 4 : 3);
            assert_int_equal(type[k], k > a + 1);
        }
    }
    sg_encoder_free(e);
    sg_tokenizer_close(t);
}

static void looks_up_tokens(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json(bert);

    assert_int_equal(sg_tokenizer_size(t), 11);
    assert_int_equal(sg_tokenizer_find(t, (sg_bytes){"##s", 3}), 5);
    assert_int_equal(sg_tokenizer_find(t, (sg_bytes){"dog", 3}), -1);
    assert_int_equal(sg_tokenizer_token(t, 0).size, 0); /* no token has this number */
    assert_int_equal(sg_tokenizer_token(t, -1).size, 0);
    assert_true(sg_tokenizer_is_special(t, 3) && !sg_tokenizer_is_special(t, 4) &&
                !sg_tokenizer_is_special(t, 99));
    sg_tokenizer_close(t);
}

static void leaves_out_numbers_that_are_no_tokens(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json(bert);
    sg_buf out = {0};

    assert_int_equal(
        sg_tokenizer_decode(&out, t, (const int32_t[]){2, 6, 4, 5, 0, -7, 99, 7, 3}, 9, true, NULL), SG_OK);
    assert_string_equal(out.data, "the cats.");
    sg_buf_free(&out);
    sg_tokenizer_close(t);
}

/* 1 MB of one letter, one piece of it: merging must not be quadratic (it would take an hour). */
static void long_pieces_take_no_quadratic_time(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2},"
                                "\"merges\":[\"a a\",\"aa aa\"]}}");
    enum { SIZE = 1 << 20 };
    char *text = sg_alloc(SIZE);
    sg_encoder *e;
    const int32_t *id;
    size_t n;

    memset(text, 'a', SIZE);
    assert_int_equal(sg_encoder_new(&e, t, NULL), SG_OK);
    assert_int_equal(sg_encoder_run(&id, &n, e, (sg_bytes){text, SIZE}, NULL, NULL), SG_OK);
    assert_int_equal(n, SIZE / 4);
    sg_encoder_free(e);
    sg_free(text);
    sg_tokenizer_close(t);
}

/* Metaspace's "first" asks where a piece began in the raw text, and there a Replace of two characters moves its result on. */
static void only_what_begins_the_text_gets_its_space(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                                "\"Replace\",\"pattern\":{\"String\":\"``\"},\"content\":\"x\"},"
                                "{\"type\":\"Replace\",\"pattern\":{\"String\":\"y\"},\"content\":\"x\"}]},"
                                "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":"
                                "\"\xe2\x96\x81\",\"prepend_scheme\":\"first\"},\"model\":{\"type\":"
                                "\"Unigram\",\"unk_id\":0,\"vocab\":[[\"?\",0],[\"\xe2\x96\x81\",-1],"
                                "[\"x\",-1]]}}");

    EXPECT(t, "x", NULL, 1, 2);
    EXPECT(t, "y", NULL, 1, 2);
    EXPECT(t, "``", NULL, 2);
    EXPECT(t, "x``", NULL, 1, 2, 2);
    sg_tokenizer_close(t);
}

/* A step that only cuts stands between two that write the text anew: the second must not write over what it reads. */
static void a_text_is_written_anew_twice(void **state)
{
    (void)state;
    sg_tokenizer *t =
        read_json("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Metaspace\","
                  "\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":"
                  "\"always\",\"split\":true},{\"type\":\"Whitespace\"},{\"type\":\"Metaspace\","
                  "\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\","
                  "\"split\":true}]},\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xe2\x96\x81\":0,\"a\":1,\"b\":"
                  "2},\"merges\":[]}}");

    EXPECT(t, "a", NULL, 0, 0, 1);
    EXPECT(t, "a b", NULL, 0, 0, 1, 0, 0, 2);
    sg_tokenizer_close(t);
}

/* A token takes the spaces behind it, and one of spaces that begins among these is found all the same, as tokenizers 0.23 has it. */
static void tokens_of_spaces_behind_one_that_takes_them(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json("{\"added_tokens\":[{\"id\":2,\"content\":\"<e>\",\"rstrip\":true},{\"id\":3,"
                                "\"content\":\"   \"},{\"id\":4,\"content\":\"\\n\",\"rstrip\":true}],"
                                "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}");

    EXPECT(t, "<e>   b", NULL, 2, 3, 1);
    EXPECT(t, "<e>    b", NULL, 2, 3, 1);
    EXPECT(t, "<e>  b", NULL, 2, 1);
    EXPECT(t, "a\n\nb", NULL, 0, 4, 4, 1);
    sg_tokenizer_close(t);
}

/* ---- lists that are read from the text ----------------------------------------------------------------------------------------------- */
/* The same tokenizer, whatever the order of its members, and however its strings are written. */
static void reads_lists_in_any_form(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "{\"added_tokens\":[{\"id\":6,\"content\":\"<\xc3\xa9>\",\"special\":true},{\"id\":9}],"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\xc4\xa0\":2,\"ab\":3,\"\xc4\xa0"
        "ab\":4,\"\\\"\":5},"
        "\"merges\":[\"a b\",\"\xc4\xa0 ab\"]}}",
        " {\n \"model\": {\"merges\": [[\"\\u0061\", \"b\"], [\"\\u0120\", \"a\\u0062\", {\"x\": []}]], "
        "\"vocab\": "
        "{\"\\u0120\\u0061\\u0062\": 4, \"\\u0022\": 5, \"ab\": 3, \"\\u0120\": 2, \"b\": 1, \"\\u0061\": "
        "0}, \"type\": \"BPE\"},\r\n"
        "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},\t"
        "\"added_tokens\": [ {\"special\": true, \"x\": {\"vocab\": [], \"model\": {\"vocab\": {\"y\": 7}}}, "
        "\"id\": 6, \"content\": \"<\\u00e9>\"} ] } "};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        sg_tokenizer *t = read_json(forms[i]);

        assert_int_equal(sg_tokenizer_size(t), 7);
        assert_int_equal(sg_tokenizer_find(t, (sg_bytes){"\xc4\xa0"
                                                         "ab",
                                                         4}),
                         4);
        EXPECT(t, "ab ab\"b<\xc3\xa9>a b", NULL, 3, 4, 5, 1, 6, 0, 2, 1);
        sg_tokenizer_close(t);
    }
}

/* As serde_json reads them; the doubles are those that tokenizers 0.23 prints. */
static void scores_have_the_bits_of_the_library(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double score;
    } cases[] = {{"0", 0},
                 {"-7", -7},
                 {"-1.50", -1.5},
                 {"-1e-5", -1e-5},
                 {"-0.0008259791907483378876232860", -0x1.b10d0ce43affcp-11},
                 {"-4.4709005474995252559446109E+08", -0x1.aa60d86bffce3p+28},
                 {"-64543561280619205798609605.4543561280619205798609605", -0x1.ab1d0bbe813bdp+85},
                 {"-9.57118259684277e-25", -0x1.2836b89501474p-80},
                 {"-0.00010609533798496389", -0x1.bcff00711b521p-14},
                 {"-2.35969e-18", -0x1.5c3a91569a468p-59}};
    enum { N = sizeof cases / sizeof *cases };
    sg_buf b = {0};

    sg_buf_puts(&b, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[");
    for (int i = 0; i < N; i++)
        sg_buf_printf(&b, "%s[\"t%d\",%s]", i ? "," : "", i, cases[i].text);
    sg_buf_puts(&b, "]}}");
    sg_tokenizer *t = read_json(b.data);
    for (int i = 0; i < N; i++)
        if (memcmp(&t->unigram.score[i], &cases[i].score, sizeof(double)) != 0)
            fail_msg("%s: expected %a, found %a", cases[i].text, cases[i].score, t->unigram.score[i]);
    sg_tokenizer_close(t);
    sg_buf_free(&b);
}

static void merges_txt_says_which_line_is_wrong(void **state)
{
    (void)state;
    static const char vocab[] = " {\"a\":0,\"b\":1,\"ab\":2} ";
    static const struct {
        const char *merges, *message;
    } cases[] = {{"", NULL},
                 {"#version: 0.2\r\n\r\na b\r\n\n", NULL},
                 {"a b\nab\n", "x: merges, line 2: expected two tokens"},
                 {"a b c", "x: merges, line 1: expected two tokens"},
                 {"\n a", "x: merges, line 2: expected two tokens"},
                 {"a b\na \xff", "x: merges, line 2: expected UTF-8"},
                 {"#version\na b\na c\n", "x: merge 1: expected 'c' to be a token"},
                 {"a ba", "x: merge 0: expected 'ba' to be a token"},
                 {"b a", "x: merge 0: expected 'ba' to be a token"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sg_bytes merges = {cases[i].merges, strlen(cases[i].merges)};
        sg_tokenizer *t;
        sg_error err = {0};
        const sg_status st =
            sg_tokenizer_from_pair(&t, (sg_bytes){vocab, sizeof vocab - 1}, merges, (sg_bytes){0}, "x", &err);

        assert_int_equal(st, cases[i].message ? SG_ERR_FORMAT : SG_OK);
        if (st)
            assert_string_equal(err.message, cases[i].message);
        else if (merges.size)
            EXPECT(t, "ab", NULL, 2);
        sg_tokenizer_close(t);
    }
}

static void vocab_json_is_an_object(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"7", "x: expected 'vocab'"},
                                           {"[[\"a\",-1]]", "x: expected an object as 'vocab'"},
                                           {"{\"a\":0} {}", "x:1:9: end of file expected"},
                                           {"{\"a\":0,\"a\":0}", "x:1:10: duplicate object key"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sg_bytes vocab = {cases[i][0], strlen(cases[i][0])};
        sg_tokenizer *t;
        sg_error err = {0};

        assert_int_equal(sg_tokenizer_from_pair(&t, vocab, (sg_bytes){"", 0}, (sg_bytes){0}, "x", &err),
                         SG_ERR_FORMAT);
        assert_string_equal(err.message, cases[i][1]);
    }
}

/* ---- errors ----------------------------------------------------------------------------------------------------------------------------- */
#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "t.json: expected an object as 'model'"},
        {"{\"model\":{\"type\":\"BPE\"}}", "t.json: expected 'vocab'"},
        {"{\"model\":{\"type\":\"Markov\",\"vocab\":{}}}", "t.json: model of type Markov is not supported"},
        {"{\"normalizer\":{\"type\":\"Nmt\"},\"model\":{}}",
         "t.json: normalizer of type Nmt is not supported"},
        {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},\"model\":{}}",
         "t.json: pre-tokenizer of type UnicodeScripts is not supported"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
         "t.json: token 'a': expected a number below 100001, found -1"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
         "t.json: merge 0: expected 'b' to be a token"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}",
         "t.json: merge 0: expected two tokens"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",7]]}}",
         "t.json: merge 0: expected two tokens"},
        {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{"
         "\"String\":\"a\"},\"content\":\"" A64 A64 "\"},"
         "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"" A64 A64 "\"},"
         "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"" A64 A64
         "\"}]},\"added_tokens\":[{\"id\":1,\"content\":\"a\"}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":"
         "0},\"merges\":[]}}",
         "t.json: expected a normalized text of at most 65536 bytes, found more"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":{}}}",
         "t.json: expected an array as 'merges'"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}} 1",
         "t.json:1:54: end of file expected"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\n\"b\":1, \"\\u0061\":2},\"merges\":[]}}",
         "t.json:2:15: duplicate object key"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\\u0000\":0},\"merges\":[]}}",
         "t.json:1:40: \\u0000 is not allowed"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xff\":0},\"merges\":[]}}",
         "t.json:1:34: expected UTF-8"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":\"b\"},\"merges\":[]}}",
         "t.json: token 'a': expected a number below 100001, found \"b\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":[[0]]},\"merges\":[]}}",
         "t.json: token 'a': expected a number below 100001, found an array"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0.0},\"merges\":[]}}",
         "t.json: token 'a': expected a number below 100001, found 0.0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":[[\"a\",0]],\"merges\":[]}}",
         "t.json: expected an object as 'vocab'"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",-1],[\"b\"]]}}",
         "t.json: vocab: entry 1: expected [string, number]"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[{\"a\":1}]}}",
         "t.json: vocab: entry 0: expected [string, number]"},
        {"{\"added_tokens\":[{\"id\":-2,\"content\":\"b\"}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
         "\"merges\":[]}}",
         "t.json: token 'b': expected a number below 100002, found -2"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":3,\"vocab\":[[\"a\",-1]]}}",
         "t.json: expected 'unk_id' to be a token"},
        {"{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"vocab\":{\"a\":0}}}",
         "t.json: expected 'unk_token' to be a token"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"},\"model\":{}}",
         "t.json: charsmap: expected at least 4 bytes, found 2"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"},"
         "\"model\":{}}",
         "t.json: pattern '(': missing closing parenthesis"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Kept\"},"
         "\"model\":{}}",
         "t.json: expected a known 'behavior', found \"Kept\""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_tokenizer *t;
        sg_error err;

        assert_int_equal(
            sg_tokenizer_from_json(&t, (sg_bytes){cases[i][0], strlen(cases[i][0])}, "t.json", &err),
            SG_ERR_FORMAT);
        assert_string_equal(err.message, cases[i][1]);
        assert_null(t);
    }
}

static void a_pattern_that_does_not_end_is_an_error(void **state)
{
    (void)state;
    sg_tokenizer *t = read_json("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+a+)+b\"},"
                                "\"behavior\":\"Isolated\"},"
                                "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
    static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac";
    sg_encoder *e;
    const int32_t *id;
    sg_error err;
    size_t n;

    assert_int_equal(sg_encoder_new(&e, t, NULL), SG_OK);
    if (sg_encoder_run(&id, &n, e, (sg_bytes){text, sizeof text - 1}, NULL,
                       &err)) /* PCRE2 may see that no b follows */
        assert_string_equal(err.message,
                            "a pattern of the tokenizer gives up on this text (PCRE2 error -47)");
    sg_encoder_free(e);
    sg_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_key_and_no_other),
        cmocka_unit_test(merges_as_the_definition_says),
        cmocka_unit_test(finds_the_best_cut),
        cmocka_unit_test(cuts_to_a_length_and_keeps_what_is_around),
        cmocka_unit_test(special_tokens_in_text_can_be_text),
        cmocka_unit_test(a_unigram_spells_no_end),
        cmocka_unit_test(a_pair_shares_what_room_there_is),
        cmocka_unit_test(looks_up_tokens),
        cmocka_unit_test(leaves_out_numbers_that_are_no_tokens),
        cmocka_unit_test(long_pieces_take_no_quadratic_time),
        cmocka_unit_test(only_what_begins_the_text_gets_its_space),
        cmocka_unit_test(a_text_is_written_anew_twice),
        cmocka_unit_test(tokens_of_spaces_behind_one_that_takes_them),
        cmocka_unit_test(reads_lists_in_any_form),
        cmocka_unit_test(scores_have_the_bits_of_the_library),
        cmocka_unit_test(merges_txt_says_which_line_is_wrong),
        cmocka_unit_test(vocab_json_is_an_object),
        cmocka_unit_test(says_what_is_wrong_with_a_file),
        cmocka_unit_test(a_pattern_that_does_not_end_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
