/* fm.c - the FM-index and its suffix array against brute force, and against files that lie. */
#include "index/fm_image.h"
#include "index/suffix.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TOKENS_MAX = 6000, ITEMS_MAX = 400, LONGEST = 6 };

static uint64_t seed(void)
{
    const char *text = getenv("SEDGE_TEST_SEED");

    return text ? strtoull(text, NULL, 10) : 20240111;
}

static uint32_t draw(uint32_t n, uint64_t a, uint64_t b)
{
    return (uint32_t)sg_rng_below(n, seed(), SG_RNG_TEST, a, b);
}

/* ---- suffixes ------------------------------------------------------------------------------------------ */

static const uint32_t *sorting;
static int by_suffix(const void *a, const void *b)
{
    const uint32_t *x = sorting + *(const int32_t *)a, *y = sorting + *(const int32_t *)b;

    for (; *x == *y; x++, y++)
        ;
    return *x < *y ? -1 : 1; /* the last symbol is like no other */
}

static void sorts_suffixes(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 300; id++) {
        static uint32_t text[2000];
        static int32_t order[2000], want[2000];
        const int32_t n = id < 6 ? (int32_t)id + 1 : (int32_t)draw(id % 9 ? 60 : 2000, id, 0) + 1;
        const uint32_t symbols = (const uint32_t[]){2, 3, 5, 300, 70000}[id % 5],
                       period = draw(20, id, 1) + 1;
        sg_error err;

        for (int32_t i = 0; i < n; i++) { /* every fourth text repeats itself */
            text[i] = 1 + draw(symbols - 1, id, 10 + (uint64_t)i);
            if (id % 4 == 0 && i >= (int32_t)period)
                text[i] = text[i - (int32_t)period];
            want[i] = i;
        }
        text[n - 1] = 0;
        assert_int_equal(sg_suffix_array(order, text, n, symbols, &err), SG_OK);
        sorting = text;
        qsort(want, (size_t)n, sizeof *want, by_suffix);
        assert_memory_equal(order, want, (size_t)n * sizeof *order);
    }
}

/* ---- a corpus ------------------------------------------------------------------------------------------ */

typedef struct corpus {
    int32_t n_items, n_tokens;
    int32_t token[TOKENS_MAX];
    int64_t offsets[ITEMS_MAX + 1]; /* need not begin at 0 */
} corpus;

/* One item, empty items, one token, DNA, a wide vocabulary of which little occurs, items that repeat each other. */
static corpus make_corpus(uint64_t id)
{
    static const int32_t vocabularies[] = {1, 2, 4, 30, 1000, 200000};
    corpus c = {.n_items = id % 6 == 0 ? 1 : (int32_t)draw(id % 3 ? 20 : ITEMS_MAX, id, 0) + 1,
                .n_tokens = vocabularies[draw(6, id, 1)]};
    int64_t at = id % 5 ? 0 : 3;

    for (int32_t i = 0; i < c.n_items; i++) {
        c.offsets[i] = at;
        for (uint32_t n = draw(c.n_items == 1 ? 3000 : 14, id, 10 + (uint64_t)i); n > 0; n--, at++) {
            const double u = sg_rng_double(id, SG_RNG_TEST, 3, (uint64_t)at);

            c.token[at] = (int32_t)((double)c.n_tokens * u * u * u);
            if (i % 3 == 2 && at >= 20)
                c.token[at] = c.token[at - 20];
        }
    }
    c.offsets[c.n_items] = at;
    return c;
}

static bool stands_at(const corpus *c, int32_t item, int64_t at, const int32_t *string, int n)
{
    return at + n <= c->offsets[item + 1] && memcmp(c->token + at, string, (size_t)n * sizeof *string) == 0;
}

typedef struct truth {
    uint32_t count, ends, starts; /* places; at the end and at the start of an item */
    uint64_t places;              /* of all, mixed */
    int32_t next[64];             /* tokens that follow, ascending, and how often */
    uint32_t times[64];
    int n_next;
    bool many; /* more than 64 */
} truth;

