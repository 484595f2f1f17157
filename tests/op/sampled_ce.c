/* sampled_ce.c - sampled softmax and binary losses: values and gradients against a double reference, against the full
 * softmax, threads, and which rows of a sparse table they touch. */
#include "op/op.h"

enum { ROWS_MOST = 80, NEG_MOST = 90 };

typedef struct setup {
    const char *name;
    int rows, n, d, n_neg;
    bool shared, logq, l2, sparse;
    float scale, beta; /* beta < 0: softmax */
    int max;           /* 1: BPR-max with reg = beta, 2: TOP1-max */
} setup;

static const setup setups[] = {
    {"ce shared", 9, 20, 4, 6, true, false, false, false, 1, -1, 0},
    {"ce own", 9, 20, 4, 6, false, false, false, true, 1, -1, 0},
    {"ce one", 1, 1, 1, 1, true, false, false, false, 1, -1, 0},
    {"ce logq", 30, 40, 16, 12, true, true, false, true, 1.5f, -1, 0},
    {"ce own logq", 70, 50, 33, 20, false, true, false, false, 0.5f, -1, 0},
    {"ce cosine", 40, 30, 8, 15, true, true, true, true, 10, -1, 0},
    {"ce own cosine", 25, 30, 17, 3, false, false, true, false, 5, -1, 0},
    {"bce", 40, 30, 8, 1, false, false, false, true, 1, 1, 0},
    {"bce shared", 33, 60, 20, 80, true, false, false, false, 1, 1, 0},
    {"gbce", 40, 61, 8, 16, false, false, false, true, 1, 0.27f, 0},
    {"bce cosine", 20, 30, 8, 7, true, true, true, false, 4, 1, 0},
    {"bpr max", 40, 30, 8, 12, true, false, false, false, 1, 0.3f, 1},
    {"bpr max own", 33, 61, 17, 20, false, false, false, true, 2, 0, 1},
    {"bpr max alone", 1, 1, 4, 3, true, false, false, false, 1, 1, 1}, /* every negative is the target */
    {"top1 max", 40, 30, 8, 12, true, false, false, false, 1, 0, 2},
    {"top1 max own", 33, 61, 17, 20, false, false, false, true, 2, 0, 2},
};

typedef struct run {
    const setup *s;
    int32_t target[ROWS_MOST], negative[ROWS_MOST * NEG_MOST];
    float logq[100];
} run;

static void prepare(op_case *c, run *r, const setup *s)
{
    *r = (run){.s = s};
    *c = (op_case){.user = r};
    op_param(c, s->rows, s->d, 1);
    op_param(c, s->n, s->d, 1);
    if (s->sparse)
        op_make_sparse(&c->param[1]);
    for (int i = 0; i < s->rows; i++)
        r->target[i] =
            i % 6 == 4 ? -1 : (int32_t)sg_rng_below((uint64_t)s->n, 1, SG_RNG_TEST, 4, (uint64_t)i);
    for (int i = 0; i < s->n_neg * (s->shared ? 1 : s->rows); i++)
        r->negative[i] =
            i % 11 == 7 ? -1 : (int32_t)sg_rng_below((uint64_t)s->n, 1, SG_RNG_TEST, 5, (uint64_t)i);
    for (int i = 0; i < s->n; i++)
        r->logq[i] = logf(0.02f + sg_rng_float(1, SG_RNG_TEST, 6, (uint64_t)i));
}

static sg_sampled_spec spec_of(const run *r)
{
    const setup *s = r->s;

    return (sg_sampled_spec){r->target, r->negative, s->n_neg, s->shared, s->logq ? r->logq : NULL,
                             s->scale,  s->l2};
}

static sg_tensor *build(op_case *c)
{
    const run *r = c->user;
    const sg_sampled_spec spec = spec_of(r);

    if (r->s->max)
        return r->s->max == 1 ? sg_sampled_bpr_max(c->graph, op_in(c, 0), &c->param[1], &spec, r->s->beta)
                              : sg_sampled_top1_max(c->graph, op_in(c, 0), &c->param[1], &spec);
    if (r->s->beta < 0)
        return sg_sampled_ce(c->graph, op_in(c, 0), &c->param[1], &spec);
    return sg_sampled_bce(c->graph, op_in(c, 0), &c->param[1], &spec, r->s->beta);
}

