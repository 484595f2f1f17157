/* import_table.c - rows and JSON members are the same however the bytes arrive, and tables of any text read
 * back. */
#include "base/alloc.h"
#include "base/rng.h"
#include "data/json_scan.h"
#include "data/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* All rows as text: "line: [field] [field]", errors as their message. */
static void dump_table(sg_buf *out, sg_bytes text, size_t piece, char separator, bool doubled, bool quotes)
{
    sg_error err;
    sg_input in;
    sg_table t;
    bool got;
    sg_status st;

    assert_int_equal(sg_input_memory(&in, text, piece, "t", &err), SG_OK);
    sg_table_init(&t, &in, separator, doubled, quotes);
    out->size = 0;
    do {
        st = sg_table_next(&t, &got, &err);
        if (st) {
            sg_buf_printf(out, "%s\n", err.message);
        } else if (got) {
            sg_buf_printf(out, "%llu:", (unsigned long long)t.line);
            for (size_t i = 0; i < t.n_fields; i++)
                sg_buf_printf(out, " [%.*s]", (int)t.field[i].size, t.field[i].data);
            sg_buf_putc(out, '\n');
        }
    } while ((!st && got) || (st && !in.broken));
    sg_table_fini(&t);
    sg_input_close(&in);
}

static void rows_do_not_depend_on_how_bytes_arrive(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rows;
        char separator;
        bool doubled, quotes;
    } cases[] = {
        {"a,b\r\n\"c\nd\",\"\"\"e\"\"\"\n\n,\n\"x\"y,z\nlast,\"q\"",
         "1: [a] [b]\n2: [c\nd] [\"e\"]\nt:4: expected a row, found an empty line\n5: [] []\n"
         "t:6: expected ',' after the closing quote of field 1, found 'y'\n7: [last] [q]\n",
         ',', false, true},
        {"1::a: b::c:\n2::::\n:::x\n::\n", "1: [1] [a: b] [c:]\n2: [2] [] []\n3: [] [:x]\n4: [] []\n", ':',
         true, false},
        {"a\t\"b\n\"\tc\r\n\n\n", "1: [a] [\"b]\n2: [\"] [c]\n", '\t', false, false},
        {"a,\"b\nc", "t:1: a quoted field that begins in this row is not closed\n", ',', false, true},
    };
    sg_buf found = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 80; piece++) {
            dump_table(&found, (sg_bytes){cases[i].text, strlen(cases[i].text)}, piece, cases[i].separator,
                       cases[i].doubled, cases[i].quotes);
            assert_string_equal(found.data, cases[i].rows);
        }
    sg_buf_free(&found);
}

/* Random fields, quoted when they must be and sometimes when they need not. */
static void tables_read_back(void **state)
{
    (void)state;
    static const char letters[] = "ab,\"\n\r;  0123456789 long words make fields long";
    sg_buf text = {0}, expected = {0}, found = {0}, field = {0};

    for (uint64_t seed = 0; seed < 60; seed++) {
        uint64_t n = 0, line = 1;

        text.size = expected.size = 0;
        for (int row = 0; row < 50; row++) {
            sg_buf_printf(&expected, "%llu:", (unsigned long long)line);
            for (int f = 0; f < 5; f++) {
                const size_t size = sg_rng_below(f == 2 ? 200 : 12, seed, SG_RNG_TEST, n++, 0);
                bool must = false;

                field.size = 0;
                for (size_t i = 0; i < size; i++)
                    sg_buf_putc(&field, letters[sg_rng_below(sizeof letters - 1, seed, SG_RNG_TEST, n++, 1)]);
                sg_buf_add(&field, "", 0);
                must = strpbrk(field.data, ",\"\n\r") != NULL;
                sg_buf_puts(&text, f ? "," : "");
                if (must || sg_rng_below(3, seed, SG_RNG_TEST, n++, 2) == 0) {
                    sg_buf_putc(&text, '"');
                    for (size_t i = 0; i < size; i++)
                        sg_buf_printf(&text, field.data[i] == '"' ? "\"\"" : "%c", field.data[i]);
                    sg_buf_putc(&text, '"');
                } else {
                    sg_buf_puts(&text, field.data);
                }
                for (size_t i = 0; i < size; i++)
                    line += field.data[i] == '\n';
                sg_buf_printf(&expected, " [%s]", field.data);
            }
            sg_buf_puts(&text, seed % 2 ? "\r\n" : "\n");
            sg_buf_puts(&expected, "\n");
            line++;
        }
        dump_table(&found, (sg_bytes){text.data, text.size}, seed % 7 ? (size_t)seed * 31 : 1, ',', false,
                   true);
        assert_string_equal(found.data, expected.data);
    }
    sg_buf_free(&text);
    sg_buf_free(&expected);
    sg_buf_free(&found);
    sg_buf_free(&field);
}

