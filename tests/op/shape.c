/* shape.c - rows, concatenations, slices, segment means, rotary positions: values, gradients, threads, bad ranges. */
#include "op/op.h"

enum { ROWS = 11, D = 12 };

static const int32_t row_numbers[] = {3, -1, 10, 3, 0, 3, 7};
static const int32_t offsets[] = {0, 2, 2, 3, 11};

static sg_tensor *build_rows(op_case *c)
{
    sg_tensor *x = op_in(c, 0);

    return op_loss(
        c, sg_times(c->graph, sg_rows(c->graph, x, row_numbers, 7), sg_rows(c->graph, x, row_numbers, 7)));
}

static sg_tensor *build_concat_rows(op_case *c)
{
    sg_tensor *a = op_in(c, 0), *b = op_in(c, 1);

    return op_loss(c, sg_concat_rows(c->graph, (sg_tensor *[]){a, b, a}, 3));
}

static sg_tensor *build_concat_cols(op_case *c)
{
    sg_tensor *a = op_in(c, 0), *b = op_in(c, 2);

    return op_loss(c, sg_concat_cols(c->graph, (sg_tensor *[]){a, b, a}, 3));
}

static sg_tensor *build_slices(op_case *c)
{
    sg_tensor *a = op_in(c, 0);
    sg_tensor *l = sg_slice_cols(c->graph, a, 0, 7), *r = sg_slice_cols(c->graph, a, 5, 12);

    return op_loss(c, sg_times(c->graph, l, r));
}

static sg_tensor *build_segments(op_case *c)
{
    return op_loss(c, sg_segment_mean(c->graph, op_in(c, 0), offsets, 4));
}

static sg_tensor *build_rope(op_case *c)
{
    static const int32_t positions[ROWS] = {0, 1, 2, 3, 100, 5, 5, 1000, 8, 9, 10};
    sg_tensor *x = op_in(c, 0);

    return op_loss(c, sg_plus(c->graph, x, sg_rope(c->graph, x, 3, positions, 10000)));
}

static const float half_turns[ROWS * 4] = {1, 1, 0, 0, 0.6f, 0.8f,  0.8f, -0.6f,
                                           0, 1, 1, 0, -1,   0.28f, 0,    0.96f};

static sg_tensor *build_halves(op_case *c)
{
    sg_tensor *x = op_in(c, 0);

    return op_loss(c, sg_plus(c->graph, x, sg_rope_halves(c->graph, x, 3, half_turns)));
}

static void inputs(op_case *c)
{
    op_param(c, ROWS, D, 1);
    op_param(c, 4, D, 1);
    op_param(c, ROWS, 5, 1);
}

static void gradients_are_right(void **state)
{
    (void)state;
    op_build *const builds[] = {build_rows,     build_concat_rows, build_concat_cols, build_slices,
                                build_segments, build_rope,        build_halves};

    for (size_t b = 0; b < sizeof builds / sizeof *builds; b++) {
        op_case c = {0};

        inputs(&c);
        op_check(&c, builds[b], (op_spec){0});
    }
}

static void values_are_right(void **state)
{
    (void)state;
    op_case c = {0};

    inputs(&c);
    op_threads(&c, 2);
    sg_graph *g = c.graph;
    const float *x = c.param[0].value, *z = c.param[1].value, *w = c.param[2].value;

    sg_graph_begin(g, SG_TRAIN, 0, 0);
    sg_tensor *a = op_in(&c, 0), *b = op_in(&c, 1), *e = op_in(&c, 2);
    const sg_tensor *rows = sg_rows(g, a, row_numbers, 7);
    const sg_tensor *under = sg_concat_rows(g, (sg_tensor *[]){a, b}, 2);
    const sg_tensor *beside = sg_concat_cols(g, (sg_tensor *[]){a, e}, 2);
    const sg_tensor *slice = sg_slice_cols(g, a, 3, 8), *mean = sg_segment_mean(g, a, offsets, 4);
    assert_true(rows && under && beside && slice && mean);
    for (int j = 0; j < D; j++) {
        for (int i = 0; i < 7; i++)
            assert_true(rows->data[i * D + j] == (row_numbers[i] < 0 ? 0 : x[row_numbers[i] * D + j]));
        for (int i = 0; i < ROWS + 4; i++)
            assert_true(under->data[i * D + j] == (i < ROWS ? x[i * D + j] : z[(i - ROWS) * D + j]));
        for (int i = 0; i < 4; i++) {
            double sum = 0;

            for (int r = offsets[i]; r < offsets[i + 1]; r++)
                sum += x[r * D + j];
            op_near(mean->data[i * D + j], sum / fmax(1, offsets[i + 1] - offsets[i]), 1e-6, 1, "mean",
                    (size_t)i);
        }
    }
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < D + 5; j++)
            assert_true(beside->data[i * (D + 5) + j] == (j < D ? x[i * D + j] : w[i * 5 + j - D]));
        for (int j = 0; j < 5; j++)
            assert_true(slice->data[i * 5 + j] == x[i * D + 3 + j]);
    }
    op_free(&c);
}

