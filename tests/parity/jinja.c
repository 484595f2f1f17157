/* jinja.c - templates write what Jinja writes of them (jinja.py asked it), what they refuse is refused; and what is not known, or has no end, is
 * an error with its line. */
#include "file/json.h"
#include "text/jinja.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FILES TEST_SOURCE_DIR "/tests/parity/"
enum { TURNS = 6 };

static size_t read_talk(sg_jinja_turn turn[TURNS], const json_t *talk)
{
    const size_t n = json_array_size(talk);

    assert_true(n <= TURNS);
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(json_array_get(talk, i), 1);

        turn[i] = (sg_jinja_turn){json_string_value(json_array_get(json_array_get(talk, i), 0)),
                                  {json_string_value(text), json_string_length(text)}};
    }
    return n;
}

static void check_run(const json_t *talks, const char *template, const json_t *run)
{
    const json_t *want = json_array_get(run, 3);
    const size_t i = (size_t)json_integer_value(json_array_get(run, 0));
    sg_jinja_turn turn[TURNS];
    const sg_jinja_vars vars = {.turn = turn,
                                .n = read_talk(turn, json_array_get(talks, i)),
                                .answer = json_is_true(json_array_get(run, 1)),
                                .no_thinking = json_is_true(json_array_get(run, 2)),
                                .bos = "<s>",
                                .eos = "</s>"};
    sg_jinja_out out = {0};
    sg_error err = {0};
    const sg_status st = sg_jinja_render(&out, (sg_bytes){template, strlen(template)}, &vars, &err);

    if (!json_is_string(want)) {
        assert_int_equal(st, SG_ERR_FORMAT);
        assert_non_null(strstr(err.message, json_string_value(json_object_get(want, "refuses"))));
    } else if (st || out.text.size != json_string_length(want) ||
               (out.text.size && memcmp(out.text.data, json_string_value(want), out.text.size) != 0)) {
        fail_msg("%.60s, talk %zu: expected '%s', found '%s' %s", template, i, json_string_value(want),
                 out.text.data, err.message);
    }
    assert_true(st || out.said.size == out.text.size);
    sg_jinja_out_free(&out);
}

static void templates_write_what_jinja_writes(void **state)
{
    (void)state;
    json_t *all, *one, *run;
    size_t i, k, n = 0;
    sg_error err;

    assert_int_equal(sg_json_read(&all, FILES "jinja.json", 1 << 22, &err), SG_OK);
    json_array_foreach(json_object_get(all, "cases"), i, one)
        json_array_foreach(json_object_get(one, "runs"), k, run)
    {
        check_run(json_object_get(all, "talks"), json_string_value(json_object_get(one, "template")), run);
        n++;
    }
    assert_int_equal(n, 110);
    json_decref(all);
}

static sg_status write_one(sg_jinja_out *out, const char *template, sg_error *err)
{
    const sg_jinja_turn turn[] = {{"user", {"one", 3}}, {"assistant", {" two ", 5}}};

    *out = (sg_jinja_out){0};
    return sg_jinja_render(out, (sg_bytes){template, strlen(template)},
                           &(sg_jinja_vars){.turn = turn, .n = 2}, err);
}

/* Every byte knows whose it is, through slices, trims, joins, blocks and macros. */
static void bytes_know_who_said_them(void **state)
{
    (void)state;
    static const char template[] =
        "{% macro m(x) %}<{{ x | upper }}>{% endmacro %}{% set b %}({{ messages[0].content[1:] }}){% endset "
        "%}"
        "a{{ messages[1].content.strip() + 'b' }}{{ m(messages[0].content) }}{{ b }}"
        "{{ ['x', messages[1]['content']] | join('-') }}";
    static const char text[] = "atwob<ONE>(ne)x- two ", said[] = "022200111001100022222";
    sg_jinja_out out;
    sg_error err;

    assert_int_equal(write_one(&out, template, &err), SG_OK);
    assert_string_equal(out.text.data, text);
    for (size_t i = 0; i < out.said.size; i++)
        assert_int_equal(out.said.data[i], said[i] - '0');
    sg_jinja_out_free(&out);
}

static void what_is_not_known_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a\n{{ messages | frob }}", "line 2: the filter frob is not known"},
        {"{{ 1 is frob }}", "line 1: the test frob is not known"},
        {"{{ 'a'.frob() }}", "line 1: the method frob is not known"},
        {"{% frob %}", "line 1: the tag frob is not known"},
        {"{{ frob('a') }}", "line 1: 'frob' cannot be called"},
        {"{{ strftime_now('%Y') }}", "line 1: 'strftime_now' cannot be called"},
        {"{{ frob.a }}", "line 1: 'frob' is not defined"},
        {"{{ 'a' + frob }}", "line 1: 'frob' is not defined"},
        {"{{ 'a' + 1 }}", "line 1: expected two strings or two numbers around +"},
        {"{{ 1 / 2 }}", "line 1: expected +, -, *, // or % of whole numbers, not by 0, found /"},
        {"{{ 1.5 }}", "line 1: numbers with a point are not known"},
        {"{{ [1] }}",
         "line 1: expected a string, a number or a truth to write, found a list, a dict or what is called"},
        {"{{ 1 2 }}", "line 1: expected }}, found '2'"},
        {"{{ 'a", "line 1: expected a quote that ends the string"},
        {"{{ a ", "line 1: expected the end of a tag"},
        {"{# a ", "line 1: expected the end of a comment"},
        {"{% if a %}b", "line 1: a block that does not end"},
        {"\n{% endif %}", "line 2: the end of a block that was not begun"},
        {"{% for x in 3 %}{% endfor %}", "line 1: expected a list to go over"},
        {"{% set a.b = 1 %}", "line 1: expected a namespace whose member is set"},
        {"{{ raise_exception('no') }}", "line 1: the template refuses: no"},
        {"{% set r = range(5000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
         "line 1: takes more than 20000000 steps"},
        {"{% set ns = namespace(a='x' ) %}{% for a in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
         "line 1: takes more than 256 MiB"},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "line 1: too deep"},
        {"{{ (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((("
         "1)))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))) }}",
         "line 1: too deep"},
        {"\xff", "line 1: expected text in UTF-8"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sg_jinja_out out;
        sg_error err;

        assert_int_equal(write_one(&out, rows[i][0], &err), SG_ERR_FORMAT);
        if (strcmp(err.message + strlen("chat template, "), rows[i][1]) != 0)
            fail_msg("%s: expected '%s', found '%s'", rows[i][0], rows[i][1], err.message);
        sg_jinja_out_free(&out);
    }
}

/* What a template says of tools may use anything. */
static void what_is_not_reached_may_be_unknown(void **state)
{
    (void)state;
    sg_jinja_out out;
    sg_error err;

    assert_int_equal(write_one(&out,
                               "{% if tools %}{{ tools | frob(indent=4) }}{% frob %}{% endif %}{{ (tools | "
                               "frob) if tools else 'b' }}"
                               "{{ tools and tools.frob() or 'c' }}",
                               &err),
                     SG_OK);
    assert_string_equal(out.text.data, "bc");
    sg_jinja_out_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_write_what_jinja_writes),
        cmocka_unit_test(bytes_know_who_said_them),
        cmocka_unit_test(what_is_not_known_is_named),
        cmocka_unit_test(what_is_not_reached_may_be_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
