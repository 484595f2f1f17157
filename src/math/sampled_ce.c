/* sampled_ce.c - a row's target against sampled negatives: softmax cross-entropy, binary cross-entropy (BCE, gBCE), and the
 * ranking losses of GRU4Rec.
 *
 *   l_0 = scale x.w_t - logq_t      l_j = scale x.w_j - logq_j, left out when j = t      (l2: x and w at unit length)
 *   softmax: log(e^l_0 + sum_j e^l_j) - l_0        binary: -beta log s(l_0) - sum_j log(1 - s(l_j))      mean over rows
 *   with s_j the softmax of l_j over the negatives:   BPR-max: -log sum_j s_j s(l_0 - l_j) + reg sum_j s_j l_j^2
 *                                                     TOP1-max: sum_j s_j (s(l_j - l_0) + s(l_j^2))
 *    [Klenitskiy & Vasilev 2023; Kang & McAuley 2018; Petrov & Macdonald 2023, gBCE; Hidasi & Karatzoglou 2018]
 *
 * x (rows, d), table (n, d). The table rows in use are copied once, each id once, normalised when l2 asks for it; all
 * else works on that copy. Gradients: every table row is owned by one piece, which adds its places in batch order. */
#include "math/gemm.h"
#include "math/op.h"
#include "math/touch.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { ROWS = 32 };    /* per piece */
enum { PLACES = 128 }; /* of an id, handled at once */
enum {
    BLOCK_ROWS = 256,
    ID_PLACES = 16,
    BLOCK_IDS = 256
};                              /* a block: rows or places an id, whichever is more; ids a piece of it */
static const float EPS = 1e-6f; /* lengths below it count as it */

typedef enum loss_kind { SOFTMAX, BINARY, BPR_MAX, TOP1_MAX } loss_kind;

typedef struct sampled {
    loss_kind kind;
    sg_tensor *x;
    sg_param *table;
    const float *logq; /* (ids.n) of the copied table rows, or NULL */
    float scale;
    float extra; /* BINARY: beta; BPR_MAX: reg */
    bool shared, l2;
    int d, n_rows, n_neg;
    size_t ld;         /* numbers from row to row of the copies: d up to whole vectors, zeros after d */
    int32_t *row;      /* (n_rows) row of x */
    sg_id_groups ids;  /* places: 0 .. n_rows - 1 targets, then the negatives */
    uint32_t *at;      /* (places) which copied table row, UINT32_MAX for id -1 */
    float *w, *w_inv;  /* (ids.n, ld) copied table rows; 1 / length */
    float *xs, *x_inv; /* (n_rows, ld), (n_rows) */
    float *neg;        /* shared: (n_neg, ld) */
    float *l0;         /* (n_rows): logits of the targets, then their gradient */
    float *l;          /* (n_rows, n_neg): logits, then their gradient */
    double *loss;      /* (n_rows) */
    float *work;       /* BPR_MAX, TOP1_MAX: per thread (2, n_neg) */
    float *dxs, *dneg; /* backward: (n_rows, ld), (n_neg, ld) */
    float *dx;
    float up; /* of the loss, times scale */
} sampled;

static void unit_row(const sampled *p, float *y, float *inv, const float *x)
{
    const size_t d = (size_t)p->d;

    *inv = 1;
    if (p->l2) {
        const float length = sqrtf(sg_dot(x, x, d));

        *inv = 1 / (length > EPS ? length : EPS);
    }
    sg_kernels_best()->scale(y, *inv, x, d);
    memset(y + d, 0, (p->ld - d) * sizeof *y);
}

/* From the gradient of the unit row to that of the row: (dy - y (y.dy)) / length, added to dx. */
static void unit_row_grad(float *dx, const float *dy, const float *y, float inv, int d, bool l2)
{
    const float along = l2 && inv < 1 / EPS ? sg_dot(y, dy, (size_t)d) : 0;

    for (int i = 0; i < d; i++)
        dx[i] += inv * (dy[i] - along * y[i]);
}

static const uint32_t *negatives_of(const sampled *p, size_t r)
{
    return p->at + p->n_rows + (p->shared ? 0 : r * (size_t)p->n_neg);
}

