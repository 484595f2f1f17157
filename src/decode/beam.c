/* beam.c - level by level: logits of all live prefixes of all users, then per user the best children.
 *
 *   score(child) = score(prefix) + x[code] - log sum exp x
 *
 * A user's prefixes stand in order of node: memory is walked forwards, and the parent of a pick is found by
 * walking along. They are expanded best first into a buffer of picks above a rising floor: a child costs log
 * p <= 0, so prefixes below the floor are done with, and of the others few children are ever touched twice.
 * Ties go to the lower node.
 *
 * A prefix bounds all that lies below it, so the least score kept at each level tells whether something
 * better may have been dropped. With `complete` such users are searched again with the k-th item's score as
 * the floor from the start: few prefixes stand above it, so a wide second search costs about as much as the
 * first.
 *
 * A prior moves a child by the largest prior below it less that below the prefix, which is never above 0.
 *
 * Prefixes below which nothing may be returned are dropped as they appear. Every kept prefix leads to at
 * least one item, so a full beam stays full and k <= beam items are found whenever there are k. */
#include "decode/search.h"

#include "base/alloc.h"
#include "decode/legal.h"
#include "decode/length.h"
#include "index/bits.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256, STEPS = 32 };

typedef struct worker {    /* one thread's scratch */
    uint64_t *key, *spare; /* (cap) */
    int32_t *order;        /* (width) and the picks of each prefix: */
    uint32_t *begin, *count;
    uint32_t *index; /* (BLOCK + 16) */
    float *x;        /* (size) */
    double *h;       /* (size), when sampling */
} worker;

typedef struct search {
    const sg_catalogue *c;
    const sg_beam_spec *spec;
    int levels, level, batch;
    size_t width, keep, cap; /* prefixes a user may have at most; in this search; picks in the buffer */
    sg_allowed allowed;
    sg_denied *denied;                /* (batch) */
    int32_t *denied_node;             /* (all denied items, levels + 1) */
    sg_prefix *prefix[2];             /* (batch, width) of this level and the next */
    int32_t *live;                    /* (batch) */
    bool *bad;                        /* (batch) the model gave numbers that are none */
    bool again, *done;                /* second search; (batch) who needs none */
    float *floor, *missed;            /* (batch) what need not be looked at; no dropped prefix scores above */
    float *least;                     /* (batch) score of the k-th item found; infinity: there are fewer */
    int32_t *offsets, *parent, *code; /* of the call */
    float *logits;
    int ld;
    worker *workers;
    int32_t *item; /* results */
    float *score;
} search;

void sg_picks_trim(sg_picks *p)
{
    uint64_t least = 0;

    if (p->n > p->keep) {
        p->n = sg_key_keep(p->key, p->n, p->keep, p->spare, &least);
        p->floor = sg_key_score(least);
    }
}

/* ---- which children are dead --------------------------------------------------------------------------- */

/* NaN over the logits of children that lead to nothing. Returns x, copied to scratch when it had to
 * change. */
static const float *drop_dead(const search *s, const sg_denied *d, const sg_prefix *p, const float *x,
                              float *scratch)
{
    const sg_children *kids = &p->kids;

    if (p->denied == p->denied_end && !s->allowed.any_mask)
        return x;
    if (x != scratch)
        memcpy(scratch, x, (size_t)kids->n * sizeof *x);
    if (s->allowed.any_mask) {
        const uint64_t *alive = s->allowed.alive[s->level + 1];

        for (int32_t i = 0; i < kids->n; i++)
            if (!sg_bits_get(alive, (size_t)kids->first + (size_t)i))
                scratch[i] = NAN;
    }
    for (int32_t i = p->denied, end; i < p->denied_end; i = end) {
        const int32_t node = d->node[i * (s->levels + 1) + s->level + 1];

        for (end = i + 1; end < p->denied_end && d->node[end * (s->levels + 1) + s->level + 1] == node;)
            end++;
        if (sg_allowed_count(&s->allowed, s->c, s->level + 1, node) == end - i)
            scratch[node - kids->first] = NAN;
    }
    return scratch;
}

/* The logits of the children of p, each moved by what it loses of the prior of p; in scratch. */
static const float *add_prior(const search *s, size_t user, const sg_prefix *p, const float *x,
                              float *scratch)
{
    const float *const *node = s->spec->prior->node;
    const float up = node[s->level][user * (size_t)sg_catalogue_nodes(s->c, s->level) + (size_t)p->node];
    const float *down =
        node[s->level + 1] + user * (size_t)sg_catalogue_nodes(s->c, s->level + 1) + p->kids.first;

    for (int32_t i = 0; i < p->kids.n; i++)
        scratch[i] = x[i] + (down[i] - up);
    return scratch;
}

