/* onednn.c - the door to oneDNN: single-threaded products of one tile.
 *
 * f32 goes through dnnl_sgemm, which keeps no primitives, so that a new shape costs nothing. bf16 goes through matmul
 * primitives, made on first use and kept for the life of the process: rows come in tiles of 128 or 16 (the last one padded
 * with zeros), so a model needs a handful. Their scratch memory is ours: the library's own belongs to the primitive, and two
 * threads in one primitive would write into it at once. oneDNN's own threads stay off: its OpenMP runtime is asked, through whichever
 * library it brought along, to use one thread around our calls. */
#define _GNU_SOURCE
#include "math/onednn.h"

#include "base/alloc.h"
#include "math/kernels.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

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

void sg_dnn_f32(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                int ldb, float beta, float *c, int ldc)
{
    if (k > 0) {
        const int before = one_thread();

        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        threads_back(before);
        return;
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            c[(size_t)i * (size_t)ldc + (size_t)j] =
                beta == 0 ? 0 : beta * c[(size_t)i * (size_t)ldc + (size_t)j];
}

/* ---- bf16: primitives ----------------------------------------------------------------------------------------- */

enum {
    PRIMITIVES_MAX = 512,
    CALLS_KEPT = 16,
    ROWS_SMALL = 16,
    SCRATCH_MOST = 1 << 18
}; /* scratch: tiles take about 100 kB */

typedef struct shape {
    int m, n, k, ldc;
    bool packed; /* b in the library's own layout, else row-major and a transposed */
    bool add;
} shape;

/* What one running call of a primitive needs. A few are kept for the life of the process like the primitive: making one costs
 * as much as a small product. */
typedef struct call {
    dnnl_memory_t a, b, c, scratch; /* scratch owns its bytes */
    dnnl_stream_t stream;           /* the last to be made; NULL: none of it is */
    bool busy;
} call;

typedef struct product {
    shape shape;
    dnnl_primitive_t primitive; /* NULL: no good kernel for this shape */
    dnnl_memory_desc_t a, b, c, scratch;
    call calls[CALLS_KEPT];
} product;

static struct {
    pthread_mutex_t lock;
    dnnl_engine_t engine;
    int n; /* grows only; read without the lock */
    product list[PRIMITIVES_MAX];
} made = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool sg_dnn_bf16_fast(void)
{
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

static bool same(const shape *a, const shape *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->ldc == b->ldc && a->packed == b->packed &&
           a->add == b->add;
}

static product *find(const shape *s)
{
    const int n = __atomic_load_n(&made.n, __ATOMIC_ACQUIRE);

    for (int i = 0; i < n; i++)
        if (same(&made.list[i].shape, s))
            return &made.list[i];
    return NULL;
}

/* The loop over rows by plain C that stands in where nothing better exists would be slower than f32. */
static bool is_good(dnnl_primitive_desc_t pd)
{
    const char *name = "ref";

    return !dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) &&
           strncmp(name, "ref", 3) != 0;
}

/* layout: of b, NULL: the library's choice */
static bool describe(product *p, const dnnl_memory_desc_t *layout)
{
    const shape *s = &p->shape;
    const dnnl_dim_t k = s->k;

    if (dnnl_memory_desc_init_by_strides(&p->a, 2, (dnnl_dims_t){s->m, k}, dnnl_bf16,
                                         s->packed ? (dnnl_dims_t){k, 1} : (dnnl_dims_t){1, s->m}) ||
        dnnl_memory_desc_init_by_strides(&p->c, 2, (dnnl_dims_t){s->m, s->n}, dnnl_f32,
                                         (dnnl_dims_t){s->ldc, 1}))
        return false;
    if (layout) {
        p->b = *layout;
        return true;
    }
    return !dnnl_memory_desc_init_by_tag(&p->b, 2, (dnnl_dims_t){k, s->n}, dnnl_bf16,
                                         s->packed ? dnnl_format_tag_any : dnnl_ab);
}

/* Scratch memory is handed in by each call: the library's own belongs to the primitive, which two threads run at once. */
static dnnl_primitive_attr_t attributes(bool add)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;

    if (dnnl_primitive_attr_create(&attr))
        return NULL;
    if (dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ||
        (add && (dnnl_post_ops_create(&ops) || dnnl_post_ops_append_sum(ops, 1) ||
                 dnnl_primitive_attr_set_post_ops(attr, ops)))) {
        dnnl_primitive_attr_destroy(attr);
        attr = NULL;
    }
    if (ops)
        dnnl_post_ops_destroy(ops);
    return attr;
}

