/* sasrec.c - what the sequential model promises: prefix consistency, the losses, the tied table. */
#include "tiny.h"

#include <math.h>

#define SMALL "dim=16 layers=2 heads=2 ffn=24 length=8 dropout=0 dropout_input=0 "

static void training_loss_equals_scores_of_prefixes(void **state)
{
    (void)state;
    tiny_check_prefixes("sasrec", SMALL "init_sd=0.3", 0);
    tiny_check_prefixes("sasrec", SMALL "init_sd=0.3 gate=true gated=true act=silu", 0);
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    tiny_check_gradient("sasrec", SMALL "init_sd=0.3 gate=true gated=true act=silu");
    tiny_check_gradient("sasrec", SMALL "init_sd=0.3 loss=sampled negatives=6 negatives_batch=true logq=1");
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("sasrec", SMALL);
}

static void every_loss_is_finite_and_every_event_but_the_first_is_a_label(void **state)
{
    (void)state;
    static const char *losses[] = {SMALL "loss=ce",
                                   SMALL "loss=ce tied=false label_smoothing=0.1",
                                   SMALL "loss=bce negatives=1 negatives_shared=false",
                                   SMALL "loss=gbce negatives=4",
                                   SMALL "loss=sampled negatives=6 cosine=true temperature=0.05",
                                   SMALL
                                   "loss=sampled negatives=6 negatives_batch=true negatives_alpha=1 logq=1",
                                   SMALL "gate=true gated=true act=silu loss=sampled negatives=6 logq=1"};

    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        sg_error err = {0};
        tiny t;
        size_t n;

        tiny_new(&t, 20, 15, 40, 5);
        sg_model *m = tiny_model(&t, "sasrec", losses[i], 3);
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        assert_true(n >= 20);
        const double loss = tiny_loss(m, 20);
        assert_true(isfinite(loss) && loss > 0);
        sg_model_free(m);
        tiny_free(&t);
    }
}

/* All scores equal: a corrected loss is log(sum of found_j / expected_j) and log(expected) of the target, where item j was found
 * found_j times among the negatives (the target once). Counted here: the events of training, and the labels of the batch. */
static double corrected_loss(const tiny *t, int drawn, bool batch)
{
    enum { ITEMS = 15 };
    double events[ITEMS] = {0}, label[ITEMS] = {0}, all = 0, labels = 0, loss = 0;

    for (int32_t u = 0; u < t->data.n_users; u++)
        for (int64_t e = t->user_offsets[u]; e < t->split->train_end[u]; e++, all++) {
            events[t->item[e]]++;
            label[t->item[e]] += e > t->user_offsets[u];
            labels += e > t->user_offsets[u];
        }
    for (int i = 0; i < ITEMS; i++) {
        double sum = 0;

        for (int j = 0; j < ITEMS; j++) {
            const double share = events[j] / all,
                         expected = batch ? drawn / (double)ITEMS + labels * share : drawn * share;
            const double found = batch ? drawn / (double)ITEMS + label[j] : expected;

            sum += (i == j ? 1 : found) / expected;
            loss += i == j ? label[i] / labels * log(expected) : 0;
        }
        loss += label[i] / labels * log(sum);
    }
    return loss;
}

static void logits_are_corrected_for_the_odds_of_the_draw(void **state)
{
    (void)state;
    static const char *options[] = {SMALL "loss=sampled negatives=60000 negatives_alpha=1 logq=1",
                                    SMALL "loss=sampled negatives=1 negatives_batch=true logq=1"};

    for (int i = 0; i < 2; i++) {
        sg_error err = {0};
        tiny t;
        size_t n;

        tiny_new(&t, 12, 15, 20, 5);
        sg_model *m = tiny_model(&t, "sasrec", options[i], 3);
        sg_param *item = sg_params_find(&m->params, "item.weight");
        memset(item->value, 0, item->count * sizeof(float));
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        assert_true(n < 64);
        const double expected = corrected_loss(&t, i ? 1 : 60000, i);
        /* 4000 draws an item: 1.6 % each, 0.4 % of the sum of 15; the one drawn: 0.1 of the sum of 15 */
        assert_true(fabs(tiny_loss(m, (int)n) - expected) < (i ? 0.02 : 0.012));
        sg_model_free(m);
        tiny_free(&t);
    }
}

/* Its weights are those of a model without it, so the scores differ by STAR's. */
static void star_is_added_to_the_scores(void **state)
{
    (void)state;
    enum { ITEMS = 15 };
    static const char *options[] = {SMALL, SMALL "star=10 star_text=0"};
    float scores[3][2 * ITEMS];
    sg_error err = {0};
    tiny t;

    tiny_new(&t, 20, ITEMS, 20, 5);
    const sg_histories h = {.n = 2, .offsets = (int64_t[]){0, 4, 4}, .item = t.item};
    for (int i = 0; i < 2; i++) {
        sg_model *m = tiny_model(&t, "sasrec", options[i], 3);

        tiny_score(m, &h, scores[i]);
        sg_model_free(m);
    }
    sg_model *star = tiny_model(&t, "star", "a=0 pop=0", 3);
    assert_int_equal(sg_model_fit(star, &t.train, NULL, NULL, &err), SG_OK);
    tiny_score(star, &h, scores[2]);
    double most = 0;
    for (int i = 0; i < 2 * ITEMS; i++) {
        most = fmax(most, fabs((double)scores[2][i]));
        assert_true(fabs((double)scores[1][i] - scores[0][i] - 10 * scores[2][i]) < 1e-5);
    }
    assert_true(most > 0.01);
    sg_model_free(star);
    tiny_free(&t);
}

static void refuses_heads_that_do_not_divide(void **state)
{
    (void)state;
    sg_error err = {0};
    tiny t;
    sg_model *m;

    tiny_new(&t, 5, 10, 8, 5);
    assert_int_equal(sg_model_new(&m, sg_model_class_find("sasrec", &err), &err), SG_OK);
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
        cmocka_unit_test(training_loss_equals_scores_of_prefixes),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(every_loss_is_finite_and_every_event_but_the_first_is_a_label),
        cmocka_unit_test(the_gradient_is_the_slope),
        cmocka_unit_test(logits_are_corrected_for_the_odds_of_the_draw),
        cmocka_unit_test(star_is_added_to_the_scores),
        cmocka_unit_test(refuses_heads_that_do_not_divide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
