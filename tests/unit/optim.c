/* optim.c - every rule against the same equations in double; threads, sparse rows, clipping, schedules, checkpoints. */
#include "base/alloc.h"
#include "base/rng.h"
#include "nn/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 3, ROWS = 40, DIM = 5, N = ROWS * DIM };

static const sg_optim_spec ADAMW = {
    .kind = SG_OPTIM_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1};

static float gradient(int step, int i)
{
    return (float)sg_rng_normal(SEED, SG_RNG_TEST, (uint64_t)step, (uint64_t)i);
}

/* What the rule says for number i after `steps` steps, in double; touched: number i has a gradient in that step. */
typedef struct reference {
    double w, m, v;
} reference;

static void reference_step(reference *r, const sg_optim_spec *s, double g, double mean_square, int t)
{
    r->w *= 1 - s->lr * s->weight_decay;
    if (s->kind == SG_OPTIM_ADAMW) {
        r->m = s->beta1 * r->m + (1 - s->beta1) * g;
        r->v = s->beta2 * r->v + (1 - s->beta2) * mean_square;
        r->w -= s->lr * (r->m / (1 - pow(s->beta1, t))) / (sqrt(r->v / (1 - pow(s->beta2, t))) + s->eps);
    } else if (s->kind == SG_OPTIM_ADAGRAD) {
        r->v += mean_square;
        r->w -= s->lr * g / (sqrt(r->v) + s->eps);
    } else {
        r->m = s->beta1 * r->m + g;
        r->w -= s->lr * r->m;
    }
}

static bool row_touched(int step, int row)
{
    return sg_rng_below(3, SEED, SG_RNG_TEST, 1000 + (uint64_t)step, (uint64_t)row) == 0;
}

static void put_gradients(sg_param *p, int step)
{
    for (int row = 0; row < ROWS; row++) {
        if (p->sparse && !row_touched(step, row))
            continue;
        if (p->sparse) {
            p->touched[p->n_touched++] = row;
            p->is_touched[row] = 1;
        }
        for (int j = 0; j < DIM; j++)
            p->grad[row * DIM + j] = gradient(step, row * DIM + j);
    }
}

static void check_against_double(const sg_optim_spec *spec, int flags)
{
    sg_params ps = {0};
    sg_optim *o;
    sg_error err;
    sg_param *p = sg_param_add(&ps, SEED, SG_INIT_NORMAL, 1, flags, ROWS, DIM, "w");
    const bool by_row = spec->row_wise && p->sparse;
    reference ref[N];
    double norm;

    for (int i = 0; i < N; i++)
        ref[i] = (reference){(double)p->value[i], 0, spec->accumulator};
    assert_int_equal(sg_optim_new(&o, &ps, spec, &err), SG_OK);
    for (int t = 1; t <= 10; t++) {
        double sum = 0, clip = 1;

        put_gradients(p, t);
        for (int i = 0; i < N; i++)
            sum += (double)p->grad[i] * (double)p->grad[i];
        if (spec->clip > 0 && sqrt(sum) > spec->clip)
            clip = spec->clip / sqrt(sum);
        for (int row = 0; row < ROWS; row++) {
            double square = 0;

            if (p->sparse && !row_touched(t, row))
                continue;
            for (int j = 0; j < DIM; j++)
                square += pow((double)p->grad[row * DIM + j] * clip, 2) / DIM;
            for (int j = 0; j < DIM; j++) {
                const double g = (double)p->grad[row * DIM + j] * clip;

                reference_step(&ref[row * DIM + j], spec, g, by_row ? square : g * g, t);
            }
        }
        assert_int_equal(sg_optim_step(o, NULL, &norm, &err), SG_OK);
        assert_true(fabs(norm - sqrt(sum)) < 1e-12 * norm);
        for (int i = 0; i < N; i++) {
            assert_true(fabs((double)p->value[i] - ref[i].w) <
                        4e-6); /* ten f32 steps on numbers of size 1 to 4 */
            assert_true(p->grad[i] == 0);
        }
        assert_int_equal(p->n_touched, 0);
    }
    sg_optim_free(o);
    sg_params_free(&ps);
    assert_int_equal(sg_alloc_live(), 0);
}

