/* columns.c - which column of a table or JSON line is the user, the item, the time, the rating, the action.
 */
#include "data/intake.h"

#include "base/alloc.h"
#include "base/option.h"
#include "data/scan.h"

#include <string.h>

static const char *const usual_user[] = {"user",      "userid",   "uid",       "reviewerid", "customerid",
                                         "visitorid", "memberid", "accountid", NULL};
const char *const sg_usual_item[] = {"item",    "itemid",  "iid",     "parentasin", "asin",    "productid",
                                     "product", "movieid", "sku",     "articleid",  "videoid", "businessid",
                                     "bookid",  "songid",  "trackid", "gameid",     "newsid",  NULL};
static const char *const usual_time[] = {"timestamp", "time",     "ts",   "unixreviewtime", "unixtime",
                                         "eventtime", "datetime", "date", "createdat",      NULL};
static const char *const usual_rating[] = {"rating", "ratings", "overall", "score", "stars", NULL};

/* Is `name` the usual one, apart from case and separators? */
static bool same_name(const char *usual, sg_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];

        if (c == '_' || c == '-' || c == ' ' || c == '.')
            continue;
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != *usual)
            return false;
        usual++;
    }
    return *usual == 0;
}

int sg_column_usual(const char *const *usual, const sg_bytes *name, size_t n)
{
    for (; *usual; usual++)
        for (size_t i = 0; i < n; i++)
            if (same_name(*usual, sg_trim(name[i])))
                return (int)i;
    return -1;
}

/* "user, item, rating": the columns there are, as far as a message can hold them. */
static void list_names(sg_buf *out, const sg_bytes *name, size_t n)
{
    enum { SHOWN = 30 };

    for (size_t i = 0; i < n && i < SHOWN; i++) {
        const sg_bytes t = sg_trim(name[i]);

        sg_buf_puts(out, i ? ", " : "");
        sg_buf_add(out, t.data, t.size < 60 ? t.size : 60);
    }
    if (n > SHOWN)
        sg_buf_printf(out, ", ... (%zu columns)", n);
}

static sg_status fail_unknown(const char *wanted, const sg_bytes *name, size_t n, const char *where,
                              sg_error *err)
{
    const char **known = sg_alloc_zero(n, sizeof *known);
    sg_buf list = {0};
    const char *near = NULL;
    sg_status st;

    for (size_t i = 0; known && i < n; i++)
        if (!(known[i] = sg_strndup(name[i].data, name[i].size)))
            list.failed = true;
    if (known && !list.failed)
        near = sg_nearest(wanted, known, n);
    list_names(&list, name, n);
    if (!known || list.failed)
        st = sg_fail_memory(err, "column names");
    else
        st = sg_fail(err, SG_ERR_USAGE, "%s: no column '%s'%s%s%s it has %s", where, wanted,
                     near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "", list.data);
    for (size_t i = 0; known && i < n; i++)
        sg_free((void *)known[i]);
    sg_free(known);
    sg_buf_free(&list);
    return st;
}

sg_status sg_column_named(int *out, const char *wanted, const sg_bytes *name, size_t n, const char *where,
                          sg_error *err)
{
    uint64_t number;

    for (size_t i = 0; name && i < n; i++)
        if (sg_bytes_equal(sg_trim(name[i]), sg_bytes_of(wanted))) {
            *out = (int)i;
            return SG_OK;
        }
    if (!sg_scan_natural(sg_bytes_of(wanted), &number) && name)
        return fail_unknown(wanted, name, n, where, err);
    if (!sg_scan_natural(sg_bytes_of(wanted), &number) || number < 1 || number > n)
        return sg_fail(err, SG_ERR_USAGE, "%s: column '%s': expected a number from 1 to %zu%s", where, wanted,
                       n, name ? "" : ", as there is no header");
    *out = (int)number - 1;
    return SG_OK;
}

static sg_status fail_missing(const char *what, const sg_bytes *name, size_t n, const char *where,
                              sg_error *err)
{
    sg_buf list = {0};
    sg_status st;

    list_names(&list, name, n);
    st = list.failed ? sg_fail_memory(err, "column names")
                     : sg_fail(err, SG_ERR_USAGE,
                               "%s: cannot tell which column is the %s: name it; the columns are %s", where,
                               what, list.data ? list.data : "");
    sg_buf_free(&list);
    return st;
}

sg_status sg_columns_find(sg_columns *out, const sg_import_spec *spec, const sg_bytes *name, size_t n,
                          const char *where, sg_error *err)
{
    const struct {
        int *index;
        const char *what, *wanted;
        const char *const *usual;
        bool needed;
    } roles[] = {
        {&out->user, "user", spec->column_user, usual_user, true},
        {&out->item, "item", spec->column_item, sg_usual_item, true},
        {&out->time, "time", spec->column_time, usual_time, false},
        {&out->rating, "rating", spec->column_rating, usual_rating, false},
        {&out->action, "action", spec->column_action, NULL, false},
    };
    enum { ROLES = sizeof roles / sizeof *roles };
    sg_status st;

    for (int i = 0; i < ROLES; i++) {
        *roles[i].index = -1;
        if (roles[i].wanted) {
            if ((st = sg_column_named(roles[i].index, roles[i].wanted, name, n, where, err)))
                return st;
        } else if (!name && i < 2 && (size_t)i < n) {
            *roles[i].index = i; /* without a header: user, item, and what was asked for */
        } else if (name && roles[i].usual) {
            *roles[i].index = sg_column_usual(roles[i].usual, name, n);
        }
        if (roles[i].needed && *roles[i].index < 0)
            return name ? fail_missing(roles[i].what, name, n, where, err)
                        : sg_fail(err, SG_ERR_FORMAT,
                                  "%s: expected a user and an item column, found %zu column", where, n);
        for (int k = 0; k < i; k++)
            if (*roles[i].index >= 0 && *roles[k].index == *roles[i].index)
                return sg_fail(err, SG_ERR_USAGE, "%s: column %d cannot be both the %s and the %s", where,
                               *roles[i].index + 1, roles[k].what, roles[i].what);
    }
    return SG_OK;
}
