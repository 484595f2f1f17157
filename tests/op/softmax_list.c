/* softmax_list.c - softmax over a list of each row's own: value and gradients against a double reference, threads. */
#include "op/op.h"

enum { ROWS_MOST = 40, LIST_MOST = 70, N = 60 };

typedef struct setup {
    const char *name;
    int rows, d, longest;
    bool both, sparse;
    float scale, smooth;
} setup;

static const setup setups[] = {
    {"one candidate", 3, 4, 1, false, false, 1, 0},
    {"short", 9, 5, 4, false, false, 1, 0},
    {"two tables", 40, 33, 60, true, true, 0.5f, 0},
    {"smoothed", 25, 16, 20, true, false, 2, 0.2f},
};

typedef struct run {
    const setup *s;
    int32_t offsets[ROWS_MOST + 1], target[ROWS_MOST], a[ROWS_MOST * LIST_MOST], b[ROWS_MOST * LIST_MOST];
} run;

static void prepare(op_case *c, run *r, const setup *s)
{
    *r = (run){.s = s};
    *c = (op_case){.user = r};
    op_param(c, s->rows, s->d, 1);
    op_param(c, N, s->d, 1);
    if (s->both)
        op_param(c, N, s->d, 1);
    for (int i = 1; s->sparse && i < (s->both ? 3 : 2); i++)
        op_make_sparse(&c->param[i]);
    for (int i = 0; i < s->rows; i++) {
        const int n = 1 + (int)sg_rng_below((uint64_t)s->longest, 1, SG_RNG_TEST, 1, (uint64_t)i);

        r->offsets[i + 1] = r->offsets[i] + n;
        r->target[i] = i % 5 == 3 ? -1 : (int32_t)sg_rng_below((uint64_t)n, 1, SG_RNG_TEST, 2, (uint64_t)i);
        for (int j = r->offsets[i]; j < r->offsets[i + 1]; j++) {
            r->a[j] = (int32_t)sg_rng_below(N, 1, SG_RNG_TEST, 3, (uint64_t)j);
            r->b[j] = j % 4 == 1 ? -1 : (int32_t)sg_rng_below(N, 1, SG_RNG_TEST, 4, (uint64_t)j);
        }
    }
}

static sg_tensor *build(op_case *c)
{
    const run *r = c->user;

    return sg_softmax_ce_list(c->graph, op_in(c, 0), &c->param[1], r->s->both ? &c->param[2] : NULL,
                              &(sg_list_spec){r->offsets, r->a, r->b, r->target, r->s->scale, r->s->smooth});
}

static double logit(const op_case *c, int row, int j)
{
    const run *r = c->user;
    const int d = r->s->d;
    double sum = 0;

    for (int i = 0; i < d; i++)
        sum += (double)c->param[0].value[row * d + i] *
               (c->param[1].value[r->a[j] * d + i] +
                (r->s->both && r->b[j] >= 0 ? c->param[2].value[r->b[j] * d + i] : 0));
    return r->s->scale * sum;
}

static double refer(const op_case *c)
{
    const run *r = c->user;
    double loss = 0;
    int asked = 0;

    for (int i = 0; i < r->s->rows; i++) {
        double sum = 0, mean = 0;

        if (r->target[i] < 0)
            continue;
        for (int j = r->offsets[i]; j < r->offsets[i + 1]; j++) {
            sum += exp(logit(c, i, j));
            mean += logit(c, i, j) / (r->offsets[i + 1] - r->offsets[i]);
        }
        loss += log(sum) - (1 - (double)r->s->smooth) * logit(c, i, r->offsets[i] + r->target[i]) -
                (double)r->s->smooth * mean;
        asked++;
    }
    return loss / asked;
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;

        prepare(&c, &r, &setups[i]);
        op_threads(&c, 1);
        op_near(op_forward(&c, build), refer(&c), 2e-6, 1, setups[i].name, 0);
        op_free(&c);
    }
}

static void gradients_are_differences_and_threads_agree(void **state)
{
    (void)state;
    for (size_t i = 1; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;

        prepare(&c, &r, &setups[i]);
        op_check(&c, build, (op_spec){.probes = 16});
    }
}

static void refuses_a_target_outside_its_list(void **state)
{
    (void)state;
    op_case c;
    run r;
    sg_error err = {0};

    prepare(&c, &r, &setups[1]);
    op_threads(&c, 1);
    r.target[2] = r.offsets[3] - r.offsets[2];
    sg_graph_begin(c.graph, SG_INFER, 1, 1);
    assert_null(build(&c));
    assert_int_equal(sg_graph_status(c.graph, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "softmax over lists: row 2: target "));
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(refuses_a_target_outside_its_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
