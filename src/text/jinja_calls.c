/* jinja_calls.c - filters, tests and methods of the template language. */
#include "text/jinja_parts.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <string.h>

/* ---- white space, letters --------------------------------------------------------------------------------------------------- */
/* As Python's strip: White_Space, and four separators of ASCII. chars size 0: white space. */
static bool is_in(uint32_t c, sg_bytes chars)
{
    const char *at = chars.data, *const end = chars.data + chars.size;

    if (!chars.size)
        return sg_char_is_space(c) || (c >= 0x1c && c <= 0x1f);
    while (at < end)
        if (sg_utf8_next(&at) == c)
            return true;
    return false;
}

static sg_jinja_value strip(sg_jinja_value v, sg_bytes chars, bool left, bool right)
{
    size_t from = 0, to = v.s.size;

    while (left && from < to) {
        const char *s = v.s.data + from;

        if (!is_in(sg_utf8_next(&s), chars))
            break;
        from = (size_t)(s - v.s.data);
    }
    while (right && to > from) {
        const size_t before = sg_utf8_before(v.s.data, to);
        const char *s = v.s.data + before;

        if (!is_in(sg_utf8_next(&s), chars))
            break;
        to = before;
    }
    return sg_jinja_part(v, from, to);
}

typedef enum letters { UPPER, LOWER, CAPITAL, TITLE } letters;

/* Of ASCII alone. */
static sg_jinja_value spell(sg_jinja *j, sg_jinja_value v, letters how)
{
    char *s = sg_jinja_take(j, v.s.size, 1);
    bool inside = false;

    for (size_t i = 0; s && i < v.s.size; i++) {
        const char c = v.s.data[i];
        const bool small = c >= 'a' && c <= 'z', large = c >= 'A' && c <= 'Z';
        const bool up = how == UPPER || (how == CAPITAL && i == 0) || (how == TITLE && !inside);

        if ((unsigned char)c >= 0x80)
            return sg_jinja_fail(j, "expected letters of ASCII to write large or small");
        s[i] = up && small ? (char)(c - 32) : !up && large ? (char)(c + 32) : c;
        inside = small || large;
    }
    return s ? (sg_jinja_value){.kind = SG_J_STR, .s = {s, v.s.size}, .said = v.said} : v;
}

/* ---- parts ------------------------------------------------------------------------------------------------------------------ */
/* Where `what` (not empty) begins in v from `at` on; v.s.size: nowhere. */
static size_t find(sg_jinja_value v, sg_bytes what, size_t at)
{
    for (; at + what.size <= v.s.size; at++)
        if (memcmp(v.s.data + at, what.data, what.size) == 0)
            return at;
    return v.s.size;
}

static sg_jinja_value split(sg_jinja *j, sg_jinja_value v, const sg_jinja_args *a)
{
    const bool words = a->n == 0 || a->item[0].kind == SG_J_NONE;
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_LIST);
    int64_t most = a->n > 1 ? a->item[1].n : -1;
    size_t at = 0;

    if (!words && (a->item[0].kind != SG_J_STR || !a->item[0].s.size))
        return sg_jinja_fail(j, "split: expected a string that is not empty");
    if (words && most >= 0)
        return sg_jinja_fail(j, "split: expected a string to split at");
    while (!j->st && words) {
        const sg_jinja_value rest = strip(sg_jinja_part(v, at, v.s.size), (sg_bytes){0}, true, false);
        size_t end = 0;

        if (!rest.s.size)
            return out;
        while (end < rest.s.size) {
            const char *s = rest.s.data + end;

            if (is_in(sg_utf8_next(&s), (sg_bytes){0}))
                break;
            end = (size_t)(s - rest.s.data);
        }
        sg_jinja_append(j, out, sg_jinja_part(rest, 0, end));
        at = (size_t)(rest.s.data - v.s.data) + end;
    }
    for (size_t to; !j->st && most != 0 && (to = find(v, a->item[0].s, at)) < v.s.size;
         at = to + a->item[0].s.size, most--)
        sg_jinja_append(j, out, sg_jinja_part(v, at, to));
    sg_jinja_append(j, out, sg_jinja_part(v, at, v.s.size));
    return out;
}

