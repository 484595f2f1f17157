/* io.c - whole files, folders, atomic replacement of both, read-only mappings. Streaming input is in reader.c. */
#define _GNU_SOURCE
#include "base/io.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BUFFER = 1 << 18, TMP_TRIES = 1000 };

static _Atomic uint64_t calls;
static _Atomic uint64_t fail_at;

void sg_io_fail_at(uint64_t n)
{
    atomic_store(&fail_at, n ? atomic_load(&calls) + n : 0);
}

uint64_t sg_io_calls(void)
{
    return atomic_load(&calls);
}

bool sg_io_fault(void)
{
    const uint64_t call = atomic_fetch_add(&calls, 1) + 1;
    const uint64_t fail = atomic_load(&fail_at);

    if (!fail || call != fail)
        return false;
    errno = EIO;
    return true;
}

static int open_file(const char *path, int flags)
{
    return sg_io_fault() ? -1 : open(path, flags | O_CLOEXEC, 0666);
}

static ssize_t read_some(int fd, void *data, size_t size)
{
    ssize_t n;

    if (sg_io_fault())
        return -1;
    do
        n = read(fd, data, size);
    while (n < 0 && errno == EINTR);
    return n;
}

static int sync_fd(int fd)
{
    if (sg_io_fault())
        return -1;
    if (fsync(fd) == 0 || errno == EINVAL) /* some file systems cannot sync a folder */
        return 0;
    return -1;
}

static int rename_path(const char *from, const char *to)
{
    return sg_io_fault() ? -1 : rename(from, to);
}

/* Closes in every case; the failure is only reported. */
static int close_fd(int fd)
{
    const bool fault = sg_io_fault();
    const int r = close(fd);

    if (fault)
        errno = EIO;
    return fault || (r && errno != EINTR) ? -1 : 0;
}

/* ---- folders ---- */

/* Removes what is inside the folder; fd is closed. Links are removed, never followed. */
static int empty_dir(int fd)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int failed = 0;

    if (!d) {
        close(fd);
        return -1;
    }
    while (!failed && (e = readdir(d))) {
        struct stat s;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW))
            failed = errno == ENOENT ? 0 : -1;
        else if (S_ISDIR(s.st_mode)) {
            const int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            failed = sub < 0 || empty_dir(sub) || unlinkat(fd, e->d_name, AT_REMOVEDIR) ? -1 : 0;
        } else {
            failed = unlinkat(fd, e->d_name, 0) && errno != ENOENT ? -1 : 0;
        }
    }
    const int e_saved = errno;
    closedir(d);
    errno = e_saved;
    return failed;
}

sg_status sg_dir_remove(const char *path, sg_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return SG_OK;
    if (fd < 0 || empty_dir(fd) || (rmdir(path) && errno != ENOENT))
        return sg_fail_errno(err, path, "cannot remove folder");
    return SG_OK;
}

sg_status sg_dir_sync(const char *path, sg_error *err)
{
    const int fd = open_file(path, O_RDONLY | O_DIRECTORY);
    sg_status st = SG_OK;

    if (fd < 0)
        return sg_fail_errno(err, path, "cannot open folder");
    if (sync_fd(fd))
        st = sg_fail_errno(err, path, "cannot sync folder");
    if (close_fd(fd) && !st)
        st = sg_fail_errno(err, path, "cannot close folder");
    return st;
}

static sg_status sync_parent(const char *path, sg_error *err)
{
    char *dir = sg_path_dir(path);
    const sg_status st = dir ? sg_dir_sync(dir, err) : sg_fail_memory(err, path);

    sg_free(dir);
    return st;
}

/* ---- temporary names ----
 *
 * What is being made lies beside its final place, locked for as long as its process lives: the kernel lets go of the lock
 * however the process ends. So what nobody has locked was left by one that was killed, and the next to make the same thing
 * removes it. Where a file system knows no locks nothing is removed. */

#define TMP_MARK ".sedge-tmp-"

/* "path.sedge-tmp-PID-N", never the same twice: who sweeps removes by name what he has looked at, and must not meet another. */
static char *tmp_name(const char *path)
{
    static _Atomic uint64_t made;
    sg_buf b = {0};

    sg_buf_printf(&b, "%s" TMP_MARK "%ld-%" PRIu64, path, (long)getpid(), atomic_fetch_add(&made, 1));
    return sg_buf_take(&b);
}

static bool is_tmp_name(const char *name, const char *base)
{
    const size_t n = strlen(base), mark = strlen(TMP_MARK);

    if (strncmp(name, base, n) != 0 || strncmp(name + n, TMP_MARK, mark) != 0)
        return false;
    name += n + mark;
    return *name && strspn(name, "0123456789-") == strlen(name);
}

