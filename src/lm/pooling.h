/* pooling.h - from the hidden states of a text's tokens to one vector, as the modules of sentence-transformers say. */
#ifndef SG_LM_POOLING_H
#define SG_LM_POOLING_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum sg_pooler {
    SG_POOL_CLS,
    SG_POOL_MAX,
    SG_POOL_MEAN,
    SG_POOL_MEAN_SQRT,
    SG_POOL_WEIGHTED,
    SG_POOL_LAST,
    SG_N_POOLERS
} sg_pooler;

typedef struct sg_dense { /* y = act(W x + b) */
    int in, out;
    bool tanh;
    float *w, *b; /* owned: (out, in), (out); b NULL: none */
} sg_dense;

enum { SG_DENSE_MOST = 8 };
typedef struct sg_pooling {
    int in, out;            /* widths of a hidden state and of a vector */
    bool use[SG_N_POOLERS]; /* several: one after the other, in this order */
    sg_dense dense[SG_DENSE_MOST];
    int n_dense;
    bool unit;            /* vectors get unit length */
    bool prompt_left_out; /* tokens of a prompt in front of a text are not pooled */
    bool assumed;         /* the folder says nothing of poolers */
} sg_pooling;

/* modules.json of the folder and what it names; without it: the mean, as it is. dim: width of hidden states. */
sg_status sg_pooling_open(sg_pooling *out, const char *dir, int dim, sg_error *err);
void sg_pooling_close(sg_pooling *p);
/* This pooler instead of those of the folder, which must have no dense layer behind them. */
sg_status sg_pooling_only(sg_pooling *p, sg_pooler pooler, sg_error *err);
const char *sg_pooler_name(sg_pooler p);

size_t sg_pooling_floats(const sg_pooling *p); /* of work */
/* x: (n, in), n > 0; skip: tokens at the beginning that are left out. out: (width) numbers, at most p->out: the rest is cut off before
 * the length is taken. */
void sg_pooling_run(float *out, int width, const sg_pooling *p, const float *x, size_t n, size_t skip,
                    float *work);

#endif
