/* topk.c - the k largest, ties by lower index, no NaN and no -inf; log-softmax against double. */
#include "base/rng.h"
#include "math/math.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N_MOST = 5000 };

static float score_at(uint64_t c, size_t i, int kind)
{
    const double u = sg_rng_double(7, SG_RNG_TEST, c, i);

    if (kind == 1)
        return (float)(int)(u * 8); /* many ties */
    if (kind == 2 && u < 0.3)
        return u < 0.15 ? NAN : -INFINITY;
    return kind == 3 ? (float)i : (float)u;
}

/* By definition: the element not yet taken with the highest score, the lowest index among equals. */
static size_t slow_topk(int32_t *index, size_t k, const float *score, size_t n)
{
    static uint8_t taken[N_MOST];
    size_t kept = 0;

    memset(taken, 0, sizeof taken);
    for (; kept < k; kept++) {
        size_t best = n;

        for (size_t i = 0; i < n; i++)
            if (!taken[i] && score[i] > -INFINITY && (best == n || score[i] > score[best]))
                best = i;
        if (best == n)
            break;
        taken[best] = 1;
        index[kept] = (int32_t)best;
    }
    return kept;
}

static void finds_the_largest_in_order(void **state)
{
    static float score[N_MOST], value[N_MOST];
    static int32_t index[N_MOST], want[N_MOST];
    static const size_t ns[] = {0, 1, 2, 31, 32, 33, 100, 1000, N_MOST}, ks[] = {0, 1, 2, 10, 33, 1000};

    for (size_t c = 0; c < 9 * 6 * 4; c++) {
        const size_t n = ns[c / 24], k = ks[c / 4 % 6];
        size_t found, expect;

        for (size_t i = 0; i < n; i++)
            score[i] = score_at(c, i, (int)(c % 4));
        found = sg_topk(index, value, k, score, n);
        expect = slow_topk(want, k < n ? k : n, score, n);
        assert_int_equal(found, expect);
        for (size_t i = 0; i < found; i++) {
            assert_int_equal(index[i], want[i]);
            assert_memory_equal(&value[i], &score[want[i]], sizeof(float));
        }
    }
}

static void log_softmax_equals_double(void **state)
{
    float x[301], y[301];

    for (int c = 0; c < 3; c++) {
        const float scale = c == 0 ? 1 : c == 1 ? 30 : 1e4f;
        double sum = 0, most = -INFINITY;

        for (size_t i = 0; i < 301; i++) {
            x[i] = y[i] = scale * (float)sg_rng_normal(7, SG_RNG_TEST, 99, i);
            most = x[i] > most ? (double)x[i] : most;
        }
        x[17] = y[17] = -INFINITY;
        for (size_t i = 0; i < 301; i++)
            sum += exp((double)x[i] - most);
        sg_log_softmax(y, 301);
        for (size_t i = 0; i < 301; i++)
            if (i == 17)
                assert_true(y[i] == -INFINITY);
            else /* three roundings, of numbers no larger than the result or log(301) */
                assert_true(fabs((double)y[i] - ((double)x[i] - most - log(sum))) <=
                            2e-7 * (6 + fabs((double)y[i])));
    }
    sg_log_softmax(x, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_largest_in_order),
        cmocka_unit_test(log_softmax_equals_double),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