static void make(product *p, const dnnl_memory_desc_t *layout)
{
    const int before = one_thread(); /* a primitive keeps the number of threads it was made under */
    dnnl_primitive_attr_t attr = attributes(p->shape.add);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_t desc;

    if (attr && describe(p, layout) && !dnnl_matmul_desc_init(&desc, &p->a, &p->b, NULL, &p->c) &&
        !dnnl_primitive_desc_create(&pd, &desc, attr, made.engine, NULL) && is_good(pd)) {
        const dnnl_memory_desc_t *b = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);

        p->b = *b;
        p->scratch = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        if (dnnl_memory_desc_get_size(&p->scratch) > SCRATCH_MOST || dnnl_primitive_create(&p->primitive, pd))
            p->primitive = NULL;
    }
    threads_back(before);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
}

/* The primitive of a shape, made when it is new. Blocks of weights are laid out as the tile of 128 rows that overwrites
 * c = (m, n) likes it; every other tile takes that layout. NULL when there is none. */
static product *product_of(shape s)
{
    const shape leader = {SG_DNN_ROWS, s.n, s.k, s.n, true, false};
    const dnnl_memory_desc_t *layout = NULL;
    product *p = find(&s);

    if (!p && s.packed && !same(&s, &leader)) {
        const product *first = product_of(leader);

        if (!first)
            return NULL;
        layout = &first->b;
    }
    if (!p) {
        pthread_mutex_lock(&made.lock);
        if (!(p = find(&s)) && made.n < PRIMITIVES_MAX &&
            (made.engine || !dnnl_engine_create(&made.engine, dnnl_cpu, 0))) {
            product *fresh = &made.list[made.n];

            *fresh = (product){.shape = s};
            make(fresh, layout);
            __atomic_store_n(&made.n, made.n + 1, __ATOMIC_RELEASE);
            p = fresh;
        }
        pthread_mutex_unlock(&made.lock);
    }
    return p && p->primitive ? p : NULL;
}

static void call_clear(call *c)
{
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    if (c->scratch)
        dnnl_memory_destroy(c->scratch);
    if (c->c)
        dnnl_memory_destroy(c->c);
    if (c->b)
        dnnl_memory_destroy(c->b);
    if (c->a)
        dnnl_memory_destroy(c->a);
    c->a = c->b = c->c = c->scratch = NULL;
    c->stream = NULL;
}

static bool call_make(call *c, const product *p)
{
    if (c->stream)
        return true;
    if (!dnnl_memory_create(&c->a, &p->a, made.engine, NULL) &&
        !dnnl_memory_create(&c->b, &p->b, made.engine, NULL) &&
        !dnnl_memory_create(&c->c, &p->c, made.engine, NULL) &&
        !dnnl_memory_create(&c->scratch, &p->scratch, made.engine, DNNL_MEMORY_ALLOCATE) &&
        !dnnl_stream_create(&c->stream, made.engine, dnnl_stream_default_flags))
        return true;
    call_clear(c);
    return false;
}

/* A kept call that nobody uses, or the caller's own. */
static call *call_take(product *p, call *own)
{
    for (int i = 0; i < CALLS_KEPT; i++)
        if (!__atomic_test_and_set(&p->calls[i].busy, __ATOMIC_ACQUIRE))
            return &p->calls[i];
    return own;
}

