/* api.c - promises of sedge.h: structs that grow, errors in the caller's struct, sessions that agree with the verbs. */
#include "sedge/sedge.h"

#include "base/alloc.h"
#include "base/io.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static char dir[64], shop[96], run[96];

static int make_shop(void **state)
{
    sedge_error err;
    const char *const size[] = {"users=120", "items=60", "seed=5"};

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sedge-api-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(shop, sizeof shop, "%s/shop", dir);
    snprintf(run, sizeof run, "%s/run", dir);
    const sedge_synth_params sp = {.size = sizeof sp, .out = shop, .set = size, .n_set = 3};
    const sedge_train_params tp = {.size = sizeof tp, .model = "itemknn", .data = shop, .out = run};

    if (sedge_synth(&sp, NULL, &err) || sedge_train(&tp, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    return 0;
}

static int remove_shop(void **state)
{
    (void)state;
    return (int)sg_dir_remove(dir, NULL);
}

static void wants_a_struct_with_its_size(void **state)
{
    sedge_error err;
    char *json = (char *)1;
    const sedge_stats_params none = {.data = shop};

    (void)state;
    assert_int_equal(sedge_stats(&none, &json, &err), SEDGE_ERR_USAGE);
    assert_int_equal(err.status, SEDGE_ERR_USAGE);
    assert_string_equal(err.message, "parameters: expected a struct that begins with its own size");
    assert_null(json);
    assert_int_equal(sedge_stats(NULL, &json, NULL), SEDGE_ERR_USAGE);
}

static void takes_a_struct_of_an_older_caller(void **state)
{
    sedge_eval_params p = {.size = offsetof(sedge_eval_params, run_path), .model = run, .data = shop};
    sedge_error err;
    char *json = NULL;

    (void)state;
    p.run_path = "/nowhere/run"; /* beyond its size: not looked at */
    assert_int_equal(sedge_eval(&p, &json, &err), SEDGE_OK);
    assert_non_null(strstr(json, "\"recall@10\""));
    assert_string_equal(err.message, "");
    sedge_free(json);
}

static void names_the_nearest_option(void **state)
{
    const char *const set[] = {"usres=3"};
    const sedge_synth_params p = {.size = sizeof p, .out = "unused", .set = set, .n_set = 1};
    sedge_error err;

    (void)state;
    assert_int_equal(sedge_synth(&p, NULL, &err), SEDGE_ERR_USAGE);
    assert_string_equal(err.message, "unknown option 'usres' (did you mean 'users'?)");
}

static void describes_every_option(void **state)
{
    static const char *const verbs[] = {"import",    "synth", "embed", "tokenize", "train",  "eval",
                                        "recommend", "serve", "bench", "inspect",  "compare"};
    sedge_error err;

    (void)state;
    for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
        char *text = NULL;
        json_t *rows, *row;
        size_t i;

        assert_int_equal(sedge_options(verbs[v], &text, &err), SEDGE_OK);
        rows = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_true(json_array_size(rows) > 0);
        json_array_foreach(rows, i, row)
        {
            assert_non_null(json_string_value(json_object_get(row, "name")));
            assert_true(strlen(json_string_value(json_object_get(row, "meaning"))) > 2);
        }
        json_decref(rows);
        sedge_free(text);
    }
    assert_int_equal(sedge_options("dance", NULL, &err), SEDGE_ERR_USAGE);
}

typedef struct asker {
    const sedge_model *model;
    sedge_hit hits[8];
    char ids[8][64];
    size_t n;
} asker;

static const char *const history[] = {"i3", "i14", "i15", "i9", "i26"};

static void *ask(void *user)
{
    asker *a = user;
    sedge_session *s = NULL;
    const sedge_request r = {.size = sizeof r, .history = history, .n_history = 5, .k = 8};

    if (sedge_session_new(&s, a->model, NULL, NULL))
        return NULL;
    for (int again = 0; again < 20; again++)
        if (sedge_session_recommend(s, &r, a->hits, &a->n, NULL))
            break;
    for (size_t i = 0; i < a->n; i++)
        snprintf(a->ids[i], sizeof a->ids[i], "%s", a->hits[i].item);
    sedge_session_free(s);
    return NULL;
}

static void sessions_of_two_threads_agree(void **state)
{
    asker a[2] = {0};
    pthread_t thread[2];
    sedge_model *m = NULL;

    (void)state;
    assert_int_equal(sedge_model_open(&m, run, NULL), SEDGE_OK);
    assert_string_equal(sedge_model_name(m), "itemknn");
    assert_int_equal(sedge_model_items(m), 60);
    for (int t = 0; t < 2; t++) {
        a[t].model = m;
        assert_int_equal(pthread_create(&thread[t], NULL, ask, &a[t]), 0);
    }
    for (int t = 0; t < 2; t++)
        pthread_join(thread[t], NULL);
    assert_int_equal(a[0].n, 8);
    assert_int_equal(a[1].n, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(a[0].ids[i], a[1].ids[i]);
        assert_true(a[0].hits[i].score == a[1].hits[i].score);
        for (size_t h = 0; h < 5; h++)
            assert_string_not_equal(a[0].ids[i], history[h]); /* seen items do not come back */
    }
    sedge_model_free(m);
}

static void filters_hold(void **state)
{
    static const char *const allow[] = {"i1", "i2", "i3", "i5"}, *const deny[] = {"i2"};
    sedge_model *m = NULL;
    sedge_session *s = NULL;
    sedge_hit hits[60];
    size_t n = 0;

    (void)state;
    assert_int_equal(sedge_model_open(&m, run, NULL), SEDGE_OK);
    assert_int_equal(sedge_session_new(&s, m, NULL, NULL), SEDGE_OK);
    sedge_request r = {.size = sizeof r,
                       .history = history,
                       .n_history = 5,
                       .k = 60,
                       .allow = allow,
                       .n_allow = 4,
                       .deny = deny,
                       .n_deny = 1};
    assert_int_equal(sedge_session_recommend(s, &r, hits, &n, NULL), SEDGE_OK);
    assert_int_equal(n, 2); /* i1 and i5: i2 is denied, i3 was seen */
    r.keep_seen = 1;
    assert_int_equal(sedge_session_recommend(s, &r, hits, &n, NULL), SEDGE_OK);
    assert_int_equal(n, 3);
    sedge_session_free(s);
    sedge_model_free(m);
}

static void says_what_a_request_lacks(void **state)
{
    static const char *const strange[] = {"nail", "polish"}, *const half[] = {"nail", "i7"};
    sedge_model *m = NULL;
    sedge_data *d = NULL;
    sedge_session *s = NULL;
    sedge_hit hits[3];
    size_t n = 9;
    sedge_error err;

    (void)state;
    assert_int_equal(sedge_model_open(&m, run, NULL), SEDGE_OK);
    assert_int_equal(sedge_session_new(&s, m, NULL, NULL), SEDGE_OK);
    assert_int_equal(sedge_session_recommend(
                         s,
                         &(sedge_request){.size = sizeof(sedge_request), .history = strange, .n_history = 2},
                         hits, &n, &err),
                     SEDGE_ERR_MISSING);
    assert_string_equal(err.message, "item 'nail' is not in the catalogue, nor is any other of the history");
    assert_int_equal(n, 0);
    assert_int_equal(
        sedge_session_recommend(
            s, &(sedge_request){.size = sizeof(sedge_request), .history = half, .n_history = 2, .k = 3}, hits,
            &n, &err),
        SEDGE_OK);
    assert_int_equal(n, 3);
    assert_int_equal(
        sedge_session_recommend(s, &(sedge_request){.size = sizeof(sedge_request)}, hits, &n, &err),
        SEDGE_ERR_USAGE);
    assert_string_equal(err.message, "expected a user or a history, found neither");
    assert_int_equal(sedge_session_recommend(s, &(sedge_request){.size = sizeof(sedge_request), .user = "u1"},
                                             hits, &n, &err),
                     SEDGE_ERR_USAGE);
    assert_string_equal(err.message, "user 'u1': a dataset with the users' histories is needed");
    sedge_session_free(s);

    assert_int_equal(sedge_data_open(&d, shop, NULL), SEDGE_OK);
    assert_int_equal(
        sedge_session_new(&s, m, &(sedge_session_params){.size = sizeof(sedge_session_params), .data = d},
                          NULL),
        SEDGE_OK);
    assert_int_equal(
        sedge_session_recommend(s, &(sedge_request){.size = sizeof(sedge_request), .user = "u1", .k = 3},
                                hits, &n, &err),
        SEDGE_OK);
    assert_int_equal(n, 3);
    assert_int_equal(
        sedge_session_recommend(s, &(sedge_request){.size = sizeof(sedge_request), .user = "nobody", .k = 3},
                                hits, &n, &err),
        SEDGE_ERR_MISSING);
    sedge_session_free(s);
    sedge_data_free(d);
    sedge_model_free(m);
}

static int stop_at_once(void *user, const sedge_event *e)
{
    (void)e;
    return ++*(int *)user > 3;
}

static void stops_when_asked(void **state)
{
    char out[128];
    int calls = 0;
    sedge_error err;
    const sedge_run how = {.size = sizeof how, .progress = stop_at_once, .user = &calls};

    (void)state;
    snprintf(out, sizeof out, "%s/stopped", dir);
    const sedge_train_params p = {.size = sizeof p, .run = &how, .model = "sasrec", .data = shop, .out = out};

    assert_int_equal(sedge_train(&p, NULL, &err), SEDGE_ERR_CANCEL);
    assert_true(calls == 4);
}

static void leaks_nothing(void **state)
{
    const int64_t before = sg_alloc_live();
    char *json = NULL;
    const sedge_recommend_params p = {.size = sizeof p, .model = run, .user = "u3", .explain = 1};

    (void)state;
    assert_int_equal(sedge_recommend(&p, &json, NULL), SEDGE_OK);
    sedge_free(json);
    assert_int_equal(sg_alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wants_a_struct_with_its_size),
        cmocka_unit_test(takes_a_struct_of_an_older_caller),
        cmocka_unit_test(names_the_nearest_option),
        cmocka_unit_test(describes_every_option),
        cmocka_unit_test(sessions_of_two_threads_agree),
        cmocka_unit_test(filters_hold),
        cmocka_unit_test(says_what_a_request_lacks),
        cmocka_unit_test(stops_when_asked),
        cmocka_unit_test(leaks_nothing),
    };

    return cmocka_run_group_tests(tests, make_shop, remove_shop);
}
