/* kernels.c - every vector kernel, in every instruction set this CPU has, against double references. */
#include "op/op.h"

static const size_t sizes[] = {0, 1, 3, 15, 16, 17, 31, 64, 100, 1000};
enum { N_SIZES = sizeof sizes / sizeof *sizes, N = 1000 };

typedef void isa_test(const sg_kernels *k);

static void each_isa(isa_test *test)
{
    for (int isa = SG_ISA_BASE; isa <= SG_ISA_MOST; isa++)
        if (sg_kernels_for((sg_isa)isa))
            test(sg_kernels_for((sg_isa)isa));
}

static void fill(float *x, size_t n, uint64_t stream, float size)
{
    for (size_t i = 0; i < n; i++)
        x[i] = size * op_random(i, stream);
}

/* error in units of the last place of want */
static double ulps(float x, double want)
{
    const float w = (float)want;
    const double unit = fmax((double)nextafterf(fabsf(w), INFINITY) - fabsf(w), 0x1p-149);

    return isinf(w) && isinf(x) ? 0 : fabs(x - want) / unit;
}

static void exp_of(const sg_kernels *k)
{
    double worst = 0;

    for (float x = -103.9f; x < 88.8f; x += 0.00137f) {
        float y[1], sum;

        k->exp_rows(y, &x, 1, 0, &sum);
        worst = fmax(worst, ulps(y[0], exp((double)x)));
    }
    if (worst > 1.0) /* polynomial 3e-9, argument and last rounding half a unit each */
        fail_msg("exp is off by %g units in the last place", worst);
    const float odd[] = {0, -0.0f, -INFINITY, INFINITY, NAN, 100, -200};
    float y[7], sum;
    k->exp_rows(y, odd, 7, 0, &sum);
    assert_true(y[0] == 1 && y[1] == 1 && y[2] == 0 && y[3] == INFINITY && isnan(y[4]) && y[5] == INFINITY &&
                y[6] == 0);
}

static void exp_is_exact_to_one_unit(void **state)
{
    (void)state;
    each_isa(exp_of);
}

static double act_want(int act, double x)
{
    switch (act) {
    case SG_RELU:
        return x > 0 ? x : 0;
    case SG_GELU:
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case SG_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case SG_SILU:
        return x / (1 + exp(-x));
    case SG_TANH:
        return tanh(x);
    default:
        return 1 / (1 + exp(-x));
    }
}

static double act_slope_want(int act, double x)
{
    const double h = 1e-5;

    if (act == SG_RELU)
        return x > 0;
    return (act_want(act, x + h) - act_want(act, x - h)) / (2 * h);
}

static void act_of(const sg_kernels *k)
{
    for (int act = SG_RELU; act <= SG_SIGMOID; act++) {
        for (double x = -12; x < 12; x += 0.00713) {
            const float in = (float)x, one = 1;
            float y, dx;

            k->act(act, &y, &in, 1);
            k->act_grad(act, &dx, &one, &in, &y, 1, false);
            op_near(y, act_want(act, in), 3e-7, act == SG_TANH ? 0 : 1, "value", (size_t)act);
            op_near(dx, act_slope_want(act, in), 1e-6, 1, "slope", (size_t)act);
        }
    }
}

static void non_linearities_are_right(void **state)
{
    (void)state;
    each_isa(act_of);
}

static void act_ends_of(const sg_kernels *k)
{
    const float in[] = {0, 1e30f, -1e30f, NAN, INFINITY};
    float y[5], slope[5];
    const float one[5] = {1, 1, 1, 1, 1};

    for (int act = SG_RELU; act <= SG_SIGMOID; act++) {
        const bool flat = act == SG_TANH || act == SG_SIGMOID;

        k->act(act, y, in, 5);
        k->act_grad(act, slope, one, in, y, 4, false);
        assert_true(y[0] == (act == SG_SIGMOID ? 0.5f : 0));
        assert_true(y[1] == (flat ? 1 : 1e30f));
        assert_true(y[2] == (act == SG_TANH ? -1 : 0));
        assert_true(isnan(y[3]));
        assert_true(y[4] == (flat ? 1 : INFINITY));
        assert_true(slope[1] == (flat ? 0 : 1) && slope[2] == 0);
    }
}

static void non_linearities_keep_their_limits_and_nan(void **state)
{
    (void)state;
    each_isa(act_ends_of);
}

