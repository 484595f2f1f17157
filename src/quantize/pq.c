/* pq.c - product quantisation: a vector is cut into as many parts as levels, and each part has its own k-means. opq turns
 * the space first, so that parts share the variance.                 [Jegou et al. 2011; Ge et al. 2013, non-parametric]
 *
 *   opq:  repeat  R <- argmax over rotations of tr(R^T (X^T X')),  X' = decoded codes;  then nearest centres, then means
 * Each of these steps lowers |X R - X'|^2 or leaves it, and it begins with R = I and the centres of pq, so opq is never
 * worse than pq on what it was fitted on.
 *
 * The rotation is the polar factor of M = X^T X' + d I, by Y <- (3 Y - Y Y^T Y) / 2 from M / |M|. d, a millionth of the
 * trace, keeps directions that no code spans from mattering; it cannot make things worse, for tr R is largest at I. */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "math/math.h"
#include "quantize/kmeans.h"

#include <math.h>
#include <string.h>

enum { POLAR_STEPS = 60 };

typedef struct parts {
    size_t n, dim, levels, codes, part;
    float *slice;      /* owned: (n, part) */
    float *decoded;    /* owned: (n, dim) */
    int32_t *code;     /* owned: (n) */
    uint32_t *members; /* owned: (codes) */
    double *sum;       /* owned: (codes, part) */
} parts;

static void cut(const parts *p, const float *x, size_t level)
{
    for (size_t i = 0; i < p->n; i++)
        memcpy(p->slice + i * p->part, x + i * p->dim + level * p->part, p->part * sizeof *x);
}

/* Notes the codes of one level and what they decode to. */
static void put_level(parts *p, sg_codes *out, size_t level)
{
    const float *book = out->book + level * p->codes * p->part;

    for (size_t i = 0; i < p->n; i++) {
        out->codes[i * p->levels + level] = p->code[i];
        memcpy(p->decoded + i * p->dim + level * p->part, book + (size_t)p->code[i] * p->part,
               p->part * sizeof *book);
    }
}

static double lost(const parts *p, const float *x)
{
    double sum = 0;

    for (size_t i = 0; i < p->n; i++)
        sum += (double)sg_dist2(p->decoded + i * p->dim, x + i * p->dim, p->dim);
    return sum;
}

/* Rows that teach, of x (all rows). */
static sg_status pick(float **out, const sg_quantize_data *d, const float *x, sg_error *err)
{
    const size_t dim = (size_t)d->dim;

    if (!(*out = sg_alloc_array(d->n_fit, dim * sizeof **out)))
        return sg_fail_memory(err, "product quantiser");
    for (size_t i = 0; i < d->n_fit; i++)
        memcpy(*out + i * dim, x + d->fit[i] * dim, dim * sizeof **out);
    return SG_OK;
}

static bool parts_init(parts *p)
{
    p->slice = sg_alloc_array(p->n, p->part * sizeof *p->slice);
    p->decoded = sg_alloc_array(p->n, p->dim * sizeof *p->decoded);
    p->code = sg_alloc_array(p->n, sizeof *p->code);
    p->members = sg_alloc_array(p->codes, sizeof *p->members);
    p->sum = sg_alloc_array(p->codes * p->part, sizeof *p->sum);
    return p->slice && p->decoded && p->code && p->members && p->sum;
}

static void parts_fini(parts *p)
{
    sg_free(p->slice);
    sg_free(p->decoded);
    sg_free(p->code);
    sg_free(p->members);
    sg_free(p->sum);
}

/* The nearest centres of x; move: then the centres go to the means of what they got. */
static sg_status assign_parts(parts *p, sg_codes *out, const float *x, bool move, sg_pool *pool,
                              sg_error *err)
{
    for (size_t l = 0; l < p->levels; l++) {
        float *book = out->book + l * p->codes * p->part;
        sg_status st;

        cut(p, x, l);
        if ((st = sg_assign(p->code, NULL, p->slice, p->n, (int)p->part, book, (int)p->codes, pool, err)))
            return st;
        memset(p->members, 0, p->codes * sizeof *p->members);
        memset(p->sum, 0, p->codes * p->part * sizeof *p->sum);
        for (size_t i = 0; move && i < p->n; i++) {
            p->members[p->code[i]]++;
            for (size_t k = 0; k < p->part; k++)
                p->sum[(size_t)p->code[i] * p->part + k] += (double)p->slice[i * p->part + k];
        }
        for (size_t k = 0; move && k < p->codes * p->part; k++)
            if (p->members[k / p->part])
                book[k] = (float)(p->sum[k] / p->members[k / p->part]);
        put_level(p, out, l);
    }
    return SG_OK;
}

