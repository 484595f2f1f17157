/* alit.c - IDs of several lengths: no ID is the beginning of another, files and living catalogues keep the ends, codes follow what
 * an item needs. */
#include "index/living.h"
#include "math/math.h"
#include "quantize/encode.h"
#include "quantize/tokenize.h"
#include "unit/vector_shop.h"

#include <math.h>

/* Two thirds of the items are a shelf and a board of it, nearly: two codes say all. The rest is noise of its own. */
static void mix_densities(shop *s)
{
    sg_error err;

    for (int i = 0; i < N; i++)
        for (int d = 0; d < DIM; d++) {
            const double shelf = 3 * sg_rng_normal(11, SG_RNG_TEST, (uint64_t)(i / 20), (uint64_t)d);
            const double board = sg_rng_normal(12, SG_RNG_TEST, (uint64_t)(i % 20), (uint64_t)d);
            const double own = sg_rng_normal(13, SG_RNG_TEST, (uint64_t)i, (uint64_t)d);

            s->vectors[i * DIM + d] = (float)(i % 3 ? shelf + board + 0.05 * own : shelf + 2 * own);
        }
    assert_int_equal(sg_vectors_save(s->data, s->vectors, N, DIM, "test", NULL, &err), SG_OK);
}

static json_t *tokenize(const shop *s, const char *const *set, sg_ids *ids, sg_pool *pool)
{
    sg_tokenize_config c;
    json_t *report;
    sg_error err;

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    for (; *set; set++)
        assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, *set, NULL),
                         SG_OK);
    if (sg_tokenize(s->data, &c, pool, NULL, &report, &err) || sg_ids_open(ids, s->data, &err))
        fail_msg("%s", err.message);
    return report;
}

/* Codes of an item before its end, or before the digit; `levels` without the digit. */
static int length_of(const sg_ids *ids, int32_t item, int levels)
{
    int n = 0;

    while (n < levels && (n == 0 || ids->codes[item * ids->levels + n] + 1 < ids->size[n]))
        n++;
    return n;
}

static void no_id_is_the_beginning_of_another(void **state)
{
    const shop *s = *state;
    int seen[8] = {0};
    sg_ids ids;
    json_t *report =
        tokenize(s, (const char *const[]){"method=alit", "codes=24", "cap=4", "tau=0.05", NULL}, &ids, NULL);
    const int levels = (int)json_array_size(json_object_get(report, "levels"));
    double mean = 0;

    assert_true(ids.ends && levels == 4 && ids.levels >= levels);
    for (int32_t i = 0; i < N; i++) {
        const int32_t *a = ids.codes + i * ids.levels;
        const int n = length_of(&ids, i, ids.levels);

        seen[length_of(&ids, i, levels)]++;
        mean += (double)length_of(&ids, i, levels) / N;
        for (int l = n; l < ids.levels; l++)
            assert_int_equal(a[l], ids.size[l] - 1); /* filled up with ends */
        for (int32_t j = 0; j < N; j++)
            assert_true(i == j || memcmp(a, ids.codes + j * ids.levels, (size_t)n * sizeof *a) != 0);
    }
    assert_true(seen[2] > 0 && seen[3] > 0 && seen[4] > 0);
    const json_t *lengths = json_object_get(report, "lengths");

    assert_float_equal(json_real_value(json_object_get(lengths, "mean")), mean, 1e-9);
    for (int l = 1; l <= levels; l++)
        assert_int_equal(json_integer_value(json_array_get(json_object_get(lengths, "items"), (size_t)l - 1)),
                         seen[l]);
    json_decref(report);
    sg_ids_close(&ids);
}

/* Decoded level by level: an item that ends has little left there, and one that goes on had too much left, or shared its codes. */
static void an_id_ends_where_the_rule_says(void **state)
{
    enum { LEVELS = 5 };
    const float tau = 0.1f;
    const shop *s = *state;
    const sg_file_tensor *book;
    sg_error err;
    sg_ids ids;
    json_t *report =
        tokenize(s, (const char *const[]){"method=alit", "codes=16", "cap=5", "tau=0.1", NULL}, &ids, NULL);
    double lost = 0, mean[DIM] = {0}, total = 0;

    assert_int_equal(
        sg_tensors_need(&book, ids.file, "codebooks", SG_DT_F32, 3, (int64_t[]){LEVELS, 16, DIM}, &err),
        SG_OK);
    for (int i = 0; i < N; i++)
        for (int d = 0; d < DIM; d++)
            mean[d] += (double)s->vectors[i * DIM + d] / N;
    for (int32_t i = 0; i < N; i++) {
        const int32_t *a = ids.codes + i * ids.levels;
        const int n = length_of(&ids, i, LEVELS);
        float left[DIM];
        double whole = 0;

        memcpy(left, s->vectors + i * DIM, sizeof left);
        for (int d = 0; d < DIM; d++) {
            whole += (double)left[d] * (double)left[d];
            total += ((double)left[d] - mean[d]) * ((double)left[d] - mean[d]);
        }
        for (int l = 1; l <= n; l++) {
            double rest = 0;
            bool shared = false;

            for (int d = 0; d < DIM; d++) {
                left[d] -= ((const float *)book->data)[((l - 1) * 16 + a[l - 1]) * DIM + d];
                rest += (double)left[d] * (double)left[d];
            }
            for (int32_t j = 0; j < N && !shared; j++)
                shared = i != j && memcmp(a, ids.codes + j * ids.levels, (size_t)l * sizeof *a) == 0;
            if (fabs(rest - (double)tau * whole) > 1e-4 * whole) /* rounding may decide otherwise */
                assert_int_equal(l == n && n < LEVELS, l < LEVELS && !shared && rest < (double)tau * whole);
            lost += l == n ? rest : 0;
        }
    }
    assert_float_equal(json_real_value(json_object_get(report, "reconstruction_error")), lost / total, 1e-4);
    json_decref(report);
    sg_ids_close(&ids);
}

