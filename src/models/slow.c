/* slow.c - slow series merged into sequences of events. */
#include "models/slow.h"

#include "base/alloc.h"

#include <string.h>

/* The first of n ascending times after `since`. */
static int first_after(const int64_t *time, int n, int64_t since)
{
    int begin = 0, end = n;

    while (begin < end) {
        const int middle = begin + (end - begin) / 2;

        if (time[middle] <= since)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static void take_out(int32_t *value, int32_t *before, int *n, int i)
{
    memmove(value + i, value + i + 1, (size_t)(*n - i - 1) * sizeof *value);
    memmove(before + i, before + i + 1, (size_t)(*n - i - 1) * sizeof *before);
    (*n)--;
}

int sg_slow_merge(int32_t value[SG_SLOW_MOST], int32_t before[SG_SLOW_MOST], const sg_series *s,
                  int32_t n_users, int32_t user, const int64_t *time, int n)
{
    int k = 0;

    if (user < 0 || user >= n_users || n < 1)
        return 0;
    for (int64_t i = s->offsets[user]; i < s->offsets[user + 1]; i++) {
        const int at = s->time[i] == INT64_MIN ? 0 : time ? first_after(time, n, s->time[i]) : n;

        if (at == n)
            continue;                               /* nothing comes after it */
        for (int j = k - 1; j >= 0 && at == 0; j--) /* in front only the latest of each */
            if (s->of[value[j]] == s->of[s->value[i]])
                take_out(value, before, &k, j);
        if (k == SG_SLOW_MOST)
            take_out(value, before, &k, 0);
        value[k] = s->value[i];
        before[k++] = at;
    }
    return k;
}

/* ---- with the model ---------------------------------------------------------------------------------------- */

static sg_status put(sg_model *m, const char *name, sg_dtype dtype, const void *from, size_t n, size_t each,
                     sg_error *err)
{
    void *copy = sg_alloc_array(n, each);

    if (!copy)
        return sg_fail_memory(err, name);
    memcpy(copy, from, n * each);
    return sg_model_array_put(m, name, dtype, 1, (uint64_t[]){n}, copy, err);
}

sg_status sg_slow_put(sg_model *m, const sg_dataset *d, sg_error *err)
{
    const sg_series *s = &d->series;
    sg_status st;

    if ((st = put(m, "series.offsets", SG_DT_I64, s->offsets, (size_t)d->n_users + 1, sizeof *s->offsets,
                  err)) ||
        (st = put(m, "series.time", SG_DT_I64, s->time, (size_t)s->n, sizeof *s->time, err)) ||
        (st = put(m, "series.value", SG_DT_I32, s->value, (size_t)s->n, sizeof *s->value, err)))
        return st;
    return put(m, "series.of", SG_DT_I32, s->of, s->names.n, sizeof *s->of, err);
}

sg_status sg_slow_need(sg_series *out, const sg_model *m, sg_error *err)
{
    const sg_model_array *offsets, *time, *value, *of;
    sg_status st;

    if ((st = sg_model_array_need(&offsets, m, "series.offsets", SG_DT_I64, 1,
                                  &(int64_t){(int64_t)m->n_users + 1}, err)) ||
        (st = sg_model_array_need(&time, m, "series.time", SG_DT_I64, 1, &(int64_t){-1}, err)) ||
        (st = sg_model_array_need(&value, m, "series.value", SG_DT_I32, 1, &(int64_t){(int64_t)time->count},
                                  err)) ||
        (st = sg_model_array_need(&of, m, "series.of", SG_DT_I32, 1, &(int64_t){-1}, err)))
        return st;
    *out = (sg_series){.n = (int64_t)time->count,
                       .offsets = offsets->data,
                       .time = time->data,
                       .value = value->data,
                       .of = of->data,
                       .names = {.n = of->count}};
    return sg_series_check(out, m->n_users, m->dir ? m->dir : m->class->name, err);
}

/* ---- into sequences ---------------------------------------------------------------------------------------- */

/* Arrays of out like those of q, for out->tokens tokens. */
static bool take_tokens(sg_sequences *out, int32_t **slow, sg_graph *g, const sg_sequences *q)
{
    const size_t tokens = (size_t)out->tokens;

    out->item = sg_scratch(g, tokens, sizeof *out->item);
    *slow = sg_scratch(g, tokens, sizeof **slow);
    out->target = q->target ? sg_scratch(g, tokens, sizeof *out->target) : NULL;
    out->last = q->last ? sg_scratch(g, (size_t)q->n, sizeof *out->last) : NULL;
    out->time = q->time ? sg_scratch(g, tokens, sizeof *out->time) : NULL;
    out->next = q->next ? sg_scratch(g, tokens, sizeof *out->next) : NULL;
    return out->item && *slow && (out->target || !q->target) && (out->last || !q->last) &&
           (out->time || !q->time) && (out->next || !q->next);
}

/* Event `from` of q, or (value >= 0) a value before it, as token `to`. */
static void set_token(sg_sequences *out, int32_t *slow, int to, const sg_sequences *q, int from,
                      int32_t value)
{
    slow[to] = value;
    out->item[to] = value < 0 ? q->item[from] : -1;
    if (q->target)
        out->target[to] = value < 0 ? q->target[from] : -1;
    if (q->time)
        out->time[to] = q->time[from];
    if (q->next)
        out->next[to] = value < 0 ? q->next[from] : q->time[from];
}

bool sg_slow_add(sg_sequences *out, int32_t **slow, sg_graph *g, const sg_sequences *q, const sg_series *s,
                 int32_t n_users, const int32_t *users, int rows)
{
    int32_t(*value)[SG_SLOW_MOST] = sg_scratch(g, (size_t)q->n, sizeof *value);
    int32_t(*before)[SG_SLOW_MOST] = sg_scratch(g, (size_t)q->n, sizeof *before);
    int32_t *k = sg_scratch(g, (size_t)q->n, sizeof *k);

    *out = (sg_sequences){
        .n = q->n, .tokens = q->tokens, .offsets = sg_scratch(g, (size_t)q->n + 1, sizeof *out->offsets)};
    if (!value || !before || !k || !out->offsets)
        return false;
    for (int i = 0; i < q->n; i++) {
        k[i] = sg_slow_merge(value[i], before[i], s, n_users, users ? users[i] : -1,
                             q->time ? q->time + q->offsets[i] : NULL, q->offsets[i + 1] - q->offsets[i]);
        out->offsets[i] = q->offsets[i] + out->tokens - q->tokens;
        out->tokens += k[i];
    }
    out->offsets[q->n] = out->tokens;
    if (!take_tokens(out, slow, g, q))
        return false;
    for (int i = 0; i < q->n; i++) {
        int to = out->offsets[i], j = 0;

        for (int from = q->offsets[i]; from < q->offsets[i + 1]; from++) {
            for (; j < k[i] && before[i][j] == from - q->offsets[i]; j++)
                set_token(out, *slow, to++, q, from, value[i][j] % rows);
            set_token(out, *slow, to++, q, from, -1);
        }
        if (q->last)
            out->last[i] = q->last[i] < 0 ? -1 : out->offsets[i + 1] - 1;
    }
    return true;
}
