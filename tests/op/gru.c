/* gru.c - states against the formulas in double, gradients against differences, threads, refusals. */
#include "op/op.h"

typedef struct setup {
    const char *name;
    int d, batch;
    int n[16];
    bool long_one; /* too long for differences */
} setup;

static const setup setups[] = {
    {"one token", 5, 1, {1}, false},
    {"ragged", 20, 5, {3, 0, 7, 1, 7}, false},
    {"whole vectors", 16, 3, {9, 4, 2}, false},
    {"two groups", 12, 14, {1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 4}, false},
    {"wide", 100, 13, {30, 2, 17, 30, 4, 4, 4, 9, 12, 1, 1, 25, 3}, true},
    {"long", 33, 2, {400, 250}, true},
};

typedef struct run {
    const setup *s;
    int32_t offsets[17];
    sg_tensor *y;
} run;

static sg_tensor *build(op_case *c)
{
    run *r = c->user;

    r->y = sg_gru(c->graph, op_in(c, 0), &c->param[1], r->offsets, r->s->batch);
    return op_loss(c, r->y);
}

static void prepare(op_case *c, run *r, const setup *s)
{
    *r = (run){.s = s};
    *c = (op_case){.user = r};
    for (int i = 0; i < s->batch; i++)
        r->offsets[i + 1] = r->offsets[i] + s->n[i];
    op_param(c, r->offsets[s->batch], 3 * s->d, 2);
    op_param(c, 3 * s->d, s->d, 2 / sqrtf((float)s->d));
}

static double product(const float *row, const double *x, int d)
{
    double sum = 0;

    for (int k = 0; k < d; k++)
        sum += row[k] * x[k];
    return sum;
}

static void equals_the_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        const setup *s = &setups[i];
        const int d = s->d;
        op_case c;
        run r;

        prepare(&c, &r, s);
        op_threads(&c, 1);
        op_forward(&c, build);
        for (int b = 0; b < s->batch; b++) {
            double h[100] = {0}, left[100], z[100];

            for (int t = r.offsets[b]; t < r.offsets[b + 1]; t++) {
                const float *x = c.param[0].value + (size_t)t * 3 * (size_t)d, *u = c.param[1].value;

                for (int j = 0; j < d; j++) {
                    z[j] = 1 / (1 + exp(-x[j] - product(u + j * d, h, d)));
                    left[j] = h[j] / (1 + exp(-x[d + j] - product(u + (d + j) * d, h, d)));
                }
                for (int j = 0; j < d; j++)
                    h[j] += z[j] * (tanh(x[2 * d + j] + product(u + (2 * d + j) * d, left, d)) - h[j]);
                for (int j = 0; j < d; j++) /* rounding of a step goes through the later ones and fades */
                    op_near(r.y->data[t * d + j], h[j], 1e-5, 1, s->name, (size_t)t);
            }
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
        op_check(&c, build, (op_spec){.probes = 40, .no_differences = setups[i].long_one});
    }
}

/* The state of one sequence never reaches another: gradients of packed sequences are those of each alone. */
static void packed_equals_one_by_one(void **state)
{
    (void)state;
    static const setup all = {"packed", 33, 4, {5, 1, 40, 12}, false};
    op_case c;
    run r;

    prepare(&c, &r, &all);
    op_threads(&c, 2);
    op_backward(&c, build);
    for (int i = 0; i < 4; i++) {
        const setup one = {"one", 33, 1, {all.n[i]}, false};
        op_case o;
        run ro;

        prepare(&o, &ro, &one);
        memcpy(o.param[0].value, c.param[0].value + r.offsets[i] * 99, o.param[0].count * sizeof(float));
        memcpy(o.param[1].value, c.param[1].value, o.param[1].count * sizeof(float));
        op_threads(&o, 1);
        op_forward(&o, build);
        for (size_t k = 0; k < ro.y->count; k++)
            op_near(ro.y->data[k], r.y->data[(size_t)r.offsets[i] * 33 + k], 1e-6, 1, "state", k);
        op_free(&o);
    }
    op_free(&c);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[1]);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    op_expect_error(&c, sg_gru(c.graph, op_in(&c, 0), &c.param[1], r.offsets, 4),
                    "gru: offsets do not cover 18 tokens");
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    op_expect_error(&c, sg_gru(c.graph, op_in(&c, 0), &c.param[0], r.offsets, 5),
                    "gru: 'p0' is not (3 d, d), or (18, 60) are not rows of 3 d");
    r.offsets[2] = 11;
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    op_expect_error(&c, sg_gru(c.graph, op_in(&c, 0), &c.param[1], r.offsets, 5),
                    "gru: offsets of sequence 2 fall");
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_formulas),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(packed_equals_one_by_one),
        cmocka_unit_test(refuses_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
