/* product.c - a product in f32 where one side has a few numbers: rank of an adapter, candidates of a list. Register tiles, no packing. */
#include "math/simd/tile.h"

void SG_KERNEL(product)(const sg_product *p)
{
    enum { ROWS = 32 }; /* of a group: rows of a and c stay near while columns go by */
    float keep[ROWS], gain[ROWS];

    for (int i = 0; i < ROWS; i++) {
        keep[i] = 1;
        gain[i] = p->gain;
    }
    for (int i = 0; i < p->m; i += ROWS)
        tile_product(&(tile_job){.k = p->k,
                                 .a = p->a + (size_t)i * (p->turned ? 1 : p->a_row),
                                 .a_ld = p->a_row,
                                 .transposed = p->turned,
                                 .b = p->b,
                                 .b_ld = p->b_row,
                                 .c = p->c + (size_t)i * p->c_row,
                                 .c_ld = p->c_row,
                                 .keep = p->add ? keep : NULL,
                                 .gain = gain},
                     p->m - i < ROWS ? p->m - i : ROWS, p->n);
}
