/* slow.c - what is known of users among their events: the worked example of the paper's data construction, the order, the limits. */
#include "models/slow.h"
#include "scratch.h"
#include "tiny.h"

#include "base/io.h"

enum { ITEMS = 12, USERS = 10 };

/* Main events at t2 .. t6, t8, t9. G is G0 from t1 and G1 from t8, H is H0 from t7 on: G0 stands in front, H0 before the event of t8, G1
 * before the last one. Ten tokens. */
static void equals_the_worked_example(void **state)
{
    (void)state;
    static const int64_t offsets[] = {0, 3}, since[] = {1, 7, 8}, time[] = {2, 3, 4, 5, 6, 8, 9};
    static const int32_t value[] = {0, 2, 1}, of[] = {0, 0, 1}; /* G0, G1, H0 */
    const sg_series s = {
        .n = 3, .offsets = offsets, .time = since, .value = value, .of = of, .names = {.n = 3}};
    int32_t found[SG_SLOW_MOST], before[SG_SLOW_MOST];

    assert_int_equal(sg_slow_merge(found, before, &s, 1, 0, time, 7), 3);
    assert_int_equal(found[0], 0);
    assert_int_equal(before[0], 0);
    assert_int_equal(found[1], 2);
    assert_int_equal(before[1], 5);
    assert_int_equal(found[2], 1);
    assert_int_equal(before[2], 6);
    /* up to the event of t8 nobody knows G1 */
    assert_int_equal(sg_slow_merge(found, before, &s, 1, 0, time, 6), 2);
    /* the latest four alone: G0 still holds, H0 comes in between; from t9 on H0 and G1 stand in front, G0 is past */
    assert_int_equal(sg_slow_merge(found, before, &s, 1, 0, time + 3, 4), 3);
    assert_int_equal(before[0], 0);
    assert_int_equal(sg_slow_merge(found, before, &s, 1, 0, time + 6, 1), 2);
    assert_int_equal(found[0], 2);
    assert_int_equal(found[1], 1);
    assert_int_equal(before[0] + before[1], 0);
}

static void knows_nothing_of_strangers_and_keeps_the_latest(void **state)
{
    (void)state;
    enum { MANY = 50 };
    int64_t offsets[] = {0, MANY + 2, MANY + 2}, since[MANY + 2], time[2 * MANY];
    int32_t value[MANY + 2], of[MANY + 2], found[SG_SLOW_MOST], before[SG_SLOW_MOST];

    since[0] = since[1] = INT64_MIN;
    for (int i = 0; i < MANY + 2; i++) {
        since[i] = i < 2 ? INT64_MIN : 10 * i;
        value[i] = i;
        of[i] = i % 7;
    }
    for (int i = 0; i < 2 * MANY; i++)
        time[i] = 5 * i + 25;
    const sg_series s = {
        .n = MANY + 2, .offsets = offsets, .time = since, .value = value, .of = of, .names = {.n = MANY + 2}};
    assert_int_equal(sg_slow_merge(found, before, &s, 2, -1, time, 10), 0);
    assert_int_equal(sg_slow_merge(found, before, &s, 2, 2, time, 10), 0);
    assert_int_equal(sg_slow_merge(found, before, &s, 2, 1, time, 10), 0);
    assert_int_equal(sg_slow_merge(found, before, &s, 2, 0, time, 0), 0);
    assert_int_equal(sg_slow_merge(found, before, &s, 2, 0, NULL, 10),
                     2); /* without times: what always holds */
    assert_int_equal(sg_slow_merge(found, before, &s, 2, 0, time, 2 * MANY), SG_SLOW_MOST);
    assert_int_equal(found[SG_SLOW_MOST - 1], MANY + 1);
    for (int i = 1; i < SG_SLOW_MOST; i++)
        assert_true(before[i] >= before[i - 1] && found[i] > found[i - 1]);
}

typedef struct known { /* a tiny dataset with times, and an attribute and a slow series of each user */
    tiny t;
    int64_t time[400], offsets[USERS + 1], since[3 * USERS];
    int32_t value[3 * USERS];
} known;

static void known_new(known *k)
{
    static const int32_t of[] = {0, 0, 0, 1, 1};
    int64_t now = 978300000;

    tiny_new(&k->t, USERS, ITEMS, 12, 4);
    for (int64_t e = 0; e < k->t.data.n_events; e++)
        k->time[e] = now += (int64_t)sg_rng_below(e % 3 ? 100 : 90000, 7, SG_RNG_TEST, 9, (uint64_t)e);
    k->t.data.timestamp = k->time;
    for (int u = 0; u < USERS; u++) {
        const int64_t first = k->t.user_offsets[u], n = k->t.user_offsets[u + 1] - first;

        k->offsets[u + 1] = 3 * (u + 1);
        k->since[3 * u] = INT64_MIN;
        k->value[3 * u] = u % 3;
        k->since[3 * u + 1] = k->time[first];
        k->value[3 * u + 1] = 3;
        k->since[3 * u + 2] = k->time[first + n / 2];
        k->value[3 * u + 2] = 4;
    }
    k->offsets[0] = 0;
    k->t.data.series = (sg_series){.n = 3 * USERS,
                                   .offsets = k->offsets,
                                   .time = k->since,
                                   .value = k->value,
                                   .of = of,
                                   .names = {.n = 5}};
}

