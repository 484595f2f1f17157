/* tiny.h - a dataset in memory with a pattern that can be learned: item i is followed by item i + 1 (mod n), mostly. */
#ifndef TESTS_TINY_H
#define TESTS_TINY_H

#include "base/alloc.h"
#include "base/rng.h"
#include "math/graph.h"
#include "models/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct tiny {
    sg_dataset data;
    sg_split *split;
    sg_ids ids;
    sg_train_data train;
    int64_t *user_offsets;
    int32_t *item;
    int32_t *codes;
    char *names;
    int64_t *name_offsets;
} tiny;

static inline sg_strings tiny_names(tiny *t, int n)
{
    char *p = t->names;

    t->name_offsets[0] = 0;
    for (int i = 0; i < n; i++) {
        p += sprintf(p, "n%d", i);
        t->name_offsets[i + 1] = p - t->names;
    }
    return (sg_strings){.n = (size_t)n, .bytes = t->names, .offsets = t->name_offsets};
}

/* Codes: two levels of `width`, item i = (i / width, i % width), then a collision digit of size 1 + (i is last). */
static inline void tiny_new(tiny *t, int n_users, int n_items, int length_most, int width)
{
    sg_error err = {0};
    const int most = n_users > n_items ? n_users : n_items;

    memset(t, 0, sizeof *t);
    t->names = sg_alloc((size_t)most * 12);
    t->name_offsets = sg_alloc_zero((size_t)most + 1, sizeof *t->name_offsets);
    t->user_offsets = sg_alloc_zero((size_t)n_users + 1, sizeof *t->user_offsets);
    t->item = sg_alloc_zero((size_t)n_users * (size_t)length_most, sizeof *t->item);
    for (int u = 0; u < n_users; u++) {
        const int len = 4 + (int)sg_rng_below((uint64_t)length_most - 3, 7, SG_RNG_TEST, 1, (uint64_t)u);
        int32_t at = (int32_t)sg_rng_below((uint64_t)n_items, 7, SG_RNG_TEST, 2, (uint64_t)u);

        for (int i = 0; i < len; i++) {
            t->item[t->user_offsets[u] + i] = at;
            at = sg_rng_float(7, SG_RNG_TEST, (uint64_t)u + 100, (uint64_t)i) < 0.9f
                     ? (at + 1) % n_items
                     : (int32_t)sg_rng_below((uint64_t)n_items, 7, SG_RNG_TEST, (uint64_t)u + 5000,
                                             (uint64_t)i);
        }
        t->user_offsets[u + 1] = t->user_offsets[u] + len;
    }
    const sg_strings names = tiny_names(t, most);
    t->data = (sg_dataset){.dir = (char *)"tiny",
                           .name = (char *)"tiny",
                           .sha256 = "0123456789012345678901234567890123456789012345678901234567890123",
                           .n_users = n_users,
                           .n_items = n_items,
                           .n_events = t->user_offsets[n_users],
                           .user_offsets = t->user_offsets,
                           .item = t->item,
                           .user_ids = {(size_t)n_users, names.bytes, names.offsets},
                           .item_ids = {(size_t)n_items, names.bytes, names.offsets}};
    t->codes = sg_alloc_zero((size_t)n_items * 3, sizeof *t->codes);
    for (int i = 0; i < n_items; i++) {
        t->codes[3 * i] = i / width;
        t->codes[3 * i + 1] = i % width;
    }
    t->ids = (sg_ids){
        .n = n_items, .levels = 3, .size = {(n_items + width - 1) / width, width, 2}, .codes = t->codes};
    const sg_split_spec loo = {.kind = SG_SPLIT_LOO, .text = "loo"};
    assert_int_equal(sg_split_new(&t->split, &t->data, &loo, &err), SG_OK);
    t->train = (sg_train_data){.data = &t->data, .split = t->split, .ids = &t->ids};
}

