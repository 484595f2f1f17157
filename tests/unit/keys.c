/* keys.c - semantic IDs as keys: who shares rows with whom, and that pieces are cuts of the ID. */
#include "quantize/keys.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N = 400, LEVELS = 4, DEPTH = 3 };

static const int32_t size[LEVELS] = {6, 5, 4, 30};
static int32_t codes[N * LEVELS];
static int64_t times[N];

static sg_keys_spec spec_of(sg_keys_kind kind, int32_t rows)
{
    for (int i = 0; i < N; i++) {
        for (int l = 0; l < LEVELS; l++)
            codes[i * LEVELS + l] =
                (int32_t)sg_rng_below((uint64_t)size[l], 3, SG_RNG_TEST, (uint64_t)l, (uint64_t)i);
        times[i] = i % 7 ? (int64_t)sg_rng_below(50, 3, SG_RNG_TEST, 9, (uint64_t)i) : 0;
    }
    return (sg_keys_spec){.kind = kind,
                          .n = N,
                          .codes = codes,
                          .size = size,
                          .levels = LEVELS,
                          .depth = DEPTH,
                          .rows = rows,
                          .times = times};
}

static int in_common(int a, int b)
{
    int n = 0;

    while (n < DEPTH && codes[a * LEVELS + n] == codes[b * LEVELS + n])
        n++;
    return n;
}

static void prefixes_are_shared_by_those_that_have_them(void **state)
{
    const sg_keys_spec s = spec_of(SG_KEYS_PREFIX, 1 << 28); /* rows enough that nothing collides */
    int32_t row[N * DEPTH];
    sg_error err;

    (void)state;
    assert_int_equal(sg_keys_each(&s), DEPTH);
    assert_int_equal(sg_keys_make(row, &s, &err), SG_OK);
    for (int a = 0; a < N; a++)
        for (int b = 0; b < a; b++) {
            int same = 0;

            for (int i = 0; i < DEPTH; i++)
                for (int j = 0; j < DEPTH; j++)
                    same += row[a * DEPTH + i] == row[b * DEPTH + j];
            assert_int_equal(same, in_common(a, b));
        }
}

static void other_kinds_share_what_they_say(void **state)
{
    static const sg_keys_kind kinds[] = {SG_KEYS_ITEM, SG_KEYS_HASH, SG_KEYS_UNIGRAMS, SG_KEYS_TUPLE,
                                         SG_KEYS_BIGRAMS};
    int32_t row[N * DEPTH];
    sg_error err;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const sg_keys_spec s = spec_of(kinds[k], 1 << 28);
        const int each = sg_keys_each(&s);

        assert_int_equal(sg_keys_make(row, &s, &err), SG_OK);
        for (int a = 0; a < N; a++)
            for (int b = 0; b < a; b++) {
                const int32_t *x = codes + a * LEVELS, *y = codes + b * LEVELS;
                int same = 0, want = 0;

                for (int i = 0; i < each; i++)
                    same += row[a * each + i] == row[b * each + i];
                if (kinds[k] == SG_KEYS_UNIGRAMS)
                    for (int l = 0; l < DEPTH; l++)
                        want += x[l] == y[l];
                else if (kinds[k] == SG_KEYS_TUPLE)
                    want = in_common(a, b) == DEPTH;
                else if (kinds[k] == SG_KEYS_BIGRAMS)
                    for (int l = 0; l + 1 < DEPTH; l++)
                        want += x[l] == y[l] && x[l + 1] == y[l + 1];
                assert_int_equal(same, want);
            }
        for (int i = 0; i < N * each; i++)
            assert_true(row[i] >= 0 && row[i] < sg_keys_rows(&s));
    }
}

/* A piece is one run of codes wherever it is used, and the pieces of an item are as many codes as its ID: told by giving each piece
 * the run that the first item with it could mean and cutting all others with that. */
static void pieces_cut_every_id(void **state)
{
    static const int32_t vocabularies[] = {15, 16, 40, 90, 100000};
    int32_t row[N * DEPTH];
    sg_error err;
    int pieces_before = N * DEPTH + 1;

    (void)state;
    for (size_t v = 0; v < sizeof vocabularies / sizeof *vocabularies; v++) {
        const sg_keys_spec s = spec_of(SG_KEYS_PIECES, vocabularies[v]);
        int pieces = 0;

        assert_int_equal(sg_keys_make(row, &s, &err), SG_OK);
        for (int a = 0; a < N; a++) {
            for (int i = 0; i < DEPTH; i++) {
                const int32_t r = row[a * DEPTH + i];

                assert_true(r >= -1 && r < vocabularies[v]);
                pieces += r >= 0;
                if (r >= 0 && r < size[0] + size[1] + size[2]) { /* a single code is one of the item's */
                    const int l = r < size[0] ? 0 : r < size[0] + size[1] ? 1 : 2;

                    assert_int_equal(codes[a * LEVELS + l], r - (l ? size[0] : 0) - (l > 1 ? size[1] : 0));
                }
            }
            for (int b = 0; b < a;
                 b++) { /* equal codes, equal pieces; a piece of both lies in codes they share */
                int same = 0, shared = 0;

                for (int i = 0; i < DEPTH; i++)
                    for (int j = 0; j < DEPTH; j++)
                        same += row[a * DEPTH + i] >= 0 && row[a * DEPTH + i] == row[b * DEPTH + j];
                for (int l = 0; l < DEPTH; l++)
                    shared += codes[a * LEVELS + l] == codes[b * LEVELS + l];
                assert_true(same <= shared);
                if (in_common(a, b) == DEPTH)
                    assert_memory_equal(row + a * DEPTH, row + b * DEPTH, DEPTH * sizeof *row);
            }
        }
        if (vocabularies[v] == 15) /* no room but for the codes */
            assert_int_equal(pieces, N * DEPTH);
        assert_true(pieces <= pieces_before); /* a larger vocabulary cuts less often */
        pieces_before = pieces;
    }
    assert_true(pieces_before < N * DEPTH);
}

/* Where there is room for one piece of two codes, it is the pair that is shown most. */
static void what_comes_often_becomes_a_piece(void **state)
{
    sg_keys_spec s = spec_of(SG_KEYS_PIECES, 12);
    int32_t row[N * 2];
    sg_error err;

    (void)state;
    s.depth = 2;
    for (int i = 0; i < N; i++) {
        times[i] = 1 + (i < 40); /* the first 40 are not many, but they are shown twice as often */
        if (i < 40) {
            codes[i * LEVELS] = 2;
            codes[i * LEVELS + 1] = 3;
        }
    }
    assert_int_equal(sg_keys_make(row, &s, &err), SG_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(row[2 * i] == 11 && row[2 * i + 1] == -1,
                         codes[i * LEVELS] == 2 && codes[i * LEVELS + 1] == 3);
}

static void says_what_does_not_fit(void **state)
{
    sg_keys_spec s = spec_of(SG_KEYS_PIECES, 14);
    int32_t row[N * LEVELS];
    sg_error err;

    (void)state;
    assert_int_equal(sg_keys_make(row, &s, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "keys: expected at least 15 rows, one for each code, found 14");
    s.depth = LEVELS + 1;
    assert_int_equal(sg_keys_make(row, &s, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "keys: expected a depth from 1 to 4, found 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_shared_by_those_that_have_them),
        cmocka_unit_test(other_kinds_share_what_they_say),
        cmocka_unit_test(pieces_cut_every_id),
        cmocka_unit_test(what_comes_often_becomes_a_piece),
        cmocka_unit_test(says_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
