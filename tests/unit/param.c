/* param.c - weights: first values depend on seed and name alone, gradients of sparse tables cost what was touched. */
#include "base/alloc.h"
#include "nn/param.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void moments_of(const sg_param *p, double *mean, double *sd, double *most)
{
    double sum = 0, sq = 0;

    *most = 0;
    for (size_t i = 0; i < p->count; i++) {
        sum += (double)p->value[i];
        sq += (double)p->value[i] * (double)p->value[i];
        *most = fmax(*most, fabs((double)p->value[i]));
    }
    *mean = sum / (double)p->count;
    *sd = sqrt(sq / (double)p->count - *mean * *mean);
}

static void initial_values_follow_their_law(void **state)
{
    (void)state;
    sg_params ps = {0};
    double mean, sd, most;

    /* 120,000 draws: the mean is off by 0.003 sd, the sd by 0.2 %; five times that is allowed */
    moments_of(sg_param_add(&ps, 1, SG_INIT_NORMAL, 0.02f, 0, 400, 300, "normal"), &mean, &sd, &most);
    assert_true(fabs(mean) < 0.015 * 0.02 && fabs(sd / 0.02 - 1) < 0.01 && most > 3.5 * 0.02);
    moments_of(sg_param_add(&ps, 1, SG_INIT_TRUNC_NORMAL, 0.02f, 0, 400, 300, "cut"), &mean, &sd, &most);
    assert_true(fabs(mean) < 0.015 * 0.02 && fabs(sd / 0.02 - 0.8796) < 0.01 &&
                most <= 2 * 0.02 * (1 + 1e-6));
    moments_of(sg_param_add(&ps, 1, SG_INIT_XAVIER_UNIFORM, 1, 0, 400, 300, "uniform"), &mean, &sd, &most);
    assert_true(most <= sqrt(6.0 / 700) && fabs(sd / sqrt(2.0 / 700) - 1) < 0.01);
    moments_of(sg_param_add(&ps, 1, SG_INIT_XAVIER_NORMAL, 2, 0, 400, 300, "xavier"), &mean, &sd, &most);
    assert_true(fabs(sd / (2 * sqrt(2.0 / 700)) - 1) < 0.01);
    moments_of(sg_param_add(&ps, 1, SG_INIT_ONE, 1, 0, 7, 0, "one"), &mean, &sd, &most);
    assert_true(mean == 1 && most == 1);
    moments_of(sg_param_add(&ps, 1, SG_INIT_ZERO, 1, 0, 7, 0, "zero"), &mean, &sd, &most);
    assert_true(most == 0);
    assert_int_equal(sg_params_count(&ps), 4 * 120000 + 14);
    sg_params_free(&ps);
}

static void order_of_declaration_does_not_matter(void **state)
{
    (void)state;
    sg_params a = {0}, b = {0};

    for (int i = 0; i < 5; i++)
        sg_param_add(&a, 7, SG_INIT_NORMAL, 1, 0, 4, 3, "layer.%d.w", i);
    for (int i = 4; i >= 0; i--)
        sg_param_add(&b, 7, SG_INIT_NORMAL, 1, 0, 4, 3, "layer.%d.w", i);
    for (size_t i = 0; i < a.n; i++)
        assert_memory_equal(a.list[i]->value, sg_params_find(&b, a.list[i]->name)->value, 12 * sizeof(float));
    assert_memory_not_equal(a.list[0]->value, a.list[1]->value, 12 * sizeof(float));
    assert_null(sg_params_find(&a, "layer.5.w"));
    sg_params_free(&a);
    sg_params_free(&b);
    assert_int_equal(sg_alloc_live(), 0);
}

static void sparse_gradients_are_cleared_by_touched_rows(void **state)
{
    (void)state;
    sg_params ps = {0};
    sg_error err;
    sg_param *p =
        sg_param_add(&ps, 1, SG_INIT_NORMAL, 1, SG_PARAM_SPARSE | SG_PARAM_NO_DECAY, 10, 4, "table");
    sg_param *frozen = sg_param_add(&ps, 1, SG_INIT_NORMAL, 1, SG_PARAM_FROZEN, 3, 3, "frozen");

    assert_int_equal(sg_params_need_grads(&ps, &err), SG_OK);
    assert_null(frozen->grad);
    assert_true(p->sparse && !p->decay && frozen->decay);
    p->touched[0] = 2, p->touched[1] = 9, p->n_touched = 2;
    p->is_touched[2] = p->is_touched[9] = 1;
    for (int i = 0; i < 4; i++)
        p->grad[8 + i] = 1, p->grad[36 + i] = 2;
    assert_true(sg_params_grad_norm(&ps) == sqrt(4 + 16));
    sg_params_scale_grads(&ps, 0.5f);
    assert_true(sg_params_grad_norm(&ps) == sqrt(1 + 4));
    sg_params_zero_grads(&ps);
    assert_int_equal(p->n_touched, 0);
    for (size_t i = 0; i < p->count; i++)
        assert_true(p->grad[i] == 0 && p->is_touched[i / 4] == 0);
    sg_params_free(&ps);
}

static void mapped_weights_are_borrowed(void **state)
{
    (void)state;
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    sg_params ps = {.bare = true};
    sg_error err;
    sg_param *p = sg_param_add(&ps, 1, SG_INIT_NORMAL, 1, 0, 2, 3, "w");

    assert_null(p->value);
    sg_param_map(p, values);
    assert_ptr_equal(p->value, values);
    assert_int_equal(sg_params_need_grads(&ps, &err), SG_OK);
    assert_null(p->grad);
    sg_params_free(&ps);
    assert_int_equal(sg_alloc_live(), 0);
}

static void running_out_of_memory_is_sticky(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        sg_params ps = {0};
        sg_error err;
        sg_status st;

        sg_alloc_fail_at(n);
        sg_param_add(&ps, 1, SG_INIT_ONE, 1, SG_PARAM_SPARSE, 5, 4, "a");
        sg_param_add(&ps, 1, SG_INIT_ONE, 1, 0, 5, 4, "b");
        st = sg_params_need_grads(&ps, &err);
        const bool done = st == SG_OK;
        sg_alloc_fail_at(0);
        if (!done) {
            assert_int_equal(st, SG_ERR_MEMORY);
            assert_memory_equal(err.message, "out of memory: ", 15);
        }
        sg_params_free(&ps);
        assert_int_equal(sg_alloc_live(), 0);
        if (done)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_values_follow_their_law),
        cmocka_unit_test(order_of_declaration_does_not_matter),
        cmocka_unit_test(sparse_gradients_are_cleared_by_touched_rows),
        cmocka_unit_test(mapped_weights_are_borrowed),
        cmocka_unit_test(running_out_of_memory_is_sticky),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
