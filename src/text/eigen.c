/* eigen.c - Householder reduction to tridiagonal form, then implicit QL with Wilkinson's shift.
 *   [Golub & Van Loan, Matrix Computations, 4th ed., 8.3.1 and 8.3.5]
 *
 * A = H T H', T = W diag(value) W'. The transposed vectors are kept (one a row), so that every rotation of two
 * eigenvectors walks through memory in order. 4/3 n^3 operations for T, 4/3 n^3 for H, about 3 n^3 for the rotations. */
#include "text/eigen.h"

#include "base/alloc.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { ROUNDS_MAX = 60 }; /* for one eigenvalue; 2 or 3 are usual */

static double dot(const double *x, const double *y, int n)
{
    double lane[4] = {0};
    int i = 0;

    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            lane[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        lane[0] += x[i] * y[i];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* Column k below the diagonal is reflected onto its first element: v = x - alpha e1, P = I - 2 v v' / v'v. The vector v
 * is kept in row k of a, right of the diagonal; scale[k] = 2 / v'v (0: nothing to reflect). */
static void tridiagonalise(double *a, double *diagonal, double *off, double *scale, double *p, int n)
{
    for (int k = 0; k + 1 < n; k++) {
        const int m = n - k - 1;
        double *v = a + (size_t)k * n + k + 1;
        const double norm = sqrt(dot(v, v, m)), alpha = v[0] > 0 ? -norm : norm;

        diagonal[k] = a[(size_t)k * n + k];
        off[k] = m > 1 ? alpha : v[0];
        scale[k] = 0;
        if (m == 1 || norm == 0)
            continue;
        v[0] -= alpha;
        scale[k] = 2 / dot(v, v, m);
        /* the block below right becomes B - v w' - w v', w = p - (scale / 2) (p'v) v, p = scale B v */
        for (int i = 0; i < m; i++)
            p[i] = scale[k] * dot(a + (size_t)(k + 1 + i) * n + k + 1, v, m);
        const double half = scale[k] / 2 * dot(p, v, m);
        for (int i = 0; i < m; i++)
            p[i] -= half * v[i];
        for (int i = 0; i < m; i++) {
            double *row = a + (size_t)(k + 1 + i) * n + k + 1;
            const double vi = v[i], wi = p[i];

            for (int j = 0; j < m; j++)
                row[j] -= vi * p[j] + wi * v[j];
        }
    }
    diagonal[n - 1] = a[(size_t)n * n - 1];
    off[n - 1] = 0;
}

/* h (n, n) = rows of (P_1 P_2 ... P_{n-2})', built from the last reflection to the first */
static void gather_reflections(double *h, const double *a, const double *scale, int n)
{
    memset(h, 0, (size_t)n * n * sizeof *h);
    for (int i = 0; i < n; i++)
        h[(size_t)i * n + i] = 1;
    for (int k = n - 2; k >= 0; k--) {
        const int m = n - k - 1;
        const double *v = a + (size_t)k * n + k + 1;

        for (int i = k + 1; scale[k] != 0 && i < n; i++) {
            double *row = h + (size_t)i * n + k + 1;
            const double c = scale[k] * dot(row, v, m);

            for (int j = 0; j < m; j++)
                row[j] -= c * v[j];
        }
    }
}

static void rotate(double *x, double *y, double c, double s, int n)
{
    for (int i = 0; i < n; i++) {
        const double f = y[i];

        y[i] = s * x[i] + c * f;
        x[i] = c * x[i] - s * f;
    }
}

/* diagonal, off (between i and i + 1) -> eigenvalues in diagonal; rows of w rotated along */
static bool solve_tridiagonal(double *diagonal, double *off, double *w, int n)
{
    for (int first = 0; first < n; first++) {
        for (int round = 0;; round++) {
            int last = first;

            while (last + 1 < n &&
                   fabs(off[last]) > DBL_EPSILON * (fabs(diagonal[last]) + fabs(diagonal[last + 1])))
                last++;
            if (last == first)
                break;
            if (round == ROUNDS_MAX)
                return false;
            /* shift by the eigenvalue of the top 2 x 2 block that lies nearer to its first element */
            double g = (diagonal[first + 1] - diagonal[first]) / (2 * off[first]), r = hypot(g, 1);
            double s = 1, c = 1, p = 0;
            int i;

            g = diagonal[last] - diagonal[first] + off[first] / (g + copysign(r, g));
            for (i = last - 1; i >= first; i--) {
                const double f = s * off[i], b = c * off[i];

                r = off[i + 1] = hypot(f, g);
                if (r == 0) {
                    diagonal[i + 1] -= p;
                    off[last] = 0;
                    break;
                }
                s = f / r;
                c = g / r;
                g = diagonal[i + 1] - p;
                r = (diagonal[i] - g) * s + 2 * c * b;
                p = s * r;
                diagonal[i + 1] = g + p;
                g = c * r - b;
                rotate(w + (size_t)i * n, w + (size_t)(i + 1) * n, c, s, n);
            }
            if (r == 0 && i >= first)
                continue;
            diagonal[first] -= p;
            off[first] = g;
            off[last] = 0;
        }
    }
    return true;
}

static void sort_descending(double *value, const double *from, double *to, const double *diagonal, int n)
{
    for (int i = 0; i < n; i++) {
        int rank = 0;

        for (int j = 0; j < n; j++)
            rank += diagonal[j] > diagonal[i] || (diagonal[j] == diagonal[i] && j < i);
        value[rank] = diagonal[i];
        memcpy(to + (size_t)rank * n, from + (size_t)i * n, (size_t)n * sizeof *to);
    }
}

sg_status sg_eigen(double *a, double *value, int n, sg_error *err)
{
    const size_t square = (size_t)n * (size_t)n;
    double *work = sg_alloc_array(square + 4 * (size_t)n, sizeof *work);
    double *h = work, *diagonal = work + square, *off = diagonal + n, *scale = off + n, *p = scale + n;
    sg_status st = SG_OK;

    if (!work)
        return sg_fail_memory(err, "eigenvectors");
    for (size_t i = 0; i < square && st == SG_OK; i++)
        if (!isfinite(a[i]))
            st = sg_fail(err, SG_ERR_NUMERIC, "matrix of the eigenvalue problem is not finite");
    if (st == SG_OK) {
        scale[n - 1] = 0;
        tridiagonalise(a, diagonal, off, scale, p, n);
        gather_reflections(h, a, scale, n);
        if (!solve_tridiagonal(diagonal, off, h, n))
            st = sg_fail(err, SG_ERR_NUMERIC, "eigenvalues do not converge");
        else
            sort_descending(value, h, a, diagonal, n);
    }
    sg_free(work);
    return st;
}
