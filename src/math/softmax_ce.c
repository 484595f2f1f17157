/* softmax_ce.c - softmax cross-entropy against the rows of a table, without ever holding the logits.
 *
 *   l_rj = scale (x_r.w_j + b_j)      ce_r = lse_r - (1 - e) l_rt - e mean_j l_rj      lse_r = log sum_j exp l_rj
 *   loss = sum_r a_r ce_r / sum_r a_r                      (e: label smoothing, a: weights, t: target; j in the row's range)
 *   dx_r = c_r (sum_j p_rj w_j - (1 - e) w_t - e mean_j w_j)       c_r = scale a_r / sum a     p_rj = exp(l_rj - lse_r)
 *   dw_j = sum_r c_r (p_rj - e / n - (1 - e) [j = t]) x_r          db_j the same without x_r
 *
 * A low-rank part z (rows, r), b (n, r) beside the table adds scale z_r.b_j to l_rj (softmax_ce_low.c);
 * of a frozen table some rows may learn (softmax_ce_rows.c).
 *
 * x (rows, d), w (n, d). Rows with a loss are gathered by range; a tile of rows meets the range block by block, so that a
 * block of logits stays in the cache. Forward: one product for the logits and, as in flash attention, one more for
 * sum_j p_rj w_j under the running maximum. Backward: the logits again, then dw. Pieces: row tiles forward, item
 * blocks backward; each piece owns what it writes. */
#include "math/softmax_ce.h"

#include "math/gemm.h"

#include <math.h>
#include <string.h>

enum { TILE_LEAST = 32 };
/* Numbers exp(l - max) kept from forward to backward: 128 MiB. Reading them again beats the product that makes them (f32,
 * measured: a step takes 0.73 to 0.86 of the time at d = 256 to 64). */
enum { KEEP_F32 = 1 << 25, KEEP_BF16 = 1 << 26 };

static void logits(const sg_ce *p, float *l, const sg_ce_group *g, int row, int n_rows, int item, int n_items)
{
    sg_gemm(NULL, p->precision, false, true, n_rows, n_items, p->d, p->scale, p->xs + (size_t)row * p->d,
            p->d, p->table->value + (size_t)(g->begin + item) * p->d, p->d, 0, l, SG_CE_BLOCK);
    if (p->low.z)
        sg_ce_low_logits(p, l, row, n_rows, item, n_items);
}

void sg_ce_finish(const sg_ce *p, const sg_ce_part *t, const float *most, const double *sum,
                  const float *at_target)
{
    const sg_ce_group *g = &p->groups[t->group];
    const int n_rows = t->end - t->begin, d = p->d;
    float *dxs = p->dxs ? p->dxs + (size_t)t->begin * d : NULL;

    for (int r = 0; r < n_rows; r++) {
        const int row = t->begin + r;
        const float *wt = p->table->value + (size_t)p->target[row] * d, *xr = p->xs + (size_t)row * d;
        double mean = 0;

        p->lse[row] = (float)(most[r] + log(sum[r]));
        p->loss[row] = most[r] + log(sum[r]) - (1 - p->smooth) * at_target[r];
        if (p->smooth > 0) {
            for (int i = 0; i < d; i++)
                mean += (double)xr[i] * g->mean_w[i];
            for (int i = 0; i < p->low.r; i++)
                mean += (double)p->low.zs[(size_t)row * (size_t)p->low.up + (size_t)i] * p->low.mean[i];
            p->loss[row] -= p->smooth * p->scale * (mean + g->mean_b);
        }
        if (p->low.dzs)
            sg_ce_low_finish(p, row, sum[r]);
        for (int i = 0; i < d && dxs; i++)
            dxs[(size_t)r * d + i] = dxs[(size_t)r * d + i] / (float)sum[r] - (1 - p->smooth) * wt[i] -
                                     (p->smooth > 0 ? p->smooth * g->mean_w[i] : 0);
    }
}

