/* ranks.c - asks a model for every case, in batches, and keeps ranks only. */
#include "eval/ranks.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const sg_filter_names[2] = {"unfiltered", "filtered"};

enum { BATCH = 256, SCORES_MAX = 1 << 24 };

void sg_ranks_free(sg_ranks *r)
{
    sg_free(r->cases);
    sg_free(r->offsets);
    sg_free(r->item);
    sg_free(r->rank[0]);
    sg_free(r->rank[1]);
    *r = (sg_ranks){0};
}

/* ---- which cases ---- */

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* *cold, owned by the caller: (n_items) 1 = no training event shows it. */
static sg_status find_cold(uint8_t **cold, const sg_train_data *t, sg_error *err)
{
    const sg_dataset *d = t->data;

    if (!(*cold = sg_alloc_array((size_t)d->n_items, 1)))
        return sg_fail_memory(err, "items");
    memset(*cold, 1, (size_t)d->n_items);
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < t->split->train_end[u]; e++)
            (*cold)[d->item[e]] = 0;
    return SG_OK;
}

/* Those of the cases of which every target is cold, in their order. */
static size_t keep_cold(const sg_case **cases, size_t n, const sg_dataset *d, const uint8_t *cold)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        bool all = true;

        for (int64_t e = cases[i]->target_begin; e < cases[i]->target_end; e++)
            all = all && cold[d->item[e]];
        if (all)
            cases[kept++] = cases[i];
    }
    return kept;
}

sg_status sg_ranks_choose(sg_ranks *r, const sg_train_data *t, const sg_eval_spec *spec, sg_error *err)
{
    const sg_split *s = t->split;
    const sg_case *all = spec->test ? s->test : s->valid;
    size_t n = spec->test ? s->n_test : s->n_valid;
    uint32_t *order = NULL;
    uint8_t *cold;
    sg_status st;

    if (n == 0 || n > UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "%s split: expected cases from 1 to 2^32 - 1, found %zu",
                       spec->test ? "test" : "valid", n);
    if (!(r->cases = sg_alloc_array(n, sizeof *r->cases)))
        return sg_fail_memory(err, "cases");
    for (size_t i = 0; i < n; i++)
        r->cases[i] = &all[i];
    if (spec->cold) {
        if ((st = find_cold(&cold, t, err)))
            return st;
        n = keep_cold(r->cases, n, t->data, cold);
        sg_free(cold);
        if (n == 0)
            return sg_fail(err, SG_ERR_USAGE,
                           "%s split: expected cases whose targets have no training event, found none",
                           spec->test ? "test" : "valid");
    }
    r->n = spec->users_max > 0 && (uint64_t)spec->users_max < n ? (size_t)spec->users_max : n;
    if (r->n < n) {
        if (!(order = sg_alloc_array(n, sizeof *order)))
            return sg_fail_memory(err, "cases");
        sg_rng_permutation(order, (uint32_t)n, spec->seed, SG_RNG_SAMPLE, 0);
        qsort(order, r->n, sizeof *order, by_number);
        for (size_t i = 0; i < r->n; i++) /* ascending: none is overwritten before it is read */
            r->cases[i] = r->cases[order[i]];
        sg_free(order);
    }
    return SG_OK;
}

/* Targets as sets: an item asked for twice counts once. */
static sg_status collect_targets(sg_ranks *r, const sg_dataset *d, const bool want[2], sg_error *err)
{
    size_t most = 0;

    for (size_t i = 0; i < r->n; i++)
        most += (size_t)(r->cases[i]->target_end - r->cases[i]->target_begin);
    r->offsets = sg_alloc_array(r->n + 1, sizeof *r->offsets);
    r->item = sg_alloc_array(most, sizeof *r->item);
    for (int f = 0; f < 2; f++)
        if (want[f] && !(r->rank[f] = sg_alloc_zero(most, sizeof *r->rank[f])))
            return sg_fail_memory(err, "ranks");
    if (!r->offsets || !r->item)
        return sg_fail_memory(err, "targets");
    r->offsets[0] = 0;
    for (size_t i = 0; i < r->n; i++) {
        const int64_t first = r->offsets[i];
        int64_t n = first;

        for (int64_t e = r->cases[i]->target_begin; e < r->cases[i]->target_end; e++) {
            bool again = false;

            for (int64_t j = first; j < n && !again; j++)
                again = r->item[j] == d->item[e];
            if (!again)
                r->item[n++] = d->item[e];
        }
        r->offsets[i + 1] = n;
    }
    r->n_target = (size_t)r->offsets[r->n];
    return SG_OK;
}

