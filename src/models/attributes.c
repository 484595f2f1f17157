/* attributes.c - columns to attributes: a vocabulary of "COLUMN=value", renumbered by frequency. */
#include "models/attributes.h"

#include "base/alloc.h"
#include "data/vocab.h"
#include "text/columns.h"

#include <stdlib.h>

typedef struct builder {
    sg_vocab *vocab;
    sg_buf name; /* scratch: "COLUMN=value" */
    int32_t *id; /* owned: of all items, one after the other */
    size_t n, cap;
    size_t first; /* of the item at hand */
} builder;

static sg_status add(builder *b, const char *column, sg_bytes value, sg_error *err)
{
    int32_t number;
    sg_status st;

    while (value.size && value.data[value.size - 1] == ' ')
        value.size--;
    if (!value.size)
        return SG_OK;
    b->name.size = 0;
    sg_buf_printf(&b->name, "%s=%.*s", column, (int)value.size, value.data);
    if (b->name.failed)
        return sg_fail_memory(err, "attributes");
    if ((st = sg_vocab_add(b->vocab, (sg_bytes){b->name.data, b->name.size}, &number, err)))
        return st;
    for (size_t i = b->first; i < b->n; i++)
        if (b->id[i] == number)
            return SG_OK;
    if (!sg_grow(&b->id, &b->cap, b->n + 1, sizeof *b->id))
        return sg_fail_memory(err, "attributes");
    b->id[b->n++] = number;
    return SG_OK;
}

/* "A > B | C": A, A > B, C */
static sg_status add_paths(builder *b, const char *column, sg_bytes cell, sg_error *err)
{
    size_t root = 0;
    sg_status st = SG_OK;

    for (size_t i = 0; i <= cell.size && st == SG_OK; i++) {
        const bool next = i < cell.size && cell.data[i] == '|';

        if (i < cell.size && !next && cell.data[i] != '>')
            continue;
        st = add(b, column, (sg_bytes){cell.data + root, i - root}, err);
        if (next)
            for (root = i + 1; root < cell.size && cell.data[root] == ' ';)
                root++;
    }
    return st;
}

typedef struct ranked {
    int32_t count, number;
} ranked;

static int by_count(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1)
                                : (x->number > y->number) - (x->number < y->number);
}

/* Numbers by frequency; those past `most` are dropped. */
static sg_status renumber(sg_attributes *out, const builder *b, int32_t n_items, int most, sg_error *err)
{
    const size_t n = (size_t)sg_vocab_count(b->vocab);
    ranked *order = sg_alloc_zero(n, sizeof *order);
    int32_t *number = sg_alloc_array(n, sizeof *number);
    int64_t kept = 0;

    if (!order || !number) {
        sg_free(order);
        sg_free(number);
        return sg_fail_memory(err, "attributes");
    }
    for (size_t i = 0; i < n; i++)
        order[i].number = (int32_t)i;
    for (size_t i = 0; i < b->n; i++)
        order[b->id[i]].count++;
    qsort(order, n, sizeof *order, by_count);
    out->n = n < (size_t)most ? (int)n : most;
    for (size_t i = 0; i < n; i++)
        number[order[i].number] = i < (size_t)most ? (int32_t)i : -1;
    for (int32_t i = 0; i < n_items; i++) {
        const int64_t begin = out->offsets[i];

        out->offsets[i] = kept;
        for (int64_t k = begin; k < out->offsets[i + 1]; k++)
            if (number[b->id[k]] >= 0)
                b->id[kept++] = number[b->id[k]];
    }
    out->offsets[n_items] = kept;
    sg_free(order);
    sg_free(number);
    return SG_OK;
}

static sg_status read_item(builder *b, const sg_text_plan *plan, int32_t item, sg_error *err)
{
    sg_status st = SG_OK;

    b->first = b->n;
    for (int c = 0; c < plan->n && st == SG_OK; c++) {
        const sg_text_column *column = plan->list[c].column;
        const sg_bytes cell = sg_strings_at(&column->text, (size_t)item);

        if (plan->list[c].kind == SG_COLUMN_PATH)
            st = add_paths(b, column->name, cell, err);
        else if (plan->list[c].kind == SG_COLUMN_CATEGORY)
            st = add(b, column->name, cell, err);
    }
    return st;
}

sg_status sg_attributes_new(sg_attributes *out, const sg_dataset *d, const char *names, int most,
                            sg_error *err)
{
    sg_text_plan plan;
    builder b = {0};
    sg_status st;

    sg_attributes_free(out);
    if ((st = sg_text_plan_new(&plan, d, names, err)))
        return st;
    if ((st = sg_vocab_new(&b.vocab, err)))
        goto done;
    if (!(out->offsets = sg_alloc_zero((size_t)d->n_items + 1, sizeof *out->offsets))) {
        st = sg_fail_memory(err, "attributes");
        goto done;
    }
    for (int32_t i = 0; i < d->n_items && st == SG_OK; i++) {
        st = read_item(&b, &plan, i, err);
        out->offsets[i + 1] = (int64_t)b.n;
    }
    if (!st && !(st = renumber(out, &b, d->n_items, most, err))) {
        out->id = b.id;
        b.id = NULL;
    }
done:
    sg_free(b.id);
    sg_buf_free(&b.name);
    sg_vocab_free(b.vocab);
    sg_text_plan_free(&plan);
    return st;
}

void sg_attributes_free(sg_attributes *a)
{
    sg_free(a->offsets);
    sg_free(a->id);
    *a = (sg_attributes){0};
}
