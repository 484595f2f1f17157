/* balance.c - soft permutations: rows and columns sum to one, values against double, gradients through the rounds, a sharp block is a
 * permutation to the last digit; squares times tables against a plain product. */
#include "op/op.h"

static const int shapes[][3] = {
    {1, 1, 1}, {1, 3, 2}, {3, 7, 5}, {2, 16, 20}, {2, 33, 8}}; /* blocks, n, rounds */

static sg_tensor *build(op_case *c)
{
    return op_loss(c, sg_balance(c->graph, op_in(c, 0), *(const int *)c->user));
}

static void reference(double *y, const float *x, int n, int rounds)
{
    for (int i = 0; i < n * n; i++)
        y[i] = exp((double)x[i]);
    for (int t = 0; t < rounds; t++) {
        for (int i = 0; i < n; i++) {
            double sum = 0;

            for (int j = 0; j < n; j++)
                sum += y[i * n + j];
            for (int j = 0; j < n; j++)
                y[i * n + j] /= sum;
        }
        for (int j = 0; j < n; j++) {
            double sum = 0;

            for (int i = 0; i < n; i++)
                sum += y[i * n + j];
            for (int i = 0; i < n; i++)
                y[i * n + j] /= sum;
        }
    }
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int blocks = shapes[s][0], n = shapes[s][1];
        int rounds = shapes[s][2];
        double want[33 * 33];
        op_case c = {.user = &rounds};

        op_param(&c, blocks * n, n, 3);
        op_threads(&c, 1);
        op_forward(&c, build);
        for (int b = 0; b < blocks; b++) {
            reference(want, c.param[0].value + b * n * n, n, rounds);
            for (int i = 0; i < n * n; i++)
                op_near((double)c.out->data[b * n * n + i], want[i], 1e-4, 1e-3, "y",
                        (size_t)i); /* exp of f32 sums of size 10 */
        }
        op_check_gradients(&c, build, (op_spec){.tolerance = 3e-3});
        op_check_threads(&c, build);
        op_free(&c);
    }
}

static void is_doubly_stochastic(void **state)
{
    enum { N = 64 };
    const float sizes[] = {0.1f, 3, 8};

    (void)state;
    for (int k = 0; k < 3; k++) {
        int rounds = 20 + 60 * (k == 2); /* sharper blocks take longer */
        op_case c = {.user = &rounds};

        op_param(&c, N, N, sizes[k]);
        op_threads(&c, 1);
        op_forward(&c, build);
        for (int i = 0; i < N; i++) {
            double row = 0, column = 0;

            for (int j = 0; j < N; j++) {
                row += (double)c.out->data[i * N + j];
                column += (double)c.out->data[j * N + i];
            }
            op_near(row, 1, 1e-3, 1, "row", (size_t)i);
            op_near(column, 1, 1e-3, 1, "column", (size_t)i);
        }
        op_free(&c);
    }
}

static sg_tensor *build_table(op_case *c)
{
    return op_loss(c, sg_squares_times(c->graph, sg_balance(c->graph, op_in(c, 0), 10), op_in(c, 1)));
}

/* What exp cannot hold: 1e4 on the places of a permutation, and its rows come out as they are. */
static void a_sharp_block_moves_rows(void **state)
{
    enum { N = 5, D = 3 };
    static const int to[N] = {3, 1, 4, 0, 2};
    op_case c = {0};

    (void)state;
    op_param(&c, 2 * N, N, 1);
    op_param(&c, 2 * N, D, 1);
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < N; i++)
            c.param[0].value[(b * N + i) * N + to[i]] = 1e4f;
    op_threads(&c, 1);
    op_forward(&c, build_table);
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < N; i++)
            assert_memory_equal(c.out->data + (b * N + i) * D, c.param[1].value + (b * N + to[i]) * D,
                                D * sizeof(float));
    op_free(&c);
}

static sg_tensor *build_times(op_case *c)
{
    return op_loss(c, sg_squares_times(c->graph, op_in(c, 0), op_in(c, 1)));
}

static void squares_times_tables(void **state)
{
    static const int sizes[][3] = {{1, 1, 1}, {3, 4, 7}, {2, 17, 33}}; /* blocks, n, d */

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int blocks = sizes[s][0], n = sizes[s][1], d = sizes[s][2];
        op_case c = {0};

        op_param(&c, blocks * n, n, 1);
        op_param(&c, blocks * n, d, 1);
        op_threads(&c, 1);
        op_forward(&c, build_times);
        for (int r = 0; r < blocks * n; r++)
            for (int k = 0; k < d; k++) {
                double want = 0;

                for (int j = 0; j < n; j++)
                    want += (double)c.param[0].value[r * n + j] *
                            (double)c.param[1].value[(r / n * n + j) * d + k];
                op_near((double)c.out->data[r * d + k], want, 1e-5, 1, "y", (size_t)r);
            }
        op_check_gradients(&c, build_times, (op_spec){0});
        op_check_gradients(&c, build_table, (op_spec){.tolerance = 3e-3});
        op_check_threads(&c, build_table);
        op_free(&c);
    }
}

static void refuses_what_does_not_fit(void **state)
{
    op_case c = {0};

    (void)state;
    op_param(&c, 5, 3, 1);
    op_param(&c, 6, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_balance(c.graph, op_in(&c, 0), 2),
                    "balance: expected square blocks, one under the other, found (5, 3)");
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_squares_times(c.graph, op_in(&c, 1), op_in(&c, 0)),
                    "squares_times: expected square blocks and as many rows, found (6, 3) and (5, 3)");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right), cmocka_unit_test(is_doubly_stochastic),
        cmocka_unit_test(a_sharp_block_moves_rows),       cmocka_unit_test(squares_times_tables),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
