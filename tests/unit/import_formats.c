/* import_formats.c - the logs of other systems: each as its system writes it, with the dataset it must
 * become. */
#include "import_kit.h"

#include <zlib.h>
#include <zstd.h>

/* ---- S3-Rec ---- */

static void numbers_s3rec_ids_by_value(void **state)
{
    (void)state;
    kit_expect("s3rec", "10 3 20 3\n2 100 3\n", "2: 100 3\n10: 3 20 3\nitems: [3] [20] [100]\n");
    kit_expect(NULL, "1 1 2 3\n2 2\n", "1: 1 2 3\n2: 2\nitems: [1] [2] [3]\n");
    kit_expect("s3rec", "1  5\t6 \r\n", "1: 5 6\nitems: [5] [6]\n");
}

static void reads_pairs_of_user_and_item(void **state)
{
    (void)state;
    kit_expect("s3rec", "2 5\n1 7\n2 4\n2 5\n", "1: 7\n2: 5 4 5\nitems: [4] [5] [7]\n");
}

static void refuses_damaged_sequences(void **state)
{
    (void)state;
    kit_refuse("s3rec", "1 2 3\n2 4 5\n1 6 7\n",
               "~/events:3: user 1 already has a sequence in a line before");
    kit_refuse("s3rec", "1 2 3\n2 4\n2 6\n", "~/events:3: user 2 already has a sequence in a line before");
    kit_refuse("s3rec", "1 2\n1 3\n2 4 5\n",
               "~/events:3: expected one item, as line 2 repeats its user, found 2");
    kit_refuse("s3rec", "1 2 x 3\n", "~/events:1: expected an item number, found 'x'");
    kit_refuse("s3rec", "1 2 03\n", "~/events:1: expected an item number, found '03'");
    kit_refuse("s3rec", "one 2 3\n", "~/events:1: expected a user number, found 'one'");
    kit_refuse("s3rec", "1 2 99999999999999999999\n",
               "~/events:1: expected an item number, found '99999999999999999999'");
    kit_refuse("s3rec", "1 2\n2\n", "~/events:2: expected at least one item after user 2, found none");
    kit_refuse("s3rec", "1 2\n\n2 3\n", "~/events:2: expected a user and its items, found an empty line");
    kit_refuse("s3rec", "", "~/events: expected events, found none");
}

/* ---- RecBole ---- */

static void reads_recbole_atomic_files(void **state)
{
    (void)state;
    static const char text[] = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
                               "196\t242\t3\t881250949\n"
                               "186\t302\t3\t891717742\n"
                               "196\t\"7\"\t1.5\t8.8E8\n";
    static const char dump[] =
        "196: \"7\"@880000000*1.5 242@881250949*3\n186: 302@891717742*3\nitems: [242] [302] [\"7\"]\n";

    kit_expect("recbole", text, dump);
    kit_expect(NULL, text, dump);
    kit_refuse("recbole", "", "~/events: expected a header of name:type columns, found an empty file");
}

static void checks_recbole_headers(void **state)
{
    (void)state;
    kit_refuse("recbole", "user_id:token\titem_id\n1\t2\n",
               "~/events:1: column 2: expected name:type with token, token_seq, float or float_seq, found "
               "'item_id'");
    kit_refuse("recbole", "user_id:token\titem_id:int\n1\t2\n",
               "~/events:1: column 2: expected name:type with token, token_seq, float or float_seq, found "
               "'item_id:int'");
    kit_refuse("recbole", "user_id:token\titem_id:token\n1\t2\t3\n",
               "~/events:2: expected 2 columns, found 3");
}

/* ---- MovieLens ---- */

static void reads_movielens_of_all_ages(void **state)
{
    (void)state;
    static const char dump[] = "7: 50@978300760*5\n22: 1193@100*4 661@200*3\nitems: [50] [661] [1193]\n";

    kit_expect("movielens", "22\t661\t3\t200\n22\t1193\t4\t100\n7\t50\t5\t978300760\n", dump);
    kit_expect(NULL, "22\t661\t3\t200\n22\t1193\t4\t100\n7\t50\t5\t978300760\n", dump);
    kit_expect("movielens", "22::661::3::200\n22::1193::4::100\n7::50::5::978300760\n", dump);
    kit_expect(NULL, "22::661::3::200\n22::1193::4::100\n7::50::5::978300760\n", dump);
    kit_expect("movielens",
               "userId,movieId,rating,timestamp\n22,661,3,200\n22,1193,4,100\n7,50,5,978300760\n", dump);
    kit_refuse("movielens", "22::661::3::200\n22::1193::4\n", "~/events:2: expected 4 columns, found 3");
    kit_refuse("movielens", "22\t661\t3\t200\n22\t1193\tgood\t1\n",
               "~/events:2: rating: expected a number, found 'good'");
}

