/* api.c - the n-th allocation of a verb fails, for every n: a clean error, nothing leaked, files as they were. */
#include "sedge/sedge.h"

#include "base/alloc.h"
#include "base/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], shop[96], run[96], page[96];

static int make_model(void **state)
{
    static const char *const size[] = {"users=40", "items=24", "seed=5"}, *const lsa[] = {"dim=8"},
                             *const ids[] = {"codes=4", "levels=2"}, *const tiger[] = {"dim=8",
                                                                                       "layers=1",
                                                                                       "heads=1",
                                                                                       "head_dim=8",
                                                                                       "ffn=8",
                                                                                       "epochs=1",
                                                                                       "beam=8"};
    sedge_error err;
    char *json = NULL, path[128];

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sedge-fault-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(shop, sizeof shop, "%s/shop", dir);
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(page, sizeof page, "%s/page.html", dir);
    if (sedge_synth(
            &(sedge_synth_params){.size = sizeof(sedge_synth_params), .out = shop, .set = size, .n_set = 3},
            NULL, &err) ||
        sedge_embed(
            &(sedge_embed_params){.size = sizeof(sedge_embed_params), .data = shop, .set = lsa, .n_set = 1},
            NULL, &err) ||
        sedge_tokenize(
            &(sedge_tokenize_params){
                .size = sizeof(sedge_tokenize_params), .data = shop, .set = ids, .n_set = 2},
            NULL, &err) ||
        sedge_train(&(sedge_train_params){.size = sizeof(sedge_train_params),
                                          .model = "tiger",
                                          .data = shop,
                                          .out = run,
                                          .set = tiger,
                                          .n_set = 7},
                    NULL, &err) ||
        sedge_eval(&(sedge_eval_params){.size = sizeof(sedge_eval_params), .model = run, .data = shop}, &json,
                   &err)) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    snprintf(path, sizeof path, "%s/eval.json", run);
    const int st = (int)sg_file_write(path, json, strlen(json), NULL);

    sedge_free(json);
    return st;
}

static int remove_model(void **state)
{
    (void)state;
    return (int)sg_dir_remove(dir, NULL);
}

typedef int verb(char **json, sedge_error *err);

static int recommend(char **json, sedge_error *err)
{
    return sedge_recommend(
        &(sedge_recommend_params){
            .size = sizeof(sedge_recommend_params), .model = run, .user = "u3", .explain = 1},
        json, err);
}

static int inspect_model(char **json, sedge_error *err)
{
    return sedge_inspect(&(sedge_inspect_params){.size = sizeof(sedge_inspect_params), .path = run}, json,
                         err);
}

static int inspect_data(char **json, sedge_error *err)
{
    return sedge_inspect(&(sedge_inspect_params){.size = sizeof(sedge_inspect_params), .path = shop}, json,
                         err);
}

static int stats(char **json, sedge_error *err)
{
    return sedge_stats(&(sedge_stats_params){.size = sizeof(sedge_stats_params), .data = shop}, json, err);
}

static int report(char **json, sedge_error *err)
{
    return sedge_report(
        &(sedge_report_params){.size = sizeof(sedge_report_params), .model = run, .out = page}, json, err);
}

static void survive(verb *call, uint64_t step)
{
    const int64_t live = sg_alloc_live();
    sedge_error err;
    char *json = NULL, *right = NULL;
    uint64_t n = 1;

    assert_int_equal(call(&right, &err), SEDGE_OK);
    for (;; n += step) {
        sg_alloc_fail_at(n);
        const int st = call(&json, &err);

        sg_alloc_fail_at(0);
        if (st == SEDGE_OK)
            break;
        assert_null(json);
        assert_int_equal(st, SEDGE_ERR_MEMORY);
        assert_int_equal(strncmp(err.message, "out of memory", 13), 0);
        assert_int_equal(sg_alloc_live() - live, 1); /* `right` */
    }
    assert_true(n > 5);
    sedge_free(json);
    sedge_free(right);
    assert_int_equal(sg_alloc_live(), live);
}

static void recommend_survives(void **state)
{
    (void)state;
    survive(recommend, 1);
}

static void inspect_survives(void **state)
{
    (void)state;
    survive(inspect_model, 1);
    survive(inspect_data, 1);
}

static void stats_survives(void **state)
{
    (void)state;
    survive(stats, 1);
}

static void report_survives_and_keeps_the_old_page(void **state)
{
    sg_buf before = {0}, after = {0};

    (void)state;
    assert_int_equal(report(NULL, NULL), SEDGE_OK);
    assert_int_equal(sg_file_read(&before, page, 1 << 24, NULL), SG_OK);
    survive(report, 3);
    for (uint64_t n = 1;; n++) { /* and every write, sync, rename */
        sg_io_fail_at(n);
        const int st = report(NULL, NULL);

        sg_io_fail_at(0);
        assert_int_equal(sg_file_read(&after, page, 1 << 24, NULL), SG_OK);
        assert_int_equal(after.size, before.size);
        assert_memory_equal(after.data, before.data, before.size);
        sg_buf_free(&after);
        if (st == SEDGE_OK)
            break;
    }
    sg_buf_free(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recommend_survives),
        cmocka_unit_test(inspect_survives),
        cmocka_unit_test(stats_survives),
        cmocka_unit_test(report_survives_and_keeps_the_old_page),
    };

    return cmocka_run_group_tests(tests, make_model, remove_model);
}
