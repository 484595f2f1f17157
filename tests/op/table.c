/* table.c - item vectors made in the step as the table of a softmax: the loss of a table, its gradient goes on below. */
#include "op/op.h"

enum { ROWS = 21, N = 13, D = 8, WIDE = 5 };

static const int32_t target[ROWS] = {0, 3, 12, -1, 7, 7, 1, 0, 11, 5, 6, -1, 2, 9, 10, 4, 8, 12, 12, 3, 1};

static sg_tensor *build_made(op_case *c)
{
    sg_graph *g = c->graph;
    sg_tensor *v =
        sg_l2norm(g, sg_plus(g, sg_linear(g, op_in(c, 1), &c->param[2], NULL), op_in(c, 3)), 1e-12f);
    sg_tensor *ce = sg_softmax_ce(g, op_in(c, 0), sg_table(g, v), NULL, target, NULL, 3, 0.1f);

    return op_loss(
        c, sg_plus(g, ce, sg_mean(g, sg_times(g, v, sg_rows(g, v, target, N))))); /* read beside it, too */
}

static void inputs(op_case *c)
{
    op_param(c, ROWS, D, 1);
    op_param(c, N, WIDE, 1);
    op_param(c, D, WIDE, 1);
    op_param(c, N, D, 1);
}

static void the_gradient_goes_on_below(void **state)
{
    (void)state;
    op_case c = {0};

    inputs(&c);
    op_check(&c, build_made, (op_spec){0});
}

static void a_parameter_is_its_own_table(void **state)
{
    (void)state;
    op_case c = {0};

    inputs(&c);
    op_threads(&c, 1);
    sg_graph *g = c.graph;
    sg_graph_begin(g, SG_INFER, 0, 0);
    sg_tensor *leaf = sg_leaf(g, &c.param[3]), *copy = sg_scale(g, leaf, 1);
    assert_ptr_equal(sg_table(g, leaf), &c.param[3]);
    const sg_tensor *a = sg_softmax_ce(g, op_in(&c, 0), &c.param[3], NULL, target, NULL, 1, 0);
    const sg_tensor *b = sg_softmax_ce(g, op_in(&c, 0), sg_table(g, copy), NULL, target, NULL, 1, 0);
    assert_true(a->data[0] == b->data[0]);
    op_free(&c);
}

static void refuses_what_has_no_rows(void **state)
{
    (void)state;
    op_case c = {0};
    sg_error err = {0};

    inputs(&c);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    assert_null(sg_table(c.graph, NULL));
    assert_null(sg_softmax_ce(c.graph, op_in(&c, 0), sg_table(c.graph, sg_mean(c.graph, op_in(&c, 0))), NULL,
                              target, NULL, 1, 0));
    assert_int_equal(sg_graph_status(c.graph, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "table: expected 2 dimensions, found ()");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_goes_on_below),
        cmocka_unit_test(a_parameter_is_its_own_table),
        cmocka_unit_test(refuses_what_has_no_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
