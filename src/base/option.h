/* option.h - one table of options feeds the struct, YAML, --set key=value, --help, man page and docs.
 *
 *   #define FOO_OPTIONS(X)                                                                    \
 *       X(int, dim, 64, 8, 4096, "width of item vectors")                                      \
 *       X(float, dropout, 0.2, 0, 0.9, "share of activations dropped while training")          \
 *       X(bool, tied, true, 0, 1, "output table = input table")                                \
 *       X(choice, loss, "ce", 0, 0, "ce|bce|sampled: training loss")   choices stand before ':' \
 *       X(text, layout, "", 0, 255, "any text up to 255 bytes")
 *   typedef struct foo_config { FOO_OPTIONS(SG_OPTION_FIELD) } foo_config;
 *   static const sg_option foo_options[] = { FOO_OPTIONS(SG_OPTION_ROW(foo_config)) ... see SG_OPTION_TABLE */
#ifndef SG_BASE_OPTION_H
#define SG_BASE_OPTION_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sg_option_type {
    SG_OPTION_int,
    SG_OPTION_float,
    SG_OPTION_bool,
    SG_OPTION_choice,
    SG_OPTION_text
} sg_option_type;

typedef struct sg_option {
    const char *name;
    sg_option_type type;
    size_t offset;       /* in the struct */
    const char *initial; /* default, as text */
    double least, most;  /* int, float: range; text: most = longest */
    const char *meaning; /* choice: "a|b|c: what it does" */
} sg_option;

enum { SG_OPTION_TEXT_MAX = 255 };
typedef int sg_field_int;
typedef double sg_field_float;
typedef bool sg_field_bool;
typedef char sg_field_choice[SG_OPTION_TEXT_MAX + 1];
typedef char sg_field_text[SG_OPTION_TEXT_MAX + 1];

#define SG_OPTION_FIELD(type, name, initial, least, most, meaning) sg_field_##type name;
/* Use: static const sg_option rows[] = {SG_OPTION_TABLE(FOO_OPTIONS, foo_config)}; inside the list macro the struct is
 * named by the typedef SG_OPTION_STRUCT, so a file defines:  #define SG_OPTION_STRUCT foo_config  before the table. */
#define SG_OPTION_ROW(type, name, initial, least, most, meaning)                                             \
    {#name, SG_OPTION_##type, offsetof(SG_OPTION_STRUCT, name), #initial, least, most, meaning},

/* Fills a struct with the defaults. */
void sg_options_init(void *config, const sg_option *table, size_t n);
/* Sets one option from text. Errors: "unknown option 'dimm' (did you mean 'dim'?)", "dim: expected an integer from 8 to
 * 4096, found 'x'". */
sg_status sg_options_set(void *config, const sg_option *table, size_t n, const char *name, const char *value,
                         sg_error *err);
/* "key=value" in one string. */
sg_status sg_options_assign(void *config, const sg_option *table, size_t n, const char *assignment,
                            sg_error *err);
/* Value as text: the same text gives the same value back. */
void sg_options_print(sg_buf *out, const void *config, const sg_option *row);
/* Has the option the value that sg_options_init gives? */
bool sg_option_is_initial(const void *config, const sg_option *row);
const sg_option *sg_options_find(const sg_option *table, size_t n, const char *name);
/* Nearest known word (edit distance <= 2 and < half its length), or NULL: for every "did you mean". */
const char *sg_nearest(const char *word, const char *const *known, size_t n);

#endif
