/* softmax_ce.h - what softmax_ce.c (f32, and all that both share) hands to softmax_ce_bf16.c (products of pairs). */
#ifndef SG_MATH_SOFTMAX_CE_H
#define SG_MATH_SOFTMAX_CE_H

#include "math/op.h"

enum { SG_CE_BLOCK = 256, SG_CE_TILE = 256 };
typedef struct sg_ce_group { /* rows that share a range of the table */
    int32_t begin, size;
    int n_rows, first; /* packed rows first .. first + n_rows - 1 */
    float *mean_w;     /* (d) label smoothing: mean of the rows of the range */
    double mean_b;
    size_t first_kept;              /* rows of SG_CE_BLOCK numbers before this group's in `kept` */
    size_t first_block, first_pair; /* bf16: blocks and pairs of rows before this group's */
} sg_ce_group;

typedef struct sg_ce_part { /* rows or items begin .. end - 1 of a group */
    int group;
    int begin, end;
} sg_ce_part;

/* A low-rank part beside the table (math/softmax_ce_low.c). Rows of r numbers are rounded up to whole vectors, zeros behind. */
typedef struct sg_ce_low {
    sg_tensor *z; /* (rows, r); NULL: none, and all below */
    sg_param *b;  /* (n, r) */
    int r, up, n_up;
    float *zs;                /* (n_rows, up) packed */
    float *dzs;               /* (n_rows, up) dz / c; NULL when z needs no gradient */
    float *b_wide, *b_turned; /* (n, up), (r, n_up) */
    float *mean;              /* (up) label smoothing: mean of the rows of b */
    float *db;                /* (n, up); NULL: not wanted */
} sg_ce_low;

/* Rows of the table that learn while it does not (math/softmax_ce_rows.c). */
typedef struct sg_ce_rows {
    sg_param *rows;    /* (n, d); NULL: none */
    const int32_t *id; /* (n) which they are, ascending */
    int n, low_up;
    int32_t *target; /* (n_rows of the batch) the place of each target among id; -1: none */
    float *low;      /* (r, low_up) their low-rank part; NULL: none */
} sg_ce_rows;

typedef struct sg_ce {
    sg_tensor *x, *out;
    sg_param *table, *bias;
    sg_precision precision;
    int d, n_rows, n_groups;
    float scale, smooth;
    sg_ce_group *groups;
    sg_ce_part *tiles, *blocks;
    int n_tiles, n_blocks;
    int32_t *row;               /* (n_rows) row of x of each packed row */
    int32_t *target;            /* (n_rows) absolute */
    float *weight;              /* (n_rows) a_r / sum a */
    float *xs;                  /* (n_rows, d) packed */
    float *dxs;                 /* (n_rows, d) dx / c; NULL when x needs no gradient */
    float *lse;                 /* (n_rows) */
    float *coef;                /* (n_rows) c_r of the backward pass */
    double *loss;               /* (n_rows) ce_r */
    float *dx, *dtable, *dbias; /* NULL: not wanted */
    sg_ce_low low;
    sg_ce_rows rows;
    float *work; /* per thread (SG_CE_TILE, SG_CE_BLOCK) */
    int kept_items; /* logits of the first items of every range are kept, a multiple of SG_CE_BLOCK; the others made again */
    float *kept;      /* exp(l - most) by group, block, row; bf16 keeps them in half the room */
    float *kept_most; /* the maximum of each of those rows when it was made */
    bool bf16;        /* math/softmax_ce_bf16.c does the products; the arrays below are its own */
    uint16_t *kept_bf16;
    uint16_t *x_bf16;  /* (n_rows, d) */
    uint32_t *x_pairs; /* (pairs of rows of each group, d) */
    uint16_t *w_bf16;  /* (threads, SG_CE_BLOCK, d) while a block is packed */
    uint32_t *across;  /* of each block (d / 2, SG_CE_BLOCK): pairs along d, items side by side */
    uint32_t *along;   /* of each block (SG_CE_BLOCK / 2, d): pairs of items */
} sg_ce;

/* Row of SG_CE_BLOCK numbers in `kept`. */
static inline size_t sg_ce_kept_row(const sg_ce_group *g, int row, int item)
{
    return g->first_kept + (size_t)(item / SG_CE_BLOCK) * (size_t)g->n_rows + (size_t)(row - g->first);
}

/* Loss, lse and dxs of the rows of a tile, from their maximum, sum of exp, logit of the target and sum of exp times row. */
void sg_ce_finish(const sg_ce *p, const sg_ce_part *tile, const float *most, const double *sum,
                  const float *at_target);

/* Takes the arrays of a low-rank part, once the rows are packed; false: out of memory, or (sticky) parts that do not fit. Not with ranges. */
bool sg_ce_low_open(sg_graph *g, sg_ce *p, sg_tensor *z, sg_param *b);
/* l (n_rows, SG_CE_BLOCK) += scale z b^T of packed rows `row`.. and items `item`.. */
void sg_ce_low_logits(const sg_ce *p, float *l, int row, int n_rows, int item, int n_items);
/* The same over any b (r, b_row) that is the other way round and has zeros behind. */
void sg_ce_low_product(const sg_ce *p, const float *b, int b_row, float *l, int row, int n_rows, int n_items);
/* The sums of exp times row of b, which lost `down` (n_rows) of their size; e (n_rows, SG_CE_BLOCK) = exp(l - most). */
void sg_ce_low_sums(const sg_ce *p, const float *e, const float *down, int row, int n_rows, int item,
                    int n_items);
/* dzs of a packed row, from its sum of exp. */
void sg_ce_low_finish(const sg_ce *p, int row, double sum);
/* db of items `item`.. += dl^T z, dl (n_rows, SG_CE_BLOCK) gradients of the logits of rows `row`.. */
void sg_ce_low_back(const sg_ce *p, const float *dl, int row, int n_rows, int item, int n_items);
bool sg_ce_low_back_open(sg_graph *g,
                         sg_ce *p); /* takes db, where it is wanted, and adds to the gradient of z */
void sg_ce_low_back_close(sg_graph *g, sg_ce *p);

/* Rows that learn, once low is open; false: out of memory, or (sticky) no rows of a frozen table. Not with ranges or a bias. */
bool sg_ce_rows_open(sg_graph *g, sg_ce *p, sg_param *rows, const int32_t *id);
void sg_ce_rows_back(sg_graph *g, sg_ce *p);

bool sg_ce_bf16_fits(const sg_ce *p); /* enough rows, a width of whole vectors, a CPU that multiplies pairs */
bool sg_ce_bf16_open(sg_graph *g, sg_ce *p); /* takes the arrays and packs the table; false: out of memory */
sg_body sg_ce_bf16_forward, sg_ce_bf16_backward; /* pieces: tiles, blocks; ctx: sg_ce */

#endif
