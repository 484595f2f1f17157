/* encoder_file.c - the built-in encoder kept in a file: the vectors of the dataset again, one item at a time; files that say
 * something else are refused; half floats are rounded right. */
#include "base/alloc.h"
#include "base/half.h"
#include "base/io.h"
#include "text/encoder_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/items.h"

enum { N = 60 };

static void half_floats_are_the_nearest(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = sg_f16_to_f32((uint16_t)h);

        if (x != x) {
            assert_true(sg_f16_to_f32(sg_f32_to_f16(x)) != sg_f16_to_f32(sg_f32_to_f16(x)));
            continue;
        }
        assert_int_equal(sg_f32_to_f16(x), h);
        if ((h & 0x7fff) <
            0x7bff) { /* halfway to the next: to the even one; a little more or less: to the nearer */
            const float next = sg_f16_to_f32((uint16_t)(h + 1)),
                        middle = (float)(((double)x + (double)next) / 2);

            assert_int_equal(sg_f32_to_f16(middle), h & 1 ? h + 1 : h);
            assert_int_equal(sg_f32_to_f16(nextafterf(middle, next)), h + 1);
            assert_int_equal(sg_f32_to_f16(nextafterf(middle, x)), h);
        }
    }
    assert_int_equal(sg_f32_to_f16(65520), 0x7c00);
    assert_int_equal(sg_f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(sg_f32_to_f16(1e-30f), 0);
}

static void make_shop(test_items *t)
{
    static const char *const things[] = {"frying pan", "watering can", "desk lamp", "running shoes",
                                         "suitcase"};
    static const char *const brands[] = {"Nolos", "Stapeta", "Mifo", "Dora"};
    char *cell[3][N];

    memset(t, 0, sizeof *t);
    for (int i = 0; i < N; i++) {
        char text[120];

        snprintf(text, sizeof text, "%s %s number %d, L'Étoile %s", brands[i % 4], things[i % 5], i / 7,
                 i % 3 ? "grün" : "");
        cell[0][i] = strdup(i == 17 ? "" : text);
        cell[1][i] = strdup(brands[i % 4]);
        snprintf(text, sizeof text, "Shop > %c > %s", 'A' + i % 5 / 2, things[i % 5]);
        cell[2][i] = strdup(text);
    }
    test_items_add(t, "title", N, (const char *const *)cell[0]);
    test_items_add(t, "brand", N, (const char *const *)cell[1]);
    test_items_add(t, "categories", N, (const char *const *)cell[2]);
    memset(t->data.sha256, 'a', 64);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < N; i++)
            free(cell[c][i]);
}

