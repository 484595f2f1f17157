/* gru.h - a few sequences walking through a GRU side by side, as the vector kernels see them. */
#ifndef SG_MATH_GRU_H
#define SG_MATH_GRU_H

#include "math/kernels.h"

enum { SG_GRU_ROWS = 12 }; /* sequences of a group */

/* Token arrays have rows of d (or 3 d) numbers; weights and scratch rows are widened to w, a multiple of 16,
 * with zeros. */
typedef struct sg_gru_group {
    int n, d, w;
    const int32_t *first, *len; /* (n) first token and length of each sequence, longest first */
    const float *u;             /* (w, 3 w) forward: u[k][3 gates of w] */
    const float *ut;            /* (3 w, w) backward: its transpose */
    const float *x;             /* (tokens, 3 d) what the input gives to z, r, c */
    float *h;                   /* (tokens, d) states */
    const float *const *start;  /* (n) of d numbers: the states before; NULL: zeros */
    float *gate;                /* (tokens, 3 d) values of z, r, c, for the gradient */
    /* gradient */
    const float *dh;     /* (tokens, d) */
    float *da;           /* (tokens, 3 d) of the sums inside the gates: overwritten */
    float *past, *reset; /* (tokens, d) the state before, and what r left of it: overwritten */
} sg_gru_group;

static inline size_t sg_gru_floats(size_t w)
{
    return 6 * SG_GRU_ROWS * w;
}

#endif
