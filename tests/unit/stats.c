/* stats.c - every figure of a dataset small enough to count by hand, and the same by brute force on a larger one. */
#include "base/alloc.h"
#include "base/rng.h"
#include "data/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *stats_of(const sg_dataset *d)
{
    json_t *o;
    sg_error err = {0};

    if (sg_dataset_stats(&o, d, &err))
        fail_msg("%s", err.message);
    return o;
}

static double number(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(json_object_get(o, a), b);

    assert_non_null(v);
    return json_number_value(v);
}

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) < 1e-12);
}

/* user 0: 0 1 0 2 | user 1: 1 1 3 | user 2: 0; item 4 never. Loo: test targets 2 and 3, valid 0 and 1. */
static const int64_t offsets[] = {0, 4, 7, 8};
static const int32_t items[] = {0, 1, 0, 2, 1, 1, 3, 0};
static const int64_t times[] = {0, 0, 86400, 172800, 5, 5, 6, 172801};

static sg_dataset tiny(void)
{
    static const int64_t text[] = {0, 1, 2, 2, 2, 2};
    static sg_text_column columns[] = {{"title", {5, "aa", text}}};
    sg_dataset d = {.dir = (char *)(uintptr_t) "d",
                    .name = (char *)(uintptr_t) "tiny",
                    .sha256 = "0",
                    .n_users = 3,
                    .n_items = 5,
                    .n_events = 8,
                    .user_offsets = offsets,
                    .item = items,
                    .timestamp = times,
                    .columns = columns,
                    .n_columns = 1};

    return d;
}

static void counts_by_hand(void **state)
{
    (void)state;
    const sg_dataset d = tiny();
    json_t *o = stats_of(&d);

    assert_near(json_number_value(json_object_get(o, "density")), 6 / 15.0);
    assert_near(number(o, "user_events", "mean"), 8 / 3.0);
    assert_near(number(o, "user_events", "least"), 1);
    assert_near(number(o, "user_events", "median"), 3);
    assert_near(number(o, "user_events", "most"), 4);
    /* counts 0 1 1 3 3: Gini = sum (2i - 6) x / (5 * 8) = (-2 * 1 + 0 * 1 + 2 * 3 + 4 * 3) / 40 */
    assert_near(number(o, "item_events", "gini"), 16 / 40.0);
    assert_near(number(o, "item_events", "top_percent"), 3 / 8.0);
    assert_near(number(o, "item_events", "never"), 1);
    assert_near(number(o, "time", "days"), 172801 / 86400.0);
    assert_near(number(o, "time", "ties"), 2 / 8.0);
    assert_near(number(o, "time", "ties_users"), 2);
    assert_near(json_number_value(json_object_get(o, "repeats")), 2 / 8.0);
    assert_near(json_number_value(json_object_get(o, "repeats_adjacent")), 1 / 8.0);
    assert_near(json_number_value(json_object_get(o, "repeats_users")), 2);
    assert_near(number(o, "leave_one_out", "train"), 4); /* 0 1 | 1 | 0 */
    assert_near(number(o, "leave_one_out", "cases"), 2);
    assert_near(number(o, "leave_one_out", "users_train_only"), 1);
    assert_near(number(o, "leave_one_out", "targets_seen_before"), 0);
    assert_near(number(o, "leave_one_out", "targets_without_training_event"), 1);
    assert_near(number(o, "leave_one_out", "targets_before_training_ends"), 1); /* training ends at 172801 */
    assert_near(number(o, "leave_one_out", "items_only_test"), 2);
    assert_near(number(o, "leave_one_out", "items_only_valid"), 0);
    /* 2-core: items 0 and 1 and users 0 and 1; user 2 has one event */
    const json_t *core = json_array_get(json_object_get(o, "k_core"), 0);
    assert_int_equal(json_integer_value(json_object_get(core, "k")), 2);
    assert_int_equal(json_integer_value(json_object_get(core, "users")), 2);
    assert_int_equal(json_integer_value(json_object_get(core, "items")), 2);
    assert_int_equal(json_integer_value(json_object_get(core, "events")), 5);
    core = json_array_get(json_object_get(o, "k_core"), 1);
    assert_int_equal(json_integer_value(json_object_get(core, "events")), 0);
    assert_int_equal(json_array_size(json_object_get(o, "k_core")), 9);
    const json_t *text = json_array_get(json_object_get(o, "text"), 0);
    assert_near(json_number_value(json_object_get(text, "filled")), 2 / 5.0);
    assert_int_equal(json_integer_value(json_object_get(text, "different")), 1);
    assert_int_equal(json_array_size(json_object_get(o, "notes")),
                     3); /* ties, unknown targets, empty texts */
    json_decref(o);
    assert_int_equal(sg_alloc_live(), 0);
}

