/* softmax_ce.c - fused cross-entropy: values and gradients against a double reference, ranges, weights, smoothing, bias,
 * rows without a target, threads. */
#include "op/op.h"

#include <limits.h>

typedef struct setup {
    const char *name;
    int rows, n, d;
    bool bias, weight, range, sparse;
    float scale, smooth, size;
} setup;

static const setup setups[] = {
    {"one of one", 1, 1, 1, false, false, false, false, 1, 0, 1},
    {"small", 5, 7, 3, false, false, false, false, 1, 0, 1},
    {"all options", 33, 19, 5, true, true, false, false, 2, 0.1f, 1},
    {"two blocks", 70, 300, 16, true, false, false, true, 0.7f, 0.2f, 1},
    {"far apart", 20, 513, 8, false, true, false, false, 20, 0, 3},
    {"tiles", 600, 700, 24, false, false, false, false, 1, 0, 1},
    {"ranges", 64, 40, 9, false, true, true, false, 1.5f, 0.1f, 1},
    {"wide ranges", 300, 1200, 32, false, false, true, true, 1, 0, 0.5f},
};

typedef struct run {
    const setup *s;
    int32_t target[600], begin[600], size[600];
    float weight[600];
} run;

/* Four ranges of a quarter of the table, or, for odd rows of the last, two that overlap. */
static void prepare(op_case *c, run *r, const setup *s)
{
    *r = (run){.s = s};
    *c = (op_case){.user = r};
    op_param(c, s->rows, s->d, s->size);
    op_param(c, s->n, s->d, s->size);
    if (s->bias)
        op_param(c, s->n, 0, 1);
    if (s->sparse) {
        op_make_sparse(&c->param[1]);
        if (s->bias)
            op_make_sparse(&c->param[2]);
    }
    for (int i = 0; i < s->rows; i++) {
        r->begin[i] = s->range ? i % 4 * (s->n / 4) : 0;
        r->size[i] = s->range ? s->n / 4 + (s->n > 1000 && i % 4 == 1 ? s->n / 8 : 0) : s->n;
        r->target[i] =
            r->begin[i] + (int32_t)sg_rng_below((uint64_t)r->size[i], 1, SG_RNG_TEST, 4, (uint64_t)i);
        r->weight[i] = i % 5 == 3 ? 0 : 0.5f + sg_rng_float(1, SG_RNG_TEST, 5, (uint64_t)i);
        if (i % 7 == 2)
            r->target[i] = -1;
    }
}

static sg_tensor *build(op_case *c)
{
    const run *r = c->user;
    const setup *s = r->s;
    const float *weight = s->weight ? r->weight : NULL;

    if (s->range)
        return sg_softmax_ce_range(c->graph, op_in(c, 0), &c->param[1], r->begin, r->size, r->target, weight,
                                   s->scale, s->smooth);
    return sg_softmax_ce(c->graph, op_in(c, 0), &c->param[1], s->bias ? &c->param[2] : NULL, r->target,
                         weight, s->scale, s->smooth);
}

/* The definition in double, and its gradient. */
static double refer(const op_case *c, double *dx, double *dw, double *db)
{
    const run *r = c->user;
    const setup *s = r->s;
    const float *x = c->param[0].value, *w = c->param[1].value, *b = s->bias ? c->param[2].value : NULL;
    double *l = sg_alloc_array((size_t)s->n, sizeof *l), loss = 0, total = 0;

    for (int i = 0; i < s->rows; i++)
        total += r->target[i] < 0 ? 0 : s->weight ? r->weight[i] : 1;
    for (int i = 0; i < s->rows; i++) {
        const double a = (s->weight ? (double)r->weight[i] : 1) / total;
        const int begin = r->begin[i], end = begin + r->size[i];
        double sum = 0, most = -INFINITY, mean = 0;

        if (r->target[i] < 0)
            continue;
        for (int j = begin; j < end; j++) {
            l[j] = b ? b[j] : 0;
            for (int k = 0; k < s->d; k++)
                l[j] += (double)x[i * s->d + k] * w[j * s->d + k];
            l[j] *= s->scale;
            most = fmax(most, l[j]);
            mean += l[j] / (end - begin);
        }
        for (int j = begin; j < end; j++)
            sum += exp(l[j] - most);
        loss += a * (most + log(sum) - (1 - (double)s->smooth) * l[r->target[i]] - (double)s->smooth * mean);
        for (int j = begin; j < end; j++) {
            const double g = a * s->scale *
                             (exp(l[j] - most) / sum - (double)s->smooth / (end - begin) -
                              (j == r->target[i] ? 1 - (double)s->smooth : 0));

            db[j] += g;
            for (int k = 0; k < s->d; k++) {
                dx[i * s->d + k] += g * w[j * s->d + k];
                dw[j * s->d + k] += g * x[i * s->d + k];
            }
        }
    }
    sg_free(l);
    return loss;
}

