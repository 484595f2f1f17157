/* free.c - a level's prefixes, each with every code, the best of them kept. */
#include "decode/free.h"

#include "math/math.h"

#include <math.h>
#include <string.h>

typedef struct free_search {
    const sg_catalogue *c;
    int batch, beam, levels, ld;
    int32_t *offsets, *next;          /* (batch + 1) rows of each user, of this level and the one after */
    int32_t *parent, *code, *path[2]; /* (rows); path (rows, levels): codes so far */
    float *score[2], *logits, *sum;   /* (rows), (rows, ld), (beam, ld) of one user */
    int32_t *pick;                    /* (beam) */
    float *value;
} free_search;

static bool take(free_search *f, sg_arena *arena)
{
    const size_t rows = (size_t)f->batch * (size_t)f->beam, ld = (size_t)f->ld;

    f->offsets = sg_arena_take_array(arena, (size_t)f->batch + 1, sizeof *f->offsets);
    f->next = sg_arena_take_array(arena, (size_t)f->batch + 1, sizeof *f->next);
    f->parent = sg_arena_take_array(arena, rows, sizeof *f->parent);
    f->code = sg_arena_take_array(arena, rows, sizeof *f->code);
    f->logits = sg_arena_take_array(arena, rows, ld * sizeof *f->logits);
    f->sum = sg_arena_take_array(arena, (size_t)f->beam, ld * sizeof *f->sum);
    f->pick = sg_arena_take_array(arena, (size_t)f->beam, sizeof *f->pick);
    f->value = sg_arena_take_array(arena, (size_t)f->beam, sizeof *f->value);
    for (int i = 0; i < 2; i++) {
        f->path[i] = sg_arena_take_array(arena, rows, (size_t)f->levels * sizeof *f->path[i]);
        f->score[i] = sg_arena_take_array(arena, rows, sizeof *f->score[i]);
    }
    return f->offsets && f->next && f->parent && f->code && f->logits && f->sum && f->pick && f->value &&
           f->path[0] && f->path[1] && f->score[0] && f->score[1];
}

/* Scores of all codes after the prefix of this score. */
static void add_codes(float *sum, const float *logits, int n, float score)
{
    float most = -INFINITY;
    double total = 0;

    for (int i = 0; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < n; i++)
        total += exp((double)logits[i] - (double)most);
    for (int i = 0; i < n; i++)
        sum[i] = score + (logits[i] - most) - (float)log(total);
}

/* The rows of the level after this one, of one user, from row *n on. */
static void extend(free_search *f, int level, int user, int32_t *n)
{
    const int size = sg_catalogue_size(f->c, level), from = level & 1, to = from ^ 1;
    const int begin = f->offsets[user], end = f->offsets[user + 1];

    for (int r = begin; r < end; r++)
        add_codes(f->sum + (size_t)(r - begin) * (size_t)size, f->logits + (size_t)r * (size_t)f->ld, size,
                  f->score[from][r]);
    const size_t kept =
        sg_topk(f->pick, f->value, (size_t)f->beam, f->sum, (size_t)(end - begin) * (size_t)size);

    for (size_t i = 0; i < kept; i++, ++*n) {
        const int row = begin + f->pick[i] / size;
        int32_t *path = f->path[to] + (size_t)*n * (size_t)f->levels;

        memcpy(path, f->path[from] + (size_t)row * (size_t)f->levels, (size_t)level * sizeof *path);
        f->parent[*n] = row;
        path[level] = f->code[*n] = f->pick[i] % size;
        f->score[to][*n] = f->value[i];
    }
}

static int32_t item_of(const free_search *f, const int32_t *path)
{
    int32_t node = 0;

    for (int l = 0; l < f->levels && node >= 0; l++)
        node = sg_catalogue_child(f->c, l, node, path[l]);
    return node < 0 ? -1 : sg_catalogue_item(f->c, node);
}

sg_status sg_free_search(int32_t *item, float *score, const sg_catalogue *c, int batch, int beam, int k,
                         sg_beam_step *step, void *ctx, sg_arena *arena, sg_error *err)
{
    free_search f = {.c = c, .batch = batch, .beam = beam > k ? beam : k, .levels = sg_catalogue_levels(c)};
    sg_status st;

    for (int l = 0; l < f.levels; l++)
        f.ld = sg_catalogue_size(c, l) > f.ld ? sg_catalogue_size(c, l) : f.ld;
    if (!take(&f, arena))
        return sg_fail_memory(err, "search");
    for (int u = 0; u <= batch; u++)
        f.offsets[u] = u;
    for (int u = 0; u < batch; u++) {
        f.parent[u] = f.code[u] = -1;
        f.score[0][u] = 0;
    }
    for (int l = 0; l < f.levels; l++) {
        int32_t *swap = f.offsets, n = 0;

        if ((st = step(ctx,
                       &(sg_beam_rows){.level = l,
                                       .batch = batch,
                                       .n = f.offsets[batch],
                                       .offsets = f.offsets,
                                       .parent = f.parent,
                                       .code = f.code,
                                       .logits = f.logits,
                                       .ld = f.ld},
                       err)))
            return st;
        for (int u = 0; u < batch; u++) {
            f.next[u] = n;
            extend(&f, l, u, &n);
        }
        f.next[batch] = n;
        f.offsets = f.next;
        f.next = swap;
    }
    for (int u = 0; u < batch; u++)
        for (int i = 0; i < k; i++) {
            const int32_t row = f.offsets[u] + i;
            const bool there = row < f.offsets[u + 1];

            item[(size_t)u * (size_t)k + (size_t)i] =
                there ? item_of(&f, f.path[f.levels & 1] + (size_t)row * (size_t)f.levels) : -1;
            score[(size_t)u * (size_t)k + (size_t)i] = there ? f.score[f.levels & 1][row] : -INFINITY;
        }
    return SG_OK;
}
