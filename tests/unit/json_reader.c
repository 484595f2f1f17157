/* json_reader.c - JSON by steps against jansson: random documents, broken ones, every limit; where errors are; what a step tells. */
#include "../../fuzz/json_same.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { DOCUMENTS = 3000, BROKEN = 40 /* of each */, DEEP = 5 };

static uint64_t draw(size_t n, uint64_t *at)
{
    return sg_rng_below(n, 7, SG_RNG_TEST, 0, (*at)++);
}

static void add_space(sg_buf *b, uint64_t *at)
{
    static const char *const some[] = {"", "", "", " ", "\n", "\t \r\n"};

    sg_buf_puts(b, some[draw(sizeof some / sizeof *some, at)]);
}

static void add_string(sg_buf *b, uint64_t *at)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "c",
                                         "\\u0061",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\xc3\xa9",
                                         "\xe6\x9d\xb1",
                                         "\xf0\x9f\x98\x80",
                                         "\\ud83d\\ude00",
                                         "\\u00e9",
                                         "\\uFFFF",
                                         "\x7f",
                                         " ",
                                         "\\u0001",
                                         "\\t"};

    sg_buf_putc(b, '"');
    for (size_t n = draw(5, at); n-- > 0;)
        sg_buf_puts(b, pieces[draw(sizeof pieces / sizeof *pieces, at)]);
    sg_buf_putc(b, '"');
}

static void add_plain(sg_buf *b, uint64_t *at)
{
    static const char *const some[] = {"0",
                                       "-0",
                                       "17",
                                       "-1.5e9",
                                       "1e308",
                                       "1e309",
                                       "0.1",
                                       "1E-5",
                                       "-2.50",
                                       "1e-400",
                                       "true",
                                       "null",
                                       "false",
                                       "01",
                                       "1.",
                                       "-",
                                       "+1",
                                       ".5",
                                       "nul",
                                       "9223372036854775807",
                                       "9223372036854775808",
                                       "-9223372036854775808"};

    if (draw(3, at) == 0)
        add_string(b, at);
    else /* those at the end are wrong, and rare */
        sg_buf_puts(b, some[draw(60, at) ? draw(5, at) : draw(sizeof some / sizeof *some, at)]);
}

static void add_value(sg_buf *b, int depth, uint64_t *at)
{
    const bool object = draw(2, at);

    add_space(b, at);
    if (depth == DEEP || draw(3, at) == 0) {
        add_plain(b, at);
    } else {
        sg_buf_putc(b, object ? '{' : '[');
        for (size_t i = 0, n = draw(5, at); i < n; i++) {
            sg_buf_puts(b, i ? "," : "");
            if (object) {
                add_space(b, at);
                add_string(b, at); /* some twice */
                add_space(b, at);
                sg_buf_putc(b, ':');
            }
            add_value(b, depth + 1, at);
        }
        add_space(b, at);
        sg_buf_putc(b, object ? '}' : ']');
    }
    add_space(b, at);
}

/* Bytes put in place of others, left out, or the rest cut off. */
static void damage(sg_buf *b, uint64_t *at)
{
    static const char some[] = "\"\\{}[],:0-.eu\n\x80\xff\xed\x01 t";

    for (size_t n = 1 + draw(2, at); n-- > 0 && b->size;) {
        const size_t i = draw(b->size, at);

        switch (draw(4, at)) {
        case 0:
            b->size = i;
            break;
        case 1:
            memmove(b->data + i, b->data + i + 1, b->size - i);
            b->size--;
            break;
        default:
            b->data[i] = some[draw(sizeof some, at)];
            break;
        }
    }
}

