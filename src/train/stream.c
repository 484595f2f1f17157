/* stream.c - one pass over the training events in order of time: what comes is predicted first, then learned from.
 *   [progressive validation: Blum, Kalai & Langford 1999; generative training: Zhai et al. 2024, section 2.3]
 *
 * The events of all users, by time, are cut into windows of about as many each; events of the same second stay together. In each
 * window every event that has a history is a question: its user's events up to it, asked of the model that learned from the windows
 * before. Then users with events in the window are examples, each once, with the latest `length` events up to the end of
 * the window: a window is a session, at whose end a user's sequence is emitted, so that n events cost one pass over the
 * sequence and not n. Only the window's own events are labels: every event is learned from once. */
#include "train/loop.h"

#include "base/alloc.h"
#include "base/io.h"
#include "eval/eval.h"
#include "file/receipt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct window {
    int64_t from, until; /* seconds: from <= time < until */
    int64_t events;
    int64_t first, steps; /* the optimizer's */
} window;

struct sg_stream {
    window *window; /* owned (n) */
    int n;
    sg_split split;   /* of the window at hand: train_end and test are owned */
    int64_t *learned; /* owned (n_users) */
    sg_train_data data;
};

void sg_stream_free(sg_stream *s)
{
    if (!s)
        return;
    sg_free(s->window);
    sg_free(s->split.train_end);
    sg_free(s->split.test);
    sg_free(s->learned);
    sg_free(s);
}

/* ---- windows ---------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static sg_status times_of(int64_t **time, size_t *n, const sg_train_data *t, sg_error *err)
{
    const sg_dataset *d = t->data;

    *n = 0;
    for (int32_t u = 0; u < d->n_users; u++)
        *n += (size_t)(t->split->train_end[u] - d->user_offsets[u]);
    if (!(*time = sg_alloc_array(*n, sizeof **time)))
        return sg_fail_memory(err, "times of the stream");
    for (size_t i = 0, u = 0; u < (size_t)d->n_users; u++) {
        const size_t m = (size_t)(t->split->train_end[u] - d->user_offsets[u]);

        memcpy(*time + i, d->timestamp + d->user_offsets[u], m * sizeof **time);
        i += m;
    }
    qsort(*time, *n, sizeof **time, by_value);
    return SG_OK;
}

/* Windows without events, where a second has more of them than a window, do not come to be. */
static sg_status cut_windows(sg_stream *s, const sg_train_data *t, int wanted, sg_error *err)
{
    int64_t *time = NULL;
    size_t n, begin = 0;
    sg_status st = times_of(&time, &n, t, err);

    if (st || n == 0 || !(s->window = sg_alloc_zero((size_t)wanted, sizeof *s->window))) {
        sg_free(time);
        return st ? st
               : n == 0
                   ? sg_fail(err, SG_ERR_USAGE,
                             "%s: expected training events, found none (is the split right?)", t->data->dir)
                   : sg_fail_memory(err, "windows");
    }
    for (int w = 0; w < wanted; w++) {
        size_t end = (size_t)((double)n * (w + 1) / wanted);

        end = w + 1 == wanted ? n : end;
        while (end > begin && end < n && time[end] == time[end - 1])
            end++;
        if (end <= begin)
            continue;
        s->window[s->n++] = (window){.from = time[begin],
                                     .until = end < n ? time[end] : time[n - 1] + 1,
                                     .events = (int64_t)(end - begin)};
        begin = end;
    }
    sg_free(time);
    return SG_OK;
}

