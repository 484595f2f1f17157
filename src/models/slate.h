/* slate.h - slates: several items written one after the other, [BOS c1 .. cL] each, by the encoder-decoder of coder.h. As labels, packed
 * for a training step; and as answers, found by beam search. */
#ifndef SG_MODELS_SLATE_H
#define SG_MODELS_SLATE_H

#include "models/coder.h"

/* ---- labels: examples of a history each, after some of whose items slates are to be written ---- */
typedef struct sg_slate_rows {
    sg_coder_source in;
    int32_t *user, *item, *items; /* histories; items (batch + 1) */
    int n, slates;                /* decoder rows, slates so far */
    int32_t *id, *prefix, *limit, *begin, *size,
        *target;       /* (n): token read, what it sees, the question and its answer (-1: none) */
    int32_t *own;      /* (slates + 1) rows of each slate */
    int32_t *rows;     /* (batch + 1) rows of each example */
    sg_moe_load *load; /* borrowed: what the experts are asked is added to it; NULL: not counted */
} sg_slate_rows;

/* Room for so many examples, items of histories, slates and items of slates, in step memory. False: out of memory (sticky). */
bool sg_slate_rows_take(sg_slate_rows *b, sg_graph *g, const sg_coder *s, int batch, size_t items,
                        size_t slates, size_t written);
void sg_slate_rows_example(sg_slate_rows *b, int32_t user, const int32_t *item, int n);
/* The slate item[0] .. item[n - 1] after the first `seen` items of the example begun last. */
void sg_slate_rows_add(sg_slate_rows *b, const sg_coder *s, int seen, const int32_t *item, int n);
/* (n, dim): what the rows write from. */
sg_tensor *sg_slate_rows_forward(sg_graph *g, const sg_coder *s, sg_slate_rows *b);

/* ---- answers ---- */
typedef struct sg_slate_spec {
    int items;            /* of a slate */
    int beams;            /* slates kept of each history */
    int branch;           /* items that each is continued by before the best are kept */
    bool seen;            /* items of the history stay out */
    const uint8_t *allow; /* (n_items) 1 = may be written; NULL: all */
} sg_slate_spec;

/* The likeliest slates after histories first .. first + n - 1: item (n, beams, items), logp (n, beams) the sum over all codes, best
 * first; no item twice in a slate; item -1 where a slate could not go on, logp -inf where there is none. lead (n, k) and lead_logp: the k
 * likeliest first items, k >= beams. All arrays are the caller's. */
sg_status sg_slates_find(int32_t *item, float *logp, int32_t *lead, float *lead_logp, int k,
                         const sg_coder *s, sg_session *session, const sg_histories *h, int first, int n,
                         const sg_slate_spec *spec, sg_error *err);

#endif
