/* evidence.c - places of strings are gathered, dealt to documents, and added up there in the order of the strings' weights. */
#include "lm/evidence.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double logp_most = -1e-6; /* of a string that is certain: its odds would have no end */

typedef struct place {
    int32_t document, gram;
    int64_t at; /* first token, among all */
} place;

struct sg_evidence {
    sg_shelf shelf;
    double tokens; /* of all documents */
    place *found;  /* owned */
    place *dealt;  /* owned: the same by document */
    size_t n, cap_found, cap_dealt;
    uint32_t *count; /* owned: (documents + 1) */
    uint32_t *seen;  /* owned: (vocabulary) the document that last had this token */
    uint32_t stamp;  /* of the document at hand */
    uint8_t *taken;  /* owned: (longest document) */
};

double sg_gram_weight(double logp, double count, double tokens)
{
    const double p = tokens > 0 ? count / tokens : 1, l = logp > logp_most ? logp_most : logp;
    double w;

    if (p <= 0 || p >= 1 || !(l > -INFINITY))
        return 0;
    w = l + log1p(-p) - log(p) - log1p(-exp(l));
    return w > 0 ? w : 0;
}

static size_t tokens_of(const sg_shelf *s, int32_t document)
{
    return (size_t)(s->offsets[(int64_t)(document + 1) * s->parts] -
                    s->offsets[(int64_t)document * s->parts]);
}

sg_status sg_evidence_new(sg_evidence **out, const sg_shelf *s, sg_error *err)
{
    sg_evidence *e = sg_alloc_zero(1, sizeof *e);
    size_t longest = 0;

    *out = NULL;
    if (!e)
        return sg_fail_memory(err, "documents");
    e->shelf = *s;
    e->tokens = (double)(s->offsets[(int64_t)s->n * s->parts] - s->offsets[0]);
    for (int32_t d = 0; d < s->n; d++)
        longest = tokens_of(s, d) > longest ? tokens_of(s, d) : longest;
    e->count = sg_alloc_zero((size_t)s->n + 1, sizeof *e->count);
    e->seen = sg_alloc_zero((size_t)sg_fm_tokens(s->fm) + 1, sizeof *e->seen);
    e->taken = sg_alloc_zero(longest + 1, 1);
    if (!e->count || !e->seen || !e->taken) {
        sg_evidence_free(e);
        return sg_fail_memory(err, "documents");
    }
    *out = e;
    return SG_OK;
}

void sg_evidence_free(sg_evidence *e)
{
    if (!e)
        return;
    sg_free(e->found);
    sg_free(e->dealt);
    sg_free(e->count);
    sg_free(e->seen);
    sg_free(e->taken);
    sg_free(e);
}

/* ---- strings, and where they stand ------------------------------------------------------------------------------------------ */
static int by_weight(const void *x, const void *y)
{
    const sg_gram *a = x, *b = y;

    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    if (a->n != b->n)
        return a->n > b->n ? -1 : 1;
    for (int32_t i = 0; i < a->n; i++)
        if (a->token[i] != b->token[i])
            return a->token[i] < b->token[i] ? -1 : 1;
    return 0;
}

static void weigh(const sg_evidence *e, sg_gram *g)
{
    g->rows = sg_fm_anywhere(e->shelf.fm);
    for (int32_t i = 0; i < g->n; i++)
        g->rows = sg_fm_extend(e->shelf.fm, g->rows, g->token[i]);
    g->weight = g->n > 0 && g->rows.last > g->rows.first
                    ? sg_gram_weight(g->logp, (double)(g->rows.last - g->rows.first), e->tokens)
                    : 0;
}

/* Places of a string in documents that are allowed; known_only: and that have been found. */
static sg_status find_places(sg_evidence *e, const sg_gram *gram, int32_t which, const uint8_t *allow,
                             bool known_only, sg_error *err)
{
    const sg_shelf *s = &e->shelf;
    const sg_gram *g = &gram[which];

    if (!sg_grow(&e->found, &e->cap_found, e->n + (g->rows.last - g->rows.first), sizeof *e->found))
        return sg_fail_memory(err, "places of strings");
    for (uint32_t row = g->rows.first; row < g->rows.last; row++) {
        int32_t item, behind;
        const sg_status st = sg_fm_locate(s->fm, row, &item, &behind, err);

        if (st)
            return st;
        if ((allow && !allow[item / s->parts]) || (known_only && !e->count[item / s->parts]))
            continue;
        e->found[e->n++] = (place){item / s->parts, which, s->offsets[item + 1] - behind - g->n};
        e->count[item / s->parts] += !known_only;
    }
    return SG_OK;
}

static int by_gram(const void *x, const void *y)
{
    const place *a = x, *b = y;

    return a->gram != b->gram ? (a->gram > b->gram) - (a->gram < b->gram) : (a->at > b->at) - (a->at < b->at);
}

static bool is_frequent(const sg_gram *g, const sg_evidence_how *how)
{
    return how->frequent && g->rows.last - g->rows.first > (uint32_t)how->frequent;
}

