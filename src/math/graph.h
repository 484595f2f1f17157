/* graph.h - tensors, the tape, and the list of ops.
 *
 * Tensors are row-major f32, rank <= 4, and live in the graph's step arena. A batch of sequences is packed: x is
 * (tokens, dim) with offsets (batch + 1); nothing is ever padded. An op runs at once and, in a training graph, puts
 * itself on the tape; sg_backward walks the tape from the end; sg_graph_begin resets the arena, so that a step calls no
 * malloc after the first ones. An op that fails sets the graph's sticky error and returns NULL; every op given a NULL
 * tensor returns NULL, so model code reads like the equations and checks sg_graph_status once at the end. */
#ifndef SG_MATH_GRAPH_H
#define SG_MATH_GRAPH_H

#include "base/arena.h"
#include "base/pool.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sg_precision {
    SG_F32 = 0,
    SG_BF16, /* bf16 operands, f32 sums, inside GEMM only */
} sg_precision;

/* One trainable array; the list of them is nn/param.h. Kept here because ops write its gradient. */
typedef struct sg_param {
    char name[96];
    int rank;
    int dim[4];
    size_t count;     /* product of dim */
    float *value;     /* owned by the parameter set, or borrowed when `mapped` */
    bool mapped;      /* value is somebody else's, read-only (serving from a mapped file) */
    float *grad;      /* owned; NULL in inference. Dense: always fully valid. */
    bool frozen;      /* no gradient, no update */
    bool decay;       /* weight decay applies */
    bool sparse;      /* (rows, dim) table read by sg_embed: gradient rows are valid for `touched` only */
    bool ball;        /* sparse: a row that an update leaves longer than 1 is cut back to length 1 */
    int32_t *touched; /* sparse: row numbers with a gradient in this step, ascending, each once */
    int32_t n_touched;
    uint8_t *is_touched; /* sparse: (rows) flags behind `touched` */
    uint64_t version;    /* changes whenever value changes: packed copies compare it */
    void *packed;        /* owned by math/gemm.c: packed copies of value */
    const struct sg_blocks *
        blocks; /* borrowed, frozen, in few bits: sg_linear and sg_linear_lora take value (NULL) from it at every
                                       use (math/blocks.h); NULL: none */
} sg_param;

typedef struct sg_tensor {
    int rank;
    int dim[4];
    size_t count;
    float *data;
    float *grad;     /* same shape, zeroed when first asked for by sg_grad; NULL before */
    bool needs_grad; /* someone below it is trainable */
    sg_param *param; /* the leaf of a parameter, else NULL */
} sg_tensor;

typedef struct sg_graph sg_graph;

typedef enum sg_mode { SG_INFER = 0, SG_TRAIN = 1 } sg_mode;

sg_status sg_graph_new(sg_graph **out, sg_pool *pool, sg_precision precision,
                       sg_error *err); /* pool borrowed */
void sg_graph_free(sg_graph *g);
/* Forgets every tensor. seed and step number the dropout masks; in SG_INFER dropout is off and no tape is kept. */
void sg_graph_begin(sg_graph *g, sg_mode mode, uint64_t seed, uint64_t step);
sg_status sg_graph_status(const sg_graph *g, sg_error *err); /* the first error since begin */
/* dloss/dx for all that needs it, starting from a scalar (count 1) tensor. Adds into param->grad. */
sg_status sg_backward(sg_graph *g, sg_tensor *loss, sg_error *err);

/* y = fn(g, x, beside, ctx), a tensor of the shape of x, of which the tape keeps x and beside alone: what fn made is made again on the
 * way back, and forgotten again. Costs one more forward pass of the part, saves its memory. beside: what the part reads beside x, as
 * the memory of a decoder, with its gradient; NULL: nothing. No other tensor that learns may be read by fn, parameters apart. ctx: the
 * caller's, until the end of the step. */
typedef sg_tensor *sg_part_fn(sg_graph *g, sg_tensor *x, sg_tensor *beside, const void *ctx);
sg_tensor *sg_recompute(sg_graph *g, sg_tensor *x, sg_tensor *beside, sg_part_fn *fn, const void *ctx);