static void near_all(const char *name, const char *what, const float *x, const double *want, size_t n)
{
    op_near_all(x, want, n, 2e-5, 1e-4, name,
                what); /* exp of logits up to 100: 100 * 6e-8, and sums of some hundred terms */
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;

        prepare(&c, &r, &setups[i]);
        double *dx = sg_alloc_zero(c.param[0].count, 8), *dw = sg_alloc_zero(c.param[1].count, 8);
        double *db = sg_alloc_zero((size_t)setups[i].n, 8);
        op_threads(&c, 1);
        const double want = refer(&c, dx, dw, db), found = op_backward(&c, build);

        op_near(found, want, 1e-5, 0.1, setups[i].name, 0);
        near_all(setups[i].name, "dx", c.param[0].grad, dx, c.param[0].count);
        near_all(setups[i].name, "dw", c.param[1].grad, dw, c.param[1].count);
        if (setups[i].bias)
            near_all(setups[i].name, "db", c.param[2].grad, db, c.param[2].count);
        if (setups[i].sparse)
            assert_int_equal(c.param[1].n_touched, setups[i].n);
        sg_free(dx);
        sg_free(dw);
        sg_free(db);
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
        op_check(&c, build,
                 (op_spec){.probes = 8, .no_differences = setups[i].rows > 64 || setups[i].size > 1});
    }
}

/* A low-rank part beside the table is a table and rows that are wider: params x, w, z, b against the definition over (x z) and (w b). */
typedef struct low_setup {
    setup s;               /* d: of both together */
    int r;                 /* of the low-rank part */
    bool frozen, constant; /* the table does not learn; x does not */
    bool rows;             /* every third row of the frozen table does */
} low_setup;

static int32_t learning[300];

static const low_setup setups_low[] = {
    {{"low: small", 5, 7, 5, false, false, false, false, 1, 0, 1}, 2, false, false, false},
    {{"low: weights and smoothing", 33, 19, 9, false, true, false, false, 2, 0.1f, 1},
     4,
     false,
     false,
     false},
    {{"low: two blocks, a frozen table", 70, 300, 24, false, false, false, false, 0.7f, 0.2f, 1},
     16,
     true,
     false,
     false},
    {{"low: tiles, constant rows", 600, 700, 41, false, false, false, false, 1, 0, 0.5f},
     17,
     true,
     true,
     false},
    {{"low: bf16", 130, 527, 40, false, true, false, false, 2, 0.1f, 0.5f}, 8, true, false, false},
    {{"low: bf16, tiles", 599, 300, 80, false, false, false, false, 1, 0, 0.5f}, 16, false, false, false},
    {{"rows: small, smoothed", 9, 7, 5, false, true, false, false, 1.5f, 0.1f, 1}, 2, true, false, true},
    {{"rows: two blocks, tiles", 600, 850, 24, false, false, false, false, 1, 0, 0.5f}, 3, true, false, true},
    {{"rows: bf16", 130, 850, 40, false, true, false, false, 1, 0.1f, 0.5f}, 8, true, true, true},
};

static sg_tensor *build_low(op_case *c)
{
    const run *r = c->user;
    const setup *s = r->s;
    const low_setup *l = (const low_setup *)(const void *)s;
    sg_tensor *x = op_in(c, 2);

    const sg_ce_beside beside = {op_in(c, 4), &c->param[5], c->n_params > 6 ? &c->param[6] : NULL, learning};
    return sg_softmax_ce_beside(c->graph, l->constant ? sg_stop(c->graph, x) : x, &c->param[3], &beside,
                                r->target, s->weight ? r->weight : NULL, s->scale, s->smooth);
}

