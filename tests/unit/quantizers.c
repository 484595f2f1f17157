/* quantizers.c - pq.c, hkmeans.c, grid.c, straight.c, sinkhorn.c, controls.c: the invariants of each method. */
#include "quantize/grid.h"
#include "quantize/kmeans.h"
#include "quantize/quantize.h"
#include "unit/vector_shop.h"

#include <math.h>

static sg_tokenize_config config(const char *const *set)
{
    sg_tokenize_config c;

    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    for (; *set; set++)
        assert_int_equal(sg_options_assign(&c, sg_tokenize_options, sg_n_tokenize_options, *set, NULL),
                         SG_OK);
    return c;
}

static json_t *tokenize(const shop *s, const char *const *set, sg_pool *pool, sg_ids *ids)
{
    const sg_tokenize_config c = config(set);
    json_t *report;
    sg_error err = {0};

    if (sg_tokenize(s->data, &c, pool, NULL, &report, &err) ||
        sg_ids_open(ids, s->data, &err)) /* unique, in range */
        fail_msg("%s", err.message);
    return report;
}

static double number(const json_t *report, int level, const char *key)
{
    return json_number_value(
        level < 0 ? json_object_get(report, key)
                  : json_object_get(json_array_get(json_object_get(report, "levels"), (size_t)level), key));
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Every method gives unique IDs and a doctor's report, and the same bytes at 1 and 4 threads. */
static void same_bytes_on_any_threads(void **state)
{
#define LEARNED "epochs=3", "batch=64", "hidden=24"
    static const char *const sets[][10] = {
        {"method=vqvae", "codes=16", "latent=8", "iterations=8", LEARNED},
        {"method=fsq", "levels=2", "grid=4,4", LEARNED},
        {"method=lfq", "levels=2", "codes=16", LEARNED},
        {"method=pq", "levels=2", "codes=16", "iterations=8"},
        {"method=opq", "levels=2", "codes=16", "iterations=8", "rotations=3"},
        {"method=hkmeans", "leaf=40", "branch=4", "iterations=8"},
        {"method=atomic"},
        {"method=naive"}};
#undef LEARNED
    const shop *s = *state;
    sg_pool *pool;
    sg_error err;

    assert_int_equal(sg_pool_new(&pool, 4, &err), SG_OK);
    for (size_t m = 0; m < sizeof sets / sizeof *sets; m++) {
        sg_ids one, four;
        json_t *report = tokenize(s, sets[m], NULL, &one);

        assert_true(number(report, 0, "used") > 1);
        json_decref(report);
        json_decref(tokenize(s, sets[m], pool, &four));
        assert_int_equal(one.levels, four.levels);
        assert_memory_equal(one.codes, four.codes, (size_t)(N * one.levels) * sizeof *one.codes);
        sg_ids_close(&one);
        sg_ids_close(&four);
    }
    sg_pool_free(pool);
}

/* opq is never worse than pq, its rotation is one, and the codebooks decode to the error that is reported. */
static void opq_is_not_worse_than_pq(void **state)
{
    const shop *s = *state;
    sg_ids ids;
    json_t *report = tokenize(s, SET("method=pq", "levels=4", "codes=8"), NULL, &ids);
    const double pq = number(report, -1, "reconstruction_error");
    const sg_file_tensor *book, *turn;
    double left = 0, mean[DIM] = {0}, all = 0;
    sg_error err;

    for (int l = 1; l < 4; l++)
        assert_true(number(report, l, "error") < number(report, l - 1, "error"));
    json_decref(report);
    sg_ids_close(&ids);
    report = tokenize(s, SET("method=opq", "levels=4", "codes=8", "rotations=15"), NULL, &ids);
    const double opq = number(report, -1, "reconstruction_error");

    assert_true(opq <= pq * (1 + 1e-6) && opq < 0.97 * pq);
    assert_int_equal(
        sg_tensors_need(&book, ids.file, "codebooks", SG_DT_F32, 3, (int64_t[]){4, 8, DIM / 4}, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&turn, ids.file, "rotation", SG_DT_F32, 2, (int64_t[]){DIM, DIM}, &err),
                     SG_OK);
    const float *r = turn->data;
    for (int a = 0; a < DIM; a++)
        for (int b = 0; b < DIM; b++) {
            double dot = 0;

            for (int k = 0; k < DIM; k++)
                dot += (double)r[k * DIM + a] * (double)r[k * DIM + b];
            assert_true(fabs(dot - (a == b)) < 1e-4);
        }
    for (int i = 0; i < N * DIM; i++)
        mean[i % DIM] += (double)s->vectors[i] / N;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < DIM; k++) {
            const double x = (double)s->vectors[i * DIM + k] - mean[k];
            double y = 0;

            for (int j = 0; j < DIM; j++)
                y += (double)s->vectors[i * DIM + j] * (double)r[j * DIM + k];
            y -= (double)((const float *)
                              book->data)[((k / 4) * 8 + ids.codes[i * ids.levels + k / 4]) * 4 + k % 4];
            left += y * y;
            all += x * x;
        }
    assert_true(fabs(left / all - opq) < 1e-4);
    json_decref(report);
    sg_ids_close(&ids);
}

