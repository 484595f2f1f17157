/* mmr.c - maximal marginal relevance against its definition, computed afresh for every place. */
#include "decode/mmr.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N = 60, LEVELS = 3, CODES = 4 };

static int32_t codes[N * LEVELS];

static double likeness(int32_t a, int32_t b)
{
    int same = 0;

    while (same < LEVELS && codes[a * LEVELS + same] == codes[b * LEVELS + same])
        same++;
    return (double)same / LEVELS;
}

static void lists(int32_t *item, float *score, uint64_t id)
{
    for (int i = 0; i < N * LEVELS; i++)
        codes[i] = (int32_t)sg_rng_below(CODES, id, SG_RNG_TEST, 1, (uint64_t)i);
    for (int i = 0; i < N; i++) {
        item[i] = (i * 7 + 3) % N;
        score[i] = (i ? score[i - 1] : 2) - sg_rng_float(id, SG_RNG_TEST, 2, (uint64_t)i);
    }
}

static void picks_what_the_definition_says(void **state)
{
    static const float apart[] = {0, 0.1f, 0.5f, 1};
    int32_t item[N], was[N];
    float score[N], was_score[N], near[N];

    (void)state;
    for (uint64_t id = 0; id < 20; id++)
        for (int a = 0; a < 4; a++) {
            bool taken[N] = {false};

            lists(was, was_score, id);
            memcpy(item, was, sizeof item);
            memcpy(score, was_score, sizeof score);
            sg_mmr(item, score, near, N, 10, codes, LEVELS, apart[a]);
            for (int place = 0; place < 10; place++) {
                double most = -10, mine = -10;
                int at = -1;

                for (int i = 0; i < N; i++) {
                    double close = 0, worth;

                    for (int j = 0; j < place; j++)
                        close = likeness(was[i], item[j]) > close ? likeness(was[i], item[j]) : close;
                    worth =
                        (1 - (double)apart[a]) * (1 - ((double)was_score[0] - (double)was_score[i]) /
                                                          ((double)was_score[0] - (double)was_score[N - 1])) -
                        (double)apart[a] * close;
                    if (!taken[i])
                        most = worth > most ? worth : most;
                    if (was[i] == item[place]) {
                        at = i;
                        mine = worth;
                    }
                }
                assert_true(at >= 0 && !taken[at] && score[place] == was_score[at]);
                assert_true(mine > most - 1e-5); /* f32 against double: two alike may change places */
                taken[at] = true;
            }
            if (apart[a] == 0)
                assert_memory_equal(item, was, sizeof item);
            for (int i = 10, from = 0; i < N; i++, from++) { /* the rest follows in its order */
                while (taken[from])
                    from++;
                assert_int_equal(item[i], was[from]);
            }
        }
}

static void stops_where_nothing_is_left(void **state)
{
    int32_t item[] = {2, 0, -1, -1};
    float score[] = {1, 1, -1e30f, -1e30f}, near[4];

    (void)state;
    memset(codes, 0, sizeof codes);
    sg_mmr(item, score, near, 4, 4, codes, LEVELS, 0.5f);
    assert_memory_equal(item, ((int32_t[]){2, 0, -1, -1}), sizeof item);
    sg_mmr(item + 2, score + 2, near, 2, 2, codes, LEVELS, 0.5f);
    assert_int_equal(item[2], -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks_what_the_definition_says),
        cmocka_unit_test(stops_where_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
