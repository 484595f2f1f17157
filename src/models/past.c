/* past.c - which events a past holds. What is kept of them is the class's. */
#include "models/past.h"

#include "base/alloc.h"
#include "math/attention.h"

bool sg_model_keeps(const sg_model *m)
{
    return m->class->past_bytes && m->class->keeps(m);
}

sg_status sg_past_new(sg_past **out, const sg_model *m, sg_error *err)
{
    sg_past *p = sg_alloc_zero(1, sizeof *p);

    *out = NULL;
    if (!p || !(p->state = sg_alloc_zero(1, m->class->past_bytes))) {
        sg_free(p);
        return sg_fail_memory(err, "past of a history");
    }
    p->model = m;
    p->user = -1;
    *out = p;
    return SG_OK;
}

void sg_past_free(sg_past *p)
{
    if (!p)
        return;
    p->model->class->past_fini(p);
    sg_free(p->item);
    sg_free(p->time);
    sg_free(p->state);
    sg_free(p);
}

size_t sg_past_bytes(const sg_past *p)
{
    return sizeof *p + (size_t)p->cap * (sizeof *p->item + sizeof *p->time) + p->model->class->past_bytes +
           p->model->class->past_size(p);
}

int64_t sg_window_begin(const sg_histories *h, int i, int length, int step)
{
    const int64_t have = h->offsets[i + 1] - h->offsets[i];

    return h->offsets[i] + (have > length ? (have - length + step - 1) / step * step : 0);
}

static int32_t user_of(const sg_histories *h, int i)
{
    return h->user ? h->user[i] : -1;
}

/* Events from `begin` that the past holds too, in their places. Times are compared as they were sent: raising those that
 * fall is a function of the times before. */
static int common(const sg_past *p, const sg_histories *h, int i, int64_t begin)
{
    const int64_t n = h->offsets[i + 1] - begin;
    int same = 0;

    if (p->user != user_of(h, i) || p->timed != (h->timestamp != NULL))
        return 0;
    while (same < n && same < p->n && p->item[same] == h->item[begin + same] &&
           (!p->timed || p->time[same] == h->timestamp[begin + same]))
        same++;
    return same;
}

int sg_past_agree(const sg_histories *h, int i, int64_t begin, int ahead, int most)
{
    sg_past *p = h->past[i];
    int same = common(p, h, i, begin);

    same = same > ahead ? same - ahead : 0;
    same = same < most ? same : most;
    if (same < p->n || same == 0) /* nothing: also what an error may have left */
        p->n = p->model->class->past_cut(p, same);
    return p->n;
}

static bool make_room(sg_past *p, int n)
{
    const int cap = n + n / 8 + 1;
    int32_t *item;
    int64_t *time;

    if (n <= p->cap)
        return true;
    if (!(item = sg_realloc(p->item, (size_t)cap * sizeof *item)))
        return false;
    p->item = item;
    if (!(time = sg_realloc(p->time, (size_t)cap * sizeof *time)))
        return false;
    p->time = time;
    p->cap = cap;
    return true;
}

bool sg_past_note(const sg_histories *h, int i, int64_t begin)
{
    sg_past *p = h->past[i];
    const int n = (int)(h->offsets[i + 1] - begin);

    if (!make_room(p, n))
        return false;
    for (int e = 0; e < n; e++) {
        p->item[e] = h->item[begin + e];
        p->time[e] = h->timestamp ? h->timestamp[begin + e] : 0;
    }
    p->n = n;
    p->timed = h->timestamp != NULL;
    p->user = user_of(h, i);
    return true;
}

/* ---- keys and values ----------------------------------------------------------------------------------- */
sg_kept *const *sg_pasts_kept(sg_graph *g, const sg_histories *h, int blocks)
{
    const size_t n = (size_t)h->n;
    sg_kept **kept = sg_scratch(g, n * (size_t)blocks + 1, sizeof *kept);

    for (size_t i = 0; kept && i < n; i++) {
        sg_kept_past *p = h->past[i]->state;

        if (!p->kept && !(p->kept = sg_alloc_zero((size_t)blocks, sizeof *p->kept)))
            return sg_graph_fail(g, SG_ERR_MEMORY, "past of a history: out of memory");
        p->n = blocks;
        for (size_t b = 0; b < (size_t)blocks; b++)
            kept[b * n + i] = &p->kept[b];
    }
    return kept;
}

int sg_kept_past_cut(sg_past *p, int n, int tokens)
{
    sg_kept_past *s = p->state;

    for (int b = 0; b < s->n; b++)
        s->kept[b].n = tokens;
    return n;
}

size_t sg_kept_past_size(const sg_past *p)
{
    const sg_kept_past *s = p->state;
    size_t bytes = (size_t)s->n * sizeof *s->kept;

    for (int b = 0; b < s->n; b++)
        bytes += sg_kept_bytes(&s->kept[b]);
    return bytes;
}

void sg_kept_past_fini(sg_past *p)
{
    sg_kept_past *s = p->state;

    for (int b = 0; b < s->n; b++)
        sg_kept_free(&s->kept[b]);
    sg_free(s->kept);
}