/* Leaves are small, items of one leaf share the path, and paths are not prefixes of each other. */
static void splits_until_leaves_are_small(void **state)
{
    const shop *s = *state;
    sg_ids ids;
    int32_t most = 0, pairs_same = 0, pairs_shelf = 0;

    json_decref(tokenize(s, SET("method=hkmeans", "branch=4", "leaf=20"), NULL, &ids));
    assert_true(ids.levels >= 4); /* 600 items in 4 * 4 * .. leaves of 20 need three splits */
    for (int l = 0; l + 1 < ids.levels; l++)
        assert_int_equal(ids.size[l], 4);
    for (int i = 0; i < N; i++) {
        int32_t leaf = 0;

        for (int j = 0; j < N; j++) {
            const bool same = memcmp(ids.codes + i * ids.levels, ids.codes + j * ids.levels,
                                     (size_t)(ids.levels - 1) * sizeof *ids.codes) == 0;

            leaf += same;
            pairs_same += same;
            pairs_shelf += same && shelf_of(i) == shelf_of(j);
        }
        most = leaf > most ? leaf : most;
    }
    assert_true(most <= 20);
    assert_int_equal(ids.size[ids.levels - 1], most); /* the running number */
    assert_true(pairs_shelf > 0.9 * pairs_same);
    sg_ids_close(&ids);
}

static void controls_know_nothing(void **state)
{
    const shop *s = *state;
    sg_ids ids;

    json_decref(tokenize(s, SET("method=atomic"), NULL, &ids));
    assert_int_equal(ids.levels, 1);
    assert_int_equal(ids.size[0], N);
    assert_int_equal(ids.codes[17], 17);
    sg_ids_close(&ids);
    json_decref(tokenize(s, SET("method=naive"), NULL, &ids));
    assert_int_equal(ids.levels, 3);
    assert_int_equal(ids.codes[407 * 3] * 100 + ids.codes[407 * 3 + 1] * 10 + ids.codes[407 * 3 + 2], 407);
    sg_ids_close(&ids);
}

