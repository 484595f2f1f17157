/* hstu_rank.c - what the ranking model promises: training and asking agree, candidates do not see each other, what a
 * session keeps changes no answer, retrieval learns from positive events alone. */
#include "tiny.h"

#include "eval/eval.h"
#include "models/rates.h"

#include <math.h>

enum { ITEMS = 20, LENGTH = 8 };
#define SHAPE "dim=12 blocks=2 heads=2 dqk=6 dv=7 hidden=9 length=8 dropout=0 dropout_input=0 "
#define SMALL SHAPE "prior=0 "

typedef struct rated { /* a tiny dataset with ratings, actions and times */
    tiny t;
    float rating[400];
    int32_t action[400];
    int64_t time[400];
} rated;

static void rated_new(rated *r)
{
    int64_t now = 978300000;

    tiny_new(&r->t, 10, ITEMS, 30, 5);
    for (int64_t e = 0; e < r->t.data.n_events; e++) {
        r->rating[e] = (float)(1 + sg_rng_below(9, 7, SG_RNG_TEST, 31, (uint64_t)e)) / 2;
        r->action[e] = (int32_t)sg_rng_below(3, 7, SG_RNG_TEST, 32, (uint64_t)e);
        r->time[e] = now += (int64_t)sg_rng_below(e % 3 ? 100 : 90000, 7, SG_RNG_TEST, 9, (uint64_t)e);
    }
    r->t.data.rating = r->rating;
    r->t.data.action = r->action;
    r->t.data.timestamp = r->time;
}

/* Every weight becomes a number of the size that training would make of it. */
static sg_model *shaken(rated *r, const char *options)
{
    sg_model *m = tiny_model(&r->t, "hstu-rank", options, 3);

    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (size_t j = 0; j < p->count; j++)
            p->value[j] = 0.5f * (float)sg_rng_normal(3, SG_RNG_TEST, i, j);
        p->version++;
    }
    return m;
}

static sg_session *session_of(const sg_model *m)
{
    sg_error err = {0};
    sg_session *s;

    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    return s;
}

/* Events begin .. end - 1, asked at `now`. */
static void rank(sg_session *s, const rated *r, int64_t begin, int64_t end, int64_t now, const int32_t *item,
                 int n, float *p)
{
    const int64_t offsets[] = {begin, end};
    sg_error err = {0};

    if (s->model->class->rank(s,
                              &(sg_histories){.n = 1,
                                              .offsets = offsets,
                                              .item = r->t.item,
                                              .timestamp = r->time,
                                              .now = &now,
                                              .action = r->action,
                                              .rating = r->rating},
                              item, n, p, &err))
        fail_msg("%s", err.message);
}

/* The loss of a run is the mean of -log of the probabilities that asking event by event gives. */
static void training_loss_equals_what_prefixes_answer(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL, SMALL "label=action goal=1", SMALL "target_aware=false",
                                          SMALL "softmax=true", SMALL "bias=none like=2"};

    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        sg_error err = {0};
        double sum = 0;
        size_t n;
        rated r;

        rated_new(&r);
        r.t.split->train_end[0] = r.t.user_offsets[1] < LENGTH + 1 ? r.t.user_offsets[1] : LENGTH + 1;
        const int end = (int)r.t.split->train_end[0];
        sg_model *m = shaken(&r, options[o]);
        const int tasks = m->class->tasks(m);
        assert_int_equal(tasks, strstr(options[o], "action") ? 3 : 1);
        assert_int_equal(m->class->examples(m, &r.t.train, &n, &err), SG_OK);
        for (int e = 0; e < end; e++) { /* the first too: shown to somebody who did nothing yet */
            sg_session *s = session_of(m);
            float p[3];

            rank(s, &r, 0, e, r.time[e], r.t.item + e, 1, p);
            for (int i = 0; i < tasks; i++)
                sum -= log(m->class->label(m, &r.t.data, e, i) ? (double)p[i] : 1 - (double)p[i]);
            sg_session_free(s);
        }
        assert_true(fabs(tiny_loss(m, 1) - sum / (end * tasks)) < 1e-4);
        sg_model_free(m);
        tiny_free(&r.t);
    }
}

/* With a prior the loss is that of the logits without it plus what was known of each item before; asked, what is known after all of training.
 * The doubt is a feature of the head: its weights are zero here, but for the second half. */
