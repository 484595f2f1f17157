/* living.c - a catalogue under edits: each snapshot answers and decodes like one built anew, old ones stay as they were. */
#include "index/living.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "decode/beam.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ITEMS = 300, LEVELS = 5, ROWS = 3 * ITEMS };

static uint64_t seed(void)
{
    const char *text = getenv("SEDGE_TEST_SEED");

    return text ? strtoull(text, NULL, 10) : 20240110;
}

static uint32_t draw(uint32_t n, uint64_t a, uint64_t b)
{
    return (uint32_t)sg_rng_below(n, seed(), SG_RNG_TEST, a, b);
}

/* ---- a shop and its rebuild ---------------------------------------------------------------------------- */

typedef struct shop {
    int levels;
    int32_t size[LEVELS];
    int32_t codes[ITEMS][LEVELS];
    bool here[ITEMS];
} shop;

typedef struct rebuilt {
    sg_catalogue *c;
    int32_t item[ITEMS];  /* of the number in the rebuild */
    int32_t place[ITEMS]; /* and back; -1 */
    int32_t n;
} rebuilt;

static void draw_codes(shop *s, int32_t item, uint64_t id, uint64_t turn)
{
    for (int l = 0; l < s->levels; l++)
        s->codes[item][l] = (int32_t)draw((uint32_t)s->size[l], id,
                                          1000 + turn * 10000 + (uint64_t)item * LEVELS + (uint64_t)l);
}

static bool is_free(const shop *s, int32_t item)
{
    for (int32_t i = 0; i < ITEMS; i++)
        if (i != item && s->here[i] &&
            memcmp(s->codes[i], s->codes[item], (size_t)s->levels * sizeof *s->codes[i]) == 0)
            return false;
    return true;
}

/* One level, one code a level, 65,536 codes, chains and full levels. */
static shop make_shop(uint64_t id)
{
    static const int32_t sizes[] = {1, 2, 4, 9, 40, 256, 257, 65536};
    shop s = {.levels = (int)draw(LEVELS, id, 0) + 1};

    for (int l = 0; l < s.levels; l++)
        s.size[l] = sizes[draw(8, id, 1 + (uint64_t)l)];
    for (int32_t i = 0; i < ITEMS; i++)
        draw_codes(&s, i, id, 0);
    for (int32_t i = 0; i < (int32_t)draw(id % 2 ? 8 : ITEMS / 2, id, 20) + 1; i++)
        s.here[i] = is_free(&s, i);
    return s;
}

static rebuilt rebuild(const shop *s)
{
    static int32_t codes[ITEMS * LEVELS];
    rebuilt r = {0};
    sg_error err;

    for (int32_t i = 0; i < ITEMS; i++) {
        r.place[i] = s->here[i] ? r.n : -1;
        if (!s->here[i])
            continue;
        r.item[r.n] = i;
        memcpy(codes + r.n++ * s->levels, s->codes[i], (size_t)s->levels * sizeof *codes);
    }
    assert_int_equal(sg_catalogue_new(&r.c, codes, r.n, s->levels, s->size, &err), SG_OK);
    return r;
}

static void check_lift(const sg_catalogue *c, const sg_catalogue *want, int level, uint64_t id)
{
    uint64_t below[ITEMS / 64 + 1] = {0}, above[ITEMS / 64 + 1] = {0}, right[ITEMS / 64 + 1] = {0};
    const int32_t nodes = sg_catalogue_nodes(want, level);

    for (int32_t i = 0; i < sg_catalogue_nodes(want, level + 1); i++)
        if (draw(3, id, 500 + (uint64_t)i) == 0)
            below[i / 64] |= UINT64_C(1) << i % 64;
    sg_catalogue_lift(want, level, below, right, 0, nodes);
    for (int32_t begin = 0; begin < nodes; begin += 64)
        sg_catalogue_lift(c, level, below, above, begin, begin + 64 < nodes ? begin + 64 : nodes);
    assert_memory_equal(above, right, sizeof above);
}

