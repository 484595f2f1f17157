/* guide_schema.c - a JSON schema as a guide: schema, automaton over bytes, tokens.
 *
 * Schemas without recursion describe regular languages. A schema becomes a nondeterministic automaton, built from its end to its start;
 * sets of its nodes are the states of a deterministic one, made when a text gets there. The tokens that a state allows are those whose
 * bytes all have a way, found in one walk over the trie of the vocabulary, once a state. */
#include "lm/guide.h"

#include "base/alloc.h"
#include "text/trie.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES_MAX = 1 << 20,
    STATES_MAX = 1 << 16,
    DEPTH_MAX = 64,
    COUNT_MAX = 4096, /* characters of a string, elements of an array */
    RANGE_MAX = 1000, /* integers between minimum and maximum */
    DEAD = 0,
    BEGIN = 1,
    ACCEPT = 0, /* node */
};

typedef struct
    node { /* low <= high: one of these bytes, then `next`; else: `next` or `other` (-1: none) without a byte */
    uint8_t low, high;
    int32_t next, other;
} node;

typedef struct state {
    uint32_t first, n; /* its nodes in `member`, ascending: those that take a byte, and ACCEPT */
    int32_t next[256]; /* state by byte; -1: not known yet */
    int32_t *token;    /* owned; NULL: not known yet */
    int32_t n_tokens;
} state;

typedef struct frame {
    uint32_t node;
    int32_t state;
} frame;

typedef struct schema {
    sg_guide guide;
    node *node; /* owned, as all below */
    size_t n_nodes, cap_node;
    state *state;
    size_t n_states, cap_state;
    int32_t *member;
    size_t n_members, cap_member;
    uint32_t *seen; /* (nodes) round in which a closure met it */
    uint32_t round;
    int32_t *todo;  /* (nodes) */
    uint32_t *slot; /* (slots) hash of states: number, 0: free */
    size_t slots;
    sg_buf spelling; /* bytes of all tokens; ... */
    size_t *start;   /* (tokens + 1) ... where each begins */
    sg_trie trie;
    frame *stack;
    size_t cap_stack;
} schema;

/* ---- schema to automaton -------------------------------------------------------------------------------------------------- */
typedef struct builder {
    schema *g;
    const char *where;
    sg_error *err;
    sg_status st; /* the first failure; nodes made afterwards do not matter */
} builder;

static int32_t fail(builder *b, const char *what, const char *more)
{
    if (!b->st)
        b->st = sg_fail(b->err, SG_ERR_FORMAT, "%s: schema: %s%.100s", b->where, what, more);
    return ACCEPT;
}

static int32_t add(builder *b, uint8_t low, uint8_t high, int32_t next, int32_t other)
{
    schema *g = b->g;

    if (b->st)
        return ACCEPT;
    if (g->n_nodes >= NODES_MAX)
        return fail(b, "too large", "");
    if (!sg_grow(&g->node, &g->cap_node, g->n_nodes + 1, sizeof *g->node)) {
        b->st = sg_fail_memory(b->err, "schema");
        return ACCEPT;
    }
    g->node[g->n_nodes] = (node){low, high, next, other};
    return (int32_t)g->n_nodes++;
}

static int32_t bytes(builder *b, int low, int high, int32_t next)
{
    return add(b, (uint8_t)low, (uint8_t)high, next, -1);
}

static int32_t either(builder *b, int32_t one, int32_t other)
{
    return add(b, 1, 0, one, other);
}

static int32_t literal(builder *b, const char *text, size_t n, int32_t next)
{
    while (n-- > 0)
        next = bytes(b, (unsigned char)text[n], (unsigned char)text[n], next);
    return next;
}

static int32_t word(builder *b, const char *text, int32_t next)
{
    return literal(b, text, strlen(text), next);
}

/* text, a space or none */
static int32_t spaced(builder *b, const char *text, int32_t next)
{
    return word(b, text, either(b, word(b, " ", next), next));
}

