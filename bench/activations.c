/* activations.c - what a layer keeps in memory between its forward pass and its gradient, and what a whole step takes at most:
 * numbers a token and layer, in units of the width d. HSTU (heads of d altogether for queries, keys, values) beside our
 * Transformer block with an inner width of 4 d.
 *
 *   bench_activations [TOKENS [LENGTH]]                  (4096 tokens in sequences of 256) */
#include "base/arena.h"
#include "base/rng.h"
#include "bench.h"
#include "math/graph.h"
#include "nn/hstu.h"
#include "nn/transformer.h"

enum { BLOCKS = 4 };

typedef struct net {
    sg_params params;
    sg_hstu hstu;
    sg_tower tower;
    int dim, heads;
    bool transformer;
} net;

static void check(sg_status st, const sg_error *err)
{
    if (st) {
        fprintf(stderr, "bench_activations: %s\n", err->message);
        exit(2);
    }
}

static void declare(net *n, int blocks)
{
    const int dim = n->dim, heads = n->heads;
    const sg_hstu_shape shape = {.dim = dim,
                                 .blocks = blocks,
                                 .heads = heads,
                                 .d_qk = dim / heads,
                                 .d_v = dim / heads,
                                 .length = 8192,
                                 .divisor = 8192,
                                 .position = true,
                                 .dropout = 0.2f};
    const sg_block_spec block = {
        .dim = dim, .heads = heads, .ffn = 4 * dim, .bias = true, .eps = 1e-6f, .act = SG_GELU};
    sg_error err;

    if (n->transformer)
        check(sg_tower_declare(&n->tower, &n->params, 1, blocks, &block, "", &err), &err);
    else
        check(sg_hstu_declare(&n->hstu, &n->params, 1, &shape, &err), &err);
    check(sg_params_need_grads(&n->params, &err), &err);
}

/* Bytes after the forward pass, and at most with the gradients. */
static void measure(size_t *kept, size_t *peak, net *n, int blocks, int tokens, const int32_t *offsets,
                    int batch)
{
    sg_graph *g;
    sg_error err;

    declare(n, blocks);
    check(sg_graph_new(&g, NULL, SG_F32, &err), &err);
    sg_graph_begin(g, SG_TRAIN, 1, 0);
    sg_tensor *x = sg_tensor_2d(g, tokens, n->dim), *y;
    for (size_t i = 0; x && i < x->count; i++)
        x->data[i] = sg_rng_float(1, SG_RNG_TEST, 0, i) - 0.5f;
    y = n->transformer ? sg_tower_forward(g, &n->tower, x, offsets, batch, SG_MASK_CAUSAL, 0.2f)
                       : sg_hstu_forward(g, &n->hstu, x, &(sg_hstu_tokens){.n = batch, .offsets = offsets});
    *kept = sg_arena_used(sg_graph_arena(g));
    check(sg_backward(g, sg_sum(g, y), &err), &err);
    *peak = sg_arena_peak(sg_graph_arena(g));
    sg_graph_free(g);
    sg_hstu_fini(&n->hstu);
    sg_tower_free(&n->tower);
    sg_params_free(&n->params);
}

int main(int argc, char **argv)
{
    static const int dims[][2] = {{64, 1}, {128, 2}, {256, 4}};
    const int tokens = argc > 1 ? atoi(argv[1]) : 4096, length = argc > 2 ? atoi(argv[2]) : 256;
    const int batch = length > 0 ? (tokens + length - 1) / length : 0;
    int32_t *offsets = batch > 0 && tokens > 0 ? malloc(((size_t)batch + 1) * sizeof *offsets) : NULL;

    if (!offsets) {
        fprintf(stderr, "usage: bench_activations [TOKENS [LENGTH]]\n");
        return 2;
    }
    for (int i = 0; i <= batch; i++)
        offsets[i] = i * length < tokens ? i * length : tokens;
    printf("layer,dim,kept_numbers_per_token_over_d,peak_numbers_per_token_over_d\n");
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int t = 0; t < 2; t++) {
            const double unit = (double)tokens * dims[i][0] * sizeof(float) * BLOCKS;
            size_t kept[2], peak[2];

            for (int k = 0; k < 2; k++) { /* a layer is what the second half of them adds */
                net n = {.dim = dims[i][0], .heads = dims[i][1], .transformer = t};

                measure(&kept[k], &peak[k], &n, BLOCKS * (k + 1), tokens, offsets, batch);
            }
            printf("%s,%d,%.2f,%.2f\n", t ? "transformer" : "hstu", dims[i][0],
                   (double)(kept[1] - kept[0]) / unit, (double)(peak[1] - peak[0]) / unit);
        }
    free(offsets);
    return 0;
}
