/* import_s3rec.c - `user item1 item2 ...`, one user a line, in order of time, as S3-Rec and its followers
 * write them; or `user item`, one event a line, as SASRec and BERT4Rec do. Ids are natural numbers; there are
 * no times.
 *
 * A user may stand in several lines only in the second form: a sequence that goes on in another line is a
 * damaged file. */
#include "data/intake.h"

#include "data/scan.h"

#include <string.h>

typedef struct lines {
    uint64_t longer;   /* the first line with more than one item; 0: none so far */
    uint64_t repeated; /* the first line whose user had been there; 0: none so far */
    char user[24];     /* of the line before */
} lines;

static bool next_number(sg_bytes *rest, sg_bytes *number)
{
    const char *p = rest->data, *end = rest->data + rest->size;

    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    number->data = p;
    while (p < end && *p != ' ' && *p != '\t')
        p++;
    number->size = (size_t)(p - number->data);
    *rest = (sg_bytes){p, (size_t)(end - p)};
    return number->size > 0;
}

/* Has the user been in a line before? Pairs come in runs of a user, so that the last one is asked first. */
static sg_status user_known(sg_intake *k, lines *seen, sg_bytes user, bool *known, sg_error *err)
{
    sg_status st;

    if ((*known = sg_bytes_equal(user, sg_bytes_of(seen->user))))
        return SG_OK;
    memcpy(seen->user, user.data, user.size); /* a number of at most 19 digits */
    seen->user[user.size] = 0;
    if ((st = sg_intake_flush(k, err)))
        return st;
    *known = sg_vocab_find(k->users, user) >= 0;
    return SG_OK;
}

static sg_status read_line(sg_intake *k, lines *seen, sg_bytes rest, sg_error *err)
{
    const uint64_t line = k->in->line;
    sg_raw_event raw = {.user = {NULL, 0}};
    char room[SG_QUOTE_ROOM];
    uint64_t value, n = 0;
    bool known;
    sg_status st;

    if (!next_number(&rest, &raw.user))
        return sg_input_fail(k->in, line, err, "expected a user and its items, found an empty line");
    if (!sg_scan_natural(raw.user, &value))
        return sg_input_fail(k->in, line, err, "expected a user number, found %s", sg_quote(room, raw.user));
    /* The whole line is checked before its first event is taken: a bad row leaves nothing behind. */
    for (sg_bytes ahead = rest; next_number(&ahead, &raw.item); n++)
        if (!sg_scan_natural(raw.item, &value))
            return sg_input_fail(k->in, line, err, "expected an item number, found %s",
                                 sg_quote(room, raw.item));
    if (!n)
        return sg_input_fail(k->in, line, err, "expected at least one item after user %.*s, found none",
                             (int)raw.user.size, raw.user.data);
    if ((st = user_known(k, seen, raw.user, &known, err)))
        return st;
    if (known) {
        if (n > 1 || seen->longer)
            return sg_input_fail(k->in, line, err, "user %.*s already has a sequence in a line before",
                                 (int)raw.user.size, raw.user.data);
        seen->repeated = seen->repeated ? seen->repeated : line;
    }
    if (n > 1 && seen->repeated)
        return sg_input_fail(k->in, line, err, "expected one item, as line %llu repeats its user, found %llu",
                             (unsigned long long)seen->repeated, (unsigned long long)n);
    if (n > 1 && !seen->longer)
        seen->longer = line;
    while (!st && next_number(&rest, &raw.item))
        st = sg_intake_event(k, line, &raw, err);
    return st;
}

sg_status sg_import_s3rec(sg_intake *k, sg_error *err)
{
    lines seen = {0};
    sg_bytes line;
    uint64_t blank = 0; /* empty lines are fine only at the end */
    sg_status st;
    bool got;

    if ((st = sg_intake_columns(k, false, false, false, err)))
        return st;
    for (;;) {
        st = sg_input_line(k->in, &line, &got, err);
        if (!st && !got)
            return SG_OK;
        if (!st && sg_trim(line).size == 0) {
            blank = blank ? blank : k->in->line;
            continue;
        }
        if (blank) {
            const sg_status empty =
                sg_input_fail(k->in, blank, err, "expected a user and its items, found an empty line");

            if ((st = sg_intake_bad(k, empty, err)))
                return st;
            blank = 0;
        }
        if (!st)
            st = read_line(k, &seen, line, err);
        if (st && (st = sg_intake_bad(k, st, err)))
            return st;
    }
}
