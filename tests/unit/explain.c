/* explain.c - effects are differences of scores, whatever the model; paths add up to scores; meanings live in
 * the folder. */
#include "models/explain.h"
#include "models/prefixes.h"

#include "base/io.h"
#include "tiny.h"

#include <math.h>
#include <unistd.h>

enum { ITEMS = 12 };

static float score_by_list(sg_session *s, const int32_t *history, int64_t n, int32_t item)
{
    const int64_t offsets[2] = {0, n};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
    int32_t list[ITEMS];
    float score[ITEMS];
    sg_error err;

    s->beam = ITEMS;
    if (sg_session_recommend(s, &h, NULL, ITEMS, list, score, &err))
        fail_msg("%s", err.message);
    s->beam = 0;
    for (int i = 0; i < ITEMS; i++)
        if (list[i] == item)
            return score[i];
    return -INFINITY;
}

static void check_effects(const char *name, const char *options)
{
    const int32_t history[] = {3, 4, 5, 6, 2, 7}, item[] = {8, 0, 3};
    const int64_t offsets[] = {0, 6};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
    sg_explanation x;
    sg_session *s;
    sg_error err;
    tiny t;

    tiny_new(&t, 30, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, name, options, 3);
    if (m->class->fit)
        assert_int_equal(sg_model_fit(m, &t.train, NULL, NULL, &err), SG_OK);
    else if (m->class->ready)
        assert_int_equal(m->class->ready(m, &err), SG_OK);
    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    for (int most = 0; most <= 4; most += 4) {
        if (sg_explain(&x, s, &h, item, 3, most, &err))
            fail_msg("%s: %s", name, err.message);
        assert_int_equal(x.n_events, most ? 4 : 6);
        assert_int_equal(x.first_event, most ? 2 : 0);
        for (int i = 0; i < 3; i++) {
            const float whole = score_by_list(s, history, 6, item[i]);

            assert_true(x.score[i] == whole || fabsf(x.score[i] - whole) < 1e-5f);
            for (int e = 0; e < x.n_events; e++) {
                int32_t without[5];
                int n = 0;

                for (int j = 0; j < 6; j++)
                    if (j != x.first_event + e)
                        without[n++] = history[j];
                const float d = whole - score_by_list(s, without, 5, item[i]),
                            got = x.effect[i * x.n_events + e];

                assert_true(isfinite(d) ? fabsf(got - d) < 2e-5f : isnan(got));
            }
            for (int e = 1; e < x.n_events; e++) {
                const int32_t a = x.order[i * x.n_events + e - 1], b = x.order[i * x.n_events + e];
                const float *effect = x.effect + i * x.n_events;

                assert_true(a != b);
                assert_false(isnan(effect[a]) && !isnan(effect[b]));
                assert_false(effect[a] < effect[b]);
                if (effect[a] == effect[b])
                    assert_true(a > b);
            }
        }
        sg_explanation_free(&x);
    }
    assert_int_equal(sg_explain(&x, s, &h, (int32_t[]){ITEMS}, 1, 0, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "explanation: expected item numbers from 0 to 11, found 12");
    /* one event: what is left is an empty history, which every model must bear */
    if (sg_explain(&x, s, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 1}, .item = history}, item, 3, 0,
                   &err))
        fail_msg("%s: %s", name, err.message);
    sg_explanation_free(&x);
    sg_session_free(s);
    sg_model_free(m);
    tiny_free(&t);
    assert_int_equal(sg_alloc_live(), 0);
}

static void effects_are_differences_of_scores(void **state)
{
    (void)state;
    check_effects("pop", "");
    check_effects("markov1", "");
    check_effects("itemknn", "");
    check_effects("sasrec", "dim=16 layers=1 heads=1");
    check_effects("tiger", "dim=16 layers=1 heads=2 head_dim=8 ffn=24 history=6");
    check_effects("tiger", "dim=16 layers=1 heads=2 head_dim=8 ffn=24 history=6 renormalise=true");
}

