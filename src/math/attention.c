/* attention.c - packed multi-head softmax attention with masks, T5 relative bias and dropout.   [Vaswani et al. 2017]
 *
 *   p_rc = exp(scale q_r.k_c + bias(c - r') - lse_r) for the keys c that row r sees;  out_r = sum_c m_rc p_rc v_c
 *
 * q, out (tokens_q, heads * dh); k, v (tokens_k, kv_heads * dh); r' = r + n_k - n_q; m = 0 or 1 / (1 - dropout).
 * Kept for the gradient: lse (heads, tokens_q); the probabilities are computed again.
 * Every mask lets a row see one range of keys, so masks are two numbers per row. A piece is some heads of sequences, on the way back
 * some heads of k and v with all heads of q that read them [Ainslie et al. 2023]; dropout
 * bits are a function of (seed, step, op, row, head, key). */
#include "math/attention.h"

#include "math/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { PAD = 16 }; /* keys past the end that kernels may look at */

typedef struct plan {
    sg_attention_spec spec;
    sg_tensor *q, *k, *v, *out;
    float *dq, *dk, *dv;      /* NULL: not wanted */
    bool new_q, new_k, new_v; /* the gradient array holds nothing yet */
    int32_t *lo, *hi;         /* (tokens_q) visible keys of each row */
    float *lse;               /* (heads, tokens_q) */
    int reach;                /* bias_of has places for distances -reach .. reach - 1 */
    int32_t *bucket;          /* (2 * reach) */
    float *bias_of;           /* (heads, 2 * reach): the bias table by distance */
    float *dbias_of;          /* (batch, heads, buckets): summed in sequence order */
    float *work;              /* per thread: logits, gradients of logits, gradient of the bias by distance */
    size_t work_floats;
    sg_drop drop;
    size_t drop_stride; /* mask numbers of a row */
    size_t grain;       /* heads of sequences in a piece */
    int share;          /* heads of q that read one head of k and v */
} plan;

int sg_t5_bucket(int distance, bool bidirectional, int buckets, int max_distance)
{
    int offset = 0, exact, bucket;

    if (bidirectional) {
        buckets /= 2;
        offset = distance > 0 ? buckets : 0;
        distance = distance < 0 ? -distance : distance;
    } else {
        distance = distance < 0 ? -distance : 0;
    }
    exact = buckets / 2;
    if (distance < exact)
        return offset + distance;
    if (exact < 1 || max_distance <= exact || distance >= max_distance)
        return offset + buckets - 1;
    /* 1e-6: where the logarithm is a whole number, rounding must not fall below it */
    bucket =
        exact +
        (int)(log((double)distance / exact) / log((double)max_distance / exact) * (buckets - exact) + 1e-6);
    return offset + (bucket < buckets - 1 ? bucket : buckets - 1);
}

static void visible_keys(plan *p)
{
    const sg_attention_spec *s = &p->spec;

    assert(s->mask != SG_MASK_LIMIT || s->limit_q);
    for (int i = 0; i < s->batch; i++) {
        const int first = s->offsets_q[i], n_q = s->offsets_q[i + 1] - first;
        const int n_k = s->offsets_k[i + 1] - s->offsets_k[i];

        for (int r = 0; r < n_q; r++) {
            const int place =
                s->place_q ? s->place_q[first + r] : r + n_k - n_q; /* of this query among the keys */
            int lo = 0, hi = n_k;

            if (s->mask == SG_MASK_CAUSAL)
                hi = place + 1;
            else if (s->mask == SG_MASK_BLOCK)
                hi = (r / s->block + 1) * s->block;
            else if (s->mask == SG_MASK_LIMIT)
                hi = s->limit_q[first + r];
            if (s->window > 0)
                lo = place - s->window + 1;
            lo = lo < 0 ? 0 : lo;
            hi = hi > n_k ? n_k : hi;
            p->lo[first + r] = lo;
            p->hi[first + r] = hi < lo ? lo : hi;
        }
    }
}

static void spread_bias(plan *p)
{
    const sg_param *b = p->spec.bias;
    const int heads = p->spec.heads;

    for (int i = 0; i < 2 * p->reach; i++)
        p->bucket[i] =
            sg_t5_bucket(i - p->reach, p->spec.bias_bidirectional, b->dim[0], p->spec.bias_max_distance);
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < 2 * p->reach; i++)
            p->bias_of[(size_t)h * 2 * p->reach + i] = b->value[(size_t)p->bucket[i] * heads + h];
}

