/* import_items.c - item text beside events: every kind of file, matching of ids, several files, what is
 * refused. */
#include "import_kit.h"

static void expect(const char *items, const char *dump)
{
    const sg_import_spec s =
        kit_spec("s3rec", kit_file("events", "1 1 2 3\n2 2 3\n"), kit_file("items", items));

    kit_expect_spec(&s, dump);
}

static void refuse(const char *items, const char *message)
{
    const sg_import_spec s =
        kit_spec("s3rec", kit_file("events", "1 1 2 3\n2 2 3\n"), kit_file("items", items));

    kit_refuse_spec(&s, SG_ERR_FORMAT, message);
}

#define USERS "1: 1 2 3\n2: 2 3\nitems: [1] [2] [3]\n"

static void reads_tsv_and_csv(void **state)
{
    (void)state;
    expect("item_id\tasin\ttitle\n3\tC\t\"Touch\" me\n1\tA\tSoap &amp; more\n9\tX\tnobody\n",
           USERS "asin: [A] [] [C]\ntitle: [Soap &amp; more] [] [\"Touch\" me]\n");
    expect("title,id\n\"a, \"\"b\"\"\nc\",2\n,1\n", USERS "title: [] [a, \"b\"\nc] []\n");
    expect("item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation Comedy\n",
           USERS "movie_title: [Toy Story] [] []\nclass: [Animation Comedy] [] []\n");
}

static void reads_movielens_films(void **state)
{
    (void)state;
    expect("1::Caf\xe9: au lait (1995)::Drama|War\n2::Caf\xc3\xa9::Comedy\n",
           USERS "title: [Caf\xc3\xa9: au lait (1995)] [Caf\xc3\xa9] []\ngenres: [Drama|War] [Comedy] []\n");
    expect("2|Les Mis\xe9rables|01-Jan-1995||http://x|0|1|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|1\n",
           USERS "title: [] [Les Mis\xc3\xa9rables] []\ngenres: [] [Action|Drama|Western] []\n");
    refuse("1::a::b\n2::c\n", "~/items:2: expected 3 columns, found 2");
    refuse("2|x|01-Jan-1995||http://x|0|1|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|2\n",
           "~/items:1: column 24: expected 0 or 1");
}

static void reads_json_objects(void **state)
{
    (void)state;
    expect("{\n  \"1\": {\"title\": \"So\\u00e4p\", \"price\": 1.50, \"none\": null},\n  \"3\": {\"brand\": "
           "\"B\", \"title\": \"C\"}\n}\n",
           USERS "title: [So\xc3\xa4p] [] [C]\nprice: [1.50] [] []\nnone: [] [] []\nbrand: [] [] [B]\n");
    expect("{\"1\": [4, 5], \"2\": [\"x\"]}", USERS "attributes: [4 5] [x] []\n");
    expect("{\"1\": \"one\",\n \"2\": \"two\"}", USERS "text: [one] [two] []\n");
    expect("[{\"id\": 1, \"title\": \"x\"}, {\"id\": \"2\", \"title\": \"y\"}]", USERS "title: [x] [y] []\n");
}

static void writes_nested_values_as_text(void **state)
{
    (void)state;
    expect("{\"item_id\": 1, \"categories\": [[\"A\", \"B\"], [\"C\"]], \"description\": [\"one\", \"two\"], "
           "\"details\": {\"Size:\": \"7 oz\", \"n\": [1, true]}}\n"
           "{\"item_id\": 2, \"categories\": [\"A\", \"B\"]}\n",
           USERS "categories: [A > B | C] [A > B] []\ndescription: [one two] [] []\ndetails: [Size:: 7 oz; "
                 "n: 1 true] [] []\n");
}

