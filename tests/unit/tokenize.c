/* tokenize.c, rkmeans.c, rqvae.c - from vectors to unique codes. */
#include "quantize/quantize.h"
#include "unit/vector_shop.h"

#include <math.h>

static sg_tokenize_config config(const char *first, ...)
{
    sg_tokenize_config c;
    va_list args;

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    va_start(args, first);
    for (const char *s = first; s; s = va_arg(args, const char *))
        assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, s, NULL), SG_OK);
    va_end(args);
    return c;
}

static double level_number(const json_t *report, size_t level, const char *key)
{
    return json_number_value(json_object_get(json_array_get(json_object_get(report, "levels"), level), key));
}

static double clash_number(const json_t *report, const char *key)
{
    return json_number_value(json_object_get(json_object_get(report, "collisions"), key));
}

static json_t *tokenize(const shop *s, const sg_tokenize_config *c, sg_pool *pool, sg_ids *ids)
{
    json_t *report;
    sg_error err = {0};

    if (sg_tokenize(s->data, c, pool, NULL, &report, &err))
        fail_msg("%s", err.message);
    if (sg_ids_open(ids, s->data, &err)) /* checks that tuples are unique and codes in range */
        fail_msg("%s", err.message);
    return report;
}

static void residual_kmeans_follows_the_shop(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config c = config("levels=2", "codes=6", "restarts=5", NULL);
    sg_ids ids;
    json_t *report = tokenize(s, &c, NULL, &ids);
    const double e1 = level_number(report, 0, "error"), e2 = level_number(report, 1, "error");

    assert_int_equal(ids.levels, 3);
    for (int i = 6; i < N; i++) /* the first code is the shelf */
        assert_int_equal(ids.codes[i * 3], ids.codes[(6 + i % 6) * 3]);
    assert_true(level_number(report, 0, "used") == 6 && level_number(report, 0, "perplexity") > 5.9);
    assert_true(e1 > 0.05 && e1 < 0.3 && e2 < e1);
    assert_true(json_number_value(json_object_get(report, "reconstruction_error")) == e2);
    assert_int_equal(json_integer_value(json_object_get(report, "equal_vectors")), 2);
    assert_int_equal(ids.size[2], (int)clash_number(report, "digit_codes"));
    assert_int_equal(ids.size[2], (int)clash_number(report, "largest"));
    json_decref(report);
    sg_ids_close(&ids);
}

/* Sums of centres get back the codes they were made of, and the report's error is that of the sums. */
static void codebooks_are_kept_and_decode(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config c = config("levels=3", "codes=8", "standardise=true", NULL);
    sg_ids ids;
    sg_error err;
    const sg_file_tensor *book, *shift, *scale;
    json_t *report = tokenize(s, &c, NULL, &ids);
    double left = 0, all = 0;

    assert_int_equal(
        sg_tensors_need(&book, ids.file, "codebooks", SG_DT_F32, 3, (int64_t[]){3, 8, DIM}, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&shift, ids.file, "shift", SG_DT_F32, 1, (int64_t[]){DIM}, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&scale, ids.file, "scale", SG_DT_F32, 1, (int64_t[]){DIM}, &err), SG_OK);
    for (int i = 0; i < N; i++)
        for (int d = 0; d < DIM; d++) {
            double y = ((double)s->vectors[i * DIM + d] - (double)((const float *)shift->data)[d]) *
                       (double)((const float *)scale->data)[d];

            all += y * y;
            for (int l = 0; l < 3; l++)
                y -= (double)((const float *)book->data)[(l * 8 + ids.codes[i * ids.levels + l]) * DIM + d];
            left += y * y;
        }
    assert_true(fabs(all / (N * DIM) - 1) < 1e-4); /* variance 1 */
    assert_true(fabs(left / all - level_number(report, 2, "error")) < 1e-5);
    json_decref(report);
    sg_ids_close(&ids);
}

