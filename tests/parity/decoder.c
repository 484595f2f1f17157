/* decoder.c - decoders that learn give the losses, states and gradients of transformers, adapters those of peft (decoder.py wrote
 * them); layers made again on the way back give the same bytes; quantised layers under an adapter give the gradients of their numbers. */
#include "gradients.h"

#include "lm/adapter.h"

enum { N = 16, SOFT = 3 };
static const int32_t ids[N] = {5, 17, 3, 3, 29, 11, 0, 36, 8, 21, 2, 38, 7, 7, 14, 30};
static const int32_t targets[N] = {-1, -1, 3, 29, 11, 0, 36, 8, 21, -1, 38, 7, 7, -1, 30, -1};
static const int32_t offsets[3] = {0, 10, N};
static const closeness near = {2e-5f,
                               1e-2f}; /* f32 against double through two layers; as a share of the largest */

typedef struct setup {
    sg_llama *m;
    sg_decoder *d;
    sg_adapter *a; /* NULL: the decoder learns */
    sg_tensors *want;
    sg_pool *pool;
    sg_graph *g;
} setup;

static void open_all(setup *s, const char *name, const char *expected, const char *adapter,
                     const sg_decoder_spec *spec)
{
    char path[300];
    sg_error err;

    *s = (setup){0};
    if (sg_pool_new(&s->pool, 2, &err) || sg_llama_open(&s->m, path_of(name, path), &err) ||
        sg_decoder_new(&s->d, s->m, spec, s->pool, &err) ||
        sg_tensors_open(&s->want, path_of(expected, path), &err) ||
        (adapter &&
         sg_adapter_open(&s->a, path_of(adapter, path), (sg_adapter_host[]){sg_llama_host(s->m)}, &err)) ||
        sg_params_need_grads(s->a ? &s->a->params : &s->d->params, &err) ||
        sg_graph_new(&s->g, s->pool, SG_F32, &err))
        fail_msg("%s", err.message);
    if (s->a)
        sg_decoder_adapt(s->d, s->a);
}

static void close_all(setup *s)
{
    sg_graph_free(s->g);
    sg_tensors_close(s->want);
    sg_adapter_free(s->a);
    sg_decoder_free(s->d);
    sg_llama_close(s->m);
    sg_pool_free(s->pool);
}

static float run(setup *s, const sg_decoder_batch *b, const int32_t *target, bool backward)
{
    sg_error err;
    sg_tensor *x, *loss;

    sg_params_zero_grads(s->a ? &s->a->params : &s->d->params);
    sg_graph_begin(s->g, SG_TRAIN, 1, 1);
    x = sg_decoder_states(s->g, s->d, b, s->d->config.layers);
    loss = sg_decoder_loss(s->g, s->d, x, target, NULL, 0);
    if (sg_graph_status(s->g, &err) || (backward && sg_backward(s->g, loss, &err)))
        fail_msg("%s", err.message);
    return loss->data[0];
}

/* Inference and training are one function: states of each sequence byte for byte would ask for one order of sums, f32 gives 1e-5. */
static void check_states(setup *s, const sg_decoder_batch *b)
{
    const size_t dim = (size_t)s->d->config.dim;
    float *states = sg_alloc_array(N * dim, sizeof *states);
    sg_reading *r;
    sg_error err;

    assert_non_null(states);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sg_reading_new(&r, s->m, 16, NULL, &err), SG_OK);
        assert_int_equal(sg_reading_states(r, ids + offsets[i], offsets[i + 1] - offsets[i],
                                           states + (size_t)offsets[i] * dim, &err),
                         SG_OK);
        sg_reading_free(r);
    }
    sg_graph_begin(s->g, SG_INFER, 1, 1);
    near_all(near, "states", sg_decoder_states(s->g, s->d, b, s->d->config.layers)->data, states, N * dim);
    near_all(near, "states of layer 1", sg_decoder_states(s->g, s->d, b, 1)->data,
             need(s->want, "states", N * dim), N * dim);
    sg_free(states);
}