static void tile_forward(void *ctx, size_t n_piece, size_t begin, size_t end, int thread)
{
    const sg_ce *p = ctx;
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_part *t = &p->tiles[begin];
    const sg_ce_group *g = &p->groups[t->group];
    const int n_rows = t->end - t->begin, d = p->d;
    float *dxs = p->dxs ? p->dxs + (size_t)t->begin * d : NULL;
    float most[SG_CE_TILE], at_target[SG_CE_TILE], down[SG_CE_TILE];
    double sum[SG_CE_TILE];

    for (int r = 0; r < n_rows; r++) {
        most[r] = -INFINITY;
        at_target[r] = -INFINITY; /* until its block comes */
        sum[r] = 0;
    }
    for (int item = 0; item < g->size; item += SG_CE_BLOCK) {
        const int n_items = g->size - item < SG_CE_BLOCK ? g->size - item : SG_CE_BLOCK;
        const float *bias = p->bias ? p->bias->value + g->begin + item : NULL;
        const bool keep = item < p->kept_items;
        float *l = keep ? p->kept + sg_ce_kept_row(g, t->begin, item) * SG_CE_BLOCK
                        : p->work + (size_t)thread * SG_CE_TILE * SG_CE_BLOCK;

        logits(p, l, g, t->begin, n_rows, item, n_items);
        for (int r = 0; r < n_rows; r++) {
            float *lr = l + (size_t)r * SG_CE_BLOCK;
            const int target = p->target[t->begin + r] - g->begin - item;

            if (target >= 0 && target < n_items)
                at_target[r] = lr[target] + (bias ? p->scale * bias[target] : 0);
            down[r] = k->ce_row(lr, (size_t)n_items, bias, p->scale, &most[r], &sum[r]);
            if (keep)
                p->kept_most[sg_ce_kept_row(g, t->begin + r, item)] = most[r];
            if (dxs && item > 0 && down[r] != 1)
                k->scale(dxs + (size_t)r * d, down[r], dxs + (size_t)r * d, (size_t)d);
        }
        if (p->low.dzs)
            sg_ce_low_sums(p, l, down, t->begin, n_rows, item, n_items);
        if (dxs)
            sg_gemm(NULL, p->precision, false, false, n_rows, d, n_items, 1, l, SG_CE_BLOCK,
                    p->table->value + (size_t)(g->begin + item) * d, d, item > 0, dxs, d);
    }
    sg_ce_finish(p, t, most, sum, at_target);
}

static void block_backward(void *ctx, size_t n_piece, size_t begin, size_t end, int thread)
{
    const sg_ce *p = ctx;
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_part *b = &p->blocks[begin];
    const sg_ce_group *g = &p->groups[b->group];
    const int n_items = b->end - b->begin, d = p->d;
    const int32_t item = g->begin + b->begin;
    const float even = p->smooth / (float)g->size;
    const float *bias = p->bias ? p->bias->value + item : NULL;
    const bool kept = b->begin < p->kept_items;
    float *l = p->work + (size_t)thread * SG_CE_TILE * SG_CE_BLOCK;

    for (int row = g->first; row < g->first + g->n_rows; row += SG_CE_TILE) {
        const int left = g->first + g->n_rows - row, n_rows = left < SG_CE_TILE ? left : SG_CE_TILE;

        if (!kept)
            logits(p, l, g, row, n_rows, b->begin, n_items);
        for (int r = 0; r < n_rows; r++) {
            float *lr = l + (size_t)r * SG_CE_BLOCK;
            const float c = p->coef[row + r], lse = p->lse[row + r];
            const int target = p->target[row + r] - item;
            const size_t at = sg_ce_kept_row(g, row + r, b->begin);

            if (kept)
                k->ce_kept_row(lr, p->kept + at * SG_CE_BLOCK, (size_t)n_items,
                               c * expf(p->kept_most[at] - lse), c * even);
            else
                k->ce_grad_row(lr, (size_t)n_items, bias, p->scale, lse, c, even);
            if (target >= 0 && target < n_items)
                lr[target] -= c * (1 - p->smooth);
            if (p->dbias)
                k->add(p->dbias + item, p->dbias + item, lr, (size_t)n_items);
        }
        if (p->low.db)
            sg_ce_low_back(p, l, row, n_rows, item, n_items);
        if (p->dtable)
            sg_gemm(NULL, p->precision, true, false, n_items, d, n_rows, 1, l, SG_CE_BLOCK,
                    p->xs + (size_t)row * d, d, 1, p->dtable + (size_t)item * d, d);
    }
}