static void same_seed_same_bytes_on_any_threads(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config sets[] = {config("levels=2", "codes=12", NULL),
                                       config("method=random", "levels=2", "codes=12", NULL),
                                       config("method=rqvae", "levels=2", "codes=12", "epochs=3", "batch=64",
                                              "hidden=24", "latent=8", NULL)};
    sg_error err;

    for (int m = 0; m < 3; m++) {
        const sg_tokenize_config c = sets[m];
        sg_buf first = {0};

        for (int threads = 0; threads <= 4; threads = threads ? 2 * threads : 1) {
            sg_pool *pool = NULL;
            sg_buf now = {0};
            sg_ids ids;

            if (threads)
                assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
            json_decref(tokenize(s, &c, pool, &ids));
            if (!first.data)
                for (int i = 0; i < N * ids.levels; i++)
                    sg_buf_printf(&first, "%d ", (int)ids.codes[i]);
            for (int i = 0; i < N * ids.levels; i++)
                sg_buf_printf(&now, "%d ", (int)ids.codes[i]);
            assert_string_equal(now.data, first.data);
            sg_ids_close(&ids);
            sg_buf_free(&now);
            sg_pool_free(pool);
        }
        sg_buf_free(&first);
    }
}

static void only_training_items_teach(void **state)
{
    shop *s = *state;
    const sg_tokenize_config c = config("levels=1", "codes=6", "text_only_train=true", NULL);
    sg_ids before, after;
    sg_error err;
    const sg_file_tensor *a, *b;

    json_decref(tokenize(s, &c, NULL, &before));
    for (int i = 200 * DIM; i < N * DIM; i++) /* the others move far away: the codebook does not notice */
        s->vectors[i] += 100;
    assert_int_equal(sg_vectors_save(s->data, s->vectors, N, DIM, "test", NULL, &err), SG_OK);
    json_decref(tokenize(s, &c, NULL, &after));
    a = sg_tensors_find(before.file, "codebooks");
    b = sg_tensors_find(after.file, "codebooks");
    assert_memory_equal(a->data, b->data, a->bytes);
    sg_ids_close(&before);
    sg_ids_close(&after);
}

/* ---- RQ-VAE --------------------------------------------------------------------------------------------------- */

static void rqvae_learns_to_reconstruct(void **state)
{
    const shop *s = *state;
    const char *const books[] = {"codebook=ema", "codebook=grad"};

    for (int b = 0; b < 2; b++) {
        const sg_tokenize_config c = config("method=rqvae", "levels=2", "codes=12", "epochs=60", "batch=100",
                                            "hidden=32,16", "latent=8", "lr=0.003", books[b], NULL);
        sg_ids ids;
        json_t *report = tokenize(s, &c, NULL, &ids);
        const double lost = json_number_value(json_object_get(report, "reconstruction_error"));

        assert_true(lost < 0.35);
        assert_true(level_number(report, 0, "used") >= 10 && level_number(report, 1, "used") >= 10);
        assert_true(level_number(report, 1, "error") < level_number(report, 0, "error"));
        assert_non_null(sg_tensors_find(ids.file, "encoder.0.weight"));
        assert_non_null(sg_tensors_find(ids.file, "decoder.2.bias"));
        assert_null(sg_tensors_find(ids.file, "codebook.0"));
        json_decref(report);
        sg_ids_close(&ids);
    }
}

/* Started at random and never restarted, few codes win; k-means start and restart keep them alive. */
static void without_start_and_restart_codes_die(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config bad =
        config("method=rqvae", "levels=1", "codes=48", "epochs=30", "batch=100", "hidden=32", "latent=8",
               "kmeans_init=false", "restart_dead=false", NULL);
    const sg_tokenize_config restart =
        config("method=rqvae", "levels=1", "codes=48", "epochs=30", "batch=100", "hidden=32", "latent=8",
               "kmeans_init=false", NULL);
    const sg_tokenize_config good = config("method=rqvae", "levels=1", "codes=48", "epochs=30", "batch=100",
                                           "hidden=32", "latent=8", NULL);
    sg_ids ids;
    json_t *report = tokenize(s, &bad, NULL, &ids);

    assert_true(level_number(report, 0, "usage") < 0.6);
    assert_true(json_array_size(json_object_get(report, "advice")) > 0);
    json_decref(report);
    sg_ids_close(&ids);
    report = tokenize(s, &restart, NULL, &ids);
    assert_true(level_number(report, 0, "usage") >= 0.8);
    json_decref(report);
    sg_ids_close(&ids);
    report = tokenize(s, &good, NULL, &ids);
    assert_true(level_number(report, 0, "usage") >= 0.9);
    json_decref(report);
    sg_ids_close(&ids);
}

