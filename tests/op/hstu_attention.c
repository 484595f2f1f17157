/* hstu_attention.c - values and gradients against a double reference, both biases, the softmax of the
 * ablation, columns of a wider tensor, threads, instruction sets, the buckets of time. */
#include "op/op.h"

#include "math/hstu_attention.h"

typedef struct setup {
    const char *name;
    int heads, d_qk, d_v, batch;
    int n[6];
    int position; /* N of the table, 0: none */
    int buckets;  /* of time, 0: none */
    bool softmax, wide;
    int gap;       /* seconds between events: up to gap, now and then a thousand times that */
    bool long_one; /* too long for differences of the loss */
} setup;

static const setup setups[] = {
    {"one token", 1, 16, 16, 1, {1}, 0, 0, false, false, 0, false},
    {"no bias", 2, 8, 24, 4, {7, 0, 13, 1}, 0, 0, false, false, 0, false},
    {"position", 2, 25, 25, 3, {17, 3, 30}, 40, 0, false, false, 0, false},
    {"position, exactly long enough", 1, 16, 16, 2, {5, 3}, 5, 0, false, false, 0, false},
    {"time", 1, 50, 50, 3, {33, 1, 16}, 0, 129, false, false, 40, false},
    {"both, wide", 2, 12, 20, 3, {37, 20, 4}, 64, 129, false, true, 700, false},
    {"few buckets", 1, 16, 8, 2, {50, 31}, 0, 5, false, false, 3, false},
    {"one bucket", 1, 16, 16, 2, {20, 19}, 0, 1, false, false, 30, false},
    {"equal times", 1, 16, 16, 1, {40}, 50, 129, false, false, 0, false},
    {"softmax", 2, 16, 16, 3, {9, 0, 40}, 0, 0, true, false, 0, false},
    {"softmax, both, wide", 1, 50, 50, 2, {21, 40}, 41, 129, true, true, 90, false},
    {"movielens", 1, 50, 50, 2, {200, 131}, 211, 129, false, true, 20, true},
    {"many tiles", 2, 64, 32, 1, {700}, 700, 129, false, false, 300, true},
    {"many tiles, softmax", 1, 64, 64, 1, {600}, 700, 129, true, false, 300, true},
    {"long", 1, 32, 32, 1, {2000}, 2048, 129, false, false, 5000, true},
    {"years", 1, 16, 16, 1, {300}, 0, 129, false, false, 1 << 16, true},
};

typedef struct run {
    const setup *s;
    int32_t offsets[7];
    int64_t time_q[2048], time_k[2048];
    sg_tensor *y;
    int position, time; /* numbers of the parameters, -1: none */
} run;

static const float DIVISOR = 7;

static float scale_of(const setup *s)
{
    return 1.5f / (float)s->d_qk;
}

static sg_hstu_spec spec_of(op_case *c)
{
    run *r = c->user;
    const setup *s = r->s;

    return (sg_hstu_spec){.heads = s->heads,
                          .d_qk = s->d_qk,
                          .d_v = s->d_v,
                          .at_q = s->wide ? 3 : 0,
                          .at_k = s->wide ? 5 + s->heads * s->d_qk : 0,
                          .at_v = s->wide ? 6 + 2 * s->heads * s->d_qk : 0,
                          .batch = s->batch,
                          .offsets = r->offsets,
                          .scale = scale_of(s),
                          .divisor = DIVISOR,
                          .softmax = s->softmax,
                          .position = r->position < 0 ? NULL : &c->param[r->position],
                          .time = r->time < 0 ? NULL : &c->param[r->time],
                          .time_q = r->time_q,
                          .time_k = r->time_k};
}

static sg_tensor *build(op_case *c)
{
    run *r = c->user;
    const sg_hstu_spec spec = spec_of(c);
    sg_tensor *q = op_in(c, 0);

    r->y = r->s->wide ? sg_hstu_attention(c->graph, q, q, q, &spec)
                      : sg_hstu_attention(c->graph, q, op_in(c, 1), op_in(c, 2), &spec);
    return op_loss(c, r->y);
}

