/* import_scan.c - numbers and times are read exactly, whatever the locale, or refused. */
#include "base/rng.h"
#include "data/scan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reads_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"+7", 7},
                {" 12\t", 12},
                {"007", 7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775807", -INT64_MAX}};
    static const char *const bad[] = {
        "", "-", "+", "1.0", "1 2", "9223372036854775808", "99999999999999999999", "0x1", "a"};
    int64_t v;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sg_scan_int(sg_bytes_of(good[i].text), &v));
        assert_true(v == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sg_scan_int(sg_bytes_of(bad[i]), &v));
}

/* The same double as strtod in the C locale, for numbers of every shape. */
static void reads_numbers_like_strtod(void **state)
{
    (void)state;
    static const char *const edge[] = {"0",
                                       "-0",
                                       "4",
                                       ".5",
                                       "5.",
                                       "1e5",
                                       "1E-5",
                                       "-2.5e+3",
                                       "881250949.0",
                                       "1e22",
                                       "1e23",
                                       "1e-22",
                                       "1e-23",
                                       "9007199254740993",
                                       "9007199254740992.5",
                                       "4.9e-324",
                                       "1.7976931348623157e308",
                                       "0.1",
                                       "123456789012345678901234567890",
                                       "0.000000000000000000000001",
                                       "2.2250738585072011e-308",
                                       "3.4e38",
                                       "00001.5000",
                                       "1e-400"};
    double v;

    for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) {
        assert_true(sg_scan_number(sg_bytes_of(edge[i]), &v));
        assert_true(v == strtod(edge[i], NULL));
    }
    for (uint64_t i = 0; i < 200000; i++) {
        const double mantissa = sg_rng_double(1, SG_RNG_TEST, i, 0);
        const int digits = 1 + (int)sg_rng_below(18, 1, SG_RNG_TEST, i, 1),
                  shape = (int)sg_rng_below(3, 1, SG_RNG_TEST, i, 2);
        const int power = (int)sg_rng_below(60, 1, SG_RNG_TEST, i, 3) - 30;
        char text[64];

        snprintf(text, sizeof text,
                 shape == 0   ? "%.*e"
                 : shape == 1 ? "%.*f"
                              : "%.*g",
                 digits, mantissa * pow(10, shape == 1 ? power / 4 : power));
        if (!sg_scan_number(sg_bytes_of(text), &v) || v != strtod(text, NULL))
            fail_msg("%s", text);
    }
}

static void refuses_what_is_no_number(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "-",    ".",   "e5",  "1e",  "1e+",   "nan",  "inf",
                                      "infinity", "0x10", "1,5", "1 2", "--1", "1e999", "1_000"};
    double v;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sg_scan_number(sg_bytes_of(bad[i]), &v))
            fail_msg("'%s' was taken for %g", bad[i], v);
}

static void reads_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"0", 0},
        {"-1", -1000000},
        {"881250949", 881250949000000},
        {"881250949.25", 881250949250000},
        {"8.81250949E8", 881250949000000},
        {"99999999999", 99999999999000000},
        {"100000000000", 100000000000000}, /* 1973 in milliseconds */
        {"1369699200123", 1369699200123000},
        {"1369699200123456", 1369699200123456},
        {"1369699200123456789", 1369699200123456},
        {"-1369699200123456789", -1369699200123457},
        {"1970-01-01", 0},
        {"2000-02-29", 951782400000000},
        {"1969-12-31T23:59:59", -1000000},
        {"2014-05-26T20:09:40Z", 1401134980000000},
        {"2014-05-26 20:09:40.5 UTC", 1401134980500000},
        {"2014-05-26T20:09:40.1234567+00:00", 1401134980123456},
        {"2014-05-26T22:09:40+0200", 1401134980000000},
        {"2014-05-26T15:09-05", 1401134940000000},
        {"0001-01-01", -62135596800000000},
        {"9999-12-31T23:59:59", 253402300799000000},
    };
    static const char *const bad[] = {"",
                                      "today",
                                      "2014-13-01",
                                      "2014-00-01",
                                      "2014-01-32",
                                      "2013-02-29",
                                      "1900-02-29",
                                      "2014-1-1",
                                      "2014-01-01T",
                                      "2014-01-01T24:00",
                                      "2014-01-01T10:60",
                                      "2014-01-01T10:00:61",
                                      "2014-01-01T10:00+24:00",
                                      "2014-01-01T10:00:00.",
                                      "2014-01-01x",
                                      "0000-01-01",
                                      "1e30",
                                      "nan",
                                      "2014-01-01T10:00+2"};
    int64_t us;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!sg_scan_time(sg_bytes_of(good[i].text), &us) || us != good[i].us)
            fail_msg("%s: %lld", good[i].text, (long long)us);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sg_scan_time(sg_bytes_of(bad[i]), &us))
            fail_msg("'%s' was taken for %lld", bad[i], (long long)us);
}

/* Every day of four centuries, counted one by one. */
static void knows_the_calendar(void **state)
{
    (void)state;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day = -135140, us; /* 1600-01-01 */

    for (int year = 1600; year < 2001; year++)
        for (int month = 1; month <= 12; month++) {
            const bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
            const int n = days[month - 1] + (month == 2 && leap);

            for (int d = 1; d <= n; d++, day++) {
                char text[32];

                snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, d);
                assert_true(sg_scan_time(sg_bytes_of(text), &us));
                assert_true(us == day * INT64_C(86400000000));
            }
        }
}

static void reads_natural_numbers_as_printed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "01", "-1", "+1", "1 ", "1.0", "9223372036854775808", "18446744073709551616", "x"};
    uint64_t v;

    assert_true(sg_scan_natural(sg_bytes_of("0"), &v) && v == 0);
    assert_true(sg_scan_natural(sg_bytes_of("9223372036854775807"), &v) && v == INT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sg_scan_natural(sg_bytes_of(bad[i]), &v));
}

static void quotes_text_for_messages(void **state)
{
    (void)state;
    char room[SG_QUOTE_ROOM];

    assert_string_equal(sg_quote(room, sg_bytes_of("abc")), "'abc'");
    assert_string_equal(sg_quote(room, (sg_bytes){NULL, 0}), "''");
    assert_string_equal(sg_quote(room, sg_bytes_of("0123456789012345678901234567890123456789")),
                        "'0123456789012345678901234567890123456789'");
    assert_string_equal(sg_quote(room, sg_bytes_of("01234567890123456789012345678901234567890")),
                        "'0123456789012345678901234567890123456789...'");
    assert_string_equal(
        sg_quote(room, sg_bytes_of("012345678901234567890123456789012345678\xc3\xa9\xc3\xa9")),
        "'012345678901234567890123456789012345678...'");
    assert_string_equal(sg_quote(room, sg_bytes_of("a\xff"
                                                   "b")),
                        "'a?b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_integers),
        cmocka_unit_test(reads_numbers_like_strtod),
        cmocka_unit_test(refuses_what_is_no_number),
        cmocka_unit_test(reads_times),
        cmocka_unit_test(knows_the_calendar),
        cmocka_unit_test(reads_natural_numbers_as_printed),
        cmocka_unit_test(quotes_text_for_messages),
    };

    return cmocka_run_group_tests_name("import_scan", tests, NULL, NULL);
}
