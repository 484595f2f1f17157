/* panels.c - y = x w for weights laid out in panels of SG_PANEL_COLS columns (math/gemm.c packs them).
 *
 * A panel is (in, its width), rows contiguous, so that weights are read once, in order, whatever the number of rows: that is
 * what few rows need. Sums run over `in` in order, one fused chain a number: a row's result does not depend on the others. */
#include "math/simd/tile.h"

/* n columns of one panel, all rows: register tiles as wide as they go, as few groups of rows as fit them. */
static void panel_rows(const tile_job *t, int rows, int n)
{
    const int vectors = n / SG_LANES;

    for (int at = 0, v; at < vectors; at += v) {
        v = vectors - at < TILE_VECTORS ? vectors - at : TILE_VECTORS;
        const int most = TILE_NUMBERS / v < TILE_ROWS ? TILE_NUMBERS / v : TILE_ROWS;
        const int groups = (rows + most - 1) / most, group = (rows + groups - 1) / groups;

        for (int i = 0; i < rows; i += group)
            tile_table[0][v - 1][(rows - i < group ? rows - i : group) - 1](t, i, at * SG_LANES);
    }
}

/* The columns that fill no vector: computed as one (what lies behind them belongs to the next row of the panel), copied. */
static void panel_rest(const tile_job *t, int rows, int first, int n)
{
    float part[TILE_ROWS * SG_LANES];

    for (int i = 0, m; i < rows; i += m) {
        m = rows - i < TILE_ROWS ? rows - i : TILE_ROWS;
        tile_job here = *t;

        here.a += (size_t)i * t->a_ld;
        here.b += first;
        here.c = part;
        here.c_ld = SG_LANES;
        tile_table[0][0][m - 1](&here, 0, 0);
        for (int r = 0; r < m; r++)
            memcpy(t->c + (size_t)(i + r) * t->c_ld + first, part + r * SG_LANES, (size_t)n * sizeof *part);
    }
}

void SG_KERNEL(panels)(float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *w, int in, int out, int first,
                       int n)
{
    for (int col = first, here; col < first + n && rows > 0; col += here) {
        const int begin = col / SG_PANEL_COLS * SG_PANEL_COLS;
        const int whole = out - begin < SG_PANEL_COLS ? out - begin : SG_PANEL_COLS, end = begin + whole;
        const int width = (whole + SG_PANEL - 1) / SG_PANEL * SG_PANEL;
        const tile_job t = {.k = in,
                            .a = x,
                            .a_ld = ldx,
                            .b = w + (size_t)begin * (size_t)in + (size_t)(col - begin),
                            .b_ld = (size_t)width,
                            .c = y + (col - first),
                            .c_ld = ldy};

        here = (end < first + n ? end : first + n) - col;
        panel_rows(&t, rows, here);
        if (here % SG_LANES)
            panel_rest(&t, rows, here / SG_LANES * SG_LANES, here % SG_LANES);
    }
}
