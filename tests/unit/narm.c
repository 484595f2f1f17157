/* narm.c - what the model promises: training and scoring are one, batches do not mix, attention is heard. */
#include "tiny.h"

#include <math.h>

#define SMALL "dim=10 hidden=14 length=8 dropout=0 dropout_input=0"
enum { ITEMS = 12 };

/* Attention starts small: made as large as training would make it. */
static sg_model *small_model(tiny *t)
{
    sg_model *m = tiny_model(t, "narm", SMALL, 3);
    sg_param *w = sg_params_find(&m->params, "attention.weight");

    for (size_t i = 0; i < w->count; i++)
        w->value[i] *= 20;
    w->version++;
    return m;
}

/* Mean cross-entropy in training equals -log softmax of the scores asked prefix by prefix. */
static void training_loss_equals_scores_of_prefixes(void **state)
{
    (void)state;
    sg_error err = {0};
    tiny t;
    size_t n;

    tiny_new(&t, 1, ITEMS, 9, 4);
    t.split->train_end[0] = t.user_offsets[1] < 7 ? t.user_offsets[1] : 7;
    const int end = (int)t.split->train_end[0];
    sg_model *m = small_model(&t);
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
    const double whole = tiny_loss(m, 1);
    assert_true(fabs(whole - tiny_prefix_loss(m, &t, end)) < 1e-4);
    sg_param *w = sg_params_find(&m->params, "attention.weight");
    memset(w->value, 0, w->count * sizeof(float)); /* without the local view: a GRU with a bilinear head */
    w->version++;
    assert_true(fabs(whole - tiny_loss(m, 1)) > 1e-3);
    sg_model_free(m);
    tiny_free(&t);
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("narm", SMALL);
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    tiny_check_gradient("narm", SMALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_scores_of_prefixes),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(the_gradient_is_the_slope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
