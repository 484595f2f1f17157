/* sinkhorn.c - codes that share the items evenly: entropic optimal transport between items and centres.
 *
 *   Q_ik = exp(-(D_ik - min D) / e);  repeat: columns to sum 1/K, rows to sum 1/n, until columns are even to a hundredth or ROUNDS_MAX;
 *   code_i = argmax_k Q_ik, then those that lose least by it move from codes with too many items to codes with too few
 * D is divided by half its range first, so e means the same for every encoder; a factor of a row does not matter, so each
 * row is counted from its own least distance, which keeps the numbers in range.     [Cuturi 2013; LETTER 2024, e = .003]
 *
 * The plan Q splits items among codes, argmax does not: a plan whose columns are even to a hundredth leaves codes that differ by tenths. So
 * every code is filled to floor(n / K) or one more, the latter where argmax has most. What an item loses is log Q of its code less
 * that of the other; log Q_ik = log a_k - (D_ik - min_k D_ik) / e up to a constant of the row, which is a number where Q is 0, too. */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "math/math.h"

#include <math.h>
#include <stdlib.h>

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

/* log_a (codes): the logarithm of all that a column was multiplied by. */
static double scale_rounds(double *q, size_t n, size_t codes, double *column, double *log_a)
{
    double worst = add_columns(column, q, n, codes);

    for (int round = 0; round < ROUNDS_MAX && (round == 0 || worst > EVEN);
         round++) { /* rows have no sum before the first */
        for (size_t k = 0; k < codes;
             k++) { /* 0: so far from all items that exp gave 0; the plan has none for it */
            column[k] = column[k] > 0 ? 1 / (column[k] * (double)codes) : 0;
            log_a[k] += column[k] > 0 ? log(column[k]) : 0;
        }
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

/* ---- from the plan to codes ------------------------------------------------------------------------------------- */
typedef struct move { /* of an item to the code with room that costs it least */
    double loss;
    uint32_t item;
    int32_t to;
} move;

static int by_loss(const void *a, const void *b)
{
    const move *x = a, *y = b;

    return x->loss != y->loss ? (x->loss > y->loss) - (x->loss < y->loss)
                              : (x->item > y->item) - (x->item < y->item);
}

typedef struct load {
    int32_t k;
    size_t n;
} load;

static int by_load(const void *a, const void *b)
{
    const load *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : (x->k > y->k) - (x->k < y->k);
}

/* The code of the least cost; room (codes) or NULL: of those with room. */
static int32_t cheapest(const double *cost, size_t codes, const int64_t *room)
{
    int32_t best = -1;

    for (size_t k = 0; k < codes; k++)
        if ((!room || room[k] > 0) && (best < 0 || cost[k] < cost[best]))
            best = (int32_t)k;
    return best;
}

/* room (codes): how many items a code lacks, or has too many (below 0), to have its share of n. list (codes): scratch. */
static void count_room(int64_t *room, load *list, const int32_t *code, size_t n, size_t codes)
{
    for (size_t k = 0; k < codes; k++)
        list[k] = (load){(int32_t)k, 0};
    for (size_t i = 0; i < n; i++)
        list[code[i]].n++;
    qsort(list, codes, sizeof *list, by_load);
    for (size_t k = 0; k < codes; k++)
        room[list[k].k] = (int64_t)(n / codes + (k < n % codes)) - (int64_t)list[k].n;
}

/* Items of codes that have too many go, those that lose least first, where there is room. One that finds its place taken waits for
 * the next round, when it knows what is left; a round fills a code, or ends it. move (n): scratch. */
static void even_out(int32_t *code, const double *cost, size_t n, size_t codes, int64_t *room, move *moves)
{
    for (size_t left = 1; left;) {
        size_t n_moves = 0;

        left = 0;
        for (size_t i = 0; i < n; i++)
            if (room[code[i]] < 0) {
                const int32_t to = cheapest(cost + i * codes, codes, room);

                moves[n_moves++] =
                    (move){cost[i * codes + (size_t)to] - cost[i * codes + (size_t)code[i]], (uint32_t)i, to};
            }
        qsort(moves, n_moves, sizeof *moves, by_loss);
        for (size_t m = 0; m < n_moves; m++) {
            int32_t *at = &code[moves[m].item];

            if (room[*at] >= 0)
                continue;
            if (room[moves[m].to] <= 0) {
                left++;
                continue;
            }
            room[*at]++;
            room[moves[m].to]--;
            *at = moves[m].to;
        }
    }
}

/* Distances in units of epsilon, each row from its least. */
static void relative_costs(double *cost, const float *x, size_t n, size_t width, const float *centre,
                           size_t codes, double epsilon)
{
    double least = INFINITY, most = 0;

    for (size_t i = 0; i < n * codes; i++) {
        cost[i] = (double)sg_dist2(x + i / codes * width, centre + i % codes * width, width);
        least = cost[i] < least ? cost[i] : least;
        most = cost[i] > most ? cost[i] : most;
    }
    for (size_t i = 0; i < n; i++) {
        double *row = cost + i * codes;
        const double top = row[cheapest(row, codes, NULL)];

        for (size_t k = 0; k < codes; k++)
            row[k] = most > least ? (row[k] - top) / ((most - least) / 2 * epsilon) : 0;
    }
}

sg_status sg_sinkhorn(int32_t *code, double *worst, const float *x, size_t n, int dim, const float *centre,
                      int codes, double epsilon, sg_error *err)
{
    const size_t width = (size_t)dim, k_codes = (size_t)codes;
    double *q = NULL, *column = NULL, *log_a = NULL;
    int64_t *room = NULL;
    load *loads = NULL;
    move *moves = NULL;
    sg_status st = SG_OK;

    if (n * k_codes > CELLS_MAX)
        return sg_fail(err, SG_ERR_USAGE, "sinkhorn: %zu items times %d codes are more than %d", n, codes,
                       CELLS_MAX);
    q = sg_alloc_array(n * k_codes, sizeof *q);
    column = sg_alloc_array(k_codes, sizeof *column);
    log_a = sg_alloc_zero(k_codes, sizeof *log_a);
    room = sg_alloc_array(k_codes, sizeof *room);
    loads = sg_alloc_array(k_codes, sizeof *loads);
    moves = sg_alloc_array(n, sizeof *moves);
    if (!q || !column || !log_a || !room || !loads || !moves) {
        st = sg_fail_memory(err, "sinkhorn");
        goto done;
    }
    relative_costs(q, x, n, width, centre, k_codes, epsilon);
    for (size_t i = 0; i < n * k_codes; i++)
        q[i] = exp(-q[i]);
    *worst = scale_rounds(q, n, k_codes, column, log_a);
    relative_costs(q, x, n, width, centre, k_codes,
                   epsilon); /* again, where exp was: a second table would be as large */
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < k_codes; k++)
            q[i * k_codes + k] -= log_a[k];
        code[i] = cheapest(q + i * k_codes, k_codes, NULL);
    }
    count_room(room, loads, code, n, k_codes);
    even_out(code, q, n, k_codes, room, moves);
done:
    sg_free(q);
    sg_free(column);
    sg_free(log_a);
    sg_free(room);
    sg_free(loads);
    sg_free(moves);
    return st;
}
