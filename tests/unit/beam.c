/* beam.c - constrained beam search against brute force. */
#include "id_shop.h"

#include "decode/legal.h"

static void a_full_beam_is_enumeration(void **state)
{
    (void)state;
    int32_t item[USERS * (ITEMS + 3)];
    float score[USERS * (ITEMS + 3)];

    print_message("seed %llu\n", (unsigned long long)seed());
    for (uint64_t id = 0; id < 64; id++) {
        shop s;

        open_shop(&s, id);
        const int k = s.n + 3; /* more than there are */
        const sg_beam_spec spec = make_spec(&s, id, s.n, k);
        search(&s, &spec, USERS, NULL, item, score);
        for (int u = 0; u < USERS; u++) {
            const int32_t *list = item + u * k;
            bool found[ITEMS] = {false};
            int n = 0;

            for (; n < k && list[n] >= 0; n++) {
                assert_true(may_return(&s, &spec, u, list[n]));
                assert_false(found[list[n]]);
                found[list[n]] = true;
                /* f32 sums of up to 5 levels, values up to 60: 5 * 60 * 2^-23 */
                assert_float_equal(score[u * k + n], truth(&s.o, u, list[n], spec.renormalise), 4e-5);
                if (n > 0)
                    assert_true(score[u * k + n] <= score[u * k + n - 1]);
                if (n > 0 && score[u * k + n] == score[u * k + n - 1])
                    assert_true(sg_catalogue_leaf(s.c, list[n]) > sg_catalogue_leaf(s.c, list[n - 1]));
            }
            for (int32_t i = 0; i < s.n; i++)
                assert_int_equal(found[i], may_return(&s, &spec, u, i));
            for (; n < k; n++) {
                assert_int_equal(list[n], -1);
                assert_true(score[u * k + n] == -INFINITY);
            }
        }
        close_shop(&s);
    }
}

/* The plainest beam search: all children of all prefixes, sorted. Same arithmetic, so equal to the last
 * bit. */
typedef struct plain {
    int32_t node, code;
    uint64_t state;
    float score;
} plain;

static int by_score(const void *a, const void *b)
{
    const plain *x = a, *y = b;

    return x->score != y->score ? (x->score < y->score ? 1 : -1) : (x->node > y->node) - (x->node < y->node);
}

static bool leads_somewhere(const shop *s, const sg_beam_spec *spec, int user, int level, int32_t node)
{
    int32_t first, last;

    sg_catalogue_span(s->c, level, node, &first, &last);
    for (; first < last; first++)
        if (may_return(s, spec, user, sg_catalogue_item(s->c, first)))
            return true;
    return false;
}

static size_t search_plainly(const shop *s, const sg_beam_spec *spec, int user, plain *live)
{
    static plain next[ITEMS * 300];
    static float logits[304], scratch[700];
    size_t n = leads_somewhere(s, spec, user, 0, 0);
    const size_t beam = (size_t)(spec->beam > spec->k ? spec->beam : spec->k);

    live[0] = (plain){0, -1, root_state(&s->o, user), 0};
    for (int l = 0; l < sg_catalogue_levels(s->c); l++) {
        size_t m = 0;

        for (size_t r = 0; r < n; r++) {
            const sg_children kids = sg_catalogue_children(s->c, l, live[r].node);
            sg_legal legal;

            for (int32_t i = 0; i < sg_catalogue_size(s->c, l); i++)
                logits[i] = logit(&s->o, live[r].state, i);
            assert_true(
                sg_legal_row(&legal, logits, sg_catalogue_size(s->c, l), &kids, spec->renormalise, scratch));
            for (int32_t i = 0; i < kids.n; i++)
                if (leads_somewhere(s, spec, user, l + 1, kids.first + i))
                    next[m++] =
                        (plain){kids.first + i, sg_child_code(&kids, i),
                                child_state(live[r].state, sg_child_code(&kids, i)),
                                (spec->renormalise && kids.n == 1) ||
                                        sg_catalogue_ended(s->c, l, live[r].code) /* certain */
                                    ? live[r].score
                                    : sg_child_score(live[r].score, legal.x[i],
                                                     (float)((double)live[r].score - (double)legal.lse))};
        }
        qsort(next, m, sizeof *next, by_score);
        n = m < beam ? m : beam;
        memcpy(live, next, n * sizeof *next);
    }
    return n;
}