/* y (dim, dim) to its polar factor; square, next (dim, dim) scratch. */
static void polar(float *y, float *square, float *next, size_t dim)
{
    const int d = (int)dim;
    double norm = sqrt(sg_energy(y, dim, dim, NULL));

    for (size_t i = 0; i < dim * dim; i++)
        y[i] = (float)(y[i] / norm);
    for (int step = 0; step < POLAR_STEPS; step++) {
        double off = 0;

        sg_gemm(NULL, SG_F32, false, true, d, d, d, 1, y, d, y, d, 0, square, d);
        sg_gemm(NULL, SG_F32, false, false, d, d, d, -0.5f, square, d, y, d, 0, next, d);
        for (size_t i = 0; i < dim * dim; i++) {
            const double e = (double)square[i] - (i / dim == i % dim);

            off += e * e;
            y[i] = 1.5f * y[i] + next[i];
        }
        if (off < 1e-10 * (double)dim) /* f32 */
            break;
    }
}

/* turned = x R, R (dim, dim) moves on by one round. work: (4, dim, dim) */
static void turn(const parts *p, float *rotation, float *turned, const float *x, float *work)
{
    const size_t square = p->dim * p->dim;
    const int dim = (int)p->dim;
    float *m = work, *next = work + square;
    double trace = 0;

    sg_gemm(NULL, SG_F32, true, false, dim, dim, (int)p->n, 1, turned, dim, p->decoded, dim, 0, m, dim);
    for (size_t i = 0; i < p->dim; i++)
        trace += fabs((double)m[i * p->dim + i]);
    if (trace == 0)
        return;
    for (size_t i = 0; i < p->dim; i++)
        m[i * p->dim + i] += (float)(1e-6 * trace);
    polar(m, work + 2 * square, work + 3 * square, p->dim);
    sg_gemm(NULL, SG_F32, false, false, dim, dim, dim, 1, rotation, dim, m, dim, 0, next, dim);
    memcpy(rotation, next, square * sizeof *rotation);
    sg_gemm(NULL, SG_F32, false, false, (int)p->n, dim, dim, 1, x, dim, rotation, dim, 0, turned, dim);
}

/* From the centres of pq; turned (n, dim) begins as x. */
static sg_status learn_rotation(parts *p, sg_codes *out, float *turned, const float *x,
                                const sg_tokenize_config *c, sg_pool *pool, const sg_progress *progress,
                                sg_error *err)
{
    const size_t square = p->dim * p->dim;
    float *work = sg_alloc_array(square, 4 * sizeof *work);
    sg_status st = work ? SG_OK : sg_fail_memory(err, "rotation");

    for (int i = 0; st == SG_OK && i < c->rotations; i++) {
        turn(p, out->rotation, turned, x, work);
        if ((st = assign_parts(p, out, turned, true, pool, err)) == SG_OK)
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "tokenize",
                                                       .unit = "rotations",
                                                       .done = i + 1,
                                                       .total = c->rotations,
                                                       .loss = lost(p, turned) / (double)p->n},
                                  err);
    }
    sg_free(work);
    return st;
}

static sg_status fit_parts(parts *p, sg_codes *out, const float *x, const sg_tokenize_config *c,
                           sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    for (size_t l = 0; l < p->levels; l++) {
        const sg_kmeans_spec spec = {.codes = c->codes,
                                     .iterations = c->iterations,
                                     .restarts = c->restarts,
                                     .random_init = !c->kmeans_init,
                                     .balanced = c->balanced,
                                     .sample = c->sample,
                                     .seed = (uint64_t)c->seed * 1000 + (uint64_t)l};
        sg_kmeans_stats stats;
        sg_status st;

        cut(p, x, l);
        if ((st = sg_kmeans(out->book + l * p->codes * p->part, p->code, &stats, p->slice, p->n, (int)p->part,
                            &spec, pool, progress, err)))
            return st;
        put_level(p, out, l);
    }
    return SG_OK;
}

