/* exact.c - the log-probability of every item from the same step function that serves the beam.
 *
 * The prefixes of the last level but one are cut into runs of neighbours. A run and its ancestors, which are
 * neighbours too, are walked from the root down: the ancestors at each level are at most as many as the run,
 * and only those at its two ends are walked again for the next run. So memory is bounded by rows_max and
 * little is computed twice. */
#include "decode/beam.h"

#include "base/alloc.h"
#include "decode/legal.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>

typedef struct run { /* neighbours of one level */
    int32_t first, n;
    sg_children *kids; /* (n) */
    int32_t *row;      /* (n) row within a user's rows of the call; -1: one item left */
    float *score;      /* (batch, n) */
} run;

typedef struct walk {
    const sg_catalogue *c;
    int batch, levels, level;
    bool renormalise;
    size_t cap; /* nodes a run may have */
    run run[SG_CATALOGUE_LEVELS_MAX];
    int32_t *offsets, *parent, *code;
    float *logits;
    int32_t rows; /* of one user in this call */
    int ld;
    float **scratch; /* by thread: (ld) */
    float *scores;   /* results */
    _Atomic bool bad;
} walk;

static void take_run(walk *w, int32_t begin, int32_t end)
{
    for (int l = w->levels - 1; l >= 0; l--) {
        w->run[l].first = begin;
        w->run[l].n = end - begin;
        if (l > 0) {
            begin = sg_catalogue_parent(w->c, l, begin);
            end = sg_catalogue_parent(w->c, l, end - 1) + 1;
        }
    }
}

/* Numbers the rows of this level. Users differ in their logits only, so each has the same rows. */
static void number_rows(walk *w, sg_beam_rows *call)
{
    const run *up = w->level ? &w->run[w->level - 1] : NULL;
    run *r = &w->run[w->level];
    int32_t above = 0;

    w->rows = 0;
    for (int32_t i = 0; i < r->n; i++) {
        r->kids[i] = sg_catalogue_children(w->c, w->level, r->first + i);
        while (up && r->first + i >= up->kids[above].first + up->kids[above].n)
            above++;
        r->row[i] = -1;

        const int32_t code = up ? sg_child_code(&up->kids[above], r->first + i - up->kids[above].first) : -1;

        if ((up && up->row[above] < 0) || sg_is_settled(w->c, w->level, code, r->kids[i], w->renormalise))
            continue;
        w->parent[w->rows] = up ? up->row[above] : -1;
        w->code[w->rows] = code;
        r->row[i] = w->rows++;
    }
    for (int u = w->batch - 1; u >= 0; u--) { /* the last user first: user 0 is the pattern */
        const int32_t rows_up = up ? w->offsets[1] : 0;

        for (int32_t i = 0; i < w->rows; i++) {
            w->parent[u * w->rows + i] = up ? w->parent[i] + u * rows_up : -1;
            w->code[u * w->rows + i] = w->code[i];
        }
    }
    for (int u = 0; u <= w->batch; u++)
        w->offsets[u] = u * w->rows;
    *call = (sg_beam_rows){.level = w->level,
                           .batch = w->batch,
                           .n = w->batch * w->rows,
                           .offsets = w->offsets,
                           .parent = w->parent,
                           .code = w->code,
                           .logits = w->logits,
                           .ld = w->ld};
}

static void put_score(walk *w, size_t user, int32_t child, float score)
{
    const run *down = &w->run[w->level + 1];

    if (w->level + 1 == w->levels)
        w->scores[user * (size_t)sg_catalogue_items(w->c) + (size_t)sg_catalogue_item(w->c, child)] = score;
    else if (child >= down->first && child < down->first + down->n) /* else it belongs to another run */
        down->score[user * w->cap + (size_t)(child - down->first)] = score;
}