/* Rows of `whole` (rows, d): the first `left` numbers into one param, the others into another. */
static void split_columns(op_case *c, int whole, int d, int left)
{
    const int rows = c->param[whole].dim[0];

    for (int i = 0; i < rows * d; i++) {
        const int row = i / d, col = i % d;

        if (col < left)
            c->param[2 + whole].value[row * left + col] = c->param[whole].value[i];
        else
            c->param[4 + whole].value[row * (d - left) + col - left] = c->param[whole].value[i];
    }
}

static void check_columns(const op_case *c, const char *name, const double *want, int whole, int d, int left,
                          double tolerance)
{
    const int rows = c->param[whole].dim[0];
    double *side = sg_alloc_array((size_t)rows * (size_t)d, sizeof *side);

    for (int part = 0; part < 2; part++) {
        const int from = part ? left : 0, n = part ? d - left : left;
        const sg_param *p = &c->param[2 + 2 * part + whole];

        for (int i = 0; i < rows * n; i++)
            side[i] = p->frozen ? 0 : want[i / n * d + from + i % n];
        op_near_all(p->grad, side, p->count, tolerance, tolerance > 1e-3 ? 0 : 1e-4, name, p->name);
    }
    sg_free(side);
}

/* Param 6: every third row of param 3. */
static void add_rows(op_case *c, int n, int left)
{
    const int rows = (n + 2) / 3;

    assert_int_equal(op_param(c, rows, left, 0), 6);
    for (int i = 0; i < rows; i++) {
        learning[i] = 3 * i;
        memcpy(c->param[6].value + i * left, c->param[3].value + 3 * i * left, (size_t)left * sizeof(float));
    }
}

static void check_rows(const op_case *c, const char *name, const double *dw, int d, int left,
                       double tolerance)
{
    const sg_param *p = &c->param[6];
    double *want = sg_alloc_array(p->count, sizeof *want);

    for (int i = 0; i < (int)p->count; i++)
        want[i] = dw[3 * (i / left) * d + i % left];
    op_near_all(p->grad, want, p->count, tolerance, tolerance > 1e-3 ? 0 : 1e-4, name, "rows");
    sg_free(want);
}

static void a_low_rank_part_is_a_wider_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups_low / sizeof *setups_low; i++) {
        const low_setup *l = &setups_low[i];
        const setup *s = &l->s;
        const bool bf16 = strstr(s->name, "bf16") != NULL;
        const int left = s->d - l->r;
        op_case c;
        run r;

        prepare(&c, &r, s);
        const int all[4] = {op_param(&c, s->rows, left, 0), op_param(&c, s->n, left, 0),
                            op_param(&c, s->rows, l->r, 0), op_param(&c, s->n, l->r, 0)};
        assert_int_equal(all[3], 5);
        for (int p = 0; p < 2; p++) {
            for (size_t j = 0; bf16 && j < c.param[p].count; j++)
                c.param[p].value[j] = roundf(c.param[p].value[j] * 128) / 128;
            split_columns(&c, p, s->d, left);
        }
        c.param[3].frozen = l->frozen;
        c.precision = bf16 ? SG_BF16 : SG_F32;
        if (l->rows)
            add_rows(&c, s->n, left);
        double *dx = sg_alloc_zero(c.param[0].count, 8), *dw = sg_alloc_zero(c.param[1].count, 8);
        double *db = sg_alloc_zero((size_t)s->n, 8);
        op_threads(&c, 2);
        op_near(op_backward(&c, build_low), refer(&c, dx, dw, db), 1e-5, 0.1, s->name, 0);
        for (int j = 0; l->constant && j < s->rows * s->d; j++)
            dx[j] = j % s->d < left ? 0 : dx[j];
        check_columns(&c, s->name, dx, 0, s->d, left, bf16 ? 0x1p-8 : 2e-5);
        check_columns(&c, s->name, dw, 1, s->d, left, bf16 ? 0x1p-8 : 2e-5);
        if (l->rows)
            check_rows(&c, s->name, dw, s->d, left, bf16 ? 0x1p-8 : 2e-5);
        if (bf16 || l->rows) /* rows are the table's: they do not move alone */
            op_check_threads(&c, build_low);
        else
            op_check(&c, build_low, (op_spec){.probes = 6, .no_differences = s->rows > 64});
        sg_free(dx);
        sg_free(dw);
        sg_free(db);
        op_free(&c);
    }
}

