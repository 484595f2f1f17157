/* path.c - the log-probability of each code of given items: the model is led along their codes (teacher
 * forcing).
 *
 * The sum over an item's levels is the score that a beam search gives it, up to rounding. */
#include "decode/beam.h"

#include "base/alloc.h"
#include "decode/legal.h"

typedef struct walker {      /* one item on its way down */
    int32_t node, code, row; /* row of the last call; -1: the rest is certain */
    sg_children kids;
} walker;

static sg_status take_level(float *logp, walker *w, const sg_catalogue *c, const int32_t *item, int n,
                            bool renormalise, const sg_beam_rows *call, float *scratch, sg_error *err)
{
    const int levels = sg_catalogue_levels(c), level = call->level;
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];

    for (int i = 0; i < n; i++) {
        float *out = &logp[(size_t)i * (size_t)levels + (size_t)level];
        sg_legal legal;

        sg_catalogue_codes(c, item[i], codes);
        w[i].code = codes[level];
        if (w[i].row < 0 || (renormalise && w[i].kids.n == 1)) {
            *out = 0;
        } else {
            const float *logits = call->logits + (size_t)w[i].row * (size_t)call->ld;

            if (!sg_legal_row(&legal, logits, sg_catalogue_size(c, level), &w[i].kids, renormalise, scratch))
                return sg_fail(err, SG_ERR_NUMERIC, "decoding: logits of level %d are not finite", level + 1);
            *out = sg_child_score(0, logits[codes[level]], -legal.lse);
        }
        w[i].node = sg_catalogue_child(c, level, w[i].node, codes[level]);
    }
    return SG_OK;
}

sg_status sg_path_scores(float *logp, const sg_catalogue *c, const int32_t *item, int n, bool renormalise,
                         sg_beam_step *step, void *ctx, sg_arena *arena, sg_error *err)
{
    const int levels = sg_catalogue_levels(c);
    int32_t offsets[2] = {0}, *parent, *code, ld = 0;
    float *logits, *scratch;
    walker *w;
    sg_status st;

    if (n < 1)
        return SG_OK;
    for (int i = 0; i < n; i++) {
        if (item[i] < 0 || item[i] >= sg_catalogue_items(c))
            return sg_fail(err, SG_ERR_USAGE, "path: expected item numbers from 0 to %d, found %d",
                           sg_catalogue_items(c) - 1, item[i]);
        if (sg_catalogue_leaf(c, item[i]) < 0)
            return sg_fail(err, SG_ERR_MISSING, "path: no item %d", item[i]);
    }
    for (int l = 0; l < levels; l++)
        ld = sg_catalogue_size(c, l) > ld ? sg_catalogue_size(c, l) : ld;
    ld = (ld + 15) & ~15;
    if (!(w = sg_arena_take_zero(arena, (size_t)n, sizeof *w)) ||
        !(parent = sg_arena_take_array(arena, (size_t)n, sizeof *parent)) ||
        !(code = sg_arena_take_array(arena, (size_t)n, sizeof *code)) ||
        !(scratch = sg_arena_take_array(arena, (size_t)ld, sizeof *scratch)) ||
        !(logits = sg_arena_take_array(arena, (size_t)n, (size_t)ld * sizeof *logits)))
        return sg_fail_memory(err, "path");
    for (int l = 0; l < levels; l++) {
        sg_beam_rows call = {.level = l,
                             .batch = 1,
                             .offsets = offsets,
                             .parent = parent,
                             .code = code,
                             .logits = logits,
                             .ld = ld};

        for (int i = 0; i < n; i++) {
            w[i].kids = sg_catalogue_children(c, l, w[i].node);
            if (w[i].row < 0 || sg_is_settled(c, l, w[i].code, w[i].kids, renormalise)) {
                w[i].row = -1;
                continue;
            }
            if (l == 0 && call.n == 1)
                continue; /* all items share the root */
            parent[call.n] = l ? w[i].row : -1;
            code[call.n] = l ? w[i].code : -1;
            w[i].row = call.n++;
        }
        offsets[1] = call.n;
        if ((call.n && (st = step(ctx, &call, err))) ||
            (st = take_level(logp, w, c, item, n, renormalise, &call, scratch, err)))
            return st;
    }
    return SG_OK;
}
