/* guide.c - guides over strings of tokens: a list of them, sorted, and an FM-index. */
#include "lm/guide.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* ---- one of some strings -------------------------------------------------------------------------------------------------- */
/* The strings that begin as the text does are neighbours: state a .. b - 1 of them, and c tokens written. */
typedef struct choice {
    const int32_t *id;
    uint32_t n;
} choice;

typedef struct choices {
    sg_guide guide;
    int32_t *token; /* owned */
    choice *choice; /* owned: sorted, each once */
    int32_t *next;  /* owned */
    size_t cap_next;
} choices;

static int by_tokens(const void *x, const void *y)
{
    const choice *a = x, *b = y;

    for (uint32_t i = 0; i < a->n && i < b->n; i++)
        if (a->id[i] != b->id[i])
            return a->id[i] < b->id[i] ? -1 : 1;
    return (a->n > b->n) - (a->n < b->n);
}

/* The first of choices from .. end - 1 whose token at `depth` is above `token`; all have one there. Near ones are found fast. */
static uint32_t past(const choices *g, uint32_t from, uint32_t end, uint32_t depth, int32_t token)
{
    uint32_t step = 1, low = from;

    while (low + step < end && g->choice[low + step].id[depth] <= token) {
        low += step;
        step *= 2;
    }
    for (uint32_t high = low + step < end ? low + step : end; low < high;) {
        const uint32_t middle = low + (high - low) / 2;

        if (g->choice[middle].id[depth] <= token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static sg_status choices_next(sg_guide *guide, const int32_t **id, int32_t *n, bool *ends, sg_guide_state s,
                              sg_error *err)
{
    choices *g = (choices *)(void *)guide;
    uint32_t at = s.a;

    *ends = at < s.b && g->choice[at].n == s.c;
    at += *ends;
    *n = 0;
    while (at < s.b) {
        const int32_t token = g->choice[at].id[s.c];

        if (!sg_grow(&g->next, &g->cap_next, (size_t)*n + 1, sizeof *g->next))
            return sg_fail_memory(err, "choices");
        g->next[(*n)++] = token;
        at = past(g, at, s.b, s.c, token);
    }
    *id = g->next;
    return SG_OK;
}

static void choices_step(sg_guide *guide, sg_guide_state *s, int32_t token)
{
    const choices *g = (const choices *)(const void *)guide;

    s->a += s->a < s->b && g->choice[s->a].n == s->c;
    s->a = past(g, s->a, s->b, s->c, token - 1);
    s->b = past(g, s->a, s->b, s->c, token);
    s->c++;
}

static void choices_free(sg_guide *guide)
{
    choices *g = (choices *)(void *)guide;

    sg_free(g->token);
    sg_free(g->choice);
    sg_free(g->next);
    sg_free(g);
}

sg_status sg_guide_choices(sg_guide **out, const int32_t *token, const int64_t *offsets, int32_t n,
                           sg_error *err)
{
    static const sg_guide_ops ops = {choices_next, choices_step, choices_free};
    const size_t all = (size_t)(offsets[n] - offsets[0]);
    choices *g = sg_alloc_zero(1, sizeof *g);
    uint32_t kept = 0;

    *out = NULL;
    if (!g)
        return sg_fail_memory(err, "choices");
    g->guide.ops = &ops;
    if (!(g->token = sg_alloc_array(all + 1, sizeof *g->token)) ||
        !(g->choice = sg_alloc_array((size_t)n, sizeof *g->choice))) {
        choices_free(&g->guide);
        return sg_fail_memory(err, "choices");
    }
    if (all)
        memcpy(g->token, token + offsets[0], all * sizeof *token);
    for (int32_t i = 0; i < n; i++)
        g->choice[i] =
            (choice){g->token + (offsets[i] - offsets[0]), (uint32_t)(offsets[i + 1] - offsets[i])};
    qsort(g->choice, (size_t)n, sizeof *g->choice, by_tokens);
    for (int32_t i = 0; i < n; i++)
        if (i == 0 || by_tokens(&g->choice[kept - 1], &g->choice[i]) != 0)
            g->choice[kept++] = g->choice[i];
    g->guide.begin = (sg_guide_state){0, kept, 0};
    *out = &g->guide;
    return SG_OK;
}

/* ---- a part of some strings ----------------------------------------------------------------------------------------------- */
/* State a .. b - 1: rows of what was written; c: tokens of it, counted up to 1. */
typedef struct parts {
    sg_guide guide;
    const sg_fm *fm; /* borrowed */
    bool whole;
    int32_t *next;    /* owned: (tokens) */
    sg_fm_next *list; /* owned: (tokens) */
} parts;

static sg_status parts_next(sg_guide *guide, const int32_t **id, int32_t *n, bool *ends, sg_guide_state s,
                            sg_error *err)
{
    parts *g = (parts *)(void *)guide;
    uint32_t last = 0;

    (void)err;
    *n = sg_fm_successors(g->fm, (sg_fm_range){s.a, s.b}, g->list, sg_fm_tokens(g->fm), &last);
    for (int32_t i = 0; i < *n; i++)
        g->next[i] = g->list[i].token;
    *id = g->next;
    *ends = s.c > 0 && (!g->whole || last > 0);
    return SG_OK;
}

static void parts_step(sg_guide *guide, sg_guide_state *s, int32_t token)
{
    const parts *g = (const parts *)(const void *)guide;
    const sg_fm_range r = sg_fm_extend(g->fm, (sg_fm_range){s->a, s->b}, token);

    *s = (sg_guide_state){r.first, r.last, 1};
}

static void parts_free(sg_guide *guide)
{
    parts *g = (parts *)(void *)guide;

    sg_free(g->next);
    sg_free(g->list);
    sg_free(g);
}

sg_status sg_guide_fm(sg_guide **out, const sg_fm *f, bool whole, sg_error *err)
{
    static const sg_guide_ops ops = {parts_next, parts_step, parts_free};
    const sg_fm_range all = whole ? sg_fm_at_start(f) : sg_fm_anywhere(f);
    const size_t tokens = (size_t)sg_fm_tokens(f);
    parts *g = sg_alloc_zero(1, sizeof *g);

    *out = NULL;
    if (!g)
        return sg_fail_memory(err, "parts");
    *g = (parts){.guide = {&ops, {all.first, all.last, 0}}, .fm = f, .whole = whole};
    g->next = sg_alloc_array(tokens, sizeof *g->next);
    g->list = sg_alloc_array(tokens, sizeof *g->list);
    if (!g->next || !g->list) {
        parts_free(&g->guide);
        return sg_fail_memory(err, "parts");
    }
    *out = &g->guide;
    return SG_OK;
}
