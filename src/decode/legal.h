/* legal.h - a row of logits reduced to the codes that exist after a prefix, and its log-normaliser. */
#ifndef SG_DECODE_LEGAL_H
#define SG_DECODE_LEGAL_H

#include "index/catalogue.h"

typedef struct sg_legal {
    const float *x; /* (kids->n) logits of the children, in the row or in scratch */
    float lse;      /* log sum exp over the children, or over all codes of the level */
    float top;      /* no x is larger */
} sg_legal;

/* logits (size); scratch (size). False when the normaliser is not finite: NaN or infinity came from the model. */
bool sg_legal_row(sg_legal *out, const float *logits, int32_t size, const sg_children *kids, bool renormalise,
                  float *scratch);

/* Score of a child with logit x; shift = score of the prefix - lse. Never above the prefix, whatever rounding does. */
static inline float sg_child_score(float score, float x, float shift)
{
    return x + shift < score ? x + shift : score;
}

/* Are all codes after this prefix of `level`, whose last is `code` and which has these children, certain? They are once the ID has
 * ended, and where codes are compared with those that exist, once one item is left. */
bool sg_is_settled(const sg_catalogue *c, int level, int32_t code, sg_children kids, bool renormalise);

#endif
