/* moe.c - experts: against a dense mixture, gradients, who asks whom, threads. */
#include "op/op.h"

#include "nn/moe.h"

enum { DIM = 6, FFN = 10, EXPERTS = 4 };

static sg_moe moe;
static sg_moe_spec spec;

/* The experts' weights are the case's parameters, so that the harness moves them: x, gate, then w1, w2 (and w3) of each. */
static void take(op_case *c, int rows)
{
    op_param(c, rows, DIM, 1);
    op_param(c, spec.experts, DIM, 1);
    for (int e = 0; e < spec.experts; e++) {
        op_param(c, FFN, DIM, 1);
        op_param(c, DIM, FFN, 1);
    }
}

static sg_tensor *forward(op_case *c, sg_moe_route *route)
{
    moe = (sg_moe){.spec = spec, .gate = &c->param[1]};
    for (int e = 0; e < spec.experts; e++) {
        moe.expert[e].w1 = &c->param[2 + 2 * e];
        moe.expert[e].w2 = &c->param[3 + 2 * e];
    }
    return sg_moe_forward(c->graph, &moe, op_in(c, 0), 0, route);
}

static sg_tensor *build(op_case *c)
{
    return op_loss(c, forward(c, NULL));
}

/* One row in double: p over all experts, then those of the row. */
static void dense(double *y, const op_case *c, const float *x)
{
    double p[EXPERTS], sum = 0, chosen = 0;
    bool in[EXPERTS] = {false};

    for (int e = 0; e < spec.experts; e++) {
        double l = 0;

        for (int i = 0; i < DIM; i++)
            l += (double)c->param[1].value[e * DIM + i] * x[i];
        sum += p[e] = exp(l);
    }
    for (int k = 0; k < spec.top; k++) {
        int best = -1;

        for (int e = 0; e < spec.experts; e++)
            if (!in[e] && (best < 0 || p[e] > p[best]))
                best = e;
        in[best] = true;
        chosen += p[best];
    }
    memset(y, 0, DIM * sizeof *y);
    for (int e = 0; e < spec.experts; e++)
        for (int j = 0; in[e] && j < FFN; j++) {
            double inner = 0;

            for (int i = 0; i < DIM; i++)
                inner += (double)c->param[2 + 2 * e].value[j * DIM + i] * x[i];
            inner /= 1 + exp(-inner);
            for (int i = 0; i < DIM; i++)
                y[i] += p[e] / (spec.renormalise ? chosen : sum) * inner *
                        (double)c->param[3 + 2 * e].value[i * FFN + j];
        }
}

static void check(int rows)
{
    op_case c = {0};

    take(&c, rows);
    op_threads(&c, 1);
    op_forward(&c, build);
    for (int r = 0; r < rows; r++) {
        double y[DIM];

        dense(y, &c, c.param[0].value + r * DIM);
        for (int i = 0; i < DIM; i++)
            op_near(c.out->data[r * DIM + i], y[i], 1e-5, 1, "y", (size_t)(r * DIM + i));
    }
    /* choices change only where two experts are as good as equal: the step is small, so that none does */
    op_check(&c, build, (op_spec){.step = 1e-3, .tolerance = 4e-3});
}

static void equals_the_mixture_of_the_chosen(void **state)
{
    (void)state;
    for (int renormalise = 0; renormalise < 2; renormalise++)
        for (int top = 1; top <= EXPERTS; top++) { /* all of them: the dense mixture */
            spec = (sg_moe_spec){.dim = DIM,
                                 .ffn = FFN,
                                 .experts = EXPERTS,
                                 .top = top,
                                 .act = SG_SILU,
                                 .renormalise = renormalise};
            check(1);
            check(19);
        }
}

