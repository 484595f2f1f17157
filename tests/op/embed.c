/* embed.c - rows of a table: values, dense and sparse gradients, the list of touched rows. */
#include "op/op.h"

enum { ROWS = 50, D = 19, N = 120, K = 3 };

typedef struct ids_case {
    int32_t ids[N * K];
    int n, k;
} ids_case;

static void draw_ids(ids_case *s, int n, int k, uint64_t stream)
{
    s->n = n;
    s->k = k;
    for (int i = 0; i < n * k; i++)
        s->ids[i] = (int32_t)sg_rng_below(ROWS + 1, 3, SG_RNG_TEST, stream, (uint64_t)i) - 1;
}

static sg_tensor *build(op_case *c)
{
    const ids_case *s = c->user;
    sg_tensor *y = s->k == 1 ? sg_embed(c->graph, &c->param[0], s->ids, s->n)
                             : sg_embed_bag(c->graph, &c->param[0], s->ids, s->n, s->k);

    return op_loss(c, y);
}

/* two reads of one table, and its rows once more as a matrix */
static sg_tensor *build_tied(op_case *c)
{
    const ids_case *s = c->user;
    sg_tensor *a = sg_embed(c->graph, &c->param[0], s->ids, s->n);
    sg_tensor *b = sg_embed(c->graph, &c->param[0], s->ids + s->n, s->n);
    sg_tensor *y = sg_matmul(c->graph, sg_times(c->graph, a, b), sg_leaf(c->graph, &c->param[0]), true);

    return op_loss(c, y);
}

static void values_and_gradients_are_right(void **state)
{
    (void)state;
    for (int k = 1; k <= K; k++) {
        for (int n = 0; n <= N; n += 40) {
            for (int sparse = 0; sparse < 2; sparse++) {
                ids_case s;
                op_case c = {.user = &s};

                draw_ids(&s, n, k, (uint64_t)(n + k));
                op_param(&c, ROWS, D, 1);
                if (sparse)
                    op_make_sparse(&c.param[0]);
                op_threads(&c, 2);
                op_forward(&c, build);
                for (int i = 0; i < n; i++) {
                    for (int j = 0; j < D; j++) {
                        double want = 0;

                        for (int l = 0; l < k; l++)
                            want += s.ids[i * k + l] < 0 ? 0 : c.param[0].value[s.ids[i * k + l] * D + j];
                        op_near(c.out->data[i * D + j], want, 1e-6, 1, "y", (size_t)(i * D + j));
                    }
                }
                op_check(&c, build, (op_spec){0});
            }
        }
    }
}

static void tied_tables_add_up(void **state)
{
    (void)state;
    for (int sparse = 0; sparse < 2; sparse++) {
        ids_case s;
        op_case c = {.user = &s};

        draw_ids(&s, 40, 2, 9);
        op_param(&c, ROWS, D, 1);
        if (sparse)
            op_make_sparse(&c.param[0]);
        op_check(&c, build_tied, (op_spec){0});
    }
}

static void touched_rows_ascend_and_stand_once(void **state)
{
    (void)state;
    bool read[ROWS] = {false};
    ids_case s;
    op_case c = {.user = &s};
    int n = 0;

    op_param(&c, ROWS, D, 1);
    op_make_sparse(&c.param[0]);
    op_threads(&c, 1);
    for (uint64_t round = 0; round < 3; round++) { /* three batches without a step in between */
        sg_error err = {0};

        draw_ids(&s, 12, 1, round);
        for (int i = 0; i < 12; i++)
            if (s.ids[i] >= 0)
                read[s.ids[i]] = true;
        sg_graph_begin(c.graph, SG_TRAIN, 0, round);
        assert_int_equal(sg_backward(c.graph, build(&c), &err), SG_OK);
    }
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(c.param[0].is_touched[i], read[i]);
        if (read[i])
            assert_int_equal(c.param[0].touched[n++], i);
    }
    assert_int_equal(c.param[0].n_touched, n);
    op_free(&c);
}

static void frozen_tables_get_no_gradient(void **state)
{
    (void)state;
    ids_case s;
    op_case c = {.user = &s};

    draw_ids(&s, 12, 1, 0);
    op_param(&c, ROWS, D, 1);
    op_make_sparse(&c.param[0]);
    c.param[0].frozen = true;
    op_threads(&c, 1);
    op_backward(&c, build);
    assert_int_equal(c.param[0].n_touched, 0);
    for (size_t i = 0; i < c.param[0].count; i++)
        assert_true(c.param[0].grad[i] == 0);
    op_free(&c);
}

static void rejects_numbers_outside_the_table(void **state)
{
    (void)state;
    const int32_t over[] = {0, 50}, under[] = {-2};
    op_case c = {0};

    op_param(&c, ROWS, D, 1);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_embed(c.graph, &c.param[0], over, 2),
                    "embed 'p0': expected a row number from -1 to 49, found 50");
    sg_graph_begin(c.graph, SG_TRAIN, 0, 0);
    op_expect_error(&c, sg_embed(c.graph, &c.param[0], under, 1),
                    "embed 'p0': expected a row number from -1 to 49, found -2");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_right),     cmocka_unit_test(tied_tables_add_up),
        cmocka_unit_test(touched_rows_ascend_and_stand_once), cmocka_unit_test(frozen_tables_get_no_gradient),
        cmocka_unit_test(rejects_numbers_outside_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
