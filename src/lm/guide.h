/* guide.h - which tokens may come next in a text that has to be one of some strings, a part of some, or JSON of a form.
 *
 * A guide is read-only but for scratch of its own: one thread uses it, for any number of texts. What a text has so far is a small
 * state that is copied when texts fork. */
#ifndef SG_LM_GUIDE_H
#define SG_LM_GUIDE_H

#include "index/fm.h"
#include "text/tokenizer.h"

#include <jansson.h>

typedef struct sg_guide_state {
    uint32_t a, b, c; /* what they mean is the guide's */
} sg_guide_state;

typedef struct sg_guide sg_guide;
typedef struct sg_guide_ops {
    sg_status (*next)(sg_guide *g, const int32_t **id, int32_t *n, bool *ends, sg_guide_state s,
                      sg_error *err);
    void (*step)(sg_guide *g, sg_guide_state *s, int32_t token);
    void (*free)(sg_guide *g);
} sg_guide_ops;
struct sg_guide {
    const sg_guide_ops *ops;
    sg_guide_state begin;
};

static inline void sg_guide_free(sg_guide *g)
{
    if (g)
        g->ops->free(g);
}

/* *id (*n, ascending): the tokens that may come next, until the next call; *ends: the text may end here. One of the two is so. */
static inline sg_status sg_guide_next(sg_guide *g, const int32_t **id, int32_t *n, bool *ends,
                                      sg_guide_state s, sg_error *err)
{
    return g->ops->next(g, id, n, ends, s, err);
}

/* token is one of those. */
static inline void sg_guide_step(sg_guide *g, sg_guide_state *s, int32_t token)
{
    g->ops->step(g, s, token);
}

/* One of the strings token[offsets[i]] .. token[offsets[i + 1] - 1], offsets (n + 1); n >= 1, none of them empty. */
sg_status sg_guide_choices(sg_guide **out, const int32_t *token, const int64_t *offsets, int32_t n,
                           sg_error *err);
/* What stands somewhere in the items of f (borrowed), at least one token. whole: an item from its start to its end. */
sg_status sg_guide_fm(sg_guide **out, const sg_fm *f, bool whole, sg_error *err);
/* JSON that fits a schema (docs/text.md says what is known), written without spaces but for one after ':' and ','. `where` begins
 * what errors say. t borrowed. */
sg_status sg_guide_schema(sg_guide **out, const json_t *schema, const sg_tokenizer *t, const char *where,
                          sg_error *err);

#endif
