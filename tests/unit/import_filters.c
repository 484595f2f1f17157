/* import_filters.c - every filter alone and all in their order, with the counts the report gives; k-core
 * against a plain one. */
#include "import_kit.h"

#include "base/rng.h"

static const char log_text[] = "user,item,rating,time\n"
                               "u,a,5,10\n"
                               "u,b,2,20\n"
                               "u,a,4,30\n"
                               "v,a,3,15\n"
                               "v,c,5,25\n"
                               "w,b,1,5\n";

static sg_import_spec log_spec(void)
{
    return kit_spec("csv", kit_file("events", log_text), NULL);
}

/* "rating_min -2 4/3/2": filter, dropped, what is left of events, users, items; one after the other. */
static void expect_filters(const sg_import_spec *s, const char *dump, const char *filters)
{
    json_t *report = NULL;
    const json_t *entry;
    sg_error err = {.message = ""};
    sg_buf b = {0};
    size_t i;
    char *found;

    if (sg_import(kit_path("out"), s, NULL, &report, &err))
        fail_msg("%s", err.message);
    found = kit_dump(kit_path("out"));
    assert_string_equal(found, dump);
    json_array_foreach(json_object_get(report, "filters"), i, entry) sg_buf_printf(
        &b, "%s%s -%d %d/%d/%d", i ? ", " : "", json_string_value(json_object_get(entry, "filter")),
        (int)json_integer_value(json_object_get(entry, "dropped")),
        (int)json_integer_value(json_object_get(entry, "events")),
        (int)json_integer_value(json_object_get(entry, "users")),
        (int)json_integer_value(json_object_get(entry, "items")));
    assert_string_equal(b.data ? b.data : "", filters);
    sg_buf_free(&b);
    sg_free(found);
    json_decref(report);
}

static void drops_low_ratings(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.rating_min = 3;
    expect_filters(&s, "u: a@10*5 a@30*4\nv: a@15*3 c@25*5\nitems: [a] [c]\n", "rating_min -2 4/2/2");
}

static void keeps_a_window_of_time(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.time_min = 10;
    s.time_max = 25;
    expect_filters(&s, "u: a@10*5 b@20*2\nv: a@15*3 c@25*5\nitems: [a] [b] [c]\n", "time -2 4/2/3");
    s.time_min = INT64_MIN;
    expect_filters(&s, "u: a@10*5 b@20*2\nv: a@15*3 c@25*5\nw: b@5*1\nitems: [a] [b] [c]\n", "time -1 5/3/3");
}

static void keeps_the_first_of_repeated_events(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.dedup = true;
    expect_filters(&s, "u: a@10*5 b@20*2\nv: a@15*3 c@25*5\nw: b@5*1\nitems: [a] [b] [c]\n",
                   "dedup -1 5/3/3");
}

static void takes_the_core_once_or_until_it_stands(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.core_user = s.core_item = 2;
    s.core_once = true;
    expect_filters(&s, "u: a@10*5 b@20*2 a@30*4\nv: a@15*3\nitems: [a] [b]\n", "core -2 4/2/2");
    s.core_once = false; /* v keeps one event then, and goes; b too */
    expect_filters(&s, "u: a@10*5 a@30*4\nitems: [a]\n", "core -4 2/1/1");
    s.core_item = 0;
    expect_filters(&s, "u: a@10*5 b@20*2 a@30*4\nv: a@15*3 c@25*5\nitems: [a] [b] [c]\n", "core -1 5/2/3");
}

static void bounds_lengths(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.length_min = 2;
    s.length_max = 2;
    expect_filters(&s, "u: b@20*2 a@30*4\nv: a@15*3 c@25*5\nitems: [a] [b] [c]\n", "length -2 4/2/3");
    s.length_min = 0;
    s.length_max = 1;
    expect_filters(&s, "u: a@30*4\nv: c@25*5\nw: b@5*1\nitems: [a] [b] [c]\n", "length -3 3/3/3");
}

static void applies_all_in_order(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.rating_min = 2;
    s.time_max = 29;
    s.dedup = true;
    s.core_user = 2;
    s.length_max = 1;
    expect_filters(&s, "u: b@20*2\nv: c@25*5\nitems: [b] [c]\n",
                   "rating_min -1 5/2/3, time -1 4/2/3, dedup -0 4/2/3, core -0 4/2/3, length -2 2/2/2");
}

static void says_what_left_nothing(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();

    s.rating_min = 4;
    s.core_user = 3;
    kit_refuse_spec(&s, SG_ERR_FORMAT, "no events are left of 6: rating_min dropped 3, core dropped 3");
    s.rating_min = 9;
    s.core_user = 0;
    kit_refuse_spec(&s, SG_ERR_FORMAT, "no events are left of 6: rating_min dropped 6");
}