static void score_nodes(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    walk *w = ctx;
    const run *r = &w->run[w->level];
    const int32_t size = sg_catalogue_size(w->c, w->level);

    for (size_t i = begin; i < end; i++) {
        const size_t user = i / (size_t)r->n, node = i % (size_t)r->n;
        const sg_children *kids = &r->kids[node];
        const float score = r->score[user * w->cap + node];
        sg_legal legal;

        if (r->row[node] < 0 || (w->renormalise && kids->n == 1)) { /* certain */
            put_score(w, user, kids->first, score);
            continue;
        }
        if (!sg_legal_row(&legal, w->logits + (user * (size_t)w->rows + (size_t)r->row[node]) * (size_t)w->ld,
                          size, kids, w->renormalise, w->scratch[thread])) {
            w->bad = true;
            continue;
        }
        const float shift = (float)((double)score - (double)legal.lse);
        for (int32_t k = 0; k < kids->n; k++)
            put_score(w, user, kids->first + k, sg_child_score(score, legal.x[k], shift));
    }
}

static sg_status take_memory(walk *w, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    const int threads = sg_pool_threads(pool);
    size_t rows, ld = 0;
    bool ok;

    for (int l = 0; l < w->levels; l++)
        if ((size_t)sg_catalogue_size(w->c, l) > ld)
            ld = (size_t)sg_catalogue_size(w->c, l);
    w->ld = (int)(ld = (ld + 15) & ~(size_t)15);
    if (!sg_mul(&rows, (size_t)w->batch, w->cap) || rows > INT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "exact scores: %d users times %zu prefixes are too many at once",
                       w->batch, w->cap);
    ok = (w->offsets = sg_arena_take_zero(arena, (size_t)w->batch + 1, sizeof *w->offsets)) &&
         (w->parent = sg_arena_take_array(arena, rows, sizeof *w->parent)) &&
         (w->code = sg_arena_take_array(arena, rows, sizeof *w->code)) &&
         (w->logits = sg_arena_take_array(arena, rows, ld * sizeof *w->logits)) &&
         (w->scratch = sg_arena_take_array(arena, (size_t)threads, sizeof *w->scratch));
    for (int i = 0; ok && i < threads; i++)
        ok = (w->scratch[i] = sg_arena_take_array(arena, ld, sizeof *w->scratch[i]));
    for (int l = 0; ok && l < w->levels; l++)
        ok = (w->run[l].kids = sg_arena_take_array(arena, w->cap, sizeof *w->run[l].kids)) &&
             (w->run[l].row = sg_arena_take_array(arena, w->cap, sizeof *w->run[l].row)) &&
             (w->run[l].score = sg_arena_take_array(arena, rows, sizeof *w->run[l].score));
    return ok ? SG_OK : sg_fail_memory(err, "exact scores");
}

sg_status sg_exact_scores(float *scores, const sg_catalogue *c, int batch, bool renormalise, int rows_max,
                          sg_beam_step *step, void *ctx, sg_pool *pool, sg_arena *arena, sg_error *err)
{
    walk w = {.c = c,
              .batch = batch,
              .levels = sg_catalogue_levels(c),
              .renormalise = renormalise,
              .scores = scores};
    const int32_t parents = sg_catalogue_nodes(c, w.levels - 1);
    sg_status st;

    assert(w.levels > 0);
    if (batch < 1)
        return SG_OK;
    if (rows_max < 1)
        rows_max = 4096;
    w.cap = rows_max > batch ? (size_t)(rows_max / batch) : 1;
    if (w.cap > (size_t)parents)
        w.cap = (size_t)parents;
    if ((st = take_memory(&w, pool, arena, err)))
        return st;
    if (sg_catalogue_nodes(c, w.levels) < sg_catalogue_items(c)) /* a snapshot has free numbers */
        for (size_t i = 0; i < (size_t)batch * (size_t)sg_catalogue_items(c); i++)
            scores[i] = -INFINITY;
    for (int32_t begin = 0; begin < parents; begin += (int32_t)w.cap) {
        take_run(&w, begin, parents - begin < (int32_t)w.cap ? parents : begin + (int32_t)w.cap);
        for (int u = 0; u < batch; u++)
            w.run[0].score[(size_t)u * w.cap] = 0;
        for (w.level = 0; w.level < w.levels; w.level++) {
            sg_beam_rows call;

            number_rows(&w, &call);
            if (call.n && (st = step(ctx, &call, err)))
                return st;
            sg_parallel_for(pool, (size_t)batch * (size_t)w.run[w.level].n, 256, score_nodes, &w);
            if (w.bad)
                return sg_fail(err, SG_ERR_NUMERIC, "decoding: logits of level %d are not finite",
                               w.level + 1);
        }
    }
    return SG_OK;
}