/* Loss of one row; logits become their gradients. */
static double softmax_row(float *l0, float *l, size_t n)
{
    const sg_kernels *k = sg_kernels_best();
    const float among = k->max(l, n), most = among > *l0 ? among : *l0;
    const double own = (double)*l0 - most;
    float others;
    double sum;

    k->exp_rows(l, l, n, most, &others);
    sum = exp(own) + (double)others;
    *l0 = (float)(-(double)others / sum);
    k->scale(l, (float)(1 / sum), l, n);
    return log(sum) - own;
}

static double binary_row(float *l0, float *l, size_t n, float beta)
{
    const sg_kernels *k = sg_kernels_best();
    float away = -*l0;
    const double loss = (double)beta * (double)k->softplus_row(&away, 1);

    *l0 = -beta * away;
    return loss + (double)k->softplus_row(l, n);
}

/* Softmax of l into s; numbers left out become 0 in both. False: none is left. */
static bool softmax_of_negatives(float *s, float *l, size_t n)
{
    const sg_kernels *k = sg_kernels_best();
    const float most = k->max(l, n);
    float sum;

    if (most == -INFINITY)
        return false;
    k->exp_rows(s, l, n, most, &sum);
    k->scale(s, 1 / sum, s, n);
    for (size_t j = 0; j < n; j++)
        l[j] = l[j] == -INFINITY ? 0 : l[j];
    return true;
}

/* With A = sum s_j p_j, p_j = s(l_0 - l_j), R = sum s_j l_j^2:   dl_0 = -sum s_j p_j (1 - p_j) / A
 * dl_j = -s_j (p_j - A - p_j (1 - p_j)) / A + reg s_j (l_j^2 - R + 2 l_j).   1e-24 as in the published code. */
static double bpr_max_row(float *l0, float *l, size_t n, float reg, float *s)
{
    const sg_kernels *k = sg_kernels_best();
    float *p = s + n;
    double slope = 0, r = 0;

    assert(s);
    for (size_t j = 0; j < n; j++) {
        p[j] = *l0 - l[j];
        r += (double)(s[j] * l[j]) * (double)l[j];
    }
    k->act(SG_SIGMOID, p, p, n);
    const double a = (double)k->dot(s, p, n) + 1e-24;
    const float each = (float)(1 / a), mean = (float)a, mean_sq = (float)r;
    for (size_t j = 0; j < n; j++) {
        const float along = p[j] * (1 - p[j]);

        slope += (double)(s[j] * along);
        l[j] = s[j] * (reg * (l[j] * l[j] - mean_sq + 2 * l[j]) - each * (p[j] - mean - along));
    }
    *l0 = (float)(-slope / a);
    return (double)reg * r - log(a);
}

/* With t_j = s(l_j - l_0) + s(l_j^2), T = sum s_j t_j, s' = s (1 - s):   dl_0 = -sum s_j s'(l_j - l_0)
 * dl_j = s_j (t_j - T + s'(l_j - l_0) + 2 l_j s'(l_j^2)) */
static double top1_max_row(float *l0, float *l, size_t n, float *s)
{
    const sg_kernels *k = sg_kernels_best();
    float *p = s + n;
    double slope = 0, t = 0;

    assert(s);
    for (size_t j = 0; j < n; j++)
        p[j] = l[j] - *l0;
    k->act(SG_SIGMOID, p, p, n);
    for (size_t j = 0; j < n; j++)
        t += (double)(s[j] * (p[j] + 1 / (1 + expf(-l[j] * l[j]))));
    for (size_t j = 0; j < n; j++) {
        const float large = 1 / (1 + expf(-l[j] * l[j])), along = p[j] * (1 - p[j]);

        slope += (double)(s[j] * along);
        l[j] = s[j] * (p[j] + large - (float)t + along + 2 * l[j] * large * (1 - large));
    }
    *l0 = (float)-slope;
    return t;
}

/* l of a row in which every negative was left out: no loss, no gradient */
static double nothing_row(float *l0, float *l, size_t n)
{
    *l0 = 0;
    memset(l, 0, n * sizeof *l);
    return 0;
}

static double row_loss(const sampled *p, float *l0, float *l, int thread)
{
    const size_t n = (size_t)p->n_neg;
    float *work = p->work ? p->work + 2 * n * (size_t)thread : NULL;

    if (p->kind == SOFTMAX)
        return softmax_row(l0, l, n);
    if (p->kind == BINARY)
        return binary_row(l0, l, n, p->extra);
    if (!softmax_of_negatives(work, l, n))
        return nothing_row(l0, l, n);
    return p->kind == BPR_MAX ? bpr_max_row(l0, l, n, p->extra, work) : top1_max_row(l0, l, n, work);
}

