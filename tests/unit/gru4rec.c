/* gru4rec.c - what the model promises: the formulas in training and in scoring are one, batches do not mix.
 */
#include "tiny.h"

#include <math.h>

#define SMALL "dim=10 hidden=14 layers=2 length=8 dropout=0 dropout_input=0 "

static void training_loss_equals_scores_of_prefixes(void **state)
{
    (void)state;
    tiny_check_prefixes("gru4rec", SMALL, 0);
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("gru4rec", SMALL);
}

static void every_loss_is_finite(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL,
                                          SMALL "loss=bce negatives=1 negatives_shared=false",
                                          SMALL "loss=sampled negatives=6",
                                          SMALL "loss=sampled negatives=6 negatives_batch=true logq=1",
                                          SMALL "loss=bpr_max negatives=6 negatives_alpha=0.5",
                                          SMALL "loss=top1_max negatives=6 negatives_batch=true"};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        sg_error err = {0};
        tiny t;
        size_t n;

        tiny_new(&t, 20, 15, 40, 5);
        sg_model *m = tiny_model(&t, "gru4rec", options[i], 3);
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        const double loss = tiny_loss(m, 20);
        assert_true(isfinite(loss) && loss > 0);
        sg_model_free(m);
        tiny_free(&t);
    }
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    tiny_check_gradient("gru4rec", SMALL);
    tiny_check_gradient("gru4rec", SMALL "loss=bpr_max negatives=6 negatives_batch=true bpr_reg=0.5");
    tiny_check_gradient("gru4rec", SMALL "loss=sampled negatives=6 negatives_alpha=0.75 logq=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_scores_of_prefixes),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(every_loss_is_finite),
        cmocka_unit_test(the_gradient_is_the_slope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