static void halves_turn_together(void **state)
{
    (void)state;
    op_case c = {0};

    inputs(&c);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    const float *x = c.param[0].value, *y = sg_rope_halves(c.graph, op_in(&c, 0), 3, half_turns)->data;
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < 3; h++)
            for (int i = 0; i < 2; i++) {
                const int at = r * D + h * 4 + i;
                const float cosine = half_turns[4 * r + i], sine = half_turns[4 * r + 2 + i];

                op_near(y[at], (double)x[at] * cosine - (double)x[at + 2] * sine, 1e-6, 1, "left",
                        (size_t)at);
                op_near(y[at + 2], (double)x[at + 2] * cosine + (double)x[at] * sine, 1e-6, 1, "right",
                        (size_t)at);
            }
    op_expect_error(&c, sg_rope_halves(c.graph, op_in(&c, 0), 4, half_turns),
                    "rope: expected heads of an even width, found 12 numbers for 4 heads");
    op_free(&c);
}

/* Turned by its position, the product of two rows depends on the distance alone. */
static void rope_turns_pairs_by_position(void **state)
{
    (void)state;
    const int32_t far[] = {70000, 70003}, near[] = {1, 4}, zero[] = {0, 0};
    op_case c = {0};

    op_param(&c, 2, 8, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    const float *x = c.param[0].value;
    const float *a = sg_rope(c.graph, op_in(&c, 0), 2, far, 10000)->data;
    const float *b = sg_rope(c.graph, op_in(&c, 0), 2, near, 10000)->data;
    assert_memory_equal(sg_rope(c.graph, op_in(&c, 0), 2, zero, 10000)->data, x, 16 * sizeof(float));
    for (int h = 0; h < 8; h += 4) {
        double far_dot = 0, near_dot = 0;

        for (int i = h; i < h + 4; i++) {
            far_dot += (double)a[i] * a[8 + i];
            near_dot += (double)b[i] * b[8 + i];
        }
        op_near(far_dot, near_dot, 1e-6, 1, "dot", (size_t)h);
    }
    op_near(b[0], x[0] * cos(1) - x[1] * sin(1), 1e-6, 1, "pair 0", 0);
    op_near(b[1], x[0] * sin(1) + x[1] * cos(1), 1e-6, 1, "pair 0", 1);
    op_near(b[2], x[2] * cos(0.01) - x[3] * sin(0.01), 1e-6, 1, "pair 1", 0);
    op_free(&c);
}

static sg_tensor *build_large(op_case *c)
{
    static int32_t cut[5] = {0, 1, 1000, 1001, 5000};
    sg_tensor *x = op_in(c, 0);
    sg_tensor *y = sg_concat_cols(c->graph, (sg_tensor *[]){x, sg_slice_cols(c->graph, x, 1, 9), x}, 3);

    return op_loss(c, sg_segment_mean(c->graph, sg_rows(c->graph, y, c->user, 5000), cut, 4));
}

static void large_arrays_do_not_depend_on_threads(void **state)
{
    (void)state;
    int32_t rows[5000];
    op_case c = {.user = rows};

    for (int i = 0; i < 5000; i++)
        rows[i] = (int32_t)sg_rng_below(3000, 1, SG_RNG_TEST, 1, (uint64_t)(i / 3));
    op_param(&c, 3000, 20, 1);
    op_check_threads(&c, build_large);
    op_free(&c);
}

static void rejects_what_does_not_fit(void **state)
{
    (void)state;
    const int32_t bad_rows[] = {0, 11}, bad_offsets[] = {0, 5, 4};
    op_case c = {0};

    inputs(&c);
    op_threads(&c, 1);
    sg_graph *g = c.graph;
    sg_graph_begin(g, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_rows(g, op_in(&c, 0), bad_rows, 2),
                    "rows: expected a row number below 11, found 11");
    sg_graph_begin(g, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_concat_rows(g, (sg_tensor *[]){op_in(&c, 0), op_in(&c, 2)}, 2),
                    "concat_rows: expected rows of 12 numbers, found 5");
    sg_graph_begin(g, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_concat_cols(g, (sg_tensor *[]){op_in(&c, 0), op_in(&c, 1)}, 2),
                    "concat_cols: expected 11 rows, found 4");
    sg_graph_begin(g, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_slice_cols(g, op_in(&c, 0), 3, 13),
                    "slice_cols: expected a range within 12 columns, found 3..13");
    sg_graph_begin(g, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_segment_mean(g, op_in(&c, 0), bad_offsets, 2),
                    "segment_mean: segment 1: expected rows within 11, found 5..4");
    sg_graph_begin(g, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_rope(g, op_in(&c, 0), 4, bad_rows, 10000),
                    "rope: expected heads of an even width, found 12 numbers for 4 heads");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_right),
        cmocka_unit_test(values_are_right),
        cmocka_unit_test(rope_turns_pairs_by_position),
        cmocka_unit_test(halves_turn_together),
        cmocka_unit_test(large_arrays_do_not_depend_on_threads),
        cmocka_unit_test(rejects_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
