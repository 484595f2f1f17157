/* balance.c - square blocks to soft permutations, and soft permutations times tables.   [Sinkhorn 1964; Adams & Zemel 2011; Mena et al. 2018]
 *
 *   v = 0;  rounds times:  u_i = -log sum_j exp(x_ij + v_j),  v_j = -log sum_i exp(x_ij + u_i);   y_ij = exp(x_ij + u_i + v_j)
 *
 * x, y are (blocks n, n). Sums in the log domain: what exp cannot hold is no less a permutation. The way back unrolls the rounds; of
 * each only u and v are kept, the matrices between are made again from them:
 *   dx += y dy;  du_i += sum_j y_ij dy_ij, dv_j += sum_i y_ij dy_ij;  then from the last round to the first, with
 *   C_ij = exp(x_ij + u_i + v_j) as after the columns:  dx_ij -= C_ij dv_j,  du_i -= sum_j C_ij dv_j
 *   R_ij = exp(x_ij + u_i + v'_j), v' of the round before:  dx_ij -= R_ij du_i,  dv'_j = -sum_i R_ij du_i */
#include "math/gemm.h"
#include "math/op.h"

#include <math.h>
#include <string.h>

typedef struct saved_balance {
    sg_tensor *x;
    const float *y, *dy;
    float *dx;
    float *u, *v; /* (blocks, rounds, n), (blocks, rounds + 1, n): v of round 0 is zero */
    float *work;  /* (blocks, 4 n) */
    size_t n;
    int rounds;
} saved_balance;

/* e_j = exp(x_j + u + v_j) */
static void exp_row(const sg_kernels *k, float *e, const float *x, float u, const float *v, size_t n)
{
    float sum;

    k->add(e, x, v, n);
    k->exp_rows(e, e, n, -u, &sum);
}

static void round_rows(const sg_kernels *k, float *u, const float *x, const float *v, float *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float sum;

        k->add(e, x + i * n, v, n);
        const float most = k->max(e, n);
        k->exp_rows(e, e, n, most, &sum);
        u[i] = -(most + logf(sum));
    }
}

/* most, sum: (n) scratch */
static void round_columns(const sg_kernels *k, float *v, const float *x, const float *u, float *e,
                          float *most, float *sum, size_t n)
{
    float row;

    for (size_t j = 0; j < n; j++)
        most[j] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            most[j] = fmaxf(most[j], x[i * n + j] + u[i]);
    memset(sum, 0, n * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            e[j] = x[i * n + j] - most[j];
        k->exp_rows(e, e, n, -u[i], &row);
        k->add(sum, sum, e, n);
    }
    for (size_t j = 0; j < n; j++)
        v[j] = -(most[j] + logf(sum[j]));
}

static void forward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const saved_balance *s = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t n = s->n, rounds = (size_t)s->rounds;

    for (size_t b = begin; b < end; b++) {
        const float *x = s->x->data + b * n * n;
        float *u = s->u + b * rounds * n, *v = s->v + b * (rounds + 1) * n, *e = s->work + b * 4 * n,
              *y = (float *)s->y + b * n * n;

        memset(v, 0, n * sizeof *v);
        for (size_t t = 0; t < rounds; t++) {
            round_rows(k, u + t * n, x, v + t * n, e, n);
            round_columns(k, v + (t + 1) * n, x, u + t * n, e, e + n, e + 2 * n, n);
        }
        for (size_t i = 0; i < n; i++)
            exp_row(k, y + i * n, x + i * n, u[(rounds - 1) * n + i], v + rounds * n, n);
    }
}

