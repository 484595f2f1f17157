/* metrics.c - the metric values that other libraries' own unit tests expect come out of ours.
 *
 *   RecBole   tests/metrics/test_topk_metrics.py                                         at 7b02be5
 *   RecTools  tests/metrics/test_{ranking,classification,popularity,novelty,catalog}.py  at 41a5a63
 *   Cornac    tests/cornac/metrics/test_ranking.py                                       at 4db147d
 *   gorse     model/cf/evaluator_test.go                                                 at 5404aef
 *
 * They differ in what they divide by; the field that follows each convention is named beside the numbers. */
#include "base/alloc.h"
#include "eval/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NEAR 1e-12

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.12g, found %.12g", expected, found);
}

static double g(int rank) /* gain */
{
    return 1 / log2(rank + 1.0);
}

/* ---- RecBole: hits of four users at places 1 to 3, with 1, 3, 4 and 2 relevant items ---- */

static const int recbole_hits[4][3] = {{0, 0, 0}, {1, 1, 1}, {1, 0, 1}, {0, 0, 1}};
static const int recbole_relevant[4] = {1, 3, 4, 2};

static sg_metric_values recbole_user(int user, int k)
{
    int32_t list[3], relevant[4];
    int n = 0;

    for (int p = 0; p < 3; p++) {
        list[p] = recbole_hits[user][p] ? 100 + p : p;
        if (recbole_hits[user][p])
            relevant[n++] = 100 + p;
    }
    while (n < recbole_relevant[user]) { /* relevant items that were not listed */
        relevant[n] = 200 + n;
        n++;
    }
    return sg_metrics_list(list, 3, relevant, n, k);
}

static void recbole_topk(void **state)
{
    (void)state;
    const double hit[4][3] = {{0, 0, 0}, {1, 1, 1}, {1, 1, 1}, {0, 0, 1}};
    const double ndcg[4][3] = {{0, 0, 0},
                               {1, 1, 1},
                               {1, g(1) / (g(1) + g(2)), (g(1) + g(3)) / (g(1) + g(2) + g(3))},
                               {0, 0, g(3) / (g(1) + g(2))}};
    const double mrr[4][3] = {{0, 0, 0}, {1, 1, 1}, {1, 1, 1}, {0, 0, 1.0 / 3}};
    const double map[4][3] = {
        {0, 0, 0}, {1, 1, 1}, {1, 1.0 / 2, 1.0 / 3 * (1 + 2.0 / 3)}, {0, 0, 1.0 / 3 * (1.0 / 2)}};
    const double recall[4][3] = {
        {0, 0, 0}, {1.0 / 3, 2.0 / 3, 1}, {1.0 / 4, 1.0 / 4, 2.0 / 4}, {0, 0, 1.0 / 2}};
    const double precision[4][3] = {{0, 0, 0}, {1, 1, 1}, {1, 1.0 / 2, 2.0 / 3}, {0, 0, 1.0 / 3}};

    for (int u = 0; u < 4; u++)
        for (int k = 1; k <= 3; k++) {
            const sg_metric_values v = recbole_user(u, k);

            assert_near(v.hit, hit[u][k - 1], NEAR);
            assert_near(v.ndcg, ndcg[u][k - 1], NEAR);
            assert_near(v.mrr, mrr[u][k - 1], NEAR);
            assert_near(v.map, map[u][k - 1], NEAR);
            assert_near(v.recall, recall[u][k - 1], NEAR);
            assert_near(v.precision, precision[u][k - 1], NEAR);
        }
}