/* ---- Amazon ---- */

static void reads_amazon_reviews_of_all_ages(void **state)
{
    (void)state;
    static const char of_2014[] = "{\"reviewerID\": \"A2\", \"asin\": \"B1\", \"reviewerName\": \"J. "
                                  "\\\"x\\\" {[\", \"helpful\": [0, 0], \"overall\": 5.0, "
                                  "\"unixReviewTime\": 1369699200, \"reviewTime\": \"05 28, 2013\"}\n"
                                  "{\"reviewerID\": \"A1\", \"asin\": \"B1\", \"helpful\": [1, 1], "
                                  "\"overall\": 2.0, \"unixReviewTime\": 1355443200}\n"
                                  "{\"reviewerID\": \"A2\", \"asin\": \"B0\", \"overall\": 4.0, \"style\": "
                                  "{\"asin\": \"no\"}, \"unixReviewTime\": 1369699100}\n";
    static const char of_2023[] = "{\"rating\": 5.0, \"title\": \"Nice\", \"images\": [{\"a\": null}], "
                                  "\"asin\": \"B9\", \"parent_asin\": \"B1\", "
                                  "\"user_id\": \"A2\", \"timestamp\": 1369699200123, \"helpful_vote\": 0, "
                                  "\"verified_purchase\": true}\n"
                                  "{\"rating\": 2.0, \"asin\": \"B1\", \"parent_asin\": \"B1\", \"user_id\": "
                                  "\"A1\", \"timestamp\": 1355443200000}\n"
                                  "{\"rating\": 4.0, \"asin\": \"B0\", \"parent_asin\": \"B0\", \"user_id\": "
                                  "\"A2\", \"timestamp\": 1369699100000}\n";
    static const char dump[] = "A2: B0@1369699100*4 B1@1369699200*5\nA1: B1@1355443200*2\nitems: [B1] [B0]\n";

    kit_expect("amazon", of_2014, dump);
    kit_expect(NULL, of_2014, dump);
    kit_expect("amazon", of_2023, dump);
    kit_expect(NULL, of_2023, dump);
    kit_refuse("amazon", "{\"title\": \"x\"}\n",
               "~/events:1: expected a review with reviewerID and asin, or with user_id and parent_asin");
}

/* ---- JSON lines ---- */

static void reads_json_lines(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec(
        "jsonl",
        kit_file("events",
                 "{\"user\": 12, \"item\": \"a\\u00e9\\n\\\"\\/\", \"n\": {\"user\": [1, {}]}, \"t\": 3}\n"
                 "{\"t\": 1, \"item\": \"b\", \"user\": \"x\"}\n"
                 "{\"user\":12,\"item\":\"\\ud83d\\ude00\",\"t\":2}"),
        NULL);
    sg_error err;

    s.column_time = "t";
    assert_int_equal(sg_import(kit_path("out"), &s, NULL, NULL, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "events:1: item: expected an id without control characters"));
    kit_file("events", "{\"user\": 12, \"item\": \"a\\u00e9\\\"\\/\", \"n\": {\"user\": [1, {}]}, \"t\": 3}\n"
                       "{\"t\": 1, \"item\": \"b\", \"user\": \"x\"}\n"
                       "{\"user\":12,\"item\":\"\\ud83d\\ude00\",\"t\":2}");
    kit_expect_spec(
        &s, "12: \xf0\x9f\x98\x80@2 a\xc3\xa9\"/@3\nx: b@1\nitems: [a\xc3\xa9\"/] [b] [\xf0\x9f\x98\x80]\n");
}