/* ---- one user, one level ------------------------------------------------------------------------------- */

/* The children x (n) of a prefix with this score, the first of them node `first`. A child never scores above
 * its prefix, rounding or not: that is what lets the search stop at the floor. */
static void scan(sg_picks *picks, uint32_t *index, const float *x, int32_t n, float score, float shift,
                 int32_t first)
{
    for (int32_t begin = 0; begin < n; begin += BLOCK) {
        const size_t here = n - begin < BLOCK ? (size_t)(n - begin) : BLOCK;
        size_t found = sg_above(index, x + begin, here, shift, picks->floor);

        if (picks->cap - picks->n < found) {
            sg_picks_trim(picks);
            found = sg_above(index, x + begin, here, shift, picks->floor);
        }
        for (size_t i = 0; i < found; i++) {
            const int32_t at = begin + (int32_t)index[i];

            picks->key[picks->n++] = sg_key(sg_child_score(score, x[at], shift), (uint32_t)(first + at));
        }
    }
}

static uint64_t draw_of(const search *s, size_t user)
{
    return s->spec->draw ? s->spec->draw[user] : user;
}

/* Is the next code of p known without asking? */
static bool is_certain(const search *s, const sg_prefix *p)
{
    return p->row < 0 || (s->spec->renormalise && p->kids.n == 1);
}

/* Children of one prefix into the picks. False: the logits are not finite. */
static bool expand(const search *s, size_t user, sg_prefix *p, worker *w, sg_picks *picks)
{
    const int32_t size = sg_catalogue_size(s->c, s->level);
    sg_legal legal;
    const float *x;

    if (is_certain(s, p)) {
        sg_picks_put(picks, s->spec->temperature ? (float)p->gumbel : p->score, p->kids.first);
        return true;
    }
    if (!sg_legal_row(&legal, s->logits + (size_t)p->row * (size_t)s->ld, size, &p->kids,
                      s->spec->renormalise, w->x))
        return false;
    const float shift = (float)((double)p->score - (double)legal.lse);
    if (!s->spec->temperature && legal.top + shift < picks->floor)
        return true;
    x = s->spec->prior ? add_prior(s, user, p, legal.x, w->x) : legal.x;
    x = drop_dead(s, &s->denied[user], p, x, w->x);
    if (s->spec->temperature) {
        p->lse = legal.lse;
        sg_draw_children(p, picks, x, w->h, (double)s->spec->temperature[s->level], s->spec->seed,
                         draw_of(s, user), s->level);
    } else {
        scan(picks, w->index, x, p->kids.n, p->score, shift, p->kids.first);
    }
    return true;
}

static void adopt(const search *s, size_t user, sg_prefix *child, const sg_prefix *p, uint64_t key)
{
    const int32_t node = (int32_t)sg_key_number(key);
    const sg_denied *d = &s->denied[user];
    const int below = s->level + 1, stride = s->levels + 1;

    *child = (sg_prefix){
        .node = node, .parent = p->row, .row = p->row, .score = p->score, .phi = p->phi, .gumbel = p->gumbel};
    child->code = sg_child_code(&p->kids, node - p->kids.first);
    if (!is_certain(s, p) && s->spec->temperature) {
        const float x = s->logits[(size_t)p->row * (size_t)s->ld + (size_t)child->code];

        child->score = sg_child_score(p->score, x, (float)((double)p->score - (double)p->lse));
        sg_draw_child(child, p, x, (double)s->spec->temperature[s->level], s->spec->seed, draw_of(s, user),
                      s->level, node);
    } else if (!is_certain(s, p)) {
        child->score = sg_key_score(key);
    }
    child->denied = p->denied;
    while (child->denied < p->denied_end && d->node[child->denied * stride + below] < node)
        child->denied++;
    child->denied_end = child->denied;
    while (child->denied_end < p->denied_end && d->node[child->denied_end * stride + below] == node)
        child->denied_end++;
}

/* Looks up the children of new prefixes, in rounds, so that the memory of one round comes while another is
 * asked for. */
