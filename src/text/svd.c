/* svd.c - randomised SVD of a sparse matrix A (n, features).     [Halko, Martinsson & Tropp 2011, alg. 4.4 and 5.1]
 *
 *   Q = orth(A R), R random (features, l), l = dim + 16
 *   a number of times: Q = orth(A (A' Q))
 *   B = A' Q;  B'B = W diag(value^2) W' (double);  right = B W / value
 *
 * orth is Cholesky QR: Q = Y C^-1 with Y'Y = C'C; the last one is done twice, which makes Q orthonormal to f32. Products with A run in f32 over one row of the result at a
 * time, Y'Y is summed in double over fixed runs of rows, so threads do not change a bit. A column of Y that depends on
 * those before it becomes zero, and zero singular values are dropped at the end. */
#include "text/svd.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "math/kernels.h"
#include "text/eigen.h"

#include <math.h>
#include <string.h>

enum { EXTRA = 16, ROWS = 256, GROUPS_MAX = 16 };

typedef struct sparse { /* CSR, borrowed or owned by whoever made it */
    size_t n;
    const int64_t *offsets;
    const int32_t *index;
    const float *value;
} sparse;

/* ---- products ------------------------------------------------------------------------------------------------ */

/* A matrix (rows, dim) in panels: columns 16 p .. 16 p + 15 are the (rows, 16) block number p; what is beyond dim is 0. */
static size_t panels_of(size_t dim)
{
    return sg_pieces(dim, SG_PANEL);
}

typedef struct product {
    const sparse *a;
    const float *x; /* one panel of x */
    float *y;
    size_t stride, width; /* row r of this panel of y: width numbers at y + r * stride */
} product;

static void product_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_kernels *kernels = sg_kernels_best();
    const product *p = ctx;
    float sum[SG_PANEL];

    for (size_t r = begin; r < end; r++) {
        const int64_t at = p->a->offsets[r];

        kernels->gather_sum(sum, p->x, p->a->index + at, p->a->value + at,
                            (size_t)(p->a->offsets[r + 1] - at));
        memcpy(p->y + r * p->stride, sum, p->width * sizeof *sum);
    }
}

/* y (a->n, dim) = a x, x (x_rows, dim) in panels, y in panels too or row-major. Panel by panel: gathering whole rows of
 * x would miss every cache. */
static void multiply(sg_pool *pool, float *y, bool y_panels, const sparse *a, const float *x, size_t x_rows,
                     size_t dim)
{
    for (size_t k = 0; k < panels_of(dim); k++) {
        product p = {a, x + k * x_rows * SG_PANEL, y + k * SG_PANEL, dim, SG_PANEL};

        if (y_panels) {
            p.y = y + k * a->n * SG_PANEL;
            p.stride = SG_PANEL;
        } else if ((k + 1) * SG_PANEL > dim) {
            p.width = dim - k * SG_PANEL;
        }
        sg_parallel_for(pool, a->n, 256, product_body, &p);
    }
}

typedef struct pack_work {
    float *to;
    const float *from;
    size_t rows, dim;
} pack_work;

static void pack_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const pack_work *w = ctx;

    for (size_t r = begin; r < end; r++)
        for (size_t k = 0; k < panels_of(w->dim); k++) {
            const size_t left = w->dim - k * SG_PANEL, width = left < SG_PANEL ? left : SG_PANEL;
            float *to = w->to + (k * w->rows + r) * SG_PANEL;

            memcpy(to, w->from + r * w->dim + k * SG_PANEL, width * sizeof *to);
            for (size_t i = width; i < SG_PANEL; i++)
                to[i] = 0;
        }
}

/* row-major -> panels */
static void pack(sg_pool *pool, float *to, const float *from, size_t rows, size_t dim)
{
    sg_parallel_for(pool, rows, 1024, pack_body, &(pack_work){to, from, rows, dim});
}

