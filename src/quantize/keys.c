/* keys.c - rows by hashing, and the vocabulary of pieces. */
#include "quantize/keys.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 16 };

int sg_keys_each(const sg_keys_spec *spec)
{
    switch (spec->kind) {
    case SG_KEYS_UNIGRAMS:
    case SG_KEYS_PREFIX:
    case SG_KEYS_PIECES:
        return spec->depth;
    case SG_KEYS_BIGRAMS:
        return spec->depth > 1 ? spec->depth - 1 : 1;
    default:
        return 1;
    }
}

static int64_t codes_of_all_levels(const sg_keys_spec *s)
{
    int64_t n = 0;

    for (int l = 0; l < s->depth; l++)
        n += s->size[l];
    return n;
}

int64_t sg_keys_rows(const sg_keys_spec *spec)
{
    return spec->kind == SG_KEYS_ITEM       ? spec->n
           : spec->kind == SG_KEYS_UNIGRAMS ? codes_of_all_levels(spec)
                                            : spec->rows;
}

/* ---- hashing -------------------------------------------------------------------------------------------- */

/* Row of the codes begin .. end - 1; equal codes of other places have rows of their own. */
static int32_t hashed(const sg_keys_spec *s, const int32_t *code, int begin, int end)
{
    uint64_t h = (uint64_t)(begin * DEPTH_MOST + end);

    for (int l = begin; l < end; l++)
        h = sg_rng_mix(h + 0x9e3779b97f4a7c15u * ((uint64_t)code[l] + 1));
    return (int32_t)(h % (uint64_t)s->rows);
}

static void hash_item(int32_t *row, const sg_keys_spec *s, int32_t item)
{
    const int32_t *code = s->codes + (size_t)item * (size_t)s->levels;
    int32_t base = 0;

    switch (s->kind) {
    case SG_KEYS_ITEM:
        row[0] = item;
        break;
    case SG_KEYS_HASH:
        row[0] = (int32_t)(sg_rng_mix(0x9e3779b97f4a7c15u * ((uint64_t)item + 1)) % (uint64_t)s->rows);
        break;
    case SG_KEYS_TUPLE:
        row[0] = hashed(s, code, 0, s->depth);
        break;
    case SG_KEYS_UNIGRAMS:
        for (int l = 0; l < s->depth; base += s->size[l++])
            row[l] = base + code[l];
        break;
    case SG_KEYS_BIGRAMS:
        for (int l = 0; l < sg_keys_each(s); l++)
            row[l] = hashed(s, code, l, l + 2 < s->depth ? l + 2 : s->depth);
        break;
    default:
        for (int l = 0; l < s->depth; l++)
            row[l] = hashed(s, code, 0, l + 1);
    }
}

/* ---- pieces --------------------------------------------------------------------------------------------- */

typedef struct piece {
    uint64_t key; /* its place and codes as one number */
    double count; /* in training; expected, later */
    double logp;
    double need; /* what the likelihood of training would lose without it */
} piece;

typedef struct pieces {
    const sg_keys_spec *spec;
    int spans;       /* pairs begin < end <= depth */
    int32_t singles; /* pieces of one code: the first of the list, by level and code */
    size_t n;
    piece *list;   /* owned: singles, then longer ones by key */
    int32_t *span; /* owned (n items, spans): the piece of each run of codes, -1: none */
} pieces;

/* Runs begin .. end - 1 by number: those of one begin together. */
static int span_of(const pieces *p, int begin, int end)
{
    return begin * p->spec->depth - begin * (begin - 1) / 2 + end - begin - 1;
}

static uint64_t key_of(const sg_keys_spec *s, const int32_t *code, int begin, int end)
{
    uint64_t key = 0;

    for (int l = begin; l < end; l++)
        key = key * (uint64_t)s->size[l] + (uint64_t)code[l];
    return key | (uint64_t)(begin * DEPTH_MOST + end - 1) << 56;
}

static int by_key(const void *a, const void *b)
{
    const uint64_t x = ((const piece *)a)->key, y = ((const piece *)b)->key;

    return (x > y) - (x < y);
}

static int by_need(const void *a, const void *b)
{
    const piece *x = a, *y = b;

    return x->need != y->need ? (x->need < y->need) - (x->need > y->need) : by_key(a, b);
}

