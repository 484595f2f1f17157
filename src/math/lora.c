/* lora.c - a frozen or learning linear layer with a low-rank part beside it.   [Hu et al. 2021, eq. 3]
 *
 *   y = x w^T + bias + s drop(x) a^T b^T        x (rows, in), w (out, in), a (r, in), b (out, r)
 *   u = s drop(x) a^T                           (rows, r), kept
 *   du = s dy b;  db += dy^T u;  da += du^T drop(x);  dx += dy w + mask (du a)
 *
 * r is small: every product with it reads or writes the wide side once, so they run a few rows at a time while those are in cache,
 * in f32 whatever the precision of x w^T. Rows of u are rounded up to whole vectors (zeros), so that r may be anything. Sums over rows are cut
 * into fixed pieces and joined in order. */
#include "math/gemm.h"
#include "math/op.h"

#include <string.h>

enum { LANES = 16, GROUP = 32 /* rows a time */, PIECES_MOST = 16 };

typedef struct saved_lora {
    sg_tensor *x;
    sg_param *w, *bias, *a, *b;
    float scale;
    sg_drop drop;       /* below 0: none */
    int in, out, r, up; /* up: r in whole vectors */
    float *u;           /* (rows, up) */
} saved_lora;

static int whole(int n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* to (cols, up) = x (up to `up` rows, cols) the other way round, zeros behind */
static void turn(float *to, const float *x, int rows, int cols, int up)
{
    memset(to, 0, (size_t)cols * (size_t)up * sizeof *to);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            to[(size_t)j * (size_t)up + (size_t)i] = x[(size_t)i * (size_t)cols + (size_t)j];
}

/* c (m, n) = (add ? c : 0) + gain op(a) b; the library takes widths that are no whole vectors. */
static void product(bool ta, int m, int n, int k, float gain, const float *a, int lda, const float *b,
                    int ldb, bool add, float *c, int ldc)
{
    if (n % LANES)
        sg_gemm(NULL, SG_F32, ta, false, m, n, k, gain, a, lda, b, ldb, add ? 1 : 0, c, ldc);
    else
        sg_kernels_best()->product(
            &(sg_product){m, n, k, a, b, (size_t)lda, (size_t)ldb, (size_t)ldc, c, ta, add, gain});
}

/* Rows first .. first + n - 1 of drop(x): those of x where nothing is dropped. */
static const float *dropped(const saved_lora *s, float *room, size_t first, size_t n)
{
    const size_t in = (size_t)s->in;

    if (!s->drop.below)
        return s->x->data + first * in;
    sg_kernels_best()->dropout(room, s->x->data + first * in, NULL, first * in, n * in, &s->drop);
    return room;
}

/* ---- forward -------------------------------------------------------------------------------------------------- */

typedef struct forward_work {
    const saved_lora *s;
    const float *at, *bt; /* (in, up), (r, out) */
    float *room;          /* (threads, GROUP, in) */
    float *y;
} forward_work;

static void down_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const forward_work *f = ctx;
    const saved_lora *s = f->s;
    float *room = f->room + (size_t)thread * GROUP * (size_t)s->in;

    for (size_t r = begin; r < end; r += GROUP) {
        const size_t n = r + GROUP < end ? GROUP : end - r;

        product(false, (int)n, s->up, s->in, s->scale, dropped(s, room, r, n), s->in, f->at, s->up, false,
                s->u + r * (size_t)s->up, s->up);
    }
}

