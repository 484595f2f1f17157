/* faults.h - walks through every allocation and every I/O operation of an operation, letting one after the other fail.
 *
 * jansson allocates through the same door where a test says so; not while it parses, because jansson 2.14 then drops a
 * character of a string for which it finds no memory, and says nothing. */
#ifndef SG_TESTS_FAULTS_H
#define SG_TESTS_FAULTS_H

#include "base/alloc.h"
#include "base/io.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef sg_status faults_operation(void *ctx, sg_error *err);
typedef void faults_check(void *ctx, bool done); /* after each run; done: it succeeded */

typedef enum faults_kind { FAULTS_ALLOC, FAULTS_IO } faults_kind;

/* No JSON value may live across this. */
static inline void faults_jansson(bool through_the_door)
{
    json_set_alloc_funcs(through_the_door ? sg_alloc : malloc, through_the_door ? sg_free : free);
}

static inline void faults_set(faults_kind kind, uint64_t n)
{
    if (kind == FAULTS_ALLOC)
        sg_alloc_fail_at(n);
    else
        sg_io_fail_at(n);
}

/* Every failure must be reported with a sentence, leak nothing, and leave what `check` wants. Returns how many faults there
 * were before the operation got through. */
static inline int faults_walk(faults_kind kind, faults_operation *operation, faults_check *check, void *ctx)
{
    for (int n = 1;; n++) {
        const int64_t live = sg_alloc_live();
        sg_error err = {0};
        sg_status st;

        faults_set(kind, (uint64_t)n);
        st = operation(ctx, &err);
        faults_set(kind, 0);
        if (st) {
            if (st != (kind == FAULTS_IO ? SG_ERR_IO : SG_ERR_MEMORY) || err.status != st ||
                strchr(err.message, '\n'))
                fail_msg("fault %d: status %d, '%s'", n, (int)st, err.message);
            if (sg_alloc_live() != live)
                fail_msg("fault %d leaks %d blocks: %s", n, (int)(sg_alloc_live() - live), err.message);
        }
        if (check)
            check(ctx, !st);
        if (!st)
            return n - 1;
        if (n > 100000)
            fail_msg("does not end");
    }
}

/* Files and folders in a folder. */
static inline int faults_entries(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    int n = 0;

    while (d && (e = readdir(d)))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

#endif