static void backward_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const saved_balance *s = ctx;
    const sg_kernels *k = sg_kernels_best();
    const size_t n = s->n, rounds = (size_t)s->rounds;

    for (size_t b = begin; b < end; b++) {
        const float *x = s->x->data + b * n * n, *y = s->y + b * n * n, *dy = s->dy + b * n * n;
        const float *u = s->u + b * rounds * n, *v = s->v + b * (rounds + 1) * n;
        float *dx = s->dx + b * n * n, *e = s->work + b * 4 * n, *du = e + n, *dv = du + n, *next = dv + n;

        memset(dv, 0, n * sizeof *dv);
        for (size_t i = 0; i < n; i++) {
            du[i] = k->dot(y + i * n, dy + i * n, n);
            for (size_t j = 0; j < n; j++) {
                const float g = y[i * n + j] * dy[i * n + j];

                dx[i * n + j] += g;
                dv[j] += g;
            }
        }
        for (size_t t = rounds; t-- > 0;) {
            memset(next, 0, n * sizeof *next);
            for (size_t i = 0; i < n; i++) {
                exp_row(k, e, x + i * n, u[t * n + i], v + (t + 1) * n, n);
                du[i] -= k->dot(e, dv, n);
                for (size_t j = 0; j < n; j++)
                    dx[i * n + j] -= e[j] * dv[j];
                exp_row(k, e, x + i * n, u[t * n + i], v + t * n, n);
                k->axpy(dx + i * n, -du[i], e, n);
                k->axpy(next, -du[i], e, n);
            }
            memset(du, 0, n * sizeof *du);
            memcpy(dv, next, n * sizeof *dv);
        }
    }
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    saved_balance *s = saved;

    if (!(s->dx = sg_grad(g, s->x)))
        return;
    s->dy = out->grad;
    sg_parallel_for(sg_graph_pool(g), sg_height(s->x) / s->n, 1, backward_body, s);
}

sg_tensor *sg_balance(sg_graph *g, sg_tensor *x, int rounds)
{
    saved_balance *s;
    sg_tensor *y;

    if (!x)
        return NULL;
    const size_t n = sg_width(x), blocks = n ? sg_height(x) / n : 0;
    if (x->rank != 2 || n == 0 || blocks * n != sg_height(x) || rounds < 1)
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "balance: expected square blocks, one under the other, found %s",
                             sg_shape_of(x).s);
    if (!(y = sg_like(g, x)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_balance){.x = x, .y = y->data, .n = n, .rounds = rounds};
    if (!(s->u = sg_scratch(g, blocks * (size_t)rounds * n, sizeof *s->u)) ||
        !(s->v = sg_scratch(g, blocks * ((size_t)rounds + 1) * n, sizeof *s->v)) ||
        !(s->work = sg_scratch(g, blocks * 4 * n, sizeof *s->work)))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), blocks, 1, forward_body, s);
    if (sg_wants(g, x))
        sg_tape(g, y, backward, s);
    return y;
}

/* ---- y_k = a_k b_k ---------------------------------------------------------------------------------------------- */

typedef struct saved_times {
    sg_tensor *a, *b;
} saved_times;

static void times_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_times *s = saved;
    const int n = s->a->dim[1], d = s->b->dim[1], blocks = s->a->dim[0] / n;
    float *da = sg_wants(g, s->a) ? sg_grad(g, s->a) : NULL,
          *db = sg_wants(g, s->b) ? sg_grad(g, s->b) : NULL;
    const size_t square = (size_t)n * (size_t)n, part = (size_t)n * (size_t)d;

    for (size_t k = 0; k < (size_t)blocks; k++) {
        const float *dy = out->grad + k * part;

        if (da)
            sg_gemm(sg_graph_pool(g), SG_F32, false, true, n, n, d, 1, dy, d, s->b->data + k * part, d, 1,
                    da + k * square, n);
        if (db)
            sg_gemm(sg_graph_pool(g), SG_F32, true, false, n, d, n, 1, s->a->data + k * square, n, dy, d, 1,
                    db + k * part, d);
    }
}

sg_tensor *sg_squares_times(sg_graph *g, sg_tensor *a, sg_tensor *b)
{
    saved_times *s;
    sg_tensor *y;

    if (!a || !b)
        return NULL;
    if (a->rank != 2 || b->rank != 2 || a->dim[1] < 1 || a->dim[0] % a->dim[1] || a->dim[0] != b->dim[0])
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "squares_times: expected square blocks and as many rows, found %s and %s",
                             sg_shape_of(a).s, sg_shape_of(b).s);
    const int n = a->dim[1], d = b->dim[1];
    if (!(y = sg_like(g, b)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_times){a, b};
    for (size_t k = 0; k < (size_t)(a->dim[0] / n); k++)
        sg_gemm(sg_graph_pool(g), SG_F32, false, false, n, d, n, 1, a->data + k * (size_t)n * (size_t)n, n,
                b->data + k * (size_t)n * (size_t)d, d, 0, y->data + k * (size_t)n * (size_t)d, d);
    if (sg_wants(g, a) || sg_wants(g, b))
        sg_tape(g, y, times_backward, s);
    return y;
}
