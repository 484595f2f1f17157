/* thin.c - stochastic length: its three cases, who is drawn, the published table of sparsity, targets of what
 * is left. */
#include "tiny.h"

#include "models/sequence.h"
#include "models/thin.h"

#include <math.h>

static void has_three_cases(void **state)
{
    (void)state;
    enum { N = 4096, DRAWS = 20000 };
    const double alpha = 1.6, law = pow(N, alpha) / ((double)N * N);
    int all = 0;

    assert_int_equal(sg_thin_length(776, N, alpha, 0.999999), 776); /* short enough: always all */
    for (int i = 0; i < DRAWS; i++) {
        const int n = sg_thin_length(N, N, alpha, sg_rng_double(1, SG_RNG_TEST, 0, (uint64_t)i));

        assert_true(n == N || n == 776);
        all += n == N;
    }
    assert_true(fabs((double)all / DRAWS - law) < 3 * sqrt(law * (1 - law) / DRAWS));
    for (int n = 0; n <= 300; n++) /* 2: off */
        assert_int_equal(sg_thin_length(n, 300, 2, 0.999999), n);
    assert_int_equal(sg_thin_length(300, 300, 1, 0.999999), 17);
}

/* The paper prints 1 - mean length / N for N events at most and several alpha, of its own users. Their
 * lengths are not public, but the row alpha = 2 says what share of them is longer than 1024, 2048, 4096:
 * survival falls in straight lines between the knots below. The other rows must follow within 4 points; they
 * lie above it throughout where N is 4096 and 8192, as if a little less was kept whole than N^alpha / n^2
 * says. */
static void gives_the_published_sparsity(void **state)
{
    (void)state;
    static const double length[] = {0, 1024, 2048, 4096, 4781}, longer[] = {1, 0.938, 0.86, 0.108, 0};
    static const int most[] = {1024, 2048, 4096, 8192};
    static const double alpha[] = {1.6, 1.7, 1.8, 1.9, 2.0};
    static const double published[5][4] = {{71.5, 76.1, 80.5, 84.4},
                                           {56.1, 63.6, 69.8, 75.6},
                                           {40.2, 45.3, 54.1, 66.4},
                                           {17.2, 21.0, 36.3, 64.1},
                                           {3.1, 6.6, 29.1, 64.1}};
    enum { USERS = 20000 };

    for (int a = 0; a < 5; a++)
        for (int m = 0; m < 4; m++) {
            double sum = 0;

            for (int u = 0; u < USERS; u++) {
                const double rank = (u + 0.5) / USERS; /* this share of the users is shorter */
                int k = 0;

                while (1 - longer[k + 1] < rank)
                    k++;
                const double way = (rank - 1 + longer[k]) / (longer[k] - longer[k + 1]);
                const double n = fmin(length[k] + way * (length[k + 1] - length[k]), most[m]);

                sum +=
                    sg_thin_length((int)n, most[m], alpha[a], fmod(u * 0.6180339887, 1)); /* evenly spread */
            }
            const double sparsity = 100 * (1 - sum / USERS / most[m]);
            assert_true(fabs(sparsity - published[a][m]) < (alpha[a] == 2 ? 0.2 : 4));
        }
}

static void draws_each_place_once_and_recent_ones_more_often(void **state)
{
    (void)state;
    enum { N = 40, KEEP = 12, DRAWS = 20000 };
    int32_t place[N];
    float key[2 * N];
    int64_t time[N];
    int count[N] = {0};

    for (int i = 0; i < N; i++)
        time[i] =
            i < 4 ? 0 : 1000000 + i; /* four events long ago hold all of the age: weights 3/4 against 1 */
    for (int d = 0; d < DRAWS; d++) {
        sg_thin_places(place, KEEP, time, N, key, 3, (uint64_t)d);
        for (int i = 0; i < KEEP; i++) {
            assert_in_range(place[i], i ? place[i - 1] + 1 : 0, N - 1);
            count[place[i]]++;
        }
    }
    double old = 0, recent = 0;
    for (int i = 0; i < N; i++)
        *(i < 4 ? &old : &recent) += count[i] / (double)DRAWS / (i < 4 ? 4 : N - 4);
    /* drawing 12 of 40 by weights 3/4 and 1 one after the other takes an old one with probability .237, a
     * recent one with .307 */
    assert_true(fabs(old - 0.237) < 0.006 &&
                fabs(recent - 0.307) < 0.002); /* 3 standard errors and the three digits */
    sg_thin_places(place, N, NULL, N, key, 3, 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(place[i], i);
}

static void what_is_left_keeps_its_order_and_its_next_events(void **state)
{
    (void)state;
    enum { LENGTH = 64 };
    sg_error err = {0};
    sg_runs runs = {0};
    sg_sequences q, again;
    sg_graph *g;
    int64_t time[2000];
    uint32_t example[30];
    int cut = 0;
    tiny t;

    tiny_new(&t, 10, 100, 190, 20);
    for (int64_t e = 0; e < t.data.n_events; e++)
        time[e] = 10 * e;
    t.data.timestamp = time;
    assert_int_equal(sg_runs_new(&runs, &t.train, LENGTH, false, 1.5, &err), SG_OK);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_INFER, 1, 0);
    for (size_t i = 0; i < runs.n; i++)
        example[i] = (uint32_t)i;
    assert_true(runs.n <= 30 && sg_runs_pack(&q, g, &runs, example, (int)runs.n, 1, 5));
    for (int i = 0; i < q.n; i++) {
        const int n = q.offsets[i + 1] - q.offsets[i];

        cut += n == 22; /* 64^.75 */
        for (int k = q.offsets[i]; k < q.offsets[i + 1]; k++) {
            const int64_t event = q.time[k] / 10;

            assert_true(k == q.offsets[i] || q.time[k] > q.time[k - 1]);
            assert_int_equal(q.item[k], t.item[event]);
            assert_int_equal(q.target[k], t.item[event + 1]);
            assert_int_equal(q.next[k], time[event + 1]);
            assert_true(event + 1 < t.split->train_end[runs.user[i]]);
        }
    }
    assert_true(cut >= 3);
    assert_true(
        sg_runs_pack(&again, g, &runs, example, (int)runs.n, 1, 5)); /* the same step: the same events */
    assert_int_equal(again.tokens, q.tokens);
    assert_memory_equal(again.time, q.time, (size_t)q.tokens * sizeof *q.time);
    assert_true(sg_runs_pack(&again, g, &runs, example, (int)runs.n, 1, 6));
    assert_true(again.tokens != q.tokens ||
                memcmp(again.time, q.time, (size_t)q.tokens * sizeof *q.time) != 0);
    sg_graph_free(g);
    sg_runs_free(&runs);
    tiny_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_three_cases),
        cmocka_unit_test(gives_the_published_sparsity),
        cmocka_unit_test(draws_each_place_once_and_recent_ones_more_often),
        cmocka_unit_test(what_is_left_keeps_its_order_and_its_next_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