static void every_row_asks_top_experts(void **state)
{
    enum { ROWS = 150, TOP = 2 };
    (void)state;
    op_case c = {0};
    sg_moe_route r;
    bool slot[ROWS * TOP] = {false};

    spec = (sg_moe_spec){.dim = DIM, .ffn = FFN, .experts = EXPERTS, .top = TOP, .act = SG_SILU};
    take(&c, ROWS);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_INFER, 0, 0);
    assert_non_null(forward(&c, &r));
    assert_int_equal(r.first[0], 0);
    assert_int_equal(r.first[EXPERTS], ROWS * TOP); /* loads sum to tokens times k */
    for (int i = 0; i < ROWS; i++) {
        assert_int_not_equal(r.expert[i * TOP], r.expert[i * TOP + 1]);
        for (int j = 0; j < TOP; j++) {
            const int e = r.expert[i * TOP + j], at = r.slot[i * TOP + j];

            assert_in_range(at, r.first[e], r.first[e + 1] - 1);
            assert_int_equal(r.row[at], i);
            assert_false(slot[at]);
            slot[at] = true;
        }
    }
    op_free(&c);
}

static sg_tensor *build_balance(op_case *c)
{
    sg_moe_route r;

    return forward(c, &r) ? op_loss(c, r.balance) : NULL;
}

/* E sum f p, counted here; and the gradient, which p alone has. */
static void balance_is_that_of_the_paper(void **state)
{
    (void)state;
    for (int top = 1; top <= EXPERTS; top++)
        for (int rows = 1; rows <= 19; rows += 18) {
            op_case c = {0};
            sg_moe_route r;
            double mean[EXPERTS] = {0}, y = 0;

            spec = (sg_moe_spec){.dim = DIM, .ffn = FFN, .experts = EXPERTS, .top = top, .act = SG_SILU};
            take(&c, rows);
            op_threads(&c, 1);
            sg_graph_begin(c.graph, SG_TRAIN, 1, 0);
            assert_non_null(forward(&c, &r));
            for (int i = 0; i < rows; i++) {
                double p[EXPERTS], sum = 0;

                for (int e = 0; e < EXPERTS; e++) {
                    double l = 0;

                    for (int k = 0; k < DIM; k++)
                        l += (double)c.param[1].value[e * DIM + k] * c.param[0].value[i * DIM + k];
                    sum += p[e] = exp(l);
                }
                for (int e = 0; e < EXPERTS; e++)
                    mean[e] += p[e] / sum / rows;
            }
            for (int e = 0; e < EXPERTS; e++)
                y += EXPERTS * mean[e] * (r.first[e + 1] - r.first[e]) / ((double)rows * top);
            op_near(r.balance->data[0], y, 1e-5, 1, "balance", 0);
            if (top < EXPERTS)
                op_check(&c, build_balance,
                         (op_spec){.tolerance = 4e-3}); /* f32 of about 1, by steps of .01: 3e-6 */
            else                                        /* all are asked alike, whatever the weights */
                op_near(r.balance->data[0], 1, 1e-5, 1, "balance", 1);
            op_free(&c);
        }
}

/* Blocks are counted one after the other; without anybody who wants to know the result is the same. */
static void loads_add_up(void **state)
{
    enum { ROWS = 31, TOP = 2 };
    (void)state;
    op_case c = {0};
    int64_t asked[2 * EXPERTS] = {0};
    sg_moe_load load = {.asked = asked};
    sg_moe_route r;

    spec = (sg_moe_spec){.dim = DIM, .ffn = FFN, .experts = EXPERTS, .top = TOP, .act = SG_SILU};
    take(&c, ROWS);
    op_threads(&c, 1);
    sg_graph_begin(c.graph, SG_TRAIN, 1, 0);
    const sg_tensor *y = forward(&c, &r);
    for (int b = 0; b < 2; b++) {
        const sg_tensor *z = sg_moe_forward_counted(c.graph, &moe, op_in(&c, 0), 0, b ? &load : NULL);

        assert_memory_equal(z->data, y->data, y->count * sizeof *y->data);
    }
    assert_non_null(sg_moe_forward_counted(c.graph, &moe, op_in(&c, 0), 0, &load));
    assert_int_equal(load.blocks, 2);
    op_near(load.balance->data[0], 2 * (double)r.balance->data[0], 1e-6, 1, "sum", 0);
    for (int i = 0; i < 2 * EXPERTS; i++)
        assert_int_equal(asked[i], r.first[i % EXPERTS + 1] - r.first[i % EXPERTS]);
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_mixture_of_the_chosen),
        cmocka_unit_test(every_row_asks_top_experts),
        cmocka_unit_test(balance_is_that_of_the_paper),
        cmocka_unit_test(loads_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