static void cores_are_fixed_points(void **state)
{
    (void)state;
    enum { USERS = 300, ITEMS = 80, EACH = 7 };
    static int64_t begin[USERS + 1];
    static int32_t item[USERS * EACH];
    sg_dataset d = {.dir = (char *)(uintptr_t) "d",
                    .name = (char *)(uintptr_t) "big",
                    .n_users = USERS,
                    .n_items = ITEMS,
                    .user_offsets = begin,
                    .item = item};

    for (int u = 0; u < USERS; u++) {
        const int n = 1 + (int)sg_rng_below(EACH, 1, SG_RNG_TEST, (uint64_t)u, 99);

        for (int i = 0; i < n; i++) {
            const double x = sg_rng_double(1, SG_RNG_TEST, (uint64_t)u, (uint64_t)i);

            item[begin[u] + i] = (int32_t)(x * x * ITEMS);
        }
        begin[u + 1] = begin[u] + n;
    }
    d.n_events = begin[USERS];
    json_t *o = stats_of(&d);
    for (int k = 2; k <= 10; k++) {
        bool user[USERS], item_lives[ITEMS];
        int64_t n_users = 0, n_items = 0, n_events = 0;

        memset(user, 1, sizeof user);
        memset(item_lives, 1, sizeof item_lives);
        for (bool changed = true; changed;) { /* one death at a time: the core does not depend on the order */
            changed = false;
            for (int i = 0; i < USERS + ITEMS && !changed; i++) {
                bool *alive = i < USERS ? &user[i] : &item_lives[i - USERS];
                int n = 0;

                for (int u = 0; u < USERS; u++)
                    for (int64_t e = begin[u]; e < begin[u + 1]; e++)
                        n += (i < USERS ? u == i : item[e] == i - USERS) && user[u] && item_lives[item[e]];
                if (*alive && n < k) {
                    *alive = false;
                    changed = true;
                }
            }
        }
        for (int u = 0; u < USERS; u++) {
            n_users += user[u];
            for (int64_t e = begin[u]; e < begin[u + 1]; e++)
                n_events += user[u] && item_lives[item[e]];
        }
        for (int i = 0; i < ITEMS; i++)
            n_items += item_lives[i];
        const json_t *core = json_array_get(json_object_get(o, "k_core"), (size_t)k - 2);
        assert_int_equal(json_integer_value(json_object_get(core, "users")), n_users);
        assert_int_equal(json_integer_value(json_object_get(core, "items")), n_items);
        assert_int_equal(json_integer_value(json_object_get(core, "events")), n_events);
    }
    json_decref(o);
}

static void large_counts_are_ranked_too(void **state)
{
    (void)state;
    enum { USERS = 5, EACH = 70000 };
    static int64_t begin[USERS + 1];
    static int32_t item[USERS * EACH * 2];
    sg_dataset d = {.dir = (char *)(uintptr_t) "d",
                    .name = (char *)(uintptr_t) "large",
                    .n_users = USERS,
                    .n_items = 1,
                    .user_offsets = begin,
                    .item = item};

    for (int u = 0; u < USERS; u++)
        begin[u + 1] = begin[u] + (u == 2 ? 3 : EACH + u);
    d.n_events = begin[USERS];
    json_t *o = stats_of(&d);
    assert_near(number(o, "user_events", "least"), 3);
    assert_near(number(o, "user_events", "median"), EACH + 1);
    assert_near(number(o, "user_events", "most"), EACH + 4);
    assert_near(number(o, "item_events", "gini"), 0);
    assert_near(number(o, "item_events", "top_percent"), 1);
    assert_near(number(o, "leave_one_out", "targets_seen_before"), 1);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_hand),
        cmocka_unit_test(cores_are_fixed_points),
        cmocka_unit_test(large_counts_are_ranked_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