static void reads_amazon_metadata(void **state)
{
    (void)state;
    static const char events[] = "{\"reviewerID\": \"U\", \"asin\": \"B1\", \"unixReviewTime\": 1}\n"
                                 "{\"reviewerID\": \"U\", \"asin\": \"B2\", \"unixReviewTime\": 2}\n";
    sg_import_spec s = kit_spec(
        "amazon", kit_file("events", events),
        kit_file("items",
                 "{'asin': 'B1', 'imUrl': 'http://x', 'title': \"It's\", 'related': {'also_bought': ['B2']}, "
                 "'price': 6.99, 'categories': [['Beauty', 'Hair \\xe9']], 'brand': None}\n"
                 "{'asin': 'B2', 'salesRank': {'Beauty': 1}, 'title': u'Two', 'new': True}\n"));

    kit_expect_spec(&s, "U: B1@1 B2@2\nitems: [B1] [B2]\ntitle: [It's] [Two]\nprice: [6.99] []\ncategories: "
                        "[Beauty > Hair \xc3\xa9] []\n"
                        "brand: [] []\n");
    kit_file("items", "{\"category\": [\"Beauty\"], \"tech1\": \"\", \"description\": [\"a\", \"b\"], "
                      "\"title\": \"T\", \"also_buy\": [], "
                      "\"image\": [\"x\"], \"asin\": \"B2\"}\n");
    kit_expect_spec(
        &s, "U: B1@1 B2@2\nitems: [B1] [B2]\ncategory: [] [Beauty]\ndescription: [] [a b]\ntitle: [] [T]\n");
    kit_file("items", "{\"main_category\": \"All\", \"title\": \"T\", \"average_rating\": 4.1, \"features\": "
                      "[\"f\"], \"store\": \"S\", "
                      "\"details\": {\"x\": \"y\"}, \"parent_asin\": \"B1\", \"bought_together\": null}\n");
    kit_expect_spec(&s, "U: B1@1 B2@2\nitems: [B1] [B2]\nmain_category: [All] []\ntitle: [T] []\nfeatures: "
                        "[f] []\nstore: [S] []\n");
    s.item_columns = "title,details";
    kit_expect_spec(&s, "U: B1@1 B2@2\nitems: [B1] [B2]\ntitle: [T] []\ndetails: [x: y] []\n");
}

static void shifts_ids_by_a_base(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("s3rec", kit_file("events", "1 1 2 3\n2 2 3\n"),
                                kit_file("items", "{\"0\": {\"title\": \"a\"}, \"2\": {\"title\": \"c\"}}"));

    s.item_id_base = 1;
    kit_expect_spec(&s, USERS "title: [a] [] [c]\n");
    kit_file("items", "{\"0\": {\"title\": \"a\"}, \"x\": {\"title\": \"c\"}}");
    kit_refuse_spec(&s, SG_ERR_FORMAT, "~/items:1: item id: expected a number to add 1 to, found 'x'");
}

static void joins_several_files(void **state)
{
    (void)state;
    const char *const items[] = {kit_file("one", "id,title\n1,a\n2,\n"),
                                 kit_file("two", "id,brand,title\n2,B,b\n1,A,other\n3,C,c\n")};
    sg_import_spec s = kit_spec("s3rec", kit_file("events", "1 1 2 3\n2 2 3\n"), NULL);
    json_t *report = NULL;
    char *dump;

    s.item_text = items;
    s.n_item_text = 2;
    assert_int_equal(sg_import(kit_path("out"), &s, NULL, &report, NULL), SG_OK);
    dump = kit_dump(kit_path("out"));
    assert_string_equal(dump, USERS "title: [a] [b] [c]\nbrand: [A] [B] [C]\n");
    const char *warning = json_string_value(json_array_get(json_object_get(report, "warnings"), 0));
    assert_non_null(
        strstr(warning, "two: 1 items have other texts than in the files before, which are kept"));
    assert_int_equal(json_integer_value(json_object_get(report, "items_with_text")), 3);
    sg_free(dump);
    json_decref(report);
}

static void keeps_items_without_events_when_asked(void **state)
{
    (void)state;
    sg_import_spec s =
        kit_spec("s3rec", kit_file("events", "1 1 20 3\n"), kit_file("items", "id,title\n20,t\n7,cold\n"));

    kit_expect_spec(&s, "1: 1 20 3\nitems: [1] [3] [20]\ntitle: [] [] [t]\n");
    s.items_all = true;
    kit_expect_spec(&s, "1: 1 20 3\nitems: [1] [3] [7] [20]\ntitle: [] [] [cold] [t]\n");
}