#define SMALL "dim=12 blocks=2 heads=2 dqk=6 dv=7 length=8 dropout=0 dropout_input=0 loss=ce series=5 "

static void shake(sg_model *m)
{
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (size_t j = 0; j < p->count; j++)
            p->value[j] += 0.3f * (float)sg_rng_normal(3, SG_RNG_TEST, i, j);
        p->version++;
    }
}

/* -log softmax of item e of the user after the events before it. */
static double surprise(sg_model *m, known *k, int32_t user, int64_t begin, int64_t e, float *scores)
{
    double most = -1e30, total = 0;

    tiny_score(m,
               &(sg_histories){.n = 1,
                               .offsets = (int64_t[]){begin, e},
                               .item = k->t.item,
                               .timestamp = k->time,
                               .now = &k->time[e],
                               .user = &user},
               scores);
    for (int i = 0; i < ITEMS; i++)
        most = fmax(most, scores[i]);
    for (int i = 0; i < ITEMS; i++)
        total += exp(scores[i] - most);
    return most + log(total) - scores[k->t.item[e]];
}

/* Outputs of the other tokens mean nothing: the loss is that of the events, each as asked after its prefix. */
static void training_and_asking_agree(void **state)
{
    (void)state;
    sg_error err = {0};
    float scores[ITEMS];
    double sum = 0;
    size_t n;
    known k;

    known_new(&k);
    const int end = (int)(k.t.user_offsets[1] < 9 ? k.t.user_offsets[1] : 9);
    k.t.split->train_end[0] = end;
    sg_model *m = tiny_model(&k.t, "hstu", SMALL, 3);
    shake(m);
    assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
    for (int e = 1; e < end; e++)
        sum += surprise(m, &k, 0, 0, e, scores);
    assert_true(fabs(tiny_loss(m, 1) - sum / (end - 1)) < 1e-4);
    sg_model_free(m);
    tiny_free(&k.t);
}

static void who_asks_matters_and_is_remembered(void **state)
{
    (void)state;
    sg_error err = {0};
    char dir[SCRATCH_MAX], path[SCRATCH_MAX + 16];
    float a[ITEMS], b[ITEMS], c[ITEMS];
    sg_model *again;
    known k;

    known_new(&k);
    sg_model *m = tiny_model(&k.t, "hstu", SMALL, 3);
    shake(m);
    surprise(m, &k, 0, 0, 4, a);
    surprise(m, &k, 1, 0, 4, b);
    assert_memory_not_equal(a, b, sizeof a);
    surprise(m, &k, -1, 0, 4, b);
    assert_memory_not_equal(a, b, sizeof a);
    surprise(m, &k, USERS + 5, 0, 4, c); /* somebody new */
    assert_memory_equal(b, c, sizeof b);
    assert_int_equal(scratch_make(dir, "slow"), 0);
    snprintf(path, sizeof path, "%s/m", dir);
    assert_int_equal(sg_model_save(m, path, &err), SG_OK);
    if (sg_model_open(&again, path, &err))
        fail_msg("%s", err.message);
    surprise(again, &k, 0, 0, 4, b);
    assert_memory_equal(a, b, sizeof a);
    sg_model_free(again);
    sg_model_free(m);
    assert_int_equal(sg_dir_remove(dir, &err), SG_OK);
    tiny_free(&k.t);
}

static void gradients_are_differences(void **state)
{
    (void)state;
    known k;

    known_new(&k);
    tiny_check_gradient_of(
        &k.t, "hstu",
        "dim=12 blocks=1 heads=2 dqk=6 dv=7 length=8 dropout=0 dropout_input=0 loss=ce series=3");
    tiny_free(&k.t);
}

static void says_what_the_data_lacks(void **state)
{
    (void)state;
    sg_error err = {0};
    size_t n;
    known k;

    known_new(&k);
    sg_model *m = tiny_model(&k.t, "hstu", "dim=8 series=4 length=8", 3);
    k.t.data.series.offsets = NULL;
    assert_int_equal(m->class->init(m, &k.t.train, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "hstu: series=4: nothing is known of the users of tiny beside their "
                                     "events; import with --user-series");
    sg_model_free(m);
    m = tiny_model(&k.t, "hstu", "dim=8 like=4 length=8", 3);
    assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "hstu: like=4 needs ratings, tiny has none");
    sg_model_free(m);
    tiny_free(&k.t);
}