static void agrees_with_jansson(void **state)
{
    (void)state;
    size_t good = 0, bad = 0;
    uint64_t at = 0;

    for (int d = 0; d < DOCUMENTS; d++) {
        sg_buf whole = {0}, b = {0};

        add_value(&whole, 0, &at);
        for (int k = 0; k <= BROKEN; k++) {
            const char *differ;
            b.size = 0;
            sg_buf_add(&b, whole.data, whole.size);
            if (k)
                damage(&b, &at);
            if ((differ = json_same((sg_bytes){b.data, b.size})))
                fail_msg("document %d: %s: %.*s", d, differ, (int)b.size, b.data);
            *(json_read_through((sg_bytes){b.data, b.size}, NULL) ? &bad : &good) += 1;
        }
        sg_buf_free(&whole);
        sg_buf_free(&b);
    }
    printf("%zu good, %zu broken\n", good, bad);
    assert_true(good > 5 * DOCUMENTS && bad > 5 * DOCUMENTS);
    assert_int_equal(sg_alloc_live(), 0);
}

/* So many brackets, with something in the middle. */
static void nest(sg_buf *b, int depth, bool object, const char *middle)
{
    b->size = 0;
    for (int i = 0; i < depth; i++)
        sg_buf_puts(b, object ? "{\"a\":" : "[");
    sg_buf_puts(b, middle);
    for (int i = 0; i < depth; i++)
        sg_buf_putc(b, object ? '}' : ']');
}

