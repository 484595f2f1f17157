/* hstu_attention.c - packed pointwise attention with relative position and time bias.
 *   [Zhai et al. 2024, arXiv:2402.17152, eq. 2]
 *
 *   l_ij  = scale q_i.k_j + P[j - i + N - 1] + T[bucket(time_q_i - time_k_j)]    for j <= i
 *   a_ij  = SiLU(l_ij) / divisor          softmax: a_ij = exp(l_ij - lse_i) / divisor
 *   out_i = sum_j a_ij v_j
 *   dv_j  = sum_i a_ij dout_i
 *   dl_ij = SiLU'(l_ij) dout_i.v_j / divisor;    dq, dk, dP, dT follow from dl as l from q, k, P, T
 *
 * q, k (tokens, heads * d_qk), v and out (tokens, heads * d_v), perhaps inside wider rows. f32 throughout.
 * Nothing of size n^2 is kept: weights and time buckets are worked out again, tile by tile. A piece is some
 * heads of sequences, copied into rows of whole vectors; what several pieces add to (P, T) is joined in their
 * order. */
#include "math/hstu_attention.h"

#include "math/op.h"

#include <math.h>
#include <string.h>

enum { PAD = SG_HSTU_PAD };

typedef struct plan {
    sg_hstu_spec spec;
    sg_tensor *q, *k, *v, *out;
    float *dq, *dk, *dv; /* NULL: not wanted */
    int longest;
    float *position;          /* (longest + PAD): of distances 1 - longest .. PAD */
    int32_t *least;           /* (buckets) */
    int32_t *time_q, *time_k; /* (tokens), (tokens + PAD): seconds since the first key of the sequence */
    float *lse;               /* (heads, tokens), softmax */
    float *dposition;         /* (heads of sequences, longest + PAD) */
    float *dtime;             /* (heads of sequences, buckets) */
    float *work;              /* per thread */
    size_t work_floats, grain, w_qk, w_v; /* widths in whole vectors */
} plan;

int sg_hstu_bucket(int64_t seconds, int buckets)
{
    const double age = fabs((double)seconds);
    const int bucket = (int)(log(age > 1 ? age : 1) / 0.301);

    return bucket < buckets - 1 ? bucket : buckets - 1;
}

bool sg_hstu_seconds(int32_t *after, int64_t a, int64_t b)
{
    const uint64_t x = b > a ? (uint64_t)b - (uint64_t)a : 0;

    *after = (int32_t)(x & INT32_MAX);
    return x < INT32_MAX;
}

void sg_hstu_least(int32_t *least, int buckets)
{
    least[0] = INT32_MIN;
    for (int b = 1; b < buckets; b++) {
        const double near = exp(0.301 * b) - 2;
        int64_t x = near < INT32_MAX ? (int64_t)near : INT32_MAX;

        while (x < INT32_MAX && sg_hstu_bucket(x, buckets) < b)
            x++;
        least[b] = (int32_t)x;
    }
}

/* ---- one head of one sequence -------------------------------------------------------------------------- */

void sg_hstu_copy_in(float *to, size_t width, const float *from, size_t ld, int rows, int d)
{
    for (int r = 0; r < rows; r++, to += width, from += ld) {
        memcpy(to, from, (size_t)d * sizeof *to);
        memset(to + d, 0, (width - (size_t)d) * sizeof *to);
    }
}

/* Columns col .. col + d - 1 of rows of x, or SiLU of them. */
static void read_rows(float *to, size_t width, const sg_tensor *x, int first, int col, int rows, int d,
                      bool silu)
{
    const size_t ld = (size_t)x->dim[1];

    sg_hstu_copy_in(to, width, x->data + (size_t)first * ld + (size_t)col, ld, rows, d);
    if (silu)
        sg_kernels_best()->act(SG_SILU, to, to, (size_t)rows * width);
}

/* The gradient of those, `from` (rows, width), into dx; NULL: not wanted. room: as much, where SiLU was applied, else NULL. */
static void add_rows(float *dx, const sg_tensor *x, int first, int col, float *from, size_t width, int rows,
                     int d, float *room)
{
    const sg_kernels *k = sg_kernels_best();
    const size_t ld = (size_t)x->dim[1], n = (size_t)rows * width;

    if (dx && room) {
        read_rows(room, width, x, first, col, rows, d, false);
        k->act_grad(SG_SILU, from, from, room, room, n, false);
    }
    for (int r = 0; dx && r < rows; r++, from += width) {
        float *to = dx + (size_t)(first + r) * ld + (size_t)col;

        k->add(to, to, from, (size_t)d);
    }
}

