/* tfidf.c - sparse item rows against the formula, which columns are read, threads, memory. */
#include "base/alloc.h"
#include "base/rng.h"
#include "text/columns.h"
#include "text/lsa.h"
#include "text/ngram.h"
#include "unit/items.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static sg_lsa_config config(int words, int chars_least, int chars_most, int df_least, double df_most)
{
    return (sg_lsa_config){.words = words,
                           .chars_least = chars_least,
                           .chars_most = chars_most,
                           .df_least = df_least,
                           .df_most = df_most,
                           .features = 100000};
}

static double dot(const sg_tfidf *t, int a, int b)
{
    double sum = 0;

    for (int64_t i = t->offsets[a]; i < t->offsets[a + 1]; i++)
        for (int64_t k = t->offsets[b]; k < t->offsets[b + 1]; k++)
            if (t->index[i] == t->index[k])
                sum += (double)t->value[i] * (double)t->value[k];
    return sum;
}

/* red: 2 of 3 items, twice in the first; dress: all; hat: 1. By hand: idf = 1 + ln(4 / (1 + df)), tf = 1 + ln(count). */
static void values_follow_the_formula(void **state)
{
    (void)state;
    test_items t = {0};
    sg_tfidf x;
    sg_error err;
    const sg_lsa_config c = config(1, 3, 0, 1, 1);

    test_items_add(&t, "title", 3, (const char *const[]){"red RED dress", "red dress", "dress hat"});
    assert_int_equal(sg_tfidf_new(&x, &t.data, &c, NULL, &err), SG_OK);
    const double red = 1 + log(4.0 / 3), hat = 1 + log(4.0 / 2), dress = 1, twice = (1 + log(2)) * red;
    const double n0 = sqrt(twice * twice + dress * dress), n1 = sqrt(red * red + 1), n2 = sqrt(hat * hat + 1);

    assert_int_equal(x.features, 3);
    assert_int_equal(x.offsets[3], 6);
    assert_int_equal(x.index[0], 0); /* features by falling document frequency: dress, red, hat */
    assert_true(fabs((double)x.value[0] - dress / n0) < 1e-7 && fabs((double)x.value[1] - twice / n0) < 1e-7);
    assert_true(fabs(dot(&x, 0, 1) - (twice * red + 1) / (n0 * n1)) < 1e-6);
    assert_true(fabs(dot(&x, 0, 2) - 1 / (n0 * n2)) < 1e-6);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(dot(&x, i, i) - 1) < 1e-6);
    sg_tfidf_free(&x);
    test_items_free(&t);
    assert_int_equal(sg_alloc_live(), 0);
}