/* One character of a string: RFC 8259 and well-formed UTF-8; \u is never needed. */
static int32_t character(builder *b, int32_t next)
{
    static const struct { /* first byte, second byte, how many more of 80 .. bf */
        uint8_t low, high, low2, high2, more;
    } rows[] = {{0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1}, {0xe1, 0xec, 0x80, 0xbf, 1},
                {0xed, 0xed, 0x80, 0x9f, 1}, {0xee, 0xef, 0x80, 0xbf, 1}, {0xf0, 0xf0, 0x90, 0xbf, 2},
                {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2}};
    int32_t all = either(b, bytes(b, 0x20, '"' - 1, next),
                         either(b, bytes(b, '"' + 1, '\\' - 1, next), bytes(b, '\\' + 1, 0x7f, next)));
    int32_t escaped = -1;

    for (const char *p = "\"\\/bfnrt"; *p; p++)
        escaped = either(b, bytes(b, *p, *p, next), escaped);
    all = either(b, all, bytes(b, '\\', '\\', escaped));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t rest = next;

        for (int k = 0; k < rows[i].more; k++)
            rest = bytes(b, 0x80, 0xbf, rest);
        all =
            either(b, all, bytes(b, rows[i].low, rows[i].high, bytes(b, rows[i].low2, rows[i].high2, rest)));
    }
    return all;
}

/* A count of the schema; absent: `otherwise`. */
static int count_of(builder *b, const json_t *s, const char *key, int otherwise)
{
    const json_t *value = json_object_get(s, key);

    if (!value)
        return otherwise;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > COUNT_MAX) {
        fail(b, "expected an integer from 0 to 4096 as ", key);
        return otherwise;
    }
    return (int)json_integer_value(value);
}

static int32_t string(builder *b, const json_t *s, int32_t next)
{
    const int least = count_of(b, s, "minLength", 0), most = count_of(b, s, "maxLength", -1);
    int32_t at = word(b, "\"", next);

    const int32_t end = at;

    if (most >= 0 && most < least)
        return fail(b, "expected maxLength not below minLength", "");
    if (most < 0) {
        const int32_t loop = either(b, -1, end);
        const int32_t again = character(b, loop);

        if (!b->st)
            b->g->node[loop].next = again;
        at = loop;
    }
    for (int i = least; i < most && !b->st; i++)
        at = either(b, character(b, at), end);
    for (int i = 0; i < least; i++)
        at = character(b, at);
    return word(b, "\"", at);
}

/* least .. most digits */
static int32_t digits(builder *b, int least, int most, int32_t next)
{
    int32_t at = next;

    for (int i = least; i < most; i++)
        at = either(b, bytes(b, '0', '9', at), next);
    for (int i = 0; i < least; i++)
        at = bytes(b, '0', '9', at);
    return at;
}

/* An integer of up to 15 digits: every reader of JSON keeps it whole. */
static int32_t whole(builder *b, bool sign, int32_t next)
{
    const int32_t size = either(b, word(b, "0", next), bytes(b, '1', '9', digits(b, 0, 14, next)));

    return sign ? either(b, word(b, "-", size), size) : size;
}

static int32_t integer(builder *b, const json_t *s, int32_t next)
{
    const json_t *low = json_object_get(s, "minimum"), *high = json_object_get(s, "maximum");
    int32_t all = -1;

    if ((low && !json_is_integer(low)) || (high && !json_is_integer(high)))
        return fail(b, "expected integers as minimum and maximum", "");
    if (!high)
        return low && json_integer_value(low) != 0 ? fail(b, "a minimum other than 0 needs a maximum", "")
                                                   : whole(b, !low, next);
    if (!low || json_integer_value(high) < json_integer_value(low) ||
        json_integer_value(high) / 2 - json_integer_value(low) / 2 > RANGE_MAX / 2)
        return fail(b, "a maximum needs a minimum, at most 1000 below it", "");
    for (json_int_t i = json_integer_value(high); i >= json_integer_value(low); i--) {
        char text[32];

        snprintf(text, sizeof text, "%lld", (long long)i);
        all = either(b, word(b, text, next), all);
        if (i == json_integer_value(low)) /* INT64_MIN has none below */
            break;
    }
    return all;
}

static int32_t number(builder *b, const json_t *s, int32_t next)
{
    const int32_t power = digits(b, 1, 2, next);
    const int32_t sign = either(b, word(b, "-", power), either(b, word(b, "+", power), power));
    const int32_t end = either(b, either(b, word(b, "e", sign), word(b, "E", sign)), next);
    const json_t *low = json_object_get(s, "minimum");

    if (json_object_get(s, "maximum") || (low && json_number_value(low) != 0))
        return fail(b, "a number may have a minimum of 0, no other bound", "");
    return whole(b, !low, either(b, word(b, ".", digits(b, 1, 10, end)), end));
}

