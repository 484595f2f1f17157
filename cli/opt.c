/* opt.c - words of the command line into the fields of a table. */
#include "opt.h"

#include "sedge/sedge.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory: a command is short, so its strings live until it ends ------------------------------------------------ */
static struct {
    char **string;
    size_t n, cap;
} pool;

static void out_of_memory(void)
{
    fputs("sedge: out of memory\n", stderr);
    exit(1);
}

static void *grown(void *array, size_t *cap, size_t need, size_t each)
{
    if (need <= *cap)
        return array;
    *cap = need + need / 2 + 8;
    array = realloc(array, *cap * each);
    if (!array)
        out_of_memory();
    return array;
}

char *sg_pool_printf(const char *format, ...)
{
    va_list args, again;
    char *s;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    s = malloc((size_t)(n < 0 ? 0 : n) + 1);
    if (!s)
        out_of_memory();
    s[0] = 0;
    vsnprintf(s, (size_t)(n < 0 ? 0 : n) + 1, format, again);
    va_end(again);
    pool.string = grown(pool.string, &pool.cap, pool.n + 1, sizeof *pool.string);
    pool.string[pool.n++] = s;
    return s;
}

void sg_list_add(sg_list *list, const char *item)
{
    list->item = grown(list->item, &list->cap, list->n + 1, sizeof *list->item);
    list->item[list->n++] = item;
}

void sg_list_free(sg_list *list)
{
    free(list->item);
    *list = (sg_list){0};
}

void sg_opt_free(sg_args *args)
{
    sg_list_free(&args->words);
    if (args->verb)
        for (const sg_opt *o = args->verb->options; o->kind; o++)
            if (o->kind == SG_OPT_KIND_LIST || o->kind == SG_OPT_KIND_SET)
                sg_list_free(o->to);
    if (args->verb && args->verb->set)
        sg_list_free(args->verb->set);
    for (size_t i = 0; i < pool.n; i++)
        free(pool.string[i]);
    free(pool.string);
    pool.string = NULL;
    pool.n = pool.cap = 0;
}

int sg_usage(const sg_args *args, const char *format, ...)
{
    const char *verb = args->verb ? args->verb->name : NULL;
    va_list list;

    fprintf(stderr, verb ? "sedge %s: " : "sedge: ", verb);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, verb ? "\ntry 'sedge %s --help'\n" : "\ntry 'sedge --help'\n", verb);
    return 2;
}

/* ---- parsing ------------------------------------------------------------------------------------------------------ */
typedef struct parser {
    sg_args *args;
    int argc, at; /* at: the next word */
    char **argv;
    json_t *library; /* array, or NULL */
} parser;

static sg_common common;
const sg_opt sg_common_options[] = {
    SG_OPT_INT('t', "threads", &common.threads, "N", "threads (default: one per core)"),
    SG_OPT_FLAG('j', "json", &common.json, "print one JSON object instead of tables"),
    SG_OPT_FLAG('q', "quiet", &common.quiet, "no progress on stderr"),
    SG_OPT_FLAG('h', "help", &common.help, "print this help"),
    SG_OPT_END,
};

json_t *sg_opt_library(const sg_verb *verb)
{
    char *text = NULL;
    json_t *array = NULL;

    if (verb->library && !sedge_options(verb->library, &text, NULL))
        array = json_loads(text, 0, NULL);
    sedge_free(text);
    return array;
}

/* '-' and '_' are the same in the names of options. */
static bool same_name(const char *a, size_t n, const char *b)
{
    size_t i = 0;

    for (; i < n && b[i]; i++)
        if (a[i] != b[i] && !((a[i] == '-' || a[i] == '_') && (b[i] == '-' || b[i] == '_')))
            return false;
    return i == n && !b[i];
}

static const sg_opt *find_own(const parser *p, const char *name, size_t n, char letter)
{
    const sg_opt *const tables[] = {p->args->verb->options, sg_common_options};

    for (int t = 0; t < 2; t++)
        for (const sg_opt *o = tables[t]; o->kind; o++)
            if (name ? same_name(name, n, o->name) : o->letter == letter)
                return o;
    return NULL;
}

static json_t *find_library(const parser *p, const char *name, size_t n)
{
    size_t i;
    json_t *row;

    json_array_foreach(
        p->library, i,
        row) if (same_name(name, n, json_string_value(json_object_get(row, "name")))) return row;
    return NULL;
}

static const char *next_word(parser *p)
{
    return p->at < p->argc ? p->argv[p->at++] : NULL;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != 0;
}