/* With like, events rated below are read, but are no labels: the loss is the mean over the others. */
static void only_what_was_liked_is_a_label(void **state)
{
    (void)state;
    sg_error err = {0};
    float scores[ITEMS], rating[400];
    double sum = 0;
    int labels = 0;
    size_t n;
    known k;

    known_new(&k);
    for (int64_t e = 0; e < k.t.data.n_events; e++)
        rating[e] = (float)(1 + e % 5);
    k.t.data.rating = rating;
    const int end = (int)(k.t.user_offsets[1] < 9 ? k.t.user_offsets[1] : 9);
    k.t.split->train_end[0] = end;
    sg_model *m = tiny_model(&k.t, "hstu", SMALL "like=3", 3);
    shake(m);
    assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
    for (int e = 1; e < end; e++)
        if (rating[e] >= 3) {
            sum += surprise(m, &k, 0, 0, e, scores);
            labels++;
        }
    assert_true(labels > 0 && labels < end - 1);
    assert_true(fabs(tiny_loss(m, 1) - sum / labels) < 1e-4);
    sg_model_free(m);
    tiny_free(&k.t);
}

#define RANK                                                                                                 \
    "dim=12 blocks=2 heads=2 dqk=6 dv=7 hidden=9 length=8 dropout=0 dropout_input=0 prior=0 series=5 "

static void give_ratings(known *k, float *rating)
{
    for (int64_t e = 0; e < k->t.data.n_events; e++)
        rating[e] = (float)(1 + sg_rng_below(5, 7, SG_RNG_TEST, 31, (uint64_t)e));
    k->t.data.rating = rating;
}

static void rank(sg_session *s, const known *k, int32_t user, int64_t begin, int64_t end, int64_t now,
                 const int32_t *item, int n, float *p)
{
    sg_error err = {0};

    if (s->model->class->rank(s,
                              &(sg_histories){.n = 1,
                                              .offsets = (int64_t[]){begin, end},
                                              .item = k->t.item,
                                              .timestamp = k->time,
                                              .now = &now,
                                              .user = &user,
                                              .rating = k->t.data.rating},
                              item, n, p, &err))
        fail_msg("%s", err.message);
}

/* hstu-rank: the loss of a run is that of its events, each asked as a candidate after what came before and was known then. */
static void ranking_in_training_and_asking_agree(void **state)
{
    (void)state;
    static const char *const options[] = {RANK, RANK "target_aware=false", RANK "bias=none action_item=true"};

    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        sg_error err = {0};
        float rating[400];
        double sum = 0;
        size_t n;
        known k;

        known_new(&k);
        give_ratings(&k, rating);
        const int end = (int)(k.t.user_offsets[1] < 9 ? k.t.user_offsets[1] : 9);
        k.t.split->train_end[0] = end;
        sg_model *m = tiny_model(&k.t, "hstu-rank", options[o], 3);
        shake(m);
        assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
        for (int e = 0; e < end; e++) {
            sg_session *s;
            float p;

            assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
            rank(s, &k, 0, 0, e, k.time[e], k.t.item + e, 1, &p);
            sum -= log(rating[e] >= 4 ? (double)p : 1 - (double)p);
            sg_session_free(s);
        }
        assert_true(fabs(tiny_loss(m, 1) - sum / end) < 1e-4);
        sg_model_free(m);
        tiny_free(&k.t);
    }
}

/* What a session keeps changes no answer: histories that grow, shrink and slide, other users, later requests. */
static void sessions_remember_rightly(void **state)
{
    (void)state;
    sg_error err = {0};
    float rating[400], all[5], one[5];
    sg_session *kept, *fresh;
    known k;

    known_new(&k);
    give_ratings(&k, rating);
    sg_model *m = tiny_model(&k.t, "hstu-rank", RANK, 3);
    shake(m);
    assert_int_equal(sg_session_new(&kept, m, NULL, &err), SG_OK);
    for (int ask = 0; ask < 200; ask++) {
        const int32_t user = ask / 17 % USERS, who = ask % 13 == 5 ? -1 : user;
        const int64_t begin = k.t.user_offsets[user], most = k.t.user_offsets[user + 1] - begin;
        const int64_t end = begin + (ask % 5 == 3 ? most / 2 : ask % (most + 1));
        const int64_t now =
            (end > begin ? k.time[end - 1] : k.time[begin]) + (ask % 3 ? 0 : 100000 * (ask % 7));
        const int32_t item[] = {1, 5, 3, 5, 0};

        rank(kept, &k, who, begin, end, now, item, 5, all);
        assert_int_equal(sg_session_new(&fresh, m, NULL, &err), SG_OK);
        rank(fresh, &k, who, begin, end, now, item, 5, one);
        for (int i = 0; i < 5; i++)
            assert_true(fabsf(all[i] - one[i]) < 1e-5f);
        sg_session_free(fresh);
    }
    sg_session_free(kept);
    sg_model_free(m);
    tiny_free(&k.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_worked_example),
        cmocka_unit_test(knows_nothing_of_strangers_and_keeps_the_latest),
        cmocka_unit_test(training_and_asking_agree),
        cmocka_unit_test(who_asks_matters_and_is_remembered),
        cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(says_what_the_data_lacks),
        cmocka_unit_test(only_what_was_liked_is_a_label),
        cmocka_unit_test(ranking_in_training_and_asking_agree),
        cmocka_unit_test(sessions_remember_rightly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
