/* attention.h - the attention of one sequence and head, and attention over a cache for decoding. */
#ifndef SG_MATH_ATTENTION_H
#define SG_MATH_ATTENTION_H

#include "math/graph.h"
#include "math/kernels.h"

/* How kernels cut the work; it decides how much scratch they need. */
enum { SG_ATTEND_KEYS = 256, SG_ATTEND_BLOCK = 48, SG_ATTEND_BLOCK_KEYS = 128, SG_ATTEND_ROWS = 12 };

/* One head of one sequence. dh is a multiple of 16 (pad with zeros). Query row r sees keys lo[r] .. hi[r]-1. */
typedef struct sg_attend {
    int n_q, n_k, dh;
    const float *q, *k, *v;  /* first row of this sequence and head */
    size_t ld_q, ld_k, ld_v; /* numbers from row to row */
    float *out;              /* (n_q, dh) */
    size_t ld_out;
    float *lse;             /* (n_q) log of the sum of exp of the logits, for the gradient; NULL: not kept */
    const int32_t *lo, *hi; /* (n_q); NULL: every row sees every key */
    float scale;
    const float
        *bias; /* added to the logit of query r and key c: bias[c - r], c up to 15 past the end; NULL: none */
    const int32_t *place; /* (n_q) bias[c - place[r]] instead; NULL: r */
    sg_drop drop;         /* of the probabilities; below 0: none */
    uint64_t drop_row, drop_step,
        drop_stride; /* key c of row r has number (drop_row + r drop_step) drop_stride + c */
    /* gradients, added to; NULL: not wanted */
    const float *dout;
    float *dq, *dk, *dv, *dbias; /* dbias like bias */
} sg_attend;

/* Scratch of kernels attend and attend_grad. */
static inline size_t sg_attend_floats(size_t n_q, size_t dh)
{
    const size_t forward = dh * SG_ATTEND_KEYS + SG_ATTEND_ROWS * SG_ATTEND_KEYS + 2 * n_q;
    const size_t backward = 2 * (dh + SG_ATTEND_BLOCK) * SG_ATTEND_BLOCK_KEYS + n_q;

    return ((forward > backward ? forward : backward) + 15) / 16 * 16;
}

/* One head of any width by the kernels for this CPU, forward or backward. */
void sg_attend_head(const sg_attend *a, bool forward, float *work);
size_t sg_attend_head_floats(size_t n_q, size_t n_k, size_t dh); /* of work */

/* Adds n rows to what is kept; their width is that of the first ones. False: out of memory. */
bool sg_kept_add(sg_kept *kept, int width, const float *k, const float *v, int n);
void sg_kept_free(sg_kept *kept);
static inline size_t sg_kept_bytes(const sg_kept *kept)
{
    return 2 * sizeof(float) * (size_t)kept->cap * (size_t)kept->width;
}

/* Decoding: attention of row r to the `len` rows row[r * len] .. of k and v: a beam's own past, scattered over the cache
 * because beams are dropped and copied. bias (heads, len) or NULL is added to the logits. len up to SG_ATTEND_ROWS_MOST. */
enum { SG_ATTEND_ROWS_MOST = 256 };
void sg_attend_rows(float *out, const float *q, int n, int heads, int dh, float scale, const float *k,
                    const float *v, const int32_t *row, int len, const float *bias);

#endif