static void needs_fewer_codes_where_items_differ_in_what_they_need(void **state)
{
    const shop *s = *state;
    sg_ids ids;
    json_t *fixed =
        tokenize(s, (const char *const[]){"method=rkmeans", "codes=40", "levels=4", NULL}, &ids, NULL);

    sg_ids_close(&ids);
    json_t *alit =
        tokenize(s, (const char *const[]){"method=alit", "codes=40", "tau=0.05", NULL}, &ids, NULL);
    const double mean = json_real_value(json_object_get(json_object_get(alit, "lengths"), "mean"));
    const double error[2] = {json_real_value(json_object_get(fixed, "reconstruction_error")),
                             json_real_value(json_object_get(alit, "reconstruction_error"))};

    print_message("fixed: 4 codes, error %.4f; alit: %.2f codes, error %.4f\n", error[0], mean, error[1]);
    assert_true(error[1] <= error[0]);
    assert_true(mean <= 0.8 * 4);
    json_decref(fixed);
    json_decref(alit);
    sg_ids_close(&ids);
}

static void same_bytes_on_any_threads_and_from_those_that_teach(void **state)
{
    static const char *const sets[][6] = {{"method=alit", "codes=16", "cap=4", NULL},
                                          {"method=alit", "codes=16", "cap=4", "text_only_train=true", NULL}};
    const shop *s = *state;
    sg_pool *pool;
    sg_error err;

    assert_int_equal(sg_pool_new(&pool, 3, &err), SG_OK);
    for (int k = 0; k < 2; k++) {
        static int32_t codes[2][N * 8];
        int levels = 0;

        for (int i = 0; i < 2; i++) {
            sg_ids ids;

            json_decref(tokenize(s, sets[k], &ids, i ? pool : NULL));
            levels = ids.levels;
            memcpy(codes[i], ids.codes, (size_t)N * (size_t)levels * sizeof(int32_t));
            sg_ids_close(&ids);
        }
        assert_memory_equal(codes[0], codes[1], (size_t)N * (size_t)levels * sizeof(int32_t));
    }
    sg_pool_free(pool);
}

static sg_catalogue *catalogue_of(const sg_ids *ids)
{
    sg_catalogue *c;
    sg_error err;

    assert_int_equal(sg_catalogue_new(&c, ids->codes, ids->n, ids->levels, ids->size, &err), SG_OK);
    assert_int_equal(sg_catalogue_let_end(c, &err), SG_OK);
    return c;
}

/* Items taken out of a living catalogue get their IDs back from the frozen codebooks, or one that ends as early; new ones get IDs that
 * are free, until none is, and none ends where another goes on. */
static void new_items_get_ids_that_end(void **state)
{
    const shop *s = *state;
    char path[128];
    int32_t codes[SG_LEVELS_MAX], n = N, fresh = 0, same = 0, lengths[8] = {0};
    sg_catalogue *base;
    sg_living *w;
    sg_encoder *e;
    sg_error err;
    sg_ids ids;

    json_decref(
        tokenize(s, (const char *const[]){"method=alit", "codes=8", "cap=3", "tau=0.3", NULL}, &ids, NULL));
    snprintf(path, sizeof path, "%s/%s", s->data->dir, SG_DATASET_IDS);
    assert_int_equal(sg_encoder_open(&e, path, &err), SG_OK);
    base = catalogue_of(&ids);
    assert_int_equal(sg_living_new(&w, base, &err), SG_OK);
    for (int32_t i = 0; i < N; i += 7) {
        assert_int_equal(sg_living_drop(w, i, &err), SG_OK);
        if (sg_encoder_place(e, codes, s->vectors + i * DIM, sg_living_draft(w), &err) ||
            sg_living_put(w, i, codes, &err))
            fail_msg("%s", err.message);
        same += memcmp(codes, ids.codes + i * ids.levels, (size_t)ids.levels * sizeof *codes) == 0;
    }
    assert_true(same > 0.9 * N / 7); /* else a digit or an end that was free when the others came */
    for (int turn = 0; turn < 100000; turn++) {
        float x[DIM];

        for (int d = 0; d < DIM; d++)
            x[d] = s->vectors[turn % 3 * DIM + d] +
                   (float)(0.3 * sg_rng_normal(9, SG_RNG_TEST, (uint64_t)turn, (uint64_t)d));
        if (sg_encoder_place(e, codes, x, sg_living_draft(w), &err) != SG_OK)
            break;
        if (sg_living_put(w, n++, codes, &err))
            fail_msg("%s", err.message);
        lengths[sg_catalogue_length(sg_living_draft(w), codes)]++;
        fresh++;
    }
    assert_int_equal(err.status, SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "no free ID is left behind the first 2 codes of the new item"));
    assert_true(fresh > 50 && lengths[3] > 0);
    sg_living_free(w);
    sg_catalogue_free(base);
    sg_encoder_close(e);
    sg_ids_close(&ids);
}