/* The head number i (of heads of sequences) with q, k, v copied to the front of `work`; *rest: what is left
 * of it. */
static sg_hstu_head head_of(const plan *p, size_t i, float *work, float **rest)
{
    const sg_hstu_spec *s = &p->spec;
    const int h = (int)(i % (size_t)s->heads), first = s->offsets[i / (size_t)s->heads];
    const int n = s->offsets[i / (size_t)s->heads + 1] - first;
    float *q = work, *k = q + (size_t)n * p->w_qk, *v = k + (size_t)n * p->w_qk,
          *out = v + (size_t)n * p->w_v;

    read_rows(q, p->w_qk, p->q, first, s->at_q + h * s->d_qk, n, s->d_qk, s->silu);
    read_rows(k, p->w_qk, p->k, first, s->at_k + h * s->d_qk, n, s->d_qk, s->silu);
    read_rows(v, p->w_v, p->v, first, s->at_v + h * s->d_v, n, s->d_v, s->silu);
    *rest = out + (size_t)n * p->w_v;
    return (sg_hstu_head){
        .n = n,
        .n_k = n,
        .d_qk = (int)p->w_qk,
        .d_v = (int)p->w_v,
        .q = q,
        .k = k,
        .v = v,
        .out = out,
        .scale = s->scale,
        .inv = 1 / s->divisor,
        .position = s->position ? p->position + p->longest - 1 : NULL,
        .time = s->time ? s->time->value : NULL,
        .least = p->least,
        .buckets = s->time ? s->time->dim[0] : 0,
        .time_q = p->time_q ? p->time_q + first : NULL,
        .time_k = p->time_k ? p->time_k + first : NULL,
        .lse = s->softmax ? p->lse + (size_t)h * (size_t)p->q->dim[0] + first : NULL,
    };
}

static void forward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const size_t heads = (size_t)p->spec.heads, d = (size_t)p->spec.d_v, ld = heads * d;

    for (size_t i = begin; i < end; i++) {
        float *work, *to = p->out->data + (size_t)p->spec.offsets[i / heads] * ld + i % heads * d;
        const sg_hstu_head a = head_of(p, i, p->work + (size_t)thread * p->work_floats, &work);

        sg_kernels_best()->hstu(&a, work);
        for (int r = 0; r < a.n; r++)
            memcpy(to + (size_t)r * ld, a.out + (size_t)r * p->w_v, d * sizeof *to);
    }
}

static void backward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const sg_hstu_spec *s = &p->spec;
    const size_t heads = (size_t)s->heads, ld = heads * (size_t)s->d_v;

    for (size_t i = begin; i < end; i++) {
        const int first = s->offsets[i / heads], h = (int)(i % heads);
        float *work;
        sg_hstu_head a = head_of(p, i, p->work + (size_t)thread * p->work_floats, &work);
        const size_t qk = (size_t)a.n * p->w_qk, v = (size_t)a.n * p->w_v,
                     at = (size_t)first * ld + (size_t)(h * s->d_v);
        float *dout = work;

        if (a.lse)
            sg_hstu_copy_in(a.out, p->w_v, p->out->data + at, ld, a.n, s->d_v);
        sg_hstu_copy_in(dout, p->w_v, p->out->grad + at, ld, a.n, s->d_v);
        a.dout = dout;
        a.dq = dout + v;
        a.dk = a.dq + qk;
        a.dv = a.dk + qk;
        memset(a.dq, 0, (2 * qk + v) * sizeof *a.dq);
        if (p->dposition)
            a.dposition = p->dposition + i * (size_t)(p->longest + PAD) + p->longest - 1;
        if (p->dtime)
            a.dtime = p->dtime + i * (size_t)a.buckets;
        sg_kernels_best()->hstu_grad(&a, a.dv + v);
        float *q = p->work + (size_t)thread * p->work_floats, *k = q + qk,
              *values = k + qk; /* read no more: room */
        add_rows(p->dq, p->q, first, s->at_q + h * s->d_qk, a.dq, p->w_qk, a.n, s->d_qk, s->silu ? q : NULL);
        add_rows(p->dk, p->k, first, s->at_k + h * s->d_qk, a.dk, p->w_qk, a.n, s->d_qk, s->silu ? k : NULL);
        add_rows(p->dv, p->v, first, s->at_v + h * s->d_v, a.dv, p->w_v, a.n, s->d_v,
                 s->silu ? values : NULL);
    }
}

