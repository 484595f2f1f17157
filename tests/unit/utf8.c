/* utf8.c - exactly the well-formed sequences pass, and cleaning leaves only those. */
#include "base/alloc.h"
#include "base/status.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static size_t encode(unsigned char *s, uint32_t c)
{
    if (c < 0x80)
        return s[0] = (unsigned char)c, 1;
    if (c < 0x800)
        return s[0] = (unsigned char)(0xc0 | c >> 6), s[1] = (unsigned char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return s[0] = (unsigned char)(0xe0 | c >> 12), s[1] = (unsigned char)(0x80 | (c >> 6 & 63)),
               s[2] = (unsigned char)(0x80 | (c & 63)), 3;
    return s[0] = (unsigned char)(0xf0 | c >> 18), s[1] = (unsigned char)(0x80 | (c >> 12 & 63)),
           s[2] = (unsigned char)(0x80 | (c >> 6 & 63)), s[3] = (unsigned char)(0x80 | (c & 63)), 4;
}

static void every_character_passes_and_surrogates_do_not(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        unsigned char s[4];
        const size_t n = encode(s, c);
        const bool good = c < 0x110000 && !(c >= 0xd800 && c < 0xe000);

        if (sg_utf8_valid((char *)s, n) != good)
            fail_msg("character %x", (unsigned)c);
        if (n > 1)
            assert_false(sg_utf8_valid((char *)s, n - 1));
    }
}

static void overlong_forms_do_not_pass(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\x80",
                                      "\xbf",
                                      "\xfe",
                                      "\xff",
                                      "\xe2\x28\xa1"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sg_utf8_valid(bad[i], strlen(bad[i])));
}

static void says_how_many_bytes_are_good(void **state)
{
    (void)state;
    char text[64];

    memset(text, 'a', sizeof text);
    for (size_t at = 0; at < sizeof text; at++) {
        text[at] = (char)0xff;
        assert_int_equal(sg_utf8_valid_bytes(text, sizeof text), at);
        text[at] = 'a';
    }
    assert_int_equal(sg_utf8_valid_bytes(text, sizeof text), sizeof text);
    assert_true(sg_utf8_valid("", 0));
}

static void cleans(const char *in, const char *out)
{
    sg_buf b = {0};

    sg_utf8_clean(&b, in, strlen(in));
    assert_string_equal(b.data, out);
    assert_true(sg_utf8_valid(b.data, b.size));
    sg_buf_free(&b);
}

/* U+FFFD for every maximal part of a broken sequence (Unicode 15, 3.9). */
static void broken_pieces_are_replaced(void **state)
{
    (void)state;
    cleans("plain \xc3\xa9", "plain \xc3\xa9");
    cleans("a\xff"
           "b",
           "a\xef\xbf\xbd"
           "b");
    cleans("\xe2\x82", "\xef\xbf\xbd");
    cleans("\xe2\x82"
           "x",
           "\xef\xbf\xbd"
           "x");
    cleans("\xf0\x9f\x98"
           "!\x80\x80",
           "\xef\xbf\xbd"
           "!\xef\xbf\xbd\xef\xbf\xbd");
    cleans("\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(sg_alloc_live(), 0);
}

static void messages_are_lines_of_utf8(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"caf\xc3\xa9\n", "caf\xc3\xa9?"},
        {"caf\xe9!", "caf?!"},
        {"\xe2\x82", "??"},
        {"\xff\xfe\xe2\x82\xac\xe2", "??\xe2\x82\xac?"},
    };
    char text[1200];
    sg_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_fail(&err, SG_ERR_FORMAT, "%s", cases[i].text);
        assert_string_equal(err.message, cases[i].message);
    }
    for (size_t i = 0; i + 1 < sizeof text; i += 2) /* cut in the middle of a character */
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 2] = 0;
    sg_fail(&err, SG_ERR_FORMAT, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_true(sg_utf8_valid(err.message, strlen(err.message)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_passes_and_surrogates_do_not),
        cmocka_unit_test(overlong_forms_do_not_pass),
        cmocka_unit_test(says_how_many_bytes_are_good),
        cmocka_unit_test(broken_pieces_are_replaced),
        cmocka_unit_test(messages_are_lines_of_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
