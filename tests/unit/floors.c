/* floors.c - the counts behind pop, markov1, itemknn and star, on a shop small enough to count by hand. */
#include "shop.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Users and their training events (validation and test events follow): 0 1 2 | 0 1 1 | 2 0 | items 3, 4
 * are never trained. */
static const int32_t events[] = {0, 1, 2, 3, 4, 0, 1, 1, 2, 3, 2, 0, 4, 1};
static const int64_t offsets[] = {0, 5, 10, 14};

typedef struct hand {
    sg_dataset data;
    sg_split *split;
    sg_train_data train;
    sg_text_column column;
} hand;

static void hand_init(hand *h)
{
    static const char ids[] = "abcde", text[] = "red nailred filegreen filebluered";
    static const int64_t id_offsets[] = {0, 1, 2, 3, 4, 5}, text_offsets[] = {0, 8, 16, 26, 30, 33},
                         user_offsets[] = {0, 1, 2, 3};
    const sg_split_spec loo = {.kind = SG_SPLIT_LOO, .text = "loo"};

    *h = (hand){.data = {.dir = (char *)(uintptr_t) "/nowhere",
                         .name = (char *)(uintptr_t) "hand",
                         .n_users = 3,
                         .n_items = 5,
                         .n_events = 14,
                         .user_offsets = offsets,
                         .item = events,
                         .item_ids = {5, ids, id_offsets},
                         .user_ids = {3, ids, user_offsets}}};
    h->column = (sg_text_column){"title", {5, text, text_offsets}};
    h->data.columns = &h->column;
    h->data.n_columns = 1;
    assert_int_equal(sg_split_new(&h->split, &h->data, &loo, NULL), SG_OK);
    h->train = (sg_train_data){.data = &h->data, .split = h->split};
}

static void score_of(float *score, const hand *h, const char *name, const char *const *options,
                     const int32_t *history, int n)
{
    shop s = {.train = h->train};
    sg_model *m = shop_model(&s, name, options, NULL);
    sg_session *session;
    const int64_t o[] = {0, n};
    sg_error err;

    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    assert_int_equal(
        m->class->score(session, &(sg_histories){.n = 1, .offsets = o, .item = history}, score, &err), SG_OK);
    sg_session_free(session);
    sg_model_free(m);
}

static void assert_scores(const float *found, const double *expected)
{
    for (int i = 0; i < 5; i++)
        if (fabs((double)found[i] - expected[i]) > 1e-6)
            fail_msg("item %d: expected %g, found %g", i, expected[i], (double)found[i]);
}

static void pop_counts_training_events_or_all(void **state)
{
    (void)state;
    hand h;
    float score[5];

    hand_init(&h); /* trained: 0 three times, 1 three times, 2 twice */
    score_of(score, &h, "pop", NULL, NULL, 0);
    assert_scores(score, (const double[]){3 / 4.0, 3 / 4.0, 2 / 4.0, 0, 0});
    score_of(score, &h, "pop", (const char *const[]){"counts=all", NULL}, NULL, 0);
    assert_scores(score, (const double[]){3 / 5.0, 4 / 5.0, 3 / 5.0, 2 / 5.0, 2 / 5.0});
    sg_split_free(h.split);
}

static void markov1_counts_what_followed(void **state)
{
    (void)state;
    hand h;
    float score[5];

    hand_init(&h); /* 0 -> 1 twice; 1 -> 2, 1 -> 1 once; 2 -> 0 once */
    score_of(score, &h, "markov1", NULL, (const int32_t[]){2, 0}, 2);
    assert_scores(score, (const double[]){.75, 2 + .75, .5, 0, 0});
    score_of(score, &h, "markov1", NULL, (const int32_t[]){1}, 1);
    assert_scores(score, (const double[]){.75, 1 + .75, 1 + .5, 0, 0});
    score_of(score, &h, "markov1", NULL, NULL, 0); /* a new user: popularity */
    assert_scores(score, (const double[]){.75, .75, .5, 0, 0});
    sg_split_free(h.split);
}

