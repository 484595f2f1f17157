/* kmeans.c - Lloyd's algorithm after k-means++ seeding.            [Lloyd 1982; Arthur & Vassilvitskii 2007]
 *
 * Vectors are first moved so that their mean is 0, which keeps f32 exact where it matters. Centres are means over their members
 * in order, summed in double. Each tile and each centre is one piece of work with a result of its own, so threads do not
 * change a bit. A centre without members moves to the vector that is farthest from its own centre.
 *
 * With many vectors a centre, all iterations but the last see a sample of them: centres that settled on it hardly move any more
 * when they meet the rest, and the last iteration makes them means over all. */
#include "quantize/kmeans.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/kernels.h"
#include "quantize/assign.h"

#include <math.h>
#include <string.h>

enum {
    TILE = 256,   /* vectors a piece of work */
    COLUMNS = 32, /* of a piece of a mean */
    SEEDS_LEAST =
        16384, /* k-means++ looks at this many vectors, or at SEEDS_EACH for each centre, at most; of a sample at the latter */
    SEEDS_EACH = 16,
    SEEDS_CODES = 4096, /* with more centres than this they start on random vectors: k-means++ is quadratic */
    RUN = 64,           /* members summed in f32 before they go into the double sum */
    LINE = 16,          /* floats of a cache line */
};

/* ---- one run -------------------------------------------------------------------------------------------------- */

typedef struct run {
    const float *x; /* (n, dim), mean 0 */
    float *x_norm;  /* (n) */
    size_t n, dim, codes;
    float *centre;         /* (codes, dim) */
    int32_t *code;         /* (n) */
    float *distance;       /* (n) */
    sg_assigner *assigner; /* owned */
    double *sums;          /* (threads, dim) */
    size_t *start;         /* (codes + 1): members of centre k are member[start[k]] .. member[start[k + 1]] */
    uint32_t *member;      /* (n), ascending inside a centre */
    size_t seeds;          /* vectors that k-means++ looks at, at least */
    uint64_t seed;
    sg_pool *pool;
} run;

static void assign_all(run *r)
{
    sg_assigner_run(r->assigner, r->code, r->distance, r->x, r->x_norm, r->n, r->centre, r->pool);
}

static void group_members(run *r)
{
    memset(r->start, 0, (r->codes + 1) * sizeof *r->start);
    for (size_t i = 0; i < r->n; i++)
        r->start[r->code[i] + 1]++;
    for (size_t k = 0; k < r->codes; k++)
        r->start[k + 1] += r->start[k];
    for (size_t i = 0; i < r->n; i++)
        r->member[r->start[r->code[i]]++] = (uint32_t)i; /* start[k] becomes the end of k ... */
    for (size_t k = r->codes; k > 0; k--)
        r->start[k] = r->start[k - 1]; /* ... and is put back */
    r->start[0] = 0;
}

static void mean_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_kernels *kernels = sg_kernels_best();
    const run *r = ctx;
    double *sum = r->sums + (size_t)thread * r->dim;

    for (size_t k = begin; k < end; k++) {
        const size_t first = r->start[k], last = r->start[k + 1];
        float *centre = r->centre + k * r->dim;

        if (first == last)
            continue;
        memset(sum, 0, r->dim * sizeof *sum);
        for (size_t i = first; i < last; i += RUN) {
            memcpy(centre, r->x + r->member[i] * r->dim, r->dim * sizeof *centre);
            for (size_t j = i + 1; j < last && j < i + RUN; j++) {
                for (size_t d = 0; j + 1 < last && d < r->dim; d += LINE)
                    __builtin_prefetch(r->x + r->member[j + 1] * r->dim + d);
                kernels->add(centre, centre, r->x + r->member[j] * r->dim, r->dim);
            }
            for (size_t d = 0; d < r->dim; d++)
                sum[d] += (double)centre[d];
        }
        for (size_t d = 0; d < r->dim; d++)
            centre[d] = (float)(sum[d] / (double)(last - first));
    }
}

