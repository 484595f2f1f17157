/* attrec.c - what the model promises: the published distances, batches do not mix, rows stay in the unit ball. */
#include "tiny.h"

#include "nn/optim.h"

#include <math.h>

enum { ITEMS = 12, DIM = 10, N = 3 };
#define SMALL "dim=10 length=8 init_sd=0.3"

static const float *weight(const sg_model *m, const char *name)
{
    const sg_param *p = sg_params_find(&m->params, name);

    assert_non_null(p);
    return p->value;
}

static double distance2(const double *a, const float *b)
{
    double sum = 0;

    for (int i = 0; i < DIM; i++)
        sum += (a[i] - (double)b[i]) * (a[i] - (double)b[i]);
    return sum;
}

/* m of the window, number by number. */
static void refer_window(const sg_model *m, const int32_t *item, double out[DIM])
{
    const float *x = weight(m, "item.weight"), *w = weight(m, "query.weight");
    double q[N][DIM];

    for (int t = 0; t < N; t++)
        for (int c = 0; c < DIM; c++) {
            double sum = 0;

            for (int i = 0; i < DIM; i++) {
                const double angle = (N - 1 - t) / pow(10000, (i - i % 2) / (double)DIM);

                sum += (double)w[c * DIM + i] *
                       ((double)x[item[t] * DIM + i] + (i % 2 ? cos(angle) : sin(angle)));
            }
            q[t][c] = sum > 0 ? sum : 0;
        }
    memset(out, 0, DIM * sizeof *out);
    for (int t = 0; t < N; t++) {
        double p[N], total = 0;

        for (int j = 0; j < N; j++) {
            double dot = 0;

            for (int i = 0; i < DIM; i++)
                dot += q[t][i] * q[j][i];
            p[j] = j == t ? 0 : exp(dot / sqrt(DIM));
            total += p[j];
        }
        for (int j = 0; j < N; j++)
            for (int i = 0; i < DIM; i++)
                out[i] += p[j] / total * (double)x[item[j] * DIM + i] / N;
    }
}

/* Scores are -y but for a number that all items of a history share; an unknown user has the second term alone. */
static void scores_are_the_distances(void **state)
{
    (void)state;
    static const int32_t item[N] = {3, 7, 1};
    tiny t;

    tiny_new(&t, 5, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "attrec", SMALL " weight=0.3", 3);
    const float *x = weight(m, "item.weight"), *v = weight(m, "likes.weight"), *u = weight(m, "user.weight");
    double window[DIM];
    refer_window(m, item, window);
    for (int32_t user = -1; user < 5; user += 3) {
        float scores[ITEMS];
        double like[DIM] = {0}, shared = 0;

        tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, N}, .item = item, .user = &user},
                   scores);
        for (int i = 0; user >= 0 && i < DIM; i++)
            like[i] = u[user * DIM + i];
        for (int j = 0; j < ITEMS; j++) {
            const double y =
                0.7 * distance2(window, x + j * DIM) + (user >= 0 ? 0.3 * distance2(like, v + j * DIM) : 0);

            if (j == 0)
                shared = (double)scores[j] + y;
            assert_true(fabs((double)scores[j] + y - shared) < 1e-5);
        }
    }
    sg_model_free(m);
    tiny_free(&t);
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny_check_batch("attrec", SMALL);
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    tiny_check_gradient("attrec", SMALL " margin=10"); /* no hinge within a step of where it is */
}

static void rows_stay_in_the_unit_ball(void **state)
{
    (void)state;
    sg_error err = {0};
    const sg_optim_spec spec = {.kind = SG_OPTIM_SGD, .lr = 5, .schedule = SG_SCHEDULE_CONSTANT, .total = 10};
    uint32_t example[20];
    sg_graph *g;
    sg_optim *o;
    size_t n;
    tiny t;
    int at_the_edge = 0;

    tiny_new(&t, 10, ITEMS, 12, 4);
    sg_model *m = tiny_model(&t, "attrec", SMALL, 3);
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
    assert_int_equal(n, t.data.n_events - 3 * 10); /* all but two held out and the first of each user */
    assert_int_equal(sg_params_need_grads(&m->params, &err), SG_OK);
    assert_int_equal(sg_optim_new(&o, &m->params, &spec, &err), SG_OK);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    for (uint32_t i = 0; i < 20; i++)
        example[i] = i;
    for (uint64_t step = 0; step < 10; step++) {
        sg_graph_begin(g, SG_TRAIN, 1, step);
        assert_int_equal(sg_backward(g, m->class->loss(m, g, example, 20, 1, step), &err), SG_OK);
        assert_int_equal(sg_optim_step(o, NULL, NULL, &err), SG_OK);
    }
    for (int j = 0; j < ITEMS; j++) {
        const double length = distance2((double[DIM]){0}, weight(m, "item.weight") + j * DIM);

        assert_true(length <= 1);
        at_the_edge += length > 0.999;
    }
    assert_true(at_the_edge > 0);
    sg_graph_free(g);
    sg_optim_free(o);
    sg_model_free(m);
    tiny_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_distances),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(the_gradient_is_the_slope),
        cmocka_unit_test(rows_stay_in_the_unit_ball),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
