/* hstu_rank_ask.c - candidates after a history: what a session keeps of it from request to request, and what is asked of that. */
#include "models/hstu_rank_parts.h"

#include "base/alloc.h"
#include "models/past.h"

#include <math.h>
#include <string.h>

enum { MICROBATCH = 512 };

/* ---- the history --------------------------------------------------------------------------------------- */

void sg_hstu_rank_session_fini(sg_session *session)
{
    hstu_rank_reader *r = session->state;

    if (r->cache.stack)
        sg_hstu_cache_free(&r->cache);
    sg_free(r->item);
    sg_free(r->action);
    sg_free(r->time);
    sg_free(r->at);
    sg_free(r->last);
    *r = (hstu_rank_reader){0};
}

static sg_status start_reading(sg_session *session, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    hstu_rank_reader *r = session->state;
    sg_status st;

    if (r->last)
        return SG_OK;
    sg_hstu_rank_session_fini(session); /* of a start that ran out of memory */
    if ((st = sg_hstu_cache_new(&r->cache, &s->stack, 2 * c->length + (c->series ? SG_SLOW_MOST : 0), err)))
        return st;
    r->at = sg_alloc_zero((size_t)c->length + 1, sizeof *r->at);
    r->item = sg_alloc_array((size_t)c->length, sizeof *r->item);
    r->action = sg_alloc_array((size_t)c->length, sizeof *r->action);
    r->time = sg_alloc_array((size_t)c->length + 1, sizeof *r->time);
    if (!r->at || !r->item || !r->action || !r->time ||
        !(r->last = sg_alloc_zero((size_t)c->dim, sizeof *r->last)))
        return sg_fail_memory(err, "history of the session");
    return SG_OK;
}

/* How many events of the history, from event `begin`, the cache holds already. */
static int kept(const hstu_rank_reader *r, const hstu_rank_config *c, const sg_histories *h, int64_t begin,
                int n)
{
    int i = 0;

    for (int64_t last = INT64_MIN; i < n && i < r->n; i++) {
        const int64_t time = h->timestamp ? h->timestamp[begin + i] : 0;

        last = i && time < last ? last : time; /* times that fall are raised to the one before */
        if (r->item[i] != h->item[begin + i] ||
            r->action[i] != sg_hstu_rank_action(c, h->action, h->rating, begin + i) || r->time[i] != last)
            break;
    }
    return i;
}

/* The tokens of events from..n - 1 and what stands before them and at n, into the arrays; how many, and *acted: the last action. */
typedef struct fresh {
    int32_t *item, *action, *slow, *place;
    int64_t *time;
    int n, acted;
} fresh;

static void put_token(fresh *f, const hstu_rank_reader *r, int32_t item, int32_t action, int32_t slow,
                      int64_t time)
{
    f->item[f->n] = item;
    f->action[f->n] = action;
    f->slow[f->n] = slow;
    f->place[f->n] = r->cache.n + f->n;
    f->time[f->n++] = time;
}

static void put_slow(fresh *f, const hstu_rank_reader *r, const hstu_rank_config *c, int slot)
{
    for (int k = 0; k < r->slow.n; k++)
        if (r->slow.before[k] == slot)
            put_token(f, r, -1, -1, r->slow.value[k] % c->series, r->time[slot]);
}

