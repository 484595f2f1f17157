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
    int written; /* tokens that may stand before the first code of a search, see sg_stack_write; 0: none */
    sg_kept *const *
        kept; /* (layers, batch) of the memory: what open is given is added to it; NULL: the memory is all there is */
} sg_stack_spec;

typedef struct sg_stack {
    sg_stack_spec spec;
    sg_graph *graph;
    int batch;
    const int32_t *tokens;          /* (batch + 1) rows of the memory of each sequence, kept ones included */
    sg_tensor **cross_k, **cross_v; /* (layers) of the memory; NULL: they are kept */
    int cap;                        /* prefixes a level may have */
    float *k, *v;                   /* (layers, (levels + written) * cap, inner) */
    int32_t *path[2]; /* (cap, levels) where k and v of each prefix's codes lie; of this level and the one
                         before */
    int n_written;    /* tokens that every start of a search has written */
    const int32_t
        *first;        /* (batch + 1) starts of sequence i are first[i] .. first[i + 1] - 1; NULL: one each */
    int32_t *trail[2]; /* (cap, written) where k and v of what each start wrote lie; spare: trail[1] */
} sg_stack;

/* Everything lies in the graph's arena: the stack is gone with its next begin. memory (tokens, dim): sequence i has
 * rows tokens[i] .. tokens[i + 1] - 1. */
sg_status sg_stack_open(sg_stack *s, sg_graph *g, const sg_stack_spec *spec, sg_tensor *memory,
                        const int32_t *tokens, int batch, int cap, sg_error *err);
/* Text that goes on after a search: searches start from first[batch] starts, in order of their sequences, which are the users of the
 * calls that follow. Start i goes on from start from[i] of before (from NULL: nothing is written yet). first is borrowed. */
void sg_stack_starts(sg_stack *s, const int32_t *first, const int32_t *from);
/* Adds one token to every start, x (starts, dim) its vectors. False: sticky error of the graph. */
bool sg_stack_write(sg_stack *s, sg_tensor *x);
/* x (rows->n, dim), the embedded last codes, through all blocks. NULL (sticky) like an op. */
sg_tensor *sg_stack_step(sg_stack *s, const sg_beam_rows *rows, sg_tensor *x);

#endif
