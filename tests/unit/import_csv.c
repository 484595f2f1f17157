/* import_csv.c - CSV and TSV: quoting, columns by name or number, and what a bad row is told. */
#include "import_kit.h"

#include "base/utf8.h"

static void reads_a_plain_table(void **state)
{
    (void)state;
    kit_expect("csv",
               "user_id,item_id,rating,timestamp\n"
               "u1,a,5,100\n"
               "u2,b,4.5,50\n"
               "u1,c,1,90\n",
               "u1: c@90*1 a@100*5\n"
               "u2: b@50*4.5\n"
               "items: [a] [b] [c]\n");
}

static void sorts_by_time_and_keeps_the_order_of_rows_at_the_same_time(void **state)
{
    (void)state;
    kit_expect("csv", "user,item,time\nu,e,7\nu,d,7\nu,c,3\nu,b,7\nu,a,3\n",
               "u: c@3 a@3 e@7 d@7 b@7\n"
               "items: [e] [d] [c] [b] [a]\n");
}

static void follows_rfc_4180(void **state)
{
    (void)state;
    kit_expect("csv",
               "user,item,note\r\n"
               "\"u,1\",\"a \"\"big\"\" b\",\"line one\nline two\"\r\n"
               "u2,\"c\",\"\"\r\n"
               "\"u,1\",5\" screen,\"\"\"\"\r\n",
               "u,1: a \"big\" b 5\" screen\n"
               "u2: c\n"
               "items: [a \"big\" b] [c] [5\" screen]\n");
}

static void counts_lines_across_quoted_newlines(void **state)
{
    (void)state;
    kit_refuse("csv", "user,item,note\nu,a,\"1\n2\n3\"\nu,b\n", "~/events:5: expected 3 columns, found 2");
}

static void takes_columns_by_name_number_and_usual_name(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("csv", kit_file("events", "a,b,c\nx,y,3\nx,z,2\n"), NULL);

    s.column_user = "b";
    s.column_item = "1";
    s.column_time = "c";
    kit_expect_spec(&s, "y: x@3\nz: x@2\nitems: [x]\n");
    kit_expect("csv", "movieId,userId\nm,u\n", "u: m\nitems: [m]\n");
    kit_expect("csv", "User ID,PARENT-ASIN,asin\nu,p,a\n", "u: p\nitems: [p]\n");
}

static void needs_no_header(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("csv", kit_file("events", "u,b,1\nu,a,2\n"), NULL);

    s.no_header = true;
    kit_expect_spec(&s, "u: b a\nitems: [b] [a]\n");
    s.column_time = "3";
    s.column_user = "2";
    s.column_item = "1";
    kit_expect_spec(&s, "b: u@1\na: u@2\nitems: [u]\n");
    s.column_time = "time";
    kit_refuse_spec(&s, SG_ERR_USAGE,
                    "~/events: column 'time': expected a number from 1 to 3, as there is no header");
}

static void takes_another_separator(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("csv", kit_file("events", "user;item\nu,1;\"a;b\"\n"), NULL);

    s.separator = ';';
    kit_expect_spec(&s, "u,1: a;b\nitems: [a;b]\n");
}

static void reads_tsv_without_quoting(void **state)
{
    (void)state;
    kit_expect("tsv", "user\titem\nu\t\"No\n\"u\ta\" b\n", "u: \"No\n\"u: a\" b\nitems: [\"No] [a\" b]\n");
}

static void knows_a_file_by_its_first_line(void **state)
{
    (void)state;
    kit_expect(NULL, "user,item\nu,a\n", "u: a\nitems: [a]\n");
    kit_expect("auto", "\xef\xbb\xbfuser\titem\nu\ta\n", "u: a\nitems: [a]\n");
}

static void reads_the_last_line_without_a_newline(void **state)
{
    (void)state;
    kit_expect("csv", "user,item\nu,a\nu,b", "u: a b\nitems: [a] [b]\n");
    kit_expect("csv", "user,item\r\nu,a\r\nu,\"b\"\r", "u: a b\nitems: [a] [b]\n");
    kit_expect("csv", "user,item\nu,a\n\n\n", "u: a\nitems: [a]\n");
}

