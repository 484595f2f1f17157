/* catalogue.c - the prefix index against brute force on random tuples, and against files that lie. */
#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "index/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ITEMS_MAX = 4000, LEVELS = 16 };

typedef struct shop { /* random unique tuples */
    int levels;
    int32_t n;
    int32_t size[LEVELS];
    int32_t *codes;
} shop;

static uint64_t seed(void)
{
    const char *text = getenv("SEDGE_TEST_SEED");

    return text ? strtoull(text, NULL, 10) : 20240101;
}

static uint32_t draw(uint32_t n, uint64_t a, uint64_t b)
{
    return (uint32_t)sg_rng_below(n, seed(), SG_RNG_TEST, a, b);
}

static int compare_tuples(const shop *s, int32_t a, int32_t b)
{
    for (int l = 0; l < s->levels; l++) {
        const int32_t x = s->codes[a * s->levels + l], y = s->codes[b * s->levels + l];

        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* Shapes that bite: one item, one level, one code a level, 65,536 codes, chains without branching, full
 * levels. */
static shop make_shop(uint64_t id)
{
    static const int32_t sizes[] = {1, 2, 3, 16, 100, 256, 257, 1000, 65536};
    const int32_t want = id == 0 ? 1 : (int32_t)draw(id % 3 ? 60 : ITEMS_MAX, id, 1) + 1;
    shop s = {.levels = (int)draw(id % 7 ? 5 : LEVELS, id, 0) + 1};

    for (int l = 0; l < s.levels; l++)
        s.size[l] = sizes[draw(9, id, 10 + (uint64_t)l)];
    s.codes = malloc((size_t)want * (size_t)s.levels * sizeof *s.codes);
    for (int32_t i = 0; i < want; i++) {
        bool fresh = true;

        for (int l = 0; l < s.levels; l++) {
            const uint32_t narrow = draw(3, id, 30 + (uint64_t)l) ? (uint32_t)s.size[l] : 2;
            const uint32_t size = (uint32_t)s.size[l] < narrow ? (uint32_t)s.size[l] : narrow;

            s.codes[s.n * s.levels + l] = (int32_t)draw(size, id, 1000 + (uint64_t)i * LEVELS + (uint64_t)l);
        }
        for (int32_t j = 0; j < s.n && fresh; j++)
            fresh = compare_tuples(&s, s.n, j) != 0;
        s.n += fresh;
    }
    return s;
}

static const shop *sorting;
static int by_tuple(const void *a, const void *b)
{
    return compare_tuples(sorting, *(const int32_t *)a, *(const int32_t *)b);
}

static int shared(const shop *s, int32_t a, int32_t b)
{
    int d = 0;

    while (d < s->levels && s->codes[a * s->levels + d] == s->codes[b * s->levels + d])
        d++;
    return d;
}

/* Every answer of the index against the sorted list of tuples. */
static void check_against(const sg_catalogue *c, const shop *s)
{
    int32_t *order = malloc((size_t)s->n * sizeof *order), *node = malloc((size_t)s->n * sizeof *node);
    int32_t codes[LEVELS];

    for (int32_t i = 0; i < s->n; i++)
        order[i] = i;
    sorting = s;
    qsort(order, (size_t)s->n, sizeof *order, by_tuple);
    assert_int_equal(sg_catalogue_levels(c), s->levels);
    assert_int_equal(sg_catalogue_items(c), s->n);
    for (int32_t leaf = 0; leaf < s->n; leaf++) {
        assert_int_equal(sg_catalogue_item(c, leaf), order[leaf]);
        assert_int_equal(sg_catalogue_leaf(c, order[leaf]), leaf);
        sg_catalogue_codes(c, order[leaf], codes);
        assert_memory_equal(codes, s->codes + order[leaf] * s->levels, (size_t)s->levels * sizeof *codes);
    }
    for (int l = 0; l <= s->levels; l++) {
        int32_t nodes = 0;

        for (int32_t leaf = 0, first = 0; leaf < s->n; leaf++) {
            if (leaf > 0 && shared(s, order[leaf - 1], order[leaf]) < l) {
                nodes++;
                first = leaf;
            }
            node[leaf] = nodes;
            if (leaf + 1 == s->n || shared(s, order[leaf], order[leaf + 1]) < l) {
                int32_t begin, end;

                sg_catalogue_span(c, l, nodes, &begin, &end);
                assert_int_equal(begin, first);
                assert_int_equal(end, leaf + 1);
            }
        }
        assert_int_equal(sg_catalogue_nodes(c, l), nodes + 1);
        if (l == 0)
            continue;
        assert_int_equal(sg_catalogue_size(c, l - 1), s->size[l - 1]);
        for (int32_t leaf = 0, parent = 0, nth = 0; leaf < s->n; leaf++) {
            const int32_t code = s->codes[order[leaf] * s->levels + l - 1];
            sg_children k;

            if (leaf > 0 && node[leaf] == node[leaf - 1])
                continue;
            if (leaf > 0) {
                const bool same = shared(s, order[leaf - 1], order[leaf]) >= l - 1;

                parent += !same;
                nth = same ? nth + 1 : 0;
            }
            k = sg_catalogue_children(c, l - 1, parent);
            assert_true(nth < k.n);
            assert_int_equal(k.first + nth, node[leaf]);
            assert_int_equal(sg_child_code(&k, nth), code);
            assert_int_equal(sg_catalogue_child(c, l - 1, parent, code), node[leaf]);
            assert_int_equal(sg_catalogue_parent(c, l, node[leaf]), parent);
            if (nth == 0 && code > 0)
                assert_int_equal(sg_catalogue_child(c, l - 1, parent, code - 1), -1);
            if (nth + 1 == k.n)
                assert_int_equal(sg_catalogue_child(c, l - 1, parent, code + 1), -1);
        }
    }
    free(order);
    free(node);
}

static void answers_like_the_sorted_list(void **state)
{
    (void)state;
    sg_error err;

    print_message("seed %llu\n", (unsigned long long)seed());
    for (uint64_t id = 0; id < 60; id++) {
        shop s = make_shop(id);
        sg_catalogue *c;

        assert_int_equal(sg_catalogue_new(&c, s.codes, s.n, s.levels, s.size, &err), SG_OK);
        check_against(c, &s);
        sg_catalogue_free(c);
        free(s.codes);
    }
    assert_int_equal(sg_alloc_live(), 0);
}

/* Marks at random below, then what is above them: against asking every parent. */
static void lifts_marks_to_parents(void **state)
{
    (void)state;
    sg_error err;

    for (uint64_t id = 0; id < 60; id++) {
        shop s = make_shop(id);
        sg_catalogue *c;

        assert_int_equal(sg_catalogue_new(&c, s.codes, s.n, s.levels, s.size, &err), SG_OK);
        for (int l = 1; l <= s.levels; l++) {
            const int32_t nodes = sg_catalogue_nodes(c, l - 1), kids = sg_catalogue_nodes(c, l);
            uint64_t *below = calloc((size_t)kids / 64 + 1, 8), *above = calloc((size_t)nodes / 64 + 1, 8);
            bool *want = calloc((size_t)nodes, sizeof *want);

            for (int32_t v = 0; v < kids; v++)
                if (draw(id % 4 == 0 ? 40 : 2, id, 20000 + (uint64_t)v) == 0) {
                    below[v / 64] |= UINT64_C(1) << v % 64;
                    want[sg_catalogue_parent(c, l, v)] = true;
                }
            for (int32_t begin = 0; begin < nodes; begin += 128)
                sg_catalogue_lift(c, l - 1, below, above, begin, nodes - begin < 128 ? nodes : begin + 128);
            for (int32_t v = 0; v < nodes; v++)
                assert_int_equal(above[v / 64] >> v % 64 & 1, want[v]);
            free(below);
            free(above);
            free(want);
        }
        sg_catalogue_free(c);
        free(s.codes);
    }
}

static char *file_name(void)
{
    static char path[64];

    snprintf(path, sizeof path, "catalogue-%ld.bin", (long)getpid());
    return path;
}

static void reads_back_what_it_saved(void **state)
{
    (void)state;
    sg_error err;

    for (uint64_t id = 0; id < 12; id++) {
        shop s = make_shop(id);
        sg_catalogue *c, *again;
        sg_buf bytes = {0}, copy = {0};

        assert_int_equal(sg_catalogue_new(&c, s.codes, s.n, s.levels, s.size, &err), SG_OK);
        assert_int_equal(sg_catalogue_save(c, file_name(), &err), SG_OK);
        assert_int_equal(sg_catalogue_open(&again, file_name(), &err), SG_OK);
        check_against(again, &s);
        assert_int_equal(sg_file_read(&bytes, file_name(), (size_t)1 << 30, &err), SG_OK);
        assert_int_equal(bytes.size, sg_catalogue_bytes(c));
        assert_int_equal(sg_catalogue_save(again, file_name(), &err), SG_OK);
        assert_int_equal(sg_file_read(&copy, file_name(), (size_t)1 << 30, &err), SG_OK);
        assert_int_equal(copy.size, bytes.size);
        assert_memory_equal(copy.data, bytes.data, bytes.size);
        sg_catalogue_free(again);
        sg_catalogue_free(c);
        sg_buf_free(&bytes);
        sg_buf_free(&copy);
        free(s.codes);
    }
    unlink(file_name());
    assert_int_equal(sg_alloc_live(), 0);
}

static void names_what_is_wrong_with_tuples(void **state)
{
    (void)state;
    const int32_t size[3] = {4, 4, 4};
    const int32_t twice[] = {0, 1, 2, 3, 3, 3, 0, 1, 2};
    const int32_t far[] = {0, 1, 2, 0, 4, 2};
    const int32_t wrong[3] = {4, 0, 4};
    sg_catalogue *c;
    sg_error err;

    assert_int_equal(sg_catalogue_new(&c, twice, 3, 3, size, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: items 0 and 2 have the same codes (0, 1, 2)");
    assert_int_equal(sg_catalogue_new(&c, far, 2, 3, size, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: item 1, level 2: expected a code from 0 to 3, found 4");
    assert_int_equal(sg_catalogue_new(&c, far, 0, 3, size, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: expected at least one item, found 0");
    assert_int_equal(sg_catalogue_new(&c, far, 2, 17, size, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: expected 1 to 16 levels, found 17");
    assert_int_equal(sg_catalogue_new(&c, far, 2, 3, wrong, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "catalogue: level 2: expected 1 to 65536 codes, found 0");
    assert_null(c);
    assert_int_equal(sg_alloc_live(), 0);
}

static sg_buf image_of(const shop *s)
{
    sg_catalogue *c;
    sg_error err;
    sg_buf b = {0};

    assert_int_equal(sg_catalogue_new(&c, s->codes, s->n, s->levels, s->size, &err), SG_OK);
    assert_int_equal(sg_catalogue_save(c, file_name(), &err), SG_OK);
    assert_int_equal(sg_file_read(&b, file_name(), (size_t)1 << 30, &err), SG_OK);
    sg_catalogue_free(c);
    unlink(file_name());
    return b;
}

static void finds_every_flipped_bit(void **state)
{
    (void)state;
    shop s = make_shop(4);
    sg_buf b = image_of(&s);
    sg_catalogue *c;
    sg_error err;

    for (size_t i = 0; i < b.size; i++) {
        b.data[i] ^= (char)(1 << i % 8);
        assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){b.data, b.size}, "f", &err), SG_ERR_FORMAT);
        b.data[i] ^= (char)(1 << i % 8);
    }
    for (size_t n = 0; n < b.size; n++)
        assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){b.data, n}, "f", &err), SG_ERR_FORMAT);
    assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){b.data, b.size}, "f", &err), SG_OK);
    sg_catalogue_free(c);
    sg_buf_free(&b);
    free(s.codes);
    assert_int_equal(sg_alloc_live(), 0);
}

static sg_status parse_with_right_checksum(sg_buf *b, sg_error *err)
{
    sg_image_header *h = (void *)b->data;
    sg_catalogue *c = NULL;
    sg_status st;

    h->checksum = sg_image_checksum(b->data, b->size);
    st = sg_catalogue_parse(&c, (sg_bytes){b->data, b->size}, "f", err);
    if (st == SG_OK) { /* then it must be safe to walk */
        int32_t codes[LEVELS];

        for (int32_t i = 0; i < sg_catalogue_items(c); i++)
            sg_catalogue_codes(c, i, codes);
    }
    sg_catalogue_free(c);
    return st;
}

/* With the checksum made right, a flipped bit either leaves another catalogue that is safe to walk (say, a
 * code that still ascends) or is found. Links and the two permutations have no such freedom. */
static void checks_every_link(void **state)
{
    (void)state;
    const int32_t size[3] = {4, 300, 8};
    const int32_t codes[] = {0, 0, 0, 0, 0, 7, 0, 9, 0, 1, 299, 3, 3, 5,
                             2, 3, 5, 4, 3, 5, 5, 3, 5, 6, 3,   6, 1};
    sg_catalogue *c;
    sg_error err;
    sg_buf b = image_of(&(shop){3, 9, {size[0], size[1], size[2]}, (int32_t *)(uintptr_t)codes});

    assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){b.data, b.size}, "f", &err), SG_OK);
    for (size_t i = 0; i < b.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            const size_t leaf_item = (size_t)((const char *)c->leaf_item - b.data);
            const size_t links = (size_t)((const char *)c->level[1].bits - b.data);
            sg_status st;

            b.data[i] ^= (char)(1 << bit);
            st = parse_with_right_checksum(&b, &err);
            b.data[i] ^= (char)(1 << bit);
            if ((i >= leaf_item && i < leaf_item + 9 * 4 / 8) || (i >= links && i < links + 8))
                assert_int_equal(st, SG_ERR_FORMAT);
        }
    sg_catalogue_free(c);
    sg_buf_free(&b);
    assert_int_equal(sg_alloc_live(), 0);
}

