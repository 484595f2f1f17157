/* status.c - one sentence an error. */
#include "base/status.h"

#undef sg_fail /* what the analyzer is told, see status.h */
#undef sg_fail_memory
#undef sg_fail_errno

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Names from outside and texts that were cut need not be UTF-8, and JSON would have nothing of the message then. */
static void clean_line(char *s)
{
    const size_t size = strlen(s);

    for (size_t i = 0; i < size; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            s[i] = '?';
    for (size_t i = 0; (i += sg_utf8_valid_bytes(s + i, size - i)) < size; i++)
        s[i] = '?';
}

sg_status sg_fail(sg_error *err, sg_status status, const char *format, ...)
{
    va_list args;

    if (!err)
        return status;
    err->status = status;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    clean_line(err->message);
    return status;
}

sg_status sg_fail_memory(sg_error *err, const char *what)
{
    return sg_fail(err, SG_ERR_MEMORY, "out of memory: %s", what);
}

sg_status sg_fail_errno(sg_error *err, const char *path, const char *doing)
{
    const int e = errno;

    return sg_fail(err, e == ENOENT ? SG_ERR_MISSING : SG_ERR_IO, "%s: %s: %s", path, doing, strerror(e));
}

sg_status sg_error_prefix(sg_error *err, const char *where)
{
    char old[sizeof err->message];

    if (!err)
        return SG_ERR_FORMAT;
    memcpy(old, err->message, sizeof old);
    return sg_fail(err, err->status, "%s: %.*s", where, (int)(sizeof old - 1), old);
}
