/* op.h - what every test of an op needs: a graph with parameters, reference values, gradients against central differences,
 * and the promise that 1, 2 and 4 threads give the same bytes.
 *
 * A case is a build function that makes a scalar loss out of inputs the harness owns. op_check runs it:
 *   - gradient: of every input and parameter, along each of up to `probes` coordinates, against
 *     (f(x + h) - f(x - h)) / 2h, f in f32 with h = 1e-2 times the size of x; error over the largest gradient <= 1e-3,
 *     or spec.tolerance;
 *   - threads: loss and all gradients byte-equal on pools of 1, 2 and 4.
 * Losses should be sums of products with fixed random numbers (op_loss), which the harness sums in double. */
#ifndef SG_TESTS_OP_H
#define SG_TESTS_OP_H

#include "base/alloc.h"
#include "base/rng.h"
#include "math/graph.h"
#include "math/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OP_PARAMS_MAX = 12 };

typedef struct op_case {
    sg_pool *pool;
    sg_graph *graph;
    sg_precision precision;
    sg_param param[OP_PARAMS_MAX]; /* inputs of the case are parameters too: op_in makes a tensor of one */
    int n_params;
    sg_tensor *out; /* what op_loss was called with */
    double loss;    /* of the last run, summed in double */
    void *user;
} op_case;

static inline float op_random(uint64_t i, uint64_t stream) /* uniform in [-1, 1) */
{
    return 2 * sg_rng_float(7, SG_RNG_TEST, stream, i) - 1;
}

/* A parameter (rows, cols), or a vector when cols is 0, filled with size * uniform[-1, 1). Returns its number. */
static inline int op_param(op_case *c, int rows, int cols, float size)
{
    sg_param *p = &c->param[c->n_params];

    *p = (sg_param){.rank = cols ? 2 : 1, .dim = {rows, cols}, .version = 1};
    snprintf(p->name, sizeof p->name, "p%d", c->n_params);
    p->count = (size_t)rows * (size_t)(cols ? cols : 1);
    p->value = sg_alloc_array(p->count, sizeof(float));
    p->grad = sg_alloc_zero(p->count, sizeof(float));
    assert_true(p->value && p->grad);
    for (size_t i = 0; i < p->count; i++)
        p->value[i] = size * op_random(i, (uint64_t)c->n_params + 1);
    return c->n_params++;
}

static inline void op_make_sparse(sg_param *p)
{
    p->sparse = true;
    p->touched = sg_alloc_zero((size_t)p->dim[0], sizeof *p->touched);
    p->is_touched = sg_alloc_zero((size_t)p->dim[0], 1);
    assert_true(p->touched && p->is_touched);
}

void sg_gemm_forget(sg_param *p);

static inline void op_free(op_case *c)
{
    for (int i = 0; i < c->n_params; i++) {
        sg_gemm_forget(&c->param[i]);
        sg_free(c->param[i].value);
        sg_free(c->param[i].grad);
        sg_free(c->param[i].touched);
        sg_free(c->param[i].is_touched);
    }
    sg_graph_free(c->graph);
    sg_pool_free(c->pool);
    *c = (op_case){0};
}

static inline void op_zero_grads(op_case *c)
{
    for (int i = 0; i < c->n_params; i++) {
        sg_param *p = &c->param[i];

        memset(p->grad, 0, p->count * sizeof(float));
        if (p->sparse)
            memset(p->is_touched, 0, (size_t)p->dim[0]);
        p->n_touched = 0;
    }
}

static inline void op_threads(op_case *c, int threads)
{
    sg_error err = {0};

    sg_graph_free(c->graph);
    sg_pool_free(c->pool);
    c->graph = NULL;
    assert_int_equal(sg_pool_new(&c->pool, threads, &err), SG_OK);
    assert_int_equal(sg_graph_new(&c->graph, c->pool, c->precision, &err), SG_OK);
}

/* Input i as a tensor that is no parameter, but whose gradient reaches the parameter behind it. */
static inline sg_tensor *op_in(op_case *c, int i)
{
    return sg_scale(c->graph, sg_leaf(c->graph, &c->param[i]), 1);
}

/* sum of r_i y_i with fixed random r: every output matters, each in its own way. */
static inline sg_tensor *op_loss(op_case *c, sg_tensor *y)
{
    sg_tensor *r;
    double sum = 0;

    c->out = y;
    if (!y || !(r = sg_tensor_new(c->graph, y->rank, y->dim)))
        return NULL;
    for (size_t i = 0; i < r->count; i++) {
        r->data[i] = op_random(i, 99);
        sum += (double)r->data[i] * y->data[i];
    }
    c->loss = sum;
    return sg_sum(c->graph, sg_times(c->graph, y, r));
}

typedef sg_tensor *op_build(op_case *c); /* the loss */

static inline double op_forward(op_case *c, op_build *build)
{
    sg_error err = {0};
    sg_tensor *loss;

    c->out = NULL;
    sg_graph_begin(c->graph, SG_TRAIN, 11, 3);
    loss = build(c);
    if (sg_graph_status(c->graph, &err))
        fail_msg("%s", err.message);
    assert_non_null(loss);
    return c->out ? c->loss : (double)loss->data[0];
}

