/* checksum.c - hashing a log costs about as much as parsing it, and needs nothing of it. */
#include "data/checksum.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 18 };

struct sg_checksums {
    const char *const *path; /* borrowed: (n) */
    size_t n;
    sg_checksum *list; /* owned: (n) */
    char *room;        /* owned: READ_BYTES */
    _Atomic bool stop;
    bool threaded, joined;
    pthread_t thread;
    sg_status status;
    sg_error error;
};

static sg_status hash_file(sg_checksums *c, size_t i)
{
    const int fd = sg_io_fault() ? -1 : open(c->path[i], O_RDONLY | O_CLOEXEC);
    sg_status st = SG_OK;
    sg_sha256 h;
    ssize_t n = 1;

    if (fd < 0)
        return sg_fail_errno(&c->error, c->path[i], "cannot open");
    sg_sha256_init(&h);
    while (!st && n && !c->stop) {
        n = sg_io_fault() ? -1 : read(fd, c->room, READ_BYTES);
        if (n < 0 && errno != EINTR)
            st = sg_fail_errno(&c->error, c->path[i], "cannot read");
        else if (n > 0) {
            sg_sha256_add(&h, c->room, (size_t)n);
            c->list[i].bytes += (uint64_t)n;
        }
    }
    close(fd);
    sg_sha256_hex(&h, c->list[i].hex);
    return st;
}

static void *hash_all(void *arg)
{
    sg_checksums *c = arg;

    for (size_t i = 0; i < c->n && !c->status && !c->stop; i++)
        if (sg_file_exists(c->path[i]))
            c->status = hash_file(c, i);
    return NULL;
}

sg_status sg_checksums_begin(sg_checksums **out, const char *const *path, size_t n, sg_error *err)
{
    sg_checksums *c = sg_alloc_zero(1, sizeof *c);

    *out = NULL;
    if (!c || !(c->list = sg_alloc_zero(n, sizeof *c->list)) || !(c->room = sg_alloc(READ_BYTES))) {
        sg_checksums_end(c);
        return sg_fail_memory(err, "checksums");
    }
    c->path = path;
    c->n = n;
    c->threaded =
        pthread_create(&c->thread, NULL, hash_all, c) == 0; /* else they are taken when they are waited for */
    *out = c;
    return SG_OK;
}

static void join(sg_checksums *c)
{
    if (c->threaded && !c->joined)
        pthread_join(c->thread, NULL);
    else if (!c->joined)
        hash_all(c);
    c->joined = true;
}

sg_status sg_checksums_wait(sg_checksums *c, const sg_checksum **list, sg_error *err)
{
    join(c);
    *list = c->list;
    if (c->status && err)
        *err = c->error;
    return c->status;
}

void sg_checksums_end(sg_checksums *c)
{
    if (!c)
        return;
    c->stop = true;
    if (c->path)
        join(c);
    sg_free(c->list);
    sg_free(c->room);
    sg_free(c);
}
