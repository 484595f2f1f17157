/* template.c - template files: what they say, what is wrong with them, and prompts that keep what matters. */
#include "base/alloc.h"
#include "text/template.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N(list) (sizeof(list) / sizeof *(list))

static sg_template *parsed(const char *text)
{
    sg_template *t;
    sg_error err = {0};

    if (sg_template_parse(&t, (sg_bytes){text, strlen(text)}, "t.txt", &err))
        fail_msg("%s", err.message);
    return t;
}

static void refused(const char *text, const char *message)
{
    const int64_t live = sg_alloc_live();
    sg_template *t;
    sg_error err;

    assert_int_equal(sg_template_parse(&t, (sg_bytes){text, strlen(text)}, "t.txt", &err), SG_ERR_FORMAT);
    assert_null(t);
    assert_string_equal(err.message, message);
    assert_int_equal(sg_alloc_live(), live);
}

#define HEAD "template t 1\n"

static void says_what_is_wrong(void **state)
{
    (void)state;
    refused("", "t.txt:1: expected a turn such as [user], found the end of the file");
    refused("[user]\nhi\n", "t.txt:1: expected 'template NAME VERSION', found [user]");
    refused("slot a\n", "t.txt:1: expected 'template NAME VERSION', found 'slot'");
    refused("template t\n", "t.txt:1: expected a version, found nothing");
    refused("template t 1 2\n", "t.txt:1: expected the end of the line, found '2'");
    refused(HEAD "template t 1\n", "t.txt:2: the template is named twice");
    refused(HEAD "solt a\n", "t.txt:2: unknown word 'solt' (did you mean 'slot'?)");
    refused(HEAD "[usr]\nhi\n", "t.txt:2: unknown word '[usr]': expected slot, guard, budget, answer, whole, "
                                "repairs, fallback or a turn such as [user]");
    refused(HEAD "slot\n", "t.txt:2: expected the name of a slot (letters, digits, '_', '-', '.'), found ''");
    refused(HEAD "slot a b\n", "t.txt:2: unknown attribute 'b'");
    refused(HEAD "slot a tokns=3\n", "t.txt:2: unknown attribute 'tokns=3' (did you mean 'tokens'?)");
    refused(HEAD "slot a tokens=x\n", "t.txt:2: tokens: expected a number up to 100000000, found 'x'");
    refused(HEAD "slot a keep=middle\n", "t.txt:2: keep: expected start or end, found 'middle'");
    refused(HEAD "slot a number\n", "t.txt:2: number: expected a list, found a text");
    refused(HEAD "slot a else=\"x\n",
            "t.txt:2: expected a quote that ends the text, found the end of the line");
    refused(HEAD "slot a else=\"\\x\"\n", "t.txt:2: expected \\n, \\t, \\\" or \\\\ in a text in quotes");
    refused(HEAD "slot a\nslot a\n", "t.txt:3: slot 'a' is declared twice");
    refused(HEAD "slot a\n[user]\nhi\n", "t.txt:2: slot 'a' is in no turn");
    refused(HEAD "budget\n[user]\nhi\n", "t.txt:2: budget: expected a number up to 100000000, found ''");
    refused(HEAD "guard \"a b\"\n", "t.txt:2: guard: expected a text without spaces, found 'a b'");
    refused(HEAD "answer number\n", "t.txt:2: answer: expected text, line, json or match, found 'number'");
    refused(HEAD "answer match\n", "t.txt:2: answer match: expected a regular expression, found nothing");
    refused(HEAD "answer json a,,b\n",
            "t.txt:2: answer json: expected keys of 1 to 120 bytes with commas between, found one of 0");
    refused(HEAD "answer json a,\n",
            "t.txt:2: answer json: expected keys of 1 to 120 bytes with commas between, found one of 0");
    refused(HEAD "[user]\na {b\n",
            "t.txt:3: expected a slot such as {title}, found '{' without '}' (a brace is written twice)");
    refused(HEAD "[user]\na b}\n", "t.txt:3: expected '{' before '}' (a brace is written twice)");
    refused(HEAD "[user]\n{a b}\n",
            "t.txt:3: expected the name of a slot (letters, digits, '_', '-', '.'), found 'a b'");
    refused(HEAD "[user]\n\n[user]\nhi\n", "t.txt:4: expected a text in the turn before, found nothing");
    refused(HEAD "[system]\nhi\n", "t.txt:3: expected the last turn to be [user], found [system]");
    refused(HEAD "[user]\n\xff\n", "t.txt: expected text in UTF-8");
}

