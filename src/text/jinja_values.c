/* jinja_values.c - values of the template language: strings that know which of their bytes a turn said, lists, dicts. */
#include "text/jinja_parts.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

sg_jinja_value sg_jinja_fail(sg_jinja *j, const char *format, ...)
{
    const size_t last = j->n_tokens ? j->n_tokens - 1 : 0;
    char text[300];
    va_list args;

    if (!j->st) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        for (char *c = text; *c; c++)
            *c = (unsigned char)*c < ' ' ? ' ' : *c;
        j->st = sg_fail(j->err, SG_ERR_FORMAT, "chat template, line %d: %s",
                        j->n_tokens ? j->token[j->at < last ? j->at : last].line : 1, text);
    }
    return (sg_jinja_value){0};
}

void *sg_jinja_take(sg_jinja *j, size_t count, size_t each)
{
    void *p = NULL;

    if (j->st)
        return NULL;
    if (count > SG_JINJA_BYTES / each || sg_arena_used(j->arena) + count * each > SG_JINJA_BYTES)
        (void)sg_jinja_fail(j, "takes more than %zu MiB", SG_JINJA_BYTES >> 20);
    else if (!(p = sg_arena_take(j->arena, count * each + 1)))
        j->st = sg_fail_memory(j->err, "chat template");
    return p;
}

