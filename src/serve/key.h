/* key.h - who may do what: keys from a file that only its owner can read. */
#ifndef SG_SERVE_KEY_H
#define SG_SERVE_KEY_H

#include "base/status.h"

#include <stddef.h>

typedef enum sg_scope {
    SG_SCOPE_OPEN,
    SG_SCOPE_USE,
    SG_SCOPE_ADMIN
} sg_scope; /* a higher one includes the lower */

typedef struct sg_keys sg_keys;

/* One key a line, "use KEY" or "admin KEY"; empty lines and lines that begin with # are skipped. The file has
 * mode 0600 or less, a key at least 16 characters. Keys are kept as hashes only. */
sg_status sg_keys_open(sg_keys **out, const char *path, sg_error *err);
void sg_keys_free(sg_keys *k);
/* What the bearer of this text may do; SG_SCOPE_OPEN: nothing more than anyone. Takes as long for a wrong key
 * as for a right one. */
sg_scope sg_keys_scope(const sg_keys *k, const char *key, size_t size);

#endif