static void goes_as_deep_as_jansson(void **state)
{
    (void)state;
    sg_buf b = {0};

    for (int depth = 2046; depth <= 2050; depth++)
        for (int object = 0; object < 2; object++)
            for (int full = 0; full < 2; full++) {
                nest(&b, depth, object, full || object ? "0" : "");
                if (json_same((sg_bytes){b.data, b.size}))
                    fail_msg("%d deep, objects: %d", depth, object);
            }
    nest(&b, 2049, false, "");
    sg_error err;
    assert_int_equal(json_read_through((sg_bytes){b.data, b.size}, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "same:1:2049: expected values nested at most 2048 deep");
    sg_buf_free(&b);
}

static void says_where_it_breaks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {{"", "1:1: expected a value"},
                 {"{\n  \"a\": 1,\n  \"\\u0061\": 2}", "3:10: duplicate object key"},
                 {"{\"a\": {\"a\": 1, \"b\": 2}, \"b\": 3, \"a\": 4}", "1:35: duplicate object key"},
                 {"{\"a\": }", "1:7: expected a value"},
                 {"[1] 2", "1:5: end of file expected"},
                 {"[1,]", "1:4: expected a value"},
                 {"[1 2]", "1:4: expected ',' or ']'"},
                 {"{\"a\" 2}", "1:6: expected ':'"},
                 {"{\"a\": 1 \"b\": 2}", "1:9: expected ',' or '}'"},
                 {"{\"a\": 1,}", "1:9: expected a key"},
                 {"{1: 1}", "1:2: expected a key"},
                 {"[\"\xc3\xa9\", \"\xff\"]", "1:8: expected UTF-8"},
                 {"[\"\xed\xa0\x80\"]", "1:3: expected UTF-8"},
                 {"[\"a\nb\"]", "1:4: expected no control character in a string"},
                 {"[\"abc", "1:5: expected the end of a string"},
                 {"[\"\\x\"]", "1:4: expected a known escape"},
                 {"[\"\\u12g4\"]", "1:4: expected four hexadecimal digits behind \\u"},
                 {"[\"\\ud83d\\u0041\"]", "1:8: expected the second half of a surrogate pair"},
                 {"[\"\\ude00\"]", "1:8: expected the first half of a surrogate pair"},
                 {"[\"a\\u0000\"]", "1:9: \\u0000 is not allowed"},
                 {"[01]", "1:3: expected no digit behind a 0 in front"},
                 {"[-]", "1:3: expected a digit"},
                 {"[1.]", "1:4: expected a digit"},
                 {"[1e999]", "1:6: expected a finite number"},
                 {"[nul]", "1:2: expected a value"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sg_bytes text = {cases[i].text, strlen(cases[i].text)};
        sg_error err;

        assert_int_equal(json_read_through(text, &err), SG_ERR_FORMAT);
        assert_string_equal(err.message + strlen("same:"), cases[i].message);
        assert_null(json_same(text));
    }
    assert_int_equal(json_read_through((sg_bytes){"[1\0]", 4}, NULL), SG_ERR_FORMAT);
}

/* What would take memory out of proportion. */
static void has_limits(void **state)
{
    (void)state;
    sg_buf b = {0};
    sg_error err;

    sg_buf_putc(&b, '{');
    for (unsigned i = 0; i <= SG_JSON_KEYS_MAX; i++)
        sg_buf_printf(&b, "%s\"%x\":0", i ? "," : "", i);
    sg_buf_putc(&b, '}');
    assert_int_equal(json_read_through((sg_bytes){b.data, b.size}, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, ": expected objects of at most 2097152 keys"));
    for (int more = 0; more < 2; more++) {
        b.size = 0;
        sg_buf_puts(&b, "\"\\n");
        for (size_t i = 1; i < SG_JSON_ESCAPED_MAX + (size_t)more; i++)
            sg_buf_putc(&b, 'a');
        sg_buf_putc(&b, '"');
        assert_int_equal(json_read_through((sg_bytes){b.data, b.size}, &err), more ? SG_ERR_FORMAT : SG_OK);
    }
    assert_non_null(strstr(err.message, ": expected a string with escapes of at most 8 MiB"));
    b.size = 0;
    sg_buf_puts(&b, "1.");
    for (int i = 0; i < 65536; i++)
        sg_buf_putc(&b, '0');
    assert_int_equal(json_read_through((sg_bytes){b.data, b.size}, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "same:1:65538: expected a number of at most 65536 characters");
    sg_buf_free(&b);
}

static void tells_what_it_meets(void **state)
{
    (void)state;
    static const char text[] =
        "{\"list\": [1, [2, {}], {\"a\": 3}, \"b\"], \"x\": -1.50, "
        "\"s\": \"say \\\"0123456789012345678901234567890123456789\\\"\", \"n\": null}";
    sg_json_reader r;
    char said[64];
    size_t n;

    sg_json_reader_init(&r, (sg_bytes){text, sizeof text - 1}, "x");
    r.known = true;
    assert_int_equal(sg_json_reader_next(&r, NULL), SG_OK);
    assert_string_equal(sg_json_reader_describe(&r, said), "an object");
    assert_int_equal(sg_json_reader_next(&r, NULL), SG_OK);
    assert_true(r.step == SG_JSON_STEP_ARRAY && json_same_text(r.key, "list", 4) && r.depth == 2);
    assert_string_equal(sg_json_reader_describe(&r, said), "an array");
    assert_int_equal(sg_json_reader_skip(&r, &n, NULL), SG_OK);
    assert_int_equal(n, 4);
    assert_true(
        json_same_text((sg_bytes){text + r.begin, r.at - r.begin}, "[1, [2, {}], {\"a\": 3}, \"b\"]", 27));
    assert_int_equal(sg_json_reader_next(&r, NULL), SG_OK);
    assert_true(r.step == SG_JSON_STEP_REAL && json_same_text(r.string, "-1.50", 5));
    assert_int_equal(sg_json_reader_skip(&r, &n, NULL), SG_OK);
    assert_int_equal(n, 0);
    assert_string_equal(sg_json_reader_describe(&r, said), "-1.5");
    assert_int_equal(sg_json_reader_next(&r, NULL), SG_OK);
    assert_true(r.step == SG_JSON_STEP_STRING && r.string.size == 46);
    assert_string_equal(sg_json_reader_describe(&r, said), "\"say \\\"012345678901234567890123456789012...");
    assert_int_equal(sg_json_reader_next(&r, NULL), SG_OK);
    assert_string_equal(sg_json_reader_describe(&r, said), "null");
    assert_int_equal(sg_json_reader_next(&r, NULL), SG_OK);
    assert_true(r.step == SG_JSON_STEP_CLOSE && r.depth == 0);
    sg_json_reader_fini(&r);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_jansson),  cmocka_unit_test(goes_as_deep_as_jansson),
        cmocka_unit_test(says_where_it_breaks), cmocka_unit_test(has_limits),
        cmocka_unit_test(tells_what_it_meets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
