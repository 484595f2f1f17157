/* explain.c - leave-one-out scores of given items through the role recommend, so that no model has to know
 * about it.
 *
 * All variants of the history make one batch, and a filter allows nothing but the items asked about: a beam
 * as wide as these reaches every one of them, so scores are exact for generative models too. */
#include "models/explain.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 32 };

typedef struct variants { /* row 0: the whole history; row r: without event first + r - 1 */
    sg_histories h;
    int64_t *offsets, *timestamp, *now;
    int32_t *item, *user, *action;
    float *rating;
    uint8_t *allow;
    int32_t *found; /* (rows, n) */
    float *score;
} variants;

static void variants_free(variants *v)
{
    sg_free(v->offsets);
    sg_free(v->timestamp);
    sg_free(v->now);
    sg_free(v->item);
    sg_free(v->user);
    sg_free(v->action);
    sg_free(v->rating);
    sg_free(v->allow);
    sg_free(v->found);
    sg_free(v->score);
}

static sg_status variants_new(variants *v, const sg_explanation *x, const sg_session *s,
                              const sg_histories *h, const int32_t *item, sg_error *err)
{
    const int64_t begin = h->offsets[0], have = h->offsets[1] - begin;
    const size_t rows = (size_t)x->n_events + 1;
    size_t events, pairs, at = 0;

    *v = (variants){0};
    if (!sg_mul(&events, rows, (size_t)have) || !sg_mul(&pairs, rows, (size_t)x->n) ||
        !(v->offsets = sg_alloc_array(rows + 1, sizeof *v->offsets)) ||
        !(v->timestamp = sg_alloc_array(events, sizeof *v->timestamp)) ||
        !(v->now = sg_alloc_array(rows, sizeof *v->now)) ||
        !(v->item = sg_alloc_array(events, sizeof *v->item)) ||
        !(v->user = sg_alloc_array(rows, sizeof *v->user)) ||
        !(v->action = sg_alloc_array(events, sizeof *v->action)) ||
        !(v->rating = sg_alloc_array(events, sizeof *v->rating)) ||
        !(v->allow = sg_alloc_zero((size_t)sg_session_items(s), 1)) ||
        !(v->found = sg_alloc_array(pairs, sizeof *v->found)) ||
        !(v->score = sg_alloc_array(pairs, sizeof *v->score)))
        return sg_fail_memory(err, "explanation");
    for (size_t r = 0; r < rows; r++) {
        v->offsets[r] = (int64_t)at;
        v->user[r] = h->user ? h->user[0] : -1;
        v->now[r] = h->now ? h->now[0] : 0;
        for (int64_t e = 0; e < have; e++)
            if (r == 0 || e != x->first_event + (int64_t)r - 1) {
                v->timestamp[at] = h->timestamp ? h->timestamp[begin + e] : 0;
                v->action[at] = h->action ? h->action[begin + e] : 0;
                v->rating[at] = h->rating ? h->rating[begin + e] : 0;
                v->item[at++] = h->item[begin + e];
            }
    }
    v->offsets[rows] = (int64_t)at;
    for (int i = 0; i < x->n; i++)
        v->allow[item[i]] = 1;
    v->h = (sg_histories){.n = (int)rows,
                          .offsets = v->offsets,
                          .item = v->item,
                          .timestamp = h->timestamp ? v->timestamp : NULL,
                          .user = h->user ? v->user : NULL,
                          .now = h->now ? v->now : NULL,
                          .action = h->action ? v->action : NULL,
                          .rating = h->rating ? v->rating : NULL};
    return SG_OK;
}

static float score_of(const variants *v, size_t row, int n, int32_t item)
{
    for (int i = 0; i < n; i++)
        if (v->found[row * (size_t)n + (size_t)i] == item)
            return v->score[row * (size_t)n + (size_t)i];
    return -INFINITY;
}

/* ---- order of events: insertion, n is small ------------------------------------------------------------ */

static bool comes_before(const float *effect, int32_t a, int32_t b)
{
    if (isnan(effect[a]) || isnan(effect[b]))
        return isnan(effect[a]) ? isnan(effect[b]) && a > b : true;
    return effect[a] != effect[b] ? effect[a] > effect[b] : a > b;
}