static inline double op_backward(op_case *c, op_build *build)
{
    sg_error err = {0};
    sg_tensor *loss;

    op_zero_grads(c);
    c->out = NULL;
    sg_graph_begin(c->graph, SG_TRAIN, 11, 3);
    loss = build(c);
    if (sg_graph_status(c->graph, &err) || sg_backward(c->graph, loss, &err))
        fail_msg("%s", err.message);
    return c->out ? c->loss : (double)loss->data[0];
}

/* What a backward pass left. */
typedef struct op_result {
    double loss;
    float *grad[OP_PARAMS_MAX], *out; /* owned; out: what op_loss was called with, NULL: it was not */
} op_result;

static inline float *op_copy(const float *x, size_t n)
{
    float *y = sg_alloc_array(n, sizeof *y);

    assert_non_null(y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static inline op_result op_run(op_case *c, op_build *build)
{
    op_result r = {op_backward(c, build), {NULL}, NULL};

    for (int i = 0; i < c->n_params; i++)
        r.grad[i] = op_copy(c->param[i].grad, c->param[i].count);
    r.out = c->out ? op_copy(c->out->data, c->out->count) : NULL;
    return r;
}

static inline void op_result_free(op_result *r)
{
    for (int i = 0; i < OP_PARAMS_MAX; i++)
        sg_free(r->grad[i]);
    sg_free(r->out);
}

/* One more backward pass leaves the same bytes. */
static inline void op_same(op_case *c, op_build *build, const op_result *r)
{
    const double now = op_backward(c, build);

    assert_memory_equal(&r->loss, &now, sizeof now);
    for (int i = 0; i < c->n_params; i++)
        if (c->param[i].count)
            assert_memory_equal(r->grad[i], c->param[i].grad, c->param[i].count * sizeof(float));
    if (r->out && c->out->count)
        assert_memory_equal(r->out, c->out->data, c->out->count * sizeof(float));
}

typedef struct op_spec {
    double step;         /* of the difference, relative to the parameter's size; 0: 1e-2 */
    double tolerance;    /* 0: 1e-3 */
    int probes;          /* coordinates of each parameter; 0: 24 */
    bool no_differences; /* too long, or too steep, for differences in f32: threads alone are compared */
} op_spec;

static inline void op_check_gradients(op_case *c, op_build *build, op_spec spec)
{
    const double tolerance = spec.tolerance > 0 ? spec.tolerance : 1e-3;
    const int probes = spec.probes ? spec.probes : 24;
    op_result at = op_run(c, build);
    for (int i = 0; i < c->n_params; i++) {
        sg_param *p = &c->param[i];
        double size = 0, top = 1e-3;

        for (size_t j = 0; j < p->count; j++) {
            size = fmax(size, fabs(p->value[j]));
            top = fmax(top, fabs(at.grad[i][j]));
        }
        for (int probe = 0; probe < probes && p->count; probe++) {
            const size_t j =
                (size_t)probe < p->count && p->count <= (size_t)probes
                    ? (size_t)probe
                    : (size_t)sg_rng_below(p->count, 5, SG_RNG_TEST, (uint64_t)i, (uint64_t)probe);
            const float old = p->value[j];
            const double h = (spec.step > 0 ? spec.step : 1e-2) * fmax(size, 1e-3);
            double up, down;
            float a, b;

            p->value[j] = a = old + (float)h;
            p->version++;
            up = op_forward(c, build);
            p->value[j] = b = old - (float)h;
            p->version++;
            down = op_forward(c, build);
            p->value[j] = old;
            p->version++;
            const double want = (up - down) / ((double)a - (double)b);
            if (fabs(want - at.grad[i][j]) > tolerance * fmax(top, fabs(want)))
                fail_msg("%s[%zu]: gradient %g, difference %g (largest %g)", p->name, j, at.grad[i][j], want,
                         top);
        }
    }
    op_result_free(&at);
}

static inline void op_check_threads(op_case *c, op_build *build)
{
    op_threads(c, 1);
    op_result one = op_run(c, build);

    for (int threads = 2; threads <= 4; threads *= 2) {
        op_threads(c, threads);
        op_same(c, build, &one);
    }
    op_result_free(&one);
    op_threads(c, 1);
}

/* Both, then frees the case. */
static inline void op_check(op_case *c, op_build *build, op_spec spec)
{
    op_threads(c, 1);
    if (!spec.no_differences)
        op_check_gradients(c, build, spec);
    op_check_threads(c, build);
    op_free(c);
}

/* |x - want| <= tolerance max(|want|, scale) */
static inline void op_near(double x, double want, double tolerance, double scale, const char *what, size_t i)
{
    if (!(fabs(x - want) <= tolerance * fmax(fabs(want), scale)))
        fail_msg("%s[%zu]: found %.9g, expected %.9g", what, i, x, want);
}

/* The same of n numbers, with the largest of them as the scale where it is above `least`. */
static inline void op_near_all(const float *x, const double *want, size_t n, double tolerance, double least,
                               const char *name, const char *what)
{
    char text[100];
    double top = least;

    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(want[i]));
    snprintf(text, sizeof text, "%s: %s", name, what);
    for (size_t i = 0; i < n; i++)
        op_near(x[i], want[i], tolerance, top, text, i);
}

/* Expects the op to have failed with this message. */
static inline void op_expect_error(op_case *c, const sg_tensor *y, const char *message)
{
    sg_error err = {0};

    assert_null(y);
    assert_int_not_equal(sg_graph_status(c->graph, &err), SG_OK);
    assert_string_equal(err.message, message);
}

#endif