static void names_what_is_wrong_with_a_json_line(void **state)
{
    (void)state;
    static const struct {
        const char *row, *message;
    } cases[] = {
        {"{\"user\": 1}", "~/events:2: item: expected an id, found nothing"},
        {"{\"user\": 1, \"item\": null}", "~/events:2: item: expected an id, found nothing"},
        {"{\"user\": 1, \"item\": 2, \"user\": 3}", "~/events:2: key 'user' stands twice"},
        {"{\"user\": [1], \"item\": 2}", "~/events:2: 'user': expected text or a number, found an array"},
        {"{\"user\": 1, \"item\": {}}", "~/events:2: 'item': expected text or a number, found an object"},
        {"{\"user\": 1, \"item\": 2", "~/events:2: column 22: expected ',' or '}', found the end"},
        {"{\"user\": 1, \"item\" 2}", "~/events:2: column 20: expected ':', found '2}'"},
        {"{\"user\": 1, \"item\": 02}", "~/events:2: column 21: expected a number, found '02}'"},
        {"{\"user\": 1, \"item\": \"x}",
         "~/events:2: column 24: expected the string's closing quote, found the end"},
        {"{\"user\": 1, \"item\": yes}", "~/events:2: column 21: expected a JSON value, found 'yes}'"},
        {"{'user': 1}", "~/events:2: column 2: expected a key in quotes, found ''user':'"},
        {"{\"user\": 1, \"item\": 2} x", "~/events:2: column 24: expected the end of the line, found 'x'"},
        {"[1, 2]", "~/events:2: column 1: expected an object, found '[1,'"},
        {"\n{\"user\": 1, \"item\": 2}", "~/events:2: expected an object, found an empty line"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];

        snprintf(text, sizeof text, "{\"user\": 1, \"item\": 1}\n%s\n", cases[i].row);
        kit_refuse("jsonl", text, cases[i].message);
    }
    kit_refuse("jsonl", "", "~/events: expected JSON lines, found an empty file");
    kit_refuse("jsonl",
               "{\"user\": 1, \"item\": 2, \"x\": "
               "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1\n",
               "~/events:1: column 92: expected at most 64 levels of nesting, found '[[[[1'");
}

/* ---- {user: [items]} ---- */

static void reads_sequences_in_json(void **state)
{
    (void)state;
    kit_expect("sequences-json", "{\"10\": [3, 20, 3], \"2\": [100, 3]}",
               "2: 100 3\n10: 3 20 3\nitems: [3] [20] [100]\n");
    kit_expect(NULL, "{\n  \"10\": [\n    3, 20,\n    3\n  ],\n  \"2\": [100, 3]\n}\n",
               "2: 100 3\n10: 3 20 3\nitems: [3] [20] [100]\n");
    kit_expect("sequences-json", "{\"ann\": [\"b\", \"a\"], \"7\": [\"5\"]}",
               "7: 5\nann: b a\nitems: [5] [b] [a]\n");
}

static void refuses_damaged_sequences_in_json(void **state)
{
    (void)state;
    kit_refuse("sequences-json", "{\"1\": [2],\n \"1\": [3]}", "~/events:2: user '1' stands twice");
    kit_refuse("sequences-json", "{\"1\": 2}", "~/events:1: user '1': expected an array of items");
    kit_refuse("sequences-json", "{\"1\": [2, [3]]}",
               "~/events:1: user '1': item 2: expected text or a number");
    kit_refuse("sequences-json", "{\"1\": []}",
               "~/events:1: user '1': expected at least one item, found none");
    kit_refuse("sequences-json", "{\"1\": [2],\n",
               "~/events:2: column 1: expected a key in quotes, found the end");
    kit_refuse("sequences-json", "{\"1\": [2]\n",
               "~/events:2: expected ',' or '}', found the end of the file");
    kit_refuse("sequences-json", "{\"1\": [2,\n 3 4]}",
               "~/events:2: column 4: expected ',' or ']', found '4]}'");
    kit_refuse("sequences-json", "{\"1\": [2]} x", "~/events:1: expected the end of the file, found 'x'");
    kit_refuse("sequences-json", "[1]", "~/events:1: expected an object {user: [items]}, found an array");
    kit_refuse("sequences-json", "x", "~/events:1: expected a JSON object or array, found 'x'");
    kit_refuse("sequences-json", "{}", "~/events: expected events, found none");
}

/* ---- what stands around them ---- */

static void asks_when_the_format_cannot_be_told(void **state)
{
    (void)state;
    kit_refuse(NULL, "hello\nworld\n",
               "~/events: cannot tell the format by the first line 'hello': name it: s3rec, recbole, "
               "movielens, amazon, csv, tsv, "
               "jsonl or sequences-json");
    kit_refuse(NULL, "{\"1\": {\"title\": \"x\"}}",
               "~/events: cannot tell the format by the first line '{\"1\": {\"title\": \"x\"}}': name it: "
               "s3rec, recbole, movielens, "
               "amazon, csv, tsv, jsonl or sequences-json");
}

