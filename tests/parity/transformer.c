/* transformer.c - blocks, cross-entropy and AdamW give PyTorch's values and gradients (transformer.py wrote them). */
#include "base/alloc.h"
#include "file/safetensors.h"
#include "nn/optim.h"
#include "nn/transformer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { D = 24, HEADS = 3, WIDTH = 8, FFN = 40, TOKENS = 8, MEMORY = 6, TABLE = 30 };
static sg_tensors *file;

static const sg_file_tensor *expected(const char *name)
{
    const sg_file_tensor *t = sg_tensors_find(file, name);

    if (!t)
        fail_msg("no tensor '%s'", name);
    return t;
}

/* f32 against double through one block: products of up to 40 terms of size about 1 */
static void same(const char *name, const float *found, size_t n)
{
    const sg_file_tensor *t = expected(name);
    const float *want = t->data;
    float most = 0;

    assert_int_equal(t->count, n);
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(found[i] - want[i]) <= 2e-5f * (1 + most)))
            fail_msg("%s[%zu]: expected %g, found %g", name, i, (double)want[i], (double)found[i]);
}

static void load(sg_params *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        const sg_file_tensor *t = expected(ps->list[i]->name);

        assert_int_equal(t->count, ps->list[i]->count);
        memcpy(ps->list[i]->value, t->data, t->bytes);
        ps->list[i]->version++;
    }
}

static void check_block(const char *name, const sg_block_spec *spec)
{
    static const int32_t own[] = {0, 5, 8}, other[] = {0, 4, 6};
    sg_error err = {0};
    sg_params ps = {0};
    sg_pool *pool;
    sg_graph *g;
    sg_block block;
    char grad[160];

    sg_param *x = sg_param_add(&ps, 1, SG_INIT_ZERO, 0, 0, TOKENS, D, "x");
    sg_param *memory = sg_param_add(&ps, 1, SG_INIT_ZERO, 0, 0, MEMORY, D, "memory");
    sg_param *table = sg_param_add(&ps, 1, SG_INIT_ZERO, 0, 0, TABLE, D, "table");
    sg_param *bias = spec->rms ? sg_param_add(&ps, 1, SG_INIT_ZERO, 0, 0, 8, HEADS, "bias") : NULL;
    sg_block_declare(&block, &ps, 1, spec, name);
    load(&ps);
    assert_int_equal(sg_params_need_grads(&ps, &err), SG_OK);
    assert_int_equal(sg_pool_new(&pool, 2, &err), SG_OK);
    assert_int_equal(sg_graph_new(&g, pool, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_TRAIN, 1, 1);
    const sg_attention_spec self = {.heads = HEADS,
                                    .batch = 2,
                                    .offsets_q = own,
                                    .offsets_k = own,
                                    .mask = SG_MASK_CAUSAL,
                                    .scale = spec->rms ? 1 : 1 / sqrtf(WIDTH),
                                    .bias = bias,
                                    .bias_max_distance = 16};
    const sg_attention_spec cross = {
        .heads = HEADS, .batch = 2, .offsets_q = own, .offsets_k = other, .scale = 1};
    sg_tensor *y = sg_block_forward(g, &block, sg_leaf(g, x), &self, sg_leaf(g, memory), &cross, 0);
    sg_tensor *loss = sg_softmax_ce(g, y, table, NULL, expected("target")->data, NULL, 1, 0.1f);
    if (sg_backward(g, loss, &err))
        fail_msg("%s", err.message);
    snprintf(grad, sizeof grad, "%s:y", name);
    same(grad, y->data, TOKENS * D);
    snprintf(grad, sizeof grad, "%s:loss", name);
    same(grad, loss->data, 1);
    for (size_t i = 0; i < ps.n; i++) {
        snprintf(grad, sizeof grad, "%s:%s", name, ps.list[i]->name);
        if (spec->cross || ps.list[i] != memory)
            same(grad, ps.list[i]->grad, ps.list[i]->count);
    }
    sg_graph_free(g);
    sg_pool_free(pool);
    sg_params_free(&ps);
}

static void layernorm_gelu_block(void **state)
{
    (void)state;
    check_block("plain", &(sg_block_spec){.dim = D,
                                          .heads = HEADS,
                                          .head_dim = WIDTH,
                                          .ffn = FFN,
                                          .act = SG_GELU,
                                          .bias = true,
                                          .eps = 1e-8f});
}

static void t5_block_with_bias_gate_and_memory(void **state)
{
    (void)state;
    check_block("t5", &(sg_block_spec){.dim = D,
                                       .heads = HEADS,
                                       .head_dim = WIDTH,
                                       .ffn = FFN,
                                       .act = SG_SILU,
                                       .rms = true,
                                       .gated = true,
                                       .cross = true,
                                       .t5_init = true,
                                       .eps = 1e-6f});
}

static void adamw_steps(void **state)
{
    (void)state;
    sg_error err = {0};
    sg_params ps = {0};
    sg_optim *o;
    double norm;
    sg_param *w = sg_param_add(&ps, 1, SG_INIT_ZERO, 0, 0, 7, 0, "w");
    const float *weights = expected("adamw.weights")->data, *grads = expected("adamw.grads")->data;
    const sg_optim_spec spec = {.lr = 0.05, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1};

    memcpy(w->value, weights, 7 * sizeof(float));
    w->decay = true;
    assert_int_equal(sg_params_need_grads(&ps, &err), SG_OK);
    assert_int_equal(sg_optim_new(&o, &ps, &spec, &err), SG_OK);
    for (int step = 0; step < 5; step++) {
        memcpy(w->grad, grads + 7 * step, 7 * sizeof(float));
        assert_int_equal(sg_optim_step(o, NULL, &norm, &err), SG_OK);
        for (int i = 0; i < 7; i++)
            assert_true(fabsf(w->value[i] - weights[7 * (step + 1) + i]) < 2e-6f);
    }
    sg_optim_free(o);
    sg_params_free(&ps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_gelu_block),
        cmocka_unit_test(t5_block_with_bias_gate_and_memory),
        cmocka_unit_test(adamw_steps),
    };
    sg_error err;

    if (sg_tensors_open(&file, TEST_SOURCE_DIR "/tests/parity/transformer.safetensors", &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sg_tensors_close(file);
    return failed;
}
