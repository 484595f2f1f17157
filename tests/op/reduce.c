/* reduce.c - sums, means, squared distances, binary cross-entropy: values, gradients, threads, empty and extreme inputs. */
#include "op/op.h"

enum { ROWS = 30, D = 7, N = ROWS * D };

typedef struct labels {
    float y[100000], weight[100000];
    bool weighted;
} labels;

typedef enum kind { SUM, MEAN, MSE, ROWS_SQ, BCE, N_KINDS } kind;

typedef struct reduce_case {
    kind kind;
    labels *labels;
} reduce_case;

static sg_tensor *build(op_case *c)
{
    const reduce_case *r = c->user;
    sg_tensor *x = op_in(c, 0), *y = op_in(c, 1);

    switch (r->kind) {
    case SUM:
        return sg_sum(c->graph, sg_times(c->graph, x, y));
    case MEAN:
        return sg_mean(c->graph, sg_times(c->graph, x, y));
    case MSE:
        return sg_scale(c->graph, sg_mse(c->graph, x, y), 3);
    case ROWS_SQ:
        return sg_plus(c->graph, sg_sum_sq_rows(c->graph, x, y), sg_mean(c->graph, x));
    default:
        return sg_bce_logits(c->graph, x, r->labels->y, r->labels->weighted ? r->labels->weight : NULL);
    }
}

static double want(const reduce_case *r, const float *x, const float *y, int rows, int d)
{
    double sum = 0, total = 0, mean = 0;
    const int n = rows * d;

    for (int i = 0; i < n; i++) {
        const double z = x[i], w = r->labels->weighted ? r->labels->weight[i] : 1;

        mean += z / n;
        total += r->kind == BCE ? w : 1;
        if (r->kind <= MEAN)
            sum += z * y[i];
        else if (r->kind < BCE)
            sum += (z - y[i]) * (z - y[i]);
        else
            sum += w * (log1p(exp(z)) - z * r->labels->y[i]);
    }
    const double all[] = {sum, sum / total, 3 * sum / total, sum / rows + mean, sum / total};
    return all[r->kind];
}

static labels *labels_new(bool weighted)
{
    labels *l = sg_alloc_zero(1, sizeof *l);

    assert_non_null(l);
    l->weighted = weighted;
    for (size_t i = 0; i < 100000; i++) {
        l->y[i] = i % 5 ? (float)(i % 2) : 0.5f + 0.5f * op_random(i, 50);
        l->weight[i] = i % 7 ? 1 + op_random(i, 51) : 0;
    }
    return l;
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            labels *l = labels_new(weighted);
            reduce_case r = {(kind)k, l};
            op_case c = {.user = &r};

            op_param(&c, ROWS, D, 2);
            op_param(&c, ROWS, D, 2);
            op_threads(&c, 1);
            op_near(op_forward(&c, build), want(&r, c.param[0].value, c.param[1].value, ROWS, D), 1e-6, 1,
                    "loss", 0);
            op_check(&c, build,
                     (op_spec){.step = 5e-2, .tolerance = 2e-3}); /* the loss is one f32: 6e-8 / 0.1 of it */
            sg_free(l);
        }
    }
}

static void large_arrays_do_not_depend_on_threads(void **state)
{
    (void)state;
    labels *l = labels_new(true);

    for (int k = 0; k < N_KINDS; k++) {
        reduce_case r = {(kind)k, l};
        op_case c = {.user = &r};

        op_param(&c, 1000, 100, 2);
        op_param(&c, 1000, 100, 2);
        op_check_threads(&c, build);
        op_near(op_forward(&c, build), want(&r, c.param[0].value, c.param[1].value, 1000, 100), 1e-6, 1,
                "loss", 0);
        op_free(&c);
    }
    sg_free(l);
}

static void nothing_gives_zero(void **state)
{
    (void)state;
    labels *l = labels_new(true);

    for (int k = 0; k < N_KINDS; k++) {
        reduce_case r = {(kind)k, l};
        op_case c = {.user = &r};

        op_param(&c, 0, D, 2);
        op_param(&c, 0, D, 2);
        op_threads(&c, 2);
        assert_true(op_backward(&c, build) == 0);
        op_free(&c);
    }
    memset(l->weight, 0, sizeof l->weight);
    reduce_case r = {BCE, l};
    op_case c = {.user = &r};
    op_param(&c, ROWS, D, 2);
    op_param(&c, ROWS, D, 2);
    op_threads(&c, 1);
    assert_true(op_backward(&c, build) == 0);
    for (int i = 0; i < N; i++)
        assert_true(c.param[0].grad[i] == 0);
    op_free(&c);
    sg_free(l);
}

static void cross_entropy_of_sure_logits_is_finite(void **state)
{
    (void)state;
    const float y[] = {1, 1, 0, 0}, x[] = {1e30f, -1e30f, 1e30f, -1e30f}, grad[] = {0, -0.25f, 0.25f, 0};
    op_case c = {0};
    sg_error err;

    op_param(&c, 4, 1, 1);
    memcpy(c.param[0].value, x, sizeof x);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    sg_tensor *loss = sg_bce_logits(c.graph, sg_leaf(c.graph, &c.param[0]), y, NULL);
    op_near(loss->data[0], 0.5e30, 1e-6, 0, "loss", 0);
    assert_int_equal(sg_backward(c.graph, loss, &err), SG_OK);
    for (int i = 0; i < 4; i++)
        assert_true(c.param[0].grad[i] == grad[i]);
    op_free(&c);
}

static void backward_starts_from_one_number(void **state)
{
    (void)state;
    op_case c = {0};
    sg_error err;

    op_param(&c, 4, 2, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    assert_int_equal(sg_backward(c.graph, op_in(&c, 0), &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "backward starts from a scalar, found 8 numbers");
    op_free(&c);
}

static void rejects_unequal_shapes(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 4, 2, 1);
    op_param(&c, 4, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_mse(c.graph, op_in(&c, 0), op_in(&c, 1)),
                    "mse: expected equal shapes, found (4, 2) and (4, 3)");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(large_arrays_do_not_depend_on_threads),
        cmocka_unit_test(nothing_gives_zero),
        cmocka_unit_test(cross_entropy_of_sure_logits_is_finite),
        cmocka_unit_test(backward_starts_from_one_number),
        cmocka_unit_test(rejects_unequal_shapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
