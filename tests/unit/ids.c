/* collision.c, doctor.c, ids_import.c, ids_report.c - unique tuples, health, IDs from elsewhere, what prefixes hold. */
#include "quantize/quantize.h"
#include "unit/vector_shop.h"

#include <math.h>

static sg_codes make_codes(int32_t n, int levels, int32_t size, const int32_t *codes)
{
    sg_codes c;

    assert_int_equal(sg_codes_init(&c, n, levels, size, NULL), SG_OK);
    memcpy(c.codes, codes, (size_t)n * (size_t)levels * sizeof *codes);
    return c;
}

static void append_counts_items_of_a_tuple_by_number(void **state)
{
    (void)state;
    sg_codes c = make_codes(6, 2, 4, (const int32_t[]){1, 2, 0, 0, 1, 2, 3, 1, 1, 2, 0, 1});
    const int32_t expected[] = {1, 2, 0, 0, 0, 0, 1, 2, 1, 3, 1, 0, 1, 2, 2, 0, 1, 0};

    assert_int_equal(sg_collisions_append(&c, 0, NULL), SG_OK);
    assert_true(c.levels == 3 && c.digit && c.size[2] == 3);
    assert_memory_equal(c.codes, expected, sizeof expected);
    sg_codes_fini(&c);
    c = make_codes(2, 2, 4, (const int32_t[]){1, 2, 1, 3});
    assert_int_equal(sg_collisions_append(&c, 0, NULL), SG_OK);
    assert_true(c.levels == 2 && !c.digit); /* no clash, no digit */
    sg_codes_fini(&c);
    assert_int_equal(sg_alloc_live(), 0);
}

/* As many digits more as are asked for, also where no two items share a tuple; an ID that ends keeps the last code for its end. */
static void spare_digits_are_nobodys(void **state)
{
    (void)state;
    const int32_t wanted[] = {-1, 2, -1};
    sg_codes c = make_codes(3, 2, 4, (const int32_t[]){1, 2, 0, 0, 1, 2});

    assert_int_equal(sg_collisions_append(&c, 5, NULL), SG_OK);
    assert_true(c.levels == 3 && c.digit && c.size[2] == 7);
    assert_memory_equal(c.codes, ((const int32_t[]){1, 2, 0, 0, 0, 0, 1, 2, 1}), 9 * sizeof(int32_t));
    sg_codes_fini(&c);
    c = make_codes(2, 2, 4, (const int32_t[]){1, 2, 1, 3});
    assert_int_equal(sg_collisions_append(&c, 1, NULL), SG_OK);
    assert_true(c.levels == 3 && c.digit && c.size[2] == 2 && c.codes[2] == 0 && c.codes[5] == 0);
    sg_codes_fini(&c);
    c = make_codes(3, 2, 4, (const int32_t[]){1, 2, 0, 0, 1, 2});
    c.ends = true;
    assert_int_equal(sg_collisions_append(&c, 5, NULL), SG_OK);
    assert_int_equal(c.size[2], 8);
    assert_memory_equal(c.codes, ((const int32_t[]){1, 2, 0, 0, 0, 7, 1, 2, 1}), 9 * sizeof(int32_t));
    sg_codes_fini(&c);
    c = make_codes(3, 2, 4, (const int32_t[]){1, 2, 1, 2, 1, 2});
    assert_int_equal(sg_collisions_keep(&c, wanted, 3, 4, NULL), SG_OK);
    assert_int_equal(c.size[2], 7);
    sg_codes_fini(&c);
    assert_int_equal(sg_alloc_live(), 0);
}