static int32_t value(builder *b, const json_t *s, int depth, int32_t next);

static int32_t array(builder *b, const json_t *s, int depth, int32_t next)
{
    const json_t *items = json_object_get(s, "items");
    const int least = count_of(b, s, "minItems", 0), most = count_of(b, s, "maxItems", -1);
    int32_t at = word(b, "]", next);
    const int32_t end = at;

    if (!items)
        return fail(b, "expected items of an array", "");
    if (most >= 0 && most < least)
        return fail(b, "expected maxItems not below minItems", "");
    if (most == 0)
        return word(b, "[", end);
    /* at: what may stand behind an element; elements 2 .. most stand behind a comma */
    if (most < 0) {
        const int32_t loop = either(b, -1, end);
        const int32_t again = spaced(b, ",", value(b, items, depth + 1, loop));

        if (!b->st)
            b->g->node[loop].next = again;
        at = loop;
    }
    for (int i = most < 0 ? least : most; i > 1 && !b->st; i--) {
        const int32_t element = spaced(b, ",", value(b, items, depth + 1, at));

        at = i > least ? either(b, element, end) : element;
    }
    at = value(b, items, depth + 1, at);
    return word(b, "[", least == 0 ? either(b, at, end) : at);
}

static bool is_required(const json_t *list, const char *key)
{
    size_t i;
    json_t *name;

    json_array_foreach(list, i, name)
    {
        if (json_is_string(name) && strcmp(json_string_value(name), key) == 0)
            return true;
    }
    return false;
}

/* "key": value, then `next`; a comma stands before it when something else does. */
static int32_t member(builder *b, const char *key, int32_t what, bool comma)
{
    json_t *name = json_string(key);
    char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    int32_t at = ACCEPT;

    if (!text && !b->st)
        b->st = sg_fail_memory(b->err, "schema");
    if (text)
        at = word(b, text, what);
    free(text);
    json_decref(name);
    return comma ? spaced(b, ",", at) : at;
}

/* Members in the order of the schema. */
static int32_t object(builder *b, const json_t *s, int depth, int32_t next)
{
    const json_t *properties = json_object_get(s, "properties"), *required = json_object_get(s, "required");
    const size_t n = json_object_size(properties);
    const char **key = sg_alloc_array(n + 1, sizeof *key);
    int32_t first = word(b, "}", next),
            later = first; /* what follows when nothing, or something, was written */
    size_t i = 0;
    json_t *name;

    if (!key) {
        b->st = b->st ? b->st : sg_fail_memory(b->err, "schema");
        return ACCEPT;
    }
    if (required && !json_is_array(required))
        fail(b, "required: expected a list of names of properties", "");
    json_array_foreach(required, i, name)
    {
        if (!json_is_string(name) || !json_object_get(properties, json_string_value(name)))
            fail(b, "required: expected names of properties", "");
    }
    i = 0;
    for (void *it = json_object_iter((json_t *)(uintptr_t)properties); it;
         it = json_object_iter_next((json_t *)(uintptr_t)properties, it))
        key[i++] = json_object_iter_key(it);
    while (i-- > 0 && !b->st) {
        const int32_t colon = spaced(b, ":", value(b, json_object_get(properties, key[i]), depth + 1, later));
        const int32_t here = member(b, key[i], colon, false), behind = member(b, key[i], colon, true);
        const bool needed = is_required(required, key[i]);

        first = needed ? here : either(b, here, first);
        later = needed ? behind : either(b, behind, later);
    }
    sg_free(key);
    return word(b, "{", first);
}

static int32_t constant(builder *b, const json_t *v, int32_t next)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    const int32_t at = text ? word(b, text, next) : ACCEPT;

    if (!text && !b->st)
        b->st = sg_fail_memory(b->err, "schema");
    free(text);
    return at;
}

