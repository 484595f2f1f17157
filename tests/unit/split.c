/* split.c - which events teach and which are asked, for every kind of split. */
#include "base/alloc.h"
#include "data/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Users with 5, 2, 3, 0 and 1 events. */
static const int64_t offsets[] = {0, 5, 7, 10, 10, 11};
static const int64_t times[] = {10, 20, 30, 40, 50, 1, 2, 25, 35, 35, 60};
static const int32_t items[11] = {0};

static sg_dataset data(void)
{
    return (sg_dataset){.dir = (char *)(uintptr_t) "d",
                        .n_users = 5,
                        .n_items = 1,
                        .n_events = 11,
                        .user_offsets = offsets,
                        .item = items,
                        .timestamp = times};
}

static sg_split *split(const char *text)
{
    const sg_dataset d = data();
    sg_split_spec spec;
    sg_split *s;

    assert_int_equal(sg_split_parse(&spec, text, NULL), SG_OK);
    assert_int_equal(sg_split_new(&s, &d, &spec, NULL), SG_OK);
    assert_string_equal(s->spec.text, text);
    return s;
}

static void assert_case(const sg_case *c, int user, int64_t begin, int64_t target_begin, int64_t target_end)
{
    assert_int_equal(c->user, user);
    assert_int_equal(c->begin, begin);
    assert_int_equal(c->end, target_begin);
    assert_int_equal(c->target_begin, target_begin);
    assert_int_equal(c->target_end, target_end);
}

static void loo_asks_for_the_last_two_events(void **state)
{
    (void)state;
    sg_split *s = split("loo");

    assert_memory_equal(s->train_end, ((const int64_t[]){3, 7, 8, 10, 11}), 5 * sizeof(int64_t));
    assert_int_equal(s->n_valid, 2);
    assert_int_equal(s->n_test, 2);
    assert_case(&s->valid[0], 0, 0, 3, 4);
    assert_case(&s->valid[1], 2, 7, 8, 9);
    assert_case(&s->test[0], 0, 0, 4, 5);
    assert_case(&s->test[1], 2, 7, 9, 10);
    sg_split_free(s);
}

static void a_zeroed_spec_is_loo(void **state)
{
    (void)state;
    const sg_dataset d = data();
    const sg_split_spec spec = {0};
    sg_split *s;

    assert_int_equal(sg_split_new(&s, &d, &spec, NULL), SG_OK);
    assert_int_equal(s->n_test, 2);
    assert_case(&s->test[0], 0, 0, 4, 5);
    sg_split_free(s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void last_n_asks_for_several_events(void **state)
{
    (void)state;
    sg_split *s = split("last:2");

    assert_memory_equal(s->train_end, ((const int64_t[]){1, 7, 10, 10, 11}), 5 * sizeof(int64_t));
    assert_int_equal(s->n_valid, 1);
    assert_int_equal(s->n_test, 1);
    assert_case(&s->valid[0], 0, 0, 1, 3);
    assert_case(&s->test[0], 0, 0, 3, 5);
    sg_split_free(s);
}

static void ratio_takes_at_least_one_event(void **state)
{
    (void)state;
    sg_split *s = split("ratio:0.1");

    assert_int_equal(s->n_test, 2);
    assert_case(&s->test[0], 0, 0, 4, 5);
    sg_split_free(s);
    s = split("ratio:0.4");
    assert_case(&s->test[0], 0, 0, 3, 5);
    assert_case(&s->valid[0], 0, 0, 1, 3);
    assert_case(&s->test[1], 2, 7, 9, 10);
    sg_split_free(s);
}

static void time_cuts_everybody_at_the_same_moment(void **state)
{
    (void)state;
    sg_split *s = split("time:30,40");

    assert_memory_equal(s->train_end, ((const int64_t[]){2, 7, 8, 10, 10}), 5 * sizeof(int64_t));
    assert_int_equal(s->n_valid, 2);
    assert_int_equal(s->n_test, 1); /* the last user has no context */
    assert_case(&s->valid[0], 0, 0, 2, 3);
    assert_case(&s->valid[1], 2, 7, 8, 10);
    assert_case(&s->test[0], 0, 0, 3, 5);
    sg_split_free(s);
    s = split("time:-5,15"); /* no training at all: test still has a context */
    assert_int_equal(s->n_valid, 0);
    assert_int_equal(s->n_test, 1);
    assert_case(&s->test[0], 0, 0, 1, 5);
    sg_split_free(s);
}

static void time_needs_timestamps(void **state)
{
    (void)state;
    sg_dataset d = data();
    const sg_split_spec spec = {.kind = SG_SPLIT_TIME};
    sg_split *s;
    sg_error err;

    d.timestamp = NULL;
    assert_int_equal(sg_split_new(&s, &d, &spec, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "d: a time split needs timestamps, and this dataset has none");
    assert_int_equal(sg_alloc_live(), 0);
}

static void refuses_other_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "lo",      "loo:",     "last",     "last:",      "last:0",
        "last:-1",    "last:2x", "last: 2",  "ratio:0",  "ratio:0.5",  "ratio:nan",
        "ratio:0.1,", "time:1",  "time:1,1", "time:2,1", "time:1,2,3", "time:99999999999999999999,1"};
    sg_split_spec s;
    sg_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sg_split_parse(&s, bad[i], &err), SG_ERR_USAGE);
    assert_int_equal(sg_split_parse(&s, "lou", &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "expected a split 'loo', 'last:N', 'ratio:R' (0 < R < 0.5) or 'time:T1,T2' (T1 < T2), found 'lou'");
}

static void failed_allocations_leak_nothing(void **state)
{
    (void)state;
    const sg_dataset d = data();
    const sg_split_spec spec = {.text = "loo"};
    sg_split *s;
    int n = 0;

    for (;;) {
        sg_error err;

        sg_alloc_fail_at((uint64_t)++n);
        const sg_status st = sg_split_new(&s, &d, &spec, &err);
        sg_alloc_fail_at(0);
        if (!st)
            break;
        assert_int_equal(st, SG_ERR_MEMORY);
        assert_int_equal(sg_alloc_live(), 0);
    }
    assert_in_range(n, 4, 20);
    sg_split_free(s);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loo_asks_for_the_last_two_events),
        cmocka_unit_test(a_zeroed_spec_is_loo),
        cmocka_unit_test(last_n_asks_for_several_events),
        cmocka_unit_test(ratio_takes_at_least_one_event),
        cmocka_unit_test(time_cuts_everybody_at_the_same_moment),
        cmocka_unit_test(time_needs_timestamps),
        cmocka_unit_test(refuses_other_texts),
        cmocka_unit_test(failed_allocations_leak_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