static sg_status quantise(sg_codes *out, bool rotate, const sg_quantize_data *d, const sg_tokenize_config *c,
                          sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const size_t dim = (size_t)d->dim, levels = (size_t)c->levels, n = (size_t)d->n;
    parts fit = {.n = d->fit ? d->n_fit : n,
                 .dim = dim,
                 .levels = levels,
                 .codes = (size_t)c->codes,
                 .part = dim / levels};
    parts all = fit;
    sg_codes learnt = {.codes = NULL};
    float *x = NULL, *turned = NULL;
    const double total = sg_variance(d->x, n, dim, pool);
    sg_status st;

    all.n = n;
    if (dim % levels)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected levels that divide the %d numbers of a vector, found %d", c->method,
                       d->dim, c->levels);
    out->product = true;
    out->book_levels = c->levels;
    out->book_codes = c->codes;
    out->book_dim = (int)fit.part;
    out->book = sg_alloc_array(levels * fit.codes, fit.part * sizeof *out->book);
    out->rotation = rotate ? sg_alloc_zero(dim * dim, sizeof *out->rotation) : NULL;
    out->latent = sg_alloc_array(n, dim * sizeof *out->latent);
    if (!out->book || !out->latent || (rotate && !out->rotation)) {
        st = sg_fail_memory(err, "product quantiser");
        goto done;
    }
    if (d->fit && (st = pick(&x, d, d->x, err)))
        goto done;
    /* the fit writes its codes where they do not matter when only some rows teach */
    learnt = *out;
    learnt.codes = d->fit ? sg_alloc_array(fit.n, levels * sizeof *learnt.codes) : out->codes;
    turned = sg_alloc_array(fit.n, dim * sizeof *turned);
    if (!learnt.codes || !turned || !parts_init(&fit) || (d->fit && !parts_init(&all))) {
        st = sg_fail_memory(err, "product quantiser");
        goto done;
    }
    memcpy(turned, d->fit ? x : d->x, fit.n * dim * sizeof *turned);
    if ((st = fit_parts(&fit, &learnt, turned, c, pool, progress, err)))
        goto done;
    for (size_t i = 0; rotate && i < dim; i++)
        out->rotation[i * dim + i] = 1;
    if (rotate && (st = learn_rotation(&fit, &learnt, turned, d->fit ? x : d->x, c, pool, progress, err)))
        goto done;
    if (rotate)
        sg_gemm(NULL, SG_F32, false, false, (int)n, (int)dim, (int)dim, 1, d->x, (int)dim, out->rotation,
                (int)dim, 0, out->latent, (int)dim);
    else
        memcpy(out->latent, d->x, n * dim * sizeof *out->latent);
    if (d->fit || rotate) { /* to the centres as they are now */
        st = assign_parts(d->fit ? &all : &fit, out, out->latent, false, pool, err);
        if (st)
            goto done;
    }
    for (size_t i = 0; d->fit && c->balanced && i < fit.n;
         i++) { /* those that teach keep the codes they taught with */
        memcpy(out->codes + d->fit[i] * levels, learnt.codes + i * levels, levels * sizeof *out->codes);
        memcpy(all.decoded + d->fit[i] * dim, fit.decoded + i * dim, dim * sizeof *all.decoded);
    }
    for (size_t l = 0; l < levels;
         l++) { /* after l + 1 parts the others are still unknown: their variance is left */
        const parts *p = d->fit ? &all : &fit;
        double left = 0;

        for (size_t k = 0; k < levels; k++) {
            cut(p, out->latent, k);
            if (k > l)
                left += sg_variance(p->slice, n, p->part, pool);
            for (size_t i = 0; k <= l && i < n; i++)
                left += (double)sg_dist2(p->slice + i * p->part, p->decoded + i * dim + k * p->part, p->part);
        }
        out->error[l] = total > 0 ? left / total : 0;
    }
    out->reconstruction = out->error[levels - 1];
done:
    if (learnt.codes != out->codes)
        sg_free(learnt.codes);
    sg_free(x);
    sg_free(turned);
    parts_fini(&fit);
    if (d->fit)
        parts_fini(&all);
    return st;
}

sg_status sg_product_codes(int32_t *codes, const float *z, size_t n, int book_dim, const float *book,
                           int levels, int book_codes, sg_pool *pool, sg_error *err)
{
    const size_t part = (size_t)book_dim, n_levels = (size_t)levels;
    float *slice = sg_alloc_array(n, part * sizeof *slice);
    int32_t *code = sg_alloc_array(n, sizeof *code);
    sg_status st = slice && code ? SG_OK : sg_fail_memory(err, "codes");

    for (size_t l = 0; !st && l < n_levels; l++) {
        for (size_t i = 0; i < n; i++)
            memcpy(slice + i * part, z + (i * n_levels + l) * part, part * sizeof *slice);
        if ((st = sg_assign(code, NULL, slice, n, book_dim, book + l * (size_t)book_codes * part, book_codes,
                            pool, err)))
            break;
        for (size_t i = 0; i < n; i++)
            codes[i * n_levels + l] = code[i];
    }
    sg_free(slice);
    sg_free(code);
    return st;
}

sg_status sg_pq(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                const sg_progress *progress, sg_error *err)
{
    return quantise(out, false, d, c, pool, progress, err);
}

sg_status sg_opq(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                 const sg_progress *progress, sg_error *err)
{
    return quantise(out, true, d, c, pool, progress, err);
}