static void forward_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sampled *p = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t d = p->ld, n = (size_t)p->n_neg;

    for (size_t r = begin; r < end; r++) {
        const float *x = p->xs + r * d;
        const uint32_t target = p->at[r], *neg = negatives_of(p, r);
        float *l = p->l + r * n;

        p->l0[r] = p->scale * k->dot(x, p->w + target * d, d) - (p->logq ? p->logq[target] : 0);
        if (!p->shared)
            k->gather_dot(l, x, p->w, neg, n, d, p->scale);
        for (size_t j = 0; j < n && p->logq; j++)
            l[j] -= neg[j] == UINT32_MAX ? 0 : p->logq[neg[j]];
        for (size_t j = 0; j < n; j++)
            l[j] = neg[j] == target || neg[j] == UINT32_MAX ? -INFINITY : l[j];
        p->loss[r] = row_loss(p, &p->l0[r], l, thread);
    }
}

static void backward_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sampled *p = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t d = p->ld, n = (size_t)p->n_neg;

    for (size_t r = begin; r < end; r++) {
        float *to = p->dxs + r * d;

        if (!p->shared) {
            memset(to, 0, d * sizeof *to);
            k->gather_axpy(to, p->l + r * n, p->w, negatives_of(p, r), n, d);
            k->scale(to, p->up, to, d);
        }
        k->axpy(to, p->up * p->l0[r], p->w + p->at[r] * d, d);
        unit_row_grad(p->dx + (size_t)p->row[r] * (size_t)p->d, to, p->xs + r * d, p->x_inv[r], p->d, p->l2);
    }
}

/* The gradient of the copied table rows. Logits and rows of x are taken block by block, so that what all ids read of them
 * stays near. */
typedef struct scatter {
    const sampled *p;
    float *sum;     /* (ids.n, ld) */
    uint32_t *next; /* (ids.n) place of the group that is still to be added */
    uint32_t end;   /* of the block, a place */
} scatter;

/* sum += the part of one copied table row in places begin .. end - 1 of its group: rows of xs times gradients of logits. */
static void add_places(float *sum, const sampled *p, uint32_t begin, uint32_t end)
{
    const double each = 1.0 / p->n_neg;
    uint32_t at[PLACES];
    float c[PLACES];
    size_t n = 0;

    for (uint32_t i = begin; i < end; i++) {
        const uint32_t place = p->ids.place[i], negative = place - (uint32_t)p->n_rows;

        if (place < (uint32_t)p->n_rows) {
            at[n] = place;
            c[n++] = p->up * p->l0[place];
        } else if (!p->shared) {
            at[n] = (uint32_t)(((double)negative + 0.5) * each); /* negative / n_neg */
            c[n++] = p->up * p->l[negative];
        } else {
            sg_axpy(sum, 1, p->dneg + negative * p->ld, p->ld);
        }
    }
    sg_kernels_best()->gather_axpy(sum, c, p->xs, at, n, p->ld);
}

static void add_block(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const scatter *s = ctx;
    const sampled *p = s->p;

    for (size_t id = begin; id < end; id++) {
        const uint32_t first = p->ids.begin[id], last = p->ids.begin[id + 1];
        float *sum = s->sum + id * p->ld;
        uint32_t i = s->next[id];

        if (i == last || p->ids.place[i] >= s->end)
            continue;
        if (i == first)
            memset(sum, 0, p->ld * sizeof *sum);
        while (i < last && p->ids.place[i] < s->end) {
            const uint32_t from = i, most = last - i < PLACES ? last : i + PLACES;

            while (i < most && p->ids.place[i] < s->end)
                i++;
            add_places(sum, p, from, i);
        }
        s->next[id] = i;
        if (i == last)
            unit_row_grad(p->table->grad + (size_t)p->ids.id[id] * (size_t)p->d, sum, p->w + id * p->ld,
                          p->w_inv[id], p->d, p->l2);
    }
}

