/* split.c - each user's events in time order are cut into training, validation and test.
 *
 * A user whose events do not reach for all three parts only trains: fewer than 3 events with loo, fewer than 2n + 1 with last:n,
 * fewer than 2k + 1 with ratio:r, k = max(1, floor(r * events)). So every question has at least one training event before it.
 * loo and last:n: the last n events are test, the n before them validation (n = 1 for loo). The context of a question is
 * everything before its targets; that of a test question includes the validation events.
 * time:v,t is one cut for all users: training is before v, validation from v, test from t on. Users without training events
 * are asked too when something of theirs lies before the targets: that is how new users arrive. A question needs a context. */
#include "data/split.h"

#include "base/alloc.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static sg_status fail_parse(const char *text, sg_error *err)
{
    return sg_fail(
        err, SG_ERR_USAGE,
        "expected a split 'loo', 'last:N', 'ratio:R' (0 < R < 0.5) or 'time:T1,T2' (T1 < T2), found '%s'",
        text);
}

/* A number that begins at *at; *at moves behind it. */
static bool take_integer(int64_t *out, const char **at)
{
    char *end;

    errno = 0;
    *out = strtoll(*at, &end, 10);
    if (end == *at || errno || **at == ' ')
        return false;
    *at = end;
    return true;
}

sg_status sg_split_parse(sg_split_spec *out, const char *text, sg_error *err)
{
    sg_split_spec s = {.kind = SG_SPLIT_LOO, .n = 1, .text = text};
    const char *at = strchr(text, ':');
    int64_t n;
    char *end;

    at = at ? at + 1 : "";
    if (strcmp(text, "loo") == 0) {
        *out = s;
        return SG_OK;
    }
    if (strncmp(text, "last:", 5) == 0) {
        s.kind = SG_SPLIT_LAST_N;
        if (!take_integer(&n, &at) || *at || n < 1 || n > 1000000)
            return fail_parse(text, err);
        s.n = (int)n;
    } else if (strncmp(text, "ratio:", 6) == 0) {
        s.kind = SG_SPLIT_RATIO;
        s.ratio = strtod(at, &end);
        if (end == at || *end || !(s.ratio > 0 && s.ratio < 0.5))
            return fail_parse(text, err);
    } else if (strncmp(text, "time:", 5) == 0) {
        s.kind = SG_SPLIT_TIME;
        if (!take_integer(&s.time_valid, &at) || *at++ != ',' || !take_integer(&s.time_test, &at) || *at ||
            s.time_valid >= s.time_test)
            return fail_parse(text, err);
    } else {
        return fail_parse(text, err);
    }
    *out = s;
    return SG_OK;
}

/* First event of begin..end not before t. */
static int64_t first_from(const int64_t *timestamp, int64_t begin, int64_t end, int64_t t)
{
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;

        if (timestamp[middle] < t)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Where validation and test of a user begin; both at the end for one who only trains. */
static void cut_user(int64_t *valid, int64_t *test, const sg_dataset *d, const sg_split_spec *s, int32_t u)
{
    const int64_t begin = d->user_offsets[u], end = d->user_offsets[u + 1], n = end - begin;
    int64_t k = s->kind == SG_SPLIT_LAST_N ? s->n : 1;

    if (s->kind == SG_SPLIT_TIME) {
        *valid = first_from(d->timestamp, begin, end, s->time_valid);
        *test = first_from(d->timestamp, *valid, end, s->time_test);
        return;
    }
    if (s->kind == SG_SPLIT_RATIO) {
        k = (int64_t)floor(s->ratio * (double)n);
        if (k < 1)
            k = 1;
    }
    *valid = n > 2 * k ? end - 2 * k : end;
    *test = n > 2 * k ? end - k : end;
}

/* A question whose targets are from..to; none without targets or context. */
static void ask(sg_case *list, size_t *n, int32_t user, int64_t begin, int64_t from, int64_t to)
{
    if (from == begin || from == to)
        return;
    if (list)
        list[*n] =
            (sg_case){.user = user, .begin = begin, .end = from, .target_begin = from, .target_end = to};
    (*n)++;
}

static void cut_all(sg_split *s, const sg_dataset *d)
{
    s->n_valid = s->n_test = 0;
    for (int32_t u = 0; u < d->n_users; u++) {
        const int64_t begin = d->user_offsets[u], end = d->user_offsets[u + 1];
        int64_t valid, test;

        cut_user(&valid, &test, d, &s->spec, u);
        s->train_end[u] = valid;
        ask(s->valid, &s->n_valid, u, begin, valid, test);
        ask(s->test, &s->n_test, u, begin, test, end);
    }
}

sg_status sg_split_new(sg_split **out, const sg_dataset *d, const sg_split_spec *spec, sg_error *err)
{
    sg_split *s = sg_alloc_zero(1, sizeof *s);

    *out = NULL;
    if (spec->kind == SG_SPLIT_TIME && !d->timestamp) {
        sg_free(s);
        return sg_fail(err, SG_ERR_USAGE, "%s: a time split needs timestamps, and this dataset has none",
                       d->dir);
    }
    if (!s || !(s->train_end = sg_alloc_array((size_t)d->n_users, sizeof *s->train_end)))
        goto no_memory;
    s->spec = *spec;
    if (!spec->text)
        s->spec.text = NULL;
    else if (!(s->spec.text = sg_strdup(spec->text)))
        goto no_memory;
    cut_all(s, d); /* counts */
    if (!(s->valid = sg_alloc_array(s->n_valid, sizeof *s->valid)) ||
        !(s->test = sg_alloc_array(s->n_test, sizeof *s->test)))
        goto no_memory;
    cut_all(s, d); /* fills */
    *out = s;
    return SG_OK;
no_memory:
    sg_split_free(s);
    return sg_fail_memory(err, "split");
}

void sg_split_free(sg_split *s)
{
    if (!s)
        return;
    sg_free((char *)(uintptr_t)s->spec.text);
    sg_free(s->train_end);
    sg_free(s->valid);
    sg_free(s->test);
    sg_free(s);
}