static void document_frequency_cuts(void **state)
{
    (void)state;
    test_items t = {0};
    sg_tfidf x;
    sg_error err;
    sg_lsa_config c = config(1, 3, 0, 2, 0.75);

    test_items_add(&t, "title", 4, (const char *const[]){"a all b", "a all c", "all d", "all"});
    assert_int_equal(sg_tfidf_new(&x, &t.data, &c, NULL, &err), SG_OK);
    assert_int_equal(x.features, 1); /* "all" is in too many, b c d in too few */
    assert_int_equal(x.offsets[4], 2);
    sg_tfidf_free(&x);
    c.df_least = 3;
    assert_int_equal(sg_tfidf_new(&x, &t.data, &c, NULL, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "shop: every n-gram of the item text that occurs in 3 items or more "
                                     "(df_least) occurs in a larger share of them "
                                     "than 0.75 (df_most), and is dropped: try a larger df_most");
    c.df_least = 5;
    assert_int_equal(sg_tfidf_new(&x, &t.data, &c, NULL, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "shop: no n-gram of the item text occurs in 5 items or more (df_least)");
    c = config(1, 3, 0, 1, 1);
    c.features = 2;
    assert_int_equal(sg_tfidf_new(&x, &t.data, &c, NULL, &err), SG_OK);
    assert_int_equal(x.offsets[4], 6); /* the two most frequent: all, a */
    sg_tfidf_free(&x);
    test_items_free(&t);
}

static size_t grams_of(const char *name, const char *cell, sg_ngram_spec spec, sg_column_kind kind)
{
    test_items t = {0};
    sg_grams g = {0};
    sg_error err;

    test_items_add(&t, name, 1, &cell);
    sg_column_plan column = {&t.columns[0], kind, false};
    const sg_text_plan plan = {&column, 1};
    assert_int_equal(sg_grams_of_item(&g, &plan, &spec, 0, &err), SG_OK);
    const size_t n = g.n;
    sg_grams_free(&g);
    test_items_free(&t);
    return n;
}

static void counts_the_expected_grams(void **state)
{
    (void)state;
    assert_int_equal(grams_of("t", "a b c", (sg_ngram_spec){1, 0, 0}, SG_COLUMN_TEXT), 3);
    assert_int_equal(grams_of("t", "a b c", (sg_ngram_spec){2, 0, 0}, SG_COLUMN_TEXT), 5);
    assert_int_equal(grams_of("t", "a b c", (sg_ngram_spec){3, 0, 0}, SG_COLUMN_TEXT), 6);
    assert_int_equal(grams_of("t", "", (sg_ngram_spec){3, 3, 5}, SG_COLUMN_TEXT), 0);
    /* " abcd ": " ab" "abc" "bcd" "cd ", then three of 4 and two of 5 */
    assert_int_equal(grams_of("t", "abcd", (sg_ngram_spec){0, 3, 3}, SG_COLUMN_TEXT), 4);
    assert_int_equal(grams_of("t", "abcd", (sg_ngram_spec){0, 3, 5}, SG_COLUMN_TEXT), 9);
    /* words a b c a d: 4 of 1, 0 bigrams (parts are cut), paths a, a>b, a>b>c, a>d */
    assert_int_equal(grams_of("t", "A > B > C | A > D", (sg_ngram_spec){2, 0, 0}, SG_COLUMN_PATH), 8);
    assert_int_equal(grams_of("brand", "Max Factor", (sg_ngram_spec){2, 0, 0}, SG_COLUMN_CATEGORY), 4);
}

static void columns_are_read_by_what_they_hold(void **state)
{
    (void)state;
    enum { N = 40 };
    static char asin[N][16], title[N][40], path[N][40], brand[N][16], code[N][8], url[N][40];
    const char *cells[6][N], *const names[6] = {"asin", "title", "categories", "brand", "code", "url"};
    const sg_column_kind kinds[6] = {SG_COLUMN_SKIPPED,  SG_COLUMN_TEXT,     SG_COLUMN_PATH,
                                     SG_COLUMN_CATEGORY, SG_COLUMN_CATEGORY, SG_COLUMN_SKIPPED};
    test_items t = {0};
    sg_text_plan plan;
    sg_error err;

    for (int i = 0; i < N; i++) {
        snprintf(asin[i], sizeof *asin, "B00%dX", 1000 + 7 * i);
        snprintf(title[i], sizeof *title, "Item number %d of many", i);
        snprintf(path[i], sizeof *path, "Shop > Hall %d | Sale", i % 5);
        snprintf(brand[i], sizeof *brand, "%s", i % 3 ? "Max Factor" : "Opi");
        snprintf(code[i], sizeof *code, "%d", 100 + i % 4);
        snprintf(url[i], sizeof *url, "http://shop/%d/a_b", i);
        const char *const row[6] = {asin[i], title[i], path[i], brand[i], code[i], url[i]};
        for (int k = 0; k < 6; k++)
            cells[k][i] = row[k];
    }
    for (int k = 0; k < 6; k++)
        test_items_add(&t, names[k], N, cells[k]);
    assert_int_equal(sg_text_plan_new(&plan, &t.data, "", &err), SG_OK);
    for (int k = 0; k < 6; k++)
        assert_int_equal(plan.list[k].kind, kinds[k]);
    assert_true(plan.list[4].numbers && !plan.list[3].numbers);
    sg_text_plan_free(&plan);
    assert_int_equal(sg_text_plan_new(&plan, &t.data, "url, title", &err), SG_OK);
    assert_int_equal(plan.n, 2);
    assert_int_equal(plan.list[0].kind, SG_COLUMN_TEXT); /* named, so read */
    sg_text_plan_free(&plan);
    assert_int_equal(sg_text_plan_new(&plan, &t.data, "titel", &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "no text column 'titel': expected one of asin, title, categories, brand, code, url");
    test_items_free(&t);
    assert_int_equal(sg_alloc_live(), 0);
}

/* 2,000 items of random words: nine pieces */
static void threads_change_nothing(void **state)
{
    (void)state;
    enum { N = 2000 };
    static char text[N][80];
    const char *cells[N];
    test_items t = {0};
    sg_tfidf one, many;
    sg_error err;
    const sg_lsa_config c = config(2, 3, 5, 2, 0.5);

    for (int i = 0; i < N; i++) {
        size_t at = 0;

        for (uint64_t k = 0; k < 8; k++)
            at += (size_t)snprintf(text[i] + at, sizeof *text - at, "w%d ",
                                   (int)(1e3 * pow(sg_rng_double(1, SG_RNG_TEST, (uint64_t)i, k), 3)));
        cells[i] = text[i];
    }
    test_items_add(&t, "title", N, cells);
    assert_int_equal(sg_tfidf_new(&one, &t.data, &c, NULL, &err), SG_OK);
    for (int threads = 2; threads <= 4; threads += 2) {
        sg_pool *pool;

        assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
        assert_int_equal(sg_tfidf_new(&many, &t.data, &c, pool, &err), SG_OK);
        assert_int_equal(many.features, one.features);
        assert_memory_equal(many.offsets, one.offsets, (N + 1) * sizeof *one.offsets);
        assert_memory_equal(many.index, one.index, (size_t)one.offsets[N] * sizeof *one.index);
        assert_memory_equal(many.value, one.value, (size_t)one.offsets[N] * sizeof *one.value);
        sg_tfidf_free(&many);
        sg_pool_free(pool);
    }
    for (int i = 0; i < N; i++)
        for (int64_t k = one.offsets[i] + 1; k < one.offsets[i + 1]; k++)
            assert_true(one.index[k - 1] < one.index[k]);
    sg_tfidf_free(&one);
    test_items_free(&t);
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    test_items t = {0};
    const sg_lsa_config c = config(2, 3, 5, 1, 1);

    test_items_add(&t, "title", 2, (const char *const[]){"red caf\xc3\xa9", "blue hat"});
    test_items_add(&t, "path", 2, (const char *const[]){"A > B", "A > C"});
    for (uint64_t n = 1;; n++) {
        sg_tfidf x;
        sg_error err;

        sg_alloc_fail_at(n);
        const sg_status st = sg_tfidf_new(&x, &t.data, &c, NULL, &err);
        sg_alloc_fail_at(0);
        if (st == SG_OK) {
            sg_tfidf_free(&x);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(st, SG_ERR_MEMORY);
        assert_int_equal(sg_alloc_live(), 0);
    }
    test_items_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_the_formula), cmocka_unit_test(document_frequency_cuts),
        cmocka_unit_test(counts_the_expected_grams), cmocka_unit_test(columns_are_read_by_what_they_hold),
        cmocka_unit_test(threads_change_nothing),    cmocka_unit_test(every_failed_allocation_is_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
