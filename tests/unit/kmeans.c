/* kmeans.c - nearest centres against brute force, Lloyd on known clusters, empty centres, balance, threads, memory. */
#include "base/alloc.h"
#include "base/rng.h"
#include "math/kernels.h"
#include "quantize/kmeans.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* n vectors around `clusters` centres, vector i around centre i % clusters */
static float *blobs(size_t n, int dim, int clusters, double spread)
{
    float *x = malloc(n * (size_t)dim * sizeof *x);

    for (size_t i = 0; i < n; i++)
        for (int d = 0; d < dim; d++)
            x[i * (size_t)dim + (size_t)d] =
                (float)(3 * sg_rng_normal(1, SG_RNG_TEST, i % (size_t)clusters, (uint64_t)d) +
                        spread * sg_rng_normal(2, SG_RNG_TEST, i, (uint64_t)d));
    return x;
}

static double square(const float *x, const float *y, int dim)
{
    double sum = 0;

    for (int d = 0; d < dim; d++)
        sum += ((double)x[d] - (double)y[d]) * ((double)x[d] - (double)y[d]);
    return sum;
}

static void nearest_is_the_least_with_ties_to_the_lower(void **state)
{
    (void)state;
    float dot[200], norm[200], least;

    for (int isa = SG_ISA_BASE; isa <= SG_ISA_MOST; isa++)
        for (uint64_t n = 1; n <= 200 && sg_kernels_for((sg_isa)isa); n++) {
            size_t expected = 0;

            for (uint64_t i = 0; i < n; i++) {
                dot[i] = (float)sg_rng_below(9, 1, SG_RNG_TEST, n, i); /* many ties */
                norm[i] = (float)sg_rng_below(9, 2, SG_RNG_TEST, n, i);
                if (norm[i] - 2 * dot[i] < norm[expected] - 2 * dot[expected])
                    expected = i;
            }
            assert_int_equal(sg_kernels_for((sg_isa)isa)->nearest(dot, norm, n, &least), expected);
            assert_true(least == norm[expected] - 2 * dot[expected]);
            norm[n / 2] = NAN;
            assert_true(n == 1 || sg_kernels_for((sg_isa)isa)->nearest(dot, norm, n, &least) != n / 2);
        }
}

static void assigns_to_the_nearest_centre(void **state)
{
    (void)state;
    static const int cases[][3] = {
        {1, 1, 1},       {700, 33, 17}, {300, 4, 256}, {257, 64, 3},
        {33000, 70, 40}, {33000, 5, 9}}; /* the last two are so many that centres are packed, one in bf16 */
    sg_error err;

    for (int c = 0; c < 6; c++) {
        const size_t n = (size_t)cases[c][0];
        const int dim = cases[c][1], codes = cases[c][2];
        float *x = blobs(n, dim, 7, 1), *centre = blobs((size_t)codes, dim, codes, 1);
        float *distance = malloc(n * sizeof *distance);
        int32_t *code = malloc(n * sizeof *code);

        assert_int_equal(sg_assign(code, distance, x, n, dim, centre, codes, NULL, &err), SG_OK);
        for (size_t i = 0; i < n; i++) {
            double best = INFINITY;

            for (int k = 0; k < codes; k++)
                best = fmin(best, square(x + i * (size_t)dim, centre + k * dim, dim));
            const double got = square(x + i * (size_t)dim, centre + code[i] * dim, dim);
            assert_true(got <= best + 1e-4 * (1 + best));
            assert_true(fabs((double)distance[i] - got) < 1e-3 * (1 + got));
        }
        free(x);
        free(centre);
        free(distance);
        free(code);
    }
}

/* Centres so alike that bf16 cannot tell them apart: f32 has to settle it. */
static void near_ties_are_settled_in_f32(void **state)
{
    (void)state;
    enum { N = 40000, DIM = 96, K = 64 };
    float *x = blobs(N, DIM, N, 1), *centre = malloc(K * DIM * sizeof *centre),
          *distance = malloc(N * sizeof *distance);
    int32_t *code = malloc(2 * N * sizeof *code);
    sg_error err;

    for (int i = 0; i < K * DIM; i++)
        centre[i] = (float)(sg_rng_normal(8, SG_RNG_TEST, 0, (uint64_t)(i % DIM)) +
                            1e-3 * sg_rng_normal(9, SG_RNG_TEST, 0, (uint64_t)i));
    assert_int_equal(sg_assign(code, distance, x, N, DIM, centre, K, NULL, &err), SG_OK);
    assert_int_equal(sg_assign(code + N, NULL, x, N, DIM, centre, K, NULL, &err), SG_OK);
    assert_memory_equal(code, code + N, N * sizeof *code);
    for (size_t i = 0; i < N; i++) {
        double best = INFINITY;

        for (int k = 0; k < K; k++)
            best = fmin(best, square(x + i * DIM, centre + k * DIM, DIM));
        /* |x| |c| is about 3 * 100: its rounding in f32 is what may be wrong, 2^-8 of it would be 1 */
        assert_true(square(x + i * DIM, centre + code[i] * DIM, DIM) <= best + 1e-4);
    }
    free(x);
    free(centre);
    free(distance);
    free(code);
}

