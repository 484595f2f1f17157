/* Times as a histogram: quantiles against the sorted times themselves. */
#include "serve/spread.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* A bucket is 1/128 of a doubling wide, so its end is at most 1/128 above any time in it. */
static void quantiles_are_those_of_the_times(void **state)
{
    enum { N = 20000 };
    static const double q[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    static double time[N];
    static sg_spread s;

    (void)state;
    for (int i = 0; i < N; i++) { /* from 10 us to 10 s, all sizes alike */
        time[i] = 1e-5 * pow(1e6, sg_rng_double(7, SG_RNG_TEST, (uint64_t)i, 0));
        sg_spread_add(&s, time[i]);
    }
    qsort(time, N, sizeof *time, by_size);
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        const double exact = time[(int)ceil(q[i] * N) - 1], found = sg_spread_quantile(&s, q[i]);

        assert_true(found >= exact && found <= exact * (1 + 1.0 / SG_SPREAD_STEPS) * (1 + 1e-12));
    }
    assert_true(sg_spread_quantile(&s, 1) == time[N - 1]);
}

static void every_time_lies_in_its_bucket(void **state)
{
    (void)state;
    for (int b = 0; b < SG_SPREAD_BUCKETS; b += 7) {
        static sg_spread s;

        s = (sg_spread){0};
        sg_spread_add(&s, sg_spread_edge(b) * 1.0001);
        assert_int_equal(s.bucket[b], 1);
        assert_true(sg_spread_edge(b + 1) > sg_spread_edge(b));
    }
}

static void what_no_bucket_holds_is_in_the_outermost(void **state)
{
    static sg_spread s;

    (void)state;
    assert_true(sg_spread_quantile(&s, 0.5) == 0);
    sg_spread_add(&s, 0);
    sg_spread_add(&s, -1e-9); /* clocks of two cores */
    sg_spread_add(&s, 1e-9);
    assert_int_equal(s.bucket[0], 3);
    sg_spread_add(&s, 1e6);
    assert_int_equal(s.bucket[SG_SPREAD_BUCKETS - 1], 1);
    assert_true(s.most == 1e6 && s.n == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_the_times),
        cmocka_unit_test(every_time_lies_in_its_bucket),
        cmocka_unit_test(what_no_bucket_holds_is_in_the_outermost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
