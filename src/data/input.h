/* input.h - a text file as a moving window of bytes, decompressed, with line numbers for messages; or bytes
 * in memory. */
#ifndef SG_DATA_INPUT_H
#define SG_DATA_INPUT_H

#include "base/buf.h"
#include "base/io.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SG_INPUT_PAD = 64 };                 /* zero bytes after the window: vector loads may pass its end */
#define SG_ROW_BYTES_MAX ((size_t)64 << 20) /* a longer row is an error */

typedef struct sg_input {
    char *path;             /* owned: for messages */
    sg_reader *reader;      /* owned; NULL: memory */
    sg_bytes memory;        /* borrowed: what is left of it */
    size_t piece;           /* bytes taken from memory at a time */
    char *data;             /* owned: window of cap bytes and the pad */
    size_t cap, begin, end; /* not yet consumed: data[begin .. end] */
    bool ended;             /* nothing comes after the window */
    bool nul;               /* a NUL byte has been seen: rows must look for theirs */
    bool broken;            /* an error after which the next row cannot be found */
    uint64_t line;          /* lines consumed so far */
} sg_input;

sg_status sg_input_open(sg_input *in, const char *path, sg_error *err); /* skips a byte order mark */
/* For fuzzing and tests: the same over bytes, handed out `piece` bytes at a time. */
sg_status sg_input_memory(sg_input *in, sg_bytes bytes, size_t piece, const char *name, sg_error *err);
void sg_input_close(sg_input *in); /* a zeroed one is fine */

/* Appends to the window, moving it to the front; sets ended when there was nothing more. Pointers into it are
 * void. */
sg_status sg_input_more(sg_input *in, sg_error *err);

/* The next line without its end; *got false: none left. Valid until the next call. */
sg_status sg_input_line(sg_input *in, sg_bytes *line, bool *got, sg_error *err);

/* "PATH:LINE: ..." for the line that was consumed last, or the given one. */
sg_status sg_input_fail(const sg_input *in, uint64_t line, sg_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
