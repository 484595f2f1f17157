/* softmax_ce_bf16.c - the products of softmax_ce.c in bf16, summed in f32, on CPUs that multiply pairs of bf16 numbers.
 *
 * The table is packed once a step, block by block, in both orders that products read: pairs along d for the logits, pairs of
 * items for sum_j p_rj w_j. A strip of rows passes through a block while its logits lie in the first cache: product, exp in
 * f32, rounding, product. exp(l - max) is kept in bf16 and becomes, on the way back, pairs of rows for dw. */
#include "math/softmax_ce.h"

#include "math/math.h"

#include <math.h>
#include <string.h>

enum { BLOCK = SG_CE_BLOCK, STRIP = 24, CHUNK = 128, ROWS_LEAST = 64 };
_Static_assert(2 + CHUNK / 2 + CHUNK <= SG_CE_TILE, "what the way back works in is (SG_CE_TILE, BLOCK)");

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Products read whole vectors of items: what is behind the last item of a block is zero. */
static int padded(int items)
{
    return (items + 15) / 16 * 16;
}

bool sg_ce_bf16_fits(const sg_ce *p)
{
    return p->precision == SG_BF16 && sg_isa_best() >= SG_ISA_AVX512BF16 && p->d % 32 == 0 &&
           p->n_rows >= ROWS_LEAST;
}

/* ---- the table packed ------------------------------------------------------------------------------------------- */

static uint32_t *across_of(const sg_ce *p, size_t block)
{
    return p->across + block * BLOCK * (size_t)p->d / 2;
}

static uint32_t *along_of(const sg_ce *p, size_t block)
{
    return p->along + block * BLOCK * (size_t)p->d / 2;
}

static void pack_block(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_ce *p = ctx;
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_part *b = &p->blocks[begin];
    const int n = b->end - b->begin;
    const size_t d = (size_t)p->d;
    const float *w = p->table->value + (size_t)(p->groups[b->group].begin + b->begin) * d;
    uint16_t *rows = p->w_bf16 + (size_t)thread * BLOCK * d;
    uint32_t *along = along_of(p, begin);

    k->to_bf16(rows, w, (size_t)n * d);
    k->turn_pairs(across_of(p, begin), BLOCK, (const uint32_t *)(const void *)rows, d / 2, n, (int)d / 2);
    for (int j = 0; j + 1 < n; j += 2)
        k->pair_rows(along + (size_t)(j / 2) * d, w + (size_t)j * d, w + (size_t)(j + 1) * d, d);
    if (n % 2)
        for (size_t i = 0; i < d; i++)
            along[(size_t)(n / 2) * d + i] = rows[(size_t)(n - 1) * d + i];
    memset(along + (size_t)((n + 1) / 2) * d, 0, (size_t)(padded(n) / 2 - (n + 1) / 2) * d * sizeof *along);
}

