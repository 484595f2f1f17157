/* arena.c - step memory promises: alignment, reset, marks, no malloc in the steady state. */
#include "base/alloc.h"
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void gives_aligned_memory(void **state)
{
    (void)state;
    sg_arena *a = sg_arena_new(0);

    for (size_t n = 1; n < 300; n += 7)
        assert_int_equal((uintptr_t)sg_arena_take(a, n) % 64, 0);
    sg_arena_free(a);
}

static void calls_no_malloc_after_the_first_steps(void **state)
{
    (void)state;
    sg_arena *a = sg_arena_new(0);
    uint64_t calls = 0;

    for (int step = 0; step < 5; step++) {
        if (step == 3)
            calls = sg_alloc_calls();
        for (int i = 0; i < 100; i++)
            assert_non_null(sg_arena_take(a, (size_t)(i + 1) * 1000));
        sg_arena_reset(a);
    }
    assert_int_equal(sg_alloc_calls(), calls);
    sg_arena_free(a);
    assert_int_equal(sg_alloc_live(), 0);
}

static void scratch_that_outgrows_its_block_costs_malloc_once(void **state)
{
    (void)state;
    sg_arena *a = sg_arena_new(1 << 10);
    uint64_t calls = 0;

    for (int step = 0; step < 5; step++) {
        sg_arena_reset(a);
        for (int part = 0; part < 3; part++) {
            const sg_arena_mark mark = sg_arena_here(a);

            assert_non_null(sg_arena_take(a, 1 << 20));
            sg_arena_back(a, mark);
        }
        if (step == 1)
            calls = sg_alloc_calls();
    }
    assert_int_equal(sg_alloc_calls(), calls);
    sg_arena_free(a);
}

static void marks_give_back_scratch(void **state)
{
    (void)state;
    sg_arena *a = sg_arena_new(256);
    char *keep = sg_arena_take(a, 100);
    const sg_arena_mark mark = sg_arena_here(a);
    const size_t used = sg_arena_used(a);

    *keep = 42;
    for (int i = 0; i < 50; i++)
        assert_non_null(sg_arena_take(a, 10000));
    sg_arena_back(a, mark);
    assert_int_equal(sg_arena_used(a), used);
    assert_int_equal(*keep, 42);
    sg_arena_free(a);
    assert_int_equal(sg_alloc_live(), 0);
}

static void refuses_sizes_that_overflow(void **state)
{
    (void)state;
    sg_arena *a = sg_arena_new(0);

    assert_null(sg_arena_take_array(a, SIZE_MAX / 2, 3));
    assert_null(sg_arena_take(a, SIZE_MAX));
    sg_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_memory),
        cmocka_unit_test(calls_no_malloc_after_the_first_steps),
        cmocka_unit_test(scratch_that_outgrows_its_block_costs_malloc_once),
        cmocka_unit_test(marks_give_back_scratch),
        cmocka_unit_test(refuses_sizes_that_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