static void sort_events(int32_t *order, const float *effect, int n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t at = i;

        for (; at > 0 && comes_before(effect, i, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static sg_status weigh_events(sg_explanation *x, sg_session *s, const sg_histories *h, const int32_t *item,
                              sg_error *err)
{
    const size_t events = (size_t)x->n_events;
    const bool as_wide = s->as_wide;
    variants v;
    sg_status st = variants_new(&v, x, s, h, item, err);

    s->as_wide = true;
    if (st == SG_OK)
        st = sg_session_recommend(s, &v.h, &(sg_filter){.allow = v.allow}, x->n, v.found, v.score, err);
    s->as_wide = as_wide;
    for (int i = 0; i < x->n && st == SG_OK; i++) {
        float *effect = x->effect + (size_t)i * events;

        x->score[i] = score_of(&v, 0, x->n, item[i]);
        for (size_t e = 0; e < events; e++) {
            const float d = x->score[i] - score_of(&v, e + 1, x->n, item[i]);

            effect[e] = isfinite(d) ? d : NAN;
        }
        sort_events(x->order + (size_t)i * events, effect, x->n_events);
    }
    variants_free(&v);
    return st;
}

static sg_status follow_paths(sg_explanation *x, sg_session *s, const sg_histories *h, const int32_t *item,
                              sg_error *err)
{
    const sg_catalogue *c = sg_session_catalogue(s);

    for (int i = 0; i < x->n; i++) {
        int32_t *codes = x->codes + (size_t)i * (size_t)x->levels, node = 0;

        sg_catalogue_codes(c, item[i], codes);
        for (int l = 0; l < x->levels; l++) {
            int32_t first, last;

            node = sg_catalogue_child(c, l, node, codes[l]);
            sg_catalogue_span(c, l + 1, node, &first, &last);
            x->below[i * x->levels + l] = last - first;
        }
    }
    return x->logp ? s->model->class->path(s, h, item, x->n, x->logp, err) : SG_OK;
}

static sg_status check_request(const sg_session *s, const sg_histories *h, const int32_t *item, int n,
                               sg_error *err)
{
    const int32_t n_items = sg_session_items(s);

    if (h->n != 1 || h->offsets[1] <= h->offsets[0])
        return sg_fail(err, SG_ERR_USAGE, "explanation: expected one history with at least one event");
    for (int64_t e = h->offsets[0]; e < h->offsets[1]; e++)
        if (h->item[e] < 0 || h->item[e] >= n_items)
            return sg_fail(err, SG_ERR_USAGE, "history: expected item numbers from 0 to %d, found %d",
                           (int)n_items - 1, (int)h->item[e]);
    for (int i = 0; i < n; i++)
        if (item[i] < 0 || item[i] >= n_items ||
            (s->offer && s->offer->catalogue && sg_catalogue_leaf(s->offer->catalogue, item[i]) < 0))
            return sg_fail(err, SG_ERR_USAGE, "explanation: expected item numbers from 0 to %d, found %d",
                           (int)n_items - 1, (int)item[i]);
    return SG_OK;
}

sg_status sg_explain(sg_explanation *out, sg_session *s, const sg_histories *h, const int32_t *item, int n,
                     int events_max, sg_error *err)
{
    const sg_catalogue *c = sg_session_catalogue(s);
    const int64_t most = events_max > 0 ? events_max : EVENTS;
    sg_explanation x = {.n = n, .levels = c ? sg_catalogue_levels(c) : 0};
    size_t pairs, steps;
    sg_status st;

    *out = (sg_explanation){0};
    if (n < 1)
        return SG_OK;
    if ((st = check_request(s, h, item, n, err)))
        return st;
    const int64_t have = h->offsets[1] - h->offsets[0];
    x.n_events = (int)(have < most ? have : most);
    x.first_event = have - x.n_events;
    if (!sg_mul(&pairs, (size_t)n, (size_t)x.n_events) || !sg_mul(&steps, (size_t)n, (size_t)x.levels) ||
        !(x.score = sg_alloc_array((size_t)n, sizeof *x.score)) ||
        !(x.effect = sg_alloc_array(pairs, sizeof *x.effect)) ||
        !(x.order = sg_alloc_array(pairs, sizeof *x.order)) ||
        !(x.codes = sg_alloc_array(steps, sizeof *x.codes)) ||
        !(x.below = sg_alloc_array(steps, sizeof *x.below)) ||
        (c && s->model->class->path && !(x.logp = sg_alloc_array(steps, sizeof *x.logp))))
        st = sg_fail_memory(err, "explanation");
    if (st == SG_OK && c)
        st = follow_paths(&x, s, h, item, err);
    if (st == SG_OK)
        st = weigh_events(&x, s, h, item, err);
    if (st)
        sg_explanation_free(&x);
    *out = x;
    return st;
}

void sg_explanation_free(sg_explanation *x)
{
    sg_free(x->score);
    sg_free(x->effect);
    sg_free(x->order);
    sg_free(x->codes);
    sg_free(x->below);
    sg_free(x->logp);
    *x = (sg_explanation){0};
}
