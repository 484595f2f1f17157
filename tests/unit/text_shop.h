/* text_shop.h - a tiny dataset whose twelve items have titles, categories and brands. */
#ifndef TESTS_TEXT_SHOP_H
#define TESTS_TEXT_SHOP_H

#include "tiny.h"

enum { ITEMS = 12 };

/* A column of item texts, one cell after the other. */
typedef struct cells {
    sg_buf bytes;
    int64_t offsets[ITEMS + 1];
} cells;

static inline sg_text_column column_of(cells *c, const char *name, const char *const *cell)
{
    *c = (cells){0};
    for (int i = 0; i < ITEMS; i++) {
        sg_buf_printf(&c->bytes, "%s", cell[i]);
        c->offsets[i + 1] = (int64_t)c->bytes.size;
    }
    return (sg_text_column){name, {ITEMS, c->bytes.data, c->offsets}};
}

static const char *const paths[ITEMS] = {"A > B | C", "A > B",     "A > B", "A",     "A > D", "",
                                         "C > E",     "C > E | A", "A > B", "C > E", "A > D", "A"};
static const char *const brands[ITEMS] = {"opi", "opi", "nyx", "nyx", "",    "opi",
                                          "opi", "nyx", "opi", "nyx", "opi", "nyx"};
static const char *const titles[ITEMS] = {"one",   "two",   "three", "four", "five",   "six",
                                          "seven", "eight", "nine",  "ten",  "eleven", "twelve"};

typedef struct shop {
    tiny t;
    cells a, b, c;
    sg_text_column columns[3];
} shop;

static inline void shop_new(shop *s, int users)
{
    tiny_new(&s->t, users, ITEMS, 12, 4);
    s->columns[0] = column_of(&s->a, "title", titles);
    s->columns[1] = column_of(&s->b, "categories", paths);
    s->columns[2] = column_of(&s->c, "brand", brands);
    s->t.data.columns = s->columns;
    s->t.data.n_columns = 3;
}

static inline void shop_free(shop *s)
{
    sg_buf_free(&s->a.bytes);
    sg_buf_free(&s->b.bytes);
    sg_buf_free(&s->c.bytes);
    tiny_free(&s->t);
}

#endif