/* Most iterations on a sample, the last on all: nearly as good as all on all, and every centre the mean of its own. */
static void a_sample_is_nearly_as_good(void **state)
{
    (void)state;
    enum { N = 20000, DIM = 12, K = 20 };
    float *x = blobs(N, DIM, 37, 1), centre[2][K * DIM];
    int32_t *code = malloc(N * sizeof *code);
    sg_kmeans_stats all, some;
    sg_error err;

    assert_int_equal(sg_kmeans(centre[0], code, &all, x, N, DIM,
                               &(sg_kmeans_spec){.codes = K, .iterations = 12, .restarts = 4, .seed = 2},
                               NULL, NULL, &err),
                     SG_OK);
    assert_int_equal(
        sg_kmeans(centre[1], code, &some, x, N, DIM,
                  &(sg_kmeans_spec){.codes = K, .iterations = 12, .restarts = 4, .seed = 2, .sample = 100},
                  NULL, NULL, &err),
        SG_OK);
    assert_true(memcmp(centre[0], centre[1], sizeof centre[0]) != 0);
    assert_true(some.iterations <= 12 && some.objective < 1.05 * all.objective);
    double sum = 0;

    for (size_t i = 0; i < N; i++)
        sum += square(x + i * DIM, centre[1] + code[i] * DIM, DIM) / N;
    assert_true(fabs(sum - some.objective) < 1e-3 * sum);
    free(x);
    free(code);
}

/* 16 separated clusters, 16 codes: every cluster is one code, its centre the mean of its members. */
static void finds_separated_clusters(void **state)
{
    (void)state;
    enum { N = 1600, DIM = 24, K = 16 };
    float *x = blobs(N, DIM, K, 0.2), centre[K * DIM];
    const sg_kmeans_spec spec = {.codes = K, .iterations = 50, .restarts = 3, .seed = 1};
    int32_t code[N];
    sg_kmeans_stats stats;
    sg_error err;
    double objective = 0;

    assert_int_equal(sg_kmeans(centre, code, &stats, x, N, DIM, &spec, NULL, NULL, &err), SG_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(code[i], code[i % K]);
        objective += square(x + i * DIM, centre + code[i] * DIM, DIM) / N;
    }
    for (int k = 1; k < K; k++)
        for (int j = 0; j < k; j++)
            assert_int_not_equal(code[k], code[j]);
    assert_true(fabs(stats.objective / objective - 1) < 1e-4 && stats.iterations < 50);
    for (int k = 0; k < K; k++)
        for (int d = 0; d < DIM; d++) {
            double mean = 0;

            for (int i = k; i < N; i += K)
                mean += (double)x[i * DIM + d] * K / N;
            assert_true(fabs((double)centre[code[k] * DIM + d] - mean) < 1e-5);
        }
    free(x);
    assert_int_equal(sg_alloc_live(), 0);
}

/* A far offset, which |x|^2 - 2xc + |c|^2 in f32 would not survive without moving the mean to 0. */
static void an_offset_does_no_harm(void **state)
{
    (void)state;
    enum { N = 800, DIM = 8, K = 8 };
    float *x = blobs(N, DIM, K, 0.1), centre[K * DIM];
    int32_t code[N];
    sg_kmeans_stats stats;
    sg_error err;

    for (int i = 0; i < N * DIM; i++)
        x[i] += 10000;
    for (int sample = 0; sample <= 40; sample += 40) {
        const sg_kmeans_spec spec = {
            .codes = K, .iterations = 50, .restarts = 3, .seed = 1, .sample = sample};

        assert_int_equal(sg_kmeans(centre, code, &stats, x, N, DIM, &spec, NULL, NULL, &err), SG_OK);
        for (int i = 0; i < N; i++)
            assert_int_equal(code[i], code[i % K]);
        assert_true(stats.objective < 0.02 * DIM);
    }
    free(x);
}

static int32_t count_used(const int32_t *code, int n, int codes)
{
    int32_t used = 0;

    for (int k = 0; k < codes; k++) {
        bool seen = false;

        for (int i = 0; i < n; i++)
            seen |= code[i] == k;
        used += seen;
    }
    return used;
}

