/* answers.c - metrics of yes-or-no predictions: scikit-learn's numbers, brute force, and what cannot be divided. */
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.12g, found %.12g", expected, found);
}

/* scikit-learn 1.9.1: roc_auc_score and log_loss of all, roc_auc_score of the four users (.65, .5, .5, .5). */
static void scikit_learn_says_the_same(void **state)
{
    (void)state;
    static const float p[] = {.9f, .8f,  .8f,  .7f,  .6f,  .55f, .54f, .53f, .52f, .505f,
                              .4f, .39f, .38f, .37f, .36f, .35f, .34f, .33f, .3f,  .1f};
    static const uint8_t y[] = {1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0};
    static const int32_t user[] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3};
    sg_answer_values v;
    sg_error err;

    assert_int_equal(sg_metrics_answers(&v, p, y, user, 20, &err), SG_OK);
    assert_int_equal(v.n, 20);
    assert_int_equal(v.positives, 10);
    assert_near(v.auc, 0.675, 1e-12);
    assert_near(v.gauc, (7 * 0.65 + 5 * 0.5 + 5 * 0.5 + 3 * 0.5) / 20, 1e-12);
    assert_near(v.log_loss, 0.6398926005842254, 1e-7); /* p is f32 */
    assert_near(v.ne, 0.6398926005842254 / log(2), 1e-7);
    assert_near(v.calibration, 9.765 / 10, 1e-7);
}

/* Every pair, for every user; ties half; users in any order, some with one answer only. */
static void brute_force_says_the_same(void **state)
{
    (void)state;
    enum { N = 700, USERS = 40 };
    static float p[N];
    static uint8_t y[N];
    static int32_t user[N];
    double right = 0, pairs = 0, gauc = 0, weight = 0, loss = 0, sum = 0, yes = 0;
    sg_answer_values v;
    sg_error err;

    for (int i = 0; i < N; i++) {
        p[i] = 0.02f + 0.05f * (float)sg_rng_below(19, 1, SG_RNG_TEST, 1, (uint64_t)i);
        y[i] = sg_rng_float(1, SG_RNG_TEST, 2, (uint64_t)i) < p[i];
        user[i] = (int32_t)(sg_rng_below(USERS, 1, SG_RNG_TEST, 3, (uint64_t)i) *
                            sg_rng_below(2, 1, SG_RNG_TEST, 4, (uint64_t)i));
        loss -= log(y[i] ? p[i] : 1 - (double)p[i]);
        sum += (double)p[i];
        yes += y[i];
    }
    for (int u = 0; u < USERS; u++) {
        double r = 0, all = 0, n = 0;

        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                const double won = p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0;

                if (u == 0 && y[i] && !y[j]) {
                    right += won;
                    pairs++;
                }
                if (user[i] == u && user[j] == u && y[i] && !y[j]) {
                    r += won;
                    all++;
                }
            }
        for (int i = 0; i < N; i++)
            n += user[i] == u;
        if (all > 0) {
            gauc += n * r / all;
            weight += n;
        }
    }
    assert_true(weight < N); /* some users say one thing only */
    assert_int_equal(sg_metrics_answers(&v, p, y, user, N, &err), SG_OK);
    const double base = yes / N, even = -base * log(base) - (1 - base) * log(1 - base);
    assert_near(v.auc, right / pairs, 1e-12);
    assert_near(v.gauc, gauc / weight, 1e-12);
    assert_near(v.log_loss, loss / N, 1e-12);
    assert_near(v.ne, loss / N / even, 1e-12);
    assert_near(v.calibration, sum / yes, 1e-12);
}

static void the_base_rate_has_ne_1_and_knows_no_order(void **state)
{
    (void)state;
    static const float p[] = {.25f, .25f, .25f, .25f};
    sg_answer_values v;
    sg_error err;

    assert_int_equal(
        sg_metrics_answers(&v, p, (const uint8_t[]){0, 0, 1, 0}, (const int32_t[]){0, 0, 0, 0}, 4, &err),
        SG_OK);
    assert_near(v.ne, 1, 1e-12);
    assert_near(v.auc, 0.5, 0);
    assert_near(v.gauc, 0.5, 0);
    assert_near(v.calibration, 1, 1e-12);
}

static void what_cannot_be_divided_is_nan(void **state)
{
    (void)state;
    static const float sure[] = {0, 1};
    sg_answer_values v;
    sg_error err;

    assert_int_equal(sg_metrics_answers(&v, sure, (const uint8_t[]){0, 0}, (const int32_t[]){0, 1}, 2, &err),
                     SG_OK);
    assert_true(isnan(v.ne) && isnan(v.auc) && isnan(v.gauc) && isnan(v.calibration));
    assert_near(v.log_loss, (-log(1 - 1e-7) - log(1e-7)) / 2, 1e-12); /* wrong for sure, but finite */
    assert_int_equal(sg_metrics_answers(&v, sure, NULL, NULL, 0, &err), SG_OK);
    assert_true(isnan(v.log_loss) && v.n == 0);
    assert_int_equal(
        sg_metrics_answers(&v, (const float[]){NAN}, (const uint8_t[]){0}, (const int32_t[]){0}, 1, &err),
        SG_ERR_NUMERIC);
    assert_string_equal(err.message, "expected probabilities from 0 to 1, found nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scikit_learn_says_the_same),
        cmocka_unit_test(brute_force_says_the_same),
        cmocka_unit_test(the_base_rate_has_ne_1_and_knows_no_order),
        cmocka_unit_test(what_cannot_be_divided_is_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
