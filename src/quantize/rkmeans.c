/* rkmeans.c - residual k-means: level l clusters what the levels before it left.     [Q4 rq-kmeans of GRID, 2025]
 *
 * r_0 = x;  c_l = argmin_k |r_{l-1} - e^l_k|^2;  r_l = r_{l-1} - e^l_{c_l};  x ~ sum of e^l_{c_l}
 * The first level splits the catalogue coarsely, the next ones refine. No network, one pass of k-means a level. The last
 * one may hand out its codes evenly instead (sinkhorn.c). */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "math/math.h"
#include "quantize/kmeans.h"
#include <string.h>

enum { PIECES = 64, COLUMNS = 32 };

typedef struct summing {
    const float *x;
    size_t n, dim;
    double sums[PIECES];
} summing;

static void square_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    summing *s = ctx;

    for (size_t i = begin; i < end; i++)
        s->sums[piece] += sg_total_sq(s->x + i * s->dim, s->dim);
}

/* Sums about the first row, which is near enough to the mean that nothing cancels. */
static inline double vary_block(const float *x, size_t n, size_t dim, size_t columns)
{
    double sum[COLUMNS] = {0}, square[COLUMNS] = {0}, all = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < columns; d++) {
            const double y = (double)x[i * dim + d] - (double)x[d];

            sum[d] += y;
            square[d] += y * y;
        }
    for (size_t d = 0; n && d < columns; d++)
        all += square[d] - sum[d] * sum[d] / (double)n;
    return all;
}

static void vary_columns(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    summing *s = ctx;

    for (; begin + COLUMNS <= end;
         begin += COLUMNS) /* a width that is known makes it a loop over registers */
        s->sums[piece] += vary_block(s->x + begin, s->n, s->dim, COLUMNS);
    if (begin < end)
        s->sums[piece] += vary_block(s->x + begin, s->n, s->dim, end - begin);
}

static double sum_pieces(const float *x, size_t n, size_t dim, size_t count, size_t least, sg_body *body,
                         sg_pool *pool)
{
    summing s = {.x = x, .n = n, .dim = dim};
    const size_t grain = (count + PIECES - 1) / PIECES;
    double sum = 0;

    sg_parallel_for(pool, count, grain > least ? grain : least, body, &s);
    for (int p = 0; p < PIECES; p++)
        sum += s.sums[p];
    return sum;
}

double sg_energy(const float *x, size_t n, size_t dim, sg_pool *pool)
{
    return sum_pieces(x, n, dim, n, 1, square_rows, pool);
}

double sg_variance(const float *x, size_t n, size_t dim, sg_pool *pool)
{
    return sum_pieces(x, n, dim, dim, COLUMNS, vary_columns, pool);
}

typedef struct subtracting {
    float *left;
    const float *from, *centre;
    const int32_t *code;
    size_t dim;
    double sums[PIECES];
} subtracting;

static void subtract_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    subtracting *s = ctx;

    for (size_t i = begin; i < end; i++) {
        float *left = s->left + i * s->dim;

        if (s->from != s->left)
            memcpy(left, s->from + i * s->dim, s->dim * sizeof *left);
        sg_axpy(left, -1, s->centre + (size_t)s->code[i] * s->dim, s->dim);
        s->sums[piece] += sg_total_sq(left, s->dim);
    }
}

/* left = from less the centres; they may be the same. Returns the energy of what is left. */
static double subtract(float *left, const float *from, const int32_t *code, size_t n, size_t dim,
                       const float *centre, sg_pool *pool)
{
    subtracting s = {.left = left, .from = from, .centre = centre, .code = code, .dim = dim};
    double sum = 0;

    sg_parallel_for(pool, n, n > PIECES ? (n + PIECES - 1) / PIECES : 1, subtract_body, &s);
    for (int p = 0; p < PIECES; p++)
        sum += s.sums[p];
    return sum;
}

sg_status sg_residual_codes(int32_t *codes, double *error, float *z, size_t n, int dim, const float *book,
                            int levels, int book_codes, sg_pool *pool, sg_error *err)
{
    int32_t *level = sg_alloc_array(n, sizeof *level);
    sg_status st = level ? SG_OK : sg_fail_memory(err, "codes");

    for (int l = 0; st == SG_OK && l < levels; l++) {
        const float *centre = book + (size_t)l * (size_t)book_codes * (size_t)dim;

        if ((st = sg_assign(level, NULL, z, n, dim, centre, book_codes, pool, err)))
            break;
        const double energy = subtract(z, z, level, n, (size_t)dim, centre, pool);

        for (size_t i = 0; i < n; i++)
            codes[i * (size_t)levels + (size_t)l] = level[i];
        if (error)
            error[l] = n ? energy / (double)n : 0;
    }
    sg_free(level);
    return st;
}

typedef struct levels_work {
    float *left;      /* (n, dim): what is left of all items, once a level has taken its part */
    const float *now; /* the same, at first the vectors themselves */
    float *fit;       /* (n_fit, dim): what is left of those that teach; NULL: all do */
    int32_t *code, *fit_code;
} levels_work;

static bool work_init(levels_work *w, const sg_quantize_data *d)
{
    const size_t dim = (size_t)d->dim;

    w->left = sg_alloc_array((size_t)d->n * dim, sizeof *w->left);
    w->code = sg_alloc_array((size_t)d->n, sizeof *w->code);
    if (!w->left || !w->code)
        return false;
    w->now = d->x;
    if (!d->fit)
        return true;
    w->fit = sg_alloc_array((size_t)d->n_fit * dim, sizeof *w->fit);
    w->fit_code = sg_alloc_array((size_t)d->n_fit, sizeof *w->fit_code);
    if (!w->fit || !w->fit_code)
        return false;
    for (size_t i = 0; i < d->n_fit; i++)
        memcpy(w->fit + i * dim, d->x + d->fit[i] * dim, dim * sizeof *w->fit);
    return true;
}