/* Against the definition, on random logs: drop users and items that are too rare until none is. */
static void finds_the_core_of_random_logs(void **state)
{
    (void)state;
    enum { N = 400, USERS = 60, ITEMS = 50, K = 5 };

    for (uint64_t seed = 0; seed < 10; seed++) {
        int user[N], item[N], left = N, before;
        bool live[N];
        sg_buf text = {0};
        json_t *report = NULL;
        sg_error err;

        sg_buf_puts(&text, "user,item\n");
        for (int i = 0; i < N; i++) {
            const double u = sg_rng_double(seed, SG_RNG_TEST, (uint64_t)i, 0),
                         v = sg_rng_double(seed, SG_RNG_TEST, (uint64_t)i, 1);

            user[i] = (int)(u * u * USERS);
            item[i] = (int)(v * v * ITEMS);
            live[i] = true;
            sg_buf_printf(&text, "u%d,i%d\n", user[i], item[i]);
        }
        do {
            int of_user[USERS] = {0}, of_item[ITEMS] = {0};

            before = left;
            for (int i = 0; i < N; i++)
                if (live[i]) {
                    of_user[user[i]]++;
                    of_item[item[i]]++;
                }
            for (int i = 0; i < N; i++)
                if (live[i] && (of_user[user[i]] < K || of_item[item[i]] < K)) {
                    live[i] = false;
                    left--;
                }
        } while (left < before);

        sg_import_spec s = kit_spec("csv", kit_bytes("events", text.data, text.size), NULL);
        s.core_user = s.core_item = K;
        const sg_status st = sg_import(kit_path("out"), &s, NULL, &report, &err);
        if (left)
            assert_int_equal(json_integer_value(json_object_get(report, "events")), left);
        else
            assert_int_equal(st, SG_ERR_FORMAT);
        json_decref(report);
        sg_buf_free(&text);
    }
}

typedef struct listener {
    int messages, ticks, stop_at;
    char text[2048];
} listener;

static int listen(void *user, const sg_progress_event *e)
{
    listener *l = user;

    if (e->message) {
        l->messages++;
        snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s\n", e->note);
    }
    return ++l->ticks == l->stop_at;
}

static void tells_what_each_filter_dropped(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();
    listener l = {0};
    const sg_progress progress = {listen, &l};
    sg_error err;

    s.rating_min = 3;
    s.core_user = 2;
    assert_int_equal(sg_import(kit_path("out"), &s, &progress, NULL, &err), SG_OK);
    assert_string_equal(l.text, "rating_min: dropped 2 events; left 4 of 2 users and 2 items\n"
                                "core: dropped 0 events; left 4 of 2 users and 2 items\n");
}

/* Of "a b c" with b cold, u keeps its last b and loses the others; v, whose last is b too, is left with less than a case and
 * loses it; w, without b, stays; x, who had nothing else, is gone. */
static void holds_items_out_of_all_but_the_last_events(void **state)
{
    (void)state;
    static const char log[] = "user,item\nu,a\nu,b\nu,c\nu,b\nv,a\nv,b\nv,b\nw,c\nw,a\nx,b\n";
    sg_import_spec s = kit_spec("csv", kit_file("events", log), NULL);

    s.cold = 0.4; /* of this seed: b alone */
    s.cold_seed = 6;
    expect_filters(&s, "u: a c b\nv: a\nw: c a\nitems: [a] [b] [c]\n", "cold -4 6/3/3");
    s.cold_seed = 1;
    expect_filters(&s, "u: a b c b\nv: a b b\nw: c a\nx: b\nitems: [a] [b] [c]\n", "cold -0 10/4/3");
}

static void stops_when_asked(void **state)
{
    (void)state;
    sg_import_spec s = log_spec();
    sg_error err;
    int calls = 0;

    s.rating_min = 3;
    for (int n = 1; n < 100; n++) {
        listener l = {.stop_at = n};
        const sg_progress progress = {listen, &l};

        if (!sg_import(kit_path("out"), &s, &progress, NULL, &err))
            break;
        calls++;
        assert_int_equal(err.status, SG_ERR_CANCEL);
        assert_false(sg_dir_exists(kit_path("out")));
        kit_check_clean();
    }
    assert_true(calls >= 2 && sg_dir_exists(kit_path("out")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(drops_low_ratings),
        KIT_TEST(keeps_a_window_of_time),
        KIT_TEST(keeps_the_first_of_repeated_events),
        KIT_TEST(takes_the_core_once_or_until_it_stands),
        KIT_TEST(bounds_lengths),
        KIT_TEST(applies_all_in_order),
        KIT_TEST(says_what_left_nothing),
        KIT_TEST(finds_the_core_of_random_logs),
        KIT_TEST(tells_what_each_filter_dropped),
        KIT_TEST(holds_items_out_of_all_but_the_last_events),
        KIT_TEST(stops_when_asked),
    };

    return cmocka_run_group_tests_name("import_filters", tests, NULL, NULL);
}
