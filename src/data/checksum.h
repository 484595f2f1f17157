/* checksum.h - SHA-256 of files while other work goes on: one thread reads them one after the other. */
#ifndef SG_DATA_CHECKSUM_H
#define SG_DATA_CHECKSUM_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sg_checksum {
    char hex[65]; /* "" for what is no plain file: it cannot be read twice */
    uint64_t bytes;
} sg_checksum;

typedef struct sg_checksums sg_checksums;
sg_status sg_checksums_begin(sg_checksums **out, const char *const *path, size_t n,
                             sg_error *err); /* paths are borrowed */
/* Waits for all of them: *list (n), borrowed until end. */
sg_status sg_checksums_wait(sg_checksums *c, const sg_checksum **list, sg_error *err);
void sg_checksums_end(sg_checksums *c); /* gives up what is not done; NULL is fine */

#endif