static void backward_ids(sg_graph *g, const sampled *p)
{
    sg_pool *pool = sg_graph_pool(g);
    const size_t ids = p->ids.n, rows = (size_t)p->n_rows, each = (size_t)p->n_neg,
                 places = rows + (p->shared ? each : rows * each);
    const size_t block = each * BLOCK_ROWS > ids * ID_PLACES ? each * BLOCK_ROWS : ids * ID_PLACES;
    scatter s = {
        .p = p, .sum = sg_scratch(g, ids * p->ld, sizeof *s.sum), .next = sg_scratch(g, ids, sizeof *s.next)};

    if (!s.sum || !s.next)
        return;
    memcpy(s.next, p->ids.begin, ids * sizeof *s.next);
    for (size_t at = 0; at < places; at += block) {
        s.end = (uint32_t)(at + block < places ? at + block : places);
        sg_parallel_for(pool, ids, BLOCK_IDS, add_block, &s);
    }
}

static void sampled_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    sampled *p = saved;
    sg_pool *pool = sg_graph_pool(g);
    const size_t d = p->ld, rows = (size_t)p->n_rows;
    const int ld = (int)p->ld;
    const float *dloss = sg_grad(g, out);

    p->dxs = sg_scratch(g, rows * d, sizeof *p->dxs);
    p->dneg = p->shared ? sg_scratch(g, (size_t)p->n_neg * d, sizeof *p->dneg) : NULL;
    p->dx = p->x->needs_grad ? sg_grad(g, p->x) : NULL;
    if (!dloss || !p->dxs || (p->shared && !p->dneg) || (p->x->needs_grad && !p->dx))
        return;
    p->up = *dloss * p->scale / (float)p->n_rows;
    if (p->dx) {
        if (p->shared)
            sg_gemm(pool, sg_graph_precision(g), false, false, p->n_rows, ld, p->n_neg, p->up, p->l, p->n_neg,
                    p->neg, ld, 0, p->dxs, ld);
        sg_parallel_for(pool, rows, ROWS, backward_rows, p);
    }
    if (sg_param_trains(g, p->table) && sg_param_touch(g, p->table, p->ids.id, p->ids.n)) {
        if (p->shared)
            sg_gemm(pool, sg_graph_precision(g), true, false, p->n_neg, ld, p->n_rows, p->up, p->l, p->n_neg,
                    p->xs, ld, 0, p->dneg, ld);
        backward_ids(g, p);
    }
}

static void copy_ids(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sampled *p = ctx;

    for (size_t i = begin; i < end; i++)
        unit_row(p, p->w + i * p->ld, &p->w_inv[i], p->table->value + (size_t)p->ids.id[i] * (size_t)p->d);
}

/* Packs the rows that have a target and copies the table rows in use. */
static bool gather(sg_graph *g, sampled *p, const sg_sampled_spec *spec, int rows)
{
    const size_t d = p->ld, each = (size_t)p->n_neg;
    const int32_t n = p->table->dim[0];
    size_t places, at = 0;
    int32_t *ids;

    for (int r = 0; r < rows; r++)
        p->n_rows += spec->target[r] != -1;
    places = (size_t)p->n_rows + (p->shared ? each : (size_t)p->n_rows * each);
    ids = sg_scratch(g, places, sizeof *ids);
    p->at = sg_scratch(g, places, sizeof *p->at);
    p->row = sg_scratch(g, (size_t)p->n_rows, sizeof *p->row);
    p->xs = sg_scratch(g, (size_t)p->n_rows * d, sizeof *p->xs);
    p->x_inv = sg_scratch(g, (size_t)p->n_rows, sizeof *p->x_inv);
    if (!ids || !p->at || !p->row || !p->xs || !p->x_inv)
        return false;
    for (int r = 0; r < rows; r++) {
        if (spec->target[r] == -1)
            continue;
        ids[at] = spec->target[r];
        if (!p->shared)
            memcpy(ids + p->n_rows + at * each, spec->negatives + (size_t)r * each, each * sizeof *ids);
        unit_row(p, p->xs + at * d, &p->x_inv[at], p->x->data + (size_t)r * (size_t)p->d);
        p->row[at++] = r;
    }
    if (p->shared)
        memcpy(ids + p->n_rows, spec->negatives, each * sizeof *ids);
    for (size_t i = 0; i < places; i++)
        if (ids[i] < -1 || ids[i] >= n)
            return sg_graph_fail(g, SG_ERR_USAGE, "sampled softmax: id %d outside a table of %d", ids[i],
                                 n) != NULL;
    if (!sg_group_ids(g, &p->ids, ids, places, p->at))
        return false;
    p->w = sg_scratch(g, p->ids.n * d, sizeof *p->w);
    p->w_inv = sg_scratch(g, p->ids.n, sizeof *p->w_inv);
    p->neg = p->shared ? sg_scratch(g, each * d, sizeof *p->neg) : NULL;
    if (!p->w || !p->w_inv || (p->shared && !p->neg))
        return false;
    if (spec->logq) {
        float *logq = sg_scratch(g, p->ids.n, sizeof *logq);

        if (!logq)
            return false;
        for (size_t i = 0; i < p->ids.n; i++)
            logq[i] = spec->logq[p->ids.id[i]];
        p->logq = logq;
    }
    sg_parallel_for(sg_graph_pool(g), p->ids.n, sg_row_grain(d), copy_ids, p);
    for (size_t j = 0; j < each && p->shared; j++) {
        const uint32_t from = p->at[(size_t)p->n_rows + j];

        if (from == UINT32_MAX)
            memset(p->neg + j * d, 0, d * sizeof(float));
        else
            memcpy(p->neg + j * d, p->w + from * d, d * sizeof(float));
    }
    return true;
}