static void find_children(const search *s, sg_prefix *p, size_t n)
{
    const int level = s->level + 1;

    for (size_t i = 0; i < n; i++)
        p[i].kids = sg_catalogue_children(s->c, level, p[i].node);
    for (size_t i = 0; i < n; i++) {
        __builtin_prefetch(p[i].kids.code);
        if (s->spec->renormalise && p[i].kids.n == 1 && level + 1 < s->levels)
            sg_catalogue_prefetch(s->c, level + 1, p[i].kids.first);
    }
    for (size_t i = 0; i < n; i++)
        if (p[i].row >= 0 && sg_is_settled(s->c, level, p[i].code, p[i].kids, s->spec->renormalise))
            p[i].row = -1;
}

/* The value that children inherit and cannot exceed. */
static float bound(const search *s, const sg_prefix *p)
{
    return s->spec->temperature ? (float)p->gumbel : p->score;
}

/* Roughly best first, by counting in steps of the range: it only has to raise the floor early. */
static void order_rows(const search *s, const sg_prefix *p, int32_t n, int32_t *order)
{
    int32_t count[STEPS + 1] = {0};
    float most = -INFINITY, least = INFINITY, scale;

    for (int32_t i = 0; i < n; i++) {
        const float b = bound(s, &p[i]);

        most = b > most ? b : most;
        least = b < least && b > -INFINITY ? b : least;
    }
    scale = most - least > 1e-20f ? (STEPS - 1) / (most - least) : 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < n; i++) {
            const float b = bound(s, &p[i]);
            const int step = b >= least ? (int)((most - b) * scale) : STEPS - 1;

            if (pass == 0)
                count[step + 1]++;
            else
                order[count[step]++] = i;
        }
        for (int k = 0; pass == 0 && k < STEPS; k++)
            count[k + 1] += count[k];
    }
}

/* The picks of each prefix lie together, ascending, in the order in which prefixes were expanded: *begin and
 * *count of each. */
static void find_picks(const sg_prefix *p, int32_t n, const int32_t *order, const sg_picks *picks,
                       uint32_t *begin, uint32_t *count)
{
    uint32_t i = 0;

    for (int32_t r = 0; r < n; r++) {
        const sg_children *kids = &p[order[r]].kids;

        begin[order[r]] = i;
        while (i < picks->n && sg_key_number(picks->key[i]) - (uint32_t)kids->first < (uint32_t)kids->n)
            i++;
        count[order[r]] = i - begin[order[r]];
    }
}

static bool advance_user(search *s, size_t user, worker *w)
{
    sg_prefix *now = s->prefix[s->level & 1] + user * s->width;
    sg_prefix *next = s->prefix[(s->level + 1) & 1] + user * s->width;
    sg_picks picks = {
        .key = w->key, .spare = w->spare, .cap = s->cap, .keep = s->keep, .floor = s->floor[user]};
    const int32_t live = s->live[user];
    size_t n = 0;

    order_rows(s, now, live, w->order);
    for (int32_t r = 0; r < live; r++)
        if (bound(s, &now[w->order[r]]) >= picks.floor && !expand(s, user, &now[w->order[r]], w, &picks))
            return false;
    sg_picks_trim(&picks);
    s->missed[user] = picks.floor > s->missed[user] ? picks.floor : s->missed[user];
    for (size_t i = 0; i < picks.n && s->level + 1 < s->levels; i++)
        sg_catalogue_prefetch(s->c, s->level + 1, (int32_t)sg_key_number(picks.key[i]));
    find_picks(now, live, w->order, &picks, w->begin, w->count);
    for (int32_t r = 0; r < live; r++)
        for (uint32_t i = 0; i < w->count[r]; i++)
            adopt(s, user, &next[n++], &now[r], picks.key[w->begin[r] + i]);
    if (s->level + 1 < s->levels)
        find_children(s, next, n);
    s->live[user] = (int32_t)n;
    return true;
}

static void advance_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    search *s = ctx;

    for (size_t u = begin; u < end; u++)
        s->bad[u] = !advance_user(s, u, &s->workers[thread]);
}

/* ---- the search ---------------------------------------------------------------------------------------- */