static bool execute(product *p, const uint16_t *a, const uint16_t *b, float *c)
{
    const int before = one_thread();
    call own = {.a = NULL}, *at = call_take(p, &own);
    bool ok = false;

    if (call_make(at, p) && !dnnl_memory_set_data_handle(at->a, (void *)a) &&
        !dnnl_memory_set_data_handle(at->b, (void *)b) && !dnnl_memory_set_data_handle(at->c, c)) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, at->a},
                                        {DNNL_ARG_WEIGHTS, at->b},
                                        {DNNL_ARG_DST, at->c},
                                        {DNNL_ARG_SCRATCHPAD, at->scratch}};

        ok = !dnnl_primitive_execute(p->primitive, at->stream, 4, args) && !dnnl_stream_wait(at->stream);
    }
    if (at == &own)
        call_clear(&own);
    else
        __atomic_clear(&at->busy, __ATOMIC_RELEASE);
    threads_back(before);
    return ok;
}

static void round_rows(uint16_t *y, const float *x, int ld, int rows, int cols, int rows_all)
{
    for (int i = 0; i < rows; i++)
        sg_kernels_best()->to_bf16(y + (size_t)i * (size_t)cols, x + (size_t)i * (size_t)ld, (size_t)cols);
    memset(y + (size_t)rows * (size_t)cols, 0, (size_t)(rows_all - rows) * (size_t)cols * sizeof *y);
}

/* ---- bf16: packed weights -------------------------------------------------------------------------------------- */

struct sg_dnn_weights {
    int k, n;
    uint16_t *
        data; /* owned: blocks of (SG_DNN_DEPTH, SG_DNN_COLS) or what is left, those of one column range together */
    size_t *at; /* owned: where each block begins, in numbers */
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int blocks(int n, int each)
{
    return (n + each - 1) / each;
}

/* The primitive that fixes the layout of block (i, j). */
static const product *leader_of(const sg_dnn_weights *w, int i, int j)
{
    const int k = least(SG_DNN_DEPTH, w->k - i * SG_DNN_DEPTH),
              n = least(SG_DNN_COLS, w->n - j * SG_DNN_COLS);

    return product_of((shape){SG_DNN_ROWS, n, k, n, true, false});
}

void sg_dnn_weights_free(sg_dnn_weights *w)
{
    if (!w)
        return;
    sg_free(w->data);
    sg_free(w->at);
    sg_free(w);
}

static sg_dnn_weights *weights_new(int k, int n)
{
    const int deep = blocks(k, SG_DNN_DEPTH), wide = blocks(n, SG_DNN_COLS);
    sg_dnn_weights *w = sg_alloc_zero(1, sizeof *w);
    size_t total = 0;

    if (!w || !(w->at = sg_alloc_array((size_t)deep * (size_t)wide, sizeof *w->at)))
        goto failed;
    w->k = k;
    w->n = n;
    for (int j = 0; j < wide; j++) {
        for (int i = 0; i < deep; i++) {
            const product *p = leader_of(w, i, j);

            if (!p)
                goto failed;
            w->at[j * deep + i] = total;
            total += (dnnl_memory_desc_get_size(&p->b) + 63) / 64 * 64 / sizeof *w->data;
        }
    }
    if ((w->data = sg_alloc_array(total, sizeof *w->data)))
        return w;
failed:
    sg_dnn_weights_free(w);
    return NULL;
}

static bool reorder(const dnnl_memory_desc_t *to, uint16_t *data, const float *value, int stride_k,
                    int stride_n)
{
    dnnl_memory_desc_t from;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t p = NULL;
    dnnl_memory_t mf = NULL, mt = NULL;
    dnnl_stream_t stream = NULL;
    const int before = one_thread();
    bool ok =
        !dnnl_memory_desc_init_by_strides(&from, 2, to->dims, dnnl_f32, (dnnl_dims_t){stride_k, stride_n}) &&
        !dnnl_reorder_primitive_desc_create(&pd, &from, made.engine, to, made.engine, NULL) &&
        !dnnl_primitive_create(&p, pd) && !dnnl_memory_create(&mf, &from, made.engine, (void *)value) &&
        !dnnl_memory_create(&mt, to, made.engine, data) &&
        !dnnl_stream_create(&stream, made.engine, dnnl_stream_default_flags);

    if (ok) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, mf}, {DNNL_ARG_TO, mt}};

        ok = !dnnl_primitive_execute(p, stream, 2, args) && !dnnl_stream_wait(stream);
    }
    threads_back(before);
    if (stream)
        dnnl_stream_destroy(stream);
    if (mt)
        dnnl_memory_destroy(mt);
    if (mf)
        dnnl_memory_destroy(mf);
    if (p)
        dnnl_primitive_destroy(p);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return ok;
}

