/* dataset.c - whichever allocation or I/O operation of writing or opening a dataset fails: a clear error, the old dataset
 * whole, nothing beside it, no leak. */
#include "faults.h"
#include "folder.h"

#include "data/dataset.h"
#include "data/split.h"
#include "data/stats.h"
#include "data/synth.h"
#include "data/writer.h"

static char path[80];

static int make_dir(void **state)
{
    if (folder_make(state))
        return -1;
    snprintf(path, sizeof path, "%s/d", folder);
    return 0;
}

static sg_status write_named(const char *name, sg_error *err)
{
    static const sg_dataset_event events[] = {{.user = 0, .item = 1, .timestamp = 5},
                                              {.user = 1, .item = 0, .timestamp = 6},
                                              {.user = 1, .item = 1, .timestamp = 7},
                                              {.user = 1, .item = 0, .timestamp = 7}};
    static const int64_t offsets[] = {0, 3, 7};
    static const sg_strings title = {2, "redblue", offsets};
    static const char *const columns[] = {"title"}, *const actions[] = {"buy"};
    const sg_dataset_spec spec = {.name = name,
                                  .n_users = 2,
                                  .n_items = 2,
                                  .n_events = 4,
                                  .timestamp = true,
                                  .column = columns,
                                  .n_columns = 1,
                                  .action_name = actions,
                                  .n_actions = 1};

    return sg_dataset_write(path, &spec, events, NULL, NULL, &title, err);
}

static sg_status write_new(void *ctx, sg_error *err)
{
    (void)ctx;
    return write_named("new", err);
}

static void old_or_new(void *ctx, bool done)
{
    sg_dataset *d;

    (void)ctx;
    assert_int_equal(sg_dataset_open(&d, path, NULL), SG_OK);
    if (done)
        assert_string_equal(d->name, "new");
    const bool is_new = strcmp(d->name, "new") == 0;
    assert_true(is_new || strcmp(d->name, "old") == 0);
    sg_dataset_close(d);
    assert_int_equal(faults_entries(folder), 1);
    assert_int_equal(faults_entries(path), 4);
    if (is_new)
        assert_int_equal(write_named("old", NULL), SG_OK);
}

static void writing_survives_every_fault(void **state)
{
    (void)state;
    assert_int_equal(write_named("old", NULL), SG_OK);
    assert_true(faults_walk(FAULTS_IO, write_new, old_or_new, NULL) >= 40);
    faults_jansson(true);
    assert_true(faults_walk(FAULTS_ALLOC, write_new, old_or_new, NULL) >= 100);
    faults_jansson(false);
}

static void nothing_is_left_where_nothing_was(void *ctx, bool done)
{
    (void)ctx;
    if (sg_dir_exists(path)) { /* whole: the fault came after it was in place */
        sg_dataset *d;

        assert_int_equal(sg_dataset_open(&d, path, NULL), SG_OK);
        sg_dataset_close(d);
        assert_int_equal(sg_dir_remove(path, NULL), SG_OK);
    } else {
        assert_false(done);
    }
    assert_int_equal(faults_entries(folder), 0);
}

static void a_first_write_leaves_all_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(sg_dir_remove(path, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_IO, write_new, nothing_is_left_where_nothing_was, NULL) >= 40);
}

static sg_status open_all(void *ctx, sg_error *err)
{
    sg_dataset *d;
    sg_status st;

    (void)ctx;
    if ((st = sg_dataset_open(&d, path, err)))
        return st;
    assert_int_equal(sg_dataset_item(d, (sg_bytes){"1", 1}), 1); /* with or without memory for an index */
    sg_dataset_close(d);
    return sg_dataset_verify(path, err);
}

static sg_status stats(void *ctx, sg_error *err)
{
    sg_dataset *d;
    json_t *o = NULL;
    sg_status st;

    (void)ctx;
    if ((st = sg_dataset_open(&d, path, err)))
        return st;
    st = sg_dataset_stats(&o, d, err);
    json_decref(o);
    sg_dataset_close(d);
    return st;
}

static void opening_fails_cleanly(void **state)
{
    (void)state;
    assert_int_equal(write_named("old", NULL), SG_OK);
    assert_true(faults_walk(FAULTS_IO, open_all, NULL, NULL) >= 10);
    assert_true(faults_walk(FAULTS_ALLOC, open_all, NULL, NULL) >= 40);
    assert_true(faults_walk(FAULTS_ALLOC, stats, NULL, NULL) >= 60);
    assert_int_equal(sg_dir_remove(path, NULL), SG_OK);
}

static sg_status synth(void *ctx, sg_error *err)
{
    sg_synth_config c;
    json_t *report = NULL;
    sg_status st;

    (void)ctx;
    sg_options_init(&c, sg_synth_options, sg_n_synth_options);
    c.users = 4;
    c.items = 8;
    st = sg_synth(path, &c, NULL, NULL, &report, err);
    json_decref(report);
    return st;
}

static sg_status oracle(void *ctx, sg_error *err)
{
    const sg_split_spec spec = {.text = "loo"};
    sg_dataset *d;
    sg_split *s = NULL;
    json_t *o = NULL;
    sg_status st;

    (void)ctx;
    if ((st = sg_dataset_open(&d, path, err)))
        return st;
    if (!(st = sg_split_new(&s, d, &spec, err)))
        st = sg_synth_oracle(&o, d, s, true, NULL, err);
    json_decref(o);
    sg_split_free(s);
    sg_dataset_close(d);
    return st;
}

static void synth_leaves_all_or_nothing(void **state)
{
    (void)state;
    assert_true(faults_walk(FAULTS_IO, synth, nothing_is_left_where_nothing_was, NULL) >= 50);
    faults_jansson(true);
    assert_true(faults_walk(FAULTS_ALLOC, synth, nothing_is_left_where_nothing_was, NULL) >= 200);
    faults_jansson(false);
    assert_int_equal(synth(NULL, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, oracle, NULL, NULL) >= 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing_survives_every_fault),
        cmocka_unit_test(a_first_write_leaves_all_or_nothing),
        cmocka_unit_test(opening_fails_cleanly),
        cmocka_unit_test(synth_leaves_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, make_dir, folder_drop);
}
