/* contrast.c - an encoder learning from pairs has the loss and the gradients of transformers (contrast.py wrote them); worked on in
 * pieces it has those of all texts at once. */
#include "gradients.h"

#include "file/json.h"
#include "lm/adapter.h"
#include "lm/contrast.h"

enum { TEXTS = 7, N = 29, SAME_TEXTS = 12, SAME_N = 46 };
static const int32_t ids[N] = {3, 4, 5, 2,  3, 6, 2, 3, 7, 8,  9,  2,  3,  4, 2,
                               3, 6, 6, 10, 2, 3, 9, 2, 3, 11, 12, 13, 14, 2};
static const int32_t offsets[TEXTS + 1] = {0, 4, 7, 12, 15, 20, 23, N};
/* queries 1 and 3 are one, and have two right answers; answers 0 and 2 are one; a further wrong answer is the right one of query 1 */
static const int32_t same_ids[SAME_N] = {3,  4, 5, 2, 3, 6, 2,  3, 7,  8,  9,  2,  3,  6, 2, 3,
                                         10, 2, 3, 4, 2, 3, 6,  6, 10, 2,  3,  4,  2,  3, 9, 2,
                                         3,  5, 2, 3, 6, 6, 10, 2, 3,  11, 12, 13, 14, 2};
static const int32_t same_offsets[SAME_TEXTS + 1] = {0, 4, 7, 12, 15, 18, 21, 26, 29, 32, 35, 40, SAME_N};

static const closeness near = {5e-5f,
                               1e-2f}; /* f32 against double through two layers and a division by 0.2 */

/* A pair by itself, or repeated, has nothing that it could be taken for: no row is asked, and nothing is learned. */
static void check_one_pair(sg_bert *b, sg_graph *g)
{
    static const int32_t id[] = {3, 4, 2, 3, 4, 2, 3, 6, 2, 3, 6, 2}, begin[] = {0, 3, 6, 9, 12};
    const sg_contrast_batch cases[] = {{1, 2, id + 3, begin}, {2, 4, id, begin}};
    const sg_contrast_how how = {.pooler = SG_POOL_MEAN, .temperature = 0.2f, .tokens = 100};
    sg_contrast_told told;
    sg_error err;

    for (int i = 0; i < 2; i++) {
        sg_params_zero_grads(&b->params);
        assert_int_equal(
            sg_contrast_step(&told, g, &(sg_contrast_model){.bert = b}, &cases[i], &how, true, 1, &err),
            SG_OK);
        assert_true(told.loss == 0 && told.asked == 0 && told.correct == 0);
        for (size_t k = 0; k < b->params.n; k++)
            for (size_t j = 0; j < b->params.list[k]->count; j++)
                assert_true(b->params.list[k]->grad[j] == 0);
    }
}