static void equals_the_plainest_beam_search(void **state)
{
    (void)state;
    int32_t item[USERS * ITEMS];
    float score[USERS * ITEMS];
    plain want[ITEMS];

    for (uint64_t id = 0; id < 200; id++) {
        shop s;

        open_shop(&s, id);
        const int beam = (int)draw(40, id, 90) + 1;
        const int k = (int)draw((uint32_t)beam + 2, id, 91) + 1;
        const sg_beam_spec spec = make_spec(&s, id / 3, beam, k);
        s.o.grid = id % 4 == 0 ? 1 : 0; /* many ties */
        search(&s, &spec, USERS, NULL, item, score);
        for (int u = 0; u < USERS; u++) {
            const size_t n = search_plainly(&s, &spec, u, want);
            int32_t allowed = 0;

            for (size_t i = 0; i < (size_t)k; i++) {
                const int32_t got = item[u * k + (int)i];

                assert_int_equal(got, i < n ? sg_catalogue_item(s.c, want[i].node) : -1);
                if (got >= 0)
                    assert_true(score[u * k + (int)i] == want[i].score);
            }
            for (int32_t i = 0; i < s.n; i++)
                allowed += may_return(&s, &spec, u, i);
            if (allowed >= k)
                assert_true(item[u * k + k - 1] >= 0); /* a filter never makes the list short */
        }
        close_shop(&s);
    }
}

static void a_completed_search_is_exact(void **state)
{
    (void)state;
    enum { K = 3 };
    int32_t item[USERS * K], narrow[USERS * K], exact[USERS * K];
    float score[USERS * K], want[USERS * K];
    int missed = 0;

    for (uint64_t id = 0; id < 64; id++) {
        shop s;

        open_shop(&s, id);
        sg_beam_spec spec = make_spec(&s, id, K, K);
        search(&s, &spec, USERS, NULL, narrow, score);
        spec.complete = ITEMS;
        search(&s, &spec, USERS, NULL, item, score);
        spec.complete = 0;
        spec.beam = s.n;
        search(&s, &spec, USERS, NULL, exact, want);
        assert_memory_equal(item, exact, sizeof item);
        assert_memory_equal(score, want, sizeof score);
        missed += memcmp(narrow, exact, sizeof exact) != 0;
        s.o.rows_total = s.o.calls = 0;
        search(&s, &spec, USERS, NULL, item, score);
        const int calls = s.o.calls, rows = s.o.rows_total;
        spec.complete = ITEMS;
        search(&s, &spec, USERS, NULL, item, score); /* nothing was dropped: nobody is asked twice */
        assert_int_equal(s.o.calls, 2 * calls);
        assert_int_equal(s.o.rows_total, 2 * rows);
        close_shop(&s);
    }
    assert_true(missed > 10); /* by the narrow search alone */
}

static void gives_the_same_bytes_on_any_number_of_threads(void **state)
{
    (void)state;
    sg_pool *pool[2];
    sg_error err;

    for (int i = 0; i < 2; i++)
        assert_int_equal(sg_pool_new(&pool[i], 2 << i, &err), SG_OK);
    for (uint64_t id = 0; id < 24; id++) {
        const float hot[LEVELS] = {1, 0.5f, 2, 1, 1};
        int32_t item[3][USERS * 9];
        float score[3][USERS * 9];
        shop s;

        open_shop(&s, 2 * id);
        sg_beam_spec spec = make_spec(&s, id, 20, 9);
        spec.temperature = id % 3 == 0 ? hot : NULL;
        for (int i = 0; i < 3; i++)
            search(&s, &spec, USERS, i ? pool[i - 1] : NULL, item[i], score[i]);
        for (int i = 1; i < 3; i++) {
            assert_memory_equal(item[i], item[0], sizeof item[0]);
            assert_memory_equal(score[i], score[0], sizeof score[0]);
        }
        free_shop(&s);
    }
    for (int i = 0; i < 2; i++)
        sg_pool_free(pool[i]);
    assert_int_equal(sg_alloc_live(), 0);
}

