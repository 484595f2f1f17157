/* slate.c - slates as rows of a training step; slates by beam search, item by item.
 *
 * A search is one item's, over the prefix tree, from every slate kept so far: what comes out of it is always an item. Each slate is
 * continued by its `branch` likeliest items, and the likeliest of all these are kept. */
#include "models/slate.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- labels -------------------------------------------------------------------------------------------- */

bool sg_slate_rows_take(sg_slate_rows *b, sg_graph *g, const sg_coder *s, int batch, size_t items,
                        size_t slates, size_t written)
{
    const size_t rows = written * (size_t)(s->names.levels + 1);
    int32_t **const arrays[] = {&b->id, &b->prefix, &b->limit, &b->begin, &b->size, &b->target};

    *b = (sg_slate_rows){.user = sg_scratch(g, (size_t)batch + 1, sizeof *b->user),
                         .item = sg_scratch(g, items + 1, sizeof *b->item),
                         .items = sg_scratch(g, (size_t)batch + 1, sizeof *b->items),
                         .own = sg_scratch(g, slates + 1, sizeof *b->own),
                         .rows = sg_scratch(g, (size_t)batch + 1, sizeof *b->rows)};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (!(*arrays[i] = sg_scratch(g, rows + 1, sizeof(int32_t))))
            return false;
    if (!b->user || !b->item || !b->items || !b->own || !b->rows)
        return false;
    b->items[0] = b->own[0] = b->rows[0] = 0;
    return true;
}

void sg_slate_rows_example(sg_slate_rows *b, int32_t user, const int32_t *item, int n)
{
    const int i = b->in.batch++, at = b->items[i];

    b->user[i] = user;
    if (n)
        memcpy(b->item + at, item, (size_t)n * sizeof *item);
    b->items[i + 1] = at + n;
    b->rows[i + 1] = b->n;
}

void sg_slate_rows_add(sg_slate_rows *b, const sg_coder *s, int seen, const int32_t *item, int n)
{
    const sg_names *w = &s->names;

    for (int i = 0; i < n; i++) {
        const size_t at = (size_t)item[i] * (size_t)w->levels;
        const int32_t *code = s->codes + at;

        for (int t = 0; t <= w->levels && !(t == w->levels && i + 1 == n);
             t++) { /* nobody reads the very last code */
            const int r = b->n++;

            b->id[r] = t ? w->first[t - 1] + code[t - 1] : s->bos;
            b->prefix[r] = w->prefix && t ? w->node[at + (size_t)t - 1] : -1;
            b->limit[r] = seen * w->levels;
            b->begin[r] = t < w->levels ? w->first[t] : 0;
            b->size[r] = t < w->levels ? w->size[t] : 1;
            b->target[r] = t < w->levels ? w->first[t] + code[t] : -1;
        }
    }
    b->own[++b->slates] = b->n;
    b->rows[b->in.batch] = b->n;
}

sg_tensor *sg_slate_rows_forward(sg_graph *g, const sg_coder *s, sg_slate_rows *b)
{
    b->in.user = b->user;
    b->in.item = b->item;
    b->in.offsets = b->items;

    sg_tensor *memory = sg_coder_encode(g, s, &b->in);

    return sg_coder_write(g, s, sg_coder_embed(g, s, b->id, b->prefix, b->n), memory,
                          &(sg_coder_written){.targets = b->slates,
                                              .batch = b->in.batch,
                                              .own = b->own,
                                              .rows = b->rows,
                                              .limit = b->limit,
                                              .tokens = b->in.tokens,
                                              .load = b->load});
}

/* ---- answers ------------------------------------------------------------------------------------------- */

typedef struct growing { /* a slate that may be continued */
    float logp;
    int32_t from, item; /* start of the search before, and what it goes on with */
} growing;

typedef struct finder {
    const sg_slate_spec *spec;
    const sg_histories *h; /* those of this call */
    sg_coder_decoder decoder;
    sg_session *session;
    int n, k;
    int32_t *item;                   /* results (n, beams, items) */
    float *logp;                     /* results (n, beams) */
    int32_t *first[2], *from, *next; /* (n + 1), (starts) */
    growing *all;                    /* (beams * branch or k) of one history */
    int32_t *list;                   /* (starts, branch) of one search */
    float *score;
    int64_t *deny_offsets; /* (starts + 1) */
    int32_t *deny;
    int32_t *keep; /* (beams, items) spare */
    int32_t *word; /* (starts) item of each start */
} finder;

