/* import_real.c - public logs as they are distributed: users, items, events and texts as counted by others.
 * Skipped where the files are not at hand ($SEDGE_DATA). */
#include "import_kit.h"

static const char *data_path(const char *name)
{
    static char path[4][512];
    static int turn;
    const char *root = getenv("SEDGE_DATA") ? getenv("SEDGE_DATA") : TEST_SOURCE_DIR "/../shared/data";

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static void need_file(const char *name)
{
    if (!sg_file_exists(data_path(name))) {
        print_message("skipped: %s is not at hand\n", data_path(name));
        skip();
    }
}

static sg_dataset *import_real(const char *events, const char *items, int64_t base)
{
    sg_import_spec s = kit_spec(NULL, data_path(events), items ? data_path(items) : NULL);
    sg_dataset *d = NULL;
    sg_error err;

    s.item_id_base = base;
    if (sg_import(kit_path("out"), &s, NULL, NULL, &err) || sg_dataset_open(&d, kit_path("out"), &err))
        fail_msg("%s", err.message);
    return d;
}

static void expect_counts(const sg_dataset *d, int32_t users, int32_t items, int64_t events)
{
    assert_int_equal(d->n_users, users);
    assert_int_equal(d->n_items, items);
    assert_int_equal(d->n_events, events);
}

static void expect_text(sg_dataset *d, const char *column, const char *id, const char *text)
{
    const sg_text_column *c = sg_dataset_column(d, column);
    const int32_t item = sg_dataset_item(d, (sg_bytes){id, strlen(id)});

    assert_non_null(c);
    assert_true(item >= 0);
    const sg_bytes found = sg_strings_at(&c->text, (size_t)item);
    assert_int_equal(found.size, strlen(text));
    assert_memory_equal(found.data, text, found.size);
}

static int filled(const sg_dataset *d, const char *column)
{
    const sg_text_column *c = sg_dataset_column(d, column);
    int n = 0;

    for (int32_t i = 0; i < d->n_items; i++)
        n += sg_strings_at(&c->text, (size_t)i).size > 0;
    return n;
}

static void amazon_2014_beauty(void **state)
{
    (void)state;
    need_file("amazon14/Beauty.txt.zst");
    sg_dataset *d = import_real("amazon14/Beauty.txt.zst", "amazon14/Beauty.items.tsv.zst", 0);

    expect_counts(d, 22363, 12101, 198502);
    for (int32_t i = 0; i < 5; i++) /* "1 1 2 3 4 5" */
        assert_int_equal(d->item[i], i);
    expect_text(d, "title", "1", "OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid Ounce");
    expect_text(d, "categories", "2", "Beauty > Makeup > Nails > Nail Polish");
    expect_text(d, "brand_attr_id", "3", "328");
    assert_int_equal(filled(d, "title"), 12101);
    assert_int_equal(filled(d, "categories"), 12101);
    sg_dataset_close(d);
}

static void movielens_1m(void **state)
{
    (void)state;
    need_file("movielens-1m/ml-1m.sequences.txt.zst");
    sg_dataset *d = import_real("movielens-1m/ml-1m.sequences.txt.zst", "movielens-1m/movies.dat.zst", 0);

    expect_counts(d, 6040, 3706, 1000209);
    expect_text(d, "title", "1", "Toy Story (1995)");
    expect_text(d, "genres", "1", "Animation|Children's|Comedy");
    expect_text(d, "title", "73", "Mis\xc3\xa9rables, Les (1995)"); /* Latin-1 in the file */
    assert_int_equal(d->item[0], sg_dataset_item(d, (sg_bytes){"3186", 4}));
    sg_dataset_close(d);
}

static void last_fm_and_yelp(void **state)
{
    (void)state;
    need_file("yelp-lastfm-s3rec/LastFM.txt.zst");
    sg_dataset *d = import_real("yelp-lastfm-s3rec/LastFM.txt.zst",
                                "yelp-lastfm-s3rec/LastFM_item2attributes.json.zst", 0);

    expect_counts(d, 1090, 3646, 52551);
    sg_dataset_close(d);
    d = import_real("yelp-lastfm-s3rec/Yelp.txt.zst", "yelp-lastfm-s3rec/Yelp.item.json.zst", 1);
    expect_counts(d, 30431, 20033, 316354);
    expect_text(d, "title", "1", "The Great Greek");
    assert_int_equal(filled(d, "title"), 20033);
    sg_dataset_close(d);
}

static void amazon_2018_scientific(void **state)
{
    (void)state;
    need_file("amazon18-scientific/Scientific.inter.json.zst");
    sg_dataset *d = import_real("amazon18-scientific/Scientific.inter.json.zst",
                                "amazon18-scientific/Scientific.item.json.zst", 0);

    expect_counts(d, 8317, 4344, 58492);
    expect_text(d, "brand", "0", "Sealed Unit Parts Co., Inc.");
    assert_int_equal(filled(d, "title"), 4344);
    assert_int_equal(filled(d, "description"), 4221);
    assert_int_equal(filled(d, "brand"), 4332);
    assert_int_equal(filled(d, "categories"), 4213);
    sg_dataset_close(d);
}

static void amazon_2018_reviews(void **state)
{
    (void)state;
    need_file("amazon18-all-beauty-reviews/All_Beauty_5.json.gz");
    sg_dataset *d = import_real("amazon18-all-beauty-reviews/All_Beauty_5.json.gz", NULL, 0);

    expect_counts(d, 991, 85, 5269);
    assert_non_null(d->timestamp);
    sg_dataset_close(d);

    sg_import_spec s =
        kit_spec("amazon", data_path("amazon18-all-beauty-reviews/All_Beauty_5.json.gz"), NULL);
    json_t *report = NULL;
    s.dedup = true;
    assert_int_equal(sg_import(kit_path("out"), &s, NULL, &report, NULL), SG_OK);
    assert_int_equal(json_integer_value(json_object_get(report, "events")), 4092); /* distinct pairs */
    json_decref(report);
}

static void pairs_of_sasrec_and_bert4rec(void **state)
{
    (void)state;
    need_file("sasrec-video-games/Video.txt.zst");
    sg_dataset *d = import_real("sasrec-video-games/Video.txt.zst", NULL, 0);

    expect_counts(d, 31013, 23715, 287107);
    sg_dataset_close(d);
    d = import_real("bert4rec-beauty/beauty.txt.zst", NULL, 0);
    expect_counts(d, 40226, 54542, 353962);
    sg_dataset_close(d);
}

typedef struct rating {
    int user, item, stars, row;
    long long time;
} rating;

static int by_user_time_row(const void *a, const void *b)
{
    const rating *x = a, *y = b;

    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

/* The whole of it against a plain reading and sorting of the same file; and the RecBole form holds the same
 * events. */
static void movielens_100k(void **state)
{
    (void)state;
    enum { N = 100000 };
    need_file("movielens-100k/u.data.zst");
    sg_dataset *d = import_real("movielens-100k/u.data.zst", NULL, 0);
    rating *r = calloc(N, sizeof *r);
    sg_buf text = {0};

    expect_counts(d, 943, 1682, N);
    assert_int_equal(sg_file_read_any(&text, data_path("movielens-100k/u.data.zst"), 1 << 28, NULL), SG_OK);
    const char *p = text.data;
    for (int i = 0, used; i < N; i++, p += used) {
        assert_int_equal(sscanf(p, "%d %d %d %lld%n", &r[i].user, &r[i].item, &r[i].stars, &r[i].time, &used),
                         4);
        r[i].row = i;
    }
    qsort(r, N, sizeof *r, by_user_time_row);
    for (int i = 0; i < N; i++) { /* ids run from 1 without a gap */
        assert_int_equal(d->item[i], r[i].item - 1);
        assert_true(d->timestamp[i] == r[i].time && d->rating[i] == (float)r[i].stars);
        assert_true(d->user_offsets[r[i].user - 1] <= i && i < d->user_offsets[r[i].user]);
    }
    sg_dataset_close(d);

    d = import_real("movielens-100k/ml-100k.inter.zst", "movielens-100k/ml-100k.item.zst", 0);
    expect_counts(d, 943, 1682, N);
    expect_text(d, "movie_title", "1", "Toy Story");
    for (int i = 0; i < N;) {
        char id[16];
        const int n = snprintf(id, sizeof id, "%d", r[i].user), user = r[i].user;
        const int32_t u = sg_dataset_user(d, (sg_bytes){id, (size_t)n});

        assert_true(u >= 0);
        for (int64_t e = d->user_offsets[u]; i < N && r[i].user == user; i++, e++) {
            const sg_bytes item = sg_strings_at(&d->item_ids, (size_t)d->item[e]);
            char expected[16];

            assert_true(e < d->user_offsets[u + 1]);
            assert_int_equal(item.size, snprintf(expected, sizeof expected, "%d", r[i].item));
            assert_memory_equal(item.data, expected, item.size);
        }
    }
    sg_dataset_close(d);
    sg_buf_free(&text);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(amazon_2014_beauty),
        KIT_TEST(movielens_100k),
        KIT_TEST(movielens_1m),
        KIT_TEST(last_fm_and_yelp),
        KIT_TEST(amazon_2018_scientific),
        KIT_TEST(amazon_2018_reviews),
        KIT_TEST(pairs_of_sasrec_and_bert4rec),
    };

    return cmocka_run_group_tests_name("import_real", tests, NULL, NULL);
}
