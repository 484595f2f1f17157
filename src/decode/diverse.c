/* diverse.c - beam search in groups that keep away from each other.          [Vijayakumar et al. 2018, arXiv:1610.02424]
 *
 * The beam is cut into groups. At each level they choose one after the other; a child with code t counts as
 *   score(prefix) + log p(t) - diversity[level] * (beams of earlier groups that took t at this level)
 * and all carry on with the plain score, which orders the final list. Groups may share prefixes, but not items: at the last
 * level an item that an earlier group took is passed over. A user whose groups end up with fewer than k items although
 * there are more gets the rest from a plain search. */
#include "decode/search.h"

#include "base/alloc.h"
#include "decode/legal.h"
#include "index/bits.h"

#include <math.h>

typedef struct beam {
    sg_children kids;
    int32_t node, parent, code, row;
    bool filler; /* its last code follows the end of the ID: it cost nothing and was no choice */
    float score;
} beam;

typedef struct worker {
    uint64_t *key, *spare; /* (cap) */
    int32_t *from;         /* (cap) beam of each candidate */
    uint32_t *begin;       /* (width) first candidate of each beam */
    float *shift;          /* (width) its score less the normaliser of its children */
    int32_t *times;        /* (size) beams of earlier groups that took a code */
    float *x;              /* (size) */
} worker;

typedef struct search {
    const sg_catalogue *c;
    const sg_beam_spec *spec;
    int levels, level, batch, width; /* width: of a group */
    size_t most, cap; /* beams of a user; candidates of a group */
    sg_allowed allowed;
    sg_denied *denied; /* (batch) */
    int32_t *denied_node;
    beam *now, *next;  /* (batch, most): group after group */
    int32_t *count[2]; /* (batch, groups) beams of each group in now and next */
    bool *bad;
    int32_t *offsets, *parent, *code;
    float *logits;
    int ld;
    worker *workers;
    int32_t *item;
    float *score;
} search;

/* May nothing below this node of the next level be returned? */
static bool is_dead(const search *s, size_t user, int32_t node)
{
    const sg_denied *d = &s->denied[user];
    int32_t denied = 0, first, last;

    if (s->allowed.any_mask && !sg_bits_get(s->allowed.alive[s->level + 1], (size_t)node))
        return true;
    if (!d->n)
        return false;
    sg_catalogue_span(s->c, s->level + 1, node, &first, &last);
    for (int32_t i = 0; i < d->n; i++) {
        const int32_t leaf = d->node[i * (s->levels + 1) + s->levels];

        denied += leaf >= first && leaf < last;
    }
    return denied && denied == sg_allowed_count(&s->allowed, s->c, s->level + 1, node);
}

static bool is_taken(const beam *list, int32_t n, int32_t node)
{
    for (int32_t i = 0; i < n; i++)
        if (list[i].node == node)
            return true;
    return false;
}

/* All children of the beams of one group, as keys; false: the logits are not finite. */
static bool gather(const search *s, const beam *p, int32_t n, worker *w, size_t *n_keys)
{
    const int32_t size = sg_catalogue_size(s->c, s->level);
    const float weight = s->spec->diversity[s->level];

    *n_keys = 0;
    for (int32_t i = 0; i < n; i++) {
        const bool ended = sg_catalogue_ended(s->c, s->level, p[i].code);
        sg_legal legal = {.x = &(float){0}};

        if (!ended &&
            !sg_legal_row(&legal, s->logits + (size_t)p[i].row * (size_t)s->ld, size, &p[i].kids, s->spec->renormalise, w->x))
            return false;
        w->begin[i] = (uint32_t)*n_keys;
        w->shift[i] = (float)((double)p[i].score - (double)legal.lse);
        for (int32_t k = 0; k < p[i].kids.n; k++) {
            const float away = ended ? 0 : weight * (float)w->times[sg_child_code(&p[i].kids, k)];

            w->from[*n_keys] = i;
            w->key[*n_keys] = sg_key(sg_child_score(p[i].score, legal.x[k], w->shift[i]) - away, (uint32_t)*n_keys);
            ++*n_keys;
        }
    }
    return true;
}