static void check(const char *name)
{
    sg_decoder_batch b = {.n = N, .batch = 2, .id = ids, .offsets = offsets};
    char expected[300];
    setup s;

    snprintf(expected, sizeof expected, "%s/train.safetensors", name);
    open_all(&s, name, expected, NULL, &(sg_decoder_spec){.learn_words = true});
    const float loss = run(&s, &b, targets, true);
    near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.d->params, "", false);
    float *grad = gradients_of(&s.d->params);
    b.recompute = true;
    assert_true(run(&s, &b, targets, true) == loss);
    same_gradients(grad, &s.d->params);
    check_states(&s, &b);
    b.both_ways = true;
    const float both = run(&s, &b, targets, false);
    near_all(near, "loss both ways", &both, need(s.want, "loss_both_ways", 1), 1);
    close_all(&s);
}

static void llama(void **state)
{
    (void)state;
    check("llama");
}

static void llama3_scaled_rotation(void **state)
{
    (void)state;
    check("llama3");
}

static void qwen2_biases(void **state)
{
    (void)state;
    check("qwen2");
}

static void qwen3_norms_of_heads(void **state)
{
    (void)state;
    check("qwen3");
}

/* Layers before the first that learns keep their bytes and have no gradient; the words as well. */
static void last_layers_alone_learn(void **state)
{
    (void)state;
    const sg_decoder_batch b = {.n = N, .batch = 2, .id = ids, .offsets = offsets};
    setup s;

    open_all(&s, "llama", "llama/train.safetensors", NULL, &(sg_decoder_spec){.learn_from = 1});
    run(&s, &b, targets, true);
    for (size_t i = 0; i < s.d->params.n; i++) {
        const sg_param *p = s.d->params.list[i];
        const bool learns =
            strncmp(p->name, "model.layers.1.", 15) == 0 || strcmp(p->name, "model.norm.weight") == 0;

        assert_int_equal(p->grad != NULL, learns);
        assert_int_equal(p->frozen, !learns);
    }
    const sg_param *down = s.d->layer[1].w[SG_PART_DOWN];
    float by_col[64] = {0};
    for (int r = 0; r < 32; r++)
        for (int c = 0; c < 64; c++)
            by_col[c] += down->grad[r * 64 + c];
    near_all(near, "down", by_col, need(s.want, "model.layers.1.mlp.down_proj.weight.cols", 64), 64);
    close_all(&s);
}

/* The model that only reads, with the same adapter beside it, gives the loss. */
static void check_reading(setup *s)
{
    double logp[N], sum = 0;
    sg_reading *r;
    sg_error err;
    int n = 0;

    sg_llama_adapt(s->m, s->a);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sg_reading_new(&r, s->m, 16, NULL, &err), SG_OK);
        assert_int_equal(
            sg_reading_score(r, ids + offsets[i], offsets[i + 1] - offsets[i], logp + offsets[i], &err),
            SG_OK);
        sg_reading_free(r);
    }
    for (int t = 0; t < N - 1; t++)
        if (targets[t] >= 0) {
            sum -= logp[t + 1];
            n++;
        }
    const float read = (float)(sum / n);
    near_all(near, "loss of reading", &read, need(s->want, "loss", 1), 1);
}

