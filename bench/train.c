/* train.c - seconds a training step: loss, gradients, optimizer; reading the data and validation are not in it.
 *
 *   bench_train DATA MODEL [f32|bf16|auto] [steps=N] [OPTION=VALUE...]       options of the model and of training
 *
 * Step b of S takes the examples b, b + S, b + 2 S ...: users of all kinds, and the same ones in any program that counts examples
 * the same way. bench/peer_torch.py does; bench/train.sh runs both. */
#include "api/api.h"
#include "base/alloc.h"
#include "bench.h"
#include "math/gemm.h"
#include "train/train.h"

#include <time.h>

enum { WARM = 3 }; /* steps before the first timed one */

typedef struct run {
    sg_model *model;
    api_data data;
    sg_train_config config;
    sg_precision precision;
    sg_pool *pool;
    sg_graph *graph;
    sg_optim *optim;
    size_t n, n_batches;
    uint32_t *example;     /* (batch) */
    double *seconds, *cpu; /* (steps) */
} run;

/* Of all threads: on a machine that others use too, with one thread, it tells more than the clock on the wall. */
static double processor_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(sg_status st, const sg_error *err)
{
    if (st) {
        fprintf(stderr, "bench_train: %s\n", err->message);
        exit(2);
    }
}

static void read_options(run *r, int n, char **option)
{
    const api_table tables[] = {{r->model->config, r->model->class->options, r->model->class->n_options},
                                {&r->config, sg_train_options, sg_n_train_options}};
    const char *set[64];
    int n_set = 0;
    sg_error err;

    api_defaults(tables + 1, 1);
    r->config.steps = 20;
    r->precision = sg_precision_best();
    for (int i = 0; i < n; i++) {
        if (!strcmp(option[i], "f32"))
            r->precision = SG_F32;
        else if (!strcmp(option[i], "bf16"))
            r->precision = SG_BF16;
        else if (strcmp(option[i], "auto") && n_set < 64)
            set[n_set++] = option[i];
    }
    check(api_assign(tables, 2, set, n_set, &err), &err);
}

static void step(run *r, size_t number)
{
    double norm;
    int n = 0;
    sg_error err;

    for (size_t i = number % r->n_batches; i < r->n; i += r->n_batches)
        r->example[n++] = (uint32_t)i;
    sg_graph_begin(r->graph, SG_TRAIN, 1, number);
    sg_tensor *loss = r->model->class->loss(r->model, r->graph, r->example, n, 1, number);
    check(sg_backward(r->graph, loss, &err), &err);
    check(sg_optim_step(r->optim, r->pool, &norm, &err), &err);
}

static void start(run *r, const char *data)
{
    sg_error err;

    check(api_data_open(&r->data, data, "loo", &err), &err);
    check(sg_model_build(r->model, &r->data.train, 1, &err), &err);
    check(r->model->class->examples(r->model, &r->data.train, &r->n, &err), &err);
    const sg_optim_spec spec = {.kind = SG_OPTIM_ADAMW,
                                .lr = r->config.lr,
                                .beta1 = r->config.beta1,
                                .beta2 = r->config.beta2,
                                .eps = r->config.eps,
                                .weight_decay = r->config.weight_decay,
                                .clip = r->config.clip};

    check(sg_pool_new(&r->pool, 0, &err), &err);
    check(sg_graph_new(&r->graph, r->pool, r->precision, &err), &err);
    check(sg_optim_new(&r->optim, &r->model->params, &spec, &err), &err);
    r->n_batches = sg_pieces(r->n, (size_t)r->config.batch);
    r->example = sg_alloc_array((size_t)r->config.batch, sizeof *r->example);
    r->seconds = sg_alloc_array((size_t)r->config.steps, sizeof *r->seconds);
    r->cpu = sg_alloc_array((size_t)r->config.steps, sizeof *r->cpu);
    if (!r->example || !r->seconds || !r->cpu)
        check(sg_fail_memory(&err, "steps"), &err);
}

static void report(const run *r)
{
    const int n = r->config.steps;

    qsort(r->seconds, (size_t)n, sizeof *r->seconds, bench_ascending);
    qsort(r->cpu, (size_t)n, sizeof *r->cpu, bench_ascending);
    printf("program,version,model,layout,precision,threads,median_s,least_s,cpu_s,steps,steps_an_epoch\n");
    printf("sedge,%s,%s,packed,%s,%d,%.5f,%.5f,%.5f,%d,%zu\n", bench_commit(), r->model->class->name,
           r->precision == SG_BF16 ? "bf16" : "f32", sg_pool_threads(r->pool), r->seconds[n / 2],
           r->seconds[0], r->cpu[n / 2], n, r->n_batches);
}

int main(int argc, char **argv)
{
    run r = {0};
    const sg_model_class *class;
    sg_error err;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_train DATA MODEL [f32|bf16|auto] [steps=N] [OPTION=VALUE...]; see "
                        "bench/train.sh\n");
        return argc == 1 ? 0 : 2;
    }
    if (!(class = sg_model_class_find(argv[2], &err)))
        check(err.status, &err);
    if (!class->loss)
        check(sg_fail(&err, SG_ERR_USAGE, "%s does not train by steps", argv[2]), &err);
    check(sg_model_new(&r.model, class, &err), &err);
    read_options(&r, argc - 3, argv + 3);
    start(&r, argv[1]);
    for (int i = -WARM; i < r.config.steps; i++) {
        const double before = sg_now(), before_cpu = processor_time();

        step(&r, (size_t)(i + WARM));
        if (i >= 0) {
            r.seconds[i] = sg_now() - before;
            r.cpu[i] = processor_time() - before_cpu;
        }
    }
    report(&r);
    sg_free(r.seconds);
    sg_free(r.cpu);
    sg_free(r.example);
    sg_optim_free(r.optim);
    sg_graph_free(r.graph);
    sg_pool_free(r.pool);
    sg_model_free(r.model);
    api_data_close(&r.data);
    return 0;
}