/* One level of one user. */
static bool advance_user(search *s, size_t user, worker *w)
{
    const int groups = s->spec->groups;
    const int32_t size = sg_catalogue_size(s->c, s->level);
    const beam *now = s->now + user * s->most;
    beam *next = s->next + user * s->most;
    int32_t n = 0;

    memset(w->times, 0, (size_t)size * sizeof *w->times);
    for (int g = 0; g < groups; now += s->count[s->level & 1][user * (size_t)groups + (size_t)g++]) {
        const int32_t live = s->count[s->level & 1][user * (size_t)groups + (size_t)g], begin = n;
        size_t keys;

        if (!gather(s, now, live, w, &keys))
            return false;
        sg_key_sort(w->key, keys);
        for (size_t i = 0; i < keys && n - begin < s->width; i++) {
            const uint32_t number = sg_key_number(w->key[i]);
            const beam *p = &now[w->from[number]];
            const int32_t kid = (int32_t)(number - w->begin[w->from[number]]);
            beam *b = &next[n];

            *b = (beam){.node = p->kids.first + kid, .parent = p->row, .code = sg_child_code(&p->kids, kid)};
            b->filler = sg_catalogue_ended(s->c, s->level, p->code);
            if (is_dead(s, user, b->node) || (s->level + 1 == s->levels && is_taken(next, n, b->node)))
                continue;
            b->score = b->filler ? p->score
                                 : sg_child_score(p->score, s->logits[(size_t)p->row * (size_t)s->ld + (size_t)b->code],
                                                  w->shift[w->from[number]]);
            if (s->level + 1 < s->levels)
                b->kids = sg_catalogue_children(s->c, s->level + 1, b->node);
            n++;
        }
        for (int32_t i = begin; i < n; i++)
            w->times[next[i].code] += !next[i].filler;
        s->count[~s->level & 1][user * (size_t)groups + (size_t)g] = n - begin;
    }
    return true;
}

static void advance_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    search *s = ctx;

    for (size_t u = begin; u < end; u++)
        s->bad[u] = !advance_user(s, u, &s->workers[thread]);
}

static int32_t live_of(const search *s, size_t user)
{
    int32_t n = 0;

    for (int g = 0; g < s->spec->groups; g++)
        n += s->count[s->level & 1][user * (size_t)s->spec->groups + (size_t)g];
    return n;
}

static sg_status ask(search *s, sg_beam_step *step, void *ctx, sg_error *err)
{
    sg_beam_rows rows = {.level = s->level, .batch = s->batch, .offsets = s->offsets, .parent = s->parent, .code = s->code,
                         .logits = s->logits, .ld = s->ld};

    for (int u = 0; u < s->batch; u++) {
        beam *p = s->now + (size_t)u * s->most;

        s->offsets[u] = rows.n;
        for (int32_t i = 0, n = live_of(s, (size_t)u); i < n; i++) {
            p[i].row = rows.n;
            s->parent[rows.n] = p[i].parent;
            s->code[rows.n++] = p[i].code;
        }
    }
    s->offsets[s->batch] = rows.n;
    return rows.n ? step(ctx, &rows, err) : SG_OK;
}

/* The k best leaves of all groups; true when there are fewer. */
static bool finish_user(search *s, size_t user, uint64_t *key, uint64_t *spare)
{
    const beam *leaf = s->now + user * s->most;
    const int32_t n = live_of(s, user), k = s->spec->k;
    uint64_t least;
    size_t kept;

    for (int32_t i = 0; i < n; i++)
        key[i] = sg_key(leaf[i].score, (uint32_t)leaf[i].node);
    kept = sg_key_keep(key, (size_t)n, (size_t)k, spare, &least);
    sg_key_sort(key, kept);
    for (int32_t i = 0; i < k; i++) {
        s->item[user * (size_t)k + (size_t)i] = i < (int32_t)kept ? sg_catalogue_item(s->c, (int32_t)sg_key_number(key[i])) : -1;
        s->score[user * (size_t)k + (size_t)i] = i < (int32_t)kept ? sg_key_score(key[i]) : -INFINITY;
    }
    return n < k;
}

