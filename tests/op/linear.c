/* linear.c - y = x w^T + b and products of tensors: values, gradients, threads, shapes that do not fit. */
#include "op/op.h"

#include "math/gemm.h"
#include "nn/param.h"

static const int shapes[][3] = {{1, 1, 1},     {1, 5, 7},  {7, 16, 1},    {33, 17, 19},
                                {300, 24, 40}, {16, 1, 3}, {1300, 7, 20}, {1300, 20, 7}};

static sg_tensor *build_linear(op_case *c)
{
    return op_loss(c, sg_linear(c->graph, op_in(c, 0), &c->param[1], &c->param[2]));
}

static void check_values(op_case *c)
{
    const sg_param *x = &c->param[0], *w = &c->param[1], *b = &c->param[2];

    op_forward(c, build_linear);
    for (int r = 0; r < x->dim[0]; r++) {
        for (int o = 0; o < w->dim[0]; o++) {
            double y = b->value[o];

            for (int i = 0; i < w->dim[1]; i++)
                y += (double)x->value[r * w->dim[1] + i] * w->value[o * w->dim[1] + i];
            op_near(c->out->data[r * w->dim[0] + o], y, 1e-5, 1, "y", (size_t)(r * w->dim[0] + o));
        }
    }
}

static void linear_is_right(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        op_case c = {0};

        op_param(&c, shapes[s][0], shapes[s][1], 1);
        op_param(&c, shapes[s][2], shapes[s][1], 1);
        op_param(&c, shapes[s][2], 0, 1);
        op_threads(&c, 2);
        check_values(&c);
        op_check(&c, build_linear, (op_spec){0});
    }
}

typedef struct act_case {
    sg_act act;
    float dropout;
} act_case;

static sg_tensor *build_fused(op_case *c)
{
    const act_case *a = c->user;

    return op_loss(c, sg_linear_act(c->graph, op_in(c, 0), &c->param[1], &c->param[2], a->act, a->dropout));
}

static sg_tensor *build_in_steps(op_case *c)
{
    const act_case *a = c->user;
    sg_tensor *y =
        sg_activate(c->graph, sg_linear(c->graph, op_in(c, 0), &c->param[1], &c->param[2]), a->act);

    return op_loss(c, sg_dropout(c->graph, y, a->dropout));
}

/* one op gives what three give: values, and gradients up to the order of a few roundings */
static void linear_act_is_linear_activate_dropout(void **state)
{
    (void)state;
    for (int act = SG_RELU; act <= SG_SIGMOID; act++) {
        for (int s = 0; s < 8; s++) {
            for (int drop = 0; drop < 2; drop++) {
                act_case a = {(sg_act)act, drop ? 0.3f : 0};
                op_case c = {.user = &a};

                op_param(&c, shapes[s][0], shapes[s][1], 1);
                op_param(&c, shapes[s][2], shapes[s][1], 1);
                op_param(&c, shapes[s][2], 0, 1);
                op_threads(&c, 2);
                op_result want = op_run(&c, build_in_steps);
                op_backward(&c, build_fused);
                assert_memory_equal(want.out, c.out->data, c.out->count * sizeof(float));
                for (int p = 0; p < 3; p++)
                    for (size_t i = 0; i < c.param[p].count; i++)
                        op_near(c.param[p].grad[i], want.grad[p][i], 1e-5, 10, c.param[p].name, i);
                op_check_threads(&c, build_fused);
                op_free(&c);
                op_result_free(&want);
            }
        }
    }
}

static sg_tensor *build_onto(op_case *c)
{
    return op_loss(c, sg_linear_onto(c->graph, op_in(c, 3), op_in(c, 0), &c->param[1], &c->param[2]));
}

static sg_tensor *build_plus(op_case *c)
{
    return op_loss(
        c, sg_plus(c->graph, op_in(c, 3), sg_linear(c->graph, op_in(c, 0), &c->param[1], &c->param[2])));
}

/* A residual that two ops read gets both gradients, whichever comes first. */
static sg_tensor *build_shared(op_case *c)
{
    sg_tensor *r = op_in(c, 3), *y = sg_linear_onto(c->graph, r, op_in(c, 0), &c->param[1], &c->param[2]);

    return op_loss(c, sg_times(c->graph, y, r));
}