static void calls_no_malloc_once_warm(void **state)
{
    (void)state;
    int32_t item[USERS * 10];
    float score[USERS * 10];
    uint64_t calls = 0;
    shop s;

    open_shop(&s, 6);
    const sg_beam_spec spec = make_spec(&s, 7, 20, 10);
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            calls = sg_alloc_calls();
        search(&s, &spec, USERS, NULL, item, score);
    }
    assert_int_equal(sg_alloc_calls(), calls);
    close_shop(&s);
}

static void asks_for_no_logits_when_one_item_is_left(void **state)
{
    (void)state;
    const int32_t codes[] = {0, 0, 0, 1, 0, 0,
                             1, 1, 0, 1, 1, 1}; /* 0 and 10 lead to one item each, 11 to two */
    const int32_t size[] = {2, 2, 2};
    int32_t item[4];
    float score[4];
    shop s;

    open_ids(&s, codes, 4, 3, size, false, 1);
    search(&s, &(sg_beam_spec){.beam = 4, .k = 4, .renormalise = true}, 1, NULL, item, score);
    assert_int_equal(s.o.calls, 3);
    assert_int_equal(s.o.rows_total, 3); /* the root, 1, 11 */
    s.o.rows_total = 0;
    search(&s, &(sg_beam_spec){.beam = 4, .k = 4}, 1, NULL, item, score);
    assert_int_equal(s.o.rows_total, 1 + 2 + 3);
    close_shop(&s);
}

/* Items 0 and 1 end after one and two codes, item 2 takes the end's place at level 3: two codes more, none for what fills up. */
static void an_end_costs_one_code_and_what_follows_nothing(void **state)
{
    (void)state;
    const int32_t codes[] = {0, 4, 4, 4, 1, 2, 4, 4, 1, 2, 3, 4};
    const int32_t size[] = {2, 5, 5, 5};
    float logp[3 * 4];
    int32_t item[3];
    float score[3];
    shop s;
    sg_error err;

    open_ids(&s, codes, 3, 4, size, true, 1);
    assert_int_equal(sg_catalogue_length(s.c, codes), 1);
    assert_int_equal(sg_catalogue_length(s.c, codes + 4), 2);
    assert_int_equal(sg_catalogue_length(s.c, codes + 8), 3);
    search(&s, &(sg_beam_spec){.beam = 3, .k = 3}, 1, NULL, item, score);
    assert_int_equal(s.o.rows_total,
                     1 + 2 + 1 + 1); /* of (0, end) and (1, 2, end) nothing is asked any more */
    s.o.rows_total = 0;
    search(&s, &(sg_beam_spec){.beam = 3, .k = 3, .renormalise = true}, 1, NULL, item, score);
    assert_int_equal(s.o.rows_total, 1 + 1 + 1); /* the root, 1, (1, 2) */
    assert_int_equal(
        sg_path_scores(logp, s.c, (const int32_t[]){0, 1, 2}, 3, false, answer, &s.o, s.arena, &err), SG_OK);
    assert_true(logp[1] < 0 && logp[2] == 0 && logp[3] == 0);
    assert_true(logp[4 + 2] < 0 && logp[4 + 3] == 0 && logp[8 + 3] < 0);
    assert_int_equal(
        sg_path_scores(logp, s.c, (const int32_t[]){0, 1, 2}, 3, true, answer, &s.o, s.arena, &err), SG_OK);
    assert_true(logp[1] == 0 && logp[4 + 2] < 0 && logp[8 + 3] == 0);
    close_shop(&s);
}

