/* desk_rows.c - rows of pieces, and their logits, a few at a time. */
#include "lm/desk_rows.h"

#include "math/math.h"

#include <math.h>
#include <string.h>

bool sg_desk_next(int *which, int *at, sg_desk_place *p, const sg_piece *piece, int n)
{
    for (; p->piece < n && p->at == piece[p->piece].n; p->at = 0)
        p->piece++;
    if (p->piece == n)
        return false;
    *which = p->piece;
    *at = p->at++;
    return true;
}

sg_status sg_desk_check(const sg_desk *d, const sg_piece *piece, int length, sg_error *err)
{
    const int left = d->places - length;

    if (piece->n < 0 || piece->n > left)
        return sg_fail(err, SG_ERR_USAGE, "expected at most %d tokens more, room was made for %d, found %d",
                       left, d->places, piece->n);
    for (int t = 0; t < piece->n; t++)
        if (piece->id[t] < 0 || piece->id[t] >= d->vocab)
            return sg_fail(err, SG_ERR_USAGE, "token %d: expected a number below %d, found %d", t, d->vocab,
                           (int)piece->id[t]);
    return SG_OK;
}

double sg_token_logp(const float *logits, size_t n, int32_t id)
{
    float top;
    const float sum = sg_sum_exp(&top, logits, n);

    return (double)logits[id] - (double)top - log((double)sum);
}

typedef struct
    wish { /* what somebody wants of a row: its logits, or from them the log-probability of a token */
    float *logits;
    double *logp;
    int32_t id;
} wish;

static void grant(const sg_desk_output *o, const wish *w, int n)
{
    const size_t vocab = (size_t)o->vocab;

    if (n)
        o->logits(o->ctx, n, o->states, o->made);
    for (int i = 0; i < n; i++) {
        const float *logits = o->made + (size_t)i * vocab;

        if (w[i].logits)
            memcpy(w[i].logits, logits, vocab * sizeof *logits);
        if (w[i].logp)
            *w[i].logp = sg_token_logp(logits, vocab, w[i].id);
    }
}

void sg_desk_answer(const sg_desk_output *o, const sg_piece *piece, sg_desk_place p, const float *state,
                    int n)
{
    const size_t dim = (size_t)o->dim;
    wish w[SG_DESK_LOGITS];
    int wishes = 0;

    for (int r = 0; r < n; r++, state += dim) {
        int which = 0, at = 0;

        sg_desk_next(&which, &at, &p, piece, INT32_MAX); /* there are n more */
        const sg_piece *from = &piece[which];
        const bool last = at + 1 == from->n;

        if (from->states)
            memcpy(from->states + (size_t)at * dim, state, dim * sizeof *state);
        if (last ? from->logits != NULL : from->logp != NULL) {
            memcpy(o->states + (size_t)wishes * dim, state, dim * sizeof *state);
            w[wishes++] = last ? (wish){.logits = from->logits}
                               : (wish){.logp = &from->logp[at + 1], .id = from->id[at + 1]};
        }
        if (wishes == SG_DESK_LOGITS) {
            grant(o, w, wishes);
            wishes = 0;
        }
    }
    grant(o, w, wishes);
}