static void itemknn_counts_pairs_in_a_window(void **state)
{
    (void)state;
    hand h;
    float score[5];

    hand_init(&h); /* pairs: 01 02 12 | 01 01 11 | 20; n = 3 3 2 */
    score_of(score, &h, "itemknn", NULL, (const int32_t[]){0}, 1);
    assert_scores(score, (const double[]){.75e-4, 3 / 3.0 + .75e-4, 2 / sqrt(6) + .5e-4, 0, 0});
    score_of(score, &h, "itemknn", NULL, (const int32_t[]){1}, 1);
    assert_scores(score, (const double[]){3 / 3.0 + .75e-4, 1 / 3.0 + .75e-4, 1 / sqrt(6) + .5e-4, 0, 0});
    score_of(score, &h, "itemknn", (const char *const[]){"window=1", "pop=0", NULL}, (const int32_t[]){0}, 1);
    assert_scores(score, (const double[]){0, 2 / 3.0, 1 / sqrt(6), 0, 0}); /* 01 01 20 */
    score_of(score, &h, "itemknn", (const char *const[]){"last=1", "pop=0", NULL}, (const int32_t[]){0, 1, 2},
             3);
    assert_scores(score, (const double[]){2 / sqrt(6), 1 / sqrt(6), 0, 0, 0});
    score_of(score, &h, "itemknn", (const char *const[]){"neighbours=1", "pop=0", NULL}, (const int32_t[]){2},
             1);
    assert_scores(score, (const double[]){2 / sqrt(6), 0, 0, 0, 0});
    sg_split_free(h.split);
}

static void star_weighs_text_and_co_occurrence(void **state)
{
    (void)state;
    hand h;
    float score[5];

    hand_init(&h);
    /* a=0, norm=activity: users have 3, 3, 2 events; C01 = 1/3 + 2 * 1/3, C02 = 1/3 + 1/2, C12 = 1/3 */
    score_of(score, &h, "star", (const char *const[]){"a=0", "pop=0", NULL}, (const int32_t[]){0}, 1);
    assert_scores(score, (const double[]){0, 1, 5 / 6.0, 0, 0});
    /* norm=cos: rows 0 = (1 1 1), 1 = (1 2 0), 2 = (1 0 1) */
    score_of(score, &h, "star", (const char *const[]){"a=0", "pop=0", "norm=cos", NULL}, (const int32_t[]){0},
             1);
    assert_scores(score, (const double[]){0, 3 / sqrt(3 * 5), 2 / sqrt(3 * 2), 0, 0});
    /* a=1: words red (3 items), file (2), nail, green, blue (1): only shared words say something */
    const double idf_red = 1 + log(6 / 4.0), idf_file = 1 + log(6 / 3.0), idf_one = 1 + log(6 / 2.0);
    const double nail = idf_red / sqrt(idf_red * idf_red + idf_one * idf_one);
    const double file = idf_red / sqrt(idf_red * idf_red + idf_file * idf_file);
    score_of(score, &h, "star", (const char *const[]){"a=1", "pop=0", "df_most=1", NULL},
             (const int32_t[]){0}, 1);
    assert_scores(score, (const double[]){0, nail * file, 0, 0, nail});
    /* the mean over the latest n, each earlier one times decay */
    score_of(score, &h, "star", (const char *const[]){"a=0", "pop=0", "n=2", "decay=0.5", NULL},
             (const int32_t[]){2, 1, 0}, 3);
    assert_scores(score, (const double[]){.5 * .5, .5 * 1, .5 * 5 / 6.0 + .25 / 3.0, 0, 0});
    /* counts=all: validation events 3, 2, 4 count, test events do not; users have 4, 4, 3 events */
    score_of(score, &h, "star", (const char *const[]){"a=0", "pop=0", "counts=all", NULL},
             (const int32_t[]){0}, 1);
    assert_scores(score,
                  (const double[]){0, 1 / 4.0 + 2 / 4.0, 1 / 4.0 + 1 / 4.0 + 1 / 3.0, 1 / 4.0, 1 / 3.0});
    sg_split_free(h.split);
}

static void star_reads_vectors(void **state)
{
    (void)state;
    hand h;
    const float v[] = {1, 0, 2, 0, 1, 1, -1, 0, 0, 0}; /* the same, 45 degrees, opposite, none */
    const sg_vectors vectors = {.n = 5, .dim = 2, .data = v};
    float score[5];

    hand_init(&h);
    h.train.vectors = &vectors;
    score_of(score, &h, "star", (const char *const[]){"a=1", "pop=0", "text=vectors", NULL},
             (const int32_t[]){0}, 1);
    assert_scores(score, (const double[]){0, 1, sqrt(.5), 0, 0});
    sg_split_free(h.split);
}