/* ---- for op files ------------------------------------------------------------------------------------------- */
sg_pool *sg_graph_pool(const sg_graph *g);
sg_arena *sg_graph_arena(const sg_graph *g);
sg_precision sg_graph_precision(const sg_graph *g);
bool sg_graph_training(const sg_graph *g);
uint64_t sg_graph_seed(const sg_graph *g);
uint64_t sg_graph_step(const sg_graph *g);
uint64_t sg_graph_next_op(sg_graph *g); /* a number unique within the step: names dropout masks */
/* NULL and sticky error, for `return sg_graph_fail(...)`. */
void *sg_graph_fail(sg_graph *g, sg_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ /* see base/status.h */
#define sg_graph_fail(g, ...) (sg_graph_fail(g, __VA_ARGS__), NULL)
#endif
/* New tensor with uninitialised data. NULL when out of memory (sticky). */
sg_tensor *sg_tensor_new(sg_graph *g, int rank, const int *dim);
sg_tensor *sg_tensor_2d(sg_graph *g, int rows, int cols);
float *sg_grad(sg_graph *g,
               sg_tensor *t); /* t->grad, taken and zeroed on first call; for a param leaf: param->grad */
/* The same for an op that writes every number itself. *fresh: the array holds nothing yet, overwrite it; else add. */
float *sg_grad_fresh(sg_graph *g, sg_tensor *t, bool *fresh);
/* Hands out->grad over to t when t has no gradient yet (true): t->grad is then the same array, and the op changes it in
 * place. Fine because nobody reads out->grad after the backward step of out. False: add into sg_grad(g, t). */
bool sg_grad_give(sg_tensor *t, sg_tensor *out);
/* p->grad when p is to be trained in this graph, else NULL (p may be NULL). A sparse p is marked touched in all rows:
 * for ops that write a table's gradient densely. */
float *sg_param_grad(sg_graph *g, sg_param *p);
bool sg_param_trains(const sg_graph *g, const sg_param *p);
/* p->grad[ids[i]] += (coef ? coef[i] : 1) * src[i / per], rows of d = count / dim[0] numbers, i in 0..n-1, ids -1 skipped.
 * Row sums run in the order of i on any number of threads; touched rows are recorded when p is sparse. */
void sg_param_scatter(sg_graph *g, sg_param *p, const int32_t *ids, size_t n, size_t per, const float *src,
                      const float *coef);
void *sg_scratch(sg_graph *g, size_t count, size_t each); /* step arena; lives until the next begin */
/* Puts a backward step on the tape (training graphs only; else ignored). saved: in the step arena. The function is
 * called with out->grad valid; it adds to the gradients of its inputs that need one. */
typedef void sg_backward_fn(sg_graph *g, sg_tensor *out, void *saved);
void sg_tape(sg_graph *g, sg_tensor *out, sg_backward_fn *fn, void *saved);

/* ---- ops. d = last dimension, rows = count / d -------------------------------------------------------------- */
sg_tensor *sg_input(sg_graph *g, const float *data, int rank, const int *dim); /* copied into the arena */
sg_tensor *sg_leaf(sg_graph *g, sg_param *p);                                  /* a parameter as a tensor */
/* y = x w^T + b: x (rows, in), w (out, in), b (out) or NULL, as in PyTorch's nn.Linear. */
sg_tensor *sg_linear(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b);
/* r + x w^T + b in one pass: r (rows, out) is the residual. */
sg_tensor *sg_linear_onto(sg_graph *g, sg_tensor *r, sg_tensor *x, sg_param *w, sg_param *b);
/* y = x w^T + bias + scale drop(x) a^T b^T: a (r, in), b (out, r), r small; bias may be NULL, w usually frozen. */
sg_tensor *sg_linear_lora(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *bias, sg_param *a, sg_param *b,
                          float scale, float dropout);
sg_tensor *sg_matmul(sg_graph *g, sg_tensor *a, sg_tensor *b, bool transpose_b); /* 2-d, no broadcasting */
sg_tensor *sg_plus(sg_graph *g, sg_tensor *a, sg_tensor *b);                     /* same shape */
sg_tensor *sg_minus(sg_graph *g, sg_tensor *a, sg_tensor *b);
sg_tensor *sg_times(sg_graph *g, sg_tensor *a, sg_tensor *b); /* element by element */
sg_tensor *sg_scale(sg_graph *g, sg_tensor *x, float c);
sg_tensor *sg_add_row(sg_graph *g, sg_tensor *x, sg_tensor *row); /* row (d) added to every row */
typedef enum sg_act { SG_RELU, SG_GELU, SG_GELU_TANH, SG_SILU, SG_TANH, SG_SIGMOID } sg_act;
sg_tensor *sg_activate(sg_graph *g, sg_tensor *x, sg_act act);
/* dropout(act(x w^T + b), p) in one pass: the first half of a feed-forward block. */
sg_tensor *sg_linear_act(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b, sg_act act, float dropout);
/* silu(x) y: the gate of a feed-forward block, nothing else is kept for the way back. */
sg_tensor *sg_silu_times(sg_graph *g, sg_tensor *x, sg_tensor *y);
sg_tensor *sg_dropout(sg_graph *g, sg_tensor *x,
                      float p); /* inverted: kept values times 1/(1-p); identity in SG_INFER */
/* x + dropout(y, p) in one pass: the residual of a transformer block. */
sg_tensor *sg_add_dropout(sg_graph *g, sg_tensor *x, sg_tensor *y, float p);
sg_tensor *sg_layernorm(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *b,
                        float eps); /* w, b may be NULL */
sg_tensor *sg_rmsnorm(sg_graph *g, sg_tensor *x, sg_param *w, float eps);
sg_tensor *sg_l2norm(sg_graph *g, sg_tensor *x, float eps); /* rows to unit length: x / max(|x|, eps) */
sg_tensor *sg_softmax(sg_graph *g, sg_tensor *x);           /* over the last dimension */
/* Soft permutations: each (n, n) block of x (blocks n, n) to exp(x + u_i + v_j), u and v by `rounds` rounds of making the rows, then the
 * columns, sum to 1 (math/balance.c). Columns sum to 1, rows nearly, by the rounds. */
sg_tensor *sg_balance(sg_graph *g, sg_tensor *x, int rounds);
sg_tensor *
sg_squares_times(sg_graph *g, sg_tensor *a,
                 sg_tensor *b); /* a (blocks n, n), b (blocks n, d): a_k b_k, one under the other */
/* rows of table (n_rows, d) by id; ids copied; id -1 gives a zero row. Sparse gradient when table->sparse. */
sg_tensor *sg_embed(sg_graph *g, sg_param *table, const int32_t *ids, int n);
/* sum over k of table[ids[i*k + j]]: several id columns into one vector; -1 skipped. */
sg_tensor *sg_embed_bag(sg_graph *g, sg_param *table, const int32_t *ids, int n, int k);
sg_tensor *sg_rows(sg_graph *g, sg_tensor *x, const int32_t *rows, int n); /* gather rows; -1 gives zeros */
/* y_i = sum over j < k of w[i, col[i k + j]] x[row[i k + j]]: x (slots, d), w (rows, n), each slot in one y at most; row and col are
 * borrowed until the next begin. */
sg_tensor *sg_mix_rows(sg_graph *g, sg_tensor *x, sg_tensor *w, const int32_t *row, const int32_t *col,
                       int k);
sg_tensor *sg_reshape(sg_graph *g, sg_tensor *x, int rank,
                      const int *dim);                                  /* the same numbers, the same count */
sg_tensor *sg_concat_rows(sg_graph *g, sg_tensor *const *parts, int n); /* one under the other */
sg_tensor *sg_concat_cols(sg_graph *g, sg_tensor *const *parts, int n);
sg_tensor *sg_slice_cols(sg_graph *g, sg_tensor *x, int begin, int end);
sg_tensor *sg_segment_mean(sg_graph *g, sg_tensor *x, const int32_t *offsets,
                           int n); /* (n, d); empty: zeros */
sg_tensor *sg_rope(sg_graph *g, sg_tensor *x, int heads, const int32_t *positions,
                   float theta); /* pairs (2k, 2k+1) */
/* Pairs (i, i + dh / 2) of every head instead, by angles made once for all layers: turn (rows, dh), each row the cosines of its dh / 2
 * pairs, then the sines; borrowed until the next begin. */
sg_tensor *sg_rope_halves(sg_graph *g, sg_tensor *x, int heads, const float *turn);
sg_tensor *sg_mean(sg_graph *g, sg_tensor *x);                      /* scalar */
sg_tensor *sg_sum(sg_graph *g, sg_tensor *x);                       /* scalar */
sg_tensor *sg_mse(sg_graph *g, sg_tensor *x, sg_tensor *y);         /* mean over all elements, scalar */
sg_tensor *sg_sum_sq_rows(sg_graph *g, sg_tensor *x, sg_tensor *y); /* mean over rows of |x - y|^2, scalar */
sg_tensor *sg_stop(sg_graph *g, sg_tensor *x);                      /* same values, no gradient */
sg_tensor *sg_straight_through(sg_graph *g, sg_tensor *value,
                               sg_tensor *grad_to); /* forward value, gradient to grad_to */

/* Packed multi-head softmax attention. q (tokens_q, heads * dh), k and v (tokens_k, kv_heads * dh): head h of q reads head
 * h / (heads / kv_heads) of k and v. Sequence i owns rows
 * offsets_q[i]..offsets_q[i+1] of q and offsets_k[i]..offsets_k[i+1] of k and v. A query that sees no key gives zeros.
 * out = softmax(scale * q k^T + bias) v, dropout on the probabilities. */
typedef enum sg_mask {
    SG_MASK_NONE = 0, /* every key of the sequence (bidirectional, cross) */
    SG_MASK_CAUSAL, /* key j visible to query i when pos_k(j) <= pos_q(i); positions count from the end of each
                         sequence: query row r of n_q and key row c of n_k: c <= r + (n_k - n_q) */
    SG_MASK_BLOCK, /* causal by blocks of `block` rows: c / block <= r / block (n_q = n_k): a whole item sees itself */
    SG_MASK_LIMIT, /* key c visible to query r when c < limit_q[r] (limit_q: (tokens_q), counts inside the sequence) */
} sg_mask;
/* Keys and values of what was read before: of one sequence and one block, kept from graph to graph. */
typedef struct sg_kept {
    int n, cap, width; /* n of cap rows are filled */
    float *k, *v;      /* owned (cap, width) */
} sg_kept;
typedef struct sg_attention_spec {
    int heads;
    int kv_heads;             /* divides heads; 0: heads */
    int batch;                /* sequences */
    const int32_t *offsets_q; /* (batch + 1), copied */
    const int32_t *offsets_k; /* (batch + 1), copied; the same pointer as offsets_q for self-attention */
    sg_mask mask;
    int block;              /* SG_MASK_BLOCK */
    const int32_t *limit_q; /* SG_MASK_LIMIT, copied */
    const int32_t *
        place_q; /* (tokens_q), copied: place of each query among the keys of its sequence, r' below, for bias and
                                 window (0 .. n_k); NULL: r' = r + n_k - n_q */
    int window;  /* > 0: only keys with r' - c < window are visible (r' = r + n_k - n_q) */
    float scale; /* 1/sqrt(dh) usually; 1 in T5 */
    float dropout;
    /* T5 relative bias, or NULL: table (buckets, heads); the bucket of (c - r') by Raffel et al. 2020 */
    sg_param *bias;
    bool bias_bidirectional;
    int bias_max_distance;
    /* (batch), inference only: k and v, rows like q's, are added to what is kept of their sequence, and the keys of a sequence
     * are all that is kept of it; offsets_k is not looked at. k and v NULL: nothing is added. After an error, what is kept is
     * of no use. */
    sg_kept *const *kept;
} sg_attention_spec;
sg_tensor *sg_attention(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_attention_spec *spec);
int sg_t5_bucket(int distance, bool bidirectional, int buckets,
                 int max_distance); /* distance = key - query */

/* Packed causal attention of HSTU: out = sum over j <= i of SiLU(scale q_i.k_j + position bias + time bias) v_j / divisor.
 * q, k (tokens, >= heads * d_qk) and v (tokens, >= heads * d_v) may be columns of one wider tensor, from column at_q, at_k, at_v on.
 * Out: (tokens, heads * d_v). Both tables are shared by the heads. */
typedef struct sg_hstu_spec {
    int heads, d_qk, d_v;
    int at_q, at_k, at_v;
    bool
        silu; /* sg_hstu_attention alone: q, k and v are SiLU of what the columns hold, worked out again on the way
                                 back, so that it need not be kept */
    int batch;
    const int32_t *offsets; /* (batch + 1), copied: sequence i owns rows offsets[i] .. offsets[i + 1] - 1 */
    float scale,
        divisor; /* a constant divisor, never the length of the batch at hand: results would depend on company */
    bool softmax;       /* instead of SiLU: weights exp(.) / sum exp(.) (the ablation) */
    sg_param *position; /* (2 N - 1): number j - i + N - 1; sequences are at most N long. NULL: none */
    sg_param *time;     /* (buckets): number sg_hstu_bucket(time_q[i] - time_k[j], buckets). NULL: none */
    const int64_t *time_q,
        *time_k; /* (tokens) seconds, copied; times of keys never fall inside a sequence; a key younger than
                                       its query has age 0 */
} sg_hstu_spec;
sg_tensor *sg_hstu_attention(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, const sg_hstu_spec *spec);
/* dropout(LN(x) * SiLU(z)), x (rows, d), z: columns at .. at + d - 1 of a tensor; keeps nothing but its result. */
sg_tensor *sg_hstu_gate(sg_graph *g, sg_tensor *x, sg_tensor *z, int at, float eps, float dropout);
int sg_hstu_bucket(int64_t seconds,
                   int buckets); /* floor(ln(max(1, |seconds|)) / 0.301), at most buckets - 1 */

/* Additive attention (Li et al. 2017): out_i = sum over visible j of (w . sigmoid(q_i + k_j)) v_j, weights not normalised. q (tokens_q, d),
 * k (tokens_k, d), v (tokens_k, any), w (d). Causal, positions counted from the end of each sequence as in SG_MASK_CAUSAL. */
sg_tensor *sg_additive_attention(sg_graph *g, sg_tensor *q, sg_tensor *k, sg_tensor *v, sg_param *w,
                                 const int32_t *offsets_q, const int32_t *offsets_k, int batch);

/* Packed GRU: x (tokens, 3 d) is what the input gives to the gates z, r and the candidate c, u (3 d, d) their weights of the state;
 * out: the state (tokens, d) after each token. offsets (batch + 1); states start at zero. */
sg_tensor *sg_gru(sg_graph *g, sg_tensor *x, sg_param *u, const int32_t *offsets, int batch);
/* Inference: each begins at a state of its own, start (batch) of d numbers. */
sg_tensor *sg_gru_from(sg_graph *g, sg_tensor *x, sg_param *u, const int32_t *offsets, int batch,
                       const float *const *start);

/* The rows of x (n, d) as the table of sg_softmax_ce and its like; lives as long as x. NULL (sticky) like an op. */
sg_param *sg_table(sg_graph *g, sg_tensor *x);

/* Fused softmax cross-entropy against the rows of a table: logits = x table^T (+ bias), never materialised.
 * x (rows, d), table (n, d). target[r] in 0..n-1, or -1: row has no loss. weight (rows) or NULL. Result: scalar
 * sum(weight * ce) / sum(weight). `scale` multiplies the logits (1/temperature). label_smoothing in [0, 1). */
sg_tensor *sg_softmax_ce(sg_graph *g, sg_tensor *x, sg_param *table, sg_param *bias, const int32_t *target,
                         const float *weight, float scale, float label_smoothing);
/* The same with a low-rank part beside the table, z (rows, r), b (n, r): logits = x table^T + z b^T (b NULL: none). And with rows of a
 * table that does not learn itself, rows (k, d), which do: rows id[0] < ... < id[k - 1] of the table must have their numbers (rows NULL:
 * none; id borrowed until the next begin). */
typedef struct sg_ce_beside {
    sg_tensor *z;
    sg_param *b;
    sg_param *rows;
    const int32_t *id;
} sg_ce_beside;
sg_tensor *sg_softmax_ce_beside(sg_graph *g, sg_tensor *x, sg_param *table, const sg_ce_beside *beside,
                                const int32_t *target, const float *weight, float scale,
                                float label_smoothing);
/* The same over a range of the table per row: logits over rows begin[r] .. begin[r]+size[r] only (per-level code
 * vocabularies of semantic IDs). target is absolute. */
sg_tensor *sg_softmax_ce_range(sg_graph *g, sg_tensor *x, sg_param *table, const int32_t *begin,
                               const int32_t *size, const int32_t *target, const float *weight, float scale,
                               float label_smoothing);
/* Softmax cross-entropy of each row over a short list of its own: candidate j stands for the sum of row id_a[j] of table a and row
 * id_b[j] of table b (b may be NULL; id -1: nothing). Mean over the rows with a target. */
typedef struct sg_list_spec {
    const int32_t *offsets; /* (rows + 1): row r chooses among candidates offsets[r] .. offsets[r + 1] - 1 */
    const int32_t *id_a, *id_b;
    const int32_t *target; /* (rows) position in the row's own list; -1: no loss */
    float scale, label_smoothing;
} sg_list_spec;
sg_tensor *sg_softmax_ce_list(sg_graph *g, sg_tensor *x, sg_param *a, sg_param *b, const sg_list_spec *spec);
/* Log-probability of column target[r] of row r of logits x, softmax over columns begin[r] .. begin[r] + size[r] - 1: (rows, 1), 0 where
 * target is -1. The arrays are borrowed until the next begin. */
sg_tensor *sg_log_prob(sg_graph *g, sg_tensor *x, const int32_t *begin, const int32_t *size,
                       const int32_t *target);
/* Contrastive loss: row r of q (rows, d) against all rows of c (n, d), n >= rows, of which row r is its own; mean over rows, scalar. */
sg_tensor *sg_batch_ce(sg_graph *g, sg_tensor *q, sg_tensor *c, float scale);
/* The same where a query's own may be any candidate, and where some do not count for it, such as what its user did at other times. */
typedef struct sg_among_spec {
    const int32_t *own; /* (rows), copied; -1: no loss */
    const int32_t *offsets,
        *out; /* candidates out[offsets[r]] .. out[offsets[r + 1] - 1] do not count for row r, but for its own;
                                     copied; NULL: all count */
    float scale;
} sg_among_spec;
sg_tensor *sg_batch_ce_among(sg_graph *g, sg_tensor *q, sg_tensor *c, const sg_among_spec *spec);
/* Sampled softmax: target against n_neg shared or own negatives (negatives (rows or 1, n_neg)). A negative equal to the
 * target is masked. logq: log of the expected count of each table row under the sampler, or NULL: no correction. */
typedef struct sg_sampled_spec {
    const int32_t *target;    /* (rows), -1: none */
    const int32_t *negatives; /* (n_neg) shared by all rows, or (rows, n_neg) */
    int n_neg;
    bool shared;
    const float *logq; /* (n) or NULL */
    float scale;
    bool l2; /* cosine instead of dot product: both sides to unit length */
} sg_sampled_spec;
sg_tensor *sg_sampled_ce(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec);
/* Binary cross-entropy with negatives: mean over rows of -log s(pos)^beta - sum log(1 - s(neg)); beta = 1: SASRec's BCE.
 * gBCE (Petrov & Macdonald 2023): beta = alpha (t (1 - 1/alpha) + 1/alpha), alpha = n_neg / (n - 1). */
sg_tensor *sg_sampled_bce(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec,
                          float beta);
/* GRU4Rec's ranking losses, negatives weighted by their softmax (Hidasi & Karatzoglou 2018); reg: of BPR-max, on their scores. */
sg_tensor *sg_sampled_bpr_max(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec,
                              float reg);
sg_tensor *sg_sampled_top1_max(sg_graph *g, sg_tensor *x, sg_param *table, const sg_sampled_spec *spec);
/* Mean over rows of max(0, margin + |a - p|^2 - |a - n|^2), scalar: a, p, n of one shape. */
sg_tensor *sg_triplet(sg_graph *g, sg_tensor *a, sg_tensor *p, sg_tensor *n, float margin);
/* Binary cross-entropy on logits x (count) against labels y in [0, 1], weights or NULL; weighted mean, scalar. */
sg_tensor *sg_bce_logits(sg_graph *g, sg_tensor *x, const float *y, const float *weight);

#endif