static void prepare(op_case *c, run *r, const setup *s)
{
    int tokens;

    *r = (run){.s = s, .position = -1, .time = -1};
    *c = (op_case){.user = r};
    for (int i = 0; i < s->batch; i++) {
        int64_t now = 978300760 - 1000 * i;

        r->offsets[i + 1] = r->offsets[i] + s->n[i];
        for (int t = r->offsets[i]; t < r->offsets[i + 1]; t++) {
            r->time_k[t] = now;
            now += s->gap ? (int64_t)sg_rng_below((uint64_t)s->gap, 7, SG_RNG_TEST, 50, (uint64_t)t) *
                                (t % 9 == 4 ? 1000 : 1)
                          : 0;
            r->time_q[t] = now; /* of the next event */
        }
    }
    tokens = r->offsets[s->batch];
    if (s->wide) {
        op_param(c, tokens, 2 * s->heads * s->d_qk + s->heads * s->d_v + 8, 1);
    } else {
        op_param(c, tokens, s->heads * s->d_qk, 1);
        op_param(c, tokens, s->heads * s->d_qk, 1);
        op_param(c, tokens, s->heads * s->d_v, 1);
    }
    if (s->position)
        r->position = op_param(c, 2 * s->position - 1, 0, 1);
    if (s->buckets)
        r->time = op_param(c, s->buckets, 0, 1);
}

/* ---- the definition, pair by pair ---------------------------------------------------------------------- */

typedef struct reference {
    double *y, *d[5]; /* gradients by parameter */
} reference;

/* Which parameter holds q (0), k (1) or v (2), and where in it the row of a token and head begins. */
static int holder(const op_case *c, int which)
{
    const run *r = c->user;

    return r->s->wide ? 0 : which;
}

static size_t place(const op_case *c, int which, int token, int h)
{
    const run *r = c->user;
    const setup *s = r->s;
    const int at[] = {3, 5 + s->heads * s->d_qk, 6 + 2 * s->heads * s->d_qk},
              width = which == 2 ? s->d_v : s->d_qk;

    return (size_t)token * (size_t)c->param[holder(c, which)].dim[1] +
           (size_t)((s->wide ? at[which] : 0) + h * width);
}

static double *columns(const op_case *c, double *const d[5], int which, int token, int h)
{
    return d[holder(c, which)] + place(c, which, token, h);
}

static const float *inputs(const op_case *c, int which, int token, int h)
{
    return c->param[holder(c, which)].value + place(c, which, token, h);
}

static int distance_at(const run *r, int i, int j)
{
    return j - i + r->s->position - 1;
}

static double logit(const op_case *c, int i, int j, int h)
{
    const run *r = c->user;
    const float *q = inputs(c, 0, i, h), *k = inputs(c, 1, j, h);
    double l = 0;

    for (int d = 0; d < r->s->d_qk; d++)
        l += (double)q[d] * k[d];
    l *= scale_of(r->s);
    if (r->position >= 0)
        l += c->param[r->position].value[distance_at(r, i, j)];
    if (r->time >= 0)
        l += c->param[r->time].value[sg_hstu_bucket(r->time_q[i] - r->time_k[j], r->s->buckets)];
    return l;
}

static void refer_row(const op_case *c, reference *ref, int first, int i, int h)
{
    const run *r = c->user;
    const setup *s = r->s;
    const size_t at = (size_t)i * (size_t)(s->heads * s->d_v) + (size_t)(h * s->d_v);
    const int n = i - first + 1;
    double *w = sg_alloc_array((size_t)n, sizeof *w), *slope = sg_alloc_array((size_t)n, sizeof *slope);
    double *dw = sg_alloc_zero((size_t)n, sizeof *dw), sum = 0, mean = 0;

    for (int j = 0; j < n; j++) {
        const double l = logit(c, i, first + j, h), sigma = 1 / (1 + exp(-l));

        w[j] = s->softmax ? exp(l) : l * sigma;
        slope[j] = sigma + l * sigma * (1 - sigma);
        sum += w[j];
    }
    for (int j = 0; j < n; j++) {
        const float *v = inputs(c, 2, first + j, h);
        double *dv = columns(c, ref->d, 2, first + j, h);

        w[j] /= (s->softmax ? sum : 1) * DIVISOR;
        for (int d = 0; d < s->d_v; d++) {
            const double dy = op_random(at + (size_t)d, 99);

            ref->y[at + (size_t)d] += w[j] * v[d];
            dv[d] += w[j] * dy;
            dw[j] += dy * v[d];
        }
        mean += w[j] * DIVISOR * dw[j];
    }
    for (int j = 0; j < n; j++) {
        const double dl = s->softmax ? w[j] * (dw[j] - mean) : slope[j] * dw[j] / DIVISOR;
        const float *q = inputs(c, 0, i, h), *k = inputs(c, 1, first + j, h);
        double *dq = columns(c, ref->d, 0, i, h), *dk = columns(c, ref->d, 1, first + j, h);

        for (int d = 0; d < s->d_qk; d++) {
            dq[d] += scale_of(s) * dl * k[d];
            dk[d] += scale_of(s) * dl * q[d];
        }
        if (r->position >= 0)
            ref->d[r->position][distance_at(r, i, first + j)] += dl;
        if (r->time >= 0)
            ref->d[r->time][sg_hstu_bucket(r->time_q[i] - r->time_k[first + j], s->buckets)] += dl;
    }
    sg_free(w);
    sg_free(slope);
    sg_free(dw);
}