/* The first training event of user u that is not before `time`. */
static int64_t first_from(const sg_train_data *t, int32_t u, int64_t time)
{
    int64_t begin = t->data->user_offsets[u], end = t->split->train_end[u];

    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;

        if (t->data->timestamp[middle] < time)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* s->data as a model may know it that has yet to see the window, and its questions. */
static sg_status ask_window(sg_stream *s, const sg_train_data *t, const window *w, sg_error *err)
{
    const sg_dataset *d = t->data;
    size_t n = 0;

    for (int32_t u = 0; u < d->n_users; u++)
        s->split.train_end[u] = first_from(t, u, w->from);
    sg_free(s->split.test);
    if (!(s->split.test = sg_alloc_array((size_t)w->events, sizeof *s->split.test)))
        return sg_fail_memory(err, "questions of the stream");
    for (int32_t u = 0; u < d->n_users; u++) {
        const int64_t begin = d->user_offsets[u], until = first_from(t, u, w->until);

        for (int64_t e = s->split.train_end[u]; e < until; e++)
            if (e > begin)
                s->split.test[n++] =
                    (sg_case){.user = u, .begin = begin, .end = e, .target_begin = e, .target_end = e + 1};
    }
    s->split.n_test = n;
    s->data.learned = NULL;
    return SG_OK;
}

/* s->data as it is to be learned from at the end of the window. */
static void teach_window(sg_stream *s, const sg_train_data *t, const window *w)
{
    for (int32_t u = 0; u < t->data->n_users; u++) {
        s->learned[u] = first_from(t, u, w->from);
        s->split.train_end[u] = first_from(t, u, w->until);
    }
    s->split.n_test = 0;
    s->data.learned = s->learned;
}

static sg_status examples_of(sg_loop *l, const window *w, sg_error *err)
{
    sg_status st;

    teach_window(l->stream, l->data, w);
    if ((st = l->m->class->examples(l->m, &l->stream->data, &l->n, err)))
        return st;
    if (l->n > UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected at most 2^32 - 1 examples in a window, found %zu",
                       l->data->data->dir, l->n);
    l->n_most = l->n > l->n_most ? l->n : l->n_most;
    l->per_epoch = (int64_t)sg_pieces(l->n, (size_t)l->spec->config.batch);
    return SG_OK;
}

sg_status sg_stream_plan(sg_loop *l, sg_error *err)
{
    const sg_train_data *t = l->data;
    sg_stream *s;
    sg_status st;

    if (!t->data->timestamp)
        return sg_fail(err, SG_ERR_USAGE, "stream: expected timestamps, %s has none", t->data->name);
    if (!(s = l->stream = sg_alloc_zero(1, sizeof *s)) ||
        !(s->split.train_end = sg_alloc_array((size_t)t->data->n_users, sizeof *s->split.train_end)) ||
        !(s->learned = sg_alloc_array((size_t)t->data->n_users, sizeof *s->learned)))
        return sg_fail_memory(err, "stream");
    s->data = *t;
    s->data.split = &s->split;
    s->split.spec.text = t->split->spec.text; /* borrowed */
    if ((st = cut_windows(s, t, l->spec->config.stream, err)))
        return st;
    for (int w = 0; w < s->n; w++) {
        if ((st = examples_of(l, &s->window[w], err)))
            return st;
        s->window[w].first = l->total;
        s->window[w].steps = l->per_epoch;
        l->total += l->per_epoch;
    }
    if (l->total == 0)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected users with at least two training events, found none",
                       t->data->dir);
    return SG_OK;
}

/* ---- the pass ---------------------------------------------------------------------------------------------- */

static int count_lines(const sg_buf *log)
{
    int n = 0;

    for (size_t i = 0; i < log->size; i++)
        n += log->data[i] == '\n';
    return n;
}

static double mean_loss(const sg_loop *l)
{
    return l->state.loss_n ? l->state.loss_sum / (double)l->state.loss_n : 0;
}

/* A line of training.jsonl: what the model so far says of window number i. */
static sg_status predict(sg_loop *l, int i, sg_error *err)
{
    sg_stream *s = l->stream;
    const window *w = &s->window[i];
    const char *const *name = sg_eval_select_names(l->m);
    const bool rank = l->m->class->rank != NULL;
    json_t *line = NULL;
    char *text = NULL;
    double main[2] = {0};
    size_t unused;
    sg_status st;

    if ((st = ask_window(s, l->data, w, err)) ||
        (st = l->m->class->examples(l->m, &s->data, &unused,
                                    err))) /* what a model counts beside its weights is of the past, too */
        return st;
    line = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "step", (json_int_t)l->state.step, "window",
                     (json_int_t)i, "from", (json_int_t)w->from, "until", (json_int_t)w->until, "events",
                     (json_int_t)w->events, "asked", (json_int_t)s->split.n_test, "loss", mean_loss(l), "lr",
                     sg_loop_rate(l));
    if (!line) {
        st = sg_fail_memory(err, "training log");
        goto done;
    }
    if (s->split.n_test && (st = sg_eval_window(line, main, l->m, &s->data, l->spec->config.valid_users,
                                                l->spec->seed, l->pool, err)))
        goto done;
    if (s->split.n_test &&
        ((st = sg_receipt_put(line, rank ? "auc" : "ndcg10", sg_receipt_number(main[0]), err)) ||
         (st = sg_receipt_put(line, rank ? "ne" : "recall10", sg_receipt_number(main[1]), err))))
        goto done;
    if ((st = sg_receipt_put(line, "seconds", json_real(round(sg_loop_seconds(l) * 100) / 100), err)))
        goto done;
    if ((text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(7))))
        sg_buf_printf(&l->state.log, "%s\n", text);
    if (!text || l->state.log.failed) {
        st = sg_fail_memory(err, "training log");
        goto done;
    }
    st = sg_progress_say(l->progress, err, "train", "window %d of %d: %zu asked, %s %s, %s %s", i + 1, s->n,
                         s->split.n_test, name[0], sg_loop_number(main[0], 4, "-").text, name[1],
                         sg_loop_number(main[1], 4, "-").text);
done:
    free(text);
    json_decref(line);
    return st;
}

static sg_status learn(sg_loop *l, int i, sg_error *err)
{
    const window *w = &l->stream->window[i];
    sg_status st;

    if ((st = examples_of(l, w, err)))
        return st;
    if (l->state.step == w->first) {
        l->state.loss_sum = 0;
        l->state.loss_n = 0;
    }
    while (l->state.step < w->first + w->steps && !sg_loop_over(l))
        if ((st = sg_loop_step(l, i, w->first, err)))
            return sg_loop_stopped(l, st);
    return SG_OK;
}

