/* refresh.c - IDs of a catalogue that has moved on. */
#include "quantize/refresh.h"
#include "unit/vector_shop.h"

static sg_ids make(sg_dataset *d, json_t **report, const char *refresh, const char *seed, const char *keep)
{
    const char *set[] = {"levels=3", "codes=12", seed, keep};
    sg_tokenize_config c;
    sg_error err;
    sg_ids ids = {0};

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, set[i], &err),
                         SG_OK);
    snprintf(c.refresh, sizeof c.refresh, "%s", refresh ? refresh : "");
    if (!refresh)
        c.keep = 0.1; /* the default: nothing else would read it */
    if (sg_tokenize(d, &c, NULL, NULL, report, &err) ||
        sg_ids_open(&ids, d, &err)) /* which checks that they are unique */
        fail_msg("%s", err.message);
    return ids;
}

/* Share of the items whose codes, and digit, are the same. */
static double alike(const sg_ids *a, const sg_ids *b)
{
    int same = 0;

    assert_int_equal(a->levels, b->levels);
    for (size_t i = 0; i < N; i++)
        same += memcmp(a->codes + i * (size_t)a->levels, b->codes + i * (size_t)b->levels,
                       (size_t)a->levels * sizeof *a->codes) == 0;
    return (double)same / N;
}

static double of(const json_t *report, const char *key)
{
    return json_number_value(json_object_get(json_object_get(report, "refresh"), key));
}

/* The same shop with every vector a little elsewhere. */
static sg_dataset *moved_shop(const shop *s, char dir[96], double by)
{
    float *x = sg_alloc_array(N * DIM, sizeof *x);
    sg_dataset *d;
    sg_error err;

    snprintf(dir, 96, "%s/moved", s->dir);
    write_shop(dir);
    assert_int_equal(sg_dataset_open(&d, dir, &err), SG_OK);
    for (size_t i = 0; i < N * DIM; i++)
        x[i] = s->vectors[i] + (float)(by * sg_rng_normal(9, SG_RNG_TEST, i, 0));
    assert_int_equal(sg_vectors_save(d, x, N, DIM, "test", NULL, &err), SG_OK);
    sg_free(x);
    return d;
}

static void a_catalogue_that_stands_still_keeps_its_ids(void **state)
{
    const shop *s = *state;
    char dir[96];
    json_t *report[2];
    sg_dataset *d = moved_shop(s, dir, 0);
    sg_ids was = make(s->data, &report[0], NULL, "seed=1", "keep=0.1"),
           now = make(d, &report[1], s->data->dir, "seed=2", "keep=0");

    assert_true(alike(&was, &now) == 1);
    assert_true(of(report[1], "kept") == 1 && of(report[1], "items") == N && of(report[1], "new") == 0 &&
                of(report[1], "gone") == 0);
    assert_null(json_object_get(report[0], "refresh"));
    for (int i = 0; i < 2; i++)
        json_decref(report[i]);
    sg_ids_close(&was);
    sg_ids_close(&now);
    sg_dataset_close(d);
}

static void one_that_moves_keeps_most_of_them(void **state)
{
    const shop *s = *state;
    char dir[96];
    json_t *report[4];
    sg_dataset *d = moved_shop(s, dir, 0.02);
    sg_ids was = make(s->data, &report[0], NULL, "seed=1", "keep=0.1"), ids;
    double kept[3], error[3];
    static const char *const keep[] = {"keep=0.1", "keep=0.3", "keep=0.3"};

    for (int i = 0; i < 3; i++) { /* at last without the old ones */
        ids = make(d, &report[1 + i], i < 2 ? s->data->dir : NULL, "seed=2", keep[i]);
        kept[i] = alike(&was, &ids);
        error[i] = json_number_value(json_object_get(report[1 + i], "reconstruction_error"));
        if (i < 2)
            assert_true(of(report[1 + i], "kept") == kept[i]);
        sg_ids_close(&ids);
    }
    assert_true(kept[0] > 0.7 && kept[1] >= kept[0]);
    assert_true(kept[2] < 0.1); /* other seeds, other numbers */
    assert_true(error[0] < 1.15 * error[2]);
    for (int i = 0; i < 4; i++)
        json_decref(report[i]);
    sg_ids_close(&was);
    sg_dataset_close(d);
}

static void digits_stay_with_those_who_have_them(void **state)
{
    (void)state;
    static const int32_t equal[] = {1, 1, 1, 0, 1, 0};
    static const int32_t wanted[] = {-1, 3, 0, -1, -1, 2}, expected[] = {1, 3, 0, 0, 2, 2};
    sg_codes c;
    sg_error err;

    assert_int_equal(sg_codes_init(&c, 6, 1, 2, &err), SG_OK);
    memcpy(c.codes, equal, sizeof equal);
    assert_int_equal(sg_collisions_keep(&c, wanted, 3, 0, &err), SG_OK);
    assert_int_equal(c.levels, 2);
    assert_int_equal(c.size[1], 4);
    for (int i = 0; i < 6; i++)
        assert_int_equal(c.codes[i * 2 + 1], expected[i]);
    sg_codes_fini(&c);
}

static void what_does_not_fit_is_told(void **state)
{
    const shop *s = *state;
    static const struct {
        const char *was[2], *now[3], *says;
    } cases[] = {
        {{"levels=3", "codes=12"},
         {"levels=2", "codes=12", "seed=1"},
         "expected 2 levels of 12 codes (options levels, codes), found 3 of 12"},
        {{"levels=4", "method=opq"},
         {"levels=4", "codes=256", "seed=1"},
         "expected IDs of rkmeans, found opq"},
        {{"levels=3", "standardise=true"},
         {"levels=3", "codes=256", "seed=1"},
         "expected IDs of vectors as they are, found standardised ones"},
        {{"levels=3", "codes=12"},
         {"levels=3", "codes=12", "method=pq"},
         "refresh: expected method=rkmeans, last=nearest, collision=append, not balanced, standardise or "
         "text_only_train"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_tokenize_config c;
        json_t *report;
        sg_error err;

        sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
        for (int k = 0; k < 2; k++)
            assert_int_equal(
                sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, cases[i].was[k], &err),
                SG_OK);
        assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &report, &err), SG_OK);
        json_decref(report);
        sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
        for (int k = 0; k < 3; k++)
            assert_int_equal(
                sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, cases[i].now[k], &err),
                SG_OK);
        snprintf(c.refresh, sizeof c.refresh, "%s", s->data->dir);
        assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
        assert_non_null(strstr(err.message, cases[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_catalogue_that_stands_still_keeps_its_ids, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(one_that_moves_keeps_most_of_them, open_shop, close_shop),
        cmocka_unit_test(digits_stay_with_those_who_have_them),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_told, open_shop, close_shop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
