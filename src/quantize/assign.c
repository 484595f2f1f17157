/* assign.c - the nearest centre of every vector.
 *
 * |x - c|^2 = |x|^2 - 2 x.c + |c|^2: the products of a tile of vectors with all centres are one GEMM, the rest one pass over its result
 * while it is still in cache.
 *
 * Many vectors are multiplied in bf16 where that is faster. Rounding x and c to 8 bits moves x.c by at most 2^-8 |x| |c| (plus the
 * rounding of the sum, far less), so the nearest centre is among those that come within 2^-6 |x| max |c| of the least: mostly one
 * or two, whose products are then computed in f32. So the answer is that of f32, to its own rounding. */
#include "quantize/assign.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "math/kernels.h"
#include "quantize/kmeans.h"

#include <math.h>
#include <string.h>

enum {
    TILE = 256,       /* vectors in a GEMM */
    MANY = 1 << 15,   /* vectors from which on centres are packed */
    CODES_LEAST = 32, /* with fewer, or with shorter vectors, bf16 saves nothing */
    DIM_LEAST = 64,
};
static const float MARGIN = 0.016f; /* a little above 2^-6 */

struct sg_assigner {
    size_t dim, codes, each; /* each: floats of a thread's scratch */
    bool packed, bf16;
    sg_param centres; /* packed: value borrowed for a run */
    float *norm;      /* owned: (codes) */
    float *scratch;   /* owned: (threads, each) */
};

typedef struct assignment {
    sg_assigner *a;
    const float *x, *x_norm, *centre;
    int32_t *code;
    float *distance;
    float longest; /* centre */
} assignment;

static void norm_rows(float *norm, const float *x, size_t n, size_t dim)
{
    for (size_t i = 0; i < n; i++)
        norm[i] = (float)sg_kernels_best()->sum_sq(x + i * dim, dim);
}

typedef struct norming {
    float *norm;
    const float *x;
    size_t dim;
} norming;

static void norm_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const norming *w = ctx;

    norm_rows(w->norm + begin, w->x + begin * w->dim, end - begin, w->dim);
}

void sg_norms(float *norm, const float *x, size_t n, size_t dim, sg_pool *pool)
{
    sg_parallel_for(pool, n, TILE, norm_body, &(norming){norm, x, dim});
}

/* Among the centres that rounding leaves in question the nearest by f32: far (codes) and index (codes + 16) are scratch. */
static size_t settle(const assignment *w, const float *x, float square, const float *dot, float *least,
                     float *far, uint32_t *index)
{
    const sg_kernels *kernels = sg_kernels_best();
    const sg_assigner *a = w->a;
    const float floor = -(*least + MARGIN * sqrtf(square) * w->longest);
    size_t best = 0, n;

    for (size_t k = 0; k < a->codes; k++)
        far[k] = 2 * dot[k] - a->norm[k];
    n = kernels->above(index, far, a->codes, 0, floor);
    *least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        const size_t k = index[i];
        const float d = n == 1 && !w->distance
                            ? -far[k]
                            : a->norm[k] - 2 * kernels->dot(x, w->centre + k * a->dim, a->dim);

        if (d < *least) {
            *least = d;
            best = k;
        }
    }
    return best;
}

static void assign_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_kernels *kernels = sg_kernels_best();
    const assignment *w = ctx;
    sg_assigner *a = w->a;
    const int rows = (int)(end - begin), dim = (int)a->dim, codes = (int)a->codes;
    float *dot = a->scratch + (size_t)thread * a->each, *far = dot + TILE * a->codes;

    if (a->packed)
        sg_gemm_linear(NULL, a->bf16 ? SG_BF16 : SG_F32, rows, w->x + begin * a->dim, dim, &a->centres, NULL,
                       dot, codes);
    else
        sg_gemm(NULL, SG_F32, false, true, rows, codes, dim, 1, w->x + begin * a->dim, dim, w->centre, dim, 0,
                dot, codes);
    for (size_t i = begin; i < end; i++) {
        const float *x = w->x + i * a->dim, *row = dot + (i - begin) * a->codes;
        float square = w->x_norm ? w->x_norm[i] : 0, least;
        size_t code = kernels->nearest(row, a->norm, a->codes, &least);

        if (!w->x_norm && (w->distance || a->bf16))
            square = (float)kernels->sum_sq(x, a->dim);
        if (a->bf16)
            code = settle(w, x, square, row, &least, far, (uint32_t *)(void *)(far + a->codes));
        w->code[i] = (int32_t)code;
        if (w->distance)
            w->distance[i] = square + least > 0 ? square + least : 0;
    }
}

sg_status sg_assigner_new(sg_assigner **out, size_t n, size_t dim, size_t codes, sg_pool *pool, sg_error *err)
{
    sg_assigner *a = sg_alloc_zero(1, sizeof *a);
    size_t all = 0;

    *out = NULL;
    if (a) {
        *a = (sg_assigner){.dim = dim, .codes = codes, .packed = n >= MANY};
        a->bf16 = a->packed && codes >= CODES_LEAST && dim >= DIM_LEAST && sg_precision_best() == SG_BF16;
        a->each = (TILE + 2) * codes + 16; /* products, and where settle works */
        a->centres = (sg_param){.name = "centres",
                                .rank = 2,
                                .dim = {(int)codes, (int)dim},
                                .count = codes * dim,
                                .mapped = true};
        a->norm = sg_alloc_array(codes, sizeof *a->norm);
        a->scratch = sg_mul(&all, a->each, (size_t)sg_pool_threads(pool))
                         ? sg_alloc_array(all, sizeof *a->scratch)
                         : NULL;
    }
    if (!a || !a->norm || !a->scratch) {
        sg_assigner_free(a);
        return sg_fail_memory(err, "nearest centres");
    }
    *out = a;
    return SG_OK;
}

void sg_assigner_free(sg_assigner *a)
{
    if (!a)
        return;
    sg_gemm_forget(&a->centres);
    sg_free(a->norm);
    sg_free(a->scratch);
    sg_free(a);
}

void sg_assigner_run(sg_assigner *a, int32_t *code, float *distance, const float *x, const float *x_norm,
                     size_t n, const float *centre, sg_pool *pool)
{
    assignment w = {a, x, x_norm, centre, code, distance, 0};

    norm_rows(a->norm, centre, a->codes, a->dim);
    for (size_t k = 0; k < a->codes; k++)
        w.longest = a->norm[k] > w.longest ? a->norm[k] : w.longest;
    w.longest = sqrtf(w.longest);
    a->centres.value = (float *)(uintptr_t)centre; /* read only */
    a->centres.version++;
    sg_parallel_for(pool, n, TILE, assign_body, &w);
}

sg_status sg_assign(int32_t *code, float *distance, const float *x, size_t n, int dim, const float *centre,
                    int codes, sg_pool *pool, sg_error *err)
{
    sg_assigner *a;
    const sg_status st = sg_assigner_new(&a, n, (size_t)dim, (size_t)codes, pool, err);

    if (!st)
        sg_assigner_run(a, code, distance, x, NULL, n, centre, pool);
    sg_assigner_free(st ? NULL : a);
    return st;
}
