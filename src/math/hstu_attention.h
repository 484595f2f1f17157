/* hstu_attention.h - the pointwise attention of one head of one sequence, as the vector kernels see it. */
#ifndef SG_MATH_HSTU_ATTENTION_H
#define SG_MATH_HSTU_ATTENTION_H

#include "math/graph.h"
#include "math/kernels.h"

/* How kernels cut the work; it decides how much scratch they need. */
enum { SG_HSTU_KEYS = 256, SG_HSTU_BLOCK = 48, SG_HSTU_BLOCK_KEYS = 128, SG_HSTU_ROWS = 12 };

/* One head of one sequence, rows contiguous; d_qk and d_v are multiples of 16 (pad with zeros). Row i sees
 * keys 0 .. i. */
typedef struct sg_hstu_head {
    int n, d_qk, d_v;
    const float *q, *k, *v; /* (n, d_qk), (n, d_qk), (n, d_v) */
    float *out;             /* (n, d_v) */
    float scale, inv;       /* of the dot product; 1 / divisor */
    const float *position;  /* position[j - i] is added to the logit, readable up to 15 past 0; NULL: none */
    const float *time;      /* (buckets); NULL: none */
    const int32_t
        *least; /* (buckets) smallest difference of each bucket, ascending, the first is INT32_MIN */
    int buckets;
    const int32_t *time_q, *time_k; /* (n), time_k readable 15 past the end and never falling */
    float *lse;                     /* (n) softmax: log of the sum of exp of the logits; NULL: SiLU */
    /* gradients, added to; position, time: NULL when not wanted */
    const float *dout;
    float *dq, *dk, *dv, *dposition, *dtime;
} sg_hstu_head;

/* Scratch of kernels hstu and hstu_grad. */
static inline size_t sg_hstu_floats(size_t n, size_t d_qk, size_t d_v, size_t buckets)
{
    const size_t forward = (d_qk + SG_HSTU_ROWS) * SG_HSTU_KEYS + 2 * n;
    const size_t backward = (d_qk + d_v + 2 * SG_HSTU_BLOCK) * SG_HSTU_BLOCK_KEYS + 2 * n + 16 * buckets;

    return ((forward > backward ? forward : backward) + 15) / 16 * 16;
}

#endif
