/* grid.h - bottlenecks without a codebook: every number of the latent is rounded by itself. */
#ifndef SG_QUANTIZE_GRID_H
#define SG_QUANTIZE_GRID_H

#include "math/graph.h"
#include "quantize/tokenize.h"

enum { SG_GRID_NUMBERS_MAX = 16 };

typedef struct sg_grid {
    bool signs; /* lfq: two steps each, -1 and 1; else fsq */
    bool
        residual; /* lfq: every level sees the whole latent, less the levels before, in steps half as large */
    int numbers;  /* of one level; 0: there is no grid */
    int step[SG_GRID_NUMBERS_MAX]; /* places each number has */
    int codes;                     /* their product */
} sg_grid;

sg_status sg_grid_init(sg_grid *grid, const sg_tokenize_config *c, sg_error *err);
int sg_grid_width(const sg_grid *grid,
                  int levels); /* of the latent: levels * numbers, or numbers when levels are residual */
/* z (rows, width) to the grid, as part of a step; terms of the loss, for inputs of dim numbers, are added to *loss (NULL: there
 * is none yet). */
sg_tensor *sg_grid_quantise(sg_graph *g, const sg_grid *grid, sg_tensor *z, int dim,
                            const sg_tokenize_config *c, sg_tensor **loss);
/* The same outside a step: z (n, width) in place, codes (n, levels). */
void sg_grid_codes(int32_t *codes, float *z, size_t n, int levels, const sg_grid *grid);

/* H(code | item), mean over rows, - H(code) over all rows, of p(c) = softmax(2 sharpness z.c) over sign vectors c; scalar.
 * z (rows, bits). */
sg_tensor *sg_sign_entropy(sg_graph *g, sg_tensor *z, float sharpness);
/* Forward value (rows, d); backward the gradient turned as if z had been turned and stretched onto value. */
sg_tensor *sg_rotate_through(sg_graph *g, sg_tensor *value, sg_tensor *z);

#endif