static sg_attend one_head(const plan *p, int i, int h)
{
    const sg_attention_spec *s = &p->spec;
    const size_t ld = (size_t)p->q->dim[1], dh = ld / (size_t)s->heads,
                 ld_k = s->kept ? dh * (size_t)(s->heads / p->share) : (size_t)p->k->dim[1];
    const int first = s->offsets_q[i], n_q = s->offsets_q[i + 1] - first;
    const int first_k = s->offsets_k[i], n_k = s->offsets_k[i + 1] - first_k;
    const size_t at_q = (size_t)first * ld + (size_t)h * dh, at_kv = (size_t)(h / p->share) * dh;
    const size_t at_k = s->kept ? at_kv : (size_t)first_k * ld_k + at_kv;
    const float *k = s->kept ? s->kept[i]->k : p->k->data, *v = s->kept ? s->kept[i]->v : p->v->data;

    return (sg_attend){
        .n_q = n_q,
        .n_k = n_k,
        .dh = (int)dh,
        .q = p->q->data + at_q,
        .k = k + at_k,
        .v = v + at_k,
        .ld_q = ld,
        .ld_k = ld_k,
        .ld_v = ld_k,
        .out = p->out->data + at_q,
        .ld_out = ld,
        .lse = p->lse + (size_t)h * (size_t)p->q->dim[0] + first,
        .lo = p->lo + first,
        .hi = p->hi + first,
        .scale = s->scale,
        .bias = s->bias
                    ? p->bias_of + ((size_t)(2 * h + 1) * p->reach - (s->place_q ? 0 : (size_t)(n_k - n_q)))
                    : NULL,
        .place = s->place_q ? s->place_q + first : NULL,
        .drop = p->drop,
        .drop_stride = p->drop_stride,
        .drop_row = (uint64_t)first * (uint64_t)s->heads + (uint64_t)h,
        .drop_step = (uint64_t)s->heads,
        .dout = p->out->grad ? p->out->grad + at_q : NULL,
        .dq = p->dq ? p->dq + at_q : NULL,
        .dk = p->dk ? p->dk + at_k : NULL,
        .dv = p->dv ? p->dv + at_k : NULL,
    };
}

/* ---- the op ---------------------------------------------------------------------------------------------------- */

static void forward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const size_t heads = (size_t)p->spec.heads;

    for (size_t i = begin; i < end; i++) {
        const sg_attend a = one_head(p, (int)(i / heads), (int)(i % heads));

        sg_attend_head(&a, true, p->work + (size_t)thread * p->work_floats);
    }
}

static void clear_rows(float *x, size_t ld, int rows, int dh)
{
    assert(x || rows == 0);
    for (int r = 0; r < rows; r++)
        memset(x + (size_t)r * ld, 0, (size_t)dh * sizeof *x);
}

/* Head h of sequence i: adds to dq, dk, dv, which hold something already. */
static void backward_head(const plan *p, const sg_attend *head, int i, int h, float *by_distance, float *work)
{
    sg_attend a = *head;

    if (p->dbias_of) {
        float *sum =
            p->dbias_of + ((size_t)i * (size_t)p->spec.heads + (size_t)h) * (size_t)p->spec.bias->dim[0];
        const int ahead = a.n_q > a.n_k ? a.n_q : a.n_k;
        const int least = p->reach - a.n_k, most = p->reach + ahead + PAD; /* distances of this sequence */

        memset(by_distance + least, 0, (size_t)(most - least) * sizeof *by_distance);
        a.dbias = by_distance + p->reach - (a.place ? 0 : a.n_k - a.n_q);
        sg_attend_head(&a, false, work);
        for (int d = least; d < most; d++)
            sum[p->bucket[d]] += by_distance[d];
    } else {
        sg_attend_head(&a, false, work);
    }
}

static void backward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const int kv_heads = p->spec.heads / p->share;
    float *by_distance = p->work + (size_t)thread * p->work_floats,
          *work = by_distance + 2 * (size_t)p->reach;

    for (size_t at = begin; at < end; at++) {
        const int i = (int)(at / (size_t)kv_heads), first = (int)(at % (size_t)kv_heads) * p->share;

        for (int h = first; h < first + p->share; h++) {
            const sg_attend a = one_head(p, i, h);

            if (p->new_q)
                clear_rows(a.dq, a.ld_q, a.n_q, a.dh);
            if (p->new_k && h == first)
                clear_rows(a.dk, a.ld_k, a.n_k, a.dh);
            if (p->new_v && h == first)
                clear_rows(a.dv, a.ld_v, a.n_k, a.dh);
            if (a.n_q > 0 && a.n_k > 0)
                backward_head(p, &a, i, h, by_distance, work);
        }
    }
}

/* A new gradient array is cleared by the pieces, just before they add to it, unless two inputs share it. */
static float *gradient(sg_graph *g, sg_tensor *t, bool *fresh, bool apart)
{
    *fresh = false;
    return apart ? sg_grad_fresh(g, t, fresh) : sg_grad(g, t);
}

