/* cold.c - items that training has not seen, in a share of the places. */
#include "id_shop.h"

static void unseen_items_take_their_share_and_no_more(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 40; id++) {
        uint8_t cold[ITEMS];
        int32_t item[USERS * 10], plain_item[USERS * ITEMS];
        float score[USERS * 10], plain_score[USERS * ITEMS];
        shop s;

        open_shop(&s, 2 * id);
        const int levels = sg_catalogue_levels(s.c);
        for (int32_t i = 0; i < s.n; i++)
            cold[i] = draw(3, id, 8000 + (uint64_t)i) == 0;
        sg_beam_spec spec = make_spec(&s, id, s.n, s.n);
        search(&s, &spec, USERS, NULL, plain_item, plain_score);
        spec.k = 10;
        spec.cold = cold;
        spec.cold_share = 0.25f;
        spec.cold_prefix = levels > 1 ? 1 : 0;
        search(&s, &spec, USERS, NULL, item, score);
        for (int u = 0; u < USERS; u++) {
            int unseen = 0, at = 0;

            for (int i = 0; i < 10 && item[u * 10 + i] >= 0; i++) {
                const int32_t it = item[u * 10 + i];

                assert_true(may_return(&s, &spec, u, it));
                for (int j = 0; j < i; j++)
                    assert_true(item[u * 10 + j] != it);
                if (i > 0)
                    assert_true(score[u * 10 + i] <= score[u * 10 + i - 1]);
                unseen += cold[it];
                if (cold[it])
                    continue;
                while (cold[plain_item[u * s.n + at]]) /* known items keep their order and lose no place to
                                                          others */
                    at++;
                assert_int_equal(it, plain_item[u * s.n + at++]);
            }
            assert_true(unseen <= 2);
        }
        spec.cold_share = 0;
        search(&s, &spec, USERS, NULL, item, score);
        for (int i = 0; i < USERS * 10; i++)
            assert_false(item[i] >= 0 && cold[item[i]]);
        close_shop(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unseen_items_take_their_share_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
