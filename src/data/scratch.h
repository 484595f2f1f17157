/* scratch.h - a temporary file without a name: it vanishes with the process, whatever happens. */
#ifndef SG_DATA_SCRATCH_H
#define SG_DATA_SCRATCH_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sg_scratch {
    int fd;
    char *dir;     /* owned: for messages; NULL: not open */
    uint64_t size; /* bytes appended */
} sg_scratch;

sg_status sg_scratch_open(sg_scratch *s, const char *dir, sg_error *err);
void sg_scratch_close(sg_scratch *s); /* a zeroed one is fine */
sg_status sg_scratch_write(sg_scratch *s, uint64_t offset, const void *data, size_t bytes, sg_error *err);
sg_status sg_scratch_append(sg_scratch *s, const void *data, size_t bytes, sg_error *err);
sg_status sg_scratch_read(const sg_scratch *s, uint64_t offset, void *data, size_t bytes,
                          sg_error *err); /* all or an error */

#endif
