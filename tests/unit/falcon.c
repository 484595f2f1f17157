/* falcon.c - M-FALCON: candidates that ask a kept history score as if each were the last token of its own sequence,
 * in microbatches of any size. */
#include "base/alloc.h"
#include "base/rng.h"
#include "nn/hstu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 10, LENGTH = 400, MOST = 1000 };

typedef struct setup {
    sg_params params;
    sg_hstu stack;
    sg_pool *pool;
    sg_graph *graph;
    float *x;      /* (LENGTH + MOST, DIM): tokens, then candidates */
    int64_t *time; /* (LENGTH) */
} setup;

static void begin(setup *s, bool softmax, int threads)
{
    const sg_hstu_shape shape = {.dim = DIM,
                                 .blocks = 2,
                                 .heads = 2,
                                 .d_qk = 6,
                                 .d_v = 7,
                                 .length = LENGTH,
                                 .divisor = LENGTH,
                                 .position = true,
                                 .time = true,
                                 .softmax = softmax};
    int64_t now = 978300000;
    sg_error err = {0};

    *s = (setup){.x = sg_alloc_array((LENGTH + MOST) * DIM, sizeof(float)),
                 .time = sg_alloc_array(LENGTH, sizeof(int64_t))};
    assert_int_equal(sg_hstu_declare(&s->stack, &s->params, 1, &shape, &err), SG_OK);
    for (size_t i = 0; i < s->params.n; i++)
        for (size_t j = 0; j < s->params.list[i]->count; j++)
            s->params.list[i]->value[j] = 0.25f * (float)sg_rng_normal(3, SG_RNG_TEST, i, j);
    for (size_t i = 0; i < (LENGTH + MOST) * DIM; i++)
        s->x[i] = (float)sg_rng_normal(4, SG_RNG_TEST, 0, i);
    for (int i = 0; i < LENGTH; i++)
        s->time[i] = now += (int64_t)sg_rng_below(i % 3 ? 100 : 90000, 7, SG_RNG_TEST, 9, (uint64_t)i);
    assert_int_equal(sg_pool_new(&s->pool, threads, &err), SG_OK);
    assert_int_equal(sg_graph_new(&s->graph, s->pool, SG_F32, &err), SG_OK);
}

static void end(setup *s)
{
    sg_graph_free(s->graph);
    sg_pool_free(s->pool);
    sg_hstu_fini(&s->stack);
    sg_params_free(&s->params);
    sg_free(s->x);
    sg_free(s->time);
}

static sg_tensor *rows(const setup *s, int first, int n)
{
    return sg_input(s->graph, s->x + (size_t)first * DIM, 2, (int[]){n, DIM});
}

/* What the whole sequence gives: history and then one candidate, for each of m candidates. */
static void one_by_one(setup *s, int n, int m, int64_t now, float *out)
{
    float *x = sg_alloc_array((size_t)(n + 1) * DIM, sizeof *x);
    int64_t *time = sg_alloc_array((size_t)n + 1, sizeof *time);
    const int32_t offsets[] = {0, n + 1};

    memcpy(x, s->x, (size_t)n * DIM * sizeof *x);
    memcpy(time, s->time, (size_t)n * sizeof *time);
    time[n] = now;
    for (int i = 0; i < m; i++) {
        memcpy(x + n * DIM, s->x + (LENGTH + i) * DIM, DIM * sizeof *x);
        sg_graph_begin(s->graph, SG_INFER, 0, 0);
        const sg_tensor *y =
            sg_hstu_forward(s->graph, &s->stack, sg_input(s->graph, x, 2, (int[]){n + 1, DIM}),
                            &(sg_hstu_tokens){1, offsets, time, time});
        assert_non_null(y);
        memcpy(out + i * DIM, y->data + n * DIM, DIM * sizeof *out);
    }
    sg_free(x);
    sg_free(time);
}

static void append(setup *s, sg_hstu_cache *c, int n, float *out)
{
    const int first = c->n;

    sg_graph_begin(s->graph, SG_INFER, 0, 0);
    const sg_tensor *y = sg_hstu_cache_append(s->graph, c, rows(s, first, n), s->time + first, NULL);
    assert_non_null(y);
    if (out)
        memcpy(out + first * DIM, y->data, (size_t)n * DIM * sizeof *out);
}

static void ask(setup *s, const sg_hstu_cache *c, int m, int batch, int64_t now, float *out)
{
    for (int first = 0; first < m; first += batch) {
        const int n = m - first < batch ? m - first : batch;

        sg_graph_begin(s->graph, SG_INFER, 0, 0);
        const sg_tensor *y = sg_hstu_cache_ask(s->graph, c, rows(s, LENGTH + first, n), now);
        assert_non_null(y);
        memcpy(out + first * DIM, y->data, (size_t)n * DIM * sizeof *out);
    }
}

