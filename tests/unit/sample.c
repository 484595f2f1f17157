/* sample.c - drawing the next token: each cut keeps what it says, frequencies are the probabilities, the same place draws the same. */
#include "base/rng.h"
#include "lm/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { N = 5, DRAWS = 20000 };
/* probabilities .4 .3 .2 .06 .04 at temperature 1, out of order */
static const double p_of[N] = {0.06, 0.4, 0.04, 0.3, 0.2};

static void count(double share[N], sg_sampling s)
{
    float logits[N], value[N];
    int32_t index[N];

    for (int i = 0; i < N; i++) {
        logits[i] = (float)log(p_of[i]) + 3;
        share[i] = 0;
    }
    for (int d = 0; d < DRAWS; d++)
        share[sg_sample(logits, N, &s, 0, (uint64_t)d, index, value)] += 1.0 / DRAWS;
}

static void near(double found, double want) /* five standard deviations of a share of 20000 draws */
{
    if (fabs(found - want) > 5 * sqrt(want * (1 - want) / DRAWS) + 1e-12)
        fail_msg("expected %g, found %g", want, found);
}

static void frequencies(void **state)
{
    (void)state;
    double share[N], sum = 0;

    count(share, (sg_sampling){.temperature = 1, .top_p = 1, .seed = 3});
    for (int i = 0; i < N; i++)
        near(share[i], p_of[i]);
    count(share, (sg_sampling){.temperature = 0.5, .top_p = 1, .seed = 3});
    for (int i = 0; i < N; i++)
        sum += p_of[i] * p_of[i];
    for (int i = 0; i < N; i++)
        near(share[i], p_of[i] * p_of[i] / sum);
}

static void cuts(void **state)
{
    (void)state;
    double share[N];

    count(share, (sg_sampling){.temperature = 1, .top_p = 1, .top_k = 2, .seed = 1});
    near(share[1], 4.0 / 7);
    near(share[3], 3.0 / 7);
    assert_true(share[0] == 0 && share[2] == 0 && share[4] == 0);
    count(share, (sg_sampling){.temperature = 1,
                               .top_p = 0.65,
                               .seed = 1}); /* .4 + .3 is the first sum that reaches it */
    near(share[1], 4.0 / 7);
    assert_true(share[0] == 0 && share[2] == 0 && share[4] == 0);
    count(share, (sg_sampling){.temperature = 1, .top_p = 1, .min_p = 0.4, .seed = 1}); /* .4 of .4 is .16 */
    near(share[4], 2.0 / 9);
    assert_true(share[0] == 0 && share[2] == 0);
    count(share, (sg_sampling){.temperature = 1, .top_p = 0.99, .min_p = 0.4, .seed = 1});
    near(share[4], 2.0 / 9);
    assert_true(share[0] == 0 && share[2] == 0);
    count(share, (sg_sampling){.temperature = 0, .top_p = 1});
    assert_true(share[1] > 0.9999);
}

static void odd_logits(void **state)
{
    (void)state;
    const float same[3] = {1, 1, 1}, none[2] = {NAN, NAN}, wide[3] = {-INFINITY, 0, 200};
    float value[3];
    int32_t index[3];
    sg_sampling s = {.temperature = 0, .top_p = 1};

    assert_int_equal(sg_sample(same, 3, &s, 0, 0, index, value), 0);
    assert_int_equal(sg_sample(none, 2, &s, 0, 0, index, value), 0);
    s.temperature = 1;
    assert_int_equal(sg_sample(none, 2, &s, 0, 0, index, value), 0);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(sg_sample(wide, 3, &s, 0, i, index, value), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies),
        cmocka_unit_test(cuts),
        cmocka_unit_test(odd_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