static int by_logp(const void *a, const void *b)
{
    const growing *x = a, *y = b;

    if (x->logp != y->logp)
        return x->logp < y->logp ? 1 : -1;
    return x->from != y->from ? (x->from > y->from) - (x->from < y->from)
                              : (x->item > y->item) - (x->item < y->item);
}

static bool take_finder(finder *f, sg_error *err)
{
    sg_arena *a = sg_graph_arena(f->session->graph);
    const sg_slate_spec *s = f->spec;
    const size_t starts = (size_t)f->n * (size_t)s->beams, most = (size_t)s->beams * (size_t)s->branch;
    size_t denied = 0;

    for (int i = 0; i < f->n; i++)
        denied += (size_t)(s->seen ? f->h->offsets[i + 1] - f->h->offsets[i] : 0) + (size_t)s->items;
    f->first[0] = sg_arena_take_array(a, (size_t)f->n + 1, sizeof(int32_t));
    f->first[1] = sg_arena_take_array(a, (size_t)f->n + 1, sizeof(int32_t));
    f->from = sg_arena_take_array(a, starts, sizeof *f->from);
    f->next = sg_arena_take_array(a, starts, sizeof *f->next);
    f->word = sg_arena_take_array(a, starts, sizeof *f->word);
    f->all = sg_arena_take_array(a, most + (size_t)f->k, sizeof *f->all);
    f->list = sg_arena_take_array(a, starts * (size_t)s->branch, sizeof *f->list);
    f->score = sg_arena_take_array(a, starts * (size_t)s->branch, sizeof *f->score);
    f->deny_offsets = sg_arena_take_array(a, starts + 1, sizeof *f->deny_offsets);
    f->deny = sg_arena_take_array(a, denied * (size_t)s->beams + 1, sizeof *f->deny);
    f->keep = sg_arena_take_array(a, (size_t)s->beams * (size_t)s->items, sizeof *f->keep);
    if (f->first[0] && f->first[1] && f->from && f->next && f->word && f->all && f->list && f->score &&
        f->deny_offsets && f->deny && f->keep)
        return true;
    sg_fail_memory(err, "slates");
    return false;
}

/* What start `at` of history u may not write: its history, and what its slate has. */
static void deny(finder *f, int u, int at, const int32_t *slate, int have)
{
    int64_t n = at ? f->deny_offsets[at] : 0;

    f->deny_offsets[0] = 0;
    if (f->spec->seen) {
        const int64_t begin = f->h->offsets[u], len = f->h->offsets[u + 1] - begin;

        memcpy(f->deny + n, f->h->item + begin, (size_t)len * sizeof *f->deny);
        n += len;
    }
    memcpy(f->deny + n, slate, (size_t)have * sizeof *slate);
    f->deny_offsets[at + 1] = n + have;
}

/* Keeps the best of n continuations of history u's slates, which have `have` items; they are the starts from `at` on of the next
 * search. Returns how many. */
static int keep_best(finder *f, int u, int n, int have, int at, int first_start)
{
    const sg_slate_spec *s = f->spec;
    int32_t *slate = f->item + (size_t)u * (size_t)s->beams * (size_t)s->items;
    float *logp = f->logp + (size_t)u * (size_t)s->beams;

    if (n == 0) /* they end here */
        return 0;
    qsort(f->all, (size_t)n, sizeof *f->all, by_logp);
    n = n < s->beams ? n : s->beams;
    memcpy(f->keep, slate, (size_t)s->beams * (size_t)s->items * sizeof *slate);
    for (int b = 0; b < s->beams; b++) {
        int32_t *to = slate + (size_t)b * (size_t)s->items;

        for (int i = 0; i < s->items; i++)
            to[i] = -1;
        logp[b] = b < n ? f->all[b].logp : -INFINITY;
        if (b >= n)
            continue;
        memcpy(to, f->keep + (size_t)(f->all[b].from - first_start) * (size_t)s->items,
               (size_t)have * sizeof *to);
        to[have] = f->all[b].item;
        f->next[at + b] = f->all[b].from;
        f->word[at + b] = f->all[b].item;
    }
    return n;
}