/* Rows of the transpose, each in ascending order. The three arrays are owned by the caller. */
static sg_status transpose(int64_t **offsets, int32_t **index, float **value, const sg_tfidf *a,
                           sg_error *err)
{
    const size_t n = (size_t)a->offsets[a->n];

    *offsets = sg_alloc_zero((size_t)a->features + 2, sizeof **offsets);
    *index = sg_alloc_array(n, sizeof **index);
    *value = sg_alloc_array(n, sizeof **value);
    if (!*offsets || !*index || !*value)
        return sg_fail_memory(err, "transposed tf-idf rows");
    for (size_t k = 0; k < n; k++)
        (*offsets)[a->index[k] + 2]++;
    for (int32_t f = 0; f < a->features; f++)
        (*offsets)[f + 2] += (*offsets)[f + 1];
    for (int32_t r = 0; r < a->n; r++)
        for (int64_t k = a->offsets[r]; k < a->offsets[r + 1]; k++) {
            const int64_t at = (*offsets)[a->index[k] + 1]++; /* row f ends up starting at offsets[f] */

            (*index)[at] = r;
            (*value)[at] = a->value[k];
        }
    return SG_OK;
}

/* ---- y'y and the triangular solve ---------------------------------------------------------------------------- */

typedef struct gram_work {
    const float *y;
    size_t rows, group; /* rows in a group */
    int l;
    double *sums;   /* (groups, l, l) */
    float *scratch; /* (groups, l, l) */
} gram_work;

static void gram_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const gram_work *w = ctx;
    const size_t square = (size_t)w->l * (size_t)w->l;

    for (size_t g = begin; g < end; g++) {
        const size_t last = (g + 1) * w->group < w->rows ? (g + 1) * w->group : w->rows;
        double *sum = w->sums + g * square;
        float *part = w->scratch + g * square;

        memset(sum, 0, square * sizeof *sum);
        for (size_t r = g * w->group; r < last; r += ROWS) {
            const float *y = w->y + r * (size_t)w->l;

            sg_gemm(NULL, SG_F32, true, false, w->l, w->l, (int)(last - r < ROWS ? last - r : ROWS), 1, y,
                    w->l, y, w->l, 0, part, w->l);
            for (size_t i = 0; i < square; i++)
                sum[i] += (double)part[i];
        }
    }
}

/* gram (l, l) = y'y for y (rows, l) */
static sg_status gram(double *out, const float *y, size_t rows, int l, sg_pool *pool, sg_error *err)
{
    const size_t square = (size_t)l * (size_t)l;
    size_t groups = ((size_t)8 << 20) / square + 1; /* 96 MB of sums at most, or one group */
    gram_work w = {.y = y, .rows = rows, .l = l};

    groups = groups > GROUPS_MAX ? GROUPS_MAX : groups;
    w.group = sg_pieces(sg_pieces(rows, groups), ROWS) * ROWS;
    groups = sg_pieces(rows, w.group);
    w.sums = sg_alloc_array(groups * square, sizeof *w.sums);
    w.scratch = sg_alloc_array(groups * square, sizeof *w.scratch);
    if (w.sums && w.scratch) {
        sg_parallel_for(pool, groups, 1, gram_body, &w);
        memcpy(out, w.sums, square * sizeof *out);
        for (size_t g = 1; g < groups; g++)
            for (size_t i = 0; i < square; i++)
                out[i] += w.sums[g * square + i];
    }
    const bool done = w.sums && w.scratch;
    sg_free(w.sums);
    sg_free(w.scratch);
    return done ? SG_OK : sg_fail_memory(err, "singular vectors");
}

/* g = c'c, c upper triangular, then inverse = c^-1 (upper). A pivot that rounding has eaten gives a zero column. */
static void invert_cholesky(double *g, float *inverse, double *column, int l)
{
    for (int i = 0; i < l; i++) { /* row i of c replaces row i of g */
        double *row = g + (size_t)i * l;
        const double before = row[i];

        for (int k = 0; k < i; k++) {
            const double *above = g + (size_t)k * l;

            for (int j = i; j < l; j++)
                row[j] -= above[i] * above[j];
        }
        const double pivot = row[i] > 1e-10 * before ? sqrt(row[i]) : 0;
        for (int j = i; j < l; j++)
            row[j] = pivot > 0 ? row[j] / pivot : 0;
    }
    memset(inverse, 0, (size_t)l * l * sizeof *inverse);
    for (int j = 0; j < l; j++) { /* c x = e_j, from the last unknown up */
        for (int i = j; i >= 0; i--) {
            double x = i == j;

            for (int k = i + 1; k <= j; k++)
                x -= g[(size_t)i * l + k] * column[k];
            column[i] = g[(size_t)i * l + i] > 0 && g[(size_t)j * l + j] > 0 ? x / g[(size_t)i * l + i] : 0;
            inverse[(size_t)i * l + j] = (float)column[i];
        }
    }
}

