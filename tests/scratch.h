/* scratch.h - a folder for a test's files, in memory where the system has such a place: many tests sync many files. */
#ifndef SG_TESTS_SCRATCH_H
#define SG_TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SCRATCH_MAX = 64 };

/* 0, or -1 when no folder can be made: what a cmocka setup function returns. */
static inline int scratch_make(char dir[SCRATCH_MAX], const char *name)
{
    static const char *const places[] = {"/dev/shm", "/tmp"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(dir, SCRATCH_MAX, "%s/sedge-%s-XXXXXX", places[i], name);
        if (access(places[i], W_OK) == 0 && mkdtemp(dir))
            return 0;
    }
    return -1;
}

#endif