static void attention_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    plan *p = saved;
    const sg_param *b = p->spec.bias;
    const size_t heads = (size_t)p->spec.heads, buckets = b ? (size_t)b->dim[0] : 0,
                 n = (size_t)p->spec.batch * heads;
    float *dbias = sg_param_grad(g, p->spec.bias);

    const bool apart = p->q != p->k && p->k != p->v && p->v != p->q;

    if ((p->q->needs_grad && !(p->dq = gradient(g, p->q, &p->new_q, apart))) ||
        (p->k->needs_grad && !(p->dk = gradient(g, p->k, &p->new_k, apart))) ||
        (p->v->needs_grad && !(p->dv = gradient(g, p->v, &p->new_v, apart))))
        return;
    if (dbias) {
        if (!(p->dbias_of = sg_scratch(g, n * buckets, sizeof(float))))
            return;
        memset(p->dbias_of, 0, n * buckets * sizeof(float));
    }
    sg_parallel_for(sg_graph_pool(g), n / (size_t)p->share, (p->grain - 1) / (size_t)p->share + 1,
                    backward_piece, p);
    for (size_t i = 0; i < n && dbias; i++)
        for (size_t d = 0; d < buckets; d++)
            dbias[d * heads + i % heads] += p->dbias_of[i * buckets + d];
}

/* Adds k and v to what is kept, and counts it. */
static bool take_kept(sg_graph *g, const sg_attention_spec *s, const sg_tensor *q, const sg_tensor *k,
                      const sg_tensor *v, int32_t *offsets_k)
{
    const int width = q->dim[1];

    assert(!sg_graph_training(g) && (!k || k->dim[0] == q->dim[0]));
    for (int i = 0; i < s->batch; i++) {
        const size_t at = (size_t)s->offsets_q[i] * (size_t)width;
        const int n = s->offsets_q[i + 1] - s->offsets_q[i];

        if (k && v && !sg_kept_add(s->kept[i], width, k->data + at, v->data + at, n)) {
            sg_graph_fail(g, SG_ERR_MEMORY, "keys of a history: out of memory");
            return false;
        }
        offsets_k[i + 1] = offsets_k[i] + s->kept[i]->n;
    }
    return true;
}

/* The spec with its arrays copied, and the longest sequence. NULL (sticky) when it is not one. */
static plan *plan_new(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_attention_spec *s)
{
    plan *p = sg_scratch(g, 1, sizeof *p);
    const size_t n_offsets = (size_t)s->batch + 1;
    int32_t *offsets_q, *offsets_k, *limit = NULL, *place = NULL;
    int longest = 0;

    const int kv_heads = s->kv_heads ? s->kv_heads : s->heads;

    if (s->heads < 1 || q->rank != 2 || q->dim[1] % s->heads || s->batch < 0)
        return sg_graph_fail(g, SG_ERR_USAGE, "attention: width %d is no multiple of %d heads", q->dim[1],
                             s->heads);
    if (kv_heads < 1 || s->heads % kv_heads)
        return sg_graph_fail(
            g, SG_ERR_USAGE,
            "attention: expected heads that share keys and values evenly, found %d heads for %d", s->heads,
            kv_heads);
    if (!s->kept && (k->rank != 2 || v->rank != 2 || q->dim[1] / s->heads * kv_heads != k->dim[1] ||
                     k->dim[1] != v->dim[1] || k->dim[0] != v->dim[0]))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "attention: expected q, k, v of one width and k, v of one length");
    if (s->dropout < 0 || s->dropout >= 1 || (s->mask == SG_MASK_BLOCK && s->block < 1) ||
        (s->mask == SG_MASK_LIMIT && !s->limit_q))
        return sg_graph_fail(g, SG_ERR_USAGE, "attention: dropout, block or limits out of range");
    if (s->bias && (s->bias->rank != 2 || s->bias->dim[1] != s->heads || s->bias->dim[0] < 2))
        return sg_graph_fail(g, SG_ERR_USAGE, "attention: bias table '%s' is not (buckets, %d heads)",
                             s->bias->name, s->heads);
    offsets_q = sg_scratch(g, n_offsets, sizeof *offsets_q);
    offsets_k =
        s->offsets_k == s->offsets_q && !s->kept ? offsets_q : sg_scratch(g, n_offsets, sizeof *offsets_k);
    if (!p || !offsets_q || !offsets_k)
        return NULL;
    memcpy(offsets_q, s->offsets_q, n_offsets * sizeof *offsets_q);
    offsets_k[0] = 0;
    if (!s->kept)
        memcpy(offsets_k, s->offsets_k, n_offsets * sizeof *offsets_k);
    else if (!take_kept(g, s, q, k, v, offsets_k))
        return NULL;
    const int n_keys = s->kept ? offsets_k[s->batch] : k->dim[0];

    if (offsets_q[0] != 0 || offsets_k[0] != 0 || offsets_q[s->batch] != q->dim[0] ||
        offsets_k[s->batch] != n_keys)
        return sg_graph_fail(g, SG_ERR_USAGE, "attention: offsets do not cover %d queries and %d keys",
                             q->dim[0], n_keys);
    for (int i = 0; i < s->batch; i++) {
        const int n_q = offsets_q[i + 1] - offsets_q[i], n_k = offsets_k[i + 1] - offsets_k[i];

        if (n_q < 0 || n_k < 0)
            return sg_graph_fail(g, SG_ERR_USAGE, "attention: offsets of sequence %d fall", i);
        longest = n_q > longest ? n_q : longest;
        longest = n_k > longest ? n_k : longest;
    }
    if (s->mask == SG_MASK_LIMIT) {
        if (!(limit = sg_scratch(g, (size_t)q->dim[0], sizeof *limit)))
            return NULL;
        memcpy(limit, s->limit_q, (size_t)q->dim[0] * sizeof *limit);
    }
    if (s->place_q) {
        if (!(place = sg_scratch(g, (size_t)q->dim[0], sizeof *place)))
            return NULL;
        memcpy(place, s->place_q, (size_t)q->dim[0] * sizeof *place);
        for (int i = 0; i < s->batch; i++)
            for (int r = offsets_q[i]; r < offsets_q[i + 1]; r++)
                if (place[r] < 0 || place[r] > offsets_k[i + 1] - offsets_k[i])
                    return sg_graph_fail(g, SG_ERR_USAGE,
                                         "attention: place %d of query %d is outside its %d keys", place[r],
                                         r, offsets_k[i + 1] - offsets_k[i]);
    }
    *p = (plan){.spec = *s, .q = q, .k = k, .v = v, .reach = longest + PAD, .share = s->heads / kv_heads};
    p->spec.offsets_q = offsets_q;
    p->spec.offsets_k = offsets_k;
    p->spec.limit_q = limit;
    p->spec.place_q = place;
    return p;
}

