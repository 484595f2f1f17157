/* hstu.h - layers of hierarchical sequential transduction units, whole sequences at once or, for scoring, with
 * what was read before kept.   [Zhai et al., ICML 2024]
 *
 *   U, V, Q, K = SiLU(LN(x) W_uvqk)                        LN without weights
 *   a_ij = SiLU(q_i.k_j + p[j - i] + w[bucket(time_q_i - time_k_j)]) / divisor, j <= i
 *   x = x + W_o dropout(LN(a V) * U) */
#ifndef SG_NN_HSTU_H
#define SG_NN_HSTU_H

#include "math/hstu_attention.h"
#include "nn/param.h"

enum { SG_HSTU_BUCKETS = 129 };

typedef struct sg_hstu_shape {
    int dim, blocks, heads, d_qk, d_v;
    int length;          /* tokens of a sequence, at most */
    float divisor;       /* 1 with softmax */
    bool position, time; /* which biases there are */
    bool softmax;
    float dropout;
} sg_hstu_shape;

typedef struct sg_hstu_block {
    sg_param *uvqk;           /* (heads (2 d_v + 2 d_qk), dim) */
    sg_param *out, *out_bias; /* (dim, heads d_v), (dim) */
    sg_param *position;       /* (2 length - 1) or NULL */
    sg_param *time;           /* (SG_HSTU_BUCKETS) or NULL; starts at zero */
} sg_hstu_block;

typedef struct sg_hstu {
    sg_hstu_shape shape;
    sg_hstu_block *block; /* owned (blocks) */
} sg_hstu;

/* Names: block.0.uvqk.weight, block.0.bias.position, ... */
sg_status sg_hstu_declare(sg_hstu *s, sg_params *ps, uint64_t seed, const sg_hstu_shape *shape,
                          sg_error *err);
void sg_hstu_fini(sg_hstu *s);
/* Whether time biases have learned anything: they start at zero and stay there on data without timestamps. */
bool sg_hstu_knows_time(const sg_hstu *s);

/* Packed sequences. */
typedef struct sg_hstu_tokens {
    int n;
    const int32_t *offsets;         /* (n + 1) */
    const int64_t *time_q, *time_k; /* (tokens); NULL: no time biases */
} sg_hstu_tokens;
sg_tensor *sg_hstu_forward(sg_graph *g, const sg_hstu *s, sg_tensor *x, const sg_hstu_tokens *t);

/* M-FALCON: keys and values of what one sequence holds so far, of every block. */
typedef struct sg_hstu_cache {
    const sg_hstu *stack; /* borrowed */
    sg_hstu_past *past;   /* owned (blocks) */
    int64_t *time;        /* owned (cap) of the tokens */
    int n, cap;
} sg_hstu_cache;

sg_status sg_hstu_cache_new(sg_hstu_cache *c, const sg_hstu *s, int cap, sg_error *err);
void sg_hstu_cache_free(sg_hstu_cache *c);
void sg_hstu_cache_cut(sg_hstu_cache *c, int n); /* forgets all but the first n tokens */
sg_status sg_hstu_cache_room(sg_hstu_cache *c, int cap, sg_error *err); /* for so many tokens */
size_t sg_hstu_cache_bytes(const sg_hstu_cache *c);
/* x (new tokens, dim) with their times (NULL: all 0), and those they are asked at (NULL: their own) -> their last states.
 * On failure the cache is as before. */
sg_tensor *sg_hstu_cache_append(sg_graph *g, sg_hstu_cache *c, sg_tensor *x, const int64_t *time,
                                const int64_t *asked);
/* x (candidates, dim), each alone after what is cached, at time `now` -> their last states. */
sg_tensor *sg_hstu_cache_ask(sg_graph *g, const sg_hstu_cache *c, sg_tensor *x, int64_t now);

#endif
