/* import.c - the n-th allocation or file operation of an import fails, for every n: a clean error, no folder,
 * nothing left behind, nothing leaked; and an old dataset stays what it was. The import spills events and
 * item text to disk, and reads what is known of users. */
#include "../unit/import_kit.h"

enum { EVENTS = 2500 };

static sg_import_spec tiny_import(void)
{
    static char users[256];
    static const char *const series[] = {users};
    sg_buf events = {0};

    sg_buf_puts(&events, "user,item,rating,time,what\n");
    for (int i = 0; i < EVENTS; i++)
        sg_buf_printf(&events, "u%d,%d,%d,%d,%s\n", i * 7 % 40, i * 11 % 97, i % 5, 1000 - i % 83,
                      i % 3 ? "view" : "buy");
    kit_file("events", events.data);
    events.size = 0;
    sg_buf_puts(&events, "{\n");
    for (int i = 0; i < 97; i++)
        sg_buf_printf(&events,
                      "\"%d\": {\"title\": \"item \\u00e9 %d\", \"categories\": [\"a\", \"b%d\"]}%s\n", i, i,
                      i % 4, i < 96 ? "," : "}");
    kit_file("items", events.data);
    events.size = 0;
    sg_buf_puts(&events, "user\tsince\tcity\tage\n");
    for (int i = 0; i < 80; i++)
        sg_buf_printf(&events, "u%d\t%d\tcity %d\t%d\n", i % 40, i, i % 5, i % 40);
    snprintf(users, sizeof users, "%s", kit_file("users", events.data));
    sg_buf_free(&events);

    sg_import_spec s = kit_spec("csv", kit_path("events"), kit_path("items"));
    s.user_series = series;
    s.n_user_series = 1;
    s.column_action = "what";
    s.rating_min = 1;
    s.time_max = 995;
    s.dedup = true;
    s.core_user = s.core_item = 3;
    s.length_max = 30;
    s.memory_max = 1;
    return s;
}

typedef void fail_at(uint64_t n);

/* What the whole import gives, and how many failures came after it was in place. */
static char *whole;
static int n_late;

/* Returns whether the import went through. After a failure the folder is what it was before (NULL: absent),
 * or the new one whole: the last thing done is to sync the folder around it. */
static bool import_failing(const sg_import_spec *s, fail_at *inject, uint64_t n, const char *before)
{
    const int64_t live = sg_alloc_live();
    json_t *report = NULL;
    sg_error err = {.message = ""};
    sg_status st;
    char *dump;

    inject(n);
    st = sg_import(kit_path("out"), s, NULL, &report, &err);
    inject(0);
    json_decref(report);
    if (sg_alloc_live() != live)
        fail_msg("%lld blocks leaked when call %llu failed: %s", (long long)(sg_alloc_live() - live),
                 (unsigned long long)n, err.message);
    kit_check_clean();
    if (!st)
        return true;
    if (!err.message[0] || strchr(err.message, '\n'))
        fail_msg("call %llu failed without a line: '%s'", (unsigned long long)n, err.message);
    if (!before && !sg_dir_exists(kit_path("out")))
        return false;
    dump = kit_dump(kit_path("out"));
    if (!dump || (strcmp(dump, whole) && (!before || strcmp(dump, before))))
        fail_msg("call %llu failed and left another dataset: %s", (unsigned long long)n, err.message);
    n_late += strcmp(dump, whole) == 0;
    sg_free(dump);
    return false;
}

static void every_call(fail_at *inject, uint64_t count(void))
{
    const sg_import_spec s = tiny_import();
    uint64_t calls = count();

    assert_true(import_failing(&s, inject, 0, NULL));
    calls = count() - calls;
    whole = kit_dump(kit_path("out"));
    n_late = 0;
    for (uint64_t n = 1; n <= calls; n++) {
        assert_int_equal(sg_dir_remove(kit_path("out"), NULL), SG_OK);
        if (import_failing(&s, inject, n, NULL))
            fail_msg("call %llu failed and nobody saw it", (unsigned long long)n);
    }
    assert_true(n_late <= 4);
    assert_int_equal(sg_dir_remove(kit_path("out"), NULL), SG_OK);
    assert_true(import_failing(&s, inject, calls + 1, NULL));
    sg_free(whole);
    print_message("%llu failures\n", (unsigned long long)calls);
}

static void survives_every_failing_allocation(void **state)
{
    (void)state;
    every_call(sg_alloc_fail_at, sg_alloc_calls);
}

static void survives_every_failing_file_operation(void **state)
{
    (void)state;
    every_call(sg_io_fail_at, sg_io_calls);
}

static void keeps_the_old_dataset(void **state)
{
    (void)state;
    static const char old[] = "u: a\nitems: [a]\n";
    sg_import_spec s = kit_spec("csv", kit_file("old", "user,item\nu,a\n"), NULL);
    uint64_t n = 1;

    kit_expect_spec(&s, old);
    s = tiny_import();
    assert_int_equal(sg_import(kit_path("elsewhere"), &s, NULL, NULL, NULL), SG_OK);
    whole = kit_dump(kit_path("elsewhere"));
    n_late = 0;
    while (!n_late && !import_failing(&s, sg_io_fail_at, n, old))
        n++;
    assert_true(n > 100);
    sg_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(survives_every_failing_allocation),
        KIT_TEST(survives_every_failing_file_operation),
        KIT_TEST(keeps_the_old_dataset),
    };

    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
