/* touch.c - places gathered by id, against a walk over the list: by counting (ids below the length of the list) and by sorting. */
#include "base/alloc.h"
#include "base/rng.h"
#include "math/touch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void check_groups(const int32_t *ids, size_t count)
{
    sg_error err;
    sg_graph *g = NULL;
    sg_id_groups groups;
    uint32_t *group = sg_alloc((count + 1) * sizeof *group);
    size_t in_groups = 0, named = 0;

    assert_non_null(group);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_INFER, 0, 0);
    assert_true(sg_group_ids(g, &groups, ids, count, group));
    for (size_t i = 0; i < groups.n; i++) {
        assert_true(i == 0 || groups.id[i] > groups.id[i - 1]);
        assert_true(groups.begin[i + 1] > groups.begin[i]);
        for (uint32_t j = groups.begin[i]; j < groups.begin[i + 1]; j++) {
            assert_true(j == groups.begin[i] || groups.place[j] > groups.place[j - 1]);
            assert_int_equal(ids[groups.place[j]], groups.id[i]);
            assert_int_equal(group[groups.place[j]], i);
            in_groups++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        named += ids[i] >= 0;
        assert_true(ids[i] >= 0 || group[i] == UINT32_MAX);
    }
    assert_int_equal(in_groups, named);
    sg_graph_free(g);
    sg_free(group);
}

static void every_place_in_its_group(void **state)
{
    (void)state;
    static const uint32_t ranges[] = {1, 7, 900, 1001, 1 << 13, INT32_MAX};
    int32_t ids[1000];

    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++)
        for (size_t count = 0; count <= 1000; count += 250) {
            for (size_t i = 0; i < count; i++)
                ids[i] = (int32_t)sg_rng_below(ranges[r], 1, SG_RNG_TEST, r, i);
            for (size_t i = 0; i < count; i += 5)
                ids[i] = -1;
            check_groups(ids, count);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_place_in_its_group)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