static void picks_columns(void **state)
{
    (void)state;
    sg_import_spec s =
        kit_spec("s3rec", kit_file("events", "1 1\n"), kit_file("items", "code,title,brand\n1,t,b\n"));

    kit_refuse_spec(
        &s, SG_ERR_USAGE,
        "~/items: cannot tell which column is the item's id: name it; the first column is 'code'");
    s.column_item_id = "code";
    s.item_columns = "brand";
    kit_expect_spec(&s, "1: 1\nitems: [1]\nbrand: [b]\n");
    s.item_columns = "brand, price";
    kit_refuse_spec(&s, SG_ERR_USAGE, "no item file has a column 'price'");
}

static void repairs_text_and_counts_it(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("s3rec", kit_file("events", "1 1\n"),
                                kit_file("items", "id,title\n1,a\xff\xfe"
                                                  "b\xe2\x82\n"));
    json_t *report = NULL;
    char *dump;

    assert_int_equal(sg_import(kit_path("out"), &s, NULL, &report, NULL), SG_OK);
    dump = kit_dump(kit_path("out"));
    assert_string_equal(dump, "1: 1\nitems: [1]\ntitle: [a\xef\xbf\xbd\xef\xbf\xbd"
                              "b\xef\xbf\xbd\xef\xbf\xbd]\n");
    const json_t *entry = json_array_get(json_object_get(report, "item_sources"), 0);
    assert_int_equal(json_integer_value(json_object_get(entry, "repaired_bytes")), 4);
    sg_free(dump);
    json_decref(report);
}

static void refuses_damaged_files(void **state)
{
    (void)state;
    refuse("", "~/items: the file is empty");
    refuse("id,title\n", "~/items: expected items, found none");
    refuse("id,title\n1,a,b\n", "~/items:2: expected 2 columns, found 3");
    refuse("id,title\n,a\n", "~/items:2: item id: expected an id, found nothing");
    refuse("id,title\n1,a\n1,b\n", "~/items:3: item '1' stands twice, with different texts");
    refuse("id,title,title\n1,a,b\n", "~/items: columns 2 and 3 are both called 'title'");
    refuse("id,title\n71,a\n72,b\n",
           "~/items: none of its 2 ids is an item of the events: another id column, or another base?");
    refuse("{\"1\": {\"title\": \"a\"},\n\"2\": {\"title\": \"b\"\n",
           "~/items:3: column 1: expected ',' or '}', found the end");
    refuse("{\"1\": {\"title\": \"a\", \"title\": \"b\"}}", "~/items:1: key 'title' stands twice");
    refuse("{\"id\": 1, \"title\": \"a\"}\n{\"id\": [2]}\n", "~/items:2: 'id': expected text or a number");
    refuse("{\"id\": 1, \"title\": \"a\"}\n{\"title\": \"b\"}\n",
           "~/items:2: item id: expected an id, found nothing");
    refuse("{\"name\": 1, \"title\": \"a\"}\n", "~/items:1: cannot tell which key is the item's id: name it");
    refuse("[{\"id\": 1}, 2]", "~/items:1: expected an object in the array");
    refuse("hello\n", "~/items: cannot tell what item file this is by the first line 'hello': expected CSV "
                      "or TSV with a header, JSON, JSON lines, "
                      "RecBole .item, movies.dat or u.item");
}

static void forgives_equal_repeats_and_counted_bad_rows(void **state)
{
    (void)state;
    sg_import_spec s = kit_spec("s3rec", kit_file("events", "1 1 2 3\n2 2 3\n"),
                                kit_file("items", "id,title\n1,a\n1,a\n2,b,c\n3,c\n"));

    s.bad_rows_max = 1;
    kit_expect_spec(&s, USERS "title: [a] [] [c]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(reads_tsv_and_csv),     KIT_TEST(reads_movielens_films),
        KIT_TEST(reads_json_objects),    KIT_TEST(writes_nested_values_as_text),
        KIT_TEST(reads_amazon_metadata), KIT_TEST(shifts_ids_by_a_base),
        KIT_TEST(joins_several_files),   KIT_TEST(keeps_items_without_events_when_asked),
        KIT_TEST(picks_columns),         KIT_TEST(repairs_text_and_counts_it),
        KIT_TEST(refuses_damaged_files), KIT_TEST(forgives_equal_repeats_and_counted_bad_rows),
    };

    return cmocka_run_group_tests_name("import_items", tests, NULL, NULL);
}