/* Items of the plain list that are not there yet, best first, in order of score. */
static void fill_up(int32_t *item, float *score, int k, const int32_t *plain, const float *plain_score)
{
    int n = 0;

    while (n < k && item[n] >= 0)
        n++;
    for (int i = 0; i < k && n < k && plain[i] >= 0; i++) {
        int at = 0;

        while (at < n && item[at] != plain[i])
            at++;
        if (at < n)
            continue;
        for (at = n++; at > 0 && score[at - 1] < plain_score[i]; at--) {
            item[at] = item[at - 1];
            score[at] = score[at - 1];
        }
        item[at] = plain[i];
        score[at] = plain_score[i];
    }
}

static sg_status take_memory(search *s, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    const size_t batch = (size_t)s->batch, groups = (size_t)s->spec->groups;
    const int64_t *offsets = s->spec->deny_offsets;
    const int threads = sg_pool_threads(pool);
    size_t rows, size = 0, longest = 0, cells;
    bool ok;

    for (int l = 0; l < s->levels; l++)
        size = (size_t)sg_catalogue_size(s->c, l) > size ? (size_t)sg_catalogue_size(s->c, l) : size;
    for (size_t u = 0; offsets && u < batch; u++)
        longest = (size_t)(offsets[u + 1] - offsets[u]) > longest ? (size_t)(offsets[u + 1] - offsets[u]) : longest;
    s->ld = (int)((size + 15) & ~(size_t)15);
    if (!sg_mul(&rows, batch, s->most) || rows > INT32_MAX || !sg_mul(&cells, rows, (size_t)s->ld) ||
        !sg_mul(&s->cap, (size_t)s->width, size) || s->cap > UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "beam search: %d users times %zu prefixes are too many at once", s->batch, s->most);
    s->cap = s->cap > longest ? s->cap : longest;
    s->cap = s->cap > s->most ? s->cap : s->most;
    ok = (s->denied = sg_arena_take_zero(arena, batch, sizeof *s->denied)) &&
         (s->denied_node = sg_arena_take_array(arena, offsets ? (size_t)(offsets[batch] - offsets[0]) : 0,
                                               (size_t)(s->levels + 1) * sizeof *s->denied_node)) &&
         (s->now = sg_arena_take_array(arena, rows, sizeof *s->now)) &&
         (s->next = sg_arena_take_array(arena, rows, sizeof *s->next)) &&
         (s->count[0] = sg_arena_take_zero(arena, batch * groups, sizeof *s->count[0])) &&
         (s->count[1] = sg_arena_take_zero(arena, batch * groups, sizeof *s->count[1])) &&
         (s->bad = sg_arena_take_zero(arena, batch, sizeof *s->bad)) &&
         (s->offsets = sg_arena_take_array(arena, batch + 1, sizeof *s->offsets)) &&
         (s->parent = sg_arena_take_array(arena, rows, sizeof *s->parent)) &&
         (s->code = sg_arena_take_array(arena, rows, sizeof *s->code)) &&
         (s->logits = sg_arena_take_array(arena, cells, sizeof *s->logits)) &&
         (s->workers = sg_arena_take_array(arena, (size_t)threads, sizeof *s->workers));
    for (int i = 0; ok && i < threads; i++) {
        worker *w = &s->workers[i];

        ok = (w->key = sg_arena_take_array(arena, s->cap, sizeof *w->key)) &&
             (w->spare = sg_arena_take_array(arena, s->cap, sizeof *w->spare)) &&
             (w->from = sg_arena_take_array(arena, s->cap, sizeof *w->from)) &&
             (w->begin = sg_arena_take_array(arena, (size_t)s->width, sizeof *w->begin)) &&
             (w->shift = sg_arena_take_array(arena, (size_t)s->width, sizeof *w->shift)) &&
             (w->times = sg_arena_take_array(arena, size, sizeof *w->times)) &&
             (w->x = sg_arena_take_array(arena, size, sizeof *w->x));
    }
    return ok ? SG_OK : sg_fail_memory(err, "beam search");
}

