/* hstu_attention.c - pointwise attention of one head of one sequence, and its gradient. Formulas:
 * math/hstu_attention.c.
 *
 * Keys are taken in tiles, transposed once a tile; query rows in groups small enough that a group's logits
 * stay in the first cache. Nothing is normalised, so a tile's part of the result is added and forgotten; the
 * gradient works the logits out again. The softmax of the ablation asks for the logits once more, to know lse
 * before the first weight is used. */
#include "math/simd/tile.h"

#include "math/hstu_attention.h"

#include <math.h>

enum { ROWS = TILE_ROWS, KEYS = SG_HSTU_KEYS, BLOCK = SG_HSTU_BLOCK, BLOCK_KEYS = SG_HSTU_BLOCK_KEYS };

static int up(int n) /* to whole vectors */
{
    return (n + SG_LANES - 1) / SG_LANES * SG_LANES;
}

/* Keys of the tile c0 .. c0 + n - 1 that a row standing at key `at` sees: the first of them, this many. */
static int row_end(int at, int c0, int n)
{
    const int end = at + 1 - c0;

    return end < 0 ? 0 : end < n ? end : n;
}

static sg_vi lanes(int c) /* c, c + 1, ... */
{
    static const int32_t steps[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    sg_vi v;

    memcpy(&v, steps, sizeof v);
    return v + c;
}

static sg_vi load_int(const int32_t *p)
{
    sg_vi v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- relative time ------------------------------------------------------------------------------------- */

/* Along a row the keys get younger, so the buckets only fall: one step down the table for every bucket
 * passed, no logarithm and no gather. `bucket` is that of the last key looked at. */
typedef struct clock {
    sg_vi age;    /* of the vector's keys, seen from the row */
    int youngest; /* age of the last key that counts */
} clock;

static clock clock_at(const sg_hstu_head *a, int r, int key, int end)
{
    const int last = key + SG_LANES <= end ? key + SG_LANES - 1 : end - 1;

    return (clock){a->time_q[r] - load_int(a->time_k + key), a->time_q[r] - a->time_k[last]};
}

static sg_vf time_bias(const sg_hstu_head *a, const clock *t, int *bucket)
{
    int b = *bucket;
    sg_vf y = sg_splat(a->time[b]);

    while (t->youngest < a->least[b]) {
        y = sg_pick(t->age < a->least[b], sg_splat(a->time[b - 1]), y);
        b--;
    }
    *bucket = b;
    return y;
}

/* sum (buckets, SG_LANES) += x, each number to the bucket of its key */
static void time_grad(float *sum, const sg_hstu_head *a, const clock *t, int b, sg_vf x)
{
    while (t->youngest < a->least[b]) {
        const sg_vi below = t->age < a->least[b];
        float *s = sum + b * SG_LANES;

        sg_store(s, sg_load(s) + sg_pick(below, (sg_vf){0}, x));
        x = sg_pick(below, x, (sg_vf){0});
        b--;
    }
    sg_store(sum + b * SG_LANES, sg_load(sum + b * SG_LANES) + x);
}

/* ---- forward ------------------------------------------------------------------------------------------- */

typedef struct tile {
    const sg_hstu_head *a;
    const float *kt, *vt; /* (d_qk, up(n)), (d_v, up(n)) */
    int c0, n;
    int shift;   /* row r stands at key r + shift */
    int *bucket; /* (rows of the sequence) of the last key looked at */
} tile;

static int shift_of(const sg_hstu_head *a)
{
    return a->bias ? a->n_k : a->n_k - a->n;
}

/* The first row that sees a key of the tile. */
static int row_begin(const tile *t)
{
    return t->c0 > t->shift ? t->c0 - t->shift : 0;
}

/* Products of rows r .. r + m - 1 with the tile's first `end` keys (whole vectors): s = gain x kt */
static void group_product(float *s, size_t ld, const tile *t, const float *x, const float *xt, int d, int m,
                          int end, float gain)
{
    float gains[ROWS];

    for (int i = 0; i < m; i++)
        gains[i] = gain;
    tile_product(&(tile_job){.k = d,
                             .a = x,
                             .a_ld = (size_t)d,
                             .b = xt,
                             .b_ld = (size_t)up(t->n),
                             .c = s,
                             .c_ld = ld,
                             .gain = gains},
                 m, end);
}

static sg_vf sigmoid(sg_vf x)
{
    return 1.0f / (1.0f + tile_exp(sg_vmin(sg_splat(87.0f), -x)));
}

/* The biased logit of row r and the keys at column c; `end`: columns of the tile that the row sees. */
static inline sg_vf biased(sg_vf x, const tile *t, int r, int c, int end, int *bucket)
{
    const sg_hstu_head *a = t->a;

    if (a->bias)
        return x + sg_load(a->bias + t->c0 + c);
    if (a->position)
        x += sg_load(a->position + (t->c0 + c - r - t->shift));
    if (a->time) {
        const clock now = clock_at(a, r, t->c0 + c, t->c0 + end);

        x += time_bias(a, &now, bucket);
    }
    return x;
}

static sg_vf hide(sg_vf x, int c, int end)
{
    return c + SG_LANES <= end ? x : sg_pick(lanes(c) < end, x, (sg_vf){0});
}

/* Logits become weights, columns 0 .. up(end) - 1; the rest to `all` zero. */
static void row_weights(float *s, const tile *t, int r, int end, int all)
{
    int bucket = t->bucket[r];

    for (int c = 0; c < end; c += SG_LANES) {
        const sg_vf x = biased(sg_load(s + c), t, r, c, end, &bucket);

        sg_store(s + c, hide(t->a->lse ? tile_exp(x - t->a->lse[r]) : x * sigmoid(x), c, end));
    }
    t->bucket[r] = bucket;
    for (int c = up(end); c < all; c += SG_LANES)
        sg_store(s + c, (sg_vf){0});
}

/* n rows of a group: at most ROWS, groups of nearly one size. */
static int group_rows(int n)
{
    const int groups = (n + ROWS - 1) / ROWS;

    return groups ? (n + groups - 1) / groups : 1;
}

static void reset_clocks(const tile *t)
{
    for (int r = 0; r < t->a->n; r++)
        t->bucket[r] = t->a->buckets - 1;
}

/* One more key or vector of keys into a running log-sum-exp: sum in units of exp(most). */
static void row_lse(const float *s, const tile *t, int r, int end, float *most, float *sum)
{
    int bucket = t->bucket[r];
    float x[KEYS], here = *most, part;

    for (int c = 0; c < end; c += SG_LANES) {
        const sg_vf l = biased(sg_load(s + c), t, r, c, end, &bucket);

        sg_store(x + c, c + SG_LANES <= end ? l : sg_pick(lanes(c) < end, l, sg_splat(-INFINITY)));
    }
    t->bucket[r] = bucket;
    for (int c = 0; c < end; c++)
        here = x[c] > here ? x[c] : here;
    SG_KERNEL(exp_rows)(x, x, (size_t)end, here, &part);
    *sum = (*sum > 0 ? *sum * expf(*most - here) : 0) + part;
    *most = here;
}

/* lse of every row. most: (n) scratch. */
static void softmax_sums(tile *t, float *kt, float *s, float *most)
{
    const sg_hstu_head *a = t->a;

    reset_clocks(t);
    for (int r = 0; r < a->n; r++) {
        most[r] = -INFINITY;
        a->lse[r] = 0;
    }
    for (t->c0 = 0; t->c0 < a->n_k; t->c0 += KEYS) {
        t->n = a->n_k - t->c0 < KEYS ? a->n_k - t->c0 : KEYS;
        tile_transpose(kt, (size_t)up(t->n), a->k + (size_t)t->c0 * (size_t)a->d_qk, (size_t)a->d_qk, t->n,
                       a->d_qk);
        for (int r = row_begin(t); r < a->n; r += ROWS) {
            const int m = a->n - r < ROWS ? a->n - r : ROWS;

            group_product(s, KEYS, t, a->q + (size_t)r * (size_t)a->d_qk, kt, a->d_qk, m,
                          up(row_end(r + m - 1 + t->shift, t->c0, t->n)), a->scale);
            for (int i = 0; i < m; i++)
                row_lse(s + i * KEYS, t, r + i, row_end(r + i + t->shift, t->c0, t->n), most + r + i,
                        a->lse + r + i);
        }
    }
    for (int r = 0; r < a->n; r++)
        a->lse[r] = most[r] + logf(a->lse[r]);
}

void SG_KERNEL(hstu)(const sg_hstu_head *a, float *work)
{
    float *kt = work, *s = kt + (size_t)a->d_qk * KEYS, *most = s + ROWS * KEYS;
    tile t = {.a = a, .kt = kt, .shift = shift_of(a), .bucket = (int *)(void *)(most + a->n)};
    float ones[ROWS], inv[ROWS];

    if (a->lse)
        softmax_sums(&t, kt, s, most);
    for (int i = 0; i < ROWS; i++) {
        ones[i] = 1;
        inv[i] = a->inv;
    }
    reset_clocks(&t);
    if (a->n_k == 0)
        memset(a->out, 0, (size_t)a->n * (size_t)a->d_v * sizeof *a->out);
    for (t.c0 = 0; t.c0 < a->n_k; t.c0 += KEYS) {
        const int begin = row_begin(&t), rows = group_rows(a->n - begin);

        t.n = a->n_k - t.c0 < KEYS ? a->n_k - t.c0 : KEYS;
        tile_transpose(kt, (size_t)up(t.n), a->k + (size_t)t.c0 * (size_t)a->d_qk, (size_t)a->d_qk, t.n,
                       a->d_qk);
        for (int r = begin; r < a->n; r += rows) {
            const int m = a->n - r < rows ? a->n - r : rows, end = row_end(r + m - 1 + t.shift, t.c0, t.n);

            group_product(s, KEYS, &t, a->q + (size_t)r * (size_t)a->d_qk, kt, a->d_qk, m, up(end), a->scale);
            for (int i = 0; i < m; i++)
                row_weights(s + i * KEYS, &t, r + i, row_end(r + i + t.shift, t.c0, t.n), up(end));
            tile_product(&(tile_job){.k = end,
                                     .a = s,
                                     .a_ld = KEYS,
                                     .b = a->v + (size_t)t.c0 * (size_t)a->d_v,
                                     .b_ld = (size_t)a->d_v,
                                     .c = a->out + (size_t)r * (size_t)a->d_v,
                                     .c_ld = (size_t)a->d_v,
                                     .keep = t.c0 ? ones : NULL,
                                     .gain = inv},
                         m, a->d_v);
        }
    }
}

/* ---- backward ------------------------------------------------------------------------------------------ */

static float row_dot(const float *x, const float *y, int n)
{
    sg_vf sum = {0};

    for (int d = 0; d < n; d += SG_LANES)
        sum += sg_load(x + d) * sg_load(y + d);
    return sg_hsum(sum);
}

typedef struct grad {
    tile t;
    float *p, *ds;     /* (BLOCK, BLOCK_KEYS): logits, then weights; gradients of weights, then of logits */
    const float *mean; /* (n) softmax: sum over keys of weight times its gradient = out . dout */
    float *dtime;      /* (buckets, SG_LANES) */
} grad;

static void row_grad(float *p, float *ds, const grad *g, int r, int end, int all)
{
    const sg_hstu_head *a = g->t.a;
    int bucket = g->t.bucket[r];

    for (int c = 0; c < end; c += SG_LANES) {
        const int before = bucket;
        const sg_vf x = biased(sg_load(p + c), &g->t, r, c, end, &bucket), dw = sg_load(ds + c);
        sg_vf w, dx;

        if (a->lse) {
            w = tile_exp(x - a->lse[r]);
            dx = w * (dw - g->mean[r]);
        } else { /* (x s)' = s + x s (1 - s) */
            const sg_vf s = sigmoid(x);

            w = x * s;
            dx = dw * (s + w * (1.0f - s));
        }
        w = hide(w, c, end);
        dx = hide(dx, c, end);
        sg_store(p + c, w);
        sg_store(ds + c, dx);
        if (a->dposition) {
            float *to = a->dposition + (g->t.c0 + c - r);

            sg_store(to, sg_load(to) + dx);
        }
        if (a->dtime) {
            const clock now = clock_at(a, r, g->t.c0 + c, g->t.c0 + end);

            time_grad(g->dtime, a, &now, before, dx);
        }
    }
    g->t.bucket[r] = bucket;
    for (int c = up(end); c < all; c += SG_LANES) {
        sg_store(p + c, (sg_vf){0});
        sg_store(ds + c, (sg_vf){0});
    }
}

/* to (keys, d) += gain x^T rows, x (n_rows, keys): the gradient of v (x: weights) or of k (x: ds), first
 * `end` keys of the tile. Rows before a few keys do not see them and are left out. */
static void keys_grad(float *to, int d, const float *x, const float *rows, const tile *t, int r0, int n_rows,
                      int end, float gain_of_all)
{
    float ones[2 * ROWS], gain[2 * ROWS];

    for (int i = 0; i < 2 * ROWS; i++) {
        ones[i] = 1;
        gain[i] = gain_of_all;
    }
    for (int c = 0; c < end; c += 2 * ROWS) {
        const int n_keys = end - c < 2 * ROWS ? end - c : 2 * ROWS,
                  skip = t->c0 + c > r0 ? t->c0 + c - r0 : 0;

        tile_product(&(tile_job){.k = n_rows - skip,
                                 .a = x + (size_t)skip * BLOCK_KEYS + c,
                                 .transposed = true,
                                 .a_ld = BLOCK_KEYS,
                                 .b = rows + (size_t)(r0 + skip) * (size_t)d,
                                 .b_ld = (size_t)d,
                                 .c = to + (size_t)(t->c0 + c) * (size_t)d,
                                 .c_ld = (size_t)d,
                                 .keep = ones,
                                 .gain = gain},
                     n_keys, d);
    }
}

/* Query rows r0 .. r0 + n_rows - 1 against one tile of keys. */
static void block_grad(const grad *g, int r0, int n_rows)
{
    const tile *t = &g->t;
    const sg_hstu_head *a = t->a;
    const int all = row_end(r0 + n_rows - 1, t->c0, t->n), rows = group_rows(n_rows);
    float ones[ROWS], gain[ROWS];

    for (int i = 0; i < ROWS; i++) {
        ones[i] = 1;
        gain[i] = a->scale;
    }
    for (int r = r0; r < r0 + n_rows; r += rows) {
        const int m = r0 + n_rows - r < rows ? r0 + n_rows - r : rows, end = row_end(r + m - 1, t->c0, t->n);
        float *p = g->p + (size_t)(r - r0) * BLOCK_KEYS, *ds = g->ds + (size_t)(r - r0) * BLOCK_KEYS;

        group_product(p, BLOCK_KEYS, t, a->q + (size_t)r * (size_t)a->d_qk, t->kt, a->d_qk, m, up(end),
                      a->scale);
        group_product(ds, BLOCK_KEYS, t, a->dout + (size_t)r * (size_t)a->d_v, t->vt, a->d_v, m, up(end),
                      a->inv);
        for (int i = 0; i < m; i++)
            row_grad(p + i * BLOCK_KEYS, ds + i * BLOCK_KEYS, g, r + i, row_end(r + i, t->c0, t->n), up(all));
        tile_product(&(tile_job){.k = end,
                                 .a = ds,
                                 .a_ld = BLOCK_KEYS,
                                 .b = a->k + (size_t)t->c0 * (size_t)a->d_qk,
                                 .b_ld = (size_t)a->d_qk,
                                 .c = a->dq + (size_t)r * (size_t)a->d_qk,
                                 .c_ld = (size_t)a->d_qk,
                                 .keep = ones,
                                 .gain = gain},
                     m, a->d_qk);
    }
    keys_grad(a->dv, a->d_v, g->p, a->dout, t, r0, n_rows, all, a->inv);
    keys_grad(a->dk, a->d_qk, g->ds, a->q, t, r0, n_rows, all, a->scale);
}

void SG_KERNEL(hstu_grad)(const sg_hstu_head *a, float *work)
{
    float *kt = work, *vt = kt + (size_t)a->d_qk * BLOCK_KEYS, *p = vt + (size_t)a->d_v * BLOCK_KEYS;
    float *ds = p + BLOCK * BLOCK_KEYS, *mean = ds + BLOCK * BLOCK_KEYS, *dtime = mean + a->n;
    grad g = {.t = {.a = a, .kt = kt, .vt = vt, .bucket = (int *)(void *)(dtime + 16 * a->buckets)},
              .p = p,
              .ds = ds,
              .mean = mean,
              .dtime = dtime};

    for (int r = 0; r < a->n && a->lse; r++)
        mean[r] = row_dot(a->out + (size_t)r * (size_t)a->d_v, a->dout + (size_t)r * (size_t)a->d_v, a->d_v);
    memset(dtime, 0, (size_t)(16 * a->buckets) * sizeof *dtime);
    reset_clocks(&g.t);
    for (g.t.c0 = 0; g.t.c0 < a->n; g.t.c0 += BLOCK_KEYS) {
        g.t.n = a->n - g.t.c0 < BLOCK_KEYS ? a->n - g.t.c0 : BLOCK_KEYS;
        tile_transpose(kt, (size_t)up(g.t.n), a->k + (size_t)g.t.c0 * (size_t)a->d_qk, (size_t)a->d_qk, g.t.n,
                       a->d_qk);
        tile_transpose(vt, (size_t)up(g.t.n), a->v + (size_t)g.t.c0 * (size_t)a->d_v, (size_t)a->d_v, g.t.n,
                       a->d_v);
        for (int r = g.t.c0; r < a->n; r += BLOCK)
            block_grad(&g, r, a->n - r < BLOCK ? a->n - r : BLOCK);
    }
    for (int b = 0; b < a->buckets && a->dtime; b++)
        a->dtime[b] += sg_hsum(sg_load(dtime + b * SG_LANES));
}
