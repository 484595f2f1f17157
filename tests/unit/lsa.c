/* svd.c, lsa.c - singular vectors against a dense solution; item vectors that know what is similar. */
#include "base/alloc.h"
#include "base/rng.h"
#include "math/kernels.h"
#include "text/eigen.h"
#include "text/lsa.h"
#include "text/svd.h"
#include "unit/items.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* a sparse matrix with rows of 1 to 8 numbers; row 5 is empty, row 7 repeats row 6 */
static sg_tfidf make_matrix(int n, int features)
{
    sg_tfidf a = {.n = n, .features = features};

    a.offsets = sg_alloc_zero((size_t)n + 1, sizeof *a.offsets);
    a.index = sg_alloc_array((size_t)n * 8, sizeof *a.index);
    a.value = sg_alloc_array((size_t)n * 8, sizeof *a.value);
    for (int r = 0; r < n; r++) {
        const uint64_t like = (uint64_t)(r == 7 ? 6 : r);
        int64_t at = a.offsets[r];

        for (uint64_t k = 0; r != 5 && k < 1 + like % 8; k++) {
            a.index[at] = (int32_t)((k + sg_rng_double(1, SG_RNG_TEST, like, k)) * features / 8);
            a.value[at++] = (float)sg_rng_normal(2, SG_RNG_TEST, like, k);
        }
        a.offsets[r + 1] = at;
    }
    return a;
}

static void singular_values_equal_the_dense_ones(void **state)
{
    (void)state;
    enum { N = 60, F = 37 };
    sg_tfidf a = make_matrix(N, F);
    double gram[F * F] = {0}, value[F];
    sg_svd s;
    sg_error err;

    for (int r = 0; r < N; r++)
        for (int64_t i = a.offsets[r]; i < a.offsets[r + 1]; i++)
            for (int64_t k = a.offsets[r]; k < a.offsets[r + 1]; k++)
                gram[a.index[i] * F + a.index[k]] += (double)a.value[i] * (double)a.value[k];
    assert_int_equal(sg_eigen(gram, value, F, &err), SG_OK);
    assert_int_equal(sg_svd_new(&s, &a, 20, 4, 1, NULL, NULL, &err), SG_OK);
    assert_int_equal(s.dim, 20);
    for (int k = 0; k < 20; k++) {
        double same = 0;

        assert_true(fabs(s.value[k] / sqrt(value[k]) - 1) < 1e-5); /* f32 products */
        for (int f = 0; f < F; f++)
            same += (double)s.right[f * 20 + k] * gram[k * F + f];
        assert_true(fabs(fabs(same) - 1) < 1e-4); /* as near as neighbouring values allow */
    }
    sg_svd_free(&s);
    /* more than there is: the rank is found, and all energy is kept */
    assert_int_equal(sg_svd_new(&s, &a, 500, 2, 1, NULL, NULL, &err), SG_OK);
    assert_true(s.dim <= F && fabs(s.energy / s.total - 1) < 1e-5);
    float *y = sg_alloc_array((size_t)N * (size_t)s.dim, sizeof *y);
    assert_int_equal(sg_svd_project(y, &s, &a, 1, NULL, &err), SG_OK);
    for (int r = 0; r < N; r++) { /* U S keeps lengths and angles of rows */
        double length = 0, next = 0, expected = 0;

        for (int k = 0; k < s.dim; k++)
            length += (double)y[r * s.dim + k] * (double)y[r * s.dim + k];
        for (int64_t i = a.offsets[r]; i < a.offsets[r + 1]; i++)
            expected += (double)a.value[i] * (double)a.value[i];
        for (int k = 0; r == 7 && k < s.dim; k++)
            next = fmax(next, fabs((double)y[6 * s.dim + k] - (double)y[7 * s.dim + k]));
        assert_true(fabs(length - expected) < 1e-4 * (1 + expected) && next == 0);
    }
    sg_free(y);
    sg_svd_free(&s);
    sg_tfidf_free(&a);
    assert_int_equal(sg_alloc_live(), 0);
}

static void gather_sum_is_the_same_on_every_instruction_set(void **state)
{
    (void)state;
    enum { ROWS = 50 };
    float x[ROWS * SG_PANEL], value[40];
    int32_t index[40];

    for (uint64_t i = 0; i < ROWS * SG_PANEL; i++)
        x[i] = (float)sg_rng_normal(3, SG_RNG_TEST, 0, i);
    for (uint64_t k = 0; k < 40; k++) {
        value[k] = (float)sg_rng_normal(3, SG_RNG_TEST, 1, k);
        index[k] = (int32_t)sg_rng_below(ROWS, 3, SG_RNG_TEST, 2, k);
    }
    for (int isa = SG_ISA_BASE; isa <= SG_ISA_MOST; isa++)
        for (size_t n = 0; n <= 40 && sg_kernels_for((sg_isa)isa); n++) {
            float y[SG_PANEL];

            sg_kernels_for((sg_isa)isa)->gather_sum(y, x, index, value, n);
            for (int j = 0; j < SG_PANEL; j++) {
                double sum = 0;

                for (size_t k = 0; k < n; k++)
                    sum += (double)value[k] * (double)x[index[k] * SG_PANEL + j];
                assert_true(fabs((double)y[j] - sum) < 1e-5);
            }
        }
}

/* A shop of three shelves: an item's title draws five of its shelf's twelve words and two of thirty that say nothing. */
enum { SHOP = 900 };
static char shop_text[SHOP][96];

