/* attention.c - values and gradients against a double reference, every mask and option, threads, instruction sets, and what
 * decoding uses. */
#include "op/op.h"

#include "math/attention.h"

typedef struct setup {
    const char *name;
    int heads, dh, batch;
    int n_q[6], n_k[6];
    sg_mask mask;
    int block, window;
    float scale, dropout;
    int buckets; /* 0: no bias */
    bool bidirectional;
    bool long_one; /* too long for differences of the loss */
    bool placed;   /* places of the queries are given */
} setup;

static const setup setups[] = {
    {"one token", 1, 16, 1, {1}, {1}, SG_MASK_CAUSAL, 0, 0, 0.25f, 0, 0, false, false, false},
    {"none", 2, 8, 3, {5, 1, 3}, {5, 1, 3}, SG_MASK_NONE, 0, 0, 0.35f, 0, 0, false, false, false},
    {"causal", 2, 25, 3, {7, 0, 13}, {7, 0, 13}, SG_MASK_CAUSAL, 0, 0, 0.2f, 0, 0, false, false, false},
    {"causal, more keys", 1, 16, 2, {3, 2}, {7, 9}, SG_MASK_CAUSAL, 0, 0, 0.3f, 0, 0, false, false, false},
    {"causal, fewer keys", 1, 16, 2, {6, 2}, {3, 0}, SG_MASK_CAUSAL, 0, 0, 0.3f, 0, 0, false, false, false},
    {"blocks", 1, 32, 2, {10, 7}, {10, 7}, SG_MASK_BLOCK, 3, 0, 0.2f, 0, 0, false, false, false},
    {"limits", 2, 16, 2, {9, 4}, {20, 3}, SG_MASK_LIMIT, 0, 0, 0.3f, 0, 0, false, false, false},
    {"window", 2, 16, 2, {40, 5}, {40, 5}, SG_MASK_CAUSAL, 0, 4, 0.3f, 0, 0, false, false, false},
    {"bias both ways", 3, 16, 3, {19, 4, 2}, {19, 4, 2}, SG_MASK_NONE, 0, 0, 1, 0, 8, true, false, false},
    {"bias causal", 2, 64, 3, {4, 4, 4}, {4, 4, 4}, SG_MASK_CAUSAL, 0, 0, 0.125f, 0, 6, false, false, false},
    {"bias, limits, window", 2, 12, 1, {11}, {15}, SG_MASK_LIMIT, 0, 6, 0.4f, 0, 8, true, false, false},
    {"placed, bias, limits",
     2,
     16,
     3,
     {9, 1, 4},
     {14, 3, 2},
     SG_MASK_LIMIT,
     0,
     0,
     0.4f,
     0,
     8,
     false,
     false,
     true},
    {"placed, bias both ways, window",
     1,
     64,
     2,
     {20, 6},
     {33, 40},
     SG_MASK_NONE,
     0,
     7,
     0.2f,
     0.1f,
     8,
     true,
     false,
     true},
    {"dropout", 2, 16, 3, {37, 6, 1}, {37, 6, 1}, SG_MASK_NONE, 0, 0, 0.3f, 0.3f, 4, true, false, false},
    {"dropout causal",
     1,
     20,
     2,
     {50, 33},
     {50, 33},
     SG_MASK_CAUSAL,
     0,
     0,
     0.3f,
     0.1f,
     0,
     false,
     false,
     false},
    {"encoder", 6, 64, 2, {80, 31}, {80, 31}, SG_MASK_NONE, 0, 0, 0.125f, 0, 32, true, true, false},
    {"many tiles", 1, 64, 1, {700}, {700}, SG_MASK_CAUSAL, 0, 0, 0.125f, 0.2f, 32, false, true, false},
    {"long", 1, 32, 1, {2048}, {2048}, SG_MASK_CAUSAL, 0, 0, 0.18f, 0, 0, false, true, false},
    {"long, all", 1, 16, 1, {130}, {1100}, SG_MASK_NONE, 0, 0, 0.25f, 0, 0, false, true, false},
    {"long, window", 1, 24, 1, {900}, {900}, SG_MASK_CAUSAL, 0, 100, 0.2f, 0.1f, 0, false, true, false},
};