static sg_jinja_value replace(sg_jinja *j, sg_jinja_value v, const sg_jinja_args *a)
{
    sg_jinja_value out = sg_jinja_text("");
    size_t at = 0;

    if (a->n != 2 || a->item[0].kind != SG_J_STR || a->item[1].kind != SG_J_STR || !a->item[0].s.size)
        return sg_jinja_fail(j, "replace: expected two strings, the first one not empty");
    for (size_t to; !j->st && (to = find(v, a->item[0].s, at)) < v.s.size; at = to + a->item[0].s.size) {
        j->steps++;
        out = sg_jinja_cat(j, sg_jinja_cat(j, out, sg_jinja_part(v, at, to)), a->item[1]);
    }
    return sg_jinja_cat(j, out, sg_jinja_part(v, at, v.s.size));
}

static sg_jinja_value join(sg_jinja *j, sg_jinja_value between, sg_jinja_value list)
{
    sg_jinja_value out = sg_jinja_text("");

    if (list.kind != SG_J_LIST)
        return sg_jinja_fail(j, "join: expected a list");
    for (size_t i = 0; i < list.list->n && !j->st; i++)
        out = sg_jinja_cat(j, i ? sg_jinja_cat(j, out, between) : out, sg_jinja_str(j, list.list->item[i]));
    return out;
}

static bool begins(sg_jinja_value v, sg_jinja_value with, bool at_end)
{
    const size_t n = with.s.size;

    return v.s.size >= n && (n == 0 || memcmp(v.s.data + (at_end ? v.s.size - n : 0), with.s.data, n) == 0);
}

static sg_jinja_value begins_any(sg_jinja *j, sg_jinja_value v, const sg_jinja_args *a, bool at_end)
{
    bool yes = false;

    if (a->n != 1 || (a->item[0].kind != SG_J_STR && a->item[0].kind != SG_J_LIST))
        return sg_jinja_fail(j, "startswith, endswith: expected a string");
    if (a->item[0].kind == SG_J_STR)
        return sg_jinja_bool(begins(v, a->item[0], at_end));
    for (size_t i = 0; i < a->item[0].list->n; i++)
        yes = yes || begins(v, a->item[0].list->item[i], at_end);
    return sg_jinja_bool(yes);
}

static sg_jinja_value pairs(sg_jinja *j, sg_jinja_value dict)
{
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_LIST);

    for (size_t i = 0; i < dict.list->n && !j->st; i++) {
        const sg_jinja_value pair = sg_jinja_new_list(j, SG_J_LIST);

        sg_jinja_append(j, pair, dict.list->key[i]);
        sg_jinja_append(j, pair, dict.list->item[i]);
        sg_jinja_append(j, out, pair);
    }
    return out;
}

static sg_jinja_value unknown(sg_jinja *j, const char *what, sg_bytes name)
{
    return sg_jinja_fail(j, "the %s %.*s is not known", what, (int)(name.size < 60 ? name.size : 60),
                         name.data);
}

/* ---- filters ---------------------------------------------------------------------------------------------------------------- */
/* The items of a list whose member `item[0]` passes the test `item[1]` (none: is true). */
static sg_jinja_value choose(sg_jinja *j, sg_jinja_value v, const sg_jinja_args *a, bool wanted)
{
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_LIST);
    sg_jinja_args more = {0};

    if (v.kind != SG_J_LIST || a->n < 1 || a->n > 3 || a->item[0].kind != SG_J_STR ||
        (a->n > 1 && a->item[1].kind != SG_J_STR))
        return sg_jinja_fail(j,
                             "selectattr, rejectattr: expected a list, the name of a member and of a test");
    more.n = a->n == 3;
    more.item[0] = a->item[2];
    for (size_t i = 0; i < v.list->n && !j->st; i++) {
        sg_jinja_value x = sg_jinja_index(j, v.list->item[i], a->item[0]);

        x = a->n == 1 ? x : sg_jinja_test(j, a->item[1].s, x, &more);
        if (sg_jinja_truth(x) == wanted)
            sg_jinja_append(j, out, v.list->item[i]);
    }
    return out;
}

