/* json.c - strict reading with places, short and stable writing, members with clear errors; and manifests, which use it. */
#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/manifest.h"
#include "folder.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    json_t *v;
    sg_error err = {0};

    if (sg_json_parse(&v, (sg_bytes){text, strlen(text)}, "x.json", &err))
        fail_msg("%s", err.message);
    return v;
}

static void refuses(const char *text, size_t size, const char *message)
{
    json_t *v;
    sg_error err = {0};

    assert_int_equal(sg_json_parse(&v, (sg_bytes){text, size}, "x.json", &err), SG_ERR_FORMAT);
    assert_null(v);
    if (strncmp(err.message, message, strlen(message)) != 0)
        fail_msg("expected '%s', found '%s'", message, err.message);
}

static void says_where_it_breaks(void **state)
{
    (void)state;
    refuses("{\n  \"a\": 1,\n  \"a\": 2}", 22, "x.json:3:5: duplicate object key");
    refuses("{\"a\": }", 7, "x.json:1:7: unexpected token");
    refuses("[1] 2", 5, "x.json:1:5: end of file expected");
    refuses("\"\xff\"", 3, "x.json:1:");
    refuses("", 0, "x.json:1:1: ");
    refuses("[1e999]", 7, "x.json:1:6: real number overflow");
    refuses("\"a\0b\"", 5, "x.json:1:");
}

/* What strangers write, and how it reads when it is written again; strictly read the first of it is refused. */
static void strangers_are_understood(void **state)
{
    (void)state;
    enum { REFUSED = 5 };
#define FOREIGN(text, want)                                                                                  \
    {                                                                                                        \
        text, sizeof text - 1, want                                                                          \
    }
    static const struct {
        const char *text;
        size_t size;
        const char *want;
    } known[] = {
        FOREIGN("\xef\xbb\xbf[1]", "[1]"),
        FOREIGN("{\"a\": 1, \"b\": 2, \"a\": 3}", "{\"a\": 3, \"b\": 2}"),
        FOREIGN("[\"a\\u0000b\"]", "[\"a\\u0000b\"]"),
        FOREIGN("[\"a\\ud800b\", \"\\uDFFF\", \"\\ud800\\ud83d\\ude00\", \"\\ud83d\\n\"]",
                "[\"a\xef\xbf\xbd"
                "b\", \"\xef\xbf\xbd\", \"\xef\xbf\xbd\xf0\x9f\x98\x80\", \"\xef\xbf\xbd\\n\"]"),
        FOREIGN("[\"a\xff\xed\xa0\x80\"]", "[\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"]"),
        FOREIGN("[\"\\\\ud800 \\\"12345678901234567890\\\"\", 99999999999999999999]",
                "[\"\\\\ud800 \\\"12345678901234567890\\\"\", 1e+20]"),
        FOREIGN("[-123456789012345678901234567890]", "[-1.2345678901234568e+29]"),
        FOREIGN("[1234567890123456789e2, 1234567890123456789.5, 0.12345678901234567890123, "
                "9223372036854775808, 1]",
                "[1.2345678901234568e+20, 1.2345678901234568e+18, 0.12345678901234568, "
                "9.223372036854776e+18, 1]"),
    };
    static const char *const broken[] = {"",
                                         "\xef\xbb\xbf",
                                         "\xef\xbb",
                                         "{\"a\": ",
                                         "[\"\\u",
                                         "[\"\\ud8",
                                         "[\"\\ud800",
                                         "[\"\\ud800\\u",
                                         "[\"\\ud8zz\"]",
                                         "\"\\",
                                         "12 12345678901234567890",
                                         "[1e999]",
                                         "nan"};
    sg_error err;
    json_t *v;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        sg_buf b = {0};

        if (i < REFUSED)
            assert_int_equal(sg_json_parse(&v, (sg_bytes){known[i].text, known[i].size}, "x", &err),
                             SG_ERR_FORMAT);
        if (sg_json_parse_foreign(&v, (sg_bytes){known[i].text, known[i].size}, "x", &err))
            fail_msg("%zu: %s", i, err.message);
        sg_json_print_compact(&b, v);
        assert_string_equal(b.data, known[i].want);
        json_decref(v);
        sg_buf_free(&b);
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char *exact = malloc(strlen(broken[i]) + 1); /* so that a byte read too far is seen */

        memcpy(exact, broken[i], strlen(broken[i]) + 1);
        assert_int_equal(sg_json_parse_foreign(&v, (sg_bytes){exact, strlen(exact)}, "x", &err),
                         SG_ERR_FORMAT);
        assert_null(v);
        assert_memory_equal(err.message, "x:1:", 4);
        free(exact);
    }
}

