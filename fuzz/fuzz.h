/* fuzz.h - what every fuzz target provides, and a place to put bytes for parsers that want a file. */
#ifndef SG_FUZZ_FUZZ_H
#define SG_FUZZ_FUZZ_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The promise under test: whatever the bytes, no crash, no leak, and an error is one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Appends the i-th seed, a valid or nearly valid input; false past the last. A target whose seeds are files leaves it out. */
bool fuzz_seed(size_t i, sg_buf *out) __attribute__((weak));

/* A broken promise ends the program, as a sanitizer would. */
#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* A path under which the bytes can be opened as a file, until the next call; NULL when there is no room for it. The file
 * has no name of its own, so nothing is left behind. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[40];
    static int fd = -1;

    if (fd < 0) {
        char name[] = "/tmp/sedge-fuzz-XXXXXX";

        if ((fd = mkstemp(name)) < 0)
            return NULL;
        unlink(name);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    for (size_t at = 0; at < size;) {
        const ssize_t n = pwrite(fd, data + at, size - at, (off_t)at);

        if (n <= 0)
            return NULL;
        at += (size_t)n;
    }
    return ftruncate(fd, (off_t)size) ? NULL : path;
}

#endif