typedef struct run {
    const setup *s;
    int32_t offsets_q[7], offsets_k[7];
    int32_t limit[64], place[64];
    sg_tensor *y;
} run;

static sg_attention_spec spec_of(op_case *c)
{
    run *r = c->user;
    const setup *s = r->s;

    return (sg_attention_spec){.heads = s->heads,
                               .batch = s->batch,
                               .offsets_q = r->offsets_q,
                               .offsets_k = r->offsets_k,
                               .mask = s->mask,
                               .block = s->block,
                               .limit_q = r->limit,
                               .place_q = s->placed ? r->place : NULL,
                               .window = s->window,
                               .scale = s->scale,
                               .dropout = s->dropout,
                               .bias = s->buckets ? &c->param[3] : NULL,
                               .bias_bidirectional = s->bidirectional,
                               .bias_max_distance = 20};
}

static sg_tensor *build(op_case *c)
{
    run *r = c->user;
    const sg_attention_spec spec = spec_of(c);

    r->y = sg_attention(c->graph, op_in(c, 0), op_in(c, 1), op_in(c, 2), &spec);
    return op_loss(c, r->y);
}

static void prepare(op_case *c, run *r, const setup *s)
{
    const int width = s->heads * s->dh;

    *r = (run){.s = s};
    *c = (op_case){.user = r};
    for (int i = 0; i < s->batch; i++) {
        r->offsets_q[i + 1] = r->offsets_q[i] + s->n_q[i];
        r->offsets_k[i + 1] = r->offsets_k[i] + s->n_k[i];
    }
    for (int i = 0; i < 64; i++)
        r->limit[i] = (i * 7) % 12;
    for (int i = 0; s->placed && i < s->batch; i++)
        for (int row = 0; row < s->n_q[i]; row++)
            r->place[r->offsets_q[i] + row] = (row * 5 + 2) % (s->n_k[i] + 1);
    op_param(c, r->offsets_q[s->batch], width, 1);
    op_param(c, r->offsets_k[s->batch], width, 1);
    op_param(c, r->offsets_k[s->batch], width, 1);
    if (s->buckets)
        op_param(c, s->buckets, s->heads, 1);
}

static int place_of(const run *r, int i, int row)
{
    const setup *s = r->s;

    return s->placed ? r->place[r->offsets_q[i] + row] : row + s->n_k[i] - s->n_q[i];
}

/* The definition, key by key. */
static bool visible(const run *r, int i, int row, int key)
{
    const setup *s = r->s;
    const int place = place_of(r, i, row);

    if (s->window > 0 && place - key >= s->window)
        return false;
    switch (s->mask) {
    case SG_MASK_CAUSAL:
        return key <= place;
    case SG_MASK_BLOCK:
        return key / s->block <= row / s->block;
    case SG_MASK_LIMIT:
        return key < r->limit[r->offsets_q[i] + row];
    default:
        return true;
    }
}

typedef struct reference {
    double *y, *dq, *dk, *dv, *dbias;
} reference;

/* Probabilities of one row as exp(logit) / sum, and the mask of dropout, which must be one the kernels draw: number
 * ((row * heads + head) * stride + key). */
static void row_of(const op_case *c, int i, int h, int row, double *p, float *mask, const sg_drop *drop,
                   size_t stride)
{
    const run *r = c->user;
    const setup *s = r->s;
    const size_t width = (size_t)(s->heads * s->dh);
    const float *q = c->param[0].value + (size_t)(r->offsets_q[i] + row) * width + h * s->dh;
    const size_t number = ((size_t)(r->offsets_q[i] + row) * (size_t)s->heads + (size_t)h) * stride;
    double sum = 0;

    for (int key = 0; key < s->n_k[i]; key++) {
        const float *k = c->param[1].value + (size_t)(r->offsets_k[i] + key) * width + h * s->dh;
        double l = 0;

        for (int d = 0; d < s->dh; d++)
            l += (double)q[d] * k[d];
        l *= s->scale;
        if (s->buckets)
            l += c->param[3].value[sg_t5_bucket(key - place_of(r, i, row), s->bidirectional, s->buckets, 20) *
                                       s->heads +
                                   h];
        p[key] = visible(r, i, row, key) ? exp(l) : 0;
        sum += p[key];
        mask[key] = 1;
    }
    for (int key = 0; key < s->n_k[i]; key++)
        p[key] = sum > 0 ? p[key] / sum : 0;
    if (s->dropout > 0)
        sg_kernels_for(SG_ISA_BASE)->dropout(mask, mask, NULL, number, (size_t)s->n_k[i], drop);
}