static uint64_t place_mark(int32_t item, int64_t behind)
{
    return sg_rng_mix(((uint64_t)item << 32 | (uint64_t)behind) + 1);
}

static truth brute(const corpus *c, const int32_t *string, int n)
{
    truth t = {0};

    for (int32_t i = 0; i < c->n_items; i++)
        for (int64_t at = c->offsets[i]; at <= c->offsets[i + 1]; at++) {
            int k = 0;

            if (!stands_at(c, i, at, string, n))
                continue;
            t.count++;
            t.starts += at == c->offsets[i];
            t.places += place_mark(i, c->offsets[i + 1] - at - n);
            if (at + n == c->offsets[i + 1]) {
                t.ends++;
                continue;
            }
            while (k < t.n_next && t.next[k] < c->token[at + n])
                k++;
            if (k == t.n_next || t.next[k] != c->token[at + n]) {
                if (t.n_next == 64) {
                    t.many = true;
                    continue;
                }
                memmove(t.next + k + 1, t.next + k, (size_t)(t.n_next - k) * sizeof *t.next);
                memmove(t.times + k + 1, t.times + k, (size_t)(t.n_next - k) * sizeof *t.times);
                t.next[k] = c->token[at + n];
                t.times[k] = 0;
                t.n_next++;
            }
            t.times[k]++;
        }
    return t;
}

static sg_fm_range search(const sg_fm *f, sg_fm_range r, const int32_t *string, int n)
{
    for (int i = 0; i < n; i++)
        r = sg_fm_extend(f, r, string[i]);
    return r;
}

static void check_string(const sg_fm *f, const corpus *c, const int32_t *string, int n)
{
    const truth t = brute(c, string, n);
    const sg_fm_range r = search(f, sg_fm_anywhere(f), string, n),
                      s = search(f, sg_fm_at_start(f), string, n);
    sg_fm_next next[64];
    uint32_t ends;
    sg_error err;

    if (n > 0) { /* the empty string has rows of marks, too */
        uint64_t places = 0;

        assert_int_equal(r.last - r.first, t.count);
        for (uint32_t row = r.first; row < r.last; row++) {
            int32_t item, behind;

            assert_int_equal(sg_fm_locate(f, row, &item, &behind, &err), SG_OK);
            places += place_mark(item, behind);
        }
        assert_true(places == t.places);
    }
    assert_int_equal(s.last - s.first, t.starts);
    if (t.many)
        return;
    assert_int_equal(sg_fm_successors(f, r, next, 64, &ends), t.n_next);
    assert_int_equal(ends, n ? t.ends : (uint32_t)c->n_items);
    for (int k = 0; k < t.n_next; k++) {
        const sg_fm_range one = sg_fm_extend(f, r, t.next[k]);

        assert_int_equal(next[k].token, t.next[k]);
        assert_int_equal(next[k].range.first, one.first);
        assert_int_equal(next[k].range.last, one.last);
        assert_int_equal(one.last - one.first, t.times[k]);
    }
    if (t.n_next > 1) { /* a list that is too long for its room */
        assert_int_equal(sg_fm_successors(f, r, next, 1, NULL), t.n_next);
        assert_int_equal(next[0].token, t.next[0]);
    }
}

static void answers_like_brute_force(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 60; id++) {
        const corpus c = make_corpus(id);
        sg_fm *f;
        sg_error err;

        assert_int_equal(sg_fm_new(&f, c.token, c.offsets, c.n_items, c.n_tokens, (int)draw(70, id, 2), &err),
                         SG_OK);
        assert_int_equal(sg_fm_items(f), c.n_items);
        assert_int_equal(sg_fm_tokens(f), c.n_tokens);
        check_string(f, &c, c.token, 0);
        for (uint64_t k = 0; k < 60; k++) {
            int32_t string[LONGEST];
            const int n = (int)draw(LONGEST, id, 100 + k) + 1;
            const int64_t span = c.offsets[c.n_items] - c.offsets[0];
            const int64_t at = c.offsets[0] + (span ? (int64_t)draw((uint32_t)span, id, 200 + k) : 0);

            for (int i = 0; i < n; i++) /* what stands there, or (every third) nearly */
                string[i] = at + i < c.offsets[c.n_items] ? c.token[at + i] : 0;
            if (k % 3 == 0)
                string[draw((uint32_t)n, id, 300 + k)] = (int32_t)draw((uint32_t)c.n_tokens, id, 400 + k);
            check_string(f, &c, string, n);
        }
        sg_fm_free(f);
        assert_int_equal(sg_alloc_live(), 0);
    }
}

