/* folder.h - the folder of a test program, made before its tests and gone after them:
 * cmocka_run_group_tests(tests, folder_make, folder_drop), or from setup and teardown of the program's own. */
#ifndef SG_TESTS_FOLDER_H
#define SG_TESTS_FOLDER_H

#include "base/io.h"
#include "scratch.h"

static char folder[SCRATCH_MAX];

static inline int folder_make(void **state)
{
    (void)state;
    return scratch_make(folder, "test");
}

static inline int folder_drop(void **state)
{
    (void)state;
    return sg_dir_remove(folder, NULL) ? -1 : 0;
}

/* A path in it, good until seven more were asked for. */
static inline const char *in_folder(const char *name)
{
    static char path[8][256];
    static int turn;

    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

#endif
