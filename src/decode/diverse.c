/* diverse.c - beam search in groups that keep away from each other.          [Vijayakumar et al. 2018, arXiv:1610.02424]
 *
 * At each level the beams are chosen in groups, one after the other, out of all children of all beams of the level before; what a
 * group took is gone for the next. To a group a child with the codes t_1 .. t_l counts as
 *
 *   score(child) - sum over its levels i of diversity[i] * (beams that earlier groups took at this level and that have code t_i)
 *
 * and all carry on with the plain score, which orders the final list. So without diversity it is the plain search, whatever the groups,
 * and as many items come back. At the last level no more than the k items of the list are chosen: of a wider choice the most
 * probable would be alike again.
 *
 * Where we differ from the paper: its groups extend prefixes of their own and look at the code at hand alone. Over a catalogue, where
 * another prefix is another code, groups then either hold the same prefixes or stop keeping apart after the first code. */
#include "decode/search.h"

#include "base/alloc.h"
#include "decode/legal.h"
#include "index/bits.h"

#include <math.h>

typedef struct beam {
    sg_children kids;
    int32_t node, parent, code, row;
    float score;
} beam;

enum { OPEN, DEAD, TAKEN };

typedef struct worker { /* (cap): candidates, in order of node */
    uint64_t *key, *spare;
    int32_t *from;   /* beam of each */
    float *value;    /* its plain score */
    uint8_t *state;  /* OPEN, DEAD: nothing below it may be returned, or TAKEN by a group */
    uint32_t *begin; /* (most) first candidate of each beam */
    float *away;     /* (most) what the codes of each beam count less */
    int32_t *times;  /* (levels, size) beams of earlier groups that have a code */
    float *x;        /* (size) */
} worker;

typedef struct search {
    const sg_catalogue *c;
    const sg_beam_spec *spec;
    int levels, level, batch;
    size_t most, size, cap; /* beams of a user; codes of a level; candidates of a user */
    sg_allowed allowed;
    sg_denied *denied; /* (batch) */
    int32_t *denied_node;
    beam *now, *next; /* (batch, most), in order of node */
    int32_t
        *path[2];  /* (batch, most, levels) codes of those; -1: after the end of an ID, which was no choice */
    int32_t *live; /* (batch) how many they are */
    bool *bad;
    int32_t *offsets, *parent, *code;
    float *logits;
    int ld;
    worker *workers;
    int32_t *item;
    float *score;
} search;

static int32_t *path_of(const search *s, int level, size_t user, int32_t i)
{
    return s->path[level & 1] + (user * s->most + (size_t)i) * (size_t)s->levels;
}

/* The children of beam p, candidates from first on, below which nothing may be returned. */
static void bury(const search *s, const sg_denied *d, const beam *p, uint8_t *state)
{
    const int below = s->level + 1, stride = s->levels + 1;

    for (int32_t i = 0; s->allowed.any_mask && i < p->kids.n; i++)
        if (!sg_bits_get(s->allowed.alive[below], (size_t)p->kids.first + (size_t)i))
            state[i] = DEAD;
    for (int32_t i = 0, end; i < d->n; i = end) {
        const int32_t node = d->node[i * stride + below];

        for (end = i + 1; end < d->n && d->node[end * stride + below] == node;)
            end++;
        if (node >= p->kids.first && node < p->kids.first + p->kids.n &&
            sg_allowed_count(&s->allowed, s->c, below, node) == end - i)
            state[node - p->kids.first] = DEAD;
    }
}

/* All children of a user's beams; false: the logits are not finite. */
static bool gather(const search *s, size_t user, worker *w, uint32_t *n)
{
    const beam *p = s->now + user * s->most;

    *n = 0;
    for (int32_t i = 0; i < s->live[user]; i++, p++) {
        const bool ended = sg_catalogue_ended(s->c, s->level, p->code);
        sg_legal legal = {.x = &(float){0}};

        if (!ended && !sg_legal_row(&legal, s->logits + (size_t)p->row * (size_t)s->ld,
                                    sg_catalogue_size(s->c, s->level), &p->kids, s->spec->renormalise, w->x))
            return false;
        const float shift = (float)((double)p->score - (double)legal.lse);
        w->begin[i] = *n;
        for (int32_t k = 0; k < p->kids.n; k++) {
            w->from[*n] = i;
            w->state[*n] = OPEN;
            w->value[(*n)++] = ended ? p->score : sg_child_score(p->score, legal.x[k], shift);
        }
        bury(s, &s->denied[user], p, w->state + w->begin[i]);
    }
    return true;
}