static void logits_start_from_what_is_known_of_the_item(void **state)
{
    (void)state;
    static const char *const options[][2] = {{SHAPE "prior=3", SMALL},
                                             {SHAPE "label=action prior=3", SMALL "label=action"}};

    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        sg_error err = {0};
        sg_rates rates = {0};
        double sum = 0;
        size_t n;
        rated r;

        rated_new(&r);
        r.t.split->train_end[0] = r.t.user_offsets[1] < LENGTH + 1 ? r.t.user_offsets[1] : LENGTH + 1;
        const int end = (int)r.t.split->train_end[0];
        sg_model *with = shaken(&r, options[o][0]), *without = shaken(&r, options[o][1]);
        for (size_t i = 0; i < without->params.n; i++) { /* one weight more: those of the others by name */
            const sg_param *from = without->params.list[i];
            sg_param *to = sg_params_find(&with->params, from->name);

            memcpy(to->value, from->value, from->count * sizeof *from->value);
            to->version++;
        }
        sg_param *doubt = sg_params_find(&with->params, "head.doubt.weight");
        memset(doubt->value, 0, doubt->count * sizeof *doubt->value);
        doubt->version++;
        const int tasks = with->class->tasks(with);
        assert_int_equal(with->class->examples(with, &r.t.train, &n, &err), SG_OK);
        assert_int_equal(sg_rates_filter(&rates, with, &r.t.train, 3, &err), SG_OK);
        for (int e = 0; e < end; e++) {
            sg_session *a = session_of(with), *b = session_of(without);
            float p[3], q[3];

            rank(a, &r, 0, e, r.time[e], r.t.item + e, 1, p);
            rank(b, &r, 0, e, r.time[e], r.t.item + e, 1, q);
            for (int i = 0; i < tasks; i++) {
                const double plain = log((double)q[i] / (1 - (double)q[i]));
                const double asked =
                    1 / (1 + exp(-plain - (double)rates.after[(r.t.item[e] * tasks + i) * SG_RATE]));
                const double taught = 1 / (1 + exp(-plain - (double)rates.before[(e * tasks + i) * SG_RATE]));

                assert_true(fabs(asked - (double)p[i]) < 1e-5);
                sum -= log(with->class->label(with, &r.t.data, e, i) ? taught : 1 - taught);
            }
            sg_session_free(a);
            sg_session_free(b);
        }
        const double plain = tiny_loss(with, 1);
        assert_true(fabs(plain - sum / (end * tasks)) < 1e-4);
        doubt->value[0] = 2;
        doubt->version++;
        assert_true(fabs(tiny_loss(with, 1) - plain) > 1e-5);
        sg_rates_free(&rates);
        sg_model_free(with);
        sg_model_free(without);
        tiny_free(&r.t);
    }
}

static void candidates_stand_alone_and_sessions_remember_rightly(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL, SMALL "target_aware=false label=action"};
    int32_t item[700];

    for (int i = 0; i < 700; i++)
        item[i] = (i * 7 + i / 20) % ITEMS;
    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        static float all[700 * 3], one[3];
        rated r;

        rated_new(&r);
        sg_model *m = shaken(&r, options[o]);
        const int tasks = m->class->tasks(m);
        sg_session *kept = session_of(m);
        for (int ask = 0; ask < 60; ask++) { /* other users, longer, shorter, and the same histories again */
            const int64_t u = ask / 12 % 4, begin = r.t.user_offsets[u];
            const int64_t most = r.t.user_offsets[u + 1] - begin, len = ask % 12 * most / 11;
            const int64_t end = begin + (ask % 5 == 3 && len > 2 ? len - 2 : len);
            const int64_t now = r.time[r.t.user_offsets[u + 1] - 1] + ask;
            const int n = ask == 7 ? 700 : 5;

            rank(kept, &r, begin, end, now, item, n, all);
            for (int i = 0; i<n; i += n> 5 ? 97 : 1) {
                sg_session *fresh = session_of(m);

                rank(fresh, &r, begin, end, now, item + i, 1, one);
                for (int k = 0; k < tasks; k++)
                    assert_true(fabsf(one[k] - all[i * tasks + k]) < 1e-5f);
                sg_session_free(fresh);
            }
        }
        sg_session_free(kept);
        sg_model_free(m);
        tiny_free(&r.t);
    }
}

/* An action that is not read, a time, a rating of the history: each matters. */
static void actions_and_the_time_of_the_request_matter(void **state)
{
    (void)state;
    static const int32_t item = 3;
    float before, after;
    rated r;

    rated_new(&r);
    sg_model *m = shaken(&r, SMALL);
    sg_session *s = session_of(m);
    rank(s, &r, 0, 3, r.time[2] + 10, &item, 1, &before);
    rank(s, &r, 0, 3, r.time[2] + 90000, &item, 1, &after);
    assert_true(fabsf(before - after) > 1e-6f);
    r.rating[1] = r.rating[1] > 2 ? 1 : 4;
    rank(s, &r, 0, 3, r.time[2] + 10, &item, 1, &after);
    assert_true(fabsf(before - after) > 1e-6f); /* rounding: 1e-8 */
    sg_session_free(s);
    sg_model_free(m);
    tiny_free(&r.t);
}

static void retrieval_learns_from_positive_events_alone(void **state)
{
    (void)state;
    sg_error err = {0};
    double loss[3];
    rated r;

    rated_new(&r);
    for (int i = 0; i < 3; i++) { /* nothing positive; no retrieval; something positive */
        static const char *const options[] = {SMALL "like=100 retrieval=1", SMALL "like=100",
                                              SMALL "like=2 retrieval=1"};
        size_t n;
        sg_model *m = shaken(&r, options[i]);

        assert_int_equal(m->class->examples(m, &r.t.train, &n, &err), SG_OK);
        loss[i] = tiny_loss(m, 8);
        sg_model_free(m);
    }
    assert_true(loss[0] == loss[1]);
    assert_true(isfinite(loss[2]) && loss[2] > 0);
    tiny_free(&r.t);
}

