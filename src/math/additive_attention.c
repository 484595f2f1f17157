/* additive_attention.c - attention by a small network on query plus key, weights as they come.   [NARM: Li et al., CIKM 2017]
 *
 *   z_ij = s(q_i + k_j);  a_ij = w . z_ij;  out_i = sum of a_ij v_j over j visible to i, none: zeros
 *
 * q (tokens_q, d), k (tokens_k, d), w (d), v (tokens_k, dv). Sequence b owns rows offsets_q[b].. and offsets_k[b]..; with n_q queries
 * and n_k keys, query r sees keys 0 .. r + n_k - n_q. Backward, with g_i = dout_i:
 *
 *   da_ij = g_i . v_j;  dv_j += a_ij g_i;  dw += da_ij z_ij;  dq_i, dk_j += da_ij w z_ij (1 - z_ij)
 *
 * Sequences are pieces; a query works on all its keys at once; z is made again in the backward pass. */
#include "math/op.h"

#include <string.h>

typedef struct plan {
    sg_tensor *q, *k, *v, *out;
    sg_param *w;
    const int32_t *offsets_q, *offsets_k; /* copied */
    int batch, longest;                   /* keys */
    size_t d, dv, grain;
    float *a;                  /* per query (longest): weights of its keys, kept for the gradient */
    float *work;               /* per thread: z (longest, d); backward: and dz */
    float *dq, *dk, *dv_, *dw; /* NULL: not wanted; dw: a partial sum of d numbers a piece */
} plan;

static int visible(const plan *p, int b, int r)
{
    const int n_q = p->offsets_q[b + 1] - p->offsets_q[b], n_k = p->offsets_k[b + 1] - p->offsets_k[b];
    const int n = r + n_k - n_q + 1;

    return n < 0 ? 0 : n;
}

static void make_z(const plan *p, float *z, const float *q, const float *k, int n)
{
    const sg_kernels *x = sg_kernels_best();

    for (int j = 0; j < n; j++)
        x->add(z + (size_t)j * p->d, q, k + (size_t)j * p->d, p->d);
    x->act(SG_SIGMOID, z, z, (size_t)n * p->d);
}

static void forward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const sg_kernels *x = sg_kernels_best();
    float *z = p->work + (size_t)thread * (size_t)p->longest * p->d;

    for (size_t b = begin; b < end; b++) {
        const float *k = p->k->data + (size_t)p->offsets_k[b] * p->d,
                    *v = p->v->data + (size_t)p->offsets_k[b] * p->dv;

        for (int row = p->offsets_q[b]; row < p->offsets_q[b + 1]; row++) {
            const int n = visible(p, (int)b, row - p->offsets_q[b]);
            float *a = p->a + (size_t)row * (size_t)p->longest, *out = p->out->data + (size_t)row * p->dv;

            make_z(p, z, p->q->data + (size_t)row * p->d, k, n);
            memset(out, 0, p->dv * sizeof *out);
            for (int j = 0; j < n; j++) {
                a[j] = x->dot(p->w->value, z + (size_t)j * p->d, p->d);
                x->axpy(out, a[j], v + (size_t)j * p->dv, p->dv);
            }
        }
    }
}

static void backward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const sg_kernels *x = sg_kernels_best();
    const size_t d = p->d;
    float *z = p->work + (size_t)thread * 2 * (size_t)p->longest * d, *dz = z + (size_t)p->longest * d;

    for (size_t b = begin; b < end; b++) {
        const size_t key = (size_t)p->offsets_k[b];

        for (int row = p->offsets_q[b]; row < p->offsets_q[b + 1]; row++) {
            const int n = visible(p, (int)b, row - p->offsets_q[b]);
            const float *dout = p->out->grad + (size_t)row * p->dv,
                        *a = p->a + (size_t)row * (size_t)p->longest;

            make_z(p, z, p->q->data + (size_t)row * d, p->k->data + key * d, n);
            for (int j = 0; j < n; j++) {
                const float da = x->dot(dout, p->v->data + (key + (size_t)j) * p->dv, p->dv);

                x->scale(dz + (size_t)j * d, da, p->w->value, d);
                if (p->dw)
                    x->axpy(p->dw + piece * d, da, z + (size_t)j * d, d);
                if (p->dv_)
                    x->axpy(p->dv_ + (key + (size_t)j) * p->dv, a[j], dout, p->dv);
            }
            x->act_grad(SG_SIGMOID, dz, dz, z, z, (size_t)n * d, false);
            for (int j = 0; j < n && p->dq; j++)
                x->axpy(p->dq + (size_t)row * d, 1, dz + (size_t)j * d, d);
            if (p->dk && n > 0)
                x->axpy(p->dk + key * d, 1, dz, (size_t)n * d);
        }
    }
}