/* ---- the op -------------------------------------------------------------------------------------------- */

static bool take_work(sg_graph *g, plan *p, bool forward)
{
    const size_t n = (size_t)p->longest, threads = (size_t)sg_pool_threads(sg_graph_pool(g));
    const size_t copies = n * (2 * p->w_qk + 2 * p->w_v);

    p->work_floats = copies * (forward ? 1 : 2) +
                     sg_hstu_floats(n, p->w_qk, p->w_v, p->spec.time ? (size_t)p->spec.time->dim[0] : 0);
    p->work = sg_scratch(g, threads * p->work_floats, sizeof *p->work);
    return p->work != NULL;
}

static void hstu_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    plan *p = saved;
    const size_t n = (size_t)p->spec.batch * (size_t)p->spec.heads, distances = (size_t)(p->longest + PAD);
    const size_t buckets = p->spec.time ? (size_t)p->spec.time->dim[0] : 0;
    float *dposition = sg_param_grad(g, p->spec.position), *dtime = sg_param_grad(g, p->spec.time);

    if ((p->q->needs_grad && !(p->dq = sg_grad(g, p->q))) ||
        (p->k->needs_grad && !(p->dk = sg_grad(g, p->k))) ||
        (p->v->needs_grad && !(p->dv = sg_grad(g, p->v))))
        return;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    p->dposition = dposition ? sg_scratch(g, n * distances, sizeof *p->dposition) : NULL;
    p->dtime = dtime ? sg_scratch(g, n * buckets, sizeof *p->dtime) : NULL;
    if ((dposition && !p->dposition) || (dtime && !p->dtime) || !take_work(g, p, false))
        return;
    if (dposition)
        memset(p->dposition, 0, n * distances * sizeof(float));
    if (dtime)
        memset(p->dtime, 0, n * buckets * sizeof(float));
    sg_parallel_for(sg_graph_pool(g), n, p->grain, backward_piece, p);
    if (dposition)
        dposition += (p->spec.position->dim[0] + 1) / 2 - p->longest;
    for (size_t i = 0; i < n && dposition; i++)
        sg_axpy(dposition, 1, p->dposition + i * distances, (size_t)p->longest);
    for (size_t i = 0; i < n && dtime; i++)
        sg_axpy(dtime, 1, p->dtime + i * buckets, buckets);
    sg_arena_back(sg_graph_arena(g), mark);
}

bool sg_hstu_check(sg_graph *g, const sg_tensor *x, const char *name, const sg_hstu_spec *s, int at, int d)
{
    if (x->rank == 2 && s->heads > 0 && d > 0 && at >= 0 && at <= x->dim[1] &&
        d <= (x->dim[1] - at) / s->heads)
        return true;
    return sg_graph_fail(g, SG_ERR_USAGE, "hstu: %s needs %d heads of %d columns from column %d, found %s",
                         name, s->heads, d, at, sg_shape_of(x).s) != NULL;
}

static bool copy_offsets(sg_graph *g, plan *p, int tokens)
{
    const sg_hstu_spec *s = &p->spec;
    const size_t n_offsets = (size_t)s->batch + 1;
    int32_t *offsets = sg_scratch(g, n_offsets, sizeof *offsets);

    if (!offsets)
        return false;
    memcpy(offsets, s->offsets, n_offsets * sizeof *offsets);
    if (offsets[0] != 0 || offsets[s->batch] != tokens)
        return sg_graph_fail(g, SG_ERR_USAGE, "hstu: offsets do not cover %d tokens", tokens) != NULL;
    for (int i = 0; i < s->batch; i++) {
        const int n = offsets[i + 1] - offsets[i];

        if (n < 0)
            return sg_graph_fail(g, SG_ERR_USAGE, "hstu: offsets of sequence %d fall", i) != NULL;
        p->longest = n > p->longest ? n : p->longest;
    }
    p->spec.offsets = offsets;
    return true;
}

static bool spread_position(sg_graph *g, plan *p)
{
    const sg_param *table = p->spec.position;
    const int most = (table->dim[0] + 1) / 2;

    if (table->rank != 1 || table->dim[0] % 2 == 0 || most < p->longest)
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "hstu: position table '%s' has %d numbers, sequences of %d need %d", table->name,
                             table->dim[0], p->longest, 2 * p->longest - 1) != NULL;
    if (!(p->position = sg_scratch(g, (size_t)(p->longest + PAD), sizeof *p->position)))
        return false;
    memcpy(p->position, table->value + most - p->longest, (size_t)p->longest * sizeof *p->position);
    memset(p->position + p->longest, 0, PAD * sizeof *p->position);
    return true;
}