/* Locks the file or folder that was just made at `path`. False: in the moment before, somebody took it for one left behind. */
static bool lock_new(int fd, const char *path)
{
    struct stat mine, there;

    if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return false;
    return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

/* Removes the temporary files (kind S_IFREG) or folders (S_IFDIR) of `path`, in the folder `parent`, that killed processes
 * have left. What cannot be removed is in nobody's way. */
static void sweep(const char *parent, const char *path, mode_t kind)
{
    DIR *d = opendir(parent);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        struct stat s;
        int fd;

        if (!is_tmp_name(e->d_name, sg_path_base(path)))
            continue;
        fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (fstat(fd, &s) == 0 && (s.st_mode & S_IFMT) == kind && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (kind == S_IFREG)
                unlinkat(dirfd(d), e->d_name, 0);
            else if (empty_dir(dup(fd)) == 0) /* the lock stays until the folder is gone */
                unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
        }
        close(fd);
    }
    if (d)
        closedir(d);
}

/* The two that make something new return the descriptor that holds its lock, or -1: errno EEXIST when another name may do. */
static int make_tmp_file(const char *tmp)
{
    const int fd = open_file(tmp, O_WRONLY | O_CREAT | O_EXCL);

    if (fd < 0 || lock_new(fd, tmp))
        return fd;
    close(fd);
    errno = EEXIST;
    return -1;
}

static int make_tmp_dir(const char *tmp)
{
    int fd, e;

    if (sg_io_fault() || mkdir(tmp, 0777))
        return -1;
    fd = open(tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && lock_new(fd, tmp))
        return fd;
    e = fd >= 0 || errno == ENOENT ? EEXIST : errno;
    if (fd >= 0)
        close(fd);
    else
        rmdir(tmp);
    errno = e;
    return -1;
}

/* The folder's own name, without links and trailing slashes, so that the temporary one lands beside it. */
static char *folder_name(const char *dir)
{
    char *real = realpath(dir, NULL);
    char *copy = sg_strdup(real ? real : dir);

    free(real);
    for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = 0;
    return copy;
}

static bool dir_empty(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    bool empty = d;

    while (empty && (e = readdir(d)))
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d)
        closedir(d);
    return empty;
}

sg_status sg_folder_begin(sg_folder *out, const char *dir, const char *marker, sg_error *err)
{
    sg_folder f = {.dir = folder_name(dir)};
    char *parent = f.dir ? sg_path_dir(f.dir) : NULL;
    char *mark = f.dir ? sg_path_join(f.dir, marker) : NULL;
    struct stat s;
    sg_status st = SG_OK;

    *out = (sg_folder){0};
    if (!f.dir || !parent || !mark)
        st = sg_fail_memory(err, dir);
    else if (stat(f.dir, &s) == 0 && !S_ISDIR(s.st_mode))
        st = sg_fail(err, SG_ERR_USAGE, "%s: expected a folder, found a file", dir);
    else if (sg_dir_exists(f.dir) && !sg_file_exists(mark) && !dir_empty(f.dir))
        st = sg_fail(err, SG_ERR_USAGE, "%s: exists and holds no %s: not replaced", dir, marker);
    else if (!(st = sg_dir_make(parent, err)))
        sweep(parent, f.dir, S_IFDIR);
    for (int i = 0; !st && !f.tmp; i++) {
        if (!(f.tmp = tmp_name(f.dir))) {
            st = sg_fail_memory(err, dir);
        } else if ((f.lock = make_tmp_dir(f.tmp)) < 0) {
            if (errno != EEXIST || i == TMP_TRIES)
                st = sg_fail_errno(err, dir, "cannot make folder");
            sg_free(f.tmp);
            f.tmp = NULL;
        }
    }
    sg_free(parent);
    sg_free(mark);
    if (st)
        sg_free(f.dir);
    else
        *out = f;
    return st;
}

void sg_folder_abort(sg_folder *f)
{
    if (f->tmp) {
        sg_dir_remove(f->tmp, NULL);
        close(f->lock);
    }
    sg_free(f->tmp);
    sg_free(f->dir);
    *f = (sg_folder){0};
}

/* Exchanges the two folders in one step where the kernel and file system can, so that a reader sees the old or the new
 * one and never none; else in two renames, undone when the second fails. tmp then holds the old one. The old one's name
 * between the two renames is none that is ever swept: killed there, nothing is lost. */
