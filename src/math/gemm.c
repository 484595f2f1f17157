/* gemm.c - matrix products cut into tiles, the packed copies of weights, and the sum over rows of a weight gradient.
 *
 * Tiles, chunks and the choice between f32 and bf16 depend on shapes alone. Weights are kept beside the parameter as they are
 * multiplied fastest, and packed anew when its version moves: f32 in panels for our own kernel (math/simd/panels.c), bf16 as the
 * library likes it, for both directions. The library's f32 product packs its operands at every call, into memory that it takes
 * and gives back: for the few rows of a decoding step that costs as much as the product. Products of two tensors stay in f32.
 *
 * dw = dy^T x sums over all rows. Rows are cut into chunks, each summed into a matrix of its own; these are then added to
 * dw in order. The narrower of dy and x is the one read transposed (that is where the library loses speed), so a chunk may
 * hold dw transposed. */
#include "math/gemm.h"

#include "base/alloc.h"
#include "math/kernels.h"
#include "math/onednn.h"

#include <pthread.h>
#include <string.h>

enum {
    TILE_ROWS = 128,
    TILE_COLS = 1024,
    PACK_ROWS = 16, /* fewer rows than this, or of a matrix, do not repay a kernel for bf16 */
    CHUNK_ROWS = 512,
    CHUNK_LEAST = 128, /* fewer rows in all are summed straight into dw */
    CHUNKS_MAX = 16,
    CHUNK_FLOATS_MAX = 1 << 22, /* of all chunks together */
    BLOCK = 16,                 /* of a transposition */
    LARGE = 8 << 20,            /* numbers of a mapped table from which on a copy has to be worth it ... */
    LARGE_WIDTH = 256,          /* ... unless its rows are wider than this */
    LARGE_USES = 8,             /* products without a copy that cost about as much as making one */
    SCRATCH = SG_DNN_SUM * (TILE_ROWS + TILE_COLS),
};
_Static_assert((int)TILE_ROWS == (int)SG_DNN_ROWS && (int)TILE_COLS == (int)SG_DNN_COLS,
               "tiles are those of packed weights");

static int least(int a, int b)
{
    return a < b ? a : b;
}

static size_t at(int row, int ld, int col)
{
    return (size_t)row * (size_t)ld + (size_t)col;
}

/* ---- tiles of c ----------------------------------------------------------------------------------------------- */

typedef struct gemm_work {
    bool ta, tb;
    int m, n, k, lda, ldb, ldc;
    float alpha, beta;
    const float *a, *b;
    float *c;
    sg_gemm_then *then;
    void *ctx;
    const sg_dnn_weights *bf16; /* b packed; NULL: f32. alpha is 1 then, beta 0 or 1 */
    const float
        *panels; /* b in panels, of `out` columns in all, its columns from `first` on; alpha is 1, beta 0 */
    int out, first;
    const float *table; /* instead of panels: (out, k), to be put into panels one at a time */
} gemm_work;

/* to (cols, rows) = from (rows, cols), or += */
static void transpose(float *to, int ld_to, const float *from, int ld_from, int rows, int cols, bool add)
{
    for (int i = 0; i < rows; i += BLOCK)
        for (int j = 0; j < cols; j += BLOCK)
            for (int jj = j; jj < least(j + BLOCK, cols); jj++)
                for (int ii = i; ii < least(i + BLOCK, rows); ii++)
                    to[at(jj, ld_to, ii)] = from[at(ii, ld_from, jj)] + (add ? to[at(jj, ld_to, ii)] : 0);
}

/* Rows of w (n, in) as a panel, and the numbers behind it that are read, not used. */
static void make_panel(float *panel, const float *w, int n, int in)
{
    const int width = (n + SG_PANEL - 1) / SG_PANEL * SG_PANEL;

    transpose(panel, width, w, in, n, in, false);
    for (int i = 0; i < in && n < width; i++)
        memset(panel + at(i, width, n), 0, (size_t)(width - n) * sizeof *panel);
    memset(panel + at(in, width, 0), 0, SG_PANEL * sizeof *panel);
}