/* The rows lead back through the whole text. */
static void holds_all_items(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 20; id++) {
        const corpus c = make_corpus(id);
        uint32_t row = 0;
        sg_fm *f;
        sg_error err;

        assert_int_equal(sg_fm_new(&f, c.token, c.offsets, c.n_items, c.n_tokens, 0, &err), SG_OK);
        for (int32_t i = c.n_items - 1; i >= 0; i--) {
            assert_int_equal(sg_fm_step_back(f, &row), 1);
            for (int64_t k = c.offsets[i]; k < c.offsets[i + 1]; k++)
                assert_int_equal(sg_fm_step_back(f, &row), c.token[k] + SG_FM_FIRST_TOKEN);
        }
        assert_int_equal(sg_fm_step_back(f, &row), 0);
        sg_fm_free(f);
    }
}

/* ---- files --------------------------------------------------------------------------------------------- */

static void reads_back_what_it_saved(void **state)
{
    const corpus c = make_corpus(7);
    char path[64], *copy;
    sg_fm *f, *back, *moved;
    sg_error err;

    (void)state;
    snprintf(path, sizeof path, "/tmp/sedge-fm-%ld.bin", (long)getpid());
    assert_int_equal(sg_fm_new(&f, c.token, c.offsets, c.n_items, c.n_tokens, 0, &err), SG_OK);
    assert_int_equal(sg_fm_save(f, path, &err), SG_OK);
    assert_int_equal(sg_fm_open(&back, path, &err), SG_OK);
    assert_int_equal(sg_fm_bytes(back), sg_fm_bytes(f));
    assert_memory_equal(back->image, f->image, f->bytes);
    copy = malloc(f->bytes + 1);
    memcpy(copy + 1, f->image, f->bytes);
    assert_int_equal(sg_fm_parse(&moved, (sg_bytes){copy + 1, f->bytes}, "copy", &err), SG_OK);
    for (int64_t at = c.offsets[0]; at + 3 <= c.offsets[c.n_items]; at += 5) {
        check_string(back, &c, c.token + at, 3);
        check_string(moved, &c, c.token + at, 3);
    }
    sg_fm_free(moved);
    sg_fm_free(back);
    sg_fm_free(f);
    free(copy);
    unlink(path);
    assert_int_equal(sg_alloc_live(), 0);
}