static reference refer(const op_case *c, const sg_drop *drop)
{
    const run *r = c->user;
    const setup *s = r->s;
    const size_t width = (size_t)(s->heads * s->dh);
    size_t longest = 0;
    reference ref = {sg_alloc_zero(c->param[0].count, 8), sg_alloc_zero(c->param[0].count, 8),
                     sg_alloc_zero(c->param[1].count, 8), sg_alloc_zero(c->param[1].count, 8),
                     sg_alloc_zero(64 * 6, 8)};

    for (int i = 0; i < s->batch; i++) {
        longest = (size_t)s->n_q[i] > longest ? (size_t)s->n_q[i] : longest;
        longest = (size_t)s->n_k[i] > longest ? (size_t)s->n_k[i] : longest;
    }
    double *p = sg_alloc_array(longest + 1, sizeof *p), *dp = sg_alloc_array(longest + 1, sizeof *dp);
    float *m = sg_alloc_array(longest + 1, sizeof *m);
    for (int i = 0; i < s->batch; i++)
        for (int h = 0; h < s->heads; h++)
            for (int row = 0; row < s->n_q[i]; row++) {
                const size_t at = (size_t)(r->offsets_q[i] + row) * width + (size_t)(h * s->dh);
                const size_t keys = (size_t)r->offsets_k[i] * width + (size_t)(h * s->dh);
                double mean = 0;

                row_of(c, i, h, row, p, m, drop, (longest + 16 + 31) / 32 * 32);
                for (int key = 0; key < s->n_k[i]; key++) {
                    const float *v = c->param[2].value + keys + (size_t)key * width;

                    dp[key] = 0;
                    for (int d = 0; d < s->dh; d++) {
                        const double dy = op_random(at + (size_t)d, 99);

                        ref.y[at + (size_t)d] += m[key] * p[key] * v[d];
                        ref.dv[keys + (size_t)key * width + (size_t)d] += m[key] * p[key] * dy;
                        dp[key] += m[key] * dy * v[d];
                    }
                    mean += p[key] * dp[key];
                }
                for (int key = 0; key < s->n_k[i]; key++) {
                    const double dl = p[key] * (dp[key] - mean);
                    const float *k = c->param[1].value + keys + (size_t)key * width,
                                *q = c->param[0].value + at;

                    if (s->buckets)
                        ref.dbias[sg_t5_bucket(key - place_of(r, i, row), s->bidirectional, s->buckets, 20) *
                                      s->heads +
                                  h] += dl;
                    for (int d = 0; d < s->dh; d++) {
                        ref.dq[at + (size_t)d] += s->scale * dl * k[d];
                        ref.dk[keys + (size_t)key * width + (size_t)d] += s->scale * dl * q[d];
                    }
                }
            }
    sg_free(p);
    sg_free(dp);
    sg_free(m);
    return ref;
}

