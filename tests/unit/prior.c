/* prior.c - scores of items that are added to those of the search. */
#include "id_shop.h"

/* Scores are the log-probability plus the prior; a completed search is exact by them. Two users share no prior. */
static void a_prior_is_added_and_searched_by(void **state)
{
    (void)state;
    enum { K = 3 };
    int moved = 0;

    for (uint64_t id = 0; id < 48; id++) {
        shop s;
        sg_prior prior;
        sg_error err;
        int32_t item[USERS * K], before[USERS * K];
        float score[USERS * K], *known = sg_alloc_array(USERS * ITEMS, sizeof *known);

        open_shop(&s, id);
        sg_beam_spec spec = make_spec(&s, id, K, K);
        search(&s, &spec, USERS, NULL, before, score);
        for (int i = 0; i < USERS * s.n; i++) /* mostly nothing, as of what is looked up */
            known[i] =
                draw(4, id, 90000 + (uint64_t)i) ? 0 : 3 * (float)draw(100, id, 95000 + (uint64_t)i) / 10 - 5;
        sg_arena *arena = sg_arena_new(0);
        assert_int_equal(sg_prior_init(&prior, s.c, USERS, known, NULL, arena, &err), SG_OK);
        spec.prior = &prior;
        spec.complete = ITEMS;
        search(&s, &spec, USERS, NULL, item, score);
        for (int u = 0; u < USERS; u++) {
            bool taken[ITEMS] = {false};

            for (int k = 0; k < K; k++) {
                double best = -INFINITY;
                int at = -1;

                for (int i = 0; i < s.n; i++) {
                    const double x = truth(&s.o, u, i, spec.renormalise) + (double)known[u * s.n + i];

                    if (!taken[i] && may_return(&s, &spec, u, i) && x > best) {
                        best = x;
                        at = i;
                    }
                }
                if (at < 0) {
                    assert_int_equal(item[u * K + k], -1);
                    continue;
                }
                taken[at] = true;
                assert_true(fabs((double)score[u * K + k] - best) <
                            2e-4); /* f32 sums of some 10, the slack of the second search */
                assert_in_range(item[u * K + k], 0, s.n - 1);
            }
        }
        moved += memcmp(before, item, sizeof item) != 0;
        sg_arena_free(arena);
        sg_free(known);
        close_shop(&s);
    }
    assert_true(moved > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prior_is_added_and_searched_by),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
