/* ops.c - how fast matrix products and ops run: products in ms and GF/s (2 m n k over the least time); ops in ms, forward
 * alone and forward with backward, on 8,192 rows of 128 numbers (4 MiB); and the feed-forward block of a small transformer.
 * usage: bench_ops [threads [runs [part of a case's name]]]
 * One thread is timed in CPU time, so that a busy machine disturbs less; more threads in wall time. */
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "math/gemm.h"

#include <time.h>

enum { RUNS_MAX = 101 };

typedef struct bench {
    int threads, runs;
    const char *only; /* NULL: all */
} bench;

static bool wants(const bench *b, const char *name)
{
    return !b->only || strstr(name, b->only);
}

static double now(const bench *b)
{
    struct timespec t;

    clock_gettime(b->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Prints ms, and GF/s when flops is not 0. */
static void measure(const bench *b, const char *name, double flops, void (*run)(void *), void *ctx)
{
    double t[RUNS_MAX];

    run(ctx); /* caches, arenas, packed weights */
    for (int i = 0; i < b->runs; i++) {
        const double from = now(b);

        run(ctx);
        t[i] = 1e3 * (now(b) - from);
    }
    bench_row(b->threads, name, t, b->runs, "ms");
    if (flops > 0)
        bench_row(b->threads, name, &(double){1e-6 * flops / t[0]}, 1, "GF/s");
}

enum { ROWS = 8192, D = 128, FFN = 1024, ITEMS = 12000 };

typedef struct ops {
    sg_graph *g;
    sg_pool *pool;
    sg_param x, z, w1, b1, w2, b2, norm_w, norm_b, table;
    int32_t ids[ROWS], offsets[ROWS / 16 + 1], positions[ROWS];
    sg_tensor *(*build)(struct ops *o, sg_tensor *x, sg_tensor *z);
    bool train;
    bool failed;
} ops;

static bool param_init(sg_param *p, int rows, int cols, float size)
{
    *p = (sg_param){.rank = cols ? 2 : 1, .dim = {rows, cols}, .version = 1, .name = "bench"};
    p->count = (size_t)rows * (size_t)(cols ? cols : 1);
    p->value = sg_alloc_array(p->count, sizeof(float));
    p->grad = sg_alloc_zero(p->count, sizeof(float));
    for (size_t i = 0; p->value && i < p->count; i++)
        p->value[i] = size * (2 * sg_rng_float(1, SG_RNG_TEST, p->count, i) - 1);
    return p->value && p->grad;
}

static void param_fini(sg_param *p)
{
    sg_gemm_forget(p);
    sg_free(p->value);
    sg_free(p->grad);
}

/* ---- matrix products ------------------------------------------------------------------------------------------- */

typedef enum product { FORWARD, DX, DW } product;

typedef struct gemm_case {
    sg_pool *pool;
    sg_precision precision;
    product product;
    int rows, in, out;
    sg_param w;
    float *x, *y;
    sg_arena *arena;
    bool failed;
} gemm_case;

static void run_gemm(void *ctx)
{
    gemm_case *c = ctx;

    if (c->product == FORWARD)
        sg_gemm_linear(c->pool, c->precision, c->rows, c->x, c->in, &c->w, NULL, c->y, c->out);
    else if (c->product == DX)
        sg_gemm_linear_dx(c->pool, c->precision, c->rows, c->y, c->out, &c->w, c->x, c->in, false);
    else
        c->failed |= !sg_gemm_linear_dw(c->pool, c->arena, c->precision, c->rows, c->y, c->out, c->x, c->in,
                                        c->out, c->in, c->w.grad);
}

static void bench_gemms(const bench *b, sg_pool *pool)
{
    static const int shapes[][3] = {{8192, 128, 1024}, {8192, 1024, 128}, {8192, 128, 128},
                                    {8192, 64, 64},    {8192, 128, 384},  {8192, 384, 1536},
                                    {64, 128, 128},    {1, 128, 1024},    {20, 128, 12000}};
    static const char *const names[] = {"linear", "linear_dx", "linear_dw"}, *const precisions[] = {"f32",
                                                                                                    "bf16"};

    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int what = FORWARD; what <= DW; what++) {
            for (int p = SG_F32; p <= SG_BF16; p++) {
                const int rows = shapes[s][0], in = shapes[s][1], out = shapes[s][2];
                gemm_case c = {.pool = pool,
                               .precision = (sg_precision)p,
                               .product = (product)what,
                               .rows = rows,
                               .in = in,
                               .out = out};
                char name[64];

                snprintf(name, sizeof name, "%s %dx%dx%d %s", names[what], rows, in, out, precisions[p]);
                if (!wants(b, name))
                    continue;
                c.arena = sg_arena_new(0);
                c.x = sg_alloc_zero((size_t)rows * (size_t)in, sizeof(float));
                c.y = sg_alloc_zero((size_t)rows * (size_t)out, sizeof(float));
                if (param_init(&c.w, out, in, 0.1f) && c.x && c.y && c.arena) {
                    measure(b, name, 2.0 * rows * in * out, run_gemm, &c);
                }
                if (c.failed)
                    fprintf(stderr, "%s: out of memory\n", name);
                param_fini(&c.w);
                sg_arena_free(c.arena);
                sg_free(c.x);
                sg_free(c.y);
            }
        }
    }
}

