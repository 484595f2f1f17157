/* recgpt.c - what the model promises: SASRec's loss before generated items, nothing of events held out, two rankings merged. */
#include "tiny.h"

#include <math.h>

enum { ITEMS = 12 };
#define SMALL "dim=10 layers=1 heads=2 ffn=14 length=8 dropout=0 dropout_input=0 init_sd=0.3 "

/* Without prompts and user vectors this is the plain model. */
static void training_loss_equals_scores_of_prefixes(void **state)
{
    (void)state;
    tiny_check_prefixes("recgpt", SMALL "prompts=false", 0);
}

static void gradients_are_slopes_with_and_without_prompts(void **state)
{
    (void)state;
    tiny_check_gradient("recgpt", SMALL "prompts=false");
    tiny_check_gradient("recgpt", SMALL "pretrain=0");
    tiny_check_gradient("recgpt", SMALL "pretrain=0 prompt_share=0.5 loss=bce negatives=2");
}

static void events_held_out_have_no_say(void **state)
{
    (void)state;
    sg_error err = {0};
    double loss[2];
    size_t n;
    tiny t;

    tiny_new(&t, 10, ITEMS, 9, 4);
    for (int other = 0; other < 2; other++) {
        for (int u = 0; u < 10 && other; u++)
            for (int64_t e = t.split->train_end[u]; e < t.user_offsets[u + 1]; e++)
                t.item[e] = (t.item[e] + 5) % ITEMS;
        sg_model *m = tiny_model(&t, "recgpt", SMALL "pretrain=0", 3);
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        loss[other] = tiny_loss(m, 10);
        sg_model_free(m);
    }
    assert_true(loss[0] == loss[1]);
    tiny_free(&t);
}

static int place_of(const float *scores, int item)
{
    int before = 0;

    for (int j = 0; j < ITEMS; j++)
        before += scores[j] > scores[item] || (scores[j] == scores[item] && j < item);
    return before;
}

/* The first ranking's r-th item stands at place 2 r at most, the last half keeps its order, and no two scores are equal. */
static void two_rankings_are_merged(void **state)
{
    (void)state;
    float first[ITEMS], merged[ITEMS];
    int moved = 0;
    tiny t;

    tiny_new(&t, 5, ITEMS, 9, 4);
    sg_model *one = tiny_model(&t, "recgpt", SMALL "prompts=false", 3),
             *two = tiny_model(&t, "recgpt", SMALL "depth=3", 3);
    for (int e = 1; e <= 4; e++) {
        const int32_t user = 2;
        const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, e}, .item = t.item, .user = &user};

        tiny_score(one, &h, first);
        tiny_score(two, &h, merged);
        for (int j = 0; j < ITEMS; j++) {
            if (place_of(first, j) < 3)
                assert_true(place_of(merged, j) <= 2 * place_of(first, j));
            for (int k = 0; k < j; k++) {
                assert_true(merged[j] != merged[k]);
                if (merged[j] < 0 && merged[k] < 0)
                    assert_true((merged[j] < merged[k]) == (first[j] < first[k]));
            }
            moved += place_of(first, j) != place_of(merged, j);
        }
    }
    assert_true(moved > 0);
    sg_model_free(one);
    sg_model_free(two);
    tiny_free(&t);
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("recgpt", SMALL "prompts=false");
    tiny_check_batch("recgpt", SMALL);
}

/* The frozen copy stays what it was made of while the model learns. */
static void the_copy_is_frozen(void **state)
{
    (void)state;
    sg_error err = {0};
    size_t n;
    tiny t;

    tiny_new(&t, 10, ITEMS, 12, 4);
    sg_model *m = tiny_model(&t, "recgpt", SMALL "pretrain=1", 3);
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
    const sg_param *item = sg_params_find(&m->params, "item.weight"),
                   *shown = sg_params_find(&m->params, "shown.item.weight"),
                   *copied = sg_params_find(&m->params, "shown.copied");
    tiny_loss(m, 5);
    assert_true(copied->value[0] == 0);
    m->epoch = 1;
    tiny_loss(m, 5);
    assert_true(copied->value[0] == 1);
    assert_memory_equal(item->value, shown->value, item->count * sizeof(float));
    const float before = shown->value[0];
    item->value[0] += 1;
    tiny_loss(m, 5);
    assert_true(shown->value[0] == before && shown->frozen);
    sg_model_free(m);
    tiny_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_scores_of_prefixes),
        cmocka_unit_test(gradients_are_slopes_with_and_without_prompts),
        cmocka_unit_test(events_held_out_have_no_say),
        cmocka_unit_test(two_rankings_are_merged),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(the_copy_is_frozen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
