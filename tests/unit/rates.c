/* rates.c - effects of items: what has happened, and nothing of what will. */
#include "models/rates.h"
#include "tiny.h"

enum { ITEMS = 12 };

typedef struct answered {
    tiny t;
    float rating[400];
    int64_t time[400];
} answered;

static void answered_new(answered *a)
{
    tiny_new(&a->t, 10, ITEMS, 30, 4);
    for (int32_t u = 0; u < a->t.data.n_users; u++) {
        int64_t now = 1000 + (int64_t)sg_rng_below(50, 7, SG_RNG_TEST, 9, (uint64_t)u);

        for (int64_t e = a->t.user_offsets[u]; e < a->t.user_offsets[u + 1]; e++) {
            a->rating[e] = (float)(1 + sg_rng_below(5, 7, SG_RNG_TEST, 31, (uint64_t)e));
            a->time[e] = now +=
                (int64_t)sg_rng_below(4, 7, SG_RNG_TEST, 10, (uint64_t)e); /* ties among users, too */
        }
    }
    a->t.data.rating = a->rating;
    a->t.data.timestamp = a->time;
}

static bool is_training(const tiny *t, int64_t e)
{
    for (int32_t u = 0; u < t->data.n_users; u++)
        if (e >= t->user_offsets[u] && e < t->user_offsets[u + 1])
            return e < t->split->train_end[u];
    return false;
}

/* By the equations, event after event in the order of time. */
typedef struct reference {
    double before[400][2], after[ITEMS][2];
} reference;

static void refer(reference *r, const answered *a, double variance)
{
    double mean_u[10] = {0}, var_u[10], mean_i[ITEMS] = {0}, var_i[ITEMS], yes = 0, n = 0;
    bool done[400] = {0};

    memset(r, 0, sizeof *r);
    for (int u = 0; u < 10; u++)
        var_u[u] = 1;
    for (int i = 0; i < ITEMS; i++)
        var_i[i] = variance;
    for (;;) {
        int64_t e = -1;
        int u = 0;

        for (int64_t k = 0; k < a->t.data.n_events; k++)
            if (!done[k] && is_training(&a->t, k) && (e < 0 || a->time[k] < a->time[e]))
                e = k;
        if (e < 0)
            break;
        done[e] = true;
        while (a->t.user_offsets[u + 1] <= e)
            u++;
        const int i = a->t.item[e], y = a->rating[e] >= 4;
        const double m = log((yes + 1) / (n - yes + 1)), p = 1 / (1 + exp(-m - mean_u[u] - mean_i[i])),
                     w = fmax(p * (1 - p), 0.02);
        const double s = var_u[u] + var_i[i] + 1 / w, k_u = var_u[u] / s, k_i = var_i[i] / s;
        r->before[e][0] = m + mean_i[i];
        r->before[e][1] = var_i[i];
        mean_u[u] += k_u * (y - p) / w;
        mean_i[i] += k_i * (y - p) / w;
        var_u[u] -= k_u * var_u[u];
        var_i[i] -= k_i * var_i[i];
        yes += y;
        n++;
    }
    for (int i = 0; i < ITEMS; i++) {
        r->after[i][0] = log((yes + 1) / (n - yes + 1)) + mean_i[i];
        r->after[i][1] = var_i[i];
    }
}

static void expect(const answered *a, double variance)
{
    sg_error err = {0};
    sg_rates r = {0};
    reference want;

    refer(&want, a, variance);
    sg_model *m = tiny_model((tiny *)(uintptr_t)&a->t, "hstu-rank", "dim=8 length=8", 3);
    assert_int_equal(sg_rates_filter(&r, m, &a->t.train, variance, &err), SG_OK);
    assert_int_equal(r.tasks, 1);
    for (int64_t e = 0; e < a->t.data.n_events; e++) /* f32 of numbers of a few units */
        for (int k = 0; k < SG_RATE; k++)
            assert_true(fabs((double)r.before[e * SG_RATE + k] - want.before[e][k]) < 1e-6);
    for (int i = 0; i < ITEMS; i++)
        for (int k = 0; k < SG_RATE; k++)
            assert_true(fabs((double)r.after[i * SG_RATE + k] - want.after[i][k]) < 1e-6);
    sg_rates_free(&r);
    sg_model_free(m);
}

