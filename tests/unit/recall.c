/* recall.c - pasts between requests: found again by user or history, the latest used within the budget, gone when erased,
 * old or closed; by several threads at once. */
#include "tiny.h"

#include "base/progress.h"
#include "models/past.h"
#include "serve/recall.h"

#include <pthread.h>

enum { ITEMS = 40, N = 12 };

typedef struct bed {
    tiny t;
    sg_model *m;
    sg_session *session;
    sg_recall *r;
} bed;

static void open_bed(bed *b, size_t bytes, double seconds)
{
    sg_error err;

    tiny_new(&b->t, 3, ITEMS, 9, 4);
    b->m = tiny_model(&b->t, "sasrec", "dim=16 layers=1 heads=2 ffn=16 length=20 positions=start", 3);
    assert_int_equal(sg_session_new(&b->session, b->m, NULL, &err), SG_OK);
    assert_int_equal(sg_recall_new(&b->r, b->m, bytes, seconds, &err), SG_OK);
}

static void close_bed(bed *b)
{
    sg_recall_free(b->r);
    sg_session_free(b->session);
    sg_model_free(b->m);
    tiny_free(&b->t);
}

static uint64_t user_of(int u)
{
    char text[20];

    return sg_recall_user((sg_bytes){text, (size_t)snprintf(text, sizeof text, "u%d", u)});
}

/* Reads a history of n events, item `first` and those after it; returns how many of them had been read before. */
static int read_one(sg_recall *r, sg_session *s, uint64_t user, int first, int n, uint64_t ticket)
{
    const int64_t offsets[] = {0, n};
    int32_t item[N], hit;
    float score;
    uint64_t key;
    sg_error err;

    for (int i = 0; i < n; i++)
        item[i] = (first + i) % ITEMS;
    sg_past *p = sg_recall_take(r, user, item, (size_t)n, &key);
    const sg_histories h = {.n = 1, .offsets = offsets, .item = item, .past = &p};

    assert_non_null(p);
    const int had = p->n;
    assert_int_equal(sg_session_recommend(s, &h, NULL, 1, &hit, &score, &err), SG_OK);
    sg_recall_put(r, p, key, ticket);
    return had;
}

static int ask(bed *b, int user, int first, int n)
{
    return read_one(b->r, b->session, user >= 0 ? user_of(user) : 0, first, n, sg_recall_ticket(b->r));
}

static void finds_what_was_read(void **state)
{
    bed b;

    (void)state;
    open_bed(&b, 1 << 20, 1e9);
    assert_int_equal(ask(&b, 1, 0, 5), 0);
    assert_int_equal(ask(&b, 1, 0, 6), 5);
    assert_int_equal(ask(&b, 2, 0, 6), 0); /* another user's is another's */
    assert_int_equal(ask(&b, -1, 0, 5), 0);
    assert_int_equal(ask(&b, -1, 0, 5), 5); /* a history: the same, one longer, some longer */
    assert_int_equal(ask(&b, -1, 0, 6), 5);
    assert_int_equal(ask(&b, -1, 0, 10), 6);
    assert_int_equal(ask(&b, -1, 1, 6), 0);
    const sg_recall_counts c = sg_recall_count(b.r);

    assert_int_equal(c.hits, 4);
    assert_int_equal(c.misses, 4);
    assert_int_equal(c.pasts, 4);
    assert_true(c.bytes > 0 && c.evictions == 0 && c.forgotten == 0);
    close_bed(&b);
}

static void the_latest_used_stay_within_the_budget(void **state)
{
    bed b;
    size_t one;

    (void)state;
    open_bed(&b, 1 << 20, 1e9);
    ask(&b, 0, 0, 8);
    one = sg_recall_count(b.r).bytes;
    close_bed(&b);

    open_bed(&b, 4 * one, 1e9);
    for (int u = 0; u < 200; u++) {
        ask(&b, u, 0, 8);
        ask(&b, 0, 0, 8); /* asked for all the time */
        assert_true(sg_recall_count(b.r).bytes <= 4 * one);
    }
    assert_int_equal(ask(&b, 0, 0, 8), 8);
    assert_int_equal(ask(&b, 199, 0, 8), 8);
    assert_int_equal(ask(&b, 20, 0, 8), 0);
    assert_int_equal(sg_recall_count(b.r).pasts, 4);
    assert_true(sg_recall_count(b.r).evictions >= 195);
    close_bed(&b);

    open_bed(&b, one - 1, 1e9); /* not even one */
    assert_int_equal(ask(&b, 0, 0, 8), 0);
    assert_int_equal(ask(&b, 0, 0, 8), 0);
    assert_int_equal(sg_recall_count(b.r).bytes, 0);
    close_bed(&b);
}

