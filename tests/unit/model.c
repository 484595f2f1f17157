/* model.c - a model in memory and as a folder: what was saved comes back, and a folder that is not right
 * says why. */
#define _GNU_SOURCE
#include "shop.h"

#include "file/json.h"
#include "file/manifest.h"
#include "train/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char *path_in(const char *dir, const char *name)
{
    char *p = sg_path_join(dir, name);

    assert_non_null(p);
    return p;
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char *p = path_in(dir, name);
    sg_error err;

    if (sg_file_write(p, text, strlen(text), &err))
        fail_msg("%s", err.message);
    sg_free(p);
}

/* The file with `from` replaced by `to`; the manifest is written anew, so that it is the content that is
 * judged. */
static void edit(const char *dir, const char *name, const char *from, const char *to)
{
    char *p = path_in(dir, name), *at;
    sg_buf text = {0}, changed = {0};
    sg_error err;

    assert_int_equal(sg_file_read(&text, p, 1 << 24, &err), SG_OK);
    at = memmem(text.data, text.size, from, strlen(from));
    assert_non_null(at);
    sg_buf_add(&changed, text.data, (size_t)(at - text.data));
    sg_buf_puts(&changed, to);
    sg_buf_add(&changed, at + strlen(from), text.size - (size_t)(at - text.data) - strlen(from));
    assert_int_equal(sg_file_write(p, changed.data, changed.size, &err), SG_OK);
    assert_int_equal(sg_manifest_write(dir, &err), SG_OK);
    sg_buf_free(&text);
    sg_buf_free(&changed);
    sg_free(p);
}

static void lists_of(int32_t *item, float *score, const sg_model *m, const shop *s, int k, bool seen)
{
    const sg_histories h = {.n = s->data.n_users, .offsets = s->offsets, .item = s->item};
    sg_session *session;
    sg_error err;

    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    if (sg_session_recommend(session, &h, &(sg_filter){.seen = seen}, k, item, score, &err))
        fail_msg("%s", err.message);
    sg_session_free(session);
}

static void unknown_models_are_named(void **state)
{
    (void)state;
    sg_error err;

    assert_null(sg_model_class_find("sasrek", &err));
    assert_string_equal(err.message, "unknown model 'sasrek' (did you mean 'sasrec'?)");
    assert_null(sg_model_class_find("transformer", &err));
    assert_string_equal(err.message, "unknown model 'transformer'");
    assert_ptr_equal(sg_model_class_find("markov1", &err)->name, sg_model_class_find("markov1", &err)->name);
}

static void what_is_saved_comes_back(void **state)
{
    (void)state;
    static const char *const names[] = {"pop", "markov1", "itemknn", "star", "sasrec"};
    enum { USERS = 60, K = 7 };
    int32_t a[USERS * K], b[USERS * K];
    float x[USERS * K], y[USERS * K];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        shop s;
        sg_model *m, *back = NULL;
        char *dir;
        sg_error err;

        shop_init(&s, USERS, 40, 1);
        dir = path_in(s.dir, "model");
        m = shop_model(&s, names[i], NULL, NULL);
        if (m->class->ready)
            assert_int_equal(m->class->ready(m, &err), SG_OK);
        lists_of(a, x, m, &s, K, true);
        if (sg_model_save(m, dir, &err) || sg_model_open(&back, dir, &err))
            fail_msg("%s", err.message);
        lists_of(b, y, back, &s, K, true);
        assert_memory_equal(a, b, sizeof a);
        assert_memory_equal(x, y, sizeof x);
        assert_int_equal(back->n_items, 40);
        assert_int_equal(back->n_users, USERS);
        assert_string_equal(back->dir, dir);
        assert_int_equal(strlen(back->sha256), 64);
        assert_true(json_equal(back->receipt, m->receipt));
        assert_memory_equal(back->config, m->config, m->class->config_bytes);
        assert_int_equal(sg_model_item(back, (sg_bytes){"item-17", 7}), 17);
        assert_int_equal(sg_model_item(back, (sg_bytes){"item-99", 7}), -1);
        assert_int_equal(sg_model_item(m, (sg_bytes){"item-0", 6}), 0);
        /* an opened model saves again to the same bytes, also over itself */
        char first[65], second[65];
        memcpy(first, back->sha256, 65);
        if (sg_model_save(back, dir, &err))
            fail_msg("%s", err.message);
        sg_model_free(back);
        if (sg_model_open(&back, dir, &err))
            fail_msg("%s", err.message);
        memcpy(second, back->sha256, 65);
        assert_string_equal(first, second);
        sg_model_free(back);
        sg_model_free(m);
        sg_free(dir);
        shop_fini(&s);
        assert_int_equal(sg_alloc_live(), 0);
    }
}

