/* scratch.c - the file is unlinked as soon as it is open. */
#include "data/scratch.h"

#include "base/alloc.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

sg_status sg_scratch_open(sg_scratch *s, const char *dir, sg_error *err)
{
    sg_buf path = {0};
    sg_status st = SG_OK;

    *s = (sg_scratch){.fd = -1, .dir = sg_strdup(dir)};
    for (int i = 0; !st && s->fd < 0; i++) {
        path.size = 0;
        sg_buf_printf(&path, "%s/.scratch-%ld-%d", dir, (long)getpid(), i);
        if (path.failed || !s->dir)
            st = sg_fail_memory(err, "temporary file");
        else if (!sg_io_fault() &&
                 (s->fd = open(path.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) >= 0)
            unlink(path.data);
        else if (errno != EEXIST || i == 1000)
            st = sg_fail_errno(err, dir, "cannot make a temporary file");
    }
    sg_buf_free(&path);
    if (st)
        sg_scratch_close(s);
    return st;
}

void sg_scratch_close(sg_scratch *s)
{
    if (s->dir && s->fd >= 0)
        close(s->fd);
    sg_free(s->dir);
    *s = (sg_scratch){0};
}

sg_status sg_scratch_write(sg_scratch *s, uint64_t offset, const void *data, size_t bytes, sg_error *err)
{
    const char *p = data;

    while (bytes) {
        const ssize_t n = sg_io_fault() ? -1 : pwrite(s->fd, p, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sg_fail_errno(err, s->dir, "cannot write a temporary file");
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    if (offset > s->size)
        s->size = offset;
    return SG_OK;
}

sg_status sg_scratch_append(sg_scratch *s, const void *data, size_t bytes, sg_error *err)
{
    return sg_scratch_write(s, s->size, data, bytes, err);
}

sg_status sg_scratch_read(const sg_scratch *s, uint64_t offset, void *data, size_t bytes, sg_error *err)
{
    char *p = data;

    while (bytes) {
        const ssize_t n = sg_io_fault() ? -1 : pread(s->fd, p, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sg_fail_errno(err, s->dir, "cannot read a temporary file");
        if (n == 0)
            return sg_fail(err, SG_ERR_IO, "%s: a temporary file is shorter than what was written", s->dir);
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return SG_OK;
}