static void check_against(const sg_catalogue *c, const shop *s, uint64_t id)
{
    const rebuilt r = rebuild(s);
    int32_t codes[LEVELS], first, last, right_first, right_last;

    assert_int_equal(sg_catalogue_levels(c), s->levels);
    assert_int_equal(sg_catalogue_nodes(c, s->levels), r.n);
    for (int l = 0; l <= s->levels; l++) {
        assert_int_equal(sg_catalogue_nodes(c, l), sg_catalogue_nodes(r.c, l));
        for (int32_t v = 0; v < sg_catalogue_nodes(c, l); v++) {
            if (l > 0)
                assert_int_equal(sg_catalogue_parent(c, l, v), sg_catalogue_parent(r.c, l, v));
            sg_catalogue_span(c, l, v, &first, &last);
            sg_catalogue_span(r.c, l, v, &right_first, &right_last);
            assert_int_equal(first, right_first);
            assert_int_equal(last, right_last);
            if (l == s->levels)
                continue;
            const sg_children kids = sg_catalogue_children(c, l, v), right = sg_catalogue_children(r.c, l, v);

            assert_int_equal(kids.first, right.first);
            assert_int_equal(kids.n, right.n);
            assert_int_equal(kids.wide, right.wide);
            assert_memory_equal(kids.code, right.code, (size_t)kids.n * (kids.wide ? 2 : 1));
            assert_int_equal(sg_catalogue_child(c, l, v, sg_child_code(&kids, kids.n - 1)),
                             kids.first + kids.n - 1);
        }
        if (l < s->levels)
            check_lift(c, r.c, l, id);
    }
    for (int32_t i = 0; i < ITEMS && i < sg_catalogue_items(c); i++) {
        if (!s->here[i]) {
            assert_int_equal(sg_catalogue_leaf(c, i), -1);
            continue;
        }
        assert_int_equal(sg_catalogue_leaf(c, i), sg_catalogue_leaf(r.c, r.place[i]));
        assert_int_equal(sg_catalogue_item(c, sg_catalogue_leaf(c, i)), i);
        sg_catalogue_codes(c, i, codes);
        assert_memory_equal(codes, s->codes[i], (size_t)s->levels * sizeof *codes);
    }
    for (int32_t i = sg_catalogue_items(c); i < ITEMS; i++)
        assert_false(s->here[i]);
    sg_catalogue_free(r.c);
}

/* One random edit that has to work. */
static void edit(sg_living *w, shop *s, uint64_t id, uint64_t turn)
{
    const int32_t i = (int32_t)draw(ITEMS, id, 100000 + turn);
    sg_error err = {0};
    int32_t n = 0;

    for (int32_t k = 0; k < ITEMS; k++)
        n += s->here[k];
    if (s->here[i]) {
        assert_int_equal(sg_living_drop(w, i, &err), n > 1 ? SG_OK : SG_ERR_USAGE);
        s->here[i] = n == 1;
        return;
    }
    if (draw(3, id, 200000 + turn) == 0) /* comes back with other codes */
        draw_codes(s, i, id, turn + 1);
    s->here[i] = is_free(s, i);
    assert_int_equal(sg_living_put(w, i, s->codes[i], &err), s->here[i] ? SG_OK : SG_ERR_USAGE);
}

