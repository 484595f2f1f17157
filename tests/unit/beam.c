/* beam.c - constrained beam search against brute force, on random catalogues and a made-up model whose logits
 * are a function of user and prefix. */
#include "base/alloc.h"
#include "base/rng.h"
#include "decode/beam.h"
#include "decode/legal.h"
#include "decode/select.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ITEMS = 300, LEVELS = 5, USERS = 5, ROWS = USERS * ITEMS };

static uint64_t seed(void)
{
    const char *text = getenv("SEDGE_TEST_SEED");

    return text ? strtoull(text, NULL, 10) : 20240102;
}

static uint32_t draw(uint32_t n, uint64_t a, uint64_t b)
{
    return (uint32_t)sg_rng_below(n, seed(), SG_RNG_TEST, a, b);
}

/* ---- the model ----------------------------------------------------------------------------------------- */

typedef struct oracle {
    const sg_catalogue *c;
    uint64_t salt;
    int grid;      /* > 0: logits are multiples of 1/grid, so that ties happen */
    int bad_level; /* logits of this level are NaN; -1: none */
    int calls, rows_most, rows_total;
    uint64_t *state[2]; /* what each row of this call and the last one stands for */
} oracle;

static uint64_t root_state(const oracle *o, int user)
{
    return sg_rng_u64(o->salt, SG_RNG_TEST, 77, (uint64_t)user);
}

static uint64_t child_state(uint64_t state, int32_t code)
{
    return sg_rng_mix(state + 31 * (uint64_t)(code + 1));
}

static float logit(const oracle *o, uint64_t state, int32_t code)
{
    const double x = 3 * sg_rng_normal(state, SG_RNG_TEST, 5, (uint64_t)code);

    return o->grid ? (float)(floor(x * o->grid) / o->grid) : (float)x;
}

static sg_status answer(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    oracle *o = ctx;
    const int32_t size = sg_catalogue_size(o->c, rows->level);

    assert_true(rows->n > 0 && rows->n <= ROWS);
    assert_int_equal(rows->offsets[0], 0);
    assert_int_equal(rows->offsets[rows->batch], rows->n);
    o->calls++;
    o->rows_total += rows->n;
    o->rows_most = rows->n > o->rows_most ? rows->n : o->rows_most;
    for (int u = 0; u < rows->batch; u++)
        for (int r = rows->offsets[u]; r < rows->offsets[u + 1]; r++) {
            uint64_t *state = &o->state[rows->level & 1][r];

            if (rows->level == 0) {
                assert_int_equal(rows->parent[r], -1);
                assert_int_equal(rows->code[r], -1);
                *state = root_state(o, u);
            } else {
                *state = child_state(o->state[(rows->level - 1) & 1][rows->parent[r]], rows->code[r]);
            }
            for (int32_t i = 0; i < size; i++)
                rows->logits[(size_t)r * (size_t)rows->ld + (size_t)i] =
                    rows->level == o->bad_level ? NAN : logit(o, *state, i);
            if (rows->level == o->bad_level && u == 0)
                return SG_OK; /* one bad user is enough, the rest stays unset */
        }
    return SG_OK;
}

/* log p of an item, the slow way: with the end of its ID, and nothing for what follows that */
static double truth(const oracle *o, int user, int32_t item, bool renormalise)
{
    int32_t codes[LEVELS + 1], node = 0;
    uint64_t state = root_state(o, user);
    double sum = 0;

    sg_catalogue_codes(o->c, item, codes);
    for (int l = 0; l < sg_catalogue_levels(o->c) && l <= sg_catalogue_length(o->c, codes); l++) {
        const sg_children kids = sg_catalogue_children(o->c, l, node);
        double z = 0;

        for (int32_t i = 0; renormalise && i < kids.n; i++)
            z += exp((double)logit(o, state, sg_child_code(&kids, i)));
        for (int32_t i = 0; !renormalise && i < sg_catalogue_size(o->c, l); i++)
            z += exp((double)logit(o, state, i));
        sum += (double)logit(o, state, codes[l]) - log(z);
        node = sg_catalogue_child(o->c, l, node, codes[l]);
        state = child_state(state, codes[l]);
    }
    return sum;
}

