/* yaml.c - recipes are read as the values they look like, and errors say line and column. */
#include "base/alloc.h"
#include "file/json.h"
#include "file/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void reads(const char *yaml, const char *json)
{
    json_t *v, *want;
    sg_error err = {0};

    if (sg_yaml_parse(&v, NULL, (sg_bytes){yaml, strlen(yaml)}, "r.yaml", &err))
        fail_msg("%s", err.message);
    assert_int_equal(sg_json_parse(&want, (sg_bytes){json, strlen(json)}, "want", NULL), SG_OK);
    if (!json_equal(v, want)) {
        sg_buf b = {0};

        sg_json_print_compact(&b, v);
        fail_msg("expected %s, found %s", json, b.data);
    }
    json_decref(v);
    json_decref(want);
}

static void refuses(const char *yaml, size_t size, const char *message)
{
    json_t *v, *places;
    sg_error err = {0};

    assert_int_equal(sg_yaml_parse(&v, &places, (sg_bytes){yaml, size}, "r.yaml", &err), SG_ERR_FORMAT);
    assert_null(v);
    assert_null(places);
    assert_string_equal(err.message, message);
}

#define REFUSES(text, message) refuses(text, sizeof text - 1, message)

static void scalars_have_the_types_of_the_core_schema(void **state)
{
    (void)state;
    reads("[1, -2, +3, 0, 007]", "[1, -2, 3, 0, 7]");
    reads("[1.5, -.5, 1., 1e3, 1E-2, +1.e+1]", "[1.5, -0.5, 1.0, 1000.0, 0.01, 10.0]");
    reads("[true, false, null, ~, ]", "[true, false, null, null]");
    reads("[yes, no, on, True, '1', \"true\", 1x, 1.2.3, -, ., e5, 1e, 0x10]",
          "[\"yes\", \"no\", \"on\", \"True\", \"1\", \"true\", \"1x\", \"1.2.3\", \"-\", \".\", \"e5\", "
          "\"1e\", \"0x10\"]");
    reads("a:\nb: \"\"\n", "{\"a\": null, \"b\": \"\"}");
    reads("", "null");
    reads("# nothing\n", "null");
}

static void structures_nest(void **state)
{
    (void)state;
    reads("model: tiger\ndata:\n  name: beauty\n  columns: [title, brand]\nsteps:\n  - a: 1\n    b: 2\n  - "
          "{c: 3}\n",
          "{\"model\": \"tiger\", \"data\": {\"name\": \"beauty\", \"columns\": [\"title\", \"brand\"]}, "
          "\"steps\": [{\"a\": 1, \"b\": 2}, {\"c\": 3}]}");
    reads("text: |\n  two\n  lines\nfolded: >-\n  one\n  line\n",
          "{\"text\": \"two\\nlines\\n\", \"folded\": \"one line\"}");
    reads("{1: a, true: b}", "{\"1\": \"a\", \"true\": \"b\"}");
}

static void says_line_and_column(void **state)
{
    (void)state;
    REFUSES("a: 1\nb: &x [1]\n", "r.yaml:2:4: anchors are not allowed");
    REFUSES("a: *x\n", "r.yaml:1:4: aliases are not allowed");
    REFUSES("a: !!str 1\n", "r.yaml:1:4: tags are not allowed");
    REFUSES("a: 1\nc: 3\na: 2\n", "r.yaml:3:1: key 'a' is given twice");
    REFUSES("? [1]\n: 2\n", "r.yaml:1:3: expected a plain key");
    REFUSES("--- 1\n--- 2\n", "r.yaml:2:1: expected one document, found another");
    REFUSES("a: 99999999999999999999\n",
            "r.yaml:1:4: expected an integer of at most 64 bits, found 99999999999999999999");
    REFUSES("a: 1e999\n", "r.yaml:1:4: expected a finite number, found 1e999");
    REFUSES("a: \"x\\0\"\n", "r.yaml:1:4: expected text without zero bytes");
    REFUSES("\"a\\0\": 1\n", "r.yaml:1:1: key 'a' holds a zero byte");
    REFUSES("a: [1\n", "r.yaml:2:1: did not find expected ',' or ']'");
    REFUSES("a: b: c\n", "r.yaml:1:5: mapping values are not allowed in this context");
    REFUSES("a: \xff\n", "r.yaml: byte 3: invalid leading UTF-8 octet");
    REFUSES("\ta: 1\n", "r.yaml:1:1: found character that cannot start any token");
}

static void refuses_deep_nesting(void **state)
{
    (void)state;
    char deep[80];

    memset(deep, '[', sizeof deep);
    refuses(deep, sizeof deep, "r.yaml:1:65: nested too deeply");
}

static void knows_where_values_stand(void **state)
{
    (void)state;
    static const char text[] = "model: tiger\ntrain:\n  lr: 1e-3\n  list:\n    - 5\n    - x: 6\n";
    json_t *v, *places;

    assert_int_equal(sg_yaml_parse(&v, &places, (sg_bytes){text, sizeof text - 1}, "r.yaml", NULL), SG_OK);
    assert_string_equal(json_string_value(json_object_get(places, "model")), "1:8");
    assert_string_equal(json_string_value(json_object_get(places, "train.lr")), "3:7");
    assert_string_equal(json_string_value(json_object_get(places, "train.list.0")), "5:7");
    assert_string_equal(json_string_value(json_object_get(places, "train.list.1.x")), "6:10");
    json_decref(v);
    json_decref(places);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_have_the_types_of_the_core_schema),
        cmocka_unit_test(structures_nest),
        cmocka_unit_test(says_line_and_column),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(knows_where_values_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
