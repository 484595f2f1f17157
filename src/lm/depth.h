/* depth.h - whose states are wanted of a model: those of one layer, or of two, of which the mean is taken. */
#ifndef SG_LM_DEPTH_H
#define SG_LM_DEPTH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct sg_depth {
    int layer; /* 0: vectors of words (and places), 1: the first layer, ...; behind the last one its norm, where the model has one */
    int other; /* a later one; 0: none */
} sg_depth;

static inline int sg_depth_last(sg_depth d)
{
    return d.other ? d.other : d.layer;
}

/* Told the n numbers of each layer in their order: afterwards `out` holds what is wanted. */
static inline void sg_depth_take(float *out, sg_depth d, int layer, const float *x, size_t n)
{
    if (layer == d.layer)
        memcpy(out, x, n * sizeof *x);
    else if (d.other && layer == d.other)
        for (size_t i = 0; i < n; i++)
            out[i] = (out[i] + x[i]) / 2;
}

#endif
