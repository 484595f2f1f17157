/* buf.h - a byte string that grows, and a read-only view of bytes. */
#ifndef SG_BASE_BUF_H
#define SG_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct sg_bytes { /* a borrowed view */
    const char *data;
    size_t size;
} sg_bytes;

typedef struct sg_buf {
    char *data;  /* owned; always followed by a 0 byte once anything was added */
    size_t size; /* without that 0 */
    size_t cap;
    size_t most; /* bytes that it may have, 0: any number; an append past it fails */
    bool failed; /* an append ran out of memory: sticky, so a writer checks once at the end */
} sg_buf;

void sg_buf_free(sg_buf *b); /* leaves it empty and usable */
void sg_buf_add(sg_buf *b, const void *data, size_t size);
void sg_buf_puts(sg_buf *b, const char *s);
void sg_buf_putc(sg_buf *b, char c);
void sg_buf_printf(sg_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *sg_buf_take(sg_buf *b); /* the string, now the caller's (sg_free); NULL when failed */

#endif