static void sums_of(const sg_kernels *k)
{
    float x[N], y[N];

    fill(x, N, 1, 3);
    fill(y, N, 2, 3);
    for (int s = 0; s < N_SIZES; s++) {
        const size_t n = sizes[s];
        double dot = 0, dist2 = 0, sum = 0, sq = 0;
        float most = -INFINITY;

        for (size_t i = 0; i < n; i++) {
            dot += (double)x[i] * y[i];
            dist2 += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
            sum += x[i];
            sq += (double)x[i] * x[i];
            most = x[i] > most ? x[i] : most;
        }
        op_near(k->dot(x, y, n), dot, 1e-6, 9 * (double)n, "dot", n);
        op_near(k->dist2(x, y, n), dist2, 1e-6, 1, "dist2", n);
        op_near(k->sum(x, n), sum, 1e-12, 1, "sum", n);
        op_near(k->sum_sq(x, n), sq, 1e-12, 1, "sum_sq", n);
        op_near(k->sum_sq_diff(x, y, n), dist2, 1e-12, 1, "sum_sq_diff", n);
        assert_true(k->max(x, n) == most);
    }
}

static void reductions_are_right(void **state)
{
    (void)state;
    each_isa(sums_of);
}

static void drop_of(const sg_kernels *k)
{
    const sg_kernels *base = sg_kernels_for(SG_ISA_BASE);
    const sg_drop drop = {.key = 0x123456789abcdefu, .below = 13107, .keep = 65536.0f / (65536 - 13107)};
    float x[N], r[N], want[N], y[N];

    fill(x, N, 3, 1);
    fill(r, N, 4, 1);
    base->dropout(want, x, r, 0, N, &drop);
    for (size_t i = 0; i < N; i++)
        if (want[i] != r[i])
            op_near(want[i], (double)r[i] + (double)drop.keep * x[i], 1e-6, 1, "kept", i);
    for (size_t first = 0; first < 70; first++) { /* any cut gives the same numbers */
        k->dropout(y, x + first, r + first, first, N - 100, &drop);
        for (size_t i = 0; i < N - 100; i++) /* a fused multiply-add rounds once */
            op_near(y[i], want[first + i], 2e-7, 1, "y", first + i);
    }
}

static void dropout_masks_do_not_depend_on_cuts_or_instructions(void **state)
{
    (void)state;
    each_isa(drop_of);
}

/* The mask as 0 and 1: share, neighbours, bits of different keys. 5 standard deviations. */
static void dropout_masks_look_random(void **state)
{
    (void)state;
    enum { M = 1 << 18 };
    const sg_kernels *k = sg_kernels_best();
    float *one = sg_alloc_array(M, sizeof *one), *a = sg_alloc_array(M, sizeof *a),
          *b = sg_alloc_array(M, sizeof *b);

    assert_true(one && a && b);
    for (size_t i = 0; i < M; i++)
        one[i] = 1;
    for (uint64_t key = 0; key < 8; key++) {
        const double p = key % 2 ? 0.5 : 0.1;
        const sg_drop da = {sg_rng_mix(key), (uint32_t)(p * 65536), 1},
                      db = {sg_rng_mix(key + 1), da.below, 1};
        const double share = da.below / 65536.0, sd = sqrt(share * (1 - share) / M),
                     sd2 = share * (1 - share) / sqrt(M);

        k->dropout(a, one, NULL, 0, M, &da);
        k->dropout(b, one, NULL, 0, M, &db);
        double sum = 0, other = 0;
        for (size_t i = 0; i < M; i++) {
            sum += 1 - a[i];
            other += (1 - a[i] - share) * (1 - b[i] - share);
        }
        op_near(sum / M, share, 1, 0, "share", key);
        assert_true(fabs(sum / M - share) < 5 * sd);
        assert_true(fabs(other / M) < 5 * sd2);
        for (size_t lag = 1; lag < 200; lag++) {
            double same = 0;

            for (size_t i = 0; i + lag < M; i++)
                same += (1 - a[i] - share) * (1 - a[i + lag] - share);
            if (fabs(same / M) > 5 * sd2)
                fail_msg("key %d: numbers %zu apart go together: %g, deviation %g", (int)key, lag, same / M,
                         sd2);
        }
    }
    sg_free(one);
    sg_free(a);
    sg_free(b);
}

