/* contrast.c - an encoder learning from pairs has the loss and the gradients of transformers (contrast.py wrote them); worked on in
 * pieces it has those of all texts at once. */
#include "base/alloc.h"
#include "file/json.h"
#include "lm/contrast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS = 7, N = 29 };
static const int32_t ids[N] = {3, 4, 5, 2, 3, 6, 2, 3, 7, 8, 9, 2, 3, 4, 2, 3, 6, 6, 10, 2, 3, 9, 2, 3, 11, 12, 13, 14, 2};
static const int32_t offsets[TEXTS + 1] = {0, 4, 7, 12, 15, 20, 23, N};

static void near_all(const char *name, const float *x, const float *want, size_t n)
{
    float top = 1e-2f; /* f32 against double through two layers and a division by 0.2 */

    for (size_t i = 0; i < n; i++)
        top = fmaxf(top, fabsf(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i] - want[i]) <= 5e-5f * top))
            fail_msg("%s[%zu]: expected %g, found %g", name, i, (double)want[i], (double)x[i]);
}

static const float *need(const sg_tensors *file, const char *name, const char *part, size_t count)
{
    char full[200];

    snprintf(full, sizeof full, "%s%s", name, part);
    const sg_file_tensor *t = sg_tensors_find(file, full);
    if (!t || t->count != count)
        fail_msg("no tensor '%s' of %zu numbers", full, count);
    return t->data;
}

static void check_gradients(const sg_bert *b, const sg_tensors *file)
{
    for (size_t i = 0; i < b->params.n; i++) {
        const sg_param *p = b->params.list[i];
        const size_t rows = (size_t)p->dim[0], cols = p->rank == 2 ? (size_t)p->dim[1] : 1;

        if (p->rank == 1) {
            near_all(p->name, p->grad, need(file, p->name, "", rows), rows);
            continue;
        }
        float *by_row = sg_alloc_zero(rows, sizeof *by_row), *by_col = sg_alloc_zero(cols, sizeof *by_col);
        assert_true(by_row && by_col);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) {
                by_row[r] += p->grad[r * cols + c];
                by_col[c] += p->grad[r * cols + c];
            }
        near_all(p->name, by_row, need(file, p->name, ".rows", rows), rows);
        near_all(p->name, by_col, need(file, p->name, ".cols", cols), cols);
        sg_free(by_row);
        sg_free(by_col);
    }
}

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
        near_all("loss", &(float){(float)loss}, need(file, "loss", "", 1), 1);
        check_gradients(&b, file);
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
