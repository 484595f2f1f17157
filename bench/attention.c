/* attention.c - how fast attention and the cross-entropies run, beside a square matrix product in the same run (the practical
 * floor): ms, and GF/s of the products that cannot be avoided over the least time.
 *   attention, softmax or hstu: 2 products forward, 5 backward over the visible pairs; cross-entropy: 1 forward, dx, dw (3 in all).
 * usage: bench_attention [threads [runs [part of a case's name]]]
 * One thread is timed in CPU time, so that a busy machine disturbs less; more threads in wall time. */
#include "math/attention.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "math/gemm.h"

#include <time.h>

enum { RUNS_MAX = 101, FLOOR = 1024 };

typedef struct bench {
    int threads, runs;
    const char *only; /* NULL: all */
    sg_pool *pool;
    sg_graph *graph;
    bool failed;
} bench;

typedef sg_tensor *build(sg_graph *g, void *ctx);

static double now(const bench *b)
{
    struct timespec t;

    clock_gettime(b->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print(const bench *b, const char *name, const char *part, double *ms, double flops)
{
    char text[128];

    snprintf(text, sizeof text, "%s %s", name, part);
    bench_row(b->threads, text, ms, b->runs, "ms");
    bench_row(b->threads, text, &(double){1e-6 * flops / ms[0]}, 1, "GF/s");
}

/* Times forward and backward of a graph of one op. */
static void measure(bench *b, const char *name, build *make, void *ctx, double forward, double backward)
{
    double up[RUNS_MAX], down[RUNS_MAX];
    sg_error err;

    if (b->only && !strstr(name, b->only))
        return;
    for (int i = -1; i < b->runs && !b->failed; i++) { /* the first: arenas, caches */
        double from, middle;
        sg_tensor *y;

        sg_graph_begin(b->graph, SG_TRAIN, 1, (uint64_t)(i + 1));
        from = now(b);
        y = make(b->graph, ctx);
        middle = now(b);
        if (y && y->count > 1)
            y = sg_sum(b->graph, y); /* its time counts as backward's: one pass */
        b->failed |= sg_backward(b->graph, y, &err) != SG_OK;
        if (i >= 0) {
            up[i] = 1e3 * (middle - from);
            down[i] = 1e3 * (now(b) - middle);
        }
    }
    if (b->failed) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        return;
    }
    print(b, name, "forward", up, forward);
    print(b, name, "backward", down, backward);
}

static bool param_init(sg_param *p, int rows, int cols)
{
    *p = (sg_param){.rank = 2, .dim = {rows, cols}, .version = 1, .name = "bench"};
    p->count = (size_t)rows * (size_t)cols;
    p->value = sg_alloc_array(p->count, sizeof(float));
    p->grad = sg_alloc_zero(p->count, sizeof(float));
    for (size_t i = 0; p->value && i < p->count; i++)
        p->value[i] = 0.4f * sg_rng_float(1, SG_RNG_TEST, p->count, i) - 0.2f;
    return p->value && p->grad;
}

static void param_fini(sg_param *p)
{
    sg_gemm_forget(p);
    sg_free(p->value);
    sg_free(p->grad);
}

/* ---- attention ------------------------------------------------------------------------------------------------- */

typedef struct shape {
    const char *name;
    int batch, n_q, n_k; /* n < 0: lengths 1 .. 2 |n| - 1, mean |n| */
    int heads, dh;
    sg_mask mask;
    int buckets;
    float dropout;
} shape;

typedef struct attention {
    sg_param q, k, v, bias;
    sg_attention_spec spec;
} attention;

static sg_tensor *attend(sg_graph *g, void *ctx)
{
    attention *a = ctx;

    return sg_attention(g, sg_leaf(g, &a->q), sg_leaf(g, &a->k), sg_leaf(g, &a->v), &a->spec);
}

static int length(int n, int i)
{
    return n > 0 ? n : 1 + (int)sg_rng_below((uint64_t)(-2 * n - 1), 1, SG_RNG_TEST, 3, (uint64_t)i);
}

static void bench_attention(bench *b, const shape *s)
{
    attention a = {0};
    int32_t *oq = sg_alloc_array((size_t)s->batch + 1, sizeof *oq),
            *ok = sg_alloc_array((size_t)s->batch + 1, sizeof *ok);
    double pairs = 0;

    if (!oq || !ok) {
        b->failed = true;
        goto done;
    }
    oq[0] = ok[0] = 0;
    for (int i = 0; i < s->batch; i++) {
        const double n_q = length(s->n_q, i), n_k = length(s->n_k, i);

        oq[i + 1] = oq[i] + (int32_t)n_q;
        ok[i + 1] = ok[i] + (int32_t)n_k;
        pairs += s->mask == SG_MASK_CAUSAL ? n_q * (n_k + 1) / 2 : n_q * n_k;
    }
    pairs *= 2.0 * s->heads * s->dh;
    a.spec = (sg_attention_spec){.heads = s->heads,
                                 .batch = s->batch,
                                 .offsets_q = oq,
                                 .offsets_k = ok,
                                 .mask = s->mask,
                                 .scale = 0.125f,
                                 .dropout = s->dropout,
                                 .bias = s->buckets ? &a.bias : NULL,
                                 .bias_bidirectional = s->mask == SG_MASK_NONE,
                                 .bias_max_distance = 128};
    if (param_init(&a.q, oq[s->batch], s->heads * s->dh) &&
        param_init(&a.k, ok[s->batch], s->heads * s->dh) &&
        param_init(&a.v, ok[s->batch], s->heads * s->dh) &&
        param_init(&a.bias, s->buckets ? s->buckets : 1, s->heads))
        measure(b, s->name, attend, &a, 2 * pairs, 5 * pairs);
    else
        b->failed = true;
    param_fini(&a.q);
    param_fini(&a.k);
    param_fini(&a.v);
    param_fini(&a.bias);
done:
    sg_free(oq);
    sg_free(ok);
}

/* ---- attention of HSTU ----------------------------------------------------------------------------------------- */

typedef struct pointwise_shape {
    const char *name;
    int batch, n; /* n < 0: lengths 1 .. 2 |n| - 1, mean |n| */
    int heads, dh;
    bool position, time, softmax;
} pointwise_shape;

typedef struct pointwise {
    sg_param x, position, time; /* x: rows of q, k, v */
    sg_hstu_spec spec;
} pointwise;

static sg_tensor *attend_pointwise(sg_graph *g, void *ctx)
{
    pointwise *p = ctx;
    sg_tensor *x = sg_leaf(g, &p->x);

    return sg_hstu_attention(g, x, x, x, &p->spec);
}

/* Events some minutes apart, in sittings some days apart. */
static void bench_pointwise(bench *b, const pointwise_shape *s)
{
    pointwise p = {0};
    const int width = s->heads * s->dh, most = s->n < 0 ? -2 * s->n : s->n;
    const size_t tokens_most = (size_t)s->batch * (size_t)most;
    int32_t *offsets = sg_alloc_array((size_t)s->batch + 1, sizeof *offsets);
    int64_t *time = sg_alloc_array(tokens_most + 1, sizeof *time), now = 0;
    double pairs = 0;

    if (!offsets || !time) {
        b->failed = true;
        goto done;
    }
    offsets[0] = 0;
    for (int i = 0; i < s->batch; i++) {
        const int n = length(s->n, i);

        offsets[i + 1] = offsets[i] + n;
        pairs += n * (n + 1.0) / 2;
    }
    for (int32_t i = 0; i <= offsets[s->batch];
         i++, now += 1 + (int64_t)sg_rng_below(i % 20 ? 300 : 500000, 1, SG_RNG_TEST, 6, (uint64_t)i))
        time[i] = now;
    pairs *= 2.0 * width;
    p.spec = (sg_hstu_spec){.heads = s->heads,
                            .d_qk = s->dh,
                            .d_v = s->dh,
                            .at_k = width,
                            .at_v = 2 * width,
                            .batch = s->batch,
                            .offsets = offsets,
                            .scale = 1,
                            .divisor = (float)most,
                            .softmax = s->softmax,
                            .position = s->position ? &p.position : NULL,
                            .time = s->time ? &p.time : NULL,
                            .time_k = time,
                            .time_q = time + 1};
    if (param_init(&p.x, offsets[s->batch], 3 * width) && param_init(&p.position, 2 * most - 1, 1) &&
        param_init(&p.time, 129, 1)) {
        p.position.rank = p.time.rank = 1;
        measure(b, s->name, attend_pointwise, &p, 2 * pairs, 5 * pairs);
    } else {
        b->failed = true;
    }
    param_fini(&p.x);
    param_fini(&p.position);
    param_fini(&p.time);
done:
    sg_free(offsets);
    sg_free(time);
}

/* ---- cross-entropy --------------------------------------------------------------------------------------------- */

typedef struct loss {
    const char *name;
    int rows, n, d, range, n_neg; /* range: rows of the table a row looks at, 0: all; n_neg: sampled */
    bool shared;
    sg_param x, table;
    int32_t *target, *begin, *size, *negative;
} loss;

static sg_tensor *cross_entropy(sg_graph *g, void *ctx)
{
    loss *l = ctx;
    sg_tensor *x = sg_leaf(g, &l->x);

    if (l->n_neg)
        return sg_sampled_ce(g, x, &l->table,
                             &(sg_sampled_spec){.target = l->target,
                                                .negatives = l->negative,
                                                .n_neg = l->n_neg,
                                                .shared = l->shared,
                                                .scale = 1});
    if (l->range)
        return sg_softmax_ce_range(g, x, &l->table, l->begin, l->size, l->target, NULL, 1, 0);
    return sg_softmax_ce(g, x, &l->table, NULL, l->target, NULL, 1, 0);
}

static void bench_loss(bench *b, loss *l)
{
    const size_t rows = (size_t)l->rows, n_negative = (l->shared ? 1 : rows) * (size_t)l->n_neg;
    const int items = l->range ? l->range : l->n_neg ? l->n_neg + 1 : l->n;
    const double product = 2.0 * l->rows * items * l->d;

    l->target = sg_alloc_array(rows, sizeof *l->target);
    l->begin = sg_alloc_array(rows, sizeof *l->begin);
    l->size = sg_alloc_array(rows, sizeof *l->size);
    l->negative = sg_alloc_array(n_negative, sizeof *l->negative);
    if (!l->target || !l->begin || !l->size || !l->negative || !param_init(&l->x, l->rows, l->d) ||
        !param_init(&l->table, l->n, l->d)) {
        b->failed = true;
    } else {
        for (int r = 0; r < l->rows; r++) {
            l->begin[r] = l->range ? r % (l->n / l->range) * l->range : 0;
            l->size[r] = l->range ? l->range : l->n;
            l->target[r] =
                l->begin[r] + (int32_t)sg_rng_below((uint64_t)l->size[r], 1, SG_RNG_TEST, 4, (uint64_t)r);
        }
        for (size_t i = 0; i < n_negative; i++)
            l->negative[i] = (int32_t)sg_rng_below((uint64_t)l->n, 1, SG_RNG_TEST, 5, i);
        measure(b, l->name, cross_entropy, l, product, 2 * product);
    }
    param_fini(&l->x);
    param_fini(&l->table);
    sg_free(l->target);
    sg_free(l->begin);
    sg_free(l->size);
    sg_free(l->negative);
}

/* ---- decoding -------------------------------------------------------------------------------------------------- */

/* One layer of TIGER's decoder at its last level: beams of one user over their own past. */
static void bench_decoding(bench *b)
{
    enum { BEAMS = 50, LEVELS = 4, HEADS = 6, DH = 64 };
    int32_t row[BEAMS * LEVELS];
    double ms[RUNS_MAX];
    sg_param q, k, out;

    if (b->only && !strstr("decoding", b->only))
        return;
    if (!param_init(&q, BEAMS, HEADS * DH) || !param_init(&k, BEAMS * LEVELS, HEADS * DH) ||
        !param_init(&out, BEAMS, HEADS * DH)) {
        b->failed = true;
        return;
    }
    for (int r = 0; r < BEAMS; r++)
        for (int t = 0; t < LEVELS; t++)
            row[r * LEVELS + t] = t * BEAMS + r * 7 % BEAMS;
    for (int i = -1; i < b->runs; i++) {
        const double from = now(b);

        sg_attend_rows(out.value, q.value, BEAMS, HEADS, DH, 1, k.value, k.value, row, LEVELS, NULL);
        if (i >= 0)
            ms[i] = 1e3 * (now(b) - from);
    }
    print(b, "decoding, 50 beams, 4 levels, 6x64:", "own past", ms, 4.0 * BEAMS * LEVELS * HEADS * DH);
    param_fini(&q);
    param_fini(&k);
    param_fini(&out);
}

/* ---- the floor ------------------------------------------------------------------------------------------------- */

static void bench_floor(bench *b)
{
    double ms[RUNS_MAX];
    sg_param x;

    if (!param_init(&x, FLOOR, FLOOR)) {
        b->failed = true;
        return;
    }
    for (int i = -1; i < b->runs; i++) {
        const double from = now(b);

        sg_gemm(b->pool, SG_F32, false, false, FLOOR, FLOOR, FLOOR, 1, x.value, FLOOR, x.value, FLOOR, 0,
                x.grad, FLOOR);
        if (i >= 0)
            ms[i] = 1e3 * (now(b) - from);
    }
    print(b, "floor: product of 1024 x 1024", "f32", ms, 2.0 * FLOOR * FLOOR * FLOOR);
    param_fini(&x);
}

int main(int argc, char **argv)
{
    static const shape attentions[] = {
        {"sasrec 256 x 1..15 causal 1x64", 256, -8, -8, 1, 64, SG_MASK_CAUSAL, 0, 0.2f},
        {"sasrec 256 x 1..15 causal 2x32", 256, -8, -8, 2, 32, SG_MASK_CAUSAL, 0, 0.2f},
        {"sasrec 256 x 50 causal 1x64", 256, 50, 50, 1, 64, SG_MASK_CAUSAL, 0, 0.2f},
        {"sasrec 256 x 50 causal 1x50", 256, 50, 50, 1, 50, SG_MASK_CAUSAL, 0, 0.2f},
        {"tiger encoder 64 x 1..79 bias 6x64", 64, -40, -40, 6, 64, SG_MASK_NONE, 32, 0.1f},
        {"tiger encoder 64 x 80 bias 6x64", 64, 80, 80, 6, 64, SG_MASK_NONE, 32, 0.1f},
        {"tiger encoder 64 x 80 no dropout 6x64", 64, 80, 80, 6, 64, SG_MASK_NONE, 32, 0},
        {"tiger decoder 256 x 4 bias 6x64", 256, 4, 4, 6, 64, SG_MASK_CAUSAL, 32, 0.1f},
        {"tiger cross 256 x (4, 1..79) 6x64", 256, 4, -40, 6, 64, SG_MASK_NONE, 0, 0.1f},
        {"tiger cross 64 x (30, 80) 6x64", 64, 30, 80, 6, 64, SG_MASK_NONE, 0, 0.1f},
        {"long 8 x 512 causal 2x64", 8, 512, 512, 2, 64, SG_MASK_CAUSAL, 0, 0},
        {"long 2 x 2048 causal 2x64", 2, 2048, 2048, 2, 64, SG_MASK_CAUSAL, 0, 0},
        {"long 1 x 8192 causal 1x64", 1, 8192, 8192, 1, 64, SG_MASK_CAUSAL, 0, 0},
    };
    static const pointwise_shape pointwises[] = {
        {"hstu 128 x 1..15 both 1x50", 128, -8, 1, 50, true, true, false},
        {"hstu 64 x 1..199 position 1x50", 64, -100, 1, 50, true, false, false},
        {"hstu 64 x 1..199 both 1x50", 64, -100, 1, 50, true, true, false},
        {"hstu 32 x 200 position 2x25", 32, 200, 2, 25, true, false, false},
        {"hstu 4 x 1024 both 2x64", 4, 1024, 2, 64, true, true, false},
        {"hstu 1 x 4096 1x64", 1, 4096, 1, 64, false, false, false},
        {"hstu 1 x 4096 position 1x64", 1, 4096, 1, 64, true, false, false},
        {"hstu 1 x 4096 both 1x64", 1, 4096, 1, 64, true, true, false},
        {"hstu 1 x 4096 both 1x128", 1, 4096, 1, 128, true, true, false},
        {"hstu 1 x 4096 both softmax 1x64", 1, 4096, 1, 64, true, true, true},
    };
    static loss losses[] = {
        {.name = "full 2048 x 12101 d 64", .rows = 2048, .n = 12101, .d = 64},
        {.name = "full 2048 x 12101 d 128", .rows = 2048, .n = 12101, .d = 128},
        {.name = "full 2048 x 12101 d 256", .rows = 2048, .n = 12101, .d = 256},
        {.name = "full 512 x 100000 d 64", .rows = 512, .n = 100000, .d = 64},
        {.name = "range 1024 x 256 of 1024 d 128", .rows = 1024, .n = 1024, .d = 128, .range = 256},
        {.name = "sampled 2048 x 256 shared d 64",
         .rows = 2048,
         .n = 12101,
         .d = 64,
         .n_neg = 256,
         .shared = true},
        {.name = "sampled 2048 x 128 own d 64", .rows = 2048, .n = 12101, .d = 64, .n_neg = 128},
    };
    bench b = {argc > 1 ? atoi(argv[1]) : 1,
               argc > 2 ? atoi(argv[2]) : 9,
               argc > 3 ? argv[3] : NULL,
               NULL,
               NULL,
               false};
    sg_error err;

    b.runs = b.runs < 1 ? 1 : b.runs > RUNS_MAX ? RUNS_MAX : b.runs;
    if (sg_pool_new(&b.pool, b.threads, &err) || sg_graph_new(&b.graph, b.pool, SG_F32, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    bench_header();
    bench_floor(&b);
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions && !b.failed; i++)
        bench_attention(&b, &attentions[i]);
    for (size_t i = 0; i < sizeof pointwises / sizeof *pointwises && !b.failed; i++)
        bench_pointwise(&b, &pointwises[i]);
    for (size_t i = 0; i < sizeof losses / sizeof *losses && !b.failed; i++)
        bench_loss(&b, &losses[i]);
    bench_decoding(&b);
    sg_graph_free(b.graph);
    sg_pool_free(b.pool);
    return b.failed;
}