static void sinkhorn_shares_items_evenly(void **state)
{
    enum { ITEMS = 2000, CODES = 16 };
    static const double epsilon[] = {0.05, 0.003}; /* the latter is the default */
    static float x[ITEMS * 2], centre[CODES * 2];
    static int32_t code[ITEMS];
    double worst;
    sg_error err;

    (void)state;
    for (int i = 0; i < ITEMS; i++) /* nearly all near centre 0 */
        for (int d = 0; d < 2; d++)
            x[2 * i + d] = (float)(0.3 * sg_rng_normal(4, SG_RNG_TEST, (uint64_t)i, (uint64_t)d));
    for (int k = 0; k < CODES * 2; k++)
        centre[k] = k < 2 ? 0 : (float)sg_rng_normal(5, SG_RNG_TEST, 0, (uint64_t)k);
    for (size_t e = 0; e < 2; e++) {
        int32_t count[2][CODES] = {{0}}, most = 0;

        assert_int_equal(sg_sinkhorn(code, &worst, x, ITEMS, 2, centre, CODES, epsilon[e], &err), SG_OK);
        assert_true(worst <= 0.01);
        for (int i = 0; i < ITEMS; i++)
            count[0][code[i]]++;
        assert_int_equal(sg_assign(code, NULL, x, ITEMS, 2, centre, CODES, NULL, &err), SG_OK);
        for (int i = 0; i < ITEMS; i++)
            count[1][code[i]]++;
        for (int k = 0; k < CODES; k++) {
            assert_int_equal(count[0][k], ITEMS / CODES);
            most = count[1][k] > most ? count[1][k] : most;
        }
        assert_true(most > 2 * ITEMS / CODES);
    }
}

/* Whatever the plan is worth (flat, or with nothing at a centre that is out of reach) codes are as even as numbers allow. */
static void sinkhorn_is_even_whatever_the_plan(void **state)
{
    enum { ITEMS = 103, CODES = 10 };
    static const double epsilon[] = {0.0001, 0.003, 10};
    static float x[ITEMS], centre[CODES];
    double worst;
    sg_error err;

    (void)state;
    for (int i = 0; i < ITEMS; i++)
        x[i] = (float)sg_rng_normal(6, SG_RNG_TEST, 0, (uint64_t)i);
    for (int k = 0; k < CODES; k++)
        centre[k] = k < CODES - 1 ? (float)sg_rng_normal(7, SG_RNG_TEST, 0, (uint64_t)k) : 1000;
    for (size_t e = 0; e < sizeof epsilon / sizeof *epsilon; e++)
        for (int n = 1; n <= ITEMS; n += 17) {
            int32_t code[ITEMS], count[CODES] = {0}, more = 0;

            assert_int_equal(sg_sinkhorn(code, &worst, x, (size_t)n, 1, centre, CODES, epsilon[e], &err),
                             SG_OK);
            for (int i = 0; i < n; i++)
                count[code[i]]++;
            for (int k = 0; k < CODES; k++) {
                assert_in_range(count[k], n / CODES, n / CODES + 1);
                more += count[k] > n / CODES;
            }
            assert_int_equal(more, n % CODES);
        }
}

/* Those go that lose least: of each of two codes the item that is nearest to the far centre. */
static void sinkhorn_moves_those_that_lose_least(void **state)
{
    static const float x[] = {0, 0.1f, 0.42f, 0.58f, 0.9f, 1}, centre[] = {0, 1, 1000};
    static const int32_t is[] = {0, 0, 2, 1, 1, 2};
    int32_t code[6];
    double worst;
    sg_error err;

    (void)state;
    assert_int_equal(sg_sinkhorn(code, &worst, x, 6, 1, centre, 3, 0.0001, &err), SG_OK);
    assert_true(worst == 1);
    for (int i = 0; i < 6; i++)
        assert_int_equal(code[i], is[i]);
}

