/* eigen.c - A v = value v, orthonormal v, known spectra. */
#include "base/alloc.h"
#include "base/rng.h"
#include "text/eigen.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* a is symmetric; largest error of A v - value v and of v v' - I, relative to the largest value */
static void assert_solves(const double *a, int n)
{
    double *v = malloc((size_t)n * (size_t)n * sizeof *v), *value = malloc((size_t)n * sizeof *value);
    double worst = 0, most = 1e-300;
    sg_error err;

    memcpy(v, a, (size_t)n * (size_t)n * sizeof *v);
    assert_int_equal(sg_eigen(v, value, n, &err), SG_OK);
    for (int i = 0; i < n; i++)
        most = fmax(most, fabs(value[i]));
    for (int i = 0; i < n; i++) {
        assert_true(i == 0 || value[i] <= value[i - 1]);
        for (int j = 0; j < n; j++) {
            double av = 0, vv = 0;

            for (int k = 0; k < n; k++) {
                av += a[j * n + k] * v[i * n + k];
                vv += v[i * n + k] * v[j * n + k];
            }
            worst = fmax(worst, fabs(av - value[i] * v[i * n + j]) / most);
            worst = fmax(worst, fabs(vv - (i == j)));
        }
    }
    assert_true(worst < 1e-13 * n);
    free(v);
    free(value);
}

static void random_matrices_are_solved(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 5, 17, 64, 101};
    double *a = malloc(101 * 101 * sizeof *a);

    for (int s = 0; s < 7; s++) {
        const int n = sizes[s];

        for (int i = 0; i < n; i++)
            for (int j = 0; j <= i; j++)
                a[i * n + j] = a[j * n + i] = sg_rng_normal(1, SG_RNG_TEST, (uint64_t)i, (uint64_t)j);
        assert_solves(a, n);
        for (int i = 0; i < n; i++) /* rank 2, with values over twelve decades */
            for (int j = 0; j < n; j++)
                a[i * n + j] = (i + 1.0) * (j + 1.0) * 1e6 + (i % 3 - 1.0) * (j % 3 - 1.0) * 1e-6;
        assert_solves(a, n);
        memset(a, 0, (size_t)n * (size_t)n * sizeof *a);
        assert_solves(a, n);
        for (int i = 0; i < n; i++) /* equal values, already diagonal */
            a[i * n + i] = 2;
        assert_solves(a, n);
    }
    free(a);
}

/* The second difference matrix of size n has the values 2 - 2 cos(pi k / (n + 1)). */
static void a_known_spectrum_is_found(void **state)
{
    (void)state;
    enum { N = 30 };
    double a[N * N] = {0}, value[N];
    sg_error err;

    for (int i = 0; i < N; i++) {
        a[i * N + i] = 2;
        if (i + 1 < N)
            a[i * N + i + 1] = a[(i + 1) * N + i] = -1;
    }
    assert_int_equal(sg_eigen(a, value, N, &err), SG_OK);
    for (int k = 1; k <= N; k++)
        assert_true(fabs(value[N - k] - (2 - 2 * cos(3.14159265358979323846 * k / (N + 1)))) < 1e-13);
}

static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    double a[4] = {1, NAN, NAN, 1}, value[2];
    sg_error err;

    assert_int_equal(sg_eigen(a, value, 2, &err), SG_ERR_NUMERIC);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_matrices_are_solved),
        cmocka_unit_test(a_known_spectrum_is_found),
        cmocka_unit_test(what_is_not_finite_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