/* Places of all strings that weigh something: frequent ones last. */
static sg_status find_all(sg_evidence *e, const sg_gram *gram, int n, const sg_evidence_how *how,
                          sg_error *err)
{
    sg_status st = SG_OK;

    e->n = 0;
    memset(e->count, 0, (size_t)e->shelf.n * sizeof *e->count);
    for (int known = 0; known < 2; known++)
        for (int i = 0; i < n && gram[i].weight > 0 && !st; i++)
            if (is_frequent(&gram[i], how) == (known > 0))
                st = find_places(e, gram, i, how->allow, known > 0, err);
    return st;
}

/* By document, in the order in which they were found. */
static sg_status deal(sg_evidence *e, sg_error *err)
{
    uint32_t at = 0;

    if (!sg_grow(&e->dealt, &e->cap_dealt, e->n + 1, sizeof *e->dealt))
        return sg_fail_memory(err, "places of strings");
    memset(e->count, 0, (size_t)e->shelf.n * sizeof *e->count);
    for (size_t i = 0; i < e->n; i++)
        e->count[e->found[i].document]++;
    for (int32_t d = 0; d < e->shelf.n; d++) {
        const uint32_t here = e->count[d];

        e->count[d] = at;
        at += here;
    }
    for (size_t i = 0; i < e->n; i++)
        e->dealt[e->count[e->found[i].document]++] = e->found[i];
    return SG_OK;
}

/* ---- documents -------------------------------------------------------------------------------------------------------------- */
/* Share of the string's tokens, each counted once, that the document's heavier ones do not have; they have them from now on. */
static double new_share(sg_evidence *e, const sg_gram *g)
{
    int all = 0, fresh = 0;

    for (int32_t i = 0; i < g->n; i++) {
        bool repeated = false;

        for (int32_t k = 0; k < i && !repeated; k++)
            repeated = g->token[k] == g->token[i];
        if (repeated)
            continue;
        all++;
        fresh += e->seen[g->token[i]] != e->stamp;
        e->seen[g->token[i]] = e->stamp;
    }
    return (double)fresh / all;
}

/* p (n): places of one document. */
static double score_document(sg_evidence *e, place *p, size_t n, const sg_gram *gram,
                             const sg_evidence_how *how)
{
    const int64_t begin = e->shelf.offsets[(int64_t)p[0].document * e->shelf.parts];
    double score = 0;

    if (++e->stamp == 0) { /* after 2^32 documents */
        memset(e->seen, 0, ((size_t)sg_fm_tokens(e->shelf.fm) + 1) * sizeof *e->seen);
        e->stamp = 1;
    }
    qsort(p, n, sizeof *p, by_gram);
    for (size_t i = 0, to; i < n; i = to) {
        const sg_gram *g = &gram[p[i].gram];
        bool counts = false;

        for (to = i; to < n && p[to].gram == p[i].gram; to++)
            counts |= !memchr(e->taken + (p[to].at - begin), 1, (size_t)g->n);
        if (!counts)
            continue;
        for (size_t k = i; k < to; k++)
            memset(e->taken + (p[k].at - begin), 1, (size_t)g->n);
        score += pow(g->weight, how->alpha) * (1 - how->beta + how->beta * new_share(e, g));
    }
    memset(e->taken, 0, tokens_of(&e->shelf, p[0].document));
    return score;
}

static bool is_better(const sg_hit *a, const sg_hit *b)
{
    return a->score != b->score ? a->score > b->score : a->document < b->document;
}

static void keep_best(sg_hit *heap, int *n, int most, sg_hit h)
{
    int at;

    if (*n < most) {
        for (at = (*n)++; at > 0 && is_better(&heap[(at - 1) / 2], &h); at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = h;
        return;
    }
    if (!is_better(&h, &heap[0]))
        return;
    for (at = 0;;) {
        int child = 2 * at + 1;

        if (child + 1 < most && is_better(&heap[child], &heap[child + 1]))
            child++;
        if (child >= most || !is_better(&h, &heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = h;
}

static int by_hit(const void *x, const void *y)
{
    const sg_hit *a = x, *b = y;

    return is_better(a, b) ? -1 : is_better(b, a);
}

sg_status sg_evidence_rank(sg_hit *hit, int *n_hit, sg_evidence *e, sg_gram *gram, int n,
                           const sg_evidence_how *how, sg_error *err)
{
    sg_status st;

    *n_hit = 0;
    for (int i = 0; i < n; i++)
        weigh(e, &gram[i]);
    if (n)
        qsort(gram, (size_t)n, sizeof *gram, by_weight);
    if ((st = find_all(e, gram, n, how, err)) || (st = deal(e, err)))
        return st;
    for (size_t i = 0, to; i < e->n; i = to) {
        for (to = i; to < e->n && e->dealt[to].document == e->dealt[i].document;)
            to++;
        keep_best(hit, n_hit, how->most,
                  (sg_hit){e->dealt[i].document, score_document(e, &e->dealt[i], to - i, gram, how)});
    }
    if (*n_hit)
        qsort(hit, (size_t)*n_hit, sizeof *hit, by_hit);
    return SG_OK;
}