/* Every run of at least two codes that was shown at least twice. */
static bool seed(pieces *p)
{
    const sg_keys_spec *s = p->spec;
    const size_t most = (size_t)s->n * (size_t)(p->spans - s->depth);
    size_t n = 0, kept = 0;
    piece *longer;

    if (!(p->list = sg_alloc_zero((size_t)p->singles + most + 1, sizeof *p->list)))
        return false;
    longer = p->list + p->singles;
    for (int32_t i = 0; i < s->n; i++)
        for (int b = 0; s->times[i] > 0 && b < s->depth; b++)
            for (int e = b + 2; e <= s->depth; e++)
                longer[n++] = (piece){.key = key_of(s, s->codes + (size_t)i * (size_t)s->levels, b, e),
                                      .count = (double)s->times[i]};
    qsort(longer, n, sizeof *longer, by_key);
    for (size_t i = 0, next; i < n; i = next) {
        double count = 0;

        for (next = i; next < n && longer[next].key == longer[i].key; next++)
            count += longer[next].count;
        if (count >= 2)
            longer[kept++] = (piece){.key = longer[i].key, .count = count};
    }
    p->n = (size_t)p->singles + kept;
    return true;
}

/* Which piece each run of each item is. */
static void find_spans(pieces *p)
{
    const sg_keys_spec *s = p->spec;

    for (int32_t i = 0; i < s->n; i++) {
        const int32_t *code = s->codes + (size_t)i * (size_t)s->levels;
        int32_t *span = p->span + (size_t)i * (size_t)p->spans, base = 0;

        for (int b = 0; b < s->depth; base += s->size[b++]) {
            span[span_of(p, b, b + 1)] = base + code[b];
            for (int e = b + 2; e <= s->depth; e++) {
                const piece want = {.key = key_of(s, code, b, e)}, *longer = p->list + p->singles;
                const piece *at = bsearch(&want, longer, p->n - (size_t)p->singles, sizeof *longer, by_key);

                span[span_of(p, b, e)] = at ? (int32_t)(at - p->list) : -1;
            }
        }
    }
}

static double add_log(double a, double b)
{
    return a > b ? a + log1p(exp(b - a)) : b == -INFINITY ? a : b + log1p(exp(a - b));
}

/* How often each piece is expected in the items as they were shown, by forward and backward sums over all ways to cut them. */
static void expect(pieces *p, double *count)
{
    const sg_keys_spec *s = p->spec;
    double ahead[DEPTH_MOST + 1], behind[DEPTH_MOST + 1];

    memset(count, 0, p->n * sizeof *count);
    for (int32_t i = 0; i < s->n; i++) {
        const int32_t *span = p->span + (size_t)i * (size_t)p->spans;

        if (s->times[i] == 0)
            continue;
        for (int l = 0; l <= s->depth; l++)
            ahead[l] = behind[l] = l == 0 ? 0 : -INFINITY;
        behind[0] = -INFINITY;
        behind[s->depth] = 0;
        for (int b = 0; b < s->depth; b++)
            for (int e = b + 1; e <= s->depth; e++)
                if (span[span_of(p, b, e)] >= 0)
                    ahead[e] = add_log(ahead[e], ahead[b] + p->list[span[span_of(p, b, e)]].logp);
        for (int b = s->depth - 1; b >= 0; b--)
            for (int e = b + 1; e <= s->depth; e++)
                if (span[span_of(p, b, e)] >= 0)
                    behind[b] = add_log(behind[b], behind[e] + p->list[span[span_of(p, b, e)]].logp);
        for (int b = 0; b < s->depth; b++)
            for (int e = b + 1; e <= s->depth; e++) {
                const int32_t at = span[span_of(p, b, e)];

                if (at >= 0)
                    count[at] +=
                        (double)s->times[i] * exp(ahead[b] + p->list[at].logp + behind[e] - ahead[s->depth]);
            }
    }
}

static void to_logs(pieces *p, const double *count)
{
    double sum = 0;

    for (size_t i = 0; i < p->n; i++) /* a little of each: codes that were never shown have to be cut, too */
        sum += count[i] + 1e-3;
    for (size_t i = 0; i < p->n; i++)
        p->list[i].logp = log((count[i] + 1e-3) / sum);
}

/* The most probable cut of the codes from..to of an item without piece `not`; cut[e]: where the piece that ends at e begins. */
static double best_cut(const pieces *p, const int32_t *span, int from, int to, int32_t not, int *cut)
{
    double best[DEPTH_MOST + 1];

    best[from] = 0;
    for (int e = from + 1; e <= to; e++) {
        best[e] = -INFINITY;
        for (int b = from; b < e; b++) {
            const int32_t at = span[span_of(p, b, e)];

            if (at >= 0 && at != not &&best[b] + p->list[at].logp > best[e]) {
                best[e] = best[b] + p->list[at].logp;
                cut[e] = b;
            }
        }
    }
    return best[to];
}