static reference refer(const op_case *c)
{
    const run *r = c->user;
    const setup *s = r->s;
    reference ref = {sg_alloc_zero((size_t)(r->offsets[s->batch] * s->heads * s->d_v), sizeof(double)), {0}};

    for (int p = 0; p < c->n_params; p++)
        ref.d[p] = sg_alloc_zero(c->param[p].count, sizeof(double));
    for (int b = 0; b < s->batch; b++)
        for (int i = r->offsets[b]; i < r->offsets[b + 1]; i++)
            for (int h = 0; h < s->heads; h++)
                refer_row(c, &ref, r->offsets[b], i, h);
    return ref;
}

static void near_all(const char *name, const char *what, const float *x, const double *want, size_t n)
{
    op_near_all(x, want, n, 3e-5, 1e-2, name,
                what); /* f32 sums of up to some thousand terms of the size of the largest result */
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;
        reference ref;

        prepare(&c, &r, &setups[i]);
        op_threads(&c, 1);
        op_backward(&c, build);
        ref = refer(&c);
        near_all(setups[i].name, "y", r.y->data, ref.y, r.y->count);
        for (int p = 0; p < c.n_params; p++) {
            near_all(setups[i].name, c.param[p].name, c.param[p].grad, ref.d[p], c.param[p].count);
            sg_free(ref.d[p]);
        }
        sg_free(ref.y);
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
        op_check(&c, build, (op_spec){.probes = 12, .no_differences = setups[i].long_one});
    }
}

static void packed_equals_one_by_one(void **state)
{
    (void)state;
    static const setup all = {"packed", 2, 20, 20, 4, {9, 1, 300, 17}, 300, 129, false, false, 50, false};
    op_case c;
    run r;

    prepare(&c, &r, &all);
    op_threads(&c, 2);
    op_forward(&c, build);
    for (int i = 0; i < 4; i++) {
        setup one = all;
        op_case o;
        run ro;

        one.batch = 1;
        one.n[0] = all.n[i];
        prepare(&o, &ro, &one);
        memcpy(ro.time_q, r.time_q + r.offsets[i], (size_t)one.n[0] * sizeof *ro.time_q);
        memcpy(ro.time_k, r.time_k + r.offsets[i], (size_t)one.n[0] * sizeof *ro.time_k);
        for (int p = 0; p < 5; p++)
            memcpy(o.param[p].value, c.param[p].value + (p < 3 ? r.offsets[i] * 40 : 0),
                   o.param[p].count * sizeof(float));
        op_threads(&o, 1);
        op_forward(&o, build);
        assert_memory_equal(ro.y->data, r.y->data + r.offsets[i] * 40, ro.y->count * sizeof(float));
        op_free(&o);
    }
    op_free(&c);
}

/* SiLU inside the op is SiLU before it. */
static sg_tensor *build_silu(op_case *c, bool inside)
{
    run *r = c->user;
    sg_hstu_spec spec = spec_of(c);
    sg_tensor *x[3];

    spec.silu = inside;
    for (int i = 0; i < 3; i++) {
        x[i] = r->s->wide && i ? x[0] : op_in(c, i);
        if (!inside && !(r->s->wide && i))
            x[i] = sg_activate(c->graph, x[i], SG_SILU);
    }
    r->y = sg_hstu_attention(c->graph, x[0], x[1], x[2], &spec);
    return op_loss(c, r->y);
}

static sg_tensor *build_inside(op_case *c)
{
    return build_silu(c, true);
}

static sg_tensor *build_before(op_case *c)
{
    return build_silu(c, false);
}