/* Items that teach keep the codes they taught with; the others have the nearest. */
static void keep_fitted(levels_work *w, const sg_quantize_data *d)
{
    for (size_t i = 0; i < d->n_fit; i++)
        w->code[d->fit[i]] = w->fit_code[i];
}

static sg_status fit_level(levels_work *w, sg_kmeans_stats *stats, const sg_quantize_data *d, float *centre,
                           const sg_kmeans_spec *spec, sg_pool *pool, const sg_progress *progress,
                           sg_error *err)
{
    sg_status st;

    if (!d->fit)
        return sg_kmeans(centre, w->code, stats, w->now, (size_t)d->n, d->dim, spec, pool, progress, err);
    if ((st = sg_kmeans(centre, w->fit_code, stats, w->fit, d->n_fit, d->dim, spec, pool, progress, err)) ||
        (st = sg_assign(w->code, NULL, w->now, (size_t)d->n, d->dim, centre, spec->codes, pool, err)))
        return st;
    if (spec->balanced)
        keep_fitted(w, d);
    subtract(w->fit, w->fit, w->fit_code, d->n_fit, (size_t)d->dim, centre, pool);
    return SG_OK;
}

/* The codes of the last level, evenly among the items that teach. */
static sg_status even_out(levels_work *w, const sg_quantize_data *d, const float *centre,
                          const sg_tokenize_config *c, const sg_progress *progress, sg_error *err)
{
    const size_t dim = (size_t)d->dim;
    double worst;
    sg_status st;

    for (size_t i = 0; d->fit && i < d->n_fit; i++)
        memcpy(w->fit + i * dim, w->now + d->fit[i] * dim, dim * sizeof *w->fit);
    if ((st = d->fit ? sg_sinkhorn(w->fit_code, &worst, w->fit, d->n_fit, d->dim, centre, c->codes,
                                   c->epsilon, err)
                     : sg_sinkhorn(w->code, &worst, w->now, (size_t)d->n, d->dim, centre, c->codes,
                                   c->epsilon, err)))
        return st;
    if (d->fit)
        keep_fitted(w, d);
    return sg_progress_say(progress, err, "tokenize",
                           worst > 0.01 ? "sinkhorn: codes are even, the plan only within %.2g %% (a larger "
                                          "epsilon would move fewer items)"
                                        : "sinkhorn: codes are even, the plan within %.2g %%",
                           100 * worst);
}

static int used(const int32_t *code, int32_t n, uint8_t *seen, int32_t codes)
{
    int count = 0;

    memset(seen, 0, (size_t)codes);
    for (int32_t i = 0; i < n; i++) {
        count += !seen[code[i]];
        seen[code[i]] = 1;
    }
    return count;
}

sg_status sg_rkmeans(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                     const sg_progress *progress, sg_error *err)
{
    const size_t each = (size_t)c->codes * (size_t)d->dim, n = (size_t)d->n;
    uint8_t *seen = sg_alloc_array((size_t)c->codes, 1);
    levels_work w = {0};
    double total;
    sg_status st = SG_OK;

    out->book = sg_alloc_array((size_t)c->levels * each, sizeof *out->book);
    if (!seen || !out->book || !work_init(&w, d)) {
        st = sg_fail_memory(err, "residual k-means");
        goto done;
    }
    out->book_levels = c->levels;
    out->book_codes = c->codes;
    out->book_dim = d->dim;
    total = sg_variance(d->x, n, (size_t)d->dim, pool);
    for (int l = 0; l < c->levels; l++) {
        const sg_kmeans_spec spec = {.codes = c->codes,
                                     .iterations = c->iterations,
                                     .restarts = c->restarts,
                                     .random_init = !c->kmeans_init,
                                     .balanced = c->balanced,
                                     .sample = c->sample,
                                     .seed = (uint64_t)c->seed * 1000 + (uint64_t)l};
        float *centre = out->book + (size_t)l * each;
        sg_kmeans_stats stats;

        if ((st = fit_level(&w, &stats, d, centre, &spec, pool, progress, err)))
            goto done;
        if (l + 1 == c->levels && strcmp(c->last, "sinkhorn") == 0 &&
            (st = even_out(&w, d, centre, c, progress, err)))
            goto done;
        for (size_t i = 0; i < n; i++)
            out->codes[i * (size_t)out->levels + (size_t)l] = w.code[i];
        const double energy = subtract(w.left, w.now, w.code, n, (size_t)d->dim, centre, pool);

        w.now = w.left;
        out->error[l] = total > 0 ? energy / total : 0;
        if ((st = sg_progress_say(progress, err, "tokenize",
                                  "level %d: %d of %d codes used, %.1f %% of the variance left, %d "
                                  "iterations",
                                  l + 1, used(w.code, d->n, seen, c->codes), c->codes, 100 * out->error[l],
                                  stats.iterations)))
            goto done;
    }
    out->reconstruction = out->error[c->levels - 1];
done:
    sg_free(seen);
    sg_free(w.left);
    sg_free(w.fit);
    sg_free(w.code);
    sg_free(w.fit_code);
    return st;
}
