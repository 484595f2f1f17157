/* id_shop.h - what tests of decoding ask: random catalogues of IDs, and a made-up model whose logits are a function of user and prefix. */
#ifndef TESTS_ID_SHOP_H
#define TESTS_ID_SHOP_H

#include "base/alloc.h"
#include "base/rng.h"
#include "decode/beam.h"

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

static inline uint64_t seed(void)
{
    const char *text = getenv("SEDGE_TEST_SEED");

    return text ? strtoull(text, NULL, 10) : 20240102;
}

static inline uint32_t draw(uint32_t n, uint64_t a, uint64_t b)
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

static inline uint64_t root_state(const oracle *o, int user)
{
    return sg_rng_u64(o->salt, SG_RNG_TEST, 77, (uint64_t)user);
}

static inline uint64_t child_state(uint64_t state, int32_t code)
{
    return sg_rng_mix(state + 31 * (uint64_t)(code + 1));
}

static inline float logit(const oracle *o, uint64_t state, int32_t code)
{
    const double x = 3 * sg_rng_normal(state, SG_RNG_TEST, 5, (uint64_t)code);

    return o->grid ? (float)(floor(x * o->grid) / o->grid) : (float)x;
}

static inline sg_status answer(void *ctx, const sg_beam_rows *rows, sg_error *err)
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
static inline double truth(const oracle *o, int user, int32_t item, bool renormalise)
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

/* ends: the last code of a level is the end of an ID. */
static inline void open_ids(shop *s, const int32_t *codes, int32_t n, int levels, const int32_t *size,
                            bool ends, uint64_t salt)
{
    sg_error err;

    *s = (shop){.n = n, .arena = sg_arena_new(0)};
    assert_int_equal(sg_catalogue_new(&s->c, codes, n, levels, size, &err), SG_OK);
    if (ends && sg_catalogue_let_end(s->c, &err))
        fail_msg("%s", err.message);
    s->o = (oracle){.c = s->c, .salt = salt, .bad_level = -1};
    for (int i = 0; i < 2; i++)
        s->o.state[i] = calloc(ROWS, sizeof *s->o.state[i]);
}

/* IDs of two shops in five end. */
static inline void open_shop(shop *s, uint64_t id)
{
    const bool ends = id % 5 == 2 || id % 5 == 3;
    static const int32_t sizes[] = {2, 3, 7, 20, 300};
    const int levels = (int)draw(LEVELS, id, 0) + 1;
    int32_t size[LEVELS], *codes = calloc(ITEMS * LEVELS, sizeof *codes);
    const uint32_t want = draw(id % 2 ? 12 : ITEMS, id, 1) + 1;
    int32_t n = 0;

    for (int l = 0; l < levels; l++)
        size[l] = sizes[draw(5, id, 2 + (uint64_t)l)];
    for (uint32_t i = 0; i < want; i++) {
        bool fresh = true;

        for (int l = 0; l < levels; l++)
            codes[n * levels + l] = (int32_t)draw((uint32_t)size[l], id, 100 + i * LEVELS + (uint64_t)l);
        for (int l = 1; ends && l < levels; l++)
            if (draw(3, id, 50000 + i * LEVELS + (uint64_t)l) == 0 ||
                (l > 1 && codes[n * levels + l - 1] + 1 == size[l - 1]) ||
                codes[n * levels + l] + 1 == size[l])
                codes[n * levels + l] = size[l] - 1;
        for (int32_t j = 0; j < n && fresh; j++)
            fresh = memcmp(codes + j * levels, codes + n * levels, (size_t)levels * sizeof *codes) != 0;
        n += fresh;
    }
    open_ids(s, codes, n, levels, size, ends, id);
    free(codes);
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

static inline void free_shop(shop *s)
{
    sg_catalogue_free(s->c);
    sg_arena_free(s->arena);
    for (int i = 0; i < 2; i++)
        free(s->o.state[i]);
}

static inline void close_shop(shop *s)
{
    free_shop(s);
    assert_int_equal(sg_alloc_live(), 0);
}

static inline bool may_return(const shop *s, const sg_beam_spec *spec, int user, int32_t item)
{
    for (int64_t i = s->deny_offsets[user]; spec->deny_offsets && i < s->deny_offsets[user + 1]; i++)
        if (s->deny[i] == item)
            return false;
    return !spec->allow || spec->allow[item];
}

static inline sg_beam_spec make_spec(const shop *s, uint64_t id, int beam, int k)
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

static inline void search(shop *s, const sg_beam_spec *spec, int batch, sg_pool *pool, int32_t *item,
                          float *score)
{
    sg_error err = {0};

    sg_arena_reset(s->arena);
    if (sg_beam_search(item, score, s->c, batch, spec, answer, &s->o, pool, s->arena, &err))
        fail_msg("%s", err.message);
}

#endif
