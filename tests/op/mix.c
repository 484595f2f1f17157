/* mix.c - mixtures of rows: values against double, gradients, threads. */
#include "op/op.h"

enum { N = 5 };
static int32_t row[600], col[600];
static int rows, top;

static sg_tensor *build(op_case *c)
{
    return op_loss(c, sg_mix_rows(c->graph, op_in(c, 0), op_in(c, 1), row, col, top));
}

static void values_and_gradients_are_right(void **state)
{
    static const int shapes[][3] = {{1, 1, 1}, {3, 2, 17}, {200, 3, 8}, {7, 5, 33}}; /* rows, top, d */
    (void)state;

    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int d = shapes[s][2];
        op_case c = {0};

        rows = shapes[s][0];
        top = shapes[s][1];
        for (int i = 0; i < rows * top; i++) { /* a permutation of the slots, each column once a row */
            row[i] = rows * top - 1 - i;
            col[i] = (i / top + i % top) % N;
        }
        op_param(&c, rows * top, d, 1);
        op_param(&c, rows, N, 1);
        op_threads(&c, 1);
        op_forward(&c, build);
        for (int i = 0; i < rows; i++)
            for (int k = 0; k < d; k++) {
                double want = 0;

                for (int j = 0; j < top; j++)
                    want += (double)c.param[1].value[i * N + col[i * top + j]] *
                            c.param[0].value[row[i * top + j] * d + k];
                op_near(c.out->data[i * d + k], want, 1e-6, 1, "y", (size_t)(i * d + k));
            }
        op_check(&c, build, (op_spec){0});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_and_gradients_are_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