static void check_low_rank(const char *model, const char *adapter, unsigned kinds)
{
    const sg_decoder_batch b = {.n = N, .batch = 2, .id = ids, .offsets = offsets};
    char expected[300];
    sg_error err;
    setup s;

    snprintf(expected, sizeof expected, "%s/train.safetensors", adapter);
    open_all(&s, model, expected, adapter, &(sg_decoder_spec){.learn_from = 2});
    assert_int_equal(s.a->config.targets, kinds);
    const float loss = run(&s, &b, targets, true);
    near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.a->params, "", true);

    check_reading(&s);
    close_all(&s);

    /* merged, the weights alone give that loss */
    const bool head = kinds >> SG_PARTS & 1;
    setup merged;
    open_all(&merged, model, expected, NULL, &(sg_decoder_spec){.learn_words = !head, .own_head = head});
    assert_true(!head || merged.d->output != merged.d->words);
    sg_adapter *a;
    char path[300];
    assert_int_equal(
        sg_adapter_open(&a, path_of(adapter, path), (sg_adapter_host[]){sg_llama_host(merged.m)}, &err),
        SG_OK);
    assert_int_equal(sg_adapter_merge(&merged.d->params, a, merged.pool, &err), SG_OK);
    const float whole = run(&merged, &b, targets, false);
    near_all(near, "loss of merged weights", &whole, need(merged.want, "loss", 1), 1);
    sg_adapter_free(a);
    close_all(&merged);
}

static void lora_of_peft(void **state)
{
    (void)state;
    check_low_rank("llama", "lora", 1u << SG_PART_Q | 1u << SG_PART_V | 1u << SG_PART_DOWN);
}

/* Beside an output matrix of its own, and beside one that is the word table: that stays shared. */
static void the_output_matrix_of_peft(void **state)
{
    (void)state;
    check_low_rank("llama", "llamahead", 1u << SG_PART_V | 1u << SG_PARTS);
    check_low_rank("qwen2", "qwen2head", 1u << SG_PART_V | 1u << SG_PARTS);
}

/* Rows of new tokens (40 to 42) and of token 5, which PEFT saved in the order 41, 40, 5, 42. */
static void check_rows(const char *model, const char *adapter, bool tied)
{
    static const int32_t new_ids[N] = {5, 40, 41, 41, 29, 11, 0, 36, 8, 21, 2, 42, 42, 42, 14, 30};
    static const int32_t new_targets[N] = {-1, -1, 41, 29, 11, 0, 36, 8, 21, -1, 42, 42, 42, -1, 30, -1};
    static const int32_t own[4] = {5, 40, 41, 42};
    const sg_decoder_batch b = {.n = N, .batch = 2, .id = new_ids, .offsets = offsets};
    char path[300], expected[60];
    setup s = {0};
    sg_error err;

    snprintf(expected, sizeof expected, "%s/train.safetensors", adapter);
    if (sg_pool_new(&s.pool, 2, &err) || sg_llama_open(&s.m, path_of(model, path), &err) ||
        sg_tensors_open(&s.want, path_of(expected, path), &err) ||
        sg_adapter_open(&s.a, path_of(adapter, path), (sg_adapter_host[]){sg_llama_host(s.m)}, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.a->words.n, 4);
    assert_memory_equal(s.a->words.id, own, sizeof own);
    assert_int_equal(s.a->output.n, tied ? 0 : 4);
    assert_int_equal(s.a->vocab, 43);
    sg_llama_adapt(s.m, s.a);
    assert_int_equal(sg_llama_config_of(s.m)->vocab, 43);
    assert_int_equal(sg_tokenizer_find(sg_llama_tokenizer(s.m), (sg_bytes){"[EMB]", 5}), 42);
    if (sg_decoder_new(&s.d, s.m, &(sg_decoder_spec){.learn_from = 2}, s.pool, &err) ||
        sg_params_need_grads(&s.a->params, &err) || sg_graph_new(&s.g, s.pool, SG_F32, &err))
        fail_msg("%s", err.message);
    sg_decoder_adapt(s.d, s.a);
    const float loss = run(&s, &b, new_targets, true);
    near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.a->params, "", true);

    double sum = 0;
    int n = 0;
    for (int i = 0; i < 2; i++) {
        double logp[N];
        sg_reading *r;

        assert_int_equal(sg_reading_new(&r, s.m, 16, NULL, &err), SG_OK);
        assert_int_equal(sg_reading_score(r, new_ids + offsets[i], offsets[i + 1] - offsets[i], logp, &err),
                         SG_OK);
        sg_reading_free(r);
        for (int t = offsets[i]; t + 1 < offsets[i + 1]; t++)
            if (new_targets[t] >= 0) {
                sum -= logp[t + 1 - offsets[i]];
                n++;
            }
    }
    const float read = (float)(sum / n);
    near_all(near, "loss of reading", &read, need(s.want, "loss", 1), 1);

    /* rows that the adapter does not have are those of the files; without it the model is as it was */
    sg_decoder *plain;
    sg_llama_adapt(s.m, NULL);
    assert_int_equal(sg_llama_config_of(s.m)->vocab, 40);
    assert_int_equal(sg_tokenizer_find(sg_llama_tokenizer(s.m), (sg_bytes){"[EMB]", 5}), -1);
    assert_int_equal(sg_decoder_new(&plain, s.m, &(sg_decoder_spec){.learn_from = 2}, NULL, &err), SG_OK);
    assert_int_equal(s.d->output->dim[0], 43);
    for (int k = 0; k < 40; k++)
        for (int t = 0; t < 2; t++) {
            const sg_param *x = t ? plain->output : plain->words, *y = t ? s.d->output : s.d->words;

            assert_true((memcmp(x->value + 32 * k, y->value + 32 * k, 32 * sizeof(float)) == 0) == (k != 5));
        }
    sg_decoder_free(plain);
    close_all(&s);
}