bool sg_ce_bf16_open(sg_graph *g, sg_ce *p)
{
    const size_t d = (size_t)p->d, threads = (size_t)sg_pool_threads(sg_graph_pool(g)),
                 packed = (size_t)p->n_blocks * BLOCK * d / 2;
    size_t blocks = 0, pairs = 0;

    for (int i = 0; i < p->n_groups; i++) {
        p->groups[i].first_block = blocks;
        p->groups[i].first_pair = pairs;
        blocks += sg_pieces((size_t)p->groups[i].size, BLOCK);
        pairs += ((size_t)p->groups[i].n_rows + 1) / 2;
    }
    p->x_bf16 = sg_scratch(g, (size_t)p->n_rows * d, sizeof *p->x_bf16);
    p->x_pairs = sg_scratch(g, pairs * d, sizeof *p->x_pairs);
    p->w_bf16 = sg_scratch(g, threads * BLOCK * d, sizeof *p->w_bf16);
    p->across = sg_scratch(g, packed, sizeof *p->across);
    p->along = sg_scratch(g, packed, sizeof *p->along);
    if (!p->x_bf16 || !p->x_pairs || !p->w_bf16 || !p->across || !p->along)
        return false;
    sg_parallel_for(sg_graph_pool(g), (size_t)p->n_blocks, 1, pack_block, p);
    return true;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* l (n_rows, BLOCK) = scale x w^T of rows `row`.. and a block of n_items, those from `item` on of its range */
static void logits(const sg_ce *p, float *l, int row, int n_rows, size_t block, int item, int n_items)
{
    sg_kernels_best()->product_pairs(
        &(sg_pairs){.m = n_rows,
                    .n = padded(n_items),
                    .k = p->d / 2,
                    .a = (const uint32_t *)(const void *)(p->x_bf16 + (size_t)row * (size_t)p->d),
                    .a_row = (size_t)p->d / 2,
                    .a_pair = 1,
                    .b = across_of(p, block),
                    .b_pair = BLOCK,
                    .c = l,
                    .c_row = BLOCK,
                    .gain = p->scale});
    if (p->low.z)
        sg_ce_low_logits(p, l, row, n_rows, item, n_items);
}

/* Rows of x in both orders. A tile begins at an even row of its group. */
static void pack_rows(const sg_ce *p, const sg_ce_part *t)
{
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_group *g = &p->groups[t->group];
    const size_t d = (size_t)p->d;
    const float *x = p->xs + (size_t)t->begin * d;
    uint32_t *pairs = p->x_pairs + (g->first_pair + (size_t)(t->begin - g->first) / 2) * d;
    const int n = t->end - t->begin;

    k->to_bf16(p->x_bf16 + (size_t)t->begin * d, x, (size_t)n * d);
    for (int r = 0; r + 1 < n; r += 2)
        k->pair_rows(pairs + (size_t)(r / 2) * d, x + (size_t)r * d, x + (size_t)(r + 1) * d, d);
    for (size_t i = 0; n % 2 && i < d; i++)
        pairs[(size_t)(n / 2) * d + i] = p->x_bf16[(size_t)(t->end - 1) * d + i];
}

typedef struct sums { /* of the rows of a tile */
    float most[SG_CE_TILE], at_target[SG_CE_TILE], down[SG_CE_TILE];
    double sum[SG_CE_TILE];
} sums;

/* Rows first .. first + n - 1 of a tile meet one block; e (n, BLOCK) takes exp(l - most). */
static void strip_forward(const sg_ce *p, const sg_ce_part *t, sums *s, int first, int n, int item,
                          uint16_t *e)
{
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_group *g = &p->groups[t->group];
    const int n_items = (int)least(BLOCK, (size_t)(g->size - item)), d = p->d;
    const size_t block = g->first_block + (size_t)item / BLOCK;
    const float *bias = p->bias ? p->bias->value + g->begin + item : NULL;
    float l[STRIP * BLOCK];

    logits(p, l, t->begin + first, n, block, item, n_items);
    for (int i = 0; i < n; i++) {
        float *lr = l + (size_t)i * BLOCK;
        const int r = first + i, target = p->target[t->begin + r] - g->begin - item;

        if (target >= 0 && target < n_items)
            s->at_target[r] = lr[target] + (bias ? p->scale * bias[target] : 0);
        s->down[r] = k->ce_row(lr, (size_t)n_items, bias, p->scale, &s->most[r], &s->sum[r]);
        k->to_bf16(e + (size_t)i * BLOCK, lr, (size_t)padded(n_items));
    }
    if (p->low.dzs)
        sg_ce_low_sums(p, l, s->down + first, t->begin + first, n, item, n_items);
    if (p->dxs)
        k->product_pairs(&(sg_pairs){.m = n,
                                     .n = d,
                                     .k = padded(n_items) / 2,
                                     .a = (const uint32_t *)(const void *)e,
                                     .a_row = BLOCK / 2,
                                     .a_pair = 1,
                                     .b = along_of(p, block),
                                     .b_pair = (size_t)d,
                                     .c = p->dxs + (size_t)(t->begin + first) * (size_t)d,
                                     .c_row = (size_t)d,
                                     .keep = item > 0 ? s->down + first : NULL,
                                     .gain = 1});
}

void sg_ce_bf16_forward(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_ce *p = ctx;
    const sg_ce_part *t = &p->tiles[begin];
    const sg_ce_group *g = &p->groups[t->group];
    const int n_rows = t->end - t->begin;
    _Alignas(64) uint16_t scrap[STRIP * BLOCK];
    sums s;

    for (int r = 0; r < n_rows; r++) {
        s.most[r] = -INFINITY;
        s.sum[r] = 0;
    }
    pack_rows(p, t);
    for (int item = 0; item < g->size; item += BLOCK) {
        const bool keep = item < p->kept_items;
        const size_t at = sg_ce_kept_row(g, t->begin, item);

        for (int r = 0; r < n_rows; r += STRIP)
            strip_forward(p, t, &s, r, (int)least(STRIP, (size_t)(n_rows - r)), item,
                          keep ? p->kept_bf16 + (at + (size_t)r) * BLOCK : scrap);
        if (keep)
            memcpy(p->kept_most + at, s.most, (size_t)n_rows * sizeof *s.most);
    }
    sg_ce_finish(p, t, s.most, s.sum, s.at_target);
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

/* The gradients of the logits of one row in a block; pads become zero. l holds the logits where they were not kept. */
static void grad_row(const sg_ce *p, const sg_ce_part *b, int row, float *l)
{
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_group *g = &p->groups[b->group];
    const int n_items = b->end - b->begin, target = p->target[row] - g->begin - b->begin;
    const float even = p->smooth / (float)g->size, c = p->coef[row], lse = p->lse[row];
    const size_t at = sg_ce_kept_row(g, row, b->begin);

    if (b->begin < p->kept_items)
        k->ce_kept_bf16(l, p->kept_bf16 + at * BLOCK, (size_t)padded(n_items),
                        c * expf(p->kept_most[at] - lse), c * even);
    else
        k->ce_grad_row(l, (size_t)n_items, p->bias ? p->bias->value + g->begin + b->begin : NULL, p->scale,
                       lse, c, even);
    if (target >= 0 && target < n_items)
        l[target] -= c * (1 - p->smooth);
    memset(l + n_items, 0, (size_t)(padded(n_items) - n_items) * sizeof *l);
    if (p->dbias)
        k->add(p->dbias + g->begin + b->begin, p->dbias + g->begin + b->begin, l, (size_t)n_items);
}

void sg_ce_bf16_backward(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_ce *p = ctx;
    const sg_kernels *k = sg_kernels_best();
    const sg_ce_part *b = &p->blocks[begin];
    const sg_ce_group *g = &p->groups[b->group];
    const int n_items = b->end - b->begin;
    const size_t d = (size_t)p->d;
    float ones[BLOCK];
    float *l = p->work + (size_t)thread * SG_CE_TILE * BLOCK; /* two rows; then pairs (CHUNK / 2, BLOCK) */
    uint32_t *pairs = (uint32_t *)(void *)(l + 2 * BLOCK);
    float *all =
        l + (2 + CHUNK / 2) * BLOCK; /* (CHUNK, BLOCK), where a low-rank part wants them as numbers */

    for (int i = 0; i < BLOCK; i++)
        ones[i] = 1;
    for (int first = 0; first < g->n_rows; first += CHUNK) {
        const int n = (int)least(CHUNK, (size_t)(g->n_rows - first));

        for (int r = 0; r < n; r += 2) {
            const int row = g->first + first + r, both = r + 1 < n ? 2 : 1;

            if (b->begin >= p->kept_items)
                logits(p, l, row, both, begin, b->begin, n_items);
            grad_row(p, b, row, l);
            if (both == 2)
                grad_row(p, b, row + 1, l + BLOCK);
            else
                memset(l + BLOCK, 0, BLOCK * sizeof *l);
            k->pair_rows(pairs + (size_t)(r / 2) * BLOCK, l, l + BLOCK, (size_t)padded(n_items));
            if (p->low.db)
                memcpy(all + (size_t)r * BLOCK, l, (size_t)both * BLOCK * sizeof *l);
        }
        if (p->low.db)
            sg_ce_low_back(p, all, g->first + first, n, b->begin, n_items);
        if (p->dtable)
            k->product_pairs(&(sg_pairs){.m = n_items,
                                         .n = p->d,
                                         .k = (n + 1) / 2,
                                         .a = pairs,
                                         .a_row = 1,
                                         .a_pair = BLOCK,
                                         .b = p->x_pairs + (g->first_pair + (size_t)first / 2) * d,
                                         .b_pair = d,
                                         .c = p->dtable + (size_t)(g->begin + b->begin) * d,
                                         .c_row = d,
                                         .keep = ones,
                                         .gain = 1});
    }
}
