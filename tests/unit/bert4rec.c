/* bert4rec.c - what the model promises: masks are drawn as asked, guesses see both sides, training and scoring are one. */
#include "tiny.h"

#include <math.h>

#define SMALL "dim=16 layers=2 heads=2 ffn=24 length=8 dropout=0 dropout_input=0 "
enum { ITEMS = 12 };

static sg_model *small_model(tiny *t, const char *options, size_t *n)
{
    sg_error err = {0};
    sg_model *m = tiny_model(t, "bert4rec", options, 3);

    assert_int_equal(m->class->examples(m, &t->train, n, &err), SG_OK);
    return m;
}

/* With only last events masked, the loss is -log softmax of what scoring says after the events before them. */
static void training_loss_equals_scores_with_a_mask_at_the_end(void **state)
{
    (void)state;
    tiny t;
    size_t n;
    double sum = 0;
    int runs = 0;

    tiny_new(&t, 5, ITEMS, 20, 4);
    sg_model *m = small_model(&t, SMALL "mask_last=1 init_sd=0.5", &n);
    assert_true(n > 5);
    for (int u = 0; u < 5; u++)
        for (int64_t end = t.split->train_end[u]; end - t.user_offsets[u] >= 2; end -= 7) {
            float scores[ITEMS];
            double total = 0;

            const int64_t have = end - 1 - t.user_offsets[u], from = end - 1 - (have < 7 ? have : 7);
            tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){from, end - 1}, .item = t.item},
                       scores);
            for (int i = 0; i < ITEMS; i++)
                total += exp(scores[i]);
            sum += log(total) - scores[t.item[end - 1]];
            runs++;
        }
    assert_int_equal(runs, n);
    assert_true(fabs(tiny_loss(m, (int)n) - sum / runs) < 1e-4);
    sg_model_free(m);
    tiny_free(&t);
}

/* One event of seven is masked (mask_prob=0: at least one is); whichever it is, every event has a say in the loss. */
static void a_guess_sees_both_sides(void **state)
{
    (void)state;
    sg_error err = {0};
    tiny t;
    size_t n;

    tiny_new(&t, 1, ITEMS, 9, 4);
    t.split->train_end[0] = t.user_offsets[1] < 7 ? t.user_offsets[1] : 7;
    const int end = (int)t.split->train_end[0];
    sg_model *m = small_model(&t, SMALL "mask_last=0 mask_prob=0 init_sd=0.5", &n);
    for (uint64_t step = 0; step < 10; step++) {
        double before = 0;

        for (int e = -1; e < end; e++) {
            const uint32_t example = 0;
            sg_graph *g;

            if (e >= 0)
                t.item[e] = (t.item[e] + 5) % ITEMS;
            assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
            sg_graph_begin(g, SG_INFER, 1, step);
            const double loss = (double)m->class->loss(m, g, &example, 1, 1, step)->data[0];
            sg_graph_free(g);
            if (e >= 0)
                t.item[e] = (t.item[e] + ITEMS - 5) % ITEMS;
            if (e < 0)
                before = loss;
            else
                assert_true(fabs(loss - before) > 1e-5);
        }
    }
    sg_model_free(m);
    tiny_free(&t);
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    tiny_check_gradient("bert4rec", SMALL "init_sd=0.3 mask_prob=0.4 label_smoothing=0.1");
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("bert4rec",
                     "dim=16 layers=2 heads=2 ffn=24 length=9 init_sd=0.3"); /* 8 events and the mask */
}

static void refuses_heads_that_do_not_divide(void **state)
{
    (void)state;
    sg_error err = {0};
    tiny t;
    sg_model *m;

    tiny_new(&t, 5, 10, 8, 5);
    assert_int_equal(sg_model_new(&m, sg_model_class_find("bert4rec", &err), &err), SG_OK);
    assert_int_equal(sg_options_assign(m->config, m->class->options, m->class->n_options, "heads=3", &err),
                     SG_OK);
    assert_int_equal(sg_model_build(m, &t.train, 1, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "heads: expected a divisor of dim 64, found 3");
    sg_model_free(m);
    tiny_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_scores_with_a_mask_at_the_end),
        cmocka_unit_test(a_guess_sees_both_sides),
        cmocka_unit_test(the_gradient_is_the_slope),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(refuses_heads_that_do_not_divide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