static void rows_backward(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_ce *p = ctx;
    const size_t d = (size_t)p->d;

    for (size_t r = begin; r < end; r++)
        sg_kernels_best()->axpy(p->dx + (size_t)p->row[r] * d, p->coef[r], p->dxs + r * d, d);
}

static void ce_backward(sg_graph *g, sg_tensor *out, void *saved)
{
    sg_ce *p = saved;
    bool disjoint = true;

    p->dx = p->x->needs_grad ? sg_grad(g, p->x) : NULL;
    if (p->x->needs_grad && !p->dx)
        return;
    for (int r = 0; r < p->n_rows; r++)
        p->coef[r] = *out->grad * p->weight[r] * p->scale;
    if (p->dx)
        sg_parallel_for(sg_graph_pool(g), (size_t)p->n_rows, sg_row_grain((size_t)p->d), rows_backward, p);
    p->dtable = sg_param_grad(g, p->table);
    p->dbias = sg_param_grad(g, p->bias);
    sg_ce_rows_back(g, p);
    if (!sg_ce_low_back_open(g, p) || (!p->dtable && !p->dbias && !p->low.db))
        return;
    for (int i = 0; i < p->n_groups; i++)
        for (int j = 0; j < i; j++)
            disjoint &= p->groups[i].begin + p->groups[i].size <= p->groups[j].begin ||
                        p->groups[j].begin + p->groups[j].size <= p->groups[i].begin;
    /* two ranges that share table rows: one after the other */
    sg_parallel_for(disjoint ? sg_graph_pool(g) : NULL, (size_t)p->n_blocks, 1,
                    p->bf16 ? sg_ce_bf16_backward : block_backward, p);
    sg_ce_low_back_close(g, p);
}

/* Finds or adds the group of a range. */
static int group_of(sg_ce *p, int32_t begin, int32_t size, int last)
{
    if (last >= 0 && p->groups[last].begin == begin && p->groups[last].size == size)
        return last;
    for (int i = 0; i < p->n_groups; i++)
        if (p->groups[i].begin == begin && p->groups[i].size == size)
            return i;
    p->groups[p->n_groups] = (sg_ce_group){.begin = begin, .size = size};
    return p->n_groups++;
}

/* Mean of the rows of a range, in double: what label smoothing pulls towards. */
static bool range_mean(sg_graph *g, const sg_ce *p, sg_ce_group *to)
{
    double *sum = sg_scratch(g, (size_t)p->d, sizeof *sum);

    if (!sum || !(to->mean_w = sg_scratch(g, (size_t)p->d, sizeof *to->mean_w)))
        return false;
    memset(sum, 0, (size_t)p->d * sizeof *sum);
    for (int32_t j = to->begin; j < to->begin + to->size; j++) {
        for (int i = 0; i < p->d; i++)
            sum[i] += p->table->value[(size_t)j * p->d + i];
        to->mean_b += p->bias ? p->bias->value[j] : 0;
    }
    for (int i = 0; i < p->d; i++)
        to->mean_w[i] = (float)(sum[i] / to->size);
    to->mean_b /= to->size;
    return true;
}

static bool cut(sg_graph *g, sg_ce *p)
{
    size_t tiles = 0, blocks = 0;
    int tile =
        (p->n_rows / 8 + TILE_LEAST - 1) / TILE_LEAST * TILE_LEAST; /* small batches still make some pieces */

    tile = tile < TILE_LEAST ? TILE_LEAST : tile > SG_CE_TILE ? SG_CE_TILE : tile;
    for (int i = 0; i < p->n_groups; i++) {
        tiles += (size_t)(p->groups[i].n_rows + tile - 1) / (size_t)tile;
        blocks += (size_t)(p->groups[i].size + SG_CE_BLOCK - 1) / SG_CE_BLOCK;
    }
    p->tiles = sg_scratch(g, tiles, sizeof *p->tiles);
    p->blocks = sg_scratch(g, blocks, sizeof *p->blocks);
    if (!p->tiles || !p->blocks)
        return false;
    for (int i = 0; i < p->n_groups; i++) {
        const sg_ce_group *r = &p->groups[i];

        for (int at = 0; at < r->n_rows; at += tile)
            p->tiles[p->n_tiles++] =
                (sg_ce_part){i, r->first + at, r->first + (r->n_rows - at < tile ? r->n_rows : at + tile)};
        for (int at = 0; at < r->size; at += SG_CE_BLOCK)
            p->blocks[p->n_blocks++] =
                (sg_ce_part){i, at, r->size - at < SG_CE_BLOCK ? r->size : at + SG_CE_BLOCK};
    }
    return true;
}