static int32_t code_of(const search *s, size_t user, const worker *w, uint32_t candidate)
{
    const int32_t i = w->from[candidate];
    const beam *p = s->now + user * s->most + i;

    return sg_catalogue_ended(s->c, s->level, p->code)
               ? -1
               : sg_child_code(&p->kids, (int32_t)(candidate - w->begin[i]));
}

static float weigh(const search *s, const worker *w, int level, int32_t code)
{
    return code < 0 ? 0 : s->spec->diversity[level] * (float)w->times[(size_t)level * s->size + (size_t)code];
}

/* One group: the `width` candidates that count most. Returns how many there were. */
static size_t choose(const search *s, size_t user, worker *w, uint32_t n, size_t width)
{
    size_t keys = 0;
    uint64_t least;

    for (int32_t i = 0; i < s->live[user]; i++) {
        const int32_t *path = path_of(s, s->level, user, i);

        w->away[i] = 0;
        for (int l = 0; l < s->level; l++)
            w->away[i] += weigh(s, w, l, path[l]);
    }
    for (uint32_t j = 0; j < n; j++)
        if (w->state[j] == OPEN)
            w->key[keys++] =
                sg_key(w->value[j] - w->away[w->from[j]] - weigh(s, w, s->level, code_of(s, user, w, j)), j);
    keys = sg_key_keep(w->key, keys, width, w->spare, &least);
    for (size_t i = 0; i < keys; i++)
        w->state[sg_key_number(w->key[i])] = TAKEN;
    for (size_t i = 0; i < keys; i++) { /* the next groups keep away from these */
        const uint32_t j = sg_key_number(w->key[i]);
        const int32_t *path = path_of(s, s->level, user, w->from[j]), code = code_of(s, user, w, j);

        for (int l = 0; l < s->level; l++)
            if (path[l] >= 0)
                w->times[(size_t)l * s->size + (size_t)path[l]]++;
        if (code >= 0)
            w->times[(size_t)s->level * s->size + (size_t)code]++;
    }
    return keys;
}

/* What the groups took are the beams of the next level. */
static void adopt(search *s, size_t user, const worker *w, uint32_t n)
{
    const beam *now = s->now + user * s->most;
    beam *next = s->next + user * s->most;
    int32_t live = 0;

    for (uint32_t j = 0; j < n; j++) {
        const beam *p = &now[w->from[j]];
        const int32_t kid = (int32_t)(j - w->begin[w->from[j]]);
        int32_t *path = path_of(s, s->level + 1, user, live);

        if (w->state[j] != TAKEN)
            continue;
        next[live] = (beam){.node = p->kids.first + kid,
                            .parent = p->row,
                            .code = sg_child_code(&p->kids, kid),
                            .score = w->value[j]};
        if (s->level + 1 < s->levels)
            next[live].kids = sg_catalogue_children(s->c, s->level + 1, next[live].node);
        memcpy(path, path_of(s, s->level, user, w->from[j]), (size_t)s->level * sizeof *path);
        path[s->level] = code_of(s, user, w, j);
        live++;
    }
    s->live[user] = live;
}

/* One level of one user. */
static bool advance_user(search *s, size_t user, worker *w)
{
    const size_t total = s->level + 1 < s->levels ? s->most : (size_t)s->spec->k,
                 groups = (size_t)s->spec->groups;
    size_t taken = 0;
    uint32_t n;

    if (!gather(s, user, w, &n))
        return false;
    memset(w->times, 0, (size_t)s->levels * s->size * sizeof *w->times);
    for (size_t g = 0; g < groups && taken < total; g++)
        taken += choose(s, user, w, n, (total - taken + groups - g - 1) / (groups - g));
    adopt(s, user, w, n);
    return true;
}

static void advance_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    search *s = ctx;

    for (size_t u = begin; u < end; u++)
        s->bad[u] = !advance_user(s, u, &s->workers[thread]);
}

static sg_status ask(search *s, sg_beam_step *step, void *ctx, sg_error *err)
{
    sg_beam_rows rows = {.level = s->level,
                         .batch = s->batch,
                         .offsets = s->offsets,
                         .parent = s->parent,
                         .code = s->code,
                         .logits = s->logits,
                         .ld = s->ld};

    for (int u = 0; u < s->batch; u++) {
        beam *p = s->now + (size_t)u * s->most;

        s->offsets[u] = rows.n;
        for (int32_t i = 0; i < s->live[u]; i++) {
            p[i].row = rows.n;
            s->parent[rows.n] = p[i].parent;
            s->code[rows.n++] = p[i].code;
        }
    }
    s->offsets[s->batch] = rows.n;
    return rows.n ? step(ctx, &rows, err) : SG_OK;
}

