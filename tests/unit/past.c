/* past.c - what pasts promise: a history that is continued scores as one that is read from the beginning, to the last
 * digit, whatever was read before and in whatever company; and new events are all that is read. */
#include "tiny.h"

#include "models/past.h"

enum { ITEMS = 40, MOST = 64, K = 10, ROWS = 4 };

static void shake(sg_model *m)
{
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (size_t j = 0; j < p->count; j++)
            p->value[j] += 0.3f * (float)sg_rng_normal(3, SG_RNG_TEST, i, j);
        p->version++;
    }
}

typedef struct shelf { /* histories that grow */
    sg_model *m;
    sg_session *session;
    sg_past *past[ROWS];
    int32_t item[ROWS][MOST];
    int64_t time[ROWS][MOST];
    int n[ROWS];
    bool timed;
} shelf;

/* Lists of `rows` histories, from the beginning or by their pasts. */
static void ask(shelf *s, int rows, bool kept, int32_t *item, float *score)
{
    static int32_t items[ROWS * MOST], user[ROWS];
    static int64_t times[ROWS * MOST], offsets[ROWS + 1];
    const sg_filter f = {.seen = true};
    sg_histories h = {.n = rows,
                      .offsets = offsets,
                      .item = items,
                      .timestamp = s->timed ? times : NULL,
                      .user = user,
                      .past = kept ? s->past : NULL};
    sg_error err;

    for (int i = 0; i < rows; i++) {
        user[i] = i - 1;
        memcpy(items + offsets[i], s->item[i], (size_t)s->n[i] * sizeof *items);
        memcpy(times + offsets[i], s->time[i], (size_t)s->n[i] * sizeof *times);
        offsets[i + 1] = offsets[i] + s->n[i];
    }
    if (sg_session_recommend(s->session, &h, &f, K, item, score, &err))
        fail_msg("%s", err.message);
}

static void same_answers(shelf *s, int rows)
{
    int32_t item[2][ROWS * K];
    float score[2][ROWS * K];

    ask(s, rows, false, item[0], score[0]);
    ask(s, rows, true, item[1], score[1]);
    assert_memory_equal(item[0], item[1], (size_t)rows * K * sizeof(int32_t));
    assert_memory_equal(score[0], score[1], (size_t)rows * K * sizeof(float));
}

static void add_events(shelf *s, int row, int n, uint64_t draw)
{
    for (int i = 0; i < n && s->n[row] < MOST; i++, s->n[row]++) {
        const uint64_t at = (uint64_t)s->n[row];

        s->item[row][at] = (int32_t)sg_rng_below(ITEMS, draw, SG_RNG_TEST, (uint64_t)row, at);
        /* now and then a time falls: models raise it */
        s->time[row][at] =
            978300000 + (int64_t)at * 1000 + (int64_t)sg_rng_below(3000, draw, SG_RNG_TEST, 50, at);
    }
}

/* options with "ends": IDs of several lengths. */
static void open_shelf(shelf *s, tiny *t, const char *class, const char *options, bool timed)
{
    const bool ends = strncmp(options, "ends ", 5) == 0;
    sg_error err;

    *s = (shelf){.timed = timed};
    tiny_new(t, 3, ITEMS, 9, 4);
    if (ends)
        tiny_let_end(t);
    s->m = tiny_model(t, class, ends ? options + 5 : options, 3);
    shake(s->m);
    assert_true(sg_model_keeps(s->m));
    assert_int_equal(sg_session_new(&s->session, s->m, NULL, &err), SG_OK);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(sg_past_new(&s->past[i], s->m, &err), SG_OK);
}

static void close_shelf(shelf *s, tiny *t)
{
    for (int i = 0; i < ROWS; i++)
        sg_past_free(s->past[i]);
    sg_session_free(s->session);
    sg_model_free(s->m);
    tiny_free(t);
}

typedef struct kind {
    const char *class, *options;
    bool timed;
} kind;