static void start_user(search *s, size_t user)
{
    const sg_beam_spec *spec = s->spec;
    sg_denied *d = &s->denied[user];

    if (spec->deny_offsets) {
        const int64_t at = spec->deny_offsets[user];

        sg_denied_init(d, s->c, &s->allowed, spec->deny + at, (int32_t)(spec->deny_offsets[user + 1] - at),
                       s->denied_node + (at - spec->deny_offsets[0]) * (s->levels + 1), s->workers[0].key);
    }
    if (sg_allowed_count(&s->allowed, s->c, 0, 0) <= d->n)
        return;
    for (int g = 0; g < spec->groups; g++) { /* every group begins at the root */
        s->now[user * s->most + (size_t)g] = (beam){.parent = -1, .code = -1, .kids = sg_catalogue_children(s->c, 0, 0)};
        s->count[0][user * (size_t)spec->groups + (size_t)g] = 1;
    }
}

/* Users whose groups found fewer than k items: from a plain search. */
static sg_status complete(search *s, sg_beam_step *step, void *ctx, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    const size_t n = (size_t)s->batch * (size_t)s->spec->k;
    int32_t *plain = sg_arena_take_array(arena, n, sizeof *plain);
    float *plain_score = sg_arena_take_array(arena, n, sizeof *plain_score);
    sg_beam_spec spec = *s->spec;
    sg_status st;

    if (!plain || !plain_score)
        return sg_fail_memory(err, "beam search");
    spec.groups = 0;
    if ((st = sg_beam_search(plain, plain_score, s->c, s->batch, &spec, step, ctx, pool, arena, err)))
        return st;
    for (size_t at = 0; at < n; at += (size_t)spec.k)
        fill_up(s->item + at, s->score + at, spec.k, plain + at, plain_score + at);
    return SG_OK;
}

sg_status sg_diverse_search(int32_t *item, float *score, const sg_catalogue *c, int batch, const sg_beam_spec *spec,
                            sg_beam_step *step, void *ctx, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    const int beams = spec->beam > spec->k ? spec->beam : spec->k;
    search s = {.c = c, .spec = spec, .levels = sg_catalogue_levels(c), .batch = batch, .item = item, .score = score,
                .width = (beams + spec->groups - 1) / spec->groups};
    bool few = false;
    sg_status st;

    s.most = (size_t)s.width * (size_t)spec->groups;
    if ((st = take_memory(&s, pool, arena, err)) || (st = sg_allowed_init(&s.allowed, c, spec->allow, pool, arena, err)))
        return st;
    for (int u = 0; u < batch; u++)
        start_user(&s, (size_t)u);
    for (s.level = 0; s.level < s.levels; s.level++) {
        beam *swap = s.now;

        if ((st = ask(&s, step, ctx, err)))
            return st;
        sg_parallel_for(pool, (size_t)batch, 1, advance_users, &s);
        for (int u = 0; u < batch; u++)
            if (s.bad[u])
                return sg_fail(err, SG_ERR_NUMERIC, "decoding: logits of level %d are not finite (history %d of the batch)",
                               s.level + 1, u);
        s.now = s.next;
        s.next = swap;
    }
    for (int u = 0; u < batch; u++)
        few |= finish_user(&s, (size_t)u, s.workers[0].key, s.workers[0].spare);
    return few ? complete(&s, step, ctx, pool, arena, err) : SG_OK;
}
