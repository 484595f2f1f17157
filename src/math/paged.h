/* paged.h - attention of some rows of one text to the keys and values of its past, which lie in pages of SG_PAGE tokens.
 *
 * Inside a page keys lie side by side, so that a vector holds one number of each: k (dh, SG_PAGE); v (SG_PAGE, width), width being dh
 * rounded up to SG_PAGE and the rest zeros. Pages may be shared by many texts. A row's result does not depend on the others. */
#ifndef SG_MATH_PAGED_H
#define SG_MATH_PAGED_H

#include "math/kernels.h"

enum {
    SG_PAGE = 16,
    SG_PAGED_TILE = 256, /* keys between two looks at the running maximum */
    SG_PAGED_ROWS = 48,  /* most rows of a call */
};

typedef struct sg_paged {
    int n, dh; /* rows; width of a head */
    float scale;
    const float *const *q;    /* (n) of dh numbers */
    float *const *out;        /* (n) of dh numbers */
    const int32_t *seen;      /* (n) >= 1: keys 0 .. seen - 1 */
    const float *const *page; /* the pages of the text; in each, ... */
    size_t k, v;              /* ... keys and values of this head begin at these numbers */
} sg_paged;

static inline size_t sg_page_width(int dh)
{
    return ((size_t)dh + SG_PAGE - 1) / SG_PAGE * SG_PAGE;
}

/* Scratch of kernel attend_pages. */
static inline size_t sg_paged_floats(int dh)
{
    return (size_t)SG_PAGED_ROWS * (sg_page_width(dh) + 2) + 6 * SG_PAGED_TILE;
}

#endif