static int swap_dirs(const char *tmp, const char *dir)
{
    sg_buf old = {0};
    char *aside;
    int r;

    if (sg_io_fault())
        return -1;
    if (!sg_dir_exists(dir)) {
        if (rename(tmp, dir) == 0)
            return 0;
        if (errno != ENOTEMPTY && errno != EEXIST) /* somebody else has made one in this moment */
            return -1;
    }
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    sg_buf_printf(&old, "%s.sedge-old-%ld", dir, (long)getpid());
    if (!(aside = sg_buf_take(&old))) {
        errno = ENOMEM;
        return -1;
    }
    if (!(r = rename(dir, aside)) && (r = rename(tmp, dir))) {
        const int e = errno;

        if (rename(aside, dir))
            r = -1;
        errno = e;
    } else if (!r) {
        r = rename(aside, tmp);
    }
    sg_free(aside);
    return r;
}

sg_status sg_folder_commit(sg_folder *f, sg_error *err)
{
    sg_status st = sg_dir_sync(f->tmp, err);

    if (!st && swap_dirs(f->tmp, f->dir))
        st = sg_fail_errno(err, f->dir, "cannot put the new folder in place");
    if (!st)
        st = sync_parent(f->dir, err);
    sg_folder_abort(f); /* on success tmp holds the old folder, or nothing */
    return st;
}

/* ---- whole files ---- */

sg_status sg_file_read(sg_buf *out, const char *path, size_t bytes_max, sg_error *err)
{
    const int fd = open_file(path, O_RDONLY);
    sg_status st = SG_OK;
    sg_buf b = {0};
    struct stat s;

    if (fd < 0)
        return sg_fail_errno(err, path, "cannot open");
    if (fstat(fd, &s))
        st = sg_fail_errno(err, path, "cannot read");
    else if (S_ISDIR(s.st_mode))
        st = sg_fail(err, SG_ERR_IO, "%s: expected a file, found a folder", path);
    else if (S_ISREG(s.st_mode) && (uint64_t)s.st_size > bytes_max)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %zu bytes, found %llu", path, bytes_max,
                     (unsigned long long)s.st_size);
    while (!st) {
        char chunk[16384];
        ssize_t n;

        /* One large read when the size is known, then small ones until the end says so. */
        const size_t want = S_ISREG(s.st_mode) && (size_t)s.st_size > b.size ? (size_t)s.st_size - b.size : 0;
        if (want > sizeof chunk) {
            if (!sg_grow(&b.data, &b.cap, b.size + want + 1, 1)) {
                st = sg_fail_memory(err, path);
                break;
            }
            if ((n = read_some(fd, b.data + b.size, want)) > 0) {
                b.size += (size_t)n;
                b.data[b.size] = 0;
            }
        } else if ((n = read_some(fd, chunk, sizeof chunk)) > 0) {
            sg_buf_add(&b, chunk, (size_t)n);
        }
        if (n < 0)
            st = sg_fail_errno(err, path, "cannot read");
        else if (b.failed)
            st = sg_fail_memory(err, path);
        else if (b.size > bytes_max)
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %zu bytes, found more", path, bytes_max);
        if (n <= 0)
            break;
    }
    close(fd);
    if (!st && !b.data)
        sg_buf_add(&b, "", 0);
    if (!st && b.failed)
        st = sg_fail_memory(err, path);
    if (st) {
        sg_buf_free(&b);
        return st;
    }
    sg_buf_free(out);
    *out = b;
    return SG_OK;
}

void sg_file_sweep(const char *path)
{
    char *parent = sg_path_dir(path);

    if (parent)
        sweep(parent, path, S_IFREG);
    sg_free(parent);
}

sg_status sg_file_write(const char *path, const void *data, size_t size, sg_error *err)
{
    sg_writer *w = NULL;
    sg_status st;

    if ((st = sg_writer_open(&w, path, err)))
        return st;
    if ((st = sg_writer_put(w, data, size, err))) {
        sg_writer_abort(w);
        return st;
    }
    return sg_writer_commit(w, err);
}

/* ---- a file written beside its final place ---- */

struct sg_writer {
    int fd;
    char *path, *tmp; /* owned */
    char *buffer;     /* owned: WRITE_BUFFER */
    size_t used;
    uint64_t offset; /* of the first byte of buffer in the file */
};

void sg_writer_abort(sg_writer *w)
{
    if (!w)
        return;
    if (w->tmp)
        unlink(w->tmp);
    if (w->fd >= 0)
        close(w->fd);
    sg_free(w->path);
    sg_free(w->tmp);
    sg_free(w->buffer);
    sg_free(w);
}

