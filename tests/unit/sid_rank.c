/* sid_rank.c - what ranking by semantic IDs promises: training and asking agree, items of equal codes are equal to it, a saved
 * model answers the same, wrong options are named. */
#include "tiny.h"

#include "base/io.h"

#include <math.h>
#include <stdlib.h>

enum { USERS = 10, ITEMS = 20, MOST = 300 };
#define SMALL "dim=7 hidden=9 history=4 depth=2 rows=500 dropout=0 "

typedef struct rated { /* a tiny dataset with ratings and actions */
    tiny t;
    float rating[MOST];
    int32_t action[MOST];
} rated;

static void rated_new(rated *r)
{
    tiny_new(&r->t, USERS, ITEMS, 30, 5);
    for (int64_t e = 0; e < r->t.data.n_events; e++) {
        r->rating[e] = (float)(1 + sg_rng_below(9, 7, SG_RNG_TEST, 31, (uint64_t)e)) / 2;
        r->action[e] = (int32_t)sg_rng_below(3, 7, SG_RNG_TEST, 32, (uint64_t)e);
    }
    r->t.data.rating = r->rating;
    r->t.data.action = r->action;
}

static sg_model *shaken(rated *r, const char *options)
{
    sg_model *m = tiny_model(&r->t, "sid-rank", options, 3);
    sg_error err;

    assert_int_equal(m->class->ready(m, &err), SG_OK);
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (size_t j = 0; j < p->count; j++)
            p->value[j] = 0.5f * (float)sg_rng_normal(3, SG_RNG_TEST, i, j);
        p->version++;
    }
    return m;
}

static void rank(const sg_model *m, const rated *r, int64_t begin, int64_t end, const int32_t *item, int n,
                 float *p)
{
    const int64_t offsets[] = {begin, end};
    const sg_histories h = {
        .n = 1, .offsets = offsets, .item = r->t.item, .action = r->action, .rating = r->rating};
    sg_error err = {0};
    sg_session *s;

    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    if (m->class->rank(s, &h, item, n, p, &err))
        fail_msg("%s", err.message);
    sg_session_free(s);
}

static void training_loss_equals_what_is_answered(void **state)
{
    static const char *const options[] = {SMALL,
                                          SMALL "label=action goal=1 keys=bigrams",
                                          SMALL "history=0 keys=item",
                                          SMALL "keys=hash with_item=true",
                                          SMALL "keys=pieces",
                                          SMALL "keys=unigrams like=2"};

    (void)state;
    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        sg_error err = {0};
        double sum = 0;
        size_t n;
        rated r;

        rated_new(&r);
        sg_model *m = shaken(&r, options[o]);
        const int tasks = m->class->tasks(m);
        assert_int_equal(m->class->examples(m, &r.t.train, &n, &err), SG_OK);
        int64_t all = 0;
        for (int u = 0; u < USERS; u++)
            all += r.t.split->train_end[u] - r.t.user_offsets[u];
        assert_int_equal(n, all);
        const int most =
            (int)(r.t.split->train_end[0] - r.t.user_offsets[0]); /* examples follow the events */
        for (int e = 0; e < most; e++) {
            float p[3];

            rank(m, &r, 0, e, r.t.item + e, 1, p);
            for (int i = 0; i < tasks; i++)
                sum -= log(m->class->label(m, &r.t.data, e, i) ? (double)p[i] : 1 - (double)p[i]);
        }
        assert_true(fabs(tiny_loss(m, most) - sum / (most * tasks)) < 1e-4);
        sg_model_free(m);
        tiny_free(&r.t);
    }
}

static void what_was_not_positive_is_not_read(void **state)
{
    const int32_t item[] = {3, 8};
    float before[2], after[2];
    rated r;

    (void)state;
    rated_new(&r);
    sg_model *m = shaken(&r, SMALL);
    r.rating[0] = 5;
    r.rating[1] = 1;
    rank(m, &r, 0, 1, item, 2, before);
    rank(m, &r, 0, 2, item, 2, after);
    assert_memory_equal(before, after, sizeof before);
    r.rating[1] = 4;
    rank(m, &r, 0, 2, item, 2, after);
    assert_true(fabsf(before[0] - after[0]) > 1e-6f);
    sg_model_free(m);
    tiny_free(&r.t);
}

static void items_of_equal_codes_are_equal(void **state)
{
    static const char *const options[] = {SMALL "keys=prefix depth=1",
                                          SMALL "keys=prefix depth=1 with_item=true"};
    int32_t item[ITEMS];
    float p[ITEMS];

    (void)state;
    for (int i = 0; i < ITEMS; i++)
        item[i] = i;
    for (int o = 0; o < 2; o++) {
        rated r;

        rated_new(&r);
        sg_model *m = shaken(&r, options[o]);
        rank(m, &r, 0, 3, item, ITEMS, p);
        for (int i = 1; i < ITEMS; i++)
            assert_int_equal(p[i] == p[i - 1], o == 0 && i / 5 == (i - 1) / 5); /* first code: item / 5 */
        sg_model_free(m);
        tiny_free(&r.t);
    }
}

static void a_saved_model_answers_the_same(void **state)
{
    char dir[] = "/tmp/sedge-sid-rank-XXXXXX", path[64];
    int32_t item[ITEMS];
    float before[ITEMS], after[ITEMS];
    sg_error err = {0};
    sg_model *back = NULL;
    rated r;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model", dir);
    rated_new(&r);
    sg_model *m = shaken(&r, SMALL "keys=pieces rows=12 with_item=true");
    for (int i = 0; i < ITEMS; i++)
        item[i] = i;
    rank(m, &r, 0, 5, item, ITEMS, before);
    if (sg_model_save(m, path, &err) || sg_model_open(&back, path, &err))
        fail_msg("%s", err.message);
    rank(back, &r, 0, 5, item, ITEMS, after);
    assert_memory_equal(before, after, sizeof before);
    sg_model_free(back);
    sg_model_free(m);
    sg_dir_remove(dir, NULL);
    tiny_free(&r.t);
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *set, *message;
    } cases[] = {{"depth=4", "depth: expected at most the 3 codes of an ID, found 4"},
                 {"goal=1", "sid-rank: goal: expected a task from 0 to 0, found 1"},
                 {"keys=pieces rows=3", "keys: expected at least 11 rows, one for each code, found 3"}};
    const sg_model_class *class;
    sg_error err = {0};
    size_t n;
    rated r;

    (void)state;
    rated_new(&r);
    class = sg_model_class_find("sid-rank", &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        sg_model *m;

        assert_int_equal(sg_model_new(&m, class, &err), SG_OK);
        snprintf(text, sizeof text, "%s", cases[i].set);
        for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
            assert_int_equal(sg_options_assign(m->config, class->options, class->n_options, p, &err), SG_OK);
        assert_int_equal(sg_model_build(m, &r.t.train, 1, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, cases[i].message);
        sg_model_free(m);
    }
    r.t.data.rating = NULL;
    sg_model *m = tiny_model(&r.t, "sid-rank", SMALL, 1);
    assert_int_equal(m->class->examples(m, &r.t.train, &n, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "sid-rank: label=rating needs ratings, tiny has none");
    sg_model_free(m);
    tiny_free(&r.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_what_is_answered),
        cmocka_unit_test(what_was_not_positive_is_not_read),
        cmocka_unit_test(items_of_equal_codes_are_equal),
        cmocka_unit_test(a_saved_model_answers_the_same),
        cmocka_unit_test(says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