static void onto_a_residual_is_plus(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        op_case a = {0}, b = {0};

        for (int k = 0; k < 2; k++) {
            op_case *c = k ? &b : &a;

            op_param(c, shapes[s][0], shapes[s][1], 1);
            op_param(c, shapes[s][2], shapes[s][1], 1);
            op_param(c, shapes[s][2], 0, 1);
            op_param(c, shapes[s][0], shapes[s][2], 1);
            op_threads(c, 2);
        }
        op_backward(&a, build_onto);
        op_backward(&b, build_plus);
        for (size_t i = 0; i < a.out->count; i++)
            op_near(a.out->data[i], b.out->data[i], 1e-6, 1, "y", i);
        for (int p = 0; p < 4; p++)
            assert_memory_equal(a.param[p].grad, b.param[p].grad, a.param[p].count * sizeof(float));
        op_check_threads(&a, build_onto);
        op_free(&a);
        op_check(&b, build_shared, (op_spec){.probes = 6});
    }
}

static void a_residual_has_the_shape_of_the_result(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 3, 4, 1);
    op_param(&c, 5, 4, 1);
    op_param(&c, 3, 4, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 1, 0);
    op_expect_error(&c, sg_linear_onto(c.graph, op_in(&c, 2), op_in(&c, 0), &c.param[1], NULL),
                    "linear 'p1': expected a residual of 3 rows of 5 numbers, found (3, 4)");
    op_free(&c);
}

static sg_tensor *build_matmul(op_case *c)
{
    return op_loss(c, sg_matmul(c->graph, op_in(c, 0), op_in(c, 1), *(bool *)c->user));
}

static void matmul_is_right(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const int m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
            bool transpose = t;
            op_case c = {.user = &transpose};

            op_param(&c, m, k, 1);
            op_param(&c, t ? n : k, t ? k : n, 1);
            op_threads(&c, 1);
            op_forward(&c, build_matmul);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double y = 0;

                    for (int l = 0; l < k; l++)
                        y +=
                            (double)c.param[0].value[i * k + l] * c.param[1].value[t ? j * k + l : l * n + j];
                    op_near(c.out->data[i * n + j], y, 1e-5, 1, "y", (size_t)(i * n + j));
                }
            op_check(&c, build_matmul, (op_spec){0});
        }
    }
}

/* |error| of a sum of products whose factors were each rounded to 8 bits: 2 * 2^-9 of the sum of their sizes */
static void expect_bf16(const float *got, const float *want, size_t n, double sizes, const char *what)
{
    for (size_t i = 0; i < n; i++)
        op_near(got[i], want[i], 0x1p-8, sizes, what, i);
}

static void bf16_is_f32_with_rounded_operands(void **state)
{
    (void)state;
    static const int cases[][3] = {{16, 16, 16},    {300, 24, 40},  {1300, 72, 20},
                                   {141, 1100, 24}, {40, 32, 1100}, {200, 17, 33}};

    for (size_t s = 0; s < sizeof cases / sizeof *cases; s++) {
        const int rows = cases[s][0], in = cases[s][1], out = cases[s][2];
        op_case c = {0};

        op_param(&c, rows, in, 1);
        op_param(&c, out, in, 1);
        op_param(&c, out, 0, 1);
        op_threads(&c, 2);
        op_result want = op_run(&c, build_linear);
        c.precision = SG_BF16;
        op_threads(&c, 2);
        op_backward(&c, build_linear);
        /* mean size of a product of two uniform numbers is 1/4; twice that for the odd sum of large ones */
        expect_bf16(c.out->data, want.out, c.out->count, 0.5 * in, "y");
        expect_bf16(c.param[0].grad, want.grad[0], c.param[0].count, 0.5 * out, "dx");
        expect_bf16(c.param[1].grad, want.grad[1], c.param[1].count, 0.5 * rows, "dw");
        assert_memory_equal(c.param[2].grad, want.grad[2], c.param[2].count * sizeof(float));
        if (rows >= 128) /* it was bf16 that ran */
            assert_memory_not_equal(c.param[1].grad, want.grad[1], c.param[1].count * sizeof(float));
        op_check_threads(&c, build_linear);
        c.param[1].version++; /* a copy made anew in the old one's place is the same */
        op_check_threads(&c, build_linear);
        op_free(&c);
        op_result_free(&want);
    }
}

/* Many small tiles of one shape: all threads are in one primitive of the library at the same time. */
static void bf16_tiles_of_a_shape_run_at_once(void **state)
{
    (void)state;
    enum { ROWS = 16384, DIM = 16, TIMES = 20 };
    op_case c = {.precision = SG_BF16};

    op_param(&c, ROWS, DIM, 1);
    op_param(&c, DIM, DIM, 1);
    op_param(&c, DIM, 0, 1);
    for (int i = 0; i < TIMES; i++)
        op_check_threads(&c, build_linear);
    op_free(&c);
}

