/* golden.c - figures on public data that everything else rests on.
 *
 * Floors: leave-one-out, test, all items ranked, pessimistic ties, counted once by an independent
 * implementation in double. PopRec: the published rows of S3-Rec (CIKM 2020): popularity over all
 * interactions, history filtered. The data is no part of this repository: SEDGE_DATA names the folder that
 * has amazon14, yelp-lastfm-s3rec, movielens-100k. */
#include "base/alloc.h"
#include "base/io.h"
#include "data/import.h"
#include "eval/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct golden {
    const char *model, *option;
    double kept[5], filtered[5]; /* R@5 N@5 R@10 N@10 R@50; NaN: not given */
} golden;

static const char *data_dir(void)
{
    const char *d = getenv("SEDGE_DATA");

    return d ? d : TEST_SOURCE_DIR "/../shared/data";
}

/* Skips the test when the file is not there. *dir is owned by the caller. */
static void import(sg_dataset **d, char **dir, const char *file, const char *format)
{
    char *path = sg_path_join(data_dir(), file), name[64];
    sg_import_spec spec = sg_import_defaults();
    json_t *report = NULL;
    sg_error err;

    if (!sg_file_exists(path)) {
        print_message("skipped: no %s (set SEDGE_DATA)\n", path);
        sg_free(path);
        skip();
    }
    snprintf(name, sizeof name, "%s/sedge-golden-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    assert_non_null(mkdtemp(name));
    *dir = sg_strdup(name);
    spec.format = format;
    spec.path = (const char *const[]){path};
    spec.n_path = 1;
    if (sg_import(*dir, &spec, NULL, &report, &err) || sg_dataset_open(d, *dir, &err))
        fail_msg("%s", err.message);
    json_decref(report);
    sg_free(path);
}

static void compare(const json_t *metrics, const double *expected, const char *what)
{
    static const char *const keys[] = {"recall@5", "ndcg@5", "recall@10", "ndcg@10", "recall@50"};

    for (int i = 0; i < 5; i++) {
        char found[16], wanted[16];

        if (isnan(expected[i]))
            continue;
        snprintf(found, sizeof found, "%.4f", json_real_value(json_object_get(metrics, keys[i])));
        snprintf(wanted, sizeof wanted, "%.4f", expected[i]);
        if (strcmp(found, wanted) != 0)
            fail_msg("%s %s: expected %s, found %s", what, keys[i], wanted, found);
    }
}

static void check(const char *file, const char *format, const golden *rows, int n)
{
    const sg_split_spec loo = {.kind = SG_SPLIT_LOO, .text = "loo"};
    sg_dataset *d;
    sg_split *split;
    sg_pool *pool;
    char *dir;
    sg_error err;

    import(&d, &dir, file, format);
    assert_int_equal(sg_split_new(&split, d, &loo, &err), SG_OK);
    assert_int_equal(sg_pool_new(&pool, 2, &err), SG_OK);
    for (int i = 0; i < n; i++) {
        const sg_train_data t = {.data = d, .split = split};
        sg_model *m;
        json_t *out = NULL;
        char what[80];

        if (sg_model_new(&m, sg_model_class_find(rows[i].model, NULL), &err) ||
            (rows[i].option &&
             sg_options_assign(m->config, m->class->options, m->class->n_options, rows[i].option, &err)) ||
            sg_model_build(m, &t, 1, &err) || sg_model_fit(m, &t, pool, NULL, &err) ||
            sg_eval(&out, m, &t, &(sg_eval_spec){.test = true}, pool, NULL, &err))
            fail_msg("%s", err.message);
        snprintf(what, sizeof what, "%s %s kept", d->name, rows[i].model);
        compare(json_object_get(json_object_get(out, "metrics"), "unfiltered"), rows[i].kept, what);
        snprintf(what, sizeof what, "%s %s filtered", d->name, rows[i].model);
        compare(json_object_get(json_object_get(out, "metrics"), "filtered"), rows[i].filtered, what);
        json_decref(out);
        sg_model_free(m);
    }
    sg_pool_free(pool);
    sg_split_free(split);
    sg_dataset_close(d);
    sg_dir_remove(dir, NULL);
    sg_free(dir);
}

static void beauty(void **state)
{
    (void)state;
    static const golden rows[] = {
        {"pop", NULL, {.0064, .0037, .0106, .0051, .0318}, {.0068, .0039, .0110, .0053, .0319}},
        {"markov1", NULL, {.0501, .0376, .0656, .0426, .1000}, {.0512, .0388, .0665, .0438, .1004}},
        {"itemknn", NULL, {.0273, .0178, .0475, .0244, .1205}, {.0420, .0290, .0612, .0352, .1278}},
        {"pop", "counts=all", {NAN, NAN, NAN, NAN, NAN}, {.0080, .0044, .0152, .0068, NAN}},
    };

    check("amazon14/Beauty.txt.zst", "s3rec", rows, 4);
}

static void lastfm(void **state)
{
    (void)state;
    static const golden rows[] = {
        {"pop", NULL, {.0229, .0121, .0376, .0168, .0872}, {.0248, .0135, .0385, .0180, .0917}},
        {"markov1", NULL, {.0275, .0184, .0422, .0232, .1092}, {.0284, .0189, .0422, .0235, .1165}},
        {"itemknn", NULL, {.0229, .0138, .0404, .0191, .1624}, {.0468, .0320, .0761, .0413, .1908}},
    };

    check("yelp-lastfm-s3rec/LastFM.txt.zst", "s3rec", rows, 3);
}

/* Timestamps tie often here: order within a second is that of the file. */
static const golden movielens_rows[] = {
    {"pop", NULL, {.0255, .0140, .0498, .0220, .1495}, {.0583, .0352, .0838, .0432, .1972}},
    {"markov1", NULL, {.0647, .0407, .1092, .0552, .2948}, {.0933, .0604, .1442, .0766, .3383}},
    {"itemknn", NULL, {.0679, .0416, .1166, .0572, .3595}, {.1294, .0816, .2047, .1054, .4613}},
};

static void movielens_100k(void **state)
{
    (void)state;
    check("movielens-100k/u.data.zst", "movielens", movielens_rows, 3);
}

static void movielens_100k_from_recbole(void **state)
{
    (void)state;
    check("movielens-100k/ml-100k.inter.zst", "recbole", movielens_rows, 3);
}

/* 2,027 targets are in their user's history: the filter makes them impossible. */
static void yelp(void **state)
{
    (void)state;
    static const golden rows[] = {
        {"pop", "counts=all", {NAN, NAN, NAN, NAN, NAN}, {.0057, .0037, .0099, .0051, NAN}}};

    check("yelp-lastfm-s3rec/Yelp.txt.zst", "s3rec", rows, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beauty),         cmocka_unit_test(lastfm),
        cmocka_unit_test(movielens_100k), cmocka_unit_test(movielens_100k_from_recbole),
        cmocka_unit_test(yelp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