static void rows_of_peft(void **state)
{
    (void)state;
    check_rows("llama", "llamarows", false);
    check_rows("qwen2", "qwen2rows", true);
    check_rows("llama", "llamatokens", false);
    check_rows("qwen2", "qwen2tokens", true);
    check_rows("qwen2", "qwen2rowshead", true);
}

/* The loss and the gradients of layers behind attention and feed-forward, one of them left out and one narrower; and of reading with them. */
static void layers_behind_layers(void **state)
{
    (void)state;
    const sg_decoder_batch b = {.n = N, .batch = 2, .id = ids, .offsets = offsets};
    sg_error err;
    setup s;

    open_all(&s, "llama", "bottleneck/train.safetensors", "bottleneck", &(sg_decoder_spec){.learn_from = 2});
    assert_true(!s.a->low[SG_PART_O].a && s.a->low[SG_PART_DOWN].a->dim[0] == 3 &&
                s.a->low[SG_PARTS + SG_PART_O].a->dim[0] == 6);
    const float loss = run(&s, &b, targets, true);
    near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.a->params, "", true);
    check_reading(&s);
    assert_int_equal(sg_adapter_merge(&s.d->params, s.a, s.pool, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "expected an adapter of low-rank parts: layers of its own are no weights of a model");
    close_all(&s);
}