/* What the likelihood of the items as they are cut now would lose without each piece. */
static void weigh(pieces *p)
{
    const sg_keys_spec *s = p->spec;
    int cut[DEPTH_MOST + 1], other[DEPTH_MOST + 1];

    for (size_t i = 0; i < p->n; i++)
        p->list[i].need = 0;
    for (int32_t i = 0; i < s->n; i++) {
        const int32_t *span = p->span + (size_t)i * (size_t)p->spans;

        if (s->times[i] == 0)
            continue;
        best_cut(p, span, 0, s->depth, -1, cut);
        for (int e = s->depth; e > 0; e = cut[e]) {
            const int32_t at = span[span_of(p, cut[e], e)];

            if (at >= p->singles)
                p->list[at].need +=
                    (double)s->times[i] * (p->list[at].logp - best_cut(p, span, cut[e], e, at, other));
        }
    }
}

/* Keeps `want` pieces, single codes and the most needed others. */
static void keep(pieces *p, size_t want)
{
    piece *longer = p->list + p->singles;

    weigh(p);
    qsort(longer, p->n - (size_t)p->singles, sizeof *longer, by_need);
    p->n = want;
    qsort(longer, p->n - (size_t)p->singles, sizeof *longer, by_key);
    find_spans(p);
}

static void learn(pieces *p, double *count)
{
    const size_t rows = (size_t)p->spec->rows;

    find_spans(p);
    expect(p, count); /* with equal probabilities: logp is 0 everywhere */
    to_logs(p, count);
    for (;;) {
        for (int i = 0; i < 2; i++) {
            expect(p, count);
            to_logs(p, count);
        }
        if (p->n <= rows)
            return;
        const size_t fewer = (size_t)p->singles + (p->n - (size_t)p->singles) * 4 / 5;

        keep(p, fewer > rows ? fewer : rows);
    }
}

static void cut_items(int32_t *row, const pieces *p)
{
    const int depth = p->spec->depth;
    int cut[DEPTH_MOST + 1];

    for (int32_t i = 0; i < p->spec->n; i++, row += depth) {
        const int32_t *span = p->span + (size_t)i * (size_t)p->spans;
        int n = 0;

        best_cut(p, span, 0, depth, -1, cut);
        for (int e = depth; e > 0; e = cut[e])
            row[n++] = span[span_of(p, cut[e], e)];
        for (; n < depth; n++)
            row[n] = -1;
    }
}

static sg_status make_pieces(int32_t *row, const sg_keys_spec *s, sg_error *err)
{
    pieces p = {
        .spec = s, .spans = s->depth * (s->depth + 1) / 2, .singles = (int32_t)codes_of_all_levels(s)};
    double space = 1, *count = NULL;
    sg_status st = SG_OK;

    for (int l = 0; l < s->depth; l++)
        space *= s->size[l];
    if (space > 0x1p56)
        return sg_fail(err, SG_ERR_USAGE,
                       "keys: pieces of %d codes: expected at most 2^56 different IDs, found %.3g", s->depth,
                       space);
    if (s->rows < p.singles)
        return sg_fail(err, SG_ERR_USAGE, "keys: expected at least %d rows, one for each code, found %d",
                       (int)p.singles, (int)s->rows);
    p.span = sg_alloc_array((size_t)s->n, (size_t)p.spans * sizeof *p.span);
    if (p.span && seed(&p) && (count = sg_alloc_array(p.n, sizeof *count))) {
        learn(&p, count);
        cut_items(row, &p);
    } else {
        st = sg_fail_memory(err, "pieces of IDs");
    }
    sg_free(p.list);
    sg_free(p.span);
    sg_free(count);
    return st;
}

sg_status sg_keys_make(int32_t *row, const sg_keys_spec *spec, sg_error *err)
{
    const int each = sg_keys_each(spec);

    if (spec->depth < 1 || spec->depth > spec->levels || spec->depth > DEPTH_MOST)
        return sg_fail(err, SG_ERR_USAGE, "keys: expected a depth from 1 to %d, found %d",
                       spec->levels < DEPTH_MOST ? spec->levels : DEPTH_MOST, spec->depth);
    if (spec->kind == SG_KEYS_PIECES)
        return make_pieces(row, spec, err);
    for (int32_t i = 0; i < spec->n; i++)
        hash_item(row + (size_t)i * (size_t)each, spec, i);
    return SG_OK;
}
