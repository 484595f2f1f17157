/* gru.c - one group of sequences through a gated recurrent unit, forward and back. Formulas: math/gru.c.
 *
 * At every step the states of the sequences that are still running are one small matrix: two products a step.
 */
#include "math/simd/tile.h"

#include "math/gru.h"

static sg_vf sigmoid(sg_vf x)
{
    return 1.0f / (1.0f + tile_exp(sg_vmin(sg_splat(87.0f), -x)));
}

static sg_vf tangent(sg_vf x) /* near 0 to 1e-7, not relatively */
{
    return 2.0f * sigmoid(2.0f * x) - 1.0f;
}

/* The vector at column c of a row of d numbers: zeros after its end. */
static sg_vf get(const float *row, int c, int d)
{
    return c + SG_LANES <= d ? sg_load(row + c) : c < d ? sg_load_n(row + c, (size_t)(d - c)) : (sg_vf){0};
}

static void put(float *row, int c, int d, sg_vf x)
{
    if (c + SG_LANES <= d)
        sg_store(row + c, x);
    else if (c < d)
        sg_store_n(row + c, x, (size_t)(d - c));
}

static int running(const sg_gru_group *g, int t)
{
    int m = 0;

    while (m < g->n && g->len[m] > t)
        m++;
    return m;
}

void SG_KERNEL(gru)(const sg_gru_group *g, float *work)
{
    const size_t w = (size_t)g->w, d = (size_t)g->d;
    float *h = work, *a = h + SG_GRU_ROWS * w, *left = a + 3 * SG_GRU_ROWS * w; /* (n, w), (n, 3 w), (n, w) */

    memset(h, 0, SG_GRU_ROWS * w * sizeof *h);
    for (int i = 0; g->start && i < g->n; i++)
        memcpy(h + (size_t)i * w, g->start[i], d * sizeof *h);
    for (int t = 0, m; (m = running(g, t)) > 0; t++) {
        tile_product(
            &(tile_job){.k = g->w, .a = h, .a_ld = w, .b = g->u, .b_ld = 3 * w, .c = a, .c_ld = 3 * w}, m,
            2 * g->w);
        for (int i = 0; i < m; i++) {
            const size_t token = (size_t)(g->first[i] + t);
            const float *x = g->x + token * 3 * d;
            float *ai = a + (size_t)i * 3 * w, *hi = h + (size_t)i * w, *to = left + (size_t)i * w;

            for (int c = 0; c < g->w; c += SG_LANES) {
                const sg_vf z = sigmoid(get(x, c, g->d) + sg_load(ai + c));
                const sg_vf r = sigmoid(get(x + d, c, g->d) + sg_load(ai + w + c));

                sg_store(ai + c, z);
                put(g->gate + token * 3 * d, c, g->d, z);
                put(g->gate + token * 3 * d + d, c, g->d, r);
                sg_store(to + c, r * sg_load(hi + c));
            }
        }
        tile_product(&(tile_job){.k = g->w,
                                 .a = left,
                                 .a_ld = w,
                                 .b = g->u + 2 * w,
                                 .b_ld = 3 * w,
                                 .c = a + 2 * w,
                                 .c_ld = 3 * w},
                     m, g->w);
        for (int i = 0; i < m; i++) {
            const size_t token = (size_t)(g->first[i] + t);
            const float *ai = a + (size_t)i * 3 * w;
            float *hi = h + (size_t)i * w;

            for (int c = 0; c < g->w; c += SG_LANES) {
                const sg_vf cand =
                    tangent(get(g->x + token * 3 * d + 2 * d, c, g->d) + sg_load(ai + 2 * w + c));
                const sg_vf now = sg_load(hi + c) + sg_load(ai + c) * (cand - sg_load(hi + c));

                put(g->gate + token * 3 * d + 2 * d, c, g->d, cand);
                put(g->h + token * d, c, g->d, now);
                sg_store(hi + c, now);
            }
        }
    }
}

void SG_KERNEL(gru_grad)(const sg_gru_group *g, float *work)
{
    const size_t w = (size_t)g->w, d = (size_t)g->d;
    float *dh = work, *a = dh + SG_GRU_ROWS * w,
          *dleft = a + 3 * SG_GRU_ROWS * w; /* as above; a: gradients of sums */
    float ones[SG_GRU_ROWS];

    for (int i = 0; i < SG_GRU_ROWS; i++)
        ones[i] = 1;
    memset(dh, 0, SG_GRU_ROWS * w * sizeof *dh);
    for (int t = g->n ? g->len[0] - 1 : -1; t >= 0; t--) {
        const int m = running(g, t);

        for (int i = 0; i < m; i++) {
            const size_t token = (size_t)(g->first[i] + t);
            const float *gate = g->gate + token * 3 * d;
            float *ai = a + (size_t)i * 3 * w, *di = dh + (size_t)i * w;

            for (int c = 0; c < g->w; c += SG_LANES) {
                const sg_vf past = t ? get(g->h + (token - 1) * d, c, g->d) : (sg_vf){0},
                            z = get(gate, c, g->d);
                const sg_vf cand = get(gate + 2 * d, c, g->d),
                            up = sg_load(di + c) + get(g->dh + token * d, c, g->d);

                sg_store(ai + c, up * (cand - past) * z * (1.0f - z));
                sg_store(ai + 2 * w + c, up * z * (1.0f - cand * cand));
                sg_store(di + c, up * (1.0f - z));
            }
        }
        tile_product(&(tile_job){.k = g->w,
                                 .a = a + 2 * w,
                                 .a_ld = 3 * w,
                                 .b = g->ut + 2 * w * w,
                                 .b_ld = w,
                                 .c = dleft,
                                 .c_ld = w},
                     m, g->w);
        for (int i = 0; i < m; i++) {
            const size_t token = (size_t)(g->first[i] + t);
            const float *gate = g->gate + token * 3 * d;
            float *ai = a + (size_t)i * 3 * w, *di = dh + (size_t)i * w;

            for (int c = 0; c < g->w; c += SG_LANES) {
                const sg_vf past = t ? get(g->h + (token - 1) * d, c, g->d) : (sg_vf){0},
                            r = get(gate + d, c, g->d);
                const sg_vf up = sg_load(dleft + (size_t)i * w + c), dr = up * past * r * (1.0f - r);

                sg_store(ai + w + c, dr);
                sg_store(di + c, sg_load(di + c) + up * r);
                put(g->past + token * d, c, g->d, past);
                put(g->reset + token * d, c, g->d, r * past);
                put(g->da + token * 3 * d, c, g->d, sg_load(ai + c));
                put(g->da + token * 3 * d + d, c, g->d, dr);
                put(g->da + token * 3 * d + 2 * d, c, g->d, sg_load(ai + 2 * w + c));
            }
        }
        tile_product(&(tile_job){.k = 2 * g->w,
                                 .a = a,
                                 .a_ld = 3 * w,
                                 .b = g->ut,
                                 .b_ld = w,
                                 .c = dh,
                                 .c_ld = w,
                                 .keep = ones},
                     m, g->w);
    }
}
