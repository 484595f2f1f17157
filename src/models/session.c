/* session.c - one thread's view of a model: top-k lists from whatever role the class plays. */
#include "models/model.h"

#include "base/alloc.h"
#include "decode/mmr.h"
#include "math/math.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { SCORES_MAX = 1 << 22 }; /* numbers scored at once: 16 MiB */
enum { POOL = 5 };             /* candidates an item of a list that keeps its items apart */

sg_status sg_session_new(sg_session **out, const sg_model *m, sg_pool *pool, sg_error *err)
{
    sg_session *s = sg_alloc_zero(1, sizeof *s);
    sg_status st;

    *out = NULL;
    if (!s || !(s->state = sg_alloc_zero(1, m->class->session_bytes))) {
        sg_free(s);
        return sg_fail_memory(err, "session");
    }
    s->model = m;
    s->pool = pool;
    if ((st = sg_graph_new(&s->graph, pool, SG_F32, err))) {
        sg_session_free(s);
        return st;
    }
    *out = s;
    return SG_OK;
}

void sg_session_free(sg_session *s)
{
    if (!s)
        return;
    if (s->model->class->session_fini)
        s->model->class->session_fini(s);
    sg_graph_free(s->graph);
    sg_free(s->state);
    sg_free(s->scores);
    sg_free(s->inverse);
    sg_free(s);
}

void sg_session_codes(const sg_session *s, int32_t item, int32_t *codes)
{
    const sg_model *m = s->model;
    const sg_offer *o = s->offer;
    const size_t row = (size_t)sg_catalogue_levels(m->catalogue) * sizeof *codes;

    if (o && o->catalogue && sg_catalogue_leaf(o->catalogue, item) >= 0)
        sg_catalogue_codes(o->catalogue, item, codes);
    else if (item < m->n_items)
        memcpy(codes, m->codes + (size_t)item * (size_t)sg_catalogue_levels(m->catalogue), row);
    else
        memcpy(codes, o->codes[item - m->n_items], row);
}

/* Item numbers come from requests: nothing below this line has to look again. */
static sg_status check_histories(const sg_session *s, const sg_histories *h, sg_error *err)
{
    const int32_t n = s->model->n_items + (s->offer ? s->offer->n_codes : 0);

    for (int64_t i = h->offsets[0]; i < h->offsets[h->n]; i++)
        if (h->item[i] < 0 || h->item[i] >= n)
            return sg_fail(err, SG_ERR_USAGE, "history: expected item numbers from 0 to %d, found %d",
                           (int)n - 1, (int)h->item[i]);
    return SG_OK;
}

sg_histories sg_histories_rows(const sg_histories *h, int first, int n)
{
    sg_histories part = *h; /* offsets are absolute, so the columns stay where they are */

    part.n = n;
    part.offsets += first;
    if (part.user)
        part.user += first;
    if (part.now)
        part.now += first;
    if (part.past)
        part.past += first;
    return part;
}

typedef struct topk_job {
    const sg_histories *h;
    const sg_filter *filter;
    float *scores;
    int32_t n_items;
    int k;
    int32_t *item;
    float *value;
} topk_job;

static void topk_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const topk_job *j = ctx;

    for (size_t r = begin; r < end; r++) {
        float *s = j->scores + r * (size_t)j->n_items;
        size_t n;

        if (j->filter && j->filter->seen)
            for (int64_t e = j->h->offsets[r]; e < j->h->offsets[r + 1]; e++)
                s[j->h->item[e]] = -INFINITY;
        if (j->filter && j->filter->allow)
            for (int32_t i = 0; i < j->n_items; i++)
                if (!j->filter->allow[i])
                    s[i] = -INFINITY;
        n = sg_topk(j->item + r * (size_t)j->k, j->value + r * (size_t)j->k, (size_t)j->k, s,
                    (size_t)j->n_items);
        for (; n < (size_t)j->k; n++) {
            j->item[r * (size_t)j->k + n] = -1;
            j->value[r * (size_t)j->k + n] = -INFINITY;
        }
    }
}