/* ---- the report -------------------------------------------------------------------------------------------- */

/* sum += weight times every number in x; objects inside objects likewise. */
static int add_numbers(json_t *sum, const json_t *x, double weight)
{
    const char *key;
    json_t *value;
    int failed = 0;

    json_object_foreach((json_t *)(uintptr_t)x, key, value)
    {
        json_t *have = json_object_get(sum, key);

        if (json_is_object(value)) {
            if (!have) {
                failed |= json_object_set_new(sum, key, json_object());
                have = json_object_get(sum, key);
            }
            failed |= !have || add_numbers(have, value, weight);
        } else if (json_is_number(value)) {
            failed |= json_object_set_new(
                sum, key, json_real(json_number_value(have) + weight * json_number_value(value)));
        }
    }
    return failed;
}

/* Means over the windows after the first, weighted by what was asked: the first is asked of a model that has learned nothing. */
static sg_status put_mean(json_t *out, const json_t *windows, sg_error *err)
{
    static const char *const parts[] = {"metrics", "floors", "ranking"};
    const json_t *w;
    double all = 0;
    size_t i;
    sg_status st;

    json_array_foreach(windows, i, w) all += i ? json_number_value(json_object_get(w, "asked")) : 0;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        json_t *mean;

        if (!json_object_get(json_array_get(windows, json_array_size(windows) - 1), parts[p]))
            continue;
        if ((st = sg_receipt_object(&mean, out, parts[p], err)))
            return st;
        json_array_foreach(windows, i,
                           w) if (i && add_numbers(mean, json_object_get(w, parts[p]),
                                                   json_number_value(json_object_get(w, "asked")) /
                                                       all)) return sg_fail_memory(err, "training report");
    }
    return SG_OK;
}

static sg_status read_lines(json_t *out, const sg_buf *log, sg_error *err)
{
    for (const char *at = log->data, *end = log->size ? at + log->size : at; at < end;) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        json_t *line = json_loadb(at, (size_t)((next ? next : end) - at), 0, NULL);

        if (!line || json_array_append_new(out, line))
            return sg_fail_memory(err, "training report");
        at = next ? next + 1 : end;
    }
    return SG_OK;
}

/* {"windows": [...], "mean": {...}} */
static sg_status windows_of(json_t **windows, json_t *out, const sg_loop *l, sg_error *err)
{
    json_t *mean;
    sg_status st;

    if ((st = sg_receipt_put(out, "windows", *windows = json_array(), err)) ||
        (st = read_lines(*windows, &l->state.log, err)) || (st = sg_receipt_object(&mean, out, "mean", err)))
        return st;
    return put_mean(mean, *windows, err);
}

sg_status sg_stream_report(const sg_loop *l, json_t *report, sg_error *err)
{
    json_t *all, *windows;
    sg_status st;

    if (!l->stream)
        return SG_OK;
    json_object_del(report, "best_valid"); /* nothing was chosen */
    json_object_del(report, "best_step");
    json_object_del(report, "epochs");
    if ((st = sg_receipt_object(&all, report, "stream", err)))
        return st;
    return windows_of(&windows, all, l, err);
}

/* The same in the model's receipt, of each window what it was asked and the two main numbers. */
static sg_status put_receipt(sg_loop *l, sg_error *err)
{
    static const char *const keep[] = {"from", "until", "asked", "ndcg10", "recall10", "auc", "ne"};
    json_t *all, *windows, *line;
    size_t i;
    sg_status st;

    if ((st = sg_receipt_object(&all, l->m->receipt, "stream", err)) ||
        (st = windows_of(&windows, all, l, err)))
        return st;
    json_array_foreach(windows, i, line)
    {
        json_t *brief = json_object();

        for (size_t k = 0; k < sizeof keep / sizeof *keep; k++)
            if (json_object_get(line, keep[k]))
                json_object_set(brief, keep[k], json_object_get(line, keep[k]));
        if (json_array_set_new(windows, i, brief))
            return sg_fail_memory(err, "receipt");
    }
    return SG_OK;
}

/* ---- the pass, put together ---------------------------------------------------------------------------------- */

sg_status sg_stream_run(sg_loop *l, sg_error *err)
{
    const int n = l->stream->n, asked = count_lines(&l->state.log);
    sg_status st = SG_OK;

    for (int i = asked > 0 ? asked - 1 : 0; i < n && !sg_loop_over(l);
         i++) { /* a run that was stopped was in the window it had asked */
        if ((i >= asked && (st = predict(l, i, err))) || (st = learn(l, i, err)) ||
            (st = sg_loop_checkpoint(l, err)))
            return st;
    }
    sg_loop_remember(l, (const double[]){0, 0}); /* what is kept is what has learned everything */
    return put_receipt(l, err);
}