/* ---- one batch ---- */

typedef struct batch {
    const sg_ranks_spec *spec;
    const sg_train_data *data;
    sg_session *session;
    sg_ranks *ranks;
    size_t first; /* case */
    sg_histories h;
    int64_t *offsets; /* owned, behind h */
    int32_t *item, *user;
    int64_t *timestamp, *now;
    int32_t *action;
    float *rating;
    size_t cap_item, cap_timestamp, cap_action, cap_rating;
    uint8_t *allow;   /* owned (n_items) candidates; NULL: all */
    float *scores;    /* owned (rows, n_items); NULL when ranked by lists */
    int32_t *list[2]; /* owned (rows, k), NULL when not wanted */
    float *list_score[2];
    sg_rank_target **target; /* owned: scratch, one a thread */
    int32_t **longer;        /* owned: scratch, one a thread: a list long enough to survive the filter */
    float **longer_score;
    int threads;
    uint8_t *bad; /* owned (rows): a score was NaN */
} batch;

static void batch_free(batch *b)
{
    sg_session_free(b->session);
    sg_free(b->offsets);
    sg_free(b->item);
    sg_free(b->user);
    sg_free(b->timestamp);
    sg_free(b->now);
    sg_free(b->action);
    sg_free(b->rating);
    sg_free(b->allow);
    sg_free(b->scores);
    for (int f = 0; f < 2; f++) {
        sg_free(b->list[f]);
        sg_free(b->list_score[f]);
    }
    for (int i = 0; i < b->threads; i++) {
        if (b->target)
            sg_free(b->target[i]);
        if (b->longer)
            sg_free(b->longer[i]);
        if (b->longer_score)
            sg_free(b->longer_score[i]);
    }
    sg_free(b->target);
    sg_free(b->longer);
    sg_free(b->longer_score);
    sg_free(b->bad);
}

static bool by_score(const sg_model *m, const sg_eval_spec *spec)
{
    return m->class->score && (spec->exact || !m->class->recommend);
}

static sg_status batch_new(batch *b, const sg_model *m, size_t rows, sg_pool *pool, sg_error *err)
{
    const bool scored = by_score(m, b->spec->eval), lists = b->spec->lists || !scored;
    const size_t n_items = (size_t)m->n_items, k = (size_t)b->spec->k;
    size_t most = 1, history = 0;
    sg_status st;

    if ((st = sg_session_new(&b->session, m, pool, err)))
        return st;
    b->session->beam = b->spec->eval->beam;
    b->session->plain = b->spec->eval->plain;
    for (size_t i = 0; i < b->ranks->n; i++) {
        const size_t n = (size_t)(b->ranks->offsets[i + 1] - b->ranks->offsets[i]);

        most = n > most ? n : most;
        if (b->ranks->cases[i]->end - b->ranks->cases[i]->begin > (int64_t)history)
            history = (size_t)(b->ranks->cases[i]->end - b->ranks->cases[i]->begin);
    }
    b->threads = sg_pool_threads(pool);
    b->offsets = sg_alloc_array(rows + 1, sizeof *b->offsets);
    b->user = sg_alloc_array(rows, sizeof *b->user);
    b->now = sg_alloc_array(rows, sizeof *b->now);
    b->bad = sg_alloc_zero(rows, 1);
    b->target = sg_alloc_zero((size_t)b->threads, sizeof *b->target);
    b->longer = sg_alloc_zero((size_t)b->threads, sizeof *b->longer);
    b->longer_score = sg_alloc_zero((size_t)b->threads, sizeof *b->longer_score);
    if (!b->offsets || !b->user || !b->now || !b->bad || !b->target || !b->longer || !b->longer_score)
        return sg_fail_memory(err, "evaluation batch");
    for (int i = 0; i < b->threads; i++)
        if (!(b->target[i] = sg_alloc_array(most, sizeof **b->target)) ||
            !(b->longer[i] = sg_alloc_array(k + history, sizeof **b->longer)) ||
            !(b->longer_score[i] = sg_alloc_array(k + history, sizeof **b->longer_score)))
            return sg_fail_memory(err, "evaluation batch");
    if (scored && !(b->scores = sg_alloc_array(rows, n_items * sizeof *b->scores)))
        return sg_fail_memory(err, "scores");
    for (int f = 0; lists && f < 2; f++)
        if (b->spec->want[f] && (!(b->list[f] = sg_alloc_array(rows, k * sizeof *b->list[f])) ||
                                 !(b->list_score[f] = sg_alloc_array(rows, k * sizeof *b->list_score[f]))))
            return sg_fail_memory(err, "lists");
    return SG_OK;
}

