/* past.c - the n-th allocation fails, for every n, while a history is read, kept, found again and continued: a clean error,
 * nothing left, and answers that are right as soon as there is memory. */
#include "tiny.h"

#include "fault/faults.h"
#include "models/past.h"
#include "serve/recall.h"

enum { ITEMS = 40, N = 9, K = 5 };

static const int32_t history[N] = {3, 14, 15, 9, 26, 5, 35, 8, 39};
static const int64_t times[N] = {10, 20, 30, 40, 50, 60, 70, 80, 90};

static sg_status ask(sg_session *s, int n, sg_past *past, int32_t *item, sg_error *err)
{
    const int64_t offsets[] = {0, n};
    const sg_histories h = {
        .n = 1, .offsets = offsets, .item = history, .timestamp = times, .past = past ? &past : NULL};
    float score[K];

    return sg_session_recommend(s, &h, NULL, K, item, score, err);
}

typedef struct walk {
    sg_model *m;
    int32_t want[K];
} walk;

/* Where a past is done without because there is no memory for it, this says so: the walk looks for every fault. */
static sg_status keep_and_continue(void *ctx, sg_error *err)
{
    const walk *w = ctx;
    sg_session *s = NULL;
    sg_recall *r = NULL;
    int32_t item[K];
    uint64_t key;
    sg_status st;

    if ((st = sg_recall_new(&r, w->m, 1 << 20, 100, err)) || (st = sg_session_new(&s, w->m, NULL, err)))
        goto done;
    for (int n = N - 3; !st && n <= N; n += 3) {
        sg_past *p = sg_recall_take(r, 0, history, (size_t)n, &key);

        if (!p) {
            st = sg_fail_memory(err, "past");
        } else if ((st = ask(s, n, p, item, err))) {
            sg_recall_drop(r, p);
        } else {
            sg_recall_put(r, p, key, sg_recall_ticket(r));
            if (sg_recall_count(r).pasts != 1)
                st = sg_fail_memory(err, "past");
        }
    }
    if (!st) {
        assert_int_equal(sg_recall_count(r).hits, 1);
        assert_memory_equal(item, w->want, sizeof item);
    }
done:
    sg_session_free(s);
    sg_recall_free(r);
    return st;
}

/* Step memory does with less where there is not as much as it would like: such a fault is none, so the walk goes on. */
static void walk_all(walk *w)
{
    const uint64_t before = sg_alloc_calls();
    const int64_t live = sg_alloc_live();
    int failed = 0;

    assert_int_equal(keep_and_continue(w, NULL), SG_OK);
    const int calls = (int)(sg_alloc_calls() - before);

    for (int n = 1; n <= calls; n++) {
        sg_error err = {0};
        sg_status st;

        faults_set(FAULTS_ALLOC, (uint64_t)n);
        st = keep_and_continue(w, &err);
        faults_set(FAULTS_ALLOC, 0);
        if (st && (st != SG_ERR_MEMORY || err.status != st))
            fail_msg("fault %d: status %d, '%s'", n, (int)st, err.message);
        if (sg_alloc_live() != live)
            fail_msg("fault %d leaks %d blocks", n, (int)(sg_alloc_live() - live));
        failed += st != SG_OK;
    }
    assert_true(failed >= 15);
}

static void keeping_and_continuing_survives(void **state)
{
    static const char *const kinds[][2] = {
        {"sasrec", "dim=16 layers=2 heads=2 ffn=16 length=20 positions=start"},
        {"hstu", "dim=12 blocks=2 heads=2 dqk=6 dv=6 length=20"},
        {"gru4rec", "dim=12 hidden=12 layers=2 length=20"},
        {"tiger", "dim=8 layers=1 heads=1 head_dim=8 ffn=8 history=12"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        sg_session *s;
        sg_error err;
        tiny t;
        walk w;

        tiny_new(&t, 3, ITEMS, 9, 4);
        w.m = tiny_model(&t, kinds[i][0], kinds[i][1], 3);
        assert_int_equal(sg_session_new(&s, w.m, NULL, &err), SG_OK);
        assert_int_equal(ask(s, N, NULL, w.want, &err), SG_OK); /* packs the weights, too, which then stay */
        sg_session_free(s);
        walk_all(&w);
        sg_model_free(w.m);
        tiny_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeping_and_continuing_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