static sg_tensor *sampled_loss(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec,
                               loss_kind kind, float extra)
{
    const int d = table->rank == 2 ? table->dim[1] : 0;
    double loss = 0;
    sampled *p;
    sg_tensor *out;

    if (!x)
        return NULL;
    if (d < 1 || x->rank < 1 || x->dim[x->rank - 1] != d || spec->n_neg < 1)
        return sg_graph_fail(g, SG_ERR_USAGE, "sampled softmax: x and table '%s' do not fit, or no negatives",
                             table->name);
    if (!(p = sg_scratch(g, 1, sizeof *p)))
        return NULL;
    *p = (sampled){.kind = kind,
                   .x = x,
                   .table = table,
                   .scale = spec->scale,
                   .extra = extra,
                   .d = d,
                   .shared = spec->shared,
                   .l2 = spec->l2,
                   .n_neg = spec->n_neg,
                   .ld = ((size_t)d + 15) / 16 * 16};
    if (!gather(g, p, spec, (int)(x->count / (size_t)d)))
        return NULL;
    p->l0 = sg_scratch(g, (size_t)p->n_rows, sizeof *p->l0);
    p->l = sg_scratch(g, (size_t)p->n_rows * (size_t)p->n_neg, sizeof *p->l);
    p->loss = sg_scratch(g, (size_t)p->n_rows, sizeof *p->loss);
    if (kind == BPR_MAX || kind == TOP1_MAX) {
        p->work =
            sg_scratch(g, 2 * (size_t)p->n_neg * (size_t)sg_pool_threads(sg_graph_pool(g)), sizeof *p->work);
        if (!p->work)
            return NULL;
    }
    out = sg_tensor_new(g, 0, NULL);
    if (!p->l0 || !p->l || !p->loss || !out)
        return NULL;
    if (p->shared && p->n_rows > 0)
        sg_gemm(sg_graph_pool(g), sg_graph_precision(g), false, true, p->n_rows, p->n_neg, d, p->scale, p->xs,
                (int)p->ld, p->neg, (int)p->ld, 0, p->l, p->n_neg);
    sg_parallel_for(sg_graph_pool(g), (size_t)p->n_rows, ROWS, forward_rows, p);
    for (int r = 0; r < p->n_rows; r++)
        loss += p->loss[r];
    out->data[0] = p->n_rows ? (float)(loss / p->n_rows) : 0;
    if (p->n_rows && sg_graph_training(g) && (x->needs_grad || sg_param_trains(g, table)))
        sg_tape(g, out, sampled_backward, p);
    return out;
}

sg_tensor *sg_sampled_ce(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec)
{
    return sampled_loss(g, x, table, spec, SOFTMAX, 0);
}

sg_tensor *sg_sampled_bce(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec, float beta)
{
    return sampled_loss(g, x, table, spec, BINARY, beta);
}

sg_tensor *sg_sampled_bpr_max(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec,
                              float reg)
{
    return sampled_loss(g, x, table, spec, BPR_MAX, reg);
}

sg_tensor *sg_sampled_top1_max(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec)
{
    return sampled_loss(g, x, table, spec, TOP1_MAX, 0);
}
