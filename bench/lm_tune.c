/* lm_tune.c - a step of a decoder on texts of mixed lengths, packed: LoRA, or (full) of all weights; beside it peer_lm_tune.py, the same
 * texts padded, by transformers and PEFT.
 *
 *   bench_lm_tune MODEL [THREADS [TOKENS [f32|bf16 [bits|recompute|full]]]]    TOKENS of a step, 2048 */
#include "base/alloc.h"
#include "bench.h"
#include "lm/adapter.h"
#include "math/gemm.h"
#include "nn/optim.h"

#include <sys/resource.h>

enum { REPEATS = 5, LEAST = 32, SPREAD = 225, RANK = 8 };

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* Lengths 32, 105, 178, 251, 99, ... until `tokens` are full: peer_lm_tune.py makes the same. */
static int lengths(int32_t *offsets, int tokens)
{
    int n = 0, at = 0;

    for (; at < tokens; n++) {
        const int next = LEAST + n * 73 % SPREAD;

        offsets[n] = at;
        at += next < tokens - at ? next : tokens - at;
    }
    offsets[n] = at;
    return n;
}

int main(int argc, char **argv)
{
    const int threads = argc > 2 ? atoi(argv[2]) : 0, tokens = argc > 3 ? atoi(argv[3]) : 2048;
    const sg_precision precision =
        argc > 4 ? (strcmp(argv[4], "f32") ? SG_BF16 : SG_F32) : sg_precision_best();
    const char *how = argc > 5 ? argv[5] : "";
    double forward[REPEATS], backward[REPEATS], update[REPEATS], all[REPEATS];
    const bool full = strcmp(how, "full") == 0;
    sg_decoder_spec spec = {.learn_words = full, .keep_bits = strcmp(how, "bits") == 0};
    sg_adapter_config config = {.rank = RANK, .alpha = 16};
    sg_llama *m;
    sg_decoder *d = NULL;
    sg_adapter *a = NULL;
    sg_optim *o;
    sg_graph *g;
    sg_pool *pool;
    sg_error err;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_lm_tune MODEL [THREADS [TOKENS [f32|bf16 [bits|recompute|full]]]]\n");
        return 2;
    }
    if (sg_pool_new(&pool, threads, &err) || sg_llama_open(&m, argv[1], &err))
        stop(&err);
    const sg_adapter_host host = sg_llama_host(m);
    spec.learn_from = full ? 0 : host.layers;
    if (sg_adapter_targets(&config, "all", &host, &err) || sg_decoder_new(&d, m, &spec, pool, &err) ||
        (!full && sg_adapter_new(&a, &config, &host, d->words, 1, &err)) ||
        sg_graph_new(&g, pool, precision, &err) ||
        sg_optim_new(&o, full ? &d->params : &a->params,
                     &(sg_optim_spec){.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 1},
                     &err))
        stop(&err);
    sg_decoder_adapt(d, a);
    int32_t *offsets = sg_alloc_zero((size_t)tokens + 1, sizeof *offsets),
            *id = sg_alloc_array((size_t)tokens, sizeof *id),
            *target = sg_alloc_array((size_t)tokens, sizeof *target);
    if (!offsets || !id || !target)
        return 1;
    const int n = lengths(offsets, tokens);
    for (int t = 0; t < tokens; t++)
        id[t] = 100 + t * 7919 % 30000 % (sg_llama_config_of(m)->vocab - 100);
    for (int i = 0; i < n; i++)
        for (int t = offsets[i]; t < offsets[i + 1]; t++)
            target[t] = t + 1 < offsets[i + 1] ? id[t + 1] : -1;
    const sg_decoder_batch b = {
        .n = tokens, .batch = n, .id = id, .offsets = offsets, .recompute = strcmp(how, "recompute") == 0};
    float loss = 0;
    for (int r = -1; r < REPEATS; r++) { /* the first one takes memory and makes kernels */
        const double start = sg_now();

        sg_graph_begin(g, SG_TRAIN, 1, (uint64_t)(r + 1));
        sg_tensor *x = sg_decoder_loss(g, d, sg_decoder_states(g, d, &b, d->config.layers), target, NULL, 0);
        if (sg_graph_status(g, &err))
            stop(&err);
        const double loss_made = sg_now();
        loss = x->data[0];
        if (sg_backward(g, x, &err))
            stop(&err);
        const double back = sg_now();
        if (sg_optim_step(o, pool, NULL, &err))
            stop(&err);
        const double end = sg_now();
        if (r >= 0) {
            forward[r] = loss_made - start;
            backward[r] = back - loss_made;
            update[r] = end - back;
            all[r] = end - start;
        }
    }
    bench_header();
    const struct {
        const char *part;
        double *value;
    } rows[] = {{"forward", forward}, {"backward", backward}, {"update", update}, {"step", all}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[40];

        snprintf(name, sizeof name, "%s %s", full ? "full" : "LoRA", rows[i].part);
        bench_row(sg_pool_threads(pool), name, rows[i].value, REPEATS, "s");
    }
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    fprintf(stderr, "%d texts, %d tokens, loss %.6f, step memory %.0f MB, %.0f MB in all\n", n, tokens,
            (double)loss, (double)sg_arena_peak(sg_graph_arena(g)) / 1e6, (double)use.ru_maxrss * 1024 / 1e6);
    sg_free(offsets);
    sg_free(id);
    sg_free(target);
    sg_graph_free(g);
    sg_optim_free(o);
    sg_adapter_free(a);
    sg_decoder_free(d);
    sg_llama_close(m);
    sg_pool_free(pool);
    return 0;
}