static void start_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    search *s = ctx;
    const sg_beam_spec *spec = s->spec;

    for (size_t u = begin; u < end; u++) {
        sg_prefix *root = s->prefix[0] + u * s->width;
        sg_denied *d = &s->denied[u];

        s->live[u] = 0;
        if (s->done[u])
            continue;
        if (spec->deny_offsets) {
            const int64_t at = spec->deny_offsets[u];

            sg_denied_init(d, s->c, &s->allowed, spec->deny + at, (int32_t)(spec->deny_offsets[u + 1] - at),
                           s->denied_node + (at - spec->deny_offsets[0]) * (s->levels + 1),
                           s->workers[thread].key);
        }
        *root = (sg_prefix){
            .parent = -1, .code = -1, .denied_end = d->n, .kids = sg_catalogue_children(s->c, 0, 0)};
        root->score = spec->prior ? spec->prior->node[0][u] : 0;
        root->row = sg_is_settled(s->c, 0, -1, root->kids, spec->renormalise) ? -1 : 0;
        s->live[u] = sg_allowed_count(&s->allowed, s->c, 0, 0) > d->n;
    }
}

static float score_of(const search *s, const sg_prefix *leaf)
{
    return s->spec->cold && s->spec->cold_length > 0
               ? sg_score_by_length(leaf->score, sg_catalogue_item(s->c, leaf->node), s->c,
                                    s->spec->cold_length)
               : leaf->score;
}

static void finish_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    search *s = ctx;
    worker *w = &s->workers[thread];
    const size_t k = (size_t)s->spec->k;

    for (size_t u = begin; u < end; u++) {
        const sg_prefix *leaf = s->prefix[s->levels & 1] + u * s->width;
        const size_t live = (size_t)s->live[u];
        int32_t *item = s->item + u * k;
        float *score = s->score + u * k;
        uint64_t least;
        size_t n = live;

        if (s->done[u] || (s->again && live < k)) /* fewer: only where the model contradicts itself */
            continue;
        for (size_t i = 0; i < n; i++)
            w->key[i] =
                sg_key(s->spec->temperature ? (float)leaf[i].gumbel : score_of(s, &leaf[i]), (uint32_t)i);
        n = sg_key_keep(w->key, n, k, w->spare, &least);
        sg_key_sort(w->key, n);
        s->least[u] = n == k ? sg_key_score(w->key[k - 1]) : INFINITY;
        if (s->spec->cold) {
            sg_found *found = (sg_found *)(void *)w->spare;
            int32_t *seen = (int32_t *)(void *)w->key;

            for (size_t i = 0; i < n; i++)
                found[i] = (sg_found){leaf[sg_key_number(w->key[i])].node,
                                      score_of(s, &leaf[sg_key_number(w->key[i])])};
            n = (size_t)sg_cold_mix(item, score, s->c, s->spec, &s->allowed, &s->denied[u], found, (int)n,
                                    seen);
        } else {
            for (size_t i = 0; i < n; i++) {
                item[i] = sg_catalogue_item(s->c, leaf[sg_key_number(w->key[i])].node);
                score[i] = leaf[sg_key_number(w->key[i])].score;
            }
        }
        for (; n < k; n++) {
            item[n] = -1;
            score[n] = -INFINITY;
        }
    }
}

static int row_length(const sg_catalogue *c, int level)
{
    return (sg_catalogue_size(c, level) + 15) & ~15;
}

/* Numbers the rows of this level and asks the model for their logits. */
static sg_status ask(search *s, sg_beam_step *step, void *ctx, sg_error *err)
{
    sg_beam_rows rows = {.level = s->level,
                         .batch = s->batch,
                         .offsets = s->offsets,
                         .parent = s->parent,
                         .code = s->code,
                         .logits = s->logits};

    s->ld = rows.ld = row_length(s->c, s->level);
    for (int u = 0; u < s->batch; u++) {
        sg_prefix *p = s->prefix[s->level & 1] + (size_t)u * s->width;

        s->offsets[u] = rows.n;
        for (int32_t r = 0; r < s->live[u]; r++, p++)
            if (p->row >= 0) {
                p->row = rows.n;
                s->parent[rows.n] = p->parent;
                s->code[rows.n++] = p->code;
            }
    }
    s->offsets[s->batch] = rows.n;
    return rows.n ? step(ctx, &rows, err) : SG_OK;
}

