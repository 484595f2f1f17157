/* diverse.c - beams in groups that keep apart. */
#include "id_shop.h"

static int first_codes(const sg_catalogue *c, const int32_t *item, int k)
{
    uint8_t seen[512] = {0};
    int n = 0;

    for (int i = 0; i < k && item[i] >= 0; i++) {
        int32_t codes[LEVELS];

        sg_catalogue_codes(c, item[i], codes);
        n += !seen[codes[0]];
        seen[codes[0]] = 1;
    }
    return n;
}

static void groups_keep_the_promises(void **state)
{
    enum { K = 12 };
    const float none[LEVELS] = {0}, hardly[LEVELS] = {1e-9f, 1e-9f, 1e-9f};
    int spread = 0;

    (void)state;
    for (uint64_t id = 0; id < 60; id++) {
        float diversity[LEVELS], score[USERS * K], usual_score[USERS * K], again_score[USERS * K];
        int32_t item[USERS * K], usual[USERS * K], again[USERS * K];
        sg_pool *pool;
        sg_error err;
        shop s;

        open_shop(&s, id);
        sg_beam_spec spec = make_spec(&s, id, 20, K);

        search(&s, &spec, USERS, NULL, usual, usual_score);
        for (int l = 0; l < LEVELS; l++)
            diversity[l] = l ? 0.2f : 3;
        spec.groups = 2 + (int)(id % 4);
        spec.diversity = diversity;
        search(&s, &spec, USERS, NULL, item, score);
        for (int u = 0; u < USERS; u++) {
            int32_t allowed = 0;

            for (int32_t i = 0; i < s.n; i++)
                allowed += may_return(&s, &spec, u, i);
            for (int i = 0; i < K; i++) {
                const int32_t here = item[u * K + i];

                assert_int_equal(here >= 0, i < allowed); /* as many as there are */
                if (here < 0)
                    continue;
                assert_true(may_return(&s, &spec, u, here));
                assert_true(i == 0 || score[u * K + i] <= score[u * K + i - 1]);
                assert_true(fabs(truth(&s.o, u, here, spec.renormalise) - (double)score[u * K + i]) < 1e-4);
                for (int j = 0; j < i; j++)
                    assert_int_not_equal(item[u * K + j], here);
            }
        }
        /* one beam a group and much to lose: every group has a first code of its own, as long as there are some */
        const float apart[LEVELS] = {100};
        const sg_beam_spec lone = {.beam = 4, .k = 4, .groups = 4, .diversity = apart, .renormalise = id & 1};

        search(&s, &lone, 1, NULL, again, again_score);
        if (sg_catalogue_nodes(s.c, 1) >= 4) {
            assert_int_equal(first_codes(s.c, again, 4), 4);
            spread++;
        }
        assert_int_equal(sg_pool_new(&pool, 3, &err), SG_OK);
        search(&s, &spec, USERS, pool, again, again_score);
        assert_memory_equal(again, item, sizeof item);
        assert_memory_equal(again_score, score, sizeof score);
        sg_pool_free(pool);
        spec.groups = 1; /* is the plain search, byte for byte */
        search(&s, &spec, USERS, NULL, again, again_score);
        assert_memory_equal(again, usual, sizeof item);
        assert_memory_equal(again_score, usual_score, sizeof score);
        spec.groups = 4; /* so it is without diversity, and with hardly any but for what is as probable */
        spec.diversity = none;
        search(&s, &spec, USERS, NULL, again, again_score);
        assert_memory_equal(again, usual, sizeof item);
        assert_memory_equal(again_score, usual_score, sizeof score);
        spec.diversity = hardly;
        search(&s, &spec, USERS, NULL, again, again_score);
        for (int i = 0; i < USERS * K; i++)
            assert_true(again[i] < 0 ? usual[i] < 0 : fabsf(again_score[i] - usual_score[i]) < 1e-5f);
        close_shop(&s);
    }
    assert_true(spread > 20);
}