/* The slates of all histories one item longer. */
static sg_status grow(finder *f, int have, sg_error *err)
{
    const sg_slate_spec *s = f->spec;
    sg_graph *g = f->session->graph;
    int32_t *first = f->first[have & 1], *next = f->first[(have + 1) & 1];
    const int starts = first[f->n];
    sg_status st;

    for (int u = 0; u < f->n; u++)
        for (int i = first[u]; i < first[u + 1]; i++)
            deny(f, u, i,
                 f->item + ((size_t)u * (size_t)s->beams + (size_t)(i - first[u])) * (size_t)s->items, have);
    sg_stack_starts(&f->decoder.stack, first, f->from);
    if ((st = sg_coder_decoder_write(&f->decoder, f->word, err)))
        return st;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    const sg_beam_spec search = {.beam = 2 * s->branch,
                                 .k = s->branch,
                                 .renormalise =
                                     f->decoder.coder->spec.legal || f->decoder.coder->spec.renormalise,
                                 .allow = s->allow,
                                 .deny_offsets = f->deny_offsets,
                                 .deny = f->deny};
    if ((st = sg_beam_search(f->list, f->score, sg_session_catalogue(f->session), starts, &search,
                             sg_coder_decoder_step, &f->decoder, f->session->pool, sg_graph_arena(g), err)))
        return st;
    sg_arena_back(sg_graph_arena(g), mark);
    next[0] = 0;
    for (int u = 0; u < f->n; u++) {
        const float *logp = f->logp + (size_t)u * (size_t)s->beams;
        int n = 0;

        for (int i = first[u]; i < first[u + 1]; i++)
            for (int j = 0; j < s->branch; j++) {
                const size_t at = (size_t)i * (size_t)s->branch + (size_t)j;

                if (f->list[at] >= 0)
                    f->all[n++] = (growing){logp[i - first[u]] + f->score[at], i, f->list[at]};
            }
        next[u + 1] = next[u] + keep_best(f, u, n, have, next[u], first[u]);
    }
    memcpy(f->from, f->next, (size_t)next[f->n] * sizeof *f->from);
    return SG_OK;
}

sg_status sg_slates_find(int32_t *item, float *logp, int32_t *lead, float *lead_logp, int k,
                         const sg_coder *s, sg_session *session, const sg_histories *all, int first, int n,
                         const sg_slate_spec *spec, sg_error *err)
{
    const sg_histories h = sg_histories_rows(all, first, n);
    const int wide =
        spec->items > 1 && spec->beams * 2 * spec->branch > k ? spec->beams * 2 * spec->branch : k;
    finder f = {.spec = spec, .h = &h, .session = session, .n = n, .k = k, .item = item, .logp = logp};
    sg_status st;

    if ((st = sg_coder_decoder_open(&f.decoder, s, session, all, first, n, n * wide, spec->items, err)))
        return st;
    if (!take_finder(&f, err))
        return SG_ERR_MEMORY;
    for (int i = 0; i <= n; i++)
        f.first[0][i] = i;
    sg_beam_spec search = {.beam = k,
                           .k = k,
                           .renormalise = s->spec.legal || s->spec.renormalise,
                           .allow = spec->allow,
                           .deny_offsets = spec->seen ? h.offsets : NULL,
                           .deny = h.item};
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(session->graph));

    if ((st =
             sg_beam_search(lead, lead_logp, sg_session_catalogue(session), n, &search, sg_coder_decoder_step,
                            &f.decoder, session->pool, sg_graph_arena(session->graph), err)))
        return st;
    sg_arena_back(sg_graph_arena(session->graph), mark);
    for (size_t i = 0; i < (size_t)n * (size_t)spec->beams * (size_t)spec->items; i++)
        item[i] = -1;
    f.first[1][0] = 0;
    for (int u = 0; u < n; u++) {
        int found = 0;

        for (int i = 0; i < k && lead[u * k + i] >= 0; i++)
            f.all[found++] = (growing){lead_logp[u * k + i], u, lead[u * k + i]};
        for (int b = 0; b < spec->beams; b++)
            logp[u * spec->beams + b] = -INFINITY;
        f.first[1][u + 1] = f.first[1][u] + keep_best(&f, u, found, 0, f.first[1][u], u);
    }
    memcpy(f.from, f.next, (size_t)f.first[1][n] * sizeof *f.from);
    if (spec->items > 1)
        sg_stack_starts(&f.decoder.stack, f.first[0], NULL);
    for (int have = 1; have < spec->items && f.first[have & 1][n] > 0; have++)
        if ((st = grow(&f, have, err)))
            return st;
    return SG_OK;
}