static sg_tensor *build_half(op_case *c, int first, int rows)
{
    const run *r = c->user;
    int32_t row[600];

    for (int i = 0; i < rows; i++)
        row[i] = first + i;
    return sg_softmax_ce(c->graph, sg_rows(c->graph, op_in(c, 0), row, rows), &c->param[1], NULL,
                         r->target + first, NULL, 1, 0.1f);
}

static sg_tensor *build_whole(op_case *c)
{
    return build_half(c, 0, c->param[0].dim[0]);
}

static sg_tensor *build_halves(op_case *c)
{
    const int half = c->param[0].dim[0] / 2;

    return sg_scale(c->graph, sg_plus(c->graph, build_half(c, 0, half), build_half(c, half, half)), 0.5f);
}

/* bf16 runs where the CPU multiplies it, the width is a multiple of 32 and there are rows enough; elsewhere f32 takes its place. */
static const setup setups_bf16[] = {
    {"bf16: all options", 130, 300, 32, true, true, false, false, 2, 0.1f, 1},
    {"bf16: ranges", 301, 1200, 64, false, false, true, true, 1, 0, 0.5f},
    {"bf16: rows and items left over", 599, 527, 96, false, false, false, false, 0.5f, 0, 0.5f},
};

static void near_bf16(const char *name, const char *what, const float *x, const double *want, size_t n)
{
    op_near_all(
        x, want, n, 0x1p-8, 0, name,
        what); /* terms are rounded to 8 bits, 2^-9; the largest of them are no larger than the largest sum */
}

/* Operands that bf16 holds exactly: what is left are the roundings of exp(l) and of the gradients of logits. */
static void bf16_equals_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups_bf16 / sizeof *setups_bf16; i++) {
        const setup *s = &setups_bf16[i];
        op_case c;
        run r;

        prepare(&c, &r, s);
        for (int p = 0; p < 2; p++)
            for (size_t j = 0; j < c.param[p].count; j++)
                c.param[p].value[j] = roundf(c.param[p].value[j] * 128) / 128;
        double *dx = sg_alloc_zero(c.param[0].count, 8), *dw = sg_alloc_zero(c.param[1].count, 8);
        double *db = sg_alloc_zero((size_t)s->n, 8);
        op_threads(&c, 1);
        op_backward(&c, build);
        float *f32 = sg_alloc_array(c.param[0].count, sizeof *f32);
        memcpy(f32, c.param[0].grad, c.param[0].count * sizeof *f32);
        c.precision = SG_BF16;
        op_threads(&c, 1);
        op_near(op_backward(&c, build), refer(&c, dx, dw, db), 1e-5, 0.1, s->name, 0);
        near_bf16(s->name, "dx", c.param[0].grad, dx, c.param[0].count);
        near_bf16(s->name, "dw", c.param[1].grad, dw, c.param[1].count);
        if (s->bias)
            near_bf16(s->name, "db", c.param[2].grad, db, c.param[2].count);
        if (sg_isa_best() == SG_ISA_AVX512BF16)
            assert_memory_not_equal(c.param[0].grad, f32, c.param[0].count * sizeof *f32);
        op_check_threads(&c, build);
        sg_free(f32);
        sg_free(dx);
        sg_free(dw);
        sg_free(db);
        op_free(&c);
    }
}

