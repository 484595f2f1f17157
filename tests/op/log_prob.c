/* log_prob.c - log-probabilities of single columns: values against double, gradients, very large logits, what is refused. */
#include "op/op.h"

enum { ROWS = 40, COLS = 23 };
static int32_t begin[ROWS], size[ROWS], target[ROWS];

static sg_tensor *build(op_case *c)
{
    return op_loss(c, sg_log_prob(c->graph, op_in(c, 0), begin, size, target));
}

static void choose_ranges(int rows)
{
    for (int r = 0; r < rows; r++) {
        begin[r] = r % 7;
        size[r] = r % 3 ? 1 + (r * 5) % (COLS - begin[r]) : COLS - begin[r];
        target[r] = r % 5 == 4 ? -1 : begin[r] + (r * 3) % size[r];
    }
}

static void values_and_gradients_are_right(void **state)
{
    static const float sizes[] = {1, 1000}; /* softmax of the second is 0 and 1 */
    (void)state;

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        op_case c = {0};

        choose_ranges(ROWS);
        op_param(&c, ROWS, COLS, sizes[s]);
        op_threads(&c, 1);
        op_forward(&c, build);
        for (int r = 0; r < ROWS; r++) {
            const float *x = c.param[0].value + r * COLS;
            double most = -1e30, sum = 0;

            for (int j = 0; j < size[r]; j++)
                most = fmax(most, (double)x[begin[r] + j]);
            for (int j = 0; j < size[r]; j++)
                sum += exp((double)x[begin[r] + j] - most);
            op_near(c.out->data[r], target[r] < 0 ? 0 : (double)x[target[r]] - most - log(sum), 1e-6, 1, "y",
                    (size_t)r);
        }
        if (s == 0)
            op_check(&c, build, (op_spec){0});
        else
            op_free(&c);
    }
}

static void refuses_targets_outside_the_range(void **state)
{
    (void)state;
    op_case c = {0};

    choose_ranges(2);
    target[1] = 1 + size[1];
    op_param(&c, 2, COLS, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_log_prob(c.graph, op_in(&c, 0), begin, size, target),
                    "log_prob: row 1: target 7 outside columns 1..6 of 23");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(refuses_targets_outside_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
