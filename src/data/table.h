/* table.h - rows of separated fields: CSV [RFC 4180], TSV, "::". Fields are views into the window of the
 * input. */
#ifndef SG_DATA_TABLE_H
#define SG_DATA_TABLE_H

#include "data/input.h"

typedef struct sg_table {
    sg_input *in; /* borrowed */
    char separator;
    bool doubled; /* the separator stands twice, as in MovieLens' "::" */
    bool
        quotes; /* fields may be quoted; a quote inside is doubled; separators and newlines inside are text */
    sg_bytes *field; /* owned: of the current row */
    size_t n_fields, cap;
    size_t *escaped; /* owned: fields of the row that hold doubled quotes */
    size_t n_escaped, cap_escaped;
    uint64_t line; /* where the row begins */
    size_t block;  /* offset in the window of the 64 bytes being looked at */
    uint64_t mask; /* separators and newlines in them that are still ahead */
    bool held;     /* the current row waits behind an error about an empty line before it */
} sg_table;

void sg_table_init(sg_table *t, sg_input *in, char separator, bool doubled, bool quotes);
void sg_table_fini(sg_table *t);

/* The next row; *got false: none left. Empty lines at the end of the file are no rows; elsewhere they are
 * errors. After an error of one row the next call goes on behind it, unless in->broken. */
sg_status sg_table_next(sg_table *t, bool *got, sg_error *err);

#endif