/* The histories of cases first .. first + n - 1, one after the other. A request comes when its first target happens: that much of
 * the target is known whenever somebody asks. */
static sg_status fill_batch(batch *b, size_t first, size_t n, sg_error *err)
{
    const sg_dataset *d = b->data->data;
    size_t events = 0;

    for (size_t i = 0; i < n; i++) {
        const sg_case *c = b->ranks->cases[first + i];
        const size_t len = (size_t)(c->end - c->begin);

        b->offsets[i] = (int64_t)events;
        b->user[i] = c->user;
        b->now[i] = d->timestamp ? d->timestamp[c->target_begin] : 0;
        if (!sg_grow(&b->item, &b->cap_item, events + len + 1, sizeof *b->item) ||
            (d->timestamp &&
             !sg_grow(&b->timestamp, &b->cap_timestamp, events + len + 1, sizeof *b->timestamp)) ||
            (d->action && !sg_grow(&b->action, &b->cap_action, events + len + 1, sizeof *b->action)) ||
            (d->rating && !sg_grow(&b->rating, &b->cap_rating, events + len + 1, sizeof *b->rating)))
            return sg_fail_memory(err, "histories");
        if (len)
            memcpy(b->item + events, d->item + c->begin, len * sizeof *b->item);
        if (d->timestamp && len)
            memcpy(b->timestamp + events, d->timestamp + c->begin, len * sizeof *b->timestamp);
        if (d->action && len)
            memcpy(b->action + events, d->action + c->begin, len * sizeof *b->action);
        if (d->rating && len)
            memcpy(b->rating + events, d->rating + c->begin, len * sizeof *b->rating);
        events += len;
    }
    b->offsets[n] = (int64_t)events;
    b->first = first;
    b->h = (sg_histories){.n = (int)n,
                          .offsets = b->offsets,
                          .item = b->item,
                          .timestamp = d->timestamp ? b->timestamp : NULL,
                          .user = b->user,
                          .now = d->timestamp ? b->now : NULL,
                          .action = d->action ? b->action : NULL,
                          .rating = d->rating ? b->rating : NULL};
    return SG_OK;
}

static void put_ranks(const batch *b, size_t row, int filter, const sg_rank_target *t, int n)
{
    int32_t *rank = b->ranks->rank[filter] + b->ranks->offsets[b->first + row];

    for (int i = 0; i < n; i++)
        rank[i] = t[i].rank;
}

/* The list of one filter from the longer one; score -inf: taken out since. */
static void make_list(const batch *b, size_t row, int filter, const int32_t *item, const float *value,
                      size_t found, const float *score)
{
    const size_t k = (size_t)b->spec->k;
    size_t n = 0;

    for (size_t i = 0; i < found && n < k; i++)
        if (score[item[i]] > -INFINITY) {
            b->list[filter][row * k + n] = item[i];
            b->list_score[filter][row * k + n++] = value[i];
        }
    for (; n < k; n++)
        b->list[filter][row * k + n] = -1;
}