static void says_what_is_wrong(void **state)
{
    const int32_t token[] = {0, 1, 2};
    const int64_t offsets[] = {0, 2, 3}, back[] = {0, 2, 1};
    sg_fm *f;
    sg_error err;

    (void)state;
    assert_int_equal(sg_fm_new(&f, token, offsets, 2, 2, 0, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "FM-index: item 1: expected tokens from 0 to 1, found 2");
    assert_int_equal(sg_fm_new(&f, token, back, 2, 3, 0, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "FM-index: item 1 ends before it begins");
    assert_int_equal(sg_fm_new(&f, token, offsets, 0, 3, 0, &err), SG_ERR_USAGE);
    assert_int_equal(sg_fm_parse(&f, (sg_bytes){"short", 5}, "x", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "x: not an FM-index");
}

/* A flipped bit is found by the checksum; behind a checksum that was put right, nothing may be read out of bounds. */
static void finds_every_flipped_bit(void **state)
{
    const int32_t token[] = {0, 1, 2, 1, 0, 1, 2, 2};
    const int64_t offsets[] = {0, 3, 3, 8};
    sg_fm *f, *bad;
    sg_error err;

    (void)state;
    assert_int_equal(sg_fm_new(&f, token, offsets, 3, 3, 2, &err), SG_OK);
    char *copy = sg_alloc(f->bytes);
    for (size_t bit = 0; bit < f->bytes * 8; bit++) {
        memcpy(copy, f->image, f->bytes);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(sg_fm_parse(&bad, (sg_bytes){copy, f->bytes}, "x", &err), SG_ERR_FORMAT);
        assert_null(bad);
    }
    sg_free(copy);
    sg_fm_free(f);
}

static void survives_failing_memory(void **state)
{
    const corpus c = make_corpus(3);

    (void)state;
    for (uint64_t n = 1;; n++) {
        sg_fm *f;
        sg_error err;
        sg_status st;

        sg_alloc_fail_at(n);
        st = sg_fm_new(&f, c.token, c.offsets, c.n_items, c.n_tokens, 0, &err);
        sg_alloc_fail_at(0);
        sg_fm_free(f);
        assert_int_equal(sg_alloc_live(), 0);
        if (st == SG_OK)
            break;
        assert_int_equal(st, SG_ERR_MEMORY);
    }
}

/* What is kept of frequent tokens is what the planes say, token by token; the rest is cut at `most`. */
static void frequent_tokens_are_listed_truly(void **state)
{
    (void)state;
    enum { N = 40000, LENGTH = 8, KINDS = 300 };
    static int32_t token[N];
    static int64_t offsets[N / LENGTH + 1];
    static sg_fm_next next[KINDS], some[KINDS];
    uint32_t ends;
    sg_fm *f;
    sg_error err;

    for (int i = 0; i < N; i++) {
        const double u = sg_rng_double(seed(), SG_RNG_TEST, 9, (uint64_t)i);

        token[i] = (int32_t)(KINDS * u * u * u);
    }
    for (int i = 0; i <= N / LENGTH; i++)
        offsets[i] = i * LENGTH;
    assert_int_equal(sg_fm_new(&f, token, offsets, N / LENGTH, KINDS, 0, &err), SG_OK);
    assert_in_range(f->n_lists, 5, 100);
    assert_in_range(f->n_listed, 1000, N / 10 + N / LENGTH / 10);
    assert_int_equal(sg_fm_memory(f),
                     sg_fm_bytes(f) + f->n_lists * sizeof *f->list + f->n_listed * sizeof *f->listed);
    for (int32_t c = -1; c < KINDS; c++) { /* -1: what stands at the start of an item */
        const sg_fm_range r = c < 0 ? sg_fm_at_start(f) : sg_fm_extend(f, sg_fm_anywhere(f), c);
        const int32_t n = sg_fm_successors(f, r, next, KINDS, &ends);
        uint32_t sum = ends;
        int32_t at = 0;

        for (int32_t d = 0; d < KINDS; d++) {
            const sg_fm_range want = sg_fm_extend(f, r, d);

            if (want.first == want.last)
                continue;
            assert_true(at < n && next[at].token == d && next[at].range.first == want.first &&
                        next[at].range.last == want.last);
            sum += want.last - want.first;
            at++;
        }
        assert_int_equal(at, n);
        assert_int_equal(sum, r.last - r.first);
        memset(some, 0, sizeof some);
        assert_int_equal(sg_fm_successors(f, r, some, 3, NULL), n);
        assert_memory_equal(some, next, (size_t)(n < 3 ? n : 3) * sizeof *some);
        assert_true(some[3].range.last == 0);
        assert_int_equal(sg_fm_successors(f, r, some, 0, NULL), n);
    }
    sg_fm_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequent_tokens_are_listed_truly), cmocka_unit_test(sorts_suffixes),
        cmocka_unit_test(answers_like_brute_force),         cmocka_unit_test(holds_all_items),
        cmocka_unit_test(reads_back_what_it_saved),         cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(finds_every_flipped_bit),          cmocka_unit_test(survives_failing_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
