/* items.h - a dataset in memory for tests that need item text only: columns given as C strings. */
#ifndef TEST_ITEMS_H
#define TEST_ITEMS_H

#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

typedef struct test_items {
    sg_dataset data;
    sg_text_column columns[8];
    char *bytes[9];
    int64_t *offsets[9];
    int n_kept;
} test_items;

static inline sg_strings test_strings(test_items *t, int n, const char *const *cells)
{
    const int k = t->n_kept++;
    size_t size = 0;

    t->offsets[k] = calloc((size_t)n + 1, sizeof(int64_t));
    for (int i = 0; i < n; i++)
        t->offsets[k][i + 1] = (int64_t)(size += strlen(cells[i]));
    t->bytes[k] = malloc(size + 1);
    for (int i = 0; i < n; i++)
        memcpy(t->bytes[k] + t->offsets[k][i], cells[i], strlen(cells[i]));
    return (sg_strings){(size_t)n, t->bytes[k], t->offsets[k]};
}

static inline void test_items_add(test_items *t, const char *name, int n, const char *const *cells)
{
    t->data.dir = (char *)(uintptr_t) "shop";
    t->data.n_items = n;
    t->data.columns = t->columns;
    t->columns[t->data.n_columns++] = (sg_text_column){name, test_strings(t, n, cells)};
}

static inline void test_items_free(test_items *t)
{
    for (int i = 0; i < t->n_kept; i++) {
        free(t->bytes[i]);
        free(t->offsets[i]);
    }
}

#endif