/* transformers writes int(1e30) for a tokenizer without an end. */
static void integers_beyond_64_bits_are_reals(void **state)
{
    (void)state;
    json_t *v = parse("{\"a\": 1000000000000000019884624838656, \"b\": [-99999999999999999999, "
                      "9223372036854775807, \"99999999999999999999\"],"
                      "\"c\": 9223372036854775808}");
    const json_t *b = json_object_get(v, "b");

    assert_true(json_is_real(json_object_get(v, "a")) && json_real_value(json_object_get(v, "a")) == 1e30);
    assert_true(json_is_real(json_array_get(b, 0)) && json_real_value(json_array_get(b, 0)) == -1e20);
    assert_true(json_is_integer(json_array_get(b, 1)) &&
                json_integer_value(json_array_get(b, 1)) == INT64_MAX);
    assert_string_equal(json_string_value(json_array_get(b, 2)), "99999999999999999999");
    assert_true(json_real_value(json_object_get(v, "c")) == 9223372036854775808.0);
    json_decref(v);
    v = parse("99999999999999999999");
    assert_true(json_real_value(v) == 1e20);
    json_decref(v);
    refuses("[99999999999999999999, 1 2]", 27, "x.json:1:");
}

static void prints_short_and_reads_back(void **state)
{
    (void)state;
    json_t *v = json_pack("{s:s, s:f, s:f, s:f, s:[i, i], s:[{s:i}], s:{}, s:[], s:n, s:b}", "z",
                          "a\"\\\n\t\x01\xc3\xa9", "y", 0.1, "x", 1e300, "w", 3.0, "list", 1, 2, "objects",
                          "k", 1, "empty", "none", "null", "yes", 1);
    sg_buf b = {0};

    sg_json_print(&b, v);
    assert_string_equal(
        b.data,
        "{\n  \"z\": \"a\\\"\\\\\\n\\t\\u0001\xc3\xa9\",\n  \"y\": 0.1,\n  \"x\": 1e+300,\n  \"w\": 3.0,\n"
        "  \"list\": [1, 2],\n  \"objects\": [\n    {\n      \"k\": 1\n    }\n  ],\n  \"empty\": {},\n"
        "  \"none\": [],\n  \"null\": null,\n  \"yes\": true\n}");
    json_t *again = parse(b.data);
    assert_true(json_equal(v, again));
    json_decref(again);
    b.size = 0;
    sg_json_print_compact(&b, v);
    assert_null(strchr(b.data, '\n'));
    again = parse(b.data);
    assert_true(json_equal(v, again));
    json_decref(again);
    json_decref(v);
    sg_buf_free(&b);
}

static size_t held, held_most; /* bytes of jansson's blocks, with what malloc adds */

static void *count_malloc(size_t bytes)
{
    void *p = malloc(bytes);

    if (p)
        held += malloc_usable_size(p) + sizeof(size_t);
    held_most = held > held_most ? held : held_most;
    return p;
}

static void count_free(void *p)
{
    if (p)
        held -= malloc_usable_size(p) + sizeof(size_t);
    free(p);
}

