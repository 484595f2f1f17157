/* table.c - cells are collected, then printed with the widths they turned out to have. */
#include "table.h"

#include "opt.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(void)
{
    fputs("sedge: out of memory\n", stderr);
    exit(1);
}

static void add_cell(sg_table *t, const char *text)
{
    if (t->n == t->cap) {
        char **grown = realloc(t->cell, (t->cap = t->cap * 2 + 64) * sizeof *grown);

        if (!grown)
            out_of_memory();
        t->cell = grown;
    }
    t->cell[t->n++] = sg_pool_printf("%s", text);
}

void sg_table_init(sg_table *t, const char *const *heading, size_t n_columns)
{
    *t = (sg_table){.n_columns = n_columns};
    for (size_t i = 0; i < n_columns; i++)
        add_cell(t, heading[i]);
}

void sg_table_group(sg_table *t, size_t column, const char *label)
{
    t->group_at[t->n_groups] = column;
    t->group[t->n_groups++] = label;
}

void sg_table_add(sg_table *t, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_cell(t, text);
}

void sg_table_end_row(sg_table *t)
{
    while (t->n % t->n_columns)
        add_cell(t, "");
}

/* Characters, not bytes: continuation bytes of UTF-8 do not count. */
static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_spaces(size_t n)
{
    for (size_t i = 0; i < n; i++)
        putchar(' ');
}

static bool is_number_column(const sg_table *t, size_t c)
{
    return t->cell[c][0] == '>';
}

static const char *text_at(const sg_table *t, size_t r, size_t c)
{
    return t->cell[r * t->n_columns + c] + (r == 0 && is_number_column(t, c));
}

/* Of each column, over all rows; the caller frees them. */
static size_t *column_widths(const sg_table *t)
{
    size_t *width = calloc(t->n_columns + 1, sizeof *width);

    if (!width)
        out_of_memory();
    for (size_t r = 0; r < t->n / t->n_columns; r++)
        for (size_t c = 0; c < t->n_columns; c++) {
            const size_t w = width_of(text_at(t, r, c));

            width[c] = w > width[c] ? w : width[c];
        }
    return width;
}

static void print_groups(const sg_table *t, const size_t *width)
{
    size_t at = 0, x = 0;

    for (size_t c = 0, g = 0; c < t->n_columns && g < t->n_groups; x += width[c] + 2, c++)
        if (t->group_at[g] == c) {
            if (x > at) {
                print_spaces(x - at);
                at = x;
            }
            at += width_of(t->group[g]);
            fputs(t->group[g++], stdout);
        }
    if (t->n_groups)
        putchar('\n');
}

void sg_table_print(sg_table *t)
{
    size_t *width = column_widths(t);

    print_groups(t, width);
    for (size_t r = 0; r < t->n / t->n_columns; r++) {
        size_t last = t->n_columns;

        while (last > 0 && !text_at(t, r, last - 1)[0])
            last--;
        for (size_t c = 0; c < last; c++) {
            const char *text = text_at(t, r, c);
            const size_t spaces = width[c] - width_of(text);

            if (is_number_column(t, c))
                print_spaces(spaces);
            fputs(text, stdout);
            if (c + 1 < last)
                print_spaces(is_number_column(t, c) ? 2 : spaces + 2);
        }
        putchar('\n');
    }
    free(width);
    free(t->cell); /* the texts live in the pool */
    *t = (sg_table){0};
}

const char *sg_count_text(double x)
{
    char digits[64], out[96];
    size_t n, at = 0;

    snprintf(digits, sizeof digits, "%.0f", x);
    n = strlen(digits);
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0 && digits[i - 1] != '-')
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return sg_pool_printf("%s", out);
}

const char *sg_seconds_text(double seconds)
{
    if (seconds < 1)
        return sg_pool_printf("%.0f ms", seconds * 1e3);
    if (seconds < 120)
        return sg_pool_printf("%.1f s", seconds);
    return sg_pool_printf("%.0f min %02.0f s", floor(seconds / 60), floor(fmod(seconds, 60)));
}

const char *sg_short_text(const char *text, size_t width)
{
    size_t n = 0, cut = 0;

    for (size_t i = 0; text[i]; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80)
            continue;
        if (n + 3 == width)
            cut = i; /* where "..." would begin */
        if (++n > width)
            return sg_pool_printf("%.*s...", (int)cut, text);
    }
    return sg_pool_printf("%s", text);
}
