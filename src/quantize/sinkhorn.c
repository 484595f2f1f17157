/* sinkhorn.c - codes that share the items evenly: entropic optimal transport between items and centres.
 *
 *   Q_ik = exp(-(D_ik - min D) / e);  repeat: columns to sum 1/K, rows to sum 1/n, until columns are even to a hundredth or ROUNDS_MAX;
 *   code_i = argmax_k Q_ik
 * D is divided by half its range first, so e means the same for every encoder; a factor of a row does not matter, so each
 * row is counted from its own least distance, which keeps the numbers in range.     [Cuturi 2013; LETTER 2024, e = .003] */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "math/math.h"

#include <math.h>

enum { ROUNDS_MAX = 2000, CELLS_MAX = 1 << 28 };
static const double EVEN = 0.01; /* of a column */

/* Sums of columns; returns how far the worst is from 1 / codes, as a share of it. */
static double add_columns(double *column, const double *q, size_t n, size_t codes)
{
    double worst = 0;

    for (size_t k = 0; k < codes; k++)
        column[k] = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < codes; k++)
            column[k] += q[i * codes + k];
    for (size_t k = 0; k < codes; k++) {
        const double off = fabs(column[k] * (double)codes - 1);

        worst = off > worst ? off : worst;
    }
    return worst;
}

static double scale_rounds(double *q, size_t n, size_t codes, double *column)
{
    double worst = add_columns(column, q, n, codes);

    for (int round = 0; round < ROUNDS_MAX && (round == 0 || worst > EVEN); round++) { /* rows have no sum before the first */
        for (size_t k = 0; k < codes; k++) /* 0: so far from all items that exp gave 0; it stays without any */
            column[k] = column[k] > 0 ? 1 / (column[k] * (double)codes) : 0;
        for (size_t i = 0; i < n; i++) {
            double row = 0;

            for (size_t k = 0; k < codes; k++)
                row += q[i * codes + k] *= column[k];
            for (size_t k = 0; k < codes; k++)
                q[i * codes + k] /= row * (double)n;
        }
        worst = add_columns(column, q, n, codes);
    }
    return worst;
}

sg_status sg_sinkhorn(int32_t *code, double *worst, const float *x, size_t n, int dim, const float *centre, int codes,
                      double epsilon, sg_error *err)
{
    const size_t width = (size_t)dim, k_codes = (size_t)codes;
    double *q, *column = sg_alloc_array(k_codes, sizeof *column), least = INFINITY, most = 0;

    if (n * k_codes > CELLS_MAX) {
        sg_free(column);
        return sg_fail(err, SG_ERR_USAGE, "sinkhorn: %zu items times %d codes are more than %d", n, codes, CELLS_MAX);
    }
    q = sg_alloc_array(n * k_codes, sizeof *q);
    if (!q || !column) {
        sg_free(q);
        sg_free(column);
        return sg_fail_memory(err, "sinkhorn");
    }
    for (size_t i = 0; i < n * k_codes; i++) {
        q[i] = (double)sg_dist2(x + i / k_codes * width, centre + i % k_codes * width, width);
        least = q[i] < least ? q[i] : least;
        most = q[i] > most ? q[i] : most;
    }
    for (size_t i = 0; i < n; i++) {
        double *row = q + i * k_codes, top = INFINITY;

        for (size_t k = 0; k < k_codes; k++)
            top = row[k] < top ? row[k] : top;
        for (size_t k = 0; k < k_codes; k++)
            row[k] = most > least ? exp(-(row[k] - top) / ((most - least) / 2 * epsilon)) : 1;
    }
    *worst = scale_rounds(q, n, k_codes, column);
    for (size_t i = 0; i < n; i++) {
        code[i] = 0;
        for (size_t k = 1; k < k_codes; k++)
            if (q[i * k_codes + k] > q[i * k_codes + (size_t)code[i]])
                code[i] = (int32_t)k;
    }
    sg_free(q);
    sg_free(column);
    return SG_OK;
}