/* Whatever the text is made of, parsing it takes no more memory than it weighs. */
static void parsing_takes_what_a_text_weighs(void **state)
{
    (void)state;
    static const char *const pieces[] = {"{}",
                                         "[]",
                                         "0",
                                         "\"\"",
                                         "[0]",
                                         "{\"\":0}",
                                         "[[],[]]",
                                         "-1.5e9",
                                         "true",
                                         "\"a\\\"\\\\b\"",
                                         "[\"a\",\"b\"]",
                                         "{\"a\":1,\"b\":[1,2,3],\"c\":\"def\"}",
                                         "[0,1,2,3,4,5,6,7,8]",
                                         "\"abcdefghijklmnopqrstuvwxyz\"",
                                         " 7 "};

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        for (int members = 0; members < 2; members++)
            for (int n = 1; n < 10000; n = n * 3 + 1) {
                sg_buf b = {0};
                json_t *value;
                sg_error err;

                sg_buf_puts(&b, members ? "{" : "[");
                for (int k = 0; k < n; k++) {
                    sg_buf_puts(&b, k ? "," : "");
                    if (members)
                        sg_buf_printf(&b, "\"%x\":", (unsigned)k);
                    sg_buf_puts(&b, pieces[i]);
                }
                sg_buf_puts(&b, members ? "}" : "]");
                held_most = held = 0;
                json_set_alloc_funcs(count_malloc, count_free);
                assert_int_equal(sg_json_parse(&value, (sg_bytes){b.data, b.size}, "x", &err), SG_OK);
                json_decref(value);
                json_set_alloc_funcs(malloc, free);
                const size_t weight =
                    sg_json_weight((sg_bytes){b.data, b.size}) + 1000; /* of the parser itself */
                if (held_most > weight)
                    fail_msg("%d times %s: expected at most %zu bytes, found %zu", n, pieces[i], weight,
                             held_most);
                sg_buf_free(&b);
            }
    sg_error err;
    json_t *value;
    assert_int_equal(sg_json_parse_light(&value, (sg_bytes){"[0, 1]", 6}, 100, "x", &err), SG_ERR_FORMAT);
    assert_null(value);
    assert_string_equal(
        err.message,
        "x: expected JSON that takes at most 0 MiB of memory, found 6 bytes that may take 0 MiB");
}

static void every_double_survives(void **state)
{
    (void)state;
    static const double values[] = {
        0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 0.30000000000000004, -0.0, 123456789012345680.0, 1e15};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_t *v = json_real(values[i]);
        sg_buf b = {0};

        sg_json_print(&b, v);
        json_t *again = parse(b.data);
        assert_true(json_is_real(again));
        assert_memory_equal(&(double){json_real_value(again)}, &values[i], sizeof(double));
        json_decref(again);
        json_decref(v);
        sg_buf_free(&b);
    }
}

static void writes_and_reads_files(void **state)
{
    (void)state;
    json_t *v = json_pack("{s:i}", "a", 1), *again;
    sg_error err;

    assert_int_equal(sg_json_write(in_folder("a.json"), v, NULL), SG_OK);
    assert_int_equal(sg_json_read(&again, in_folder("a.json"), 100, NULL), SG_OK);
    assert_true(json_equal(v, again));
    json_decref(again);
    json_decref(v);
    assert_int_equal(sg_json_read(&again, in_folder("a.json"), 5, &err), SG_ERR_FORMAT);
    assert_int_equal(sg_json_read(&again, in_folder("b.json"), 5, &err), SG_ERR_MISSING);
    assert_int_equal(sg_json_write(in_folder("b.json"), NULL, &err), SG_ERR_MEMORY);
}