static int32_t of_type(builder *b, const json_t *s, const char *type, int depth, int32_t next)
{
    static const struct {
        const char *name;
        int32_t (*plain)(builder *, const json_t *, int32_t);
        int32_t (*nested)(builder *, const json_t *, int, int32_t);
    } types[] = {{"string", string, NULL},
                 {"integer", integer, NULL},
                 {"number", number, NULL},
                 {"array", NULL, array},
                 {"object", NULL, object}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i].name) == 0)
            return types[i].plain ? types[i].plain(b, s, next) : types[i].nested(b, s, depth, next);
    if (strcmp(type, "boolean") == 0)
        return either(b, word(b, "true", next), word(b, "false", next));
    if (strcmp(type, "null") == 0)
        return word(b, "null", next);
    return fail(b, "expected a type string, integer, number, boolean, null, array or object, found ", type);
}

/* What narrows a value and is not known must not be passed over. */
static void check_keys(builder *b, const json_t *s)
{
    static const char *const known[] = {"type",      "enum",
                                        "const",     "anyOf",
                                        "oneOf",     "properties",
                                        "required",  "items",
                                        "minItems",  "maxItems",
                                        "minimum",   "maximum",
                                        "minLength", "maxLength",
                                        "title",     "description",
                                        "$schema",   "$id",
                                        "$comment",  "default",
                                        "examples",  "additionalProperties"};
    const size_t n = sizeof known / sizeof *known;

    for (void *it = json_object_iter((json_t *)(uintptr_t)s); it;
         it = json_object_iter_next((json_t *)(uintptr_t)s, it)) {
        size_t i = 0;

        while (i < n && strcmp(known[i], json_object_iter_key(it)) != 0)
            i++;
        if (i == n)
            fail(b, "not supported: ", json_object_iter_key(it));
    }
}

static const char *type_of(const json_t *v)
{
    return json_is_string(v)    ? "string"
           : json_is_integer(v) ? "integer"
           : json_is_real(v)    ? "number"
           : json_is_boolean(v) ? "boolean"
           : json_is_null(v)    ? "null"
           : json_is_array(v)   ? "array"
                                : "object";
}

/* Is a type one of `types`, a name or a list of names? */
static bool is_among(const char *type, const json_t *types)
{
    const char *name = json_string_value(types);
    size_t i;
    const json_t *one;

    json_array_foreach(types, i, one)
    {
        if (is_among(type, one))
            return true;
    }
    return name && (strcmp(name, type) == 0 || (strcmp(name, "number") == 0 && strcmp(type, "integer") == 0));
}

/* Does `types` say nothing that schema s, a way of anyOf, does not say itself? */
static bool says_less(const json_t *types, const json_t *s)
{
    const json_t *own = json_object_get(s, "type");
    size_t i;
    const json_t *one;

    json_array_foreach(own, i, one)
    {
        if (!json_is_string(one) || !is_among(json_string_value(one), types))
            return false;
    }
    return json_is_array(own) || (json_is_string(own) && is_among(json_string_value(own), types));
}

/* enum, const, anyOf and oneOf say it all: what stands beside them must hold anyway. */
static void check_beside(builder *b, const json_t *s, const char *key)
{
    static const char *const narrower[] = {"enum",     "const",     "anyOf",    "oneOf",    "properties",
                                           "required", "items",     "minItems", "maxItems", "minimum",
                                           "maximum",  "minLength", "maxLength"};
    const json_t *list = json_object_get(s, key), *type = json_object_get(s, "type");
    const bool is_const = strcmp(key, "const") == 0, values = is_const || strcmp(key, "enum") == 0;
    char both[100];

    for (size_t i = 0; i < sizeof narrower / sizeof *narrower; i++)
        if (strcmp(narrower[i], key) != 0 && json_object_get(s, narrower[i])) {
            snprintf(both, sizeof both, "%s and %s", key, narrower[i]);
            fail(b, "not supported together: ", both);
        }
    for (size_t i = 0; type && i < (is_const ? 1 : json_array_size(list)); i++) {
        const json_t *v = is_const ? list : json_array_get(list, i);

        if (values ? !is_among(type_of(v), type) : !says_less(type, v))
            fail(b,
                 values ? "the type does not hold all values of "
                        : "expected each way to be of the type beside ",
                 key);
    }
}

