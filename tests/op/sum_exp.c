/* sum_exp.c - log-sum-exp and floor kernels of every instruction set against double, on rows of every
 * length. */
#include "base/rng.h"
#include "math/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LENGTH = 530 };

static void fill(float *x, size_t n, uint64_t id, float spread)
{
    for (size_t i = 0; i < n; i++)
        x[i] = spread * (float)sg_rng_normal(1, SG_RNG_TEST, id, i);
}

static void sums_like_double(void **state)
{
    (void)state;
    static const float spreads[] = {0, 1, 10, 300};
    float x[LENGTH];

    for (int isa = 0; isa <= SG_ISA_MOST; isa++) {
        const sg_kernels *k = sg_kernels_for((sg_isa)isa);

        for (size_t n = 1; k && n < LENGTH; n += n < 70 ? 1 : 37)
            for (int s = 0; s < 4; s++) {
                double most = -INFINITY, sum = 0;
                float top, got;

                fill(x, n, n, spreads[s]);
                if (n > 3)
                    x[n / 2] = -INFINITY; /* counts as 0 */
                for (size_t i = 0; i < n; i++)
                    most = x[i] > most ? x[i] : most;
                for (size_t i = 0; i < n; i++)
                    sum += exp(x[i] - most);
                got = k->sum_exp(&top, x, n);
                assert_true(top == (float)most);
                assert_true(fabs(got - sum) <=
                            1e-6 * sum); /* exp within 1 ulp, 530 terms in 16 or more lanes */
            }
    }
}

static void shows_what_is_no_number(void **state)
{
    (void)state;
    float x[40], top;

    for (int isa = 0; isa <= SG_ISA_MOST; isa++) {
        const sg_kernels *k = sg_kernels_for((sg_isa)isa);

        for (size_t at = 0; k && at < 40; at++) {
            fill(x, 40, 3, 1);
            x[at] = NAN;
            assert_true(isnan(k->sum_exp(&top, x, 40)) || isnan(top));
            x[at] = INFINITY;
            assert_false(isfinite(k->sum_exp(&top, x, 40)) && isfinite(top));
        }
        for (size_t i = 0; i < 40; i++)
            x[i] = -INFINITY;
        if (k)
            assert_false(isfinite(k->sum_exp(&top, x, 40)) && isfinite(top));
    }
}

static void finds_what_reaches_the_floor(void **state)
{
    (void)state;
    float x[LENGTH];
    uint32_t index[LENGTH + 16];

    for (int isa = 0; isa <= SG_ISA_MOST; isa++) {
        const sg_kernels *k = sg_kernels_for((sg_isa)isa);

        for (size_t n = 0; k && n < LENGTH; n += n < 70 ? 1 : 37)
            for (int f = -3; f <= 3; f++) {
                const float shift = 0.25f, floor = f == -3 ? -INFINITY : (float)f;
                size_t want = 0, got;

                fill(x, n, n, 1);
                if (n > 5) {
                    x[n / 2] = NAN;
                    x[n / 3] = -INFINITY;
                    x[n - 1] = floor - shift; /* exactly there */
                }
                got = k->above(index, x, n, shift, floor);
                for (size_t i = 0; i < n; i++)
                    if (x[i] + shift >= floor) {
                        assert_true(want < got && index[want] == i);
                        want++;
                    }
                assert_int_equal(got, want);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_like_double),
        cmocka_unit_test(shows_what_is_no_number),
        cmocka_unit_test(finds_what_reaches_the_floor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