static void no_code_stays_empty_while_vectors_differ(void **state)
{
    (void)state;
    enum { N = 500, DIM = 3, K = 64 };
    float x[N * DIM] = {0}, centre[K * DIM];
    sg_kmeans_spec spec = {.codes = K, .iterations = 30, .restarts = 1, .seed = 1, .random_init = true};
    int32_t code[N];
    sg_kmeans_stats stats;
    sg_error err;

    for (int i = 0; i < 70; i++) /* 430 vectors are alike: random centres mostly coincide */
        for (int d = 0; d < DIM; d++)
            x[i * DIM + d] = (float)sg_rng_normal(4, SG_RNG_TEST, (uint64_t)i, (uint64_t)d);
    assert_int_equal(sg_kmeans(centre, code, &stats, x, N, DIM, &spec, NULL, NULL, &err), SG_OK);
    assert_int_equal(count_used(code, N, K), K);
    assert_true(stats.moved > 0);
    memset(x + 10 * DIM, 0, sizeof x - 10 * DIM * sizeof *x); /* only 11 different ones */
    assert_int_equal(sg_kmeans(centre, code, &stats, x, N, DIM, &spec, NULL, NULL, &err), SG_OK);
    assert_true(count_used(code, N, K) <= 11 && stats.objective < 1e-6);
    assert_int_equal(sg_kmeans(centre, code, &stats, x, 1, DIM, &spec, NULL, NULL, &err), SG_OK);
    assert_true(stats.objective == 0);
}

static void balanced_codes_have_equal_counts(void **state)
{
    (void)state;
    enum { N = 1003, DIM = 10, K = 20 };
    float *x = blobs(N, DIM, 3, 0.5), centre[K * DIM];
    const sg_kmeans_spec spec = {.codes = K, .iterations = 10, .restarts = 1, .seed = 1, .balanced = true};
    int32_t code[N], count[K] = {0};
    sg_kmeans_stats stats;
    sg_error err;

    assert_int_equal(sg_kmeans(centre, code, &stats, x, N, DIM, &spec, NULL, NULL, &err), SG_OK);
    for (int i = 0; i < N; i++)
        count[code[i]]++;
    for (int k = 0; k < K; k++)
        assert_true(count[k] == N / K || count[k] == N / K + 1);
    free(x);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    enum { N = 3000, DIM = 40, K = 70 };
    float *x = blobs(N, DIM, 30, 2), *one = malloc(K * DIM * sizeof *one),
          *many = malloc(K * DIM * sizeof *many);
    int32_t *code = malloc(2 * N * sizeof *code);
    sg_kmeans_stats stats;
    sg_error err;

    for (int way = 0; way < 3; way++) {
        const sg_kmeans_spec spec = {.codes = K,
                                     .iterations = 8,
                                     .restarts = 2,
                                     .seed = 5,
                                     .balanced = way == 1,
                                     .sample = way == 2 ? 9 : 0};

        assert_int_equal(sg_kmeans(one, code, &stats, x, N, DIM, &spec, NULL, NULL, &err), SG_OK);
        for (int threads = 2; threads <= 4; threads += 2) {
            sg_pool *pool;

            assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
            assert_int_equal(sg_kmeans(many, code + N, &stats, x, N, DIM, &spec, pool, NULL, &err), SG_OK);
            assert_memory_equal(one, many, K * DIM * sizeof *one);
            assert_memory_equal(code, code + N, N * sizeof *code);
            sg_pool_free(pool);
        }
    }
    free(x);
    free(one);
    free(many);
    free(code);
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    enum { N = 50, DIM = 4, K = 5 };
    float *x = blobs(N, DIM, 5, 1), centre[K * DIM];
    int32_t code[N];
    sg_kmeans_stats stats;
    sg_error err;

    for (int way = 0; way < 3; way++)
        for (uint64_t n = 1;; n++) {
            const sg_kmeans_spec spec = {.codes = K,
                                         .iterations = 3,
                                         .restarts = 1,
                                         .seed = 5,
                                         .balanced = way == 1,
                                         .sample = way == 2 ? 3 : 0};

            sg_alloc_fail_at(n);
            const sg_status st = sg_kmeans(centre, code, &stats, x, N, DIM, &spec, NULL, NULL, &err);
            sg_alloc_fail_at(0);
            assert_int_equal(sg_alloc_live(), 0);
            if (st == SG_OK)
                break;
            assert_int_equal(st, SG_ERR_MEMORY);
        }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_is_the_least_with_ties_to_the_lower),
        cmocka_unit_test(assigns_to_the_nearest_centre),
        cmocka_unit_test(near_ties_are_settled_in_f32),
        cmocka_unit_test(a_sample_is_nearly_as_good),
        cmocka_unit_test(finds_separated_clusters),
        cmocka_unit_test(an_offset_does_no_harm),
        cmocka_unit_test(no_code_stays_empty_while_vectors_differ),
        cmocka_unit_test(balanced_codes_have_equal_counts),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