bool sg_dnn_pack(sg_dnn_weights **out, const float *value, int k, int n, int stride_k, int stride_n)
{
    const int deep = blocks(k, SG_DNN_DEPTH), wide = blocks(n, SG_DNN_COLS);
    sg_dnn_weights *w = *out ? *out : weights_new(k, n);
    bool ok = w != NULL;

    for (int j = 0; ok && j < wide; j++) {
        for (int i = 0; ok && i < deep; i++) {
            const product *p = leader_of(w, i, j);
            const float *from = value + (size_t)i * SG_DNN_DEPTH * (size_t)stride_k +
                                (size_t)j * SG_DNN_COLS * (size_t)stride_n;

            ok = p && reorder(&p->b, w->data + w->at[j * deep + i], from, stride_k, stride_n);
        }
    }
    if (ok)
        *out = w;
    else if (!*out)
        sg_dnn_weights_free(w);
    return ok;
}

/* rows of c (+)= rows of a times block (i, j); full: rows is 128 or 16, else the tile is padded to 16. */
static bool block_product(const sg_dnn_weights *w, int i, int j, int rows, const uint16_t *a, bool add,
                          float *c, int ldc)
{
    const int k = least(SG_DNN_DEPTH, w->k - i * SG_DNN_DEPTH),
              n = least(SG_DNN_COLS, w->n - j * SG_DNN_COLS);
    const bool whole = rows == SG_DNN_ROWS || rows == ROWS_SMALL;
    const uint16_t *b = w->data + w->at[j * blocks(w->k, SG_DNN_DEPTH) + i];
    product *p = product_of((shape){whole ? rows : ROWS_SMALL, n, k, whole ? ldc : n, true, whole && add});
    float padded[ROWS_SMALL * SG_DNN_COLS];

    if (!p || whole)
        return p && execute(p, a, b, c);
    if (!execute(p, a, b, padded))
        return false;
    for (int r = 0; r < rows; r++) {
        float *to = c + (size_t)r * (size_t)ldc;
        const float *from = padded + (size_t)r * (size_t)n;

        if (add)
            sg_kernels_best()->add(to, to, from, (size_t)n);
        else
            memcpy(to, from, (size_t)n * sizeof *to);
    }
    return true;
}

bool sg_dnn_tile_bf16(const sg_dnn_weights *w, int block, int m, const float *a, int lda, bool add, float *c,
                      int ldc)
{
    uint16_t tile[SG_DNN_ROWS * SG_DNN_DEPTH];

    for (int i = 0; i < blocks(w->k, SG_DNN_DEPTH); i++) {
        const int k = least(SG_DNN_DEPTH, w->k - i * SG_DNN_DEPTH);

        for (int row = 0, rows; row < m; row += rows) {
            rows = m - row == SG_DNN_ROWS ? m : least(ROWS_SMALL, m - row);
            round_rows(tile, a + (size_t)row * (size_t)lda + (size_t)i * SG_DNN_DEPTH, lda, rows, k,
                       rows < ROWS_SMALL ? ROWS_SMALL : rows);
            if (!block_product(w, i, block, rows, tile, add || i > 0, c + (size_t)row * (size_t)ldc, ldc))
                return false;
        }
    }
    return true;
}

bool sg_dnn_sum_bf16(int m, int n, int k, const float *a, int lda, const float *b, int ldb, bool add,
                     float *c, int ldc, uint16_t *scratch)
{
    uint16_t *sa = scratch, *sb = scratch + (size_t)SG_DNN_SUM * (size_t)m;
    product *p = product_of((shape){m, n, SG_DNN_SUM, ldc, false, add});

    if (!p)
        return false;
    round_rows(sa, a, lda, k, m, SG_DNN_SUM);
    round_rows(sb, b, ldb, k, n, SG_DNN_SUM);
    return execute(p, sa, sb, c);
}
