/* gzip.h - answers as gzip, for clients that take it. */
#ifndef SG_SERVE_GZIP_H
#define SG_SERVE_GZIP_H

#include "base/buf.h"

#include <stdbool.h>

/* Does this value of Accept-Encoding (NULL: none was sent) take gzip? */
bool sg_gzip_accepted(const char *accept);
/* Replaces the text by its gzip. False: it would not be shorter, or there is no memory; b is what it was. */
bool sg_gzip(sg_buf *b);

#endif