static void ten_steps_equal_the_equations(void **state)
{
    (void)state;
    sg_optim_spec s = ADAMW;

    check_against_double(&s, 0);
    check_against_double(&s, SG_PARAM_SPARSE);
    s.clip = 3;
    check_against_double(&s, 0);
    s.row_wise = true;
    check_against_double(&s, 0);
    check_against_double(&s, SG_PARAM_SPARSE);
    s = (sg_optim_spec){.kind = SG_OPTIM_ADAGRAD, .lr = 0.4, .eps = 1e-10, .accumulator = 0.1};
    check_against_double(&s, 0);
    check_against_double(&s, SG_PARAM_SPARSE);
    s.row_wise = true;
    s.clip = 1;
    check_against_double(&s, SG_PARAM_SPARSE);
    s = (sg_optim_spec){.kind = SG_OPTIM_SGD, .lr = 0.01, .weight_decay = 0.01};
    check_against_double(&s, 0);
    s.beta1 = 0.9;
    check_against_double(&s, 0);
    check_against_double(&s, SG_PARAM_SPARSE);
}

/* By hand: g = 1 throughout makes m / (1 - b1^t) = 1 and v / (1 - b2^t) = 1, so each step moves by lr exactly. */
static void bias_correction_makes_the_first_steps_full(void **state)
{
    (void)state;
    sg_params ps = {0};
    sg_optim *o;
    sg_error err;
    sg_optim_spec s = ADAMW;
    sg_param *p = sg_param_add(&ps, 1, SG_INIT_ZERO, 0, 0, 9, 0, "w");

    s.weight_decay = 0;
    assert_int_equal(sg_optim_new(&o, &ps, &s, &err), SG_OK);
    for (int t = 1; t <= 5; t++) {
        for (int i = 0; i < 9; i++)
            p->grad[i] = 1;
        assert_int_equal(sg_optim_step(o, NULL, NULL, &err), SG_OK);
        for (int i = 0; i < 9; i++)
            assert_true(fabs((double)p->value[i] + 0.01 * t) < 1e-7);
    }
    sg_optim_free(o);
    sg_params_free(&ps);
}

static void rows_not_touched_stay_bit_equal(void **state)
{
    (void)state;
    sg_params ps = {0};
    sg_optim *o;
    sg_error err;
    sg_param *p = sg_param_add(&ps, SEED, SG_INIT_NORMAL, 1, SG_PARAM_SPARSE, ROWS, DIM, "table");
    float before[N];

    assert_int_equal(sg_optim_new(&o, &ps, &ADAMW, &err), SG_OK);
    for (int t = 1; t <= 6; t++) {
        memcpy(before, p->value, sizeof before);
        const uint64_t version = p->version;
        put_gradients(p, t);
        assert_int_equal(sg_optim_step(o, NULL, NULL, &err), SG_OK);
        assert_true(p->version > version);
        for (int row = 0; row < ROWS; row++) {
            const int same = memcmp(before + row * DIM, p->value + row * DIM, DIM * sizeof(float)) == 0;

            assert_int_equal(same, !row_touched(t, row));
        }
    }
    sg_optim_free(o);
    sg_params_free(&ps);
}