static void json_members_do_not_depend_on_how_bytes_arrive(void **state)
{
    (void)state;
    static const char text[] =
        " {\"a\": [1, -2.5e3, true], \"b\\\"\": \"x\\\\\",\n \"c\": {\"k\": null}, \"d\": 12 ,\"e\":false}\n";

    for (size_t piece = 1; piece < 80; piece++) {
        sg_json_value key, value;
        sg_buf found = {0};
        sg_json_file f;
        sg_error err;
        sg_input in;
        bool got;

        assert_int_equal(sg_input_memory(&in, (sg_bytes){text, sizeof text - 1}, piece, "t", &err), SG_OK);
        assert_int_equal(sg_json_file_begin(&f, &in, &err), SG_OK);
        while (!sg_json_file_next(&f, &key, &value, &got, &err) && got)
            sg_buf_printf(&found, "%llu %.*s=%.*s\n", (unsigned long long)f.line, (int)key.text.size,
                          key.text.data, (int)value.text.size, value.text.data);
        assert_string_equal(found.data,
                            "1 a=[1, -2.5e3, true]\n1 b\\\"=x\\\\\n2 c={\"k\": null}\n2 d=12\n2 e=false\n");
        sg_buf_free(&found);
        sg_input_close(&in);
    }
}

static void decodes_json_strings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"\\ud83d x \\ude00\"", "\xef\xbf\xbd x \xef\xbf\xbd"},
        {"\"\\uZZZZ\"", "\xef\xbf\xbdZZZZ"},
        {"'it\\'s \\x41'", "it's A"},
    };
    sg_buf room = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_json_value v;
        sg_json_scan s;
        sg_bytes out;

        sg_json_begin(&s, (sg_bytes){cases[i].json, strlen(cases[i].json)}, true);
        assert_true(sg_json_take(&s, &v) && sg_json_end(&s));
        assert_true(sg_json_string(&out, &v, &room));
        assert_int_equal(out.size, strlen(cases[i].text));
        assert_memory_equal(out.data, cases[i].text, out.size);
    }
    sg_buf_free(&room);
}

static void rows_have_a_limit(void **state)
{
    (void)state;
    const size_t size = SG_ROW_BYTES_MAX * 2 + 100;
    char *text = sg_alloc(size);
    sg_bytes line;
    sg_error err;
    sg_input in;
    bool got;

    assert_non_null(text);
    memset(text, 'x', size);
    assert_int_equal(sg_input_memory(&in, (sg_bytes){text, size}, 1 << 24, "t", &err), SG_OK);
    assert_int_equal(sg_input_line(&in, &line, &got, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "t:1: a row longer than 67108864 bytes");
    assert_true(in.broken);
    sg_input_close(&in);
    sg_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_depend_on_how_bytes_arrive),
        cmocka_unit_test(tables_read_back),
        cmocka_unit_test(json_members_do_not_depend_on_how_bytes_arrive),
        cmocka_unit_test(decodes_json_strings),
        cmocka_unit_test(rows_have_a_limit),
    };

    return cmocka_run_group_tests_name("import_table", tests, NULL, NULL);
}
