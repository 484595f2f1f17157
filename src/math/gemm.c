/* gemm.c - matrix products by oneDNN, one single-threaded call a tile.
 *
 * The result is cut into tiles whose size depends on the shape alone, and each is one call of dnnl_sgemm (which keeps no
 * primitives, so a new batch shape costs nothing), run by whichever thread takes it. oneDNN's own threads stay off: its
 * OpenMP runtime is asked, through whichever library it brought along, to use one thread around our calls. */
#define _GNU_SOURCE
#include "math/gemm.h"

#include "base/alloc.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <string.h>

enum {
    TILE_ROWS = 128,
    TILE_COLS = 2048,
    DW_ROWS = 64,      /* tile of a weight gradient: rows of dw */
    DW_CHUNK = 512,    /* rows of x and dy summed by one call */
    PACK_ROWS = 16,    /* fewer rows than this do not repay a transposed copy of the weights */
};

/* ---- one thread ----------------------------------------------------------------------------------------------- */

typedef struct omp_calls {
    int (*get_max)(void);
    void (*set_num)(int);
} omp_calls;

static omp_calls omp;
static pthread_once_t omp_once = PTHREAD_ONCE_INIT;

static void find_omp(void)
{
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads"), *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");

    if (get && set) {
        memcpy(&omp.get_max, &get, sizeof get);
        memcpy(&omp.set_num, &set, sizeof set);
    }
}

/* The setting belongs to the calling thread; what the host program had set is put back. */
static int one_thread(void)
{
    int before = 1;

    pthread_once(&omp_once, find_omp);
    if (omp.set_num && (before = omp.get_max()) != 1)
        omp.set_num(1);
    return before;
}

static void threads_back(int before)
{
    if (before != 1)
        omp.set_num(before);
}

/* ---- f32 ------------------------------------------------------------------------------------------------------ */

static void sgemm(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                  float beta, float *c, int ldc)
{
    if (k == 0)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                c[(size_t)i * (size_t)ldc + (size_t)j] *= beta;
    else
        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

typedef struct gemm_work {
    bool ta, tb;
    int m, n, k, lda, ldb, ldc, tile_rows, tile_cols, chunk;
    float alpha, beta;
    const float *a, *b, *bias;
    float *c;
} gemm_work;

static int least(int a, int b)
{
    return a < b ? a : b;
}

static void tile_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const gemm_work *w = ctx;
    const int across = (w->n + w->tile_cols - 1) / w->tile_cols;
    const int row = (int)piece / across * w->tile_rows, col = (int)piece % across * w->tile_cols;
    const int m = least(w->tile_rows, w->m - row), n = least(w->tile_cols, w->n - col);
    const float *a = w->a + (w->ta ? (size_t)row : (size_t)row * (size_t)w->lda);
    const float *b = w->b + (w->tb ? (size_t)col * (size_t)w->ldb : (size_t)col);
    float *c = w->c + (size_t)row * (size_t)w->ldc + (size_t)col;
    const int threads = one_thread();

    for (int k = 0; k == 0 || k < w->k; k += w->chunk)
        sgemm(w->ta, w->tb, m, n, least(w->chunk, w->k - k), w->alpha, a + (size_t)k * (w->ta ? (size_t)w->lda : 1), w->lda,
              b + (size_t)k * (w->tb ? 1 : (size_t)w->ldb), w->ldb, k ? 1 : w->beta, c, w->ldc);
    threads_back(threads);
    for (int i = 0; w->bias && i < m; i++)
        for (int j = 0; j < n; j++)
            c[(size_t)i * (size_t)w->ldc + (size_t)j] += w->bias[col + j];
}

static void run(sg_pool *pool, gemm_work *w)
{
    const size_t down = sg_pieces((size_t)w->m, (size_t)w->tile_rows), across = sg_pieces((size_t)w->n, (size_t)w->tile_cols);

    sg_parallel_for(pool, down * across, 1, tile_body, w);
}

void sg_gemm(sg_pool *pool, sg_precision precision, bool ta, bool tb, int m, int n, int k, float alpha, const float *a,
             int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    run(pool, &(gemm_work){ta, tb, m, n, k, lda, ldb, ldc, TILE_ROWS, TILE_COLS, k ? k : 1, alpha, beta, a, b, NULL, c});
}

/* ---- weights -------------------------------------------------------------------------------------------------- */

typedef struct packed {
    uint64_t version;
    float *transposed; /* (in, out) */
} packed;

static pthread_mutex_t pack_lock = PTHREAD_MUTEX_INITIALIZER; /* sessions of one model may meet here */

enum { BLOCK = 16 };

static void transpose(float *to, const float *from, int rows, int cols)
{
    for (int i = 0; i < rows; i += BLOCK)
        for (int j = 0; j < cols; j += BLOCK)
            for (int jj = j; jj < least(j + BLOCK, cols); jj++)
                for (int ii = i; ii < least(i + BLOCK, rows); ii++)
                    to[(size_t)jj * (size_t)rows + (size_t)ii] = from[(size_t)ii * (size_t)cols + (size_t)jj];
}

/* The transposed copy of w for its present version; NULL when out of memory. */
static const float *transposed(sg_param *w)
{
    packed *p = __atomic_load_n((packed **)(void *)&w->packed, __ATOMIC_ACQUIRE);

    if (p && p->version == w->version)
        return p->transposed;
    pthread_mutex_lock(&pack_lock);
    p = w->packed;
    if (!p && (p = sg_alloc_zero(1, sizeof *p)) && !(p->transposed = sg_alloc_array(w->count, sizeof *p->transposed))) {
        sg_free(p);
        p = NULL;
    }
    if (p && (!w->packed || p->version != w->version)) {
        transpose(p->transposed, w->value, w->dim[0], w->dim[1]);
        p->version = w->version;
        __atomic_store_n((packed **)(void *)&w->packed, p, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&pack_lock);
    return p ? p->transposed : NULL;
}

void sg_gemm_forget(sg_param *p)
{
    packed *old = p->packed;

    if (old)
        sg_free(old->transposed);
    sg_free(old);
    p->packed = NULL;
}

void sg_gemm_linear(sg_pool *pool, sg_precision precision, int rows, const float *x, int ldx, sg_param *w, const float *bias,
                    float *y, int ldy)
{
    const int out = w->dim[0], in = w->dim[1];
    const float *wt = rows >= PACK_ROWS ? transposed(w) : NULL;

    run(pool, &(gemm_work){false, !wt, rows, out, in, ldx, wt ? out : in, ldy, TILE_ROWS, TILE_COLS, in ? in : 1, 1, 0, x,
                           wt ? wt : w->value, bias, y});
}

void sg_gemm_linear_dx(sg_pool *pool, sg_precision precision, int rows, const float *dy, int lddy, sg_param *w, float *dx,
                       int lddx, bool add)
{
    sg_gemm(pool, precision, false, false, rows, w->dim[1], w->dim[0], 1, dy, lddy, w->value, w->dim[1], add ? 1 : 0, dx, lddx);
}

void sg_gemm_linear_dw(sg_pool *pool, sg_precision precision, int rows, const float *dy, int lddy, const float *x, int ldx,
                       int out, int in, float *dw)
{
    if (rows > 0)
        run(pool, &(gemm_work){true, false, out, in, rows, lddy, ldx, in, DW_ROWS, TILE_COLS, DW_CHUNK, 1, 1, dy, x, NULL, dw});
}

sg_precision sg_precision_best(void)
{
    return SG_F32;
}
