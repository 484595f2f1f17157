/* silu_times.c - the gate of SwiGLU: values against double, gradients, one tensor on both sides, threads. */
#include "op/op.h"

static const int shapes[][2] = {{1, 1}, {3, 17}, {40, 33}, {0, 4}, {9, 5000}};

static sg_tensor *build(op_case *c)
{
    return op_loss(c, sg_silu_times(c->graph, op_in(c, 0), op_in(c, 1)));
}

static sg_tensor *build_shared(op_case *c)
{
    sg_tensor *x = op_in(c, 0), *u = op_in(c, 1);

    return op_loss(c, sg_plus(c->graph,
                              sg_plus(c->graph, sg_silu_times(c->graph, x, x), sg_silu_times(c->graph, u, x)),
                              u));
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int shared = 0; shared < 2; shared++) {
            op_case c = {0};

            op_param(&c, shapes[s][0], shapes[s][1], 3);
            op_param(&c, shapes[s][0], shapes[s][1], 1);
            op_threads(&c, 1);
            op_forward(&c, build);
            for (size_t i = 0; i < c.out->count; i++) {
                const double x = c.param[0].value[i];

                op_near(c.out->data[i], x / (1 + exp(-x)) * c.param[1].value[i], 2e-6, 1, "y", i);
            }
            op_check(&c, shared ? build_shared : build, (op_spec){0});
        }
}

static void refuses_other_shapes(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 2, 6, 1);
    op_param(&c, 3, 4, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_silu_times(c.graph, op_in(&c, 0), op_in(&c, 1)),
                    "silu_times: expected two tensors of one shape, found (2, 6) and (3, 4)");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(refuses_other_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
