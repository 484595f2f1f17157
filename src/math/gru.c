/* gru.c - packed gated recurrent unit.   [Cho et al. 2014; as a recommender: Hidasi et al. 2016]
 *
 *   z = s(xz + Uz h);  r = s(xr + Ur h);  c = tanh(xc + Uc (r h));  h' = (1 - z) h + z c      h = 0 before a sequence
 *
 * x (tokens, 3 d): what the input gives to z, r, c (a linear layer with bias); U (3 d, d): Uz, Ur, Uc; out (tokens, d): states.
 * Backward, with up = dh' + what comes from the next step:
 *
 *   dac = up z (1 - c^2);  daz = up (c - h) z (1 - z);  dar = (Uc^T dac) h r (1 - r)
 *   dh  = up (1 - z) + r (Uc^T dac) + Uz^T daz + Ur^T dar
 *   dx  = (daz, dar, dac);  dU = sum of da h^T, for Uc of dac (r h)^T
 *
 * Sequences are sorted by length and walk in groups of SG_GRU_ROWS, a group a piece; dU is two products at the end. */
#include "math/gru.h"

#include "math/gemm.h"
#include "math/op.h"

#include <assert.h>
#include <string.h>

enum { PAD = 16 };

typedef struct plan {
    sg_tensor *x, *out;
    sg_param *u;
    int d, w, n;           /* n: sequences that are not empty */
    int32_t *first, *len;  /* (n) longest first */
    const float **start;   /* (n) of them; NULL: zeros */
    float *wide, *flipped; /* (w, 3 w), (3 w, w) */
    float *gate;           /* (tokens, 3 d) */
    float *da, *past, *reset;
    float *work;
} plan;

static sg_gru_group group_of(const plan *p, size_t begin, size_t end)
{
    return (sg_gru_group){.n = (int)(end - begin),
                          .d = p->d,
                          .w = p->w,
                          .first = p->first + begin,
                          .len = p->len + begin,
                          .u = p->wide,
                          .ut = p->flipped,
                          .x = p->x->data,
                          .h = p->out->data,
                          .start = p->start ? p->start + begin : NULL,
                          .gate = p->gate,
                          .dh = p->out->grad,
                          .da = p->da,
                          .past = p->past,
                          .reset = p->reset};
}

static void forward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const sg_gru_group g = group_of(p, begin, end);

    sg_kernels_best()->gru(&g, p->work + (size_t)thread * sg_gru_floats((size_t)p->w));
}

static void backward_piece(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const plan *p = ctx;
    const sg_gru_group g = group_of(p, begin, end);

    sg_kernels_best()->gru_grad(&g, p->work + (size_t)thread * sg_gru_floats((size_t)p->w));
}

/* Weights with rows and gates widened by zeros: to[k][gate w + j] = U[gate d + j][k], or its transpose. */
static void widen(float *to, const plan *p, bool flip)
{
    const size_t d = (size_t)p->d, w = (size_t)p->w;

    memset(to, 0, 3 * w * w * sizeof *to);
    for (size_t gate = 0; gate < 3; gate++)
        for (size_t j = 0; j < d; j++)
            for (size_t k = 0; k < d; k++) {
                const float u = p->u->value[(gate * d + j) * d + k];

                *(flip ? to + (gate * w + j) * w + k : to + k * 3 * w + gate * w + j) = u;
            }
}

static bool take_work(sg_graph *g, plan *p)
{
    p->work = sg_scratch(g, (size_t)sg_pool_threads(sg_graph_pool(g)) * sg_gru_floats((size_t)p->w),
                         sizeof *p->work);
    return p->work != NULL;
}

static void gru_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    plan *p = saved;
    const size_t tokens = (size_t)out->dim[0], d = (size_t)p->d;
    float *du = sg_param_grad(g, p->u), *dx = NULL;
    bool fresh = false;

    if (sg_wants(g, p->x) && !(dx = sg_grad_fresh(g, p->x, &fresh)))
        return;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    p->flipped = sg_scratch(g, 3 * (size_t)p->w * (size_t)p->w, sizeof *p->flipped);
    p->da = sg_scratch(g, tokens * 3 * d, sizeof *p->da);
    p->past = sg_scratch(g, tokens * d, sizeof *p->past);
    p->reset = sg_scratch(g, tokens * d, sizeof *p->reset);
    if (!p->flipped || !p->da || !p->past || !p->reset || !take_work(g, p))
        return;
    widen(p->flipped, p, true);
    sg_parallel_for(sg_graph_pool(g), (size_t)p->n, SG_GRU_ROWS, backward_piece, p);
    if (du && (!sg_gemm_linear_dw(sg_graph_pool(g), sg_graph_arena(g), sg_graph_precision(g), (int)tokens,
                                  p->da, 3 * p->d, p->past, p->d, 2 * p->d, p->d, du) ||
               !sg_gemm_linear_dw(sg_graph_pool(g), sg_graph_arena(g), sg_graph_precision(g), (int)tokens,
                                  p->da + 2 * d, 3 * p->d, p->reset, p->d, p->d, p->d, du + 2 * d * d)))
        sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: gradient of '%s'", p->u->name);
    if (dx)
        sg_add_to(g, dx, p->da, tokens * 3 * d, fresh);
    sg_arena_back(sg_graph_arena(g), mark);
}

