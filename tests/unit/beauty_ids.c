/* Item text to semantic IDs on Amazon Beauty (12,101 items); skipped where the data is not. */
#include "base/alloc.h"
#include "base/io.h"
#include "data/import.h"
#include "quantize/quantize.h"
#include "text/lsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ITEMS = 12101 };

typedef struct beauty {
    char dir[64], source[512];
    sg_dataset *data;
} beauty;

static void source_file(const beauty *b, char path[640], const char *name)
{
    snprintf(path, 640, "%s/amazon14/%s", b->source, name);
}

static int open_beauty(void **state)
{
    beauty *b = calloc(1, sizeof *b);
    const char *data = getenv("SEDGE_DATA");
    char events[640], items[640], dir[96];
    sg_import_spec spec = sg_import_defaults();
    sg_error err;
    json_t *report;

    *state = b;
    snprintf(b->source, sizeof b->source, "%s", data ? data : TEST_SOURCE_DIR "/../shared/data");
    source_file(b, events, "Beauty.txt.zst");
    source_file(b, items, "Beauty.items.tsv.zst");
    if (!sg_file_exists(events) || !sg_file_exists(items)) {
        printf("skipped: %s is not there\n", events);
        return 0;
    }
    snprintf(b->dir, sizeof b->dir, "/tmp/sedge-beauty-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(dir, sizeof dir, "%s/data", b->dir);
    spec.format = "s3rec";
    spec.path = (const char *const[]){events};
    spec.item_text = (const char *const[]){items};
    spec.n_path = spec.n_item_text = 1;
    spec.item_columns = "asin,title,categories,brand_attr_id";
    assert_int_equal(sg_import(dir, &spec, NULL, &report, &err), SG_OK);
    json_decref(report);
    assert_int_equal(sg_dataset_open(&b->data, dir, &err), SG_OK);
    return 0;
}

static int close_beauty(void **state)
{
    beauty *b = *state;

    sg_dataset_close(b->data);
    if (b->dir[0])
        sg_dir_remove(b->dir, NULL);
    free(b);
    return 0;
}

static bool same_path(const sg_text_column *categories, uint32_t a, uint32_t b)
{
    const sg_bytes x = sg_strings_at(&categories->text, a), y = sg_strings_at(&categories->text, b);

    return x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
}

/* Share of pairs with one prefix (two codes) that also have one category path; and the same for any pairs. */
static double sibling_share(const sg_ids *ids, const sg_text_column *categories, const uint32_t *order,
                            bool any)
{
    const size_t width = (size_t)ids->levels;
    double same = 0, all = 0;

    for (uint32_t i = 1; i < ITEMS; i++) {
        const uint32_t a = any ? i : order[i], b = any ? (i * 7919u) % ITEMS : order[i - 1];

        if (a == b ||
            (!any && memcmp(ids->codes + a * width, ids->codes + b * width, 2 * sizeof *ids->codes) != 0))
            continue;
        same += same_path(categories, a, b);
        all++;
    }
    return same / all;
}

/* Mean share of the commonest category path in a first code; shuffled: of random groups as large. */
static double purity(const sg_ids *ids, const sg_text_column *categories, const uint32_t *order,
                     bool shuffled)
{
    double pure = 0;

    for (uint32_t i = 0, end; i < ITEMS; i = end) {
        int most = 0;

        for (end = i + 1; end < ITEMS && ids->codes[order[i] * (size_t)ids->levels] ==
                                             ids->codes[order[end] * (size_t)ids->levels];)
            end++;
        for (uint32_t a = i; a < end; a++) {
            int count = 0;

            for (uint32_t b = i; b < end; b++)
                count += shuffled ? same_path(categories, a * 7919u % ITEMS, b * 7919u % ITEMS)
                                  : same_path(categories, order[a], order[b]);
            most = count > most ? count : most;
        }
        pure += most;
    }
    return pure / ITEMS;
}

static void residual_kmeans_of_titles_is_healthy(void **state)
{
    const beauty *b = *state;
    sg_lsa_config lsa;
    sg_tokenize_config c;
    uint32_t order[ITEMS];
    float *vectors;
    int32_t dim;
    json_t *report;
    sg_error err;
    sg_ids ids;
    double error = 1;

    if (!b->data)
        skip();
    sg_options_init(&lsa, sg_lsa_options, sg_n_lsa_options);
    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    lsa.dim = 64;
    lsa.iterations = 2;
    assert_int_equal(sg_lsa_encode(&vectors, &dim, NULL, b->data, &lsa, NULL, NULL, &report, &err), SG_OK);
    assert_string_equal(json_string_value(json_object_get(json_object_get(report, "columns"), "asin")),
                        "skipped");
    assert_string_equal(json_string_value(json_object_get(json_object_get(report, "columns"), "categories")),
                        "path");
    assert_int_equal(json_integer_value(json_object_get(report, "items_without_text")), 0);
    json_decref(report);
    assert_int_equal(sg_vectors_save(b->data, vectors, ITEMS, dim, "lsa", NULL, &err), SG_OK);
    sg_free(vectors);
    assert_int_equal(sg_tokenize(b->data, &c, NULL, NULL, &report, &err), SG_OK);
    for (size_t l = 0; l < 3; l++) {
        const json_t *level = json_array_get(json_object_get(report, "levels"), l);

        assert_true(json_real_value(json_object_get(level, "usage")) >= 0.8);
        assert_true(json_real_value(json_object_get(level, "error")) < error);
        error = json_real_value(json_object_get(level, "error"));
    }
    assert_true(json_real_value(json_object_get(json_object_get(report, "collisions"), "unique_share")) >=
                0.75);
    json_decref(report);
    assert_int_equal(sg_ids_open(&ids, b->data, &err), SG_OK);
    assert_int_equal(sg_codes_order(order, ids.codes, ids.n, ids.levels, ids.size, &err), SG_OK);
    const sg_text_column *categories = sg_dataset_column(b->data, "categories");
    assert_true(purity(&ids, categories, order, false) >= 3 * purity(&ids, categories, order, true));
    assert_true(sibling_share(&ids, categories, order, false) >=
                5 * sibling_share(&ids, categories, order, true));
    sg_ids_close(&ids);
}

static void published_ids_have_the_published_counts(void **state)
{
    const beauty *b = *state;
    const struct {
        const char *name;
        int tuples;
    } files[] = {{"Beauty.letter_index.json.zst", 12088},
                 {"Beauty.rqvae_native.index.json.zst", 11499},
                 {"Beauty.rkmeans_native.index.json.zst", 10527},
                 {"Beauty.rkmeans_zcr.index.json.zst", 12101}};

    if (!b->data)
        skip();
    for (int i = 0; i < 4; i++) {
        char path[640];
        json_t *report;
        sg_error err;
        sg_ids ids;

        source_file(b, path, files[i].name);
        if (!sg_file_exists(path))
            continue;
        if (sg_ids_import(b->data, path, 1, &err))
            fail_msg("%s", err.message);
        assert_int_equal(sg_ids_report(&report, b->data, 0, 0, &err), SG_OK);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(report, "collisions"), "tuples")),
                         files[i].tuples);
        json_decref(report);
        assert_int_equal(sg_ids_open(&ids, b->data, &err), SG_OK);
        assert_int_equal(ids.levels, files[i].tuples == ITEMS ? 4 : 5);
        sg_ids_close(&ids);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residual_kmeans_of_titles_is_healthy),
        cmocka_unit_test(published_ids_have_the_published_counts),
    };

    return cmocka_run_group_tests(tests, open_beauty, close_beauty);
}
