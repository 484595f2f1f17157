/* import_sort.c - what is sorted in runs on disk is, byte for byte, what is sorted in memory; also after
 * every filter, and with users that are numbered by their ids while runs are already written. */
#include "import_kit.h"

#include "base/rng.h"

enum { EVENTS = 30000 };

static void random_log(const char *name, bool numbers)
{
    sg_buf text = {0};

    if (!numbers)
        sg_buf_puts(&text, "user,item,rating,time\n");
    for (uint64_t i = 0; i < EVENTS; i++) {
        const double u = sg_rng_double(1, SG_RNG_TEST, i, 0);
        const int user = (int)(u * u * 700), item = (int)sg_rng_below(300, 1, SG_RNG_TEST, i, 1);
        const int rating = (int)sg_rng_below(5, 1, SG_RNG_TEST, i, 2),
                  time = (int)sg_rng_below(400, 1, SG_RNG_TEST, i, 3);

        if (numbers)
            sg_buf_printf(&text, "%d\t%d\t%d\t%d\n", user, item, rating, time);
        else
            sg_buf_printf(&text, "user %d,item %d,%d,%d\n", user, item, rating, time);
    }
    kit_bytes(name, text.data, text.size);
    sg_buf_free(&text);
}

static void expect_same_bytes(const char *a, const char *b, const char *name)
{
    sg_buf x = {0}, y = {0};
    char path[2][320];

    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    assert_int_equal(sg_file_read(&x, path[0], 1 << 30, NULL), SG_OK);
    assert_int_equal(sg_file_read(&y, path[1], 1 << 30, NULL), SG_OK);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    sg_buf_free(&x);
    sg_buf_free(&y);
}

/* Once in memory, once within memory_max bytes: the same folder. */
static void expect_same(sg_import_spec s, size_t memory_max, int runs_least)
{
    json_t *one = NULL, *many = NULL;
    sg_error err;

    s.memory_max = 0;
    assert_int_equal(sg_import(kit_path("memory"), &s, NULL, &one, &err), SG_OK);
    s.memory_max = memory_max;
    assert_int_equal(sg_import(kit_path("disk"), &s, NULL, &many, &err), SG_OK);
    assert_int_equal(json_integer_value(json_object_get(one, "spilled_runs")), 0);
    assert_true(json_integer_value(json_object_get(many, "spilled_runs")) >= runs_least);
    expect_same_bytes(kit_path("memory"), kit_path("disk"), "events.safetensors");
    expect_same_bytes(kit_path("memory"), kit_path("disk"), "items.safetensors");
    expect_same_bytes(kit_path("memory"), kit_path("disk"), "users.safetensors");
    expect_same_bytes(kit_path("memory"), kit_path("disk"), "dataset.json");
    kit_check_clean();
    json_decref(one);
    json_decref(many);
}

static void sorts_on_disk_as_in_memory(void **state)
{
    (void)state;
    random_log("events", false);
    const sg_import_spec s = kit_spec("csv", kit_path("events"), NULL);

    expect_same(s, 1, 29); /* the least there is: runs of 1,024 events */
    expect_same(s, 64 * EVENTS / 3, 3);
    expect_same(s, 64 * EVENTS - 64, 2); /* the last run holds one event */
    expect_same(s, 64 * EVENTS, 0);
}

static void filters_on_disk_as_in_memory(void **state)
{
    (void)state;
    random_log("events", false);
    sg_import_spec s = kit_spec("csv", kit_path("events"), NULL);

    s.rating_min = 1;
    s.time_max = 390;
    s.dedup = true;
    s.core_user = 9;
    s.core_item = 40;
    s.length_min = 12;
    s.length_max = 50;
    expect_same(s, 1, 20);
}

static void numbers_users_by_id_across_runs(void **state)
{
    (void)state;
    random_log("events", true);
    const sg_import_spec s = kit_spec("movielens", kit_path("events"), NULL);
    sg_dataset *d = NULL;
    long last = -1;

    expect_same(s, 1, 29);
    assert_int_equal(sg_dataset_open(&d, kit_path("disk"), NULL), SG_OK);
    for (int32_t u = 0; u < d->n_users; u++) {
        const sg_bytes id = sg_strings_at(&d->user_ids, (size_t)u);
        char text[16] = "";

        memcpy(text, id.data, id.size);
        assert_true(strtol(text, NULL, 10) > last);
        last = strtol(text, NULL, 10);
    }
    sg_dataset_close(d);
}

/* One user with all events, in falling order of time: the worst case of the sort inside a user. */
static void sorts_one_long_user(void **state)
{
    (void)state;
    sg_buf text = {0};

    sg_buf_puts(&text, "user,item,time\n");
    for (int i = 0; i < 5000; i++)
        sg_buf_printf(&text, "u,%d,%d\n", i, 1000 - i / 5);
    kit_bytes("events", text.data, text.size);
    sg_buf_free(&text);
    expect_same(kit_spec("csv", kit_path("events"), NULL), 1, 4);
    sg_dataset *d = NULL;
    assert_int_equal(sg_dataset_open(&d, kit_path("disk"), NULL), SG_OK);
    for (int k = 0; k < 5000; k++)
        assert_int_equal(d->item[k], 4995 - k / 5 * 5 + k % 5);
    sg_dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(sorts_on_disk_as_in_memory),
        KIT_TEST(filters_on_disk_as_in_memory),
        KIT_TEST(numbers_users_by_id_across_runs),
        KIT_TEST(sorts_one_long_user),
    };

    return cmocka_run_group_tests_name("import_sort", tests, NULL, NULL);
}