static void near_all(const char *name, const char *what, const float *x, const double *want, size_t n)
{
    op_near_all(x, want, n, 2e-5, 1e-2, name,
                what); /* f32 sums of up to some hundred terms of the size of the largest result */
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        op_case c;
        run r;
        reference ref;
        sg_drop drop = {.below = (uint32_t)(setups[i].dropout * 65536.0f + 0.5f)};

        prepare(&c, &r, &setups[i]);
        op_threads(&c, 1);
        drop.keep = 65536.0f / (float)(65536 - drop.below);
        drop.key = sg_rng_u64(11, SG_RNG_DROPOUT, 3, 1); /* the first op with a number in this graph */
        ref = refer(&c, &drop);
        op_backward(&c, build);
        near_all(setups[i].name, "y", r.y->data, ref.y, r.y->count);
        near_all(setups[i].name, "dq", c.param[0].grad, ref.dq, c.param[0].count);
        near_all(setups[i].name, "dk", c.param[1].grad, ref.dk, c.param[1].count);
        near_all(setups[i].name, "dv", c.param[2].grad, ref.dv, c.param[2].count);
        if (setups[i].buckets)
            near_all(setups[i].name, "dbias", c.param[3].grad, ref.dbias, c.param[3].count);
        sg_free(ref.y);
        sg_free(ref.dq);
        sg_free(ref.dk);
        sg_free(ref.dv);
        sg_free(ref.dbias);
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

/* A key nobody sees must not even get a rounding error. */
static void hidden_keys_get_no_gradient(void **state)
{
    (void)state;
    static const setup s = {"hidden", 2,    16,   1, {3},   {30},  SG_MASK_LIMIT, 0,
                            0,        0.3f, 0.1f, 0, false, false, false};
    op_case c;
    run r;

    prepare(&c, &r, &s);
    r.limit[0] = 5, r.limit[1] = 0, r.limit[2] = 11;
    op_threads(&c, 1);
    op_backward(&c, build);
    for (size_t i = 0; i < c.param[1].count; i++) {
        assert_true(i / 32 < 11 || (c.param[1].grad[i] == 0 && c.param[2].grad[i] == 0));
        assert_true(i / 32 >= 11 || c.param[2].grad[i] != 0 || i / 32 >= 5);
    }
    for (int d = 0; d < 32; d++) /* row 1 sees nothing */
        assert_true(r.y->data[32 + d] == 0 && c.param[0].grad[32 + d] == 0);
    op_free(&c);
}

static void packed_equals_one_by_one(void **state)
{
    (void)state;
    static const setup all = {"packed", 2,    20, 4, {9, 1, 30, 17}, {9, 1, 30, 17}, SG_MASK_CAUSAL, 0,
                              0,        0.3f, 0,  8, false,          false,          false};
    op_case c;
    run r;

    prepare(&c, &r, &all);
    op_threads(&c, 2);
    op_backward(&c, build);
    for (int i = 0; i < 4; i++) {
        setup one = all;
        op_case o;
        run ro;

        one.batch = 1;
        one.n_q[0] = one.n_k[0] = all.n_q[i];
        prepare(&o, &ro, &one);
        for (int p = 0; p < 3; p++)
            memcpy(o.param[p].value, c.param[p].value + r.offsets_q[i] * 40,
                   o.param[p].count * sizeof(float));
        memcpy(o.param[3].value, c.param[3].value, o.param[3].count * sizeof(float));
        op_threads(&o, 1);
        op_forward(&o, build);
        assert_memory_equal(ro.y->data, r.y->data + r.offsets_q[i] * 40, ro.y->count * sizeof(float));
        op_free(&o);
    }
    op_free(&c);
}

static void drops_the_given_share(void **state)
{
    (void)state;
    static const setup s = {"share", 2, 16,    1, {300}, {16},  SG_MASK_NONE, 0,
                            0,       0, 0.25f, 0, false, false, false};
    op_case c;
    run r;
    int dropped = 0;

    prepare(&c, &r, &s);
    for (int key = 0; key < 16; key++) /* v one-hot: the output is the probabilities, all 1/16 */
        for (int d = 0; d < 32; d++)
            c.param[2].value[key * 32 + d] = d % 16 == key;
    op_threads(&c, 1);
    op_forward(&c, build);
    for (size_t i = 0; i < r.y->count; i++) {
        assert_true(r.y->data[i] == 0 || fabsf(r.y->data[i] - 1 / 12.0f) < 1e-7f);
        dropped += r.y->data[i] == 0;
    }
    assert_true(abs(dropped - 2400) < 4 * 43); /* 4 standard deviations of 9600 draws */
    op_free(&c);
}

/* Decoding: beams that look at scattered rows of a cache equal the op on the same rows laid out in order. */
static void decoding_equals_the_op(void **state)
{
    (void)state;
    static const int widths[] = {64, 20, 16, 5};

    for (size_t w = 0; w < 4; w++) {
        enum { N = 23, HEADS = 3, KEYS = 40, LEN = 3 };
        const int dh = widths[w], ld = HEADS * dh;
        int32_t row[N * LEN], one[N + 1], own[N + 1];
        op_case c = {0};

        op_param(&c, N, ld, 1);
        op_param(&c, KEYS, ld, 1);
        op_param(&c, KEYS, ld, 1);
        op_param(&c, N * LEN, ld, 1); /* the scattered rows in order */
        op_param(&c, N * LEN, ld, 1);
        op_param(&c, LEN, HEADS, 1); /* distances 0, -1, -2 have buckets of their own */
        op_threads(&c, 1);
        float *out = sg_alloc_array(c.param[0].count, sizeof *out);
        float bias[HEADS * LEN];
        for (int r = 0; r < N; r++) {
            one[r] = r;
            own[r] = r * LEN;
            for (int t = 0; t < LEN; t++) {
                row[r * LEN + t] = (r * 7 + t * 11) % KEYS;
                for (int p = 1; p < 3; p++)
                    memcpy(c.param[p + 2].value + (r * LEN + t) * ld,
                           c.param[p].value + row[r * LEN + t] * ld, (size_t)ld * sizeof(float));
            }
        }
        one[N] = N;
        own[N] = N * LEN;
        for (int h = 0; h < HEADS; h++)
            for (int t = 0; t < LEN; t++)
                bias[h * LEN + t] = c.param[5].value[sg_t5_bucket(t - LEN + 1, false, LEN, 4) * HEADS + h];

        sg_graph_begin(c.graph, SG_INFER, 1, 1);
        const sg_attention_spec self = {.heads = HEADS,
                                        .batch = N,
                                        .offsets_q = one,
                                        .offsets_k = own,
                                        .mask = SG_MASK_CAUSAL,
                                        .scale = 0.3f,
                                        .bias = &c.param[5],
                                        .bias_max_distance = 4};
        const sg_tensor *y = sg_attention(c.graph, op_in(&c, 0), op_in(&c, 3), op_in(&c, 4), &self);
        assert_non_null(y);
        sg_attend_rows(out, c.param[0].value, N, HEADS, dh, 0.3f, c.param[1].value, c.param[2].value, row,
                       LEN, bias);
        for (size_t i = 0; i < y->count; i++)
            op_near(out[i], y->data[i], 2e-6, 1, "out", i);
        sg_free(out);
        op_free(&c);
    }
}

static void buckets_are_those_of_t5(void **state)
{
    (void)state;
    static const int both[][2] = {{0, 0},     {-1, 1},     {-7, 7},   {-8, 8},   {-11, 8},  {-12, 9},
                                  {-15, 9},   {-16, 10},   {-22, 10}, {-23, 11}, {-31, 11}, {-32, 12},
                                  {-45, 12},  {-46, 13},   {-63, 13}, {-64, 14}, {-90, 14}, {-91, 15},
                                  {-128, 15}, {-5000, 15}, {1, 17},   {7, 23},   {8, 24},   {16, 26},
                                  {64, 30},   {127, 31},   {128, 31}, {5000, 31}};
    static const int past[][2] = {{0, 0},     {5, 0},     {-1, 1},    {-15, 15}, {-16, 16},
                                  {-18, 16},  {-19, 17},  {-32, 21},  {-64, 26}, {-112, 30},
                                  {-113, 31}, {-128, 31}, {-9999, 31}};

    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        assert_int_equal(sg_t5_bucket(both[i][0], true, 32, 128), both[i][1]);
    for (size_t i = 0; i < sizeof past / sizeof *past; i++)
        assert_int_equal(sg_t5_bucket(past[i][0], false, 32, 128), past[i][1]);
    for (int d = -40; d < 40; d++) /* degenerate tables stay inside */
        for (int n = 2; n < 6; n++)
            for (int both_ways = 0; both_ways < 2; both_ways++)
                assert_in_range(sg_t5_bucket(d, both_ways, n, 2), 0, n - 1);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_case c;
    run r;

    prepare(&c, &r, &setups[2]);
    op_threads(&c, 1);
    for (int i = 4; i >= 0; i--) {
        sg_attention_spec spec = spec_of(&c);

        sg_graph_begin(c.graph, SG_TRAIN, 1, 1);
        if (i == 0)
            spec.heads = 3;
        if (i == 1)
            spec.batch = 2;
        if (i == 3)
            spec.kv_heads = 3;
        if (i == 4)
            spec.kv_heads = 1;
        r.offsets_q[1] = i == 2 ? 19 : 7;
        op_expect_error(
            &c, sg_attention(c.graph, op_in(&c, 0), op_in(&c, 1), op_in(&c, 2), &spec),
            i == 0   ? "attention: width 50 is no multiple of 3 heads"
            : i == 1 ? "attention: offsets do not cover 20 queries and 20 keys"
            : i == 2 ? "attention: offsets of sequence 1 fall"
            : i == 3 ? "attention: expected heads that share keys and values evenly, found 2 heads for 3"
                     : "attention: expected q, k, v of one width and k, v of one length");
    }
    op_free(&c);
}

typedef struct grouped {
    bool spread; /* heads of k and v written out, one for each head of q */
    bool biased;
} grouped;

static sg_tensor *spread_heads(sg_graph *g, sg_tensor *x)
{
    sg_tensor *a = sg_slice_cols(g, x, 0, 20), *b = sg_slice_cols(g, x, 20, 40);

    return sg_concat_cols(g, (sg_tensor *[]){a, a, a, b, b, b}, 6);
}

static sg_tensor *build_grouped(op_case *c)
{
    static const int32_t offsets[] = {0, 9, 9, 10, 43};
    const grouped *w = c->user;
    sg_tensor *k = op_in(c, 1), *v = op_in(c, 2);

    if (w->spread) {
        k = spread_heads(c->graph, k);
        v = spread_heads(c->graph, v);
    }
    return op_loss(c, sg_attention(c->graph, op_in(c, 0), k, v,
                                   &(sg_attention_spec){.heads = 6,
                                                        .kv_heads = w->spread ? 0 : 2,
                                                        .batch = 4,
                                                        .offsets_q = offsets,
                                                        .offsets_k = offsets,
                                                        .mask = SG_MASK_CAUSAL,
                                                        .scale = 0.3f,
                                                        .dropout = 0.1f,
                                                        .bias = w->biased ? &c->param[3] : NULL,
                                                        .bias_max_distance = 20}));
}

static void heads_share_keys_and_values(void **state)
{
    (void)state;
    for (int biased = 0; biased < 2; biased++) {
        grouped w = {.spread = true, .biased = biased};
        op_case c = {.user = &w};

        op_param(&c, 43, 120, 1);
        op_param(&c, 43, 40, 1);
        op_param(&c, 43, 40, 1);
        op_param(&c, 8, 6, 1);
        op_threads(&c, 1);
        op_result want = op_run(&c, build_grouped);
        w.spread = false;
        op_backward(&c, build_grouped);
        assert_memory_equal(want.out, c.out->data, c.out->count * sizeof(float));
        for (int p = 0; p < 4; p++)
            for (size_t i = 0; i < c.param[p].count; i++) /* three sums in another order */
                op_near(c.param[p].grad[i], want.grad[p][i], 1e-6, 5, c.param[p].name, i);
        op_result_free(&want);
        op_check(&c, build_grouped, (op_spec){.probes = 12});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_those_of_t5),
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(gradients_are_differences_and_threads_agree),
        cmocka_unit_test(hidden_keys_get_no_gradient),
        cmocka_unit_test(packed_equals_one_by_one),
        cmocka_unit_test(drops_the_given_share),
        cmocka_unit_test(decoding_equals_the_op),
        cmocka_unit_test(heads_share_keys_and_values),
        cmocka_unit_test(refuses_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