static void follows_the_version_of_the_weights(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 64, 8, 1);
    op_param(&c, 8, 8, 1);
    op_param(&c, 8, 0, 1);
    op_threads(&c, 1);
    check_values(&c);
    for (size_t i = 0; i < c.param[1].count; i++)
        c.param[1].value[i] += 1;
    c.param[1].version++;
    check_values(&c);
    op_free(&c);
}

static void empty_batch_gives_empty_output(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 0, 8, 1);
    op_param(&c, 4, 8, 1);
    op_param(&c, 4, 0, 1);
    op_threads(&c, 1);
    assert_true(op_backward(&c, build_linear) == 0);
    assert_int_equal(c.out->dim[0], 0);
    assert_int_equal(c.out->dim[1], 4);
    op_free(&c);
}

static void rejects_shapes_that_do_not_fit(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 3, 5, 1);
    op_param(&c, 4, 6, 1);
    op_param(&c, 3, 0, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    op_expect_error(&c, sg_linear(c.graph, op_in(&c, 0), &c.param[1], NULL),
                    "linear 'p1': expected rows of 6 numbers, found 5");
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    op_expect_error(&c, sg_linear(c.graph, op_in(&c, 1), &c.param[1], &c.param[2]),
                    "linear 'p1': expected a bias of 4 numbers, found 3");
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    op_expect_error(&c, sg_matmul(c.graph, op_in(&c, 0), op_in(&c, 1), true),
                    "matmul: expected matrices that fit, found (3, 5) and transposed (4, 6)");
    op_free(&c);
}

/* A large mapped table is read as it is at first, and through a copy later: the same bits, for any rows and any range. */
static void large_tables_need_no_copy(void **state)
{
    enum { OUT = 131072 + 17, IN = 64, ROWS = 3, LATER = 3 };
    float *x = sg_alloc_array(ROWS * IN, sizeof *x), *y = sg_alloc_array((size_t)ROWS * OUT, sizeof *y);
    float *want = sg_alloc_array((size_t)ROWS * OUT, sizeof *want);
    sg_params own = {0}, mapped = {.bare = true};
    sg_param *a = sg_param_add(&own, 1, SG_INIT_NORMAL, 1, 0, OUT, IN, "table"), *b;

    (void)state;
    assert_true(a && x && y && want);
    b = sg_param_add(&mapped, 1, SG_INIT_NORMAL, 1, 0, OUT, IN, "table");
    sg_param_map(b, a->value);
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (float)sg_rng_normal(2, SG_RNG_TEST, 0, (uint64_t)i);
    sg_gemm_linear(NULL, SG_F32, ROWS, x, IN, a, NULL, want, OUT);
    for (int use = 0; use < LATER; use++) {
        for (int rows = 1; rows <= ROWS; rows += 2) {
            memset(y, 0xff, (size_t)rows * OUT * sizeof *y);
            sg_gemm_linear(NULL, SG_F32, rows, x, IN, b, NULL, y, OUT);
            assert_memory_equal(y, want, (size_t)rows * OUT * sizeof *y);
        }
        sg_gemm_linear_range(NULL, 1, x, IN, b, 100, OUT - 103, y, OUT - 103);
        assert_memory_equal(y, want + 100, (OUT - 103) * sizeof *y);
        assert_true(use == 0 || b->packed);
        if (use == 1)
            sg_gemm_settle(b); /* from here on by the copy */
    }
    for (int use = 0; use < 12; use++) /* without being told to, after some uses */
        sg_gemm_linear(NULL, SG_F32, 1, x, IN, b, NULL, y, OUT);
    assert_memory_equal(y, want, OUT * sizeof *y);
    sg_params_free(&own);
    sg_params_free(&mapped);
    sg_free(x);
    sg_free(y);
    sg_free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_tables_need_no_copy),
        cmocka_unit_test(linear_is_right),
        cmocka_unit_test(linear_act_is_linear_activate_dropout),
        cmocka_unit_test(onto_a_residual_is_plus),
        cmocka_unit_test(a_residual_has_the_shape_of_the_result),
        cmocka_unit_test(matmul_is_right),
        cmocka_unit_test(bf16_is_f32_with_rounded_operands),
        cmocka_unit_test(bf16_tiles_of_a_shape_run_at_once),
        cmocka_unit_test(follows_the_version_of_the_weights),
        cmocka_unit_test(empty_batch_gives_empty_output),
        cmocka_unit_test(rejects_shapes_that_do_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
