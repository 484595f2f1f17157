/* softmax_ce_low.c - the low-rank part of softmax_ce.c: l_rj takes scale z_r.b_j as well.   [Hu et al. 2021, beside an output matrix]
 *
 *   dz_r = c_r (sum_j p_rj b_j - (1 - e) b_t - e mean_j b_j)       db_j = sum_r dl_rj z_r
 *
 * r is small: these products read or write a block of logits once while it is in cache, in f32 whatever the precision of x w^T. Who calls
 * owns what it writes: tiles of rows forward, blocks of items backward. */
#include "math/softmax_ce.h"

#include <string.h>

enum { LANES = 16 };

static int whole(int n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* (rows, up) from (rows, r), zeros behind */
static void widen(float *to, const float *from, size_t rows, size_t r, size_t up)
{
    for (size_t i = 0; i < rows; i++) {
        memcpy(to + i * up, from + i * r, r * sizeof *to);
        memset(to + i * up + r, 0, (up - r) * sizeof *to);
    }
}

static bool mean_of(sg_graph *g, sg_ce_low *low, int n)
{
    double *sum = sg_scratch(g, (size_t)low->up, sizeof *sum);

    if (!sum || !(low->mean = sg_scratch(g, (size_t)low->up, sizeof *low->mean)))
        return false;
    for (int i = 0; i < low->up; i++)
        sum[i] = 0;
    for (size_t j = 0; j < (size_t)n; j++)
        for (int i = 0; i < low->up; i++)
            sum[i] += low->b_wide[j * (size_t)low->up + (size_t)i];
    for (int i = 0; i < low->up; i++)
        low->mean[i] = (float)(sum[i] / n);
    return true;
}

bool sg_ce_low_open(sg_graph *g, sg_ce *p, sg_tensor *z, sg_param *b)
{
    sg_ce_low *low = &p->low;
    const int n = p->table->dim[0], r = b->rank == 2 ? b->dim[1] : 0;

    if (r < 1 || b->dim[0] != n || sg_width(z) != (size_t)r || sg_height(z) != sg_height(p->x))
        return sg_graph_fail(g, SG_ERR_USAGE, "softmax: table '%s' and its low-rank part '%s' do not fit",
                             p->table->name, b->name) != NULL;
    *low = (sg_ce_low){.z = z, .b = b, .r = r, .up = whole(r), .n_up = whole(n)};
    low->zs = sg_scratch(g, (size_t)p->n_rows * (size_t)low->up, sizeof *low->zs);
    low->b_wide = sg_scratch(g, (size_t)n * (size_t)low->up, sizeof *low->b_wide);
    low->b_turned = sg_scratch(g, (size_t)r * (size_t)low->n_up, sizeof *low->b_turned);
    if (!low->zs || !low->b_wide || !low->b_turned ||
        (sg_wants(g, z) &&
         !(low->dzs = sg_scratch(g, (size_t)p->n_rows * (size_t)low->up, sizeof *low->dzs))))
        return false;
    for (int i = 0; i < p->n_rows; i++)
        widen(low->zs + (size_t)i * (size_t)low->up, z->data + (size_t)p->row[i] * (size_t)r, 1, (size_t)r,
              (size_t)low->up);
    widen(low->b_wide, b->value, (size_t)n, (size_t)r, (size_t)low->up);
    memset(low->b_turned, 0, (size_t)r * (size_t)low->n_up * sizeof *low->b_turned);
    for (size_t j = 0; j < (size_t)n; j++)
        for (size_t i = 0; i < (size_t)r; i++)
            low->b_turned[i * (size_t)low->n_up + j] = b->value[j * (size_t)r + i];
    return p->smooth > 0 ? mean_of(g, low, n) : true;
}

/* ---- forward ------------------------------------------------------------------------------------------------------------------ */
void sg_ce_low_logits(const sg_ce *p, float *l, int row, int n_rows, int item, int n_items)
{
    sg_ce_low_product(p, p->low.b_turned + item, p->low.n_up, l, row, n_rows, n_items);
}

void sg_ce_low_product(const sg_ce *p, const float *b, int b_row, float *l, int row, int n_rows, int n_items)
{
    const sg_ce_low *low = &p->low;

    sg_kernels_best()->product(&(sg_product){.m = n_rows,
                                             .n = whole(n_items),
                                             .k = low->r,
                                             .a = low->zs + (size_t)row * (size_t)low->up,
                                             .b = b,
                                             .a_row = (size_t)low->up,
                                             .b_row = (size_t)b_row,
                                             .c_row = SG_CE_BLOCK,
                                             .c = l,
                                             .add = true,
                                             .gain = p->scale});
}

void sg_ce_low_sums(const sg_ce *p, const float *e, const float *down, int row, int n_rows, int item,
                    int n_items)
{
    const sg_ce_low *low = &p->low;
    const sg_kernels *k = sg_kernels_best();
    const size_t up = (size_t)low->up;
    float *dzs = low->dzs + (size_t)row * up;

    for (int r = 0; r < n_rows && item > 0; r++)
        k->scale(dzs + (size_t)r * up, down[r], dzs + (size_t)r * up, up);
    k->product(&(sg_product){.m = n_rows,
                             .n = low->up,
                             .k = n_items,
                             .a = e,
                             .b = low->b_wide + (size_t)item * up,
                             .a_row = SG_CE_BLOCK,
                             .b_row = up,
                             .c_row = up,
                             .c = dzs,
                             .add = item > 0,
                             .gain = 1});
}

void sg_ce_low_finish(const sg_ce *p, int row, double sum)
{
    const sg_ce_low *low = &p->low;
    const size_t up = (size_t)low->up;
    const float *bt = low->b_wide + (size_t)p->target[row] * up;
    float *dz = low->dzs + (size_t)row * up;

    for (size_t i = 0; i < up; i++)
        dz[i] = dz[i] / (float)sum - (1 - p->smooth) * bt[i] - (p->smooth > 0 ? p->smooth * low->mean[i] : 0);
}

/* ---- backward ----------------------------------------------------------------------------------------------------------------- */
bool sg_ce_low_back_open(sg_graph *g, sg_ce *p)
{
    sg_ce_low *low = &p->low;
    const size_t r = (size_t)low->r, up = (size_t)low->up;
    float *dz = NULL;

    if (!low->z)
        return true;
    if (sg_param_grad(g, low->b) &&
        !(low->db = sg_scratch(g, (size_t)p->table->dim[0] * up, sizeof *low->db)))
        return false;
    if (low->dzs && !(dz = sg_grad(g, low->z)))
        return false;
    for (int i = 0; dz && i < p->n_rows; i++)
        for (size_t j = 0; j < r; j++)
            dz[(size_t)p->row[i] * r + j] += p->coef[i] * low->dzs[(size_t)i * up + j];
    return true;
}

void sg_ce_low_back(const sg_ce *p, const float *dl, int row, int n_rows, int item, int n_items)
{
    const sg_ce_low *low = &p->low;
    const size_t up = (size_t)low->up;

    sg_kernels_best()->product(&(sg_product){.m = n_items,
                                             .n = low->up,
                                             .k = n_rows,
                                             .a = dl,
                                             .b = low->zs + (size_t)row * up,
                                             .a_row = SG_CE_BLOCK,
                                             .b_row = up,
                                             .c_row = up,
                                             .c = low->db + (size_t)item * up,
                                             .turned = true,
                                             .add = row > 0,
                                             .gain = 1});
}

void sg_ce_low_back_close(sg_graph *g, sg_ce *p)
{
    const sg_ce_low *low = &p->low;
    const size_t r = (size_t)low->r, up = (size_t)low->up;
    float *grad = low->db ? sg_param_grad(g, low->b) : NULL;

    for (size_t j = 0; grad && p->n_rows && j < (size_t)p->table->dim[0]; j++)
        for (size_t i = 0; i < r; i++)
            grad[j * r + i] += low->db[j * up + i];
}
