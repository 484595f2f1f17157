/* recompute.c - a part of the graph that is made again on the way back gives the bytes of one that was kept, dropout included, and
 * gives its memory back. */
#include "op/op.h"

typedef struct setup {
    bool again, beside; /* beside: layers read a second tensor, all of them the same */
    int layers;
} setup;

static sg_tensor *layer(sg_graph *g, sg_tensor *x, sg_tensor *beside, const void *ctx)
{
    op_case *c = (op_case *)(uintptr_t)ctx;
    sg_tensor *n = sg_rmsnorm(g, x, &c->param[3], 1e-5f);

    n = sg_linear(g, sg_activate(g, sg_linear(g, n, &c->param[1], NULL), SG_SILU), &c->param[2], NULL);
    if (beside)
        n = sg_times(g, n, sg_linear(g, beside, &c->param[5], NULL));
    return sg_add_dropout(g, x, n, 0.2f);
}

static sg_tensor *build(op_case *c)
{
    const setup *s = c->user;
    sg_tensor *x = op_in(c, 0), *beside = s->beside ? op_in(c, 4) : NULL;

    for (int i = 0; i < s->layers; i++)
        x = s->again ? sg_recompute(c->graph, x, beside, layer, c) : layer(c->graph, x, beside, c);
    return op_loss(c, sg_dropout(c->graph, x, 0.1f)); /* masks of later ops keep their names */
}

static void prepare(op_case *c, setup *s)
{
    *c = (op_case){.user = s};
    op_param(c, 37, 24, 1);
    op_param(c, 40, 24, 0.3f);
    op_param(c, 24, 40, 0.3f);
    op_param(c, 24, 0, 1);
    op_param(c, 37, 24, 1);
    op_param(c, 24, 24, 0.3f);
    op_threads(c, 1);
}

static void check_bytes(setup *s)
{
    op_case c;

    prepare(&c, s);
    op_result kept = op_run(&c, build);
    const size_t peak = sg_arena_used(sg_graph_arena(c.graph));
    s->again = true;
    op_same(&c, build, &kept);
    assert_true(sg_arena_used(sg_graph_arena(c.graph)) < peak);
    op_result_free(&kept);
    op_check(&c, build, (op_spec){0});
}

static void gives_the_same_bytes(void **state)
{
    (void)state;
    check_bytes(&(setup){.layers = 3});
}

static void gives_the_gradient_of_what_all_parts_read(void **state)
{
    (void)state;
    check_bytes(&(setup){.layers = 3, .beside = true});
}

static sg_tensor *narrower(sg_graph *g, sg_tensor *x, sg_tensor *beside, const void *ctx)
{
    return sg_slice_cols(g, x, 0, 5);
}

static void refuses_another_shape(void **state)
{
    (void)state;
    setup s = {0};
    op_case c;

    prepare(&c, &s);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_recompute(c.graph, op_in(&c, 0), NULL, narrower, NULL),
                    "recompute: expected a part that keeps the shape (37, 24), found (37, 5)");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_bytes),
        cmocka_unit_test(gives_the_gradient_of_what_all_parts_read),
        cmocka_unit_test(refuses_another_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