static void silu_inside_is_silu_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case a, b;
        run ra, rb;

        prepare(&a, &ra, &setups[i]);
        prepare(&b, &rb, &setups[i]);
        op_threads(&a, 2);
        op_threads(&b, 1);
        op_backward(&a, build_inside);
        op_backward(&b, build_before);
        for (size_t j = 0; j < ra.y->count;
             j++) /* the same sums; the activation of a row's end may round otherwise */
            op_near(ra.y->data[j], rb.y->data[j], 1e-5, 1e-2, setups[i].name, j);
        for (int p = 0; p < a.n_params; p++) {
            float top = 1e-2f;

            for (size_t j = 0; j < b.param[p].count; j++)
                top = fmaxf(top, fabsf(b.param[p].grad[j]));
            for (size_t j = 0; j < a.param[p].count; j++)
                op_near(a.param[p].grad[j], b.param[p].grad[j], 1e-5, (double)top, a.param[p].name, j);
        }
        op_check_threads(&a, build_inside);
        op_free(&a);
        op_free(&b);
    }
}

/* What comes later changes nothing: the divisor is a constant. */
static void a_prefix_gives_the_same_rows(void **state)
{
    (void)state;
    static const setup all = {"whole", 1, 32, 32, 1, {400}, 400, 129, false, false, 50, false};
    op_case c, o;
    run r, ro;
    setup part = all;

    part.n[0] = 130;
    prepare(&c, &r, &all);
    prepare(&o, &ro, &part);
    for (int p = 0; p < 5; p++)
        memcpy(o.param[p].value, c.param[p].value, o.param[p].count * sizeof(float));
    op_threads(&c, 1);
    op_threads(&o, 1);
    op_forward(&c, build);
    op_forward(&o, build);
    for (size_t i = 0; i < ro.y->count; i++)
        op_near(ro.y->data[i], r.y->data[i], 1e-5, 1e-2, "y", i);
    op_free(&c);
    op_free(&o);
}

static void instruction_sets_agree(void **state)
{
    (void)state;
    enum { N = 301, D = 32, B = 129, WORK = 1 << 18 };
    static float q[N * D], k[N * D], v[N * D], dout[N * D], position[2 * N + 16], time[B], work[WORK];
    static float out[2][N * D], grad[2][3 * N * D + 2 * N + 16 + B];
    static int32_t least[B], time_q[N], time_k[N + 16];

    for (int i = 0; i < N * D; i++) {
        q[i] = op_random((uint64_t)i, 1);
        k[i] = op_random((uint64_t)i, 2);
        v[i] = op_random((uint64_t)i, 3);
        dout[i] = op_random((uint64_t)i, 4);
    }
    for (int i = 0; i < 2 * N; i++)
        position[i] = op_random((uint64_t)i, 5);
    for (int b = 0; b < B; b++) {
        time[b] = op_random((uint64_t)b, 6);
        least[b] = b ? (int32_t)fmin(2e9, ceil(exp(0.301 * b))) : INT32_MIN;
    }
    for (int i = 0; i < N; i++) {
        time_k[i] = i * i;
        time_q[i] = (i + 1) * (i + 1);
    }
    assert_true(sg_hstu_floats(N, D, D, B) <= WORK);
    for (int isa = SG_ISA_BASE; isa <= SG_ISA_AVX512; isa++) {
        const sg_kernels *kernels = sg_kernels_for((sg_isa)isa);
        const int at = isa > SG_ISA_BASE;
        float *g = grad[at];

        if (!kernels)
            continue;
        memset(g, 0, sizeof grad[at]);
        const sg_hstu_head head = {.n = N,
                                   .n_k = N,
                                   .d_qk = D,
                                   .d_v = D,
                                   .q = q,
                                   .k = k,
                                   .v = v,
                                   .out = out[at],
                                   .scale = 0.2f,
                                   .inv = 0.01f,
                                   .position = position + N - 1,
                                   .time = time,
                                   .least = least,
                                   .buckets = B,
                                   .time_q = time_q,
                                   .time_k = time_k,
                                   .dout = dout,
                                   .dq = g,
                                   .dk = g + N * D,
                                   .dv = g + 2 * N * D,
                                   .dposition = g + 3 * N * D + N - 1,
                                   .dtime = g + 3 * N * D + 2 * N + 16};
        kernels->hstu(&head, work);
        kernels->hstu_grad(&head, work);
        for (int i = 0; i < N * D && at; i++)
            op_near(out[1][i], out[0][i], 1e-5, 0.1, "out", (size_t)i);
        for (size_t i = 0; i < sizeof grad[0] / sizeof(float) && at; i++)
            op_near(grad[1][i], grad[0][i], 2e-5, 0.3, "gradient", i);
    }
}

