/* attend_pages.c - attention of some rows to keys and values in pages (math/paged.h).
 *
 * Keys are taken in tiles of SG_PAGED_TILE; rows in groups, so that a page is read once for a group. A row keeps its running maximum
 * and sum between tiles, and its output is rescaled when the maximum moves. Keys that a row does not see have the logit -inf and
 * weigh exactly nothing: groups may hold rows that see more or less. */
#include "math/simd/tile.h"

#include "math/paged.h"

#include <math.h>

enum { ROWS = 6, ACROSS = SG_PAGE / SG_LANES, TILE = SG_PAGED_TILE };
#if defined(__AVX512F__)
enum { OUT_VECTORS = 4 };
#else
enum { OUT_VECTORS = 2 };
#endif

/* Logits of `rows` rows with `pages` pages of keys, into s (rows, TILE) from column 0 on. rows, pages: constants where inlined. */
TILE_INLINE void logits_of(float *s, const sg_paged *a, int row, const float *const *page, int rows,
                           int pages)
{
    for (int half = 0; half < ACROSS; half++) {
        sg_vf sum[ROWS][4];

#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int p = 0; p < pages; p++)
                sum[r][p] = (sg_vf){0};
        for (int d = 0; d < a->dh; d++) {
            const size_t at = a->k + (size_t)d * SG_PAGE + (size_t)half * SG_LANES;
            sg_vf key[4];

#pragma GCC unroll 4
            for (int p = 0; p < pages; p++)
                key[p] = sg_load(page[p] + at);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                const sg_vf x = sg_splat(a->q[row + r][d]);

#pragma GCC unroll 4
                for (int p = 0; p < pages; p++)
                    sum[r][p] += x * key[p];
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int p = 0; p < pages; p++)
                sg_store(s + r * TILE + p * SG_PAGE + half * SG_LANES, sum[r][p] * a->scale);
    }
}

/* out = keep out + sum over keys of weight times value, for `vectors` vectors; values begin at number `at` of a page. */
TILE_INLINE void values_of(float *out, const float *s, const float *keep, const float *const *page, size_t at,
                           size_t width, int keys, int rows, int vectors)
{
    sg_vf sum[ROWS][OUT_VECTORS];

#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int w = 0; w < vectors; w++)
            sum[r][w] = (sg_vf){0};
    for (int first = 0; first < keys; first += SG_PAGE) {
        const float *value = page[first / SG_PAGE] + at;
        const int n = keys - first < SG_PAGE ? keys - first : SG_PAGE;

        for (int t = 0; t < n; t++, value += width) {
            sg_vf x[OUT_VECTORS];

#pragma GCC unroll 4
            for (int w = 0; w < vectors; w++)
                x[w] = sg_load(value + w * SG_LANES);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                const sg_vf p = sg_splat(s[r * TILE + first + t]);

#pragma GCC unroll 4
                for (int w = 0; w < vectors; w++)
                    sum[r][w] += p * x[w];
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int w = 0; w < vectors; w++) {
            float *to = out + (size_t)r * width + w * SG_LANES;

            sg_store(to, sg_load(to) * keep[r] + sum[r][w]);
        }
}

/* Keys past `seen` become -inf; s (TILE), n of it in use. */
static void hide(float *s, int seen, int n)
{
    for (int c = seen < 0 ? 0 : seen; c < n; c++)
        s[c] = -INFINITY;
}

/* Logits become exp(logit - maximum so far) and the sum takes them in; returns what older sums and outputs are multiplied by. */
static float weigh(float *s, int n, float *most, float *sum)
{
    sg_vf m = sg_load(s), add = {0};
    float now, keep;

    for (int c = SG_LANES; c < n; c += SG_LANES)
        m = sg_vmax(sg_load(s + c), m);
    now = sg_hmax(m);
    now = now > *most ? now : *most;
    for (int c = 0; c < n; c += SG_LANES) {
        const sg_vf e = tile_exp(sg_load(s + c) - now);

        add += e;
        sg_store(s + c, e);
    }
    keep = now > *most ? expf(*most - now) : 1;
    *most = now;
    *sum = *sum * keep + sg_hsum(add);
    return keep;
}

/* `rows` rows from `row` on, and a tile of keys from c0 on. */
TILE_INLINE void group(float *out, float *most, float *sum, float *s, const sg_paged *a, int row, int c0,
                       int rows, int together)
{
    const size_t width = sg_page_width(a->dh);
    const float *const *page = a->page + c0 / SG_PAGE;
    int keys = 0, p = 0;
    float keep[ROWS];
    size_t d = 0;

    for (int r = 0; r < rows; r++)
        keys = a->seen[row + r] - c0 > keys ? a->seen[row + r] - c0 : keys;
    keys = keys < TILE ? keys : TILE;
    if (keys == 0)
        return;
    const int pages = (keys + SG_PAGE - 1) / SG_PAGE;
    for (; p + together <= pages; p += together)
        logits_of(s + p * SG_PAGE, a, row, page + p, rows, together);
    for (; p < pages; p++)
        logits_of(s + p * SG_PAGE, a, row, page + p, rows, 1);
    for (int r = 0; r < rows; r++) {
        hide(s + r * TILE, a->seen[row + r] - c0, pages * SG_PAGE);
        keep[r] = weigh(s + r * TILE, pages * SG_PAGE, &most[row + r], &sum[row + r]);
    }
    out += (size_t)row * width;
    for (; d + OUT_VECTORS * SG_LANES <= width; d += OUT_VECTORS * SG_LANES)
        values_of(out + d, s, keep, page, a->v + d, width, keys, rows, OUT_VECTORS);
    for (; d < width; d += SG_LANES)
        values_of(out + d, s, keep, page, a->v + d, width, keys, rows, 1);
}

static void group_6(float *out, float *most, float *sum, float *s, const sg_paged *a, int row, int c0)
{
    group(out, most, sum, s, a, row, c0, 6, 2);
}

static void group_3(float *out, float *most, float *sum, float *s, const sg_paged *a, int row, int c0)
{
    group(out, most, sum, s, a, row, c0, 3, 4);
}

static void group_1(float *out, float *most, float *sum, float *s, const sg_paged *a, int row, int c0)
{
    group(out, most, sum, s, a, row, c0, 1, 4);
}

void SG_KERNEL(attend_pages)(const sg_paged *a, float *work)
{
    const size_t width = sg_page_width(a->dh);
    float *out = work, *most = out + (size_t)a->n * width, *sum = most + a->n, *s = sum + a->n;
    int last = 0;

    memset(out, 0, (size_t)a->n * width * sizeof *out);
    for (int r = 0; r < a->n; r++) {
        most[r] = -INFINITY;
        sum[r] = 0;
        last = a->seen[r] > last ? a->seen[r] : last;
    }
    for (int c0 = 0; c0 < last; c0 += TILE)
        for (int r = 0; r < a->n;) {
            const int left = a->n - r, rows = left >= 6 ? 6 : left >= 3 ? 3 : 1;

            (rows == 6 ? group_6 : rows == 3 ? group_3 : group_1)(out, most, sum, s, a, r, c0);
            r += rows;
        }
    for (int r = 0; r < a->n; r++) {
        const float inv = 1 / sum[r];

        for (int d = 0; d < a->dh; d++)
            a->out[r][d] = out[(size_t)r * width + (size_t)d] * inv;
    }
}