static void equal_the_equations(void **state)
{
    (void)state;
    answered a;

    answered_new(&a);
    expect(&a, 1);
    expect(&a, 0.3);
    tiny_free(&a.t);
}

static bool same(const sg_rates *a, const sg_rates *b, int64_t e)
{
    return !memcmp(a->before + e * SG_RATE, b->before + e * SG_RATE, SG_RATE * sizeof *a->before);
}

/* Another answer to one event changes what stands beside later events only; outside of training it changes nothing. */
static void an_answer_is_not_known_before_it_is_given(void **state)
{
    (void)state;
    sg_error err = {0};
    sg_rates before = {0}, after = {0};
    answered a;
    int changed = 0;

    answered_new(&a);
    sg_model *m = tiny_model(&a.t, "hstu-rank", "dim=8 length=8", 3);
    assert_int_equal(sg_rates_filter(&before, m, &a.t.train, 3, &err), SG_OK);
    for (int64_t e = 0; e < a.t.data.n_events; e += 7) {
        const float keep = a.rating[e];

        a.rating[e] = keep >= 4 ? 1 : 5;
        assert_int_equal(sg_rates_filter(&after, m, &a.t.train, 3, &err), SG_OK);
        for (int64_t k = 0; k < a.t.data.n_events; k++) {
            const bool later = a.time[k] > a.time[e] || (a.time[k] == a.time[e] && k > e);

            assert_true((later && is_training(&a.t, e)) || same(&before, &after, k));
            changed += !same(&before, &after, k);
        }
        a.rating[e] = keep;
    }
    assert_true(changed > 100);
    sg_rates_free(&before);
    sg_rates_free(&after);
    sg_model_free(m);
    tiny_free(&a.t);
}

static void without_times_the_order_is_that_of_the_data(void **state)
{
    (void)state;
    answered a;

    answered_new(&a);
    a.t.data.timestamp = NULL;
    memset(a.time, 0, sizeof a.time); /* of the reference: all at once, in order */
    expect(&a, 1);
    tiny_free(&a.t);
}

/* Two users who like everything and two who like little: the item that only the first met is not taken for a better one. */
static void who_answers_is_not_taken_for_the_item(void **state)
{
    (void)state;
    sg_error err = {0};
    sg_rates r = {0};
    answered a;

    answered_new(&a);
    for (int64_t e = 0; e < a.t.data.n_events; e++) {
        int u = 0;

        while (a.t.user_offsets[u + 1] <= e)
            u++;
        a.t.item[e] = (u < 5 ? 0 : 4) +
                      (int32_t)(e % 4) * 2 % 8; /* even items: 0 .. 6 of the first, 4 .. 10 of the others */
        a.rating[e] = sg_rng_float(7, SG_RNG_TEST, 77, (uint64_t)e) < (u < 5 ? 0.9f : 0.2f) ? 5 : 1;
    }
    sg_model *m = tiny_model(&a.t, "hstu-rank", "dim=8 length=8", 3);
    assert_int_equal(sg_rates_filter(&r, m, &a.t.train, 0.3, &err), SG_OK);
    double yes[ITEMS] = {0}, all[ITEMS] = {0};
    for (int64_t e = 0; e < a.t.data.n_events; e++)
        if (is_training(&a.t, e)) {
            yes[a.t.item[e]] += a.rating[e] >= 4;
            all[a.t.item[e]]++;
        }
    assert_true(yes[0] / all[0] > 0.7 && yes[8] / all[8] < 0.4); /* by share they are far apart */
    assert_true(fabsf(r.after[0] - r.after[8 * SG_RATE]) <
                0.7f * (float)(log(yes[0] / (all[0] - yes[0])) - log(yes[8] / (all[8] - yes[8]))));
    sg_rates_free(&r);
    sg_model_free(m);
    tiny_free(&a.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_the_equations),
        cmocka_unit_test(an_answer_is_not_known_before_it_is_given),
        cmocka_unit_test(without_times_the_order_is_that_of_the_data),
        cmocka_unit_test(who_answers_is_not_taken_for_the_item),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
