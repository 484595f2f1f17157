/* normalise.c - what counts as a word. */
#include "base/alloc.h"
#include "base/rng.h"
#include "text/normalise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* words of text, joined by '|' */
static void assert_words(const char *text, const char *expected)
{
    sg_words w = {0};
    sg_buf joined = {0};
    sg_error err;

    assert_int_equal(sg_words_split(&w, (sg_bytes){text, strlen(text)}, &err), SG_OK);
    sg_buf_puts(&joined, "");
    for (size_t i = 0; i < w.n; i++) {
        if (i)
            sg_buf_putc(&joined, '|');
        sg_words_print(&joined, &w, i);
    }
    assert_string_equal(joined.data, expected);
    sg_buf_free(&joined);
    sg_words_free(&w);
}

static void words_are_folded_and_cut(void **state)
{
    (void)state;
    assert_words("", "");
    assert_words("  --  ", "");
    assert_words("OPI Nail Lacquer, 0.5-Fluid Ounce.", "opi|nail|lacquer|0.5|fluid|ounce");
    assert_words("L'Oreal Women's '90s rock'n'roll'", "loreal|womens|90s|rocknroll");
    assert_words("1,000.50. a.b 3.x", "1,000.50|a|b|3|x");
    assert_words("L\xe2\x80\x99Or\xc3\xa9"
                 "al STRA\xc3\x9f"
                 "E",
                 "lor\xc3\xa9"
                 "al|strasse"); /* curly ', e acute, sharp s */
    assert_words("e\xcc\x81t\xc3\xa9 \xef\xac\x81n \xef\xbc\xa1\xef\xbc\xa2",
                 "\xc3\xa9t\xc3\xa9|fin|ab"); /* NFKC */
    assert_words("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"
                 "abc",
                 "\xe6\x97\xa5|\xe6\x9c\xac|\xe8\xaa\x9e|abc"); /* Han */
    assert_words("\xd0\x9c\xd0\x98\xd0\xa0 \xed\x95\x9c\xea\xb5\xad",
                 "\xd0\xbc\xd0\xb8\xd1\x80|\xed\x95\x9c\xea\xb5\xad");
    assert_words("A\xe2\x84\xa2", "atm"); /* trade mark, a compatibility character */
}

static void bad_bytes_separate_words(void **state)
{
    (void)state;
    assert_words("ab\xff"
                 "cd",
                 "ab|cd");
    assert_words("ab\xc3", "ab");
    assert_words("\xed\xa0\x80x", "x");              /* a surrogate */
    assert_words("\xf4\x90\x80\x80y \xc0\xaf", "y"); /* beyond Unicode; overlong */
}

static void any_bytes_are_accepted(void **state)
{
    (void)state;
    sg_words w = {0};
    sg_error err;
    char text[257];

    for (uint64_t round = 0; round < 3000; round++) {
        const size_t n = sg_rng_below(sizeof text, 5, SG_RNG_TEST, round, 0);

        for (size_t i = 0; i < n; i++)
            text[i] = (char)sg_rng_u64(5, SG_RNG_TEST, round, i + 1);
        assert_int_equal(sg_words_split(&w, (sg_bytes){text, n}, &err), SG_OK);
        for (size_t i = 0; i < w.n; i++)
            assert_true(w.start[i] < w.start[i + 1]);
    }
    sg_words_free(&w);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_folded_and_cut),
        cmocka_unit_test(bad_bytes_separate_words),
        cmocka_unit_test(any_bytes_are_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
