/* table.h - tables for people: columns as wide as they need, numbers to the right. */
#ifndef SEDGE_CLI_TABLE_H
#define SEDGE_CLI_TABLE_H

#include <stddef.h>

typedef struct sg_table {
    char **cell; /* owned; rows of n_columns, row 0 is the heading */
    size_t n, cap, n_columns;
    const char *group[4]; /* labels above the heading, borrowed */
    size_t group_at[4], n_groups;
} sg_table;

/* Headings; one that begins with '>' is a column of numbers. */
void sg_table_init(sg_table *t, const char *const *heading, size_t n_columns);
void sg_table_group(sg_table *t, size_t column, const char *label); /* from this column on */
void sg_table_add(sg_table *t, const char *format, ...) __attribute__((format(printf, 2, 3))); /* next cell */
void sg_table_end_row(sg_table *t); /* fills the rest of the row with nothing */
void sg_table_print(sg_table *t);   /* and frees it */

/* "12,101" */
const char *sg_count_text(double x);
const char *sg_seconds_text(double seconds);
/* At most `width` characters, "..." at the end of what was cut. */
const char *sg_short_text(const char *text, size_t width);

#endif