/* Centres without members take, one after the other, the vector that is farthest from its centre; false: none is left. */
static bool fill_empty(run *r, int *moved)
{
    bool any = false;

    for (size_t k = 0; k < r->codes; k++) {
        size_t far = 0;

        if (r->start[k] != r->start[k + 1])
            continue;
        for (size_t i = 1; i < r->n; i++)
            if (r->distance[i] > r->distance[far])
                far = i;
        /* |x|^2 carries a rounding error of its own size times 1e-7: less than that is no distance */
        if (r->distance[far] <= 1e-5f * r->x_norm[far])
            return any;
        memcpy(r->centre + k * r->dim, r->x + far * r->dim, r->dim * sizeof *r->centre);
        r->code[far] = (int32_t)k;
        r->distance[far] = 0;
        ++*moved;
        any = true;
    }
    return any;
}

static double objective(const run *r)
{
    double sum = 0;

    for (size_t i = 0; i < r->n; i++)
        sum += (double)r->distance[i];
    return sum / (double)r->n;
}

/* ---- where centres start -------------------------------------------------------------------------------------- */

typedef struct seeding {
    const run *r;
    const uint32_t *sample; /* (m) vectors */
    const float *last;      /* newest centre */
    float *distance;        /* (m) to the nearest centre so far */
    double *sums;           /* (pieces): of distances */
} seeding;

static void seed_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_kernels *kernels = sg_kernels_best();
    const seeding *s = ctx;
    double sum = 0;

    for (size_t i = begin; i < end; i++) {
        const float d = kernels->dist2(s->r->x + s->sample[i] * s->r->dim, s->last, s->r->dim);

        s->distance[i] = d < s->distance[i] ? d : s->distance[i];
        sum += (double)s->distance[i];
    }
    s->sums[piece] = sum;
}

/* Number of the sample in which a share u of all distances ends. */
static size_t draw(const seeding *s, size_t m, double u)
{
    const size_t pieces = sg_pieces(m, TILE);
    double total = 0, sum = 0;
    size_t p = 0, i;

    for (size_t k = 0; k < pieces; k++)
        total += s->sums[k];
    for (; p + 1 < pieces && sum + s->sums[p] <= u * total; p++)
        sum += s->sums[p];
    for (i = p * TILE; i + 1 < m && i + 1 < (p + 1) * TILE; i++) {
        sum += (double)s->distance[i];
        if (sum > u * total)
            break;
    }
    return i;
}

static sg_status seed_centres(run *r, bool random_init, sg_error *err)
{
    size_t m = r->codes * SEEDS_EACH > r->seeds ? r->codes * SEEDS_EACH : r->seeds;
    uint32_t *sample = sg_alloc_array(r->n, sizeof *sample);
    const bool plain = random_init || r->codes > SEEDS_CODES;

    m = m < r->n ? m : r->n;
    seeding s = {.r = r,
                 .sample = sample,
                 .distance = sg_alloc_array(m, sizeof(float)),
                 .sums = sg_alloc_array(sg_pieces(m, TILE), sizeof(double))};
    if (!sample || !s.distance || !s.sums) {
        sg_free(sample);
        sg_free(s.distance);
        sg_free(s.sums);
        return sg_fail_memory(err, "k-means seeds");
    }
    sg_rng_permutation(sample, (uint32_t)r->n, r->seed, SG_RNG_KMEANS, 0);
    for (size_t i = 0; i < m; i++)
        s.distance[i] = INFINITY;
    for (size_t k = 0; k < r->codes; k++) {
        const double u = sg_rng_double(r->seed, SG_RNG_KMEANS, 1, k);
        const size_t at = plain || k == 0 ? sample[k % r->n] : sample[draw(&s, m, u)];
        float *centre = r->centre + k * r->dim;

        memcpy(centre, r->x + at * r->dim, r->dim * sizeof *centre);
        s.last = centre;
        if (!plain)
            sg_parallel_for(r->pool, m, TILE, seed_body, &s);
    }
    sg_free(sample);
    sg_free(s.distance);
    sg_free(s.sums);
    return SG_OK;
}

/* ---- balanced assignment -------------------------------------------------------------------------------------- */

typedef struct near {
    float distance;
    uint32_t vector;
} near;

static bool nearer(near a, near b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.vector < b.vector);
}

/* The `take` nearest come first, in any order: quickselect about the median of three. */
static void select_nearest(near *list, size_t n, size_t take)
{
    size_t begin = 0, end = n;

    while (end - begin > 1) {
        const near a = list[begin], b = list[begin + (end - begin) / 2], c = list[end - 1];
        const near pivot = nearer(a, b) ? (nearer(b, c)   ? b
                                           : nearer(a, c) ? c
                                                          : a)
                                        : (nearer(a, c)   ? a
                                           : nearer(b, c) ? c
                                                          : b);
        size_t i = begin, j = end - 1;

        for (;;) {
            while (nearer(list[i], pivot))
                i++;
            while (nearer(pivot, list[j]))
                j--;
            if (i >= j)
                break;
            const near swap = list[i];
            list[i++] = list[j];
            list[j--] = swap;
        }
        /* all are different, so i stands on the first that is not nearer than the pivot */
        if (take <= i)
            end = i;
        else
            begin = i == begin ? i + 1 : i;
    }
}

