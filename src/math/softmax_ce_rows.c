/* softmax_ce_rows.c - rows of a frozen table that learn, of softmax_ce.c: the table has their numbers, their gradients lie together.
 *
 *   dw_j = sum_r c_r (p_rj - e / n - (1 - e) [j = t]) x_r      for the rows j that learn alone; p_rj = exp(l_rj - lse_r), made again
 *
 * Pieces are blocks of these rows; each owns what it writes. */
#include "math/softmax_ce.h"

#include "math/gemm.h"

#include <string.h>

/* The place of a row of the table among those that learn; -1: none of them. */
static int32_t place_of(const sg_ce_rows *s, int32_t row)
{
    int low = 0, high = s->n;

    while (low < high) {
        const int mid = low + (high - low) / 2;

        if (s->id[mid] < row)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->n && s->id[low] == row ? low : -1;
}

bool sg_ce_rows_open(sg_graph *g, sg_ce *p, sg_param *rows, const int32_t *id)
{
    const int n = rows->rank == 2 ? rows->dim[0] : 0;
    sg_ce_rows *s = &p->rows;
    bool good = n > 0 && rows->dim[1] == p->d && !sg_param_trains(g, p->table);

    for (int i = 0; good && i < n; i++)
        good = id[i] >= 0 && id[i] < p->table->dim[0] && (i == 0 || id[i - 1] < id[i]);
    if (!good)
        return sg_graph_fail(g, SG_ERR_USAGE, "softmax: '%s' are no rows of the frozen table '%s'",
                             rows->name, p->table->name) != NULL;
    *s = (sg_ce_rows){.rows = rows, .id = id, .n = n, .low_up = (n + 15) / 16 * 16};
    if (!(s->target = sg_scratch(g, (size_t)p->n_rows, sizeof *s->target)))
        return false;
    for (int r = 0; r < p->n_rows; r++)
        s->target[r] = place_of(s, p->target[r]);
    if (!p->low.z)
        return true;
    if (!(s->low = sg_scratch(g, (size_t)p->low.r * (size_t)s->low_up, sizeof *s->low)))
        return false;
    memset(s->low, 0, (size_t)p->low.r * (size_t)s->low_up * sizeof *s->low);
    for (int i = 0; i < p->low.r; i++)
        for (int j = 0; j < n; j++)
            s->low[i * s->low_up + j] = p->low.b->value[id[j] * p->low.r + i];
    return true;
}

typedef struct work {
    const sg_ce *p;
    float *grad; /* (n, d) */
} work;

static void block_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const work *w = ctx;
    const sg_ce *p = w->p;
    const sg_ce_rows *s = &p->rows;
    const sg_kernels *k = sg_kernels_best();
    const int n_items = (int)(end - begin), d = p->d;
    const float even = p->smooth / (float)p->table->dim[0];
    float *l = p->work + (size_t)thread * SG_CE_TILE * SG_CE_BLOCK;

    for (int row = 0; row < p->n_rows; row += SG_CE_TILE) {
        const int left = p->n_rows - row, n_rows = left < SG_CE_TILE ? left : SG_CE_TILE;
        const float *x = p->xs + (size_t)row * (size_t)d;

        sg_gemm(NULL, p->precision, false, true, n_rows, n_items, d, p->scale, x, d,
                s->rows->value + begin * (size_t)d, d, 0, l, SG_CE_BLOCK);
        if (s->low)
            sg_ce_low_product(p, s->low + begin, s->low_up, l, row, n_rows, n_items);
        for (int r = 0; r < n_rows; r++) {
            float *lr = l + (size_t)r * SG_CE_BLOCK;
            const int target = s->target[row + r] < 0 ? -1 : s->target[row + r] - (int)begin;

            k->ce_grad_row(lr, (size_t)n_items, NULL, p->scale, p->lse[row + r], p->coef[row + r], even);
            if (target >= 0 && target < n_items)
                lr[target] -= p->coef[row + r] * (1 - p->smooth);
        }
        sg_gemm(NULL, p->precision, true, false, n_items, d, n_rows, 1, l, SG_CE_BLOCK, x, d, 1,
                w->grad + begin * (size_t)d, d);
    }
}

void sg_ce_rows_back(sg_graph *g, sg_ce *p)
{
    work w = {p, p->rows.n ? sg_param_grad(g, p->rows.rows) : NULL};

    if (w.grad)
        sg_parallel_for(sg_graph_pool(g), (size_t)p->rows.n, SG_CE_BLOCK, block_body, &w);
}
