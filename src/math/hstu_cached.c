/* hstu_cached.c - pointwise attention to a past that is kept: M-FALCON.   [Zhai et al. 2024, section 3.4]
 *
 * Tokens are appended to the past, or ask it: candidates, each alone at the place and time of the request. SiLU
 * weights are not normalised, so what a candidate gets from the past and from itself add:
 *
 *   l_j   = scale q.k_j + P[j - n + N - 1] + T[bucket(now - time_j)]     the biases are the same for all candidates
 *   out   = sum_j SiLU(l_j) v_j / divisor + SiLU(scale q.k + P[N - 1] + T[bucket(0)]) v / divisor
 *
 * softmax: both parts are weighed by their share of the sum of exp. A piece is one head of some rows. */
#include "math/hstu_attention.h"

#include "base/alloc.h"
#include "math/math.h"
#include "math/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { GRAIN = 96 }; /* rows a piece: each turns the keys around once */

typedef struct job {
    const sg_hstu_spec *spec;
    const sg_tensor *q, *k, *v;
    const sg_hstu_past *past;
    sg_tensor *out;
    sg_hstu_head head; /* what all pieces share */
    float own;         /* bias of a candidate and itself */
    bool ask;
    float *lse;    /* (rows, heads), softmax */
    size_t groups; /* pieces a head */
    float *work;   /* per thread */
    size_t work_floats;
} job;

sg_status sg_hstu_past_init(sg_hstu_past *p, int heads, int d_qk, int d_v, int cap, sg_error *err)
{
    const size_t rows = (size_t)heads * (size_t)cap;

    *p = (sg_hstu_past){.heads = heads, .d_qk = d_qk, .d_v = d_v, .cap = cap};
    p->k = sg_alloc_array(rows, sg_hstu_width(d_qk) * sizeof *p->k);
    p->v = sg_alloc_array(rows, sg_hstu_width(d_v) * sizeof *p->v);
    return p->k && p->v ? SG_OK : sg_fail_memory(err, "keys of the history");
}

void sg_hstu_past_fini(sg_hstu_past *p)
{
    sg_free(p->k);
    sg_free(p->v);
    *p = (sg_hstu_past){0};
}

static float *head_rows(float *x, const sg_hstu_past *p, int head, size_t width)
{
    return x + (size_t)head * (size_t)p->cap * width;
}

sg_status sg_hstu_past_room(sg_hstu_past *p, int cap, sg_error *err)
{
    const size_t w_qk = sg_hstu_width(p->d_qk), w_v = sg_hstu_width(p->d_v);
    sg_hstu_past more;
    sg_status st;

    if (cap <= p->cap)
        return SG_OK;
    if ((st = sg_hstu_past_init(&more, p->heads, p->d_qk, p->d_v, cap, err))) {
        sg_hstu_past_fini(&more);
        return st;
    }
    for (int h = 0; h < p->heads; h++) {
        memcpy(head_rows(more.k, &more, h, w_qk), head_rows(p->k, p, h, w_qk),
               (size_t)p->n * w_qk * sizeof *p->k);
        memcpy(head_rows(more.v, &more, h, w_v), head_rows(p->v, p, h, w_v),
               (size_t)p->n * w_v * sizeof *p->v);
    }
    more.n = p->n;
    sg_hstu_past_fini(p);
    *p = more;
    return SG_OK;
}

static const float *row_of(const sg_tensor *x, int row, int at)
{
    return x->data + (size_t)row * (size_t)x->dim[1] + (size_t)at;
}

/* out (d_v) += what a candidate gets from itself. */
static void add_own(float *out, const job *j, int row, int h, float lse)
{
    const sg_hstu_spec *s = j->spec;
    const float *v = row_of(j->v, row, s->at_v + h * s->d_v);
    const float l = s->scale * sg_dot(row_of(j->q, row, s->at_q + h * s->d_qk),
                                      row_of(j->k, row, s->at_k + h * s->d_qk), (size_t)s->d_qk) +
                    j->own;
    float keep = 1, weight = l / (1 + expf(-l));

    if (s->softmax) { /* shares of exp(lse) and exp(l) */
        keep = 1 / (1 + expf(l - lse));
        weight = 1 - keep;
    }
    for (int d = 0; d < s->d_v; d++)
        out[d] = keep * out[d] + weight / s->divisor * v[d];
}