typedef struct nearing {
    const run *r;
    const float *centre;
    const uint32_t *open;
    near *list;
} nearing;

static void near_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const nearing *w = ctx;

    for (size_t i = begin; i < end; i++)
        w->list[i] = (near){sg_kernels_best()->dist2(w->r->x + w->open[i] * w->r->dim, w->centre, w->r->dim),
                            w->open[i]};
}

/* Centres in random order each take their nearest vectors that are still free, n / codes of them.   [OneRec 2025, alg. 1] */
static sg_status assign_balanced(run *r, uint64_t iteration, sg_error *err)
{
    uint32_t *order = sg_alloc_array(r->codes, sizeof *order), *open = sg_alloc_array(r->n, sizeof *open);
    near *list = sg_alloc_array(r->n, sizeof *list);
    size_t n_open = r->n;

    if (!order || !open || !list) {
        sg_free(order);
        sg_free(open);
        sg_free(list);
        return sg_fail_memory(err, "balanced k-means");
    }
    sg_rng_permutation(order, (uint32_t)r->codes, r->seed, SG_RNG_KMEANS, 2 + iteration);
    for (size_t i = 0; i < r->n; i++)
        open[i] = (uint32_t)i;
    for (size_t k = 0; k < r->codes; k++) {
        const size_t take = r->n / r->codes + (k < r->n % r->codes);

        sg_parallel_for(r->pool, n_open, 1024, near_body,
                        &(nearing){r, r->centre + order[k] * r->dim, open, list});
        select_nearest(list, n_open, take);
        for (size_t i = 0; i < take; i++) {
            r->code[list[i].vector] = (int32_t)order[k];
            r->distance[list[i].vector] = list[i].distance;
        }
        for (size_t i = take; i < n_open; i++)
            open[i - take] = list[i].vector;
        n_open -= take;
    }
    sg_free(order);
    sg_free(open);
    sg_free(list);
    return SG_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

static sg_status tick(const run *r, const sg_progress *progress, int done, int total, sg_error *err)
{
    return sg_progress_tick(progress,
                            &(sg_progress_event){.stage = "tokenize",
                                                 .unit = "iterations",
                                                 .done = done,
                                                 .total = total,
                                                 .loss = done ? objective(r) : NAN},
                            err);
}

/* From the centres that are there. */
static sg_status lloyd(run *r, int32_t *before, const sg_kmeans_spec *spec, sg_kmeans_stats *stats,
                       const sg_progress *progress, sg_error *err)
{
    sg_status st;

    *stats = (sg_kmeans_stats){0};
    memset(before, -1, r->n * sizeof *before);
    for (int i = 0; i < spec->iterations; i++) {
        if ((st = tick(r, progress, i, spec->iterations, err)))
            return st;
        stats->iterations = i + 1;
        if (spec->balanced && (st = assign_balanced(r, (uint64_t)i, err)))
            return st;
        if (!spec->balanced)
            assign_all(r);
        group_members(r);
        if (!spec->balanced && fill_empty(r, &stats->moved))
            group_members(r);
        if (memcmp(before, r->code, r->n * sizeof *before) == 0) {
            stats->objective = objective(r);
            return SG_OK;
        }
        memcpy(before, r->code, r->n * sizeof *before);
        sg_parallel_for(r->pool, r->codes, 1, mean_body, r);
    }
    if (!spec->balanced)
        assign_all(r); /* to the centres as they are now */
    stats->objective = objective(r);
    return SG_OK;
}

static sg_status run_init(run *r, const float *x, size_t n, int dim, int codes, sg_pool *pool,
                          int32_t **before, sg_error *err)
{
    *r = (run){.x = x, .n = n, .dim = (size_t)dim, .codes = (size_t)codes, .pool = pool};
    r->x_norm = sg_alloc_array(r->n, sizeof *r->x_norm);
    r->centre = sg_alloc_array(r->codes * r->dim, sizeof *r->centre);
    r->code = sg_alloc_array(r->n, sizeof *r->code);
    r->distance = sg_alloc_array(r->n, sizeof *r->distance);
    r->sums = sg_alloc_array((size_t)sg_pool_threads(pool) * r->dim, sizeof *r->sums);
    r->start = sg_alloc_array(r->codes + 1, sizeof *r->start);
    r->member = sg_alloc_array(r->n, sizeof *r->member);
    *before = sg_alloc_array(r->n, sizeof **before);
    if (!r->x_norm || !r->centre || !r->code || !r->distance || !r->sums || !r->start || !r->member ||
        !*before)
        return sg_fail_memory(err, "k-means");
    sg_norms(r->x_norm, x, n, r->dim, pool);
    return sg_assigner_new(&r->assigner, n, r->dim, r->codes, pool, err);
}

static void run_fini(run *r)
{
    sg_free(r->x_norm);
    sg_free(r->centre);
    sg_free(r->code);
    sg_free(r->distance);
    sg_free(r->sums);
    sg_free(r->start);
    sg_free(r->member);
    sg_assigner_free(r->assigner);
}

typedef struct shifting {
    const float *x; /* (n, dim) */
    float *out;     /* (n, dim) */
    double *mean;   /* (dim) 0 before it is computed */
    size_t n, dim;
} shifting;

static void mean_columns(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const shifting *s = ctx;

    for (size_t i = 0; i < s->n; i++)
        for (size_t d = begin; d < end; d++)
            s->mean[d] += (double)s->x[i * s->dim + d];
    for (size_t d = begin; d < end; d++)
        s->mean[d] /= (double)s->n;
}

static void shift_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const shifting *s = ctx;

    for (size_t i = begin; i < end; i++)
        for (size_t d = 0; d < s->dim; d++)
            s->out[i * s->dim + d] = (float)((double)s->x[i * s->dim + d] - s->mean[d]);
}