static void catalogues_keep_the_ends_and_say_what_cannot_be(void **state)
{
    const int32_t good[] = {0, 4, 4, 1, 2, 4, 1, 2, 3, 1, 4, 4}, bad[] = {0, 4, 4, 1, 4, 2},
                  size[] = {2, 5, 5};
    const shop *s = *state;
    sg_buf file = {0};
    sg_catalogue *c, *again;
    sg_living *w;
    char path[128];
    sg_error err;

    assert_int_equal(sg_catalogue_new(&c, bad, 2, 3, size, &err), SG_OK);
    assert_false(sg_catalogue_ends(c));
    assert_int_equal(sg_catalogue_let_end(c, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: level 3: expected the end of the ID alone after its end");
    sg_catalogue_free(c);

    assert_int_equal(sg_catalogue_new(&c, good, 4, 3, size, &err), SG_OK);
    assert_int_equal(sg_catalogue_let_end(c, &err), SG_OK);
    snprintf(path, sizeof path, "%s/catalogue.bin", s->dir);
    assert_int_equal(sg_catalogue_save(c, path, &err), SG_OK);
    assert_int_equal(sg_catalogue_open(&again, path, &err), SG_OK);
    assert_true(sg_catalogue_ends(again) && sg_catalogue_length(again, good) == 1 &&
                sg_catalogue_length(again, good + 6) == 3);
    assert_false(sg_catalogue_ended(again, 1, 1)); /* a first code is never the end */
    sg_catalogue_free(again);

    assert_int_equal(sg_living_new(&w, c, &err), SG_OK);
    assert_true(sg_catalogue_ends(sg_living_draft(w)));
    assert_int_equal(sg_living_put(w, 4, (int32_t[]){0, 4, 1}, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "catalogue: item 4, level 3: expected the end of the ID after its end, found 1");
    assert_int_equal(sg_living_put(w, 4, (int32_t[]){0, 2, 4}, &err), SG_OK);
    sg_living_free(w);

    /* every bit of a file that says so */
    assert_int_equal(sg_file_read(&file, path, 1 << 20, &err), SG_OK);
    for (size_t i = 0; i < 8 * file.size; i++) {
        file.data[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(sg_catalogue_parse(&again, (sg_bytes){file.data, file.size}, "f", &err),
                         SG_ERR_FORMAT);
        file.data[i / 8] ^= (char)(1 << i % 8);
    }
    sg_buf_free(&file);
    sg_catalogue_free(c);
}

static void says_what_is_wrong(void **state)
{
    const shop *s = *state;
    sg_tokenize_config c;
    json_t *report;
    sg_error err;

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, "method=alit", NULL),
                     SG_OK);
    c.codes = 65536;
    assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "alit: expected at most 65535 codes, so that one is left for the end, found 65536");
}

static void every_failed_allocation_is_clean(void **state)
{
    const shop *s = *state;
    sg_tokenize_config c;
    sg_status st = SG_ERR_MEMORY;
    json_t *report;
    sg_error err;

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    for (const char *const *set = (const char *const[]){"method=alit", "codes=6", "cap=3", "iterations=2",
                                                        "text_only_train=true", NULL};
         *set; set++)
        assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, *set, NULL),
                         SG_OK);
    for (uint64_t n = 1; st != SG_OK; n++) {
        sg_alloc_fail_at(n);
        st = sg_tokenize(s->data, &c, NULL, NULL, &report, &err);
        sg_alloc_fail_at(0);
        assert_true(st == SG_OK || st == SG_ERR_MEMORY);
        json_decref(report);
    }
}

static int open_mixed_shop(void **state)
{
    open_shop(state);
    mix_densities(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_id_is_the_beginning_of_another),
        cmocka_unit_test(an_id_ends_where_the_rule_says),
        cmocka_unit_test(needs_fewer_codes_where_items_differ_in_what_they_need),
        cmocka_unit_test(same_bytes_on_any_threads_and_from_those_that_teach),
        cmocka_unit_test(new_items_get_ids_that_end),
        cmocka_unit_test(catalogues_keep_the_ends_and_say_what_cannot_be),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };

    return cmocka_run_group_tests(tests, open_mixed_shop, close_shop);
}
