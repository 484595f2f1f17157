/* attention.h - the attention of one sequence and head, and attention over caches for decoding. */
#ifndef SG_MATH_ATTENTION_H
#define SG_MATH_ATTENTION_H

#include "math/graph.h"

/* One head of one sequence. Query row r sees keys lo[r] .. hi[r]-1; lo and hi never fall with r inside a sequence when
 * the mask is causal, but nothing relies on it. */
typedef struct sg_attend {
    int n_q, n_k, dh;
    const float *q, *k, *v; /* first row of this sequence and head */
    size_t ld_q, ld_k, ld_v;
    float *out;             /* (n_q, dh) by ld_out */
    size_t ld_out;
    float *lse;             /* (n_q) log of the sum of exp of the logits, for the gradient; NULL: not kept */
    const int32_t *lo, *hi; /* (n_q) */
    float scale;
    const float *bias;      /* added to the logit of query r and key c: bias[c - r]; NULL: none */
    uint32_t drop;          /* a probability is dropped when its 16 random bits are below this; 0: no dropout */
    uint64_t drop_key;      /* names the random bits; row r of this head uses number drop_row + r * drop_step */
    uint64_t drop_row, drop_step;
    /* gradients; each added to, NULL: not wanted */
    const float *dout;
    float *dq, *dk, *dv, *dbias; /* dbias like bias */
} sg_attend;

/* Attention of every query row r to keys begin[r] .. end[r] of k and v (rows of heads * dh numbers): one user's encoder
 * output shared by all beams. Rows with the same range should stand together: they are computed together.
 * q, out: (n, heads * dh). scratch: sg_attend_cached_floats() numbers. */
void sg_attend_cached(float *out, const float *q, int n, int heads, int dh, float scale, const float *k, const float *v,
                      const int32_t *begin, const int32_t *end, float *scratch);
size_t sg_attend_cached_floats(int dh, int longest); /* longest: most keys of a row */

/* Attention of row r to the `len` cache rows row[r * len] .. row[r * len + len - 1] of k and v: the beam's own past, which
 * is scattered after beams were dropped and copied. bias (heads, len) or NULL is added to the logits. */
void sg_attend_rows(float *out, const float *q, int n, int heads, int dh, float scale, const float *k, const float *v,
                    const int32_t *row, int len, const float *bias, float *scratch);
size_t sg_attend_rows_floats(int dh, int len);

#endif