/* Heads of sequences to a piece: about a fifth of a million products, a fixed number for given shapes. */
static size_t grain_of(const plan *p)
{
    const sg_attention_spec *s = &p->spec;
    double work = 0;

    for (int i = 0; i < s->batch; i++)
        work += ((double)s->offsets_q[i + 1] - s->offsets_q[i]) *
                ((double)s->offsets_k[i + 1] - s->offsets_k[i] + 8);
    work *= (double)p->q->dim[1] / ((double)s->batch * s->heads);
    return work < 2e5 ? (size_t)(2e5 / (work + 1)) + 1 : 1;
}

sg_tensor *sg_attention(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_attention_spec *spec)
{
    const size_t threads = (size_t)sg_pool_threads(sg_graph_pool(g));
    plan *p;
    size_t n_bias, dh;

    if (!q || (!spec->kept && (!k || !v)) || !(p = plan_new(g, q, k, v, spec)))
        return NULL;
    dh = (size_t)q->dim[1] / (size_t)spec->heads;
    n_bias = 2 * (size_t)p->reach;
    p->work_floats = n_bias + sg_attend_head_floats((size_t)p->reach, (size_t)p->reach, dh);
    p->out = sg_tensor_2d(g, q->dim[0], q->dim[1]);
    p->lo = sg_scratch(g, (size_t)q->dim[0], sizeof *p->lo);
    p->hi = sg_scratch(g, (size_t)q->dim[0], sizeof *p->hi);
    p->lse = sg_scratch(g, (size_t)spec->heads * (size_t)q->dim[0], sizeof *p->lse);
    p->work = sg_scratch(g, threads * p->work_floats, sizeof *p->work);
    if (!p->out || !p->lo || !p->hi || !p->lse || !p->work)
        return NULL;
    visible_keys(p);
    if (spec->bias) {
        p->bucket = sg_scratch(g, n_bias, sizeof *p->bucket);
        p->bias_of = sg_scratch(g, (size_t)spec->heads * n_bias, sizeof *p->bias_of);
        if (!p->bucket || !p->bias_of)
            return NULL;
        spread_bias(p);
    }
    if (spec->dropout > 0 && sg_graph_training(g)) {
        p->drop = sg_drop_new(g, spec->dropout);
        p->drop_stride = ((size_t)p->reach + 31) / 32 * 32;
    }
    p->grain = grain_of(p);
    sg_parallel_for(sg_graph_pool(g), (size_t)spec->batch * (size_t)spec->heads, p->grain, forward_piece, p);
    if (sg_graph_training(g) &&
        (q->needs_grad || k->needs_grad || v->needs_grad || sg_param_trains(g, spec->bias)))
        sg_tape(g, p->out, attention_backward, p);
    return p->out;
}