static sg_status recommend(sg_session *s, const sg_histories *h, const sg_filter *f, int k, int32_t *item,
                           float *score, sg_error *err)
{
    const sg_model *m = s->model;
    const size_t n_items = (size_t)sg_session_items(s);
    sg_filter narrowed;
    size_t rows = SCORES_MAX / n_items ? SCORES_MAX / n_items : 1;
    sg_status st;

    if (s->offer && s->offer->allow &&
        !(f && f->allow)) { /* a filter of the request allows nothing that is not on offer */
        narrowed = (sg_filter){.seen = f && f->seen, .allow = s->offer->allow};
        f = &narrowed;
    }
    if (m->class->recommend)
        return m->class->recommend(s, h, f, k, item, score, err);
    if (rows > (size_t)h->n)
        rows = (size_t)h->n;
    if (s->cap_scores < rows * n_items) {
        sg_free(s->scores);
        s->cap_scores = 0;
        if (!(s->scores = sg_alloc_array(rows, n_items * sizeof *s->scores)))
            return sg_fail_memory(err, "scores");
        s->cap_scores = rows * n_items;
    }
    for (int first = 0; first < h->n; first += (int)rows) {
        const int n = h->n - first < (int)rows ? h->n - first : (int)rows;
        const sg_histories part = sg_histories_rows(h, first, n);
        topk_job job = {&part,
                        f,
                        s->scores,
                        (int32_t)n_items,
                        k,
                        item + (size_t)first * (size_t)k,
                        score + (size_t)first * (size_t)k};

        if ((st = m->class->score(s, &part, s->scores, err)))
            return st;
        sg_parallel_for(s->pool, (size_t)n, 4, topk_rows, &job);
    }
    return SG_OK;
}

/* The lists of k out of lists of POOL k, or of all items. */
static sg_status recommend_apart(sg_session *s, const sg_histories *h, const sg_filter *f, int k,
                                 int32_t *item, float *score, sg_error *err)
{
    const sg_model *m = s->model;
    const int n = k < m->n_items / POOL ? POOL * k : m->n_items > k ? m->n_items : k;
    const size_t all = (size_t)h->n * (size_t)n;
    int32_t *pool = sg_alloc_array(all, sizeof *pool);
    float *value = sg_alloc_array(all, sizeof *value), *near = sg_alloc_array((size_t)n, sizeof *near);
    const bool as_wide = s->as_wide;
    sg_status st = pool && value && near ? SG_OK : sg_fail_memory(err, "candidates");

    assert(!s->offer); /* added items have no row in m->codes */
    s->as_wide = true;
    if (!st)
        st = recommend(s, h, f, n, pool, value, err);
    s->as_wide = as_wide;
    for (size_t i = 0; !st && i < (size_t)h->n; i++) {
        int32_t *row = pool + i * (size_t)n;
        float *row_score = value + i * (size_t)n;

        sg_mmr(row, row_score, near, n, k, m->codes, sg_catalogue_levels(m->catalogue), s->apart);
        memcpy(item + i * (size_t)k, row, (size_t)k * sizeof *item);
        memcpy(score + i * (size_t)k, row_score, (size_t)k * sizeof *score);
    }
    sg_free(pool);
    sg_free(value);
    sg_free(near);
    return st;
}

sg_status sg_session_recommend(sg_session *s, const sg_histories *h, const sg_filter *f, int k, int32_t *item,
                               float *score, sg_error *err)
{
    sg_status st;

    if (k < 1)
        return sg_fail(err, SG_ERR_USAGE, "k: expected at least 1, found %d", k);
    if (!s->model->class->recommend && !s->model->class->score)
        return sg_fail(err, SG_ERR_USAGE, "%s answers queries, not histories", s->model->class->name);
    if ((s->groups > 1 || s->temperature > 0) && !s->model->class->recommend)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s scores every item: its lists cannot be spread (groups) or drawn (temperature)",
                       s->model->class->name);
    if (s->apart > 0 && !s->model->codes)
        return sg_fail(err, SG_ERR_USAGE, "mmr: expected a model with semantic IDs, found %s",
                       s->model->class->name);
    if (s->apart > 0 && s->temperature > 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "mmr: expected lists by probability, found some that are drawn (temperature)");
    if (s->apart > 0 && s->offer)
        return sg_fail(err, SG_ERR_USAGE, "mmr: expected a catalogue that stays as it is");
    if (h->n < 1)
        return SG_OK;
    if ((st = check_histories(s, h, err)))
        return st;
    return s->apart > 0 ? recommend_apart(s, h, f, k, item, score, err)
                        : recommend(s, h, f, k, item, score, err);
}