/* Semantic IDs travel with the model. */
static void a_catalogue_comes_back(void **state)
{
    (void)state;
    enum { ITEMS = 40, K = 7 };
    static const char *const small[] = {"dim=16",   "heads=2", "head_dim=8", "ffn=32",
                                        "layers=1", "beam=10", NULL};
    const int64_t offsets[] = {0, 3, 4};
    const int32_t history[] = {3, 9, 5, 17};
    const sg_histories h = {.n = 2, .offsets = offsets, .item = history, .user = (const int32_t[]){0, -1}};
    int32_t codes[ITEMS * 2], a[2 * K], b[2 * K], back_codes[2];
    sg_ids ids = {.n = ITEMS, .levels = 2, .size = {5, 8}, .codes = codes};
    float x[2 * K], y[2 * K];
    sg_session *session = NULL;
    sg_model *m, *back = NULL;
    shop s;
    char *dir;
    sg_error err;

    shop_init(&s, 60, ITEMS, 1);
    for (int i = 0; i < ITEMS; i++) {
        codes[2 * i] = i % 5;
        codes[2 * i + 1] = i / 5;
    }
    s.train.ids = &ids;
    dir = path_in(s.dir, "model");
    assert_int_equal(sg_model_new(&m, sg_model_class_find("tiger", NULL), &err), SG_OK);
    for (int i = 0; small[i]; i++)
        if (sg_options_assign(m->config, m->class->options, m->class->n_options, small[i], &err))
            fail_msg("%s", err.message);
    if (sg_model_build(m, &s.train, 1, &err))
        fail_msg("%s", err.message);
    if ((m->class->ready && m->class->ready(m, &err)) || sg_session_new(&session, m, NULL, &err) ||
        sg_session_recommend(session, &h, &(sg_filter){.seen = true}, K, a, x, &err))
        fail_msg("%s", err.message);
    sg_session_free(session);
    if (sg_model_save(m, dir, &err) || sg_model_open(&back, dir, &err))
        fail_msg("%s", err.message);
    assert_int_equal(sg_catalogue_levels(back->catalogue), 2);
    assert_memory_equal(back->codes, codes, sizeof codes);
    sg_catalogue_codes(back->catalogue, 17, back_codes);
    assert_memory_equal(back_codes, codes + 2 * 17, sizeof back_codes);
    if (sg_session_new(&session, back, NULL, &err) ||
        sg_session_recommend(session, &h, &(sg_filter){.seen = true}, K, b, y, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(x, y, sizeof x);
    sg_session_free(session);
    sg_model_free(back);
    sg_model_free(m);
    sg_free(dir);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void lists_leave_out_what_was_seen(void **state)
{
    (void)state;
    enum { USERS = 60, K = 45 }; /* more than there are items */
    int32_t item[USERS * K];
    float score[USERS * K];
    shop s;
    sg_model *m;

    shop_init(&s, USERS, 40, 1);
    m = shop_model(&s, "itemknn", NULL, NULL);
    lists_of(item, score, m, &s, K, true);
    for (int u = 0; u < USERS; u++) {
        bool seen[40] = {false};
        int left = 40;

        for (int64_t e = s.offsets[u]; e < s.offsets[u + 1]; e++) {
            left -= !seen[s.item[e]];
            seen[s.item[e]] = true;
        }
        for (int p = 0; p < K; p++) {
            const int32_t i = item[u * K + p];

            if (p >= left) {
                assert_int_equal(i, -1);
                assert_true(score[u * K + p] == -INFINITY);
                continue;
            }
            assert_in_range(i, 0, 39);
            assert_false(seen[i]);
            seen[i] = true; /* and none twice */
            assert_true(p == 0 || score[u * K + p] <= score[u * K + p - 1]);
        }
    }
    lists_of(item, score, m, &s, K, false);
    for (int u = 0; u < USERS; u++)
        assert_int_equal(item[u * K + 40], -1);
    sg_model_free(m);
    shop_fini(&s);
}

static void lists_hold_only_what_is_allowed(void **state)
{
    (void)state;
    const int64_t offsets[] = {0, 2};
    const int32_t history[] = {3, 4};
    uint8_t allow[40] = {0};
    int32_t item[5];
    float score[5];
    shop s;
    sg_model *m;
    sg_session *session;
    sg_error err;

    shop_init(&s, 60, 40, 1);
    m = shop_model(&s, "pop", NULL, NULL);
    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    allow[4] = allow[7] = allow[30] = 1;
    assert_int_equal(sg_session_recommend(session,
                                          &(sg_histories){.n = 1, .offsets = offsets, .item = history},
                                          &(sg_filter){.seen = true, .allow = allow}, 5, item, score, &err),
                     SG_OK);
    assert_true((item[0] == 7 && item[1] == 30) || (item[0] == 30 && item[1] == 7));
    assert_int_equal(item[2], -1);
    assert_int_equal(
        sg_session_recommend(session,
                             &(sg_histories){.n = 1, .offsets = offsets, .item = (const int32_t[]){3, 40}},
                             NULL, 5, item, score, &err),
        SG_ERR_USAGE);
    assert_string_equal(err.message, "history: expected item numbers from 0 to 39, found 40");
    assert_int_equal(sg_session_recommend(session,
                                          &(sg_histories){.n = 1, .offsets = offsets, .item = history}, NULL,
                                          0, item, score, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, "k: expected at least 1, found 0");
    sg_session_free(session);
    sg_model_free(m);
    shop_fini(&s);
}

static void other_files_of_the_folder_stay(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    char *dir, *p;
    sg_buf text = {0};
    sg_error err;

    shop_init(&s, 60, 40, 1);
    dir = path_in(s.dir, "model");
    m = shop_model(&s, "pop", NULL, NULL);
    /* a training that has not ended */
    p = path_in(dir, "checkpoint");
    assert_int_equal(sg_dir_make(p, &err), SG_OK);
    write_text(p, "state.safetensors", "weights");
    sg_free(p);
    write_text(dir, "training.jsonl", "{}\n");
    for (int i = 0; i < 2; i++) {
        if (sg_model_save(m, dir, &err))
            fail_msg("%s", err.message);
        p = path_in(dir, "checkpoint/state.safetensors");
        assert_int_equal(sg_file_read(&text, p, 100, &err), SG_OK);
        assert_string_equal(text.data, "weights");
        sg_free(p);
        p = path_in(dir, "training.jsonl");
        assert_int_equal(sg_file_read(&text, p, 100, &err), SG_OK);
        assert_string_equal(text.data, "{}\n");
        sg_free(p);
    }
    sg_buf_free(&text);
    sg_model_free(m);
    assert_int_equal(sg_model_open(&m, dir, &err), SG_OK);
    sg_model_free(m);
    sg_free(dir);
    shop_fini(&s);
}

static void a_folder_of_something_else_is_not_replaced(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    sg_error err;
    char *dir, *p;

    shop_init(&s, 60, 40, 1);
    dir = path_in(s.dir, "home");
    assert_int_equal(sg_dir_make(dir, &err), SG_OK);
    write_text(dir, "thesis.txt", "years of work");
    m = shop_model(&s, "pop", NULL, NULL);
    assert_int_equal(sg_model_save(m, dir, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "exists and holds no manifest.json: not replaced"));
    p = path_in(dir, "thesis.txt");
    assert_true(sg_file_exists(p));
    sg_free(p);
    sg_free(dir);
    sg_model_free(m);
    shop_fini(&s);
}

static void assert_open_fails(const char *dir, const char *expected)
{
    sg_model *m;
    sg_error err;

    assert_int_not_equal(sg_model_open(&m, dir, &err), SG_OK);
    assert_null(m);
    if (!strstr(err.message, expected))
        fail_msg("expected '...%s...', found '%s'", expected, err.message);
}

static void broken_folders_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *model, *file, *from, *to, *message;
    } cases[] = {
        {"pop", "config.json", "\"pop\"", "\"pip\"",
         "config.json: unknown model 'pip' (did you mean 'pop'?)"},
        {"pop", "config.json", "sedge-model-1", "sedge-model-9",
         "config.json: 'format': expected \"sedge-model-1\", found \"sedge-model-9\""},
        {"pop", "config.json", "\"items\": 40", "\"items\": 41",
         "items.safetensors: tensor 'id.offsets': expected I64 (42), found I64 (41)"},
        {"pop", "config.json", "\"items\": 40", "\"items\": 0",
         "config.json: 'items': expected an integer from 1 to 2147483647, found 0"},
        {"pop", "config.json", "\"counts\"", "\"county\"",
         "config.json: unknown option 'county' (did you mean 'counts'?)"},
        {"pop", "config.json", "\"train\"", "\"trainx\"", "config.json: counts: expected"},
        {"pop", "model.safetensors", "\"count\"", "\"coint\"", "pop: array 'count' is missing"},
        {"markov1", "model.safetensors", "next.index", "next.indez",
         "markov1: array 'next.index' is missing"},
        {"sasrec", "config.json", "\"dim\": 64", "\"dim\": 32",
         "model.safetensors: tensor 'item.weight': expected F32 (40, 32), found F32 (40, 64)"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shop s;
        sg_model *m;
        char *dir;
        sg_error err;

        shop_init(&s, 60, 40, 1);
        dir = path_in(s.dir, "model");
        m = shop_model(&s, cases[i].model, NULL, NULL);
        assert_int_equal(sg_model_save(m, dir, &err), SG_OK);
        sg_model_free(m);
        edit(dir, cases[i].file, cases[i].from, cases[i].to);
        assert_open_fails(dir, cases[i].message);
        sg_free(dir);
        shop_fini(&s);
        assert_int_equal(sg_alloc_live(), 0);
    }
}

static void changed_bytes_are_noticed(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    char *dir, *p;
    sg_buf file = {0};
    sg_error err;

    shop_init(&s, 60, 40, 1);
    dir = path_in(s.dir, "model");
    m = shop_model(&s, "markov1", NULL, NULL);
    assert_int_equal(sg_model_save(m, dir, &err), SG_OK);
    p = path_in(dir, "model.safetensors");
    assert_int_equal(sg_file_read(&file, p, 1 << 24, &err), SG_OK);
    file.data[file.size - 1] ^= 1;
    assert_int_equal(sg_file_write(p, file.data, file.size, &err), SG_OK);
    assert_open_fails(dir, "model.safetensors");
    assert_int_equal(sg_file_write(p, file.data, file.size - 8, &err), SG_OK);
    assert_open_fails(dir, "model.safetensors");
    sg_buf_free(&file);
    sg_free(p);
    assert_open_fails(s.dir, "holds no config.json: not a model folder");
    sg_free(dir);
    dir = path_in(s.dir, "nothing");
    assert_open_fails(dir, "nothing: no such model folder");
    sg_free(dir);
    sg_model_free(m);
    shop_fini(&s);
}

/* Arrays decide where scoring writes: none of them is trusted. */
static void arrays_from_outside_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at;
        int64_t value;
        const char *message;
    } cases[] = {
        {"next.index", 3, 40, "markov1: array 'next.index': expected item numbers below 40, found 40"},
        {"next.index", 0, -1, "markov1: array 'next.index': expected item numbers below 40, found -1"},
        {"next.offsets", 5, 1 << 20,
         "markov1: array 'next.offsets': expected ascending numbers, found a step back at 5"},
        {"next.offsets", 0, -8, "markov1: array 'next.offsets': expected 0 to"},
        {"next.offsets", 40, 1 << 20, "markov1: array 'next.offsets': expected 0 to"},
        {"count", 7, -3, "markov1: array 'count': expected counts, found -3"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shop s;
        sg_model *m;
        char *dir;
        sg_error err;

        shop_init(&s, 60, 40, 1);
        dir = path_in(s.dir, "model");
        m = shop_model(&s, "markov1", NULL, NULL);
        for (size_t a = 0; a < m->n_arrays; a++)
            if (strcmp(m->arrays[a].name, cases[i].name) == 0) {
                if (m->arrays[a].dtype == SG_DT_I32)
                    ((int32_t *)m->arrays[a].owned)[cases[i].at] = (int32_t)cases[i].value;
                else
                    ((int64_t *)m->arrays[a].owned)[cases[i].at] = cases[i].value;
            }
        assert_int_equal(sg_model_save(m, dir, &err), SG_OK);
        assert_open_fails(dir, cases[i].message);
        sg_model_free(m);
        sg_free(dir);
        shop_fini(&s);
    }
}

static void building_says_what_is_missing(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    sg_error err;

    shop_init(&s, 60, 40, 1);
    assert_int_equal(sg_model_new(&m, sg_model_class_find("tiger", NULL), &err), SG_OK);
    assert_int_equal(sg_model_build(m, &s.train, 1, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "tiger needs semantic IDs: run `sedge tokenize DATA` first");
    sg_model_free(m);
    assert_int_equal(sg_model_new(&m, sg_model_class_find("sasrec", NULL), &err), SG_OK);
    assert_int_equal(sg_model_build(m, &s.train, 1, &err), SG_OK);
    assert_int_equal(sg_model_fit(m, &s.train, NULL, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "sasrec learns by training steps, not in one pass");
    sg_model_free(m);
    shop_fini(&s);
}

/* --set KEY=VALUE takes both kinds, and a model's option would hide that of training. */
static void options_of_models_hide_none_of_training(void **state)
{
    (void)state;
    for (size_t c = 0; sg_model_classes[c]; c++)
        for (size_t i = 0; i < sg_model_classes[c]->n_options; i++)
            for (size_t t = 0; t < sg_n_train_options; t++)
                if (strcmp(sg_model_classes[c]->options[i].name, sg_train_options[t].name) == 0)
                    fail_msg("%s has the option '%s' of training", sg_model_classes[c]->name,
                             sg_train_options[t].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_models_hide_none_of_training),
        cmocka_unit_test(unknown_models_are_named),
        cmocka_unit_test(what_is_saved_comes_back),
        cmocka_unit_test(a_catalogue_comes_back),
        cmocka_unit_test(lists_leave_out_what_was_seen),
        cmocka_unit_test(lists_hold_only_what_is_allowed),
        cmocka_unit_test(other_files_of_the_folder_stay),
        cmocka_unit_test(a_folder_of_something_else_is_not_replaced),
        cmocka_unit_test(broken_folders_say_why),
        cmocka_unit_test(changed_bytes_are_noticed),
        cmocka_unit_test(arrays_from_outside_are_checked),
        cmocka_unit_test(building_says_what_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