/* Every place of the grid has its own code, and what is on the grid stays where it is. */
static void rounds_to_the_grid(void **state)
{
    sg_tokenize_config c = config(SET("method=fsq", "grid=8,6,5"));
    uint8_t seen[240] = {0};
    sg_grid grid;
    sg_error err;
    int n = 0;

    (void)state;
    assert_int_equal(sg_grid_init(&grid, &c, &err), SG_OK);
    assert_int_equal(grid.codes, 240);
    for (uint64_t i = 0; i < 20000; i++) {
        float z[3];
        int32_t code;

        for (int k = 0; k < 3; k++)
            z[k] = (float)(2 * sg_rng_normal(6, SG_RNG_TEST, i, (uint64_t)k));
        sg_grid_codes(&code, z, 1, 1, &grid);
        assert_true(code >= 0 && code < 240);
        n += !seen[code];
        seen[code] = 1;
        for (int k = 0; k < 3; k++)
            assert_true(z[k] >= -1 && z[k] <= 1);
        assert_true(fabsf(z[0] * 4 - rintf(z[0] * 4)) < 1e-6f && fabsf(z[2] * 2 - rintf(z[2] * 2)) < 1e-6f);
        assert_int_equal((int)rintf(z[0] * 4) + 4 + 8 * ((int)rintf(z[1] * 3) + 3) +
                             48 * ((int)rintf(z[2] * 2) + 2),
                         code);
    }
    assert_int_equal(n, 240);
    snprintf(c.grid, sizeof c.grid, "8,x");
    assert_int_equal(sg_grid_init(&grid, &c, &err), SG_ERR_USAGE);
    c = config(SET("method=lfq", "codes=100"));
    assert_int_equal(sg_grid_init(&grid, &c, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "lfq: expected codes to be a power of 2 up to 16384, found 100");
}

/* Levels of residual sign codes halve what is left, and their signs add up to what the decoder gets. */
static void residual_signs_halve_what_is_left(void **state)
{
    enum { LEVELS = 6, BITS = 4 };
    const sg_tokenize_config c = config(SET("method=lfq", "codes=16", "levels=6", "residual=true"));
    sg_grid grid;
    sg_error err;

    (void)state;
    assert_int_equal(sg_grid_init(&grid, &c, &err), SG_OK);
    assert_int_equal(sg_grid_width(&grid, LEVELS), BITS);
    for (uint64_t i = 0; i < 500; i++) {
        float z[BITS], sum[BITS];
        int32_t codes[LEVELS];

        for (int k = 0; k < BITS; k++)
            z[k] = sum[k] = (float)(4 * sg_rng_double(8, SG_RNG_TEST, i, (uint64_t)k) - 2);
        sg_grid_codes(codes, sum, 1, LEVELS, &grid);
        for (int k = 0; k < BITS; k++) {
            float unit = 1, back = 0;

            for (int l = 0; l < LEVELS; l++, unit /= 2)
                back += codes[l] >> k & 1 ? unit : -unit;
            assert_true(back == sum[k]);
            assert_true(fabsf(sum[k] - z[k]) <= 2 * unit);
        }
    }
}

/* What a training step decodes is what the codes decode to, with and without `residual`, and the gradient comes through unchanged. */
static void step_and_codes_agree(void **state)
{
    enum { ROWS = 7, LEVELS = 3, CODES = 16 };

    (void)state;
    for (int residual = 0; residual < 2; residual++) {
        const sg_tokenize_config c = config(SET("method=lfq", "codes=16", "levels=3", "entropy=0", "beta=0",
                                                residual ? "residual=true" : "residual=false"));
        sg_params params = {0};
        float z[ROWS * 12];
        int32_t codes[ROWS * LEVELS];
        sg_tensor *loss = NULL;
        sg_grid grid;
        sg_graph *g;
        sg_error err;

        assert_int_equal(sg_grid_init(&grid, &c, &err), SG_OK);
        const int width = sg_grid_width(&grid, LEVELS);
        sg_param *p = sg_param_add(&params, 3, SG_INIT_NORMAL, 1, 0, ROWS, width, "z");

        memcpy(z, p->value, p->count * sizeof *z);
        sg_grid_codes(codes, z, ROWS, LEVELS, &grid);
        assert_int_equal(sg_params_need_grads(&params, &err), SG_OK);
        assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
        sg_graph_begin(g, SG_TRAIN, 1, 0);
        sg_tensor *q = sg_grid_quantise(g, &grid, sg_leaf(g, p), 16, &c, &loss);

        assert_non_null(q);
        assert_memory_equal(q->data, z, p->count * sizeof *z);
        memset(p->grad, 0, p->count * sizeof *p->grad);
        assert_int_equal(sg_backward(g, sg_plus(g, sg_sum(g, q), loss), &err), SG_OK);
        for (size_t i = 0; i < p->count; i++)
            assert_true(p->grad[i] == 1);
        sg_graph_free(g);
        sg_params_free(&params);
    }
}

/* ---- gradients ------------------------------------------------------------------------------------------------ */

typedef sg_tensor *loss_fn(sg_graph *g, sg_tensor *z);

static sg_tensor *entropy_loss(sg_graph *g, sg_tensor *z)
{
    return sg_sign_entropy(g, z, 0.8f);
}

static double value_at(loss_fn *fn, sg_params *params, float *grad)
{
    sg_param *p = params->list[0];
    sg_graph *g;
    sg_error err;
    double value;

    assert_int_equal(sg_params_need_grads(params, &err), SG_OK);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_TRAIN, 1, 0);
    sg_tensor *loss = fn(g, sg_leaf(g, p));
    assert_non_null(loss);
    value = (double)loss->data[0];
    if (grad) {
        memset(p->grad, 0, p->count * sizeof *grad);
        assert_int_equal(sg_backward(g, loss, &err), SG_OK);
        memcpy(grad, p->grad, p->count * sizeof *grad);
    }
    sg_graph_free(g);
    return value;
}