static int store(parser *p, const sg_opt *o, const char *shown, const char *value)
{
    char *end;
    long x;

    if (o->kind == SG_OPT_KIND_FLAG) {
        if (value)
            return sg_usage(p->args, "%s takes no value, found '%s'", shown, value);
        *(bool *)o->to = true;
        return 0;
    }
    const bool attached = value != NULL;
    if (!value && !(value = next_word(p)))
        return sg_usage(p->args, "%s: expected %s", shown, o->value);
    switch (o->kind) {
    case SG_OPT_KIND_STRING:
        *(const char **)o->to = value;
        return 0;
    case SG_OPT_KIND_INT:
        errno = 0;
        x = strtol(value, &end, 10);
        if (end == value || *end || errno || x < INT_MIN || x > INT_MAX)
            return sg_usage(p->args, "%s: expected an integer, found '%s'", shown, value);
        *(int *)o->to = (int)x;
        return 0;
    case SG_OPT_KIND_LIST:
        sg_list_add(o->to, value);
        while (!attached && p->at < p->argc && !is_option(p->argv[p->at]))
            sg_list_add(o->to, next_word(p));
        return 0;
    case SG_OPT_KIND_SET:
        if (!strchr(value, '='))
            return sg_usage(p->args, "%s: expected KEY=VALUE, found '%s'", shown, value);
        sg_list_add(o->to, value);
        while (!attached && p->at < p->argc && !is_option(p->argv[p->at]) && strchr(p->argv[p->at], '='))
            sg_list_add(o->to, next_word(p));
        return 0;
    case SG_OPT_KIND_FLAG:
    case SG_OPT_KIND_END:
        break;
    }
    return 0;
}

/* A flag of the library's table becomes KEY=VALUE; the library checks the value. */
static int store_library(parser *p, json_t *row, const char *shown, const char *value)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *type = json_string_value(json_object_get(row, "type"));

    if (!value && strcmp(type, "bool") == 0)
        value = "true";
    if (!value && !(value = next_word(p)))
        return sg_usage(p->args, "%s: expected a value", shown);
    sg_list_add(p->args->verb->set, sg_pool_printf("%s=%s", name, value));
    return 0;
}

static int unknown(const parser *p, const char *name, size_t n)
{
    const sg_opt *const tables[] = {p->args->verb->options, sg_common_options};
    const char *known[256], *near;
    size_t n_known = 0, i;
    json_t *row;

    for (int t = 0; t < 2; t++)
        for (const sg_opt *o = tables[t]; o->kind && n_known < 256; o++)
            known[n_known++] = o->name;
    json_array_foreach(p->library, i, row) if (n_known < 256)
    {
        char *dashed = sg_pool_printf("%s", json_string_value(json_object_get(row, "name")));

        for (char *c = dashed; *c; c++)
            if (*c == '_')
                *c = '-';
        known[n_known++] = dashed;
    }
    near = sedge_nearest(sg_pool_printf("%.*s", (int)n, name), known, n_known);
    if (near)
        return sg_usage(p->args, "unknown option '--%.*s' (did you mean '--%s'?)", (int)n, name, near);
    return sg_usage(p->args, "unknown option '--%.*s'", (int)n, name);
}

static int long_option(parser *p, const char *word)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    const size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const char *shown = sg_pool_printf("--%.*s", (int)n, name), *value = equals ? equals + 1 : NULL;
    const sg_opt *o = find_own(p, name, n, 0);
    json_t *row;

    if (o)
        return store(p, o, shown, value);
    if ((row = find_library(p, name, n)))
        return store_library(p, row, shown, value);
    if (n > 3 && strncmp(name, "no-", 3) == 0 && !value && (row = find_library(p, name + 3, n - 3)) &&
        strcmp(json_string_value(json_object_get(row, "type")), "bool") == 0)
        return store_library(p, row, shown, "false");
    return unknown(p, name, n);
}

static int short_options(parser *p, const char *word)
{
    for (const char *c = word + 1; *c; c++) {
        const char *shown = sg_pool_printf("-%c", *c), *rest = c[1] ? c + 1 : NULL;
        const sg_opt *o = find_own(p, NULL, 0, *c);
        json_t *row;

        if (o && o->kind == SG_OPT_KIND_FLAG) {
            store(p, o, shown, NULL);
            continue;
        }
        if (o)
            return store(p, o, shown, rest);
        if ((row = find_library(p, c, 1)))
            return store_library(p, row, shown, rest);
        return sg_usage(p->args, "unknown option '-%c'", *c);
    }
    return 0;
}

int sg_opt_parse(sg_args *args, int argc, char **argv)
{
    parser p = {.args = args, .argc = argc, .argv = argv, .library = sg_opt_library(args->verb)};
    bool only_words = false;
    int rc = 0;

    while (!rc && p.at < argc) {
        const char *word = next_word(&p);

        if (only_words || !is_option(word))
            sg_list_add(&args->words, word);
        else if (strcmp(word, "--") == 0)
            only_words = true;
        else if (word[1] == '-')
            rc = long_option(&p, word);
        else
            rc = short_options(&p, word);
    }
    json_decref(p.library);
    args->common = common;
    if (rc || common.help)
        return rc;
    if (common.threads < 0)
        return sg_usage(args, "--threads: expected at least 1, found '%d'", common.threads);
    const char *expected = args->verb->words[0] ? args->verb->words : "no argument";
    if (args->words.n == 0 && args->verb->least > 0)
        return sg_usage(args, "expected %s", expected);
    if (args->words.n < args->verb->least)
        return sg_usage(args, "expected %s, found only '%s'", expected, args->words.item[args->words.n - 1]);
    if (args->words.n > args->verb->most)
        return sg_usage(args, "expected %s, found also '%s'", expected, args->words.item[args->verb->most]);
    return 0;
}