typedef struct workspace {
    double *gram;    /* (l, l) */
    double *column;  /* (l) */
    float *triangle; /* (l, l) */
    float *copy;     /* (n, l), in panels or not */
} workspace;

static sg_status orthonormalise(float *y, size_t rows, int l, int times, workspace *w, sg_pool *pool,
                                sg_error *err)
{
    for (int i = 0; i < times; i++) {
        const sg_status st = gram(w->gram, y, rows, l, pool, err);

        if (st)
            return st;
        invert_cholesky(w->gram, w->triangle, w->column, l);
        memcpy(w->copy, y, rows * (size_t)l * sizeof *y);
        sg_gemm(pool, SG_F32, false, false, (int)rows, l, l, 1, w->copy, l, w->triangle, l, 0, y, l);
    }
    return SG_OK;
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

typedef struct random_work {
    float *x;
    uint64_t seed;
} random_work;

/* Uniform numbers of either sign serve as well as normal ones here, and cost a tenth. */
static void random_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const random_work *w = ctx;

    for (size_t i = begin; i < end; i++)
        w->x[i] = 2 * sg_rng_float(w->seed, SG_RNG_SVD, i, 0) - 1;
}

/* right = b W / value from the eigenvectors of b'b; keeps at most dim columns */
static sg_status finish(sg_svd *out, const float *b, int l, workspace *w, sg_pool *pool, sg_error *err)
{
    double *value = w->column;
    sg_status st;

    if ((st = gram(w->gram, b, (size_t)out->features, l, pool, err)) ||
        (st = sg_eigen(w->gram, value, l, err)))
        return st;
    int dim = 0;
    while (dim < out->dim && value[dim] > 1e-6 * value[0] &&
           value[dim] > 1e-12) /* singular values over 1e-3 of the first */
        dim++;
    out->dim = dim;
    out->value = sg_alloc_array((size_t)dim, sizeof *out->value);
    out->right = sg_alloc_array((size_t)out->features * (size_t)dim, sizeof *out->right);
    if (!out->value || !out->right)
        return sg_fail_memory(err, "singular vectors");
    for (int k = 0; k < dim; k++) {
        out->value[k] = sqrt(value[k]);
        out->energy += value[k];
        for (int i = 0; i < l; i++)
            w->triangle[(size_t)i * dim + k] = (float)(w->gram[(size_t)k * l + i] / out->value[k]);
    }
    sg_gemm(pool, SG_F32, false, false, out->features, dim, l, 1, b, l, w->triangle, dim, 0, out->right, dim);
    return SG_OK;
}

/* The largest number of every column becomes positive: signs do not depend on the kind of CPU. most: (dim) scratch. */
static void settle_signs(sg_svd *s, float *most)
{
    memset(most, 0, (size_t)s->dim * sizeof *most);
    for (int f = 0; f < s->features; f++) {
        const float *row = s->right + (size_t)f * (size_t)s->dim;

        for (int k = 0; k < s->dim; k++)
            most[k] = fabsf(row[k]) > fabsf(most[k]) ? row[k] : most[k];
    }
    for (int k = 0; k < s->dim; k++)
        most[k] = most[k] < 0 ? -1 : 1;
    for (int f = 0; f < s->features; f++)
        for (int k = 0; k < s->dim; k++)
            s->right[(size_t)f * (size_t)s->dim + (size_t)k] *= most[k];
}

static sg_status tick(const sg_progress *p, int done, int total, sg_error *err)
{
    return sg_progress_tick(
        p,
        &(sg_progress_event){.stage = "embed", .unit = "passes", .done = done, .total = total, .loss = NAN},
        err);
}