/* x without its mean; mean (dim) in double. Both owned by the caller. */
static sg_status centred(float **out, double **mean, const float *x, size_t n, size_t dim, sg_pool *pool,
                         sg_error *err)
{
    *out = sg_alloc_array(n * dim, sizeof **out);
    *mean = sg_alloc_zero(dim, sizeof **mean);
    if (!*out || !*mean)
        return sg_fail_memory(err, "k-means");

    shifting s = {.x = x, .out = *out, .mean = *mean, .n = n, .dim = dim};

    sg_parallel_for(pool, dim, COLUMNS, mean_columns, &s);
    sg_parallel_for(pool, n, TILE, shift_rows, &s);
    return SG_OK;
}

static sg_status start_centres(run *r, const sg_kmeans_spec *spec, const double *mean, sg_error *err)
{
    if (!spec->start)
        return seed_centres(r, spec->random_init, err);
    for (size_t k = 0; k < r->codes * r->dim; k++)
        r->centre[k] = (float)((double)spec->start[k] - mean[k % r->dim]);
    return SG_OK;
}

static sg_status whole(float *centre, int32_t *code, sg_kmeans_stats *stats, const float *x, size_t n,
                       int dim, size_t seeds, const sg_kmeans_spec *spec, sg_pool *pool,
                       const sg_progress *progress, sg_error *err)
{
    run r = {0};
    float *moved = NULL;
    double *mean = NULL;
    int32_t *before = NULL;
    sg_status st;

    if ((st = centred(&moved, &mean, x, n, (size_t)dim, pool, err)) ||
        (st = run_init(&r, moved, n, dim, spec->codes, pool, &before, err)))
        goto done;
    for (int i = 0; i < (spec->restarts > 1 ? spec->restarts : 1); i++) {
        sg_kmeans_stats now;

        r.seeds = seeds;
        r.seed = spec->seed + (uint64_t)i * 0x9e3779b97f4a7c15u;
        if ((st = start_centres(&r, spec, mean, err)) || (st = lloyd(&r, before, spec, &now, progress, err)))
            goto done;
        if (i > 0 && now.objective >= stats->objective)
            continue;
        *stats = now;
        memcpy(code, r.code, n * sizeof *code);
        for (size_t k = 0; k < r.codes * r.dim; k++)
            centre[k] = (float)((double)r.centre[k] + mean[k % r.dim]);
    }
done:
    run_fini(&r);
    sg_free(moved);
    sg_free(mean);
    sg_free(before);
    return st;
}