static void buckets_are_the_golden_ones(void **state)
{
    (void)state;
    static const int golden[][2] = {{0, 0}, {1, 0}, {2, 2}, {60, 13}, {3600, 27}, {86400, 37}, {-60, 13}};

    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
        assert_int_equal(sg_hstu_bucket(golden[i][0], 129), golden[i][1]);
    assert_int_equal(sg_hstu_bucket(INT64_MIN, 129), 128);
    assert_int_equal(sg_hstu_bucket(INT64_MAX, 129), 128);
    assert_int_equal(sg_hstu_bucket(86400, 20), 19);
}

/* Every pair of a sequence with its age on both sides of every bucket's edge gets the table's number of that
 * bucket. */
static void edges_of_buckets_are_exact(void **state)
{
    (void)state;
    enum { N = 128 };
    static const setup s = {"edges", 1, 16, 16, 1, {N}, 0, 129, false, false, 0, false};
    op_case c;
    run r;

    prepare(&c, &r, &s);
    memset(c.param[0].value, 0, c.param[0].count * sizeof(float)); /* logits are the time bias alone */
    for (int b = 0; b < 129; b++)
        c.param[3].value[b] = (float)b + 1;
    for (int i = 0; i < N; i++) /* key i has age edge or edge - 1 for the last query */
        r.time_k[i] = INT64_C(3000000000) - ((int64_t)ceil(exp(0.301 * ((N - i + 1) / 2 + 1))) - i % 2);
    for (int i = 1; i < N; i++)
        assert_true(r.time_k[i - 1] <= r.time_k[i]);
    for (int i = 0; i < N; i++)
        r.time_q[i] = 3000000000;
    op_threads(&c, 1);
    for (int key = 0; key < N; key++) {
        const int bucket = sg_hstu_bucket(r.time_q[N - 1] - r.time_k[key], 129);
        const double l = bucket + 1;

        for (int j = 0; j < N; j++)
            c.param[2].value[j * 16] = j == key;
        op_forward(&c, build);
        op_near(r.y->data[(N - 1) * 16], l / (1 + exp(-l)) / DIVISOR, 1e-5, 0.1, "weight of the age",
                (size_t)key);
    }
    op_free(&c);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    static const setup s = {"bad", 2, 8, 8, 2, {7, 13}, 12, 129, false, false, 20, false};
    static const char *const messages[] = {
        "hstu: q needs 3 heads of 8 columns from column 0, found (20, 16)",
        "hstu: v needs 2 heads of 8 columns from column 1, found (20, 16)",
        "hstu: offsets do not cover 20 tokens",
        "hstu: position table 'p3' has 23 numbers, sequences of 13 need 25",
        "hstu: times of sequence 1 fall at token 5",
        "hstu: expected q, k, v of one length and a divisor above 0",
        "hstu: times of sequence 1 span more than 68 years, expected seconds",
    };
    op_case c;
    run r;

    prepare(&c, &r, &s);
    op_threads(&c, 1);
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        sg_hstu_spec spec = spec_of(&c);

        spec.heads = i == 0 ? 3 : 2;
        spec.at_v = i == 1;
        spec.batch = i == 2 ? 1 : 2;
        spec.position = i == 3 ? spec.position : NULL;
        spec.divisor = i == 5 ? 0 : 1;
        if (i == 4)
            r.time_k[12] = r.time_k[11] - 1;
        if (i == 6)
            r.time_q[12] = r.time_k[12] = r.time_k[11] + INT32_MAX;
        sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
        op_expect_error(&c, sg_hstu_attention(c.graph, op_in(&c, 0), op_in(&c, 1), op_in(&c, 2), &spec),
                        messages[i]);
    }
    op_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_the_golden_ones),
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(silu_inside_is_silu_before),
        cmocka_unit_test(packed_equals_one_by_one),
        cmocka_unit_test(a_prefix_gives_the_same_rows),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(edges_of_buckets_are_exact),
        cmocka_unit_test(refuses_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
