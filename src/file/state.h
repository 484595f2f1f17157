/* state.h - DIR/checkpoint/state.safetensors: one file that a run that was stopped goes on from with the same bytes.
 *
 * It holds arrays by name, counters as one line of text (doubles as hexadecimal floats, so that nothing is rounded on the way), the log
 * so far, and what must be equal for a run to go on, as "key=value key=value ...". */
#ifndef SG_FILE_STATE_H
#define SG_FILE_STATE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { SG_STATE_NUMBERS = 512 /* bytes of the counters */ };

typedef struct sg_state_array {
    char name[160];
    float *data; /* borrowed */
    size_t count;
} sg_state_array;

typedef struct sg_state {
    const char *format;             /* of the kind of run, with a version */
    sg_buf same;                    /* owned: what must be equal */
    char numbers[SG_STATE_NUMBERS]; /* counters */
    sg_state_array *array;          /* owned */
    size_t n, cap;
    bool failed; /* an array did not fit: sticky */
} sg_state;

void sg_state_add(sg_state *s, const char *kind, const char *name, float *data,
                  size_t count); /* "kind.name" */
void sg_state_free(sg_state *s);

sg_status sg_state_save(const sg_state *s, const char *log, const char *dir,
                        sg_error *err); /* replaced atomically */
/* Fills the arrays and the counters, and adds the log to *log. Nothing there: *found false, all stays as it is. A file of another kind, or
 * of a run with other options: an error that says what differs. */
sg_status sg_state_load(sg_state *s, sg_buf *log, bool *found, const char *dir, sg_error *err);
bool sg_state_exists(const char *dir); /* the folder, whether a file is in it or not */
void sg_state_sweep(const char *dir);  /* what a run left that was killed before its first file was whole */
sg_status sg_state_remove(const char *dir, sg_error *err);

#endif