/* ---- a shop -------------------------------------------------------------------------------------------- */

typedef struct shop {
    sg_catalogue *c;
    oracle o;
    int32_t n;
    uint8_t allow[ITEMS];
    int64_t deny_offsets[USERS + 1];
    int32_t deny[USERS * ITEMS];
    sg_arena *arena;
} shop;

/* IDs of two shops in five end. */
static void open_shop(shop *s, uint64_t id)
{
    const bool ends = id % 5 == 2 || id % 5 == 3;
    static const int32_t sizes[] = {2, 3, 7, 20, 300};
    const int levels = (int)draw(LEVELS, id, 0) + 1;
    int32_t size[LEVELS], *codes = calloc(ITEMS * LEVELS, sizeof *codes);
    const uint32_t want = draw(id % 2 ? 12 : ITEMS, id, 1) + 1;
    sg_error err;

    *s = (shop){.arena = sg_arena_new(0)};
    for (int l = 0; l < levels; l++)
        size[l] = sizes[draw(5, id, 2 + (uint64_t)l)];
    for (uint32_t i = 0; i < want; i++) {
        bool fresh = true;

        for (int l = 0; l < levels; l++)
            codes[s->n * levels + l] = (int32_t)draw((uint32_t)size[l], id, 100 + i * LEVELS + (uint64_t)l);
        for (int l = 1; ends && l < levels; l++)
            if (draw(3, id, 50000 + i * LEVELS + (uint64_t)l) == 0 || (l > 1 && codes[s->n * levels + l - 1] + 1 == size[l - 1]) ||
                codes[s->n * levels + l] + 1 == size[l])
                codes[s->n * levels + l] = size[l] - 1;
        for (int32_t j = 0; j < s->n && fresh; j++)
            fresh = memcmp(codes + j * levels, codes + s->n * levels, (size_t)levels * sizeof *codes) != 0;
        s->n += fresh;
    }
    assert_int_equal(sg_catalogue_new(&s->c, codes, s->n, levels, size, &err), SG_OK);
    if (ends && sg_catalogue_let_end(s->c, &err))
        fail_msg("%s", err.message);
    free(codes);
    s->o = (oracle){.c = s->c, .salt = id, .bad_level = -1};
    for (int i = 0; i < 2; i++)
        s->o.state[i] = calloc(ROWS, sizeof *s->o.state[i]);
    for (int32_t i = 0; i < s->n; i++)
        s->allow[i] = draw(id % 5 == 0 ? 10 : 2, id, 5000 + (uint64_t)i) == 0;
    s->deny_offsets[0] = 3; /* offsets need not start at 0 */
    for (int u = 0; u < USERS; u++) {
        int64_t at = s->deny_offsets[u];

        for (uint32_t i = draw(u == 2 ? 400 : 10, id, 6000 + (uint64_t)u); i > 0 && at < (u + 1) * ITEMS; i--)
            s->deny[at++] =
                (int32_t)draw((uint32_t)s->n + 1, id, 7000 + (uint64_t)u * 1000 + i) - (i % 7 == 0);
        s->deny_offsets[u + 1] = at;
    }
}

static void close_shop(shop *s)
{
    sg_catalogue_free(s->c);
    sg_arena_free(s->arena);
    for (int i = 0; i < 2; i++)
        free(s->o.state[i]);
    assert_int_equal(sg_alloc_live(), 0);
}

static bool may_return(const shop *s, const sg_beam_spec *spec, int user, int32_t item)
{
    for (int64_t i = s->deny_offsets[user]; spec->deny_offsets && i < s->deny_offsets[user + 1]; i++)
        if (s->deny[i] == item)
            return false;
    return !spec->allow || spec->allow[item];
}