static void answers_like_a_rebuild(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 120; id++) {
        shop s = make_shop(id), old;
        const rebuilt base = rebuild(&s);
        const sg_catalogue *c, *pinned = NULL;
        sg_living *w;
        sg_error err;
        int reader, other;

        /* items of the base are numbered from 0 without a gap */
        for (int32_t i = 0; i < base.n; i++)
            memcpy(s.codes[i], s.codes[base.item[i]], sizeof s.codes[i]);
        for (int32_t i = 0; i < ITEMS; i++)
            s.here[i] = i < base.n;
        assert_int_equal(sg_living_new(&w, base.c, &err), SG_OK);
        assert_int_equal(sg_living_join(w, &reader, &err), SG_OK);
        assert_int_equal(sg_living_join(w, &other, &err), SG_OK);
        c = sg_living_pin(w, reader);
        check_against(c, &s, id);
        sg_living_unpin(w, reader);
        for (uint64_t turn = 0; turn < 8; turn++) {
            if (turn == 2) {
                pinned = sg_living_pin(w, other);
                old = s;
            }
            for (uint64_t k = draw(40, id, 300000 + turn) + 1; k > 0; k--)
                edit(w, &s, id, turn * 50 + k);
            check_against(sg_living_draft(w), &s, id);
            assert_int_equal(sg_living_publish(w, &err), SG_OK);
            c = sg_living_pin(w, reader);
            assert_int_equal(sg_catalogue_version(c), turn + 2);
            check_against(c, &s, id);
            sg_living_unpin(w, reader);
            if (pinned)
                check_against(pinned, &old, id);
        }
        sg_living_unpin(w, other);
        sg_living_leave(w, other);
        sg_living_leave(w, reader);
        for (uint64_t k = 0; k < 5; k++) /* left unpublished */
            edit(w, &s, id, 900 + k);
        sg_living_free(w);
        sg_catalogue_free(base.c);
        assert_int_equal(sg_alloc_live(), 0);
    }
}

/* ---- decoding ------------------------------------------------------------------------------------------ */

typedef struct oracle {
    const sg_catalogue *c;
    uint64_t state[2][ROWS];
} oracle;

/* Coarse logits of the codes alone, so that ties happen. */
static sg_status answer(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    oracle *o = ctx;

    assert_true(rows->n <= ROWS);
    for (int u = 0; u < rows->batch; u++)
        for (int r = rows->offsets[u]; r < rows->offsets[u + 1]; r++) {
            uint64_t *state = &o->state[rows->level & 1][r];

            *state = rows->level ? sg_rng_mix(o->state[(rows->level - 1) & 1][rows->parent[r]] +
                                              (uint64_t)rows->code[r] + 1)
                                 : (uint64_t)u;
            for (int32_t i = 0; i < sg_catalogue_size(o->c, rows->level); i++)
                rows->logits[(size_t)r * (size_t)rows->ld + (size_t)i] =
                    (float)sg_rng_below(4, *state, SG_RNG_TEST, 5, (uint64_t)i);
        }
    return SG_OK;
}

static void decodes_like_a_rebuild(void **state)
{
    enum { K = 12, USERS = 2 };
    static oracle o;
    sg_arena *arena = sg_arena_new(0);

    (void)state;
    for (uint64_t id = 0; id < 60; id++) {
        shop s = make_shop(2 * id); /* the larger ones */
        const rebuilt base = rebuild(&s);
        static uint8_t allow[ITEMS], allow_right[ITEMS];
        static float all[USERS * ITEMS], right[USERS * ITEMS];
        int32_t deny[20], deny_right[20], item[USERS * K], want[USERS * K];
        int64_t offsets[USERS + 1] = {0, 13, 20};
        float score[USERS * K], want_score[USERS * K];
        sg_living *w;
        sg_error err;

        for (int32_t i = 0; i < base.n; i++)
            memcpy(s.codes[i], s.codes[base.item[i]], sizeof s.codes[i]);
        for (int32_t i = 0; i < ITEMS; i++)
            s.here[i] = i < base.n;
        assert_int_equal(sg_living_new(&w, base.c, &err), SG_OK);
        for (uint64_t k = 0; k < 60; k++)
            edit(w, &s, id, k);
        const sg_catalogue *c = sg_living_draft(w);
        const rebuilt r = rebuild(&s);

        for (int32_t i = 0; i < ITEMS; i++)
            allow[i] = draw(3, id, 400000 + (uint64_t)i) > 0;
        for (int32_t i = 0; i < r.n; i++)
            allow_right[i] = allow[r.item[i]];
        for (int i = 0; i < 20; i++) {
            deny[i] = (int32_t)draw(ITEMS, id, 500000 + (uint64_t)i); /* some were dropped or never there */
            deny_right[i] = r.place[deny[i]];
        }
        for (int mode = 0; mode < 4; mode++) {
            sg_beam_spec spec = {.beam = mode & 1 ? 5 : ITEMS, .k = K, .renormalise = id & 1};

            if (mode & 2) {
                spec.allow = allow;
                spec.deny_offsets = offsets;
                spec.deny = deny;
            }
            o.c = c;
            sg_arena_reset(arena);
            assert_int_equal(sg_beam_search(item, score, c, USERS, &spec, answer, &o, NULL, arena, &err),
                             SG_OK);
            if (mode & 2) {
                spec.allow = allow_right;
                spec.deny = deny_right;
            }
            o.c = r.c;
            sg_arena_reset(arena);
            assert_int_equal(
                sg_beam_search(want, want_score, r.c, USERS, &spec, answer, &o, NULL, arena, &err), SG_OK);
            for (int i = 0; i < USERS * K; i++)
                assert_int_equal(item[i], want[i] < 0 ? -1 : r.item[want[i]]);
            assert_memory_equal(score, want_score, sizeof score);
        }
        sg_arena_reset(arena);
        assert_int_equal(sg_exact_scores(all, c, USERS, true, 0, answer, &o, NULL, arena, &err), SG_OK);
        sg_arena_reset(arena);
        assert_int_equal(sg_exact_scores(right, r.c, USERS, true, 0, answer, &o, NULL, arena, &err), SG_OK);
        for (int u = 0; u < USERS; u++)
            for (int32_t i = 0; i < sg_catalogue_items(c); i++) {
                const float got = all[u * sg_catalogue_items(c) + i];

                if (r.place[i] < 0)
                    assert_true(isinf(got));
                else
                    assert_true(got == right[u * r.n + r.place[i]]);
            }
        sg_catalogue_free(r.c);
        sg_living_free(w);
        sg_catalogue_free(base.c);
    }
    sg_arena_free(arena);
}