static void make_shop(test_items *t)
{
    const char *cells[SHOP];

    for (uint64_t i = 0; i < SHOP; i++) {
        size_t at = 0;

        for (uint64_t k = 0; k < 7; k++)
            at += (size_t)snprintf(shop_text[i] + at, sizeof *shop_text - at,
                                   k < 5 ? "shelf%d%c " : "any%d%c ", (int)(k < 5 ? i % 3 : 0),
                                   'a' + (int)sg_rng_below(k < 5 ? 12 : 26, 4, SG_RNG_TEST, i, k));
        cells[i] = i == 11 ? "" : shop_text[i];
    }
    test_items_add(t, "title", SHOP, cells);
}

static sg_lsa_config shop_config(void)
{
    sg_lsa_config c;

    sg_options_init(&c, sg_lsa_options, sg_n_lsa_options);
    c.dim = 8;
    c.chars_most = 0;
    c.power = 1;
    return c;
}

static double cosine(const float *x, int dim, int a, int b)
{
    double sum = 0;

    for (int k = 0; k < dim; k++)
        sum += (double)x[a * dim + k] * (double)x[b * dim + k];
    return sum;
}

static void items_of_one_shelf_are_near(void **state)
{
    (void)state;
    test_items t = {0};
    sg_error err;

    make_shop(&t);
    for (int fit_items = 300; fit_items <= SHOP; fit_items *= 3) { /* a sample, then all */
        sg_lsa_config c = shop_config();
        double same = 0, other = 0;
        float *x;
        int32_t dim;
        json_t *report;

        c.fit_items = fit_items;
        assert_int_equal(sg_lsa_encode(&x, &dim, NULL, &t.data, &c, NULL, NULL, &report, &err), SG_OK);
        assert_int_equal(dim, 8);
        for (int i = 100; i < 200; i++) {
            same += cosine(x, dim, i, i + 3) / 100;
            other += cosine(x, dim, i, i + 4) / 100;
            assert_true(fabs(cosine(x, dim, i, i) - 1) < 1e-5);
        }
        assert_true(same > 0.5 && other < 0.2);
        assert_true(cosine(x, dim, 11, 11) == 0); /* no text */
        assert_int_equal(json_integer_value(json_object_get(report, "items_without_text")), 1);
        assert_int_equal(json_integer_value(json_object_get(report, "dim")), 8);
        assert_string_equal(json_string_value(json_object_get(json_object_get(report, "columns"), "title")),
                            "text");
        const double kept = json_real_value(json_object_get(report, "energy_kept"));
        assert_true(kept > 0 && kept < 1);
        json_decref(report);
        sg_free(x);
    }
    test_items_free(&t);
    assert_int_equal(sg_alloc_live(), 0);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    test_items t = {0};
    sg_error err;
    float *one;
    int32_t dim;
    json_t *report;
    const sg_lsa_config c = shop_config();

    make_shop(&t);
    assert_int_equal(sg_lsa_encode(&one, &dim, NULL, &t.data, &c, NULL, NULL, &report, &err), SG_OK);
    json_decref(report);
    for (int threads = 2; threads <= 4; threads += 2) {
        sg_pool *pool;
        float *many;

        assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
        assert_int_equal(sg_lsa_encode(&many, &dim, NULL, &t.data, &c, pool, NULL, &report, &err), SG_OK);
        assert_memory_equal(one, many, SHOP * (size_t)dim * sizeof *one);
        json_decref(report);
        sg_free(many);
        sg_pool_free(pool);
    }
    sg_free(one);
    test_items_free(&t);
}

static int stop_at_once(void *user, const sg_progress_event *e)
{
    return !e->message;
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    test_items t = {0};
    sg_error err;
    float *x;
    int32_t dim;
    json_t *report;
    sg_lsa_config c = shop_config();

    t.data.dir = (char *)(uintptr_t) "shop";
    assert_int_equal(sg_lsa_encode(&x, &dim, NULL, &t.data, &c, NULL, NULL, &report, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "shop: the items have no text columns: import with --item-text FILE");
    make_shop(&t);
    c.chars_least = 5;
    c.chars_most = 4;
    assert_int_equal(sg_lsa_encode(&x, &dim, NULL, &t.data, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "chars_most: expected at least chars_least = 5, found 4");
    c = shop_config();
    const sg_progress stop = {stop_at_once, NULL};
    assert_int_equal(sg_lsa_encode(&x, &dim, NULL, &t.data, &c, NULL, &stop, &report, &err), SG_ERR_CANCEL);
    test_items_free(&t);
    assert_int_equal(sg_alloc_live(), 0);
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    test_items t = {0};
    const sg_lsa_config c = shop_config();

    make_shop(&t);
    for (uint64_t n = 1;; n += 7) {
        sg_error err;
        float *x;
        int32_t dim;
        json_t *report;

        sg_alloc_fail_at(n);
        const sg_status st = sg_lsa_encode(&x, &dim, NULL, &t.data, &c, NULL, NULL, &report, &err);
        sg_alloc_fail_at(0);
        if (st == SG_OK) {
            json_decref(report);
            sg_free(x);
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
        cmocka_unit_test(singular_values_equal_the_dense_ones),
        cmocka_unit_test(gather_sum_is_the_same_on_every_instruction_set),
        cmocka_unit_test(items_of_one_shelf_are_near),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