static sg_beam_spec make_spec(const shop *s, uint64_t id, int beam, int k)
{
    sg_beam_spec spec = {.beam = beam, .k = k, .renormalise = id & 1};

    if (id & 2)
        spec.allow = s->allow;
    if (id & 4) {
        spec.deny_offsets = s->deny_offsets;
        spec.deny = s->deny;
    }
    return spec;
}

static void search(shop *s, const sg_beam_spec *spec, int batch, sg_pool *pool, int32_t *item, float *score)
{
    sg_error err = {0};

    sg_arena_reset(s->arena);
    if (sg_beam_search(item, score, s->c, batch, spec, answer, &s->o, pool, s->arena, &err))
        fail_msg("%s", err.message);
}

/* ---- promises ------------------------------------------------------------------------------------------ */

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
                        (plain){kids.first + i, sg_child_code(&kids, i), child_state(live[r].state, sg_child_code(&kids, i)),
                                (spec->renormalise && kids.n == 1) || sg_catalogue_ended(s->c, l, live[r].code) /* certain */
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
            known[i] = draw(4, id, 90000 + (uint64_t)i) ? 0 : 3 * (float)draw(100, id, 95000 + (uint64_t)i) / 10 - 5;
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
                assert_true(fabs((double)score[u * K + k] - best) < 2e-4); /* f32 sums of some 10, the slack of the second search */
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
        sg_catalogue_free(s.c);
        sg_arena_free(s.arena);
        free(s.o.state[0]);
        free(s.o.state[1]);
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
    shop s = {.n = 4, .arena = sg_arena_new(0)};
    sg_error err;

    assert_int_equal(sg_catalogue_new(&s.c, codes, 4, 3, size, &err), SG_OK);
    s.o = (oracle){.c = s.c, .salt = 1, .bad_level = -1};
    for (int i = 0; i < 2; i++)
        s.o.state[i] = calloc(ROWS, sizeof *s.o.state[i]);
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
    shop s = {.n = 3, .arena = sg_arena_new(0)};
    sg_error err;

    assert_int_equal(sg_catalogue_new(&s.c, codes, 3, 4, size, &err), SG_OK);
    assert_int_equal(sg_catalogue_let_end(s.c, &err), SG_OK);
    s.o = (oracle){.c = s.c, .salt = 1, .bad_level = -1};
    for (int i = 0; i < 2; i++)
        s.o.state[i] = calloc(ROWS, sizeof *s.o.state[i]);
    assert_int_equal(sg_catalogue_length(s.c, codes), 1);
    assert_int_equal(sg_catalogue_length(s.c, codes + 4), 2);
    assert_int_equal(sg_catalogue_length(s.c, codes + 8), 3);
    search(&s, &(sg_beam_spec){.beam = 3, .k = 3}, 1, NULL, item, score);
    assert_int_equal(s.o.rows_total, 1 + 2 + 1 + 1); /* of (0, end) and (1, 2, end) nothing is asked any more */
    s.o.rows_total = 0;
    search(&s, &(sg_beam_spec){.beam = 3, .k = 3, .renormalise = true}, 1, NULL, item, score);
    assert_int_equal(s.o.rows_total, 1 + 1 + 1); /* the root, 1, (1, 2) */
    assert_int_equal(sg_path_scores(logp, s.c, (const int32_t[]){0, 1, 2}, 3, false, answer, &s.o, s.arena, &err), SG_OK);
    assert_true(logp[1] < 0 && logp[2] == 0 && logp[3] == 0);
    assert_true(logp[4 + 2] < 0 && logp[4 + 3] == 0 && logp[8 + 3] < 0);
    assert_int_equal(sg_path_scores(logp, s.c, (const int32_t[]){0, 1, 2}, 3, true, answer, &s.o, s.arena, &err), SG_OK);
    assert_true(logp[1] == 0 && logp[4 + 2] < 0 && logp[8 + 3] == 0);
    close_shop(&s);
}

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
    assert_int_equal(sg_beam_search(item, score, s.c, 1, &(sg_beam_spec){.k = 8, .complete = 9, .cold = unseen}, answer, &s.o,
                                    NULL, s.arena, &err),
                     SG_ERR_USAGE);
    assert_int_equal(sg_beam_search(item, score, s.c, 1, &(sg_beam_spec){.k = 8, .prior = &known, .cold = unseen}, answer,
                                    &s.o, NULL, s.arena, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, "beam search: no prior with groups, with what is drawn or mixed with unseen items");
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

/* ---- sampling ------------------------------------------------------------------------------------------ */

static void draws_items_by_their_probability(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    const int32_t codes[] = {0, 0, 0, 1, 1, 0, 1, 1, 2, 2};
    const int32_t size[] = {3, 3};
    const float temperature[] = {1, 1};
    double p[5], pair[25] = {0}, total = 0;
    int first[5] = {0}, both[25] = {0};
    shop s = {.n = 5, .arena = sg_arena_new(0)};
    sg_error err;

    assert_int_equal(sg_catalogue_new(&s.c, codes, 5, 2, size, &err), SG_OK);
    s.o = (oracle){.c = s.c, .salt = 3, .bad_level = -1};
    for (int i = 0; i < 2; i++)
        s.o.state[i] = calloc(ROWS, sizeof *s.o.state[i]);
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

/* ---- cold start ---------------------------------------------------------------------------------------- */

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

/* ---- selection ----------------------------------------------------------------------------------------- */

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

/* ---- groups -------------------------------------------------------------------------------------------- */

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
        close_shop(&s);
    }
    assert_true(spread > 20);
}