/* Sequences that are not empty, longest first, in the order of the batch where equal: by counting. */
static bool sort_sequences(sg_graph *g, plan *p, const int32_t *offsets, int batch, const float *const *start)
{
    int longest = 0;
    int32_t *at;

    for (int i = 0; i < batch; i++) {
        const int len = offsets[i + 1] - offsets[i];

        if (len < 0)
            return sg_graph_fail(g, SG_ERR_USAGE, "gru: offsets of sequence %d fall", i) != NULL;
        longest = len > longest ? len : longest;
        p->n += len > 0;
    }
    at = sg_scratch(g, (size_t)longest + 1, sizeof *at);
    p->first = sg_scratch(g, (size_t)p->n, sizeof *p->first);
    p->len = sg_scratch(g, (size_t)p->n, sizeof *p->len);
    p->start = start ? sg_scratch(g, (size_t)p->n, sizeof *p->start) : NULL;
    if (!at || !p->first || !p->len || (start && !p->start))
        return false;
    memset(at, 0, ((size_t)longest + 1) * sizeof *at);
    for (int i = 0; i < batch; i++)
        at[offsets[i + 1] - offsets[i]]++;
    for (int len = longest, sum = 0; len >= 0; len--) {
        const int here = at[len];

        at[len] = sum;
        sum += here;
    }
    for (int i = 0; i < batch; i++) {
        const int len = offsets[i + 1] - offsets[i];

        if (len > 0) {
            p->first[at[len]] = offsets[i];
            if (start)
                p->start[at[len]] = start[i];
            p->len[at[len]++] = len;
        }
    }
    return true;
}

sg_tensor *sg_gru(sg_graph *g, sg_tensor *x, sg_param *u, const int32_t *offsets, int batch)
{
    return sg_gru_from(g, x, u, offsets, batch, NULL);
}

sg_tensor *sg_gru_from(sg_graph *g, sg_tensor *x, sg_param *u, const int32_t *offsets, int batch,
                       const float *const *start)
{
    plan *p;

    assert(!start || !sg_graph_training(g));
    if (!x || !(p = sg_scratch(g, 1, sizeof *p)))
        return NULL;
    if (u->rank != 2 || u->dim[0] != 3 * u->dim[1] || x->rank != 2 || x->dim[1] != u->dim[0])
        return sg_graph_fail(g, SG_ERR_USAGE, "gru: '%s' is not (3 d, d), or %s are not rows of 3 d", u->name,
                             sg_shape_of(x).s);
    if (batch < 0 || offsets[0] != 0 || offsets[batch] != x->dim[0])
        return sg_graph_fail(g, SG_ERR_USAGE, "gru: offsets do not cover %d tokens", x->dim[0]);
    *p = (plan){.x = x, .u = u, .d = u->dim[1], .w = (u->dim[1] + PAD - 1) / PAD * PAD};
    p->out = sg_tensor_2d(g, x->dim[0], p->d);
    p->gate = sg_scratch(g, x->count, sizeof *p->gate);
    if (!p->out || !p->gate || !sort_sequences(g, p, offsets, batch, start))
        return NULL;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    p->wide = sg_scratch(g, 3 * (size_t)p->w * (size_t)p->w, sizeof *p->wide);
    if (!p->wide || !take_work(g, p))
        return NULL;
    widen(p->wide, p, false);
    sg_parallel_for(sg_graph_pool(g), (size_t)p->n, SG_GRU_ROWS, forward_piece, p);
    sg_arena_back(sg_graph_arena(g), mark);
    if (sg_wants(g, x) || sg_param_trains(g, u))
        sg_tape(g, p->out, gru_backward, p);
    return p->out;
}
