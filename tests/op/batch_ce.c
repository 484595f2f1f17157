/* batch_ce.c - the contrastive loss: values against double, gradients, more candidates than queries, one tensor on both sides;
 * any candidate as the own one, and some that do not count. */
#include "op/op.h"

static const int shapes[][3] = {{1, 1, 3}, {1, 4, 16}, {7, 7, 5}, {9, 30, 33}, {40, 90, 20}};

static sg_tensor *build(op_case *c)
{
    return sg_batch_ce(c->graph, op_in(c, 0), op_in(c, 1), 0.5f);
}

static sg_tensor *build_shared(op_case *c)
{
    sg_tensor *x = op_in(c, 0);

    return sg_plus(c->graph, sg_batch_ce(c->graph, x, x, 0.3f), sg_batch_ce(c->graph, x, op_in(c, 1), 0.5f));
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int rows = shapes[s][0], n = shapes[s][1], d = shapes[s][2];
        double want = 0;
        op_case c = {0};

        op_param(&c, rows, d, 1);
        op_param(&c, n, d, 1);
        for (int r = 0; r < rows; r++) {
            double sum = 0, own = 0;

            for (int j = 0; j < n; j++) {
                double l = 0;

                for (int i = 0; i < d; i++)
                    l += 0.5 * (double)c.param[0].value[r * d + i] * (double)c.param[1].value[j * d + i];
                sum += exp(l);
                own = j == r ? l : own;
            }
            want += (log(sum) - own) / rows;
        }
        op_threads(&c, 1);
        op_near(op_forward(&c, build), want, 1e-5, 1, "loss", s);
        /* the loss is one f32 number of size 3: wide steps, or its rounding shows */
        op_check_gradients(&c, build, (op_spec){.step = 3e-2, .tolerance = 2e-3});
        op_check_gradients(&c, build_shared, (op_spec){.step = 3e-2, .tolerance = 2e-3});
        op_check_threads(&c, build);
        op_free(&c);
    }
}

/* Row r: its own is 3 r + 1 of n, rows 2 and 5 have none; r + 1 candidates from 2 r on do not count, its own always does. */
enum { AMONG_ROWS = 7, AMONG_N = 11, AMONG_D = 5 };

static int32_t own_of(int r)
{
    return r == 2 || r == 5 ? -1 : (3 * r + 1) % AMONG_N;
}

static sg_tensor *build_among(op_case *c)
{
    int32_t own[AMONG_ROWS], offsets[AMONG_ROWS + 1] = {0}, out[AMONG_ROWS * (AMONG_ROWS + 1)];
    int n = 0;

    for (int r = 0; r < AMONG_ROWS; r++) {
        own[r] = own_of(r);
        for (int i = 0; i <= r; i++)
            out[n++] = (2 * r + i) % AMONG_N;
        offsets[r + 1] = n;
    }
    return sg_batch_ce_among(c->graph, op_in(c, 0), op_in(c, 1),
                             &(sg_among_spec){.own = own, .offsets = offsets, .out = out, .scale = 0.5f});
}

static void counts_what_counts(void **state)
{
    double want = 0;
    op_case c = {0};

    (void)state;
    op_param(&c, AMONG_ROWS, AMONG_D, 1);
    op_param(&c, AMONG_N, AMONG_D, 1);
    for (int r = 0; r < AMONG_ROWS; r++) {
        double sum = 0, own = 0;

        for (int j = 0; j < AMONG_N; j++) {
            double l = 0;

            for (int i = 0; i < AMONG_D; i++)
                l += 0.5 * (double)c.param[0].value[r * AMONG_D + i] *
                     (double)c.param[1].value[j * AMONG_D + i];
            if (j == own_of(r) || (j - 2 * r + 2 * AMONG_N) % AMONG_N > r)
                sum += exp(l);
            own = j == own_of(r) ? l : own;
        }
        want += own_of(r) < 0 ? 0 : (log(sum) - own) / (AMONG_ROWS - 2);
    }
    op_threads(&c, 1);
    op_near(op_forward(&c, build_among), want, 1e-5, 1, "loss", 0);
    op_check_gradients(&c, build_among, (op_spec){.step = 3e-2, .tolerance = 2e-3});
    op_check_threads(&c, build_among);
    op_free(&c);
}

static void nobody_asked_nothing_lost(void **state)
{
    const int32_t own[] = {-1, -1};
    op_case c = {0};

    (void)state;
    op_param(&c, 2, 3, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    assert_true(
        *sg_batch_ce_among(c.graph, op_in(&c, 0), op_in(&c, 0), &(sg_among_spec){.own = own, .scale = 1})
             ->data == 0);
    op_free(&c);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_case c = {0};

    op_param(&c, 4, 6, 1);
    op_param(&c, 3, 6, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(
        &c, sg_batch_ce(c.graph, op_in(&c, 0), op_in(&c, 1), 1),
        "batch_ce: expected at least as many candidates as queries, of one width, found (4, 6) and (3, 6)");
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c,
                    sg_batch_ce_among(c.graph, op_in(&c, 0), op_in(&c, 1),
                                      &(sg_among_spec){.own = (int32_t[]){0, 2, -1, 3}}),
                    "batch_ce: expected an own candidate from -1 to 2, found 3");
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c,
                    sg_batch_ce_among(c.graph, op_in(&c, 0), op_in(&c, 1),
                                      &(sg_among_spec){.own = (int32_t[]){0, 2, -1, 1},
                                                       .offsets = (int32_t[]){0, 0, 1, 1, 1},
                                                       .out = (int32_t[]){3}}),
                    "batch_ce: expected candidates from 0 to 2, found 3");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),
        cmocka_unit_test(counts_what_counts),
        cmocka_unit_test(nobody_asked_nothing_lost),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
