/* contrast.c - an encoder learning from pairs has the loss and the gradients of transformers (contrast.py wrote them); worked on in
 * pieces it has those of all texts at once. */
#include "gradients.h"

#include "file/json.h"
#include "lm/contrast.h"

enum { TEXTS = 7, N = 29 };
static const int32_t ids[N] = {3, 4, 5, 2, 3, 6, 2, 3, 7, 8, 9, 2, 3, 4, 2, 3, 6, 6, 10, 2, 3, 9, 2, 3, 11, 12, 13, 14, 2};
static const int32_t offsets[TEXTS + 1] = {0, 4, 7, 12, 15, 20, 23, N};

static const closeness near = {5e-5f, 1e-2f}; /* f32 against double through two layers and a division by 0.2 */

static void check(const char *name)
{
    sg_contrast_how how = {.pooler = SG_POOL_MEAN, .width = {24, 8}, .n_widths = 2, .temperature = 0.2f};
    const sg_contrast_batch batch = {3, TEXTS, ids, offsets};
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
    if (sg_weights_open(&w, path, &err) || sg_bert_open(&b, &c, w, &err) || sg_bert_learn(&b, &err) || sg_graph_new(&g, NULL, SG_F32, &err))
        fail_msg("%s", err.message);
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s/train.safetensors", name);
    assert_int_equal(sg_tensors_open(&file, path, &err), SG_OK);
    for (how.tokens = 100; how.tokens > 0; how.tokens = how.tokens == 100 ? 9 : how.tokens == 9 ? 1 : 0) {
        double loss;
        int correct;

        sg_params_zero_grads(&b.params);
        if (sg_contrast_step(&loss, &correct, g, &b, &batch, &how, true, 1, &err))
            fail_msg("%s", err.message);
        assert_in_range(correct, 0, 3);
        near_all(near, "loss", &(float){(float)loss}, need(file, "loss", 1), 1);
        check_gradients(near, file, &b.params, false);
        double again;
        assert_int_equal(sg_contrast_step(&again, &correct, g, &b, &batch, &how, false, 1, &err), SG_OK);
        assert_true(again == loss);
    }
    sg_tensors_close(file);
    sg_graph_free(g);
    sg_bert_close(&b);
    sg_weights_close(w);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
