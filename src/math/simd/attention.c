/* attention.c - softmax attention of one head of one sequence, and its gradient. Formulas: math/attention.c.
 *
 * Keys are taken in tiles, transposed once a tile; query rows in groups small enough that a group's logits stay in the
 * first cache. A row keeps its running maximum and sum between tiles, its output is rescaled when the maximum moves. In
 * the gradient the probabilities come back from the logits and lse. */
#include "math/simd/tile.h"

#include "math/attention.h"

#include <math.h>

enum { ROWS = TILE_ROWS, KEYS = SG_ATTEND_KEYS, BLOCK = SG_ATTEND_BLOCK, BLOCK_KEYS = SG_ATTEND_BLOCK_KEYS };

static int up(int n) /* to whole vectors */
{
    return (n + SG_LANES - 1) / SG_LANES * SG_LANES;
}

static int down(int n)
{
    return n / SG_LANES * SG_LANES;
}

typedef struct span { /* keys of the tile, first .. end - 1 */
    int first, end;
} span;

static span row_span(const sg_attend *a, int r, int c0, int n)
{
    span s = {0, n};

    if (a->lo) {
        s.first = a->lo[r] - c0;
        s.end = a->hi[r] - c0;
        s.first = s.first < 0 ? 0 : s.first;
        s.end = s.end > n ? n : s.end;
        if (s.end <= s.first)
            s = (span){0, 0};
    }
    return s;
}

/* What any of n rows sees of the tile. */
static span rows_span(const sg_attend *a, int r, int n_rows, int c0, int n)
{
    span all = {n, 0};

    if (!a->lo)
        return (span){0, n};
    for (int i = 0; i < n_rows; i++) {
        const span s = row_span(a, r + i, c0, n);

        if (s.end > s.first) {
            all.first = s.first < all.first ? s.first : all.first;
            all.end = s.end > all.end ? s.end : all.end;
        }
    }
    return all;
}