/* ---- ops --------------------------------------------------------------------------------------------------------- */

static sg_tensor *b_plus(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_plus(o->g, x, z);
}

static sg_tensor *b_times(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_times(o->g, x, z);
}

static sg_tensor *b_relu(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_activate(o->g, x, SG_RELU);
}

static sg_tensor *b_gelu(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_activate(o->g, x, SG_GELU);
}

static sg_tensor *b_gelu_tanh(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_activate(o->g, x, SG_GELU_TANH);
}

static sg_tensor *b_silu(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_activate(o->g, x, SG_SILU);
}

static sg_tensor *b_tanh(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_activate(o->g, x, SG_TANH);
}

static sg_tensor *b_dropout(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_dropout(o->g, x, 0.2f);
}

static sg_tensor *b_add_dropout(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_add_dropout(o->g, x, z, 0.2f);
}

static sg_tensor *b_layernorm(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_layernorm(o->g, x, &o->norm_w, &o->norm_b, 1e-5f);
}

static sg_tensor *b_rmsnorm(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_rmsnorm(o->g, x, &o->norm_w, 1e-6f);
}

static sg_tensor *b_l2norm(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_l2norm(o->g, x, 1e-6f);
}

static sg_tensor *b_softmax(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_softmax(o->g, x);
}

static sg_tensor *b_embed(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_embed(o->g, &o->table, o->ids, ROWS);
}

static sg_tensor *b_rows(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_rows(o->g, x, o->positions, ROWS);
}

static sg_tensor *b_segment_mean(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_segment_mean(o->g, x, o->offsets, ROWS / 16);
}

static sg_tensor *b_rope(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_rope(o->g, x, 4, o->positions, 10000);
}

static sg_tensor *b_concat(ops *o, sg_tensor *x, sg_tensor *z)
{
    return sg_concat_cols(o->g, (sg_tensor *[]){x, z}, 2);
}

static sg_tensor *b_ffn(ops *o, sg_tensor *x, sg_tensor *z)
{
    sg_tensor *y = sg_layernorm(o->g, x, &o->norm_w, &o->norm_b, 1e-5f);

    y = sg_dropout(o->g, sg_activate(o->g, sg_linear(o->g, y, &o->w1, &o->b1), SG_RELU), 0.2f);
    return sg_add_dropout(o->g, x, sg_linear(o->g, y, &o->w2, &o->b2), 0.2f);
}

static sg_tensor *b_ffn_fused(ops *o, sg_tensor *x, sg_tensor *z)
{
    sg_tensor *y = sg_layernorm(o->g, x, &o->norm_w, &o->norm_b, 1e-5f);

    y = sg_linear_act(o->g, y, &o->w1, &o->b1, SG_RELU, 0.2f);
    return sg_add_dropout(o->g, x, sg_linear(o->g, y, &o->w2, &o->b2), 0.2f);
}