/* Adds bias and u b^T to a tile of x w^T that was just made. */
static void up_tile(void *ctx, int row, int rows, int col, int cols)
{
    const forward_work *f = ctx;
    const saved_lora *s = f->s;
    float *y = f->y + (size_t)row * (size_t)s->out + (size_t)col;

    for (int r = 0; r < rows && s->bias; r++)
        sg_kernels_best()->add(y + (size_t)r * (size_t)s->out, y + (size_t)r * (size_t)s->out,
                               s->bias->value + col, (size_t)cols);
    product(false, rows, cols, s->r, 1, s->u + (size_t)row * (size_t)s->up, s->up, f->bt + col, s->out, true,
            y, s->out);
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

typedef struct backward_work {
    const saved_lora *s;
    const float *b; /* (out, up) */
    const float *dy;
    float *du;      /* (rows, up) */
    float *dx;      /* NULL: not wanted */
    float *room;    /* (threads, GROUP, in) */
    float *da, *db; /* (pieces, r, in), (pieces, r, out): of transposed b; NULL: not wanted */
} backward_work;

static void back_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const backward_work *w = ctx;
    const saved_lora *s = w->s;
    const size_t in = (size_t)s->in, out = (size_t)s->out, up = (size_t)s->up;
    float *room = w->room + (size_t)thread * GROUP * in;
    float *da = w->da ? w->da + piece * (size_t)s->r * in : NULL,
          *db = w->db ? w->db + piece * (size_t)s->r * out : NULL;

    for (size_t r = begin; r < end; r += GROUP) {
        const int n = (int)(r + GROUP < end ? GROUP : end - r);
        const float *dy = w->dy + r * out;
        float *du = w->du + r * up;

        product(false, n, s->up, s->out, s->scale, dy, s->out, w->b, s->up, false, du, s->up);
        if (db)
            product(true, s->r, s->out, n, 1, s->u + r * up, s->up, dy, s->out, r > begin, db, s->out);
        if (da)
            product(true, s->r, s->in, n, 1, du, s->up, dropped(s, room, r, (size_t)n), s->in, r > begin, da,
                    s->in);
        if (w->dx && !s->drop.below) {
            product(false, n, s->in, s->r, 1, du, s->up, s->a->value, s->in, true, w->dx + r * in, s->in);
        } else if (w->dx) {
            product(false, n, s->in, s->r, 1, du, s->up, s->a->value, s->in, false, room, s->in);
            sg_kernels_best()->dropout(w->dx + r * in, room, w->dx + r * in, r * in, (size_t)n * in,
                                       &s->drop);
        }
    }
}

static size_t back_grain(size_t rows)
{
    const size_t each = (rows + PIECES_MOST - 1) / PIECES_MOST;

    return each > GROUP ? (each + GROUP - 1) / GROUP * GROUP : GROUP;
}

static bool low_rank_back(sg_graph *g, const saved_lora *s, const float *dy, float *dx)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    const size_t rows = sg_height(s->x), grain = back_grain(rows), pieces = sg_pieces(rows, grain),
                 r = (size_t)s->r;
    float *da = sg_param_grad(g, s->a), *db = sg_param_grad(g, s->b), *b = NULL;
    backward_work w = {.s = s, .dy = dy, .dx = dx, .b = s->b->value};

    if (!(w.du = sg_scratch(g, rows * (size_t)s->up, sizeof *w.du)) ||
        !(w.room = sg_scratch(g, (size_t)sg_pool_threads(sg_graph_pool(g)) * GROUP * (size_t)s->in,
                              sizeof *w.room)) ||
        (da && !(w.da = sg_scratch(g, pieces * r * (size_t)s->in, sizeof *w.da))) ||
        (db && !(w.db = sg_scratch(g, pieces * r * (size_t)s->out, sizeof *w.db))) ||
        (s->up != s->r && !(b = sg_scratch(g, (size_t)s->out * (size_t)s->up, sizeof *b))))
        return false;
    for (size_t i = 0; b && i < (size_t)s->out; i++) {
        memcpy(b + i * (size_t)s->up, s->b->value + i * r, r * sizeof *b);
        memset(b + i * (size_t)s->up + r, 0, ((size_t)s->up - r) * sizeof *b);
    }
    if (b)
        w.b = b;
    sg_parallel_for(sg_graph_pool(g), rows, grain, back_body, &w);
    if (da)
        sg_join(da, w.da, pieces, r * (size_t)s->in);
    for (size_t p = 0; db && p < pieces; p++)
        for (size_t i = 0; i < r; i++)
            for (size_t o = 0; o < (size_t)s->out; o++)
                db[o * r + i] += w.db[(p * r + i) * (size_t)s->out + o];
    sg_arena_back(sg_graph_arena(g), mark);
    return true;
}

