/* exact.c - scores of all items, and of each code of some, without a search. */
#include "id_shop.h"

static void scores_the_whole_catalogue_exactly(void **state)
{
    (void)state;
    static const int rows_max[] = {0, 1, 7, 40};
    float *scores = malloc(USERS * ITEMS * sizeof *scores);
    sg_error err;

    for (uint64_t id = 0; id < 40; id++) {
        shop s;

        open_shop(&s, id);
        for (int batch = 1; batch <= USERS; batch += 2)
            for (int i = 0; i < 4; i++) {
                const bool renormalise = (id + (uint64_t)i) & 1;

                sg_arena_reset(s.arena);
                s.o.rows_most = 0;
                assert_int_equal(sg_exact_scores(scores, s.c, batch, renormalise, rows_max[i], answer, &s.o,
                                                 NULL, s.arena, &err),
                                 SG_OK);
                if (rows_max[i])
                    assert_true(s.o.rows_most <= (rows_max[i] > batch ? rows_max[i] : batch));
                for (int u = 0; u < batch; u++)
                    for (int32_t it = 0; it < s.n; it++)
                        assert_float_equal(scores[u * s.n + it], truth(&s.o, u, it, renormalise), 4e-5);
            }
        close_shop(&s);
    }
    free(scores);
}

static void tells_the_probability_of_each_code(void **state)
{
    (void)state;
    float *logp = malloc(ITEMS * LEVELS * sizeof *logp);
    int32_t item[ITEMS];
    sg_error err;

    for (uint64_t id = 0; id < 40; id++) {
        const bool renormalise = id & 1;
        shop s;

        open_shop(&s, id);
        const int levels = sg_catalogue_levels(s.c), n = (int)draw((uint32_t)s.n, id, 70) + 1;
        for (int i = 0; i < n; i++)
            item[i] = (int32_t)draw((uint32_t)s.n, id, 400 + (uint64_t)i); /* repeats are fine */
        assert_int_equal(sg_path_scores(logp, s.c, item, n, renormalise, answer, &s.o, s.arena, &err), SG_OK);
        assert_true(s.o.rows_most <= n);
        for (int i = 0; i < n; i++) {
            double sum = 0;

            for (int l = 0; l < levels; l++) {
                assert_true(logp[i * levels + l] <= 0);
                sum += (double)logp[i * levels + l];
            }
            assert_float_equal(sum, truth(&s.o, 0, item[i], renormalise), 4e-5);
        }
        item[0] = s.n;
        assert_int_equal(sg_path_scores(logp, s.c, item, n, renormalise, answer, &s.o, s.arena, &err),
                         SG_ERR_USAGE);
        close_shop(&s);
    }
    free(logp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_the_whole_catalogue_exactly),
        cmocka_unit_test(tells_the_probability_of_each_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