static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    const int32_t codes[] = {0, 0, 0, 1, 1, 0};
    sg_buf b = image_of(&(shop){2, 3, {2, 2}, (int32_t *)(uintptr_t)codes});
    const sg_image_header good = *(sg_image_header *)(void *)b.data;
    sg_image_header *h = (void *)b.data;
    sg_catalogue *c;
    sg_error err;

#define DAMAGED(change, expected)                                                                            \
    do {                                                                                                     \
        *h = good;                                                                                           \
        change;                                                                                              \
        assert_int_equal(parse_with_right_checksum(&b, &err), SG_ERR_FORMAT);                                \
        assert_string_equal(err.message, expected);                                                          \
    } while (0)
    DAMAGED(h->magic[0] = 'X', "f: not a catalogue file");
    DAMAGED(h->version = 9, "f: expected catalogue version 1, found 9");
    DAMAGED(h->levels = 0, "f: expected 1 to 16 levels, found 0");
    DAMAGED(h->levels = 17, "f: expected 1 to 16 levels, found 17");
    DAMAGED(h->size[1] = 0, "f: level 2: expected 1 to 65536 codes, found 0");
    DAMAGED(h->nodes[0] = 2, "f: expected one root and at most 2147483647 items, found 2 and 3");
    DAMAGED(h->nodes[1] = 4, "f: level 2: expected at least 4 prefixes, found 3");
    DAMAGED(h->nodes[2] = 1u << 31,
            "f: expected one root and at most 2147483647 items, found 1 and 2147483648");
    DAMAGED(h->nodes[2] = 1000, "f: expected 4096 bytes, found 768");
    DAMAGED(h->size[5] = 1, "f: counts beyond level 2");
    DAMAGED(h->zero[7] = 1, "f: header is not zero where it should be");
    DAMAGED(h->size[1] = 1, "f: level 2: codes are out of range or do not ascend");
    *h = good;
    h->checksum++;
    assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){b.data, b.size}, "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: checksum does not match: the file is damaged");
    assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){b.data, 0}, "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: not a catalogue file");
    sg_buf_free(&b);
    assert_int_equal(sg_catalogue_open(&c, "no/such/file", &err), SG_ERR_MISSING);
    assert_int_equal(sg_alloc_live(), 0);
}