/* Gathers the rows that have a loss by range. begin NULL: the whole table. */
static bool gather(sg_graph *g, sg_ce *p, int rows, const int32_t *begin, const int32_t *size,
                   const int32_t *target, const float *weight)
{
    const int n = p->table->dim[0];
    int32_t *group_at = sg_scratch(g, (size_t)rows, sizeof *group_at);
    double total = 0;
    int last = -1, first = 0;

    p->groups = sg_scratch(g, begin ? (size_t)rows : 1, sizeof *p->groups);
    if (!group_at || !p->groups)
        return false;
    for (int r = 0; r < rows; r++) {
        const int32_t from = begin ? begin[r] : 0, many = begin ? size[r] : n;

        group_at[r] = -1;
        if (target[r] == -1 || (weight && weight[r] == 0))
            continue;
        if (from < 0 || many < 1 || many > n - from || target[r] < from || target[r] >= from + many)
            return sg_graph_fail(g, SG_ERR_USAGE,
                                 "softmax: row %d: target %d outside rows %d..%d of a table of %d", r,
                                 target[r], from, from + many - 1, n) != NULL;
        last = group_at[r] = group_of(p, from, many, last);
        p->groups[last].n_rows++;
        p->n_rows++;
        total += weight ? weight[r] : 1;
    }
    p->row = sg_scratch(g, (size_t)p->n_rows, sizeof *p->row);
    p->target = sg_scratch(g, (size_t)p->n_rows, sizeof *p->target);
    p->weight = sg_scratch(g, (size_t)p->n_rows, sizeof *p->weight);
    p->xs = sg_scratch(g, (size_t)p->n_rows * (size_t)p->d, sizeof *p->xs);
    if (!p->row || !p->target || !p->weight || !p->xs)
        return false;
    for (int i = 0; i < p->n_groups; i++) {
        p->groups[i].first = first;
        first += p->groups[i].n_rows;
        p->groups[i].n_rows = 0;
        if (p->smooth > 0 && !range_mean(g, p, &p->groups[i]))
            return false;
    }
    for (int r = 0; r < rows; r++) {
        sg_ce_group *to = group_at[r] >= 0 ? &p->groups[group_at[r]] : NULL;
        const int at = to ? to->first + to->n_rows++ : 0;

        if (!to)
            continue;
        p->row[at] = r;
        p->target[at] = target[r];
        p->weight[at] = (float)((weight ? weight[r] : 1) / total);
        memcpy(p->xs + (size_t)at * p->d, p->x->data + (size_t)r * p->d, (size_t)p->d * sizeof(float));
    }
    return true;
}

static bool keep_logits(sg_graph *g, sg_ce *p)
{
    const int blocks = (p->bf16 ? KEEP_BF16 : KEEP_F32) / SG_CE_BLOCK / (p->n_rows + 1);
    size_t rows = 0;

    p->kept_items = blocks * SG_CE_BLOCK;
    for (int i = 0; i < p->n_groups; i++) {
        const size_t all = sg_pieces((size_t)p->groups[i].size, SG_CE_BLOCK);

        p->groups[i].first_kept = rows;
        rows += (size_t)p->groups[i].n_rows * (all < (size_t)blocks ? all : (size_t)blocks);
    }
    p->kept_most = sg_scratch(g, rows, sizeof *p->kept_most);
    if (p->bf16)
        return (p->kept_bf16 = sg_scratch(g, rows * SG_CE_BLOCK, sizeof *p->kept_bf16)) && p->kept_most;
    return (p->kept = sg_scratch(g, rows * SG_CE_BLOCK, sizeof *p->kept)) && p->kept_most;
}