static sg_jinja_value of_list(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a)
{
    const int64_t last = -1, first = 0;

    if (sg_jinja_is(name, "first") || sg_jinja_is(name, "last"))
        return sg_jinja_index(j, v, sg_jinja_number(name.size == 5 ? first : last));
    if (sg_jinja_is(name, "reverse") && v.kind == SG_J_LIST)
        return sg_jinja_slice(j, v, NULL, NULL, -1);
    if (sg_jinja_is(name, "list"))
        return sg_jinja_items(j, v);
    if (sg_jinja_is(name, "join"))
        return join(j, a->n ? sg_jinja_str(j, a->item[0]) : sg_jinja_text(""), v);
    if (sg_jinja_is(name, "items") && v.kind == SG_J_DICT)
        return pairs(j, v);
    if (sg_jinja_is(name, "selectattr") || sg_jinja_is(name, "rejectattr"))
        return choose(j, v, a, *name.data == 's');
    return unknown(j, "filter", name);
}

sg_jinja_value sg_jinja_filter(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a)
{
    static const sg_bytes none = {0};

    if (a->n_named)
        return sg_jinja_fail(j, "the filter %.*s: expected no arguments with names",
                             (int)(name.size < 60 ? name.size : 60), name.data);
    if (sg_jinja_is(name, "default") || sg_jinja_is(name, "d")) {
        const bool missing =
            v.kind == SG_J_UNDEFINED || (a->n > 1 && sg_jinja_truth(a->item[1]) && !sg_jinja_truth(v));

        return !missing ? v : a->n ? a->item[0] : sg_jinja_text("");
    }
    if (sg_jinja_is(name, "safe") || sg_jinja_is(name, "string"))
        return sg_jinja_str(j, v);
    if (sg_jinja_is(name, "trim")) {
        v = sg_jinja_str(j, v);
        return strip(v, a->n && a->item[0].kind == SG_J_STR ? a->item[0].s : none, true, true);
    }
    if (sg_jinja_is(name, "upper"))
        return spell(j, sg_jinja_str(j, v), UPPER);
    if (sg_jinja_is(name, "lower"))
        return spell(j, sg_jinja_str(j, v), LOWER);
    if (sg_jinja_is(name, "capitalize"))
        return spell(j, sg_jinja_str(j, v), CAPITAL);
    if (sg_jinja_is(name, "title"))
        return spell(j, sg_jinja_str(j, v), TITLE);
    if (sg_jinja_is(name, "replace"))
        return replace(j, sg_jinja_str(j, v), a);
    if (sg_jinja_is(name, "length") || sg_jinja_is(name, "count")) {
        int64_t n = 0;

        if (v.kind == SG_J_LIST || v.kind == SG_J_DICT)
            return sg_jinja_number((int64_t)v.list->n);
        if (v.kind != SG_J_STR && v.kind != SG_J_UNDEFINED)
            return sg_jinja_fail(j, "length: expected a string, a list or a dict");
        for (size_t i = 0; v.kind == SG_J_STR && i < v.s.size; i++)
            n += ((unsigned char)v.s.data[i] & 0xc0) != 0x80;
        return sg_jinja_number(n);
    }
    return of_list(j, name, v, a);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------ */
sg_jinja_value sg_jinja_test(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a)
{
    const bool number = v.kind == SG_J_NUMBER || v.kind == SG_J_BOOL,
               listed = v.kind == SG_J_LIST || v.kind == SG_J_DICT || v.kind == SG_J_STR;

    if (sg_jinja_is(name, "defined"))
        return sg_jinja_bool(v.kind != SG_J_UNDEFINED);
    if (sg_jinja_is(name, "undefined"))
        return sg_jinja_bool(v.kind == SG_J_UNDEFINED);
    if (sg_jinja_is(name, "none"))
        return sg_jinja_bool(v.kind == SG_J_NONE);
    if (sg_jinja_is(name, "string"))
        return sg_jinja_bool(v.kind == SG_J_STR);
    if (sg_jinja_is(name, "mapping"))
        return sg_jinja_bool(v.kind == SG_J_DICT);
    if (sg_jinja_is(name, "iterable") || sg_jinja_is(name, "sequence"))
        return sg_jinja_bool(listed || (v.kind == SG_J_UNDEFINED));
    if (sg_jinja_is(name, "number"))
        return sg_jinja_bool(number);
    if (sg_jinja_is(name, "integer"))
        return sg_jinja_bool(v.kind == SG_J_NUMBER);
    if (sg_jinja_is(name, "boolean"))
        return sg_jinja_bool(v.kind == SG_J_BOOL);
    if (sg_jinja_is(name, "true") || sg_jinja_is(name, "false"))
        return sg_jinja_bool(v.kind == SG_J_BOOL && v.n == (name.size == 4));
    if ((sg_jinja_is(name, "odd") || sg_jinja_is(name, "even")) && number)
        return sg_jinja_bool((v.n % 2 != 0) == (name.size == 3));
    if (a->n == 1 && (sg_jinja_is(name, "equalto") || sg_jinja_is(name, "eq") || sg_jinja_is(name, "==")))
        return sg_jinja_bool(sg_jinja_equal(v, a->item[0]));
    if (a->n == 1 && (sg_jinja_is(name, "ne") || sg_jinja_is(name, "!=")))
        return sg_jinja_bool(!sg_jinja_equal(v, a->item[0]));
    if (a->n == 1 && sg_jinja_is(name, "in"))
        return sg_jinja_bool(sg_jinja_in(j, v, a->item[0]));
    return unknown(j, "test", name);
}

/* ---- methods ---------------------------------------------------------------------------------------------------------------- */
static sg_jinja_value of_dict(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a)
{
    const sg_jinja_value *found;

    if (sg_jinja_is(name, "get") && a->n && a->item[0].kind == SG_J_STR) {
        if ((found = sg_jinja_get(v, a->item[0].s)))
            return *found;
        return a->n > 1 ? a->item[1] : (sg_jinja_value){.kind = SG_J_NONE};
    }
    if (sg_jinja_is(name, "items"))
        return pairs(j, v);
    if (sg_jinja_is(name, "keys"))
        return sg_jinja_items(j, v);
    return unknown(j, "method", name);
}

sg_jinja_value sg_jinja_method(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a)
{
    const sg_bytes chars = a->n && a->item[0].kind == SG_J_STR ? a->item[0].s : (sg_bytes){0};

    if (v.kind == SG_J_UNDEFINED)
        return sg_jinja_index(j, v, sg_jinja_text(""));
    if (v.kind == SG_J_DICT && !a->n_named)
        return of_dict(j, name, v, a);
    if (v.kind != SG_J_STR || a->n_named)
        return unknown(j, "method", name);
    if (sg_jinja_is(name, "strip"))
        return strip(v, chars, true, true);
    if (sg_jinja_is(name, "lstrip"))
        return strip(v, chars, true, false);
    if (sg_jinja_is(name, "rstrip"))
        return strip(v, chars, false, true);
    if (sg_jinja_is(name, "split"))
        return split(j, v, a);
    if (sg_jinja_is(name, "startswith"))
        return begins_any(j, v, a, false);
    if (sg_jinja_is(name, "endswith"))
        return begins_any(j, v, a, true);
    if (sg_jinja_is(name, "upper"))
        return spell(j, v, UPPER);
    if (sg_jinja_is(name, "lower"))
        return spell(j, v, LOWER);
    if (sg_jinja_is(name, "capitalize"))
        return spell(j, v, CAPITAL);
    if (sg_jinja_is(name, "title"))
        return spell(j, v, TITLE);
    if (sg_jinja_is(name, "replace"))
        return replace(j, v, a);
    if (sg_jinja_is(name, "join") && a->n == 1)
        return join(j, v, a->item[0]);
    return unknown(j, "method", name);
}