static void entropy_has_its_gradient(void **state)
{
    sg_params params = {0};
    sg_param *p = sg_param_add(&params, 1, SG_INIT_NORMAL, 0.5f, 0, 6, 3, "z");
    float grad[18];

    (void)state;
    value_at(entropy_loss, &params, grad);
    for (int i = 0; i < 18; i++) {
        const float z = p->value[i], h = 1e-2f;
        double slope;

        p->value[i] = z + h;
        slope = value_at(entropy_loss, &params, NULL);
        p->value[i] = z - h;
        slope = (slope - value_at(entropy_loss, &params, NULL)) / (2 * (double)h);
        p->value[i] = z;
        assert_true(fabs(slope - (double)grad[i]) <
                    2e-3); /* h^2 times the third derivative, of order 10 here */
    }
    sg_params_free(&params);
}

static sg_tensor *turned_sum(sg_graph *g, sg_tensor *z)
{
    static const float q[] = {0.5f, -1, 2, 0, 0, 0}, w[] = {1, 2, -1, 3, 1, 1};
    sg_tensor *value = sg_input(g, q, 2, (int[]){2, 3});

    return sg_sum(g, sg_times(g, sg_rotate_through(g, value, z), sg_input(g, w, 2, (int[]){2, 3})));
}

/* dz = lambda R^T dq with R written out, which takes z to q; where q is zero the gradient is copied. */
static void rotation_turns_the_gradient(void **state)
{
    static const double q[] = {0.5, -1, 2}, w[] = {1, 2, -1};
    sg_params params = {0};
    sg_param *p = sg_param_add(&params, 2, SG_INIT_NORMAL, 1, 0, 2, 3, "z");
    double z[3], r[3], turn[3][3], nz = 0, nq = 0, nr = 0;
    float grad[6];

    (void)state;
    value_at(turned_sum, &params, grad);
    for (int i = 0; i < 3; i++) {
        z[i] = (double)p->value[i];
        nz += z[i] * z[i];
        nq += q[i] * q[i];
    }
    nz = sqrt(nz);
    nq = sqrt(nq);
    for (int i = 0; i < 3; i++) {
        r[i] = z[i] / nz + q[i] / nq;
        nr += r[i] * r[i];
    }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            turn[i][j] = nq / nz * ((i == j) - 2 * r[i] * r[j] / nr + 2 * q[i] / nq * z[j] / nz);
    for (int i = 0; i < 3; i++) {
        double forward = 0, back = 0;

        for (int j = 0; j < 3; j++) {
            forward += turn[i][j] * z[j];
            back += turn[j][i] * w[j];
        }
        assert_true(fabs(forward - q[i]) < 1e-6);
        assert_true(fabs(back - (double)grad[i]) < 1e-4);
    }
    assert_true(grad[3] == 3 && grad[4] == 1 && grad[5] == 1);
    sg_params_free(&params);
}

