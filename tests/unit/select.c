/* select.c - the k best of many by keys that carry score and number. */
#include "id_shop.h"

#include "decode/select.h"

static int descending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x < y) - (x > y);
}

static void selects_and_sorts_keys(void **state)
{
    (void)state;
    uint64_t key[500], want[500], spare[500], least;

    for (uint64_t id = 0; id < 300; id++) {
        const size_t n = draw(499, id, 0) + 1, k = draw((uint32_t)n, id, 1) + 1;
        size_t at = 0;

        for (size_t i = 0; i < n; i++) {
            const float score =
                id % 3 == 0 ? (float)draw(3, id, 9 + i) : (float)sg_rng_normal(seed(), SG_RNG_TEST, id, i);

            key[i] = want[i] = sg_key(i % 50 == 49 ? -INFINITY : score, (uint32_t)i);
            assert_int_equal(sg_key_number(key[i]), i);
            assert_true(sg_key_score(key[i]) == (i % 50 == 49 ? -INFINITY : score));
        }
        qsort(want, n, sizeof *want, descending);
        assert_true(sg_key_nth(key, n, k, spare) == want[k - 1]);
        memcpy(spare, key, n * sizeof *key);
        sg_key_sort(spare, n);
        assert_memory_equal(spare, want, n * sizeof *want);
        assert_int_equal(sg_key_keep(key, n, k, spare, &least), k);
        assert_true(least == (k < n ? want[k - 1] : 0));
        for (uint32_t i = 0; at < k; at++) { /* still by number */
            assert_true(key[at] >= want[k - 1]);
            assert_true(at == 0 || sg_key_number(key[at]) > i);
            i = sg_key_number(key[at]);
        }
    }
    assert_true(sg_key(-0.0f, 3) == sg_key(0.0f, 3));
    assert_true(sg_key(1, 2) > sg_key(1, 3) && sg_key(1, 3) > sg_key(0.5f, 0) &&
                sg_key(-1, 0) > sg_key(-2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selects_and_sorts_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