static double logit(const op_case *c, int row, int item)
{
    const run *r = c->user;
    const int d = r->s->d;
    const float *x = c->param[0].value + row * d, *w = c->param[1].value + item * d;
    double xw = 0, xx = 0, ww = 0;

    for (int i = 0; i < d; i++) {
        xw += (double)x[i] * w[i];
        xx += (double)x[i] * x[i];
        ww += (double)w[i] * w[i];
    }
    if (r->s->l2)
        xw /= sqrt(xx * ww);
    return r->s->scale * xw - (r->s->logq ? r->logq[item] : 0);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double refer_max(const op_case *c, int row, const int32_t *negative)
{
    const run *r = c->user;
    const double own = logit(c, row, r->target[row]);
    double sum = 0, right = 0, square = 0, wrong = 0;

    for (int j = 0; j < r->s->n_neg; j++) {
        if (negative[j] < 0 || negative[j] == r->target[row])
            continue;
        const double l = logit(c, row, negative[j]), e = exp(l);
        sum += e;
        right += e * sigmoid(own - l);
        square += e * l * l;
        wrong += e * (sigmoid(l - own) + sigmoid(l * l));
    }
    if (sum == 0)
        return 0;
    return r->s->max == 1 ? -log(right / sum) + r->s->beta * square / sum : wrong / sum;
}

static double refer(const op_case *c)
{
    const run *r = c->user;
    const setup *s = r->s;
    double loss = 0;
    int rows = 0;

    for (int i = 0; i < s->rows; i++) {
        const int32_t *negative = r->negative + (s->shared ? 0 : i * s->n_neg);
        double own, sum, rest = 0;

        if (r->target[i] < 0)
            continue;
        rows++;
        if (s->max) {
            loss += refer_max(c, i, negative);
            continue;
        }
        own = logit(c, i, r->target[i]);
        sum = exp(own);
        for (int j = 0; j < s->n_neg; j++) {
            if (negative[j] < 0 || negative[j] == r->target[i])
                continue;
            sum += exp(logit(c, i, negative[j]));
            rest -= log(1 - 1 / (1 + exp(-logit(c, i, negative[j]))));
        }
        loss += s->beta < 0 ? log(sum) - own : rest - s->beta * log(sigmoid(own));
    }
    return loss / rows;
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
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;

        prepare(&c, &r, &setups[i]);
        op_check(
            &c, build,
            (op_spec){.probes = 16, .step = setups[i].l2 ? 3e-3 : 0, .tolerance = setups[i].l2 ? 3e-3 : 0});
    }
}

/* All items as negatives, each once: the softmax over the whole table. */
static void all_negatives_equal_the_full_softmax(void **state)
{
    (void)state;
    static const setup s = {"all", 50, 80, 12, 80, true, false, false, false, 1.3f, -1, 0};
    op_case c;
    run r;

    prepare(&c, &r, &s);
    for (int j = 0; j < s.n; j++)
        r.negative[j] = j;
    op_threads(&c, 1);
    const double found = op_backward(&c, build);
    float dx[50 * 12], dw[80 * 12];

    memcpy(dx, c.param[0].grad, sizeof dx);
    memcpy(dw, c.param[1].grad, sizeof dw);
    op_zero_grads(&c);
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    sg_tensor *full = sg_softmax_ce(c.graph, op_in(&c, 0), &c.param[1], NULL, r.target, NULL, s.scale, 0);
    assert_non_null(full);
    op_near(found, (double)full->data[0], 1e-6, 1, "loss", 0);
    assert_int_equal(sg_backward(c.graph, full, NULL), SG_OK);
    for (size_t i = 0; i < 50 * 12; i++)
        op_near(dx[i], c.param[0].grad[i], 1e-4, 1e-2, "dx", i);
    for (size_t i = 0; i < 80 * 12; i++)
        op_near(dw[i], c.param[1].grad[i], 1e-4, 1e-2, "dw", i);
    op_free(&c);
}

static void touches_the_rows_it_reads(void **state)
{
    (void)state;
    op_case c;
    run r;
    bool used[100] = {0};
    int at = 0;

    prepare(&c, &r, &setups[9]);
    op_threads(&c, 2);
    op_backward(&c, build);
    for (int i = 0; i < r.s->rows; i++)
        for (int j = 0; j < r.s->n_neg && r.target[i] >= 0; j++) {
            used[r.target[i]] = true;
            if (r.negative[i * r.s->n_neg + j] >= 0)
                used[r.negative[i * r.s->n_neg + j]] = true;
        }
    for (int i = 0; i < r.s->n; i++) {
        assert_int_equal(c.param[1].is_touched[i], used[i]);
        if (used[i])
            assert_int_equal(c.param[1].touched[at++], i);
    }
    assert_int_equal(c.param[1].n_touched, at);
    op_free(&c);
}

static void refuses_ids_outside_the_table(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[0]);
    op_threads(&c, 1);
    r.negative[2] = 20;
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    op_expect_error(&c, build(&c), "sampled softmax: id 20 outside a table of 20");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(all_negatives_equal_the_full_softmax),
        cmocka_unit_test(touches_the_rows_it_reads),
        cmocka_unit_test(refuses_ids_outside_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
