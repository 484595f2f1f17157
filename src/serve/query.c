/* query.c - from ids to numbers, from numbers to hits; one request or several that may run together. */
#include "serve/query.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

void sg_query_start(sg_query *q, int k, int beam, bool keep_seen)
{
    q->k = k;
    q->beam = beam;
    q->keep_seen = keep_seen;
    q->n_history = q->n_unknown = q->n = 0;
    q->has_time = q->has_allow = false;
    q->action = NULL;
    q->rating = NULL;
    q->user = -1;
    q->past = NULL;
}

void sg_query_free(sg_query *q)
{
    sg_free(q->history);
    sg_free(q->time);
    sg_free(q->allow);
    sg_free(q->item);
    sg_free(q->score);
    *q = (sg_query){0};
}

static sg_status make_room(sg_query *q, size_t more, sg_error *err)
{
    if (!sg_grow(&q->history, &q->cap_history, q->n_history + more, sizeof *q->history) ||
        !sg_grow(&q->time, &q->cap_time, q->n_history + more, sizeof *q->time))
        return sg_fail_memory(err, "history");
    return SG_OK;
}

static void add_item(sg_query *q, int32_t item, int64_t time)
{
    if (item < 0) {
        q->n_unknown++;
        return;
    }
    q->time[q->n_history] = time;
    q->history[q->n_history++] = item;
}

sg_status sg_query_add(sg_query *q, const sg_source *s, sg_bytes item, int64_t time, sg_error *err)
{
    const sg_status st = make_room(q, 1, err);

    q->action = NULL; /* not known of this one */
    q->rating = NULL;
    if (!st)
        add_item(q, sg_source_item(s, item), time);
    return st;
}

sg_status sg_query_add_user(sg_query *q, const sg_source *s, sg_bytes user, sg_error *err)
{
    sg_dataset *d = s->data;
    sg_status st;

    if (!d)
        return sg_fail(err, SG_ERR_USAGE, "user '%.*s': a dataset with the users' histories is needed",
                       (int)user.size, user.data);
    const int32_t u = sg_dataset_user(d, user);

    if (u < 0)
        return sg_fail(err, SG_ERR_MISSING, "user '%.*s' is not in %s", (int)user.size, user.data, d->dir);
    const int64_t begin = d->user_offsets[u], end = d->user_offsets[u + 1];

    if ((st = make_room(q, (size_t)(end - begin), err)))
        return st;
    if (s->model->class->rank && s->same_items && q->n_history == 0) {
        q->action = d->action ? d->action + begin : NULL;
        q->rating = d->rating ? d->rating + begin : NULL;
    }
    for (int64_t e = begin; e < end; e++)
        add_item(q,
                 s->same_items ? d->item[e]
                               : sg_source_item(s, sg_strings_at(&d->item_ids, (size_t)d->item[e])),
                 d->timestamp ? d->timestamp[e] : 0);
    q->has_time = d->timestamp != NULL;
    q->user = s->same_users ? u : -1;
    return SG_OK;
}

sg_status sg_query_filter(sg_query *q, const sg_source *s, bool allowed, sg_error *err)
{
    const size_t n = (size_t)sg_source_items(s);
    const uint8_t *offered = s->view ? s->view->offer.allow : NULL;

    if (!sg_grow(&q->allow, &q->cap_allow, n, 1))
        return sg_fail_memory(err, "filter");
    if (allowed && offered)
        memcpy(q->allow, offered, n);
    else
        memset(q->allow, allowed, n);
    q->has_allow = true;
    return SG_OK;
}

void sg_query_switch(sg_query *q, const sg_source *s, sg_bytes item, bool allowed)
{
    const int32_t i = sg_source_offered(s, item);

    if (i >= 0)
        q->allow[i] = allowed;
}

/* ---- running ---------------------------------------------------------------------------------------- */
sg_histories sg_query_histories(const sg_query *q, int64_t offsets[2])
{
    offsets[0] = 0;
    offsets[1] = (int64_t)q->n_history;
    return (sg_histories){.n = 1,
                          .offsets = offsets,
                          .item = q->history,
                          .timestamp = q->has_time ? q->time : NULL,
                          .user = q->user >= 0 ? &q->user : NULL,
                          .action = q->action,
                          .rating = q->rating,
                          .past = q->past ? &q->past : NULL};
}