static void append_refuses_what_does_not_fit(void **state)
{
    (void)state;
    sg_error err;
    sg_codes c;

    assert_int_equal(sg_codes_init(&c, 65537, 1, 4, NULL), SG_OK);
    assert_int_equal(sg_collisions_append(&c, 0, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message, "65537 items share one tuple of codes: expected at most 65536 (are all vectors alike?)");
    sg_codes_fini(&c);
    assert_int_equal(sg_codes_init(&c, 3, 1, 4, NULL), SG_OK);
    assert_int_equal(sg_collisions_append(&c, 65535, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "3 items share one tuple of codes and 65535 digits are to be spare: expected at most 65536 together");
    sg_codes_fini(&c);
}

/* One number a vector, last codes at 0, 1, 2, 3: of three items at code 1 the best keeps it, the others go 0 and 2. */
static void next_takes_the_nearest_free_code(void **state)
{
    (void)state;
    const float left[] = {1.2f, 1.0f, 0.9f, 1.1f}, book[] = {0, 1, 2, 3};
    sg_codes c = make_codes(4, 2, 4, (const int32_t[]){0, 1, 0, 1, 0, 1, 1, 1});
    const int32_t expected[] = {0, 2, 0, 1, 0, 0, 1, 1};

    assert_int_equal(sg_collisions_next(&c, left, book, 1, 0, NULL), SG_OK);
    assert_true(c.levels == 2 && !c.digit);
    assert_memory_equal(c.codes, expected, sizeof expected);
    sg_codes_fini(&c);
    /* five items, two codes: three are left over and get a digit */
    const float many[] = {0, 0, 0, 0, 0};
    c = make_codes(5, 1, 2, (const int32_t[]){0, 0, 0, 0, 0});
    assert_int_equal(sg_collisions_next(&c, many, book, 1, 0, NULL), SG_OK);
    assert_true(c.levels == 2 && c.digit && c.size[1] == 4);
    sg_codes_fini(&c);
    assert_int_equal(sg_alloc_live(), 0);
}

static bool advised(const json_t *report, const char *part)
{
    const json_t *list = json_object_get(report, "advice");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (strstr(json_string_value(json_array_get(list, i)), part))
            return true;
    return false;
}

static void doctor_counts_by_hand(void **state)
{
    (void)state;
    /* level 1: codes 0 0 0 1 of 4; tuples 00 00 01 12: 3 of 4 unique, two share */
    sg_codes c = make_codes(4, 2, 4, (const int32_t[]){0, 0, 0, 0, 0, 1, 1, 2});
    json_t *report;
    const double entropy = -(0.75 * log2(0.75) + 0.25 * log2(0.25));

    assert_int_equal(sg_doctor(&report, &c, "rkmeans", NULL, 0, NULL), SG_OK);
    const json_t *first = json_array_get(json_object_get(report, "levels"), 0);
    const json_t *second = json_array_get(json_object_get(report, "levels"), 1);
    const json_t *clash = json_object_get(report, "collisions");
    assert_int_equal(json_integer_value(json_object_get(first, "used")), 2);
    assert_int_equal(json_integer_value(json_object_get(first, "dead")), 2);
    assert_true(fabs(json_real_value(json_object_get(first, "entropy_bits")) - entropy) < 1e-12);
    assert_true(fabs(json_real_value(json_object_get(first, "perplexity")) - exp2(entropy)) < 1e-12);
    assert_true(json_real_value(json_object_get(first, "largest_share")) == 0.75);
    assert_true(json_real_value(json_object_get(second, "codes_per_prefix")) == 1.5);
    assert_true(json_is_null(json_object_get(second, "error")));
    assert_int_equal(json_integer_value(json_object_get(clash, "tuples")), 3);
    assert_int_equal(json_integer_value(json_object_get(clash, "items_sharing")), 2);
    assert_int_equal(json_integer_value(json_object_get(clash, "largest")), 2);
    assert_true(json_real_value(json_object_get(clash, "unique_share")) == 0.75);
    assert_true(advised(report, "only 75.0 % of the tuples are unique"));
    assert_true(advised(report, "4 codes at level 1 for 4 items"));
    json_decref(report);
    sg_codes_fini(&c);
}

static void doctor_sees_collapse_and_hourglass(void **state)
{
    (void)state;
    enum { ITEMS = 4000 };
    int32_t codes[ITEMS * 3];
    json_t *report;
    sg_codes c;

    for (uint64_t i = 0; i < ITEMS; i++) { /* the middle level puts nine items in ten on one code */
        codes[i * 3] = (int32_t)sg_rng_below(64, 1, SG_RNG_TEST, i, 0);
        codes[i * 3 + 1] =
            sg_rng_below(10, 1, SG_RNG_TEST, i, 1) ? 7 : (int32_t)sg_rng_below(64, 1, SG_RNG_TEST, i, 2);
        codes[i * 3 + 2] = (int32_t)sg_rng_below(64, 1, SG_RNG_TEST, i, 3);
    }
    c = make_codes(ITEMS, 3, 64, codes);
    c.error[0] = 0.5;
    c.error[1] = 0.49;
    c.error[2] = 0.3;
    assert_int_equal(sg_doctor(&report, &c, "rkmeans", NULL, 0, NULL), SG_OK);
    assert_true(advised(report, "hourglass: level 2"));
    assert_true(
        advised(report, "level 2 removes only 2.0 % of the error that level 1 left: levels=1 would do"));
    assert_false(advised(report, "level 1 uses"));
    json_decref(report);
    for (size_t i = 0; i < ITEMS; i++)
        c.codes[i * 3] %= 5;
    assert_int_equal(sg_doctor(&report, &c, "rkmeans", NULL, 0, NULL), SG_OK);
    assert_true(advised(report, "level 1 uses 5 of 64 codes"));
    assert_true(advised(report, "level 1 is lopsided"));
    json_decref(report);
    sg_codes_fini(&c);
}

/* What the doctor says can be done: every option it names is one that the method reads, with a value it takes. */
static void doctor_names_what_can_be_done(void **state)
{
    static const struct {
        const char *method, *says, *not ;
    } cases[] = {
        {"rkmeans", "try levels=3, more codes or collision=next", "optimizer"},
        {"alit", "try cap=3, more codes or collision=next", "levels="},
        {"rqvae", "try levels=3, more codes or collision=next", "balanced"},
        {"vqvae", "try more codes or collision=next", "levels="},
        {"fsq", "try levels=3, a finer grid", "codes="},
        {"lfq", "try levels=3, more codes", "collision"},
        {"pq", "try levels=4, more codes or collision=next",
         "levels=3"}, /* parts of the vector's 20 numbers */
        {"opq", "try levels=4, more codes or collision=next", "balanced"},
        {"hkmeans", "level 1 is lopsided", "unique"},
        {"import", "only 4.0 % of the tuples are unique", "try"},
    };
    enum { ITEMS = 100 };
    int32_t codes[ITEMS * 2];
    json_t *report;
    sg_codes c;

    (void)state;
    for (int i = 0; i < ITEMS; i++) { /* 4 tuples of 100; level 1 leaves 6 of 8 codes without an item */
        codes[i * 2] = i > 90;
        codes[i * 2 + 1] = i % 2;
    }
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        c = make_codes(ITEMS, 2, 8, codes);
        c.ends = strcmp(cases[k].method, "alit") == 0;
        c.product = strcmp(cases[k].method + strlen(cases[k].method) - 2, "pq") == 0;
        c.book_dim = c.product ? 10 : 20;
        assert_int_equal(sg_doctor(&report, &c, cases[k].method, NULL, 0, NULL), SG_OK);
        assert_true(advised(report, cases[k].says));
        assert_false(advised(report, cases[k].not ));
        json_decref(report);
        sg_codes_fini(&c);
    }
    for (int k = 0; k < 3; k++) {
        c = make_codes(ITEMS, 2, 8, codes);
        assert_int_equal(
            sg_doctor(&report, &c, (const char *const[]){"atomic", "naive", "random"}[k], NULL, 0, NULL),
            SG_OK);
        assert_int_equal(json_array_size(json_object_get(report, "advice")), 0);
        json_decref(report);
        sg_codes_fini(&c);
    }
    c = make_codes(ITEMS, 2, 64, codes); /* fewer than ten items a code */
    assert_int_equal(sg_doctor(&report, &c, "lfq", NULL, 0, NULL), SG_OK);
    assert_true(advised(report, "with codes=8 a code would hold about ten"));
    json_decref(report);
    assert_int_equal(sg_doctor(&report, &c, "fsq", NULL, 0, NULL), SG_OK);
    assert_false(advised(report, "codes="));
    json_decref(report);
    sg_codes_fini(&c);
}

/* ---- from elsewhere ------------------------------------------------------------------------------------------- */

static void write_index(const shop *s, char path[96], const char *first, int n, int base)
{
    sg_buf b = {0};

    snprintf(path, 96, "%s/index.json", s->dir);
    sg_buf_puts(&b, "{");
    for (int i = 0; i < n; i++) {
        sg_buf_printf(&b, "%s\"%d\": ", i ? ", " : "", i + 1 - base);
        if (i == 0 && first)
            sg_buf_puts(&b, first);
        else
            sg_buf_printf(&b, "[\"<a_%d>\", \"<b_%d>\", \"<c_%d>\"]", i % 6, i / 6 % 5, i / 30 % 19);
    }
    sg_buf_puts(&b, "}");
    assert_int_equal(sg_file_write(path, b.data, b.size, NULL), SG_OK);
    sg_buf_free(&b);
}

static void published_ids_are_taken(void **state)
{
    const shop *s = *state;
    char path[96];
    sg_ids ids;
    sg_error err;
    json_t *report;

    for (int base = 0; base < 2; base++) {
        write_index(s, path, NULL, N, base);
        assert_int_equal(sg_ids_import(s->data, path, base, &err), SG_OK);
        assert_int_equal(sg_ids_open(&ids, s->data, &err), SG_OK);
        assert_true(ids.levels == 4 && ids.size[0] == 6 && ids.size[1] == 5 && ids.size[2] == 19 &&
                    ids.size[3] == 2);
        assert_int_equal(ids.codes[4 * 599 + 2],
                         599 / 30 % 19); /* 600 items, 570 tuples: the last 30 repeat the first */
        assert_int_equal(ids.codes[4 * 599 + 3], 1);
        sg_ids_close(&ids);
    }
    assert_int_equal(sg_ids_report(&report, s->data, 0, 0, &err), SG_OK);
    assert_string_equal(json_string_value(json_object_get(report, "method")), "import");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(report, "collisions"), "tuples")),
                     570);
    json_decref(report);
}

