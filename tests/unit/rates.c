/* rates.c - shares of yes of items: what has happened, and nothing of what will. */
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
            a->time[e] = now += (int64_t)sg_rng_below(4, 7, SG_RNG_TEST, 10, (uint64_t)e); /* ties among users, too */
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

/* By the formula, over all training events again for each. event -1: all of them. */
static double refer(const answered *a, int64_t event, int item, double weight)
{
    double yes = 0, n = 0, yes_all = 0, n_all = 0;

    for (int64_t e = 0; e < a->t.data.n_events; e++) {
        const bool before = event < 0 || a->time[e] < a->time[event] || (a->time[e] == a->time[event] && e < event);

        if (!before || !is_training(&a->t, e))
            continue;
        yes_all += a->rating[e] >= 4;
        n_all++;
        yes += a->t.item[e] == item && a->rating[e] >= 4;
        n += a->t.item[e] == item;
    }
    const double base = (yes_all + 1) / (n_all + 2);
    return log((yes + weight * base) / (n - yes + weight * (1 - base)));
}

static void count_what_came_before(void **state)
{
    (void)state;
    sg_error err = {0};
    sg_rates r = {0};
    answered a;

    answered_new(&a);
    sg_model *m = tiny_model(&a.t, "hstu-rank", "dim=8 length=8", 3);
    assert_int_equal(sg_rates_count(&r, m, &a.t.train, 10, &err), SG_OK);
    assert_int_equal(r.tasks, 1);
    for (int64_t e = 0; e < a.t.data.n_events; e++) /* f32 of logits of a few units */
        assert_true(fabs((double)r.before[e] - (is_training(&a.t, e) ? refer(&a, e, a.t.item[e], 10) : 0)) < 1e-6);
    for (int i = 0; i < ITEMS; i++)
        assert_true(fabs((double)r.after[i] - refer(&a, -1, i, 10)) < 1e-6);
    sg_rates_free(&r);
    sg_model_free(m);
    tiny_free(&a.t);
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
    assert_int_equal(sg_rates_count(&before, m, &a.t.train, 3, &err), SG_OK);
    for (int64_t e = 0; e < a.t.data.n_events; e += 7) {
        const float keep = a.rating[e];

        a.rating[e] = keep >= 4 ? 1 : 5;
        assert_int_equal(sg_rates_count(&after, m, &a.t.train, 3, &err), SG_OK);
        for (int64_t k = 0; k < a.t.data.n_events; k++) {
            const bool later = a.time[k] > a.time[e] || (a.time[k] == a.time[e] && k > e);

            assert_true((later && is_training(&a.t, e)) || before.before[k] == after.before[k]);
            changed += before.before[k] != after.before[k];
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
    sg_error err = {0};
    sg_rates r = {0};
    answered a;

    answered_new(&a);
    a.t.data.timestamp = NULL;
    memset(a.time, 0, sizeof a.time); /* of the reference: all at once, in order */
    sg_model *m = tiny_model(&a.t, "hstu-rank", "dim=8 length=8", 3);
    assert_int_equal(sg_rates_count(&r, m, &a.t.train, 10, &err), SG_OK);
    for (int64_t e = 0; e < a.t.data.n_events; e++)
        assert_true(fabs((double)r.before[e] - (is_training(&a.t, e) ? refer(&a, e, a.t.item[e], 10) : 0)) < 1e-6);
    sg_rates_free(&r);
    sg_model_free(m);
    tiny_free(&a.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_what_came_before),
        cmocka_unit_test(an_answer_is_not_known_before_it_is_given),
        cmocka_unit_test(without_times_the_order_is_that_of_the_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