static void many_are_found(void **state)
{
    enum { MANY = 1000 };
    bed b;

    (void)state;
    open_bed(&b, 1 << 26, 1e9);
    for (int u = 0; u < MANY; u++)
        assert_int_equal(ask(&b, u, u, 3), 0);
    for (int u = 0; u < MANY; u++)
        assert_int_equal(ask(&b, u, u, 4), 3);
    close_bed(&b);
}

static void the_erased_are_gone(void **state)
{
    bed b;

    (void)state;
    open_bed(&b, 1 << 20, 1e9);
    ask(&b, 1, 0, 5);
    ask(&b, 2, 0, 5);
    const uint64_t before = sg_recall_ticket(b.r);

    sg_recall_forget(b.r, user_of(1));
    assert_int_equal(sg_recall_count(b.r).pasts, 1);
    /* a request that looked the user up before the erasure and ends after it */
    read_one(b.r, b.session, user_of(1), 0, 5, before);
    assert_int_equal(sg_recall_count(b.r).pasts, 1);
    assert_int_equal(ask(&b, 1, 0, 5), 0);
    assert_int_equal(ask(&b, 2, 0, 5), 5);
    close_bed(&b);
}

static void what_nobody_asks_for_goes(void **state)
{
    bed b;

    (void)state;
    open_bed(&b, 1 << 20, 100);
    ask(&b, 1, 0, 5);
    sg_recall_sweep(b.r, sg_now() + 50);
    assert_int_equal(sg_recall_count(b.r).pasts, 1);
    sg_recall_sweep(b.r, sg_now() + 101);
    assert_int_equal(sg_recall_count(b.r).pasts, 0);
    assert_int_equal(sg_recall_count(b.r).bytes, 0);
    assert_int_equal(sg_recall_count(b.r).forgotten, 1);
    close_bed(&b);
}

static void a_closed_one_keeps_nothing(void **state)
{
    bed b;

    (void)state;
    open_bed(&b, 1 << 20, 100);
    ask(&b, 1, 0, 5);
    sg_recall_close(b.r);
    assert_int_equal(sg_recall_count(b.r).pasts, 0);
    assert_int_equal(ask(&b, 1, 0, 5), 0); /* on the old model, still */
    assert_int_equal(sg_recall_count(b.r).pasts, 0);
    close_bed(&b);
}

static void nothing_is_kept_where_nothing_can_be(void **state)
{
    tiny t;
    sg_recall *r;
    sg_error err;

    (void)state;
    tiny_new(&t, 3, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "sasrec", "dim=16", 3); /* positions from the end */
    assert_int_equal(sg_recall_new(&r, m, 1 << 20, 100, &err), SG_OK);
    assert_null(r);
    sg_recall_forget(r, 1);
    sg_recall_sweep(r, 1e9);
    sg_recall_close(r);
    assert_int_equal(sg_recall_count(r).pasts, 0);
    sg_recall_free(r);
    sg_model_free(m);
    tiny_free(&t);
}

/* ---- threads --------------------------------------------------------------------------------------------- */
enum { THREADS = 4, TURNS = 400 };

typedef struct runner {
    bed *b;
    pthread_t thread;
    int number;
} runner;

static void *run(void *ctx)
{
    const runner *w = ctx;
    sg_session *s;
    sg_error err;

    if (sg_session_new(&s, w->b->m, NULL, &err))
        return (void *)1;
    for (int i = 0; i < TURNS; i++) { /* few users, so that they meet */
        const int user = (int)sg_rng_below(6, 1, SG_RNG_TEST, (uint64_t)w->number, (uint64_t)i);

        read_one(w->b->r, s, user_of(user), 0, 2 + i % 8, sg_recall_ticket(w->b->r));
        if (i % 50 == 7)
            sg_recall_forget(w->b->r, user_of(user));
        if (i % 50 == 9)
            sg_recall_sweep(w->b->r, sg_now());
    }
    sg_session_free(s);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    runner w[THREADS];
    bed b;

    (void)state;
    open_bed(&b, 8192, 1e9);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (runner){.b = &b, .number = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, run, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;

        pthread_join(w[i].thread, &failed);
        assert_null(failed);
    }
    const sg_recall_counts c = sg_recall_count(b.r);

    assert_int_equal(c.hits + c.misses, THREADS * TURNS);
    assert_true(c.bytes <= 8192);
    close_bed(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_read),
        cmocka_unit_test(the_latest_used_stay_within_the_budget),
        cmocka_unit_test(many_are_found),
        cmocka_unit_test(the_erased_are_gone),
        cmocka_unit_test(what_nobody_asks_for_goes),
        cmocka_unit_test(a_closed_one_keeps_nothing),
        cmocka_unit_test(nothing_is_kept_where_nothing_can_be),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