/* A model of odd sizes, five steps; all bytes of weights and moments end up in out. */
static size_t run_model(sg_pool *pool, const sg_optim_spec *spec, float *out)
{
    static const int shape[][3] = {
        {700, 33, 0}, {50000, 1, 0}, {3, 0, 0}, {5000, 17, SG_PARAM_SPARSE}, {1, 9000, 0}};
    sg_params ps = {0};
    sg_optim *o;
    sg_optim_slot slots[16];
    sg_error err;
    size_t n = 0;

    for (int i = 0; i < 5; i++)
        sg_param_add(&ps, SEED, SG_INIT_NORMAL, 1, shape[i][2], shape[i][0], shape[i][1], "w%d", i);
    assert_int_equal(sg_optim_new(&o, &ps, spec, &err), SG_OK);
    for (int t = 0; t < 5; t++) {
        for (size_t i = 0; i < ps.n; i++) {
            sg_param *p = ps.list[i];

            for (int row = 0; p->sparse && row < p->dim[0]; row += 1 + t)
                p->touched[p->n_touched++] = row;
            for (size_t j = 0; j < p->count; j++)
                if (!p->sparse || j / 17 % (size_t)(1 + t) == 0)
                    p->grad[j] = (float)sg_rng_double(SEED, SG_RNG_TEST, i + 10 * (uint64_t)t, j) - 0.5f;
        }
        assert_int_equal(sg_optim_step(o, pool, NULL, &err), SG_OK);
    }
    for (size_t i = 0; i < ps.n; n += ps.list[i++]->count)
        memcpy(out + n, ps.list[i]->value, ps.list[i]->count * sizeof(float));
    const size_t n_slots = sg_optim_slots(o, slots, 16);
    assert_true(n_slots <= 10);
    for (size_t i = 0; i < n_slots; n += slots[i++].count)
        memcpy(out + n, slots[i].data, slots[i].count * sizeof(float));
    sg_optim_free(o);
    sg_params_free(&ps);
    return n;
}

static void threads_change_nothing(void **state)
{
    (void)state;
    float *one = calloc(1 << 20, sizeof *one), *many = calloc(1 << 20, sizeof *many);
    sg_error err;

    for (int kind = 0; kind < 3; kind++) {
        sg_optim_spec s = ADAMW;

        s.kind = (sg_optim_kind)kind;
        s.clip = 1;
        s.row_wise = kind == 1;
        const size_t n = run_model(NULL, &s, one);
        for (int threads = 2; threads <= 4; threads += 2) {
            sg_pool *pool;

            assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
            assert_int_equal(run_model(pool, &s, many), n);
            assert_memory_equal(one, many, n * sizeof(float));
            sg_pool_free(pool);
        }
    }
    free(one);
    free(many);
    assert_int_equal(sg_alloc_live(), 0);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    sg_params ps = {0};
    sg_optim *o;
    sg_error err;
    float before[N];
    double norm;

    sg_param_add(&ps, SEED, SG_INIT_NORMAL, 1, 0, 4, 4, "first");
    sg_param *p = sg_param_add(&ps, SEED, SG_INIT_NORMAL, 1, 0, ROWS, DIM, "second");
    assert_int_equal(sg_optim_new(&o, &ps, &ADAMW, &err), SG_OK);
    memcpy(before, p->value, sizeof before);
    for (int i = 0; i < 3; i++) {
        p->grad[17] = bad[i];
        const uint64_t version = p->version;
        assert_int_equal(sg_optim_step(o, NULL, &norm, &err), SG_ERR_NUMERIC);
        assert_string_equal(err.message, "step 1: gradient of 'second' is not a finite number");
        assert_false(isfinite(norm));
        assert_memory_equal(before, p->value, sizeof before);
        assert_int_equal(p->version, version);
        assert_int_equal(sg_optim_steps(o), 0);
        sg_params_zero_grads(&ps);
    }
    assert_int_equal(sg_optim_step(o, NULL, &norm, &err), SG_OK);
    sg_optim_free(o);
    sg_params_free(&ps);
}