/* The leaves in order of score. */
static void finish_user(search *s, size_t user, uint64_t *key)
{
    const beam *leaf = s->now + user * s->most;
    const int32_t n = s->live[user], k = s->spec->k;
    int32_t *item = s->item + user * (size_t)k;
    float *score = s->score + user * (size_t)k;

    for (int32_t i = 0; i < n; i++)
        key[i] = sg_key(leaf[i].score, (uint32_t)leaf[i].node);
    sg_key_sort(key, (size_t)n);
    for (int32_t i = 0; i < k; i++) {
        item[i] = i < n ? sg_catalogue_item(s->c, (int32_t)sg_key_number(key[i])) : -1;
        score[i] = i < n ? sg_key_score(key[i]) : -INFINITY;
    }
}

static sg_status take_memory(search *s, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    const size_t batch = (size_t)s->batch, levels = (size_t)s->levels;
    const int64_t *offsets = s->spec->deny_offsets;
    const int threads = sg_pool_threads(pool);
    size_t rows, longest = 0, cells, paths;
    bool ok;

    for (int l = 0; l < s->levels; l++) {
        const size_t size = (size_t)sg_catalogue_size(s->c, l),
                     nodes = (size_t)sg_catalogue_nodes(s->c, l + 1);

        s->size = size > s->size ? size : s->size;
        s->cap = nodes > s->cap ? nodes : s->cap;
    }
    for (size_t u = 0; offsets && u < batch; u++)
        longest =
            (size_t)(offsets[u + 1] - offsets[u]) > longest ? (size_t)(offsets[u + 1] - offsets[u]) : longest;
    s->ld = (int)((s->size + 15) & ~(size_t)15);
    if (!sg_mul(&rows, batch, s->most) || rows > INT32_MAX || !sg_mul(&cells, rows, (size_t)s->ld) ||
        !sg_mul(&paths, rows, levels))
        return sg_fail(err, SG_ERR_USAGE, "beam search: %d users times %zu prefixes are too many at once",
                       s->batch, s->most);
    s->cap = s->cap < s->most * s->size ? s->cap : s->most * s->size; /* cells did not overflow */
    s->cap = s->cap > longest ? s->cap : longest;
    ok = (s->denied = sg_arena_take_zero(arena, batch, sizeof *s->denied)) &&
         (s->denied_node = sg_arena_take_array(arena, offsets ? (size_t)(offsets[batch] - offsets[0]) : 0,
                                               (size_t)(s->levels + 1) * sizeof *s->denied_node)) &&
         (s->now = sg_arena_take_array(arena, rows, sizeof *s->now)) &&
         (s->next = sg_arena_take_array(arena, rows, sizeof *s->next)) &&
         (s->path[0] = sg_arena_take_array(arena, paths, sizeof *s->path[0])) &&
         (s->path[1] = sg_arena_take_array(arena, paths, sizeof *s->path[1])) &&
         (s->live = sg_arena_take_zero(arena, batch, sizeof *s->live)) &&
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
             (w->value = sg_arena_take_array(arena, s->cap, sizeof *w->value)) &&
             (w->state = sg_arena_take_array(arena, s->cap, sizeof *w->state)) &&
             (w->begin = sg_arena_take_array(arena, s->most, sizeof *w->begin)) &&
             (w->away = sg_arena_take_array(arena, s->most, sizeof *w->away)) &&
             (w->times = sg_arena_take_array(arena, levels * s->size, sizeof *w->times)) &&
             (w->x = sg_arena_take_array(arena, s->size, sizeof *w->x));
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
    s->now[user * s->most] = (beam){.parent = -1, .code = -1, .kids = sg_catalogue_children(s->c, 0, 0)};
    s->live[user] = 1;
}

sg_status sg_diverse_search(int32_t *item, float *score, const sg_catalogue *c, int batch,
                            const sg_beam_spec *spec, sg_beam_step *step, void *ctx, sg_pool *pool,
                            sg_arena *arena, sg_error *err)
{
    const size_t beams = (size_t)(spec->beam > spec->k ? spec->beam : spec->k),
                 items = (size_t)sg_catalogue_nodes(c, sg_catalogue_levels(c));
    search s = {.c = c,
                .spec = spec,
                .levels = sg_catalogue_levels(c),
                .batch = batch,
                .most = beams < items ? beams : items,
                .item = item,
                .score = score};
    sg_status st;

    if ((st = take_memory(&s, pool, arena, err)) ||
        (st = sg_allowed_init(&s.allowed, c, spec->allow, pool, arena, err)))
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
                return sg_fail(err, SG_ERR_NUMERIC,
                               "decoding: logits of level %d are not finite (history %d of the batch)",
                               s.level + 1, u);
        s.now = s.next;
        s.next = swap;
    }
    for (int u = 0; u < batch; u++)
        finish_user(&s, (size_t)u, s.workers[0].key);
    return SG_OK;
}
