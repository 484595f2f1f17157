/* lora.c - the low-rank layer: values against a double reference, gradients, dropout, widths that are no whole vectors, threads. */
#include "op/op.h"

static const struct {
    int rows, in, out, r;
    float dropout;
    bool bias;
} cases[] = {{1, 1, 1, 1, 0, false},  {3, 16, 32, 8, 0, true},     {70, 48, 16, 16, 0, false},
             {9, 7, 20, 3, 0, true},  {40, 33, 17, 5, 0.3f, true}, {35, 64, 48, 20, 0.1f, false},
             {0, 16, 16, 4, 0, false}};

typedef struct setup {
    float dropout;
    bool bias;
} setup;

static sg_tensor *build(op_case *c)
{
    const setup *s = c->user;

    return op_loss(c, sg_linear_lora(c->graph, op_in(c, 0), &c->param[1], s->bias ? &c->param[4] : NULL,
                                     &c->param[2], &c->param[3], 1.5f, s->dropout));
}

/* y = x w^T + b + 1.5 drop(x) a^T b^T from ops that exist: the mask of drop is that of the first op with a number. */
static sg_tensor *build_in_steps(op_case *c)
{
    const setup *s = c->user;
    sg_tensor *x = op_in(c, 0),
              *low = sg_linear(c->graph, sg_dropout(c->graph, x, s->dropout), &c->param[2], NULL);
    sg_tensor *y = sg_linear(c->graph, x, &c->param[1], s->bias ? &c->param[4] : NULL);

    return op_loss(
        c, sg_plus(c->graph, y, sg_scale(c->graph, sg_linear(c->graph, low, &c->param[3], NULL), 1.5f)));
}

static void equals_the_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup s = {cases[i].dropout, cases[i].bias};
        op_case c = {.user = &s};
        double *grad[5];

        op_param(&c, cases[i].rows, cases[i].in, 1);
        op_param(&c, cases[i].out, cases[i].in, 1);
        op_param(&c, cases[i].r, cases[i].in, 1);
        op_param(&c, cases[i].out, cases[i].r, 1);
        op_param(&c, cases[i].out, 0, 1);
        op_threads(&c, 1);
        op_backward(&c, build_in_steps);
        double *y = sg_alloc_array(c.out->count + 1, sizeof *y);
        assert_non_null(y);
        for (size_t k = 0; k < c.out->count; k++)
            y[k] = c.out->data[k];
        for (int p = 0; p < 5; p++) {
            grad[p] = sg_alloc_array(c.param[p].count + 1, sizeof **grad);
            assert_non_null(grad[p]);
            for (size_t k = 0; k < c.param[p].count; k++)
                grad[p][k] = c.param[p].grad[k];
        }
        op_backward(&c, build);
        for (size_t k = 0; k < c.out->count; k++) /* f32 sums of up to 64 terms of size 1 */
            op_near(c.out->data[k], y[k], 1e-5, 5, "y", k);
        for (int p = 0; p < 5; p++) {
            for (size_t k = 0; k < c.param[p].count; k++)
                op_near(c.param[p].grad[k], grad[p][k], 1e-5, 20, c.param[p].name, k);
            sg_free(grad[p]);
        }
        sg_free(y);
        op_check(&c, build, (op_spec){0});
    }
}

static void a_frozen_weight_learns_nothing(void **state)
{
    (void)state;
    setup s = {0, false};
    op_case c = {.user = &s};

    op_param(&c, 20, 16, 1);
    op_param(&c, 32, 16, 1);
    op_param(&c, 4, 16, 1);
    op_param(&c, 32, 4, 0); /* zeros: the layer is as it was */
    op_param(&c, 32, 0, 1);
    c.param[1].frozen = true;
    op_threads(&c, 1);
    op_backward(&c, build);
    const sg_tensor *plain = sg_linear(c.graph, sg_leaf(c.graph, &c.param[0]), &c.param[1], NULL);
    assert_memory_equal(plain->data, c.out->data, plain->count * sizeof(float));
    for (size_t i = 0; i < c.param[1].count; i++)
        assert_true(c.param[1].grad[i] == 0);
    for (size_t i = 0; i < c.param[2].count; i++)
        assert_true(c.param[2].grad[i] == 0);
    bool any = false;
    for (size_t i = 0; i < c.param[3].count; i++)
        any = any || c.param[3].grad[i] != 0;
    assert_true(any);
    op_free(&c);
}

/* bf16 rounds x and w: 2^-8 of each product, whose sum of 64 is about 3 */
static void bf16_is_near(void **state)
{
    (void)state;
    setup s = {0, false};
    op_case c = {.user = &s, .precision = SG_BF16};

    op_param(&c, 128, 64, 1);
    op_param(&c, 64, 64, 1);
    op_param(&c, 8, 64, 1);
    op_param(&c, 64, 8, 1);
    op_param(&c, 64, 0, 1);
    op_threads(&c, 2);
    op_forward(&c, build);
    float *y = sg_alloc_array(c.out->count, sizeof *y);
    assert_non_null(y);
    memcpy(y, c.out->data, c.out->count * sizeof *y);
    c.precision = SG_F32;
    op_threads(&c, 2);
    op_forward(&c, build);
    for (size_t i = 0; i < c.out->count; i++)
        op_near(y[i], c.out->data[i], 5e-3, 10, "y", i);
    sg_free(y);
    op_free(&c);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 2, 6, 1);
    op_param(&c, 4, 6, 1);
    op_param(&c, 3, 5, 1);
    op_param(&c, 4, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c,
                    sg_linear_lora(c.graph, op_in(&c, 0), &c.param[1], NULL, &c.param[2], &c.param[3], 1, 0),
                    "lora 'p1': rows, weights, bias and low-rank parts do not fit");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_parts),
        cmocka_unit_test(a_frozen_weight_learns_nothing),
        cmocka_unit_test(bf16_is_near),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
