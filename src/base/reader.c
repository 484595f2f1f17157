/* reader.c - input as a stream of bytes or lines; gzip and zstd are recognised by their first bytes and decompressed on
 * the way, also when several compressed files were put one after the other. */
#include "base/alloc.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { INPUT_BYTES = 1 << 18, LINES_BYTES = 1 << 20 };

typedef enum packing { PLAIN, GZIP, ZSTD } packing;

struct sg_reader {
    int fd;
    char *path; /* owned */
    packing packing;
    bool seekable;
    bool end;       /* of the file */
    bool inside;    /* a compressed member has begun and not ended */
    uint64_t size;  /* of the file; 0 when unknown */
    uint64_t taken; /* bytes read from the file */
    char *in;       /* owned: INPUT_BYTES as read from the file */
    size_t in_begin, in_end;
    z_stream gz;
    ZSTD_DStream *zstd; /* owned */
    char *line;         /* owned: decompressed bytes not yet handed out, line_begin .. line_end */
    size_t line_cap, line_begin, line_end;
    uint64_t number;
};

static void *zlib_alloc(void *opaque, unsigned count, unsigned each)
{
    (void)opaque;
    return sg_alloc_zero(count, each);
}

static void zlib_free(void *opaque, void *p)
{
    (void)opaque;
    sg_free(p);
}

void sg_reader_close(sg_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    if (r->packing == GZIP)
        inflateEnd(&r->gz);
    ZSTD_freeDStream(r->zstd);
    sg_free(r->path);
    sg_free(r->in);
    sg_free(r->line);
    sg_free(r);
}