/* The same numbers as from panels that are kept: each panel is made in the cache, and used at once. */
static void tile_of_table(const gemm_work *w, const float *a, int m, float *c, int first, int n)
{
    float panel[(LARGE_WIDTH + 1) * SG_PANEL_COLS];

    for (int col = first, here; col < first + n; col += here) {
        const int begin = col / SG_PANEL_COLS * SG_PANEL_COLS, whole = least(SG_PANEL_COLS, w->out - begin);

        here = least(begin + whole, first + n) - col;
        make_panel(panel, w->table + at(begin, w->k, 0), whole, w->k);
        sg_kernels_best()->panels(c + (col - first), (size_t)w->ldc, a, (size_t)w->lda, m, panel, w->k, whole,
                                  col - begin, here);
    }
}

static void tile_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const gemm_work *w = ctx;
    const int across = (w->n + TILE_COLS - 1) / TILE_COLS, block = (int)piece % across;
    const int row = (int)piece / across * TILE_ROWS, col = block * TILE_COLS;
    const int m = least(TILE_ROWS, w->m - row), n = least(TILE_COLS, w->n - col);
    const float *a = w->a + (w->ta ? (size_t)row : at(row, w->lda, 0));
    const float *b = w->b + (w->tb ? at(col, w->ldb, 0) : (size_t)col);
    float *c = w->c + at(row, w->ldc, col);

    if (w->panels)
        sg_kernels_best()->panels(c, (size_t)w->ldc, a, (size_t)w->lda, m, w->panels, w->k, w->out,
                                  w->first + col, n);
    else if (w->table)
        tile_of_table(w, a, m, c, w->first + col, n);
    else if (!w->bf16 || !sg_dnn_tile_bf16(w->bf16, block, m, a, w->lda, w->beta != 0, c, w->ldc))
        sg_dnn_f32(w->ta, w->tb, m, n, w->k, w->alpha, a, w->lda, b, w->ldb, w->beta, c, w->ldc);
    if (w->then)
        w->then(w->ctx, row, m, col, n);
}

static void run(sg_pool *pool, gemm_work *w)
{
    sg_parallel_for(pool, sg_pieces((size_t)w->m, TILE_ROWS) * sg_pieces((size_t)w->n, TILE_COLS), 1,
                    tile_body, w);
}

void sg_gemm(sg_pool *pool, sg_precision precision, bool ta, bool tb, int m, int n, int k, float alpha,
             const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    run(pool, &(gemm_work){ta, tb, m, n,    k,    lda,  ldb,  ldc, alpha, beta,
                           a,  b,  c, NULL, NULL, NULL, NULL, 0,   0,     NULL});
}

/* ---- weights -------------------------------------------------------------------------------------------------- */

typedef enum copy { PANELS, FORWARD, BACK, N_COPIES } copy;

typedef struct packed {
    uint64_t stamp[N_COPIES]; /* version of the values in the copy, plus 1; 0: never made */
    float *panels;            /* owned: w^T in f32 */
    sg_dnn_weights *bf16[2];  /* owned: w^T for x w^T, w for dy w; NULL: the library has no kernel */
    int uses;                 /* of a large table without panels */
    bool busy;                /* somebody makes them */
} packed;

static pthread_mutex_t pack_lock = PTHREAD_MUTEX_INITIALIZER; /* sessions of one model may meet here */

static void make_panels(float *to, const sg_param *w)
{
    const int out = w->dim[0], in = w->dim[1];

    for (int col = 0; col < out; col += SG_PANEL_COLS)
        make_panel(to + at(col, in, 0), w->value + at(col, in, 0), least(SG_PANEL_COLS, out - col), in);
}

static void make_copy(packed *p, const sg_param *w, copy which)
{
    const int out = w->dim[0], in = w->dim[1];

    if (which == FORWARD)
        sg_dnn_pack(&p->bf16[0], w->value, in, out, 1, in);
    else if (which == BACK)
        sg_dnn_pack(&p->bf16[1], w->value, out, in, in, 1);
    else if (p->panels || (p->panels = sg_alloc_array(at(out + SG_PANEL, in, SG_PANEL), sizeof *p->panels)))
        make_panels(p->panels, w);
}

