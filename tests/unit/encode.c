/* encode.c - IDs of new items: the codes the tokenizer gave, and places that are free in a catalogue that lives. */
#include "index/living.h"
#include "quantize/encode.h"
#include "quantize/tokenize.h"
#include "unit/vector_shop.h"

static void tokenize(const shop *s, const char *const *set, sg_ids *ids, sg_encoder **e)
{
    sg_tokenize_config c;
    json_t *report;
    char path[128];
    sg_error err;

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    for (; *set; set++)
        assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, *set, NULL),
                         SG_OK);
    if (sg_tokenize(s->data, &c, NULL, NULL, &report, &err) || sg_ids_open(ids, s->data, &err))
        fail_msg("%s", err.message);
    json_decref(report);
    snprintf(path, sizeof path, "%s/%s", s->data->dir, SG_DATASET_IDS);
    *e = NULL;
    if (sg_encoder_open(e, path, &err) && strcmp(c.method, "random") != 0)
        fail_msg("%s", err.message);
}

static void gives_the_codes_of_the_tokenizer(void **state)
{
    static const char *const sets[][9] = {
        {"method=rkmeans", "levels=3", "codes=8", NULL},
        {"method=rkmeans", "levels=2", "codes=30", "standardise=true", NULL},
        {"method=pq", "levels=4", "codes=20", NULL},
        {"method=opq", "levels=4", "codes=20", "rotations=5", "standardise=true", NULL},
        {"method=vqvae", "codes=24", "epochs=3", "batch=64", "hidden=24", "latent=8", NULL},
        {"method=rqvae", "simvq=true", "levels=2", "codes=12", "epochs=3", "batch=64", "hidden=24", NULL},
        {"method=rqvae", "levels=3", "codes=12", "epochs=5", "batch=64", "hidden=24,20", "latent=8", NULL},
    };
    const shop *s = *state;

    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        static int32_t codes[N * 8];
        sg_encoder *e;
        sg_ids ids;
        sg_error err;

        tokenize(s, sets[k], &ids, &e);
        assert_int_equal(sg_encoder_dim(e), DIM);
        assert_int_equal(sg_encoder_codes(e, codes, s->vectors, N, NULL, &err), SG_OK);
        for (int i = 0; i < N; i++)
            assert_memory_equal(codes + i * sg_encoder_levels(e), ids.codes + i * ids.levels,
                                (size_t)sg_encoder_levels(e) * sizeof *codes);
        sg_encoder_close(e);
        sg_ids_close(&ids);
    }
}

static void needs_codebooks(void **state)
{
    const shop *s = *state;
    char path[128];
    sg_encoder *e;
    sg_error err;
    sg_ids ids;

    tokenize(s, (const char *const[]){"method=random", NULL}, &ids, &e);
    snprintf(path, sizeof path, "%s/%s", s->data->dir, SG_DATASET_IDS);
    assert_int_equal(sg_encoder_open(&e, path, &err), SG_ERR_USAGE);
    assert_null(e);
    assert_non_null(strstr(err.message, "method 'random' keeps no codebooks: new items cannot be encoded"));
    sg_ids_close(&ids);
}

/* New items like old ones fill what is free behind their prefix, digit by digit and code by code, until nothing is. */
static void finds_a_free_place_for_every_new_item(void **state)
{
    static const char *const policies[] = {"collision=append", "collision=next"};
    const shop *s = *state;

    for (int k = 0; k < 2; k++) {
        const char *const set[] = {"levels=2", "codes=30", policies[k], NULL};
        int32_t codes[8], plain[8], n = N, moved = 0, fresh = 0;
        sg_catalogue *base;
        sg_living *w;
        sg_encoder *e;
        sg_ids ids;
        sg_error err;

        tokenize(s, set, &ids, &e);
        assert_int_equal(sg_catalogue_new(&base, ids.codes, ids.n, ids.levels, ids.size, &err), SG_OK);
        assert_int_equal(sg_living_new(&w, base, &err), SG_OK);
        for (int turn = 0; turn < 100000; turn++) {
            float x[DIM];

            for (int d = 0; d < DIM; d++)
                x[d] = s->vectors[7 * DIM + d] +
                       (float)(1e-3 * sg_rng_normal(9, SG_RNG_TEST, (uint64_t)turn, (uint64_t)d));
            assert_int_equal(sg_encoder_codes(e, plain, x, 1, NULL, &err), SG_OK);
            if (sg_encoder_place(e, codes, x, sg_living_draft(w), &err) != SG_OK)
                break;
            assert_int_equal(codes[0], plain[0]);
            moved += codes[1] != plain[1];
            if (moved == 0 &&
                ids.levels == 3) /* digits of its own code come in order, behind those that are taken */
                for (int32_t digit = 0, node = sg_catalogue_child(
                                            sg_living_draft(w), 1,
                                            sg_catalogue_child(sg_living_draft(w), 0, 0, codes[0]), codes[1]);
                     digit < codes[2]; digit++)
                    assert_true(sg_catalogue_child(sg_living_draft(w), 2, node, digit) >= 0);
            assert_int_equal(sg_living_put(w, n++, codes, &err), SG_OK); /* says no to codes that are taken */
            fresh++;
        }
        assert_int_equal(err.status, SG_ERR_USAGE);
        assert_string_equal(err.message, "no free ID is left behind the first 1 codes of the new item");
        assert_true(fresh > 0 && moved > 0);
        /* all of the prefix is taken: codes times digits */
        const int32_t node = sg_catalogue_child(sg_living_draft(w), 0, 0, plain[0]);
        int32_t first, last;

        sg_catalogue_span(sg_living_draft(w), 1, node, &first, &last);
        assert_int_equal(last - first, 30 * (ids.levels == 3 ? ids.size[2] : 1));
        sg_living_free(w);
        sg_catalogue_free(base);
        sg_encoder_close(e);
        sg_ids_close(&ids);
    }
}

/* A copy of every item: without spare digits those of the largest group go elsewhere, with one each has the codes of its twin. */
static void spare_digits_take_new_items(void **state)
{
    const shop *s = *state;

    for (int spare = 0; spare <= 1; spare++) {
        const char *const set[] = {"levels=2", "codes=8", spare ? "spare=99" : "spare=0", NULL};
        int32_t codes[8], elsewhere = 0;
        sg_catalogue *base;
        sg_living *w;
        sg_encoder *e;
        sg_ids ids;
        sg_error err;

        tokenize(s, set, &ids, &e);
        assert_int_equal(ids.levels, 3);
        assert_int_equal(sg_catalogue_new(&base, ids.codes, ids.n, ids.levels, ids.size, &err), SG_OK);
        assert_int_equal(sg_living_new(&w, base, &err), SG_OK);
        for (int i = 0; i < N; i++) {
            const sg_status st = sg_encoder_place(e, codes, s->vectors + i * DIM, sg_living_draft(w), &err);

            assert_true(!st || !spare);
            elsewhere += st || memcmp(codes, ids.codes + i * ids.levels, 2 * sizeof *codes) != 0;
            if (!st)
                assert_int_equal(sg_living_put(w, N + i, codes, &err), SG_OK);
        }
        assert_int_equal(elsewhere > 0, !spare);
        sg_living_free(w);
        sg_catalogue_free(base);
        sg_encoder_close(e);
        sg_ids_close(&ids);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_codes_of_the_tokenizer),
        cmocka_unit_test(needs_codebooks),
        cmocka_unit_test(finds_a_free_place_for_every_new_item),
        cmocka_unit_test(spare_digits_take_new_items),
    };

    return cmocka_run_group_tests(tests, open_shop, close_shop);
}
