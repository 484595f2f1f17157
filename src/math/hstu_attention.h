/* hstu_attention.h - the pointwise attention of one head of one sequence, as the vector kernels see it. */
#ifndef SG_MATH_HSTU_ATTENTION_H
#define SG_MATH_HSTU_ATTENTION_H

#include "math/graph.h"
#include "math/kernels.h"

/* How kernels cut the work; it decides how much scratch they need. */
enum { SG_HSTU_PAD = 16 }; /* keys past the end that kernels may look at */
enum { SG_HSTU_KEYS = 256, SG_HSTU_BLOCK = 48, SG_HSTU_BLOCK_KEYS = 128, SG_HSTU_ROWS = 12 };

/* One head of one sequence, rows contiguous; d_qk and d_v are multiples of 16 (pad with zeros). Row i stands at
 * key i + n_k - n and sees the keys up to its own, or all keys when there is a `bias`. The gradient wants
 * n = n_k and no `bias`. */
typedef struct sg_hstu_head {
    int n, n_k, d_qk, d_v;
    const float *q, *k, *v; /* (n, d_qk), (n_k, d_qk), (n_k, d_v) */
    float *out;             /* (n, d_v) */
    float scale, inv;       /* of the dot product; 1 / divisor */
    const float *bias; /* (n_k), readable 15 past the end: added to the logits of every row; NULL: none */
    const float
        *position; /* position[key - row's key] is added to the logit, readable up to 15 past 0; NULL: none */
    const float *time; /* (buckets); NULL: none */
    const int32_t
        *least; /* (buckets) smallest difference of each bucket, ascending, the first is INT32_MIN */
    int buckets;
    const int32_t *time_q, *time_k; /* (n), (n_k), time_k readable 15 past the end and never falling */
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

/* ---- shared by the ops --------------------------------------------------------------------------------- */

static inline size_t sg_hstu_width(int d) /* to whole vectors of any instruction set */
{
    return ((size_t)d + SG_HSTU_PAD - 1) / SG_HSTU_PAD * SG_HSTU_PAD;
}

/* to (rows, width) = from (rows, d; ld numbers from row to row), zeros behind */
void sg_hstu_copy_in(float *to, size_t width, const float *from, size_t ld, int rows, int d);
/* From a to b, 0 when b is earlier. False beyond INT32_MAX - 1 seconds, 68 years: ages are 32 bits, and
 * INT32_MAX is the edge of buckets that nobody can be in. */
bool sg_hstu_seconds(int32_t *after, int64_t a, int64_t b);
void sg_hstu_least(int32_t *least, int buckets); /* of sg_hstu_head */
/* Whether x holds the heads that the specification says; else the graph's error. */
bool sg_hstu_check(sg_graph *g, const sg_tensor *x, const char *name, const sg_hstu_spec *s, int at, int d);

/* ---- what a session has read: keys and values of one block, kept from request to request --------------- */

typedef struct sg_hstu_past {
    int heads, d_qk, d_v, n, cap; /* n of cap rows are filled */
    float *k, *v;                 /* owned (heads, cap, width of d_qk), (heads, cap, width of d_v) */
} sg_hstu_past;

sg_status sg_hstu_past_init(sg_hstu_past *p, int heads, int d_qk, int d_v, int cap, sg_error *err);
void sg_hstu_past_fini(sg_hstu_past *p);
sg_status sg_hstu_past_room(sg_hstu_past *p, int cap,
                            sg_error *err); /* for so many rows; what is filled stays */
static inline size_t sg_hstu_past_bytes(const sg_hstu_past *p)
{
    return sizeof(float) * (size_t)p->heads * (size_t)p->cap *
           (sg_hstu_width(p->d_qk) + sg_hstu_width(p->d_v));
}

/* Inference only. In `spec` batch and offsets are not looked at; time_k (rows filled + new ones, or rows filled).
 * append: the tokens come after those of the past and become part of it. */
sg_tensor *sg_hstu_append(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_hstu_spec *spec,
                          sg_hstu_past *past);
/* ask: each token stands alone right after the past, at the time spec->time_q[0], and sees the past and
 * itself; the past stays as it is. */
sg_tensor *sg_hstu_ask(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_hstu_spec *spec,
                       const sg_hstu_past *past);

#endif