static bool is_fresh(const packed *p, const sg_param *w, copy which)
{
    return p && __atomic_load_n(&p->stamp[which], __ATOMIC_ACQUIRE) == w->version + 1;
}

/* Under the lock. */
static packed *need_packed(sg_param *w)
{
    packed *p = w->packed;

    if (!p && (p = sg_alloc_zero(1, sizeof *p)))
        __atomic_store_n((packed **)(void *)&w->packed, p, __ATOMIC_RELEASE);
    return p;
}

/* The copies of w with `which` of the present version among them; a copy that could not be made is NULL there. */
static const packed *fresh_copy(sg_param *w, copy which)
{
    packed *p = __atomic_load_n((packed **)(void *)&w->packed, __ATOMIC_ACQUIRE);

    if (is_fresh(p, w, which))
        return p;
    pthread_mutex_lock(&pack_lock);
    p = need_packed(w);
    if (p && p->stamp[which] != w->version + 1) {
        make_copy(p, w, which);
        __atomic_store_n(&p->stamp[which], w->version + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&pack_lock);
    return p;
}

void sg_gemm_forget(sg_param *p)
{
    packed *old = p->packed;

    if (old) {
        sg_free(old->panels);
        sg_dnn_weights_free(old->bf16[0]);
        sg_dnn_weights_free(old->bf16[1]);
    }
    sg_free(old);
    p->packed = NULL;
}

/* The bf16 copy of w to multiply `rows` rows with, NULL: take f32. Slivers are not worth a kernel of their own. */
static const sg_dnn_weights *bf16_of(sg_param *w, sg_precision precision, int rows, copy which)
{
    const packed *p;

    if (precision != SG_BF16 || rows < PACK_ROWS || w->dim[0] < PACK_ROWS || w->dim[1] < PACK_ROWS)
        return NULL;
    p = fresh_copy(w, which);
    return p ? p->bf16[which == BACK] : NULL;
}

/* A table of millions of items takes as long to copy as to be read several times, and as much memory again. */
static bool is_large(const sg_param *w)
{
    return w->mapped && at(w->dim[0], w->dim[1], 0) >= LARGE && w->dim[1] <= LARGE_WIDTH;
}

/* Is it the caller's to make the panels of a large table? Not while it was hardly used, nor while somebody else is at it. */
static bool claim(sg_param *w, int uses)
{
    bool mine;
    packed *p;

    pthread_mutex_lock(&pack_lock);
    p = need_packed(w);
    mine = p && !p->busy && !is_fresh(p, w, PANELS) && p->uses >= uses;
    if (p) {
        p->uses++;
        p->busy |= mine;
    }
    pthread_mutex_unlock(&pack_lock);
    return mine;
}

/* Outside the lock, which others need for copies that are quick to make. */
static void make_large_panels(sg_param *w)
{
    const int out = w->dim[0], in = w->dim[1];
    float *panels = sg_alloc_array(at(out + SG_PANEL, in, SG_PANEL), sizeof *panels);
    packed *p = w->packed;

    if (panels)
        make_panels(panels, w);
    pthread_mutex_lock(&pack_lock);
    if (panels) {
        p->panels = panels;
        __atomic_store_n(&p->stamp[PANELS], w->version + 1, __ATOMIC_RELEASE);
    }
    p->uses = 0;
    p->busy = false;
    pthread_mutex_unlock(&pack_lock);
}

void sg_gemm_settle(sg_param *w)
{
    if (w->rank == 2 && is_large(w) && claim(w, 1))
        make_large_panels(w);
}

/* NULL: a large table, to be read as it is. */
static const float *panels_of(sg_param *w)
{
    const packed *p = __atomic_load_n((packed **)(void *)&w->packed, __ATOMIC_ACQUIRE);

    if (!is_large(w))
        p = fresh_copy(w, PANELS);
    else if (!is_fresh(p, w, PANELS) && !claim(w, LARGE_USES))
        return NULL;
    else if (!is_fresh(p, w, PANELS)) {
        make_large_panels(w);
        p = w->packed;
    }
    return p ? p->panels : NULL;
}

void sg_gemm_linear_then(sg_pool *pool, sg_precision precision, int rows, const float *x, int ldx,
                         sg_param *w, float *y, int ldy, sg_gemm_then *then, void *ctx)
{
    const int out = w->dim[0], in = w->dim[1];
    const sg_dnn_weights *bf16 = bf16_of(w, precision, rows, FORWARD);
    const float *panels = bf16 ? NULL : panels_of(w),
                *table = !bf16 && !panels && is_large(w) ? w->value : NULL;

    run(pool, &(gemm_work){false, true,     rows, out,  in,  ldx,  in,     ldy, 1, 0,
                           x,     w->value, y,    then, ctx, bf16, panels, out, 0, table});
}

void sg_gemm_linear_range(sg_pool *pool, int rows, const float *x, int ldx, sg_param *w, int first, int n,
                          float *y, int ldy)
{
    const int in = w->dim[1];
    const float *panels = panels_of(w), *table = !panels && is_large(w) ? w->value : NULL;

    run(pool, &(gemm_work){false, true, rows, n,    in,     ldx,
                           in,    ldy,  1,    0,    x,      w->value + at(first, in, 0),
                           y,     NULL, NULL, NULL, panels, w->dim[0],
                           first, table});
}

typedef struct bias_work {
    float *y;
    int ldy;
    const float *bias;
} bias_work;

static void add_bias(void *ctx, int row, int rows, int col, int cols)
{
    const bias_work *w = ctx;

    for (int r = row; r < row + rows; r++) {
        float *y = w->y + at(r, w->ldy, col);

        sg_kernels_best()->add(y, y, w->bias + col, (size_t)cols);
    }
}

void sg_gemm_linear(sg_pool *pool, sg_precision precision, int rows, const float *x, int ldx, sg_param *w,
                    const float *bias, float *y, int ldy)
{
    sg_gemm_linear_then(pool, precision, rows, x, ldx, w, y, ldy, bias ? add_bias : NULL,
                        &(bias_work){y, ldy, bias});
}

void sg_gemm_linear_dx(sg_pool *pool, sg_precision precision, int rows, const float *dy, int lddy,
                       sg_param *w, float *dx, int lddx, bool add)
{
    run(pool, &(gemm_work){false,     false,       rows,      w->dim[1],
                           w->dim[0], lddy,        w->dim[1], lddx,
                           1,         add ? 1 : 0, dy,        w->value,
                           dx,        NULL,        NULL,      bf16_of(w, precision, rows, BACK),
                           NULL,      0,           0,         NULL});
}

/* ---- weight gradients ----------------------------------------------------------------------------------------- */

typedef struct dw_work {
    const float *a, *b; /* a is read transposed: c (m, n) = a^T b */
    int m, n, lda, ldb, rows, chunk, chunks;
    float *part; /* (chunks, m, n) */
    float *dw;
    int in;
    bool transposed;   /* c is dw^T */
    uint16_t *scratch; /* (threads, SCRATCH) for bf16; NULL: f32 */
} dw_work;

/* One tile of one chunk in bf16, SG_DNN_SUM rows at a time. */
static bool sum_bf16(const dw_work *w, int m, int n, int rows, const float *a, const float *b, float *c,
                     uint16_t *scratch)
{
    for (int r = 0; r < rows; r += SG_DNN_SUM)
        if (!sg_dnn_sum_bf16(m, n, least(SG_DNN_SUM, rows - r), a + at(r, w->lda, 0), w->lda,
                             b + at(r, w->ldb, 0), w->ldb, r > 0, c, w->n, scratch))
            return false;
    return true;
}

static void chunk_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const dw_work *w = ctx;
    const int across = (w->n + TILE_COLS - 1) / TILE_COLS, chunk = (int)piece % w->chunks,
              tile = (int)piece / w->chunks;
    const int row = tile / across * TILE_ROWS, col = tile % across * TILE_COLS, first = chunk * w->chunk;
    const int m = least(TILE_ROWS, w->m - row), n = least(TILE_COLS, w->n - col),
              rows = least(w->chunk, w->rows - first);
    const float *a = w->a + at(first, w->lda, row), *b = w->b + at(first, w->ldb, col);
    float *c = w->part + at(chunk, w->m, row) * (size_t)w->n + (size_t)col;

    if (!w->scratch || !sum_bf16(w, m, n, rows, a, b, c, w->scratch + (size_t)thread * SCRATCH))
        sg_dnn_f32(true, false, m, n, rows, 1, a, w->lda, b, w->ldb, 0, c, w->n);
}

