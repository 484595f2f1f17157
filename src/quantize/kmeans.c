/* kmeans.c - Lloyd's algorithm after k-means++ seeding.            [Lloyd 1982; Arthur & Vassilvitskii 2007]
 *
 * |x - c|^2 = |x|^2 - 2 x.c + |c|^2: the products of a tile of vectors with all centres are one GEMM, the rest one pass
 * over its result while it is still in cache. Vectors are first moved so that their mean is 0, which keeps f32 exact where
 * it matters. Centres are means over their members in order, summed in double. Each tile and each centre is one piece of
 * work with a result of its own, so threads do not change a bit.
 * A centre without members moves to the vector that is farthest from its own centre. */
#include "quantize/kmeans.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "math/kernels.h"

#include <math.h>
#include <string.h>

enum {
    TILE = 256,          /* vectors in a GEMM */
    SEEDS_LEAST = 16384, /* k-means++ looks at this many vectors, or at SEEDS_EACH for each centre, at most */
    SEEDS_EACH = 16,
    SEEDS_CODES = 4096, /* with more centres than this they start on random vectors: k-means++ is quadratic */
    RUN = 64,           /* members summed in f32 before they go into the double sum */
};

/* ---- the nearest centre --------------------------------------------------------------------------------------- */

typedef struct assignment {
    const float *x, *x_norm; /* x_norm NULL: computed here when distances are wanted */
    const float *centre, *norm;
    int32_t *code;
    float *distance;
    float *scratch; /* (threads, TILE, codes) */
    size_t dim, codes;
} assignment;

static void assign_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_kernels *kernels = sg_kernels_best();
    const assignment *a = ctx;
    float *dot = a->scratch + (size_t)thread * TILE * a->codes;

    sg_gemm(NULL, SG_F32, false, true, (int)(end - begin), (int)a->codes, (int)a->dim, 1, a->x + begin * a->dim,
            (int)a->dim, a->centre, (int)a->dim, 0, dot, (int)a->codes);
    for (size_t i = begin; i < end; i++) {
        float least;

        a->code[i] = (int32_t)kernels->nearest(dot + (i - begin) * a->codes, a->norm, a->codes, &least);
        if (a->distance) {
            const float square = a->x_norm ? a->x_norm[i] : (float)kernels->sum_sq(a->x + i * a->dim, a->dim);

            a->distance[i] = square + least > 0 ? square + least : 0;
        }
    }
}

static void norms(float *norm, const float *x, size_t n, size_t dim)
{
    for (size_t i = 0; i < n; i++)
        norm[i] = (float)sg_kernels_best()->sum_sq(x + i * dim, dim);
}

sg_status sg_assign(int32_t *code, float *distance, const float *x, size_t n, int dim, const float *centre, int codes,
                    sg_pool *pool, sg_error *err)
{
    assignment a = {.x = x, .centre = centre, .code = code, .distance = distance, .dim = (size_t)dim, .codes = (size_t)codes};
    float *norm = sg_alloc_array((size_t)codes, sizeof *norm);
    size_t each;

    a.scratch = sg_mul(&each, (size_t)codes, TILE * sizeof(float)) ? sg_alloc_array((size_t)sg_pool_threads(pool), each) : NULL;
    if (norm && a.scratch) {
        norms(norm, centre, a.codes, a.dim);
        a.norm = norm;
        sg_parallel_for(pool, n, TILE, assign_body, &a);
    }
    const bool done = norm && a.scratch;
    sg_free(norm);
    sg_free(a.scratch);
    return done ? SG_OK : sg_fail_memory(err, "nearest centres");
}

/* ---- one run -------------------------------------------------------------------------------------------------- */

typedef struct run {
    const float *x; /* (n, dim), mean 0 */
    float *x_norm;  /* (n) */
    size_t n, dim, codes;
    float *centre;  /* (codes, dim) */
    float *norm;    /* (codes) */
    int32_t *code;  /* (n) */
    float *distance; /* (n) */
    float *scratch; /* (threads, TILE, codes) */
    double *sums;   /* (threads, dim) */
    size_t *start;  /* (codes + 1): members of centre k are member[start[k]] .. member[start[k + 1]] */
    uint32_t *member; /* (n), ascending inside a centre */
    uint64_t seed;
    sg_pool *pool;
} run;

