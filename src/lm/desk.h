/* desk.h - many texts that are read together: the weights of a model go through the processor once a step for all of them.
 *
 * A text is a number. A fork continues another text without reading it again, and shares what is kept of the past. What a text gets
 * back does not depend on what is read beside it, nor on how it was cut into pieces, nor on the threads. One thread uses a desk. */
#ifndef SG_LM_DESK_H
#define SG_LM_DESK_H

#include "base/pool.h"
#include "base/status.h"
#include "lm/depth.h"
#include "lm/ends.h"

#include <stdint.h>

/* n more tokens of a text, and what is wanted of them (NULL: not wanted). */
typedef struct sg_piece {
    int text;
    const int32_t *id;
    int n;
    float *logits; /* (vocab) of what follows the last one */
    double *logp;  /* (n) log-probability of id[i] after all before it; logp[0] is left as it is */
    float *states; /* (n, dim) after the last norm */
} sg_piece;

typedef struct sg_desk sg_desk;
typedef struct sg_desk_ops {
    sg_status (*open)(sg_desk *d, int *text, sg_error *err);
    sg_status (*begin)(sg_desk *d, int *text, int *known, const int32_t *prompt, int n, sg_error *err);
    sg_status (*fork)(sg_desk *d, int *text, int from, sg_error *err);
    void (*cut)(sg_desk *d, int text, int length);
    void (*close)(sg_desk *d, int text);
    sg_status (*read)(sg_desk *d, const sg_piece *piece, int n, sg_error *err);
    void (*free)(sg_desk *d);
} sg_desk_ops;
struct sg_desk {
    const sg_desk_ops *ops;
    int vocab, places; /* tokens a text may have */
    sg_ends ends;      /* tokens that end a text */
    int start;         /* token that a text begins with whose prompt is read elsewhere; -1: it is not */
};

static inline void sg_desk_free(sg_desk *d)
{
    if (d)
        d->ops->free(d);
}

/* An empty text. */
static inline sg_status sg_desk_open(sg_desk *d, int *text, sg_error *err)
{
    return d->ops->open(d, text, err);
}

/* A text that shall begin with these n tokens (at least 1): those that another open text of this desk begins with, too, are taken
 * from it; the caller reads the rest, from prompt + *known on, at least one token. Where the prompt is read by an encoder
 * (start >= 0) all of it is read at once, and the caller reads `start`. */
static inline sg_status sg_desk_begin(sg_desk *d, int *text, int *known, const int32_t *prompt, int n,
                                      sg_error *err)
{
    return d->ops->begin(d, text, known, prompt, n, err);
}

static inline sg_status sg_desk_fork(sg_desk *d, int *text, int from, sg_error *err)
{
    return d->ops->fork(d, text, from, err);
}

/* Forgets all but the first `length` tokens. */
static inline void sg_desk_cut(sg_desk *d, int text, int length)
{
    d->ops->cut(d, text, length);
}

static inline void sg_desk_close(sg_desk *d, int text)
{
    d->ops->close(d, text);
}

/* Each text once. Too many tokens, or no token of the model: an error before anything is read. */
static inline sg_status sg_desk_read(sg_desk *d, const sg_piece *piece, int n, sg_error *err)
{
    return d->ops->read(d, piece, n, err);
}

typedef struct sg_llama sg_llama;
/* Room for texts of `places` tokens; pool borrowed, NULL: one thread. m borrowed. */
sg_status sg_llama_desk(sg_desk **out, const sg_llama *m, int places, sg_pool *pool, sg_error *err);
/* Of such a desk: from now on `states` of pieces are those of this depth, and nothing else may be wanted; texts are read at once. */
sg_status sg_llama_desk_depth(sg_desk *d, sg_depth depth, sg_error *err);

/* log softmax(logits)[id] */
double sg_token_logp(const float *logits, size_t n, int32_t id);

#endif