/* ---- many vectors --------------------------------------------------------------------------------------------- */

/* m different rows of x, ascending, as a matrix of their own. */
static sg_status draw_sample(float **out, size_t m, const float *x, size_t n, size_t dim, uint64_t seed,
                             sg_error *err)
{
    float *sample = sg_alloc_array(m, dim * sizeof *sample);
    size_t taken = 0;

    if (!(*out = sample))
        return sg_fail_memory(err, "k-means sample");
    for (size_t i = 0; i < n && taken < m;
         i++) /* each set of m rows with the same chance   [Knuth 1969, algorithm S] */
        if (sg_rng_double(seed, SG_RNG_KMEANS, 3, i) * (double)(n - i) < (double)(m - taken))
            memcpy(sample + taken++ * dim, x + i * dim, dim * sizeof *sample);
    return SG_OK;
}

/* Is the mean of these rows far from 0, for their size? */
static bool is_off_centre(const float *x, size_t n, size_t dim, const double *mean)
{
    double square = 0, size = 0;

    for (size_t d = 0; d < dim; d++)
        square += mean[d] * mean[d];
    for (size_t i = 0; i < n; i++)
        size += sg_kernels_best()->sum_sq(x + i * dim, dim);
    return square > 0.01 * size / (double)n;
}

/* All iterations but one on a sample, then one on all. Residuals have a mean near 0: moving them all would be a copy for nothing. */
static sg_status sampled(float *centre, int32_t *code, sg_kmeans_stats *stats, const float *x, size_t n,
                         int dim, const sg_kmeans_spec *spec, sg_pool *pool, const sg_progress *progress,
                         sg_error *err)
{
    const size_t m = (size_t)spec->sample * (size_t)spec->codes, width = (size_t)dim;
    sg_kmeans_spec part = *spec;
    sg_kmeans_stats small;
    run r = {0};
    float *sample = NULL, *moved = NULL;
    double *mean = sg_alloc_zero(width, sizeof *mean);
    int32_t *before = NULL;
    sg_status st;

    part.iterations = spec->iterations - 1;
    if (!mean) {
        st = sg_fail_memory(err, "k-means");
        goto done;
    }
    if ((st = draw_sample(&sample, m, x, n, width, spec->seed, err)) ||
        (st = whole(centre, code, &small, sample, m, dim, 0, &part, pool, progress, err)))
        goto done;
    sg_parallel_for(pool, width, COLUMNS, mean_columns,
                    &(shifting){.x = sample, .mean = mean, .n = m, .dim = width});
    if (!is_off_centre(sample, m, width, mean)) {
        memset(mean, 0, width * sizeof *mean);
    } else if (!(moved = sg_alloc_array(n, width * sizeof *moved))) {
        st = sg_fail_memory(err, "k-means");
        goto done;
    } else {
        sg_parallel_for(pool, n, TILE, shift_rows,
                        &(shifting){.x = x, .out = moved, .mean = mean, .n = n, .dim = width});
    }
    if ((st = run_init(&r, moved ? moved : x, n, dim, spec->codes, pool, &before, err)))
        goto done;
    part.iterations = 1;
    for (size_t k = 0; k < r.codes * width; k++)
        r.centre[k] = (float)((double)centre[k] - mean[k % width]);
    if ((st = lloyd(&r, before, &part, stats, progress, err)))
        goto done;
    stats->iterations += small.iterations;
    stats->moved += small.moved;
    for (size_t k = 0; k < r.codes * width; k++)
        centre[k] = (float)((double)r.centre[k] + mean[k % width]);
    memcpy(code, r.code, n * sizeof *code);
done:
    run_fini(&r);
    sg_free(sample);
    sg_free(moved);
    sg_free(mean);
    sg_free(before);
    return st;
}

sg_status sg_kmeans(float *centre, int32_t *code, sg_kmeans_stats *stats, const float *x, size_t n, int dim,
                    const sg_kmeans_spec *spec, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    if (n > UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "k-means: expected at most %u vectors, found %zu", UINT32_MAX, n);
    if (spec->sample > 0 && !spec->balanced && spec->iterations > 1 &&
        n / (size_t)spec->codes >= 2 * (size_t)spec->sample)
        return sampled(centre, code, stats, x, n, dim, spec, pool, progress, err);
    return whole(centre, code, stats, x, n, dim, SEEDS_LEAST, spec, pool, progress, err);
}
