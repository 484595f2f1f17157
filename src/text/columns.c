/* columns.c - reads every cell once and decides by counts. */
#define _GNU_SOURCE /* memmem */
#include "text/columns.h"

#include "base/alloc.h"
#include "text/hash.h"

#include <string.h>

enum { VALUE_BYTES_MAX = 80 }; /* a longer cell is prose */

typedef struct counts {
    size_t filled;   /* cells that are not empty */
    size_t paths;    /* with " > " */
    size_t tokens;   /* one token: no white space */
    size_t coded;    /* one token with a digit or "://" */
    size_t numbers;  /* digits only */
    size_t lengthy;  /* longer than VALUE_BYTES_MAX */
    size_t distinct; /* different cells */
    size_t once;     /* cells nobody else has */
} counts;

static bool contains(sg_bytes text, const char *what)
{
    return memmem(text.data, text.size, what, strlen(what)) != NULL;
}

static void look_at(counts *c, sg_bytes cell)
{
    bool digits = true, digit = false, space = false;

    for (size_t i = 0; i < cell.size; i++) {
        const char b = cell.data[i];

        space |= b == ' ' || b == '\t';
        digit |= b >= '0' && b <= '9';
        digits &= b >= '0' && b <= '9';
    }
    c->filled++;
    c->paths += contains(cell, " > ");
    c->tokens += !space;
    c->coded += !space && (digit || contains(cell, "://"));
    c->numbers += digits;
    c->lengthy += cell.size > VALUE_BYTES_MAX;
}

/* Distinct values by their hashes: sorting 8 bytes a cell is cheap and needs no table. */
static sg_status count_values(counts *c, const sg_strings *cells, sg_error *err)
{
    uint64_t *hash = sg_alloc_array(cells->n, 2 * sizeof *hash);
    size_t n = 0;

    if (!hash)
        return sg_fail_memory(err, "text column");
    for (size_t i = 0; i < cells->n; i++) {
        const sg_bytes cell = sg_strings_at(cells, i);

        if (cell.size)
            hash[n++] = sg_hash_bytes(cell.data, cell.size, 0);
    }
    sg_hash_sort(hash, hash + cells->n, n, 0);
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && hash[k] == hash[i];)
            k++;
        c->distinct++;
        c->once += k == i + 1;
    }
    sg_free(hash);
    return SG_OK;
}

static sg_status decide(sg_column_plan *p, const sg_text_column *column, bool named, sg_error *err)
{
    counts c = {0};
    sg_status st;

    *p = (sg_column_plan){.column = column, .kind = SG_COLUMN_TEXT};
    for (size_t i = 0; i < column->text.n; i++) {
        const sg_bytes cell = sg_strings_at(&column->text, i);

        if (cell.size)
            look_at(&c, cell);
    }
    if ((st = count_values(&c, &column->text, err)))
        return st;
    if (!c.filled)
        p->kind = SG_COLUMN_SKIPPED;
    else if (2 * c.paths >= c.filled)
        p->kind = SG_COLUMN_PATH;
    else if (10 * c.coded >= 9 * c.filled && 2 * c.once > c.filled)
        p->kind = named ? SG_COLUMN_TEXT : SG_COLUMN_SKIPPED;
    else if (100 * c.lengthy < c.filled && 2 * c.distinct <= c.filled) {
        p->kind = SG_COLUMN_CATEGORY;
        p->numbers = c.numbers == c.filled;
    }
    return SG_OK;
}

static sg_status unknown_column(const sg_dataset *d, const char *name, size_t size, sg_error *err)
{
    sg_buf known = {0};

    for (int i = 0; i < d->n_columns; i++)
        sg_buf_printf(&known, "%s%s", i ? ", " : "", d->columns[i].name);
    sg_fail(err, SG_ERR_USAGE, "no text column '%.*s': expected one of %s", (int)size, name,
            known.size ? known.data : "none, the dataset has no item text");
    sg_buf_free(&known);
    return SG_ERR_USAGE;
}

static const sg_text_column *find_column(const sg_dataset *d, const char *name, size_t size)
{
    for (int i = 0; i < d->n_columns; i++)
        if (strlen(d->columns[i].name) == size && memcmp(d->columns[i].name, name, size) == 0)
            return &d->columns[i];
    return NULL;
}

static sg_status plan_named(sg_text_plan *p, const sg_dataset *d, const char *names, sg_error *err)
{
    for (const char *at = names; at;) {
        const char *end = strchr(at, ',');
        size_t size = end ? (size_t)(end - at) : strlen(at);
        const sg_text_column *column;
        sg_status st;

        for (; size && *at == ' '; at++)
            size--;
        for (; size && at[size - 1] == ' ';)
            size--;
        if (!(column = find_column(d, at, size)))
            return unknown_column(d, at, size, err);
        if (p->n == d->n_columns)
            return sg_fail(err, SG_ERR_USAGE, "text column '%s' is named twice", column->name);
        if ((st = decide(&p->list[p->n++], column, true, err)))
            return st;
        at = end ? end + 1 : NULL;
    }
    return SG_OK;
}

sg_status sg_text_plan_new(sg_text_plan *out, const sg_dataset *d, const char *names, sg_error *err)
{
    sg_status st = SG_OK;

    *out = (sg_text_plan){0};
    if (!(out->list = sg_alloc_zero((size_t)d->n_columns, sizeof *out->list)))
        return sg_fail_memory(err, "text columns");
    if (names && *names)
        st = plan_named(out, d, names, err);
    else
        for (int i = 0; i < d->n_columns && st == SG_OK; i++)
            st = decide(&out->list[out->n++], &d->columns[i], false, err);
    if (st)
        sg_text_plan_free(out);
    return st;
}

void sg_text_plan_free(sg_text_plan *p)
{
    sg_free(p->list);
    *p = (sg_text_plan){0};
}

void sg_text_plan_join(sg_buf *out, const sg_text_plan *p, size_t item)
{
    const size_t begin = out->size;

    for (int i = 0; i < p->n; i++) {
        const sg_column_plan *c = &p->list[i];
        const sg_bytes text = sg_strings_at(&c->column->text, item);

        if (c->kind == SG_COLUMN_SKIPPED || c->numbers || !text.size)
            continue;
        if (out->size > begin)
            sg_buf_putc(out, ' ');
        sg_buf_add(out, text.data, text.size);
    }
}

const char *sg_column_kind_name(sg_column_kind kind)
{
    static const char *const names[] = {"skipped", "text", "path", "category"};

    return names[kind];
}