static void reads_times_of_all_kinds(void **state)
{
    (void)state;
    kit_expect("csv",
               "user,item,timestamp\n"
               "u,a,1400000000\n"
               "u,b,1400000000.5\n"
               "u,c,1400000001250\n"
               "u,d,2014-05-13\n"
               "u,e,2014-05-13T16:53:22Z\n"
               "u,f,2014-05-13 18:53:23+02:00\n",
               "u: d@1399939200 a@1400000000 b@1400000000 c@1400000001 e@1400000002 f@1400000003\n"
               "items: [a] [b] [c] [d] [e] [f]\n");
}

static void orders_events_within_a_second_by_their_milliseconds(void **state)
{
    (void)state;
    kit_expect("csv", "user,item,timestamp\nu,late,1600000000900\nu,early,1600000000100\n",
               "u: early@1600000000 late@1600000000\nitems: [late] [early]\n");
}

static void numbers_actions(void **state)
{
    (void)state;
    sg_import_spec s =
        kit_spec("csv", kit_file("events", "user,item,what\nu,a,view\nu,b,buy\nu,a,view\n"), NULL);
    sg_dataset *d = NULL;

    s.column_action = "what";
    kit_expect_spec(&s, "u: a!0 b!1 a!0\nitems: [a] [b]\n");
    assert_int_equal(sg_dataset_open(&d, kit_path("out"), NULL), SG_OK);
    const json_t *names = json_object_get(d->about, "actions");
    assert_string_equal(json_string_value(json_array_get(names, 1)), "buy");
    sg_dataset_close(d);

    kit_file("events", "user,item,what\nu,a,1\nu,b,-3\n");
    kit_expect_spec(&s, "u: a!1 b!-3\nitems: [a] [b]\n");
    kit_file("events", "user,item,what\nu,a,1\nu,b,buy\n");
    kit_refuse_spec(&s, SG_ERR_FORMAT,
                    "~/events:3: action: expected an integer, as in the first row, found 'buy'");
}

