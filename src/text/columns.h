/* columns.h - which text columns of a dataset say something, and how each is read.
 *
 *   text      words and n-grams
 *   path      cells like "A > B > C | D > E": words, and every path from its root ("A > B") as one more feature
 *   category  one short value shared by several items (a brand, a number that stands for one): words unless it is a
 *             bare number, and the whole value as one more feature, "brand=opi"
 *   skipped   an identifier: nine tenths of the cells that are not empty hold one token with a digit or "://" in it, and
 *             more than half of them occur once ("B004756YJA", URLs); or an empty column
 *
 * The rule looks at the cells alone, never at the column's name. A column the caller names is never skipped. */
#ifndef SG_TEXT_COLUMNS_H
#define SG_TEXT_COLUMNS_H

#include "data/dataset.h"

typedef enum sg_column_kind {
    SG_COLUMN_SKIPPED,
    SG_COLUMN_TEXT,
    SG_COLUMN_PATH,
    SG_COLUMN_CATEGORY
} sg_column_kind;

typedef struct sg_column_plan {
    const sg_text_column *column; /* borrowed from the dataset */
    sg_column_kind kind;
    bool numbers; /* category: cells are bare numbers, so their digits say nothing */
} sg_column_plan;

typedef struct sg_text_plan {
    sg_column_plan *list; /* owned: skipped columns are here too, so that a report can name them */
    int n;
} sg_text_plan;

/* names: comma separated, in that order; "" or NULL: all columns. Unknown name: an error that lists the known ones. */
sg_status sg_text_plan_new(sg_text_plan *out, const sg_dataset *d, const char *names, sg_error *err);
void sg_text_plan_free(sg_text_plan *p);
/* Appends what an item's columns say, one after the other with a space between, as one text for a language model; bare numbers
 * that stand for a category are left out. */
void sg_text_plan_join(sg_buf *out, const sg_text_plan *p, size_t item);
const char *sg_column_kind_name(sg_column_kind kind);

#endif
