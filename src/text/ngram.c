/* ngram.c - every feature is a 64-bit hash of its code points and its kind; the same word in two columns is one feature. */
#define _GNU_SOURCE /* memmem */
#include "text/ngram.h"

#include "base/alloc.h"
#include "text/hash.h"

#include <string.h>

enum { KIND_WORD = 1, KIND_CHARS = 100, KIND_PATH = 200, KIND_VALUE = 201 };

static bool put(sg_grams *g, uint64_t hash)
{
    if (!sg_grow(&g->raw, &g->cap_raw, g->n_raw + 1, sizeof *g->raw))
        return false;
    g->raw[g->n_raw++] = hash;
    return true;
}

/* n-grams of words first .. first + n - 1 that start at `first` */
static bool word_grams(sg_grams *g, size_t first, int longest)
{
    const sg_words *w = &g->words;
    uint64_t h = 0;

    for (size_t k = first; k < w->n && k < first + (size_t)longest; k++) {
        for (size_t i = w->start[k]; i < w->start[k + 1]; i++)
            h = sg_hash_step(h, w->code[i]);
        h = sg_hash_step(h, ' ');
        if (!put(g, sg_hash_end(h, KIND_WORD + (k - first))))
            return false;
    }
    return true;
}

static bool char_grams(sg_grams *g, size_t word, size_t least, size_t most)
{
    const uint32_t *code = g->words.code + g->words.start[word];
    const size_t n =
        g->words.start[word + 1] - g->words.start[word]; /* padded: position 0 and n + 1 are spaces */

    if (!sg_grow(&g->raw, &g->cap_raw, g->n_raw + (n + 2) * most, sizeof *g->raw))
        return false;
    for (size_t i = 0; i < n + 2; i++) {
        uint64_t h = 0;

        for (size_t k = i; k < n + 2 && k < i + most; k++) {
            h = sg_hash_step(h, k == 0 || k == n + 1 ? ' ' : code[k - 1]);
            if (k + 1 - i >= least)
                g->raw[g->n_raw++] = sg_hash_end(h, KIND_CHARS + (k + 1 - i));
        }
    }
    return true;
}

static sg_status add_words(sg_grams *g, sg_bytes text, const sg_ngram_spec *spec, sg_error *err)
{
    const sg_status st = sg_words_split(&g->words, text, err);

    if (st)
        return st;
    for (size_t i = 0; i < g->words.n; i++) {
        if (!word_grams(g, i, spec->words))
            return sg_fail_memory(err, "n-grams");
        if (spec->chars_most && !char_grams(g, i, (size_t)spec->chars_least, (size_t)spec->chars_most))
            return sg_fail_memory(err, "n-grams");
    }
    return SG_OK;
}

/* One path "A > B > C": its words, and the feature of every prefix, folded like words so that case does not matter. */
static sg_status add_path(sg_grams *g, sg_bytes path, const sg_ngram_spec *spec, sg_error *err)
{
    uint64_t h = 0;

    while (path.size) {
        const char *end = memmem(path.data, path.size, " > ", 3);
        const sg_bytes part = {path.data, end ? (size_t)(end - path.data) : path.size};
        const sg_status st = add_words(g, part, spec, err);

        if (st)
            return st;
        for (size_t i = 0; i < g->words.n; i++) {
            for (size_t k = g->words.start[i]; k < g->words.start[i + 1]; k++)
                h = sg_hash_step(h, g->words.code[k]);
            h = sg_hash_step(h, ' ');
        }
        h = sg_hash_step(h, '>');
        if (!put(g, sg_hash_end(h, KIND_PATH)))
            return sg_fail_memory(err, "n-grams");
        path = end ? (sg_bytes){end + 3, path.size - part.size - 3} : (sg_bytes){0};
    }
    return SG_OK;
}

static sg_status add_paths(sg_grams *g, sg_bytes cell, const sg_ngram_spec *spec, sg_error *err)
{
    while (cell.size) {
        const char *end = memmem(cell.data, cell.size, " | ", 3);
        const sg_bytes path = {cell.data, end ? (size_t)(end - cell.data) : cell.size};
        const sg_status st = add_path(g, path, spec, err);

        if (st)
            return st;
        cell = end ? (sg_bytes){end + 3, cell.size - path.size - 3} : (sg_bytes){0};
    }
    return SG_OK;
}

static sg_status add_category(sg_grams *g, const sg_column_plan *p, sg_bytes cell, const sg_ngram_spec *spec,
                              sg_error *err)
{
    static const sg_ngram_spec no_words = {0};
    const sg_status st = add_words(g, cell, p->numbers ? &no_words : spec, err);
    uint64_t h = sg_hash_bytes(p->column->name, strlen(p->column->name), KIND_VALUE);

    if (st || !g->words.n)
        return st;
    for (size_t i = 0; i < g->words.start[g->words.n]; i++)
        h = sg_hash_step(h, g->words.code[i]);
    return put(g, sg_hash_end(h, KIND_VALUE)) ? SG_OK : sg_fail_memory(err, "n-grams");
}

/* raw -> list: each hash once with its count */
static sg_status count_grams(sg_grams *g, sg_error *err)
{
    size_t size = 64;

    while (size < 2 * g->n_raw)
        size *= 2;
    if (g->n_raw >= UINT32_MAX || !sg_grow(&g->table, &g->cap_table, size, sizeof *g->table) ||
        !sg_grow(&g->list, &g->cap, g->n_raw, sizeof *g->list))
        return sg_fail_memory(err, "n-grams");
    memset(g->table, 0, size * sizeof *g->table);
    g->n = 0;
    for (size_t i = 0; i < g->n_raw; i++) {
        size_t at = g->raw[i] & (size - 1);

        while (g->table[at] && g->list[g->table[at] - 1].hash != g->raw[i])
            at = (at + 1) & (size - 1);
        if (g->table[at]) {
            g->list[g->table[at] - 1].count++;
            continue;
        }
        g->list[g->n++] = (sg_gram){g->raw[i], 1};
        g->table[at] = (uint32_t)g->n;
    }
    return SG_OK;
}

sg_status sg_grams_of_item(sg_grams *g, const sg_text_plan *plan, const sg_ngram_spec *spec, size_t item,
                           sg_error *err)
{
    sg_status st = SG_OK;

    g->n_raw = 0;
    for (int i = 0; i < plan->n && st == SG_OK; i++) {
        const sg_column_plan *p = &plan->list[i];
        const sg_bytes cell = sg_strings_at(&p->column->text, item);

        if (p->kind == SG_COLUMN_TEXT)
            st = add_words(g, cell, spec, err);
        else if (p->kind == SG_COLUMN_PATH)
            st = add_paths(g, cell, spec, err);
        else if (p->kind == SG_COLUMN_CATEGORY)
            st = add_category(g, p, cell, spec, err);
    }
    return st ? st : count_grams(g, err);
}

void sg_grams_free(sg_grams *g)
{
    sg_words_free(&g->words);
    sg_free(g->list);
    sg_free(g->raw);
    sg_free(g->table);
    *g = (sg_grams){0};
}