static void recbole_exposure(void **state)
{
    (void)state;
    const int32_t lists[5][3] = {{5, 7, 3}, {4, 5, 2}, {2, 3, 5}, {1, 4, 6}, {5, 3, 7}};
    const int64_t events[8] = {0, 0, 1, 2, 3, 4, 5, 0}, users[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const double popularity[5][3] = {{4.0 / 1, 4.0 / 2, 6.0 / 3},
                                     {3.0 / 1, 7.0 / 2, 8.0 / 3},
                                     {1.0 / 1, 3.0 / 2, 7.0 / 3},
                                     {0.0 / 1, 3.0 / 2, 8.0 / 3},
                                     {4.0 / 1, 6.0 / 2, 6.0 / 3}};
    const int k[] = {1, 2, 3};
    sg_exposure e, one;
    sg_exposure_values v;
    sg_error err;

    assert_int_equal(sg_exposure_init(&e, 8, k, 3, &err), SG_OK);
    for (int u = 0; u < 5; u++) {
        sg_exposure_add(&e, lists[u], 3);
        assert_int_equal(sg_exposure_init(&one, 8, k, 3, &err), SG_OK);
        one.events = events;
        one.users = users;
        one.n_users = 1;
        sg_exposure_add(&one, lists[u], 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(sg_exposure_at(&v, &one, i, &err), SG_OK);
            assert_near(v.popularity, popularity[u][i], NEAR);
        }
        sg_exposure_fini(&one);
    }
    assert_int_equal(sg_exposure_at(&v, &e, 2, &err), SG_OK);
    assert_near(v.coverage, 7.0 / 8, NEAR);
    assert_near(v.gini,
                ((-7) * 0 + (-5) * 1 + (-3) * 1 + (-1) * 2 + 1 * 2 + 3 * 2 + 5 * 3 + 7 * 4) / (8.0 * (3 * 5)),
                NEAR);
    sg_exposure_fini(&e);
    assert_int_equal(sg_alloc_live(), 0);
}

/* ---- RecTools: ranks may have gaps ---- */

typedef struct ranks_case {
    int32_t rank[8]; /* of the relevant items; 0: not listed */
    int n;
    double k1, k3;
} ranks_case;

static void check_ranks(const ranks_case *c, int n, size_t field)
{
    for (int i = 0; i < n; i++) {
        const sg_metric_values a = sg_metrics_ranks(c[i].rank, c[i].n, 1),
                               b = sg_metrics_ranks(c[i].rank, c[i].n, 3);

        assert_near(*(const double *)(const void *)((const char *)&a + field), c[i].k1, NEAR);
        assert_near(*(const double *)(const void *)((const char *)&b + field), c[i].k3, NEAR);
    }
}

static void rectools_map(void **state)
{
    (void)state;
    const ranks_case all[] = {
        /* divided by the number of relevant items: map_all */
        {{9, 0}, 2, 0, 0},
        {{3}, 1, 0, 1.0 / 3},
        {{1, 3, 5, 7, 9, 0}, 6, 1.0 / 6, 1.0 / 6 * (1.0 / 1 + 2.0 / 3)},
        {{1}, 1, 1, 1},
        {{1, 2, 3}, 3, 1.0 / 3, 1},
        {{0}, 1, 0, 0},
        {{2}, 1, 0, 1.0 / 2},
        {{0}, 1, 0, 0},
    };

    check_ranks(all, 8, offsetof(sg_metric_values, map_all));
    /* RecTools warns of repeated interactions and counts them (3.5 / 3); relevant items are a set here, as
     * in the others */
    assert_near(sg_metrics_list((const int32_t[]){1, 2, 3}, 3, (const int32_t[]){1, 2, 1}, 3, 3).map_all, 1,
                NEAR);
}

static void rectools_ndcg(void **state)
{
    (void)state;
    const double ideal = g(1) + g(2) + g(3);
    const ranks_case full[] = {
        /* divided by k hits: ndcg_full */
        {{9}, 1, 0, 0},         {{0}, 1, 0, 0},           {{1, 2, 3}, 3, 1, 1},
        {{1}, 1, 1, 1 / ideal}, {{3}, 1, 0, 0.5 / ideal},
    };
    const ranks_case achievable[] = {
        /* divide_by_achievable: ndcg */
        {{9}, 1, 0, 0}, {{0}, 1, 0, 0}, {{1, 2, 3}, 3, 1, 1}, {{1}, 1, 1, 1}, {{3}, 1, 0, g(3) / g(1)},
    };

    check_ranks(full, 5, offsetof(sg_metric_values, ndcg_full));
    check_ranks(achievable, 5, offsetof(sg_metric_values, ndcg));
}

static void rectools_mrr(void **state)
{
    (void)state;
    const ranks_case c[] = {
        {{9}, 1, 0, 0}, {{0}, 1, 0, 0}, {{1, 2, 3}, 3, 1, 1}, {{1}, 1, 1, 1}, {{3, 7, 9, 0}, 4, 0, 1.0 / 3}};

    check_ranks(c, 5, offsetof(sg_metric_values, mrr));
}

static void rectools_classification(void **state)
{
    (void)state;
    /* users 1, 3, 4, 5 at k = 2 */
    const int32_t rank[4][3] = {{0, 2, 3}, {1}, {0}, {0}};
    const int n[4] = {3, 1, 1, 1};
    const double precision[4] = {0.5, 0.5, 0, 0}, recall[4] = {1.0 / 3, 1, 0, 0}, hit[4] = {1, 1, 0, 0};

    for (int u = 0; u < 4; u++) {
        const sg_metric_values v = sg_metrics_ranks(rank[u], n[u], 2);

        assert_near(v.precision, precision[u], NEAR);
        assert_near(v.recall, recall[u], NEAR);
        assert_near(v.hit, hit[u], NEAR);
    }
}

static sg_exposure_values exposure_of(const int32_t *list, int n, int k, const int64_t *events,
                                      const int64_t *users, int64_t n_users)
{
    sg_exposure e;
    sg_exposure_values v;
    sg_error err;

    assert_int_equal(sg_exposure_init(&e, 5, &k, 1, &err), SG_OK);
    e.events = events;
    e.users = users;
    e.n_users = n_users;
    sg_exposure_add(&e, list, n);
    assert_int_equal(sg_exposure_at(&v, &e, 0, &err), SG_OK);
    sg_exposure_fini(&e);
    return v;
}

static void rectools_popularity_and_novelty(void **state)
{
    (void)state;
    const int64_t events[5] = {0, 3, 2, 1, 0}, users[5] = {0, 3, 1, 0, 0};
    const int32_t u1[] = {1, 2}, u2[] = {3, 1, 2}, u2_new[] = {3, 1, 4}, u3[] = {3, 2};

    assert_near(exposure_of(u1, 2, 1, events, users, 3).popularity, 3, NEAR);
    assert_near(exposure_of(u2, 3, 1, events, users, 3).popularity, 1, NEAR);
    assert_near(exposure_of(u3, 2, 1, events, users, 3).popularity, 1, NEAR);
    assert_near(exposure_of(u1, 2, 3, events, users, 3).popularity, 2.5, NEAR);
    assert_near(exposure_of(u2, 3, 3, events, users, 3).popularity, 2, NEAR);
    assert_near(exposure_of(u3, 2, 3, events, users, 3).popularity, 1.5, NEAR);
    assert_near(exposure_of(u2_new, 3, 3, events, users, 3).popularity, 4.0 / 3, NEAR);
    /* mean inverse user frequency; an item nobody had counts as one user */
    assert_near(exposure_of((const int32_t[]){3}, 1, 1, events, users, 3).novelty, -log2(1.0 / 3), NEAR);
    assert_near(exposure_of((const int32_t[]){2, 3}, 2, 2, events, users, 3).novelty, -log2(1.0 / 3), NEAR);
    assert_near(exposure_of((const int32_t[]){1, 2}, 2, 1, events, users, 3).novelty, 0, NEAR);
    assert_near(exposure_of((const int32_t[]){1, 2}, 2, 2, events, users, 3).novelty, -log2(1.0 / 3) / 2,
                NEAR);
}

static void rectools_coverage(void **state)
{
    (void)state;
    /* ranks 1 and 2 of four users are items 1 2, 1 2, -, 1 of a catalogue of 5 */
    const int32_t lists[4][2] = {{1, 2}, {1, 2}, {-1, -1}, {-1, 1}};
    const int k = 2;
    sg_exposure e;
    sg_exposure_values v;
    sg_error err;

    assert_int_equal(sg_exposure_init(&e, 5, &k, 1, &err), SG_OK);
    for (int u = 0; u < 4; u++)
        sg_exposure_add(&e, lists[u], 2);
    assert_int_equal(sg_exposure_at(&v, &e, 0, &err), SG_OK);
    assert_near(v.coverage, 0.4, NEAR);
    sg_exposure_fini(&e);
}

/* ---- Cornac: the list is all there is, k = its length unless given ---- */

static sg_metric_values cornac(const int32_t *relevant, int n_relevant, const int32_t *list, int n, int k)
{
    return sg_metrics_list(list, n, relevant, n_relevant, k > 0 ? k : n);
}

static void cornac_ranking(void **state)
{
    (void)state;
    const int32_t zero[] = {0}, two[] = {2}, both[] = {0, 2}, first[] = {0, 2, 1}, last[] = {1, 2, 0};

    assert_near(cornac(zero, 1, zero, 1, 0).ndcg, 1, NEAR);
    assert_near(cornac(both, 2, first, 3, 0).ndcg, 1, NEAR);
    assert_near(cornac(two, 1, last, 3, 2).ndcg, 0.63, 0.005); /* given to two digits */
    assert_near(cornac(zero, 1, zero, 1, 0).mrr, 1, NEAR);
    assert_near(cornac(both, 2, first, 3, 0).mrr, 1, NEAR);
    assert_near(cornac(both, 2, last, 3, 0).mrr, 1.0 / 2, NEAR);
    assert_near(cornac((const int32_t[]){0, 1}, 2, both, 2, 0).hit, 1, NEAR);
    assert_near(cornac(two, 1, last, 3, 0).hit, 1, NEAR);
    assert_near(cornac(zero, 1, last, 3, 2).hit, 0, NEAR);
    assert_near(cornac(two, 1, last, 3, 2).hit, 1, NEAR);
    assert_near(cornac(both, 2, first, 3, 0).precision, 2.0 / 3, NEAR);
    assert_near(cornac(two, 1, last, 3, 0).precision, 1.0 / 3, NEAR);
    assert_near(cornac(two, 1, last, 3, 2).precision, 0.5, NEAR);
    assert_near(cornac(both, 2, first, 3, 0).recall, 1, NEAR);
    assert_near(cornac(two, 1, last, 3, 2).recall, 1, NEAR);
    assert_near(cornac(zero, 1, zero, 1, 0).f1, 1, NEAR);
    assert_near(cornac(both, 2, first, 3, 0).f1, 4.0 / 5, NEAR);
    assert_near(cornac(two, 1, last, 3, 0).f1, 1.0 / 2, NEAR);
    assert_near(cornac(two, 1, last, 3, 2).f1, 2.0 / 3, NEAR);
    assert_near(cornac(zero, 1, (const int32_t[]){1, 2}, 2, 2).f1, 0, NEAR);
}

static void cornac_map(void **state)
{
    (void)state;
    const sg_rank_spec spec = {.ties = SG_TIES_PESSIMISTIC};
    sg_rank_target a = {.item = 0}, b = {.item = 2}, c[] = {{.item = 1}, {.item = 3}, {.item = 5}};
    int32_t rank[3];
    float falling[10];

    assert_true(sg_rank_all(&a, 1, (const float[]){0.75f, 0.5f, 1}, 3, &spec));
    assert_near(sg_metrics_ranks(&a.rank, 1, 3).map_all, 0.5, NEAR);
    assert_true(sg_rank_all(&b, 1, (const float[]){1, 0.2f, 0.1f}, 3, &spec));
    assert_near(sg_metrics_ranks(&b.rank, 1, 3).map_all, 1.0 / 3, NEAR);
    for (int i = 0; i < 10; i++)
        falling[i] = (float)(9 - i) / 9;
    assert_true(sg_rank_all(c, 3, falling, 10, &spec));
    for (int i = 0; i < 3; i++)
        rank[i] = c[i].rank;
    assert_near(sg_metrics_ranks(rank, 3, 10).map_all, 0.5, NEAR);
}

/* ---- gorse: the list 0 .. 9 ---- */

static void gorse_evaluator(void **state)
{
    (void)state;
    const int32_t list[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

    assert_near(sg_metrics_list(list, 10, (const int32_t[]){1, 3, 5, 7}, 4, 10).ndcg, 0.6766372989, 1e-5);
    assert_near(sg_metrics_list(list, 10, (const int32_t[]){1, 3, 5, 7}, 4, 10).precision, 0.4, 1e-5);
    assert_near(sg_metrics_list(list, 10, (const int32_t[]){1, 3, 15, 17, 19}, 5, 10).recall, 0.4, 1e-5);
    assert_near(sg_metrics_list(list, 10, (const int32_t[]){1, 3, 7, 9}, 4, 10).map_all, 0.44375, 1e-5);
    assert_near(sg_metrics_list(list, 10, (const int32_t[]){3}, 1, 10).mrr, 0.25, 1e-5);
    assert_near(sg_metrics_list(list, 10, (const int32_t[]){3}, 1, 10).hit, 1, 1e-5);
    assert_near(sg_metrics_list(list, 10, (const int32_t[]){30}, 1, 10).hit, 0, 1e-5);
}

static void gorse_evaluate(void **state)
{
    (void)state;
    /* four users with four relevant items each, of which 4, 3, 2 and 1 are scored above all others */
    const sg_rank_spec spec = {.ties = SG_TIES_PESSIMISTIC};
    double sum = 0;

    for (int u = 0; u < 4; u++) {
        sg_rank_target t[4];
        float score[16] = {0};
        int32_t rank[4];

        for (int i = 0; i < 4; i++) {
            score[4 * u + i] = i < 4 - u ? 1 : -1;
            t[i].item = 4 * u + i;
        }
        assert_true(sg_rank_all(t, 4, score, 16, &spec));
        for (int i = 0; i < 4; i++)
            rank[i] = t[i].rank;
        sum += sg_metrics_ranks(rank, 4, 4).precision;
    }
    assert_near(sum / 4, 0.625, NEAR);
}

/* ---- ranks and ties ---- */

static void ties_count_against_the_target_by_default(void **state)
{
    (void)state;
    const float score[] = {3, 5, 3, 1, 3, 7};
    sg_rank_target t = {.item = 2};
    int seen[6] = {0};

    assert_true(sg_rank_all(&t, 1, score, 6, &(sg_rank_spec){.ties = SG_TIES_PESSIMISTIC}));
    assert_int_equal(t.rank, 5);
    assert_true(sg_rank_all(&t, 1, score, 6, &(sg_rank_spec){.ties = SG_TIES_OPTIMISTIC}));
    assert_int_equal(t.rank, 3);
    for (uint64_t place = 0; place < 600; place++) {
        assert_true(
            sg_rank_all(&t, 1, score, 6, &(sg_rank_spec){.ties = SG_TIES_RANDOM, .seed = 1, .place = place}));
        assert_in_range(t.rank, 3, 5);
        seen[t.rank]++;
    }
    for (int r = 3; r <= 5; r++)
        assert_in_range(seen[r], 150, 250); /* 200 expected, sd 12 */
}

static void tied_targets_stand_in_a_row(void **state)
{
    (void)state;
    const float score[] = {1, 2, 2, 2, 3};
    sg_rank_target t[] = {{.item = 1}, {.item = 3}};

    assert_true(sg_rank_all(t, 2, score, 5, &(sg_rank_spec){.ties = SG_TIES_PESSIMISTIC}));
    assert_int_equal(t[0].rank, 3); /* item 4, item 2, then the targets */
    assert_int_equal(t[1].rank, 4);
    assert_true(sg_rank_all(t, 2, score, 5, &(sg_rank_spec){.ties = SG_TIES_OPTIMISTIC}));
    assert_int_equal(t[0].rank, 2);
    assert_int_equal(t[1].rank, 3);
}

static void seen_items_are_no_candidates(void **state)
{
    (void)state;
    const sg_rank_spec spec = {.ties = SG_TIES_PESSIMISTIC};
    float score[] = {9, 5, 5, 5, 8};
    const int32_t seen[] = {0, 2, 0, 2}; /* twice: taken out once */
    sg_rank_target t[] = {{.item = 1}, {.item = 2}};

    assert_true(sg_rank_all(t, 2, score, 5, &spec));
    assert_int_equal(t[0].rank, 4);
    assert_int_equal(t[1].rank, 5);
    sg_rank_unseen(t, 2, score, seen, 4, &spec);
    assert_int_equal(t[0].rank, 3); /* after 4 and the tied 3 */
    assert_int_equal(t[1].rank, 0); /* in the history itself */
    assert_true(score[0] == -INFINITY && score[2] == -INFINITY && score[4] == 8);
}

static void impossible_scores(void **state)
{
    (void)state;
    const sg_rank_spec spec = {.ties = SG_TIES_PESSIMISTIC};
    const float never[] = {1, -INFINITY, 2}, broken[] = {1, 2, NAN};
    sg_rank_target t = {.item = 1};

    assert_true(sg_rank_all(&t, 1, never, 3, &spec));
    assert_int_equal(t.rank, 0);
    assert_false(sg_rank_all(&t, 1, broken, 3, &spec));
}

static void gini_is_0_when_all_items_are_shown_alike(void **state)
{
    (void)state;
    const int k = 1;
    sg_exposure e;
    sg_exposure_values v;
    sg_error err;

    assert_int_equal(sg_exposure_init(&e, 4, &k, 1, &err), SG_OK);
    assert_int_equal(sg_exposure_at(&v, &e, 0, &err), SG_OK);
    assert_near(v.gini, 0, 0); /* nothing shown */
    for (int32_t i = 0; i < 4; i++)
        sg_exposure_add(&e, &i, 1);
    assert_int_equal(sg_exposure_at(&v, &e, 0, &err), SG_OK);
    assert_near(v.gini, 0, NEAR);
    assert_near(v.coverage, 1, NEAR);
    sg_exposure_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recbole_topk),
        cmocka_unit_test(recbole_exposure),
        cmocka_unit_test(rectools_map),
        cmocka_unit_test(rectools_ndcg),
        cmocka_unit_test(rectools_mrr),
        cmocka_unit_test(rectools_classification),
        cmocka_unit_test(rectools_popularity_and_novelty),
        cmocka_unit_test(rectools_coverage),
        cmocka_unit_test(cornac_ranking),
        cmocka_unit_test(cornac_map),
        cmocka_unit_test(gorse_evaluator),
        cmocka_unit_test(gorse_evaluate),
        cmocka_unit_test(ties_count_against_the_target_by_default),
        cmocka_unit_test(tied_targets_stand_in_a_row),
        cmocka_unit_test(seen_items_are_no_candidates),
        cmocka_unit_test(impossible_scores),
        cmocka_unit_test(gini_is_0_when_all_items_are_shown_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