static sg_status check_spec(const sg_catalogue *c, int batch, const sg_beam_spec *spec, sg_error *err)
{
    if (spec->k < 1)
        return sg_fail(err, SG_ERR_USAGE, "beam search: expected k of at least 1, found %d", spec->k);
    for (int l = 0; spec->temperature && l < sg_catalogue_levels(c); l++)
        if (!(spec->temperature[l] > 0) || !isfinite(spec->temperature[l]))
            return sg_fail(err, SG_ERR_USAGE,
                           "beam search: level %d: expected a temperature above 0, found %g", l + 1,
                           (double)spec->temperature[l]);
    if (spec->groups > 1 && (spec->complete > 0 || spec->temperature || spec->cold))
        return sg_fail(err, SG_ERR_USAGE,
                       "beam search: groups cannot be completed, drawn or mixed with unseen items");
    for (int l = 0; spec->groups > 1 && l < sg_catalogue_levels(c); l++)
        if (!(spec->diversity[l] >= 0) || !isfinite(spec->diversity[l]))
            return sg_fail(err, SG_ERR_USAGE,
                           "beam search: level %d: expected a diversity of at least 0, found %g", l + 1,
                           (double)spec->diversity[l]);
    if (spec->complete > 0 && (spec->temperature || (spec->cold && spec->cold_length > 0)))
        return sg_fail(
            err, SG_ERR_USAGE,
            "beam search: what is drawn, or ranked by length beside unseen items, cannot be completed");
    if (spec->prior && (spec->groups > 1 || spec->temperature || spec->cold))
        return sg_fail(err, SG_ERR_USAGE,
                       "beam search: no prior with groups, with what is drawn or mixed with unseen items");
    if (spec->cold && (!(spec->cold_share >= 0 && spec->cold_share <= 1) || spec->cold_prefix < 0 ||
                       spec->cold_prefix >= sg_catalogue_levels(c)))
        return sg_fail(err, SG_ERR_USAGE,
                       "beam search: expected a share of unseen items from 0 to 1 and a prefix below %d "
                       "codes, found %g and %d",
                       sg_catalogue_levels(c), (double)spec->cold_share, spec->cold_prefix);
    return SG_OK;
}

/* Places for the paths of each user's denied items; *longest: the longest list. */
static sg_status take_denied(search *s, size_t *longest, sg_arena *arena, sg_error *err)
{
    const int64_t *offsets = s->spec->deny_offsets;
    const size_t batch = (size_t)s->batch;
    size_t each = (size_t)(s->levels + 1) * sizeof *s->denied_node, total = 0;

    *longest = 0;
    if (!(s->denied = sg_arena_take_zero(arena, batch, sizeof *s->denied)))
        return sg_fail_memory(err, "denied items");
    if (!offsets)
        return SG_OK;
    for (size_t u = 0; u < batch; u++) {
        const size_t n = (size_t)(offsets[u + 1] - offsets[u]);

        *longest = n > *longest ? n : *longest;
        total += n;
    }
    s->denied_node = sg_arena_take_array(arena, total, each);
    return s->denied_node ? SG_OK : sg_fail_memory(err, "denied items");
}

static sg_status take_memory(search *s, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    const size_t batch = (size_t)s->batch;
    const int threads = sg_pool_threads(pool);
    size_t rows, longest, size = 0, logits = 0;
    sg_status st;

    if (!sg_mul(&rows, batch, s->width) || rows > INT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "beam search: %d users times %zu prefixes are too many at once",
                       s->batch, s->width);
    if ((st = take_denied(s, &longest, arena, err)))
        return st;
    for (int l = 0; l < s->levels; l++) {
        const size_t nodes = (size_t)sg_catalogue_nodes(s->c, l), ld = (size_t)row_length(s->c, l);
        size_t need;

        if (!sg_mul(&need, batch * (nodes < s->width ? nodes : s->width), ld))
            return sg_fail_memory(err, "logits");
        logits = need > logits ? need : logits;
        size = ld > size ? ld : size;
    }
    s->cap = s->width + (s->width > BLOCK ? s->width : BLOCK);
    s->live = sg_arena_take_array(arena, batch, sizeof *s->live);
    s->bad = sg_arena_take_zero(arena, batch, sizeof *s->bad);
    s->done = sg_arena_take_zero(arena, batch, sizeof *s->done);
    s->floor = sg_arena_take_array(arena, batch, sizeof *s->floor);
    s->missed = sg_arena_take_array(arena, batch, sizeof *s->missed);
    s->least = sg_arena_take_array(arena, batch, sizeof *s->least);
    s->offsets = sg_arena_take_array(arena, batch + 1, sizeof *s->offsets);
    s->parent = sg_arena_take_array(arena, rows, sizeof *s->parent);
    s->code = sg_arena_take_array(arena, rows, sizeof *s->code);
    s->logits = sg_arena_take_array(arena, logits, sizeof *s->logits);
    s->workers = sg_arena_take_array(arena, (size_t)threads, sizeof *s->workers);
    for (int i = 0; i < 2; i++)
        s->prefix[i] = sg_arena_take_array(arena, rows, sizeof *s->prefix[i]);
    if (!s->live || !s->bad || !s->done || !s->floor || !s->missed || !s->least || !s->offsets ||
        !s->parent || !s->code || !s->logits || !s->workers || !s->prefix[0] || !s->prefix[1])
        return sg_fail_memory(err, "beam search");
    for (int i = 0; i < threads; i++) {
        worker *w = &s->workers[i];

        w->key = sg_arena_take_array(arena, s->cap > longest ? s->cap : longest, sizeof *w->key);
        w->spare = sg_arena_take_array(arena, s->cap, sizeof *w->spare);
        w->order = sg_arena_take_array(arena, s->width, sizeof *w->order);
        w->begin = sg_arena_take_array(arena, s->width, sizeof *w->begin);
        w->count = sg_arena_take_array(arena, s->width, sizeof *w->count);
        w->index = sg_arena_take_array(arena, BLOCK + 16, sizeof *w->index);
        w->x = sg_arena_take_array(arena, size, sizeof *w->x);
        w->h = sg_arena_take_array(arena, s->spec->temperature ? size : 0, sizeof *w->h);
        if (!w->h || !w->key || !w->spare || !w->order || !w->begin || !w->count || !w->index || !w->x)
            return sg_fail_memory(err, "beam search");
    }
    return SG_OK;
}

