/* base64.h - bytes as text of 64 letters (RFC 4648). */
#ifndef SG_BASE_BASE64_H
#define SG_BASE_BASE64_H

#include "base/buf.h"

void sg_base64_encode(sg_buf *out, sg_bytes s);
bool sg_base64_decode(sg_buf *out, sg_bytes s); /* false: no base64; = at the end may be missing */

#endif