static void assert_import_fails(const shop *s, const char *first, int n, int base, sg_status status,
                                const char *tail)
{
    char path[96];
    sg_error err;

    write_index(s, path, first, n, 0);
    assert_int_equal(sg_ids_import(s->data, path, base, &err), status);
    assert_memory_equal(err.message, path, strlen(path));
    assert_string_equal(err.message + strlen(path), tail);
}

static void says_what_is_wrong(void **state)
{
    const shop *s = *state;

    assert_import_fails(s, "[1, 2]", N, 0, SG_ERR_FORMAT,
                        ":1: '2': expected an array of 2 codes, found one of 3");
    assert_import_fails(s, "[1, 2, \"<c>\"]", N, 0, SG_ERR_FORMAT,
                        ":1: '1': code 3: expected \"<c_17>\" or a number below 65536, found \"<c>\"");
    assert_import_fails(s, "[1, 2, 65536]", N, 0, SG_ERR_FORMAT,
                        ":1: '1': code 3: expected \"<c_17>\" or a number below 65536, found 65536");
    assert_import_fails(s, "[1, 2, \"<c_-1>\"]", N, 0, SG_ERR_FORMAT,
                        ":1: '1': code 3: expected \"<c_17>\" or a number below 65536, found \"<c_-1>\"");
    assert_import_fails(s, "[1,\n 2,\n \"<b_3>\"]", N, 0, SG_ERR_FORMAT,
                        ":3: '1': code 3: expected \"<c_3>\" at this place, found \"<b_3>\"");
    assert_import_fails(
        s, NULL, N - 2, 0, SG_ERR_MISSING,
        ": item '599' has no codes (2 of 600 items have none; keys are item ids less key base 0)");
    assert_import_fails(
        s, NULL, N, 1, SG_ERR_MISSING,
        ": item '1' has no codes (1 of 600 items have none; keys are item ids less key base 1)");
    assert_import_fails(s, "7", N, 0, SG_ERR_FORMAT,
                        ": expected an object {\"item\": [\"<a_1>\", ...]} with 1 to 15 codes an item");
}