bool sg_jinja_is(sg_bytes s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

bool sg_jinja_same(sg_bytes a, sg_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

sg_jinja_value sg_jinja_bool(bool yes)
{
    return (sg_jinja_value){.kind = SG_J_BOOL, .n = yes};
}

sg_jinja_value sg_jinja_number(int64_t n)
{
    return (sg_jinja_value){.kind = SG_J_NUMBER, .n = n};
}

sg_jinja_value sg_jinja_text(const char *s)
{
    return (sg_jinja_value){.kind = SG_J_STR, .s = {s, strlen(s)}};
}

/* ---- lists and dicts -------------------------------------------------------------------------------------------------------- */
sg_jinja_value sg_jinja_new_list(sg_jinja *j, sg_jinja_kind kind)
{
    sg_jinja_list *list = sg_jinja_take(j, 1, sizeof *list);

    if (!list)
        return (sg_jinja_value){0};
    *list = (sg_jinja_list){0};
    return (sg_jinja_value){.kind = kind, .list = list};
}

static bool grow(sg_jinja *j, sg_jinja_list *l, bool keys)
{
    const size_t cap = l->cap ? 2 * l->cap : 8;
    sg_jinja_value *item, *key = NULL;

    if (l->n < l->cap)
        return true;
    if (!(item = sg_jinja_take(j, cap, sizeof *item)) ||
        (keys && !(key = sg_jinja_take(j, cap, sizeof *key))))
        return false;
    if (l->n)
        memcpy(item, l->item, l->n * sizeof *item);
    if (l->n && keys)
        memcpy(key, l->key, l->n * sizeof *key);
    l->item = item;
    l->key = key;
    l->cap = cap;
    return true;
}

void sg_jinja_append(sg_jinja *j, sg_jinja_value to, sg_jinja_value item)
{
    if (to.list && grow(j, to.list, false))
        to.list->item[to.list->n++] = item;
}

void sg_jinja_put(sg_jinja *j, sg_jinja_value to, sg_jinja_value key, sg_jinja_value item)
{
    sg_jinja_list *l = to.list;

    for (size_t i = 0; l && i < l->n; i++)
        if (sg_jinja_same(l->key[i].s, key.s)) {
            l->item[i] = item;
            return;
        }
    if (l && grow(j, l, true)) {
        l->key[l->n] = key;
        l->item[l->n++] = item;
    }
}

const sg_jinja_value *sg_jinja_get(sg_jinja_value of, sg_bytes key)
{
    for (size_t i = 0; of.kind == SG_J_DICT && i < of.list->n; i++)
        if (sg_jinja_same(of.list->key[i].s, key))
            return &of.list->item[i];
    return NULL;
}

sg_jinja_value sg_jinja_items(sg_jinja *j, sg_jinja_value v)
{
    sg_jinja_value out;

    if (v.kind == SG_J_LIST)
        return v;
    if (v.kind != SG_J_DICT && v.kind != SG_J_UNDEFINED)
        return sg_jinja_fail(j, "expected a list to go over");
    out = sg_jinja_new_list(j, SG_J_LIST);
    for (size_t i = 0; v.kind == SG_J_DICT && i < v.list->n; i++)
        sg_jinja_append(j, out, v.list->key[i]);
    return out;
}

/* ---- truth and sameness ----------------------------------------------------------------------------------------------------- */
bool sg_jinja_truth(sg_jinja_value v)
{
    switch (v.kind) {
    case SG_J_UNDEFINED:
    case SG_J_NONE:
        return false;
    case SG_J_BOOL:
    case SG_J_NUMBER:
        return v.n != 0;
    case SG_J_STR:
        return v.s.size > 0;
    case SG_J_LIST:
    case SG_J_DICT:
        return v.list && v.list->n > 0;
    default:
        return true;
    }
}

static bool is_number(sg_jinja_value v)
{
    return v.kind == SG_J_NUMBER || v.kind == SG_J_BOOL;
}

bool sg_jinja_equal(sg_jinja_value a, sg_jinja_value b)
{
    if (is_number(a) && is_number(b))
        return a.n == b.n;
    if (a.kind != b.kind)
        return false;
    if (a.kind == SG_J_STR)
        return sg_jinja_same(a.s, b.s);
    if (a.kind == SG_J_LIST && a.list != b.list) {
        bool same = a.list->n == b.list->n;

        for (size_t i = 0; same && i < a.list->n; i++)
            same = a.list->item[i].kind != SG_J_LIST && sg_jinja_equal(a.list->item[i], b.list->item[i]);
        return same;
    }
    return a.kind == SG_J_UNDEFINED || a.kind == SG_J_NONE || a.list == b.list;
}

static const char *find(sg_bytes in, sg_bytes what)
{
    for (size_t i = 0; what.size <= in.size && i <= in.size - what.size; i++)
        if (what.size == 0 || memcmp(in.data + i, what.data, what.size) == 0)
            return in.data + i;
    return NULL;
}

bool sg_jinja_in(sg_jinja *j, sg_jinja_value what, sg_jinja_value of)
{
    if (of.kind == SG_J_STR && what.kind == SG_J_STR)
        return find(of.s, what.s) != NULL;
    if (of.kind == SG_J_DICT)
        return what.kind == SG_J_STR && sg_jinja_get(of, what.s) != NULL;
    if (of.kind != SG_J_LIST && of.kind != SG_J_UNDEFINED) {
        (void)sg_jinja_fail(j, "expected a string, a list or a dict behind in");
        return false;
    }
    for (size_t i = 0; of.kind == SG_J_LIST && i < of.list->n; i++)
        if (sg_jinja_equal(of.list->item[i], what))
            return true;
    return false;
}

/* ---- strings ---------------------------------------------------------------------------------------------------------------- */
sg_jinja_value sg_jinja_str(sg_jinja *j, sg_jinja_value v)
{
    char *digits;

    switch (v.kind) {
    case SG_J_STR:
        return v;
    case SG_J_UNDEFINED:
        return sg_jinja_text("");
    case SG_J_NONE:
        return sg_jinja_text("None");
    case SG_J_BOOL:
        return sg_jinja_text(v.n ? "True" : "False");
    case SG_J_NUMBER:
        if (!(digits = sg_jinja_take(j, 24, 1)))
            return v;
        snprintf(digits, 24, "%lld", (long long)v.n);
        return sg_jinja_text(digits);
    default:
        return sg_jinja_fail(
            j, "expected a string, a number or a truth to write, found a list, a dict or what is called");
    }
}

sg_jinja_value sg_jinja_cat(sg_jinja *j, sg_jinja_value a, sg_jinja_value b)
{
    const size_t size = a.s.size + b.s.size;
    sg_jinja_value out = sg_jinja_text("");
    uint8_t *said = NULL;
    char *s;

    if (!a.s.size || !b.s.size)
        return a.s.size ? a : b;
    if (!(s = sg_jinja_take(j, size, 1)) || ((a.said || b.said) && !(said = sg_jinja_take(j, size, 1))))
        return out;
    memcpy(s, a.s.data, a.s.size);
    memcpy(s + a.s.size, b.s.data, b.s.size);
    if (said) {
        memset(said, 0, size);
        if (a.said)
            memcpy(said, a.said, a.s.size);
        if (b.said)
            memcpy(said + a.s.size, b.said, b.s.size);
    }
    out.s = (sg_bytes){s, size};
    out.said = said;
    return out;
}

sg_jinja_value sg_jinja_part(sg_jinja_value v, size_t from, size_t to)
{
    return (sg_jinja_value){
        .kind = SG_J_STR, .s = {v.s.data + from, to - from}, .said = v.said ? v.said + from : NULL};
}

/* ---- slices ----------------------------------------------------------------------------------------------------------------- */
static size_t length_of(sg_jinja_value v)
{
    size_t n = 0;

    for (size_t i = 0; v.kind == SG_J_STR && i < v.s.size; i++)
        n += ((unsigned char)v.s.data[i] & 0xc0) != 0x80;
    return v.kind == SG_J_STR ? n : v.list->n;
}

/* Where character n of a string begins. */
static size_t byte_of(sg_jinja_value v, size_t n)
{
    size_t i = 0;

    for (; i < v.s.size; i++)
        if (((unsigned char)v.s.data[i] & 0xc0) != 0x80 && n-- == 0)
            break;
    return i;
}

static int64_t bound(const int64_t *at, int64_t otherwise, int64_t n, int64_t least, int64_t most)
{
    const int64_t x = at ? *at < 0 ? *at + n : *at : otherwise;

    return x < least ? least : x > most ? most : x;
}

sg_jinja_value sg_jinja_slice(sg_jinja *j, sg_jinja_value v, const int64_t *from, const int64_t *to,
                              int64_t step)
{
    sg_jinja_value out;

    if (v.kind != SG_J_LIST && (v.kind != SG_J_STR || step != 1))
        return sg_jinja_fail(j, "expected a list to cut, or a string without a step");
    if (step != 1 && step != -1)
        return sg_jinja_fail(j, "expected a step of 1 or -1");
    const int64_t n = (int64_t)length_of(v);
    const int64_t a = step > 0 ? bound(from, 0, n, 0, n) : bound(from, n - 1, n, -1, n - 1),
                  b = step > 0 ? bound(to, n, n, 0, n)
                      : to     ? bound(to, 0, n, -1, n - 1)
                               : -1;
    if (v.kind == SG_J_STR) {
        const size_t first = byte_of(v, (size_t)a), last = a < b ? byte_of(v, (size_t)b) : first;

        return sg_jinja_part(v, first, last);
    }
    out = sg_jinja_new_list(j, SG_J_LIST);
    for (int64_t i = a; !j->st && (step > 0 ? i < b : i > b); i += step)
        sg_jinja_append(j, out, v.list->item[i]);
    return out;
}

static sg_jinja_value of_loop(sg_jinja_value loop, sg_bytes key)
{
    const int64_t n = (int64_t)loop.list->n, i = loop.n;

    if (sg_jinja_is(key, "index0") || sg_jinja_is(key, "index"))
        return sg_jinja_number(i + (key.size == 5));
    if (sg_jinja_is(key, "revindex0") || sg_jinja_is(key, "revindex"))
        return sg_jinja_number(n - i - (key.size == 9));
    if (sg_jinja_is(key, "first"))
        return sg_jinja_bool(i == 0);
    if (sg_jinja_is(key, "last"))
        return sg_jinja_bool(i == n - 1);
    if (sg_jinja_is(key, "length"))
        return sg_jinja_number(n);
    if (sg_jinja_is(key, "previtem") && i > 0)
        return loop.list->item[i - 1];
    if (sg_jinja_is(key, "nextitem") && i < n - 1)
        return loop.list->item[i + 1];
    return (sg_jinja_value){.s = key};
}

sg_jinja_value sg_jinja_index(sg_jinja *j, sg_jinja_value v, sg_jinja_value at)
{
    const sg_jinja_value *found;

    if (v.kind == SG_J_UNDEFINED)
        return sg_jinja_fail(j, "'%.*s' is not defined", (int)(v.s.size < 60 ? v.s.size : 60),
                             v.s.size ? v.s.data : "");
    if (at.kind == SG_J_STR && v.kind == SG_J_LOOP)
        return of_loop(v, at.s);
    if (at.kind == SG_J_STR)
        return (found = sg_jinja_get(v, at.s)) ? *found : (sg_jinja_value){.s = at.s};
    if (at.kind == SG_J_NUMBER && (v.kind == SG_J_LIST || v.kind == SG_J_STR)) {
        const int64_t n = (int64_t)length_of(v), i = at.n < 0 ? at.n + n : at.n;

        if (i < 0 || i >= n)
            return (sg_jinja_value){0};
        return v.kind == SG_J_LIST ? v.list->item[i]
                                   : sg_jinja_part(v, byte_of(v, (size_t)i), byte_of(v, (size_t)i + 1));
    }
    return (sg_jinja_value){0};
}