static sg_status room_for_hits(sg_query *q, sg_error *err)
{
    if (!sg_grow(&q->item, &q->cap_item, (size_t)q->k, sizeof *q->item) ||
        !sg_grow(&q->score, &q->cap_score, (size_t)q->k, sizeof *q->score))
        return sg_fail_memory(err, "hits");
    return SG_OK;
}

static void count_hits(sg_query *q)
{
    for (q->n = 0; q->n < (size_t)q->k && q->item[q->n] >= 0;)
        q->n++;
}

sg_status sg_query_run(sg_query *q, sg_session *session, sg_error *err)
{
    const sg_filter f = {.seen = !q->keep_seen, .allow = q->has_allow ? q->allow : NULL};
    int64_t offsets[2];
    const sg_histories h = sg_query_histories(q, offsets);
    sg_status st = room_for_hits(q, err);

    session->beam = q->beam;
    if (!st && !(st = sg_session_recommend(session, &h, &f, q->k, q->item, q->score, err)))
        count_hits(q);
    return st;
}

bool sg_query_alike(const sg_query *a, const sg_query *b)
{
    return a->k == b->k && a->beam == b->beam && a->keep_seen == b->keep_seen && a->has_time == b->has_time &&
           !a->past == !b->past && !a->has_allow && !b->has_allow && !a->action && !b->action && !a->rating &&
           !b->rating;
}

void sg_batch_free(sg_batch *b)
{
    sg_free(b->offsets);
    sg_free(b->time);
    sg_free(b->history);
    sg_free(b->user);
    sg_free(b->item);
    sg_free(b->score);
    sg_free(b->past);
    *b = (sg_batch){0};
}

sg_status sg_query_run_batch(sg_query *const *q, int n, sg_batch *b, sg_session *session, sg_error *err)
{
    const size_t rows = (size_t)n, k = (size_t)q[0]->k;
    const sg_filter f = {.seen = !q[0]->keep_seen};
    size_t events = 0, at = 0;
    sg_status st;

    if (n == 1)
        return sg_query_run(q[0], session, err);
    for (int i = 0; i < n; i++) {
        assert(sg_query_alike(q[0], q[i]));
        if ((st = room_for_hits(q[i], err)))
            return st;
        events += q[i]->n_history;
    }
    if (!sg_grow(&b->offsets, &b->cap_offsets, rows + 1, sizeof *b->offsets) ||
        !sg_grow(&b->user, &b->cap_user, rows, sizeof *b->user) ||
        !sg_grow(&b->history, &b->cap_history, events, sizeof *b->history) ||
        !sg_grow(&b->time, &b->cap_time, events, sizeof *b->time) ||
        !sg_grow(&b->item, &b->cap_item, rows * k, sizeof *b->item) ||
        !sg_grow(&b->score, &b->cap_score, rows * k, sizeof *b->score) ||
        !sg_grow(&b->past, &b->cap_past, rows, sizeof *b->past))
        return sg_fail_memory(err, "batch");
    for (size_t i = 0; i < rows; i++) {
        const size_t len = q[i]->n_history;

        b->offsets[i] = (int64_t)at;
        b->user[i] = q[i]->user;
        b->past[i] = q[i]->past;
        if (len) {
            memcpy(b->history + at, q[i]->history, len * sizeof *b->history);
            memcpy(b->time + at, q[i]->time, len * sizeof *b->time);
        }
        at += len;
    }
    b->offsets[rows] = (int64_t)at;
    const sg_histories h = {.n = n,
                            .offsets = b->offsets,
                            .item = b->history,
                            .timestamp = q[0]->has_time ? b->time : NULL,
                            .user = b->user,
                            .past = q[0]->past ? b->past : NULL};

    session->beam = q[0]->beam;
    if ((st = sg_session_recommend(session, &h, &f, q[0]->k, b->item, b->score, err)))
        return st;
    for (size_t i = 0; i < rows; i++) {
        memcpy(q[i]->item, b->item + i * k, k * sizeof *b->item);
        memcpy(q[i]->score, b->score + i * k, k * sizeof *b->score);
        count_hits(q[i]);
    }
    return SG_OK;
}