/* Events r->n .. n - 1 of the history after what the cache holds; times are in r->time already. */
static sg_status append(sg_session *session, const sg_histories *h, int64_t begin, int n, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    hstu_rank_reader *r = session->state;
    sg_graph *g = session->graph;
    const size_t most = 2 * (size_t)(n - r->n) + (size_t)r->slow.n;
    sg_status st;

    sg_graph_begin(g, SG_INFER, 0, 0);
    fresh f = {.item = sg_scratch(g, most, sizeof *f.item),
               .action = sg_scratch(g, most, sizeof *f.action),
               .slow = sg_scratch(g, most, sizeof *f.slow),
               .place = sg_scratch(g, most, sizeof *f.place),
               .time = sg_scratch(g, most, sizeof *f.time),
               .acted = -1};
    if (!f.item || !f.action || !f.slow || !f.place || !f.time)
        return sg_graph_status(g, err);
    for (int i = r->n; i < n; i++) {
        r->at[i] = r->cache.n + f.n;
        put_slow(&f, r, c, i);
        r->item[i] = h->item[begin + i];
        r->action[i] = sg_hstu_rank_action(c, h->action, h->rating, begin + i);
        put_token(&f, r, r->item[i], sg_hstu_rank_shown(c), -1, r->time[i]);
        f.acted = f.n;
        put_token(&f, r, c->action_item ? r->item[i] : -1, r->action[i], -1, r->time[i]);
    }
    r->at[n] = r->cache.n + f.n;
    put_slow(&f, r, c, n);
    if (f.n == 0) {
        r->n = n;
        return SG_OK;
    }
    const sg_tensor *x = sg_hstu_cache_append(
        g, &r->cache, sg_hstu_rank_embed(g, s, f.item, f.action, f.slow, f.place, f.n), f.time, NULL);
    if ((st = sg_graph_status(g, err))) {
        sg_hstu_cache_cut(&r->cache, r->n = 0); /* r->last is not that of the events that were left */
        r->slow.n = 0;
        return st;
    }
    r->n = n;
    if (f.acted >= 0)
        memcpy(r->last, x->data + (size_t)f.acted * (size_t)c->dim, (size_t)c->dim * sizeof *r->last);
    return SG_OK;
}

/* Times of the history as the layers see them, never falling, and of the request behind them. */
static void read_times(hstu_rank_reader *r, const sg_histories *h, int row, int64_t begin, int n)
{
    for (int i = 0; i < n; i++) {
        r->time[i] = h->timestamp ? h->timestamp[begin + i] : 0;
        if (i && r->time[i] < r->time[i - 1])
            r->time[i] = r->time[i - 1];
    }
    r->time[n] = h->now ? h->now[row] : n ? r->time[n - 1] : 0;
    if (n && r->time[n] < r->time[n - 1])
        r->time[n] = r->time[n - 1];
}

/* What is known of the user at each event and at the request, into the session; how many of the first `same` events it stands before as
 * it did: the cache is good up to there. */
static int know(sg_session *session, const sg_histories *h, int row, int n, int same)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    hstu_rank_reader *r = session->state;
    const hstu_rank_known old = r->slow;
    int i = 0;

    if (!c->series)
        return same;
    r->slow.n = sg_slow_merge(r->slow.value, r->slow.before, &s->series, session->model->n_users,
                              h->user ? h->user[row] : -1, h->timestamp ? r->time : NULL, n + 1);
    while (i < old.n && i < r->slow.n && old.value[i] == r->slow.value[i] &&
           old.before[i] == r->slow.before[i])
        i++;
    if (i < old.n && old.before[i] < same)
        same = old.before[i];
    if (i < r->slow.n && r->slow.before[i] < same)
        same = r->slow.before[i];
    return same;
}

/* Leaves history i of h in the session's cache. */
static sg_status read_history(sg_session *session, const sg_histories *h, int i, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    hstu_rank_reader *r = session->state;
    const int64_t begin = sg_window_begin(h, i, c->length, c->length / 8 > 0 ? c->length / 8 : 1);
    const int n = (int)(h->offsets[i + 1] - begin);
    sg_status st;

    if (!h->timestamp && sg_hstu_knows_time(&s->stack))
        return sg_fail(err, SG_ERR_USAGE,
                       "hstu-rank: this model learned from times: expected histories with timestamps");
    if ((st = start_reading(session, err)))
        return st;
    int same = kept(r, c, h, begin, n);
    read_times(r, h, i, begin, n);
    same = know(session, h, i, n, same);
    if (same == n && r->n > n && n > 0)
        same--; /* only the state of the last action of all is kept */
    sg_hstu_cache_cut(&r->cache,
                      r->at[same]); /* what stood before the candidates, too: they may come at another time */
    r->n = same;
    if (n == 0)
        memset(r->last, 0, (size_t)c->dim * sizeof *r->last);
    return append(session, h, begin, n, err);
}

