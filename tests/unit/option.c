/* option.c - defaults, ranges, choices, and the sentence a wrong key or value gets. */
#include "base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SHOP_OPTIONS(X)                                                                                      \
    X(int, dim, 64, 8, 4096, "width")                                                                        \
    X(int, offset, -1, -5, 5, "may be negative")                                                             \
    X(float, dropout, 0.2, 0, 0.9, "share dropped")                                                          \
    X(float, eps, 1e-8, 0, 1, "small")                                                                       \
    X(bool, tied, true, 0, 1, "one table")                                                                   \
    X(choice, loss, ce, 0, 0, "ce|bce|sampled: training loss")                                               \
    X(text, hidden, "512,256", 0, 255, "widths")                                                             \
    X(text, note, "", 0, 4, "short")
typedef struct shop_config {
    SHOP_OPTIONS(SG_OPTION_FIELD)
} shop_config;
#define SG_OPTION_STRUCT shop_config
static const sg_option rows[] = {SHOP_OPTIONS(SG_OPTION_ROW)};
enum { N = sizeof rows / sizeof *rows };

static void gives_the_defaults(void **state)
{
    shop_config c;

    (void)state;
    memset(&c, 0xff, sizeof c);
    sg_options_init(&c, rows, N);
    assert_int_equal(c.dim, 64);
    assert_int_equal(c.offset, -1);
    assert_true(c.dropout == 0.2);
    assert_true(c.eps == 1e-8);
    assert_true(c.tied);
    assert_string_equal(c.loss, "ce");
    assert_string_equal(c.hidden, "512,256");
    assert_string_equal(c.note, "");
}

static void knows_what_is_initial(void **state)
{
    static const char *const others[][2] = {{"dim", "65"},     {"offset", "1"}, {"dropout", "0.3"},
                                            {"tied", "false"}, {"loss", "bce"}, {"hidden", ""},
                                            {"note", "x"}};
    shop_config c;

    (void)state;
    sg_options_init(&c, rows, N);
    for (size_t i = 0; i < N; i++)
        assert_true(sg_option_is_initial(&c, &rows[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(sg_options_set(&c, rows, N, others[i][0], others[i][1], NULL), SG_OK);
        assert_false(sg_option_is_initial(&c, sg_options_find(rows, N, others[i][0])));
    }
    assert_true(sg_option_is_initial(&c, sg_options_find(rows, N, "eps")));
}

static void sets_and_prints_the_same_value(void **state)
{
    static const char *const pairs[][2] = {
        {"dim", "8"},     {"offset", "-5"},  {"dropout", "0.1"},  {"dropout", "0.30000000000000004"},
        {"eps", "1e-09"}, {"tied", "false"}, {"loss", "sampled"}, {"hidden", "1,2"},
        {"note", "a=b"}};
    shop_config c;
    sg_buf out = {0};

    (void)state;
    sg_options_init(&c, rows, N);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const sg_option *row = sg_options_find(rows, N, pairs[i][0]);

        assert_int_equal(sg_options_set(&c, rows, N, pairs[i][0], pairs[i][1], NULL), SG_OK);
        sg_options_print(&out, &c, row);
        assert_string_equal(out.data, pairs[i][1]);
        sg_buf_free(&out);
    }
    assert_int_equal(sg_options_assign(&c, rows, N, "note=x=y", NULL), SG_OK);
    assert_string_equal(c.note, "x=y");
    assert_int_equal(sg_options_assign(&c, rows, N, "tied=on", NULL), SG_OK);
    assert_true(c.tied);
}

static void says_what_is_wrong(void **state)
{
    static const char *const cases[][2] = {
        {"dimm=3", "unknown option 'dimm' (did you mean 'dim'?)"},
        {"dropuot=3", "unknown option 'dropuot' (did you mean 'dropout'?)"},
        {"frobnicate=1", "unknown option 'frobnicate'"},
        {"dim=x", "dim: expected an integer from 8 to 4096, found 'x'"},
        {"dim=", "dim: expected an integer from 8 to 4096, found ''"},
        {"dim=7", "dim: expected an integer from 8 to 4096, found '7'"},
        {"dim=12.5", "dim: expected an integer from 8 to 4096, found '12.5'"},
        {"dim=99999999999999999999", "dim: expected an integer from 8 to 4096, found '99999999999999999999'"},
        {"dropout=nan", "dropout: expected a number from 0 to 0.9, found 'nan'"},
        {"dropout=1", "dropout: expected a number from 0 to 0.9, found '1'"},
        {"tied=maybe", "tied: expected true or false, found 'maybe'"},
        {"loss=sampeld", "loss: expected one of ce|bce|sampled, found 'sampeld' (did you mean 'sampled'?)"},
        {"loss=c", "loss: expected one of ce|bce|sampled, found 'c'"},
        {"loss=", "loss: expected one of ce|bce|sampled, found ''"},
        {"loss=ce|bce", "loss: expected one of ce|bce|sampled, found 'ce|bce'"},
        {"note=abcde", "note: expected at most 4 bytes, found 5"},
        {"dim", "expected key=value, found 'dim'"},
        {"=3", "expected key=value, found '=3'"},
    };
    shop_config c, before;
    sg_error err;

    (void)state;
    memset(&c, 0, sizeof c);
    sg_options_init(&c, rows, N);
    before = c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sg_options_assign(&c, rows, N, cases[i][0], &err), SG_ERR_USAGE);
        assert_string_equal(err.message, cases[i][1]);
        assert_memory_equal(&c, &before, sizeof c); /* a refused value changes nothing */
    }
}

static void finds_the_nearest_word(void **state)
{
    static const char *const known[] = {"train", "tokenize", "eval", "stats"};

    (void)state;
    assert_string_equal(sg_nearest("trian", known, 4), "train");
    assert_string_equal(sg_nearest("evla", known, 4), "eval");
    assert_string_equal(sg_nearest("tokenise", known, 4), "tokenize");
    assert_null(sg_nearest("serve", known, 4));
    assert_null(sg_nearest("x", known, 4));
    assert_null(sg_nearest("", known, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_defaults),
        cmocka_unit_test(knows_what_is_initial),
        cmocka_unit_test(sets_and_prints_the_same_value),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(finds_the_nearest_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