static const kind kinds[] = {
    {"sasrec", "dim=24 layers=2 heads=2 ffn=40 length=20 positions=start", false},
    {"sasrec",
     "dim=32 layers=3 heads=2 ffn=40 length=20 positions=start step=5 gate=true gated=true act=silu", false},
    {"sasrec", "dim=32 layers=0 heads=2 ffn=40 length=20 positions=start", false},
    {"hstu", "dim=20 blocks=2 heads=2 dqk=6 dv=7 length=20", true},
    {"hstu", "dim=20 blocks=2 heads=2 dqk=6 dv=7 length=20 step=4", true},
    {"hstu", "dim=20 blocks=3 heads=1 dqk=16 dv=16 length=20 bias=position loss=ce", false},
    {"hstu", "dim=20 blocks=2 heads=2 dqk=6 dv=7 length=20 softmax=true step=20", true},
    {"gru4rec", "dim=12 hidden=20 layers=1 length=20", false},
    {"gru4rec", "dim=12 hidden=18 layers=3 length=20 step=6", false},
    {"tiger", "dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=10", false},
    {"tiger",
     "dim=16 layers=2 heads=2 head_dim=16 ffn=24 history=10 step=5 prefix_vectors=true softmax=legal", false},
    {"tiger",
     "dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=10 user_tokens=5 cross_bias=false gated=true", false},
    {"tiger", "dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=10 step=5 user_tokens=5 leaf=shared", false},
    {"tiger", "ends dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=10 user_tokens=5", false},
    {"tiger",
     "ends dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=10 step=5 prefix_vectors=true softmax=legal",
     false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void every_event_that_comes_is_read_alone_and_answers_are_the_same(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        tiny t;
        shelf s;

        open_shelf(&s, &t, kinds[k].class, kinds[k].options, kinds[k].timed);
        add_events(&s, 0, 1, 1);
        while (s.n[0] < MOST) {
            same_answers(&s, 1); /* the second answer of the same history, too */
            same_answers(&s, 1);
            add_events(&s, 0, s.n[0] % 7 ? 1 : 3, 1);
        }
        close_shelf(&s, &t);
    }
}

static void company_does_not_matter(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        tiny t;
        shelf s;

        open_shelf(&s, &t, kinds[k].class, kinds[k].options, kinds[k].timed);
        for (int i = 0; i < ROWS; i++)
            add_events(&s, i, 1 + 5 * i, 2);
        for (int turn = 0; turn < 12; turn++) {
            same_answers(&s, 1 + turn % ROWS);
            for (int i = 0; i < ROWS; i++)
                add_events(&s, i, (turn + i) % 3, 2);
        }
        close_shelf(&s, &t);
    }
}

/* Other events than those that were read, in the middle, at the end or everywhere; fewer than were read. */
static void what_changed_is_read_anew(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        tiny t;
        shelf s;

        open_shelf(&s, &t, kinds[k].class, kinds[k].options, kinds[k].timed);
        add_events(&s, 0, 9, 3);
        same_answers(&s, 1);
        s.item[0][4] = (s.item[0][4] + 1) % ITEMS;
        same_answers(&s, 1);
        s.time[0][6] += 500;
        same_answers(&s, 1);
        s.n[0] = 5;
        same_answers(&s, 1);
        s.n[0] = 0;
        add_events(&s, 0, 12, 4);
        same_answers(&s, 1);
        if (!kinds[k].timed) { /* they do not read times; a past is not continued all the same */
            s.timed = true;
            same_answers(&s, 1);
        }
        s.n[0] = 1;
        same_answers(&s, 1);
        close_shelf(&s, &t);
    }
}

static void what_was_read_is_kept_and_counted(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        tiny t;
        shelf s;
        int32_t item[K];
        float score[K];

        open_shelf(&s, &t, kinds[k].class, kinds[k].options, kinds[k].timed);
        const size_t empty = sg_past_bytes(s.past[0]);

        add_events(&s, 0, 9, 3);
        ask(&s, 1, true, item, score);
        assert_int_equal(s.past[0]->n, 9);
        assert_true(sg_past_bytes(s.past[0]) > empty);
        const size_t bytes = sg_past_bytes(s.past[0]);

        add_events(&s, 0, 1, 3);
        ask(&s, 1, true, item, score);
        assert_int_equal(s.past[0]->n, 10);
        assert_true(sg_past_bytes(s.past[0]) <= bytes + bytes / 2); /* it does not grow by leaps */
        close_shelf(&s, &t);
    }
}

static void models_that_cannot_keep_say_so(void **state)
{
    static const char *const none[][2] = {
        {"sasrec", "dim=16"}, {"tiger", "dim=16 augment=prefix"}, {"bert4rec", "dim=16"}};

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        tiny t;

        tiny_new(&t, 3, ITEMS, 9, 4);
        sg_model *m = tiny_model(&t, none[i][0], none[i][1], 3);
        assert_false(sg_model_keeps(m));
        sg_model_free(m);
        tiny_free(&t);
    }
}

static void a_window_moves_by_steps(void **state)
{
    static const int expected[][4] = {/* events, length, step, first */
                                      {5, 10, 1, 0},  {10, 10, 1, 0},  {11, 10, 1, 1},
                                      {13, 10, 1, 3}, {11, 10, 4, 4},  {14, 10, 4, 4},
                                      {15, 10, 4, 8}, {10, 10, 10, 0}, {11, 10, 10, 10}};

    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const int64_t offsets[] = {7, 7 + expected[i][0]};
        const sg_histories h = {.n = 1, .offsets = offsets};

        assert_int_equal(sg_window_begin(&h, 0, expected[i][1], expected[i][2]), 7 + expected[i][3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_that_comes_is_read_alone_and_answers_are_the_same),
        cmocka_unit_test(company_does_not_matter),
        cmocka_unit_test(what_changed_is_read_anew),
        cmocka_unit_test(what_was_read_is_kept_and_counted),
        cmocka_unit_test(models_that_cannot_keep_say_so),
        cmocka_unit_test(a_window_moves_by_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
