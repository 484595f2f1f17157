/* sha256.h - checksums of files, streaming. [FIPS 180-4] */
#ifndef SG_FILE_SHA256_H
#define SG_FILE_SHA256_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_sha256 {
    uint32_t state[8];
    uint64_t bytes;          /* hashed so far */
    unsigned char block[64]; /* bytes % 64 of them wait */
    bool fast;               /* by instructions of the processor */
} sg_sha256;

void sg_sha256_init(sg_sha256 *h);
void sg_sha256_add(sg_sha256 *h, const void *data, size_t size);
void sg_sha256_hex(sg_sha256 *h, char hex[65]); /* ends the hash */
sg_status sg_sha256_file(char hex[65], uint64_t *size, const char *path,
                         sg_error *err); /* size may be NULL */

#endif
