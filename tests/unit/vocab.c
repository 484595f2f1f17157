/* vocab.c - strings get numbers in order of first appearance and keep them; whatever bytes they hold. */
#include "base/alloc.h"
#include "base/progress.h"
#include "data/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static sg_bytes text(char out[64], int i)
{
    return (sg_bytes){out, (size_t)snprintf(out, 64, "%s%d%.*s", i % 3 ? "item-" : "", i * 7, i % 40,
                                            "0123456789012345678901234567890123456789")};
}

static void numbers_in_order_of_appearance(void **state)
{
    (void)state;
    enum { N = 50000 };
    sg_vocab *v;
    char s[64];
    int32_t number;

    assert_int_equal(sg_vocab_new(&v, NULL), SG_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(sg_vocab_add(v, text(s, i), &number, NULL), SG_OK);
        assert_int_equal(number, i);
        assert_int_equal(sg_vocab_add(v, text(s, i / 2), &number, NULL), SG_OK);
        assert_int_equal(number, i / 2);
    }
    assert_int_equal(sg_vocab_count(v), N);
    for (int i = 0; i < N; i++) {
        const sg_bytes b = text(s, i), c = sg_vocab_at(v, i);

        assert_int_equal(sg_vocab_find(v, b), i);
        assert_int_equal(b.size, c.size);
        assert_memory_equal(b.data, c.data, b.size);
    }
    assert_int_equal(sg_vocab_find(v, text(s, N)), -1);
    const sg_strings all = sg_vocab_strings(v);
    sg_vocab *over;
    assert_int_equal(sg_vocab_over(&over, &all, NULL), SG_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(sg_vocab_find(over, text(s, i)), i);
    assert_int_equal(sg_vocab_find(over, text(s, N)), -1);
    sg_vocab_free(over);
    sg_vocab_free(v);
    assert_int_equal(sg_alloc_live(), 0);
}

static void holds_any_bytes(void **state)
{
    (void)state;
    static const sg_bytes odd[] = {{"", 0},
                                   {"\0", 1},
                                   {"\0\0", 2},
                                   {"\xff\xfe", 2},
                                   {"a\0b", 3},
                                   {"a\0c", 3},
                                   {"\0\0\0\0\0\0\0\0", 8},
                                   {"\0\0\0\0\0\0\0\0\0", 9},
                                   {"0123456789abcdef", 16},
                                   {"0123456789abcdeF", 16},
                                   {"0123456789abcdef\0", 17}};
    sg_vocab *v;
    int32_t number;

    assert_int_equal(sg_vocab_new(&v, NULL), SG_OK);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_int_equal(sg_vocab_add(v, odd[i], &number, NULL), SG_OK);
        assert_int_equal(number, i);
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(sg_vocab_find(v, odd[i]), i);
    sg_vocab_free(v);
}

static void of_equal_strings_the_first_is_found(void **state)
{
    (void)state;
    static const int64_t offsets[] = {0, 1, 2, 3, 4, 4, 4};
    const sg_strings s = {6, "abab", offsets};
    sg_vocab *v;

    assert_int_equal(sg_vocab_over(&v, &s, NULL), SG_OK);
    assert_int_equal(sg_vocab_find(v, (sg_bytes){"a", 1}), 0);
    assert_int_equal(sg_vocab_find(v, (sg_bytes){"b", 1}), 1);
    assert_int_equal(sg_vocab_find(v, (sg_bytes){"", 0}), 4);
    sg_vocab_free(v);
}

static void failed_allocations_lose_nothing(void **state)
{
    (void)state;
    for (int n = 1, done = 0; !done; n++) {
        sg_vocab *v = NULL;
        sg_error err = {0};
        char s[64];
        int32_t number, count = 0;
        sg_status st;

        sg_alloc_fail_at((uint64_t)n);
        st = sg_vocab_new(&v, &err);
        for (int i = 0; !st && i < 3000; i++)
            if (!(st = sg_vocab_add(v, text(s, i), &number, &err)))
                count++;
        sg_alloc_fail_at(0);
        done = !st;
        if (v) { /* what was added before the failure is there, and more can be */
            assert_int_equal(sg_vocab_count(v), count);
            for (int i = 0; i < count; i++)
                assert_int_equal(sg_vocab_find(v, text(s, i)), i);
            assert_int_equal(sg_vocab_add(v, text(s, count), &number, NULL), SG_OK);
            assert_int_equal(number, count);
        }
        if (st)
            assert_string_equal(err.message, "out of memory: vocabulary");
        sg_vocab_free(v);
        assert_int_equal(sg_alloc_live(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_in_order_of_appearance),
        cmocka_unit_test(holds_any_bytes),
        cmocka_unit_test(of_equal_strings_the_first_is_found),
        cmocka_unit_test(failed_allocations_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