static void recommends_by_goal_or_by_retrieval(void **state)
{
    (void)state;
    sg_error err = {0};
    float scores[2 * ITEMS], p[ITEMS * 3];
    int32_t item[ITEMS];
    rated r;

    rated_new(&r);
    for (int i = 0; i < ITEMS; i++)
        item[i] = i;
    sg_model *m = shaken(&r, SMALL "label=action goal=2");
    const int64_t offsets[] = {0, 5, 5}, now[] = {r.time[5], r.time[5]};
    const sg_histories h = {
        .n = 2, .offsets = offsets, .item = r.t.item, .timestamp = r.time, .now = now, .action = r.action};
    assert_int_equal(tiny_ask(m, &h, scores, &err), SG_OK);
    sg_session *s = session_of(m);
    for (int row = 0; row < 2; row++) {
        rank(s, &r, offsets[row], offsets[row + 1], now[row], item, ITEMS, p);
        for (int i = 0; i < ITEMS; i++)
            assert_true(fabsf(1 / (1 + expf(-scores[row * ITEMS + i])) - p[3 * i + 2]) < 1e-5f);
    }
    sg_session_free(s);
    sg_model_free(m);
    m = shaken(&r, SMALL "retrieval=1");
    assert_int_equal(tiny_ask(m, &h, scores, &err), SG_OK);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(isfinite(scores[i]));
        assert_true(scores[ITEMS + i] == 0); /* no history, no direction */
    }
    assert_int_equal(tiny_ask(m, &(sg_histories){.n = 1, .offsets = offsets, .item = r.t.item}, scores, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "hstu-rank: this model learned from times: expected histories with timestamps");
    sg_model_free(m);
    tiny_free(&r.t);
}

static void says_what_the_data_lacks(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL, SMALL "label=action",
                                          SMALL "bias=time label=action actions=3",
                                          SMALL "label=action actions=2"};
    static const char *const messages[] = {"hstu-rank: label=rating needs ratings, tiny has none",
                                           "hstu-rank: label=action needs actions, tiny has none",
                                           "hstu-rank: bias=time needs timestamps, tiny has none",
                                           "hstu-rank: actions=2: event "};
    rated r;

    rated_new(&r);
    for (int i = 0; i < 4; i++) {
        sg_error err = {0};
        size_t n;

        r.t.data.rating = i == 0 ? NULL : r.rating;
        r.t.data.action = i == 1 ? NULL : r.action;
        r.t.data.timestamp = i == 2 ? NULL : r.time;
        sg_model *m = tiny_model(&r.t, "hstu-rank", options[i], 3);
        assert_int_equal(m->class->examples(m, &r.t.train, &n, &err), SG_ERR_USAGE);
        assert_memory_equal(err.message, messages[i], strlen(messages[i]));
        sg_model_free(m);
    }
    tiny_free(&r.t);
}

/* Evaluation asks each target after all events before it; the floor says what training answered. */
static void evaluation_answers_for_every_target(void **state)
{
    (void)state;
    sg_error err = {0};
    json_t *out;
    rated r;

    rated_new(&r);
    sg_model *m = shaken(&r, SMALL "like=2.5");
    m->receipt = m->receipt ? m->receipt : json_object();
    assert_int_equal(sg_eval(&out, m, &r.t.train, &(sg_eval_spec){.test = true}, NULL, NULL, &err), SG_OK);
    const json_t *liked = json_object_get(json_object_get(out, "ranking"), "liked");
    double loss = 0;
    for (size_t i = 0; i < r.t.split->n_test; i++) {
        const sg_case *c = &r.t.split->test[i];
        sg_session *s = session_of(m);
        float p;

        rank(s, &r, c->begin, c->target_begin, r.time[c->target_begin], r.t.item + c->target_begin, 1, &p);
        loss -= log(r.rating[c->target_begin] >= 2.5f ? (double)p : 1 - (double)p);
        sg_session_free(s);
    }
    assert_int_equal(json_integer_value(json_object_get(liked, "n")), r.t.split->n_test);
    assert_true(fabs(json_number_value(json_object_get(liked, "log_loss")) -
                     loss / (double)r.t.split->n_test) < 1e-5);
    assert_true(json_is_null(json_object_get(liked, "gauc"))); /* one target a user */
    json_decref(out);
    sg_model_free(m);
    tiny_free(&r.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_what_prefixes_answer),
        cmocka_unit_test(logits_start_from_what_is_known_of_the_item),
        cmocka_unit_test(candidates_stand_alone_and_sessions_remember_rightly),
        cmocka_unit_test(actions_and_the_time_of_the_request_matter),
        cmocka_unit_test(retrieval_learns_from_positive_events_alone),
        cmocka_unit_test(recommends_by_goal_or_by_retrieval),
        cmocka_unit_test(says_what_the_data_lacks),
        cmocka_unit_test(evaluation_answers_for_every_target),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