/* More logits than are kept for the way back: the rest is computed again. The halves are kept whole. */
static void check_not_kept(const setup *s, sg_precision precision, double tolerance)
{
    op_case c;
    run r;

    prepare(&c, &r, s);
    c.precision = precision;
    for (int i = 0; i < s->rows; i++)
        r.target[i] = i * 200;
    op_threads(&c, 2);
    const double whole = op_backward(&c, build_whole);
    float *dx = sg_alloc_array(c.param[0].count, sizeof *dx),
          *dw = sg_alloc_array(c.param[1].count, sizeof *dw);
    memcpy(dx, c.param[0].grad, c.param[0].count * sizeof *dx);
    memcpy(dw, c.param[1].grad, c.param[1].count * sizeof *dw);
    op_near(op_backward(&c, build_halves), whole, 1e-6, 1, "loss", 0);
    for (size_t i = 0; i < c.param[0].count; i++)
        op_near(c.param[0].grad[i], dx[i], tolerance, 1e-4, "dx", i);
    for (size_t i = 0; i < c.param[1].count; i++)
        op_near(c.param[1].grad[i], dw[i], tolerance, 1e-5, "dw", i);
    sg_free(dx);
    sg_free(dw);
    op_free(&c);
}

static void what_is_not_kept_is_computed_again(void **state)
{
    (void)state;
    check_not_kept(&(setup){"large", 500, 100000, 2, false, false, false, false, 1, 0, 1}, SG_F32, 1e-4);
    /* exp(l) and the gradients of logits are rounded to 8 bits, once or twice */
    check_not_kept(&(setup){"large, bf16", 500, 140000, 32, false, false, false, false, 1, 0, 0.25f}, SG_BF16,
                   0x1p-7);
}

/* A table that does not learn, and rows that do not: nothing is computed for them. */
static void frozen_sides_stay_untouched(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[2]);
    c.param[1].frozen = true;
    op_threads(&c, 1);
    op_backward(&c, build);
    for (size_t i = 0; i < c.param[1].count; i++)
        assert_true(c.param[1].grad[i] == 0);
    assert_true(c.param[0].grad[0] != 0 && c.param[2].grad[0] != 0);
    op_free(&c);
}

static sg_tensor *build_on(op_case *c, sg_tensor *x)
{
    const run *r = c->user;

    return sg_softmax_ce(c->graph, x, &c->param[1], NULL, r->target, NULL, 1, 0);
}

static sg_tensor *build_on_leaf(op_case *c)
{
    return build_on(c, sg_leaf(c->graph, &c->param[0]));
}

static sg_tensor *build_on_constant(op_case *c)
{
    return build_on(c, sg_stop(c->graph, op_in(c, 0)));
}

static void constant_rows_still_teach_the_table(void **state)
{
    (void)state;
    op_case c;
    run r;

    float dw[21];

    prepare(&c, &r, &setups[1]);
    op_threads(&c, 1);
    op_backward(&c, build_on_leaf);
    assert_true(c.param[0].grad[0] != 0);
    memcpy(dw, c.param[1].grad, sizeof dw);
    op_backward(&c, build_on_constant);
    assert_memory_equal(dw, c.param[1].grad, sizeof dw);
    assert_true(c.param[0].grad[0] == 0);
    op_free(&c);
}

static void no_rows_cost_nothing(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[1]);
    for (int i = 0; i < setups[1].rows; i++)
        r.target[i] = -1;
    op_threads(&c, 1);
    assert_true(op_backward(&c, build) == 0);
    for (size_t i = 0; i < c.param[1].count; i++)
        assert_true(c.param[1].grad[i] == 0);
    op_free(&c);
}

static void inference_gives_the_same_loss(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[3]);
    op_threads(&c, 1);
    const float want = (float)op_forward(&c, build);
    sg_graph_begin(c.graph, SG_INFER, 1, 1);
    const sg_tensor *y = build(&c);
    assert_non_null(y);
    assert_memory_equal(y->data, &want, sizeof want);
    op_free(&c);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[1]);
    op_threads(&c, 1);
    r.target[1] = 7;
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    op_expect_error(&c, build(&c), "softmax: row 1: target 7 outside rows 0..6 of a table of 7");
    r.target[1] = INT_MIN;
    sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
    assert_null(build(&c));
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(a_low_rank_part_is_a_wider_table),
        cmocka_unit_test(bf16_equals_the_definition),
        cmocka_unit_test(what_is_not_kept_is_computed_again),
        cmocka_unit_test(frozen_sides_stay_untouched),
        cmocka_unit_test(constant_rows_still_teach_the_table),
        cmocka_unit_test(no_rows_cost_nothing),
        cmocka_unit_test(inference_gives_the_same_loss),
        cmocka_unit_test(refuses_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
