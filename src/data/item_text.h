/* item_text.h - the texts of items as item files give them, found again by item number; held in memory up to
 * a bound. */
#ifndef SG_DATA_ITEM_TEXT_H
#define SG_DATA_ITEM_TEXT_H

#include "data/intake.h"
#include "data/scratch.h"

enum { SG_TEXT_COLUMNS_MAX = 1000 };

typedef struct sg_item_text {
    sg_intake *k;          /* borrowed: spec, vocabulary of items, bad rows, warnings */
    const uint32_t *count; /* borrowed: events of the items that have some */
    size_t n_count;
    char *dir; /* owned: of the temporary file */

    char **name;     /* owned, each too: (n_columns) */
    int64_t *bytes;  /* owned: (n_columns) of all cells of a column */
    sg_buf *cell;    /* owned: (n_columns) of the row being made */
    sg_bytes *found; /* owned: (n_columns) of the row last read */
    size_t n_columns, cap_name, cap_bytes, cap_cell, cap_found;

    uint64_t *at; /* owned: by item: 1 + place of its record, 0: none */
    size_t n_at, cap_at;
    sg_scratch file; /* records that did not fit into memory */
    sg_buf tail;     /* the records behind them */
    size_t tail_max;
    sg_buf record, old; /* scratch */

    uint32_t n_file;                                                       /* files begun */
    uint64_t rows, matched, without_events, repeated, repaired, differing; /* of the current file */
} sg_item_text;

sg_status sg_item_text_init(sg_item_text *x, sg_intake *k, const uint32_t *count, size_t n_count,
                            const char *dir, sg_error *err);
void sg_item_text_fini(sg_item_text *x);

/* Reads a whole item file; *report: its counts, owned by the caller. */
sg_status sg_item_text_file(sg_item_text *x, const char *path, json_t **report, sg_error *err);
/* After the last file: a column asked for that no file has is an error. */
sg_status sg_item_text_end(sg_item_text *x, sg_error *err);
bool sg_item_text_has(const sg_item_text *x, int32_t item);
/* Cells of all columns, empty ones where nothing is known; *cell is valid until the next call. */
sg_status sg_item_text_get(sg_item_text *x, int32_t item, const sg_bytes **cell, sg_error *err);

/* For the readers of formats: a row is made cell by cell, then ended with the item's id. */
sg_status sg_item_text_column(sg_item_text *x, sg_bytes name, int *column,
                              sg_error *err);                      /* -1: not wanted */
void sg_item_text_set(sg_item_text *x, int column, sg_bytes text); /* repaired to UTF-8; -1 is fine */
sg_status sg_item_text_row(sg_item_text *x, uint64_t line, sg_bytes id, sg_error *err);

sg_status sg_item_text_read(sg_item_text *x, sg_item_format format, sg_error *err); /* the rows of k->in */
sg_status sg_items_table(sg_item_text *x, char separator, bool quotes, bool recbole, sg_error *err);
sg_status sg_items_movies_dat(sg_item_text *x, sg_error *err);
sg_status sg_items_u_item(sg_item_text *x, sg_error *err);
sg_status sg_items_json_lines(sg_item_text *x, bool loose, sg_error *err);
sg_status sg_items_json(sg_item_text *x, sg_error *err);

#endif