static sg_status fixed(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    static const float level[2][3] = {{2, 1.9f, 0}, {0.5f, 0.4f, 0}};

    for (int r = 0; r < rows->n; r++)
        memcpy(rows->logits + (size_t)r * (size_t)rows->ld, level[rows->level], sizeof level[0]);
    return SG_OK;
}

/* By hand: the first group takes code 0; for the second it counts 2 - 1 against 1.9, so it takes code 1. */
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
    assert_int_equal(sg_beam_search(item, score, c, 1, &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .diversity = diversity},
                                    fixed, NULL, NULL, arena, &err), SG_OK);
    assert_true(item[0] == 0 && item[1] == 2);
    assert_int_equal(sg_beam_search(item, score, c, 1,
                                    &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .diversity = (const float[]){0.05f, 1}},
                                    fixed, NULL, NULL, arena, &err), SG_OK);
    assert_true(item[0] == 0 && item[1] == 1); /* both groups keep code 0; then code 0 again counts .5 - 1, so code 1 */
    assert_int_equal(sg_beam_search(item, score, c, 1, &(sg_beam_spec){.beam = 2, .k = 2, .groups = 2, .complete = 8,
                                                                       .diversity = diversity},
                                    fixed, NULL, NULL, arena, &err), SG_ERR_USAGE);
    sg_catalogue_free(c);
    sg_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_keep_the_promises),
        cmocka_unit_test(groups_follow_a_trace),
        cmocka_unit_test(selects_and_sorts_keys),
        cmocka_unit_test(a_full_beam_is_enumeration),
        cmocka_unit_test(equals_the_plainest_beam_search),
        cmocka_unit_test(a_completed_search_is_exact),
        cmocka_unit_test(a_prior_is_added_and_searched_by),
        cmocka_unit_test(gives_the_same_bytes_on_any_number_of_threads),
        cmocka_unit_test(calls_no_malloc_once_warm),
        cmocka_unit_test(asks_for_no_logits_when_one_item_is_left),
        cmocka_unit_test(an_end_costs_one_code_and_what_follows_nothing),
        cmocka_unit_test(scores_the_whole_catalogue_exactly),
        cmocka_unit_test(tells_the_probability_of_each_code),
        cmocka_unit_test(says_when_logits_are_no_numbers),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(survives_failing_memory),
        cmocka_unit_test(draws_items_by_their_probability),
        cmocka_unit_test(a_draw_does_not_depend_on_the_batch),
        cmocka_unit_test(low_temperature_is_the_greedy_path),
        cmocka_unit_test(unseen_items_take_their_share_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
