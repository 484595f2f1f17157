/* paged.c - attention to keys and values in pages, in every instruction set this CPU has, against double; rows alone and together. */
#include "math/paged.h"

#include "op/op.h"

enum { KEYS = 600, PAGES = (KEYS + SG_PAGE - 1) / SG_PAGE, WIDE = 80, PAGE_FLOATS = 7 + 2 * SG_PAGE * WIDE };

static float number[PAGES][PAGE_FLOATS], q[SG_PAGED_ROWS][WIDE], out[SG_PAGED_ROWS][WIDE], alone[WIDE];
static float work[SG_PAGED_ROWS * (WIDE + 2) + 6 * SG_PAGED_TILE];

static void expected(double *want, const float *query, int dh, int seen, float scale)
{
    const size_t width = sg_page_width(dh);
    double logit[KEYS], most = -INFINITY, sum = 0;

    for (int t = 0; t < seen; t++) {
        const float *k = number[t / SG_PAGE] + 7;

        logit[t] = 0;
        for (int d = 0; d < dh; d++)
            logit[t] += (double)query[d] * (double)k[d * SG_PAGE + t % SG_PAGE];
        logit[t] *= (double)scale;
        most = fmax(most, logit[t]);
    }
    for (int d = 0; d < dh; d++)
        want[d] = 0;
    for (int t = 0; t < seen; t++) {
        const float *v = number[t / SG_PAGE] + 7 + dh * SG_PAGE + (size_t)(t % SG_PAGE) * width;
        const double p = exp(logit[t] - most);

        sum += p;
        for (int d = 0; d < dh; d++)
            want[d] += p * (double)v[d];
    }
    for (int d = 0; d < dh; d++)
        want[d] /= sum;
}

static void check(const sg_kernels *k, int dh, int n)
{
    const size_t width = sg_page_width(dh);
    const float *page[PAGES], *query[SG_PAGED_ROWS];
    float *to[SG_PAGED_ROWS];
    int32_t seen[SG_PAGED_ROWS];
    const sg_paged all = {n, dh, 0.4f, query, to, seen, page, 7, 7 + (size_t)dh * SG_PAGE};

    assert_true(sg_paged_floats(dh) <= sizeof work / sizeof *work);
    for (int p = 0; p < PAGES; p++) {
        page[p] = number[p];
        for (size_t i = 0; i < PAGE_FLOATS;
             i++) /* the last dh of a width that is no multiple of SG_PAGE are zeros */
            number[p][i] =
                i >= 7 + (size_t)dh * SG_PAGE && (i - 7 - (size_t)dh * SG_PAGE) % width >= (size_t)dh
                    ? 0
                    : op_random((size_t)p * PAGE_FLOATS + i, 3);
    }
    for (int r = 0; r < n; r++) {
        seen[r] =
            1 + (int32_t)sg_rng_below(r % 5 == 4 ? 16 : KEYS, 1, SG_RNG_TEST, (uint64_t)dh, (uint64_t)r);
        query[r] = q[r];
        to[r] = out[r];
        for (int d = 0; d < dh; d++)
            q[r][d] =
                op_random((size_t)(r * dh + d), 4) * (r % 3 == 2 ? 30 : 1); /* some look at one key only */
    }
    k->attend_pages(&all, work);
    for (int r = 0; r < n; r++) {
        double want[WIDE];
        sg_paged one = all;
        float *only = alone;

        expected(want, q[r], dh, seen[r], 0.4f);
        for (int d = 0; d < dh; d++) /* logits up to 100, in f32: off by 1e-5, and so are weights */
            if (!(fabs((double)out[r][d] - want[d]) <= 5e-5))
                fail_msg("width %d, row %d of %d, number %d: expected %g, found %g", dh, r, n, d, want[d],
                         (double)out[r][d]);
        one.n = 1;
        one.q = &query[r];
        one.out = &only;
        one.seen = &seen[r];
        k->attend_pages(&one, work);
        assert_memory_equal(alone, out[r], (size_t)dh * sizeof *alone);
    }
}

static void rows_of_pages(void **state)
{
    (void)state;
    static const int widths[] = {1, 8, 16, 20, 64, 80}, rows[] = {1, 2, 3, 7, 12, SG_PAGED_ROWS};

    for (int isa = SG_ISA_BASE; isa <= SG_ISA_MOST; isa++)
        for (size_t w = 0; w < 6 && sg_kernels_for((sg_isa)isa); w++)
            for (size_t r = 0; r < 6; r++)
                check(sg_kernels_for((sg_isa)isa), widths[w], rows[r]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_of_pages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