/* ---- what prefixes hold --------------------------------------------------------------------------------------- */

static void a_prefix_is_named_by_its_shelf(void **state)
{
    const shop *s = *state;
    sg_tokenize_config c;
    json_t *report, *health;
    sg_error err;
    char expected[32];

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    c.levels = 2;
    c.codes = 6;
    c.restarts = 5;
    assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &health, &err), SG_OK);
    assert_int_equal(sg_ids_report(&report, s->data, 2, 3, &err), SG_OK);
    assert_true(json_equal(json_object_get(report, "levels"), json_object_get(health, "levels")));
    const json_t *list = json_object_get(report, "prefixes");
    int items = 0;
    for (size_t k = 0; k < 6; k++) {
        const json_t *p = json_array_get(list, k);
        const int item = atoi(json_string_value(
                             json_object_get(json_array_get(json_object_get(p, "examples"), 0), "item"))) -
                         1;

        assert_int_equal(json_array_size(json_object_get(p, "prefix")), 1);
        items += (int)json_integer_value(json_object_get(p, "items"));
        snprintf(expected, sizeof expected, "shelfword%d", shelf_of(item));
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(json_object_get(p, "words"), 0), "word")),
            expected);
        snprintf(expected, sizeof expected, "Shop > Shelf %d", shelf_of(item));
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(json_object_get(p, "categories"), 0), "value")),
            expected);
        assert_int_equal(json_array_size(json_object_get(p, "examples")), 3);
    }
    assert_int_equal(items, N);
    assert_true(json_array_size(list) > 6);
    json_decref(report);
    json_decref(health);
}

