/* option.c - text to struct fields and back, by one table.
 *
 * The defaults of a table are the tokens of its macro as text: 0.001, true, adamw, "512,256" (with its quotes). */
#include "base/option.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The choices of "a|b|c: what it does" end at the first ':'. */
static size_t choices_length(const char *meaning)
{
    return strcspn(meaning, ":");
}

static bool is_choice(const char *meaning, const char *value)
{
    const char *end = meaning + choices_length(meaning);
    const size_t n = strlen(value);

    for (const char *p = meaning; p < end; p++) {
        const size_t len = strcspn(p, "|:");

        if (len == n && memcmp(p, value, n) == 0)
            return true;
        p += len;
    }
    return false;
}

static const char *nearest_choice(char *out, size_t cap, const char *meaning, const char *value)
{
    const char *known[64];
    char *text = out;
    size_t n = 0;

    snprintf(out, cap, "%.*s", (int)choices_length(meaning), meaning);
    while (n < 64) {
        known[n++] = text;
        text = strchr(text, '|');
        if (!text)
            break;
        *text++ = 0;
    }
    return sg_nearest(value, known, n);
}

static bool read_bool(bool *out, const char *value)
{
    static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0", "no", "off"};

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0)
            return *out = true, true;
        if (strcmp(value, no[i]) == 0)
            return *out = false, true;
    }
    return false;
}

static sg_status set_int(char *field, const sg_option *row, const char *value, sg_error *err)
{
    char *end;
    long long x;

    errno = 0;
    x = strtoll(value, &end, 10);
    if (end == value || *end || errno || (double)x < row->least || (double)x > row->most)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected an integer from %.0f to %.0f, found '%s'", row->name,
                       row->least, row->most, value);
    assert(x >= INT_MIN && x <= INT_MAX);
    memcpy(field, &(sg_field_int){(int)x}, sizeof(sg_field_int));
    return SG_OK;
}

static sg_status set_float(char *field, const sg_option *row, const char *value, sg_error *err)
{
    char *end;
    double x;

    x = strtod(value, &end);
    if (end == value || *end || !(x >= row->least && x <= row->most))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a number from %g to %g, found '%s'", row->name,
                       row->least, row->most, value);
    memcpy(field, &x, sizeof x);
    return SG_OK;
}

static sg_status set_choice(char *field, const sg_option *row, const char *value, sg_error *err)
{
    char copy[1024];

    if (!is_choice(row->meaning, value)) {
        const char *near = nearest_choice(copy, sizeof copy, row->meaning, value);
        const int n = (int)choices_length(row->meaning);

        if (near)
            return sg_fail(err, SG_ERR_USAGE, "%s: expected one of %.*s, found '%s' (did you mean '%s'?)",
                           row->name, n, row->meaning, value, near);
        return sg_fail(err, SG_ERR_USAGE, "%s: expected one of %.*s, found '%s'", row->name, n, row->meaning,
                       value);
    }
    snprintf(field, sizeof(sg_field_choice), "%s", value);
    return SG_OK;
}

static sg_status set_row(void *config, const sg_option *row, const char *value, sg_error *err)
{
    char *field = (char *)config + row->offset;
    bool b;

    switch (row->type) {
    case SG_OPTION_int:
        return set_int(field, row, value, err);
    case SG_OPTION_float:
        return set_float(field, row, value, err);
    case SG_OPTION_bool:
        if (!read_bool(&b, value))
            return sg_fail(err, SG_ERR_USAGE, "%s: expected true or false, found '%s'", row->name, value);
        memcpy(field, &b, sizeof b);
        return SG_OK;
    case SG_OPTION_choice:
        return set_choice(field, row, value, err);
    case SG_OPTION_text:
        break;
    }
    const double most = row->most < SG_OPTION_TEXT_MAX ? row->most : SG_OPTION_TEXT_MAX;

    if ((double)strlen(value) > most)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected at most %.0f bytes, found %zu", row->name, most,
                       strlen(value));
    snprintf(field, sizeof(sg_field_text), "%s", value);
    return SG_OK;
}

/* Copies a default, without the quotes its token may have had. */
static const char *initial_text(char *out, size_t cap, const sg_option *row)
{
    const char *s = row->initial;
    const size_t n = strlen(s);

    if (n >= 2 && s[0] == '"' && s[n - 1] == '"')
        snprintf(out, cap, "%.*s", (int)(n - 2), s + 1);
    else
        snprintf(out, cap, "%s", s);
    return out;
}

