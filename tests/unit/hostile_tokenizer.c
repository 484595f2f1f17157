/* hostile_tokenizer.c - tokenizers as large as they come, and those that a stranger may have made (hostile.h). */
#include "hostile.h"

static int setup(void **state)
{
    (void)state;
    return scratch_make(dir, "hostile-tokenizer") ? -1 : 0;
}

static int teardown(void **state)
{
    sg_error err;

    (void)state;
    return sg_dir_remove(dir, &err);
}

/* The tokenizer of the folder that the vocab.json is in. */
static sg_status open_pair(const char *path, sg_error *err)
{
    char folder[300];

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    return open_tokenizer(folder, err);
}

static const hostile_kind kinds[] = {{"tokenizer", open_tokenizer}, {"pair", open_pair}};

/* ---- honest ones -------------------------------------------------------------------------------------------------------------- */
/* As large as the largest of real models, as the tokenizers library writes it: each token of three letters and more is two merges. */
static sg_buf vocabulary(int tokens, bool indented)
{
    const char *const line = indented ? "\n      " : "", *const deep = indented ? "\n        " : "",
                      *const space = indented ? " " : "";
    bool first = true;
    sg_buf b = {0};
    char s[8];

    sg_buf_puts(&b, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":"
                    "true},\"decoder\":{\"type\":\"ByteLevel\"},"
                    "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int i = 0; i < tokens; i++) {
        spell(s, i);
        sg_buf_printf(&b, "%s%s\"%s\":%s%d", i ? "," : "", line, s, space, i);
    }
    sg_buf_puts(&b, "},\"merges\":[");
    for (int i = 26; i < tokens; i++) {
        const size_t n = spell(s, i);

        for (size_t cut = 1; cut < n; cut += n - 2 ? n - 2 : 1, first = false)
            sg_buf_printf(&b, "%s%s[%s\"%.*s\",%s\"%s\"%s]", first ? "" : ",", line, deep, (int)cut, s, deep,
                          s + cut, line);
    }
    sg_buf_puts(&b, "]}}");
    return b;
}

/* Tokens of a Unigram or WordPiece; digits behind their letters, up to so many bytes. */
static sg_buf words(int tokens, bool unigram, int digits)
{
    sg_buf b = {0};
    char s[40];

    sg_buf_puts(&b, "{\"added_tokens\":[{\"id\":0,\"content\":\"a\",\"special\":true}],");
    sg_buf_printf(&b, "\"model\":{\"type\":\"%s\",\"unk_id\":0,\"unk_token\":\"a\",\"vocab\":%c",
                  unigram ? "Unigram" : "WordPiece", unigram ? '[' : '{');
    for (int i = 0; i < tokens; i++) {
        uint32_t x = (uint32_t)i;

        spell(s, i);
        for (int k = (int)strlen(s); k < digits; k++, x = x * 31 + 7) {
            s[k] = (char)('0' + (x >> 4 & 7));
            s[k + 1] = 0;
        }
        sg_buf_printf(&b, unigram ? "%s[\"%s\",-%d.%d]" : "%s\"%s\":%d", i ? "," : "", s,
                      unigram ? 5 + i % 9 : i, i);
    }
    sg_buf_puts(&b, unigram ? "]}}" : "}}}");
    return b;
}

static void large_tokenizers(void **state)
{
    (void)state;
    sg_buf b;
    sg_error err;
    char path[300];

    for (int indented = 1; indented >= 0; indented--) {
        b = vocabulary(256000, indented);
        check(indented ? "tokenizer.json, 256,000 tokens, indented"
                       : "tokenizer.json, 256,000 tokens, packed",
              "tokenizer", "tokenizer.json", &b, MOST, NULL);
        sg_buf_free(&b);
    }
    for (int unigram = 0; unigram < 2; unigram++) {
        b = words(1000000, unigram, 0);
        check(unigram ? "tokenizer.json, 1,000,000 pieces" : "tokenizer.json, 1,000,000 words", "tokenizer",
              "tokenizer.json", &b, MOST, NULL);
        sg_buf_free(&b);
        b = words(1000000, unigram, 13);
        check("tokenizer.json, 1,000,000 longer words", "tokenizer", "tokenizer.json", &b, MOST,
              "different beginnings");
        sg_buf_free(&b);
        b = words(3000000, unigram, 0);
        check("tokenizer.json, 3,000,000 words", "tokenizer", "tokenizer.json", &b, MOST,
              unigram ? "a tokenizer that takes at most 60 MiB" : "2097152 keys");
        sg_buf_free(&b);
    }
    b = vocabulary(500000, false);
    check("tokenizer.json, 999,272 merges", "tokenizer", "tokenizer.json", &b, MOST, NULL);
    sg_buf_free(&b);
    b = vocabulary(700000, false);
    check("tokenizer.json, 1,400,000 merges", "tokenizer", "tokenizer.json", &b, MOST,
          "at most 60 MiB, found more with its merges");
    sg_buf_free(&b);
    b = (sg_buf){0};
    for (int i = 26; i < 400000; i++) {
        char s[8];
        const size_t n = spell(s, i);

        sg_buf_printf(&b, "%.*s %s\n", (int)n - 1, s, s + n - 1);
    }
    snprintf(path, sizeof path, "%s/merges.txt", dir);
    assert_int_equal(sg_file_write(path, b.data, b.size, &err), SG_OK);
    b.size = 0;
    for (int i = 0; i < 400000; i++) {
        char s[8];

        spell(s, i);
        sg_buf_printf(&b, "%s\"%s\":%d", i ? "," : "{", s, i);
    }
    sg_buf_putc(&b, '}');
    check("vocab.json and merges.txt, 400,000 tokens", "pair", "vocab.json", &b, MOST, NULL);
    remove(path);
    sg_buf_free(&b);
}

