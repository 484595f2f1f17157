/* content.c - weights that start from item vectors: group means, centred and scaled; what sasrec and tiger make of them. */
#include "tiny.h"

#include "base/alloc.h"
#include "models/content.h"

#include <math.h>

static void rows_are_centred_means_of_their_items(void **state)
{
    (void)state;
    /* centre (3, 1); row 0 holds items 0, 1: mean (1, 2) - centre = (-2, 1); row 1 nobody; row 2 all: zero; row 3 item 3 */
    const float v[4 * 2] = {0, 2, 2, 2, 4, 0, 6, 0};
    const int32_t row[4 * 2] = {0, 2, 0, 2, -1, 2, 3, 2};
    const sg_vectors vectors = {.n = 4, .dim = 2, .data = v};
    const double rms = sqrt((4 + 1 + 0 + 0 + 9 + 1) / 6.0); /* over the three named rows */
    const double expected[4 * 3] = {-2, 1, 0, 0, 0, 0, 0, 0, 0, 3, -1, 0};
    float *out;
    sg_error err;

    assert_int_equal(sg_content_rows(&out, &(sg_train_data){.vectors = &vectors}, row, 2, 4, 3, 0.5, &err),
                     SG_OK);
    for (int i = 0; i < 12; i++)
        assert_true(fabs((double)out[i] - expected[i] * 0.5 / rms) < 1e-6); /* f32 */
    sg_free(out);
    assert_int_equal(sg_content_rows(&out, &(sg_train_data){0}, row, 2, 4, 1, 1, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "content needs item vectors: run `sedge embed DATA` first");
}

enum { ITEMS = 20, WIDTH = 5, DIM = 4 };

typedef struct kit {
    tiny t;
    float v[ITEMS * DIM];
    double centre[DIM];
    sg_vectors vectors;
    sg_model *without, *with;
} kit;

static void kit_init(kit *k, const char *class, const char *options)
{
    char text[256];

    *k = (kit){.vectors = {.n = ITEMS, .dim = DIM, .data = k->v}};
    for (size_t i = 0; i < ITEMS * DIM; i++) {
        k->v[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
        k->centre[i % DIM] += (double)k->v[i] / ITEMS;
    }
    tiny_new(&k->t, 30, ITEMS, 9, WIDTH);
    k->t.train.vectors = &k->vectors;
    k->without = tiny_model(&k->t, class, options, 3);
    snprintf(text, sizeof text, "%s content=2", options);
    k->with = tiny_model(&k->t, class, text, 3);
}

static void kit_fini(kit *k)
{
    sg_model_free(k->without);
    sg_model_free(k->with);
    tiny_free(&k->t);
}

/* What content adds to row r of a weight: `factor` times the centred mean of items first .. first + n - 1, then zeros. */
static void assert_adds(const kit *k, const char *weight, int r, int first, int n, double factor)
{
    const sg_param *a = sg_params_find(&k->without->params, weight),
                   *b = sg_params_find(&k->with->params, weight);

    for (int j = 0; j < a->dim[1]; j++) {
        const size_t at = (size_t)r * (size_t)a->dim[1] + (size_t)j;
        double mean = 0;

        for (int i = first; j < DIM && i < first + n; i++)
            mean += ((double)k->v[i * DIM + j] - k->centre[j]) / n;
        assert_true(fabs((double)b->value[at] - (double)a->value[at] - factor * mean) <
                    1e-5); /* f32 sums of about 1 */
    }
}

static double square_sum(const kit *k, int first, int n)
{
    double sum_sq = 0;

    for (int j = 0; j < DIM; j++) {
        double mean = 0;

        for (int i = first; i < first + n; i++)
            mean += ((double)k->v[i * DIM + j] - k->centre[j]) / n;
        sum_sq += mean * mean;
    }
    return sum_sq;
}

static void sasrec_adds_vectors_to_its_item_table(void **state)
{
    (void)state;
    kit k;
    double sum_sq = 0;

    kit_init(&k, "sasrec", "dim=8 layers=1 heads=1 ffn=8 length=8 init_sd=0.1");
    for (int i = 0; i < ITEMS; i++)
        sum_sq += square_sum(&k, i, 1);
    for (int i = 0; i < ITEMS; i++)
        assert_adds(&k, "item.weight", i, i, 1, 2 * 0.1 / sqrt(sum_sq / (ITEMS * DIM)));
    kit_fini(&k);
}

/* Codes of tiny.h: item i is (i / WIDTH, i % WIDTH, 0): a first code has WIDTH items, longer prefixes one. */
static void tiger_adds_means_to_prefixes_and_first_codes(void **state)
{
    (void)state;
    kit k;
    double sum_sq = 0;

    kit_init(&k, "tiger",
             "dim=8 layers=1 heads=1 head_dim=8 ffn=8 history=6 prefix_vectors=true init_sd=0.1");
    for (int i = 0; i < ITEMS; i++)
        sum_sq += 2 * square_sum(&k, i, 1) + (i % WIDTH ? 0 : square_sum(&k, i, WIDTH));
    const double factor = 2 * 0.1 / sqrt(sum_sq / ((2 * ITEMS + ITEMS / WIDTH) * DIM));
    for (int i = 0; i < ITEMS; i++) {
        assert_adds(&k, "prefix.weight", i, i, 1, factor);
        assert_adds(&k, "prefix.weight", ITEMS + i, i, 1, factor);
        if (i < ITEMS / WIDTH)
            assert_adds(&k, "token.weight", i, i * WIDTH, WIDTH, factor);
    }
    kit_fini(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_centred_means_of_their_items),
        cmocka_unit_test(sasrec_adds_vectors_to_its_item_table),
        cmocka_unit_test(tiger_adds_means_to_prefixes_and_first_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
