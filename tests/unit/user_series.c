/* user_series.c - files about users: every kind, what is kept of them in the dataset, what is refused. */
#include "import_kit.h"

#define EVENTS "user_id,item_id,timestamp\nb,x,10\na,x,20\nb,y,30\nc,z,40\n"

/* What a dataset knows of its users: "b: age=24@- city=Riga@100\n". */
static char *known(const char *users, sg_status want, const char *message, int64_t bad_rows)
{
    static char text[4096];
    const char *const events[] = {kit_file("events", EVENTS)}, *const series[] = {kit_file("users", users)};
    sg_import_spec s = sg_import_defaults();
    sg_error err = {0};
    sg_dataset *d = NULL;
    size_t at = 0;

    s.format = "csv";
    s.path = events;
    s.n_path = 1;
    s.user_series = series;
    s.n_user_series = 1;
    s.bad_rows_max = bad_rows;
    sg_dir_remove(kit_path("d"), NULL);
    const sg_status st = sg_import(kit_path("d"), &s, NULL, NULL, &err);
    if (want) {
        char expected[512];

        assert_int_equal(st, want);
        snprintf(expected, sizeof expected, "%s/users%s", kit_dir, message);
        assert_string_equal(err.message, expected);
        kit_check_clean();
        return NULL;
    }
    if (st || sg_dataset_open(&d, kit_path("d"), &err))
        fail_msg("%s", err.message);
    text[0] = 0;
    for (int32_t u = 0; u < d->n_users && d->series.offsets; u++) {
        const sg_bytes id = sg_strings_at(&d->user_ids, (size_t)u);

        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s:", (int)id.size, id.data);
        for (int64_t i = d->series.offsets[u]; i < d->series.offsets[u + 1]; i++) {
            const sg_bytes name = sg_strings_at(&d->series.names, (size_t)d->series.value[i]);

            at += (size_t)snprintf(text + at, sizeof text - at, " %.*s@", (int)name.size, name.data);
            at += d->series.time[i] == INT64_MIN
                      ? (size_t)snprintf(text + at, sizeof text - at, "-")
                      : (size_t)snprintf(text + at, sizeof text - at, "%lld", (long long)d->series.time[i]);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "\n");
    }
    sg_dataset_close(d);
    return text;
}

static void expect(const char *users, const char *want)
{
    assert_string_equal(known(users, SG_OK, NULL, 0), want);
}

static void reads_tables_with_a_header(void **state)
{
    (void)state;
    expect("user_id,age,job\na,24,\nc,24,cook\nnobody,9,x\n", "b:\na: age=24@-\nc: age=24@- job=cook@-\n");
    expect("user_id,none,age\nb,,7\n", "b: age=7@-\na:\nc:\n"); /* a column without a value is no series */
    expect("age\tuser\n7\tb\n", "b: age=7@-\na:\nc:\n");
    expect("user_id:token\tage:token\tgender:token\nb\t24\tM\n", "b: age=24@- gender=M@-\na:\nc:\n");
    expect("id,no\xe9\nb,\xff\n",
           "b: no\xef\xbf\xbd=\xef\xbf\xbd@-\na:\nc:\n"); /* invalid UTF-8 is replaced */
    expect("id,note\nb,\"x, \"\"y\"\"\"\n", "b: note=x, \"y\"@-\na:\nc:\n");
}

/* Sorted by time; of a run of equal values the first. */
static void slow_series_keep_the_first_of_a_run(void **state)
{
    (void)state;
    expect("user_id,since,city,plan\nb,300,Riga,paid\nb,100,Riga,free\nb,200,Riga,free\nb,400,Oslo,\nb,500,"
           "Riga,paid\n",
           "b: city=Riga@100 plan=free@100 plan=paid@300 city=Oslo@400 city=Riga@500\na:\nc:\n");
}

static void reads_movielens_users(void **state)
{
    (void)state;
    const char *const events[] = {kit_file("events", "1\t7\t4\t100\n2\t7\t5\t101\n")};
    static const char *const files[] = {"1|24|M|technician|85711\n2|53|F|other|94043\n",
                                        "1::M::24::10::48067\n2::F::53::16::70072\n"};

    for (int i = 0; i < 2; i++) {
        const char *const series[] = {kit_file("users", files[i])};
        sg_import_spec s = sg_import_defaults();
        sg_error err = {0};
        sg_dataset *d = NULL;

        s.path = events;
        s.n_path = 1;
        s.user_series = series;
        s.n_user_series = 1;
        sg_dir_remove(kit_path("d"), NULL);
        if (sg_import(kit_path("d"), &s, NULL, NULL, &err) || sg_dataset_open(&d, kit_path("d"), &err))
            fail_msg("%s", err.message);
        assert_int_equal(d->series.n, 8);
        assert_int_equal(d->series.names.n, 8);
        const sg_bytes first = sg_strings_at(&d->series.names, i ? 1 : 0);
        assert_int_equal(first.size, 6);
        assert_memory_equal(first.data, "age=24", 6);
        sg_dataset_close(d);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    known("name,age\na,24\n", SG_ERR_USAGE,
          ": cannot tell which column is the user's id; the first column is 'name'", 0);
    known("user_id,age\na\n", SG_ERR_FORMAT, ":2: expected 2 columns, found 1", 0);
    known("user_id,since,age\na,soon,5\n", SG_ERR_FORMAT, ":2: expected a time, found 'soon'", 0);
    known("user_id,age\n,5\n", SG_ERR_FORMAT, ":2: expected the id of a user, found an empty column", 0);
    known("user_id,age\nx,5\ny,6\n", SG_ERR_FORMAT, ": none of its 2 rows is of a user of the events", 0);
    known("", SG_ERR_FORMAT, ": expected a header line, found an empty file", 0);
    assert_string_equal(known("user_id,age\na\nb,5\n", SG_OK, NULL, 1), "b: age=5@-\na:\nc:\n");
}

/* A file that points outside of itself is refused when the dataset is opened. */
static void numbers_of_series_are_checked(void **state)
{
    (void)state;
    static const int64_t offsets[] = {0, 1, 2}, falling[] = {0, 2, 1}, time[] = {5, 4};
    static const int32_t value[] = {0, 1}, wrong[] = {0, 2}, of[] = {0, 0};
    const sg_series good = {
        .n = 2, .offsets = offsets, .time = time, .value = value, .of = of, .names = {.n = 2}};
    sg_error err = {0};
    sg_series s = good;

    assert_int_equal(sg_series_check(&s, 2, "f", &err), SG_OK);
    s.offsets = falling;
    assert_int_equal(sg_series_check(&s, 2, "f", &err), SG_ERR_FORMAT);
    s = good;
    s.value = wrong;
    assert_int_equal(sg_series_check(&s, 2, "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: tensor 'series.value': expected numbers below 2, found 2 at 1");
    s = good;
    s.of = (const int32_t[]){0, -1};
    assert_int_equal(sg_series_check(&s, 2, "f", &err), SG_ERR_FORMAT);
    s = good;
    s.offsets = (const int64_t[]){0, 2, 2};
    assert_int_equal(sg_series_check(&s, 2, "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message,
                        "f: tensor 'series.time': expected ascending numbers for user 0, found 4 after 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tables_with_a_header),
        cmocka_unit_test(slow_series_keep_the_first_of_a_run),
        cmocka_unit_test(reads_movielens_users),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(numbers_of_series_are_checked),
    };

    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}