static void names_what_is_wrong_with_a_row(void **state)
{
    (void)state;
    static const char head[] = "user,item,rating,timestamp\nu,a,5,1\n";
    static const struct {
        const char *row, *message;
    } cases[] = {
        {"u,b,5\n", "~/events:3: expected 4 columns, found 3"},
        {"u,b,5,1,x\n", "~/events:3: expected 4 columns, found 5"},
        {"\nu,b,5,1\n", "~/events:3: expected a row, found an empty line"},
        {",b,5,1\n", "~/events:3: user: expected an id, found nothing"},
        {"u,,5,1\n", "~/events:3: item: expected an id, found nothing"},
        {"u,b,good,1\n", "~/events:3: rating: expected a number, found 'good'"},
        {"u,b,,1\n", "~/events:3: rating: expected a number, found nothing"},
        {"u,b,1e999,1\n", "~/events:3: rating: expected a number, found '1e999'"},
        {"u,b,nan,1\n", "~/events:3: rating: expected a number, found 'nan'"},
        {"u,b,5,yesterday\n",
         "~/events:3: time: expected seconds, milliseconds or an ISO 8601 date, found 'yesterday'"},
        {"u,b,5,\n", "~/events:3: time: expected seconds, milliseconds or an ISO 8601 date, found nothing"},
        {"u,b,5,2014-02-29\n",
         "~/events:3: time: expected seconds, milliseconds or an ISO 8601 date, found '2014-02-29'"},
        {"u,b,5,99999999999999999999999999\n", "~/events:3: time: expected seconds, milliseconds or an ISO "
                                               "8601 date, found '99999999999999999999999999'"},
        {"u,\"b\"x,5,1\n", "~/events:3: expected ',' after the closing quote of field 2, found 'x'"},
        {"u,\"b,5,1\nu,c,5,1\n", "~/events:3: a quoted field that begins in this row is not closed"},
        {"u,\xff\xfe,5,1\n", "~/events:3: item: expected UTF-8, found '?\?'"},
        {"u,a\tb,5,1\n", "~/events:3: item: expected an id without control characters, found 'a?b'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];

        snprintf(text, sizeof text, "%s%s", head, cases[i].row);
        kit_refuse("csv", text, cases[i].message);
    }
}

static void refuses_nul_bytes(void **state)
{
    (void)state;
    static const char text[] = "user,item\nu,a\nu,b\0c\n";
    const sg_import_spec s = kit_spec("csv", kit_bytes("events", text, sizeof text - 1), NULL);
    const sg_import_spec unknown = kit_spec(NULL, kit_path("events"), NULL);

    kit_refuse_spec(&s, SG_ERR_FORMAT, "~/events:3: expected text, found a NUL byte in field 2");
    kit_refuse_spec(&unknown, SG_ERR_FORMAT, "~/events: expected text, found a NUL byte near the beginning");
}

static void refuses_ids_that_are_too_long(void **state)
{
    (void)state;
    char text[2048] = "user,item\nu,";

    memset(text + 12, 'x', 1500);
    strcpy(text + 1512, "\n");
    kit_refuse("csv", text, "~/events:2: item: expected an id of at most 1024 bytes, found 1500");
}

static void refuses_files_without_rows(void **state)
{
    (void)state;
    kit_refuse("csv", "", "~/events: expected rows, found an empty file");
    kit_refuse("csv", "user,item\n", "~/events: expected events, found none");
    kit_refuse(NULL, "", "~/events: the file is empty");
    kit_refuse("csv", "\xff\xfeu\0", "~/events: expected UTF-8 text, found UTF-16: convert the file first");
    const sg_import_spec s = kit_spec("csv", kit_path("absent"), NULL);
    kit_refuse_spec(&s, SG_ERR_MISSING, "~/absent: cannot open: No such file or directory");
}

static void names_the_columns_there_are(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("csv", kit_file("events", "user,item,rating\nu,a,1\n"), NULL);

    s.column_user = "usr";
    kit_refuse_spec(&s, SG_ERR_USAGE,
                    "~/events: no column 'usr'; did you mean 'user'? it has user, item, rating");
    s.column_user = "4";
    kit_refuse_spec(&s, SG_ERR_USAGE, "~/events: column '4': expected a number from 1 to 3");
    s.column_user = "item";
    kit_refuse_spec(&s, SG_ERR_USAGE, "~/events: column 2 cannot be both the user and the item");
    s.column_user = NULL;
    s.time_min = 5;
    kit_refuse_spec(&s, SG_ERR_USAGE, "~/events: a time window is asked for, but there is no time column");
    kit_file("events", "who,item\nu,a\n");
    s = kit_spec("csv", kit_path("events"), NULL);
    kit_refuse_spec(&s, SG_ERR_USAGE,
                    "~/events: cannot tell which column is the user: name it; the columns are who, item");
    kit_file("events", "user,item,user\nu,a,v\n");
    kit_refuse_spec(&s, SG_ERR_FORMAT, "~/events: columns 1 and 3 are both called 'user'");
}

static void skips_bad_rows_only_when_asked(void **state)
{
    (void)state;
    sg_import_spec s =
        kit_spec("csv", kit_file("events", "user,item,rating\nu,a,1\nu,b\nu,c,x\n\nu,d,2\n"), NULL);
    json_t *report = NULL;
    sg_error err;

    s.bad_rows_max = 2;
    kit_refuse_spec(&s, SG_ERR_FORMAT,
                    "more than 2 bad rows, the last: ~/events:5: expected a row, found an empty line");
    s.bad_rows_max = 3;
    assert_int_equal(sg_import(kit_path("out"), &s, NULL, &report, &err), SG_OK);
    assert_int_equal(json_integer_value(json_object_get(report, "bad_rows")), 3);
    assert_int_equal(json_integer_value(json_object_get(report, "rows")), 2);
    const json_t *examples = json_object_get(report, "bad_row_examples");
    assert_int_equal(json_array_size(examples), 3);
    assert_non_null(strstr(json_string_value(json_array_get(examples, 1)),
                           "events:4: rating: expected a number, found 'x'"));
    json_decref(report);
    kit_expect_spec(&s, "u: a*1 d*2\nitems: [a] [d]\n");
}

static void reads_several_files_as_one(void **state)
{
    (void)state;
    const char *const paths[] = {kit_file("one", "user,item,time\nu,a,5\nv,b,1\n"),
                                 kit_file("two", "user,item,time\nu,c,4\nu,d,5\n")};
    sg_import_spec s = kit_spec("csv", NULL, NULL);

    s.path = paths;
    s.n_path = 2;
    kit_expect_spec(&s, "u: c@4 a@5 d@5\nv: b@1\nitems: [a] [b] [c] [d]\n");
    kit_file("two", "user,item\nu,c\n");
    kit_refuse_spec(&s, SG_ERR_FORMAT, "~/two: has no time column, and the files before it have one");
}

static void replaces_a_dataset_and_nothing_else(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("csv", kit_file("events", "user,item\nu,a\n"), NULL);
    sg_error err;

    kit_expect_spec(&s, "u: a\nitems: [a]\n");
    kit_file("events", "user,item\nu,b\n");
    kit_expect_spec(&s, "u: b\nitems: [b]\n");
    kit_file("events", "user,item\nu\n");
    assert_int_equal(sg_import(kit_path("out"), &s, NULL, NULL, &err), SG_ERR_FORMAT);
    char *kept = kit_dump(kit_path("out"));
    assert_string_equal(kept, "u: b\nitems: [b]\n");
    sg_free(kept);
    assert_int_equal(sg_import(kit_dir, &s, NULL, NULL, &err), SG_ERR_USAGE);
}

static void refuses_specs_that_cannot_be(void **state)
{
    (void)state;
    const char *path = kit_file("events", "user,item\nu,a\n");
    sg_import_spec s = kit_spec("cvs", path, NULL);

    kit_refuse_spec(&s, SG_ERR_USAGE,
                    "no format 'cvs'; did you mean 'csv'? expected auto, s3rec, recbole, movielens, amazon, "
                    "csv, tsv, jsonl or "
                    "sequences-json");
    s = kit_spec("csv", path, NULL);
    s.core_user = -1;
    kit_refuse_spec(&s, SG_ERR_USAGE, "core_user: expected 0 or more, found -1");
    s = kit_spec("csv", path, NULL);
    s.n_path = 0;
    kit_refuse_spec(&s, SG_ERR_USAGE, "expected at least one file of events, found none");
    s = kit_spec("csv", path, NULL);
    s.time_min = 5;
    s.time_max = 4;
    kit_refuse_spec(&s, SG_ERR_USAGE, "time_min 5 is after time_max 4");
    s = kit_spec("csv", path, NULL);
    s.rating_min = 3;
    kit_refuse_spec(&s, SG_ERR_USAGE, "~/events: the least rating is 3, but there is no rating column");
    s = kit_spec("csv", path, NULL);
    s.length_min = 3;
    s.length_max = 2;
    kit_refuse_spec(&s, SG_ERR_USAGE, "length_min 3 is above length_max 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(reads_a_plain_table),
        KIT_TEST(sorts_by_time_and_keeps_the_order_of_rows_at_the_same_time),
        KIT_TEST(follows_rfc_4180),
        KIT_TEST(counts_lines_across_quoted_newlines),
        KIT_TEST(takes_columns_by_name_number_and_usual_name),
        KIT_TEST(needs_no_header),
        KIT_TEST(takes_another_separator),
        KIT_TEST(reads_tsv_without_quoting),
        KIT_TEST(knows_a_file_by_its_first_line),
        KIT_TEST(reads_the_last_line_without_a_newline),
        KIT_TEST(reads_times_of_all_kinds),
        KIT_TEST(orders_events_within_a_second_by_their_milliseconds),
        KIT_TEST(numbers_actions),
        KIT_TEST(names_what_is_wrong_with_a_row),
        KIT_TEST(refuses_nul_bytes),
        KIT_TEST(refuses_ids_that_are_too_long),
        KIT_TEST(refuses_files_without_rows),
        KIT_TEST(names_the_columns_there_are),
        KIT_TEST(skips_bad_rows_only_when_asked),
        KIT_TEST(reads_several_files_as_one),
        KIT_TEST(replaces_a_dataset_and_nothing_else),
        KIT_TEST(refuses_specs_that_cannot_be),
    };

    return cmocka_run_group_tests_name("import_csv", tests, NULL, NULL);
}