static double cosine(const float *x, const float *y, int n)
{
    double xy = 0, xx = 0, yy = 0;

    for (int k = 0; k < n; k++) {
        xy += (double)x[k] * (double)y[k];
        xx += (double)x[k] * (double)x[k];
        yy += (double)y[k] * (double)y[k];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : xx == yy;
}

static void gives_the_vectors_of_the_dataset(const char *set, const char *columns)
{
    char path[] = "/tmp/sedge-encoder-XXXXXX";
    float *vectors, x[64];
    sg_text_encoder *e;
    sg_lsa_config c;
    sg_lsa_fit fit;
    test_items t;
    json_t *report;
    int32_t dim;
    sg_error err;
    const sg_text_column *column[3];

    make_shop(&t);
    close(mkstemp(path));
    sg_options_init(&c, sg_lsa_options, sg_n_lsa_options);
    assert_int_equal(sg_options_assign(&c, sg_lsa_options, sg_n_lsa_options, "dim=12", NULL), SG_OK);
    assert_int_equal(sg_options_assign(&c, sg_lsa_options, sg_n_lsa_options, set, NULL), SG_OK);
    snprintf(c.columns, sizeof c.columns, "%s", columns);
    if (sg_lsa_encode(&vectors, &dim, &fit, &t.data, &c, NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
    json_t *options = json_pack("{s:i, s:f, s:b}", "dim", 12, "power", c.power, "normalise", c.normalise);
    char *text = json_dumps(options, 0);
    assert_int_equal(sg_text_encoder_save(path, &t.data, "lsa", text, columns, &fit, &err), SG_OK);
    if (sg_text_encoder_open(&e, path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(sg_text_encoder_dim(e), dim);
    assert_string_equal(sg_text_encoder_name(e), "lsa");
    for (int k = 0; k < sg_text_encoder_columns(e); k++)
        column[k] = sg_dataset_column(&t.data, sg_text_encoder_column(e, k));
    for (int i = 0; i < N; i++) {
        sg_bytes cell[3];

        for (int k = 0; k < sg_text_encoder_columns(e); k++)
            cell[k] = sg_strings_at(&column[k]->text, (size_t)i);
        assert_int_equal(sg_text_encoder_item(x, e, cell, &err), SG_OK);
        /* right is rounded to 11 bits: each number of a sum of some dozen terms by 2^-12, so the angle by less than 1e-3 */
        assert_true(cosine(x, vectors + i * dim, dim) > 1 - 1e-6);
        for (int k = 0; k < dim; k++)
            assert_true(fabsf(x[k] - vectors[i * dim + k]) < 1e-3f);
    }
    sg_text_encoder_close(e);
    json_decref(options);
    json_decref(report);
    free(text);
    sg_lsa_fit_free(&fit);
    sg_free(vectors);
    unlink(path);
    test_items_free(&t);
}

static void items_get_the_vectors_that_they_had(void **state)
{
    (void)state;
    gives_the_vectors_of_the_dataset("power=1", "");
    gives_the_vectors_of_the_dataset("power=0", "");
    gives_the_vectors_of_the_dataset("normalise=false", "title,categories");
    gives_the_vectors_of_the_dataset("power=0.5", "brand");
}

static void refuse(const sg_tensor_desc *list, size_t n, const sg_meta *meta, size_t n_meta,
                   const char *message)
{
    char path[] = "/tmp/sedge-encoder-XXXXXX", want[300];
    sg_text_encoder *e;
    sg_error err;

    close(mkstemp(path));
    assert_int_equal(sg_tensors_write(path, list, n, meta, n_meta, &err), SG_OK);
    assert_int_equal(sg_text_encoder_open(&e, path, &err), SG_ERR_FORMAT);
    assert_null(e);
    snprintf(want, sizeof want, "%s: %s", path, message);
    assert_string_equal(err.message, want);
    unlink(path);
}

static void files_that_say_something_else_are_refused(void **state)
{
    static const uint64_t hash[] = {3, 9};
    static const float idf[] = {1, 2}, scale[] = {1, 1, 1};
    static const uint16_t right[6];
    const sg_meta good[] = {{"options", "{}"},
                            {"columns", "[{\"name\": \"title\", \"kind\": \"text\", \"numbers\": false}]"},
                            {"encoder", "lsa"}};
    const sg_meta wrong[] = {
        {"options", "{}"}, {"columns", "[{\"name\": \"title\", \"kind\": \"texts\"}]"}, {"encoder", "lsa"}};
    const sg_meta empty[] = {{"options", "{}"}, {"columns", "[]"}, {"encoder", "lsa"}};
    const sg_tensor_desc all[] = {{"hash", SG_DT_U64, 1, {2}, hash},
                                  {"idf", SG_DT_F32, 1, {2}, idf},
                                  {"right", SG_DT_F16, 2, {2, 3}, right},
                                  {"scale", SG_DT_F32, 1, {3}, scale}};
    const sg_tensor_desc narrow[] = {all[0], all[1], all[2], {"scale", SG_DT_F32, 1, {2}, scale}};

    (void)state;
    refuse(all, 4, NULL, 0, "metadata 'options' is missing");
    refuse(all, 4, good, 1, "metadata 'columns' is missing");
    refuse(all, 4, good, 2, "metadata 'encoder' is missing");
    refuse(all, 4, wrong, 3, "metadata 'columns': expected a name and a kind of column 0");
    refuse(all, 4, empty, 3, "metadata 'columns': expected a list of 1 to 4096 columns");
    refuse(all, 3, good, 3, "tensor 'scale': expected F32 (3), found none");
    refuse(narrow, 4, good, 3, "tensor 'scale': expected F32 (3), found F32 (2)");
}

static void survives_without_memory(void **state)
{
    char path[] = "/tmp/sedge-encoder-XXXXXX";
    const sg_bytes cell[] = {{"Mifo desk lamp", 14}, {"Mifo", 4}, {NULL, 0}};
    sg_lsa_config c;
    sg_lsa_fit fit;
    test_items t;
    float *vectors;
    json_t *report;
    int32_t dim;

    (void)state;
    make_shop(&t);
    close(mkstemp(path));
    sg_options_init(&c, sg_lsa_options, sg_n_lsa_options);
    c.dim = 8;
    assert_int_equal(sg_lsa_encode(&vectors, &dim, &fit, &t.data, &c, NULL, NULL, &report, NULL), SG_OK);
    json_decref(report);
    sg_free(vectors);
    for (uint64_t n = 1;; n++) {
        const int64_t live = sg_alloc_live();
        sg_text_encoder *e = NULL;
        float x[8];
        sg_error err;
        sg_status st;

        sg_alloc_fail_at(n);
        if (!(st = sg_text_encoder_save(path, &t.data, "lsa", "{\"dim\": 8}", "", &fit, &err)) &&
            !(st = sg_text_encoder_open(&e, path, &err)))
            st = sg_text_encoder_item(x, e, cell, &err);
        sg_alloc_fail_at(0);
        sg_text_encoder_close(e);
        assert_int_equal(sg_alloc_live(), live);
        if (!st)
            break;
        assert_int_equal(st, SG_ERR_MEMORY);
    }
    sg_lsa_fit_free(&fit);
    unlink(path);
    test_items_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_floats_are_the_nearest),
        cmocka_unit_test(items_get_the_vectors_that_they_had),
        cmocka_unit_test(files_that_say_something_else_are_refused),
        cmocka_unit_test(survives_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