static void check(const char *name)
{
    sg_contrast_how how = {.pooler = SG_POOL_MEAN, .width = {24, 8}, .n_widths = 2, .temperature = 0.2f};
    const struct {
        const char *set;
        sg_contrast_batch batch;
    } cases[] = {{"", {3, TEXTS, ids, offsets}}, {"same.", {5, SAME_TEXTS, same_ids, same_offsets}}};
    char path[300];
    sg_bert_config c;
    sg_bert b;
    sg_tensors *file;
    sg_weights *w;
    sg_graph *g;
    json_t *config;
    sg_error err;

    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s/config.json", name);
    assert_int_equal(sg_json_read(&config, path, 1 << 20, &err), SG_OK);
    assert_int_equal(sg_bert_config_read(&c, config, path, &err), SG_OK);
    json_decref(config);
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s", name);
    if (sg_weights_open(&w, path, &err) || sg_bert_open(&b, &c, w, &err) || sg_bert_learn(&b, &err) ||
        sg_graph_new(&g, NULL, SG_F32, &err))
        fail_msg("%s", err.message);
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s/train.safetensors", name);
    assert_int_equal(sg_tensors_open(&file, path, &err), SG_OK);
    for (int i = 0; i < 2; i++)
        for (how.tokens = 100; how.tokens > 0; how.tokens = how.tokens == 100 ? 9 : how.tokens == 9 ? 1 : 0) {
            sg_contrast_told told, again;

            sg_params_zero_grads(&b.params);
            if (sg_contrast_step(&told, g, &(sg_contrast_model){.bert = &b}, &cases[i].batch, &how, true, 1,
                                 &err))
                fail_msg("%s", err.message);
            assert_int_equal(told.asked, cases[i].batch.pairs);
            assert_in_range(told.correct, 0, told.asked);
            near_all(near, "loss", &(float){(float)told.loss}, need(file, i ? "same.loss" : "loss", 1), 1);
            check_gradients(near, file, &b.params, cases[i].set, false);
            assert_int_equal(sg_contrast_step(&again, g, &(sg_contrast_model){.bert = &b}, &cases[i].batch,
                                              &how, false, 1, &err),
                             SG_OK);
            assert_true(again.loss == told.loss && again.correct == told.correct);
        }
    check_one_pair(&b, g);
    sg_tensors_close(file);
    sg_graph_free(g);
    sg_bert_close(&b);
    sg_weights_close(w);
}

/* The parts of an adapter beside a decoder, over last states, and over means where tokens see both sides; the decoder stays as it is. */
static void decoder(void **state)
{
    (void)state;
    const sg_contrast_batch batch = {3, TEXTS, ids, offsets};
    sg_llama *llama;
    sg_decoder *d = NULL;
    sg_adapter *a = NULL;
    sg_tensors *file = NULL;
    sg_graph *g = NULL;
    sg_error err;

    if (sg_llama_open(&llama, TEST_SOURCE_DIR "/tests/parity/llama", &err) ||
        sg_decoder_new(&d, llama, &(sg_decoder_spec){.learn_from = 2, .keep_bits = true}, NULL, &err) ||
        sg_adapter_open(&a, TEST_SOURCE_DIR "/tests/parity/lora", (sg_adapter_host[]){sg_llama_host(llama)},
                        &err) ||
        sg_params_need_grads(&a->params, &err) || sg_graph_new(&g, NULL, SG_F32, &err) ||
        sg_tensors_open(&file, TEST_SOURCE_DIR "/tests/parity/lora/contrast.safetensors", &err))
        fail_msg("%s", err.message);
    sg_decoder_adapt(d, a);
    for (int both = 0; both < 2; both++)
        for (int tokens = 100; tokens > 0; tokens = tokens == 100 ? 9 : tokens == 9 ? 1 : 0) {
            const char *parts = both ? "both.base_model.model." : "base_model.model.";
            const sg_contrast_model m = {.decoder = d, .both_ways = both};
            const sg_contrast_how how = {.pooler = both ? SG_POOL_MEAN : SG_POOL_LAST,
                                         .width = {24, 8},
                                         .n_widths = 2,
                                         .temperature = 0.2f,
                                         .tokens = tokens};
            sg_contrast_told told;

            sg_params_zero_grads(&a->params);
            if (sg_contrast_step(&told, g, &m, &batch, &how, true, 1, &err))
                fail_msg("%s", err.message);
            near_all(near, "loss", &(float){(float)told.loss}, need(file, both ? "both.loss" : "loss", 1), 1);
            assert_true(a->params.n >= 12);
            check_gradients(near, file, &a->params, parts, true);
        }
    sg_tensors_close(file);
    sg_graph_free(g);
    sg_decoder_free(d);
    sg_adapter_free(a);
    sg_llama_close(llama);
}

static void bert(void **state)
{
    (void)state;
    check("bert");
}

static void roberta(void **state)
{
    (void)state;
    check("roberta");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert),
        cmocka_unit_test(roberta),
        cmocka_unit_test(decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