static void schedules_pass_through_known_points(void **state)
{
    (void)state;
    static const struct {
        sg_schedule schedule;
        int64_t step;
        double lr;
    } points[] = {{SG_SCHEDULE_CONSTANT, 1, 0.1},  {SG_SCHEDULE_CONSTANT, 5, 0.5},
                  {SG_SCHEDULE_CONSTANT, 10, 1},   {SG_SCHEDULE_CONSTANT, 999, 1},
                  {SG_SCHEDULE_LINEAR, 5, 0.5},    {SG_SCHEDULE_LINEAR, 10, 1},
                  {SG_SCHEDULE_LINEAR, 60, 0.55},  {SG_SCHEDULE_LINEAR, 110, 0.1},
                  {SG_SCHEDULE_LINEAR, 500, 0.1},  {SG_SCHEDULE_COSINE, 10, 1},
                  {SG_SCHEDULE_COSINE, 60, 0.55},  {SG_SCHEDULE_COSINE, 35, 0.868198051533946},
                  {SG_SCHEDULE_COSINE, 110, 0.1},  {SG_SCHEDULE_COSINE, 111, 0.1},
                  {SG_SCHEDULE_INVSQRT, 10, 1},    {SG_SCHEDULE_INVSQRT, 40, 0.5},
                  {SG_SCHEDULE_INVSQRT, 1000, 0.1}};
    sg_optim_spec s = {.lr = 1, .warmup = 10, .total = 110, .lr_floor = 0.1};

    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        s.schedule = points[i].schedule;
        assert_true(fabs(sg_schedule_lr(&s, points[i].step) - points[i].lr) < 1e-12);
    }
    s = (sg_optim_spec){.lr = 0.01, .schedule = SG_SCHEDULE_INVSQRT, .hold = 10000}; /* TIGER */
    assert_true(sg_schedule_lr(&s, 1) == 0.01 && sg_schedule_lr(&s, 10000) == 0.01);
    assert_true(fabs(sg_schedule_lr(&s, 40000) - 0.005) < 1e-15);
    s = (sg_optim_spec){
        .lr = 1, .schedule = SG_SCHEDULE_LINEAR}; /* no total: the floor at once, and no division by 0 */
    assert_true(sg_schedule_lr(&s, 1) == 0);
}

static void moments_come_back_bit_for_bit(void **state)
{
    (void)state;
    float *w[2] = {NULL, NULL};
    sg_error err;

    for (int resumed = 0; resumed < 2; resumed++) {
        sg_params ps = {0};
        sg_optim *o;
        sg_optim_slot slots[8], again[8];
        sg_param *p = sg_param_add(&ps, SEED, SG_INIT_NORMAL, 1, 0, ROWS, DIM, "w");

        assert_int_equal(sg_optim_new(&o, &ps, &ADAMW, &err), SG_OK);
        for (int t = 1; t <= 8; t++) {
            if (resumed && t == 5) {
                sg_optim *fresh;

                assert_int_equal(sg_optim_new(&fresh, &ps, &ADAMW, &err), SG_OK);
                assert_int_equal(sg_optim_slots(o, slots, 8), 2);
                assert_int_equal(sg_optim_slots(fresh, again, 8), 2);
                assert_string_equal(slots[0].name, "m.w");
                assert_string_equal(slots[1].name, "v.w");
                for (int i = 0; i < 2; i++)
                    memcpy(again[i].data, slots[i].data, slots[i].count * sizeof(float));
                sg_optim_set_steps(fresh, sg_optim_steps(o));
                sg_optim_free(o);
                o = fresh;
            }
            put_gradients(p, t);
            assert_int_equal(sg_optim_step(o, NULL, NULL, &err), SG_OK);
        }
        w[resumed] = malloc(N * sizeof(float));
        memcpy(w[resumed], p->value, N * sizeof(float));
        sg_optim_free(o);
        sg_params_free(&ps);
    }
    assert_memory_equal(w[0], w[1], N * sizeof(float));
    free(w[0]);
    free(w[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_equal_the_equations),
        cmocka_unit_test(bias_correction_makes_the_first_steps_full),
        cmocka_unit_test(rows_not_touched_stay_bit_equal),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(schedules_pass_through_known_points),
        cmocka_unit_test(moments_come_back_bit_for_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