static void star_says_what_is_missing(void **state)
{
    (void)state;
    const sg_model_class *class = sg_model_class_find("star", NULL);
    hand h;
    sg_model *m;
    sg_error err;

    hand_init(&h);
    assert_int_equal(sg_model_new(&m, class, &err), SG_OK);
    assert_int_equal(sg_options_assign(m->config, class->options, class->n_options, "text=vectors", &err),
                     SG_OK);
    assert_int_equal(sg_model_build(m, &h.train, 1, &err), SG_OK);
    assert_int_equal(sg_model_fit(m, &h.train, NULL, NULL, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "star: text=vectors needs item vectors: run `sedge embed DATA` first");
    sg_model_free(m);
    sg_split_free(h.split);
}

/* Rows cut to their largest values are what is left of whole rows, for any number of threads. */
static void largest_neighbours_are_kept(void **state)
{
    (void)state;
    shop s;
    sg_pool *pool;
    sg_model *whole, *cut, *threads;
    const sg_model_array *value[3], *index[3], *begin[3];
    sg_error err;

    shop_init(&s, 400, 150, 1);
    assert_int_equal(sg_pool_new(&pool, 4, &err), SG_OK);
    whole = shop_model(&s, "star", (const char *const[]){"neighbours=0", NULL}, NULL);
    cut = shop_model(&s, "star", (const char *const[]){"neighbours=9", NULL}, NULL);
    threads = shop_model(&s, "star", (const char *const[]){"neighbours=9", NULL}, pool);
    const sg_model *m[] = {whole, cut, threads};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            sg_model_array_need(&begin[i], m[i], "near.offsets", SG_DT_I64, 1, (const int64_t[]){151}, &err),
            SG_OK);
        assert_int_equal(
            sg_model_array_need(&index[i], m[i], "near.index", SG_DT_I32, 1, (const int64_t[]){-1}, &err),
            SG_OK);
        assert_int_equal(
            sg_model_array_need(&value[i], m[i], "near.value", SG_DT_F32, 1, (const int64_t[]){-1}, &err),
            SG_OK);
    }
    assert_int_equal(index[1]->count, index[2]->count);
    assert_memory_equal(begin[1]->data, begin[2]->data, 151 * sizeof(int64_t));
    assert_memory_equal(index[1]->data, index[2]->data, index[1]->count * sizeof(int32_t));
    assert_memory_equal(value[1]->data, value[2]->data, index[1]->count * sizeof(float));
    for (int32_t i = 0; i < 150; i++) {
        const int64_t *w = (const int64_t *)begin[0]->data + i, *c = (const int64_t *)begin[1]->data + i;
        int64_t k = c[0];

        assert_int_equal(c[1] - c[0], w[1] - w[0] < 9 ? w[1] - w[0] : 9);
        for (int64_t e = w[0]; e < w[1];
             e++) { /* kept: fewer than 9 beat it, equal ones earlier in the row included */
            const float *v = value[0]->data;
            const int32_t *item = index[0]->data;
            int better = 0;

            assert_true(e == w[0] || item[e] > item[e - 1]);
            for (int64_t o = w[0]; o < w[1]; o++)
                better += v[o] > v[e] || (v[o] == v[e] && o < e);
            if (better < 9) {
                assert_int_equal(((const int32_t *)index[1]->data)[k], item[e]);
                assert_true(((const float *)value[1]->data)[k++] == v[e]);
            }
        }
        assert_int_equal(k, c[1]);
    }
    sg_model_free(whole);
    sg_model_free(cut);
    sg_model_free(threads);
    sg_pool_free(pool);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pop_counts_training_events_or_all),
        cmocka_unit_test(markov1_counts_what_followed),
        cmocka_unit_test(itemknn_counts_pairs_in_a_window),
        cmocka_unit_test(star_weighs_text_and_co_occurrence),
        cmocka_unit_test(star_reads_vectors),
        cmocka_unit_test(star_says_what_is_missing),
        cmocka_unit_test(largest_neighbours_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