static void piece(void *ctx, size_t number, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    const sg_hstu_spec *s = j->spec;
    const size_t w_qk = (size_t)j->head.d_qk, w_v = (size_t)j->head.d_v;

    (void)number;
    for (size_t i = begin; i < end; i++) {
        const int h = (int)(i / j->groups), first = (int)(i % j->groups) * GRAIN;
        const int left = j->q->dim[0] - first, n = left < GRAIN ? left : GRAIN;
        float *q = j->work + (size_t)thread * j->work_floats, *out = q + GRAIN * w_qk;
        sg_hstu_head a = j->head;

        sg_hstu_copy_in(q, w_qk, row_of(j->q, first, s->at_q + h * s->d_qk), (size_t)j->q->dim[1], n,
                        s->d_qk);
        a.n = n;
        a.n_k = j->past->n + (j->ask ? 0 : first + n);
        a.q = q;
        a.k = head_rows(j->past->k, j->past, h, w_qk);
        a.v = head_rows(j->past->v, j->past, h, w_v);
        a.out = out;
        a.time_q = a.time_q ? a.time_q + first : NULL;
        a.lse = s->softmax ? j->lse + (size_t)h * (size_t)j->q->dim[0] + first : NULL;
        sg_kernels_best()->hstu(&a, out + GRAIN * w_v);
        for (int r = 0; r < n; r++) {
            float *to = j->out->data + (size_t)(first + r) * (size_t)j->out->dim[1] + (size_t)(h * s->d_v);

            memcpy(to, out + (size_t)r * w_v, (size_t)s->d_v * sizeof *to);
            if (j->ask)
                add_own(to, j, first + r, h, a.lse ? a.lse[r] : 0);
        }
    }
}

/* Ages of n keys or rows, seen from the first key. */
static int32_t *ages(sg_graph *g, const int64_t *time, int n, int64_t from)
{
    int32_t *age = sg_scratch(g, (size_t)n + SG_HSTU_PAD, sizeof *age);

    for (int i = 0; age && i < n; i++)
        if (!sg_hstu_seconds(&age[i], from, time[i]))
            return sg_graph_fail(g, SG_ERR_USAGE, "hstu: times span more than 68 years, expected seconds");
    if (age)
        memset(age + n, 0, SG_HSTU_PAD * sizeof *age);
    return age;
}

/* Biases by place and time for rows that stand one after the other. */
static bool relative_biases(sg_graph *g, job *j, int n_k)
{
    const sg_hstu_spec *s = j->spec;

    if (s->position) {
        float *near = sg_scratch(g, (size_t)(n_k + SG_HSTU_PAD), sizeof *near);

        if (!near)
            return false;
        memcpy(near, s->position->value + (s->position->dim[0] + 1) / 2 - n_k, (size_t)n_k * sizeof *near);
        memset(near + n_k, 0, SG_HSTU_PAD * sizeof *near);
        j->head.position = near + n_k - 1;
    }
    if (s->time) {
        int32_t *least = sg_scratch(g, (size_t)s->time->dim[0], sizeof *least);

        j->head.time = s->time->value;
        j->head.buckets = s->time->dim[0];
        j->head.time_k = n_k ? ages(g, s->time_k, n_k, s->time_k[0]) : NULL;
        j->head.time_q = n_k ? ages(g, s->time_q, j->q->dim[0], s->time_k[0]) : NULL;
        if (!least || (n_k && (!j->head.time_k || !j->head.time_q)))
            return false;
        sg_hstu_least(least, s->time->dim[0]);
        j->head.least = least;
    }
    return true;
}

/* The biases that all candidates share. */
static bool common_biases(sg_graph *g, job *j, int n_k)
{
    const sg_hstu_spec *s = j->spec;
    float *bias = sg_scratch(g, (size_t)n_k + SG_HSTU_PAD, sizeof *bias);

    if (!bias)
        return false;
    memset(bias, 0, ((size_t)n_k + SG_HSTU_PAD) * sizeof *bias);
    if (s->position) {
        const float *here = s->position->value + (s->position->dim[0] - 1) / 2;

        for (int i = 0; i < n_k; i++)
            bias[i] = here[i - n_k];
        j->own = here[0];
    }
    for (int i = 0; s->time && i < n_k; i++) /* a key younger than the request has age 0 */
        bias[i] += s->time->value[s->time_q[0] > s->time_k[i]
                                      ? sg_hstu_bucket(s->time_q[0] - s->time_k[i], s->time->dim[0])
                                      : 0];
    j->own += s->time ? s->time->value[0] : 0;
    j->head.bias = bias;
    return true;
}