static void join_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const dw_work *w = ctx;

    for (int c = 0; c < w->chunks; c++) {
        const float *part = w->part + at(c, w->m, 0) * (size_t)w->n;

        if (w->transposed)
            transpose(w->dw + begin * (size_t)w->in, w->in, part + begin, w->n, w->m, (int)(end - begin),
                      true);
        else
            sg_kernels_best()->add(w->dw + begin * (size_t)w->in, w->dw + begin * (size_t)w->in,
                                   part + begin * (size_t)w->in, (end - begin) * (size_t)w->in);
    }
}

static int chunk_rows(int rows, int m, int n)
{
    const size_t most = CHUNK_FLOATS_MAX / (size_t)(m * n) + 1;
    size_t chunks = sg_pieces((size_t)rows, CHUNK_ROWS);

    chunks = chunks < CHUNKS_MAX ? chunks : CHUNKS_MAX;
    chunks = chunks < most ? chunks : most;
    return (int)(sg_pieces(sg_pieces((size_t)rows, chunks), BLOCK) * BLOCK);
}

bool sg_gemm_linear_dw(sg_pool *pool, sg_arena *arena, sg_precision precision, int rows, const float *dy,
                       int lddy, const float *x, int ldx, int out, int in, float *dw)
{
    const sg_arena_mark mark = sg_arena_here(arena);
    const bool flip = out > in;
    dw_work w = {
        .a = dy, .b = x, .m = out, .n = in, .lda = lddy, .ldb = ldx, .rows = rows, .dw = dw, .in = in};

    if (rows == 0 || in == 0 || out == 0)
        return true;
    if (rows < CHUNK_LEAST) {
        sg_gemm(pool, precision, true, false, out, in, rows, 1, dy, lddy, x, ldx, 1, dw, in);
        return true;
    }
    if (flip)
        w = (dw_work){
            .a = x, .b = dy, .m = in, .n = out, .lda = ldx, .ldb = lddy, .rows = rows, .dw = dw, .in = in};
    w.transposed = flip;
    w.chunk = chunk_rows(rows, w.m, w.n);
    w.chunks = (int)sg_pieces((size_t)rows, (size_t)w.chunk);
    if (!(w.part =
              sg_arena_take_array(arena, (size_t)w.chunks * (size_t)w.m * (size_t)w.n, sizeof *w.part)) ||
        (precision == SG_BF16 && in >= PACK_ROWS && out >= PACK_ROWS &&
         !(w.scratch =
               sg_arena_take_array(arena, (size_t)sg_pool_threads(pool) * SCRATCH, sizeof *w.scratch))))
        return false;
    sg_parallel_for(pool,
                    (size_t)w.chunks * sg_pieces((size_t)w.m, TILE_ROWS) * sg_pieces((size_t)w.n, TILE_COLS),
                    1, chunk_body, &w);
    sg_parallel_for(pool, (size_t)out, 2 * BLOCK, join_body, &w);
    sg_arena_back(arena, mark);
    return true;
}

sg_precision sg_precision_best(void)
{
    return sg_dnn_bf16_fast() ? SG_BF16 : SG_F32;
}
