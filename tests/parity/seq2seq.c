/* seq2seq.c - T5s that learn give the losses and gradients of transformers, adapters those of peft (seq2seq.py wrote them), and what reads
 * gives what learns; layers made again on the way back give the same bytes. */
#include "gradients.h"

#include "lm/adapter.h"

enum { READ = 14, WRITE = 12 };
static const int32_t read_ids[READ] = {5, 17, 3, 3, 29, 11, 30, 36, 8, 1, 4, 30, 7, 1},
                     read_offsets[3] = {0, 10, READ};
static const int32_t target[WRITE] = {12, 9, 35, 28, 1, 33, 6, 6, 14, 20, 31, 1},
                     write_offsets[3] = {0, 5, WRITE};
static const int32_t write_ids[WRITE] = {0, 12, 9, 35, 28, 0, 33, 6, 6, 14, 20, 31};
/* f32 against double through an encoder and two layers of a decoder; sums of gradients that cancel no less than 0.05 */
static const closeness near = {2e-5f, 5e-2f};

typedef struct setup {
    sg_t5 *m;
    sg_seq2seq *d;
    sg_adapter *a; /* NULL: the model learns */
    sg_tensors *want;
    sg_pool *pool;
    sg_graph *g;
} setup;

static void open_as(setup *s, const char *name, const char *adapter, bool learns, bool own_head)
{
    char path[300], expected[80];
    sg_error err;

    *s = (setup){0};
    snprintf(expected, sizeof expected, "%s/train.safetensors", adapter ? adapter : name);
    if (sg_pool_new(&s->pool, 2, &err) || sg_t5_open(&s->m, path_of(name, path), &err) ||
        sg_seq2seq_new(&s->d, s->m, &(sg_seq2seq_spec){.learns = learns, .own_head = own_head}, s->pool,
                       &err) ||
        sg_tensors_open(&s->want, path_of(expected, path), &err))
        fail_msg("%s", err.message);
    const sg_adapter_host host = sg_t5_host(s->m);
    if ((adapter && sg_adapter_open(&s->a, path_of(adapter, path), &host, &err)) ||
        (!learns && !adapter ? SG_OK : sg_params_need_grads(s->a ? &s->a->params : &s->d->params, &err)) ||
        sg_graph_new(&s->g, s->pool, SG_F32, &err))
        fail_msg("%s", err.message);
    sg_seq2seq_adapt(s->d, s->a);
}

static void open_all(setup *s, const char *name, const char *adapter, bool learns)
{
    open_as(s, name, adapter, learns, false);
}

static void close_all(setup *s)
{
    sg_graph_free(s->g);
    sg_tensors_close(s->want);
    sg_adapter_free(s->a);
    sg_seq2seq_free(s->d);
    sg_t5_close(s->m);
    sg_pool_free(s->pool);
}

static sg_seq2seq_batch whole_batch(bool recompute)
{
    return (sg_seq2seq_batch){.batch = 2,
                              .n_read = READ,
                              .n_write = WRITE,
                              .read = read_ids,
                              .read_offsets = read_offsets,
                              .write = write_ids,
                              .write_offsets = write_offsets,
                              .recompute = recompute};
}

static float run(setup *s, bool recompute, bool backward)
{
    const sg_seq2seq_batch b = whole_batch(recompute);
    sg_error err;
    sg_tensor *loss;

    if (backward)
        sg_params_zero_grads(s->a ? &s->a->params : &s->d->params);
    sg_graph_begin(s->g, backward ? SG_TRAIN : SG_INFER, 1, 1);
    loss = sg_seq2seq_loss(s->g, s->d, sg_seq2seq_states(s->g, s->d, &b), target, 0);
    if (sg_graph_status(s->g, &err) || (backward && sg_backward(s->g, loss, &err)))
        fail_msg("%s", err.message);
    return loss->data[0];
}

/* The model that only reads, with s->a beside it, gives the loss. */
static void check_reading(setup *s, const float *want)
{
    double sum = 0;
    sg_desk *desk;
    sg_error err;

    sg_t5_adapt(s->m, s->a);
    assert_int_equal(sg_t5_desk(&desk, s->m, 16, s->pool, &err), SG_OK);
    for (int i = 0; i < 2; i++) {
        const int n = write_offsets[i + 1] - write_offsets[i];
        int32_t id[WRITE];
        double logp[WRITE] = {0};
        float logits[40];
        int text, known;

        memcpy(id, write_ids + write_offsets[i], (size_t)n * sizeof *id);
        assert_int_equal(sg_desk_begin(desk, &text, &known, read_ids + read_offsets[i],
                                       read_offsets[i + 1] - read_offsets[i], &err),
                         SG_OK);
        assert_int_equal(
            sg_desk_read(desk, &(sg_piece){.text = text, .id = id, .n = n, .logp = logp, .logits = logits}, 1,
                         &err),
            SG_OK);
        for (int t = 1; t < n; t++)
            sum -= logp[t];
        sum -= sg_token_logp(logits, 40, target[write_offsets[i + 1] - 1]);
        sg_desk_close(desk, text);
    }
    sg_desk_free(desk);
    const float read = (float)(sum / WRITE);
    near_all(near, "loss of reading", &read, want, 1);
}