/* The more diversity, the more first codes a list has, and the less probable it is; never fewer than without. */
static void diversity_spreads_lists(void **state)
{
    enum { K = 20, STEPS = 5 };
    static const float lambda[STEPS] = {0, 0.2f, 0.5f, 0.8f, 2};
    int codes[STEPS] = {0};
    double logp[STEPS] = {0};

    (void)state;
    for (uint64_t id = 0; id < 60; id++) {
        shop s;

        open_shop(&s, id);
        for (int step = 0; step < STEPS; step++) {
            const float diversity[LEVELS] = {lambda[step]};
            const sg_beam_spec spec = {.beam = 40, .k = K, .groups = 5, .diversity = diversity};
            float score[USERS * K];
            int32_t item[USERS * K];

            search(&s, &spec, USERS, NULL, item, score);
            for (int u = 0; u < USERS; u++)
                codes[step] += first_codes(s.c, item + u * K, K);
            for (int i = 0; i < USERS * K; i++)
                logp[step] += item[i] < 0 ? 0 : (double)score[i];
        }
        close_shop(&s);
    }
    for (int step = 1; step < STEPS; step++) {
        assert_true(codes[step] > codes[step - 1]);
        assert_true(logp[step] < logp[step - 1]);
    }
}

static sg_status fixed(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    static const float level[2][3] = {{2, 1.9f, 0}, {0.5f, 0.4f, 0}};

    for (int r = 0; r < rows->n; r++)
        memcpy(rows->logits + (size_t)r * (size_t)rows->ld, level[rows->level], sizeof level[0]);
    return SG_OK;
}

/* By hand: the first group takes code 0, the second code 1; then the first takes 0 0 at 2.5, for the second 0 1 counts 2.4 - 1. */
static void groups_follow_a_trace(void **state)
{
    const int32_t codes[] = {0, 0, 0, 1, 1, 0, 1, 1, 2, 0}, size[] = {3, 3};
    const float diversity[] = {1, 0};
    sg_arena *arena = sg_arena_new(0);
    const sg_beam_spec spec = {.beam = 2, .k = 2};
    sg_catalogue *c;
    int32_t item[2];
    float score[2];
    sg_error err;

    (void)state;
    assert_int_equal(sg_catalogue_new(&c, codes, 5, 2, size, &err), SG_OK);
    assert_int_equal(sg_beam_search(item, score, c, 1, &spec, fixed, NULL, NULL, arena, &err), SG_OK);
    assert_true(item[0] == 0 && item[1] == 2); /* 2 + .5, 1.9 + .5, then 2 + .4 */
    assert_int_equal(sg_beam_search(item, score, c, 1,
                                    &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .diversity = diversity},
                                    fixed, NULL, NULL, arena, &err),
                     SG_OK);
    assert_true(item[0] == 0 && item[1] == 2);
    assert_int_equal(
        sg_beam_search(
            item, score, c, 1,
            &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .diversity = (const float[]){0.05f, 1}}, fixed,
            NULL, NULL, arena, &err),
        SG_OK);
    assert_true(item[0] == 0 && item[1] == 1); /* 2.5, then 0 1 at 2.4 - .05, 1 0 at 2.4 - 1, 1 1 at 2.3 */
    assert_int_equal(
        sg_beam_search(item, score, c, 1,
                       &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .diversity = (const float[]){0.2f, 0}},
                       fixed, NULL, NULL, arena, &err),
        SG_OK);
    assert_true(item[0] == 0 &&
                item[1] ==
                    2); /* the first code counts at the second level too: 0 1 at 2.4 - .2, 1 0 at 2.4 */
    assert_int_equal(
        sg_beam_search(item, score, c, 1,
                       &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .complete = 8, .diversity = diversity},
                       fixed, NULL, NULL, arena, &err),
        SG_ERR_USAGE);
    sg_catalogue_free(c);
    sg_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_keep_the_promises),
        cmocka_unit_test(diversity_spreads_lists),
        cmocka_unit_test(groups_follow_a_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