static sg_tensor *attend(sg_graph *g, job *j)
{
    const sg_hstu_spec *s = j->spec;
    const sg_hstu_past *p = j->past;
    const int rows = j->q->dim[0], n_k = p->n + (j->ask ? 0 : rows);
    const size_t threads = (size_t)sg_pool_threads(sg_graph_pool(g));

    if (s->position && (s->position->dim[0] + 1) / 2 < n_k + j->ask)
        return sg_graph_fail(g, SG_ERR_USAGE, "hstu: position table '%s' has %d numbers, %d tokens need %d",
                             s->position->name, s->position->dim[0], n_k + j->ask, 2 * (n_k + j->ask) - 1);
    j->out = sg_tensor_2d(g, rows, s->heads * s->d_v);
    j->lse = s->softmax ? sg_scratch(g, (size_t)s->heads * (size_t)rows, sizeof *j->lse) : NULL;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    j->head = (sg_hstu_head){.d_qk = (int)sg_hstu_width(s->d_qk),
                             .d_v = (int)sg_hstu_width(s->d_v),
                             .scale = s->scale,
                             .inv = 1 / s->divisor};
    j->work_floats = GRAIN * (size_t)(j->head.d_qk + j->head.d_v) +
                     sg_hstu_floats(GRAIN, (size_t)j->head.d_qk, (size_t)j->head.d_v,
                                    s->time ? (size_t)s->time->dim[0] : 0);
    j->work = sg_scratch(g, threads * j->work_floats, sizeof *j->work);
    if (!j->out || (s->softmax && !j->lse) || !j->work ||
        !(j->ask ? common_biases(g, j, n_k) : relative_biases(g, j, n_k)))
        return NULL;
    j->groups = sg_pieces((size_t)rows, GRAIN);
    sg_parallel_for(sg_graph_pool(g), (size_t)s->heads * j->groups, 1, piece, j);
    sg_arena_back(sg_graph_arena(g), mark);
    return j->out;
}

static bool fits(sg_graph *g, const job *j)
{
    const sg_hstu_spec *s = j->spec;
    const sg_hstu_past *p = j->past;

    assert(p->heads == s->heads && p->d_qk == s->d_qk && p->d_v == s->d_v);
    assert(!sg_graph_training(g) && j->q->dim[0] == j->k->dim[0] && j->k->dim[0] == j->v->dim[0]);
    return sg_hstu_check(g, j->q, "q", s, s->at_q, s->d_qk) &&
           sg_hstu_check(g, j->k, "k", s, s->at_k, s->d_qk) &&
           sg_hstu_check(g, j->v, "v", s, s->at_v, s->d_v);
}

sg_tensor *sg_hstu_append(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_hstu_spec *spec,
                          sg_hstu_past *past)
{
    job j = {.spec = spec, .q = q, .k = k, .v = v, .past = past};
    const size_t w_qk = sg_hstu_width(spec->d_qk), w_v = sg_hstu_width(spec->d_v);
    sg_tensor *out;

    if (!q || !k || !v || !fits(g, &j))
        return NULL;
    if (q->dim[0] > past->cap - past->n)
        return sg_graph_fail(g, SG_ERR_USAGE, "hstu: %d tokens after %d, room for %d", q->dim[0], past->n,
                             past->cap);
    for (int h = 0; h < spec->heads; h++) {
        sg_hstu_copy_in(head_rows(past->k, past, h, w_qk) + (size_t)past->n * w_qk, w_qk,
                        row_of(k, 0, spec->at_k + h * spec->d_qk), (size_t)k->dim[1], k->dim[0], spec->d_qk);
        sg_hstu_copy_in(head_rows(past->v, past, h, w_v) + (size_t)past->n * w_v, w_v,
                        row_of(v, 0, spec->at_v + h * spec->d_v), (size_t)v->dim[1], v->dim[0], spec->d_v);
    }
    if ((out = attend(g, &j)))
        past->n += q->dim[0];
    return out;
}

sg_tensor *sg_hstu_ask(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_hstu_spec *spec,
                       const sg_hstu_past *past)
{
    job j = {.spec = spec, .q = q, .k = k, .v = v, .past = past, .ask = true};

    return q && k && v && fits(g, &j) ? attend(g, &j) : NULL;
}