static void rank_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    batch *b = ctx;
    const size_t n_items = (size_t)b->session->model->n_items;
    sg_rank_target *t = b->target[thread];
    int32_t *item = b->longer[thread];
    float *value = b->longer_score[thread];

    for (size_t row = begin; row < end; row++) {
        const int64_t first = b->ranks->offsets[b->first + row];
        const int n = (int)(b->ranks->offsets[b->first + row + 1] - first);
        const int32_t *seen = b->h.item + b->h.offsets[row];
        const int64_t n_seen = b->h.offsets[row + 1] - b->h.offsets[row];
        const sg_rank_spec spec = {b->spec->eval->ties, b->spec->eval->seed,
                                   (uint64_t)b->ranks->cases[b->first + row]->target_begin};
        float *score = b->scores + row * n_items;
        size_t found = 0;

        for (int i = 0; i < n; i++)
            t[i].item = b->ranks->item[first + i];
        for (size_t i = 0; b->allow && i < n_items; i++)
            if (!b->allow[i])
                score[i] = -INFINITY;
        if (!sg_rank_all(t, n, score, (int32_t)n_items, &spec)) {
            b->bad[row] = 1;
            continue;
        }
        /* The best k + |history| hold the best k that are not in the history: one selection makes both
         * lists. */
        if (b->spec->lists)
            found = sg_topk(item, value, (size_t)b->spec->k + (b->list[SG_FILTERED] ? (size_t)n_seen : 0),
                            score, n_items);
        if (b->spec->want[SG_UNFILTERED])
            put_ranks(b, row, SG_UNFILTERED, t, n);
        if (b->list[SG_UNFILTERED])
            make_list(b, row, SG_UNFILTERED, item, value, found, score);
        if (!b->spec->want[SG_FILTERED])
            continue;
        sg_rank_unseen(t, n, score, seen, n_seen, &spec);
        put_ranks(b, row, SG_FILTERED, t, n);
        if (b->list[SG_FILTERED])
            make_list(b, row, SG_FILTERED, item, value, found, score);
    }
}

static sg_status rank_by_score(batch *b, sg_pool *pool, sg_error *err)
{
    const sg_model *m = b->session->model;
    sg_status st = m->class->score(b->session, &b->h, b->scores, err);

    if (st)
        return st;
    sg_parallel_for(pool, (size_t)b->h.n, 4, rank_rows, b);
    for (int i = 0; i < b->h.n; i++)
        if (b->bad[i])
            return sg_fail(err, SG_ERR_NUMERIC, "%s: a score of case %zu (user number %d) is not a number",
                           m->class->name, b->first + (size_t)i, (int)b->user[i]);
    return SG_OK;
}

static sg_status rank_by_list(batch *b, sg_error *err)
{
    const size_t k = (size_t)b->spec->k;
    sg_status st;

    for (int f = 0; f < 2; f++) {
        const sg_filter filter = {.seen = f == SG_FILTERED, .allow = b->allow};

        if (!b->spec->want[f])
            continue;
        if ((st =
                 sg_session_recommend(b->session, &b->h, &filter, (int)k, b->list[f], b->list_score[f], err)))
            return st;
        for (size_t row = 0; row < (size_t)b->h.n; row++)
            for (int64_t t = b->ranks->offsets[b->first + row]; t < b->ranks->offsets[b->first + row + 1];
                 t++)
                for (size_t p = 0; p < k && !b->ranks->rank[f][t]; p++)
                    if (b->list[f][row * k + p] == b->ranks->item[t])
                        b->ranks->rank[f][t] = (int32_t)p + 1;
    }
    return SG_OK;
}