static void tells_lines_of_json_from_one_object(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec(
        NULL,
        kit_file("events",
                 "{\"tags\": [1], \"user\": 1, \"item\": 2}\n{\"tags\": [], \"user\": 1, \"item\": 3}\n"),
        NULL);

    kit_expect_spec(&s, "1: 2 3\nitems: [2] [3]\n");
    kit_expect(NULL, "{\"user\": 1, \"item\": 2}", "1: 2\nitems: [2]\n");
}

static void reads_gzip_and_zstd(void **state)
{
    (void)state;
    static const char text[] = "user,item\nu,a\nu,b\n";
    char packed[512];
    const size_t n = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);
    const sg_import_spec z = kit_spec(NULL, kit_bytes("events", packed, n), NULL);

    kit_expect_spec(&z, "u: a b\nitems: [a] [b]\n");
    gzFile g = gzopen(kit_path("events"), "wb");
    assert_int_equal(gzwrite(g, text, sizeof text - 1), sizeof text - 1);
    gzclose(g);
    kit_expect_spec(&z, "u: a b\nitems: [a] [b]\n");
    kit_bytes("events", packed, n - 3);
    sg_error err;
    assert_int_equal(sg_import(kit_path("out"), &z, NULL, NULL, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "zstd data is cut short"));
}

/* A row longer than the window, and rows that end exactly where it does. */
static void reads_rows_of_any_length(void **state)
{
    (void)state;
    enum { ITEMS = 200000 };
    sg_buf text = {0}, dump = {0};

    sg_buf_puts(&text, "1");
    sg_buf_puts(&dump, "1:");
    for (int i = 0; i < ITEMS; i++)
        sg_buf_printf(&text, " %d", i % 7);
    for (int i = 0; i < ITEMS; i++)
        sg_buf_printf(&dump, " %d", i % 7);
    sg_buf_puts(&dump, "\nitems: [0] [1] [2] [3] [4] [5] [6]\n");
    kit_expect("s3rec", text.data, dump.data);
    text.size = dump.size = 0;
    sg_buf_puts(&text, "user,item,note\n");
    sg_buf_puts(&dump, "u:");
    for (int i = 0; i < 3; i++) {
        sg_buf_printf(&text, "u,%d,\"", i);
        for (int k = 0; k < 300000 + i; k++)
            sg_buf_puts(&text, k % 50 ? "x" : "\"\"\n");
        sg_buf_puts(&text, "\"\n");
        sg_buf_printf(&dump, " %d", i);
    }
    sg_buf_puts(&dump, "\nitems: [0] [1] [2]\n");
    kit_expect("csv", text.data, dump.data);
    for (int pad = 0; pad < 80; pad++) { /* the window is 2^18 bytes */
        text.size = 0;
        sg_buf_puts(&text, "user,item\nu,");
        while (text.size < (1 << 18) - 100 + (size_t)pad)
            sg_buf_puts(&text, text.size % 1000 ? "a" : "\nu,");
        sg_buf_puts(&text, "\nu,\"z\"\r\nu,last\r\n");
        const sg_import_spec s = kit_spec("csv", kit_bytes("events", text.data, text.size), NULL);
        sg_dataset *d = NULL;
        sg_error err;

        if (sg_import(kit_path("out"), &s, NULL, NULL, &err))
            fail_msg("%s", err.message);
        assert_int_equal(sg_dataset_open(&d, kit_path("out"), &err), SG_OK);
        assert_true(sg_dataset_item(d, (sg_bytes){"last", 4}) == d->item[d->n_events - 1]);
        assert_true(sg_dataset_item(d, (sg_bytes){"z", 1}) == d->item[d->n_events - 2]);
        sg_dataset_close(d);
    }
    sg_buf_free(&text);
    sg_buf_free(&dump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(numbers_s3rec_ids_by_value),
        KIT_TEST(reads_pairs_of_user_and_item),
        KIT_TEST(refuses_damaged_sequences),
        KIT_TEST(reads_recbole_atomic_files),
        KIT_TEST(checks_recbole_headers),
        KIT_TEST(reads_movielens_of_all_ages),
        KIT_TEST(reads_amazon_reviews_of_all_ages),
        KIT_TEST(reads_json_lines),
        KIT_TEST(names_what_is_wrong_with_a_json_line),
        KIT_TEST(reads_sequences_in_json),
        KIT_TEST(refuses_damaged_sequences_in_json),
        KIT_TEST(asks_when_the_format_cannot_be_told),
        KIT_TEST(tells_lines_of_json_from_one_object),
        KIT_TEST(reads_gzip_and_zstd),
        KIT_TEST(reads_rows_of_any_length),
    };

    return cmocka_run_group_tests_name("import_formats", tests, NULL, NULL);
}