static void a_report_survives_failing_memory(void **state)
{
    const shop *s = *state;
    const int64_t live = sg_alloc_live();
    char path[96];
    sg_error err;

    write_index(s, path, NULL, N, 0);
    assert_int_equal(sg_ids_import(s->data, path, 0, &err), SG_OK);
    for (uint64_t n = 1;; n += 3) {
        json_t *report;

        sg_alloc_fail_at(n);
        const sg_status st = sg_ids_report(&report, s->data, 1, 3, &err);
        sg_alloc_fail_at(0);
        if (st == SG_OK)
            json_decref(report);
        assert_int_equal(sg_alloc_live(), live);
        if (st == SG_OK)
            break;
        assert_int_equal(st, SG_ERR_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_counts_items_of_a_tuple_by_number),
        cmocka_unit_test(spare_digits_are_nobodys),
        cmocka_unit_test(append_refuses_what_does_not_fit),
        cmocka_unit_test(next_takes_the_nearest_free_code),
        cmocka_unit_test(doctor_counts_by_hand),
        cmocka_unit_test(doctor_sees_collapse_and_hourglass),
        cmocka_unit_test(doctor_names_what_can_be_done),
        cmocka_unit_test_setup_teardown(published_ids_are_taken, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(a_prefix_is_named_by_its_shelf, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(a_report_survives_failing_memory, open_shop, close_shop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