static int32_t value(builder *b, const json_t *s, int depth, int32_t next)
{
    static const char *const lists[] = {"enum", "anyOf", "oneOf"};
    const json_t *type = json_object_get(s, "type"), *fixed = json_object_get(s, "const");
    int32_t all = -1;
    size_t i;
    json_t *v;

    if (b->st)
        return ACCEPT;
    if (!json_is_object(s))
        return fail(b, "expected an object", "");
    if (depth > DEPTH_MAX)
        return fail(b, "nested too deeply", "");
    check_keys(b, s);
    if (fixed) {
        check_beside(b, s, "const");
        return constant(b, fixed, next);
    }
    for (size_t k = 0; k < 3; k++) {
        const json_t *list = json_object_get(s, lists[k]);

        if (!list)
            continue;
        if (json_array_size(list) == 0)
            return fail(b, "expected a list with something in it: ", lists[k]);
        check_beside(b, s, lists[k]);
        json_array_foreach(list, i, v)
        {
            const int32_t one = k == 0 ? constant(b, v, next) : value(b, v, depth + 1, next);

            all = either(b, one, all);
        }
        return all;
    }
    if (json_is_string(type))
        return of_type(b, s, json_string_value(type), depth, next);
    if (json_array_size(type) == 0)
        return fail(b, "expected a type, enum, const or anyOf", "");
    json_array_foreach(type, i, v)
    {
        const char *name = json_string_value(v);

        all = either(b, of_type(b, s, name ? name : "something else", depth, next), all);
    }
    return all;
}

/* ---- the deterministic automaton ------------------------------------------------------------------------------------------- */
static int by_number(const void *x, const void *y)
{
    const int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;

    return (a > b) - (a < b);
}

/* Adds to `member` what is reached from `from` without a byte. */
static void close_over(schema *g, int32_t from)
{
    size_t n = 0;

    if (g->seen[from] == g->round)
        return;
    g->seen[from] = g->round;
    g->todo[n++] = from;
    while (n > 0) {
        const int32_t at = g->todo[--n];
        const node *x = &g->node[at];
        const int32_t ways[2] = {x->next, x->other};

        if (at == ACCEPT || x->low <= x->high) {
            g->member[g->n_members++] = at;
            continue;
        }
        for (int i = 0; i < 2; i++)
            if (ways[i] >= 0 && g->seen[ways[i]] != g->round) {
                g->seen[ways[i]] = g->round;
                g->todo[n++] = ways[i];
            }
    }
}

static uint32_t *slot_of(const schema *g, uint32_t first, uint32_t n)
{
    uint64_t h = n;

    for (uint32_t i = 0; i < n; i++)
        h = (h ^ (uint32_t)g->member[first + i]) * UINT64_C(0x9e3779b97f4a7c15) ^ h >> 29;
    for (size_t at = (size_t)h & (g->slots - 1);; at = (at + 1) & (g->slots - 1)) {
        const state *s = &g->state[g->slot[at]];

        if (!g->slot[at] ||
            (s->n == n && memcmp(g->member + s->first, g->member + first, n * sizeof *g->member) == 0))
            return &g->slot[at];
    }
}

/* The state whose nodes are member first .. n_members - 1; -1: out of memory or states. */
static int32_t intern(schema *g, size_t first)
{
    const uint32_t n = (uint32_t)(g->n_members - first);
    uint32_t *slot;

    if (n == 0)
        return DEAD;
    qsort(g->member + first, n, sizeof *g->member, by_number);
    slot = slot_of(g, (uint32_t)first, n);
    if (*slot) {
        g->n_members = first;
        return (int32_t)*slot;
    }
    if (g->n_states >= STATES_MAX || !sg_grow(&g->state, &g->cap_state, g->n_states + 1, sizeof *g->state))
        return -1;
    state *s = &g->state[g->n_states];
    *s = (state){.first = (uint32_t)first, .n = n};
    for (int i = 0; i < 256; i++)
        s->next[i] = -1;
    *slot = (uint32_t)g->n_states;
    return (int32_t)g->n_states++;
}

/* -1: out of memory or states */
static int32_t advance(schema *g, int32_t from, uint8_t byte)
{
    int32_t to = g->state[from].next[byte];
    const size_t first = g->n_members;

    if (to >= 0)
        return to;
    if (!sg_grow(&g->member, &g->cap_member, first + g->n_nodes, sizeof *g->member))
        return -1;
    g->round++;
    for (uint32_t i = 0; i < g->state[from].n; i++) {
        const int32_t at = g->member[g->state[from].first + i];

        if (at != ACCEPT && byte >= g->node[at].low && byte <= g->node[at].high)
            close_over(g, g->node[at].next);
    }
    if ((to = intern(g, first)) >= 0)
        g->state[from].next[byte] = to;
    return to;
}