/* ---- others ------------------------------------------------------------------------------------------------------------------- */
/* Lists of what they should not hold, and what is beside them. */
static void hostile_lists(void **state)
{
    (void)state;
    static const char *const places[][2] = {
        {"{\"added_tokens\":[", "0]}"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[", "0]}}"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":[", "0]},\"merges\":[]}}"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[", "0]}}"},
        {"{\"added_tokens\":[{\"id\":0,\"content\":\"a\",\"x\":[",
         "0]}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":"
         "\"Sequence\",\"normalizers\":[",
         "0]}}"},
    };

    for (size_t k = 0; k < sizeof places / sizeof *places; k++)
        for (size_t i = 0; i < N_DENSE; i++)
            for (size_t mib = 2; mib <= (i < 3 ? 20 : 2); mib += 18) {
                char what[100];
                sg_buf b = {0};

                sg_buf_puts(&b, places[k][0]);
                repeat(&b, dense[i], mib << 20);
                sg_buf_puts(&b, places[k][1]);
                snprintf(what, sizeof what, "tokenizer.json of %.20s, place %zu", dense[i], k);
                check(what, "tokenizer", "tokenizer.json", &b, MOST, "tokenizer.json:");
                sg_buf_free(&b);
            }
}

/* One thing, as often as it takes; @ is its number. */
static void hostile_tokenizer(const char *what, const char *before, const char *each, int n,
                              const char *after, const char *refused)
{
    sg_buf b = {0};

    sg_buf_puts(&b, before);
    for (int i = 0; i < n; i++) {
        const char *at = strchr(each, '@');

        sg_buf_add(&b, each, at ? (size_t)(at - each) : strlen(each));
        if (at)
            sg_buf_printf(&b, "%x%s", (unsigned)i, at + 1);
    }
    b.size -= n && b.data[b.size - 1] == ',';
    sg_buf_puts(&b, after);
    check(what, "tokenizer", "tokenizer.json", &b, MOST, refused);
    sg_buf_free(&b);
}

#define MODEL   "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}"
#define LETTERS "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
#define ADDED   "{\"id\":1,\"content\":\"@" LETTERS "\"},"

/* Many times many: a template that names one token again and again, which stands for many. */
static void hostile_template(void)
{
    sg_buf before = {0};

    sg_buf_puts(&before,
                "{" MODEL
                ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"special_tokens\":{\"a\":{\"ids\":[");
    repeat(&before, "0,", 100000);
    sg_buf_puts(&before, "0]}},\"pair\":[],\"single\":[");
    hostile_tokenizer("tokenizer.json, a template", before.data,
                      "{\"SpecialToken\":{\"id\":\"a\",\"type_id\":0}},", 2000, "]}}",
                      "expected at most 4096 tokens");
    sg_buf_free(&before);
}

static void hostile_tokenizers(void **state)
{
    (void)state;
    hostile_template();
    hostile_tokenizer("tokenizer.json, brackets", "{\"x\":", "[[[[[[[[", 12 << 20, "",
                      "nested at most 2048 deep");
    hostile_tokenizer("tokenizer.json, spaces", "{" MODEL, "        ", 12 << 20, "}",
                      "at most 8 MiB beside vocabulary, merges and added tokens");
    hostile_tokenizer("tokenizer.json, a string with escapes", "{\"x\":\"\\n", LETTERS, 1 << 20,
                      "\"," MODEL "}", "escapes of at most 8 MiB");
    hostile_tokenizer("tokenizer.json, a long string", "{\"x\":\"", LETTERS, 1 << 20, "\"," MODEL "}",
                      "at most 8 MiB beside");
    hostile_tokenizer("tokenizer.json, a long number", "{\"x\":1.", "00000000", 12 << 20, "," MODEL "}",
                      "at most 65536 characters");
    hostile_tokenizer("tokenizer.json, keys", "{\"x\":{", "\"@\":0,", 4 << 20, "}," MODEL "}",
                      "2097152 keys");
    hostile_tokenizer("tokenizer.json, fewer keys", "{\"x\":{", "\"@\":0,", 1 << 20, "}," MODEL "}",
                      "at most 8 MiB beside");
    hostile_tokenizer("tokenizer.json, a token far away",
                      "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2147483647},\"merges\":[]}}", "", 0, "",
                      "token 'a': expected a number below 100001, found 2147483647");
    hostile_tokenizer("tokenizer.json, 100,000 added tokens", "{\"added_tokens\":[", ADDED, 100000,
                      "]," MODEL "}", NULL);
    hostile_tokenizer("tokenizer.json, a long added token", "{\"added_tokens\":[{\"id\":1,\"content\":\"",
                      LETTERS, 1 << 20, "\"}]," MODEL "}", "takes at most 8 MiB of memory");
    hostile_tokenizer("tokenizer.json, a Prepend for added tokens",
                      "{\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"" LETTERS LETTERS LETTERS LETTERS
                          LETTERS LETTERS LETTERS LETTERS "\"},\"added_tokens\":[",
                      ADDED, 99999, "]," MODEL "}", "found more with its added tokens");
    hostile_tokenizer("tokenizer.json, patterns",
                      "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[",
                      "{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"(\\\\p{L}{1,"
                      "200}@|[a-z]{3,500}){1,9}\"}},",
                      5000, "]}," MODEL "}", "found more with its p");
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return open_here(kinds, sizeof kinds / sizeof *kinds, argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_tokenizers),
        cmocka_unit_test(hostile_lists),
        cmocka_unit_test(hostile_tokenizers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
