/* dropout.c - masks drawn again on the way back, their share, identity in inference, residual form. */
#include "op/op.h"

static sg_tensor *build(op_case *c)
{
    return op_loss(c, sg_dropout(c->graph, op_in(c, 0), 0.3f));
}

static sg_tensor *build_leaf(op_case *c)
{
    return op_loss(c, sg_dropout(c->graph, sg_leaf(c->graph, &c->param[0]), 0.3f));
}

static sg_tensor *build_residual(op_case *c)
{
    sg_tensor *x = op_in(c, 0), *y = op_in(c, 1);

    x = sg_add_dropout(c->graph, x, y, 0.3f);
    return op_loss(c, sg_add_dropout(c->graph, x, sg_times(c->graph, x, y), 0.5f));
}

static const int shapes[][2] = {{1, 1}, {1, 5}, {9, 31}, {7, 32}, {500, 67}};

static void has_its_gradient(void **state)
{
    (void)state;
    op_build *const builds[] = {build, build_leaf, build_residual};

    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int b = 0; b < 3; b++) {
            op_case c = {0};

            op_param(&c, shapes[s][0], shapes[s][1], 1);
            op_param(&c, shapes[s][0], shapes[s][1], 1);
            op_check(&c, builds[b], (op_spec){0});
        }
    }
}

static void keeps_the_mean(void **state)
{
    (void)state;
    static const float shares[] = {0.01f, 0.1f, 0.3f, 0.5f, 0.9f};
    enum { N = 200000 };
    op_case c = {0};

    op_param(&c, N, 1, 1);
    for (int i = 0; i < N; i++)
        c.param[0].value[i] = 1;
    op_threads(&c, 2);
    for (int s = 0; s < 5; s++) {
        const double p = (double)shares[s];
        int dropped = 0;
        double sum = 0;

        sg_graph_begin(c.graph, SG_TRAIN, 5, (uint64_t)s);
        const sg_tensor *y = sg_dropout(c.graph, op_in(&c, 0), shares[s]);
        assert_non_null(y);
        for (int i = 0; i < N; i++) {
            dropped += y->data[i] == 0;
            sum += y->data[i];
        }
        assert_true(fabs(dropped / (double)N - p) < 5 * sqrt(p * (1 - p) / N) + 1.0 / 65536);
        assert_true(fabs(sum / N - 1) < 5 * sqrt(p / (1 - p) / N));
    }
    op_free(&c);
}

static void differs_by_op_step_and_seed_only(void **state)
{
    (void)state;
    enum { N = 256 };
    float first[N], again[N];
    op_case c = {0};

    op_param(&c, N, 1, 1);
    op_threads(&c, 1);
    for (int change = 0; change < 4; change++) {
        sg_graph_begin(c.graph, SG_TRAIN, change == 1 ? 6 : 5, change == 2 ? 8 : 7);
        if (change == 3)
            sg_dropout(c.graph, op_in(&c, 0), 0.5f);
        const sg_tensor *y = sg_dropout(c.graph, op_in(&c, 0), 0.5f);
        memcpy(change ? again : first, y->data, sizeof first);
        if (change)
            assert_memory_not_equal(first, again, sizeof first);
    }
    sg_graph_begin(c.graph, SG_TRAIN, 5, 7);
    assert_memory_equal(sg_dropout(c.graph, op_in(&c, 0), 0.5f)->data, first, sizeof first);
    op_free(&c);
}

static void is_the_identity_in_inference(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 4, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 5, 7);
    sg_tensor *x = op_in(&c, 0);
    assert_ptr_equal(sg_dropout(c.graph, x, 0.5f), x);
    const sg_tensor *y = sg_add_dropout(c.graph, x, x, 0.5f);
    for (int i = 0; i < 12; i++)
        assert_true(y->data[i] == 2 * x->data[i]);
    op_free(&c);
}

static void share_one_drops_everything(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 4, 50, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 5, 7);
    const sg_tensor *y = sg_dropout(c.graph, op_in(&c, 0), 1);
    for (int i = 0; i < 200; i++)
        assert_true(y->data[i] == 0);
    op_free(&c);
}

static void rejects_shares_outside_0_and_1(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 4, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 5, 7);
    op_expect_error(&c, sg_dropout(c.graph, op_in(&c, 0), 1.5f),
                    "dropout: expected a share from 0 to 1, found 1.5");
    sg_graph_begin(c.graph, SG_TRAIN, 5, 7);
    op_expect_error(&c, sg_add_dropout(c.graph, op_in(&c, 0), op_in(&c, 0), NAN),
                    "add_dropout: expected a share from 0 to 1, found nan");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_its_gradient),
        cmocka_unit_test(keeps_the_mean),
        cmocka_unit_test(differs_by_op_step_and_seed_only),
        cmocka_unit_test(is_the_identity_in_inference),
        cmocka_unit_test(share_one_drops_everything),
        cmocka_unit_test(rejects_shares_outside_0_and_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