/* ---- promises ------------------------------------------------------------------------------------------ */

static sg_catalogue *small_base(void)
{
    const int32_t codes[] = {0, 1, 2, 0, 2, 1}, size[] = {3, 3};
    sg_catalogue *c;
    sg_error err;

    assert_int_equal(sg_catalogue_new(&c, codes, 3, 2, size, &err), SG_OK);
    return c;
}

static void says_what_cannot_be(void **state)
{
    sg_catalogue *base = small_base();
    sg_living *w;
    sg_error err;

    (void)state;
    assert_int_equal(sg_living_new(&w, base, &err), SG_OK);
    assert_int_equal(sg_living_put(w, 3, (int32_t[]){2, 1}, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: items 2 and 3 have the same codes");
    assert_int_equal(sg_living_put(w, 2, (int32_t[]){2, 2}, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: item 2 is there already");
    assert_int_equal(sg_living_put(w, 3, (int32_t[]){2, 3}, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: item 3, level 2: expected a code from 0 to 2, found 3");
    assert_int_equal(sg_living_put(w, -1, (int32_t[]){2, 2}, &err), SG_ERR_USAGE);
    assert_int_equal(sg_living_drop(w, 7, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "catalogue: no item 7");
    assert_int_equal(sg_living_drop(w, 0, &err), SG_OK);
    assert_int_equal(sg_living_drop(w, 1, &err), SG_OK);
    assert_int_equal(sg_living_drop(w, 2, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: item 2 is the last one and has to stay");
    sg_living_free(w);
    sg_catalogue_free(base);
}

static void keeps_what_it_had_when_memory_fails(void **state)
{
    sg_catalogue *base = small_base();
    bool failed = true;

    (void)state;
    for (uint64_t n = 1; failed; n++) {
        shop s = {.levels = 2,
                  .size = {3, 3},
                  .codes = {{0, 1}, {2, 0}, {2, 1}, {1, 2}, {1, 0}},
                  .here = {1, 1, 1}};
        const int64_t before = sg_alloc_live();
        sg_living *w = NULL;
        sg_error err;

        sg_alloc_fail_at(n);
        failed = sg_living_new(&w, base, &err) != SG_OK;
        if (!failed) {
            s.here[3] = sg_living_put(w, 3, s.codes[3], &err) == SG_OK;
            s.here[4] = sg_living_put(w, 4, s.codes[4], &err) == SG_OK;
            s.here[1] = sg_living_drop(w, 1, &err) != SG_OK;
            failed = !s.here[3] || !s.here[4] || s.here[1];
            failed = sg_living_publish(w, &err) != SG_OK || failed;
            sg_alloc_fail_at(0);
            check_against(sg_living_draft(w), &s, 1);
        }
        sg_alloc_fail_at(0);
        sg_living_free(w);
        assert_int_equal(sg_alloc_live(), before);
    }
    sg_catalogue_free(base);
}

/* ---- threads ------------------------------------------------------------------------------------------- */

enum { READERS = 3, FOREVER = 1 << 30 };

typedef struct crowd {
    sg_living *w;
    _Atomic(uint64_t) born[ITEMS], died[ITEMS]; /* versions that hold item i: born .. died - 1 */
    atomic_bool stop;
    atomic_int walks;
} crowd;

static void *read_on(void *ctx)
{
    crowd *k = ctx;
    sg_error err;
    int reader;

    if (sg_living_join(k->w, &reader, &err))
        abort();
    for (uint64_t i = 0; !atomic_load(&k->stop); i++) {
        const sg_catalogue *c = sg_living_pin(k->w, reader);
        const uint64_t version = sg_catalogue_version(c);
        int32_t node = 0, codes[LEVELS], item;

        for (int l = 0; l < sg_catalogue_levels(c); l++) {
            const sg_children kids = sg_catalogue_children(c, l, node);

            node = kids.first + (int32_t)draw((uint32_t)kids.n, i, (uint64_t)l);
        }
        item = sg_catalogue_item(c, node);
        sg_catalogue_codes(c, item, codes);
        if (sg_catalogue_leaf(c, item) != node || version < atomic_load(&k->born[item]) ||
            version >= atomic_load(&k->died[item]))
            abort();
        sg_living_unpin(k->w, reader);
        atomic_fetch_add(&k->walks, 1);
    }
    sg_living_leave(k->w, reader);
    return NULL;
}

static void readers_only_ever_see_whole_versions(void **state)
{
    static crowd k;
    const int32_t size[] = {4, 16, 16};
    int32_t codes[200 * 3];
    pthread_t thread[READERS];
    sg_catalogue *base;
    sg_error err;

    (void)state;
    for (int32_t i = 0; i < 200; i++) {
        codes[3 * i] = i % 4;
        codes[3 * i + 1] = i / 4 % 16;
        codes[3 * i + 2] = i / 64;
    }
    assert_int_equal(sg_catalogue_new(&base, codes, 100, 3, size, &err), SG_OK);
    assert_int_equal(sg_living_new(&k.w, base, &err), SG_OK);
    for (int32_t i = 0; i < ITEMS; i++) {
        atomic_store(&k.born[i], i < 100 ? 0 : FOREVER);
        atomic_store(&k.died[i], FOREVER);
    }
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_on, &k), 0);
    for (uint64_t turn = 0, version = 1; turn < 3000 || atomic_load(&k.walks) < 1000; turn++) {
        const int32_t item = (int32_t)draw(200, turn, 9);

        /* an item is edited once in its life here: it dies, or it is born; the versions are noted before it shows */
        if (item < 100 && atomic_load(&k.died[item]) == FOREVER && item % 3) {
            atomic_store(&k.died[item], version + 1);
            assert_int_equal(sg_living_drop(k.w, item, &err), SG_OK);
        } else if (item >= 100 && atomic_load(&k.born[item]) == FOREVER) {
            atomic_store(&k.born[item], version + 1);
            assert_int_equal(sg_living_put(k.w, item, codes + 3 * item, &err), SG_OK);
        }
        assert_int_equal(sg_living_publish(k.w, &err), SG_OK);
        version++;
    }
    atomic_store(&k.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    sg_living_free(k.w);
    sg_catalogue_free(base);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_like_a_rebuild),
        cmocka_unit_test(decodes_like_a_rebuild),
        cmocka_unit_test(says_what_cannot_be),
        cmocka_unit_test(keeps_what_it_had_when_memory_fails),
        cmocka_unit_test(readers_only_ever_see_whole_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
