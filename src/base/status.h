/* status.h - how every function that can fail says so: a code to branch on and one sentence to read. */
#ifndef SG_BASE_STATUS_H
#define SG_BASE_STATUS_H

#include <stdarg.h>

typedef enum sg_status {
    SG_OK = 0,
    SG_ERR_USAGE,   /* the caller asked for something that cannot be: unknown option, value out of range */
    SG_ERR_IO,      /* open, read, write, rename, sync */
    SG_ERR_FORMAT,  /* bytes that are not what they should be */
    SG_ERR_MEMORY,  /* allocation failed or a size overflows */
    SG_ERR_MISSING, /* a file, item, user, key that is not there */
    SG_ERR_NUMERIC, /* NaN or infinity where a number should be */
    SG_ERR_CANCEL,  /* the caller's progress function asked to stop */
    SG_ERR_AWAY,    /* another process that cannot be reached, or does not answer in time: later it may */
} sg_status;

typedef struct sg_error {
    sg_status status;
    char message[1024]; /* one line, no newline: where, what was found, what was expected */
} sg_error;

/* Fills err (NULL is fine) and returns status, so that `return sg_fail(err, SG_ERR_IO, ...)` reads well.
 * Control characters in the formatted text, and bytes that are not UTF-8, are replaced by '?': a message is always one line of text. */
sg_status sg_fail(sg_error *err, sg_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
sg_status sg_fail_memory(sg_error *err, const char *what);                   /* "out of memory: what" */
sg_status sg_fail_errno(sg_error *err, const char *path, const char *doing); /* "path: doing: strerror" */

#ifdef __clang_analyzer__ /* looks at one file at a time, and would follow ways on which a failure is SG_OK */
#define sg_fail(err, status, ...)       (sg_fail(err, status, __VA_ARGS__), (status))
#define sg_fail_memory(err, what)       (sg_fail_memory(err, what), SG_ERR_MEMORY)
#define sg_fail_errno(err, path, doing) (sg_fail_errno(err, path, doing), SG_ERR_IO)
#endif

/* Puts "where: " before an error made by a layer below. */
sg_status sg_error_prefix(sg_error *err, const char *where);

#endif
