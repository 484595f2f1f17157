/* input.c - the window grows only when one row does not fit. */
#include "data/input.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

enum { WINDOW_BYTES = 1 << 18 };

static sg_status begin_window(sg_input *in, sg_error *err)
{
    sg_status st;

    in->cap = WINDOW_BYTES;
    if (!(in->data = sg_alloc(in->cap + SG_INPUT_PAD)))
        return sg_fail_memory(err, in->path);
    memset(in->data, 0, SG_INPUT_PAD);
    while (in->end - in->begin < 3 && !in->ended)
        if ((st = sg_input_more(in, err)))
            return st;
    if (in->end >= 3 && memcmp(in->data, "\xef\xbb\xbf", 3) == 0)
        in->begin = 3;
    if (in->end >= 2 && (memcmp(in->data, "\xff\xfe", 2) == 0 || memcmp(in->data, "\xfe\xff", 2) == 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected UTF-8 text, found UTF-16: convert the file first",
                       in->path);
    return SG_OK;
}

sg_status sg_input_open(sg_input *in, const char *path, sg_error *err)
{
    sg_status st;

    *in = (sg_input){.path = sg_strdup(path)};
    if (!in->path)
        return sg_fail_memory(err, path);
    if ((st = sg_reader_open(&in->reader, path, err)) || (st = begin_window(in, err)))
        sg_input_close(in);
    return st;
}

sg_status sg_input_memory(sg_input *in, sg_bytes bytes, size_t piece, const char *name, sg_error *err)
{
    sg_status st;

    *in = (sg_input){.path = sg_strdup(name), .memory = bytes, .piece = piece ? piece : 1};
    if (!in->path)
        return sg_fail_memory(err, name);
    if ((st = begin_window(in, err)))
        sg_input_close(in);
    return st;
}

void sg_input_close(sg_input *in)
{
    sg_reader_close(in->reader);
    sg_free(in->data);
    sg_free(in->path);
    *in = (sg_input){0};
}

sg_status sg_input_more(sg_input *in, sg_error *err)
{
    const size_t kept = in->end - in->begin;
    size_t got = 0;
    sg_status st;

    if (in->begin) {
        memmove(in->data, in->data + in->begin, kept);
        in->begin = 0;
        in->end = kept;
    }
    if (kept > in->cap / 2) {
        if (kept > SG_ROW_BYTES_MAX) {
            in->broken = true;
            return sg_input_fail(in, in->line + 1, err, "a row longer than %zu bytes", SG_ROW_BYTES_MAX);
        }
        char *grown = sg_realloc(in->data, in->cap * 2 + SG_INPUT_PAD);

        if (!grown)
            return sg_fail_memory(err, in->path);
        in->data = grown;
        in->cap *= 2;
    }
    if (in->reader) {
        if ((st = sg_reader_read(in->reader, in->data + kept, in->cap - kept, &got, err)))
            return st;
    } else {
        got = in->memory.size < in->piece ? in->memory.size : in->piece;
        got = got < in->cap - kept ? got : in->cap - kept;
        if (got)
            memcpy(in->data + kept, in->memory.data, got);
        in->memory.data += got;
        in->memory.size -= got;
    }
    in->ended = got == 0;
    in->end = kept + got;
    in->nul = in->nul || memchr(in->data + kept, 0, got);
    memset(in->data + in->end, 0, SG_INPUT_PAD);
    return SG_OK;
}

sg_status sg_input_line(sg_input *in, sg_bytes *line, bool *got, sg_error *err)
{
    size_t seen = 0; /* bytes of this line known to hold no newline */
    const char *end;
    sg_status st;

    *got = false;
    while (!(end = memchr(in->data + in->begin + seen, '\n', in->end - in->begin - seen))) {
        seen = in->end - in->begin;
        if (in->ended)
            break;
        if ((st = sg_input_more(in, err)))
            return st;
    }
    if (!end && seen == 0)
        return SG_OK;
    line->data = in->data + in->begin;
    line->size = end ? (size_t)(end - line->data) : seen;
    in->begin += line->size + (end != NULL);
    in->line++;
    *got = true;
    if (line->size && line->data[line->size - 1] == '\r')
        line->size--;
    if (in->nul && memchr(line->data, 0, line->size))
        return sg_input_fail(in, in->line, err, "expected text, found a NUL byte");
    return SG_OK;
}

sg_status sg_input_fail(const sg_input *in, uint64_t line, sg_error *err, const char *format, ...)
{
    char text[640];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sg_fail(err, SG_ERR_FORMAT, "%s:%llu: %s", in->path, (unsigned long long)line, text);
}
