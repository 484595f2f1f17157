/* legal.c - log p(code | prefix) = x - lse, lse = log sum exp of the codes that exist (or of all codes of the
 * level). */
#include "decode/legal.h"

#include "math/math.h"

#include <math.h>

static void gather(float *out, const float *logits, const sg_children *kids)
{
    if (kids->wide) {
        const uint16_t *code = kids->code;

        for (int32_t i = 0; i < kids->n; i++)
            out[i] = logits[code[i]];
    } else {
        const uint8_t *code = kids->code;

        for (int32_t i = 0; i < kids->n; i++)
            out[i] = logits[code[i]];
    }
}

bool sg_legal_row(sg_legal *out, const float *logits, int32_t size, const sg_children *kids, bool renormalise,
                  float *scratch)
{
    const float *over = logits;
    int32_t n = size;
    float sum;

    if (kids->n == size) {
        out->x = logits;
    } else {
        gather(scratch, logits, kids);
        out->x = scratch;
    }
    if (renormalise) {
        over = out->x;
        n = kids->n;
    }
    sum = sg_sum_exp(&out->top, over, (size_t)n);
    out->lse = out->top + logf(sum);
    return isfinite(out->lse) != 0;
}

bool sg_is_settled(const sg_catalogue *c, int level, int32_t code, sg_children kids, bool renormalise)
{
    if (sg_catalogue_ended(c, level, code))
        return true;
    while (renormalise && kids.n == 1) {
        if (++level == sg_catalogue_levels(c))
            return true;
        kids = sg_catalogue_children(c, level, kids.first);
    }
    return false;
}
