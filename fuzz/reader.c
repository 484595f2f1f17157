/* reader.c - any bytes as an input file: plain, gzip or zstd; read by line and whole, both ways give the same bytes. */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/io.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { BYTES_MAX = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size), *line;
    sg_reader *r;
    sg_buf whole = {0};
    sg_error err = {0}, err_whole = {0};
    size_t n, total = 0, lines = 0;
    sg_status st, st_whole;

    if (!path)
        return 0;
    st_whole = sg_file_read_any(&whole, path, BYTES_MAX, &err_whole);
    FUZZ_CHECK(sg_reader_open(&r, path, &err) == SG_OK);
    while (!(st = sg_reader_line(r, &line, &n, &err)) && line && total < BYTES_MAX) {
        FUZZ_CHECK(line[n] == 0);
        total += n;
        lines++;
        FUZZ_CHECK(sg_reader_line_number(r) == lines);
    }
    FUZZ_CHECK(sg_reader_offset(r) <= size);
    if (!st_whole) {
        FUZZ_CHECK(!st && total <= whole.size && whole.size <= total + 2 * lines + 3);
    } else {
        FUZZ_CHECK(!strchr(err_whole.message, '\n') && !whole.data);
    }
    sg_reader_close(r);
    sg_buf_free(&whole);
    return 0;
}

static void add_gzip(sg_buf *out, const char *text, size_t size)
{
    unsigned char packed[4096];
    z_stream z = {0};

    FUZZ_CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (unsigned)size;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    sg_buf_add(out, packed, sizeof packed - z.avail_out);
    deflateEnd(&z);
}

static void add_zstd(sg_buf *out, const char *text, size_t size)
{
    char packed[4096];
    const size_t n = ZSTD_compress(packed, sizeof packed, text, size, 3);

    FUZZ_CHECK(!ZSTD_isError(n));
    sg_buf_add(out, packed, n);
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    char text[1500];

    for (size_t k = 0; k < sizeof text; k++)
        text[k] = k % 37 == 0 ? '\n' : k % 41 == 0 ? '\r' : (char)('a' + k * k % 23);
    switch (i) {
    case 0:
        sg_buf_puts(out, "\xef\xbb\xbfone\r\ntwo\n\nlast");
        return true;
    case 1:
        add_gzip(out, text, sizeof text);
        add_gzip(out, text, 10);
        sg_buf_add(out, "\0\0\0", 3);
        return true;
    case 2:
        add_zstd(out, text, sizeof text);
        sg_buf_add(out, "\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
        add_zstd(out, text, 10);
        return true;
    default:
        return false;
    }
}