/* ---- tokens --------------------------------------------------------------------------------------------------------------- */
static bool list_tokens(schema *g, int32_t from)
{
    int32_t *list = NULL;
    size_t n = 0, cap = 0, depth = 0;

    if (!sg_grow(&g->stack, &g->cap_stack, 1, sizeof *g->stack))
        return false;
    g->stack[depth++] = (frame){0, from};
    while (depth > 0) {
        const frame f = g->stack[--depth];
        const uint32_t begin = g->trie.first[f.node], end = g->trie.first[f.node + 1];

        if (f.node && g->trie.value[f.node] >= 0) {
            if (!sg_grow(&list, &cap, n + 1, sizeof *list))
                goto failed;
            list[n++] = g->trie.value[f.node];
        }
        for (uint32_t child = begin; child < end; child++) {
            const int32_t to = advance(g, f.state, g->trie.label[child]);

            if (to < 0 || !sg_grow(&g->stack, &g->cap_stack, depth + 1, sizeof *g->stack))
                goto failed;
            if (to != DEAD)
                g->stack[depth++] = (frame){child, to};
        }
    }
    if (!list && !(list = sg_alloc(sizeof *list)))
        return false;
    qsort(list, n, sizeof *list, by_number);
    g->state[from].token = list;
    g->state[from].n_tokens = (int32_t)n;
    return true;
failed:
    sg_free(list);
    return false;
}

static sg_status schema_next(sg_guide *guide, const int32_t **id, int32_t *n, bool *ends, sg_guide_state s,
                             sg_error *err)
{
    schema *g = (schema *)(void *)guide;

    if (!g->state[s.a].token && !list_tokens(g, (int32_t)s.a))
        return g->n_states >= STATES_MAX
                   ? sg_fail(err, SG_ERR_USAGE, "schema: more than %d states", STATES_MAX)
                   : sg_fail_memory(err, "schema");
    const state *at = &g->state[s.a];
    *ends = at->n > 0 && g->member[at->first] == ACCEPT;
    *id = at->token;
    *n = at->n_tokens;
    if (!*n && !*ends)
        return sg_fail(err, SG_ERR_FORMAT, "schema: the model has no token that could come next");
    return SG_OK;
}

/* All ways of an allowed token are known since it was found. */
static void schema_step(sg_guide *guide, sg_guide_state *s, int32_t token)
{
    const schema *g = (const schema *)(const void *)guide;

    for (size_t i = g->start[token]; i < g->start[token + 1]; i++) {
        const int32_t to = g->state[s->a].next[(unsigned char)g->spelling.data[i]];

        s->a = to < 0 ? DEAD : (uint32_t)to;
    }
}

static void schema_free(sg_guide *guide)
{
    schema *g = (schema *)(void *)guide;

    for (size_t i = 0; i < g->n_states; i++)
        sg_free(g->state[i].token);
    sg_trie_free(&g->trie);
    sg_buf_free(&g->spelling);
    sg_free(g->start);
    sg_free(g->node);
    sg_free(g->state);
    sg_free(g->member);
    sg_free(g->seen);
    sg_free(g->todo);
    sg_free(g->slot);
    sg_free(g->stack);
    sg_free(g);
}

/* A token between which and others nothing is added or taken away; -1: none. `text`: scratch. */
static sg_status plain_token(int32_t *out, sg_buf *text, const sg_tokenizer *t, sg_error *err)
{
    sg_status st = SG_OK;

    *out = -1;
    for (int32_t i = 0; i < sg_tokenizer_size(t) && *out < 0 && !st; i++) {
        text->size = 0;
        if (!sg_tokenizer_is_special(t, i) && !(st = sg_tokenizer_decode(text, t, &i, 1, false, err)) &&
            text->size == 1 && text->data[0] > ' ' && text->data[0] < 127)
            *out = i;
    }
    return st;
}

/* What a token adds to a text, in the middle of it: bytes; or characters, read behind a token `plain`, since the first word of a text
 * may lose its space. */