static sg_status read_file(sg_reader *r, char *data, size_t cap, size_t *got, sg_error *err)
{
    ssize_t n;

    if (cap > INT_MAX / 2)
        cap = INT_MAX / 2;
    do
        n = sg_io_fault() ? -1 : read(r->fd, data, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return sg_fail_errno(err, r->path, "cannot read");
    r->end = n == 0;
    r->taken += (uint64_t)n;
    *got = (size_t)n;
    return SG_OK;
}

/* Makes sure that some input is there, unless the file has ended. */
static sg_status fill_input(sg_reader *r, sg_error *err)
{
    size_t got = 0;
    sg_status st;

    if (r->in_begin < r->in_end || r->end)
        return SG_OK;
    if ((st = read_file(r, r->in, INPUT_BYTES, &got, err)))
        return st;
    r->in_begin = 0;
    r->in_end = got;
    return SG_OK;
}

static packing recognise(const unsigned char *b, size_t n)
{
    if (n >= 3 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8)
        return GZIP;
    if (n >= 4 && b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd)
        return ZSTD;
    if (n >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d &&
        b[3] == 0x18) /* skippable frame first */
        return ZSTD;
    return PLAIN;
}

sg_status sg_reader_open(sg_reader **out, const char *path, sg_error *err)
{
    sg_reader *r = sg_alloc_zero(1, sizeof *r);
    sg_status st = SG_OK;
    struct stat s;

    *out = NULL;
    if (!r)
        return sg_fail_memory(err, path);
    r->fd = -1;
    if (!(r->path = sg_strdup(path)) || !(r->in = sg_alloc(INPUT_BYTES)))
        st = sg_fail_memory(err, path);
    else if (sg_io_fault() || (r->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        st = sg_fail_errno(err, path, "cannot open");
    else if (fstat(r->fd, &s))
        st = sg_fail_errno(err, path, "cannot read");
    else if (S_ISDIR(s.st_mode))
        st = sg_fail(err, SG_ERR_IO, "%s: expected a file, found a folder", path);
    if (!st) {
        r->seekable = S_ISREG(s.st_mode);
        r->size = r->seekable ? (uint64_t)s.st_size : 0;
    }
    while (!st && r->in_end < 4 && !r->end) { /* a pipe may give a byte at a time */
        size_t got = 0;

        st = read_file(r, r->in + r->in_end, INPUT_BYTES - r->in_end, &got, err);
        r->in_end += got;
    }
    if (!st)
        switch (recognise((const unsigned char *)r->in, r->in_end)) {
        case GZIP:
            r->gz.zalloc = zlib_alloc;
            r->gz.zfree = zlib_free;
            if (inflateInit2(&r->gz, 15 + 16) == Z_OK)
                r->packing = GZIP;
            else
                st = sg_fail_memory(err, path);
            break;
        case ZSTD:
            if ((r->zstd = ZSTD_createDStream()))
                r->packing = ZSTD;
            else
                st = sg_fail_memory(err, path);
            break;
        case PLAIN:
            break;
        }
    if (st)
        sg_reader_close(r);
    else
        *out = r;
    return st;
}

static uint64_t consumed(const sg_reader *r)
{
    return r->taken - (r->in_end - r->in_begin);
}

static sg_status fail_packed(const sg_reader *r, const char *kind, const char *what, sg_error *err)
{
    return sg_fail(err, SG_ERR_FORMAT, "%s: byte %llu: %s data is broken: %s", r->path,
                   (unsigned long long)consumed(r), kind, what ? what : "unknown reason");
}

static sg_status fail_cut(const sg_reader *r, const char *kind, sg_error *err)
{
    return sg_fail(err, SG_ERR_FORMAT, "%s: byte %llu: %s data is cut short", r->path,
                   (unsigned long long)consumed(r), kind);
}

/* After the last member only zero bytes may follow (tapes and block devices pad with them). */
static sg_status skip_padding(sg_reader *r, sg_error *err)
{
    sg_status st;

    for (;;) {
        while (r->in_begin < r->in_end && r->in[r->in_begin] == 0)
            r->in_begin++;
        if (r->in_begin < r->in_end)
            return fail_packed(r, "gzip", "other bytes follow the compressed data", err);
        if ((st = fill_input(r, err)) || r->in_begin == r->in_end)
            return st;
    }
}

static sg_status read_gzip(sg_reader *r, char *data, size_t cap, size_t *got, sg_error *err)
{
    sg_status st;

    *got = 0;
    while (*got == 0) {
        if ((st = fill_input(r, err)))
            return st;
        if (r->in_begin == r->in_end)
            return r->inside ? fail_cut(r, "gzip", err) : SG_OK;
        if (!r->inside) {
            if (r->in[r->in_begin] == 0)
                return skip_padding(r, err);
            r->inside = true;
        }
        r->gz.next_in = (unsigned char *)r->in + r->in_begin;
        r->gz.avail_in = (unsigned)(r->in_end - r->in_begin);
        r->gz.next_out = (unsigned char *)data;
        r->gz.avail_out = cap > UINT_MAX ? UINT_MAX : (unsigned)cap;
        const unsigned room = r->gz.avail_out;
        const int code = inflate(&r->gz, Z_NO_FLUSH);
        r->in_begin = r->in_end - r->gz.avail_in;
        *got = room - r->gz.avail_out;
        if (code == Z_MEM_ERROR)
            return sg_fail_memory(err, r->path);
        if (code == Z_STREAM_END) {
            r->inside = false;
            inflateReset(&r->gz);
        } else if (code != Z_OK && code != Z_BUF_ERROR) {
            return fail_packed(r, "gzip", r->gz.msg, err);
        }
    }
    return SG_OK;
}

static sg_status read_zstd(sg_reader *r, char *data, size_t cap, size_t *got, sg_error *err)
{
    sg_status st;

    *got = 0;
    while (*got == 0) {
        if ((st = fill_input(r, err)))
            return st;
        ZSTD_inBuffer in = {r->in, r->in_end, r->in_begin};
        ZSTD_outBuffer to = {data, cap, 0};

        if (in.pos == in.size && !r->inside)
            return SG_OK;
        const size_t code =
            ZSTD_decompressStream(r->zstd, &to, &in); /* also flushes when there is no input left */
        r->in_begin = in.pos;
        *got = to.pos;
        if (ZSTD_isError(code))
            return fail_packed(r, "zstd", ZSTD_getErrorName(code), err);
        r->inside = code != 0;
        if (r->inside && r->end && r->in_begin == r->in_end && *got == 0)
            return fail_cut(r, "zstd", err);
    }
    return SG_OK;
}

/* Bytes from behind the line buffer. */
static sg_status read_more(sg_reader *r, char *data, size_t cap, size_t *got, sg_error *err)
{
    if (r->packing == GZIP)
        return read_gzip(r, data, cap, got, err);
    if (r->packing == ZSTD)
        return read_zstd(r, data, cap, got, err);
    *got = 0;
    if (r->in_begin < r->in_end) { /* the bytes looked at for recognition */
        *got = r->in_end - r->in_begin < cap ? r->in_end - r->in_begin : cap;
        memcpy(data, r->in + r->in_begin, *got);
        r->in_begin += *got;
        return SG_OK;
    }
    return r->end ? SG_OK : read_file(r, data, cap, got, err);
}

sg_status sg_reader_read(sg_reader *r, char *data, size_t cap, size_t *got, sg_error *err)
{
    if (r->line_begin < r->line_end) {
        *got = r->line_end - r->line_begin < cap ? r->line_end - r->line_begin : cap;
        memcpy(data, r->line + r->line_begin, *got);
        r->line_begin += *got;
        return SG_OK;
    }
    return read_more(r, data, cap, got, err);
}

/* Moves the begun line to the front and appends what comes next; *more false at the end of the input. */
static sg_status extend_line(sg_reader *r, bool *more, sg_error *err)
{
    size_t got = 0;
    sg_status st;

    if (r->line_begin) {
        memmove(r->line, r->line + r->line_begin, r->line_end - r->line_begin);
        r->line_end -= r->line_begin;
        r->line_begin = 0;
    }
    if (r->line_end > SG_LINE_BYTES_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s:%llu: line is longer than %zu bytes", r->path,
                       (unsigned long long)r->number + 1, SG_LINE_BYTES_MAX);
    if (r->line_cap - r->line_end < LINES_BYTES / 2 + 1 && /* one byte stays free for the closing 0 */
        !sg_grow(&r->line, &r->line_cap, r->line_end + LINES_BYTES, 1))
        return sg_fail_memory(err, r->path);
    if ((st = read_more(r, r->line + r->line_end, r->line_cap - r->line_end - 1, &got, err)))
        return st;
    if (r->number == 0 && r->line_end == 0 && got >= 3 && memcmp(r->line, "\xef\xbb\xbf", 3) == 0)
        r->line_begin = 3;
    r->line_end += got;
    *more = got > 0;
    return SG_OK;
}

sg_status sg_reader_line(sg_reader *r, const char **line, size_t *size, sg_error *err)
{
    size_t seen = 0; /* bytes of this line known to hold no newline */
    bool more = true;
    char *end = NULL;
    sg_status st;

    *line = NULL;
    *size = 0;
    for (;;) {
        const size_t left = r->line_end - r->line_begin;

        if (left > seen)
            end = memchr(r->line + r->line_begin + seen, '\n', left - seen);
        if (end || !more)
            break;
        seen = left;
        if ((st = extend_line(r, &more, err)))
            return st;
    }
    if (!end && r->line_begin == r->line_end)
        return SG_OK;
    char *begin = r->line + r->line_begin;
    if (end) {
        r->line_begin = (size_t)(end - r->line) + 1;
    } else {
        end = r->line + r->line_end;
        r->line_begin = r->line_end;
    }
    if (end > begin && end[-1] == '\r')
        end--;
    *end = 0;
    r->number++;
    *line = begin;
    *size = (size_t)(end - begin);
    return SG_OK;
}

uint64_t sg_reader_line_number(const sg_reader *r)
{
    return r->number;
}

uint64_t sg_reader_offset(const sg_reader *r)
{
    return consumed(r);
}

uint64_t sg_reader_size(const sg_reader *r)
{
    return r->size;
}

const char *sg_reader_path(const sg_reader *r)
{
    return r->path;
}

bool sg_reader_seekable(const sg_reader *r)
{
    return r->seekable;
}

sg_status sg_file_read_any(sg_buf *out, const char *path, size_t bytes_max, sg_error *err)
{
    sg_reader *r = NULL;
    sg_buf b = {0};
    sg_status st = sg_reader_open(&r, path, err);
    size_t got = 1;

    while (!st && got) {
        const size_t about = b.size || r->size > bytes_max
                                 ? b.size
                                 : (size_t)r->size; /* that of a file which is not packed: it never moves */

        if (!sg_grow(&b.data, &b.cap, about + INPUT_BYTES, 1))
            st = sg_fail_memory(err, path);
        else if (!(st = sg_reader_read(r, b.data + b.size, b.cap - b.size - 1, &got, err))) {
            b.size += got;
            b.data[b.size] = 0;
            if (b.size > bytes_max)
                st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %zu bytes, found more", path,
                             bytes_max);
        }
    }
    sg_reader_close(r);
    if (st) {
        sg_buf_free(&b);
        return st;
    }
    sg_buf_free(out);
    *out = b;
    return SG_OK;
}