static void backward(sg_graph *g, sg_tensor *out, void *saved)
{
    const saved_lora *s = saved;
    const int rows = (int)sg_height(s->x);
    float *grad = sg_param_grad(g, s->bias), *dx = NULL;
    bool fresh;

    if (grad)
        sg_sum_rows(g, grad, out->grad, (size_t)rows, (size_t)s->out);
    if ((grad = sg_param_grad(g, s->w)) &&
        !sg_gemm_linear_dw(sg_graph_pool(g), sg_graph_arena(g), sg_graph_precision(g), rows, out->grad,
                           s->out, s->x->data, s->in, s->out, s->in, grad)) {
        sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: gradient of '%s'", s->w->name);
        return;
    }
    if (sg_wants(g, s->x) && (dx = sg_grad_fresh(g, s->x, &fresh))) {
        sg_bits room;
        sg_param *w = sg_bits_of(g, &room, s->w);

        if (w)
            sg_gemm_linear_dx(sg_graph_pool(g), sg_graph_precision(g), rows, out->grad, s->out, w, dx, s->in,
                              !fresh);
        sg_bits_back(g, &room, s->w);
    }
    low_rank_back(g, s, out->grad, dx);
}

sg_tensor *sg_linear_lora(sg_graph *g, sg_tensor *x, sg_param *w, sg_param *bias, sg_param *a, sg_param *b,
                          float scale, float dropout)
{
    saved_lora *s;
    float *at, *bt;
    int dim[4];
    sg_tensor *y;

    if (!x || !w || !a || !b)
        return NULL;
    if (w->rank != 2 || x->rank < 1 || x->dim[x->rank - 1] != w->dim[1] ||
        (bias && bias->count != (size_t)w->dim[0]) || a->rank != 2 || b->rank != 2 ||
        a->dim[1] != w->dim[1] || b->dim[0] != w->dim[0] || a->dim[0] != b->dim[1])
        return sg_graph_fail(g, SG_ERR_USAGE, "lora '%s': rows, weights, bias and low-rank parts do not fit",
                             w->name);
    memcpy(dim, x->dim, sizeof dim);
    dim[x->rank - 1] = w->dim[0];
    if (!(y = sg_tensor_new(g, x->rank, dim)) || !(s = sg_scratch(g, 1, sizeof *s)))
        return NULL;
    *s = (saved_lora){.x = x,
                      .w = w,
                      .bias = bias,
                      .a = a,
                      .b = b,
                      .scale = scale,
                      .in = w->dim[1],
                      .out = w->dim[0],
                      .r = a->dim[0],
                      .up = whole(a->dim[0])};
    const size_t rows = sg_height(x);
    if (!sg_drop_make(g, &s->drop, "lora", dropout) ||
        !(s->u = sg_scratch(g, rows * (size_t)s->up, sizeof *s->u)))
        return NULL;
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    forward_work f = {.s = s, .y = y->data};
    at = sg_scratch(g, (size_t)s->in * (size_t)s->up, sizeof *at);
    bt = sg_scratch(g, (size_t)s->r * (size_t)s->out, sizeof *bt);
    f.room = sg_scratch(g, (size_t)sg_pool_threads(sg_graph_pool(g)) * GROUP * (size_t)s->in, sizeof *f.room);
    if (!at || !bt || !f.room)
        return NULL;
    turn(at, a->value, s->r, s->in, s->up);
    turn(bt, b->value, s->out, s->r, s->out);
    f.at = at;
    f.bt = bt;
    sg_parallel_for(sg_graph_pool(g), rows, 4 * GROUP, down_body, &f);
    sg_bits room;
    sg_param *numbers = sg_bits_of(g, &room, w);
    if (numbers)
        sg_gemm_linear_then(sg_graph_pool(g), sg_graph_precision(g), (int)rows, x->data, s->in, numbers,
                            y->data, s->out, up_tile, &f);
    sg_bits_back(g, &room, w);
    if (!numbers)
        return NULL;
    sg_arena_back(sg_graph_arena(g), mark);
    if (sg_wants(g, x) || sg_param_trains(g, w) || sg_param_trains(g, bias) || sg_param_trains(g, a) ||
        sg_param_trains(g, b))
        sg_tape(g, y, backward, s);
    return y;
}