static const struct {
    const char *name;
    sg_tensor *(*build)(ops *o, sg_tensor *x, sg_tensor *z);
} cases[] = {
    {"plus", b_plus},
    {"times", b_times},
    {"relu", b_relu},
    {"gelu", b_gelu},
    {"gelu_tanh", b_gelu_tanh},
    {"silu", b_silu},
    {"tanh", b_tanh},
    {"dropout", b_dropout},
    {"add_dropout", b_add_dropout},
    {"layernorm", b_layernorm},
    {"rmsnorm", b_rmsnorm},
    {"l2norm", b_l2norm},
    {"softmax", b_softmax},
    {"embed", b_embed},
    {"rows", b_rows},
    {"segment_mean", b_segment_mean},
    {"rope", b_rope},
    {"concat_cols", b_concat},
    {"ffn", b_ffn},
    {"ffn_fused", b_ffn_fused},
};

/* An input whose gradient is wanted, without the cost of an op: its own array stands in for a tensor from below. */
static sg_tensor *input(ops *o, sg_param *p)
{
    sg_tensor *t = sg_leaf(o->g, p);

    if (t) {
        t->param = NULL;
        t->needs_grad = o->train;
    }
    return t;
}

static void run_op(void *ctx)
{
    ops *o = ctx;
    sg_error err;

    sg_graph_begin(o->g, o->train ? SG_TRAIN : SG_INFER, 1, 2);
    sg_tensor *y = o->build(o, input(o, &o->x), input(o, &o->z));
    if (o->train)
        o->failed |= sg_backward(o->g, sg_sum(o->g, y), &err) != SG_OK;
    o->failed |= !y;
}

static void bench_ops(const bench *b, ops *o)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!wants(b, cases[i].name))
            continue;
        o->build = cases[i].build;
        for (int train = 0; train < 2; train++) {
            char name[64];

            o->train = train;
            snprintf(name, sizeof name, "%s %s", cases[i].name, train ? "train" : "infer");
            measure(b, name, 0, run_op, o);
        }
    }
}

static bool ops_init(ops *o)
{
    for (int i = 0; i < ROWS; i++) {
        o->ids[i] = (int32_t)sg_rng_below(ITEMS, 1, SG_RNG_TEST, 1, (uint64_t)i);
        o->positions[i] = i % 20;
    }
    for (int i = 0; i <= ROWS / 16; i++)
        o->offsets[i] = 16 * i;
    return param_init(&o->x, ROWS, D, 1) && param_init(&o->z, ROWS, D, 1) &&
           param_init(&o->w1, FFN, D, 0.1f) && param_init(&o->b1, FFN, 0, 0.1f) &&
           param_init(&o->w2, D, FFN, 0.1f) && param_init(&o->b2, D, 0, 0.1f) &&
           param_init(&o->norm_w, D, 0, 1) && param_init(&o->norm_b, D, 0, 1) &&
           param_init(&o->table, ITEMS, D, 1);
}

static void ops_fini(ops *o)
{
    sg_param *const all[] = {&o->x, &o->z, &o->w1, &o->b1, &o->w2, &o->b2, &o->norm_w, &o->norm_b, &o->table};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        param_fini(all[i]);
    sg_graph_free(o->g);
    sg_pool_free(o->pool);
    sg_free(o);
}

int main(int argc, char **argv)
{
    bench b = {argc > 1 ? atoi(argv[1]) : 1, argc > 2 ? atoi(argv[2]) : 9, argc > 3 ? argv[3] : NULL};
    ops *o = sg_alloc_zero(1, sizeof *o);
    sg_error err = {0};
    int failed = 1;

    if (o && ops_init(o) && sg_pool_new(&o->pool, b.threads, &err) == SG_OK &&
        sg_graph_new(&o->g, o->pool, sg_precision_best(), &err) == SG_OK) {
        b.threads = sg_pool_threads(o->pool);
        b.runs = b.runs < 1 ? 1 : b.runs > RUNS_MAX ? RUNS_MAX : b.runs;
        bench_header();
        bench_gemms(&b, o->pool);
        bench_ops(&b, o);
        failed = o->failed;
    }
    if (failed)
        fprintf(stderr, "bench failed: %s\n", err.message);
    if (o)
        ops_fini(o);
    return failed;
}
