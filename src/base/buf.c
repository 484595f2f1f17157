/* buf.c - appends never fail halfway: a failed buffer stays as it was and says so at the end. */
#include "base/buf.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

void sg_buf_free(sg_buf *b)
{
    sg_free(b->data);
    *b = (sg_buf){0};
}

static bool make_room(sg_buf *b, size_t more)
{
    size_t need;

    if (b->failed || !sg_add(&need, b->size, more) || (b->most && need > b->most) ||
        !sg_add(&need, need, 1) || !sg_grow(&b->data, &b->cap, need, 1)) {
        b->failed = true;
        return false;
    }
    return true;
}

void sg_buf_add(sg_buf *b, const void *data, size_t size)
{
    if (!make_room(b, size))
        return;
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void sg_buf_puts(sg_buf *b, const char *s)
{
    sg_buf_add(b, s, strlen(s));
}

void sg_buf_putc(sg_buf *b, char c)
{
    sg_buf_add(b, &c, 1);
}

void sg_buf_printf(sg_buf *b, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && make_room(b, (size_t)n)) {
        vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
}

char *sg_buf_take(sg_buf *b)
{
    char *s;

    if (!b->data)
        sg_buf_add(b, "", 0);
    s = b->failed ? NULL : b->data;
    if (!s)
        sg_buf_free(b);
    *b = (sg_buf){0};
    return s;
}
