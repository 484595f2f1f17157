/* elementwise.c - sums, products, scalings, activations: values, gradients, shared inputs, threads. */
#include "op/op.h"

static const int shapes[][2] = {{1, 1}, {1, 5}, {9, 1}, {7, 17}, {40, 33}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

typedef enum kind { PLUS, MINUS, TIMES, SCALE, ADD_ROW, STRAIGHT, N_KINDS } kind;

static sg_tensor *apply(op_case *c, sg_tensor *a, sg_tensor *b, sg_tensor *row)
{
    switch (*(kind *)c->user) {
    case PLUS:
        return sg_plus(c->graph, a, b);
    case MINUS:
        return sg_minus(c->graph, a, b);
    case TIMES:
        return sg_times(c->graph, a, b);
    case SCALE:
        return sg_scale(c->graph, a, -1.5f);
    case ADD_ROW:
        return sg_add_row(c->graph, a, row);
    default:
        return sg_straight_through(c->graph, a, b);
    }
}

static sg_tensor *build(op_case *c)
{
    return op_loss(c, apply(c, op_in(c, 0), op_in(c, 1), op_in(c, 2)));
}

/* The same tensor twice, and inputs read once more afterwards: gradients add up whoever comes first. */
static sg_tensor *build_shared(op_case *c)
{
    sg_tensor *a = op_in(c, 0), *b = op_in(c, 1), *row = op_in(c, 2);
    sg_tensor *y = apply(c, a, a, row);

    y = sg_times(c->graph, y, sg_plus(c->graph, a, b));
    y = sg_plus(c->graph, y, y);
    return op_loss(c, sg_plus(c->graph, sg_plus(c->graph, a, y), sg_scale(c->graph, b, 2)));
}

static double want(kind k, double a, double b, double row)
{
    const double all[] = {a + b, a - b, a * b, -1.5 * a, a + row, a};

    return all[k];
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        for (int s = 0; s < N_SHAPES; s++) {
            const int rows = shapes[s][0], d = shapes[s][1];
            kind which = (kind)k;

            for (int shared = 0; shared < 2; shared++) {
                op_case c = {.user = &which};

                op_param(&c, rows, d, 1);
                op_param(&c, rows, d, 1);
                op_param(&c, d, 0, 1);
                op_threads(&c, 1);
                op_forward(&c, build);
                for (int i = 0; i < rows * d; i++)
                    op_near(c.out->data[i],
                            want(which, c.param[0].value[i], c.param[1].value[i], c.param[2].value[i % d]),
                            1e-6, 1, "y", (size_t)i);
                if (which != STRAIGHT) /* its gradient is not that of its values, on purpose */
                    op_check_gradients(&c, shared ? build_shared : build, (op_spec){0});
                op_check_threads(&c, shared ? build_shared : build);
                op_free(&c);
            }
        }
    }
}

static void large_arrays_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        kind which = (kind)k;
        op_case c = {.user = &which};

        op_param(&c, 1000, 67, 1);
        op_param(&c, 1000, 67, 1);
        op_param(&c, 67, 0, 1);
        op_check_threads(&c, build);
        op_check_threads(&c, build_shared);
        op_free(&c);
    }
}

static void straight_through_sends_the_gradient_to_the_other(void **state)
{
    (void)state;
    kind which = STRAIGHT;
    op_case c = {.user = &which};

    op_param(&c, 3, 5, 1);
    op_param(&c, 3, 5, 1);
    op_param(&c, 5, 0, 1);
    op_threads(&c, 1);
    op_backward(&c, build);
    for (size_t i = 0; i < 15; i++) {
        assert_true(c.param[0].grad[i] == 0);
        assert_true(c.param[1].grad[i] == op_random(i, 99));
    }
    op_free(&c);
}

static sg_tensor *build_stop(op_case *c)
{
    sg_tensor *a = op_in(c, 0);

    return op_loss(c, sg_times(c->graph, a, sg_stop(c->graph, a)));
}

static void stop_lets_no_gradient_through(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 3, 5, 1);
    op_threads(&c, 1);
    op_backward(&c, build_stop);
    for (size_t i = 0; i < 15; i++)
        op_near(c.param[0].grad[i], (double)op_random(i, 99) * c.param[0].value[i], 1e-6, 0, "grad", i);
    op_free(&c);
}

static sg_tensor *build_act(op_case *c)
{
    return op_loss(c, sg_activate(c->graph, op_in(c, 0), *(sg_act *)c->user));
}

/* relu at its corner and all others where they bend */
static void activations_have_their_gradient(void **state)
{
    (void)state;
    for (int a = SG_RELU; a <= SG_SIGMOID; a++) {
        for (int s = 0; s < N_SHAPES; s++) {
            sg_act act = (sg_act)a;
            op_case c = {.user = &act};

            op_param(&c, shapes[s][0], shapes[s][1], 3);
            for (size_t i = 0; a == SG_RELU && i < c.param[0].count;
                 i++) /* keep the difference off the corner */
                c.param[0].value[i] += c.param[0].value[i] > 0 ? 0.1f : -0.1f;
            op_check(&c, build_act, (op_spec){.step = 3e-3});
        }
    }
}

static void rejects_unequal_shapes(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 3, 5, 1);
    op_param(&c, 5, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_plus(c.graph, op_in(&c, 0), op_in(&c, 1)),
                    "plus: expected equal shapes, found (3, 5) and (5, 3)");
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_add_row(c.graph, op_in(&c, 0), op_in(&c, 1)),
                    "add_row: expected a row of 5 numbers, found 15");
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    assert_null(sg_plus(c.graph, NULL, op_in(&c, 0)));
    assert_null(sg_times(c.graph, op_in(&c, 0), NULL));
    assert_null(sg_activate(c.graph, NULL, SG_RELU));
    assert_null(sg_stop(c.graph, NULL));
    assert_int_equal(sg_graph_status(c.graph, NULL), SG_OK);
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(large_arrays_do_not_depend_on_threads),
        cmocka_unit_test(straight_through_sends_the_gradient_to_the_other),
        cmocka_unit_test(stop_lets_no_gradient_through),
        cmocka_unit_test(activations_have_their_gradient),
        cmocka_unit_test(rejects_unequal_shapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
