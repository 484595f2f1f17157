/* hstu_gate.c - values and gradients against a double reference, the same mask as dropout alone, threads. */
#include "op/op.h"

typedef struct setup {
    int rows, d, wide, at;
    float dropout;
} setup;

static const setup setups[] = {
    {1, 1, 1, 0, 0},       {5, 16, 16, 0, 0},      {7, 50, 200, 0, 0},
    {9, 13, 40, 27, 0.5f}, {300, 64, 70, 3, 0.2f}, {0, 8, 16, 8, 0.2f},
};

static const float EPS = 1e-6f;

static sg_tensor *build(op_case *c)
{
    const setup *s = c->user;

    return op_loss(c, sg_hstu_gate(c->graph, op_in(c, 0), op_in(c, 1), s->at, EPS, s->dropout));
}

/* The same from the ops that it is made of: one op before it, so that the number of the mask agrees. */
static sg_tensor *build_parts(op_case *c)
{
    const setup *s = c->user;
    sg_tensor *x = op_in(c, 0), *z = op_in(c, 1);
    sg_tensor *open = sg_slice_cols(c->graph, sg_activate(c->graph, z, SG_SILU), s->at, s->at + s->d);

    return op_loss(c,
                   sg_dropout(c->graph, sg_times(c->graph, sg_layernorm(c->graph, x, NULL, NULL, EPS), open),
                              s->dropout));
}

static void prepare(op_case *c, const setup *s)
{
    *c = (op_case){.user = (void *)(uintptr_t)s};
    op_param(c, s->rows, s->d, 1);
    op_param(c, s->rows, s->wide, 3);
}

static void equals_its_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case a, b;

        prepare(&a, &setups[i]);
        prepare(&b, &setups[i]);
        op_threads(&a, 2);
        op_threads(&b, 1);
        op_backward(&a, build);
        op_backward(&b, build_parts);
        assert_int_equal(a.out->count, b.out->count);
        for (size_t j = 0; j < a.out->count;
             j++) /* the same kernels: but for the ends of rows, the same numbers */
            op_near(a.out->data[j], b.out->data[j], 1e-6, 1e-3, "y", j);
        for (int p = 0; p < 2; p++)
            for (size_t j = 0; j < a.param[p].count; j++)
                op_near(a.param[p].grad[j], b.param[p].grad[j], 1e-5, 1e-2, a.param[p].name, j);
        op_free(&a);
        op_free(&b);
    }
}

static void gradients_and_threads(void **state)
{
    (void)state;
    for (size_t i = 1; i + 1 < sizeof setups / sizeof *setups; i++) { /* a row of one number is 0 for any x */
        op_case c;

        prepare(&c, &setups[i]);
        op_check(&c, build, (op_spec){.step = 2e-3, .tolerance = 4e-3});
    }
}

static void refuses_columns_that_are_not_there(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 3, 4, 1);
    op_param(&c, 3, 7, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 1, 0);
    op_expect_error(&c, sg_hstu_gate(c.graph, op_in(&c, 0), op_in(&c, 1), 4, EPS, 0),
                    "hstu_gate: expected as many rows and columns from 4 on as in (3, 4), found (3, 7)");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_its_parts),
        cmocka_unit_test(gradients_and_threads),
        cmocka_unit_test(refuses_columns_that_are_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