/* ---- the candidates ------------------------------------------------------------------------------------ */

/* Logits of n candidates after the history in the cache, in the graph until its next begin. */
static sg_tensor *ask(sg_session *session, const int32_t *item, int n, int64_t now)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    const size_t tasks = (size_t)sg_hstu_rank_tasks(session->model);
    hstu_rank_reader *r = session->state;
    sg_graph *g = session->graph;

    sg_graph_begin(g, SG_INFER, 0, 0);
    int32_t *place = sg_scratch(g, (size_t)n, sizeof *place), *kind = sg_scratch(g, (size_t)n, sizeof *kind);
    hstu_rank_priors prior;
    if (!place || !kind || !sg_hstu_rank_priors_take(&prior, g, (size_t)n, tasks))
        return NULL;
    for (int i = 0; i < n; i++) {
        place[i] = c->target_aware ? r->cache.n : 0;
        kind[i] = sg_hstu_rank_shown(c);
        sg_hstu_rank_priors_set(&prior, (size_t)i, tasks,
                                s->prior ? s->prior + (size_t)item[i] * tasks * SG_RATE : NULL);
    }
    sg_tensor *at =
        c->target_aware
            ? sg_hstu_cache_ask(g, &r->cache, sg_hstu_rank_embed(g, s, item, kind, NULL, place, n), now)
            : sg_rows(g, sg_input(g, r->last, 2, (int[]){1, c->dim}), place, n);

    return sg_hstu_rank_logits(g, session->model, at, item, n, &prior);
}

static int64_t request_time(const hstu_rank_reader *r, const sg_histories *h, int i)
{
    const int64_t last = r->n ? r->time[r->n - 1] : 0;

    return h->now ? h->now[i] : last;
}

sg_status sg_hstu_rank_rank(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *p,
                            sg_error *err)
{
    const size_t tasks = (size_t)sg_hstu_rank_tasks(session->model);
    sg_status st = read_history(session, h, 0, err);

    for (int first = 0; !st && first < n; first += MICROBATCH) {
        const int m = n - first < MICROBATCH ? n - first : MICROBATCH;
        const sg_tensor *y = ask(session, item + first, m, request_time(session->state, h, 0));

        if ((st = sg_graph_status(session->graph, err)))
            break;
        for (size_t j = 0; j < (size_t)m * tasks; j++)
            p[(size_t)first * tasks + j] = 1 / (1 + expf(-y->data[j]));
    }
    return st;
}

/* Logits of task `goal` of every item. */
static sg_status score_by_goal(sg_session *session, int64_t now, float *scores, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const int32_t n_items = session->model->n_items;
    const size_t tasks = (size_t)sg_hstu_rank_tasks(session->model);
    int32_t item[MICROBATCH];
    sg_status st = SG_OK;

    for (int32_t first = 0; !st && first < n_items; first += MICROBATCH) {
        const int n = n_items - first < MICROBATCH ? n_items - first : MICROBATCH;

        for (int i = 0; i < n; i++)
            item[i] = first + i;
        const sg_tensor *y = ask(session, item, n, now);
        if ((st = sg_graph_status(session->graph, err)))
            break;
        for (int i = 0; i < n; i++)
            scores[first + i] = y->data[(size_t)i * tasks + (size_t)c->goal];
    }
    return st;
}

sg_status sg_hstu_rank_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    hstu_rank_reader *r = session->state;
    sg_graph *g = session->graph;
    sg_status st = SG_OK;

    for (int i = 0; !st && i < h->n; i++, scores += session->model->n_items) {
        if ((st = read_history(session, h, i, err)))
            break;
        if (c->retrieval > 0) {
            sg_graph_begin(g, SG_INFER, 0, 0);
            st = sg_item_scores(session, sg_input(g, r->last, 2, (int[]){1, c->dim}), s->item, NULL, true,
                                scores, err);
        } else {
            st = score_by_goal(session, request_time(r, h, i), scores, err);
        }
    }
    return st;
}