static bool copy_times(sg_graph *g, plan *p, size_t tokens)
{
    const sg_hstu_spec *s = &p->spec;
    const int buckets = s->time->dim[0];

    if (s->time->rank != 1 || buckets < 1 || !s->time_q || !s->time_k)
        return sg_graph_fail(g, SG_ERR_USAGE, "hstu: time table '%s' is no list, or times are missing",
                             s->time->name) != NULL;
    p->least = sg_scratch(g, (size_t)buckets, sizeof *p->least);
    p->time_q = sg_scratch(g, tokens, sizeof *p->time_q);
    p->time_k = sg_scratch(g, tokens + PAD, sizeof *p->time_k);
    if (!p->least || !p->time_q || !p->time_k)
        return false;
    sg_hstu_least(p->least, buckets);
    for (int i = 0; i < s->batch; i++)
        for (int r = s->offsets[i], first = r; r < s->offsets[i + 1]; r++) {
            if (r > first && s->time_k[r] < s->time_k[r - 1])
                return sg_graph_fail(g, SG_ERR_USAGE, "hstu: times of sequence %d fall at token %d", i,
                                     r - first) != NULL;
            if (!sg_hstu_seconds(&p->time_k[r], s->time_k[first], s->time_k[r]) ||
                !sg_hstu_seconds(&p->time_q[r], s->time_k[first], s->time_q[r]))
                return sg_graph_fail(g, SG_ERR_USAGE,
                                     "hstu: times of sequence %d span more than 68 years, expected seconds",
                                     i) != NULL;
        }
    memset(p->time_k + tokens, 0, PAD * sizeof *p->time_k);
    return true;
}

/* Heads of sequences to a piece: about a fifth of a million products, a fixed number for given shapes. */
static size_t grain_of(const plan *p)
{
    double work = 0;

    for (int i = 0; i < p->spec.batch; i++) {
        const double n = p->spec.offsets[i + 1] - p->spec.offsets[i];

        work += n * (n / 2 + 8);
    }
    work *= (double)(p->w_qk + p->w_v) / (p->spec.batch > 0 ? p->spec.batch : 1);
    return work < 2e5 ? (size_t)(2e5 / (work + 1)) + 1 : 1;
}

sg_tensor *sg_hstu_attention(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_hstu_spec *spec)
{
    plan *p;

    if (!q || !k || !v || !(p = sg_scratch(g, 1, sizeof *p)))
        return NULL;
    if (!sg_hstu_check(g, q, "q", spec, spec->at_q, spec->d_qk) ||
        !sg_hstu_check(g, k, "k", spec, spec->at_k, spec->d_qk) ||
        !sg_hstu_check(g, v, "v", spec, spec->at_v, spec->d_v))
        return NULL;
    if (q->dim[0] != k->dim[0] || k->dim[0] != v->dim[0] || spec->batch < 0 || !(spec->divisor > 0))
        return sg_graph_fail(g, SG_ERR_USAGE, "hstu: expected q, k, v of one length and a divisor above 0");
    const size_t tokens = (size_t)q->dim[0];
    *p = (plan){.spec = *spec, .q = q, .k = k, .v = v};
    p->w_qk = sg_hstu_width(spec->d_qk);
    p->w_v = sg_hstu_width(spec->d_v);
    if (!copy_offsets(g, p, (int)tokens) || (spec->position && !spread_position(g, p)) ||
        (spec->time && !copy_times(g, p, tokens)))
        return NULL;
    p->out = sg_tensor_2d(g, (int)tokens, spec->heads * spec->d_v);
    p->lse = spec->softmax ? sg_scratch(g, (size_t)spec->heads * tokens, sizeof *p->lse) : NULL;
    if (!p->out || (spec->softmax && !p->lse))
        return NULL;
    p->grain = grain_of(p);
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    if (!take_work(g, p, true))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), (size_t)spec->batch * (size_t)spec->heads, p->grain, forward_piece, p);
    sg_arena_back(sg_graph_arena(g), mark);
    if (sg_graph_training(g) && (q->needs_grad || k->needs_grad || v->needs_grad ||
                                 sg_param_trains(g, spec->position) || sg_param_trains(g, spec->time)))
        sg_tape(g, p->out, hstu_backward, p);
    return p->out;
}