/* q (rows->n, l) row-major and b (columns->n, l): in panels on the way, row-major at the end = A' Q */
static sg_status iterate(float *q, float *b, const sparse *rows, const sparse *columns, int l, int iterations,
                         workspace *w, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const size_t width = (size_t)l;

    multiply(pool, q, false, rows, b, columns->n, width);
    for (int i = 0;; i++) {
        const bool last = i == iterations;
        sg_status st;

        if ((st = tick(progress, i, iterations + 2, err)) ||
            (st = orthonormalise(q, rows->n, l, last ? 2 : 1, w, pool, err)))
            return st;
        pack(pool, w->copy, q, rows->n, width);
        multiply(pool, b, !last, columns, w->copy, rows->n, width);
        if (last)
            return SG_OK;
        multiply(pool, q, false, rows, b, columns->n, width);
    }
}

sg_status sg_svd_new(sg_svd *out, const sg_tfidf *a, int dim, int iterations, uint64_t seed, sg_pool *pool,
                     const sg_progress *progress, sg_error *err)
{
    const int least = a->n < a->features ? a->n : a->features, l = dim + EXTRA < least ? dim + EXTRA : least;
    const size_t n = (size_t)a->n, features = (size_t)a->features, square = (size_t)l * (size_t)l;
    const size_t wide = panels_of((size_t)l) * SG_PANEL;
    int64_t *offsets = NULL;
    int32_t *index = NULL;
    float *value = NULL, *q = NULL, *b = NULL;
    workspace w = {0};
    sg_status st;

    *out = (sg_svd){.dim = dim < l ? dim : l, .features = a->features};
    if ((st = transpose(&offsets, &index, &value, a, err)))
        goto done;
    q = sg_alloc_array(n * (size_t)l, sizeof *q);
    b = sg_alloc_array(features * wide, sizeof *b);
    w.copy = sg_alloc_array(n * wide, sizeof *w.copy);
    w.gram = sg_alloc_array(square, sizeof *w.gram);
    w.column = sg_alloc_array((size_t)l, sizeof *w.column);
    w.triangle = sg_alloc_array(square, sizeof *w.triangle);
    if (!q || !b || !w.copy || !w.gram || !w.column || !w.triangle) {
        st = sg_fail_memory(err, "singular vectors");
        goto done;
    }
    sg_parallel_for(pool, features * wide, 65536, random_body, &(random_work){b, seed});
    if ((st = iterate(q, b, &(sparse){n, a->offsets, a->index, a->value},
                      &(sparse){features, offsets, index, value}, l, iterations, &w, pool, progress, err)) ||
        (st = finish(out, b, l, &w, pool, err)))
        goto done;
    settle_signs(out, w.triangle);
    for (int64_t k = 0; k < a->offsets[a->n]; k++)
        out->total += (double)a->value[k] * (double)a->value[k];
done:
    sg_free(offsets);
    sg_free(index);
    sg_free(value);
    sg_free(q);
    sg_free(b);
    sg_free(w.copy);
    sg_free(w.gram);
    sg_free(w.column);
    sg_free(w.triangle);
    if (st)
        sg_svd_free(out);
    return st;
}

void sg_svd_free(sg_svd *s)
{
    sg_free(s->right);
    sg_free(s->value);
    *s = (sg_svd){0};
}

sg_status sg_svd_project(float *y, const sg_svd *s, const sg_tfidf *a, double power, sg_pool *pool,
                         sg_error *err)
{
    const sparse rows = {(size_t)a->n, a->offsets, a->index, a->value};
    const size_t dim = (size_t)s->dim, features = (size_t)s->features;
    float *scale = sg_alloc_array(dim, sizeof *scale);
    float *panels = sg_alloc_array(features * panels_of(dim), SG_PANEL * sizeof *panels);
    sg_status st = SG_OK;

    if (scale && panels) {
        for (size_t k = 0; k < dim; k++)
            scale[k] = (float)pow(s->value[k], power - 1);
        pack(pool, panels, s->right, features, dim);
        multiply(pool, y, false, &rows, panels, features, dim);
        for (size_t r = 0; r < rows.n; r++)
            for (size_t k = 0; k < dim; k++)
                y[r * dim + k] *= scale[k];
    } else {
        st = sg_fail_memory(err, "item vectors");
    }
    sg_free(scale);
    sg_free(panels);
    return st;
}
