/* additive_attention.c - values against the formula in double, gradients against differences, threads, refusals. */
#include "op/op.h"

typedef struct setup {
    const char *name;
    int d, dv, batch;
    int n_q[8], n_k[8];
} setup;

static const setup setups[] = {
    {"one token", 5, 3, 1, {1}, {1}},
    {"ragged", 20, 7, 5, {3, 0, 7, 1, 7}, {3, 0, 7, 1, 7}},
    {"last queries", 16, 16, 4, {1, 1, 1, 2}, {5, 0, 1, 9}},
    {"more queries than keys", 33, 4, 2, {4, 3}, {2, 3}},
};

typedef struct run {
    const setup *s;
    int32_t offsets_q[9], offsets_k[9];
    sg_tensor *y;
} run;

static sg_tensor *build(op_case *c)
{
    run *r = c->user;

    r->y = sg_additive_attention(c->graph, op_in(c, 0), op_in(c, 1), op_in(c, 2), &c->param[3], r->offsets_q,
                                 r->offsets_k, r->s->batch);
    return op_loss(c, r->y);
}

static void prepare(op_case *c, run *r, const setup *s)
{
    *r = (run){.s = s};
    *c = (op_case){.user = r};
    for (int i = 0; i < s->batch; i++) {
        r->offsets_q[i + 1] = r->offsets_q[i] + s->n_q[i];
        r->offsets_k[i + 1] = r->offsets_k[i] + s->n_k[i];
    }
    op_param(c, r->offsets_q[s->batch], s->d, 2);
    op_param(c, r->offsets_k[s->batch], s->d, 2);
    op_param(c, r->offsets_k[s->batch], s->dv, 1);
    op_param(c, s->d, 0, 1);
}

static void equals_the_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        const setup *s = &setups[i];
        op_case c;
        run r;

        prepare(&c, &r, s);
        op_threads(&c, 1);
        op_forward(&c, build);
        for (int b = 0; b < s->batch; b++)
            for (int q = 0; q < s->n_q[b]; q++)
                for (int col = 0; col < s->dv; col++) {
                    const float *x = c.param[0].value + (r.offsets_q[b] + q) * s->d;
                    double sum = 0;

                    for (int k = 0; k < s->n_k[b] && k <= q + s->n_k[b] - s->n_q[b]; k++) {
                        const float *y = c.param[1].value + (r.offsets_k[b] + k) * s->d;
                        double a = 0;

                        for (int j = 0; j < s->d; j++)
                            a += (double)c.param[3].value[j] / (1 + exp(-(double)x[j] - (double)y[j]));
                        sum += a * (double)c.param[2].value[(r.offsets_k[b] + k) * s->dv + col];
                    }
                    op_near(r.y->data[(r.offsets_q[b] + q) * s->dv + col], sum, 1e-5, 1, s->name, (size_t)q);
                }
        op_free(&c);
    }
}

static void gradients_are_differences_and_threads_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;

        prepare(&c, &r, &setups[i]);
        op_check(&c, build, (op_spec){.probes = 30});
    }
}

static void refuses_offsets_that_do_not_cover(void **state)
{
    (void)state;
    op_case c;
    run r;
    sg_error err = {0};

    prepare(&c, &r, &setups[1]);
    op_threads(&c, 1);
    r.offsets_k[5] = 17;
    sg_graph_begin(c.graph, SG_INFER, 1, 1);
    assert_null(build(&c));
    assert_int_equal(sg_graph_status(c.graph, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "additive attention: offsets do not cover 18 queries and 18 keys");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_formula),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(refuses_offsets_that_do_not_cover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
