/* s3rec.c - what the model promises: attributes as the text has them, four tasks with right gradients, nothing of the events held
 * out, SASRec's formulas afterwards. */
#include "text_shop.h"

#include "models/attributes.h"

#include <math.h>

#define SMALL "dim=10 layers=1 heads=2 ffn=14 length=8 dropout=0 dropout_input=0 init_sd=0.3 "

/* A: 8 items, opi 6, nyx 5, A > B and C 4 each, C > E 3, A > D 2. */
static void attributes_are_paths_and_values_from_the_most_frequent_on(void **state)
{
    (void)state;
    sg_error err = {0};
    sg_attributes a = {0};
    shop s;

    shop_new(&s, 5);
    assert_int_equal(sg_attributes_new(&a, &s.t.data, "", 1000, &err), SG_OK);
    assert_int_equal(a.n, 7);
    static const int32_t first[] = {0, 3, 4, 1}, eighth[] = {4, 5, 0, 2};
    assert_int_equal(a.offsets[1], 4);
    assert_memory_equal(a.id, first, sizeof first);
    assert_int_equal(a.offsets[8] - a.offsets[7], 4);
    assert_memory_equal(a.id + a.offsets[7], eighth, sizeof eighth);
    assert_int_equal(sg_attributes_new(&a, &s.t.data, "brand", 1, &err), SG_OK);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.offsets[ITEMS], 6);
    assert_int_equal(sg_attributes_new(&a, &s.t.data, "price", 10, &err), SG_ERR_USAGE);
    sg_attributes_free(&a);
    shop_free(&s);
}

/* tiny_check_gradient on data with item text; epoch 0 is pre-training. */
static void gradients_are_slopes_in_both_parts(void **state)
{
    (void)state;
    shop s;

    tiny_check_gradient("s3rec", SMALL "pretrain=0");
    tiny_check_gradient("s3rec", SMALL "pretrain=0 loss=bce negatives=3");
    tiny_check_gradient("s3rec", SMALL "pretrain=1 attributes=0");
    shop_new(&s, 10);
    tiny_check_gradient_of(&s.t, "s3rec", SMALL "pretrain=1 attributes=9");
    tiny_check_gradient_of(
        &s.t, "s3rec", SMALL "pretrain=1 attributes=9 weight_mip=0 weight_map=0 weight_sp=0 weight_aap=1");
    tiny_check_gradient_of(
        &s.t, "s3rec", SMALL "pretrain=1 attributes=9 weight_mip=0 weight_map=1 weight_sp=0 weight_aap=0");
    shop_free(&s);
}

static double pretrain_loss(shop *s, const char *options)
{
    sg_error err = {0};
    size_t n;
    sg_model *m = tiny_model(&s->t, "s3rec", options, 3);

    assert_int_equal(m->class->examples(m, &s->t.train, &n, &err), SG_OK);
    const double loss = tiny_loss(m, n < 20 ? (int)n : 20);
    sg_model_free(m);
    return loss;
}

static void pretraining_sees_no_event_that_is_held_out(void **state)
{
    (void)state;
    shop s;

    shop_new(&s, 10);
    const double before = pretrain_loss(&s, SMALL "pretrain=1");
    for (int u = 0; u < 10; u++)
        for (int64_t e = s.t.split->train_end[u]; e < s.t.user_offsets[u + 1]; e++)
            s.t.item[e] = (s.t.item[e] + 5) % ITEMS;
    assert_true(before == pretrain_loss(&s, SMALL "pretrain=1"));
    s.t.item[0] = (s.t.item[0] + 5) % ITEMS;
    assert_true(before != pretrain_loss(&s, SMALL "pretrain=1"));
    shop_free(&s);
}

static void every_task_has_a_say(void **state)
{
    (void)state;
    static const char *const without[] = {"weight_aap=0", "weight_mip=0", "weight_map=0", "weight_sp=0"};
    shop s;

    shop_new(&s, 10);
    const double all = pretrain_loss(&s, SMALL "pretrain=1");
    for (int i = 0; i < 4; i++) {
        char options[256];

        snprintf(options, sizeof options, SMALL "pretrain=1 %s", without[i]);
        assert_true(pretrain_loss(&s, options) < all - 1e-3); /* each part is a positive loss */
    }
    shop_free(&s);
}

static void wants_item_text_or_no_attributes(void **state)
{
    (void)state;
    sg_error err = {0};
    size_t n;
    tiny t;

    tiny_new(&t, 5, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "s3rec", SMALL, 3);
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_ERR_MISSING);
    assert_string_equal(
        err.message, "s3rec: no column of tiny's item text holds categories; attributes=0 goes without them");
    sg_model_free(m);
    tiny_free(&t);
}

/* After pre-training the loss is SASRec's. */
static void training_loss_equals_scores_of_prefixes(void **state)
{
    (void)state;
    tiny_check_prefixes("s3rec", SMALL "pretrain=3 attributes=0", 3);
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("s3rec", SMALL "pretrain=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_are_paths_and_values_from_the_most_frequent_on),
        cmocka_unit_test(gradients_are_slopes_in_both_parts),
        cmocka_unit_test(pretraining_sees_no_event_that_is_held_out),
        cmocka_unit_test(every_task_has_a_say),
        cmocka_unit_test(wants_item_text_or_no_attributes),
        cmocka_unit_test(training_loss_equals_scores_of_prefixes),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
