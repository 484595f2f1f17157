/* norm.c - layernorm, rmsnorm, l2norm, softmax over rows: values against double, gradients, threads, odd rows. */
#include "op/op.h"

static const int shapes[][2] = {{1, 3}, {3, 1}, {1, 17}, {7, 16}, {50, 33}, {5, 128}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

typedef enum kind { LAYER, LAYER_BARE, LAYER_SCALE, RMS, RMS_BARE, L2, SOFTMAX, N_KINDS } kind;

static sg_tensor *apply(op_case *c, sg_tensor *x)
{
    sg_param *w = &c->param[1], *b = &c->param[2];

    switch (*(kind *)c->user) {
    case LAYER:
        return sg_layernorm(c->graph, x, w, b, 1e-5f);
    case LAYER_BARE:
        return sg_layernorm(c->graph, x, NULL, NULL, 1e-5f);
    case LAYER_SCALE:
        return sg_layernorm(c->graph, x, w, NULL, 1e-5f);
    case RMS:
        return sg_rmsnorm(c->graph, x, w, 1e-6f);
    case RMS_BARE:
        return sg_rmsnorm(c->graph, x, NULL, 1e-6f);
    case L2:
        return sg_l2norm(c->graph, x, 1e-6f);
    default:
        return sg_softmax(c->graph, x);
    }
}

static sg_tensor *build(op_case *c)
{
    return op_loss(c, apply(c, op_in(c, 0)));
}

/* x read a second time: its gradient exists already when the op adds to it */
static sg_tensor *build_shared(op_case *c)
{
    sg_tensor *x = op_in(c, 0);

    return op_loss(c, sg_plus(c->graph, sg_times(c->graph, apply(c, x), x), x));
}

static void want_row(double *y, kind k, const float *x, const float *w, const float *b, int d)
{
    double mean = 0, sq = 0, most = -INFINITY, sum = 0;
    const bool layer = k <= LAYER_SCALE;

    for (int i = 0; i < d; i++) {
        mean += x[i] / (double)d;
        most = fmax(most, x[i]);
    }
    for (int i = 0; i < d; i++) {
        sq += (x[i] - (layer ? mean : 0)) * (x[i] - (layer ? mean : 0));
        sum += exp(x[i] - most);
    }
    for (int i = 0; i < d; i++) {
        if (layer)
            y[i] =
                (x[i] - mean) / sqrt(sq / d + 1e-5) * (k == LAYER_BARE ? 1 : w[i]) + (k == LAYER ? b[i] : 0);
        else if (k == L2)
            y[i] = x[i] / fmax(sqrt(sq), 1e-6);
        else if (k == SOFTMAX)
            y[i] = exp(x[i] - most) / sum;
        else
            y[i] = x[i] / sqrt(sq / d + 1e-6) * (k == RMS ? w[i] : 1);
    }
}

static void check_values(op_case *c, double tolerance)
{
    const int rows = c->param[0].dim[0], d = c->param[0].dim[1];
    double y[128];

    op_forward(c, build);
    for (int r = 0; r < rows; r++) {
        want_row(y, *(kind *)c->user, c->param[0].value + r * d, c->param[1].value, c->param[2].value, d);
        for (int i = 0; i < d; i++)
            op_near(c->out->data[r * d + i], y[i], tolerance, 1, "y", (size_t)(r * d + i));
    }
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        for (int s = 0; s < N_SHAPES; s++) {
            for (int shared = 0; shared < 2; shared++) {
                kind which = (kind)k;
                op_case c = {.user = &which};

                if (shapes[s][1] == 1 && k != SOFTMAX)
                    continue; /* a row of one number is a sign: its difference is nothing but rounding */
                op_param(&c, shapes[s][0], shapes[s][1], 2);
                op_param(&c, shapes[s][1], 0, 1);
                op_param(&c, shapes[s][1], 0, 1);
                op_threads(&c, 1);
                check_values(&c, 2e-6);
                op_check(&c, shared ? build_shared : build, (op_spec){.step = 2e-3});
            }
        }
    }
}

static void large_arrays_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        kind which = (kind)k;
        op_case c = {.user = &which};

        op_param(&c, 3000, 100, 1);
        op_param(&c, 100, 0, 1);
        op_param(&c, 100, 0, 1);
        op_check_threads(&c, build);
        op_free(&c);
    }
}

static void rows_of_zeros_and_of_large_numbers_stay_finite(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        kind which = (kind)k;
        op_case c = {.user = &which};

        op_param(&c, 3, 20, 1);
        op_param(&c, 20, 0, 1);
        op_param(&c, 20, 0, 1);
        for (int i = 0; i < 20; i++) {
            c.param[0].value[i] = 0;
            c.param[0].value[20 + i] *= 1e15f;
            c.param[0].value[40 + i] = 5; /* no spread */
        }
        op_threads(&c, 1);
        check_values(&c, 1e-4); /* 5 less its mean may leave one rounding error, times 1 / sqrt(eps) = 316 */
        op_backward(&c, build);
        for (int i = 0; i < 60; i++)
            assert_true(isfinite(c.param[0].grad[i]));
        op_free(&c);
    }
}

static void layernorm_keeps_its_digits_far_from_zero(void **state)
{
    (void)state;
    kind which = LAYER;
    op_case c = {.user = &which};

    op_param(&c, 4, 100, 1);
    op_param(&c, 100, 0, 1);
    op_param(&c, 100, 0, 1);
    for (int i = 0; i < 400; i++)
        c.param[0].value[i] += 1000;
    op_threads(&c, 1);
    check_values(&c, 3e-4); /* numbers near 1000 have steps of 6e-5 */
    op_free(&c);
}

static void softmax_of_minus_infinity_is_zero(void **state)
{
    (void)state;
    kind which = SOFTMAX;
    op_case c = {.user = &which};

    op_param(&c, 2, 5, 1);
    for (int i = 0; i < 5; i++)
        c.param[0].value[i] = -INFINITY;
    c.param[0].value[7] = -INFINITY;
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    const sg_tensor *y = sg_softmax(c.graph, sg_leaf(c.graph, &c.param[0]));
    for (int i = 0; i < 5; i++)
        assert_true(y->data[i] == 0);
    assert_true(y->data[7] == 0);
    op_near(y->data[5] + y->data[6] + y->data[8] + y->data[9], 1, 1e-6, 1, "sum", 0);
    op_free(&c);
}

static void empty_batch_is_fine(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        kind which = (kind)k;
        op_case c = {.user = &which};

        op_param(&c, 0, 20, 1);
        op_param(&c, 20, 0, 1);
        op_param(&c, 20, 0, 1);
        op_threads(&c, 2);
        assert_true(op_backward(&c, build) == 0);
        op_free(&c);
    }
}

static void rejects_weights_of_another_width(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 2, 5, 1);
    op_param(&c, 6, 0, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    op_expect_error(&c, sg_layernorm(c.graph, op_in(&c, 0), &c.param[1], NULL, 0),
                    "layernorm: expected weights of 5 numbers, found 6");
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    op_expect_error(&c, sg_rmsnorm(c.graph, op_in(&c, 0), &c.param[1], 0),
                    "rmsnorm: expected weights of 5 numbers, found 6");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(large_arrays_do_not_depend_on_threads),
        cmocka_unit_test(rows_of_zeros_and_of_large_numbers_stay_finite),
        cmocka_unit_test(layernorm_keeps_its_digits_far_from_zero),
        cmocka_unit_test(softmax_of_minus_infinity_is_zero),
        cmocka_unit_test(empty_batch_is_fine),
        cmocka_unit_test(rejects_weights_of_another_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