/* Every learned bottleneck gets better with time. */
static void learned_bottlenecks_learn(void **state)
{
    const shop *s = *state;
    static const char *const ways[][5] = {
        {"method=lfq", "residual=true", "levels=3", "codes=32"},
        {"method=rqvae", "gradient=rotation", "levels=2", "codes=32", "latent=8"},
        {"method=rqvae", "simvq=true", "levels=2", "codes=32", "latent=8"},
        {"method=fsq", "grid=5,5", "levels=2"},
        {"method=lfq", "entropy=0.1", "levels=2", "codes=32"},
        {"method=vqvae", "gradient=ste", "codes=32", "latent=8"}};

    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        double lost[2];

        for (int longer = 0; longer < 2; longer++) {
            sg_ids ids;
            json_t *report = tokenize(s,
                                      SET(longer ? "epochs=60" : "epochs=1", "batch=128", "hidden=32",
                                          ways[k][0], ways[k][1], ways[k][2], ways[k][3], ways[k][4]),
                                      NULL, &ids);

            lost[longer] = number(report, -1, "reconstruction_error");
            json_decref(report);
            sg_ids_close(&ids);
        }
        assert_true(lost[1] < 0.6 * lost[0]);
    }
}

/* Of one item, in bits: bits are independent, p = 1 / (1 + exp(-4 sharpness z)). */
static double entropy_of(const float *z, int bits, double sharpness)
{
    double sum = 0;

    for (int b = 0; b < bits; b++) {
        const double p = 1 / (1 + exp(4 * sharpness * fabs((double)z[b])));

        sum -= p > 0 ? (p * log(p) + (1 - p) * log(1 - p)) / log(2) : 0;
    }
    return sum;
}

/* On skewed vectors (each direction .9 times as wide as the one before) few sign codes are used without the entropy terms, nearly all
 * with their default weight, and each item is sure of its own. */
static void entropy_spreads_sign_codes(void **state)
{
    enum { ITEMS = 4000, WIDTH = 16, CODES = 256, BITS = 8 };
    static const char *const weights[] = {"entropy=0", "entropy=0.1"};
    float *x = malloc((size_t)ITEMS * WIDTH * sizeof *x);
    const sg_quantize_data data = {.x = x, .n = ITEMS, .dim = WIDTH};
    int used[2] = {0};
    double unsure = 0;
    sg_error err;

    (void)state;
    for (int i = 0; i < ITEMS * WIDTH; i++) /* the sum of the squared widths is 5.09 */
        x[i] = (float)(sg_rng_normal(7, SG_RNG_TEST, (uint64_t)i / WIDTH, (uint64_t)i % WIDTH) *
                       pow(0.9, i % WIDTH) / sqrt(5.09 / WIDTH));
    for (int k = 0; k < 2; k++) {
        const sg_tokenize_config c =
            config(SET("method=lfq", "levels=1", "epochs=30", "hidden=128", weights[k]));
        uint8_t seen[CODES] = {0};
        sg_codes out;

        assert_int_equal(sg_codes_init(&out, ITEMS, 1, CODES, &err), SG_OK);
        assert_int_equal(sg_autoencode(&out, &data, &c, NULL, NULL, &err), SG_OK);
        unsure = 0;
        for (int i = 0; i < ITEMS; i++) {
            used[k] += !seen[out.codes[i]];
            seen[out.codes[i]] = 1;
            unsure += entropy_of(out.latent + i * BITS, BITS, c.sharpness) / ITEMS;
        }
        sg_codes_fini(&out);
    }
    assert_true(used[0] < 0.6 * CODES && used[1] >= 0.95 * CODES);
    assert_true(unsure < 0.1);
    free(x);
}