static void prompt_of_peft(void **state)
{
    (void)state;
    enum { ALL = N + 2 * SOFT };
    int32_t id[ALL] = {0}, target[ALL], at[ALL], from[3] = {0, 10 + SOFT, ALL};
    sg_tensor *x, *loss;
    sg_error err;
    setup s;

    open_all(&s, "llama", "prompt/train.safetensors", "prompt", &(sg_decoder_spec){.learn_from = 2});
    for (int i = 0, t = 0; i < 2; i++) {
        for (int k = 0; k < SOFT; k++, t++) {
            at[t] = k;
            target[t] = -1;
        }
        for (int k = offsets[i]; k < offsets[i + 1]; k++, t++) {
            at[t] = -1;
            id[t] = ids[k];
            target[t] = targets[k];
        }
    }
    sg_graph_begin(s.g, SG_TRAIN, 1, 1);
    const sg_decoder_batch b = {
        .n = ALL, .batch = 2, .id = id, .offsets = from, .soft = sg_leaf(s.g, s.a->soft), .soft_at = at};
    x = sg_decoder_states(s.g, s.d, &b, 2);
    loss = sg_decoder_loss(s.g, s.d, x, target, NULL, 0);
    if (sg_graph_status(s.g, &err) || sg_backward(s.g, loss, &err))
        fail_msg("%s", err.message);
    near_all(near, "loss", loss->data, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.a->params, "", true);

    /* the model that only reads, with the same vectors in front */
    double sum = 0;
    int n = 0;
    sg_llama_adapt(s.m, s.a);
    assert_int_equal(sg_llama_places(s.m), s.d->config.places - SOFT);
    for (int i = 0; i < 2; i++) {
        double logp[N];
        sg_reading *r;

        assert_int_equal(sg_reading_new(&r, s.m, 16, NULL, &err), SG_OK);
        assert_int_equal(sg_reading_score(r, ids + offsets[i], offsets[i + 1] - offsets[i], logp, &err),
                         SG_OK);
        sg_reading_cut(r, 3); /* and once more from the middle: the vectors stay */
        assert_int_equal(
            sg_reading_score(r, ids + offsets[i] + 3, offsets[i + 1] - offsets[i] - 3, logp + 3, &err),
            SG_OK);
        sg_reading_free(r);
        for (int t = offsets[i]; t + 1 < offsets[i + 1]; t++)
            if (targets[t] >= 0 &&
                t + 1 - offsets[i] != 3) { /* of the first token behind a cut nothing is known */
                sum -= logp[t + 1 - offsets[i]];
                n++;
            }
    }
    assert_int_equal(n, 9);
    sg_tensor *again;
    for (int t = 0; t < ALL; t++)
        if (at[t] < 0 && t + 1 < ALL && (t == SOFT + 2 || t == 10 + 2 * SOFT + 2))
            target[t] = -1;
    sg_graph_begin(s.g, SG_INFER, 1, 1);
    const sg_decoder_batch c = {
        .n = ALL, .batch = 2, .id = id, .offsets = from, .soft = sg_leaf(s.g, s.a->soft), .soft_at = at};
    again = sg_decoder_loss(s.g, s.d, sg_decoder_states(s.g, s.d, &c, 2), target, NULL, 0);
    assert_int_equal(sg_graph_status(s.g, &err), SG_OK);
    const float read = (float)(sum / n);
    near_all(near, "loss of reading", &read, again->data, 1);
    close_all(&s);
}

/* llama.gguf is llama in Q8_0: with the bits kept or as numbers, the same loss and gradients of the adapter. */
static void quantised_layers_stay_in_their_bits(void **state)
{
    (void)state;
    const sg_decoder_batch b = {.n = N, .batch = 2, .id = ids, .offsets = offsets, .recompute = true};
    setup bits, numbers;

    open_all(&bits, "llama.gguf", "lora/train.safetensors", "lora",
             &(sg_decoder_spec){.learn_from = 2, .keep_bits = true});
    open_all(&numbers, "llama.gguf", "lora/train.safetensors", "lora", &(sg_decoder_spec){.learn_from = 2});
    for (int p = 0; p < SG_PARTS; p++)
        assert_true(bits.d->layer[0].w[p]->blocks && !bits.d->layer[0].w[p]->value &&
                    numbers.d->layer[0].w[p]->value);
    assert_true(run(&bits, &b, targets, true) == run(&numbers, &b, targets, true));
    for (size_t i = 0; i < bits.a->params.n; i++)
        assert_memory_equal(bits.a->params.list[i]->grad, numbers.a->params.list[i]->grad,
                            bits.a->params.list[i]->count * sizeof(float));
    close_all(&bits);
    close_all(&numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama),
        cmocka_unit_test(llama3_scaled_rotation),
        cmocka_unit_test(qwen2_biases),
        cmocka_unit_test(qwen3_norms_of_heads),
        cmocka_unit_test(last_layers_alone_learn),
        cmocka_unit_test(lora_of_peft),
        cmocka_unit_test(the_output_matrix_of_peft),
        cmocka_unit_test(rows_of_peft),
        cmocka_unit_test(layers_behind_layers),
        cmocka_unit_test(prompt_of_peft),
        cmocka_unit_test(quantised_layers_stay_in_their_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
