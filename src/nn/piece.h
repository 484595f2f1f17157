/* piece.h - the pieces into which a weight's gradient is cut, shared by param.c and optim.c: a dense weight by numbers, a
 * sparse table by touched rows. Pieces depend on shapes alone, never on threads. */
#ifndef SG_NN_PIECE_H
#define SG_NN_PIECE_H

#include "nn/param.h"

enum { SG_PARAM_PIECE = 8192 }; /* numbers */

/* touched rows in a piece of a sparse table */
static inline size_t sg_param_piece_rows(const sg_param *p)
{
    const size_t rows = SG_PARAM_PIECE / (size_t)(p->dim[1] > 0 ? p->dim[1] : 1);

    return rows ? rows : 1;
}

static inline size_t sg_param_pieces(const sg_param *p)
{
    return p->sparse ? sg_pieces((size_t)p->n_touched, sg_param_piece_rows(p))
                     : sg_pieces(p->count, SG_PARAM_PIECE);
}

/* Sum of squares in eight lanes of double, joined in a fixed order. */
static inline double sg_sum_sq(const float *x, size_t n)
{
    double lane[8] = {0}, sum = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            lane[k] += (double)x[i + (size_t)k] * (double)x[i + (size_t)k];
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int k = 0; k < 8; k++)
        sum += lane[k];
    return sum;
}

static inline double sg_param_piece_sum_sq(const sg_param *p, size_t piece)
{
    const size_t each = p->sparse ? sg_param_piece_rows(p) : SG_PARAM_PIECE;
    const size_t all = p->sparse ? (size_t)p->n_touched : p->count;
    const size_t begin = piece * each, end = begin + each < all ? begin + each : all;
    const size_t dim = (size_t)p->dim[1];
    double sum = 0;

    if (!p->sparse)
        return sg_sum_sq(p->grad + begin, end - begin);
    for (size_t k = begin; k < end; k++)
        sum += sg_sum_sq(p->grad + (size_t)p->touched[k] * dim, dim);
    return sum;
}

#endif