/* Bytes that the decoder's layers leave for the way back. */
static size_t kept_by_decoder(setup *s, bool recompute)
{
    sg_seq2seq_batch b = whole_batch(recompute);
    size_t used[2];
    sg_error err;

    for (int states = 0; states < 2; states++) {
        sg_graph_begin(s->g, SG_TRAIN, 1, 1);
        sg_tensor *x = states ? sg_seq2seq_states(s->g, s->d, &b) : sg_seq2seq_encode(s->g, s->d, &b);
        if (!x || sg_graph_status(s->g, &err))
            fail_msg("no states");
        used[states] = sg_arena_used(sg_graph_arena(s->g));
    }
    return used[1] - used[0];
}

/* Layers made again on the way back: the same loss, the same bytes of gradients. */
static void check_recompute(setup *s, float loss)
{
    const sg_params *ps = s->a ? &s->a->params : &s->d->params;
    float *grad = gradients_of(ps);

    assert_true(run(s, true, true) == loss);
    same_gradients(grad, ps);
    assert_true(kept_by_decoder(s, true) <
                kept_by_decoder(s, false) / 3); /* a row a token and layer, the words and the last norm */
}

static void check(const char *name)
{
    setup s;

    open_all(&s, name, NULL, true);
    const float loss = run(&s, false, true);
    near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.d->params, "", false);
    check_recompute(&s, loss);
    check_reading(&s, need(s.want, "loss", 1));
    close_all(&s);
}

static void relu_and_one_table(void **state)
{
    (void)state;
    check("t5");
}

static void gated_gelu_and_an_output_of_its_own(void **state)
{
    (void)state;
    check("t5v11");
}

static void check_adapter(const char *name, const char *adapter, bool head)
{
    setup s, merged;
    sg_error err;

    open_all(&s, name, adapter, false);
    const float loss = run(&s, false, true);
    near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
    check_gradients(near, s.want, &s.a->params, "", true);
    check_recompute(&s, loss);
    for (size_t i = 0; i < s.d->params.n; i++)
        assert_null(s.d->params.list[i]->grad);
    check_reading(&s, need(s.want, "loss", 1));

    open_as(&merged, name, NULL, true, head);
    assert_true(!head || merged.d->output != merged.d->words);
    assert_int_equal(sg_adapter_merge(&merged.d->params, s.a, s.pool, &err), SG_OK);
    if (head)
        sg_seq2seq_unscale(merged.d);
    const float whole = run(&merged, false, false);
    near_all(near, "loss of merged weights", &whole, need(s.want, "loss", 1), 1);
    close_all(&merged);
    close_all(&s);
}

static void low_rank_parts_of_peft(void **state)
{
    (void)state;
    check_adapter("t5", "t5lora", false);
    check_adapter("t5v11", "t5v11lora", false);
    check_adapter("t5", "t5head", true);
    check_adapter("t5v11", "t5v11head", true);
}

/* Layers behind attention (of both kinds) and feed-forward. */
static void layers_behind_layers(void **state)
{
    (void)state;
    static const char *const models[] = {"t5", "t5v11"};

    for (int i = 0; i < 2; i++) {
        char adapter[40];
        setup s;

        snprintf(adapter, sizeof adapter, "%sbottleneck", models[i]);
        open_all(&s, models[i], adapter, false);
        assert_int_equal(s.a->params.n, 4 * (2 + 3 + 3)); /* a layer of the encoder, two of the decoder */
        const float loss = run(&s, false, true);
        near_all(near, "loss", &loss, need(s.want, "loss", 1), 1);
        check_gradients(near, s.want, &s.a->params, "", true);
        check_recompute(&s, loss);
        check_reading(&s, need(s.want, "loss", 1));
        close_all(&s);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    const int32_t bad[READ] = {40};
    const sg_seq2seq_batch b = {.batch = 2,
                                .n_read = READ,
                                .n_write = WRITE,
                                .read = bad,
                                .read_offsets = read_offsets,
                                .write = write_ids,
                                .write_offsets = write_offsets};
    sg_adapter *a;
    setup s;
    char path[300];
    sg_error err;

    open_all(&s, "t5", NULL, false);
    sg_graph_begin(s.g, SG_INFER, 1, 1);
    assert_null(sg_seq2seq_states(s.g, s.d, &b));
    assert_int_equal(sg_graph_status(s.g, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "token 0: expected a number below 40, found 40");
    const sg_adapter_host host = sg_t5_host(s.m);
    assert_int_equal(sg_adapter_open(&a, path_of("t5v11lora", path), &host, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(
        err.message, "DenseReluDense.wi_0.lora_A.weight': expected low-rank parts of a model of 2 layers"));
    assert_int_equal(sg_adapter_open(&a, path_of("prompt", path), &host, &err), SG_ERR_FORMAT);
    assert_non_null(
        strstr(err.message, "'peft_type': expected LORA or BOTTLENECK beside a T5, found PROMPT_TUNING"));
    close_all(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu_and_one_table),     cmocka_unit_test(gated_gelu_and_an_output_of_its_own),
        cmocka_unit_test(low_rank_parts_of_peft), cmocka_unit_test(layers_behind_layers),
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