static sg_status sink_lists(const batch *b, sg_error *err)
{
    const size_t k = (size_t)b->spec->k;
    sg_status st = SG_OK;

    for (size_t row = 0; !st && row < (size_t)b->h.n; row++)
        for (int f = 0; !st && f < 2; f++)
            if (b->list[f])
                st = b->spec->sink(b->spec->sink_ctx, f, b->ranks->cases[b->first + row],
                                   b->list[f] + row * k, b->list_score[f] + row * k, (int)k, err);
    return st;
}

static sg_status check_items(const sg_model *m, const sg_dataset *d, sg_error *err)
{
    if (m->n_items != d->n_items)
        return sg_fail(err, SG_ERR_USAGE, "the model knows %d items, %s has %d: not the same catalogue",
                       (int)m->n_items, d->name, (int)d->n_items);
    for (size_t i = 0; i < (size_t)d->n_items; i++) {
        const sg_bytes a = sg_strings_at(&m->item_ids, i), b = sg_strings_at(&d->item_ids, i);

        if (a.size != b.size || memcmp(a.data, b.data, a.size) != 0)
            return sg_fail(err, SG_ERR_USAGE,
                           "item %zu is '%.*s' in the model and '%.*s' in %s: not the same catalogue", i,
                           (int)(a.size < 80 ? a.size : 80), a.data, (int)(b.size < 80 ? b.size : 80), b.data,
                           d->name);
    }
    return SG_OK;
}

sg_status sg_ranks_run(sg_ranks *out, const sg_model *m, const sg_train_data *t, const sg_ranks_spec *spec,
                       sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    sg_ranks r = {.ranked_by = by_score(m, spec->eval) ? "score" : "list"};
    batch b = {.spec = spec, .data = t, .ranks = &r};
    size_t rows = spec->eval->batch > 0 ? (size_t)spec->eval->batch : BATCH;
    sg_status st;

    *out = (sg_ranks){0};
    if ((st = check_items(m, t->data, err)) || (st = sg_ranks_choose(&r, t, spec->eval, err)) ||
        (spec->eval->candidates_cold && (st = find_cold(&b.allow, t, err))) ||
        (st = collect_targets(&r, t->data, spec->want, err)))
        goto done;
    while (by_score(m, spec->eval) && rows > 8 && rows * (size_t)m->n_items > SCORES_MAX)
        rows /= 2;
    if (rows > r.n)
        rows = r.n;
    if ((st = batch_new(&b, m, rows, pool, err)))
        goto done;
    for (size_t first = 0; first < r.n; first += rows) {
        const size_t n = r.n - first < rows ? r.n - first : rows;
        const sg_progress_event e = {.stage = spec->stage,
                                     .unit = "users",
                                     .done = (double)(first + n),
                                     .total = (double)r.n,
                                     .loss = (double)NAN};

        if ((st = fill_batch(&b, first, n, err)) ||
            (st = b.scores ? rank_by_score(&b, pool, err) : rank_by_list(&b, err)) ||
            (spec->sink && (st = sink_lists(&b, err))) || (st = sg_progress_tick(progress, &e, err)))
            goto done;
    }
done:
    batch_free(&b);
    if (st)
        sg_ranks_free(&r);
    else
        *out = r;
    return st;
}

sg_metric_values sg_ranks_mean(const sg_ranks *r, int filter, int k)
{
    sg_metric_values sum = {0};

    for (size_t i = 0; i < r->n; i++) {
        const sg_metric_values v =
            sg_metrics_ranks(r->rank[filter] + r->offsets[i], (int)(r->offsets[i + 1] - r->offsets[i]), k);

        sum.recall += v.recall;
        sum.hit += v.hit;
        sum.precision += v.precision;
        sum.ndcg += v.ndcg;
        sum.mrr += v.mrr;
        sum.map += v.map;
    }
    sum.recall /= (double)r->n;
    sum.hit /= (double)r->n;
    sum.precision /= (double)r->n;
    sum.ndcg /= (double)r->n;
    sum.mrr /= (double)r->n;
    sum.map /= (double)r->n;
    return sum;
}
