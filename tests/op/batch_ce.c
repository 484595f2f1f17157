/* batch_ce.c - the contrastive loss: values against double, gradients, more candidates than queries, one tensor on both sides. */
#include "op/op.h"

static const int shapes[][3] = {{1, 1, 3}, {1, 4, 16}, {7, 7, 5}, {9, 30, 33}, {40, 90, 20}};

static sg_tensor *build(op_case *c)
{
    return sg_batch_ce(c->graph, op_in(c, 0), op_in(c, 1), 0.5f);
}

static sg_tensor *build_shared(op_case *c)
{
    sg_tensor *x = op_in(c, 0);

    return sg_plus(c->graph, sg_batch_ce(c->graph, x, x, 0.3f), sg_batch_ce(c->graph, x, op_in(c, 1), 0.5f));
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int rows = shapes[s][0], n = shapes[s][1], d = shapes[s][2];
        double want = 0;
        op_case c = {0};

        op_param(&c, rows, d, 1);
        op_param(&c, n, d, 1);
        for (int r = 0; r < rows; r++) {
            double sum = 0, own = 0;

            for (int j = 0; j < n; j++) {
                double l = 0;

                for (int i = 0; i < d; i++)
                    l += 0.5 * (double)c.param[0].value[r * d + i] * (double)c.param[1].value[j * d + i];
                sum += exp(l);
                own = j == r ? l : own;
            }
            want += (log(sum) - own) / rows;
        }
        op_threads(&c, 1);
        op_near(op_forward(&c, build), want, 1e-5, 1, "loss", s);
        /* the loss is one f32 number of size 3: wide steps, or its rounding shows */
        op_check_gradients(&c, build, (op_spec){.step = 3e-2, .tolerance = 2e-3});
        op_check_gradients(&c, build_shared, (op_spec){.step = 3e-2, .tolerance = 2e-3});
        op_check_threads(&c, build);
        op_free(&c);
    }
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 4, 6, 1);
    op_param(&c, 3, 6, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_batch_ce(c.graph, op_in(&c, 0), op_in(&c, 1), 1),
                    "batch_ce: expected at least as many candidates as queries, of one width, found (4, 6) and (3, 6)");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