static void binds_slots_to_what_is_there(void **state)
{
    (void)state;
    static const char *const known[] = {"id", "title", "history"};
    sg_template *t = parsed(HEAD "[user]\n{history}\nand {title}\n");
    size_t to[2];
    sg_error err;

    assert_int_equal(sg_template_bind(to, t, known, 3, &err), SG_OK);
    assert_int_equal(to[0], 2);
    assert_int_equal(to[1], 1);
    assert_int_equal(sg_template_bind(to, t, known, 2, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "t.txt:3: unknown slot 'history': expected one of id, title");
    sg_template_close(t);
    t = parsed(HEAD "[user]\n{titel}\n");
    assert_int_equal(sg_template_bind(to, t, known, 3, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "t.txt:3: unknown slot 'titel' (did you mean 'title'?)");
    sg_template_close(t);
}

/* ---- rendering: a token a byte ------------------------------------------------------------------------------------------------ */
static sg_status count_bytes(void *ctx, sg_bytes text, size_t *n, sg_error *err)
{
    (void)ctx;
    (void)err;
    *n = text.size;
    return SG_OK;
}
static const sg_token_counter bytes = {count_bytes, NULL};

/* One slot with these values. */
static void renders(const char *template, const char *const *value, size_t n, const char *want,
                    size_t dropped, size_t cut)
{
    sg_template *t = parsed(template);
    sg_bytes part[16];
    const sg_slot_value v = {part, n};
    sg_prompt out = {0};
    sg_error err = {0};

    for (size_t i = 0; i < n; i++)
        part[i] = (sg_bytes){value[i], strlen(value[i])};
    assert_int_equal(sg_template_slots(t), 1);
    if (sg_template_render(&out, t, &v, &bytes, "item 'i'", &err))
        fail_msg("%s", err.message);
    assert_string_equal(out.text[out.n - 1].data, want);
    assert_int_equal(out.dropped, dropped);
    assert_int_equal(out.cut, cut);
    sg_prompt_free(&out);
    sg_template_close(t);
}
#define RENDERS(template, want, dropped, cut, ...)                                                           \
    renders(template, (const char *const[]){__VA_ARGS__}, N(((const char *const[]){__VA_ARGS__})), want,     \
            dropped, cut)

static void writes_values(void **state)
{
    (void)state;
    RENDERS(HEAD "[user]\n<{a}> {{x}}\n\n", "<v> {x}", 0, 0, "v");
    RENDERS(HEAD "[user]\n{a} and {a}", "v and v", 0, 0, "v");
    RENDERS(HEAD "[user]\nline\n\n{a}\n", "line\n\nv", 0, 0, "v");
    RENDERS(HEAD "[user]\n{a}", "a b c", 0, 0,
            " a\n\tb \x01 c\r\n"); /* no line of a catalogue begins a line of the prompt */
    RENDERS(HEAD "slot a lines\n[user]\n{a}", "a\nb\n\nc", 0, 0, "a \nb\n \n \n c");
    RENDERS(HEAD "[user]\n{a}", "x\xef\xbf\xbdy", 0, 0, "x\xffy");
    RENDERS(HEAD "slot a json\n[user]\n\"{a}\"", "\"say \\\"hi\\\"\"", 0, 0, "say \"hi\"");
    RENDERS(HEAD "slot a else=\"none \\\"known\\\"\"\n[user]\n{a}", "none \"known\"", 0, 0, "  ");
    RENDERS(HEAD "slot a list\n[user]\n{a}", "x, y", 0, 0, "x", "", "y"); /* empty entries are none */
    RENDERS(HEAD "slot a list=\"\\n\" number\n[user]\n{a}", "1. x\n2. y", 0, 0, "x", "y");
    RENDERS(HEAD "[user]\n{a}", "{b}", 0, 0, "{b}"); /* a value is not read as a template */
}

static void breaks_guards(void **state)
{
    (void)state;
    RENDERS(HEAD "guard <START>\n[user]\n<START>{a}", "<START>x < START> y", 0, 0, "x <START> y");
    RENDERS(HEAD "guard ##\n[user]\n{a}", "# # #", 0, 0, "###");
    RENDERS(HEAD "guard |\n[user]\na|{a}", "a|x y", 0, 0, "x|y");
    RENDERS(HEAD "guard ab\nguard aba\n[user]\n{a}", "a ba bx", 0, 0, "ababx");

    sg_template *t = parsed(HEAD "guard <START>\n[user]\n<{a}>\n");
    const sg_bytes part = {"START", 5};
    const sg_slot_value v = {&part, 1};
    sg_prompt out = {0};
    sg_error err;

    assert_int_equal(sg_template_render(&out, t, &v, NULL, "item 'i'", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message,
                        "t.txt: guard: a value of item 'i' forms one with the text around its slot");
    sg_prompt_free(&out);
    sg_template_close(t);
}

static void keeps_the_end_that_matters(void **state)
{
    (void)state;
    /* a slot's own bound */
    RENDERS(HEAD "slot a tokens=9\n[user]\n{a}", "one two", 0, 1, "one two three");
    RENDERS(HEAD "slot a tokens=9 keep=end\n[user]\n{a}", "two three", 0, 1, "one two three");
    RENDERS(HEAD "slot a tokens=8 keep=end\n[user]\n{a}", "three", 0, 1, "one two three");
    RENDERS(HEAD "slot a tokens=4\n[user]\n{a}", "abcd", 0, 1, "abcdefgh");
    RENDERS(HEAD "slot a tokens=4\n[user]\n{a}", "\xc3\xa4\xc3\xb6", 0, 1,
            "\xc3\xa4\xc3\xb6\xc3\xbc"); /* whole characters */
    RENDERS(HEAD "slot a tokens=3 keep=end\n[user]\n{a}", "\xc3\xbc", 0, 1, "\xc3\xa4\xc3\xb6\xc3\xbc");
    RENDERS(HEAD "slot a tokens=13\n[user]\n{a}", "one two three", 0, 0, "one two three");
    /* lists lose entries before any is cut */
    RENDERS(HEAD "slot a list=, tokens=5\n[user]\n{a}", "aa,bb", 2, 0, "aa", "bb", "cc", "dd");
    RENDERS(HEAD "slot a list=, tokens=5 keep=end\n[user]\n{a}", "cc,dd", 2, 0, "aa", "bb", "cc", "dd");
    RENDERS(HEAD "slot a list=, tokens=1 keep=end\n[user]\n{a}", "d", 3, 1, "aa", "bb", "cc", "dd");
    /* the whole prompt's */
    RENDERS(HEAD "budget 12\nslot a list=, keep=end\n[user]\nseen {a}.", "seen cc,dd.", 2, 0, "aa", "bb",
            "cc", "dd");
    RENDERS(HEAD "budget 12\n[user]\nseen {a}.", "seen aa bbb.", 0, 1, "aa bbb cccc");
    RENDERS(HEAD "budget 11\n[user]\nseen {a}.", "seen aa bb.", 0, 1, "aa bbb cccc");
}

static void lists_go_before_the_longest_value(void **state)
{
    (void)state;
    sg_template *t =
        parsed(HEAD "budget 60\nslot h list=; keep=end\n[system]\nYou help.\n[user]\n{t}|{d}|{h}");
    const sg_bytes title = {"short title", 11}, text = {"a long description of many words that is cut", 44};
    const sg_bytes past[] = {{"old", 3}, {"newer", 5}, {"newest", 6}};
    const sg_slot_value v[] = {{past, 3}, {&title, 1}, {&text, 1}};
    sg_prompt out = {0};
    sg_error err;

    assert_string_equal(sg_template_slot(t, 0), "h");
    assert_int_equal(sg_template_render(&out, t, v, &bytes, "user 'u'", &err), SG_OK);
    assert_string_equal(out.role[0], "system");
    assert_string_equal(out.text[0].data, "You help.");
    assert_string_equal(out.text[1].data, "short title|a long description of many words|newest");
    assert_int_equal(out.dropped, 2);
    assert_int_equal(out.cut, 1);
    assert_true(out.tokens <= 60);
    sg_prompt_free(&out);
    sg_template_close(t);

    t = parsed(HEAD "budget 10\n[user]\nfar too long a text {t}");
    assert_int_equal(sg_template_render(&out, t, &v[1], &bytes, "item 'i'", &err), SG_ERR_FORMAT);
    assert_string_equal(
        err.message,
        "t.txt: budget: expected a prompt of at most 10 tokens, found 21 with every slot of item 'i' cut");
    sg_prompt_free(&out);
    sg_template_close(t);
}

static void a_missing_value_is_an_error(void **state)
{
    (void)state;
    sg_template *t = parsed(HEAD "[user]\nBrand:\n{brand}");
    const sg_bytes part = {" \n", 2};
    const sg_slot_value some = {&part, 1}, none = {NULL, 0};
    sg_prompt out = {0};
    sg_error err;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(sg_template_render(&out, t, i ? &some : &none, NULL, "item 'B1'", &err),
                         SG_ERR_FORMAT);
        assert_string_equal(err.message, "t.txt:4: slot 'brand': expected a text of item 'B1', found nothing "
                                         "(else=TEXT says what stands there)");
    }
    sg_prompt_free(&out);
    sg_template_close(t);
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */
static void answers(const char *contract, const char *answer, const char *want, const char *message)
{
    char text[300];
    sg_template *t;
    sg_buf out = {0};
    sg_error err;

    snprintf(text, sizeof text, HEAD "%s\n[user]\nhi\n", contract);
    t = parsed(text);
    const sg_status st = sg_template_answer(&out, t, (sg_bytes){answer, strlen(answer)}, &err);
    if (want) {
        assert_int_equal(st, SG_OK);
        assert_string_equal(out.data, want);
    } else {
        assert_int_equal(st, SG_ERR_FORMAT);
        assert_string_equal(err.message, message);
    }
    sg_buf_free(&out);
    sg_template_close(t);
}

static void reads_answers(void **state)
{
    (void)state;
    answers("answer text", "  a\nb \n", "a\nb", NULL);
    answers("", " \n", NULL, "answer: expected a text, found nothing");
    answers("answer line", "\n  first \n second", "first", NULL);
    answers("answer json", "Sure:\n```json\n{\"a\": [1, 2]}\n```", "{\"a\": [1, 2]}", NULL);
    answers("answer json", "[not] {\"a\": 1}", "{\"a\": 1}", NULL);
    answers("answer json a,b", "{\"a\": 1} {\"b\": 2, \"a\": 1}", "{\"b\": 2, \"a\": 1}", NULL);
    answers("answer json  a , b\t", "{\"a\": 1, \" b\": 2} {\"b\": 2, \"a\": 1}", "{\"b\": 2, \"a\": 1}",
            NULL);
    answers("answer json a,b", "{\"a\": 1}", NULL, "answer: expected JSON with a,b, found '{\"a\": 1}'");
    answers("answer json", "{\"a\": ", NULL, "answer: expected JSON, found '{\"a\":'");
    answers("answer match [0-9]+", "about 42, or 43", "42", NULL);
    answers("answer match ^(yes|no)", "maybe", NULL, "answer: expected a match of ^(yes|no), found 'maybe'");
    answers("answer match x",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL,
            "answer: expected a match of x, found "
            "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' and more");
    sg_template *t = parsed(HEAD "repairs 3\nfallback \"not known\"\n[user]\nhi\n");
    assert_int_equal(sg_template_repairs(t), 3);
    assert_string_equal(sg_template_fallback(t), "not known");
    sg_template_close(t);
}

/* U+0000 ends no answer, and none of it is handed out: lines of answers are read by many. */
static void a_zero_ends_no_answer(void **state)
{
    (void)state;
    static const struct {
        const char *contract, *want;
    } known[] = {{"answer text", "a\xef\xbf\xbd{\"k\": \"b\\u0000\"}\xef\xbf\xbd"
                                 "z"},
                 {"answer line", "a\xef\xbf\xbd{\"k\": \"b\\u0000\"}\xef\xbf\xbd"
                                 "z"},
                 {"answer json k", "{\"k\": \"b\\u0000\"}"},
                 {"answer match a.[{]", "a\xef\xbf\xbd{"}};
    static const char said[] = " a\0{\"k\": \"b\\u0000\"}\0z ";

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char text[300];
        sg_buf out = {0};
        sg_error err;

        snprintf(text, sizeof text, HEAD "%s\n[user]\nhi\n", known[i].contract);
        sg_template *t = parsed(text);
        if (sg_template_answer(&out, t, (sg_bytes){said, sizeof said - 1}, &err))
            fail_msg("%s: %s", known[i].contract, err.message);
        assert_int_equal(out.size, strlen(known[i].want));
        assert_string_equal(out.data, known[i].want);
        sg_buf_free(&out);
        sg_template_close(t);
    }
}

static void a_changed_character_is_another_origin(void **state)
{
    (void)state;
    sg_template *a = parsed(HEAD "[user]\nhi {x}\n"), *b = parsed(HEAD "[user]\nho {x}\n");

    assert_memory_equal(sg_template_origin(a), "t 1 ", 4);
    assert_int_equal(strlen(sg_template_origin(a)), 4 + 16);
    assert_string_not_equal(sg_template_origin(a), sg_template_origin(b));
    sg_template_close(a);
    sg_template_close(b);
}

static void counts_tokens_about(void **state)
{
    (void)state;
    assert_true(sg_tokens_about((sg_bytes){"", 0}) == 0);
    assert_true(sg_tokens_about((sg_bytes){"abcde", 5}) == 2);
    assert_true(sg_tokens_about((sg_bytes){"\xe6\x97\xa5\xe6\x9c\xac", 6}) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(binds_slots_to_what_is_there),
        cmocka_unit_test(writes_values),
        cmocka_unit_test(breaks_guards),
        cmocka_unit_test(keeps_the_end_that_matters),
        cmocka_unit_test(lists_go_before_the_longest_value),
        cmocka_unit_test(a_missing_value_is_an_error),
        cmocka_unit_test(reads_answers),
        cmocka_unit_test(a_zero_ends_no_answer),
        cmocka_unit_test(a_changed_character_is_another_origin),
        cmocka_unit_test(counts_tokens_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