static void assign_all(run *r)
{
    norms(r->norm, r->centre, r->codes, r->dim);
    sg_parallel_for(r->pool, r->n, TILE, assign_body,
                    &(assignment){r->x, r->x_norm, r->centre, r->norm, r->code, r->distance, r->scratch, r->dim, r->codes});
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
            for (size_t j = i + 1; j < last && j < i + RUN; j++)
                kernels->add(centre, centre, r->x + r->member[j] * r->dim, r->dim);
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
    size_t m = r->codes * SEEDS_EACH > SEEDS_LEAST ? r->codes * SEEDS_EACH : SEEDS_LEAST;
    uint32_t *sample = sg_alloc_array(r->n, sizeof *sample);
    const bool plain = random_init || r->codes > SEEDS_CODES;

    m = m < r->n ? m : r->n;
    seeding s = {.r = r, .sample = sample, .distance = sg_alloc_array(m, sizeof(float)),
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
        const near pivot = nearer(a, b) ? (nearer(b, c) ? b : nearer(a, c) ? c : a) : (nearer(a, c) ? a : nearer(b, c) ? c : b);
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
        w->list[i] = (near){sg_kernels_best()->dist2(w->r->x + w->open[i] * w->r->dim, w->centre, w->r->dim), w->open[i]};
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
    return sg_progress_tick(progress, &(sg_progress_event){.stage = "tokenize", .unit = "iterations", .done = done,
                                                           .total = total, .loss = done ? objective(r) : NAN}, err);
}

static sg_status lloyd(run *r, int32_t *before, const sg_kmeans_spec *spec, sg_kmeans_stats *stats, const sg_progress *progress,
                       sg_error *err)
{
    sg_status st;

    *stats = (sg_kmeans_stats){0};
    if ((st = seed_centres(r, spec->random_init, err)))
        return st;
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

static bool run_init(run *r, const sg_kmeans_spec *spec, int32_t **before)
{
    const size_t threads = (size_t)sg_pool_threads(r->pool);

    r->x_norm = sg_alloc_array(r->n, sizeof *r->x_norm);
    r->centre = sg_alloc_array(r->codes * r->dim, sizeof *r->centre);
    r->norm = sg_alloc_array(r->codes, sizeof *r->norm);
    r->code = sg_alloc_array(r->n, sizeof *r->code);
    r->distance = sg_alloc_array(r->n, sizeof *r->distance);
    r->scratch = sg_alloc_array(threads * TILE, r->codes * sizeof *r->scratch);
    r->sums = sg_alloc_array(threads * r->dim, sizeof *r->sums);
    r->start = sg_alloc_array(r->codes + 1, sizeof *r->start);
    r->member = sg_alloc_array(r->n, sizeof *r->member);
    *before = sg_alloc_array(r->n, sizeof **before);
    return r->x_norm && r->centre && r->norm && r->code && r->distance && r->scratch && r->sums && r->start && r->member &&
           *before;
}

static void run_fini(run *r)
{
    sg_free(r->x_norm);
    sg_free(r->centre);
    sg_free(r->norm);
    sg_free(r->code);
    sg_free(r->distance);
    sg_free(r->scratch);
    sg_free(r->sums);
    sg_free(r->start);
    sg_free(r->member);
}

/* x without its mean; mean (dim) in double. Both owned by the caller. */
static sg_status centred(float **out, double **mean, const float *x, size_t n, size_t dim, sg_error *err)
{
    *out = sg_alloc_array(n * dim, sizeof **out);
    *mean = sg_alloc_zero(dim, sizeof **mean);
    if (!*out || !*mean)
        return sg_fail_memory(err, "k-means");
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++)
            (*mean)[d] += (double)x[i * dim + d];
    for (size_t d = 0; d < dim; d++)
        (*mean)[d] /= (double)n;
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++)
            (*out)[i * dim + d] = (float)((double)x[i * dim + d] - (*mean)[d]);
    return SG_OK;
}

sg_status sg_kmeans(float *centre, int32_t *code, sg_kmeans_stats *stats, const float *x, size_t n, int dim,
                    const sg_kmeans_spec *spec, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    run r = {.n = n, .dim = (size_t)dim, .codes = (size_t)spec->codes, .pool = pool};
    float *moved = NULL;
    double *mean = NULL;
    int32_t *before = NULL;
    sg_status st;

    if (n > UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "k-means: expected at most %u vectors, found %zu", UINT32_MAX, n);
    if ((st = centred(&moved, &mean, x, n, r.dim, err)))
        goto done;
    r.x = moved;
    if (!run_init(&r, spec, &before)) {
        st = sg_fail_memory(err, "k-means");
        goto done;
    }
    norms(r.x_norm, r.x, n, r.dim);
    for (int i = 0; i < (spec->restarts > 1 ? spec->restarts : 1); i++) {
        sg_kmeans_stats now;

        r.seed = spec->seed + (uint64_t)i * 0x9e3779b97f4a7c15u;
        if ((st = lloyd(&r, before, spec, &now, progress, err)))
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
