/* tuned.h - tuning jobs of tests in their folder, perhaps stopped after some steps, and what they leave. */
#ifndef TESTS_TUNED_H
#define TESTS_TUNED_H

#include "base/io.h"
#include "base/pool.h"
#include "folder.h"
#include "lm/tune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char data[200]; /* the lessons, which setup writes */

static inline char *in_dir(const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", folder, name);
    return path;
}

static inline int stop_after(void *user, const sg_progress_event *e)
{
    int *steps = user;

    return !e->message && strcmp(e->stage, "tune") == 0 && --*steps == 0;
}

/* Into the folder `name`; steps: it is stopped after so many, 0: not. */
static inline sg_status tune(const char *model, const char *name, const sg_tune_config *c, int threads,
                             int steps, bool resume, json_t **report, sg_error *err)
{
    char out[300];
    const sg_tune_job job = {model, data, in_dir(name, out), resume};
    const sg_progress progress = {stop_after, &steps};
    sg_pool *pool;
    sg_status st;

    *report = NULL;
    assert_int_equal(sg_pool_new(&pool, threads, err), SG_OK);
    st = sg_tune(&job, c, pool, steps ? &progress : NULL, report, err);
    sg_pool_free(pool);
    return st;
}

/* Two files of the folder. */
static inline void check_same(const char *a, const char *b)
{
    char left[400], right[400];
    sg_buf x = {0}, y = {0};
    sg_error err;

    assert_int_equal(sg_file_read(&x, in_dir(a, left), 1 << 24, &err), SG_OK);
    assert_int_equal(sg_file_read(&y, in_dir(b, right), 1 << 24, &err), SG_OK);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    sg_buf_free(&x);
    sg_buf_free(&y);
}

#endif
