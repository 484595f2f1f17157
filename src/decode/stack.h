/* stack.h - decoder blocks run level by level over the live prefixes of a beam search. Keys and values of
 * every prefix are kept, so that a level costs one row a prefix; what the blocks look at beside that, their
 * memory, is encoded once. */
#ifndef SG_DECODE_STACK_H
#define SG_DECODE_STACK_H

#include "decode/beam.h"
#include "nn/transformer.h"

typedef struct sg_stack_spec {
    const sg_block *block; /* (layers) with cross-attention; borrowed */
    int layers, levels;
    float scale;                      /* of attention logits */
    sg_param *bias_self, *bias_cross; /* T5 relative bias (buckets, heads), or NULL */
    int bias_max_distance;
    sg_kept *const *kept; /* (layers, batch) of the memory: what open is given is added to it; NULL: the memory is all there is */
} sg_stack_spec;

typedef struct sg_stack {
    sg_stack_spec spec;
    sg_graph *graph;
    int batch;
    const int32_t *tokens;          /* (batch + 1) rows of the memory of each sequence, kept ones included */
    sg_tensor **cross_k, **cross_v; /* (layers) of the memory; NULL: they are kept */
    int cap;                        /* prefixes a level may have */
    float *k, *v;                   /* (layers, levels * cap, inner) */
    int32_t *path[2]; /* (cap, levels) where k and v of each prefix's codes lie; of this level and the one
                         before */
} sg_stack;

/* Everything lies in the graph's arena: the stack is gone with its next begin. memory (tokens, dim): sequence i has
 * rows tokens[i] .. tokens[i + 1] - 1. */
sg_status sg_stack_open(sg_stack *s, sg_graph *g, const sg_stack_spec *spec, sg_tensor *memory,
                        const int32_t *tokens, int batch, int cap, sg_error *err);
/* x (rows->n, dim), the embedded last codes, through all blocks. NULL (sticky) like an op. */
sg_tensor *sg_stack_step(sg_stack *s, const sg_beam_rows *rows, sg_tensor *x);

#endif