/* Rows of DIM numbers; a sum is as exact as its terms are large: 1e-5 of the largest number of the row. */
static void assert_near(const float *a, const float *b, size_t n)
{
    for (size_t r = 0; r < n; r += DIM) {
        float most = 1;

        for (size_t i = r; i < r + DIM; i++)
            most = fmaxf(most, fabsf(b[i]));
        for (size_t i = r; i < r + DIM; i++)
            if (!(fabsf(a[i] - b[i]) <= 1e-5f * most))
                fail_msg("number %zu: %.8f, expected %.8f", i, (double)a[i], (double)b[i]);
    }
}

static void microbatches_of_any_size_equal_one_by_one(void **state)
{
    (void)state;
    static const struct {
        int n, m;
    } cases[] = {{200, MOST}, {0, 5}, {1, 30}, {15, 100}, {256, 100}, {LENGTH - 1, 50}};
    static const int batches[] = {1, 7, 64, 1000};
    static float alone[MOST * DIM], batched[MOST * DIM];

    for (int softmax = 0; softmax < 2; softmax++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const int n = cases[i].n, m = cases[i].m;
            sg_hstu_cache c;
            sg_error err;
            setup s;

            begin(&s, softmax, 1);
            const int64_t now = n ? s.time[n - 1] + 5000 : 978300000;
            one_by_one(&s, n, m, now, alone);
            assert_int_equal(sg_hstu_cache_new(&c, &s.stack, n ? n : 1, &err), SG_OK);
            if (n)
                append(&s, &c, n, NULL);
            for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
                ask(&s, &c, m, batches[b], now, batched);
                assert_near(batched, alone, (size_t)(m * DIM));
            }
            assert_int_equal(c.n, n); /* asking leaves no trace: the next request finds the same history */
            sg_hstu_cache_free(&c);
            end(&s);
        }
}

static void candidates_in_another_order_score_the_same(void **state)
{
    (void)state;
    enum { N = 50, M = 100 };
    static float a[M * DIM], b[M * DIM];
    sg_hstu_cache c;
    sg_error err;
    setup s;

    begin(&s, false, 1);
    assert_int_equal(sg_hstu_cache_new(&c, &s.stack, N, &err), SG_OK);
    append(&s, &c, N, NULL);
    ask(&s, &c, M, 64, s.time[N - 1], a);
    for (int i = 0; i < M / 2; i++)
        for (int d = 0; d < DIM; d++) {
            float *x = s.x + (LENGTH + i) * DIM + d, *y = s.x + (LENGTH + M - 1 - i) * DIM + d, keep = *x;

            *x = *y;
            *y = keep;
        }
    ask(&s, &c, M, 64, s.time[N - 1], b);
    for (int i = 0; i < M; i++)
        assert_near(b + i * DIM, a + (M - 1 - i) * DIM, DIM);
    sg_hstu_cache_free(&c);
    end(&s);
}

/* Piece by piece, with a part forgotten and read again, on two threads: as the whole sequence at once. */
static void an_appended_history_equals_a_whole_one(void **state)
{
    (void)state;
    static const int pieces[] = {1, 2, 97, 1, 150, 49};
    static float whole[LENGTH * DIM], appended[LENGTH * DIM];

    for (int softmax = 0; softmax < 2; softmax++) {
        const int32_t offsets[] = {0, 300};
        sg_hstu_cache c;
        sg_error err;
        setup s;

        begin(&s, softmax, 2);
        sg_graph_begin(s.graph, SG_INFER, 0, 0);
        const sg_tensor *y = sg_hstu_forward(s.graph, &s.stack, rows(&s, 0, 300),
                                             &(sg_hstu_tokens){1, offsets, s.time, s.time});
        assert_non_null(y);
        memcpy(whole, y->data, 300 * DIM * sizeof *whole);
        assert_int_equal(sg_hstu_cache_new(&c, &s.stack, 300, &err), SG_OK);
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
            append(&s, &c, pieces[i], appended);
        assert_near(appended, whole, 300 * DIM);
        sg_hstu_cache_cut(&c, 120);
        append(&s, &c, 180, appended);
        assert_near(appended, whole, 300 * DIM);
        sg_graph_begin(s.graph, SG_INFER, 0, 0);
        assert_null(sg_hstu_cache_append(s.graph, &c, rows(&s, 300, 1), s.time + 300, NULL));
        assert_int_equal(sg_graph_status(s.graph, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, "hstu: 1 tokens after 300, room for 300");
        sg_hstu_cache_free(&c);
        end(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(microbatches_of_any_size_equal_one_by_one),
        cmocka_unit_test(candidates_in_another_order_score_the_same),
        cmocka_unit_test(an_appended_history_equals_a_whole_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