static void says_when_logits_are_no_numbers(void **state)
{
    (void)state;
    float scores[ITEMS * 2];
    int32_t item[8];
    float score[8];
    sg_error err;
    shop s;

    open_shop(&s, 20);
    for (int l = 0; l < sg_catalogue_levels(s.c); l++) {
        s.o.bad_level = l;
        sg_arena_reset(s.arena);
        assert_int_equal(sg_beam_search(item, score, s.c, 1, &(sg_beam_spec){.beam = 8, .k = 8}, answer, &s.o,
                                        NULL, s.arena, &err),
                         SG_ERR_NUMERIC);
        if (l == 0)
            assert_string_equal(err.message,
                                "decoding: logits of level 1 are not finite (history 0 of the batch)");
        sg_arena_reset(s.arena);
        assert_int_equal(sg_exact_scores(scores, s.c, 1, false, 0, answer, &s.o, NULL, s.arena, &err),
                         SG_ERR_NUMERIC);
    }
    close_shop(&s);
}

static void refuses_what_makes_no_sense(void **state)
{
    (void)state;
    const float cold[LEVELS] = {0};
    const uint8_t unseen[ITEMS] = {0};
    const sg_prior known = {{NULL}};
    int32_t item[8];
    float score[8];
    sg_error err;
    shop s;

    open_shop(&s, 20);
    assert_int_equal(
        sg_beam_search(item, score, s.c, 1, &(sg_beam_spec){.beam = 8}, answer, &s.o, NULL, s.arena, &err),
        SG_ERR_USAGE);
    assert_string_equal(err.message, "beam search: expected k of at least 1, found 0");
    assert_int_equal(sg_beam_search(item, score, s.c, 1, &(sg_beam_spec){.k = 8, .temperature = cold}, answer,
                                    &s.o, NULL, s.arena, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, "beam search: level 1: expected a temperature above 0, found 0");
    assert_int_equal(sg_beam_search(item, score, s.c, 1,
                                    &(sg_beam_spec){.k = 8, .cold = unseen, .cold_share = 2}, answer, &s.o,
                                    NULL, s.arena, &err),
                     SG_ERR_USAGE);
    assert_int_equal(sg_beam_search(item, score, s.c, 1,
                                    &(sg_beam_spec){.k = 8, .complete = 9, .cold = unseen, .cold_length = 1},
                                    answer, &s.o, NULL, s.arena, &err),
                     SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "beam search: what is drawn, or ranked by length beside unseen items, cannot be completed");
    assert_int_equal(sg_beam_search(item, score, s.c, 1,
                                    &(sg_beam_spec){.k = 8, .prior = &known, .cold = unseen}, answer, &s.o,
                                    NULL, s.arena, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "beam search: no prior with groups, with what is drawn or mixed with unseen items");
    close_shop(&s);
}

static void survives_failing_memory(void **state)
{
    (void)state;
    int32_t item[USERS * 10];
    float score[USERS * 10];
    sg_status st = SG_ERR_MEMORY;
    sg_error err;
    shop s;

    open_shop(&s, 6);
    sg_beam_spec spec = make_spec(&s, 7, 20, 10);
    sg_prior prior;
    float *known = sg_alloc_zero(USERS * ITEMS, sizeof *known);
    spec.complete = 40;
    spec.prior = &prior;
    for (uint64_t n = 1; st != SG_OK; n++) {
        sg_arena_free(s.arena);
        s.arena = sg_arena_new(0);
        sg_alloc_fail_at(n);
        if (!(st = sg_prior_init(&prior, s.c, USERS, known, NULL, s.arena, &err)))
            st = sg_beam_search(item, score, s.c, USERS, &spec, answer, &s.o, NULL, s.arena, &err);
        sg_alloc_fail_at(0);
        assert_true(st == SG_OK || st == SG_ERR_MEMORY);
    }
    sg_free(known);
    close_shop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_beam_is_enumeration),
        cmocka_unit_test(equals_the_plainest_beam_search),
        cmocka_unit_test(a_completed_search_is_exact),
        cmocka_unit_test(gives_the_same_bytes_on_any_number_of_threads),
        cmocka_unit_test(calls_no_malloc_once_warm),
        cmocka_unit_test(asks_for_no_logits_when_one_item_is_left),
        cmocka_unit_test(an_end_costs_one_code_and_what_follows_nothing),
        cmocka_unit_test(says_when_logits_are_no_numbers),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(survives_failing_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