static void attention_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    plan *p = saved;
    const size_t pieces = sg_pieces((size_t)p->batch, p->grain);
    float *dw = sg_param_grad(g, p->w);

    p->dq = sg_wants(g, p->q) ? sg_grad(g, p->q) : NULL;
    p->dk = sg_wants(g, p->k) ? sg_grad(g, p->k) : NULL;
    p->dv_ = sg_wants(g, p->v) ? sg_grad(g, p->v) : NULL;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    p->work = sg_scratch(g, 2 * (size_t)sg_pool_threads(sg_graph_pool(g)) * (size_t)p->longest * p->d,
                         sizeof *p->work);
    p->dw = dw ? sg_scratch(g, pieces * p->d, sizeof *p->dw) : NULL;
    if ((sg_wants(g, p->q) && !p->dq) || (sg_wants(g, p->k) && !p->dk) || (sg_wants(g, p->v) && !p->dv_) ||
        !p->work || (dw && !p->dw))
        return;
    if (dw)
        memset(p->dw, 0, pieces * p->d * sizeof *p->dw);
    sg_parallel_for(sg_graph_pool(g), (size_t)p->batch, p->grain, backward_piece, p);
    if (dw)
        sg_join(dw, p->dw, pieces, p->d);
    sg_arena_back(sg_graph_arena(g), mark);
}

static bool copy_offsets(sg_graph *g, plan *p, const int32_t *offsets_q, const int32_t *offsets_k)
{
    const size_t n = (size_t)p->batch + 1;
    int32_t *q = sg_scratch(g, n, sizeof *q), *k = sg_scratch(g, n, sizeof *k);

    if (!q || !k)
        return false;
    memcpy(q, offsets_q, n * sizeof *q);
    memcpy(k, offsets_k, n * sizeof *k);
    if (q[0] != 0 || k[0] != 0 || q[p->batch] != p->q->dim[0] || k[p->batch] != p->k->dim[0])
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "additive attention: offsets do not cover %d queries and %d keys", p->q->dim[0],
                             p->k->dim[0]) != NULL;
    for (int b = 0; b < p->batch; b++) {
        if (q[b + 1] < q[b] || k[b + 1] < k[b])
            return sg_graph_fail(g, SG_ERR_USAGE, "additive attention: offsets of sequence %d fall", b) !=
                   NULL;
        p->longest = k[b + 1] - k[b] > p->longest ? k[b + 1] - k[b] : p->longest;
    }
    p->offsets_q = q;
    p->offsets_k = k;
    return true;
}

sg_tensor *sg_additive_attention(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, sg_param *w,
                                 const int32_t *offsets_q, const int32_t *offsets_k, int batch)
{
    plan *p;

    if (!q || !k || !v || !(p = sg_scratch(g, 1, sizeof *p)))
        return NULL;
    if (q->rank != 2 || k->rank != 2 || v->rank != 2 || w->rank != 1 || q->dim[1] != w->dim[0] ||
        k->dim[1] != w->dim[0] || v->dim[0] != k->dim[0] || batch < 0)
        return sg_graph_fail(g, SG_ERR_USAGE, "additive attention: q %s, k %s, v %s and '%s' do not fit",
                             sg_shape_of(q).s, sg_shape_of(k).s, sg_shape_of(v).s, w->name);
    *p = (plan){
        .q = q, .k = k, .v = v, .w = w, .batch = batch, .d = (size_t)q->dim[1], .dv = (size_t)v->dim[1]};
    p->grain = ((size_t)batch + 63) / 64; /* at most 64 partial sums of dw */
    p->grain = p->grain ? p->grain : 1;
    if (!copy_offsets(g, p, offsets_q, offsets_k))
        return NULL;
    p->out = sg_tensor_2d(g, q->dim[0], v->dim[1]);
    p->a = sg_scratch(g, (size_t)q->dim[0] * (size_t)p->longest, sizeof *p->a);
    if (!p->out || !p->a)
        return NULL;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    p->work =
        sg_scratch(g, (size_t)sg_pool_threads(sg_graph_pool(g)) * (size_t)p->longest * p->d, sizeof *p->work);
    if (!p->work)
        return NULL;
    sg_parallel_for(sg_graph_pool(g), (size_t)batch, p->grain, forward_piece, p);
    sg_arena_back(sg_graph_arena(g), mark);
    if (sg_wants(g, q) || sg_wants(g, k) || sg_wants(g, v) || sg_param_trains(g, w))
        sg_tape(g, p->out, attention_backward, p);
    return p->out;
}