static sg_vi lanes(int c) /* c, c + 1, ... */
{
    static const int32_t steps[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    sg_vi v;

    memcpy(&v, steps, sizeof v);
    return v + c;
}

/* Logits of `n_rows` rows over columns first .. end - 1 (whole vectors) of the tile: scaled, biased, hidden keys -inf. */
static void group_logits(float *s, size_t ld, const sg_attend *a, const float *kt, size_t ld_t, int r,
                         int n_rows, int c0, int n, int first, int end)
{
    float gain[ROWS];
    tile_job t = {.k = a->dh,
                  .a = a->q + (size_t)r * a->ld_q,
                  .a_ld = a->ld_q,
                  .b = kt + first,
                  .b_ld = ld_t,
                  .c = s + first,
                  .c_ld = ld,
                  .gain = gain};

    for (int i = 0; i < n_rows; i++)
        gain[i] = a->scale;
    tile_product(&t, n_rows, end - first);
    for (int i = 0; i < n_rows; i++, s += ld) {
        const span seen = row_span(a, r + i, c0, n);

        if (a->bias) {
            const float *bias = a->bias + (c0 - (a->place ? a->place[r + i] : r + i));

            for (int c = first; c < end; c += SG_LANES)
                sg_store(s + c, sg_load(s + c) + sg_load(bias + c));
        }
        for (int c = first; c < seen.first; c += SG_LANES)
            sg_store(s + c, sg_pick(lanes(c) < seen.first, sg_splat(-INFINITY), sg_load(s + c)));
        for (int c = down(seen.end) > first ? down(seen.end) : first; c < end; c += SG_LANES)
            sg_store(s + c, sg_pick(lanes(c) >= seen.end, sg_splat(-INFINITY), sg_load(s + c)));
    }
}

/* x times 0 or 1 / (1 - dropout), for columns first .. end - 1 of row r; the tile starts at key c0. The mask is drawn for
 * 32 numbers at once: columns around the range are changed too. */
static void drop_row(float *x, const sg_attend *a, int r, int c0, int first, int end)
{
    const uint64_t row = (a->drop_row + (uint64_t)r * a->drop_step) * a->drop_stride + (uint64_t)c0;
    const int from = first / 32 * 32, to = (end + 31) / 32 * 32;

    SG_KERNEL(dropout)(x + from, x + from, NULL, row + (uint64_t)from, (size_t)(to - from), &a->drop);
}

static float row_max(const float *s, int first, int end)
{
    sg_vf m = sg_load(s + first);

    for (int c = first + SG_LANES; c < end; c += SG_LANES)
        m = sg_vmax(sg_load(s + c), m);
    return sg_hmax(m);
}

static float row_exp(float *s, int first, int end, float shift)
{
    sg_vf sum = {0};

    for (int c = first; c < end; c += SG_LANES) {
        const sg_vf e = tile_exp(sg_load(s + c) - shift);

        sum += e;
        sg_store(s + c, e);
    }
    return sg_hsum(sum);
}

/* Logits become exp(logit - maximum so far), after dropout; most and sum take the tile in. keep: what older sums and
 * outputs are to be multiplied by; gain: 1 / sum. Step by step over all rows: the rows hide each other's latency. */
static void group_softmax(float *s, const sg_attend *a, int r, int n_rows, int c0, int first, int end,
                          float *most, float *sum, float *keep, float *gain)
{
    float now[ROWS];

    for (int i = 0; i < n_rows; i++) {
        const float here = row_max(s + i * KEYS, first, end);

        now[i] = here > most[i] ? here : most[i];
    }
    for (int i = 0; i < n_rows; i++)
        gain[i] = row_exp(s + i * KEYS, first, end, now[i] == -INFINITY ? 0 : now[i]);
    for (int i = 0; i < n_rows; i++) {
        keep[i] = sum[i] > 0 && now[i] > most[i] ? expf(most[i] - now[i]) : 1;
        most[i] = now[i];
        sum[i] = sum[i] * keep[i] + gain[i];
        gain[i] = sum[i] > 0 ? 1 / sum[i] : 0;
    }
    for (int i = 0; i < n_rows && a->drop.below; i++)
        drop_row(s + i * KEYS, a, r + i, c0, first, end);
}

/* Asks for rows that will be read soon: rows of one head lie apart, which the hardware does not foresee. */
static void fetch_rows(const float *x, size_t ld, int rows, int dh)
{
    for (int r = 0; r < rows; r++)
        for (int d = 0; d < dh; d += 16)
            __builtin_prefetch(x + (size_t)r * ld + d);
}

/* n rows of a group: at most ROWS, groups of nearly one size. */
static int group_rows(int n)
{
    const int groups = (n + ROWS - 1) / ROWS;

    return groups ? (n + groups - 1) / groups : 1;
}

void SG_KERNEL(attend)(const sg_attend *a, float *work)
{
    const bool one = a->n_k <= KEYS; /* one tile: no running maximum */
    const int rows = group_rows(a->n_q);
    float *kt = work, *s = kt + (size_t)a->dh * KEYS, *most = s + ROWS * KEYS, *sum = most + a->n_q;

    for (int r = 0; r < a->n_q; r++) {
        most[r] = -INFINITY;
        sum[r] = 0;
        if (!one || a->n_k == 0)
            memset(a->out + (size_t)r * a->ld_out, 0, (size_t)a->dh * sizeof *a->out);
    }
    for (int c0 = 0; c0 < a->n_k; c0 += KEYS) {
        const int n = a->n_k - c0 < KEYS ? a->n_k - c0 : KEYS;

        fetch_rows(a->v + (size_t)c0 * a->ld_v, a->ld_v, n, a->dh);
        tile_transpose(kt, (size_t)up(n), a->k + (size_t)c0 * a->ld_k, a->ld_k, n, a->dh);
        for (int r = 0; r < a->n_q; r += rows) {
            const int n_rows = a->n_q - r < rows ? a->n_q - r : rows;
            const span seen = rows_span(a, r, n_rows, c0, n);
            const int first = down(seen.first), end = up(seen.end);
            float keep[ROWS], gain[ROWS];
            tile_job t = {.k = seen.end - first,
                          .a = s + first,
                          .a_ld = KEYS,
                          .b = a->v + (size_t)(c0 + first) * a->ld_v,
                          .b_ld = a->ld_v,
                          .c = a->out + (size_t)r * a->ld_out,
                          .c_ld = a->ld_out};

            if (seen.end <= seen.first) {
                for (int i = 0; i < n_rows && one; i++)
                    memset(a->out + (size_t)(r + i) * a->ld_out, 0, (size_t)a->dh * sizeof *a->out);
                continue;
            }
            group_logits(s, KEYS, a, kt, (size_t)up(n), r, n_rows, c0, n, first, end);
            group_softmax(s, a, r, n_rows, c0, first, end, most + r, sum + r, keep, gain);
            t.keep = one ? NULL : keep;
            t.gain = one ? gain : NULL;
            tile_product(&t, n_rows, a->dh);
        }
    }
    for (int r = 0; r < a->n_q; r++) {
        float *out = a->out + (size_t)r * a->ld_out;
        const float inv = sum[r] > 0 ? 1 / sum[r] : 0;

        for (int d = 0; d < a->dh && !one; d += SG_LANES)
            sg_store(out + d, sg_load(out + d) * inv);
        if (a->lse) /* a row that sees nothing: any finite number, its logits are -inf */
            a->lse[r] = sum[r] > 0 ? most[r] + logf(sum[r]) : 0;
    }
}

static float row_dot(const float *x, const float *y, int n)
{
    sg_vf sum = {0};

    for (int d = 0; d < n; d += SG_LANES)
        sum += sg_load(x + d) * sg_load(y + d);
    return sg_hsum(sum);
}

/* p becomes the probabilities as used (after dropout), ds (the gradient of those) the gradient of the logits. */
static void row_grad(float *p, float *ds, const sg_attend *a, int r, int c0, int first, int end, float mean)
{
    const float lse = a->lse[r];

    for (int c = first; c < end; c += SG_LANES)
        sg_store(p + c, tile_exp(sg_load(p + c) - lse));
    if (a->drop
            .below) { /* ds = p (m dp - mean), used p = m p: keep p until the mask has been applied to dp */
        float plain[BLOCK_KEYS];

        memcpy(plain + first, p + first, (size_t)(end - first) * sizeof *p);
        drop_row(p, a, r, c0, first, end);
        drop_row(ds, a, r, c0, first, end);
        for (int c = first; c < end; c += SG_LANES)
            sg_store(ds + c, sg_load(plain + c) * (sg_load(ds + c) - mean));
    } else {
        for (int c = first; c < end; c += SG_LANES)
            sg_store(ds + c, sg_load(p + c) * (sg_load(ds + c) - mean));
    }
    if (a->dbias) {
        float *dbias = a->dbias + (c0 - (a->place ? a->place[r] : r));

        for (int c = first; c < end; c += SG_LANES)
            sg_store(dbias + c, sg_load(dbias + c) + sg_load(ds + c));
    }
}

static void clear(float *x, int first, int end)
{
    for (int c = first; c < end; c += SG_LANES)
        sg_store(x + c, (sg_vf){0});
}

/* to (keys, dh) += gain x^T rows, x (n_rows, keys): the gradient of v (x: probabilities) or of k (x: ds). Rows that see
 * none of a few keys are left out: half of the work under a causal mask. */
static void keys_grad(float *to, size_t ld_to, const float *x, const float *rows, size_t ld_rows,
                      const sg_attend *a, int r0, int n_rows, int c0, int n, span seen, float gain_of_all)
{
    float keep[2 * ROWS], gain[2 * ROWS];

    for (int i = 0; i < 2 * ROWS; i++) {
        keep[i] = 1;
        gain[i] = gain_of_all;
    }
    for (int c = seen.first; c < seen.end; c += 2 * ROWS) {
        const int n_keys = seen.end - c < 2 * ROWS ? seen.end - c : 2 * ROWS;
        int r = 0, end = n_rows;

        for (; r < end && a->lo; r++) {
            const span s = row_span(a, r0 + r, c0, n);
            if (s.first < c + n_keys && s.end > c)
                break;
        }
        for (; end > r && a->lo; end--) {
            const span s = row_span(a, r0 + end - 1, c0, n);
            if (s.first < c + n_keys && s.end > c)
                break;
        }
        tile_product(&(tile_job){.k = end - r,
                                 .a = x + (size_t)r * BLOCK_KEYS + c,
                                 .transposed = true,
                                 .a_ld = BLOCK_KEYS,
                                 .b = rows + (size_t)r * ld_rows,
                                 .b_ld = ld_rows,
                                 .c = to + (size_t)(c0 + c) * ld_to,
                                 .c_ld = ld_to,
                                 .keep = keep,
                                 .gain = gain},
                     n_keys, a->dh);
    }
}

typedef struct grad_tile {
    const sg_attend *a;
    const float *kt, *vt; /* (dh, up(n)) */
    float *p, *ds;        /* (BLOCK, BLOCK_KEYS) */
    const float *mean;    /* (n_q) sum over keys of p dp = out . dout */
    int c0, n;
} grad_tile;

/* Query rows r0 .. r0 + n_rows - 1 against one tile of keys. */
static void block_grad(const grad_tile *t, int r0, int n_rows)
{
    const sg_attend *a = t->a;
    const span seen = rows_span(a, r0, n_rows, t->c0, t->n);
    const int all_first = down(seen.first), all_end = up(seen.end), rows = group_rows(n_rows);
    const size_t ld_t = (size_t)up(t->n);
    float ones[ROWS], gain[ROWS];

    if (seen.end <= seen.first)
        return;
    for (int i = 0; i < ROWS; i++) {
        ones[i] = 1;
        gain[i] = a->scale;
    }
    for (int r = 0; r < n_rows; r += rows) {
        const int m = n_rows - r < rows ? n_rows - r : rows, row = r0 + r;
        const span some = rows_span(a, row, m, t->c0, t->n);
        const bool any = some.end > some.first;
        const int first = any ? down(some.first) : all_end, end = any ? up(some.end) : all_end;
        float *p = t->p + (size_t)r * BLOCK_KEYS, *ds = t->ds + (size_t)r * BLOCK_KEYS;

        for (int i = 0; i < m; i++) {
            clear(p + i * BLOCK_KEYS, all_first, first);
            clear(p + i * BLOCK_KEYS, end, all_end);
            clear(ds + i * BLOCK_KEYS, all_first, first);
            clear(ds + i * BLOCK_KEYS, end, all_end);
        }
        if (!any)
            continue;
        group_logits(p, BLOCK_KEYS, a, t->kt, ld_t, row, m, t->c0, t->n, first, end);
        tile_product(&(tile_job){.k = a->dh,
                                 .a = a->dout + (size_t)row * a->ld_out,
                                 .a_ld = a->ld_out,
                                 .b = t->vt + first,
                                 .b_ld = ld_t,
                                 .c = ds + first,
                                 .c_ld = BLOCK_KEYS},
                     m, end - first);
        for (int i = 0; i < m; i++)
            row_grad(p + i * BLOCK_KEYS, ds + i * BLOCK_KEYS, a, row + i, t->c0, first, end,
                     t->mean[row + i]);
        if (a->dq)
            tile_product(&(tile_job){.k = some.end - first,
                                     .a = ds + first,
                                     .a_ld = BLOCK_KEYS,
                                     .b = a->k + (size_t)(t->c0 + first) * a->ld_k,
                                     .b_ld = a->ld_k,
                                     .c = a->dq + (size_t)row * a->ld_q,
                                     .c_ld = a->ld_q,
                                     .keep = ones,
                                     .gain = gain},
                         m, a->dh);
    }
    if (a->dv)
        keys_grad(a->dv, a->ld_v, t->p, a->dout + (size_t)r0 * a->ld_out, a->ld_out, a, r0, n_rows, t->c0,
                  t->n, seen, 1);
    if (a->dk)
        keys_grad(a->dk, a->ld_k, t->ds, a->q + (size_t)r0 * a->ld_q, a->ld_q, a, r0, n_rows, t->c0, t->n,
                  seen, a->scale);
}

void SG_KERNEL(attend_grad)(const sg_attend *a, float *work)
{
    float *kt = work, *vt = kt + (size_t)a->dh * BLOCK_KEYS, *p = vt + (size_t)a->dh * BLOCK_KEYS;
    float *ds = p + BLOCK * BLOCK_KEYS, *mean = ds + BLOCK * BLOCK_KEYS;

    for (int r = 0; r < a->n_q; r++)
        mean[r] = row_dot(a->out + (size_t)r * a->ld_out, a->dout + (size_t)r * a->ld_out, a->dh);
    for (int c0 = 0; c0 < a->n_k; c0 += BLOCK_KEYS) {
        const int n = a->n_k - c0 < BLOCK_KEYS ? a->n_k - c0 : BLOCK_KEYS;
        const grad_tile t = {a, kt, vt, p, ds, mean, c0, n};

        tile_transpose(kt, (size_t)up(n), a->k + (size_t)c0 * a->ld_k, a->ld_k, n, a->dh);
        tile_transpose(vt, (size_t)up(n), a->v + (size_t)c0 * a->ld_v, a->ld_v, n, a->dh);
        for (int r = 0; r < a->n_q; r += BLOCK)
            block_grad(&t, r, a->n_q - r < BLOCK ? a->n_q - r : BLOCK);
    }
}