static void says_what_cannot_be(void **state)
{
    const shop *s = *state;
    static const struct {
        const char *set[4], *says;
    } cases[] = {
        {{"method=pq", "levels=3"}, "pq: expected levels that divide the 16 numbers of a vector, found 3"},
        {{"method=hkmeans", "text_only_train=true"},
         "hkmeans keeps no centres to encode other items with: text_only_train has to be off"},
        {{"method=hkmeans", "collision=next"},
         "collision=next: hkmeans has no codebook whose nearest free code could be taken"},
        {{"method=fsq", "collision=next"},
         "collision=next: fsq has no codebook whose nearest free code could be taken"},
        {{"method=random", "collision=next"},
         "collision=next: random has no codebook whose nearest free code could be taken"},
        {{"method=opq", "balanced=true"}, "balanced=true: opq has no use for this option"},
        {{"method=rqvae", "balanced=true"}, "balanced=true: rqvae has no use for this option"},
        {{"method=rqvae", "last=sinkhorn"}, "last=sinkhorn: rqvae has no use for this option"},
        {{"method=vqvae", "levels=5"}, "levels=5: vqvae has no use for this option"},
        {{"method=rkmeans", "epochs=7"}, "epochs=7: rkmeans has no use for this option"},
        {{"method=atomic", "standardise=true"}, "standardise=true: atomic has no use for this option"},
        {{"epsilon=0.5"}, "epsilon=0.5: expected beside it last=sinkhorn"},
        {{"keep=0.5"}, "keep=0.5: expected beside it refresh=DATA"},
        {{"balanced=true", "sample=7"},
         "sample=7: expected beside it balanced=false, all vectors are looked at"},
        {{"refresh=x", "restarts=2"},
         "restarts=2: expected beside it no refresh, whose centres are the start"},
        {{"method=rqvae", "simvq=true", "codebook=grad"},
         "codebook=grad: expected beside it simvq=false, whose points are fixed"},
        {{"method=rqvae", "simvq=true", "ema_decay=0.5"},
         "ema_decay=0.5: expected beside it simvq=false, whose points are fixed"},
        {{"method=rqvae", "simvq=true", "restart_dead=false"},
         "restart_dead=false: expected beside it simvq=false, whose points are fixed"},
        {{"method=vqvae", "codebook=grad", "ema_decay=0.5"},
         "ema_decay=0.5: expected beside it codebook=ema"},
        {{"method=rqvae", "kmeans_init=false", "iterations=3"},
         "iterations=3: expected beside it kmeans_init=true, whose iterations they are"},
    };

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const sg_tokenize_config c = config(cases[k].set);
        json_t *report;
        sg_error err;

        assert_int_equal(sg_tokenize(s->data, &c, NULL, NULL, &report, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, cases[k].says);
    }
}

/* `sample` is read by all that cluster: one vector a code makes other codes than all. */
static void looks_at_as_many_as_told(void **state)
{
    static const char *const sets[][4] = {{"method=rkmeans", "levels=2", "codes=20"},
                                          {"method=pq", "levels=2", "codes=20"},
                                          {"method=opq", "levels=2", "codes=20"},
                                          {"method=hkmeans", "branch=5"}};
    const shop *s = *state;

    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        sg_ids all, few;

        json_decref(tokenize(s, SET("sample=0", sets[k][0], sets[k][1], sets[k][2]), NULL, &all));
        json_decref(tokenize(s, SET("sample=1", sets[k][0], sets[k][1], sets[k][2]), NULL, &few));
        bool same = true;

        for (int i = 0; i < N; i++)
            same &= all.codes[i * all.levels] == few.codes[i * few.levels];
        assert_false(same);
        sg_ids_close(&all);
        sg_ids_close(&few);
    }
}