void sg_options_init(void *config, const sg_option *table, size_t n)
{
    char text[SG_OPTION_TEXT_MAX + 1];

    for (size_t i = 0; i < n; i++) {
        const sg_status st = set_row(config, &table[i], initial_text(text, sizeof text, &table[i]), NULL);

        assert(st == SG_OK); /* a default outside its own range is our mistake */
        (void)st;
    }
}

bool sg_option_is_initial(const void *config, const sg_option *row)
{
    const sg_option alone = {row->name, row->type, 0, row->initial, row->least, row->most, row->meaning};
    const char *here = (const char *)config + row->offset;
    sg_field_text there, text;

    set_row(there, &alone, initial_text(text, sizeof text, row), NULL);
    switch (row->type) {
    case SG_OPTION_int:
        return memcmp(here, there, sizeof(sg_field_int)) == 0;
    case SG_OPTION_float:
        return memcmp(here, there, sizeof(sg_field_float)) == 0;
    case SG_OPTION_bool:
        return memcmp(here, there, sizeof(sg_field_bool)) == 0;
    case SG_OPTION_choice:
    case SG_OPTION_text:
        break;
    }
    return strcmp(here, there) == 0;
}

const sg_option *sg_options_find(const sg_option *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

sg_status sg_options_set(void *config, const sg_option *table, size_t n, const char *name, const char *value,
                         sg_error *err)
{
    const sg_option *row = sg_options_find(table, n, name);
    const char *known[256], *near;

    if (row)
        return set_row(config, row, value, err);
    for (size_t i = 0; i < n && i < 256; i++)
        known[i] = table[i].name;
    near = sg_nearest(name, known, n < 256 ? n : 256);
    if (near)
        return sg_fail(err, SG_ERR_USAGE, "unknown option '%s' (did you mean '%s'?)", name, near);
    return sg_fail(err, SG_ERR_USAGE, "unknown option '%s'", name);
}

sg_status sg_options_assign(void *config, const sg_option *table, size_t n, const char *assignment,
                            sg_error *err)
{
    const char *equals = strchr(assignment, '=');
    char name[128];

    if (!equals || equals == assignment)
        return sg_fail(err, SG_ERR_USAGE, "expected key=value, found '%s'", assignment);
    if ((size_t)(equals - assignment) >= sizeof name)
        return sg_fail(err, SG_ERR_USAGE, "unknown option '%.*s...'", 40, assignment);
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = 0;
    return sg_options_set(config, table, n, name, equals + 1, err);
}

void sg_options_print(sg_buf *out, const void *config, const sg_option *row)
{
    const char *field = (const char *)config + row->offset;
    char text[40];
    double x;
    int i;
    bool b;

    switch (row->type) {
    case SG_OPTION_int:
        memcpy(&i, field, sizeof i);
        sg_buf_printf(out, "%d", i);
        return;
    case SG_OPTION_float:
        memcpy(&x, field, sizeof x);
        for (int digits = 6; digits <= 17; digits++) { /* the shortest that reads back as the same number */
            snprintf(text, sizeof text, "%.*g", digits, x);
            if (strtod(text, NULL) == x)
                break;
        }
        sg_buf_puts(out, text);
        return;
    case SG_OPTION_bool:
        memcpy(&b, field, sizeof b);
        sg_buf_puts(out, b ? "true" : "false");
        return;
    case SG_OPTION_choice:
    case SG_OPTION_text:
        sg_buf_puts(out, field);
        return;
    }
}

/* Edit distance with swaps of neighbours, at most WORD_MAX letters each; longer words are simply not near. */
enum { WORD_MAX = 63 };

static size_t distance(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    size_t d[3][WORD_MAX + 2];

    if (na > WORD_MAX || nb > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);

            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[na % 3][nb];
}

const char *sg_nearest(const char *word, const char *const *known, size_t n)
{
    const char *best = NULL;
    size_t least = 3; /* distance 2 still counts */

    for (size_t i = 0; i < n; i++) {
        const size_t dist = distance(word, known[i]);

        if (dist < least && 2 * dist < strlen(word)) {
            least = dist;
            best = known[i];
        }
    }
    return best;
}