static void paths_add_up_to_scores(void **state)
{
    (void)state;
    for (int renormalise = 0; renormalise < 2; renormalise++) {
        const int32_t history[] = {3, 4, 5, 6}, item[] = {8, 0, 11, 3};
        const int64_t offsets[] = {0, 4};
        const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
        float all[ITEMS];
        sg_explanation x;
        sg_session *s;
        sg_error err;
        tiny t;

        tiny_new(&t, 30, ITEMS, 9, 4);
        sg_model *m = tiny_model(&t, "tiger",
                                 renormalise ? "dim=16 layers=2 heads=2 head_dim=8 ffn=24 renormalise=true"
                                             : "dim=16 layers=2 heads=2 head_dim=8 ffn=24",
                                 3);
        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        assert_int_equal(sg_explain(&x, s, &h, item, 4, 0, &err), SG_OK);
        assert_int_equal(m->class->score(s, &h, all, &err), SG_OK);
        assert_int_equal(x.levels, 3);
        for (int i = 0; i < 4; i++) {
            float sum = 0;

            for (int l = 0; l < 3; l++)
                sum += x.logp[i * 3 + l];
            assert_true(fabsf(sum - x.score[i]) < 1e-5f);
            assert_true(fabsf(all[item[i]] - x.score[i]) <
                        1e-5f); /* exact scores of the whole catalogue agree */
            assert_memory_equal(x.codes + i * 3, t.codes + 3 * item[i], 3 * sizeof(int32_t));
            assert_int_equal(x.below[i * 3], 4); /* codes are (item / 4, item % 4, 0) */
            assert_int_equal(x.below[i * 3 + 1], 1);
            assert_int_equal(x.below[i * 3 + 2], 1);
        }
        sg_explanation_free(&x);
        sg_session_free(s);
        sg_model_free(m);
        tiny_free(&t);
    }
    assert_int_equal(sg_alloc_live(), 0);
}

static void meanings_live_in_the_folder(void **state)
{
    (void)state;
    json_t *report =
        json_pack("{s:[{s:[i], s:i, s:[{s:s, s:f}, {s:s, s:f}], s:[{s:s, s:f}, {s:s, s:f}], s:[{s:s, s:f}]},"
                  "{s:[i, i], s:i, s:[{s:s, s:f}]}, {s:[i, i], s:i, s:[]}]}",
                  "prefixes", "prefix", 17, "items", 80, "words", "word", "mascara", "share", 1.0, "word",
                  "lash", "share", 0.3, "categories", "value", "Beauty > Eyes", "share", 0.9, "value",
                  "Beauty", "share", 1.0, "brand", "value", "Blinc", "share", 0.1,       /* next */
                  "prefix", 17, 203, "items", 2, "words", "word", "black", "share", 1.0, /* next */
                  "prefix", 17, 204, "items", 1, "words");
    json_t *m;
    char dir[64];
    sg_error err;

    assert_non_null(report);
    snprintf(dir, sizeof dir, "meaning-%ld", (long)getpid());
    assert_int_equal(sg_dir_make(dir, &err), SG_OK);
    assert_int_equal(sg_prefixes_open(&m, dir, &err), SG_OK);
    assert_null(m);
    assert_null(sg_prefixes_find(m, (int32_t[]){17}, 1));
    assert_int_equal(sg_prefixes_save(dir, report, &err), SG_OK);
    assert_int_equal(sg_prefixes_open(&m, dir, &err), SG_OK);
    json_t *one = sg_prefixes_find(m, (int32_t[]){17, 203}, 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(one, "words"), 1)), "lash");
    assert_string_equal(json_string_value(json_object_get(one, "categories")), "Beauty > Eyes");
    assert_null(json_object_get(one, "brand")); /* a tenth of the items is not what the prefix means */
    assert_int_equal(json_integer_value(json_object_get(one, "items")), 80);
    assert_non_null(sg_prefixes_find(m, (int32_t[]){17, 203}, 2));
    assert_null(sg_prefixes_find(m, (int32_t[]){17, 204}, 2)); /* one item is its own meaning */
    json_decref(m);
    json_decref(report);
    assert_int_equal(sg_dir_remove(dir, &err), SG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_are_differences_of_scores),
        cmocka_unit_test(paths_add_up_to_scores),
        cmocka_unit_test(meanings_live_in_the_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