/* IDs of one, two and three codes: item 0 has a first code of its own, every third of the others a digit, the rest ends before it. */
static inline void tiny_let_end(tiny *t)
{
    const int32_t first = t->ids.size[0]++, end = t->ids.size[1]++;

    t->ids.ends = true;
    for (int32_t i = 0; i < t->ids.n; i++) {
        int32_t *code = t->codes + 3 * (size_t)i;

        code[0] = i ? code[0] : first;
        code[1] = i ? code[1] : end;
        code[2] = i % 3 || !i;
    }
}

static inline void tiny_free(tiny *t)
{
    sg_split_free(t->split);
    sg_free(t->names);
    sg_free(t->name_offsets);
    sg_free(t->user_offsets);
    sg_free(t->item);
    sg_free(t->codes);
}

/* A built model with options "a=1,b=2". */
static inline sg_model *tiny_model(tiny *t, const char *name, const char *options, uint64_t seed)
{
    sg_error err = {0};
    sg_model *m = NULL;
    const sg_model_class *class = sg_model_class_find(name, &err);
    char text[512];

    assert_non_null(class);
    assert_int_equal(sg_model_new(&m, class, &err), SG_OK);
    snprintf(text, sizeof text, "%s", options);
    for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
        if (sg_options_assign(m->config, class->options, class->n_options, p, &err))
            fail_msg("%s", err.message);
    if (sg_model_build(m, &t->train, seed, &err))
        fail_msg("%s", err.message);
    return m;
}

/* The loss of the first n examples, without dropout. */
static inline double tiny_loss(sg_model *m, int n)
{
    sg_error err = {0};
    sg_graph *g;
    uint32_t example[64];
    double value;

    assert_in_range(n, 0, 64);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_INFER, 1, 0);
    for (int i = 0; i < n; i++)
        example[i] = (uint32_t)i;
    const sg_tensor *loss = m->class->loss(m, g, example, n, 1, 0);
    if (sg_graph_status(g, &err))
        fail_msg("%s", err.message);
    value = loss->data[0];
    sg_graph_free(g);
    return value;
}

static inline sg_status tiny_ask(sg_model *m, const sg_histories *h, float *scores, sg_error *err)
{
    sg_session *s;
    sg_status st;

    assert_int_equal(sg_session_new(&s, m, NULL, err), SG_OK);
    st = m->class->score(s, h, scores, err);
    sg_session_free(s);
    return st;
}

/* Scores of all items after each history. */
static inline void tiny_score(sg_model *m, const sg_histories *h, float *scores)
{
    sg_error err = {0};

    if (tiny_ask(m, h, scores, &err))
        fail_msg("%s", err.message);
}

/* Mean over events 1 .. end - 1 of the first user of -log softmax of the scores after the events before it. */
static inline double tiny_prefix_loss(sg_model *m, const tiny *t, int end)
{
    const int n = m->n_items;
    double sum = 0;
    float *scores = sg_alloc_array((size_t)n, sizeof *scores);

    assert_non_null(scores);
    for (int e = 1; e < end; e++) {
        double most = -1e30, total = 0;

        tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, e}, .item = t->item}, scores);
        for (int i = 0; i < n; i++)
            most = scores[i] > most ? scores[i] : most;
        for (int i = 0; i < n; i++)
            total += exp(scores[i] - most);
        sum += most + log(total) - scores[t->item[e]];
    }
    sg_free(scores);
    return sum / (end - 1);
}

/* Mean cross-entropy in training equals -log softmax of the scores asked prefix by prefix. Positions count from the end, so one event only has the
 * same in both, and a user is known in one of them: their vectors are zeroed to compare. epoch: of a model that learns something else before. */