static void adam_of(const sg_kernels *k)
{
    const sg_adamw a = {.clip = 0.5f,
                        .beta1 = 0.9f,
                        .rest1 = 0.1f,
                        .beta2 = 0.99f,
                        .rest2 = 0.01f,
                        .step = 0.01f,
                        .root = 2,
                        .eps = 1e-6f,
                        .keep = 0.999f};
    float w[100], m[100], v[100], g[100];
    double dw[100], dm[100], dv[100];

    for (size_t i = 0; i < 100; i++) {
        dw[i] = w[i] = op_random(i, 1);
        dm[i] = m[i] = 0;
        dv[i] = v[i] = 0;
    }
    for (int step = 0; step < 5; step++) {
        fill(g, 100, (uint64_t)step + 10, 2);
        for (size_t i = 0; i < 100; i++) {
            const double x = 0.5 * g[i];

            dm[i] = 0.9 * dm[i] + 0.1 * x;
            dv[i] = 0.99 * dv[i] + 0.01 * x * x;
            dw[i] = 0.999 * dw[i] - 0.01 * dm[i] / (2 * sqrt(dv[i]) + 1e-6);
        }
        k->adamw(w, m, v, g, 100, &a);
    }
    for (size_t i = 0; i < 100; i++) {
        op_near(w[i], dw[i], 1e-5, 1, "w", i);
        op_near(m[i], dm[i], 1e-5, 1, "m", i);
        op_near(v[i], dv[i], 1e-5, 1, "v", i);
        assert_true(g[i] == 0);
    }
    for (size_t i = 0; i < 100; i++) { /* moments that nothing feeds end at zero, not among the subnormals */
        m[i] = 0x1p-126f;
        v[i] = -0x1p-126f;
    }
    k->adamw(w, m, v, g, 100, &a);
    for (size_t i = 0; i < 100; i++)
        assert_true(m[i] == 0 && v[i] == 0);
}

static void adamw_is_right(void **state)
{
    (void)state;
    each_isa(adam_of);
}

static void bf16_of(const sg_kernels *k)
{
    static const struct {
        float x;
        uint16_t y;
    } cases[] = {{0, 0},
                 {-0.0f, 0x8000},
                 {1, 0x3f80},
                 {0x1.00fffep0f, 0x3f80},
                 {0x1.01p0f, 0x3f80},
                 {0x1.03p0f, 0x3f82},
                 {0x1.010002p0f, 0x3f81},
                 {INFINITY, 0x7f80},
                 {-INFINITY, 0xff80},
                 {0x1.fffffep127f, 0x7f80}};
    float x[40];
    uint16_t y[40];

    for (size_t i = 0; i < 40; i++)
        x[i] = cases[i % 10].x;
    k->to_bf16(y, x, 40);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(y[i], cases[i % 10].y);
    x[0] = NAN;
    k->to_bf16(y, x, 1);
    assert_true((y[0] & 0x7f80) == 0x7f80 && (y[0] & 0x7f));
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    each_isa(bf16_of);
}

enum { PANEL_ROWS = 15, PANEL_IN = 19, PANEL_OUT = 150 };

/* w (in, out) in panels as math/kernels.h tells, not one number more than it asks for */
static float *panels_of(const float *w, int in, int out)
{
    const int last = (out - 1) / SG_PANEL_COLS * SG_PANEL_COLS,
              width_last = (out - last + SG_PANEL - 1) / SG_PANEL * SG_PANEL;
    float *p = sg_alloc_zero((size_t)(in * (last + width_last) + SG_PANEL), sizeof *p);

    assert_non_null(p);
    for (int i = 0; i < in; i++)
        for (int o = 0; o < out; o++) {
            const int begin = o / SG_PANEL_COLS * SG_PANEL_COLS,
                      width = begin == last ? width_last : SG_PANEL_COLS;

            p[begin * in + i * width + o - begin] = w[i * out + o];
        }
    return p;
}

static void panels_of_isa(const sg_kernels *k)
{
    static const int outs[] = {1, 5, 16, 63, 64, 65, PANEL_OUT};
    static float w[PANEL_IN * PANEL_OUT], x[PANEL_ROWS * PANEL_IN], y[PANEL_ROWS * PANEL_OUT],
        alone[PANEL_OUT];

    fill(w, PANEL_IN * PANEL_OUT, 1, 1);
    fill(x, PANEL_ROWS * PANEL_IN, 2, 1);
    for (size_t o = 0; o < sizeof outs / sizeof *outs; o++) {
        const int out = outs[o];
        float *p = panels_of(w, PANEL_IN, out);

        for (int first = 0; first < out; first += 1 + out / 3)
            for (int n = 0; n <= out - first; n += n < 3 ? 1 : 37)
                for (int rows = 0; rows <= PANEL_ROWS; rows++) {
                    memset(y, 0xff, sizeof y); /* NaN */
                    k->panels(y, PANEL_OUT, x, PANEL_IN, rows, p, PANEL_IN, out, first, n);
                    for (int r = 0; r < rows; r++) {
                        for (int c = 0; c < n; c++) {
                            double want = 0;

                            for (int i = 0; i < PANEL_IN; i++)
                                want += (double)x[r * PANEL_IN + i] * w[i * out + first + c];
                            op_near(y[r * PANEL_OUT + c], want, 1e-6, 1, "y", (size_t)c);
                        }
                        k->panels(alone, PANEL_OUT, x + r * PANEL_IN, PANEL_IN, 1, p, PANEL_IN, out, first,
                                  n);
                        assert_memory_equal(alone, y + r * PANEL_OUT,
                                            (size_t)n * sizeof *y); /* whoever stands beside it */
                        assert_true(n == PANEL_OUT || isnan(y[r * PANEL_OUT + n]));
                    }
                    assert_true(rows == PANEL_ROWS || isnan(y[rows * PANEL_OUT]));
                }
        sg_free(p);
    }
}