/* A file at an odd address is copied, not misread. */
static void reads_from_any_address(void **state)
{
    (void)state;
    shop s = make_shop(5);
    sg_buf b = image_of(&s);
    char *odd = malloc(b.size + 1);
    sg_catalogue *c;
    sg_error err;

    memcpy(odd + 1, b.data, b.size);
    assert_int_equal(sg_catalogue_parse(&c, (sg_bytes){odd + 1, b.size}, "f", &err), SG_OK);
    check_against(c, &s);
    sg_catalogue_free(c);
    sg_buf_free(&b);
    free(odd);
    free(s.codes);
    assert_int_equal(sg_alloc_live(), 0);
}

static void survives_failing_memory(void **state)
{
    (void)state;
    shop s = make_shop(7);
    sg_status st = SG_ERR_MEMORY;
    sg_error err;

    for (uint64_t n = 1; st != SG_OK; n++) {
        sg_catalogue *c;

        sg_alloc_fail_at(n);
        st = sg_catalogue_new(&c, s.codes, s.n, s.levels, s.size, &err);
        sg_alloc_fail_at(0);
        assert_true(st == SG_OK ? c != NULL : c == NULL && err.status == SG_ERR_MEMORY);
        sg_catalogue_free(c);
        assert_int_equal(sg_alloc_live(), 0);
    }
    free(s.codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_like_the_sorted_list),   cmocka_unit_test(lifts_marks_to_parents),
        cmocka_unit_test(reads_back_what_it_saved),       cmocka_unit_test(names_what_is_wrong_with_tuples),
        cmocka_unit_test(finds_every_flipped_bit),        cmocka_unit_test(checks_every_link),
        cmocka_unit_test(says_what_is_wrong_with_a_file), cmocka_unit_test(reads_from_any_address),
        cmocka_unit_test(survives_failing_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