/* The last batch of an epoch may hold one item: codes are put on different items all the same. */
static void restart_needs_no_even_batches(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config c = config("method=rqvae", "levels=2", "codes=48", "epochs=60", "batch=599",
                                        "hidden=32", "latent=8", "kmeans_init=false", NULL);
    sg_ids ids;
    json_t *report = tokenize(s, &c, NULL, &ids);

    for (size_t l = 0; l < 2; l++)
        assert_true(level_number(report, l, "usage") >= 0.8);
    json_decref(report);
    sg_ids_close(&ids);
}

typedef struct heard {
    char last[256];
    int messages, ticks, stop_after;
} heard;

static int hear(void *user, const sg_progress_event *e)
{
    heard *h = user;

    assert_string_equal(e->stage, "tokenize");
    if (e->message) {
        h->messages++;
        snprintf(h->last, sizeof h->last, "%s", e->note);
    } else {
        h->ticks++;
    }
    return h->stop_after && h->ticks >= h->stop_after;
}

static void training_is_live_and_can_be_stopped(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config c = config("method=rqvae", "levels=2", "codes=12", "epochs=6", "batch=100",
                                        "hidden=16", "latent=4", NULL);
    heard h = {0};
    sg_progress progress = {hear, &h};
    json_t *report;
    sg_error err;

    assert_int_equal(sg_tokenize(s->data, &c, NULL, &progress, &report, &err), SG_OK);
    json_decref(report);
    assert_true(h.ticks == 6 && h.messages == 6);
    assert_memory_equal(h.last, "epoch 6: loss ", 14);
    assert_non_null(strstr(h.last, " of 12 codes used, perplexity "));
    h.stop_after = 8;
    assert_int_equal(sg_tokenize(s->data, &c, NULL, &progress, &report, &err), SG_ERR_CANCEL);
    assert_null(report);
}

static void says_what_is_wrong(void **state)
{
    const shop *s = *state;
    const struct {
        const char *option, *message;
    } cases[] = {
        {"hidden=12,x", "hidden: expected at most 8 widths like 512,256,128, found '12,x'"},
        {"hidden=12,", "hidden: expected at most 8 widths like 512,256,128, found '12,'"},
        {"hidden=1,2,3,4,5,6,7,8,9",
         "hidden: expected at most 8 widths like 512,256,128, found '1,2,3,4,5,6,7,8,9'"},
    };
    json_t *report;
    sg_error err;
    char path[128];

    for (int i = 0; i < 3; i++) {
        const sg_tokenize_config c = config("method=rqvae", cases[i].option, NULL);

        assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, cases[i].message);
    }
    snprintf(path, sizeof path, "%s/data/vectors.safetensors", s->dir);
    remove(path);
    const sg_tokenize_config c = config(NULL);
    assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &report, &err), SG_ERR_MISSING);
}

static void every_failed_allocation_is_clean(void **state)
{
    const shop *s = *state;
    const sg_tokenize_config sets[] = {
        config("levels=2", "codes=6", "iterations=2", "collision=next", "text_only_train=true", NULL),
        config("levels=2", "codes=6", "iterations=2", "last=sinkhorn", "epsilon=0.1", "text_only_train=true",
               NULL),
        config("method=rqvae", "levels=2", "codes=6", "iterations=2", "epochs=1", "batch=600", "hidden=8",
               "latent=4", "collision=next", "text_only_train=true", NULL)};

    for (int m = 0; m < 3; m++) {
        const sg_tokenize_config c = sets[m];
        const int64_t live = sg_alloc_live();

        for (uint64_t n = 1;; n++) {
            json_t *report;
            sg_error err;

            sg_alloc_fail_at(n);
            const sg_status st = sg_tokenize(s->data, &c, NULL, NULL, &report, &err);
            sg_alloc_fail_at(0);
            if (st == SG_OK)
                json_decref(report);
            assert_int_equal(sg_alloc_live(), live);
            if (st == SG_OK)
                break;
            assert_int_equal(st, SG_ERR_MEMORY);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(residual_kmeans_follows_the_shop, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(codebooks_are_kept_and_decode, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(same_seed_same_bytes_on_any_threads, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(only_training_items_teach, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(rqvae_learns_to_reconstruct, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(without_start_and_restart_codes_die, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(restart_needs_no_even_batches, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(training_is_live_and_can_be_stopped, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_clean, open_shop, close_shop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