static void panels_give_each_row_the_same(void **state)
{
    (void)state;
    each_isa(panels_of_isa);
}

static float of_bf16(uint32_t half)
{
    const uint32_t u = half << 16;
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

/* c = a b twice: a read row by row and column by column, b packed by pair_rows and by turn_pairs. */
static void pairs_of(const sg_kernels *k)
{
    enum { M = 29, K = 32, NUMBERS = 48 * K }; /* K numbers are K / 2 pairs */
    static const int widths[] = {16, 32, 48};
    float a[M * K], bt[48 * K], b[K * 48], c[M * 48], keep[M];
    uint16_t a16[M * K], bt16[48 * K];
    uint32_t pairs[K / 2 * 48], turned[K / 2 * 48], down[K / 2 * 32];

    fill(a, M * K, 1, 1);
    fill(bt, NUMBERS, 2, 1);
    k->to_bf16(a16, a, M * K);
    k->to_bf16(bt16, bt, NUMBERS);
    for (int i = 0; i < 48; i++)
        for (int l = 0; l < K; l++)
            b[l * 48 + i] = bt[i * K + l];
    for (int l = 0; l < K; l += 2)
        k->pair_rows(pairs + l / 2 * 48, b + l * 48, b + (l + 1) * 48, 48);
    k->turn_pairs(turned, 48, (const uint32_t *)(const void *)bt16, K / 2, 48, K / 2);
    assert_memory_equal(pairs, turned, sizeof pairs);
    k->turn_pairs(turned, 48, (const uint32_t *)(const void *)bt16, K / 2, 33, K / 2);
    for (int l = 0; l < K / 2; l++)
        for (int i = 0; i < 48; i++)
            assert_int_equal(turned[l * 48 + i], i < 33 ? pairs[l * 48 + i] : 0);
    memset(down, 0, sizeof down);
    for (int i = 0; i < M; i++)
        for (int l = 0; l < K / 2; l++)
            memcpy(&down[l * 32 + i], &a16[i * K + 2 * l], sizeof *down);
    for (int t = 0; t < 2; t++)
        for (int s = 0; s < 3; s++)
            for (int m = 1; m <= M; m += 4) {
                fill(c, M * 48, 3, 1);
                fill(keep, M, 4, 1);
                k->product_pairs(&(sg_pairs){.m = m,
                                             .n = widths[s],
                                             .k = K / 2,
                                             .a = t ? down : (const uint32_t *)(const void *)a16,
                                             .a_row = t ? 1 : K / 2,
                                             .a_pair = t ? 32 : 1,
                                             .b = pairs,
                                             .b_pair = 48,
                                             .c = c,
                                             .c_row = 48,
                                             .keep = t ? keep : NULL,
                                             .gain = 0.5f});
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < widths[s]; j++) {
                        double want = t ? (double)keep[i] * op_random((uint64_t)(i * 48 + j), 3) : 0;

                        for (int l = 0; l < K; l++)
                            want += 0.5 * of_bf16(a16[i * K + l]) * of_bf16(bt16[j * K + l]);
                        op_near(c[i * 48 + j], want, 1e-5, 1, "c",
                                (size_t)(i * 48 + j)); /* f32 sum of 32 terms */
                    }
                for (int i = 0; i < m; i++)
                    for (int j = widths[s]; j < 48; j++)
                        assert_true(c[i * 48 + j] == op_random((uint64_t)(i * 48 + j), 3));
            }
}

static void products_of_pairs_are_right(void **state)
{
    (void)state;
    each_isa(pairs_of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_exact_to_one_unit),
        cmocka_unit_test(non_linearities_are_right),
        cmocka_unit_test(non_linearities_keep_their_limits_and_nan),
        cmocka_unit_test(reductions_are_right),
        cmocka_unit_test(dropout_masks_do_not_depend_on_cuts_or_instructions),
        cmocka_unit_test(dropout_masks_look_random),
        cmocka_unit_test(adamw_is_right),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(panels_give_each_row_the_same),
        cmocka_unit_test(products_of_pairs_are_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
