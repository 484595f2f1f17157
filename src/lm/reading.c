/* reading.c - one text at a desk of its own. */
#include "base/alloc.h"
#include "lm/desk.h"
#include "lm/llama.h"

#include <string.h>

struct sg_reading {
    sg_desk *desk; /* owned */
    int text, length;
    bool known;  /* what follows the last token */
    float *last; /* owned: (vocab) its logits */
};

sg_status sg_reading_new(sg_reading **out, const sg_llama *m, int places, sg_pool *pool, sg_error *err)
{
    sg_reading *r = sg_alloc_zero(1, sizeof *r);
    sg_status st;

    *out = NULL;
    if (!r)
        return sg_fail_memory(err, "session");
    if ((st = sg_llama_desk(&r->desk, m, places, pool, err)) || (st = sg_desk_open(r->desk, &r->text, err)))
        goto done;
    if (!(r->last = sg_alloc_array((size_t)r->desk->vocab, sizeof *r->last))) {
        st = sg_fail_memory(err, "session");
        goto done;
    }
    *out = r;
    r = NULL;
done:
    sg_reading_free(r);
    return st;
}

void sg_reading_free(sg_reading *r)
{
    if (!r)
        return;
    sg_desk_free(r->desk);
    sg_free(r->last);
    sg_free(r);
}

int sg_reading_length(const sg_reading *r)
{
    return r->length;
}

void sg_reading_cut(sg_reading *r, int length)
{
    if (length < r->length) {
        r->length = length < 0 ? 0 : length;
        r->known = false;
        sg_desk_cut(r->desk, r->text, r->length);
    }
}

static sg_status read_piece(sg_reading *r, sg_piece piece, sg_error *err)
{
    const sg_status st = sg_desk_read(r->desk, &piece, 1, err);

    if (!st && piece.n) {
        r->length += piece.n;
        r->known = piece.logits;
    }
    return st;
}

sg_status sg_reading_feed(sg_reading *r, const int32_t *id, int n, float *logits, sg_error *err)
{
    const sg_status st = read_piece(r, (sg_piece){r->text, id, n, logits ? r->last : NULL, NULL, NULL}, err);

    if (!st && logits && !r->known)
        return sg_fail(err, SG_ERR_USAGE, "expected a token to read, found none");
    if (!st && logits)
        memcpy(logits, r->last, (size_t)r->desk->vocab * sizeof *logits);
    return st;
}

sg_status sg_reading_score(sg_reading *r, const int32_t *id, int n, double *logp, sg_error *err)
{
    const bool first = n > 0 && r->known && id[0] >= 0 && id[0] < r->desk->vocab;
    const double known = first ? sg_token_logp(r->last, (size_t)r->desk->vocab, id[0]) : 0;
    const sg_status st = read_piece(r, (sg_piece){r->text, id, n, r->last, logp, NULL}, err);

    if (!st && n > 0)
        logp[0] = known;
    return st;
}

sg_status sg_reading_depth(sg_reading *r, sg_depth depth, sg_error *err)
{
    return sg_llama_desk_depth(r->desk, depth, err);
}

sg_status sg_reading_states(sg_reading *r, const int32_t *id, int n, float *states, sg_error *err)
{
    return read_piece(r, (sg_piece){r->text, id, n, NULL, NULL, states}, err);
}
