/* beam_sample.c - items drawn by their probability instead of the likeliest. */
#include "id_shop.h"

static void draws_items_by_their_probability(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    const int32_t codes[] = {0, 0, 0, 1, 1, 0, 1, 1, 2, 2};
    const int32_t size[] = {3, 3};
    const float temperature[] = {1, 1};
    double p[5], pair[25] = {0}, total = 0;
    int first[5] = {0}, both[25] = {0};
    shop s;

    open_ids(&s, codes, 5, 2, size, false, 3);
    for (int i = 0; i < 5; i++)
        total += p[i] = exp(truth(&s.o, 0, i, true));
    assert_float_equal(total, 1, 1e-6);
    for (int i = 0; i < 25; i++)
        pair[i] = i / 5 == i % 5 ? 0 : p[i / 5] * p[i % 5] / (1 - p[i / 5]);
    for (uint64_t d = 0; d < DRAWS; d++) {
        const sg_beam_spec spec = {
            .beam = 2, .k = 2, .renormalise = true, .temperature = temperature, .seed = seed(), .draw = &d};
        int32_t item[2];
        float score[2];

        search(&s, &spec, 1, NULL, item, score);
        first[item[0]]++;
        both[item[0] * 5 + item[1]]++;
        assert_float_equal(exp((double)score[0]), p[item[0]], 1e-5);
        assert_float_equal(exp((double)score[1]), p[item[1]], 1e-5);
    }
    for (int i = 0; i < 5; i++) /* 5 standard deviations */
        assert_float_equal((double)first[i] / DRAWS, p[i], 5 * sqrt(p[i] / DRAWS));
    for (int i = 0; i < 25; i++)
        assert_float_equal((double)both[i] / DRAWS, pair[i], 5 * sqrt(pair[i] / DRAWS) + 1e-9);
    close_shop(&s);
}

static void a_draw_does_not_depend_on_the_batch(void **state)
{
    (void)state;
    const float temperature[LEVELS] = {0.7f, 1, 1.5f, 1, 1};
    const uint64_t names[USERS] = {11, 5, 7, 7, 2};

    for (uint64_t id = 0; id < 20; id++) {
        int32_t all[USERS * 6], one[6];
        float score[USERS * 6];
        shop s;

        open_shop(&s, 2 * id);
        sg_beam_spec spec = make_spec(&s, id, 6, 6);
        spec.temperature = temperature;
        spec.draw = names;
        search(&s, &spec, USERS, NULL, all, score);
        for (int u = 0; u < USERS; u++)
            for (int i = 0; i < 6 && all[u * 6 + i] >= 0; i++) {
                assert_true(may_return(&s, &spec, u, all[u * 6 + i]));
                assert_float_equal(score[u * 6 + i], truth(&s.o, u, all[u * 6 + i], spec.renormalise), 4e-5);
                for (int j = 0; j < i; j++)
                    assert_true(all[u * 6 + j] != all[u * 6 + i]);
            }
        search(&s, &spec, 1, NULL, one, score);
        assert_memory_equal(one, all, sizeof one);
        close_shop(&s);
    }
}

static void low_temperature_is_the_greedy_path(void **state)
{
    (void)state;
    const float temperature[LEVELS] = {1e-4f, 1e-4f, 1e-4f, 1e-4f, 1e-4f};

    for (uint64_t id = 0; id < 20; id++) {
        int32_t greedy, drawn;
        float score;
        shop s;

        open_shop(&s, 2 * id);
        sg_beam_spec spec = {.beam = 1, .k = 1, .renormalise = true};
        search(&s, &spec, 1, NULL, &greedy, &score);
        spec.temperature = temperature;
        search(&s, &spec, 1, NULL, &drawn, &score);
        assert_int_equal(drawn, greedy);
        close_shop(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_items_by_their_probability),
        cmocka_unit_test(a_draw_does_not_depend_on_the_batch),
        cmocka_unit_test(low_temperature_is_the_greedy_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
