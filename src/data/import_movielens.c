/* import_movielens.c - the ratings of MovieLens: u.data of 100K (tabs), ratings.dat of 1M and 10M ("::"),
 * both `user item rating timestamp` without a header, and ratings.csv of the later sets. */
#include "data/intake.h"

#include <string.h>

sg_status sg_import_movielens(sg_intake *k, sg_error *err)
{
    static const sg_columns columns = {.user = 0, .item = 1, .rating = 2, .time = 3, .action = -1};
    const sg_input *in = k->in;
    const char *line = in->data + in->begin, *end = memchr(line, '\n', in->end - in->begin);
    const size_t size = end ? (size_t)(end - line) : in->end - in->begin;
    const bool tabs = memchr(line, '\t', size), colons = memchr(line, ':', size);
    sg_table t;
    sg_status st;

    if (!tabs && !colons && memchr(line, ',', size))
        return sg_import_csv(k, err);
    sg_table_init(&t, k->in, tabs ? '\t' : ':', !tabs, false);
    st = sg_table_events(k, &t, &columns, 4, false, err);
    sg_table_fini(&t);
    return st;
}
