/* falcon.c - M-FALCON: what scoring m candidates after a history of n tokens costs: ms of reading the history once, of
 * asking m candidates in microbatches, and of one candidate scored the plain way, as the last token of the whole
 * sequence. Reading grows like n^2, asking like m n: "ns a pair" divides by n^2 / 2 + m n and should stay level.
 * usage: bench_falcon [threads [runs [microbatch]]]
 * Width 64, 2 blocks, 2 heads of 32, biases of position and time. CPU time for one thread, else wall time. */
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "nn/hstu.h"

#include <time.h>

enum { DIM = 64, N_MOST = 8192, M_MOST = 16384, RUNS_MAX = 101 };

typedef struct bench {
    int threads, runs, batch;
    sg_params params;
    sg_hstu stack;
    sg_hstu_cache cache;
    sg_graph *graph;
    float *x;      /* (M_MOST, DIM) tokens and candidates */
    int64_t *time; /* (N_MOST + 1) */
    double *ms;    /* (runs) */
} bench;

static double now(const bench *b)
{
    struct timespec t;

    clock_gettime(b->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static sg_tensor *input(bench *b, int first, int n)
{
    return sg_input(b->graph, b->x + (size_t)first * DIM, 2, (int[]){n, DIM});
}

static bool read_history(bench *b, int n, sg_error *err)
{
    sg_hstu_cache_cut(&b->cache, 0);
    sg_graph_begin(b->graph, SG_INFER, 0, 0);
    sg_hstu_cache_append(b->graph, &b->cache, input(b, 0, n), b->time, NULL);
    return sg_graph_status(b->graph, err) == SG_OK;
}

static bool ask(bench *b, int n, int m, sg_error *err)
{
    for (int first = 0; first < m; first += b->batch) {
        sg_graph_begin(b->graph, SG_INFER, 0, 0);
        sg_hstu_cache_ask(b->graph, &b->cache, input(b, first, m - first < b->batch ? m - first : b->batch),
                          b->time[n]);
        if (sg_graph_status(b->graph, err))
            return false;
    }
    return true;
}

static bool one(bench *b, int n, sg_error *err)
{
    const int32_t offsets[] = {0, n + 1};

    sg_graph_begin(b->graph, SG_INFER, 0, 0);
    sg_hstu_forward(b->graph, &b->stack, input(b, 0, n + 1), &(sg_hstu_tokens){1, offsets, b->time, b->time});
    return sg_graph_status(b->graph, err) == SG_OK;
}

/* kind 0: read n; 1: ask m; 2: one candidate after n, the plain way. Returns the least ms. */
static double measure(bench *b, int kind, int n, int m)
{
    const int runs = kind == 1 && (double)n * m > 2e7 && b->runs > 5 ? 5 : b->runs;
    sg_error err;
    char text[64];

    for (int i = -1; i < runs; i++) { /* the first: arenas, caches */
        const double from = now(b);

        if (!(kind == 0 ? read_history(b, n, &err) : kind == 1 ? ask(b, n, m, &err) : one(b, n, &err))) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
        if (i >= 0)
            b->ms[i] = now(b) - from;
    }
    snprintf(text, sizeof text, "%s n=%d m=%d", kind == 0 ? "read" : kind == 1 ? "ask" : "plain", n, m);
    bench_row(b->threads, text, b->ms, runs, "ms");
    return b->ms[0];
}

static void series(bench *b, int n, bool plain)
{
    const double read = measure(b, 0, n, 0), alone = plain ? measure(b, 2, n, 1) : 0;
    char text[64];

    for (int m = 1; m <= M_MOST; m *= 4) {
        const double all = read + measure(b, 1, n, m);

        snprintf(text, sizeof text, "read and ask n=%d m=%d", n, m);
        bench_value(text, 1e6 * all / ((double)n * n / 2 + (double)m * n), "ns a pair");
        if (plain && m > 1) {
            snprintf(text, sizeof text, "plain / microbatches, a candidate n=%d m=%d", n, m);
            bench_value(text, alone / (all / m), "times");
        }
    }
}

int main(int argc, char **argv)
{
    const sg_hstu_shape shape = {.dim = DIM,
                                 .blocks = 2,
                                 .heads = 2,
                                 .d_qk = 32,
                                 .d_v = 32,
                                 .length = N_MOST + 1,
                                 .divisor = N_MOST,
                                 .position = true,
                                 .time = true};
    bench b = {.threads = argc > 1 ? atoi(argv[1]) : 1,
               .runs = argc > 2 ? atoi(argv[2]) : 5,
               .batch = argc > 3 ? atoi(argv[3]) : 512};
    sg_pool *pool;
    sg_error err;

    b.runs = b.runs < 1 ? 1 : b.runs > RUNS_MAX ? RUNS_MAX : b.runs;
    b.batch = b.batch < 1 ? 1 : b.batch;
    b.x = sg_alloc_array((size_t)M_MOST * DIM, sizeof *b.x);
    b.time = sg_alloc_array(N_MOST + 1, sizeof *b.time);
    b.ms = sg_alloc_array(RUNS_MAX, sizeof *b.ms);
    if (!b.x || !b.time || !b.ms || sg_hstu_declare(&b.stack, &b.params, 1, &shape, &err) ||
        sg_hstu_cache_new(&b.cache, &b.stack, N_MOST, &err) || sg_pool_new(&pool, b.threads, &err) ||
        sg_graph_new(&b.graph, pool, SG_F32, &err)) {
        fprintf(stderr, "bench_falcon: no memory\n");
        return 1;
    }
    for (size_t i = 0; i < (size_t)M_MOST * DIM; i++)
        b.x[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    for (int i = 0; i <= N_MOST; i++)
        b.time[i] = 978300000 + 977 * (int64_t)i;
    bench_header();
    for (int n = 128; n <= N_MOST; n *= 4)
        series(&b, n, n <= 2048);
    sg_graph_free(b.graph);
    sg_pool_free(pool);
    sg_hstu_cache_free(&b.cache);
    sg_hstu_fini(&b.stack);
    sg_params_free(&b.params);
    sg_free(b.x);
    sg_free(b.time);
    sg_free(b.ms);
    return 0;
}