static sg_tensor *cross_entropy(sg_graph *g, sg_tensor *x, sg_param *table, sg_param *bias,
                                const int32_t *begin, const int32_t *size, const int32_t *target,
                                const float *weight, float scale, float smooth, const sg_ce_beside *beside)
{
    const size_t threads = (size_t)sg_pool_threads(sg_graph_pool(g));
    const int d = table && table->rank == 2 ? table->dim[1] : 0;
    bool learns;
    double loss = 0;
    sg_ce *p;

    if (!x || !table)
        return NULL;
    if (d < 1 || x->rank < 1 || x->dim[x->rank - 1] != d || (bias && bias->count != (size_t)table->dim[0]) ||
        !(smooth >= 0 && smooth < 1))
        return sg_graph_fail(g, SG_ERR_USAGE,
                             "softmax: x, table '%s' and bias do not fit, or label smoothing not in [0, 1)",
                             table->name);
    if (!(p = sg_scratch(g, 1, sizeof *p)))
        return NULL;
    *p = (sg_ce){.x = x,
                 .table = table,
                 .bias = bias,
                 .precision = sg_graph_precision(g),
                 .d = d,
                 .scale = scale,
                 .smooth = smooth};
    const bool items_learn =
        sg_param_trains(g, table) || sg_param_trains(g, bias) || sg_param_trains(g, beside->b);
    learns = items_learn || sg_wants(g, x) || sg_wants(g, beside->z) || sg_param_trains(g, beside->rows);
    if (!gather(g, p, (int)(x->count / (size_t)d), begin, size, target, weight) || !cut(g, p) ||
        (beside->b && !sg_ce_low_open(g, p, beside->z, beside->b)) ||
        (beside->rows && !sg_ce_rows_open(g, p, beside->rows, beside->id)))
        return NULL;
    p->lse = sg_scratch(g, (size_t)p->n_rows, sizeof *p->lse);
    p->coef = sg_scratch(g, (size_t)p->n_rows, sizeof *p->coef);
    p->loss = sg_scratch(g, (size_t)p->n_rows, sizeof *p->loss);
    p->work = sg_scratch(g, threads * SG_CE_TILE * SG_CE_BLOCK, sizeof *p->work);
    p->out = sg_tensor_new(g, 0, NULL);
    if (learns && x->needs_grad && !(p->dxs = sg_scratch(g, (size_t)p->n_rows * (size_t)d, sizeof *p->dxs)))
        return NULL;
    if (!p->lse || !p->coef || !p->loss || !p->work || !p->out)
        return NULL;
    if ((p->bf16 = sg_ce_bf16_fits(p)) && !sg_ce_bf16_open(g, p))
        return NULL;
    if (items_learn && !keep_logits(g, p))
        return NULL;
    sg_parallel_for(sg_graph_pool(g), (size_t)p->n_tiles, 1, p->bf16 ? sg_ce_bf16_forward : tile_forward, p);
    for (int r = 0; r < p->n_rows; r++)
        loss += p->weight[r] * p->loss[r];
    p->out->data[0] = (float)loss;
    if (learns)
        sg_tape(g, p->out, ce_backward, p);
    return p->out;
}

sg_tensor *sg_softmax_ce(sg_graph *g, sg_tensor *x, sg_param *table, sg_param *bias, const int32_t *target,
                         const float *weight, float scale, float label_smoothing)
{
    return cross_entropy(g, x, table, bias, NULL, NULL, target, weight, scale, label_smoothing,
                         &(sg_ce_beside){0});
}

sg_tensor *sg_softmax_ce_beside(sg_graph *g, sg_tensor *x, sg_param *table, const sg_ce_beside *beside,
                                const int32_t *target, const float *weight, float scale,
                                float label_smoothing)
{
    return beside->b && !beside->z
               ? NULL
               : cross_entropy(g, x, table, NULL, NULL, NULL, target, weight, scale, label_smoothing, beside);
}

sg_tensor *sg_softmax_ce_range(sg_graph *g, sg_tensor *x, sg_param *table, const int32_t *begin,
                               const int32_t *size, const int32_t *target, const float *weight, float scale,
                               float label_smoothing)
{
    return cross_entropy(g, x, table, NULL, begin, size, target, weight, scale, label_smoothing,
                         &(sg_ce_beside){0});
}