static sg_status spell_token(sg_buf *out, sg_buf *text, const sg_tokenizer *t, int32_t plain, int32_t id,
                             sg_error *err)
{
    const int32_t two[2] = {plain, id};
    sg_status st;

    if (sg_tokenizer_is_special(t, id) || sg_tokenizer_raw(out, t, id) || plain < 0)
        return SG_OK;
    text->size = 0;
    if ((st = sg_tokenizer_decode(text, t, two, 2, false, err)))
        return st;
    if (text->size > 1)
        sg_buf_add(out, text->data + 1, text->size - 1);
    return SG_OK;
}

/* A character of one byte may be two tokens, <0x41> and "A": the second is what a model writes, so the first has no key. */
static void prefer_characters(sg_bytes *key, const sg_tokenizer *t)
{
    bool plain[128] = {false};

    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < sg_tokenizer_size(t); i++) {
            const unsigned char c = key[i].size == 1 ? (unsigned char)key[i].data[0] : 128;

            if (c < 128 && pass == 0)
                plain[c] |= sg_tokenizer_token(t, i).size != 6;
            else if (c < 128 && plain[c] && sg_tokenizer_token(t, i).size == 6)
                key[i].size = 0;
        }
}

static sg_status spell_tokens(schema *g, const sg_tokenizer *t, sg_error *err)
{
    const int32_t n = sg_tokenizer_size(t);
    sg_bytes *key = sg_alloc_zero((size_t)n + 1, sizeof *key);
    sg_buf text = {0};
    int32_t plain = -1;
    sg_status st = key && (g->start = sg_alloc_zero((size_t)n + 1, sizeof *g->start))
                       ? SG_OK
                       : sg_fail_memory(err, "schema");

    if (!st)
        st = plain_token(&plain, &text, t, err);
    for (int32_t i = 0; i < n && !st; i++) {
        st = spell_token(&g->spelling, &text, t, plain, i, err);
        g->start[i + 1] = g->spelling.size;
    }
    if (!st && (g->spelling.failed || text.failed))
        st = sg_fail_memory(err, "schema");
    for (int32_t i = 0; i < n && !st; i++)
        key[i] =
            (sg_bytes){g->spelling.data ? g->spelling.data + g->start[i] : "", g->start[i + 1] - g->start[i]};
    if (!st) {
        prefer_characters(key, t);
        st = sg_trie_build(&g->trie, key, (size_t)n, err);
    }
    sg_buf_free(&text);
    sg_free(key);
    return st;
}

static sg_status build(schema *g, const json_t *s, const char *where, sg_error *err)
{
    builder b = {g, where, err, SG_OK};
    int32_t begin;
    size_t first;

    add(&b, 1, 0, -1, -1); /* ACCEPT */
    begin = value(&b, s, 0, ACCEPT);
    if (b.st)
        return b.st;
    g->slots = 2 * STATES_MAX; /* a power of 2 */
    g->seen = sg_alloc_zero(g->n_nodes, sizeof *g->seen);
    g->todo = sg_alloc_array(g->n_nodes, sizeof *g->todo);
    g->slot = sg_alloc_zero(g->slots, sizeof *g->slot);
    if (!g->seen || !g->todo || !g->slot ||
        !sg_grow(&g->member, &g->cap_member, g->n_nodes, sizeof *g->member) ||
        !sg_grow(&g->state, &g->cap_state, 2, sizeof *g->state))
        return sg_fail_memory(err, "schema");
    g->state[DEAD] = (state){0};
    g->n_states = 1;
    first = g->n_members;
    g->round++;
    close_over(g, begin);
    return intern(g, first) == BEGIN ? SG_OK : sg_fail_memory(err, "schema");
}

sg_status sg_guide_schema(sg_guide **out, const json_t *root, const sg_tokenizer *t, const char *where,
                          sg_error *err)
{
    static const sg_guide_ops ops = {schema_next, schema_step, schema_free};
    schema *g = sg_alloc_zero(1, sizeof *g);
    sg_status st;

    *out = NULL;
    if (!g)
        return sg_fail_memory(err, "schema");
    g->guide = (sg_guide){&ops, {BEGIN, 0, 0}};
    if ((st = build(g, root, where, err)) || (st = spell_tokens(g, t, err))) {
        schema_free(&g->guide);
        return st;
    }
    *out = &g->guide;
    return SG_OK;
}