static bool teaches(int32_t item) /* has a training event, see vector_shop.h */
{
    return item < 200 && item % EVENTS < EVENTS - 2;
}

/* Each code of each level gets as many of the items that teach as any other, one more or less. */
static void assert_balanced(const sg_ids *ids, bool only, int levels, int codes)
{
    for (int l = 0; l < levels; l++) {
        int32_t count[64] = {0}, n = 0;

        for (int32_t i = 0; i < N; i++)
            if (!only || teaches(i)) {
                count[ids->codes[i * ids->levels + l]]++;
                n++;
            }
        for (int k = 0; k < codes; k++)
            assert_true(count[k] == n / codes || count[k] == n / codes + (n % codes > 0));
    }
}

static void balanced_is_balanced_in_every_method(void **state)
{
    static const char *const sets[][4] = {
        {"method=rkmeans", "levels=2"}, {"method=pq", "levels=2"}, {"method=alit", "cap=2", "tau=0"}};
    const shop *s = *state;

    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
        for (int only = 0; only < 2; only++) {
            sg_ids ids;

            json_decref(tokenize(s,
                                 SET("balanced=true", "codes=12", only ? "text_only_train=true" : "seed=1",
                                     sets[k][0], sets[k][1], sets[k][2]),
                                 NULL, &ids));
            assert_balanced(&ids, only, 2, 12);
            sg_ids_close(&ids);
        }
}

/* The last codes of the items that teach do not depend on the others. */
static void sinkhorn_knows_training_items_only(void **state)
{
    shop *s = *state;
    sg_ids before, after;
    sg_error err;

    json_decref(
        tokenize(s, SET("last=sinkhorn", "levels=2", "codes=12", "text_only_train=true"), NULL, &before));
    for (int i = 200 * DIM; i < N * DIM; i++)
        s->vectors[i] += (float)(i % 7);
    assert_int_equal(sg_vectors_save(s->data, s->vectors, N, DIM, "test", NULL, &err), SG_OK);
    json_decref(
        tokenize(s, SET("last=sinkhorn", "levels=2", "codes=12", "text_only_train=true"), NULL, &after));
    for (int i = 0; i < 200; i++)
        for (int l = 0; l < 2; l++)
            assert_int_equal(before.codes[i * before.levels + l], after.codes[i * after.levels + l]);
    sg_ids_close(&before);
    sg_ids_close(&after);
    for (int i = 200 * DIM; i < N * DIM; i++)
        s->vectors[i] -= (float)(i % 7);
    assert_int_equal(sg_vectors_save(s->data, s->vectors, N, DIM, "test", NULL, &err), SG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_on_any_threads),
        cmocka_unit_test(opq_is_not_worse_than_pq),
        cmocka_unit_test(splits_until_leaves_are_small),
        cmocka_unit_test(controls_know_nothing),
        cmocka_unit_test(sinkhorn_shares_items_evenly),
        cmocka_unit_test(rounds_to_the_grid),
        cmocka_unit_test(entropy_has_its_gradient),
        cmocka_unit_test(rotation_turns_the_gradient),
        cmocka_unit_test(learned_bottlenecks_learn),
        cmocka_unit_test(says_what_cannot_be),
        cmocka_unit_test(looks_at_as_many_as_told),
        cmocka_unit_test(balanced_is_balanced_in_every_method),
        cmocka_unit_test(sinkhorn_is_even_whatever_the_plan),
        cmocka_unit_test(sinkhorn_moves_those_that_lose_least),
        cmocka_unit_test(entropy_spreads_sign_codes),
        cmocka_unit_test(residual_signs_halve_what_is_left),
        cmocka_unit_test(step_and_codes_agree),
        cmocka_unit_test(sinkhorn_knows_training_items_only),
    };

    return cmocka_run_group_tests(tests, open_shop, close_shop);
}