static void members_are_checked(void **state)
{
    (void)state;
    json_t *o = parse("{\"n\": 7, \"s\": \"text\", \"r\": 1.5, \"a\": [1], \"o\": {}}"), *v;
    const char *s;
    int64_t n;
    double r;
    sg_error err;

    assert_int_equal(sg_json_need_int(&n, o, "n", 0, 10, "f", &err), SG_OK);
    assert_int_equal(n, 7);
    assert_int_equal(sg_json_need_int(&n, o, "n", 8, 10, "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: 'n': expected an integer from 8 to 10, found 7");
    assert_int_equal(sg_json_need_int(&n, o, "r", 0, 10, "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: 'r': expected an integer from 0 to 10, found 1.5");
    assert_int_equal(sg_json_need_string(&s, o, "s", "f", &err), SG_OK);
    assert_int_equal(sg_json_need_string(&s, o, "o", "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: 'o': expected a string, found an object");
    assert_int_equal(sg_json_need_real(&r, o, "n", "f", &err), SG_OK);
    assert_int_equal(sg_json_need_real(&r, o, "s", "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: 's': expected a number, found \"text\"");
    assert_int_equal(sg_json_need_object(&v, o, "a", "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: 'a': expected an object, found an array");
    assert_int_equal(sg_json_need_array(&v, o, "q", "f", &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "f: 'q': expected an array, found nothing");
    assert_int_equal(sg_json_need_array(&v, json_null(), "q", "f", &err), SG_ERR_FORMAT);
    json_decref(o);
}

static void manifest_covers_every_file(void **state)
{
    (void)state;
    sg_error err;

    assert_int_equal(sg_dir_make(in_folder("m/sub"), NULL), SG_OK);
    assert_int_equal(sg_file_write(in_folder("m/b.bin"), "12345", 5, NULL), SG_OK);
    assert_int_equal(sg_file_write(in_folder("m/a.bin"), "", 0, NULL), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), false, &err), SG_ERR_MISSING);
    assert_int_equal(sg_manifest_write(in_folder("m"), &err), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), true, &err), SG_OK);
    assert_int_equal(sg_file_write(in_folder("m/more"), "", 0, NULL), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), true, &err), SG_OK);
    assert_int_equal(sg_file_write(in_folder("m/b.bin"), "12346", 5, NULL), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), false, &err), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), true, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(
        err.message,
        "m/b.bin: expected sha256 5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5, found "));
    assert_int_equal(sg_file_write(in_folder("m/b.bin"), "1234", 4, NULL), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), false, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "m/b.bin: expected 5 bytes, found 4"));
    remove(in_folder("m/b.bin"));
    assert_int_equal(sg_manifest_check(in_folder("m"), false, &err), SG_ERR_MISSING);
    static const char escape[] = "{\"files\": {\"../a\": {\"bytes\": 1, \"sha256\": \"\"}}}";
    assert_int_equal(sg_file_write(in_folder("m/manifest.json"), escape, sizeof escape - 1, NULL), SG_OK);
    assert_int_equal(sg_manifest_check(in_folder("m"), false, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "manifest.json: expected plain file names, found '../a'"));
    assert_int_equal(sg_alloc_live(), 0);
}

static void lines_are_values_and_empty_ones_are_not(void **state)
{
    static const char text[] = "{\"a\": 1}\n\n\r\n[2]\nnull\n{oops}\n";
    char where[SG_JSON_WHERE], want[200];
    const char *path = in_folder("values.jsonl");
    sg_error err = {0};
    sg_reader *r;
    json_t *v;

    (void)state;
    assert_int_equal(sg_file_write(path, text, sizeof text - 1, &err), SG_OK);
    assert_int_equal(sg_reader_open(&r, path, &err), SG_OK);
    for (int i = 0; i < 3; i++) {
        static const int line[] = {1, 4, 5};

        assert_int_equal(sg_json_line(&v, where, r, &err), SG_OK);
        assert_true(i == 0 ? json_is_object(v) : i == 1 ? json_is_array(v) : json_is_null(v));
        snprintf(want, sizeof want, "%s:%d", path, line[i]);
        assert_string_equal(where, want);
        json_decref(v);
    }
    assert_int_equal(sg_json_line(&v, where, r, &err), SG_ERR_FORMAT);
    assert_null(v);
    snprintf(want, sizeof want, "%s:6:1:5: ", path);
    assert_memory_equal(err.message, want, strlen(want));
    assert_int_equal(sg_json_line(&v, where, r, &err), SG_OK);
    assert_null(v);
    sg_reader_close(r);
    assert_int_equal(remove(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_where_it_breaks),
        cmocka_unit_test(integers_beyond_64_bits_are_reals),
        cmocka_unit_test(parsing_takes_what_a_text_weighs),
        cmocka_unit_test(strangers_are_understood),
        cmocka_unit_test(prints_short_and_reads_back),
        cmocka_unit_test(every_double_survives),
        cmocka_unit_test(writes_and_reads_files),
        cmocka_unit_test(members_are_checked),
        cmocka_unit_test(lines_are_values_and_empty_ones_are_not),
        cmocka_unit_test(manifest_covers_every_file),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
