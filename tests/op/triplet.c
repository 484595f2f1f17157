/* triplet.c - value against double, gradients against differences, threads, refusals. */
#include "op/op.h"

typedef struct setup {
    int rows, d;
    float margin;
} setup;

static const setup setups[] = {{1, 1, 0.5f}, {40, 17, 30}, {7, 33, 60}, {9, 16, 1000}, {5, 4, -1000}};

static sg_tensor *build(op_case *c)
{
    const setup *s = c->user;

    return sg_triplet(c->graph, op_in(c, 0), op_in(c, 1), op_in(c, 2), s->margin);
}

static void prepare(op_case *c, const setup *s)
{
    *c = (op_case){.user = (void *)(uintptr_t)s};
    for (int i = 0; i < 3; i++)
        op_param(c, s->rows, s->d, 1);
    for (int i = 0; i < s->rows * s->d;
         i++) /* every other negative is far off, so that no row is near the margin */
        c->param[2].value[i] *= i / s->d % 2 ? 10.0f : 1.0f;
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        const setup *s = &setups[i];
        double sum = 0;
        op_case c;

        prepare(&c, s);
        op_threads(&c, 1);
        for (int r = 0; r < s->rows; r++) {
            double loss = (double)s->margin;

            for (int k = r * s->d; k < (r + 1) * s->d; k++) {
                const double a = c.param[0].value[k], p = c.param[1].value[k], n = c.param[2].value[k];

                loss += (a - p) * (a - p) - (a - n) * (a - n);
            }
            sum += loss > 0 ? loss : 0;
        }
        op_near(op_forward(&c, build), sum / s->rows, 1e-6, 1, "loss", i);
        op_free(&c);
    }
}

static void gradients_are_differences_and_threads_agree(void **state)
{
    (void)state;
    for (size_t i = 1; i < sizeof setups / sizeof *setups - 1; i++) { /* the last has no gradient at all */
        op_case c;

        prepare(&c, &setups[i]);
        /* quadratic: differences are exact for any step, a long one drowns the rounding of the loss */
        op_check(&c, build, (op_spec){.probes = 20, .step = 0.1});
    }
}

static void refuses_other_shapes(void **state)
{
    (void)state;
    sg_error err = {0};
    op_case c;

    prepare(&c, &setups[1]);
    c.param[2].dim[0] = 39;
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 1, 1);
    assert_null(build(&c));
    assert_int_equal(sg_graph_status(c.graph, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "triplet: (40, 17), (40, 17) and (39, 17) are not of one shape");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(refuses_other_shapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