sg_status sg_writer_open(sg_writer **out, const char *path, sg_error *err)
{
    sg_writer *w = sg_alloc_zero(1, sizeof *w);
    char *parent = NULL;
    sg_status st = SG_OK;

    *out = NULL;
    if (!w)
        return sg_fail_memory(err, path);
    w->fd = -1;
    if (!(w->path = sg_strdup(path)) || !(w->buffer = sg_alloc(WRITE_BUFFER)) ||
        !(parent = sg_path_dir(path)))
        st = sg_fail_memory(err, path);
    else
        sweep(parent, path, S_IFREG);
    for (int i = 0; !st && w->fd < 0; i++) {
        if (!(w->tmp = tmp_name(path))) {
            st = sg_fail_memory(err, path);
        } else if ((w->fd = make_tmp_file(w->tmp)) < 0) {
            if (errno != EEXIST || i == TMP_TRIES)
                st = sg_fail_errno(err, path, "cannot write");
            sg_free(w->tmp); /* not ours: must not be unlinked */
            w->tmp = NULL;
        }
    }
    sg_free(parent);
    if (st)
        sg_writer_abort(w);
    else
        *out = w;
    return st;
}

static sg_status write_at(sg_writer *w, uint64_t offset, const char *data, size_t size, sg_error *err)
{
    while (size) {
        const ssize_t n = sg_io_fault() ? -1 : pwrite(w->fd, data, size, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sg_fail_errno(err, w->path, "cannot write");
        data += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return SG_OK;
}

static sg_status flush(sg_writer *w, sg_error *err)
{
    const sg_status st = write_at(w, w->offset, w->buffer, w->used, err);

    if (!st) {
        w->offset += w->used;
        w->used = 0;
    }
    return st;
}

sg_status sg_writer_put(sg_writer *w, const void *data, size_t size, sg_error *err)
{
    sg_status st;

    if (size > WRITE_BUFFER - w->used && (st = flush(w, err)))
        return st;
    if (size > WRITE_BUFFER) {
        if ((st = write_at(w, w->offset, data, size, err)))
            return st;
        w->offset += size;
    } else if (size) {
        memcpy(w->buffer + w->used, data, size);
        w->used += size;
    }
    return SG_OK;
}

sg_status sg_writer_put_at(sg_writer *w, uint64_t offset, const void *data, size_t size, sg_error *err)
{
    const sg_status st = flush(w, err);

    return st ? st : write_at(w, offset, data, size, err);
}

/* The file keeps its lock until it has its name: closed after the rename. A sync that went well leaves nothing for close to
 * fail on, but a file system that says so is heard. */
sg_status sg_writer_commit(sg_writer *w, sg_error *err)
{
    sg_status st = flush(w, err);

    if (!st && sync_fd(w->fd))
        st = sg_fail_errno(err, w->path, "cannot sync");
    if (!st && rename_path(w->tmp, w->path))
        st = sg_fail_errno(err, w->path, "cannot put the new file in place");
    if (!st) {
        sg_free(w->tmp); /* in place: nothing to unlink */
        w->tmp = NULL;
        if (close_fd(w->fd))
            st = sg_fail_errno(err, w->path, "cannot close");
        w->fd = -1;
    }
    if (!st)
        st = sync_parent(w->path, err);
    sg_writer_abort(w);
    return st;
}

/* ---- mappings ---- */

sg_status sg_map_open(sg_map *out, const char *path, sg_error *err)
{
    const int fd = open_file(path, O_RDONLY);
    sg_status st = SG_OK;
    struct stat s;
    void *p;

    *out = (sg_map){.data = ""};
    if (fd < 0)
        return sg_fail_errno(err, path, "cannot open");
    if (fstat(fd, &s))
        st = sg_fail_errno(err, path, "cannot read");
    else if (!S_ISREG(s.st_mode))
        st = sg_fail(err, SG_ERR_IO, "%s: expected a file, found %s", path,
                     S_ISDIR(s.st_mode) ? "a folder" : "a device");
    else if (s.st_size > 0) {
        p = sg_io_fault() ? MAP_FAILED : mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            st = sg_fail_errno(err, path, "cannot map");
        else
            *out = (sg_map){.data = p, .size = (size_t)s.st_size};
    }
    close(fd);
    return st;
}

void sg_map_forget(const sg_map *m, size_t at, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (at + page - 1) / page * page,
                 end = (at + n) / page * page;

    if (first < end)
        madvise((char *)(uintptr_t)m->data + first, end - first, MADV_DONTNEED);
}

void sg_map_close(sg_map *m)
{
    if (m->size)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (sg_map){0};
}