/* One search from the root for all users that are not done. */
static sg_status run(search *s, sg_beam_step *step, void *ctx, sg_pool *pool, sg_error *err)
{
    const size_t batch = (size_t)s->batch;
    sg_status st;

    sg_parallel_for(pool, batch, 1, start_users, s);
    for (s->level = 0; s->level < s->levels; s->level++) {
        if ((st = ask(s, step, ctx, err)))
            return st;
        sg_parallel_for(pool, batch, 1, advance_users, s);
        for (int u = 0; u < s->batch; u++)
            if (s->bad[u])
                return sg_fail(err, SG_ERR_NUMERIC,
                               "decoding: logits of level %d are not finite (history %d of the batch)",
                               s->level + 1, u);
    }
    sg_parallel_for(pool, batch, 1, finish_users, s);
    return SG_OK;
}

/* Who may have missed an item that beats his k-th, and the floor for the second search. Where fewer were found, they are all there
 * are. */
static bool unfinished(search *s)
{
    const float slack = 1e-4f; /* the same prefix may score a rounding lower beside others */
    bool any = false;

    for (int u = 0; u < s->batch; u++) {
        s->done[u] = s->missed[u] <= s->least[u];
        s->floor[u] = s->least[u] - slack;
        any = any || !s->done[u];
    }
    return any;
}

sg_status sg_beam_search(int32_t *item, float *score, const sg_catalogue *c, int batch,
                         const sg_beam_spec *spec, sg_beam_step *step, void *ctx, sg_pool *pool,
                         sg_arena *arena, sg_error *err)
{
    const size_t items = (size_t)sg_catalogue_nodes(c, sg_catalogue_levels(c));
    const size_t beam = (size_t)(spec->beam > spec->k ? spec->beam : spec->k);
    search s = {
        .c = c, .spec = spec, .levels = sg_catalogue_levels(c), .batch = batch, .item = item, .score = score};
    sg_status st;

    if (batch < 1)
        return SG_OK;
    if ((st = check_spec(c, batch, spec, err)))
        return st;
    for (int l = 0; spec->groups > 1 && l < s.levels; l++)
        if (spec->diversity[l] > 0)
            return sg_diverse_search(item, score, c, batch, spec, step, ctx, pool, arena, err);
    s.width = spec->complete > 0 && (size_t)spec->complete > beam ? (size_t)spec->complete : beam;
    s.width = s.width < items ? s.width : items;
    if ((st = take_memory(&s, pool, arena, err)) ||
        (st = sg_allowed_init(&s.allowed, c, spec->allow, pool, arena, err)))
        return st;
    for (int u = 0; u < batch; u++)
        s.floor[u] = s.missed[u] = -INFINITY;
    s.keep = beam < items ? beam : items;
    if ((st = run(&s, step, ctx, pool, err)) || spec->complete < 1 || !unfinished(&s))
        return st;
    s.keep = s.width;
    s.again = true;
    return run(&s, step, ctx, pool, err);
}
