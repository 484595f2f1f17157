/* gradients.h - what models that learn are compared by: numbers of a file that others wrote, gradients of all weights beside them. */
#ifndef TESTS_GRADIENTS_H
#define TESTS_GRADIENTS_H

#include "base/alloc.h"
#include "file/safetensors.h"
#include "nn/param.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static inline char *path_of(const char *name, char path[300])
{
    snprintf(path, 300, TEST_SOURCE_DIR "/tests/parity/%s", name);
    return path;
}

typedef struct
    closeness { /* a difference of at most `share` of the largest number, or of `least` where all are smaller */
    float share, least;
} closeness;

static inline void near_all(closeness how, const char *name, const float *x, const float *want, size_t n)
{
    float top = how.least;

    for (size_t i = 0; i < n; i++)
        top = fmaxf(top, fabsf(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i] - want[i]) <= how.share * top))
            fail_msg("%s[%zu]: expected %g, found %g", name, i, (double)want[i], (double)x[i]);
}

static inline const float *need(const sg_tensors *file, const char *name, size_t count)
{
    const sg_file_tensor *t = sg_tensors_find(file, name);

    if (!t || t->dtype != SG_DT_F32 || t->count != count)
        fail_msg("%s: no tensor '%s' of %zu numbers", sg_tensors_name(file), name, count);
    return t->data;
}

/* set: what stands before their names. whole: the file holds gradients as they are; else of matrices the sums of their rows and of their columns. */
static inline void check_gradients(closeness how, const sg_tensors *file, const sg_params *ps,
                                   const char *set, bool whole)
{
    char name[200];

    for (size_t i = 0; i < ps->n; i++) {
        const sg_param *p = ps->list[i];
        const size_t rows = (size_t)p->dim[0], cols = p->rank == 2 ? (size_t)p->dim[1] : 1;

        if (whole || p->rank == 1) {
            snprintf(name, sizeof name, "%s%s", set, p->name);
            near_all(how, name, p->grad, need(file, name, p->count), p->count);
            continue;
        }
        float *by_row = sg_alloc_zero(rows, sizeof *by_row), *by_col = sg_alloc_zero(cols, sizeof *by_col);
        assert_true(by_row && by_col);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) {
                by_row[r] += p->grad[r * cols + c];
                by_col[c] += p->grad[r * cols + c];
            }
        snprintf(name, sizeof name, "%s%s.rows", set, p->name);
        near_all(how, name, by_row, need(file, name, rows), rows);
        snprintf(name, sizeof name, "%s%s.cols", set, p->name);
        near_all(how, name, by_col, need(file, name, cols), cols);
        sg_free(by_row);
        sg_free(by_col);
    }
}

/* All gradients one after the other, from sg_alloc. */
static inline float *gradients_of(const sg_params *ps)
{
    float *grad = sg_alloc_array(sg_params_count(ps), sizeof *grad);
    size_t n = 0;

    assert_non_null(grad);
    for (size_t i = 0; i < ps->n; n += ps->list[i++]->count)
        memcpy(grad + n, ps->list[i]->grad, ps->list[i]->count * sizeof *grad);
    return grad;
}

/* ps has those bytes; grad is freed. */
static inline void same_gradients(float *grad, const sg_params *ps)
{
    size_t n = 0;

    for (size_t i = 0; i < ps->n; n += ps->list[i++]->count)
        assert_memory_equal(grad + n, ps->list[i]->grad, ps->list[i]->count * sizeof *grad);
    sg_free(grad);
}

#endif
