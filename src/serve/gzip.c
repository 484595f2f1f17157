/* gzip.c - zlib behind our own words. Level 1: answers are short-lived, and JSON shrinks to a fifth by it already. */
#include "serve/gzip.h"

#include "base/alloc.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { LEVEL = 1, GZIP_WINDOW = 15 + 16, MEMORY = 8 };

/* "br;q=1.0, gzip;q=0.8, *;q=0": what is named goes before what the star says; q=0 is a no. */
bool sg_gzip_accepted(const char *accept)
{
    double named = -1, star = -1;

    for (const char *at = accept; at && *at; at += strcspn(at, ","), at += *at == ',') {
        const char *q;
        double weight = 1;
        size_t n;

        at += strspn(at, " \t");
        n = strcspn(at, " \t;,");
        q = at + n + strspn(at + n, " \t;");
        if (strncasecmp(q, "q=", 2) == 0)
            weight = strspn(q + 2, "0.") == strcspn(q + 2, " \t,") ? 0 : 1; /* "0", "0.000" */
        if (n == 4 && strncasecmp(at, "gzip", 4) == 0)
            named = weight;
        else if (n == 1 && *at == '*')
            star = weight;
    }
    return named >= 0 ? named > 0 : star > 0;
}

bool sg_gzip(sg_buf *b)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)b->data, .avail_in = (uInt)b->size};
    char *out = b->size <= UINT32_MAX ? sg_alloc_array(b->size, 1) : NULL;
    bool shorter = false;

    if (out && deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK) {
        z.next_out = (Bytef *)out;
        z.avail_out = (uInt)b->size;
        shorter = deflate(&z, Z_FINISH) == Z_STREAM_END; /* else it did not fit into what it was */
        deflateEnd(&z);
    }
    if (shorter) {
        b->size = 0;
        sg_buf_add(b, out, z.total_out); /* within its room: cannot fail */
    }
    sg_free(out);
    return shorter;
}