static inline void tiny_check_prefixes(const char *class, const char *options, int epoch)
{
    static const char *const zeroed[] = {"position.weight", "user.weight"};
    sg_error err = {0};
    tiny t;
    size_t n;

    tiny_new(&t, 1, 12, 9, 4);
    t.split->train_end[0] = t.user_offsets[1] < 7 ? t.user_offsets[1] : 7;
    sg_model *m = tiny_model(&t, class, options, 3);
    for (int i = 0; i < 2; i++) {
        sg_param *p = sg_params_find(&m->params, zeroed[i]);

        if (!p)
            continue;
        memset(p->value, 0, p->count * sizeof(float));
        p->version++;
    }
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
    assert_int_equal(n, 1);
    m->epoch = epoch;
    assert_true(fabs(tiny_loss(m, 1) - tiny_prefix_loss(m, &t, (int)t.split->train_end[0])) < 1e-4);
    sg_model_free(m);
    tiny_free(&t);
}

/* Gradients of every weight against central differences of the loss of 6 examples, at a few places of each. Sparse tables
 * have a gradient in the rows of the step alone. */
static inline void tiny_check_gradient_of(tiny *t, const char *class, const char *options)
{
    enum { EXAMPLES = 6, PROBES = 6 };
    sg_error err = {0};
    uint32_t example[EXAMPLES] = {0, 1, 2, 3, 4, 5};
    sg_graph *g;
    size_t n;

    sg_model *m = tiny_model(t, class, options, 3);
    assert_int_equal(m->class->examples(m, &t->train, &n, &err), SG_OK);
    assert_true(n >= EXAMPLES);
    assert_int_equal(sg_params_need_grads(&m->params, &err), SG_OK);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_TRAIN, 1, 0);
    sg_tensor *loss = m->class->loss(m, g, example, EXAMPLES, 1, 0);
    if (sg_graph_status(g, &err) || sg_backward(g, loss, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (uint64_t k = 0; k < PROBES && !p->frozen; k++) {
            const size_t at = (size_t)sg_rng_below(p->count, 1, SG_RNG_TEST, i + 1000, k),
                         d = (size_t)p->dim[p->rank - 1];
            const bool known = !p->sparse || (p->is_touched && p->is_touched[at / d]);
            const double found = known ? (double)p->grad[at] : 0;
            const float keep = p->value[at], step = 4e-3f;

            p->value[at] = keep + step;
            p->version++;
            double slope = tiny_loss(m, EXAMPLES);
            p->value[at] = keep - step;
            p->version++;
            slope = (slope - tiny_loss(m, EXAMPLES)) / (2 * (double)step);
            p->value[at] = keep;
            p->version++;
            /* f32 losses of a few units carry some 1e-6: 3e-4 in the slope; the rest is what the step is too long */
            if (fabs(found - slope) > 3e-4 + 1e-2 * fabs(slope))
                fail_msg("%s[%zu]: gradient %g, slope %g", p->name, at, found, slope);
        }
    }
    sg_graph_free(g);
    sg_model_free(m);
}

static inline void tiny_check_gradient(const char *class, const char *options)
{
    tiny t;

    tiny_new(&t, 10, 12, 12, 4);
    tiny_check_gradient_of(&t, class, options);
    tiny_free(&t);
}

/* A model that reads 8 events: histories of 5, 0 and 25 score alike in one batch and alone, and of the long one
 * the latest 8 matter. */
static inline void tiny_check_batch(const char *class, const char *options)
{
    enum { ITEMS = 20 };
    tiny t;
    float all[3 * ITEMS], one[ITEMS];

    tiny_new(&t, 10, ITEMS, 30, 5);
    sg_model *m = tiny_model(&t, class, options, 3);
    const int64_t offsets[] = {0, 5, 5, 30};
    tiny_score(m, &(sg_histories){.n = 3, .offsets = offsets, .item = t.item}, all);
    for (int i = 0; i < 3; i++) {
        tiny_score(m, &(sg_histories){.n = 1, .offsets = offsets + i, .item = t.item}, one);
        for (int j = 0; j < ITEMS; j++)
            assert_true(one[j] == all[i * ITEMS + j]);
    }
    tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 8}, .item = t.item + 22}, one);
    for (int j = 0; j < ITEMS; j++)
        assert_true(fabsf(one[j] - all[2 * ITEMS + j]) < 1e-5f);
    sg_model_free(m);
    tiny_free(&t);
}

#endif
