/* align.c - whichever allocation or read fails while a judge is opened and measured, pairs are written, the reference is asked and
 * slates are found: a clear error, no leak. */
#include "faults.h"

#include "models/align.h"
#include "models/reward.h"
#include "scratch.h"
#include "tiny.h"

static char judge[SCRATCH_MAX], base[SCRATCH_MAX];

typedef struct parts {
    tiny t;
    float *rating;
    sg_model *m; /* a built onerec without its own reward */
} parts;

static sg_status new_model(sg_model **out, parts *p, const char *const *options, sg_error *err)
{
    const sg_model_class *class = sg_model_class_find("onerec", err);
    sg_status st = sg_model_new(out, class, err);

    for (; !st && *options; options++)
        st = sg_options_assign((*out)->config, class->options, class->n_options, *options, err);
    return st ? st : sg_model_build(*out, &p->t.train, 3, err);
}

static const char *const small[] = {"dim=8",   "layers=1",  "heads=1",     "head_dim=8",
                                    "ffn=8",   "experts=2", "history=4",   "dropout=0",
                                    "items=2", "branch=2",  "list=slates", NULL};

static sg_status align(void *ctx, sg_error *err)
{
    parts *p = ctx;
    const char *options[24] = {"reward_least=0", "share=0.3", "gap=0", "responses=3"};
    char reward[SCRATCH_MAX + 8], init[SCRATCH_MAX + 8];
    uint32_t example[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    sg_model *m = NULL;
    sg_graph *g = NULL;
    sg_status st;
    size_t n;
    int n_options = 4;

    snprintf(reward, sizeof reward, "reward=%s", judge);
    snprintf(init, sizeof init, "init=%s", base);
    options[n_options++] = reward;
    options[n_options++] = init;
    for (int i = 0; small[i]; i++)
        options[n_options++] = small[i];
    if (!(st = new_model(&m, p, options, err)) && !(st = m->class->examples(m, &p->t.train, &n, err)) &&
        !(st = sg_graph_new(&g, NULL, SG_F32, err))) {
        sg_graph_begin(g, SG_TRAIN, 1, 0);
        m->class->loss(m, g, example, 8, 1, 0);
        st = sg_graph_status(g, err);
    }
    sg_graph_free(g);
    sg_model_free(m);
    return st;
}

static sg_status recommend(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_session *s = NULL;
    int32_t item[2 * 4];
    float score[2 * 4];
    sg_status st = sg_session_new(&s, p->m, NULL, err);

    if (!st) {
        s->beam = 3;
        st = sg_session_recommend(s,
                                  &(sg_histories){.n = 2, .offsets = (int64_t[]){0, 3, 5}, .item = p->t.item},
                                  &(sg_filter){.seen = true}, 4, item, score, err);
    }
    sg_session_free(s);
    return st;
}

static void every_fault_is_survived(void **state)
{
    parts *p = *state;

    assert_true(faults_walk(FAULTS_ALLOC, align, NULL, p) > 40);
    assert_true(faults_walk(FAULTS_IO, align, NULL, p) > 3);
    assert_true(faults_walk(FAULTS_ALLOC, recommend, NULL, p) > 5);
}

static int setup(void **state)
{
    static parts p;
    sg_error err = {0};

    if (scratch_make(judge, "align") || scratch_make(base, "align"))
        return -1;
    tiny_new(&p.t, 12, 10, 8, 4);
    p.rating = sg_alloc_array((size_t)p.t.data.n_events, sizeof *p.rating);
    for (int64_t e = 0; p.rating && e < p.t.data.n_events; e++)
        p.rating[e] = (float)(1 + e % 5);
    p.t.data.rating = p.rating;
    sg_model *m = tiny_model(&p.t, "onerec-reward", "dim=8 heads=1 hidden=4 items=2 history=4 item_sd=1", 3);
    const sg_status st = sg_model_save(m, judge, &err);
    sg_model_free(m);
    if (st || new_model(&p.m, &p, small, &err) || sg_model_save(p.m, base, &err))
        return -1;
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    parts *p = *state;

    sg_model_free(p->m);
    sg_free(p->rating);
    tiny_free(&p->t);
    sg_dir_remove(judge, NULL);
    sg_dir_remove(base, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_fault_is_survived)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
